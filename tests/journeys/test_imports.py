"""Documents of other systems are imported, over HTTP and from a shell: real ones, changed ones, broken ones."""

import itertools
import json
import os
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import skops.io
from headwater import sklearn_document
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from app.identity import Kind, Role, create_token
from tests.models import fitted
from tests.real_manifests import real_manifests
from tests.repository import headwater
from tests.service import running_service

pytestmark = pytest.mark.timeout(300)

JAFFLE = "dbt:jaffle_shop"


@pytest.fixture(scope="module", params=["sqlite", pytest.param("neo4j", marks=pytest.mark.neo4j)])
def address(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    store = f"sqlite:///{tmp_path_factory.mktemp('store')}/lineage.db"
    if request.param == "neo4j":
        store = request.getfixturevalue("neo4j_url")
    with running_service(store, max_import_bytes=10_000_000) as address:
        yield address


def imported(address: str, *arguments: str | Path) -> dict[str, Any]:
    ended = headwater(address, "import", *arguments, "--output", "json")
    assert ended.returncode == 0, ended.stderr
    told: dict[str, Any] = json.loads(ended.stdout)
    return told


def posted(address: str, document: object, format_: str = "dbt", **parameters: str) -> httpx.Response:
    return httpx.post(f"{address}/api/v1/imports/{format_}", params=parameters, json=document, timeout=100)


def upstream(address: str, asset: str, revision: int) -> list[str]:
    asked: dict[str, str | int] = {"start": asset, "direction": "UPSTREAM", "atLeastRevision": revision}
    told = httpx.get(f"{address}/api/v1/lineage.json", params=asked).json()
    return sorted(key for key in told["columns"]["key"] if not key.startswith("column:"))


def shop(*models: str) -> dict[str, Any]:
    """A project of models that each read the one before."""
    named = [f"model.shop.{name}" for name in models]
    nodes = {
        each: {"resource_type": "model", "name": name, "alias": name, "package_name": "shop"}
        for each, name in zip(named, models, strict=True)
    }
    return {
        "manifest": {
            "metadata": {
                "dbt_schema_version": "https://schemas.getdbt.com/dbt/manifest/v12.json",
                "project_name": "shop",
            },
            "nodes": nodes,
            "parent_map": {each: named[max(0, place - 1) : place] for place, each in enumerate(named)},
        }
    }


def test_real_projects_of_every_version_are_imported_twice_and_the_second_time_changes_nothing(address: str) -> None:
    inferred = False
    for manifest in real_manifests():
        document = {"manifest": json.loads(manifest.read_text())}
        first, second = (posted(address, document, force="true").json() for _ in range(2))  # not made in this order
        assert (first["origin"], first["assets"] > 0, first["flows"] > 0) == (JAFFLE, True, True), manifest
        inferred = inferred or first["inferred"] > 0
        assert second == first | {"changed": False, "added": 0, "updated": 0, "withdrawn": 0}, manifest
        if manifest == real_manifests()[-1]:
            assert imported(address, "dbt", manifest, "--force") == {"version": 1, **second}
    assert inferred, "their compiled SQL says which column comes from which"


def test_what_a_manifest_says_no_longer_is_withdrawn_for_its_origin_alone(address: str) -> None:
    one, other = {"origin": "dbt:one", "namespace": "w"}, {"origin": "dbt:other", "namespace": "w"}
    assert posted(address, shop("a", "b", "c"), **one).json()["added"] == 5
    assert posted(address, shop("a", "b"), **other).json()["added"] == 3
    told = posted(address, shop("a", "c"), **one).json()
    assert (told["added"], told["withdrawn"]) == (1, 3)
    assert upstream(address, "dataset:w/c", told["revision"]) == ["dataset:w/a"]
    assert upstream(address, "dataset:w/b", told["revision"]) == ["dataset:w/a"], "another origin still says so"
    told = posted(address, shop("a"), **other).json()
    assert told["withdrawn"] == 2
    gone = httpx.get(f"{address}/api/v1/lineage.json", params={"start": "dataset:w/b", "direction": "UPSTREAM"})
    assert gone.status_code == 404, "nobody says so any more"


def test_a_folder_is_imported_with_its_catalog(address: str, tmp_path: Path) -> None:
    document = shop("orders") | {
        "catalog": {"nodes": {"model.shop.orders": {"columns": {"ID": {"name": "ID", "type": "BIGINT"}}}}}
    }
    for name, content in document.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    ended = headwater(address, "import", "dbt", tmp_path, "--namespace", "postgres://db:5432", "--origin", "dbt:folder")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith("dbt:folder holds 2 assets and 0 flows: 2 added, 0 changed, 0 withdrawn; revision ")
    asked = {
        "query": "query ($key: ID!) { asset(key: $key) { attributes { name value } } }",
        "variables": {"key": "column:postgres%3A%2F%2Fdb%3A5432/orders#ID"},
    }
    answer = httpx.post(f"{address}/graphql", json=asked).json()
    assert {"name": "type", "value": "BIGINT"} in answer["data"]["asset"]["attributes"], answer
    again = headwater(address, "import", "dbt", tmp_path, "--namespace", "postgres://db:5432", "--origin", "dbt:folder")
    assert "nothing changed" in again.stdout


def test_of_a_broken_manifest_nothing_is_kept_and_every_place_is_told(address: str, tmp_path: Path) -> None:
    before = posted(address, shop("a", "b"), origin="dbt:broken").json()
    broken = shop("a", "b", "c")
    broken["manifest"]["parent_map"]["model.shop.c"] = ["model.shop.lost"]
    broken["manifest"]["nodes"]["model.shop.a"]["alias"] = "x" * 2000
    refused = posted(address, broken, origin="dbt:broken")
    assert refused.status_code == 400
    (error,) = refused.json()["errors"]
    assert error["extensions"]["code"] == "InvalidManifest"
    places = [line.partition(": ")[0] for line in error["message"].splitlines()]
    assert places == [
        "manifest.nodes.model.shop.a",
        "manifest.parent_map.model.shop.b[0]",
        "manifest.parent_map.model.shop.c[0]",
    ]
    again = posted(address, shop("a", "b"), origin="dbt:broken").json()
    assert (again["changed"], again["assets"]) == (False, before["assets"])

    file = tmp_path / "manifest.json"
    file.write_text(json.dumps(broken["manifest"]))
    ended = headwater(address, "import", "dbt", file)
    assert (ended.returncode, "manifest.parent_map.model.shop.c[0]: 'model.shop.lost'" in ended.stderr) == (2, True)
    file.write_text('{"metadata": {},\n "nodes"}')
    ended = headwater(address, "import", "dbt", file)
    assert (ended.returncode, ended.stderr) == (2, f"{file}:2:9: Expecting ':' delimiter\n")
    ended = headwater(address, "import", "dbt", tmp_path / "missing.json")
    assert (ended.returncode, ended.stderr) == (2, f"{tmp_path}/missing.json: No such file or directory\n")


def test_of_a_broken_registry_nothing_is_kept_and_every_place_is_told(address: str, tmp_path: Path) -> None:
    rest = {
        "features": [{"name": "f", "valueType": "INT64"}],
        "batchSource": {"name": "s", "fileOptions": {"uri": "s3://lake/rows"}},
    }
    views: list[Any] = [{"spec": {"name": name, **rest}} for name in ("a", "b")]
    registry = {"project": "journey", "lastUpdated": "2026-11-24T10:00:00Z", "featureViews": views}
    file = tmp_path / "dump.json"
    file.write_text(json.dumps(registry))
    first = imported(address, "feast", file)
    assert (first["origin"], first["taken"], first["changed"]) == ("feast:journey", "2026-11-24T10:00:00Z", True)
    broken = {**registry, "featureViews": [views[0], {"spec": {"name": "c\x00"}}, {"spec": {"features": 3}}]}
    file.write_text(json.dumps(broken))
    ended = headwater(address, "import", "feast", file)
    assert ended.returncode == 2
    assert [line.partition(": ")[0] for line in ended.stderr.splitlines()] == [
        "registry.featureViews[2].spec.name",
        "registry.featureViews[2].spec.features",
    ]
    assert posted(address, {"registry": registry}, "feast").json()["changed"] is False
    file.write_text(json.dumps({**registry, "featureViews": views[:1]}))
    told = imported(address, "feast", file)
    assert (told["added"], told["updated"], told["withdrawn"]) == (0, 0, 4)
    assert upstream(address, "feature:journey/a#f", told["revision"]) == ["dataset:s3%3A%2F%2Flake/rows"]

    run_id = "0" * 31 + "1"
    source = {"name": "rows", "source_type": "s3", "source": '{"uri": "s3://lake/rows"}'}
    document = {
        "server": "http://mlflow.example",
        "registered_models": [{"name": "m", "aliases": [{"alias": "champion", "version": "1"}]}],
        "model_versions": [{"name": "m", "version": "1", "run_id": run_id}],
        "runs": [
            {
                "info": {"run_id": run_id, "experiment_id": "1"},
                "data": {
                    "tags": [
                        {"key": "feast.project", "value": "journey"},
                        {"key": "feast.feature_refs", "value": "a:f"},
                    ]
                },
                "inputs": {"dataset_inputs": [{"dataset": source}]},
            }
        ],
    }
    made = posted(address, document, "mlflow").json()
    assert upstream(address, "model_version:default/m#1", made["revision"]) == [
        "dataset:s3%3A%2F%2Flake/rows",
        "feature:journey/a#f",
        "feature_view:journey/a",
        "job:default/1",
        "run:default/1#00000000-0000-0000-0000-000000000001",
    ], "what both registries say hangs together"
    refused = posted(address, {**document, "runs": [{"info": {"run_id": 7}}]}, "mlflow")
    assert refused.status_code == 400
    assert (
        refused.json()["errors"][0]["message"].splitlines()[0]
        == 'runs[0].info.run_id: 7 is not text; write it in quotes, "7"'
    )
    assert posted(address, document, "mlflow").json()["changed"] is False


def test_what_serves_what_is_imported_from_yaml(address: str, tmp_path: Path) -> None:
    service, composed = tmp_path / "service.yaml", tmp_path / "graph.yaml"
    service.write_text("""
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata: {name: fraud, namespace: yaml}
spec: {predictor: {model: {storageUri: "s3://models/fraud/7"}}}
""")
    composed.write_text("""
---
apiVersion: serving.kserve.io/v1alpha1
kind: InferenceGraph
metadata: {name: checkout, namespace: yaml}
spec: {nodes: {root: {routerType: Sequence, steps: [{serviceName: limits}, {serviceName: fraud, data: $response}]}}}
""")
    first, second = (imported(address, "kserve", service, composed) for _ in range(2))
    assert (first["origin"], first["assets"], first["flows"]) == ("kserve:yaml", 4, 3)
    assert second == first | {"changed": False, "added": 0}
    assert upstream(address, "deployment:yaml/checkout", first["revision"]) == [
        "deployment:yaml/fraud",
        "deployment:yaml/limits",
        "model:s3%3A%2F%2Fmodels/fraud",
        "model_version:s3%3A%2F%2Fmodels/fraud#7",
    ]
    assert imported(address, "kserve", service)["withdrawn"] == 3

    composed.write_text(composed.read_text().replace("routerType: Sequence, ", ""))
    ended = headwater(address, "import", "kserve", service, composed)
    told = f"{composed}[0].spec.nodes.root.routerType: missing; the routerType of a node.\n"
    assert (ended.returncode, ended.stderr) == (2, told)
    composed.write_text(
        "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n"
        + "".join(
            f"{after}: &{after} [{', '.join(['*' + before] * 10)}]\n" for before, after in itertools.pairwise("abcdefg")
        )
    )
    ended = headwater(address, "import", "kserve", composed)
    assert (ended.returncode, "those repeated by aliases included" in ended.stderr) == (2, True)
    composed.write_text("a: [")
    ended = headwater(address, "import", "kserve", composed)
    assert (ended.returncode, ended.stderr.startswith(f"{composed}:1:5: ")) == (2, True)


def test_requests_that_are_no_import_are_refused(address: str) -> None:
    assert posted(address, {}, "nix").status_code == 404
    assert posted(address, shop("a"), origins="x").status_code == 400
    assert "'gateway' is this service's own" in posted(address, shop("a"), origin="gateway").text
    assert posted(address, shop("a"), origin=" ").status_code == 400
    at = f"{address}/api/v1/imports/dbt"
    assert httpx.post(at, content=b"{}", headers={"Content-Type": "text/plain"}).status_code == 415
    torn = httpx.post(at, content=b'{"manifest": {', headers={"Content-Type": "application/json"})
    assert (torn.status_code, "not JSON in UTF-8" in torn.text) == (400, True)
    assert posted(address, shop("a") | {"catalog": {"nodes": {"x": " " * 10_000_000}}}).status_code == 413


def test_an_operation_is_done_once(address: str) -> None:
    first = posted(address, shop("a"), origin="dbt:once", operation="import-1").json()
    assert posted(address, shop("a"), origin="dbt:once", operation="import-1").json() == first
    other = posted(address, shop("b"), origin="dbt:once", operation="import-1")
    assert (other.status_code, other.json()["errors"][0]["extensions"]["code"]) == (409, "OperationReused")


def test_only_who_may_register_may_import(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.json"
    reader = create_token(tokens, "reader", Role.READER, Kind.PERSON)
    with running_service(f"sqlite:///{tmp_path}/lineage.db", tokens_file=tokens) as address:
        headers = {"Authorization": f"Bearer {reader}"}
        refused = httpx.post(f"{address}/api/v1/imports/dbt", json=shop("a"), headers=headers)
        assert refused.status_code == 403


def test_sql_is_imported_with_the_columns_it_derives(address: str, tmp_path: Path) -> None:
    folder = tmp_path / "etl"
    (folder / "daily").mkdir(parents=True)
    (folder / "daily" / "orders.sql").write_text(
        "create table orders as select id, total * 2 as twice from receipts where paid;\ncall refresh();\n"
    )
    (folder / "report.sql").write_text("insert into report (n) select twice from orders join lost using (id)")
    (tmp_path / "tables.json").write_text(json.dumps({"lake.shop.receipts": ["id", "total", "paid"]}))
    place: list[str | Path] = ["--database", "lake", "--default-schema", "shop", "--schema", tmp_path / "tables.json"]
    command: list[str | Path] = [
        "import",
        "sql",
        folder,
        "--dialect",
        "postgres",
        "--namespace",
        "pg",
        "--origin",
        "sql:etl",
        *place,
    ]
    ended = headwater(address, *command)
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == "daily/orders.sql:2: left out: CALL is not followed\n"
    assert ended.stdout.startswith("sql:etl holds 5 assets and ")
    told = imported(address, *command[1:])
    assert (told["changed"], told["left_out"], told["warned"]) == (False, 1, 1)
    assert told["warnings"] == [
        {"place": "daily/orders.sql:2", "message": "CALL is not followed", "left_out": True},
    ]
    asked: dict[str, str | int] = {"start": "column:pg/lake.shop.receipts#total", "atLeastRevision": told["revision"]}
    reached = httpx.get(f"{address}/api/v1/lineage.json", params=asked).json()["columns"]["key"]
    assert {"column:pg/lake.shop.orders#twice", "column:pg/lake.shop.report#n"} <= set(reached)
    assert "column:pg/lake.shop.orders#id" not in reached
    (folder / "report.sql").unlink()
    assert imported(address, *command[1:])["withdrawn"] > 0


def test_what_is_no_sql_document_is_refused(address: str, tmp_path: Path) -> None:
    refused = posted(address, {"dialect": "klingon", "files": []}, "sql", namespace="w")
    assert refused.status_code == 400
    assert refused.json()["errors"][0]["message"].startswith("dialect: 'klingon' is none of ")
    ended = headwater(address, "import", "sql", tmp_path, "--dialect", "duckdb", "--namespace", "w")
    assert (ended.returncode, ended.stderr) == (2, f"there is no *.sql in {tmp_path}\n")
    (tmp_path / "latin.sql").write_bytes(b"select 'caf\xe9'")
    ended = headwater(address, "import", "sql", tmp_path, "--dialect", "duckdb", "--namespace", "w")
    assert (ended.returncode, "latin.sql: it is not UTF-8" in ended.stderr) == (2, True)


def test_an_estimator_tells_which_columns_it_uses_and_is_never_unpickled(address: str, tmp_path: Path) -> None:
    data = np.random.default_rng(0).normal(size=(50, 3))
    chosen = ColumnTransformer([("some", StandardScaler(), [0, 2])])
    (tmp_path / "model.skops").write_bytes(fitted(make_pipeline(chosen, LinearRegression()), data, data[:, 0]))
    run, source = "run:jobs/train#0190c1a2-0000-7000-8000-000000000001", "dataset:w/made"
    command: list[str | Path] = ["sklearn", tmp_path / "model.skops", "--model", "made", "--version", "1"]
    told = imported(address, *command, "--run", run, "--source", source)
    assert (told["origin"], told["assets"], told["flows"]) == ("sklearn:default/made#1", 1, 3)
    inputs = upstream_columns(address, "model_version:default/made#1", told["revision"])
    assert inputs == ["column:w/made#x0", "column:w/made#x2"]

    document = sklearn_document(LinearRegression().fit(data, data[:, 0]), "made", "2", run=run, source=source)
    (tmp_path / "made.json").write_text(json.dumps(document))
    assert imported(address, "sklearn", tmp_path / "made.json")["flows"] == 4
    refused = posted(address, document | {"pickle": "gASV"}, "sklearn")
    assert (refused.status_code, "pickle: unknown field" in refused.text) == (400, True)

    (tmp_path / "model.pkl").write_bytes(pickle.dumps(LinearRegression()))
    ended = headwater(address, "import", "sklearn", tmp_path / "model.pkl", "--model", "made", "--version", "1")
    assert (ended.returncode, "neither JSON nor a skops file" in ended.stderr) == (2, True)
    (tmp_path / "strange.skops").write_bytes(skops.io.dumps(FunctionTransformer(os.getcwd).fit(data)))
    ended = headwater(address, "import", "sklearn", tmp_path / "strange.skops", "--model", "made", "--version", "1")
    assert (ended.returncode, "could do harm" in ended.stderr) == (2, True)
    ended = headwater(address, "import", "sklearn", tmp_path / "model.skops")
    assert (ended.returncode, "give --model and --version" in ended.stderr) == (2, True)


def upstream_columns(address: str, asset: str, revision: int) -> list[str]:
    asked: dict[str, str | int] = {"start": asset, "direction": "UPSTREAM", "atLeastRevision": revision}
    told = httpx.get(f"{address}/api/v1/lineage.json", params=asked).json()
    return sorted(key for key in told["columns"]["key"] if key.startswith("column:"))
