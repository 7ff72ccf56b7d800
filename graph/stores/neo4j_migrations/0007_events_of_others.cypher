MATCH (e:Event) WHERE e.keeper IS NULL SET e.keeper = '', e.at = 0, e.arrived = datetime().epochMillis * 1000, e.whole = datetime().epochMillis * 1000;
CREATE INDEX event_turn IF NOT EXISTS FOR (e:Event) ON (e.origin, e.at);
CREATE INDEX event_keeper IF NOT EXISTS FOR (e:Event) ON (e.origin, e.keeper);
CREATE INDEX event_whole IF NOT EXISTS FOR (e:Event) ON (e.whole);
CREATE CONSTRAINT heard_subject IF NOT EXISTS FOR (h:Heard) REQUIRE (h.subject, h.origin) IS UNIQUE;
