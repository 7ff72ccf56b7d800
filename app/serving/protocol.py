"""The Open Inference Protocol, version 2, as JSON: requests to columns, columns to answers.

https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from app.events import Columns
from app.serving.models import Datatype, Signature, Tensor, datatype_of, names_of
from graph.errors import quoted, shortened

MAX_ROWS = 100_000
_MAX_ID = 200


class Unanswered(Exception):
    """Why a request gets no prediction, with the HTTP status that says so."""

    def __init__(self, status: int, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Given:
    """A tensor as the request has it, its data in one row-major list."""

    name: str
    datatype: Datatype
    shape: tuple[int, ...]
    data: list[Any]


@dataclass(frozen=True, slots=True)
class Asked:
    id: str | None
    inputs: Mapping[str, Given]
    outputs: tuple[str, ...] | None
    """Those to answer; None: all."""


def parsed(body: bytes) -> Asked:
    """Raises Unanswered."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Unanswered(400, f"the body is not JSON: {error} (a missing number is written null)") from None
    if not isinstance(document, dict):
        raise Unanswered(400, 'the body is not a JSON object {"inputs": [...]}')
    id_ = document.get("id")
    if id_ is not None and (not isinstance(id_, str) or not 0 < len(id_) <= _MAX_ID or not id_.isprintable()):
        raise Unanswered(400, f"id is {shortened(id_)!r}; it is a text of 1 to {_MAX_ID} printable characters")
    tensors = document.get("inputs")
    if not isinstance(tensors, list) or not tensors:
        raise Unanswered(400, "inputs is missing: a list of {name, shape, datatype, data}")
    inputs: dict[str, Given] = {}
    for place, tensor in enumerate(tensors):
        given = _given(tensor, f"inputs[{place}]")
        if given.name in inputs:
            raise Unanswered(400, f"the input {quoted(given.name)} is there twice")
        inputs[given.name] = given
    return Asked(id_, inputs, _outputs(document.get("outputs")))


def columns(asked: Asked, name: str, signature: Signature, besides: Collection[str] = ()) -> dict[str, NDArray[Any]]:
    """The inputs as arrays of the signature's types, and those named in `besides` (entities) in their own.

    Inputs of the signature may be left out. Raises Unanswered for all that does not fit.
    """
    unexpected = [each for each in asked.inputs if signature.input(each) is None and each not in besides]
    if unexpected:
        raise wrong_names(name, signature, unexpected=unexpected, entities=besides)
    found = {}
    for given in asked.inputs.values():
        tensor = signature.input(given.name)
        found[given.name] = _entity(given) if tensor is None else _column(given, tensor)
    rows = {name: len(array) for name, array in found.items()}
    if len(set(rows.values())) > 1:
        raise Unanswered(400, "the inputs have different numbers of rows: " + _listed(rows))
    count = next(iter(rows.values()))
    if count > MAX_ROWS:
        raise Unanswered(413, f"the inputs have {count} rows; at most {MAX_ROWS} are answered at once")
    return found


def wrong_names(
    name: str,
    signature: Signature,
    missing: Sequence[str] = (),
    unexpected: Sequence[str] = (),
    entities: Collection[str] = (),
) -> Unanswered:
    said = []
    if missing:
        said.append(f"inputs are missing: {', '.join(map(quoted, missing))}")
    if unexpected:
        said.append(f"inputs that {quoted(name)} does not have: {', '.join(map(quoted, unexpected))}")
    instead = f"; or instead of features the entities {', '.join(map(quoted, entities))}" if entities else ""
    return Unanswered(400, f"{'; '.join(said)}. {quoted(name)} takes {names_of(signature.inputs)}{instead}")


def refuse_unknown_outputs(asked: Asked, name: str, signature: Signature) -> None:
    """Raises Unanswered."""
    for output in asked.outputs or ():
        if signature.output(output) is None:
            raise Unanswered(
                400, f"{quoted(name)} has no output {quoted(output)}; it gives {names_of(signature.outputs)}"
            )


def answer(asked: Asked, id_: str, name: str, version: str | None, outputs: Columns) -> bytes:
    wanted = outputs if asked.outputs is None else {each: outputs[each] for each in asked.outputs}
    document: dict[str, object] = {"model_name": name}
    if version is not None:
        document["model_version"] = version
    document["id"] = id_
    document["outputs"] = [
        {
            "name": each,
            "shape": array.shape,
            "datatype": datatype_of(array.dtype).value,
            "data": array.ravel().tolist() if array.dtype.kind == "O" else np.ascontiguousarray(array).ravel(),
        }
        for each, array in wanted.items()
    ]
    return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)


def metadata(name: str, versions: Sequence[str], platform: str, signature: Signature) -> dict[str, object]:
    def told(tensors: Sequence[Tensor]) -> list[dict[str, object]]:
        return [{"name": each.name, "datatype": each.datatype, "shape": [*each.shape]} for each in tensors]

    return {
        "name": name,
        "versions": [*versions],
        "platform": platform,
        "inputs": told(signature.inputs),
        "outputs": told(signature.outputs),
    }


def fits(given: Datatype, wanted: Datatype) -> bool:
    """Whether values of one type can be taken where the other is wanted: whole numbers are numbers."""
    if wanted.is_float:
        return given.is_float or given.is_integer
    return given.is_integer if wanted.is_integer else given is wanted


def converted(array: NDArray[Any], wanted: Tensor, where: str) -> NDArray[Any]:
    """`array` in the type of a signature. What a look-up did not find is None or NaN. Raises Unanswered."""
    datatype = wanted.datatype
    assert datatype is not None
    if array.dtype.kind == "O" and datatype is not Datatype.BYTES:
        array = np.array([math.nan if value is None else value for value in array.ravel()]).reshape(array.shape)
    if not datatype.is_float and datatype is not Datatype.BYTES and array.dtype.kind == "f":
        absent = np.flatnonzero(~np.isfinite(array.ravel()))
        if len(absent):
            raise Unanswered(
                400, f"{where} has no value for {wanted.name!r} in row {absent[0]}, and {datatype} cannot be missing"
            )
    if datatype is Datatype.BYTES:
        absent = np.flatnonzero([value is None for value in array.ravel()])
        if len(absent):
            raise Unanswered(400, f"{where} has no value for {wanted.name!r} in row {absent[0]}")
        return array.astype(str).astype(object)
    try:
        return array.astype(datatype.dtype)
    except (ValueError, TypeError) as error:
        raise Unanswered(400, f"{where} gives {wanted.name!r} not as {datatype}: {error}") from None


# One tensor


def _given(tensor: object, where: str) -> Given:
    if not isinstance(tensor, dict) or not isinstance(tensor.get("name"), str):
        raise Unanswered(400, f"{where} is not of the form {{name, shape, datatype, data}}")
    name = tensor["name"]
    where = f"the input {quoted(name)}"
    shape = tensor.get("shape")
    if not isinstance(shape, list) or not shape or not all(type(size) is int and size >= 0 for size in shape):
        raise Unanswered(
            400, f"{where} has the shape {shortened(shape)}; it is a list of sizes, first that of the rows"
        )
    try:
        datatype = Datatype(str(tensor.get("datatype")))
    except ValueError:
        raise Unanswered(
            400, f"{where} has the datatype {shortened(tensor.get('datatype'))!r}, none of {', '.join(Datatype)}"
        ) from None
    data = tensor.get("data")
    if not isinstance(data, list):
        parameters = tensor.get("parameters")
        binary = isinstance(parameters, dict) and "binary_data_size" in parameters
        raise Unanswered(400, f"{where} has no data" + (": binary tensors are not taken, send JSON" if binary else ""))
    return Given(name, datatype, tuple(shape), _flat(data, shape, where))


def _flat(data: list[Any], shape: Sequence[int], where: str) -> list[Any]:
    """`data` is flat already, or nested as `shape` says."""
    expected = math.prod(shape)
    if not any(type(value) is list for value in data):
        if len(data) != expected:
            raise Unanswered(400, f"{where} has {len(data)} values, and its shape {[*shape]} makes {expected}")
        return data
    level = [data]
    for size in shape:
        for part in level:
            if type(part) is not list or len(part) != size:
                length = f"{len(part)} values" if type(part) is list else "one value"
                raise Unanswered(400, f"{where} is ragged: {length} stand where its shape {[*shape]} says {size}")
        level = [value for part in level for value in part]
    if any(type(value) is list for value in level):
        raise Unanswered(400, f"{where} is nested deeper than its shape {[*shape]} says")
    return level


def _column(given: Given, tensor: Tensor) -> NDArray[Any]:
    datatype = tensor.datatype
    assert datatype is not None
    if not fits(given.datatype, datatype):
        accepted = [each for each in Datatype if fits(each, datatype)]
        raise Unanswered(400, f"the input {quoted(given.name)} is {given.datatype}; accepted are {', '.join(accepted)}")
    rows = given.shape[0]
    shapes = [(rows, *tensor.dims)] if tensor.dims else [(rows,), (rows, 1)]
    if given.shape not in shapes:
        raise Unanswered(
            400, f"the input {quoted(given.name)} has the shape {[*given.shape]}, where {[*tensor.shape]} is taken"
        )
    if rows == 0:
        raise Unanswered(400, f"the input {quoted(given.name)} has no rows")
    array = _array(given)
    if datatype.is_integer and array.dtype != datatype.dtype:
        _refuse_beyond(given, datatype)
    with np.errstate(over="ignore"):
        return array.astype(datatype.dtype).reshape(shapes[0])


def _entity(given: Given) -> NDArray[Any]:
    if given.shape not in [given.shape[:1], (*given.shape[:1], 1)]:
        raise Unanswered(400, f"the entity {quoted(given.name)} has the shape {[*given.shape]}; it is one value a row")
    return _array(given)


_TAKEN: dict[str, frozenset[type]] = {
    "f": frozenset({int, float, type(None)}),
    "i": frozenset({int}),
    "u": frozenset({int}),
    "b": frozenset({bool}),
    "O": frozenset({str}),
}
_WORDS = {"f": "a number, or null where it is missing", "b": "true or false", "O": "text"}


def _array(given: Given) -> NDArray[Any]:
    """In the type that the request says, flat."""
    dtype, data = given.datatype.dtype, given.data
    taken = _TAKEN[dtype.kind]
    if not set(map(type, data)) <= taken:
        place, value = next((place, value) for place, value in enumerate(data) if type(value) not in taken)
        said = shortened(orjson.dumps(value).decode(), 60)
        raise Unanswered(
            400,
            f"value {place} of the input {quoted(given.name)} is {said}; {given.datatype} is"
            f" {_WORDS.get(dtype.kind, 'a whole number')}",
        )
    if given.datatype.is_integer:
        _refuse_beyond(given, given.datatype)
    if dtype.kind == "O":
        texts = np.empty(len(data), object)
        texts[:] = data
        return texts
    with np.errstate(over="ignore"):
        return np.array(data, np.float64 if dtype.kind == "f" else dtype).astype(dtype)


def _refuse_beyond(given: Given, datatype: Datatype) -> None:
    limits = np.iinfo(datatype.dtype)
    worst = next((value for value in given.data if not limits.min <= value <= limits.max), None)
    if worst is not None:
        raise Unanswered(
            400, f"{worst} in the input {quoted(given.name)} is beyond {datatype}: {limits.min} to {limits.max}"
        )


def _outputs(stated: object) -> tuple[str, ...] | None:
    if stated is None or stated == []:
        return None
    if not isinstance(stated, list):
        raise Unanswered(400, "outputs is not a list of {name}")
    names = [each.get("name") if isinstance(each, dict) else None for each in stated]
    if not all(isinstance(name, str) for name in names):
        raise Unanswered(400, "outputs is not a list of {name}")
    return tuple(dict.fromkeys(map(str, names)))


def _listed(rows: Mapping[str, int]) -> str:
    return ", ".join(f"{quoted(name)} {count}" for name, count in rows.items())
