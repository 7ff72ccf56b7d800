CREATE CONSTRAINT seen_spans_number IF NOT EXISTS FOR (s:SeenSpans) REQUIRE s.number IS UNIQUE;
CREATE INDEX seen_spans_minute IF NOT EXISTS FOR (s:SeenSpans) ON (s.minute);
CREATE INDEX span_links_at IF NOT EXISTS FOR (l:SpanLinks) ON (l.at);
