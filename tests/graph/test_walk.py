"""Whether an answer is complete, where it was cut, and what stands in the place of versions and features."""

import pytest

from graph.changes import AssetStatement, Withdrawal
from graph.errors import NotFound
from graph.model import Basis
from graph.walk import Direction, FlowFilter
from tests.graph.world import World, flow, k

A, B, C, D = (f"dataset:w/{name}" for name in "abcd")
FEATURE, VERSION, DEPLOYMENT = "feature:w/V#f", "model_version:w/M#1", "deployment:w/D"
CHAMPION = "model_version:w/M#%40champion"


def needs(feature: str) -> AssetStatement:
    return AssetStatement(k(VERSION), {"signature": {"inputs": [{"name": "f", "feature": feature}]}})


def test_a_depth_beyond_which_nothing_lies_leaves_the_answer_complete(world: World) -> None:
    world.register(flow(A, B), flow(B, C), flow(C, A))
    assert world.walk(A, depth=2).complete
    cut = world.walk(A, depth=1)
    assert (cut.keys(), cut.complete, cut.frontier) == ([k(B)], False, (k(B),))
    assert world.walk(A, depth=0).frontier == (k(A),)
    assert world.walk("dataset:w/c", Direction.UPSTREAM, depth=1).frontier == (k(B),)


def test_nothing_lies_beyond_an_alias_whose_version_was_reached_already(world: World) -> None:
    other = "deployment:w/other"
    world.register(
        AssetStatement(k(CHAMPION), {"version": "1"}),
        *(flow(VERSION, DEPLOYMENT), flow(other, DEPLOYMENT), flow(CHAMPION, other)),
    )
    assert world.walk(DEPLOYMENT, Direction.UPSTREAM, depth=1).complete


def test_an_answer_is_cut_at_assets_not_at_what_stands_in_for_them(world: World) -> None:
    world.register(needs(FEATURE), AssetStatement(k(CHAMPION), {"version": "1"}), flow(CHAMPION, DEPLOYMENT))
    assert world.walk(FEATURE, depth=0).frontier == (k(FEATURE),)
    assert world.walk(CHAMPION, depth=0).frontier == (k(VERSION),)


def test_a_version_or_feature_nobody_registered_is_there_while_an_alias_or_signature_brings_it_a_flow(
    world: World,
) -> None:
    world.register(AssetStatement(k(CHAMPION), {"version": "1"}), flow(CHAMPION, DEPLOYMENT))
    assert world.upstream(DEPLOYMENT) == {VERSION, "model:w/M"}
    assert world.downstream(VERSION) == {DEPLOYMENT}
    world.register(needs(FEATURE))
    assert {FEATURE, "feature_view:w/V"} < world.upstream(DEPLOYMENT)
    assert world.downstream(FEATURE) == {DEPLOYMENT}
    world.now += 1
    world.register(Withdrawal(flow(CHAMPION, DEPLOYMENT)))
    with pytest.raises(NotFound):
        world.downstream(FEATURE)


def test_the_flow_that_serving_implies_is_inferred_whatever_serving_itself_is(world: World) -> None:
    world.register(needs(FEATURE), flow(VERSION, DEPLOYMENT), basis=Basis.OBSERVED)
    assert world.walk(FEATURE, flows=FlowFilter(bases=[Basis.OBSERVED])).keys() == []
    assert world.walk(FEATURE, flows=FlowFilter(bases=[Basis.INFERRED])).keys() == [k(DEPLOYMENT)]
