"""What a plan would make of the graph is what it makes of it: asked before, the answers are those that come after."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from graph.changes import AssetStatement, Change, Registration, Withdrawal
from graph.errors import PlanOutdated
from graph.model import Basis, Operation
from graph.plan import plan_registration, register
from graph.simulation import simulate
from graph.stores.sqlite import SqliteStore
from graph.topology import Moment
from tests.graph.oracle import Oracle, facts
from tests.graph.test_index_equals_oracle import (
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
    with empty_store() as store:
        for wanted, now_ in history:
            tell(store, wanted, now_)
        for wanted in plan:
            register(store, wanted, Operation(None, wanted.digest(), "tester"), now)
        later = facts(store)
        for question in asked:
            oracle = Oracle(later, question.at, store.head())
            check(simulated.planned, oracle, question, Moment(question.at, simulated.revision))


def test_a_plan_that_others_have_overtaken_is_refused(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.register(k("dataset:w/T"), origin="mine")
    wanted = registration([Withdrawal(k("dataset:w/T"))], "mine", Basis.DECLARED)
    changes = planned(world.store, [wanted], world.now)
    world.register(AssetStatement(k("dataset:w/T"), {"tier": 1}), origin="mine")
    with pytest.raises(PlanOutdated, match="dataset:w/T"):
        simulate(world.index.tables, world.index.changing, world.store.believed_at, changes)
    world.close()
