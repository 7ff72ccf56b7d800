"""The lineage index on disk: a cache that makes a start fast, never the truth.

The arrays, each from a page of its own, with room to grow that takes no place on the disk, then a header in JSON. They
are mapped, not read: a page is private once it is written, and shared with every process that maps it until then. Each
array has a checksum, and the header tells the revision that the file holds and the stamp of that revision in the store.
Whatever does not fit is refused with the reason, and the index is loaded from the store.
"""

import math
import mmap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from struct import Struct
from typing import Any, BinaryIO, NamedTuple
from zlib import crc32

import numpy as np
import orjson

from graph import kernels
from graph.columns import AnyArray, Entries, Names
from graph.index import LineageIndex
from graph.stores.contract import Store
from graph.tables import Tables
from graph.time import FOREVER, Interval
from graph.topology import Label

FORMAT = 5
"""Raised with every change of what an array of the index means."""

_MAGIC = b"headwater index\n"
_PREAMBLE = Struct("<16sQQQ")
"""The magic; where the header is, its length and its checksum."""

_PAGE = 4096
_CHUNK = 50_000
"""Rows that are written at once."""

_READ = 1 << 22
"""Bytes that are read at once."""


class SnapshotRefused(Exception):
    """Why a snapshot cannot be used, as the end of a sentence."""


def load(index: LineageIndex, store: Store, path: Path | None) -> str | None:
    """Fills the index, from the snapshot at `path` if that can be; otherwise from the store, answering why not."""
    if path is not None:
        try:
            index.restore(restored(path, store))
        except SnapshotRefused as refused:
            index.load()
            return str(refused)
    else:
        index.load()
    return None


def save(index: LineageIndex, store: Store, path: Path) -> int:
    """Writes the index as it is now, whole or not at all; the revision written. Raises OSError.

    Readers and the writer of the index go on meanwhile: what comes later is not in it.
    """
    with index.changing:
        about, arrays = _about(index.tables), list(_arrays(index.tables))
    about |= {"format": FORMAT, "stamp": store.stamp(about["revision"])}
    unfinished = path.with_name(path.name + ".unfinished")
    with unfinished.open("wb") as file:
        _write(file, about, arrays)
    unfinished.replace(path)
    revision: int = about["revision"]
    return revision


def restored(path: Path, store: Store) -> Tables:
    """Raises SnapshotRefused."""
    try:
        with path.open("rb") as file:
            header = _header(file)
            if header["format"] != FORMAT:
                raise SnapshotRefused(f"{path} is of another version of this program")
            if header["stamp"] != store.stamp(header["revision"]):
                raise SnapshotRefused(f"{path} is of another store, or of another history of this one")
            with ThreadPoolExecutor(1) as beside:
                sums = beside.submit(_checksums, path, header["arrays"])
                arrays = _mapped(file, header["arrays"])
                tables = Tables()
                tables.name(arrays["keys"].tobytes().decode().split("\n")[:-1])
                if sums.result() != [array["sum"] for array in header["arrays"]]:
                    raise SnapshotRefused(f"{path} is damaged: a checksum is wrong")
            _fill(tables, header, arrays)
            return tables
    except FileNotFoundError:
        raise SnapshotRefused("there is none yet") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SnapshotRefused(f"{path} is damaged: {error}") from error


# What an index holds, as plain data and arrays


def _about(tables: Tables) -> dict[str, Any]:
    return {
        "revision": tables.revision,
        "latest": tables.latest,
        "namespaces": list(tables.namespaces),
        "origins": list(tables.origins),
        "labels": [list(label) for label in tables.labels],
        "carried": [[asset, [list(each) for each in intervals]] for asset, intervals in tables.carried.items()],
        "counts": {name: table.count for name, table in tables.columns().items()},
        "groupings": {name: grouping.entries()[1:] for name, grouping in tables.groupings().items()},
    }


class _Array(NamedTuple):
    name: str
    like: AnyArray
    """Of no rows."""
    room: int
    """Rows that it will have place for, if those written are fewer."""
    chunks: Iterator[AnyArray]
    """The rows, taken one chunk after the other when they are written."""


def _arrays(tables: Tables) -> Iterator[_Array]:
    yield _Array("keys", np.zeros(0, np.uint8), 0, _texts(tables.keys, tables.assets.count))
    yield _whole("order", tables.ranks.order)
    for name, table in tables.columns().items():
        room = table.count + table.count // 4 + 1024
        for column, array in table.arrays.items():
            rows = array[: table.count]
            if column.endswith("_part"):
                rows = rows.copy()  # later parts are chained to those before
            chunks = _open_then(rows, tables.revision) if column == "times" else _chunks(rows)
            yield _Array(f"{name}.{column}", array[:0], room, chunks)
    for name, grouping in tables.groupings().items():
        bounds, *entries = grouping.entries()[0]
        yield _Array(f"{name}.bounds", bounds[:0], 0, _unchained(bounds))
        for column, array in zip(("far", "row", "flags"), entries, strict=True):
            yield _whole(f"{name}.{column}", array)


def _whole(name: str, array: AnyArray) -> _Array:
    return _Array(name, array[:0], 0, _chunks(array))


def _chunks(rows: AnyArray) -> Iterator[AnyArray]:
    for start in range(0, len(rows), _CHUNK):
        yield rows[start : start + _CHUNK]


def _open_then(times: AnyArray, revision: int) -> Iterator[AnyArray]:
    """What was closed after `revision` was still open in it."""
    for chunk in map(np.copy, _chunks(times)):
        last = chunk[:, kernels.LAST]
        last[last > revision] = FOREVER
        yield chunk


def _unchained(bounds: AnyArray) -> Iterator[AnyArray]:
    for chunk in map(np.copy, _chunks(bounds)):
        chunk[:, kernels.RECENT] = -1
        yield chunk


def _texts(keys: Sequence[str], count: int) -> Iterator[AnyArray]:
    """A line for each key but the first, which is none."""
    for start in range(1, count, _CHUNK):
        lines = "".join(f"{key}\n" for key in keys[start : min(start + _CHUNK, count)])
        yield np.frombuffer(lines.encode(), np.uint8)


def _fill(tables: Tables, header: dict[str, Any], arrays: dict[str, AnyArray]) -> None:
    tables.revision, tables.latest = header["revision"], header["latest"]
    tables.namespaces, tables.origins = Names(header["namespaces"]), Names(header["origins"])
    for owners, tags, tier in header["labels"]:
        tables.label_code(Label(tuple(owners), tuple(tags), tier))
    tables.carried = {asset: [Interval(*each) for each in intervals] for asset, intervals in header["carried"]}
    tables.ranks.adopt(arrays["order"])
    for name, table in tables.columns().items():
        table.adopt({column: arrays[f"{name}.{column}"] for column in table.arrays}, header["counts"][name])
    for name, grouping in tables.groupings().items():
        entries = Entries(*(arrays[f"{name}.{column}"] for column in Entries._fields))
        grouping.take(entries, *header["groupings"][name])
    tables.adopt_joins()
    for timed in (tables.rows, tables.label_rows):
        timed.compacted = timed.groupings[0].entries()[1]


# The file


def _write(file: BinaryIO, about: dict[str, Any], arrays: Iterable[_Array]) -> None:
    placed, end = [], _PAGE
    for name, like, room, chunks in arrays:
        file.seek(end)
        rows = total = 0
        for chunk in chunks:
            memory = np.ascontiguousarray(chunk).data
            rows, total = rows + len(chunk), crc32(memory, total)
            file.write(memory)
        about_it = {"name": name, "dtype": like.dtype.str, "width": list(like.shape[1:])}
        placed.append({**about_it, "rows": rows, "room": max(room, rows), "start": end, "sum": total})
        end += _pages(max(room, rows) * like.itemsize * math.prod(like.shape[1:]))
    text = orjson.dumps(about | {"arrays": placed})
    file.seek(end)
    file.write(text)
    file.seek(0)
    file.write(_PREAMBLE.pack(_MAGIC, end, len(text), crc32(text)))


def _header(file: BinaryIO) -> dict[str, Any]:
    """Raises ValueError."""
    preamble = file.read(_PREAMBLE.size)
    if len(preamble) < _PREAMBLE.size:
        raise ValueError("it is cut short")
    magic, start, size, total = _PREAMBLE.unpack(preamble)
    if magic != _MAGIC:
        raise ValueError("it is no index")
    file.seek(start)
    text = file.read(size)
    if len(text) < size or crc32(text) != total:
        raise ValueError("its header is not what was written")
    header: dict[str, Any] = orjson.loads(text)
    return header


def _mapped(file: BinaryIO, placed: Sequence[Mapping[str, Any]]) -> dict[str, AnyArray]:
    memory = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    arrays = {}
    for array in placed:
        shape = (array["room"], *array["width"])
        flat = np.frombuffer(memory, array["dtype"], math.prod(shape), array["start"])
        arrays[array["name"]] = flat.reshape(shape)
    return arrays


def _checksums(path: Path, placed: Sequence[Mapping[str, Any]]) -> list[int]:
    """Read, not mapped: what is looked at once need not stay in memory."""
    sums = []
    with path.open("rb", buffering=0) as file:
        for array in placed:
            left, total = array["rows"] * math.prod(array["width"]) * np.dtype(array["dtype"]).itemsize, 0
            file.seek(array["start"])
            while left and (chunk := file.read(min(left, _READ))):
                left, total = left - len(chunk), crc32(chunk, total)
            sums.append(total)
    return sums


def _pages(size: int) -> int:
    return -(-size // _PAGE) * _PAGE
