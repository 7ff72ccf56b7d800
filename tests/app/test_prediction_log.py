"""What was predicted is on the disk a moment later, as DuckDB and pandas read it; what is not there was counted."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, date, datetime
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest
import structlog

from app.compose import now
from app.events import Caller, Columns, Prediction
from app.metrics import Metrics
from app.predictions.log import PredictionLog, dataset_of
from app.service import Headwater
from graph.changes import AssetStatement, Registration
from graph.index import LineageIndex
from graph.keys import AssetKey, AssetKind
from graph.model import Basis, checked_flow
from graph.stores.sqlite import SqliteStore
from graph.time import Instant, instant
from tests.service import ROOT

pytestmark = pytest.mark.anyio

DEPLOYMENT = AssetKey.of(AssetKind.DEPLOYMENT, "prod/eu", "fraud=50%")
VERSION = AssetKey.of(AssetKind.MODEL_VERSION, "risk", "fraud", "7")
SHOP = Caller(AssetKey.of(AssetKind.CONSUMER, "shop", "checkout"), verified=True)
NOON = instant(datetime(2026, 11, 23, 12, tzinfo=UTC))
DEPLOYED = Registration("gateway", Basis.OBSERVED, (AssetStatement(DEPLOYMENT),))
DAY = 86_400_000_000


@pytest.fixture
def headwater(tmp_path: Path) -> Iterator[Headwater]:
    store = SqliteStore(tmp_path / "lineage.db")
    index = LineageIndex(store)
    index.load()
    yield Headwater(store, index, now)
    store.close()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data" / "predictions"


@pytest.fixture
def log(folder: Path, metrics: Metrics) -> PredictionLog:
    return PredictionLog(folder, queue=1000, flush_seconds=3600, metrics=metrics)


def asked(at: Instant = NOON, amounts: tuple[float, ...] = (1.5, 2.5), **changed: object) -> Prediction:
    rows = len(amounts)
    given: dict[str, object] = {
        "id": f"request-{at}",
        "deployment": DEPLOYMENT,
        "version": VERSION,
        "caller": SHOP,
        "at": at,
        "rows": rows,
        "inputs": {"amount": np.array(amounts), "note": np.array([None, "é", "x"], object)[:rows]},
        "features": {"mean": np.array([np.nan, 0.1 + 0.2, 5.0])[:rows]},
        "outputs": {"odds": np.arange(rows * 2, dtype=np.float32).reshape(rows, 2)},
    }
    return Prediction(**given | changed)  # type: ignore[arg-type]


@asynccontextmanager
async def running(log: PredictionLog, headwater: Headwater) -> AsyncIterator[None]:
    """Stopped at the end as the service stops it, so that everything is written."""
    task = asyncio.create_task(log.run(headwater))
    await asyncio.sleep(0)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def write(log: PredictionLog, headwater: Headwater, *predictions: Prediction) -> None:
    async with running(log, headwater):
        for prediction in predictions:
            log.append(prediction)


def read(folder: Path, what: str, rest: str = "") -> list[tuple[object, ...]]:
    """As docs/api.md says."""
    files = f"read_parquet('{folder}/**/*.parquet', hive_partitioning = true, union_by_name = true)"
    with duckdb.connect() as connection:
        return connection.sql(f"SELECT {what} FROM {files} {rest}").fetchall()


def count(metrics: Metrics, name: str) -> float:
    return metrics.registry.get_sample_value(f"headwater_predictions_{name}_total") or 0.0


async def test_duckdb_reads_every_row_as_it_was_served(log: PredictionLog, headwater: Headwater, folder: Path) -> None:
    await write(log, headwater, asked(), asked(NOON + DAY, (3.5,), caller=Caller(None), id="other"))

    checkout = "consumer:shop/checkout"
    assert read(
        folder,
        "prediction_id, row, epoch_us(predicted_at), caller, caller_verified, input_amount, input_note,"
        " nullif(feature_mean, 'nan'), output_odds",
        "ORDER BY predicted_at, row",
    ) == [
        (f"request-{NOON}", 0, NOON, checkout, True, 1.5, None, None, [0.0, 1.0]),
        (f"request-{NOON}", 1, NOON, checkout, True, 2.5, "é", 0.1 + 0.2, [2.0, 3.0]),
        ("other", 0, NOON + DAY, None, False, 3.5, None, None, [0.0, 1.0]),
    ]
    assert read(folder, "DISTINCT namespace, deployment, version, day", "ORDER BY day") == [
        ("prod/eu", "fraud=50%", "model_version:risk/fraud#7", date(2026, 11, 23)),
        ("prod/eu", "fraud=50%", "model_version:risk/fraud#7", date(2026, 11, 24)),
    ]


async def test_pandas_reads_every_row_as_it_was_served(log: PredictionLog, headwater: Headwater, folder: Path) -> None:
    await write(log, headwater, asked(), asked(NOON + DAY, (3.5,)))

    frame = pd.read_parquet(folder).sort_values(["predicted_at", "row"])
    assert frame["predicted_at"].astype("int64").tolist() == [NOON, NOON, NOON + DAY]
    assert frame["input_amount"].tolist() == [1.5, 2.5, 3.5]
    assert frame["feature_mean"].tolist()[1] == 0.1 + 0.2
    assert [odds.tolist() for odds in frame["output_odds"]] == [[0.0, 1.0], [2.0, 3.0], [0.0, 1.0]]
    assert set(frame["deployment"]) == {"fraud=50%"}


async def test_what_the_queue_cannot_take_is_counted(folder: Path, headwater: Headwater, metrics: Metrics) -> None:
    log = PredictionLog(folder, queue=5, flush_seconds=3600, metrics=metrics)
    await write(log, headwater, *(asked(NOON + each) for each in range(10)))

    assert read(folder, "DISTINCT epoch_us(predicted_at)", "ORDER BY 1") == [(NOON,), (NOON + 1,)]
    assert (count(metrics, "logged"), count(metrics, "dropped")) == (4, 16)
    small = PredictionLog(folder, queue=2, flush_seconds=3600, metrics=metrics)
    await write(small, headwater, asked(NOON + 20, (1.0, 2.0, 3.0)), asked(NOON + 21))
    assert (count(metrics, "logged"), count(metrics, "dropped")) == (7, 18), "one request may be larger than the queue"


async def test_a_stop_in_the_middle_of_writing_writes_each_row_once(
    folder: Path, headwater: Headwater, metrics: Metrics
) -> None:
    for attempt in range(10):
        log = PredictionLog(folder / str(attempt), queue=1000, flush_seconds=0, metrics=Metrics())
        async with running(log, headwater):
            for each in range(100):
                log.append(asked(NOON + each, (1.0,)))
                if each % (attempt + 1) == 0:
                    await asyncio.sleep(0)
        assert read(folder / str(attempt), "epoch_us(predicted_at)", "ORDER BY 1") == [(NOON + n,) for n in range(100)]


async def test_rows_wait_while_the_disk_cannot_take_them(folder: Path, headwater: Headwater, metrics: Metrics) -> None:
    log = PredictionLog(folder, queue=5, flush_seconds=0.001, metrics=metrics)
    make_unwritable(folder)
    with structlog.testing.capture_logs() as said:
        async with running(log, headwater):
            log.append(asked())
            await until(lambda: bool(said))
            log.append(asked(NOON + 1))
            log.append(asked(NOON + 2))
            await asyncio.sleep(0)
            assert count(metrics, "dropped") == 2
            make_writable(folder)
            await until(lambda: count(metrics, "logged") == 4)
    assert [line["event"] for line in said if "predictions" in line["event"]] == [
        "predictions cannot be written, and wait",
        "predictions are written again",
    ]
    assert read(folder, "count(*)") == [(4,)]


async def test_what_never_could_be_written_is_counted_at_the_stop(
    folder: Path, headwater: Headwater, log: PredictionLog, metrics: Metrics
) -> None:
    make_unwritable(folder)
    await write(log, headwater, asked())
    assert (count(metrics, "logged"), count(metrics, "dropped")) == (0, 2)


async def test_values_that_no_column_can_hold_cost_only_themselves(
    folder: Path, headwater: Headwater, log: PredictionLog, metrics: Metrics
) -> None:
    strange = {"amount": np.array([1 + 2j])}
    several = {"amount": np.array([1, "two", None], object)}
    await write(
        log,
        headwater,
        asked(),
        asked(amounts=()),
        asked(NOON + 1, (1.0,), inputs=strange),
        asked(NOON + 2, (1.0, 2.0, 3.0), inputs=several),
    )
    assert (count(metrics, "logged"), count(metrics, "dropped")) == (5, 1)
    assert read(folder, "input_amount::text", "WHERE epoch_us(predicted_at) > 0 ORDER BY predicted_at, row") == [
        ("1.5",),
        ("2.5",),
        ("1",),
        ("two",),
        (None,),
    ]


def test_kill_9_leaves_whole_files_with_all_that_was_counted(folder: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", FOR_EVER, str(folder), str(tmp_path / "lineage.db")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        logged = [int(process.stdout.readline()) for _ in range(20)][-1]
        process.kill()
    assert logged > 0
    (numbers,) = read(folder, "list(epoch_us(predicted_at) ORDER BY predicted_at)")[0]
    assert numbers == list(range(1, len(numbers) + 1))  # type: ignore[arg-type]
    assert len(numbers) >= logged
    assert len(pd.read_parquet(folder)) == len(numbers)


# For monitoring


async def test_rows_are_read_oldest_first_and_those_of_one_instant_together(
    log: PredictionLog, headwater: Headwater
) -> None:
    await write(log, headwater, asked(NOON + DAY, (9.0,)), asked(NOON, (1.0,)))
    await write(log, headwater, asked(NOON + 5, (2.0, 3.0)), asked(NOON + 5, (4.0,)), asked(NOON + 6, (5.0,)))

    def amounts(after: Instant, at_most: int) -> list[float]:
        rows = log.rows_after(DEPLOYMENT, VERSION, after, at_most)
        return [] if rows is None else list(rows.inputs["amount"])

    assert amounts(0, 100) == [1.0, 2.0, 3.0, 4.0, 5.0, 9.0]
    assert amounts(0, 1) == [1.0]
    assert amounts(0, 2) == [1.0, 2.0, 3.0, 4.0]
    assert amounts(NOON, 1) == [2.0, 3.0, 4.0]
    assert amounts(NOON + 5, 2) == [5.0, 9.0]
    assert amounts(NOON + DAY, 100) == []
    rows = log.rows_after(DEPLOYMENT, VERSION, NOON, 4)
    assert rows is not None
    assert (rows.start, rows.end, rows.count) == (NOON + 5, NOON + 6, 4)
    assert set(rows.inputs) == {"amount", "note", "mean"}
    assert rows.outputs["odds"].shape == (4, 2)
    assert log.logged() == [(DEPLOYMENT, VERSION)]


async def test_columns_that_some_rows_lack_are_missing_there(log: PredictionLog, headwater: Headwater) -> None:
    less: Columns = {"amount": np.array([7])}
    await write(log, headwater, asked(), asked(NOON + 1, (7.0,), inputs=less, features={}, outputs={}))

    rows = log.rows_after(DEPLOYMENT, VERSION, 0, 100)
    assert rows is not None
    assert rows.inputs["amount"].tolist() == [1.5, 2.5, 7.0]
    assert np.isnan(rows.inputs["mean"]).tolist() == [True, False, True]
    assert rows.inputs["note"].tolist() == [None, "é", None]
    assert rows.outputs["odds"][2] is None or np.isnan(rows.outputs["odds"][2])


async def test_what_some_requests_carry_and_others_look_up_is_one_column(
    log: PredictionLog, headwater: Headwater
) -> None:
    carried: Columns = {"amount": np.array([7.0]), "mean": np.array([0.9])}
    await write(log, headwater, asked(), asked(NOON + 1, (7.0,), inputs=carried, features={}))

    rows = log.rows_after(DEPLOYMENT, VERSION, 0, 100)
    assert rows is not None
    assert np.isnan(rows.inputs["mean"][0])
    assert rows.inputs["mean"][1:].tolist() == [0.1 + 0.2, 0.9]


async def test_names_that_are_too_long_for_a_folder_are_kept_too(
    log: PredictionLog, headwater: Headwater, folder: Path
) -> None:
    names = ["é" * 200, "é" * 201]
    deployments = [AssetKey.of(AssetKind.DEPLOYMENT, "prod", name) for name in names]
    await write(log, headwater, *(asked(deployment=deployment) for deployment in deployments))

    assert log.logged() == [(deployment, VERSION) for deployment in deployments]
    assert all(log.rows_after(deployment, VERSION, 0, 1) for deployment in deployments)
    assert read(folder, "count(DISTINCT deployment)") == [(2,)]


# In the graph


async def test_the_log_of_a_deployment_is_a_dataset_that_it_writes(
    folder: Path, headwater: Headwater, log: PredictionLog
) -> None:
    await headwater.register(DEPLOYED, None, "test")
    dataset = dataset_of(DEPLOYMENT)
    assert str(dataset) == "dataset:headwater/predictions%2Fprod%252Feu%2Ffraud%253D50%2525"

    await write(log, headwater, asked())
    first = headwater.index.revision
    flow = checked_flow(DEPLOYMENT, dataset)
    columns = [dataset.part_key(name) for name in ("input_amount", "output_odds", "predicted_at")]
    said = headwater.store.believed([flow, dataset, *columns])
    assert said[flow][0].basis is Basis.OBSERVED
    location = said[dataset][0].attributes["location"]
    assert (folder.parent / str(location)).is_dir()
    assert [said[column][0].attributes["type"] for column in columns] == [
        "double",
        "list<item: float>",
        "timestamp[us, tz=UTC]",
    ]

    again = PredictionLog(folder, queue=1000, flush_seconds=3600, metrics=Metrics())
    await write(again, headwater, asked())
    assert headwater.index.revision == first

    await write(again, headwater, asked(inputs={"colour": np.array(["red", "white"], object)}))
    assert dataset.part_key("input_colour") in headwater.store.believed([dataset.part_key("input_colour")])


def make_unwritable(folder: Path) -> None:
    """Also for an administrator, whom permissions do not stop."""
    folder.parent.mkdir()
    folder.write_text("a file where the folder should be")


def make_writable(folder: Path) -> None:
    folder.unlink()


async def until(seen: Callable[[], bool], seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while not seen():  # noqa: ASYNC110 (what is waited for happens in a thread)
            await asyncio.sleep(0.001)


FOR_EVER = """
import asyncio, sys
from pathlib import Path
import numpy as np
from app.compose import now
from app.metrics import Metrics
from app.predictions.log import PredictionLog
from app.service import Headwater
from graph.index import LineageIndex
from graph.stores.sqlite import SqliteStore
from tests.app.test_prediction_log import DEPLOYED, asked, count

async def main():
    store = SqliteStore(Path(sys.argv[2]))
    index = LineageIndex(store)
    index.load()
    headwater, metrics = Headwater(store, index, now), Metrics()
    log = PredictionLog(Path(sys.argv[1]), 1000, 0, metrics)
    await headwater.register(DEPLOYED, None, "test")
    asyncio.ensure_future(log.run(headwater))
    at, told = 1, 0
    while True:
        log.append(asked(at, (1.0,)))
        at += 1
        await asyncio.sleep(0)
        if count(metrics, "logged") > told:
            told = count(metrics, "logged")
            print(int(told), flush=True)

asyncio.run(main())
"""
