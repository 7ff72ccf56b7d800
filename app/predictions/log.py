"""The prediction log: what every deployment was asked and answered, durable a moment later, as Parquet files."""

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import pyarrow as pa
import structlog

from app.events import PREDICTIONS, LoggedRows, Prediction
from app.metrics import Metrics
from app.predictions import parts
from app.service import Headwater
from graph.changes import AssetStatement, FlowStatement, Registration
from graph.errors import GraphError, NotReady, StoreUnavailable, shortened
from graph.keys import AssetKey, AssetKind
from graph.model import Basis, Json, checked_flow
from graph.time import Instant

log = structlog.get_logger(__name__)


class PredictionLog:
    """`append` takes predictions and `run` writes them, both on the event loop; the others read what is on the disk.

    At most `queue` rows wait, or one request that has more. What comes beyond is dropped and counted: predictions go on
    when the disk does not.
    """

    def __init__(self, folder: Path, queue: int, flush_seconds: float, metrics: Metrics) -> None:
        self._folder = folder
        self._most = queue
        self._flush_seconds = flush_seconds
        self._metrics = metrics
        self._waiting: list[Prediction] = []
        self._rows = 0
        self._failing = False
        self._untold: dict[AssetKey, dict[str, str]] = {}
        self._told: dict[AssetKey, dict[str, str]] = {}
        self._versions: dict[Path, tuple[AssetKey, AssetKey]] = {}

    def append(self, prediction: Prediction) -> None:
        """Never waits. The arrays must not change afterwards."""
        if not prediction.rows:
            return
        if self._rows and self._rows + prediction.rows > self._most:
            self._metrics.predictions_dropped.inc(prediction.rows)
            return
        self._waiting.append(prediction)
        self._rows += prediction.rows

    async def run(self, headwater: Headwater) -> None:
        """What still waits when this is cancelled is written before it ends."""
        try:
            while True:
                await asyncio.sleep(self._flush_seconds)
                await _to_its_end(self._flush(headwater))
        except asyncio.CancelledError:
            await self._flush(headwater)
            if self._waiting:
                log.error("predictions are lost: they could not be written before the stop", rows=self._rows)
                self._drop(self._rows)
            raise

    def logged(self) -> list[tuple[AssetKey, AssetKey]]:
        """The deployments and versions that rows were written of, in order. Reads the disk: run it in a thread."""
        for folder in parts.version_folders(self._folder):
            if folder not in self._versions and (keys := parts.keys_of(folder)) is not None:
                self._versions[folder] = keys
        return sorted(self._versions.values())

    def rows_after(self, deployment: AssetKey, version: AssetKey, after: Instant, at_most: int) -> LoggedRows | None:
        """The oldest written rows later than `after`: at most `at_most`, and those of the last one's instant.

        None when there are none. Reads the disk: run it in a thread.
        """
        return parts.rows_after(parts.folder_of(self._folder, deployment, version), after, at_most)

    async def _flush(self, headwater: Headwater) -> None:
        batch, self._waiting = self._waiting, []
        if batch:
            try:
                flushed = await headwater.in_thread(_write, self._folder, batch)
            except Exception:  # a fault of ours: tried again, it would come again
                self._drop(sum(prediction.rows for prediction in batch))
                raise
            self._waiting = flushed.again + self._waiting
            self._rows -= flushed.written
            self._metrics.predictions_logged.inc(flushed.written)
            self._drop(flushed.refused)
            self._notice(flushed.trouble)
            for deployment, types in flushed.types.items():
                self._untold.setdefault(deployment, {}).update(types)
        for deployment in list(self._untold):
            await self._tell(headwater, deployment, self._untold.pop(deployment))

    def _drop(self, rows: int) -> None:
        self._rows -= rows
        self._metrics.predictions_dropped.inc(rows)

    def _notice(self, trouble: OSError | None) -> None:
        """Says once that writing fails, and once that it works again."""
        if trouble is not None and not self._failing:
            log.error("predictions cannot be written, and wait", reason=str(trouble), rows=self._rows)
        if trouble is None and self._failing:
            log.info("predictions are written again")
        self._failing = trouble is not None

    async def _tell(self, headwater: Headwater, deployment: AssetKey, types: Mapping[str, str]) -> None:
        """Registers the log of a deployment as a dataset, and columns that are new in it."""
        told = self._told.setdefault(deployment, {})
        new = {name: type_ for name, type_ in types.items() if name not in told}
        if not new:
            return
        try:
            await headwater.register(_registration(self._folder, deployment, new), None, PREDICTIONS)
        except (StoreUnavailable, NotReady):
            self._untold[deployment] = new  # until the store is back
        except GraphError as error:
            log.warning("a prediction log is not in the graph", of=shortened(deployment), reason=str(error))
            told |= new
        else:
            told |= new


def dataset_of(deployment: AssetKey) -> AssetKey:
    """The log of a deployment in the graph. Raises InvalidKey for a deployment whose name leaves no room for it."""
    name = f"predictions/{quote(deployment.namespace, safe='')}/{quote(deployment.name, safe='')}"
    return AssetKey.of(AssetKind.DATASET, "headwater", name)


def _registration(folder: Path, deployment: AssetKey, types: Mapping[str, str]) -> Registration:
    dataset = dataset_of(deployment)
    where = parts.deployment_folder(folder, deployment).relative_to(folder.parent)
    about: dict[str, Json] = {
        "description": f"What {deployment.name} was asked and answered, a row a prediction.",
        "location": where.as_posix(),
    }
    columns = (AssetStatement(dataset.part_key(name), {"type": type_}) for name, type_ in types.items())
    return Registration(
        origin=PREDICTIONS,
        basis=Basis.OBSERVED,
        assets=(AssetStatement(dataset, about), *columns),
        flows=(FlowStatement(checked_flow(deployment, dataset)),),
    )


@dataclass
class _Flushed:
    """What became of a batch."""

    written: int = 0
    """Rows."""
    refused: int = 0
    """Rows that Parquet cannot hold."""
    again: list[Prediction] = field(default_factory=list)
    """Those to try again."""
    trouble: OSError | None = None
    types: dict[AssetKey, dict[str, str]] = field(default_factory=dict)
    """The columns written, by deployment."""


def _write(folder: Path, batch: Sequence[Prediction]) -> _Flushed:
    flushed = _Flushed()
    for group, predictions in parts.grouped(batch).items():
        rows = sum(prediction.rows for prediction in predictions)
        try:
            table = parts.table_of(group, predictions)
            parts.write(folder, group, table)
        except OSError as error:
            flushed.again += predictions
            flushed.trouble = error
        except (pa.ArrowException, ArithmeticError, ValueError, TypeError) as error:
            flushed.refused += rows
            log.error(
                "predictions are dropped: Parquet cannot hold them", of=shortened(group.version), reason=str(error)
            )
        else:
            flushed.written += rows
            types = {column.name: str(column.type) for column in table.schema}
            flushed.types.setdefault(group.deployment, {}).update(types)
    return flushed


async def _to_its_end(work: Coroutine[object, object, None]) -> None:
    """Cancelled or not: a thread that writes cannot be stopped, and what it wrote must be known."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await task
        raise
