"""Gives each request an id, logs it, measures it, and answers when nobody else could."""

import re
import time
import uuid

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.http.answers import refusal
from app.metrics import METHODS, Metrics

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}.*")
_QUIET = frozenset({"/healthz", "/readyz", "/metrics"})
"""Asked for every few seconds: logged at level debug."""
_BUSY = frozenset({"/api/v1/lineage", "/lineage"})
"""Asked for thousands of times in one: so is what goes well."""

log = structlog.get_logger("app.requests")


def request_id(headers: Headers) -> str:
    """The caller's `X-Request-Id`, else the trace id of its `traceparent`, else a new one."""
    given = headers.get("x-request-id", "")
    if _REQUEST_ID.fullmatch(given):
        return given
    trace = _TRACEPARENT.fullmatch(headers.get("traceparent", ""))
    return trace[1] if trace else uuid.uuid4().hex


class Requests:
    """Puts `request_id` into the request's state, into every log line, and into the answer's `X-Request-Id`."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        id_ = request_id(Headers(scope=scope))
        scope.setdefault("state", {})["request_id"] = id_
        with structlog.contextvars.bound_contextvars(request_id=id_):
            if scope["type"] == "http":
                await self._answer(id_, scope, receive, send)
            else:
                with self._metrics.sockets.track_inprogress():
                    await self._hold(id_, scope, receive, send)

    async def _answer(self, id_: str, scope: Scope, receive: Receive, send: Send) -> None:
        begin = time.perf_counter()
        status, streams = 0, False

        async def send_with_id(message: Message) -> None:
            nonlocal status, streams
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-Id"] = id_
                streams = headers.get("content-type", "").startswith("text/event-stream")
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except Exception:
            log.exception("a request failed in a way nobody foresaw")
            if status:
                raise
            answer = refusal(500, f"internal error; the log has it under request id {id_}", "INTERNAL")
            await answer(scope, receive, send_with_id)
        finally:
            seconds = time.perf_counter() - begin
            method = scope["method"] if scope["method"] in METHODS else "other"
            route = _route(scope)
            self._metrics.requests.labels(method, route, str(status) if status else "none").inc()
            if not streams:
                self._metrics.request_seconds.labels(method, route).observe(seconds)
            quiet = scope["path"] in _QUIET or (scope["path"] in _BUSY and 0 < status < 400)
            write = log.debug if quiet else log.info
            write(
                "request" if status else "request left without an answer",
                method=scope["method"],
                path=scope["path"],
                status=status or None,
                milliseconds=round(seconds * 1000, 1),
                principal=_principal(scope),
                client=_client(scope),
            )

    async def _hold(self, id_: str, scope: Scope, receive: Receive, send: Send) -> None:
        begin = time.perf_counter()

        async def send_with_id(message: Message) -> None:
            if message["type"] in ("websocket.accept", "websocket.http.response.start"):
                MutableHeaders(scope=message)["X-Request-Id"] = id_
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        finally:
            log.info(
                "websocket closed",
                path=scope["path"],
                seconds=round(time.perf_counter() - begin, 1),
                principal=_principal(scope),
                client=_client(scope),
            )


def _route(scope: Scope) -> str:
    """The pattern that matched, not the path: there are as many paths as callers can think of."""
    return str(getattr(scope.get("route"), "path", None) or "other")


def _principal(scope: Scope) -> str | None:
    principal = scope["state"].get("principal")
    return principal.name if principal else None


def _client(scope: Scope) -> str | None:
    return scope["client"][0] if scope.get("client") else None
