"""A model version's reference profile: how its inputs and outputs were spread when it was trained.

    {"rows": 14,
     "inputs": {"alcohol": {"kind": "number", "edges": [12.5], "counts": [6, 7], "missing": 1, "mean": 12.9, "sd": 0.8},
                "colour": {"kind": "category", "counts": {"red": 10, "white": 4}, "other": 0, "missing": 0}},
     "outputs": {...}}

`edges` divide the numbers: bin i holds edges[i-1] <= x < edges[i], so there is one count more. `missing` holds what is
null, `other` what is in none of the categories counted. `mean` and `sd` may be null: no number was there.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias, TypeGuard

import numpy as np
from numpy.typing import NDArray

from graph.model import Json

MAX_EDGES = 63
MAX_CATEGORIES = 50
MAX_ROWS = 2**53

_NAMES = {
    "number": {"kind", "edges", "counts", "missing", "mean", "sd"},
    "category": {"kind", "counts", "other", "missing"},
}


class ProfileInvalid(Exception):
    """`str(error)` says where it is wrong first, and what would be right."""


@dataclass(frozen=True, slots=True)
class Numbers:
    edges: NDArray[np.float64]
    counts: NDArray[np.int64]
    missing: int
    mean: float | None
    sd: float | None


@dataclass(frozen=True, slots=True)
class Categories:
    counts: Mapping[str, int]
    other: int
    missing: int


Column: TypeAlias = Numbers | Categories


@dataclass(frozen=True, slots=True)
class Profile:
    rows: int
    inputs: Mapping[str, Column]
    outputs: Mapping[str, Column]


def read_profile(value: Json) -> Profile:
    """Raises ProfileInvalid."""
    if not isinstance(value, dict) or value.keys() != {"rows", "inputs", "outputs"}:
        raise ProfileInvalid("it must be {rows, inputs, outputs}")
    rows = value["rows"]
    if not _is_count(rows) or rows > MAX_ROWS:
        raise ProfileInvalid(f"rows must be a whole number from 0 to {MAX_ROWS}")
    return Profile(rows, _columns("inputs", value["inputs"], rows), _columns("outputs", value["outputs"], rows))


def _columns(side: str, columns: Json, rows: int) -> dict[str, Column]:
    if not isinstance(columns, dict):
        raise ProfileInvalid(f"{side} must map names to columns")
    return {name: _column(f"{side}.{name}", column, rows) for name, column in columns.items()}


def _column(place: str, column: Json, rows: int) -> Column:
    kind = column.get("kind") if isinstance(column, dict) else None
    if not isinstance(column, dict) or not isinstance(kind, str) or kind not in _NAMES:
        raise ProfileInvalid(f"{place}.kind must be number or category")
    if column.keys() != _NAMES[kind]:
        raise ProfileInvalid(f"{place} must hold {', '.join(sorted(_NAMES[kind]))} and nothing else")
    return _numbers(place, column, rows) if kind == "number" else _categories(place, column, rows)


def _numbers(place: str, column: Mapping[str, Json], rows: int) -> Numbers:
    given, counts = column["edges"], column["counts"]
    edges = [_number(edge) for edge in given] if isinstance(given, list) else [None]
    known = [edge for edge in edges if edge is not None]
    if len(edges) > MAX_EDGES or len(known) < len(edges):
        raise ProfileInvalid(f"{place}.edges must be a list of at most {MAX_EDGES} numbers")
    if any(one >= other for one, other in pairwise(known)):
        raise ProfileInvalid(f"{place}.edges must ascend, each above the last")
    if not isinstance(counts, list) or len(counts) != len(edges) + 1:
        raise ProfileInvalid(f"{place}.counts must be a list of {len(edges) + 1}, one more than the edges")
    *counted, missing = _counted(place, [*counts, column["missing"]], rows)
    moments = [None if column[name] is None else _number(column[name]) for name in ("mean", "sd")]
    for name, moment in zip(("mean", "sd"), moments, strict=True):
        if moment is None and column[name] is not None:
            raise ProfileInvalid(f"{place}.{name} must be a number or null")
    return Numbers(np.array(known, np.float64), np.array(counted, np.int64), missing, *moments)


def _categories(place: str, column: Mapping[str, Json], rows: int) -> Categories:
    counts = column["counts"]
    if not isinstance(counts, dict) or len(counts) > MAX_CATEGORIES:
        raise ProfileInvalid(f"{place}.counts must map at most {MAX_CATEGORIES} categories to how often each is there")
    names = sorted(counts)
    *counted, other, missing = _counted(place, [*map(counts.get, names), column["other"], column["missing"]], rows)
    return Categories(dict(zip(names, counted, strict=True)), other, missing)


def _counted(place: str, counts: list[Json], rows: int) -> list[int]:
    counted = [count for count in counts if _is_count(count)]
    if len(counted) < len(counts):
        raise ProfileInvalid(f"{place}'s counts must be whole numbers, 0 or more")
    if sum(counted) != rows:
        raise ProfileInvalid(f"{place} counts {sum(counted)} values, in a profile of {rows} rows")
    return counted


def _number(value: Json) -> float | None:
    """None for what is none, or beyond what a double holds."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _is_count(value: Json) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
