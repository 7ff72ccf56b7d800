"""What `Client` and `AsyncClient` know of the service they speak to."""

from __future__ import annotations

import os
from collections.abc import Mapping
from urllib.parse import quote, unquote

import httpx

from headwater.runs import current_run
from headwater.spool import Spool, default_path
from headwater.transport import Answer, NoAnswer

DEFAULT_URL = "http://127.0.0.1:8321"


class Connection:
    """An address, and who calls. Without transport."""

    def __init__(
        self, url: str | None, token: str | None, service: str | None, spool: Spool | str | os.PathLike[str] | None
    ) -> None:
        self.url = (url or os.environ.get("HEADWATER_URL") or DEFAULT_URL).rstrip("/")
        token = token or os.environ.get("HEADWATER_TOKEN")
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}
        self.headers |= _baggage(service)
        place = default_path(self.url, self.headers) if spool is None else spool
        self.spool = place if isinstance(place, Spool) else Spool(place)
        """What was recorded and could not be sent yet."""

    def _noticed(self, read: Mapping[str, str]) -> None:
        """Features that were read for training, keys by name: the training run that this is within is told."""
        run = current_run()
        if run is not None and run.client is self:
            run._noticed(read)

    def _answer(self, response: httpx.Response, content: bytes) -> Answer:
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Answer(self.url, response.status_code, response.reason_phrase, headers, content)

    def _no_answer(self, error: httpx.TransportError | httpx.InvalidURL) -> NoAnswer:
        if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout):  # nothing was sent
            return NoAnswer(f"cannot reach {self.url}: {str(error) or type(error).__name__}", sent=False)
        if isinstance(error, httpx.TransportError):
            return NoAnswer(f"no answer from {self.url}: {str(error) or type(error).__name__}", sent=True)
        return NoAnswer(f"{self.url} is not the address of a service: {error}", sent=True)


def _baggage(service: str | None) -> dict[str, str]:
    """W3C baggage that names the caller, in the words of OpenTelemetry's resources."""
    stated = (each.partition("=") for each in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "").split(","))
    resource = {name.strip(): unquote(value.strip()) for name, equals, value in stated if equals}
    if service:
        namespace, _, name = service.rpartition("/")
    else:
        name = os.environ.get("OTEL_SERVICE_NAME") or resource.get("service.name", "")
        namespace = resource.get("service.namespace", "")
    if not name:
        return {}
    members = {"service.name": name, "service.namespace": namespace}
    return {"baggage": ",".join(f"{member}={quote(value, safe='')}" for member, value in members.items() if value)}
