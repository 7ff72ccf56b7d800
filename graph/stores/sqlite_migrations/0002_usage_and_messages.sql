CREATE TABLE usage (
    source TEXT NOT NULL,
    reader TEXT NOT NULL,
    verified INTEGER NOT NULL,
    day INTEGER NOT NULL,
    calls INTEGER NOT NULL,
    errors INTEGER NOT NULL,
    first INTEGER,
    last INTEGER,
    PRIMARY KEY (source, reader, verified, day)
) WITHOUT ROWID;
CREATE INDEX usage_reader ON usage (reader, day);
CREATE INDEX usage_day ON usage (day);
CREATE TABLE counter (
    name TEXT PRIMARY KEY,
    sequence INTEGER NOT NULL,
    day INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE message (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    topic TEXT NOT NULL,
    body TEXT NOT NULL,
    revision INTEGER NOT NULL REFERENCES revision (number),
    attempts INTEGER NOT NULL DEFAULT 0,
    due_at INTEGER,
    delivered_at INTEGER,
    reason TEXT
);
CREATE INDEX message_due ON message (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX message_revision ON message (revision);
