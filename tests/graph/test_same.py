"""Assets that are the same: joined by an assertion, told of as of one, and apart again once it is withdrawn."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graph.changes import AssetStatement, Registration, Withdrawal
from graph.compare import differences
from graph.dependencies import dependencies
from graph.errors import InvalidAttribute, NotFound
from graph.keys import AssetKey, AssetKind
from graph.model import REFINES_FIRST, Basis
from graph.neighbours import arrows_among, arrows_walked, flows_at, parts_of
from graph.paths import count_paths, paths
from graph.same import names_of
from graph.topology import Moment, View
from graph.walk import Direction, Follow, located, walk
from tests.graph.oracle import Oracle, facts
from tests.graph.test_index_equals_oracle import (
    ALIASES,
    ASSETS,
    END_OF_TIME,
    SAME,
    empty_store,
    histories,
    loaded,
    tell,
)
from tests.graph.world import World, flow, k, registration


def same(key: str, *others: str, **attributes: Any) -> AssetStatement:
    return AssetStatement(k(key), {"same_as": [*others], **attributes})


def answers(view: View, moment: Moment) -> list[object]:
    """All that is told now of everything that is there."""
    told: list[object] = []
    there = [key for key in (*ASSETS, *ALIASES) if is_there(view, key, moment)]
    for key in there:
        number = located(view, key, moment)
        told.append((key, view.key(number), parts_of(view, number, moment), names_of(view, key, moment)))
        told += [flows_at(view, number, direction, moment) for direction in Direction]
        for direction in Direction:
            for follow in Follow:
                lineage = walk(view, key, direction, moment, follow)
                rows = range(len(lineage))
                labels = [lineage.label(row) for row in rows]
                told.append((lineage.keys(), lineage.hops.tolist(), lineage.partly.tolist(), labels, lineage.frontier))
    told.append(dependencies(view, moment))
    for source, target in pairwise(there):
        if not source.is_alias and not target.is_alias:
            told += [paths(view, source, target, moment, at_most=5), count_paths(view, source, target, moment)]
    return told


def is_there(view: View, key: AssetKey, moment: Moment) -> bool:
    try:
        located(view, key, moment)
    except NotFound:
        return False
    return True


joins = st.lists(
    st.sampled_from(sorted(SAME, key=str)).flatmap(lambda key: st.tuples(st.just(key), st.sampled_from(SAME[key]))),
    min_size=1,
    max_size=4,
    unique_by=lambda pair: pair[0],
)


@given(histories, joins)
def test_what_is_joined_and_parted_is_as_it_was(
    said: list[tuple[Registration, int]], pairs: list[tuple[AssetKey, AssetKey]]
) -> None:
    with empty_store() as store:
        for wanted, now in said:
            tell(store, wanted, now)
        index = loaded(store)
        before = answers(index.view(), Moment(END_OF_TIME + 1, store.head()))
        believed = store.believed([key for key, _ in pairs])
        statements = [AssetStatement(key, {"same_as": [str(other)]}) for key, other in pairs]
        # Only of what somebody tells of: a join is a word that its asset is, as any other.
        statements = [
            each
            for each in statements
            if any(one.valid.holds_at(END_OF_TIME + 1) for one in believed.get(each.key, ()))
        ]
        tell(store, registration(statements, "joins", Basis.DECLARED), END_OF_TIME + 2)
        index.follow()
        joined = Moment(END_OF_TIME + 3, store.head())
        for each in statements:
            assert set(map(k, each.attributes["same_as"])) < set(names_of(index.view(), each.key, joined))  # type: ignore[arg-type]
        together = answers(index.view(), joined)
        tell(
            store, registration([Withdrawal(each.key) for each in statements], "joins", Basis.DECLARED), END_OF_TIME + 4
        )
        index.follow()
        assert answers(index.view(), Moment(END_OF_TIME + 5, store.head())) == before
        assert answers(index.view(), joined) == together  # what was believed then, of then
        assert answers(loaded(store).view(), joined) == together


@given(histories)
def test_an_index_that_followed_holds_what_one_holds_that_was_loaded(said: list[tuple[Registration, int]]) -> None:
    with empty_store() as store:
        followed = loaded(store)
        for wanted, now in said:
            tell(store, wanted, now)
            followed.follow()
        late = loaded(store)
        assert differences(followed.view(), late.view()) == []


@given(histories, st.integers(0, END_OF_TIME))
def test_neighbours_and_dependencies_are_those_of_all_names(said: list[tuple[Registration, int]], at: int) -> None:
    with empty_store() as store:
        for wanted, now in said:
            tell(store, wanted, now)
        view, moment = loaded(store).view(), Moment(at, store.head())
        oracle = Oracle(facts(store), *moment)
        stated: dict[tuple[AssetKey, AssetKey, AssetKey | None], list[Any]] = {}
        for told in oracle.stated:
            ends = oracle.one(told.flow.source), oracle.one(told.flow.target)
            if ends[0] != ends[1]:
                stated.setdefault((*ends, told.flow.via), []).append(told)
        for key in ASSETS:
            if not oracle.is_there(key):
                continue
            number = located(view, key, moment)
            assert view.key(number) == oracle.one(key)
            for direction, end in ((Direction.UPSTREAM, 1), (Direction.DOWNSTREAM, 0)):
                expected = {flow: said for flow, said in stated.items() if flow[end] == oracle.one(key)}
                held = flows_at(view, number, direction, moment)
                assert {each.flow: (each.basis, set(each.stored)) for each in held} == {
                    flow: (strongest(said), {told.flow for told in said}) for flow, said in expected.items()
                }
            parts = {part for part in oracle.parts(oracle.one(key)) if part in oracle.asserted | oracle.with_flow}
            assert {part for part in parts_of(view, number, moment) if not part.is_alias} == parts
        used = {
            flow: said
            for flow, said in stated.items()
            if (flow[0].container or flow[0]).kind in (AssetKind.DEPLOYMENT, AssetKind.FEATURE_VIEW, AssetKind.DATASET)
            and flow[1].kind in (AssetKind.CONSUMER, AssetKind.DEPLOYMENT)
        }
        assert {each.flow.flow: (each.flow.basis, each.observed) for each in dependencies(view, moment)} == {
            flow: (strongest(said), any(told.basis is Basis.OBSERVED for told in said)) for flow, said in used.items()
        }


def strongest(said: Sequence[Any]) -> Basis:
    return Basis(min((told.basis for told in said), key=REFINES_FIRST.index))


# By hand


TABLE, FILES, HIVE = "dataset:w/orders", "dataset:s3/orders", "dataset:hive/orders"


def test_shown_is_what_others_name_and_what_names_none(world: World) -> None:
    world.register(same(FILES, HIVE), same(TABLE, FILES))
    moment, view = world.moment(), world.index.view()
    for name in (TABLE, FILES, HIVE):
        assert [str(key) for key in names_of(view, k(name), moment)] == [HIVE, FILES, TABLE]
    assert view.key(located(view, k(FILES), moment)) == k(HIVE)


def test_columns_of_one_name_are_one_those_too_that_come_later(world: World) -> None:
    world.register(
        flow("column:s3/orders#id", "consumer:a/reader"), k("column:w/orders#id"), k("column:w/orders#other")
    )
    assert world.downstream("column:w/orders#id") == set()
    world.register(same(FILES, TABLE), origin="joins")
    assert world.downstream("column:w/orders#id") == {"consumer:a/reader"}
    assert world.downstream("column:w/orders#other") == set()
    world.register(flow("column:s3/orders#late", "consumer:a/late"), k("column:w/orders#late"))
    assert world.downstream("column:w/orders#late") == {"consumer:a/late"}
    assert world.upstream("consumer:a/late") == {TABLE, "column:w/orders#late"}
    world.register(Withdrawal(k(FILES)), origin="joins")
    assert world.downstream("column:w/orders#id") == world.downstream("column:w/orders#late") == set()
    assert world.upstream("consumer:a/late") == {FILES, "column:s3/orders#late"}


def test_each_origins_word_counts_and_none_takes_back_anothers(world: World) -> None:
    world.register(k(TABLE), k(FILES), flow(FILES, "consumer:a/reader"))
    world.register(same(FILES, TABLE), origin="weak", basis=Basis.INFERRED)
    world.register(same(FILES, HIVE), origin="strong", basis=Basis.DECLARED)
    assert len(names_of(world.index.view(), k(FILES), world.moment())) == 3
    world.register(Withdrawal(k(FILES)), origin="strong", basis=Basis.DECLARED)
    assert world.downstream(TABLE) == {"consumer:a/reader"}
    world.register(AssetStatement(k(FILES), {"same_as": None}), origin="weak", basis=Basis.INFERRED)
    assert world.downstream(TABLE) == set()


def test_joins_hold_from_when_to_when_they_are_said_to(world: World) -> None:
    world.register(k(TABLE), k(FILES), flow(FILES, "consumer:a/reader"))
    world.now += 10
    before = world.store.head()
    world.register(replace(same(FILES, TABLE), since=world.now, until=world.now + 5))
    joined = world.now
    world.now += 10
    assert world.downstream(TABLE) == world.downstream(TABLE, at=joined - 1) == set()
    assert world.downstream(TABLE, at=joined) == {"consumer:a/reader"}
    assert set(map(str, world.walk(TABLE, at=joined, revision=before).keys())) == set()


def test_a_group_is_one_row_with_the_owners_and_tags_of_all(world: World) -> None:
    world.register(
        flow(TABLE, "consumer:a/one"),
        flow(TABLE, "consumer:b/one"),
        AssetStatement(k("consumer:a/one"), {"owners": [{"name": "ann"}], "tags": ["x"], "tier": 3}),
        same("consumer:b/one", "consumer:a/one", owners=[{"name": "bob"}], tags=["y"], tier=2),
    )
    lineage = world.walk(TABLE)
    assert [*map(str, lineage.keys())] == ["consumer:a/one"]
    assert lineage.label(0) == (("ann", "bob"), ("x", "y"), 2)
    assert lineage.names() == {k("consumer:a/one"): [k("consumer:b/one")]}
    assert [arrow[:2] for arrow in arrows_walked(lineage, np.array([0]))] == [(-1, 0)]
    view = world.index.view()
    [arrow] = arrows_among(view, np.array([view.number(k(TABLE)), *lineage.assets.tolist()]), world.moment())
    assert (view.keys[arrow.source], view.keys[arrow.target]) == (TABLE, "consumer:a/one")


def test_the_group_of_the_start_is_not_in_its_answer(world: World) -> None:
    world.register(flow(TABLE, FILES), flow(FILES, HIVE), k("column:w/orders#id"), same(FILES, TABLE))
    assert world.downstream(TABLE) == world.downstream(FILES) == {HIVE}
    assert world.upstream(HIVE) == {TABLE, "column:w/orders#id"}
    assert world.downstream("column:s3/orders#id") == {HIVE}


@pytest.mark.parametrize(
    ("key", "others", "says"),
    [
        ("model:a/b", ["model:a/c"], "only a consumer, a dataset, a deployment can be the same as another"),
        (TABLE, [TABLE], "it names the asset itself"),
        (TABLE, ["consumer:a/b"], "consumer:a/b is no dataset"),
        (TABLE, ["orders"], "each must be an asset key"),
        (TABLE, "dataset:a/b", "must be a list of non-empty texts"),
    ],
)
def test_what_cannot_be_the_same_is_refused(world: World, key: str, others: Any, says: str) -> None:
    with pytest.raises(InvalidAttribute, match="same_as") as refused:
        world.register(AssetStatement(k(key), {"same_as": others}))
    assert says in str(refused.value)
