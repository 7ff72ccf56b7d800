"""Walks beside the same search in C, and beside networkx on the same port graph; every answer compared before it is timed."""

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from ctypes import CDLL
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from graph.impact import When, when_felt
from graph.index import LineageIndex
from graph.keys import AssetKind
from graph.ports import Step
from graph.stores.sqlite import SqliteStore
from graph.topology import KINDS, Moment, View
from graph.walk import Direction, Lineage, first_vertex, walk, walking
from tests.bench.figures import Figure, ratio
from tests.bench.filling import filled_sqlite
from tests.bench.limit import Answer, Arrays, Limit, arrays_of, built
from tests.bench.world import DAY, NOW, World, world

TURNS = 9
SMALL = 300
"""Assets of the answer that stands for the many: the median of all answers that are not empty."""
SAMPLE = 20
DOWN, UP = Direction.DOWNSTREAM, Direction.UPSTREAM
HISTORIES = (0.5, 2.0)
"""Flows of the past for each one of today."""


def figures(folder: Path, assets: int) -> Iterator[Figure]:
    library = built(folder)
    for history in (0.0, *HISTORIES):
        made = world(assets, history=history)
        store = SqliteStore(filled_sqlite(folder, made))
        index = LineageIndex(store)
        index.load()
        asked = Asked(index.view(), Moment(NOW + DAY, index.revision), library)
        yield from _time_travel(made, asked, history) if history else _live(made, asked)
        store.close()


class Work(NamedTuple):
    """What is timed, and a clock in seconds of the CPU that it costs; of this process, where it runs in no other."""

    ask: Callable[[], object]
    clock: Callable[[], float] = time.process_time
    least_seconds: float = 0.02
    """A turn takes at least this long, in as many calls as that needs: clocks are coarse and cost time themselves."""


def side_by_side(works: Mapping[str, Work], each: int = 1) -> dict[str, list[float]]:
    """Milliseconds of CPU of one call of each, in turns; a call does `each` of what is measured."""
    taken: dict[str, list[float]] = {name: [] for name in works}
    calls = {name: max(1, min(200, int(work.least_seconds / max(_once(work), 1e-6)))) for name, work in works.items()}
    for _ in range(TURNS):
        for name, work in works.items():
            begin = work.clock()
            for _ in range(calls[name]):
                work.ask()
            taken[name].append((work.clock() - begin) / calls[name] * 1000 / each)
    return taken


def _once(work: Work) -> float:
    """Seconds on the wall of one call, after some that compile or fill a cache."""
    for _ in range(3):
        work.ask()
    begin = time.perf_counter()
    work.ask()
    return time.perf_counter() - begin


def compared(what: str, taken: Mapping[str, Sequence[float]], unit: str = "ms CPU") -> Iterator[Figure]:
    """All of them; ours over the limit, and each other over ours."""
    for name, values in taken.items():
        yield Figure(f"{what}: {name}", values, unit)
    for name, values in taken.items():
        if name.startswith(US):
            if LIMIT in taken:
                yield ratio(f"{what}: {name} over {LIMIT}", values, taken[LIMIT])
        elif name != LIMIT:
            yield ratio(f"{what}: {name} over {US}", values, taken[US])


US, SEARCH, LIMIT = "Headwater", "Headwater, the search alone", "C"
"""The answer is sorted by distance and name, and tells stubs and labels; the search finds assets and distances, as C does."""


@dataclass
class Asked:
    """One moment of an index, and what there is to compare its answers with."""

    view: View
    moment: Moment
    library: CDLL

    @cached_property
    def limits(self) -> dict[Direction, Limit]:
        return {each: Limit(self.library, self.view, self.arrays[each]) for each in Direction}

    @cached_property
    def arrays(self) -> dict[Direction, Arrays]:
        return {each: arrays_of(self.view, each, self.moment) for each in Direction}

    @cached_property
    def live(self) -> Limit:
        """Downstream along what passes again at every request or refresh."""
        arrays = self.arrays[DOWN]
        live = arrays.step & Step.BUILT == 0
        before = np.concatenate([[0], np.cumsum(live)])
        offsets = before[arrays.offsets]
        return Limit(self.library, self.view, Arrays(offsets, arrays.far[live], arrays.step[live]))

    @cached_property
    def kinds(self) -> NDArray[np.int32]:
        return self.view.kind[: self.view.assets].astype(np.int32)

    @cached_property
    def owners(self) -> list[str | None]:
        return [None, *sorted({owner for label in self.view.labels for owner in label.owners})]

    @cached_property
    def owner_of(self) -> NDArray[np.int32]:
        everything = np.arange(self.view.assets)
        code = {owner: number for number, owner in enumerate(self.owners)}
        of_label = np.array(
            [code[label.owners[0]] if label.owners else 0 for label in self.view.labels] + [0], np.int32
        )
        own, around = (
            of_label[self.view.label_codes(assets, self.moment)]
            for assets in (everything, self.view.container[: self.view.assets])
        )
        owner: NDArray[np.int32] = np.where(own > 0, own, around)  # a part without owners has its container's
        return owner

    def ours(self, asset: int, direction: Direction) -> Lineage:
        return walk(self.view, self.view.key(asset), direction, self.moment)

    def theirs(self, asset: int, direction: Direction) -> Answer:
        vertex = first_vertex(self.view, asset, direction)
        return self.limits[direction].walk(vertex, self.left_out(asset))

    def left_out(self, asset: int) -> NDArray[np.int32]:
        own = [asset, int(self.view.container[asset]) or asset, *self.view.parts_of(asset)]
        return np.array(own, np.int32)

    def same(self, asset: int, direction: Direction) -> int:
        """How many assets both answer. Raises AssertionError where the answers differ."""
        ours, (assets, hops) = self.ours(asset, direction), self.theirs(asset, direction)
        rows, order = np.argsort(ours.assets), np.argsort(assets)
        assert np.array_equal(ours.assets[rows], assets[order]), f"{direction} of {ours.start}: other assets"
        assert np.array_equal(ours.hops[rows], hops[order]), f"{direction} of {ours.start}: other distances"
        return len(assets)

    @cached_property
    def hub(self) -> int:
        """The asset that reaches most."""
        degree = np.diff(self.arrays[DOWN].offsets)
        likely = np.unique(self.view.vertex_asset[: len(degree)][np.argsort(-degree)[:300]])
        found: int = max(likely.tolist(), key=lambda asset: len(self.theirs(asset, DOWN)[0]))
        return found

    def of_size(self, direction: Direction, fits: Callable[[int], bool], kinds: Sequence[AssetKind] = ()) -> list[int]:
        """Some assets whose answer has a size that fits."""
        found: list[int] = []
        chance = np.random.default_rng(7)
        while len(found) < SAMPLE:
            asset = int(chance.integers(1, self.view.assets))
            if kinds and KINDS[self.view.kind[asset]] not in kinds:
                continue
            if fits(len(self.theirs(asset, direction)[0])):
                found.append(asset)
        return found

    def ask_all(self, direction: Direction, assets: Sequence[int]) -> dict[str, Work]:
        keys = [self.view.key(asset) for asset in assets]
        vertices = [(first_vertex(self.view, asset, direction), self.left_out(asset)) for asset in assets]
        limit = self.limits[direction]

        def search() -> None:
            for asset, (vertex, _) in zip(assets, vertices, strict=True):
                with walking(self.view, np.array([vertex]), direction, self.moment) as walked:
                    walked.assets(asset)

        def ours() -> None:
            for key in keys:
                walk(self.view, key, direction, self.moment)

        def theirs() -> None:
            for vertex, left_out in vertices:
                limit.walk(vertex, left_out)

        return {US: Work(ours), SEARCH: Work(search), LIMIT: Work(theirs)}


def _live(made: World, asked: Asked) -> Iterator[Figure]:
    graph = networkx_ports(asked.arrays[DOWN])
    hub = asked.hub
    size = asked.same(hub, DOWN)
    hub_vertex = first_vertex(asked.view, hub, DOWN)
    _refuse_other_assets(asked, hub, nx.descendants(graph, hub_vertex))
    what = f"{made.name}: downstream of the hub, {size:,} assets"
    peers = {"networkx": Work(lambda: list(nx.bfs_layers(graph, hub_vertex)))}
    yield from compared(what, side_by_side({**asked.ask_all(DOWN, [hub]), **peers}))

    asked_counts = {US: lambda: summary(asked.ours(hub, DOWN)), LIMIT: lambda: counted_in_c(asked, hub)}
    assert asked_counts[US]() == asked_counts[LIMIT](), "the counts differ"
    what = f"{made.name}: downstream of the hub, counted by kind, owner and timing"
    yield from compared(what, side_by_side({name: Work(ask) for name, ask in asked_counts.items()}))

    small = asked.of_size(DOWN, lambda many: 0.8 * SMALL < many < 1.2 * SMALL)
    for asset in small:
        asked.same(asset, DOWN)
    vertices = [first_vertex(asked.view, asset, DOWN) for asset in small]
    peers = {"networkx": Work(lambda: [list(nx.bfs_layers(graph, vertex)) for vertex in vertices])}
    what = f"{made.name}: downstream of an asset with {SMALL} readers"
    yield from compared(what, side_by_side({**asked.ask_all(DOWN, small), **peers}, each=SAMPLE))

    consumers = asked.of_size(UP, lambda many: many > 0, [AssetKind.CONSUMER])
    sizes = [asked.same(asset, UP) for asset in consumers]
    what = f"{made.name}: upstream of a consumer, {int(np.median(sizes)):,} assets"
    yield from compared(what, side_by_side(asked.ask_all(UP, consumers), each=SAMPLE))


def _time_travel(made: World, asked: Asked, history: float) -> Iterator[Figure]:
    hub = asked.hub
    size, turn = asked.same(hub, DOWN), 0

    def at_another() -> None:
        nonlocal turn
        turn += 1
        walk(asked.view, asked.view.key(hub), DOWN, Moment(NOW - 500 * DAY + turn, asked.moment.revision - turn % 2))

    then = Asked(asked.view, Moment(NOW - 500 * DAY, asked.moment.revision - 1), asked.library)
    former = then.same(hub, DOWN)
    works = {
        "now": Work(lambda: asked.ours(hub, DOWN)),
        "a moment first asked for": Work(at_another),
    }
    taken = side_by_side(works)
    asked.view.remember(Moment(NOW - 600 * DAY, asked.moment.revision))  # it may have to be compiled
    begin = time.process_time()
    asked.view.remember(then.moment)
    remembering = (time.process_time() - begin) * 1000
    works = {"now": works["now"], "the same moment again": Work(lambda: then.ours(hub, DOWN))}
    again = side_by_side(works)
    then.same(hub, DOWN)
    what = f"{made.name} and {history:.0%} past ones: hub"
    yield Figure(f"{what}: now, {size:,} assets", [*taken["now"], *again["now"]], "ms CPU")
    for name, turns in {"a moment first asked for": taken, "the same moment again": again}.items():
        yield Figure(f"{what}: {name}, {former:,} assets", turns[name], "ms CPU")
        yield ratio(f"{what}: {name} over now", turns[name], turns["now"])
    yield Figure(f"{what}: remembering a moment, once, beside the answer", [remembering], "ms CPU")


def summary(lineage: Lineage) -> dict[str, dict[object, int]]:
    """The counts that an answer's head shows."""
    view = lineage.view
    kinds = np.bincount(view.kind[lineage.assets], minlength=len(KINDS))
    counts = np.bincount(lineage.owners)
    owners: dict[object, int] = {}
    for place in np.nonzero(counts)[0].tolist():
        for owner in view.owners[place] or (None,):
            owners[owner] = owners.get(owner, 0) + int(counts[place])
    now = int(np.count_nonzero(when_felt(lineage) == When.NOW))
    return {
        "kinds": {KINDS[code]: int(count) for code, count in enumerate(kinds[: len(KINDS)]) if count},
        "owners": owners,
        "when": {"now": now, "later": len(lineage) - now},
    }


def counted_in_c(asked: Asked, asset: int) -> dict[str, dict[object, int]]:
    """The same, with two walks: all of it, and along what is live. Here an asset has one owner, and no version is historic."""
    assets, _ = asked.theirs(asset, DOWN)
    everything = len(assets)
    by_kind = asked.limits[DOWN].counted(assets, asked.kinds, len(KINDS))
    by_owner = asked.limits[DOWN].counted(assets, asked.owner_of, len(asked.owners))
    live, _ = asked.live.walk(first_vertex(asked.view, asset, DOWN), asked.left_out(asset))
    return {
        "kinds": {KINDS[code]: int(count) for code, count in enumerate(by_kind) if count},
        "owners": {asked.owners[code]: int(count) for code, count in enumerate(by_owner) if count},
        "when": {"now": len(live), "later": everything - len(live)},
    }


def networkx_ports(arrays: Arrays) -> "nx.DiGraph[int]":
    """What a values walk may take, as networkx would hold it."""
    graph: nx.DiGraph[int] = nx.DiGraph()
    near = np.repeat(np.arange(len(arrays.offsets) - 1), np.diff(arrays.offsets))
    taken = arrays.step & Step.VALUES != 0
    graph.add_edges_from(zip(near[taken].tolist(), arrays.far[taken].tolist(), strict=True))
    return graph


def _refuse_other_assets(asked: Asked, asset: int, vertices: Collection[int]) -> None:
    reached = np.setdiff1d(asked.view.vertex_asset[list(vertices)], asked.left_out(asset))
    assert np.array_equal(reached, np.sort(asked.ours(asset, DOWN).assets)), "networkx reaches other assets"
