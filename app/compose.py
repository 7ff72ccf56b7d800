"""The one place that names concrete classes: settings in, a service out."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from starlette.applications import Starlette

from app.identity import FileTokens, OpenTokens, Tokens
from app.main import create_app
from app.metrics import IndexCollector, MeteredHeadwater, Metrics
from app.service import Headwater
from app.settings import Settings
from app.upkeep import Upkeep
from graph.index import LineageIndex
from graph.stores.contract import Store
from graph.time import Instant


def compose(settings: Settings) -> Starlette:
    """The service, whose lifespan opens the store and closes it. `app.state.upkeep` tells how far it has come.

    Raises TokensUnreadable.
    """
    metrics = Metrics()

    def host(store: Store) -> Headwater:
        return MeteredHeadwater(store, LineageIndex(store), now, metrics, settings.snapshot_path)

    upkeep = Upkeep(
        lambda: open_store(settings),
        host,
        follow_seconds=settings.follow_seconds,
        operation_days=settings.operation_days,
    )
    metrics.registry.register(IndexCollector(upkeep))

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        running = asyncio.create_task(upkeep.run())
        try:
            yield
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running
            await upkeep.close()

    app = create_app(upkeep, tokens_of(settings), settings, metrics, lifespan)
    app.state.upkeep = upkeep
    return app


def open_store(settings: Settings) -> Store:
    """Raises StoreUnavailable, StoreIncompatible, and InvalidInput for a URL that cannot be understood."""
    if settings.sqlite_path is not None:
        from graph.stores.sqlite import SqliteStore  # noqa: PLC0415 (only what is used is loaded)

        return SqliteStore(settings.sqlite_path)
    from graph.stores.neo4j import Neo4jStore  # noqa: PLC0415 (the driver takes a while to load)

    return Neo4jStore(settings.store)


def tokens_of(settings: Settings) -> Tokens:
    """Raises TokensUnreadable."""
    return OpenTokens() if settings.tokens_file is None else FileTokens(settings.tokens_file)


def now() -> Instant:
    return time.time_ns() // 1000
