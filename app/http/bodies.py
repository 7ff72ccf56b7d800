"""What a request may bring along: a bounded number of bytes, as they are."""

from collections.abc import Mapping

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.http.answers import refusal


class BodyLimit:
    """Answers 413 as soon as more than `max_bytes` have come, whatever Content-Length says, and 415 to compression.

    `below` are limits for what lies below certain folders instead.
    """

    def __init__(self, app: ASGIApp, max_bytes: int, below: Mapping[str, int] | None = None) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._below = below or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        folders = (limit for folder, limit in self._below.items() if scope["path"].startswith(folder))
        most = next(folders, self._max_bytes)
        encoding = headers.get("content-encoding", "identity").strip().lower()
        if encoding not in ("", "identity"):
            answer = refusal(415, f"the body comes as {encoding[:40]!r}; send it uncompressed", "UNSUPPORTED_ENCODING")
            await answer(scope, receive, send)
            return
        length = headers.get("content-length", "")
        if length.isdecimal() and int(length) > most:
            await _too_large(most)(scope, receive, send)
            return
        received, started = 0, False

        async def receive_counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > most:
                raise _TooLarge
            return message

        async def send_noting(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive_counted, send_noting)
        except _TooLarge:
            if not started:
                await _too_large(most)(scope, receive, send)


def _too_large(most: int) -> Response:
    return refusal(413, f"the body is larger than {most:,} bytes, the most taken", "BODY_TOO_LARGE")


class _TooLarge(Exception):
    pass
