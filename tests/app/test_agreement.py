"""Deprecating and acknowledging over GraphQL: who may, who is told, what the check then demands, and what ends by itself."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.agreement.agreement import Agreement, PolicyUnreadable, read_policy_file
from app.compose import furnish, now
from app.hosting import Hosted
from app.identity import FileTokens, Kind, Role, create_token
from app.main import create_app
from app.metrics import Metrics
from app.rooms import Rooms
from app.service import Headwater
from app.settings import Settings
from graph.check.policy import Policy, policy_schema, read_policy
from graph.index import LineageIndex
from graph.keys import AssetKey
from graph.stores.sqlite import SqliteStore
from graph.usage import Usage, day_of
from tests.service import ROOT

pytestmark = pytest.mark.anyio

AMOUNT, TILL, SCORES = "column:shop/orders#amount", "consumer:till/till", "deployment:shop/scores"
TODAY = date.fromisoformat("1970-01-01") + timedelta(day_of(now()))
PROBLEM = "... on Problem { __typename problem: message }"
DONE = "... on Registered { changed revision }"
CHECK = """
query Check($base: [DocumentInput!]!, $head: [DocumentInput!]!, $policy: JSON) {
  check(base: $base, head: $head, policy: $policy) {
    ... on Check {
      outcome flagCounts
      findings { id digest }
      affected { asset { id acknowledgements { by note } } decision { rule effect reason acknowledgedBy until } }
    }
    ... on Problem { problem: message }
  }
}
"""
ACKNOWLEDGE = f"""
mutation Acknowledge($assets: [ID!]!, $digest: String!, $change: ID!, $until: Date, $note: String) {{
  acknowledge(assets: $assets, digest: $digest, change: $change, until: $until, note: $note) {{ {DONE} {PROBLEM} }}
}}
"""
WITHDRAW = f"""
mutation Withdraw($assets: [ID!]!, $digest: String!) {{
  withdrawAcknowledgement(assets: $assets, digest: $digest) {{ {DONE} {PROBLEM} }}
}}
"""
DEPRECATE = f"""
mutation Deprecate($id: ID!, $until: Date, $replacement: String, $reason: String) {{
  deprecate(id: $id, until: $until, replacement: $replacement, reason: $reason) {{ {DONE} {PROBLEM} }}
}}
"""
UNDEPRECATE = f"mutation Undeprecate($id: ID!) {{ undeprecate(id: $id) {{ {DONE} {PROBLEM} }} }}"
DEPRECATIONS = """
{
  deprecations {
    edges {
      node {
        asset { id deprecation { by } }
        deprecation { until replacement reason by }
        usersTotal
        users { asset { id } hops usage { calls days { date calls } } }
      }
    }
  }
}
"""
APPLY = f"""
mutation Apply($documents: [DocumentInput!]!) {{
  applyManifest: applyDocuments(documents: $documents) {{ ... on Applied {{ changed revision }} {PROBLEM} }}
}}
"""


def manifest(*columns: str, **fields: object) -> dict[str, Any]:
    named = [{"name": name, "type": "double", **fields} for name in columns]
    return {"version": 1, "namespace": "shop", "datasets": [{"name": "orders", "columns": named}]}


READERS = {
    "version": 1,
    "namespace": "till",
    "consumers": [{"name": "till", "owners": [{"name": "tills", "contact": "@tills"}], "uses": [AMOUNT]}],
}


class Service:
    def __init__(self, http: httpx.AsyncClient, headwater: Headwater, rooms: Rooms, tokens: Path) -> None:
        self.http, self.headwater, self.rooms, self._tokens = http, headwater, rooms, tokens

    async def ask(self, query: str, by: str = "root", **variables: object) -> Any:
        role = Role.OPERATOR if by == "root" else Role.CONTRIBUTOR
        token = create_token(self._tokens, by, role, Kind.PERSON)
        answer = await self.http.post(
            "/graphql", json={"query": query, "variables": variables}, headers={"Authorization": f"Bearer {token}"}
        )
        document = answer.json()
        assert "errors" not in document, document
        (data,) = document["data"].values()
        return data

    async def apply(self, document: dict[str, Any]) -> None:
        assert (await self.ask(APPLY, documents=[{"path": "headwater.yaml", "content": document}]))["changed"]

    async def check(self, head: dict[str, Any], policy: object = None) -> Any:
        sides = ([{"path": "headwater.yaml", "content": each}] for each in (manifest("amount", "note"), head))
        return await self.ask(CHECK, base=next(sides), head=next(sides), policy=policy)

    def messages(self) -> list[tuple[str, Any]]:
        due = self.headwater.store.lease(now(), now() + 1)
        return [(each.message.topic, each.message.body) for each in due]

    def count(self, calls: int, days_ago: int) -> None:
        source, reader, at = AssetKey.parse(SCORES), AssetKey.parse(TILL), now() - days_ago * 86_400_000_000
        self.headwater.store.count([Usage(source, reader, True, day_of(at), calls, 0, at, at)], f"test-{days_ago}", 1)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(tmp_path / "lineage.db")
    yield store
    store.close()


@asynccontextmanager
async def serving(store: SqliteStore, folder: Path, policy: Policy | None = None) -> AsyncIterator[Service]:
    index = LineageIndex(store)
    index.load()
    headwater = Headwater(store, index, now, patience=0.2)
    rooms = replace(furnish(Settings(), now, Metrics()), agreement=Agreement(policy, lambda: None))
    tokens = folder / "tokens.json"
    create_token(tokens, "root", Role.OPERATOR, Kind.PERSON)
    app = create_app(Hosted(headwater), FileTokens(tokens), Settings(), rooms, Metrics())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost:8321") as http:
        service = Service(http, headwater, rooms, tokens)
        await service.apply(manifest("amount", "note"))
        await service.apply(READERS)
        yield service


@pytest.fixture
async def service(store: SqliteStore, tmp_path: Path) -> AsyncIterator[Service]:
    async with serving(store, tmp_path) as service:
        yield service


AGREED = {"version": 1, "rules": [{"name": "agreed", "match": {"verdict": "breaking"}, "effect": "acknowledge"}]}


async def test_an_owner_acknowledges_exactly_one_change_and_takes_it_back(service: Service) -> None:
    checked = await service.check(manifest("note"), AGREED)
    assert checked["outcome"] == "NEEDS_ACKNOWLEDGEMENT"
    (finding,) = checked["findings"]
    named = {"assets": [TILL], "digest": finding["digest"], "change": finding["id"]}
    refused = await service.ask(ACKNOWLEDGE, "mallory", **named)
    assert "is owned by tills, and you are mallory" in refused["problem"]
    for _ in range(2):
        assert "revision" in await service.ask(ACKNOWLEDGE, "tills", **named, note="moved to note")

    checked = await service.check(manifest("note"), AGREED)
    (affected,) = checked["affected"]
    assert (checked["outcome"], affected["decision"]["acknowledgedBy"]) == ("CLEAN", ["tills"])
    assert affected["decision"]["until"].startswith(str(TODAY + timedelta(31)))
    assert affected["asset"]["acknowledgements"] == [{"by": "tills", "note": "moved to note"}]

    other = await service.check(manifest("note", "price"), AGREED)
    assert other["outcome"] == "NEEDS_ACKNOWLEDGEMENT"
    by_default = await service.check(manifest("note"))
    assert by_default["outcome"] == "BLOCKED"

    assert (await service.ask(WITHDRAW, "tills", assets=[TILL], digest=finding["digest"]))["changed"]
    assert (await service.check(manifest("note"), AGREED))["outcome"] == "NEEDS_ACKNOWLEDGEMENT"


async def test_a_shorter_word_replaces_a_longer_one_and_nobody_else_speaks_as_its_origin(service: Service) -> None:
    (finding,) = (await service.check(manifest("note"), AGREED))["findings"]
    named = {"assets": [TILL], "digest": finding["digest"], "change": finding["id"]}
    for days in (20, 3):
        await service.ask(ACKNOWLEDGE, **named, until=str(TODAY + timedelta(days)))
    decision = (await service.check(manifest("note"), AGREED))["affected"][0]["decision"]
    assert decision["until"].startswith(str(TODAY + timedelta(4)))
    believed = service.headwater.store.believed([AssetKey.parse(TILL)])[AssetKey.parse(TILL)]
    ends = [each.valid.end // 86_400_000_000 for each in believed if each.origin.startswith("acknowledgement:")]
    assert max(ends) == day_of(now()) + 4
    forged = {**manifest(), "origin": "acknowledgement:" + finding["digest"]}
    assert (
        "this service's own"
        in (await service.ask(APPLY, documents=[{"path": "headwater.yaml", "content": forged}]))["problem"]
    )
    assert "is past" in (await service.ask(ACKNOWLEDGE, **named, until="2020-01-01"))["problem"]


async def test_a_repository_can_demand_more_than_the_service_and_never_less(store: SqliteStore, tmp_path: Path) -> None:
    strict = read_policy({"version": 1, "rules": [{"name": "never", "effect": "block"}]})
    lax = {"version": 1, "rules": [{"effect": "pass"}], "acknowledgement": {"flag": False}}
    async with serving(store, tmp_path, strict) as service:
        checked = await service.check(manifest("note"), lax)
        assert (checked["outcome"], checked["flagCounts"]) == ("BLOCKED", False)
        assert checked["affected"][0]["decision"]["rule"] == "never"
        wrong = await service.check(manifest("note"), [lax, {"version": 1, "rules": [{"effect": "blok"}]}])
        assert (
            wrong["problem"]
            == "policy: [1].rules[0].effect: 'blok' is none of block, acknowledge, pass; did you mean block?"
        )


async def test_deprecating_tells_everybody_downstream_once_and_its_use_is_watched(service: Service) -> None:
    await service.apply({**READERS, "deployments": [{"name": "x", "namespace": "till"}]})
    until = str(TODAY + timedelta(30))
    said = {"id": AMOUNT, "until": until, "replacement": "column:shop/orders#note", "reason": "cents now"}
    first = await service.ask(DEPRECATE, "alice", **said)
    again = await service.ask(DEPRECATE, "alice", **said)
    assert (first["changed"], again["changed"]) == (True, False)
    ((topic, body),) = service.messages()
    assert topic == "asset.deprecated"
    assert body["data"]["until"] == until
    assert body["data"]["affected"] == [{"id": TILL, "owners": [{"name": "tills", "contact": "@tills"}]}]

    service.count(120, 2)
    service.count(5, 0)
    (edge,) = (await service.ask(DEPRECATIONS))["edges"]
    assert edge["node"]["deprecation"] == {
        "until": until,
        "replacement": "column:shop/orders#note",
        "reason": "cents now",
        "by": "alice",
    }
    (user,) = edge["node"]["users"]
    assert (user["asset"]["id"], [each["calls"] for each in user["usage"]["days"]]) == (TILL, [120, 5])

    assert "not registered" in (await service.ask(DEPRECATE, id=AMOUNT, replacement="column:shop/orders#x"))["problem"]
    assert (await service.ask(UNDEPRECATE, id=AMOUNT))["changed"]
    assert "was not deprecated by hand" in (await service.ask(UNDEPRECATE, id=AMOUNT))["problem"]
    assert (await service.ask(DEPRECATIONS))["edges"] == []


async def test_what_was_announced_long_enough_may_go_and_its_words_go_with_it(service: Service) -> None:
    period = {"match": {"alteration": ["removed", "renamed"]}, "deprecation": {"days": 1, "quiet_days": 7}}
    policy = {"version": 1, "rules": [period]}
    assert (
        "without having been deprecated"
        in (await service.check(manifest("note"), policy))["affected"][0]["decision"]["reason"]
    )
    await service.ask(DEPRECATE, id=AMOUNT)
    blocked = await service.check(manifest("note"), policy)
    assert (blocked["outcome"], blocked["affected"][0]["decision"]["reason"]) == (
        "BLOCKED",
        f"{AMOUNT} is deprecated since {TODAY}, and may go from {TODAY + timedelta(1)} on",
    )
    await service.apply({**READERS, "consumers": []})  # as long as somebody says that it is used, the words stay
    ended = await _until(service, manifest("note"), lambda: AMOUNT not in _said(service))
    assert ended


async def test_a_manifest_deprecates_too_and_takes_it_back(service: Service) -> None:
    deprecated = manifest("amount", "note", deprecated={"until": str(TODAY), "reason": "no more"})
    assert await _until(service, deprecated, lambda: len(_said(service)) == 2)
    assert {topic for topic, _ in service.messages()} == {"asset.deprecated"}
    (first, _) = (await service.ask(DEPRECATIONS))["edges"]
    assert first["node"]["deprecation"]["by"] == "manifest:shop"
    assert await _until(service, manifest("amount", "note"), lambda: not _said(service))


def _said(service: Service) -> set[str]:
    return {str(each) for each, said in service.headwater.store.believed_by("deprecations").items() if _holds(said)}


def _holds(said: tuple[Any, ...]) -> bool:
    return any(each.valid.holds_at(now()) for each in said)


async def _until(service: Service, document: dict[str, Any], held: Any) -> bool:
    """Applies the document, with the room at work, and waits for what follows."""
    following = service.headwater.revisions()
    working = asyncio.create_task(service.rooms.agreement.run(service.headwater))
    try:
        async with asyncio.timeout(30):
            await asyncio.sleep(0)
            await service.apply(document)
            async for _ in following:
                if held():
                    return True
    finally:
        working.cancel()
    return False


def test_the_policy_of_the_service_is_read_at_the_start_and_its_schema_is_current(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text("version: 1\nrules: [{effect: blok}]\n")
    with pytest.raises(PolicyUnreadable, match=r"policy.yaml: rules\[0\].effect: 'blok' is none of"):
        read_policy_file(file)
    # Renew it: .venv/bin/python -m app schema --policy > clients/python/headwater/policy.schema.json
    kept = ROOT / "clients" / "python" / "headwater" / "policy.schema.json"
    assert json.loads(kept.read_text()) == policy_schema()
