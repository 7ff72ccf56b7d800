"""Which windows of predictions count as drifted, and that every row is tested once, whatever happens in between."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from numpy.typing import NDArray

from app.events import LoggedRows, WindowTested
from app.metrics import Metrics
from app.monitoring.detectors import CountingDetector, counted, effect
from app.monitoring.monitor import Monitoring
from app.monitoring.results import Results
from app.monitoring.windows import LEAST_EFFECT, judged
from app.service import Headwater
from graph.errors import StoreUnavailable
from graph.index import LineageIndex
from graph.keys import AssetKey
from graph.model import Json
from graph.profile import ProfileInvalid, read_profile
from graph.stores.sqlite import SqliteStore
from tests.profiles import profile_of
from tests.saying import asset, key, say

Columns = dict[str, NDArray[Any]]

DEPLOYMENT, VERSION = key("deployment:default/wine"), key("model_version:default/wine#1")
SECOND = 1_000_000


def a_model(random: np.random.Generator, rows: int) -> Columns:
    """Independent columns of the kinds that models have: skewed, whole, two-valued, rounded, with gaps, categories."""
    with_gaps = random.exponential(size=rows)
    with_gaps[random.random(rows) < 0.02] = np.nan
    return {
        "normal": random.normal(size=rows),
        "with_gaps": with_gaps,
        "uniform": random.uniform(size=rows),
        "count": random.poisson(3, rows).astype(np.float64),
        "flag": (random.random(rows) < 0.3).astype(np.float64),
        "rounded": np.round(random.normal(13, 0.8, rows), 1),
        "colour": random.choice(np.array(["red", "white", "rosé", "orange"], object), rows, p=[0.6, 0.3, 0.09, 0.01]),
        "region": np.array([f"r{number}" for number in random.zipf(1.6, rows) % 200], object),
    }


def window(reference: Columns, current: Columns) -> WindowTested:
    rows = len(next(iter(current.values())))
    profile = read_profile(profile_of(reference))
    return judged(DEPLOYMENT, VERSION, LoggedRows(0, 1, rows, current, {}), profile, None, CountingDetector())


def drifted(reference: Columns, current: Columns) -> set[str]:
    return {name for _, name in window(reference, current).drifted}


@pytest.mark.parametrize("rows", [500, 2_000])
def test_twenty_windows_without_drift_give_no_alarm(rows: int, capsys: pytest.CaptureFixture[str]) -> None:
    alarms, largest = 0, 0.0
    for seed in range(20):
        random = np.random.default_rng(seed)
        found = window(a_model(random, 5_000), a_model(random, rows))
        alarms += bool(found.drifted)
        largest = max(largest, *(column.effect for column in found.columns))
    with capsys.disabled():
        print(f"\n{alarms} of 20 windows of {rows} rows without drift raised an alarm; largest effect {largest:.4f}")
    assert alarms == 0
    assert largest < LEAST_EFFECT / 2, "chance alone comes near the smallest effect that matters"


@pytest.mark.parametrize("name", ["normal", "with_gaps", "uniform", "rounded"])
def test_a_shift_of_two_standard_deviations_is_found_in_the_column_that_has_it_alone(name: str) -> None:
    for seed in range(5):
        random = np.random.default_rng(seed)
        reference, current = a_model(random, 5_000), a_model(random, 500)
        current[name] = current[name] + 2 * np.nanstd(reference[name])
        assert drifted(reference, current) == {name}


def test_other_faults_are_found_too() -> None:
    random = np.random.default_rng(1)
    reference = a_model(random, 5_000)

    def after(name: str, fault: NDArray[Any]) -> set[str]:
        return drifted(reference, current | {name: fault})

    current = a_model(random, 500)
    tenth = random.random(500) < 0.1
    assert drifted(reference, current) == set()
    assert after("normal", np.where(tenth, np.nan, current["normal"])) == {"normal"}, "values went missing"
    assert after("normal", np.full(500, np.nan)) == {"normal"}, "all of them did"
    assert after("flag", np.where(tenth, -1.0, current["flag"])) == {"flag"}, "a number that never was"
    assert after("colour", np.where(tenth, "green", current["colour"])) == {"colour"}, "a category that never was"
    assert after("colour", np.where(tenth, np.array([None], object), current["colour"])) == {"colour"}
    assert after("count", current["count"] + 2) == {"count"}
    assert after("with_gaps", current["with_gaps"] * 2.54) == {"with_gaps"}, "another unit"


def test_a_share_of_missing_values_counts_when_it_trebles_by_a_point_or_more() -> None:
    reference = {"x": np.where(np.arange(5_000) % 100 == 0, np.nan, np.arange(5_000) % 977)}

    def with_missing(share: float) -> Columns:
        there = np.random.default_rng(0).choice(reference["x"][~np.isnan(reference["x"])], 5_000)
        there[: int(share * 5_000)] = np.nan
        return {"x": there}

    assert drifted(reference, with_missing(0.02)) == set(), "twice as many is unlikely, but not much"
    assert drifted(reference, with_missing(0.035)) == {"x"}


def test_the_effect_is_that_of_the_distributions_whatever_the_number_of_rows() -> None:
    def mean_effect(rows: int, shift: float) -> float:
        found = []
        for seed in range(20):
            random = np.random.default_rng(seed)
            reference = read_profile(profile_of({"x": random.normal(size=5_000)})).inputs["x"]
            found.append(effect(counted(reference, random.normal(shift, size=rows))))
        return float(np.mean(found))

    for shift in (0.0, 0.4, 2.0):
        assert mean_effect(500, shift) == pytest.approx(mean_effect(20_000, shift), abs=0.01)
    assert mean_effect(2_000, 0.4) == pytest.approx(LEAST_EFFECT, rel=0.2), "about what 0.4 standard deviations are"


def test_what_is_not_tested_is_said() -> None:
    profile = read_profile(profile_of({"x": np.arange(1_000.0), "gone": np.arange(1_000.0)}))
    vectors = np.empty(600, object)
    vectors[:] = [[1.0, 2.0]] * 600
    inputs = {"x": np.arange(600.0), "id": np.arange(600), "x2": vectors}
    signature: Json = {"inputs": [{"name": "id"}, {"name": "x2"}, {"name": "x"}], "outputs": []}
    found = judged(DEPLOYMENT, VERSION, LoggedRows(0, 1, 600, inputs, {}), profile, signature, CountingDetector())
    assert [column.name for column in found.columns] == ["x"]
    assert found.left_out == {"id": "not in the profile", "x2": "not in the profile", "gone": "not in the log"}
    with pytest.raises(ProfileInvalid, match="one more than the edges"):
        read_profile({"rows": 1, "inputs": {"x": _number([0.0, 1.0], [1, 0])}, "outputs": {}})
    vectors_profiled = read_profile(profile_of({"x2": np.arange(1_000.0)}))
    again = judged(
        DEPLOYMENT, VERSION, LoggedRows(0, 1, 600, {"x2": vectors}, {}), vectors_profiled, None, CountingDetector()
    )
    assert again.left_out == {"x2": "holds lists of values"}


# The rows that windows are made of


class Log:
    """Rows by their instants, as the prediction log hands them out."""

    def __init__(self) -> None:
        self.at: list[int] = []

    def add(self, rows: int, at: int) -> None:
        self.at += [at] * rows

    def logged(self) -> list[tuple[AssetKey, AssetKey]]:
        return [(DEPLOYMENT, VERSION)]

    def rows_after(self, deployment: AssetKey, version: AssetKey, after: int, at_most: int) -> LoggedRows | None:
        later = [at for at in self.at if at > after]
        if not later:
            return None
        end = later[:at_most][-1]
        rows = [at for at in later if at <= end]
        return LoggedRows(rows[0], end, len(rows), {"x": np.arange(float(len(rows))) % 50}, {})


@pytest.fixture
def headwater(tmp_path: Path) -> Iterator[Headwater]:
    store = SqliteStore(tmp_path / "lineage.db")
    profile = profile_of({"x": np.arange(5_000.0) % 50})
    say(store, asset(str(VERSION), profile=profile, signature={"inputs": [{"name": "x"}], "outputs": []}), now=SECOND)
    index = LineageIndex(store)
    index.load()
    yield Headwater(store, index, lambda: 100 * SECOND)
    store.close()


def monitoring(folder: Path, log: Log, told: list[WindowTested], fails: bool = False) -> Monitoring:
    async def tell(_: Headwater, window: WindowTested) -> None:
        told.append(window)
        if fails:
            raise StoreUnavailable("away")

    results = Results(folder, most_bytes=2_000)
    return Monitoring(results, CountingDetector(), log.logged, log.rows_after, tell, 60, 500, Metrics())


def spans(told: list[WindowTested]) -> list[tuple[int, int, int]]:
    return [(window.start, window.end, window.rows) for window in told]


@pytest.mark.anyio
async def test_a_window_is_all_rows_since_the_last_one_once_they_are_enough(
    tmp_path: Path, headwater: Headwater
) -> None:
    log, told = Log(), list[WindowTested]()
    watch = monitoring(tmp_path / "monitoring", log, told)
    log.add(499, at=1)
    await watch.look(headwater)
    assert told == []
    log.add(1, at=2)
    await watch.look(headwater)
    await watch.look(headwater)
    log.add(700, at=3)
    await watch.look(headwater)
    assert spans(told) == [(1, 2, 500), (3, 3, 700)]
    assert not any(window.drifted for window in told)


@pytest.mark.anyio
async def test_a_restart_neither_repeats_nor_skips_a_window(tmp_path: Path, headwater: Headwater) -> None:
    log, told = Log(), list[WindowTested]()
    for number in range(30):  # often enough for the file to be halved on the way
        log.add(500, at=number)
        await monitoring(tmp_path / "monitoring", log, told).look(headwater)
    assert spans(told) == [(number, number, 500) for number in range(30)]
    (file,) = (tmp_path / "monitoring").iterdir()
    lines = [orjson.loads(line) for line in file.read_bytes().splitlines()]
    assert len(lines) < 30
    assert lines[-1]["columns"][0]["tests"].keys() == {"ks", "chi2", "missing"}
    with file.open("ab") as torn:  # a crash in the middle of a line
        torn.write(b'{"deployment":')
    log.add(500, at=40)
    await monitoring(tmp_path / "monitoring", log, told).look(headwater)
    await monitoring(tmp_path / "monitoring", log, told).look(headwater)
    assert spans(told)[30:] == [(40, 40, 500)]


@pytest.mark.anyio
async def test_a_window_that_could_not_be_told_of_is_told_of_again(tmp_path: Path, headwater: Headwater) -> None:
    log, told = Log(), list[WindowTested]()
    log.add(500, at=1)
    failing = monitoring(tmp_path / "monitoring", log, told, fails=True)
    await failing.look(headwater)
    await failing.look(headwater)
    await monitoring(tmp_path / "monitoring", log, told).look(headwater)
    await monitoring(tmp_path / "monitoring", log, told).look(headwater)
    assert spans(told) == [(1, 1, 500)] * 3


def _number(edges: list[Json], counts: list[Json]) -> Json:
    return {"kind": "number", "edges": edges, "counts": counts, "missing": 0, "mean": 0.0, "sd": 0.0}
