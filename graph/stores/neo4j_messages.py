"""The outbox in Neo4j: a node `:Message` for each, with `due_at` until it is delivered or given up."""

from collections.abc import Sequence

import orjson

from graph.attributes import canonical
from graph.messages import Delivery, Message
from graph.stores.neo4j_connection import Run, counters, value
from graph.time import Instant


def properties(messages: Sequence[Message], revision: int, now: Instant) -> list[dict[str, object]]:
    return [
        {
            "id": message.id,
            "topic": message.topic,
            "body": canonical(message.body).decode(),
            "revision": revision,
            "place": place,
            "attempts": 0,
            "due_at": now,
        }
        for place, message in enumerate(messages)
    ]


def lease(run: Run, now: Instant, until: Instant, limit: int) -> list[Delivery]:
    """The caller holds the lock, and so no other leases what is read here."""
    rows = value(run, _LEASE, now=now, until=until, limit=limit)
    return [Delivery(Message(id_, topic, orjson.loads(body)), attempts) for id_, topic, body, attempts in rows]


def delivered(run: Run, message: str, now: Instant) -> None:
    counters(run, _DELIVERED, id=message, now=now)


def postponed(run: Run, message: str, until: Instant | None, reason: str) -> None:
    counters(run, _POSTPONED, id=message, until=until, reason=reason)


def undelivered(run: Run) -> int:
    return int(value(run, "MATCH (m:Message) WHERE m.due_at IS NOT NULL RETURN count(m)"))


_LEASE = """
MATCH (m:Message) WHERE m.due_at <= $now
WITH m ORDER BY m.due_at, m.revision, m.place LIMIT $limit
WITH collect(m) AS due
FOREACH (m IN due | SET m.due_at = $until)
RETURN [m IN due | [m.id, m.topic, m.body, m.attempts]]
"""

_DELIVERED = """
MATCH (m:Message {id: $id}) WHERE m.delivered_at IS NULL
SET m.delivered_at = $now, m.due_at = null
"""

_POSTPONED = """
MATCH (m:Message {id: $id}) WHERE m.due_at IS NOT NULL
SET m.attempts = m.attempts + 1, m.due_at = $until, m.reason = $reason
"""
