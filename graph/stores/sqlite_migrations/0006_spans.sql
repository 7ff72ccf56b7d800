ALTER TABLE usage ADD COLUMN latency TEXT;
CREATE TABLE spans_seen (
    number INTEGER PRIMARY KEY,
    minute INTEGER NOT NULL,
    ids BLOB NOT NULL
);
CREATE INDEX spans_seen_minute ON spans_seen (minute);
CREATE TABLE span_links (
    number INTEGER PRIMARY KEY,
    recorder TEXT NOT NULL,
    at INTEGER NOT NULL,
    body BLOB NOT NULL
);
CREATE INDEX span_links_at ON span_links (at);
