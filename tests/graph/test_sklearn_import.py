"""What `sklearn_document` says of a fitted estimator, as registrations."""

from typing import Any

import pytest

from graph.changes import Registration
from graph.errors import InvalidManifest
from graph.importers.sklearn import read_sklearn
from graph.model import Basis
from tests.graph.world import World
from tests.said import flows
from tests.saying import flow, key

RUN = "run:jobs/train#0190c1a2-0000-7000-8000-000000000001"
VERSION = "model_version:risk/fraud#7"


def document(**changed: object) -> dict[str, Any]:
    made: dict[str, Any] = {
        "model": "fraud",
        "version": "7",
        "class": "sklearn.pipeline.Pipeline",
        "library": "scikit-learn 1.9.1",
        "inputs": [{"name": "a", "type": "float64"}, {"name": "b"}, {"name": "c"}],
        "outputs": [{"name": "prediction"}],
        "steps": [
            {"name": "best", "class": "SelectKBest", "parameters": {"k": 1}, "inputs": ["a", "b"], "consumed": ["a"]},
            {"name": "fit.in", "class": "Ridge", "parameters": {"alpha": 0.5}, "inputs": ["a"], "consumed": ["a"]},
        ],
        "used": ["a", "b"],
        "consumed": ["a"],
        "run": RUN,
        "source": "dataset:w/t",
    }
    return {name: value for name, value in (made | changed).items() if value is not None}


def read(**changed: object) -> Registration:
    return read_sklearn(document(**changed), namespace="risk")


def test_what_is_used_flows_to_the_run_and_the_rest_is_told_as_unused() -> None:
    said = read()
    assert (said.origin, said.basis, said.complete) == ("sklearn:risk/fraud#7", Basis.IMPORTED, True)
    assert flows(said) == {flow("column:w/t#a", RUN), flow("column:w/t#b", RUN), flow(RUN, VERSION)}
    (version,) = said.assets
    assert version.key == key(VERSION)
    assert version.attributes["unused_inputs"] == ["c"]
    assert version.attributes["inputs_without_effect"] == ["b"]
    assert version.attributes["hyperparameters"] == {"best__k": 1, "fit__in__alpha": 0.5}
    assert version.attributes["signature"] == {
        "inputs": [{"name": "a", "type": "float64"}, {"name": "b"}, {"name": "c"}],
        "outputs": [{"name": "prediction"}],
    }


def test_features_stand_in_the_signature_where_they_are_used() -> None:
    features = {"a": "feature:f/v#a", "b": "column:w/u#z", "c": "feature:f/v#c"}
    said = read(source=None, features=features)
    (version,) = said.assets
    signature: Any = version.attributes["signature"]
    assert [tensor.get("feature") for tensor in signature["inputs"]] == ["feature:f/v#a", None, None]
    assert flows(said) == {flow("feature:f/v#a", RUN), flow("column:w/u#z", RUN), flow(RUN, VERSION)}
    assert flows(read(source=None, run=None, features={"a": "feature:f/v#a"})) == set()


def test_a_change_of_an_unused_column_reaches_no_model(world: World) -> None:
    said = read()
    world.register(*said.assets, *(each.flow for each in said.flows), origin=said.origin, basis=said.basis)
    assert VERSION in world.downstream("column:w/t#a")
    world.register(key("column:w/t#c"))
    assert world.downstream("column:w/t#c") == set()


@pytest.mark.parametrize(
    ("changed", "places"),
    [
        ({"used": ["a", "z"]}, ["used[1]"]),
        ({"consumed": ["c"]}, ["consumed[0]"]),
        ({"inputs": [{"name": "a"}, {"name": "a"}], "used": [], "consumed": []}, ["inputs"]),
        ({"inputs": [{"type": "x"}]}, ["inputs[0].name"]),
        ({"version": "@champion"}, ["model"]),
        ({"model": ""}, ["model"]),
        ({"run": "job:w/t"}, ["run"]),
        ({"run": None}, ["run"]),
        ({"source": "column:w/t#a"}, ["source"]),
        ({"features": {"z": "feature:f/v#a", "a": "nonsense"}}, ["features.z", "features.a"]),
        ({"pickle": "gASV"}, ["pickle"]),
        ({"steps": "none"}, ["steps"]),
    ],
)
def test_what_is_wrong_is_told_with_its_place(changed: dict[str, object], places: list[str]) -> None:
    with pytest.raises(InvalidManifest) as refused:
        read(**changed)
    assert [line.partition(": ")[0] for line in refused.value.problems] == places


@pytest.mark.parametrize("given", [None, [], "x", {}, {"inputs": 3}])
def test_what_is_no_document_is_refused(given: object) -> None:
    with pytest.raises(InvalidManifest):
        read_sklearn(given)
