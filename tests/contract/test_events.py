"""What stores promise of the events of others: they are kept as they came, once, and in order."""

from graph.stores.contract import KeptEvent, Store
from tests.contract.given import ORDERS, READS, WRITERS, at_once


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


def test_events_keptat_once_are_all_kept(store: Store) -> None:
    events = [KeptEvent(f"{number:02}", "jobs", b"%d" % number) for number in range(WRITERS)]
    assert at_once(lambda writer: store.keep([events[writer]], "me", 1)) == [1] * WRITERS
    assert store.kept("jobs") == events
