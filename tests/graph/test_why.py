"""What everything passes through, and what would have to go to cut it off: as removing things and walking again says."""

from collections.abc import Collection, Iterator
from itertools import combinations

from hypothesis import event, given
from hypothesis import strategies as st

from graph.changes import Registration
from graph.keys import AssetKey
from graph.stores.sqlite import SqliteStore
from graph.walk import Direction, selected, walk
from graph.why import Nearest, Remove, Why
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


class Removing:
    """One answer, walked again without some assets or flows."""

    def __init__(self, oracle: Oracle, start: AssetKey, question: Question) -> None:
        self.start, self.direction, self.depth = start, question.direction, question.depth
        self.edges = oracle.walkable(question.follow, question.flows)
        self.first = first_of(start, self.direction)
        hops = distances(self.edges, self.first, self.direction, self.depth)
        near = (lambda e: e.source) if self.direction is Direction.DOWNSTREAM else (lambda e: e.target)
        self.edges = [  # a removal makes ways longer, but never reaches more than the answer did
            e
            for e in self.edges
            if {e.source, e.target} <= hops.keys() and (self.depth is None or hops[near(e)] + e.cost <= self.depth)
        ]
        self.own = {start, start.container, *oracle.parts(start)}
        self.assets = {vertex.key for vertex in hops}

    def reached(
        self, assets: Collection[AssetKey] = (), flows: Collection[tuple[AssetKey, AssetKey]] = ()
    ) -> set[AssetKey]:
        edges = [
            e
            for e in self.edges
            if not {e.source.key, e.target.key} & set(assets) and not (e.told and (e.source.key, e.target.key) in flows)
        ]
        return {vertex.key for vertex in distances(edges, self.first, self.direction, None)}

    def cuts_off(self, targets: Collection[AssetKey]) -> dict[AssetKey, int]:
        lost = {each: set(targets) - self.reached([each]) - {each} for each in self.assets - self.own}
        return {each: len(found) for each, found in lost.items() if found}

    def smallest(self, targets: set[AssetKey], remove: Remove) -> set[frozenset[object]] | None:
        """All smallest cuts; None when nothing cuts."""
        members: Collection[object] = (
            self.assets - self.own - targets
            if remove is Remove.ASSETS
            else {(e.source.key, e.target.key) for e in self.edges if e.told}
        )

        def separates(removed: Collection[object]) -> bool:
            left = self.reached(assets=removed) if remove is Remove.ASSETS else self.reached(flows=removed)  # type: ignore[arg-type]
            return not left & targets

        if not separates(members):
            return None
        for size in range(len(members) + 1):
            found = {frozenset(each) for each in combinations(sorted(members, key=str), size) if separates(each)}
            if found:
                return found
        raise AssertionError


@given(histories, st.lists(questions, min_size=3, max_size=6))
def test_what_cuts_off_is_what_removing_and_walking_again_finds(
    said: list[tuple[Registration, int]], asked: list[Question]
) -> None:
    with empty_store() as store:
        for question, why, removing in answers(store, said, asked):
            lineage = why.lineage
            rows = selected(lineage, question.wanted)
            for targets in (rows, selected(lineage, type(question.wanted)())):
                keys = [lineage.key(row) for row in targets.tolist()]
                expected = removing.cuts_off(keys)
                found = why.passages(targets)
                assert dict(found.page(0, 500)) == expected
                assert found.page(0, 500) == sorted(
                    found.page(0, 500), key=lambda each: (-each.cuts_off, str(each.asset))
                )
            if len(lineage):
                row = question.target % len(lineage)
                assert set(why.chain(row)) == removing.cuts_off([lineage.key(row)]).keys()
                event(f"a chain of {min(len(why.chain(row)), 4)} or more")


@given(histories, st.lists(questions, min_size=3, max_size=6), st.sampled_from(Remove))
def test_the_smallest_cut_is_as_small_as_trying_all_finds(
    said: list[tuple[Registration, int]], asked: list[Question], remove: Remove
) -> None:
    with empty_store() as store:
        for question, why, removing in answers(store, said, asked):
            rows = selected(why.lineage, question.wanted)
            targets = {why.lineage.key(row) for row in rows.tolist()}
            if len(removing.assets) > 14 and remove is Remove.ASSETS:
                continue
            near, far = (why.cut(rows, remove, each) for each in Nearest)
            if not targets:
                assert near == far == ((), 0, ())
                continue
            if near.direct:
                assert far == near
                everything = (
                    removing.reached(assets=removing.assets - removing.own - targets)
                    if remove is Remove.ASSETS
                    else removing.reached(flows={(e.source.key, e.target.key) for e in removing.edges if e.told})
                )
                assert set(near.direct) == everything & targets
                event("nothing cuts")
                continue
            lost = removing.cuts_off(targets)
            for cut in (near, far):
                assert cut.at_least == len(cut.members)
                names = [each.asset if each.source is None else (each.source, each.asset) for each in cut.members]
                left = removing.reached(assets=names) if remove is Remove.ASSETS else removing.reached(flows=names)
                assert not left & targets
                for each, name, alone in zip(cut.members, names, why.alone(cut.members, rows), strict=True):
                    if remove is Remove.ASSETS:
                        assert alone == lost.get(each.asset, 0)
                    else:
                        assert alone == len(targets - removing.reached(flows=[name]))
            if len(near.members) <= 3:
                smallest = removing.smallest(targets, remove)
                assert smallest is not None
                assert {len(each) for each in smallest} == {len(near.members)}
            assert len(far.members) == len(near.members)
            event(f"{min(len(near.members), 3)} or more members")


def answers(
    store: SqliteStore, said: list[tuple[Registration, int]], asked: list[Question]
) -> Iterator[tuple[Question, Why, Removing]]:
    for wanted, now in said:
        tell(store, wanted, now)
    known, view = facts(store), loaded(store).view()
    for question in asked:
        moment = moment_of(question, store.head())
        oracle = Oracle(known, *moment)
        there = [key for key in [*ASSETS, *ALIASES] if oracle.is_there(key)]
        if not there:
            continue
        start = there[question.start % len(there)]
        lineage = walk(view, start, question.direction, moment, question.follow, question.flows, question.depth)
        version = oracle.version_of(start)
        assert version is not None
        yield question, Why(lineage, question.flows, question.depth), Removing(oracle, version, question)
