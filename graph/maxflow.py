"""The cheapest cut of a network, which is as much as its greatest flow; compiled by Numba.

Push-relabel (Goldberg and Tarjan, 1988), highest label first, pushed from the end with less room beside it. The network is
first made smaller by what no cut ever parts. Where scipy's `maximum_flow` augments along paths, hundreds of times over the
whole of a wide network with circles, this goes over it a few times.
"""

from typing import Any, NamedTuple

import numpy as np

from graph.networks import adjacency, compiled
from graph.topology import Ints

UNCUTTABLE = 1 << 30
"""A capacity that no cut ever pays."""

_ROOT, _SINK = 0, 1


class Cheapest(NamedTuple):
    price: int
    """UNCUTTABLE when no cut separates the ends."""
    items: Ints
    """The places of the arcs that were cut."""


class Network:
    """From `root` to all of `ends`, which are to be cut off. Of its arcs the last `items` have a price, the others none."""

    def __init__(self, root: int, ends: Ints, tails: Ints, heads: Ints, items: int, vertices: int) -> None:
        opens, self._items = len(tails) - items, items
        tails, heads = tails.astype(np.int32), heads.astype(np.int32)
        label, count = _labels(
            root, ends, *adjacency(tails, heads, vertices), *adjacency(heads, tails, vertices), opens
        )
        tails, heads = label[tails], label[heads]
        kept = np.nonzero((tails != heads) & (tails >= 0) & (heads >= 0) & (tails != _SINK) & (heads != _ROOT))[0]
        self._tails, self._heads = tails[opens:], heads[opens:]
        self._offsets, self._around, self._back, places = _both_ways(tails[kept], heads[kept], count)
        self._open = places[kept < opens]
        self._item, self._place = kept[kept >= opens] - opens, places[kept >= opens]

    def cheapest(self, prices: Ints, near_root: bool) -> Cheapest:
        """Of several cheapest cuts the one nearest to the root, or else to the ends: all lie between these two."""
        room = np.zeros(len(self._around), np.int32)
        room[self._open] = UNCUTTABLE
        room[self._place] = prices[self._item]
        much = int(prices[prices < UNCUTTABLE].sum()) + 1
        beside = [
            int(side[self._offsets[end] : self._offsets[end + 1]].sum(dtype=np.int64))
            for end, side in ((_ROOT, room), (_SINK, room[self._back]))
        ]
        beside[_ROOT if near_root else _SINK] *= 2  # which takes a second pass
        pushing, other = (_ROOT, _SINK) if beside[_ROOT] <= beside[_SINK] else (_SINK, _ROOT)
        if pushing == _SINK:
            room = room[self._back]
        excess = np.zeros(len(self._offsets) - 1, np.int32)
        excess[pushing] = much
        beyond = _pushed(other, self._offsets, self._around, self._back, room, excess)
        price = int(excess[other])
        if price == much:
            return Cheapest(UNCUTTABLE, np.empty(0, np.int64))
        if near_root == (pushing == _ROOT):
            # What found no way goes back, so that there is a flow; then the cut is where it can go no farther.
            excess[[pushing, other]] = 0
            _pushed(pushing, self._offsets, self._around, self._back, room, excess)
            height = np.empty(len(excess), np.int32)
            _distances(pushing, self._offsets, self._around, self._back, room[self._back], height)
            beyond = height == len(height)
        behind = ~beyond if pushing == _ROOT else beyond
        known = (self._tails >= 0) & (self._heads >= 0)
        cut = known & behind[self._tails] & ~behind[self._heads]
        return Cheapest(price, np.nonzero(cut)[0])


@compiled
def _labels(
    root: int, ends: Any, offsets: Any, heads: Any, arcs: Any, before: Any, tails: Any, ways: Any, opens: int
) -> tuple[Any, int]:
    """New numbers for the vertices (-1: not reached), the same for those that no cheapest cut parts, and how many.

    Those are what the root leads to without an item, what leads to an end without one, and a vertex that nothing leads to
    but one arc that is no item.
    """
    label, queue = np.full(len(offsets) - 1, -1, np.int32), np.empty(len(offsets) - 1, np.int32)
    near, far = np.zeros(len(label), np.bool_), np.zeros(len(label), np.bool_)
    queue[0], near[root], first, last = root, True, 0, 1
    while first < last:
        vertex = queue[first]
        first += 1
        for place in range(offsets[vertex], offsets[vertex + 1]):
            if arcs[place] < opens and not near[heads[place]]:
                near[heads[place]] = True
                queue[last] = heads[place]
                last += 1
    first, last = 0, 0
    for end in ends:
        far[end] = True
        queue[last] = end
        last += 1
    while first < last:
        vertex = queue[first]
        first += 1
        for place in range(before[vertex], before[vertex + 1]):
            if ways[place] < opens and not far[tails[place]]:
                far[tails[place]] = True
                queue[last] = tails[place]
                last += 1
    count = 2
    queue[0], label[root], first, last = root, 0, 0, 1
    while first < last:
        vertex = queue[first]
        first += 1
        for place in range(offsets[vertex], offsets[vertex + 1]):
            head = heads[place]
            if label[head] >= 0:
                continue
            if near[head]:
                label[head] = 0
            elif far[head]:
                label[head] = 1
            elif before[head + 1] - before[head] == 1 and arcs[place] < opens:
                label[head] = label[vertex]
            else:
                label[head] = count
                count += 1
            queue[last] = head
            last += 1
    return label, count


@compiled
def _both_ways(tails: Any, heads: Any, vertices: int) -> tuple[Any, Any, Any, Any]:
    """Offsets, heads, the place of each entry's reverse, and the place of each arc."""
    offsets = np.zeros(vertices + 1, np.int32)
    for arc in range(len(tails)):
        offsets[tails[arc] + 1] += 1
        offsets[heads[arc] + 1] += 1
    for vertex in range(vertices):
        offsets[vertex + 1] += offsets[vertex]
    free = offsets[:-1].copy()
    ends, back = np.empty(2 * len(tails), np.int32), np.empty(2 * len(tails), np.int32)
    places = np.empty(len(tails), np.int32)
    for arc in range(len(tails)):
        tail, head = tails[arc], heads[arc]
        out, into = free[tail], free[head]
        free[tail] += 1
        free[head] += 1
        ends[out], ends[into], back[out], back[into], places[arc] = head, tail, into, out, out
    return offsets, ends, back, places


@compiled
def _distances(sink: int, offsets: Any, heads: Any, back: Any, room: Any, height: Any) -> None:
    """Of each vertex how many arcs with room lead to the sink; as many as there are vertices for none."""
    vertices = len(height)
    height[:] = vertices
    queue = np.empty(vertices, np.int32)
    height[sink], queue[0] = 0, sink
    first, last = 0, 1
    while first < last:
        vertex = queue[first]
        first += 1
        for place in range(offsets[vertex], offsets[vertex + 1]):
            head = heads[place]
            if height[head] == vertices and room[back[place]] > 0:
                height[head] = height[vertex] + 1
                queue[last] = head
                last += 1


@compiled
def _pushed(sink: int, offsets: Any, heads: Any, back: Any, room: Any, excess: Any) -> Any:
    """Pushes all `excess` to the sink that finds room on the way; which vertices still lead there."""
    vertices = len(offsets) - 1
    height, members = np.empty(vertices, np.int32), np.empty(vertices + 1, np.int32)
    bucket, following = np.empty(vertices + 1, np.int32), np.empty(vertices, np.int32)
    current = np.empty(vertices, np.int32)
    renewed = 2 * len(heads) + vertices  # work after which heights are measured anew
    work, since, top = renewed + 1, 0, 0
    while True:
        if work > renewed:
            _distances(sink, offsets, heads, back, room, height)
            current[:] = offsets[:-1]
            bucket[:], members[:], top, work, since = -1, 0, -1, 0, 0
            for vertex in range(vertices):
                members[height[vertex]] += 1
                if excess[vertex] > 0 and vertex != sink and height[vertex] < vertices:
                    following[vertex], bucket[height[vertex]] = bucket[height[vertex]], vertex
                    top = max(top, height[vertex])
        while top >= 0 and bucket[top] < 0:
            top -= 1
        if top < 0:
            break
        vertex = bucket[top]
        bucket[top] = following[vertex]
        while excess[vertex] > 0 and height[vertex] < vertices:
            if current[vertex] < offsets[vertex + 1]:
                place = current[vertex]
                head = heads[place]
                if room[place] == 0 or height[head] != height[vertex] - 1:
                    current[vertex] += 1
                    continue
                some = min(excess[vertex], room[place])
                if room[place] < UNCUTTABLE:
                    room[place] -= some
                if room[back[place]] < UNCUTTABLE:
                    room[back[place]] += some
                if excess[head] == 0 and head != sink:
                    following[head], bucket[height[head]] = bucket[height[head]], head
                excess[vertex] -= some
                excess[head] += some
                continue
            old, least = height[vertex], vertices
            for place in range(offsets[vertex], offsets[vertex + 1]):
                if room[place] > 0:
                    least = min(least, height[heads[place]])
            work += 12 + offsets[vertex + 1] - offsets[vertex]
            current[vertex] = offsets[vertex]
            members[old] -= 1
            if members[old] > 0:
                height[vertex] = min(vertices, least + 1)
            else:  # nothing above leads past the gap
                height[vertex] = vertices
                if work - since > vertices // 4:
                    since = work
                    for other in range(vertices):
                        if old < height[other] < vertices:
                            members[height[other]] -= 1
                            members[vertices] += 1
                            height[other] = vertices
            members[height[vertex]] += 1
            top = max(top, height[vertex]) if height[vertex] < vertices else top
    _distances(sink, offsets, heads, back, room, height)
    return height < vertices
