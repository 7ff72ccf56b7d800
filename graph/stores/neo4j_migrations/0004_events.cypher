CREATE CONSTRAINT event_digest IF NOT EXISTS FOR (e:Event) REQUIRE e.digest IS UNIQUE;
CREATE INDEX event_origin IF NOT EXISTS FOR (e:Event) ON (e.origin);
CREATE INDEX event_waiting IF NOT EXISTS FOR (e:Event) ON (e.waiting);
