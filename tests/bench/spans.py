"""How fast exports of traces are taken: batches of 512 spans in protobuf, as SDKs send them, durable before each answer."""

import random
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import orjson
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.bench.figures import Figure
from tests.service import running_service

TURNS = 3
BATCH, BATCHES, EXPORTERS = 512, 120, 4
DEPLOYMENTS, SERVICES = 200, 50
MODELS = 5
"""That a batch calls."""
SHARES = (("of 20 spans one is a call of a model", 20), ("each span is a call of a model", 1))


def figures(folder: Path) -> Iterator[Figure]:
    folder = folder / "spans"
    folder.mkdir(exist_ok=True)
    for name, every in SHARES:
        rates, waits = [], []
        for turn in range(TURNS):
            with running_service(f"sqlite:///{folder / f'{every}-{turn}.db'}") as address:
                _register(address)
                rate, wait = _sent(address, [_batch(seed, every) for seed in range(BATCHES)])
                rates.append(rate)
                waits.append(wait)
                calls = BATCHES * len(range(0, BATCH, every))
                assert _calls(address) == calls, "a call was acknowledged and is not there, or is there twice"
        head = f"traces, {EXPORTERS} exporters, batches of {BATCH}, {name}"
        yield Figure(f"{head}: taken, durable", rates, "spans/s")
        yield Figure(f"{head}: the longest that others waited for /healthz meanwhile", waits, "ms")


def _register(address: str) -> None:
    lines = [{"asset": f"deployment:bench/model-{number}"} for number in range(DEPLOYMENTS)]
    httpx.post(
        f"{address}/api/v1/bulk",
        params={"origin": "bench", "operation": "deployments"},
        content=b"".join(orjson.dumps(line) + b"\n" for line in lines),
        headers={"Content-Type": "application/x-ndjson"},
        timeout=60,
    ).raise_for_status()


def _batch(seed: int, every: int) -> bytes:
    """Of one service. A call has a server's span above it, and others beside it, with what instrumentation writes."""
    chance = random.Random(seed)
    request = ExportTraceServiceRequest()
    of_resource = request.resource_spans.add()
    resource = {
        "service.name": f"service-{seed % SERVICES}",
        "service.instance.id": f"{seed:032x}",
        "telemetry.sdk.language": "python",
        "telemetry.sdk.name": "opentelemetry",
        "telemetry.sdk.version": "1.45.1",
    }
    for key, text in resource.items():
        of_resource.resource.attributes.add(key=key).value.string_value = text
    scope = of_resource.scope_spans.add()
    scope.scope.name = "opentelemetry.instrumentation.requests"
    trace, entry = chance.randbytes(16), chance.randbytes(8)
    for number in range(BATCH):
        if number % 20 == 0:
            trace, entry = chance.randbytes(16), chance.randbytes(8)
        is_call, is_entry = number % every == 0, every > 1 and number % 20 == 19
        span: Any = scope.spans.add(
            trace_id=trace,
            span_id=entry if is_entry else chance.randbytes(8),
            parent_span_id=b"" if is_entry else entry,
            name="POST",
            kind=2 if is_entry else 3,
            start_time_unix_nano=time.time_ns(),
            end_time_unix_nano=time.time_ns() + chance.randrange(100_000_000),
        )
        model = (seed * MODELS + chance.randrange(MODELS)) % DEPLOYMENTS
        path = f"/v2/models/model-{model}/infer" if is_call else f"/items/{number}"
        told = {
            "http.request.method": "POST",
            "url.full": f"http://models-{number % 7}.example:8080{path}",
            "server.address": f"models-{number % 7}.example",
            "network.protocol.version": "1.1",
            "user_agent.original": "python-requests/2.34.2",
        }
        for key, text in told.items():
            span.attributes.add(key=key).value.string_value = text
        span.attributes.add(key="server.port").value.int_value = 8080
        span.attributes.add(key="http.response.status_code").value.int_value = 200
    return bytes(request.SerializeToString())


def _sent(address: str, bodies: Sequence[bytes]) -> tuple[float, float]:
    """Spans a second, and the longest that a request for something else took, in milliseconds."""
    headers = {"Content-Type": "application/x-protobuf"}
    done = threading.Event()
    waits = [0.0]

    def ask() -> None:
        with httpx.Client(timeout=60) as http:
            while not done.wait(0.02):
                begin = time.perf_counter()
                http.get(f"{address}/healthz").raise_for_status()
                waits.append((time.perf_counter() - begin) * 1000)

    def export(mine: Sequence[bytes]) -> None:
        with httpx.Client(timeout=60) as http:
            for body in mine:
                answer = http.post(f"{address}/v1/traces", content=body, headers=headers)
                assert (answer.status_code, answer.content) == (200, b""), answer.content

    export(bodies[:1])  # the first of all compiles, and reads what is there
    asking = threading.Thread(target=ask)
    asking.start()
    rest = bodies[1:]
    begin = time.perf_counter()
    with ThreadPoolExecutor(EXPORTERS) as pool:
        list(pool.map(export, [rest[number::EXPORTERS] for number in range(EXPORTERS)]))
    taken = time.perf_counter() - begin
    done.set()
    asking.join()
    return BATCH * len(rest) / taken, max(waits)


def _calls(address: str) -> int:
    return sum(_calls_of(address, range(first, first + 50)) for first in range(0, DEPLOYMENTS, 50))


def _calls_of(address: str, numbers: range) -> int:
    asked = " ".join(
        f'a{each}: asset(key: "deployment:bench/model-{each}") {{ usage {{ calls }} }}' for each in numbers
    )
    answer = httpx.post(f"{address}/graphql", json={"query": f"{{ {asked} }}"}, timeout=60).json()
    assert "errors" not in answer, answer
    return sum(each["usage"]["calls"] for each in answer["data"].values())
