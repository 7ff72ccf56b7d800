"""What exporters of OpenTelemetry traces tell, and how they are answered."""

import asyncio
import base64
import gzip
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from google.protobuf.json_format import MessageToDict
from hypothesis import given
from hypothesis import strategies as some
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Status
from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send

from app.compose import furnish, now
from app.events import GATEWAY, Caller, Sighting
from app.hosting import Hosted
from app.identity import OpenTokens
from app.intake import traces
from app.intake.otlp import BodyUnreadable, from_json, from_protobuf
from app.intake.traces import Traces
from app.main import create_app
from app.metrics import Metrics
from app.service import Headwater
from app.settings import Settings
from app.sources.sources import Sources
from app.spans import Span
from app.watching.watch import Watch
from graph.errors import StoreUnavailable
from graph.index import LineageIndex
from graph.model import Basis
from graph.stores.contract import SeenSpans, ToldSpans
from graph.stores.sqlite import SqliteStore
from graph.usage import Latency
from tests.saying import key, say

pytestmark = pytest.mark.anyio

SCORES, SERVED = key("deployment:risk/scores"), key("deployment:risk/served")
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
INFER = "http://kserve.example:8080/v2/models/scores/infer"
JSON, PROTOBUF = "application/json", "application/x-protobuf"


class Store(SqliteStore):
    away = False

    def count_spans(self, usages: Any, counter: str, sequence: int, told: ToldSpans) -> list[SeenSpans]:
        if self.away:
            raise StoreUnavailable("the store is away")
        return super().count_spans(usages, counter, sequence, told)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "lineage.db")
    say(store, SCORES, key("deployment:one/twin"), key("deployment:two/twin"), now=now())
    say(store, SERVED, origin=GATEWAY, basis=Basis.OBSERVED, now=now())
    yield store
    store.close()


@pytest.fixture
def watch() -> Watch:
    return Watch(now, [], Metrics())


@pytest.fixture
def room(watch: Watch) -> Traces:
    return Traces(watch, Sources(now, Metrics()), now)


@pytest.fixture
def headwater(store: Store) -> Headwater:
    index = LineageIndex(store)
    index.load()
    return Headwater(store, index, now)


@pytest.fixture
async def http(headwater: Headwater, room: Traces) -> AsyncIterator[httpx.AsyncClient]:
    routed = Starlette(routes=room.routes())

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope.setdefault("state", {})["headwater"] = headwater
        await routed(scope, receive, send)

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost:8321") as client:
        yield client


def span(url: str | None = INFER, *, id_: str = SPAN, at: int | None = None, **fields: object) -> dict[str, object]:
    """As OTLP's JSON has it; `attributes` beside the URL."""
    start = now() if at is None else at
    more = fields.pop("attributes", {})
    assert isinstance(more, dict)
    told = [
        {"key": name, "value": {"stringValue": value} if isinstance(value, str) else {"intValue": str(value)}}
        for name, value in ({**({"url.full": url} if url else {}), **more}).items()
    ]
    return {
        "traceId": TRACE,
        "spanId": id_,
        "name": "POST",
        "kind": 3,
        "startTimeUnixNano": str(start * 1000),
        "attributes": told,
        "newField": 1,
        **fields,
    }


def export(*spans: dict[str, object], **resource: str) -> dict[str, object]:
    """`resource` by the last word of `service.name` and `service.namespace`."""
    named = [{"key": f"service.{word}", "value": {"stringValue": value}} for word, value in resource.items()]
    return {"resourceSpans": [{"resource": {"attributes": named}, "scopeSpans": [{"spans": list(spans)}]}]}


def protobuf(document: dict[str, Any]) -> bytes:
    """The same, built field by field as an exporter does."""
    request = ExportTraceServiceRequest()
    for of_resource in document["resourceSpans"]:
        resource_spans = request.resource_spans.add()
        for named in of_resource["resource"]["attributes"]:
            resource_spans.resource.attributes.add(key=named["key"]).value.string_value = named["value"]["stringValue"]
        scope = resource_spans.scope_spans.add()
        for told in of_resource["scopeSpans"][0]["spans"]:
            one = scope.spans.add(
                trace_id=bytes.fromhex(told["traceId"]),
                span_id=bytes.fromhex(told["spanId"]),
                kind=told["kind"],
                start_time_unix_nano=int(told["startTimeUnixNano"]),
            )
            for attribute in told["attributes"]:
                value = one.attributes.add(key=attribute["key"]).value
                if "intValue" in attribute["value"]:
                    value.int_value = int(attribute["value"]["intValue"])
                else:
                    value.string_value = attribute["value"]["stringValue"]
    return bytes(request.SerializeToString())


async def post(http: httpx.AsyncClient, document: dict[str, Any], form: str = JSON) -> dict[str, Any]:
    """The answer, in JSON's form whatever was spoken. Asked in `form`, answered in `form`."""
    body = json.dumps(document).encode() if form == JSON else protobuf(document)
    response = await http.post("/v1/traces", content=body, headers={"Content-Type": form})
    assert (response.status_code, response.headers["content-type"]) == (200, form)
    answer: dict[str, Any] = (
        response.json() if form == JSON else MessageToDict(ExportTraceServiceResponse.FromString(response.content))
    )
    return answer


def counted(store: Store, deployment: str = "risk/scores") -> dict[str | None, tuple[int, int]]:
    return {
        usage.reader and str(usage.reader): (usage.calls, usage.errors)
        for usage in store.usage([key(f"deployment:{deployment}")], 0)
    }


# Calls that another server answered


@pytest.mark.parametrize("form", [JSON, PROTOBUF])
async def test_a_service_that_asked_a_model_elsewhere_is_a_claimed_consumer_once_the_answer_is_there(
    http: httpx.AsyncClient, store: Store, headwater: Headwater, form: str
) -> None:
    at = now() - 5_000_000
    failing = {"http.response.status_code": 503}
    document = export(span(at=at), span(id_="a" * 16, attributes=failing), name="checkout", namespace="shop")
    assert await post(http, document, form) == {}
    assert counted(store) == {"consumer:shop/checkout": (2, 1)}
    assert str(key("consumer:shop/checkout")) in headwater.index.view().numbers
    (said,) = store.believed([key("consumer:shop/checkout")]).values()
    assert [(each.origin, each.valid.start) for each in said] == [("gateway:claimed", at)]


async def test_spans_that_are_sent_again_count_once(http: httpx.AsyncClient, store: Store) -> None:
    document = export(span(), span(), name="checkout")
    await post(http, document)
    await post(http, document, PROTOBUF)
    assert counted(store) == {"consumer:default/checkout": (1, 0)}


@pytest.mark.parametrize(
    ("url", "attributes"),
    [
        ("https://host/prefix/v2/models/scores/versions/7/infer?trace=1", {}),
        (None, {"http.url": INFER}),
        (None, {"server.address": "kserve.example", "url.path": "/v2/models/scores/infer"}),
        (None, {"http.target": "/v2/models/%73cores/infer"}),
    ],
)
async def test_a_model_is_known_by_the_path_of_the_request(
    http: httpx.AsyncClient, store: Store, url: str | None, attributes: dict[str, object]
) -> None:
    await post(http, export(span(url, attributes=attributes), name="checkout"))
    assert counted(store) == {"consumer:default/checkout": (1, 0)}


@pytest.mark.parametrize(
    "one",
    [
        span(kind=1),
        span(kind="SPAN_KIND_UNSPECIFIED"),
        span("http://host/v2/models/scores"),
        span("http://host/v2/models/unknown/infer"),
        span("http://host/v2/models/%ff/infer"),
        span("http://[/v2/models/scores/infer"),
        span("http://localhost/v2/models/served/infer"),
        span(None),
    ],
)
async def test_all_other_spans_are_taken_and_left_alone(
    http: httpx.AsyncClient, store: Store, one: dict[str, object]
) -> None:
    before = store.head()
    assert await post(http, export(one, name="checkout")) == {}
    assert (store.head(), counted(store), counted(store, "risk/served")) == (before, {}, {})


@pytest.mark.parametrize("resource", [{}, {"name": "unknown_service:java"}])
async def test_a_service_without_a_name_is_unidentified(
    http: httpx.AsyncClient, store: Store, resource: dict[str, str]
) -> None:
    answer = await post(http, export(span(kind="SPAN_KIND_CLIENT"), **resource))
    assert answer["partialSuccess"].keys() == {"errorMessage"}, "a warning"
    assert "1 calls are of a resource without service.name" in answer["partialSuccess"]["errorMessage"]
    assert counted(store) == {None: (1, 0)}


async def test_a_server_alone_tells_of_calls_by_nobody_known(http: httpx.AsyncClient, store: Store) -> None:
    assert await post(http, export(span(kind="SPAN_KIND_SERVER"), name="scorer")) == {}
    assert counted(store) == {None: (1, 0)}


@pytest.mark.parametrize(
    ("fields", "failed"),
    [
        ({"status": {"code": 2}}, 1),
        ({"status": {"code": "STATUS_CODE_ERROR"}}, 1),
        ({"status": {"code": Status.STATUS_CODE_ERROR}, "attributes": {"http.response.status_code": 422}}, 0),
        ({"attributes": {"http.status_code": 500}}, 1),
        ({"attributes": {"http.response.status_code": "none"}}, 0),
    ],
)
async def test_a_call_failed_when_the_server_did(
    http: httpx.AsyncClient, store: Store, fields: dict[str, Any], failed: int
) -> None:
    await post(http, export(span(**fields), name="checkout"))
    assert counted(store) == {"consumer:default/checkout": (1, failed)}


# Calls that this service answered


@pytest.mark.parametrize("form", [JSON, PROTOBUF])
async def test_the_trace_of_an_unidentified_caller_tells_who_it_was(
    http: httpx.AsyncClient, store: Store, headwater: Headwater, watch: Watch, form: str
) -> None:
    watch.saw(Sighting(SERVED, Caller(None, span=(TRACE, SPAN)), now()))
    await watch.settled(headwater)
    assert counted(store, "risk/served") == {None: (1, 0)}
    url = "http://localhost:8321/v2/models/served/infer"
    for _ in range(2):
        await post(http, export(span(url), name="checkout", namespace="shop"), form)
    assert counted(store, "risk/served") == {"consumer:shop/checkout": (1, 0)}


# What cannot be used


@pytest.mark.parametrize("form", [JSON, PROTOBUF])
async def test_what_cannot_be_used_is_said_and_the_rest_is_kept(
    http: httpx.AsyncClient, store: Store, form: str
) -> None:
    hour = 3_600_000_000
    document = export(
        span(),
        span(id_="1" * 16, at=now() + hour),
        span(id_="2" * 16, at=now() - 49 * hour),
        span(INFER.replace("scores", "twin"), id_="3" * 16),
        span(id_="0" * 16),
        name="checkout",
    )
    answer = await post(http, document, form)
    assert answer["partialSuccess"]["rejectedSpans"] == "4"
    reasons = answer["partialSuccess"]["errorMessage"]
    for reason in (
        "ahead of the clock",
        "48 hours ago",
        "deployment:one/twin, deployment:two/twin",
        "'0000000000000000'",
    ):
        assert reason in reasons
    assert counted(store) == {"consumer:default/checkout": (1, 0)}


async def test_an_id_that_is_none_is_shown_with_its_place(http: httpx.AsyncClient, store: Store) -> None:
    base64_id = base64.b64encode(bytes.fromhex(TRACE)).decode()
    answer = await post(http, export(span(traceId=base64_id), span(), span(spanId=7), name="checkout"))
    assert answer["partialSuccess"] == {
        "rejectedSpans": "2",
        "errorMessage": f"resourceSpans[0].scopeSpans[0].spans[0]: traceId {base64_id!r} is not 32 hexadecimal digits; "
        "resourceSpans[0].scopeSpans[0].spans[2]: spanId 7 is not 16 hexadecimal digits",
    }
    assert counted(store) == {"consumer:default/checkout": (1, 0)}


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"startTimeUnixNano": "soon"}, "startTimeUnixNano is 'soon', not a whole number"),
        ({"startTimeUnixNano": -1}, "startTimeUnixNano is -1, not a whole number"),
        ({"startTimeUnixNano": True}, "startTimeUnixNano is True, not a whole number"),
        ({"endTimeUnixNano": 1.5}, "endTimeUnixNano is 1.5, not a whole number"),
        ({"startTimeUnixNano": str(2**64)}, "startTimeUnixNano is '18446744073709551616', not a whole number"),
        ({"kind": "CLIENT"}, "kind is 'CLIENT', not a whole number"),
        ({"status": {"code": []}}, "code is [], not a whole number"),
        ({"status": 2}, "status is 2, not an object"),
        ({"parentSpanId": "ab"}, "parentSpanId 'ab' is not 16 hexadecimal digits"),
        ({"kind": 5, "links": [{"traceId": TRACE}]}, "spanId None is not 16 hexadecimal digits"),
        ({"kind": 5, "links": 1}, "links is 1, not a list"),
        ({"spanId": "0" * 16}, f"the ids '{TRACE}' and '0000000000000000' are not a trace's and a span's"),
    ],
)
async def test_a_value_of_a_wrong_type_costs_that_span_alone(
    http: httpx.AsyncClient, store: Store, wrong: dict[str, Any], says: str
) -> None:
    answer = await post(http, export(span(), span(id_="b" * 16) | wrong, span(id_="c" * 16), name="checkout"))
    assert answer["partialSuccess"] == {
        "rejectedSpans": "1",
        "errorMessage": f"resourceSpans[0].scopeSpans[0].spans[1]: {says}",
    }
    assert counted(store) == {"consumer:default/checkout": (2, 0)}


def test_what_is_rejected_is_kept_as_it_came_with_who_sent_it() -> None:
    wrong = span(id_="0" * 16)
    (as_json,) = from_json(json.dumps(export(span(), wrong, name="checkout")).encode()).rejected
    (as_protobuf,) = from_protobuf(protobuf(export(span(), wrong, name="checkout"))).rejected
    alone = export(wrong, name="checkout")
    assert (as_json.place, json.loads(as_json.item)) == ("resourceSpans[0].scopeSpans[0].spans[1]", alone)
    assert (as_protobuf.place, as_protobuf.item) == (as_json.place, protobuf(alone))


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"{", "not JSON"),
        (b"[]", "not a JSON object"),
        (b'{"resourceSpans": {}}', "resourceSpans is {}, not a list"),
        (b'{"resourceSpans": [{"scopeSpans": [1]}]}', "resourceSpans[0].scopeSpans[0] is 1, not an object"),
        (b'{"resourceSpans": [{"resource": 1}]}', "resourceSpans[0].resource is 1, not an object"),
        (b'{"resourceSpans": [{"resource": {"attributes": 1}}]}', "resourceSpans[0].resource: attributes is 1"),
        (b"[" * 900 + b"]" * 900, "not a JSON object"),
        (b"\xff", "not JSON"),
    ],
    ids=lambda value: value if isinstance(value, str) else "body",  # some hold the time
)
async def test_a_body_that_is_no_export_is_a_400_that_says_where(
    http: httpx.AsyncClient, body: bytes, says: str
) -> None:
    response = await http.post("/v1/traces", content=body, headers={"Content-Type": JSON})
    assert response.status_code == 400, response.text
    assert response.json()["code"] == 3
    assert says in response.json()["message"]


WORDS = ["resourceSpans", "scopeSpans", "spans", "resource", "attributes", "key", "value", "stringValue", "arrayValue"]
WORDS += ["bytesValue", "intValue", "kind", "traceId", "spanId", "startTimeUnixNano", "status", "code", "@type"]
ANYTHING = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats() | some.text() | some.just(3) | some.just(TRACE),
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.sampled_from(WORDS), inner, max_size=5),
)


@given(ANYTHING, some.sampled_from(["", "spans", "span"]))
def test_hostile_bodies_are_read_or_refused(body: object, within: str) -> None:
    if within == "span":
        body = {**span(), **body} if isinstance(body, dict) else [body]
    document = {"resourceSpans": [{"scopeSpans": [{"spans": [body]}]}]} if within else body
    with suppress(BodyUnreadable):
        from_json(json.dumps(document).encode())


@given(some.binary() | some.binary().map(lambda inner: b"\x0a" + bytes([len(inner) % 128]) + inner))
def test_hostile_protobuf_is_read_or_refused(body: bytes) -> None:
    with suppress(BodyUnreadable):
        from_protobuf(body)


async def test_a_body_that_is_no_protobuf_is_a_400_in_protobuf(http: httpx.AsyncClient) -> None:
    response = await http.post("/v1/traces", content=b"\x0a\xff", headers={"Content-Type": PROTOBUF})
    assert (response.status_code, response.headers["content-type"]) == (400, PROTOBUF)
    assert response.content[:3] == b"\x08\x03\x12"  # google.rpc.Status: field 1 is the code, field 2 the message
    assert b"not an ExportTraceServiceRequest" in response.content


@pytest.mark.parametrize("form", ["text/plain", "application/grpc", ""])
async def test_other_content_types_are_refused(http: httpx.AsyncClient, form: str) -> None:
    response = await http.post("/v1/traces", content=b"{}", headers={"Content-Type": form})
    assert response.status_code == 415
    assert "application/x-protobuf" in response.text


async def test_an_exporter_is_told_to_come_again_while_nothing_can_be_kept_and_then_counts_once(
    http: httpx.AsyncClient, store: Store
) -> None:
    document = export(span(), name="checkout")
    store.away = True
    refused = await http.post("/v1/traces", json=document)
    assert (refused.status_code, refused.headers["retry-after"], refused.json()["code"]) == (503, "1", 14)
    store.away = False
    await post(http, document)
    assert counted(store) == {"consumer:default/checkout": (1, 0)}


async def test_too_much_at_a_time_is_told_to_come_again(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(traces, "MOST_REQUESTS", 0)
    refused = await http.post("/v1/traces", json=export(span()))
    assert (refused.status_code, refused.headers["retry-after"], refused.json()["code"]) == (503, "1", 14)


async def test_exports_that_come_at_once_are_written_together(http: httpx.AsyncClient, store: Store) -> None:
    documents = [export(span(id_=f"{number:016x}"), name=f"service-{number % 7}") for number in range(1, 101)]
    await asyncio.gather(*(post(http, each, PROTOBUF) for each in documents))
    assert sum(calls for calls, _ in counted(store).values()) == 100
    assert store.last_seen_spans() < 100


async def test_a_span_that_is_sent_again_after_a_restart_counts_once(
    http: httpx.AsyncClient, headwater: Headwater, store: Store
) -> None:
    document = export(span(at=now() - 3_600_000_000), span(id_="a" * 16), name="checkout")
    await post(http, document)
    again = from_json(json.dumps(document).encode()).spans
    await Watch(now, [], Metrics()).told(headwater, again)
    assert counted(store) == {"consumer:default/checkout": (2, 0)}


@pytest.mark.parametrize("form", [JSON, PROTOBUF])
async def test_exports_come_packed_and_are_bounded_unpacked(
    headwater: Headwater, store: Store, tmp_path: Path, form: str
) -> None:
    settings = Settings(data=tmp_path)
    app = create_app(Hosted(headwater), OpenTokens(), settings, furnish(settings, now, Metrics()))
    document = export(
        *(span(id_=f"{number:016x}", attributes={"x": "y" * 3_000}) for number in range(1, 501)), name="a"
    )
    body = json.dumps(document).encode() if form == JSON else protobuf(document)
    assert len(body) > settings.max_body_bytes, "an export may be larger than other requests"
    headers = {"Content-Type": form, "Content-Encoding": "gzip"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost:8321") as client:
        taken = await client.post("/v1/traces", content=gzip.compress(body), headers=headers)
        bomb = await client.post("/v1/traces", content=gzip.compress(bytes(traces.MAX_BYTES + 1)), headers=headers)
        broken = await client.post("/v1/traces", content=body, headers=headers)
    assert (taken.status_code, bomb.status_code, broken.status_code) == (200, 413, 400)
    assert counted(store) == {"consumer:default/a": (500, 0)}


async def test_how_long_a_call_took_is_kept(http: httpx.AsyncClient, store: Store) -> None:
    at = now()
    await post(http, export(span(at=at, endTimeUnixNano=str((at + 20_000) * 1000)), span(id_="a" * 16, at=at)))
    (usage,) = store.usage([SCORES], 0)
    assert usage.latency == Latency.of(20_000)


def test_both_forms_say_the_same() -> None:
    document = export(
        *(span(id_=f"{number:016x}", kind=number, attributes={"server.port": 8080}) for number in range(1, 6)),
        name="checkout",
        namespace="shop",
    )
    as_json, as_protobuf = from_json(json.dumps(document).encode()), from_protobuf(protobuf(document))
    assert [plain(each) for each in as_json.spans] == [plain(each) for each in as_protobuf.spans]
    assert [each.original.name for each in as_json.spans] == [each.original.name for each in as_protobuf.spans]


def plain(span: Span) -> Span:
    return replace(span, original=None, microseconds=None)  # type: ignore[arg-type]  # protobuf() writes no end
