"""Run with the extra `alibi`: what our detector and alibi-detect's TabularDrift say of the same windows, as JSON.

`python -m tests.interop.parity`
"""

import json
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.compose import detector_of
from app.events import LoggedRows
from app.monitoring.detectors import CountingDetector, Detector
from app.monitoring.windows import judged
from app.settings import Settings
from graph.keys import AssetKey
from graph.profile import read_profile
from tests.profiles import profile_of

Columns = dict[str, NDArray[Any]]
WINDOWS, ROWS = 20, 500


def a_model(random: np.random.Generator, rows: int) -> Columns:
    return {
        "normal": random.normal(size=rows),
        "skewed": random.exponential(size=rows),
        "count": random.poisson(3, rows).astype(np.float64),
        "flag": (random.random(rows) < 0.3).astype(np.float64),
        "colour": random.choice(np.array(["red", "white", "rosé"], object), rows, p=[0.6, 0.3, 0.1]),
    }


def shifted(columns: Columns, name: str) -> Columns:
    column = columns[name]
    if column.dtype.kind == "O":
        return columns | {name: np.where(column == "white", "red", column)}
    return columns | {name: 1 - column if name == "flag" else column + 2 * column.std()}


def main() -> None:
    detectors: dict[str, Detector] = {
        "builtin": CountingDetector(),
        "alibi": detector_of(Settings.model_validate({"detector": "alibi"})),
    }
    told = []
    for seed in range(WINDOWS):
        random = np.random.default_rng(seed)
        reference, current = a_model(random, 5_000), a_model(random, ROWS)
        profile = read_profile(profile_of(reference))
        for name in (None, *reference):
            rows = LoggedRows(0, 1, ROWS, current if name is None else shifted(current, name), {})
            asked = AssetKey.parse("deployment:a/b"), AssetKey.parse("model_version:a/b#1"), rows, profile, None
            windows = {which: judged(*asked, detector) for which, detector in detectors.items()}
            told.append(
                {
                    "shifted": name,
                    "drifted": {which: sorted(each for _, each in found.drifted) for which, found in windows.items()},
                    "tests": {
                        which: {
                            column.name: {test.name: [test.statistic, test.p_value] for test in column.tests}
                            for column in found.columns
                        }
                        for which, found in windows.items()
                    },
                }
            )
    json.dump({"numpy": np.__version__, "windows": told}, sys.stdout)


if __name__ == "__main__":
    main()
