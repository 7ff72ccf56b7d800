"""Walks beside what others would use, on a graph without containers: there a walk is the same for everybody.

Raw Cypher runs on the very relationships that Headwater keeps in Neo4j, recursive SQL on the very rows it keeps in SQLite,
networkx on the same flows. All answers are compared first: the same assets, and the same distances where a peer has them.
"""

import sqlite3
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import networkx as nx
import numpy as np
from neo4j import Driver, Record

from graph.index import LineageIndex
from graph.keys import AssetKind
from graph.model import Relationship
from graph.paths import paths
from graph.stores.contract import Store
from graph.stores.neo4j import Neo4jStore
from graph.stores.sqlite import SqliteStore
from graph.topology import Moment
from graph.walk import Direction, Lineage
from tests.bench.figures import Figure
from tests.bench.filling import filled_neo4j, filled_sqlite
from tests.bench.limit import built
from tests.bench.processes import children, cpu_seconds
from tests.bench.walks import DOWN, SMALL, UP, US, Asked, Work, compared, side_by_side
from tests.bench.world import DAY, NOW, World, world
from tests.stores import cypher

FEW = 5
"""Starts of one turn, since the slowest peer takes long."""

_TYPES = "|".join(Relationship)
_FLOWS = f"[:{_TYPES}*1..60]"
_HOPS = {
    DOWN: f"MATCH p = (a:Key {{key: $key}})-{_FLOWS}->(b)",
    UP: f"MATCH p = (b)-{_FLOWS}->(a:Key {{key: $key}})",
}
# One row: a record of its own for each asset costs ten times as much as the search.
_CYPHER = {
    way: f"{match} WITH b, min(length(p)) AS hops RETURN collect(b.number), collect(hops)"
    for way, match in _HOPS.items()
}
_CYPHER_PATH = f"MATCH p = shortestPath((:Key {{key: $source}})-{_FLOWS}->(:Key {{key: $target}})) RETURN length(p)"

_SQL = {
    DOWN: "WITH RECURSIVE reached (number) AS (VALUES (?) UNION"
    " SELECT f.target FROM reached r JOIN flow f ON f.source = r.number) SELECT number FROM reached",
    UP: "WITH RECURSIVE reached (number) AS (VALUES (?) UNION"
    " SELECT f.source FROM reached r JOIN flow f ON f.target = r.number) SELECT number FROM reached",
}
_SQL_HOP = {
    DOWN: "INSERT OR IGNORE INTO reached SELECT f.target, :hop + 1 FROM reached r JOIN flow f ON f.source = r.number WHERE r.hop = :hop",
    UP: "INSERT OR IGNORE INTO reached SELECT f.source, :hop + 1 FROM reached r JOIN flow f ON f.target = r.number WHERE r.hop = :hop",
}


@dataclass(frozen=True)
class Peer:
    name: str
    ask: Callable[[Direction, int], object]
    """What is timed: the answer in whatever form is fastest."""
    told: Callable[[Direction, int], Mapping[int, int] | Collection[int]]
    """The same as the assets reached, with their hops where the peer knows them."""
    path: Callable[[int, int], int] | None = None
    """The flows of a shortest path."""
    clock: Callable[[], float] = time.process_time
    least_seconds: float = 0.02

    def work(self, ask: Callable[[], object]) -> Work:
        return Work(ask, self.clock, self.least_seconds)


def figures(folder: Path, assets: int, neo4j: bool = True) -> Iterator[Figure]:
    """`neo4j` also asks a Neo4j that is filled with the same graph."""
    made = world(assets, containers=False)
    path = filled_sqlite(folder, made)
    with closing(SqliteStore(path)) as store, ExitStack() as open_:
        asked = _asked(store, folder)
        peers = [_networkx(made), *_sql(open_.enter_context(closing(sqlite3.connect(path, isolation_level=None))))]
        also = None
        if neo4j:
            url = open_.enter_context(filled_neo4j(folder, made))
            with closing(Neo4jStore(url, request_deadline=60)) as server:
                also = _asked(server, folder)
            peers.append(_cypher(open_.enter_context(cypher(url)), made))
        yield from _beside(made, asked, also, peers)


def _asked(store: Store, folder: Path) -> Asked:
    index = LineageIndex(store)
    index.load()
    return Asked(index.view(), Moment(NOW + DAY, index.revision), built(folder))


def _beside(made: World, asked: Asked, over_neo4j: Asked | None, peers: Sequence[Peer]) -> Iterator[Figure]:
    number_of = {str(key): number for number, key in enumerate(made.keys)}
    hub = asked.hub
    small = asked.of_size(DOWN, lambda many: 0.8 * SMALL < many < 1.2 * SMALL)[:FEW]
    consumers = asked.of_size(UP, lambda many: many > 0, [AssetKind.CONSUMER])[:FEW]
    for what, direction, starts in (
        ("downstream of the hub", DOWN, [hub]),
        (f"downstream of an asset with {SMALL} readers", DOWN, small),
        ("upstream of a consumer", UP, consumers),
    ):
        sizes = [asked.same(start, direction) for start in starts]
        numbers = [number_of[asked.view.keys[start]] for start in starts]
        for start, number in zip(starts, numbers, strict=True):
            _refuse_other_answers(made, asked, start, number, direction, [*peers], over_neo4j)
        ours = asked.ask_all(direction, starts)
        works = dict(ours)
        if over_neo4j:
            again = [over_neo4j.view.number(asked.view.key(start)) for start in starts]
            works[f"{US} over Neo4j"] = over_neo4j.ask_all(direction, again)[US]
        for peer in peers:
            works[peer.name] = peer.work(partial(_ask_each, peer, direction, numbers))
        head = f"{made.name}, no containers: {what}, {int(np.median(sizes)):,} assets"
        yield from compared(head, side_by_side(works, each=len(starts)))
    yield from _shortest_paths(made, asked, peers, hub, number_of)


def _ask_each(peer: Peer, direction: Direction, numbers: Sequence[int]) -> None:
    for number in numbers:
        peer.ask(direction, number)


def _refuse_other_answers(
    made: World, asked: Asked, start: int, number: int, direction: Direction, peers: Sequence[Peer], also: Asked | None
) -> None:
    ours = _hops_by_key(asked.ours(start, direction))
    if also:
        theirs = _hops_by_key(also.ours(also.view.number(asked.view.key(start)), direction))
        assert theirs == ours, f"{asked.view.keys[start]}: the index over Neo4j answers otherwise"
    for peer in peers:
        told = peer.told(direction, number)
        same = (
            {str(made.keys[each]): hops for each, hops in told.items()} == ours
            if isinstance(told, Mapping)
            else {str(made.keys[each]) for each in told} == ours.keys()
        )
        assert same, f"{asked.view.keys[start]}, {direction}: {peer.name} answers otherwise"


def _hops_by_key(lineage: Lineage) -> dict[str, int]:
    keys = lineage.view.keys
    return {keys[asset]: hops for asset, hops in zip(lineage.assets.tolist(), lineage.hops.tolist(), strict=True)}


def _shortest_paths(
    made: World, asked: Asked, peers: Sequence[Peer], hub: int, number_of: Mapping[str, int]
) -> Iterator[Figure]:
    reached = asked.ours(hub, DOWN)
    far = [row for row in range(len(reached)) if reached.kind(row) is AssetKind.CONSUMER][
        :: max(1, len(reached) // 50)
    ][:FEW]
    targets = [reached.key(row) for row in far]
    source, start = asked.view.key(hub), number_of[asked.view.keys[hub]]
    numbers = [number_of[str(target)] for target in targets]
    knowing = [peer for peer in peers if peer.path]
    for row, target, number in zip(far, targets, numbers, strict=True):
        (shortest,) = paths(asked.view, source, target, asked.moment)
        lengths = {peer.name: peer.path(start, number) for peer in knowing if peer.path}
        assert {len(shortest.hops), int(reached.hops[row])} == {*lengths.values()}, f"{target}: {lengths}"

    def ours() -> None:
        for target in targets:
            paths(asked.view, source, target, asked.moment)

    def each_path(peer: Peer) -> None:
        assert peer.path
        for number in numbers:
            peer.path(start, number)

    works = {US: Work(ours)} | {peer.name: peer.work(partial(each_path, peer)) for peer in knowing}
    head = f"{made.name}, no containers: a shortest path from the hub to a consumer"
    yield from compared(head, side_by_side(works, each=len(targets)))


def _networkx(made: World) -> Peer:
    graph: nx.DiGraph[int] = nx.DiGraph()
    graph.add_edges_from(zip(made.source.tolist(), made.target.tolist(), strict=True))
    ways = {DOWN: graph, UP: graph.reverse(copy=False)}

    def ask(direction: Direction, number: int) -> list[list[int]]:
        return list(nx.bfs_layers(ways[direction], number))

    def told(direction: Direction, number: int) -> dict[int, int]:
        return {each: hops for hops, layer in enumerate(ask(direction, number)) for each in layer if hops}

    def path(source: int, target: int) -> int:
        return len(nx.bidirectional_shortest_path(graph, source, target)) - 1

    return Peer("networkx", ask, told, path)


def _sql(db: sqlite3.Connection) -> list[Peer]:
    """Both forms on the tables of the store, where an asset's number is one more than in the world."""
    db.execute("PRAGMA cache_size = -524288")
    db.execute("CREATE TEMP TABLE reached (number INTEGER PRIMARY KEY, hop INTEGER)")

    def recursive(direction: Direction, number: int) -> list[tuple[int]]:
        return db.execute(_SQL[direction], [number + 1]).fetchall()

    def hop_by_hop(direction: Direction, number: int) -> list[tuple[int, int]]:
        db.execute("BEGIN")
        db.execute("INSERT INTO reached VALUES (?, 0)", [number + 1])
        hop, more = 0, 1
        while more:
            more = db.execute(_SQL_HOP[direction], {"hop": hop}).rowcount
            hop += 1
        found = db.execute("SELECT number, hop FROM reached WHERE hop > 0").fetchall()
        db.execute("ROLLBACK")
        return found

    def told_hops(direction: Direction, number: int) -> dict[int, int]:
        return {each - 1: hops for each, hops in hop_by_hop(direction, number)}

    def told(direction: Direction, number: int) -> list[int]:
        return [each - 1 for (each,) in recursive(direction, number) if each != number + 1]

    return [
        Peer("recursive SQL, without distances", recursive, told),
        Peer("SQL hop by hop", hop_by_hop, told_hops),
    ]


def _cypher(driver: Driver, made: World) -> Peer:
    session = driver.session()
    rows = session.run("MATCH (n:Asset) RETURN collect(n.key), collect(n.number)").single(strict=True)
    world_number = {str(key): number for number, key in enumerate(made.keys)}
    number_of = {stored: world_number[key] for key, stored in zip(*rows, strict=True)}
    keys = [str(key) for key in made.keys]

    def ask(direction: Direction, number: int) -> Record:
        return session.run(_CYPHER[direction], key=keys[number]).single(strict=True)

    def told(direction: Direction, number: int) -> dict[int, int]:
        numbers, hops = ask(direction, number)
        return {number_of[each]: length for each, length in zip(numbers, hops, strict=True)}

    def path(source: int, target: int) -> int:
        (length,) = session.run(_CYPHER_PATH, source=keys[source], target=keys[target]).single(strict=True)
        return int(length)

    return Peer("Cypher, one row", ask, told, path, _with_children, least_seconds=0.3)


def _with_children() -> float:
    """CPU of this process and of those it started; in ticks of 10 ms, so what is measured takes many."""
    return time.process_time() + sum(map(cpu_seconds, children()))
