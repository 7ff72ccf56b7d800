"""The one place that names concrete classes: settings in, a service out."""

import asyncio
import random
import re
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from starlette.applications import Starlette

from app.agreement.agreement import Agreement, read_policy_file
from app.alerting.alerts import Alerting
from app.alerting.outbox import Outbox
from app.events import GATEWAY, Sighting
from app.features.features import Features
from app.identity import FileTokens, OpenTokens, Tokens
from app.intake.bulk import BulkIntake
from app.intake.imports import Imports
from app.intake.openlineage import OpenLineage
from app.intake.traces import Traces
from app.joining.rules import Joining, read_rules
from app.main import create_app
from app.metrics import IndexCollector, MeteredHeadwater, Metrics
from app.monitoring.detectors import CountingDetector, Detector
from app.monitoring.monitor import Monitoring
from app.monitoring.results import Results
from app.predictions.log import PredictionLog
from app.rooms import Rooms
from app.service import Headwater
from app.serving.artifacts import Artifacts
from app.serving.gateway import Serving
from app.settings import DetectorName, Settings
from app.sources.sources import Sources
from app.upkeep import Upkeep
from app.watching.dormancy import Dormancy
from app.watching.traced import Reading
from app.watching.watch import Watch
from graph.index import LineageIndex
from graph.stores.contract import Store
from graph.time import HOUR, Instant


def compose(settings: Settings) -> Starlette:
    """The service, whose lifespan opens the store and closes it. `app.state.upkeep` tells how far it has come.

    Raises TokensUnreadable, RulesUnreadable, PolicyUnreadable.
    """
    metrics = Metrics()
    rooms = furnish(settings, now, metrics)

    def host(store: Store) -> Headwater:
        with suppress(OSError):  # a folder that cannot be made is told of when the snapshot is written
            settings.snapshot_path.parent.mkdir(parents=True, exist_ok=True)
        return MeteredHeadwater(store, LineageIndex(store), now, metrics, settings.snapshot_path)

    upkeep = Upkeep(
        lambda: open_store(settings),
        host,
        follow_seconds=settings.follow_seconds,
        operation_days=settings.operation_days,
        works=rooms.works(),
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

    app = create_app(upkeep, tokens_of(settings), settings, rooms, metrics, lifespan)
    app.state.upkeep = upkeep
    return app


def furnish(settings: Settings, clock: Callable[[], Instant], metrics: Metrics) -> Rooms:
    """The rooms, and who tells whom. Raises RulesUnreadable, PolicyUnreadable."""
    data = settings.data_path
    sources = Sources(clock, metrics)
    watch = Watch(
        clock,
        [re.compile(pattern) for pattern in settings.consumer_agents],
        metrics,
        Reading(
            [re.compile(pattern) for pattern in settings.trace_targets],
            settings.trace_gateways,
            int(settings.trace_hours * HOUR),
        ),
        recorder_of(settings),
    )

    def saw(sighting: Sighting) -> None:
        watch.saw(sighting)
        sources.heard(GATEWAY, 1, (sighting.at,))

    artifacts = Artifacts(data / "artifacts")
    features = Features(data / "sources", watch.caller, saw)
    predictions = PredictionLog(
        data / "predictions", settings.prediction_queue, settings.prediction_flush_seconds, metrics
    )
    serving = Serving(
        artifacts,
        clock,
        settings.predict_timeout_seconds,
        watch.caller,
        saw,
        predictions.append,
        features.look_up,
        features.entities,
    )
    openlineage = OpenLineage(clock, sources, settings.event_days, settings.stale_days)
    metrics.events_waiting.set_function(lambda: openlineage.waiting)
    outbox = outbox_of(settings, metrics)
    alerting = Alerting(outbox)
    monitoring = Monitoring(
        Results(data / "monitoring"),
        detector_of(settings),
        predictions.logged,
        predictions.rows_after,
        alerting.window_tested,
        settings.monitor_seconds,
        settings.monitor_rows,
        metrics,
    )
    return Rooms(
        sources,
        watch,
        Dormancy(settings.dormant_days),
        Joining(() if settings.consumer_rules is None else read_rules(settings.consumer_rules)),
        Traces(watch, sources, clock),
        BulkIntake(clock, sources),
        Imports(sources, clock),
        openlineage,
        artifacts,
        features,
        predictions,
        serving,
        monitoring,
        alerting,
        Agreement(
            None if settings.policy is None else read_policy_file(settings.policy),
            None if outbox is None else outbox.wake,
        ),
    )


def recorder_of(settings: Settings) -> str:
    """What this service is called among the replicas over one store, the same after each restart."""
    if settings.sqlite_path is not None:
        return "embedded"
    name = settings.data_path / "replica"
    with suppress(OSError):  # without a folder, what waited for its caller is forgotten at the next start
        if not name.exists():
            name.parent.mkdir(parents=True, exist_ok=True)
            name.write_text(uuid.uuid4().hex)
        return name.read_text().strip()
    return uuid.uuid4().hex


def outbox_of(settings: Settings, metrics: Metrics) -> Outbox | None:
    """None without a webhook: then there is nobody to tell, and no message is kept."""
    if settings.webhook_url is None:
        return None
    from app.alerting.webhooks import Webhook  # noqa: PLC0415 (only what is used is loaded)

    webhook = Webhook(settings.webhook_url, settings.webhook_key, settings.webhook_internal)
    return Outbox(webhook.send, random.random, metrics)


def detector_of(settings: Settings) -> Detector:
    if settings.detector is DetectorName.BUILTIN:
        return CountingDetector()
    from app.monitoring.alibi import AlibiDetector  # noqa: PLC0415 (an extra, and slow to load)

    return AlibiDetector()


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
