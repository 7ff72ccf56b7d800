"""A plan asked over GraphQL before it exists, side by side with today."""

from typing import Any

import httpx
import pytest
import yaml

from tests.app.test_graphql import Answer, ask, http, store  # noqa: F401 (fixtures)

pytestmark = pytest.mark.anyio

APPLY = """
mutation($documents: [DocumentInput!]!) {
  applyDocuments(documents: $documents) { __typename ... on Problem { message } }
}
"""
SIMULATE = """
query($documents: [DocumentInput!]!, $start: ID!, $direction: Direction! = DOWNSTREAM) {
  head { revision assets }
  simulate(documents: $documents) {
    __typename
    ... on Problem { message }
    ... on Simulation {
      revision added updated withdrawn plan { verb subject }
      lineage(start: $start, direction: $direction) {
        ... on Lineage { total assets { edges { planned hops when node { id owners { name } } } } }
        ... on Problem { message }
      }
      difference(start: $start, direction: $direction) {
        __typename
        ... on Problem { message }
        ... on LineageDifference {
          today { total counts { byWhen { when count } } }
          withPlan { total counts { byWhen { when count } } }
          addedTotal removedTotal changedTotal
          added { ...Differing }
          removed { ...Differing }
          changed { ...Differing }
        }
      }
    }
  }
}
fragment Differing on Differing {
  planned removed asset { id } before { hops when partly } after { hops when partly }
}
"""
TODAY = """
version: 1
namespace: shop
origin: manifest:shop
datasets: [{name: orders, columns: [{name: amount}]}, {name: day, derived_from: orders#amount}]
consumers: [{name: report, uses: day}, {name: old, uses: orders#amount}]
"""
PLAN = """
version: 1
namespace: shop
origin: manifest:shop
datasets: [{name: orders, columns: [{name: amount}]}, {name: day, derived_from: orders#amount, owners: [finance]}]
consumers: [{name: report, uses: [day, orders]}, {name: new, uses: day, owners: [sales]}]
"""


def documents(text: str) -> list[dict[str, Any]]:
    return [{"path": "headwater.yaml", "content": yaml.safe_load(text)}]


async def test_what_comes_what_goes_and_what_is_nearer_is_told_and_nothing_is_kept(http: httpx.AsyncClient) -> None:  # noqa: F811
    await ask(http, APPLY, documents=[{"path": "headwater.yaml", "content": yaml.safe_load(TODAY)}])
    answer = await ask(http, SIMULATE, documents=documents(PLAN), start="column:shop/orders#amount")
    simulation = answer["simulate"]
    assert (simulation["added"], simulation["updated"], simulation["withdrawn"]) == (3, 1, 2)
    assert {"verb": "WITHDRAWN", "subject": "consumer:shop/old"} in simulation["plan"]
    edges = {each["node"]["id"]: each for each in simulation["lineage"]["assets"]["edges"]}
    assert {key: (each["planned"], each["hops"]) for key, each in edges.items()} == {
        "dataset:shop/day": (False, 1),
        "consumer:shop/report": (False, 1),
        "consumer:shop/new": (True, 2),
    }
    assert edges["consumer:shop/new"]["node"]["owners"] == [{"name": "sales"}]
    assert edges["dataset:shop/day"]["node"]["owners"] == [{"name": "finance"}]
    difference = simulation["difference"]
    assert difference["today"]["total"] == difference["withPlan"]["total"] == 3
    (added,), (removed,), (changed,) = (difference[name] for name in ("added", "removed", "changed"))
    assert added == {
        "asset": {"id": "consumer:shop/new"},
        "planned": True,
        "removed": False,
        "before": None,
        "after": {"hops": 2, "when": "NOW", "partly": False},
    }
    assert (removed["asset"]["id"], removed["removed"], removed["after"]) == ("consumer:shop/old", True, None)
    assert changed["asset"]["id"] == "consumer:shop/report"
    assert (changed["before"]["hops"], changed["after"]["hops"]) == (2, 1)
    again = await ask(http, SIMULATE, documents=documents(TODAY), start="column:shop/orders#amount")
    assert again["head"] == answer["head"]
    assert again["simulate"]["plan"] == []


async def test_what_is_only_planned_can_be_asked_about(http: httpx.AsyncClient) -> None:  # noqa: F811
    await ask(http, APPLY, documents=[{"path": "headwater.yaml", "content": yaml.safe_load(TODAY)}])
    answer = await ask(http, SIMULATE, documents=documents(PLAN), start="consumer:shop/new", direction="UPSTREAM")
    difference = answer["simulate"]["difference"]
    assert difference["today"] is None
    assert difference["addedTotal"] == difference["withPlan"]["total"] == 3
    answer = await ask(http, SIMULATE, documents=documents(PLAN), start="consumer:shop/old", direction="UPSTREAM")
    assert answer["simulate"]["difference"]["withPlan"] is None
    assert answer["simulate"]["lineage"]["message"].startswith("consumer:shop/old was not there")
    answer = await ask(http, SIMULATE, documents=documents(PLAN), start="consumer:shop/nobody")
    assert answer["simulate"]["difference"] == {
        "__typename": "UnknownAsset",
        "message": "consumer:shop/nobody is not registered",
    }


async def test_a_wrong_document_is_told_with_its_places(http: httpx.AsyncClient) -> None:  # noqa: F811
    answer = await ask(http, SIMULATE, documents=documents("{version: 1, datasets: [{nam: x}]}"), start="dataset:a/b")
    assert answer["simulate"]["__typename"] == "InvalidInput"
    assert "headwater.yaml: datasets[0].nam" in answer["simulate"]["message"]


async def test_so_many_simulations_and_no_more(http: httpx.AsyncClient) -> None:  # noqa: F811
    many = " ".join(f"s{number}: simulate(documents: []) {{ __typename }}" for number in range(5))
    answer = (await http.post("/graphql", json={"query": f"{{ {many} }}"})).json()
    assert answer["errors"][0]["extensions"]["code"] == "TOO_COSTLY"
