"""Whom reading commands ask: a service, or the file of an exported graph."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from headwater import asked, simulating
from headwater.asked import Json, Question
from headwater.client import Client
from headwater.terminal import connected


class Source(Protocol):
    """Each answers as the function of that name in `asked` and `simulating`, and raises Refused."""

    def lineage(self, question: Question, arrows: bool) -> Json: ...

    def users(self, question: Question, found: Json) -> Iterator[Json]: ...

    def explored(self, documents: Sequence[Json], question: Question, arrows: bool) -> Json: ...


class Service:
    def __init__(self, client: Client) -> None:
        self._client = client

    def lineage(self, question: Question, arrows: bool) -> Json:
        return asked.lineage(self._client, question, arrows)

    def users(self, question: Question, found: Json) -> Iterator[Json]:
        return asked.users(self._client, question, found)

    def explored(self, documents: Sequence[Json], question: Question, arrows: bool) -> Json:
        return simulating.explored(self._client, documents, question, arrows)


@contextmanager
def answering(url: str | None, token: str | None, graph: Path | None) -> Iterator[Source]:
    if graph is not None:
        from headwater.offline import Graph  # noqa: PLC0415 (an extra)

        yield Graph(graph)
        return
    with connected(url, token) as client:
        yield Service(client)
