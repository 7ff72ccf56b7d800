"""Sources in Neo4j: a node `:SourceDay` for each source and day, and a `:Rejected` for each item that was refused."""

from collections.abc import Collection, Mapping
from dataclasses import asdict

from graph.sources import MOST_REJECTED, Heard, Rejected, Unmended
from graph.stores.neo4j_connection import Run, counters, value
from graph.time import Instant
from graph.usage import Day


def hear(run: Run, heard: Collection[Heard]) -> None:
    counters(run, _HEAR, heard=[{**each._asdict(), "id": f"{each.day} {each.source}"} for each in heard])


def heard(run: Run, since: Day, source: str | None) -> list[Heard]:
    return sorted((Heard(*row) for row in value(run, _HEARD, since=since, source=source)), key=lambda each: each[:2])


def reject(run: Run, items: Collection[Rejected]) -> None:
    by_id: dict[str, Rejected] = {}
    for each in items:
        known = by_id.get(each.id)
        by_id[each.id] = each if known is None else known.again(each)
    counters(run, _REJECT, items=[asdict(by_id[id_]) for id_ in sorted(by_id)])
    counters(run, _TRIM, sources=sorted({each.source for each in items}), most=MOST_REJECTED)


def rejected(run: Run, source: str | None, before: tuple[Instant, str] | None, limit: int) -> list[Rejected]:
    last, id_ = before or (None, None)
    asked = ["n.source = $source"] if source is not None else []
    asked += ["(n.last < $last OR n.last = $last AND n.id < $id)"] if before is not None else []
    where = f"WHERE {' AND '.join(asked)}" if asked else ""
    query = f"MATCH (n:Rejected) {where} WITH n ORDER BY n.last DESC, n.id DESC LIMIT $limit {_ROWS}"
    return [Rejected(*row) for row in value(run, query, source=source, last=last, id=id_, limit=limit)]


def rejected_item(run: Run, id_: str) -> Rejected | None:
    rows = value(run, f"MATCH (n:Rejected {{id: $id}}) {_ROWS}", id=id_)
    return Rejected(*rows[0]) if rows else None


def mended(run: Run, ids: Collection[str]) -> int:
    return counters(run, "UNWIND $ids AS id MATCH (n:Rejected {id: id}) DELETE n", ids=sorted(set(ids))).nodes_deleted


def unmended(run: Run) -> Mapping[str, Unmended]:
    return {source: Unmended(count, last) for source, count, last in sorted(value(run, _UNMENDED))}


_HEAR = """
UNWIND $heard AS row
MERGE (n:SourceDay {id: row.id})
ON CREATE SET n.source = row.source, n.day = row.day, n.items = 0, n.rejected = 0
SET n.items = n.items + row.items, n.rejected = n.rejected + row.rejected,
  n.first = CASE WHEN n.first < row.first THEN n.first ELSE row.first END,
  n.last = CASE WHEN n.last > row.last THEN n.last ELSE row.last END,
  n.newest = CASE WHEN row.newest IS NULL OR n.newest > row.newest THEN n.newest ELSE row.newest END,
  n.lag = CASE WHEN row.lag IS NULL OR n.lag > row.lag THEN n.lag ELSE row.lag END
"""

_HEARD = """
MATCH (n:SourceDay) WHERE n.day >= $since AND ($source IS NULL OR n.source = $source)
RETURN collect([n.source, n.day, n.items, n.rejected, n.first, n.last, n.newest, n.lag])
"""

_ROWS = """
RETURN collect([n.id, n.source, n.target, n.form, n.place, n.reason, n.body, n.first, n.last, n.times])
"""

_REJECT = """
UNWIND $items AS row
MERGE (n:Rejected {id: row.id})
ON CREATE SET n.source = row.source, n.target = row.target, n.form = row.form, n.body = row.body, n.first = row.first,
  n.times = 0
SET n.place = row.place, n.reason = row.reason, n.times = n.times + row.times,
  n.last = CASE WHEN n.last > row.last THEN n.last ELSE row.last END
"""

_TRIM = """
UNWIND $sources AS source
CALL (source) {
  MATCH (n:Rejected {source: source})
  WITH n ORDER BY n.last DESC, n.id DESC SKIP $most
  DELETE n
}
"""

_UNMENDED = "MATCH (n:Rejected) WITH n.source AS source, count(*) AS count, max(n.last) AS last RETURN collect([source, count, last])"
