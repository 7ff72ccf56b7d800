CREATE INDEX alert_key IF NOT EXISTS FOR (a:Alert) ON (a.key);
CREATE CONSTRAINT usage_id IF NOT EXISTS FOR (u:Usage) REQUIRE u.id IS UNIQUE;
CREATE INDEX usage_source IF NOT EXISTS FOR (u:Usage) ON (u.source);
CREATE INDEX usage_reader IF NOT EXISTS FOR (u:Usage) ON (u.reader);
CREATE INDEX usage_day IF NOT EXISTS FOR (u:Usage) ON (u.day);
CREATE CONSTRAINT counter_name IF NOT EXISTS FOR (c:Counter) REQUIRE c.name IS UNIQUE;
CREATE CONSTRAINT message_id IF NOT EXISTS FOR (m:Message) REQUIRE m.id IS UNIQUE;
CREATE INDEX message_due_at IF NOT EXISTS FOR (m:Message) ON (m.due_at);
CREATE INDEX message_revision IF NOT EXISTS FOR (m:Message) ON (m.revision);
