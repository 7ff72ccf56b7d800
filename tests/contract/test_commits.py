"""What stores promise of commits: what was said is believed, once, or nothing of it."""

from dataclasses import replace

import pytest

from graph.changes import AssetStatement, Changes, Receipt, Restatement, Withdrawal
from graph.errors import Conflict, NotFound, OperationReused, PlanOutdated, StaleVersion, StoreUnavailable
from graph.model import Assertion, Attributes, Basis, Subject
from graph.plan import RegistrationPlan, plan_registration, restate
from graph.stores.contract import Store
from graph.time import FOREVER, Interval
from tests.contract.given import AMOUNT, DAY, ORDERS, READS, REPORT, SCORES
from tests.saying import asset, flow, holding, operation, registration, say

# Registering


def test_an_empty_store_knows_nothing(store: Store) -> None:
    assert store.head() == 0
    assert store.believed([ORDERS, READS]) == {}
    assert store.believed([]) == {}
    assert store.believed_by("nobody") == {}
    assert store.versions([ORDERS]) == {}
    assert list(store.touching([ORDERS])) == []
    assert store.changes_since(0) == []
    assert store.history(ORDERS) == []
    assert store.keys(0) == []
    assert store.search("orders") == []
    assert store.revision_at(FOREVER - 1) == 0
    assert store.receipt_of(operation("1")) is None
    assert store.check() == []


def test_a_registration_is_believed_as_it_was_said(store: Store) -> None:
    attributes: Attributes = {
        "description": "Bestellungen, Zürich",
        "tier": 1,
        "tags": ["pii"],
        "signature_of": {"a": [1, 2.5, None]},
    }
    receipt = say(store, AssetStatement(ORDERS, attributes), AMOUNT, READS, now=100, basis=Basis.OBSERVED)
    assert receipt == Receipt(1, changed=True, added=3)
    (said,) = store.believed([ORDERS])[ORDERS]
    assert (said.subject, said.origin, said.basis, said.valid) == (ORDERS, "api:alice", Basis.OBSERVED, Interval(100))
    assert said.attributes == attributes
    assert set(store.believed_by("api:alice")) == {ORDERS, AMOUNT, READS}
    assert store.believed([REPORT]) == {}, "the end of a flow is not said to be"


def test_registering_twice_changes_nothing(store: Store) -> None:
    first = say(store, ORDERS, READS, now=100)
    again = say(store, ORDERS, READS, now=200)
    assert again == Receipt(first.revision, changed=False)
    assert store.head() == 1
    assert len(store.changes_since(0)) == 1


def test_empty_changes_take_no_revision(store: Store) -> None:
    assert store.commit(Changes(), operation(), 100) == Receipt(0, changed=False)
    assert store.commit(Changes(), operation("1"), 100) == Receipt(0, changed=False)
    assert store.head() == 0


def test_what_origins_say_is_listed_by_origin_and_start(store: Store) -> None:
    say(store, asset("dataset:warehouse/orders", since=10, until=20), now=100, origin="b")
    say(store, asset("dataset:warehouse/orders", since=30), now=100, origin="b")
    say(store, ORDERS, now=100, origin="a", basis=Basis.IMPORTED)
    said = store.believed([ORDERS])[ORDERS]
    assert [(each.origin, each.valid) for each in said] == [
        ("a", Interval(100)),
        ("b", Interval(10, 20)),
        ("b", Interval(30)),
    ]


def test_column_lineage_through_two_jobs_is_two_flows(store: Store) -> None:
    through = [
        flow("column:warehouse/orders#amount", "column:warehouse/totals#amount", f"job:etl/{job}")
        for job in ("one", "two")
    ]
    say(store, *through, now=100)
    say(store, Withdrawal(through[0]), now=200)
    assert holding(store, through[0], 200) == []
    assert holding(store, through[1], 200) == ["api:alice"]
    assert store.check() == []


# Operation ids


def test_an_operation_repeated_gets_the_first_answer_and_has_no_effect(store: Store) -> None:
    first = say(store, ORDERS, now=100, by=operation("1"))
    say(store, Withdrawal(ORDERS), now=200)
    assert say(store, ORDERS, now=300, by=operation("1")) == first
    assert store.receipt_of(operation("1")) == first
    assert holding(store, ORDERS, 300) == []
    changes = plan_registration(store, registration(ORDERS), 400)
    assert store.commit(changes, operation("1"), 400) == first
    assert holding(store, ORDERS, 400) == []


def test_the_answer_that_nothing_changed_is_kept_too(store: Store) -> None:
    say(store, ORDERS, now=100)
    same = say(store, ORDERS, now=200, by=operation("1"))
    say(store, Withdrawal(ORDERS), now=300)
    assert say(store, ORDERS, now=400, by=operation("1")) == same
    assert holding(store, ORDERS, 400) == []


def test_an_operation_id_used_for_another_request_is_refused(store: Store) -> None:
    say(store, ORDERS, now=100, by=operation("1", "one body"))
    with pytest.raises(OperationReused):
        store.receipt_of(operation("1", "another body"))
    with pytest.raises(OperationReused):
        store.commit(plan_registration(store, registration(REPORT), 200), operation("1", "another body"), 200)
    assert store.head() == 1
    assert store.believed([REPORT]) == {}


def test_forgotten_operations_may_be_used_again(store: Store) -> None:
    say(store, ORDERS, now=100, by=operation("old"))
    say(store, REPORT, now=200, by=operation("new"))
    assert store.forget_operations(200, 300) == 1
    assert store.forget_operations(200, 300) == 0
    assert store.receipt_of(operation("old")) is None
    assert store.receipt_of(operation("new")) == Receipt(2, changed=True, added=1)
    assert say(store, SCORES, now=300, by=operation("old", "another body")).revision == 3
    assert [revision.operation for revision in store.changes_since(0)] == ["old", "new", "old"]


# Conflicts


def test_a_plan_overtaken_by_another_commit_is_refused(store: Store) -> None:
    changes = plan_registration(store, registration(asset("dataset:warehouse/orders", tier=1)), 100)
    say(store, asset("dataset:warehouse/orders", tier=2), now=100)
    with pytest.raises(PlanOutdated):
        store.commit(changes, operation("1"), 100)
    assert store.head() == 1
    assert store.receipt_of(operation("1")) is None
    assert store.believed([ORDERS])[ORDERS][0].attributes == {"tier": 2}


def test_a_plan_outdated_in_one_place_keeps_nothing(store: Store) -> None:
    changes = plan_registration(store, registration(SCORES, asset("dataset:warehouse/orders", tier=1), REPORT), 100)
    say(store, asset("dataset:warehouse/orders", tier=2), now=100)
    with pytest.raises(PlanOutdated):
        store.commit(changes, operation(), 100)
    assert store.believed([SCORES, REPORT]) == {}


def test_another_origins_commit_does_not_outdate_a_plan(store: Store) -> None:
    changes = plan_registration(store, registration(ORDERS), 100)
    say(store, ORDERS, now=100, origin="b")
    assert store.commit(changes, operation(), 100).revision == 2
    assert holding(store, ORDERS, 100) == ["api:alice", "b"]


def test_a_plan_is_made_from_what_is_believed_when_it_is_committed(store: Store) -> None:
    plan = RegistrationPlan(registration(asset("dataset:warehouse/orders", tier=1)), 100)
    say(store, asset("dataset:warehouse/orders", tier=2, note="kept"), now=100)
    assert store.commit(plan, operation("1"), 100) == Receipt(2, changed=True, updated=1)
    assert store.believed([ORDERS])[ORDERS][0].attributes == {"note": "kept", "tier": 1}
    say(store, asset("dataset:warehouse/orders", tier=3), now=200)
    assert store.commit(plan, operation("1"), 100).revision == 2, "it was answered before"


def test_a_stale_version_is_refused(store: Store) -> None:
    say(store, ORDERS, now=100)
    changes = plan_registration(store, registration(AssetStatement(ORDERS, {"tier": 1}, expected_version=1)), 200)
    say(store, asset("dataset:warehouse/orders", tier=4), now=200, origin="b")
    with pytest.raises(StaleVersion) as refusal:
        store.commit(changes, operation(), 200)
    assert (refusal.value.expected, refusal.value.current) == (1, 2)
    assert store.head() == 2


def test_a_version_is_the_revision_that_last_changed_the_asset_itself(store: Store) -> None:
    say(store, ORDERS, AMOUNT, now=100)
    say(store, asset("dataset:warehouse/orders", tier=1), now=200, origin="b")
    say(store, READS, now=300)
    assert store.versions([ORDERS, AMOUNT, REPORT]) == {ORDERS: 2, AMOUNT: 1}
    say(store, Withdrawal(ORDERS), now=400)
    assert store.versions([ORDERS, AMOUNT]) == {ORDERS: 4, AMOUNT: 4}


# Withdrawing


def test_one_origin_cannot_withdraw_what_another_says(store: Store) -> None:
    say(store, ORDERS, now=100, origin="a")
    with pytest.raises(Conflict):
        say(store, Withdrawal(ORDERS), now=200, origin="b")
    say(store, ORDERS, now=200, origin="b")
    say(store, Withdrawal(ORDERS), now=300, origin="b")
    assert holding(store, ORDERS, 300) == ["a"]


def test_withdrawing_what_nobody_said_is_an_error(store: Store) -> None:
    with pytest.raises(NotFound):
        say(store, Withdrawal(ORDERS), now=100)


def test_withdrawing_an_asset_takes_its_parts_and_flows_along_of_that_origin_only(store: Store) -> None:
    say(store, ORDERS, AMOUNT, DAY, READS, now=100, origin="a")
    say(store, AMOUNT, READS, now=100, origin="b")
    assert set(store.touching([ORDERS])) == {AMOUNT, DAY, READS}
    assert set(store.touching([AMOUNT])) == {READS}
    say(store, Withdrawal(ORDERS), now=200, origin="a")
    assert [holding(store, subject, 200) for subject in (ORDERS, AMOUNT, DAY, READS)] == [[], ["b"], [], ["b"]]
    assert [holding(store, subject, 199) for subject in (ORDERS, AMOUNT, DAY, READS)] == [
        ["a"],
        ["a", "b"],
        ["a"],
        ["a", "b"],
    ]


def test_what_was_withdrawn_can_be_said_again(store: Store) -> None:
    say(store, ORDERS, now=100)
    say(store, Withdrawal(ORDERS), now=200)
    say(store, ORDERS, now=300)
    assert [said.valid for said in store.believed([ORDERS])[ORDERS]] == [Interval(100, 200), Interval(300)]


def test_a_withdrawal_as_if_it_had_never_been_leaves_nothing_believed(store: Store) -> None:
    say(store, ORDERS, AMOUNT, READS, now=100)
    say(store, Withdrawal(ORDERS, at=100), now=200)
    assert store.believed([ORDERS, AMOUNT, READS]) == {}
    assert list(store.touching([ORDERS])) == []
    assert store.keys(100) == []
    assert set(store.believed_at([ORDERS, READS], 1)) == {ORDERS, READS}
    assert store.versions([ORDERS]) == {ORDERS: 2}
    assert store.check() == []


def test_a_complete_registration_withdraws_what_it_does_not_name(store: Store) -> None:
    say(store, ORDERS, AMOUNT, READS, now=100, complete=True)
    say(store, SCORES, now=100, origin="b")
    receipt = say(store, ORDERS, now=200, complete=True)
    assert (receipt.withdrawn, receipt.added) == (2, 0)
    assert [holding(store, subject, 200) for subject in (ORDERS, AMOUNT, READS, SCORES)] == [
        ["api:alice"],
        [],
        [],
        ["b"],
    ]


def test_origins_say_exactly_what_they_are_restated_to_say(store: Store) -> None:
    say(store, ORDERS, REPORT, origin="other", now=5)
    said = Assertion(ORDERS, "jobs", Basis.OBSERVED, Interval(1, 3), {"tier": 1})
    says: dict[Subject, tuple[Assertion, ...]] = {
        ORDERS: (said, replace(said, valid=Interval(4, FOREVER))),
        READS: (replace(said, subject=READS),),
    }
    also: dict[Subject, tuple[Assertion, ...]] = {ORDERS: (replace(said, origin="views", attributes={}),)}
    for attempt in range(2):
        answer = restate(store, Restatement({"jobs": says, "views": also}), operation(None), 10)
        assert answer.changed is (attempt == 0)
        assert (store.believed_by("jobs"), store.believed_by("views")) == (says, also)
    later: dict[Subject, tuple[Assertion, ...]] = {ORDERS: (replace(said, valid=Interval(2, 3)),)}
    assert restate(store, Restatement({"jobs": later, "nobody": {}}), operation(None), 11).changed
    assert (store.believed_by("jobs"), store.believed_by("views")) == (later, also)
    assert store.believed_by("other").keys() == {ORDERS, REPORT}
    part: dict[Subject, tuple[Assertion, ...]] = {READS: (replace(said, subject=READS),), REPORT: ()}
    for attempt in range(2):
        answer = restate(store, Restatement({"jobs": part, "views": {}}, {"jobs", "views"}), operation(None), 12)
        assert answer.changed is (attempt == 0)
        assert (store.believed_by("jobs"), store.believed_by("views")) == (later | {READS: part[READS]}, also)
    assert restate(store, Restatement({"views": {}}), operation(None), 12).changed
    assert store.believed_by("views") == {}
    assert store.check() == []


# Closing


def test_a_closed_store_answers_nothing_and_may_be_closed_again(store: Store) -> None:
    say(store, ORDERS, now=100)
    store.close()
    store.close()
    for call in (store.head, lambda: store.believed([ORDERS]), lambda: say(store, REPORT, now=200)):
        with pytest.raises(StoreUnavailable):
            call()
