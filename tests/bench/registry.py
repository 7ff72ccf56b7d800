"""Registering over HTTP, beside MLflow's registry: as many clients, one answer a registration, SQLite under both.

MLflow registers a model by name, and a version of it; Headwater an asset with four flows. Both answer when it is durable.
"""

import json
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

from tests.bench.figures import Figure, ratio
from tests.service import free_port, plain_environment, running_service

CLIENTS, TURNS = 16, 3
OURS, THEIRS = 1_500, 120
"""Registrations of a turn."""
FLOWS = 4
PATIENCE_SECONDS = 400.0  # its workers import for long, all at once
MLFLOW = Path(__file__).parents[2] / ".interop/mlflow/bin/mlflow"

REGISTER = """
mutation Register($input: ConsumerInput!) {
  registerConsumer(input: $input) { ... on Registered { changed revision } ... on Problem { message } }
}
"""


def figures(folder: Path) -> Iterator[Figure]:
    assert MLFLOW.exists(), "the environment is missing: make .interop/mlflow/installed"
    with running_service(f"sqlite:///{folder / 'registry.db'}") as ours, _mlflow(folder / "mlflow") as theirs:
        _datasets(ours)
        rates: dict[str, list[float]] = {"Headwater": [], "models": [], "versions": []}
        for turn in range(TURNS):
            rates["Headwater"].append(_rate(ours, OURS, partial(_consumer, turn)))
            rates["models"].append(_rate(theirs, THEIRS, partial(_model, turn)))
            rates["versions"].append(_rate(theirs, THEIRS, partial(_version, turn)))
    head = f"registrations over HTTP, {CLIENTS} clients"
    yield Figure(f"{head}: Headwater, an asset with {FLOWS} flows", rates["Headwater"], "a second")
    for what in ("models", "versions"):
        yield Figure(f"{head}: MLflow, {what}", rates[what], "a second")
        yield ratio(f"{head}: Headwater over MLflow, {what}", rates["Headwater"], rates[what])


def _rate(address: str, many: int, register: Callable[[HTTPConnection, int], None]) -> float:
    """A second, each client over one connection."""

    def some(first: int) -> None:
        host = urlsplit(address).netloc
        client = HTTPConnection(host, timeout=60)
        client.connect()
        client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for number in range(first, many, CLIENTS):
            register(client, number)
        client.close()

    begin = time.perf_counter()
    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(some, range(CLIENTS)))
    return many / (time.perf_counter() - begin)


def _datasets(address: str) -> None:
    client = HTTPConnection(urlsplit(address).netloc)
    for number in range(FLOWS):
        told = _post(
            client,
            "/graphql",
            {
                "query": "mutation R($input: DatasetInput!) { registerDataset(input: $input) { __typename } }",
                "variables": {"input": {"namespace": "bench", "name": f"table-{number}"}},
            },
        )
        assert told["data"]["registerDataset"]["__typename"] == "Registered", told
    client.close()


def _consumer(turn: int, client: HTTPConnection, number: int) -> None:
    uses = [f"dataset:bench/table-{each}" for each in range(FLOWS)]
    wanted = {"namespace": "bench", "name": f"reader-{turn}-{number}", "uses": uses}
    told = _post(client, "/graphql", {"query": REGISTER, "variables": {"input": wanted}})
    assert told["data"]["registerConsumer"].get("changed") is True, told


def _model(turn: int, client: HTTPConnection, number: int) -> None:
    told = _post(client, "/api/2.0/mlflow/registered-models/create", {"name": f"model-{turn}-{number}"})
    assert "registered_model" in told, told


def _version(turn: int, client: HTTPConnection, number: int) -> None:
    wanted = {"name": f"model-{turn}-{number}", "source": f"s3://models/{turn}/{number}"}
    told = _post(client, "/api/2.0/mlflow/model-versions/create", wanted)
    assert "model_version" in told, told


def _post(client: HTTPConnection, path: str, body: object) -> dict[str, dict[str, dict[str, object]]]:
    client.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
    answer = client.getresponse()
    text = answer.read()
    assert answer.status == 200, text
    told: dict[str, dict[str, dict[str, object]]] = json.loads(text)
    return told


@contextmanager
def _mlflow(home: Path) -> Iterator[str]:
    """The address of an MLflow server that answers, with all its workers."""
    home.mkdir(parents=True, exist_ok=True)
    port = free_port()
    command = [
        *(str(MLFLOW), "server", "--host", "127.0.0.1", "--port", str(port)),
        *("--backend-store-uri", f"sqlite:///{home / 'mlflow.db'}", "--artifacts-destination", str(home / "artifacts")),
    ]
    environment = plain_environment() | {
        "PATH": f"{MLFLOW.parent}{os.pathsep}{os.environ['PATH']}",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
    }
    with (home / "server.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=home, env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            _await(process, port, home / "server.log")
            yield f"http://127.0.0.1:{port}"
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, 9)  # its workers are of one session with it, and end with it
            process.wait()


def _await(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end:
        assert process.poll() is None, f"MLflow ended with {process.returncode}:\n{log.read_text()}"
        with suppress(OSError):
            client = HTTPConnection("127.0.0.1", port, timeout=10)
            client.request("GET", "/health")
            if client.getresponse().status == 200:
                return
        time.sleep(0.2)
    raise AssertionError(f"MLflow is silent after {PATIENCE_SECONDS:.0f} s:\n{log.read_text()}")
