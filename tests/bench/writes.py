"""How fast what is told is kept: single registrations beside bare SQLite, and a whole world in bulk; the index current throughout."""

import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import httpx
import orjson

from graph.index import LineageIndex
from graph.model import Operation
from graph.plan import register
from graph.stores.contract import Store
from graph.stores.neo4j import Neo4jStore
from graph.stores.sqlite import SqliteStore
from tests.bench.commits import START, WRITERS, bare_sqlite, bulk_flows, older, registration
from tests.bench.figures import Figure, ratio
from tests.bench.world import World, world
from tests.neo4j_server import neo4j_server
from tests.service import running_service

TURNS = 3
KNOWN, SINGLE = 10_000, 2_000
ASSETS = 10_000


def figures(folder: Path) -> Iterator[Figure]:
    folder = folder / "writes"
    folder.mkdir(exist_ok=True)
    yield from _single(folder)
    yield from _bulk(folder)


def _single(folder: Path) -> Iterator[Figure]:
    ours, theirs = [], []
    with closing(SqliteStore(folder / "single.db")) as store:
        bulk_flows(store, range(KNOWN))
        index = LineageIndex(store)
        index.load()
        store.announce_to(index.hear)  # as the service does
        for turn in range(TURNS):
            numbers = range(KNOWN + turn * SINGLE, KNOWN + (turn + 1) * SINGLE)
            ours.append(_registered(store, index, numbers))
            theirs.append(bare_sqlite(folder / f"bare-{turn}.db", numbers, KNOWN).per_second)
    head = f"registrations of an asset with four flows, {WRITERS} writers, each durable"
    yield Figure(f"{head}: Headwater, and the index follows each", ours, "a second")
    yield Figure(f"{head}: bare SQLite, the rows alone", theirs, "a second")
    yield ratio(f"{head}: Headwater over bare SQLite", ours, theirs)


def _registered(store: Store, index: LineageIndex, numbers: range) -> float:
    """A second."""
    chance = random.Random(numbers.start)
    wanted = {number: registration([(number, older(numbers.start, chance))]) for number in numbers}

    def one(number: int) -> None:
        receipt = register(store, wanted[number], Operation(f"{number}", "digest", "bench"), START + number)
        assert index.follow(receipt.revision) >= receipt.revision, "a commit is not visible to reads at once"

    begin = time.perf_counter()
    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(one, numbers))
    return len(numbers) / (time.perf_counter() - begin)


def _bulk(folder: Path) -> Iterator[Figure]:
    made = world(ASSETS)
    head = f"{made.name}, told in bulk"
    rates = []
    for turn in range(TURNS):
        with closing(SqliteStore(folder / f"bulk-{turn}.db")) as store:
            rates.append(_all_registered(store, made))
    yield Figure(f"{head}: SQLite, in process", rates, "flows/s")
    rates = []
    for turn in range(TURNS):
        with running_service(f"sqlite:///{folder / f'http-{turn}.db'}") as address:
            rates.append(_sent(address, made))
    yield Figure(f"{head}: SQLite, POST /api/v1/bulk", rates, "flows/s")
    # One server, which slows down what it is told first: it compiles as it goes. So each turn tells another world.
    worlds = [replace(made, domain=made.domain + turn * made.assets) for turn in range(2 * TURNS)]
    with neo4j_server(folder / "neo4j", heap="2g", page_cache="1g") as url:
        with closing(Neo4jStore(url, request_deadline=60)) as store:
            rates = [_all_registered(store, told) for told in worlds[:TURNS]]
        yield Figure(f"{head}: Neo4j, in process", rates, "flows/s")
        with running_service(url, data=folder / "data") as address:
            rates = [_sent(address, told, f"all {turn}") for turn, told in enumerate(worlds[TURNS:])]
        yield Figure(f"{head}: Neo4j, POST /api/v1/bulk", rates, "flows/s")


def _all_registered(store: Store, made: World) -> float:
    """Flows a second, with an index that follows."""
    index = LineageIndex(store)
    index.load()
    store.announce_to(index.hear)
    told = list(made.registrations())  # a client's work, before the clock runs
    begin = time.perf_counter()
    for wanted, now in told:
        receipt = register(store, wanted, Operation(None, "", "bench"), now)
        index.follow(receipt.revision)
    return len(made.source) / (time.perf_counter() - begin)


def _sent(address: str, made: World, operation: str = "all") -> float:
    body = b"".join(orjson.dumps(line) + b"\n" for line in made.lines())
    begin = time.perf_counter()
    answer = httpx.post(
        f"{address}/api/v1/bulk",
        params={"origin": "bench:lines", "operation": operation},
        content=body,
        headers={"Content-Type": "application/x-ndjson", "Accept": "application/json"},
        timeout=3600,
    )
    taken = time.perf_counter() - begin
    assert answer.status_code == 200, answer.text
    assert answer.json()["done"]["refused"] == 0, answer.text
    return len(made.source) / taken
