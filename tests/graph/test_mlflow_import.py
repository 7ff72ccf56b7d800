"""What is fetched of an MLflow server, as registrations."""

import copy
import json
import tempfile
import uuid
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graph.errors import InvalidInput, InvalidManifest
from graph.importers.mlflow import read_mlflow
from graph.model import Attributes, Basis
from graph.plan import RegistrationPlan, register
from graph.stores.sqlite import SqliteStore
from graph.time import parse_instant
from tests.mangling import mangled
from tests.said import attributes, flows, keys
from tests.saying import flow, key, operation

NOW = parse_instant("2026-11-24T12:00:00Z")
MILLIS = NOW // 1000
RUN_IDS = [uuid.UUID(int=number).hex for number in range(1, 5)]


def tags(**given: str) -> list[dict[str, str]]:
    return [{"key": name.replace("__", "."), "value": value} for name, value in given.items()]


def dataset(name: str, source: object, source_type: str = "local", context: str = "training", **more: Any) -> Any:
    columns = more.pop("columns", ())
    schema = {"mlflow_colspec": [{"name": each, "type": "double", "required": True} for each in columns]}
    return {
        "tags": tags(mlflow__data__context=context),
        "dataset": {
            "name": name,
            "digest": "d1",
            "source_type": source_type,
            "source": json.dumps(source),
            "schema": json.dumps(schema),
            **more,
        },
    }


def run(number: int, *inputs: Any, model_inputs: Any = (), **given: str) -> dict[str, Any]:
    return {
        "info": {
            "run_id": RUN_IDS[number],
            "experiment_id": "1",
            "run_name": f"run {number}",
            "status": "FINISHED",
            "start_time": MILLIS - 100_000 + number,
        },
        "data": {
            "params": [{"key": "C", "value": str(number)}],
            "metrics": [
                {"key": "auc", "value": 0.5, "timestamp": 1, "step": 0},
                {"key": "auc", "value": 0.75, "timestamp": 1, "step": 1},
                {"key": "broken", "value": "NaN", "timestamp": 1, "step": 0},
            ],
            "tags": tags(mlflow__user="ann", mlflow__source__name="train.py", **given),
        },
        "inputs": {"dataset_inputs": [*inputs], "model_inputs": [*model_inputs]},
    }


def version(number: int, run_number: int | None, name: str = "fraud", **more: Any) -> dict[str, Any]:
    made = {
        "name": name,
        "version": str(number),
        "creation_timestamp": MILLIS - 50_000 + number,
        "source": f"models:/m-{number}",
        "status": "READY",
        "current_stage": "None",
        **more,
    }
    return made if run_number is None else made | {"run_id": RUN_IDS[run_number]}


INPUTS = json.dumps([{"name": name, "type": "double"} for name in ("amount", "driver__age", "age")])
OUTPUTS = json.dumps([{"type": "tensor", "tensor-spec": {"dtype": "int64", "shape": [-1]}}])


def document(**changed: Any) -> dict[str, Any]:
    made = {
        "server": "https://ann:secret@mlflow.example:5000/registry",
        "fetched": "2026-11-24T11:59:00+00:00",
        "registered_models": [
            {
                "name": "fraud",
                "description": "Scores payments",
                "creation_timestamp": str(MILLIS - 200_000),
                "tags": tags(owner="ml@shop.example, bob", note="x" * 200, mlflow__hidden="1", flag=""),
                "aliases": [{"alias": "champion", "version": "1"}],
            },
            {"name": "greeting", "tags": tags(mlflow__prompt__is_prompt="true")},
        ],
        "model_versions": [
            version(1, 0, signature={"inputs": INPUTS, "outputs": OUTPUTS}),
            version(2, None, current_stage="Staging", tags=tags(feast__feature_service="fraud_v2")),
            version(1, None, name="greeting"),
        ],
        "experiments": [{"experiment_id": "1", "name": "risk"}],
        "runs": [
            run(
                0,
                dataset("train", {"uri": "/data/train.csv"}, columns=("amount", "old")),
                dataset("holdout", {"uri": "s3://lake/h.parquet"}, "s3", "evaluation", columns=("amount",)),
                dataset("dataset", {"tags": {}}, "code"),
                feast__project="shop",
                feast__feature_refs="payments:amount,driver@v2:age,other:amount",
            ),
            run(
                1,
                dataset("train", {"uri": "file:///data/train.csv"}, columns=("amount", "new"), digest="d2"),
                dataset("sample", {"tags": {}}, "code"),
                model_inputs=[{"model_id": "m-1"}],
                feast__project="shop",
            ),
            run(2, dataset("unused", {"uri": "/data/unused.csv"})),
        ],
        "logged_models": [
            {"info": {"model_id": "m-1", "source_run_id": RUN_IDS[0]}},
            {
                "info": {"model_id": "m-2", "source_run_id": RUN_IDS[1]},
                "data": {"params": [{"key": "C", "value": "own"}], "metrics": [{"key": "auc", "value": 1}]},
            },
        ],
    }
    return made | changed


def problems(given: object, **more: Any) -> list[str]:
    with pytest.raises(InvalidManifest) as refused:
        read_mlflow(given, **more)
    return list(refused.value.problems)


RUN = [f"run:default/risk#{uuid.UUID(each)}" for each in RUN_IDS]
VERSION = "model_version:default/fraud#"


def test_a_registry_is_the_complete_record_of_another_system() -> None:
    said = read_mlflow(document())
    assert (said.origin, said.basis, said.complete) == ("mlflow:mlflow.example:5000", Basis.IMPORTED, True)
    assert said.taken == parse_instant("2026-11-24T11:59:00Z")
    assert flows(said) == {
        flow("dataset:file/%2Fdata%2Ftrain.csv", RUN[0]),
        flow("dataset:s3%3A%2F%2Flake/h.parquet", RUN[0]),
        flow("dataset:default/risk%2Fdataset%40d1", RUN[0]),
        flow("feature:shop/payments#amount", RUN[0]),
        flow("feature:shop/driver#age", RUN[0]),
        flow("feature:shop/other#amount", RUN[0]),
        flow(RUN[0], f"{VERSION}1"),
        flow("dataset:file/%2Fdata%2Ftrain.csv", RUN[1]),
        flow("dataset:default/risk%2Fsample", RUN[1]),
        flow("feature_view:shop/fraud_v2", RUN[1]),
        flow(f"{VERSION}1", RUN[1]),
        flow(RUN[1], f"{VERSION}2"),
    }
    assert {str(each) for each in keys(said) if each.kind.value in {"model", "run", "job"}} == {
        "model:default/fraud",
        "job:default/risk",
        RUN[0],
        RUN[1],
    }, "no prompts, and no run that made no version"


def test_what_is_said_of_a_model_and_its_versions_is_kept() -> None:
    said = read_mlflow(document())
    assert attributes(said, "model:default/fraud") == {
        "description": "Scores payments",
        "owners": [{"name": "bob"}, {"name": "ml@shop.example", "contact": "ml@shop.example"}],
        "tags": ["flag", "owner=ml@shop.example, bob"],
        "labels": {"owner": "ml@shop.example, bob", "note": "x" * 200, "flag": ""},
        "source_link": "https://mlflow.example:5000/registry/#/models/fraud",
    }
    assert attributes(said, f"{VERSION}%40champion") == {"version": "1"}
    first, second = (attributes(said, f"{VERSION}{number}") for number in (1, 2))
    assert (first["hyperparameters"], first["metrics"]) == ({"C": "0"}, {"auc": 0.75})
    assert first["signature"] == {
        "inputs": [
            {"name": "amount", "type": "double"},  # two features have that name
            {"name": "driver__age", "type": "double", "feature": "feature:shop/driver#age"},
            {"name": "age", "type": "double", "feature": "feature:shop/driver#age"},
        ],
        "outputs": [{"name": "output", "type": "int64", "shape": [-1]}],
    }
    assert (second["stage"], second["mlflow_run_id"]) == ("Staging", RUN_IDS[1])
    assert "stage" not in first
    since = {each.key: each.since for each in said.assets}
    assert since[key(f"{VERSION}1")] == (MILLIS - 50_000 + 1) * 1000
    assert since[key(RUN[0])] == (MILLIS - 100_000) * 1000


def test_a_model_that_the_run_itself_made_is_not_what_it_read() -> None:
    given = document()
    given["runs"][0]["inputs"]["model_inputs"] = [{"model_id": "m-1"}]
    assert flow(f"{VERSION}1", RUN[0]) not in flows(read_mlflow(given))


def test_of_a_run_that_made_several_models_each_has_its_own_numbers() -> None:
    given = document()
    given["runs"][1]["outputs"] = {"model_outputs": [{"model_id": "m-2"}, {"model_id": "m-3"}]}
    second = attributes(read_mlflow(given), f"{VERSION}2")
    assert (second["hyperparameters"], second["metrics"]) == ({"C": "own"}, {"auc": 1})


def test_a_dataset_has_the_columns_that_the_newest_run_saw() -> None:
    said = read_mlflow(document())
    of_train = {each.part for each in keys(said) if each.container == key("dataset:file/%2Fdata%2Ftrain.csv")}
    assert of_train == {"amount", "new"}
    read = {each.flow: each.attributes for each in said.flows}
    assert read[flow("dataset:s3%3A%2F%2Flake/h.parquet", RUN[0])] == {"contexts": ["evaluation"], "digests": ["d1"]}
    assert read[flow("dataset:file/%2Fdata%2Ftrain.csv", RUN[1])]["digests"] == ["d2"]


@pytest.mark.parametrize(
    ("source_type", "source", "expected"),
    [
        ("s3", {"uri": "s3a://lake/a/b.csv"}, "dataset:s3%3A%2F%2Flake/a%2Fb.csv"),
        ("http", {"url": "https://ann:x@h.example/a.csv?token=1"}, "dataset:https%3A%2F%2Fh.example/a.csv"),
        ("hugging_face", {"path": "org/set"}, "dataset:hf%3A%2F%2Fdatasets/org%2Fset"),
        ("delta_table", {"delta_table_name": "main.risk.t"}, "dataset:default/main.risk.t"),
        ("delta_table", {"path": "/tables/t"}, "dataset:file/%2Ftables%2Ft"),
        ("spark", {"table_name": "risk.t"}, "dataset:default/risk.t"),
        ("spark", {"sql": "select 1"}, "dataset:default/risk%2Ftrain"),
        ("local", {"uri": "train.csv"}, "dataset:default/risk%2Ftrain"),
        ("hdfs", {"uri": "hdfs://nn:8020/a/b/"}, "dataset:hdfs%3A%2F%2Fnn%3A8020/%2Fa%2Fb"),
        ("abfss", {"uri": "abfss://c@acc.dfs.example/a"}, "dataset:abfss%3A%2F%2Fc%40acc.dfs.example/a"),
        ("other", "not an object", "dataset:default/risk%2Ftrain"),
    ],
)
def test_a_dataset_is_named_by_where_it_lies(source_type: str, source: object, expected: str) -> None:
    given = document(runs=[run(0, dataset("train", source, source_type))], model_versions=[version(1, 0)])
    (found,) = {each.flow.source for each in read_mlflow(given).flows if each.flow.target == key(RUN[0])}
    assert str(found) == expected


def test_what_feast_cut_off_is_taken_from_its_list_or_else_by_view() -> None:
    cut = {"feast__project": "shop", "feast__feature_refs": "a:x,b:y,c:...", "feast__feature_views": "a,b,c"}
    versions = [version(1, 0)]
    whole = document(runs=[{**run(0, **cut), "feast_features": ["a:x", "b:y", "c:z"]}], model_versions=versions)
    assert {str(each.source) for each in flows(read_mlflow(whole))} >= {"feature:shop/c#z", "feature:shop/a#x"}
    partly = {str(each.source) for each in flows(read_mlflow(document(runs=[run(0, **cut)], model_versions=versions)))}
    assert partly >= {"feature:shop/a#x", "feature:shop/b#y", "feature_view:shop/c"}


def test_all_that_is_wrong_is_told_with_its_place() -> None:
    given = document()
    given["runs"][0]["info"]["run_id"] = "nonsense"
    given["model_versions"][0]["run_id"] = "nonsense"
    given["model_versions"][1]["version"] = "@2"
    given["registered_models"][0]["aliases"].append({"alias": "", "version": "1"})
    assert [line.partition(": ")[0] for line in problems(given)] == [
        "runs[0]",
        "registered_models[0].aliases[1]",
        "model_versions[1]",
    ]
    given = document(registered_models=3, model_versions=[{"name": 1}], runs=[{"info": {"run_id": "x"}}])
    assert [line.partition(": ")[0] for line in problems(given)] == [
        "registered_models",
        "model_versions[0].name",
        "model_versions[0].version",
        "runs[0].info.experiment_id",
    ]
    assert problems(document(fetched="yesterday"))[0].startswith("fetched: ")
    assert problems({"registered_models": [], "model_versions": []}) == ["server: missing, so name an origin"]


@pytest.mark.parametrize("given", [None, [], "x", {}, {"registered_models": []}, {"unknown": 1}])
def test_what_is_no_such_document_is_refused(given: object) -> None:
    assert problems(given)


def test_what_is_huge_is_shortened_not_refused() -> None:
    many = [{"key": f"p{number:05}", "value": "v" * 500} for number in range(2_000)]
    given = document()
    given["runs"][0]["data"]["params"] = many
    said = read_mlflow(given)
    kept = attributes(said, f"{VERSION}1")["hyperparameters"]
    assert isinstance(kept, dict)
    assert 100 < len(kept) < 200


def test_reading_leaves_the_document_as_it_was() -> None:
    given = document()
    read_mlflow(given)
    assert given == document()


@settings(max_examples=200)
@given(mangled(document()))
def test_of_a_damaged_document_either_all_is_said_or_what_is_wrong(given: Any) -> None:
    with suppress(InvalidInput):
        said = read_mlflow(given, origin="mlflow:tests")
        RegistrationPlan(said, NOW)
        said.digest()


@settings(max_examples=10)  # each waits for a disk
@given(st.sets(st.integers(1, 4)), st.sets(st.integers(1, 4)), st.integers(1, 4), st.integers(1, 4))
def test_a_store_says_what_the_last_import_says_whatever_was_before(
    one: set[int], other: set[int], champion: int, later: int
) -> None:
    def of(versions: set[int], named: int) -> dict[str, Any]:
        models = [{"name": "fraud", "aliases": [{"alias": "champion", "version": str(named)}] if versions else []}]
        return document(registered_models=models, model_versions=[version(each, each - 1) for each in sorted(versions)])

    first, second = of(one, champion), of(other, later)
    with tempfile.TemporaryDirectory() as folder, closing(SqliteStore(Path(folder) / "lineage.db")) as store:
        for number, each in enumerate((first, second)):
            register(store, read_mlflow(each, "mlflow:one"), operation(), NOW + number)
            assert not register(store, read_mlflow(copy.deepcopy(each), "mlflow:one"), operation(), NOW + 9).changed
        register(store, read_mlflow(second, "mlflow:fresh"), operation(), NOW + 1)
        register(store, read_mlflow(first, "mlflow:other"), operation(), NOW)

        def said_by(origin: str) -> dict[str, Attributes]:
            believed = store.believed(store.believed_by(origin))
            return {
                str(subject): span.attributes
                for subject, spans in believed.items()
                for span in spans
                if span.origin == origin and span.valid.holds_at(NOW + 10)
            }

        assert said_by("mlflow:one") == said_by("mlflow:fresh")
        wanted = read_mlflow(first)
        assert said_by("mlflow:other") == {str(each.key): each.attributes for each in wanted.assets} | {
            str(each.flow): each.attributes for each in wanted.flows
        }
