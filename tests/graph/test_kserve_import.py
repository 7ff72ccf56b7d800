"""Resources of KServe and Seldon, as registrations."""

from typing import Any

import pytest
import yaml

from graph.changes import Registration
from graph.errors import InvalidManifest
from graph.importers.kserve import MOST_NESTED, MOST_STEPS, read_kserve
from graph.keys import AssetKey
from graph.model import Basis

SERVICE = """
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata: {name: fraud, namespace: risk}
spec:
  predictor:
    canaryTrafficPercent: 10
    model: {modelFormat: {name: sklearn}, storageUri: "s3://models/risk/fraud/7"}
status: {url: "http://fraud.risk.example"}
"""


def read(text: str, **given: Any) -> Registration:
    return read_kserve({"resources": list(yaml.safe_load_all(text))}, **given)


def flows(said: Registration) -> set[str]:
    """Without the kinds and namespaces that all ends share."""
    return {str(each.flow).replace("deployment:risk/", "") for each in said.flows}


def problems(text: str, **given: Any) -> list[str]:
    with pytest.raises(InvalidManifest) as refused:
        read(text, **given)
    return list(refused.value.problems)


def graph(nodes: str) -> str:
    return f"""
apiVersion: serving.kserve.io/v1alpha1
kind: InferenceGraph
metadata: {{name: graph, namespace: risk}}
spec: {{nodes: {nodes}}}
"""


def test_a_service_is_a_deployment_of_the_version_that_its_uri_names() -> None:
    said = read(SERVICE)
    assert (said.origin, said.basis, said.complete) == ("kserve:risk", Basis.IMPORTED, True)
    version = "model_version:s3%3A%2F%2Fmodels/risk%2Ffraud#7"
    assert flows(said) == {f"{version} -> fraud"}
    assert {str(each.key): each.attributes for each in said.assets} == {
        "deployment:risk/fraud": {"kubernetes_kind": "InferenceService", "url": "http://fraud.risk.example"},
        "model:s3%3A%2F%2Fmodels/risk%2Ffraud": {},
        version: {"storage_uri": "s3://models/risk/fraud/7"},
    }


@pytest.mark.parametrize(
    ("uri", "key"),
    [
        ("models:/fraud/7", "model_version:default/fraud#7"),
        ("models:/risk.fraud@champion", "model_version:default/risk.fraud#%40champion"),
        ("models:/fraud", "model:default/fraud"),
        ("gs://bucket/models/iris", "model:gs%3A%2F%2Fbucket/models%2Firis"),
        ("gs://bucket/models/iris/v1.2/", "model_version:gs%3A%2F%2Fbucket/models%2Firis#v1.2"),
        ("gs://bucket/7", "model:gs%3A%2F%2Fbucket/7"),
        ("s3://bucket/a#b?c/3", "model_version:s3%3A%2F%2Fbucket/a%23b%3Fc#3"),
        ("pvc://claim", "model:pvc/claim"),
        ("file:///mnt/fraud/2", "model_version:file/%2Fmnt%2Ffraud#2"),
        ("hf://meta/llama", "model:hf%3A%2F%2Fmeta/llama"),
        ("hf://meta/llama:abc", "model_version:hf%3A%2F%2Fmeta/llama#abc"),
        ("oci://registry:5000/risk/fraud:1.0", "model_version:oci%3A%2F%2Fregistry%3A5000/risk%2Ffraud#1.0"),
    ],
)
def test_a_uri_names_a_model_or_a_version(uri: str, key: str) -> None:
    said = read(SERVICE.replace("s3://models/risk/fraud/7", uri))
    (stated,) = said.flows
    assert str(stated.flow.source) == key
    assert AssetKey.parse(key) == stated.flow.source


@pytest.mark.parametrize("uri", ["", "fraud", "/mnt/models", "s3://", "models:/", "models:/fraud@", "://x"])
def test_what_is_no_uri_of_a_model_is_refused_with_its_place(uri: str) -> None:
    (told,) = problems(SERVICE.replace("s3://models/risk/fraud/7", uri))
    assert told.startswith("resources[0].spec.predictor.model.storageUri: ")


def test_older_forms_and_own_containers_tell_their_models_too() -> None:
    older = SERVICE.replace("model: {modelFormat: {name: sklearn}, storageUri:", "sklearn: {storageUri:")
    assert flows(read(older)) == flows(read(SERVICE))
    own = """containers: [{image: x, env: [{name: A, value: b}, {name: STORAGE_URI, value: "s3://models/risk/fraud/7"}]}]"""
    text = SERVICE.partition("    model:")[0] + f"    {own}\n"
    assert flows(read(text)) == flows(read(SERVICE))


def test_a_trained_model_is_served_by_its_service() -> None:
    text = """
apiVersion: serving.kserve.io/v1alpha1
kind: TrainedModel
metadata: {name: fraud-8, namespace: risk}
spec: {inferenceService: fraud, model: {storageUri: "s3://models/risk/fraud/8", framework: sklearn}}
"""
    assert flows(read(text)) == {"model_version:s3%3A%2F%2Fmodels/risk%2Ffraud#8 -> fraud"}


def test_a_sequence_hands_on_what_says_so() -> None:
    steps = "{serviceName: clean}, {serviceName: score, data: $response}, {serviceName: explain, data: $request}"
    said = flows(read(graph(f"{{root: {{routerType: Sequence, steps: [{steps}]}}}}")))
    assert said == {"clean -> score", "score -> graph", "explain -> graph"}
    last = "{serviceName: a}, {serviceName: b, data: $response, condition: 'x>1'}"
    said = flows(read(graph(f"{{root: {{routerType: Sequence, steps: [{last}]}}}}")))
    assert said == {"a -> b", "b -> graph", "a -> graph"}, "without b, a's answer is the graph's"


def test_nodes_within_nodes_pass_on_what_comes_in_and_goes_out() -> None:
    said = read(
        graph(
            """
    root: {routerType: Sequence, steps: [{serviceName: clean}, {nodeName: both, data: $response}, {nodeName: pick, data: $response}]}
    both: {routerType: Ensemble, steps: [{serviceName: a}, {serviceName: b}]}
    pick: {routerType: Switch, steps: [{serviceName: c, condition: x}, {serviceUrl: "http://far.example"}]}
    unused: {routerType: Splitter, steps: [{serviceName: d, weight: 100}]}
""".replace("\n    ", ", ")
            .strip()
            .lstrip(",")
            .join("{}")
        )
    )
    far = "http%3A%2F%2Ffar.example"
    assert flows(said) == {
        *("clean -> a", "clean -> b"),
        *(f"{one} -> {other}" for one in "ab" for other in ("c", far)),
        *("c -> graph", f"{far} -> graph"),
    }


@pytest.mark.parametrize(
    ("nodes", "told"),
    [
        ("{a: {routerType: Ensemble, steps: []}}", "resources[0].spec.nodes: 'root' is no node of this graph"),
        (
            "{root: {routerType: Ensemble, steps: [{nodeName: root}]}}",
            "resources[0].spec.nodes.root.steps[0].nodeName: 'root' routes to itself",
        ),
        (
            "{root: {routerType: Ensemble, steps: [{weight: 3}]}}",
            "resources[0].spec.nodes.root.steps[0]: it routes nowhere; give it serviceName, nodeName or serviceUrl",
        ),
        (
            "{root: {routerType: Sequenze, steps: []}}",
            "resources[0].spec.nodes.root.routerType: 'Sequenze' is none of Sequence, Splitter, Ensemble, Switch;"
            " did you mean Sequence?",
        ),
        (
            "{root: {routerType: Ensemble, steps: [{serviceName: graph}]}}",
            "resources[0].spec.nodes: deployment:risk/graph cannot flow into itself",
        ),
    ],
)
def test_a_graph_that_leads_nowhere_is_refused_with_its_place(nodes: str, told: str) -> None:
    assert problems(graph(nodes)) == [told]


def test_graphs_made_to_take_long_are_refused_soon() -> None:
    names = [f"n{number}" for number in range(MOST_NESTED + 1)]
    twice = {
        name: {"routerType": "Ensemble", "steps": [{"nodeName": after}, {"nodeName": after}]}
        for name, after in zip(["root", *names], names, strict=False)
    }
    last = {names[-1]: {"routerType": "Ensemble", "steps": [{"serviceName": "a"}]}}
    (told,) = problems(graph(str(twice | last)))
    assert told.endswith(f"is nested deeper than {MOST_NESTED} nodes")
    wide = [{"serviceName": f"s{number}"} for number in range(MOST_STEPS + 1)]
    (told,) = problems(graph(str({"root": {"routerType": "Ensemble", "steps": wide}})))
    assert told == f"resources[0].spec.nodes.root.steps: {MOST_STEPS + 1} are too many; the limit is {MOST_STEPS}"


def test_seldon_deployments_serve_the_models_of_their_graphs() -> None:
    said = read(
        """
apiVersion: machinelearning.seldon.io/v1
kind: SeldonDeployment
metadata: {name: scores, namespace: risk}
spec:
  predictors:
  - name: main
    traffic: 75
    graph:
      {name: router, type: ROUTER, children: [{name: a, modelUri: "gs://m/a/1"}, {name: b, modelUri: "gs://m/b/2", children: []}]}
  - {name: canary, traffic: 25, graph: {name: c, type: MODEL}}
"""
    )
    assert flows(said) == {"model_version:gs%3A%2F%2Fm/a#1 -> scores", "model_version:gs%3A%2F%2Fm/b#2 -> scores"}


def test_pipelines_and_experiments_of_seldon_are_composed_of_models() -> None:
    said = read(
        """
apiVersion: v1
kind: List
items:
- {apiVersion: mlops.seldon.io/v1alpha1, kind: Model, metadata: {name: a}, spec: {storageUri: "gs://m/a/1"}}
- {apiVersion: mlops.seldon.io/v1alpha1, kind: Model, metadata: {name: b}, spec: {}}
- apiVersion: mlops.seldon.io/v1alpha1
  kind: Pipeline
  metadata: {name: chain}
  spec:
    steps: [{name: a, inputs: [chain.inputs.x]}, {name: b, inputs: [a.outputs.y]}, {name: drift, triggers: [a]}]
    output: {steps: [b]}
- {apiVersion: mlops.seldon.io/v1alpha1, kind: Pipeline, metadata: {name: silent}, spec: {steps: [{name: a}, {name: b, inputs: [a]}]}}
- apiVersion: mlops.seldon.io/v1alpha1
  kind: Experiment
  metadata: {name: split}
  spec: {default: a, candidates: [{name: a, weight: 1}, {name: b, weight: 1}], mirror: {name: c, percent: 50}}
- {apiVersion: v1, kind: Service, metadata: {name: other}}
""",
        namespace="risk",
    )
    assert said.origin == "kserve:risk"
    assert flows(said) == {
        "model_version:gs%3A%2F%2Fm/a#1 -> a",
        *("a -> b", "a -> drift", "b -> chain", "b -> silent"),
        *("a -> split", "b -> split", "b -> a"),
    }
    assert "deployment:risk/drift" not in {str(each.key) for each in said.assets}, "somebody else's to state"


def test_resources_of_several_namespaces_need_an_origin() -> None:
    both = SERVICE + "---" + SERVICE.replace("namespace: risk", "namespace: shop")
    assert problems(both) == ["origin: missing; the resources are of risk, shop, so name one"]
    assert read(both, origin="kserve:cluster").origin == "kserve:cluster"


def test_all_that_is_wrong_is_told_with_its_place() -> None:
    text = SERVICE + "---" + SERVICE + "---" + SERVICE.replace("name: fraud,", "").replace("predictor:", "predicter:")
    assert problems(text) == [
        "resources[1].metadata: deployment:risk/fraud stands here twice",
        "resources[2].metadata.name: missing; the name of a metadata.",
        "resources[2].spec.predictor: missing; the predictor of a spec.",
    ]


@pytest.mark.parametrize(
    "document", [None, {}, {"resources": None}, {"resources": [None, 3, {"kind": ["List"]}]}, {"resources": []}]
)
def test_what_holds_nothing_known_is_refused(document: object) -> None:
    with pytest.raises(InvalidManifest):
        read_kserve(document)
