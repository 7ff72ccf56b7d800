"""The public API on a fresh store: what can be registered and asked, and how wrong input is answered."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import httpx
import pytest

from app.compose import furnish, now
from app.hosting import Hosted
from app.http.answers import STATUS, status_of
from app.identity import OpenTokens
from app.main import create_app
from app.metrics import Metrics
from app.service import Headwater
from app.settings import Settings
from graph.errors import GraphError, NotReady, StoreIncompatible, StoreUnavailable
from graph.index import LineageIndex
from graph.stores.sqlite import SqliteStore

pytestmark = pytest.mark.anyio

Answer: TypeAlias = dict[str, Any]

RESULT = """
    __typename
    ... on Registered { changed revision added updated withdrawn assets { id } plan { verb subject } }
    ... on Problem { message }
    ... on InvalidInput { code value }
    ... on UnknownAsset { key }
    ... on StaleVersion { key expected current }
    ... on OperationReused { operationId }
"""
MANIFEST = {
    "datasets": [
        {
            "namespace": "warehouse",
            "name": "orders",
            "owners": [{"name": "commerce", "contact": "#commerce"}],
            "columns": [{"path": ["amount"], "type": "double"}, {"path": ["note"], "type": "text"}],
        }
    ],
    "featureViews": [
        {
            "namespace": "shop",
            "name": "spending",
            "entities": ["customer"],
            "features": [{"name": "average", "derivedFrom": ["column:warehouse/orders#amount"]}],
        }
    ],
    "jobs": [{"namespace": "training", "name": "fraud"}],
    "runs": [
        {
            "job": "job:training/fraud",
            "runId": "11111111-2222-3333-4444-555555555555",
            "inputs": ["feature:shop/spending#average"],
        }
    ],
    "models": [{"namespace": "risk", "name": "fraud", "tags": ["pii"], "tier": 1}],
    "modelVersions": [
        {
            "model": "model:risk/fraud",
            "version": "1",
            "run": "run:training/fraud#11111111-2222-3333-4444-555555555555",
            "metrics": {"auc": 0.91},
            "signature": {"inputs": [{"name": "average", "feature": "feature:shop/spending#average"}]},
        }
    ],
    "modelAliases": [{"model": "model:risk/fraud", "alias": "champion", "version": "1"}],
    "deployments": [{"namespace": "prod", "name": "fraud", "serves": ["model_version:risk/fraud#%40champion"]}],
    "consumers": [
        {"namespace": "prod", "name": "checkout", "consumerType": "SERVICE", "uses": ["deployment:prod/fraud"]}
    ],
}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(tmp_path / "lineage.db")
    yield store
    store.close()


@pytest.fixture
async def http(store: SqliteStore) -> AsyncIterator[httpx.AsyncClient]:
    index = LineageIndex(store)
    index.load()
    app = create_app(
        Hosted(Headwater(store, index, now, patience=0.2)),
        OpenTokens(),
        Settings(),
        furnish(Settings(), now, Metrics()),
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost:8321") as client:
        yield client


async def ask(http: httpx.AsyncClient, query: str, **variables: object) -> Answer:
    headers = {"Accept": "application/graphql-response+json"}
    response = await http.post("/graphql", json={"query": query, "variables": variables}, headers=headers)
    answer = response.json()
    assert "errors" not in answer, answer
    data: Answer = answer["data"]
    return data


async def change(http: httpx.AsyncClient, mutation: str, **variables: object) -> Answer:
    declared = ", ".join(
        f"${name}: {'ManifestInput!' if name == 'manifest' else 'EnvelopeInput'}" for name in variables
    )
    data = await ask(
        http, f"mutation{f'({declared})' if declared else ''} {{ it: {mutation} {{ {RESULT} }} }}", **variables
    )
    answer: Answer = data["it"]
    return answer


async def load(http: httpx.AsyncClient) -> Answer:
    return await change(http, "register(manifest: $manifest)", manifest=MANIFEST)


# Registering


async def test_a_whole_manifest_is_one_revision_and_registering_it_twice_changes_nothing(
    http: httpx.AsyncClient,
) -> None:
    first = await load(http)
    assert (first["changed"], first["revision"]) == (True, 1)
    second = await load(http)
    assert (second["changed"], second["revision"], second["added"]) == (False, 1, 0)


async def test_a_dry_run_says_what_would_change_and_changes_nothing(http: httpx.AsyncClient) -> None:
    planned = await change(
        http, "register(manifest: $manifest, envelope: $envelope)", manifest=MANIFEST, envelope={"dryRun": True}
    )
    assert planned["added"] == len(planned["plan"]) > 10
    assert (await ask(http, "{ head { revision } }"))["head"]["revision"] == 0


async def test_a_complete_manifest_withdraws_what_it_no_longer_names(http: httpx.AsyncClient) -> None:
    await load(http)
    smaller = {**MANIFEST, "consumers": [], "complete": True}
    answer = await change(http, "register(manifest: $manifest)", manifest=smaller)
    assert (answer["withdrawn"], answer["added"]) == (2, 0)  # the consumer, and the flow to it
    asked = await ask(http, '{ asset(key: "deployment:prod/fraud") { consumers { total } } }')
    assert asked["asset"]["consumers"]["total"] == 0


async def test_an_operation_id_gives_the_first_answer_again_and_refuses_another_body(http: httpx.AsyncClient) -> None:
    envelope = {"operationId": "0a1b"}
    again = 'registerModel(input: {namespace: "risk", name: "churn"}, envelope: $envelope)'
    first = await change(http, again, envelope=envelope)
    assert await change(http, again, envelope=envelope) == first
    other = 'registerModel(input: {namespace: "risk", name: "other"}, envelope: $envelope)'
    refused = await change(http, other, envelope=envelope)
    assert (refused["__typename"], refused["operationId"]) == ("OperationReused", "0a1b")


async def test_a_stale_version_is_refused_with_the_current_one(http: httpx.AsyncClient) -> None:
    await load(http)
    mutation = 'registerModel(input: {namespace: "risk", name: "fraud", tier: 2, expectedVersion: %d})'
    assert (await change(http, mutation % 1))["__typename"] == "Registered"
    stale = await change(http, mutation % 1)
    assert (stale["__typename"], stale["expected"], stale["current"]) == ("StaleVersion", 1, 2)


async def test_null_takes_an_attribute_back_and_absence_leaves_it(http: httpx.AsyncClient) -> None:
    await load(http)
    await change(http, 'registerModel(input: {namespace: "risk", name: "fraud", description: "finds fraud"})')
    await change(http, 'registerModel(input: {namespace: "risk", name: "fraud", tier: null})')
    asked = await ask(http, '{ asset(key: "model:risk/fraud") { description tier tags } }')
    assert asked["asset"] == {"description": "finds fraud", "tier": None, "tags": ["pii"]}


async def test_one_origin_cannot_withdraw_what_another_says(http: httpx.AsyncClient) -> None:
    await load(http)
    refused = await change(
        http,
        'withdraw(input: {assets: ["model:risk/fraud"]}, envelope: $envelope)',
        envelope={"origin": "somebody else"},
    )
    assert refused["__typename"] == "Refused"
    assert "'api:anonymous' did" in refused["message"]


# Asking


async def test_the_three_questions_of_runway(http: httpx.AsyncClient) -> None:
    await load(http)
    asked = await ask(
        http,
        """{
          feature: asset(key: "feature:shop/spending#average") {
            deployments { edges { hops when node { id ... on Deployment { serves { alias asset { id } } } } } }
          }
          model: asset(key: "model:risk/fraud") { upstreamModels { total } }
          deployment: asset(key: "deployment:prod/fraud") { consumers { nodes { id } } }
        }""",
    )
    assert asked["feature"]["deployments"]["edges"] == [
        {
            "hops": 1,
            "when": "NOW",
            "node": {
                "id": "deployment:prod/fraud",
                "serves": [{"alias": "champion", "asset": {"id": "model_version:risk/fraud#1"}}],
            },
        }
    ]
    assert asked["model"]["upstreamModels"]["total"] == 0
    assert asked["deployment"]["consumers"]["nodes"] == [{"id": "consumer:prod/checkout"}]


async def test_an_answer_says_its_revision_and_whether_it_is_whole(http: httpx.AsyncClient) -> None:
    await load(http)
    query = """query($depth: Int) { lineage(start: "column:warehouse/orders#amount", depth: $depth) {
        ... on Lineage { revision complete incompleteReason frontier { id } total
                         counts { byKind { kind count } byOwner { owner count } byWhen { when count } } columns } } }"""
    whole = (await ask(http, query))["lineage"]
    assert (whole["revision"], whole["complete"], whole["frontier"]) == (1, True, [])
    assert {"when": "NEXT_TRAINING", "count": 4} in whole["counts"]["byWhen"]
    assert len(whole["columns"]["key"]) == whole["total"] == sum(each["count"] for each in whole["counts"]["byKind"])
    cut = (await ask(http, query, depth=1))["lineage"]
    assert (cut["complete"], cut["incompleteReason"]) == (False, "DEPTH")
    assert {"id": "feature:shop/spending#average"} in cut["frontier"]


async def test_pages_of_one_answer_are_of_one_moment(http: httpx.AsyncClient) -> None:
    await load(http)
    query = """query($after: String) { lineage(start: "dataset:warehouse/orders") { ... on Lineage {
        assets(first: 3, after: $after) { total pageInfo { hasNextPage endCursor } nodes { id } } } } }"""
    found: list[str] = []
    after = None
    while True:
        page = (await ask(http, query, after=after))["lineage"]["assets"]
        found += [node["id"] for node in page["nodes"]]
        await change(
            http,
            f'registerConsumer(input: {{namespace: "a", name: "n{len(found)}", uses: ["dataset:warehouse/orders"]}})',
        )
        if not page["pageInfo"]["hasNextPage"]:
            break
        after = page["pageInfo"]["endCursor"]
    assert len(found) == len(set(found)) == page["total"]
    assert not any(key.startswith("consumer:a/") for key in found)


async def test_yesterdays_truth_is_still_there(http: httpx.AsyncClient) -> None:
    await load(http)
    await change(http, 'withdraw(input: {assets: ["consumer:prod/checkout"]})')
    query = """query($known: KnownAtInput) { lineage(start: "deployment:prod/fraud", knownAt: $known) {
        ... on Lineage { total } } }"""
    assert (await ask(http, query))["lineage"]["total"] == 0
    assert (await ask(http, query, known={"revision": 1}))["lineage"]["total"] == 1


async def test_history_says_what_changed_when_and_who_said_so(http: httpx.AsyncClient) -> None:
    await load(http)
    await change(http, 'registerModel(input: {namespace: "risk", name: "fraud", tier: 3})')
    query = '{ asset(key: "model:risk/fraud") { history { nodes { number actor changes { verb subject origin } } } } }'
    newest = (await ask(http, query))["asset"]["history"]["nodes"][0]
    change_ = {"verb": "CHANGED", "subject": "model:risk/fraud", "origin": "api:anonymous"}
    assert newest == {"number": 2, "actor": "anonymous", "changes": [change_]}


async def test_moving_an_alias_is_in_the_history_of_its_model(http: httpx.AsyncClient) -> None:
    await load(http)
    await change(http, 'registerModelVersion(input: {model: "model:risk/fraud", version: "2"})')
    await change(http, 'registerModelAlias(input: {model: "model:risk/fraud", alias: "champion", version: "2"})')
    query = """{ model: asset(key: "model:risk/fraud") { history { nodes { number changes { verb subject } } } }
                 deployment: asset(key: "deployment:prod/fraud") { ... on Deployment { serves { alias asset { id } } } } }"""
    asked = await ask(http, query)
    moved = {"verb": "CHANGED", "subject": "model_version:risk/fraud#%40champion"}
    assert asked["model"]["history"]["nodes"][0] == {"number": 3, "changes": [moved]}
    assert asked["deployment"]["serves"] == [{"alias": "champion", "asset": {"id": "model_version:risk/fraud#2"}}]


async def test_nothing_depends_on_it_differs_from_not_known(http: httpx.AsyncClient) -> None:
    await load(http)
    query = "query($start: ID!) { lineage(start: $start) { __typename ... on Lineage { total complete } } }"
    alone = (await ask(http, query, start="consumer:prod/checkout"))["lineage"]
    assert alone == {"__typename": "Lineage", "total": 0, "complete": True}
    assert (await ask(http, query, start="consumer:prod/chekout"))["lineage"]["__typename"] == "UnknownAsset"


async def test_a_revision_that_does_not_come_is_said_not_awaited_for_ever(http: httpx.AsyncClient) -> None:
    await load(http)
    query = '{ lineage(start: "model:risk/fraud", atLeastRevision: 99) { __typename ... on Problem { message } } }'
    answer = (await ask(http, query))["lineage"]
    assert answer["__typename"] == "RevisionUnavailable"
    assert "99" in answer["message"]


async def test_exports_hold_what_the_answer_holds(http: httpx.AsyncClient) -> None:
    await load(http)
    asked = {"start": "column:warehouse/orders#amount", "kind": "deployment"}
    table = (await http.get("/api/v1/lineage.json", params=asked)).json()
    assert (table["total"], table["columns"]["key"]) == (1, ["deployment:prod/fraud"])
    lines = (await http.get("/api/v1/lineage.ndjson", params=asked)).text.splitlines()
    assert len(lines) == 3
    del asked["kind"]
    mermaid = (await http.get("/api/v1/lineage.mmd", params=asked)).text
    assert '["feature average"]' in mermaid
    assert mermaid.count("-->") + mermaid.count("-.->") == 6
    assert (await http.get("/api/v1/lineage.dot", params=asked)).text.startswith("digraph lineage {")


# Wrong input


LONG = "x" * 1025
WRONG = {
    "an unknown kind": ('registerFlow(input: {source: "table:a/b", target: "dataset:a/b"})', "'table'"),
    "a malformed key": ('registerFlow(input: {source: "orders", target: "dataset:a/b"})', "'orders'"),
    "a key that is not canonical": (
        'registerFlow(input: {source: "dataset:a/%62", target: "dataset:a/b"})',
        "dataset:a/b",
    ),
    "a key that is not UTF-8": ('registerFlow(input: {source: "dataset:a/%FF", target: "dataset:a/b"})', "%FF"),
    "kinds that nothing joins": (
        'registerFlow(input: {source: "dataset:warehouse/orders", target: "model:risk/fraud"})',
        "dataset:warehouse/orders",
    ),
    "a flow into itself": (
        'registerFlow(input: {source: "dataset:warehouse/orders", target: "dataset:warehouse/orders"})',
        "itself",
    ),
    "a control character": (r'registerModel(input: {namespace: "a", name: "b\u0007"})', r"b\x07"),
    "a NUL": (r'registerModel(input: {namespace: "a\u0000", name: "b"})', r"a\x00"),
    "an empty name": ('registerModel(input: {namespace: "a", name: ""})', "empty"),
    "outer space": ('registerModel(input: {namespace: "a", name: " b"})', "' b'"),
    "a name too long": (f'registerModel(input: {{namespace: "a", name: "{LONG}"}})', "1026"),
    "a tier that is none": ('registerModel(input: {namespace: "a", name: "b", tier: 5})', "5"),
    "a version like an alias": (
        'registerModelVersion(input: {model: "model:risk/fraud", version: "@x"})',
        "@x",
    ),
    "an alias without a name": (
        'registerModelAlias(input: {model: "model:risk/fraud", alias: "", version: "1"})',
        "model:risk/fraud",
    ),
    "an alias of what cannot be a version": (
        r'registerModelAlias(input: {model: "model:risk/fraud", alias: "champion", version: "1\u0007"})',
        r"1\x07",
    ),
    "an alias of an alias": (
        'registerModelAlias(input: {model: "model:risk/fraud", alias: "champion", version: "@other"})',
        "@other",
    ),
    "a column of a model": ('registerColumn(input: {dataset: "model:risk/fraud", path: ["x"]})', "model:risk/fraud"),
    "an attribute's bad name": ('registerModel(input: {namespace: "a", name: "b", attributes: {Bad: 1}})', "Bad"),
    "a time without zone": (
        'registerModel(input: {namespace: "a", name: "b"}, envelope: {validFrom: "2026-01-01T00:00:00"})',
        "time zone",
    ),
    "a time ahead of the clock": (
        'registerModel(input: {namespace: "a", name: "b"}, envelope: {validFrom: "2999-01-01T00:00:00Z"})',
        "2999",
    ),
    "an interval that is empty": (
        'registerModel(input: {namespace: "a", name: "b"}, envelope: {validFrom: "2020-01-02T00:00:00Z", validUntil: "2020-01-01T00:00:00Z"})',
        "2020-01-01",
    ),
    "an origin with a line break": (
        r'registerModel(input: {namespace: "a", name: "b"}, envelope: {origin: "x\ny"})',
        r"x\ny",
    ),
}


@pytest.mark.parametrize("case", WRONG)
async def test_wrong_input_is_a_typed_error_that_shows_the_value(http: httpx.AsyncClient, case: str) -> None:
    await load(http)
    mutation, shown = WRONG[case]
    answer = await change(http, mutation)
    assert answer["__typename"] == "InvalidInput", answer
    assert shown in answer["message"]
    assert (await ask(http, "{ head { revision } }"))["head"]["revision"] == 1


async def test_an_unknown_end_of_a_flow_is_named_and_nothing_of_the_request_is_kept(http: httpx.AsyncClient) -> None:
    manifest = {
        "datasets": [{"namespace": "warehouse", "name": "fine"}],
        "consumers": [{"namespace": "prod", "name": "reader", "uses": ["dataset:warehouse/ordesr"]}],
    }
    answer = await change(http, "register(manifest: $manifest)", manifest=manifest)
    assert (answer["__typename"], answer["key"]) == ("UnknownAsset", "dataset:warehouse/ordesr")
    assert (await ask(http, '{ asset(key: "dataset:warehouse/fine") { id } }'))["asset"] is None


async def test_a_body_of_twenty_megabytes_is_refused_and_nothing_else_is_lost(http: httpx.AsyncClient) -> None:
    refused = await http.post("/graphql", json={"query": "{ head { revision } }", "operationName": "x" * 20_000_000})
    assert refused.status_code == 413
    assert (await ask(http, "{ head { revision } }"))["head"]["revision"] == 0


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"start": "column:a/b#c"}, 404),
        ({"start": "nonsense"}, 400),
        ({}, 400),
        ({"start": "model:risk/fraud", "direction": "SIDEWAYS"}, 400),
        ({"start": "model:risk/fraud", "depth": "-1"}, 400),
        ({"start": "model:risk/fraud", "at": "yesterday"}, 400),
        ({"start": "model:risk/fraud", "atLeastRevision": "99"}, 409),
    ],
)
async def test_wrong_questions_to_exports_have_a_status_and_a_sentence(
    http: httpx.AsyncClient, query: dict[str, str], status: int
) -> None:
    await load(http)
    response = await http.get("/api/v1/lineage.ndjson", params=query)
    assert response.status_code == status
    assert len(response.json()["errors"][0]["message"]) > 20


def every_error(cls: type[GraphError] = GraphError) -> Iterator[type[GraphError]]:
    for sub in cls.__subclasses__():
        yield sub
        yield from every_error(sub)


@pytest.mark.parametrize("error", list(every_error()))
def test_every_error_has_a_status_and_is_a_problem_or_the_services_own(error: type[GraphError]) -> None:
    from app.graphql.problems import Problem, problem

    made = error.__new__(error)
    assert any(cls in STATUS for cls in error.__mro__)
    assert 400 <= status_of(made) < 600
    if not issubclass(error, NotReady | StoreUnavailable | StoreIncompatible):
        for name in ("value", "key", "expected", "current", "operation"):
            setattr(made, name, 0)
        assert isinstance(problem(made), Problem)
