"""What a request may bring along: a bounded number of bytes, as they are or packed by gzip."""

import zlib
from collections.abc import Mapping

import orjson
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
        unpacking = _Unpacking(most) if encoding == "gzip" else None

        async def receive_counted() -> Message:
            nonlocal received
            if unpacking is not None and unpacking.has_more:
                message: Message = {"type": "http.request", **unpacking.more()}
            else:
                message = await receive()
                if unpacking is not None and message["type"] == "http.request":
                    message = {**message, **unpacking.take(message)}
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


class _Unpacking:
    """Unpacks piece by piece, whatever a chunk holds: of a bomb, no more than is needed to see that it is one.

    A body may be several gzip files one after the other, as parallel packers make it.
    """

    def __init__(self, most: int) -> None:
        self._inflating = _inflating()
        self._at_once = min(most + 1, _UNPACKED_AT_ONCE)
        self._packed = b""
        self._is_last = False
        self.has_more = False
        """Of what was taken, without waiting for what comes."""

    def take(self, message: Message) -> Mapping[str, object]:
        self._is_last = not message.get("more_body", False)
        self._packed = message.get("body", b"")
        return self.more()

    def more(self) -> Mapping[str, object]:
        if self._inflating.eof and self._packed:
            self._inflating = _inflating()
        try:
            body = self._inflating.decompress(self._packed, self._at_once)
        except zlib.error:
            raise _Unreadable from None
        ended = self._inflating.eof
        self._packed = self._inflating.unused_data if ended else self._inflating.unconsumed_tail
        # Nothing may be left to take in, and yet more to come out.
        self.has_more = bool(self._packed) or (len(body) == self._at_once and not ended)
        if self._is_last and not self.has_more and not ended:
            raise _Unreadable
        return {"body": body, "more_body": self.has_more or not self._is_last}


def _inflating() -> "zlib._Decompress":
    return zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)


_UNPACKED_AT_ONCE = 1 << 20


def _too_large(most: int) -> Response:
    return refusal(413, f"the body is larger than {most:,} bytes, the most taken", "BODY_TOO_LARGE")


class _TooLarge(Exception):
    pass


class _Unreadable(Exception):
    pass


def json_or_none(body: bytes) -> object:
    """What it says as JSON; None for what is none."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
