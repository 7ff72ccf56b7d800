"""The official Python client of OpenLineage, unchanged, against a running service: its transports, and an outage."""

import json
import os
import subprocess
import time
import uuid
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.identity import Kind, Role, create_token
from tests.patience import within
from tests.service import free_port, running_service

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".interop/openlineage/bin/python"
OUTAGE_SECONDS = 5.0

if not PYTHON.exists():
    missing = "the environment is missing: make .interop/openlineage/installed"
    if os.environ.get("HEADWATER_TEST_REQUIRE_ALL"):
        pytest.fail(missing)
    pytest.skip(missing, allow_module_level=True)


def command(transport: dict[str, Any], task: str, argument: object) -> list[str]:
    return [
        str(PYTHON),
        str(Path(__file__).with_name("openlineage_client.py")),
        json.dumps(transport),
        task,
        str(argument),
    ]


def emitted(transport: dict[str, Any], task: str, argument: object) -> list[str]:
    done = subprocess.run(command(transport, task, argument), check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def events_of(address: str, **headers: str) -> list[dict[str, Any]]:
    answer = httpx.get(f"{address}/api/v1/lineage/events", headers=headers, timeout=60)
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


def runs_in(events: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return sorted((event["run"]["runId"], event["eventType"]) for event in events)


def downstream(address: str, start: str, **headers: str) -> set[str]:
    given = {"start": start, "direction": "downstream"}
    answer = httpx.get(f"{address}/api/v1/lineage.ndjson", params=given, headers=headers, timeout=60)
    lines = [json.loads(line) for line in answer.text.splitlines()] if answer.status_code == 200 else []
    return {line["asset"]["key"] for line in lines if "asset" in line}


@pytest.mark.parametrize(
    "transport",
    [
        {"type": "http"},
        {"type": "http", "compression": "gzip"},
        {"type": "http", "endpoint": "lineage"},
        {"type": "async_http"},
        {"type": "async_http", "compression": "gzip"},
    ],
    ids=lambda transport: "-".join(transport.values()),
)
def test_events_of_each_sort_come_with_their_facets(tmp_path: Path, transport: dict[str, Any]) -> None:
    tokens = tmp_path / "tokens.json"
    token = create_token(tokens, "airflow", Role.CONTRIBUTOR, Kind.CONSUMER)
    with running_service(f"sqlite:///{tmp_path}/store.db", tokens_file=tokens) as address:
        run = str(uuid.uuid4())
        given = {**transport, "url": address, "auth": {"type": "api_key", "api_key": token}}
        assert emitted(given, "facets", run) == [run]
        headers = {"Authorization": f"Bearer {token}"}
        column = "column:postgres%3A%2F%2Fdb%3A5432/shop.public.orders#amount"
        within(20, lambda: "column:s3%3A%2F%2Flake/totals#total" in downstream(address, column, **headers))
        events = events_of(address, **headers)
        assert len(events) == 4
        (complete,) = [event for event in events if event.get("eventType") == "COMPLETE"]
        assert complete["run"]["facets"]["parent"]["job"]["name"] == "nightly"
        assert complete["inputs"][0]["inputFacets"]["dataQualityMetrics"]["rowCount"] == 7
        assert complete["outputs"][0]["outputFacets"]["outputStatistics"]["rowCount"] == 3
        refused = subprocess.run(
            command({**given, "auth": {"type": "api_key", "api_key": "hw_wrong"}}, "facets", run),
            check=False,
            capture_output=True,
            timeout=120,
        )
        assert refused.returncode != 0
        assert len(events_of(address, **headers)) == 4


def test_a_batch_as_the_client_writes_it(tmp_path: Path) -> None:
    with running_service(f"sqlite:///{tmp_path}/store.db") as address:
        (written,) = emitted({"type": "noop"}, "write", 50)
        answer = httpx.post(f"{address}/api/v1/lineage/batch", content=written, timeout=60)
        assert answer.json()["summary"] == {
            "received": 100,
            "successful": 100,
            "failed": 0,
            "retriable": 0,
            "non_retriable": 0,
        }
        assert runs_in(events_of(address)) == runs_in(json.loads(written))


@pytest.mark.parametrize("transport", ["http", "async_http"])
def test_an_outage_loses_nothing_and_doubles_nothing(tmp_path: Path, transport: str) -> None:
    """The process ends, and another begins over the same file; the stock client's own retries bridge the gap."""
    store, port, runs = f"sqlite:///{tmp_path}/store.db", free_port(), 120
    told = {"type": transport, "url": f"http://127.0.0.1:{port}"}
    with running_service(store, port=port):
        client = subprocess.Popen(
            command(told, "runs", runs), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        time.sleep(2.0)
    assert client.poll() is None, "the outage came too late"
    time.sleep(OUTAGE_SECONDS - 2.0)  # the next one takes some time until it listens
    with running_service(store, port=port) as address:
        out, errors = client.communicate(timeout=120)
        taken = out.splitlines()
        assert client.returncode == 0, errors
        assert len({*taken}) == runs, errors
        assert runs_in(events_of(address)) == sorted((run, state) for run in taken for state in ("START", "COMPLETE"))
        reached = {f"dataset:wh/out-{number % 5}" for number in range(runs)}
        within(20, lambda: reached == _written(address, runs))


def _written(address: str, runs: int) -> set[str]:
    return {key for number in range(runs) for key in downstream(address, f"dataset:wh/in-{number}") if "/out-" in key}
