"""Small models as artifacts, and a client that uploads, registers and deploys them."""

import hashlib
import warnings
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import httpx
import numpy as np
import skops.io
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator

PATIENCE_SECONDS = 60.0


def _by_gateway(origins: Sequence[str]) -> bool:
    return any(origin.partition(":")[0] == "gateway" for origin in origins)


_REGISTER = """mutation ($manifest: ManifestInput!, $envelope: EnvelopeInput) {
  register(manifest: $manifest, envelope: $envelope) { __typename ... on Registered { revision } ... on Problem { message } }
}"""
_DEPLOY = """mutation ($input: DeployInput!, $envelope: EnvelopeInput) {
  deploy(input: $input, envelope: $envelope) {
    __typename
    ... on Deployed { revision url deployment { id ready composition serves { alias asset { id } } } }
    ... on Problem { message }
  }
}"""
_UNDEPLOY = """mutation ($id: ID!) {
  undeploy(id: $id) { __typename ... on Deployed { revision deployment { ready } } ... on Problem { message } }
}"""


def fitted(estimator: BaseEstimator, given: ArrayLike, wanted: ArrayLike) -> bytes:
    """As a skops archive."""
    model: Any = estimator
    archive: bytes = skops.io.dumps(model.fit(given, wanted))
    return archive


def multiplying(by: float = 2.0, *, given: str = "x", gives: str = "y") -> bytes:
    """An ONNX model, of float64."""
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        [helper.make_node("Mul", [given, "by"], [gives])],
        "multiply",
        [helper.make_tensor_value_info(given, TensorProto.DOUBLE, [None])],
        [helper.make_tensor_value_info(gives, TensorProto.DOUBLE, [None])],
        [helper.make_tensor("by", TensorProto.DOUBLE, [], [by])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    content: bytes = model.SerializeToString()
    return content


def above(limit: float, *, given: str, gives: str) -> bytes:
    """An ONNX model that tells what is more."""
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        [helper.make_node("Greater", [given, "limit"], [gives])],
        "above",
        [helper.make_tensor_value_info(given, TensorProto.DOUBLE, [None])],
        [helper.make_tensor_value_info(gives, TensorProto.BOOL, [None])],
        [helper.make_tensor("limit", TensorProto.DOUBLE, [], [limit])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    content: bytes = model.SerializeToString()
    return content


def as_onnx(estimator: BaseEstimator, given: ArrayLike, wanted: ArrayLike, output: str) -> bytes:
    """A regressor, its inputs in one matrix of float32."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from skl2onnx import convert_sklearn
        from skl2onnx.common.data_types import FloatTensorType

        model: Any = estimator
        model.fit(given, wanted)
        columns = np.asarray(given).shape[1]
        converted = convert_sklearn(
            model,
            initial_types=[("matrix", FloatTensorType([None, columns]))],
            final_types=[(output, FloatTensorType([None, 1]))],
        )
    content: bytes = converted.SerializeToString()
    return content


def counting() -> bytes:
    """An ONNX model that gives x back, after counting to the largest x: as slow as one likes."""
    from onnx import TensorProto, helper

    body = helper.make_graph(
        [helper.make_node("Identity", ["more"], ["still"]), helper.make_node("Identity", ["sum"], ["next"])],
        "count",
        [
            helper.make_tensor_value_info("step", TensorProto.INT64, []),
            helper.make_tensor_value_info("more", TensorProto.BOOL, []),
            helper.make_tensor_value_info("sum", TensorProto.DOUBLE, [None]),
        ],
        [
            helper.make_tensor_value_info("still", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.DOUBLE, [None]),
        ],
    )
    graph = helper.make_graph(
        [
            helper.make_node("ReduceMax", ["x"], ["most"], keepdims=0),
            helper.make_node("Cast", ["most"], ["count"], to=TensorProto.INT64),
            helper.make_node("Loop", ["count", "", "x"], ["y"], body=body),
        ],
        "slow",
        [helper.make_tensor_value_info("x", TensorProto.DOUBLE, [None])],
        [helper.make_tensor_value_info("y", TensorProto.DOUBLE, [None])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    content: bytes = model.SerializeToString()
    return content


def elsewhere(path: str) -> bytes:
    """An ONNX model that keeps a tensor in another file."""
    from onnx import TensorProto, helper

    weights = TensorProto(name="w", data_type=TensorProto.DOUBLE, dims=[1], data_location=TensorProto.EXTERNAL)
    for name, value in (("location", path), ("offset", "0"), ("length", "8")):
        weights.external_data.add(key=name, value=value)
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "w"], ["y"])],
        "leak",
        [helper.make_tensor_value_info("x", TensorProto.DOUBLE, [None])],
        [helper.make_tensor_value_info("y", TensorProto.DOUBLE, [None])],
        [weights],
    )
    content: bytes = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    ).SerializeToString()
    return content


def tensor(name: str, type_: str = "double", *shape: int, **more: object) -> dict[str, object]:
    return {"name": name, "type": type_, **({"shape": [*shape]} if shape else {}), **more}


class Gateway:
    """The service as those see it who deploy and call models. Everything is in one namespace."""

    def __init__(self, address: str, namespace: str = "tests") -> None:
        self.http = httpx.Client(base_url=address, timeout=PATIENCE_SECONDS)
        self.namespace = namespace

    def ask(self, document: str, **variables: object) -> dict[str, Any]:
        answer = self.http.post("/graphql", json={"query": document, "variables": variables}).json()
        assert "errors" not in answer, answer
        data: dict[str, Any] = answer["data"]
        return data

    def upload(self, artifact: bytes) -> dict[str, str]:
        """As a version's `artifact`."""
        sha256 = hashlib.sha256(artifact).hexdigest()
        answer = self.http.put(f"/api/v1/artifacts/{sha256}", content=artifact)
        assert answer.status_code in (200, 201), answer.text
        told = answer.json()
        return {"uri": told["uri"], "digest": told["digest"]}

    def register(self, **manifest: object) -> None:
        answer = self.ask(_REGISTER, manifest=manifest)["register"]
        assert answer["__typename"] == "Registered", answer

    def version(
        self,
        model: str,
        version: str,
        artifact: bytes,
        inputs: Sequence[Mapping[str, object]],
        outputs: Sequence[Mapping[str, object]],
        /,
        **more: object,
    ) -> str:
        """Uploads and registers; the version's key."""
        key = self.model(model)
        self.register(
            models=[{"namespace": self.namespace, "name": model}],
            modelVersions=[
                {
                    "model": key,
                    "version": version,
                    "artifact": self.upload(artifact),
                    "signature": {"inputs": inputs, "outputs": outputs},
                    **more,
                }
            ],
        )
        return key.replace("model:", "model_version:") + f"#{quote(version, safe='')}"

    def alias(self, model: str, alias: str, version: str) -> str:
        self.register(modelAliases=[{"model": self.model(model), "alias": alias, "version": version}])
        return self.model(model).replace("model:", "model_version:") + f"#%40{alias}"

    def model(self, name: str) -> str:
        return f"model:{self.namespace}/{quote(name, safe='')}"

    def tried(self, name: str, **served: object) -> dict[str, Any]:
        """The answer of `deploy`, whatever it is. `envelope` goes there."""
        envelope = served.pop("envelope", None)
        given = {"namespace": self.namespace, "name": name, **served}
        answer: dict[str, Any] = self.ask(_DEPLOY, input=given, envelope=envelope)["deploy"]
        return answer

    def deploy(self, name: str, **served: object) -> str:
        """The deployment's key."""
        answer = self.tried(name, **served)
        assert answer["__typename"] == "Deployed", answer
        assert answer["deployment"]["ready"]
        return str(answer["deployment"]["id"])

    def undeploy(self, key: str) -> dict[str, Any]:
        answer: dict[str, Any] = self.ask(_UNDEPLOY, id=key)["undeploy"]
        return answer

    def infer(self, name: str, **columns: Sequence[object]) -> httpx.Response:
        """Text columns go as BYTES, all else as FP64."""
        inputs = [
            {
                "name": column,
                "shape": [len(values)],
                "datatype": "BYTES" if isinstance(values[0], str) else "FP64",
                "data": [*values],
            }
            for column, values in columns.items()
        ]
        return self.http.post(f"/v2/models/{name}/infer", json={"inputs": inputs})

    def outputs(self, name: str, **columns: Sequence[object]) -> dict[str, list[Any]]:
        answer = self.infer(name, **columns)
        assert answer.status_code == 200, answer.text
        return {output["name"]: output["data"] for output in answer.json()["outputs"]}

    def flows_in(self, key: str) -> list[str]:
        """The keys of what feeds it now, in order."""
        asked = "query ($key: ID!) { asset(key: $key) { flowsIn { edges { node { source { id } origins } } } } }"
        edges = self.ask(asked, key=key)["asset"]["flowsIn"]["edges"]
        return [edge["node"]["source"]["id"] for edge in edges if _by_gateway(edge["node"]["origins"])]
