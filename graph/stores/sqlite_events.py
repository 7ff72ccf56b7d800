"""Events in the SQLite store: a row for each, marked once the graph says what follows from it."""

import sqlite3
from collections.abc import Collection, Mapping, Sequence

import orjson

from graph.model import Subject
from graph.stores.contract import EventPlace, KeptEvent
from graph.time import FOREVER, Instant

_KEEP = """
    INSERT INTO event (digest, origin, body, at, keeper, arrived) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING
"""
_FOLDED = "UPDATE event SET folded = 1 WHERE digest = ? AND folded = 0"
_OTHERS = "SELECT count(*) FROM event WHERE origin = :origin AND (keeper < :keeper OR keeper > :keeper)"
_KEPT = """
    SELECT digest, origin, body, at FROM event
    WHERE origin = ? AND at >= ? AND at < ? AND (at, digest) > (?, ?) ORDER BY at, digest LIMIT ?
"""
_OF_ITS_ORIGIN = "SELECT digest FROM event WHERE origin = :origin AND (keeper < :keeper OR keeper > :keeper)"
_BY_DIGEST = """
    SELECT e.digest, e.origin, e.body, e.at FROM json_each(?) w CROSS JOIN event e ON e.digest = w.value ORDER BY e.digest
"""
_NEXT_ORIGIN = "SELECT min(origin) FROM event WHERE origin > ?"
_WHOLE = """
    SELECT digest, origin, body, at FROM event WHERE reduced = 0 AND arrived < ? AND folded = 1 ORDER BY arrived LIMIT ?
"""
_HEAR = """
    INSERT INTO heard VALUES (?, ?, ?)
    ON CONFLICT (subject, origin) DO UPDATE SET at = excluded.at WHERE excluded.at > at
"""
_HEARD = "SELECT h.subject, h.origin, h.at FROM json_each(?) w CROSS JOIN heard h ON h.subject = w.value"


def keep(db: sqlite3.Connection, events: Collection[KeptEvent], keeper: str, now: Instant) -> int:
    rows = [(each.digest, each.origin, each.body, each.at, keeper, now) for each in events]
    return db.executemany(_KEEP, rows).rowcount if rows else 0


def folded(db: sqlite3.Connection, events: Mapping[str, Collection[str]], keeper: str) -> dict[str, int]:
    db.executemany(_FOLDED, [(digest,) for digests in events.values() for digest in digests])
    asked = ({"origin": origin, "keeper": keeper} for origin in events)
    return {each["origin"]: int(db.execute(_OTHERS, each).fetchone()[0]) for each in asked}


def kept(
    db: sqlite3.Connection, origin: str, since: Instant, until: Instant, after: EventPlace | None, limit: int
) -> list[KeptEvent]:
    place = after or (-FOREVER, "")
    return [KeptEvent(*row) for row in db.execute(_KEPT, [origin, since, until, *place, limit])]


def others(db: sqlite3.Connection, origin: str, keeper: str) -> list[str]:
    return sorted(digest for (digest,) in db.execute(_OF_ITS_ORIGIN, {"origin": origin, "keeper": keeper}))


def with_digests(db: sqlite3.Connection, digests: Collection[str]) -> list[KeptEvent]:
    return [KeptEvent(*row) for row in db.execute(_BY_DIGEST, [orjson.dumps([*{*digests}]).decode()])]


def unfolded(db: sqlite3.Connection, limit: int) -> list[str]:
    query = "SELECT DISTINCT origin FROM event WHERE folded = 0 ORDER BY origin LIMIT ?"
    return [origin for (origin,) in db.execute(query, [limit])]


def origins(db: sqlite3.Connection, after: str, limit: int) -> list[str]:
    found: list[str] = []
    place: str | None = after
    while len(found) < limit:  # one step of the index each: there may be many events of one
        (place,) = db.execute(_NEXT_ORIGIN, [place]).fetchone()
        if place is None:
            break
        found.append(place)
    return found


def whole(db: sqlite3.Connection, before: Instant, limit: int) -> list[KeptEvent]:
    return [KeptEvent(*row) for row in db.execute(_WHOLE, [before, limit])]


def reduce(db: sqlite3.Connection, events: Sequence[KeptEvent], before: Instant, now: Instant) -> int:
    rows = [(each.body, each.digest) for each in events]
    reduced = db.executemany("UPDATE event SET body = ?, reduced = 1 WHERE digest = ? AND reduced = 0", rows).rowcount
    if reduced > 0:
        db.execute("INSERT INTO purge VALUES (?, ?, ?, ?)", [now, "event", before, reduced])
    return max(reduced, 0)


def mark_said(db: sqlite3.Connection, at: Mapping[tuple[Subject, str], Instant]) -> None:
    db.executemany(_HEAR, [(origin, str(subject), instant) for (subject, origin), instant in at.items()])


def last_said(db: sqlite3.Connection, subjects: Collection[Subject]) -> dict[tuple[Subject, str], Instant]:
    texts = {str(subject): subject for subject in subjects}
    rows = db.execute(_HEARD, [orjson.dumps([*texts]).decode()])
    return {(texts[text], origin): at for text, origin, at in rows}
