"""The public API, as any client uses it: GraphQL over HTTP."""

from collections.abc import Mapping
from typing import Any

import httpx


class Refused(Exception):
    """`str(error)` is the service's own sentence."""


class Client:
    def __init__(self, address: str, token: str | None = None) -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._http = httpx.Client(base_url=address, headers=headers, timeout=60)

    def close(self) -> None:
        self._http.close()

    def ask(self, document: str, **variables: object) -> dict[str, Any]:
        """The `data` of the answer. Raises Refused."""
        answer = self._http.post("/graphql", json={"query": document, "variables": variables}).json()
        if answer.get("errors"):
            raise Refused("; ".join(error["message"] for error in answer["errors"]))
        data: dict[str, Any] = answer["data"]
        return data

    def register(self, origin: str, basis: str, manifest: Mapping[str, object]) -> dict[str, Any]:
        """All that `origin` says, from now on: what it said before and does not say here is withdrawn. Raises Refused."""
        given = {"manifest": {"complete": True, **manifest}, "envelope": {"origin": origin, "basis": basis}}
        result: dict[str, Any] = self.ask(_REGISTER, **given)["register"]
        if "message" in result:
            raise Refused(result["message"])
        return result


_REGISTER = """
mutation Register($manifest: ManifestInput!, $envelope: EnvelopeInput!) {
  register(manifest: $manifest, envelope: $envelope) {
    ... on Registered { changed revision added updated withdrawn }
    ... on Problem { message }
  }
}
"""
