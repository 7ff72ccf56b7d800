"""What upstream may have caused a drift: who is named, in which order, and in which words."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from graph.cause import RECENT, Cause, Reason, causes, live_upstream, nearest_columns
from graph.changes import AssetStatement, Withdrawal
from graph.time import HOUR
from tests.graph.world import World, flow, k

RAW, CLEAN, SHARE = "column:lake/raw#phenols", "column:lake/clean#phenols", "feature:shop/wine#share"
RUN = "run:shop/train#11111111-2222-3333-4444-555555555555"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """raw -> clean -> share -> deployment, which serves a version trained on share and on an old table."""
    world = World(tmp_path)
    world.now = 1_000 * HOUR
    world.register(
        *(k(text) for text in (RAW, CLEAN, "dataset:lake/raw", "dataset:lake/clean", "column:lake/old#x")),
        AssetStatement(k(SHARE), {"definition": "phenols / total"}),
        AssetStatement(
            k("model_version:shop/wine#1"), {"signature": {"inputs": [{"name": "share", "feature": SHARE}]}}
        ),
        flow(RAW, CLEAN),
        flow(CLEAN, SHARE),
        flow("column:lake/old#x", RUN),
        flow(RUN, "model_version:shop/wine#1"),
        flow("model_version:shop/wine#1", "deployment:shop/wine"),
    )
    yield world
    world.close()


def ranked(world: World, start: str, **drifting: str) -> list[Cause]:
    at = world.moment()
    upstream = live_upstream(world.index.view(), [k(start)], at)
    histories = {key: world.store.history(key) for key in upstream}
    named = {k(text): title for text, title in drifting.items()}
    return causes(world.index.view(), at, [k(start)], named, histories)


def listed(found: list[Cause]) -> list[tuple[str, Reason, int]]:
    return [(str(cause.asset), cause.reason, cause.hops) for cause in found]


def test_without_any_sign_data_upstream_is_suspect_nearest_first_and_columns_before_datasets(world: World) -> None:
    found = ranked(world, SHARE)
    assert listed(found) == [
        (CLEAN, Reason.UPSTREAM, 1),
        ("dataset:lake/clean", Reason.UPSTREAM, 1),
        (RAW, Reason.UPSTREAM, 2),
        ("dataset:lake/raw", Reason.UPSTREAM, 2),
    ]
    assert found[2].explanation == "suspect, not monitored: 2 flows upstream"
    assert nearest_columns(live_upstream(world.index.view(), [k(SHARE)], world.moment())) == [k(CLEAN)]


def test_what_training_read_is_no_cause_of_what_requests_hold(world: World) -> None:
    upstream = live_upstream(world.index.view(), [k("deployment:shop/wine")], world.moment())
    assert {k(SHARE), k(CLEAN), k(RAW)} <= upstream.keys()
    assert k("column:lake/old#x") not in upstream


def test_what_drifts_and_has_nothing_upstream_that_does_comes_first(world: World) -> None:
    ends = (
        *((flow(SHARE, f"feature:shop/late#{name}")) for name in "ab"),
        flow("feature:shop/late#a", "feature:shop/end#z"),
    )
    world.register(*ends)
    found = causes(
        world.index.view(),
        world.moment(),
        [k("feature:shop/end#z")],
        {
            k(SHARE): "share drifted at wine",
            k("feature:shop/late#a"): "a drifted at wine",
            k("feature:shop/late#b"): "not upstream",
        },
        {},
    )
    assert listed(found)[:3] == [
        (SHARE, Reason.DRIFTED, 2),
        ("feature:shop/late#a", Reason.DRIFTED, 1),
        (CLEAN, Reason.UPSTREAM, 3),
    ]
    assert found[0].explanation == "drifts as well, and is 2 flows upstream: share drifted at wine"


def test_recent_changes_of_definition_type_and_flows_come_next_latest_first(world: World) -> None:
    world.now += HOUR
    world.register(AssetStatement(k(CLEAN), {"type": "double"}))
    world.now += HOUR
    world.register(flow("column:lake/more#x", CLEAN), Withdrawal(flow(RAW, CLEAN)))
    world.register(AssetStatement(k("column:lake/more#x"), {"description": "new, and nothing of values"}))
    world.now += HOUR
    world.register(AssetStatement(k(SHARE), {"definition": "phenols"}))
    world.now += HOUR
    found = ranked(world, "deployment:shop/wine")
    assert listed(found)[:2] == [(SHARE, Reason.CHANGED, 1), (CLEAN, Reason.CHANGED, 2)]
    assert found[0].explanation.startswith("its definition changed at 1970-02-11 19:00 UTC, 60 min before (revision 5,")
    assert "column:lake/raw#phenols flowed into it no longer; column:lake/more#x began to flow into it" in (
        found[1].explanation
    )
    assert {reason for _, reason, _ in listed(found)[2:]} == {Reason.UPSTREAM}


def test_what_was_only_registered_or_changed_long_ago_is_no_change(world: World) -> None:
    world.now += HOUR
    world.register(AssetStatement(k(CLEAN), {"type": "double", "description": "typed"}))
    assert {cause.reason for cause in ranked(world, SHARE)} == {Reason.UPSTREAM}, "the type is only now heard of"
    world.register(AssetStatement(k(CLEAN), {"type": "text"}))
    assert listed(ranked(world, SHARE))[0] == (CLEAN, Reason.CHANGED, 1)
    world.now += RECENT + HOUR
    assert {cause.reason for cause in ranked(world, SHARE)} == {Reason.UPSTREAM}


def test_what_the_graph_does_not_know_has_no_causes(world: World) -> None:
    assert ranked(world, "feature:shop/wine#unheard") == []
