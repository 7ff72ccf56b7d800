"""How long a start takes, how fast commits are beside bare SQLite, and walks beside networkx.

    python -m tests.bench [--assets 100000] [--keep FOLDER]

Ratios are of one run on one machine; absolute times say little.
"""

import argparse
import random
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import networkx as nx

from graph.changes import AssetStatement, FlowStatement, Registration
from graph.index import LineageIndex
from graph.keys import AssetKey, AssetKind
from graph.model import Basis, Flow, Operation
from graph.plan import register
from graph.stores.sqlite import SqliteStore
from graph.topology import Moment
from graph.walk import Direction, walk
from tests.service import running_service

START = 1_700_000_000_000_000
FLOWS_PER_ASSET = 4
WRITERS, COMMITS = 16, 400


def table(number: int) -> AssetKey:
    return AssetKey.of(AssetKind.DATASET, "warehouse", f"schema.table_{number}")


def graph_of(assets: int) -> Iterator[tuple[int, list[int]]]:
    """Each table with the older ones it reads: a few hubs feed most of the graph."""
    chance = random.Random(20261123)
    for number in range(assets):
        yield number, sorted({int(number * chance.random() ** 3) for _ in range(FLOWS_PER_ASSET)} - {number})


def fill(store: SqliteStore, assets: int) -> None:
    batch: list[tuple[int, list[int]]] = []
    for node in graph_of(assets):
        batch.append(node)
        if len(batch) == 2_000 or node[0] == assets - 1:
            store_batch(store, batch, START + node[0])
            batch = []


def store_batch(store: SqliteStore, batch: list[tuple[int, list[int]]], now: int) -> None:
    wanted = Registration(
        "bench",
        Basis.IMPORTED,
        tuple(AssetStatement(table(number), {"owners": [{"name": f"team{number % 50}"}]}) for number, _ in batch),
        tuple(FlowStatement(Flow(table(source), table(number))) for number, sources in batch for source in sources),
    )
    register(store, wanted, Operation(None, "", "bench"), now)


def seconds(work: Callable[[], object], times: int = 5) -> list[float]:
    taken = []
    for _ in range(times):
        begin = time.perf_counter()
        work()
        taken.append(time.perf_counter() - begin)
    return taken


def row(what: str, figures: list[float], unit: str, scale: float = 1.0) -> None:
    low, middle, high = (scale * f(figures) for f in (min, statistics.median, max))
    print(f"{what:<58} {low:>10.2f} {middle:>10.2f} {high:>10.2f}  {unit}", flush=True)


def starts(folder: Path, assets: int) -> None:
    store = SqliteStore(folder / "large.db")
    if store.head() == 0:
        row(f"writing {assets} assets, {FLOWS_PER_ASSET} flows each", seconds(lambda: fill(store, assets), 1), "s")
    row("loading the index", seconds(lambda: LineageIndex(store).load(), 3), "s")
    store.close()

    def start() -> None:
        with running_service(f"sqlite:///{folder / 'large.db'}"):
            pass

    row("starting the service until ready, and stopping it", seconds(start, 3), "s")


def walks(folder: Path, assets: int) -> None:
    store = SqliteStore(folder / "large.db")
    index = LineageIndex(store)
    index.load()
    view = index.view()
    at = Moment(2 * START, view.revision)
    ours = seconds(lambda: walk(view, table(0), Direction.DOWNSTREAM, at))
    row("everything downstream of the hub", ours, "ms", 1000)
    graph: nx.DiGraph[int] = nx.DiGraph()
    graph.add_edges_from((source, number) for number, sources in graph_of(assets) for source in sources)
    theirs = seconds(lambda: dict(enumerate(nx.bfs_layers(graph, 0))))
    row("the same in networkx (distances only)", theirs, "ms", 1000)
    row("networkx over ours", [b / a for a, b in zip(ours, theirs, strict=True)], "times")
    store.close()


def commits(folder: Path) -> None:
    store = SqliteStore(folder / "commits.db")
    store_batch(store, list(graph_of(10)), START)

    def ours(number: int) -> None:
        store_batch(store, [(1_000 + number, [0, 1, 2, 3])], START + 1 + number)

    row(f"registrations with {FLOWS_PER_ASSET} flows, {WRITERS} writers", per_second(ours), "a second")
    store.close()
    path = folder / "bare.db"
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("CREATE TABLE node (key TEXT PRIMARY KEY, body TEXT)")
        db.execute("CREATE TABLE edge (source TEXT, target TEXT, PRIMARY KEY (source, target)) WITHOUT ROWID")
    bare_db = sqlite3.connect(path, isolation_level=None)
    bare_db.execute("PRAGMA synchronous = FULL")

    def bare() -> None:
        for number in range(COMMITS):
            bare_db.execute("BEGIN IMMEDIATE")
            bare_db.execute("INSERT OR REPLACE INTO node VALUES (?, '{}')", [str(number)])
            edges = [(str(source), str(number)) for source in range(FLOWS_PER_ASSET)]
            bare_db.executemany("INSERT OR REPLACE INTO edge VALUES (?, ?)", edges)
            bare_db.execute("COMMIT")

    row("bare SQLite, the same rows, one writer", [COMMITS / taken for taken in seconds(bare, 3)], "a second")
    bare_db.close()


def per_second(work: Callable[[int], None]) -> list[float]:
    rates = []
    for turn in range(3):
        numbers = range(turn * COMMITS, (turn + 1) * COMMITS)
        begin = time.perf_counter()
        with ThreadPoolExecutor(WRITERS) as pool:
            list(pool.map(work, numbers))
        rates.append(COMMITS / (time.perf_counter() - begin))
    return rates


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench")
    parser.add_argument("--assets", type=int, default=100_000)
    parser.add_argument("--keep", type=Path, help="a folder whose filled store is used again")
    options = parser.parse_args()
    print(f"{'':<58} {'minimum':>10} {'median':>10} {'maximum':>10}")
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        commits(Path(temporary))
        starts(folder, options.assets)
        walks(folder, options.assets)


if __name__ == "__main__":
    main()
