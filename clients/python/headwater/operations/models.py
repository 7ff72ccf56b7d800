"""Models: what they answer, their files, and what serves them."""

from __future__ import annotations

import hashlib
import math
import os
import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from headwater.columns import Column, listed
from headwater.connection import Connection
from headwater.operations.graph import accepted, ask
from headwater.schema.operations import DEPLOY_GQL
from headwater.transport import Call, Json, Steps, answered, posted


def predict(
    self: Connection,
    /,
    deployment: str,
    inputs: Mapping[str, Column],
    version: str | None = None,
    id: str | None = None,
) -> Steps[dict[str, list[Any]]]:
    """The outputs by name, one value a row. `inputs` are columns of one length; None is a missing number.

    >>> client.predict("scores", {"amount": [0.5, 1.0]})
    {'score': [2.0, 3.0]}
    """
    path = f"/v2/models/{quote(deployment, safe='')}"
    path += f"/versions/{quote(version, safe='')}/infer" if version else "/infer"
    body: Json = {"inputs": [_tensor(name, values) for name, values in inputs.items()]}
    if id is not None:
        body["id"] = id
    answer = yield from posted(path, body, repeatable=False)
    return {output["name"]: _shaped(output["data"], output["shape"]) for output in answer["outputs"]}


def upload_artifact(self: Connection, /, artifact: bytes | str | os.PathLike[str]) -> Steps[Json]:
    """Uploads a model's file (or its bytes): {uri, digest, bytes}, as `register` wants it of a version.

    >>> client.upload_artifact(b"model")["bytes"]
    5
    """
    content = artifact if isinstance(artifact, bytes) else Path(artifact).read_bytes()
    answer = yield from answered(artifact_call(content))
    return answer.document()


def artifact_call(content: bytes) -> Call:
    digest = hashlib.sha256(content).hexdigest()
    return Call("PUT", f"/api/v1/artifacts/{digest}", content, {"Content-Type": "application/octet-stream"})


def deploy(
    self: Connection,
    /,
    namespace: str,
    name: str,
    version: str | None = None,
    composition: Sequence[Mapping[str, Any]] | None = None,
    **fields: Any,
) -> Steps[Json]:
    """Serves a model version (by its key), or a composition of deployments: {deployment, revision, url}.

    `fields` are further fields of `DeployInput`, as owners, tier or featuresFrom.

    >>> client.deploy("risk", "scores", version="model_version:risk/fraud#1", tier=1)["deployment"]["id"]
    'deployment:risk/scores'
    """
    given = {"namespace": namespace, "name": name, "version": version, "composition": composition, **fields}
    given = {name: value for name, value in given.items() if value is not None}
    answer = yield from ask(self, DEPLOY_GQL, input=given, envelope={"operationId": str(uuid.uuid4())})
    return accepted(answer["deploy"])


def _tensor(name: str, values: Column) -> Json:
    """One input, as the Open Inference Protocol has it. Raises ValueError for rows of different shapes."""
    flat = listed(values)
    shape = [len(flat)]
    while flat and all(isinstance(item, (list, tuple)) for item in flat):
        widths = {len(item) for item in flat}
        if len(widths) > 1:
            raise ValueError(f"the rows of {name} have different lengths: {', '.join(map(str, sorted(widths)))}")
        shape.append(widths.pop())
        flat = [inner for item in flat for inner in item]
    flat = [item.item() if hasattr(item, "item") else item for item in flat]
    datatype = _datatype(flat)
    if datatype == "FP64":
        flat = [None if isinstance(item, float) and math.isnan(item) else item for item in flat]
    return {"name": name, "shape": shape, "datatype": datatype, "data": flat}


def _datatype(values: Iterable[Any]) -> str:
    kinds = {type(value) for value in values if value is not None}
    if kinds == {bool}:
        return "BOOL"
    if kinds == {int}:
        return "INT64"
    return "FP64" if kinds <= {int, float} else "BYTES"


def _shaped(data: list[Any], shape: Sequence[int]) -> list[Any]:
    """Row-major data as nested lists."""
    for size in reversed(shape[1:]):
        data = [data[start : start + size] for start in range(0, len(data), size)] if size else data
    return data
