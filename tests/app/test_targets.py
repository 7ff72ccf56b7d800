"""What spans touch, by each way of telling it."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from app.events import GATEWAY
from app.spans import CLIENT, CONSUMER, INTERNAL, PRODUCER, SERVER, WANTED, Service, Span
from app.watching.targets import Ambiguous, Directory, Targets
from graph.index import LineageIndex
from graph.model import Basis
from graph.stores.sqlite import SqliteStore
from tests.saying import asset, key, say

NOW = 1_790_000_000_000_000
PATTERNS = (
    r"https?://models\.example/(?P<namespace>[^/]+)/(?P<deployment>[^/:]+)/score",
    r"https?://features\.example/(?P<feature_view>[^/]+)/rows",
    r"kafka://[^/]*/(?P<deployment>[a-z-]+)\.requests",
    r"https?://lake\.example/(?P<namespace>[a-z]+)/(?P<dataset>[a-z]+)",
)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Directory]:
    store = SqliteStore(tmp_path_factory.mktemp("targets") / "lineage.db")
    say(
        store,
        *(key("deployment:risk/scores"), key("deployment:one/twin"), key("deployment:two/twin")),
        asset("deployment:prod/kserve", url="http://kserve.prod.svc.cluster.local"),
        asset("deployment:prod/api", url="https://models.internal:8443/api/v1/score"),
        asset("deployment:prod/both-a", url="http://shared.example/a"),
        asset("deployment:prod/both-b", url="http://shared.example/b"),
        asset("deployment:prod/bad", url="http://[nonsense"),
        asset("feature_view:users/profile", url="http://feast.example:6566"),
        key("feature_view:users/history"),
        *(
            key("dataset:postgres%3A%2F%2Fdb.example%3A5432/shop.public.orders"),
            key("dataset:mysql%3A%2F%2Fdb.example%3A3307/shop.orders"),
        ),
        *(key("dataset:bigquery/project.sales.orders"), key("dataset:kafka%3A%2F%2Fbroker%3A9092/orders")),
        *(key("dataset:postgres%3A%2F%2Ftwice%3A5432/a.t"), key("dataset:postgres%3A%2F%2Ftwice/a.t")),
        key("dataset:lake/raw"),
        now=NOW - 10,
    )
    say(store, key("deployment:here/served"), origin=GATEWAY, basis=Basis.OBSERVED, now=NOW - 10)
    index = LineageIndex(store)
    index.load()
    yield Directory.of(index.view(), store, NOW)
    store.close()


class Original:
    place = name = ""
    item = b""


def found(directory: Directory, kind: int = CLIENT, attributes: Mapping[str, str] | None = None) -> str | None:
    """The key; `!` before it: it is written; `here` after it: this service answers it; `?`: it may be any of several."""
    span = Span(1, 0, kind, Service(None, "a"), NOW, None, attributes or {}, False, Original())
    target = Targets([re.compile(pattern) for pattern in PATTERNS]).of(span, directory)
    if isinstance(target, Ambiguous):
        return "?"
    return target and f"{'!' if target.writes else ''}{target.asset}{' here' if target.is_served_here else ''}"


@pytest.mark.parametrize(
    ("attributes", "target"),
    [
        ({"url.full": "http://any/v2/models/scores/infer"}, "deployment:risk/scores"),
        ({"url.full": "http://any/v2/models/scores/versions/3/infer?x=1"}, "deployment:risk/scores"),
        ({"http.url": "http://any/prefix/v1/models/scores:predict"}, "deployment:risk/scores"),
        ({"server.address": "any", "url.path": "/v1/models/scores:explain"}, "deployment:risk/scores"),
        ({"http.target": "/v2/models/scores/generate_stream?x"}, "deployment:risk/scores"),
        ({"url.full": "http://any/v2/models/served/infer"}, "deployment:here/served here"),
        ({"url.full": "http://any/v2/models/scores/ready"}, None),
        ({"url.full": "http://any/v1/models/scores"}, None),
        ({"url.full": "http://any/v2/models/unknown/infer"}, None),
        ({"url.full": "http://any/v2/models/twin/infer"}, "?"),
        ({"url.full": "http://twin.two.svc/v2/models/twin/infer"}, "deployment:two/twin"),
        ({"url.full": "http://any/v2/models/%FF/infer"}, None),
        ({"url.full": "http://[x/v2/models/scores/infer"}, None),
        # By address
        ({"url.full": "http://kserve.prod/v1/models/other:predict"}, "deployment:prod/kserve"),
        ({"url.full": "http://kserve.prod.svc.cluster.local:80/v2/models/scores/infer"}, "deployment:prod/kserve"),
        ({"server.address": "kserve.prod.svc", "http.request.method": "POST"}, "deployment:prod/kserve"),
        ({"net.peer.name": "KServe.prod.svc", "http.method": "POST", "http.target": "/"}, "deployment:prod/kserve"),
        ({"server.address": "kserve.prod", "url.path": "/", "http.request.method": "GET"}, None),
        ({"url.full": "http://kserve.prod/v2/health/live", "http.request.method": "POST"}, None),
        ({"server.address": "models.internal", "server.port": "8443"}, None),
        ({"url.full": "https://models.internal:8443/api/v1/score"}, "deployment:prod/api"),
        ({"url.full": "https://models.internal:8443/api/v1/scores"}, None),
        ({"url.full": "https://models.internal/api/v1/score"}, None),
        ({"url.full": "http://shared.example/b/predict", "http.request.method": "POST"}, "deployment:prod/both-b"),
        ({"url.full": "http://shared.example/c", "http.request.method": "POST"}, None),
        ({"url.full": "http://shared.example/v2/models/scores/infer"}, "deployment:risk/scores"),
        ({"server.address": "kserve.prod", "server.port": "5000", "http.request.method": "POST"}, None),
        (
            {"server.address": "kserve.prod", "server.port": "9000", "rpc.method": "ModelInfer"},
            "deployment:prod/kserve",
        ),
        (
            {"server.address": "kserve.prod", "rpc.method": "inference.GRPCInferenceService/ModelInfer"},
            "deployment:prod/kserve",
        ),
        ({"server.address": "kserve.prod", "rpc.method": "ServerLive"}, None),
        ({"server.address": "kserve.prod", "rpc.method": "grpc.health.v1.Health/Check"}, None),
        # By peer
        ({"service.peer.name": "scores", "http.request.method": "POST"}, "deployment:risk/scores"),
        ({"peer.service": "scores"}, "deployment:risk/scores"),
        ({"peer.service": "scores", "url.full": "http://x/metrics", "http.method": "GET"}, None),
        ({"peer.service": "twin"}, "?"),
        ({"peer.service": "twin", "service.peer.namespace": "one"}, "deployment:one/twin"),
        ({"peer.service": "somebody", "url.full": "http://x/v2/models/scores/infer"}, "deployment:risk/scores"),
        # Features
        (
            {"url.full": "http://feast.example:6566/get-online-features", "http.method": "POST"},
            "feature_view:users/profile",
        ),
        (
            {"peer.service": "history", "url.path": "/get-online-features", "http.method": "POST"},
            "feature_view:users/history",
        ),
        ({"url.full": "http://other.example/get-online-features", "http.method": "POST"}, None),
        # By pattern
        ({"url.full": "http://models.example/two/twin/score?x"}, "deployment:two/twin"),
        ({"url.full": "http://models.example/three/twin/score"}, None),
        ({"http.host": "features.example", "url.path": "/history/rows"}, "feature_view:users/history"),
        ({"url.full": "https://lake.example/lake/raw"}, "dataset:lake/raw"),
    ],
    ids=str,
)
def test_what_http_asks(directory: Directory, attributes: dict[str, str], target: str | None) -> None:
    assert found(directory, CLIENT, attributes) == target


def test_a_server_tells_by_its_own_address_and_path(directory: Directory) -> None:
    asked = {"http.host": "any:80", "http.target": "/v2/models/scores/infer"}
    assert found(directory, SERVER, asked) == "deployment:risk/scores"
    scored = {"server.address": "models.internal", "server.port": "8443", "url.path": "/api/v1/score"}
    assert found(directory, SERVER, scored) == "deployment:prod/api"
    elsewhere = {"net.host.name": "kserve.prod", "http.method": "POST", "http.target": "/orders"}
    assert found(directory, SERVER, elsewhere) is None, "many servers take themselves to be at one address"
    assert found(directory, SERVER, {"peer.service": "scores", "http.method": "POST"}) is None, "that is who asked"
    assert found(directory, INTERNAL, {"url.path": "/v2/models/scores/infer"}) is None
    assert found(directory) is None


ORDERS = "dataset:postgres%3A%2F%2Fdb.example%3A5432/shop.public.orders"


@pytest.mark.parametrize(
    ("attributes", "target"),
    [
        (
            {"db.system.name": "postgresql", "db.namespace": "shop|public", "db.collection.name": "orders", "db.operation.name": "SELECT", "server.address": "db.example"},
            ORDERS,
        ),
        (
            {"db.system": "postgresql", "db.name": "shop", "db.sql.table": "public.orders", "db.operation": "insert", "net.peer.name": "db.example", "net.peer.port": "5432"},
            f"!{ORDERS}",
        ),
        (
            {"db.system.name": "postgresql", "db.namespace": "shop", "db.query.summary": "SELECT orders", "server.address": "DB.example"},
            ORDERS,
        ),
        (
            {"db.system": "mysql", "db.name": "shop", "db.sql.table": "orders", "db.statement": "UPDATE orders SET a=?", "server.address": "db.example", "server.port": "3307"},
            "!dataset:mysql%3A%2F%2Fdb.example%3A3307/shop.orders",
        ),
        (
            {"db.system.name": "gcp.bigquery", "db.namespace": "project.sales", "db.collection.name": "orders", "db.operation.name": "SELECT"},
            "dataset:bigquery/project.sales.orders",
        ),
        ({"db.system.name": "postgresql", "db.collection.name": "orders", "db.operation.name": "SELECT", "server.address": "db.example"}, None),
        ({"db.system.name": "postgresql", "db.namespace": "shop|public", "db.collection.name": "orders", "db.operation.name": "BEGIN", "server.address": "db.example"}, None),
        ({"db.system.name": "postgresql", "db.namespace": "a", "db.collection.name": "t", "db.operation.name": "SELECT", "server.address": "twice"}, "?"),
        ({"db.system.name": "redis"}, None),
    ],
)  # fmt: skip
def test_what_data_is_read_and_written(directory: Directory, attributes: dict[str, str], target: str | None) -> None:
    assert found(directory, CLIENT, attributes) == target


@pytest.mark.parametrize(
    ("kind", "attributes", "target"),
    [
        (PRODUCER, {"messaging.destination.name": "orders", "server.address": "broker"}, "!dataset:kafka%3A%2F%2Fbroker%3A9092/orders"),
        (CONSUMER, {"messaging.destination": "orders", "net.peer.name": "broker", "net.peer.port": "9092"}, "dataset:kafka%3A%2F%2Fbroker%3A9092/orders"),
        (CLIENT, {"messaging.destination.name": "orders", "server.address": "broker", "messaging.operation.type": "receive"}, "dataset:kafka%3A%2F%2Fbroker%3A9092/orders"),
        (CLIENT, {"messaging.destination.name": "orders", "server.address": "broker", "messaging.operation.type": "settle"}, None),
        (PRODUCER, {"messaging.destination.name": "orders", "server.address": "elsewhere"}, None),
        (PRODUCER, {"messaging.destination.name": "scores.requests", "server.address": "broker"}, "deployment:risk/scores"),
        (CONSUMER, {"messaging.destination.name": "scores.requests"}, "deployment:risk/scores"),
        (PRODUCER, {}, None),
    ],
)  # fmt: skip
def test_queues(directory: Directory, kind: int, attributes: dict[str, str], target: str | None) -> None:
    assert found(directory, kind, {"messaging.system": "kafka", **attributes}) == target


HOSTILE = some.sampled_from(
    ["http://[", "http://a:b/", "http://a:99999/v2/models/%FF/infer", "//", "/v2/models/\x00/infer", "\ud7ff", "|", "."]
)


@pytest.fixture(scope="module")
def nothing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Directory]:
    store = SqliteStore(tmp_path_factory.mktemp("nothing") / "lineage.db")
    index = LineageIndex(store)
    index.load()
    yield Directory.of(index.view(), store, NOW)
    store.close()


@given(
    kind=some.integers(0, 6),
    attributes=some.dictionaries(some.sampled_from(sorted(WANTED)), HOSTILE | some.text(), max_size=8),
)
def test_hostile_attributes_touch_nothing(nothing: Directory, kind: int, attributes: dict[str, str]) -> None:
    assert found(nothing, kind, attributes) is None


def test_a_directory_is_made_anew_when_something_in_it_changed(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "lineage.db")
    say(store, key("deployment:risk/scores"), now=NOW)
    index = LineageIndex(store)
    index.load()
    store.announce_to(index.hear)
    directory = Directory.of(index.view(), store, NOW)
    say(store, key("dataset:w/t"), now=NOW + 1)
    assert directory.still(index.view(), store, NOW + 2)
    assert directory.view.revision == index.revision
    say(store, key("deployment:risk/other"), now=NOW + 3)
    assert not directory.still(index.view(), store, NOW + 4)
    assert not Directory.of(index.view(), store, NOW).still(index.view(), store, NOW + 3_600_000_000)
    store.close()


TWIN = {"url.full": "http://x.example/v2/models/twin/infer", "http.request.method": "POST"}
TABLE = {
    "db.system.name": "postgresql",
    "server.address": "twice",
    "db.namespace": "a",
    "db.collection.name": "t",
    "db.operation.name": "SELECT",
}


def test_several_that_are_the_same_are_one(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "lineage.db")
    with_port, without = "dataset:postgres%3A%2F%2Ftwice%3A5432/a.t", "dataset:postgres%3A%2F%2Ftwice/a.t"
    say(store, *map(key, ("deployment:one/twin", "deployment:two/twin", with_port, without)), now=NOW - 10)
    index = LineageIndex(store)
    index.load()
    store.announce_to(index.hear)
    directory = Directory.of(index.view(), store, NOW)
    assert found(directory, CLIENT, TABLE) == "?"
    say(store, asset(without, same_as=[with_port]), now=NOW + 1)
    assert directory.still(index.view(), store, NOW + 2)
    assert found(directory, CLIENT, TABLE) == with_port
    assert found(directory, CLIENT, TWIN) == "?"
    say(store, asset("deployment:one/twin", same_as=["deployment:two/twin"]), now=NOW + 3)
    assert found(Directory.of(index.view(), store, NOW + 4), CLIENT, TWIN) == "deployment:two/twin"
    store.close()
