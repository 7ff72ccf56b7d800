"""What a plan would make of the graph is what it makes of it: asked before, the answers are those that come after."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from graph.changes import AssetStatement, Change, Registration, Withdrawal
from graph.errors import PlanOutdated
from graph.impact import When, when_felt
from graph.keys import AssetKey
from graph.model import Basis, Operation
from graph.outlook import Reached, Selected, is_there, outlook
from graph.plan import plan_registration, register
from graph.simulation import Simulation, simulate
from graph.stores.sqlite import SqliteStore
from graph.topology import Moment
from graph.walk import walk
from tests.graph.oracle import Oracle, facts
from tests.graph.test_index_equals_oracle import (
    ALIASES,
    ASSETS,
    Question,
    check,
    empty_store,
    loaded,
    questions,
    registrations,
    scenes,
    tell,
    tellable,
)
from tests.graph.world import World, interrupted, k, registration

Said = list[tuple[Registration, int]]

histories_and_plans = scenes.flatmap(
    lambda scene: st.tuples(
        st.lists(registrations(scene), min_size=2, max_size=6),
        st.lists(registrations(scene), min_size=1, max_size=3),
        st.lists(registrations(scene), max_size=2),
    )
)


def of_each_origin(store: SqliteStore, coming: Said) -> list[Registration]:
    """A plan has one registration an origin."""
    return [tellable(store, each) for each in {wanted.origin: wanted for wanted, _ in coming}.values()]


def planned(store: SqliteStore, wanted: list[Registration], now: int) -> list[Change]:
    return [change for each in wanted for change in plan_registration(store, each, now).changes]


@given(histories_and_plans, st.booleans(), st.lists(questions, min_size=4, max_size=10))
def test_a_simulated_plan_answers_as_the_graph_does_once_it_is_committed(
    said: tuple[Said, Said, Said], compacted: bool, asked: list[Question]
) -> None:
    history, coming, others = said
    with empty_store() as store:
        index = loaded(store)
        for wanted, now in history:
            tell(store, wanted, now)
            index.follow()
        if compacted:
            index.compact()
        now = max(at for _, at in coming)
        plan = of_each_origin(store, coming)
        changes = planned(store, plan, now)

        def meanwhile() -> None:
            for wanted, at in others:
                tell(store, replace(wanted, origin="another"), at)
            index.follow()

        with interrupted(index, 2, meanwhile):
            simulated = simulate(index.tables, index.changing, store.believed_at, changes)
        event(f"{min(len(changes), 9)} changes or more")
        index.compact()
        today = facts(store)
        for question in asked:
            moment = Moment(question.at, simulated.revision)
            check(simulated.today, Oracle(today, *moment), question, moment)
            check_outlook(simulated, question, moment)
    with empty_store() as store:
        for wanted, now_ in history:
            tell(store, wanted, now_)
        for wanted in plan:
            register(store, wanted, Operation(None, wanted.digest(), "tester"), now)
        later = facts(store)
        for question in asked:
            oracle = Oracle(later, question.at, store.head())
            check(simulated.planned, oracle, question, Moment(question.at, simulated.revision))


def check_outlook(simulated: Simulation, question: Question, moment: Moment) -> None:
    """What is said to differ is what does."""
    keys = [key for key in [*ASSETS, *ALIASES] if is_there(simulated.planned, key, moment)]
    if not keys:
        return
    start = keys[question.start % len(keys)]
    sides: list[Selected | None] = []
    told: list[dict[AssetKey, Reached]] = []
    for view in (simulated.today, simulated.planned):
        if not is_there(view, start, moment):
            sides.append(None)
            told.append({})
            continue
        lineage = walk(view, start, question.direction, moment, question.follow)
        felt = when_felt(lineage)
        sides.append(Selected(lineage, np.arange(len(lineage)), felt))
        rows = zip(lineage.hops.tolist(), felt.tolist(), lineage.partly.tolist(), strict=True)
        told.append(
            {
                key: Reached(hops, When(when), partly)
                for key, (hops, when, partly) in zip(lineage.keys(), rows, strict=True)
            }
        )
    before, after = told
    found = outlook(*sides)
    assert {each.asset: each.after for each in found.added} == {key: after[key] for key in after.keys() - before.keys()}
    assert {each.asset: each.before for each in found.removed} == {
        key: before[key] for key in before.keys() - after.keys()
    }
    assert {each.asset: (each.before, each.after) for each in found.changed} == {
        key: (before[key], after[key]) for key in before.keys() & after.keys() if before[key] != after[key]
    }


def test_a_plan_that_others_have_overtaken_is_refused(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.register(k("dataset:w/T"), origin="mine")
    wanted = registration([Withdrawal(k("dataset:w/T"))], "mine", Basis.DECLARED)
    changes = planned(world.store, [wanted], world.now)
    world.register(AssetStatement(k("dataset:w/T"), {"tier": 1}), origin="mine")
    with pytest.raises(PlanOutdated, match="dataset:w/T"):
        simulate(world.index.tables, world.index.changing, world.store.believed_at, changes)
    world.close()
