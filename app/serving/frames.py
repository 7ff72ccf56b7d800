"""How the service and a model's process speak: frames of a JSON header and the plain bytes of arrays. No pickles.

    u32 length of the header · u64 length of the body · header · body     (little-endian)

The header's `arrays` tell name, type, shape and size of each array in the body, in order. Text is a JSON list.
"""

import math
import struct
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

PREFIX = struct.Struct("<IQ")
MAX_HEADER, MAX_BODY = 1 << 20, 1 << 31
"""The artifact itself comes in a body."""

_TEXT = "text"
_PLAIN = {np.dtype(name).str for name in ("?", "u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8")}


class FrameBroken(Exception):
    """What came is no frame."""


class Frame(NamedTuple):
    header: dict[str, Any]
    arrays: dict[str, NDArray[Any]]
    rest: bytes
    """What the body holds beyond the arrays: an artifact."""


def encoded(header: Mapping[str, object], arrays: Mapping[str, NDArray[Any]], rest: bytes = b"") -> list[bytes]:
    """The pieces of a frame, to be sent one after the other."""
    told, pieces = [], []
    for name, array in arrays.items():
        if array.dtype.kind in "OU":
            dtype, data = _TEXT, orjson.dumps([str(value) for value in array.ravel().tolist()])
        else:
            dtype, data = array.dtype.str, np.ascontiguousarray(array).tobytes()
        told.append({"name": name, "dtype": dtype, "shape": array.shape, "size": len(data)})
        pieces.append(data)
    head = orjson.dumps({**header, "arrays": told})
    body = [*pieces, rest]
    return [PREFIX.pack(len(head), sum(map(len, body))), head, *body]


def sizes(prefix: bytes) -> tuple[int, int]:
    """Of header and body. Raises FrameBroken."""
    head, body = PREFIX.unpack(prefix)
    if head > MAX_HEADER or body > MAX_BODY:
        raise FrameBroken(f"a frame of {head} + {body} bytes")
    return head, body


def decoded(head: bytes, body: bytes) -> Frame:
    """Raises FrameBroken."""
    try:
        header = orjson.loads(head)
        arrays, begin = {}, 0
        for told in header.pop("arrays"):
            data = memoryview(body)[begin : begin + told["size"]]
            arrays[told["name"]] = _array(data, told["dtype"], tuple(told["shape"]))
            begin += told["size"]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise FrameBroken(str(error)) from error
    return Frame(header, arrays, body[begin:])


def _array(data: memoryview, dtype: str, shape: tuple[int, ...]) -> NDArray[Any]:
    if dtype != _TEXT:
        if dtype not in _PLAIN:
            raise ValueError(f"an array of type {dtype!r}")
        return np.frombuffer(data, dtype).reshape(shape)
    texts = orjson.loads(data)
    if not isinstance(texts, list) or len(texts) != math.prod(shape) or not all(type(text) is str for text in texts):
        raise ValueError("an array of texts that is none")
    array = np.empty(len(texts), object)
    array[:] = texts
    return array.reshape(shape)
