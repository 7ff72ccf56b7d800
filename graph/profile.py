"""The form of a model version's reference profile: how its inputs and outputs were spread when it was trained.

    {"rows": 14,
     "inputs": {"alcohol": {"kind": "number", "edges": [12.5], "counts": [6, 7], "missing": 1, "mean": 12.9, "sd": 0.8},
                "colour": {"kind": "category", "counts": {"red": 10, "white": 4}, "other": 0, "missing": 0}},
     "outputs": {...}}

`edges` divide the numbers: bin i holds edges[i-1] <= x < edges[i], so there is one count more. `missing` holds what is
null, `other` what is in none of the categories counted. `mean` and `sd` may be null: no number was there.
"""

from collections.abc import Iterator
from itertools import pairwise

from graph.model import Json

MAX_EDGES = 63
MAX_CATEGORIES = 50

_NAMES = {
    "number": {"kind", "edges", "counts", "missing", "mean", "sd"},
    "category": {"kind", "counts", "other", "missing"},
}


def profile_problem(profile: Json) -> str | None:
    """The first place that is wrong, and what would be right; None for a profile."""
    return next(_problems(profile), None)


def _problems(profile: Json) -> Iterator[str]:
    if not isinstance(profile, dict) or profile.keys() != {"rows", "inputs", "outputs"}:
        yield "it must be {rows, inputs, outputs}"
        return
    if not _is_count(profile["rows"]):
        yield "rows must be a whole number, 0 or more"
    for side in ("inputs", "outputs"):
        columns = profile[side]
        if not isinstance(columns, dict):
            yield f"{side} must map names to columns"
            return
        for name, column in columns.items():
            yield from (f"{side}.{name}{problem}" for problem in _column_problems(column, profile["rows"]))


def _column_problems(column: Json, rows: Json) -> Iterator[str]:
    kind = column.get("kind") if isinstance(column, dict) else None
    if not isinstance(column, dict) or not isinstance(kind, str) or kind not in _NAMES:
        yield ".kind must be number or category"
        return
    if column.keys() != _NAMES[kind]:
        yield f" must hold {', '.join(sorted(_NAMES[kind]))} and nothing else"
        return
    if kind == "number":
        edges, counts = column["edges"], column["counts"]
        if not isinstance(edges, list) or len(edges) > MAX_EDGES or not all(map(_is_number, edges)):
            yield f".edges must be a list of at most {MAX_EDGES} numbers"
        elif any(one >= other for one, other in pairwise(edges)):  # type: ignore[operator]  # they are numbers
            yield ".edges must ascend, each above the last"
        elif not isinstance(counts, list) or len(counts) != len(edges) + 1:
            yield f".counts must be a list of {len(edges) + 1}, one more than the edges"
        yield from (f".{name} must be a number or null" for name in ("mean", "sd") if not _is_moment(column[name]))
        counted = counts if isinstance(counts, list) else []
    else:
        counts = column["counts"]
        if not isinstance(counts, dict) or len(counts) > MAX_CATEGORIES:
            yield f".counts must map at most {MAX_CATEGORIES} categories to how often each is there"
        counted = [*(counts.values() if isinstance(counts, dict) else ()), column["other"]]
    counted = [*counted, column["missing"]]
    if not all(map(_is_count, counted)):
        yield "'s counts must be whole numbers, 0 or more"
    elif sum(counted) != rows:  # type: ignore[arg-type]  # they are whole numbers
        yield f" counts {sum(counted)} values, in a profile of {rows} rows"  # type: ignore[arg-type]


def _is_number(value: Json) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_moment(value: Json) -> bool:
    return value is None or _is_number(value)


def _is_count(value: Json) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
