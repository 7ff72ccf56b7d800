"""Who calls what: names callers, counts their calls, and makes the first call of each a flow of the graph."""

import asyncio
import re
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeAlias, TypeVar

import structlog
from starlette.requests import HTTPConnection

from app.events import CLAIMED, GATEWAY, VERIFIED, Caller, Sighting
from app.metrics import Metrics
from app.service import Headwater
from app.watching.callers import caller_of, claimed_consumer
from graph.changes import AssetStatement, FlowStatement, Registration
from graph.errors import GraphError, NotReady, StoreUnavailable
from graph.keys import AssetKey, AssetKind
from graph.model import FLOWS, Basis, Flow
from graph.neighbours import told_since
from graph.stores.contract import Store
from graph.time import Instant
from graph.topology import Moment
from graph.usage import Day, Usage, day_of

FLUSH_SECONDS = 1.0
"""How often what was seen is written; so long, at most, does a first call take to be seen in lineage."""
NEW_CLAIMS = 1_000
"""The most names a day that nobody knew before and nobody proved: more of them are somebody's game, or a mistake."""
REMEMBERED = 100_000
REMEMBERED_MICROSECONDS = 10 * 60 * 1_000_000
"""How many calls of unidentified callers, and spans that traces named, wait for each other, and how long."""

Span: TypeAlias = tuple[str, str]
"""Trace id and span id, in lower-case hexadecimal digits."""
_Told: TypeAlias = dict[str, dict[Flow, Instant]]
"""By origin: flows, and the first time each was seen."""

K = TypeVar("K")
T = TypeVar("T")

log = structlog.get_logger(__name__)


class Watch:
    """All that changes here does so on the event loop, so nothing needs a lock but what waits for the store."""

    def __init__(self, clock: Callable[[], Instant], agents: Sequence[re.Pattern[str]], metrics: Metrics) -> None:
        self._clock = clock
        self._agents = agents
        self._sightings = {name: metrics.sightings.labels(name) for name in ("verified", "claimed", "unidentified")}
        self._headwater: Headwater | None = None
        self._tallies: dict[tuple[AssetKey, AssetKey | None, bool, Day], _Tally] = {}
        self._batch: _Batch | None = None
        self._writing = asyncio.Lock()
        self._counter = uuid.uuid4().hex
        self._sequence = 0
        self._claims = _Claims()
        self._unidentified = _Recent[dict[tuple[AssetKey, Day], _Tally]]()
        self._explained = _Recent[AssetKey]()

    # On the way of every request, hence cheap

    def caller(self, connection: HTTPConnection) -> Caller:
        return caller_of(connection, self._agents)

    def saw(self, sighting: Sighting) -> None:
        """Counts it; what was counted is written within a second."""
        reader, span = sighting.caller.key, sighting.caller.span
        if reader is None and span is not None:
            reader = self._explained.get(span, self._clock())
        # A deployment that calls another does so in this service's own hands.
        verified = reader is not None and (sighting.caller.verified or reader.kind is not AssetKind.CONSUMER)
        if reader is not None and not verified and not self._admits(reader):
            reader = None
        self._sightings["verified" if verified else "claimed" if reader else "unidentified"].inc()
        day = day_of(sighting.at)
        seen = _Tally(1, int(sighting.failed), sighting.at, sighting.at)
        _add(self._tallies, (sighting.source, reader, verified, day), seen)
        if reader is None and span is not None:
            waiting = self._unidentified.get(span, self._clock()) or {}
            _add(waiting, (sighting.source, day), seen)
            self._unidentified.put(span, waiting, self._clock(), len(waiting))

    # What traces tell

    def named(self, name: str | None, namespace: str | None) -> AssetKey | None:
        """The consumer that calls itself so; None for a name that names none."""
        return claimed_consumer(name, namespace)

    def explained(self, span: Span, consumer: AssetKey) -> None:
        """What was or will be called from `span` by a caller that could not be told was called by `consumer`."""
        now = self._clock()
        self._explained.put(span, consumer, now)
        waiting = self._unidentified.pop(span, now)
        if waiting and self._admits(consumer):
            for (source, day), tally in waiting.items():
                _add(
                    self._tallies, (source, None, False, day), replace(tally, calls=-tally.calls, errors=-tally.errors)
                )
                _add(self._tallies, (source, consumer, False, day), tally)

    async def settled(self, headwater: Headwater) -> None:
        """Returns once all that was seen so far is durable. Raises StoreUnavailable, NotReady: it is tried again later."""
        await self._write(headwater)

    # In the background

    async def run(self, headwater: Headwater) -> None:
        self._headwater = headwater
        away = False
        try:
            while True:
                await asyncio.sleep(FLUSH_SECONDS)
                try:
                    await self._write(headwater)
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
            lost = sum(abs(usage.calls) for usage in (*(self._batch.usages if self._batch else ()), *self._taken()))
            log.error("calls seen could not be written before the stop", reason=str(error), calls=lost)

    def _admits(self, consumer: AssetKey) -> bool:
        """Whether a claimed name becomes a consumer; not when too many new ones came today."""
        view = self._headwater.index.view() if self._headwater is not None and self._headwater.ready else None
        known = view.numbers if view is not None else {}
        return self._claims.admit(consumer, day_of(self._clock()), known)

    def _taken(self) -> list[Usage]:
        taken, self._tallies = self._tallies, {}
        return [
            Usage(*place, tally.calls, tally.errors, tally.first, tally.last)
            for place, tally in taken.items()
            if tally.calls or tally.errors
        ]

    async def _write(self, headwater: Headwater) -> None:
        """Raises StoreUnavailable, NotReady: what was taken is then kept, and repeated as it was before anything else."""
        async with self._writing:
            if self._batch is not None:
                await self._record(headwater, self._batch)
            if usages := self._taken():
                self._sequence += 1
                self._batch = _Batch(self._sequence, usages)
                await self._record(headwater, self._batch)

    async def _record(self, headwater: Headwater, batch: "_Batch") -> None:
        untold = await headwater.in_thread(self._untold, headwater, batch.usages)
        for origin, flows in untold.items():
            await self._state(headwater, origin, flows)
        await headwater.in_thread(headwater.store.count, batch.usages, self._counter, batch.sequence)
        self._batch = None

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
            if flow.target.kind is AssetKind.CONSUMER:
                consumers[flow.target] = min(first, consumers.get(flow.target, first))
        typed = await headwater.in_thread(_typed_by_others, headwater.store, list(consumers), origin, self._clock())
        wanted = Registration(
            origin,
            Basis.OBSERVED,
            tuple(
                AssetStatement(key, {} if key in typed else {"consumer_type": "service"}, since)
                for key, since in consumers.items()
            ),
            tuple(
                FlowStatement(flow, {"verified": origin == VERIFIED} if flow.target in consumers else {}, since)
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
    if reader.kind is not AssetKind.CONSUMER:
        return GATEWAY
    return VERIFIED if verified else CLAIMED


def _typed_by_others(store: Store, consumers: Sequence[AssetKey], origin: str, now: Instant) -> set[AssetKey]:
    """Those of which another origin says what type of consumer they are."""
    return {
        key
        for key, said in store.believed(consumers).items()
        for each in said
        if each.origin != origin and each.valid.holds_at(now) and "consumer_type" in each.attributes
        if isinstance(key, AssetKey)
    }


@dataclass(frozen=True, slots=True)
class _Tally:
    calls: int
    errors: int
    first: Instant
    last: Instant


def _add(tallies: dict[K, _Tally], place: K, more: _Tally) -> None:
    had = tallies.get(place)
    tallies[place] = (
        more
        if had is None
        else _Tally(
            had.calls + more.calls, had.errors + more.errors, min(had.first, more.first), max(had.last, more.last)
        )
    )


@dataclass(frozen=True, slots=True)
class _Batch:
    sequence: int
    usages: Sequence[Usage]


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


class _Recent(Generic[T]):
    """Values by span, forgotten when they are old, or too many; one may count for several."""

    def __init__(self) -> None:
        self._values: OrderedDict[Span, tuple[Instant, int, T]] = OrderedDict()
        self._size = 0

    def get(self, span: Span, now: Instant) -> T | None:
        held = self._values.get(span)
        return held[2] if held is not None and held[0] > now - REMEMBERED_MICROSECONDS else None

    def put(self, span: Span, value: T, now: Instant, size: int = 1) -> None:
        self._remove(span)
        self._values[span] = now, size, value
        self._size += size
        while self._values:
            oldest, (since, _, _) = next(iter(self._values.items()))
            if self._size <= REMEMBERED and since > now - REMEMBERED_MICROSECONDS:
                return
            self._remove(oldest)

    def pop(self, span: Span, now: Instant) -> T | None:
        value = self.get(span, now)
        self._remove(span)
        return value

    def _remove(self, span: Span) -> None:
        _, size, _ = self._values.pop(span, (0, 0, None))
        self._size -= size
