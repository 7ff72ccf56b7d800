"""Nobody is worked for who has left: over real connections, which close in the middle."""

import gc
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from app.compose import furnish, now
from app.hosting import Hosted
from app.identity import OpenTokens
from app.main import create_app
from app.metrics import Metrics
from app.service import LARGE, LONG_WORKERS, Headwater
from app.settings import Settings
from graph.summary import Table
from graph.walk import Direction, walk
from tests.graph.world import World, flow, k
from tests.service import in_thread

PATIENCE = 30.0
START = "dataset:w/a"
COLUMNS = json.dumps({"query": f'{{ lineage(start: "{START}") {{ ... on Lineage {{ columns }} }} }}'}).encode()
EXPORT = f"GET /api/v1/lineage.ndjson?start={START} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
QUESTION = (
    b"POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    + f"Content-Length: {len(COLUMNS)}\r\n\r\n".encode()
    + COLUMNS
)


class Endless:
    """In the place of a form: pieces without end."""

    def __init__(self) -> None:
        self.begun, self._stopped = threading.Event(), threading.Event()
        self.made = 0

    def __call__(self, _: Table) -> Iterator[bytes]:
        try:
            while True:
                self.begun.set()
                self.made += 65_536
                yield b" " * 65_536
        finally:
            self._stopped.set()

    def stops(self) -> bool:
        """Nobody holds it any more: whoever did would go on with it."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end and not self._stopped.wait(0.02):
            gc.collect()
        return self._stopped.is_set()


@pytest.fixture
def endless(monkeypatch: pytest.MonkeyPatch) -> Endless:
    made = Endless()
    monkeypatch.setattr("app.http.exports.json_lines", made)
    monkeypatch.setattr("app.graphql.lineage.json_columns", made)
    return made


@pytest.fixture
def headwater(tmp_path: Path) -> Iterator[Headwater]:
    world = World(tmp_path)
    world.register(flow(START, "dataset:w/b"))
    yield Headwater(world.store, world.index, now)
    world.store.close()


Serve = Callable[..., str]


@pytest.fixture
def serve(headwater: Headwater) -> Iterator[Serve]:
    stopping: list[Callable[[], object]] = []

    def serve(**settings: object) -> str:
        given = Settings(**settings)  # type: ignore[arg-type]
        rooms = furnish(given, now, Metrics())
        running = in_thread(create_app(Hosted(headwater), OpenTokens(), given, rooms))
        stopping.append(lambda: running.__exit__(None, None, None))
        return running.__enter__()

    yield serve
    for stop in stopping:
        stop()


def connected(address: str, request: bytes) -> socket.socket:
    where = urlsplit(address)
    client = socket.create_connection((str(where.hostname), int(where.port or 0)))
    client.sendall(request)
    return client


@pytest.mark.parametrize("request_", [EXPORT, QUESTION], ids=["export", "graphql"])
def test_a_client_that_leaves_stops_what_is_made_for_it(serve: Serve, endless: Endless, request_: bytes) -> None:
    client = connected(serve(), request_)
    assert endless.begun.wait(PATIENCE)
    client.close()
    assert endless.stops()


def test_a_client_that_does_not_read_is_not_made_for(serve: Serve, endless: Endless) -> None:
    """What the sockets hold, and no more, is in memory."""
    with connected(serve(), EXPORT):
        assert endless.begun.wait(PATIENCE)
        before = -1
        while before != endless.made:
            before = endless.made
            threading.Event().wait(0.3)
        assert before < 100_000_000
    assert endless.stops()


def test_when_the_time_is_up_the_work_stops(serve: Serve, endless: Endless) -> None:
    headers = {"Content-Type": "application/json"}
    refused = httpx.post(f"{serve(request_timeout_seconds=0.3)}/graphql", content=COLUMNS, headers=headers, timeout=60)
    assert refused.status_code == 503
    assert endless.stops()


@pytest.mark.parametrize("request_", [EXPORT, QUESTION], ids=["export", "graphql"])
def test_who_leaves_while_waiting_is_not_begun_for_and_what_is_short_waits_for_nobody(
    serve: Serve, headwater: Headwater, monkeypatch: pytest.MonkeyPatch, request_: bytes
) -> None:
    begun, go_on, walks = threading.Semaphore(0), threading.Event(), 0

    def held(*arguments: object) -> object:
        nonlocal walks
        walks += 1
        begun.release()
        assert go_on.wait(PATIENCE)
        return walk(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr("app.asking.walk", held)
    headwater.sizes.found((k(START), Direction.DOWNSTREAM, None), LARGE)
    address = serve()
    workers = LONG_WORKERS
    working = [connected(address, EXPORT) for _ in range(workers)]
    for _ in working:
        assert begun.acquire(timeout=PATIENCE)
    connected(address, request_).close()
    light = httpx.post(
        f"{address}/graphql", json={"query": f'{{ asset(key: "{START}") {{ flowsOut {{ nodes {{ timing }} }} }} }}'}
    )
    assert light.json()["data"]["asset"]["flowsOut"]["nodes"] == [{"timing": "LIVE"}]
    go_on.set()
    for client in working:
        assert b'"total":1' in until_end(client)
    assert walks == workers


def until_end(client: socket.socket) -> bytes:
    received = b""
    while b"\r\n0\r\n\r\n" not in received:
        received += client.recv(65_536)
    client.close()
    return received


def test_of_many_that_ask_the_same_for_the_first_time_one_takes_the_place_of_what_is_short(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on, walks = threading.Event(), threading.Event(), 0

    def held(*arguments: object) -> object:
        nonlocal walks
        walks += 1
        begun.set()
        assert go_on.wait(PATIENCE)
        return walk(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr("app.asking.walk", held)
    address = serve()
    asking = [connected(address, EXPORT) for _ in range(20)]
    assert begun.wait(PATIENCE)
    light = httpx.post(f"{address}/graphql", json={"query": f'{{ asset(key: "{START}") {{ title }} }}'})
    assert light.json()["data"]["asset"] == {"title": "a"}
    assert walks == 1
    go_on.set()
    for client in asking:
        assert b'"total":1' in until_end(client)
    assert walks == len(asking)
