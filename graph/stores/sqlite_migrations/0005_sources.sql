CREATE TABLE source_day (
    source TEXT NOT NULL,
    day INTEGER NOT NULL,
    items INTEGER NOT NULL,
    rejected INTEGER NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    newest INTEGER,
    lag INTEGER,
    PRIMARY KEY (source, day)
) WITHOUT ROWID;
CREATE TABLE rejected (
    id TEXT PRIMARY KEY,
    source TEXT NOT NULL,
    target TEXT NOT NULL,
    form TEXT NOT NULL,
    place TEXT NOT NULL,
    reason TEXT NOT NULL,
    body BLOB,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    times INTEGER NOT NULL
);
CREATE INDEX rejected_last ON rejected (last, id);
CREATE INDEX rejected_source ON rejected (source, last, id);
