"""Large answers: the same in every form, for readers that others wrote, and in pieces."""

import io
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import duckdb
import httpx
import numpy as np
import orjson
import pyarrow as pa
import pytest

from app.compose import furnish, now
from app.hosting import Hosted
from app.http.tables import arrow_stream, json_document, json_lines
from app.identity import OpenTokens
from app.main import create_app
from app.metrics import Metrics
from app.service import Headwater
from app.settings import Settings
from graph.changes import AssetStatement
from graph.impact import when_felt
from graph.keys import AssetKey, AssetKind
from graph.summary import table
from graph.topology import Moment
from graph.walk import Direction, walk
from tests.graph.world import World, flow, k

pytestmark = pytest.mark.anyio

HUB = k("dataset:w/hub")
ODD = AssetKey.of(AssetKind.DATASET, "caf\u00e9", 'a "quoted",\\"name\u2028')
RUN = "run:j/train#11111111-2222-3333-4444-555555555555"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    world.register(
        AssetStatement(HUB, {}),
        AssetStatement(ODD, {"owners": [{"name": "ann"}, {"name": "bob \u00fc"}], "tags": ["pii"], "tier": 1}),
        flow(str(HUB), str(ODD)),
        flow(str(HUB), "column:w/b#x.y"),
        flow("column:w/b#x.y", RUN),
        flow(RUN, "model_version:m/fraud#1"),
    )
    yield world
    world.store.close()


@pytest.fixture
async def http(world: World) -> AsyncIterator[httpx.AsyncClient]:
    given = Settings()
    app = create_app(
        Hosted(Headwater(world.store, world.index, now)), OpenTokens(), given, furnish(given, now, Metrics())
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        yield client


async def exported(http: httpx.AsyncClient, form: str, **query: str) -> httpx.Response:
    answer = await http.get(f"/api/v1/lineage.{form}", params={"start": str(HUB), "at": "2026-01-01T00:00:00Z"} | query)
    assert answer.status_code == 200
    return answer


async def test_every_form_tells_the_same(http: httpx.AsyncClient) -> None:
    document = (await exported(http, "json")).json()
    columns = document.pop("columns")
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    assert str(ODD) in columns["key"]
    assert ODD.name in columns["title"]
    lines = (await exported(http, "ndjson")).text.rstrip("\n").split("\n")
    assert [orjson.loads(line) for line in lines] == [
        {"lineage": document},
        *({"asset": row} for row in rows),
        {"end": {"total": len(rows)}},
    ]
    stream = await exported(http, "arrow")
    assert stream.headers["content-type"] == "application/vnd.apache.arrow.stream"
    read = pa.ipc.open_stream(stream.content).read_all()
    assert read.to_pylist() == rows
    facts = {name.decode(): value.decode() for name, value in read.schema.metadata.items()}
    assert facts["start"] == document["start"] == str(HUB)
    assert facts["at"] == document["at"]
    assert {name: orjson.loads(facts[name]) for name in ("revision", "complete", "frontier", "total", "reached")} == {
        name: document[name] for name in ("revision", "complete", "frontier", "total", "reached")
    }
    answer = await http.post(
        "/graphql",
        json={"query": f'{{ lineage(start: "{HUB}", at: "2026-01-01T00:00:00Z") {{ ... on Lineage {{ columns }} }} }}'},
    )
    assert answer.json()["data"]["lineage"]["columns"] == columns


@pytest.mark.parametrize("form", ["json", "ndjson", "arrow"])
async def test_an_empty_answer_has_its_form_too(http: httpx.AsyncClient, form: str) -> None:
    content = (await exported(http, form, kind="alert")).content
    if form == "json":
        assert {*map(len, orjson.loads(content)["columns"].values())} == {0}
    elif form == "ndjson":
        assert [[*orjson.loads(line)] for line in content.splitlines()] == [["lineage"], ["end"]]
    else:
        assert pa.ipc.open_stream(content).read_all().num_rows == 0


async def test_pandas_and_duckdb_read_the_arrow_stream(http: httpx.AsyncClient) -> None:
    content = (await exported(http, "arrow")).content
    frame = pa.ipc.open_stream(io.BytesIO(content)).read_pandas()
    assert frame["kind"].dtype == "category"
    assert [*frame[frame["key"] == str(ODD)]["owners"].iloc[0]] == ["ann", "bob \u00fc"]
    lineage = duckdb.from_arrow(pa.ipc.open_stream(content))
    counted = lineage.filter("kind <> 'run'").aggregate('"when", count(*)')
    when = frame[frame["kind"] != "run"]["when"].value_counts()
    assert dict(counted.fetchall()) == {name: count for name, count in when.items() if count}


def test_half_a_million_rows_are_made_in_pieces_of_a_megabyte_or_so(world: World) -> None:
    lineage = walk(world.index.view(), HUB, Direction.DOWNSTREAM, Moment(world.now, world.index.revision))
    rows = np.resize(np.arange(len(lineage)), 560_000)
    whole = table(lineage, rows, when_felt(lineage))
    for form in (json_document, json_lines, arrow_stream):
        sizes = [len(piece) for piece in form(whole)]
        assert sum(sizes) > 30_000_000
        assert max(sizes) < 4_000_000
