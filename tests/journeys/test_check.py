"""A data team changes its headwater.yaml in a branch; the check in its pipeline says whom that breaks, before it is merged.

raw(a, b) → view(f ← a, g ← b)          the data team's manifest
f → scores ← checkout                    the risk team's, registered by itself
g → training → model 1 → batch ← nightly (batch's requests carry their features)
"""

import json
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import headwater
import pytest

from tests.repository import Repository
from tests.service import free_port, running_service

pytestmark = pytest.mark.timeout(300)

Document = dict[str, Any]
RUN = "00000000-0000-4000-8000-000000000001"


class Teams:
    """Two teams, in a namespace of their own: a server may hold those of other runs too."""

    def __init__(self, client: headwater.Client, folder: Path) -> None:
        self.client = client
        self.ns = f"check-{uuid.uuid4().hex[:12]}"
        self.repository = Repository.made(folder / self.ns, client.url)
        self.repository.commit(self.manifest())
        applied = self.repository.headwater("apply")
        assert applied.returncode == 0, applied.stdout + applied.stderr
        client.register(self._risk(), origin=f"manifest:{self.ns}/risk", complete=True)
        self.repository.git("checkout", "--quiet", "-b", "change")

    def key(self, kind: str, name: str) -> str:
        return f"{kind}:{self.ns}/{name}"

    def manifest(self, edit: Callable[[Document], object] = lambda _: None) -> Document:
        document: Document = {
            "version": 1,
            "origin": f"manifest:{self.ns}/data",
            "namespace": self.ns,
            "datasets": [
                {
                    "name": "raw",
                    "owners": ["data-platform"],
                    "columns": [{"name": name, "type": "double", "description": name} for name in ("a", "b")],
                }
            ],
            "feature_views": [
                {
                    "name": "view",
                    "entities": ["customer"],
                    "source": "raw",
                    "features": [
                        {"name": "f", "type": "double", "definition": "a", "derived_from": "raw#a"},
                        {"name": "g", "type": "double", "definition": "b", "derived_from": "raw#b"},
                    ],
                }
            ],
        }
        edit(document)
        return document

    def propose(self, edit: Callable[[Document], object], message: str = "Change") -> None:
        self.repository.commit(self.manifest(edit), message)

    def check(self, *options: str) -> tuple[int, Document]:
        ended = self.repository.headwater("check", "--output", "json", *options)
        assert ended.stdout, ended.stderr
        document: Document = json.loads(ended.stdout)
        assert document["exitCode"] == ended.returncode
        return ended.returncode, document

    def told(self, checked: Document) -> dict[str, tuple[str, str]]:
        """Who is affected: the name, with what and when."""
        return {each["asset"]["title"]: (each["verdict"], each["when"]) for each in checked["affected"]}

    def _risk(self) -> Document:
        def named(name: str, owner: str, **fields: object) -> Document:
            return {
                "namespace": self.ns,
                "name": name,
                "owners": [{"name": owner, "contact": f"#{owner}"}],
                "tier": 1,
                **fields,
            }

        return {
            "jobs": [named("train", "risk")],
            "runs": [{"job": self.key("job", "train"), "runId": RUN, "inputs": [self.key("feature", "view#g")]}],
            "models": [named("m", "risk")],
            "modelVersions": [
                {"model": self.key("model", "m"), "version": "1", "run": self.key("run", f"train#{RUN}")}
            ],
            "deployments": [
                named("scores", "risk", reads=[self.key("feature", "view#f")]),
                named("batch", "risk", featuresFrom="REQUEST", serves=[self.key("model_version", "m#1")]),
            ],
            "consumers": [
                named("checkout", "shop", uses=[self.key("deployment", "scores")]),
                named("nightly", "shop", uses=[self.key("deployment", "batch")]),
            ],
        }


@pytest.fixture(scope="module", params=["sqlite", pytest.param("neo4j", marks=[pytest.mark.neo4j, pytest.mark.long])])
def client(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[headwater.Client]:
    folder = tmp_path_factory.mktemp("store")
    store = f"sqlite:///{folder}/store.db" if request.param == "sqlite" else request.getfixturevalue("neo4j_url")
    with running_service(store, data=folder / "data") as address, headwater.Client(address) as client:
        yield client


@pytest.fixture
def teams(client: headwater.Client, tmp_path: Path) -> Teams:
    return Teams(client, tmp_path)


def without(feature: int, column: int) -> Callable[[Document], None]:
    def edit(document: Document) -> None:
        del document["feature_views"][0]["features"][feature]
        del document["datasets"][0]["columns"][column]

    return edit


def test_removing_what_a_deployment_reads_is_blocked_and_names_who_must_be_asked(teams: Teams) -> None:
    teams.propose(without(feature=0, column=0))
    code, checked = teams.check()
    assert (code, checked["outcome"]) == (1, "BLOCKED")
    assert teams.told(checked) == {"scores": ("BREAKING", "NOW"), "checkout": ("BREAKING", "NOW")}
    shown = teams.repository.headwater("check", "--output", "markdown")
    assert shown.returncode == 1
    assert "## Headwater: blocked" in shown.stdout
    assert "1 deployment breaks now, checkout must be told; ask risk (#risk) and shop (#shop)" in shown.stdout
    origin = f"manifest:{teams.ns}/risk"
    way = f"feature view#f → deployment scores (declared by {origin}) → consumer checkout (declared by {origin})"
    assert way in shown.stdout
    text = teams.repository.headwater("check").stdout
    assert "breaks now" in text
    assert "\x1b" not in text


def test_what_is_read_only_in_training_breaks_the_training_and_what_it_made_goes_stale(teams: Teams) -> None:
    teams.propose(without(feature=1, column=1))
    code, checked = teams.check()
    assert code == 3
    stale = ("BEHAVIOURAL", "NEXT_TRAINING")
    assert teams.told(checked) == {"batch": stale, "nightly": stale}
    runs = [each for finding in checked["findings"] for each in finding["counts"] if each["kind"] == "RUN"]
    assert {(each["verdict"], each["when"], each["count"]) for each in runs} == {("BREAKING", "NEXT_TRAINING", 1)}
    assert (
        checked["headline"]
        == "1 deployment changes at its next training, nightly must be told; ask risk (#risk) and shop (#shop)"
    )


def test_another_definition_needs_a_word_and_the_word_lets_it_pass(teams: Teams) -> None:
    teams.propose(lambda document: document["feature_views"][0]["features"][0].update(definition="a / 2"))
    code, checked = teams.check()
    assert code == 3
    assert teams.told(checked) == {"scores": ("BEHAVIOURAL", "NOW"), "checkout": ("BEHAVIOURAL", "NOW")}
    code, checked = teams.check("--acknowledge")
    assert (code, checked["acknowledged"]) == (0, True)


def test_something_new_passes(teams: Teams) -> None:
    teams.propose(lambda document: document["datasets"][0]["columns"].append({"name": "c", "type": "text"}))
    code, checked = teams.check()
    assert (code, checked["outcome"], teams.told(checked)) == (0, "CLEAN", {})
    assert [finding["alteration"] for finding in checked["findings"]] == ["ADDED"]


def test_a_change_is_compared_with_where_it_left_the_main_line(teams: Teams) -> None:
    """What others merged since is not this change's."""
    teams.propose(lambda document: document["datasets"][0].update(tier=2))
    teams.repository.git("checkout", "--quiet", "main")
    teams.propose(without(feature=0, column=0), "Others' change")
    teams.repository.git("checkout", "--quiet", "change")
    assert teams.check()[1]["findings"] == []
    assert teams.check("--base", teams.repository.git("rev-parse", "main"))[1]["findings"] == []


def test_the_working_tree_is_what_is_checked_committed_or_not(teams: Teams) -> None:
    teams.repository.write(teams.manifest(without(feature=0, column=0)))
    assert teams.check()[0] == 1


def test_a_deleted_manifest_removes_everything_and_a_new_one_adds(teams: Teams) -> None:
    teams.repository.write(None)
    code, checked = teams.check()
    assert code == 1
    assert teams.told(checked).keys() == {"scores", "checkout", "batch", "nightly"}
    assert {finding["id"] for finding in checked["findings"]} == {
        teams.key("dataset", "raw"),
        teams.key("feature_view", "view"),
    }
    other = teams.repository.folder / "other"
    other.mkdir()
    (other / "headwater.yaml").write_text("version: 1\nnamespace: other\ndatasets: [{name: t}]\n")
    assert teams.check("--file", "other/headwater.yaml")[0] == 0


def test_plan_shows_what_apply_then_does_once(teams: Teams) -> None:
    teams.propose(lambda document: document["datasets"][0]["columns"][0].update(name="z", description="new"))
    refused = teams.repository.headwater("plan")
    assert refused.returncode == 2
    assert "headwater.yaml:24:19: feature_views[0].features[0].derived_from[0]: " in refused.stderr

    def rename(document: Document) -> None:
        document["datasets"][0]["columns"][0]["name"] = "z"
        document["feature_views"][0]["features"][0].update(derived_from="raw#z", tier=1)

    teams.propose(rename)
    planned = teams.repository.headwater("plan")
    assert planned.returncode == 0, planned.stderr
    assert f"+ {teams.key('column', 'raw#z')}  type double\n" in planned.stdout
    assert f"- {teams.key('column', 'raw#a')}  type double\n" in planned.stdout
    assert f"~ {teams.key('feature', 'view#f')}\n" in planned.stdout
    assert "\n2 to add, 1 to change, 2 to withdraw.\nTouches 2 consumers, 2 deployments, " in planned.stdout
    assert teams.repository.headwater("apply").stdout.startswith("Applied: 2 added, 1 changed, 2 withdrawn; revision ")
    assert teams.repository.headwater("apply").stdout.startswith("Nothing changed: ")
    assert teams.repository.headwater("plan").stdout == "Nothing to change.\n"


def test_a_service_that_is_not_there_is_told_apart(teams: Teams) -> None:
    address = f"http://127.0.0.1:{free_port()}"
    ended = teams.repository.headwater("check", HEADWATER_URL=address)
    assert ended.returncode == 4
    assert f"cannot reach {address}" in ended.stderr
