"""What a question about the features of one source is made of, and its answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from graph.keys import AssetKey

Instants: TypeAlias = NDArray[np.int64]
Values: TypeAlias = "Sequence[Any] | NDArray[Any]"


@dataclass(frozen=True, slots=True)
class Source:
    """`timestamp` names the column that says since when a row holds; None: each always did, the last one wins."""

    dataset: AssetKey
    rows: pa.Table
    timestamp: str | None


@dataclass(frozen=True, slots=True)
class Definition:
    """A SQL expression over the columns of the source; None: the column of the feature's name."""

    feature: AssetKey
    sql: str | None


@dataclass(frozen=True, slots=True)
class Found:
    """One value for each row asked for; null without a row, and where the value is null."""

    values: Mapping[AssetKey, pa.Array]
    present: NDArray[np.bool_]
    """Whether there was a row then."""
    since: pa.Array
    """The time stamp of that row; null without."""
