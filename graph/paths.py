"""Paths between two assets: which flows lead from one to the other, shortest first."""

from functools import cache, partial
from itertools import islice
from typing import NamedTuple

import numpy as np

from graph.keys import AssetKey
from graph.model import REFINES_FIRST, Basis, Flow
from graph.networks import distinct
from graph.subgraph import among
from graph.topology import Ints, Moment, View
from graph.walk import Direction, FlowFilter, Follow, located, reached, walking
from graph.ways import Step as Leg
from graph.ways import Ways


class Hop(NamedTuple):
    """One flow of a path. `basis` is the strongest it is known by.

    `stored` is the flow whose assertions are the evidence: the flow itself, as it was stated; for a version that an alias named, the flow
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
    if ways is None:
        return []
    hop = cache(partial(_hop, ways))  # paths have most of their hops in common
    return [Path(tuple(map(hop, legs))) for legs in islice(ways.listed(), at_most)]


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
    """All that lies on some path: walked from the end that is sooner done, then back within what was met."""
    ahead, behind = (
        _Side(view, first, Direction.DOWNSTREAM, moment, follow, flows),
        _Side(view, last, Direction.UPSTREAM, moment, follow, flows),
    )
    while not (ahead.done or behind.done):
        side = ahead if len(ahead.vertices) <= len(behind.vertices) else behind
        side.go_on(2 * side.depth + 1)
    side, other = (ahead, behind) if ahead.done else (behind, ahead)
    if other.start not in side.vertices:
        return None
    vertices, _ = other.within(np.array([other.start]), side.vertices)
    return _ways(view, first, last, vertices, moment, follow, flows)


class _Side:
    """What was reached from one end, and how far; so far to `depth`, or to the end (`done`)."""

    def __init__(
        self, view: View, start: int, direction: Direction, moment: Moment, follow: Follow, flows: FlowFilter | None
    ) -> None:
        self.start, self._about = start, (direction, moment, follow, flows)
        self._view = view
        self.go_on(0)

    def go_on(self, depth: int) -> None:
        """Walks again, farther: levels grow so fast that all the walks cost little more than the last."""
        self.depth = depth
        self.vertices, self.hops = reached(self._view, np.array([self.start]), *self._about, depth)
        self.done = len(self.hops) == 0 or int(self.hops[-1]) < depth

    def within(self, starts: Ints, among: Ints) -> tuple[Ints, Ints]:
        """What is reached from `starts` in the same direction, entering nothing but `among`; nearest first."""
        with walking(self._view, starts, *self._about, within=among) as walked:
            return walked.reach()


# The shortest one, searched from both ends: costs nothing for what lies elsewhere, however large the graph


class _End:
    """What was reached from one end of a search, level by level. Costs nothing for what is elsewhere."""

    def __init__(
        self, view: View, start: int, direction: Direction, moment: Moment, follow: Follow, flows: FlowFilter | None
    ) -> None:
        self._view, self._about = view, (direction, moment, follow, flows)
        self.levels: Ints = np.zeros(view.vertices, np.int32)
        """By vertex: one more than the hops to it, 0 for none yet."""
        self.depth = -1
        self.reached: Ints = np.empty(0, np.int32)
        self.farthest = self._add(np.array([start]), 0)

    def go_on(self) -> None:
        """One level farther."""
        self.farthest = self._add(self.farthest, 1)

    def _add(self, starts: Ints, hops: int) -> Ints:
        before = self.reached[: len(self.reached) - len(starts)] if hops else self.reached
        with walking(self._view, starts, *self._about, depth=hops, blocked=before) as walked:
            vertices, far = walked.reach()
        new: Ints = vertices[far == hops]
        self.depth += 1
        self.levels[new] = self.depth + 1
        self.reached = np.concatenate([self.reached, new])
        return new

    def to_start(self, met: Ints, other: "_End") -> Ints:
        """All on the shortest ways from here to `met`, which is farthest."""
        with walking(self._view, met, *other._about, within=self.reached) as walked:
            vertices, hops = walked.reach()
        on: Ints = vertices[self.levels[vertices] - 1 + hops == self.depth]
        return on


def _shortest(
    view: View, first: int, last: int, moment: Moment, follow: Follow, flows: FlowFilter | None
) -> Ways | None:
    """All that lies on some shortest path."""
    ahead = _End(view, first, Direction.DOWNSTREAM, moment, follow, flows)
    behind = _End(view, last, Direction.UPSTREAM, moment, follow, flows)
    new, other = ahead, behind
    while not len(met := new.farthest[other.levels[new.farthest] > 0]):
        if not (len(ahead.farthest) and len(behind.farthest)):
            return None
        new, other = (ahead, behind) if len(ahead.farthest) <= len(behind.farthest) else (behind, ahead)
        new.go_on()
    # Each shortest path passes what met, after as many flows; from there it leads back to both ends by the shortest way.
    found = [ahead.to_start(met, behind), behind.to_start(met, ahead)]
    return _ways(view, first, last, np.concatenate(found), moment, follow, flows)


def _ways(
    view: View, first: int, last: int, vertices: Ints, moment: Moment, follow: Follow, flows: FlowFilter | None
) -> Ways:
    graph = among(view, first, distinct(vertices), moment, follow, flows)
    return Ways(graph, int(np.searchsorted(graph.vertices, last)))


def _hop(ways: Ways, leg: Leg) -> Hop:
    """The flow with its best evidence: the strongest, then straight before by alias, then by the keys."""
    graph, view = ways.graph, ways.graph.view
    source, target = (int(ways.assets[end]) for end in (leg.source, leg.target))

    def rank(arc: int) -> tuple[int, bool, str, str]:
        stored = int(graph.stored[arc])
        return int(graph.strength[arc]), stored != source, view.keys[int(graph.via[arc])], view.keys[stored]

    best = min(ways.rows(leg).tolist(), key=rank)
    via = int(graph.via[best])
    leaves, reaches = view.key(int(graph.stored[best])), view.key(int(graph.reaches[best]))
    stored = Flow(leaves, reaches, view.key(via) if via else None)
    return Hop(Flow(view.key(source), view.key(target), stored.via), REFINES_FIRST[int(graph.strength[best])], stored)
