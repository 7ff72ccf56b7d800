"""A model version's reference profile as detectors read it; `graph.profile` tells its form."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from app.events import Side
from graph.model import Json
from graph.profile import profile_problem


class ProfileInvalid(Exception):
    """`str(error)` says what is wrong, and where it stands."""


@dataclass(frozen=True, slots=True)
class Numbers:
    edges: NDArray[np.float64]
    """Inner quantiles: bin i holds edges[i-1] <= x < edges[i]."""
    counts: NDArray[np.int64]
    missing: int
    mean: float | None
    sd: float | None


@dataclass(frozen=True, slots=True)
class Categories:
    counts: Mapping[str, int]
    other: int
    """In categories that have no count of their own."""
    missing: int


Column: TypeAlias = Numbers | Categories
Profile: TypeAlias = Mapping[tuple[Side, str], Column]


def read_profile(value: Json) -> Profile:
    """Raises ProfileInvalid."""
    if (problem := profile_problem(value)) is not None:
        raise ProfileInvalid(f"its profile cannot be read: {problem}")
    sides = cast("dict[str, dict[str, dict[str, Any]]]", value)
    return {(side, name): _column(column) for side in Side for name, column in sides[f"{side}s"].items()}


def _column(column: Mapping[str, Any]) -> Column:
    if column["kind"] == "number":
        edges, counts = np.array(column["edges"], np.float64), np.array(column["counts"], np.int64)
        return Numbers(edges, counts, column["missing"], column["mean"], column["sd"])
    return Categories(dict(sorted(column["counts"].items())), column["other"], column["missing"])
