"""Messages in SQLite: a row for each, written by the commit that they tell of, and due until they are delivered."""

import sqlite3

import orjson

from graph.messages import Delivery, Message
from graph.time import Instant


def lease(db: sqlite3.Connection, now: Instant, until: Instant, limit: int) -> list[Delivery]:
    due = db.execute(
        "SELECT number, id, topic, body, attempts FROM message WHERE due_at <= ? ORDER BY due_at, number LIMIT ?",
        [now, limit],
    ).fetchall()
    db.executemany("UPDATE message SET due_at = ? WHERE number = ?", [(until, number) for number, *_ in due])
    return [Delivery(Message(id_, topic, orjson.loads(body)), attempts) for _, id_, topic, body, attempts in due]


def delivered(db: sqlite3.Connection, message: str, now: Instant) -> None:
    db.execute(
        "UPDATE message SET delivered_at = ?, due_at = NULL WHERE id = ? AND delivered_at IS NULL",
        [now, message],
    )


def postponed(db: sqlite3.Connection, message: str, until: Instant | None, reason: str) -> None:
    db.execute(
        "UPDATE message SET attempts = attempts + 1, due_at = ?, reason = ? WHERE id = ? AND due_at IS NOT NULL",
        [until, reason, message],
    )


def undelivered(db: sqlite3.Connection) -> int:
    return int(db.execute("SELECT count(*) FROM message WHERE due_at IS NOT NULL").fetchone()[0])
