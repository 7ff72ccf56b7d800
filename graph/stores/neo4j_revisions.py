"""Reads revisions out of Neo4j: those that follow one, and those about one asset."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate
from typing import Any

from graph.keys import AssetKey
from graph.model import StoredAssertion
from graph.stores.contract import Revision
from graph.stores.neo4j_connection import Run, value
from graph.stores.neo4j_rows import said_of, stored_rows

_FOLLOW_CHUNK = 50_000


def revisions_after(run: Run, after: int, head: int, limit: int) -> list[Revision]:
    """The revisions after `after`: at least one, and more for as long as they are small."""
    rows = value(run, _REVISIONS_AFTER, after=after, head=head, limit=limit)
    sizes = accumulate(opened + closed for *_, opened, closed in rows)
    fitting = sum(1 for size in sizes if size <= _FOLLOW_CHUNK)
    revisions = _revisions(run, [row[:4] for row in rows[: max(fitting, 1)]], None)
    if not revisions:
        return []
    own = {revision.number: _told_of_itself(revision) for revision in revisions}
    where = "x.known_first <= $high AND coalesce(x.known_last > $low, true)"
    bounds = {"low": revisions[0].number, "high": revisions[-1].number}
    said = said_of(run, {key: None for keys in own.values() for key in keys}, where, **bounds)
    return [
        replace(
            revision,
            said={
                key: tuple(row.assertion for row in said.get(key, ()) if row.known.holds_at(revision.number))
                for key in own[revision.number]
            },
        )
        for revision in revisions
    ]


def revisions_about(run: Run, key: AssetKey, before: int, limit: int) -> list[Revision]:
    """The newest revisions before `before` that tell of the asset or a flow at it, cut down to that."""
    numbers = value(run, _REVISIONS_ABOUT, key=str(key), before=before, limit=limit)
    return _revisions(run, value(run, _REVISIONS, numbers=numbers), key)


def _told_of_itself(revision: Revision) -> dict[AssetKey, None]:
    subjects = (row.assertion.subject for row in (*revision.opened, *revision.closed))
    return {subject: None for subject in subjects if isinstance(subject, AssetKey)}


def _revisions(run: Run, rows: Sequence[Sequence[Any]], about: AssetKey | None) -> list[Revision]:
    """The revisions in `rows`, cut down to what is `about` an asset."""
    numbers = [number for number, *_ in rows]
    if not numbers:
        return []
    bounds = {"low": numbers[0], "high": numbers[-1], "numbers": numbers, "key": str(about)}
    opened: dict[int, list[StoredAssertion]] = {}
    closed: dict[int, list[StoredAssertion]] = {}
    found = stored_rows(run, _MOVED if about is None else _MOVED_ABOUT, **bounds)
    for row in sorted(found, key=lambda row: row.number):
        opened.setdefault(row.known.first, []).append(row)
        closed.setdefault(row.known.last, []).append(row)
    return [
        Revision(number, at, operation, actor, tuple(opened.get(number, ())), tuple(closed.get(number, ())))
        for number, at, operation, actor in rows
    ]


_ABOUT = "MATCH (k:Key {key: $key}) MATCH (x:Assertion) WHERE (x.source = k.number OR x.target = k.number)"

_REVISIONS_AFTER = """
MATCH (r:Revision) WHERE $after < r.number <= $head
WITH r ORDER BY r.number LIMIT $limit
RETURN collect([r.number, r.at, r.operation, r.actor, r.opened, r.closed])
"""

_REVISIONS = """
UNWIND $numbers AS number
MATCH (r:Revision {number: number})
WITH r ORDER BY r.number
RETURN collect([r.number, r.at, r.operation, r.actor])
"""

_MOVED = """
CALL {
  MATCH (x:Assertion) WHERE $low <= x.known_first <= $high RETURN x
  UNION
  MATCH (x:Assertion) WHERE $low <= x.known_last <= $high RETURN x
}
"""

_MOVED_ABOUT = f"{_ABOUT} AND (x.known_first IN $numbers OR x.known_last IN $numbers)"

_REVISIONS_ABOUT = f"""
{_ABOUT}
UNWIND [x.known_first, x.known_last] AS number
WITH DISTINCT number WHERE number < $before
ORDER BY number DESC LIMIT $limit
RETURN collect(number)
"""
