"""What every store keeps of its sources: what was heard of each, and what was refused."""

import pytest

from graph import sources
from graph.sources import Heard, Rejected, Unmended
from graph.stores import neo4j_sources, sqlite_sources
from graph.stores.contract import Store
from graph.time import DAY
from graph.usage import KEPT_DAYS
from tests import model_store


def heard(source: str, day: int, items: int = 1, newest: int | None = None, lag: int | None = None) -> Heard:
    return Heard(source, day, items, 0, day * DAY, day * DAY + items, newest, lag)


def refused(body: bytes, at: int, source: str = "openlineage:airflow", reason: str = "no job") -> Rejected:
    return Rejected.now(source, "/api/v1/lineage", "application/json", "[1]", reason, body, at)


def test_what_is_heard_adds_up_by_source_and_day(store: Store) -> None:
    assert store.heard() == []
    assert store.hear([heard("b", 7, 2, newest=30, lag=5), heard("a", 7)], "room", 1)
    assert store.hear([heard("b", 7, 3), heard("b", 8, newest=9, lag=1)], "room", 2)
    assert store.hear([heard("b", 7, 1, newest=20, lag=9)], "room", 3)
    assert store.heard() == [
        heard("a", 7),
        Heard("b", 7, 6, 0, 7 * DAY, 7 * DAY + 3, newest=30, lag=9),
        heard("b", 8, newest=9, lag=1),
    ]
    assert [each.day for each in store.heard(8)] == [8]
    assert [each.source for each in store.heard(source="b")] == ["b", "b"]
    assert store.heard(8, "a") == store.heard(source="nobody") == []
    assert store.head() == 0, "no revision"


def test_a_batch_that_is_repeated_is_heard_once(store: Store) -> None:
    assert store.hear([heard("a", 7)], "room", 1)
    assert not store.hear([heard("a", 7)], "room", 1)
    assert store.hear([heard("a", 7)], "other", 1)
    assert [each.items for each in store.heard()] == [2]


def test_what_is_refused_is_kept_once_and_shown_latest_first(store: Store) -> None:
    store.reject([refused(b"{}", 5), refused(b"[]", 6), refused(b"{}", 7, reason="no time")])
    store.reject([refused(b"1", 6, source="traces:shop")])
    found = store.rejected()
    first = found[0]
    assert (first.body, first.last, first.first, first.times, first.reason) == (b"{}", 7, 5, 2, "no time")
    assert store.rejected_item(first.id) == first
    assert [each.body for each in store.rejected("openlineage:airflow")] == [b"{}", b"[]"]
    paged = [*found[:1], *store.rejected(before=(found[0].last, found[0].id), limit=1)]
    paged += store.rejected(before=(paged[-1].last, paged[-1].id))
    assert paged == found
    assert store.unmended() == {"openlineage:airflow": Unmended(2, 7), "traces:shop": Unmended(1, 6)}


def test_what_is_mended_is_forgotten(store: Store) -> None:
    store.reject([refused(b"{}", 5), refused(b"[]", 6)])
    one, other = store.rejected()
    assert store.mended([one.id, "unknown"]) == 1
    assert store.mended([one.id]) == 0
    assert store.rejected_item(one.id) is None
    assert store.rejected() == [other]


def test_too_large_an_item_is_told_of_without_its_bytes(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "MOST_REJECTED_BYTES", 3)
    store.reject([refused(b"1234", 5), refused(b"1235", 6), refused(b"\xff\0", 7)])
    assert [each.body for each in store.rejected()] == [b"\xff\0", None, None]


def test_of_one_source_those_refused_last_are_kept(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (sqlite_sources, neo4j_sources, model_store):
        monkeypatch.setattr(module, "MOST_REJECTED", 3)
    store.reject([refused(str(number).encode(), number) for number in range(5)])
    store.reject([refused(b"0", 9), refused(b"one", 9, source="traces:shop")])
    assert [each.body for each in store.rejected("openlineage:airflow")] == [b"0", b"4", b"3"]
    assert len(store.rejected("traces:shop")) == 1


def test_sources_are_forgotten_with_time(store: Store) -> None:
    store.hear([heard("a", 20_000 - KEPT_DAYS - 1), heard("a", 20_000)], "room", 1)
    store.reject([refused(b"old", 5), refused(b"new", 50)])
    store.forget_operations(10, 20_000 * DAY)
    assert [each.day for each in store.heard()] == [20_000]
    assert [each.body for each in store.rejected()] == [b"new"]
