"""dbt's manifest and catalog, as registrations."""

import copy
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graph.attributes import checked_attributes
from graph.changes import Registration
from graph.errors import InvalidInput, InvalidManifest
from graph.model import Attributes, Basis
from graph.plan import register
from graph.stores.sqlite import SqliteStore
from graph.time import parse_instant
from tests.said import attributes, flows, keys, said_by_dbt
from tests.saying import flow, key, operation

NOW = parse_instant("2026-11-24T12:00:00Z")
SHOP = "dataset:postgres%3A%2F%2Fdb%3A5432/"
SAID = "dataset:dbt%3Ashop/"


def node(unique_id: str, **fields: object) -> dict[str, Any]:
    kind, package, name = unique_id.split(".", 2)
    placed = {"database": "lake", "schema": "shop", "alias": name} if kind in {"model", "seed", "snapshot"} else {}
    return {
        "unique_id": unique_id,
        "resource_type": kind,
        "package_name": package,
        "name": name.rpartition(".")[2],
        **placed,
        **fields,
    }


def manifest(**changed: object) -> dict[str, Any]:
    orders = node(
        "model.shop.orders",
        description="Paid orders",
        tags=["daily"],
        group="finance",
        raw_code="select * from {{ ref('stg') }}",
        config={"materialized": "table", "meta": {"owner": ["ann", {"name": "bob", "email": "bob@shop.example"}]}},
        columns={
            "id": {"name": "id", "data_type": "int", "constraints": [{"type": "not_null"}], "tags": ["key"]},
            "Total": {"name": "Total", "description": "In euros"},
        },
    )
    made: dict[str, Any] = {
        "metadata": {
            "dbt_schema_version": "https://schemas.getdbt.com/dbt/manifest/v12.json",
            "adapter_type": "postgres",
            "project_name": "shop",
        },
        "nodes": {
            "model.shop.orders": orders,
            "model.shop.stg": node("model.shop.stg", config={"materialized": "view"}),
            "seed.shop.raw": node("seed.shop.raw"),
            "test.shop.not_null": node("test.shop.not_null"),
            "analysis.shop.look": node("analysis.shop.look"),
        },
        "sources": {
            "source.shop.till.receipts": node(
                "source.shop.till.receipts", database="lake", schema="till", identifier="receipts_v2"
            )
        },
        "metrics": {"metric.shop.paid": node("metric.shop.paid", type="simple")},
        "exposures": {
            "exposure.shop.churn": node(
                "exposure.shop.churn", type="ml", owner={"email": "ml@shop.example"}, url="https://ml.example"
            ),
            "exposure.shop.board": node("exposure.shop.board", type="dashboard", owner={"name": "ann"}),
        },
        "unit_tests": {"unit_test.shop.orders.counts": {}},
        "groups": {"group.shop.finance": {"owner": {"name": "finance", "email": ["a@shop.example", "b@shop.example"]}}},
        "parent_map": {
            "model.shop.orders": ["model.shop.stg"],
            "model.shop.stg": ["seed.shop.raw", "source.shop.till.receipts"],
            "metric.shop.paid": ["model.shop.orders"],
            "exposure.shop.churn": ["model.shop.orders"],
            "exposure.shop.board": ["metric.shop.paid"],
            "test.shop.not_null": ["model.shop.orders"],
            "unit_test.shop.orders.counts": ["model.shop.orders"],
            "analysis.shop.look": ["model.shop.orders"],
            "seed.shop.raw": [],
        },
    }
    return made | changed


def read(document: dict[str, Any], **given: Any) -> Registration:
    return said_by_dbt({"manifest": document}, **{"namespace": "postgres://db:5432", **given})


def problems(document: object) -> list[str]:
    with pytest.raises(InvalidManifest) as refused:
        said_by_dbt(document)
    return list(refused.value.problems)


def test_a_project_is_the_complete_record_of_another_system() -> None:
    said = read(manifest())
    assert (said.origin, said.basis, said.complete) == ("dbt:shop", Basis.IMPORTED, True)
    assert flows(said) == {
        flow(f"{SHOP}lake.shop.stg", f"{SHOP}lake.shop.orders"),
        flow(f"{SHOP}lake.shop.raw", f"{SHOP}lake.shop.stg"),
        flow(f"{SHOP}lake.till.receipts_v2", f"{SHOP}lake.shop.stg"),
        flow(f"{SHOP}lake.shop.orders", f"{SAID}metric.shop.paid"),
        flow(f"{SHOP}lake.shop.orders", "consumer:dbt%3Ashop/shop.churn"),
        flow(f"{SAID}metric.shop.paid", "consumer:dbt%3Ashop/shop.board"),
        flow(f"{SHOP}lake.shop.orders", "job:dbt%3Ashop/analysis.shop.look"),
    }
    ends = {end for each in flows(said) for end in each if end is not None}
    assert keys(said) - ends == {
        key(f"{SHOP}lake.shop.orders#{name}".replace("dataset", "column")) for name in ("id", "Total")
    }


def test_what_people_wrote_of_a_model_is_kept() -> None:
    said = read(manifest())
    assert attributes(said, f"{SHOP}lake.shop.orders") == {
        "dbt_nodes": ["model.shop.orders"],
        "dbt_type": "model",
        "description": "Paid orders",
        "tags": ["daily"],
        "materialized": "table",
        "definition": "select * from {{ ref('stg') }}",
        "owners": [
            {"name": "ann"},
            {"name": "bob", "contact": "bob@shop.example"},
            {"name": "finance", "contact": "a@shop.example, b@shop.example"},
        ],
    }
    column = attributes(said, f"{SHOP}lake.shop.orders#id".replace("dataset", "column"))
    assert column == {"type": "int", "nullable": False, "tags": ["key"]}


def test_an_exposure_is_a_consumer_of_its_type_where_there_is_such_a_consumer() -> None:
    said = read(manifest())
    churn, board = (attributes(said, f"consumer:dbt%3Ashop/shop.{name}") for name in ("churn", "board"))
    assert (churn["exposure_type"], churn.get("consumer_type"), churn["url"]) == ("ml", None, "https://ml.example")
    assert churn["owners"] == [{"name": "ml@shop.example", "contact": "ml@shop.example"}]
    assert (board["exposure_type"], board["consumer_type"]) == ("dashboard", "dashboard")


def test_types_and_spelling_are_the_catalogs_where_there_is_one() -> None:
    columns = {"ID": {"name": "ID", "type": "BIGINT"}, "EXTRA": {"name": "EXTRA", "type": "TEXT"}}
    catalog = {"nodes": {"model.shop.orders": {"columns": columns}, "model.shop.unknown": {"columns": {}}}}
    said = said_by_dbt({"manifest": manifest(), "catalog": catalog}, namespace="w")
    found = {each.key.part: each.attributes for each in said.assets if each.key.path}
    assert found == {
        "ID": {"type": "BIGINT", "nullable": False, "tags": ["key"]},
        "EXTRA": {"type": "TEXT"},
        "Total": {"description": "In euros"},
    }


def test_a_source_that_a_node_builds_is_that_nodes_table() -> None:
    document = manifest()
    document["sources"]["source.shop.till.receipts"] |= {
        "schema": "shop",
        "identifier": "raw",
        "description": "As sold",
    }
    said = read(document)
    assert flow(f"{SHOP}lake.shop.raw", f"{SHOP}lake.shop.stg") in flows(said)
    raw = attributes(said, f"{SHOP}lake.shop.raw")
    assert raw["dbt_nodes"] == ["source.shop.till.receipts", "seed.shop.raw"]
    assert (raw["dbt_type"], raw["description"]) == ("seed", "As sold")


def test_an_ephemeral_model_never_takes_the_name_of_a_table() -> None:
    document = manifest()
    twin = node("model.other.orders", config={"materialized": "ephemeral"})
    document["nodes"] = {**document["nodes"], "model.other.orders": twin}
    document["parent_map"]["model.shop.stg"].append("model.other.orders")
    said = read(document)
    assert flow(f"{SAID}model.other.orders", f"{SHOP}lake.shop.stg") in flows(said)


def test_nothing_depends_on_the_order_of_a_manifest() -> None:
    document = manifest()
    document["nodes"] |= {"model.other.orders": node("model.other.orders", config={"materialized": "ephemeral"})}
    turned = {name: dict(reversed(list(part.items()))) for name, part in document.items()}
    assert set(map(str, keys(read(turned)))) == set(map(str, keys(read(document))))
    assert flows(read(turned)) == flows(read(document))


def test_where_the_warehouse_is_stands_in_the_manifest_of_bigquery_alone() -> None:
    document = manifest()
    assert key(f"{SAID}lake.shop.orders") in keys(said_by_dbt({"manifest": document}))
    document["metadata"]["adapter_type"] = "bigquery"
    nested = {"address.city": {"name": "address.city"}}
    document["nodes"]["model.shop.stg"]["columns"] = nested
    said = said_by_dbt({"manifest": document})
    assert key("dataset:bigquery/lake.shop.orders") in keys(said)
    assert key("column:bigquery/lake.shop.stg#address.city") in keys(said)


def test_an_older_manifest_tells_its_project_by_the_md5_of_its_name() -> None:
    document = manifest()
    document["metadata"] = {
        "dbt_schema_version": "https://schemas.getdbt.com/dbt/manifest/v1.json",
        "project_id": "06e5b98c2db46f8a72cc4f66410e9b3b",
    }
    assert problems({"manifest": document}) == [
        "manifest.metadata.project_name: missing, and no package has its id; name an origin"
    ]
    assert read(document, origin="dbt:other").origin == "dbt:other"
    document["nodes"]["model.shop.stg"]["package_name"] = "jaffle_shop"
    assert read(document).origin == "dbt:jaffle_shop"


def test_what_is_switched_off_is_left_out() -> None:
    document = manifest(disabled={"model.shop.gone": []})
    document["parent_map"]["model.shop.stg"].append("model.shop.gone")
    assert flows(read(document)) == flows(read(manifest()))


def test_all_that_is_wrong_is_told_with_its_place() -> None:
    document = manifest()
    document["nodes"]["model.shop.orders"]["columns"]["id"]["data_type"] = 7
    document["nodes"]["model.shop.stg"]["name"] = None
    document["metadata"].pop("dbt_schema_version")
    assert problems({"manifest": document, "catalogue": {}}) == [
        "catalogue: unknown field; did you mean catalog?",
        "manifest.metadata.dbt_schema_version: missing; the address of its schema.",
        'manifest.nodes.model.shop.orders.columns.id.data_type: 7 is not text; write it in quotes, "7"',
        "manifest.nodes.model.shop.stg.name: missing; its name.",
    ]
    document = manifest()
    document["parent_map"] |= {
        "model.shop.stg": ["seed.shop.raw", "seed.shop.lost"],
        "exposure.shop.lost": ["seed.shop.raw"],
    }
    document["nodes"]["seed.shop.raw"]["alias"] = "a\x00b"
    told = problems({"manifest": document})
    assert [line.partition(": ")[0] for line in told] == [
        "manifest.nodes.seed.shop.raw",
        "manifest.parent_map.model.shop.stg[0]",
        "manifest.parent_map.model.shop.stg[1]",
        "manifest.parent_map.exposure.shop.lost[0]",
    ]
    assert "control character U+0000" in told[0]


@pytest.mark.parametrize("version", ["manifest/v13.json", "manifest/v0.json", "catalog/v1.json", "", "v12"])
def test_a_schema_that_is_not_known_is_refused(version: str) -> None:
    document = manifest()
    document["metadata"]["dbt_schema_version"] = f"https://schemas.getdbt.com/dbt/{version}"
    (told,) = problems({"manifest": document})
    assert told.startswith("manifest.metadata.dbt_schema_version: ")


def test_a_manifest_tells_when_it_was_made() -> None:
    made = manifest()
    assert read(made).taken is None
    made["metadata"]["generated_at"] = "2026-11-24T10:00:00.5Z"
    said = read(made)
    assert said.taken == parse_instant("2026-11-24T10:00:00.5Z")
    assert said.digest() == read(manifest()).digest(), "it is the same request, whenever it was made"
    made["metadata"]["generated_at"] = "today"
    (told,) = problems({"manifest": made})
    assert told.startswith("manifest.metadata.generated_at: ")


@pytest.mark.parametrize(
    "document", [None, [], "x", {}, {"manifest": []}, {"manifest": {"nodes": [], "parent_map": 3}}]
)
def test_what_is_no_manifest_is_refused(document: object) -> None:
    assert problems(document)


def test_every_statement_is_one_that_can_be_registered() -> None:
    for each in read(manifest()).assets:
        assert checked_attributes(each.attributes, each.key) == each.attributes


def test_reading_leaves_the_document_as_it_was() -> None:
    document = manifest()
    before = copy.deepcopy(document)
    read(document)
    assert document == before


def test_an_origin_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidInput, match="is not an origin"):
        read(manifest(), origin=" ")


# Properties, over a store


@st.composite
def projects(draw: st.DrawFn) -> dict[str, Any]:
    """A manifest of some models that each read some of those before, with columns and an exposure."""
    count = draw(st.integers(1, 6))
    names = [f"model.shop.m{number}" for number in range(count)]
    nodes = {
        name: node(name, description=draw(st.sampled_from(["", "a", "b"])), columns={"c": {"name": "c"}})
        for name in names
    }
    parents = {name: sorted(draw(st.sets(st.sampled_from(names[:place])))) for place, name in enumerate(names) if place}
    exposures = {"exposure.shop.board": node("exposure.shop.board", type="dashboard")}
    parents["exposure.shop.board"] = [names[-1]]
    return manifest(nodes=nodes, sources={}, metrics={}, exposures=exposures, unit_tests={}, parent_map=parents)


def said_by(store: SqliteStore, origin: str) -> dict[str, Attributes]:
    """What the origin says now, by subject."""
    believed = store.believed(store.believed_by(origin))
    return {
        str(subject): span.attributes
        for subject, spans in believed.items()
        for span in spans
        if span.origin == origin and span.valid.holds_at(NOW + 10)
    }


@settings(max_examples=15)  # each waits for a disk
@given(projects(), projects())
def test_a_store_says_what_the_last_import_says_whatever_was_before(one: dict[str, Any], other: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder, closing(SqliteStore(Path(folder) / "lineage.db")) as store:
        for number, document in enumerate((one, other)):
            for origin in ("dbt:dev", "dbt:fresh") if document is other else ("dbt:dev", "dbt:prod"):
                wanted = read(document, origin=origin)
                register(store, wanted, operation(), NOW + number)
                again = register(store, read(copy.deepcopy(document), origin=origin), operation(), NOW + number + 1)
                assert not again.changed
        assert said_by(store, "dbt:dev") == said_by(store, "dbt:fresh")
        expected = {str(each.key): each.attributes for each in read(one).assets} | {
            str(each): {} for each in flows(read(one))
        }
        assert said_by(store, "dbt:prod") == expected
