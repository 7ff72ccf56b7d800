"""The one comment of a pull or merge request that says what a check found: made once, then updated in place.

It is known again by a marker that nobody sees, and by its author: what others wrote is never touched.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import httpx

from headwater.errors import HeadwaterError, Refused, Unreachable

EXIT_CODES = """
Exit codes: 0 posted, or nothing to say; 2 refused, or wrong usage; 4 the forge cannot be reached; 70 a fault of this program.
"""

ATTEMPTS = 5
LONGEST_WAIT = 120.0
"""Seconds, all waits together: a job that waits costs more than a comment that is missing."""
_TIMEOUT_SECONDS = 30.0

Sleep = Callable[[float], None]


def marker(name: str) -> str:
    return f"<!-- headwater:{re.sub(r'[^A-Za-z0-9_.-]', '-', name)} -->"


@dataclass(frozen=True)
class Comment:
    id: int
    body: str


class Forge(Protocol):
    """Where comments are posted."""

    letters: int
    """The most that a comment may have."""

    def own(self) -> Iterator[Comment]:
        """Those of whoever posts now, oldest first."""
        ...

    def create(self, body: str) -> None: ...

    def update(self, comment: Comment, body: str) -> None: ...


def post(forge: Forge, name: str, body: str, create: bool = True) -> str:
    """What was done, for people. Without `create`, only a comment that is there says something new. Raises HeadwaterError."""
    mark = marker(name)
    wanted = f"{mark}\n{body}"
    for each in forge.own():
        if each.body.startswith(mark):
            if each.body.replace("\r\n", "\n").rstrip() == wanted.rstrip():
                return f"Comment {each.id} says it already."
            forge.update(each, wanted)
            return f"Comment {each.id} is updated."
    if not create:
        return "There is nothing to say, and no comment that says otherwise."
    forge.create(wanted)
    return "A comment is made."


def forge(number: int | None = None) -> Forge:
    """That of the pipeline this runs in. Raises HeadwaterError, which says what is missing."""
    if "GITHUB_REPOSITORY" in os.environ:
        return GitHub(
            os.environ.get("GITHUB_API_URL", "https://api.github.com"),
            os.environ["GITHUB_REPOSITORY"],
            _needed("GITHUB_TOKEN"),
            number or _pull_request(),
        )
    if "CI_API_V4_URL" in os.environ:
        request = number or int(_needed("CI_MERGE_REQUEST_IID"))
        token = _needed("HEADWATER_GITLAB_TOKEN")
        return GitLab(os.environ["CI_API_V4_URL"], _needed("CI_PROJECT_ID"), token, request)
    raise HeadwaterError(
        "this is neither a job of GitHub Actions (GITHUB_REPOSITORY) nor one of GitLab CI (CI_API_V4_URL)"
    )


class GitHub:
    letters = 65_536

    def __init__(self, url: str, repository: str, token: str, number: int, sleep: Sleep = time.sleep) -> None:
        headers = {
            "Accept": "application/vnd.github+json",
            "Authorization": f"Bearer {token}",
            "X-GitHub-Api-Version": "2022-11-28",
        }
        self._rest = Rest(url, headers, sleep)
        self._comments = f"/repos/{repository}/issues/{number}/comments"
        self._comment = f"/repos/{repository}/issues/comments"

    def own(self) -> Iterator[Comment]:
        me = self._me()
        for each in self._rest.pages(self._comments):
            author = each.get("user") or {}
            # The token of a job, or of an app, may not ask who it is; it writes as a bot.
            if author.get("login") == me if me is not None else author.get("type") == "Bot":
                yield Comment(each["id"], each.get("body") or "")

    def _me(self) -> str | None:
        try:
            return str(self._rest.ask("GET", "/user").json()["login"])
        except Refused as error:
            if error.code in {"401", "403", "404"}:
                return None
            raise

    def create(self, body: str) -> None:
        self._rest.ask("POST", self._comments, {"body": body})

    def update(self, comment: Comment, body: str) -> None:
        self._rest.ask("PATCH", f"{self._comment}/{comment.id}", {"body": body})


class GitLab:
    letters = 1_000_000

    def __init__(self, url: str, project: str, token: str, number: int, sleep: Sleep = time.sleep) -> None:
        self._rest = Rest(url, {"PRIVATE-TOKEN": token}, sleep)
        self._notes = f"/projects/{project}/merge_requests/{number}/notes"

    def own(self) -> Iterator[Comment]:
        me = self._rest.ask("GET", "/user").json()["id"]
        for each in self._rest.pages(self._notes, order_by="created_at", sort="asc"):
            if (each.get("author") or {}).get("id") == me and not each.get("system"):
                yield Comment(each["id"], each.get("body") or "")

    def create(self, body: str) -> None:
        self._rest.ask("POST", self._notes, {"body": body})

    def update(self, comment: Comment, body: str) -> None:
        self._rest.ask("PUT", f"{self._notes}/{comment.id}", {"body": body})


class Rest:
    """Calls that wait as long as they are told to, and are tried again when that can do no harm."""

    def __init__(self, url: str, headers: dict[str, str], sleep: Sleep) -> None:
        self._url = url.rstrip("/")
        self._http = httpx.Client(headers=headers, timeout=_TIMEOUT_SECONDS)
        self._sleep = sleep
        self._waited = 0.0

    def pages(self, path: str, **parameters: str) -> Iterator[dict[str, Any]]:
        """All items, by the links to the next page."""
        query = "&".join(f"{name}={value}" for name, value in {"per_page": "100", **parameters}.items())
        target: str | None = f"{path}?{query}"
        while target is not None:
            answer = self.ask("GET", target)
            yield from answer.json()
            target = answer.links.get("next", {}).get("url")

    def ask(self, method: str, target: str, body: dict[str, Any] | None = None) -> httpx.Response:
        """Raises Refused, Unreachable."""
        url = target if target.startswith(f"{self._url}/") else self._url + target
        if "://" in target and url != target:
            raise Refused(f"{self._url} links to {target}, which is not its own", "link")
        for attempt in range(ATTEMPTS):
            wait: float | None
            try:
                answer = self._http.request(method, url, json=body)
            except httpx.TransportError as error:
                told = f"no answer from {self._url}: {str(error) or type(error).__name__}"
                # What may have been done must not be done twice, and a comment that is made twice stays.
                wait = 2.0**attempt if method != "POST" or isinstance(error, httpx.ConnectError) else None
            else:
                if answer.is_success:
                    return answer
                told = f"{method} {url} answered {answer.status_code}: {_message(answer)}"
                wait = _wait(answer, attempt)
                if wait is None:
                    raise Refused(told, str(answer.status_code))
            if wait is None or attempt == ATTEMPTS - 1 or self._waited + wait > LONGEST_WAIT:
                raise Unreachable(told)
            self._waited += wait
            self._sleep(wait)
        raise AssertionError("unreachable")


def _wait(answer: httpx.Response, attempt: int) -> float | None:
    """Seconds before the same is asked again; None: that would be of no use."""
    status, headers = answer.status_code, answer.headers
    if status not in {403, 429} and status < 500:
        return None
    after = headers.get("retry-after", "")
    if after.isdigit():
        return float(after)
    if headers.get("x-ratelimit-remaining") == "0" and headers.get("x-ratelimit-reset", "").isdigit():
        return max(float(headers["x-ratelimit-reset"]) - time.time(), 1.0)
    if status == 403 and "secondary rate limit" not in _message(answer).lower():
        return None
    return 60.0 if status in {403, 429} else 2.0**attempt


def _message(answer: httpx.Response) -> str:
    try:
        told = answer.json()
    except ValueError:
        return answer.text[:200]
    return str(told.get("message") or told.get("error") or told) if isinstance(told, dict) else str(told)[:200]


def _pull_request() -> int:
    """Of the event that started the job."""
    path = os.environ.get("GITHUB_EVENT_PATH")
    try:
        event = json.loads(Path(path).read_bytes()) if path else {}
    except (OSError, ValueError) as error:
        raise HeadwaterError(f"the event {path} cannot be read: {error}") from error
    request = event.get("pull_request") or event.get("issue") or {}
    if not isinstance(request.get("number"), int):
        raise HeadwaterError("this job was not started by a pull request; say with --number which one is meant")
    return int(request["number"])


def _needed(name: str) -> str:
    value = os.environ.get(name)
    if not value:
        raise HeadwaterError(f"{name} is not set")
    return value
