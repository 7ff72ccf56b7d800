"""Values of features."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from headwater.columns import Column
from headwater.connection import Connection
from headwater.features import EVENT_TIMESTAMP, FeatureResult, Frame, columns_of
from headwater.transport import Json, Steps, posted


def get_batch_features(
    self: Connection,
    /,
    features: Sequence[str],
    entity_rows: Iterable[Mapping[str, Any]] | Mapping[str, Column] | Frame,
) -> Steps[FeatureResult]:
    """The values for each row, as of its `event_timestamp` where the rows have one, else as of now.

    `features` are `view:feature` or asset keys; `entity_rows` a list of rows, columns, or a DataFrame.

    >>> client.get_batch_features(["payments:mean_30d"], {"customer": [7]}).to_dict()
    {'customer': [7], 'payments:mean_30d': [12.5]}
    """
    entities = columns_of(entity_rows)
    timestamps = entities.pop(EVENT_TIMESTAMP, None)
    body: Json = {"features": list(features), "entities": entities}
    if timestamps is not None:
        body[EVENT_TIMESTAMP] = timestamps
    result = FeatureResult((yield from posted("/api/v1/features/batch", body)))
    self._noticed(dict(zip(features, result.keys, strict=False)))  # a service before keys were told has none
    return result


def get_online_features(
    self: Connection,
    /,
    features: Sequence[str],
    entity_rows: Iterable[Mapping[str, Any]] | Mapping[str, Column] | Frame,
) -> Steps[FeatureResult]:
    """The newest values for each row. A column `event_timestamp` is left out, so the rows of training can stay.

    >>> client.get_online_features(["payments:mean_30d"], [{"customer": 7}]).to_dict()
    {'customer': [7], 'payments:mean_30d': [12.5]}
    """
    entities = columns_of(entity_rows)
    entities.pop(EVENT_TIMESTAMP, None)
    return FeatureResult(
        (yield from posted("/api/v1/features/online", {"features": list(features), "entities": entities}))
    )
