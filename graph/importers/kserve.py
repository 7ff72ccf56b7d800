"""KServe and Seldon: {"resources": [...]}, as their YAML or `kubectl get -o json` has them → what serves what.

Every resource but TrainedModel is a deployment, in its Kubernetes namespace:

* `InferenceService` (serving.kserve.io) serves what its predictor's storage URI names, and its `TrainedModel`s.
* `InferenceGraph` uses the answers of what its nodes route to; a step with `data: $response` uses those of the step before.
* `SeldonDeployment` (machinelearning.seldon.io) serves the models in the graphs of all its predictors.
* `Model` (mlops.seldon.io) serves; a `Pipeline` uses its output steps, and steps their inputs and triggers; an `Experiment`
  (and the default that it stands in for) uses its candidates, not the mirror, whose answers nobody gets.

A storage URI names a model. `models:/name/7` and `models:/name@alias` are of the namespace `default`; every other is named as
OpenLineage names files, `s3://bucket` and the path. A path that ends in a version, as `fraud/7`, `fraud/v7` or `fraud/1.2.0`, is that
version of `fraud`; so is a tag or revision of `oci:` and `hf:`. Other kinds of resources are let be.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from graph.changes import AssetStatement, FlowStatement, Registration, checked_origin
from graph.errors import InvalidInput, InvalidManifest, quoted
from graph.importers.shapes import Anything, Field, Many, Mapped, Problems, Record, Shape, Text, noting
from graph.importers.values import listed, record
from graph.keys import AssetKey, AssetKind, alias_key
from graph.model import Basis, Flow, Json, checked_flow

MOST_NESTED, MOST_STEPS = 50, 200
"""Of an InferenceGraph: nodes that route to one another, one within the other; steps of a node."""


def read_kserve(document: object, origin: str | None = None, namespace: str | None = None) -> Registration:
    """`namespace` of what names none; absent: `default`. `origin` absent: `kserve:` and the one namespace of all.

    Raises InvalidManifest, which names every place that is wrong.
    """
    problems: Problems = []
    read = record(_DOCUMENT.read(document, "", problems))
    reading = _Reading(namespace or "default", problems)
    for place, resource in _flattened(read.get("resources")):
        reading.take(place, resource)
    if not problems and not reading.namespaces:
        problems.append(f"resources: none is known; those of these kinds are: {', '.join(_KINDS)}")
    if not problems and origin is None and len(reading.namespaces) > 1:
        problems.append(f"origin: missing; the resources are of {', '.join(sorted(reading.namespaces))}, so name one")
    if problems:
        raise InvalidManifest(problems)
    return Registration(
        origin=checked_origin(f"kserve:{min(reading.namespaces)}" if origin is None else origin),
        basis=Basis.IMPORTED,
        assets=tuple(AssetStatement(key, attributes) for key, attributes in reading.said.items()),
        flows=tuple(FlowStatement(flow) for flow in reading.flows),
        complete=True,
        stubs=True,  # what is routed to may be of another file
    )


# What is read of a resource; what else it holds is let be


def _open(name: str, required: Mapping[str, Shape], optional: Mapping[str, Shape] | None = None) -> Record:
    fields = {each: Field(shape, f"The {each} of a {name}.", required=True) for each, shape in required.items()}
    fields |= {each: Field(shape, f"The {each} of a {name}.") for each, shape in (optional or {}).items()}
    return Record(name, f"A {name}.", fields, is_open=True)


_TEXT, _TEXTS, _ANY = Text(), Many(Text()), Anything()
_NAMED = _open("candidate", {"name": _TEXT})
_STEP = _open(
    "step", {}, {"serviceName": _TEXT, "nodeName": _TEXT, "serviceUrl": _TEXT, "data": _TEXT, "condition": _TEXT}
)
_ROUTERS = Text(("Sequence", "Splitter", "Ensemble", "Switch"))
_NODE = _open("node", {"routerType": _ROUTERS, "steps": Many(_STEP)})
_PIPED = _open("step", {"name": _TEXT}, {"inputs": _TEXTS, "triggers": _TEXTS})
_RESOURCE = _open(
    "resource",
    {"metadata": _open("metadata", {"name": _TEXT}, {"namespace": _TEXT}), "spec": Mapped(_ANY)},
    {"status": _open("status", {}, {"url": _TEXT})},
)
_DOCUMENT = Record(
    "kserve", "Kubernetes resources.", {"resources": Field(Many(_ANY), "Resources, or Lists of them.", required=True)}
)


# What it says


class _Serves(NamedTuple):
    place: str
    uri: Json
    deployment: str


class _Uses(NamedTuple):
    """The deployment `target` uses the answers of `source`."""

    place: str
    source: str
    target: str


_Said = Iterator[_Serves | _Uses]
Spec = dict[str, Json]


@dataclass
class _Reading:
    namespace: str
    problems: Problems
    namespaces: set[str] = field(default_factory=set)
    said: dict[AssetKey, dict[str, Json]] = field(default_factory=dict)
    flows: dict[Flow, None] = field(default_factory=dict)

    def take(self, place: str, given: dict[str, Json]) -> None:
        kind = f"{str(given.get('apiVersion')).partition('/')[0]}/{given.get('kind')}"
        known = _KINDS.get(kind)
        if known is None:
            return
        before = len(self.problems)
        resource = record(_RESOURCE.read(given, place, self.problems))
        spec = record(known.spec.read(resource.get("spec", {}), f"{place}.spec", self.problems))
        if len(self.problems) > before:
            return
        metadata = record(resource["metadata"])
        name, namespace = str(metadata["name"]), str(metadata.get("namespace") or self.namespace)
        self.namespaces.add(namespace)
        with noting(self.problems, f"{place}.metadata"):
            if known.is_deployment:
                url = record(resource.get("status")).get("url")
                attributes: dict[str, Json] = {"kubernetes_kind": given["kind"], **({"url": url} if url else {})}
                key = AssetKey.of(AssetKind.DEPLOYMENT, namespace, name)
                if self.said.setdefault(key, attributes) is not attributes:
                    raise InvalidInput(f"{key} stands here twice", key)
        try:
            for each in known.said(f"{place}.spec", name, spec):
                self._state(namespace, each)
        except _Misshapen as error:
            self.problems.append(str(error))

    def _state(self, namespace: str, said: _Serves | _Uses) -> None:
        with noting(self.problems, said.place):
            if isinstance(said, _Uses):
                source, target = (
                    AssetKey.of(AssetKind.DEPLOYMENT, namespace, name) for name in (said.source, said.target)
                )
            else:
                source, target = self._model(said.uri), AssetKey.of(AssetKind.DEPLOYMENT, namespace, said.deployment)
            self.flows[checked_flow(source, target)] = None

    def _model(self, given: Json) -> AssetKey:
        key = _model_of(given)
        if not str(given).startswith(_MLFLOW):  # the registry says what its models are
            self.said.setdefault(key.container or key, {})
            self.said[key] = {"storage_uri": given}
        return key


_MLFLOW = "models:/"
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_VERSION = re.compile(r"v?\d+(\.\d+)*")


def _model_of(given: Json) -> AssetKey:
    """The model or version at a storage URI. Raises InvalidInput."""
    uri = given if isinstance(given, str) else ""
    scheme, slashes, rest = uri.partition("://")
    host, _, path = rest.partition("/") if slashes else ("", "", uri.partition(":")[2])
    path = path.rstrip("/")
    if not _SCHEME.match(uri) or not (host or path):
        raise InvalidInput(f"{quoted(str(given))} is no URI of a model: write s3://bucket/fraud/7", given)
    if uri.startswith(_MLFLOW):
        name, mark, version = re.fullmatch(r"(.*?)(?:([/@])([^/@]*))?", uri.removeprefix(_MLFLOW), re.DOTALL).groups()  # type: ignore[union-attr]  # it matches whatever comes
        model = AssetKey.of(AssetKind.MODEL, "default", name)
        return alias_key(model, version) if mark == "@" else model.part_key(version) if mark else model
    if host and path:
        namespace, name = f"{scheme}://{host}", path
    else:
        namespace, name = scheme.partition(":")[0], host or f"/{path.lstrip('/')}"
    above, slash, last = name.rpartition("/")
    if scheme in {"oci", "hf"} and ":" in last:
        name, _, version = name.rpartition(":")
        return AssetKey.of(AssetKind.MODEL, namespace, name).part_key(version)
    if slash and above.strip("/") and _VERSION.fullmatch(last):
        return AssetKey.of(AssetKind.MODEL, namespace, above).part_key(last)
    return AssetKey.of(AssetKind.MODEL, namespace, name)


class _Misshapen(Exception):
    """`str(error)` begins with the place."""


def _inference_service(place: str, name: str, spec: Spec) -> _Said:
    """The model stands under `model`, or the name of its framework, or in the environment of its own container."""
    predictor = record(spec["predictor"])
    for part, held in predictor.items():
        if "storageUri" in record(held):
            yield _Serves(f"{place}.predictor.{part}.storageUri", record(held)["storageUri"], name)
    for number, container in enumerate(listed(predictor.get("containers"))):
        for variable in map(record, listed(record(container).get("env"))):
            if variable.get("name") == "STORAGE_URI" and "value" in variable:
                yield _Serves(f"{place}.predictor.containers[{number}].env", variable["value"], name)


def _trained_model(place: str, _: str, spec: Spec) -> _Said:
    yield _Serves(f"{place}.model.storageUri", record(spec["model"])["storageUri"], str(spec["inferenceService"]))


class _Passage(NamedTuple):
    """Of a step or a node: the deployments that get what comes in, and those whose answers go out."""

    entries: tuple[str, ...]
    exits: tuple[str, ...]


def _inference_graph(place: str, name: str, spec: Spec) -> _Said:
    nodes = record(spec["nodes"])
    uses: dict[_Uses, None] = {}
    known: dict[str, _Passage] = {}

    def node_passage(node_name: str, at: str, within: tuple[str, ...]) -> _Passage:
        if node_name not in known:
            known[node_name] = new_passage(node_name, at, within)
        return known[node_name]

    def new_passage(node_name: str, at: str, within: tuple[str, ...]) -> _Passage:
        if node_name not in nodes:
            raise _Misshapen(f"{at}: {quoted(node_name)} is no node of this graph")
        if node_name in within or len(within) >= MOST_NESTED:
            what = "routes to itself" if node_name in within else f"is nested deeper than {MOST_NESTED} nodes"
            raise _Misshapen(f"{at}: {quoted(node_name)} {what}")
        node, here = record(nodes[node_name]), f"{place}.nodes.{node_name}"
        steps = [record(step) for step in listed(node["steps"])]
        if len(steps) > MOST_STEPS:
            raise _Misshapen(f"{here}.steps: {len(steps):,} are too many; the limit is {MOST_STEPS}")
        passages = [
            step_passage(step, f"{here}.steps[{number}]", (*within, node_name)) for number, step in enumerate(steps)
        ]
        if node["routerType"] != "Sequence":
            return _Passage(_all(passage.entries for passage in passages), _all(each.exits for each in passages))
        entries, exits = [passage.entries for passage in passages[:1]], [each.exits for each in passages[-1:]]
        for number in range(1, len(steps)):
            before, after = passages[number - 1], passages[number]
            if steps[number].get("data") == "$response":
                for source in before.exits:
                    for target in after.entries:
                        uses[_Uses(f"{here}.steps[{number}]", source, target)] = None
            else:
                entries.append(after.entries)
            # Without the step before there is no answer; with a condition that does not hold, it is the answer.
            if steps[number].get("data") != "$response" or "condition" in steps[number]:
                exits.append(before.exits)
        return _Passage(_all(entries), _all(exits))

    def step_passage(step: dict[str, Json], at: str, within: tuple[str, ...]) -> _Passage:
        if node_name := step.get("nodeName"):
            return node_passage(str(node_name), f"{at}.nodeName", within)
        target = step.get("serviceName") or step.get("serviceUrl")
        if not target:
            raise _Misshapen(f"{at}: it routes nowhere; give it serviceName, nodeName or serviceUrl")
        return _Passage((str(target),), (str(target),))

    for source in node_passage("root", f"{place}.nodes", ()).exits:
        uses[_Uses(f"{place}.nodes", source, name)] = None
    yield from uses


def _all(names: Iterator[tuple[str, ...]] | Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for some in names for name in some))


def _seldon_deployment(place: str, name: str, spec: Spec) -> _Said:
    for number, predictor in enumerate(map(record, listed(spec["predictors"]))):
        waiting = [(f"{place}.predictors[{number}].graph", record(predictor["graph"]))]
        while waiting:
            at, node = waiting.pop()
            if node.get("modelUri"):
                yield _Serves(f"{at}.modelUri", node["modelUri"], name)
            waiting += [
                (f"{at}.children[{child}]", record(inner)) for child, inner in enumerate(listed(node.get("children")))
            ]


def _model(place: str, name: str, spec: Spec) -> _Said:
    if "storageUri" in spec:
        yield _Serves(f"{place}.storageUri", spec["storageUri"], name)


def _pipeline(place: str, name: str, spec: Spec) -> _Said:
    """A reference is a step, or `step.outputs.tensor`; what names no step is an input of the pipeline."""
    steps = {str(step["name"]): step for step in map(record, listed(spec["steps"]))}
    read: set[str] = set()
    for number, (target, step) in enumerate(steps.items()):
        for source in _referred([*listed(step.get("inputs")), *listed(step.get("triggers"))]):
            if source in steps and source != target:
                read.add(source)
                yield _Uses(f"{place}.steps[{number}]", source, target)
    outputs = _referred(listed(record(spec.get("output")).get("steps"))) or [each for each in steps if each not in read]
    for source in outputs:
        if source not in steps:
            raise _Misshapen(f"{place}.output.steps: {quoted(source)} is no step of this pipeline")
        yield _Uses(f"{place}.output.steps", source, name)


def _referred(references: Sequence[Json]) -> list[str]:
    return [str(each).partition(".")[0] for each in references]


def _experiment(place: str, name: str, spec: Spec) -> _Said:
    for number, candidate in enumerate(map(record, listed(spec["candidates"]))):
        for target in (name, spec.get("default")):
            if target is not None and target != candidate["name"]:
                yield _Uses(f"{place}.candidates[{number}]", str(candidate["name"]), str(target))


class _Kind(NamedTuple):
    spec: Record
    said: Callable[[str, str, Spec], _Said]
    is_deployment: bool = True


_STORED = _open("model", {"storageUri": _TEXT})
_GRAPH = _open("predictor", {"graph": Mapped(_ANY)})
_KINDS = {
    "serving.kserve.io/InferenceService": _Kind(_open("spec", {"predictor": Mapped(_ANY)}), _inference_service),
    "serving.kserve.io/TrainedModel": _Kind(
        _open("spec", {"inferenceService": _TEXT, "model": _STORED}), _trained_model, is_deployment=False
    ),
    "serving.kserve.io/InferenceGraph": _Kind(_open("spec", {"nodes": Mapped(_NODE)}), _inference_graph),
    "machinelearning.seldon.io/SeldonDeployment": _Kind(
        _open("spec", {"predictors": Many(_GRAPH)}), _seldon_deployment
    ),
    "mlops.seldon.io/Model": _Kind(_open("spec", {}, {"storageUri": _TEXT}), _model),
    "mlops.seldon.io/Pipeline": _Kind(
        _open("spec", {"steps": Many(_PIPED)}, {"output": _open("output", {}, {"steps": _TEXTS})}), _pipeline
    ),
    "mlops.seldon.io/Experiment": _Kind(_open("spec", {"candidates": Many(_NAMED)}, {"default": _TEXT}), _experiment),
}
"""By API group and kind."""


def _flattened(resources: Json) -> Iterator[tuple[str, dict[str, Json]]]:
    """`kubectl get` answers with a List, whose items are what is meant."""
    for number, each in enumerate(listed(resources)):
        place = f"resources[{number}]"
        if record(each).get("kind") == "List":
            for inner, item in enumerate(listed(record(each).get("items"))):
                yield f"{place}.items[{inner}]", record(item)
        else:
            yield place, record(each)
