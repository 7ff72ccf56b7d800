"""Bulk intake: lines a second of processor time in its parts, and of the clock over HTTP, in one run to be compared."""

import random
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import httpx
import orjson

from app.intake.bulk_batches import Reader, batches
from app.intake.bulk_operation import BulkOperation
from graph.importers.bulk import read_line, registration
from graph.model import Basis, Operation
from graph.plan import register
from graph.stores.spool import Spool
from graph.stores.sqlite import SqliteStore
from tests.service import running_service

NOW = 1_796_000_000_000_000


def lines_of(assets: int, flows: int, seed: int = 5) -> list[bytes]:
    """Datasets and flows between them, in no order; some assets are much used."""
    chance = random.Random(seed)
    lines = [b'{"asset":"dataset:bench/t%d","owners":["team-%d"]}' % (n, n % 50) for n in range(assets)]
    pairs: set[tuple[int, int]] = set()
    while len(pairs) < flows:
        source, target = int(assets * chance.random() ** 3), chance.randrange(assets)
        if source != target:
            pairs.add((source, target))
    lines += [b'{"flow":{"from":"dataset:bench/t%d","to":"dataset:bench/t%d"}}' % pair for pair in sorted(pairs)]
    chance.shuffle(lines)
    return lines


def measured(assets: int, flows: int) -> dict[str, float]:
    """Lines a second: read alone; read, spooled and cut into commits; these commits planned and made; all over HTTP."""
    lines = lines_of(assets, flows)
    body = b"\n".join(lines)
    figures = {
        "read": len(lines)
        / _seconds(time.process_time, lambda: [read_line(line, Basis.IMPORTED, NOW) for line in lines]),
        "intake without commits": len(lines) / _seconds(time.process_time, lambda: _taken_in(body)),
    }
    with tempfile.TemporaryDirectory() as folder:
        figures["commits alone"] = len(lines) / _committed(body, Path(folder) / "alone.db")
    with tempfile.TemporaryDirectory() as folder, running_service(f"sqlite:///{folder}/http.db") as url:
        figures["over HTTP"] = len(lines) / _seconds(time.perf_counter, lambda: _sent(url, body, len(lines)))
        figures["over HTTP, sent again"] = len(lines) / _seconds(
            time.perf_counter, lambda: _sent(url, body, len(lines))
        )
    return figures


def _taken_in(body: bytes) -> Sequence[object]:
    operation = BulkOperation("bench", "import:bench", Basis.IMPORTED, "bench", NOW)
    spool = Spool()
    reader = Reader(operation, spool)
    for start in range(0, len(body), 1 << 19):
        reader.take(body[start : start + (1 << 19)])
    reader.end()
    return [
        registration(operation.origin, batch.stretches[0].basis, batch.stage, batch.stretches)
        for batch in batches(operation, spool)
    ]


def _committed(body: bytes, path: Path) -> float:
    wanted = _taken_in(body)
    store = SqliteStore(path)

    def commit() -> None:
        for number, each in enumerate(wanted):
            register(store, each, Operation(f"bench{number}", str(number), "bench"), NOW)  # type: ignore[arg-type]

    try:
        return _seconds(time.process_time, commit)
    finally:
        store.close()


def _sent(url: str, body: bytes, lines: int) -> None:
    headers = {"Content-Type": "application/x-ndjson"}
    answer = httpx.post(f"{url}/api/v1/bulk?operation=bench", content=body, headers=headers, timeout=3600)
    done = orjson.loads(answer.content.splitlines()[-1])["done"]
    assert done["committed"] == lines, done


def _seconds(clock: Callable[[], float], work: Callable[[], object]) -> float:
    begin = clock()
    work()
    return clock() - begin


if __name__ == "__main__":
    assets, flows = (int(text) for text in sys.argv[1:]) if len(sys.argv) == 3 else (10_000, 40_000)
    for name, rate in measured(assets, flows).items():
        print(f"{name:24} {rate:10,.0f} lines/s")
