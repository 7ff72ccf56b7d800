"""The built pages: the explorer, and the assets of all pages."""

from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

PAGE_FOLDERS = ("/n/", "/alerts/")
"""What lies under these is a place of the explorer, which reads it from the address itself."""

STATIC = Path(__file__).parent / "static"
GRAPHIQL = STATIC / "graphiql.html"
NOT_BUILT = """\
Headwater is running, but its pages have not been built.

To build them, in the source folder (needs Node.js):    make web

The API needs no pages: POST a query to /graphql.
"""


class _Assets(StaticFiles):
    """Their names change with their content, so browsers may keep them for good."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        if response.status_code in (200, 304):
            response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return response


def page_routes(static: Path = STATIC) -> list[BaseRoute]:
    async def explorer(_: Request) -> Response:
        page = static / "index.html"
        if not page.is_file():
            return PlainTextResponse(NOT_BUILT)
        return FileResponse(page, headers={"Cache-Control": "no-cache"})

    paths = ("/", "/alerts", *(f"{folder}{{key:path}}" for folder in PAGE_FOLDERS))
    routes: list[BaseRoute] = [Route(path, explorer) for path in paths]
    if (static / "assets").is_dir():
        routes.append(Mount("/assets", _Assets(directory=static / "assets")))
    return routes
