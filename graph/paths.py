"""Paths between two assets: which flows lead from one to the other, shortest first."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from graph.keys import AssetKey
from graph.model import REFINES_FIRST, Basis, Flow
from graph.ports import Port, Step
from graph.topology import Ints, Moment, View
from graph.walk import Direction, FlowFilter, Follow, Reach, allowed, located, reached

if TYPE_CHECKING:  # it takes a tenth of the service's start, and only paths need it
    import networkx as nx


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


_Vertex = tuple[str, int]
"""A key's text and a port: names that do not depend on the order in which a store numbered things."""


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
    first, last = located(view, source, moment), located(view, target, moment)
    if last in {first, view.container[first], *view.parts_of(first)}:
        return []
    down = _hops(view, reached(view, view.whole[[first]], Direction.DOWNSTREAM, moment, follow, flows))
    up = _hops(view, reached(view, view.any[[last]], Direction.UPSTREAM, moment, follow, flows))
    between = (down >= 0) & (up >= 0)
    if at_most == 1:  # only what lies on some shortest path
        between &= down + up == down[view.any[last]]
    if not between[view.any[last]]:
        return []
    graph, hops = _subgraph(view, between, moment, follow, flows)
    ends = _name(view, int(view.whole[first])), _name(view, int(view.any[last]))
    found: dict[Path, None] = {}
    for vertices in _shortest_first(graph, *ends, at_most):
        found.setdefault(_path(view, vertices, hops))
        if len(found) == at_most:
            break
    return sorted(found, key=lambda path: (len(path.hops), [str(hop.flow) for hop in path.hops]))


def _hops(view: View, reach: Reach) -> Ints:
    hops = np.full(view.vertices, -1, np.int32)
    hops[reach.vertices] = reach.hops
    return hops


def _shortest_first(
    graph: "nx.DiGraph[_Vertex]", source: _Vertex, target: _Vertex, at_most: int
) -> Iterator[list[_Vertex]]:
    import networkx as nx  # noqa: PLC0415

    if at_most == 1:
        yield nx.dijkstra_path(graph, source, target)
    else:
        yield from nx.shortest_simple_paths(graph, source, target, weight="weight")


class _Crossing(NamedTuple):
    via: int
    strength: int


def _subgraph(
    view: View,
    between: "np.ndarray[tuple[int], np.dtype[np.bool_]]",
    moment: Moment,
    follow: Follow,
    flows: FlowFilter | None,
) -> "tuple[nx.DiGraph[_Vertex], dict[tuple[_Vertex, _Vertex], _Crossing]]":
    rows = view.holding(view.down.of_many(np.nonzero(between)[0]), moment)
    rows = allowed(view, follow, flows).of(view, rows)
    rows = rows[between[view.rows["target"][rows]]]
    columns = [view.rows[name][rows].tolist() for name in ("source", "target", "via", "strength", "step")]
    edges: dict[tuple[_Vertex, _Vertex], int] = {}
    hops: dict[tuple[_Vertex, _Vertex], _Crossing] = {}
    for source, target, via, strength, step in zip(*columns, strict=True):
        pair = _name(view, source), _name(view, target)
        edges[pair] = min(edges.get(pair, 1), 1 if step & Step.FLOW else 0)
        if step & Step.FLOW:
            crossing = _Crossing(via, strength)
            best = hops.get(pair)
            hops[pair] = crossing if best is None else min(crossing, best, key=lambda c: (c.strength, view.keys[c.via]))
    import networkx as nx  # noqa: PLC0415

    graph: nx.DiGraph[_Vertex] = nx.DiGraph()
    graph.add_weighted_edges_from((source, target, edges[source, target]) for source, target in sorted(edges))
    return graph, {pair: crossing for pair, crossing in hops.items() if edges[pair]}


def _name(view: View, vertex: int) -> _Vertex:
    return view.keys[int(view.vertex_asset[vertex])], int(view.vertex_port[vertex])


def _path(view: View, vertices: Sequence[_Vertex], hops: "dict[tuple[_Vertex, _Vertex], _Crossing]") -> Path:
    """The flows crossed; one from an alias is told as leaving from its version, one of requests from the feature carried."""
    path: list[Hop] = []
    leaving = AssetKey.parse(vertices[0][0])
    for source, target in pairwise(vertices):
        key = AssetKey.parse(source[0])
        if source[1] != Port.REQUESTS and not key.is_alias:
            leaving = key
        crossing = hops.get((source, target))
        if crossing is not None:
            stored = Flow(key, AssetKey.parse(target[0]), view.key(crossing.via) if crossing.via else None)
            basis = Basis.INFERRED if source[1] == Port.REQUESTS else REFINES_FIRST[crossing.strength]
            path.append(Hop(Flow(leaving, stored.target, stored.via), basis, stored))
    return Path(tuple(path))
