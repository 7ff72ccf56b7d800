"""Everything of a SQLite store, read in large pieces: what the lineage index starts from."""

import sqlite3
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from graph.stores.contract import AssertionColumns, AssetColumns
from graph.time import FOREVER

_EXPORT_CHUNK = 100_000


class SqliteExport:
    """Reads within the one transaction it was opened in."""

    def __init__(self, db: sqlite3.Connection, revision: int) -> None:
        self._db = db
        self.revision = revision

    def assets(self) -> Iterator[AssetColumns]:
        rows = self._db.execute("SELECT number, key FROM asset ORDER BY number")
        while chunk := rows.fetchmany(_EXPORT_CHUNK):
            numbers, keys = zip(*chunk, strict=True)
            yield AssetColumns(np.array(numbers, np.int64), list(keys))

    def assertions(self) -> Iterator[AssertionColumns]:
        names = self._db.execute("SELECT number, name FROM origin ORDER BY number").fetchall()
        code = np.zeros(max((number for number, _ in names), default=0) + 1, np.int64)
        code[[number for number, _ in names]] = np.arange(len(names))
        origins = [name for _, name in names]
        last = self._db.execute("SELECT coalesce(max(number), 0) FROM assertion").fetchone()[0]
        for start in range(1, last + 1, _EXPORT_CHUNK):
            numbers = [start, start + _EXPORT_CHUNK]
            flows = _numbers(self._db.execute(_EXPORT_FLOWS, numbers).fetchone())
            yield _columns(flows, [""] * flows.shape[1], code, origins)
            assets = _numbers(self._db.execute(_EXPORT_ASSETS, numbers).fetchone())
            attributes = [text for (text,) in self._db.execute(_EXPORT_ATTRIBUTES, numbers)]
            yield _columns(assets, attributes, code, origins)


def _export_query(source: str, target: str, via: str, joined: str) -> str:
    """Each column's numbers as one text, which is read twice as fast as rows of numbers are.

    An open end of known time is written as 0, which no closed one is: a third less to read.
    """
    columns = ("a.number", source, target, via, "a.origin", "a.basis", "a.valid_start", "a.valid_end", "a.known_first")
    texts = ", ".join(f"group_concat({column})" for column in (*columns, f"a.known_last % {FOREVER}"))
    return f"SELECT {texts} FROM assertion a NOT INDEXED {joined} a.number >= ? AND a.number < ?"


_EXPORT_FLOWS = _export_query("f.source", "f.target", "f.via", "CROSS JOIN flow f ON f.number = a.flow WHERE")
_EXPORT_ASSETS = _export_query("a.asset", "0", "0", "WHERE a.asset IS NOT NULL AND")
_EXPORT_ATTRIBUTES = "SELECT attributes FROM assertion NOT INDEXED WHERE asset IS NOT NULL AND number >= ? AND number < ? ORDER BY number"


def _numbers(texts: Sequence[str | None]) -> NDArray[np.int64]:
    """A row for each column's text."""
    rows = np.array([np.fromstring(text or "", np.int64, sep=",") for text in texts])
    rows[-1, rows[-1] == 0] = FOREVER
    return rows


def _columns(
    rows: NDArray[np.int64], attributes: list[str], code: NDArray[np.int64], origins: list[str]
) -> AssertionColumns:
    number, source, target, via, origin, basis, start, end, first, last = rows
    return AssertionColumns(
        number=number,
        source=source,
        target=target,
        via=via,
        origin=code[origin],
        basis=basis.astype(np.int8),
        valid_start=start,
        valid_end=end,
        known_first=first,
        known_last=last,
        attributes=attributes,
        origins=origins,
    )
