"""From windows that drifted to alerts: how many, about what, for how long, and who is told."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from strawberry.types import ExecutionResult

from app.alerting.alert import Alert, AlertState, alerts_now
from app.alerting.alerts import Alerting
from app.alerting.outbox import Delivered, Outbox, Outcome
from app.compose import furnish
from app.events import DriftedColumn, DriftTest, Side, WindowTested
from app.graphql.context import Context
from app.graphql.schema import schema
from app.hosting import Hosted
from app.identity import Kind, OpenTokens, Principal, Role
from app.main import create_app
from app.metrics import Metrics
from app.service import Headwater
from app.settings import Settings
from graph.cause import Reason
from graph.errors import Conflict, NotFound
from graph.index import LineageIndex
from graph.keys import AssetKey
from graph.messages import Message
from graph.stores.sqlite import SqliteStore
from tests.saying import asset, flow, key, say

pytestmark = pytest.mark.anyio

SECOND = 1_000_000
START = 1_763_917_512 * SECOND  # 2025-11-23T17:05:12Z
WINE, PORT = key("deployment:default/wine"), key("deployment:default/port")
VERSION = key("model_version:default/wine#3")
SHARE, PHENOLS, ALCOHOL = (key(f"feature:cellar/bottles#{name}") for name in ("share", "phenols", "alcohol"))
SHOP = "consumer:default/shop"
FEATURES = {"share": SHARE, "phenols": PHENOLS, "alcohol": ALCOHOL}


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> int:
        self.now += 1_000
        return self.now


class Sent:
    """In the place of a webhook."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    async def __call__(self, message: Message, now: int) -> Outcome:
        self.messages.append(message)
        return Delivered()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def headwater(tmp_path: Path, clock: Clock) -> Iterator[Headwater]:
    """share and phenols are computed from one column, alcohol from another; port uses what wine puts out."""
    store = SqliteStore(tmp_path / "lineage.db")
    inputs = [{"name": name, "feature": str(feature)} for name, feature in FEATURES.items()]
    say(
        store,
        asset("dataset:lake/lab", owners=[{"name": "lab", "contact": "#lab"}]),
        asset("column:lake/lab#flavanoids", type="double"),
        asset("column:lake/lab#alcohol", type="double"),
        asset("feature_view:cellar/bottles", owners=[{"name": "cellar", "contact": "#cellar"}]),
        *FEATURES.values(),
        asset(str(VERSION), signature={"inputs": [*inputs, {"name": "age"}], "outputs": [{"name": "label"}]}),
        asset(str(WINE), tier=2),
        PORT,
        asset(SHOP, tier=1, owners=[{"name": "sales", "contact": "#sales"}]),
        flow("column:lake/lab#flavanoids", str(SHARE)),
        flow("column:lake/lab#flavanoids", str(PHENOLS)),
        flow("column:lake/lab#alcohol", str(ALCOHOL)),
        flow(str(VERSION), str(WINE)),
        flow(str(WINE), str(PORT)),
        flow(str(PORT), SHOP),
        now=START - 30 * 24 * 3600 * SECOND,
    )
    index = LineageIndex(store)
    index.load()
    yield Headwater(store, index, clock)
    store.close()


def window(*names: str, at: AssetKey = WINE, effect: float = 0.5, **effects: float) -> WindowTested:
    """One whose columns of these names drifted; `label` is an output, `age` an input that is no feature."""
    columns = tuple(
        DriftedColumn(
            name=name,
            side=Side.OUTPUT if name == "label" else Side.INPUT,
            tests=(DriftTest("ks", 0.7, 1e-30),),
            effect=effects.get(name, effect) if name in (*names, *effects) else 0.0,
            reference={"rows": 5_000, "missing": 0.0, "mean": 2.03, "sd": 1.0},
            current={"rows": 512, "missing": 0.0, "mean": 4.1, "sd": 1.0},
            feature=FEATURES.get(name),
        )
        for name in (*FEATURES, "age", "label")
    )
    drifted = frozenset((column.side, column.name) for column in columns if column.effect)
    return WindowTested(at, VERSION, START - SECOND, START, 512, columns, drifted)


async def alerts(headwater: Headwater) -> list[Alert]:
    return (await alerts_now(headwater))[1]


def shown(alert: Alert) -> tuple[AssetKey, list[str]]:
    return alert.about, [found.column.name for found in alert.found]


async def test_a_feature_that_drifted_is_one_alert_that_says_where_why_and_who_is_hit(headwater: Headwater) -> None:
    say(headwater.store, asset("column:lake/lab#flavanoids", type="text"), now=START - 3600 * SECOND)
    await headwater.follow()
    await Alerting(None).window_tested(headwater, window("share"))
    (alert,) = await alerts(headwater)
    assert str(alert.key) == "alert:cellar/drift-share-2025-11-23T17-05-12Z"
    assert (alert.state, alert.title) == (AlertState.OPEN, "share drifted at wine")
    assert alert.description == (
        "share in 512 predictions of wine differs from what it was trained on: mean 4.1 instead of 2.03, divergence 0.50 bits."
    )
    assert (alert.about, alert.column) == (SHARE, key("column:lake/lab#flavanoids"))
    assert (alert.deployments, alert.model_version, alert.rows) == ((WINE,), VERSION, 512)
    assert alert.consumers == (key(SHOP),)
    assert alert.owners == [{"name": "cellar", "contact": "#cellar"}]
    assert alert.tier == 1
    assert [(str(cause.asset), cause.reason) for cause in alert.causes] == [
        ("column:lake/lab#flavanoids", Reason.CHANGED),
        ("dataset:lake/lab", Reason.UPSTREAM),
    ]
    assert alert.causes[0].explanation.startswith("its type changed at 2025-11-23 16:05 UTC, 60 min before")
    assert await headwater.search("cellar drift", (), 5, 0), "its owner finds it"


async def test_features_of_one_source_column_are_one_alert_named_after_what_drifted_most(headwater: Headwater) -> None:
    await Alerting(None).window_tested(headwater, window(share=0.2, phenols=0.6, alcohol=0.4))
    found = {alert.about: shown(alert)[1] for alert in await alerts(headwater)}
    assert found == {PHENOLS: ["phenols", "share"], ALCOHOL: ["alcohol"]}


async def test_an_output_that_drifts_with_an_input_is_a_consequence_and_alone_an_alert(headwater: Headwater) -> None:
    await Alerting(None).window_tested(headwater, window("share", "label"))
    assert [shown(alert) for alert in await alerts(headwater)] == [(SHARE, ["share", "label"])]


async def test_an_output_or_a_plain_input_is_an_alert_about_the_deployment(headwater: Headwater) -> None:
    alerting = Alerting(None)
    await alerting.window_tested(headwater, window("label"))
    await alerting.window_tested(headwater, window("age"))
    (alert,) = await alerts(headwater)
    assert shown(alert) == (WINE, ["label", "age"])
    assert alert.title == "output label drifted at wine"
    assert alert.column is None


async def test_what_drifts_downstream_of_an_open_alert_folds_into_it(headwater: Headwater) -> None:
    alerting = Alerting(None)
    await alerting.window_tested(headwater, window("share"))
    await alerting.window_tested(headwater, window("label", at=PORT))
    (alert,) = await alerts(headwater)
    assert shown(alert) == (SHARE, ["share", "label"])
    assert alert.deployments == (WINE, PORT)
    await alerting.window_tested(headwater, window("alcohol", "label"))
    assert {alert.about for alert in await alerts(headwater)} == {SHARE, ALCOHOL}, "another root is another alert"


async def test_while_an_alert_is_open_further_windows_update_it(headwater: Headwater, clock: Clock) -> None:
    for at in (WINE, PORT, WINE, PORT):
        await Alerting(None).window_tested(headwater, window("share", at=at))  # each after a restart
        clock.now += 60 * SECOND
    (alert,) = await alerts(headwater)
    assert (alert.deployments, alert.rows) == ((WINE, PORT), 4 * 512)
    assert alert.last_seen > alert.opened_at


async def test_the_longer_an_alert_is_open_the_less_often_it_is_written(headwater: Headwater, clock: Clock) -> None:
    alerting = Alerting(None)
    await alerting.window_tested(headwater, window("share"))
    before = headwater.index.revision
    for _ in range(100):
        clock.now += 60 * SECOND
        await alerting.window_tested(headwater, window("share"))
    assert headwater.index.revision - before < 40
    (alert,) = await alerts(headwater)
    assert alert.rows > 0.9 * 100 * 512


async def test_three_clean_windows_at_each_of_its_deployments_resolve_it(headwater: Headwater, clock: Clock) -> None:
    alerting = Alerting(None)
    await alerting.window_tested(headwater, window("share"))
    await alerting.window_tested(headwater, window("share", at=PORT))
    for at in (WINE, WINE, WINE, PORT, PORT):
        await alerting.window_tested(headwater, window("alcohol" if at == WINE else "", at=at))
    await alerting.window_tested(headwater, window("share", at=PORT))
    for _ in range(3):
        assert {alert.state for alert in await alerts(headwater)} == {AlertState.OPEN}
        await alerting.window_tested(headwater, window(at=PORT))
    states = {alert.about: alert.state for alert in await alerts(headwater)}
    assert states == {SHARE: AlertState.RESOLVED, ALCOHOL: AlertState.OPEN}
    await alerting.window_tested(headwater, window("share"))
    found = [(alert.about, alert.state) for alert in await alerts(headwater)]
    assert found == [(SHARE, AlertState.OPEN), (ALCOHOL, AlertState.OPEN), (SHARE, AlertState.RESOLVED)]


async def test_people_acknowledge_and_resolve_by_name(headwater: Headwater) -> None:
    alerting = Alerting(None)
    await alerting.window_tested(headwater, window("share"))
    (alert,) = await alerts(headwater)
    assert (await alerting.acknowledge(headwater, alert.key, "ada")).changed
    assert not (await alerting.acknowledge(headwater, alert.key, "bob")).changed
    await alerting.window_tested(headwater, window("share"))
    (alert,) = await alerts(headwater)
    assert (alert.state, alert.rows) == (AlertState.ACKNOWLEDGED, 2 * 512)
    assert (await alerting.resolve(headwater, alert.key, "bob")).changed
    with pytest.raises(Conflict, match="is resolved"):
        await alerting.acknowledge(headwater, alert.key, "ada")
    with pytest.raises(NotFound, match="is no alert"):
        await alerting.resolve(headwater, WINE, "ada")
    actors = [revision.actor for revision in headwater.store.history(alert.key)]
    assert [actors[0], actors[-1]] == ["bob", "monitoring"]
    assert "ada" in actors


async def test_each_alert_is_told_once_when_raised_and_once_when_resolved(headwater: Headwater) -> None:
    sent = Sent()
    outbox = Outbox(sent, lambda: 0.5, Metrics())
    alerting = Alerting(outbox)
    for each in (window("share"), window("share"), window("share", at=PORT)):
        await alerting.window_tested(headwater, each)
        await outbox.deliver_due(headwater)
    (alert,) = await alerts(headwater)
    await alerting.resolve(headwater, alert.key, "ada")
    await outbox.deliver_due(headwater)
    raised, resolved = sent.messages
    assert (raised.topic, resolved.topic) == ("alert.raised", "alert.resolved")
    assert raised.id != resolved.id
    told: Any = raised.body
    assert told["timestamp"].startswith("2025-11-23T17:05:12")
    data = told["data"]
    assert (data["id"], data["about"], data["state"]) == (str(alert.key), str(SHARE), "OPEN")
    assert data["deployments"] == [str(WINE)]
    assert data["consumers"] == [{"id": SHOP, "owners": [{"name": "sales", "contact": "#sales"}]}]
    assert data["causes"][0]["asset"] == "column:lake/lab#flavanoids"
    assert data["path"] == "/alerts/alert:cellar/drift-share-2025-11-23T17-05-12Z"


async def test_without_a_webhook_no_message_waits_for_one(headwater: Headwater) -> None:
    await Alerting(None).window_tested(headwater, window("share"))
    assert headwater.store.undelivered() == 0


async def test_two_features_of_one_name_are_two_alerts(headwater: Headwater, clock: Clock) -> None:
    other = key("feature:cellar/barrels#share")
    say(headwater.store, other, now=START)
    await headwater.follow()
    drifted = window("share")
    renamed = [replace(column, feature=other) if column.name == "share" else column for column in drifted.columns]
    alerting = Alerting(None)
    await alerting.window_tested(headwater, drifted)
    await alerting.window_tested(headwater, replace(drifted, deployment=PORT, columns=tuple(renamed)))
    found = sorted(str(alert.key) for alert in await alerts(headwater))
    assert found == [
        "alert:cellar/drift-share-2025-11-23T17-05-12Z",
        "alert:cellar/drift-share-2025-11-23T17-05-12Z-2",
    ]


# Over GraphQL


@pytest.fixture
async def http(headwater: Headwater, clock: Clock, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    settings = Settings(data=tmp_path / "data")
    rooms = furnish(settings, clock, Metrics())
    app = create_app(Hosted(headwater), OpenTokens(), settings, rooms)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost:8321") as client:
        await rooms.alerting.window_tested(headwater, window("share", "label"))
        clock.now += 60 * SECOND
        await rooms.alerting.window_tested(headwater, window("alcohol"))
        yield client


async def ask(http: httpx.AsyncClient, query: str, **variables: object) -> dict[str, Any]:
    headers = {"Accept": "application/graphql-response+json"}
    response = await http.post("/graphql", json={"query": query, "variables": variables}, headers=headers)
    answer = response.json()
    assert "errors" not in answer, answer
    data: dict[str, Any] = answer["data"]
    return data


WHOLE = """
query Whole($id: ID!) {
  asset(key: $id) {
    __typename title owners { name contact } tier
    ... on Alert {
      state openedAt lastSeen rows
      about { id title } column { id } modelVersion { id }
      deployments { total nodes { id } edges { hops when } }
      drifted { name side effect reference current asset { id } deployment { id } tests { name statistic pValue } }
      causes { asset { id } reason explanation hops }
      consumers { total edges { hops when node { id owners { name } } } }
    }
    history { nodes { actor } }
  }
}
"""


async def test_an_alert_can_be_read_whole(http: httpx.AsyncClient) -> None:
    listed = (await ask(http, "{ alerts { nodes { id title state about { id } } pageInfo { hasNextPage } } }"))[
        "alerts"
    ]
    assert [(each["title"], each["about"]["id"]) for each in listed["nodes"]] == [
        ("alcohol drifted at wine", str(ALCOHOL)),
        ("share drifted at wine", str(SHARE)),
    ]
    alert = (await ask(http, WHOLE, id=listed["nodes"][1]["id"]))["asset"]
    assert (alert["__typename"], alert["state"], alert["rows"]) == ("Alert", "OPEN", 512)
    assert alert["openedAt"].startswith("2025-11-23T17:05:12")
    assert alert["owners"] == [{"name": "cellar", "contact": "#cellar"}]
    assert alert["column"] == {"id": "column:lake/lab#flavanoids"}
    assert alert["deployments"] == {
        "total": 1,
        "nodes": [{"id": str(WINE)}],
        "edges": [{"hops": 1, "when": "NOW"}],
    }
    share, label = alert["drifted"]
    assert (share["name"], share["side"], share["asset"]) == ("share", "INPUT", {"id": str(SHARE)})
    assert (label["name"], label["side"], label["asset"]) == ("label", "OUTPUT", None)
    assert share["tests"] == [{"name": "ks", "statistic": 0.7, "pValue": 1e-30}]
    assert share["current"]["mean"] == 4.1
    assert alert["causes"][0]["asset"] == {"id": "column:lake/lab#flavanoids"}
    (hit,) = alert["consumers"]["edges"]
    assert (hit["node"]["id"], hit["hops"], hit["when"]) == (SHOP, 3, "NOW")
    assert [each["actor"] for each in alert["history"]["nodes"]] == ["monitoring"]


async def test_assets_name_the_alerts_about_them(http: httpx.AsyncClient) -> None:
    query = "query Of($id: ID!) { asset(key: $id) { alerts { title } } }"

    async def titles(key: str) -> list[str]:
        return [alert["title"] for alert in (await ask(http, query, id=key))["asset"]["alerts"]]

    assert await titles(str(SHARE)) == ["share drifted at wine"]
    assert await titles("column:lake/lab#flavanoids") == ["share drifted at wine"]
    assert await titles(str(WINE)) == ["alcohol drifted at wine", "share drifted at wine"]
    assert await titles(SHOP) == []


async def test_alerts_are_acknowledged_and_resolved_by_mutation(http: httpx.AsyncClient) -> None:
    (newest, *_) = (await ask(http, "{ alerts { nodes { id } } }"))["alerts"]["nodes"]
    result = "__typename ... on Registered { changed assets { ... on Alert { state } } } ... on Problem { message }"

    async def act(name: str, id: str) -> dict[str, Any]:
        data = await ask(http, f"mutation Act($id: ID!) {{ it: {name}(id: $id) {{ {result} }} }}", id=id)
        it: dict[str, Any] = data["it"]
        return it

    assert (await act("acknowledgeAlert", newest["id"]))["assets"] == [{"state": "ACKNOWLEDGED"}]
    assert (await act("resolveAlert", newest["id"]))["assets"] == [{"state": "RESOLVED"}]
    assert not (await act("resolveAlert", newest["id"]))["changed"]
    assert (await act("acknowledgeAlert", newest["id"]))["__typename"] == "Refused"
    assert (await act("resolveAlert", str(WINE)))["__typename"] == "UnknownAsset"
    assert (await act("resolveAlert", "nonsense"))["__typename"] == "InvalidInput"
    left = "query Left($states: [AlertState!]) { alerts(states: $states) { nodes { title } } }"
    assert len((await ask(http, left, states=["RESOLVED"]))["alerts"]["nodes"]) == 1
    assert (await ask(http, left, states=["OPEN"]))["alerts"]["nodes"] == [{"title": "share drifted at wine"}]
    of = "query Of($id: ID!) { asset(key: $id) { alerts { title } all: alerts(open: false) { title } } }"
    found = (await ask(http, of, id=str(ALCOHOL)))["asset"]
    assert (found["alerts"], found["all"]) == ([], [{"title": "alcohol drifted at wine"}])


async def test_alerts_are_told_as_they_are_raised_and_change(
    http: httpx.AsyncClient, headwater: Headwater, clock: Clock
) -> None:
    alerting = Alerting(None)
    context = Context(headwater, Principal("ada", Kind.PERSON, Role.READER), furnish(Settings(), clock, Metrics()))
    told = await schema.subscribe("subscription { alerts { title state rows } }", context_value=context)
    assert not isinstance(told, ExecutionResult)
    async with aclosing(told) as stream:
        first = asyncio.ensure_future(anext(stream))
        while not first.done():  # until the subscription has begun
            clock.now += 60 * SECOND
            await alerting.window_tested(headwater, window("share"))
        update = await first
        assert update.data is not None
        assert (update.data["alerts"]["title"], update.data["alerts"]["state"]) == ("share drifted at wine", "OPEN")
        (_, share) = await alerts(headwater)
        await alerting.resolve(headwater, share.key, "ada")
        async for change in stream:
            assert change.data is not None
            if change.data["alerts"]["state"] == "RESOLVED":
                break


async def test_nobody_but_monitoring_speaks_as_monitoring(http: httpx.AsyncClient) -> None:
    mutation = """
    mutation { it: withdraw(input: {assets: ["alert:cellar/x"]}, envelope: {origin: "monitoring"}) {
      __typename ... on Problem { message } } }
    """
    assert "is this service's own" in (await ask(http, mutation))["it"]["message"]
