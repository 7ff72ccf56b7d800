"""What is sent, and when it is sent again, without sending it: `Client` and `AsyncClient` do that, each in its way.

An operation is a generator: it yields what is to be done next, is sent what came of it, and returns its result. So
everything but the sending itself is written once.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

from headwater.errors import AccessRefused, Refused, Unreachable

TIMEOUT_SECONDS = 30.0
RETRIES = 3
FIRST_WAIT_SECONDS = 0.2
LONGEST_WAIT_SECONDS = 20.0

Json: TypeAlias = dict[str, Any]
T = TypeVar("T")


@dataclass(frozen=True)
class Call:
    """A request. An iterable is sent in chunks, and cannot be sent again."""

    method: str
    path: str
    content: bytes | Iterable[bytes] = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    hear: Callable[[str], None] | None = None
    """Given each line of an answer that is a success, as it comes; the answer's content is then empty."""


@dataclass(frozen=True)
class Pause:
    seconds: float


@dataclass(frozen=True)
class Answer:
    service: str
    """The address of the service."""
    status: int
    reason: str
    headers: Mapping[str, str]
    content: bytes

    def document(self) -> Json:
        """Empty for what is no object in JSON."""
        try:
            document = json.loads(self.content)
        except ValueError:
            return {}
        return document if isinstance(document, dict) else {}

    @property
    def message(self) -> str:
        body = self.document()
        errors = body.get("errors")
        if isinstance(errors, list) and errors:
            return str(errors[0].get("message"))
        error = body.get("error")
        if isinstance(error, dict):
            error = error.get("message")
        return str(error or body.get("message") or f"{self.status} {self.reason}")


class NoAnswer(Exception):
    """Thrown into an operation in place of an Answer."""

    def __init__(self, message: str, sent: bool) -> None:
        super().__init__(message)
        self.sent = sent
        """The service may have had the request."""


Step: TypeAlias = "Call | Pause"
Steps: TypeAlias = Generator[Step, "Answer | None", T]
"""An operation that gives a T."""

_NOT_READY = {502, 503, 504}


def attempted(call: Call) -> Steps[Answer]:
    """One try. Raises NoAnswer."""
    answer = yield call
    assert answer is not None
    return answer


def answered(call: Call, repeatable: bool = True, patient: bool = True) -> Steps[Answer]:
    """The answer to the first try that gets one; `repeatable`: the call has no second effect. Raises Unreachable, Refused.

    Not `patient`: there is one try.
    """
    left = waits() if patient else iter(())
    while True:
        try:
            answer = yield from attempted(call)
        except NoAnswer as reason:
            failure, again, least = str(reason), repeatable or not reason.sent, 0.0
        else:
            if answer.status not in _NOT_READY:
                return checked(answer)
            failure = f"{answer.service} is not ready: {answer.message}"
            again, least = repeatable, _asked_to_wait(answer)
        wait = next(left, None) if again else None
        if wait is None:
            raise Unreachable(failure)
        yield Pause(min(max(wait, least), LONGEST_WAIT_SECONDS))


def waits() -> Iterator[float]:
    """Longer each time, and not of one length for all who wait."""
    return (FIRST_WAIT_SECONDS * 2**attempt * random.uniform(0.75, 1.25) for attempt in range(RETRIES))  # noqa: S311


def _asked_to_wait(answer: Answer) -> float:
    stated = answer.headers.get("retry-after", "")
    return float(stated) if stated.isdecimal() else 0.0


def checked(answer: Answer) -> Answer:
    """Raises Refused. GraphQL's own refusals stand in the body of an answer, whatever its status."""
    if answer.status in {401, 403}:
        raise AccessRefused(answer.message, str(answer.status))
    if answer.status >= 400 and "errors" not in answer.document():
        raise Refused(answer.message, str(answer.status))
    if 300 <= answer.status < 400:
        raise Refused(
            f"{answer.service} redirects to {answer.headers.get('location')}; give that address", str(answer.status)
        )
    return answer


def refused(answer: Answer) -> Refused:
    """What a checked answer says that is an error in the form of GraphQL's."""
    extensions = answer.document()["errors"][0].get("extensions") or {}
    return Refused(answer.message, str(extensions.get("code", answer.status)))


def posted(path: str, body: Json, repeatable: bool = True, patient: bool = True) -> Steps[Json]:
    """The JSON that is answered to JSON."""
    content = json.dumps(body, default=plain, allow_nan=False).encode()
    answer = yield from answered(Call("POST", path, content, {"Content-Type": "application/json"}), repeatable, patient)
    document = answer.document()
    if not document and answer.content.strip() != b"{}":
        raise Unreachable(
            f"{answer.service}{path} does not answer as Headwater does: {answer.content[:200].decode(errors='replace')!r}"
        )
    return document


def plain(value: Any) -> Any:
    """What numpy, pandas, datetime and pydantic hold, as JSON."""
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json", by_alias=True, exclude_unset=True)
    for method in ("tolist", "isoformat"):
        if hasattr(value, method):
            return getattr(value, method)()
    raise TypeError(f"{value!r} is a {type(value).__name__}, which cannot be sent as JSON")
