"""What is measured, for Prometheus. Label values come from our own code only, so their number is bounded."""

from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import TypeVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import GaugeMetricFamily, Metric

from app.service import Headwater
from app.upkeep import Upkeep
from graph.changes import Receipt, Registration
from graph.errors import GraphError
from graph.index import LineageIndex
from graph.stores.contract import Revision, Store
from graph.time import Instant

T = TypeVar("T")

disable_created_metrics()  # type: ignore[no-untyped-call] # a second series for each, which nobody reads

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_REQUEST_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_WORK_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)


class Metrics:
    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)
        self.requests = Counter(
            "headwater_http_requests", "Requests answered.", ["method", "route", "status"], registry=registry
        )
        self.request_seconds = Histogram(
            "headwater_http_request_seconds",
            "Time until the last byte of an answer; streams of events are left out.",
            ["method", "route"],
            buckets=_REQUEST_SECONDS,
            registry=registry,
        )
        self.sockets = Gauge("headwater_websockets_open", "WebSockets open.", registry=registry)
        self.subscriptions = Gauge("headwater_subscriptions_open", "Subscriptions being followed.", registry=registry)
        self.registrations = Counter(
            "headwater_registrations", "Requests to record something.", ["outcome"], registry=registry
        )
        for outcome in ("changed", "unchanged", "refused"):
            self.registrations.labels(outcome)
        self.sightings = Counter(
            "headwater_sightings", "Calls and reads seen, by how the caller is known.", ["identity"], registry=registry
        )
        for identity in ("verified", "claimed", "unidentified"):
            self.sightings.labels(identity)
        self.source_items = Counter(
            "headwater_source_items", "What sources told, one by one.", ["outcome"], registry=registry
        )
        for outcome in ("taken", "rejected"):
            self.source_items.labels(outcome)
        self.predictions_logged = Counter(
            "headwater_predictions_logged", "Rows of predictions written to the log.", registry=registry
        )
        self.predictions_dropped = Counter(
            "headwater_predictions_dropped", "Rows of predictions that the log does not have.", registry=registry
        )
        self.windows_tested = Counter(
            "headwater_windows_tested", "Windows of predictions tested for drift.", ["outcome"], registry=registry
        )
        for outcome in ("clean", "drifted"):
            self.windows_tested.labels(outcome)
        self.messages = Counter("headwater_messages", "Attempts to deliver a message.", ["outcome"], registry=registry)
        for outcome in ("delivered", "postponed", "given_up"):
            self.messages.labels(outcome)
        self.messages_waiting = Gauge(
            "headwater_messages_waiting", "Messages neither delivered nor given up.", registry=registry
        )
        self.events_waiting = Gauge(
            "headwater_events_waiting", "Events of OpenLineage that wait to be folded.", registry=registry
        )
        self.work_seconds = Histogram(
            "headwater_work_seconds",
            "Time of a piece of work off the event loop, its wait for a thread included: walks, reads of the store.",
            ["work"],
            buckets=_WORK_SECONDS,
            registry=registry,
        )


class IndexCollector:
    """The lineage index and the store, as they are when scraped."""

    def __init__(self, upkeep: Upkeep) -> None:
        self._upkeep = upkeep

    def collect(self) -> Iterable[Metric]:
        upkeep = self._upkeep
        yield GaugeMetricFamily("headwater_ready", "1 while questions can be answered.", int(upkeep.unready is None))
        if upkeep.store_head is not None:
            yield GaugeMetricFamily(
                "headwater_store_revision", "The store's last revision, as last seen.", upkeep.store_head
            )
        if upkeep.headwater is not None and upkeep.headwater.ready:
            view = upkeep.headwater.index.view()
            yield GaugeMetricFamily("headwater_index_revision", "The revision of the lineage index.", view.revision)
            yield GaugeMetricFamily(
                "headwater_index_rows", "Edges in the lineage index, with all their history.", view.row_count
            )
            yield GaugeMetricFamily("headwater_index_assets", "Assets in the lineage index.", len(view.keys) - 1)


class MeteredHeadwater(Headwater):
    """Counts and times what goes through it."""

    def __init__(
        self, store: Store, index: LineageIndex, clock: Callable[[], Instant], metrics: Metrics, snapshot: Path | None
    ) -> None:
        super().__init__(store, index, clock, snapshot=snapshot)
        self._metrics = metrics

    async def register(
        self, wanted: Registration, operation_id: str | None, actor: str, digest: str | None = None
    ) -> Receipt:
        try:
            receipt = await super().register(wanted, operation_id, actor, digest)
        except GraphError:
            self._metrics.registrations.labels("refused").inc()
            raise
        self._metrics.registrations.labels("changed" if receipt.changed else "unchanged").inc()
        return receipt

    async def revisions(self, since: int | None = None) -> AsyncIterator[Revision]:
        with self._metrics.subscriptions.track_inprogress():
            async for revision in super().revisions(since):
                yield revision

    async def in_thread(self, work: Callable[..., T], *arguments: object, **named: object) -> T:
        with self._metrics.work_seconds.labels(getattr(work, "__name__", type(work).__name__)).time():
            return await super().in_thread(work, *arguments, **named)

    async def in_long_thread(self, work: Callable[..., T], *arguments: object, **named: object) -> T:
        with self._metrics.work_seconds.labels(getattr(work, "__name__", type(work).__name__)).time():
            return await super().in_long_thread(work, *arguments, **named)
