"""`make run`: the service with a story in it: callers nobody declared, a drift, a proposed change, three answers."""

import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from headwater import Client

from demo.__main__ import THREE_QUESTIONS
from demo.story import DEPLOYMENT, FEATURE, MODEL
from tests.service import ROOT, plain_environment

# Two runs, each with the import of scikit-learn, on a machine that other tests use too.
pytestmark = pytest.mark.timeout(500)

PATIENCE_SECONDS = 300.0

DEPLOYMENTS = {"cultivar-api", "cultivar-canary", "bottle-card", "keep-or-drink", "proline-api", "proline-quick"}
UNDECLARED = {"price-list", "tasting-app"}
CONSUMERS = UNDECLARED | {"crate-sorter", "quality-board", "web-shop", "blend-plan", "vintage-study"}


@dataclass(frozen=True)
class Ran:
    """The demo has run twice over a SQLite file, once over a Neo4j; the last is still running."""

    store: str
    first: str
    second: str
    address: str
    running: subprocess.Popen[str]


@pytest.fixture(
    scope="module",
    params=["sqlite", pytest.param("neo4j", marks=[pytest.mark.neo4j, pytest.mark.long])],
)
def ran(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    """A Neo4j may have held other things before, of which a service may then complain."""
    folder = tmp_path_factory.mktemp("demo")
    store = f"sqlite:///{folder}/demo.db" if request.param == "sqlite" else request.getfixturevalue("neo4j_url")
    first = None
    if request.param == "sqlite":
        with started(store, folder, "--once") as once:
            first, complaints = once.communicate(timeout=PATIENCE_SECONDS)
            assert (once.returncode, complaints) == (0, "")
    with started(store, folder) as running:
        assert running.stdout is not None
        second = "".join(iter(running.stdout.readline, "Ctrl-C ends the service.\n"))
        address = re.search(r"http://127\.0\.0\.1:\d+", second)
        assert address is not None, second
        yield Ran(store, first or second, second, address[0], running)


@pytest.fixture(scope="module")
def client(ran: Ran) -> Iterator[Client]:
    with Client(ran.address) as client:
        yield client


def test_the_second_run_changes_nothing(ran: Ran) -> None:
    if ran.store.startswith("sqlite"):
        assert "Registered and deployed; " in ran.first
        assert "Nothing changed: " in ran.second
    assert ran.second.partition("Who calls")[2].partition("1. Which")[0].count("BLOCKED") == 1


def test_the_story_is_told(ran: Ran) -> None:
    callers = ran.first.partition("Who calls cultivar-api")[2].partition("Alert: ")[0]
    assert names_in(callers) >= UNDECLARED
    assert re.search(r"^   tasting-app +\d+ +claimed +no$", callers, re.MULTILINE)
    assert re.search(r"^   \(unidentified\) +[1-9]", callers, re.MULTILINE)
    alert = ran.first.partition("Alert: ")[2].partition("A pull request")[0]
    assert alert.startswith("flavanoid_share drifted")
    assert "column:warehouse/lab.assays#flavanoids" in alert
    assert "tasting-app" in alert
    check = ran.first.partition("A pull request")[2].partition("1. Which")[0]
    assert "tasting-app" in check
    assert "exit code 1" in check


def test_the_three_answers_are_printed(ran: Ran) -> None:
    first, second, third = re.split(r"^\d\. ", ran.second, flags=re.MULTILINE)[1:]
    assert names_in(first) == DEPLOYMENTS
    assert "cultivar 2 (@champion)" in first
    assert names_in(second) == {"cultivar"}
    assert names_in(third.partition("Look around")[0]) == CONSUMERS


def test_the_three_answers_are_right(client: Client) -> None:
    answers = client.ask(THREE_QUESTIONS, feature=FEATURE, model=MODEL, deployment=DEPLOYMENT)
    assert felt(answers["feature"]["deployments"]) == dict.fromkeys(DEPLOYMENTS, "NOW")
    assert felt(answers["model"]["upstreamModels"]) == {"cultivar": "NEXT_TRAINING"}
    assert felt(answers["deployment"]["consumers"]) == dict.fromkeys(CONSUMERS, "NOW")
    assert [node["title"] for node in answers["versions"]["assets"]["nodes"]] == ["2"]


def test_what_only_old_versions_read_is_history(client: Client) -> None:
    """Only version 1 of the cultivar model reads the ash; no deployment serves it, no alias names it."""
    answer = client.ask(REACHED, start="feature:cellar/bottle_chemistry#ash")["lineage"]
    assert {edge["node"]["title"]: edge["when"] for edge in answer["assets"]["edges"]}["1"] == "HISTORIC"
    assert not [edge for edge in answer["assets"]["edges"] if edge["node"]["kind"] == "CONSUMER"]


def test_versions_tell_how_they_were_made(client: Client) -> None:
    version = client.ask(VERSION, key="model_version:cellar/cultivar#2")["asset"]
    assert 0.9 < version["metrics"]["accuracy"] <= 1
    assert version["hyperparameters"] == {"algorithm": "logistic regression", "C": 0.3}
    assert version["artifact"]["digest"].startswith("sha256:")
    assert {given["feature"] for given in version["signature"]["inputs"]} >= {FEATURE}
    assert version["owners"] == [{"name": "wine-science"}]


def test_a_port_that_is_taken_is_said_plainly(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ended = subprocess.run(
            [sys.executable, "-m", "demo", "--once"],
            cwd=ROOT,
            env=plain_environment() | {"HEADWATER_STORE": f"sqlite:///{tmp_path}/x.db", "HEADWATER_PORT": str(port)},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert ended.returncode == 1
    assert ended.stderr == (
        f"Cannot listen at 127.0.0.1:{port}: Address already in use. For another port: HEADWATER_PORT=8322 make run\n"
    )


def test_ctrl_c_ends_the_service_too(ran: Ran) -> None:
    ran.running.send_signal(signal.SIGINT)
    assert ran.running.wait(60) == 0
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", int(ran.address.rpartition(":")[2]))) != 0


REACHED = """
query Reached($start: ID!) {
  lineage(start: $start) { ... on Lineage { assets(first: 100) { edges { when node { kind title } } } } }
}
"""

VERSION = """
query Version($key: ID!) {
  asset(key: $key) { owners { name } ... on ModelVersion { metrics hyperparameters artifact signature } }
}
"""


@contextmanager
def started(store: str, folder: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """`python -m demo`, run in `folder`, where it puts what goes with a Neo4j. Ended with the context, if it still runs."""
    settings = {"HEADWATER_STORE": store, "HEADWATER_PORT": "0", "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    running = subprocess.Popen(
        [sys.executable, "-m", "demo", *options],
        cwd=folder,
        env=plain_environment() | settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield running
    finally:
        running.send_signal(signal.SIGINT)
        running.communicate(timeout=60)


def names_in(answer: str) -> set[str]:
    """The first cells of a printed table, below its heading."""
    rows = [line.split() for line in answer.splitlines() if line.startswith("   ")]
    return {row[0] for row in rows[1:]}


def felt(rows: dict[str, Any]) -> dict[str, str]:
    return {edge["node"]["title"]: edge["when"] for edge in rows["edges"]}
