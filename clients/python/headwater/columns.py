"""What a column of values may be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias


class Array(Protocol):
    """What of numpy arrays and pandas Series is used."""

    def __len__(self) -> int: ...

    def tolist(self) -> Any: ...


Column: TypeAlias = Sequence[Any] | Array


def listed(column: Column) -> list[Any]:
    return list(column) if isinstance(column, Sequence) else list(column.tolist())
