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


class _Walk(ctypes.Structure):
    """`struct walk` of limit.c."""

    _fields_ = tuple(
        (name, ctypes.c_void_p)
        for name in ("offsets", "far", "step", "asset_of", "hops", "order", "next", "seen", "assets", "distances")
    )


def built(folder: Path) -> ctypes.CDLL:
    """With the system's compiler, for this machine. Raises CalledProcessError with what the compiler says."""
    library = folder / "limit.so"
    command = ["cc", "-O3", "-march=native", "-shared", "-fPIC", "-o", str(library), str(SOURCE)]
    subprocess.run(command, check=True, capture_output=True, text=True)
    loaded = ctypes.CDLL(str(library))
    loaded.search.restype = ctypes.c_int64
    loaded.search.argtypes = [ctypes.c_void_p, ctypes.c_int32, ctypes.c_uint8, ctypes.c_void_p, ctypes.c_int64]
    loaded.count_by.restype = None
    loaded.count_by.argtypes = [ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p]
    return loaded


class Limit:
    """Walks of one direction, in C. Its scratch memory is as large as the graph and made once."""

    def __init__(self, library: ctypes.CDLL, view: View, arrays: Arrays) -> None:
        self._library = library
        vertices, nobody = len(arrays.offsets) - 1, view.assets
        is_asset = view.vertex_port[:vertices] != Port.REQUESTS  # what requests carry is none
        self._assets, self._distances = (np.empty(nobody + 1, np.int32) for _ in range(2))
        seen = np.zeros(nobody + 1, np.uint8)
        seen[nobody] = 1
        self._kept: tuple[Ints, ...] = (
            arrays.offsets,
            arrays.far,
            arrays.step,
            np.where(is_asset, view.vertex_asset[:vertices], nobody).astype(np.int32),
            np.full(vertices, -1, np.int32),
            *(np.empty(vertices, np.int32) for _ in range(2)),
            seen,
            self._assets,
            self._distances,
        )
        self._walk = _Walk(*(array.ctypes.data for array in self._kept))
        self._address = ctypes.addressof(self._walk)

    def walk(self, vertex: int, left_out: NDArray[np.int32], walks: int = Step.VALUES) -> Answer:
        """The assets reached from `vertex`, nearest first; `left_out` are the start, its parts and its container."""
        found = self._library.search(self._address, vertex, walks, left_out.ctypes.data, len(left_out))
        return Answer(self._assets[:found], self._distances[:found])

    def counted(self, assets: NDArray[np.int32], code: NDArray[np.int32], codes: int) -> NDArray[np.int64]:
        """How many of `assets` have each code; `code` is by asset."""
        counts = np.zeros(codes, np.int64)
        self._library.count_by(assets.ctypes.data, len(assets), code.ctypes.data, counts.ctypes.data)
        return counts
