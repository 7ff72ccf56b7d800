"""Rows of entities in, values of features out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, cast

from headwater.columns import Column, listed

if TYPE_CHECKING:
    import pandas as pd

EVENT_TIMESTAMP = "event_timestamp"


class Frame(Protocol):
    """What of a pandas DataFrame is used."""

    def to_dict(self, orient: str) -> Mapping[str, list[Any]]: ...


class FeatureResult:
    """The values by column, entities first; all columns have one length, in the order of the rows asked for.

    >>> client.get_online_features(["payments:mean_30d"], {"customer": [7, 9]})
    <FeatureResult of 2 rows: customer, payments:mean_30d>
    """

    def __init__(self, answer: Mapping[str, Any]) -> None:
        self.keys: tuple[str, ...] = tuple(answer["metadata"].get("feature_keys", ()))
        """Of the features, in the order asked for."""
        names: list[str] = answer["metadata"]["feature_names"]
        results: dict[str, Any] = dict(zip(names, answer["results"], strict=True))
        self._columns: dict[str, list[Any]] = {name: list(column["values"]) for name, column in results.items()}
        self._statuses: dict[str, list[str]] = {name: list(column["statuses"]) for name, column in results.items()}

    def to_dict(self) -> dict[str, list[Any]]:
        """Lists by name.

        >>> client.get_online_features(["payments:mean_30d"], {"customer": [7, 9]}).to_dict()
        {'customer': [7, 9], 'payments:mean_30d': [12.5, None]}
        """
        return {name: list(values) for name, values in self._columns.items()}

    def statuses(self) -> dict[str, list[str]]:
        """`PRESENT` or `NOT_FOUND` for each value.

        >>> client.get_online_features(["payments:mean_30d"], {"customer": [7, 9]}).statuses()["payments:mean_30d"]
        ['PRESENT', 'NOT_FOUND']
        """
        return {name: list(values) for name, values in self._statuses.items()}

    def to_df(self) -> pd.DataFrame:
        """A pandas DataFrame; pandas must be installed.

        >>> client.get_online_features(["payments:mean_30d"], {"customer": [7, 9]}).to_df().shape
        (2, 2)
        """
        import pandas as pd  # noqa: PLC0415 (only who asks for it needs it)

        return pd.DataFrame(self._columns)

    def __repr__(self) -> str:
        rows = len(next(iter(self._columns.values()), []))
        return f"<FeatureResult of {rows} rows: {', '.join(self._columns)}>"


def columns_of(entity_rows: Iterable[Mapping[str, Any]] | Mapping[str, Column] | Frame) -> dict[str, list[Any]]:
    """Rows, columns or a DataFrame as columns. Raises ValueError for rows that differ in what they name."""
    if hasattr(entity_rows, "to_dict"):
        return dict(cast("Frame", entity_rows).to_dict("list"))
    if isinstance(entity_rows, Mapping):
        columns = {name: listed(values) for name, values in entity_rows.items()}
    else:
        rows = [dict(row) for row in entity_rows]
        names = list(rows[0]) if rows else []
        for number, row in enumerate(rows):
            if row.keys() != set(names):
                raise ValueError(f"row {number} names {', '.join(row)}, the first row {', '.join(names)}")
        columns = {name: [row[name] for row in rows] for name in names}
    if len({len(values) for values in columns.values()}) > 1:
        lengths = ", ".join(f"{name} {len(values)}" for name, values in columns.items())
        raise ValueError(f"the columns differ in length: {lengths}")
    return columns
