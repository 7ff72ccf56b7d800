"""Writes into Neo4j: all of a group is read once, decided in memory in the order of arrival, and written once."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from graph.attributes import canonical
from graph.changes import Change, Changes, Receipt
from graph.errors import GraphError, PlanOutdated, StaleVersion, StoreUnavailable
from graph.keys import AssetKey
from graph.model import Assertion, Flow, Known, Operation, StoredAssertion, Subject
from graph.plan import receipt
from graph.stores import neo4j_messages, neo4j_usage
from graph.stores.contract import Revision
from graph.stores.neo4j_connection import Run, counters, value
from graph.stores.neo4j_names import subject_id
from graph.stores.neo4j_rows import (
    COLUMNS,
    Answer,
    answered,
    answers,
    by_subject,
    in_order,
    nodes_at,
    nodes_of,
    stored,
    stored_rows,
)
from graph.stores.neo4j_view import Nodes, next_change, plan_view, show, version_key
from graph.time import FOREVER, Instant

Commit: TypeAlias = tuple[Changes, Operation, Instant]

SETTLE_CHUNK = 2_000


@dataclass(slots=True)
class Draft:
    """What a group of commits finds, and what it makes of that."""

    revision: int
    latest: Instant
    last_asset: int
    last_assertion: int
    answers: dict[str, Answer]
    believed: dict[Subject, list[StoredAssertion]]
    numbers: dict[AssetKey, int]
    versions: dict[AssetKey, int]
    here: set[AssetKey]
    fresh: set[Subject]
    made: dict[AssetKey, int] = field(default_factory=dict)
    opened: dict[int, StoredAssertion] = field(default_factory=dict)
    closed: dict[int, int] = field(default_factory=dict)
    told: list[Revision] = field(default_factory=list)
    operations: list[dict[str, object]] = field(default_factory=list)
    messages: list[dict[str, object]] = field(default_factory=list)
    touched: dict[Subject, None] = field(default_factory=dict)

    def add(self, changes: Changes, operation: Operation, now: Instant) -> Receipt:
        done = answered(operation, self.answers)
        if done is not None:
            return done
        for key, version in changes.expected_versions.items():
            if self.versions.get(key, 0) != version:
                raise StaleVersion(key, version, self.versions.get(key, 0))
        for change in changes.changes:
            self._refuse_outdated(change)
        answer = receipt(changes, self.revision + bool(changes), now)
        if changes:
            self._write(changes, operation, now, answer.revision)
        if operation.id is not None:
            self.answers[operation.id] = operation.digest, answer
            self.operations.append(_operation_properties(operation, answer, now))
        return answer

    def _refuse_outdated(self, change: Change) -> None:
        mine = tuple(
            row.assertion
            for row in in_order(self.believed.get(change.subject, ()))
            if row.assertion.origin == change.origin
        )
        if mine != change.before:
            raise PlanOutdated(f"what {change.origin!r} says of {change.subject} has changed since the plan was made")

    def _write(self, changes: Changes, operation: Operation, now: Instant, revision: int) -> None:
        opened: list[StoredAssertion] = []
        closed: list[StoredAssertion] = []
        said: dict[AssetKey, tuple[Assertion, ...]] = {}
        self.revision, self.latest = revision, max(now, self.latest)
        for change in changes.changes:
            kept = self.believed.setdefault(change.subject, [])
            self.touched[change.subject] = None
            closes = change.closes
            for row in [row for row in kept if row.assertion in closes]:
                kept.remove(row)
                closed.append(self._close(row, revision))
            for span in change.opens:
                self.last_assertion += 1
                row = StoredAssertion(self.last_assertion, span, Known(revision))
                kept.append(row)
                self.opened[row.number] = row
                opened.append(row)
            for key in _keys_in(change.subject, change.after):
                self._number(key)
            if isinstance(change.subject, AssetKey):
                self.versions[change.subject] = revision
                said[change.subject] = tuple(row.assertion for row in in_order(kept))
        self.messages += neo4j_messages.properties(changes.messages, revision, now)
        closed.sort(key=lambda row: row.number)
        told = Revision(revision, self.latest, operation.id, operation.actor, tuple(opened), tuple(closed), said)
        self.told.append(told)

    def _close(self, row: StoredAssertion, revision: int) -> StoredAssertion:
        closed = StoredAssertion(row.number, row.assertion, Known(row.known.first, revision))
        if row.number in self.opened:
            self.opened[row.number] = closed
        else:
            self.closed[row.number] = revision
        return closed

    def _number(self, key: AssetKey) -> None:
        if key not in self.numbers:
            self.last_asset += 1
            self.numbers[key] = self.made[key] = self.last_asset


def apply(run: Run, group: Sequence[Commit], in_doubt: bool = False) -> tuple[Draft, list[Receipt | Exception]]:
    """`in_doubt`: an earlier attempt may have been committed, which only an operation id can tell."""
    draft = _draft(run, group)
    outcomes: list[Receipt | Exception] = []
    for changes, operation, now in group:
        if in_doubt and operation.id is None:
            outcomes.append(StoreUnavailable("the connection broke while committing: the outcome is unknown"))
            continue
        try:
            outcomes.append(draft.add(changes, operation, now))
        except GraphError as error:
            outcomes.append(error)
    _record(run, draft, max(now for _, _, now in group))
    return draft, outcomes


def warm_up(run: Run) -> None:
    """Has the server plan what a commit runs: on one just started, that takes longer than a request may."""
    _draft(run, [])
    value(run, _RECORD, closed=[], opened=[], revisions=[], operations=[], messages=[], head={}, now=0)
    plan_view(run)
    neo4j_usage.add(run, [])


def _draft(run: Run, group: Sequence[Commit]) -> Draft:
    changed = [change for changes, _, _ in group for change in changes.changes]
    subjects = {subject_id(change.subject): change.subject for change in changed}
    keys = {key: None for change in changed for key in _keys_in(change.subject, (*change.before, *change.after))}
    keys |= {key: None for changes, _, _ in group for key in changes.expected_versions}
    texts = {str(key): key for key in keys}
    head, assets, assertions, latest, operations, found, rows = value(
        run,
        _DRAFT,
        ids=[operation.id for _, operation, _ in group if operation.id is not None],
        keys=sorted(texts),
        subjects=[*subjects],
        forever=FOREVER,
    )
    nodes = nodes_of(texts, found)
    believed = by_subject(stored(subjects[id_], *row) for id_, *row in rows)
    return Draft(
        head,
        latest,
        assets,
        assertions,
        answers(operations),
        believed,
        dict(nodes.numbers),
        dict(nodes.versions),
        {*nodes.here},
        {*subjects.values()} - believed.keys(),
    )


def _record(run: Run, draft: Draft, now: Instant) -> None:
    if not draft.told and not draft.operations:
        return
    if draft.touched:
        believed = {subject: [row.assertion for row in draft.believed[subject]] for subject in draft.touched}
        nodes = Nodes(draft.numbers, draft.versions, draft.here, draft.made)
        show(run, believed, nodes, now, draft.fresh)
    head = {
        "number": draft.revision,
        "at": draft.latest,
        "assets": draft.last_asset,
        "assertions": draft.last_assertion,
    }
    written = value(
        run,
        _RECORD,
        closed=[[number, revision] for number, revision in draft.closed.items()],
        opened=opened_rows(draft.opened.values(), draft.numbers, now),
        revisions=[_revision_properties(revision) for revision in draft.told],
        operations=draft.operations,
        messages=draft.messages,
        head=head,
        now=now,
    )
    if written != len(draft.closed):
        raise StoreUnavailable(f"{len(draft.closed) - written} assertions to close have vanished: run check-store")


def _keys_in(subject: Subject, spans: Iterable[Assertion]) -> list[AssetKey]:
    """Every key that a subject brings along, containers and the versions an alias names included; some may stand twice."""
    if not isinstance(subject, AssetKey):
        ends = [end for end in subject if end]
        return [key for end in ends for key in (end.container, end) if key]
    keys = [key for key in (subject.container, subject) if key]
    if subject.is_alias:
        versions = (version_key(subject, span.attributes.get("version")) for span in spans)
        keys += [version for version in versions if version]
    return keys


def settle(run: Run, now: Instant) -> tuple[int, int]:
    """How many assertions were due, and how many flows came or went."""
    value(run, _DRAFT, ids=[], keys=[], subjects=[], forever=FOREVER)
    due, count = value(run, _DUE, now=now, limit=SETTLE_CHUNK)
    if not due:
        return 0, 0
    rows = stored_rows(
        run, "UNWIND $due AS subject MATCH (x:Assertion {subject: subject}) WHERE x.known_last IS NULL", due=due
    )
    believed = {subject: [row.assertion for row in said] for subject, said in by_subject(rows).items()}
    nodes = nodes_at(run, {key for subject, spans in believed.items() for key in _keys_in(subject, spans)})
    moved = show(run, believed, nodes, now)
    next_changes = [[row.number, next_change(row.assertion, now)] for row in rows]
    counters(run, _SETTLED, rows=next_changes, now=now)
    return count, moved


def _operation_properties(operation: Operation, answer: Receipt, now: Instant) -> dict[str, object]:
    return {
        "id": operation.id,
        "digest": operation.digest,
        "at": now,
        "actor": operation.actor,
        "revision": answer.revision,
        "changed": answer.changed,
        "added": answer.added,
        "updated": answer.updated,
        "withdrawn": answer.withdrawn,
    }


def _revision_properties(revision: Revision) -> dict[str, object]:
    return {
        "number": revision.number,
        "at": revision.at,
        "operation": revision.operation,
        "actor": revision.actor,
        "opened": len(revision.opened),
        "closed": len(revision.closed),
    }


class _Alike(NamedTuple):
    """What most assertions of a commit share, and is sent once for all that do."""

    origin: str
    basis: str
    valid_start: Instant
    valid_end: Instant
    known_first: int
    known_last: int | None
    settles_at: Instant | None


def opened_rows(
    rows: Iterable[StoredAssertion], numbers: Mapping[AssetKey, int], now: Instant
) -> list[dict[str, object]]:
    groups: dict[_Alike, list[list[object]]] = {}
    for row in rows:
        said, subject = row.assertion, row.assertion.subject
        source, target, via = subject if isinstance(subject, Flow) else (subject, None, None)
        last = None if row.known.last == FOREVER else row.known.last
        settles_at = next_change(said, now) if last is None else None
        alike = _Alike(said.origin, said.basis.value, *said.valid, row.known.first, last, settles_at)
        attributes = canonical(said.attributes).decode() if said.attributes else None
        groups.setdefault(alike, []).append(
            [
                row.number,
                subject_id(subject),
                numbers[source],
                target and numbers[target],
                via and numbers[via],
                attributes,
            ]
        )
    return [{**alike._asdict(), "rows": rows} for alike, rows in groups.items()]


# Setting a property takes the lock, and writes nothing where it is set already (removing one that is not there takes no
# lock). Nothing else reads it: Cypher would keep the value from before the lock. All else is read when the lock is held.
LOCK = "MATCH (h:Head {name: 'lineage'}) SET h.lock = true"

_DRAFT = f"""
{LOCK}
WITH h
RETURN [h.number, h.assets, h.assertions, h.at,
  COLLECT {{
    UNWIND $ids AS id MATCH (o:Operation {{id: id}})
    RETURN [o.id, o.digest, o.revision, o.changed, o.added, o.updated, o.withdrawn]
  }},
  COLLECT {{
    UNWIND $keys AS key MATCH (k:Key {{key: key}})
    RETURN [key, k.number, k.asset_version, k:Asset OR k:Alias]
  }},
  COLLECT {{
    UNWIND $subjects AS id MATCH (x:Assertion {{subject: id}}) WHERE x.known_last IS NULL
    RETURN [id, {COLUMNS}]
  }}]
"""

OPEN = """
UNWIND $opened AS alike
UNWIND alike.rows AS row
CREATE (x:Assertion {number: row[0], subject: row[1], source: row[2], target: row[3], via: row[4], attributes: row[5],
  origin: alike.origin, basis: alike.basis, valid_start: alike.valid_start, valid_end: alike.valid_end,
  known_first: alike.known_first, known_last: alike.known_last, settles_at: alike.settles_at})
"""

_RECORD = f"""
CALL {{{OPEN}}}
CALL {{ UNWIND $revisions AS revision CREATE (r:Revision) SET r = revision }}
CALL {{ UNWIND $operations AS operation CREATE (o:Operation) SET o = operation }}
CALL {{ UNWIND $messages AS message MERGE (m:Message {{id: message.id}}) ON CREATE SET m = message }}
CALL {{
  UNWIND $closed AS close
  MATCH (x:Assertion {{number: close[0]}})
  SET x.known_last = close[1] REMOVE x.settles_at
  RETURN count(*) AS closed
}}
MATCH (h:Head {{name: 'lineage'}})
SET h += $head, h.shown_at = CASE WHEN h.shown_at > $now THEN h.shown_at ELSE $now END
RETURN closed
"""

_DUE = """
MATCH (x:Assertion) WHERE x.settles_at <= $now
WITH x LIMIT $limit
RETURN [collect(DISTINCT x.subject), count(x)]
"""

_SETTLED = """
UNWIND $rows AS row
MATCH (x:Assertion {number: row[0]}) SET x.settles_at = row[1]
WITH count(*) AS all
MATCH (h:Head {name: 'lineage'}) SET h.shown_at = CASE WHEN h.shown_at > $now THEN h.shown_at ELSE $now END
"""
