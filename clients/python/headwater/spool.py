"""What could not be sent yet, on disk: in order of arrival, until the service has it.

A SQLite file, so that what was kept survives whatever ends the process, and several processes may use it at once. Who sends
holds a lock on a second file, which the system releases when the process ends. Both want a local disk.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from headwater.errors import SpoolFull, SpoolUnusable

LIMIT_BYTES = 64 * 1024 * 1024
QUIET_SECONDS = 5.0
"""How long after a failure what is recorded is only kept, and not tried to be sent."""
_BUSY_SECONDS = 10.0


class Kind(str, Enum):
    REGISTRATION = "registration"
    LINES = "lines"
    EVENT = "event"
    ARTIFACT = "artifact"
    DOCUMENT = "document"


@dataclass(frozen=True)
class Kept:
    """`arguments` and `content` are those of its kind; the operation id is the same each time it is sent."""

    kind: Kind
    operation: str
    arguments: dict[str, Any]
    content: bytes = b""
    number: int = 0
    """In order of arrival."""


@dataclass(frozen=True)
class RefusedEntry:
    """What the service would not take, and why."""

    kind: Kind
    operation: str
    reason: str
    kept_at: float
    """Seconds since 1970."""


class Spool:
    """What waits to be sent. `limit_bytes` bounds it, and what was refused with it.

    >>> spool = Spool(folder / "spool.db", limit_bytes=1_000_000)
    >>> spool.waiting, spool.dropped
    (0, 0)
    """

    def __init__(self, path: str | os.PathLike[str], limit_bytes: int = LIMIT_BYTES) -> None:
        self.path = Path(path)
        self.limit_bytes = limit_bytes
        self._quiet_until = 0.0

    @property
    def waiting(self) -> int:
        """How many entries wait."""
        return self._number("SELECT count(*) FROM waiting")

    @property
    def dropped(self) -> int:
        """How many were not kept since the file was made, because it was full: each raised SpoolFull, too."""
        return self._number("SELECT coalesce(sum(dropped), 0) FROM counts")

    def refused(self) -> list[RefusedEntry]:
        """What the service would not take, the oldest first. It counts for the limit until it is taken up again or discarded.

        >>> Spool(folder / "spool.db").refused()
        []
        """
        if not self.path.exists():
            return []
        with self._open() as file:
            rows = file.execute("SELECT kind, operation, reason, kept_at FROM refused ORDER BY number").fetchall()
        return [RefusedEntry(Kind(kind), operation, reason, at) for kind, operation, reason, at in rows]

    def _keep(self, *entries: Kept) -> int:
        """Keeps all or none, durably; the number of the last. Raises SpoolFull, SpoolUnusable."""
        rows = [(each.kind.value, each.operation, json.dumps(each.arguments), each.content) for each in entries]
        wanted = sum(len(content) + len(arguments) for _, _, arguments, content in rows)
        with self._open() as file:
            file.execute("BEGIN IMMEDIATE")
            sizes = "SELECT coalesce(sum(length(content) + length(arguments)), 0) FROM"
            held = sum(int(file.execute(f"{sizes} {table}").fetchone()[0]) for table in ("waiting", "refused"))
            if held + wanted > self.limit_bytes:
                file.execute("UPDATE counts SET dropped = dropped + ?", (len(rows),))
                file.execute("COMMIT")
                raise SpoolFull(
                    f"{self.path} holds {held:,} of at most {self.limit_bytes:,} bytes, and {wanted:,} more were to be kept;"
                    " they are not. Flush it once the service can be reached, or give it a higher limit"
                )
            number = 0
            for row in rows:
                added = file.execute(
                    "INSERT INTO waiting (kept_at, kind, operation, arguments, content) VALUES (?, ?, ?, ?, ?)",
                    (time.time(), *row),
                )
                number = int(added.lastrowid or 0)
            file.execute("COMMIT")
        return number

    def _first(self) -> Kept | None:
        with self._open() as file:
            row = file.execute(
                "SELECT kind, operation, arguments, content, number FROM waiting ORDER BY number LIMIT 1"
            ).fetchone()
        return None if row is None else Kept(Kind(row[0]), row[1], json.loads(row[2]), bytes(row[3]), row[4])

    def _holds(self, number: int) -> bool:
        """It still waits."""
        return self._number(f"SELECT count(*) FROM waiting WHERE number = {int(number)}") > 0

    def _sent(self, kept: Kept) -> None:
        with self._open() as file:
            file.execute("DELETE FROM waiting WHERE number = ?", (kept.number,))

    def _refuse(self, kept: Kept, reason: str) -> None:
        """It will not be sent again, and stands among the refused."""
        with self._open() as file:
            file.execute("BEGIN IMMEDIATE")
            file.execute(
                "INSERT INTO refused SELECT number, kept_at, kind, operation, arguments, content, ? FROM waiting"
                " WHERE number = ?",
                (reason, kept.number),
            )
            file.execute("DELETE FROM waiting WHERE number = ?", (kept.number,))
            file.execute("COMMIT")

    def _retake(self) -> int:
        """What was refused waits again, before all else; how many."""
        with self._open() as file:
            file.execute("BEGIN IMMEDIATE")
            file.execute("INSERT INTO waiting SELECT number, kept_at, kind, operation, arguments, content FROM refused")
            count = file.execute("DELETE FROM refused").rowcount
            file.execute("COMMIT")
        return count

    def discard(self) -> int:
        """Gives up what was refused; how much.

        >>> Spool(folder / "spool.db").discard()
        0
        """
        with self._open() as file:
            return file.execute("DELETE FROM refused").rowcount

    def _is_quiet(self) -> bool:
        """The service did not answer a moment ago."""
        return time.monotonic() < self._quiet_until

    def _quieten(self) -> None:
        self._quiet_until = time.monotonic() + QUIET_SECONDS

    def _try_lock(self) -> sqlite3.Connection | None:
        """The right to send, until it is closed; None: somebody else has it."""
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            file = sqlite3.connect(f"{self.path}.lock", timeout=0, isolation_level=None, check_same_thread=False)
        except (OSError, sqlite3.Error) as error:
            raise self._unusable(error) from error
        try:
            file.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError:
            file.close()
            return None
        return file

    def _number(self, query: str) -> int:
        if not self.path.exists():
            return 0
        with self._open() as file:
            return int(file.execute(query).fetchone()[0])

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """One for each use: that is well under a millisecond, and threads and forks share nothing."""
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not self.path.exists():
                self.path.touch(mode=0o600)
            file = sqlite3.connect(self.path, timeout=_BUSY_SECONDS, isolation_level=None)
        except (OSError, sqlite3.Error) as error:
            raise self._unusable(error) from error
        try:
            file.execute("PRAGMA synchronous = FULL")
            if file.execute("PRAGMA user_version").fetchone()[0] == 0:
                file.executescript(_SCHEMA)
            yield file
        except sqlite3.Error as error:
            raise self._unusable(error) from error
        finally:
            file.close()

    def _unusable(self, error: Exception) -> SpoolUnusable:
        return SpoolUnusable(f"{self.path} cannot be used: {error}; name another place in HEADWATER_SPOOL")


_SCHEMA = """
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS waiting (
    number INTEGER PRIMARY KEY AUTOINCREMENT, kept_at REAL, kind TEXT, operation TEXT, arguments TEXT, content BLOB
);
CREATE TABLE IF NOT EXISTS refused (
    number INTEGER PRIMARY KEY, kept_at REAL, kind TEXT, operation TEXT, arguments TEXT, content BLOB, reason TEXT
);
CREATE TABLE IF NOT EXISTS counts (one INTEGER PRIMARY KEY CHECK (one = 1), dropped INTEGER);
INSERT OR IGNORE INTO counts VALUES (1, 0);
PRAGMA user_version = 1;
COMMIT;
"""


def default_path(url: str, headers: dict[str, str]) -> Path:
    """One for each service and caller: what is kept is sent in the name of whoever flushes it."""
    folder = os.environ.get("HEADWATER_SPOOL")
    if folder is None:
        state = os.environ.get("XDG_STATE_HOME") or os.environ.get("LOCALAPPDATA") or Path.home() / ".local" / "state"
        folder = str(Path(state) / "headwater")
    caller = json.dumps([url, sorted(headers.items())])
    return Path(folder) / f"spool-{hashlib.sha256(caller.encode()).hexdigest()[:16]}.db"
