"""What the machine allows: the walk of `graph.walk` in C, over the arrays that the index itself walks."""

import ctypes
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from graph.ports import Port, Step
from graph.topology import Ints, Moment, View
from graph.walk import Direction

SOURCE = Path(__file__).with_name("limit.c")


@dataclass(frozen=True)
class Arrays:
    """One direction of the port graph at one moment, as compressed sparse rows."""

    offsets: NDArray[np.int64]
    far: NDArray[np.int32]
    step: NDArray[np.uint8]


class Answer(NamedTuple):
    """Views of scratch memory: the next search overwrites them."""

    assets: NDArray[np.int32]
    hops: NDArray[np.int32]


def arrays_of(view: View, direction: Direction, moment: Moment) -> Arrays:
    """The rows that hold then, by the vertex they are walked from. The one place that knows how the index keeps them."""
    rows = view.holding(np.arange(view.row_count), moment)
    near, far = (view.rows[name][rows] for name in _ENDS[direction])
    order = np.argsort(near, kind="stable")
    offsets = np.concatenate([[0], np.cumsum(np.bincount(near, minlength=view.vertices))])
    return Arrays(
        offsets.astype(np.int64),
        np.ascontiguousarray(far[order], np.int32),
        np.ascontiguousarray(view.rows["step"][rows][order], np.uint8),
    )


_ENDS = {Direction.DOWNSTREAM: ("source", "target"), Direction.UPSTREAM: ("target", "source")}


def built(folder: Path) -> ctypes.CDLL:
    """With the system's compiler, for this machine. Raises CalledProcessError with what the compiler says."""
    library = folder / "limit.so"
    command = ["cc", "-O3", "-march=native", "-shared", "-fPIC", "-o", str(library), str(SOURCE)]
    subprocess.run(command, check=True, capture_output=True, text=True)
    loaded = ctypes.CDLL(str(library))
    loaded.reach.restype = loaded.assets_of.restype = ctypes.c_int64
    return loaded


class Limit:
    """Walks of one direction, in C. Its scratch memory is as large as the graph and made once."""

    def __init__(self, library: ctypes.CDLL, view: View, arrays: Arrays) -> None:
        self._library, self._arrays = library, arrays
        vertices = len(arrays.offsets) - 1
        self._hops = np.full(vertices, -1, np.int32)
        self._order, self._next = np.empty(vertices, np.int32), np.empty(vertices, np.int32)
        port = view.vertex_port[:vertices]
        nobody = len(view.keys)  # what requests carry is no asset
        self._asset_of = np.where(port == Port.REQUESTS, nobody, view.vertex_asset[:vertices]).astype(np.int32)
        self._left_out = np.zeros(nobody + 1, np.uint8)
        self._left_out[nobody] = 1
        self._seen = np.zeros(nobody + 1, np.uint8)
        self._assets, self._distances = np.empty(nobody + 1, np.int32), np.empty(nobody + 1, np.int32)

    def walk(self, vertex: int, left_out: Ints, walks: Step = Step.VALUES) -> Answer:
        """The assets reached from `vertex`, nearest first; `left_out` are the start, its parts and its container."""
        count = self._library.reach(
            *_pointers(self._arrays.offsets, self._arrays.far, self._arrays.step),
            ctypes.c_uint8(walks),
            ctypes.c_int32(vertex),
            *_pointers(self._hops, self._order, self._next),
        )
        self._left_out[left_out] = 1
        found = self._library.assets_of(
            _pointer(self._order),
            ctypes.c_int64(count),
            *_pointers(self._hops, self._asset_of, self._left_out, self._seen, self._assets, self._distances),
        )
        self._left_out[left_out] = 0
        self._library.forget(_pointer(self._order), ctypes.c_int64(count), _pointer(self._hops))
        return Answer(self._assets[:found], self._distances[:found])

    def counted(self, assets: Ints, code: Ints, codes: int) -> NDArray[np.int64]:
        counts = np.zeros(codes, np.int64)
        self._library.count_by(_pointer(assets), ctypes.c_int64(len(assets)), _pointer(code), _pointer(counts))
        return counts


def _pointer(array: Ints) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def _pointers(*arrays: Ints) -> list[ctypes.c_void_p]:
    return [_pointer(array) for array in arrays]
