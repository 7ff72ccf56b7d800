"""alibi-detect's TabularDrift as the detector, in an environment of its own, beside ours."""

import json
import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".interop/alibi/bin/python"


@pytest.mark.timeout(300)  # importing it takes 5 to 20 seconds
def test_both_detectors_find_the_shifted_column_and_nothing_else() -> None:
    if not PYTHON.exists():
        pytest.fail("the environment is missing: make .interop/alibi/installed")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HEADWATER_")}
    ended = subprocess.run(
        [PYTHON, "-m", "tests.interop.parity"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout)
    assert told["numpy"].startswith("1."), "what it needs, and what the service must run with then"
    assert len(told["windows"]) == 20 * 6
    for window in told["windows"]:
        expected = [] if window["shifted"] is None else [window["shifted"]]
        assert window["drifted"] == {"builtin": expected, "alibi": expected}
        for name, ours in window["tests"]["builtin"].items():
            theirs = window["tests"]["alibi"][name]
            assert theirs["missing"] == ours["missing"]
            (test,) = theirs.keys() - {"missing"}
            assert theirs[test][0] == pytest.approx(ours[test][0], rel=1e-3), (name, test)
            if theirs[test][1] > 1e-6:  # theirs is of 32 bits, and ours the limit for many rows
                assert theirs[test][1] == pytest.approx(ours[test][1], rel=0.3), (name, test)
