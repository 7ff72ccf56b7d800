"""Group commit: concurrent writers share one durable transaction, because the disk's promise is what costs."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from graph.errors import StoreUnavailable

Item = TypeVar("Item")
Result = TypeVar("Result")


class _Waiting(Generic[Item, Result]):
    """`turn` is held until the outcome is there, or until this caller is the one to run the next group."""

    __slots__ = ("item", "outcome", "turn")

    def __init__(self, item: Item) -> None:
        self.item = item
        self.outcome: Result | Exception | None = None
        self.turn = threading.Lock()
        self.turn.acquire()


class GroupCommit(Generic[Item, Result]):
    """Callers queue; one of them runs all that is queued, in the order of arrival, and hands on to the next in line.

    `run` takes the items of one transaction and returns an outcome for each, in order: a result, or the exception to
    raise in that caller. What it raises itself is raised in all of them.
    """

    def __init__(self, run: Callable[[Sequence[Item]], Sequence[Result | Exception]], at_most: int = 256) -> None:
        self._run = run
        self._at_most = at_most
        self._queue: list[_Waiting[Item, Result]] = []
        self._led = False
        self._queueing = threading.Lock()
        self._running = threading.Lock()

    def submit(self, item: Item) -> Result:
        """Returns when the transaction that held `item` is durable."""
        mine = _Waiting[Item, Result](item)
        with self._queueing:
            self._queue.append(mine)
            leads, self._led = not self._led, True
        if not leads:
            self._wait(mine)
        if mine.outcome is None:
            self._lead()
        outcome = mine.outcome
        assert outcome is not None, "a group holds whoever runs it"
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def exclusively(self) -> threading.Lock:
        """Held while no group runs: for rare work that must not meet a commit."""
        return self._running

    def _wait(self, mine: _Waiting[Item, Result]) -> None:
        try:
            mine.turn.acquire()
        except BaseException:  # an interrupt: whoever is next in the queue must not wait for this caller
            with self._queueing:
                if mine in self._queue:
                    self._queue.remove(mine)
                    if mine.turn.acquire(blocking=False):
                        self._hand_on()
            raise

    def _lead(self) -> None:
        """Runs the group that begins with the first in the queue: the caller."""
        group: list[_Waiting[Item, Result]] = []
        try:
            with self._running:
                # Lets those come along who were just answered: one more in a group costs the disk nothing.
                time.sleep(0)
                with self._queueing:
                    group, self._queue = self._queue[: self._at_most], self._queue[self._at_most :]
                self._run_group(group)
        finally:
            # The next group starts before this one's callers wake: theirs is only to answer.
            with self._queueing:
                self._hand_on()
            for waiting in group[1:]:
                waiting.turn.release()

    def _hand_on(self) -> None:
        self._led = bool(self._queue)
        if self._led:
            self._queue[0].turn.release()

    def _run_group(self, group: Sequence[_Waiting[Item, Result]]) -> None:
        outcomes: Sequence[Result | Exception] = [StoreUnavailable("interrupted: the outcome is unknown")] * len(group)
        try:
            outcomes = self._run([waiting.item for waiting in group])
        except Exception as error:  # noqa: BLE001  handed on to every caller, none is left waiting
            outcomes = [error] * len(group)
        finally:
            for waiting, outcome in zip(group, outcomes, strict=True):
                waiting.outcome = outcome
