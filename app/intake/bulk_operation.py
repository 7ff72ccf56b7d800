"""A bulk operation, as far as it has come."""

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from graph.changes import Receipt
from graph.errors import GraphError
from graph.model import Basis
from graph.stores.spool import Problem, Spool
from graph.time import Instant, moment

KEPT_PROBLEMS = 1_000
"""Of each operation, for whoever asks about it or wants one answer."""


class State(StrEnum):
    READING = "READING"
    COMMITTING = "COMMITTING"
    DONE = "DONE"
    FAILED = "FAILED"
    """It was cut short: sent again under its id it goes on."""


@dataclass(eq=False, slots=True)
class BulkOperation:
    """One operation, as far as it has come."""

    id: str
    origin: str
    basis: Basis
    actor: str
    at: Instant
    """When it was asked for: what its lines say holds from then, where they give no time."""
    spool: Spool | None = None
    """While it is read and runs."""
    state: State = State.READING
    lines: int = 0
    """Read so far, blank ones left out."""
    refused: int = 0
    committed: int = 0
    """Lines whose statements are durable. In the end, these and those refused are all lines."""
    added: int = 0
    updated: int = 0
    withdrawn: int = 0
    revision: int = 0
    """Of its newest commit: pass it as atLeastRevision to read what it wrote."""
    failure: GraphError | None = None
    problems: list[Problem] = field(default_factory=list)
    """The first of them."""
    digest: str = ""
    """Of all it says; empty while it is read."""
    resumed: bool = False
    """It began before: some of its commits may be done."""
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    complaining: threading.Lock = field(default_factory=threading.Lock)

    def complain(self, problems: Sequence[Problem], lines: int) -> None:
        """`lines` of those read are refused, by a thread that reads them, cuts batches or commits."""
        with self.complaining:
            self.refused += lines
            self.problems += problems[: KEPT_PROBLEMS - len(self.problems)]

    def count(self, receipt: Receipt, lines: int) -> None:
        self.committed += lines
        self.added += receipt.added
        self.updated += receipt.updated
        self.withdrawn += receipt.withdrawn
        self.revision = max(self.revision, receipt.revision)

    def end(self, failure: GraphError | None) -> None:
        self.spool = None
        self.failure = failure
        self.state = State.FAILED if failure else State.DONE
        self.ended.set()


def progress(operation: BulkOperation) -> dict[str, object]:
    return {
        "operation": operation.id,
        "origin": operation.origin,
        "state": operation.state,
        "at": moment(operation.at),
        "lines": operation.lines,
        "refused": operation.refused,
        "committed": operation.committed,
        "added": operation.added,
        "updated": operation.updated,
        "withdrawn": operation.withdrawn,
        "revision": operation.revision,
    }
