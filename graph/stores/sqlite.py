"""The embedded store: one SQLite file in WAL mode, `synchronous=FULL`, concurrent writers sharing a transaction."""

import sqlite3
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeAlias

from graph.changes import Changes, Receipt
from graph.errors import StoreIncompatible, StoreUnavailable
from graph.keys import AssetKey, AssetKind
from graph.messages import Delivery
from graph.model import Assertion, Operation, StoredAssertion, Subject
from graph.plan import AHEAD
from graph.sources import Heard, Rejected, Unmended
from graph.stores import sqlite_events, sqlite_messages, sqlite_sources, sqlite_usage
from graph.stores import sqlite_reading as reading
from graph.stores.contract import (
    EventPlace,
    KeptEvent,
    Listener,
    Plan,
    Revision,
    SearchHit,
    SeenSpans,
    ToldSpans,
)
from graph.stores.group import GroupCommit
from graph.stores.migrations import migrations_in, pending
from graph.stores.recent import RecentRevisions
from graph.stores.sqlite_check import check
from graph.stores.sqlite_checkpoints import AT_MOST_PAGES, Checkpoints
from graph.stores.sqlite_draft import Draft, index_words, words_of
from graph.stores.sqlite_export import SqliteExport
from graph.stores.words import query_words
from graph.time import FOREVER, Instant
from graph.usage import KEPT_DAYS, Day, Usage, day_of, merged_latency

_Commit: TypeAlias = tuple[Changes | Plan, Operation, Instant]
_Write: TypeAlias = Callable[[sqlite3.Connection], int]
"""Answers how many rows it is about."""


class SqliteStore:
    """Opens, or makes, the database at `path`.

    Raises StoreIncompatible for a schema that is newer or was changed by hand, StoreUnavailable when the file cannot
    be opened. Several processes may open one file; each sees the others' commits.
    """

    commits_at_once = 1

    def __init__(self, path: Path) -> None:
        self._path = path
        self._idle: list[sqlite3.Connection] = []
        self._lock = threading.Lock()
        self._closed = False
        with _translated(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = self._connect()
            self._writer.create_function("merged_latency", 2, merged_latency, deterministic=True)
            self._writer.execute(f"PRAGMA wal_autocheckpoint = {AT_MOST_PAGES}")
            _migrate(self._writer)
        self._numbers = reading.Numbers()
        self._recent = RecentRevisions()
        self._listener: Listener | None = None
        self._checkpoints = Checkpoints(self._connect)
        self._commits: GroupCommit[_Commit, Receipt] = GroupCommit(self._commit_group)
        self._writes: GroupCommit[_Write, int] = GroupCommit(self._write_group)

    # Writing

    def commit(self, changes: Changes | Plan, operation: Operation, now: Instant) -> Receipt:
        return self._commits.submit((changes, operation, now))

    def announce_to(self, listener: Listener) -> None:
        self._listener = listener

    def _commit_group(self, group: Sequence[_Commit]) -> list[Receipt | Exception]:
        outcomes: list[Receipt | Exception] = []
        with self._writing() as db:
            draft = Draft(db, self._numbers)
            draft.read(group)
            for changes, operation, now in group:
                try:
                    outcomes.append(draft.add(changes, operation, now))
                except sqlite3.Error:
                    raise
                except Exception as error:  # noqa: BLE001  raised in the caller whose plan it is, and in no other
                    outcomes.append(error)
            draft.write()
        self._numbers.add(draft.made, draft.made_origins)
        self._recent.add(draft.revisions)
        self._checkpoints.follow()
        if draft.revisions and self._listener:
            with suppress(Exception):  # it is committed; whoever needs the listener to know asks it to catch up
                self._listener(draft.revisions)
        return outcomes

    def forget_operations(self, before: Instant, now: Instant) -> int:
        oldest = day_of(now) - KEPT_DAYS
        with self._commits.exclusively(), self._writing() as db:
            removed = _purge(db, "operation", "at < ?", before, now)
            told = "due_at IS NULL AND revision IN (SELECT number FROM revision WHERE at < ?)"
            _purge(db, "message", told, before, now)
            _purge(db, "usage", "day < ?", oldest, now)
            _purge(db, "counter", "day < ?", oldest, now)
            _purge(db, "source_day", "day < ?", oldest, now)
            _purge(db, "rejected", "last < ?", before, now)
        return removed

    def count(self, usages: Collection[Usage], counter: str, sequence: int) -> bool:
        with self._commits.exclusively(), self._writing() as db:
            return sqlite_usage.count(db, usages, counter, sequence)

    def count_spans(self, usages: Collection[Usage], counter: str, sequence: int, told: ToldSpans) -> list[SeenSpans]:
        with self._commits.exclusively(), self._writing() as db:
            return sqlite_usage.count_spans(db, usages, counter, sequence, told)

    def forget_spans(self, minute: int, links: Instant, now: Instant) -> int:
        last = "number < (SELECT max(number) FROM spans_seen)"  # numbers never begin anew
        with self._commits.exclusively(), self._writing() as db:
            removed = _purge(db, "spans_seen", f"{last} AND minute < ?", minute, now)
            return removed + _purge(db, "span_links", "at < ?", links, now)

    def lease(self, now: Instant, until: Instant, limit: int = 20) -> list[Delivery]:
        with self._commits.exclusively(), self._writing() as db:
            return sqlite_messages.lease(db, now, until, limit)

    def delivered(self, message: str, now: Instant) -> None:
        with self._commits.exclusively(), self._writing() as db:
            sqlite_messages.delivered(db, message, now)

    def postponed(self, message: str, until: Instant | None, reason: str) -> None:
        with self._commits.exclusively(), self._writing() as db:
            sqlite_messages.postponed(db, message, until, reason)

    def keep(self, events: Collection[KeptEvent], keeper: str, now: Instant) -> int:
        return self._writes.submit(lambda db: sqlite_events.keep(db, events, keeper, now))

    def folded(self, events: Mapping[str, Collection[str]], keeper: str) -> Mapping[str, int]:
        others: dict[str, int] = {}

        def write(db: sqlite3.Connection) -> int:
            others.update(sqlite_events.folded(db, events, keeper))
            return len(events)

        self._writes.submit(write)
        return others

    def reduce_events(self, events: Sequence[KeptEvent], before: Instant, now: Instant) -> int:
        return self._writes.submit(lambda db: sqlite_events.reduce(db, events, before, now))

    def mark_said(self, at: Mapping[tuple[Subject, str], Instant]) -> None:
        def write(db: sqlite3.Connection) -> int:
            sqlite_events.mark_said(db, at)
            return len(at)

        self._writes.submit(write)

    def hear(self, heard: Collection[Heard], counter: str, sequence: int) -> bool:
        with self._commits.exclusively(), self._writing() as db:
            if not sqlite_usage.moved(db, counter, sequence, (each.day for each in heard)):
                return False
            sqlite_sources.hear(db, heard)
        return True

    def reject(self, items: Collection[Rejected]) -> None:
        with self._commits.exclusively(), self._writing() as db:
            sqlite_sources.reject(db, items)

    def mended(self, ids: Collection[str]) -> int:
        with self._commits.exclusively(), self._writing() as db:
            return sqlite_sources.mended(db, ids)

    def _write_group(self, group: Sequence[_Write]) -> list[int | Exception]:
        with self._commits.exclusively(), self._writing() as db:
            return [write(db) for write in group]

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
            numbers = {reading.key(text): number for number, text in touched}
            said = reading.assertions_of(db, numbers, self._numbers)
            words = {key: words_of(key, [row.assertion for row in said.get(key, ())], now) for key in numbers}
            index_words(db, words, (), numbers)
            db.execute("DELETE FROM settled")
            db.execute("INSERT INTO settled VALUES (?)", [max(settled, now)])
        return len(touched)

    # Reading

    def head(self) -> int:
        with self._reading_once() as db:
            return reading.head(db)

    def believed(self, subjects: Collection[Subject]) -> Mapping[Subject, tuple[Assertion, ...]]:
        with self._reading() as db:
            found = reading.open_assertions(db, subjects, self._numbers)
        return {subject: tuple(row.assertion for row in rows) for subject, rows in found.items()}

    def believed_at(
        self, subjects: Collection[Subject], revision: int
    ) -> Mapping[Subject, tuple[StoredAssertion, ...]]:
        with self._reading() as db:
            found = reading.assertions_of(
                db, reading.numbered(db, subjects, self._numbers), self._numbers, min(revision, FOREVER - 1)
            )
        return {subject: tuple(rows) for subject, rows in found.items()}

    def believed_by(self, origin: str) -> Mapping[Subject, tuple[Assertion, ...]]:
        with self._reading() as db:
            found = reading.believed_by(db, origin)
        return {subject: tuple(row.assertion for row in rows) for subject, rows in found.items()}

    def touching(self, keys: Collection[AssetKey]) -> Collection[Subject]:
        with self._reading() as db:
            return reading.touching(db, keys)

    def versions(self, keys: Collection[AssetKey]) -> Mapping[AssetKey, int]:
        with self._reading() as db:
            return reading.versions(db, keys)

    def receipt_of(self, operation: Operation) -> Receipt | None:
        if operation.id is None:
            self._refuse_closed()
            return None
        with self._reading() as db:
            return reading.answered(operation, reading.answers(db, [operation.id]))

    def changes_since(self, revision: int, limit: int = 1000) -> list[Revision]:
        recent = self._recent.since(revision, self.head(), limit)
        if recent is not None:
            return recent
        with self._reading() as db:
            numbers = db.execute(
                "SELECT number FROM revision WHERE number > ? ORDER BY number LIMIT ?", [revision, limit]
            ).fetchall()
            return reading.with_said(db, reading.revisions(db, [number for (number,) in numbers]), self._numbers)

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
            revisions = reading.revisions(db, [number for (number,) in numbers], about, {"asset": found[0]})
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
                f"SELECT key FROM asset k WHERE key > ? {reading.of_kinds('k.kind', kinds)} AND k.kind <> 'alias' AND EXISTS"
                " (SELECT 1 FROM assertion a WHERE a.asset = k.number AND a.known_last = ? AND a.valid_start <= ?"
                " AND ? < a.valid_end) ORDER BY key LIMIT ?",
                [str(after) if after else "", *kinds, FOREVER, at, at, limit],
            )
            return [reading.key(text) for (text,) in rows]

    def search(self, text: str, kinds: Collection[AssetKind] = (), limit: int = 20, offset: int = 0) -> list[SearchHit]:
        wanted = query_words(text)
        if not wanted:
            return []
        with self._reading() as db:
            rows = db.execute(
                "SELECT k.key, -bm25(words) AS score FROM words JOIN asset k ON k.number = words.rowid"
                f" WHERE words MATCH ? {reading.of_kinds('k.kind', kinds)} ORDER BY score DESC, k.key LIMIT ? OFFSET ?",
                [" AND ".join(f'"{word}"*' for word in wanted), *kinds, limit, offset],
            )
            return [SearchHit(reading.key(key), score) for key, score in rows]

    def usage(self, keys: Collection[AssetKey], since_day: Day) -> list[Usage]:
        with self._reading() as db:
            return sqlite_usage.usage(db, keys, since_day)

    def seen_spans(self, minutes: Collection[int]) -> list[SeenSpans]:
        with self._reading_once() as db:
            return sqlite_usage.seen_spans(db, minutes)

    def last_seen_spans(self) -> int:
        with self._reading_once() as db:
            return sqlite_usage.last_seen_spans(db)

    def links(self, recorder: str, since: Instant) -> list[bytes]:
        with self._reading_once() as db:
            return sqlite_usage.links(db, recorder, since)

    def undelivered(self) -> int:
        with self._reading() as db:
            return sqlite_messages.undelivered(db)

    def kept(
        self,
        origin: str,
        since: Instant = -FOREVER,
        until: Instant = FOREVER,
        after: EventPlace | None = None,
        limit: int = 1000,
    ) -> list[KeptEvent]:
        with self._reading() as db:
            return sqlite_events.kept(db, origin, since, until, after, limit)

    def event_origins(self, after: str = "", limit: int = 1000) -> list[str]:
        with self._reading() as db:
            return sqlite_events.origins(db, after, limit)

    def kept_by_others(self, origin: str, keeper: str) -> list[str]:
        with self._reading() as db:
            return sqlite_events.others(db, origin, keeper)

    def kept_as(self, digests: Collection[str]) -> list[KeptEvent]:
        with self._reading() as db:
            return sqlite_events.with_digests(db, digests)

    def unfolded(self, limit: int = 1000) -> list[str]:
        with self._reading() as db:
            return sqlite_events.unfolded(db, limit)

    def whole_events(self, before: Instant, limit: int = 1000) -> list[KeptEvent]:
        with self._reading() as db:
            return sqlite_events.whole(db, before, limit)

    def last_said(self, subjects: Collection[Subject]) -> Mapping[tuple[Subject, str], Instant]:
        with self._reading() as db:
            return sqlite_events.last_said(db, subjects)

    def heard(self, since_day: Day = 0, source: str | None = None) -> list[Heard]:
        with self._reading() as db:
            return sqlite_sources.heard(db, since_day, source)

    def rejected(
        self, source: str | None = None, before: tuple[Instant, str] | None = None, limit: int = 50
    ) -> list[Rejected]:
        with self._reading() as db:
            return sqlite_sources.rejected(db, source, before, limit)

    def rejected_item(self, id_: str) -> Rejected | None:
        with self._reading() as db:
            return sqlite_sources.rejected_item(db, id_)

    def unmended(self) -> Mapping[str, Unmended]:
        with self._reading() as db:
            return sqlite_sources.unmended(db)

    @contextmanager
    def export(self) -> Iterator[SqliteExport]:
        with self._reading() as db:
            yield SqliteExport(db, reading.head(db))

    def check(self) -> list[str]:
        with self._reading() as db:
            return check(db)

    def close(self) -> None:
        with self._commits.exclusively(), self._lock:
            if not self._closed:
                self._closed = True
                self._checkpoints.stop()
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
        with self._reading_once() as db:
            try:
                db.execute("BEGIN")
                yield db
            finally:
                if db.in_transaction:
                    db.execute("ROLLBACK")

    @contextmanager
    def _reading_once(self) -> Iterator[sqlite3.Connection]:
        """A connection for a single statement, which is a transaction of its own."""
        with _translated(self._path):
            with self._lock:
                self._refuse_closed()
                db = self._idle.pop() if self._idle else None
            db = db or self._connect()
            try:
                yield db
            finally:
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


def _purge(db: sqlite3.Connection, table: str, where: str, before: int, now: Instant) -> int:
    """Removes what is older than `before`, and records that. How many."""
    removed = db.execute(f"DELETE FROM {table} WHERE {where}", [before]).rowcount
    if removed:
        db.execute("INSERT INTO purge VALUES (?, ?, ?, ?)", [now, table, before, removed])
    return removed


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
