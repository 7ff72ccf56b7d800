"""A group of commits: all is read at once, decided in memory in the order of arrival, and written at once."""

import sqlite3
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import groupby

import orjson

from graph.attributes import canonical, shown_values
from graph.changes import Change, Changes, Receipt
from graph.errors import PlanOutdated, StaleVersion
from graph.keys import AssetKey
from graph.model import REFINES_FIRST, Assertion, Flow, Known, Operation, StoredAssertion, Subject
from graph.plan import receipt
from graph.stores import sqlite_reading as reading
from graph.stores.contract import Plan, Revision
from graph.stores.words import search_text
from graph.time import Instant

_LAST = """
    SELECT (SELECT max(number) FROM asset), (SELECT max(number) FROM flow), (SELECT max(number) FROM assertion),
           (SELECT max(number) FROM origin), r.number, r.at
    FROM (SELECT 1) LEFT JOIN (SELECT number, at FROM revision ORDER BY number DESC LIMIT 1) r
"""
_NEW_ASSERTION = """
    INSERT INTO assertion
        (number, asset, flow, origin, basis, valid_start, valid_end, known_first, known_last, attributes)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_NEW_MESSAGE = """
    INSERT INTO message (id, topic, body, revision, due_at) VALUES (?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING
"""
_BASES = {basis: place for place, basis in enumerate(REFINES_FIRST)}


class Draft:
    """A `GraphReader` of what holds with the commits drafted so far. The transaction must have begun for writing."""

    def __init__(self, db: sqlite3.Connection, numbers: reading.Numbers) -> None:
        self._db, self._numbers = db, numbers
        asset, flow, assertion, origin, revision, at = db.execute(_LAST).fetchone()
        self._last_asset, self._last_flow, self._last_assertion = asset or 0, flow or 0, assertion or 0
        self._last_origin: int = origin or 0
        self._head, self._latest = revision or 0, at or 0
        self._answers: dict[str, tuple[str, Receipt]] = {}
        self._said: dict[Subject, tuple[StoredAssertion, ...]] = {}
        self._assets: dict[AssetKey, int] = {}
        self._flows: dict[Flow, int] = {}
        self._versions: dict[AssetKey, int] = {}
        self.made: dict[AssetKey, int] = {}
        """The numbers given to new assets, and `made_origins` to new origins; true once the transaction is."""
        self.made_origins: dict[str, int] = {}
        self.revisions: list[Revision] = []
        self._begin()

    def _begin(self) -> None:
        """Nothing is waiting to be written."""
        self._new_origins: list[tuple[int, str]] = []
        self._new_assets: dict[AssetKey, tuple[int, str, str, int | None]] = {}
        self._new_flows: list[tuple[int, int, int, int]] = []
        self._opened: dict[int, tuple[int | None, int | None, int, str, StoredAssertion]] = {}
        self._closed: dict[int, int] = {}
        self._new_revisions: list[tuple[int, Instant, str | None, str]] = []
        self._new_operations: list[tuple[str, str, str, Instant]] = []
        self._new_messages: list[tuple[str, str, str, int, Instant]] = []
        self._told: dict[AssetKey, Instant] = {}

    # Drafting

    def read(self, group: Iterable[tuple[Changes | Plan, Operation, Instant]]) -> None:
        """Reads for all of them what each will ask for."""
        subjects: set[Subject] = set()
        operations = []
        for changes, operation, _ in group:
            if operation.id is not None:
                operations.append(operation.id)
            if isinstance(changes, Changes):
                subjects.update(change.subject for change in changes.changes)
            else:
                subjects.update(changes.subjects)
        if operations:
            self._answers |= reading.answers(self._db, operations)
        self._read(subjects)

    def add(self, changes: Changes | Plan, operation: Operation, now: Instant) -> Receipt:
        """Nothing of it is kept when this raises."""
        done = reading.answered(operation, self._answers)
        if done is not None:
            return done
        if isinstance(changes, Changes):
            current = self.versions(changes.expected_versions) if changes.expected_versions else {}
            for key, version in changes.expected_versions.items():
                if current.get(key, 0) != version:
                    raise StaleVersion(key, version, current.get(key, 0))
            self._read(change.subject for change in changes.changes)
            for change in changes.changes:
                self._refuse_outdated(change)
        else:
            changes = changes.changes(self)
            self._read(change.subject for change in changes.changes)
        answer = receipt(changes, self._head + bool(changes), now)
        if changes:
            self._keep(changes, operation, now)
        if operation.id is not None:
            self._answers[operation.id] = operation.digest, answer
            self._new_operations.append((operation.id, operation.digest, orjson.dumps(answer).decode(), now))
        return answer

    def _refuse_outdated(self, change: Change) -> None:
        mine = tuple(row.assertion for row in self._said[change.subject] if row.assertion.origin == change.origin)
        if mine != change.before:
            raise PlanOutdated(f"what {change.origin!r} says of {change.subject} has changed since the plan was made")

    def _keep(self, changes: Changes, operation: Operation, now: Instant) -> None:
        revision = self._head + 1
        moves = [(change, change.closes, [(span, _text(span)) for span in change.opens]) for change in changes.changes]
        messages = [(m.id, m.topic, canonical(m.body).decode(), revision, now) for m in changes.messages]
        self._head, self._latest = revision, max(now, self._latest)
        opened: list[StoredAssertion] = []
        closed: list[StoredAssertion] = []
        said: dict[AssetKey, tuple[Assertion, ...]] = {}
        known = Known(revision)
        for subject, of_subject in groupby(moves, lambda move: move[0].subject):
            asset, flow = self._subject_numbers(subject)
            rows: dict[str, list[StoredAssertion]] = {}  # thousands of origins may speak of one
            for row in self._said[subject]:
                rows.setdefault(row.assertion.origin, []).append(row)
            for change, closes, opens in of_subject:
                own = rows.get(change.origin, [])
                if closes:
                    gone = [row for row in own if row.assertion in closes]
                    closed += [
                        StoredAssertion(row.number, row.assertion, Known(row.known.first, revision)) for row in gone
                    ]
                    own = [row for row in own if row not in gone]
                origin = self._origin(change.origin)
                for span, text in opens:
                    self._last_assertion += 1
                    row = StoredAssertion(self._last_assertion, span, known)
                    self._opened[row.number] = asset, flow, origin, text, row
                    opened.append(row)
                    own.append(row)
                own.sort(key=reading.in_order)
                rows[change.origin] = own
            self._said[subject] = told = tuple([row for origin in sorted(rows) for row in rows[origin]])
            if isinstance(subject, AssetKey):
                self._versions[subject] = revision
                self._told[subject] = now
                said[subject] = tuple([row.assertion for row in told])
        closed.sort(key=lambda row: row.number)
        for row in closed:
            self._close(row)
        self._new_revisions.append((revision, self._latest, operation.id, operation.actor))
        self._new_messages += messages
        self.revisions.append(
            Revision(revision, self._latest, operation.id, operation.actor, tuple(opened), tuple(closed), said)
        )

    def _close(self, row: StoredAssertion) -> None:
        waiting = self._opened.get(row.number)
        if waiting is None:
            self._closed[row.number] = row.known.last
        else:
            self._opened[row.number] = (*waiting[:4], row)

    def _subject_numbers(self, subject: Subject) -> tuple[int | None, int | None]:
        if not isinstance(subject, Flow):
            return self._asset(subject), None
        number = self._flows.get(subject)
        if number is None:
            via = self._asset(subject.via) if subject.via else 0
            self._last_flow += 1
            number = self._flows[subject] = self._last_flow
            self._new_flows.append((number, self._asset(subject.source), self._asset(subject.target), via))
        return None, number

    def _asset(self, key: AssetKey) -> int:
        number = self._assets.get(key)
        if number is None:
            container = key.container
            within = self._asset(container) if container else None
            self._last_asset += 1
            number = self._assets[key] = self.made[key] = self._last_asset
            kind = "alias" if key.is_alias else key.kind.value
            self._new_assets[key] = number, str(key), kind, within
        return number

    def _origin(self, name: str) -> int:
        number = self.made_origins.get(name) or self._numbers.of_origin(self._db, name)
        if number is None:
            self._last_origin += 1
            number = self.made_origins[name] = self._last_origin
            self._new_origins.append((number, name))
        return number

    # Reading

    def head(self) -> int:
        return self._head

    def believed(self, subjects: Collection[Subject]) -> Mapping[Subject, tuple[Assertion, ...]]:
        self._read(subjects)
        return {
            subject: tuple([row.assertion for row in rows]) for subject in subjects if (rows := self._said[subject])
        }

    def believed_by(self, origin: str) -> Mapping[Subject, tuple[Assertion, ...]]:
        if origin not in self.made_origins and self._numbers.of_origin(self._db, origin) is None:
            return {}
        self.write()
        found = reading.believed_by(self._db, origin)
        return {subject: tuple(row.assertion for row in rows) for subject, rows in found.items()}

    def touching(self, keys: Collection[AssetKey]) -> Collection[Subject]:
        self.write()
        return reading.touching(self._db, keys)

    def versions(self, keys: Collection[AssetKey]) -> Mapping[AssetKey, int]:
        found = reading.versions(self._db, keys)
        return found | {key: self._versions[key] for key in keys if key in self._versions}

    def _read(self, subjects: Iterable[Subject]) -> None:
        """What this transaction has written, or is yet to write, of a subject was read before."""
        missing = [subject for subject in subjects if subject not in self._said]
        if not missing:
            return
        ends: set[AssetKey] = set()
        for subject in missing:
            if isinstance(subject, Flow):
                ends.update(end for end in subject if end is not None)
            else:
                ends.add(subject)
        ends.update([container for key in ends if (container := key.container) is not None])
        self._assets |= self._numbers.of_assets(self._db, ends - self._assets.keys())
        flows = [subject for subject in missing if isinstance(subject, Flow)]
        found = reading.flow_numbers(self._db, flows, self._assets)
        self._flows |= {flow: number for flow, number in found.items() if isinstance(flow, Flow)}
        found |= {key: self._assets[key] for key in missing if isinstance(key, AssetKey) and key in self._assets}
        said = reading.assertions_of(self._db, found, self._numbers)
        self._said |= {subject: tuple(said.get(subject, ())) for subject in missing}

    # Writing

    def write(self) -> None:
        """Everything drafted since the last time. What then goes wrong is the whole transaction's end."""
        if not self._new_revisions and not self._new_operations:
            return
        db = self._db
        for statement, rows in (
            ("INSERT INTO origin VALUES (?, ?)", self._new_origins),
            ("INSERT INTO asset VALUES (?, ?, ?, ?, ?)", self._asset_rows()),
            ("UPDATE asset SET version = ? WHERE number = ?", self._moved_versions()),
            ("INSERT INTO flow VALUES (?, ?, ?, ?)", self._new_flows),
            ("INSERT INTO revision VALUES (?, ?, ?, ?)", self._new_revisions),
            ("UPDATE assertion SET known_last = ? WHERE number = ?", [(r, n) for n, r in self._closed.items()]),
            (_NEW_ASSERTION, self._assertion_rows()),
            (_NEW_MESSAGE, self._new_messages),
            ("INSERT INTO operation VALUES (?, ?, ?, ?)", self._new_operations),
        ):
            if rows:
                db.executemany(statement, rows)
        index_words(db, self._words(), self._new_assets.keys(), self._assets)
        self._begin()

    def _asset_rows(self) -> list[tuple[int, str, str, int | None, int | None]]:
        return [(*row, self._versions.get(key)) for key, row in self._new_assets.items()]

    def _moved_versions(self) -> list[tuple[int, int]]:
        return [(self._versions[key], self._assets[key]) for key in self._told if key not in self._new_assets]

    def _assertion_rows(self) -> list[tuple[object, ...]]:
        return [
            (
                row.number,
                asset,
                flow,
                origin,
                _BASES[row.assertion.basis],
                *row.assertion.valid,
                *row.known,
                text,
            )
            for asset, flow, origin, text, row in self._opened.values()
        ]

    def _words(self) -> dict[AssetKey, str | None]:
        return {
            key: words_of(key, [row.assertion for row in self._said[key]], now)
            for key, now in self._told.items()
            if not key.is_alias
        }


def words_of(key: AssetKey, said: Sequence[Assertion], now: Instant) -> str | None:
    """What the text search finds an asset by at `now`; None where it holds no more."""
    shown = shown_values(said, now)
    return None if shown is None else search_text(key, shown)


def index_words(
    db: sqlite3.Connection,
    words: Mapping[AssetKey, str | None],
    new: Collection[AssetKey],
    numbers: Mapping[AssetKey, int],
) -> None:
    """`new`: what cannot be in the index yet."""
    wanted = {numbers[key]: text for key, text in words.items()}
    old = [numbers[key] for key in words if key not in new]
    if old:
        found = db.execute(
            "SELECT words.rowid, words.text FROM json_each(?) w CROSS JOIN words ON words.rowid = w.value",
            [orjson.dumps(old).decode()],
        ).fetchall()
        gone = []
        for number, text in found:
            if wanted[number] == text:
                del wanted[number]
            else:
                gone.append((number,))
        if gone:
            db.executemany("DELETE FROM words WHERE rowid = ?", gone)
    rows = [(number, text) for number, text in wanted.items() if text is not None]
    if rows:
        db.executemany("INSERT INTO words (rowid, text) VALUES (?, ?)", rows)


def _text(span: Assertion) -> str:
    return canonical(span.attributes).decode() if span.attributes else "{}"
