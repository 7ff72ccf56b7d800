"""What must change so that a registration holds."""

from typing import Any

import pytest

from graph.attributes import checked_attributes, shown_attributes
from graph.changes import AssetStatement, FlowStatement, Receipt, Registration, Verb, Withdrawal
from graph.errors import (
    Conflict,
    InvalidAttribute,
    InvalidFlow,
    InvalidInput,
    InvalidTime,
    NoneRegistered,
    NotFound,
    StaleVersion,
)
from graph.keys import AssetKey
from graph.model import Assertion, Basis, Json, Operation, Subject, checked_flow
from graph.plan import AHEAD, digest_together, plan_registration, plan_together, register_together
from graph.planned import PlanDiffers, digest_of
from graph.time import FOREVER, Interval
from tests.graph.world import START, Statement, World, flow, k, registration

T, COLUMN, E, J, CONSUMER = "dataset:w/T", "column:w/T#a", "dataset:w/E", "job:w/J", "consumer:w/C"


def believed(world: World, subject: Subject, origin: str = "test") -> list[Assertion]:
    return [said for said in world.store.believed([subject]).get(subject, ()) if said.origin == origin]


def intervals(world: World, subject: Subject, origin: str = "test") -> list[tuple[int, int]]:
    return [(said.valid.start, said.valid.end) for said in believed(world, subject, origin)]


def described(key: str, text: str | None, since: int | None = None, until: int | None = None) -> AssetStatement:
    return AssetStatement(k(key), {"description": text}, since, until)


# Registering twice


@pytest.mark.parametrize("complete", [False, True])
def test_registering_twice_changes_nothing(world: World, complete: bool) -> None:
    said: list[Statement] = [
        described(T, "orders"),
        AssetStatement(k(E), {"tags": ["b", "a", "b"]}, since=5, until=2000),
        flow(T, J),
        FlowStatement(flow(J, E), {}, since=5),
        flow(COLUMN, "column:w/E#x", via=J),
    ]
    first = world.register(*said, complete=complete)
    world.now += 50
    again = world.register(*reversed(said), complete=complete)
    assert (first.changed, first.revision) == (True, 1)
    assert (again.changed, again.revision) == (False, 1)
    assert world.store.changes_since(1) == []


def test_registering_again_with_other_attributes_keeps_the_old_ones_for_the_time_before(world: World) -> None:
    world.register(described(T, "old"))
    world.now += 10
    done = world.register(AssetStatement(k(T), {"description": "new", "tier": 1}))
    assert (done.added, done.updated, done.withdrawn) == (0, 1, 0)
    assert [(said.valid, said.attributes["description"]) for said in believed(world, k(T))] == [
        (Interval(START, START + 10), "old"),
        (Interval(START + 10), "new"),
    ]


def test_attributes_not_named_stay_none_takes_one_back_and_a_complete_registration_replaces_all(world: World) -> None:
    world.register(AssetStatement(k(T), {"description": "orders", "tier": 1}))
    world.register(AssetStatement(k(T), {"tier": 2}))
    assert believed(world, k(T))[-1].attributes == {"description": "orders", "tier": 2}
    world.register(described(T, None))
    assert believed(world, k(T))[-1].attributes == {"tier": 2}
    world.register(described(T, "all"), complete=True)
    assert believed(world, k(T))[-1].attributes == {"description": "all"}


# Since and until


def test_statements_of_several_times_add_up_in_whatever_order_they_come(world: World) -> None:
    said = [described(T, "x", 10, 20), described(T, "x", 20, 30), described(T, "x", 40, 50), described(T, "x", 45, 60)]
    for each in said:
        world.register(each, origin="in order")
    for each in reversed(said):
        world.register(each, origin="reversed")
    assert intervals(world, k(T), "in order") == intervals(world, k(T), "reversed") == [(10, 30), (40, 60)]


def test_a_correction_within_an_interval_cuts_it_in_three(world: World) -> None:
    world.register(described(T, "x", 10, 40))
    world.register(described(T, "y", 20, 30))
    assert [(said.valid, said.attributes["description"]) for said in believed(world, k(T))] == [
        (Interval(10, 20), "x"),
        (Interval(20, 30), "y"),
        (Interval(30, 40), "x"),
    ]


def test_what_was_believed_before_a_correction_can_still_be_asked(world: World) -> None:
    world.register(FlowStatement(flow(T, CONSUMER), {}, since=10))
    world.register(Withdrawal(flow(T, CONSUMER), at=20))
    for revision, at, expected in ((1, 30, [k(CONSUMER)]), (2, 15, [k(CONSUMER)])):
        assert world.walk(T, at=at, revision=revision).keys() == expected
    with pytest.raises(NotFound):
        world.walk(T, at=30, revision=2)


@pytest.mark.parametrize(("since", "until"), [(20, 20), (20, 10), (None, START)])
def test_an_empty_interval_is_refused(world: World, since: int | None, until: int | None) -> None:
    with pytest.raises(InvalidTime):
        world.register(described(T, "x", since, until))
    assert world.store.head() == 0


def test_a_start_further_ahead_than_ten_minutes_is_refused(world: World) -> None:
    world.register(described(T, "x", START + AHEAD))
    for ahead in (described(E, "x", START + AHEAD + 1), Withdrawal(k(T), START + AHEAD + 1)):
        with pytest.raises(InvalidTime, match="ahead of the clock"):
            world.register(ahead)


# Complete registrations and withdrawals


def test_a_complete_registration_withdraws_what_the_same_origin_no_longer_says_and_nothing_else(world: World) -> None:
    world.register(k(T), k(E), flow(T, J), origin="one")
    world.register(k(E), origin="two")
    world.now += 10
    done = world.register(k(T), origin="one", complete=True)
    assert (done.added, done.updated, done.withdrawn) == (0, 0, 2)
    assert intervals(world, k(E), "one") == [(START, START + 10)]
    assert intervals(world, k(E), "two") == [(START, FOREVER)]
    assert world.register(k(T), origin="one", complete=True).changed is False


def test_withdrawing_an_asset_takes_its_parts_and_the_flows_at_them_along_for_that_origin_only(world: World) -> None:
    subjects: list[AssetKey | Subject] = [k(T), k(COLUMN), flow(T, J), flow(COLUMN, CONSUMER), flow(J, E), k(CONSUMER)]
    for origin in ("one", "two"):
        world.register(*subjects, origin=origin)
    world.now += 10
    world.register(Withdrawal(k(T)), origin="one")
    for subject in subjects[:4]:
        assert intervals(world, subject, "one") == [(START, START + 10)]
    for subject in subjects[4:]:
        assert intervals(world, subject, "one") == [(START, FOREVER)]
    assert all(intervals(world, subject, "two") == [(START, FOREVER)] for subject in subjects)


def test_an_origin_cannot_withdraw_what_only_others_say_nor_what_nobody_says(world: World) -> None:
    world.register(k(T), origin="one")
    with pytest.raises(Conflict, match="'one' did"):
        world.register(Withdrawal(k(T)), origin="two")
    with pytest.raises(NotFound):
        world.register(Withdrawal(k(E)), origin="two")


def test_withdrawing_twice_changes_nothing(world: World) -> None:
    world.register(k(T))
    assert world.register(Withdrawal(k(T), at=START + 5)).changed
    assert not world.register(Withdrawal(k(T), at=START + 5)).changed


# What is refused


def test_the_ends_of_flows_and_containers_must_be_registered_unless_stubs_are_welcome(world: World) -> None:
    for unknown in (flow(T, CONSUMER), k(COLUMN)):
        with pytest.raises(NotFound, match="register it first"):
            world.register(unknown, stubs=False)
    assert world.register(k(T), k(CONSUMER), k(COLUMN), flow(T, CONSUMER), stubs=False).changed
    assert world.register(flow(E, CONSUMER), stubs=True).changed
    with pytest.raises(NotFound):
        world.register(flow(E, J), stubs=False)


def test_a_stub_registered_later_gives_the_same_graph_as_registered_first(world: World) -> None:
    world.register(flow(T, CONSUMER))
    assert world.walk(T).stub.tolist() == [True]
    world.register(k(CONSUMER))
    lineage = world.walk(T)
    assert (lineage.keys(), lineage.stub.tolist()) == ([k(CONSUMER)], [False])


@pytest.mark.parametrize(
    "said",
    [
        (described(T, "one"), described(T, "other")),
        (FlowStatement(flow(T, J), {}, 5), FlowStatement(flow(T, J), {}, 6)),
        (k(T), Withdrawal(k(T))),
        (flow(T, J), Withdrawal(flow(T, J))),
    ],
)
def test_a_request_that_contradicts_itself_is_refused(world: World, said: tuple[Statement, ...]) -> None:
    world.register(k(T), flow(T, J))
    with pytest.raises(InvalidInput):
        world.register(*said)


def test_the_same_statement_twice_in_one_request_is_no_contradiction(world: World) -> None:
    assert world.register(k(T), k(T), flow(T, J), flow(T, J)).added == 2


def test_a_version_read_before_somebody_elses_change_is_stale(world: World) -> None:
    def change(expected: int) -> AssetStatement:
        return AssetStatement(k(T), {"tier": expected + 1}, expected_version=expected)

    first = world.register(change(0)).revision
    with pytest.raises(StaleVersion, match=f"at version {first}, not 0"):
        world.register(change(0))
    world.register(described(T, "by another"), origin="other")
    with pytest.raises(StaleVersion):
        world.register(change(first))
    assert world.register(change(world.store.versions([k(T)])[k(T)])).changed


def test_a_flow_that_no_row_of_the_table_allows_is_refused() -> None:
    for source, target in ((CONSUMER, "model:w/M"), (T, T), ("run:w/J#00000000-0000-0000-0000-000000000001", J)):
        with pytest.raises(InvalidFlow):
            checked_flow(k(source), k(target))


def test_an_alias_must_name_a_version(world: World) -> None:
    with pytest.raises(InvalidAttribute):
        world.register(k("model_version:w/M#%40champion"))


PROFILE: dict[str, Any] = {
    "rows": 14,
    "inputs": {
        "alcohol": {"kind": "number", "edges": [12, 12.5], "counts": [6, 7, 0], "missing": 1, "mean": 12.9, "sd": None},
        "colour": {"kind": "category", "counts": {"red": 10, "white": 3}, "other": 1, "missing": 0},
    },
    "outputs": {},
}


@pytest.mark.parametrize(
    ("wrong", "place"),
    [
        ({"about": "orders"}, "about of alert:w/A .* must be an asset key"),
        ({"about": 7}, "must be an asset key"),
        ({"state": "open"}, "must be one of OPEN, ACKNOWLEDGED, RESOLVED"),
        ({"verified": "yes"}, "must be true or false"),
        ({"profile": {"rows": 14}}, "must be {rows, inputs, outputs}"),
        ({"profile": PROFILE | {"rows": 1.5}}, "but rows must be a whole number"),
        ({"profile": PROFILE | {"rows": 2**63}}, "but rows must be a whole number"),
        ({"profile": PROFILE | {"outputs": []}}, "but outputs must map names"),
        (("alcohol", {"kind": "text"}), r"but inputs\.alcohol\.kind must be number or category"),
        (("alcohol", {"median": 13}), r"inputs\.alcohol must hold counts, edges, kind"),
        (("alcohol", {"edges": [13, 12.5]}), r"inputs\.alcohol\.edges must ascend"),
        (("alcohol", {"edges": [*range(64)]}), r"inputs\.alcohol\.edges must be a list of at most 63 numbers"),
        (("alcohol", {"counts": [6, 7]}), r"inputs\.alcohol\.counts must be a list of 3"),
        (("alcohol", {"counts": [6, 8, -1]}), r"inputs\.alcohol's counts must be whole numbers"),
        (("alcohol", {"mean": "13"}), r"inputs\.alcohol\.mean must be a number or null"),
        (("alcohol", {"missing": 2}), r"inputs\.alcohol counts 15 values, in a profile of 14 rows"),
        (("colour", {"counts": [10, 4]}), r"inputs\.colour\.counts must map at most 50 categories"),
        (("colour", {"other": True}), r"inputs\.colour's counts must be whole numbers"),
    ],
)
def test_what_watching_and_alerts_say_has_a_form(
    wrong: dict[str, Any] | tuple[str, dict[str, Any]], place: str
) -> None:
    right: dict[str, Any] = {"about": COLUMN, "state": "OPEN", "verified": True, "profile": PROFILE}
    assert checked_attributes(right, "alert:w/A") == right
    if isinstance(wrong, tuple):
        name, said = wrong
        inputs = PROFILE["inputs"]
        wrong = {"profile": PROFILE | {"inputs": inputs | {name: inputs[name] | said}}}
    with pytest.raises(InvalidAttribute, match=place):
        checked_attributes(wrong, "alert:w/A")


# Column lineage


def test_column_lineage_says_that_its_job_reads_and_writes_these_tables(world: World) -> None:
    world.register(flow(COLUMN, "column:w/E#x", via=J))
    subjects = {change.assertion.subject for change in world.store.changes_since(0)[0].opened}
    assert subjects == {flow(COLUMN, "column:w/E#x", via=J), flow(COLUMN, J), flow(T, J), flow(J, E)}


# Plans and digests


def test_a_plan_changes_nothing_and_tells_before_and_after_in_the_order_of_the_keys(world: World) -> None:
    world.register(k(T))
    wanted = registration([flow(T, J), k(E), described(T, "orders")], "test", Basis.OBSERVED)
    changes = plan_registration(world.store, wanted, START + 10)
    assert [str(change.subject) for change in changes.changes] == [E, T, f"{T} -> {J}"]
    assert [len(change.before) for change in changes.changes] == [0, 1, 0]
    assert world.store.head() == 1


def test_equal_requests_have_equal_digests_and_any_difference_shows() -> None:
    def digest(*said: Statement, origin: str = "test", basis: Basis = Basis.OBSERVED, complete: bool = False) -> str:
        return registration(said, origin, basis, complete).digest()

    assert digest(described(T, "x"), flow(T, J)) == digest(described(T, "x"), flow(T, J))
    different = [
        digest(described(T, "x")),
        digest(described(T, "y")),
        digest(described(T, "x", since=1)),
        digest(described(T, "x"), origin="other"),
        digest(described(T, "x"), basis=Basis.DECLARED),
        digest(described(T, "x"), complete=True),
        digest(Withdrawal(k(T))),
        digest(flow(T, E)),
        digest(flow(T, E, via=J)),
    ]
    assert len(set(different)) == len(different)


# Which attribute is shown


def test_the_strongest_basis_is_shown_then_the_later_word_and_the_others_stay_visible(world: World) -> None:
    for origin, basis, since, text in (
        ("parser", Basis.INFERRED, 400, "inferred"),
        ("early", Basis.DECLARED, 100, "declared"),
        ("late", Basis.DECLARED, 200, "declared later"),
        ("import", Basis.IMPORTED, 300, "declared later"),
    ):
        world.register(described(T, text, since), origin=origin, basis=basis)
    said = world.store.believed([k(T)])[k(T)]
    shown = shown_attributes(said, START)["description"]
    assert (shown.value, [claim.origin for claim in shown.claims]) == ("declared later", ["late"])
    assert [claim.origin for claim in shown.disagreeing] == ["early", "parser"]
    assert shown_attributes(said, 150)["description"].value == "declared"
    assert shown_attributes(said, 50) == {}


def test_saying_the_same_again_does_not_make_a_claim_later(world: World) -> None:
    world.register(described(T, "first", 100), origin="one")
    world.register(described(T, "second", 200), origin="two")
    world.register(AssetStatement(k(T), {"tier": 1}, since=300), origin="one")
    assert shown_attributes(world.store.believed([k(T)])[k(T)], START)["description"].value == "second"


def test_sets_are_the_union_over_the_origins_of_the_strongest_basis(world: World) -> None:
    said: list[tuple[str, Basis, list[Json]]] = [
        ("one", Basis.DECLARED, ["pii"]),
        ("two", Basis.DECLARED, ["gold", "pii"]),
        ("three", Basis.OBSERVED, ["hot"]),
    ]
    for origin, basis, tags in said:
        world.register(AssetStatement(k(T), {"tags": tags}), origin=origin, basis=basis)
    shown = shown_attributes(world.store.believed([k(T)])[k(T)], START)["tags"]
    assert shown.value == ["gold", "pii"]
    assert [claim.origin for claim in shown.disagreeing] == ["three"]


# Several origins at once


def together(world: World, *wanted: Registration, expected: str | None = None) -> Receipt:
    digest = digest_together(wanted, expected)
    done = register_together(world.store, wanted, Operation(None, digest, "tester"), world.now, expected)
    world.index.follow()
    return done


def said(origin: str, *statements: Statement) -> Registration:
    return registration(statements, origin, Basis.DECLARED, complete=True, stubs=False)


def test_what_one_origin_states_another_may_refer_to_in_the_same_commit(world: World) -> None:
    reader, writer = said("b", k(CONSUMER), flow(T, CONSUMER)), said("a", k(T))
    with pytest.raises(NotFound):
        together(world, reader)
    assert together(world, reader, writer).revision == 1
    assert not together(world, writer, reader).changed
    with pytest.raises(NoneRegistered) as refused:
        together(world, said("a"), said("b", k(CONSUMER), flow(T, CONSUMER), flow(E, CONSUMER)))
    assert refused.value.keys == (E, T), "also what its own origin does not say any more"
    assert world.store.head() == 1


def test_a_plan_is_the_same_as_long_as_it_changes_the_same(world: World) -> None:
    together(world, said("a", described(T, "orders"), k(E)))
    wanted = [said("a", described(T, "sales"))]
    found = plan_together(world.store, wanted, world.now)
    assert [(str(each.subject), each.verb, each.altered) for each in found.changes] == [
        (E, Verb.WITHDRAWN, ()),
        (T, Verb.CHANGED, (("description", "orders", "sales"),)),
    ]
    world.now += 1_000_000
    world.register(k(J), origin="another")
    assert digest_of(plan_together(world.store, wanted, world.now).changes) == digest_of(found.changes)
    world.register(described(T, "purchases"), origin="a", basis=Basis.DECLARED)
    with pytest.raises(PlanDiffers):
        together(world, *wanted, expected=digest_of(found.changes))
    assert believed(world, k(T), "a")[-1].attributes == {"description": "purchases"}


def test_what_several_origins_say_is_told_and_each_withdraws_its_own(world: World) -> None:
    together(world, said("a", k(T)), said("b", k(T)))
    world.register(k(T), origin="c")
    assert plan_together(world.store, [said("a")], world.now).shared == {k(T): ("a", "b", "c")}
    assert together(world, said("a")).withdrawn == 1
    assert plan_together(world.store, [said("b", k(T))], world.now).shared == {k(T): ("b", "c")}
    with pytest.raises(InvalidInput, match="speaks twice"):
        together(world, said("a"), said("a"))
