"""A fleet of processes with OpenTelemetry's own SDKs calls models, and nobody declares anything: who called what is known, exactly.

Each run calls by another pattern, which the test alone knows; its seed is shown. The models are somewhere else: what
Headwater knows of them is names, and of some the address.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import httpx
import orjson
import pytest

from tests.patience import within
from tests.service import free_port, plain_environment, running_service

pytestmark = pytest.mark.timeout(400)

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".interop" / "otel" / "bin" / "python"
MEMBER = Path(__file__).parent / "otel" / "member.py"
NODE = Path(__file__).parent / "node"
SEEN_WITHIN_SECONDS = 5.0
PATIENCE_SECONDS = 60.0
LIBRARIES = ("requests", "httpx", "urllib")
GATEWAYS = "edge,relay"
ENVIRONMENTS = {
    # As the SDKs document them: export within half a second instead of five.
    "OTEL_BSP_SCHEDULE_DELAY": "500",
    "OTEL_METRICS_EXPORTER": "none",
    "OTEL_LOGS_EXPORTER": "none",
    "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
    # For how long an export is tried again: after an outage a busy machine needs some seconds more for the start.
    "OTEL_EXPORTER_OTLP_TIMEOUT": "30",
}

Calls = Counter[tuple[str, str]]
"""Deployment and caller; the empty one is nobody known."""


@pytest.fixture(scope="module", autouse=True)
def _tools() -> None:
    if not PYTHON.exists():
        pytest.fail("OpenTelemetry's SDK is missing: make .interop/otel/installed")
    if shutil.which("node") is None:
        pytest.fail("node is missing: apt-get install nodejs, 20.19 or later")
    if not (NODE / "node_modules/@opentelemetry/sdk-node").is_dir():
        pytest.fail("OpenTelemetry's SDK for Node is missing: make tests/interop/node/node_modules/.package-lock.json")


@dataclass
class Fleet:
    """Processes that are ended with it."""

    headwater: str
    spool: Path
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)
    addresses: list[str] = field(default_factory=list)

    def start(self, name: str, *arguments: str, plain: bool = False, **environment: str) -> None:
        flags = ["--plain"] if plain else []
        self.running.append(
            subprocess.Popen([PYTHON, MEMBER, *flags, *arguments], env=self._environment(name) | environment)
        )

    def listening(self, name: str, role: str, *arguments: str, plain: bool = False, **environment: str) -> str:
        """The address of a member that will listen."""
        port = free_port()
        self.start(name, role, str(port), *arguments, plain=plain, **environment)
        self.addresses.append(f"http://127.0.0.1:{port}")
        return self.addresses[-1]

    def ready(self) -> None:
        for address in self.addresses:
            within(PATIENCE_SECONDS, partial(_answers, address))

    def node(self, name: str, urls: Sequence[str], protocol: str) -> None:
        environment = self._environment(name) | {"OTEL_EXPORTER_OTLP_PROTOCOL": protocol}
        environment["OTEL_EXPORTER_OTLP_TIMEOUT"] += "000"  # in milliseconds there
        done = subprocess.run(
            ["node", "traced.mjs", *urls],
            cwd=NODE,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    def _environment(self, name: str) -> dict[str, str]:
        endpoint = {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{self.headwater}/v1/traces"}
        named = {"OTEL_SERVICE_NAME": name, "OTEL_RESOURCE_ATTRIBUTES": "service.namespace=shop"} if name else {}
        return plain_environment() | ENVIRONMENTS | endpoint | named

    def end(self) -> None:
        """With what they have yet to export."""
        for process in self.running:
            process.terminate()
        for process in self.running:
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def fleet(headwater: str, folder: Path) -> Iterator[Fleet]:
    spool = folder / "spool"
    spool.mkdir(parents=True)
    one = Fleet(headwater, spool)
    try:
        yield one
    finally:
        one.end()


def _answers(url: str) -> bool:
    try:
        httpx.get(url, timeout=2)
    except httpx.TransportError:
        return False
    return True


def register(address: str, urls: Mapping[str, str | None]) -> None:
    """Deployments by name, with the address of some."""
    lines = [
        {"asset": f"deployment:models/{name}", "attributes": {} if url is None else {"url": url}}
        for name, url in urls.items()
    ]
    answer = httpx.post(
        f"{address}/api/v1/bulk",
        params={"origin": "test", "operation": "deployments"},
        content=b"".join(orjson.dumps(line) + b"\n" for line in lines),
        headers={"Content-Type": "application/x-ndjson", "Accept": "application/json"},
        timeout=60,
    )
    assert answer.json()["done"]["refused"] == 0, answer.text


def observed(address: str, deployments: Sequence[str]) -> Calls:
    """What Headwater says: every flow that leaves the deployments, and what it cannot tell."""
    found: Calls = Counter()
    for name in deployments:
        asked = {"query": USE, "variables": {"key": f"deployment:models/{name}"}}
        answer = httpx.post(f"{address}/graphql", json=asked, timeout=30).json()
        assert "errors" not in answer, answer
        told = answer["data"]["asset"]
        for edge in told["flowsOut"]["edges"]:
            target = edge["node"]["target"]
            caller = target["name"] if target["kind"] == "DEPLOYMENT" else target["id"].removeprefix("consumer:")
            found[name, caller] += edge["node"]["usage"]["calls"] or -1  # a caller that never called is one too many
        found[name, ""] += told["unidentified"]["calls"]
    return Counter({each: calls for each, calls in found.items() if calls})


def expect(address: str, deployments: Sequence[str], expected: Calls, seconds: float) -> None:
    """Fails with what differs."""
    end = time.monotonic() + seconds
    while (found := observed(address, deployments)) != expected and time.monotonic() < end:
        time.sleep(0.05)
    wrong = {each: (found[each], expected[each]) for each in {*found, *expected} if found[each] != expected[each]}
    assert wrong == {}, "what is said, and what is so"


USE = """
query Use($key: ID!) {
  asset(key: $key) {
    unidentified { calls }
    flowsOut(first: 100) { edges { node { usage { calls errors latency { calls p50 } } target { id kind name } } } }
  }
}
"""


@pytest.fixture
def chance() -> random.Random:
    seed = int(os.environ.get("HEADWATER_TEST_SEED", time.time_ns() % 1_000_000))
    print(f"HEADWATER_TEST_SEED={seed}")
    return random.Random(seed)


def test_every_caller_of_a_fleet_is_known_and_nobody_else(tmp_path: Path, chance: random.Random) -> None:
    with (
        running_service(f"sqlite:///{tmp_path}/store.db", trace_gateways=GATEWAYS) as address,
        fleet(address, tmp_path) as members,
    ):
        traced, plain = members.listening("scorer", "model"), members.listening("", "model", plain=True)
        names = [f"model-{number}" for number in range(8)]
        at = {name: chance.choice([traced, plain]) for name in names}
        addressed = {name: f"{at[name]}/{name}/score" for name in names[:3]}
        register(address, {name: addressed.get(name) for name in names})
        # `edge` is told to be a gateway; `mesh` shows that it is one by what it is asked for.
        fronts = {model: [model] for model in (traced, plain)}
        for model in (traced, plain):
            fronts[model] += [members.listening(name, "gateway", model) for name in ("edge", "mesh")]
        members.start("relay", "worker", str(members.spool))
        others = tmp_path / "others"
        others.mkdir()
        members.start("batch", "worker", str(others))
        services = {
            f"service-{number}": members.listening(f"service-{number}", "service", chance.choice(LIBRARIES))
            for number in range(6)
        }
        anonymous = members.listening("", "service", "requests")
        members.listening("bystander", "service", "httpx")  # which calls nobody
        members.ready()

        def way(name: str) -> str:
            if name in addressed:
                return addressed[name]
            path = chance.choice(
                [f"/v2/models/{name}/infer", f"/v1/models/{name}:predict", f"/v2/models/{name}/versions/1/infer"]
            )
            return chance.choice(fronts[at[name]]) + path + chance.choice(["", "?fail=1"])

        expected: Calls = Counter()
        first = chance.choice(names)
        began = time.monotonic()
        httpx.post(f"{services['service-0']}/work", json={"calls": [way(first)]}, timeout=60)
        expected[first, "shop/service-0"] += 1
        expect(address, [first], expected, SEEN_WITHIN_SECONDS)
        print(f"the first call was seen after {time.monotonic() - began:.1f} s")

        for service, url in [*services.items(), ("", anonymous)]:
            asked, sent, passed = ([chance.choice(names) for _ in range(chance.randrange(most))] for most in (30, 6, 6))
            told = {"calls": [way(name) for name in asked]}
            httpx.post(f"{url}/work", json=told, timeout=120)
            for spool, models in ((members.spool, sent), (others, passed)):
                httpx.post(
                    f"{url}/work",
                    json={"calls": [], "messages": [way(name) for name in models], "spool": str(spool)},
                    timeout=120,
                )
            caller = f"shop/{service}" if service else ""
            expected.update((name, caller) for name in (*asked, *sent))
            expected.update((name, "shop/batch") for name in passed)
        for service, protocol in (("node-proto", "http/protobuf"), ("node-json", "http/json")):
            asked = [chance.choice(names) for _ in range(12)]
            members.node(service, [way(name) for name in asked], protocol)
            expected.update((name, f"shop/{service}") for name in asked)

        expect(address, names, expected, PATIENCE_SECONDS)
        members.end()  # and whatever they still had to tell changes nothing
        expect(address, names, expected, 0)


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_lost_or_doubled_by_an_outage(tmp_path: Path, chance: random.Random, ending: signal.Signals) -> None:
    """Exporters send again what was not acknowledged."""
    store, port = f"sqlite:///{tmp_path}/store.db", free_port()
    address = f"http://127.0.0.1:{port}"
    names = ["model-0", "model-1"]
    with fleet(address, tmp_path) as members:
        model = members.listening("", "model", plain=True)
        services = {name: members.listening(name, "service", "requests") for name in ("one", "two")}
        members.ready()
        expected: Calls = Counter()

        def call() -> None:
            for service, url in services.items():
                asked = [chance.choice(names) for _ in range(chance.randrange(1, 20))]
                httpx.post(
                    f"{url}/work", json={"calls": [f"{model}/v2/models/{name}/infer" for name in asked]}, timeout=60
                )
                expected.update((name, f"shop/{service}") for name in asked)

        process = subprocess.Popen(
            [sys.executable, "-m", "app", "serve"],
            cwd=ROOT,
            env=plain_environment() | {"HEADWATER_STORE": store, "HEADWATER_PORT": str(port)},
            stderr=subprocess.DEVNULL,
        )
        try:
            within(
                PATIENCE_SECONDS, lambda: _answers(f"{address}/readyz") and httpx.get(f"{address}/readyz").is_success
            )
            register(address, dict.fromkeys(names))
            for _ in range(20):
                call()
                time.sleep(0.1)
        finally:
            process.send_signal(ending)
            process.wait(30)
        ends = time.monotonic() + 5
        while time.monotonic() < ends:
            call()
            time.sleep(0.5)
        asked = [chance.choice(names) for _ in range(10)]
        script = partial(members.node, "node", [f"{model}/v2/models/{name}/infer" for name in asked], "http/protobuf")
        node = threading.Thread(target=script)  # it ends when all it did is exported, and tries five times
        node.start()
        expected.update((name, "shop/node") for name in asked)
        with running_service(store, port=port):
            call()
            node.join()
            expect(address, names, expected, PATIENCE_SECONDS)
            members.end()
            expect(address, names, expected, 0)
