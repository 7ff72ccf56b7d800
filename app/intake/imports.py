"""Documents of other systems, whole: `POST /api/v1/imports/{format}`. Each is all that its origin says."""

import asyncio
from collections.abc import Callable
from urllib.parse import urlencode

import orjson
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from app.envelopes import checked_operation_id, clients_origin
from app.events import Hearing
from app.http.answers import refusal, refused
from app.http.parameters import parameters
from app.identity import Role
from app.service import Headwater
from graph.changes import Receipt, Registration
from graph.errors import Conflict, GraphError, InvalidInput, NotFound, OlderDocument, quoted
from graph.importers.dbt import read_dbt
from graph.importers.feast import read_feast
from graph.importers.kserve import read_kserve
from graph.importers.mlflow import read_mlflow
from graph.model import Operation
from graph.sources import Rejected
from graph.time import Instant, moment

FOLDER = "/api/v1/imports/"
JSON = "application/json"

MOST_AT_ONCE = 2
"""Documents that are read or committed: each is in memory as a whole, several times its length."""

Reader = Callable[[object, str | None, str | None], Registration]
"""Of a document, an origin and a namespace, where the request names them. Raises InvalidInput."""

FORMATS: dict[str, Reader] = {"dbt": read_dbt, "feast": read_feast, "kserve": read_kserve, "mlflow": read_mlflow}
_PARAMETERS = ("origin", "namespace", "operation", "force")


class Imports:
    def __init__(self, sources: Hearing, clock: Callable[[], Instant]) -> None:
        self._sources = sources
        self._clock = clock
        self._running = asyncio.Semaphore(MOST_AT_ONCE)
        self._last: dict[str, Instant] = {}
        """When the document imported last was taken of its source, by origin; older ones would roll the graph back."""
        self._turns: dict[str, asyncio.Lock] = {}

    def routes(self) -> list[BaseRoute]:
        return [Route(FOLDER + "{format}", self._import, methods=["POST"])]

    async def _import(self, request: Request) -> Response:
        request.state.principal.require(Role.CONTRIBUTOR)
        headwater: Headwater = request.state.headwater
        format_ = request.path_params["format"]
        reader = FORMATS.get(format_)
        if reader is None:
            return refusal(404, f"{quoted(format_)} cannot be imported; {', '.join(FORMATS)} can", "NOT_FOUND")
        form = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if form != JSON:
            return refusal(415, f"a document comes as {JSON}, not as {quoted(form)}", "UNSUPPORTED_MEDIA_TYPE")
        if self._running.locked():
            return refusal(503, f"{MOST_AT_ONCE} imports are running, the most at once", "BUSY", {"Retry-After": "5"})
        async with self._running:
            try:
                given = parameters(request, _PARAMETERS)
                operation = given.get("operation")
                id_ = None if operation is None else checked_operation_id(operation)
                origin, namespace = given.get("origin"), given.get("namespace")
                force = _yes(given.get("force", "false"))
            except GraphError as error:
                return refused(error)
            text = await request.body()
            try:
                wanted, digest = await headwater.in_long_thread(_read, reader, text, origin, namespace)
                operation_ = Operation(id_, digest, request.state.principal.name)
                receipt = await self._commit(headwater, wanted, operation_, force)
            except OlderDocument as error:  # nothing is wrong with it but that it comes late
                return refused(error)
            except (InvalidInput, NotFound, Conflict) as error:
                item = await headwater.in_thread(_rejected, format_, origin, namespace, text, str(error), self._clock())
                self._sources.refused([item])
                return refused(error)
            except GraphError as error:
                return refused(error)
        return JSONResponse(_told(wanted, receipt))

    async def _commit(self, headwater: Headwater, wanted: Registration, operation: Operation, force: bool) -> Receipt:
        """Raises OlderDocument, and what `register` raises."""
        origin, taken = wanted.origin, wanted.taken
        async with self._turns.setdefault(origin, asyncio.Lock()):
            last = self._last.get(origin)
            if (
                taken is not None and last is None
            ):  # another process may have taken it, or this one before it was started
                heard = await headwater.in_thread(headwater.store.heard, 0, origin)
                last = max((each.newest for each in heard if each.newest is not None), default=taken)
            if taken is not None and last is not None and taken < last and not force:
                done = await headwater.in_thread(headwater.store.receipt_of, operation)
                if done is None:
                    raise OlderDocument(origin, _written(taken), _written(last))
                return done
            receipt = await headwater.register(wanted, operation.id, operation.actor, operation.digest)
            if taken is not None:
                self._last[origin] = max(taken, last or taken)
        self._sources.heard(origin, 1, () if taken is None else (taken,))
        return receipt


def _yes(text: str) -> bool:
    """Raises InvalidInput."""
    if text not in ("true", "false"):
        raise InvalidInput(f"force is {quoted(text)}; it is true or false", text)
    return text == "true"


def _rejected(
    format_: str, origin: str | None, namespace: str | None, text: bytes, reason: str, now: Instant
) -> Rejected:
    """The document, which may be right once something else is mended."""
    given = {name: value for name, value in (("origin", origin), ("namespace", namespace)) if value is not None}
    target = f"{FOLDER}{format_}" + (f"?{urlencode(given)}" if given else "")
    return Rejected.now(format_ if origin is None else origin, target, JSON, "", reason, text, now)


def _read(reader: Reader, text: bytes, origin: str | None, namespace: str | None) -> tuple[Registration, str]:
    """What the document says, and what tells this request from others. Raises InvalidInput."""
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise InvalidInput(f"the body is not JSON in UTF-8: {error}") from error
    wanted = reader(document, origin, namespace)
    clients_origin(wanted.origin)
    return wanted, wanted.digest()


def _told(wanted: Registration, receipt: Receipt) -> dict[str, object]:
    return {
        "origin": wanted.origin,
        "taken": None if wanted.taken is None else _written(wanted.taken),
        "assets": len(wanted.assets),
        "flows": len(wanted.flows),
        "changed": receipt.changed,
        "revision": receipt.revision,
        "added": receipt.added,
        "updated": receipt.updated,
        "withdrawn": receipt.withdrawn,
    }


def _written(at: Instant) -> str | None:
    told = moment(at)
    return None if told is None else told.isoformat().replace("+00:00", "Z")
