"""Events in Neo4j: a node `:Event` for each.

`waiting`  its origin, until the graph says what follows from it
`whole`    when it arrived, until it is reduced
(:Heard)   when somebody was last heard to say something of a subject
"""

from collections.abc import Collection, Mapping, Sequence

from graph.model import Subject
from graph.stores.contract import EventPlace, KeptEvent
from graph.stores.neo4j_connection import Run, counters, value
from graph.time import FOREVER, Instant


def keep(run: Run, events: Collection[KeptEvent], keeper: str, now: Instant) -> int:
    rows = {each.digest: {**each._asdict(), "body": each.body.decode()} for each in events}
    given = [rows[digest] for digest in sorted(rows)]
    return counters(run, _KEEP, events=given, keeper=keeper, now=now).nodes_created


def folded(run: Run, events: Mapping[str, Collection[str]], keeper: str) -> dict[str, int]:
    counters(run, _FOLDED, digests=[digest for digests in events.values() for digest in digests])
    counted: dict[str, int] = dict(value(run, _OTHERS, origins=[*events], keeper=keeper))
    return {origin: counted.get(origin, 0) for origin in events}


def kept(
    run: Run, origin: str, since: Instant, until: Instant, after: EventPlace | None, limit: int
) -> list[KeptEvent]:
    at, digest = after or (-FOREVER, "")
    return _events(value(run, _KEPT, origin=origin, since=since, until=until, at=at, digest=digest, limit=limit))


def others(run: Run, origin: str, keeper: str) -> list[str]:
    return sorted(value(run, _OF_OTHERS, origin=origin, keeper=keeper))


def with_digests(run: Run, digests: Collection[str]) -> list[KeptEvent]:
    return sorted(_events(value(run, _BY_DIGEST, digests=[*{*digests}])))


def unfolded(run: Run, limit: int) -> list[str]:
    return [*value(run, _UNFOLDED, limit=limit)]


def origins(run: Run, after: str, limit: int) -> list[str]:
    return [*value(run, _ORIGINS, after=after, limit=limit)]


def whole(run: Run, before: Instant, limit: int) -> list[KeptEvent]:
    return _events(value(run, _WHOLE, before=before, limit=limit))


def reduce(run: Run, events: Sequence[KeptEvent], before: Instant, now: Instant) -> int:
    rows = [{"digest": each.digest, "body": each.body.decode()} for each in events]
    reduced: int = value(run, _REDUCE, events=rows, before=before, now=now)
    return reduced


def mark_said(run: Run, at: Mapping[tuple[Subject, str], Instant]) -> None:
    rows = sorted((str(subject), origin, instant) for (subject, origin), instant in at.items())
    counters(run, _HEAR, rows=[{"subject": subject, "origin": origin, "at": at} for subject, origin, at in rows])


def last_said(run: Run, subjects: Collection[Subject]) -> dict[tuple[Subject, str], Instant]:
    texts = {str(subject): subject for subject in subjects}
    return {(texts[text], origin): at for text, origin, at in value(run, _HEARD, subjects=[*texts])}


def _events(rows: Sequence[tuple[str, str, str, Instant]]) -> list[KeptEvent]:
    return [KeptEvent(digest, origin, body.encode(), at) for digest, origin, body, at in rows]


_KEEP = """
UNWIND $events AS row
MERGE (e:Event {digest: row.digest})
ON CREATE SET e.origin = row.origin, e.body = row.body, e.at = row.at, e.waiting = row.origin,
    e.keeper = $keeper, e.arrived = $now, e.whole = $now
"""

_FOLDED = """
UNWIND $digests AS digest
MATCH (e:Event {digest: digest}) WHERE e.waiting IS NOT NULL
REMOVE e.waiting
"""

_OTHERS = """
MATCH (e:Event) WHERE e.origin IN $origins AND e.keeper <> $keeper
WITH e.origin AS origin, count(*) AS count RETURN collect([origin, count])
"""

_KEPT = """
MATCH (e:Event {origin: $origin}) WHERE e.at >= $since AND e.at < $until
    AND (e.at > $at OR e.at = $at AND e.digest > $digest)
WITH e ORDER BY e.at, e.digest LIMIT $limit
RETURN collect([e.digest, e.origin, e.body, e.at])
"""

_OF_OTHERS = "MATCH (e:Event {origin: $origin}) WHERE e.keeper <> $keeper RETURN collect(e.digest)"

_BY_DIGEST = """
UNWIND $digests AS digest
MATCH (e:Event {digest: digest})
RETURN collect([e.digest, e.origin, e.body, e.at])
"""

_UNFOLDED = """
MATCH (e:Event) WHERE e.waiting IS NOT NULL
WITH DISTINCT e.waiting AS origin ORDER BY origin LIMIT $limit
RETURN collect(origin)
"""

_ORIGINS = """
MATCH (e:Event) WHERE e.origin > $after
WITH DISTINCT e.origin AS origin ORDER BY origin LIMIT $limit
RETURN collect(origin)
"""

_WHOLE = """
MATCH (e:Event) WHERE e.whole < $before AND e.waiting IS NULL
WITH e ORDER BY e.whole LIMIT $limit
RETURN collect([e.digest, e.origin, e.body, e.at])
"""

_REDUCE = """
UNWIND $events AS row
MATCH (e:Event {digest: row.digest}) WHERE e.whole IS NOT NULL
SET e.body = row.body
REMOVE e.whole
WITH count(*) AS reduced
FOREACH (_ IN CASE WHEN reduced = 0 THEN [] ELSE [1] END |
  CREATE (:Purge {at: $now, what: 'event', before: $before, removed: reduced}))
RETURN reduced
"""

_HEAR = """
UNWIND $rows AS row
MERGE (h:Heard {subject: row.subject, origin: row.origin})
SET h.at = CASE WHEN h.at > row.at THEN h.at ELSE row.at END
"""

_HEARD = """
UNWIND $subjects AS subject
MATCH (h:Heard {subject: subject})
RETURN collect([h.subject, h.origin, h.at])
"""
