"""How lately each source told something; what was refused of it, and taking that again once it is mended."""

import asyncio
import uuid
from collections.abc import Callable, Iterable, Sequence, Set
from enum import StrEnum
from typing import NamedTuple
from urllib.parse import quote

import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message

from app.events import GATEWAY
from app.http.answers import refusal, refused
from app.identity import Principal
from app.metrics import Metrics
from app.service import Headwater
from graph.errors import GraphError, NotReady, StoreUnavailable, quoted, shortened
from graph.sources import Heard, Rejected, heard_now
from graph.stores.contract import Store
from graph.time import Instant
from graph.usage import Day

FOLDER = "/api/v1/rejected/"
FLUSH_SECONDS = 1.0
ALIVE_SECONDS = 60.0
"""How often the service notes that it is there, to see what calls it."""
MOST_WAITING = 20_000
"""Refused items that wait for the store; of more than these it is only counted that they were refused."""

_AT_ONCE = 500

log = structlog.get_logger(__name__)


class Again(StrEnum):
    """What became of a refused item that was sent again."""

    TAKEN = "TAKEN"
    REFUSED = "REFUSED"
    """Something is still wrong with it, or now something else."""
    UNKNOWN = "UNKNOWN"
    """It is not kept, or no longer, or was too large to be kept."""
    LATER = "LATER"
    """The service cannot take it now."""


class Retaken(NamedTuple):
    id: str
    outcome: Again
    reason: str
    """Empty: there is nothing to say."""


class Sources:
    """All that changes here does so on the event loop."""

    def __init__(self, clock: Callable[[], Instant], metrics: Metrics) -> None:
        self._clock = clock
        self._taken, self._rejections = (metrics.source_items.labels(outcome) for outcome in ("taken", "rejected"))
        self._heard: dict[tuple[str, Day], Heard] = {}
        self._rejected: list[Rejected] = []
        self._batch: tuple[int, list[Heard]] | None = None
        self._recorder = f"sources:{uuid.uuid4().hex}"
        self._sequence = 0
        self._writing = asyncio.Lock()

    def routes(self) -> list[BaseRoute]:
        return [Route(FOLDER + "{id}", self._body, methods=["GET"])]

    # What other rooms tell; cheap

    def heard(self, source: str, items: int, times: Iterable[Instant] = (), rejected: int = 0) -> None:
        """`source` told so many items now, and `times` are those that items tell of themselves. Written within a second."""
        self._taken.inc(items - rejected)
        self._rejections.inc(rejected)
        more = heard_now(source, self._clock(), items, rejected, times)
        place = more.source, more.day
        known = self._heard.get(place)
        self._heard[place] = more if known is None else known.with_more(more)

    def refused(self, items: Sequence[Rejected]) -> None:
        """They count as heard, too. Written within a second; `settled` waits for that."""
        for each in items:
            self.heard(each.source, 1, rejected=1)
        self._rejected += items[: max(0, MOST_WAITING - len(self._rejected))]

    async def replaced(self, headwater: Headwater, source: str, items: Sequence[Rejected]) -> None:
        """All that the source tells was told anew: of what was refused of it, these are left. Raises StoreUnavailable."""
        await self.settled(headwater)
        await headwater.in_thread(_forget, headwater.store, source, {each.id for each in items})
        self.refused(items)

    async def settled(self, headwater: Headwater) -> None:
        """Returns once all that was told so far is durable. Raises StoreUnavailable: it is tried again later."""
        async with self._writing:
            if self._rejected:
                items, self._rejected = self._rejected, []
                try:
                    await headwater.in_thread(headwater.store.reject, items)
                except BaseException:
                    self._rejected = items + self._rejected
                    raise
            if self._batch is not None:
                await self._record(headwater, *self._batch)
            if self._heard:
                self._sequence += 1
                self._batch = self._sequence, list(self._heard.values())
                self._heard = {}
                await self._record(headwater, *self._batch)

    async def _record(self, headwater: Headwater, sequence: int, heard: list[Heard]) -> None:
        await headwater.in_thread(headwater.store.hear, heard, self._recorder, sequence)
        self._batch = None

    # In the background

    async def run(self, headwater: Headwater) -> None:
        since_alive = ALIVE_SECONDS
        away = False
        try:
            while True:
                if since_alive >= ALIVE_SECONDS:
                    self.heard(GATEWAY, 0)
                    since_alive = 0.0
                await asyncio.sleep(FLUSH_SECONDS)
                since_alive += FLUSH_SECONDS
                try:
                    await self.settled(headwater)
                except (StoreUnavailable, NotReady) as error:
                    if not away:
                        log.warning("what sources told waits to be written; trying again", reason=str(error))
                    away = True
                else:
                    away = False
        except asyncio.CancelledError:
            try:
                await self.settled(headwater)
            except GraphError as error:
                log.error("what sources told could not be written before the stop", reason=str(error))
            raise

    # Refused items

    async def retake(
        self, headwater: Headwater, principal: Principal, ids: Sequence[str], app: ASGIApp
    ) -> list[Retaken]:
        """Posts each again to where it came to; those that are taken are kept no longer. In the order of `ids`."""
        retaken = []
        for id_ in dict.fromkeys(ids):
            await self.settled(headwater)
            item = await headwater.in_thread(headwater.store.rejected_item, id_)
            retaken.append(await self._retaken(headwater, principal, id_, item, app))
        return retaken

    async def _retaken(
        self, headwater: Headwater, principal: Principal, id_: str, item: Rejected | None, app: ASGIApp
    ) -> Retaken:
        if item is None:
            return Retaken(id_, Again.UNKNOWN, f"{quoted(id_)} is not kept")
        if item.body is None:
            return Retaken(id_, Again.UNKNOWN, "it was too large to be kept")
        if not item.target:
            return Retaken(id_, Again.REFUSED, "it is a part of a document: mend it there, and send all of that again")
        status, answer = await _posted(app, item, headwater, principal)
        if status == 503:
            return Retaken(id_, Again.LATER, shortened(answer.decode(errors="replace")))
        await self.settled(headwater)
        now = await headwater.in_thread(headwater.store.rejected_item, id_)
        if now is not None and now.times > item.times:
            return Retaken(id_, Again.REFUSED, now.reason)
        if status >= 400:
            return Retaken(id_, Again.REFUSED, shortened(answer.decode(errors="replace")))
        await headwater.in_thread(headwater.store.mended, [id_])
        return Retaken(id_, Again.TAKEN, "")

    async def _body(self, request: Request) -> Response:
        """A refused item as it came."""
        headwater: Headwater = request.state.headwater
        id_ = request.path_params["id"]
        try:
            item = await headwater.in_thread(headwater.store.rejected_item, id_)
        except GraphError as error:
            return refused(error)
        if item is None or item.body is None:
            return refusal(404, f"no bytes are kept of a refused item {quoted(id_)}", "NOT_FOUND")
        headers = {"Content-Disposition": f'attachment; filename="{quote(id_)}"'}
        return Response(item.body, headers=headers, media_type=item.form)


def _forget(store: Store, source: str, but: Set[str]) -> None:
    """All items of a source that are kept, but some."""
    before = None
    while items := store.rejected(source, before, _AT_ONCE):
        store.mended([item.id for item in items if item.id not in but])
        before = items[-1].last, items[-1].id


async def _posted(app: ASGIApp, item: Rejected, headwater: Headwater, principal: Principal) -> tuple[int, bytes]:
    """The status and the body that posting it is answered by."""
    path, _, query = item.target.partition("?")
    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": query.encode(),
        "headers": [(b"content-type", item.form.encode()), (b"content-length", str(len(item.body or b"")).encode())],
        "state": {"headwater": headwater, "principal": principal},
    }
    body = [{"type": "http.request", "body": item.body, "more_body": False}]
    sent: list[Message] = []

    async def receive() -> Message:
        return body.pop() if body else {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])
