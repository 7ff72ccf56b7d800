"""A process of the fleet, with OpenTelemetry's own SDK, exporter and instrumentation, as its environment sets them up.

    member.py model PORT              answers predictions, at paths of both protocols and at /score
    member.py gateway PORT TARGET     passes requests on to what listens at TARGET
    member.py service PORT LIBRARY    calls what it is told to by POST /work, by that library, or puts it into a spool folder
    member.py worker SPOOL            takes from the spool folder, and calls

`--plain` before all that: without OpenTelemetry. Knows nothing of Headwater.
"""

# mypy: ignore-errors
# Its libraries are in an environment of their own.

import json
import logging
import os
import sys
import threading
import time
import urllib.error
import urllib.request
import uuid
from contextlib import suppress
from pathlib import Path

import flask
import httpx
import requests
import uvicorn
from opentelemetry import propagate, trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.flask import FlaskInstrumentor
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.instrumentation.requests import RequestsInstrumentor
from opentelemetry.instrumentation.starlette import StarletteInstrumentor
from opentelemetry.instrumentation.urllib import URLLibInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, SpanKind
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

BODY = {"inputs": []}


def main(arguments: list[str]) -> None:
    if arguments[0] == "--plain":
        arguments = arguments[1:]
    else:
        provider = TracerProvider()
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        trace.set_tracer_provider(provider)
        for instrumentor in (HTTPXClientInstrumentor, RequestsInstrumentor, URLLibInstrumentor):
            instrumentor().instrument()
    role, *rest = arguments
    {"model": model, "gateway": gateway, "service": service, "worker": worker}[role](*rest)


def model(port: str) -> None:
    app = flask.Flask(__name__)

    @app.post("/<path:path>")
    def predict(path: str) -> tuple[dict[str, object], int]:
        return {"outputs": [], "path": path}, 500 if "fail" in flask.request.args else 200

    _flask(app, port)


def gateway(port: str, target: str) -> None:
    client = httpx.AsyncClient(base_url=target, timeout=30)

    async def forward(request: Request) -> Response:
        kept = {name: value for name, value in request.headers.items() if name in ("content-type", "authorization")}
        url = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        answer = await client.post(url, content=await request.body(), headers=kept)
        return Response(answer.content, answer.status_code)

    app = Starlette(routes=[Route("/{path:path}", forward, methods=["POST"])])
    if _is_traced():
        StarletteInstrumentor.instrument_app(app)
    uvicorn.run(app, host="127.0.0.1", port=int(port), log_level="error")


def service(port: str, library: str) -> None:
    app = flask.Flask(__name__)

    @app.post("/work")
    def work() -> tuple[dict[str, object], int]:
        told = flask.request.get_json()
        for url in told["calls"]:
            call(library, url, told.get("headers", {}))
        for url in told.get("messages", ()):
            send(Path(told["spool"]), url)
        return {"done": True}, 200

    _flask(app, port)


def call(library: str, url: str, headers: dict[str, str]) -> None:
    headers = {"content-type": "application/json", **headers}
    body = json.dumps(BODY).encode()
    if library == "requests":
        requests.post(url, data=body, headers=headers, timeout=30)
    elif library == "httpx":
        httpx.post(url, content=body, headers=headers, timeout=30)
    else:
        with suppress(urllib.error.HTTPError):
            urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=30).close()


def send(spool: Path, url: str) -> None:
    """As instrumentation of queues does it."""
    tracer = trace.get_tracer("spool")
    with tracer.start_as_current_span("send", kind=SpanKind.PRODUCER, attributes=_destination(spool)):
        carrier: dict[str, str] = {}
        propagate.inject(carrier)
        made = spool / f"{uuid.uuid4().hex}.part"
        made.write_text(json.dumps({"url": url, "carrier": carrier}))
        made.rename(made.with_suffix(".json"))


def worker(spool: str) -> None:
    tracer = trace.get_tracer("spool")
    while True:
        for message in sorted(Path(spool).glob("*.json")):
            told = json.loads(message.read_text())
            message.unlink()
            sent = trace.get_current_span(propagate.extract(told["carrier"])).get_span_context()
            with tracer.start_as_current_span(
                "process", kind=SpanKind.CONSUMER, links=[Link(sent)], attributes=_destination(Path(spool))
            ):
                call("requests", told["url"], {})
        time.sleep(0.05)


def _destination(spool: Path) -> dict[str, str]:
    return {"messaging.system": "spool", "messaging.destination.name": spool.name}


def _flask(app: flask.Flask, port: str) -> None:
    if _is_traced():
        FlaskInstrumentor().instrument_app(app)
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    app.run("127.0.0.1", int(port), threaded=True)


def _is_traced() -> bool:
    return isinstance(trace.get_tracer_provider(), TracerProvider)


def _end_with_parent() -> None:
    """What starts the fleet may be killed."""
    parent = os.getppid()
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, daemon=True).start()
    main(sys.argv[1:])
