"""Who made calls that spans tell of: the rules, one by one; and that no order, split or repetition changes what they give."""

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as some

from app.spans import CLIENT, CONSUMER, INTERNAL, PRODUCER, SERVER, Service
from app.watching.resolving import Change, Counts, Link, Place, Recent, Resolver
from graph.keys import AssetKey, AssetKind
from tests.saying import key

SCORES, FRAUD, TOPIC = key("deployment:risk/scores"), key("deployment:risk/fraud"), key("dataset:kafka/orders")
A, B, EDGE, MESH, RELAY, NOBODY = (Service("shop", name) for name in ("a", "b", "edge", "mesh", "relay", None))
FOREVER_RECENT = 1 << 60


def resolver() -> Resolver:
    def consumer(service: Service) -> AssetKey | None:
        return service.name and AssetKey.of(AssetKind.CONSUMER, service.namespace or "default", service.name)  # type: ignore[return-value]

    return Resolver(
        lambda service: service in (EDGE, RELAY), consumer, Recent(1000, FOREVER_RECENT), Recent(1000, FOREVER_RECENT)
    )


def call(id_: int, above: int, kind: int, service: Service, target: AssetKey | None = None, **fields: object) -> Link:
    counts = Counts.ONCE if target is not None else Counts.NEVER
    return replace(Link(id_, above, kind, service, target, counts=counts), **fields)  # type: ignore[arg-type]


def told(changes: Iterable[Change]) -> Counter[Place]:
    counts: Counter[Place] = Counter()
    for change in changes:
        counts[change.place] += change.sign
    return Counter({place: calls for place, calls in counts.items() if calls})


def counted(links: Sequence[Link]) -> dict[str, int]:
    """Calls by caller and target, whatever the order; `-` is nobody."""
    return shown(told(resolver().take([replace(link) for link in links], 0)))


def shown(counts: Counter[Place]) -> dict[str, int]:
    return {f"{place.reader.name if place.reader else '-'} < {place.source.name}": n for place, n in counts.items()}


CASES: dict[str, tuple[list[Link], dict[str, int]]] = {
    "a client's own span": ([call(1, 0, CLIENT, A, SCORES)], {"a < scores": 1}),
    "a service that was called itself is the caller": (
        [call(1, 0, CLIENT, B), call(2, 1, SERVER, A), call(3, 2, INTERNAL, A), call(4, 3, CLIENT, A, SCORES)],
        {"a < scores": 1},
    ),
    "the span above is not known": ([call(4, 3, CLIENT, A, SCORES)], {"a < scores": 1}),
    "both sides of a call are one": (
        [call(1, 0, CLIENT, A, SCORES), call(2, 1, SERVER, B, SCORES)],
        {"a < scores": 1},
    ),
    "a server alone tells who called when the span above does not say what it called": (
        [call(1, 0, CLIENT, A), call(2, 1, SERVER, B, SCORES)],
        {"a < scores": 1},
    ),
    "a server whose caller is unknown": ([call(2, 1, SERVER, B, SCORES)], {"- < scores": 1}),
    "a server nobody called": ([call(2, 0, SERVER, B, SCORES)], {"- < scores": 1}),
    "a client within a client": (
        [call(1, 0, CLIENT, A, SCORES), call(2, 1, INTERNAL, A), call(3, 2, CLIENT, A, SCORES)],
        {"a < scores": 1},
    ),
    "tries again are calls": (
        [call(1, 0, INTERNAL, A), call(2, 1, CLIENT, A, SCORES), call(3, 1, CLIENT, A, SCORES)],
        {"a < scores": 2},
    ),
    "a gateway passes on": (
        [call(1, 0, CLIENT, A), call(2, 1, SERVER, EDGE), call(3, 2, INTERNAL, EDGE), call(4, 3, CLIENT, EDGE, SCORES)],
        {"a < scores": 1},
    ),
    "a gateway behind a gateway": (
        [
            *(call(1, 0, CLIENT, A), call(2, 1, SERVER, RELAY), call(3, 2, CLIENT, RELAY), call(4, 3, SERVER, EDGE)),
            call(5, 4, CLIENT, EDGE, SCORES),
        ],
        {"a < scores": 1},
    ),
    "a gateway whose caller is unknown is no caller": (
        [call(2, 1, SERVER, EDGE), call(4, 2, CLIENT, EDGE, SCORES)],
        {"- < scores": 1},
    ),
    "a gateway that calls of itself is no caller": ([call(4, 0, CLIENT, EDGE, SCORES)], {"- < scores": 1}),
    "what stands in for the deployment passes on, though nobody said so": (
        [
            *(call(1, 0, CLIENT, A, SCORES), call(2, 1, SERVER, MESH, SCORES), call(3, 2, CLIENT, MESH, SCORES)),
            call(4, 3, SERVER, B, SCORES),
        ],
        {"a < scores": 1},
    ),
    "a gateway that tries again asks once": (
        [
            *(call(1, 0, CLIENT, A, SCORES), call(2, 1, SERVER, EDGE)),
            *(call(3, 2, CLIENT, EDGE, SCORES), call(4, 2, CLIENT, EDGE, SCORES)),
        ],
        {"a < scores": 1},
    ),
    "a deployment that asks another is the caller": (
        [
            *(call(1, 0, CLIENT, A, SCORES), call(2, 1, SERVER, B, SCORES), call(3, 2, CLIENT, B, FRAUD)),
            call(4, 3, SERVER, MESH, FRAUD),
        ],
        {"a < scores": 1, "scores < fraud": 1},
    ),
    "a worker that takes from a queue is the caller": (
        [call(1, 0, PRODUCER, A), call(2, 1, CONSUMER, B), call(3, 2, CLIENT, B, SCORES)],
        {"b < scores": 1},
    ),
    "a worker that passes on is not": (
        [call(1, 0, PRODUCER, A), call(2, 1, CONSUMER, RELAY), call(3, 2, CLIENT, RELAY, SCORES)],
        {"a < scores": 1},
    ),
    "a deployment that is asked by a queue": (
        [call(1, 0, PRODUCER, A, SCORES), call(2, 1, CONSUMER, B, SCORES)],
        {"a < scores": 1},
    ),
    "a service without a name": ([call(1, 0, CLIENT, NOBODY, SCORES)], {"- < scores": 1}),
    "what is read and written is two flows": (
        [call(1, 0, PRODUCER, A, TOPIC, writes=True), call(2, 1, CONSUMER, B, TOPIC)],
        {"orders < a": 1, "b < orders": 1},
    ),
    "a gateway that reads data reads it itself": (
        [call(1, 0, CLIENT, A), call(2, 1, SERVER, EDGE), call(3, 2, CLIENT, EDGE, TOPIC)],
        {"edge < orders": 1},
    ),
    "a deployment that reads data": (
        [call(1, 0, SERVER, B, SCORES), call(3, 1, CLIENT, B, TOPIC)],
        {"- < scores": 1, "scores < orders": 1},
    ),
    "what this service answered itself": (
        [
            *(call(1, 0, CLIENT, A), call(2, 1, SERVER, EDGE), call(3, 2, CLIENT, EDGE, SCORES, counts=Counts.NEVER)),
            call(9, 3, SERVER, NOBODY, SCORES, counts=Counts.ALWAYS),
        ],
        {"a < scores": 1},
    ),
    "a circle": ([call(1, 2, CLIENT, EDGE, SCORES), call(2, 1, INTERNAL, EDGE)], {"- < scores": 1}),
}


@pytest.mark.parametrize("name", CASES)
def test_rules(name: str) -> None:
    links, expected = CASES[name]
    assert counted(links) == expected


@pytest.mark.parametrize("name", CASES)
def test_one_by_one_in_any_order_gives_the_same(name: str) -> None:
    links, expected = CASES[name]
    for seed in range(20):
        one, order = resolver(), [*links, *links]
        random.Random(seed).shuffle(order)
        counts: Counter[Place] = Counter()
        for now, link in enumerate(order):
            counts.update(told(one.take([replace(link)], now)))
        assert shown(Counter({place: n for place, n in counts.items() if n})) == expected


SERVICES = some.sampled_from([A, B, EDGE, MESH, RELAY, NOBODY])
TARGETS = some.sampled_from([None, None, None, SCORES, FRAUD, TOPIC])


@some.composite
def traces(draw: some.DrawFn) -> list[Link]:
    """Spans below each other, as deep and as wide as it comes; some are missing."""
    links = []
    for id_ in range(1, draw(some.integers(2, 14))):
        above = draw(some.integers(max(0, id_ - 3), id_ - 1))
        kind, service, target = draw(some.integers(1, 5)), draw(SERVICES), draw(TARGETS)
        target = None if kind == INTERNAL else target
        counts = draw(some.sampled_from([Counts.ONCE, Counts.ONCE, Counts.NEVER])) if target else Counts.NEVER
        links.append(call(id_, above, kind, service, target, counts=counts, writes=kind == PRODUCER))
    return [link for link in links if draw(some.integers(0, 9))]


@given(traces(), some.randoms(use_true_random=False))
def test_order_split_and_repetition_change_nothing(links: list[Link], chance: random.Random) -> None:
    expected = told(resolver().take([replace(link) for link in links], 0))
    one, left = resolver(), [*links, *chance.choices(links, k=len(links) if links else 0)] if links else []
    chance.shuffle(left)
    counts: Counter[Place] = Counter()
    while left:
        size = chance.randint(1, len(left))
        counts.update(told(one.take([replace(link) for link in left[:size]], 0)))
        left = left[size:]
    assert Counter({place: n for place, n in counts.items() if n}) == expected
    assert all(n > 0 for n in expected.values())


@given(traces(), some.integers(0, 14), some.randoms(use_true_random=False))
def test_a_restart_changes_nothing_that_does_not_hang_on_spans_that_only_passed(
    links: list[Link], at: int, chance: random.Random
) -> None:
    """What passed and was not yet needed is not kept: these are sent again here."""
    expected = told(resolver().take([replace(link) for link in links], 0))
    order = [*links]
    chance.shuffle(order)
    before, after = resolver(), resolver()
    counts = told(before.take([replace(link) for link in order[:at]], 0))
    after.restore([replace(link) for link in before.fresh()], 0)
    passed = [link for link in order[:at] if link.target is None]
    counts.update(told(after.take([replace(link) for link in (*passed, *order[at:])], 0)))
    assert Counter({place: n for place, n in counts.items() if n}) == expected


def test_what_others_counted_is_taken_back() -> None:
    one = resolver()
    counts = told(one.take([call(1, 0, CLIENT, A, SCORES), call(2, 1, SERVER, B, SCORES)], 0))
    counts.update(told(one.disown([1, 7])))
    assert not +counts
    assert not told(one.take([call(3, 2, CLIENT, B, SCORES)], 0)), "it is still known to be the same call"


def test_memory_is_bounded() -> None:
    one = resolver()
    one.kept, one.passing = Recent(10, FOREVER_RECENT), Recent(10, FOREVER_RECENT)
    for number in range(1, 1000):
        one.take([call(number, number + 10_000, CLIENT, A, SCORES), call(number + 5_000, 0, INTERNAL, A)], number)
    assert len(one.kept) <= 21
    assert len(one.passing) <= 21
    assert len(one._waiting) <= 21


def test_a_way_that_is_too_long_ends() -> None:
    links = [call(1, 2, CLIENT, EDGE, SCORES), *(call(n, n + 1, INTERNAL, EDGE) for n in range(2, 200))]
    assert counted(links) == {"- < scores": 1}
