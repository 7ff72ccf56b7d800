"""What one bulk operation was told, on disk until it is done: far more than memory holds, and read in order.

A private temporary database that no other connection sees. It has no name, so it is gone with its process, `kill -9`
included. Where it lies, SQLITE_TMPDIR or TMPDIR say.
"""

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeAlias

from graph.errors import StoreUnavailable
from graph.importers.bulk import Line, Stretch
from graph.time import Instant

_CACHE_KIB = 16_384
_ROWS = 2_000

_TABLES = (
    "CREATE TABLE line (number INTEGER, stage INTEGER, subject TEXT, since INTEGER, until INTEGER, dated INTEGER,"
    " basis INTEGER, attributes BLOB, digest BLOB)",
    "CREATE TABLE withdrawal (number INTEGER, subject TEXT)",
    "CREATE TABLE stretch (dated INTEGER, stage INTEGER, place INTEGER, subject TEXT, since INTEGER, until INTEGER,"
    " basis INTEGER, attributes BLOB, line INTEGER, lines INTEGER)",
    "CREATE TABLE problem (place INTEGER PRIMARY KEY, line INTEGER, field TEXT, value TEXT, message TEXT, code TEXT)",
)


class Problem(NamedTuple):
    """Why a line was not taken. `line` counts from 1; `field` None: the line as a whole."""

    line: int
    field: str | None
    value: str
    message: str
    code: str
    """As the errors of the graph are called: InvalidKey, NotFound, …"""


Repeated: TypeAlias = tuple[int, int, int, str, Instant, Instant, int, int, bytes, bytes]
"""The number of a line, how often it stands, and the fields of `Line`."""


class Spool:
    """Safe to use from several threads. Every method raises StoreUnavailable when there is no room on the disk."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        with _translated():
            self._db = sqlite3.connect("", check_same_thread=False, isolation_level=None)
            for setting in (
                "journal_mode = OFF",
                "synchronous = OFF",
                "temp_store = FILE",
                f"cache_size = -{_CACHE_KIB}",
            ):
                self._db.execute(f"PRAGMA {setting}")
            for table in _TABLES:
                self._db.execute(table)

    def add(self, lines: Sequence[tuple[int, Line]], problems: Sequence[Problem]) -> None:
        with self._writing() as db:
            db.executemany(
                "INSERT INTO line VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", [(number, *line) for number, line in lines]
            )
            db.executemany(
                "INSERT INTO withdrawal VALUES (?, ?)",
                [(number, line.subject) for number, line in lines if not line.stage],
            )
            _complain(db, problems)

    def complain(self, problems: Sequence[Problem]) -> None:
        with self._writing() as db:
            _complain(db, problems)

    def contradictions(self) -> list[tuple[int, str, int]]:
        """Withdrawals of what is stated as well: their lines and subjects, and where it is stated first. They are dropped."""
        with self._writing() as db:
            if db.execute("SELECT 1 FROM withdrawal LIMIT 1").fetchone() is None:
                return []
            db.execute("CREATE INDEX withdrawn ON withdrawal (subject)")
            found = db.execute(
                "SELECT w.number, w.subject, min(s.number) FROM line s CROSS JOIN withdrawal w ON w.subject = s.subject"
                " WHERE s.stage > 0 GROUP BY w.number ORDER BY w.number"
            ).fetchall()
            db.execute("CREATE TEMP TABLE dropped (number INTEGER PRIMARY KEY)")
            db.executemany("INSERT INTO dropped VALUES (?)", [(number,) for number, _, _ in found])
            db.execute("DELETE FROM line WHERE stage = 0 AND number IN (SELECT number FROM dropped)")
        return found

    def in_order(self) -> Iterator[Repeated]:
        """The different lines, stage by stage, those of a subject one after the other in the order of `since` and `digest`."""
        return self._rows(
            "SELECT min(number), count(*), stage, subject, since, until, dated, basis, attributes, digest FROM line"
            " GROUP BY stage, subject, since, digest ORDER BY stage, subject, since, digest"
        )

    def put_off(self, stage: int, stretches: Iterable[Stretch], dated: bool) -> None:
        with self._writing() as db:
            db.executemany(
                "INSERT INTO stretch VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                ((dated, stage, place, *each) for place, each in enumerate(stretches)),
            )

    def put_off_stretches(self) -> Iterator[tuple[bool, int, int, Stretch]]:
        """`dated`, stage and place of each, first the dated ones, then place by place: of one place no two of a subject."""
        rows = self._rows("SELECT * FROM stretch ORDER BY dated DESC, stage, place, basis, subject")
        for dated, stage, place, *stretch in rows:
            yield bool(dated), stage, place, Stretch(*stretch)

    def problems(self, after: int, limit: int) -> list[tuple[int, Problem]]:
        """With their places, which rise."""
        with self._lock, _translated():
            rows = self._db.execute("SELECT * FROM problem WHERE place > ? ORDER BY place LIMIT ?", [after, limit])
            return [(place, Problem(*problem)) for place, *problem in rows]

    def __del__(self) -> None:
        """The file goes with the last who reads it: one commits, others tell what was wrong."""
        if hasattr(self, "_db"):
            self._db.close()

    def _rows(self, query: str) -> Iterator[Any]:
        with self._lock, _translated():
            cursor = self._db.execute(query)
        while True:
            with self._lock, _translated():
                rows = cursor.fetchmany(_ROWS)
            if not rows:
                return
            yield from rows

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock, _translated():
            self._db.execute("BEGIN")
            yield self._db
            self._db.execute("COMMIT")


def _complain(db: sqlite3.Connection, problems: Sequence[Problem]) -> None:
    db.executemany(
        "INSERT INTO problem (line, field, value, message, code) VALUES (?, ?, ?, ?, ?)",
        problems,
    )


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise StoreUnavailable(f"the temporary file of a bulk operation: {error}") from error
