"""What Neo4j returns, as the values of the graph."""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

import orjson

from graph.changes import Receipt
from graph.errors import OperationReused
from graph.keys import AssetKey
from graph.model import Assertion, Attributes, Basis, Flow, Known, Operation, StoredAssertion, Subject
from graph.stores.neo4j_connection import Run, value
from graph.stores.neo4j_names import subject_id
from graph.stores.neo4j_view import Nodes
from graph.time import FOREVER, Interval

Answer: TypeAlias = tuple[str, Receipt]
"""The digest of an operation, and the receipt that it was given."""


def said_of(
    run: Run, subjects: Iterable[Subject], where: str, **parameters: object
) -> dict[Subject, list[StoredAssertion]]:
    """What is said of `subjects`, by origin and start; their keys are known, so nothing else is looked up."""
    by_id = {subject_id(subject): subject for subject in subjects}
    if not by_id:
        return {}
    query = f"""
        UNWIND $ids AS id
        MATCH (x:Assertion {{subject: id}}) WHERE {where}
        RETURN collect([id, {COLUMNS}])"""
    rows = value(run, query, ids=[*by_id], forever=FOREVER, **parameters)
    found = [stored(by_id[id_], *row) for id_, *row in rows]
    return by_subject(in_order(found))


def stored_rows(run: Run, match: str, **parameters: object) -> list[StoredAssertion]:
    """The assertions `x` that `match` finds, by origin and start."""
    query = f"""
        {match}
        MATCH (s:Key {{number: x.source}})
        OPTIONAL MATCH (t:Key {{number: x.target}})
        OPTIONAL MATCH (v:Key {{number: x.via}})
        RETURN collect([s.key, t.key, v.key, {COLUMNS}])"""
    rows = value(run, query, forever=FOREVER, **parameters)
    return in_order(
        stored(Flow(key_of(s), key_of(t), key_of(v) if v else None) if t else key_of(s), *row) for s, t, v, *row in rows
    )


def stored(
    subject: Subject,
    number: int,
    origin: str,
    basis: str,
    start: int,
    end: int,
    first: int,
    last: int,
    attributes: str | None,
) -> StoredAssertion:
    content: Attributes = orjson.loads(attributes) if attributes else {}
    return StoredAssertion(
        number, Assertion(subject, origin, Basis(basis), Interval(start, end), content), Known(first, last)
    )


def in_order(rows: Iterable[StoredAssertion]) -> list[StoredAssertion]:
    return sorted(rows, key=lambda row: (row.assertion.origin, row.assertion.valid.start, row.known.first))


def by_subject(rows: Iterable[StoredAssertion]) -> dict[Subject, list[StoredAssertion]]:
    found: dict[Subject, list[StoredAssertion]] = {}
    for row in rows:
        found.setdefault(row.assertion.subject, []).append(row)
    return found


def nodes_at(run: Run, keys: Iterable[AssetKey]) -> Nodes:
    """Of those that are stored."""
    by_text = {str(key): key for key in keys}
    return nodes_of(by_text, value(run, _NODES, keys=sorted(by_text)) if by_text else [])


def nodes_of(keys: Mapping[str, AssetKey], rows: Iterable[tuple[str, int, int | None, bool]]) -> Nodes:
    numbers: dict[AssetKey, int] = {}
    versions: dict[AssetKey, int] = {}
    here: set[AssetKey] = set()
    for text, number, version, is_here in rows:
        key = keys[text]
        numbers[key] = number
        if version:
            versions[key] = version
        if is_here:
            here.add(key)
    return Nodes(numbers, versions, here)


def answers(rows: Iterable[Sequence[Any]]) -> dict[str, Answer]:
    return {id_: (digest, Receipt(*answer)) for id_, digest, *answer in rows}


def answered(operation: Operation, answers: Mapping[str, Answer]) -> Receipt | None:
    if operation.id is None or operation.id not in answers:
        return None
    digest, answer = answers[operation.id]
    if digest != operation.digest:
        raise OperationReused(operation.id)
    return answer


key_of = lru_cache(maxsize=65536)(AssetKey.parse)


COLUMNS = """x.number, x.origin, x.basis, x.valid_start, x.valid_end, x.known_first,
    coalesce(x.known_last, $forever), x.attributes"""

OPERATIONS = """
MATCH (o:Operation) WHERE o.id IN $ids
RETURN collect([o.id, o.digest, o.revision, o.changed, o.added, o.updated, o.withdrawn])
"""

_NODES = (
    "UNWIND $keys AS key MATCH (k:Key {key: key}) RETURN collect([key, k.number, k.asset_version, k:Asset OR k:Alias])"
)
