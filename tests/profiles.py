"""Reference profiles made from columns, as the client makes them."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Column = NDArray[Any]


def profile_of(inputs: Mapping[str, Column], outputs: Mapping[str, Column] | None = None) -> dict[str, Any]:
    rows = len(next(iter(inputs.values())))
    sides = {"inputs": inputs, "outputs": outputs or {}}
    return {"rows": rows} | {
        side: {name: _column(column) for name, column in columns.items()} for side, columns in sides.items()
    }


def _column(column: Column) -> dict[str, Any]:
    if column.dtype.kind == "O":
        found = Counter(column.tolist())
        missing = found.pop(None, 0)
        counts = dict(found.most_common(50))
        other = found.total() - sum(counts.values())
        return {"kind": "category", "counts": counts, "other": other, "missing": missing}
    there = column[~np.isnan(column)]
    edges = np.unique(np.quantile(there, np.arange(1, 64) / 64))
    in_bins = np.bincount(np.searchsorted(edges, there, side="right"), minlength=len(edges) + 1)
    return {
        "kind": "number",
        "edges": edges.tolist(),
        "counts": in_bins.tolist(),
        "missing": int(len(column) - len(there)),
        "mean": float(there.mean()),
        "sd": float(there.std()),
    }
