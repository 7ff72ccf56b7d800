"""The one comment of a request: at GitLab too, and what is done when a forge is busy, refuses or goes astray."""

import json
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from headwater import comments
from headwater.comments import GitHub, GitLab, marker, post
from headwater.errors import HeadwaterError, Refused, Unreachable

Answer = Callable[[httpx.Request], httpx.Response]
MARK = marker("check")


class Forge:
    """Answers in the place of a forge, in order; the last again and again."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *answers: httpx.Response | Exception) -> None:
        self.answers, self.asked, self.waited = [*answers], list[httpx.Request](), list[float]()
        client = httpx.Client
        monkeypatch.setattr(
            httpx, "Client", lambda **given: client(transport=httpx.MockTransport(self.answer), **given)
        )

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def github(self) -> GitHub:
        return GitHub("https://api.example", "o/r", "t", 1, self.waited.append)

    def gitlab(self) -> GitLab:
        return GitLab("https://gitlab.example/api/v4", "9", "t", 3, self.waited.append)


ME = httpx.Response(200, json={"login": "robot", "id": 5})


def test_at_gitlab_the_note_of_this_token_is_updated_and_those_of_others_are_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    others = [
        {"id": 1, "body": f"{MARK}\nold", "author": {"id": 4}},
        {"id": 2, "body": f"{MARK}\nold", "author": {"id": 5}, "system": True},
    ]
    link = '<https://gitlab.example/api/v4/projects/9/merge_requests/3/notes?page=2>; rel="next"'
    first = httpx.Response(200, json=others, headers={"Link": link})
    second = httpx.Response(200, json=[{"id": 8, "body": f"{MARK}\nold", "author": {"id": 5}}])
    forge = Forge(monkeypatch, ME, first, second, httpx.Response(200, json={}))
    assert post(forge.gitlab(), "check", "new") == "Comment 8 is updated."
    written = forge.asked[-1]
    assert (written.method, written.url.path) == ("PUT", "/api/v4/projects/9/merge_requests/3/notes/8")
    assert json.loads(written.content) == {"body": f"{MARK}\nnew"}
    assert written.headers["PRIVATE-TOKEN"] == "t"


@pytest.mark.parametrize(
    ("busy", "waits"),
    [
        (httpx.Response(403, headers={"retry-after": "7"}, json={"message": "secondary rate limit"}), [7.0]),
        (httpx.Response(429, headers={"retry-after": "2"}), [2.0]),
        (httpx.Response(403, json={"message": "You have exceeded a secondary rate limit"}), [60.0]),
        (httpx.Response(403, headers={"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1"}), [1.0]),
        (httpx.Response(502), [1.0]),
        (httpx.ConnectError("refused"), [1.0]),
    ],
)
def test_a_busy_forge_is_asked_again_when_it_says(
    monkeypatch: pytest.MonkeyPatch, busy: httpx.Response | Exception, waits: list[float]
) -> None:
    forge = Forge(monkeypatch, ME, httpx.Response(200, json=[]), busy, httpx.Response(201, json={}))
    assert post(forge.github(), "check", "new") == "A comment is made."
    assert forge.waited == waits


def test_nobody_waits_longer_than_a_comment_is_worth(monkeypatch: pytest.MonkeyPatch) -> None:
    forge = Forge(monkeypatch, httpx.Response(403, headers={"retry-after": "3600"}))
    with pytest.raises(Unreachable, match="403"):
        post(forge.github(), "check", "new")
    assert forge.waited == []


def test_what_may_have_been_made_is_not_made_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    forge = Forge(monkeypatch, ME, httpx.Response(200, json=[]), httpx.ReadTimeout("slow"))
    with pytest.raises(Unreachable, match="slow"):
        post(forge.github(), "check", "new")
    assert [request.method for request in forge.asked] == ["GET", "GET", "POST"]


@pytest.mark.parametrize("status", [401, 404, 422])
def test_a_refusal_is_told_and_not_repeated(monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    refused = httpx.Response(status, json={"message": "Body is too long"})
    forge = Forge(monkeypatch, ME, httpx.Response(200, json=[]), refused)
    with pytest.raises(Refused, match=f"answered {status}: Body is too long"):
        post(forge.github(), "check", "new")
    assert len(forge.asked) == 3


def test_a_link_that_leads_elsewhere_takes_no_token_there(monkeypatch: pytest.MonkeyPatch) -> None:
    link = {"Link": '<https://evil.example/comments?page=2>; rel="next"'}
    forge = Forge(monkeypatch, ME, httpx.Response(200, json=[], headers=link))
    with pytest.raises(Refused, match=r"links to https://evil\.example"):
        post(forge.github(), "check", "new")
    assert {request.url.host for request in forge.asked} == {"api.example"}


def test_the_forge_and_the_request_are_those_of_the_pipeline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("GITHUB_REPOSITORY", "GITHUB_EVENT_PATH", "CI_API_V4_URL", "CI_MERGE_REQUEST_IID"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(HeadwaterError, match="neither a job of GitHub Actions"):
        comments.forge()
    event = tmp_path / "event.json"
    event.write_text('{"ref": "main"}')
    for name, value in (("REPOSITORY", "o/r"), ("TOKEN", "t"), ("EVENT_PATH", str(event))):
        monkeypatch.setenv(f"GITHUB_{name}", value)
    with pytest.raises(HeadwaterError, match="not started by a pull request"):
        comments.forge()
    assert isinstance(comments.forge(3), GitHub)
