"""gql, the Python GraphQL client, over each of its transports, and server-sent events read by httpx."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from itertools import count
from typing import Any

import httpx
import pytest
from gql import Client, GraphQLRequest
from gql.client import AsyncClientSession
from gql.transport.aiohttp import AIOHTTPTransport
from gql.transport.async_transport import AsyncTransport
from gql.transport.exceptions import TransportQueryError
from gql.transport.httpx import HTTPXAsyncTransport
from gql.transport.websockets import WebsocketsTransport

from tests.service import running_service

REGISTER = """
mutation Register($input: ConsumerInput!) {
  registerConsumer(input: $input) { ... on Registered { changed revision assets { id } } ... on Problem { message } }
}
"""
ASSET = (
    "query Asset($key: ID!, $least: Int) { asset(key: $key, atLeastRevision: $least) { __typename id description } }"
)
CHANGES = "subscription Changes($since: Int) { changes(since: $since) { number changes { verb subject } } }"

names = (f"reader-{number}" for number in count())
"""Never the same twice: registering again what is known is no revision."""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_service(f"sqlite:///{tmp_path_factory.mktemp('store')}/store.db") as address:
        yield address


@pytest.mark.parametrize("name_of_transport", ["httpx", "aiohttp", "websockets"])
def test_a_query_a_mutation_and_a_mistake(address: str, name_of_transport: str) -> None:
    async def journey() -> None:
        transport = transport_of(name_of_transport, address)
        async with Client(transport=transport, fetch_schema_from_transport=True) as session:
            name = next(names)
            registered = await register(session, name, description="reads")
            assert registered["changed"]
            asked = request(ASSET, {"key": key(name), "least": registered["revision"]})
            assert (await session.execute(asked))["asset"] == {
                "__typename": "Consumer",
                "id": key(name),
                "description": "reads",
            }
            assert not (await register(session, name, description="reads"))["changed"]
        # Without the schema at hand the client cannot see the mistake before the service does.
        async with Client(transport=transport) as session:
            with pytest.raises(TransportQueryError, match="noSuchField"):
                await session.execute(request("{ noSuchField }"))

    asyncio.run(journey())


def test_a_subscription_over_websocket_tells_what_happens(address: str) -> None:
    async def journey() -> None:
        async with (
            Client(transport=HTTPXAsyncTransport(url=f"{address}/graphql")) as writer,
            Client(transport=websocket(address)) as reader,
            aclosing(reader.subscribe(request(CHANGES, {"since": await head(writer)}))) as coming,
        ):
            name = next(names)
            revision = (await register(writer, name))["revision"]
            event = (await anext(coming))["changes"]
            assert event == {"number": revision, "changes": [{"verb": "ADDED", "subject": key(name)}]}

    asyncio.run(asyncio.wait_for(journey(), 60))


def test_a_subscription_resumes_without_a_gap_and_without_a_double(address: str) -> None:
    """Also while somebody writes: each revision comes once, in order, over three connections."""

    async def journey() -> None:
        async with Client(transport=HTTPXAsyncTransport(url=f"{address}/graphql")) as writer:
            begin = seen = await head(writer)
            writing = asyncio.create_task(write(writer, 30))
            numbers: list[int] = []
            for wanted in (7, 1, 22):
                async with (
                    Client(transport=websocket(address)) as reader,
                    aclosing(reader.subscribe(request(CHANGES, {"since": seen}))) as coming,
                ):
                    numbers += [(await anext(coming))["changes"]["number"] for _ in range(wanted)]
                    seen = numbers[-1]
            assert await writing == numbers == list(range(begin + 1, begin + 31))

    asyncio.run(asyncio.wait_for(journey(), 90))


def test_a_subscription_over_server_sent_events_resumes_too(address: str) -> None:
    async def journey() -> None:
        async with (
            Client(transport=HTTPXAsyncTransport(url=f"{address}/graphql")) as writer,
            httpx.AsyncClient(base_url=address, timeout=30) as http,
        ):
            begin = await head(writer)
            written = await write(writer, 3)
            async with events(http, begin) as stream:
                assert [(await anext(stream))["number"] for _ in written] == written
                written += await write(writer, 2)
                assert [(await anext(stream))["number"] for _ in range(2)] == written[3:]
            async with events(http, written[0]) as stream:
                assert [(await anext(stream))["number"] for _ in range(4)] == written[1:]

    asyncio.run(asyncio.wait_for(journey(), 60))


def key(name: str) -> str:
    return f"consumer:python-clients/{name}"


def transport_of(name: str, address: str) -> AsyncTransport:
    """Made inside an event loop: gql binds it to the current one, else to one that nobody closes."""
    if name == "httpx":
        return HTTPXAsyncTransport(url=f"{address}/graphql")
    return AIOHTTPTransport(url=f"{address}/graphql") if name == "aiohttp" else websocket(address)


def websocket(address: str) -> WebsocketsTransport:
    return WebsocketsTransport(url=f"{address.replace('http', 'ws', 1)}/graphql")


def request(document: str, variables: dict[str, Any] | None = None) -> GraphQLRequest:
    return GraphQLRequest(document, variable_values=variables)


async def head(session: AsyncClientSession) -> int:
    revision: int = (await session.execute(request("{ head { revision } }")))["head"]["revision"]
    return revision


async def register(session: AsyncClientSession, name: str, **fields: object) -> dict[str, Any]:
    given = {"input": {"namespace": "python-clients", "name": name, **fields}}
    result: dict[str, Any] = (await session.execute(request(REGISTER, given)))["registerConsumer"]
    assert [asset["id"] for asset in result["assets"]] == [key(name)]
    return result


async def write(session: AsyncClientSession, times: int) -> list[int]:
    """The revisions made."""
    return [(await register(session, next(names)))["revision"] for _ in range(times)]


@asynccontextmanager
async def events(http: httpx.AsyncClient, since: int) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
    """The revisions after `since`, as `data:` lines of an event stream."""
    asked = {"query": CHANGES, "variables": {"since": since}}
    async with http.stream("POST", "/graphql", json=asked, headers={"Accept": "text/event-stream"}) as response:
        assert response.headers["content-type"].startswith("text/event-stream")

        async def revisions() -> AsyncIterator[dict[str, Any]]:
            async for line in response.aiter_lines():
                if line.startswith("data: "):
                    yield json.loads(line.removeprefix("data: "))["data"]["changes"]

        yield revisions()
