"""The Parquet files that features are computed from, below one folder."""

import os
import threading
import uuid
from collections import OrderedDict
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from app.files import keep, make_folder
from graph.errors import Conflict, InvalidInput, NotFound, quoted, shortened
from graph.keys import AssetKey
from graph.model import Json

FOLDER = "/api/v1/sources/"
_MEMORY = 1 << 30
"""Bytes of files kept in memory; beyond that, those used longest ago are read anew."""


class _Version(NamedTuple):
    modified: int
    size: int
    inode: int


class Sources:
    """Reads each version of a file once. Safe among threads."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._tables: OrderedDict[Path, tuple[_Version, pa.Table]] = OrderedDict()

    def rows(self, dataset: AssetKey, location: Json) -> pa.Table:
        """Raises Conflict for a location that is none and for a file that is not Parquet, NotFound without a file."""
        path = self._path(dataset, location)
        try:
            with path.open("rb") as file:
                status = os.fstat(file.fileno())
                version = _Version(status.st_mtime_ns, status.st_size, status.st_ino)
                with self._lock:
                    known = self._tables.get(path)
                    if known is not None and known[0] == version:
                        self._tables.move_to_end(path)
                        return known[1]
                table = pq.ParquetFile(file).read()
        except (OSError, pa.ArrowException) as error:
            raise Conflict(f"the rows of {dataset} cannot be read from {location}: {shortened(error)}") from error
        with self._lock:
            self._tables[path] = version, table
            self._tables.move_to_end(path)
            while len(self._tables) > 1 and sum(each.nbytes for _, each in self._tables.values()) > _MEMORY:
                self._tables.popitem(last=False)
        return table

    def temporary(self) -> Path:
        """Where to write a file before it is kept; no location leads there."""
        folder = self._folder / ".incoming"
        make_folder(folder)
        return folder / uuid.uuid4().hex

    def keep(self, temporary: Path, name: str) -> tuple[pa.Schema, int, bool]:
        """The schema, the number of rows, and whether there was no such file before.

        Raises InvalidInput for what is not Parquet from its first byte to its last.
        """
        try:
            with pq.ParquetFile(temporary) as file:
                schema, rows = file.schema_arrow, sum(len(batch) for batch in file.iter_batches())
        except (OSError, pa.ArrowException) as error:
            raise InvalidInput(f"the body is not a Parquet file: {shortened(error)}", name) from error
        target = self._folder / name
        is_new = not target.exists()
        keep(temporary, target)
        return schema, rows, is_new

    def _path(self, dataset: AssetKey, location: Json) -> Path:
        if not isinstance(location, str) or not _is_below(location):
            raise Conflict(
                f"the location of {dataset} is {quoted(str(location))}; it is the path of a Parquet file below sources/,"
                " like wine/assays.parquet, and no part of it begins with a dot"
            )
        folder = self._folder.resolve()
        path = (folder / location).resolve()
        if not path.is_relative_to(folder):
            raise Conflict(f"the location of {dataset}, {location}, leads out of sources/ by a link")
        if not path.is_file():
            upload = f": send it by PUT {FOLDER}{location}" if "/" not in location else ""
            raise NotFound(dataset, f"has no rows yet: there is no file sources/{location}{upload}")
        return path


def _is_below(location: str) -> bool:
    path = PurePosixPath(location)
    parts_are_plain = not any(part.startswith(".") for part in path.parts)
    return bool(path.parts) and not path.is_absolute() and parts_are_plain and location.isprintable()
