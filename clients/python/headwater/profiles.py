"""The reference profile of a model version: how its inputs and outputs were distributed when it was trained.

It is registered with the version, and what the deployment sees later is compared with it.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from headwater.columns import Column, listed

BINS = 64
CATEGORIES = 50


def profile(inputs: Mapping[str, Column], outputs: Mapping[str, Column]) -> dict[str, Any]:
    """The profile of columns of one length: lists, numpy arrays, pandas Series.

    Numbers are counted between the quantiles of the column, everything else (truth values too) by value. None and NaN are
    missing. Raises ValueError for columns of different lengths and for columns that hold lists.

    >>> profile({"country": ["DE", "FR", "DE"]}, {"score": [0.1, 0.2, 0.3]})["inputs"]["country"]["counts"]
    {'DE': 2, 'FR': 1}
    """
    lengths = {f"input {name}": len(values) for name, values in inputs.items()}
    lengths |= {f"output {name}": len(values) for name, values in outputs.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"the columns differ in length: {', '.join(f'{n} {size}' for n, size in lengths.items())}")
    return {
        "rows": next(iter(lengths.values()), 0),
        "inputs": {name: _column(f"input {name}", values) for name, values in inputs.items()},
        "outputs": {name: _column(f"output {name}", values) for name, values in outputs.items()},
    }


def _column(name: str, values: Column) -> dict[str, Any]:
    plain = listed(values)
    there = [value for value in plain if not _is_missing(value)]
    if any(isinstance(value, (list, tuple, dict)) for value in there):
        raise ValueError(f"{name} holds lists; profile their elements as columns of their own, or leave it out")
    missing = len(plain) - len(there)
    if there and all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in there):
        return _numbers([float(value) for value in there], missing)
    return _categories(there, missing)


def _numbers(values: list[float], missing: int) -> dict[str, Any]:
    ordered = sorted(values)
    finite = [value for value in ordered if math.isfinite(value)]
    edges = sorted({finite[len(finite) * step // BINS] for step in range(1, BINS)}) if finite else []
    below = [0, *(bisect_left(ordered, edge) for edge in edges), len(ordered)]
    counts = [end - start for start, end in pairwise(below)]
    mean = math.fsum(finite) / len(finite) if finite else None
    sd = math.sqrt(math.fsum((x - mean) ** 2 for x in finite) / len(finite)) if mean is not None else None
    return {"kind": "number", "edges": edges, "counts": counts, "missing": missing, "mean": mean, "sd": sd}


def _categories(values: list[Any], missing: int) -> dict[str, Any]:
    ranked = sorted(Counter(map(_text, values)).items(), key=lambda item: (-item[1], item[0]))
    kept, rest = ranked[:CATEGORIES], ranked[CATEGORIES:]
    return {
        "kind": "category",
        "counts": dict(sorted(kept)),
        "other": sum(count for _, count in rest),
        "missing": missing,
    }


def _is_missing(value: Any) -> bool:
    if isinstance(value, float):
        return math.isnan(value)
    return value is None or type(value).__name__ in {"NAType", "NaTType"}  # pandas'


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
