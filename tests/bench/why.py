"""Why an answer of 100,000 assets is as it is, beside networkx and scipy on the same subgraph; answers compared before they are timed."""

import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import networkx as nx
import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_flow

from graph.index import LineageIndex
from graph.keys import AssetKey, AssetKind
from graph.paths import count_paths, paths
from graph.stores.sqlite import SqliteStore
from graph.topology import Ints, Moment, View
from graph.walk import AssetFilter, Direction, Lineage, selected, walk
from graph.why import Cut, Nearest, Remove, Why
from tests.bench.figures import Figure, measured, ratio, scaled
from tests.bench.filling import filled_sqlite
from tests.bench.mesh import mesh
from tests.bench.world import DAY, NOW, World, world

ASSETS = 220_000
"""Of which the hub reaches some 100,000."""
TURNS = 5
THEIRS = 3
"""Turns of what takes seconds."""
AT_MOST = 50


def figures(folder: Path) -> Iterator[Figure]:
    for made, about in (
        (world(ASSETS), _bottlenecks),
        (world(ASSETS, containers=False), _paths),
        (mesh(), _hard),
    ):
        view, lineage = _hub(folder, made)
        head = f"{made.name}: why, {len(lineage):,} assets downstream of the hub"
        for figure in about(made, view, lineage):
            yield Figure(f"{head}: {figure.what}", figure.values, figure.unit)


def _hub(folder: Path, made: World) -> tuple[View, Lineage]:
    """The answer to what is downstream of the asset read most."""
    store = SqliteStore(filled_sqlite(folder, made))
    index = LineageIndex(store)
    index.load()
    store.close()
    hub = made.keys[int(np.bincount(made.source).argmax())]
    view = index.view()
    return view, walk(view, hub, Direction.DOWNSTREAM, Moment(NOW + DAY, view.revision))


def _bottlenecks(_: World, view: View, lineage: Lineage) -> Iterator[Figure]:
    size = f"{len(lineage):,} assets"
    consumers = selected(lineage, AssetFilter(kinds=(AssetKind.CONSUMER,)))
    why = Why(lineage)
    passages = why.passages(consumers)
    ours = {passage.asset: passage.cuts_off for passage in passages.page(0, len(passages))}
    graph: nx.DiGraph[int] = nx.DiGraph()
    graph.add_edges_from(zip(why.graph.tails.tolist(), why.graph.heads.tolist(), strict=True))
    theirs = _through_ports(why, consumers, nx.immediate_dominators(graph, why.graph.start))
    assert all(ours.get(asset, 0) >= count for asset, count in theirs.items()), "one port cuts off what both do not"
    assert sum(ours[asset] != theirs.get(asset, 0) for asset in ours) <= len(ours) // 100

    first = _figure(f"throughAssets of {size}, with its subgraph", lambda: Why(lineage).passages(consumers).page(0, 10))
    yield first
    other = _figure(
        "immediate dominators of the same in networkx, subgraph at hand",
        lambda: nx.immediate_dominators(graph, why.graph.start),
        THEIRS,
    )
    yield other
    yield ratio("networkx over ours", other.values, first.values[:THEIRS])
    yield _figure("onEveryPath to one of them", lambda: why.chain(int(consumers[-1])))

    network, sink = _network(why, consumers)
    cut = why.cut(consumers)
    assert maximum_flow(network, why.graph.start + len(why.graph.vertices), sink).flow_value == len(cut.members)
    ours_cut = _figure(f"minimalCut of assets ({len(cut.members):,} of them)", lambda: why.cut(consumers))
    yield ours_cut
    scipys = _figure(
        "the same size by scipy's maximum_flow, network at hand",
        lambda: maximum_flow(network, why.graph.start + len(why.graph.vertices), sink),
        THEIRS,
    )
    yield scipys
    yield ratio("scipy over ours", scipys.values, ours_cut.values[:THEIRS])
    yield _figure("minimalCut of flows, nearest the targets", lambda: why.cut(consumers, Remove.FLOWS, Nearest.TARGETS))


def _through_ports(why: Why, targets: Ints, parents: dict[int, int | None]) -> dict[AssetKey, int]:
    """How many targets of one port the single ports of each asset cut off, by the tree that networkx gives."""
    view, wanted = why.lineage.view, set(why.lineage.assets[targets].tolist())
    found: dict[AssetKey, int] = {}
    for vertex, asset in enumerate(why.graph.assets.tolist()):
        if asset in wanted:
            above, seen = parents[vertex], {asset}
            while above is not None and above != why.graph.start:
                over = int(why.graph.assets[above])
                if over not in seen and not why.own[why.place[above]]:
                    seen.add(over)
                    key = view.key(over)
                    found[key] = found.get(key, 0) + 1
                above = parents[above] if parents[above] != above else None
    return found


def _network(why: Why, targets: Ints) -> tuple["csr_array", int]:
    """Each port split in two with room for one, but for what may not go; the last vertex is behind all targets."""
    graph, size = why.graph, len(why.graph.vertices)
    ends = np.isin(graph.assets, why.lineage.assets[targets])
    free = ~ends & ~why.own[why.place] & (why.gate[why.place] == np.arange(size))
    every, sink, much = np.arange(size), 2 * size, 1 << 20
    tails = np.concatenate([every, size + graph.tails, size + every[ends]])
    heads = np.concatenate([size + every, graph.heads, np.full(int(ends.sum()), sink)])
    room = np.concatenate([np.where(free, 1, much), np.full(len(graph.tails) + int(ends.sum()), much)])
    pairs, first = np.unique(tails.astype(np.int64) * (sink + 1) + heads, return_index=True)
    return csr_array((room[first].astype(np.int32), divmod(pairs, sink + 1)), shape=(sink + 1, sink + 1)), sink


def _paths(made: World, view: View, lineage: Lineage) -> Iterator[Figure]:
    """On a graph without containers, where a path of vertices is a path of flows."""
    source, at = lineage.start, lineage.moment
    upstream = np.bincount(made.target, minlength=made.assets)
    number = {key: place for place, key in enumerate(made.keys)}
    consumers = [lineage.key(row) for row in selected(lineage, AssetFilter(kinds=(AssetKind.CONSUMER,))).tolist()]
    target = max(consumers, key=lambda key: (int(upstream[number[key]]), str(key)))
    graph: nx.DiGraph[int] = nx.DiGraph()
    graph.add_edges_from(zip(made.source.tolist(), made.target.tolist(), strict=True))
    ends = number[source], number[target]
    after, before = nx.descendants(graph, ends[0]), nx.ancestors(graph, ends[1])
    between = nx.DiGraph(graph.subgraph((after | {ends[0]}) & (before | {ends[1]})))

    def theirs() -> list[list[int]]:
        chosen = []
        for path in nx.shortest_simple_paths(between, *ends):
            chosen.append(path)
            if len(chosen) == AT_MOST:
                break
        return chosen

    def counted() -> int:
        ways = dict.fromkeys(between, 0)
        ways[ends[0]] = 1
        for vertex in nx.topological_sort(between):
            for onward in between[vertex]:
                ways[onward] += ways[vertex]
        return ways[ends[1]]

    listed = paths(view, source, target, at, at_most=AT_MOST)
    assert [len(path.hops) for path in listed] == [len(path) - 1 for path in theirs()]
    count = count_paths(view, source, target, at)
    assert count.every == counted()
    one = _figure("the shortest path from the hub, from both ends", lambda: paths(view, source, target, at))
    yield one
    networkx = _figure("the same in networkx, from both ends", lambda: nx.bidirectional_shortest_path(graph, *ends))
    yield networkx
    ours = _figure(f"{AT_MOST} shortest paths", lambda: paths(view, source, target, at, at_most=AT_MOST))
    yield ours
    slow = _figure("the same in networkx, subgraph at hand", theirs, THEIRS)
    yield slow
    yield ratio("networkx over ours", slow.values, ours.values[:THEIRS])
    yield _figure(f"count of paths ({len(str(count.every))} digits)", lambda: count_paths(view, source, target, at))
    yield _figure("the same in Python over networkx, subgraph at hand", counted, THEIRS)


def _hard(made: World, view: View, lineage: Lineage) -> Iterator[Figure]:
    """Where every way is long and leads through circles. Each with its subgraph, as a request would ask it."""
    consumers = selected(lineage, AssetFilter(kinds=(AssetKind.CONSUMER,)))
    source, target, at = lineage.start, lineage.key(int(consumers[-1])), lineage.moment
    graph: nx.DiGraph[int] = nx.DiGraph()
    graph.add_edges_from(zip(made.source.tolist(), made.target.tolist(), strict=True))
    ends = made.keys.index(source), made.keys.index(target)

    why = Why(lineage)
    network, sink = _network(why, consumers)
    start = why.graph.start + len(why.graph.vertices)
    cut = why.cut(consumers)
    scipys = _figure(
        "the same size by scipy's maximum_flow, network at hand", lambda: maximum_flow(network, start, sink), 1
    )
    assert maximum_flow(network, start, sink).flow_value == len(cut.members)
    [length] = {len(path.hops) for path in paths(view, source, target, at, at_most=AT_MOST)}
    assert length == len(nx.bidirectional_shortest_path(graph, *ends)) - 1

    yield _figure("throughAssets", lambda: Why(lineage).passages(consumers).page(0, 10))
    for remove in Remove:
        for nearest in Nearest:
            what = f"minimalCut of {remove.lower()}, nearest the {nearest.lower()}"
            yield _figure(what, partial(_cut, lineage, consumers, remove, nearest))
    yield scipys
    yield _figure("the shortest path, from both ends", lambda: paths(view, source, target, at))
    yield _figure("the same in networkx, from both ends", lambda: nx.bidirectional_shortest_path(graph, *ends))
    yield _figure(f"{AT_MOST} shortest paths", lambda: paths(view, source, target, at, at_most=AT_MOST))
    yield _figure("count of the shortest paths", lambda: count_paths(view, source, target, at))


def _cut(lineage: Lineage, targets: Ints, remove: Remove, nearest: Nearest) -> Cut:
    return Why(lineage).cut(targets, remove, nearest)


def _figure(what: str, work: Callable[[], object], turns: int = TURNS) -> Figure:
    work()
    return Figure(what, scaled(measured(work, turns, time.thread_time), 1000), "ms CPU")
