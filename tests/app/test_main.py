"""What surrounds GraphQL: health, tokens, limits, headers, ids, metrics."""

import gzip
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import httpx
import pytest
import structlog
from starlette.applications import Starlette

from app.compose import compose, furnish, now
from app.hosting import Hosted
from app.http.pages import page_routes
from app.identity import FileTokens, Kind, OpenTokens, Role, Tokens, create_token
from app.main import create_app
from app.metrics import Metrics
from app.service import Headwater
from app.settings import Settings
from graph.errors import StoreIncompatible, StoreUnavailable
from graph.importers.manifest_format import manifest_schema
from graph.index import LineageIndex
from graph.stores.sqlite import SqliteStore

pytestmark = pytest.mark.anyio

OPEN = OpenTokens()
ASK = {"query": "{ __typename }"}
HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(tmp_path / "lineage.db")
    yield store
    store.close()


@pytest.fixture
def headwater(store: SqliteStore) -> Headwater:
    index = LineageIndex(store)
    index.load()
    return Headwater(store, index, now)


@pytest.fixture
def token(tmp_path: Path) -> str:
    token = create_token(tmp_path / "tokens.json", "ada", Role.READER, Kind.PERSON)
    assert token is not None
    return token


@pytest.fixture
def tokens(tmp_path: Path, token: str) -> FileTokens:
    return FileTokens(tmp_path / "tokens.json")


def client(app: Starlette, **options: object) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost:8321", **options)  # type: ignore[arg-type]


def app_with(headwater: Headwater | None, tokens: Tokens = OPEN, **settings: object) -> Starlette:
    given = Settings(**settings)  # type: ignore[arg-type]
    return create_app(Hosted(headwater), tokens, given, furnish(given, now, Metrics()))


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def message(response: httpx.Response) -> str:
    return str(response.json()["errors"][0]["message"])


# Health


async def test_it_lives_before_it_is_ready(store: SqliteStore) -> None:
    headwater = Headwater(store, LineageIndex(store), now)
    async with client(app_with(headwater)) as http:
        assert (await http.get("/healthz")).status_code == 200
        refused = await http.get("/readyz")
        assert refused.status_code == 503
        assert refused.json() == {"ready": False, "reason": "the lineage index is loading"}
        assert refused.headers["Retry-After"] == "1"
        await headwater.load()
        assert (await http.get("/readyz")).json() == {"ready": True, "revision": 0}


async def test_before_the_store_is_open_questions_are_told_to_come_again() -> None:
    async with client(app_with(None)) as http:
        refused = await http.post("/graphql", json=ASK)
        assert refused.status_code == 503
        assert refused.headers["Retry-After"] == "1"
        assert message(refused) == "not ready: the lineage index is loading"


# Tokens


@pytest.mark.parametrize(
    "path", ["/", "/n/dataset:w/orders%23a", "/alerts", "/alerts/alert:w/1", "/healthz", "/readyz"]
)
async def test_some_pages_need_no_token(headwater: Headwater, tokens: FileTokens, path: str) -> None:
    async with client(app_with(headwater, tokens)) as http:
        assert (await http.get(path)).status_code == 200


async def test_the_graphiql_page_needs_no_token(headwater: Headwater, tokens: FileTokens) -> None:
    async with client(app_with(headwater, tokens)) as http:
        assert (await http.get("/graphql", headers=HTML)).status_code in (200, 404)  # 404: pages are not built


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/metrics", {}),
        ("/graphql?query={__typename}", {}),
        ("/graphql?query={__typename}", {"Accept": "application/json, text/html"}),
        ("/api/v1/lineage.json?start=dataset:w/o", HTML),
        ("/nothing-here", HTML),
        ("/assets/../graphql?query={__typename}", {}),
    ],
)
async def test_everything_else_needs_one(
    headwater: Headwater, tokens: FileTokens, path: str, headers: dict[str, str]
) -> None:
    async with client(app_with(headwater, tokens)) as http:
        refused = await http.get(path, headers=headers)
    assert refused.status_code == 401
    assert refused.headers["WWW-Authenticate"] == "Bearer"
    assert message(refused) == "this needs a token; send it as `Authorization: Bearer hw_…`"


async def test_a_token_opens_it(headwater: Headwater, tokens: FileTokens, token: str) -> None:
    async with client(app_with(headwater, tokens), headers=bearer(token)) as http:
        assert (await http.post("/graphql", json=ASK)).json() == {"data": {"__typename": "Query"}}
        assert (await http.get("/metrics")).status_code == 200
        assert (await http.get("/nothing-here")).status_code == 404


@pytest.mark.parametrize(
    ("authorization", "says"),
    [
        ("Bearer hw_tooshort", "mistyped"),
        ("Bearer somebody-elses", "unknown, revoked or expired"),
        ("Basic YWRhOmFkYQ==", "not of the form"),
        ("Bearer", "not of the form"),
        ("", "not of the form"),
    ],
)
async def test_a_wrong_token_is_told_why(
    headwater: Headwater, tokens: FileTokens, authorization: str, says: str
) -> None:
    async with client(app_with(headwater, tokens)) as http:
        refused = await http.post("/graphql", json=ASK, headers={"Authorization": authorization})
    assert refused.status_code == 401
    assert says in message(refused)


REGISTER = """mutation { register(manifest: {datasets: []}) { __typename } }"""


async def test_a_role_that_is_too_low_is_told_which_is_needed(
    headwater: Headwater, tokens: FileTokens, token: str
) -> None:
    async with client(app_with(headwater, tokens), headers=bearer(token)) as http:
        refused = await http.post("/graphql", json={"query": REGISTER})
    assert "contributor" in message(refused)
    assert refused.json()["errors"][0]["extensions"]["code"] == "FORBIDDEN"


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "headwater.localhost"])
async def test_an_open_service_answers_as_localhost(headwater: Headwater, host: str) -> None:
    async with client(app_with(headwater)) as http:
        assert (await http.post("/graphql", json=ASK, headers={"Host": f"{host}:8321"})).status_code == 200


@pytest.mark.parametrize("host", ["rebound.example", "localhost.example:8321", "192.0.2.7", ""])
async def test_an_open_service_answers_under_no_other_name(headwater: Headwater, host: str) -> None:
    async with client(app_with(headwater)) as http:
        refused = await http.post("/graphql", json=ASK, headers={"Host": host})
    assert refused.status_code == 421
    assert "HEADWATER_TOKENS_FILE" in message(refused)


async def test_a_service_with_tokens_answers_under_any_name(
    headwater: Headwater, tokens: FileTokens, token: str
) -> None:
    async with client(app_with(headwater, tokens), headers=bearer(token)) as http:
        assert (await http.post("/graphql", json=ASK, headers={"Host": "lineage.example"})).status_code == 200


async def test_editors_read_the_schema_of_manifests_without_a_token(headwater: Headwater, tokens: FileTokens) -> None:
    async with client(app_with(headwater, tokens)) as http:
        answer = await http.get("/schemas/headwater.yaml.json")
    assert answer.headers["content-type"] == "application/schema+json"
    assert answer.json() == manifest_schema()


# Bodies


async def test_a_body_that_is_too_large_is_refused_with_the_limit(headwater: Headwater) -> None:
    async with client(app_with(headwater, max_graphql_bytes=1000)) as http:
        refused = await http.post("/graphql", content=b" " * 1001)
        assert refused.status_code == 413
        assert "1,000 bytes" in message(refused)
        assert (await http.post("/graphql", json=ASK)).status_code == 200


async def test_bytes_are_counted_as_they_come(headwater: Headwater) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 100
            yield b" " * 100

    async with client(app_with(headwater, max_graphql_bytes=1000)) as http:
        headers = {"Content-Type": "application/json"}
        refused = await http.post("/graphql", content=endless(), headers=headers)
    assert refused.status_code == 413
    assert sent <= 1200


async def test_bodies_may_come_as_gzip_within_the_limit_of_what_they_hold(headwater: Headwater) -> None:
    async def post(body: bytes, encoding: str = "gzip") -> httpx.Response:
        headers = {"Content-Encoding": encoding, "Content-Type": "application/json"}
        async with client(app_with(headwater, max_graphql_bytes=1000)) as http:
            return await http.post("/graphql", content=body, headers=headers)

    packed = gzip.compress(b'{"query": "{ __typename }"}')
    assert (await post(packed)).json() == {"data": {"__typename": "Query"}}
    assert (await post(gzip.compress(b" " * 1_000_000))).status_code == 413
    assert (await post(packed[:-9])).status_code == 400
    assert (await post(b"{}")).status_code == 400
    refused = await post(packed, "br")
    assert refused.status_code == 415
    assert "gzip" in message(refused)


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
async def test_without_tokens_a_page_of_another_site_may_send_nothing(headwater: Headwater, site: str) -> None:
    """A form of a foreign page is sent without asking, as text/plain."""
    headers = {"Content-Type": "text/plain", "Origin": "https://one.example", "Sec-Fetch-Site": site}
    async with client(app_with(headwater)) as http:
        refused = await http.post("/v2/models/scores/infer", content=b"{}", headers=headers)
    assert refused.status_code == 403
    assert "'https://one.example'" in message(refused)
    async with client(app_with(headwater, allowed_origins="https://one.example")) as http:
        answered = await http.post("/v2/models/scores/infer", content=b"{}", headers=headers)
    assert answered.status_code != 403


# What every answer has


@pytest.mark.parametrize("path", ["/", "/healthz", "/nothing-here", "/graphql?query={__typename}", "/metrics"])
async def test_every_answer_tells_browsers_what_not_to_do(headwater: Headwater, path: str) -> None:
    async with client(app_with(headwater)) as http:
        headers = (await http.get(path)).headers
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'self'; object-src 'none'; frame-ancestors 'none'; base-uri 'none';")
    assert "script-src" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"]


TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.mark.parametrize(
    ("headers", "id_"),
    [
        ({"X-Request-Id": "ci-run.7:3"}, "ci-run.7:3"),
        ({"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}, TRACE),
        ({"X-Request-Id": "mine", "traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}, "mine"),
    ],
)
async def test_a_callers_request_id_is_taken_over(headwater: Headwater, headers: dict[str, str], id_: str) -> None:
    async with client(app_with(headwater)) as http:
        assert (await http.get("/healthz", headers=headers)).headers["X-Request-Id"] == id_


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Request-Id": ""},
        {"X-Request-Id": "a b"},
        {"X-Request-Id": "x" * 129},
        {"traceparent": f"00-{'0' * 32}-00f067aa0ba902b7-01"},
        {"traceparent": "nonsense"},
    ],
)
async def test_else_it_gets_a_new_one(headwater: Headwater, headers: dict[str, str]) -> None:
    async with client(app_with(headwater)) as http:
        first = (await http.get("/healthz", headers=headers)).headers["X-Request-Id"]
        second = (await http.get("/healthz", headers=headers)).headers["X-Request-Id"]
    assert len(first) == 32
    assert first != second


async def test_what_nobody_foresaw_is_a_500_with_an_id_and_no_details(
    headwater: Headwater, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = app_with(headwater)

    async def fail(*_: object) -> None:
        raise RuntimeError("the password is hunter2")

    monkeypatch.setattr(app.router.routes[0], "app", fail)
    with structlog.testing.capture_logs() as events:
        async with client(app) as http:
            failed = await http.get("/healthz", headers={"X-Request-Id": "trouble"})
    assert failed.status_code == 500
    assert message(failed) == "internal error; the log has it under request id trouble"
    assert failed.headers["X-Request-Id"] == "trouble"
    assert "Content-Security-Policy" in failed.headers
    assert [event["log_level"] for event in events] == ["error", "debug"]
    assert events[0]["exc_info"]


async def test_a_request_is_one_event_in_the_log(headwater: Headwater, tokens: FileTokens, token: str) -> None:
    with structlog.testing.capture_logs(processors=[structlog.contextvars.merge_contextvars]) as events:
        async with client(app_with(headwater, tokens), headers=bearer(token)) as http:
            await http.get("/graphql?query={__typename}", headers={"X-Request-Id": "seven"})
    (event,) = events
    assert event["request_id"] == "seven"
    assert event["path"] == "/graphql"
    assert event["status"] == 200
    assert event["principal"] == "ada"


# Metrics


async def test_requests_are_counted_by_route_not_by_path(headwater: Headwater) -> None:
    async with client(app_with(headwater)) as http:
        for number in range(20):
            await http.get(f"/nothing/{number}")
            await http.request(f"VERB{number}", "/healthz")
        await http.post("/graphql", json=ASK)
        text = (await http.get("/metrics")).text
    assert 'headwater_http_requests_total{method="GET",route="other",status="404"} 20.0' in text
    assert 'headwater_http_requests_total{method="other",route="/healthz",status="405"} 20.0' in text
    assert 'headwater_http_requests_total{method="POST",route="/graphql",status="200"} 1.0' in text
    assert "/nothing/" not in text


async def test_the_composed_service_measures_its_graph(tmp_path: Path) -> None:
    async with composed(tmp_path) as http:
        await until(http, ready=True)
        text = (await http.get("/metrics")).text
    for line in ("headwater_ready 1.0", "headwater_index_revision 0.0", "headwater_index_assets 0.0"):
        assert line in text


# Upkeep


@asynccontextmanager
async def composed(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    app = compose(Settings(store=f"sqlite:///{tmp_path / 'lineage.db'}", follow_seconds=0.01))
    async with app.router.lifespan_context(app), client(app) as http:
        yield http


async def until(http: httpx.AsyncClient, *, ready: bool, reason: str = "") -> None:
    deadline = time.monotonic() + 20
    while True:
        answer = await http.get("/readyz")
        if answer.json()["ready"] is ready and reason in answer.json().get("reason", ""):
            assert answer.status_code == (200 if ready else 503)
            return
        assert time.monotonic() < deadline, answer.text
        await anyio.sleep(0.005)  # lets the service go on


async def test_questions_wait_for_the_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load, may_load = LineageIndex.load, threading.Event()
    monkeypatch.setattr(LineageIndex, "load", lambda self: (may_load.wait(20), load(self)))
    async with composed(tmp_path) as http:
        try:
            await until(http, ready=False, reason="the lineage index is loading")
            assert (await http.get("/healthz")).status_code == 200
        finally:
            may_load.set()
        await until(http, ready=True)


async def test_a_store_that_is_away_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.upkeep._FIRST_PAUSE", 0.01)
    away = True

    def open_(path: Path) -> SqliteStore:
        if away:
            raise StoreUnavailable("nobody is at db:7687")
        return SqliteStore(path)

    monkeypatch.setattr("app.compose.SqliteStore", open_, raising=False)
    monkeypatch.setattr("app.compose.open_store", lambda settings: open_(settings.sqlite_path))
    async with composed(tmp_path) as http:
        await until(http, ready=False, reason="the store is unavailable: nobody is at db:7687")
        assert (await http.post("/graphql", json=ASK)).status_code == 503
        away = False
        await until(http, ready=True)


async def test_a_store_that_goes_away_makes_it_unready_until_it_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with composed(tmp_path) as http:
        await until(http, ready=True)
        with monkeypatch.context() as broken:

            def head(self: SqliteStore) -> int:
                raise StoreUnavailable("no answer within 5 s")

            broken.setattr(SqliteStore, "head", head)
            await until(http, ready=False, reason="no answer within 5 s")
        await until(http, ready=True)


async def test_an_index_that_failed_half_way_is_loaded_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loads = 0
    load = LineageIndex.load

    def counted(self: LineageIndex) -> None:
        nonlocal loads
        loads += 1
        load(self)

    monkeypatch.setattr(LineageIndex, "load", counted)
    async with composed(tmp_path) as http:
        await until(http, ready=True)
        with monkeypatch.context() as broken:

            def settle(self: SqliteStore, now: int) -> int:
                raise RuntimeError("a mistake of ours")

            broken.setattr(SqliteStore, "head", lambda self: settle(self, 0))
            deadline = time.monotonic() + 20
            while loads < 2:
                assert time.monotonic() < deadline
                await anyio.sleep(0.005)
        await until(http, ready=True)


async def test_a_load_that_went_wrong_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load, loads = LineageIndex.load, 0

    def fails_once(self: LineageIndex) -> None:
        nonlocal loads
        loads += 1
        if loads == 1:
            raise RuntimeError("a mistake of ours")
        load(self)

    monkeypatch.setattr(LineageIndex, "load", fails_once)
    async with composed(tmp_path) as http:
        await until(http, ready=True)
    assert loads == 2


async def test_a_store_that_cannot_be_used_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def open_(settings: Settings) -> SqliteStore:
        raise StoreIncompatible("the schema is newer than this program")

    monkeypatch.setattr("app.compose.open_store", open_)
    async with composed(tmp_path) as http:
        await until(http, ready=False, reason="the schema is newer than this program")


# Pages


async def test_pages_that_were_not_built_say_how_to_build_them(tmp_path: Path) -> None:
    async with client(Starlette(routes=page_routes(tmp_path))) as http:
        page = await http.get("/")
    assert page.status_code == 200
    assert "make web" in page.text


async def test_assets_are_kept_by_browsers_and_pages_are_not(tmp_path: Path) -> None:
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / "index-abc.js").write_text("1")
    (tmp_path / "index.html").write_text("<!doctype html>")
    async with client(Starlette(routes=page_routes(tmp_path))) as http:
        assert (await http.get("/")).headers["Cache-Control"] == "no-cache"
        assert "immutable" in (await http.get("/assets/index-abc.js")).headers["Cache-Control"]
        assert "Cache-Control" not in (await http.get("/assets/missing.js")).headers


# Other origins


async def test_no_foreign_origin_is_allowed_unless_set(headwater: Headwater) -> None:
    asks = {"Origin": "https://one.example", "Access-Control-Request-Method": "POST"}
    async with client(app_with(headwater)) as http:
        assert "Access-Control-Allow-Origin" not in (await http.options("/graphql", headers=asks)).headers
    async with client(app_with(headwater, allowed_origins="https://one.example")) as http:
        allowed = await http.options("/graphql", headers=asks)
        assert allowed.headers["Access-Control-Allow-Origin"] == "https://one.example"
        other = await http.options("/graphql", headers={**asks, "Origin": "https://two.example"})
        assert "Access-Control-Allow-Origin" not in other.headers
