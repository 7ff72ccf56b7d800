"""One service, seen by its token, in traces under another name, and in a manifest under a third: joined, counted once, and parted.

column → training → version → scores, which this service answers
"""

import json
import secrets
from collections.abc import Iterator
from typing import Any

import pytest
from headwater.cli import app
from typer.testing import CliRunner

from tests.journeys.test_callers import REGISTER, UNDEPLOY, World, post, trace
from tests.patience import within
from tests.service import running_service

pytestmark = pytest.mark.timeout(400)

PATIENCE_SECONDS = 30.0

# Without the log of predictions, which comes when it is written.
IMPACT = """
query Impact($start: ID!) {
  lineage(start: $start, select: { kinds: [RUN, MODEL_VERSION, DEPLOYMENT, CONSUMER] }) { ... on Lineage {
    total counts { byKind { kind count } byOwner { owner count } byWhen { when count } } columns
  } }
  dependencies(standing: UNDECLARED) { nodes { flow { source { id } target { id } usage { calls } } } }
}
"""


@pytest.fixture(scope="module", params=["sqlite", pytest.param("neo4j", marks=[pytest.mark.neo4j, pytest.mark.long])])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("same")
    store = f"sqlite:///{folder}/store.db" if request.param == "sqlite" else request.getfixturevalue("neo4j_url")
    tokens = folder / "tokens.json"
    tokens.write_text('{"tokens": []}')
    rules = folder / "rules.toml"
    rules.write_text(RULES)
    with running_service(store, tokens_file=tokens, data=folder / "data", consumer_rules=rules) as address:
        world = World(address, tokens)
        yield world
        world.ask(UNDEPLOY, id=world.key(f"deployment:{world.scores}"))


RULES = """
[[rule]]
name = "mobile"
match = { namespace = "callers-*", name = "mobile-*" }
same_as = "consumer:default/mobile"
"""


def headwater(world: World, *arguments: str) -> str:
    environment = {"HEADWATER_URL": world.address, "HEADWATER_TOKEN": world.headers["Authorization"].split()[1]}
    ended = CliRunner().invoke(app, arguments, env=environment, catch_exceptions=False)
    assert ended.exit_code == 0, ended.output
    return ended.stdout


def consumers(world: World) -> list[dict[str, Any]]:
    scores = world.key(f"deployment:{world.scores}")
    found: list[dict[str, Any]] = json.loads(headwater(world, "consumers", scores, "-o", "json"))["consumers"]
    return found


def impact(world: World, start: str) -> dict[str, Any]:
    """Of the dependencies those of this test's own deployment: other tests may share the store."""
    answer: dict[str, Any] = world.ask(IMPACT, start=start)
    nodes = answer["dependencies"]["nodes"]
    scores = world.key(f"deployment:{world.scores}")
    answer["dependencies"]["nodes"] = [each for each in nodes if each["flow"]["source"]["id"] == scores]
    return answer


def calls(consumer: dict[str, Any]) -> list[tuple[str, bool, int]]:
    return [(call["name"], call["verified"], call["usage"]["calls"]) for call in consumer["calls"]]


def test_one_service_under_three_names_is_joined_counted_once_and_parted(world: World) -> None:
    proved, traced, declared = (world.key(f"consumer:{name}") for name in ("checkout", "checkout-api", "shop-checkout"))
    scores, column = world.key(f"deployment:{world.scores}"), world.key("column:T#a")
    bound, reader = world.consumer_token("checkout"), world.headers["Authorization"]
    manifest = {"consumers": [{"namespace": world.ns, "name": "shop-checkout", "tier": 1, "uses": [scores]}]}
    assert world.ask(REGISTER, manifest=manifest)["register"]["changed"]
    for _ in range(3):
        world.predict(authorization=f"Bearer {bound}")
    span = secrets.token_hex(16), secrets.token_hex(8)
    world.predict(authorization=reader, traceparent=f"00-{span[0]}-{span[1]}-01")
    url = f"{world.address}/v2/models/{world.scores}/infer"
    post(f"{world.address}/v1/traces", trace("checkout-api", world.ns, [(*span, url, 200)]), {"authorization": reader})
    apart = {proved: [(proved, True, 3)], traced: [(traced, False, 1)], declared: []}
    within(PATIENCE_SECONDS, lambda: {each["id"]: calls(each) for each in consumers(world)} == apart)
    before = impact(world, column)
    assert len(before["dependencies"]["nodes"]) == 2

    headwater(world, "same", "join", traced, declared, "--as", proved)
    [joined] = consumers(world)
    assert (joined["id"], joined["sameAs"], joined["verified"]) == (proved, sorted([traced, declared]), True)
    assert calls(joined) == [(proved, True, 3), (traced, False, 1)]
    told = headwater(world, "consumers", scores)
    assert "1 consumer;" in told
    answer = impact(world, column)
    assert answer["lineage"]["total"] == before["lineage"]["total"] - 2
    assert {"kind": "CONSUMER", "count": 1} in answer["lineage"]["counts"]["byKind"]
    assert answer["dependencies"]["nodes"] == []  # it is declared, by another name

    headwater(world, "same", "part", traced, declared)
    assert {each["id"]: calls(each) for each in consumers(world)} == apart
    assert impact(world, column) == before


def test_a_rule_joins_a_service_as_soon_as_it_is_seen(world: World) -> None:
    reader = world.headers["Authorization"]
    for version in ("mobile-1", "mobile-2"):
        world.predict(authorization=reader, baggage=f"service.name={version},service.namespace={world.ns}")
    names = [world.key(f"consumer:mobile-{number}") for number in (1, 2)]

    def joined() -> bool:
        found = {each["id"]: each for each in consumers(world)}
        mobile = found.get("consumer:default/mobile")
        return mobile is not None and set(names) <= set(mobile["sameAs"]) and mobile["verified"] is False

    within(PATIENCE_SECONDS, joined)
