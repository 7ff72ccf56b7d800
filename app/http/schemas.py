"""JSON Schemas of what people write for the service, for their editors."""

from functools import cache

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from graph.importers.manifest_format import manifest_schema

SCHEMAS = "/schemas/"
MANIFEST_SCHEMA = f"{SCHEMAS}headwater.yaml.json"


def schema_routes() -> list[Route]:
    async def manifest(_: Request) -> Response:
        # Editors of pages (Monaco, CodeMirror) fetch it from other origins.
        headers = {"Cache-Control": "max-age=3600", "Access-Control-Allow-Origin": "*"}
        return Response(_manifest(), media_type="application/schema+json", headers=headers)

    return [Route(MANIFEST_SCHEMA, manifest)]


@cache
def _manifest() -> bytes:
    return orjson.dumps(manifest_schema(), option=orjson.OPT_INDENT_2)
