"""A window of logged predictions against a profile: what is tested, and what counts as drift."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from app.events import Columns, DriftedColumn, LoggedRows, Side, WindowTested
from app.monitoring.detectors import Comparison, Detector
from graph.keys import AssetKey
from graph.model import Json
from graph.profile import Column, Profile

RUN_LENGTH = 365
"""Windows of a model per false alarm, where rows are independent: all tests of a window share the level 1/365."""
LEAST_EFFECT = 0.03
"""The smallest Jensen-Shannon divergence, in bits, that matters: a shift of about 0.4 standard deviations."""
LEAST_FACTOR, LEAST_POINTS = 3, 0.01
"""A share of missing values matters as well when it became (or fell to) so many times what it was, and moved so far."""


def judged(
    deployment: AssetKey, version: AssetKey, rows: LoggedRows, profile: Profile, signature: Json, detector: Detector
) -> WindowTested:
    """Compares every column that the profile has, in the order of the signature."""
    compared: dict[tuple[Side, str], Comparison] = {}
    left_out: dict[str, str] = {}
    for side, name in _in_order(signature, profile, rows):
        logged, profiled = _of(side, rows, profile)
        values, reference = logged.get(name), profiled.get(name)
        if values is None:
            left_out[name] = "not in the log"
        elif reference is None:
            left_out[name] = "not in the profile"
        elif values.ndim > 1 or any(isinstance(value, list | tuple | np.ndarray) for value in values[:100]):
            left_out[name] = "holds lists of values"
        else:
            compared[side, name] = detector.compare(reference, values)
    level = 1 / RUN_LENGTH / max(sum(len(comparison.tests) for comparison in compared.values()), 1)
    features = _features(signature)
    return WindowTested(
        deployment=deployment,
        version=version,
        start=rows.start,
        end=rows.end,
        rows=rows.count,
        columns=tuple(
            DriftedColumn(
                name=name,
                side=side,
                tests=comparison.tests,
                effect=comparison.effect,
                reference=comparison.reference,
                current=comparison.current,
                feature=features.get(name) if side is Side.INPUT else None,
            )
            for (side, name), comparison in compared.items()
        ),
        drifted=frozenset(place for place, comparison in compared.items() if drifted(comparison, level)),
        left_out=left_out,
    )


def drifted(comparison: Comparison, level: float) -> bool:
    """More than chance (Bonferroni: any test below its part of the level), and more than what does not matter."""
    unlikely = {test.name for test in comparison.tests if test.p_value < level}
    shares = comparison.reference["missing"], comparison.current["missing"]
    more_missing = max(shares) >= LEAST_FACTOR * min(shares) and abs(shares[0] - shares[1]) >= LEAST_POINTS
    return bool(unlikely) and (comparison.effect >= LEAST_EFFECT or ("missing" in unlikely and more_missing))


def _in_order(signature: Json, profile: Profile, rows: LoggedRows) -> Iterator[tuple[Side, str]]:
    for side in Side:
        logged, profiled = _of(side, rows, profile)
        stated = [str(tensor["name"]) for tensor in _tensors(signature, side)]
        yield from ((side, name) for name in dict.fromkeys([*stated, *profiled, *logged]))


def _of(side: Side, rows: LoggedRows, profile: Profile) -> tuple[Columns, Mapping[str, Column]]:
    return (rows.inputs, profile.inputs) if side is Side.INPUT else (rows.outputs, profile.outputs)


def _features(signature: Json) -> dict[str, AssetKey]:
    return {
        str(tensor["name"]): AssetKey.parse(str(tensor["feature"]))
        for tensor in _tensors(signature, Side.INPUT)
        if tensor.get("feature")
    }


def _tensors(signature: Json, side: Side) -> Sequence[Mapping[str, Json]]:
    """Of a signature as `graph.attributes` has checked it."""
    tensors = signature.get(f"{side}s") if isinstance(signature, dict) else None
    return [tensor for tensor in tensors if isinstance(tensor, dict)] if isinstance(tensors, list) else []
