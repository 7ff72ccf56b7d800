"""The one place where callers are identified. What is not public needs at least a reader's token.

It leaves `principal` and `headwater` in the request's state for the routes behind it.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from strawberry.exceptions import ConnectionRejectionError

from app.graphql.context import Context
from app.graphql.endpoint import GRAPHQL_JSON, HTML, JSON, negotiate
from app.hosting import Hosting
from app.http.answers import refusal
from app.http.pages import PAGE_FOLDERS
from app.http.schemas import SCHEMAS
from app.identity import UNIDENTIFIED, AccessRefused, Forbidden, Role, Tokens, Unauthenticated, identify
from app.settings import is_loopback

GRAPHQL_PATH = "/graphql"
PUBLIC_PATHS = frozenset({"/", "/alerts", "/favicon.ico", "/healthz", "/readyz", "/v2/health/live", "/v2/health/ready"})
PUBLIC_FOLDERS = ("/assets/", SCHEMAS, *PAGE_FOLDERS)

_WITHOUT_STORE = frozenset({"/metrics"})


class Authentication:
    def __init__(self, app: ASGIApp, tokens: Tokens, hosting: Hosting, allowed_origins: Collection[str] = ()) -> None:
        self._app = app
        self._tokens = tokens
        self._hosting = hosting
        self._allowed_origins = allowed_origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or _is_public(scope):
            await self._app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        refused = self._identify(scope, state) or self._find_headwater(scope, state)
        if refused is None:
            await self._app(scope, receive, send)
        elif scope["type"] == "http" or "websocket.http.response" in scope.get("extensions", {}):
            await refused(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008})

    def _identify(self, scope: Scope, state: dict[str, object]) -> Response | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if self._tokens.anonymous is not None and not _names_loopback(host):
            # Else a page of a foreign site whose name resolves to 127.0.0.1 ("DNS rebinding") could do everything.
            return refusal(
                421,
                f"without HEADWATER_TOKENS_FILE the service answers as localhost only, not as {host[:200]!r}",
                "MISDIRECTED",
            )
        if self._tokens.anonymous is not None and self._is_foreign(headers):
            # Some requests need no leave of ours (a form posts as text/plain), and could forge callers.
            return refusal(
                403,
                f"a page of {headers.get('origin', 'another site')[:200]!r} may not use this service; HEADWATER_ALLOWED_ORIGINS"
                " says which may",
                "FORBIDDEN",
            )
        authorization = headers.get("authorization")
        try:
            if authorization is None and scope["type"] == "websocket" and self._tokens.anonymous is None:
                state["principal"] = UNIDENTIFIED  # A browser sends its token in the first message.
                return None
            principal = state["principal"] = identify(self._tokens, _bearer(authorization))
            principal.require(Role.READER)
        except AccessRefused as error:
            return access_refused(error)
        return None

    def _is_foreign(self, headers: Headers) -> bool:
        """Whether a browser says that a page of another origin sends this."""
        if headers.get("sec-fetch-site", "none") in ("none", "same-origin"):
            return False
        return headers.get("origin") not in self._allowed_origins

    def _find_headwater(self, scope: Scope, state: dict[str, object]) -> Response | None:
        if scope["path"] in _WITHOUT_STORE:
            return None
        headwater = self._hosting.headwater
        if headwater is None:
            reason = self._hosting.unready or "starting"
            return refusal(503, f"not ready: {reason}", "NOT_READY", {"Retry-After": "1"})
        state["headwater"] = headwater
        return None


def access_refused(error: AccessRefused) -> Response:
    if isinstance(error, Forbidden):
        return refusal(403, str(error), "FORBIDDEN")
    return refusal(401, str(error), "UNAUTHENTICATED", {"WWW-Authenticate": "Bearer"})


async def graphql_context(connection: HTTPConnection) -> Context:
    """For `GraphQLEndpoint`: what an operation is given of its request."""
    state = connection.state
    rooms = connection.app.state.rooms
    return Context(state.headwater, state.principal, rooms, request_id=state.request_id)


def identify_socket(tokens: Tokens) -> Callable[[Context], Awaitable[None]]:
    """For `GraphQLEndpoint.on_connect`: who opened a WebSocket, by its handshake, else by its first message.

    The payload of `connection_init` holds `Authorization` (or `authorization`) with "Bearer hw_…", or `token`.
    """

    async def on_connect(context: Context) -> None:
        if context.principal != UNIDENTIFIED:
            return
        try:
            principal = identify(tokens, _token_in(context.connection_params))
            principal.require(Role.READER)
        except AccessRefused as error:
            raise ConnectionRejectionError({"message": str(error)}) from error
        context.principal = principal

    return on_connect


def _token_in(params: object) -> str | None:
    if isinstance(params, Mapping):
        for name, value in params.items():
            if isinstance(value, str) and isinstance(name, str):
                if name.lower() == "authorization":
                    return _bearer(value)
                if name == "token":
                    return value
    return None


def _bearer(authorization: str | None) -> str | None:
    """Raises Unauthenticated for another scheme."""
    if authorization is None:
        return None
    scheme, _, token = authorization.strip().partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthenticated("the Authorization header is not of the form `Bearer hw_…`")
    return token.strip()


def _is_public(scope: Scope) -> bool:
    path: str = scope["path"]
    if scope["type"] != "http":
        return False
    return path in PUBLIC_PATHS or path.startswith(PUBLIC_FOLDERS) or _asks_for_graphiql(scope)


def _asks_for_graphiql(scope: Scope) -> bool:
    """Exactly when `GraphQLEndpoint` answers with its page, which holds no data."""
    if scope["path"] != GRAPHQL_PATH or scope["method"] != "GET":
        return False
    return negotiate(",".join(Headers(scope=scope).getlist("accept")), (JSON, GRAPHQL_JSON, HTML)) == HTML


def _names_loopback(host: str) -> bool:
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    return is_loopback(name) or name.lower().endswith(".localhost")
