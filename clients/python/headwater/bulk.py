"""Many lines at once, as the service's bulk intake takes them, and what it answers while it does."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from headwater.errors import Refused, Unreachable

Line = Mapping[str, Any] | str | bytes
"""A line as it stands in a file, or the object that it holds."""

Tell = Callable[[dict[str, Any]], None]

KEPT_ERRORS = 1_000
_SENT_AT_ONCE = 1 << 16


def body(lines: Iterable[Line], plain: Callable[[Any], Any]) -> Iterator[bytes]:
    """The lines in chunks; `plain` makes JSON of what json cannot."""
    waiting = bytearray()
    for line in lines:
        text = json.dumps(line, default=plain, allow_nan=False) if isinstance(line, Mapping) else line
        waiting += text.encode() if isinstance(text, str) else text
        if not waiting.endswith(b"\n"):
            waiting += b"\n"
        if len(waiting) >= _SENT_AT_ONCE:
            yield bytes(waiting)
            waiting.clear()
    if waiting:
        yield bytes(waiting)


def outcome(events: Iterable[str], operation: str, tell: Tell | None) -> dict[str, Any]:
    """How it ended, with the first `errors`; `tell` hears all of them, and of progress. Raises Refused, Unreachable."""
    errors: list[dict[str, Any]] = []
    for text in events:
        try:
            event = json.loads(text)
        except ValueError:
            break
        if "done" in event:
            done: dict[str, Any] = {**event["done"], "errors": errors}
            return done
        if "failed" in event:
            failed = event["failed"]
            message = f"{failed['message']} (operation {operation})"
            if failed["code"] == "StoreUnavailable":
                raise Unreachable(message)
            raise Refused(message, failed["code"])
        if "error" in event and len(errors) < KEPT_ERRORS:
            errors.append(event["error"])
        if tell is not None:
            tell(event)
    raise Unreachable(
        f"the answer ended before the operation {operation} did; ask for it by bulkOperation, or send the same lines again"
        " under that operation id"
    )
