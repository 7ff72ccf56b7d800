"""The reference profile, as the service reads it."""

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from headwater import profile
from hypothesis import given
from hypothesis import strategies as st

from graph.profile import read_profile

numbers = st.lists(st.none() | st.floats(width=32) | st.integers(-(2**31), 2**31), min_size=1, max_size=200)


@given(numbers)
def test_numbers_are_counted_between_quantiles_as_numpy_would(values: list[float | None]) -> None:
    made = profile({"x": values}, {})["inputs"]["x"]
    there = np.array([value for value in values if value is not None and not math.isnan(value)], np.float64)
    assert made["missing"] == len(values) - len(there)
    if len(there):
        edges = made["edges"]
        assert edges == sorted(set(edges))
        assert len(edges) <= 63
        expected = np.bincount(np.searchsorted(edges, there, side="right"), minlength=len(edges) + 1)
        assert made["counts"] == expected.tolist()
        finite = there[np.isfinite(there)]
        if len(finite):
            assert made["mean"] == pytest.approx(finite.mean(), rel=1e-6, abs=1e-6)
            assert made["sd"] == pytest.approx(finite.std(), rel=1e-6, abs=1e-4)


def test_bins_of_many_different_values_hold_about_equally_many() -> None:
    made = profile({"x": np.random.default_rng(0).standard_normal(6400)}, {})["inputs"]["x"]
    assert len(made["edges"]) == 63
    assert set(made["counts"]) == {100}


@pytest.mark.parametrize(
    ("values", "counts", "other", "missing"),
    [
        (["red", "white", "red", None], {"red": 2, "white": 1}, 0, 1),
        (np.array([True, False, True]), {"false": 1, "true": 2}, 0, 0),
        ([1.0, "a", 2], {"1": 1, "2": 1, "a": 1}, 0, 0),
        (pd.Series(["a", None, pd.NA], dtype="string"), {"a": 1}, 0, 2),
        ([f"{number:02}" for number in range(60)] + ["59"], None, 10, 0),
        ([None, float("nan")], {}, 0, 2),
    ],
)
def test_everything_else_is_counted_by_value(
    values: Any, counts: dict[str, int] | None, other: int, missing: int
) -> None:
    made = profile({}, {"y": values})["outputs"]["y"]
    assert (made["kind"], made["other"], made["missing"]) == ("category", other, missing)
    assert made["counts"] == counts if counts is not None else len(made["counts"]) == 50 and made["counts"]["59"] == 2


def test_the_service_can_read_it() -> None:
    columns: dict[str, Any] = {"x": [1.0, 2.0, math.inf, None], "y": ["a", "b", "a", None], "z": [5, 5, 5, 5]}
    assert read_profile(profile(columns, {"p": [True, False, True, None]})) is not None


def test_columns_that_cannot_be_profiled_are_refused() -> None:
    with pytest.raises(ValueError, match="input x 2, output y 1"):
        profile({"x": [1, 2]}, {"y": [1]})
    with pytest.raises(ValueError, match="input pixels holds lists"):
        profile({"pixels": np.zeros((2, 3))}, {})
