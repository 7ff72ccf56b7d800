"""Sources in SQLite: a row for each source and day, and one for each item that was refused."""

import sqlite3
from collections.abc import Collection, Mapping
from dataclasses import astuple

from graph.sources import MOST_REJECTED, Heard, Rejected, Unmended
from graph.time import Instant
from graph.usage import Day

_HEAR = """
    INSERT INTO source_day VALUES (?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (source, day) DO UPDATE SET
        items = items + excluded.items, rejected = rejected + excluded.rejected,
        first = min(first, excluded.first), last = max(last, excluded.last),
        newest = max(coalesce(newest, excluded.newest), coalesce(excluded.newest, newest)),
        lag = max(coalesce(lag, excluded.lag), coalesce(excluded.lag, lag))
"""

_REJECT = """
    INSERT INTO rejected VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (id) DO UPDATE SET
        place = excluded.place, reason = excluded.reason, last = max(last, excluded.last), times = times + excluded.times
"""

_TRIM = """
    DELETE FROM rejected WHERE id IN
        (SELECT id FROM rejected WHERE source = ? ORDER BY last DESC, id DESC LIMIT -1 OFFSET ?)
"""


def hear(db: sqlite3.Connection, heard: Collection[Heard]) -> None:
    db.executemany(_HEAR, heard)


def heard(db: sqlite3.Connection, since: Day, source: str | None) -> list[Heard]:
    of_source, given = ("", [since]) if source is None else (" AND source = ?", [since, source])
    rows = db.execute(f"SELECT * FROM source_day WHERE day >= ?{of_source} ORDER BY source, day", given)
    return [Heard(*row) for row in rows]


def reject(db: sqlite3.Connection, items: Collection[Rejected]) -> None:
    db.executemany(_REJECT, map(astuple, items))
    db.executemany(_TRIM, [(source, MOST_REJECTED) for source in sorted({each.source for each in items})])


def rejected(
    db: sqlite3.Connection, source: str | None, before: tuple[Instant, str] | None, limit: int
) -> list[Rejected]:
    asked: list[str] = []
    given: list[str | int] = []
    if source is not None:
        asked.append("source = ?")
        given.append(source)
    if before is not None:
        asked.append("(last, id) < (?, ?)")
        given += [*before]
    where = f"WHERE {' AND '.join(asked)}" if asked else ""
    return [
        Rejected(*row)
        for row in db.execute(f"SELECT * FROM rejected {where} ORDER BY last DESC, id DESC LIMIT ?", [*given, limit])
    ]


def rejected_item(db: sqlite3.Connection, id_: str) -> Rejected | None:
    row = db.execute("SELECT * FROM rejected WHERE id = ?", [id_]).fetchone()
    return None if row is None else Rejected(*row)


def mended(db: sqlite3.Connection, ids: Collection[str]) -> int:
    return db.executemany("DELETE FROM rejected WHERE id = ?", [(id_,) for id_ in dict.fromkeys(ids)]).rowcount


def unmended(db: sqlite3.Connection) -> Mapping[str, Unmended]:
    rows = db.execute("SELECT source, count(*), max(last) FROM rejected GROUP BY source ORDER BY source")
    return {source: Unmended(count, last) for source, count, last in rows}
