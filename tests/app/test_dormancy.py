"""Callers that were seen, and not for long: told, and left out of what breaks now, until they are seen again."""

import httpx
import pytest

from app.compose import now
from app.service import Headwater
from app.watching.dormancy import Dormancy
from graph.changes import FlowStatement
from graph.index import LineageIndex
from graph.model import Basis
from graph.stores.sqlite import SqliteStore
from graph.time import DAY
from graph.usage import Usage, day_of
from tests.app.test_graphql import Answer, ask, http, store  # noqa: F401 (fixtures)
from tests.saying import flow, key, say

pytestmark = pytest.mark.anyio

SCORES, AVERAGE = "deployment:risk/scores", "feature:shop/spending#average"
BUSY, GONE = "consumer:shop/busy", "consumer:shop/gone"
VERIFIED, CLAIMED = "gateway:verified", "gateway:claimed"

QUERY = """query($start: ID!, $flows: FlowFilterInput, $revision: Int) {
  lineage(start: $start, flows: $flows, atLeastRevision: $revision) { ... on Lineage {
    dormantDays assets { edges { when node { id } } } counts { byWhen { when count } } } } }"""
FLOWS = """query($key: ID!) { asset(key: $key) { flowsOut { nodes {
  target { id } origins verified dormant } } } }"""


def called(store: SqliteStore, number: int, reader: str, days_ago: int, verified: bool = False) -> None:  # noqa: F811
    at = now() - days_ago * DAY
    store.count([Usage(key(SCORES), key(reader), verified, day_of(at), 3, 0, at, at)], "tests", number)


@pytest.fixture
def told(store: SqliteStore) -> None:  # noqa: F811
    today, long_ago = now(), now() - 200 * DAY
    say(store, FlowStatement(flow(AVERAGE, SCORES), since=long_ago), now=today)
    for origin, reader in ((VERIFIED, BUSY), (CLAIMED, GONE), (VERIFIED, GONE)):
        seen = FlowStatement(flow(SCORES, reader), {"verified": origin == VERIFIED}, long_ago)
        say(store, key(reader), seen, now=today, origin=origin, basis=Basis.OBSERVED)
    called(store, 1, BUSY, 3, verified=True)
    called(store, 2, GONE, 100)
    called(store, 3, GONE, 120, verified=True)


async def turned(store: SqliteStore, days: int = 90) -> int:  # noqa: F811
    headwater = Headwater(store, LineageIndex(store), now)
    headwater.index.load()
    await Dormancy(days).turn(headwater)
    return store.head()


async def felt(http: httpx.AsyncClient, revision: int, start: str = AVERAGE, **flows: object) -> dict[str, str]:  # noqa: F811
    found: Answer = (await ask(http, QUERY, start=start, revision=revision, flows=flows or None))["lineage"]
    assert found["dormantDays"] == 90
    return {edge["node"]["id"]: edge["when"] for edge in found["assets"]["edges"]}


@pytest.mark.usefixtures("told")
async def test_who_was_not_seen_for_long_is_told_and_does_not_break_now(
    http: httpx.AsyncClient,  # noqa: F811
    store: SqliteStore,  # noqa: F811
) -> None:
    assert await felt(http, await turned(store)) == {SCORES: "NOW", BUSY: "NOW", GONE: "HISTORIC"}
    flows = {each["target"]["id"]: each for each in (await ask(http, FLOWS, key=SCORES))["asset"]["flowsOut"]["nodes"]}
    assert flows[GONE] == {
        "target": {"id": GONE},
        "origins": [f"{CLAIMED}:dormant", f"{VERIFIED}:dormant"],
        "verified": True,
        "dormant": True,
    }
    assert (flows[BUSY]["origins"], flows[BUSY]["dormant"]) == ([VERIFIED], False)
    assert await felt(http, 0, SCORES) == {BUSY: "NOW", GONE: "HISTORIC"}


@pytest.mark.usefixtures("told")
async def test_turning_again_changes_nothing_until_it_is_seen_again(
    http: httpx.AsyncClient,  # noqa: F811
    store: SqliteStore,  # noqa: F811
) -> None:
    revision = await turned(store)
    assert await turned(store) == revision
    called(store, 4, GONE, 0)
    seen = FlowStatement(flow(SCORES, GONE), {"verified": False}, now())
    say(store, seen, now=now(), origin=CLAIMED, basis=Basis.OBSERVED)
    revision = await turned(store)
    assert (await felt(http, revision))[GONE] == "NOW"
    flows = {each["target"]["id"]: each for each in (await ask(http, FLOWS, key=SCORES))["asset"]["flowsOut"]["nodes"]}
    assert flows[GONE]["origins"] == [CLAIMED, f"{VERIFIED}:dormant"], "it proved its name long ago only"
    assert flows[GONE]["dormant"] is False


@pytest.mark.usefixtures("told")
async def test_who_declared_it_breaks_now_however_silent(http: httpx.AsyncClient, store: SqliteStore) -> None:  # noqa: F811
    say(store, flow(SCORES, GONE), now=now(), origin="manifest:shop")
    assert (await felt(http, await turned(store)))[GONE] == "NOW"


@pytest.mark.usefixtures("told")
async def test_what_a_dormant_caller_claimed_is_left_out_where_claims_are(
    http: httpx.AsyncClient,  # noqa: F811
    store: SqliteStore,  # noqa: F811
) -> None:
    other = "consumer:shop/other"
    seen = FlowStatement(flow(SCORES, other), {"verified": False}, now() - 200 * DAY)
    say(store, key(other), seen, now=now(), origin=CLAIMED, basis=Basis.OBSERVED)
    revision = await turned(store)
    assert set(await felt(http, revision)) == {SCORES, BUSY, GONE, other}
    assert set(await felt(http, revision, verified=True)) == {SCORES, BUSY, GONE}


@pytest.mark.usefixtures("told")
async def test_what_follows_from_a_dormant_call_alone_does_not_break_now(
    http: httpx.AsyncClient,  # noqa: F811
    store: SqliteStore,  # noqa: F811
) -> None:
    log = "dataset:shop/log"
    say(store, key(log), flow(GONE, log), flow(AVERAGE, "consumer:shop/fan"), now=now())
    found = await felt(http, await turned(store))
    assert (found[log], found["consumer:shop/fan"]) == ("HISTORIC", "NOW")
