"""The Python client, against a server that remembers what it was sent and answers what it is told to."""

import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import headwater.client
import numpy as np
import pandas as pd
import pytest
from graphql import parse, validate
from headwater import AccessRefused, Client, Refused, Unreachable

from tests.service import free_port


@dataclass
class Server:
    """Answers from `answers`, each once, the last one for ever."""

    address: str = ""
    answers: list[tuple[int, object]] = field(default_factory=lambda: [(200, {})])
    requests: list[tuple[str, Mapping[str, str], bytes]] = field(default_factory=list)

    @property
    def sent(self) -> Any:
        """The body of the last request."""
        return json.loads(self.requests[-1][2])


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            server.requests.append((f"{self.command} {self.path}", dict(self.headers), body))
            status, answer = server.answers[0] if len(server.answers) == 1 else server.answers.pop(0)
            content = json.dumps(answer).encode() if not isinstance(answer, bytes) else answer
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_PUT = _answer  # noqa: N815 (http.server's own names)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        threading.Thread(target=listening.serve_forever, args=(0.01,), daemon=True).start()
        server.address = f"http://127.0.0.1:{listening.server_port}"
        yield server
        listening.shutdown()


@pytest.fixture
def client(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    for name in ("HEADWATER_URL", "HEADWATER_TOKEN", "OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(headwater.client, "_waits", lambda: iter([0.0, 0.0, 0.0]))
    with Client(server.address) as client:
        yield client


FEATURES = {
    "metadata": {"feature_names": ["bottle", "hue"]},
    "results": [
        {"values": [1, 2], "statuses": ["PRESENT", "PRESENT"], "event_timestamps": [None, None]},
        {"values": [0.5, None], "statuses": ["PRESENT", "NOT_FOUND"], "event_timestamps": [None, None]},
    ],
}


@pytest.mark.parametrize(
    "rows",
    [
        [
            {"bottle": 1, "event_timestamp": "2026-01-01T00:00:00Z"},
            {"bottle": 2, "event_timestamp": "2026-01-02T00:00:00Z"},
        ],
        {"bottle": np.array([1, 2]), "event_timestamp": ["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"]},
        pd.DataFrame({"bottle": [1, 2], "event_timestamp": ["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"]}),
    ],
    ids=["rows", "columns", "frame"],
)
def test_batch_and_online_differ_in_one_line(server: Server, client: Client, rows: Any) -> None:
    server.answers = [(200, FEATURES)]
    batch = client.get_batch_features(["chemistry:hue"], rows)
    assert server.sent == {
        "features": ["chemistry:hue"],
        "entities": {"bottle": [1, 2]},
        "event_timestamp": ["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"],
    }
    online = client.get_online_features(["chemistry:hue"], rows)
    assert server.requests[-1][0] == "POST /api/v1/features/online"
    assert server.sent == {"features": ["chemistry:hue"], "entities": {"bottle": [1, 2]}}
    assert batch.to_dict() == online.to_dict() == {"bottle": [1, 2], "hue": [0.5, None]}
    assert online.statuses()["hue"] == ["PRESENT", "NOT_FOUND"]
    assert list(online.to_df().columns) == ["bottle", "hue"]


def test_rows_that_do_not_fit_together_are_refused_before_anything_is_sent(server: Server, client: Client) -> None:
    with pytest.raises(ValueError, match="row 1 names crate, the first row bottle"):
        client.get_online_features(["v:f"], [{"bottle": 1}, {"crate": 2}])
    with pytest.raises(ValueError, match="bottle 2, crate 1"):
        client.get_online_features(["v:f"], {"bottle": [1, 2], "crate": [1]})
    assert server.requests == []


def test_predictions_speak_the_open_inference_protocol(server: Server, client: Client) -> None:
    output = {"name": "p", "datatype": "FP64", "shape": [2, 2], "data": [0.1, 0.9, 0.4, 0.6]}
    server.answers = [(200, {"model_name": "m", "outputs": [output]})]
    inputs: dict[str, Any] = {
        "hue": [1, 2.5],
        "count": np.array([1, 2]),
        "gap": [None, float("nan")],
        "red": [True, False],
        "name": ["a", "b"],
        "pixels": np.zeros((2, 3)),
    }
    assert client.predict("card reader", inputs, version="2", id="x") == {"p": [[0.1, 0.9], [0.4, 0.6]]}
    assert server.requests[-1][0] == "POST /v2/models/card%20reader/versions/2/infer"
    assert server.sent["id"] == "x"
    assert [(each["name"], each["datatype"], each["shape"], each["data"]) for each in server.sent["inputs"]] == [
        ("hue", "FP64", [2], [1, 2.5]),
        ("count", "INT64", [2], [1, 2]),
        ("gap", "FP64", [2], [None, None]),
        ("red", "BOOL", [2], [True, False]),
        ("name", "BYTES", [2], ["a", "b"]),
        ("pixels", "FP64", [2, 3], [0.0] * 6),
    ]
    with pytest.raises(ValueError, match="the rows of pixels have different lengths: 1, 2"):
        client.predict("m", {"pixels": [[1], [1, 2]]})


def test_an_artifact_is_sent_under_its_digest(server: Server, client: Client, tmp_path: Path) -> None:
    (tmp_path / "model.skops").write_bytes(b"model")
    client.upload_artifact(tmp_path / "model.skops")
    client.upload_artifact(b"model")
    path, _, body = server.requests[0]
    assert path == "PUT /api/v1/artifacts/9372c470eeadd5ecd9c3c74c2b3cb633f8e2f2fad799250a0f70d652b6b825e4"
    assert body == b"model"
    assert server.requests[0][0] == server.requests[1][0]


@pytest.mark.parametrize("status", [502, 503, 504])
def test_what_has_no_second_effect_is_tried_again_three_times(server: Server, client: Client, status: int) -> None:
    server.answers = [(status, {"error": "not yet"})] * 3 + [(200, {"data": {"head": {"revision": 1}}})]
    assert client.ask("{ head { revision } }") == {"head": {"revision": 1}}
    assert len(server.requests) == 4
    server.answers = [(status, {"errors": [{"message": "not ready: loading"}]})]
    with pytest.raises(Unreachable, match="is not ready: not ready: loading"):
        client.ask("{ head { revision } }")


def test_a_prediction_and_a_mutation_without_an_operation_id_are_sent_once(server: Server, client: Client) -> None:
    server.answers = [(504, {"error": "too slow"})]
    with pytest.raises(Unreachable):
        client.predict("m", {"x": [1]})
    with pytest.raises(Unreachable):
        client.ask("mutation { undeploy(id: 1) { __typename } }")
    assert len(server.requests) == 2
    with pytest.raises(Unreachable):
        client.register({})
    assert len({request[2] for request in server.requests[2:]}) == 1  # the same operation id, four times
    assert len(server.requests) == 6


def test_a_service_without_its_store_is_unreachable(server: Server, client: Client) -> None:
    absent = {"errors": [{"message": "no answer within 5 s", "extensions": {"code": "StoreUnavailable"}}]}
    server.answers = [(200, absent), (200, {"data": {"head": {"revision": 1}}})]
    assert client.ask("{ head { revision } }") == {"head": {"revision": 1}}
    server.answers = [(200, absent)]
    with pytest.raises(Unreachable, match="no answer within 5 s"):
        client.ask("{ head { revision } }")


def test_nobody_listening_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(headwater.client, "_waits", lambda: iter(()))
    with Client(f"http://127.0.0.1:{free_port()}") as client, pytest.raises(Unreachable, match="cannot reach"):
        client.ask("{ head { revision } }")
    with pytest.raises(Unreachable, match="is not the address"), Client("nonsense://\x00") as client:
        client.ask("{ head { revision } }")


@pytest.mark.parametrize(
    ("answer", "error", "code"),
    [
        ((401, {"errors": [{"message": "no token"}]}), AccessRefused, "401"),
        ((403, {"error": {"message": "only readers"}}), AccessRefused, "403"),
        ((404, {"error": "no such model"}), Refused, "404"),
        ((200, {"errors": [{"message": "no", "extensions": {"code": "FORBIDDEN"}}]}), AccessRefused, "FORBIDDEN"),
        ((200, {"errors": [{"message": "Cannot query"}]}), Refused, "INVALID"),
        ((400, {"errors": [{"message": "Syntax", "extensions": {"code": "X"}}]}), Refused, "X"),
        ((302, {}), Refused, "302"),
        ((200, b"<html>"), Unreachable, None),
    ],
)
def test_a_refusal_says_why(
    server: Server, client: Client, answer: tuple[int, object], error: type[Exception], code: str | None
) -> None:
    server.answers = [answer]
    with pytest.raises(error) as refused:
        client.ask("{ head { revision } }")
    assert getattr(refused.value, "code", None) == code


def test_a_problem_is_a_refusal_with_its_type(server: Server, client: Client) -> None:
    problem = {"__typename": "UnknownAsset", "problem": "model:a/b is not registered"}
    server.answers = [(200, {"data": {"register": problem}})]
    with pytest.raises(Refused, match="is not registered") as refused:
        client.register({})
    assert refused.value.code == "UnknownAsset"


@pytest.mark.parametrize(
    ("service", "environment", "expected"),
    [
        ("cellar/blend plan", {}, "service.name=blend%20plan,service.namespace=cellar"),
        ("shop", {"OTEL_SERVICE_NAME": "other"}, "service.name=shop"),
        (
            None,
            {"OTEL_SERVICE_NAME": "n", "OTEL_RESOURCE_ATTRIBUTES": "service.name=x,service.namespace=a%20b"},
            "service.name=n,service.namespace=a%20b",
        ),
        (None, {"OTEL_RESOURCE_ATTRIBUTES": "service.name=x,host=y"}, "service.name=x"),
        (None, {}, None),
    ],
)
def test_the_caller_names_itself(
    server: Server,
    client: Client,
    monkeypatch: pytest.MonkeyPatch,
    service: str | None,
    environment: dict[str, str],
    expected: str | None,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HEADWATER_URL", server.address)
    monkeypatch.setenv("HEADWATER_TOKEN", "hw_secret")
    server.answers = [(200, {"data": {}})]
    with Client(service=service) as named:
        named.ask("{ __typename }")
    headers = {name.lower(): value for name, value in server.requests[-1][1].items()}
    assert headers.get("baggage") == expected
    assert headers["authorization"] == "Bearer hw_secret"


def test_every_document_it_sends_is_valid_and_within_the_limits() -> None:
    from app.graphql.limits import MAX_COST, operation_cost
    from app.graphql.schema import schema

    texts = [text for name, text in vars(headwater.client).items() if name.isupper() and isinstance(text, str)]
    documents = [text for text in texts if text.lstrip().startswith(("query ", "mutation "))]
    assert len(documents) == 13
    for document in map(parse, documents):
        assert validate(schema._schema, document) == []
        assert operation_cost(schema._schema, document, {}) <= MAX_COST
