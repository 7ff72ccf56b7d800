"""The Open Inference Protocol over HTTP."""

import asyncio
import time
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of
from typing import NamedTuple
from urllib.parse import unquote

from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from app.events import Caller, Sighting
from app.serving import inference
from app.serving.composition import Plan
from app.serving.deployments import Model, Served, ready
from app.serving.inference import Inference, new_id
from app.serving.protocol import Unanswered, answer, metadata, parsed
from graph.errors import quoted
from graph.keys import AssetKey
from graph.time import Instant

_MODELS = b"/v2/models/"
_BINARY = "inference-header-content-length"


class _Path(NamedTuple):
    name: str
    version: str | None
    action: str
    """`infer`, `ready`, or nothing."""


class Endpoints:
    def __init__(
        self,
        served: Mapping[AssetKey, Served],
        restored: asyncio.Event,
        predicting: Inference,
        clock: Callable[[], Instant],
        caller: Callable[[HTTPConnection], Caller],
        saw: Callable[[Sighting], None],
    ) -> None:
        self._served = served
        self._restored = restored
        self._inference = predicting
        self._clock = clock
        self._caller = caller
        self._saw = saw

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/v2", self._server),
            Route("/v2/health/live", self._live),
            Route("/v2/health/ready", self._ready),
            Route("/v2/models/{path:path}", self._model, methods=["GET", "POST"]),
        ]

    async def _server(self, _: Request) -> Response:
        return JSONResponse({"name": "headwater", "version": _own_version(), "extensions": []})

    async def _live(self, _: Request) -> Response:
        return JSONResponse({"live": True})

    async def _ready(self, _: Request) -> Response:
        """Once everything that is deployed was started, or tried; one model that fails keeps no other from answering."""
        is_ready = self._restored.is_set()
        return JSONResponse({"ready": is_ready}, 200 if is_ready else 503)

    async def _model(self, request: Request) -> Response:
        path = _parsed(request.scope.get("raw_path") or request.url.path.encode())
        try:
            if (path.action == "infer") != (request.method == "POST"):
                allowed = "POST" if path.action == "infer" else "GET"
                return _refused(Unanswered(405, f"{request.method} is not answered here, {allowed} is"), Allow=allowed)
            served = self._named(path)
            if path.action == "infer":
                return await self._infer(request, served, path)
            answering = self._answering(served, path)
            if path.action == "ready":
                return self._readiness(served, path)
            return self._metadata(served, answering)
        except Unanswered as error:
            return _refused(error)

    async def _infer(self, request: Request, served: Served, path: _Path) -> Response:
        """Whatever comes of it, it is a call of this deployment."""
        at, status, begun = self._clock(), 500, time.perf_counter()
        caller = self._caller(request)
        try:
            if _BINARY in request.headers:
                raise Unanswered(400, "tensors are taken as JSON alone: ask the client to send no binary data")
            asked = parsed(await request.body())
            answering = self._answering(self._served.get(served.key, served), path)
            id_ = asked.id or new_id()
            told = inference.Request(request.state.headwater, caller, at, request.is_disconnected, id_)
            if isinstance(answering, Model):
                with answering.worker.using():
                    outputs = await self._inference.predict(told, served.key, answering, asked)
            else:
                outputs = await self._inference.predict(told, served.key, answering, asked)
            body = answer(asked, id_, path.name, _version(answering), outputs)
            status = 200
            return Response(body, media_type="application/json")
        except Unanswered as error:
            status = error.status
            raise
        except ClientDisconnect:
            status = 499
            raise
        finally:
            if status != 499:  # nobody was answered
                took = int((time.perf_counter() - begun) * 1_000_000)
                self._saw(Sighting(served.key, caller, at, status >= 400, took))

    def _named(self, path: _Path) -> Served:
        for key, served in self._served.items():
            if key.name == path.name:
                return served
        if not self._restored.is_set():
            raise Unanswered(503, f"whether {quoted(path.name)} is deployed is not known yet: starting", 1)
        raise Unanswered(404, f"no deployment is called {quoted(path.name)}")

    @staticmethod
    def _answering(served: Served, path: _Path) -> Model | Plan:
        if served.answering is None:
            raise Unanswered(503, f"{served.key} is not ready: {served.trouble or 'starting'}", 1)
        version = _version(served.answering)
        if path.version is not None and path.version != version:
            serves = f"version {quoted(version)}" if version is not None else "a composition, which has no versions"
            raise Unanswered(404, f"{served.key} serves {serves}, not version {quoted(path.version)}")
        return served.answering

    def _readiness(self, served: Served, path: _Path) -> Response:
        told: dict[str, object] = {"name": path.name, "ready": ready(served, self._served)}
        if served.trouble is not None:
            told["trouble"] = served.trouble
        if told["ready"]:
            return JSONResponse(told)
        return JSONResponse({**told, "error": f"{served.key} is not ready"}, 503, headers={"Retry-After": "1"})

    @staticmethod
    def _metadata(served: Served, answering: Model | Plan) -> Response:
        version = _version(answering)
        platform = answering.worker.platform if isinstance(answering, Model) else "headwater_composition"
        versions = [] if version is None else [version]
        return JSONResponse(metadata(served.key.name, versions, platform, answering.signature))


def _own_version() -> str:
    try:
        return version_of("headwater-server")
    except PackageNotFoundError:  # run from a copy of the sources
        return "unknown"


def _parsed(raw: bytes) -> _Path:
    """From the path as it was sent: a name may hold an escaped `/`, and is found with a plain one too."""
    steps = [unquote(step) for step in raw.removeprefix(_MODELS).decode(errors="replace").split("/")]
    action = steps.pop() if len(steps) > 1 and steps[-1] in ("infer", "ready") else ""
    version = None
    if len(steps) > 2 and steps[-2] == "versions":
        version = steps.pop()
        steps.pop()
    return _Path("/".join(steps), version, action)


def _version(answering: Model | Plan) -> str | None:
    return answering.source.version.part if isinstance(answering, Model) else None


def _refused(error: Unanswered, **headers: str) -> Response:
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    return JSONResponse({"error": str(error)}, error.status, headers=headers)
