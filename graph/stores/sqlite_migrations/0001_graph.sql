CREATE TABLE origin (
    number INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
);
CREATE TABLE asset (
    number INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    container INTEGER REFERENCES asset (number),
    version INTEGER
);
CREATE INDEX asset_container ON asset (container) WHERE container IS NOT NULL;
CREATE TABLE flow (
    number INTEGER PRIMARY KEY,
    source INTEGER NOT NULL REFERENCES asset (number),
    target INTEGER NOT NULL REFERENCES asset (number),
    via INTEGER NOT NULL DEFAULT 0,
    UNIQUE (source, target, via)
);
CREATE INDEX flow_target ON flow (target);
CREATE INDEX flow_via ON flow (via) WHERE via > 0;
CREATE TABLE assertion (
    number INTEGER PRIMARY KEY,
    asset INTEGER REFERENCES asset (number),
    flow INTEGER REFERENCES flow (number),
    origin INTEGER NOT NULL REFERENCES origin (number),
    basis INTEGER NOT NULL,
    valid_start INTEGER NOT NULL,
    valid_end INTEGER NOT NULL,
    known_first INTEGER NOT NULL,
    known_last INTEGER NOT NULL,
    attributes TEXT NOT NULL,
    CHECK ((asset IS NULL) <> (flow IS NULL)),
    CHECK (valid_start < valid_end AND known_first < known_last)
);
CREATE UNIQUE INDEX assertion_asset ON assertion (asset, origin, valid_start, known_last) WHERE asset IS NOT NULL;
CREATE UNIQUE INDEX assertion_flow ON assertion (flow, origin, valid_start, known_last) WHERE flow IS NOT NULL;
CREATE INDEX assertion_origin ON assertion (origin);
CREATE INDEX assertion_opened ON assertion (known_first);
CREATE INDEX assertion_closed ON assertion (known_last) WHERE known_last < 9223372036854775807;
CREATE INDEX assertion_ended ON assertion (valid_end) WHERE valid_end < 9223372036854775807;
CREATE TABLE settled (
    at INTEGER NOT NULL
);
CREATE TABLE revision (
    number INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    operation TEXT,
    actor TEXT NOT NULL
);
CREATE INDEX revision_at ON revision (at);
CREATE TABLE operation (
    id TEXT PRIMARY KEY,
    digest TEXT NOT NULL,
    receipt TEXT NOT NULL,
    at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX operation_at ON operation (at);
CREATE TABLE purge (
    at INTEGER NOT NULL,
    what TEXT NOT NULL,
    before INTEGER NOT NULL,
    removed INTEGER NOT NULL
);
CREATE VIRTUAL TABLE words USING fts5 (text, tokenize = 'unicode61 remove_diacritics 2', prefix = '2 3');
