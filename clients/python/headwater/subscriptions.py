"""GraphQL subscriptions by server-sent events, for as long as one connection lasts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import httpx

from headwater.credentials import Credentials
from headwater.errors import AccessRefused, Refused, Unreachable

Json = dict[str, Any]

CONNECT_SECONDS = 10.0
SILENT_SECONDS = 60.0
"""The service says at least every 15 seconds that it is there."""


def subscribed(chosen: Credentials, query: str, variables: Mapping[str, Any]) -> Iterator[Json | None]:
    """None once the stream is there, then the `data` of each event, until the service ends it.

    Raises Unreachable when the connection is lost, or not made; Refused when asking again would not help.
    """
    headers = {"Accept": "text/event-stream"}
    headers |= {"Authorization": f"Bearer {chosen.token}"} if chosen.token else {}
    timeout = httpx.Timeout(CONNECT_SECONDS, read=SILENT_SECONDS)
    body = {"query": query, "variables": {**variables}}
    try:
        with httpx.stream("POST", f"{chosen.url}/graphql", json=body, headers=headers, timeout=timeout) as answer:
            if not answer.is_success:
                answer.read()
                raise refused(chosen, answer)
            yield None
            for payload in _events(answer.iter_lines()):
                if payload.get("errors"):
                    raise Refused("; ".join(str(error["message"]) for error in payload["errors"]), "INVALID")
                yield payload["data"]
    except httpx.ConnectError as error:
        raise Unreachable(f"cannot reach {chosen.url}: {error}") from error
    except httpx.TransportError as error:
        raise Unreachable(f"no answer from {chosen.url}: {str(error) or type(error).__name__}") from error


def _events(lines: Iterable[str]) -> Iterator[Json]:
    """The payloads of `next` events; ends with the event `complete`."""
    name, data = "", ""
    for line in lines:
        if line.startswith("event:"):
            name = line[6:].strip()
        elif line.startswith("data:"):
            data += line[5:].strip()
        elif not line:
            if name == "complete":
                return
            if name == "next" and data:
                payload: Json = json.loads(data)
                yield payload
            name, data = "", ""


def refused(chosen: Credentials, answer: httpx.Response) -> Unreachable | Refused:
    """What an answer says that is no success."""
    try:
        message = str(answer.json()["errors"][0]["message"])
    except (ValueError, LookupError, TypeError):
        message = f"{answer.status_code} {answer.reason_phrase}"
    if answer.status_code in {502, 503, 504}:
        return Unreachable(f"{chosen.url} is not ready: {message}")
    if answer.status_code in {401, 403}:
        return AccessRefused(f"{message} ({chosen.told})", str(answer.status_code))
    return Refused(message, str(answer.status_code))
