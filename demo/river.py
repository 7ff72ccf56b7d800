"""What happens once the cellar is registered: callers nobody declared, a device that measures differently, a pull request.

Everything here goes through the public interfaces, and every caller is a process of its own.
"""

import copy
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
import numpy as np
import yaml
from headwater import Client

from demo.story import BOTTLE_CARD, COLUMN, DEPLOYMENT, FEATURE
from demo.training import Table

T = TypeVar("T")

WINDOW = 600
"""Rows; more than the fewest that the service tests at once."""
SHIFTED, BY_DEVIATIONS = "flavanoid_share", 2.0
SEEN_WITHIN_SECONDS = 60.0

_FEATURES = "alcohol,malic_acid,flavanoid_share,color_intensity,hue"


class WentWrong(Exception):
    """`str(error)` says what the demonstration waited for, or what a command of it answered."""


@dataclass(frozen=True)
class Commands:
    """Runs the other programs of the story."""

    address: str
    token: str | None
    folder: Path

    @property
    def authorization(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}

    @property
    def repository(self) -> Path:
        """The data team's git repository."""
        return self.folder / "repository"

    @property
    def rows(self) -> Path:
        return self.folder / "bottles.json"

    def call(self, deployment: str, columns: str, count: int, *options: str) -> None:
        """A caller, until it has its answers. Raises WentWrong."""
        arguments = ["--address", self.address, "--model", deployment.rpartition("/")[2], "--rows", str(self.rows)]
        arguments += ["--columns", columns, "--count", str(count), *options]
        token = ["--token", self.token] if self.token else []
        ended = self._run(sys.executable, "-m", "demo.caller", *arguments, *token)
        if ended.returncode != 0:
            raise WentWrong(ended.stderr.strip())

    def headwater(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """The command line client, in the repository."""
        return self._run(str(Path(sys.executable).with_name("headwater")), *arguments, cwd=self.repository)

    def git(self, *arguments: str) -> None:
        """Raises WentWrong."""
        try:
            ended = self._run("git", *_AS_NOBODY, *arguments, cwd=self.repository)
        except FileNotFoundError:
            raise WentWrong("git is missing; the story ends with a pull request, which needs it") from None
        if ended.returncode != 0:
            raise WentWrong(f"git {arguments[0]}: {ended.stderr.strip()}")

    def _run(self, *command: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        settings = {"HEADWATER_URL": self.address, "COLUMNS": "110"}
        settings |= {"HEADWATER_TOKEN": self.token} if self.token else {}
        return subprocess.run(
            command, cwd=cwd, env=os.environ | settings, capture_output=True, text=True, timeout=120, check=False
        )


_AS_NOBODY = ("-c", "user.name=data-platform", "-c", "user.email=data-platform@cellar.example")


def keep_manifest(commands: Commands, manifest: Mapping[str, object]) -> None:
    """Commits `manifest` as `headwater.yaml` on the branch main, if it is not what stands there."""
    commands.repository.mkdir(parents=True, exist_ok=True)
    if not (commands.repository / ".git").exists():
        commands.git("init", "--quiet", "--initial-branch=main")
    else:
        commands.git("checkout", "--quiet", "--force", "main")
    file, text = commands.repository / "headwater.yaml", yaml.safe_dump(dict(manifest), sort_keys=False)
    if not file.exists() or file.read_text() != text:
        file.write_text(text)
        commands.git("add", "headwater.yaml")
        commands.git("commit", "--quiet", "--message", "Declare what the data team keeps")


def apply_manifest(commands: Commands) -> None:
    """Raises WentWrong."""
    applied = commands.headwater("apply")
    if applied.returncode != 0:
        raise WentWrong(f"headwater apply: {applied.stdout}{applied.stderr}".strip())


def let_callers_call(commands: Commands, bottles: Table) -> None:
    """Three services nobody declared, one that was, and a script that says nothing of itself."""
    commands.rows.write_text(json.dumps({name: column.tolist() for name, column in bottles.items()}))
    tested = windows_tested(commands)
    commands.call(BOTTLE_CARD, _FEATURES, 40, "--service", "cellar/web-shop")
    commands.call(DEPLOYMENT, "bottle", 20, "--service", "cellar/price-list")
    commands.call(DEPLOYMENT, _FEATURES, 5)
    commands.call(DEPLOYMENT, _FEATURES, WINDOW, "--service", "cellar/tasting-app")
    wait_for("the first window to be tested", lambda: windows_tested(commands) > tested)


def read_features(address: str, token: str | None) -> None:
    """A notebook that reads features in batch, by the client of clients/python."""
    with Client(address, token, service="cellar/vintage-study") as notebook:
        notebook.get_batch_features(["bottle_chemistry:alcohol", "bottle_chemistry:hue"], {"bottle": [1, 2, 3]})


def let_a_device_drift(client: Client, commands: Commands, bottles: Table) -> None:
    """The same service goes on calling; the laboratory's new device reports more flavanoids."""
    amount = BY_DEVIATIONS * float(np.std(bottles[SHIFTED]))
    shift = f"{SHIFTED}={amount:.3f}"
    commands.call(DEPLOYMENT, _FEATURES, WINDOW, "--service", "cellar/tasting-app", "--shift", shift, "--seed", "1")
    wait_for("the alert", lambda: alert_about(client, FEATURE))


def propose_a_change(commands: Commands, manifest: Mapping[str, object]) -> subprocess.CompletedProcess[str]:
    """A branch that drops the column; what `headwater check` says of it."""
    commands.git("checkout", "--quiet", "-B", "drop-flavanoids")
    (commands.repository / "headwater.yaml").write_text(yaml.safe_dump(_without_flavanoids(manifest), sort_keys=False))
    commands.git("commit", "--quiet", "--all", "--message", "Drop lab.assays.flavanoids")
    return commands.headwater("check", "--base", "main")


def alert_about(client: Client, key: str) -> dict[str, Any] | None:
    """The newest alert about an asset that nobody has resolved."""
    nodes = client.ask(ALERTS)["alerts"]["nodes"]
    found: list[dict[str, Any]] = [node for node in nodes if node["about"]["id"] == key]
    return found[0] if found else None


def windows_tested(commands: Commands) -> int:
    exposed = httpx.get(f"{commands.address}/metrics", headers=commands.authorization, timeout=10).text
    lines = [line for line in exposed.splitlines() if line.startswith("headwater_windows_tested_total{")]
    return sum(int(float(line.rpartition(" ")[2])) for line in lines)


def wait_for(what: str, look: Callable[[], T]) -> T:
    """What `look` sees, once it sees anything. Raises WentWrong."""
    end = time.monotonic() + SEEN_WITHIN_SECONDS
    while not (seen := look()):
        if time.monotonic() > end:
            raise WentWrong(f"Waited {SEEN_WITHIN_SECONDS:g} s for {what}, in vain.")
        time.sleep(0.2)
    return seen


def link(address: str, page: str, key: str) -> str:
    return f"{address}/{page}/{quote(key, safe='')}"


def _without_flavanoids(manifest: Mapping[str, object]) -> dict[str, Any]:
    """Neither the column nor the feature computed from it, and nothing in the file that reads either."""
    changed: dict[str, Any] = copy.deepcopy(dict(manifest))
    for dataset in changed["datasets"]:
        dataset["columns"] = _but(dataset["columns"], "name", COLUMN.rpartition("#")[2])
    for view in changed["feature_views"]:
        view["features"] = _but(view["features"], "name", FEATURE.rpartition("#")[2])
    for job in changed["jobs"]:
        job["column_lineage"] = _but(job.get("column_lineage", []), "target", FEATURE)
        job["inputs"] = [given for given in job["inputs"] if given not in (COLUMN, FEATURE)]
    return changed


def _but(items: Sequence[dict[str, Any]], field: str, value: str) -> list[dict[str, Any]]:
    return [item for item in items if item[field] != value]


ALERTS = """
query Alerts {
  alerts(states: [OPEN, ACKNOWLEDGED], first: 50) {
    nodes {
      id
      title
      state
      about { id title }
      column { id }
      deployments(first: 20) { nodes { title } }
      drifted { name side effect }
      causes { asset { id } reason explanation }
      consumers(first: 20) { nodes { title } }
    }
  }
}
"""
