"""Feast's own OpenLineage events name what the import of its registry names."""

from typing import Any

from graph.importers.openlineage.events import read_event
from graph.importers.openlineage.fold import folded
from graph.model import Flow
from tests.openlineage import run_event
from tests.saying import flow, key


def schema(*names: str) -> dict[str, Any]:
    return {"schema": {"fields": [{"name": name, "type": "Int64", "fields": []} for name in names]}}


def dataset(name: str, **facets: Any) -> dict[str, Any]:
    return {"namespace": "shop", "name": name, "facets": facets}


def view(name: str, *features: str, **facet: Any) -> dict[str, Any]:
    return dataset(name, feast_featureView={"name": name, **facet}, **schema(*features))


def job(name: str, kind: str) -> dict[str, Any]:
    return {"namespace": "shop", "name": name, "facets": {"feast_jobKind": {"kind": kind, "feast_project": "shop"}}}


SOURCE = dataset("orders_file", feast_dataSource={"name": "orders_file"})
ENTITY = dataset("customer", feast_entity={"name": "customer"})


def said(job_: dict[str, Any], inputs: list[dict[str, Any]], outputs: list[dict[str, Any]]) -> dict[Any, Any]:
    event = run_event("COMPLETE", 1, inputs=inputs, outputs=outputs)
    event["job"] = job_
    return dict(folded([read_event(event)]))


def flows(found: dict[Any, Any]) -> set[Flow]:
    return {each for each in found if isinstance(each, Flow)}


def test_a_definition_of_several_views_says_what_they_are_and_not_what_from() -> None:
    views = [view("orders", "total", owner="bank", description="Orders"), view("taps", "count")]
    found = said(job("feast_feature_views_shop", "definition"), [SOURCE, ENTITY], views)
    defines = "job:shop/feast_feature_views_shop"
    assert flows(found) == {flow(defines, "feature_view:shop/orders"), flow(defines, "feature_view:shop/taps")}
    assert key("feature:shop/orders#total") in found
    (told,) = found[key("feature_view:shop/orders")]
    assert told.attributes == {"description": "Orders", "owners": [{"name": "bank"}]}


def test_a_definition_of_one_view_says_what_from() -> None:
    found = said(job("feature_view_orders", "definition"), [SOURCE, ENTITY], [view("orders", "total")])
    assert flows(found) == {
        flow("dataset:shop/orders_file", "job:shop/feature_view_orders"),
        flow("job:shop/feature_view_orders", "feature_view:shop/orders"),
    }


def test_a_service_reads_views_whatever_they_are_marked_as() -> None:
    service = dataset("checkout", feast_featureService={"name": "checkout", "owner": "", "description": ""})
    found = said(job("feature_service_checkout", "definition"), [dataset("orders", **schema("total"))], [service])
    assert flows(found) == {
        flow("feature_view:shop/orders", "job:shop/feature_service_checkout"),
        flow("job:shop/feature_service_checkout", "feature_view:shop/checkout"),
    }
    namesake = dataset("orders", feast_featureService={"name": "orders"})
    found = said(job("feature_service_orders", "definition"), [dataset("orders")], [namesake])
    assert flow("job:shop/feature_service_orders", "feature_view:shop/orders%20%28service%29") in flows(found)


def test_a_run_reads_views_and_sources() -> None:
    online = dataset("online_orders")
    found = said(job("materialize_shop", "transform"), [view("orders", "total"), SOURCE, ENTITY], [online])
    assert flows(found) == {
        flow("feature_view:shop/orders", "job:shop/materialize_shop"),
        flow("dataset:shop/orders_file", "job:shop/materialize_shop"),
        flow("job:shop/materialize_shop", "dataset:shop/online_orders"),
    }


def test_facets_of_feast_mean_nothing_in_jobs_of_others() -> None:
    other = {"namespace": "shop", "name": "copy", "facets": {"feast_jobKind": 3}}
    found = said(other, [view("orders", "total")], [dataset("copied")])
    assert flow("dataset:shop/orders", "job:shop/copy") in flows(found)
