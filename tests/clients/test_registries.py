"""What the client fetches of MLflow and reads of Feast, and what it says where it cannot."""

import base64
import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from headwater import feast, mlflow
from headwater.errors import AccessRefused, DocumentUnreadable, Refused, Unreachable
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from graph.importers.feast import read_feast
from graph.importers.mlflow import read_mlflow
from tests.service import free_port, in_thread

API = "/api/2.0/mlflow"


@pytest.fixture(autouse=True)
def nobody_is_signed_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("USERNAME", "PASSWORD", "TOKEN", "INSECURE_TLS", "SERVER_CERT_PATH", "CLIENT_CERT_PATH", "URI"):
        monkeypatch.delenv(f"MLFLOW_TRACKING_{name}", raising=False)
    monkeypatch.delenv("MLFLOW_WORKSPACE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(mlflow, "FIRST_WAIT_SECONDS", 0.01)


class FakeMlflow:
    """The few answers that are asked for, two items a page."""

    def __init__(self) -> None:
        self.seen: list[Request] = []
        self.answers: list[Response] = []
        """To be given first, whatever is asked."""
        self.instead: tuple[str, Any] = ("", None)
        """A path, and what is said there instead."""
        self.is_away = False
        """From when runs are asked for."""
        self.versions = [
            {"name": "m", "version": str(n), "run_id": "", "source": f"models:/m-{n}"} for n in range(1, 6)
        ]

    def app(self) -> Starlette:
        return Starlette(routes=[Route("/{path:path}", self.answer)])

    async def answer(self, request: Request) -> Response:
        self.seen.append(request)
        if self.answers:
            return self.answers.pop(0)
        path, asked = request.url.path, request.query_params
        if self.instead[0] and path.endswith(self.instead[0]):
            return JSONResponse(self.instead[1])
        if self.is_away and path.endswith("/runs/get"):
            return PlainTextResponse("", 503)
        if path.endswith("/registered-models/search"):
            return JSONResponse({"registered_models": [{"name": "m"}]})
        if path.endswith("/model-versions/search"):
            start = int(asked.get("page_token", 0))
            page = self.versions[max(0, start - 1) : start + 2]  # the first once more: something was deleted
            more = {"next_page_token": str(start + 2)} if start + 2 < len(self.versions) else {}
            return JSONResponse({"model_versions": page, **more})
        if "/logged-models/" in path:
            number = int(path.rpartition("-")[2])
            if number == 5:
                return JSONResponse({"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "gone"}, 404)
            info = {"model_id": f"m-{number}", "source_run_id": f"{number:032x}"}
            return JSONResponse({"model": {"info": info}})
        if path.endswith("/runs/get"):
            tags = [{"key": "feast.feature_refs", "value": "v:a,v:..."}]
            return JSONResponse(
                {"run": {"info": {"run_id": asked["run_id"], "experiment_id": "7"}, "data": {"tags": tags}}}
            )
        if path.endswith("/experiments/get"):
            return JSONResponse({"experiment": {"experiment_id": "7", "name": "e"}})
        if path == "/get-artifact":
            return JSONResponse(["v:a", "v:b"])
        if path == "/model-versions/get-artifact":
            if asked["version"] == "2":
                return PlainTextResponse("broken: [", 200)
            if asked["version"] == "3":
                return PlainTextResponse("no such bucket", 500)
            return PlainTextResponse('signature: {inputs: \'[{"name": "x", "type": "double"}]\', outputs: null}')
        return PlainTextResponse("<html>", 404)


@pytest.fixture
def server() -> Iterator[tuple[FakeMlflow, str]]:
    fake = FakeMlflow()
    with in_thread(fake.app()) as address:
        yield fake, address


def fetched(address: str) -> dict[str, Any]:
    return mlflow.fetched(address, 30, lambda _: None)


def test_all_pages_are_fetched_and_what_comes_twice_is_taken_once(server: tuple[FakeMlflow, str]) -> None:
    _, address = server
    found = fetched(address)
    assert [each["version"] for each in found["model_versions"]] == ["1", "2", "3", "4", "5"]
    assert ["signature" in each for each in found["model_versions"]] == [True, False, False, True, True]
    assert [run["feast_features"] for run in found["runs"]] == [["v:a", "v:b"]] * 4, "all but the run of a lost model"
    assert found["experiments"] == [{"experiment_id": "7", "name": "e"}]
    said = read_mlflow(found)
    assert said.taken is not None, "a server's answers are dated"
    assert len([each for each in said.assets if each.key.kind.value == "run"]) == 4


def test_an_empty_registry_is_one(server: tuple[FakeMlflow, str]) -> None:
    fake, address = server
    fake.answers = [JSONResponse({}), JSONResponse({})]
    assert fetched(address)["model_versions"] == []


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, None),
        ({"MLFLOW_TRACKING_TOKEN": "t"}, "Bearer t"),
        (
            {"MLFLOW_TRACKING_USERNAME": "ann", "MLFLOW_TRACKING_PASSWORD": "x", "MLFLOW_TRACKING_TOKEN": "t"},
            "Basic " + base64.b64encode(b"ann:x").decode(),
        ),
    ],
)
def test_who_signs_in_is_read_as_mlflows_own_client_does(
    server: tuple[FakeMlflow, str], monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], expected: str | None
) -> None:
    fake, address = server
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    fetched(address)
    assert {request.headers.get("authorization") for request in fake.seen} == {expected}


def test_credentials_are_read_from_mlflows_file(
    server: tuple[FakeMlflow, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake, address = server
    (tmp_path / ".mlflow").mkdir()
    kept = tmp_path / ".mlflow/credentials"
    kept.write_text("[mlflow]\nmlflow_tracking_username = bob\nmlflow_tracking_password = a%b\n")
    monkeypatch.setenv("MLFLOW_WORKSPACE", "risk")
    fetched(address)
    told = {(request.headers["authorization"], request.headers["x-mlflow-workspace"]) for request in fake.seen}
    assert told == {("Basic " + base64.b64encode(b"bob:a%b").decode(), "risk")}
    kept.write_text("nonsense")
    with pytest.raises(DocumentUnreadable, match=r"~/.mlflow/credentials"):
        fetched(address)


def test_a_password_in_the_address_is_used_and_never_told(server: tuple[FakeMlflow, str]) -> None:
    fake, address = server
    found = fetched(address.replace("http://", "http://ann:secret@"))
    assert "secret" not in json.dumps(found)
    assert fake.seen[0].headers["authorization"] == "Basic " + base64.b64encode(b"ann:secret").decode()
    with pytest.raises(Unreachable) as refused:
        fetched(f"http://ann:secret@127.0.0.1:{free_port()}")
    assert "secret" not in str(refused.value)


def test_what_goes_wrong_is_told(server: tuple[FakeMlflow, str]) -> None:
    fake, address = server
    fake.answers = [JSONResponse({"message": "who are you?"}, 401)]
    with pytest.raises(AccessRefused, match=r"who are you.*MLFLOW_TRACKING_TOKEN"):
        fetched(address)
    fake.answers = [JSONResponse({"error_code": "BAD", "message": "no such parameter"}, 400)]
    with pytest.raises(Refused, match="no such parameter"):
        fetched(address)
    fake.answers = [PlainTextResponse("<html>")]
    with pytest.raises(DocumentUnreadable, match="does not answer as MLflow does"):
        fetched(address)
    fake.answers = [PlainTextResponse("busy", 503)] * 4
    with pytest.raises(Unreachable, match="answers 503: Service Unavailable"):
        fetched(address)
    fake.answers = [PlainTextResponse("busy", 503)] * 3
    assert fetched(address)["model_versions"], "what passes is waited for"
    with pytest.raises(DocumentUnreadable, match=r"mlflow server --backend-store-uri \./mlruns"):
        fetched("./mlruns")


def test_when_the_server_goes_away_it_is_not_asked_for_all_the_rest(server: tuple[FakeMlflow, str]) -> None:
    fake, address = server
    fake.versions = [{"name": "m", "version": str(n), "run_id": f"{n:032x}", "source": "s3://b/m"} for n in range(300)]
    fake.is_away = True
    with pytest.raises(Unreachable):
        fetched(address)
    assert sum(request.url.path.endswith("/runs/get") for request in fake.seen) < 200


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("model-versions/search", {"model_versions": 3}),
        ("model-versions/search", {"model_versions": [3]}),
        ("runs/get", {"run": 3}),
        ("runs/get", {"run": {"info": 3}}),
        ("runs/get", {}),
        ("experiments/get", {"experiment": []}),
        ("logged-models/m-1", {"model": None}),
    ],
)
def test_what_answers_otherwise_is_no_mlflow(server: tuple[FakeMlflow, str], path: str, answer: Any) -> None:
    fake, address = server
    fake.instead = (path, answer)
    with pytest.raises(DocumentUnreadable, match="does not answer as MLflow does"):
        fetched(address)


# Feast


def _varint(number: int) -> bytes:
    made = bytearray()
    while True:
        byte, number = number & 0x7F, number >> 7
        made.append(byte | (0x80 if number else 0))
        if not number:
            return bytes(made)


def wire(*fields: tuple[int, Any]) -> bytes:
    """A message, as protocol buffers write it."""
    made = b""
    for number, value in fields:
        if isinstance(value, int):
            made += _varint(number << 3) + _varint(value)
        else:
            content = value.encode() if isinstance(value, str) else value
            made += _varint(number << 3 | 2) + _varint(len(content)) + content
    return made


TAG = wire((1, "team"), (2, "bank"))
SOURCE = wire((1, 1), (20, "orders"), (3, "at"), (11, wire((2, "s3://lake/o"))), (2, wire((1, "sum"), (2, "total"))))
VIEW = wire(
    (1, "orders"),
    (2, "shop"),
    (3, "customer"),
    (4, wire((1, "total"), (2, 6))),
    (4, wire((1, "odd"), (2, 99))),
    (5, TAG),
    (6, wire((1, 3600), (2, 500_000_000))),
    (7, SOURCE),
    (8, 1),
    (99, "of tomorrow"),
)
REGISTRY = wire((6, wire((1, VIEW))), (5, wire((1, 1_795_521_600), (2, 250_000))), (3, "1"))


def test_a_registry_file_is_read_without_feast(tmp_path: Path) -> None:
    file = tmp_path / "registry.db"
    file.write_bytes(REGISTRY)
    found = feast.document(file, None)
    (view,) = found["registry"]["featureViews"]
    assert view["spec"] == {
        "name": "orders",
        "project": "shop",
        "entities": ["customer"],
        "features": [{"name": "total", "valueType": "FLOAT"}, {"name": "odd", "valueType": 99}],
        "tags": {"team": "bank"},
        "ttl": "3600.5s",
        "batchSource": {
            "type": "BATCH_FILE",
            "name": "orders",
            "timestampField": "at",
            "fileOptions": {"uri": "s3://lake/o"},
            "fieldMapping": {"sum": "total"},
        },
        "online": True,
    }
    assert found["registry"]["lastUpdated"] == "2026-11-24T12:00:00.000250+00:00"
    assert read_feast(found).origin == "feast:shop"


def test_a_repository_says_where_its_registry_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = tmp_path / "feature_store.yaml"
    with pytest.raises(DocumentUnreadable, match=r"feature_store\.yaml: No such file"):
        feast.document(tmp_path, None)
    monkeypatch.setenv("WHERE", "here")
    store.write_text("project: shop\nregistry: {registry_type: file, path: $WHERE/registry.db}\n")
    with pytest.raises(DocumentUnreadable, match=r"here/registry\.db: No such file"):
        feast.document(tmp_path, None)
    (tmp_path / "here").mkdir()
    (tmp_path / "here/registry.db").write_bytes(REGISTRY)
    found = feast.document(tmp_path, None)
    assert (found["project"], found["repository"]) == ("shop", str(tmp_path))

    store.write_text("project: shop\nregistry: {registry_type: sql, path: 'postgresql://db/feast'}\n")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(DocumentUnreadable, match=r"registry-dump \| headwater import feast -"):
        feast.document(tmp_path, None)
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin/feast"
    command.write_text('#!/bin/sh\necho \'{"project": "shop", "args": "\'"$*"\'"}\'\n')
    command.chmod(0o755)
    found = feast.document(tmp_path, "other")
    assert found["registry"] == {"project": "shop", "args": f"-c {tmp_path} registry-dump"}
    assert (found["project"], "fetched" in found) == ("other", True)
    command.write_text("#!/bin/sh\necho 'no such database' >&2\nexit 1\n")
    with pytest.raises(DocumentUnreadable, match="registry-dump failed: no such database"):
        feast.document(tmp_path, None)
    store.write_text("{")
    with pytest.raises(DocumentUnreadable, match=r"feature_store\.yaml: "):
        feast.document(tmp_path, None)


def test_a_registry_elsewhere_is_feasts_to_read() -> None:
    with pytest.raises(DocumentUnreadable, match=r"registry-dump \| headwater import feast -"):
        feast.document(Path("s3://bucket/registry.db"), None)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b'{"project": ', "Expecting value"),
        (b"SQLite format 3\0...", "is a database"),
        (b"\x08", "is no registry of Feast"),
        (b"not a registry", "is no registry of Feast"),
        (REGISTRY[:-5], "is no registry of Feast"),
    ],
    ids=["torn JSON", "SQLite", "a tag alone", "text", "torn"],
)
def test_what_is_no_registry_is_told(tmp_path: Path, content: bytes, told: str) -> None:
    file = tmp_path / "registry.db"
    file.write_bytes(content)
    with pytest.raises(DocumentUnreadable, match=told):
        feast.document(file, None)


@settings(max_examples=300)
@given(st.lists(st.tuples(st.integers(0, len(REGISTRY) - 1), st.integers(0, 255)), max_size=4), st.binary(max_size=20))
def test_a_damaged_registry_is_read_or_refused(changes: list[tuple[int, int]], after: bytes) -> None:
    made = bytearray(REGISTRY)
    for at, byte in changes:
        made[at] = byte
    with suppress(DocumentUnreadable):
        json.dumps(feast._registry(bytes(made) + after, "it"))
