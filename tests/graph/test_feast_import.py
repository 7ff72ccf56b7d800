"""Feast's registry, as registrations."""

import base64
import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings

from graph.changes import Registration
from graph.errors import InvalidInput, InvalidManifest
from graph.importers.feast import read_feast
from graph.model import Basis
from graph.plan import RegistrationPlan
from graph.time import parse_instant
from tests.mangling import mangled
from tests.said import attributes, flows, keys
from tests.saying import flow, key

NOW = parse_instant("2026-11-24T12:00:00Z")
FILE = "s3%3A%2F%2Flake/orders.parquet"


def fields(*names: str) -> list[dict[str, Any]]:
    return [{"name": name, "valueType": "FLOAT"} for name in names]


def file_source(**more: Any) -> dict[str, Any]:
    return {
        "name": "orders",
        "type": "BATCH_FILE",
        "timestampField": "at",
        "fileOptions": {"uri": "s3://lake/orders.parquet"},
        **more,
    }


def view(name: str, *features: str, **more: Any) -> dict[str, Any]:
    spec = {
        "name": name,
        "entities": ["customer"],
        "entityColumns": fields("customer_id"),
        "features": fields(*features),
        "batchSource": file_source(),
        "ttl": "86400s",
        "online": True,
        **more,
    }
    return {"spec": spec, "meta": {"lastUpdatedTimestamp": "2026-11-24T11:00:00Z"}}


def projection(name: str, *features: str, **more: Any) -> dict[str, Any]:
    return {"featureViewName": name, "featureColumns": fields(*features), **more}


def service(name: str, *projections: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"spec": {"name": name, "features": [*projections], **more}}


def on_demand(name: str, *features: str, **sources: Any) -> dict[str, Any]:
    return {
        "spec": {
            "name": name,
            "features": fields(*features),
            "sources": sources,
            "entities": ["__dummy"],
            "featureTransformation": {"userDefinedFunction": {"bodyText": "def f(): ...", "body": "gASV"}},
        }
    }


REQUEST = {"name": "basket", "type": "REQUEST_SOURCE", "requestDataOptions": {"schema": fields("items")}}


def registry(**changed: Any) -> dict[str, Any]:
    made = {
        "project": "shop",
        "lastUpdated": "2026-11-24T11:59:00.123456789Z",
        "dataSources": [file_source(owner="bank@shop.example", tags={"tier": "gold", "raw": ""}), REQUEST],
        "entities": [{"spec": {"name": "customer", "joinKey": "customer_id", "valueType": "INT64", "owner": "crm"}}],
        "featureViews": [
            view("orders", "total", "count", description="Orders", owner="bank", tags={"team": "bank"}),
            view("recent", "total", batchSource=file_source(fieldMapping={"sum": "total", "time": "at"})),
        ],
        "onDemandFeatureViews": [
            on_demand(
                "till",
                "share",
                "late",
                orders={"featureViewProjection": projection("orders", "total")},
                basket={"requestDataSource": REQUEST},
            )
        ],
        "featureServices": [
            service("checkout", projection("orders", "total"), projection("till", "share"), owner="till"),
        ],
    }
    return made | changed


def read(made: dict[str, Any], **given: Any) -> Registration:
    return read_feast({"registry": made}, **given)


def into(said: Registration, text: str) -> set[str]:
    return {str(each.flow.source) for each in said.flows if each.flow.target == key(text)}


def problems(document: object) -> list[str]:
    with pytest.raises(InvalidManifest) as refused:
        read_feast(document)
    return list(refused.value.problems)


def test_a_registry_is_the_complete_record_of_another_system() -> None:
    said = read(registry())
    assert (said.origin, said.basis, said.complete) == ("feast:shop", Basis.IMPORTED, True)
    assert said.taken == parse_instant("2026-11-24T11:59:00.123456Z")
    assert flows(said) == {
        flow(f"dataset:{FILE}", "feature_view:shop/orders"),
        flow(f"column:{FILE}#customer_id", "feature_view:shop/orders"),
        flow(f"column:{FILE}#at", "feature_view:shop/orders"),
        flow(f"column:{FILE}#total", "feature:shop/orders#total"),
        flow(f"column:{FILE}#count", "feature:shop/orders#count"),
        flow(f"dataset:{FILE}", "feature_view:shop/recent"),
        flow(f"column:{FILE}#customer_id", "feature_view:shop/recent"),
        flow(f"column:{FILE}#time", "feature_view:shop/recent"),
        flow(f"column:{FILE}#sum", "feature:shop/recent#total"),
        flow("feature:shop/orders#total", "feature:shop/till#share"),
        flow("feature:shop/orders#total", "feature:shop/till#late"),
        flow("dataset:shop/basket", "feature_view:shop/till"),
        flow("column:shop/basket#items", "feature:shop/till#share"),
        flow("column:shop/basket#items", "feature:shop/till#late"),
        flow("feature:shop/orders#total", "feature:shop/checkout#total"),
        flow("feature:shop/till#share", "feature:shop/checkout#share"),
    }


def test_what_people_wrote_is_kept() -> None:
    said = read(registry())
    assert attributes(said, "feature_view:shop/orders") == {
        "description": "Orders",
        "owners": [{"name": "bank"}],
        "tags": ["team=bank"],
        "labels": {"team": "bank"},
        "feast_type": "FeatureView",
        "entities": ["customer"],
        "entity_details": [
            {"name": "customer", "join_key": "customer_id", "type": "INT64", "owners": [{"name": "crm"}]}
        ],
        "ttl": 86400,
        "online": True,
    }
    assert attributes(said, f"dataset:{FILE}") == {
        "owners": [{"name": "bank@shop.example", "contact": "bank@shop.example"}],
        "tags": ["raw", "tier=gold"],
        "labels": {"tier": "gold", "raw": ""},
        "source_type": "BATCH_FILE",
    }
    assert attributes(said, "dataset:shop/orders") == {"same_as": [f"dataset:{FILE}"]}
    till = attributes(said, "feature_view:shop/till")
    assert (till["definition"], till["entities"], till["online"]) == ("def f(): ...", [], False)
    assert attributes(said, "feature_view:shop/checkout")["feast_type"] == "FeatureService"
    assert attributes(said, "feature:shop/orders#total") == {"type": "FLOAT"}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ({"fileOptions": {"uri": "gs://lake/a"}}, "dataset:gs%3A%2F%2Flake/a"),
        ({"fileOptions": {"uri": "data/a.parquet"}}, "dataset:file/%2Frepo%2Fdata%2Fa.parquet"),
        ({"bigqueryOptions": {"table": "lake:shop.orders"}}, "dataset:bigquery/lake.shop.orders"),
        ({"bigqueryOptions": {"query": "select 1"}}, "dataset:shop/named"),
        ({"snowflakeOptions": {"database": "L", "schema": "S", "table": "T"}}, "dataset:wh/L.S.T"),
        ({"redshiftOptions": {"table": "t"}}, "dataset:wh/t"),
        ({"athenaOptions": {"dataSource": "c", "database": "d", "table": "t"}}, "dataset:wh/c.d.t"),
        ({"trinoOptions": {"table": "c.s.t"}}, "dataset:wh/c.s.t"),
        ({"sparkOptions": {"table": "s.t"}}, "dataset:wh/s.t"),
        ({"sparkOptions": {"path": "s3a://lake/t", "fileFormat": "parquet"}}, "dataset:s3%3A%2F%2Flake/t"),
        ({"kafkaOptions": {"kafkaBootstrapServers": "a:9092, b:9", "topic": "t"}}, "dataset:kafka%3A%2F%2Fa%3A9092/t"),
        ({"kinesisOptions": {"region": "eu", "streamName": "s"}}, "dataset:kinesis%3A%2F%2Feu/s"),
        ({"pushOptions": {}}, "dataset:shop/named"),
        (
            {"customOptions": {"configuration": base64.b64encode(json.dumps({"table": "s.t"}).encode()).decode()}},
            "dataset:wh/s.t",
        ),
        ({"customOptions": {"configuration": "gASV"}}, "dataset:shop/named"),
    ],
)
def test_a_source_is_named_by_where_it_lies(source: dict[str, Any], expected: str) -> None:
    made = registry(dataSources=[], featureViews=[view("v", "f", batchSource={"name": "named", **source})])
    said = read_feast({"registry": made, "repository": "/repo"}, namespace="wh")
    assert f"{expected}" in into(said, "feature_view:shop/v")


def test_of_what_code_computes_no_column_is_known() -> None:
    computed = [
        view("a", "f", featureTransformation={"userDefinedFunction": {"bodyText": "code"}}),
        view("b", "f", aggregations=[{"column": "c", "function": "sum"}]),
        view("c", "f", userDefinedFunction={"bodyText": "code"}),
    ]
    said = read(registry(featureViews=[], streamFeatureViews=computed, onDemandFeatureViews=[], featureServices=[]))
    assert flows(said) == {flow(f"dataset:{FILE}", f"feature_view:shop/{name}") for name in "abc"}


def test_a_push_and_what_lies_behind_it_both_fill_a_view() -> None:
    push = {"name": "pushed", "type": "PUSH_SOURCE", "batchSource": file_source()}
    made = registry(featureViews=[view("v", "f", batchSource=file_source(), streamSource=push)])
    assert into(read(made), "feature:shop/v#f") == {f"column:{FILE}#f", "column:shop/pushed#f"}
    label = view("labels", "f", source=push)
    del label["spec"]["batchSource"]
    said = read(registry(labelViews=[label]))
    assert into(said, "feature:shop/labels#f") == {f"column:{FILE}#f", "column:shop/pushed#f"}


def test_a_service_calls_features_of_one_name_as_feast_does() -> None:
    chosen = [projection("orders", "total"), projection("recent", "total", featureViewNameAlias="lately")]
    said = read(registry(featureServices=[service("both", *chosen), service("orders", projection("orders", "count"))]))
    assert into(said, "feature:shop/both#orders__total") == {"feature:shop/orders#total"}
    assert into(said, "feature:shop/both#lately__total") == {"feature:shop/recent#total"}
    assert into(said, "feature:shop/orders%20%28service%29#count") == {"feature:shop/orders#count"}, (
        "views and services have names of their own"
    )


def test_a_saved_dataset_is_written_from_the_features_it_holds() -> None:
    saved = {
        "spec": {
            "name": "training",
            "features": ["orders:total", "recent@v2:total"],
            "featureServiceName": "checkout",
            "storage": {"fileStorage": {"uri": "s3://lake/training"}},
        }
    }
    said = read(registry(savedDatasets=[saved]))
    job = "job:shop/saved_dataset_training"
    assert into(said, job) == {
        "feature:shop/orders#total",
        "feature:shop/recent#total",
        "feature_view:shop/checkout",
    }
    assert into(said, "dataset:s3%3A%2F%2Flake/training") == {job}
    assert attributes(said, "dataset:shop/training")["same_as"] == ["dataset:s3%3A%2F%2Flake/training"]


def test_of_a_registry_of_several_projects_one_is_meant() -> None:
    made = registry(
        project=None,
        entities=[],
        dataSources=[],
        onDemandFeatureViews=[],
        featureServices=[],
        featureViews=[view("v", "f", project="one"), view("v", "g", project="two")],
    )
    said = read_feast({"registry": made, "project": "two"})
    assert {str(each) for each in keys(said) if each.kind.value == "feature"} == {"feature:two/v#g"}
    assert problems({"registry": made}) == ["project: missing; it holds 'one', 'two', so say which is meant"]
    assert problems({"registry": {}}) == ["project: missing; it names none, so say which is meant"]


def test_all_that_is_wrong_is_told_with_its_place() -> None:
    made = registry()
    made["featureViews"][0]["spec"]["name"] = "x" * 2000
    made["featureViews"].append(view("recent", "again"))
    made["featureServices"][0]["spec"]["features"][1]["featureColumns"][0]["name"] = "a\x00b"
    places = [line.partition(": ")[0] for line in problems({"registry": made})]
    assert places == [
        "registry.featureViews[0].spec",
        "registry.featureViews[2].spec",
        "registry.featureServices[0].spec",
    ]
    made = registry(featureViews=[{"spec": {"features": 3}}], dataSources=[{"fileOptions": []}], lastUpdated=7)
    places = [line.partition(": ")[0] for line in problems({"registry": made})]
    assert sorted(places) == [
        "registry.dataSources[0].fileOptions",
        "registry.featureViews[0].spec.features",
        "registry.featureViews[0].spec.name",
        "registry.lastUpdated",
    ]
    assert problems({"registry": registry(lastUpdated="soon")})[0].startswith("registry.lastUpdated: ")


@pytest.mark.parametrize("document", [None, [], "x", {}, {"registry": []}, {"registry": {}, "more": 1}])
def test_what_is_no_registry_is_refused(document: object) -> None:
    assert problems(document)


def test_reading_leaves_the_document_as_it_was() -> None:
    made = registry()
    read(made)
    assert made == registry()


DAMAGED = {"registry": registry(featureServices=[service("both", projection("orders"), projection("recent", "total"))])}


@settings(max_examples=200)
@given(mangled(DAMAGED))
def test_of_a_damaged_registry_either_all_is_said_or_what_is_wrong(document: Any) -> None:
    with suppress(InvalidInput):
        said = read_feast(document)
        RegistrationPlan(said, NOW)
        said.digest()
