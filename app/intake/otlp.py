"""What an export of OpenTelemetry traces (OTLP) says, as protobuf or as its JSON: spans, and what cannot be read as one.

Pure functions of the body. Read by hand where protobuf's own readers would be slow, or would refuse all for one.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Status
from opentelemetry.proto.trace.v1.trace_pb2 import Span as OtelSpan

from app.spans import CONSUMER, INTERNAL, WANTED, RejectedSpan, Service, Span, span_id
from graph.errors import shortened

_NAMES = frozenset({"service.name", "service.namespace"})
_NOTHING: Mapping[str, str] = {}
_NO_TRACE, _NO_SPAN = bytes(16), bytes(8)
_ERROR = Status.STATUS_CODE_ERROR
_LARGEST = (1 << 64) - 1
_LONGEST = 1_024
"""Of a name: longer ones can be no key."""


class BodyUnreadable(Exception):
    """`str(error)` says what is wrong with the request, and where."""


class _Misfit(Exception):
    """`str(error)` says which field holds what, and what it should."""


@dataclass(slots=True)
class Read:
    spans: list[Span] = field(default_factory=list)
    rejected: list[RejectedSpan] = field(default_factory=list)


def _named(attributes: Mapping[str, str]) -> Service:
    namespace, name = attributes.get("service.namespace"), attributes.get("service.name")
    return Service(None, None) if len(namespace or "") + len(name or "") > _LONGEST else Service(namespace, name)


# Protobuf


class _Message:
    __slots__ = ("number", "of", "resource", "span")

    def __init__(self, span: OtelSpan, resource: Resource, of: tuple[int, int], number: int) -> None:
        self.span, self.resource, self.of, self.number = span, resource, of, number

    @property
    def place(self) -> str:
        return "resourceSpans[{}].scopeSpans[{}].spans[{}]".format(*self.of, self.number)

    @property
    def name(self) -> str:
        return f"span {self.span.span_id.hex()} of trace {self.span.trace_id.hex()}"

    @property
    def item(self) -> bytes:
        alone = ResourceSpans(resource=self.resource, scope_spans=[ScopeSpans(spans=[self.span])])
        return bytes(ExportTraceServiceRequest(resource_spans=[alone]).SerializeToString())


def from_protobuf(body: bytes) -> Read:
    """Raises BodyUnreadable."""
    try:
        request = ExportTraceServiceRequest.FromString(body)
    except DecodeError as error:
        raise BodyUnreadable(f"the body is not an ExportTraceServiceRequest: {shortened(error)}") from error
    read = Read()
    for resource, of_resource in enumerate(request.resource_spans):
        service = _named(_texts(of_resource.resource.attributes, _NAMES))
        for scope, of_scope in enumerate(of_resource.scope_spans):
            at = (resource, scope)
            for number, span in enumerate(of_scope.spans):
                original = _Message(span, of_resource.resource, at, number)
                try:
                    read.spans.append(_span_of(span, service, original))
                except _Misfit as error:
                    read.rejected.append(RejectedSpan(service, original.place, str(error), original.item))
    return read


def _span_of(span: OtelSpan, service: Service, original: _Message) -> Span:
    trace, id_, parent, kind = span.trace_id, span.span_id, span.parent_span_id, span.kind
    if len(trace) != 16 or len(id_) != 8 or trace == _NO_TRACE or id_ == _NO_SPAN:
        raise _Misfit(_no_ids(trace.hex(), id_.hex()))
    start = span.start_time_unix_nano
    above = span_id(trace, parent) if parent else 0
    if kind == CONSUMER:
        links = span.links
        if len(links) == 1:
            above = span_id(links[0].trace_id, links[0].span_id)
    took = span.end_time_unix_nano - start
    return Span(
        span_id(trace, id_),
        above,
        kind,
        service,
        start // 1000,
        took // 1000 if took >= 0 else None,
        _texts(span.attributes, WANTED) if kind > INTERNAL else _NOTHING,
        span.status.code == _ERROR,
        original,
    )


def _texts(given: Iterable[KeyValue], wanted: frozenset[str]) -> dict[str, str]:
    """Texts and whole numbers, as text."""
    texts = {}
    for each in given:
        if (key := each.key) in wanted:
            value = each.value
            if text := value.string_value:
                texts[key] = text
            elif value.HasField("int_value"):
                texts[key] = str(value.int_value)
    return texts


# JSON


@dataclass(frozen=True, slots=True)
class _Object:
    span: Any
    resource: object
    place: str

    @property
    def name(self) -> str:
        return f"span {self.span['spanId']} of trace {self.span['traceId']}"

    @property
    def item(self) -> bytes:
        alone = {"resource": self.resource, "scopeSpans": [{"spans": [self.span]}]}
        return orjson.dumps({"resourceSpans": [alone]})


def from_json(body: bytes) -> Read:
    """Ids are in hexadecimal digits, where protobuf's own JSON has base64. Raises BodyUnreadable."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BodyUnreadable(f"the body is not JSON: {shortened(error)}") from error
    if not isinstance(document, dict):
        raise BodyUnreadable("the body is not a JSON object with `resourceSpans`")
    read = Read()
    for of_resource, at_resource in _objects(document, "resourceSpans", ""):
        service = _service(of_resource.get("resource"), f"{at_resource}.resource")
        for of_scope, at_scope in _objects(of_resource, "scopeSpans", at_resource):
            for given, place in _items(of_scope, "spans", at_scope):
                original = _Object(given, of_resource.get("resource"), place)
                try:
                    if not isinstance(given, dict):
                        raise _Misfit(f"it is {shortened(repr(given))}, not an object")
                    read.spans.append(_span(given, service, original))
                except _Misfit as error:
                    read.rejected.append(RejectedSpan(service, place, str(error), original.item))
    return read


def _service(resource: object, place: str) -> Service:
    if not isinstance(resource, dict | None):
        raise BodyUnreadable(f"{place} is {shortened(repr(resource))}, not an object")
    try:
        return _named(_attributes(resource or {}, _NAMES))
    except _Misfit as error:
        raise BodyUnreadable(f"{place}: {error}") from error


def _span(given: dict[str, Any], service: Service, original: "_Object") -> Span:
    trace, id_ = _id(given, "traceId", 16), _id(given, "spanId", 8)
    if not any(trace) or not any(id_):
        raise _Misfit(_no_ids(given["traceId"], given["spanId"]))
    parent = given.get("parentSpanId")
    above = span_id(trace, _id(given, "parentSpanId", 8)) if parent else 0
    kind = _number(given, "kind", _KINDS)
    if kind == CONSUMER:
        links = [link for link, _ in _objects_of(given, "links")]
        if len(links) == 1:
            above = span_id(_id(links[0], "traceId", 16), _id(links[0], "spanId", 8))
    start, end = _number(given, "startTimeUnixNano"), _number(given, "endTimeUnixNano")
    status = given.get("status")
    if not isinstance(status, dict | None):
        raise _Misfit(f"status is {shortened(repr(status))}, not an object")
    return Span(
        span_id(trace, id_),
        above,
        kind,
        service,
        start // 1000,
        (end - start) // 1000 if end >= start else None,
        _attributes(given, WANTED) if kind > INTERNAL else _NOTHING,
        _number(status or {}, "code", _CODES) == _ERROR,
        original,
    )


_KINDS = dict(OtelSpan.SpanKind.items())
_CODES = dict(Status.StatusCode.items())


def _items(of: Mapping[str, Any], name: str, at: str) -> Iterator[tuple[object, str]]:
    """The items of a list, each with its place. Raises BodyUnreadable."""
    place = f"{at}.{name}" if at else name
    given = of.get(name)
    if not isinstance(given, list | None):
        raise BodyUnreadable(f"{place} is {shortened(repr(given))}, not a list")
    return ((each, f"{place}[{number}]") for number, each in enumerate(given or ()))


def _objects(of: Mapping[str, Any], name: str, at: str) -> Iterator[tuple[dict[str, Any], str]]:
    for each, place in _items(of, name, at):
        if not isinstance(each, dict):
            raise BodyUnreadable(f"{place} is {shortened(repr(each))}, not an object")
        yield each, place


def _objects_of(span: Mapping[str, Any], name: str) -> list[tuple[dict[str, Any], str]]:
    """Those in a span, which alone is at fault."""
    try:
        return [*_objects(span, name, "")]
    except BodyUnreadable as error:
        raise _Misfit(str(error)) from error


def _attributes(of: Mapping[str, Any], wanted: frozenset[str]) -> dict[str, str]:
    found = {}
    for each, place in _objects_of(of, "attributes"):
        key, value = each.get("key"), each.get("value")
        if not isinstance(key, str) or key not in wanted or value is None:
            continue
        if not isinstance(value, dict):
            raise _Misfit(f"{place}.value is {shortened(repr(value))}, not an object like {{stringValue: …}}")
        if isinstance(text := value.get("stringValue"), str):
            found[key] = text
        elif "intValue" in value:
            found[key] = str(_number(value, "intValue", signed=True))
        elif text is not None:
            raise _Misfit(f"{place}.value.stringValue is {shortened(repr(text))}, not a text")
    return found


def _id(of: Mapping[str, Any], name: str, size: int) -> bytes:
    given = of.get(name)
    try:
        if isinstance(given, str) and len(given) == 2 * size:
            return bytes.fromhex(given)
    except ValueError:
        pass
    raise _Misfit(f"{name} {shortened(repr(given))} is not {2 * size} hexadecimal digits")


def _number(of: Mapping[str, Any], name: str, words: Mapping[str, int] | None = None, signed: bool = False) -> int:
    """A whole number, which JSON may hold as text; 0 when it is not there. `words` may stand for numbers."""
    given = of.get(name)
    if given is None:
        return 0
    number = given
    if isinstance(given, str):
        if words and given in words:
            return words[given]
        digits = given.removeprefix("-") if signed else given
        number = int(given) if digits.isascii() and digits.isdecimal() and len(digits) <= 20 else None
    if isinstance(number, bool) or not isinstance(number, int) or abs(number) > _LARGEST or (number < 0 and not signed):
        raise _Misfit(f"{name} is {shortened(repr(given))}, not a whole number")
    return number


def _no_ids(trace: str, span: str) -> str:
    return f"the ids {shortened(trace)!r} and {shortened(span)!r} are not a trace's and a span's"
