"""A real MLflow server, with models trained by scikit-learn: what is imported is compared with what MLflow's own client reports."""

import json
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from graph.keys import AssetKey, AssetKind
from tests.interop.holding import Holding
from tests.interop.mlflow_server import MLFLOW, ROOT, environment, mlflow_server
from tests.repository import HEADWATER
from tests.service import running_service

pytestmark = pytest.mark.timeout(600)

ORIGIN = "mlflow:tests"

Report = dict[str, Any]


class World(Holding):
    """A service, an MLflow server, and who works with both."""

    def __init__(self, folder: Path, service: str, server: str) -> None:
        super().__init__(service)
        self.folder, self.server = folder, server

    def mlflow(self, what: str) -> Report:
        """What MLflow's client reports once that is done."""
        command: list[str | Path] = [
            MLFLOW / "python",
            ROOT / "tests/interop/mlflow_training.py",
            self.server,
            self.folder,
            what,
        ]
        ended = subprocess.run(
            command, cwd=self.folder, env=environment(self.folder), capture_output=True, text=True, check=False
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        report: Report = json.loads((self.folder / "report.json").read_text())
        return report

    def imported(self) -> dict[str, Any]:
        ended = self.headwater("import", "mlflow", self.server, "--origin", ORIGIN, "--output", "json")
        assert ended.returncode == 0, ended.stderr
        told: dict[str, Any] = json.loads(ended.stdout)
        return told

    def headwater(self, *arguments: str, **given: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [HEADWATER, *arguments],
            env=environment(self.folder) | {"HEADWATER_URL": self.service} | given,
            capture_output=True,
            text=True,
            check=False,
        )

    def say(self, line: str) -> None:
        """As another origin."""
        headers = {"Content-Type": "application/x-ndjson"}
        told = httpx.post(f"{self.service}/api/v1/bulk?origin=api:else", content=f"{line}\n", headers=headers)
        assert json.loads(told.text.splitlines()[-1])["done"]["refused"] == 0, told.text


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("mlflow")
    with running_service(f"sqlite:///{folder}/lineage.db") as service, mlflow_server(folder) as server:
        yield World(folder, service, server)


def test_what_is_imported_is_what_mlflow_reports_before_and_after_a_change(world: World) -> None:
    before = world.mlflow("train")
    first = world.imported()
    assert first["changed"]
    _compare(world, before)
    again = world.imported()
    assert (again["changed"], again["revision"]) == (False, first["revision"])
    assert again["taken"] >= first["taken"]

    world.say('{"asset": "model_version:default/fraud#1", "attributes": {"description": "Mine"}}')
    after = world.mlflow("change")
    assert {each["version"] for each in after["versions"] if each["name"] == "fraud"} == {"2", "3"}
    assert world.imported()["withdrawn"] > 0
    (kept,) = [each for key, each in world.held("MODEL_VERSION").items() if key == "model_version:default/fraud#1"]
    assert kept == {"description": "Mine"}, "another origin still says so"
    world.say('{"withdraw": "model_version:default/fraud#1"}')
    _compare(world, after)


def test_what_mlflow_refuses_is_told(world: World) -> None:
    ended = world.headwater("import", "mlflow", "http://127.0.0.1:9")
    assert (ended.returncode, "cannot reach MLflow at http://127.0.0.1:9" in ended.stderr) == (4, True)
    ended = world.headwater("import", "mlflow", world.service)
    assert (ended.returncode, "does not answer as MLflow does" in ended.stderr) == (2, True), ended.stderr
    ended = world.headwater("import", "mlflow", "sqlite:///mlflow.db")
    assert (ended.returncode, "mlflow server --backend-store-uri sqlite:///mlflow.db" in ended.stderr) == (2, True)


def _compare(world: World, report: Report) -> None:
    models = world.held("MODEL")
    assert models.keys() == {_key("model", name) for name in report["models"]}
    for name, model in report["models"].items():
        found = models[_key("model", name)]
        assert found.get("description") == model["description"]
        assert found.get("labels", {}) == model["tags"]
        assert _aliases(world, name) == {
            alias: _key("model_version", name, str(version)) for alias, version in model["aliases"].items()
        }

    versions = world.held("MODEL_VERSION")
    assert versions.keys() == {_key("model_version", each["name"], each["version"]) for each in report["versions"]}
    for each in report["versions"]:
        key = _key("model_version", each["name"], each["version"])
        found = versions[key]
        run = report["runs"][each["run_id"]]
        assert world.into(key) == {_run(run["experiment"], each["run_id"])}
        assert found.get("description") == each["description"]
        assert found.get("labels", {}) == each["tags"]
        assert found["source_uri"] == each["source"]
        assert found["hyperparameters"] == each["params"]
        assert found.get("metrics", {}) == each["metrics"]
        inputs = found.get("signature", {}).get("inputs")
        assert (
            inputs is None
            if each["signature"] is None
            else [[tensor["name"], tensor["type"]] for tensor in inputs] == each["signature"]
        )
        if each["name"] == "fraud":
            features = {tensor["name"]: tensor.get("feature") for tensor in inputs}
            assert features == {
                "amount": "feature:shop/drivers#amount",
                "count_7d": "feature:shop/drivers#count_7d",
                "age": None,
            }

    runs = world.held("RUN")
    assert runs.keys() == {_run(run["experiment"], run_id) for run_id, run in report["runs"].items()}
    assert world.held("JOB").keys() == {_key("job", run["experiment"]) for run in report["runs"].values()}
    named: dict[str, set[str]] = {}
    columns: dict[str, dict[str, str]] = {}
    for run_id, run in sorted(report["runs"].items(), key=lambda each: int(each[1]["start"])):
        key = _run(run["experiment"], run_id)
        assert (runs[key]["run_name"], runs[key]["status"]) == (run["name"], run["status"])
        flowing = {each for each in world.into(key) if each.startswith("dataset:")}
        assert flowing == {_dataset(each, run["experiment"]) for each in run["inputs"]}
        newest: dict[str, dict[str, str]] = {}
        for each in run["inputs"]:
            dataset = _dataset(each, run["experiment"])
            named.setdefault(dataset, set()).add(each["name"])
            newest.setdefault(dataset, {}).update(each["columns"])
        columns |= newest
        read = {each for each in world.into(key) if each.startswith(("feature:", "feature_view:"))}
        expected_features = {"feature:shop/drivers#amount", "feature:shop/drivers#count_7d"}
        services = {
            f"feature_view:shop/{each['tags']['feast.feature_service']}"
            for each in report["versions"]
            if each["run_id"] == run_id and "feast.feature_service" in each["tags"]
        }
        assert read == (expected_features | services if run["experiment"] == "fraud-training" else set())
    datasets = world.held("DATASET")
    assert {key: set(each["mlflow_names"]) for key, each in datasets.items()} == named
    held: dict[str, dict[str, str]] = {}
    for text, attributes in world.held("COLUMN").items():
        dataset, _, column = text.removeprefix("column:").partition("#")
        held.setdefault(f"dataset:{dataset}", {})[column] = attributes["type"]
    assert held == {dataset: each for dataset, each in columns.items() if each}


def _aliases(world: World, model: str) -> dict[str, str]:
    """What its aliases name."""
    query = "query ($key: ID!) { asset(key: $key) { ... on Model { aliases { name version { id } } } } }"
    told = world.asked(query, key=_key("model", model))["asset"]["aliases"]
    return {each["name"]: each["version"]["id"] for each in told}


def _key(kind: str, name: str, part: str | None = None, namespace: str = "default") -> str:
    return str(AssetKey.of(AssetKind(kind), namespace, name, *([part] if part else [])))


def _run(experiment: str, run_id: str) -> str:
    return _key("run", experiment, str(uuid.UUID(run_id)))


def _dataset(each: dict[str, Any], experiment: str) -> str:
    """What the documentation says of a dataset's name."""
    uri = each["source"].get("uri")
    if each["source_type"] == "local" and uri and uri.startswith("/"):
        return _key("dataset", uri, namespace="file")
    if uri == "s3://lake/scores/2026.parquet":
        return _key("dataset", "scores/2026.parquet", namespace="s3://lake")
    unnamed = f"@{each['digest']}" if each["name"] == "dataset" else ""
    return _key("dataset", f"{experiment}/{each['name']}{unnamed}")
