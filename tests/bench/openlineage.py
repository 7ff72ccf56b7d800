"""How fast events of OpenLineage are taken: durable, folded, and in the index.

Small events of a fleet of jobs: each run has a START and a COMPLETE, which name two inputs and an output. First they are all
new, then runs repeat themselves, as runs do. Single posts come over some connections at once, from another process. Marquez
took about 30 events/s on this kind of machine by its published path (its container over PostgreSQL, one event a request).
"""

import http.client
import multiprocessing
import socket
import sqlite3
import time
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import orjson

from tests.bench.figures import Figure
from tests.service import running_service

JOBS, CLIENTS, TURNS = 200, 16, 3
SINGLE, BATCHED, AT_ONCE = 6_000, 20_000, 500
LONG, PART = 50_000, 10_000


def figures(folder: Path) -> Iterator[Figure]:
    folder = folder / "openlineage"
    folder.mkdir(exist_ok=True)
    head = "events of OpenLineage, durable and folded"
    single, batched, new = [], [], []
    for turn in range(TURNS):
        path = folder / f"{turn}.db"
        with running_service(f"sqlite:///{path}") as address:
            new.append(_rate(address, path, _batches(_events(BATCHED // 4, BATCHED // 8, 0, "new"))))
            _rate(address, path, _batches(_events(4 * JOBS, JOBS, 0, "job")))
            single.append(_rate(address, path, _events(SINGLE, JOBS, 1, "job")))
            batched.append(_rate(address, path, _batches(_events(BATCHED, JOBS, 2, "job"))))
    yield Figure(f"{head}: one a request, {CLIENTS} clients, {JOBS} jobs", single, "a second")
    yield Figure(f"{head}: {AT_ONCE} a request, {JOBS} jobs", batched, "a second")
    yield Figure(f"{head}: {AT_ONCE} a request, every job and dataset new", new, "a second")
    path = folder / "long.db"
    with running_service(f"sqlite:///{path}") as address:
        for state in ("RUNNING", "COMPLETE"):
            events = _one_job(LONG, state)
            rates = [_rate(address, path, _batches(events[first : first + PART])) for first in range(0, LONG, PART)]
            what = "one run of 50,000" if state == "RUNNING" else "one job of 50,000 runs"
            yield Figure(f"{head}: {what}, each 10,000 of them", rates, "a second")


def _events(many: int, jobs: int, turn: int, name: str) -> list[bytes]:
    return [
        _event(f"{name}-{number // 2 % jobs}", number // 2, "START" if number % 2 == 0 else "COMPLETE", number, turn)
        for number in range(many)
    ]


def _one_job(many: int, state: str) -> list[bytes]:
    return [_event(state, 1 if state == "RUNNING" else number, state, number, 3) for number in range(many)]


def _event(job: str, run: int, state: str, second: int, turn: int) -> bytes:
    return orjson.dumps(
        {
            "eventTime": f"2026-0{turn + 1}-{second // 86_400 + 1:02}T{second // 3600 % 24:02}:{second // 60 % 60:02}:{second % 60:02}Z",
            "producer": "https://example.org/fleet",
            "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json",
            "run": {"runId": str(uuid.UUID(int=turn << 64 | run))},
            "eventType": state,
            "job": {"namespace": "etl", "name": job},
            "inputs": [{"namespace": "wh", "name": f"in-{job}"}, {"namespace": "wh", "name": "orders"}],
            "outputs": [{"namespace": "wh", "name": f"out-{job}"}],
        }
    )


def _batches(events: Sequence[bytes]) -> list[bytes]:
    return [b"[" + b",".join(events[first : first + AT_ONCE]) + b"]" for first in range(0, len(events), AT_ONCE)]


def _rate(address: str, store: Path, bodies: list[bytes]) -> float:
    """Events a second, from the first that is kept until nothing waits to be folded."""
    events = sum(len(orjson.loads(body)) if body.startswith(b"[") else 1 for body in bodies)
    sender = multiprocessing.get_context("spawn").Process(target=_send, args=(address, bodies))
    with sqlite3.connect(store) as db:
        (before,) = db.execute("SELECT count(*) FROM event").fetchone()
        sender.start()
        first: int = before
        while first == before:  # it has to start
            time.sleep(0.001)
            (first,) = db.execute("SELECT count(*) FROM event").fetchone()
        begin = time.perf_counter()
        sender.join()
        assert sender.exitcode == 0, "not everything was taken"
        while db.execute("SELECT EXISTS (SELECT 1 FROM event WHERE folded = 0)").fetchone()[0]:
            time.sleep(0.01)
        taken = time.perf_counter() - begin
        assert db.execute("SELECT count(*) FROM event").fetchone()[0] == before + events
    return float(before + events - first) / taken


def _send(address: str, bodies: list[bytes]) -> None:
    path = "/api/v1/lineage/batch" if bodies[0].startswith(b"[") else "/api/v1/lineage"
    clients = 2 if path.endswith("batch") else CLIENTS

    def some(first: int) -> None:
        client = http.client.HTTPConnection(urlsplit(address).netloc, timeout=60)
        client.connect()
        client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for body in bodies[first::clients]:
            while True:
                client.request("POST", path, body, {"Content-Type": "application/json"})
                answer = client.getresponse()
                text = answer.read()
                if answer.status != 503:
                    break
                time.sleep(0.1)  # more than can wait were sent
            assert answer.status in (200, 201), text

    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(some, range(clients)))
