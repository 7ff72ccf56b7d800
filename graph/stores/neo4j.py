"""The production store: Neo4j 5.23 or later, Community, Enterprise or Aura (`neo4j+s://`; untested on Aura).

What holds now is a graph for people (`neo4j_view`); the truth behind it is nodes of labels of their own:

    (:Assertion)   every one, open and closed; `source`, `target` and `via` are the numbers of assets
    (:Revision)    one a commit, numbered without gaps, with how many assertions it opened and closed
    (:Operation)   the answer an operation id was given
    (:Message)     what others must be told of a commit (`neo4j_messages`)
    (:Usage)       how often what was called, by whom (`neo4j_usage`)
    (:Head)        the last numbers given out; every write locks it first, so writers follow one another

A reader may see a part of a commit that Neo4j is just applying. Only the last revision can be such a one, so `head`
counts what it holds and names the one before until all is there; whatever is read up to `head` is whole.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from itertools import accumulate
from typing import Any, NamedTuple, TypeAlias, TypeVar

import numpy as np
import orjson

from graph.attributes import canonical
from graph.changes import Change, Changes, Receipt
from graph.errors import GraphError, OperationReused, PlanOutdated, StaleVersion, StoreUnavailable
from graph.keys import AssetKey, AssetKind
from graph.messages import Delivery
from graph.model import REFINES_FIRST, Assertion, Attributes, Basis, Flow, Known, Operation, StoredAssertion, Subject
from graph.plan import receipt
from graph.stores import neo4j_messages, neo4j_usage
from graph.stores.contract import AssertionColumns, AssetColumns, Listener, Plan, Revision, SearchHit
from graph.stores.group import GroupCommit
from graph.stores.neo4j_check import check
from graph.stores.neo4j_connection import Neo4jAddress, Neo4jConnection, Run, counters, value
from graph.stores.neo4j_migrate import migrate
from graph.stores.neo4j_names import subject_id
from graph.stores.neo4j_recent import RecentRevisions
from graph.stores.neo4j_view import Nodes, next_change, plan_view, show, version_key
from graph.stores.words import query_words
from graph.time import FOREVER, Instant, Interval
from graph.usage import KEPT_DAYS, Day, Usage, day_of

T = TypeVar("T")

Commit: TypeAlias = tuple[Changes, Operation, Instant]

Answer: TypeAlias = tuple[str, Receipt]
"""The digest of an operation, and the receipt that it was given."""

_BACKGROUND_SECONDS = 120.0
_ROWS_PER_SECOND = 1000
_EXPORT_CHUNK = 50_000
_SETTLE_CHUNK = 2_000
_FORGET_CHUNK = 10_000
_FOLLOW_CHUNK = 50_000
_SMALL = 100


class Neo4jStore:
    """`url` is `neo4j://user:password@host:port/database`, credentials and database optional; `+s` for TLS.

    Creating it brings the schema up to date. Raises InvalidInput for the URL, StoreIncompatible for a schema that is
    newer or was changed by hand, StoreUnavailable. A call answers within `request_deadline` seconds or raises
    StoreUnavailable, but large commits, and what they must read before, have a second more for each thousand assertions,
    and `export`, `settle` and `check` take as long as they need, step by step.
    """

    def __init__(self, url: str, *, request_deadline: float = 5.0) -> None:
        self._seconds = request_deadline
        self._db = Neo4jConnection(Neo4jAddress.parse(url), request_deadline)
        try:
            migrate(self._db)
            self._db.write(_warm_up, _BACKGROUND_SECONDS)
        except BaseException:
            self._db.close()
            raise
        self._whole = 0
        self._recent = RecentRevisions()
        self._listener: Listener | None = None
        self._answers: GroupCommit[str, Mapping[str, Answer]] = GroupCommit(self._read_answers)
        self._beliefs: GroupCommit[Collection[Subject], Mapping[Subject, tuple[Assertion, ...]]] = GroupCommit(
            self._read_beliefs
        )
        self._commits: GroupCommit[Commit, Receipt] = GroupCommit(self._commit_group)

    # Writing

    def commit(self, changes: Changes | Plan, operation: Operation, now: Instant) -> Receipt:
        if not isinstance(changes, Changes):
            done = self.receipt_of(operation)
            if done is not None:
                return done
            changes = changes.changes(self)
        return self._commits.submit((changes, operation, now))

    def announce_to(self, listener: Listener) -> None:
        self._listener = listener

    def _commit_group(self, group: Sequence[Commit]) -> list[Receipt | Exception]:
        size = sum(len(change.before) + len(change.after) for changes, _, _ in group for change in changes.changes)
        draft, outcomes = self._db.write(
            lambda run: _apply(run, group),
            self._seconds + size / _ROWS_PER_SECOND,
            after_doubt=lambda run: _apply(run, group, in_doubt=True),
        )
        for revision in draft.told:
            self._recent.add(revision)
        self._whole = max(self._whole, draft.revision)  # a commit that has returned can be seen whole
        if draft.told and self._listener:
            with suppress(Exception):  # it is committed; whoever needs the listener to know asks it to catch up
                self._listener(draft.told)
        return outcomes

    def settle(self, now: Instant) -> int:
        moved = 0
        with self._commits.exclusively():
            while True:
                settled, flows = self._db.write(lambda run: _settle(run, now), _BACKGROUND_SECONDS)
                moved += flows
                if settled < _SETTLE_CHUNK:
                    return moved

    def forget_operations(self, before: Instant, now: Instant) -> int:
        oldest = day_of(now) - KEPT_DAYS
        with self._commits.exclusively():
            removed = self._forget("operation", _OLD_OPERATIONS, before, now)
            self._forget("message", _OLD_MESSAGES, before, now)
            self._forget("usage", "MATCH (n:Usage) WHERE n.day < $before", oldest, now)
            self._forget("counter", "MATCH (n:Counter) WHERE n.day < $before", oldest, now)
        return removed

    def _forget(self, what: str, match: str, before: int, now: Instant) -> int:
        query, removed = f"{match}{_FORGET}", 0
        while True:
            forgotten: int = self._db.write(
                lambda run: value(run, query, what=what, before=before, now=now, limit=_FORGET_CHUNK),
                _BACKGROUND_SECONDS,
            )
            removed += forgotten
            if forgotten < _FORGET_CHUNK:
                return removed

    def count(self, usages: Collection[Usage], counter: str, sequence: int) -> bool:
        return self._write_locked(lambda run: neo4j_usage.count(run, usages, counter, sequence))

    def lease(self, now: Instant, until: Instant, limit: int = 20) -> list[Delivery]:
        return self._write_locked(lambda run: neo4j_messages.lease(run, now, until, limit))

    def delivered(self, message: str, now: Instant) -> None:
        self._write_locked(lambda run: neo4j_messages.delivered(run, message, now))

    def postponed(self, message: str, until: Instant | None, reason: str) -> None:
        self._write_locked(lambda run: neo4j_messages.postponed(run, message, until, reason))

    def _write_locked(self, work: Callable[[Run], T]) -> T:
        def write(run: Run) -> T:
            counters(run, _LOCK)
            return work(run)

        return self._db.write(write)

    # Reading

    def head(self) -> int:
        return self._db.read(self._head)

    def believed(self, subjects: Collection[Subject]) -> Mapping[Subject, tuple[Assertion, ...]]:
        return self._beliefs.submit(subjects) if len(subjects) <= _SMALL else self._read_beliefs([subjects])[0]

    def _read_beliefs(self, group: Sequence[Collection[Subject]]) -> list[Mapping[Subject, tuple[Assertion, ...]]]:
        subjects = {subject: None for asked in group for subject in asked}
        rows = self._db.read(
            lambda run: _said_of(run, subjects, "x.known_last IS NULL"),
            self._seconds + len(subjects) / _ROWS_PER_SECOND,
        )
        found = {subject: tuple(row.assertion for row in said) for subject, said in rows.items()}
        return [{subject: found[subject] for subject in asked if subject in found} for asked in group]

    def believed_at(
        self, subjects: Collection[Subject], revision: int
    ) -> Mapping[Subject, tuple[StoredAssertion, ...]]:
        where = "x.known_first <= $revision AND coalesce(x.known_last > $revision, true)"
        found = self._db.read(lambda run: _said_of(run, subjects, where, revision=revision))
        return {subject: tuple(rows) for subject, rows in found.items()}

    def believed_by(self, origin: str) -> Mapping[Subject, tuple[Assertion, ...]]:
        where = "MATCH (x:Assertion {origin: $origin}) WHERE x.known_last IS NULL"
        found = _by_subject(self._db.read(lambda run: _stored_rows(run, where, origin=origin)))
        return {subject: tuple(row.assertion for row in rows) for subject, rows in found.items()}

    def touching(self, keys: Collection[AssetKey]) -> Collection[Subject]:
        parts, flows = self._db.read(lambda run: value(run, _TOUCHING, keys=[*map(str, keys)]))
        return {*map(_key, parts), *(Flow(_key(s), _key(t), _key(v) if v else None) for s, t, v in flows)}

    def versions(self, keys: Collection[AssetKey]) -> Mapping[AssetKey, int]:
        return self._db.read(lambda run: _nodes(run, keys).versions)

    def receipt_of(self, operation: Operation) -> Receipt | None:
        if operation.id is None:
            return None
        return _answered(operation, self._answers.submit(operation.id))

    def _read_answers(self, group: Sequence[str]) -> list[Mapping[str, Answer]]:
        answers = self._db.read(lambda run: _operations(value(run, _OPERATIONS, ids=[*group])))
        return [answers] * len(group)

    def changes_since(self, revision: int, limit: int = 1000) -> list[Revision]:
        def read(run: Run) -> list[Revision]:
            head = self._head(run)
            if revision >= head:
                return []
            recent = self._recent.after(revision, head, limit)
            return _changes(run, revision, head, limit) if recent is None else recent

        found = self._db.read(read)
        for each in found:
            self._recent.add(each)
        return found

    def history(self, key: AssetKey, before: int | None = None, limit: int = 50) -> list[Revision]:
        def read(run: Run) -> list[Revision]:
            end = min(self._head(run) + 1, FOREVER if before is None else before)
            numbers = value(run, _REVISIONS_ABOUT, key=str(key), before=end, limit=limit)
            return _revisions(run, value(run, _REVISIONS, numbers=numbers), key)

        return sorted(self._db.read(read), key=lambda revision: -revision.number)

    def stamp(self, revision: int) -> str | None:
        found: str | None = self._db.read(lambda run: value(run, _STAMP, number=revision))
        return found

    def revision_at(self, moment: Instant) -> int:
        def read(run: Run) -> int:
            last: int = value(run, _REVISION_AT, moment=moment, head=self._head(run))
            return last

        return self._db.read(read)

    def keys(
        self, at: Instant, kinds: Collection[AssetKind] = (), after: AssetKey | None = None, limit: int = 100
    ) -> list[AssetKey]:
        def read(run: Run) -> list[AssetKey]:
            found: list[str] = []
            # The text of a key begins with its kind, so each kind is one range of the index.
            for prefix in sorted(f"{kind}:" for kind in kinds) or [""]:
                left = limit - len(found)
                found += value(run, _KEYS, prefix=prefix, after=str(after or ""), at=at, limit=left)
                if len(found) >= limit:
                    break
            return [*map(_key, found)]

        return self._db.read(read)

    def search(self, text: str, kinds: Collection[AssetKind] = (), limit: int = 20, offset: int = 0) -> list[SearchHit]:
        wanted = query_words(text)
        if not wanted:
            return []
        query = " AND ".join(f"({word}^4 OR {word}*)" for word in wanted)  # a whole word counts for more than a prefix
        among = [kind.value for kind in kinds]

        def read(run: Run) -> list[SearchHit]:
            counters(run, _AWAIT_SEARCH)
            hits = value(run, _SEARCH, query=query, kinds=among, limit=limit, offset=offset)
            return [SearchHit(_key(key), score) for key, score in hits]

        return self._db.read(read)

    def usage(self, keys: Collection[AssetKey], since_day: Day) -> list[Usage]:
        return self._db.read(lambda run: neo4j_usage.usage(run, keys, since_day))

    def undelivered(self) -> int:
        return self._db.read(neo4j_messages.undelivered)

    @contextmanager
    def export(self) -> Iterator["Neo4jExport"]:
        def read(run: Run) -> tuple[int, int, int]:
            revision = self._head(run)
            assets, assertions = value(run, "MATCH (h:Head {name: 'lineage'}) RETURN [h.assets, h.assertions]")
            return revision, assets, assertions

        yield Neo4jExport(self._db, *self._db.read(read))

    def check(self) -> list[str]:
        return check(self._db, _BACKGROUND_SECONDS)

    def close(self) -> None:
        with self._commits.exclusively():
            self._db.close()

    def _head(self, run: Run) -> int:
        """The last revision of which everything can be seen."""
        head, whole = value(run, _HEAD, whole=self._whole)
        if not whole:
            return int(head) - 1
        self._whole = int(head)
        return int(head)


class Neo4jExport:
    """Reads in ranges of numbers, each a transaction of its own: what is numbered does not move."""

    def __init__(self, db: Neo4jConnection, revision: int, last_asset: int, last_assertion: int) -> None:
        self._db = db
        self._last_asset, self._last_assertion = last_asset, last_assertion
        self.revision = revision

    def assets(self) -> Iterator[AssetColumns]:
        for numbers, keys in self._chunks(_EXPORT_ASSETS, self._last_asset):
            yield AssetColumns(np.array(numbers, np.int64), keys)

    def assertions(self) -> Iterator[AssertionColumns]:
        bases = {basis.value: index for index, basis in enumerate(REFINES_FIRST)}
        for number, source, target, via, origin, basis, start, end, first, last, attributes in self._chunks(
            _EXPORT_ASSERTIONS, self._last_assertion
        ):
            origins = sorted(set(origin))
            code = {name: place for place, name in enumerate(origins)}
            yield AssertionColumns(
                number=np.array(number, np.int64),
                source=np.array(source, np.int64),
                target=np.array(target, np.int64),
                via=np.array(via, np.int64),
                origin=np.array([code[name] for name in origin], np.int64),
                basis=np.array([bases[each] for each in basis], np.int8),
                valid_start=np.array(start, np.int64),
                valid_end=np.array(end, np.int64),
                known_first=np.array(first, np.int64),
                known_last=np.array(last, np.int64),
                attributes=attributes,
                origins=origins,
            )

    def _chunks(self, query: str, last: int) -> Iterator[list[list[Any]]]:
        for low in range(1, last + 1, _EXPORT_CHUNK):
            high = min(low + _EXPORT_CHUNK, last + 1)
            columns = self._db.read(partial(_columns, query=query, low=low, high=high), _BACKGROUND_SECONDS)
            if columns[0]:
                yield columns


# Writing: all of a group is read once, decided in memory in the order of arrival, and written once.


@dataclass(slots=True)
class _Draft:
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
        done = _answered(operation, self.answers)
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
            for row in _in_order(self.believed.get(change.subject, ()))
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
                said[change.subject] = tuple(row.assertion for row in _in_order(kept))
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


def _apply(run: Run, group: Sequence[Commit], in_doubt: bool = False) -> tuple["_Draft", list[Receipt | Exception]]:
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


def _warm_up(run: Run) -> None:
    """Has the server plan what a commit runs: on one just started, that takes longer than a request may."""
    _draft(run, [])
    value(run, _RECORD, closed=[], opened=[], revisions=[], operations=[], messages=[], head={}, now=0)
    plan_view(run)
    neo4j_usage.add(run, [])


def _draft(run: Run, group: Sequence[Commit]) -> _Draft:
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
    nodes = _nodes_of(texts, found)
    believed = _by_subject(_stored(subjects[id_], *row) for id_, *row in rows)
    return _Draft(
        head,
        latest,
        assets,
        assertions,
        _operations(operations),
        believed,
        dict(nodes.numbers),
        dict(nodes.versions),
        {*nodes.here},
        {*subjects.values()} - believed.keys(),
    )


def _record(run: Run, draft: _Draft, now: Instant) -> None:
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
        opened=_assertions(draft.opened.values(), draft.numbers, now),
        revisions=[_revision_properties(revision) for revision in draft.told],
        operations=draft.operations,
        messages=draft.messages,
        head=head,
        now=now,
    )
    if written != len(draft.closed):
        raise StoreUnavailable(f"{len(draft.closed) - written} assertions to close have vanished: run check-store")


def _keys_in(subject: Subject, spans: Iterable[Assertion]) -> list[AssetKey]:
    """Every key that a subject brings along, containers and the versions an alias names included; no key twice."""
    keys: dict[AssetKey, None] = {}
    for key in [subject] if isinstance(subject, AssetKey) else [end for end in subject if end]:
        keys |= dict.fromkeys((key.container, key) if key.container else (key,))
    if isinstance(subject, AssetKey) and subject.is_alias:
        versions = (version_key(subject, span.attributes.get("version")) for span in spans)
        keys |= {version: None for version in versions if version}
    return [*keys]


def _settle(run: Run, now: Instant) -> tuple[int, int]:
    """How many assertions were due, and how many flows came or went."""
    value(run, _DRAFT, ids=[], keys=[], subjects=[], forever=FOREVER)
    due, count = value(run, _DUE, now=now, limit=_SETTLE_CHUNK)
    if not due:
        return 0, 0
    rows = _stored_rows(
        run, "UNWIND $due AS subject MATCH (x:Assertion {subject: subject}) WHERE x.known_last IS NULL", due=due
    )
    believed = {subject: [row.assertion for row in said] for subject, said in _by_subject(rows).items()}
    nodes = _nodes(run, {key for subject, spans in believed.items() for key in _keys_in(subject, spans)})
    moved = show(run, believed, nodes, now)
    next_changes = [[row.number, next_change(row.assertion, now)] for row in rows]
    counters(run, _SETTLED, rows=next_changes, now=now)
    return count, moved


# Rows and values


def _said_of(
    run: Run, subjects: Iterable[Subject], where: str, **parameters: object
) -> dict[Subject, list[StoredAssertion]]:
    """What is said of `subjects`, by origin and start; their keys are known, so nothing else is looked up."""
    by_id = {subject_id(subject): subject for subject in subjects}
    if not by_id:
        return {}
    query = f"""
        UNWIND $ids AS id
        MATCH (x:Assertion {{subject: id}}) WHERE {where}
        RETURN collect([id, {_COLUMNS}])"""
    rows = value(run, query, ids=[*by_id], forever=FOREVER, **parameters)
    found = [_stored(by_id[id_], *row) for id_, *row in rows]
    return _by_subject(_in_order(found))


def _stored_rows(run: Run, match: str, **parameters: object) -> list[StoredAssertion]:
    """The assertions `x` that `match` finds, by origin and start."""
    query = f"""
        {match}
        MATCH (s:Key {{number: x.source}})
        OPTIONAL MATCH (t:Key {{number: x.target}})
        OPTIONAL MATCH (v:Key {{number: x.via}})
        RETURN collect([s.key, t.key, v.key, {_COLUMNS}])"""
    rows = value(run, query, forever=FOREVER, **parameters)
    return _in_order(
        _stored(Flow(_key(s), _key(t), _key(v) if v else None) if t else _key(s), *row) for s, t, v, *row in rows
    )


def _columns(run: Run, query: str, low: int, high: int) -> list[list[Any]]:
    found: list[list[Any]] = value(run, query, low=low, high=high, forever=FOREVER)
    return found


def _stored(
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


def _in_order(rows: Iterable[StoredAssertion]) -> list[StoredAssertion]:
    return sorted(rows, key=lambda row: (row.assertion.origin, row.assertion.valid.start, row.known.first))


def _by_subject(rows: Iterable[StoredAssertion]) -> dict[Subject, list[StoredAssertion]]:
    found: dict[Subject, list[StoredAssertion]] = {}
    for row in rows:
        found.setdefault(row.assertion.subject, []).append(row)
    return found


def _nodes(run: Run, keys: Iterable[AssetKey]) -> Nodes:
    """Of those that are stored."""
    by_text = {str(key): key for key in keys}
    return _nodes_of(by_text, value(run, _NODES, keys=sorted(by_text)) if by_text else [])


def _nodes_of(keys: Mapping[str, AssetKey], rows: Iterable[tuple[str, int, int | None, bool]]) -> Nodes:
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


def _changes(run: Run, after: int, head: int, limit: int) -> list[Revision]:
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
    said = _said_of(run, {key: None for keys in own.values() for key in keys}, where, **bounds)
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
    found = _stored_rows(run, _MOVED if about is None else _MOVED_ABOUT, **bounds)
    for row in sorted(found, key=lambda row: row.number):
        opened.setdefault(row.known.first, []).append(row)
        closed.setdefault(row.known.last, []).append(row)
    return [
        Revision(number, at, operation, actor, tuple(opened.get(number, ())), tuple(closed.get(number, ())))
        for number, at, operation, actor in rows
    ]


def _operations(rows: Iterable[Sequence[Any]]) -> dict[str, Answer]:
    return {id_: (digest, Receipt(*answer)) for id_, digest, *answer in rows}


def _answered(operation: Operation, answers: Mapping[str, Answer]) -> Receipt | None:
    if operation.id is None or operation.id not in answers:
        return None
    digest, answer = answers[operation.id]
    if digest != operation.digest:
        raise OperationReused(operation.id)
    return answer


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


def _assertions(
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


_key = lru_cache(maxsize=65536)(AssetKey.parse)


_COLUMNS = """x.number, x.origin, x.basis, x.valid_start, x.valid_end, x.known_first,
    coalesce(x.known_last, $forever), x.attributes"""

_ABOUT = "MATCH (k:Key {key: $key}) MATCH (x:Assertion) WHERE (x.source = k.number OR x.target = k.number)"

# Setting a property takes the lock, and writes nothing where it is set already (removing one that is not there takes no
# lock). Nothing else reads it: Cypher would keep the value from before the lock. All else is read when the lock is held.
_LOCK = "MATCH (h:Head {name: 'lineage'}) SET h.lock = true"

_DRAFT = f"""
{_LOCK}
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
    RETURN [id, {_COLUMNS}]
  }}]
"""

_OPERATIONS = """
MATCH (o:Operation) WHERE o.id IN $ids
RETURN collect([o.id, o.digest, o.revision, o.changed, o.added, o.updated, o.withdrawn])
"""

_RECORD = """
CALL {
  UNWIND $opened AS alike
  UNWIND alike.rows AS row
  CREATE (x:Assertion {number: row[0], subject: row[1], source: row[2], target: row[3], via: row[4], attributes: row[5],
    origin: alike.origin, basis: alike.basis, valid_start: alike.valid_start, valid_end: alike.valid_end,
    known_first: alike.known_first, known_last: alike.known_last, settles_at: alike.settles_at})
}
CALL { UNWIND $revisions AS revision CREATE (r:Revision) SET r = revision }
CALL { UNWIND $operations AS operation CREATE (o:Operation) SET o = operation }
CALL { UNWIND $messages AS message MERGE (m:Message {id: message.id}) ON CREATE SET m = message }
CALL {
  UNWIND $closed AS close
  MATCH (x:Assertion {number: close[0]})
  SET x.known_last = close[1] REMOVE x.settles_at
  RETURN count(*) AS closed
}
MATCH (h:Head {name: 'lineage'})
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

_OLD_OPERATIONS = "MATCH (n:Operation) WHERE n.at < $before"

_OLD_MESSAGES = """
MATCH (r:Revision) WHERE r.at < $before
MATCH (n:Message {revision: r.number}) WHERE n.due_at IS NULL"""

_FORGET = """
WITH n LIMIT $limit
DELETE n
WITH count(*) AS removed
FOREACH (_ IN CASE WHEN removed = 0 THEN [] ELSE [1] END |
  CREATE (:Purge {at: $now, what: $what, before: $before, removed: removed}))
RETURN removed
"""

_HEAD = """
MATCH (h:Head {name: 'lineage'})
OPTIONAL MATCH (r:Revision {number: h.number}) WHERE h.number > $whole
RETURN [h.number, h.number <= $whole OR coalesce(
  COUNT { (x:Assertion) WHERE x.known_first = r.number } = r.opened
  AND COUNT { (x:Assertion) WHERE x.known_last = r.number } = r.closed, false)]
"""

_NODES = (
    "UNWIND $keys AS key MATCH (k:Key {key: key}) RETURN collect([key, k.number, k.asset_version, k:Asset OR k:Alias])"
)

_TOUCHING = """
MATCH (k:Key) WHERE k.key IN $keys
WITH collect(k) AS wholes
WITH wholes, COLLECT { UNWIND wholes AS k MATCH (p:Key {_container: k.number}) RETURN p } AS parts
WITH [k IN wholes + parts | k.number] AS reach, parts
RETURN [
  COLLECT {
    UNWIND parts AS p
    WITH DISTINCT p WHERE NOT p.key IN $keys AND EXISTS { (x:Assertion {subject: p.key}) WHERE x.known_last IS NULL }
    RETURN p.key
  },
  COLLECT {
    MATCH (x:Assertion) WHERE (x.source IN reach OR x.target IN reach OR x.via IN reach) AND x.target IS NOT NULL AND x.known_last IS NULL
    WITH DISTINCT x.source AS source, x.target AS target, x.via AS via
    MATCH (s:Key {number: source}) MATCH (t:Key {number: target}) OPTIONAL MATCH (v:Key {number: via})
    RETURN [s.key, t.key, v.key]
  }
]
"""

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

_STAMP = """
OPTIONAL MATCH (r:Revision {number: $number})
RETURN toString(r.at) + ' ' + r.actor + ' ' + coalesce(r.operation, 'None')
"""

_REVISION_AT = """
OPTIONAL MATCH (r:Revision) WHERE r.at <= $moment AND r.number <= $head
WITH r ORDER BY r.at DESC, r.number DESC LIMIT 1
RETURN coalesce(r.number, 0)
"""

_KEYS = """
MATCH (k:Key) WHERE k.key > $after AND k.key STARTS WITH $prefix AND k.kind <> 'alias' AND EXISTS {
  (x:Assertion {subject: k.key}) WHERE x.known_last IS NULL AND x.valid_start <= $at < x.valid_end
}
WITH k ORDER BY k.key LIMIT $limit
RETURN collect(k.key)
"""

# The index follows in the background, which makes commits cheaper by a half.
_AWAIT_SEARCH = "CALL db.index.fulltext.awaitEventuallyConsistentIndexRefresh()"

_SEARCH = """
CALL db.index.fulltext.queryNodes('asset_words', $query) YIELD node, score
WHERE $kinds = [] OR node.kind IN $kinds
WITH node, score ORDER BY score DESC, node.key SKIP $offset LIMIT $limit
RETURN collect([node.key, score])
"""

_EXPORT_ASSETS = """
MATCH (k:Key) WHERE $low <= k.number < $high
RETURN [collect(k.number), collect(k.key)]
"""

_EXPORT_ASSERTIONS = """
MATCH (x:Assertion) WHERE $low <= x.number < $high
RETURN [collect(x.number), collect(x.source), collect(coalesce(x.target, 0)), collect(coalesce(x.via, 0)),
  collect(x.origin), collect(x.basis), collect(x.valid_start), collect(x.valid_end), collect(x.known_first),
  collect(coalesce(x.known_last, $forever)), collect(CASE WHEN x.target IS NULL THEN coalesce(x.attributes, '{}') ELSE '' END)]
"""
