"""What stores promise to many who write at once, and to who reads meanwhile."""

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

from graph.changes import AssetStatement, Receipt
from graph.errors import NotFound, StaleVersion
from graph.keys import AssetKey
from graph.stores.contract import Store
from tests.contract.given import AMOUNT, ORDERS, READS, REPORT, WRITERS, at_once
from tests.saying import flow, holding, key, operation, say


def test_writers_on_one_key_lose_nothing(store: Store) -> None:
    at_once(
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

    assert at_once(write) == [writer % 2 == 0 for writer in range(WRITERS)]
    _assert_no_gaps(store, WRITERS // 2)


def test_writers_of_one_origin_on_one_key_follow_one_another(store: Store) -> None:
    at_once(lambda writer: say(store, AssetStatement(ORDERS, {f"from_{writer}": writer}), now=100 + writer))
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

    at_once(count)
    assert _latest(store, ORDERS)["count"] == WRITERS
    _assert_no_gaps(store, WRITERS + 1)


def test_writers_on_one_flow_make_one_flow(store: Store) -> None:
    at_once(lambda writer: say(store, READS, now=100, origin=f"origin {writer:02}"))
    assert len(holding(store, READS, 100)) == WRITERS
    assert set(store.touching([AMOUNT])) == {READS}
    _assert_no_gaps(store, WRITERS)


def test_writers_on_one_hub_lose_nothing(store: Store) -> None:
    flows = [flow(str(ORDERS), f"consumer:bi/report{writer:02}") for writer in range(WRITERS)]
    at_once(lambda writer: say(store, ORDERS, flows[writer], flows[writer].target, now=100, origin="b"))
    assert set(store.touching([ORDERS])) == set(flows)
    assert [hit.key for hit in store.search("report")] == [each.target for each in flows]
    _assert_no_gaps(store, WRITERS)


def test_one_operation_sent_by_many_has_one_effect(store: Store) -> None:
    receipts = at_once(lambda _: say(store, ORDERS, now=100, by=operation("1")))
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


def _assert_no_gaps(store: Store, revisions: int) -> None:
    told = store.changes_since(0)
    assert [revision.number for revision in told] == list(range(1, revisions + 1))
    assert all(one.at <= other.at for one, other in pairwise(told))
    assert store.head() == revisions
    assert store.check() == []


def _latest(store: Store, subject: AssetKey) -> dict[str, object]:
    return dict(store.believed([subject])[subject][-1].attributes)
