"""The part of the graph that an answer walked: its ports, numbered from 0, and the arcs between them.

Here aliases and what requests carry are resolved: a flow that leaves from an alias leaves from the version that it names,
and what a served version needs flows from the feature straight to the deployment, as paths tell it. So every vertex is
a port of an asset, and every arc is a step (between ports, or part and container) or a flow that can be told. Assets that are the
same are one.
"""

from dataclasses import dataclass

import numpy as np

from graph.model import REFINES_FIRST, Basis
from graph.ports import Port, Step
from graph.same import groups_at
from graph.topology import ALIAS_CODE, Bools, Ints, Moment, View
from graph.walk import Direction, FlowFilter, Follow, Met, allowed

_INFERRED = REFINES_FIRST.index(Basis.INFERRED)


@dataclass(frozen=True, slots=True)
class Subgraph:
    """Columns by vertex: `vertices` (their numbers in the view, ascending), `assets`, `hops` from the start.

    Columns by arc: `tails` and `heads` (places in `vertices`) lead away from the start, whatever the direction; `flow`
    tells flows from steps; and of a flow `strength` (as in REFINES_FIRST), `via` and `stored`, the asset that its assertion
    leaves from: the upstream end itself, or the alias or version that stands between; `reaches` is the asset that it reaches.
    """

    view: View
    moment: Moment
    start: int
    """The place of the first vertex."""
    vertices: Ints
    assets: Ints
    hops: Ints
    tails: Ints
    heads: Ints
    flow: Bools
    strength: Ints
    via: Ints
    stored: Ints
    reaches: Ints

    def within(self, keep: Bools) -> "Subgraph":
        """Only the vertices to keep, the first among them."""
        place = np.cumsum(keep) - 1
        arcs = keep[self.tails] & keep[self.heads]
        return Subgraph(
            self.view,
            self.moment,
            int(place[self.start]),
            self.vertices[keep],
            self.assets[keep],
            self.hops[keep],
            place[self.tails[arcs]],
            place[self.heads[arcs]],
            self.flow[arcs],
            self.strength[arcs],
            self.via[arcs],
            self.stored[arcs],
            self.reaches[arcs],
        )


def walked(met: Met) -> Subgraph:
    """What was met, with all that was followed."""
    view, downstream = met.view, met.direction is Direction.DOWNSTREAM
    order = np.argsort(met.vertices)
    vertices, hops = met.vertices[order], met.states[order] >> 1
    rows = (view.down if downstream else view.up).of_many(vertices)
    rows = allowed(view, met.follow, met.flows).of(view, view.holding(rows, met.moment))
    near, far = ("source", "target") if downstream else ("target", "source")
    tails, heads = (_places(view, vertices, view.rows[end][rows]) for end in (near, far))
    followed = heads >= 0
    if met.depth is not None:
        followed &= (view.rows["step"][rows] & Step.FLOW == 0) | (hops[tails] < met.depth)
    start = int(np.searchsorted(vertices, met.first))
    return _made(view, met.moment, start, vertices, hops, rows[followed], tails[followed], heads[followed], downstream)


def among(
    view: View,
    start: int,
    vertices: Ints,
    moment: Moment,
    follow: Follow = Follow.VALUES,
    flows: FlowFilter | None = None,
) -> Subgraph:
    """These vertices (ascending), and all between them downstream; costs nothing for the rest of the graph.

    It does not tell hops: they are 0.
    """
    rows = allowed(view, follow, flows).of(view, view.holding(view.down.of_many(vertices), moment))
    tails, heads = (_places(view, vertices, view.rows[end][rows]) for end in ("source", "target"))
    inside = heads >= 0
    rows, tails, heads = rows[inside], tails[inside], heads[inside]
    hops = np.zeros(len(vertices), np.int32)
    return _made(view, moment, int(np.searchsorted(vertices, start)), vertices, hops, rows, tails, heads, True)


def _places(view: View, vertices: Ints, ends: Ints) -> Ints:
    """Of each end its place among the vertices (ascending); -1 for none."""
    if len(ends) * 64 > view.vertices:
        place = np.full(view.vertices, -1, np.int32)
        place[vertices] = np.arange(len(vertices), dtype=np.int32)
        return place[ends]
    places = np.minimum(np.searchsorted(vertices, ends), len(vertices) - 1)
    found: Ints = np.where(vertices[places] == ends, places, -1)
    return found


def _made(
    view: View,
    moment: Moment,
    start: int,
    vertices: Ints,
    hops: Ints,
    rows: Ints,
    tails: Ints,
    heads: Ints,
    downstream: bool,
) -> Subgraph:
    leaves = view.rows["source"][rows]
    whole = Subgraph(
        view,
        moment,
        start,
        vertices,
        view.vertex_asset[vertices],
        hops,
        tails,
        heads,
        view.rows["step"][rows] & Step.FLOW != 0,
        np.where(view.vertex_port[leaves] == Port.REQUESTS, _INFERRED, view.rows["strength"][rows]),
        view.rows["via"][rows],
        view.vertex_asset[leaves],
        view.vertex_asset[view.rows["target"][rows]],
    )
    return _unified(_resolved(whole, downstream))


def _unified(graph: Subgraph) -> Subgraph:
    """With one vertex for the ports of all assets that are the same."""
    view, groups = graph.view, groups_at(graph.view, graph.moment)
    if not groups.are_some(graph.assets).any():
        return graph
    shown = groups.ports(view, graph.vertices)
    vertices, first, place = np.unique(shown, return_index=True, return_inverse=True)
    tails, heads = place[graph.tails], place[graph.heads]
    steps = np.flatnonzero(~graph.flow)
    once = np.unique(tails[steps].astype(np.int64) * len(vertices) + heads[steps], return_index=True)[1]
    arcs = np.sort(np.concatenate([np.flatnonzero(graph.flow), steps[once]]))
    arcs = arcs[tails[arcs] != heads[arcs]]
    return Subgraph(
        view,
        graph.moment,
        int(place[graph.start]),
        vertices,
        view.vertex_asset[vertices],
        graph.hops[first],
        tails[arcs],
        heads[arcs],
        graph.flow[arcs],
        graph.strength[arcs],
        graph.via[arcs],
        graph.stored[arcs],
        graph.reaches[arcs],
    )


def _resolved(graph: Subgraph, downstream: bool) -> Subgraph:
    """Without aliases and what requests carry: each flow out of one leaves from what leads there."""
    view = graph.view
    stands = (view.kind[graph.assets] == ALIAS_CODE) | (view.vertex_port[graph.vertices] == Port.REQUESTS)
    if not stands.any():
        return graph
    upper, lower = (graph.tails, graph.heads) if downstream else (graph.heads, graph.tails)
    into: dict[int, list[int]] = {}
    for arc in np.nonzero(stands[lower])[0].tolist():
        into.setdefault(int(lower[arc]), []).append(int(upper[arc]))

    def leading_to(vertex: int) -> list[int]:
        found: list[int] = []
        for before in into.get(vertex, ()):
            found += leading_to(before) if stands[before] else [before]
        return list(dict.fromkeys(found))

    out = np.nonzero(stands[upper] & ~stands[lower])[0]
    sources = {vertex: leading_to(vertex) for vertex in np.unique(upper[out]).tolist()}
    arcs = [(arc, source) for arc in out.tolist() for source in sources[int(upper[arc])]]
    kept = np.nonzero(~stands[upper] & ~stands[lower])[0]
    chosen = np.concatenate([kept, np.array([arc for arc, _ in arcs], np.int64)])
    upper = np.concatenate([upper[kept], np.array([source for _, source in arcs], np.int64)])
    lower = lower[chosen]
    tails, heads = (upper, lower) if downstream else (lower, upper)
    resolved = Subgraph(
        view,
        graph.moment,
        graph.start,
        graph.vertices,
        graph.assets,
        graph.hops,
        tails,
        heads,
        graph.flow[chosen],
        graph.strength[chosen],
        graph.via[chosen],
        graph.stored[chosen],
        graph.reaches[chosen],
    )
    return resolved.within(~stands)
