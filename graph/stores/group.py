"""Group commit: concurrent writers share one durable transaction, because the disk's promise is what costs."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(slots=True)
class _Waiting(Generic[Item, Result]):
    item: Item
    outcome: "Result | Exception | None" = None


class GroupCommit(Generic[Item, Result]):
    """Callers queue; whoever gets the lock runs all that is queued, in the order of arrival.

    `run` takes the items of one transaction and returns an outcome for each, in order: a result, or the exception to
    raise in that caller. What it raises itself is raised in all of them.
    """

    def __init__(self, run: Callable[[Sequence[Item]], Sequence[Result | Exception]], at_most: int = 256) -> None:
        self._run = run
        self._at_most = at_most
        self._queue: list[_Waiting[Item, Result]] = []
        self._queueing = threading.Lock()
        self._running = threading.Lock()

    def submit(self, item: Item) -> Result:
        """Returns when the transaction that held `item` is durable."""
        mine = _Waiting[Item, Result](item)
        with self._queueing:
            self._queue.append(mine)
        while mine.outcome is None:
            with self._running:
                if mine.outcome is None:
                    self._run_group()
        if isinstance(mine.outcome, Exception):
            raise mine.outcome
        return mine.outcome

    def exclusively(self) -> threading.Lock:
        """Held while no group runs: for rare work that must not meet a commit."""
        return self._running

    def _run_group(self) -> None:
        with self._queueing:
            group, self._queue = self._queue[: self._at_most], self._queue[self._at_most :]
        try:
            outcomes = self._run([waiting.item for waiting in group])
        except Exception as error:  # noqa: BLE001  handed on to every caller, none is left waiting
            outcomes = [error] * len(group)
        for waiting, outcome in zip(group, outcomes, strict=True):
            waiting.outcome = outcome
