"""What stores promise of usage and of spans: whatever is counted is counted once."""

from collections.abc import Mapping
from dataclasses import replace

from graph.keys import AssetKey, AssetKind
from graph.stores.contract import SeenSpans, Store, ToldSpans
from graph.time import DAY
from graph.usage import Latency, Usage
from tests.contract.given import SCORES, WRITERS, at_once, used
from tests.saying import key

# Usage


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


def test_recorders_countingat_once_lose_nothing(store: Store) -> None:
    at_once(lambda writer: [store.count([used(1), used(1, reader=None)], f"recorder {writer}", n) for n in (1, 1, 2)])
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
    assert store.forget_spans(6, 6, 20_000 * DAY) == 3
    assert [each.minute for each in store.seen_spans([4, 5, 6])] == [6, 4], "the last keeps its number"
    assert store.last_seen_spans() == 3
    assert store.links("me", 0) == [b"link"]
    assert store.check() == []


def _place(usage: Usage) -> tuple[str, str, bool, int]:
    return str(usage.source), str(usage.reader or ""), usage.verified, usage.day
