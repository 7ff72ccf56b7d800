"""Somebody wants to change a raw column, and asks over HTTP what that reaches.

T(a, b) → job → E(x, y), x computed from a, y from nothing;
x → training → version → scores, a deployment whose requests carry their features, called by `shop`
readers: of T, of T.b, of E, of E.x, of E.y
"""

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from headwater import Client

from tests.service import running_service

pytestmark = pytest.mark.timeout(300)

NOW = datetime.now(UTC).replace(microsecond=0)
LONG_AGO, YESTERDAY = NOW - timedelta(days=30), NOW - timedelta(days=1)
RUN = "00000000-0000-4000-8000-000000000001"


class World:
    """The graph above, in a namespace of its own: a server may hold those of other runs too."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.ns = f"journey-{uuid.uuid4().hex[:12]}"
        self.origin = f"test:{self.ns}"
        self.revision = self.register(**self._manifest())

    def register(self, **manifest: object) -> int:
        answer = self.client.ask(REGISTER, manifest=manifest, envelope=self._envelope(LONG_AGO))["register"]
        assert answer["changed"], answer
        return int(answer["revision"])

    def withdraw(self, key: str, since: datetime) -> int:
        answer = self.client.ask(WITHDRAW, assets=[key], envelope=self._envelope(since))["withdraw"]
        assert answer["changed"], answer
        return int(answer["revision"])

    def reached(self, start: str, **asked: object) -> dict[str, str]:
        """The consumers and deployments downstream, and when each feels it."""
        answer = self.client.ask(DOWNSTREAM, start=self.key(start), **asked)["lineage"]
        assert answer["complete"], answer
        return {edge["node"]["name"]: edge["when"] for edge in answer["assets"]["edges"]}

    def key(self, text: str) -> str:
        """World.key("column:T#a") == "column:journey-…/T#a" """
        kind, _, name = text.partition(":")
        return f"{kind}:{self.ns}/{name}"

    def _envelope(self, since: datetime) -> dict[str, object]:
        return {"origin": self.origin, "validFrom": since.isoformat()}

    def _manifest(self) -> dict[str, object]:
        def columns(*names: str) -> list[object]:
            return [{"path": [name]} for name in names]

        def reader(name: str, *uses: str) -> dict[str, object]:
            return self._named(name, uses=[self.key(use) for use in uses])

        train = self.key("job:train")
        return {
            "datasets": [self._named("T", columns=columns("a", "b")), self._named("E", columns=columns("x", "y"))],
            "jobs": [
                self._named(
                    "job",
                    inputs=[self.key("dataset:T")],
                    outputs=[self.key("dataset:E")],
                    columnLineage=[{"source": self.key("column:T#a"), "target": self.key("column:E#x")}],
                ),
                self._named("train", inputs=[self.key("column:E#x")]),
            ],
            "runs": [{"job": train, "runId": RUN, "inputs": [self.key("column:E#x")]}],
            "models": [self._named("scorer")],
            "modelVersions": [
                {"model": self.key("model:scorer"), "version": "1", "run": f"{train.replace('job:', 'run:')}#{RUN}"}
            ],
            "deployments": [self._named("scores", featuresFrom="REQUEST", serves=[self.key("model_version:scorer#1")])],
            "consumers": [
                reader("reads-T", "dataset:T"),
                reader("reads-b", "column:T#b"),
                reader("reads-E", "dataset:E"),
                reader("reads-x", "column:E#x"),
                reader("reads-y", "column:E#y"),
                reader("shop", "deployment:scores"),
            ],
        }

    def _named(self, name: str, **fields: object) -> dict[str, object]:
        return {"namespace": self.ns, "name": name, **fields}


@pytest.fixture(
    scope="module",
    params=["sqlite", pytest.param("neo4j", marks=pytest.mark.neo4j)],
)
def client(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder = tmp_path_factory.mktemp("store")
    store = f"sqlite:///{folder}/store.db" if request.param == "sqlite" else request.getfixturevalue("neo4j_url")
    with running_service(store) as address:
        client = Client(address)
        yield client
        client.close()


@pytest.fixture
def world(client: Client) -> World:
    return World(client)


def test_other_values_reach_the_readers_of_the_column_and_of_its_table_never_those_of_a_sibling(world: World) -> None:
    assert world.reached("column:T#a") == {
        "reads-T": "NOW",
        "reads-E": "NOW",
        "reads-x": "NOW",
        "scores": "NEXT_TRAINING",
        "shop": "NEXT_TRAINING",
    }
    assert set(world.reached("column:T#b")) == {"reads-b", "reads-T"}


def test_the_loss_of_a_column_also_reaches_what_its_reader_no_longer_writes(world: World) -> None:
    reached = world.reached("column:T#a", follow="LOSS")
    assert set(reached) == {"reads-T", "reads-E", "reads-x", "reads-y", "scores", "shop"}
    assert set(world.reached("column:T#b", follow="LOSS")) == {"reads-b", "reads-T"}


def test_a_question_about_another_day_is_answered_as_of_then(world: World) -> None:
    world.withdraw(world.key("consumer:reads-x"), since=YESTERDAY)
    day_before = (YESTERDAY - timedelta(days=1)).isoformat()

    assert "reads-x" not in world.reached("column:T#a")
    assert "reads-x" in world.reached("column:T#a", at=day_before)
    assert "reads-x" not in world.reached("column:T#a", at=YESTERDAY.isoformat())


def test_what_was_believed_is_told_apart_from_what_held(world: World) -> None:
    believed = datetime.now(UTC).isoformat()
    corrected = world.withdraw(world.key("consumer:reads-x"), since=YESTERDAY)

    assert "reads-x" in world.reached("column:T#a", knownAt={"revision": corrected - 1})
    assert "reads-x" in world.reached("column:T#a", knownAt={"instant": believed})
    assert "reads-x" not in world.reached("column:T#a", knownAt={"revision": corrected})


def test_an_asset_that_was_not_there_yet_is_a_problem_that_names_it(world: World) -> None:
    before = (LONG_AGO - timedelta(days=1)).isoformat()
    answer = world.client.ask(DOWNSTREAM, start=world.key("column:T#a"), at=before)["lineage"]
    assert answer["__typename"] == "UnknownAsset"
    assert world.key("column:T#a") in answer["message"]


def test_a_dry_run_says_what_would_change_and_changes_nothing(world: World) -> None:
    manifest = {"consumers": [{"namespace": world.ns, "name": "new", "uses": [world.key("dataset:E")]}]}
    envelope = {"origin": world.origin, "dryRun": True}
    answer: dict[str, Any] = world.client.ask(REGISTER, manifest=manifest, envelope=envelope)["register"]
    assert (answer["changed"], answer["added"]) == (True, 2)
    assert {change["subject"] for change in answer["plan"]} == {
        world.key("consumer:new"),
        f"{world.key('dataset:E')} -> {world.key('consumer:new')}",
    }
    assert "new" not in world.reached("column:T#a")


REGISTER = """
mutation Register($manifest: ManifestInput!, $envelope: EnvelopeInput!) {
  register(manifest: $manifest, envelope: $envelope) {
    ... on Registered { changed revision added plan { verb subject } }
    ... on Problem { message }
  }
}
"""

WITHDRAW = """
mutation Withdraw($assets: [ID!]!, $envelope: EnvelopeInput!) {
  withdraw(input: { assets: $assets }, envelope: $envelope) {
    ... on Registered { changed revision }
    ... on Problem { message }
  }
}
"""

DOWNSTREAM = """
query Downstream($start: ID!, $follow: Follow! = VALUES, $at: DateTime, $knownAt: KnownAtInput) {
  lineage(
    start: $start, follow: $follow, at: $at, knownAt: $knownAt, select: { kinds: [CONSUMER, DEPLOYMENT] }
  ) {
    __typename
    ... on Lineage { complete assets(first: 100) { edges { when node { name } } } }
    ... on Problem { message }
  }
}
"""
