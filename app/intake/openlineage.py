"""OpenLineage, `POST /api/v1/lineage` (the specification's `/lineage`) and the same with `/batch`.

An event is durable when it is acknowledged; within moments the graph says what follows from all that were (`graph.folding`).
What came for whatever jobs meanwhile is folded together, in one commit.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

import orjson
import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from app.http.answers import refusal, refused
from app.identity import Role
from app.service import Headwater
from graph.attributes import canonical
from graph.errors import InvalidInput, StoreUnavailable, shortened
from graph.importers.openlineage.events import read_event, refuse_ahead
from graph.stores.contract import KeptEvent
from graph.time import Instant

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
_PAUSE = 1.0
"""Seconds until a store that was away is asked again."""

log = structlog.get_logger()


class OpenLineage:
    def __init__(self, clock: Callable[[], Instant]) -> None:
        self._clock = clock
        self._waiting: dict[str, int] = {}
        """Events to fold, by origin."""
        self._folding: dict[str, int] = {}
        self._gathered = _Gathered()
        self._writing = asyncio.Lock()
        self._kept = asyncio.Event()
        self._idle = asyncio.Event()

    def routes(self) -> list[BaseRoute]:
        answers = (("", self._one), ("/batch", self._batch))
        posts = [Route(path + end, answer, methods=["POST"]) for path in PATHS for end, answer in answers]
        return [*posts, Route(EVENTS, self._again, methods=["GET"])]

    async def run(self, headwater: Headwater) -> None:
        """Folds what was kept, also by a process that ended before it could."""
        for origin in await self._left_over(headwater):
            self._waiting.setdefault(origin, 1)
        at_once = _AT_ONCE
        while True:
            while self._waiting:
                answered = await self._fold(headwater, list(islice(self._waiting, at_once)))
                # It may have been too much for the time that a store has for an answer.
                at_once = min(_AT_ONCE, at_once * 2) if answered else max(1, at_once // 2)
                if len(self._waiting) < _AT_ONCE:
                    await asyncio.sleep(_GATHER)
            self._idle.set()
            self._kept.clear()
            await self._kept.wait()

    async def settled(self) -> None:
        """Returns once nothing waits to be folded."""
        while self._waiting or self._folding:
            self._idle.clear()
            await self._idle.wait()

    # Folding

    async def _fold(self, headwater: Headwater, origins: Sequence[str]) -> bool:
        """Whether the store answered."""
        self._folding = {origin: self._waiting.pop(origin) for origin in origins}
        try:
            await headwater.fold(origins, _ACTOR)
        except StoreUnavailable as error:
            log.warning("events of OpenLineage wait for the store", origins=len(origins), reason=str(error))
            self._put_back()
            await asyncio.sleep(_PAUSE)
            return False
        except Exception:
            if len(origins) > 1:  # one of them is to blame
                self._put_back()
                for origin in origins:
                    await self._fold(headwater, [origin])
            else:  # its events are kept, and folded when another comes, or the service starts again
                log.exception("events of OpenLineage could not be folded", origin=origins[0])
        finally:
            self._folding = {}
        return True

    def _put_back(self) -> None:
        for origin, events in self._folding.items():
            self._waiting[origin] = self._waiting.get(origin, 0) + events
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
        return sum(self._waiting.values()) + sum(self._folding.values())

    # Taking

    async def _one(self, request: Request) -> Response:
        request.state.principal.require(Role.CONTRIBUTOR)
        headwater: Headwater = request.state.headwater
        try:
            body = await request.body()
            small = len(body) <= _SMALL
            now = self._clock()
            event = _read_one(body, now) if small else await headwater.in_thread(_read_one, body, now)
        except InvalidInput as error:
            return refused(error)
        unready = await self._keep(headwater, [event])
        return unready or Response(status_code=201)

    async def _batch(self, request: Request) -> Response:
        request.state.principal.require(Role.CONTRIBUTOR)
        headwater: Headwater = request.state.headwater
        try:
            events, wrong = await headwater.in_thread(_read_batch, await request.body(), self._clock())
        except InvalidInput as error:
            return refused(error)
        unready = await self._keep(headwater, events)
        return unready or Response(orjson.dumps(_summary(len(events), wrong)), media_type="application/json")

    async def _again(self, request: Request) -> Response:
        """The events of an origin as they came, one a line, in the order of their digests."""
        origins = request.query_params.getlist("origin")
        if not origins:
            message = "the query parameter origin is missing: whose events are asked for"
            return refused(InvalidInput(message, "origin"))
        headwater: Headwater = request.state.headwater
        try:
            events = await headwater.in_thread(headwater.store.kept, origins)
        except StoreUnavailable as error:
            return refused(error)
        return Response(b"".join(each.body + b"\n" for each in events), media_type="application/x-ndjson")

    async def _keep(self, headwater: Headwater, events: Sequence[KeptEvent]) -> Response | None:
        """What there is to answer if they cannot be kept."""
        if self.waiting + len(events) > max(MOST_WAITING, len(events)):
            message = f"{MOST_WAITING:,} events wait to be folded: send this again later"
            return refusal(503, message, "OVERLOADED", {"Retry-After": "1"})
        try:
            await self._durably(headwater, events)
        except StoreUnavailable as error:
            return refusal(503, str(error), type(error).__name__, {"Retry-After": "1"})
        for event in events:
            self._waiting[event.origin] = self._waiting.get(event.origin, 0) + 1
        self._kept.set()
        return None

    async def _durably(self, headwater: Headwater, events: Sequence[KeptEvent]) -> None:
        """Keeps them together with those of all requests that came while others were being kept. Raises StoreUnavailable."""
        gathered = self._gathered
        gathered.events += events
        if gathered.written is None:
            gathered.written = asyncio.create_task(self._write(headwater, gathered))
        await asyncio.shield(gathered.written)  # whoever hangs up leaves the others alone

    async def _write(self, headwater: Headwater, gathered: "_Gathered") -> None:
        async with self._writing:
            self._gathered = _Gathered()
            await headwater.keep(gathered.events)


@dataclass
class _Gathered:
    events: list[KeptEvent] = field(default_factory=list)
    written: asyncio.Task[None] | None = None


def _read_one(body: bytes, now: Instant) -> KeptEvent:
    return _kept(_parsed(body), now)


def _read_batch(body: bytes, now: Instant) -> tuple[list[KeptEvent], dict[int, str]]:
    """The events, and what is wrong with others by their place."""
    documents = _parsed(body)
    if not isinstance(documents, list):
        raise InvalidInput("the body is not a list of events", "")
    events, wrong = [], {}
    for place, document in enumerate(documents):
        try:
            events.append(_kept(document, now))
        except InvalidInput as error:
            wrong[place] = str(error)
    return events, wrong


def _parsed(body: bytes) -> object:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidInput(f"the body is not JSON: {shortened(error)}") from error


def _kept(document: object, now: Instant) -> KeptEvent:
    event = read_event(document)
    refuse_ahead(event, now)
    return KeptEvent(event.digest, event.origin, canonical(document))


def _summary(kept: int, wrong: Mapping[int, str]) -> dict[str, object]:
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
        "failed_events": [
            {"index": place, "reason": reason, "retriable": False} for place, reason in sorted(wrong.items())
        ],
    }
