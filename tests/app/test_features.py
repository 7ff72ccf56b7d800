"""Features over HTTP on a fresh store: equal values in batch and online, and clear words when something is wrong."""

import asyncio
import io
import random
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.compose import furnish
from app.events import Caller, Sighting
from app.features.features import MAX_ROWS, Features
from app.hosting import Hosted
from app.identity import FileTokens, Kind, OpenTokens, Role, create_token
from app.main import create_app
from app.metrics import Metrics
from app.service import Headwater
from app.settings import Settings
from graph.errors import Conflict, InvalidInput, NotFound
from graph.index import LineageIndex
from graph.keys import AssetKey, AssetKind
from graph.stores.sqlite import SqliteStore
from graph.time import instant

pytestmark = pytest.mark.anyio

Answer: TypeAlias = dict[str, Any]

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
LONG_AGO = (NOON - timedelta(days=365)).isoformat()
NOTEBOOK = Caller(AssetKey.of(AssetKind.CONSUMER, "default", "notebook"), verified=True)
ALCOHOL = AssetKey.parse("feature:cellar/assay#alcohol")
SHARE = AssetKey.parse("feature:cellar/assay#flavanoid_share")

REGISTER = """
mutation Register($manifest: ManifestInput!, $envelope: EnvelopeInput!) {
  register(manifest: $manifest, envelope: $envelope) { __typename ... on Problem { message } }
}
"""


class Clock:
    def __init__(self) -> None:
        self.now = instant(NOON)

    def __call__(self) -> int:
        return self.now


class World:
    """A service, what it keeps its sources in, and what it saw being read."""

    def __init__(
        self, headwater: Headwater, http: httpx.AsyncClient, features: Features, seen: list[Sighting], data: Path
    ) -> None:
        self.headwater = headwater
        self.http = http
        self.features = features
        self.sources = data / "sources"
        self.seen = seen

    async def register(self, **manifest: object) -> None:
        given = {"manifest": manifest, "envelope": {"origin": "test", "validFrom": LONG_AGO}}
        answer = (await self.http.post("/graphql", json={"query": REGISTER, "variables": given})).json()
        assert answer["data"]["register"] == {"__typename": "Registered"}, answer

    async def upload(self, table: pa.Table, name: str = "assays") -> None:
        answer = await self.http.put(f"/api/v1/sources/{name}.parquet", content=parquet(table))
        assert answer.status_code in (200, 201), answer.text

    async def asked(self, path: str, features: list[str], entities: Answer, **more: object) -> list[Answer]:
        answer = await self.ask(path, features=features, entities=entities, **more)
        assert answer.status_code == 200, answer.text
        metadata = answer.json()["metadata"]
        assert metadata["feature_names"] == [*entities, *features]
        assert len(metadata["feature_keys"]) == len(features)
        return list(answer.json()["results"])

    async def ask(self, path: str, **body: object) -> httpx.Response:
        return await self.http.post(f"/api/v1/features/{path}", json=body)

    async def refused(self, path: str, **body: object) -> tuple[int, str]:
        answer = await self.ask(path, **body)
        return answer.status_code, answer.json()["errors"][0]["message"]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def world(tmp_path: Path, clock: Clock) -> AsyncIterator[World]:
    store = SqliteStore(tmp_path / "lineage.db")
    index = LineageIndex(store)
    index.load()
    headwater = Headwater(store, index, clock)
    settings = Settings(data=tmp_path / "data")
    rooms = furnish(settings, clock, Metrics())
    seen: list[Sighting] = []
    features = Features(tmp_path / "data" / "sources", lambda _: NOTEBOOK, seen.append)
    app = create_app(Hosted(headwater), OpenTokens(), settings, replace(rooms, features=features))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost:8321") as http:
        yield World(headwater, http, features, seen, tmp_path / "data")
    store.close()


def at(hours: float) -> datetime:
    return NOON + timedelta(hours=hours)


def parquet(table: pa.Table) -> bytes:
    file = io.BytesIO()
    pq.write_table(table, file)
    return file.getvalue()


ASSAYS = pa.table(
    {
        "bottle": [1, 1, 2, 1],
        "assayed": pa.array([at(-2), at(-1), at(-1), at(1)], pa.timestamp("us", "UTC")),
        "alcohol": [12.0, 13.0, None, 14.0],
        "flavanoids": [1.0, 2.0, 3.0, 4.0],
        "phenols": [4, 4, 4, 0],
        "label": ["a", "é", "c", "d"],
    }
)


async def wine(world: World, **dataset: object) -> None:
    """The view `assay` of bottles, whose features name the columns they are computed from."""
    given = {"location": "assays.parquet", "timestamp": "assayed"} | dataset
    column = "column:lab/assays#"
    await world.register(
        datasets=[
            {
                "namespace": "lab",
                "name": "assays",
                "attributes": given,
                "columns": [{"path": [name]} for name in ASSAYS.column_names],
            }
        ],
        featureViews=[
            {
                "namespace": "cellar",
                "name": "assay",
                "entities": ["bottle"],
                "features": [
                    {"name": "alcohol", "derivedFrom": [f"{column}alcohol"]},
                    {
                        "name": "flavanoid_share",
                        "definition": "flavanoids / nullif(phenols, 0) -- of all",
                        "derivedFrom": [f"{column}flavanoids", f"{column}phenols"],
                    },
                    {"name": "label", "derivedFrom": [f"{column}label"]},
                ],
            }
        ],
    )
    await world.upload(ASSAYS)


async def test_online_is_the_newest_row_by_now(world: World, clock: Clock) -> None:
    await wine(world)
    names = ["assay:alcohol", "feature:cellar/assay#flavanoid_share", "assay:label"]
    bottles, alcohol, share, label = await world.asked("online", names, {"bottle": [2, 1, 7, 1]})

    assert bottles == {"values": [2, 1, 7, 1], "statuses": ["PRESENT"] * 4, "event_timestamps": [None] * 4}
    since = ["2026-11-23T11:00:00+00:00", "2026-11-23T11:00:00+00:00", None, "2026-11-23T11:00:00+00:00"]
    statuses = ["PRESENT", "PRESENT", "NOT_FOUND", "PRESENT"]
    assert alcohol == {"values": [None, 13.0, None, 13.0], "statuses": statuses, "event_timestamps": since}
    assert share == {"values": [0.75, 0.5, None, 0.5], "statuses": statuses, "event_timestamps": since}
    assert label["values"] == ["c", "é", None, "é"]

    clock.now = instant(at(1))
    assert (await world.asked("online", names, {"bottle": [1]}))[2]["values"] == [None]


async def test_batch_is_the_newest_row_at_each_instant(world: World) -> None:
    await wine(world)
    asked = [at(-3), at(-2), at(-1.5), at(-1), at(2)]
    _, alcohol = await world.asked(
        "batch",
        ["assay:alcohol"],
        {"bottle": [1] * len(asked)},
        event_timestamp=[each.isoformat() for each in asked],
    )
    assert alcohol["values"] == [None, 12.0, 12.0, 13.0, 14.0]
    assert alcohol["statuses"] == ["NOT_FOUND"] + ["PRESENT"] * 4


async def test_batch_without_instants_means_now(world: World) -> None:
    await wine(world)
    asked = ["assay:alcohol", "assay:label"], {"bottle": [1, 2, 3]}
    assert await world.asked("batch", *asked) == await world.asked("online", *asked)


@pytest.mark.parametrize("seed", range(5))
async def test_batch_then_equals_online_at_that_time_and_what_a_loop_finds(
    world: World, clock: Clock, seed: int
) -> None:
    chance = random.Random(seed)
    rows = [(chance.choice("xyz"), chance.randrange(4), chance.randrange(40), chance.random()) for _ in range(60)]
    stamp_type = chance.choice([pa.timestamp("us", "UTC"), pa.timestamp("ms"), pa.timestamp("ns", "Europe/Paris")])
    naive = pa.array([at(hour).replace(tzinfo=None) for _, _, hour, _ in rows], pa.timestamp("us"))
    table = pa.table(
        {
            "shop": pa.array([shop for shop, *_ in rows]).dictionary_encode(),
            "till": pa.array([till for _, till, *_ in rows], pa.int32()),
            "rang": naive.cast(stamp_type),
            "amount": [amount for *_, amount in rows],
        }
    )
    await world.register(
        datasets=[{"namespace": "n", "name": "d", "attributes": {"location": "d.parquet", "timestamp": "rang"}}],
        featureViews=[
            {
                "namespace": "n",
                "name": "sale",
                "entities": ["till", "shop"],
                "derivedFrom": ["dataset:n/d"],
                "features": [{"name": "amount"}, {"name": "cents", "definition": "round(amount * 100)"}],
            }
        ],
    )
    await world.upload(table, "d")
    asks = [(chance.choice("wxyz"), chance.randrange(5), chance.randrange(-2, 42)) for _ in range(40)]
    entities = {"shop": [shop for shop, *_ in asks], "till": [till for _, till, _ in asks]}
    *_, amounts, cents = await world.asked(
        "batch", ["sale:amount", "sale:cents"], entities, event_timestamp=[at(hour).isoformat() for *_, hour in asks]
    )

    def newest(shop: str, till: int, hour: int) -> float | None:
        held = [(row[2], place) for place, row in enumerate(rows) if row[:2] == (shop, till) and row[2] <= hour]
        return rows[max(held)[1]][3] if held else None

    expected = [newest(*ask) for ask in asks]
    assert amounts["values"] == expected
    assert cents["values"] == [None if amount is None else round(amount * 100) for amount in expected]
    for place, (shop, till, hour) in enumerate(asks):
        clock.now = instant(at(hour))
        *_, amount, cent = await world.asked("online", ["sale:amount", "sale:cents"], {"shop": [shop], "till": [till]})
        assert (amount["values"][0], cent["values"][0]) == (amounts["values"][place], cents["values"][place])


async def test_rows_without_a_timestamp_always_hold_and_the_last_one_wins(world: World) -> None:
    await wine(world, timestamp=None)
    asked = ["assay:label"], {"bottle": [1, 3]}
    assert (await world.asked("online", *asked))[1]["values"] == ["d", None]
    (_, long_ago) = await world.asked("batch", *asked, event_timestamp=["0001-01-01T00:00:00Z"] * 2)
    assert long_ago == {"values": ["d", None], "statuses": ["PRESENT", "NOT_FOUND"], "event_timestamps": [None, None]}


async def test_views_of_different_entities_are_read_in_one_request(world: World) -> None:
    await wine(world)
    await world.register(
        datasets=[{"namespace": "lab", "name": "cellars", "attributes": {"location": "cellars.parquet"}}],
        featureViews=[
            {
                "namespace": "cellar",
                "name": "room",
                "entities": ["cellar"],
                "derivedFrom": ["dataset:lab/cellars"],
                "features": [{"name": "celsius"}],
            }
        ],
    )
    await world.upload(pa.table({"cellar": ["north", "south"], "celsius": [11, 13]}), "cellars")
    entities = {"bottle": [1, 2], "cellar": ["south", "west"]}
    *_, celsius, label = await world.asked("online", ["room:celsius", "assay:label"], entities)
    assert celsius["values"] == [13, None]
    assert label["values"] == ["é", "c"]


async def test_each_read_is_seen_once_a_feature(world: World) -> None:
    await wine(world)
    await world.asked("online", ["assay:alcohol", "feature:cellar/assay#flavanoid_share"], {"bottle": [1, 2, 3]})
    now = instant(NOON)
    assert world.seen == [Sighting(ALCOHOL, NOTEBOOK, now), Sighting(SHARE, NOTEBOOK, now)]

    world.seen.clear()
    await world.refused("online", features=["assay:alcohol"], entities={"glass": [1]})
    await world.refused("online", features=["assay:sugar"], entities={"bottle": [1]})
    assert world.seen == []
    (world.sources / "assays.parquet").unlink()
    await world.refused("online", features=["assay:alcohol"], entities={"bottle": [1]})
    assert world.seen == [Sighting(ALCOHOL, NOTEBOOK, now, failed=True)]


async def test_serving_looks_features_up_by_their_keys(world: World) -> None:
    await wine(world)
    label = AssetKey.parse("feature:cellar/assay#label")
    assert await world.features.entities(world.headwater, [ALCOHOL, label]) == ("bottle",)

    deployment = Caller(AssetKey.parse("deployment:cellar/cultivar"), verified=True)
    given = {"bottle": np.array([1, 2, 7]), "unused": np.array([1, 2, 3])}
    values = await world.features.look_up(world.headwater, deployment, [ALCOHOL, label], given)
    assert list(values) == [str(ALCOHOL), str(label)]
    assert values[str(ALCOHOL)].dtype == np.float64
    np.testing.assert_array_equal(values[str(ALCOHOL)], [13.0, np.nan, np.nan])
    assert values[str(label)].tolist() == ["é", "c", None]
    assert [sighting.caller for sighting in world.seen] == [deployment, deployment]

    unknown = AssetKey.parse("feature:cellar/cork#colour")
    with pytest.raises((NotFound, Conflict)):
        await world.features.look_up(world.headwater, deployment, [unknown], given)
    with pytest.raises(InvalidInput, match="lacks bottle"):
        await world.features.look_up(world.headwater, deployment, [ALCOHOL], {})


# What is wrong, and where


BOTTLE = {"bottle": [1]}


WRONG = [
    ("online", {"features": ["assay:alcohl"], "entities": BOTTLE}, 404, "did you mean alcohol?"),
    ("online", {"features": ["assay:sugar"], "entities": BOTTLE}, 404, "are alcohol, flavanoid_share, label"),
    ("online", {"features": ["asay:alcohol"], "entities": BOTTLE}, 404, "did you mean assay?"),
    ("online", {"features": ["feature:cellar/assay#sugar"], "entities": BOTTLE}, 404, "is no feature"),
    ("online", {"features": ["alcohol"], "entities": BOTTLE}, 400, "write view:feature"),
    ("online", {"features": ["assay:label"] * 2, "entities": BOTTLE}, 400, "asked for twice"),
    ("online", {"features": [], "entities": BOTTLE}, 400, "features is []"),
    (
        "online",
        {"features": ["assay:label"], "entities": {"glass": [1]}},
        400,
        "lacks bottle; what is given is glass",
    ),
    ("online", {"features": ["assay:label"], "entities": {}}, 400, "entities is {}"),
    ("online", {"features": ["assay:label"], "entities": {"bottle": [1], "x": []}}, 400, "bottle 1, x 0"),
    ("online", {"features": ["assay:label"], "entities": {"bottle": ["one"]}}, 400, "bottle is of type int64"),
    ("online", {"features": ["assay:label"], "entities": {"bottle": [{}]}}, 400, "bottle is of type int64"),
    ("online", {"features": ["assay:label"], "entities": {"bottle": [2**70]}}, 400, "bottle is of type int64"),
    ("online", {"features": ["assay:label"], "entities": {"bottle": [1] * (MAX_ROWS + 1)}}, 400, "at most 10000"),
    ("online", {"features": ["assay:label"], "entities": BOTTLE, "event_timestamp": []}, 400, "'event_timestamp'"),
    (
        "batch",
        {"features": ["assay:label"], "entities": BOTTLE, "event_timestamps": []},
        400,
        "did you mean event_t",
    ),
    ("batch", {"features": ["assay:label"], "entities": BOTTLE, "event_timestamp": []}, 400, "event_timestamp 0"),
    (
        "batch",
        {"features": ["assay:label"], "entities": BOTTLE, "event_timestamp": ["noon"]},
        400,
        "'noon' is not an",
    ),
]


async def test_a_wrong_question_is_told_what_is_wrong(world: World) -> None:
    await wine(world)
    for path, body, status, message in WRONG:
        answered, told = await world.refused(path, **body)
        assert (answered, message in told) == (status, True), told


async def test_a_name_in_two_namespaces_must_be_told_apart(world: World) -> None:
    await wine(world)
    await world.register(
        featureViews=[
            {"namespace": "kitchen", "name": "assay", "entities": ["dish"], "features": [{"name": "alcohol"}]}
        ]
    )
    status, told = await world.refused("online", features=["assay:alcohol"], entities=BOTTLE)
    assert status == 400
    assert "feature:cellar/assay#alcohol or feature:kitchen/assay#alcohol" in told
    assert (await world.asked("online", ["assay:label"], BOTTLE))[1]["values"] == ["é"]


NO_EXPRESSIONS = [
    ("alcohol; SELECT 1", "is not SQL"),
    ("alcohol); SELECT (1", "is not one expression"),
    ("alcohol) FROM assays WHERE (true", "is not one expression"),
    ("alcohol) LIMIT (1", "is not one expression"),
    ("alcohol), (label", "is not one expression"),
    ("alcohol) UNION SELECT (1", "is not one expression"),
    ("alcohol +", "is not SQL"),
    ("def feature(row): return row.alcohol", "is not SQL"),
    ("(SELECT max(alcohol) FROM source)", "holds a subquery"),
    ("max(alcohol)", "calls max"),
    ("max(alcohol) OVER ()", "holds a window"),
    ("lag(alcohol) OVER (ORDER BY assayed)", "holds a window"),
    ("random()", "calls random"),
    ("now()", "calls now"),
    ("current_date", "'current_date', which is no column"),
    ("length(repeat(label, 1000000000))", "calls repeat"),
    ("length(printf('%1000000000d', 1))", "calls printf"),
    ("+".join(["alcohol"] * 900), "is nested too deeply"),
    ("read_text('/etc/passwd')", "calls read_text"),
    ("current_setting('memory_limit')", "calls current_setting"),
    ("nextval('x')", "calls nextval"),
    ("unnest([1, 2])", "calls unnest"),
    ("alcool * 2", "did you mean alcohol?"),
    ("$1", "holds a parameter"),
    ("*", "holds a star"),
    ("label::INTEGER", "fails: Conversion Error"),
    ("alcohol || flavanoids + label", "fails: "),
]


async def test_a_definition_is_one_expression_over_the_columns_of_its_source(world: World) -> None:
    await wine(world)
    for definition, message in NO_EXPRESSIONS:
        strange = {"view": "feature_view:cellar/assay", "name": "strange", "definition": definition}
        await world.register(features=[strange])
        names = ["assay:flavanoid_share", "assay:strange"]
        status, told = await world.refused("online", features=names, entities=BOTTLE)
        assert status == 409
        assert message in told
        assert "feature:cellar/assay#strange" in told


EXPRESSIONS = [
    ("1", 1),
    ("CASE WHEN alcohol > 12.5 THEN 'strong' ELSE 'light' END", "strong"),
    ("coalesce(alcohol, 0)::DECIMAL(9, 2)", 13.0),
    ("list_sum(list_transform([alcohol, phenols], lambda x: x + flavanoids))", 21.0),
    ("list_sum([x * phenols for x in [1, 2] if x > 1])", 8),
    ("hour(assayed)", 11),
    ("upper(\"label\") || '!' /* loud */", "É!"),
    ("{'a': ALCOHOL, 'b': [phenols]}", {"a": 13.0, "b": [4]}),
    ("phenols IN (4, 5) AND label LIKE '_'", True),
    ("flavanoids / 0", None),
    ("assayed", "2026-11-23T11:00:00+00:00"),
]


async def test_a_definition_may_be_any_expression_of_one_row(world: World) -> None:
    await wine(world)
    for definition, value in EXPRESSIONS:
        plain = {"view": "feature_view:cellar/assay", "name": "plain", "definition": definition}
        await world.register(features=[plain])
        assert (await world.asked("online", ["assay:plain"], {"bottle": [1]}))[1]["values"] == [value]


async def test_an_expression_that_runs_too_long_is_stopped(world: World, tmp_path: Path) -> None:
    await wine(world)
    await world.register(
        features=[
            {
                "view": "feature_view:cellar/assay",
                "name": "slow",
                "definition": "levenshtein(label, reverse(label))",
            }
        ]
    )
    rows = 4_000
    long = "".join(random.Random(1).choices("abc", k=1_000))
    bottles = list(range(rows))
    await world.upload(
        pa.table({"bottle": bottles, "assayed": [at(-1)] * rows, "alcohol": [1.0] * rows, "label": [long] * rows})
    )
    hasty = Features(tmp_path / "data" / "sources", lambda _: NOTEBOOK, world.seen.append, patience_seconds=0.2)
    slow = [AssetKey.parse("feature:cellar/assay#slow")]
    async with asyncio.timeout(30):
        with pytest.raises(Conflict, match=r"took longer than 0\.2 s"):
            await hasty.look_up(world.headwater, NOTEBOOK, slow, {"bottle": np.array(bottles)})
        unknown = await hasty.look_up(world.headwater, NOTEBOOK, [ALCOHOL], {"bottle": np.array([-1])})
        assert np.isnan(unknown[str(ALCOHOL)]).all()  # the next question is answered


# Sources


@pytest.mark.parametrize(
    ("attributes", "status", "message"),
    [
        ({"location": None}, 409, "none of what flows into it has one: dataset:lab/assays"),
        ({"location": "other.parquet"}, 404, "send it by PUT /api/v1/sources/other.parquet"),
        ({"location": "../lineage.db"}, 409, "is '../lineage.db'; it is the path"),
        ({"location": "wine/../../lineage.db"}, 409, "it is the path of a Parquet file below sources/"),
        ({"location": "/etc/passwd"}, 409, "it is the path of a Parquet file below sources/"),
        ({"location": ".incoming/x"}, 409, "it is the path of a Parquet file below sources/"),
        ({"location": 7}, 409, "it is the path of a Parquet file below sources/"),
        ({"location": "linked.parquet"}, 409, "leads out of sources/ by a link"),
        ({"location": "broken.parquet"}, 409, "cannot be read from broken.parquet"),
        ({"timestamp": "assayd"}, 409, "did you mean assayed?"),
        ({"timestamp": "label"}, 409, "must be a timestamp or a date"),
        ({"timestamp": ["assayed"]}, 409, "it is the name of a column"),
    ],
)
async def test_a_source_that_cannot_be_read_is_told(
    world: World, tmp_path: Path, attributes: Answer, status: int, message: str
) -> None:
    await wine(world, **attributes)
    (tmp_path / "secret.parquet").write_bytes(parquet(ASSAYS))
    (world.sources / "linked.parquet").symlink_to(tmp_path / "secret.parquet")
    (world.sources / "broken.parquet").write_bytes(b"PAR1 and then nothing")
    answered, told = await world.refused("online", features=["assay:alcohol"], entities=BOTTLE)
    assert (answered, message in told) == (status, True), told


async def test_a_view_without_a_source_or_with_two_is_told(world: World) -> None:
    await wine(world)
    view = {"namespace": "n", "name": "v", "entities": ["bottle"], "features": [{"name": "alcohol"}]}
    await world.register(featureViews=[view])
    _, told = await world.refused("online", features=["v:alcohol"], entities=BOTTLE)
    assert "no dataset flows into it" in told

    other = {"namespace": "lab", "name": "other", "attributes": {"location": "other.parquet"}}
    await world.register(
        datasets=[other], featureViews=[view | {"derivedFrom": ["dataset:lab/assays", "dataset:lab/other"]}]
    )
    _, told = await world.refused("online", features=["v:alcohol"], entities=BOTTLE)
    assert "several datasets with a location: dataset:lab/assays, dataset:lab/other" in told


async def test_a_column_that_is_missing_is_told(world: World) -> None:
    await wine(world)
    await world.upload(ASSAYS.drop_columns(["alcohol"]))
    assert (await world.asked("online", ["assay:label"], BOTTLE))[1]["values"] == ["é"]
    _, told = await world.refused("online", features=["assay:alcohol"], entities=BOTTLE)
    assert "feature:cellar/assay#alcohol has no definition, and the column 'alcohol' is missing" in told
    await world.upload(ASSAYS.drop_columns(["bottle"]))
    _, told = await world.refused("online", features=["assay:alcohol"], entities=BOTTLE)
    assert "the entity column 'bottle' is missing in dataset:lab/assays" in told


async def test_a_file_is_replaced_whole_or_not_at_all(world: World) -> None:
    await wine(world)
    asked = ["assay:alcohol"], BOTTLE
    assert (await world.asked("online", *asked))[1]["values"] == [13.0]

    whole = parquet(ASSAYS)
    for content in (b"", b"no Parquet", whole[:-1], whole[:60] + b"\0" * 200 + whole[260:]):
        answer = await world.http.put("/api/v1/sources/assays.parquet", content=content)
        assert answer.status_code == 400
        assert "is not a Parquet file" in answer.json()["errors"][0]["message"]
    assert (await world.asked("online", *asked))[1]["values"] == [13.0]
    assert list((world.sources / ".incoming").iterdir()) == []

    changed = ASSAYS.set_column(2, "alcohol", pa.array([1.0, 2.0, 3.0, 4.0]))
    answer = await world.http.put("/api/v1/sources/assays.parquet", content=parquet(changed))
    assert answer.status_code == 200
    assert answer.json()["rows"] == 4
    assert answer.json()["columns"][0] == {"name": "bottle", "type": "int64"}
    assert (await world.asked("online", *asked))[1]["values"] == [2.0]


@pytest.mark.parametrize("name", ["..", ".hidden", "a%20b", "é", "a" * 201])
async def test_a_file_has_a_plain_name(world: World, name: str) -> None:
    answer = await world.http.put(f"/api/v1/sources/{name}.parquet", content=parquet(ASSAYS))
    assert answer.status_code == 400
    assert "is not a file's name" in answer.json()["errors"][0]["message"]


async def test_a_file_may_be_as_large_as_an_artifact_and_needs_a_contributor(world: World, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.json"
    reader = create_token(tokens, "ada", Role.READER, Kind.PERSON)
    contributor = create_token(tokens, "bob", Role.CONTRIBUTOR, Kind.PERSON)
    content = parquet(ASSAYS)
    settings = Settings(data=tmp_path / "data", max_body_bytes=100, max_artifact_bytes=len(content))
    app = create_app(Hosted(world.headwater), FileTokens(tokens), settings, furnish(settings, Clock(), Metrics()))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost:8321") as http:

        async def put(token: str | None, content: bytes) -> int:
            headers = {"Authorization": f"Bearer {token}"}
            return (await http.put("/api/v1/sources/a.parquet", content=content, headers=headers)).status_code

        assert await put(reader, content) == 403
        assert await put(contributor, content) == 201
        assert await put(contributor, content + b"x") == 413
