"""What compaction in the background costs readers: the slowest reads with it and without, while somebody writes."""

import threading
import time
from collections.abc import Iterator
from contextlib import closing
from itertools import count
from pathlib import Path

import numpy as np

from graph.changes import AssetStatement, FlowStatement, Registration
from graph.index import LineageIndex
from graph.keys import AssetKey, AssetKind
from graph.model import Basis, Flow, Operation
from graph.plan import register
from graph.stores.sqlite import SqliteStore
from graph.topology import Moment
from graph.walk import Direction, walk
from tests.bench.figures import Figure, scaled
from tests.bench.filling import filled_sqlite
from tests.bench.world import DAY, NOW, World, world

ASSETS = 100_000
SECONDS = 8.0
TURNS = 3
SHARES = (0.5, 0.99, 0.999)


def figures(folder: Path) -> Iterator[Figure]:
    made = world(ASSETS)
    with closing(SqliteStore(filled_sqlite(folder / "pauses", made))) as store:
        index = LineageIndex(store)
        index.load()
        numbers = count()
        starts = _starts(index, made)
        without: list[list[float]] = []
        with_: list[list[float]] = []
        for _ in range(TURNS):
            for compacting, slow in ((False, without), (True, with_)):
                reads = _reads(store, index, starts, numbers, compacting)
                slow.append(scaled(np.quantile(reads, SHARES).tolist(), 1000))
    head = f"{made.name}: reads of small answers beside a writer"
    for place, share in enumerate(SHARES):
        alone, beside = ([turn[place] for turn in turns] for turns in (without, with_))
        yield Figure(f"{head}: p{100 * share:g}, without compaction", alone, "ms")
        yield Figure(f"{head}: p{100 * share:g}, compacting without a pause", beside, "ms")
        yield Figure(f"{head}: p{100 * share:g}, later by", [b - a for a, b in zip(alone, beside, strict=True)], "ms")


def _starts(index: LineageIndex, made: World) -> list[AssetKey]:
    view = index.view()
    found: list[AssetKey] = []
    moment = Moment(NOW + DAY, view.revision)
    chance = np.random.default_rng(11)
    while len(found) < 50:
        key = made.keys[int(chance.integers(made.assets))]
        if 100 < len(walk(view, key, Direction.DOWNSTREAM, moment)) < 500:
            found.append(key)
    return found


def _reads(
    store: SqliteStore,
    index: LineageIndex,
    starts: list[AssetKey],
    numbers: Iterator[int],
    compacting: bool,
) -> list[float]:
    """Seconds on the wall of each read."""
    ended = threading.Event()

    def write() -> None:
        while not ended.is_set():
            number = next(numbers)
            reader = AssetKey.of(AssetKind.CONSUMER, "bench", f"reader-{number}")
            flows = tuple(FlowStatement(Flow(start, reader)) for start in starts[number % 40 : number % 40 + 4])
            now = NOW + 2 * DAY + number
            register(
                store,
                Registration("bench:pauses", Basis.DECLARED, (AssetStatement(reader),), flows),
                Operation(None, "", "bench"),
                now,
            )
            index.follow()
            ended.wait(0.005)

    def compact() -> None:
        while not ended.is_set():
            index.compact()

    threads = [threading.Thread(target=write)] + [threading.Thread(target=compact)] * compacting
    for thread in threads:
        thread.start()
    taken = []
    end = time.perf_counter() + SECONDS
    for number in count():
        begin = time.perf_counter()
        if begin > end:
            break
        view = index.view()
        walk(view, starts[number % len(starts)], Direction.DOWNSTREAM, Moment(NOW + 3 * DAY, view.revision))
        taken.append(time.perf_counter() - begin)
    ended.set()
    for thread in threads:
        thread.join()
    return taken
