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


class Events:
    """What is told of an operation while it runs. `tell` hears all of it; the first `errors` are kept."""

    def __init__(self, operation: str, tell: Tell | None = None) -> None:
        self._operation = operation
        self._tell = tell
        self._errors: list[dict[str, Any]] = []
        self._last: dict[str, Any] = {}
        self._broken = False

    def hear(self, text: str) -> None:
        if self._broken or "done" in self._last or "failed" in self._last:
            return
        try:
            event = json.loads(text)
        except ValueError:  # a line that was cut off
            self._broken = True
            return
        self._last = event
        if "error" in event and len(self._errors) < KEPT_ERRORS:
            self._errors.append(event["error"])
        if self._tell is not None and "done" not in event and "failed" not in event:
            self._tell(event)

    def outcome(self) -> dict[str, Any]:
        """How it ended. Raises Refused, Unreachable."""
        if "done" in self._last:
            return {**self._last["done"], "errors": self._errors}
        if "failed" in self._last:
            failed = self._last["failed"]
            message = f"{failed['message']} (operation {self._operation})"
            if failed["code"] == "StoreUnavailable":
                raise Unreachable(message)
            raise Refused(message, failed["code"])
        raise Unreachable(
            f"the answer ended before the operation {self._operation} did; ask for it by bulkOperation, or send the same"
            " lines again under that operation id"
        )
