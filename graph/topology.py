"""The graph as readers see it: vertices, rows of edges, and labels, in numpy columns.

Assets are numbered from 1 as they come (0 is none); each has one or two vertices (see `ports`), model versions a third.
An edge between vertices is a *row*: who says so, when it holds (valid time) and in which revisions it was believed (known
time). Rows by vertex are kept as compressed sparse rows plus the rows since.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from graph.errors import NotFound
from graph.keys import AssetKey, AssetKind
from graph.time import FOREVER, Instant, Interval

Ints: TypeAlias = NDArray[np.integer]
Bools: TypeAlias = NDArray[np.bool_]

KINDS = tuple(AssetKind)
KIND_CODE = {kind: code for code, kind in enumerate(KINDS)}
ALIAS_CODE = len(KINDS)
ALWAYS = Interval(-(2**63), FOREVER)
_UNSAID = -1


class Moment(NamedTuple):
    """What held in the world at `at`, as it was believed at `revision`."""

    at: Instant
    revision: int


class Label(NamedTuple):
    """What of an asset's shown attributes lineage can be filtered and counted by."""

    owners: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    tier: int | None = None


class Columns:
    """Named numpy columns of one length that grow at the end. A reader keeps the arrays and the count it has seen."""

    def __init__(self, **types: type[np.generic]) -> None:
        self.count = 0
        self.arrays: dict[str, NDArray[np.generic]] = {name: np.empty(1024, kind) for name, kind in types.items()}

    def __getitem__(self, name: str) -> Ints:
        return self.arrays[name]  # type: ignore[return-value]

    def adopt(self, arrays: dict[str, NDArray[np.generic]]) -> None:
        """Takes these as all its rows."""
        self.arrays = {name: arrays[name].astype(old.dtype, copy=False) for name, old in self.arrays.items()}
        self.count = len(next(iter(arrays.values())))

    def extend(self, rows: Mapping[str, NDArray[np.generic]]) -> int:
        """Appends rows; the number of the first one."""
        first, size = self.count, len(next(iter(rows.values())))
        if first + size > len(next(iter(self.arrays.values()))):
            room = max(first + size, 2 * first)
            self.arrays = {
                name: np.concatenate([old[:first], np.empty(room - first, old.dtype)])
                for name, old in self.arrays.items()
            }
        for name, column in rows.items():
            self.arrays[name][first : first + size] = column
        self.count += size
        return first

    def append(self, **row: int) -> int:
        return self.extend({name: np.array([value]) for name, value in row.items()})


class Adjacency:
    """Row numbers by vertex (or asset): compressed up to some row, lists for the rows since."""

    def __init__(self) -> None:
        self.offsets: Ints = np.zeros(1, np.int64)
        self.rows: Ints = np.empty(0, np.int32)
        self.recent: dict[int, list[int]] = {}
        self.has_recent: Bools = np.zeros(1024, np.bool_)

    @classmethod
    def compressed(cls, by: Ints, places: int) -> "Adjacency":
        """Rows 0 to len(by) - 1 by the values of `by`, which are below `places`."""
        made = cls()
        made.rows = np.argsort(by, kind="stable").astype(np.int32)
        made.offsets = np.concatenate([[0], np.cumsum(np.bincount(by, minlength=places))])
        made.has_recent = np.zeros(places + 1024, np.bool_)
        return made

    def adopt(self, offsets: Ints, rows: Ints, places: int) -> None:
        self.offsets, self.rows = offsets, rows
        self.has_recent = np.zeros(places + 1024, np.bool_)

    def add(self, place: int, row: int) -> None:
        self.recent.setdefault(place, []).append(row)
        if place >= len(self.has_recent):
            grown = np.zeros(2 * place, np.bool_)
            grown[: len(self.has_recent)] = self.has_recent
            self.has_recent = grown
        self.has_recent[place] = True

    def of(self, place: int) -> list[int]:
        compact: list[int] = []
        if place + 1 < len(self.offsets):
            compact = self.rows[self.offsets[place] : self.offsets[place + 1]].tolist()
        return compact + self.recent.get(place, [])

    def size(self, place: int) -> int:
        compact = int(self.offsets[place + 1] - self.offsets[place]) if place + 1 < len(self.offsets) else 0
        return compact + len(self.recent.get(place, ()))

    def of_many(self, places: Ints) -> Ints:
        """The rows of all `places`, in their order; recent ones last."""
        old = places[places + 1 < len(self.offsets)]
        starts = self.offsets[old]
        counts = self.offsets[old + 1] - starts
        ends = np.cumsum(counts)
        total = int(ends[-1]) if len(ends) else 0
        rows = self.rows[np.repeat(starts - (ends - counts), counts) + np.arange(total)]
        flags = self.has_recent
        recent = [
            row
            for place in places[places < len(flags)][flags[places[places < len(flags)]]].tolist()
            for row in self.recent.get(place, ())
        ]
        return np.concatenate([rows, np.array(recent, np.int32)]) if recent else rows


@dataclass(frozen=True, slots=True)
class View:
    """What a reader works on: the arrays as they stand at `revision`. Later changes never show at that revision."""

    revision: int
    assets: int
    """Numbers below this one are assets of this view; what follows came later."""
    keys: list[str]
    numbers: Mapping[str, int]
    parts: Mapping[int, list[int]]
    kind: Ints
    container: Ints
    namespace: Ints
    namespaces: list[str]
    whole: Ints
    any: Ints
    vertex_asset: Ints
    vertex_port: Ints
    vertices: int
    rows: Mapping[str, Ints]
    row_count: int
    down: Adjacency
    up: Adjacency
    label_rows: Mapping[str, Ints]
    labels_by_asset: Adjacency
    label_count: int
    labels: Sequence[Label]
    intern_label: Callable[[Label], int]
    ranks: Callable[[int], Ints]
    """The place of each asset among the first so many, in the order of the keys' text."""
    origins: Sequence[str]

    def number(self, key: AssetKey) -> int:
        """Raises NotFound."""
        number = self.numbers.get(str(key))
        if number is None or number >= self.assets:
            raise NotFound(key)
        return number

    def parts_of(self, number: int) -> list[int]:
        """The numbers of all parts it ever had."""
        return [part for part in self.parts.get(number, ()) if part < self.assets]

    def key(self, number: int) -> AssetKey:
        return AssetKey.parse(self.keys[number])

    def holding(self, rows: Ints, moment: Moment) -> Ints:
        """Those of `rows` that held at that moment."""
        rows = rows[rows < self.row_count]
        columns, (at, revision) = self.rows, moment
        return rows[
            (columns["valid_start"][rows] <= at)
            & (at < columns["valid_end"][rows])
            & (columns["known_first"][rows] <= revision)
            & (revision < columns["known_last"][rows])
        ]

    def label_codes(self, assets: Ints, moment: Moment) -> Ints:
        """The label of each asset then; -1 for those that no assertion said to be (stubs)."""
        codes = np.full(len(assets), _UNSAID, np.int64)
        rows = self.labels_by_asset.of_many(assets)
        rows = rows[rows < self.label_count]
        columns, (at, revision) = self.label_rows, moment
        rows = rows[
            (columns["valid_start"][rows] <= at)
            & (at < columns["valid_end"][rows])
            & (columns["known_first"][rows] <= revision)
            & (revision < columns["known_last"][rows])
        ]
        order = np.argsort(assets, kind="stable")
        places = order[np.searchsorted(assets, columns["asset"][rows], sorter=order)]
        codes[places] = columns["label"][rows]
        return codes

    def label_code(self, label: Label) -> int:
        """The code of a label, also of one that no asset has itself."""
        return self.intern_label(label)

    def births(self, assets: Ints, moment: Moment) -> list[Instant]:
        """Since when each asset has been asserted, as far back as was then believed; FOREVER where never."""
        columns, born = self.label_rows, []
        for asset in assets.tolist():
            rows = np.array([row for row in self.labels_by_asset.of(asset) if row < self.label_count], np.int64)
            known = (columns["known_first"][rows] <= moment.revision) & (moment.revision < columns["known_last"][rows])
            starts = columns["valid_start"][rows[known]]
            born.append(int(starts.min()) if len(starts) else FOREVER)
        return born
