"""The cheapest cut of a network, and which of several: as networkx says."""

import networkx as nx
import numpy as np
from hypothesis import assume, event, given
from hypothesis import strategies as st

from graph.maxflow import UNCUTTABLE, Network
from tests.bench.mesh import mesh

VERTICES = 9
vertices = st.integers(0, VERTICES - 1)
arcs = st.lists(st.tuples(vertices, vertices), max_size=14)
prices = st.sampled_from([0, 3, 4, 6, 12, 12, 12, UNCUTTABLE])
ends_of = st.sets(st.integers(1, VERTICES - 1), min_size=1, max_size=2)


def priced(arcs: list[tuple[int, int]], items: list[tuple[int, int, int]], ends: set[int]) -> "nx.DiGraph[int]":
    """From 0 to VERTICES; an arc without capacity is never cut."""
    graph: nx.DiGraph[int] = nx.DiGraph()
    graph.add_nodes_from(range(VERTICES + 1))
    for tail, head, price in items:
        room = int(graph.get_edge_data(tail, head, {}).get("capacity", 0))
        graph.add_edge(tail, head, capacity=room + price)
    graph.add_edges_from((tail, head, {"capacity": UNCUTTABLE}) for tail, head in arcs)
    graph.add_edges_from((end, VERTICES, {"capacity": UNCUTTABLE}) for end in ends)
    graph.remove_edges_from(list(nx.selfloop_edges(graph)))
    return graph


@given(arcs, st.lists(st.tuples(vertices, vertices, prices), min_size=1, max_size=24), ends_of)
def test_the_cheapest_cuts_are_those_of_networkx(
    open_arcs: list[tuple[int, int]], items: list[tuple[int, int, int]], ends: set[int]
) -> None:
    without_items = priced(open_arcs, [], ends)
    assume(not nx.has_path(without_items, 0, VERTICES))  # a network is only asked about what items alone lead to
    graph = priced(open_arcs, items, ends)
    tails, heads = (np.array([*(arc[end] for arc in open_arcs), *(item[end] for item in items)]) for end in (0, 1))
    network = Network(0, np.array(sorted(ends)), tails, heads, len(items), VERTICES)
    costs = np.array([price for _, _, price in items])
    far, beyond = nx.minimum_cut(graph, 0, VERTICES)
    near, behind = nx.minimum_cut(graph.reverse(), VERTICES, 0)
    assert far == near
    for near_root, side in ((True, behind[1]), (False, beyond[0])):
        found = network.cheapest(costs, near_root)
        if far >= UNCUTTABLE:
            assert found.price == UNCUTTABLE
            event("nothing separates them")
            continue
        assert found.price == far == costs[found.items].sum()
        cut = {number for number in found.items.tolist() if items[number][2]}
        across = {n for n, (tail, head, price) in enumerate(items) if price and tail in side and head not in side}
        assert cut == across
        event(f"{min(len(cut), 3)} or more are cut")


def test_of_a_mesh_with_circles_the_cut_is_as_great_as_the_flow() -> None:
    made = mesh(layers=8, width=60)
    ends = np.arange(made.assets - 60, made.assets)
    network = Network(0, ends, made.source, made.target, len(made.source), made.assets)
    graph: nx.DiGraph[int] = nx.DiGraph()
    graph.add_edges_from(zip(made.source.tolist(), made.target.tolist(), strict=True), capacity=1)
    graph.add_edges_from((end, -1) for end in ends.tolist())
    flow = nx.maximum_flow_value(graph, 0, -1)
    for near_root in (True, False):
        assert network.cheapest(np.ones(len(made.source), np.int64), near_root).price == flow
