"""What the service has seen, asked in a shell: sources, refusals, dependencies, what may go. Exit codes as documented."""

import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.repository import headwater
from tests.service import running_service

pytestmark = pytest.mark.timeout(300)

RESOURCES = {
    "resources": [
        {
            "apiVersion": "serving.kserve.io/v1beta1",
            "kind": "InferenceService",
            "metadata": {"name": "fraud", "namespace": "risk"},
            "spec": {"predictor": {"model": {"modelFormat": {"name": "sklearn"}, "storageUri": "s3://models/fraud/1"}}},
        }
    ]
}
SPAN = {
    "traceId": "0af7651916cd43dd8448eb211c80319c",
    "spanId": "b7ad6b7169203331",
    "kind": 3,
    "attributes": [{"key": "url.full", "value": {"stringValue": "http://fraud.risk/v2/models/fraud/infer"}}],
}


@pytest.fixture(scope="module", params=["sqlite", pytest.param("neo4j", marks=pytest.mark.neo4j)])
def address(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    store = f"sqlite:///{tmp_path_factory.mktemp('store')}/lineage.db"
    if request.param == "neo4j":
        store = request.getfixturevalue("neo4j_url")
    with running_service(store) as address:
        yield address


def told(address: str, *arguments: str, code: int = 0) -> dict[str, Any]:
    ended = headwater(address, *arguments, "--output", "json")
    assert ended.returncode == code, ended.stderr
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


def test_what_was_seen_and_what_was_not(address: str) -> None:
    posted = httpx.post(
        f"{address}/api/v1/imports/kserve", params={"origin": "kserve:prod"}, json=RESOURCES, timeout=100
    )
    assert posted.is_success, posted.text
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "checkout"}}]}
    span = SPAN | {"startTimeUnixNano": str(time.time_ns())}
    traces = {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": [span]}]}]}
    assert httpx.post(f"{address}/v1/traces", json=traces, timeout=100).is_success
    every = told(address, "dependencies", "undeclared")["dependencies"]
    (undeclared,) = [each for each in every if each["flow"]["source"]["id"] == "deployment:risk/fraud"]
    assert undeclared["flow"]["target"]["id"] == "consumer:default/checkout"
    shown = headwater(address, "dependencies", "undeclared").stdout
    assert "deployment:risk/fraud" in shown
    assert undeclared["flow"]["usage"]["calls"] == 1
    used = told(address, "removal", "deployment:risk/fraud", code=1)
    assert (used["verdict"], [each["id"] for each in used["users"]]) == ("USED", ["consumer:default/checkout"])
    ended = headwater(address, "removal", "model_version:risk/fraud#1")
    assert ended.returncode == 2
    assert "is not registered" in ended.stderr


def test_what_was_refused_is_shown_taken_again_and_given_up(address: str) -> None:
    wrong = {"resources": [{"kind": "InferenceService", "metadata": {}}]}
    for _ in range(2):
        posted = httpx.post(
            f"{address}/api/v1/imports/kserve", params={"origin": "kserve:dev"}, json=wrong, timeout=100
        )
        assert posted.status_code == 400
    shown = headwater(address, "rejected", "--source", "kserve:dev")
    (item,) = told(address, "rejected", "--source", "kserve:dev")["rejected"]
    assert item["times"] == 2
    assert f"{item['id']}  kserve:dev, just now, 2 times" in shown.stdout
    assert item["reason"].splitlines()[0] in shown.stdout
    (again,) = told(address, "rejected", "--retake", item["id"], code=2)["retaken"]
    assert (again["outcome"], again["reason"]) == ("REFUSED", item["reason"])
    found = {each["name"]: each for each in told(address, "sources")["sources"]}
    assert (found["kserve:dev"]["health"], found["kserve:dev"]["rejected"]) == ("REFUSED", 1)
    assert found["gateway"]["health"] == "YOUNG"
    assert told(address, "rejected", "--discard", "--source", "kserve:dev")["discarded"] == 1
    assert headwater(address, "rejected", "--source", "kserve:dev").stdout == "Nothing was refused.\n"
