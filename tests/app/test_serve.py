"""The service as a process: its start, its stop, and what it does to slow clients."""

import asyncio
import hashlib
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from app.identity import Kind, Role, create_token
from app.settings import variable
from graph.stores.sqlite import SqliteStore

T = TypeVar("T")

ROOT = Path(__file__).parents[2]
PATIENCE = 60.0
PROTOCOL = Subprotocol("graphql-transport-ws")


@dataclass
class Service:
    process: subprocess.Popen[bytes]
    log: Path

    def text(self) -> str:
        return self.log.read_text(encoding="utf-8")

    @property
    def port(self) -> int:
        return int(self.until(lambda: re.search(r"listens at http://127\.0\.0\.1:(\d+)", self.text()))[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def until(self, found: Callable[[], T | None]) -> T:
        deadline = time.monotonic() + PATIENCE
        while True:
            result = found()
            if result:
                return result
            assert self.process.poll() is None, self.text()
            assert time.monotonic() < deadline, self.text()

    def until_ready(self) -> None:
        url = self.url
        self.until(lambda: httpx.get(f"{url}/readyz").status_code == 200 or None)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)


Start = Callable[..., Service]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[Service] = []

    def start(*, ready: bool = True, descriptors: int = 1024, **settings: object) -> Service:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("HEADWATER_")}
        environment |= {"HEADWATER_STORE": f"sqlite:///{tmp_path / 'lineage.db'}", "HEADWATER_PORT": "0"}
        environment |= {variable(name): str(value) for name, value in settings.items()}
        log = tmp_path / f"log{len(started)}"
        with log.open("wb") as file:
            process = subprocess.Popen(
                ["sh", "-c", f'ulimit -n {descriptors} && exec "$0" -m app', sys.executable],
                cwd=ROOT,
                env=environment,
                stdout=file,
                stderr=file,
            )
        service = Service(process, log)
        started.append(service)
        if ready:
            service.until_ready()
        return service

    yield start
    for service in started:
        if service.process.poll() is None:
            service.process.kill()
        service.process.wait(PATIENCE)


def opened(service: Service) -> socket.socket:
    return socket.create_connection(("127.0.0.1", service.port), PATIENCE)


def received(connection: socket.socket) -> bytes:
    """All until the other side closes, or has enough."""
    parts = []
    with suppress(ConnectionResetError):
        while part := connection.recv(65_536):
            parts.append(part)
    return b"".join(parts)


def test_the_first_line_says_where_what_and_for_whom(start: Start) -> None:
    service = start(log_format="console")
    line = service.text().splitlines()[0]
    assert f"Headwater listens at http://127.0.0.1:{service.port} · store sqlite:///" in line
    assert "open to everyone on this machine: no HEADWATER_TOKENS_FILE" in line


def test_a_stop_finishes_the_running_request_and_is_a_success(start: Start) -> None:
    service = start()
    body = json.dumps({"query": "{ __typename }"}).encode()
    with opened(service) as connection:
        connection.sendall(
            b"POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body)
        )
        assert connection.recv(100).startswith(b"HTTP/1.1 100 ")  # the service waits for the body
        service.process.send_signal(signal.SIGTERM)
        service.until(lambda: '"stopping"' in service.text() or None)
        connection.sendall(body)
        answer = received(connection)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b'{"data":{"__typename":"Query"}}')
    assert service.process.wait(PATIENCE) == 0
    assert "error" not in service.text()


def test_a_stop_ends_streams_of_events_and_sockets_at_once(start: Start) -> None:
    service = start(shutdown_seconds=40)
    asked = {"query": "subscription { changes { __typename } }"}
    events = {"Accept": "text/event-stream"}

    async def until_stopped() -> tuple[int, float]:
        async with (
            connect(f"ws://127.0.0.1:{service.port}/graphql", subprotocols=[PROTOCOL]) as socket_,
            httpx.AsyncClient(timeout=PATIENCE) as http,
            http.stream("POST", f"{service.url}/graphql", json=asked, headers=events) as stream,
        ):
            assert stream.status_code == 200
            await socket_.send(json.dumps({"type": "connection_init"}))
            await socket_.recv()
            await socket_.send(json.dumps({"id": "1", "type": "subscribe", "payload": asked}))
            begin = time.monotonic()
            service.process.send_signal(signal.SIGTERM)
            with pytest.raises(ConnectionClosed) as closed:
                await socket_.recv()
            async for _ in stream.aiter_lines():  # raises if the stream is cut instead of ended
                pass
            assert closed.value.rcvd is not None
            return closed.value.rcvd.code, begin

    code, begin = asyncio.run(until_stopped())
    assert code == 1012
    assert service.process.wait(PATIENCE) == 0
    assert time.monotonic() - begin < 20
    assert "error" not in service.text()


def test_it_starts_again_after_a_kill(start: Start) -> None:
    first = start()
    first.process.kill()
    first.process.wait(PATIENCE)
    start()


def test_a_request_that_does_not_arrive_is_not_waited_for(start: Start) -> None:
    service = start(receive_timeout_seconds=0.5)
    begun = [
        b"",
        b"POST /graphql HTTP/1.1\r\n",
        b"POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{",
    ]
    for part in begun:
        with opened(service) as connection:
            connection.sendall(part)
            assert received(connection) == b""
    # Nor is the second request on a connection.
    with opened(service) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET /he")
        assert received(connection).count(b"HTTP/1.1 200") == 1


def test_a_large_upload_has_time_as_long_as_it_keeps_coming(start: Start) -> None:
    service = start(receive_timeout_seconds=1)
    content = b"x" * (1 << 20)

    def arriving() -> Iterator[bytes]:
        for _ in range(6):
            yield content
            time.sleep(0.4)

    sha256 = hashlib.sha256(6 * content).hexdigest()
    answer = httpx.put(f"{service.url}/api/v1/artifacts/{sha256}", content=arriving(), timeout=PATIENCE)
    assert answer.status_code == 201, answer.text
    assert answer.json()["bytes"] == 6 << 20


@pytest.mark.skipif(sys.platform == "win32", reason="has no resource limits")
def test_many_slow_clients_leave_room_for_a_quick_one(start: Start) -> None:
    service = start(receive_timeout_seconds=60, descriptors=256)
    slow = []
    try:
        for _ in range(400):
            slow.append(opened(service))
            slow[-1].sendall(b"POST /graphql HTTP/1.1\r\n")
        begin = time.monotonic()
        assert httpx.get(f"{service.url}/healthz").status_code == 200
        assert time.monotonic() - begin < 5
    finally:
        for connection in slow:
            connection.close()


def test_a_store_that_cannot_be_used_ends_it(start: Start, tmp_path: Path) -> None:
    SqliteStore(tmp_path / "lineage.db").close()
    with closing(sqlite3.connect(tmp_path / "lineage.db")) as db, db:
        db.execute("UPDATE migration SET checksum = 'other' WHERE number = 1")
    service = start(ready=False)
    assert service.process.wait(PATIENCE) == 3
    assert "was changed by hand" in service.text().splitlines()[-1]


def test_the_log_is_json_without_secrets(start: Start, tmp_path: Path) -> None:
    token = create_token(tmp_path / "tokens.json", "ada", Role.READER, Kind.PERSON)
    service = start(tokens_file=tmp_path / "tokens.json", log_level="debug")
    asked = {"query": "{__typename}"}
    headers = {"Authorization": f"Bearer {token}", "X-Request-Id": "seven"}
    assert httpx.get(f"{service.url}/graphql", params=asked, headers=headers).status_code == 200
    assert service.stop() == 0
    events = [json.loads(line) for line in service.text().splitlines()]
    assert all({"event", "level", "logger", "timestamp"} <= event.keys() for event in events)
    (event,) = [event for event in events if event.get("request_id") == "seven" and event["logger"] == "app.requests"]
    assert (event["path"], event["status"], event["principal"]) == ("/graphql", 200, "ada")
    assert str(token) not in service.text()
    assert "__typename" not in service.text()


# WebSockets


async def first_answers(url: str, init: dict[str, object], headers: dict[str, str] | None = None) -> str:
    """What the service says to a socket's first message, and to a query after it."""
    async with connect(
        f"{url.replace('http', 'ws')}/graphql", subprotocols=[PROTOCOL], additional_headers=headers
    ) as socket_:
        try:
            await socket_.send(json.dumps({"type": "connection_init", "payload": init}))
            await socket_.recv()
            asked = {"id": "1", "type": "subscribe", "payload": {"query": "{ __typename }"}}
            await socket_.send(json.dumps(asked))
            return str(await socket_.recv())
        except ConnectionClosed as closed:
            return f"{closed.rcvd.code} {closed.rcvd.reason}" if closed.rcvd else "cut"


def test_a_socket_is_identified_by_its_handshake_or_its_first_message(start: Start, tmp_path: Path) -> None:
    token = create_token(tmp_path / "tokens.json", "ada", Role.READER, Kind.PERSON)
    assert token is not None
    service = start(tokens_file=tmp_path / "tokens.json")

    def answer(init: dict[str, object], headers: dict[str, str] | None = None) -> str:
        return asyncio.run(first_answers(service.url, init, headers))

    bearer = f"Bearer {token}"
    for init in ({"Authorization": bearer}, {"authorization": bearer}, {"token": token}):
        assert '"__typename":"Query"' in answer(dict(init)).replace(" ", "")
    assert '"__typename":"Query"' in answer({}, {"Authorization": bearer}).replace(" ", "")
    for refused in ({}, {"token": "hw_wrong"}, {"Authorization": token}, {"token": 7}):
        assert answer(dict(refused)).startswith("4403")
    assert token not in service.text()
