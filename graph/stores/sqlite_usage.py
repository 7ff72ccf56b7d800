"""Usage in SQLite: a row for each source, reader, `verified` and day; and the spans that were counted, by minutes."""

import sqlite3
from collections.abc import Collection, Iterable

import orjson

from graph.keys import AssetKey
from graph.stores import sqlite_reading as reading
from graph.stores.contract import SeenSpans, ToldSpans
from graph.time import Instant
from graph.usage import Day, Latency, Usage, day_of

# A sum above 0 had something above 0 added to it, so its `first` and `last` are there.
_ADD_USAGE = """
    INSERT INTO usage VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (source, reader, verified, day) DO UPDATE SET
        calls = calls + excluded.calls, errors = errors + excluded.errors,
        first = min(coalesce(first, excluded.first), coalesce(excluded.first, first)),
        last = max(coalesce(last, excluded.last), coalesce(excluded.last, last)),
        latency = merged_latency(latency, excluded.latency)
"""
_SEEN = "SELECT number, minute, ids FROM spans_seen WHERE "
_MOVE_COUNTER = """
    INSERT INTO counter VALUES (?, ?, ?)
    ON CONFLICT (name) DO UPDATE SET sequence = excluded.sequence, day = max(day, excluded.day)
    WHERE excluded.sequence > sequence
"""


def count(db: sqlite3.Connection, usages: Collection[Usage], counter: str, sequence: int) -> bool:
    if not moved(db, counter, sequence, (usage.day for usage in usages)):
        return False
    db.executemany(_ADD_USAGE, map(_row, usages))
    return True


def moved(db: sqlite3.Connection, counter: str, sequence: int, days: Iterable[Day]) -> bool:
    """Whether this batch of the recorder is new."""
    return bool(db.execute(_MOVE_COUNTER, [counter, sequence, max(days, default=0)]).rowcount)


def count_spans(
    db: sqlite3.Connection, usages: Collection[Usage], counter: str, sequence: int, told: ToldSpans
) -> list[SeenSpans]:
    (counted,) = db.execute("SELECT coalesce(max(sequence), -1) FROM counter WHERE name = ?", [counter]).fetchone()
    if counted >= sequence:
        return []
    others = db.execute(_SEEN + "number > ? ORDER BY number", [told.after]).fetchall()
    if others:
        return [SeenSpans(*row) for row in others]
    last_day = max((usage.day for usage in usages), default=day_of(told.at))
    db.execute(_MOVE_COUNTER, [counter, sequence, last_day])
    db.executemany(_ADD_USAGE, map(_row, usages))
    rows = [(told.after + at, minute, ids) for at, (minute, ids) in enumerate(sorted(told.seen.items()), 1)]
    db.executemany("INSERT INTO spans_seen VALUES (?, ?, ?)", rows)
    if told.links:
        kept = [told.recorder, told.at, told.links]
        db.execute("INSERT INTO span_links (recorder, at, body) VALUES (?, ?, ?)", kept)
    return []


def usage(db: sqlite3.Connection, keys: Collection[AssetKey], since_day: Day) -> list[Usage]:
    found: dict[tuple[str, str, bool, Day], Usage] = {}
    for chunk in reading.chunks(keys):
        for end in ("source", "reader"):
            rows = db.execute(
                f"SELECT * FROM usage WHERE {end} IN ({reading.marks(chunk)}) AND day >= ? AND calls > 0",
                [*map(str, chunk), since_day],
            )
            for source, reader, verified, day, calls, errors, first, last, latency in rows:
                found[source, reader, bool(verified), day] = Usage(
                    reading.key(source),
                    reading.key(reader) if reader else None,
                    bool(verified),
                    day,
                    calls,
                    errors,
                    first,
                    last,
                    None if latency is None else Latency.unpacked(latency),
                )
    return [found[place] for place in sorted(found)]


def seen_spans(db: sqlite3.Connection, minutes: Collection[int]) -> list[SeenSpans]:
    query = _SEEN + "minute IN (SELECT value FROM json_each(?)) ORDER BY number"
    return [SeenSpans(*row) for row in db.execute(query, [orjson.dumps([*minutes]).decode()])]


def last_seen_spans(db: sqlite3.Connection) -> int:
    return int(db.execute("SELECT coalesce(max(number), 0) FROM spans_seen").fetchone()[0])


def links(db: sqlite3.Connection, recorder: str, since: Instant) -> list[bytes]:
    query = "SELECT body FROM span_links WHERE recorder = ? AND at >= ? ORDER BY number"
    return [body for (body,) in db.execute(query, [recorder, since])]


def _row(usage: Usage) -> tuple[object, ...]:
    """What was taken back was not seen: it moves neither `first` nor `last`."""
    seen = (usage.first, usage.last) if usage.calls > 0 else (None, None)
    reader = str(usage.reader) if usage.reader else ""
    return (
        str(usage.source),
        reader,
        usage.verified,
        usage.day,
        usage.calls,
        usage.errors,
        *seen,
        usage.latency and usage.latency.packed,
    )
