"""OpenLineage, `POST /api/v1/lineage` (the specification's `/lineage`) and the same with `/batch`.

An event is durable when it is acknowledged; within moments the graph says what follows from all that were (`graph.folding`).
Events of one job, however many came meanwhile, are folded together, and by one thread at a time.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence

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
MOST_WAITING = 20_000
"""Events that wait to be folded, beyond which no more are taken: 503, which clients of OpenLineage repeat after a while."""

_ACTOR = "openlineage"
_AT_ONCE = 4
"""Origins that are folded at once: their commits share transactions."""
_ALL = 1 << 40
_PAUSE = 1.0
"""Seconds until a store that was away is asked again."""

log = structlog.get_logger()


class OpenLineage:
    def __init__(self, clock: Callable[[], Instant]) -> None:
        self._clock = clock
        self._waiting: dict[str, int] = {}
        """Events to fold, by origin."""
        self._taken: set[str] = set()
        self._kept = asyncio.Event()
        self._idle = asyncio.Event()

    def routes(self) -> list[BaseRoute]:
        answers = (("", self._one), ("/batch", self._batch))
        return [Route(path + end, answer, methods=["POST"]) for path in PATHS for end, answer in answers]

    async def run(self, headwater: Headwater) -> None:
        """Folds what was kept, also by a process that ended before it could."""
        for origin in await self._left_over(headwater):
            self._waiting.setdefault(origin, 1)
        async with asyncio.TaskGroup() as folding:
            for _ in range(_AT_ONCE):
                folding.create_task(self._fold_in_turn(headwater))

    async def settled(self) -> None:
        """Returns once nothing waits to be folded."""
        while self._waiting or self._taken:
            self._idle.clear()
            await self._idle.wait()

    # Folding

    async def _fold_in_turn(self, headwater: Headwater) -> None:
        while True:
            origin = next((each for each in self._waiting if each not in self._taken), None)
            if origin is None:
                self._kept.clear()
                await self._kept.wait()
                continue
            self._taken.add(origin)
            events = self._waiting.pop(origin)
            try:
                await headwater.fold(origin, _ACTOR)
            except StoreUnavailable as error:
                log.warning("events of OpenLineage wait for the store", origin=origin, reason=str(error))
                self._waiting[origin] = self._waiting.get(origin, 0) + events
                await asyncio.sleep(_PAUSE)
            except Exception:  # they are kept, and folded when the service starts again, or another comes
                log.exception("events of OpenLineage could not be folded", origin=origin)
            finally:
                self._taken.discard(origin)
                self._kept.set()  # others may have left this origin to whoever had it
                self._idle.set()

    async def _left_over(self, headwater: Headwater) -> list[str]:
        while True:
            try:
                return await headwater.in_thread(headwater.store.unfolded, _ALL)
            except StoreUnavailable as error:
                log.warning("what waits to be folded is not known yet", reason=str(error))
                await asyncio.sleep(_PAUSE)

    # Taking

    async def _one(self, request: Request) -> Response:
        request.state.principal.require(Role.CONTRIBUTOR)
        headwater: Headwater = request.state.headwater
        try:
            event = await headwater.in_thread(_read_one, await request.body(), self._clock())
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

    async def _keep(self, headwater: Headwater, events: Sequence[KeptEvent]) -> Response | None:
        """What there is to answer if they cannot be kept."""
        if sum(self._waiting.values()) + len(events) > max(MOST_WAITING, len(events)):
            message = f"{MOST_WAITING:,} events wait to be folded: send this again later"
            return refusal(503, message, "OVERLOADED", {"Retry-After": "1"})
        try:
            await headwater.keep(events)
        except StoreUnavailable as error:
            return refusal(503, str(error), type(error).__name__, {"Retry-After": "1"})
        for event in events:
            self._waiting[event.origin] = self._waiting.get(event.origin, 0) + 1
        self._kept.set()
        return None


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
