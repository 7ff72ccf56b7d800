"""The whole river, through public interfaces and separate processes alone.

A caller that nobody declared asks a deployed model; it appears downstream of the column the model lives on. The column's
feature drifts; one alert names the feature, the column, the deployment and the caller. A pull request that removes the
column is stopped, and names the caller too.
"""

import base64
import hashlib
import hmac
import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import headwater
import httpx
import numpy as np
import pytest
import skops.io
import yaml
from sklearn.linear_model import LogisticRegression

from tests.patience import within
from tests.receiver import Receiver, receiving
from tests.service import ROOT, counted, plain_environment, running_service

pytestmark = pytest.mark.timeout(400)

T = TypeVar("T")

COLUMNS = ("amount", "age", "risk", "hour", "velocity")
DRIFTS = "risk"
SEEDS = 20
ROWS = 600
SECRET = "whsec_" + base64.b64encode(b"the river's own secret, 32 bytes").decode()
SEEN_WITHIN_SECONDS = 5.0
PATIENCE_SECONDS = 60.0


@dataclass(frozen=True)
class River:
    namespace: str
    client: headwater.Client
    receiver: Receiver
    repository: Path
    environment: dict[str, str]

    def key(self, kind: str, rest: str) -> str:
        return f"{kind}:{self.namespace}/{rest}"

    @property
    def column(self) -> str:
        return self.key("column", f"payments#{DRIFTS}")

    @property
    def deployment(self) -> str:
        return self.key("deployment", self.model)

    @property
    def model(self) -> str:
        return f"fraud-{self.namespace}"

    @property
    def caller(self) -> str:
        return self.key("consumer", "checkout")

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`headwater …` in the repository, as a pipeline runs it."""
        return subprocess.run(
            [Path(sys.executable).parent / "headwater", *arguments],
            cwd=self.repository,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def git(self, *arguments: str) -> None:
        subprocess.run(["git", *arguments], cwd=self.repository, check=True, capture_output=True, timeout=30)

    def write_manifest(self, *columns: str) -> None:
        source = f"dataset:{self.namespace}/payments"
        manifest = {
            "version": 1,
            "origin": f"manifest:{self.namespace}",
            "namespace": self.namespace,
            "datasets": [
                {
                    "name": "payments",
                    "owners": [{"name": "payments-team", "contact": "#payments"}],
                    "columns": [{"name": name, "type": "double"} for name in columns],
                }
            ],
            "feature_views": [
                {
                    "name": "payment",
                    "entities": ["payment_id"],
                    "features": [
                        {
                            "name": name,
                            "type": "double",
                            "derived_from": [source.replace("dataset", "column") + f"#{name}"],
                        }
                        for name in columns
                    ],
                }
            ],
        }
        (self.repository / "headwater.yaml").write_text(yaml.safe_dump(manifest, sort_keys=False))


@pytest.fixture(params=["sqlite", pytest.param("neo4j", marks=pytest.mark.neo4j)])
def river(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[River]:
    store = f"sqlite:///{tmp_path}/river.db" if request.param == "sqlite" else request.getfixturevalue("neo4j_url")
    namespace = f"river{uuid.uuid4().hex[:8]}"
    repository = tmp_path / "repository"
    repository.mkdir()
    with (
        receiving() as receiver,
        running_service(
            store,
            data=tmp_path / "data",
            monitor_seconds=0.2,
            prediction_flush_seconds=0.2,
            webhook_url=receiver.url,
            webhook_secret=SECRET,
            webhook_internal=True,
        ) as address,
        headwater.Client(address) as client,
    ):
        environment = plain_environment() | {"HEADWATER_URL": address}
        river = River(namespace, client, receiver, repository, environment)
        river.git("init", "--initial-branch=main")
        river.git("config", "user.email", "payments@example.com")
        river.git("config", "user.name", "payments")
        river.write_manifest(*COLUMNS)
        river.git("add", "headwater.yaml")
        river.git("commit", "--message", "Declare the payments")
        yield river
        # Every service over one store serves what it holds, and other tests share a Neo4j.
        client.ask(UNDEPLOY, id=river.deployment)


def test_the_whole_river(river: River, capsys: pytest.CaptureFixture[str]) -> None:
    applied = river.command("apply")
    assert applied.returncode == 0, applied.stdout + applied.stderr
    serve_a_model(river)

    # An undeclared process calls; another one only looks whether the model is ready, and never calls.
    began = time.monotonic()
    run_as(river, "bystander", f"/v2/models/{river.model}/ready")
    run_as(river, "checkout", f"/v2/models/{river.model}/infer", *COLUMNS)
    within(SEEN_WITHIN_SECONDS, lambda: river.caller in downstream(river, river.column))
    took = time.monotonic() - began
    assert river.key("consumer", "bystander") not in downstream(river, river.column)

    # Twenty windows as the model was trained on, and then one whose risk is measured differently.
    for seed in range(SEEDS):
        predict(river, seed=seed)
        within(PATIENCE_SECONDS, partial(has_tested, river, seed + 1))
    false_alarms = len(alerts(river))
    with capsys.disabled():
        print(f"\n{false_alarms} of {SEEDS} unshifted windows raised an alarm; a caller was seen within {took:.1f} s")
    assert false_alarms <= 1

    predict(river, seed=SEEDS, shift=2.0)
    (alert,) = within(PATIENCE_SECONDS, lambda: [a for a in alerts(river) if a["about"]["id"].endswith(f"#{DRIFTS}")])
    assert len(alerts(river)) == false_alarms + 1
    assert alert["about"]["id"] == river.key("feature", f"payment#{DRIFTS}")
    assert alert["column"]["id"] == river.column
    assert [each["id"] for each in alert["deployments"]["nodes"]] == [river.deployment]
    assert river.caller in {each["id"] for each in alert["consumers"]["nodes"]}
    assert river.column in {cause["asset"]["id"] for cause in alert["causes"]}
    assert alert["drifted"][0]["name"] == DRIFTS
    told = within(
        PATIENCE_SECONDS, lambda: [m for m in messages(river.receiver, "alert.raised") if alert["id"] in str(m)]
    )
    assert len(told) == 1
    assert river.caller in json.dumps(told[0])

    # A pull request removes the column.
    river.git("checkout", "-b", "without-risk")
    river.write_manifest(*(name for name in COLUMNS if name != DRIFTS))
    checked = river.command("check", "--base", "main", "--output", "markdown")
    assert checked.returncode == 1, checked.stdout + checked.stderr
    assert "checkout" in checked.stdout
    assert river.model in checked.stdout
    # And one that removes nothing that is used.
    river.write_manifest(*COLUMNS, "comment")
    assert river.command("check", "--base", "main").returncode == 0


def serve_a_model(river: River) -> None:
    given = rows(seed=1_000, count=5_000)
    matrix = np.column_stack(list(given.values()))
    model = LogisticRegression().fit(matrix, matrix @ np.array([0.4, 0.1, 1.5, 0.0, 0.6]) > 0)
    artifact = river.client.upload_artifact(skops.io.dumps(model))
    profile = headwater.profile(
        {name: column.tolist() for name, column in given.items()}, {"fraud": model.predict(matrix).tolist()}
    )
    version = {
        "model": river.key("model", "fraud"),
        "version": "1",
        "artifact": {"uri": artifact["uri"], "digest": artifact["digest"]},
        "profile": profile,
        "signature": {
            "inputs": [
                {"name": name, "type": "double", "feature": river.key("feature", f"payment#{name}")} for name in COLUMNS
            ],
            "outputs": [{"name": "fraud", "type": "boolean"}],
        },
    }
    manifest = {"models": [{"namespace": river.namespace, "name": "fraud"}], "modelVersions": [version]}
    river.client.register(manifest, origin=f"training:{river.namespace}", basis="OBSERVED")
    deployed = river.client.ask(
        DEPLOY,
        input={"namespace": river.namespace, "name": river.model, "version": river.key("model_version", "fraud#1")},
    )["deploy"]
    assert deployed.get("deployment"), deployed


def run_as(river: River, service: str, path: str, *columns: str) -> None:
    """A process of its own, with nothing of ours: it names itself as instrumented services do."""
    script = (
        "import json, sys, urllib.request as u\n"
        "address, baggage, *columns = sys.argv[1:]\n"
        "tensors = [{'name': n, 'shape': [1], 'datatype': 'FP64', 'data': [0.5]} for n in columns]\n"
        "body = json.dumps({'inputs': tensors}).encode() if columns else None\n"
        "headers = {'Content-Type': 'application/json', 'baggage': baggage}\n"
        "print(u.urlopen(u.Request(address, body, headers)).status)\n"
    )
    baggage = f"service.name={service},service.namespace={river.namespace}"
    ended = subprocess.run(
        [sys.executable, "-I", "-c", script, river.environment["HEADWATER_URL"] + path, baggage, *columns],
        env={"PATH": os.environ["PATH"]},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.stdout == "200\n", ended.stderr


def predict(river: River, seed: int, shift: float = 0.0) -> None:
    """One window of requests by the same caller; `shift` in standard deviations of the drifting column."""
    given = rows(seed, ROWS)
    given[DRIFTS] = given[DRIFTS] + shift
    inputs = [
        {"name": name, "shape": [ROWS], "datatype": "FP64", "data": values.tolist()} for name, values in given.items()
    ]
    address = f"{river.environment['HEADWATER_URL']}/v2/models/{river.model}/infer"
    baggage = {"baggage": f"service.name=checkout,service.namespace={river.namespace}"}
    answer = httpx.post(address, json={"inputs": inputs}, headers=baggage, timeout=30)
    assert answer.status_code == 200, answer.text


def rows(seed: int, count: int) -> dict[str, np.ndarray]:
    """What is normal: independent columns of mean 0 and standard deviation 1."""
    drawn = np.random.default_rng(seed).standard_normal((len(COLUMNS), count))
    return dict(zip(COLUMNS, drawn, strict=True))


def downstream(river: River, start: str) -> set[str]:
    answer = river.client.ask(DOWNSTREAM, start=start)["lineage"]
    assert answer["complete"] is True
    return {edge["node"]["id"] for edge in answer["assets"]["edges"]}


def alerts(river: River) -> list[dict[str, Any]]:
    """Those of this river; a Neo4j may hold those of others."""
    nodes = river.client.ask(ALERTS)["alerts"]["nodes"]
    return [alert for alert in nodes if f"/{river.model}" in str(alert["deployments"])]


def has_tested(river: River, windows: int) -> bool:
    return counted(river.environment["HEADWATER_URL"], "headwater_windows_tested") >= windows


def messages(receiver: Receiver, topic: str) -> list[dict[str, Any]]:
    """What the webhook was sent, and signed rightly, as Standard Webhooks say."""
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    for received in receiver.received:
        signed = f"{received.headers['webhook-id']}.{received.headers['webhook-timestamp']}.".encode() + received.body
        signature = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        assert signature in received.headers["webhook-signature"].split()
    return [received.json for received in receiver.received if received.json["type"] == topic]


DEPLOY = """
mutation Deploy($input: DeployInput!) {
  deploy(input: $input) { ... on Deployed { deployment { id } } ... on Problem { message } }
}
"""

UNDEPLOY = """
mutation Undeploy($id: ID!) {
  undeploy(id: $id) { ... on Deployed { revision } ... on Problem { message } }
}
"""

DOWNSTREAM = """
query Downstream($start: ID!) {
  lineage(start: $start) { ... on Lineage { complete assets(first: 100) { edges { node { id } } } } }
}
"""

ALERTS = """
query Alerts {
  alerts(first: 50) {
    nodes {
      id
      about { id }
      column { id }
      deployments(first: 20) { nodes { id } }
      drifted { name side effect }
      causes { asset { id } reason explanation }
      consumers(first: 20) { nodes { id } }
    }
  }
}
"""
