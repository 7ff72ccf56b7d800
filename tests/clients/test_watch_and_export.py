"""`headwater watch` over a restart of the service, and `headwater export` to files."""

import contextlib
import gzip
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from queue import Queue
from typing import Any

import pyarrow.ipc
import pytest
from headwater import Client
from headwater.cli import app
from typer.testing import CliRunner

from tests.clients.world import AMOUNT, CHECKOUT, ORDERS, SCORES, TOTAL, told
from tests.service import ROOT, free_port, plain_environment, running_service

PATIENCE_SECONDS = 100.0


class Watching:
    """`headwater watch --output json`, and what it has told, as it comes."""

    def __init__(self, address: str, *arguments: str) -> None:
        environment = plain_environment() | {"PYTHONPATH": str(ROOT / "clients/python"), "HEADWATER_URL": address}
        command = [sys.executable, "-m", "headwater", "watch", "--output", "json", *arguments]
        self.process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self._lines: Queue[str] = Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)

    def next(self) -> dict[str, Any]:
        event: dict[str, Any] = json.loads(self._lines.get(timeout=PATIENCE_SECONDS))
        return event

    def stopped(self) -> int:
        self.process.send_signal(signal.SIGINT)
        self.process.communicate(timeout=PATIENCE_SECONDS)
        return self.process.returncode


@contextlib.contextmanager
def watching(address: str, *arguments: str) -> Iterator[Watching]:
    made = Watching(address, *arguments)
    try:
        yield made
    finally:
        made.process.kill()
        made.process.communicate()


def say(address: str, name: str) -> int:
    with Client(address) as client:
        revision: int = client.register({"datasets": [{"namespace": "w", "name": name}]}, origin="test:watch")[
            "revision"
        ]
        return revision


@pytest.mark.long
def test_a_watch_outlives_the_service_and_misses_nothing(tmp_path: Path) -> None:
    store, port = f"sqlite:///{tmp_path}/store.db", free_port()
    with contextlib.ExitStack() as closing:
        with running_service(store, port=port) as address:
            first = say(address, "a")
            watch = closing.enter_context(watching(address, "--since", "0"))
            event = watch.next()
            assert (event["version"], event["event"], event["number"]) == (1, "revision", first)
            assert event["changes"] == [{"verb": "ADDED", "subject": "dataset:w/a", "origin": "test:watch"}]
        lost = watch.next()
        assert (lost["event"], lost["revision"]) == ("lost", first)
        with running_service(store) as elsewhere:
            missed = say(elsewhere, "b")
        with running_service(store, port=port) as address:
            regained, event = watch.next(), watch.next()
            assert (regained["event"], regained["revision"]) == ("regained", first)
            assert (event["event"], event["number"]) == ("revision", missed)
            assert say(address, "c") == watch.next()["number"]
            assert watch.stopped() == 130


def test_a_watch_of_a_service_that_was_never_there_ends_with_4() -> None:
    ended = CliRunner().invoke(app, ["watch", "--url", f"http://127.0.0.1:{free_port()}"])
    assert ended.exit_code == 4


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_service(f"sqlite:///{tmp_path_factory.mktemp('store')}/store.db") as address:
        told(address)
        yield address


def export(address: str, *arguments: str | Path, code: int = 0) -> str:
    ended = CliRunner().invoke(app, ["export", *map(str, arguments), "--url", address], catch_exceptions=False)
    assert ended.exit_code == code, ended.output
    return " ".join(ended.stderr.replace("│", " ").split()) if code else ended.stdout


def test_the_name_of_the_file_says_its_form(address: str, tmp_path: Path) -> None:
    packed = tmp_path / "orders.ndjson.gz"
    export(address, packed, "--of", ORDERS)
    lines = [json.loads(line) for line in gzip.decompress(packed.read_bytes()).splitlines()]
    assert lines[0]["lineage"]["total"] == len(lines) - 2 == 10
    export(address, tmp_path / "up.json", "--of", CHECKOUT, "--up", "--kind", "dataset", "--kind", "feature")
    assert json.loads((tmp_path / "up.json").read_text())["columns"]["key"] == [TOTAL, ORDERS]
    export(address, tmp_path / "a.arrow", "--of", AMOUNT, "--tier", "1")
    with pyarrow.ipc.open_stream((tmp_path / "a.arrow").read_bytes()) as table:
        assert table.read_all()["key"].to_pylist() == [SCORES]
    assert export(address, "-", "--form", "dot", "--of", AMOUNT).startswith("digraph lineage {")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.arrow", "orders.ndjson.gz", "up.json"]


def test_without_an_asset_it_is_the_whole_graph(tmp_path: Path) -> None:
    graph = b'{"headwater_graph":1}\n{"end":{}}\n'
    with answering(graph, "/api/v1/graph.jsonl") as address:
        export(address, tmp_path / "graph.jsonl.gz")
    assert gzip.decompress((tmp_path / "graph.jsonl.gz").read_bytes()) == graph
    assert "comes as jsonl, not as arrow" in export(address, tmp_path / "graph.arrow", code=2)
    assert "say with --of" in export(address, tmp_path / "graph.jsonl", "--up", code=2)


def test_what_was_there_stays_when_an_export_fails(address: str, tmp_path: Path) -> None:
    file = tmp_path / "orders.ndjson"
    file.write_text("what was there")
    assert "is not registered" in export(address, file, "--of", "dataset:no/where", code=2)
    assert "does not end in a form" in export(address, tmp_path / "orders", "--of", ORDERS, code=2)
    assert "there is no folder" in export(address, tmp_path / "no" / "orders.json", "--of", ORDERS, code=2)
    for cut in (b"", b'{"asset":{"key":"dataset:w/t"}}\n'):
        with answering(cut) as broken:
            assert "was cut short" in export(broken, file, "--of", ORDERS, code=4)
    assert file.read_text() == "what was there"
    assert [*tmp_path.iterdir()] == [file]


@contextlib.contextmanager
def answering(body: bytes, path: str = "") -> Iterator[str]:
    """The address of what answers so, whatever is asked, or only at this path."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if path in self.path else 404)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
