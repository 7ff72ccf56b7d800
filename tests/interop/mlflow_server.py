"""A real MLflow server, from an environment of its own."""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.service import free_port

ROOT = Path(__file__).parents[2]
MLFLOW = ROOT / ".interop/mlflow/bin"
PATIENCE_SECONDS = 120


@contextmanager
def mlflow_server(folder: Path) -> Iterator[str]:
    """The address of one that answers, and keeps all in `folder`."""
    if not MLFLOW.exists():
        pytest.fail("the environment is missing: make .interop/mlflow/installed")
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    command: list[str | Path] = [
        *(MLFLOW / "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
        *("--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", f"{folder}/artifacts"),
    ]
    with (folder / "mlflow.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment(folder), stdout=log, stderr=log, start_new_session=True)
    try:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not _answers(address):
            if time.monotonic() > deadline or process.poll() is not None:
                pytest.fail(f"MLflow does not start:\n{(folder / 'mlflow.log').read_text()}")
            time.sleep(0.2)
        yield address
    finally:
        os.killpg(process.pid, 15)
        process.wait()


def environment(home: Path) -> dict[str, str]:
    """Without what would tell MLflow, Feast or the command of other places."""
    ours = ("HEADWATER_", "MLFLOW_", "FEAST_")
    given = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return given | {
        "HOME": str(home),
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "FEAST_USAGE": "False",
        "GIT_PYTHON_REFRESH": "quiet",
    }


def _answers(address: str) -> bool:
    try:
        return httpx.get(f"{address}/health").is_success
    except httpx.TransportError:
        return False
