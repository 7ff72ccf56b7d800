"""Why an answer is as it is: through which assets everything passes, and what would have to go to cut it off.

To remove an asset is to remove all its ports, and nothing else: its parts and its container are assets of their own. X
*cuts off* Y when no port of Y is reached any more once X is removed, that is, when every path from the start to Y goes
through some port of X. As a container has two ports, and what enters `any` does not leave from `whole`, X may cut off Y
although neither port alone does. The start, its parts and its container are never removed (they are the start); nor are
aliases and what requests carry, which are no assets.
"""

from collections.abc import Iterator, Sequence
from enum import StrEnum
from functools import cached_property
from math import ceil
from typing import NamedTuple

import numpy as np

from graph.keys import AssetKey
from graph.maxflow import UNCUTTABLE, Network
from graph.networks import Tree, adjacency, distinct, distinct_arcs, dominator_tree, lost_without_pairs, spread
from graph.subgraph import walked
from graph.topology import Bools, Ints
from graph.walk import Direction, Lineage


class Passage(NamedTuple):
    """`cuts_off` counts the targets that are reached through `asset` alone; it does not count itself."""

    asset: AssetKey
    cuts_off: int


class Remove(StrEnum):
    """What a cut is made of."""

    ASSETS = "ASSETS"
    FLOWS = "FLOWS"
    """All that flows straight from one asset to another, by whatever job: as paths tell it."""


class Nearest(StrEnum):
    """Which of several smallest cuts: all of them lie between these two."""

    START = "START"
    TARGETS = "TARGETS"


class Member(NamedTuple):
    """An asset to remove, or all that flows straight from `source` to it."""

    asset: AssetKey
    source: AssetKey | None = None


class Cut(NamedTuple):
    """The fewest to remove so that no target is reached; in the order of their keys.

    None separates when something leads straight to `direct`: nothing stands between that could go.
    `at_least`: no cut is smaller. It is the size, but where ports made the search give up a proof.
    """

    members: tuple[Member, ...]
    at_least: int
    direct: tuple[AssetKey, ...]


class Why:
    """What can be asked of one answer; targets are rows of `lineage`."""

    def __init__(self, lineage: Lineage) -> None:
        view = lineage.view
        start = view.number(lineage.start)
        self.lineage = lineage
        self.graph = graph = walked(lineage.met)
        begins = np.concatenate([[True], graph.assets[1:] != graph.assets[:-1]])
        self.first = np.nonzero(begins)[0]
        """The first port reached of each asset; assets are known by their place here."""
        self.place = np.cumsum(begins) - 1
        """The asset of each vertex."""
        self.assets = graph.assets[self.first]
        self.ports = np.diff(np.append(self.first, len(graph.assets)))
        own = {start, int(view.container[start]), *view.parts_of(start)}
        self.own = np.isin(self.assets, np.array(sorted(own), np.int64))

    # Dominators

    def passages(self, targets: Ints) -> "Passages":
        """The assets through which alone some of the targets are reached: those that cut off most first, then by key."""
        (counts,) = self._cut_off(self._weights(targets)[None])
        found = np.nonzero(counts)[0]
        return Passages(self.lineage, self.assets[found], counts[found])

    def chain(self, row: int) -> list[AssetKey]:
        """The assets that every path to this row's asset goes through, in the order in which they cut off: the one
        that cuts off most of the answer first, so that each comes before those that it cuts off."""
        one, every = self._weights(np.array([row])), self._weights(np.arange(len(self.lineage)))
        reached, counts = self._cut_off(np.stack([one, every]))
        found = np.nonzero(reached)[0]
        keys = [self.lineage.view.key(asset) for asset in self.assets[found].tolist()]
        ranked = sorted(zip((-counts[found]).tolist(), keys, strict=True), key=lambda each: (each[0], str(each[1])))
        return [key for _, key in ranked]

    def _weights(self, rows: Ints) -> Ints:
        weights = np.zeros(len(self.assets), np.int64)
        weights[np.searchsorted(self.assets, self.lineage.assets[rows])] = 1
        return weights

    @cached_property
    def _tree(self) -> tuple[Tree, Ints, Ints, Ints]:
        """The dominator tree of the ports, with a vertex more for each asset of two that both lead to, and its arcs."""
        graph, two = self.graph, np.nonzero(self.ports == 2)[0]
        added = len(graph.vertices) + np.arange(len(two))
        tails = np.concatenate([graph.tails, self.first[two], self.first[two] + 1]).astype(np.int32)
        heads = np.concatenate([graph.heads, added, added]).astype(np.int32)
        offsets, ends, _ = adjacency(tails, heads, len(graph.vertices) + len(two))
        return dominator_tree(graph.start, offsets, ends), tails, heads, two

    @cached_property
    def gate(self) -> Ints:
        """The port of each asset that the other is only reached through; -1 where each is reached without the other."""
        graph, two = self.graph, np.nonzero(self.ports == 2)[0]
        entered = np.zeros(len(graph.vertices), np.bool_)
        entered[graph.heads[self.place[graph.tails] != self.place[graph.heads]]] = True
        entered[graph.start] = True
        over, one = self.first.copy(), self.first[two]
        over[two] += ~entered[one]
        both = one[entered[one] & entered[one + 1]]
        if len(both):
            first, last = self._tree[0].first, self._tree[0].last
            below = (first[both] <= first[both + 1]) & (first[both + 1] < last[both])
            above = (first[both + 1] <= first[both]) & (first[both] < last[both + 1])
            over[self.place[both]] = np.where(below, both, np.where(above, both + 1, -1))
        return over

    def _cut_off(self, weights: Ints) -> Ints:
        """How much of each row of `weights` (by asset) each asset cuts off, itself not counted."""
        tree, tails, heads, two = self._tree
        nodes = self.first.copy()
        nodes[two] = len(self.graph.vertices) + np.arange(len(two))
        spots = tree.first[nodes]
        below = np.zeros((len(weights), len(tree.order) + 1), np.int64)
        for kind, each in enumerate(weights):
            below[kind, 1:] = np.cumsum(np.bincount(spots, each, len(tree.order)).astype(np.int64))
        over = self.gate
        counts = below[:, tree.last[over]] - below[:, tree.first[over]]
        split = np.nonzero((over < 0) & ~self.own)[0]
        if len(split):
            before, sources, _ = adjacency(heads, tails, len(tree.parent))
            by_vertex = np.zeros((len(weights), len(tree.parent)), np.int64)
            by_vertex[:, nodes] = weights
            pairs = np.stack([self.first[split], self.first[split] + 1], axis=1)
            lost = np.zeros((len(split), len(weights)), np.int64)
            lost_without_pairs(self.graph.start, tree.topological, tree.cyclic, before, sources, pairs, by_vertex, lost)
            counts[:, split] = lost.T
        counts -= weights
        counts[:, self.own] = 0
        return counts

    # Cuts

    def cut(self, targets: Ints, remove: Remove = Remove.ASSETS, nearest: Nearest = Nearest.START) -> Cut:
        """The fewest assets, or flows, without which none of the targets is reached. Targets themselves never go."""
        if not len(targets):
            return Cut((), 0, ())
        problem = _Problem(self, self._weights(targets) > 0, remove)
        direct = problem.uncuttable()
        if len(direct):
            keys = (self.lineage.view.key(asset) for asset in self.assets[direct].tolist())
            return Cut((), 0, tuple(sorted(keys, key=str)))
        groups, at_least = problem.smallest(nearest)
        return Cut(tuple(problem.members(groups)), at_least, ())

    def alone(self, members: Sequence[Member], targets: Ints) -> list[int]:
        """How many of the targets each member would cut off by itself; an asset does not count itself."""
        number, weights = self.lineage.view.number, self._weights(targets)
        of_assets = self._cut_off(weights[None])[0] if any(each.source is None for each in members) else None
        lost = []
        for member in members:
            asset = int(np.searchsorted(self.assets, number(member.asset)))
            if member.source is None:
                assert of_assets is not None
                lost.append(int(of_assets[asset]))
            else:
                source = int(np.searchsorted(self.assets, number(member.source)))
                ends = (source, asset) if self.lineage.direction is Direction.DOWNSTREAM else (asset, source)
                lost.append(self._lost_without_flow(*ends, weights))
        return lost

    def _lost_without_flow(self, near: int, far: int, weights: Ints) -> int:
        """What is reached only through the flow from one asset to another."""
        graph, (tree, _, _, _) = self.graph, self._tree
        closed = graph.flow & (self.place[graph.tails] == near) & (self.place[graph.heads] == far)
        ends = np.unique(graph.heads[closed])
        if len(ends) == 1:
            # It is the only way to where it ends when all else that leads there has passed there before.
            others = graph.tails[(graph.heads == ends[0]) & ~closed]
            before = (tree.first[ends[0]] <= tree.first[others]) & (tree.first[others] < tree.last[ends[0]])
            if not before.all():
                return 0
        offsets, heads, arcs = self._around
        seen = spread(np.array([graph.start]), offsets, heads, arcs, closed)
        left = distinct(self.place[seen])
        return int(weights.sum() - weights[left].sum())

    @cached_property
    def _around(self) -> tuple[Ints, Ints, Ints]:
        return adjacency(self.graph.tails, self.graph.heads, len(self.graph.vertices))


class Passages:
    """In order: what cuts off most first, then by key. Only what is asked for is sorted by its key's text."""

    def __init__(self, lineage: Lineage, assets: Ints, counts: Ints) -> None:
        order = np.argsort(-counts, kind="stable")
        self._lineage, self._assets, self._counts = lineage, assets[order], counts[order]

    def __len__(self) -> int:
        return len(self._assets)

    def page(self, start: int, size: int) -> list[Passage]:
        view, assets, counts = self._lineage.view, self._assets, self._counts
        end = min(start + size, len(counts))
        if start >= end:
            return []
        # whole groups of equal counts, so that the order within each is that of the keys
        first = int(np.searchsorted(-counts, -counts[start], "left"))
        last = int(np.searchsorted(-counts, -counts[end - 1], "right"))
        texts = [view.keys[asset] for asset in assets[first:last].tolist()]
        ranked = sorted(zip((-counts[first:last]).tolist(), texts, strict=True))
        return [Passage(AssetKey.parse(text), -count) for count, text in ranked[start - first : end - first]]


_SHARES = 12
"""The price of one member of a cut, which is divided evenly among up to four places where it can be cut."""
_ROUNDS, _BRANCHES = 8, 64
"""How often prices are tried anew before one group is decided, and how many decisions a search may take."""


class _Problem:
    """A cut of groups: a group (an asset, or what flows from one asset to another) is one thing to remove, but may have
    several *items*, the vertices or arcs where it stands in the way.

    With one item a group this is the cut of a network. A group of several is divided among its items: what a cut of
    that network costs is never more than the smallest cut of groups has members, and where it pays groups whole, it is
    one. Where it pays only part of a group, the price moves to the items that were cut; if that does not settle it, the group is
    decided both ways.
    """

    group_of: Ints
    """The group of each item."""
    _joined: Ints | None
    """The ends of each group of flows, the one nearer to the start first, as one number."""
    _item_tails: Ints
    _item_heads: Ints
    _open_tails: Ints
    _open_heads: Ints
    """The arcs that are never cut."""

    def __init__(self, why: Why, goal: Bools, remove: Remove) -> None:
        self._why, self._upstream = why, why.lineage.direction is Direction.UPSTREAM
        graph = why.graph
        ends = goal[why.place]
        onward = ~ends[graph.tails]  # what lies behind a target does not matter
        none = np.zeros(len(graph.tails), np.bool_)
        back_offsets, back_heads, back_arcs = adjacency(graph.heads[onward], graph.tails[onward], len(graph.vertices))
        leads = spread(np.nonzero(ends)[0], back_offsets, back_heads, back_arcs, none)
        arcs = np.nonzero(onward & leads[graph.tails] & leads[graph.heads])[0]
        self._tails, self._heads, self._flow = graph.tails[arcs], graph.heads[arcs], graph.flow[arcs]
        self._ends = np.nonzero(ends)[0]
        self._vertices = len(graph.vertices)
        if remove is Remove.ASSETS:
            self._vertex_items(leads & ~ends)
        else:
            self._arc_items()

    def _vertex_items(self, between: Bools) -> None:
        why = self._why
        free = between & ~why.own[why.place]
        over = why.gate[why.place]
        items = np.nonzero(free & ((over < 0) | (over == np.arange(len(over)))))[0]
        self.group_of = why.place[items]
        self._item_tails, self._item_heads = items, self._vertices + items
        leaves = np.arange(self._vertices)
        leaves[items] += self._vertices
        self._open_tails, self._open_heads = leaves[self._tails], self._heads
        self._joined = None

    def _arc_items(self) -> None:
        why, size = self._why, len(self._why.assets)
        self._item_tails, self._item_heads = distinct_arcs(
            self._tails[self._flow], self._heads[self._flow], self._vertices
        )
        pairs = why.place[self._item_tails] * size + why.place[self._item_heads]
        order = np.argsort(pairs, kind="stable")  # which takes no time where the ports' order is that of the assets
        ordered = pairs[order]
        new = np.ones(len(pairs), np.bool_)
        new[1:] = ordered[1:] != ordered[:-1]
        self.group_of = np.empty(len(pairs), np.int64)
        self.group_of[order] = np.cumsum(new) - 1
        self._joined = ordered[new]
        self._open_tails, self._open_heads = self._tails[~self._flow], self._heads[~self._flow]

    def uncuttable(self) -> Ints:
        """The targets to which something leads without any item on the way."""
        closed = np.zeros(len(self._open_tails), np.bool_)
        offsets, heads, arcs = adjacency(self._open_tails, self._open_heads, 2 * self._vertices)
        seen = spread(np.array([self._why.graph.start]), offsets, heads, arcs, closed)[: self._vertices]
        found: Ints = np.unique(self._why.place[self._ends[seen[self._ends]]])
        return found

    def smallest(self, nearest: Nearest) -> tuple[list[int], int]:
        """The groups of a smallest cut, and how many no cut can do without."""
        self._near_start = nearest is Nearest.START
        tails = np.concatenate([self._open_tails, self._item_tails])
        heads = np.concatenate([self._open_heads, self._item_heads])
        self._network = Network(
            self._why.graph.start, self._ends, tails, heads, len(self._item_tails), 2 * self._vertices
        )
        self._found: list[list[int]] = []
        self._left = _BRANCHES
        least = self._search([], [])
        best = self._found[-1]
        return best, min(least, len(best))

    def _search(self, removed: list[int], kept: list[int]) -> int:
        """How many members a cut needs that removes these groups and keeps those. Remembers the smallest found."""
        self._left -= 1
        prices = self._even(removed, kept)
        least, undecided = 0, -1
        for _ in range(_ROUNDS):
            total, items = self._network.cheapest(prices, self._near_start)
            if total >= UNCUTTABLE:
                return UNCUTTABLE
            groups = distinct(self.group_of[items])
            chosen = sorted({*removed, *groups.tolist()})
            if not self._found or len(chosen) < len(self._found[-1]):
                self._found.append(chosen)
            least = max(least, len(removed) + ceil(total / _SHARES))
            if least >= len(self._found[-1]):
                return least
            paid = np.bincount(self.group_of[items], prices[items], int(self.group_of.max()) + 1)
            partly = groups[paid[groups] < _SHARES]
            partly = partly[~np.isin(partly, removed)]
            undecided = min(partly.tolist(), key=self._name, default=-1)
            if undecided < 0:
                return least
            moved = np.isin(self.group_of, partly)
            cut = np.zeros(len(prices), np.bool_)
            cut[items] = True
            times = np.bincount(self.group_of[items], minlength=len(paid))
            prices[moved] = np.where(cut[moved], _SHARES // np.maximum(times[self.group_of[moved]], 1), 0)
        if self._left <= 0:
            return least
        return max(least, min(self._search([*removed, undecided], kept), self._search(removed, [*kept, undecided])))

    def _name(self, group: int) -> tuple[str, ...]:
        return tuple(self._why.lineage.view.keys[asset] for asset in self._assets(group))

    def _assets(self, group: int) -> list[int]:
        """The asset, or the source and target of the flows, by their numbers."""
        if self._joined is None:
            return [int(self._why.assets[group])]
        ends = divmod(int(self._joined[group]), len(self._why.assets))
        return [int(self._why.assets[end]) for end in ends[:: -1 if self._upstream else 1]]

    def _even(self, removed: Sequence[int], kept: Sequence[int]) -> Ints:
        prices: Ints = _SHARES // np.bincount(self.group_of)[self.group_of]
        prices[np.isin(self.group_of, removed)] = 0
        prices[np.isin(self.group_of, kept)] = UNCUTTABLE
        return prices

    def members(self, groups: Sequence[int]) -> Iterator[Member]:
        for group in sorted(groups, key=self._name):
            asset, *source = map(self._why.lineage.view.key, reversed(self._assets(group)))
            yield Member(asset, *source)
