"""Several services over one Neo4j: killed and stalled while they write, they lose nothing and do nothing twice."""

import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import httpx
import pytest

from tests.service import ROOT, free_port, plain_environment, wait_until_ready
from tests.stores import emptied_neo4j_store

pytestmark = pytest.mark.neo4j

WRITERS, BATCH, FOLLOW_SECONDS, HTTP_SECONDS = 4, 5, 1.0, 12.0
SHARED = "dataset:replicas/shared"
REGISTER = """mutation($manifest: ManifestInput!, $envelope: EnvelopeInput!) {
  register(manifest: $manifest, envelope: $envelope) { __typename ... on Registered { revision changed added } } }"""
LEAST = """query($id: ID!, $least: Int!) {
  lineage(start: $id, atLeastRevision: $least) { __typename ... on Lineage { revision } ... on Problem { message } } }"""


@dataclass
class Replica:
    """A service of its own that can be killed, and started again at another port."""

    store_url: str
    data: Path
    log: IO[bytes]
    http: httpx.Client
    process: subprocess.Popen[bytes] = field(init=False)
    address: str = field(init=False)

    def start(self) -> None:
        port = free_port()
        given = {"store": self.store_url, "port": port, "data": self.data, "follow_seconds": FOLLOW_SECONDS}
        environment = plain_environment() | {f"HEADWATER_{name.upper()}": str(value) for name, value in given.items()}
        self.process = subprocess.Popen([sys.executable, "-m", "app"], cwd=ROOT, env=environment, stderr=self.log)
        self.address = f"http://127.0.0.1:{port}"

    def wait(self) -> None:
        wait_until_ready(self.process, self.address, self.log.fileno())

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def ask(self, query: str, **variables: object) -> Any:
        """The answer's data. Raises httpx.HTTPError when there is none: the outcome is unknown."""
        answer = self.http.post(f"{self.address}/graphql", json={"query": query, "variables": variables})
        answer.raise_for_status()
        told = answer.json()
        if "errors" in told:
            raise httpx.HTTPError(str(told["errors"]))
        return told["data"]

    def register(self, batch: str) -> Any:
        """Consumers of one dataset: they are there together or not at all."""
        names = [f"{batch}.{place}" for place in range(BATCH)]
        consumers = [{"namespace": "replicas", "name": name, "uses": [SHARED]} for name in names]
        told = self.ask(REGISTER, manifest={"consumers": consumers}, envelope={"operationId": batch})["register"]
        assert told["__typename"] == "Registered", told
        return told

    def downstream(self, revision: int) -> list[str]:
        asked = {"start": SHARED, "atLeastRevision": str(revision)}
        answer = self.http.get(f"{self.address}/api/v1/lineage.json", params=asked)
        table = answer.raise_for_status().json()
        assert table["revision"] == revision
        return sorted(table["columns"]["key"])


@contextmanager
def replicas(store_url: str, folder: Path, count: int) -> Iterator[list[Replica]]:
    with ExitStack() as stack:
        started = []
        for number in range(count):
            log = stack.enter_context(tempfile.TemporaryFile())
            http = stack.enter_context(httpx.Client(timeout=HTTP_SECONDS))
            replica = Replica(store_url, folder / str(number), log, http)
            replica.start()
            stack.callback(replica.kill)
            started.append(replica)
        for replica in started:
            replica.wait()
        yield started


class Writers:
    """Each sends batch after batch, and each batch to one replica after another until one says that it is kept."""

    def __init__(self, services: Sequence[Replica]) -> None:
        self.kept: dict[str, int] = {}
        self.retried = 0
        self._services = services
        self._acknowledged = threading.Semaphore(0)
        self._enough = threading.Event()
        self._pool = ThreadPoolExecutor(WRITERS)
        self._writing = [self._pool.submit(self._write, writer) for writer in range(WRITERS)]

    def await_kept(self, count: int) -> None:
        for _ in range(count):
            while not self._acknowledged.acquire(timeout=1):
                for writing in self._writing:
                    assert not writing.done() or writing.result() is None

    def finish(self) -> None:
        self._enough.set()
        for writing in self._writing:
            writing.result()
        self._pool.shutdown()

    def _write(self, writer: int) -> None:
        chance = random.Random(writer)
        for number in range(100_000):
            batch = f"{writer}.{number}"
            self.kept[batch] = self._register(batch, chance)
            self._acknowledged.release()
            if self._enough.is_set():
                return

    def _register(self, batch: str, chance: random.Random) -> int:
        place, end = chance.randrange(len(self._services)), time.monotonic() + 120
        while True:
            try:
                told = self._services[place % len(self._services)].register(batch)
            except httpx.HTTPError:
                assert time.monotonic() < end, f"{batch} was not kept within two minutes"
                self.retried += 1
                place += 1
            else:
                assert told["changed"]
                assert told["added"] == 2 * BATCH
                return int(told["revision"])


def disturb(
    services: Sequence[Replica], writers: Writers, turns: int, stalls: Sequence[float], chance: random.Random
) -> None:
    for turn in range(turns):
        victim = chance.choice(services)
        writers.await_kept(chance.randint(5, 25))
        if turn % 2:
            victim.kill()
            victim.start()
            victim.wait()
        else:
            victim.process.send_signal(signal.SIGSTOP)
            threading.Event().wait(chance.choice(stalls))
            victim.process.send_signal(signal.SIGCONT)


def judge(store_url: str, services: Sequence[Replica], kept: dict[str, int]) -> None:
    head = len(kept) + 1  # the dataset was the first revision
    assert sorted(kept.values()) == list(range(2, head + 1)), "each has a revision of its own, and there is no gap"
    expected = sorted(f"consumer:replicas/{batch}.{place}" for batch in kept for place in range(BATCH))
    for service in services:
        assert service.downstream(head) == expected, "all are there, and whole"
    chance = random.Random(1)
    for batch in chance.sample(sorted(kept), 10):
        assert chance.choice(services).register(batch)["revision"] == kept[batch], "the answer that it was given"
    beyond = services[0].ask(LEAST, id=SHARED, least=head + 1)["lineage"]
    assert beyond["__typename"] == "RevisionUnavailable"
    assert f"revision {head + 1} was not reached" in beyond["message"]
    checked = subprocess.run(
        [sys.executable, "-m", "app", "check-store"],
        cwd=ROOT,
        env=plain_environment() | {"HEADWATER_STORE": store_url},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (checked.returncode, checked.stdout) == (0, ""), checked.stdout + checked.stderr


def outlive(store_url: str, folder: Path, count: int, turns: int, stalls: Sequence[float], seed: int) -> None:
    emptied_neo4j_store(store_url).close()
    with replicas(store_url, folder, count) as services:
        services[0].ask('mutation { registerDataset(input: {namespace: "replicas", name: "shared"}) { __typename } }')
        writers = Writers(services)
        try:
            disturb(services, writers, turns, stalls, random.Random(seed))
        finally:
            writers.finish()
        with replicas(store_url, folder / "fresh", 1) as fresh:
            judge(store_url, [*services, *fresh], writers.kept)
    emptied_neo4j_store(store_url).close()


def test_replicas_that_stall_and_die_lose_nothing_and_do_nothing_twice(neo4j_url: str, tmp_path: Path) -> None:
    outlive(neo4j_url, tmp_path, count=2, turns=2, stalls=[1.0], seed=20261124)


@pytest.mark.long
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_replicas_that_stall_and_die_again_and_again(neo4j_url: str, tmp_path: Path, seed: int) -> None:
    # Longer, at times, than a transaction may take: then the server ends it, and lets the others go on.
    outlive(neo4j_url, tmp_path, count=3, turns=6, stalls=[0.3, 2.0, 9.0], seed=seed)


def test_a_replica_has_what_another_was_told_within_a_second_or_when_asked_to_wait(
    neo4j_url: str, tmp_path: Path
) -> None:
    emptied_neo4j_store(neo4j_url).close()
    with replicas(neo4j_url, tmp_path, 2) as (one, other):
        one.ask('mutation { registerDataset(input: {namespace: "replicas", name: "shared"}) { __typename } }')
        for number in range(5):
            revision = one.register(f"told.{number}")["revision"]
            assert len(other.downstream(revision)) == BATCH * (number + 1)
        revision, end = one.register("heard")["revision"], time.monotonic() + 10 * FOLLOW_SECONDS
        while other.ask("{ head { revision } }")["head"]["revision"] < revision:
            assert time.monotonic() < end, "a busy machine may take longer than a second, but not ten"
    emptied_neo4j_store(neo4j_url).close()
