"""How fast registrations are kept, beside bare SQLite in the same run. Every function returns figures; none prints.

The bare program is what one would write by hand for speed alone: one connection in WAL mode with `synchronous=FULL`, shared
by the writers under a lock, one durable transaction for each node with its four edges, keys and indexes on both ends,
prepared statements. It keeps no history, no time, no origin, no text index, and plans nothing.
"""

import random
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from graph.changes import AssetStatement, FlowStatement, Registration
from graph.keys import AssetKey, AssetKind
from graph.model import Basis, Flow, Operation
from graph.plan import register
from graph.stores.contract import Store

START = 1_700_000_000_000_000
FLOWS_PER_ASSET = 4
WRITERS = 16


@dataclass(frozen=True, slots=True)
class Rate:
    """`seconds` are the latencies of single commits, sorted."""

    per_second: float
    seconds: list[float]

    def at(self, share: float) -> float:
        """The latency that this share of the commits did not exceed."""
        return self.seconds[min(len(self.seconds) - 1, int(share * len(self.seconds)))]


def table(number: int) -> AssetKey:
    return AssetKey(AssetKind.DATASET, "warehouse", f"schema.table_{number}")


def older(number: int, chance: random.Random) -> list[int]:
    """The older tables that one reads: a few hubs feed most of the graph."""
    return sorted({int(number * chance.random() ** 3) for _ in range(FLOWS_PER_ASSET)} - {number})


def registration(nodes: list[tuple[int, list[int]]]) -> Registration:
    return Registration(
        "bench",
        Basis.IMPORTED,
        tuple(AssetStatement(table(number), {"owners": [{"name": f"team{number % 50}"}]}) for number, _ in nodes),
        tuple(FlowStatement(Flow(table(source), table(number))) for number, sources in nodes for source in sources),
        stubs=True,
    )


def single_registrations(store: Store, numbers: range) -> Rate:
    """One asset with four flows from older ones each, asked for by 16 threads at once, each with an operation id."""
    chance = random.Random(numbers.start)
    wanted = {number: registration([(number, older(numbers.start, chance))]) for number in numbers}

    def register_one(number: int) -> None:
        register(store, wanted[number], Operation(f"{number}", "digest", "bench"), START + number)

    return _rate(register_one, numbers)


def bare_sqlite(path: Path, numbers: range, known: int) -> Rate:
    """The same nodes and edges by hand, between `known` nodes that are written first."""
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute("CREATE TABLE IF NOT EXISTS node (number INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, body TEXT)")
    db.execute(
        "CREATE TABLE IF NOT EXISTS edge (source INTEGER, target INTEGER, PRIMARY KEY (source, target)) WITHOUT ROWID"
    )
    db.execute("CREATE INDEX IF NOT EXISTS edge_target ON edge (target)")
    db.execute("BEGIN")
    db.executemany(
        "INSERT OR IGNORE INTO node VALUES (?, ?, '{}')", ((number, str(table(number))) for number in range(known))
    )
    db.execute("COMMIT")
    chance = random.Random(numbers.start)
    nodes = {number: (number, str(table(number)), '{"owners":[{"name":"team"}]}') for number in numbers}
    edges = {number: [(source, number) for source in older(numbers.start, chance)] for number in numbers}
    lock = threading.Lock()

    def write(number: int) -> None:
        with lock:
            db.execute("BEGIN IMMEDIATE")
            db.execute("INSERT INTO node VALUES (?, ?, ?)", nodes[number])
            db.executemany("INSERT INTO edge VALUES (?, ?)", edges[number])
            db.execute("COMMIT")

    try:
        return _rate(write, numbers)
    finally:
        db.close()


def bulk_flows(store: Store, numbers: range, batch: int = 400) -> float:
    """Flows a second: new assets with four flows each, `batch` assets a registration."""
    flows = 0
    chance = random.Random(numbers.start)
    begin = time.perf_counter()
    for start in range(numbers.start, numbers.stop, batch):
        nodes = [(number, older(number, chance)) for number in range(start, min(start + batch, numbers.stop))]
        flows += sum(len(sources) for _, sources in nodes)
        register(store, registration(nodes), Operation(f"bulk {start}", "digest", "bench"), START + start)
    return flows / (time.perf_counter() - begin)


def bulk_between_known(store: Store, known: int, flows: int, batch: int = 2_000) -> float:
    """Flows a second between assets that are there."""
    begin = time.perf_counter()
    for start, pairs in enumerate(_pairs(known, flows, batch)):
        statements = tuple(FlowStatement(Flow(table(source), table(target))) for source, target in pairs)
        wanted = Registration("between", Basis.OBSERVED, flows=statements, stubs=True)
        register(store, wanted, Operation(f"between {start}", "digest", "bench"), 2 * START)
    return flows / (time.perf_counter() - begin)


def _pairs(known: int, flows: int, batch: int) -> Iterator[list[tuple[int, int]]]:
    chance = random.Random(known)
    for start in range(0, flows, batch):
        size = min(batch, flows - start)
        yield [(int((known - 1) * chance.random() ** 3), known - 1 - chance.randrange(known // 2)) for _ in range(size)]


def _rate(work: Callable[[int], None], numbers: range) -> Rate:
    def timed(number: int) -> float:
        begin = time.perf_counter()
        work(number)
        return time.perf_counter() - begin

    begin = time.perf_counter()
    with ThreadPoolExecutor(WRITERS) as pool:
        seconds = sorted(pool.map(timed, numbers))
    return Rate(len(numbers) / (time.perf_counter() - begin), seconds)
