"""Usage in Neo4j: a node `:Usage` for each flow, `verified` and day; the flow's relationship shows what they sum up to.

(:Usage)     `id` begins with the id of the flow that it is the use of, registered or not
(:Counter)   the last batch that a recorder counted
(:SeenSpans) spans that were counted, (:SpanLinks) how they hang together
"""

from collections.abc import Collection, Iterable
from typing import Any

from graph.keys import AssetKey
from graph.model import Flow
from graph.stores.contract import SeenSpans, ToldSpans
from graph.stores.neo4j_connection import Run, counters, value
from graph.stores.neo4j_names import subject_id
from graph.stores.neo4j_view import FLOW_TYPES
from graph.usage import Day, Latency, Usage, day_of, merged_latency

SHOWN_DAYS = 30
"""`calls_per_day` on a relationship is the mean over this many days up to the last call, or over those since the first."""


def count(run: Run, usages: Collection[Usage], counter: str, sequence: int) -> bool:
    """The caller holds the lock."""
    if not moved(run, counter, sequence, (usage.day for usage in usages)):
        return False
    add(run, usages)
    return True


def moved(run: Run, counter: str, sequence: int, days: Iterable[Day]) -> bool:
    """Whether this batch of the recorder is new."""
    return bool(value(run, _MOVE_COUNTER, name=counter, sequence=sequence, day=max(days, default=0)))


def count_spans(run: Run, usages: Collection[Usage], counter: str, sequence: int, told: ToldSpans) -> list[SeenSpans]:
    """The caller holds the lock."""
    if value(run, _COUNTED, name=counter, sequence=sequence):
        return []
    others = value(run, _SEEN_AFTER, after=told.after)
    if others:
        return _seen(others)
    last_day = max((usage.day for usage in usages), default=day_of(told.at))
    value(run, _MOVE_COUNTER, name=counter, sequence=sequence, day=last_day)
    add(run, usages)
    rows = [
        {"number": told.after + at, "minute": minute, "ids": ids}
        for at, (minute, ids) in enumerate(sorted(told.seen.items()), 1)
    ]
    counters(run, _TELL_SEEN, rows=rows)
    if told.links:
        counters(run, _TELL_LINKS, recorder=told.recorder, at=told.at, body=told.links)
    return []


def seen_spans(run: Run, minutes: Collection[int]) -> list[SeenSpans]:
    return _seen(value(run, _SEEN_IN, minutes=[*minutes]))


def last_seen_spans(run: Run) -> int:
    return int(value(run, _LAST_SEEN))


def links(run: Run, recorder: str, since: int) -> list[bytes]:
    return [bytes(body) for body in value(run, _LINKS, recorder=recorder, since=since)]


def _seen(rows: Any) -> list[SeenSpans]:
    return [SeenSpans(number, minute, bytes(ids)) for number, minute, ids in rows]


def add(run: Run, usages: Collection[Usage]) -> None:
    rows = [_properties(usage) for usage in usages]
    timed = {str(row["id"]): row for row in rows if row["latency"] is not None}
    if len(timed) < sum(row["latency"] is not None for row in rows):
        for row in rows:  # two of one flow and day in one batch: one after the other
            _add_rows(run, [row])
    else:
        _add_rows(run, rows)
    _show(run, usages)


def _add_rows(run: Run, rows: list[dict[str, Any]]) -> None:
    timed = [row["id"] for row in rows if row["latency"] is not None]
    known = dict(value(run, _LATENCIES, ids=timed)) if timed else {}
    for row in rows:
        row["timed"] = row["latency"] is not None
        row["latency"] = merged_latency(known.get(row["id"]), row["latency"])
    counters(run, _ADD, usages=rows)


def _show(run: Run, usages: Collection[Usage]) -> None:
    read = {(str(usage.source), str(usage.reader)): _flow_id(usage) for usage in usages if usage.reader}
    flows = [{"source": source, "target": target, "id": id_} for (source, target), id_ in sorted(read.items())]
    counters(run, _SHOW, flows=flows, days=SHOWN_DAYS)


def usage(run: Run, keys: Collection[AssetKey], since_day: Day) -> list[Usage]:
    rows = value(run, _USAGE, keys=sorted(map(str, keys)), since=since_day)
    return [
        Usage(
            AssetKey.parse(source),
            AssetKey.parse(reader) if reader else None,
            verified,
            day,
            calls,
            errors,
            first,
            last,
            None if latency is None else Latency.unpacked(latency),
        )
        for source, reader, verified, day, calls, errors, first, last, latency in sorted(
            rows, key=lambda row: (row[0], row[1] or "", *row[2:4])
        )
    ]


def _flow_id(usage: Usage) -> str:
    return subject_id(Flow(usage.source, usage.reader)) if usage.reader else subject_id(usage.source)


def _properties(usage: Usage) -> dict[str, Any]:
    return {
        "id": f"{_flow_id(usage)} {usage.verified} {usage.day}",
        "source": str(usage.source),
        "reader": str(usage.reader) if usage.reader else None,
        "verified": usage.verified,
        "day": usage.day,
        "calls": usage.calls,
        "errors": usage.errors,
        "first": usage.first,
        "last": usage.last,
        "latency": usage.latency and usage.latency.packed,
    }


_MOVE_COUNTER = """
MERGE (c:Counter {name: $name})
WITH c WHERE coalesce(c.sequence < $sequence, true)
SET c.sequence = $sequence, c.day = CASE WHEN c.day > $day THEN c.day ELSE $day END
RETURN count(c) = 1
"""

# What was taken back was not seen: it moves neither `first` nor `last`. A comparison with null goes to ELSE.
_ADD = """
UNWIND $usages AS row
MERGE (u:Usage {id: row.id})
ON CREATE SET u.source = row.source, u.reader = row.reader, u.verified = row.verified, u.day = row.day,
  u.calls = 0, u.errors = 0
SET u.calls = u.calls + row.calls, u.errors = u.errors + row.errors,
  u.latency = CASE WHEN row.timed THEN row.latency ELSE u.latency END
WITH u, row WHERE row.calls > 0
SET u.first = CASE WHEN u.first < row.first THEN u.first ELSE row.first END,
  u.last = CASE WHEN u.last > row.last THEN u.last ELSE row.last END
"""

_SHOW = f"""
UNWIND $flows AS flow
MATCH (s:Key {{key: flow.source}}) MATCH (t:Key {{key: flow.target}})
MATCH (s)-[f:{FLOW_TYPES}]->(t) WHERE f.id = flow.id
CALL (flow) {{
  MATCH (u:Usage) WHERE u.id STARTS WITH flow.id AND u.calls > 0
  WITH collect(u) AS counted, max(u.day) AS last_day, max(u.last) AS last
  UNWIND counted AS u
  WITH u, last_day, last WHERE u.day > last_day - $days
  WITH last, last_day, sum(u.calls) AS calls, min(u.day) AS first_day
  RETURN last, toFloat(calls) / (last_day - first_day + 1) AS calls_per_day
}}
SET f.calls_per_day = calls_per_day,
  f.last_seen = datetime({{epochSeconds: last / 1000000, nanosecond: last % 1000000 * 1000}})
"""

_USAGE = """
CALL {
  MATCH (u:Usage) WHERE u.source IN $keys RETURN u
  UNION
  MATCH (u:Usage) WHERE u.reader IN $keys RETURN u
}
WITH u WHERE u.day >= $since AND u.calls > 0
RETURN collect([u.source, u.reader, u.verified, u.day, u.calls, u.errors, u.first, u.last, u.latency])
"""

_LATENCIES = "MATCH (u:Usage) WHERE u.id IN $ids AND u.latency IS NOT NULL RETURN collect([u.id, u.latency])"
_COUNTED = "OPTIONAL MATCH (c:Counter {name: $name}) RETURN coalesce(c.sequence >= $sequence, false)"
_SEEN_ROWS = "WITH s ORDER BY s.number RETURN collect([s.number, s.minute, s.ids])"
_SEEN_AFTER = f"MATCH (s:SeenSpans) WHERE s.number > $after {_SEEN_ROWS}"
_SEEN_IN = f"MATCH (s:SeenSpans) WHERE s.minute IN $minutes {_SEEN_ROWS}"
_LAST_SEEN = "MATCH (s:SeenSpans) RETURN coalesce(max(s.number), 0)"
_TELL_SEEN = "UNWIND $rows AS row CREATE (s:SeenSpans) SET s = row"
_TELL_LINKS = "CREATE (:SpanLinks {recorder: $recorder, at: $at, body: $body})"
_LINKS = (
    "MATCH (l:SpanLinks) WHERE l.at >= $since AND l.recorder = $recorder"
    " WITH l ORDER BY l.at, elementId(l) RETURN collect(l.body)"
)
