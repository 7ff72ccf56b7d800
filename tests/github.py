"""A server that behaves as GitHub documents its REST API for comments of issues: pages, limits, refusals."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

MOST_LETTERS = 65_536
BOT = {"login": "github-actions[bot]", "type": "Bot"}
TOKEN = "ghs_job"


@dataclass
class GitHub:
    """One repository, with the comments of one pull request."""

    repository: str = "shop/prices"
    number: int = 7
    comments: list[dict[str, Any]] = field(default_factory=list)
    limited: int = 0
    """So many writes are refused first, by the secondary rate limit."""
    asked: list[str] = field(default_factory=list)
    """Method and path of each request."""
    ids: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def said(self, body: str, login: str = "alice", kind: str = "User") -> dict[str, Any]:
        comment = {"id": next(self.ids), "body": body, "user": {"login": login, "type": kind}}
        self.comments.append(comment)
        return comment

    @property
    def app(self) -> Starlette:
        issues = f"/repos/{self.repository}/issues"
        return Starlette(
            routes=[
                Route("/user", self._user),
                Route(f"{issues}/{self.number}/comments", self._list, methods=["GET"]),
                Route(f"{issues}/{self.number}/comments", self._create, methods=["POST"]),
                Route(f"{issues}/comments/{{id:int}}", self._update, methods=["PATCH"]),
            ]
        )

    async def _user(self, request: Request) -> Response:
        return self._refused(request) or _problem(403, "Resource not accessible by integration")

    async def _list(self, request: Request) -> Response:
        if refused := self._refused(request):
            return refused
        size = min(int(request.query_params.get("per_page", 30)), 100)
        page = int(request.query_params.get("page", 1))
        last = max(1, -(-len(self.comments) // size))
        links = []
        for name, number in (("next", page + 1), ("last", last)):
            if page < last:
                links.append(f'<{request.url.include_query_params(page=number)}>; rel="{name}"')
        shown = self.comments[(page - 1) * size : page * size]
        return JSONResponse(shown, headers={"Link": ", ".join(links)} if links else {})

    async def _create(self, request: Request) -> Response:
        body = (await request.json())["body"]
        if refused := self._refused(request) or self._limited() or _too_long(body):
            return refused
        return JSONResponse(self.said(body, login=BOT["login"], kind="Bot"), status_code=201)

    async def _update(self, request: Request) -> Response:
        body = (await request.json())["body"]
        if refused := self._refused(request) or self._limited() or _too_long(body):
            return refused
        for comment in self.comments:
            if comment["id"] == request.path_params["id"]:
                comment["body"] = body
                return JSONResponse(comment)
        return _problem(404, "Not Found")

    def _refused(self, request: Request) -> Response | None:
        self.asked.append(f"{request.method} {request.url.path}")
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            return _problem(401, "Bad credentials")
        if "github" not in request.headers.get("accept", "") or "x-github-api-version" not in request.headers:
            return _problem(400, "the headers that are recommended are missing")
        return None

    def _limited(self) -> Response | None:
        if not self.limited:
            return None
        self.limited -= 1
        told = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."
        return _problem(403, told, {"retry-after": "1"})


def _too_long(body: str) -> Response | None:
    if len(body) <= MOST_LETTERS:
        return None
    error = {"resource": "IssueComment", "code": "unprocessable", "field": "data", "message": "Body is too long"}
    return JSONResponse({"message": "Validation Failed", "errors": [error]}, status_code=422)


def _problem(status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"message": message, "documentation_url": "https://docs.github.com/rest"}, status, headers)
