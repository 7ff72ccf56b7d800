"""Why an answer is as it is, over GraphQL."""

import httpx
import pytest

from app.graphql.why import decimal
from graph.model import Basis, Operation
from graph.plan import register
from graph.stores.sqlite import SqliteStore
from tests.app.test_graphql import Answer, ask, http, store  # noqa: F401 (fixtures)
from tests.graph.world import START, flow, registration

pytestmark = pytest.mark.anyio

WHY = """query($targets: AssetFilterInput, $remove: Remove!, $first: Int, $after: String) {
  lineage(start: "dataset:lake/raw") { ... on Lineage { why {
    throughAssets(targets: $targets, first: $first, after: $after) {
      total targets pageInfo { hasNextPage endCursor } edges { cutsOff node { id } }
    }
    minimalCut(targets: $targets, remove: $remove) {
      targets size atLeast direct { id } members { total edges { cutsOff node { id } source { id } } }
    }
    onEveryPath(to: "consumer:shop/a") { id }
    elsewhere: onEveryPath(to: "consumer:shop/unheard") { id }
  } } }
}"""


@pytest.fixture(autouse=True)
def told(store: SqliteStore) -> None:  # noqa: F811
    """raw → clean → two features → consumers a, b, c; c reads raw as well."""
    flows = [
        flow("dataset:lake/raw", "dataset:lake/clean"),
        flow("dataset:lake/clean", "feature:shop/wine#acid"),
        flow("dataset:lake/clean", "feature:shop/wine#proline"),
        flow("feature:shop/wine#acid", "consumer:shop/a"),
        flow("feature:shop/wine#acid", "consumer:shop/b"),
        flow("feature:shop/wine#proline", "consumer:shop/b"),
        flow("feature:shop/wine#proline", "consumer:shop/c"),
        flow("dataset:lake/raw", "consumer:shop/c"),
    ]
    register(store, registration(flows, "test", Basis.OBSERVED), Operation(None, "", "tester"), START)


async def why(client: httpx.AsyncClient, remove: str = "ASSETS", **variables: object) -> Answer:
    found: Answer = (await ask(client, WHY, remove=remove, **variables))["lineage"]["why"]
    return found


async def test_what_the_targets_are_reached_through_comes_in_pages(http: httpx.AsyncClient) -> None:  # noqa: F811
    consumers = {"kinds": ["CONSUMER"]}
    first = (await why(http, targets=consumers, first=1))["throughAssets"]
    assert (first["total"], first["targets"]) == (2, 3)
    assert first["edges"] == [{"cutsOff": 2, "node": {"id": "dataset:lake/clean"}}]
    rest = (await why(http, targets=consumers, after=first["pageInfo"]["endCursor"]))["throughAssets"]
    assert rest["edges"] == [{"cutsOff": 1, "node": {"id": "feature:shop/wine#acid"}}]
    assert not rest["pageInfo"]["hasNextPage"]


async def test_a_cut_says_its_members_or_what_no_asset_stands_before(http: httpx.AsyncClient) -> None:  # noqa: F811
    assets = (await why(http, targets={"kinds": ["CONSUMER"]}))["minimalCut"]
    assert (assets["size"], assets["direct"]) == (None, [{"id": "consumer:shop/c"}])
    flows = (await why(http, "FLOWS", targets={"kinds": ["CONSUMER"]}))["minimalCut"]
    assert (flows["targets"], flows["size"], flows["atLeast"], flows["direct"]) == (3, 2, 2, [])
    assert [(edge["source"]["id"], edge["node"]["id"], edge["cutsOff"]) for edge in flows["members"]["edges"]] == [
        ("dataset:lake/raw", "consumer:shop/c", 0),
        ("dataset:lake/raw", "dataset:lake/clean", 2),
    ]


async def test_what_every_path_to_one_asset_passes_is_in_order_of_the_way(http: httpx.AsyncClient) -> None:  # noqa: F811
    found = await why(http)
    assert found["onEveryPath"] == [{"id": "dataset:lake/clean"}, {"id": "feature:shop/wine#acid"}]
    assert found["elsewhere"] is None


async def test_paths_say_how_many_there_are_beyond_those_listed(http: httpx.AsyncClient) -> None:  # noqa: F811
    query = """{ paths(source: "dataset:lake/raw", target: "consumer:shop/b") { ... on Paths {
        paths { length } count { total shortest length cyclic } } } }"""
    found = (await ask(http, query))["paths"]
    assert found == {
        "paths": [{"length": 3}],
        "count": {"total": "2", "shortest": "2", "length": 3, "cyclic": False},
    }


def test_numbers_of_any_length_are_told_in_full() -> None:
    assert decimal(0) == "0"
    assert decimal(10**9_000 + 7) == "1" + "0" * 8_999 + "7"
