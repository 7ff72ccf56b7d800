"""Whether the process lives, whether it can answer, and what it measures."""

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from app.hosting import Hosting
from app.metrics import Metrics

_NO_STORE = {"Cache-Control": "no-store"}


def health_routes(hosting: Hosting, metrics: Metrics) -> list[Route]:
    async def healthz(_: Request) -> Response:
        return JSONResponse({"alive": True}, headers=_NO_STORE)

    async def readyz(_: Request) -> Response:
        reason = hosting.unready
        if reason is not None or hosting.headwater is None:
            answer = {"ready": False, "reason": reason or "starting"}
            return JSONResponse(answer, 503, headers={**_NO_STORE, "Retry-After": "1"})
        return JSONResponse({"ready": True, "revision": hosting.headwater.index.revision}, headers=_NO_STORE)

    def exposition(_: Request) -> Response:
        """Not async: the index may make a reader wait for a moment."""
        return Response(generate_latest(metrics.registry), headers=_NO_STORE, media_type=CONTENT_TYPE_LATEST)

    return [Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", exposition)]
