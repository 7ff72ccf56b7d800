"""What `graph.stores.contract` promises, asked of every store: repeated? concurrent? interrupted half-way?"""

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from threading import Barrier
from typing import Any, TypeVar

import pytest

from graph.attributes import canonical
from graph.changes import AssetStatement, Changes, Receipt, Restatement, Withdrawal
from graph.errors import Conflict, NotFound, OperationReused, PlanOutdated, StaleVersion, StoreUnavailable
from graph.keys import AssetKey, AssetKind
from graph.messages import Delivery, Message
from graph.model import REFINES_FIRST, Assertion, Attributes, Basis, Flow, Known, StoredAssertion, Subject
from graph.plan import RegistrationPlan, plan_registration, restate
from graph.stores.contract import Export, KeptEvent, Revision, SeenSpans, Store, ToldSpans
from graph.time import FOREVER, Interval
from graph.usage import KEPT_DAYS, MICROSECONDS_PER_DAY, Latency, Usage
from tests.saying import asset, flow, holding, key, operation, registration, say

ORDERS, AMOUNT, DAY = (
    key("dataset:warehouse/orders"),
    key("column:warehouse/orders#amount"),
    key("column:warehouse/orders#day"),
)
REPORT, SCORES = key("consumer:bi/report"), key("deployment:risk/scores")
READS = flow("column:warehouse/orders#amount", "consumer:bi/report")
WRITERS = 16

T = TypeVar("T")


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


# History


def test_a_correction_closes_the_old_belief_and_opens_a_new_one(store: Store) -> None:
    say(store, asset("dataset:warehouse/orders", since=50, tier=1), now=100)
    say(store, asset("dataset:warehouse/orders", since=50, tier=2), now=200)
    (old,), (new,) = store.believed_at([ORDERS], 1)[ORDERS], store.believed_at([ORDERS], 2)[ORDERS]
    assert (old.assertion.attributes, old.known) == ({"tier": 1}, Known(1, 2))
    assert (new.assertion.attributes, new.known) == ({"tier": 2}, Known(2))
    assert old.number != new.number
    (change,) = store.changes_since(1)
    assert (change.closed, change.opened) == ((old,), (new,))


def test_what_was_believed_at_a_revision_stays(store: Store) -> None:
    say(store, ORDERS, READS, now=100)
    at_first = store.believed_at([ORDERS, READS], 1)
    say(store, Withdrawal(ORDERS), asset("consumer:bi/report"), now=200)
    say(store, Withdrawal(READS, at=50), now=300)
    assert _assertions(store.believed_at([ORDERS, READS], 1).values()) == _assertions(at_first.values())
    assert store.believed_at([ORDERS, READS], 0) == {}
    assert set(store.believed_at([ORDERS, READS], 3)) == {ORDERS}
    assert store.believed_at([ORDERS], store.head() + 5) == store.believed_at([ORDERS], store.head())


def test_history_tells_of_an_asset_and_of_the_flows_at_it_and_of_nothing_else(store: Store) -> None:
    say(store, ORDERS, AMOUNT, now=100)
    say(store, READS, SCORES, now=200, by=operation("2"))
    say(store, asset("deployment:risk/scores", tier=1), now=300)
    say(store, Withdrawal(READS), now=400)
    found = store.history(AMOUNT)
    assert [revision.number for revision in found] == [4, 2, 1]
    assert [(revision.at, revision.operation, revision.actor) for revision in found] == [
        (400, None, "tests"),
        (200, "2", "tests"),
        (100, None, "tests"),
    ]
    assert {row.assertion.subject for revision in found for row in revision.opened + revision.closed} == {AMOUNT, READS}
    assert [revision.number for revision in store.history(AMOUNT, before=4, limit=1)] == [2]
    assert store.history(AMOUNT, limit=2) == found[:2]
    assert store.history(key("dataset:never/heard")) == []


def test_changes_since_tells_every_revision_once_and_in_order(store: Store) -> None:
    for number in range(1, 8):
        say(store, asset("dataset:warehouse/orders", tier=number % 4 + 1), now=100 * number)
    everything = store.changes_since(0)
    assert [revision.number for revision in everything] == [1, 2, 3, 4, 5, 6, 7]
    assert store.changes_since(0, 3) == everything[:3]
    assert store.changes_since(3, 2) == everything[3:5]
    assert store.changes_since(7) == []
    assert store.changes_since(99) == []


def test_a_listener_is_told_of_each_commit_before_it_returns(store: Store) -> None:
    told: list[Revision] = []
    say(store, asset("dataset:warehouse/orders", tier=1), now=100)
    store.announce_to(told.extend)
    say(store, asset("dataset:warehouse/orders", tier=2), READS, now=200)
    assert told == store.changes_since(1)
    say(store, READS, now=250)
    assert len(told) == 1, "nothing changed"
    with ThreadPoolExecutor(WRITERS) as pool:
        answers = [
            pool.submit(say, store, asset(f"dataset:warehouse/t{number}"), READS, now=300, origin=f"o{number}")
            for number in range(40)
        ]
        for answer in answers:
            assert answer.result().revision in {revision.number for revision in told}
    assert told == store.changes_since(1)


def test_a_listener_that_fails_fails_no_commit(store: Store) -> None:
    def fail(_: object) -> None:
        raise RuntimeError("not now")

    store.announce_to(fail)
    assert say(store, AMOUNT, now=100).revision == store.head() == 1


def test_each_revision_tells_all_that_was_believed_of_the_assets_it_tells_of_itself(store: Store) -> None:
    say(store, asset("dataset:warehouse/orders", tier=1), AMOUNT, READS, now=100, origin="b")
    say(store, asset("dataset:warehouse/orders", tier=2), now=200, origin="a", basis=Basis.OBSERVED)
    say(store, READS, now=250, origin="a")
    say(store, asset("dataset:warehouse/orders", since=210, tier=3), now=300, origin="b")
    say(store, Withdrawal(ORDERS, at=100), now=400, origin="b")
    say(store, Withdrawal(ORDERS, at=200), now=500, origin="a")
    say(store, asset("dataset:warehouse/orders", tier=4), now=600, origin="a")
    told = store.changes_since(0)
    assert [{*revision.said} for revision in told] == [
        {ORDERS, AMOUNT},
        {ORDERS},
        set(),
        {ORDERS},
        {ORDERS, AMOUNT},
        {ORDERS},
        {ORDERS},
    ]
    assert [
        [(said.origin, said.attributes["tier"]) for said in revision.said.get(ORDERS, ())] for revision in told
    ] == [[("b", 1)], [("a", 2), ("b", 1)], [], [("a", 2), ("b", 1), ("b", 3)], [("a", 2)], [], [("a", 4)]]
    assert told[4].said[AMOUNT] == ()
    _assert_said_as_believed(store, told)
    assert store.changes_since(3, 2) == told[3:5]
    assert all(revision.said == {} for revision in store.history(ORDERS))


def test_replaying_the_changes_gives_what_the_export_holds(store: Store) -> None:
    _a_small_history(store)
    with store.export() as export:
        assert export.revision == store.head()
        exported = _exported(export)
    assert exported == _replayed(store.changes_since(0))


def test_a_stamp_tells_revisions_apart(store: Store) -> None:
    _a_small_history(store)
    say(store, asset("dataset:late/one"), now=9_000)
    stamps = [store.stamp(number) for number in range(1, store.head() + 1)]
    assert None not in stamps
    assert stamps.count(stamps[-1]) == 1
    assert store.stamp(store.head() + 1) is None
    assert store.stamp(0) is None


def test_an_export_may_be_overtaken_by_commits(store: Store) -> None:
    _a_small_history(store)
    before = _replayed(store.changes_since(0))
    with store.export() as export:
        say(store, key("dataset:late/one"), Withdrawal(READS), now=900)
        exported = _exported(export)
    upto = {
        number: (*said, first, last if last <= export.revision else FOREVER)
        for number, (*said, first, last) in exported.items()
        if first <= export.revision
    }
    assert upto == before


def test_the_revision_at_a_moment_is_the_last_by_then(store: Store) -> None:
    for number, tier in enumerate((1, 2, 3), start=1):
        say(store, asset("dataset:warehouse/orders", tier=tier), now=100 * number)
    assert [store.revision_at(moment) for moment in (99, 100, 250, 300, 10**15)] == [0, 1, 2, 3, 3]


def test_the_clock_of_revisions_never_goes_back(store: Store) -> None:
    say(store, ORDERS, now=200)
    say(store, REPORT, now=100)
    assert [revision.at for revision in store.changes_since(0)] == [200, 200]
    assert [store.revision_at(moment) for moment in (100, 200)] == [0, 2]


# Listing and finding


def test_keys_lists_what_is_said_to_be_in_order_and_by_pages(store: Store) -> None:
    say(store, ORDERS, AMOUNT, READS, SCORES, asset("model_version:risk/fraud#%40champion", version="7"), now=100)
    listed = [AMOUNT, ORDERS, SCORES]
    assert store.keys(100) == listed, "stubs and aliases are not listed"
    assert store.keys(99) == []
    assert store.keys(100, limit=2) == listed[:2]
    assert store.keys(100, after=listed[0], limit=2) == listed[1:]
    assert store.keys(100, after=listed[2]) == []
    assert store.keys(100, after=key("dataset:a/never-heard")) == listed[1:]
    assert store.keys(100, kinds=[AssetKind.DEPLOYMENT, AssetKind.COLUMN]) == [AMOUNT, SCORES]
    assert store.keys(100, kinds=[AssetKind.DEPLOYMENT, AssetKind.COLUMN], after=AMOUNT) == [SCORES]
    say(store, Withdrawal(SCORES), now=200)
    assert store.keys(200) == [AMOUNT, ORDERS]
    assert store.keys(150) == listed


def test_kinds_whose_names_begin_alike_are_told_apart(store: Store) -> None:
    ordered = [key(text) for text in ("feature:a/v#f", "feature_view:a/v", "model:a/m", "model_version:a/m#1")]
    say(store, *ordered, now=100)
    assert store.keys(100) == ordered
    assert store.keys(100, kinds=[AssetKind.MODEL_VERSION, AssetKind.FEATURE]) == [ordered[0], ordered[3]]
    assert store.keys(100, kinds=[AssetKind.MODEL]) == [ordered[2]]
    assert store.keys(100, kinds=[AssetKind.FEATURE, AssetKind.FEATURE_VIEW], limit=1) == ordered[:1]


def test_search_finds_every_word_as_a_prefix_whatever_its_case_and_accents(store: Store) -> None:
    described: Attributes = {
        "description": 'Café orders; see AND(NOT) "that"* ~1',
        "tags": ["gold-tier"],
        "owners": [{"name": "Team Rocket"}],
    }
    say(store, AssetStatement(ORDERS, described), AMOUNT, REPORT, now=100)

    def found(text: str, *kinds: AssetKind) -> list[AssetKey]:
        return [hit.key for hit in store.search(text, kinds)]

    assert set(found("orders")) == {ORDERS, AMOUNT}
    assert found("orders", AssetKind.DATASET) == [ORDERS]
    assert found("CAFE") == found("café") == found("caf wareh") == found("rock gold") == [ORDERS]
    assert found("orders amount") == [AMOUNT]
    assert found(str(AMOUNT)) == [AMOUNT]
    assert found("and NOT that") == found('"caf*') == [ORDERS]
    assert found("caf OR nothing") == []
    assert found("rder") == found("orders nothing") == found("") == found(' - * " ~ /\\ ') == []


def test_search_goes_by_pages_with_ties_in_the_order_of_keys(store: Store) -> None:
    tables = [key(f"dataset:warehouse/t{number}") for number in range(7)]
    say(store, *tables, now=100)
    assert [hit.key for hit in store.search("warehouse", limit=3)] == tables[:3]
    assert [hit.key for hit in store.search("warehouse", limit=3, offset=3)] == tables[3:6]
    assert [hit.key for hit in store.search("warehouse", offset=7)] == []


def test_search_follows_what_is_said_now(store: Store) -> None:
    say(store, asset("dataset:warehouse/orders", description="apples"), READS, now=100)
    assert store.search("report") == [], "a stub is not found"
    say(store, asset("dataset:warehouse/orders", description="pears"), now=200)
    assert store.search("apples") == []
    assert [hit.key for hit in store.search("pears")] == [ORDERS]
    say(store, Withdrawal(ORDERS), now=300)
    assert store.search("pears") == []


def test_settling_follows_the_ends_and_starts_of_valid_time(store: Store) -> None:
    say(store, asset("dataset:warehouse/orders", since=100, until=200), now=100)
    say(store, asset("consumer:bi/report", since=150), now=100)
    assert [hit.key for hit in store.search("orders")] == [ORDERS]
    assert store.search("report") == []
    for now, expected in ((150, [REPORT, ORDERS]), (200, [REPORT])):
        store.settle(now)
        store.settle(now)
        assert [hit.key for text in ("report", "orders") for hit in store.search(text)] == expected
    assert store.head() == 2, "settling takes no revision"
    assert store.check() == []


# Usage


def used(
    calls: int,
    *,
    day: int = 20_000,
    first: int = 10,
    last: int = 20,
    reader: AssetKey | None = REPORT,
    verified: bool = True,
    errors: int = 0,
    source: AssetKey = SCORES,
) -> Usage:
    """`first` and `last` count from the start of `day`."""
    start = day * MICROSECONDS_PER_DAY
    return Usage(source, reader, verified, day, calls, errors, start + first, start + last)


def test_usage_adds_up_by_source_reader_verified_and_day(store: Store) -> None:
    assert store.count([used(3, first=50, last=60, errors=1), used(1, day=20_001), used(2, reader=None)], "a", 1)
    assert store.count([used(4, first=40, last=55), used(5, verified=False), used(1, errors=1, last=70)], "a", 2)
    assert store.usage([SCORES], 0) == [
        used(2, reader=None),
        used(5, verified=False),
        used(8, first=10, last=70, errors=2),
        used(1, day=20_001),
    ]
    assert store.head() == 0, "usage takes no revision"
    assert store.check() == []


def test_usage_is_found_by_source_by_reader_and_since_a_day(store: Store) -> None:
    far = AssetKey.of(AssetKind.DEPLOYMENT, "/" * 512, "ä" * 256)  # as long as keys get
    shop, mart = AssetKey.of(AssetKind.CONSUMER, "shop", "/" * 1020), key("consumer:web/mart")
    counted = [used(1, reader=shop, day=20_000 + day, source=source) for source in (SCORES, far) for day in range(3)]
    assert store.count([*counted, used(1, reader=SCORES, source=far), used(7, reader=mart, source=far)], "a", 1)
    assert store.usage([shop], 20_001) == [each for each in sorted(counted, key=_place) if each.day > 20_000]
    of_scores = [*counted[:3], used(1, reader=SCORES, source=far)]
    assert store.usage([SCORES], 0) == sorted(of_scores, key=_place), "as what is called, and as who calls"
    assert store.usage([mart, far], 20_002) == [counted[5]]
    assert store.usage([key("consumer:web/nobody")], 0) == store.usage([], 0) == []


def test_a_batch_counts_once_however_often_it_is_sent(store: Store) -> None:
    assert store.count([used(3)], "a", 1)
    assert not store.count([used(3)], "a", 1)
    assert store.count([used(2)], "a", 5)
    assert not store.count([used(9)], "a", 4), "batches come in order, so this one came before"
    assert store.count([used(1)], "b", 1), "another recorder numbers its own"
    assert store.usage([SCORES], 0) == [used(6)]


def test_a_correction_moves_calls_and_neither_end(store: Store) -> None:
    assert store.count([used(3, reader=None, errors=1)], "a", 1)
    moved = [used(-2, reader=None, first=1, last=99, errors=-1), used(2, first=1, last=99, errors=1)]
    assert store.count(moved, "a", 2)
    assert store.usage([SCORES], 0) == [used(1, reader=None), used(2, first=1, last=99, errors=1)]
    assert store.count([used(-1, reader=None), used(-5, verified=False)], "a", 3)
    assert store.usage([SCORES], 0) == [used(2, first=1, last=99, errors=1)], "what no call is left of is not listed"
    assert store.count([used(6, verified=False, first=30, last=31)], "a", 4)
    assert store.usage([SCORES], 0)[0] == used(1, verified=False, first=30, last=31)
    assert store.check() == []


def test_recorders_counting_at_once_lose_nothing(store: Store) -> None:
    _at_once(lambda writer: [store.count([used(1), used(1, reader=None)], f"recorder {writer}", n) for n in (1, 1, 2)])
    assert store.usage([SCORES], 0) == [used(2 * WRITERS, reader=None), used(2 * WRITERS)]


def test_how_long_calls_took_adds_up_and_is_taken_back(store: Store) -> None:
    def timed(calls: int, latency: Latency | None) -> Usage:
        return replace(used(calls), latency=latency)

    assert store.count([timed(1, Latency.of(900)), timed(1, Latency.of(30_000))], "a", 1)
    assert store.count([timed(2, None)], "a", 2)
    assert store.usage([SCORES], 0) == [timed(4, Latency.of(900).plus(Latency.of(30_000)))]
    assert store.count([timed(-1, Latency.of(900).taken_back())], "a", 3)
    assert store.usage([SCORES], 0) == [timed(3, Latency.of(30_000))]


# Spans


def told_spans(after: int, seen: Mapping[int, bytes], links: bytes = b"", at: int = 1_000) -> ToldSpans:
    return ToldSpans("me", at, after, seen, links)


def test_spans_are_kept_with_what_was_counted_of_them_or_not_at_all(store: Store) -> None:
    first, second = told_spans(0, {8: b"b" * 8, 7: b"a" * 16}, b"one"), told_spans(0, {8: b"c" * 8}, b"two")
    seen = [SeenSpans(1, 7, b"a" * 16), SeenSpans(2, 8, b"b" * 8)]
    assert store.last_seen_spans() == 0
    assert store.count_spans([used(3)], "a", 1, first) == []
    assert store.count_spans([used(3)], "a", 1, first) == [], "its answer was lost, and it is sent again"
    assert store.count_spans([used(5)], "b", 1, second) == seen, "another recorder knows nothing of these yet"
    assert store.usage([SCORES], 0) == [used(3)]
    assert store.count_spans([used(5)], "b", 1, replace(second, after=2, recorder="other")) == []
    assert store.usage([SCORES], 0) == [used(8)]
    assert store.last_seen_spans() == 3
    assert store.seen_spans([8, 9]) == [seen[1], SeenSpans(3, 8, b"c" * 8)]
    assert store.seen_spans([]) == []
    assert (store.links("me", 1_000), store.links("me", 1_001), store.links("other", 0)) == ([b"one"], [], [b"two"])


def test_spans_of_long_ago_are_forgotten_and_their_numbers_are_not_used_again(store: Store) -> None:
    for number, minute in enumerate((5, 6, 4)):
        assert store.count_spans([], "a", number, told_spans(number, {minute: b"i" * 8}, b"link", at=minute)) == []
    assert store.forget_spans(6, 6, 20_000 * MICROSECONDS_PER_DAY) == 3
    assert [each.minute for each in store.seen_spans([4, 5, 6])] == [6, 4], "the last keeps its number"
    assert store.last_seen_spans() == 3
    assert store.links("me", 0) == [b"link"]
    assert store.check() == []


# Messages


def told(id_: str) -> Message:
    return Message(id_, "alert.raised", {"text": "Ü", "numbers": [1, 2.5, None]})


def test_messages_are_kept_with_the_change_they_tell_of_in_the_order_of_their_commits(store: Store) -> None:
    assert (store.lease(500, 600), store.undelivered()) == ([], 0)
    say(store, ORDERS, now=100, messages=(told("b"), told("a")))
    say(store, REPORT, now=100, messages=(told("c"),))
    assert store.undelivered() == 3
    assert store.lease(99, 600) == []
    assert store.lease(100, 600, limit=2) == [Delivery(told("b"), 0), Delivery(told("a"), 0)]
    assert store.lease(100, 600) == [Delivery(told("c"), 0)]
    assert store.lease(599, 700) == []
    assert [each.message.id for each in store.lease(600, 700)] == ["b", "a", "c"], "nobody delivered them"
    assert store.check() == []


def test_a_commit_that_is_refused_empty_or_repeated_keeps_no_message(store: Store) -> None:
    changes = plan_registration(store, registration(asset(str(ORDERS), tier=1), messages=(told("refused"),)), 100)
    say(store, asset(str(ORDERS), tier=2), now=100, messages=(told("1"),), by=operation("1"))
    with pytest.raises(PlanOutdated):
        store.commit(changes, operation("2"), 100)
    assert not say(store, asset(str(ORDERS), tier=2), now=100, messages=(told("empty"),)).changed
    again = plan_registration(store, registration(REPORT, messages=(told("repeated"),)), 100)
    store.commit(again, operation("1"), 200)
    say(store, REPORT, now=200, messages=(told("1"),))
    assert store.lease(500, 600) == [Delivery(told("1"), 0)]


def test_two_callers_lease_no_message_twice(store: Store) -> None:
    sent = {f"message {number}" for number in range(WRITERS * 2)}
    for id_ in sorted(sent):
        say(store, asset(str(ORDERS), note=id_), now=100, messages=(told(id_),))
    leased = _at_once(lambda _: [each.message.id for each in store.lease(200, 300, limit=3)])
    found = [id_ for ids in leased for id_ in ids]
    assert len(found) == len(set(found))
    assert set(found) == sent


def test_messages_are_postponed_given_up_or_delivered(store: Store) -> None:
    say(store, ORDERS, now=100, messages=(told("late"), told("lost"), told("sent")))
    assert len(store.lease(100, 200)) == 3
    store.postponed("late", 400, "503 Service Unavailable")
    store.postponed("lost", None, "404 Not Found")
    for _ in range(2):
        store.delivered("sent", 150)
    assert store.undelivered() == 1
    assert store.lease(399, 500) == []
    assert store.lease(400, 500) == [Delivery(told("late"), 1)]
    for id_ in ("lost", "sent", "unheard of"):
        store.postponed(id_, 450, "repeated")
    store.delivered("unheard of", 450)
    assert store.lease(499, 600) == []
    store.delivered("late", 499)
    assert (store.lease(10_000, 20_000), store.undelivered()) == ([], 0)
    assert store.check() == []


def test_events_are_kept_once_and_wait_until_they_are_folded(store: Store) -> None:
    one, two, other = (
        KeptEvent("b", "jobs", b'{"name":"Z\xc3\xbcrich"}', 7),
        KeptEvent("a", "jobs", b"{}", 7),
        KeptEvent("c", "elsewhere", b"[1]", -3),
    )
    assert (store.kept("jobs"), store.unfolded(), store.event_origins(), store.keep([], "me", 1)) == ([], [], [], 0)
    assert store.keep([one, one], "me", 1) == 1
    assert store.keep([one, two, other], "me", 2) == 2
    assert store.kept("jobs") == [two, one]
    assert store.unfolded() == ["elsewhere", "jobs"]
    assert store.unfolded(1) == ["elsewhere"]
    assert store.kept_as(["c", "b", "z", "b"]) == [one, other]
    assert store.kept_as([]) == []

    assert store.folded({"jobs": ["b"], "elsewhere": ["c"]}, "me") == {"jobs": 0, "elsewhere": 0}
    assert store.unfolded() == ["jobs"]
    for _ in range(2):
        assert store.folded({"jobs": ["b", "a"]}, "me") == {"jobs": 0}
        assert store.unfolded() == []
    assert store.keep([two, one], "you", 3) == 0  # sent again, long after, to somebody else
    assert store.unfolded() == []
    assert store.folded({"nowhere": ["d"]}, "me") == {"nowhere": 0}
    assert store.folded({}, "me") == {}
    assert store.head() == 0
    assert store.check() == []


def test_what_others_kept_of_an_origin_is_counted_and_found(store: Store) -> None:
    mine, yours, theirs = (KeptEvent(name, "jobs", b"{}") for name in "abc")
    for event, keeper in ((mine, "me"), (yours, "you"), (theirs, "a third")):
        assert store.keep([event], keeper, 1) == 1
    assert store.folded({"jobs": ["a"]}, "me") == {"jobs": 2}
    assert store.kept_by_others("jobs", "me") == ["b", "c"]
    assert store.kept_by_others("jobs", "you") == ["a", "c"]
    assert store.kept_by_others("nowhere", "me") == []


def test_events_are_read_in_their_order_and_in_pages(store: Store) -> None:
    events = [KeptEvent(f"{number * 7 % 10}", "jobs", b"{}", number // 2) for number in range(10)]
    others = [KeptEvent(f"x{origin}", f"origin-{origin}", b"{}", 5) for origin in range(5)]
    store.keep([*events, *others], "me", 1)
    in_order = sorted(events, key=lambda each: (each.at, each.digest))
    assert store.kept("jobs", limit=100) == in_order
    after, read = None, []
    while page := store.kept("jobs", after=after, limit=3):
        read += page
        after = page[-1].at, page[-1].digest
    assert read == in_order
    assert store.kept("jobs", since=1, until=3) == in_order[2:6]
    names = ["jobs", *(f"origin-{origin}" for origin in range(5))]
    assert store.event_origins() == names
    assert store.event_origins("jobs", 2) == names[1:3]
    assert store.event_origins("origin-4") == []


def test_events_are_reduced_once_they_are_old_and_folded(store: Store) -> None:
    old, waiting, new = (KeptEvent(name, "jobs", b'{"much":1}') for name in "abc")
    store.keep([old, waiting], "me", 100)
    store.keep([new], "me", 200)
    store.folded({"jobs": ["a", "c"]}, "me")
    assert store.whole_events(100) == []
    assert store.whole_events(200) == [old]
    assert store.reduce_events([old._replace(body=b"{}")], 200, 300) == 1
    assert store.kept("jobs") == [old._replace(body=b"{}"), waiting, new]
    assert store.whole_events(200) == []
    assert store.reduce_events([old._replace(body=b"[]")], 200, 300) == 0
    assert store.reduce_events([], 200, 300) == 0
    assert store.keep([old], "me", 400) == 0
    assert store.kept("jobs")[0].body == b"{}"
    assert store.whole_events(400) == [new]
    assert store.check() == []


def test_when_somebody_was_last_heard_is_remembered(store: Store) -> None:
    assert store.last_said([ORDERS, READS]) == {}
    store.mark_said({(ORDERS, "jobs"): 5, (READS, "jobs"): 7})
    store.mark_said({(READS, "jobs"): 6, (READS, "views"): 6})
    store.mark_said({})
    assert store.last_said([ORDERS, READS]) == {(ORDERS, "jobs"): 5, (READS, "jobs"): 7, (READS, "views"): 6}
    assert store.last_said([]) == {}
    assert store.head() == 0
    assert store.check() == []


def test_events_kept_at_once_are_all_kept(store: Store) -> None:
    events = [KeptEvent(f"{number:02}", "jobs", b"%d" % number) for number in range(WRITERS)]
    assert _at_once(lambda writer: store.keep([events[writer]], "me", 1)) == [1] * WRITERS
    assert store.kept("jobs") == events


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


def test_messages_no_longer_due_and_usage_of_long_ago_are_forgotten(store: Store) -> None:
    day = MICROSECONDS_PER_DAY
    say(store, ORDERS, now=20_000 * day, messages=(told("due"), told("sent")))
    say(store, REPORT, now=20_010 * day, messages=(told("new"),))
    for id_ in ("sent", "new"):
        store.delivered(id_, 20_011 * day)
    assert store.count([used(1, day=20_020), used(1, day=20_020 - KEPT_DAYS), used(1, day=20_000 - KEPT_DAYS)], "a", 1)
    store.forget_operations(20_010 * day, 20_020 * day)
    assert [each.day for each in store.usage([SCORES], 0)] == [20_020 - KEPT_DAYS, 20_020]
    say(store, SCORES, now=20_020 * day, messages=(told("sent"), told("due"), told("new")))
    due = [each.message.id for each in store.lease(20_020 * day, 20_021 * day)]
    assert due == ["due", "sent"], "only what is forgotten can be told again"


# Concurrency


def test_writers_on_one_key_lose_nothing(store: Store) -> None:
    _at_once(
        lambda writer: say(store, AssetStatement(ORDERS, {"writer": writer}), now=100, origin=f"origin {writer:02}")
    )
    said = store.believed([ORDERS])[ORDERS]
    assert [(each.origin, each.attributes) for each in said] == [
        (f"origin {n:02}", {"writer": n}) for n in range(WRITERS)
    ]
    _assert_no_gaps(store, WRITERS)


def test_a_writer_who_is_refused_harms_no_other(store: Store) -> None:
    def write(writer: int) -> bool:
        try:
            say(store, flow(f"dataset:warehouse/t{writer}", str(REPORT)), now=100, stubs=writer % 2 == 0)
        except NotFound:
            return False
        return True

    assert _at_once(write) == [writer % 2 == 0 for writer in range(WRITERS)]
    _assert_no_gaps(store, WRITERS // 2)


def test_writers_of_one_origin_on_one_key_follow_one_another(store: Store) -> None:
    _at_once(lambda writer: say(store, AssetStatement(ORDERS, {f"from_{writer}": writer}), now=100 + writer))
    assert sorted(_latest(store, ORDERS)) == sorted(f"from_{writer}" for writer in range(WRITERS))
    _assert_no_gaps(store, WRITERS)


def test_expected_versions_lose_no_update(store: Store) -> None:
    say(store, AssetStatement(ORDERS, {"count": 0}), now=100)

    def count(_: int) -> None:
        while True:
            version, seen = store.versions([ORDERS])[ORDERS], _latest(store, ORDERS)["count"]
            assert isinstance(seen, int)
            try:
                say(store, AssetStatement(ORDERS, {"count": seen + 1}, since=100, expected_version=version), now=100)
                return
            except StaleVersion:
                continue

    _at_once(count)
    assert _latest(store, ORDERS)["count"] == WRITERS
    _assert_no_gaps(store, WRITERS + 1)


def test_writers_on_one_flow_make_one_flow(store: Store) -> None:
    _at_once(lambda writer: say(store, READS, now=100, origin=f"origin {writer:02}"))
    assert len(holding(store, READS, 100)) == WRITERS
    assert set(store.touching([AMOUNT])) == {READS}
    _assert_no_gaps(store, WRITERS)


def test_writers_on_one_hub_lose_nothing(store: Store) -> None:
    flows = [flow(str(ORDERS), f"consumer:bi/report{writer:02}") for writer in range(WRITERS)]
    _at_once(lambda writer: say(store, ORDERS, flows[writer], flows[writer].target, now=100, origin="b"))
    assert set(store.touching([ORDERS])) == set(flows)
    assert [hit.key for hit in store.search("report")] == [each.target for each in flows]
    _assert_no_gaps(store, WRITERS)


def test_one_operation_sent_by_many_has_one_effect(store: Store) -> None:
    receipts = _at_once(lambda _: say(store, ORDERS, now=100, by=operation("1")))
    assert set(receipts) == {Receipt(1, changed=True, added=1)}
    _assert_no_gaps(store, 1)


def test_readers_never_see_half_a_commit(store: Store) -> None:
    tables = [key(f"dataset:warehouse/t{number}") for number in range(60)]

    def write(_: int) -> None:
        for tier in (1, 2, 3, 4):
            say(store, *(AssetStatement(table, {"tier": tier}, since=100) for table in tables), now=100)

    def read(_: int) -> None:
        for _ in range(15):
            head = store.head()
            seen = store.believed_at(tables, head)
            assert len(seen) in (0, len(tables))
            assert len({row.assertion.attributes["tier"] for rows in seen.values() for row in rows}) <= 1
            for revision in store.changes_since(0):
                assert len(revision.opened) == len(tables)
                assert len(revision.closed) == (len(tables) if revision.number > 1 else 0)

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(work, 0) for work in (write, read, read, read)]:
            done.result()
    assert store.check() == []


# Closing


def test_a_closed_store_answers_nothing_and_may_be_closed_again(store: Store) -> None:
    say(store, ORDERS, now=100)
    store.close()
    store.close()
    for call in (store.head, lambda: store.believed([ORDERS]), lambda: say(store, REPORT, now=200)):
        with pytest.raises(StoreUnavailable):
            call()


# What the tests above are told with


def _assert_said_as_believed(store: Store, told: Iterable[Revision]) -> None:
    for revision in told:
        subjects = {row.assertion.subject for row in revision.opened + revision.closed}
        assets = {subject for subject in subjects if isinstance(subject, AssetKey)}
        believed = store.believed_at(assets, revision.number)
        assert revision.said == {key: tuple(row.assertion for row in believed.get(key, ())) for key in assets}


def _a_small_history(store: Store) -> None:
    lineage = flow("column:warehouse/orders#amount", "column:warehouse/totals#amount", "job:etl/total")
    say(store, AssetStatement(ORDERS, {"tags": ["pii"], "note": "Ü"}), AMOUNT, READS, lineage, now=100)
    say(store, asset("model_version:risk/fraud#%40champion", version="7"), now=200, origin="b", basis=Basis.IMPORTED)
    say(store, flow("model_version:risk/fraud#%40champion", "deployment:risk/scores"), now=200, origin="b")
    say(store, asset("dataset:warehouse/orders", since=50, until=70, tier=3), Withdrawal(lineage), now=300)
    say(store, DAY, now=400, complete=True)


def _place(usage: Usage) -> tuple[str, str, bool, int]:
    return str(usage.source), str(usage.reader or ""), usage.verified, usage.day


def _assertions(said: Iterable[tuple[StoredAssertion, ...]]) -> list[Assertion]:
    return [row.assertion for rows in said for row in rows]


def _latest(store: Store, subject: AssetKey) -> dict[str, object]:
    return dict(store.believed([subject])[subject][-1].attributes)


def _exported(export: Export) -> dict[int, tuple[Any, ...]]:
    """By the assertion's number, with keys for the assets' numbers."""
    keys = {0: ""}
    for assets in export.assets():
        assert (assets.number > 0).all()
        keys |= dict(zip(assets.number.tolist(), assets.key, strict=True))
    rows = [
        row
        for columns in export.assertions()
        for row in zip(
            *(column if isinstance(column, list) else column.tolist() for column in columns._replace(origins=[])[:-1]),
            strict=True,
        )
        for row in [(*row[:4], columns.origins[row[4]], *row[5:])]
    ]
    found: dict[int, tuple[Any, ...]] = {
        number: (keys[source], keys[target], keys[via], *said, first, last)
        for number, source, target, via, origin, basis, start, end, first, last, attributes in rows
        for said in [(origin, basis, start, end, attributes)]
    }
    assert len(found) == len(rows)
    return found


def _replayed(revisions: list[Revision]) -> dict[int, tuple[Any, ...]]:
    opened = {row.number: row for revision in revisions for row in revision.opened}
    closed = {row.number: revision.number for revision in revisions for row in revision.closed}
    return {
        number: _as_exported(replace(row, known=Known(row.known.first, closed.get(number, FOREVER))))
        for number, row in opened.items()
    }


def _as_exported(row: StoredAssertion) -> tuple[Any, ...]:
    said = row.assertion
    ends = said.subject if isinstance(said.subject, Flow) else (said.subject, None, None)
    return (
        *("" if end is None else str(end) for end in ends),
        said.origin,
        REFINES_FIRST.index(said.basis),
        *said.valid,
        "" if isinstance(said.subject, Flow) else canonical(said.attributes).decode(),
        *row.known,
    )


def _at_once(work: Callable[[int], T]) -> list[T]:
    start = Barrier(WRITERS)

    def run(writer: int) -> T:
        start.wait()
        return work(writer)

    with ThreadPoolExecutor(WRITERS) as pool:
        return list(pool.map(run, range(WRITERS)))


def _assert_no_gaps(store: Store, revisions: int) -> None:
    told = store.changes_since(0)
    assert [revision.number for revision in told] == list(range(1, revisions + 1))
    assert all(one.at <= other.at for one, other in pairwise(told))
    assert store.head() == revisions
    assert store.check() == []
