"""Puts a world into a store: as everybody does, or, where that would take too long to wait for, straight into its rows."""

import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TypeAlias

import numpy as np

from graph.attributes import canonical, checked_attributes
from graph.index import LineageIndex
from graph.keys import AssetKey
from graph.model import REFINES_FIRST, Assertion, Basis, Flow, Known, Operation, StoredAssertion
from graph.plan import register
from graph.stores.contract import Store
from graph.stores.neo4j import Neo4jStore
from graph.stores.neo4j_commit import OPEN, opened_rows
from graph.stores.neo4j_connection import Neo4jAddress, Neo4jConnection, Run, counters
from graph.stores.neo4j_view import Nodes, show
from graph.stores.sqlite import SqliteStore
from graph.stores.words import search_text
from graph.time import FOREVER, Interval
from tests.bench.world import ASSETS_OF_BATCH, BATCH, FORMER, NOW, ORIGIN, START, World
from tests.neo4j_server import neo4j_server

_INDEX = ("origin", "asset", "flow", "assertion", "revision")

_Batch: TypeAlias = tuple[dict[AssetKey, int], Sequence[AssetKey], list[StoredAssertion]]
"""The numbers of all assets in it, those that are to be made, and what is said."""


def register_all(store: Store, world: World, index: LineageIndex | None = None) -> int:
    """How many flows were told, taken back ones too; `index` follows each revision."""
    for wanted, now in world.registrations():
        register(store, wanted, Operation(None, "", "bench"), now)
        if index is not None:
            index.follow()
    return len(world.source) + len(world.history.source)


def write_all(path: Path, world: World) -> None:
    """The rows that `register_all` would have left in a new file, thirty times as fast; `same_content` tells whether."""
    SqliteStore(path).close()
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA synchronous = OFF")
    db.execute("PRAGMA cache_size = -524288")
    indices = db.execute(
        "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL AND tbl_name IN (?, ?, ?, ?, ?)",
        _INDEX,
    ).fetchall()
    db.execute("BEGIN")
    for name, _ in indices:
        db.execute(f"DROP INDEX {name}")
    db.executemany("INSERT INTO revision VALUES (?, ?, NULL, 'bench')", _revisions(world))
    db.executemany(
        "INSERT INTO origin VALUES (?, ?)", [(1, ORIGIN), (2, FORMER)][: 1 + bool(len(world.history.source))]
    )
    db.executemany("INSERT INTO asset (number, key, kind, container, version) VALUES (?, ?, ?, ?, ?)", _assets(world))
    db.executemany("INSERT INTO words (rowid, text) VALUES (?, ?)", _words(world))
    db.executemany("INSERT INTO flow (number, source, target, via) VALUES (?, ?, ?, 0)", _flows(world))
    db.executemany(
        "INSERT INTO assertion (number, asset, flow, origin, basis, valid_start, valid_end, known_first, known_last,"
        " attributes) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        _assertions(world),
    )
    for _, sql in indices:
        db.execute(sql)
    db.execute("COMMIT")
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()


def filled_sqlite(folder: Path, world: World) -> Path:
    """A file with this world and nothing else: the one that is there, or a new one."""
    path = folder / f"{world.slug}.db"
    if not path.exists():
        unfinished = path.with_suffix(".unfinished")
        write_all(unfinished, world)
        unfinished.rename(path)
    return path


@contextmanager
def filled_neo4j(folder: Path, world: World) -> Iterator[str]:
    """The URL of a server with this world and nothing else."""
    home = folder / f"{world.slug}.neo4j"
    filled = home / "filled"
    with neo4j_server(home, heap="2g", page_cache="1g") as url:
        if not filled.exists():
            write_all_neo4j(url, world)
            filled.touch()
        yield url


def write_all_neo4j(url: str, world: World) -> None:
    """What `register_all` would have left in an empty Neo4j, but for the order of numbers. History it cannot write.

    Several sessions write, and most indexes are built when all is there.
    """
    assert not len(world.history.source), "the history of a world is not written into Neo4j"
    Neo4jStore(url, request_deadline=60).close()
    with closing(Neo4jConnection(Neo4jAddress.parse(url), 60)) as db:
        indexes = db.read(lambda run: [row.values() for row in run(_INDEXES, {"kept": ["key_number"]})])
        for kind, name, _ in indexes:
            db.write(_statement(f"DROP {kind} {name}"))
        for batches in (_asset_batches(world), _flow_batches(world)):
            _write_side_by_side(db, batches)
        for _, _, create in indexes:
            db.write(_statement(create), 600)
        db.read(_statement("CALL db.awaitIndexes(3000)"), 3000)
        db.write(lambda run: _write_head(run, world), 600)


def _write_side_by_side(db: Neo4jConnection, batches: Iterator[_Batch]) -> None:
    taking = threading.Lock()

    def write() -> None:
        while True:
            with taking:
                batch = next(batches, None)
            if batch is None:
                return
            db.write(partial(_write_batch, batch=batch), 600)

    with ThreadPoolExecutor(_SESSIONS) as sessions:
        for writing in [sessions.submit(write) for _ in range(_SESSIONS)]:
            writing.result()


_SESSIONS = 3
_INDEXES = """
SHOW INDEXES YIELD name, type, owningConstraint, createStatement
WHERE type <> 'LOOKUP' AND NOT name IN $kept
RETURN CASE WHEN owningConstraint IS NULL THEN 'INDEX' ELSE 'CONSTRAINT' END, name, createStatement
"""


def _asset_batches(world: World) -> Iterator[_Batch]:
    """Parts come with their container."""
    revisions = _asset_revisions(world)
    checked = [checked_attributes(label, "bench") for label in world.labels]
    alone = np.flatnonzero(world.container < 0)
    bounds = [*alone[np.unique(np.searchsorted(alone, np.arange(0, world.assets, BATCH)))].tolist(), world.assets]
    for first, last in pairwise(bounds):
        keys = world.keys[first:last]
        numbers = {key: number for number, key in enumerate(keys, first + 1)}
        said = [
            StoredAssertion(
                number + 1,
                Assertion(world.keys[number], ORIGIN, Basis.IMPORTED, Interval(START + number), checked[label]),
                Known(revisions[number]),
            )
            for number, label in enumerate(world.label[first:last].tolist(), first)
        ]
        yield numbers, keys, said


def _flow_batches(world: World) -> Iterator[_Batch]:
    keys, revisions = world.keys, _asset_revisions(world)
    for first in range(0, len(world.source), BATCH):
        numbers: dict[AssetKey, int] = {}
        said = []
        columns = (column[first : first + BATCH].tolist() for column in (world.source, world.target, world.since))
        for number, (source, target, since) in enumerate(zip(*columns, strict=True), world.assets + first + 1):
            flow = Flow(keys[source], keys[target])
            numbers[flow.source], numbers[flow.target] = source + 1, target + 1
            said.append(
                StoredAssertion(
                    number, Assertion(flow, ORIGIN, Basis.IMPORTED, Interval(since)), Known(revisions[target])
                )
            )
        yield numbers, (), said


def _write_batch(run: Run, batch: _Batch) -> None:
    """All of it is new, and no two statements are about the same."""
    numbers, made, said = batch
    believed = {row.assertion.subject: [row.assertion] for row in said}
    versions = {row.assertion.subject: row.known.first for row in said if isinstance(row.assertion.subject, AssetKey)}
    new = {*made}
    show(run, believed, Nodes(numbers, versions, numbers.keys() - new, new), NOW, believed.keys())
    counters(run, OPEN, opened=opened_rows(said, numbers, NOW))


def _write_head(run: Run, world: World) -> None:
    revisions = [
        {"number": number, "at": at, "actor": "bench", "opened": opened, "closed": 0}
        for (number, at), opened in zip(
            _revisions(world),
            (np.bincount(_asset_revisions(world)) + np.bincount(np.array(_asset_revisions(world))[world.target]))[
                1:
            ].tolist(),
            strict=True,
        )
    ]
    counters(run, "UNWIND $revisions AS revision CREATE (r:Revision) SET r = revision", revisions=revisions)
    head = {
        "number": len(revisions),
        "at": revisions[-1]["at"],
        "shown_at": revisions[-1]["at"],
        "assets": world.assets,
        "assertions": world.assets + len(world.source),
    }
    counters(run, "MATCH (h:Head {name: 'lineage'}) SET h += $head", head=head)


def _statement(text: str) -> Callable[[Run], object]:
    return lambda run: counters(run, text)


def same_content(one: Store, other: Store) -> bool:
    """Whether two stores would give an index the same, whatever they number it by."""
    return sorted(_content(one)) == sorted(_content(other))


def _content(store: Store) -> Iterator[tuple[object, ...]]:
    with store.export() as export:
        keys = {
            number: key
            for chunk in export.assets()
            for number, key in zip(chunk.number.tolist(), chunk.key, strict=True)
        }
        keys[0] = ""
        for told in export.assertions():
            ends = ([keys[each] for each in column.tolist()] for column in (told.source, told.target, told.via))
            origin = [told.origins[each] for each in told.origin.tolist()]
            rest = (told.basis, told.valid_start, told.valid_end, told.known_first, told.known_last)
            yield from zip(*ends, origin, *(column.tolist() for column in rest), told.attributes, strict=True)


def _asset_revisions(world: World) -> list[int]:
    return (1 + np.arange(world.assets) // ASSETS_OF_BATCH).tolist()


def _last_asset_revision(world: World) -> int:
    return -(-world.assets // ASSETS_OF_BATCH)


def _history_revisions(world: World) -> tuple[list[int], list[int]]:
    """In which each flow of the past was said, and in which it was taken back."""
    past, first = world.history, _last_asset_revision(world)
    said = 1 + first + np.arange(len(past.source)) // BATCH
    back = 1 + int(said.max(initial=first)) + (np.cumsum(past.taken_back) - 1) // BATCH
    return said.tolist(), np.where(past.taken_back, back, FOREVER).tolist()


def _revisions(world: World) -> Iterator[tuple[int, int]]:
    said, back = _history_revisions(world)
    last = max([_last_asset_revision(world), *said, *(each for each in back if each < FOREVER)])
    yield from ((number, NOW + number) for number in range(1, last + 1))


def _assets(world: World) -> Iterator[tuple[int, str, str, int | None, int]]:
    containers, revisions = world.container.tolist(), _asset_revisions(world)
    for number, (key, container) in enumerate(zip(world.keys, containers, strict=True)):
        yield number + 1, str(key), key.kind.value, container + 1 if container >= 0 else None, revisions[number]


def _words(world: World) -> Iterator[tuple[int, str]]:
    for number, (key, label) in enumerate(zip(world.keys, world.label.tolist(), strict=True), 1):
        yield number, search_text(key, world.labels[label])


def _flow_numbers(world: World) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Source and target of each distinct flow, and the place of today's and of former flows among them."""
    today = world.source * world.assets + world.target
    former = world.history.source * world.assets + world.history.target
    distinct, place = np.unique(np.concatenate([today, former]), return_inverse=True)
    return distinct // world.assets, distinct % world.assets, place[: len(today)], place[len(today) :]


def _flows(world: World) -> Iterator[tuple[int, int, int]]:
    source, target, _, _ = _flow_numbers(world)
    yield from zip(range(1, len(source) + 1), (source + 1).tolist(), (target + 1).tolist(), strict=True)


def _assertions(world: World) -> Iterator[tuple[object, ...]]:
    texts = [canonical(checked_attributes(label, "bench")).decode() for label in world.labels]
    imported, observed = REFINES_FIRST.index(Basis.IMPORTED), REFINES_FIRST.index(Basis.OBSERVED)
    number, revisions = 0, _asset_revisions(world)
    for asset, label in enumerate(world.label.tolist()):
        number += 1
        yield number, asset + 1, None, 1, imported, START + asset, FOREVER, revisions[asset], FOREVER, texts[label]
    _, _, today, former = _flow_numbers(world)
    for flow, target, since in zip(today.tolist(), world.target.tolist(), world.since.tolist(), strict=True):
        number += 1
        yield number, None, flow + 1, 1, imported, since, FOREVER, revisions[target], FOREVER, "{}"
    past = world.history
    columns = (former, past.start, np.where(past.taken_back, FOREVER, past.end))
    for flow, start, end, said, back in zip(
        *(each.tolist() for each in columns), *_history_revisions(world), strict=True
    ):
        number += 1
        yield number, None, flow + 1, 2, observed, start, end, said, back, "{}"
