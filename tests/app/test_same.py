"""One service under several keys: joined by hand or by a rule, counted once, its calls apart, and parted again."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import httpx
import orjson
import pytest

from app.compose import now
from app.events import CLAIMED, VERIFIED
from app.joining.rules import Joining, RulesUnreadable, read_rules
from app.service import Headwater
from graph.changes import Receipt, Withdrawal
from graph.index import LineageIndex
from graph.keys import AssetKey
from graph.model import Basis
from graph.stores.sqlite import SqliteStore
from graph.usage import Usage, day_of
from tests.app.test_graphql import Answer, ask, change, http, store  # noqa: F401 (fixtures)
from tests.saying import asset, flow, key, say

pytestmark = pytest.mark.anyio

SCORES, ORDERS, FILES = "deployment:risk/scores", "dataset:shop/orders", "dataset:s3/orders"
PROVED, TRACED, DECLARED = "consumer:default/checkout", "consumer:shop/checkout-v2", "consumer:shop/checkout"
OTHER = "consumer:shop/report"
GROUP = [TRACED, DECLARED]

ABOUT = """query($key: ID!, $of: ID) { asset(key: $key) {
  id sameAs joins { asset sameAs origin basis } tags tier owners { name contact } verified
  usage { calls } attributes { name value }
  ... on Consumer { calls(of: $of) { name verified usage { calls errors } } }
} }"""
USE = """query($key: ID!) { asset(key: $key) {
  consumers { total nodes { id sameAs } }
  flowsOut { edges { node { target { id } origins verified basis usage { calls } assertions { subject origin } } } }
} }"""
DEPENDENCIES = """query($standing: Standing!) { dependencies(standing: $standing, silentDays: 1) {
  nodes { flow { source { id } target { id } usage { calls } } } } }"""
HISTORY = (
    "query($key: ID!) { asset(key: $key) { history { edges { node { actor changes { verb subject origin } } } } } }"
)


@pytest.fixture(autouse=True)
def told(store: SqliteStore) -> None:  # noqa: F811
    today = now()
    long_ago = today - 10 * 86_400_000_000
    say(
        store,
        asset(SCORES),
        asset(OTHER),
        asset(DECLARED, tags=["web"], tier=2, owners=[{"name": "shop", "contact": "#shop"}], description="declared"),
        *(flow(SCORES, each) for each in (DECLARED, OTHER)),
        now=long_ago,
    )
    say(store, asset(PROVED, tags=["pii"]), flow(SCORES, PROVED), now=today, origin=VERIFIED, basis=Basis.OBSERVED)
    claimed = [key(each) for each in (TRACED, PROVED)], [flow(SCORES, each) for each in (TRACED, PROVED)]
    say(store, *claimed[0], *claimed[1], now=today, origin=CLAIMED, basis=Basis.OBSERVED)
    for number, (reader, verified, calls) in enumerate(((PROVED, True, 5), (PROVED, False, 2), (TRACED, False, 70))):
        store.count([Usage(key(SCORES), key(reader), verified, day_of(today), calls, 1, today, today)], "tests", number)


async def seen(client: httpx.AsyncClient, receipt: Receipt) -> None:
    query = "query($key: ID!, $revision: Int) { asset(key: $key, atLeastRevision: $revision) { id } }"
    await ask(client, query, key=SCORES, revision=receipt.revision)


async def join(client: httpx.AsyncClient, *keys: str, to: str = PROVED, **envelope: object) -> Answer:
    assets = "[" + ", ".join(f'"{each}"' for each in keys) + "]"
    given = {"envelope": envelope} if envelope else {}
    of = ", envelope: $envelope" if envelope else ""
    return await change(client, f'joinAssets(assets: {assets}, as: "{to}"{of})', **given)


async def part(client: httpx.AsyncClient, *keys: str) -> Answer:
    assets = ", ".join(f'"{each}"' for each in keys)
    return await change(client, f"partAssets(assets: [{assets}])")


async def everything(client: httpx.AsyncClient) -> bytes:
    """All that is answered about those concerned, but for revisions and times."""
    answers = [await ask(client, USE, key=SCORES)]
    answers += [await ask(client, ABOUT, key=each, of=SCORES) for each in (PROVED, *GROUP, OTHER)]
    answers += [await ask(client, DEPENDENCIES, standing=each) for each in ("UNDECLARED", "DORMANT")]
    table = (await client.get("/api/v1/lineage.json", params={"start": SCORES})).json()
    return orjson.dumps([answers, {name: table[name] for name in ("total", "reached", "columns", "sameAs")}])


async def test_a_group_counts_once_and_keeps_the_calls_of_each_name_apart(http: httpx.AsyncClient) -> None:  # noqa: F811
    assert (await join(http, *GROUP))["changed"]
    used = (await ask(http, USE, key=SCORES))["asset"]
    assert used["consumers"]["nodes"] == [
        {"id": PROVED, "sameAs": sorted(GROUP)},
        {"id": OTHER, "sameAs": []},
    ]
    flows = {each["node"]["target"]["id"]: each["node"] for each in used["flowsOut"]["edges"]}
    assert flows.keys() == {PROVED, OTHER}
    assert flows[PROVED]["origins"] == ["api:alice", CLAIMED, VERIFIED]
    assert flows[PROVED]["usage"]["calls"] == 77
    assert {each["subject"] for each in flows[PROVED]["assertions"]} == {
        f"{SCORES} -> {each}" for each in (PROVED, *GROUP)
    }
    for name in (PROVED, *GROUP):
        about = (await ask(http, ABOUT, key=name, of=SCORES))["asset"]
        assert (about["id"], about["sameAs"]) == (PROVED, sorted(GROUP))
        assert about["calls"] == [
            {"name": PROVED, "verified": True, "usage": {"calls": 5, "errors": 1}},
            {"name": PROVED, "verified": False, "usage": {"calls": 2, "errors": 1}},
            {"name": TRACED, "verified": False, "usage": {"calls": 70, "errors": 1}},
        ]
        assert about["usage"] == {"calls": 77}
        assert (about["tags"], about["tier"]) == (["pii", "web"], 2)
        assert about["owners"] == [{"name": "shop", "contact": "#shop"}]
        assert about["joins"] == [
            {"asset": each, "sameAs": PROVED, "origin": "joins", "basis": "DECLARED"} for each in sorted(GROUP)
        ]
    # Declared under one name and seen under another: neither undeclared nor dormant.
    for standing, found in (("UNDECLARED", []), ("DORMANT", [OTHER])):
        nodes = (await ask(http, DEPENDENCIES, standing=standing))["dependencies"]["nodes"]
        assert [each["flow"]["target"]["id"] for each in nodes] == found
    table = (await http.get("/api/v1/lineage.json", params={"start": SCORES})).json()
    assert table["sameAs"] == {PROVED: sorted(GROUP)}
    place = table["columns"]["key"].index(PROVED)
    assert (table["columns"]["tags"][place], table["columns"]["owners"][place]) == (["pii", "web"], ["shop"])


async def test_parted_all_is_as_before_and_the_history_tells_who_joined(http: httpx.AsyncClient) -> None:  # noqa: F811
    before = await everything(http)
    await join(http, *GROUP)
    assert await everything(http) != before
    assert not (await join(http, *GROUP))["changed"]
    assert (await part(http, PROVED))["changed"]
    assert await everything(http) == before
    told = (await ask(http, HISTORY, key=TRACED))["asset"]["history"]["edges"]
    made = [(each["node"]["actor"], change) for each in told for change in each["node"]["changes"]]
    assert [(actor, change["verb"]) for actor, change in made if change["origin"] == "joins"] == [
        ("anonymous", "WITHDRAWN"),
        ("anonymous", "ADDED"),
    ]


async def test_one_of_a_group_may_leave_it(http: httpx.AsyncClient) -> None:  # noqa: F811
    await join(http, *GROUP)
    await part(http, TRACED)
    nodes = (await ask(http, USE, key=SCORES))["asset"]["consumers"]["nodes"]
    assert {each["id"]: each["sameAs"] for each in nodes} == {PROVED: [DECLARED], TRACED: [], OTHER: []}


async def test_joins_at_the_same_time_are_all_kept(http: httpx.AsyncClient) -> None:  # noqa: F811
    await asyncio.gather(*(join(http, TRACED, to=each) for each in (PROVED, DECLARED, OTHER)))
    about = (await ask(http, ABOUT, key=TRACED))["asset"]
    assert {each["sameAs"] for each in about["joins"]} == {PROVED, DECLARED, OTHER}


async def test_a_dry_run_tells_and_joins_nothing(http: httpx.AsyncClient) -> None:  # noqa: F811
    before = await everything(http)
    planned = await join(http, TRACED, dryRun=True)
    assert planned["plan"] == [{"verb": "ADDED", "subject": TRACED}]
    assert await everything(http) == before


async def test_any_origin_may_say_so_but_for_a_rule(http: httpx.AsyncClient) -> None:  # noqa: F811
    manifest = {"consumers": [{"namespace": "shop", "name": "checkout", "attributes": {"same_as": [PROVED]}}]}
    assert (await change(http, "register(manifest: $manifest)", manifest=manifest))["changed"]
    about = (await ask(http, ABOUT, key=DECLARED))["asset"]
    assert [(each["asset"], each["origin"]) for each in about["joins"]] == [(DECLARED, "api:anonymous")]
    refused = await join(http, TRACED, origin="rules:checkout")
    assert "this service's own" in refused["message"]


async def test_what_was_said_in_an_operation_is_not_said_twice(http: httpx.AsyncClient) -> None:  # noqa: F811
    first = await join(http, TRACED, operationId="one")
    assert first == await join(http, TRACED, operationId="one")
    assert (await join(http, DECLARED, operationId="one"))["__typename"] == "OperationReused"


async def test_a_claim_is_joined_to_what_is_proved_by_nobody_but_who_says_so(http: httpx.AsyncClient) -> None:  # noqa: F811
    about = (await ask(http, ABOUT, key=TRACED))["asset"]
    assert (about["verified"], about["sameAs"]) == (False, [])
    about = (await ask(http, ABOUT, key=PROVED))["asset"]
    assert about["verified"] is True
    assert [(each["verified"], each["usage"]["calls"]) for each in about["calls"]] == [(True, 5), (False, 2)]


@pytest.mark.parametrize(
    ("keys", "to", "typename", "says"),
    [
        (["consumer:shop/nobody"], PROVED, "UnknownAsset", "consumer:shop/nobody"),
        ([TRACED], "consumer:shop/nobody", "UnknownAsset", "consumer:shop/nobody"),
        ([TRACED], SCORES, "InvalidInput", f"{SCORES} is no consumer"),
        ([TRACED], TRACED, "InvalidInput", "it names the asset itself"),
        (["checkout"], PROVED, "InvalidInput", "not an asset key"),
    ],
)
async def test_what_cannot_be_joined_is_told(
    http: httpx.AsyncClient,  # noqa: F811
    keys: list[str],
    to: str,
    typename: str,
    says: str,
) -> None:
    refused = await join(http, *keys, to=to)
    assert (refused["__typename"], says in refused["message"]) == (typename, True), refused


async def test_what_another_origin_joined_is_not_parted_here(http: httpx.AsyncClient, store: SqliteStore) -> None:  # noqa: F811
    refused = await part(http, TRACED)
    assert "is not joined to another" in refused["message"]
    await seen(http, say(store, asset(TRACED, same_as=[PROVED]), now=now(), origin="openlineage:spark"))
    refused = await part(http, TRACED)
    assert (refused["__typename"], "'openlineage:spark' did" in refused["message"]) == ("Refused", True), refused


async def test_columns_of_a_table_of_two_names_are_one(http: httpx.AsyncClient, store: SqliteStore) -> None:  # noqa: F811
    columns = ("column:shop/orders#id", "column:s3/orders#id")
    await seen(http, say(store, *map(key, (ORDERS, FILES, *columns)), flow(columns[1], DECLARED), now=now()))
    await join(http, FILES, to=ORDERS)
    late = "column:s3/orders#late"
    await seen(http, say(store, key(late), flow(late, OTHER), now=now()))
    query = "query($key: ID!) { asset(key: $key) { id parts { nodes { id stub sameAs } } consumers { nodes { id } } } }"
    for name in (ORDERS, FILES):
        told = (await ask(http, query, key=name))["asset"]
        assert told["id"] == ORDERS
        assert told["parts"]["nodes"] == [
            {"id": f"column:shop/orders#{each}", "stub": False, "sameAs": [f"column:s3/orders#{each}"]}
            for each in ("id", "late")
        ]
    told = (await ask(http, query, key=columns[0]))["asset"]
    assert [each["id"] for each in told["consumers"]["nodes"]] == [DECLARED]


# Rules

RULES = """
[[rule]]
name = "checkout"
match = { namespace = "shop", name = "checkout*" }
same_as = "consumer:default/checkout"
"""


async def until(holds: Callable[[], bool]) -> None:
    for _ in range(2000):
        if holds():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it was waited for in vain")


def joined(store: SqliteStore) -> set[AssetKey]:  # noqa: F811
    return {
        subject
        for subject, said in store.believed_by("rules:checkout").items()
        if any(each.valid.holds_at(now()) for each in said) and isinstance(subject, AssetKey)
    }


async def test_a_rule_joins_whoever_comes_and_parts_all_when_it_is_gone(store: SqliteStore, tmp_path: Path) -> None:  # noqa: F811
    (tmp_path / "rules.toml").write_text(RULES)
    index = LineageIndex(store)
    index.load()
    headwater = Headwater(store, index, now)
    running = asyncio.create_task(Joining(read_rules(tmp_path / "rules.toml")).run(headwater))
    await headwater.follow()
    await until(lambda: joined(store) == {key(TRACED), key(DECLARED)})
    late = "consumer:shop/checkout-v3"
    say(store, key(late), flow(SCORES, late), now=now(), origin=CLAIMED, basis=Basis.OBSERVED)
    await headwater.follow()
    await until(lambda: joined(store) == {key(TRACED), key(DECLARED), key(late)})
    # A rule's own word keeps nobody alive.
    say(store, Withdrawal(key(late)), now=now(), origin=CLAIMED, basis=Basis.OBSERVED)
    await headwater.follow()
    await until(lambda: joined(store) == {key(TRACED), key(DECLARED)})
    running.cancel()
    await Joining(()).run(headwater)
    assert joined(store) == set()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("rule = 1", "a list of [[rule]]"),
        ("[[rule]]\nname = 'a'", "rule[0]: match must be"),
        ("[[rule]]\nname = 'a'\nmatch = {name = 'x'}\nsame_as = 'dataset:a/b'", "rule[0]: dataset:a/b is no consumer"),
        ("[[rule]]\nname = 'a'\nmatch = {name = 'x'}\nsame_as = 'b'", "rule[0]: 'b' is not an asset key"),
        ("[[rule]]\nnames = 'a'", "rule[0]: a rule is {name, match, same_as}"),
        ("[[", "are no TOML"),
        (RULES + RULES, "two rules have the name 'checkout'"),
    ],
)
def test_a_rule_that_cannot_be_read_is_told_with_its_place(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "rules.toml").write_text(text)
    with pytest.raises(RulesUnreadable) as refused:
        read_rules(tmp_path / "rules.toml")
    assert says in str(refused.value), refused.value


async def test_calls_of_a_view_are_those_of_its_features_too(http: httpx.AsyncClient, store: SqliteStore) -> None:  # noqa: F811
    today, view = now(), "feature_view:shop/spending"
    for number, source in enumerate((view, f"{view.replace('_view', '')}#amount", "feature:shop/other#amount")):
        usage = Usage(key(source), key(PROVED), True, day_of(today), 10**number, 0, today, today)
        store.count([usage], "views", number)
    (calls,) = (await ask(http, ABOUT, key=PROVED, of=view))["asset"]["calls"]
    assert (calls["name"], calls["usage"]["calls"]) == (PROVED, 11)
