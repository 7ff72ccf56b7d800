"""The check and the manifest over GraphQL: parity with typed input, unidentified callers, and how wrong documents are answered."""

from typing import Any

import httpx
import pytest
import yaml

from app.compose import now
from graph.keys import AssetKey
from graph.stores.sqlite import SqliteStore
from graph.usage import Usage, day_of
from tests.app.test_graphql import Answer, ask, change, http, store  # noqa: F401 (fixtures)

pytestmark = pytest.mark.anyio

CHECK = """
query Check($base: [DocumentInput!]!, $head: [DocumentInput!]!) {
  check(base: $base, head: $head) {
    __typename
    ... on Check {
      outcome revision unidentifiedCalls
      findings { id alteration verdict reason known asset { id } counts { when kind count } affected { asset { id } } }
      affected { verdict when changes path asset { id usage { calls } verified owners { name } } }
    }
    ... on Problem { message }
    ... on InvalidInput { code value }
  }
}
"""
APPLY = """
mutation Apply($documents: [DocumentInput!]!, $plan: String, $operationId: String) {
  applyDocuments(documents: $documents, plan: $plan, operationId: $operationId) {
    __typename
    ... on Applied { changed revision added }
    ... on PlanDiffers { plan { digest changes } }
    ... on Problem { message }
    ... on InvalidInput { code }
  }
}
"""
PLAN = """
query Plan($documents: [DocumentInput!]!) {
  plan(documents: $documents) {
    __typename
    ... on Plan { digest changes touches { counts { kind count } told { asset { id } hops } } origins { origin documents } }
    ... on Problem { message }
  }
}
"""

WRITTEN = """
version: 1
origin: manifest:parity
namespace: shop
datasets:
  - name: orders
    namespace: warehouse
    description: One row an order
    owners: [commerce, {name: finance, contact: "#finance"}]
    tags: [money, daily]
    tier: 1
    environment: production
    source_link: https://git.example/orders.sql
    attributes: {location: orders.parquet}
    columns:
      - {name: amount, type: double, nullable: false}
      - {path: [address, street], type: text}
  - {name: day, derived_from: orders#amount}
feature_views:
  - name: spending
    entities: [customer]
    source: orders
    features: [{name: mean, type: double, definition: avg(amount), derived_from: orders#amount}]
jobs:
  - {name: train, definition: fit, inputs: ["spending:mean"], outputs: [day]}
  - {name: copy, column_lineage: [{source: orders#amount, target: day}]}
models: [{name: fraud, aliases: {champion: "1"}}]
model_versions:
  - model: fraud
    version: "1"
    signature: {inputs: [{name: mean, type: double, shape: [-1], feature: "spending:mean"}], outputs: [{name: p}]}
    hyperparameters: {depth: 3}
    metrics: {auc: 0.9}
    artifact: {uri: "artifact:x", digest: "sha256:x"}
    profile: {rows: 0, inputs: {}, outputs: {}}
deployments:
  - {name: fraud, url: "https://fraud.example", features_from: request, serves: fraud@champion, logs_to: day}
  - {name: both, calls: fraud, reads: [spending]}
consumers: [{name: checkout, type: service, uses: [both], writes: [day]}]
"""
TYPED = {
    "complete": True,
    "datasets": [
        {
            "namespace": "warehouse",
            "name": "orders",
            "description": "One row an order",
            "owners": [{"name": "commerce"}, {"name": "finance", "contact": "#finance"}],
            "tags": ["money", "daily"],
            "tier": 1,
            "environment": "production",
            "sourceLink": "https://git.example/orders.sql",
            "attributes": {"location": "orders.parquet"},
            "columns": [
                {"path": ["amount"], "type": "double", "nullable": False},
                {"path": ["address", "street"], "type": "text"},
            ],
        },
        {"namespace": "shop", "name": "day", "derivedFrom": ["column:warehouse/orders#amount"]},
    ],
    "featureViews": [
        {
            "namespace": "shop",
            "name": "spending",
            "entities": ["customer"],
            "derivedFrom": ["dataset:warehouse/orders"],
            "features": [
                {
                    "name": "mean",
                    "type": "double",
                    "definition": "avg(amount)",
                    "derivedFrom": ["column:warehouse/orders#amount"],
                }
            ],
        }
    ],
    "jobs": [
        {
            "namespace": "shop",
            "name": "train",
            "definition": "fit",
            "inputs": ["feature:shop/spending#mean"],
            "outputs": ["dataset:shop/day"],
        },
        {
            "namespace": "shop",
            "name": "copy",
            "columnLineage": [{"source": "column:warehouse/orders#amount", "target": "dataset:shop/day"}],
        },
    ],
    "models": [{"namespace": "shop", "name": "fraud"}],
    "modelVersions": [
        {
            "model": "model:shop/fraud",
            "version": "1",
            "signature": {
                "inputs": [{"name": "mean", "type": "double", "shape": [-1], "feature": "feature:shop/spending#mean"}],
                "outputs": [{"name": "p"}],
            },
            "hyperparameters": {"depth": 3},
            "metrics": {"auc": 0.9},
            "artifact": {"uri": "artifact:x", "digest": "sha256:x"},
            "profile": {"rows": 0, "inputs": {}, "outputs": {}},
        }
    ],
    "modelAliases": [{"model": "model:shop/fraud", "alias": "champion", "version": "1"}],
    "deployments": [
        {
            "namespace": "shop",
            "name": "fraud",
            "url": "https://fraud.example",
            "featuresFrom": "REQUEST",
            "serves": ["model_version:shop/fraud#%40champion"],
            "logsTo": ["dataset:shop/day"],
        },
        {
            "namespace": "shop",
            "name": "both",
            "calls": ["deployment:shop/fraud"],
            "reads": ["feature_view:shop/spending"],
        },
    ],
    "consumers": [
        {
            "namespace": "shop",
            "name": "checkout",
            "consumerType": "SERVICE",
            "uses": ["deployment:shop/both"],
            "writes": ["dataset:shop/day"],
        }
    ],
}


@pytest.fixture
def api(http: httpx.AsyncClient) -> httpx.AsyncClient:  # noqa: F811
    return http


@pytest.fixture
def kept(store: SqliteStore) -> SqliteStore:  # noqa: F811
    return store


def document(**changed: object) -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load(WRITTEN)
    return read | changed


async def check(api: httpx.AsyncClient, base: object, head: object) -> Answer:
    sides = ([{"path": "headwater.yaml", "content": each}] if each else [] for each in (base, head))
    answer: Answer = (await ask(api, CHECK, **dict(zip(("base", "head"), sides, strict=True))))["check"]
    return answer


async def apply(api: httpx.AsyncClient, *written: object, **options: object) -> Answer:
    answer: Answer = (await ask(api, APPLY, documents=documents(*written), **options))["applyDocuments"]
    return answer


async def plan(api: httpx.AsyncClient, *written: object) -> Answer:
    answer: Answer = (await ask(api, PLAN, documents=documents(*written)))["plan"]
    return answer


def documents(*written: object) -> list[dict[str, object]]:
    return [{"path": f"{number}.headwater.yaml", "content": each} for number, each in enumerate(written)]


async def test_a_manifest_says_what_the_same_content_says_in_typed_input(api: httpx.AsyncClient) -> None:
    envelope = {"origin": "manifest:parity"}
    typed = await change(api, "register(manifest: $manifest, envelope: $envelope)", manifest=TYPED, envelope=envelope)
    assert typed["changed"] is True, typed
    applied = await apply(api, document())
    assert (applied["__typename"], applied["changed"]) == ("Applied", False), applied
    assert (await plan(api, document()))["changes"] == []


async def test_what_a_manifest_no_longer_declares_is_withdrawn(api: httpx.AsyncClient) -> None:
    await apply(api, document())
    planned = await plan(api, document(consumers=[]))
    assert [change["verb"] for change in planned["changes"]] == ["WITHDRAWN"] * 3
    assert planned["origins"] == [{"origin": "manifest:parity", "documents": ["0.headwater.yaml"]}]
    assert (await apply(api, document(consumers=[]), plan=planned["digest"]))["changed"] is True
    asked = await ask(api, '{ asset(key: "consumer:shop/checkout") { id } }')
    assert asked["asset"] is None


async def test_documents_of_several_origins_may_refer_to_each_other_and_hold_together(api: httpx.AsyncClient) -> None:
    other = {"version": 1, "namespace": "other", "consumers": [{"name": "page", "uses": ["deployment:shop/both"]}]}
    assert (await plan(api, other))["__typename"] == "InvalidInput"
    before = (await ask(api, "{ head { revision } }"))["head"]["revision"]
    assert (await apply(api, other, document()))["revision"] == before + 1
    wrong = {"version": 1, "namespace": "third", "consumers": [{"name": "x", "uses": ["deployment:shop/bath"]}]}
    refused = await apply(api, document(consumers=[]), wrong)
    assert refused["message"] == (
        "1.headwater.yaml: consumers[0].uses[0]: deployment:shop/bath is not registered; declare it here, or apply what"
        " declares it first; did you mean deployment:shop/both?"
    )
    assert (await ask(api, "{ head { revision } }"))["head"]["revision"] == before + 1


async def test_what_an_origin_no_longer_says_is_nothing_that_it_may_refer_to(api: httpx.AsyncClient) -> None:
    await apply(api, document())
    left = {"version": 1, "origin": "manifest:parity", "namespace": "shop"}
    refused = await apply(api, left | {"consumers": [{"name": "c", "uses": ["deployment:shop/both"]}]})
    assert "deployment:shop/both is not registered" in refused["message"]


async def test_a_plan_is_done_exactly_or_not_at_all(api: httpx.AsyncClient) -> None:
    await apply(api, document())
    planned = await plan(api, document(consumers=[]))
    await change(api, "register(manifest: $manifest)", manifest={"datasets": [{"namespace": "x", "name": "unrelated"}]})
    (dataset, *others) = document()["datasets"]
    await apply(api, document(datasets=[dataset | {"tier": 2}, *others]))
    refused = await apply(api, document(consumers=[]), plan=planned["digest"])
    assert refused["__typename"] == "PlanDiffers"
    assert [each["subject"] for each in refused["plan"]["changes"] if each["verb"] == "CHANGED"] == [
        "dataset:warehouse/orders"
    ]
    await apply(api, document())
    assert (await apply(api, document(consumers=[]), plan=planned["digest"]))["changed"] is True
    assert (await apply(api, document(consumers=[]), plan=planned["digest"]))["changed"] is False


async def test_what_downstream_a_plan_touches_is_counted(api: httpx.AsyncClient) -> None:
    await apply(api, document())
    (dataset, *others) = document()["datasets"]
    retyped = dataset | {"columns": [{"name": "amount", "type": "text"}, dataset["columns"][1]]}
    touches = (await plan(api, document(datasets=[retyped, *others])))["touches"]
    assert [each["asset"]["id"] for each in touches["told"]] == ["deployment:shop/both", "consumer:shop/checkout"]
    described = dataset | {"description": "another"}
    assert (await plan(api, document(datasets=[described, *others])))["touches"]["counts"] == []


async def test_an_operation_is_done_once(api: httpx.AsyncClient) -> None:
    first = await apply(api, document(), operationId="once")
    await apply(api, document(consumers=[]))
    assert await apply(api, document(), operationId="once") == first
    assert (await ask(api, '{ asset(key: "consumer:shop/checkout") { id } }'))["asset"] is None
    assert (await apply(api, document(jobs=[]), operationId="once"))["__typename"] == "OperationReused"


async def test_a_check_names_whom_a_change_breaks_and_changes_nothing(api: httpx.AsyncClient) -> None:
    revision = (await apply(api, document()))["revision"]
    retyped = document()
    retyped["feature_views"][0]["features"][0]["type"] = "text"
    checked = await check(api, document(), retyped)
    assert (checked["outcome"], checked["revision"]) == ("BLOCKED", revision)
    (finding,) = checked["findings"]
    assert (finding["asset"]["id"], finding["alteration"]) == ("feature:shop/spending#mean", "RETYPED")
    worst = {each["asset"]["id"]: each for each in checked["affected"]}
    assert worst["deployment:shop/both"]["path"] == ["feature:shop/spending#mean", "deployment:shop/both"]
    assert worst["consumer:shop/checkout"]["changes"] == ["feature:shop/spending#mean"]
    assert (await ask(api, "{ head { revision } }"))["head"]["revision"] == revision


async def test_callers_that_could_not_be_told_keep_a_removal_from_being_clean(
    api: httpx.AsyncClient,
    kept: SqliteStore,
) -> None:
    lonely = document(deployments=[{"name": "old"}], consumers=[])
    await apply(api, lonely)
    gone = document(deployments=[], consumers=[])
    assert (await check(api, lonely, gone))["outcome"] == "CLEAN"
    at = now()
    old = AssetKey.parse("deployment:shop/old")
    kept.count([Usage(old, None, False, day_of(at), 7, 0, at, at)], "tests", 1)
    checked = await check(api, lonely, gone)
    assert (checked["outcome"], checked["unidentifiedCalls"]) == ("NEEDS_ACKNOWLEDGEMENT", 7)


async def test_a_wrong_document_is_told_with_its_places(api: httpx.AsyncClient) -> None:
    wrong = document(datasets=[{"nam": "orders"}])
    answered = await check(api, {"version": 1}, wrong)
    assert (answered["__typename"], answered["code"]) == ("InvalidInput", "InvalidManifest")
    lines = answered["message"].splitlines()
    assert lines[0].startswith("base: headwater.yaml: origin: missing")
    assert "head: headwater.yaml: datasets[0].nam: unknown field; did you mean name?" in lines
    assert (await apply(api, [1]))["message"].startswith("0.headwater.yaml: the document: a list is not a mapping")


async def test_two_times_nothing_changes_nothing(api: httpx.AsyncClient) -> None:
    checked = await check(api, None, None)
    assert (checked["outcome"], checked["findings"]) == ("CLEAN", [])


async def test_a_store_that_does_not_answer_is_told_from_a_wrong_question(
    api: httpx.AsyncClient, kept: SqliteStore
) -> None:
    kept.close()
    answer = await api.post("/graphql", json={"query": CHECK, "variables": {"base": [], "head": []}})
    assert answer.json()["errors"][0]["extensions"]["code"] == "StoreUnavailable"
