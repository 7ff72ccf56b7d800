"""How long the service takes until it is ready, and what it holds in memory then; with and without its snapshot."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.bench.figures import Figure
from tests.bench.filling import filled_neo4j, filled_sqlite
from tests.bench.processes import children, resident_megabytes
from tests.bench.world import World, world
from tests.service import running_service

TURNS = 3
SUMMARY = """
query Summary($start: ID!) {
  lineage(start: $start) { ... on Lineage { total counts { byKind { count } byOwner { count } byWhen { count } } } }
}
"""


def figures(folder: Path, assets: int, neo4j: bool = True) -> Iterator[Figure]:
    """`neo4j` also starts the service on a Neo4j that is filled with the same graph."""
    made = world(assets)
    path = filled_sqlite(folder, made)
    snapshot = path.with_name(path.name + "-index")
    yield from _starts(made, f"sqlite:///{path}", snapshot, folder, "SQLite")
    if neo4j:
        with filled_neo4j(folder, made) as url:
            yield from _starts(made, url, None, folder / f"neo4j-{assets}-data", "Neo4j")


def _starts(made: World, store: str, snapshot: Path | None, data: Path, what: str) -> Iterator[Figure]:
    head = f"{made.name}: the service on {what}"
    cold, warm, resident, asked = [], [], [], []
    for turn in range(TURNS):
        if snapshot:
            snapshot.unlink(missing_ok=True)
        if snapshot or turn == 0:
            with _started(store, data) as (seconds, _, _):
                cold.append(seconds)  # when it stops it leaves a snapshot
        with _started(store, data) as (seconds, address, process):
            warm.append(seconds)
            resident.append(resident_megabytes(process))
            answer = httpx.post(
                f"{address}/graphql", json={"query": SUMMARY, "variables": {"start": _hub(made)}}, timeout=60
            ).json()
            assert answer["data"]["lineage"]["total"] > made.assets / 3, answer
            asked.append(resident_megabytes(process))
    yield Figure(f"{head}: ready, without a snapshot", cold, "s")
    yield Figure(f"{head}: ready, with its snapshot", warm, "s")
    yield Figure(f"{head}: resident when ready", resident, "MB")
    yield Figure(f"{head}: resident after all downstream of the hub was counted", asked, "MB")


@contextmanager
def _started(store: str, data: Path) -> Iterator[tuple[float, str, int]]:
    """Seconds until it was ready, its address, and its process."""
    before = {*children()}
    begin = time.perf_counter()
    with running_service(store, data=data) as address:
        seconds = time.perf_counter() - begin
        (process,) = {*children()} - before
        yield seconds, address, process


def _hub(made: World) -> str:
    return str(made.keys[made.hub])
