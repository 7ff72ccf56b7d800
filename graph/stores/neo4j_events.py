"""Events in Neo4j: a node `:Event` for each, with `waiting`, its origin, until the graph says what follows from it."""

from collections import Counter
from collections.abc import Collection

from graph.stores.contract import KeptEvent
from graph.stores.neo4j_connection import Run, counters, value


def keep(run: Run, events: Collection[KeptEvent]) -> int:
    rows = {each.digest: {**each._asdict(), "body": each.body.decode()} for each in events}
    return counters(run, _KEEP, events=[rows[digest] for digest in sorted(rows)]).nodes_created


def folded(run: Run, events: Collection[KeptEvent]) -> set[str]:
    """The origins of `events` that have others."""
    told = {each.digest: each.origin for each in events}
    counters(run, _FOLDED, digests=[*told])
    known = Counter(told.values())
    return {origin for origin, count in value(run, _COUNTS, origins=[*known]) if count > known[origin]}


def kept(run: Run, origins: Collection[str]) -> list[KeptEvent]:
    rows = value(run, _KEPT, origins=[*origins])
    return sorted(KeptEvent(digest, origin, body.encode()) for digest, origin, body in rows)


def unfolded(run: Run, limit: int) -> list[str]:
    return [*value(run, _UNFOLDED, limit=limit)]


_KEEP = """
UNWIND $events AS row
MERGE (e:Event {digest: row.digest})
ON CREATE SET e.origin = row.origin, e.body = row.body, e.waiting = row.origin
"""

_FOLDED = """
UNWIND $digests AS digest
MATCH (e:Event {digest: digest}) WHERE e.waiting IS NOT NULL
REMOVE e.waiting
"""

_KEPT = "MATCH (e:Event) WHERE e.origin IN $origins RETURN collect([e.digest, e.origin, e.body])"

_COUNTS = "MATCH (e:Event) WHERE e.origin IN $origins WITH e.origin AS origin, count(*) AS count RETURN collect([origin, count])"

_UNFOLDED = """
MATCH (e:Event) WHERE e.waiting IS NOT NULL
WITH DISTINCT e.waiting AS origin ORDER BY origin LIMIT $limit
RETURN collect(origin)
"""
