"""Dominators, removals and distances in a directed graph, compiled by Numba.

A graph is `offsets` and `heads`: the arcs out of vertex v end at heads[offsets[v]:offsets[v + 1]].
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np
from numba import njit

from graph.errors import InvalidInput
from graph.topology import Ints

_F = TypeVar("_F", bound=Callable[..., Any])


def compiled(function: _F) -> _F:
    return cast("_F", njit(cache=True, nogil=True)(function))


def adjacency(tails: Ints, heads: Ints, vertices: int) -> tuple[Ints, Ints, Ints]:
    """Offsets, heads, and which arc each entry is, in the order given."""
    made: tuple[Ints, Ints, Ints] = _adjacency(tails.astype(np.int32), heads.astype(np.int32), vertices)
    return made


@compiled
def _adjacency(tails: Any, heads: Any, vertices: int) -> tuple[Any, Any, Any]:
    offsets = np.zeros(vertices + 1, np.int32)
    for arc in range(len(tails)):
        offsets[tails[arc] + 1] += 1
    for vertex in range(vertices):
        offsets[vertex + 1] += offsets[vertex]
    free = offsets[:-1].copy()
    ends, arcs = np.empty(len(tails), np.int32), np.empty(len(tails), np.int32)
    for arc in range(len(tails)):
        place = free[tails[arc]]
        free[tails[arc]] += 1
        ends[place], arcs[place] = heads[arc], arc
    return offsets, ends, arcs


def distinct(values: Ints) -> Ints:
    """Each value once, ascending. numpy's `unique` hashes integers, which takes ten times as long for such as these."""
    ordered = np.sort(values)
    once: Ints = ordered[np.concatenate([[True], ordered[1:] != ordered[:-1]])] if len(ordered) else ordered
    return once


def distinct_arcs(tails: Ints, heads: Ints, vertices: int) -> tuple[Ints, Ints]:
    """Each arc once, by tail and then by head: sorted by counting, in time proportional to arcs and vertices."""
    _, tails, by_head = adjacency(heads, tails, vertices)
    _, _, by_tail = adjacency(tails, tails, vertices)
    tails, heads = tails[by_tail], heads[by_head[by_tail]]
    new = np.ones(len(tails), np.bool_)
    new[1:] = (tails[1:] != tails[:-1]) | (heads[1:] != heads[:-1])
    return tails[new], heads[new]


class Tree(NamedTuple):
    """The dominator tree: `parent` of each vertex (-1 at the root and where nothing leads).

    `order` lists what is reached so that parents stand before children. The vertices below v are those with
    first[v] <= first[x] < last[v]. `topological` lists what is reached with each arc leading on, but for cycles: then
    `cyclic`.
    """

    parent: Ints
    order: Ints
    first: Ints
    last: Ints
    topological: Ints
    cyclic: bool


def dominator_tree(root: int, offsets: Ints, heads: Ints) -> Tree:
    """Each vertex's nearest one through which every path from the root leads (Lengauer and Tarjan, 1979)."""
    return Tree(*_dominator_tree(root, offsets, heads))


@compiled
def _find(vertex: int, ancestor: Any, label: Any, semi: Any, stack: Any) -> int:
    """The vertex with the least semidominator on the way up from `vertex`; shortens that way."""
    height = 0
    above = vertex
    while ancestor[above] >= 0 and ancestor[ancestor[above]] >= 0:
        stack[height] = above
        height += 1
        above = ancestor[above]
    while height > 0:
        height -= 1
        each = stack[height]
        over = ancestor[each]
        if semi[label[over]] < semi[label[each]]:
            label[each] = label[over]
        ancestor[each] = ancestor[over]
    return int(label[vertex])


@compiled
def _dominator_tree(root: int, offsets: Any, heads: Any) -> tuple[Any, Any, Any, Any, Any, bool]:
    vertices = len(offsets) - 1
    number = np.full(vertices, -1, np.int32)
    order, up = np.empty(vertices, np.int32), np.full(vertices, -1, np.int32)
    post, done = np.full(vertices, -1, np.int32), np.empty(vertices, np.int32)
    arc, path = offsets[:-1].copy(), np.empty(vertices, np.int32)
    count, finished, height, cyclic = 1, 0, 1, False
    number[root], order[0], path[0] = 0, root, root
    while height > 0:
        vertex = path[height - 1]
        if arc[vertex] < offsets[vertex + 1]:
            head = heads[arc[vertex]]
            arc[vertex] += 1
            if number[head] < 0:
                number[head], order[count], up[count] = count, head, number[vertex]
                count += 1
                path[height] = head
                height += 1
            elif post[head] < 0:
                cyclic = True
        else:
            post[vertex] = finished
            done[finished] = vertex
            finished += 1
            height -= 1
    order = order[:count]
    topological = done[:finished][::-1].copy()

    before = np.zeros(count + 1, np.int32)  # arcs by head, all in numbers of the search
    for each in range(count):
        vertex = order[each]
        for place in range(offsets[vertex], offsets[vertex + 1]):
            before[number[heads[place]] + 1] += 1
    for each in range(count):
        before[each + 1] += before[each]
    free, sources = before[:-1].copy(), np.empty(before[count], np.int32)
    for each in range(count):
        vertex = order[each]
        for place in range(offsets[vertex], offsets[vertex + 1]):
            head = number[heads[place]]
            sources[free[head]] = each
            free[head] += 1

    semi, label = np.arange(count).astype(np.int32), np.arange(count).astype(np.int32)
    ancestor, above = np.full(count, -1, np.int32), np.zeros(count, np.int32)
    bucket, following = np.full(count, -1, np.int32), np.full(count, -1, np.int32)
    stack = np.empty(count, np.int32)
    for each in range(count - 1, 0, -1):
        least = semi[each]
        for place in range(before[each], before[each + 1]):
            found = semi[_find(sources[place], ancestor, label, semi, stack)]
            least = min(least, found)
        semi[each] = least
        following[each], bucket[least] = bucket[least], each
        over = up[each]
        ancestor[each] = over
        waiting = bucket[over]
        while waiting >= 0:
            found = _find(waiting, ancestor, label, semi, stack)
            above[waiting] = found if semi[found] < semi[waiting] else over
            waiting = following[waiting]
        bucket[over] = -1
    for each in range(1, count):
        if above[each] != semi[each]:
            above[each] = above[above[each]]

    size = np.ones(count, np.int32)
    for each in range(count - 1, 0, -1):
        size[above[each]] += size[each]
    begin, inner = np.zeros(count, np.int32), np.ones(count, np.int32)
    for each in range(1, count):
        begin[each] = inner[above[each]]
        inner[above[each]] += size[each]
        inner[each] = begin[each] + 1
    parent = np.full(vertices, -1, np.int32)
    first, last = np.zeros(vertices, np.int32), np.zeros(vertices, np.int32)
    for each in range(count):
        vertex = order[each]
        if each > 0:
            parent[vertex] = order[above[each]]
        first[vertex], last[vertex] = begin[each], begin[each] + size[each]
    return parent, order, first, last, topological, cyclic


WORDS = 8
"""How many pairs are removed in one pass: 64 a word, a cache line a vertex."""


@compiled
def lost_without_pairs(
    root: int, topological: Any, cyclic: bool, before: Any, tails: Any, pairs: Any, weights: Any, lost: Any
) -> None:
    """Adds to lost[i, k] the weights[k] of the vertices that are not reached when the pairs[i] are removed.

    The arcs into vertex v leave tails[before[v]:before[v + 1]]. 512 pairs at a time: a vertex has a bit for each removal that it survives.
    """
    vertices = len(before) - 1
    alive = np.empty((vertices, WORDS), np.uint64)
    place = np.full(vertices, -1, np.int32)
    one, every, none = np.uint64(1), ~np.uint64(0), np.uint64(0)
    for low in range(0, len(pairs), 64 * WORDS):
        high = min(low + 64 * WORDS, len(pairs))
        words = (high - low + 63) // 64
        for pair in range(low, high):
            place[pairs[pair, 0]] = place[pairs[pair, 1]] = pair - low
        alive[:, :words] = none
        alive[root, :words] = every
        found = np.empty(WORDS, np.uint64)
        changed = True
        while changed:
            changed = False
            for vertex in topological:
                if vertex == root:
                    continue
                found[:words] = none
                for arc in range(before[vertex], before[vertex + 1]):
                    for word in range(words):
                        found[word] |= alive[tails[arc], word]
                if place[vertex] >= 0:
                    found[place[vertex] >> 6] &= ~(one << np.uint64(place[vertex] & 63))
                for word in range(words):
                    if found[word] != alive[vertex, word]:
                        alive[vertex, word] = found[word]
                        changed = True
            changed &= cyclic
        for vertex in topological:
            heavy = False
            for kind in range(len(weights)):
                heavy |= weights[kind, vertex] != 0
            if not heavy:
                continue
            for word in range(words):
                dead = ~alive[vertex, word]
                while dead != none:
                    lowest = dead & (~dead + one)
                    dead ^= lowest
                    bit = 0
                    while lowest > one:
                        lowest >>= one
                        bit += 1
                    pair = low + 64 * word + bit
                    if pair < high:
                        for kind in range(len(weights)):
                            lost[pair, kind] += weights[kind, vertex]
        for pair in range(low, high):
            place[pairs[pair, 0]] = place[pairs[pair, 1]] = -1


@compiled
def spread(starts: Any, offsets: Any, heads: Any, arcs: Any, closed: Any) -> Any:
    """What is reached from `starts` without taking an arc that is `closed`."""
    vertices = len(offsets) - 1
    seen, queue = np.zeros(vertices, np.bool_), np.empty(vertices, np.int32)
    last = 0
    for start in starts:
        if not seen[start]:
            seen[start] = True
            queue[last] = start
            last += 1
    first = 0
    while first < last:
        vertex = queue[first]
        first += 1
        for place in range(offsets[vertex], offsets[vertex + 1]):
            head = heads[place]
            if not seen[head] and not closed[arcs[place]]:
                seen[head] = True
                queue[last] = head
                last += 1
    return seen


@compiled
def distances(starts: Any, offsets: Any, heads: Any, arcs: Any, cost: Any) -> Any:
    """The least cost (0 or 1 an arc) from `starts` to each vertex; -1 where nothing leads."""
    vertices = len(offsets) - 1
    found = np.full(vertices, -1, np.int32)
    now, later = np.empty(vertices, np.int32), np.empty(len(heads), np.int32)
    waiting = 0
    for start in starts:
        if found[start] < 0:
            found[start] = 0
            now[waiting] = start
            waiting += 1
    distance = 0
    while waiting > 0:
        ahead, place = 0, 0
        while place < waiting:
            vertex = now[place]
            place += 1
            for entry in range(offsets[vertex], offsets[vertex + 1]):
                head = heads[entry]
                if found[head] < 0:
                    if cost[arcs[entry]] == 0:
                        found[head] = distance
                        now[waiting] = head
                        waiting += 1
                    else:
                        later[ahead] = head
                        ahead += 1
        distance += 1
        waiting = 0
        for entry in range(ahead):
            head = later[entry]
            if found[head] < 0:
                found[head] = distance
                now[waiting] = head
                waiting += 1
    return found


@compiled
def topological(starts: Any, offsets: Any, heads: Any) -> tuple[Any, bool]:
    """What `starts` lead to, each before what it leads to; and whether there is a cycle, so that no such order is."""
    vertices = len(offsets) - 1
    state = np.zeros(vertices, np.int8)  # 1: on the path, 2: left for good
    arc, path, done = offsets[:-1].copy(), np.empty(vertices, np.int32), np.empty(vertices, np.int32)
    finished, cyclic = 0, False
    for start in starts:
        if state[start] != 0:
            continue
        path[0], state[start], height = start, 1, 1
        while height > 0:
            vertex = path[height - 1]
            if arc[vertex] < offsets[vertex + 1]:
                head = heads[arc[vertex]]
                arc[vertex] += 1
                if state[head] == 0:
                    state[head], path[height] = 1, head
                    height += 1
                elif state[head] == 1:
                    cyclic = True
            else:
                state[vertex] = 2
                done[finished] = vertex
                finished += 1
                height -= 1
    return done[:finished][::-1].copy(), cyclic


MOST_BITS = 1 << 17
"""Of a number of paths: some 39,000 digits."""
_LIMBS, _BITS = 8, 56
"""So many limbs of so many bits are counted at a time, for all vertices: a cache line each."""


def count_paths(starts: Ints, ends: Ints, order: Ints, before: Ints, tails: Ints) -> int:
    """How many paths lead from `starts` to `ends`, one of no arc included, in a graph without cycles in topological `order`.

    The arcs into vertex v leave tails[before[v]:before[v + 1]]. Raises InvalidInput for a number of more than MOST_BITS.
    """
    rank, before, tails = _in_order(order, before, tails)
    starts, ends = rank[starts], rank[ends]
    starts, ends = starts[starts >= 0], ends[ends >= 0]
    bits = max(_bits(starts, before, tails)[ends], default=0.0)
    if bits > MOST_BITS:
        raise InvalidInput(f"there are more than 2 to the power of {MOST_BITS} paths: too many to count", int(bits))
    carry = np.zeros(len(order), np.uint64)
    carry[starts] = 1
    parts: list[Ints] = []
    while len(parts) * _BITS * _LIMBS < bits + 2:
        parts.append(_counts(before, tails, carry, _LIMBS)[ends])
    limbs = np.concatenate(parts, axis=1).astype("<u8").view(np.uint8).reshape(len(ends), -1, 8)[:, :, : _BITS // 8]
    return sum(int.from_bytes(row.tobytes(), "little") for row in limbs)


@compiled
def _in_order(order: Any, before: Any, tails: Any) -> tuple[Any, Any, Any]:
    """Vertices by their place in `order` (-1: none), and the arcs in these numbers: neighbours are near in memory."""
    rank = np.full(len(before) - 1, -1, np.int32)
    for place in range(len(order)):
        rank[order[place]] = place
    offsets, found, count = np.zeros(len(order) + 1, np.int32), np.empty(len(tails), np.int32), 0
    for place in range(len(order)):
        for arc in range(before[order[place]], before[order[place] + 1]):
            if rank[tails[arc]] >= 0:
                found[count] = rank[tails[arc]]
                count += 1
        offsets[place + 1] = count
    return rank, offsets, found[:count]


@compiled
def _bits(starts: Any, before: Any, tails: Any) -> Any:
    """The logarithm to base 2 of the number of paths to each vertex, near enough to know how much room they take."""
    vertices = len(before) - 1
    logarithm, starting = np.full(vertices, -np.inf), np.zeros(vertices, np.bool_)
    for start in starts:
        starting[start] = True
    for vertex in range(vertices):
        most = 0.0 if starting[vertex] else -np.inf
        for arc in range(before[vertex], before[vertex + 1]):
            most = max(most, logarithm[tails[arc]])
        if most == -np.inf:
            continue
        total = 2.0**-most if starting[vertex] else 0.0
        for arc in range(before[vertex], before[vertex + 1]):
            total += 2.0 ** (logarithm[tails[arc]] - most)
        logarithm[vertex] = most + np.log2(total)
    return logarithm


@compiled
def _counts(before: Any, tails: Any, carry: Any, limbs: int) -> Any:
    """The next limbs (the least first) of the number of paths to each vertex; `carry` is what went before."""
    vertices = len(before) - 1
    counts = np.zeros((vertices, limbs), np.uint64)
    width, most = np.uint64(_BITS), np.uint64((1 << _BITS) - 1)
    for vertex in range(vertices):
        added, out = 0, np.uint64(0)
        for arc in range(before[vertex], before[vertex + 1]):
            for limb in range(limbs):
                counts[vertex, limb] += counts[tails[arc], limb]
            added += 1
            if added == 200:  # 256 numbers of 56 bits fit into 64
                added, over = 1, np.uint64(0)
                for limb in range(limbs):
                    over += counts[vertex, limb]
                    counts[vertex, limb] = over & most
                    over >>= width
                out += over
        over = carry[vertex]
        for limb in range(limbs):
            over += counts[vertex, limb]
            counts[vertex, limb] = over & most
            over >>= width
        carry[vertex] = out + over
    return counts
