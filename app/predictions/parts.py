"""How predictions stand on the disk: Parquet files in folders that DuckDB, pandas and Spark read as partitions.

    namespace=…/deployment=…/version=…/day=2026-11-23/part-<first>-<last>-<uuid>.parquet

`version` is the key of the model version. First and last are the instants of the rows within, so that who looks for
some time opens few files. A file appears whole and never changes. The keys also stand in each file's metadata, since
long ones are cut in the folders' names.
"""

import hashlib
import re
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from app.events import Columns, LoggedRows, Prediction
from app.files import keep, make_folder
from graph.keys import AssetKey
from graph.time import DAY, Instant, instant, moment

INPUT, FEATURE, OUTPUT = "input_", "feature_", "output_"
"""What the names of the columns begin with."""

_LONGEST = 200
"""Of a folder's name, in bytes; most file systems take 255."""
_NAME = re.compile(r"part-(\d{8}T\d{12})-(\d{8}T\d{12})-[0-9a-f]{32}\.parquet")
_STAMP = "%Y%m%dT%H%M%S%f"
_DEPLOYMENT, _VERSION = b"headwater.deployment", b"headwater.version"

Array: TypeAlias = NDArray[Any]


class Group(NamedTuple):
    """Predictions that go into one file: of one version at one deployment and day, with columns of the same types."""

    deployment: AssetKey
    version: AssetKey
    day: int
    columns: tuple[tuple[str, str, tuple[int, ...]], ...]


def grouped(predictions: Iterable[Prediction]) -> dict[Group, list[Prediction]]:
    groups: dict[Group, list[Prediction]] = {}
    for prediction in predictions:
        columns = tuple((name, array.dtype.str, array.shape[1:]) for name, array in _columns(prediction))
        group = Group(prediction.deployment, prediction.version, prediction.at // DAY, columns)
        groups.setdefault(group, []).append(prediction)
    return groups


def table_of(group: Group, predictions: Sequence[Prediction]) -> pa.Table:
    """One row a row asked for. Raises ArrowException, ValueError or TypeError for values that Parquet cannot hold."""
    rows = np.array([prediction.rows for prediction in predictions])

    def each(values: Iterable[object], type_: pa.DataType) -> pa.Array:
        return pa.array(list(values), type_).take(pa.array(np.repeat(np.arange(len(rows)), rows)))

    keys = [prediction.caller.key for prediction in predictions]
    table: dict[str, pa.Array] = {
        "prediction_id": each((prediction.id for prediction in predictions), pa.string()),
        "row": pa.array(np.concatenate([np.arange(count, dtype=np.int32) for count in rows])),
        "predicted_at": each((prediction.at for prediction in predictions), pa.timestamp("us", "UTC")),
        "caller": each((None if key is None else str(key) for key in keys), pa.string()),
        "caller_verified": each((prediction.caller.verified for prediction in predictions), pa.bool_()),
    }
    arrays = [[array for _, array in _columns(prediction)] for prediction in predictions]
    for (name, *_), parts in zip(group.columns, zip(*arrays, strict=True), strict=True):
        table[name] = _to_arrow(np.concatenate(parts))
    metadata = {_DEPLOYMENT: str(group.deployment), _VERSION: str(group.version)}
    return pa.table(table).replace_schema_metadata(metadata)


def write(root: Path, group: Group, table: pa.Table) -> None:
    """As a file of its own, durable when this returns. Raises OSError: then there is no such file."""
    at = table["predicted_at"].cast(pa.int64()).to_numpy()
    name = f"part-{_stamp(at.min())}-{_stamp(at.max())}-{uuid.uuid4().hex}.parquet"
    day = moment(group.day * DAY)
    assert day is not None
    temporary = root / ".writing" / f"{name}.tmp"
    make_folder(temporary.parent)
    try:
        pq.write_table(table, temporary, compression="zstd")
        keep(temporary, folder_of(root, group.deployment, group.version) / f"day={day:%Y-%m-%d}" / name)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def deployment_folder(root: Path, deployment: AssetKey) -> Path:
    return root / _segment("namespace", deployment.namespace) / _segment("deployment", deployment.name)


def folder_of(root: Path, deployment: AssetKey, version: AssetKey) -> Path:
    return deployment_folder(root, deployment) / _segment("version", str(version))


def version_folders(root: Path) -> list[Path]:
    return sorted(root.glob("namespace=*/deployment=*/version=*"))


def keys_of(folder: Path) -> tuple[AssetKey, AssetKey] | None:
    """The deployment and the version whose predictions a folder of `version_folders` holds; None without a file."""
    for part in parts_since(folder, 0):
        metadata = pq.read_schema(part.path).metadata or {}
        return AssetKey.parse(metadata[_DEPLOYMENT].decode()), AssetKey.parse(metadata[_VERSION].decode())
    return None


@dataclass(frozen=True, order=True, slots=True)
class Part:
    first: Instant
    last: Instant
    path: Path


def parts_since(folder: Path, after: Instant) -> Iterator[Part]:
    """The files with rows later than `after`, by their first row."""
    begin = f"day={datetime.fromtimestamp(after // 1_000_000, UTC):%Y-%m-%d}"
    for day in sorted(folder.glob("day=*")):
        if day.name >= begin:
            matches = ((_NAME.fullmatch(path.name), path) for path in day.iterdir())
            parts = (Part(_instant(match[1]), _instant(match[2]), path) for match, path in matches if match)
            yield from sorted(part for part in parts if part.last > after)


def rows_after(folder: Path, after: Instant, at_most: int) -> LoggedRows | None:
    """See `PredictionLog.rows_after`."""
    tables: list[pa.Table] = []
    at = np.empty(0, np.int64)
    end: Instant | None = None
    for part in parts_since(folder, after):
        if end is not None and part.first > end:
            break
        try:
            table = pq.ParquetFile(part.path).read()
        except FileNotFoundError:  # removed as too old, just now
            continue
        table = table.filter(pa.array(table["predicted_at"].cast(pa.int64()).to_numpy() > after))
        tables.append(table)
        at = np.concatenate([at, table["predicted_at"].cast(pa.int64()).to_numpy()])
        if len(at) >= at_most:
            end = int(np.partition(at, at_most - 1)[at_most - 1])
    if not len(at):
        return None
    chosen = np.argsort(at, kind="stable")
    if end is not None:
        chosen = chosen[at[chosen] <= end]
    return LoggedRows(
        start=int(at[chosen[0]]),
        end=int(at[chosen[-1]]),
        count=len(chosen),
        inputs=_merged(tables, (FEATURE, INPUT), chosen),
        outputs=_merged(tables, (OUTPUT,), chosen),
    )


def _columns(prediction: Prediction) -> Iterator[tuple[str, Array]]:
    for prefix, columns in ((INPUT, prediction.inputs), (FEATURE, prediction.features), (OUTPUT, prediction.outputs)):
        for name, array in columns.items():
            yield prefix + name, array


def _to_arrow(array: Array) -> pa.Array:
    """Vectors become lists."""
    if array.ndim > 1:
        offsets = np.arange(len(array) + 1, dtype=np.int32) * array.shape[1]
        return pa.ListArray.from_arrays(offsets, _to_arrow(array.reshape(-1, *array.shape[2:])))
    try:
        return pa.array(array)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        if array.dtype != object:
            raise
        return pa.array([None if value is None else str(value) for value in array])  # of several types: as text


def _merged(tables: Sequence[pa.Table], prefixes: Sequence[str], chosen: Array) -> Columns:
    """The columns of these prefixes, of all tables one after the other, by their bare names; then the rows `chosen`."""
    names = sorted({bare for table in tables for bare in _bare_names(table, prefixes)})
    merged: dict[str, Array] = {}
    for name in names:
        columns = [_column(table, [prefix + name for prefix in prefixes]) for table in tables]
        known = [None if column is None else column.to_numpy() for column in columns]
        numbers = all(part is None or np.issubdtype(part.dtype, np.number) for part in known)
        missing = np.array([np.nan if numbers else None])
        whole = [
            missing.repeat(len(table)) if part is None else part for table, part in zip(tables, known, strict=True)
        ]
        merged[name] = _stacked(np.concatenate(whole)[chosen])
    return merged


def _bare_names(table: pa.Table, prefixes: Sequence[str]) -> Iterator[str]:
    for name in table.column_names:
        yield from (name.removeprefix(prefix) for prefix in prefixes if name.startswith(prefix))


def _column(table: pa.Table, names: Sequence[str]) -> pa.ChunkedArray | None:
    """The value that a row has in the first of the columns that it has one in: some requests carry what others look up."""
    columns = [table[name] for name in names if name in table.column_names]
    if not columns:
        return None
    if len({column.type for column in columns}) > 1:
        numbers = all(pa.types.is_integer(column.type) or pa.types.is_floating(column.type) for column in columns)
        columns = [column.cast(pa.float64() if numbers else pa.string()) for column in columns]
    return pc.coalesce(*columns)


def _stacked(array: Array) -> Array:
    """Vectors of one length as one array of more dimensions; anything else as it is."""
    shapes = {value.shape if isinstance(value, np.ndarray) else None for value in array.flat}
    if len(shapes) != 1 or (shape := shapes.pop()) is None:
        return array
    return _stacked(np.stack(list(array.flat)).reshape(*array.shape, *shape))


def _segment(name: str, value: str) -> str:
    """`name=value` as the name of a folder, escaped as in Hive; too long a value is cut and told apart by its hash."""
    segment = f"{name}={quote(value, safe='')}"
    if len(segment) <= _LONGEST:
        return segment
    kept = value[:_LONGEST]
    while len(quote(kept, safe="")) > _LONGEST // 2:  # by whole characters: half of one cannot be decoded
        kept = kept[:-1]
    return f"{name}={quote(kept, safe='')}~{hashlib.sha256(value.encode()).hexdigest()[:16]}"


def _stamp(at: Instant) -> str:
    return datetime.fromtimestamp(at // 1_000_000, UTC).replace(microsecond=int(at % 1_000_000)).strftime(_STAMP)


def _instant(stamp: str) -> Instant:
    return instant(datetime.strptime(stamp, _STAMP).replace(tzinfo=UTC))
