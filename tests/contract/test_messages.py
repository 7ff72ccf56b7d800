"""What stores promise of messages: they wait with the change they tell of, until they are delivered."""

import pytest

from graph.errors import PlanOutdated
from graph.messages import Delivery, Message
from graph.plan import plan_registration
from graph.stores.contract import Store
from graph.time import DAY
from graph.usage import KEPT_DAYS
from tests.contract.given import ORDERS, REPORT, SCORES, WRITERS, at_once, used
from tests.saying import asset, operation, registration, say


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
    leased = at_once(lambda _: [each.message.id for each in store.lease(200, 300, limit=3)])
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


def test_messages_no_longer_due_and_usage_of_long_ago_are_forgotten(store: Store) -> None:
    day = DAY
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
