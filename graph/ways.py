"""The ways through a subgraph as sequences of flows: counted, and listed from the shortest on.

Ports and parts offer many ways from one flow to the next that nobody can tell apart (through any part of a container, or
past them all). So the ways are those of a machine that reads flows: having *arrived* at a port, it may *leave* each asset
there is a free step to (the asset itself, the parts of a whole container, the container of a part) in one manner alone:
from all its ports if its `whole` is at hand, else from `any`; and a flow to an asset arrives at its `whole` if any row
does, which leads to `any` too. Each sequence of flows is then exactly one path.
"""

import heapq
from collections.abc import Iterator
from functools import cached_property
from itertools import count
from typing import NamedTuple, TypeAlias

import numpy as np

from graph.networks import adjacency, count_paths, distances, distinct_arcs, topological
from graph.subgraph import Subgraph
from graph.topology import Ints


class Step(NamedTuple):
    """A flow on a way: from an asset to an asset (their places in `Ways.assets`), leaving what, arriving where."""

    source: int
    target: int
    leaves: int
    """The vertex that the machine leaves; all ports at hand may be left with it."""


class Ways:
    """From the start of `graph`, downstream, to its vertex `last`. Everything in `graph` is on a path between the two."""

    def __init__(self, graph: Subgraph, last: int) -> None:
        self.graph, self._last, self._size = graph, last, len(graph.vertices)
        begins = np.concatenate([[True], graph.assets[1:] != graph.assets[:-1]])
        self._asset = np.cumsum(begins) - 1
        self.assets = graph.assets[begins]
        self._one = np.nonzero(begins)[0]
        step = ~graph.flow
        tails, heads = graph.tails[step], graph.heads[step]
        inner = self._asset[tails] == self._asset[heads]
        onward, back = inner & (tails < heads), inner & (tails > heads)
        into = ~inner & (graph.view.container[graph.assets[heads]] == graph.assets[tails])
        out = ~inner & ~into
        every = np.arange(self._size)
        self._some = every.copy()
        self._some[tails[onward]] = heads[onward]
        """`any` of what is two-ported, by `whole`; else the vertex itself."""

        # Where an arrival comes to the same: at `any` of what fails as a whole, and at a part of it.
        self._same = every.copy()
        self._same[tails[back]] = heads[back]
        fails = self._same != every
        lost = out & fails[heads]
        self._same[tails[lost]] = self._same[heads[lost]]
        of_whole = np.nonzero(self._some != every)[0]
        falling = of_whole[self._same[self._some[of_whole]] != self._some[of_whole]]
        self._same[falling] = self._same[self._some[falling]]

        # Arrivals are numbered as vertices are, departures after them.
        rising = out & ~lost
        up = np.full(self._size, -1)
        up[tails[rising]] = heads[rising]
        risen = np.nonzero(up[self._some] >= 0)[0]
        free_tails = np.concatenate([every, tails[into], risen])
        free_heads = np.concatenate([every, heads[into], up[self._some[risen]]]) + self._size
        flow_tails, self._targets, flow_heads = self._flows()
        self._tails = np.concatenate([free_tails, flow_tails + self._size]).astype(np.int32)
        self._heads = np.concatenate([free_heads, self._same[flow_heads]]).astype(np.int32)
        self._cost = np.concatenate([np.zeros(len(free_tails), np.int8), np.ones(len(flow_tails), np.int8)])
        self._free = len(free_tails)

        ends = np.zeros(self._size, np.bool_)
        ends[[last, *tails[heads == last].tolist()]] = True
        ends |= ends[self._some]
        ends[tails[into & ends[heads]]] = True
        ends[self._same[np.nonzero(ends)[0]]] = True
        self._ends = ends
        self._start = int(self._same[graph.start])
        offsets, below, arcs = adjacency(self._heads, self._tails, 2 * self._size)
        self._before = offsets, below
        self._left: Ints = distances(np.nonzero(ends)[0], offsets, below, arcs, self._cost)
        """The fewest flows from each to the end."""
        self._known: dict[int, list[_Onward]] = {}
        self._passing: dict[tuple[int, Step], tuple[tuple[int, ...], int]] = {}
        self._free_way: dict[int, dict[int, int]] = {}

    def _flows(self) -> tuple[Ints, Ints, Ints]:
        """Of all departures, each once for each asset that a flow leads to: departure, that asset, and the arrival."""
        graph = self.graph
        tails, heads = graph.tails[graph.flow], graph.heads[graph.flow]
        wholes = np.nonzero(self._some != np.arange(self._size))[0]
        whole_of = np.full(self._size, -1)
        whole_of[self._some[wholes]] = wholes
        also = whole_of[tails] >= 0
        tails, heads = distinct_arcs(
            np.concatenate([tails, whole_of[tails[also]]]), np.concatenate([heads, heads[also]]), self._size
        )
        targets = self._asset[heads]
        first = np.ones(len(tails), np.bool_)  # a `whole` comes before its `any`
        first[1:] = (tails[1:] != tails[:-1]) | (targets[1:] != targets[:-1])
        return tails[first], targets[first], heads[first]

    @property
    def shortest(self) -> int:
        """How many flows the shortest way has; -1 when there is none."""
        return int(self._left[self._start])

    @cached_property
    def _order(self) -> tuple[Ints, bool]:
        offsets, heads, _ = adjacency(self._tails, self._heads, 2 * self._size)
        return topological(np.array([self._start]), offsets, heads)

    @property
    def cyclic(self) -> bool:
        """Whether some flows lead round, so that there is no end of ways, but for those that come nowhere twice."""
        return self._order[1]

    def count(self) -> int | None:
        """How many sequences of flows lead to the end; None when cyclic."""
        order, cyclic = self._order
        if cyclic or self.shortest < 0:
            return None if cyclic else 0
        return count_paths(np.array([self._start]), np.nonzero(self._ends)[0], order, *self._before)

    def count_shortest(self) -> int:
        """How many of them are as short as can be."""
        if self.shortest < 0:
            return 0
        on = self._left[self._tails] == self._left[self._heads] + self._cost
        on &= self._left[self._heads] >= 0
        tails, heads = self._tails[on], self._heads[on]
        offsets, onward, _ = adjacency(tails, heads, 2 * self._size)
        order, _ = topological(np.array([self._start]), offsets, onward)
        before, sources, _ = adjacency(heads, tails, 2 * self._size)
        return count_paths(np.array([self._start]), np.nonzero(self._ends)[0], order, before, sources)

    # Listing

    def listed(self) -> Iterator[tuple[Step, ...]]:
        """All ways, the shortest first, then in the order of the keys along them. None passes a port twice."""
        if self.shortest < 0:
            return
        first = _Prefix((), self._start, frozenset((self.graph.start,)), self.graph.start, 0, None)
        waiting: list[_Waiting] = []
        ticket = count()

        def wait(prefix: _Prefix, keys: _Keys, place: int) -> None:
            """For the way on from `prefix` by its `place`th flow, which is none longer than the next."""
            onward = self._onward(prefix.arrival)
            while place < len(onward) and not self._free_of(prefix, onward[place]):
                place += 1
            if place < len(onward):
                length = len(prefix.steps) + 1 + onward[place].left
                heapq.heappush(
                    waiting, _Waiting(length, (*keys, onward[place].keys), next(ticket), prefix, place, None)
                )

        if self._ends[self._start]:
            yield ()
        wait(first, (), 0)
        while waiting:
            length, keys, _, prefix, place, on = heapq.heappop(waiting)
            if on is None:
                wait(prefix, keys[:-1], place + 1)
                on = self._proven(self._after(prefix, self._onward(prefix.arrival)[place]))
                if on is None:
                    continue
                if on.least > length:
                    heapq.heappush(waiting, _Waiting(on.least, keys, next(ticket), prefix, place, on))
                    continue
            if self._ends[on.arrival] and length == len(on.steps):
                yield on.steps
            wait(on, keys, 0)

    def _onward(self, arrival: int) -> "list[_Onward]":
        """The flows on from an arrival: what is nearer to the end first, then by key."""
        if arrival not in self._known:
            offsets, heads, arcs = self._after_arrival
            texts, found = self.graph.view.keys, []
            for leaves in heads[offsets[arrival] : offsets[arrival + 1]].tolist():
                flows = slice(offsets[leaves], offsets[leaves + 1])
                vertex = leaves - self._size
                source = int(self._asset[vertex])
                for arc, reached in zip(arcs[flows].tolist(), heads[flows].tolist(), strict=True):
                    if self._left[reached] >= 0:
                        target = int(self._targets[arc - self._free])
                        keys = texts[self.assets[source]], texts[self.assets[target]]
                        found.append(_Onward(int(self._left[reached]), keys, Step(source, target, vertex), reached))
            self._known[arrival] = sorted(found)
        return self._known[arrival]

    def rows(self, step: Step) -> Ints:
        """The arcs of the graph that it stands for."""
        offsets, _, arcs = self._leaving
        own = {step.leaves, int(self._some[step.leaves])}
        found = np.concatenate([arcs[offsets[vertex] : offsets[vertex + 1]] for vertex in sorted(own)])
        ends = self._asset[self.graph.heads[found]]
        chosen: Ints = found[(ends == step.target) & self.graph.flow[found]]
        return chosen

    @cached_property
    def _after_arrival(self) -> tuple[Ints, Ints, Ints]:
        return adjacency(self._tails, self._heads, 2 * self._size)

    @cached_property
    def _leaving(self) -> tuple[Ints, Ints, Ints]:
        return adjacency(self.graph.tails, self.graph.heads, self._size)

    # Coming nowhere twice: only ways within a circle can, and leaving it for good forgets where they were

    def _free_of(self, prefix: "_Prefix", onward: "_Onward") -> bool:
        if not self.cyclic:
            return True
        passed, reaches = self._passed(prefix.at, onward.step)
        # A way ends where it first comes to the end.
        return prefix.at != self._last not in passed and prefix.met.isdisjoint((*passed, reaches))

    def _after(self, prefix: "_Prefix", onward: "_Onward") -> "_Prefix":
        steps = (*prefix.steps, onward.step)
        if not self.cyclic:
            return _Prefix(steps, onward.arrival, prefix.met, prefix.at, len(steps) + onward.left, ())
        passed, reaches = self._passed(prefix.at, onward.step)
        circle = self._circles[reaches]
        met = frozenset(port for port in (*prefix.met, *passed, reaches) if self._circles[port] == circle)
        known = prefix.onward[1:] if prefix.onward and prefix.onward[0] == onward.step else None
        return _Prefix(steps, onward.arrival, met, reaches, prefix.least, known)

    def _proven(self, prefix: "_Prefix") -> "_Prefix | None":
        """With a way on that comes nowhere twice; None when there is none."""
        if prefix.onward is not None:
            return prefix
        found = self._onward_without(prefix)
        return found and prefix._replace(least=len(prefix.steps) + found[0], onward=found[1])

    def _passed(self, at: int, step: Step) -> tuple[tuple[int, ...], int]:
        """The ports on the shortest free way from one to where such a step leaves, and the port that it reaches."""
        if (at, step) not in self._passing:
            before = self._free_ways(at)
            arcs = self.rows(step)
            reaches = int(self.graph.heads[arcs].min())
            ways = []
            for tail in np.unique(self.graph.tails[arcs[self.graph.heads[arcs] == reaches]]).tolist():
                way, port = [], tail
                while port != at:
                    way.append(port)
                    port = before[port]
                ways.append(tuple(way))
            self._passing[at, step] = min(ways, key=lambda way: (len(way), way)), reaches
        return self._passing[at, step]

    def _free_ways(self, at: int) -> dict[int, int]:
        """Of each port to which steps lead from `at`, the one before it."""
        if at not in self._free_way:
            offsets, heads, arcs = self._leaving
            before, reached = {at: at}, [at]
            for port in reached:
                around = slice(offsets[port], offsets[port + 1])
                for head, arc in zip(heads[around].tolist(), arcs[around].tolist(), strict=True):
                    if head not in before and not self.graph.flow[arc]:
                        before[head] = port
                        reached.append(head)
            self._free_way[at] = before
        return self._free_way[at]

    def _onward_without(self, prefix: "_Prefix") -> "tuple[int, tuple[Step, ...] | None] | None":
        """The fewest flows on to the end that come nowhere twice, and such a way until it leaves the circle.

        None when there are none. Of equally long ways what is found first is one that listing comes to first, too.
        """
        circle, ticket = self._circles[prefix.at], count()
        seen: set[int] = set()
        nearest: list[_Reached] = [_Reached(int(self._left[prefix.arrival]), 0, next(ticket), None, prefix.at, None)]
        while nearest:
            each = heapq.heappop(nearest)
            at, arrival, far = each.at, prefix.arrival, -each.nearer
            if each.by is not None:
                arrival = each.by.arrival
                if arrival in seen or not self._free_of(prefix._replace(at=at), each.by):
                    continue
                at = self._passed(at, each.by.step)[1]
            if self._ends[arrival] or self._circles[at] != circle:
                return each.length, self._steps_to(each)
            seen.add(arrival)
            for onward in self._onward(arrival):
                if onward.arrival not in seen:
                    length = far + 1 + onward.left
                    heapq.heappush(nearest, _Reached(length, -far - 1, next(ticket), each, at, onward))
        return None

    def _steps_to(self, reached: "_Reached") -> "tuple[Step, ...] | None":
        """None if they come somewhere twice among themselves."""
        steps: list[Step] = []
        met: list[int] = []
        while reached.by is not None and reached.before is not None:
            steps.append(reached.by.step)
            passed, reaches = self._passed(reached.at, reached.by.step)
            met += *passed, reaches
            reached = reached.before
        return tuple(reversed(steps)) if len({*met}) == len(met) else None

    @cached_property
    def _circles(self) -> Ints:
        """A number for each port, shared by those that lead to each other."""
        from scipy.sparse import csr_array  # noqa: PLC0415  # only cyclic graphs need it
        from scipy.sparse.csgraph import connected_components  # noqa: PLC0415

        ends = self.graph.tails, self.graph.heads
        joined = csr_array((np.ones(len(ends[0]), np.int8), ends), shape=(self._size, self._size))
        circles: Ints = connected_components(joined, directed=True, connection="strong")[1]
        return circles


_Keys: TypeAlias = tuple[tuple[str, str], ...]


class _Onward(NamedTuple):
    left: int
    keys: tuple[str, str]
    step: Step
    arrival: int


class _Prefix(NamedTuple):
    """`met` are the ports passed so far, within the circle that it is in; `at` the one reached last.

    Of ways on that come nowhere twice, a shortest one makes it `least` flows long altogether, and has the steps `onward`
    as long as it is in the circle (None: not known).
    """

    steps: tuple[Step, ...]
    arrival: int
    met: frozenset[int]
    at: int
    least: int
    onward: tuple[Step, ...] | None


class _Reached(NamedTuple):
    """By `length`, which cannot be undercut; then what is nearer to the end, then in the order of listing."""

    length: int
    nearer: int
    """Less by one with each flow taken."""
    ticket: int
    before: "_Reached | None"
    at: int
    """Where `by` is taken from."""
    by: _Onward | None


class _Waiting(NamedTuple):
    """By `length`, then `keys`. Until it is proven that `prefix` can go `on`, the length is one that cannot be undercut."""

    length: int
    keys: _Keys
    ticket: int
    prefix: _Prefix
    place: int
    on: _Prefix | None
