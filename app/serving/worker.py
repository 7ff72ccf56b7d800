"""`python -m app.serving.worker`, or forked by `nursery`: a model in its own process, all that a hostile one could break.

It reads frames (see `frames`) from stdin and answers them on stdout: first the artifact with the signature, then inputs. It
ends when stdin does. It can write no file, has an empty environment, at most 4 GiB, one thread, and, where it was
started as root and the interpreter's files are readable for all, the rights of `nobody`.

**A skops archive** holds a scikit-learn estimator; types that skops does not know as harmless are refused. Inputs: scalars
are the columns of a matrix of float64, in the order of the signature; or one input of shape [-1, k] is the matrix. Outputs:

| the signature's outputs                      | are, in their order                                            |
| -------------------------------------------- | -------------------------------------------------------------- |
| one scalar                                   | `predict`                                                      |
| one of shape [-1, k], k classes              | `predict_proba`                                                |
| k scalars, k > 1 classes                     | the columns of `predict_proba`, in the order of `classes_`     |
| a scalar and one of shape [-1, k], k classes | `predict` and `predict_proba`                                  |
| 1 + k scalars, k > 1 classes                 | `predict`, then the columns of `predict_proba`                 |
| k scalars, or one of [-1, k], no classes     | the columns of `predict`                                       |

**An ONNX model** takes its inputs by name where its names are the signature's, else its single input of shape [None, k] is
the matrix of the columns, in its own type. Outputs go by name. Tensors kept in other files are not read.
"""

import ctypes
import io
import os
import sys
import warnings
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from app.serving.frames import PREFIX, Frame, decoded, encoded, sizes
from app.serving.models import Datatype, Signature, Tensor, datatype_of, names_of

Arrays = dict[str, NDArray[Any]]

COMMAND = ("-P", "-m", "app.serving.worker")
MEMORY_BYTES = 4 << 30
FILES = 64
"""For an estimator, which may import more of scikit-learn late. An ONNX model needs none."""
_WARM_UP_ROWS = 2
"""Two, so that a model made for exactly one row is found out."""
_PICKLES = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")


class Unfit(Exception):
    """The artifact cannot be served as its signature says; `str(error)` says why."""


class Model(Protocol):
    platform: str

    def predict(self, inputs: Mapping[str, NDArray[Any]]) -> Arrays:
        """The signature's outputs, as the model gives them."""
        ...


def main(parent: int) -> None:
    """`parent`: the process whose end is the end of this one."""
    asks, answers = _take_pipes()
    warnings.simplefilter("ignore")
    frame = _read(asks)
    if frame is None:
        return
    _prepare(frame.rest, parent)
    signature = Signature(*(tuple(_tensor(each) for each in frame.header[side]) for side in ("inputs", "outputs")))
    try:
        model = load(frame.rest, signature)
        warm = _checked(model, signature, _zeros(signature.inputs))
    except Unfit as error:
        _write(answers, {"unfit": str(error)})
        return
    except Exception as error:  # noqa: BLE001 (what a foreign model does when it is tried is anybody's guess)
        _write(answers, {"unfit": f"it fails when tried with zeros of the signature's shapes: {_said(error)}"})
        return
    types = {name: datatype_of(array.dtype) for name, array in warm.items()}
    _write(answers, {"platform": model.platform, "types": types})
    while (frame := _read(asks)) is not None:
        try:
            outputs = _checked(model, signature, frame.arrays)
        except (ValueError, TypeError) as error:
            _write(answers, {"refused": _said(error)})
        except Exception as error:  # noqa: BLE001 (as above)
            known = "refused" if type(error).__name__ == "InvalidArgument" else "failed"
            _write(answers, {known: _said(error)})
        else:
            _write(answers, {}, outputs)


def load(artifact: bytes, signature: Signature) -> Model:
    """Raises Unfit."""
    if is_archive(artifact):
        return Estimator(_unpacked(artifact), signature)
    if artifact.startswith(_PICKLES):
        raise Unfit("it is a pickle, which may run any code when it is loaded; export the model with skops or as ONNX")
    return Network(artifact, signature)


def is_archive(artifact: bytes) -> bool:
    """Whether it is for skops to load."""
    return artifact.startswith(b"PK")


# scikit-learn


def _unpacked(artifact: bytes) -> Any:
    from skops.io import get_untrusted_types, loads  # noqa: PLC0415 (only what is used is loaded)

    try:
        with zipfile.ZipFile(io.BytesIO(artifact)) as archive:
            if "schema.json" not in archive.namelist():
                raise Unfit("it is a zip archive without schema.json, hence not one of skops")
        strange = get_untrusted_types(data=artifact)
        if strange:
            raise Unfit(
                f"it holds types that could do harm when loaded or run: {', '.join(sorted(strange))}; export it as ONNX"
            )
        return loads(artifact, trusted=[])
    except Unfit:
        raise
    except zipfile.BadZipFile as error:
        raise Unfit(f"it is a damaged zip archive: {_said(error)}") from error
    except Exception as error:
        raise Unfit(f"skops cannot load it: {_said(error)}") from error


class Estimator:
    platform = "sklearn_skops"

    def __init__(self, estimator: Any, signature: Signature) -> None:
        self._estimator = estimator
        self._signature = signature
        self._matrix = _matrix_of(signature.inputs, np.dtype("float64"))
        self._refuse_other_columns()
        self._answer = self._answering(signature.outputs)

    def predict(self, inputs: Mapping[str, NDArray[Any]]) -> Arrays:
        from joblib import parallel_config  # noqa: PLC0415 (only what is used is loaded)

        with parallel_config(backend="sequential"):
            return self._answer(self._matrix(inputs))

    def _refuse_other_columns(self) -> None:
        inputs = self._signature.inputs
        texts = [tensor for tensor in inputs if tensor.datatype is Datatype.BYTES]
        if texts:
            raise Unfit(f"estimators take numbers here, and {names_of(texts)} is text; export the pipeline as ONNX")
        columns = sum(tensor.dims[0] if tensor.dims else 1 for tensor in inputs)
        fitted = getattr(self._estimator, "n_features_in_", columns)
        if fitted != columns:
            raise Unfit(f"the estimator was fitted on {fitted} columns, and the signature's inputs make {columns}")
        named = [str(name) for name in getattr(self._estimator, "feature_names_in_", ())]
        names = [tensor.name for tensor in inputs]
        if named != names and sorted(named) == sorted(names):
            raise Unfit(f"the estimator was fitted on the columns {named}, and the signature has them as {names}")

    def _answering(self, outputs: Sequence[Tensor]) -> Callable[[NDArray[Any]], Arrays]:
        """Raises Unfit for outputs that are none of the table above."""
        estimator, names = self._estimator, [tensor.name for tensor in outputs]
        if not hasattr(estimator, "predict"):
            raise Unfit(f"a {type(estimator).__name__} has no predict")
        classes = self._classes()
        scalars = [tensor.name for tensor in outputs if not tensor.dims]
        matrices = [tensor for tensor in outputs if tensor.dims]

        def label(matrix: NDArray[Any]) -> NDArray[Any]:
            return _column(estimator.predict(matrix))

        def probabilities(matrix: NDArray[Any]) -> NDArray[Any]:
            return np.asarray(estimator.predict_proba(matrix))

        if len(outputs) == 1 and scalars:
            return lambda matrix: {names[0]: label(matrix)}
        if classes and [tensor.dims for tensor in matrices] == [(classes,)] and len(scalars) <= 1:
            of_classes = matrices[0].name
            return lambda matrix: {of_classes: probabilities(matrix)} | {name: label(matrix) for name in scalars}
        if classes and not matrices and len(scalars) == classes:
            return lambda matrix: _named(names, probabilities(matrix))
        if classes and not matrices and len(scalars) == classes + 1:
            return lambda matrix: {names[0]: label(matrix)} | _named(names[1:], probabilities(matrix))
        if not classes and not matrices:
            return lambda matrix: _named(names, np.asarray(estimator.predict(matrix)))
        if not classes and len(outputs) == 1 and len(matrices[0].dims) == 1:
            return lambda matrix: {names[0]: np.asarray(estimator.predict(matrix))}
        kind = f"a classifier of {classes} classes" if classes else "no classifier with probabilities"
        raise Unfit(
            f"the signature's outputs are {names_of(outputs)}, and a {type(estimator).__name__} is {kind}: one scalar is its"
            " predict; probabilities are [-1, k] or k scalars, one a class, with or without a scalar for predict before"
            " them; a regressor's scalars are the columns of its predict"
        )

    def _classes(self) -> int:
        """How many classes it has probabilities of; 0: it has none, or several lists of them."""
        classes = getattr(self._estimator, "classes_", None)
        if classes is None or isinstance(classes, list) or not hasattr(self._estimator, "predict_proba"):
            return 0
        return len(classes)


def _named(names: Sequence[str], matrix: NDArray[Any]) -> Arrays:
    if matrix.shape[1:] != (len(names),):
        raise Unfit(f"the model gives {[*matrix.shape[1:]]} values a row, and the signature has {len(names)}: {names}")
    return dict(zip(names, matrix.T, strict=True))


# ONNX


_SIGNS_OF_OTHER_FILES = ("model_path", "External data", "SystemError : 24")
"""What ONNX Runtime says of tensors kept in other files: that it does not know where it is, or cannot open any (EMFILE)."""


class Network:
    platform = "onnx_onnxruntime"

    def __init__(self, artifact: bytes, signature: Signature) -> None:
        import onnxruntime  # noqa: PLC0415 (only what is used is loaded)

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        try:
            self._session = onnxruntime.InferenceSession(artifact, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            said = _said(error)
            if any(sign in said for sign in _SIGNS_OF_OTHER_FILES):
                raise Unfit(
                    f"it keeps tensors in other files, which are not read; save it as one file ({said})"
                ) from error
            raise Unfit(f"it is neither an archive of skops nor an ONNX model that can be loaded: {said}") from error
        self._outputs = [tensor.name for tensor in signature.outputs]
        self._feed = self._feeding(signature.inputs)
        self._refuse_other_outputs(signature.outputs)

    def predict(self, inputs: Mapping[str, NDArray[Any]]) -> Arrays:
        found = self._session.run(self._outputs, self._feed(inputs))
        return dict(zip(self._outputs, map(np.asarray, found), strict=True))

    def _feeding(self, inputs: Sequence[Tensor]) -> Callable[[Mapping[str, NDArray[Any]]], Arrays]:
        own = self._session.get_inputs()
        if {node.name for node in own} == {tensor.name for tensor in inputs}:
            types = {node.name: (_onnx_dtype(node), len(node.shape)) for node in own}
            return lambda given: {
                name: _of_rank(given[name].astype(dtype), rank) for name, (dtype, rank) in types.items()
            }
        if len(own) == 1 and len(own[0].shape) == 2:
            name = own[0].name
            matrix = _matrix_of(inputs, _onnx_dtype(own[0]))
            return lambda given: {name: matrix(given)}
        taken = ", ".join(f"{node.name!r} ({node.type} {node.shape})" for node in own)
        raise Unfit(f"the model's inputs are {taken}, and the signature's are {names_of(inputs)}")

    def _refuse_other_outputs(self, outputs: Sequence[Tensor]) -> None:
        own = {node.name: node.type for node in self._session.get_outputs()}
        for tensor in outputs:
            if tensor.name not in own:
                raise Unfit(f"the model has no output {tensor.name!r}; it has {', '.join(map(repr, own))}")
            if not own[tensor.name].startswith("tensor("):
                raise Unfit(
                    f"the model's output {tensor.name!r} is a {own[tensor.name]}, not a tensor; convert it with zipmap=False"
                )


_ONNX_DTYPES = {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(float16)": "float16",
    "tensor(bool)": "bool",
    "tensor(string)": "object",
    **{f"tensor({sign}int{bits})": f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
}


def _onnx_dtype(node: Any) -> np.dtype:
    if node.type not in _ONNX_DTYPES:
        raise Unfit(f"the model's input {node.name!r} is a {node.type}; served are {', '.join(_ONNX_DTYPES)}")
    return np.dtype(_ONNX_DTYPES[node.type])


def _of_rank(array: NDArray[Any], rank: int) -> NDArray[Any]:
    """One value a row is [rows] or [rows, 1]."""
    return array.reshape(-1, 1) if array.ndim == 1 and rank == 2 else array


# Both


def _matrix_of(inputs: Sequence[Tensor], dtype: np.dtype) -> Callable[[Mapping[str, NDArray[Any]]], NDArray[Any]]:
    if len(inputs) == 1 and len(inputs[0].dims) == 1:
        name = inputs[0].name
        return lambda given: given[name].astype(dtype)
    if any(tensor.dims for tensor in inputs):
        raise Unfit(f"inputs are one matrix [-1, k], or one value a row each, not {names_of(inputs)}")
    names = [tensor.name for tensor in inputs]
    return lambda given: np.stack([given[name].astype(dtype) for name in names], axis=1)


def _checked(model: Model, signature: Signature, inputs: Mapping[str, NDArray[Any]]) -> Arrays:
    """The outputs in the types and shapes of the signature. Raises Unfit, and whatever the model raises."""
    rows = len(next(iter(inputs.values())))
    found = model.predict(inputs)
    return {tensor.name: _as_stated(found[tensor.name], tensor, rows) for tensor in signature.outputs}


def _as_stated(found: NDArray[Any], tensor: Tensor, rows: int) -> NDArray[Any]:
    array = _column(found) if not tensor.dims else found
    if array.shape != (rows, *tensor.dims):
        raise Unfit(
            f"for {rows} rows the model gives {tensor.name!r} in the shape {[*found.shape]}, where the signature says"
            f" {[*tensor.shape]}"
        )
    if array.dtype.kind in "OUS":
        array = _texts(array, tensor)
    datatype = tensor.datatype or datatype_of(array.dtype)
    if (array.dtype.kind == "O") != (datatype is Datatype.BYTES) or not np.can_cast(
        array.dtype, datatype.dtype, "same_kind"
    ):
        raise Unfit(
            f"the model gives {tensor.name!r} as {datatype_of(array.dtype)}, where the signature says {datatype}"
        )
    return array.astype(datatype.dtype)


def _column(found: object) -> NDArray[Any]:
    array = np.asarray(found)
    return array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array


def _texts(array: NDArray[Any], tensor: Tensor) -> NDArray[Any]:
    """As objects that are all text; numbers that came as objects become numbers."""
    if array.dtype.kind == "O" and not all(isinstance(value, str) for value in array.ravel()):
        narrower = np.array(array.tolist())
        if narrower.dtype.kind not in "biuf":
            raise Unfit(f"the model gives {tensor.name!r} as neither numbers nor text")
        return narrower
    return array.astype(str).astype(object)


def _zeros(inputs: Sequence[Tensor]) -> Arrays:
    zeros = {}
    for tensor in inputs:
        assert tensor.datatype is not None
        shape = (_WARM_UP_ROWS, *tensor.dims)
        text = tensor.datatype is Datatype.BYTES
        zeros[tensor.name] = np.full(shape, "", object) if text else np.zeros(shape, tensor.datatype.dtype)
    return zeros


def _tensor(told: Mapping[str, Any]) -> Tensor:
    datatype = told["datatype"]
    return Tensor(told["name"], Datatype(datatype) if datatype else None, tuple(told["dims"]))


def _said(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 500 else text[:500] + "…"


# The process


def _take_pipes() -> tuple[BinaryIO, BinaryIO]:
    """stdin and stdout for frames alone: what libraries print goes to stderr, and what they read is nothing."""
    asks, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return asks, answers


def _prepare(artifact: bytes, parent: int) -> None:
    """Imports what the artifact needs, and gives up all that it does not. Nothing of it was looked into until then."""
    if is_archive(artifact):
        import skops.io  # noqa: PLC0415 (only what is used is loaded)

        assert skops.io
        files = FILES
    else:
        import onnxruntime  # noqa: PLC0415 (only what is used is loaded)

        assert onnxruntime
        files = 0
    _become_nobody()
    die_with(parent)
    _limit(files)


def _limit(files: int) -> None:
    """`files` 0: whatever a model names, none can be opened from here on."""
    try:
        import resource  # noqa: PLC0415 (not on Windows)
    except ImportError:
        return
    for what, wanted in (
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, files),
    ):
        _, hard = resource.getrlimit(what)
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        try:
            resource.setrlimit(what, (most, most))
        except (ValueError, OSError) as error:
            print(f"limit {what} cannot be set: {error}", file=sys.stderr)  # noqa: T201 (the service logs it)


def _become_nobody() -> None:
    if os.name != "posix" or os.geteuid() != 0:
        return
    import pwd  # noqa: PLC0415 (not on Windows)

    places = [place for place in (*sys.path, str(Path(np.__file__).parent)) if Path(place).is_dir()]
    try:
        nobody = pwd.getpwnam("nobody")
        os.setgroups([])
        os.setegid(nobody.pw_gid)
        os.seteuid(nobody.pw_uid)
    except (KeyError, OSError) as error:
        print(f"stays root: {error}", file=sys.stderr)  # noqa: T201 (the service logs it)
        return
    try:
        for place in places:
            next(Path(place).iterdir(), None)
    except OSError as error:
        os.seteuid(0)
        os.setegid(0)
        print(f"stays root: nobody may not read {error.filename}", file=sys.stderr)  # noqa: T201 (the service logs it)
        return
    os.seteuid(0)
    os.setresgid(nobody.pw_gid, nobody.pw_gid, nobody.pw_gid)
    os.setresuid(nobody.pw_uid, nobody.pw_uid, nobody.pw_uid)


def die_with(parent: int) -> None:
    """A model that computes for ever would outlive a service that was killed."""
    if sys.platform == "linux":
        set_death_signal, kill = 1, 9
        ctypes.CDLL(None).prctl(set_death_signal, kill)
        if os.getppid() != parent:
            sys.exit("its parent has ended")


def _read(asks: BinaryIO) -> Frame | None:
    """None: the other side has closed."""
    prefix = asks.read(PREFIX.size)
    if len(prefix) < PREFIX.size:
        return None
    head, body = (asks.read(size) for size in sizes(prefix))
    return decoded(head, body)


def _write(answers: BinaryIO, header: Mapping[str, object], arrays: Mapping[str, NDArray[Any]] | None = None) -> None:
    answers.writelines(encoded(header, arrays or {}))
    answers.flush()


if __name__ == "__main__":
    main(os.getppid())
