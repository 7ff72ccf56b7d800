"""The graph as readers see it: vertices, rows of edges, and labels, in numpy columns.

Assets are numbered from 1 as they come (0 is none); each has one or two vertices (see `ports`), model versions a third.
An edge between vertices is a *row*: who says so, when it holds (valid time) and in which revisions it was believed (known
time). Rows by vertex are kept as compressed sparse rows, what holds now first, plus chains of the rows since.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from graph import kernels
from graph.errors import NotFound
from graph.keys import AssetKey, AssetKind
from graph.time import FOREVER, Instant, Interval

Ints: TypeAlias = NDArray[np.integer]
Bools: TypeAlias = NDArray[np.bool_]

KINDS = tuple(AssetKind)
KIND_CODE = {kind: code for code, kind in enumerate(KINDS)}
ALIAS_CODE = len(KINDS)
ALWAYS = Interval(-(2**63), FOREVER)
TIMES = ("valid_start", "valid_end", "known_first", "known_last")
"""The columns of `times`, in this order."""


def kinds_mask(kinds: Collection[AssetKind | None]) -> Bools:
    """By the code of a kind whether it is one of these; None: aliases."""
    return np.array([kind in kinds for kind in (*KINDS, None)])


class Moment(NamedTuple):
    """What held in the world at `at`, as it was believed at `revision`."""

    at: Instant
    revision: int


class Label(NamedTuple):
    """What of an asset's shown attributes lineage can be filtered and counted by."""

    owners: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    tier: int | None = None


@dataclass(frozen=True, slots=True)
class Adjacency:
    """Rows by place (a vertex, or an asset): compressed below row `base`, chains for the rows since.

    `bounds` has a row a place (see `kernels`); `far`, `row` and `flags` have one value an entry. What its live entries
    leave out holds at no moment of `now` or later and of `revision` or later.
    """

    bounds: Ints
    far: Ints
    row: Ints
    flags: Ints
    following: Ints
    """By row number less `base`: the next row of the same place, -1 after the last."""
    base: int
    now: Instant
    revision: int
    count: int
    """Rows from this one on came after this was made."""

    def of(self, place: int) -> list[int]:
        found: list[int] = self.of_many(np.array([place])).tolist()
        return found

    def of_many(self, places: Ints) -> Ints:
        """The rows of all `places`, in their order, whenever they held; of each place the recent ones last."""
        found: Ints = kernels.gathered(
            places.astype(np.int32, copy=False), self.bounds, self.row, self.following, self.base, self.count
        )
        return found

    def is_past(self, moment: Moment) -> bool:
        """Whether the live entries are not all that may hold then."""
        return moment.at < self.now or moment.revision < self.revision

    def without(self, rows: Ints, by: Ints) -> "Adjacency":
        """This without entries for `rows`; those since `base` stay in their chains. `by`: the place of each row."""
        flags = self.flags.copy()
        for row in rows[rows < self.base].tolist():
            begin, live, end, _ = self.bounds[by[row]].tolist()
            for start, stop in ((begin, live), (live, end)):
                entry = start + int(np.searchsorted(self.row[start:stop], row))
                if entry < stop and self.row[entry] == row:
                    flags[entry] = 0
        return replace(self, flags=flags)

    def at(self, moment: Moment, times: Ints) -> "Adjacency":
        """This with nothing but what held at one moment."""
        bounds, far, row, flags = kernels.held(*moment, self.bounds, self.far, self.row, self.flags, times)
        return replace(self, bounds=bounds, far=far, row=row, flags=flags, now=ALWAYS.start, revision=0)


class Moments:
    """The rows of a few past moments, compacted: asked again, such a moment costs no more than now."""

    def __init__(self, at_most: int = 4) -> None:
        self._at_most = at_most
        self._kept: dict[Moment, tuple[Adjacency, Adjacency]] = {}

    def get(self, moment: Moment) -> tuple[Adjacency, Adjacency] | None:
        return self._kept.get(moment)

    def keep(self, moment: Moment, down: Adjacency, up: Adjacency) -> None:
        """In place of the moment kept longest, if there are too many."""
        self._kept = dict([*self._kept.items(), (moment, (down, up))][-self._at_most :])


class Joins:
    """The rows that tell which assets are the same, and what `same` found of a few moments."""

    def __init__(self, rows: Ints) -> None:
        self.rows, self.any = rows, len(rows) > 0
        self._kept: list[tuple[tuple[int, int], tuple[int, int], object]] = []

    def get(self, moment: Moment) -> object | None:
        for valid, known, found in self._kept:
            if valid[0] <= moment.at < valid[1] and known[0] <= moment.revision < known[1]:
                return found
        return None

    def keep(self, valid: tuple[int, int], known: tuple[int, int], found: object) -> None:
        """It is so at all moments within."""
        self._kept = [(valid, known, found), *self._kept[:7]]


@dataclass(frozen=True, slots=True)
class View:
    """What a reader works on: the arrays as they stand at `revision`. Later changes never show at that revision."""

    revision: int
    assets: int
    """Numbers below this one are assets of this view; what follows came later."""
    keys: list[str]
    numbers: Mapping[str, int]
    kind: Ints
    container: Ints
    first_part: Ints
    next_part: Ints
    """The parts of a container by number: its first, and after each part the next; 0 for none."""
    namespace: Ints
    namespaces: list[str]
    whole: Ints
    any: Ints
    vertex_asset: Ints
    vertex_port: Ints
    vertices: int
    rows: Mapping[str, Ints]
    times: Ints
    """Of each row the columns TIMES, which `rows` has too."""
    row_count: int
    down: Adjacency
    up: Adjacency
    moments: Moments
    label_rows: Mapping[str, Ints]
    label_times: Ints
    labels_by_asset: Adjacency
    label_count: int
    labels: Sequence[Label]
    owners: Sequence[tuple[str, ...]]
    """The first is nobody."""
    owners_of: Ints
    """By label the place of its owners among `owners`."""
    nearest_first: Callable[[Ints, Ints], Ints]
    """The places of assets by their hops and then by the keys' text."""
    origins: Sequence[str]
    joins: Joins

    def number(self, key: AssetKey) -> int:
        """Raises NotFound."""
        number = self.numbers.get(str(key))
        if number is None or number >= self.assets:
            raise NotFound(key)
        return number

    def parts_of(self, number: int) -> list[int]:
        """The numbers of all parts it ever had, in order."""
        found: list[int] = self.parts_of_many(np.array([number])).tolist()
        return found

    def parts_of_many(self, containers: Ints) -> Ints:
        containers = containers.astype(np.int32, copy=False)
        found: Ints = kernels.parts_among(containers, self.first_part, self.next_part, self.assets)
        return found

    def key(self, number: int) -> AssetKey:
        return AssetKey.parse(self.keys[number])

    def around(self, downstream: bool, moment: Moment) -> tuple[Adjacency, bool]:
        """The rows by the vertex they leave (or reach), and whether all their times must be looked at."""
        adjacency = self.down if downstream else self.up
        if not adjacency.is_past(moment):
            return adjacency, False
        kept = self.moments.get(moment)
        return (adjacency, True) if kept is None else (kept[not downstream], False)

    def remember(self, moment: Moment) -> None:
        """Prepares for further questions about a past moment: it takes as long as two or three of them."""
        if self.down.is_past(moment) and self.moments.get(moment) is None:
            self.moments.keep(moment, self.down.at(moment, self.times), self.up.at(moment, self.times))

    def forgetting(self, rows: Ints) -> "View":
        """The graph as if nobody had ever told of `rows`."""
        if not len(rows):
            return self
        step = self.rows["step"].copy()
        step[rows] = 0  # no walk takes it
        down, up = self.down.without(rows, self.rows["source"]), self.up.without(rows, self.rows["target"])
        return replace(self, rows={**self.rows, "step": step}, down=down, up=up, moments=Moments())

    def holding(self, rows: Ints, moment: Moment) -> Ints:
        """Those of `rows` that held at that moment."""
        rows = rows.astype(np.int32, copy=False)
        held: Ints = kernels.holding(rows, *moment, self.row_count, self.times, self.rows["step"])
        return held

    def is_surely_said(self, number: int, moment: Moment) -> bool:
        """False says nothing. For one asset that is there now this is much faster than `label_codes`."""
        by = self.labels_by_asset
        if by.is_past(moment) or number >= len(by.bounds):
            return False
        begin, live, _, _ = by.bounds[number].tolist()
        return begin < live and not by.flags[begin] & kernels.CHECK

    def label_codes(self, assets: Ints, moment: Moment) -> Ints:
        """The label of each asset then; -1 for those that no assertion said to be (stubs)."""
        return self.labelled(assets, moment)[0]

    def labelled(self, assets: Ints, moment: Moment) -> tuple[Ints, Ints, int]:
        """`label_codes`; the owners of each, of its container where the label of a part names none, as places among
        `owners`; and how many parts have no label.
        """
        by = self.labels_by_asset
        found: tuple[Ints, Ints, int] = kernels.labelled(
            assets.astype(np.int32, copy=False),
            by.is_past(moment),
            *moment,
            by.bounds,
            by.far,
            by.row,
            by.flags,
            by.following,
            by.base,
            self.label_count,
            self.label_times,
            self.label_rows["label"],
            self.container,
            self.owners_of,
        )
        return found

    def newest_parts(self, containers: Ints, moment: Moment) -> tuple[Ints, Ints]:
        """The parts of each that are asserted since the latest instant; the containers of which no part is asserted.

        In the order of the containers. Since when: as far back as was then believed.
        """
        by = self.labels_by_asset
        found: tuple[Ints, Ints] = kernels.newest_parts(
            containers.astype(np.int32, copy=False),
            self.first_part,
            self.next_part,
            self.assets,
            *moment,
            by.bounds,
            by.row,
            by.following,
            by.base,
            self.label_count,
            self.label_times,
        )
        return found
