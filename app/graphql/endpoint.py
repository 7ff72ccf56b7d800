"""GraphQL over HTTP, server-sent events and WebSocket, all at one address.

The address answers every client in the form that client prefers:

* `application/graphql-response+json`: a request that could not be executed is a 400;
* `application/json`: the same answer, always with status 200, for older clients;
* `text/event-stream`: the "distinct connections" mode of GraphQL over SSE, when the client
  prefers it, or merely accepts it and asks for a subscription;
* `text/html`: the GraphiQL page, for browsers;
* WebSocket with the subprotocol `graphql-transport-ws`.
"""

import json
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn, TypeVar, cast

import orjson
from cross_web import AsyncHTTPRequestAdapter, HTTPException
from graphql import GraphQLError
from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import FileResponse, Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect
from strawberry.asgi import ASGIWebSocketAdapter, GraphQL
from strawberry.exceptions import MissingQueryError
from strawberry.http import GraphQLHTTPResponse, GraphQLRequestData
from strawberry.http.exceptions import WebSocketDisconnected
from strawberry.http.parse_content_type import parse_content_type
from strawberry.http.streaming import SSETransport
from strawberry.schema import BaseSchema
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.subscriptions import GRAPHQL_SSE_PROTOCOL, GRAPHQL_TRANSPORT_WS_PROTOCOL
from strawberry.subscriptions.protocols.graphql_transport_ws.handlers import (
    BaseGraphQLTransportWSHandler,
)
from strawberry.subscriptions.protocols.graphql_transport_ws.types import Message
from strawberry.types import ExecutionResult, SubscriptionExecutionResult
from strawberry.types.execution import PreExecutionError
from strawberry.types.graphql import OperationType
from strawberry.types.unset import UnsetType

from app.http.departures import while_present

ContextT = TypeVar("ContextT")

JSON = "application/json"
GRAPHQL_JSON = "application/graphql-response+json"
EVENT_STREAM = "text/event-stream"
HTML = "text/html"

MAX_JSON_DEPTH = 64
MAX_CLOSE_REASON_BYTES = 123
CONNECTION_INIT_TIMEOUT = timedelta(seconds=10)
MAX_OPERATIONS_PER_SOCKET = 100


def negotiate(accept: str, offers: Sequence[str]) -> str | None:
    """The media type of `offers` the Accept header prefers; None if it refuses them all.

    Higher q wins, then the client's order, then ours. Wildcards only ever stand for JSON:
    a client must ask for a page or for a stream of events by name.
    """
    ranges: list[tuple[str, float]] = []
    for part in accept.split(","):
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        quality = next((p[2:] for p in parameters if p.startswith("q=")), "1")
        try:
            ranges.append((name, float(quality)))
        except ValueError:
            continue
    if not accept.strip():
        ranges = [("*/*", 1.0)]

    best: tuple[float, int] | None = None
    chosen: str | None = None
    for offer in offers:
        names = [offer]
        if offer in (JSON, GRAPHQL_JSON):
            names += ["application/*", "*/*"]
        for name in names:  # The most specific range alone decides.
            position = next((i for i, (n, _) in enumerate(ranges) if n == name), None)
            if position is not None:
                rank = (ranges[position][1], -position)
                if rank[0] > 0 and (best is None or rank > best):
                    best, chosen = rank, offer
                break
    return chosen


def decode_json(data: str | bytes) -> object:
    """JSON as RFC 8259 has it: UTF-8, finite numbers, real text, and of bounded depth.

    Everything else raises JSONDecodeError, never another exception.
    """
    try:
        text = data.decode() if isinstance(data, bytes) else data
        value = json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError:
        raise
    except (ValueError, RecursionError) as error:
        raise json.JSONDecodeError("Not valid JSON", "", 0) from error
    _check(value)
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _check(value: object) -> None:
    level = [value]
    for _ in range(MAX_JSON_DEPTH):
        inner: list[object] = []
        for item in level:
            if isinstance(item, dict):
                inner.extend(item)
                inner.extend(item.values())
            elif isinstance(item, list):
                inner.extend(item)
            elif isinstance(item, str):
                try:
                    item.encode()
                except UnicodeEncodeError as error:
                    message = "Half a surrogate pair is not text"
                    raise json.JSONDecodeError(message, "", 0) from error
            elif isinstance(item, float) and not math.isfinite(item):
                raise json.JSONDecodeError("A number is too large", "", 0)
        if not inner:
            return
        level = inner
    raise json.JSONDecodeError("Nested too deeply", "", 0)


class _WebSocketAdapter(ASGIWebSocketAdapter):
    async def send_json(self, message: Mapping[str, object]) -> None:
        """The protocol's messages are text; the base class would send the bytes of the encoder as binary."""
        try:
            await self.ws.send_text(self.view.encode_json_string(message))
        except WebSocketDisconnect as error:
            raise WebSocketDisconnected from error

    async def close(self, code: int, reason: str) -> None:
        """A close frame holds 123 bytes; some reasons quote what the client sent."""
        await super().close(code, reason.encode()[:MAX_CLOSE_REASON_BYTES].decode(errors="ignore"))


class _EventStream(SSETransport):
    def encode_event(self, event: str, data: str | None = None) -> str:
        """End lines with LF: urql's reader does not know the CRLF of the base class, and takes
        an empty value after `data: ` for broken JSON."""
        return f"event: {event}\ndata: {data}\n\n" if data else f"event: {event}\ndata:\n\n"

    def encode_comment(self, comment: str) -> str:
        return f": {comment}\n\n"


class _TransportWSHandler(BaseGraphQLTransportWSHandler[ContextT, None]):
    async def handle_message(self, message: Message) -> None:
        """Check the shape of a message, which the base class takes on trust."""
        raw = cast(object, message)
        if not isinstance(raw, dict) or not isinstance(raw.get("type"), str):
            await self.handle_invalid_message("Failed to parse message")
            return
        if raw["type"] in ("subscribe", "complete") and not isinstance(raw.get("id"), str):
            await self.handle_invalid_message("The id of an operation must be a string")
            return
        if raw["type"] == "subscribe":
            try:
                read_operation(raw.get("payload"))
            except HTTPException as error:
                await self.handle_invalid_message(error.reason)
                return
        await super().handle_message(message)

    @staticmethod
    def _get_pre_execution_close_reason(error: GraphQLError) -> str | None:
        """Never close: a mistake in one operation must not end the others on the socket."""
        return None


def read_operation(data: object) -> GraphQLRequestData:
    """The members of a GraphQL request, or a 400 which names the wrong one."""
    if isinstance(data, list):
        raise HTTPException(400, "Batches of operations are not supported")
    if not isinstance(data, dict):
        raise HTTPException(400, "A GraphQL request must be a JSON object")
    query = data.get("query")
    if not isinstance(query, str) or not query:
        raise HTTPException(400, "`query` must be a non-empty string")
    operation_name = data.get("operationName")
    if not isinstance(operation_name, str | None):
        raise HTTPException(400, "`operationName` must be a string or null")
    variables = data.get("variables")
    if not isinstance(variables, dict | None):
        raise HTTPException(400, "`variables` must be an object or null")
    extensions = data.get("extensions")
    if not isinstance(extensions, dict | None):
        raise HTTPException(400, "`extensions` must be an object or null")
    return GraphQLRequestData(
        query=query,
        variables=variables,
        operation_name=operation_name or None,
        extensions=extensions,
    )


class GraphQLEndpoint(GraphQL[ContextT, None]):
    """The ASGI application to mount at `/graphql`, for HTTP and WebSocket alike.

    `context_getter` makes the context of an operation from its connection. On a WebSocket it
    runs before `connection_init`; the payload of that message is then put into the context's
    attribute (or key) `connection_params`, and `on_connect` is awaited: there a token sent by a
    browser, which cannot set headers, is checked (raise `ConnectionRejectionError` to refuse).
    """

    graphql_transport_ws_handler_class = _TransportWSHandler[Any]
    stream_transport_classes_by_protocol = {GRAPHQL_SSE_PROTOCOL: _EventStream}  # noqa: RUF012
    websocket_adapter_class = _WebSocketAdapter

    def __init__(
        self,
        schema: BaseSchema,
        *,
        context_getter: Callable[[HTTPConnection], Awaitable[ContextT]],
        graphiql: Path | None = None,
        on_connect: Callable[[ContextT], Awaitable[None]] | None = None,
        allowed_origins: Sequence[str] = (),
        timeout: timedelta = timedelta(seconds=30),
    ) -> None:
        super().__init__(
            schema,
            graphql_ide=None,
            subscription_protocols=(GRAPHQL_TRANSPORT_WS_PROTOCOL, GRAPHQL_SSE_PROTOCOL),
            connection_init_wait_timeout=CONNECTION_INIT_TIMEOUT,
            max_subscriptions_per_connection=MAX_OPERATIONS_PER_SOCKET,
            allowed_origins=allowed_origins,
        )
        self._context_getter = context_getter
        self._on_connect = on_connect
        self._graphiql = graphiql
        self._timeout = timeout

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        request = Request(scope, receive)
        try:
            response = await self._respond(request)
        except ClientDisconnect:
            return
        except HTTPException as error:
            accepted = negotiate(_accept(request), (JSON, GRAPHQL_JSON))
            response = Response(
                self.encode_json({"errors": [{"message": error.reason}]}),
                status_code=error.status_code,
                media_type=accepted or JSON,
                headers={"Allow": "GET, POST"} if error.status_code == 405 else None,
            )
        response.headers.add_vary_header("Accept")
        await response(scope, receive, send)

    async def _respond(self, request: Request) -> Response:
        if request.method not in ("GET", "POST"):
            raise HTTPException(405, "GraphQL is served to GET and POST")
        media_type = negotiate(_accept(request), _offers(request))
        if media_type is None:
            raise HTTPException(406, f"GraphQL is served as {', '.join(_offers(request))}")
        if media_type == HTML:
            if self._graphiql is None or not self._graphiql.is_file():
                raise HTTPException(404, "The GraphiQL page is not part of this installation")
            return FileResponse(self._graphiql, media_type=HTML, headers={"Cache-Control": "no-cache"})
        return await self.run(request)

    def should_render_graphql_ide(self, request: object) -> bool:
        return False  # `_respond` has already served the page.

    async def get_context(self, request: Request | WebSocket, response: Response | WebSocket) -> ContextT:
        return await self._context_getter(request)

    async def on_ws_connect(self, context: ContextT) -> UnsetType | dict[str, object] | None:
        if self._on_connect is not None:
            await self._on_connect(context)
        return await super().on_ws_connect(context)

    def decode_json(self, data: str | bytes) -> object:
        return decode_json(data)

    def encode_json(self, data: object) -> bytes:
        return orjson.dumps(data)

    async def parse_http_body(self, request: AsyncHTTPRequestAdapter) -> GraphQLRequestData:
        if request.method == "GET":
            operation = read_operation(self.parse_query_params(request.query_params))
        else:
            content_type, parameters = parse_content_type(request.content_type or "")
            charset = parameters.get("charset", "utf-8").lower()
            if content_type != JSON or charset not in ("utf-8", "utf8"):
                raise HTTPException(415, "The body must be application/json in UTF-8")
            operation = read_operation(self.parse_json(await request.get_body()))
        return operation

    async def execute_operation(
        self,
        request: Request,
        request_adapter: AsyncHTTPRequestAdapter,
        request_data: GraphQLRequestData | list[GraphQLRequestData],
        context: ContextT,
        root_value: None,
        sub_response: Response,
    ) -> ExecutionResult | list[ExecutionResult] | SubscriptionExecutionResult:
        assert isinstance(request_data, GraphQLRequestData)
        media_type = negotiate(_accept(request), _offers(request))
        if media_type == EVENT_STREAM:
            return await self._stream(request_data, context)
        try:
            result = await self._execute(request, request_data, context)
        except CannotGetOperationTypeError as error:
            raise HTTPException(400, error.as_http_error_reason()) from error
        except MissingQueryError as error:
            raise HTTPException(400, "The document has no operation") from error
        except InvalidOperationTypeError as error:
            if request.method == "GET":
                raise HTTPException(405, "Only queries are served to GET: use POST") from error
            if negotiate(_accept(request), (EVENT_STREAM,)) is None:
                raise HTTPException(406, f"Subscriptions are served as {EVENT_STREAM} or over WebSocket") from error
            return await self._stream(request_data, context)
        sub_response.media_type = media_type
        if media_type == GRAPHQL_JSON and _is_request_error(result) and not sub_response.status_code:
            sub_response.status_code = 400
        return result

    async def _stream(self, request_data: GraphQLRequestData, context: ContextT) -> SubscriptionExecutionResult:
        request_data.protocol = "sse"
        results = await self.schema.stream(
            request_data.query,
            variable_values=request_data.variables,
            context_value=context,
            operation_name=request_data.operation_name,
            operation_extensions=request_data.extensions,
        )
        return cast(SubscriptionExecutionResult, results)

    async def _execute(self, request: Request, request_data: GraphQLRequestData, context: ContextT) -> ExecutionResult:
        """Execute, but stop when the client leaves or the time is up."""
        allowed = {OperationType.QUERY}
        if request.method == "POST":
            allowed.add(OperationType.MUTATION)
        seconds = self._timeout.total_seconds()
        execution = self.schema.execute(
            request_data.query,
            variable_values=request_data.variables,
            context_value=context,
            operation_name=request_data.operation_name,
            allowed_operation_types=allowed,
            operation_extensions=request_data.extensions,
        )
        try:
            return await while_present(request, execution, seconds)
        except TimeoutError:
            raise HTTPException(503, f"No answer within {seconds:g} s") from None

    async def process_result(self, request: Request, result: ExecutionResult) -> GraphQLHTTPResponse:
        response = await super().process_result(request, result)
        if _is_request_error(result):
            del response["data"]
        return response

    def create_response(
        self,
        response_data: GraphQLHTTPResponse | list[GraphQLHTTPResponse],
        sub_response: Response,
    ) -> Response:
        response = super().create_response(response_data, sub_response)
        response.headers["Content-Type"] = f"{sub_response.media_type}; charset=utf-8"
        return response


def _accept(request: Request) -> str:
    return ",".join(request.headers.getlist("accept"))


def _offers(request: Request) -> tuple[str, ...]:
    return (JSON, GRAPHQL_JSON, HTML if request.method == "GET" else EVENT_STREAM)


def _is_request_error(result: Any) -> bool:
    """Whether the operation failed before a resolver ran: such an answer has no `data`."""
    if isinstance(result, PreExecutionError):
        return True
    errors: list[GraphQLError] = result.errors or []
    return result.data is None and bool(errors) and all(not error.path for error in errors)
