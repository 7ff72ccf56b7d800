"""Columns that grow at the end, beside readers: how the tables of an index are kept, and grouped by place.

Rows are closed by writing their last revision. Compaction sorts the rows by place again, beside readers and the writer.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from graph import kernels
from graph.time import FOREVER, Instant
from graph.topology import ALWAYS, TIMES, Adjacency, Bools, Ints

AnyArray: TypeAlias = NDArray[Any]
_Item = TypeVar("_Item", bound=np.generic)


class Columns:
    """Named numpy columns of one length that grow at the end. A reader keeps the arrays and the count it has seen."""

    def __init__(self, **types: type[np.generic]) -> None:
        self.count = 0
        self.arrays: dict[str, AnyArray] = {name: np.empty(1024, kind) for name, kind in types.items()}

    def __getitem__(self, name: str) -> Ints:
        return self.arrays[name]

    @property
    def room(self) -> int:
        """How many rows the arrays can take."""
        return len(next(iter(self.arrays.values())))

    def adopt(self, arrays: Mapping[str, AnyArray], count: int) -> None:
        """Takes these, of which `count` rows are filled, in place of its own."""
        self.arrays = {name: arrays[name] for name in self.arrays}
        self.count = count

    def resized(self, room: int) -> dict[str, AnyArray]:
        """Its arrays as they are now, with more room at the end."""
        return {name: with_room(old[: self.count], room) for name, old in self.arrays.items()}

    def reserve(self, rows: int) -> None:
        """Makes room for so many, and what will soon come on top."""
        self._make_room(rows + rows // 4 + 1024)

    def extend(self, rows: Mapping[str, AnyArray]) -> int:
        """Appends rows; the number of the first one."""
        first, size = self.count, len(next(iter(rows.values())))
        self._make_room(first + size)
        for name, column in rows.items():
            self.arrays[name][first : first + size] = column
        self.count += size
        return first

    def append(self, *row: int | tuple[int, ...]) -> int:
        """Appends one row, its values in the order of the columns; its number."""
        number = self.count
        try:
            for column, value in zip(self.arrays.values(), row, strict=True):
                column[number] = value
        except IndexError:
            self._make_room(number + 1)
            return self.append(*row)
        self.count = number + 1
        return number

    def _make_room(self, needed: int) -> None:
        if needed > self.room:
            self.arrays = self.resized(max(needed, 2 * self.count))


class Timed(Columns):
    """Columns with valid and known time, whose four values stand side by side: they are always asked together."""

    def __init__(self, **types: type[np.generic]) -> None:
        super().__init__(**types)
        self.arrays["times"] = np.empty((1024, len(TIMES)), np.int64)
        self.groupings: list[Grouping] = []
        self.compacted = 0
        self._closed: list[int] | None = None

    @property
    def times(self) -> Ints:
        return self["times"]

    def by_name(self) -> dict[str, Ints]:
        """The columns, each of TIMES as one of its own."""
        named = {name: self[name] for name in self.arrays if name != "times"}
        return named | {name: self.times[:, place] for place, name in enumerate(TIMES)}

    def open(self, row: tuple[int, ...], since: Instant, until: Instant, revision: int) -> None:
        """Appends a row that is believed from `revision` on."""
        number = self.append(*row, (since, until, revision, FOREVER))
        for grouping in self.groupings:
            grouping.add(number, row[grouping.column])

    def open_many(self, rows: Mapping[str, AnyArray]) -> None:
        """Appends rows with all their columns, `times` among them."""
        first = self.extend(rows)
        for grouping in self.groupings:
            grouping.add_since(first)

    def close(self, number: int, revision: int) -> None:
        # Whoever sees this revision must look at the row's times: first that is marked, then they change.
        for grouping in self.groupings:
            grouping.doubt(number)
        self.times[number, kernels.LAST] = revision
        if self._closed is not None:
            self._closed.append(number)

    def is_open(self, number: int) -> bool:
        return bool(self.times[number, kernels.LAST] == FOREVER)

    def compact(self, changing: AbstractContextManager[object], now: Instant, revision: Callable[[], int]) -> None:
        """Sorts the rows by place, beside readers and the one writer, who holds `changing`: here it is held for moments.

        `now`: no later than any question about the present. `revision`: what the writer has reached.
        """
        with changing:
            closed: list[int] = []
            self._closed = closed
            base, times, cramped = self.count, self.times, self.room - self.count < self.count // 8
        live = (times[:base, kernels.LAST] == FOREVER) & (times[:base, kernels.UNTIL] > now)
        sorted_ = [grouping.sorted(live, now) for grouping in self.groupings]
        roomy = self.resized(base + base // 4 + 1024) if cramped else None
        with changing:
            if roomy is not None:
                self._move(roomy, base, closed)
            for grouping, entries in zip(self.groupings, sorted_, strict=True):
                grouping.take(entries, base, now, revision())
                for number in closed:
                    grouping.doubt(number)
            self._closed, self.compacted = None, base

    def _move(self, roomy: dict[str, AnyArray], base: int, closed: Sequence[int]) -> None:
        """Into arrays that were filled up to `base` before some of those rows were `closed`."""
        if len(roomy["times"]) > self.count:
            for name, old in self.arrays.items():
                roomy[name][base : self.count] = old[base : self.count]
            roomy["times"][closed] = self.times[closed]
            self.arrays = roomy


class Entries(NamedTuple):
    """Rows in order of their place; see `kernels.grouped`."""

    bounds: Ints
    far: Ints
    row: Ints
    flags: Ints

    def apart(self) -> "Entries":
        """The same, of which what is written over when rows come or close is a copy; without the rows since."""
        bounds = self.bounds.copy()
        bounds[:, kernels.RECENT] = -1
        return self._replace(bounds=bounds, flags=self.flags.copy())


class Grouping:
    """The rows of a table by one of its columns, whose values are numbers of `places`: compressed up to some row, and
    chained since. `skipped`: a place whose rows are left out, -1 for none."""

    def __init__(self, table: Timed, places: Columns, by: str, far: str, step: str | None, skipped: int = -1) -> None:
        self.column = list(table.arrays).index(by)
        self._table, self._places, self._columns = table, places, (by, far, step)
        self._by = by
        self._skipped = skipped
        self._base, self._now, self._revision = 0, ALWAYS.start, 0
        self._bounds, self._far, self._row, self._flags = self.sorted(np.zeros(0, np.bool_), self._now)
        self._following: Ints = np.full(1024, -1, np.int32)
        self._last: Ints = np.full(len(self._bounds), -1, np.int32)
        """The last of the rows since, by place; -1 for none."""
        table.groupings.append(self)

    def add(self, number: int, place: int) -> None:
        """Chains a new row, the last so far, to those of its place."""
        if place == self._skipped:
            return
        self.reach(place + 1)
        self._follow_up_to(number)
        last = int(self._last[place])
        if last < 0:
            self._bounds[place, kernels.RECENT] = number
        else:
            self._following[last - self._base] = number
        self._last[place] = number

    def add_since(self, first: int) -> None:
        """Chains the rows from `first` on, which are new."""
        places = self._table[self._by][first : self._table.count]
        if len(places):
            self.reach(int(places.max()) + 1)
            self._follow_up_to(self._table.count - 1)
            kernels.chained(first, places, self._skipped, self._bounds, self._following, self._last, self._base)

    def _follow_up_to(self, number: int) -> None:
        if number - self._base >= len(self._following):
            self._following = with_room(self._following, 2 * (number - self._base) + 1024, -1)

    def of(self, place: int) -> list[int]:
        """The rows of a place, whenever they held, in their order."""
        return self.of_many((place,))

    def of_many(self, places: Iterable[int]) -> list[int]:
        rows: list[int] = []
        for place in places:
            if place < len(self._bounds):
                begin, _, end, recent = self._bounds[place].tolist()
                if end > begin:
                    rows += self._row[begin:end].tolist()
                while recent >= 0:
                    rows.append(recent)
                    recent = int(self._following[recent - self._base])
        return rows

    def size(self, places: Iterable[int]) -> int:
        """How many compressed rows the places have, and one for those since."""
        size = 0
        for place in places:
            if place < len(self._bounds):
                begin, _, end, recent = self._bounds[place].tolist()
                size += end - begin + (recent >= 0)
        return size

    def reach(self, places: int) -> None:
        """Makes room for so many places."""
        if places > len(self._bounds):
            grown = with_room(self._bounds, max(places, 2 * len(self._bounds)), 0)
            grown[len(self._bounds) :, kernels.RECENT] = -1
            self._bounds = grown
            self._last = with_room(self._last, len(grown), -1)

    def doubt(self, number: int) -> None:
        """The row is closed: from now on its times must be looked at."""
        place = int(self._table[self._by][number])
        if number >= self._base or place == self._skipped:  # those since are looked at anyway
            return
        begin, live = self._bounds[place, : kernels.END].tolist()
        entry = begin + int(np.searchsorted(self._row[begin:live], number))
        if entry < live and self._row[entry] == number:
            self._flags[entry] |= kernels.CHECK

    def seen(self) -> Adjacency:
        self.reach(self._places.count)
        return Adjacency(
            self._bounds,
            self._far,
            self._row,
            self._flags,
            self._following,
            self._base,
            self._now,
            self._revision,
            self._table.count,
        )

    def sorted(self, live: Bools, now: Instant) -> Entries:
        """The rows that `live` tells of in order of place. Changes nothing, and holds the interpreter's lock for moments."""
        table, places = self._table, self._places.count
        bounds = np.zeros((places + places // 4 + 1024, 4), np.int32)
        by, far, step = self._columns
        steps = table[step] if step else np.zeros(len(live), np.uint8)
        columns = table[by], table[far], steps, table.times
        return Entries(bounds, *kernels.grouped(*columns, live, now, self._skipped, FOREVER, bounds))

    def entries(self) -> tuple[Entries, int, Instant, int]:
        """What `take` takes, to be taken again."""
        return Entries(self._bounds, self._far, self._row, self._flags), self._base, self._now, self._revision

    def take(self, entries: Entries, base: int, now: Instant, revision: int) -> None:
        """Takes these over, which hold the rows below `base`; adds the rows since."""
        self._bounds, self._far, self._row, self._flags = entries
        self._base, self._now, self._revision = base, now, revision
        self._following = np.full(1024, -1, np.int32)
        self._last = np.full(len(self._bounds), -1, np.int32)
        self.add_since(base)


_Name = TypeVar("_Name", bound=Hashable)


class Names(list[_Name]):
    """Names by number, in the order of their first use."""

    def __init__(self, names: Iterable[_Name] = ()) -> None:
        super().__init__(names)
        self._numbers: dict[_Name, int] = {name: number for number, name in enumerate(self)}

    def number(self, name: _Name) -> int:
        """Its number, from now on if it is new."""
        number = self._numbers.setdefault(name, len(self))
        if number == len(self):
            self.append(name)
        return number


def with_room(old: NDArray[_Item], room: int, fill: int | None = None) -> NDArray[_Item]:
    grown = np.empty((room, *old.shape[1:]), old.dtype)
    grown[: len(old)] = old
    if fill is not None:
        grown[len(old) :] = fill
    return grown
