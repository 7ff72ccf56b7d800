"""How long the API takes beside the walk: summaries, columns, streams, lists; and what light questions wait for heavy ones."""

import asyncio
import logging
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import orjson
import structlog
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.asking import Question, ask
from app.compose import furnish, now
from app.hosting import Hosted
from app.http.tables import arrow_stream, json_document, json_lines
from app.identity import OpenTokens
from app.main import create_app
from app.metrics import Metrics
from app.service import Headwater, When
from app.settings import Settings
from graph.impact import when_felt
from graph.index import LineageIndex
from graph.keys import AssetKey
from graph.stores.sqlite import SqliteStore
from graph.summary import count_by_kind, count_by_owner, count_by_when, table
from graph.topology import Moment
from graph.walk import AssetFilter, Direction, Lineage, selected, walk
from tests.bench.figures import Figure, ratio, scaled
from tests.bench.filling import filled_sqlite
from tests.bench.world import world
from tests.service import in_thread

RUNS = 5

SUMMARY = """query($start: ID!, $depth: Int) { lineage(start: $start, depth: $depth) { ... on Lineage {
    revision complete total
    counts { byKind { kind count } byOwner { owner count } byWhen { when count } }
    assets { edges { hops when node { id kind title namespace owners { name } tier } } } } } }"""
PAGE = """query($start: ID!, $first: Int!) { lineage(start: $start) { ... on Lineage { assets(first: $first) {
    edges { hops node { id kind namespace name title tier tags owners { name } } } } } } }"""
COLUMNS = "query($start: ID!) { lineage(start: $start) { ... on Lineage { columns } } }"


def figures(folder: Path, assets: int) -> Iterator[Figure]:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    made = world(assets)
    with closing(SqliteStore(filled_sqlite(folder, made))) as store:
        headwater, start = headwater_of(store), made.keys[made.hub]
        lineage, _ = hub_of(headwater, start)
        head = f"{made.name}: the API, {len(lineage):,} assets downstream of the hub"
        measured = {
            **{f"{what}, in the thread": taken for what, taken in shapes(headwater, start).items()},
            **{f"{what}, over GraphQL": taken for what, taken in asyncio.run(over_graphql(headwater, start)).items()},
        }
        for what, taken in measured.items():
            yield Figure(f"{head}: {what}", scaled(taken, 1000), "ms")
        listed = asyncio.run(lists(headwater, start))
        yield Figure(f"{head}: a list of 1,000 assets over HTTP", scaled(listed["GraphQL"], 1000), "ms")
        without = [whole - walked for whole, walked in zip(listed["GraphQL"], listed["walk"], strict=True)]
        yield ratio(f"{head}: the same without the walk, over orjson alone", without, listed["raw"])
        waited = asyncio.run(waits(headwater, start, lineage.key(len(lineage) - 1)))
        for what, taken in waited.items():
            p99 = float(np.quantile(taken, 0.99))
            yield Figure(f"{head}: a light question {what}", [*scaled(taken, 1000)], "ms")
            yield Figure(f"{head}: a light question {what}, p99", [1000 * p99], "ms")


def seconds(work: Callable[[], object], runs: int = RUNS) -> list[float]:
    taken = []
    for _ in range(runs):
        begin = time.perf_counter()
        work()
        taken.append(time.perf_counter() - begin)
    return taken


async def seconds_of(work: Callable[[], Awaitable[object]], runs: int = RUNS) -> list[float]:
    taken = []
    for _ in range(runs):
        begin = time.perf_counter()
        await work()
        taken.append(time.perf_counter() - begin)
    return taken


def headwater_of(store: SqliteStore) -> Headwater:
    headwater = Headwater(store, LineageIndex(store), now)
    asyncio.run(headwater.load())
    return headwater


def app_of(headwater: Headwater) -> Starlette:
    settings = Settings()
    return create_app(Hosted(headwater), OpenTokens(), settings, furnish(settings, now, Metrics()))


def hub_of(headwater: Headwater, start: AssetKey) -> tuple[Lineage, Moment]:
    view = headwater.index.view()
    at = Moment(now(), view.revision)
    return walk(view, start, Direction.DOWNSTREAM, at), at


def shapes(headwater: Headwater, start: AssetKey) -> dict[str, list[float]]:
    """Seconds of each step after the walk, in the thread."""
    lineage, _ = hub_of(headwater, start)
    rows = selected(lineage, AssetFilter())
    felt = when_felt(lineage)
    whole = table(lineage, rows, felt)
    view = lineage.view
    return {
        "walk": seconds(lambda: walk(view, start, Direction.DOWNSTREAM, lineage.moment)),
        "felt": seconds(lambda: when_felt(lineage)),
        "counts by kind, owner and time": seconds(
            lambda: (count_by_kind(lineage, rows), count_by_owner(lineage, rows), count_by_when(felt, rows))
        ),
        "JSON columns": seconds(lambda: sum(map(len, json_document(whole)))),
        "NDJSON": seconds(lambda: sum(map(len, json_lines(whole)))),
        "Arrow": seconds(lambda: sum(map(len, arrow_stream(whole)))),
    }


async def over_graphql(headwater: Headwater, start: AssetKey) -> dict[str, list[float]]:
    """Seconds at the server, of the whole request without a network: summary and first page, then all columns."""
    transport = httpx.ASGITransport(app_of(headwater))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:

        async def post(query: str, **variables: object) -> None:
            answer = await http.post("/graphql", json={"query": query, "variables": {"start": str(start), **variables}})
            assert b'"errors"' not in answer.content[:200], answer.content[:500]

        return {
            "summary and 50 assets": await seconds_of(lambda: post(SUMMARY)),
            "the walk alone": await seconds_of(
                lambda: ask(headwater, Question(start, Direction.DOWNSTREAM), When(), lambda: False)
            ),
            "columns": await seconds_of(lambda: post(COLUMNS)),
        }


async def lists(headwater: Headwater, start: AssetKey, first: int = 1_000) -> dict[str, list[float]]:
    """Seconds for a list of assets over HTTP on loopback, beside the same JSON from orjson without GraphQL."""
    ready: dict[str, Any] = {}

    async def raw(_: Request) -> Response:
        return Response(orjson.dumps(ready), media_type="application/json")

    async with (
        served(Starlette(routes=[Route("/raw", raw)])) as plain,
        served(app_of(headwater)) as address,
        httpx.AsyncClient() as http,
    ):
        body = {"query": PAGE, "variables": {"start": str(start), "first": first}}
        ready |= (await http.post(f"{address}/graphql", json=body)).json()
        assert len(ready["data"]["lineage"]["assets"]["edges"]) == first

        async def graphql() -> None:
            await http.post(f"{address}/graphql", json=body)

        async def orjson_alone() -> None:
            await http.get(f"{plain}/raw")

        figures: dict[str, list[float]] = {"GraphQL": [], "raw": [], "walk": []}
        for _ in range(20 * RUNS):
            figures["GraphQL"] += await seconds_of(graphql, 1)
            figures["raw"] += await seconds_of(orjson_alone, 1)
            figures["walk"] += await seconds_of(
                lambda: ask(headwater, Question(start, Direction.DOWNSTREAM), When()), 1
            )
        return figures


async def waits(headwater: Headwater, start: AssetKey, light: AssetKey, span: float = 5.0) -> dict[str, list[float]]:
    """Seconds that a light question takes, alone and while eight clients ask heavy ones without pause."""
    figures: dict[str, list[float]] = {}
    async with served(app_of(headwater)) as address, httpx.AsyncClient(timeout=60) as http:
        question = {"query": SUMMARY, "variables": {"start": str(light), "depth": 1}}

        async def ask_light() -> None:
            (await http.post(f"{address}/graphql", json=question)).raise_for_status()

        async def sampled() -> list[float]:
            taken: list[float] = []
            end = time.perf_counter() + span
            while time.perf_counter() < end:
                taken += await seconds_of(ask_light, 1)
                await asyncio.sleep(0.01)
            return taken

        await ask_light()
        figures["alone"] = await sampled()
        with heavy_clients(address, start):
            figures["beside eight heavy clients"] = await sampled()
    return figures


@asynccontextmanager
async def served(app: Starlette) -> AsyncIterator[str]:
    with in_thread(app) as address:
        yield address


@contextmanager
def heavy_clients(address: str, start: AssetKey, count: int = 8) -> Iterator[None]:
    """Ask for summaries and columns without pause, in a process of their own."""
    asking = subprocess.Popen([sys.executable, "-m", "tests.bench.api", address, str(start), str(count)])
    try:
        yield
    finally:
        asking.kill()
        asking.wait()


async def ask_heavily(address: str, start: str, count: int) -> None:
    bodies = [{"query": query, "variables": {"start": start}} for query in (SUMMARY, COLUMNS)]

    async def client(http: httpx.AsyncClient, number: int) -> None:
        while True:
            async with http.stream("POST", f"{address}/graphql", json=bodies[number % 2]) as answer:
                async for _ in answer.aiter_raw():
                    pass

    async with httpx.AsyncClient(timeout=600) as http:
        await asyncio.gather(*(client(http, number) for number in range(count)))


if __name__ == "__main__":  # a heavy client's process
    asyncio.run(ask_heavily(sys.argv[1], sys.argv[2], int(sys.argv[3])))
