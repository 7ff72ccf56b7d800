"""What a model takes and gives: the tensors of a version's signature, with their types and shapes."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import cast

import numpy as np

from graph.errors import Conflict, quoted
from graph.keys import AssetKey, AssetKind
from graph.model import Json


class Datatype(StrEnum):
    """As the Open Inference Protocol names them. BYTES is text here."""

    BOOL = "BOOL"
    UINT8 = "UINT8"
    UINT16 = "UINT16"
    UINT32 = "UINT32"
    UINT64 = "UINT64"
    INT8 = "INT8"
    INT16 = "INT16"
    INT32 = "INT32"
    INT64 = "INT64"
    FP16 = "FP16"
    FP32 = "FP32"
    FP64 = "FP64"
    BYTES = "BYTES"

    @property
    def dtype(self) -> np.dtype:
        """That of arrays with such values; text is held as objects, each a `str`."""
        return _DTYPES[self]

    @property
    def is_float(self) -> bool:
        return self in {Datatype.FP16, Datatype.FP32, Datatype.FP64}

    @property
    def is_integer(self) -> bool:
        return self.dtype.kind in "iu"


_DTYPES = {
    Datatype.BOOL: np.dtype("bool"),
    **{each: np.dtype(each.value.lower()) for each in Datatype if "INT" in each.value},
    Datatype.FP16: np.dtype("float16"),
    Datatype.FP32: np.dtype("float32"),
    Datatype.FP64: np.dtype("float64"),
    Datatype.BYTES: np.dtype("object"),
}
_BY_DTYPE = {dtype: datatype for datatype, dtype in _DTYPES.items()}

_SPELLINGS = {
    **{each.value.lower(): each for each in Datatype},
    "boolean": Datatype.BOOL,
    "tinyint": Datatype.INT8,
    "smallint": Datatype.INT16,
    "int": Datatype.INT64,
    "integer": Datatype.INT64,
    "long": Datatype.INT64,
    "bigint": Datatype.INT64,
    "half": Datatype.FP16,
    "float16": Datatype.FP16,
    "float32": Datatype.FP32,
    "real": Datatype.FP32,
    "float": Datatype.FP64,
    "float64": Datatype.FP64,
    "double": Datatype.FP64,
    "double precision": Datatype.FP64,
    "number": Datatype.FP64,
    "str": Datatype.BYTES,
    "string": Datatype.BYTES,
    "text": Datatype.BYTES,
    "varchar": Datatype.BYTES,
    "object": Datatype.BYTES,
}
"""How signatures write types, in lower case: as numpy, SQL, MLflow and the protocol itself do."""


@dataclass(frozen=True, slots=True)
class Tensor:
    name: str
    datatype: Datatype | None
    """None: the signature does not say. Inputs are then FP64, and outputs whatever the model gives."""
    dims: tuple[int, ...] = ()
    """The shape of one row; () for one value."""
    feature: AssetKey | None = None
    """The feature that can be looked up when a request leaves this input out."""

    @property
    def shape(self) -> tuple[int, ...]:
        """With the rows, of which there may be any number."""
        return (-1, *self.dims)

    def __str__(self) -> str:
        return f"{self.name!r} ({self.datatype or 'any type'} {[*self.shape]})"


@dataclass(frozen=True, slots=True)
class Signature:
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]

    def input(self, name: str) -> Tensor | None:
        return next((tensor for tensor in self.inputs if tensor.name == name), None)

    def output(self, name: str) -> Tensor | None:
        return next((tensor for tensor in self.outputs if tensor.name == name), None)


def signature_of(version: AssetKey, stated: Json) -> Signature:
    """From the attribute `signature` of a version. Raises Conflict, naming what is missing or cannot be served."""
    if not isinstance(stated, dict):
        raise Conflict(f"{version} has no signature: register it again with the names of its inputs and outputs")
    signature = Signature(_tensors(version, stated, "inputs"), _tensors(version, stated, "outputs"))
    inputs = tuple(
        Tensor(each.name, each.datatype or Datatype.FP64, each.dims, each.feature) for each in signature.inputs
    )
    return Signature(inputs, signature.outputs)


def datatype_of(dtype: np.dtype) -> Datatype:
    """Raises KeyError for what the protocol has no type for."""
    return _BY_DTYPE[dtype]


def names_of(tensors: Iterable[Tensor]) -> str:
    """For people."""
    return ", ".join(map(str, tensors)) or "none"


def _tensors(version: AssetKey, stated: Mapping[str, Json], side: str) -> tuple[Tensor, ...]:
    tensors = [_tensor(version, cast("dict[str, Json]", each)) for each in cast("list[Json]", stated.get(side) or [])]
    if not tensors:
        raise Conflict(f"the signature of {version} names no {side}, so nobody could tell how to call it")
    names = [tensor.name for tensor in tensors]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise Conflict(f"the signature of {version} names {quoted(twice)} twice among its {side}")
    return tuple(tensors)


def _tensor(version: AssetKey, stated: Mapping[str, Json]) -> Tensor:
    name, type_ = str(stated["name"]), stated.get("type")
    datatype = None
    if type_ is not None:
        datatype = _SPELLINGS.get(str(type_).strip().lower())
        if datatype is None:
            known = ", ".join(_SPELLINGS)
            raise Conflict(f"{quoted(name)} in the signature of {version} is of type {quoted(str(type_))}, not {known}")
    feature = stated.get("feature")
    key = AssetKey.parse(str(feature)) if feature else None
    return Tensor(
        name,
        datatype,
        _dims(version, name, stated.get("shape")),
        key if key is not None and key.kind is AssetKind.FEATURE else None,
    )


def _dims(version: AssetKey, name: str, shape: Json) -> tuple[int, ...]:
    """Of one row. A leading -1 stands for the rows, and may be left out; [-1, 1] is one value a row, as [-1] is."""
    if shape is None:
        return ()
    dims = tuple(shape) if isinstance(shape, list) else (shape,)
    dims = dims[1:] if dims and dims[0] == -1 else dims
    if not all(isinstance(size, int) and not isinstance(size, bool) and size > 0 for size in dims):
        raise Conflict(
            f"the shape of {quoted(name)} in the signature of {version} is {shape}; write [-1] for one value a row,"
            " or [-1, k] for k of them"
        )
    return () if dims == (1,) else cast("tuple[int, ...]", dims)
