"""OpenLineage over HTTP: what is kept, what the graph then says, and how what is wrong is answered."""

import asyncio
import json
from collections.abc import AsyncIterator, Collection, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send

from app.compose import now
from app.identity import Forbidden, Kind, Principal, Role
from app.intake import openlineage
from app.intake.openlineage import OpenLineage
from app.metrics import Metrics
from app.service import Headwater
from app.sources.sources import Sources
from graph.errors import InvalidInput, StoreUnavailable
from graph.index import LineageIndex
from graph.stores.contract import KeptEvent
from graph.stores.sqlite import SqliteStore
from tests.openlineage import ORIGIN, dataset, run_event
from tests.patience import within
from tests.saying import flow, key

pytestmark = pytest.mark.anyio

ORDERS, TOTALS = dataset("orders"), dataset("totals")
SENDER = Principal("airflow", Kind.CONSUMER, Role.CONTRIBUTOR)


class Store(SqliteStore):
    away = False
    refusals = 0
    """So many times yet, what is kept cannot be read."""
    bad: str | None = None
    """An origin whose events cannot be folded."""

    def kept(self, origin: str, *arguments: Any, **named: Any) -> list[KeptEvent]:
        if self.refusals:
            self.refusals -= 1
            raise StoreUnavailable("the store is away")
        if self.bad == origin:
            raise InvalidInput("nobody can read that any more", origin)
        return super().kept(origin, *arguments, **named)

    def keep(self, events: Collection[KeptEvent], keeper: str, now: int) -> int:
        if self.away:
            raise StoreUnavailable("the store is away")
        return super().keep(events, keeper, now)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "lineage.db")
    yield store
    store.close()


@pytest.fixture
def headwater(store: Store) -> Headwater:
    index = LineageIndex(store)
    index.load()
    return Headwater(store, index, now)


@pytest.fixture
async def room(headwater: Headwater) -> AsyncIterator[OpenLineage]:
    room = OpenLineage(now, Sources(now, Metrics()))
    running = asyncio.create_task(room.run(headwater))
    yield room
    running.cancel()


@pytest.fixture
async def http(headwater: Headwater, room: OpenLineage) -> AsyncIterator[httpx.AsyncClient]:
    async with client(headwater, room) as http:
        yield http


def client(headwater: Headwater, room: OpenLineage, principal: Principal = SENDER) -> httpx.AsyncClient:
    routed = Starlette(routes=room.routes())

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope.setdefault("state", {}).update(headwater=headwater, principal=principal)
        await routed(scope, receive, send)

    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost:8321")


@pytest.mark.parametrize("path", ["/api/v1/lineage", "/lineage"])
async def test_what_a_run_read_and_wrote_flows(
    http: httpx.AsyncClient, room: OpenLineage, headwater: Headwater, path: str
) -> None:
    for event in (run_event("START", 1, inputs=[ORDERS]), run_event("COMPLETE", 2, outputs=[TOTALS])):
        answer = await http.post(path, json=event)
        assert (answer.status_code, answer.content) == (201, b"")
    await room.settled()
    said = headwater.store.believed_by(ORIGIN)
    read, written = flow("dataset:wh/orders", "job:etl/load"), flow("job:etl/load", "dataset:wh/totals")
    assert {read, written, key("dataset:wh/orders"), key("dataset:wh/totals"), key("job:etl/load")} == said.keys()
    assert said[written][0].valid.start == said[read][0].valid.start
    assert headwater.index.revision == headwater.store.head()


async def test_a_repeated_event_changes_nothing(http: httpx.AsyncClient, room: OpenLineage, store: Store) -> None:
    event = run_event("COMPLETE", 1, inputs=[ORDERS])
    await http.post("/lineage", json=event)
    await room.settled()
    head = store.head()
    await http.post("/lineage", content=json.dumps(dict(reversed(event.items())), indent=3))
    await room.settled()
    assert (store.head(), len(store.kept(ORIGIN))) == (head, 1)


async def test_what_came_is_given_again_with_facets_that_nobody_knows(http: httpx.AsyncClient) -> None:
    events = [run_event(state, 1, inputs=[ORDERS], my_facet={"ü": [1, 2.5, None]}) for state in ("START", "COMPLETE")]
    for event in events:
        await http.post("/lineage", json=event)
    answer = await http.get("/api/v1/lineage/events", params={"origin": ORIGIN})
    again = [json.loads(line) for line in answer.text.splitlines()]
    assert sorted(again, key=str) == sorted(events, key=str)
    assert (await http.get("/api/v1/lineage/events", params={"origin": "nobody"})).text == ""


async def test_a_batch_keeps_what_is_right(http: httpx.AsyncClient, room: OpenLineage, store: Store) -> None:
    wrong = run_event("COMPLETE", 1, outputs=[{**TOTALS, "name": 7}])
    answer = await http.post("/api/v1/lineage/batch", json=[run_event("COMPLETE", 1, inputs=[ORDERS]), wrong, 1])
    assert answer.status_code == 200
    assert answer.json() == {
        "status": "partial_success",
        "summary": {"received": 3, "successful": 1, "failed": 2, "retriable": 0, "non_retriable": 2},
        "failed_events": [
            {"index": 1, "reason": "outputs[0].name is 7, not text", "retriable": False},
            {"index": 2, "reason": "the event is 1, not an object", "retriable": False},
        ],
    }
    await room.settled()
    assert len(store.kept(ORIGIN)) == 1


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", "the body is not JSON: unexpected end of data: line 1 column 2 (char 1)"),
        (b"[]", "the event is [], not an object"),
        (b'{"eventTime": "2026-11-23T14:00:00Z", "producer": "p"}', "the event has none of run, job and dataset"),
        (b'{"eventTime": "yesterday", "producer": "p"}', "eventTime is 'yesterday', which is not an instant"),
        (b'{"eventTime": "2999-11-23T14:00:00Z", "producer": "p", "job": {"namespace": "n", "name": "j"}}', "ahead"),
    ],
)
async def test_what_is_wrong_is_told(http: httpx.AsyncClient, store: Store, body: bytes, message: str) -> None:
    for path in ("/lineage", "/lineage/batch"):
        answer = await http.post(path, content=body if path == "/lineage" or body == b"{" else b"{}")
        assert answer.status_code == 400
    assert message in (await http.post("/lineage", content=body)).json()["errors"][0]["message"]
    assert store.unfolded() == []


NESTED = {"a": 1}
for _ in range(400):
    NESTED = {"a": NESTED}  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"a": NaN}', "not JSON"),
        (b'{"a": 1e400}', "not JSON"),
        (b'{"a": "\xff"}', "not JSON"),
        (b'{"a": "\\ud800"}', "not JSON"),
        (b"[" * 5_000, "not JSON"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        (b"", "not JSON"),
        (b'"' + b"x" * 100_000 + b'"', "not an object"),
        (json.dumps(run_event("COMPLETE", 1, mine=NESTED)).encode(), "is not JSON: Recursion limit"),
        (
            json.dumps({**run_event("COMPLETE", 1), "job": {"namespace": "etl", "name": "a\u202e\x07"}}).encode(),
            "control",
        ),
    ],
    ids=range(10),
)
async def test_hostile_bodies_are_refused_with_a_clear_answer(
    http: httpx.AsyncClient, store: Store, body: bytes, message: str
) -> None:
    answer = await http.post("/lineage", content=body)
    assert answer.status_code == 400
    (error,) = answer.json()["errors"]
    assert message in error["message"]
    assert len(error["message"]) < 1_000
    assert store.unfolded() == []


async def test_a_hostile_event_in_a_batch_leaves_the_others_alone(http: httpx.AsyncClient, store: Store) -> None:
    right = run_event("COMPLETE", 1, inputs=[ORDERS])
    deep = run_event("COMPLETE", 2, mine=NESTED)
    ahead = {**right, "eventTime": "2999-01-01T00:00:00Z"}
    body = json.dumps([deep, right, None, {}, ahead, [right]])[:-1] + ',{"a":' + "[" * 1_020 + "]" * 1_020 + "}]"
    answer = await http.post("/lineage/batch", content=body)
    assert [each["index"] for each in answer.json()["failed_events"]] == [0, 2, 3, 4, 5, 6]
    assert len(store.kept(ORIGIN)) == 1


async def test_a_name_that_occurs_twice_counts_as_it_stands_last(http: httpx.AsyncClient, store: Store) -> None:
    body = json.dumps(run_event("COMPLETE", 1)).replace(
        '"eventType": "COMPLETE"', '"eventType": 7, "eventType": "FAIL"'
    )
    assert (await http.post("/lineage", content=body)).status_code == 201
    assert b'"FAIL"' in store.kept(ORIGIN)[0].body


async def test_what_cannot_be_kept_is_to_be_sent_again(http: httpx.AsyncClient, store: Store) -> None:
    store.away = True
    answer = await http.post("/lineage", json=run_event("COMPLETE", 1))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    store.away = False
    assert store.kept(ORIGIN) == []


async def test_more_than_can_wait_is_to_be_sent_again(
    headwater: Headwater, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openlineage, "MOST_WAITING", 1)
    async with client(headwater, OpenLineage(now, Sources(now, Metrics()))) as http:  # one that folds nothing
        assert (await http.post("/lineage", json=run_event("COMPLETE", 1))).status_code == 201
        answer = await http.post("/lineage", json=run_event("COMPLETE", 2))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.json()["errors"][0]["extensions"]["code"] == "OVERLOADED"
    assert len(store.kept(ORIGIN)) == 1


async def test_who_may_only_read_tells_nothing(headwater: Headwater, room: OpenLineage, store: Store) -> None:
    async with client(headwater, room, Principal("reader", Kind.CONSUMER, Role.READER)) as http:
        for path in ("/lineage", "/lineage/batch"):
            with pytest.raises(Forbidden):
                await http.post(path, json=run_event("COMPLETE", 1))
    assert store.kept(ORIGIN) == []


async def test_what_was_acknowledged_is_folded_by_the_next_process(headwater: Headwater, store: Store) -> None:
    async with client(headwater, OpenLineage(now, Sources(now, Metrics()))) as http:  # one that ends before it folds
        assert (await http.post("/lineage", json=run_event("COMPLETE", 1, inputs=[ORDERS]))).status_code == 201
    assert (store.head(), store.unfolded()) == (0, [ORIGIN])
    room = OpenLineage(now, Sources(now, Metrics()))
    running = asyncio.create_task(room.run(headwater))
    await asyncio.to_thread(within, 10, lambda: not store.unfolded())
    running.cancel()
    assert key("dataset:wh/orders") in store.believed_by(ORIGIN)


async def test_what_could_not_be_folded_is_folded_later_and_holds_up_no_other(
    http: httpx.AsyncClient, room: OpenLineage, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openlineage, "_PAUSE", 0.01)
    store.refusals = 2
    store.bad = ORIGIN.replace("load", "bad")
    event = run_event("COMPLETE", 1, inputs=[ORDERS])
    await http.post("/lineage/batch", json=[event, {**event, "job": {"namespace": "etl", "name": "bad"}}])
    await room.settled()
    assert key("dataset:wh/orders") in store.believed_by(ORIGIN)
    assert store.unfolded() == [store.bad]


async def test_events_of_one_job_that_come_at_once_are_all_told(
    http: httpx.AsyncClient, room: OpenLineage, store: Store
) -> None:
    events = [run_event("COMPLETE", 1, inputs=[dataset(f"t{number}")]) for number in range(40)]
    answers = await asyncio.gather(*(http.post("/lineage", json=event) for event in events))
    assert {answer.status_code for answer in answers} == {201}
    await room.settled()
    said = store.believed_by(ORIGIN)
    assert all(flow(f"dataset:wh/t{number}", "job:etl/load") in said for number in range(40))
    assert store.unfolded() == []


async def test_what_is_asked_for_can_be_selected(http: httpx.AsyncClient) -> None:
    for hour in range(3):
        await http.post("/lineage", json=run_event("COMPLETE", hour, inputs=[ORDERS]))
    await http.post("/lineage", json={**run_event("COMPLETE", 1), "job": {"namespace": "etl", "name": "other"}})

    async def found(**given: str) -> int:
        return len((await http.get("/api/v1/lineage/events", params=given)).text.splitlines())

    assert await found() == 4
    assert await found(about="job:etl/load") == 3
    assert await found(about="job:etl/load", since="2026-01-01T01:00:00Z", until="2026-01-01T02:00:00Z") == 1
    assert (await http.get("/api/v1/lineage/events", params={"since": "long ago"})).status_code == 400
    assert (await http.get("/api/v1/lineage/events", params={"about": "load"})).status_code == 400


async def test_events_that_wait_are_counted(http: httpx.AsyncClient, room: OpenLineage) -> None:
    await room.settled()
    assert room.waiting == 0
    await http.post("/lineage/batch", json=[run_event("COMPLETE", hour) for hour in range(5)])
    assert room.waiting == 5
    await room.settled()
    assert room.waiting == 0
