"""What everything passes through, and what would have to go to cut it off: as removing things and walking again says."""

from collections.abc import Collection, Iterator
from itertools import combinations
from typing import NamedTuple

import numpy as np
from hypothesis import event, given
from hypothesis import strategies as st

from graph.changes import Registration
from graph.keys import AssetKey, AssetKind
from graph.model import FLOWS, Basis, Flow
from graph.topology import Ints, Moment, View
from graph.walk import AssetFilter, Direction, FlowFilter, Follow, selected, walk
from graph.why import Cut, Member, Nearest, Passage, Remove, Why
from tests.graph.oracle import Oracle, distances, facts, first_of
from tests.graph.test_index_equals_oracle import (
    ALIASES,
    ASSETS,
    Question,
    empty_store,
    histories,
    loaded,
    moment_of,
    questions,
    tell,
)
from tests.graph.world import World, flow, k, registration


class Removing:
    """One answer, walked again without some assets or flows."""

    def __init__(self, oracle: Oracle, start: AssetKey, question: Question) -> None:
        self.first, depth = first_of(start, question.direction), question.depth
        self.direction, down = question.direction, question.direction is Direction.DOWNSTREAM
        edges = oracle.walkable(question.follow, question.flows)
        hops = distances(edges, self.first, self.direction, depth)
        self.edges = [  # a removal makes ways longer, and yet nothing beyond the answer is reached
            edge
            for edge in edges
            if {edge.source, edge.target} <= hops.keys()
            and (depth is None or hops[edge.source if down else edge.target] + edge.cost <= depth)
        ]
        own = {start, start.container, *oracle.parts(start)}
        self.assets = {vertex.key for vertex in hops} - own
        self.flows = {Member(edge.target.key, edge.source.key) for edge in self.edges if edge.told}

    def reached(self, removed: Collection[Member] = (), past: Collection[AssetKey] = ()) -> set[AssetKey]:
        """Without what is removed, and going on from none of `past`."""
        down = self.direction is Direction.DOWNSTREAM
        edges = [
            edge
            for edge in self.edges
            if not {Member(edge.source.key), Member(edge.target.key)} & set(removed)
            and not (edge.told and Member(edge.target.key, edge.source.key) in removed)
            and (edge.source if down else edge.target).key not in past
        ]
        return {vertex.key for vertex in distances(edges, self.first, self.direction, None)}

    def cuts_off(self, targets: Collection[AssetKey]) -> dict[AssetKey, int]:
        lost = {each: set(targets) - self.reached([Member(each)]) - {each} for each in self.assets}
        return {each: len(found) for each, found in lost.items() if found}

    def candidates(self, targets: set[AssetKey], remove: Remove) -> set[Member]:
        return self.flows if remove is Remove.FLOWS else {Member(each) for each in self.assets - targets}


class Part(NamedTuple):
    """An answer, some of it as targets, and the oracle for it."""

    why: Why
    rows: list[int]
    removing: Removing

    @property
    def targets(self) -> set[AssetKey]:
        return {self.why.lineage.key(row) for row in self.rows}


def check_passages(part: Part) -> None:
    why, rows, removing = part
    listed = why.passages(selected_rows(part)).page(0, 500)
    assert dict(listed) == removing.cuts_off(part.targets)
    assert listed == sorted(listed, key=lambda each: (-each.cuts_off, str(each.asset)))
    assert why.passages(selected_rows(part)).page(1, 2) == listed[1:3]
    for row in rows[:3]:
        chain = why.chain(row)
        assert set(chain) == removing.cuts_off([why.lineage.key(row)]).keys()
        for place, asset in enumerate(chain):
            assert not set(chain[:place]) & removing.cuts_off([asset]).keys() - set(chain[:place])
        event(f"a chain of {min(len(chain), 3)} or more")


def check_cut(part: Part, remove: Remove) -> None:
    why, _, removing = part
    rows, targets = selected_rows(part), part.targets
    near, far = (why.cut(rows, remove, each) for each in Nearest)
    if not targets:
        assert near == far == Cut((), 0, ())
        return
    candidates = removing.candidates(targets, remove)
    straight = removing.reached(candidates, past=targets) & targets
    assert set(near.direct) == set(far.direct) == straight
    if straight:
        assert near.members == far.members == ()
        event("nothing cuts")
        return
    for cut in (near, far):
        assert set(cut.members) <= candidates
        assert not removing.reached(cut.members) & targets
        for member, alone in zip(cut.members, why.alone(cut.members, rows), strict=True):
            assert alone == len(targets - removing.reached([member]))
    size = len(near.members)
    assert size == len(far.members) == near.at_least == far.at_least
    if size <= 3 and len(candidates) < 40:
        smaller = combinations(candidates, size - 1)
        assert all(removing.reached(each) & targets for each in smaller), "a smaller one cuts too"
    event(f"a cut of {min(size, 3)} or more {remove}")


def selected_rows(part: Part) -> Ints:
    return np.array(part.rows, np.int64)


def asked(view: View, oracle: Oracle, question: Question, moment: Moment, wanted: AssetFilter) -> Iterator[Part]:
    there = [key for key in [*ASSETS, *ALIASES, *CROWD] if oracle.is_there(key)]
    if there:
        start = there[question.start % len(there)]
        lineage = walk(view, start, question.direction, moment, question.follow, question.flows, question.depth)
        version = oracle.version_of(oracle.one(start))
        assert version is not None
        removing = Removing(oracle, version, question)
        why = Why(lineage)
        yield Part(why, selected(lineage, wanted).tolist(), removing)


@given(histories, st.lists(questions, min_size=2, max_size=3))
def test_of_any_answer_what_cuts_off_is_what_removing_and_walking_again_finds(
    said: list[tuple[Registration, int]], about: list[Question]
) -> None:
    with empty_store() as store:
        for wanted, now in said:
            tell(store, wanted, now)
        known, view = facts(store), loaded(store).view()
        for question in about:
            moment = moment_of(question, store.head())
            oracle = Oracle(known, *moment)
            for wanted_assets in (AssetFilter(), question.wanted):
                for part in asked(view, oracle, question, moment, wanted_assets):
                    check_passages(part)
                    check_cut(part, Remove.FLOWS)
                    check_cut(part, Remove.ASSETS)


# Many flows between few tables, so that both ports of a container are passed, each on ways of its own

TABLES = [k(f"dataset:w/{name}") for name in "TEUW"]
COLUMNS = [table.part_key(name) for table in TABLES for name in "ab"]
VIEWS = [k("feature_view:w/V"), k("feature:w/V#f"), k("feature:w/V#g")]
JOBS = [k("job:w/J"), k("job:w/K")]
CONSUMERS = [k(f"consumer:w/C{number}") for number in range(4)]
CROWD = [*TABLES, *COLUMNS, *VIEWS, *JOBS, *CONSUMERS]
BETWEEN = [
    Flow(source, target, via)
    for source in CROWD
    for target in CROWD
    for via in (None, JOBS[0])
    if source != target
    and (source.kind, target.kind) in FLOWS
    and (via is None or AssetKind.COLUMN in (source.kind, target.kind))
    and (via is None or {source.kind, target.kind} <= {AssetKind.COLUMN, AssetKind.DATASET})
]


@given(
    st.lists(st.sampled_from(BETWEEN), min_size=6, max_size=24, unique=True),
    st.integers(0, 99),
    st.sampled_from(Direction),
    st.sampled_from(Follow),
    st.sampled_from([(), (AssetKind.CONSUMER,), (AssetKind.COLUMN, AssetKind.JOB)]),
)
def test_both_ports_of_a_container_are_removed_with_it(
    flows: list[Flow], nth: int, direction: Direction, follow: Follow, kinds: tuple[AssetKind, ...]
) -> None:
    with empty_store() as store:
        tell(store, registration([*COLUMNS, *flows], "one", Basis.OBSERVED), 1)
        moment = Moment(1, store.head())
        oracle = Oracle(facts(store), *moment)
        question = Question(nth, direction, follow, 1, 1.0, FlowFilter(), None, AssetFilter(), 0)
        for part in asked(loaded(store).view(), oracle, question, moment, AssetFilter(kinds=kinds)):
            check_passages(part)
            check_cut(part, Remove.ASSETS)
            check_cut(part, Remove.FLOWS)


# By example

RAW, X, Y, Z = "dataset:w/raw", "feature:w/V#x", "feature:w/V#y", "feature:w/U#z"
READERS = [f"consumer:w/{number}" for number in range(5)]


def why(world: World, start: str, direction: Direction = Direction.DOWNSTREAM) -> tuple[Why, Ints]:
    lineage = world.walk(start, direction)
    return Why(lineage), selected(lineage, AssetFilter(kinds=(AssetKind.CONSUMER,)))


def test_everything_reaches_the_consumers_through_these_three_features(world: World) -> None:
    world.register(
        *(flow(RAW, feature) for feature in (X, Y, Z)),
        *(flow(X, reader) for reader in READERS[:3]),
        *(flow(Y, reader) for reader in READERS[2:4]),
        flow(Z, READERS[4]),
    )
    answer, consumers = why(world, RAW)
    features = [k(Z), k(X), k(Y)]
    assert answer.passages(consumers).page(0, 9) == [Passage(k(X), 2), Passage(k(Z), 1), Passage(k(Y), 1)]
    cut = answer.cut(consumers)
    assert [member.asset for member in cut.members] == sorted(features, key=str)
    assert answer.alone(cut.members, consumers) == [1, 2, 1]


def test_of_several_smallest_cuts_the_one_asked_for_is_nearest_the_start_or_the_targets(world: World) -> None:
    chain = [RAW, "dataset:w/clean", X, "deployment:w/D", READERS[0]]
    world.register(*map(flow, chain, chain[1:]))
    answer, consumers = why(world, RAW)
    assert answer.cut(consumers, nearest=Nearest.START).members == (Member(k(chain[1])),)
    assert answer.cut(consumers, nearest=Nearest.TARGETS).members == (Member(k(chain[3])),)
    flows = [answer.cut(consumers, Remove.FLOWS, nearest).members for nearest in Nearest]
    assert flows == [(Member(k(chain[1]), k(RAW)),), (Member(k(chain[4]), k(chain[3])),)]
    assert [str(key) for key in answer.chain(int(consumers[0]))] == chain[1:4]


def test_what_is_read_straight_from_the_start_no_asset_cuts_off_but_a_flow_does(world: World) -> None:
    world.register(flow(RAW, X), flow(X, READERS[0]), flow(RAW, READERS[0]), flow(X, READERS[1]))
    answer, consumers = why(world, RAW)
    assert answer.cut(consumers) == Cut((), 0, (k(READERS[0]),))
    assert answer.cut(consumers, Remove.FLOWS).members == (Member(k(READERS[0]), k(RAW)), Member(k(X), k(RAW)))


def test_a_container_cuts_off_what_neither_of_its_ports_does_alone(world: World) -> None:
    """Of E both all of it is written, and its column x is: the reader sees what it reads of either."""
    a, job, table = "column:w/T#a", "job:w/J", "dataset:w/E"
    world.register(
        *(flow("dataset:w/T", job), flow(job, table), flow(a, "column:w/E#x", via=job)),
        *(k("column:w/E#y"), flow("column:w/E#y", READERS[0]), flow(table, READERS[0])),
    )
    answer, consumers = why(world, "dataset:w/T")
    assert Passage(k(table), 1) in answer.passages(consumers).page(0, 9)
    assert answer.cut(consumers, nearest=Nearest.TARGETS).members == (Member(k(table)),)


def test_upstream_the_same_is_asked_of_causes(world: World) -> None:
    world.register(flow(RAW, X), flow(RAW, Y), flow(X, READERS[0]), flow(Y, READERS[0]), flow("dataset:w/old", RAW))
    lineage = world.walk(READERS[0], Direction.UPSTREAM)
    sources = selected(lineage, AssetFilter(kinds=(AssetKind.DATASET,)))
    assert Why(lineage).passages(sources).page(0, 9) == [Passage(k(RAW), 1)]
    assert Why(lineage).cut(sources[-1:], Remove.FLOWS).members == (Member(k(RAW), k("dataset:w/old")),)
