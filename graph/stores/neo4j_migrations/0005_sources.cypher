CREATE CONSTRAINT source_day_id IF NOT EXISTS FOR (n:SourceDay) REQUIRE n.id IS UNIQUE;
CREATE INDEX source_day_day IF NOT EXISTS FOR (n:SourceDay) ON (n.day);
CREATE CONSTRAINT rejected_id IF NOT EXISTS FOR (n:Rejected) REQUIRE n.id IS UNIQUE;
CREATE INDEX rejected_last IF NOT EXISTS FOR (n:Rejected) ON (n.last);
CREATE INDEX rejected_source IF NOT EXISTS FOR (n:Rejected) ON (n.source);
