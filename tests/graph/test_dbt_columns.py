"""Which column comes from which in dbt projects, read from their compiled SQL."""

import json
from typing import Any

import pytest

from graph.importers.dbt import read_dbt
from graph.keys import AssetKey
from graph.model import Basis
from tests.graph.test_dbt_import import manifest, node
from tests.graph.world import World
from tests.real_manifests import real_manifests
from tests.said import said_by_dbt

STG = 'select id as order_id, amount from "lake"."shop"."raw" where not deleted'
ORDERS = """with __dbt__cte__clean as (select order_id, amount * 2 as twice from "lake"."shop"."stg")
select c.*, r.till_id from __dbt__cte__clean as c join "lake"."till"."receipts_v2" as r using (order_id)"""


def project(**models: str | None) -> dict[str, Any]:
    made = manifest()
    for name, sql in {"stg": STG, "orders": ORDERS, **models}.items():
        made["nodes"][f"model.shop.{name}"] = node(
            f"model.shop.{name}", **({} if sql is None else {"compiled_code": sql}), columns={}
        )
    return made


def derived(document: dict[str, Any], catalog: dict[str, Any] | None = None) -> set[str]:
    given = {"manifest": document} | ({"catalog": catalog} if catalog else {})
    (said,) = read_dbt(given, namespace="w").further
    assert (said.origin, said.basis, said.complete) == ("dbt:shop#sql", Basis.INFERRED, True)
    return {
        " > ".join(
            end.name.rpartition(".")[2] + (f".{end.part}" if end.part else "")
            for end in (each.flow.source, each.flow.target)
        )
        for each in said.flows
    }


def test_columns_come_from_those_that_compiled_sql_reads() -> None:
    assert derived(project()) == {
        "raw.id > stg.order_id",
        "raw.amount > stg.amount",
        "raw.deleted > stg",
        "stg.order_id > orders.order_id",
        "stg.amount > orders.twice",
        "receipts_v2.till_id > orders.till_id",
        "stg.order_id > orders",
        "receipts_v2.order_id > orders",
    }


def test_stars_are_of_the_columns_that_the_catalog_has() -> None:
    star = 'select * from "lake"."shop"."raw"'
    assert derived(project(stg=star, orders=None)) == set()
    columns = {name: {"name": name} for name in ("ID", "Amount")}
    catalog = {"nodes": {"seed.shop.raw": {"columns": columns}}}
    assert derived(project(stg=star, orders=None), catalog) == {"raw.ID > stg.ID", "raw.Amount > stg.Amount"}


@pytest.mark.parametrize("sql", ["select from", "{{ broken }}", "select 1; select 2", "(" * 1_000, ""])
def test_sql_that_cannot_be_read_says_nothing_and_harms_nothing(sql: str) -> None:
    broken = project(stg=sql)
    assert {flow for flow in derived(broken) if not flow.startswith(("stg", "receipts"))} == set()
    whole, without = said_by_dbt({"manifest": broken}), said_by_dbt({"manifest": project(stg=None)})
    assert {each.flow for each in whole.flows} == {each.flow for each in without.flows}


def test_what_is_inferred_narrows_nothing_that_dbt_says(world: World) -> None:
    read = read_dbt({"manifest": project(orders=None)}, namespace="w")
    for said in (read.registration, *read.further):
        world.register(*said.assets, *(each.flow for each in said.flows), origin=said.origin, basis=said.basis)
    unread = world.downstream("column:w/lake.shop.raw#id")
    assert {"dataset:w/lake.shop.stg", "column:w/lake.shop.stg#order_id", "column:w/lake.shop.stg#amount"} <= unread


def test_columns_of_real_projects_flow_where_dbt_says_that_tables_do() -> None:
    found = 0
    for path in real_manifests():
        read = read_dbt({"manifest": json.loads(path.read_text())})
        below: dict[AssetKey, set[AssetKey]] = {}
        for each in read.registration.flows:
            below.setdefault(each.flow.source, set()).add(each.flow.target)
        for each in read.further[0].flows:
            source, target = (end.container or end for end in (each.flow.source, each.flow.target))
            reached, waiting = {source}, [source]
            while waiting:
                more = below.get(waiting.pop(), set()) - reached
                reached |= more
                waiting += more
            assert target in reached, (path, each.flow)
            found += 1
    assert found > 1_000
