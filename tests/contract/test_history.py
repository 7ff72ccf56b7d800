"""What stores promise of revisions: what was believed stays, and is told in order, by each and by an export."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from graph.attributes import canonical
from graph.changes import AssetStatement, Withdrawal
from graph.keys import AssetKey
from graph.model import REFINES_FIRST, Assertion, Basis, Flow, Known, StoredAssertion
from graph.stores.contract import Export, Revision, Store
from graph.time import FOREVER
from tests.contract.given import AMOUNT, DAY, ORDERS, READS, REPORT, SCORES, WRITERS
from tests.saying import asset, flow, key, operation, say


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


def _assertions(said: Iterable[tuple[StoredAssertion, ...]]) -> list[Assertion]:
    return [row.assertion for rows in said for row in rows]


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
