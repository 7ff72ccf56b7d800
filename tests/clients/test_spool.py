"""What is recorded while the service is away: on disk, in order, once, and never lost without a word."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import headwater.spool
import pytest
from headwater import AccessRefused, Client, Refused, Spool, SpoolFull

from tests.clients.remembering import Server, remembering
from tests.service import free_port

TAKEN = {"data": {"registered": {"__typename": "Registered", "changed": True, "revision": 1}}}


@pytest.fixture(autouse=True)
def nothing_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(headwater.transport, "FIRST_WAIT_SECONDS", 0.0)
    monkeypatch.setattr(headwater.spool, "QUIET_SECONDS", 0.0)


def dataset(name: str) -> dict[str, Any]:
    return {"datasets": [{"namespace": "shop", "name": name}]}


def sent(server: Server) -> list[str]:
    """The names of the datasets, in order."""
    return [
        json.loads(body)["variables"]["manifest"]["datasets"][0]["name"]
        for path, _, body in server.requests
        if path.endswith("/graphql")
    ]


def test_what_was_recorded_meanwhile_is_sent_in_order_under_its_operation_ids(tmp_path: Path) -> None:
    port = free_port()
    with Client(f"http://127.0.0.1:{port}", spool=tmp_path / "spool.db") as client:
        first = client.record(dataset("a"))
        second = client.record(dataset("b"))
        client.record_lines([{"asset": "dataset:shop/c"}, b'{"asset": "dataset:shop/d"}'])
        client.record_event({"eventTime": "2026-01-01T00:00:00Z"})
        client.record_artifact(b"model")
        assert not first.sent
        assert client.spool.waiting == 5
        assert client.flush().stopped_by is not None
        with remembering(port) as server:
            done = {"done": {"committed": 2}}
            server.answers = [(200, TAKEN), (200, TAKEN), (200, done), (201, {}), (201, {})]
            assert client.flush().sent == 5
            assert [path.split("?")[0] for path, _, _ in server.requests] == [
                "POST /graphql",
                "POST /graphql",
                "POST /api/v1/bulk",
                "POST /api/v1/lineage",
                "PUT /api/v1/artifacts/9372c470eeadd5ecd9c3c74c2b3cb633f8e2f2fad799250a0f70d652b6b825e4",
            ]
            assert sent(server) == ["a", "b"]
            envelopes = [json.loads(server.requests[place][2])["variables"]["envelope"] for place in (0, 1)]
            assert [each["operationId"] for each in envelopes] == [*first.operations, *second.operations]
            assert all(each["validFrom"] for each in envelopes), "when it was recorded, not when it was sent"
            assert client.flush().sent == 0


def test_an_answer_that_is_lost_is_asked_for_again_under_the_same_id(tmp_path: Path) -> None:
    with remembering() as server, Client(server.address, spool=tmp_path / "spool.db") as client:
        server.answers = [(504, {"error": "too slow"}), (200, TAKEN)]
        assert not client.record(dataset("a")).sent
        assert client.record(dataset("b")).sent
        assert sent(server) == ["a", "a", "b"], "nothing overtakes what waits"
        ids = [json.loads(body)["variables"]["envelope"]["operationId"] for _, _, body in server.requests]
        assert ids[0] == ids[1] != ids[2]


def test_what_is_refused_does_not_hold_up_the_rest_and_can_be_read(tmp_path: Path) -> None:
    port = free_port()
    with Client(f"http://127.0.0.1:{port}", spool=tmp_path / "spool.db") as client:
        for name in ("bad", "good"):
            client.record(dataset(name))
        with remembering(port) as server:
            problem = {"__typename": "InvalidInput", "problem": "`bad` is not a name"}
            refusal = {"data": {"registered": problem}}
            server.answers = [(200, refusal), (200, TAKEN), (200, refusal), (200, TAKEN)]
            flushed = client.flush()
            assert (flushed.sent, flushed.refused, flushed.waiting) == (1, 1, 0)
            assert [each.reason for each in client.spool.refused()] == ["`bad` is not a name"]
            with pytest.raises(Refused, match="is not a name"):
                client.record(dataset("bad at once"))
            assert len(client.spool.refused()) == 1, "whoever sent the second heard of it"
            assert client.flush(refused=True).sent == 1
            assert client.spool.refused() == []


def test_a_wrong_token_and_a_fault_of_the_service_keep_all(tmp_path: Path) -> None:
    with remembering() as server, Client(server.address, spool=tmp_path / "spool.db") as client:
        server.answers = [(401, {"error": "no token"})]
        with pytest.raises(AccessRefused):
            client.record(dataset("a"))
        server.answers = [(500, {"error": "a fault"})]
        assert "a fault" in str(client.flush().stopped_by)
        assert client.spool.waiting == 1


def test_a_full_spool_says_so_and_counts(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.db", limit_bytes=500)
    with Client(f"http://127.0.0.1:{free_port()}", spool=spool) as client:
        client.record(dataset("a"))
        with pytest.raises(SpoolFull, match="of at most 500 bytes"):
            client.record(dataset("b" * 300))
        assert (spool.waiting, spool.dropped) == (1, 1)
        assert Spool(spool.path).dropped == 1


def test_without_a_disk_it_is_sent_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with remembering() as server, Client(server.address, spool=tmp_path / "file" / "spool.db") as client:
        server.answers = [(200, TAKEN)]
        assert client.record(dataset("a")).sent


RECORD = """
import sys
from headwater import Client
client = Client(sys.argv[1], spool=sys.argv[2])
for number in range(1000):
    client.record({"datasets": [{"namespace": "shop", "name": str(number)}]})
    print(number, flush=True)
"""


def test_what_was_recorded_before_a_process_was_killed_is_there(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    command = [sys.executable, "-c", RECORD, url, str(tmp_path / "spool.db")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "")
        for line in lines:
            if line.strip() == "20":
                break
        os.kill(process.pid, signal.SIGKILL)
        said = max([20, *(int(line) for line in lines)])
    names = kept(tmp_path / "spool.db")
    assert names == [str(number) for number in range(len(names))]
    assert len(names) > said


def kept(path: Path) -> list[str]:
    """Sends all to a server that remembers it."""
    with remembering() as server, Client(server.address, spool=path) as client:
        server.answers = [(200, TAKEN)]
        client.flush()
        return sent(server)


def record_some(url: str, path: str, name: str) -> None:
    with Client(url, spool=path) as client:
        for number in range(10):
            client.record(dataset(f"{name}.{number}"))


@pytest.mark.parametrize("is_there", [False, True])
def test_processes_share_it_and_each_entry_is_sent_once(tmp_path: Path, is_there: bool) -> None:
    path = tmp_path / "spool.db"
    with remembering() as server:
        server.answers = [(200, TAKEN)]
        url = server.address if is_there else f"http://127.0.0.1:{free_port()}"
        context = multiprocessing.get_context("spawn")
        processes = [context.Process(target=record_some, args=(url, str(path), name)) for name in "xyz"]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
            assert process.exitcode == 0
        names = sent(server) + kept(path)
    assert sorted(names) == sorted(f"{name}.{number}" for name in "xyz" for number in range(10))
    for name in "xyz":
        assert [each for each in names if each.startswith(name)] == [f"{name}.{number}" for number in range(10)]
