"""OpenTelemetry traces, `POST /v1/traces`: OTLP over HTTP, as JSON or protobuf.

Two kinds of CLIENT span tell who calls a model, by the `service.name` of their resource:

* one from which an unidentified caller called this service, with `traceparent`: the call becomes that service's;
* one that asked a deployment which another server answers, by the path of the Open Inference Protocol.

All others are taken, and left alone. Names in traces are claims, as those in headers are.
"""

import base64
import re
import unicodedata
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

import numpy as np
import orjson
from google.protobuf.json_format import MessageToDict, ParseDict, ParseError
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as OtelSpan
from opentelemetry.proto.trace.v1.trace_pb2 import Status
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from app.events import GATEWAY, Caller, Sighting
from app.http.answers import refusal
from app.service import Headwater
from graph.errors import InvalidKey, NotReady, StoreUnavailable, quoted, shortened
from graph.keys import AssetKey, AssetKind
from graph.plan import AHEAD
from graph.stores.contract import Store
from graph.time import Instant, moment
from graph.topology import KIND_CODE, View

OLDEST: Instant = 48 * 3600 * 1_000_000
"""The age beyond which a span is rejected: whether it was counted before could no longer be told."""
COUNTED_SPANS = 100_000
"""How many spans are remembered as counted, for those that are sent again."""

JSON, PROTOBUF = "application/json", "application/x-protobuf"
_INFER = re.compile(r"(?:.*/)?v2/models/([^/]+)(?:/versions/[^/]+)?/infer/?", re.DOTALL)
_TOLD = 5
"""Reasons for rejection that are told in full."""
_INVALID_ARGUMENT, _UNAVAILABLE = 3, 14
"""Codes of google.rpc.Status."""


class Watcher(Protocol):
    """Who is told of calls."""

    def named(self, name: str | None, namespace: str | None) -> AssetKey | None:
        """The consumer that calls itself so; None for a name that names none."""
        ...

    def saw(self, sighting: Sighting) -> None: ...

    def explained(self, span: tuple[str, str], consumer: AssetKey) -> None:
        """What was or will be called from `span` by a caller that could not be told was called by `consumer`."""
        ...

    async def settled(self, headwater: Headwater) -> None:
        """Returns once all that was told so far is durable. Raises StoreUnavailable, NotReady."""
        ...


@dataclass(frozen=True, slots=True)
class Span:
    """A CLIENT span, as far as it matters here."""

    id: tuple[str, str]
    """Trace id and span id, in lower-case hexadecimal digits."""
    service: str | None
    namespace: str | None
    start: Instant
    failed: bool
    asked: str | None
    """The model's name in the URL of an inference request; None: it was another request."""


class BodyUnreadable(Exception):
    """`str(error)` says what is wrong with the request, and where."""


class Traces:
    def __init__(self, watcher: Watcher, clock: Callable[[], Instant]) -> None:
        self._watcher = watcher
        self._clock = clock
        self._counted: OrderedDict[tuple[str, str], None] = OrderedDict()

    def routes(self) -> list[BaseRoute]:
        return [Route("/v1/traces", self._export, methods=["POST"])]

    async def _export(self, request: Request) -> Response:
        form = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if form not in (JSON, PROTOBUF):
            return refusal(415, f"traces come as {JSON} or {PROTOBUF}, not as {quoted(form)}", "UNSUPPORTED_MEDIA_TYPE")
        headwater: Headwater = request.state.headwater
        read = from_json if form == JSON else from_protobuf
        try:
            spans, rejected = await headwater.in_thread(read, await request.body())
            rejected += await self._use(headwater, spans)
            await self._watcher.settled(headwater)
        except BodyUnreadable as error:
            return _status(form, 400, _INVALID_ARGUMENT, str(error))
        except (StoreUnavailable, NotReady) as error:
            return _status(form, 503, _UNAVAILABLE, str(error))
        return _answer(form, rejected)

    async def _use(self, headwater: Headwater, spans: Iterable[Span]) -> list[str]:
        """Why some cannot be used, one sentence each."""
        rejected = []
        now = self._clock()
        names = {span.asked for span in spans if span.asked is not None}
        elsewhere: Mapping[str, list[AssetKey]] = {}
        if names:
            view, store = headwater.index.view(), headwater.store
            elsewhere = await headwater.in_thread(deployments_elsewhere, view, store, names, now)
        for span in spans:
            consumer = self._watcher.named(span.service, span.namespace)
            if consumer is not None:
                self._watcher.explained(span.id, consumer)
            found = elsewhere.get(span.asked, []) if span.asked is not None else []
            if not found:
                continue
            if (reason := _unusable(span, found, now)) is not None:
                rejected.append(reason)
            elif self._is_new(span.id):
                self._watcher.saw(Sighting(found[0], Caller(consumer), span.start, span.failed))
        return rejected

    def _is_new(self, span: tuple[str, str]) -> bool:
        if span in self._counted:
            return False
        self._counted[span] = None
        if len(self._counted) > COUNTED_SPANS:
            self._counted.popitem(last=False)
        return True


def deployments_elsewhere(
    view: View, store: Store, names: Collection[str], now: Instant
) -> Mapping[str, list[AssetKey]]:
    """The deployments of these names that are known now, by name; none of a name by which this service serves one."""
    endings = set()
    for name in names:
        try:
            endings.add(str(AssetKey.of(AssetKind.DEPLOYMENT, "any", name)).rpartition("/")[2])
        except InvalidKey:
            continue  # nothing can have this name
    numbers = np.nonzero(view.kind[: view.assets] == KIND_CODE[AssetKind.DEPLOYMENT])[0].tolist()
    keys = [view.key(number) for number in numbers if view.keys[number].rpartition("/")[2] in endings]
    found: dict[str, list[AssetKey]] = {}
    served = set()
    for key, said in store.believed(keys).items():
        origins = {each.origin for each in said if each.valid.holds_at(now)}
        if isinstance(key, AssetKey) and origins:
            found.setdefault(key.name, []).append(key)
            served |= {key.name} if GATEWAY in origins else set()
    return {name: of_name for name, of_name in found.items() if name not in served}


def _unusable(span: Span, found: Collection[AssetKey], now: Instant) -> str | None:
    place = f"span {span.id[1]} of trace {span.id[0]}"
    if len(found) > 1:
        named = ", ".join(sorted(map(str, found)))
        return f"{place} asks {quoted(span.asked or '')}, which may be any of {shortened(named)}"
    if span.start > now + AHEAD:
        return f"{place} starts at {moment(span.start)}, ahead of the clock, which stands at {moment(now)}"
    if span.start < now - OLDEST:
        return f"{place} starts at {moment(span.start)}, more than {OLDEST // 3_600_000_000} hours ago"
    return None


# Reading


def from_protobuf(body: bytes) -> tuple[list[Span], list[str]]:
    """The CLIENT spans, and why some cannot be used. Raises BodyUnreadable."""
    try:
        return _client_spans(ExportTraceServiceRequest.FromString(body))
    except DecodeError as error:
        raise BodyUnreadable(f"the body is not an ExportTraceServiceRequest: {shortened(error)}") from error


def from_json(body: bytes) -> tuple[list[Span], list[str]]:
    """OTLP writes ids in hexadecimal digits, where protobuf's own JSON has base64. Raises BodyUnreadable."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BodyUnreadable(f"the body is not JSON: {shortened(error)}") from error
    if not isinstance(document, dict):
        raise BodyUnreadable("the body is not a JSON object with `resourceSpans`")
    rejected: list[str] = []
    for of_resource, at_resource in _objects(document, "resourceSpans", ""):
        for of_scope, at_scope in _objects(of_resource, "scopeSpans", at_resource):
            kept = []
            for span, at in _objects(of_scope, "spans", at_scope):
                if span.get("kind") not in (OtelSpan.SPAN_KIND_CLIENT, "SPAN_KIND_CLIENT"):
                    continue
                for unused in ("parentSpanId", "events", "links"):
                    span.pop(unused, None)
                wrong = [_unfit(span, *id_) for id_ in (("traceId", 32), ("spanId", 16))]
                if any(wrong):
                    rejected.append(f"{at}: {' and '.join(filter(None, wrong))}")
                else:
                    kept.append(span)
            of_scope["spans"] = kept
    try:
        request = ParseDict(document, ExportTraceServiceRequest(), ignore_unknown_fields=True)
    except ParseError as error:
        raise BodyUnreadable(f"the body is not an ExportTraceServiceRequest: {shortened(error)}") from error
    spans, more = _client_spans(request)
    return spans, rejected + more


def _objects(of: Mapping[str, Any], name: str, at: str) -> list[tuple[dict[str, Any], str]]:
    """The objects of a list, each with its place."""
    place = f"{at}.{name}" if at else name
    given = of.get(name)
    if not isinstance(given, list | None):
        raise BodyUnreadable(f"{place} is {shortened(repr(given))}, not a list")
    for number, each in enumerate(given or ()):
        if not isinstance(each, dict):
            raise BodyUnreadable(f"{place}[{number}] is {shortened(repr(each))}, not an object")
    return [(each, f"{place}[{number}]") for number, each in enumerate(given or ())]


def _unfit(span: dict[str, Any], name: str, digits: int) -> str | None:
    """Puts the id into protobuf's form; if it is none, says so."""
    given = span.get(name)
    try:
        if not isinstance(given, str) or len(given) != digits:
            raise ValueError
        span[name] = base64.b64encode(bytes.fromhex(given)).decode()
    except ValueError:
        return f"{name} {shortened(repr(given))} is not {digits} hexadecimal digits"
    return None


def _client_spans(request: ExportTraceServiceRequest) -> tuple[list[Span], list[str]]:
    spans, rejected = [], []
    for of_resource in request.resource_spans:
        resource = _attributes(of_resource.resource.attributes)
        service, namespace = resource.get("service.name"), resource.get("service.namespace")
        for of_scope in of_resource.scope_spans:
            for span in of_scope.spans:
                if span.kind != OtelSpan.SPAN_KIND_CLIENT:
                    continue
                trace, id_ = span.trace_id.hex(), span.span_id.hex()
                if len(trace) != 32 or len(id_) != 16 or not int(trace, 16) or not int(id_, 16):
                    rejected.append(
                        f"the ids {shortened(trace)!r} and {shortened(id_)!r} are not a trace's and a span's"
                    )
                    continue
                attributes = _attributes(span.attributes)
                start = span.start_time_unix_nano // 1000
                spans.append(
                    Span((trace, id_), service, namespace, start, _failed(span, attributes), _asked(attributes))
                )
    return spans, rejected


def _attributes(given: Iterable[KeyValue]) -> dict[str, str]:
    """Texts and whole numbers, as text."""
    return {each.key: text for each in given if (text := _text(each.value)) is not None}


def _text(value: AnyValue) -> str | None:
    if value.HasField("string_value"):
        return value.string_value
    return str(value.int_value) if value.HasField("int_value") else None


def _failed(span: OtelSpan, attributes: Mapping[str, str]) -> bool:
    """Whether the server failed. What a client got wrong (4xx) its span calls an error too."""
    status = attributes.get("http.response.status_code", attributes.get("http.status_code", ""))
    if status.isdecimal():
        return int(status) >= 500
    return span.status.code == Status.STATUS_CODE_ERROR


def _asked(attributes: Mapping[str, str]) -> str | None:
    url = attributes.get("url.full", attributes.get("http.url"))
    try:
        path = urlsplit(url).path if url else attributes.get("url.path", attributes.get("http.target", ""))
        found = _INFER.fullmatch(path.partition("?")[0])
        return unicodedata.normalize("NFC", unquote(found[1], errors="strict")) if found else None
    except ValueError:
        return None


# Answering


def _answer(form: str, rejected: list[str]) -> Response:
    answer = ExportTraceServiceResponse()
    if rejected:
        told = "; ".join(rejected[:_TOLD]) + (f"; and {len(rejected) - _TOLD} more" if len(rejected) > _TOLD else "")
        answer.partial_success.CopyFrom(ExportTracePartialSuccess(rejected_spans=len(rejected), error_message=told))
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
