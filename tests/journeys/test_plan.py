"""A repository of several manifests is planned and applied: what is shown, what moves in between, and what a kill leaves behind."""

import json
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import headwater
import httpx
import pytest
import yaml

from tests.repository import HEADWATER, Repository
from tests.service import ROOT, free_port, plain_environment, running_service, wait_until_ready

pytestmark = pytest.mark.timeout(300)

Document = dict[str, Any]
STORES = ["sqlite", pytest.param("neo4j", marks=[pytest.mark.neo4j, pytest.mark.long])]


class Shop:
    """A data team and a risk team share a repository: two manifests, two origins, one refers to the other."""

    def __init__(self, client: headwater.Client, folder: Path) -> None:
        self.client = client
        self.ns = f"plan-{uuid.uuid4().hex[:12]}"
        self.repository = Repository.made(folder / self.ns, client.url)
        self.data: Document = {
            "version": 1,
            "origin": f"manifest:{self.ns}/data",
            "namespace": self.ns,
            "datasets": [{"name": "raw", "columns": [{"name": name, "type": "double"} for name in ("a", "b")]}],
        }
        self.risk: Document = {
            "version": 1,
            "origin": f"manifest:{self.ns}/risk",
            "namespace": self.ns,
            "deployments": [{"name": "scores", "reads": [self.key("column", "raw#a")], "owners": ["risk"], "tier": 1}],
            "consumers": [{"name": "checkout", "uses": ["scores"]}],
        }
        self.write()

    def key(self, kind: str, name: str) -> str:
        return f"{kind}:{self.ns}/{name}"

    def write(self) -> None:
        for name, document in (("data", self.data), ("risk", self.risk)):
            (self.repository.folder / name).mkdir(exist_ok=True)
            (self.repository.folder / name / "headwater.yaml").write_text(yaml.safe_dump(document, sort_keys=False))

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.repository.headwater(*arguments)

    def done(self, *arguments: str) -> str:
        ended = self.run(*arguments)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    def plan(self, *arguments: str) -> Document:
        found: Document = json.loads(self.done("plan", "--output", "json", *arguments))
        return found

    def known(self, key: str) -> Document | None:
        asked = "query($key: ID!) { asset(key: $key) { id stub attributes { name value } } }"
        found: Document | None = self.client.ask(asked, key=key)["asset"]
        return found


@contextmanager
def serving(param: str, request: pytest.FixtureRequest, folder: Path) -> Iterator[headwater.Client]:
    store = f"sqlite:///{folder}/store.db" if param == "sqlite" else request.getfixturevalue("neo4j_url")
    with running_service(store, data=folder / "data") as address, headwater.Client(address) as client:
        yield client


@pytest.fixture(scope="module", params=STORES)
def client(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[headwater.Client]:
    with serving(request.param, request, tmp_path_factory.mktemp("store")) as client:
        yield client


@pytest.fixture
def shop(client: headwater.Client, tmp_path: Path) -> Shop:
    return Shop(client, tmp_path)


def test_a_repository_is_applied_in_one_revision_and_a_second_time_changes_nothing(shop: Shop) -> None:
    first = json.loads(shop.done("apply", "--output", "json"))
    assert (first["changed"], first["added"]) == (True, 7)
    assert shop.known(shop.key("consumer", "checkout")) is not None
    again = json.loads(shop.done("apply", "--output", "json"))
    assert (again["changed"], again["revision"]) == (False, first["revision"])
    assert shop.plan()["changes"] == []


def test_a_plan_shows_what_changes_and_whom_that_touches(shop: Shop) -> None:
    shop.done("apply")
    shop.data["datasets"][0]["columns"] = [{"name": "a", "type": "text"}, {"name": "c"}]
    shop.write()
    plan = shop.plan()
    assert {(each["subject"], each["verb"], each["document"]) for each in plan["changes"]} == {
        (shop.key("column", "raw#a"), "CHANGED", "data/headwater.yaml"),
        (shop.key("column", "raw#b"), "WITHDRAWN", None),
        (shop.key("column", "raw#c"), "ADDED", "data/headwater.yaml"),
    }
    (retyped,) = (each for each in plan["changes"] if each["verb"] == "CHANGED")
    assert retyped["altered"] == [{"name": "type", "before": "double", "after": "text"}]
    assert plan["touches"]["counts"] == [{"kind": "CONSUMER", "count": 1}, {"kind": "DEPLOYMENT", "count": 1}]
    assert [each["asset"]["id"] for each in plan["touches"]["told"]] == [
        shop.key("deployment", "scores"),
        shop.key("consumer", "checkout"),
    ]
    page = shop.done("plan")
    assert f"~ {shop.key('column', 'raw#a')}" in page
    assert "type: double → text" in page
    assert "1 to add, 1 to change, 1 to withdraw." in page
    assert f"{shop.key('deployment', 'scores')}, tier 1: ask risk" in page
    assert "### Plan" in shop.done("plan", "--output", "markdown")


def test_a_kept_plan_is_done_exactly_and_only_once(shop: Shop, tmp_path: Path) -> None:
    shop.done("plan", "--out", str(tmp_path / "plan.json"))
    shop.client.register({"datasets": [{"namespace": shop.ns, "name": "unrelated"}]}, origin=f"api:{shop.ns}")
    shop.data["datasets"] = []  # what the files say by now is no part of the plan
    shop.write()
    done = json.loads(shop.done("apply", str(tmp_path / "plan.json"), "--output", "json"))
    assert (done["changed"], done["added"]) == (True, 7)
    again = json.loads(shop.done("apply", str(tmp_path / "plan.json"), "--output", "json"))
    assert again == done


def test_a_kept_plan_is_refused_with_the_difference_when_it_would_do_something_else(shop: Shop, tmp_path: Path) -> None:
    shop.done("apply")
    shop.data["datasets"][0]["columns"][0]["type"] = "text"
    shop.write()
    shop.done("plan", "--out", str(tmp_path / "plan.json"))
    shop.data["datasets"][0]["columns"][0]["type"] = "bigint"
    shop.write()
    shop.done("apply")
    refused = shop.run("apply", str(tmp_path / "plan.json"))
    assert refused.returncode == 2
    assert "the graph has moved since this was planned" in refused.stderr
    assert "planned: changed (type: double → text)" in refused.stderr
    assert "now:     changed (type: bigint → text)" in refused.stderr
    found = shop.known(shop.key("column", "raw#a"))
    assert found is not None
    assert {"name": "type", "value": "bigint"} in found["attributes"]


def test_what_others_say_too_is_told_and_stays(shop: Shop) -> None:
    shop.done("apply")
    shop.client.register({"datasets": [{"namespace": shop.ns, "name": "raw"}]}, origin=f"import:{shop.ns}")
    shop.data["datasets"] = []
    shop.risk["deployments"][0]["reads"] = []
    shop.write()
    plan = shop.plan()
    assert plan["shared"] == [
        {"asset": {"id": shop.key("dataset", "raw")}, "origins": [f"import:{shop.ns}", f"manifest:{shop.ns}/data"]}
    ]
    shop.done("apply")
    found = shop.known(shop.key("dataset", "raw"))
    assert found is not None
    assert not found["stub"]


def test_a_document_that_is_gone_is_told_of_and_its_origin_falls_silent_only_when_asked(shop: Shop) -> None:
    shop.repository.git("add", "--all")
    shop.repository.git("commit", "--quiet", "--message", "Declare")
    shop.done("apply")
    (shop.repository.folder / "risk" / "headwater.yaml").unlink()
    shop.repository.git("commit", "--quiet", "--all", "--message", "Scores go")
    page = shop.done("plan")
    assert (
        f"manifest:{shop.ns}/risk has no document here any more; 4 assets and flows that it says stay: --prune" in page
    )
    shop.done("apply")
    assert shop.plan()["orphaned"] == [{"origin": f"manifest:{shop.ns}/risk", "subjects": 4}]
    assert "all that it says is withdrawn" in shop.done("plan", "--prune")
    done = json.loads(shop.done("apply", "--prune", "--output", "json"))
    assert done["withdrawn"] == 4
    assert shop.plan()["orphaned"] == []


def test_every_mistake_of_all_documents_is_told_at_once_with_its_line_and_nothing_is_applied(shop: Shop) -> None:
    (shop.repository.folder / "data" / "headwater.yaml").write_text(
        f"version: 1\nnamespace: {shop.ns}\ndatasets:\n  - name: raw\n    colums: []\n    tier: 7\n"
    )
    (shop.repository.folder / "risk" / "headwater.yaml").write_text(
        f"version: 1\norigin: manifest:{shop.ns}/risk\nnamespace: {shop.ns}\nconsumers:\n  - {{name: c, type: servise}}\n"
    )
    for command in ("plan", "apply"):
        refused = shop.run(command)
        assert refused.returncode == 2
        told = [line for line in refused.stderr.splitlines() if not line.startswith("    ")]
        assert told == [
            "data/headwater.yaml:5:5: datasets[0].colums: unknown field; did you mean columns?",
            "data/headwater.yaml:6:11: datasets[0].tier: 7 is not a whole number from 1 to 4",
            "risk/headwater.yaml:5:21: consumers[0].type: 'servise' is none of service, application, dashboard, notebook,"
            " batch_job; did you mean service?",
        ]
    (shop.repository.folder / "data" / "headwater.yaml").write_text("version: [1\n")
    told = [line for line in shop.run("apply").stderr.splitlines() if not line.startswith("    ")]
    assert [line.partition(": ")[0] for line in told] == ["data/headwater.yaml:1:12", "risk/headwater.yaml:5:21"]
    assert shop.known(shop.key("dataset", "raw")) is None


def test_all_references_to_what_nobody_registered_are_told_with_their_lines(shop: Shop) -> None:
    shop.risk["deployments"][0]["reads"] = [shop.key("column", "raw#aa"), shop.key("dataset", "elsewhere")]
    shop.write()
    refused = shop.run("apply")
    assert refused.returncode == 2
    told = [line for line in refused.stderr.splitlines() if not line.startswith("    ")]
    assert [line.partition(": deployments")[0] for line in told] == [
        "risk/headwater.yaml:7:5",
        "risk/headwater.yaml:8:5",
    ]
    assert "raw#aa is not registered; declare it here, or apply what declares it first; did you mean" in told[0]
    assert shop.known(shop.key("consumer", "checkout")) is None


@pytest.mark.long
@pytest.mark.parametrize("victim", ["client", "service"])
@pytest.mark.parametrize("store", STORES)
def test_a_kill_half_way_leaves_all_of_it_or_nothing(
    store: str, victim: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Killed at ever later moments, until it is done before the kill; then once more changes nothing."""
    url = f"sqlite:///{tmp_path}/store.db" if store == "sqlite" else request.getfixturevalue("neo4j_url")
    ns = f"kill-{uuid.uuid4().hex[:12]}"
    folder = tmp_path / "repository"
    folder.mkdir()
    for number in range(40):
        columns = [{"name": f"c{column}", "type": "double"} for column in range(20)]
        document = {"version": 1, "origin": f"manifest:{ns}/{number % 4}", "namespace": ns}
        document |= {"datasets": [{"name": f"t{number}", "columns": columns}]}
        (folder / f"{number}.headwater.yaml").write_text(yaml.safe_dump(document))
    expected = 80
    environment = plain_environment()
    for delay in (0.8, 1.2, 1.8, 3.0):
        with killable(url) as (process, address):
            before = counted(address, ns)
            assert before in (0, expected)
            if before:
                break
            applying = subprocess.Popen(
                [HEADWATER, "apply", "--yes"],
                cwd=folder,
                env=environment | {"HEADWATER_URL": address},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            time.sleep(delay)
            (applying if victim == "client" else process).send_signal(signal.SIGKILL)
            process.kill()
            process.wait()
            applying.kill()
            applying.wait()
    with killable(url) as (_, address):
        assert counted(address, ns) in (0, expected)
        for _ in range(2):
            subprocess.run(
                [HEADWATER, "apply", "--yes"],
                cwd=folder,
                env=environment | {"HEADWATER_URL": address},
                check=True,
                timeout=100,
            )
        assert counted(address, ns) == expected


def counted(address: str, namespace: str) -> int:
    """Of the tables and the last column of each, how many are known."""
    keys = [f"dataset:{namespace}/t{number}" for number in range(40)]
    keys += [f"column:{namespace}/t{number}#c19" for number in range(40)]
    asked = " ".join(f'a{place}: asset(key: "{key}") {{ stub }}' for place, key in enumerate(keys))
    answer = httpx.post(f"{address}/graphql", json={"query": f"{{ {asked} }}"}).json()
    return sum(each is not None and not each["stub"] for each in answer["data"].values())


@contextmanager
def killable(store_url: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    port = free_port()
    environment = plain_environment() | {"HEADWATER_STORE": store_url, "HEADWATER_PORT": str(port)}
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen([sys.executable, "-m", "app"], cwd=ROOT, env=environment, stderr=log)
        try:
            wait_until_ready(process, f"http://127.0.0.1:{port}", log.fileno())
            yield process, f"http://127.0.0.1:{port}"
        finally:
            process.kill()
            process.wait()
