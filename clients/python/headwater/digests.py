"""What a data set was, in 71 characters: the same content gives the same digest, wherever and whenever it is computed."""

from __future__ import annotations

import hashlib
import json
import math
import os
from array import array
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

_CHUNK = 1 << 20


def digest(data: Any) -> str:
    """`sha256:…` of a file's bytes, a folder's files, or the columns of a table.

    A table is a DataFrame of pandas or polars, a table of pyarrow, or a mapping of names to columns; whichever holds it, the
    same names, values and order have the same digest. Neither its index nor the width of its numbers counts: 1 and 1.0
    differ, int32 and int64 do not. NaN is missing. Raises TypeError for what is none of these.

    >>> digest({"amount": [1.5, None]}) == digest({"amount": [1.5, float("nan")]})
    True
    >>> digest({"amount": [1.5]})[:15]
    'sha256:c9db1bd5'
    """
    if isinstance(data, str | os.PathLike):
        path = Path(data)
        return f"sha256:{_of_folder(path) if path.is_dir() else _of_file(path)}"
    columns = columns_of(data)
    if columns is None:
        raise TypeError(
            f"a {type(data).__name__} has no digest: give the path of a file, a DataFrame, a table of pyarrow, or a mapping of"
            " names to columns"
        )
    total = hashlib.sha256()
    for name, values in columns.items():
        content = hashlib.sha256()
        for piece in _column(values()):
            content.update(piece)
        total.update(json.dumps([name, content.hexdigest()]).encode())
    return f"sha256:{total.hexdigest()}"


def columns_of(data: Any) -> dict[str, Callable[[], list[Any]]] | None:
    """The columns of a table, each to be read when it is needed; None: it is no table that is known here."""
    library = type(data).__module__.partition(".")[0]
    if isinstance(data, Mapping):
        return {str(name): _reading(column) for name, column in data.items()}
    if library == "pandas" and hasattr(data, "columns"):
        return {str(name): _reading(data.iloc[:, place]) for place, name in enumerate(data.columns)}
    if library == "polars" and hasattr(data, "get_columns"):
        return {column.name: column.to_list for column in data.get_columns()}
    if library == "pyarrow" and hasattr(data, "column_names"):
        return {name: data.column(place).to_pylist for place, name in enumerate(data.column_names)}
    return None


def _reading(column: Any) -> Callable[[], list[Any]]:
    return lambda: list(column.tolist() if hasattr(column, "tolist") else column)


def _column(values: list[Any]) -> Iterator[bytes]:
    missing = [place for place, value in enumerate(values) if _is_missing(value)]
    for place in missing:
        values[place] = None
    kinds = set(map(type, values)) - {type(None)}
    yield json.dumps([len(values), missing]).encode()
    if kinds == {int} and all(value is None or -(2**63) <= value < 2**63 for value in values):
        yield b"int" + _packed("q", values)
    elif kinds == {float}:
        yield b"float" + _packed("d", values)
    else:
        for start in range(0, len(values), 10_000):
            yield json.dumps(values[start : start + 10_000], default=_text, ensure_ascii=True, sort_keys=True).encode()


def _packed(code: str, values: list[Any]) -> bytes:
    packed = array(code, [0 if value is None else value for value in values])
    if array("H", [1]).tobytes() != b"\x01\x00":  # of little-endian machines
        packed.byteswap()
    return packed.tobytes()


def _is_missing(value: Any) -> bool:
    if isinstance(value, float):
        return math.isnan(value)
    return value is None or type(value).__name__ in {"NAType", "NaTType"}  # pandas'


def _text(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    return value.isoformat() if hasattr(value, "isoformat") else f"{type(value).__name__} {value!s}"


def _of_file(path: Path) -> str:
    content = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            content.update(chunk)
    return content.hexdigest()


def _of_folder(path: Path) -> str:
    files = sorted((file.relative_to(path).as_posix(), file) for file in path.rglob("*") if file.is_file())
    content = hashlib.sha256()
    for name, file in files:
        content.update(json.dumps([name, _of_file(file)]).encode())
    return content.hexdigest()
