"""Who calls what: names callers, counts their calls, and makes the first call of each a flow of the graph."""

import asyncio
import re
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import structlog
from starlette.requests import HTTPConnection

from app.events import CLAIMED, GATEWAY, VERIFIED, Caller, Sighting
from app.metrics import Metrics
from app.service import Headwater
from app.spans import RejectedSpan, Span
from app.watching.callers import caller_of, claimed_consumer
from app.watching.resolving import Change, Counts, Place
from app.watching.traced import Reading, Taken, Traced
from graph.changes import AssetStatement, FlowStatement, Registration, Withdrawal
from graph.errors import GraphError, NotReady, StoreUnavailable
from graph.keys import AssetKey, AssetKind
from graph.model import FLOWS, Basis, Flow
from graph.neighbours import told_since
from graph.stores.contract import Store, ToldSpans
from graph.time import FOREVER, Instant
from graph.topology import Moment
from graph.usage import Day, Latency, Usage, bucket_of, day_of

FLUSH_SECONDS = 1.0
"""How often what was seen is written; so long, at most, does a first call take to be seen in lineage."""
NEW_CLAIMS = 1_000
"""The most names a day that nobody knew before and nobody proved: more of them are somebody's game, or a mistake."""
MOST_UNIDENTIFIED = 100_000
"""Calls of unidentified callers that wait for the store, beyond which further ones will never be identified."""
FORGET_SECONDS = 600.0
"""How often it is looked for what traces told too long ago."""

_Told: TypeAlias = dict[str, dict[Flow, Instant]]
"""By origin: flows, and the first time each was seen."""
_Counted: TypeAlias = tuple[AssetKey, AssetKey | None, bool, Day]
"""Source, reader, whether verified, day."""

log = structlog.get_logger(__name__)


class Watch:
    """All that changes here does so on the event loop, so nothing needs a lock but what waits for the store."""

    def __init__(
        self,
        clock: Callable[[], Instant],
        agents: Sequence[re.Pattern[str]],
        metrics: Metrics,
        reading: Reading | None = None,
        recorder: str = "",
    ) -> None:
        self._clock = clock
        self._agents = agents
        self._sightings = {name: metrics.sightings.labels(name) for name in ("verified", "claimed", "unidentified")}
        self._headwater: Headwater | None = None
        self._tallies: dict[_Counted, _Tally] = {}
        self._batch: _Batch | None = None
        self._writing = asyncio.Lock()
        self._counter = uuid.uuid4().hex
        self._sequence = 0
        self._claims = _Claims()
        self._traced = Traced(reading or Reading(), claimed_consumer, self._admits, recorder)
        self._requests: list[_Request] = []
        self._unidentified: list[Sighting] = []
        """With a span above, by which they may come to be identified."""

    # On the way of every request, hence cheap

    def caller(self, connection: HTTPConnection) -> Caller:
        return caller_of(connection, self._agents)

    def saw(self, sighting: Sighting) -> None:
        """Counts it; what was counted is written within a second."""
        reader, verified = sighting.caller.key, sighting.caller.verified
        if reader is not None and not verified and not self._admits(reader):
            reader = None
        self._sightings["verified" if verified else "claimed" if reader else "unidentified"].inc()
        nobody = sighting.caller.key is None and sighting.caller.span is not None
        if nobody and len(self._unidentified) < MOST_UNIDENTIFIED:
            self._unidentified.append(sighting)
        else:
            tally = self._tally((sighting.source, reader, verified, day_of(sighting.at)))
            tally.add(sighting.at, sighting.failed, sighting.microseconds)

    # What traces tell

    async def told(self, headwater: Headwater, spans: Sequence[Span]) -> tuple[list[RejectedSpan], int]:
        """Returns once what they tell is durable: those that cannot be used, and the calls of services without a name.

        Raises StoreUnavailable, NotReady.
        """
        request = _Request(spans)
        self._requests.append(request)
        try:
            while not request.is_written:  # by whoever comes first, together with all that wait
                await self._write(headwater)
        except BaseException:
            if request in self._requests:
                self._requests.remove(request)
            raise
        return request.rejected, request.unnamed

    async def settled(self, headwater: Headwater) -> None:
        """Returns once all that was seen so far is durable. Raises StoreUnavailable, NotReady: it is tried again later."""
        await self._write(headwater)

    # In the background

    async def run(self, headwater: Headwater) -> None:
        self._headwater = headwater
        away, forgotten = False, 0.0
        try:
            while True:
                await asyncio.sleep(FLUSH_SECONDS)
                try:
                    await self._write(headwater)
                    if time.monotonic() - forgotten > FORGET_SECONDS:
                        await headwater.in_thread(self._traced.forget, headwater.store, self._clock())
                        forgotten = time.monotonic()
                except (StoreUnavailable, NotReady) as error:
                    if not away:
                        log.warning("calls seen wait to be written; trying again", reason=str(error))
                    away = True
                else:
                    away = False
        except asyncio.CancelledError:
            await self._write_last(headwater)
            raise

    async def _write_last(self, headwater: Headwater) -> None:
        try:
            await self._write(headwater)
        except GraphError as error:
            usages = (*(self._batch.usages if self._batch else ()), *_usages(self._tallies))
            lost = sum(abs(usage.calls) for usage in usages) + len(self._unidentified)
            log.error("calls seen could not be written before the stop", reason=str(error), calls=lost)

    def _admits(self, consumer: AssetKey) -> bool:
        """Whether a claimed name becomes a consumer; not when too many new ones came today."""
        view = self._headwater.index.view() if self._headwater is not None and self._headwater.ready else None
        known = view.numbers if view is not None else {}
        return self._claims.admit(consumer, day_of(self._clock()), known)

    def _tally(self, place: _Counted) -> "_Tally":
        tally = self._tallies.get(place)
        if tally is None:
            tally = self._tallies[place] = _Tally()
        return tally

    async def _write(self, headwater: Headwater) -> None:
        """Raises StoreUnavailable, NotReady: what was taken is then kept, and repeated as it was before anything else.

        Whoever stops waiting for it does not stop it: what a span told is counted with its being told, or not at all.
        """
        writing = asyncio.ensure_future(self._write_all(headwater))
        writing.add_done_callback(lambda done: done.cancelled() or done.exception())  # also if nobody waits any more
        await asyncio.shield(writing)

    async def _write_all(self, headwater: Headwater) -> None:
        async with self._writing:
            if self._batch is not None:
                await self._record(headwater, self._batch)
            if self._unidentified or not all(request.is_resolved for request in self._requests):
                await self._resolve(headwater)
            told = self._traced.told(self._clock())
            tallies, self._tallies = self._tallies, {}
            if _usages(tallies) or told is not None:
                self._sequence += 1
                self._batch = _Batch(self._sequence, tallies, told)
            for request in self._requests:
                request.is_taken = request.is_resolved
            if self._batch is not None:
                await self._record(headwater, self._batch)
            for request in self._requests:
                request.is_written = request.is_taken
            self._requests = [request for request in self._requests if not request.is_written]

    async def _resolve(self, headwater: Headwater) -> None:
        """Has those who made the calls found, of all that was told since the last time."""
        requests = [each for each in self._requests if not each.is_resolved]
        sightings, self._unidentified = self._unidentified, []
        try:
            view = headwater.index.view()
            taken: Taken = await headwater.in_thread(
                self._traced.take,
                headwater.store,
                view,
                [request.spans for request in requests],
                sightings,
                self._clock(),
            )
        except BaseException:
            self._unidentified = sightings + self._unidentified
            raise
        moved = {change.call.id for change in taken.changes if change.sign < 0}
        for change in taken.changes:
            self._change(change)
            if change.call.counts is Counts.ONCE and change.call.id not in moved:
                self._sightings["claimed" if change.place.reader else "unidentified"].inc()
        for request, rejected, unnamed in zip(requests, taken.rejected, taken.unnamed, strict=True):
            request.rejected, request.unnamed, request.is_resolved = rejected, unnamed, True

    def _change(self, change: Change) -> None:
        (source, reader), call = change.place, change.call
        tally = self._tally((source, reader, False, day_of(call.start)))
        tally.add(call.start, call.failed, call.microseconds, change.sign)

    async def _record(self, headwater: Headwater, batch: "_Batch") -> None:
        untold = await headwater.in_thread(self._untold, headwater, batch.usages)
        for origin, flows in untold.items():
            await self._state(headwater, origin, flows)
        if batch.told is None:
            await headwater.in_thread(headwater.store.count, batch.usages, self._counter, batch.sequence)
        else:
            await self._record_spans(headwater, batch, batch.told)
        self._batch = None
        await self._take_back(headwater, batch.usages)

    async def _record_spans(self, headwater: Headwater, batch: "_Batch", told: ToldSpans) -> None:
        store = headwater.store
        while others := await headwater.in_thread(store.count_spans, batch.usages, self._counter, batch.sequence, told):
            changes, told = await headwater.in_thread(self._traced.told_by_others, told, others)
            now_of, self._tallies = self._tallies, batch.tallies
            for change in changes:
                self._change(change)
            self._tallies, batch.told = now_of, told
        self._traced.kept(told)

    async def _take_back(self, headwater: Headwater, usages: Iterable[Usage]) -> None:
        """Flows whose every call turned out to be another's never were."""
        fewer = {Place(each.source, each.reader) for each in usages if each.calls < 0 and not each.verified}
        suspects = {place for place in fewer if place.reader is not None}
        if not suspects:
            return
        withdrawals = await headwater.in_thread(_mistaken, headwater.store, suspects)
        if withdrawals:
            try:
                await headwater.register(
                    Registration(CLAIMED, Basis.OBSERVED, withdrawals=tuple(withdrawals)), None, GATEWAY
                )
            except (StoreUnavailable, NotReady) as error:
                log.warning("callers that were none could not be withdrawn", reason=str(error))

    def _untold(self, headwater: Headwater, usages: Iterable[Usage]) -> _Told:
        """The flows seen that the index does not have yet, from the time on at which they were first seen."""
        view, now = headwater.index.view(), self._clock()
        seen: _Told = {}
        for usage in usages:
            if usage.reader is None or usage.calls <= 0 or (usage.source.kind, usage.reader.kind) not in FLOWS:
                continue
            flows = seen.setdefault(_origin(usage.reader, usage.verified), {})
            flow = Flow(usage.source, usage.reader)
            flows[flow] = min(usage.first, flows.get(flow, usage.first))
        known = {
            source: told_since(view, source, Moment(now, view.revision))
            for source in {flow.source for flows in seen.values() for flow in flows}
        }
        untold: _Told = {}
        for origin, flows in seen.items():
            for flow, first in flows.items():
                since = known[flow.source].get((str(flow.target), origin))
                if since is None or since > first:
                    untold.setdefault(origin, {})[flow] = first
        return untold

    async def _state(self, headwater: Headwater, origin: str, flows: Mapping[Flow, Instant]) -> None:
        """Raises StoreUnavailable. What the graph refuses is counted nevertheless, and stated when it is seen again."""
        consumers: dict[AssetKey, Instant] = {}
        for flow, first in flows.items():
            for end in (flow.source, flow.target):
                if end.kind is AssetKind.CONSUMER:
                    consumers[end] = min(first, consumers.get(end, first))
        typed = await headwater.in_thread(_typed_by_others, headwater.store, list(consumers), origin, self._clock())
        wanted = Registration(
            origin,
            Basis.OBSERVED,
            tuple(
                AssetStatement(key, {} if key in typed else {"consumer_type": "service"}, since)
                for key, since in consumers.items()
            ),
            tuple(
                FlowStatement(flow, {"verified": origin == VERIFIED} if {*flow} & consumers.keys() else {}, since)
                for flow, since in flows.items()
            ),
            stubs=True,  # what was called may have been withdrawn meanwhile
        )
        try:
            await headwater.register(wanted, None, GATEWAY)
        except (StoreUnavailable, NotReady):
            raise
        except GraphError as error:
            if len(flows) > 1:  # one that is refused shall not hide the others
                for flow, since in flows.items():
                    await self._state(headwater, origin, {flow: since})
                return
            log.error("a caller seen could not be recorded", origin=origin, flow=str(*flows), reason=str(error))


def _origin(reader: AssetKey, verified: bool) -> str:
    """A deployment that calls another in this service's own hands is as sure as the service."""
    if reader.kind is AssetKind.DEPLOYMENT and verified:
        return GATEWAY
    return VERIFIED if verified else CLAIMED


def _mistaken(store: Store, places: Iterable[Place]) -> list[Withdrawal]:
    """What to withdraw of claimed flows, and of claimed consumers, of which no call is left."""
    withdrawals: list[Withdrawal] = []
    for place in sorted(places, key=str):
        source, reader = place
        used = store.usage([source], 0)
        if reader is None or any(each.reader == reader and each.source == source for each in used):
            continue
        consumer = reader if reader.kind is AssetKind.CONSUMER else source
        is_idle = consumer.kind is AssetKind.CONSUMER and not store.usage([consumer], 0)
        subject = consumer if is_idle else Flow(source, reader)
        said = [each for each in store.believed([subject]).get(subject, ()) if each.origin == CLAIMED]
        if said:
            withdrawals.append(Withdrawal(subject, min(each.valid.start for each in said)))
    return withdrawals


def _typed_by_others(store: Store, consumers: Sequence[AssetKey], origin: str, now: Instant) -> set[AssetKey]:
    """Those of which another origin says what type of consumer they are."""
    return {
        key
        for key, said in store.believed(consumers).items()
        for each in said
        if each.origin != origin and each.valid.holds_at(now) and "consumer_type" in each.attributes
        if isinstance(key, AssetKey)
    }


@dataclass(slots=True)
class _Tally:
    """Calls of one place, some of them perhaps taken back."""

    calls: int = 0
    errors: int = 0
    first: Instant = FOREVER
    """Of those seen, not of those taken back."""
    last: Instant = -1
    microseconds: int = 0
    buckets: dict[int, int] = field(default_factory=dict)

    def add(self, at: Instant, failed: bool, microseconds: int | None, sign: int = 1) -> None:
        self.calls += sign
        self.errors += sign * failed
        if sign > 0 or self.last < 0:
            self.first, self.last = min(self.first, at), max(self.last, at)
        if microseconds is not None:
            self.microseconds += sign * microseconds
            bucket = bucket_of(microseconds)
            self.buckets[bucket] = self.buckets.get(bucket, 0) + sign

    @property
    def latency(self) -> Latency | None:
        buckets = {bucket: calls for bucket, calls in self.buckets.items() if calls}
        return Latency(self.microseconds, buckets) if buckets else None


def _usages(tallies: Mapping[_Counted, _Tally]) -> list[Usage]:
    return [
        Usage(*place, tally.calls, tally.errors, tally.first, tally.last, tally.latency)
        for place, tally in tallies.items()
        if tally.calls or tally.errors or tally.latency
    ]


@dataclass(slots=True)
class _Request:
    """Spans that somebody waits to be told are kept."""

    spans: Sequence[Span]
    rejected: list[RejectedSpan] = field(default_factory=list)
    unnamed: int = 0
    is_resolved: bool = False
    is_taken: bool = False
    """What follows from it is in a batch."""
    is_written: bool = False


@dataclass(slots=True)
class _Batch:
    sequence: int
    tallies: dict[_Counted, _Tally]
    told: ToldSpans | None

    @property
    def usages(self) -> list[Usage]:
        return _usages(self.tallies)


class _Claims:
    """Which claimed names may become consumers today."""

    def __init__(self) -> None:
        self._day: Day = -1
        self._admitted: set[AssetKey] = set()
        self._new = 0
        self._refusing = False

    def admit(self, consumer: AssetKey, today: Day, known: Mapping[str, int]) -> bool:
        if today != self._day:
            self._day, self._admitted, self._new, self._refusing = today, set(), 0, False
        if consumer in self._admitted:
            return True
        if str(consumer) not in known:
            if self._new >= NEW_CLAIMS:
                if not self._refusing:
                    log.warning(
                        "too many new names were claimed by callers today; further ones count as unidentified",
                        names=NEW_CLAIMS,
                        first_refused=str(consumer),
                    )
                self._refusing = True
                return False
            self._new += 1
        self._admitted.add(consumer)
        return True
