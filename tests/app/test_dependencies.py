"""What was declared beside what was seen: undeclared and dormant dependencies, with their evidence."""

import httpx
import pytest

from app.compose import now
from graph.changes import FlowStatement
from graph.model import Basis
from graph.stores.sqlite import SqliteStore
from graph.time import DAY
from graph.usage import Latency, Usage, day_of
from tests.app.test_graphql import Answer, ask, http, store  # noqa: F401 (fixtures)
from tests.saying import flow, key, say

pytestmark = pytest.mark.anyio

SCORES, AMOUNT = "deployment:risk/scores", "feature:shop/spending#amount"
CHECKOUT, REPORT, BATCH, STRANGER = (f"consumer:shop/{name}" for name in ("checkout", "report", "batch", "stranger"))

QUERY = """query($standing: Standing!, $days: Int = 30, $first: Int = 50, $after: String) {
  dependencies(standing: $standing, silentDays: $days, first: $first, after: $after) {
    nodes { declaredSince flow { source { id } target { id } basis origins usage { calls } } }
    pageInfo { hasNextPage endCursor }
  }
}"""


@pytest.fixture(autouse=True)
def told(store: SqliteStore) -> None:  # noqa: F811
    today = now()
    long_ago = today - 100 * DAY
    say(
        store,
        key(SCORES),
        *(FlowStatement(flow(SCORES, reader), since=long_ago) for reader in (CHECKOUT, REPORT)),
        FlowStatement(flow(SCORES, BATCH), since=today - 3 * DAY),  # too new to be missed
        FlowStatement(flow(AMOUNT, SCORES), since=long_ago),
        FlowStatement(flow("dataset:shop/orders", REPORT), since=long_ago),  # nobody counts who reads a table
        now=today,
    )
    seen = flow(SCORES, CHECKOUT), flow(SCORES, STRANGER)
    say(store, *seen, now=today, origin="gateway", basis=Basis.OBSERVED)
    for number, (reader, days_ago, calls) in enumerate(((CHECKOUT, 1, 1), (REPORT, 50, 1), (STRANGER, 0, 7))):
        at = today - days_ago * DAY
        store.count([Usage(key(SCORES), key(reader), True, day_of(at), calls, 0, at, at)], "tests", number)


async def standing(client: httpx.AsyncClient, which: str, **variables: object) -> Answer:
    found: Answer = (await ask(client, QUERY, standing=which, **variables))["dependencies"]
    return found


def ends(found: Answer) -> list[tuple[str, str]]:
    return [(each["flow"]["source"]["id"], each["flow"]["target"]["id"]) for each in found["nodes"]]


async def test_undeclared_is_what_was_seen_and_nobody_declared(http: httpx.AsyncClient) -> None:  # noqa: F811
    found = await standing(http, "UNDECLARED")
    assert ends(found) == [(SCORES, STRANGER)]
    [dependency] = found["nodes"]
    assert dependency["declaredSince"] is None
    assert (dependency["flow"]["basis"], dependency["flow"]["origins"]) == ("OBSERVED", ["gateway"])
    assert dependency["flow"]["usage"]["calls"] == 7


async def test_how_long_calls_took_is_told_of_the_called_and_of_each_flow(
    http: httpx.AsyncClient,  # noqa: F811
    store: SqliteStore,  # noqa: F811
) -> None:
    at = now()
    took = Usage(key(SCORES), key(CHECKOUT), True, day_of(at), 2, 0, at, at, Latency(6_000, {93: 2}))
    store.count([took], "timed", 1)
    query = """{ asset(key: "deployment:risk/scores") {
      usage { latency { calls mean } } flowsOut { nodes { target { id } usage { calls latency { calls } } } } } }"""
    found = (await ask(http, query))["asset"]
    assert found["usage"]["latency"] == {"calls": 2, "mean": 3.0}
    of_flows = {each["target"]["id"]: each["usage"] for each in found["flowsOut"]["nodes"]}
    assert of_flows[CHECKOUT] == {"calls": 3, "latency": {"calls": 2}}


async def test_dormant_is_what_was_declared_and_not_called_for_as_long(http: httpx.AsyncClient) -> None:  # noqa: F811
    assert ends(await standing(http, "DORMANT")) == [(SCORES, REPORT), (AMOUNT, SCORES)]
    assert ends(await standing(http, "DORMANT", days=60)) == [(AMOUNT, SCORES)]
    assert ends(await standing(http, "DORMANT", days=2)) == [(SCORES, BATCH), (SCORES, REPORT), (AMOUNT, SCORES)]


async def test_who_calls_a_view_uses_its_features_and_a_table_that_is_read_is_undeclared(
    http: httpx.AsyncClient,  # noqa: F811
    store: SqliteStore,  # noqa: F811
) -> None:
    today, view, table = now(), "feature_view:shop/spending", "dataset:db/orders"
    long_ago = today - 100 * DAY
    declared = flow(AMOUNT, REPORT), flow("column:db/orders#total", REPORT)
    seen = [flow(source, reader) for source in (view, table) for reader in (REPORT, STRANGER)]
    say(store, *(FlowStatement(each, since=long_ago) for each in declared), now=today)
    said = say(store, *seen, now=today, origin="gateway:claimed", basis=Basis.OBSERVED)
    at_least = 'query($r: Int!) { asset(key: "job:a/b", atLeastRevision: $r) { id } }'
    await ask(http, at_least, r=said.revision)
    called = [Usage(*each[:2], False, day_of(today), 1, 0, today, today) for each in seen]
    store.count(called, "traced", 1)
    assert ends(await standing(http, "UNDECLARED")) == [(table, STRANGER), (SCORES, STRANGER), (view, STRANGER)]
    assert (AMOUNT, REPORT) not in ends(await standing(http, "DORMANT")), "the view was called"
    assert (AMOUNT, SCORES) in ends(await standing(http, "DORMANT")), "by another"


async def test_dependencies_come_in_pages(http: httpx.AsyncClient) -> None:  # noqa: F811
    first = await standing(http, "DORMANT", first=1)
    assert (ends(first), first["pageInfo"]["hasNextPage"]) == ([(SCORES, REPORT)], True)
    rest = await standing(http, "DORMANT", first=1, after=first["pageInfo"]["endCursor"])
    assert (ends(rest), rest["pageInfo"]["hasNextPage"]) == ([(AMOUNT, SCORES)], False)


@pytest.mark.parametrize("days", [0, 401])
async def test_more_days_than_calls_are_known_of_are_refused(http: httpx.AsyncClient, days: int) -> None:  # noqa: F811
    response = await http.post("/graphql", json={"query": QUERY, "variables": {"standing": "DORMANT", "days": days}})
    [error] = response.json()["errors"]
    assert error["message"] == f"silentDays is {days}; calls are known of 1 to 400 days"
