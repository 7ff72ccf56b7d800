"""What an answer holds, counted and in columns: by codes, for all rows at once.

Kinds, namespaces, labels and times are few where rows are many, so each is turned into what leaves once, not row by row.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import unquote

import numpy as np

from graph.impact import When
from graph.keys import AssetKind
from graph.topology import KINDS, Ints, Label
from graph.walk import Lineage

_COLUMN = AssetKind.COLUMN + ":"


def count_by_kind(lineage: Lineage, rows: Ints) -> dict[AssetKind, int]:
    """How many of `rows` are of each kind, in the order of the kinds' names; kinds of none are absent."""
    counts = np.bincount(lineage.view.kind[lineage.assets[rows]], minlength=len(KINDS)).tolist()
    return {kind: counts[KINDS.index(kind)] for kind in sorted(KINDS) if counts[KINDS.index(kind)]}


def count_by_owner(lineage: Lineage, rows: Ints) -> dict[str | None, int]:
    """How many of `rows` each owner has, by name; None, last, is for those that nobody owns.

    An asset with two owners counts for both.
    """
    counts = np.bincount(lineage.owners[rows], minlength=1)
    found: dict[str, int] = {}
    for place in np.flatnonzero(counts).tolist():
        for owner in dict.fromkeys(lineage.view.owners[place]):
            found[owner] = found.get(owner, 0) + int(counts[place])
    named: dict[str | None, int] = {name: found[name] for name in sorted(found)}
    return named | {None: int(counts[0])} if counts[0] else named


def count_by_when(felt: Ints, rows: Ints) -> dict[When, int]:
    """How many of `rows` are felt when, the soonest first; `felt` is of the whole lineage."""
    counts = np.bincount(felt[rows], minlength=len(When)).tolist()
    return {when: counts[when] for when in When if counts[when]}


def title(key: str) -> str:
    """What `AssetKey.parse(key).title` is, for the text of a key that is one."""
    head, sharp, part = key.partition("#")
    if not sharp:
        part = head.partition("/")[2]
    elif "." in part and head.startswith(_COLUMN):  # a nested column's path stands as the key writes it
        return part
    return unquote(part) if "%" in part else part


def namespace(key: str) -> str:
    """That of `AssetKey.parse(key)`, for the text of a key that is one."""
    text = key[key.index(":") + 1 : key.index("/")]
    return unquote(text) if "%" in text else text


def name(key: str) -> str:
    """That of `AssetKey.parse(key)`, for the text of a key that is one."""
    end = key.find("#")
    text = key[key.index("/") + 1 : end if end >= 0 else None]
    return unquote(text) if "%" in text else text


@dataclass(frozen=True, slots=True)
class Table:
    """Some rows of an answer, to be read as columns of equal length."""

    lineage: Lineage
    rows: Ints
    felt: Ints
    """Of the whole lineage."""
    labels: Mapping[int, Label]
    """All that occur, by code."""

    def __len__(self) -> int:
        return len(self.rows)

    def part(self, start: int, end: int) -> "Table":
        return Table(self.lineage, self.rows[start:end], self.felt, self.labels)

    @property
    def assets(self) -> Ints:
        return self.lineage.assets[self.rows]

    @property
    def label_codes(self) -> Ints:
        return self.lineage.labels[self.rows]

    @property
    def owner_codes(self) -> Ints:
        """Places among the view's owners."""
        return self.lineage.owners[self.rows]

    def texts(self) -> list[str]:
        keys = self.lineage.view.keys
        return [keys[number] for number in self.assets.tolist()]


def table(lineage: Lineage, rows: Ints, felt: Ints) -> Table:
    codes = (np.flatnonzero(np.bincount(lineage.labels[rows] + 1)) - 1).tolist()
    labels = {code: lineage.view.labels[code] if code >= 0 else Label() for code in codes}
    return Table(lineage, rows, felt, labels)


def _kinds(table: Table) -> list[object]:
    names = [kind.value for kind in KINDS]
    return [names[code] for code in table.lineage.view.kind[table.assets].tolist()]


def _namespaces(table: Table) -> list[object]:
    names = table.lineage.view.namespaces
    return [names[code] for code in table.lineage.view.namespace[table.assets].tolist()]


def _whens(table: Table) -> list[object]:
    names = [when.name for when in When]
    return [names[code] for code in table.felt[table.rows].tolist()]


COLUMNS: dict[str, Callable[[Table], list[object]]] = {
    "key": lambda table: [*table.texts()],
    "kind": _kinds,
    "namespace": _namespaces,
    "title": lambda table: [title(key) for key in table.texts()],
    "hops": lambda table: table.lineage.hops[table.rows].tolist(),
    "when": _whens,
    "partly": lambda table: table.lineage.partly[table.rows].tolist(),
    "stub": lambda table: table.lineage.stub[table.rows].tolist(),
    "owners": lambda table: [table.lineage.view.owners[code] for code in table.owner_codes.tolist()],
    "tags": lambda table: [table.labels[code].tags for code in table.label_codes.tolist()],
    "tier": lambda table: [table.labels[code].tier for code in table.label_codes.tolist()],
}
"""The columnar form: what is read of each row, in this order. Times are names of `When`."""
