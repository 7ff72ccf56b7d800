"""What a request may bring along: a bounded number of bytes, as they are or packed by gzip."""

import zlib
from collections.abc import Callable, Mapping

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.http.answers import refusal


class BodyLimit:
    """Answers 413 as soon as more than `max_bytes` have come, whatever Content-Length says.

    Bodies in gzip, as exporters of telemetry send them, are unpacked, and the limit holds for what comes out; 415 to every
    other encoding. `below` are limits for what lies below certain folders instead.
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
        if encoding not in ("", "identity", "gzip"):
            sentence = f"the body comes as {encoding[:40]!r}; send it as it is, or as gzip"
            await refusal(415, sentence, "UNSUPPORTED_ENCODING")(scope, receive, send)
            return
        length = headers.get("content-length", "")
        if length.isdecimal() and int(length) > most:
            await _too_large(most)(scope, receive, send)
            return
        received, started = 0, False
        unpacked = _unpacking(most) if encoding == "gzip" else None

        async def receive_counted() -> Message:
            nonlocal received
            message = await receive()
            if unpacked is not None and message["type"] == "http.request":
                body = unpacked(message.get("body", b""), not message.get("more_body", False))
                message = {**message, "body": body}
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
        except _Unreadable:
            if not started:
                await refusal(400, "the body says it is gzip, and is not, or ends too early", "INVALID_ENCODING")(
                    scope, receive, send
                )


def _unpacking(most: int) -> Callable[[bytes, bool], bytes]:
    """Unpacks chunk by chunk; of what a bomb holds, no more than is needed to see that it is one."""
    inflating = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)

    def unpacked(chunk: bytes, is_last: bool) -> bytes:
        try:
            body = inflating.decompress(chunk, most + 1)
        except zlib.error:
            raise _Unreadable from None
        if inflating.unconsumed_tail:
            raise _TooLarge
        if is_last and not inflating.eof:
            raise _Unreadable
        return body

    return unpacked


def _too_large(most: int) -> Response:
    return refusal(413, f"the body is larger than {most:,} bytes, the most taken", "BODY_TOO_LARGE")


class _TooLarge(Exception):
    pass


class _Unreadable(Exception):
    pass
