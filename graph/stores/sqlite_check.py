"""Finds what in a SQLite store contradicts itself."""

import sqlite3

from graph.time import FOREVER


def check(db: sqlite3.Connection) -> list[str]:
    """One sentence for each finding."""
    wrong = [f"SQLite: {text}" for (text,) in db.execute("PRAGMA integrity_check") if text != "ok"]
    wrong += [f"SQLite: {table} {row} refers to nothing" for table, row, *_ in db.execute("PRAGMA foreign_key_check")]
    count, last = db.execute("SELECT count(*), coalesce(max(number), 0) FROM revision").fetchone()
    if count != last:
        wrong.append(f"revisions: {last - count} numbers up to {last} are missing")
    overlaps = db.execute(
        "SELECT a.number, b.number FROM assertion a JOIN assertion b ON b.origin = a.origin"
        " AND (b.asset = a.asset OR b.flow = a.flow) AND b.number > a.number"
        " WHERE a.known_last = ? AND b.known_last = ? AND a.valid_start < b.valid_end"
        " AND b.valid_start < a.valid_end ORDER BY 1, 2",
        [FOREVER, FOREVER],
    )
    wrong += [f"assertions {one} and {other} overlap in valid time" for one, other in overlaps]
    beyond = db.execute(
        "SELECT number FROM assertion WHERE known_first > ? OR (known_last > ? AND known_last < ?)",
        [last, last, FOREVER],
    )
    wrong += [f"assertion {number} names a revision after the last, {last}" for (number,) in beyond]
    undone = db.execute("SELECT id FROM message WHERE due_at IS NOT NULL AND delivered_at IS NOT NULL ORDER BY id")
    wrong += [f"message {id_} is delivered, yet due again" for (id_,) in undone]
    unseen = db.execute(
        "SELECT source, reader, day FROM usage WHERE calls > 0 AND (first IS NULL OR last IS NULL OR first > last)"
        " ORDER BY 1, 2, 3"
    )
    wrong += [
        f"usage of {source} by {reader or 'nobody known'} on day {day} was counted, but not when"
        for source, reader, day in unseen
    ]
    return wrong
