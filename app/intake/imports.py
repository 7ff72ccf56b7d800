"""Documents of other systems, whole: `POST /api/v1/imports/{format}`. Each is all that its origin says."""

import asyncio
from collections.abc import Callable, Sequence

import orjson
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from app.envelopes import checked_operation_id, clients_origin
from app.http.answers import refusal, refused
from app.http.parameters import parameters
from app.identity import Role
from app.service import Headwater
from graph.changes import Receipt, Registration
from graph.errors import GraphError, InvalidInput, quoted
from graph.importers.dbt import read_dbt
from graph.importers.kserve import read_kserve
from graph.importers.sklearn import read_sklearn
from graph.importers.sql.document import read_sql
from graph.importers.told import Imported

FOLDER = "/api/v1/imports/"
JSON = "application/json"

MOST_AT_ONCE = 2
"""Documents that are read or committed: each is in memory as a whole, several times its length."""

MOST_WARNINGS = 1_000
"""That are told of one document; the others are counted."""

Reader = Callable[[object, str | None, str | None], Registration | Imported]
"""Of a document, an origin and a namespace, where the request names them. Raises InvalidInput."""

FORMATS: dict[str, Reader] = {"dbt": read_dbt, "kserve": read_kserve, "sklearn": read_sklearn, "sql": read_sql}
_PARAMETERS = ("origin", "namespace", "operation")


class Imports:
    def __init__(self) -> None:
        self._running = asyncio.Semaphore(MOST_AT_ONCE)

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
                text = await request.body()
                read, digests = await headwater.in_long_thread(_read, reader, text, origin, namespace)
                receipts = [
                    await headwater.register(
                        wanted,
                        id_ if not number or id_ is None else f"{id_}#{number}",
                        request.state.principal.name,
                        digest,
                    )
                    for number, (wanted, digest) in enumerate(digests)
                ]
            except GraphError as error:
                return refused(error)
        return JSONResponse(_told(read, receipts))


def _read(
    reader: Reader, text: bytes, origin: str | None, namespace: str | None
) -> tuple[Imported, list[tuple[Registration, str]]]:
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
    return read, [(each, each.digest()) for each in wanted]


def _told(read: Imported, receipts: Sequence[Receipt]) -> dict[str, object]:
    return {
        "origin": read.registration.origin,
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
