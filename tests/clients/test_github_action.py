"""The action's own steps, run by bash with the environment that a runner would give them."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree as Xml

import pytest
import yaml
from headwater import Client

from tests.github import TOKEN, GitHub
from tests.repository import Repository
from tests.service import ROOT, free_port, in_thread, plain_environment, running_service

pytestmark = pytest.mark.timeout(300)

ACTION = ROOT / "clients" / "github-action"
DESCRIBED: dict[str, Any] = yaml.safe_load((ACTION / "action.yml").read_text())


def manifest(*columns: str) -> dict[str, Any]:
    return {
        "version": 1,
        "namespace": "shop",
        "datasets": [{"name": "orders", "columns": [{"name": name, "type": "double"} for name in columns]}],
    }


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("store")
    with running_service(f"sqlite:///{folder}/store.db") as address, Client(address) as client:
        client.apply([{"path": "headwater.yaml", "content": manifest("amount", "note")}])
        reader = {"namespace": "shop", "name": "till", "uses": ["column:shop/orders#amount"]}
        client.register({"consumers": [reader]}, origin="manifest:till")
        yield address


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment after the steps that install: into a folder of its own, with what is here already."""
    folder = tmp_path_factory.mktemp("installed")
    pip = {"PIP_TARGET": str(folder), "PIP_NO_DEPS": "1", "PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0"}
    (install,) = (step for step in steps() if step.get("name") == "Install the client")
    ended = run(install, ROOT, {"graph": ""}, pip)
    assert ended.returncode == 0, ended.stderr
    assert (folder / "headwater" / "cli.py").is_file()
    return {"PYTHONPATH": str(folder)}


@pytest.fixture
def clone(address: str, tmp_path: Path) -> Repository:
    """What actions/checkout leaves of a pull request's branch: its last commit alone."""
    origin = Repository.made(tmp_path / "origin", address)
    origin.git("config", "uploadpack.allowAnySHA1InWant", "true")
    origin.commit(manifest("amount", "note"))
    subprocess.run(
        ["git", "clone", "--quiet", "--depth=1", f"file://{origin.folder}", tmp_path / "clone"], check=True, timeout=60
    )
    clone = Repository(tmp_path / "clone", address, {"BASE": origin.git("rev-parse", "HEAD")})
    clone.git("checkout", "--quiet", "-b", "change")
    return clone


@pytest.fixture
def github() -> GitHub:
    """With more comments than one page holds, of others and with the marker too."""
    made = GitHub()
    for number in range(130):
        made.said(f"comment {number}")
    made.said("<!-- headwater:check -->\nquoted by somebody")
    made.said("another bot", "other[bot]", "Bot")
    return made


@pytest.fixture
def forge(github: GitHub, tmp_path: Path) -> Iterator[dict[str, str]]:
    """What a job of a pull request finds in its environment."""
    event = tmp_path / "event.json"
    event.write_text(json.dumps({"pull_request": {"number": github.number}}))
    with in_thread(github.app) as address:
        yield {
            "GITHUB_API_URL": address,
            "GITHUB_REPOSITORY": github.repository,
            "GITHUB_EVENT_PATH": str(event),
            "GITHUB_SERVER_URL": "https://github.example",
            "GITHUB_RUN_ID": "42",
        }


class Played(NamedTuple):
    code: int
    summary: str
    outputs: dict[str, str]
    told: str
    """What the steps wrote, in order."""


def steps() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = DESCRIBED["runs"]["steps"]
    return found


def play(clone: Repository, installed: dict[str, str], forge: dict[str, str] | None = None, **inputs: str) -> Played:
    """All steps but the one that installs Python, and the one that has installed the client, as a runner plays them."""
    folder = clone.folder.parent
    summary, temporary = folder / "summary.md", folder / "temporary"
    summary.write_text("")
    temporary.mkdir(exist_ok=True)
    given = {name: str(each.get("default", "")) for name, each in DESCRIBED["inputs"].items()}
    given |= {"url": clone.address, "base": clone.environment["BASE"], "github-token": TOKEN if forge else "none"}
    given |= {name.replace("_", "-"): value for name, value in inputs.items()}
    outputs: dict[str, dict[str, str]] = {}
    told, code = "", 0
    for step in steps():
        if "run" not in step or step["name"] == "Install the client":
            continue
        file = folder / f"outputs-{step['name']}"
        file.write_text("")
        runner = {"GITHUB_STEP_SUMMARY": str(summary), "GITHUB_OUTPUT": str(file), "RUNNER_TEMP": str(temporary)}
        runner |= {"GITHUB_REPOSITORY": "shop/prices"}
        ended = run(step, clone.folder, given, installed | runner | (forge or {}), outputs)
        told += ended.stdout + ended.stderr
        outputs[step.get("id", "")] = dict(line.split("=", 1) for line in file.read_text().splitlines())
        code = ended.returncode
        if code:
            break
    return Played(code, summary.read_text(), outputs.get("check", {}), told)


def run(
    step: dict[str, Any],
    folder: Path,
    inputs: dict[str, str],
    environment: dict[str, str],
    outputs: dict[str, dict[str, str]] | None = None,
) -> subprocess.CompletedProcess[str]:
    """A `run` step, as GitHub documents `shell: bash`."""
    mapped = {name: expanded(value, inputs, outputs or {}) for name, value in step.get("env", {}).items()}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    ours = {name: value for name, value in plain_environment().items() if not name.startswith("GITHUB_")}
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", expanded(step["run"], inputs, outputs or {})],
        cwd=folder,
        env=ours | {"PATH": path} | environment | mapped,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def expanded(text: str, inputs: dict[str, str], outputs: dict[str, dict[str, str]]) -> str:
    """The expressions of the action; what is no input of it, and no output of its steps, is the runner's."""

    def value(found: re.Match[str]) -> str:
        match found[1].split("."):
            case ["inputs", name]:
                return inputs[name]
            case ["steps", step, "outputs", name]:
                return outputs[step].get(name, "")
        assert found[1] == "github.action_path", found[1]
        return str(ACTION)

    return re.sub(r"\$\{\{ (.*?) \}\}", value, text)


def test_every_step_runs_here_but_the_one_that_installs_python() -> None:
    assert DESCRIBED["runs"]["using"] == "composite"
    assert [step["uses"] for step in steps() if "run" not in step] == ["actions/setup-python@v5"]
    assert all(step["shell"] == "bash" for step in steps() if "run" in step)


@pytest.mark.long
def test_one_comment_is_made_then_updated_in_place_and_at_last_says_that_all_is_well(
    clone: Repository, installed: dict[str, str], github: GitHub, forge: dict[str, str]
) -> None:
    before = [dict(comment) for comment in github.comments]
    github.limited = 1

    clone.commit(manifest("amount", "note", "day"))
    clean = play(clone, installed, forge)
    assert (clean.code, clean.outputs["outcome"], github.comments) == (0, "CLEAN", before), clean.told

    clone.commit(manifest("note"))
    first = play(clone, installed, forge)
    assert (first.code, first.outputs["outcome"]) == (1, "BLOCKED"), first.told
    comment = github.comments[-1]
    assert comment["body"].startswith("<!-- headwater:check -->\n## Headwater: blocked\n")
    assert "till must be told" in comment["body"]
    assert "```mermaid" in comment["body"]

    again = play(clone, installed, forge)
    assert "says it already" in again.told

    clone.commit(manifest("sum", "note"))
    second = play(clone, installed, forge)
    assert second.code == 1, second.told
    assert "now sum" in comment["body"]

    clone.commit(manifest("amount", "note"))
    third = play(clone, installed, forge)
    assert third.code == 0, third.told
    assert comment["body"].startswith("<!-- headwater:check -->\n## Headwater: clean\n")

    assert github.comments == [*before, comment]
    writes = [asked.split("/")[0] for asked in github.asked if not asked.startswith("GET")]
    assert writes == ["POST ", "POST ", "PATCH ", "PATCH "]  # the first was refused by the rate limit


def test_a_comment_that_may_not_be_written_is_a_warning(
    clone: Repository, installed: dict[str, str], forge: dict[str, str]
) -> None:
    clone.commit(manifest("note"))
    played = play(clone, installed, forge, github_token="of a fork")
    assert played.code == 1
    assert "::warning::the comment was not written: " in played.told
    assert "## Headwater: blocked" in played.summary
    quiet = play(clone, installed, forge, github_token="of a fork", comment="false")
    assert "::warning::" not in quiet.told


def test_a_breaking_change_leaves_the_lines_that_cause_it_and_who_fails(
    clone: Repository, installed: dict[str, str]
) -> None:
    clone.commit(manifest("note"))
    played = play(clone, installed, comment="false")
    assert played.code == 1
    assert (played.outputs["outcome"], played.outputs["exit-code"]) == ("BLOCKED", "1")
    (result,) = json.loads((clone.folder / played.outputs["sarif"]).read_text())["runs"][0]["results"]
    assert result["level"] == "error"
    place = result["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "headwater.yaml"
    assert place["region"]["startLine"] >= 1
    junit = Xml.parse(clone.folder / played.outputs["junit"]).getroot()
    assert [case.get("name") for case in junit.findall(".//testcase[failure]")] == ["till"]
    assert json.loads(Path(played.outputs["json"]).read_text())["outcome"] == "BLOCKED"


def test_a_base_that_the_checkout_lacks_is_fetched(clone: Repository, installed: dict[str, str]) -> None:
    origin = Repository(clone.folder.parent / "origin", clone.address)
    origin.commit(manifest("amount", "note", "since"))
    clone.commit(manifest("amount", "note", "day"))
    played = play(clone, installed, base=origin.git("rev-parse", "HEAD"), comment="false")
    assert played.code == 3, played.told  # that base was never applied
    assert "renamed column orders#since" in played.summary


def test_a_policy_of_the_repository_decides_and_a_change_cannot_weaken_it(
    clone: Repository, installed: dict[str, str]
) -> None:
    strict = {"version": 1, "rules": [{"name": "no news", "match": {"verdict": "additive"}, "effect": "block"}]}
    (clone.folder / "headwater.policy.yaml").write_text(yaml.safe_dump({"version": 1, "rules": [{"effect": "pass"}]}))
    clone.commit(manifest("note"))
    assert play(clone, installed, comment="false").code == 1
    passed = play(clone, installed, policy="headwater.policy.yaml", comment="false")
    assert (passed.code, passed.outputs["outcome"]) == (0, "CLEAN"), passed.told
    (clone.folder / "headwater.policy.yaml").write_text(yaml.safe_dump(strict | {"rules": [{"effect": "blok"}]}))
    wrong = play(clone, installed, comment="false")
    assert wrong.code == 2
    assert "headwater.policy.yaml: rules[0].effect: 'blok' is none of block, acknowledge, pass" in wrong.summary


@pytest.mark.parametrize(("configured", "code"), [("closed", 4), ("open", 0)])
def test_a_service_that_cannot_be_reached_fails_or_passes_as_configured_and_says_so(
    clone: Repository,
    installed: dict[str, str],
    github: GitHub,
    forge: dict[str, str],
    configured: str,
    code: int,
) -> None:
    played = play(clone, installed, forge, url=f"http://127.0.0.1:{free_port()}", on_unreachable=configured)
    assert played.code == code, played.told
    assert (played.outputs["outcome"], played.outputs["exit-code"]) == ("", str(code))
    for shown in (played.summary, github.comments[-1]["body"]):
        assert "the check could not be made" in shown
        assert f"configured to fail {configured}" in shown
        assert "cannot reach" in shown


def test_what_is_wrong_with_the_inputs_fails_and_never_passes_unseen(
    clone: Repository, installed: dict[str, str]
) -> None:
    played = play(clone, installed, file="nowhere.yaml", on_unreachable="open", comment="false")
    assert played.code == 2
    assert "there is no nowhere.yaml" in played.summary
    assert play(clone, installed, on_unreachable="opne", comment="false").code == 2
