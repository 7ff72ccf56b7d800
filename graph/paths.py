"""Paths between two assets: which flows lead from one to the other, shortest first."""

from itertools import islice
from typing import NamedTuple

import numpy as np

from graph.keys import AssetKey
from graph.model import REFINES_FIRST, Basis, Flow
from graph.networks import adjacency, spread
from graph.ports import Step
from graph.subgraph import Subgraph, of_rows, walked
from graph.topology import Ints, Moment, View
from graph.walk import Allowed, Direction, FlowFilter, Follow, allowed, located
from graph.ways import Step as Leg
from graph.ways import Ways


class Hop(NamedTuple):
    """One flow of a path. `basis` is the strongest it is known by.

    `stored` is the flow whose assertions are the evidence: the flow itself; for a version that an alias named, the flow
    from that alias; and where a feature reaches a deployment because a version that needs it is served there, the flow
    from that version (or its alias), `basis` then being INFERRED.
    """

    flow: Flow
    basis: Basis
    stored: Flow


class Path(NamedTuple):
    hops: tuple[Hop, ...]


class Count(NamedTuple):
    """How many paths there are. Two are the same when they pass from asset to asset in the same way, whatever the jobs.

    `every` is None when some flows lead round (`cyclic`): counting those that come nowhere twice takes longer than
    anybody waits. Of the shortest, of `length` flows, the number is exact all the same.
    """

    every: int | None
    shortest: int
    length: int
    cyclic: bool


def paths(
    view: View,
    source: AssetKey,
    target: AssetKey,
    moment: Moment,
    follow: Follow = Follow.VALUES,
    flows: FlowFilter | None = None,
    at_most: int = 1,
) -> list[Path]:
    """The `at_most` shortest paths from `source` downstream to `target`, without repeating an asset's port.

    Shortest first, then in the order of the keys. No path: an empty list; none leads to a start's own parts or container.
    Raises NotFound for either end.
    """
    ends = _ends(view, source, target, moment)
    if ends is None:
        return []
    between = _shortest if at_most == 1 else _between
    ways = between(view, *ends, moment, follow, flows)
    return [] if ways is None else [_path(ways, legs) for legs in islice(ways.listed(), at_most)]


def count_paths(
    view: View,
    source: AssetKey,
    target: AssetKey,
    moment: Moment,
    follow: Follow = Follow.VALUES,
    flows: FlowFilter | None = None,
) -> Count:
    """How many paths `paths` could list. Raises NotFound for either end."""
    ends = _ends(view, source, target, moment)
    ways = None if ends is None else _between(view, *ends, moment, follow, flows)
    if ways is None:
        return Count(0, 0, 0, False)
    return Count(ways.count(), ways.count_shortest(), ways.shortest, ways.cyclic)


def _ends(view: View, source: AssetKey, target: AssetKey, moment: Moment) -> tuple[int, int] | None:
    """The vertices between which to look; None when the target belongs to the source."""
    first, last = located(view, source, moment), located(view, target, moment)
    if last in {first, view.container[first], *view.parts_of(first)}:
        return None
    return int(view.whole[first]), int(view.any[last])


def _between(
    view: View, first: int, last: int, moment: Moment, follow: Follow, flows: FlowFilter | None
) -> Ways | None:
    """All that lies on some path."""
    graph = _around(view, first, last, moment, follow, flows)
    if graph is None:
        return None
    size, (end, found) = len(graph.vertices), np.searchsorted(graph.vertices, [last, last + 1])
    if end == found:
        return None
    open_to_all = np.zeros(len(graph.tails), np.bool_)
    between = np.ones(size, np.bool_)
    for starts, tails, heads in (([graph.start], graph.tails, graph.heads), ([end], graph.heads, graph.tails)):
        between &= spread(np.array(starts), *adjacency(tails, heads, size), open_to_all)
    return _ways(graph.within(between), last) if between[end] else None


def _around(
    view: View, first: int, last: int, moment: Moment, follow: Follow, flows: FlowFilter | None
) -> Subgraph | None:
    """All that is downstream of the first, or all that is upstream of the last: whichever is soon done."""
    may = allowed(view, follow, flows)
    ahead = _Side(view, first, Direction.DOWNSTREAM, may, moment)
    behind = _Side(view, last, Direction.UPSTREAM, may, moment)
    while ahead.size and behind.size:
        if len(ahead.hops) + len(behind.hops) > _LARGE:
            return walked(view, first, Direction.DOWNSTREAM, moment, follow, flows)
        min(ahead, behind, key=lambda side: side.size).go_on()
    met = behind.hops if not behind.size else ahead.hops
    if first not in met or last not in met:
        return None
    vertices = np.array(sorted(met), np.int64)
    rows = (behind if not behind.size else ahead).all_rows()
    inside = np.ones(len(rows), np.bool_)
    for end in ("source", "target"):
        inside &= np.isin(view.rows[end][rows], vertices)
    return of_rows(view, first, moment, vertices, np.zeros(len(vertices), np.int32), rows[inside])


_LARGE = 20_000
"""From so many vertices on one walk over all that is downstream is faster than two in small steps."""


def _ways(graph: Subgraph, last: int) -> Ways:
    return Ways(graph, int(np.searchsorted(graph.vertices, last)))


# The shortest one, searched from both ends: costs nothing for what lies elsewhere, however large the graph


class _Side:
    """What was reached from one end: `levels[i]` after i flows; with the rows taken on the way."""

    def __init__(self, view: View, start: int, direction: Direction, may: Allowed, moment: Moment) -> None:
        self._view, self._may, self._moment = view, may, moment
        downstream = direction is Direction.DOWNSTREAM
        self._around = view.down if downstream else view.up
        self._far = "target" if downstream else "source"
        self.hops: dict[int, int] = {}
        self.levels: list[Ints] = []
        self.rows: list[Ints] = []
        self._flows = np.empty(0, np.int64)
        self._enter(np.array([start]))

    def _enter(self, vertices: Ints) -> None:
        """The next level: these, and what steps lead to from them."""
        view, level, flows = self._view, [], []
        while len(vertices):
            fresh = [vertex for vertex in dict.fromkeys(vertices.tolist()) if vertex not in self.hops]
            self.hops |= dict.fromkeys(fresh, len(self.levels))
            vertices = np.array(fresh, np.int64)
            level.append(vertices)
            rows = self._may.of(view, view.holding(self._around.of_many(vertices), self._moment))
            flow = view.rows["step"][rows] & Step.FLOW != 0
            self.rows.append(rows[~flow])
            flows.append(rows[flow])
            vertices = view.rows[self._far][rows[~flow]]
        self.levels.append(np.concatenate([np.empty(0, np.int64), *level]))
        self._flows = np.concatenate([np.empty(0, np.int64), *flows])

    @property
    def size(self) -> int:
        """How many flows lead on from the last level: what the next will cost."""
        return len(self._flows)

    def go_on(self) -> None:
        self.rows.append(self._flows)
        self._enter(self._view.rows[self._far][self._flows])

    def meets(self, other: "_Side") -> list[int]:
        return [vertex for vertex in self.levels[-1].tolist() if vertex in other.hops]

    def all_rows(self) -> Ints:
        return np.unique(np.concatenate(self.rows))


def _shortest(
    view: View, first: int, last: int, moment: Moment, follow: Follow, flows: FlowFilter | None
) -> Ways | None:
    """All that lies on some shortest path."""
    may = allowed(view, follow, flows)
    ahead = _Side(view, first, Direction.DOWNSTREAM, may, moment)
    behind = _Side(view, last, Direction.UPSTREAM, may, moment)
    met = ahead.meets(behind)
    while not met:
        if not ahead.size or not behind.size:
            return None
        side, other = (ahead, behind) if ahead.size <= behind.size else (behind, ahead)
        side.go_on()
        met = side.meets(other)
    # Each shortest path passes what met after as many flows; from there it is followed back to both ends.
    length = len(ahead.levels) + len(behind.levels) - 2
    place = {vertex: ahead.hops[vertex] for vertex in met}
    rows: list[int] = []
    for side, near, far, sign in ((ahead, "source", "target", -1), (behind, "target", "source", 1)):
        taken = side.all_rows()
        columns = [view.rows[name][taken].tolist() for name in (near, far, "step")]
        into: dict[int, list[tuple[int, int, int]]] = {}
        for row, before, after, step in zip(taken.tolist(), *columns, strict=True):
            into.setdefault(after, []).append((row, before, 1 if step & Step.FLOW else 0))
        onward = list(met)
        while onward:
            after = onward.pop()
            for row, before, cost in into.get(after, ()):
                if side.hops[before] + cost == side.hops[after]:
                    rows.append(row)
                    if before not in place:
                        place[before] = place[after] + sign * cost
                        onward.append(before)
    vertices = np.array(sorted(place), np.int64)
    hops = np.array([place[vertex] for vertex in vertices.tolist()])
    graph = of_rows(view, first, moment, vertices, hops, np.array(sorted(set(rows)), np.int64))
    ways = _ways(graph, last)
    assert ways.shortest == length, f"searched from both ends {length} flows, along what was found {ways.shortest}"
    return ways


def _path(ways: Ways, legs: tuple[Leg, ...]) -> Path:
    return Path(tuple(_hop(ways, leg) for leg in legs))


def _hop(ways: Ways, leg: Leg) -> Hop:
    """The flow with its best evidence: the strongest, then straight before by alias, then by the keys."""
    graph, view = ways.graph, ways.graph.view
    source, target = (int(ways.assets[end]) for end in (leg.source, leg.target))

    def rank(arc: int) -> tuple[int, bool, str, str]:
        stored = int(graph.stored[arc])
        return int(graph.strength[arc]), stored != source, view.keys[int(graph.via[arc])], view.keys[stored]

    best = min(ways.rows(leg).tolist(), key=rank)
    via = int(graph.via[best])
    stored = Flow(view.key(int(graph.stored[best])), view.key(target), view.key(via) if via else None)
    return Hop(Flow(view.key(source), stored.target, stored.via), REFINES_FIRST[int(graph.strength[best])], stored)
