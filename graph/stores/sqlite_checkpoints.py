"""Carries commits from the write-ahead log into the database file, beside the writers instead of within a commit."""

import sqlite3
import threading
from collections.abc import Callable

AT_MOST_PAGES = 4_000
"""Beyond this the next commit does it itself, so that the log stays bounded however fast commits come."""

_PAUSE_SECONDS = 0.2


class Checkpoints:
    """A thread that lives from the first commit until `stop`. It never holds a writer or a reader up."""

    def __init__(self, connect: Callable[[], sqlite3.Connection]) -> None:
        self._connect = connect
        self._committed = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def follow(self) -> None:
        """There was a commit. One thread at a time calls this."""
        self._committed.set()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="checkpoints", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._committed.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        db: sqlite3.Connection | None = None
        try:
            while self._committed.wait() and not self._stopping.is_set():
                self._committed.clear()
                try:
                    db = db or self._connect()
                    db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
                except sqlite3.Error:
                    # What is in the log is safe, and the next commit that finds too much of it there says what is wrong.
                    pass
                self._stopping.wait(_PAUSE_SECONDS)
        finally:
            if db is not None:
                db.close()
