"""The service as people run it: a process of its own, with settings from its environment."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import uvicorn
from starlette.applications import Starlette

ROOT = Path(__file__).parents[1]
PATIENCE_SECONDS = 100.0  # a quiet machine needs 2; a new Neo4j on a busy one takes its time
STOP_SECONDS = 30.0


@contextmanager
def running_service(store_url: str, **settings: object) -> Iterator[str]:
    """The address of a service that is ready. `settings` by their names: `tokens_file=path`, `request_timeout_seconds=5`.

    It is told to stop at the end, and must then end with success. Raises AssertionError with its log otherwise.
    """
    given = {"store": store_url, "port": free_port(), **settings}
    port = given["port"]
    environment = plain_environment() | {f"HEADWATER_{name.upper()}": str(value) for name, value in given.items()}
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen([sys.executable, "-m", "app", "serve"], cwd=ROOT, env=environment, stderr=log)
        try:
            wait_until_ready(process, f"http://127.0.0.1:{port}", log.fileno())
            yield f"http://127.0.0.1:{port}"
            process.send_signal(signal.SIGTERM)
            code = process.wait(STOP_SECONDS)
            assert code == 0, f"the service ended with {code}:\n{_text(log.fileno())}"
        finally:
            process.kill()
            process.wait()


@contextmanager
def in_thread(app: Starlette) -> Iterator[str]:
    """The address of `app` behind a real server of this process, for what has to reach into it."""
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off", timeout_graceful_shutdown=5))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


def counted(address: str, counter: str) -> int:
    """What a counter of `/metrics` stands at, over all its labels."""
    lines = httpx.get(f"{address.rstrip('/')}/metrics").text.splitlines()
    return sum(int(float(line.rpartition(" ")[2])) for line in lines if line.startswith(f"{counter}_total{{"))


def plain_environment() -> dict[str, str]:
    """This one without settings of the service, so that no developer's shell changes what is tested."""
    return {name: value for name, value in os.environ.items() if not name.startswith("HEADWATER_")}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until_ready(process: subprocess.Popen[bytes], address: str, log: int) -> None:
    end, last = time.monotonic() + PATIENCE_SECONDS, "no answer"
    while time.monotonic() < end:
        assert process.poll() is None, f"the service ended with {process.returncode}:\n{_text(log)}"
        try:
            answer = httpx.get(f"{address}/readyz", timeout=5)
        except httpx.TransportError:
            time.sleep(0.05)
            continue
        if answer.status_code == 200:
            return
        last = answer.text
        time.sleep(0.05)
    raise AssertionError(f"the service was not ready after {PATIENCE_SECONDS:g} s ({last}):\n{_text(log)}")


def _text(log: int) -> str:
    return os.pread(log, 100_000, 0).decode(errors="replace")
