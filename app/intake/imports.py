"""Documents of other systems, whole: `POST /api/v1/imports/{format}`. Each is all that its origin says."""

import asyncio
from collections.abc import Callable, Sequence
from urllib.parse import urlencode

import orjson
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from app.envelopes import checked_operation_id, clients_origin
from app.events import Hearing
from app.http.answers import refusal, refused
from app.http.bodies import json_or_none
from app.http.parameters import parameters
from app.identity import Principal, Role
from app.service import Headwater
from graph.changes import Receipt, Registration
from graph.errors import Conflict, GraphError, InvalidInput, NotFound, OlderDocument, quoted
from graph.importers.dbt import read_dbt
from graph.importers.feast import read_feast
from graph.importers.kserve import read_kserve
from graph.importers.mlflow import read_mlflow
from graph.importers.origins import origin_of_refused
from graph.importers.sklearn import read_sklearn
from graph.importers.sql.document import read_sql
from graph.importers.told import Imported, Warned
from graph.model import Operation
from graph.sources import Rejected
from graph.time import Instant, moment

FOLDER = "/api/v1/imports/"
JSON = "application/json"

MOST_AT_ONCE = 2
"""Documents that are read or committed: each is in memory as a whole, several times its length."""

MOST_WARNINGS = 1_000
"""That are told of one document; the others are counted."""

Reader = Callable[[object, str | None, str | None], Registration | Imported]
"""Of a document, an origin and a namespace, where the request names them. Raises InvalidInput."""

FORMATS: dict[str, Reader] = {
    "dbt": read_dbt,
    "feast": read_feast,
    "kserve": read_kserve,
    "mlflow": read_mlflow,
    "sklearn": read_sklearn,
    "sql": read_sql,
}
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
        principal: Principal = request.state.principal
        principal.require(Role.CONTRIBUTOR)
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
                if origin is not None:
                    clients_origin(origin)
                force = _yes(given.get("force", "false"))
            except GraphError as error:
                return refused(error)
            text = await request.body()
            try:
                read, digests = await headwater.in_long_thread(_read, reader, text, origin, namespace)
                operations = [
                    Operation(id_ if not number or id_ is None else f"{id_}#{number}", digest, principal.name)
                    for number, digest in enumerate(digests)
                ]
                receipts = await self._commit(headwater, read, operations, force)
            except OlderDocument as error:  # nothing is wrong with it but that it comes late
                return refused(error)
            except (InvalidInput, NotFound, Conflict) as error:
                item = await headwater.in_thread(_rejected, format_, origin, namespace, text, str(error), self._clock())
                self._sources.refused([item])
                return refused(error)
            except GraphError as error:
                return refused(error)
        return JSONResponse(_told(read, receipts))

    async def _commit(
        self, headwater: Headwater, read: Imported, operations: Sequence[Operation], force: bool
    ) -> list[Receipt]:
        """Raises OlderDocument, and what `register` raises."""
        origin, taken = read.registration.origin, read.registration.taken
        async with self._turns.setdefault(origin, asyncio.Lock()):
            last = None if taken is None else await self._last_taken(headwater, origin)
            if taken is not None and last is not None and taken < last and not force:
                done = await headwater.in_thread(headwater.store.receipt_of, operations[0])
                if done is None:
                    raise OlderDocument(origin, _written(taken), _written(last))
                return [done]
            receipts = [
                await headwater.register(wanted, operation.id, operation.actor, operation.digest)
                for wanted, operation in zip((read.registration, *read.further), operations, strict=True)
            ]
            if taken is not None:
                self._last[origin] = max(taken, last or taken)
            self._sources.heard(origin, 1, () if taken is None else (taken,))
            left_out = [each for each in read.warned if each.item is not None]
            await self._sources.replaced(
                headwater, origin, [_left_out(origin, each, self._clock()) for each in left_out]
            )
        return receipts

    async def _last_taken(self, headwater: Headwater, origin: str) -> Instant | None:
        """By this process, by another one, or before a start."""
        heard = await headwater.in_thread(headwater.store.heard, 0, origin)
        known = (self._last.get(origin), *(each.newest for each in heard))
        return max((each for each in known if each is not None), default=None)


def _yes(text: str) -> bool:
    """Raises InvalidInput."""
    if text not in ("true", "false"):
        raise InvalidInput(f"force is {quoted(text)}; it is true or false", text)
    return text == "true"


def _left_out(origin: str, warned: Warned, now: Instant) -> Rejected:
    """A part of a document whose other parts were taken."""
    return Rejected.now(origin, "", "text/plain", warned.place, warned.reason, (warned.item or "").encode(), now)


def _rejected(
    format_: str, origin: str | None, namespace: str | None, text: bytes, reason: str, now: Instant
) -> Rejected:
    """The document, which may be right once something else is mended."""
    given = {name: value for name, value in (("origin", origin), ("namespace", namespace)) if value is not None}
    target = f"{FOLDER}{format_}" + (f"?{urlencode(given)}" if given else "")
    source = origin or origin_of_refused(format_, json_or_none(text), namespace) or format_
    return Rejected.now(source, target, JSON, "", reason, text, now)


def _read(reader: Reader, text: bytes, origin: str | None, namespace: str | None) -> tuple[Imported, list[str]]:
    """What the document says, each with what tells this request from others. Raises InvalidInput."""
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise InvalidInput(f"the body is not JSON in UTF-8: {error}") from error
    given = reader(document, origin, namespace)
    read = given if isinstance(given, Imported) else Imported(given)
    wanted = (read.registration, *read.further)
    for each in wanted:
        clients_origin(each.origin)
    return read, [each.digest() for each in wanted]


def _told(read: Imported, receipts: Sequence[Receipt]) -> dict[str, object]:
    return {
        "origin": read.registration.origin,
        "taken": _written(read.registration.taken),
        "assets": len(read.registration.assets),
        "flows": len(read.registration.flows),
        "inferred": sum(len(each.flows) for each in read.further),
        "changed": any(receipt.changed for receipt in receipts),
        "revision": max(receipt.revision for receipt in receipts),
        "added": sum(receipt.added for receipt in receipts),
        "updated": sum(receipt.updated for receipt in receipts),
        "withdrawn": sum(receipt.withdrawn for receipt in receipts),
        "left_out": sum(each.item is not None for each in read.warned),
        "warned": len(read.warned),
        "warnings": [
            {"place": each.place, "message": each.reason, "left_out": each.item is not None}
            for each in read.warned[:MOST_WARNINGS]
        ],
    }


def _written(at: Instant | None) -> str | None:
    told = None if at is None else moment(at)
    return None if told is None else told.isoformat().replace("+00:00", "Z")
