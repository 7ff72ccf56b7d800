"""Bulk intake: what a line may say, what is told of wrong ones, and that nothing depends on the order of lines."""

import asyncio
import gzip
import itertools
import json
import random
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.compose import furnish
from app.compose import now as clock_now
from app.hosting import Hosted
from app.identity import FileTokens, Kind, OpenTokens, Role, Tokens, create_token
from app.intake import bulk, bulk_batches
from app.intake.bulk import BulkIntake, lines_in
from app.intake.bulk_operation import BulkOperation, State
from app.main import create_app
from app.metrics import Metrics
from app.service import Headwater
from app.settings import Settings
from app.sources.sources import Sources
from graph.changes import Receipt
from graph.errors import InvalidKey, OperationReused, StoreUnavailable
from graph.importers.bulk import MAX_LINE_BYTES, LineRefused, key_of, read_line
from graph.index import LineageIndex
from graph.keys import AssetKey
from graph.model import Basis, Flow, Operation
from graph.stores.sqlite import SqliteStore
from graph.time import Instant, parse_instant
from tests.saying import asset, flow, holding, key, say

pytestmark = pytest.mark.anyio

NOW: Instant = parse_instant("2026-11-24T12:00:00Z")
DAY: Instant = 86_400_000_000
Line = dict[str, Any]


# Running one, without the web


async def operated(
    store: SqliteStore, lines: Sequence[Line], id_: str | None = None, now: Instant = NOW, origin: str = "import:test"
) -> BulkOperation:
    """The operation, once it has ended."""
    headwater = Headwater(store, LineageIndex(store), lambda: now)
    intake = BulkIntake(lambda: now, Sources(lambda: now, Metrics()))
    running = asyncio.create_task(intake.run(headwater))
    try:
        begun = intake.begin(origin, id_, Basis.IMPORTED, "tests")
        operation = await intake.read(headwater, begun, lines_in(lines))
        await operation.ended.wait()
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
    return operation


def beliefs(store: SqliteStore, origin: str = "import:test") -> dict[str, list[tuple[Any, ...]]]:
    """All the origin says, known time aside."""
    return {
        str(subject): [(span.valid, span.basis, dict(span.attributes)) for span in spans]
        for subject, spans in store.believed_by(origin).items()
        if spans
    }


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(tmp_path / "lineage.db")
    yield store
    store.close()


@pytest.fixture(params=[1, 3])
def small_commits(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk_batches, "_STATEMENTS", request.param)


KEYS = ["dataset:w/a", "dataset:w/b", "dataset:w/c", "column:w/a#x", "column:w/b#y", "job:w/j", "consumer:w/k"]
FLOWS = [
    ("dataset:w/a", "dataset:w/b"),
    ("dataset:w/b", "dataset:w/c"),
    ("column:w/a#x", "column:w/b#y"),
    ("dataset:w/c", "job:w/j"),
    ("dataset:w/c", "consumer:w/k"),
]
TIMES = ["2025-01-01T00:00:00Z", "2025-07-01T00:00:00Z", "2026-01-01T00:00:00+02:00", "2026-11-24T12:05:00Z"]


@st.composite
def lines_of_assets(draw: st.DrawFn) -> Line:
    line: Line = {"asset": draw(st.sampled_from(KEYS))}
    if draw(st.booleans()):
        line["valid_from"] = draw(st.sampled_from(TIMES))
    if draw(st.booleans()):
        line["tags"] = draw(st.sampled_from([["a"], ["b"], None]))
    if draw(st.booleans()):
        line["owners"] = draw(st.sampled_from([["team"], [{"name": "ada", "contact": "#ada"}]]))
    if draw(st.booleans()):
        line["attributes"] = draw(st.sampled_from([{"tier": 1}, {"tier": 2, "note": "x"}, {"description": "words"}]))
    return line


@st.composite
def lines_of_flows(draw: st.DrawFn) -> Line:
    source, target = draw(st.sampled_from(FLOWS))
    line: Line = {"flow": {"from": source, "to": target}}
    times = sorted(draw(st.sets(st.sampled_from(TIMES), max_size=2)))
    if times:
        line["valid_from"] = times[0]
    if len(times) == 2:
        line["valid_until"] = times[1]
    if draw(st.booleans()):
        line["basis"] = draw(st.sampled_from([basis.value for basis in Basis]))
    return line


withdrawals = st.sampled_from(
    [{"withdraw": each} for each in KEYS] + [{"withdraw": {"from": source, "to": target}} for source, target in FLOWS]
)
SAID_BEFORE = [{"asset": KEYS[0], "tags": ["old"], "valid_from": "2024-01-01T00:00:00Z"}] + [
    {"flow": {"from": source, "to": target}, "valid_from": "2024-01-01T00:00:00Z"} for source, target in FLOWS
]


@given(
    lines=st.lists(lines_of_assets() | lines_of_flows() | withdrawals, max_size=16),
    seed=st.integers(0, 2**32),
    cuts=st.sampled_from([1, 2, 5]),
)
async def test_the_graph_does_not_depend_on_the_order_of_lines_nor_on_where_commits_are_cut(
    lines: list[Line], seed: int, cuts: int
) -> None:
    other = [*lines, *lines[:3]]  # and some twice
    random.Random(seed).shuffle(other)
    results = []
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        for name, said, statements in (("one", lines, 1000), ("other", other, cuts)):
            patch.setattr(bulk_batches, "_STATEMENTS", statements)
            store = SqliteStore(Path(folder) / name)
            await operated(store, SAID_BEFORE)
            operation = await operated(store, said)
            assert operation.state is State.DONE
            assert operation.committed + operation.refused == operation.lines == len(said)
            wrong = {(problem.field, problem.value, problem.code) for problem in operation.problems}
            results.append((beliefs(store), wrong))
            again = store.head()
            await operated(store, [line for line in said if "withdraw" not in line], "again")
            withdrew = any("withdraw" in line for line in said)
            assert withdrew or store.head() == again  # said a second time, it changes nothing, not even for a moment
            store.close()
    assert results[0] == results[1]


@given(
    lines=st.lists(lines_of_assets() | lines_of_flows(), min_size=1, max_size=12),
    seed=st.integers(0, 2**32),
    stop=st.integers(1, 8),
)
async def test_an_operation_that_was_cut_short_goes_on_where_it_stopped_whatever_the_order_now(
    lines: list[Line], seed: int, stop: int
) -> None:
    later = NOW + DAY
    other = list(lines)
    random.Random(seed).shuffle(other)
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(bulk_batches, "_STATEMENTS", 2)
        patch.setattr(bulk, "_PAUSES", ())
        whole, late, cut = (SqliteStore(Path(folder) / name) for name in ("whole", "late", "cut"))
        await operated(whole, lines)
        await operated(late, lines, now=later)
        commit, count = cut.commit, itertools.count()

        def commit_some(changes: Any, operation: Operation, now: Instant) -> Receipt:
            if next(count) > stop:
                raise StoreUnavailable("it is away")
            return commit(changes, operation, now)

        patch.setattr(cut, "commit", commit_some)
        await operated(cut, lines, "op")
        patch.setattr(cut, "commit", commit)
        resumed = await operated(cut, other, "op", later)
        assert resumed.state is State.DONE
        assert resumed.committed == len(lines)
        for at in map(parse_instant, ("2025-03-01T00:00:00Z", "2026-03-01T00:00:00Z")):
            assert held(cut, at) == held(whole, at)
        assert held(cut, later) == held(late, later)  # what gives no time holds from the attempt that committed it
        head = cut.head()
        assert (await operated(cut, lines, "op", later + DAY)).committed == len(lines)
        assert held(cut, later + DAY) == held(late, later + DAY)
        dated = all("valid_from" in line for line in lines)
        assert not dated or cut.head() == head
        with pytest.raises(OperationReused):
            await operated(cut, [*lines, {"asset": "dataset:w/more"}], "op", later)
        for each in (whole, late, cut):
            each.close()


def held(store: SqliteStore, at: Instant) -> dict[str, tuple[Any, ...]]:
    return {
        subject: (basis, attributes)
        for subject, spans in beliefs(store).items()
        for valid, basis, attributes in spans
        if valid.holds_at(at)
    }


# What lines say


async def test_the_later_valid_from_wins_and_history_is_kept(store: SqliteStore, small_commits: None) -> None:
    await operated(
        store,
        [
            {"asset": "dataset:w/a", "valid_from": "2026-01-01T00:00:00Z", "tags": ["new"]},
            {"asset": "dataset:w/a", "valid_from": "2025-01-01T00:00:00Z", "tags": ["old"], "attributes": {"tier": 1}},
            {
                "flow": {"from": "dataset:w/a", "to": "dataset:w/b"},
                "valid_from": "2025-03-01T00:00:00Z",
                "valid_until": "2025-04-01T00:00:00Z",
            },
            {
                "flow": {"from": "dataset:w/a", "to": "dataset:w/b"},
                "valid_from": "2025-01-01T00:00:00Z",
                "valid_until": "2025-02-01T00:00:00Z",
            },
        ],
    )
    found = store.believed([key("dataset:w/a"), flow("dataset:w/a", "dataset:w/b")])
    assert [dict(span.attributes) for span in found[key("dataset:w/a")]] == [
        {"tags": ["old"], "tier": 1},
        {"tags": ["new"], "tier": 1},
    ]
    months = [(span.valid.start, span.valid.end) for span in found[flow("dataset:w/a", "dataset:w/b")]]
    assert months == [
        (parse_instant("2025-01-01T00:00:00Z"), parse_instant("2025-02-01T00:00:00Z")),
        (parse_instant("2025-03-01T00:00:00Z"), parse_instant("2025-04-01T00:00:00Z")),
    ]


async def test_all_of_an_operation_holds_from_one_instant(store: SqliteStore, small_commits: None) -> None:
    await operated(store, [{"asset": f"dataset:w/{name}"} for name in "abcdefgh"])
    assert {spans[0][0].start for spans in beliefs(store).values()} == {NOW}


async def test_a_withdrawal_takes_along_what_was_there_and_not_what_the_operation_states(store: SqliteStore) -> None:
    flows = [{"flow": {"from": "dataset:w/a", "to": f"dataset:w/{name}"}} for name in "bcd"]
    await operated(store, [{"asset": "dataset:w/a"}, *flows])
    await operated(store, [flows[0], {"withdraw": "dataset:w/a"}], now=NOW + DAY)
    still = [name for name in "bcd" if holding(store, flow("dataset:w/a", f"dataset:w/{name}"), NOW + DAY)]
    assert still == ["b"]
    assert holding(store, key("dataset:w/a"), NOW + DAY) == []


async def test_what_cannot_be_withdrawn_is_told_and_all_else_is(store: SqliteStore, small_commits: None) -> None:
    said = [{"asset": f"dataset:w/{name}"} for name in "abc"]
    await operated(store, said)
    say(store, asset("dataset:w/theirs"), now=NOW, origin="manifest:other")
    operation = await operated(
        store,
        [
            {"withdraw": "dataset:w/a"},
            {"withdraw": "dataset:w/nobody"},
            {"withdraw": "dataset:w/theirs"},
            {"withdraw": {"from": "dataset:w/a", "to": "dataset:w/b"}},
            {"withdraw": "dataset:w/b"},
            {"withdraw": "dataset:w/c"},
            {"asset": "dataset:w/c", "tags": ["kept"]},
        ],
        now=NOW + DAY,
    )
    told = {(problem.line, problem.field, problem.value, problem.code) for problem in operation.problems}
    assert told == {
        (2, "withdraw", "dataset:w/nobody", "NotFound"),
        (3, "withdraw", "dataset:w/theirs", "Conflict"),
        (4, "withdraw", "dataset:w/a -> dataset:w/b", "NotFound"),
        (6, "withdraw", "dataset:w/c", "Conflict"),
    }
    (contradiction,) = [problem for problem in operation.problems if problem.line == 6]
    assert contradiction.message == "dataset:w/c is withdrawn here and stated in line 7: say one"
    assert [name for name in "abc" if holding(store, key(f"dataset:w/{name}"), NOW + DAY)] == ["c"]


async def test_too_many_lines_about_one_subject_are_told(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk_batches, "MOST_LINES_OF_ONE", 3)
    lines = [{"asset": "dataset:w/a", "valid_from": f"2025-01-{day:02}T00:00:00Z"} for day in range(1, 9)]
    operation = await operated(store, lines)
    assert (operation.committed, operation.refused) == (3, 5)
    assert {problem.line for problem in operation.problems} == {4, 5, 6, 7, 8}


async def test_a_history_that_says_ever_more_ends_where_an_asset_can_hold_no_more(store: SqliteStore) -> None:
    """Each year adds an attribute to those of the years before."""
    lines = [
        {"asset": "dataset:w/a", "valid_from": f"{1900 + year}-01-01T00:00:00Z", "attributes": {f"a{year}": "x" * 3000}}
        for year in range(100)
    ]
    operation = await operated(store, lines)
    assert {problem.code for problem in operation.problems} == {"InvalidAttribute"}
    (spans,) = beliefs(store).values()
    assert [len(attributes) for _, _, attributes in spans] == [*range(1, len(spans) + 1)]


async def test_aliases_are_assertions_like_any_other(store: SqliteStore) -> None:
    best = "model_version:w/m#%40best"
    lines: list[Line] = [
        {"asset": best, "attributes": {"version": "7"}},
        {"flow": {"from": best, "to": "deployment:w/d"}},
    ]
    assert (await operated(store, lines)).committed == 2
    assert beliefs(store)[best][0][2] == {"version": "7"}


# Wrong lines

GOOD = b'{"flow": {"from": "dataset:w/a", "to": "dataset:w/b"}}'
WRONG: list[tuple[bytes, str | None, str]] = [
    (b"\xff\xfe{}", None, "not JSON in UTF-8"),
    (b'{"asset": "dataset:w/\xe9"}', None, "not JSON in UTF-8"),
    (b'{"asset": "\\ud800"}', None, "not JSON"),
    (b"{", None, "not JSON"),
    (b'{"asset": "dataset:w/a"} {}', None, "not JSON"),
    (b'{"asset": "dataset:w/a", "attributes": {"x": NaN}}', None, "not JSON"),
    (b"[]", None, "not an object"),
    (b"17", None, "not an object"),
    (b"{}", None, "names none of them"),
    (b'{"asset": "dataset:w/a", "withdraw": "dataset:w/a"}', None, "names asset and withdraw"),
    (b'{"asset": "dataset:w/a", "validFrom": null}', "validFrom", "no field of a line about asset"),
    (b'{"asset": "dataset:w/a", "basis": "DECLARED"}', "basis", "no field of a line about asset"),
    (b'{"withdraw": "dataset:w/a", "valid_from": null}', "valid_from", "no field of a line about withdraw"),
    (b'{"asset": "dataset:w/a", "asset": "dataset:w/b"}', "asset", "stands twice"),
    (b'{"asset": "dataset:w/a", "attributes": {"x": {"y": 1, "y": 1}}}', "y", "stands twice"),
    (b'{"asset": "dataset:w/a", "attributes": {"x": 123456789012345678901}}', None, "64 bits"),
    (b'{"asset": 17}', "asset", "not the text of an asset's key"),
    (b'{"asset": null}', "asset", "not the text of an asset's key"),
    (b'{"asset": "dataset:w"}', "asset", "is not an asset key"),
    (b'{"asset": "dataset:w/a b"}', "asset", "not in canonical form"),
    (b'{"asset": "table:w/a"}', "asset", "not a kind of asset"),
    (b'{"asset": "column:w/a"}', "asset", "names one part"),
    (b'{"asset": "column:w/a#b..c"}', "asset", "is empty"),
    (b'{"asset": "run:w/a#7"}', "asset", "a run id is"),
    (b'{"asset": "dataset:w/' + b"a" * 1024 + b'"}', "asset", "1024 bytes"),
    (b'{"asset": "alert:w/a"}', "asset", "is an alert"),
    (b'{"asset": "model_version:w/m#%40best"}', "attributes.version", "needs a version"),
    (b'{"asset": "dataset:w/a", "valid_from": 1764000000}', "valid_from", "not a text like"),
    (b'{"asset": "dataset:w/a", "valid_from": "2026-01-01T00:00:00"}', "valid_from", "no time zone"),
    (b'{"asset": "dataset:w/a", "valid_from": "0001-01-01T00:00:00+12:00"}', "valid_from", "outside the years"),
    (b'{"asset": "dataset:w/a", "valid_from": "2036-01-01T00:00:00Z"}', "valid_from", "ahead of the clock"),
    (b'{"asset": "dataset:w/a", "owners": "team"}', "owners", "must be a list"),
    (b'{"asset": "dataset:w/a", "owners": [{"name": 7}]}', "owners", "must be a list"),
    (b'{"asset": "dataset:w/a", "tags": [7]}', "tags", "list of non-empty texts"),
    (b'{"asset": "dataset:w/a", "tags": [], "attributes": {"tags": []}}', "attributes.tags", "stands twice"),
    (b'{"asset": "dataset:w/a", "attributes": []}', "attributes", "not an object"),
    (b'{"asset": "dataset:w/a", "attributes": {"tier": 9}}', "attributes.tier", "from 1 (most critical) to 4"),
    (b'{"asset": "dataset:w/a", "attributes": {"Tier": 1}}', "attributes.Tier", "not an attribute's name"),
    (
        b'{"asset": "dataset:w/a", "attributes": {"x": ' + b"[" * 40 + b"]" * 40 + b"}}",
        "attributes.x",
        "deeper than 32",
    ),
    (b'{"asset": "dataset:w/a", "attributes": {"x": ' + b"[" * 500 + b"]" * 500 + b"}}", None, "nested too deep"),
    (b"[" * 100_000, None, "not JSON"),
    (
        b'{"asset": "dataset:w/a", "attributes": {"x": "' + b"x" * 262_144 + b'"}}',
        "attributes.x",
        "the limit is 262144",
    ),
    (b'{"flow": "dataset:w/a"}', "flow", '{"from": KEY, "to": KEY}'),
    (b'{"flow": {"from": "dataset:w/a"}}', "flow.to", "is missing"),
    (b'{"flow": {"from": "dataset:w/a", "to": 7}}', "flow.to", "not the text of an asset's key"),
    (b'{"flow": {"from": "dataset:w/a", "to": "dataset:w/b", "via": "job:w/j"}}', "flow.via", "has no 'via'"),
    (b'{"flow": {"from": "consumer:w/a", "to": "model:w/b"}}', "flow", "nothing flows from a consumer to a model"),
    (b'{"flow": {"from": "dataset:w/a", "to": "dataset:w/a"}}', "flow", "cannot flow into itself"),
    (GOOD[:-1] + b', "basis": "GUESSED"}', "basis", "it is one of DECLARED"),
    (GOOD[:-1] + b', "basis": 1}', "basis", "it is one of DECLARED"),
    (GOOD[:-1] + b', "valid_until": "2026-01-01T00:00:00Z"}', "valid_until", "is not after the start"),
    (b'{"withdraw": ["dataset:w/a"]}', "withdraw", "not the text of an asset's key"),
    (b'{"withdraw": {"from": "dataset:w/a"}}', "withdraw.to", "or a KEY"),
    (b'{"asset": "dataset:w/' + b"a" * MAX_LINE_BYTES + b'"}', None, "longer than 1,048,576 bytes"),
]


@pytest.mark.parametrize("wrong", WRONG, ids=[f"{line[:60]!r}" for line, _, _ in WRONG])
async def test_a_wrong_line_is_told_with_its_number_and_field_and_the_good_ones_around_it_are_kept(
    store: SqliteStore, wrong: tuple[bytes, str | None, str]
) -> None:
    text, field, words = wrong
    body = b"\xef\xbb\xbf" + GOOD + b"\r\n\r\n  \n" + text + b'\n{"asset":"dataset:w/after"}'
    async with client_of(store) as http:
        answer = (await http.post(bulk.PATH, content=body, headers=AS_LINES | ONE_ANSWER)).json()
    (error,) = answer["errors"]
    assert (error["line"], error["field"]) == (4, field), error
    assert words in error["message"]
    assert len(error["value"]) <= 201
    assert len(error["message"]) < 900
    assert (answer["done"]["lines"], answer["done"]["refused"], answer["done"]["committed"]) == (3, 1, 2)
    assert set(beliefs(store, "api:anonymous")) == {"dataset:w/a -> dataset:w/b", "dataset:w/after"}


@given(
    st.text("adcolumnersi_:/#.~%2E40 é\n", max_size=24)
    | st.from_regex(r"(dataset|column|run|feature):[a.~%]+/b#?[.c]*")
)
def test_a_line_takes_exactly_the_keys_that_the_graph_takes(text: str) -> None:
    try:
        expected: AssetKey | None = AssetKey.parse(text)
    except InvalidKey:
        expected = None
    try:
        found: AssetKey | None = key_of(read_line(orjson.dumps({"asset": text}), Basis.IMPORTED, NOW).subject)
    except LineRefused:
        found = None
    assert found == expected


def test_spaces_and_escapes_in_a_line_change_nothing() -> None:
    document = {"asset": "dataset:w/a", "attributes": {"note": 'é " \\ \n {}', "share": 1e5, "many": [1, 2.50]}}
    texts = [orjson.dumps(document), json.dumps(document).encode(), json.dumps(document, indent="\t").encode()]
    assert len({read_line(text, Basis.IMPORTED, NOW) for text in texts}) == 1


# Over HTTP

AS_LINES = {"Content-Type": "application/x-ndjson"}
ONE_ANSWER = {"Accept": "application/json"}


@asynccontextmanager
async def client_of(
    store: SqliteStore, tokens: Tokens | None = None, **given: object
) -> AsyncIterator[httpx.AsyncClient]:
    chosen = Settings(**given)  # type: ignore[arg-type]
    headwater = Headwater(store, LineageIndex(store), clock_now)
    headwater.index.load()
    rooms = furnish(chosen, clock_now, Metrics())
    app = create_app(Hosted(headwater), tokens or OpenTokens(), chosen, rooms)
    running = asyncio.create_task(rooms.bulk.run(headwater))
    try:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost:8321") as http:
            yield http
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def test_the_answer_tells_of_every_wrong_line_then_that_it_is_done(store: SqliteStore) -> None:
    body = b"\n".join([b"{}"] * 2500 + [GOOD])
    async with client_of(store) as http:
        answer = await http.post(bulk.PATH, params={"operation": "op", "origin": "o"}, content=body, headers=AS_LINES)
    told = [json.loads(line) for line in answer.text.splitlines()]
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert [each["error"]["line"] for each in told if "error" in each] == list(range(1, 2501))
    assert [*told[-1]] == ["done"]
    done = told[-1]["done"]
    assert (done["operation"], done["origin"], done["committed"], done["added"]) == ("op", "o", 1, 1)
    assert done["revision"] == store.head() == 1


async def test_lines_may_come_in_gzip_even_in_several_parts(store: SqliteStore) -> None:
    lines = [b'{"asset":"dataset:w/%d"}\n' % (number % 100) for number in range(20_000)]
    body = gzip.compress(b"".join(lines[:9])) + gzip.compress(b"".join(lines[9:]))
    headers = AS_LINES | ONE_ANSWER | {"Content-Encoding": "gzip"}
    async with client_of(store) as http:
        done = (await http.post(bulk.PATH, content=body, headers=headers)).json()["done"]
    assert (done["lines"], done["committed"], done["added"]) == (20_000, 20_000, 100)


async def test_what_is_wrong_with_the_whole_request_is_told_by_the_status(store: SqliteStore, tmp_path: Path) -> None:
    async def status(
        http: httpx.AsyncClient, content: bytes = GOOD, headers: dict[str, str] | None = None, **given: str
    ) -> int:
        answer = await http.post(bulk.PATH, params=given, content=content, headers=AS_LINES | (headers or {}))
        assert answer.is_success or answer.json()["errors"][0]["message"]
        return answer.status_code

    async with client_of(store, max_bulk_bytes=1000) as http:
        assert await status(http, origin="gateway") == 400
        assert await status(http, origin="gateway:claimed") == 400
        assert await status(http, origin="monitoring") == 400
        assert await status(http, origin=" ") == 400
        assert await status(http, operation="a\nb") == 400
        assert await status(http, operation_id="misspelt") == 400
        assert await status(http, basis="GUESSED") == 400
        assert await status(http, headers={"Content-Type": "text/csv"}) == 415
        assert await status(http, content=GOOD * 100) == 413
        assert store.head() == 0
        assert await status(http, operation="used") == 200
        assert await status(http, operation="used") == 200
        assert await status(http, operation="used", origin="another") == 409
        assert await status(http, operation="used", content=b'{"asset":"dataset:w/c"}') == 409
    token = create_token(tmp_path / "tokens.json", "ada", Role.READER, Kind.PERSON)
    async with client_of(store, FileTokens(tmp_path / "tokens.json")) as http:
        assert await status(http) == 401
        assert await status(http, headers={"Authorization": f"Bearer {token}"}) == 403


async def test_an_operation_sent_while_it_runs_is_joined(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    gate, reached, joined, commit, told = asyncio.Event(), asyncio.Event(), asyncio.Event(), store.commit, bulk._told
    loop = asyncio.get_running_loop()

    def tell(*arguments: Any) -> Any:
        joined.set()
        return told(*arguments)

    def commit_when_told(changes: Any, operation: Operation, now: Instant) -> Receipt:
        if operation.id != "op":  # that one opens it
            loop.call_soon_threadsafe(reached.set)
            asyncio.run_coroutine_threadsafe(gate.wait(), loop).result()
        return commit(changes, operation, now)

    monkeypatch.setattr(store, "commit", commit_when_told)
    monkeypatch.setattr(bulk, "_told", tell)
    async with client_of(store) as http:
        first = asyncio.create_task(http.post(bulk.PATH + "?operation=op", content=GOOD, headers=AS_LINES | ONE_ANSWER))
        await reached.wait()
        assert await progress_of(http, "op") == {"state": "COMMITTING", "lines": 1, "committed": 0}
        second = asyncio.create_task(http.post(bulk.PATH + "?operation=op", content=GOOD, headers=AS_LINES))
        other = await http.post(bulk.PATH + "?operation=op", content=b'{"asset":"dataset:w/c"}', headers=AS_LINES)
        assert other.status_code == 409
        await joined.wait()
        gate.set()
        answers = [(await first).json()["done"], json.loads((await second).text.splitlines()[-1])["done"]]
        assert answers[0] == answers[1]
        assert await progress_of(http, "op") == {"state": "DONE", "lines": 1, "committed": 1}
        assert await progress_of(http, "other") is None


async def test_two_commits_run_beside_each_other_but_flows_wait_for_all_assets(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_batches, "_STATEMENTS", 1)
    monkeypatch.setattr(store, "commits_at_once", 2)
    running: list[str] = []
    together: list[set[str]] = []
    pair = threading.Barrier(2, timeout=10)
    commit = store.commit

    def commit_in_pairs(plan: Any, operation: Operation, now: Instant) -> Receipt:
        kinds = {"flow" if isinstance(subject, Flow) else "asset" for subject in plan.subjects}
        if not kinds:  # it closes the operation
            return commit(plan, operation, now)
        [kind] = kinds
        running.append(kind)
        together.append({*running} if len(running) < 3 else {"too many"})
        if kind == "asset":
            pair.wait()  # for another, which must be under way as well
        receipt = commit(plan, operation, now)
        running.remove(kind)
        return receipt

    monkeypatch.setattr(store, "commit", commit_in_pairs)
    assets = [{"asset": f"dataset:w/{name}"} for name in "abcdef"]
    flows = [{"flow": {"from": "dataset:w/a", "to": f"dataset:w/{name}"}} for name in "bcdef"]
    operation = await operated(store, [*flows, *assets])
    assert (operation.state, operation.committed) == (State.DONE, 11)
    assert together == [{"asset"}] * 6 + [{"flow"}] * 5


async def progress_of(http: httpx.AsyncClient, id_: str) -> Any:
    query = "query($id: ID!) { bulkOperation(id: $id) { state lines committed } }"
    answer = (await http.post("/graphql", json={"query": query, "variables": {"id": id_}})).json()
    return answer["data"]["bulkOperation"]


async def test_graphql_takes_lines_and_tells_of_wrong_ones(store: SqliteStore) -> None:
    query = """mutation($input: BulkInput!) { bulk(input: $input) {
        ... on BulkOperation { id origin state lines refused committed added revision failure
            problems { line field value message code } }
        ... on Problem { __typename message } } }"""

    async def said(**given: object) -> Any:
        answer = (await http.post("/graphql", json={"query": query, "variables": {"input": given}})).json()
        return answer["data"]["bulk"]

    async with client_of(store) as http:
        lines = [{"asset": "dataset:w/a"}, {"flow": {"from": "dataset:w/a", "to": "dataset:w"}}, 7, {"asset": 2**70}]
        answer = await said(lines=lines, origin="import:x", operationId="op")
        told = [(problem["line"], problem["field"]) for problem in answer.pop("problems")]
        assert told == [(2, "flow.to"), (3, None), (4, None)]
        assert answer == {
            "id": "op",
            "origin": "import:x",
            "state": "DONE",
            "lines": 4,
            "refused": 3,
            "committed": 1,
            "added": 1,
            "revision": 1,
            "failure": None,
        }
        assert (await said(lines=[], origin="gateway"))["__typename"] == "InvalidInput"
        assert (await said(lines=[], operationId="op"))["__typename"] == "OperationReused"
        assert (await said(lines=[{}] * 10_001))["__typename"] == "InvalidInput"
