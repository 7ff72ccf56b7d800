"""Reads all of a Neo4j store, for an index to be filled."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from graph.model import REFINES_FIRST
from graph.stores.contract import AssertionColumns, AssetColumns
from graph.stores.neo4j_connection import BACKGROUND_SECONDS, Neo4jConnection, Run, value
from graph.time import FOREVER

_CHUNK = 50_000


class Neo4jExport:
    """Reads in ranges of numbers, each a transaction of its own: what is numbered does not move."""

    def __init__(self, db: Neo4jConnection, revision: int, last_asset: int, last_assertion: int) -> None:
        self._db = db
        self._last_asset, self._last_assertion = last_asset, last_assertion
        self.revision = revision

    def assets(self) -> Iterator[AssetColumns]:
        for numbers, keys in self._chunks(_ASSETS, self._last_asset):
            yield AssetColumns(np.array(numbers, np.int64), keys)

    def assertions(self) -> Iterator[AssertionColumns]:
        bases = {basis.value: index for index, basis in enumerate(REFINES_FIRST)}
        for number, source, target, via, origin, basis, start, end, first, last, attributes in self._chunks(
            _ASSERTIONS, self._last_assertion
        ):
            origins = sorted(set(origin))
            code = {name: place for place, name in enumerate(origins)}
            yield AssertionColumns(
                number=np.array(number, np.int64),
                source=np.array(source, np.int64),
                target=np.array(target, np.int64),
                via=np.array(via, np.int64),
                origin=np.array([code[name] for name in origin], np.int64),
                basis=np.array([bases[each] for each in basis], np.int8),
                valid_start=np.array(start, np.int64),
                valid_end=np.array(end, np.int64),
                known_first=np.array(first, np.int64),
                known_last=np.array(last, np.int64),
                attributes=attributes,
                origins=origins,
            )

    def _chunks(self, query: str, last: int) -> Iterator[list[list[Any]]]:
        for low in range(1, last + 1, _CHUNK):
            high = min(low + _CHUNK, last + 1)
            columns = self._db.read(partial(_columns, query=query, low=low, high=high), BACKGROUND_SECONDS)
            if columns[0]:
                yield columns


def _columns(run: Run, query: str, low: int, high: int) -> list[list[Any]]:
    found: list[list[Any]] = value(run, query, low=low, high=high, forever=FOREVER)
    return found


_ASSETS = """
MATCH (k:Key) WHERE $low <= k.number < $high
RETURN [collect(k.number), collect(k.key)]
"""

_ASSERTIONS = """
MATCH (x:Assertion) WHERE $low <= x.number < $high
RETURN [collect(x.number), collect(x.source), collect(coalesce(x.target, 0)), collect(coalesce(x.via, 0)),
  collect(x.origin), collect(x.basis), collect(x.valid_start), collect(x.valid_end), collect(x.known_first),
  collect(coalesce(x.known_last, $forever)), collect(CASE WHEN x.target IS NULL THEN coalesce(x.attributes, '{}') ELSE '' END)]
"""
