"""How lately each source told something, what of it was refused, and taking that again; and whether an asset may go."""

import httpx
import pytest

from app.compose import now
from app.graphql.paging import encode_cursor
from app.intake.imports import FORMATS
from graph.changes import AssetStatement, FlowStatement, Receipt
from graph.errors import InvalidInput
from graph.model import Basis, Flow, Json
from graph.sources import Heard
from graph.stores.sqlite import SqliteStore
from graph.time import DAY, parse_instant
from graph.usage import Usage, day_of
from tests.app.test_graphql import Answer, ask, http, store  # noqa: F401 (fixtures)
from tests.saying import flow, key, say

pytestmark = pytest.mark.anyio

SOURCES = """query($days: Int = 7) { sources(silentDays: $days) { nodes {
  name health lastHeard latestEvent usualDays rejected days { items rejected lagSeconds } } } }"""
REJECTED = """query($source: String, $first: Int = 50, $after: String) {
  rejectedItems(source: $source, first: $first, after: $after) {
    nodes { id source place reason times target mediaType bytes excerpt url } pageInfo { hasNextPage endCursor } } }"""
RETAKE = "mutation($ids: [ID!]!) { retakeRejected(ids: $ids) { id outcome reason } }"
DISCARD = "mutation($ids: [ID!]!) { discardRejected(ids: $ids) }"
REMOVAL = """query($id: ID!, $days: Int = 30) { removal(id: $id, silentDays: $days) {
  verdict users { id } needing { id } calls watchers { source health } uncovered } }"""
UNUSED = """query($kinds: [AssetKind!], $verdict: RemovalVerdict, $first: Int = 50, $after: String) {
  unused(kinds: $kinds, verdict: $verdict, first: $first, after: $after) {
    nodes { asset { id } verdict uncovered } pageInfo { hasNextPage endCursor } } }"""

RESOURCE = {
    "apiVersion": "serving.kserve.io/v1beta1",
    "kind": "InferenceService",
    "metadata": {"name": "fraud", "namespace": "risk"},
    "spec": {"predictor": {"model": {"modelFormat": {"name": "sklearn"}, "storageUri": "s3://models/fraud/1"}}},
}


def tell(store: SqliteStore, source: str, *days_ago: int, rejected: int = 0) -> None:  # noqa: F811
    today = now()
    told = [
        Heard(source, day_of(today) - ago, 3, rejected, today - ago * DAY, today - ago * DAY, None, None)
        for ago in days_ago
    ]
    store.hear(told, f"tests {source}", 1)


async def test_what_is_registered_and_imported_is_heard(http: httpx.AsyncClient) -> None:  # noqa: F811
    registered = 'mutation { registerConsumer(input: {namespace: "shop", name: "web"}) { __typename } }'
    await ask(http, registered)
    document = {"resources": [RESOURCE]}
    assert (await http.post("/api/v1/imports/kserve?origin=kserve:prod", json=document)).status_code == 200
    found = {each["name"]: each for each in (await ask(http, SOURCES))["sources"]["nodes"]}
    assert found["api:anonymous"]["days"] == [{"items": 1, "rejected": 0, "lagSeconds": None}]
    assert found["kserve:prod"]["health"] == "YOUNG"


async def test_a_refused_document_is_kept_and_can_be_taken_again(http: httpx.AsyncClient) -> None:  # noqa: F811
    refused = await http.post("/api/v1/imports/kserve?origin=kserve:prod", json={"resources": [{"kind": 5}]})
    assert refused.status_code == 400
    (item,) = (await ask(http, REJECTED, source="kserve:prod"))["rejectedItems"]["nodes"]
    assert (item["target"], item["mediaType"], item["times"]) == (
        "/api/v1/imports/kserve?origin=kserve%3Aprod",
        "application/json",
        1,
    )
    assert item["reason"] == refused.json()["errors"][0]["message"]
    assert item["excerpt"] == '{"resources":[{"kind":5}]}'
    kept = await http.get(item["url"])
    assert (kept.content, kept.headers["content-type"]) == (item["excerpt"].encode(), "application/json")
    (again,) = (await ask(http, RETAKE, ids=[item["id"]]))["retakeRejected"]
    assert (again["outcome"], again["reason"]) == ("REFUSED", item["reason"])
    (item,) = (await ask(http, REJECTED))["rejectedItems"]["nodes"]
    assert item["times"] == 2
    assert (await ask(http, SOURCES))["sources"]["nodes"][0]["health"] == "REFUSED"


FEAST = {"registry": {"lastUpdated": "2026-11-01T00:00:00Z", "project": "shop"}}
DBT_METADATA = {
    "dbt_schema_version": "https://schemas.getdbt.com/dbt/manifest/v12.json",
    "project_name": "shop",
    "adapter_type": "postgres",
}
DBT = {"manifest": {"metadata": DBT_METADATA, "nodes": {}, "sources": {}, "exposures": {}, "parent_map": {}}}
MLFLOW: dict[str, object] = {"server": "https://ml.example:5000", "fetched": "2026-11-24T06:00:00Z"} | {
    name: [] for name in ("registered_models", "model_versions", "experiments", "runs", "logged_models")
}
SKLEARN = {"model": "fraud", "version": "7", "inputs": [], "used": [], "consumed": []}
SQL = {"dialect": "bigquery", "files": [{"path": "a.sql", "text": "CREATE TABLE a.b.t (x INT64)"}]}


@pytest.mark.parametrize(
    ("format_", "document", "wrong", "origin"),
    [
        ("dbt", DBT, {"manifest": DBT["manifest"] | {"parent_map": {"a": ["b"]}}}, "dbt:shop"),
        ("feast", FEAST, {"registry": FEAST["registry"] | {"featureViews": 5}}, "feast:shop"),
        ("kserve", {"resources": [RESOURCE]}, {"resources": [RESOURCE, RESOURCE | {"spec": 5}]}, "kserve:risk"),
        ("mlflow", MLFLOW, {"runs": 5}, "mlflow:ml.example:5000"),
        ("sklearn", SKLEARN, {"used": 5}, "sklearn:default/fraud#7"),
        ("sql", SQL, {"files": 5}, "sql:bigquery"),
    ],
)
async def test_a_refused_document_is_its_sources_until_a_right_one_comes(
    http: httpx.AsyncClient,  # noqa: F811
    format_: str,
    document: dict[str, object],
    wrong: dict[str, object],
    origin: str,
) -> None:
    refused = await http.post(f"/api/v1/imports/{format_}", json=document | wrong)
    assert refused.status_code == 400
    assert (
        await http.post(f"/api/v1/imports/{format_}", content=b"{", headers={"Content-Type": "application/json"})
    ).status_code == 400
    found = {each["name"]: each["health"] for each in (await ask(http, SOURCES))["sources"]["nodes"]}
    assert (found[origin], found[format_]) == ("REFUSED", "REFUSED")
    taken = await http.post(f"/api/v1/imports/{format_}", json=document)
    assert (taken.status_code, taken.json().get("origin")) == (200, origin), taken.text
    kept = (await ask(http, REJECTED))["rejectedItems"]["nodes"]
    assert [each["source"] for each in kept] == [format_], "of that nothing could be told"


@pytest.mark.parametrize("origin", ["gateway", "gateway:claimed", "rules:x", " "])
async def test_who_speaks_for_another_makes_no_source_unwell(http: httpx.AsyncClient, origin: str) -> None:  # noqa: F811
    for document in ({"resources": [RESOURCE]}, {"resources": 5}):
        refused = await http.post("/api/v1/imports/kserve", json=document, params={"origin": origin})
        assert refused.status_code == 400
    assert (await ask(http, REJECTED))["rejectedItems"]["nodes"] == []


async def test_what_is_right_by_now_is_taken_and_no_longer_kept(
    http: httpx.AsyncClient,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def confused(*_: object) -> None:
        raise InvalidInput("this service does not know fraud yet")

    with monkeypatch.context() as wrong:
        wrong.setitem(FORMATS, "kserve", confused)
        assert (await http.post("/api/v1/imports/kserve", json={"resources": [RESOURCE]})).status_code == 400
    (item,) = (await ask(http, REJECTED))["rejectedItems"]["nodes"]
    (again,) = (await ask(http, RETAKE, ids=[item["id"]]))["retakeRejected"]
    assert again == {"id": item["id"], "outcome": "TAKEN", "reason": None}
    assert (await ask(http, REJECTED))["rejectedItems"]["nodes"] == []
    assert (await ask(http, '{ asset(key: "deployment:risk/fraud") { id } }'))["asset"] is not None
    (again,) = (await ask(http, RETAKE, ids=[item["id"]]))["retakeRejected"]
    assert again["outcome"] == "UNKNOWN"


async def test_refused_items_come_in_pages_and_can_be_given_up(http: httpx.AsyncClient) -> None:  # noqa: F811
    for number in range(3):
        await http.post("/api/v1/imports/kserve", json={"resources": number})
    first = (await ask(http, REJECTED, first=2))["rejectedItems"]
    rest = (await ask(http, REJECTED, first=2, after=first["pageInfo"]["endCursor"]))["rejectedItems"]
    bodies = [each["excerpt"] for each in (*first["nodes"], *rest["nodes"])]
    assert (bodies, first["pageInfo"]["hasNextPage"], rest["pageInfo"]["hasNextPage"]) == (
        ['{"resources":2}', '{"resources":1}', '{"resources":0}'],
        True,
        False,
    )
    ids = [each["id"] for each in first["nodes"]]
    assert (await ask(http, DISCARD, ids=[*ids, "unknown"]))["discardRejected"] == 2
    assert (await http.get(first["nodes"][0]["url"])).status_code == 404


@pytest.mark.parametrize("number", ["9" * 30, "9" * 5000, "²", "-", ""])
async def test_a_cursor_of_nowhere_is_refused(http: httpx.AsyncClient, number: str) -> None:  # noqa: F811
    after = encode_cursor(number, "x")
    answer = await http.post("/graphql", json={"query": REJECTED, "variables": {"after": after}})
    assert answer.json()["errors"][0]["extensions"]["code"] == "BAD_CURSOR"


async def test_health_is_told_by_the_pace_of_a_source(http: httpx.AsyncClient, store: SqliteStore) -> None:  # noqa: F811
    tell(store, "daily", *range(40))
    tell(store, "stopped", *range(5, 40))
    tell(store, "weekly", 6, 13, 20, 27)
    tell(store, "young", 0, 1)
    found = {each["name"]: each for each in (await ask(http, SOURCES))["sources"]["nodes"]}
    assert {name: each["health"] for name, each in found.items()} == {
        "daily": "WELL",
        "stopped": "SILENT",
        "weekly": "WELL",
        "young": "YOUNG",
    }
    assert found["weekly"]["usualDays"] == 7
    assert len(found["daily"]["days"]) == 8


@pytest.mark.usefixtures("told")
async def test_an_answer_says_whose_word_it_rests_on(http: httpx.AsyncClient, store: SqliteStore) -> None:  # noqa: F811
    tell(store, "openlineage:airflow", 0, 1, 2)
    query = """query($start: ID!, $direction: Direction!) { lineage(start: $start, direction: $direction) {
      ... on Lineage { sources { source health } } } }"""
    for start, direction in ((ORDERS, "DOWNSTREAM"), ("job:nightly/report", "UPSTREAM")):
        found = await ask(http, query, start=start, direction=direction)
        assert found["lineage"]["sources"] == [{"source": "openlineage:airflow", "health": "YOUNG"}]
    found = await ask(http, query, start=RETURNS, direction="DOWNSTREAM")
    assert found["lineage"]["sources"] == [], "dbt tells of the table, not of who reads it"


# Whether an asset may go


ORDERS, RETURNS, SCORES = "dataset:warehouse/orders", "dataset:warehouse/returns", "deployment:risk/scores"


def long_ago(text: str, **attributes: Json) -> AssetStatement:
    return AssetStatement(key(text), attributes, now() - 100 * DAY)


@pytest.fixture
def told(store: SqliteStore) -> None:  # noqa: F811
    """Nobody uses `returns` and `scores`; a nightly job reads `orders`, and dbt tells of it."""
    today = now()
    say(store, long_ago(ORDERS), long_ago(RETURNS), now=today, origin="dbt:shop", basis=Basis.IMPORTED)
    reads = FlowStatement(flow(ORDERS, "job:nightly/report"), since=today - 100 * DAY)
    say(
        store,
        long_ago("job:nightly/report"),
        reads,
        now=today,
        origin="openlineage:airflow#job:nightly/report",
        basis=Basis.OBSERVED,
    )
    say(store, long_ago(SCORES), now=today, origin="gateway", basis=Basis.OBSERVED)


async def follow(http: httpx.AsyncClient, receipt: Receipt) -> None:  # noqa: F811
    """The index has it when this returns."""
    await ask(http, 'query($r: Int!) { asset(key: "job:a/b", atLeastRevision: $r) { id } }', r=receipt.revision)


async def removal(http: httpx.AsyncClient, id_: str, **variables: object) -> Answer:  # noqa: F811
    found: Answer = (await ask(http, REMOVAL, id=id_, **variables))["removal"]
    return found


@pytest.mark.usefixtures("told")
async def test_it_is_safe_only_if_all_who_would_have_seen_a_use_were_well(
    http: httpx.AsyncClient,  # noqa: F811
    store: SqliteStore,  # noqa: F811
) -> None:
    found = await removal(http, RETURNS)
    assert found["verdict"] == "UNCOVERED"
    assert found["uncovered"] == ["it is not known how lately openlineage:airflow told something"]
    tell(store, "openlineage:airflow", *range(1, 60))
    found = await removal(http, RETURNS)
    assert (found["verdict"], found["uncovered"]) == ("SAFE", [])
    assert found["watchers"] == [{"source": "openlineage:airflow", "health": "WELL"}]
    found = await removal(http, RETURNS, days=90)
    assert found["verdict"] == "UNCOVERED", "it was not there yet when these days began"


@pytest.mark.usefixtures("told")
async def test_what_is_read_or_called_is_used(http: httpx.AsyncClient, store: SqliteStore) -> None:  # noqa: F811
    found = await removal(http, ORDERS)
    assert (found["verdict"], found["users"]) == ("USED", [{"id": "job:nightly/report"}])
    tell(store, "gateway", *range(60))
    assert (await removal(http, SCORES))["verdict"] == "SAFE"
    at = now() - 10 * DAY
    store.count([Usage(key(SCORES), None, False, day_of(at), 4, 0, at, at)], "tests", 1)
    found = await removal(http, SCORES)
    assert (found["verdict"], found["calls"], found["users"]) == ("USED", 4, []), "by callers that could not be told"
    assert (await removal(http, SCORES, days=5))["verdict"] == "SAFE"


@pytest.mark.usefixtures("told")
async def test_a_caller_that_has_been_silent_is_no_user_but_one_who_declared_it_needs_it(
    http: httpx.AsyncClient,  # noqa: F811
    store: SqliteStore,  # noqa: F811
) -> None:
    today = now()
    tell(store, "gateway", *range(60))
    calls = FlowStatement(flow(SCORES, "consumer:shop/old"), since=today - 90 * DAY)
    await follow(http, say(store, calls, now=today, origin="gateway:claimed", basis=Basis.OBSERVED))
    assert (await removal(http, SCORES))["verdict"] == "SAFE"
    await follow(
        http,
        say(
            store,
            FlowStatement(flow(SCORES, "consumer:shop/old"), since=today - 90 * DAY),
            now=today,
            origin="manifest:shop",
        ),
    )
    found = await removal(http, SCORES)
    assert (found["verdict"], found["needing"]) == ("NEEDED", [{"id": "consumer:shop/old"}])


async def test_a_feature_that_a_served_version_needs_is_needed(http: httpx.AsyncClient, store: SqliteStore) -> None:  # noqa: F811
    feature, version = "feature:shop/spending#average", "model_version:risk/fraud#1"
    signature: Json = {"inputs": [{"name": "average", "feature": feature}]}
    await follow(
        http,
        say(
            store,
            long_ago(feature),
            long_ago(version, signature=signature),
            long_ago(SCORES),
            flow(version, SCORES),
            now=now(),
        ),
    )
    found = await removal(http, feature)
    assert (found["verdict"], found["needing"]) == ("NEEDED", [{"id": SCORES}])
    assert (await removal(http, version))["needing"] == [{"id": SCORES}]
    assert (await removal(http, "model:risk/fraud"))["needing"] == [{"id": SCORES}], "a version of it is served"


async def test_calls_of_what_is_served_elsewhere_are_seen_if_it_exports_traces(
    http: httpx.AsyncClient,  # noqa: F811
    store: SqliteStore,  # noqa: F811
) -> None:
    await follow(http, say(store, long_ago(SCORES), now=now(), origin="kserve:risk", basis=Basis.IMPORTED))
    assert (await removal(http, SCORES))["verdict"] == "UNCOVERED"
    tell(store, "traces:risk/scores", *range(60))
    assert (await removal(http, SCORES))["verdict"] == "SAFE"


@pytest.mark.usefixtures("told")
async def test_who_reads_the_log_of_a_deployment_would_miss_it(http: httpx.AsyncClient, store: SqliteStore) -> None:  # noqa: F811
    tell(store, "gateway", *range(60))
    log = "dataset:predictions/scores"
    await follow(
        http,
        say(store, long_ago(log), flow(SCORES, log), now=now(), origin="gateway:predictions", basis=Basis.OBSERVED),
    )
    assert (await removal(http, SCORES))["verdict"] == "SAFE"
    await follow(http, say(store, long_ago("consumer:bi/report"), flow(log, "consumer:bi/report"), now=now()))
    assert (await removal(http, SCORES))["needing"] == [{"id": "consumer:bi/report"}]


@pytest.mark.usefixtures("told")
async def test_the_unused_are_listed_with_what_is_not_covered(http: httpx.AsyncClient, store: SqliteStore) -> None:  # noqa: F811
    tell(store, "gateway", *range(60))
    found = (await ask(http, UNUSED))["unused"]["nodes"]
    assert [(each["asset"]["id"], each["verdict"]) for each in found] == [(RETURNS, "UNCOVERED"), (SCORES, "SAFE")]
    assert [each["asset"]["id"] for each in (await ask(http, UNUSED, verdict="SAFE"))["unused"]["nodes"]] == [SCORES]
    first = (await ask(http, UNUSED, first=1))["unused"]
    rest = (await ask(http, UNUSED, first=1, after=first["pageInfo"]["endCursor"]))["unused"]
    assert [each["asset"]["id"] for each in (*first["nodes"], *rest["nodes"])] == [RETURNS, SCORES]
    assert (await ask(http, UNUSED, kinds=["MODEL"]))["unused"]["nodes"] == []
    none = (await ask(http, UNUSED, first=0))["unused"]
    assert none == {"nodes": [], "pageInfo": {"hasNextPage": True, "endCursor": None}}


@pytest.mark.usefixtures("told")
async def test_a_use_by_any_of_its_names_is_a_use(http: httpx.AsyncClient, store: SqliteStore) -> None:  # noqa: F811
    tell(store, "openlineage:airflow", *range(1, 60))
    assert (await removal(http, RETURNS))["verdict"] == "SAFE"
    path = "dataset:lake/returns"
    joined = long_ago(path, same_as=[RETURNS])
    await follow(http, say(store, joined, flow(path, "consumer:bi/report"), now=now(), origin="manifest:lake"))
    for name in (RETURNS, path):
        assert (await removal(http, name))["needing"] == [{"id": "consumer:bi/report"}]
    found = (await ask(http, UNUSED, kinds=["DATASET"]))["unused"]["nodes"]
    assert found == []


@pytest.mark.usefixtures("told")
async def test_a_job_that_has_not_run_for_long_is_no_user_but_needs_it(
    http: httpx.AsyncClient,  # noqa: F811
    store: SqliteStore,  # noqa: F811
) -> None:
    origin, reads = "openlineage:airflow#job:nightly/report", flow(ORDERS, "job:nightly/report")
    store.mark_said({(reads, origin): now() - 40 * DAY})
    found = await removal(http, ORDERS)
    assert (found["verdict"], found["users"]) == ("NEEDED", [])
    assert found["needing"] == [{"id": "job:nightly/report"}]
    assert (await removal(http, ORDERS, days=60))["verdict"] == "USED"
    store.mark_said({(reads, origin): now() - DAY})
    assert (await removal(http, ORDERS))["verdict"] == "USED"


@pytest.mark.usefixtures("told")
async def test_a_column_that_only_jobs_of_long_ago_read_is_needed_by_what_they_wrote(
    http: httpx.AsyncClient,  # noqa: F811
    store: SqliteStore,  # noqa: F811
) -> None:
    origin, job = "openlineage:airflow#job:nightly/report", key("job:nightly/report")
    column, written = "column:warehouse/orders#total", "column:warehouse/report#total"
    fine = Flow(key(column), key(written), job)
    reads = flow(column, "job:nightly/report")
    await follow(http, say(store, fine, reads, key(column), now=now(), origin=origin, basis=Basis.OBSERVED))
    whole = flow(ORDERS, "job:nightly/report")
    store.mark_said({(said, origin): now() - 40 * DAY for said in (fine, reads, whole)})
    found = await removal(http, column)
    assert (found["verdict"], found["users"]) == ("NEEDED", [])
    store.mark_said({(fine, origin): now()})
    assert {"id": written} in (await removal(http, column))["users"]


@pytest.mark.usefixtures("told")
async def test_traces_of_who_reads_a_table_count_as_calls_and_say_nothing_of_other_tables(
    http: httpx.AsyncClient,  # noqa: F811
    store: SqliteStore,  # noqa: F811
) -> None:
    tell(store, "gateway", *range(60))
    today, table, other = now(), "dataset:db/orders", "dataset:db/returns"
    reads = FlowStatement(flow(table, "consumer:shop/bi"), since=today - 90 * DAY)
    say(store, long_ago(table), long_ago(other), long_ago("column:db/orders#total"), now=today)
    await follow(http, say(store, reads, now=today, origin="gateway:claimed", basis=Basis.OBSERVED))
    for each in (table, other):
        found = await removal(http, each)
        assert (found["verdict"], found["users"], found["watchers"]) == ("UNCOVERED", [], []), "it was read long ago"
        assert found["uncovered"] == ["no source tells who uses a dataset of db"]
    unused = (await ask(http, UNUSED, kinds=["DATASET"]))["unused"]["nodes"]
    assert {table, other} <= {each["asset"]["id"] for each in unused}
    at = now() - DAY
    store.count([Usage(key(table), key("consumer:shop/bi"), False, day_of(at), 2, 0, at, at)], "tests", 1)
    for each in (table, "column:db/orders#total"):
        found = await removal(http, each)
        assert (found["verdict"], found["users"], found["calls"]) == ("USED", [{"id": "consumer:shop/bi"}], 2)


@pytest.mark.usefixtures("told")
async def test_a_caller_by_several_names_is_one_user(http: httpx.AsyncClient, store: SqliteStore) -> None:  # noqa: F811
    today, proved, claimed = now(), "consumer:shop/checkout", "consumer:default/checkout-api"
    for number, reader in enumerate((proved, claimed)):
        store.count([Usage(key(SCORES), key(reader), False, day_of(today), 1, 0, today, today)], "tests", number)
        seen = flow(SCORES, reader)
        await follow(http, say(store, key(reader), seen, now=today, origin="gateway:claimed", basis=Basis.OBSERVED))
    joined = AssetStatement(key(claimed), {"same_as": [proved]})
    await follow(http, say(store, joined, flow(SCORES, claimed), now=today, origin="manifest:shop"))
    found = await removal(http, SCORES)
    assert (found["users"], found["needing"], found["calls"]) == ([{"id": proved}], [], 2)


async def test_the_traces_of_a_deployment_by_any_of_its_names_are_those_of_it(
    http: httpx.AsyncClient,  # noqa: F811
    store: SqliteStore,  # noqa: F811
) -> None:
    other = long_ago("deployment:default/scores-server", same_as=[SCORES])
    await follow(http, say(store, long_ago(SCORES), other, now=now(), origin="kserve:risk", basis=Basis.IMPORTED))
    assert (await removal(http, SCORES))["verdict"] == "UNCOVERED"
    tell(store, "traces:default/scores-server", *range(60))
    assert (await removal(http, SCORES))["verdict"] == "SAFE"


async def test_the_unused_are_safe_or_not_covered(http: httpx.AsyncClient) -> None:  # noqa: F811
    answer = await http.post("/graphql", json={"query": UNUSED, "variables": {"verdict": "USED"}})
    assert "what nobody uses is SAFE or UNCOVERED" in answer.json()["errors"][0]["message"]


async def test_what_nobody_can_use_is_refused(http: httpx.AsyncClient) -> None:  # noqa: F811
    answer = await http.post("/graphql", json={"query": REMOVAL, "variables": {"id": "consumer:shop/web"}})
    assert "is a consumer; dataset, column" in answer.json()["errors"][0]["message"]


async def test_an_older_document_does_not_roll_the_graph_back(http: httpx.AsyncClient) -> None:  # noqa: F811
    def manifest(generated_at: str, *models: str) -> dict[str, object]:
        nodes = {
            f"model.shop.{name}": {
                "resource_type": "model",
                "unique_id": f"model.shop.{name}",
                "name": name,
                "package_name": "shop",
                "database": "db",
                "schema": "main",
                "alias": name,
                "depends_on": {"nodes": []},
                "columns": {},
            }
            for name in models
        }
        metadata = {
            "dbt_schema_version": "https://schemas.getdbt.com/dbt/manifest/v12.json",
            "project_name": "shop",
            "adapter_type": "postgres",
            "generated_at": generated_at,
        }
        parents: dict[str, list[str]] = {name: [] for name in nodes}
        return {
            "manifest": {"metadata": metadata, "nodes": nodes, "sources": {}, "exposures": {}, "parent_map": parents}
        }

    async def post(document: object, **parameters: str) -> httpx.Response:
        return await http.post("/api/v1/imports/dbt", json=document, params=parameters)

    newer, older = manifest("2026-11-24T06:00:00Z", "orders"), manifest("2026-11-23T06:00:00Z", "returns")
    taken = await post(newer, operation="first")
    assert taken.status_code == 200, taken.text
    late = await post(older)
    assert (late.status_code, late.json()["errors"][0]["extensions"]["code"]) == (409, "OlderDocument")
    assert "as of 2026-11-23T06:00:00Z; as of 2026-11-24T06:00:00Z" in late.json()["errors"][0]["message"]
    assert (await ask(http, REJECTED))["rejectedItems"]["nodes"] == [], "nothing is wrong with it but that it is late"
    found = {each["name"]: each for each in (await ask(http, SOURCES))["sources"]["nodes"]}
    assert found["dbt:shop"]["latestEvent"] == "2026-11-24T06:00:00+00:00"
    forced = await post(older, force="true")
    assert forced.status_code == 200, forced.text
    assert forced.json()["withdrawn"] == 1
    again = await post(newer, operation="first")
    assert again.json()["revision"] == taken.json()["revision"], "an operation is answered once"
    assert (await post(older)).status_code == 409
    assert (await post(older, force="perhaps")).status_code == 400


async def test_what_another_process_imported_last_counts_too(
    http: httpx.AsyncClient,  # noqa: F811
    store: SqliteStore,  # noqa: F811
) -> None:
    async def post(day: int) -> httpx.Response:
        registry = {"lastUpdated": f"2026-11-{day:02}T00:00:00Z", "project": "shop"}
        return await http.post("/api/v1/imports/feast", json={"registry": registry}, params={"origin": "feast:shop"})

    def elsewhere(day: int) -> None:
        at = parse_instant(f"2026-11-{day:02}T00:00:00Z")
        store.hear([Heard("feast:shop", day_of(now()), 1, 0, now(), now(), at, 0)], "another", day)

    elsewhere(3)
    assert (await post(2)).json()["errors"][0]["extensions"]["code"] == "OlderDocument", "before this one was started"
    assert (await post(4)).status_code == 200
    elsewhere(6)
    assert (await post(5)).status_code == 409, "since this process imported it"
    assert (await post(7)).status_code == 200


async def test_a_part_that_was_left_out_stands_until_the_document_is_sent_again(http: httpx.AsyncClient) -> None:  # noqa: F811
    async def post(*statements: str) -> httpx.Response:
        files = [{"path": "etl.sql", "text": ";\n".join(statements)}]
        document = {"dialect": "postgres", "files": files}
        return await http.post("/api/v1/imports/sql", json=document, params={"namespace": "postgres://shop:5432"})

    good = "CREATE TABLE sums AS SELECT day, total FROM orders"
    taken = await post(good, "INSERT INTO sums SELECT FROM WHERE (")
    assert taken.status_code == 200, taken.text
    assert taken.json()["left_out"] == 1
    (item,) = (await ask(http, REJECTED))["rejectedItems"]["nodes"]
    assert (item["source"], item["place"], item["target"]) == ("sql:postgres://shop:5432", "etl.sql:2", "")
    assert item["excerpt"].strip() == "INSERT INTO sums SELECT FROM WHERE ("
    (again,) = (await ask(http, RETAKE, ids=[item["id"]]))["retakeRejected"]
    assert (again["outcome"], "send all of that again" in again["reason"]) == ("REFUSED", True)
    assert (await post(good)).json()["left_out"] == 0
    assert (await ask(http, REJECTED))["rejectedItems"]["nodes"] == []


def event(**wrong: object) -> dict[str, object]:
    at = {"eventTime": "2026-11-24T06:00:00Z", "eventType": "COMPLETE", "producer": "https://airflow.example/1.2.0"}
    run = {"runId": "11111111-2222-3333-4444-555555555555"}
    return at | {"run": run, "job": {"namespace": "nightly", "name": "report"}} | wrong


async def test_events_are_heard_and_wrong_ones_kept_one_by_one(http: httpx.AsyncClient) -> None:  # noqa: F811
    airflow = "openlineage:https://airflow.example"
    batch = [event(), event(job={"namespace": "nightly"}), event(producer=7)]
    answer = await http.post("/api/v1/lineage/batch", json=batch)
    assert answer.json()["summary"]["failed"] == 2
    alone = await http.post("/api/v1/lineage", content=b'{"eventTime": ')
    assert alone.status_code == 400
    found = {each["name"]: each for each in (await ask(http, SOURCES))["sources"]["nodes"]}
    assert (found[airflow]["latestEvent"], found[airflow]["rejected"]) == ("2026-11-24T06:00:00+00:00", 1)
    assert found[airflow]["days"][0]["items"] == 2
    assert (found["openlineage"]["days"][0]["items"], found["openlineage"]["rejected"]) == (2, 2)
    kept = (await ask(http, REJECTED))["rejectedItems"]["nodes"]
    assert {(each["source"], each["place"]) for each in kept} == {
        (airflow, "[1]"),
        ("openlineage", "[2]"),
        ("openlineage", ""),
    }
    retaken = (await ask(http, RETAKE, ids=[each["id"] for each in kept]))["retakeRejected"]
    assert {each["outcome"] for each in retaken} == {"REFUSED"}
    assert {each["times"] for each in (await ask(http, REJECTED))["rejectedItems"]["nodes"]} == {2}


def traces(service: str | None, *spans: object) -> dict[str, object]:
    named = [{"key": "service.name", "value": {"stringValue": service}}] if service else []
    return {"resourceSpans": [{"resource": {"attributes": named}, "scopeSpans": [{"spans": [*spans]}]}]}


async def test_services_that_export_traces_are_heard_and_wrong_spans_kept_with_who_sent_them(
    http: httpx.AsyncClient,  # noqa: F811
) -> None:
    right = {"traceId": "1" * 32, "spanId": "2" * 16, "kind": 2, "startTimeUnixNano": str(now() * 1000)}
    wrong = right | {"spanId": "zz"}
    answer = await http.post("/v1/traces", json=traces("checkout", right, wrong))
    assert answer.json()["partialSuccess"]["rejectedSpans"] == "1"
    await http.post("/v1/traces", json=traces(None, right | {"spanId": "3" * 16}))
    assert (await http.post("/v1/traces", json=[])).status_code == 400
    found = {each["name"]: each for each in (await ask(http, SOURCES))["sources"]["nodes"]}
    checkout, nobody = found["traces:default/checkout"], found["traces:unidentified"]
    assert (checkout["days"][0]["items"], checkout["days"][0]["rejected"], checkout["rejected"]) == (2, 1, 1)
    assert (nobody["days"][0]["items"], nobody["rejected"]) == (2, 1)
    (item,) = (await ask(http, REJECTED, source="traces:default/checkout"))["rejectedItems"]["nodes"]
    assert (item["place"], item["target"]) == ("resourceSpans[0].scopeSpans[0].spans[1]", "/v1/traces")
    kept = (await http.get(item["url"])).json()
    assert kept == traces("checkout", wrong)
    (again,) = (await ask(http, RETAKE, ids=[item["id"]]))["retakeRejected"]
    assert (again["outcome"], again["reason"]) == ("REFUSED", item["reason"])
