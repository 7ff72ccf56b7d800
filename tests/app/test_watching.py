"""Who is told to have called, and what the graph and its measures then say."""

import asyncio
import random
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as some
from starlette.requests import HTTPConnection

from app.compose import furnish
from app.events import CLAIMED, GATEWAY, VERIFIED, Caller, Sighting
from app.graphql.usage import summary
from app.hosting import Hosted
from app.identity import Kind, OpenTokens, Principal, Role
from app.main import create_app
from app.metrics import Metrics
from app.service import Headwater
from app.settings import Settings
from app.spans import CLIENT, SERVER, Service, Span, span_id
from app.watching import watch as watching
from app.watching.traced import Reading
from app.watching.watch import Watch
from graph.changes import Registration, Withdrawal
from graph.errors import StoreUnavailable
from graph.index import LineageIndex
from graph.keys import AssetKey
from graph.model import Basis, Flow
from graph.stores.contract import SeenSpans, ToldSpans
from graph.stores.sqlite import SqliteStore
from graph.time import DAY as A_DAY
from graph.time import Instant
from graph.usage import Usage
from tests.saying import asset, flow, key, say

pytestmark = pytest.mark.anyio

T = TypeVar("T")

DAY = 20_000
NOON: Instant = DAY * A_DAY + A_DAY // 2
SECOND = 1_000_000
SCORES, OTHER = key("deployment:risk/scores"), key("deployment:risk/other")
CHECKOUT = key("consumer:shop/checkout")
AGENTS = (r"(?P<name>[a-z-]+)-svc/.*", r"(?P<namespace>[a-z]+)\.(?P<name>[A-Za-z-]+)/\d.*")
SPAN = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7")
TRACEPARENT = f"00-{SPAN[0]}-{SPAN[1]}-01"


class Clock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> Instant:
        return self.now


class FlakyStore(SqliteStore):
    """`lost` answers of `count` never arrive; `away` does nothing at all."""

    lost = 0
    away = False

    def count(self, usages: Any, counter: str, sequence: int) -> bool:
        return self._flaky(lambda: super(FlakyStore, self).count(usages, counter, sequence))

    def count_spans(self, usages: Any, counter: str, sequence: int, told: ToldSpans) -> list[SeenSpans]:
        return self._flaky(lambda: super(FlakyStore, self).count_spans(usages, counter, sequence, told))

    def _flaky(self, work: Callable[[], T]) -> T:
        if self.away:
            raise StoreUnavailable("away")
        counted = work()
        if self.lost:
            self.lost -= 1
            raise StoreUnavailable("the answer was lost")
        return counted


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FlakyStore]:
    store = FlakyStore(tmp_path / "lineage.db")
    yield store
    store.close()


@pytest.fixture
def headwater(store: FlakyStore, clock: Clock) -> Headwater:
    say(store, SCORES, OTHER, key("model:risk/fraud"), flow("model:risk/fraud", str(SCORES)), now=NOON - 9 * SECOND)
    index = LineageIndex(store)
    index.load()
    return Headwater(store, index, clock)


def a_watch(clock: Clock) -> Watch:
    return Watch(clock, [re.compile(pattern) for pattern in AGENTS], Metrics())


@pytest.fixture
def watch(clock: Clock) -> Watch:
    return a_watch(clock)


def request(*headers: tuple[str, str], principal: Principal | None = None) -> HTTPConnection:
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    return HTTPConnection({"type": "http", "headers": raw, "state": {"principal": principal} if principal else {}})


def call(
    reader: AssetKey | None = CHECKOUT,
    at: Instant = NOON,
    *,
    source: AssetKey = SCORES,
    verified: bool = False,
    failed: bool = False,
    span: tuple[str, str] | None = None,
) -> Sighting:
    return Sighting(source, Caller(reader, verified, span), at, failed)


def counted(store: FlakyStore) -> dict[tuple[str | None, bool], tuple[int, int]]:
    """Calls and errors at the deployment by reader, over all days."""
    found: dict[tuple[str | None, bool], tuple[int, int]] = {}
    for usage in store.usage([SCORES], 0):
        place = usage.reader and usage.reader.name, usage.verified
        calls, errors = found.get(place, (0, 0))
        found[place] = calls + usage.calls, errors + usage.errors
    return found


# Who


@pytest.mark.parametrize(
    ("headers", "consumer"),
    [
        (["baggage: service.name=checkout"], "consumer:default/checkout"),
        (["baggage: service.namespace=shop , service.name = checkout;sampled;k=v,x=1"], "consumer:shop/checkout"),
        (["baggage: service.name=checkout", "baggage: service.namespace=shop"], "consumer:shop/checkout"),
        (["baggage: service.name=caf%C3%A9", "user-agent: cart-svc/1"], "consumer:default/caf%C3%A9"),
        (["baggage: service.name=a%2Fb,service.namespace="], "consumer:default/a%2Fb"),
        (["user-agent: cart-svc/1.2 python-httpx/0.28"], "consumer:default/cart"),
        (["user-agent: shop.cart/1.2"], "consumer:shop/cart"),
        (["baggage: service.name=unknown_service:python", "user-agent: cart-svc/1"], "consumer:default/cart"),
        # What names nobody
        (["baggage: service.name=unknown_service"], None),
        (["baggage: service.name="], None),
        (["baggage: user=checkout; service.name=checkout"], None),
        (["baggage: service.name=a%FFb"], None),
        (["baggage: service.name=checkout,service.namespace=%FF"], None),
        (["baggage: service.name=a%00b"], None),
        (["baggage: service.name=%20checkout"], None),
        (["baggage: service.name=check%E2%80%8Bout"], None),
        (["baggage: service.name=caf\xe9"], None),
        ([f"baggage: service.name={'x' * 1025}"], None),
        ([f"baggage: filler={'x' * 8192}", "baggage: service.name=checkout"], None),
        (["user-agent: checkout/1.0"], None),
        (["user-agent: tools.python-httpx/0.28"], None),
        (["user-agent: tools.Go-http-client/1.1"], None),
        (["user-agent: kube-probe-svc/1.29"], None),
        (["user-agent: curl-svc/8"], None),
        (["user-agent: Mozilla/5.0 (X11; Linux x86_64) cart-svc/1"], None),
        ([f"user-agent: cart-svc/{'x' * 600}"], None),
    ],
)
def test_a_claimed_name_comes_from_baggage_else_from_a_configured_agent(
    watch: Watch, headers: list[str], consumer: str | None
) -> None:
    connection = request(*(tuple(header.split(": ", 1)) for header in headers))  # type: ignore[arg-type]
    caller = watch.caller(connection)
    assert (caller.key and str(caller.key), caller.verified) == (consumer, False)


@pytest.mark.parametrize(
    "agent",
    [
        *("python-httpx/0.28", "python-requests/2.32", "curl/8.5", "Go-http-client/1.1", "okhttp/4.12"),
        *("Mozilla/5.0 (X11)", "kube-probe/1.29", "GoogleHC/1.0", "Prometheus/2.53", "ELB-HealthChecker/2.0"),
    ],
)
def test_no_pattern_makes_a_library_a_browser_or_a_probe_a_consumer(clock: Clock, agent: str) -> None:
    watch = Watch(clock, [re.compile("(?P<name>[^/]+)/.*")], Metrics())
    assert watch.caller(request(("user-agent", agent))) == Caller(None)
    assert watch.caller(request(("user-agent", "cart/1"))).key == key("consumer:default/cart")


@pytest.mark.parametrize(
    ("name", "consumer"),
    [("checkout", "consumer:default/checkout"), ("shop/check/out", "consumer:shop/check%2Fout"), ("/x", None)],
)
def test_a_token_bound_to_a_service_tells_who_it_is_whatever_its_headers_claim(
    watch: Watch, name: str, consumer: str | None
) -> None:
    principal = Principal(name, Kind.CONSUMER, Role.READER)
    caller = watch.caller(request(("baggage", "service.name=another"), principal=principal))
    assert (caller.key and str(caller.key), caller.verified) == (consumer, consumer is not None)


def test_a_persons_token_names_no_consumer(watch: Watch) -> None:
    ada = Principal("ada", Kind.PERSON, Role.OPERATOR)
    assert watch.caller(request(principal=ada)) == Caller(None)
    assert watch.caller(request(("baggage", "service.name=notebook"), principal=ada)).verified is False


@pytest.mark.parametrize(
    ("headers", "span"),
    [
        ([TRACEPARENT], SPAN),
        ([TRACEPARENT.replace("00-", "cc-", 1) + "-more"], SPAN),
        ([TRACEPARENT + "-more"], None),
        ([TRACEPARENT, TRACEPARENT], None),
        ([TRACEPARENT.upper()], None),
        ([TRACEPARENT.replace(SPAN[1], "0" * 16)], None),
        ([TRACEPARENT.replace("00-", "ff-", 1)], None),
    ],
)
def test_the_span_of_an_unidentified_caller_is_kept(
    watch: Watch, headers: list[str], span: tuple[str, str] | None
) -> None:
    assert watch.caller(request(*(("traceparent", header) for header in headers))) == Caller(None, span=span)


@given(
    some.lists(
        some.tuples(
            some.sampled_from(["baggage", "user-agent", "traceparent"]),
            some.text(some.characters(max_codepoint=255)) | some.from_regex(r"service\.name=[^,;]*(;|,).*"),
        )
    )
)
def test_hostile_headers_are_answered(headers: Sequence[tuple[str, str]]) -> None:
    latin = [(name, value.encode("latin-1", "replace").decode("latin-1")) for name, value in headers]
    a_watch(Clock()).caller(request(*latin))


# What becomes of it


async def test_a_first_call_is_one_revision_and_all_further_ones_none(
    watch: Watch, headwater: Headwater, store: FlakyStore, clock: Clock
) -> None:
    before = store.head()
    watch.saw(call(at=NOON - SECOND))
    watch.saw(call(failed=True))
    await watch.settled(headwater)
    assert store.head() == before + 1
    (said,) = store.believed([flow(str(SCORES), str(CHECKOUT))]).values()
    assert [(each.origin, each.basis, each.valid.start, dict(each.attributes)) for each in said] == [
        (CLAIMED, "OBSERVED", NOON - SECOND, {"verified": False})
    ]

    clock.now += SECOND
    watch.saw(call(at=clock.now))
    await watch.settled(headwater)
    restarted = a_watch(clock)
    restarted.saw(call(at=clock.now))
    await restarted.settled(headwater)
    assert store.head() == before + 1
    assert counted(store) == {("checkout", False): (4, 1)}
    assert store.check() == []


async def test_verified_and_claimed_calls_of_one_name_stay_apart(
    watch: Watch, headwater: Headwater, store: FlakyStore
) -> None:
    watch.saw(call())
    await watch.settled(headwater)
    watch.saw(call(verified=True))
    watch.saw(call(verified=True))
    await watch.settled(headwater)
    (said,) = store.believed([flow(str(SCORES), str(CHECKOUT))]).values()
    assert {each.origin: each.attributes["verified"] for each in said} == {VERIFIED: True, CLAIMED: False}
    assert counted(store) == {("checkout", False): (1, 0), ("checkout", True): (2, 0)}


async def test_an_unidentified_caller_is_counted_and_no_flow(
    watch: Watch, headwater: Headwater, store: FlakyStore
) -> None:
    before = store.head()
    watch.saw(call(None))
    await watch.settled(headwater)
    assert (store.head(), counted(store)) == (before, {(None, False): (1, 0)})


async def test_what_others_say_of_a_consumer_stays(watch: Watch, headwater: Headwater, store: FlakyStore) -> None:
    say(store, asset(str(CHECKOUT), consumer_type="dashboard"), now=NOON - SECOND, origin="sql", basis=Basis.INFERRED)
    await headwater.follow()
    watch.saw(call())
    watch.saw(call(key("consumer:shop/new")))
    await watch.settled(headwater)
    said = store.believed([CHECKOUT, key("consumer:shop/new")])
    mine = {str(k): dict(each.attributes) for k, told in said.items() for each in told if each.origin == CLAIMED}
    assert mine == {str(CHECKOUT): {}, "consumer:shop/new": {"consumer_type": "service"}}


async def test_a_hop_that_the_gateway_stated_comes_out_unchanged(
    watch: Watch, headwater: Headwater, store: FlakyStore
) -> None:
    hop = flow(str(OTHER), str(SCORES))
    say(store, hop, now=NOON - 5 * SECOND, origin=GATEWAY, basis=Basis.OBSERVED)
    await headwater.follow()
    before = store.head()
    watch.saw(call(SCORES, source=OTHER, verified=True))
    await watch.settled(headwater)
    assert store.head() == before
    assert [usage.reader for usage in store.usage([OTHER], 0)] == [SCORES]

    watch.saw(call(OTHER, source=SCORES, verified=True))  # one that it did not state yet
    await watch.settled(headwater)
    (said,) = store.believed([flow(str(SCORES), str(OTHER))]).values()
    assert [(each.origin, dict(each.attributes)) for each in said] == [(GATEWAY, {})]


async def test_a_flow_that_was_withdrawn_is_told_again_by_the_next_call(
    watch: Watch, headwater: Headwater, store: FlakyStore, clock: Clock
) -> None:
    watch.saw(call())
    await watch.settled(headwater)
    clock.now += 5 * SECOND
    gone = Registration(CLAIMED, Basis.OBSERVED, withdrawals=(Withdrawal(CHECKOUT),))
    await headwater.register(gone, None, "ada")
    watch.saw(call(at=clock.now + SECOND))
    await watch.settled(headwater)
    (said,) = store.believed([flow(str(SCORES), str(CHECKOUT))]).values()
    assert [each.valid.start for each in said] == [NOON, clock.now + SECOND]


async def test_calls_of_something_withdrawn_meanwhile_are_no_error(
    watch: Watch, headwater: Headwater, store: FlakyStore
) -> None:
    gone = key("deployment:risk/gone")
    watch.saw(call(source=gone))
    await watch.settled(headwater)
    assert [usage.calls for usage in store.usage([gone], 0)] == [1]


async def test_a_batch_whose_answer_was_lost_counts_once(watch: Watch, headwater: Headwater, store: FlakyStore) -> None:
    store.lost = 1
    watch.saw(call())
    with pytest.raises(StoreUnavailable):
        await watch.settled(headwater)
    watch.saw(call())
    await watch.settled(headwater)
    assert counted(store) == {("checkout", False): (2, 0)}


async def test_what_is_seen_while_the_store_is_away_is_kept(
    watch: Watch, headwater: Headwater, store: FlakyStore
) -> None:
    store.away = True
    for _ in range(3):
        watch.saw(call())
        with pytest.raises(StoreUnavailable):
            await watch.settled(headwater)
    store.away = False
    await watch.settled(headwater)
    assert counted(store) == {("checkout", False): (3, 0)}


async def test_made_up_names_cannot_flood_the_graph(
    watch: Watch, headwater: Headwater, store: FlakyStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "NEW_CLAIMS", 5)
    say(store, CHECKOUT, now=NOON)
    await headwater.follow()
    async with running(watch, headwater):
        for number in range(50):
            watch.saw(call(key(f"consumer:attack/{number}")))
        watch.saw(call(CHECKOUT))
        watch.saw(call(key("consumer:shop/bound"), verified=True))
        clock.now += A_DAY
        watch.saw(call(key("consumer:shop/tomorrow"), at=clock.now))
    named = {name for name, _ in counted(store) if name}
    assert named == {*map(str, range(5)), "checkout", "bound", "tomorrow"}
    assert counted(store)[None, False] == (45, 0)


async def test_what_was_seen_last_is_written_when_the_service_stops(
    watch: Watch, headwater: Headwater, store: FlakyStore
) -> None:
    async with running(watch, headwater):
        watch.saw(call())
    assert counted(store) == {("checkout", False): (1, 0)}
    assert CHECKOUT in {subject.target for subject in store.touching([SCORES]) if isinstance(subject, Flow)}


@asynccontextmanager
async def running(watch: Watch, headwater: Headwater) -> AsyncIterator[None]:
    task = asyncio.create_task(watch.run(headwater))
    await asyncio.sleep(0)  # it begins
    yield
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


# Spans


def span(service: str = "checkout", **fields: object) -> Span:
    """One of the service `shop/…`, whose id is that of SPAN."""
    given: dict[str, object] = {
        "id": SPAN_ID,
        "above": 0,
        "kind": CLIENT,
        "service": Service("shop", service),
        "start": NOON,
        "microseconds": 1_500,
        "attributes": {"url.full": "http://elsewhere.example/v2/models/unknown/infer"},
        "has_failed": False,
        "original": Original(),
    }
    return Span(**{**given, **fields})  # type: ignore[arg-type]


class Original:
    place, name, item = "spans[0]", "span a", b"{}"


SPAN_ID = span_id(*map(bytes.fromhex, SPAN))
ELSEWHERE = {"url.full": "http://models.example/v2/models/other/infer"}


@pytest.mark.parametrize("trace_comes_first", [False, True])
async def test_a_trace_names_the_caller_of_an_unidentified_call_before_or_after_it(
    watch: Watch, headwater: Headwater, store: FlakyStore, trace_comes_first: bool
) -> None:
    if trace_comes_first:
        await watch.told(headwater, [span()])
    for failed in (False, True):
        watch.saw(call(None, span=SPAN, failed=failed))
    watch.saw(call(None))
    if not trace_comes_first:
        await watch.settled(headwater)
        assert counted(store) == {(None, False): (3, 1)}
        await watch.told(headwater, [span()])
        await watch.told(headwater, [span()])
    await watch.settled(headwater)
    assert counted(store) == {(None, False): (1, 0), ("checkout", False): (2, 1)}
    assert str(CHECKOUT) in headwater.index.view().numbers


async def test_a_caller_is_named_after_a_restart_of_what_had_counted_its_calls(
    watch: Watch, headwater: Headwater, store: FlakyStore, clock: Clock
) -> None:
    watch.saw(call(None, span=SPAN))
    await watch.settled(headwater)
    await watch.told(headwater, [span(id=5, above=SPAN_ID, kind=SERVER, attributes=ELSEWHERE)])
    restarted = a_watch(clock)
    await restarted.told(headwater, [span(id=5, above=SPAN_ID, kind=SERVER, attributes=ELSEWHERE)])
    await restarted.told(headwater, [span()])
    assert counted(store) == {("checkout", False): (1, 0)}
    assert [(str(each.reader), each.calls) for each in store.usage([OTHER], 0)] == [(str(CHECKOUT), 1)]


async def test_a_span_counts_once_whichever_replica_it_is_sent_to(
    headwater: Headwater, store: FlakyStore, clock: Clock
) -> None:
    here, there = (Watch(clock, [], Metrics(), recorder=name) for name in ("here", "there"))
    one, other = span(attributes=ELSEWHERE), span("cart", id=7, attributes=ELSEWHERE)
    await here.told(headwater, [])
    await there.told(headwater, [one])
    await here.told(headwater, [one, other])
    await there.told(headwater, [other])
    assert {str(each.reader): each.calls for each in store.usage([OTHER], 0)} == {
        "consumer:shop/checkout": 1,
        "consumer:shop/cart": 1,
    }


async def test_an_exporter_that_hangs_up_loses_nothing_and_may_come_again(
    watch: Watch, headwater: Headwater, store: FlakyStore
) -> None:
    for turns in range(12):
        telling = asyncio.create_task(watch.told(headwater, [span(id=turns + 1, attributes=ELSEWHERE)]))
        for _ in range(turns):
            await asyncio.sleep(0)
        telling.cancel()
        with suppress(asyncio.CancelledError):
            await telling
    for turns in range(12):
        await watch.told(headwater, [span(id=turns + 1, attributes=ELSEWHERE)])
    assert [(each.reader, each.calls) for each in store.usage([OTHER], 0)] == [(CHECKOUT, 12)]


async def test_what_turns_out_to_be_no_caller_never_was_one(
    watch: Watch, headwater: Headwater, store: FlakyStore
) -> None:
    await watch.told(headwater, [span("mesh", id=3, above=2, attributes=ELSEWHERE)])
    assert [each.reader for each in store.usage([OTHER], 0)] == [key("consumer:shop/mesh")]
    await watch.told(headwater, [span("mesh", id=2, above=1, kind=SERVER, attributes=ELSEWHERE)])
    await watch.told(headwater, [span(id=1, attributes=ELSEWHERE)])
    assert [(each.reader, each.calls) for each in store.usage([OTHER], 0)] == [(CHECKOUT, 1)]
    mesh = key("consumer:shop/mesh")
    held = [*store.believed([mesh, flow(str(OTHER), str(mesh))]).values()]
    assert not [each for said in held for each in said if each.valid.holds_at(NOON + SECOND)]


@pytest.mark.parametrize("seed", range(6))
async def test_spans_in_any_order_split_repeated_and_through_restarts_count_the_same(
    headwater: Headwater, store: FlakyStore, clock: Clock, seed: int
) -> None:
    """Calls straight, through a gateway, a gateway that nobody named, and with the server's side; each trace one call."""
    chance = random.Random(seed)
    expected: Counter[str] = Counter()
    spans = []
    for number in range(60):
        a, b, c, d = (4 * number + each for each in range(1, 5))
        service = f"service-{chance.randrange(5)}"
        spans.append(span(service, id=a, attributes=ELSEWHERE))
        way = chance.choice(["straight", "edge", "mesh", "served"])
        if way in ("edge", "mesh"):
            spans.append(span(way, id=b, above=a, kind=SERVER, attributes={} if way == "edge" else ELSEWHERE))
            spans.append(span(way, id=c, above=b, attributes=ELSEWHERE))
            spans[-3].attributes = {} if way == "edge" else ELSEWHERE
        if way != "straight":
            spans.append(span("scorer", id=d, above=a if way == "served" else c, kind=SERVER, attributes=ELSEWHERE))
        expected[service] += 1
    sent = [*spans, *chance.choices(spans, k=40)]
    chance.shuffle(sent)
    watch = Watch(clock, [], Metrics(), Reading(gateways=("edge",)))
    passed: list[Span] = []
    while sent:
        size = chance.randint(1, 30)
        request, sent = sent[:size], sent[size:]
        store.lost = chance.random() < 0.2
        try:
            await watch.told(headwater, request)
        except StoreUnavailable:
            await watch.told(headwater, request)
        passed += [each for each in request if not each.attributes]
        if chance.random() < 0.3:
            watch = Watch(clock, [], Metrics(), Reading(gateways=("edge",)))
            await watch.told(headwater, passed)  # what only passed is known as long as the process lives
    counts: Counter[str] = Counter()
    for usage in store.usage([OTHER], 0):
        counts[usage.reader.name if usage.reader else ""] += usage.calls
    assert counts == expected
    held = {str(k) for k, said in store.believed_by(CLAIMED).items() for each in said if each.valid.holds_at(NOON)}
    assert {name for name in held if name.startswith("consumer:") and " " not in name} == {
        f"consumer:shop/{name}" for name in expected
    }


async def test_calls_that_wait_for_the_store_are_bounded(
    watch: Watch, headwater: Headwater, store: FlakyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "MOST_UNIDENTIFIED", 10)
    for _ in range(20):
        watch.saw(call(None, span=SPAN))
    await watch.told(headwater, [span()])
    assert counted(store) == {(None, False): (10, 0), ("checkout", False): (10, 0)}


# What is told of it


async def test_answers_tell_how_long_calls_took(headwater: Headwater, store: FlakyStore, clock: Clock) -> None:
    watch = a_watch(clock)
    for milliseconds in (*[10] * 98, 500, 500):
        watch.saw(replace(call(), microseconds=milliseconds * 1000))
    watch.saw(call())
    await watch.settled(headwater)
    told = summary(store.usage([SCORES], 0), clock.now).latency
    assert told is not None
    assert (told.calls, told.mean) == (100, 19.8)
    assert [told.p50, told.p95, told.p99] == pytest.approx([10, 10, 500], rel=0.05)
    assert summary(store.usage([OTHER], 0), clock.now).latency is None


async def test_answers_tell_use_who_proved_their_name_and_what_cannot_be_seen(
    headwater: Headwater, store: FlakyStore, clock: Clock, tmp_path: Path
) -> None:
    settings = Settings(data=tmp_path)
    rooms = furnish(settings, clock, Metrics())
    say(store, key("consumer:shop/declared"), flow(str(SCORES), "consumer:shop/declared"), now=NOON - SECOND)
    store.count([Usage(SCORES, CHECKOUT, False, DAY - 3, 3, 1, NOON - 3 * DAY, NOON)], "earlier", 1)
    store.count([Usage(SCORES, CHECKOUT, False, DAY - 30, 100, 0, NOON, NOON)], "earlier", 2)  # too long ago
    for sighting in (
        *(call(), call(key("consumer:shop/bound"), verified=True), call(None), call(None, failed=True)),
        call(SCORES, source=OTHER, verified=True),
    ):
        rooms.watch.saw(sighting)
    await rooms.watch.settled(headwater)
    app = create_app(Hosted(headwater), OpenTokens(), settings, rooms)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost:8321") as http:
        answer = (await http.post("/graphql", json={"query": ASK})).json()
    assert "errors" not in answer, answer
    told = answer["data"]["asset"]
    assert (told["usage"]["calls"], told["usage"]["errors"], told["usage"]["callsPerDay"]) == (7, 2, 7 / 4)
    assert [day["calls"] for day in told["usage"]["days"]] == [3, 4]
    assert told["unidentified"] == {"calls": 2, "errors": 1}
    flows = {edge["node"]["target"]["name"]: edge["node"] for edge in told["flowsOut"]["edges"]}
    assert {name: (each["verified"], each["usage"]["calls"]) for name, each in flows.items()} == {
        "checkout": (False, 4),
        "bound": (True, 1),
        "declared": (None, 0),
    }
    assert {name: (each["target"]["verified"], each["target"]["usage"]["calls"]) for name, each in flows.items()} == {
        "checkout": (False, 4),
        "bound": (True, 1),
        "declared": (None, 0),
    }
    assert flows["declared"]["usage"] == {"calls": 0, "callsPerDay": 0.0, "firstSeen": None, "days": []}
    assert answer["data"]["upstream"]["unidentified"] == {"calls": 2}
    assert answer["data"]["certain"]["assets"]["nodes"] == [{"name": "bound"}, {"name": "declared"}]


ASK = """
query {
  asset(key: "deployment:risk/scores") {
    usage { calls errors callsPerDay days { date calls } }
    unidentified { calls errors }
    flowsOut { edges { node {
      verified
      usage { calls callsPerDay firstSeen days { calls } }
      target { name verified usage { calls } }
    } } }
  }
  upstream: lineage(start: "model:risk/fraud", select: { kinds: [CONSUMER] }) {
    ... on Lineage { unidentified { calls } }
  }
  certain: lineage(start: "model:risk/fraud", flows: { verified: true }, select: { kinds: [CONSUMER] }) {
    ... on Lineage { assets { nodes { name } } }
  }
}
"""
