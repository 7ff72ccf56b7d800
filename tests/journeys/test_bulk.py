"""A catalogue is loaded from a file of lines over HTTP; the service is killed in the middle, and the same file sent again."""

import json
import os
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from headwater import Client, Unreachable
from headwater.cli import app as command
from typer.testing import CliRunner

from tests.service import ROOT, free_port, plain_environment, running_service, wait_until_ready

pytestmark = pytest.mark.timeout(300)

LENGTH = 2500
"""Of a chain of datasets: enough for several commits."""

PROGRESS = """query($id: ID!) { bulkOperation(id: $id) {
    state lines refused committed revision problems { line field message } } }"""


@pytest.fixture(params=["sqlite", pytest.param("neo4j", marks=pytest.mark.neo4j)])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    found = f"sqlite:///{tmp_path}/lineage.db" if request.param == "sqlite" else request.getfixturevalue("neo4j_url")
    return str(found)


@contextmanager
def killable(store_url: str, **settings: object) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    port = free_port()
    given = {"store": store_url, "port": port, **settings}
    environment = plain_environment() | {f"HEADWATER_{name.upper()}": str(value) for name, value in given.items()}
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen([sys.executable, "-m", "app"], cwd=ROOT, env=environment, stderr=log)
        try:
            wait_until_ready(process, f"http://127.0.0.1:{port}", log.fileno())
            yield process, f"http://127.0.0.1:{port}"
        finally:
            process.kill()
            process.wait()


def chain(namespace: str, length: int) -> list[dict[str, Any]]:
    """Datasets that each feed the next, flows before the assets that they join."""
    flows = [
        {"flow": {"from": f"dataset:{namespace}/t{place}", "to": f"dataset:{namespace}/t{place + 1}"}}
        for place in range(length - 1)
    ]
    return flows + [{"asset": f"dataset:{namespace}/t{place}", "owners": ["team"]} for place in range(length)]


def downstream(client: Client, start: str) -> list[str]:
    return [row.key for row in client.impact(start)]


def test_a_killed_operation_goes_on_under_its_id_and_doubles_nothing(store_url: str) -> None:
    namespace, operation = f"bulk-{uuid.uuid4().hex[:12]}", str(uuid.uuid4())
    lines = chain(namespace, LENGTH)
    with killable(store_url) as (process, url), Client(url, timeout=120) as client, ThreadPoolExecutor(1) as pool:
        sent = pool.submit(client.bulk, lines, f"import:{namespace}", operation)
        committed = 0
        while not committed:
            found = client.ask(PROGRESS, id=operation)["bulkOperation"]
            committed = 0 if found is None else found["committed"]
        process.kill()
        with pytest.raises(Unreachable, match=operation):
            sent.result()
    assert 0 < committed < len(lines)
    with running_service(store_url) as url, Client(url, timeout=120) as client:
        head = client.ask("{ head { revision } }")["head"]["revision"]
        done = client.bulk(reversed(lines), f"import:{namespace}", operation)
        assert (done["committed"], done["refused"], done["errors"]) == (len(lines), 0, [])
        assert done["added"] == len(lines)  # of all attempts, each once
        assert done["revision"] > head
        reached = downstream(client, f"dataset:{namespace}/t0")
        assert sorted(reached) == sorted(f"dataset:{namespace}/t{place}" for place in range(1, LENGTH))
        again = client.bulk(lines, f"import:{namespace}", operation)
        assert again["revision"] == done["revision"] == client.ask("{ head { revision } }")["head"]["revision"]
        anew = client.bulk(lines, f"import:{namespace}")
        assert (anew["added"], anew["updated"], anew["committed"]) == (0, 0, len(lines))
        assert anew["revision"] == done["revision"]


def test_progress_is_seen_from_elsewhere_and_outlives_whoever_sent_the_lines(store_url: str) -> None:
    namespace, operation = f"bulk-{uuid.uuid4().hex[:12]}", str(uuid.uuid4())
    lines = [{"asset": "dataset:wrong"}, *chain(namespace, 2000)]
    body = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    with running_service(store_url, shutdown_seconds=5) as url, Client(url) as client:
        with httpx.stream(
            "POST",
            f"{url}/api/v1/bulk",
            params={"operation": operation, "origin": f"import:{namespace}"},
            content=body,
            headers={"Content-Type": "application/x-ndjson"},
            timeout=60,
        ) as answer:
            first = json.loads(next(answer.iter_lines()))
            assert first["error"]["line"] == 1
        seen = [client.ask(PROGRESS, id=operation)["bulkOperation"]]
        while seen[-1]["state"] == "COMMITTING":
            seen.append(client.ask(PROGRESS, id=operation)["bulkOperation"])
        assert seen[-1]["state"] == "DONE"
        assert [each["committed"] for each in seen] == sorted(each["committed"] for each in seen)
        assert (seen[-1]["lines"], seen[-1]["refused"], seen[-1]["committed"]) == (4000, 1, 3999)
        assert [(problem["line"], problem["field"]) for problem in seen[-1]["problems"]] == [(1, "asset")]
        assert len(downstream(client, f"dataset:{namespace}/t0")) == 1999


def test_a_file_is_loaded_from_the_command_line(tmp_path: Path) -> None:
    file = tmp_path / "catalogue.ndjson"
    file.write_text("\n".join(json.dumps(line) for line in [*chain("cli", 5), {"asset": "dataset:cli/t0", "tags": 7}]))
    with running_service(f"sqlite:///{tmp_path}/lineage.db") as url:
        arguments = ["bulk", str(file), "--origin", "import:cli", "--url", url]
        ended = CliRunner().invoke(command, arguments, catch_exceptions=False)
        assert ended.exit_code == 2
        assert f"{file}:10: tags: tags of dataset:cli/t0 is 7" in ended.stderr
        assert "9 lines taken, 1 refused: 9 added, 0 changed, 0 withdrawn; revision" in " ".join(ended.stdout.split())
        file.write_text("\n".join(json.dumps(line) for line in chain("cli", 5)))
        ended = CliRunner().invoke(command, [*arguments, "--output", "json"], catch_exceptions=False)
        assert (ended.exit_code, json.loads(ended.stdout)["committed"]) == (0, 9)
        ended = CliRunner().invoke(command, ["bulk", str(file), "--origin", "gateway", "--url", url])
        assert ended.exit_code == 2
        assert "is this service's own" in ended.stderr
    ended = CliRunner().invoke(command, arguments)
    assert ended.exit_code == 4


@pytest.mark.long
def test_a_large_file_takes_bounded_memory(tmp_path: Path) -> None:
    """The service's resident memory grows by what the graph holds, not by the length of the body."""
    repeated = [
        json.dumps({"asset": f"dataset:mem/t{place}", "attributes": {"note": "x" * 500}}) + "\n" for place in range(500)
    ]
    with killable(f"sqlite:///{tmp_path}/lineage.db") as (process, url), Client(url, timeout=300) as client:
        client.bulk(repeated)
        before = _resident(process.pid)
        done = client.bulk(line for _ in range(600) for line in repeated)  # 170 MB
        assert (done["committed"], done["added"]) == (300_000, 0)
        assert _resident(process.pid) - before < 64 << 20


def _resident(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
