"""The service's one object: everything that transports (GraphQL, HTTP) can ask of the graph.

`graph/` is synchronous; this is the one place that crosses to threads.
"""

import asyncio
import contextvars
import gc
import os
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import structlog

from graph.changes import Changes, Receipt, Registration
from graph.errors import RevisionUnavailable
from graph.folding import Folding
from graph.importers.openlineage.events import Event
from graph.index import LineageIndex
from graph.keys import AssetKey, AssetKind
from graph.model import Operation, StoredAssertion, Subject
from graph.neighbours import aliases_ever
from graph.plan import (
    Together,
    digest_together,
    plan_registration,
    plan_together,
    register,
    register_together,
)
from graph.same import names_of
from graph.snapshot import load as load_index
from graph.snapshot import save as save_index
from graph.stores.contract import KeptEvent, Revision, SearchHit, Store
from graph.time import Instant
from graph.topology import Moment, View

T = TypeVar("T")

log = structlog.get_logger(__name__)

_READERS = 8
_WRITERS = 64
"""Writers wait for each other's shared commit, not for the processor."""
LONG_WORKERS = max(1, (os.cpu_count() or 1) // 2)
"""Half of the processors for what takes long, so that what is short always finds one."""

LARGE = 20_000
"""Assets from which an answer is long work."""
_REMEMBERED = 10_000
_AT_ONCE = 4_194_304
"""Bytes that are made before those made are sent."""
_A_WHILE = 0.02
"""Seconds of work at a stretch: short beside what a person notices, long beside the way to a thread and back."""


@dataclass(frozen=True, slots=True)
class When:
    """The moment a read asks for. `at` absent: now. `known_at` absent: all that is known, a revision, or an instant's."""

    at: Instant | None = None
    known_at_revision: int | None = None
    known_at_instant: Instant | None = None
    at_least_revision: int | None = None


class Sizes:
    """How large answers were: how much work a question is shows only when it is done, and is the same next time."""

    def __init__(self) -> None:
        self._assets: OrderedDict[object, int] = OrderedDict()
        self._first: dict[object, asyncio.Event] = {}

    @asynccontextmanager
    async def expected(self, question: object) -> AsyncIterator[int]:
        """How many assets the answer to `question` (anything hashable) will have; 0 for one never asked.

        Whoever asks the same meanwhile waits until that is known: else they would all take the places of what is short.
        """
        while question not in self._assets and question in self._first:
            await self._first[question].wait()
        known = self._assets.get(question)
        if known is None:
            self._first[question] = asyncio.Event()
        try:
            yield known or 0
        finally:
            if known is None:
                self._first.pop(question).set()

    def found(self, question: object, assets: int) -> None:
        self._assets[question] = assets
        self._assets.move_to_end(question)
        if len(self._assets) > _REMEMBERED:
            self._assets.popitem(last=False)


class Headwater:
    def __init__(
        self,
        store: Store,
        index: LineageIndex,
        clock: Callable[[], Instant],
        patience: float = 5.0,
        snapshot: Path | None = None,
    ) -> None:
        self.store = store
        self.index = index
        self.clock = clock
        self._patience = patience
        self._snapshot = snapshot
        self._saved: int | None = None
        self._moved = asyncio.Event()
        self._announced = 0
        self._reading = ThreadPoolExecutor(_READERS, "reading")
        self._labouring = ThreadPoolExecutor(LONG_WORKERS, "labouring")
        self._beside = ThreadPoolExecutor(LONG_WORKERS, "beside")
        self._writing = ThreadPoolExecutor(_WRITERS, "writing")
        self._later: set[asyncio.Task[None]] = set()
        self.sizes = Sizes()

    # Following the store

    @property
    def ready(self) -> bool:
        return self.index.loaded

    async def load(self) -> None:
        """From the snapshot if there is one that fits, else from the store; then there is one.

        Loading again is for an index that went wrong: its snapshot may be wrong too, and is made anew.
        """
        loop = asyncio.get_running_loop()

        def committed(revisions: Sequence[Revision]) -> None:
            self.index.hear(revisions)
            loop.call_soon_threadsafe(self._announce)

        self.store.announce_to(committed)
        snapshot = None if self.index.loaded else self._snapshot
        unfit = await self.in_thread(load_index, self.index, self.store, snapshot)
        gc.freeze()  # what the index holds stays, and is much: the collector need not look through it again and again
        self._announce()
        if snapshot is not None and unfit is None:
            self._saved = self.index.revision
        else:
            log.info("the lineage index was loaded from the store", snapshot=unfit or "not asked")
            self._saved = None
            await self.save()

    def distrust_snapshot(self) -> None:
        """Loads from the store from now on: what went wrong may be in the snapshot."""
        self._snapshot = None

    async def save(self) -> None:
        """Writes the snapshot, if one is kept. A disk that is full costs a slower start, not the service."""
        if self._snapshot is not None and self.ready and self.index.revision != self._saved:
            try:
                self._saved = await self.in_thread(save_index, self.index, self.store, self._snapshot)
            except OSError as error:
                log.warning("the snapshot of the lineage index could not be written", reason=str(error))

    async def follow(self, at_least: int | None = None) -> int:
        """Brings the index to the store's head, or `at_least` that far; the revision reached."""
        revision = await self.in_thread(self.index.follow, at_least)
        self._announce()
        return revision

    async def revisions(self, since: int | None = None) -> AsyncIterator[Revision]:
        """Every revision after `since` (absent: after the head as it is now), in order, then each as it comes."""
        cursor = self.index.revision if since is None else since
        while True:
            moved = self._moved
            batch = await self.in_thread(self.store.changes_since, cursor, 100)
            for revision in batch:
                cursor = revision.number
                yield revision
            if not batch:
                await moved.wait()

    def _announce(self) -> None:
        """Whoever waits for revisions looks again, if the index has moved."""
        if self.index.revision != self._announced:
            self._announced = self.index.revision
            moved, self._moved = self._moved, asyncio.Event()
            moved.set()

    # Writing

    async def register(
        self, wanted: Registration, operation_id: str | None, actor: str, digest: str | None = None
    ) -> Receipt:
        """Raises what `graph.plan.register` raises. The index has the change when this returns.

        `digest` tells this request from others of its operation id; absent: that of all it says.
        """
        now = self.clock()
        operation = Operation(operation_id, wanted.digest() if digest is None else digest, actor)
        receipt = await self._run(self._writing, register, self.store, wanted, operation, now)
        if self.ready and receipt.revision > self.index.revision:
            await self.follow(receipt.revision)
        return receipt

    async def keep(self, events: Sequence[KeptEvent], keeper: str) -> None:
        """Durable once this returns."""
        await self._run(self._writing, self.store.keep, events, keeper, self.clock())

    async def fold(self, folding: Folding, arrived: Mapping[str, Collection[Event] | None], actor: str) -> None:
        """The index has what follows from events that were kept when this returns. Raises what `Folding.fold` raises."""
        revision = await self._run(self._writing, folding.fold, self.store, arrived, self.clock(), actor)
        if self.ready and revision > self.index.revision:
            await self.follow(revision)

    async def plan(self, wanted: Registration) -> Changes:
        return await self.in_thread(plan_registration, self.store, wanted, self.clock())

    async def register_together(
        self, wanted: Sequence[Registration], operation_id: str | None, actor: str, expected: str | None
    ) -> Receipt:
        """Raises what `graph.plan.register_together` raises. The index has the change when this returns."""
        now = self.clock()
        digest = await self.in_long_thread(digest_together, wanted, expected)
        operation = Operation(operation_id, digest, actor)
        receipt = await self._run(self._writing, register_together, self.store, wanted, operation, now, expected)
        if self.ready and receipt.revision > self.index.revision:
            await self.follow(receipt.revision)
        return receipt

    async def plan_together(self, wanted: Sequence[Registration]) -> Together:
        return await self.in_long_thread(plan_together, self.store, wanted, self.clock())

    # Reading

    async def moment(self, when: When) -> tuple[View, Moment]:
        """The index as of now and the moment meant. Raises NotReady, and RevisionUnavailable after `patience` seconds."""
        await self._reach(max(when.at_least_revision or 0, when.known_at_revision or 0))
        view = self.index.view()
        revision = view.revision
        if when.known_at_instant is not None:
            revision = await self.in_thread(self.store.revision_at, when.known_at_instant)
        elif when.known_at_revision is not None:
            revision = when.known_at_revision
        if revision < 0:
            raise RevisionUnavailable(f"there is no revision {revision}; the first is 1")
        at = self.clock() if when.at is None else when.at
        return view, Moment(at, min(revision, view.revision))

    async def _reach(self, revision: int) -> None:
        if revision <= self.index.revision:
            return
        try:
            async with asyncio.timeout(self._patience):
                while True:
                    moved = self._moved  # as it is before looking: nothing is announced unheard
                    if await self.follow() >= revision:
                        return
                    await moved.wait()
        except TimeoutError:
            raise RevisionUnavailable(
                f"revision {revision} was not reached within {self._patience:g} s; the newest here is {self.index.revision}"
            ) from None

    async def believed(
        self, subjects: Collection[Subject], revision: int
    ) -> Mapping[Subject, tuple[StoredAssertion, ...]]:
        return await self.in_thread(self.store.believed_at, subjects, revision)

    async def versions(self, keys: Collection[AssetKey]) -> Mapping[AssetKey, int]:
        return await self.in_thread(self.store.versions, keys)

    async def history(self, names: Sequence[AssetKey], before: int | None, limit: int) -> list[Revision]:
        """Of one asset by all its keys. A model's holds that of its aliases.

        Raises NotFound for a key that nobody ever said anything of.
        """
        view = self.index.view()
        keys = [each for key in names for each in (key, *aliases_ever(view, key))]
        return await self.in_thread(_history, self.store, keys, before, limit)

    def names(self, key: AssetKey, at: Moment) -> list[AssetKey]:
        """All keys of what `key` names, the one that is shown for all first."""
        return names_of(self.index.view(), key, at)

    async def search(self, text: str, kinds: Collection[AssetKind], limit: int, offset: int) -> list[SearchHit]:
        return await self.in_thread(self.store.search, text, kinds, limit, offset)

    async def keys(
        self, at: Instant, kinds: Collection[AssetKind], after: AssetKey | None, limit: int
    ) -> list[AssetKey]:
        return await self.in_thread(self.store.keys, at, kinds, after, limit)

    # Threads. A piece of work is not interrupted; whoever stops waiting for it has it dropped, if it has not begun, and
    # what would have followed never begins. So long work is many pieces. A thread is held until its piece is done.

    async def in_thread(self, work: Callable[..., T], *arguments: object, **named: object) -> T:
        """Runs `work` off the event loop, among at most eight readers. For what is short."""
        return await self._run(self._reading, work, *arguments, **named)

    async def in_long_thread(self, work: Callable[..., T], *arguments: object, **named: object) -> T:
        """The same for what takes long: it waits for its like, and nothing short ever waits for it."""
        return await self._run(self._labouring, work, *arguments, **named)

    def beside(self, work: Callable[..., T], *arguments: object) -> Future[T]:
        """Runs `work` while the long work that needs it goes on, after what was given before."""
        return self._beside.submit(contextvars.copy_context().run, partial(work, *arguments))

    def later(self, work: Callable[..., None], *arguments: object) -> None:
        """Runs `work` as in a long thread. Nobody waits for it."""
        task = asyncio.ensure_future(self.in_long_thread(work, *arguments))
        self._later.add(task)
        task.add_done_callback(self._later.discard)

    async def in_pieces(self, pieces: Iterator[bytes], large: bool) -> AsyncIterator[bytes]:
        """What `pieces` gives, computed off the event loop when it is asked for, a while at a time."""
        run = self.in_long_thread if large else self.in_thread
        while made := await run(made_in_a_while, pieces):
            yield made

    @staticmethod
    async def _run(pool: ThreadPoolExecutor, work: Callable[..., T], *arguments: object, **named: object) -> T:
        call = partial(contextvars.copy_context().run, work, *arguments, **named)
        return await asyncio.get_running_loop().run_in_executor(pool, call)


def made_in_a_while(pieces: Iterator[bytes]) -> bytes:
    """Empty: there are no more."""
    made, size, end = [], 0, time.perf_counter() + _A_WHILE
    for piece in pieces:
        made.append(piece)
        size += len(piece)
        if size > _AT_ONCE or time.perf_counter() > end:
            break
    return b"".join(made)


def _history(store: Store, keys: Sequence[AssetKey], before: int | None, limit: int) -> list[Revision]:
    """The newest revisions about any of `keys`. What two of them share (a flow between them) stands once."""
    merged: dict[int, Revision] = {}
    for told in (revision for key in keys for revision in store.history(key, before, limit)):
        known = merged.get(told.number, told)
        opened = {row.number: row for row in (*known.opened, *told.opened)}
        closed = {row.number: row for row in (*known.closed, *told.closed)}
        merged[told.number] = replace(told, opened=tuple(opened.values()), closed=tuple(closed.values()))
    return sorted(merged.values(), key=lambda revision: -revision.number)[:limit]
