"""The action's own steps, run by bash with the environment that a runner would give them."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from headwater import Client

from tests.repository import Repository
from tests.service import ROOT, free_port, plain_environment, running_service

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
    ended = run(install, ROOT, {}, pip)
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


def steps() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = DESCRIBED["runs"]["steps"]
    return found


def run(
    step: dict[str, Any], folder: Path, inputs: dict[str, str], environment: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    """A `run` step, as GitHub documents `shell: bash`. Inputs that are not given have their defaults."""
    given = {name: str(each.get("default", "")) for name, each in DESCRIBED["inputs"].items()} | inputs
    mapped = {name: expanded(value, given) for name, value in step.get("env", {}).items()}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", expanded(step["run"], given)],
        cwd=folder,
        env=plain_environment() | {"PATH": path} | environment | mapped,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def expanded(text: str, inputs: dict[str, str]) -> str:
    """The expressions of the action; what is no input of it is the runner's."""

    def value(found: re.Match[str]) -> str:
        context, _, name = found[1].partition(".")
        if context == "inputs":
            return inputs[name]
        assert found[1] == "github.action_path", found[1]
        return str(ACTION)

    return re.sub(r"\$\{\{ (.*?) \}\}", value, text)


def checked(
    clone: Repository, installed: dict[str, str], **inputs: str
) -> tuple[int, str, dict[str, str], subprocess.CompletedProcess[str]]:
    """The exit code of the check's step, the job's summary, and the step's outputs."""
    summary, outputs = clone.folder.parent / "summary.md", clone.folder.parent / "outputs"
    runner = {"GITHUB_STEP_SUMMARY": str(summary), "GITHUB_OUTPUT": str(outputs)}
    (step,) = (step for step in steps() if step.get("id") == "check")
    given = {"url": clone.address, "base": clone.environment["BASE"]} | inputs
    ended = run(step, clone.folder, given, installed | runner)
    told = dict(line.split("=", 1) for line in outputs.read_text().splitlines())
    return ended.returncode, summary.read_text(), told, ended


def test_every_step_runs_here_but_the_one_that_installs_python() -> None:
    assert DESCRIBED["runs"]["using"] == "composite"
    assert [step["uses"] for step in steps() if "run" not in step] == ["actions/setup-python@v5"]
    assert all(step["shell"] == "bash" for step in steps() if "run" in step)


def test_a_breaking_change_fails_the_job_and_the_summary_says_whom_it_breaks(
    clone: Repository, installed: dict[str, str]
) -> None:
    clone.commit(manifest("note"))
    code, summary, outputs, ended = checked(clone, installed)
    assert code == 1, ended.stderr
    assert outputs == {"outcome": "BLOCKED", "exit-code": "1"}
    assert "## Headwater: blocked" in summary
    assert "consumer till" in summary
    assert summary == ended.stdout


def test_a_base_that_the_checkout_lacks_is_fetched(clone: Repository, installed: dict[str, str]) -> None:
    origin = Repository(clone.folder.parent / "origin", clone.address)
    origin.commit(manifest("amount", "note", "since"))
    clone.commit(manifest("amount", "note", "day"))
    code, summary, _, ended = checked(clone, installed, base=origin.git("rev-parse", "HEAD"))
    assert code == 3, ended.stderr  # that base was never applied
    assert "renamed column orders#since" in summary


def test_a_clean_change_passes(clone: Repository, installed: dict[str, str]) -> None:
    clone.commit(manifest("amount", "note", "day"))
    code, summary, outputs, ended = checked(clone, installed)
    assert code == 0, ended.stderr
    assert outputs["outcome"] == "CLEAN"
    assert "## Headwater: clean" in summary


def test_a_service_that_cannot_be_reached_fails_the_job_and_the_summary_says_so(
    clone: Repository, installed: dict[str, str]
) -> None:
    code, summary, outputs, _ = checked(clone, installed, url=f"http://127.0.0.1:{free_port()}")
    assert code == 4
    assert outputs == {"outcome": "", "exit-code": "4"}
    assert "the check could not be made" in summary
    assert "cannot reach" in summary
