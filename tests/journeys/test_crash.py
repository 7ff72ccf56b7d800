"""`kill -9` during writes: every acknowledged write is there, once, whole."""

import os
import random
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.service import ROOT, free_port, plain_environment, wait_until_ready

CYCLES, WRITERS, BATCH = int(os.environ.get("HEADWATER_TEST_CRASHES", "2")), 8, 10
REGISTER = """mutation($manifest: ManifestInput!, $envelope: EnvelopeInput!) {
  register(manifest: $manifest, envelope: $envelope) { ... on Registered { revision changed added } } }"""


@contextmanager
def killable(store_url: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    port = free_port()
    environment = plain_environment() | {"HEADWATER_STORE": store_url, "HEADWATER_PORT": str(port)}
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen([sys.executable, "-m", "app"], cwd=ROOT, env=environment, stderr=log)
        try:
            wait_until_ready(process, f"http://127.0.0.1:{port}", log.fileno())
            yield process, f"http://127.0.0.1:{port}"
        finally:
            process.kill()
            process.wait()


def post(http: httpx.Client, query: str, **variables: object) -> Any:
    answer = http.post("/graphql", json={"query": query, "variables": variables}).json()
    assert "errors" not in answer, answer
    return answer["data"]


def register(http: httpx.Client, batch: str) -> Any:
    """Ten consumers of one dataset: they are there together or not at all."""
    consumers = [
        {"namespace": "crash", "name": f"{batch}.{place}", "uses": ["dataset:crash/shared"]} for place in range(BATCH)
    ]
    return post(http, REGISTER, manifest={"consumers": consumers}, envelope={"operationId": batch})["register"]


@pytest.mark.long
@pytest.mark.timeout(900)
def test_every_acknowledged_write_survives_kill_nine_once_and_whole(tmp_path: Path) -> None:
    store_url = f"sqlite:///{tmp_path / 'lineage.db'}"
    chance = random.Random(20261123)
    acknowledged: dict[str, int] = {}
    attempted: list[str] = []
    for cycle in range(CYCLES):
        with killable(store_url) as (process, url):
            with httpx.Client(base_url=url) as http:
                post(http, 'mutation { registerDataset(input: {namespace: "crash", name: "shared"}) { __typename } }')
            enough, killed = threading.Semaphore(0), threading.Event()

            def write(
                writer: int,
                url: str = url,
                cycle: int = cycle,
                done: threading.Event = killed,
                acks: threading.Semaphore = enough,
            ) -> None:
                with httpx.Client(base_url=url, timeout=10) as http:
                    for number in range(10_000):
                        batch = f"{cycle}.{writer}.{number}"
                        attempted.append(batch)
                        try:
                            acknowledged[batch] = register(http, batch)["revision"]
                        except httpx.TransportError:
                            return
                        acks.release()
                        if done.is_set():
                            return

            with ThreadPoolExecutor(WRITERS) as pool:
                writers = [pool.submit(write, writer) for writer in range(WRITERS)]
                for _ in range(chance.randint(5, 60)):
                    enough.acquire()
                process.kill()
                killed.set()
                for writer in writers:
                    writer.result()

    assert len(acknowledged) == len(set(acknowledged.values())) >= CYCLES
    with killable(store_url) as (_, url), httpx.Client(base_url=url, timeout=60) as http:
        table = http.get("/api/v1/lineage.json", params={"start": "dataset:crash/shared"}).json()
        found = [key.removeprefix("consumer:crash/").rpartition(".")[0] for key in table["columns"]["key"]]
        whole = {batch for batch in set(found) if found.count(batch) == BATCH}
        assert whole == set(found)  # none torn, none twice
        assert set(acknowledged) <= whole  # none lost
        head = post(http, "{ head { revision } }")["head"]["revision"]
        assert head == len(whole) + 1  # no gap, no effect twice; the dataset was the first revision
        for batch in [*attempted[-WRITERS:], *chance.sample(sorted(acknowledged), 5)]:
            again = register(http, batch)
            assert again["added"] == 2 * BATCH  # the answer that it was given, or would have been
            assert batch not in acknowledged or again["revision"] == acknowledged[batch]

    checked = subprocess.run(
        [sys.executable, "-m", "app", "check-store"],
        cwd=ROOT,
        env=plain_environment() | {"HEADWATER_STORE": store_url},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (checked.returncode, checked.stdout) == (0, ""), checked.stdout + checked.stderr
