"""OpenTelemetry traces, `POST /v1/traces`: OTLP over HTTP, as JSON or protobuf.

What spans tell of calls is durable when the request is answered. All others are taken, and left alone.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Protocol

import orjson
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from app.events import Hearing
from app.http.answers import refusal
from app.intake.otlp import BodyUnreadable, from_json, from_protobuf
from app.service import Headwater
from app.spans import NOBODY, RejectedSpan, Service, Span
from graph.errors import NotReady, StoreUnavailable, quoted
from graph.keys import is_legible
from graph.sources import Rejected
from graph.time import Instant

PATH = "/v1/traces"
MAX_BYTES = 20_971_520
"""Of a body, unpacked: what OpenTelemetry's own collector takes."""
MOST_REQUESTS, MOST_BYTES = 256, 67_108_864
"""That are worked on at a time; further ones are told to come again."""

JSON, PROTOBUF = "application/json", "application/x-protobuf"
_TOLD = 5
"""Reasons for rejection that are told in full."""
_INVALID_ARGUMENT, _UNAVAILABLE = 3, 14
"""Codes of google.rpc.Status."""


class Watcher(Protocol):
    """Who is told of spans."""

    async def told(self, headwater: Headwater, spans: Sequence[Span]) -> tuple[list[RejectedSpan], int]:
        """Returns once what they tell is durable: those that cannot be used, and the calls of services without a name.

        Raises StoreUnavailable, NotReady.
        """
        ...


class Traces:
    def __init__(self, watcher: Watcher, sources: Hearing, clock: Callable[[], Instant]) -> None:
        self._watcher = watcher
        self._sources = sources
        self._clock = clock
        self._reading = asyncio.Semaphore(1)  # more at once would only take the interpreter from the event loop
        self._requests = 0
        self._bytes = 0

    def routes(self) -> list[BaseRoute]:
        return [Route(PATH, self._export, methods=["POST"])]

    async def _export(self, request: Request) -> Response:
        form = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if form not in (JSON, PROTOBUF):
            return refusal(415, f"traces come as {JSON} or {PROTOBUF}, not as {quoted(form)}", "UNSUPPORTED_MEDIA_TYPE")
        if self._requests >= MOST_REQUESTS or self._bytes >= MOST_BYTES:
            return _status(form, 503, _UNAVAILABLE, "more traces come than can be taken: send these again later")
        self._requests += 1
        size = 0
        try:
            body = await request.body()
            size = len(body)
            self._bytes += size
            return await self._answered(request.state.headwater, form, body)
        finally:
            self._requests -= 1
            self._bytes -= size

    async def _answered(self, headwater: Headwater, form: str, body: bytes) -> Response:
        try:
            async with self._reading:
                read = await headwater.in_thread(from_json if form == JSON else from_protobuf, body)
            rejected, unnamed = await self._watcher.told(headwater, read.spans)
        except BodyUnreadable as error:
            self._sources.refused([Rejected.now(_source(NOBODY), PATH, form, "", str(error), body, self._clock())])
            return _status(form, 400, _INVALID_ARGUMENT, str(error))
        except (StoreUnavailable, NotReady) as error:
            return _status(form, 503, _UNAVAILABLE, str(error))
        self._tell(read.spans, rejected)
        self._refuse(form, [*read.rejected, *rejected])
        return _answer(form, [*read.rejected, *rejected], unnamed)

    def _tell(self, spans: Sequence[Span], rejected: Sequence[RejectedSpan]) -> None:
        """`rejected`: those of `spans` that are, and are told of by themselves."""
        starts: dict[Service, list[Instant]] = {}
        for span in spans:
            starts.setdefault(span.service, []).append(span.start)
        counted_elsewhere = Counter(each.service for each in rejected)
        for service, times in starts.items():
            if items := len(times) - counted_elsewhere[service]:
                self._sources.heard(_source(service), items, (min(times), max(times)))

    def _refuse(self, form: str, rejected: Sequence[RejectedSpan]) -> None:
        now = self._clock()
        self._sources.refused(
            [
                Rejected.now(_source(each.service), PATH, form, each.place, each.reason, each.item, now)
                for each in rejected
            ]
        )


def _source(service: Service) -> str:
    is_known = service.is_named and is_legible(service.full_name)
    return f"traces:{service.full_name}" if is_known else "traces:unidentified"


def _answer(form: str, rejected: Sequence[RejectedSpan], unnamed: int) -> Response:
    """As OTLP has it: a message with no rejected spans is a warning."""
    sentences = [f"{each.place}: {each.reason}" for each in rejected[:_TOLD]]
    if len(rejected) > _TOLD:
        sentences.append(f"and {len(rejected) - _TOLD} more")
    if unnamed:
        sentences.append(f"{unnamed} calls are of a resource without service.name, and count as unidentified")
    answer = ExportTraceServiceResponse()
    if sentences:
        partial = ExportTracePartialSuccess(rejected_spans=len(rejected), error_message="; ".join(sentences))
        answer.partial_success.CopyFrom(partial)
    if form == JSON:
        return Response(orjson.dumps(MessageToDict(answer)), media_type=JSON)
    return Response(answer.SerializeToString(), media_type=PROTOBUF)


def _status(form: str, status: int, code: int, message: str) -> Response:
    """A google.rpc.Status."""
    headers = {"Retry-After": "1"} if status == 503 else {}
    if form == JSON:
        return Response(orjson.dumps({"code": code, "message": message}), status, headers, JSON)
    text = message.encode()
    return Response(b"\x08" + _varint(code) + b"\x12" + _varint(len(text)) + text, status, headers, PROTOBUF)


def _varint(number: int) -> bytes:
    digits = []
    while number > 0x7F:
        digits.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*digits, number])
