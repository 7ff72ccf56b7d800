ALTER TABLE event ADD COLUMN at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE event ADD COLUMN keeper TEXT NOT NULL DEFAULT '';
ALTER TABLE event ADD COLUMN arrived INTEGER NOT NULL DEFAULT 0;
ALTER TABLE event ADD COLUMN reduced INTEGER NOT NULL DEFAULT 0;
UPDATE event SET
    arrived = CAST(strftime('%s', 'now') AS INTEGER) * 1000000,
    at = coalesce(CAST((julianday(json_extract(body, '$.eventTime')) - 2440587.5) * 86400000 AS INTEGER) * 1000, 0);
DROP INDEX event_origin;
CREATE INDEX event_origin ON event (origin, at);
CREATE INDEX event_keeper ON event (origin, keeper);
CREATE INDEX event_whole ON event (arrived) WHERE reduced = 0;
CREATE TABLE heard (
    origin TEXT NOT NULL,
    subject TEXT NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (subject, origin)
) WITHOUT ROWID;
