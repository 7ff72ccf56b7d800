"""OpenLineage, `POST /api/v1/lineage` (the specification's `/lineage`) and the same with `/batch`.

An event is durable when it is acknowledged; within moments the graph says what follows from all that were (`graph.folding`).
What came for whatever jobs meanwhile is folded together, in one commit.
"""

import asyncio
import hashlib
import json
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple, Self, TypeAlias

import orjson
import structlog
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from app.events import Hearing
from app.http.answers import refusal, refused
from app.http.bodies import json_or_none
from app.identity import Role
from app.service import Headwater
from graph.attributes import canonical
from graph.errors import GraphError, InvalidInput, StoreUnavailable, shortened
from graph.folding import Folding, reduce
from graph.importers.openlineage.events import Event, read_event, refuse_ahead, source_of_document
from graph.keys import AssetKey
from graph.sources import Rejected, source_of
from graph.stores.contract import KeptEvent, Store
from graph.time import DAY, FOREVER, Instant, parse_instant

PATHS = ("/api/v1/lineage", "/lineage")
EVENTS = "/api/v1/lineage/events"
MOST_WAITING = 20_000
"""Events that wait to be folded, beyond which no more are taken: 503, which clients of OpenLineage repeat after a while."""

_ACTOR = "openlineage"
_AT_ONCE = 200
"""Origins that are folded in one commit."""
_ALL = 1 << 40
_SMALL = 16_384
"""Bytes of an event that is read at once: a thread would take longer to begin."""
_GATHER = 0.1
"""Seconds between two folds, for more to come along."""
_PAGE = 500
_REDUCE = 3600.0
"""Seconds between two looks for events that have become old."""
_PAUSE = 1.0
"""Seconds until a store that was away is asked again."""

_Taken: TypeAlias = tuple[KeptEvent, Event]

log = structlog.get_logger()


class OpenLineage:
    def __init__(
        self, clock: Callable[[], Instant], sources: Hearing, event_days: float = 400, stale_days: float = 30
    ) -> None:
        self._clock = clock
        self._sources = sources
        self._whole, self._silent = (int(days * DAY) for days in (event_days, stale_days))
        self._reduced = -_REDUCE
        self._fold = Folding(secrets.token_hex(8))
        self._waiting: dict[str, list[Event] | None] = {}
        """Events to fold, by origin; None: whatever the store has of it."""
        self._folding: dict[str, list[Event] | None] = {}
        self._count = 0
        """Of both; see `waiting`."""
        self._at_once = _AT_ONCE
        self._gathered = _Gathered()
        self._writing = asyncio.Lock()
        self._kept = asyncio.Event()
        self._idle = asyncio.Event()
        self._found_left_over = False

    def routes(self) -> list[BaseRoute]:
        answers = (("", self._one), ("/batch", self._batch))
        posts = [Route(path + end, answer, methods=["POST"]) for path in PATHS for end, answer in answers]
        return [*posts, Route(EVENTS, self._again, methods=["GET"])]

    async def run(self, headwater: Headwater) -> None:
        """Folds what was kept, also by a process that ended before it could."""
        if not self._found_left_over:
            for origin in await self._left_over(headwater):
                self._waiting.setdefault(origin, None)
            self._recount()
            self._found_left_over = True
        while True:
            self._kept.clear()  # what comes from here on is seen below, or ends the wait
            while self._waiting:
                await self._fold_some(headwater)
                await self._reduce(headwater)
                if len(self._waiting) < _AT_ONCE:
                    await asyncio.sleep(_GATHER)
            await self._reduce(headwater)
            if not self._waiting:
                self._idle.set()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._kept.wait(), _REDUCE)

    async def _reduce(self, headwater: Headwater) -> None:
        if time.monotonic() - self._reduced < _REDUCE:
            return
        now = self._clock()
        try:
            many = await headwater.in_long_thread(reduce, headwater.store, now - self._whole, now)
        except StoreUnavailable as error:
            log.warning("old events of OpenLineage were not reduced; trying again in an hour", reason=str(error))
        else:
            if many:
                log.info("old events of OpenLineage were reduced to what the graph follows from", events=many)
        self._reduced = time.monotonic()

    def is_stale(self, heard: Instant, at: Instant) -> bool:
        """Whether a lane that was last heard at one instant is stale at another."""
        return heard + self._silent < at

    async def settled(self) -> None:
        """Returns once nothing waits to be folded."""
        while self.waiting:
            self._idle.clear()
            await self._idle.wait()

    # Folding

    async def _fold_some(self, headwater: Headwater) -> None:
        origins = list(islice(self._waiting, self._at_once))
        self._folding = {origin: self._waiting.pop(origin) for origin in origins}
        try:
            await headwater.fold(self._fold, self._folding, _ACTOR)
            self._at_once = min(_AT_ONCE, self._at_once * 2)
        except StoreUnavailable as error:
            log.warning("events of OpenLineage wait for the store", origins=len(origins), reason=str(error))
            self._put_back()
            self._at_once = max(1, len(origins) // 2)  # it may have been too much for the time a store has to answer
            await asyncio.sleep(_PAUSE)
        except GraphError as error:
            if not self._one_by_one():
                log.error("events of OpenLineage could not be folded", origin=origins[0], reason=str(error))
        except BaseException:
            self._one_by_one()
            raise
        finally:
            self._folding = {}
            self._recount()

    def _one_by_one(self) -> bool:
        """Some origin is to blame, and holds up no other. Alone, it is left: its events are kept, and folded when another
        comes, or when the service starts again."""
        several = len(self._folding) > 1
        if several:
            self._put_back()
            self._at_once = 1
        return several

    def _put_back(self) -> None:
        """What was made of them is forgotten: they are read from the store."""
        self._waiting |= dict.fromkeys(self._folding)
        self._folding = {}

    async def _left_over(self, headwater: Headwater) -> list[str]:
        while True:
            try:
                return await headwater.in_thread(headwater.store.unfolded, _ALL)
            except StoreUnavailable as error:
                log.warning("what waits to be folded is not known yet", reason=str(error))
                await asyncio.sleep(_PAUSE)

    @property
    def waiting(self) -> int:
        """Events that are durable, and of which the graph does not say yet what follows; of an origin to be read, one.

        At least one until it is known what was left over by a process that ended.
        """
        return self._count + (not self._found_left_over)

    def _recount(self) -> None:
        lists = (*self._waiting.values(), *self._folding.values())
        self._count = sum(1 if events is None else len(events) for events in lists)

    # Taking

    async def _one(self, request: Request) -> Response:
        request.state.principal.require(Role.CONTRIBUTOR)
        headwater: Headwater = request.state.headwater
        body, now = await request.body(), self._clock()
        try:
            small = len(body) <= _SMALL
            event = _read_one(body, now) if small else await headwater.in_thread(_read_one, body, now)
        except InvalidInput as error:
            self._sources.refused(await headwater.in_thread(_rejected, [_Refused(None, str(error), body)], now))
            return refused(error)
        unready = await self._keep(headwater, [event])
        return unready or Response(status_code=201)

    async def _batch(self, request: Request) -> Response:
        request.state.principal.require(Role.CONTRIBUTOR)
        headwater: Headwater = request.state.headwater
        body, now = await request.body(), self._clock()
        try:
            events, wrong = await headwater.in_thread(_read_batch, body, now)
        except InvalidInput as error:
            whole = [_Refused(None, str(error), body)]
            self._sources.refused(await headwater.in_thread(_rejected, whole, now, f"{PATHS[0]}/batch"))
            return refused(error)
        unready = await self._keep(headwater, events)
        if not unready and wrong:
            self._sources.refused(await headwater.in_thread(_rejected, wrong, now))
        return unready or Response(orjson.dumps(_summary(len(events), wrong)), media_type="application/json")

    async def _again(self, request: Request) -> Response:
        """Events as they came, one a line, origin by origin, in the order in which they happened."""
        headwater: Headwater = request.state.headwater
        try:
            pieces = headwater.in_pieces(_lines(headwater.store, _Wanted.of(request)), True)
            first = await anext(pieces, b"")
        except (InvalidInput, StoreUnavailable) as error:
            return refused(error)
        return StreamingResponse(_from(first, pieces), media_type="application/x-ndjson")

    async def _keep(self, headwater: Headwater, events: Sequence[_Taken]) -> Response | None:
        """What there is to answer if they cannot be kept."""
        if self._count + len(events) > max(MOST_WAITING, len(events)):
            message = f"{MOST_WAITING:,} events wait to be folded: send this again later"
            return refusal(503, message, "OVERLOADED", {"Retry-After": "1"})
        try:
            await self._durably(headwater, events)
        except StoreUnavailable as error:
            return refusal(503, str(error), type(error).__name__, {"Retry-After": "1"})
        return None

    async def _durably(self, headwater: Headwater, events: Sequence[_Taken]) -> None:
        """Keeps them together with those of all requests that came while others were being kept. Raises StoreUnavailable."""
        gathered = self._gathered
        gathered.events += events
        if gathered.written is None:
            gathered.written = asyncio.create_task(self._write(headwater, gathered))
        await asyncio.shield(gathered.written)  # whoever hangs up leaves the others alone

    async def _write(self, headwater: Headwater, gathered: "_Gathered") -> None:
        async with self._writing:
            self._gathered = _Gathered()
            try:
                await headwater.keep([kept for kept, _ in gathered.events], self._fold.keeper)
            except BaseException:  # some may be kept nevertheless: the store knows
                self._waiting |= {kept.origin: None for kept, _ in gathered.events}
                raise
            self._tell(gathered.events)
            for kept, event in gathered.events:
                waiting = self._waiting.setdefault(kept.origin, [])
                if waiting is not None:
                    waiting.append(event)
            self._count += len(gathered.events)
            self._kept.set()

    def _tell(self, events: Sequence[_Taken]) -> None:
        times: dict[str, list[Instant]] = {}
        for kept, event in events:
            times.setdefault(source_of(kept.origin), []).append(event.at)
        for source, of_source in times.items():
            self._sources.heard(source, len(of_source), of_source)


@dataclass
class _Gathered:
    events: list[_Taken] = field(default_factory=list)
    written: asyncio.Task[None] | None = None


@dataclass(frozen=True, slots=True)
class _Wanted:
    origins: Sequence[str]
    """None named: all."""
    about: Sequence[str]
    """Ends of origins: the job, or the dataset, of which they tell."""
    since: Instant
    until: Instant

    @classmethod
    def of(cls, request: Request) -> Self:
        given = request.query_params
        return cls(
            sorted(set(given.getlist("origin"))),
            [f"#{AssetKey.parse(text)}" for text in given.getlist("about")],
            parse_instant(given["since"]) if "since" in given else -FOREVER,
            parse_instant(given["until"]) if "until" in given else FOREVER,
        )


def _lines(store: Store, wanted: _Wanted) -> Iterator[bytes]:
    for origin in wanted.origins or _all_origins(store):
        if wanted.about and not origin.endswith(tuple(wanted.about)):
            continue
        after = None
        while page := store.kept(origin, wanted.since, wanted.until, after, _PAGE):
            yield b"".join(each.body + b"\n" for each in page)
            after = page[-1].at, page[-1].digest


def _all_origins(store: Store) -> Iterator[str]:
    after = ""
    while page := store.event_origins(after, _PAGE):
        yield from page
        after = page[-1]


async def _from(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for piece in rest:
        yield piece


def _read_one(body: bytes, now: Instant) -> _Taken:
    return _kept(_parsed(body), now)


class _Refused(NamedTuple):
    place: int | None
    """In the batch; None: alone."""
    reason: str
    body: bytes
    """As it can be read again; empty for what is nested too deep to be written."""


def _rejected(wrong: Sequence[_Refused], now: Instant, path: str = PATHS[0]) -> list[Rejected]:
    found = []
    for each in wrong:
        place = "" if each.place is None else f"[{each.place}]"
        source = source_of_document(json_or_none(each.body))
        found.append(Rejected.now(source, path, "application/json", place, each.reason, each.body, now))
    return found


def _written(document: object) -> bytes:
    try:
        return json.dumps(document).encode()
    except RecursionError:
        return b""


def _read_batch(body: bytes, now: Instant) -> tuple[list[_Taken], list[_Refused]]:
    """The events, and those that are wrong."""
    documents = _parsed(body)
    if not isinstance(documents, list):
        raise InvalidInput("the body is not a list of events", "")
    events: list[_Taken] = []
    wrong: list[_Refused] = []
    for place, document in enumerate(documents):
        try:
            events.append(_kept(document, now))
        except InvalidInput as error:
            wrong.append(_Refused(place, str(error), _written(document)))
    return events, wrong


def _parsed(body: bytes) -> object:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidInput(f"the body is not JSON: {shortened(error)}") from error


def _kept(document: object, now: Instant) -> _Taken:
    body = canonical(document)
    event = read_event(document, hashlib.sha256(body).hexdigest())
    refuse_ahead(event, now)
    return KeptEvent(event.digest, event.origin, body, event.at), event


def _summary(kept: int, wrong: Sequence[_Refused]) -> dict[str, object]:
    """As the specification has it."""
    return {
        "status": "partial_success" if wrong else "success",
        "summary": {
            "received": kept + len(wrong),
            "successful": kept,
            "failed": len(wrong),
            "retriable": 0,
            "non_retriable": len(wrong),
        },
        "failed_events": [{"index": each.place, "reason": each.reason, "retriable": False} for each in wrong],
    }
