"""Which flows lead from one asset to another, shortest first."""

import pytest

from graph.changes import AssetStatement
from graph.errors import NotFound
from graph.model import Basis, Flow, Json
from graph.paths import Hop, paths
from graph.walk import FlowFilter, Follow
from tests.graph.world import World, flow, k

A, B, C, D, E = (f"dataset:w/{name}" for name in "abcde")


def ends(world: World, source: str, target: str, at_most: int = 1, follow: Follow = Follow.VALUES) -> list[str]:
    """Each path as the assets where its flows end."""
    found = paths(world.index.view(), k(source), k(target), world.moment(), follow, at_most=at_most)
    return [" ".join(str(hop.flow.target).partition(":")[2] for hop in path.hops) for path in found]


def hops(world: World, source: str, target: str, flows: FlowFilter | None = None) -> tuple[Hop, ...]:
    (path,) = paths(world.index.view(), k(source), k(target), world.moment(), flows=flows)
    return path.hops


def test_a_diamond_shows_both_ways_in_the_order_of_the_keys(world: World) -> None:
    world.register(flow(A, C), flow(A, B), flow(C, D), flow(B, D))
    assert ends(world, A, D, at_most=5) == ["w/b w/d", "w/c w/d"]
    assert len(ends(world, A, D)) == 1


def test_the_shortest_come_first_and_never_more_than_asked_for(world: World) -> None:
    world.register(flow(A, B), flow(B, C), flow(C, D), flow(B, D), flow(A, D), flow(D, A))
    assert ends(world, A, D, at_most=9) == ["w/d", "w/b w/d", "w/b w/c w/d"]
    assert ends(world, A, D, at_most=2) == ["w/d", "w/b w/d"]
    assert ends(world, A, D) == ["w/d"]


def test_without_a_way_there_is_no_path_and_an_unknown_end_is_an_error(world: World) -> None:
    world.register(flow(A, B))
    assert ends(world, B, A, at_most=3) == []
    assert ends(world, A, A) == []
    with pytest.raises(NotFound):
        ends(world, A, "dataset:w/unknown")


def test_no_path_leads_to_a_part_or_the_container_of_the_start(world: World) -> None:
    world.register(k("column:w/a#x"), flow(A, B), flow(B, A))
    assert ends(world, A, "column:w/a#x", at_most=3) == []
    assert ends(world, "column:w/a#x", A, at_most=3) == []


def test_a_path_through_column_lineage_shows_the_job_that_tells_it(world: World) -> None:
    finer = flow("column:w/a#x", "column:w/b#y", via="job:w/J")
    world.register(flow(A, "job:w/J"), flow("job:w/J", B), finer, flow(B, C))
    assert hops(world, "column:w/a#x", C) == (
        Hop(finer, Basis.OBSERVED, finer),
        Hop(flow(B, C), Basis.OBSERVED, flow(B, C)),
    )


def test_a_hop_shows_the_strongest_basis_that_the_filter_lets_through(world: World) -> None:
    world.register(flow(A, B), origin="parser", basis=Basis.INFERRED)
    world.register(flow(A, B), origin="person", basis=Basis.DECLARED)
    assert hops(world, A, B)[0].basis is Basis.DECLARED
    assert hops(world, A, B, FlowFilter(bases=[Basis.INFERRED]))[0].basis is Basis.INFERRED


FEATURE, VERSION, DEPLOYMENT = "feature:w/V#f", "model_version:w/M#1", "deployment:w/D"
CHAMPION = "model_version:w/M#%40champion"


@pytest.mark.parametrize("named", [VERSION, CHAMPION])
def test_a_feature_reaches_the_deployment_of_a_version_that_needs_it(world: World, named: str) -> None:
    signature: Json = {"inputs": [{"name": "f", "feature": FEATURE}]}
    world.register(
        AssetStatement(k(VERSION), {"signature": signature}),
        AssetStatement(k(CHAMPION), {"version": "1"}),
        flow(named, DEPLOYMENT),
    )
    evidence = Flow(k(named), k(DEPLOYMENT))
    assert hops(world, FEATURE, DEPLOYMENT) == (Hop(Flow(k(FEATURE), k(DEPLOYMENT)), Basis.INFERRED, evidence),)
    assert paths(world.index.view(), k(FEATURE), k(VERSION), world.moment()) == []


def test_a_version_served_by_alias_is_told_with_the_alias_as_evidence(world: World) -> None:
    run = "run:w/train#00000000-0000-0000-0000-000000000001"
    world.register(AssetStatement(k(CHAMPION), {"version": "1"}), flow(run, VERSION), flow(CHAMPION, DEPLOYMENT))
    assert hops(world, run, DEPLOYMENT) == (
        Hop(flow(run, VERSION), Basis.OBSERVED, flow(run, VERSION)),
        Hop(flow(VERSION, DEPLOYMENT), Basis.OBSERVED, flow(CHAMPION, DEPLOYMENT)),
    )


def test_a_loss_finds_paths_that_values_do_not_take(world: World) -> None:
    world.register(
        *(k(f"column:w/{column}") for column in ("a#x", "b#y", "b#z")),
        *(flow(A, "job:w/J"), flow("job:w/J", B), flow("column:w/a#x", "column:w/b#y", via="job:w/J")),
    )
    assert ends(world, "column:w/a#x", "column:w/b#z") == []
    assert ends(world, "column:w/a#x", "column:w/b#z", follow=Follow.LOSS) == ["w/J w/b"]
