"""Nobody declares who uses a model: processes call it, each known as well as it shows itself, and stand in lineage.

column → training → version → scores, which this service answers, and elsewhere, which another one does
"""

import hashlib
import json
import os
import secrets
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import httpx
import numpy as np
import pytest
import skops.io
from sklearn.linear_model import LogisticRegression

from app.identity import Kind, Role, create_token
from tests.patience import within
from tests.service import running_service

pytestmark = pytest.mark.timeout(400)

T = TypeVar("T")

RUN = "00000000-0000-4000-8000-000000000001"
SEEN_WITHIN_SECONDS = 5.0
PATIENCE_SECONDS = 30.0


class World:
    """The graph above, in a namespace of its own: a server may hold those of other runs too."""

    def __init__(self, address: str, tokens: Path) -> None:
        self.address, self.tokens = address, tokens
        self.ns = f"callers-{uuid.uuid4().hex[:12]}"
        operator = create_token(tokens, "ada", Role.OPERATOR, Kind.PERSON)
        assert operator is not None
        self.headers = {"Authorization": f"Bearer {operator}"}
        model = LogisticRegression().fit(np.array([[-1.0], [1.0]]), np.array([0, 1]))
        body = skops.io.dumps(model)
        digest = hashlib.sha256(body).hexdigest()
        kept = httpx.put(f"{address}/api/v1/artifacts/{digest}", content=body, headers=self.headers)
        assert kept.status_code in (200, 201), kept.text
        registered = self.ask(REGISTER, manifest=self._manifest(kept.json()))["register"]
        assert registered.get("changed"), registered
        given = {"namespace": self.ns, "name": self.scores, "version": self.key("model_version:scorer#1")}
        deployed = self.ask(DEPLOY, input=given)["deploy"]
        assert deployed.get("deployment"), deployed

    @property
    def scores(self) -> str:
        return f"scores-{self.ns}"

    @property
    def elsewhere(self) -> str:
        return f"elsewhere-{self.ns}"

    def key(self, text: str) -> str:
        kind, _, name = text.partition(":")
        return f"{kind}:{self.ns}/{name}"

    def consumer_token(self, name: str) -> str:
        token = create_token(self.tokens, f"{self.ns}/{name}", Role.READER, Kind.CONSUMER)
        assert token is not None
        return token

    def ask(self, document: str, **variables: object) -> dict[str, Any]:
        asked = {"query": document, "variables": variables}
        answer = httpx.post(f"{self.address}/graphql", json=asked, headers=self.headers, timeout=60).json()
        assert "errors" not in answer, answer
        data: dict[str, Any] = answer["data"]
        return data

    def consumers(self) -> set[str]:
        """Who is hit by a change of the column."""
        answer = self.ask(DOWNSTREAM, start=self.key("column:T#a"))["lineage"]
        assert answer["complete"], answer
        return {node["name"] for node in answer["assets"]["nodes"]}

    def flows(self, deployment: str) -> dict[str, tuple[bool | None, int, int]]:
        """By caller: whether verified, its calls, its errors. The unidentified ones are one, without a name."""
        told = self.ask(USE, key=self.key(f"deployment:{deployment}"))["asset"]
        flows = {
            edge["node"]["target"]["name"]: (
                edge["node"]["verified"],
                edge["node"]["usage"]["calls"],
                edge["node"]["usage"]["errors"],
            )
            for edge in told["flowsOut"]["edges"]
            if edge["node"]["target"]["kind"] == "CONSUMER"
        }
        nobody = told["unidentified"]
        return flows | ({"": (None, nobody["calls"], nobody["errors"])} if nobody["calls"] else {})

    def predict(self, **headers: str) -> None:
        body = {"inputs": [{"name": "a", "shape": [1], "datatype": "FP64", "data": [0.5]}]}
        post(f"{self.address}/v2/models/{self.scores}/infer", body, headers)

    def _manifest(self, artifact: Mapping[str, str]) -> dict[str, object]:
        def named(name: str, **fields: object) -> dict[str, object]:
            return {"namespace": self.ns, "name": name, **fields}

        version = {
            "model": self.key("model:scorer"),
            "version": "1",
            "run": f"{self.key('run:train')}#{RUN}",
            "artifact": {"uri": artifact["uri"], "digest": artifact["digest"]},
            "signature": {
                "inputs": [{"name": "a", "type": "double"}],
                "outputs": [{"name": "label", "type": "long"}],
            },
        }
        return {
            "datasets": [named("T", columns=[{"path": ["a"], "type": "double"}])],
            "jobs": [named("train")],
            "runs": [{"job": self.key("job:train"), "runId": RUN, "inputs": [self.key("column:T#a")]}],
            "models": [named("scorer")],
            "modelVersions": [version],
            "deployments": [named(self.elsewhere, featuresFrom="REQUEST", serves=[self.key("model_version:scorer#1")])],
        }


@pytest.fixture(scope="module", params=["sqlite", pytest.param("neo4j", marks=[pytest.mark.neo4j, pytest.mark.long])])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("callers")
    store = f"sqlite:///{folder}/store.db" if request.param == "sqlite" else request.getfixturevalue("neo4j_url")
    tokens = folder / "tokens.json"
    tokens.write_text('{"tokens": []}')
    with running_service(store, tokens_file=tokens, data=folder / "data", trace_gateways="edge") as address:
        world = World(address, tokens)
        yield world
        # Every service over one store serves what it holds, and other tests share a Neo4j.
        world.ask(UNDEPLOY, id=world.key(f"deployment:{world.scores}"))


def test_whoever_calls_is_known_as_well_as_it_shows_itself(world: World) -> None:
    before = world.consumers()
    world.consumer_token("bystander")  # it could call, and never does
    bound, reader = world.consumer_token("checkout"), world.headers["Authorization"]
    span = secrets.token_hex(16), secrets.token_hex(8)

    began = time.monotonic()
    world.predict(authorization=f"Bearer {bound}", baggage="service.name=another")
    within(SEEN_WITHIN_SECONDS, lambda: "checkout" in world.consumers())
    assert time.monotonic() - began < SEEN_WITHIN_SECONDS

    world.predict(authorization=reader, baggage=f"service.name=cart,service.namespace={world.ns}")
    world.predict(authorization=reader, traceparent=f"00-{span[0]}-{span[1]}-01")
    world.predict(authorization=reader)
    seen = {"checkout": (True, 1, 0), "cart": (False, 1, 0), "": (None, 2, 0)}
    within(PATIENCE_SECONDS, lambda: world.flows(world.scores) == seen)

    url = f"{world.address}/v2/models/{world.scores}/infer"
    post(f"{world.address}/v1/traces", trace("wishlist", world.ns, [(*span, url, 200)]), {"authorization": reader})
    seen |= {"wishlist": (False, 1, 0), "": (None, 1, 0)}
    assert world.flows(world.scores) == seen  # an export that is answered is kept
    assert world.consumers() == before | {"checkout", "cart", "wishlist"}
    answer = world.ask(DOWNSTREAM, start=world.key("column:T#a"))["lineage"]
    assert answer["unidentified"]["calls"] == 1
    assert {node["name"] for node in answer["assets"]["nodes"] if node["verified"]} == {"checkout"}
    sources = world.ask("{ sources(first: 500) { nodes { name days { items } } } }")["sources"]["nodes"]
    (gateway,) = (each for each in sources if each["name"] == "gateway")
    assert sum(day["items"] for day in gateway["days"]) >= 4, "the calls that this service saw itself"


def test_calls_of_a_model_that_another_server_answers_are_seen_in_traces(world: World) -> None:
    reader = {"authorization": world.headers["Authorization"]}
    url = f"http://kserve.example/v2/models/{world.elsewhere}/versions/1/infer"
    spans = [(secrets.token_hex(16), secrets.token_hex(8), url, status) for status in (200, 200, 503)]
    for _ in range(2):  # exporters send again what they do not know to have arrived
        post(f"{world.address}/v1/traces", trace("reports", world.ns, spans), reader)
    assert world.flows(world.elsewhere) == {"reports": (False, 3, 1)}
    assert "reports" in world.consumers()


def test_a_call_through_a_gateway_is_of_whoever_called_that_and_counts_once(world: World) -> None:
    before = world.flows(world.scores)
    reader = {"authorization": world.headers["Authorization"]}
    trace_id, (ours, entry, passed) = secrets.token_hex(16), (secrets.token_hex(8) for _ in range(3))
    world.predict(**reader, traceparent=f"00-{trace_id}-{passed}-01")
    url = f"{world.address}/v2/models/{world.scores}/infer"
    told = [
        ("edge", [span(trace_id, passed, url, 200, parentSpanId=entry)]),
        ("edge", [span(trace_id, entry, "http://edge/", 200, parentSpanId=ours, kind=2)]),
        ("storefront", [span(trace_id, ours, "http://edge/", 200)]),
    ]
    for service, spans in told:
        post(f"{world.address}/v1/traces", export(service, world.ns, spans), reader)
    assert world.flows(world.scores) == before | {"storefront": (False, 1, 0)}
    assert "edge" not in world.consumers()


def post(url: str, body: object, headers: Mapping[str, str]) -> None:
    """By a process of its own, with nothing of ours."""
    script = (
        "import sys, json, urllib.request as u\n"
        "url, body, headers = json.load(sys.stdin)\n"
        "print(u.urlopen(u.Request(url, json.dumps(body).encode(), headers)).status)\n"
    )
    given = json.dumps([url, body, {**headers, "Content-Type": "application/json"}])
    done = subprocess.run(
        [sys.executable, "-I", "-c", script],
        input=given,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == "200\n", done.stderr


def trace(service: str, namespace: str, spans: list[tuple[str, str, str, int]]) -> dict[str, object]:
    """OTLP, as an exporter of `service` sends it: trace id, span id, URL and status of each CLIENT span."""
    return export(service, namespace, [span(*each) for each in spans])


def span(trace_id: str, span_id: str, url: str, status: int, **fields: object) -> dict[str, object]:
    return {
        "traceId": trace_id,
        "spanId": span_id,
        "kind": 3,
        "startTimeUnixNano": str(time.time_ns()),
        "attributes": [
            {"key": "url.full", "value": {"stringValue": url}},
            {"key": "http.response.status_code", "value": {"intValue": str(status)}},
        ],
        **fields,
    }


def export(service: str, namespace: str, spans: list[dict[str, object]]) -> dict[str, object]:
    named = {"service.name": service, "service.namespace": namespace}
    resource = {"attributes": [{"key": name, "value": {"stringValue": text}} for name, text in named.items()]}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": spans}]}]}


REGISTER = """
mutation Register($manifest: ManifestInput!) {
  register(manifest: $manifest) { ... on Registered { changed } ... on Problem { message } }
}
"""

UNDEPLOY = """
mutation Undeploy($id: ID!) {
  undeploy(id: $id) { ... on Deployed { revision } ... on Problem { message } }
}
"""

DEPLOY = """
mutation Deploy($input: DeployInput!) {
  deploy(input: $input) { ... on Deployed { deployment { id } } ... on Problem { message } }
}
"""

DOWNSTREAM = """
query Downstream($start: ID!) {
  lineage(start: $start, select: { kinds: [CONSUMER] }) {
    ... on Lineage { complete unidentified { calls } assets(first: 100) { nodes { name verified } } }
  }
}
"""

USE = """
query Use($key: ID!) {
  asset(key: $key) {
    unidentified { calls errors }
    flowsOut { edges { node { verified usage { calls errors } target { kind name } } } }
  }
}
"""
