"""Opens the store, loads the lineage index, and keeps both current and tidy for as long as the service runs."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import anyio
import structlog

from app.service import Headwater
from graph.errors import GraphError, StoreUnavailable
from graph.stores.contract import Store
from graph.time import DAY
from graph.warming import warm

T = TypeVar("T")

SETTLE_SECONDS = 60.0
FORGET_SECONDS = 3600.0
SAVE_SECONDS = 300.0
"""After a crash the index catches up with what was committed since it was last saved."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 15.0

log = structlog.get_logger(__name__)


class Upkeep:
    """A `Hosting` that makes itself ready. `run` it as a task, cancel that, then `close`."""

    def __init__(
        self,
        open_store: Callable[[], Store],
        host: Callable[[Store], Headwater],
        *,
        follow_seconds: float,
        operation_days: float,
        works: Sequence[Callable[[Headwater], Awaitable[None]]] = (),
    ) -> None:
        self._open_store = open_store
        self._host = host
        self._follow_seconds = follow_seconds
        self._operation_microseconds = int(operation_days * DAY)
        self._works = works
        self._working: list[asyncio.Task[None]] = []
        self._doing = "the store is being opened"
        self._trouble: str | None = None
        self.headwater: Headwater | None = None
        self.store_head: int | None = None
        self.failure: GraphError | None = None
        """Why the service can never become ready: repeating will not help."""

    @property
    def unready(self) -> str | None:
        if self.failure is not None:
            return str(self.failure)
        if self.headwater is not None and self.headwater.ready and self._trouble is None:
            return None
        return self._trouble or self._doing

    async def run(self) -> None:
        begin = time.monotonic()
        try:
            headwater = self.headwater = self._host(await self._patiently(self._opened))
            while True:
                self._doing = "the lineage index is loading"
                try:
                    await self._patiently(headwater.load)
                except GraphError:
                    raise
                except Exception:
                    log.exception("the lineage index could not be loaded; trying again, from the store")
                    headwater.distrust_snapshot()
                    await asyncio.sleep(self._follow_seconds)
                    continue
                log.info(
                    "ready",
                    revision=headwater.index.revision,
                    assets=len(headwater.index.view().keys) - 1,
                    seconds=round(time.monotonic() - begin, 2),
                )
                if not self._working:
                    self._working = [asyncio.create_task(_repeated(work, headwater)) for work in self._works]
                await self._follow(headwater)
        except GraphError as error:
            self.failure = error
            log.error("the service cannot run with this store", reason=str(error))

    async def close(self) -> None:
        for task in self._working:
            task.cancel()
        await asyncio.gather(*self._working, return_exceptions=True)
        if self.headwater is not None:
            await self.headwater.save()
            await anyio.to_thread.run_sync(self.headwater.store.close)

    async def _opened(self) -> Store:
        store, _ = await asyncio.gather(anyio.to_thread.run_sync(self._open_store), anyio.to_thread.run_sync(warm))
        return store

    async def _patiently(self, work: Callable[[], Awaitable[T]]) -> T:
        """Until it succeeds: a store that is away may come back. Other errors of the graph are raised."""
        pause = _FIRST_PAUSE
        while True:
            try:
                result = await work()
            except StoreUnavailable as error:
                self._trouble = f"the store is unavailable: {error}"
                log.warning("the store is unavailable; trying again", reason=str(error), pause_seconds=pause)
            else:
                self._trouble = None
                return result
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _follow(self, headwater: Headwater) -> None:
        """Returns when the index must be loaded anew, since following went wrong half-way."""
        settled = forgotten = float("-inf")
        saved = time.monotonic()
        while True:
            try:
                self.store_head = await headwater.in_thread(headwater.store.head)
                if self.store_head > headwater.index.revision:
                    await headwater.follow()
                if headwater.index.wants_compaction:
                    await headwater.in_thread(headwater.index.compact)
                if time.monotonic() - saved >= SAVE_SECONDS:
                    await headwater.save()
                    saved = time.monotonic()
                if time.monotonic() - settled >= SETTLE_SECONDS:
                    await headwater.in_thread(headwater.store.settle, headwater.clock())
                    settled = time.monotonic()
                if time.monotonic() - forgotten >= FORGET_SECONDS:
                    before = headwater.clock() - self._operation_microseconds
                    await headwater.in_thread(headwater.store.forget_operations, before, headwater.clock())
                    forgotten = time.monotonic()
            except StoreUnavailable as error:
                if self._trouble is None:
                    log.warning("the store is unavailable; trying again", reason=str(error))
                self._trouble = f"the store is unavailable: {error}"
            except Exception:
                log.exception("the index could not follow the store, and is loaded anew")
                await asyncio.sleep(self._follow_seconds)
                return
            else:
                if self._trouble is not None:
                    log.info("the store is available again")
                self._trouble = None
            await asyncio.sleep(self._follow_seconds)


async def _repeated(work: Callable[[Headwater], Awaitable[None]], headwater: Headwater) -> None:
    """Until it ends, or is cancelled. A fault that nobody foresaw costs this work a pause, and nothing else."""
    while True:
        try:
            await work(headwater)
        except Exception:
            log.exception("background work failed; trying again", work=work.__qualname__)
            await asyncio.sleep(_LONGEST_PAUSE)
        else:
            return
