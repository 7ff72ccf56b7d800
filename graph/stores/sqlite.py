"""The embedded store: one SQLite file in WAL mode, `synchronous=FULL`, concurrent writers sharing a transaction."""

import sqlite3
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import TypeAlias, TypeVar

import numpy as np
import orjson
from numpy.typing import NDArray

from graph.attributes import canonical, shown_attributes, values
from graph.changes import Change, Changes, Receipt
from graph.errors import GraphError, OperationReused, PlanOutdated, StaleVersion, StoreIncompatible, StoreUnavailable
from graph.keys import AssetKey, AssetKind
from graph.messages import Delivery, Message
from graph.model import REFINES_FIRST, Assertion, Attributes, Flow, Known, Operation, StoredAssertion, Subject
from graph.plan import AHEAD, receipt
from graph.stores.contract import AssertionColumns, AssetColumns, Revision, SearchHit
from graph.stores.group import GroupCommit
from graph.stores.migrations import migrations_in, pending
from graph.stores.words import query_words, search_text
from graph.time import FOREVER, Instant, Interval
from graph.usage import KEPT_DAYS, Day, Usage, day_of

T = TypeVar("T")

_CHUNK = 500
_EXPORT_CHUNK = 100_000

_ROW = """
    SELECT a.number, a.known_first, a.known_last, a.basis, a.valid_start, a.valid_end, a.attributes,
           o.name, k.key, s.key, t.key, v.key
    FROM assertion a
    JOIN origin o ON o.number = a.origin
    LEFT JOIN asset k ON k.number = a.asset
    LEFT JOIN flow f ON f.number = a.flow
    LEFT JOIN asset s ON s.number = f.source
    LEFT JOIN asset t ON t.number = f.target
    LEFT JOIN asset v ON v.number = f.via AND f.via > 0
"""
_ORDER = " ORDER BY o.name, a.valid_start, a.known_first"

# A sum above 0 had something above 0 added to it, so its `first` and `last` are there.
_ADD_USAGE = """
    INSERT INTO usage VALUES (?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (source, reader, verified, day) DO UPDATE SET
        calls = calls + excluded.calls, errors = errors + excluded.errors,
        first = min(coalesce(first, excluded.first), coalesce(excluded.first, first)),
        last = max(coalesce(last, excluded.last), coalesce(excluded.last, last))
"""
_MOVE_COUNTER = """
    INSERT INTO counter VALUES (?, ?, ?)
    ON CONFLICT (name) DO UPDATE SET sequence = excluded.sequence, day = max(day, excluded.day)
    WHERE excluded.sequence > sequence
"""

_Row: TypeAlias = tuple[int, int, int, int, int, int, str, str, str | None, str | None, str | None, str | None]


class SqliteStore:
    """Opens, or makes, the database at `path`.

    Raises StoreIncompatible for a schema that is newer or was changed by hand, StoreUnavailable when the file cannot
    be opened. Several processes may open one file; each sees the others' commits.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._idle: list[sqlite3.Connection] = []
        self._lock = threading.Lock()
        self._closed = False
        with _translated(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = self._connect()
            _migrate(self._writer)
        self._commits: GroupCommit[tuple[Changes, Operation, Instant], Receipt] = GroupCommit(self._commit_group)

    # Writing

    def commit(self, changes: Changes, operation: Operation, now: Instant) -> Receipt:
        return self._commits.submit((changes, operation, now))

    def _commit_group(self, group: Sequence[tuple[Changes, Operation, Instant]]) -> list[Receipt | Exception]:
        outcomes: list[Receipt | Exception] = []
        with self._writing() as db:
            for changes, operation, now in group:
                db.execute("SAVEPOINT one")
                try:
                    outcomes.append(_apply(db, changes, operation, now))
                except GraphError as error:
                    db.execute("ROLLBACK TO one")
                    outcomes.append(error)
                db.execute("RELEASE one")
        return outcomes

    def forget_operations(self, before: Instant, now: Instant) -> int:
        oldest = day_of(now) - KEPT_DAYS
        with self._commits.exclusively(), self._writing() as db:
            removed = _purge(db, "operation", "at < ?", before, now)
            told = "due_at IS NULL AND revision IN (SELECT number FROM revision WHERE at < ?)"
            _purge(db, "message", told, before, now)
            _purge(db, "usage", "day < ?", oldest, now)
            _purge(db, "counter", "day < ?", oldest, now)
        return removed

    def count(self, usages: Collection[Usage], counter: str, sequence: int) -> bool:
        with self._commits.exclusively(), self._writing() as db:
            moved = db.execute(_MOVE_COUNTER, [counter, sequence, max((usage.day for usage in usages), default=0)])
            if not moved.rowcount:
                return False
            db.executemany(_ADD_USAGE, map(_usage_row, usages))
        return True

    def lease(self, now: Instant, until: Instant, limit: int = 20) -> list[Delivery]:
        with self._commits.exclusively(), self._writing() as db:
            due = db.execute(
                "SELECT number, id, topic, body, attempts FROM message WHERE due_at <= ? ORDER BY due_at, number LIMIT ?",
                [now, limit],
            ).fetchall()
            db.executemany("UPDATE message SET due_at = ? WHERE number = ?", [(until, number) for number, *_ in due])
        return [Delivery(Message(id_, topic, orjson.loads(body)), attempts) for _, id_, topic, body, attempts in due]

    def delivered(self, message: str, now: Instant) -> None:
        with self._commits.exclusively(), self._writing() as db:
            db.execute(
                "UPDATE message SET delivered_at = ?, due_at = NULL WHERE id = ? AND delivered_at IS NULL",
                [now, message],
            )

    def postponed(self, message: str, until: Instant | None, reason: str) -> None:
        with self._commits.exclusively(), self._writing() as db:
            db.execute(
                "UPDATE message SET attempts = attempts + 1, due_at = ?, reason = ? WHERE id = ? AND due_at IS NOT NULL",
                [until, reason, message],
            )

    def settle(self, now: Instant) -> int:
        """Only the text search is a view of now."""
        with self._commits.exclusively(), self._writing() as db:
            (settled,) = db.execute("SELECT coalesce(max(at), 0) FROM settled").fetchone()
            touched = db.execute(
                "SELECT DISTINCT k.number, k.key FROM assertion a JOIN asset k ON k.number = a.asset"
                " WHERE k.kind <> 'alias' AND a.known_last = :forever AND (a.valid_end > :settled AND a.valid_end <= :now"
                " OR a.valid_start > :settled AND a.valid_start <= :now AND a.known_first >="
                " (SELECT min(number) FROM revision WHERE at >= :settled - :ahead)) ORDER BY k.key",
                {"forever": FOREVER, "settled": settled, "now": now, "ahead": AHEAD},
            ).fetchall()
            for number, key in touched:
                _index_words(db, number, _key(key), now)
            db.execute("DELETE FROM settled")
            db.execute("INSERT INTO settled VALUES (?)", [max(settled, now)])
        return len(touched)

    # Reading

    def head(self) -> int:
        with self._reading() as db:
            return _head(db)

    def believed(self, subjects: Collection[Subject]) -> Mapping[Subject, tuple[Assertion, ...]]:
        with self._reading() as db:
            found = _open_assertions(db, subjects)
        return {subject: tuple(row.assertion for row in rows) for subject, rows in found.items()}

    def believed_at(
        self, subjects: Collection[Subject], revision: int
    ) -> Mapping[Subject, tuple[StoredAssertion, ...]]:
        with self._reading() as db:
            found = _assertions(db, subjects, "a.known_first <= ? AND ? < a.known_last", [revision, revision])
        return {subject: tuple(rows) for subject, rows in found.items()}

    def believed_by(self, origin: str) -> Mapping[Subject, tuple[Assertion, ...]]:
        with self._reading() as db:
            rows = db.execute(f"{_ROW} WHERE o.name = ? AND a.known_last = ?{_ORDER}", [origin, FOREVER])
            found = _by_subject(map(_stored, rows))
        return {subject: tuple(row.assertion for row in rows) for subject, rows in found.items()}

    def touching(self, keys: Collection[AssetKey]) -> Collection[Subject]:
        touched: dict[Subject, None] = {}
        with self._reading() as db:
            for chunk in _chunks(keys):
                reach = (
                    f"WITH reach AS (SELECT number FROM asset WHERE key IN ({_marks(chunk)}) UNION"
                    f" SELECT p.number FROM asset k JOIN asset p ON p.container = k.number WHERE k.key IN ({_marks(chunk)}))"
                )
                texts = [str(key) for key in chunk]
                parts = db.execute(
                    f"{reach} SELECT k.key FROM reach JOIN asset k USING (number) WHERE EXISTS (SELECT 1 FROM assertion a"
                    " WHERE a.asset = k.number AND a.known_last = ?) ORDER BY k.key",
                    [*texts, *texts, FOREVER],
                )
                touched |= dict.fromkeys(key for (text,) in parts if (key := _key(text)) not in chunk)
                flows = db.execute(
                    f"{reach} SELECT s.key, t.key, v.key FROM flow f JOIN asset s ON s.number = f.source"
                    " JOIN asset t ON t.number = f.target LEFT JOIN asset v ON v.number = f.via AND f.via > 0"
                    " WHERE (f.number IN (SELECT number FROM flow WHERE source IN reach)"
                    " OR f.number IN (SELECT number FROM flow WHERE target IN reach)"
                    " OR f.number IN (SELECT number FROM flow WHERE via IN reach AND via > 0))"
                    " AND EXISTS (SELECT 1 FROM assertion a WHERE a.flow = f.number AND a.known_last = ?)"
                    " ORDER BY s.key, t.key, v.key",
                    [*texts, *texts, FOREVER],
                )
                touched |= dict.fromkeys(Flow(_key(s), _key(t), v and _key(v)) for s, t, v in flows)
        return touched.keys()

    def versions(self, keys: Collection[AssetKey]) -> Mapping[AssetKey, int]:
        with self._reading() as db:
            return _versions(db, keys)

    def receipt_of(self, operation: Operation) -> Receipt | None:
        with self._reading() as db:
            return _receipt_of(db, operation)

    def changes_since(self, revision: int, limit: int = 1000) -> list[Revision]:
        with self._reading() as db:
            numbers = db.execute(
                "SELECT number FROM revision WHERE number > ? ORDER BY number LIMIT ?", [revision, limit]
            ).fetchall()
            return _revisions(db, [number for (number,) in numbers])

    def history(self, key: AssetKey, before: int | None = None, limit: int = 50) -> list[Revision]:
        with self._reading() as db:
            found = db.execute("SELECT number FROM asset WHERE key = ?", [str(key)]).fetchone()
            if found is None:
                return []
            about = (
                "(a.asset = :asset OR a.flow IN (SELECT number FROM flow WHERE source = :asset)"
                " OR a.flow IN (SELECT number FROM flow WHERE target = :asset))"
            )
            numbers = db.execute(
                f"SELECT known_first FROM assertion a WHERE {about} AND known_first < :before UNION"
                f" SELECT known_last FROM assertion a WHERE {about} AND known_last < :before"
                " ORDER BY 1 DESC LIMIT :limit",
                {"asset": found[0], "before": FOREVER if before is None else before, "limit": limit},
            ).fetchall()
            revisions = _revisions(db, [number for (number,) in numbers], about, {"asset": found[0]})
        return sorted(revisions, key=lambda revision: -revision.number)

    def stamp(self, revision: int) -> str | None:
        with self._reading() as db:
            found = db.execute("SELECT at, actor, operation FROM revision WHERE number = ?", [revision]).fetchone()
        return found and f"{found[0]} {found[1]} {found[2]}"

    def revision_at(self, moment: Instant) -> int:
        with self._reading() as db:
            row = db.execute(
                "SELECT number FROM revision WHERE at <= ? ORDER BY at DESC, number DESC LIMIT 1", [moment]
            )
            return next((int(number) for (number,) in row), 0)

    def keys(
        self, at: Instant, kinds: Collection[AssetKind] = (), after: AssetKey | None = None, limit: int = 100
    ) -> list[AssetKey]:
        with self._reading() as db:
            rows = db.execute(
                f"SELECT key FROM asset k WHERE key > ? {_of_kinds('k.kind', kinds)} AND k.kind <> 'alias' AND EXISTS"
                " (SELECT 1 FROM assertion a WHERE a.asset = k.number AND a.known_last = ? AND a.valid_start <= ?"
                " AND ? < a.valid_end) ORDER BY key LIMIT ?",
                [str(after) if after else "", *kinds, FOREVER, at, at, limit],
            )
            return [_key(text) for (text,) in rows]

    def search(self, text: str, kinds: Collection[AssetKind] = (), limit: int = 20, offset: int = 0) -> list[SearchHit]:
        wanted = query_words(text)
        if not wanted:
            return []
        with self._reading() as db:
            rows = db.execute(
                "SELECT k.key, -bm25(words) AS score FROM words JOIN asset k ON k.number = words.rowid"
                f" WHERE words MATCH ? {_of_kinds('k.kind', kinds)} ORDER BY score DESC, k.key LIMIT ? OFFSET ?",
                [" AND ".join(f'"{word}"*' for word in wanted), *kinds, limit, offset],
            )
            return [SearchHit(_key(key), score) for key, score in rows]

    def usage(self, keys: Collection[AssetKey], since_day: Day) -> list[Usage]:
        found: dict[tuple[str, str, bool, Day], Usage] = {}
        with self._reading() as db:
            for chunk in _chunks(keys):
                for end in ("source", "reader"):
                    rows = db.execute(
                        f"SELECT * FROM usage WHERE {end} IN ({_marks(chunk)}) AND day >= ? AND calls > 0",
                        [*map(str, chunk), since_day],
                    )
                    for source, reader, verified, day, *counted in rows:
                        usage = Usage(_key(source), _key(reader) if reader else None, bool(verified), day, *counted)
                        found[source, reader, bool(verified), day] = usage
        return [found[place] for place in sorted(found)]

    def undelivered(self) -> int:
        with self._reading() as db:
            return int(db.execute("SELECT count(*) FROM message WHERE due_at IS NOT NULL").fetchone()[0])

    @contextmanager
    def export(self) -> Iterator["SqliteExport"]:
        with self._reading() as db:
            yield SqliteExport(db, _head(db))

    def check(self) -> list[str]:
        with self._reading() as db:
            wrong = [f"SQLite: {text}" for (text,) in db.execute("PRAGMA integrity_check") if text != "ok"]
            wrong += [
                f"SQLite: {table} {row} refers to nothing" for table, row, *_ in db.execute("PRAGMA foreign_key_check")
            ]
            count, last = db.execute("SELECT count(*), coalesce(max(number), 0) FROM revision").fetchone()
            if count != last:
                wrong.append(f"revisions: {last - count} numbers up to {last} are missing")
            overlaps = db.execute(
                "SELECT a.number, b.number FROM assertion a JOIN assertion b ON b.origin = a.origin"
                " AND (b.asset = a.asset OR b.flow = a.flow) AND b.number > a.number"
                " WHERE a.known_last = ? AND b.known_last = ? AND a.valid_start < b.valid_end"
                " AND b.valid_start < a.valid_end ORDER BY 1, 2",
                [FOREVER, FOREVER],
            )
            wrong += [f"assertions {one} and {other} overlap in valid time" for one, other in overlaps]
            beyond = db.execute(
                "SELECT number FROM assertion WHERE known_first > ? OR (known_last > ? AND known_last < ?)",
                [last, last, FOREVER],
            )
            wrong += [f"assertion {number} names a revision after the last, {last}" for (number,) in beyond]
            undone = db.execute(
                "SELECT id FROM message WHERE due_at IS NOT NULL AND delivered_at IS NOT NULL ORDER BY id"
            )
            wrong += [f"message {id_} is delivered, yet due again" for (id_,) in undone]
            unseen = db.execute(
                "SELECT source, reader, day FROM usage WHERE calls > 0 AND (first IS NULL OR last IS NULL OR first > last)"
                " ORDER BY 1, 2, 3"
            )
            wrong += [
                f"usage of {source} by {reader or 'nobody known'} on day {day} was counted, but not when"
                for source, reader, day in unseen
            ]
        return wrong

    def close(self) -> None:
        with self._commits.exclusively(), self._lock:
            if not self._closed:
                self._closed = True
                self._writer.close()
                while self._idle:
                    self._idle.pop().close()

    # Connections

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, timeout=5, isolation_level=None, check_same_thread=False)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA foreign_keys = ON")
        db.execute("PRAGMA cache_size = -65536")
        return db

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """A connection within one read transaction: everything read in it is of one revision."""
        with _translated(self._path):
            with self._lock:
                self._refuse_closed()
                db = self._idle.pop() if self._idle else None
            db = db or self._connect()
            try:
                db.execute("BEGIN")
                yield db
            finally:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                with self._lock:
                    if self._closed:
                        db.close()
                    else:
                        self._idle.append(db)

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with _translated(self._path):
            self._refuse_closed()
            db = self._writer
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise

    def _refuse_closed(self) -> None:
        if self._closed:
            raise StoreUnavailable(f"{self._path} is closed")


class SqliteExport:
    """Reads within the one transaction it was opened in."""

    def __init__(self, db: sqlite3.Connection, revision: int) -> None:
        self._db = db
        self.revision = revision

    def assets(self) -> Iterator[AssetColumns]:
        rows = self._db.execute("SELECT number, key FROM asset ORDER BY number")
        while chunk := rows.fetchmany(_EXPORT_CHUNK):
            numbers, keys = zip(*chunk, strict=True)
            yield AssetColumns(np.array(numbers, np.int64), list(keys))

    def assertions(self) -> Iterator[AssertionColumns]:
        names = self._db.execute("SELECT number, name FROM origin ORDER BY number").fetchall()
        code = np.zeros(max((number for number, _ in names), default=0) + 1, np.int64)
        code[[number for number, _ in names]] = np.arange(len(names))
        origins = [name for _, name in names]
        last = self._db.execute("SELECT coalesce(max(number), 0) FROM assertion").fetchone()[0]
        for start in range(1, last + 1, _EXPORT_CHUNK):
            numbers = [start, start + _EXPORT_CHUNK]
            (flows,) = self._db.execute(_EXPORT_FLOWS, numbers).fetchone()
            columns = np.fromstring(flows or "", np.int64, sep=",").reshape(-1, 10).T
            yield _columns(columns, [""] * columns.shape[1], code, origins)
            rows = self._db.execute(_EXPORT_ASSETS, numbers).fetchall()
            *plain, attributes = zip(*rows, strict=True) if rows else ([],) * 11
            yield _columns(np.array(plain, np.int64).reshape(10, -1), list(attributes), code, origins)


# One text of numbers is read three times as fast as its numbers one by one.
_EXPORT_FLOWS = """
    SELECT group_concat(a.number || ',' || f.source || ',' || f.target || ',' || f.via || ',' || a.origin || ','
        || a.basis || ',' || a.valid_start || ',' || a.valid_end || ',' || a.known_first || ','
        || a.known_last)
    FROM assertion a JOIN flow f ON f.number = a.flow WHERE a.number >= ? AND a.number < ?
"""
_EXPORT_ASSETS = """
    SELECT number, asset, 0, 0, origin, basis, valid_start, valid_end, known_first, known_last, attributes
    FROM assertion WHERE asset IS NOT NULL AND number >= ? AND number < ?
"""


def _columns(
    rows: NDArray[np.int64], attributes: list[str], code: NDArray[np.int64], origins: list[str]
) -> AssertionColumns:
    number, source, target, via, origin, basis, start, end, first, last = rows
    return AssertionColumns(
        number=number,
        source=source,
        target=target,
        via=via,
        origin=code[origin],
        basis=basis.astype(np.int8),
        valid_start=start,
        valid_end=end,
        known_first=first,
        known_last=last,
        attributes=attributes,
        origins=origins,
    )


def _apply(db: sqlite3.Connection, changes: Changes, operation: Operation, now: Instant) -> Receipt:
    done = _receipt_of(db, operation)
    if done is not None:
        return done
    current = _versions(db, changes.expected_versions)
    for key, version in changes.expected_versions.items():
        if current.get(key, 0) != version:
            raise StaleVersion(key, version, current.get(key, 0))
    head = _head(db)
    answer = receipt(changes, head + bool(changes), now)
    if changes:
        _refuse_outdated(db, changes)
        latest = db.execute("SELECT coalesce(max(at), 0) FROM revision").fetchone()[0]
        db.execute(
            "INSERT INTO revision VALUES (?, ?, ?, ?)",
            [answer.revision, max(now, latest), operation.id, operation.actor],
        )
        for change in changes.changes:
            _write(db, change, answer.revision)
        db.executemany(
            "INSERT INTO message (id, topic, body, revision, due_at) VALUES (?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING",
            [(each.id, each.topic, canonical(each.body).decode(), answer.revision, now) for each in changes.messages],
        )
        for change in changes.changes:
            if isinstance(change.subject, AssetKey):
                number = _asset(db, change.subject)
                db.execute("UPDATE asset SET version = ? WHERE number = ?", [answer.revision, number])
                _index_words(db, number, change.subject, now)
    if operation.id is not None:
        text = canonical(asdict(answer)).decode()
        db.execute("INSERT INTO operation VALUES (?, ?, ?, ?)", [operation.id, operation.digest, text, now])
    return answer


def _purge(db: sqlite3.Connection, table: str, where: str, before: int, now: Instant) -> int:
    """Removes what is older than `before`, and records that. How many."""
    removed = db.execute(f"DELETE FROM {table} WHERE {where}", [before]).rowcount
    if removed:
        db.execute("INSERT INTO purge VALUES (?, ?, ?, ?)", [now, table, before, removed])
    return removed


def _usage_row(usage: Usage) -> tuple[str, str, bool, Day, int, int, Instant | None, Instant | None]:
    """What was taken back was not seen: it moves neither `first` nor `last`."""
    seen = (usage.first, usage.last) if usage.calls > 0 else (None, None)
    reader = str(usage.reader) if usage.reader else ""
    return str(usage.source), reader, usage.verified, usage.day, usage.calls, usage.errors, *seen


def _refuse_outdated(db: sqlite3.Connection, changes: Changes) -> None:
    stored = _open_assertions(db, [change.subject for change in changes.changes])
    for change in changes.changes:
        mine = tuple(row.assertion for row in stored.get(change.subject, ()) if row.assertion.origin == change.origin)
        if mine != change.before:
            raise PlanOutdated(f"what {change.origin!r} says of {change.subject} has changed since the plan was made")


def _write(db: sqlite3.Connection, change: Change, revision: int) -> None:
    origin = _numbered(db, "origin", "name", change.origin)
    subject = change.subject
    if isinstance(subject, Flow):
        column, number = "flow", _flow(db, subject)
    else:
        column, number = "asset", _asset(db, subject)
    for span in change.closes:
        db.execute(
            f"UPDATE assertion SET known_last = ? WHERE {column} = ? AND origin = ? AND valid_start = ? AND known_last = ?",
            [revision, number, origin, span.valid.start, FOREVER],
        )
    for span in change.opens:
        db.execute(
            f"INSERT INTO assertion ({column}, origin, basis, valid_start, valid_end, known_first, known_last, attributes)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [
                number,
                origin,
                REFINES_FIRST.index(span.basis),
                *span.valid,
                revision,
                FOREVER,
                canonical(span.attributes).decode() if span.attributes else "{}",
            ],
        )


def _numbered(db: sqlite3.Connection, table: str, column: str, text: str) -> int:
    row = db.execute(f"SELECT number FROM {table} WHERE {column} = ?", [text]).fetchone()
    if row is not None:
        return int(row[0])
    return int(db.execute(f"INSERT INTO {table} ({column}) VALUES (?)", [text]).lastrowid or 0)


def _asset(db: sqlite3.Connection, key: AssetKey) -> int:
    row = db.execute("SELECT number FROM asset WHERE key = ?", [str(key)]).fetchone()
    if row is not None:
        return int(row[0])
    container = _asset(db, key.container) if key.container else None
    kind = "alias" if key.is_alias else key.kind.value
    inserted = db.execute("INSERT INTO asset (key, kind, container) VALUES (?, ?, ?)", [str(key), kind, container])
    return int(inserted.lastrowid or 0)


def _flow(db: sqlite3.Connection, flow: Flow) -> int:
    ends = [_asset(db, flow.source), _asset(db, flow.target), _asset(db, flow.via) if flow.via else 0]
    row = db.execute("SELECT number FROM flow WHERE source = ? AND target = ? AND via = ?", ends).fetchone()
    if row is not None:
        return int(row[0])
    return int(db.execute("INSERT INTO flow (source, target, via) VALUES (?, ?, ?)", ends).lastrowid or 0)


def _index_words(db: sqlite3.Connection, number: int, key: AssetKey, now: Instant) -> None:
    if key.is_alias:
        return
    db.execute("DELETE FROM words WHERE rowid = ?", [number])
    said = [row.assertion for row in _open_assertions(db, [key]).get(key, ())]
    if any(assertion.valid.holds_at(now) for assertion in said):
        text = search_text(key, values(shown_attributes(said, now)))
        db.execute("INSERT INTO words (rowid, text) VALUES (?, ?)", [number, text])


def _head(db: sqlite3.Connection) -> int:
    return int(db.execute("SELECT coalesce(max(number), 0) FROM revision").fetchone()[0])


def _receipt_of(db: sqlite3.Connection, operation: Operation) -> Receipt | None:
    if operation.id is None:
        return None
    row = db.execute("SELECT digest, receipt FROM operation WHERE id = ?", [operation.id]).fetchone()
    if row is None:
        return None
    if row[0] != operation.digest:
        raise OperationReused(operation.id)
    return Receipt(**orjson.loads(row[1]))


def _versions(db: sqlite3.Connection, keys: Collection[AssetKey]) -> dict[AssetKey, int]:
    found: dict[AssetKey, int] = {}
    for chunk in _chunks(keys):
        rows = db.execute(
            f"SELECT key, version FROM asset WHERE version IS NOT NULL AND key IN ({_marks(chunk)})", [*map(str, chunk)]
        )
        found |= {_key(key): version for key, version in rows}
    return found


def _open_assertions(db: sqlite3.Connection, subjects: Collection[Subject]) -> dict[Subject, list[StoredAssertion]]:
    return _assertions(db, subjects, "a.known_last = ?", [FOREVER])


def _assertions(
    db: sqlite3.Connection, subjects: Collection[Subject], where: str, parameters: Sequence[int]
) -> dict[Subject, list[StoredAssertion]]:
    found: list[StoredAssertion] = []
    for keys in _chunks([subject for subject in subjects if isinstance(subject, AssetKey)]):
        numbers = f"SELECT number FROM asset WHERE key IN ({_marks(keys)})"
        rows = db.execute(f"{_ROW} WHERE a.asset IN ({numbers}) AND {where}{_ORDER}", [*map(str, keys), *parameters])
        found += map(_stored, rows)
    for flows in _chunks([subject for subject in subjects if isinstance(subject, Flow)]):
        ends = [str(end) if end else "" for flow in flows for end in flow]
        numbers = (
            f"WITH wanted (s, t, v) AS (VALUES {', '.join(['(?, ?, ?)'] * len(flows))})"
            " SELECT f.number FROM wanted w JOIN asset s ON s.key = w.s JOIN asset t ON t.key = w.t"
            " LEFT JOIN asset v ON v.key = w.v"
            " JOIN flow f ON f.source = s.number AND f.target = t.number"
            " AND f.via = CASE w.v WHEN '' THEN 0 ELSE v.number END"
        )
        rows = db.execute(f"{_ROW} WHERE a.flow IN ({numbers}) AND {where}{_ORDER}", [*ends, *parameters])
        found += map(_stored, rows)
    return _by_subject(found)


def _revisions(
    db: sqlite3.Connection, numbers: Sequence[int], about: str = "1", parameters: Mapping[str, int] | None = None
) -> list[Revision]:
    if not numbers:
        return []
    within = f"({', '.join(map(str, numbers))})"
    opened: dict[int, list[StoredAssertion]] = {}
    closed: dict[int, list[StoredAssertion]] = {}
    for column, into in (("known_first", opened), ("known_last", closed)):
        rows = db.execute(f"{_ROW} WHERE a.{column} IN {within} AND {about} ORDER BY a.number", parameters or {})
        for row in map(_stored, rows):
            into.setdefault(row.known.first if into is opened else row.known.last, []).append(row)
    return [
        Revision(number, at, operation, actor, tuple(opened.get(number, ())), tuple(closed.get(number, ())))
        for number, at, operation, actor in db.execute(
            f"SELECT number, at, operation, actor FROM revision WHERE number IN {within} ORDER BY number"
        )
    ]


def _stored(row: _Row) -> StoredAssertion:
    number, first, last, basis, start, end, attributes, origin, key, source, target, via = row
    flow = Flow(_key(source), _key(target), _key(via) if via else None) if source and target else None
    subject: Subject = flow or _key(key or "")
    content: Attributes = {} if attributes == "{}" else orjson.loads(attributes)
    assertion = Assertion(subject, origin, REFINES_FIRST[basis], Interval(start, end), content)
    return StoredAssertion(number, assertion, Known(first, last))


def _by_subject(rows: Iterable[StoredAssertion]) -> dict[Subject, list[StoredAssertion]]:
    found: dict[Subject, list[StoredAssertion]] = {}
    for row in rows:
        found.setdefault(row.assertion.subject, []).append(row)
    return found


def _of_kinds(column: str, kinds: Collection[AssetKind]) -> str:
    return f"AND {column} IN ({_marks(kinds)})" if kinds else ""


def _marks(items: Collection[object]) -> str:
    return ", ".join("?" * len(items))


def _chunks(items: Collection[T]) -> Iterator[list[T]]:
    listed = list(items)
    for start in range(0, len(listed), _CHUNK):
        yield listed[start : start + _CHUNK]


_key = lru_cache(maxsize=65536)(AssetKey.parse)


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_NOTADB:
            raise StoreIncompatible(f"{path} is not a SQLite database") from error
        raise StoreUnavailable(f"{path}: {error}") from error
    except (sqlite3.Error, OSError) as error:
        raise StoreUnavailable(f"{path}: {error}") from error


def _migrate(db: sqlite3.Connection) -> None:
    if sqlite3.sqlite_version_info < (3, 35):
        raise StoreIncompatible(f"SQLite {sqlite3.sqlite_version} is too old: 3.35 or newer is needed")
    db.execute("BEGIN EXCLUSIVE")
    try:
        db.execute("CREATE TABLE IF NOT EXISTS migration (number INTEGER PRIMARY KEY, name TEXT, checksum TEXT)")
        applied = dict(db.execute("SELECT number, checksum FROM migration").fetchall())
        for step in pending(migrations_in("graph.stores.sqlite_migrations"), applied):
            for statement in step.statements:
                db.execute(statement)
            db.execute("INSERT INTO migration VALUES (?, ?, ?)", [step.number, step.name, step.checksum])
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
