CREATE TABLE event (
    number INTEGER PRIMARY KEY,
    digest TEXT NOT NULL UNIQUE,
    origin TEXT NOT NULL,
    body BLOB NOT NULL,
    folded INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX event_origin ON event (origin);
CREATE INDEX event_unfolded ON event (origin) WHERE folded = 0;
