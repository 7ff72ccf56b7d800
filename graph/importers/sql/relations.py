"""What a table or a query offers: its columns, each with the columns of stored tables that its values come from.

All of it are sets, put together from the inside out, so that a query costs time in proportion to its text, whatever it
would be if its parts were written out.
"""

from collections.abc import Iterable, Sequence
from itertools import zip_longest
from typing import NamedTuple


class Leaf(NamedTuple):
    """A column of a stored table; None: some column of it, nobody knows which."""

    table: str
    column: str | None


Leaves = frozenset[Leaf]
NOTHING: Leaves = frozenset()


class Item(NamedTuple):
    """A column; None: it has a name that only the database knows."""

    name: str | None
    leaves: Leaves


class Rest(NamedTuple):
    """Columns that are not known one by one: those of `table` but `without`, and what of all of them the `leaves` are."""

    table: str | None
    leaves: Leaves = NOTHING
    without: frozenset[str] = frozenset()

    def column(self, name: str) -> Leaves:
        return self.leaves if self.table is None else self.leaves | {Leaf(self.table, name)}

    def coarse(self) -> Leaves:
        return self.leaves if self.table is None else self.leaves | {Leaf(self.table, None)}


class Found(NamedTuple):
    leaves: Leaves
    coarse: Leaves | None = None
    """Where it is there only if one of the columns that are not known is it: what is sure of it even if it is not."""


class Relation:
    """Names are compared as most databases compare them: as written, else whatever their case."""

    def __init__(
        self, items: Iterable[Item | Rest], rows: Leaves = NOTHING, tables: frozenset[str] = frozenset()
    ) -> None:
        self.items = tuple(items)
        self.rows = rows
        """What all of its rows depend on: filters, joins, groups."""
        self.tables = tables
        """The stored tables that are read."""
        self._named: dict[str, Leaves] = {}
        for item in self.items:
            if isinstance(item, Item) and item.name is not None:
                for name in {item.name, item.name.casefold()}:
                    self._named[name] = self._named.get(name, NOTHING) | item.leaves
        self._rests = [item for item in self.items if isinstance(item, Rest)]
        self.is_closed = not self._rests
        """All of its columns are known, and so are their places."""
        self._rests += [Rest(None, item.leaves) for item in self.items if isinstance(item, Item) and item.name is None]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Relation) and (self.items, self.rows) == (other.items, other.rows)

    __hash__ = None  # type: ignore[assignment]

    def find(self, name: str) -> Found | None:
        known = self._named.get(name)
        if known is None:
            known = self._named.get(name.casefold())
        if known is not None:
            return Found(known)
        rests = [rest for rest in self._rests if name.casefold() not in rest.without]
        if not rests:
            return None
        coarse = union(rest.coarse() for rest in rests)
        return Found(rests[0].column(name) if len(rests) == 1 else coarse, coarse)

    def all(self) -> Leaves:
        """The sources of all columns."""
        return union(item.coarse() if isinstance(item, Rest) else item.leaves for item in self.items)

    def with_rows(self, rows: Leaves) -> "Relation":
        return Relation(self.items, self.rows | rows, self.tables)

    def named(self, names: Sequence[str]) -> "Relation":
        """With the first columns called so."""
        if not names:
            return self
        first = self.items[: len(names)]
        if any(isinstance(item, Rest) for item in first):
            every = self.all()
            return Relation((*(Item(name, every) for name in names), Rest(None, every)), self.rows, self.tables)
        renamed = (
            Item(name, item.leaves if isinstance(item, Item) else NOTHING)
            for name, item in zip_longest(names, first, fillvalue=Item(None, NOTHING))
            if isinstance(name, str)
        )
        return Relation((*renamed, *self.items[len(names) :]), self.rows, self.tables)


def union(many: Iterable[Leaves]) -> Leaves:
    return NOTHING.union(*many)


def stored(table: str, columns: Sequence[str] | None, is_complete: bool = True) -> Relation:
    """A table, with the columns that are known of it."""
    items: list[Item | Rest] = [Item(name, frozenset((Leaf(table, name),))) for name in columns or ()]
    if columns is None or not is_complete:
        items.append(Rest(table, without=frozenset(name.casefold() for name in columns or ())))
    return Relation(items, tables=frozenset((table,)))


def opaque(leaves: Leaves, names: Sequence[str] = (), is_closed: bool = False) -> Relation:
    """What a function makes of its arguments: every column may come from all of them."""
    items: list[Item | Rest] = [Item(name, leaves) for name in names]
    return Relation(items if is_closed else [*items, Rest(None, leaves)])


def combined(left: Relation, right: Relation, by_name: bool, is_filter: bool) -> Relation:
    """A set operation; `is_filter`: which rows are in it depends on all columns of both."""
    tables, rows = left.tables | right.tables, left.rows | right.rows
    if is_filter:
        rows |= left.all() | right.all()
    items: list[Item | Rest]
    if by_name:
        names = {item.name: None for side in (left, right) for item in side.items if isinstance(item, Item)}
        items = []
        for name in names:
            found = [side.find(name) for side in (left, right)] if name is not None else []
            leaves = union(each.leaves for each in found if each) if name is not None else left.all() | right.all()
            items.append(Item(name, leaves))
        items += [item for side in (left, right) for item in side.items if isinstance(item, Rest)]
    elif left.is_closed and right.is_closed and len(left.items) == len(right.items):
        items = [
            Item(one.name, one.leaves | other.leaves)
            for one, other in zip(left.items, right.items, strict=True)
            if isinstance(one, Item) and isinstance(other, Item)
        ]
    else:
        every = right.all()
        items = [each._replace(leaves=each.leaves | every) for each in left.items]
    return Relation(items, rows, tables)
