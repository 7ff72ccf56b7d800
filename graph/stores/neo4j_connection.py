"""Neo4j's driver with what it lacks: a deadline that holds when the server is mute, our retry list, our errors."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias, TypeVar
from urllib.parse import unquote, urlsplit

from neo4j import READ_ACCESS, WRITE_ACCESS, Driver, GraphDatabase, Query, Result, Session, SummaryCounters
from neo4j.exceptions import (
    AuthError,
    ConstraintError,
    DriverError,
    IncompleteCommit,
    Neo4jError,
)

from graph.errors import InvalidInput, StoreIncompatible, StoreUnavailable

T = TypeVar("T")

Run: TypeAlias = Callable[[str, dict[str, object]], Result]
"""Runs one statement with its parameters."""

_Attempt: TypeAlias = Callable[[Driver, float], T]

SCHEMES = ("neo4j", "neo4j+s", "neo4j+ssc", "bolt", "bolt+s", "bolt+ssc")

BACKGROUND_SECONDS = 120.0
"""What one step may take of work that nobody waits for."""

_CONNECTIONS = 32
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0
_CLEAN_UP_SECONDS = 0.25  # the server ends its transaction this much before the caller stops waiting
_RETRIED = frozenset({"Neo.ClientError.Statement.EntityNotFound"})  # deleted between two steps of one statement


@dataclass(frozen=True, slots=True)
class Neo4jAddress:
    """`uri` has no credentials and is safe to print; `database` None is the server's default."""

    uri: str
    user: str | None
    password: str = field(repr=False)
    database: str | None

    @classmethod
    def parse(cls, url: str) -> "Neo4jAddress":
        """Of `neo4j://user:password@host:port/database`, percent-escaped. Raises InvalidInput, without the password."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise InvalidInput("the Neo4j URL has a host or port that cannot be read") from error
        if parts.scheme not in SCHEMES or not host:
            raise InvalidInput(
                f"a Neo4j URL is scheme://user:password@host:port/database with one of the schemes {', '.join(SCHEMES)},"
                f" not {parts.scheme}://{host or ''}"
            )
        host = f"[{host}]" if ":" in host else host
        uri = f"{parts.scheme}://{host}" + (f":{port}" if port else "") + (f"?{parts.query}" if parts.query else "")
        user = None if parts.username is None else unquote(parts.username)
        return cls(uri, user, unquote(parts.password or ""), unquote(parts.path.strip("/")) or None)


class Neo4jConnection:
    """Runs functions in transactions. They may run several times, so all they do must happen in the transaction.

    The driver blocks for as long as the server is frozen, so each attempt runs on a thread of its own. When it
    overruns, the caller gets StoreUnavailable, and closing the driver's sockets frees the thread.
    """

    def __init__(self, address: Neo4jAddress, request_seconds: float) -> None:
        self._address = address
        self._seconds = request_seconds
        self._bookmarks = GraphDatabase.bookmark_manager()
        self._replacing = threading.Lock()
        self._driver = self._connect()
        self._workers = ThreadPoolExecutor(_CONNECTIONS, thread_name_prefix="neo4j")
        self._closed = False

    def read(self, work: Callable[[Run], T], seconds: float | None = None) -> T:
        """Each statement sees what is committed when it runs; within a transaction it would be no different.

        Raises StoreUnavailable when there is no answer within `seconds` (absent: the request's deadline).
        """

        def attempt(driver: Driver, left: float) -> T:
            with self._session(driver, READ_ACCESS) as session:
                return work(lambda text, parameters: session.run(Query(text, timeout=left), parameters))

        return self._within(seconds, attempt, attempt)

    def write(
        self, work: Callable[[Run], T], seconds: float | None = None, *, after_doubt: Callable[[Run], T] | None = None
    ) -> T:
        """Commits what `work` does. After a commit whose answer was lost, `after_doubt` (absent: `work`) runs instead."""

        def attempt(work: Callable[[Run], T], driver: Driver, left: float) -> T:
            with self._session(driver, WRITE_ACCESS) as session, session.begin_transaction(timeout=left) as tx:
                result = work(tx.run)
                tx.commit()
                return result

        return self._within(seconds, partial(attempt, work), partial(attempt, after_doubt or work))

    def close(self) -> None:
        """Waits for running calls."""
        self._closed = True
        self._workers.shutdown()
        self._driver.close()

    def _within(self, seconds: float | None, attempt: _Attempt[T], after_doubt: _Attempt[T]) -> T:
        patience = self._seconds if seconds is None else seconds
        end = time.monotonic() + patience
        pause = _FIRST_PAUSE
        while True:
            driver, left = self._driver, max(end - time.monotonic(), 2 * _CLEAN_UP_SECONDS)
            running = self._submit(attempt, driver, left - _CLEAN_UP_SECONDS)
            try:
                return running.result(left)
            except TimeoutError as mute:
                running.cancel()
                self._replace(driver)
                raise StoreUnavailable(f"{self._address.uri} gave no answer within {patience:g} s") from mute
            except (DriverError, Neo4jError) as error:
                if isinstance(error, IncompleteCommit):
                    attempt = after_doubt
                again = isinstance(error, IncompleteCommit) or _may_retry(error) or driver is not self._driver
                if not again or time.monotonic() + pause > end or self._closed:
                    if _is_own_fault(error):
                        raise
                    raise self._translated(error) from error
            time.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    def _submit(self, attempt: _Attempt[T], driver: Driver, left: float) -> "Future[T]":
        try:
            return self._workers.submit(attempt, driver, left)
        except RuntimeError as shut_down:
            raise StoreUnavailable(f"{self._address.uri} is closed") from shut_down

    def _session(self, driver: Driver, access: str) -> Session:
        return driver.session(
            database=self._address.database, default_access_mode=access, bookmark_manager=self._bookmarks
        )

    def _connect(self) -> Driver:
        auth = None if self._address.user is None else (self._address.user, self._address.password)
        return GraphDatabase.driver(
            self._address.uri,
            auth=auth,
            user_agent="headwater",
            telemetry_disabled=True,
            notifications_min_severity="OFF",
            max_connection_pool_size=_CONNECTIONS,
            connection_acquisition_timeout=self._seconds,
            connection_timeout=self._seconds,
            connection_write_timeout=self._seconds,
            liveness_check_timeout=self._seconds,
        )

    def _replace(self, mute: Driver) -> None:
        with self._replacing:
            if self._driver is not mute or self._closed:
                return
            self._driver = self._connect()
        # Saying goodbye to a server that does not listen may block as well.
        threading.Thread(target=mute.close, daemon=True).start()

    def _translated(self, error: DriverError | Neo4jError) -> StoreUnavailable | StoreIncompatible:
        """Says the driver's code and not its message, which may hold values."""
        uri = self._address.uri
        if isinstance(error, AuthError):
            return StoreUnavailable(f"{uri} refuses the credentials of user {self._address.user!r}")
        if isinstance(error, ConstraintError):
            return StoreIncompatible(
                f"{uri} holds data that this program did not write ({error.code}): run check-store"
            )
        what = error.code if isinstance(error, Neo4jError) else type(error).__name__
        if what and "TransactionLogError" in what:
            return StoreUnavailable(f"{uri} cannot write ({what}): free space on its disk and restart it")
        return StoreUnavailable(f"{uri} does not answer ({what})")


def _may_retry(error: DriverError | Neo4jError) -> bool:
    return error.is_retryable() or (isinstance(error, Neo4jError) and error.code in _RETRIED)


def _is_own_fault(error: DriverError | Neo4jError) -> bool:
    """A statement that Neo4j cannot read is a defect here, and no reason to try again."""
    return isinstance(error, Neo4jError) and (error.code or "").startswith("Neo.ClientError.Statement.")


def value(run: Run, query: str, /, **parameters: object) -> Any:
    """The one value of the one record that `query` returns: a Bolt record costs more than what it carries."""
    return run(query, parameters).single(strict=True)[0]


def counters(run: Run, query: str, /, **parameters: object) -> SummaryCounters:
    """What `query`, which returns nothing, has done."""
    return run(query, parameters).consume().counters
