"""What other tools read of this repository: the hook of pre-commit, and the template of GitLab, played as they would."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.repository import Repository
from tests.service import ROOT, free_port, plain_environment, running_service

pytestmark = pytest.mark.timeout(300)

ORDERS = {"name": "orders", "columns": [{"name": "amount"}, {"name": "note"}]}
MANIFEST: dict[str, Any] = {
    "version": 1,
    "namespace": "shop",
    "datasets": [ORDERS],
    "consumers": [{"name": "till", "uses": ["orders#amount"]}],
}
BROKEN = MANIFEST | {"datasets": [ORDERS | {"columns": [{"name": "note"}]}], "consumers": []}


def test_the_hook_runs_the_check_and_passes_without_a_service(tmp_path: Path) -> None:
    pre_commit = Path(sys.executable).with_name("pre-commit")
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    repository = Repository.made(tmp_path / "repository", f"http://127.0.0.1:{free_port()}")
    hook["entry"] = hook["entry"].replace("headwater", f"{sys.executable} -m headwater", 1)
    config = {"repos": [{"repo": "local", "hooks": [hook]}]}
    (repository.folder / ".pre-commit-config.yaml").write_text(yaml.safe_dump(config))
    repository.commit(MANIFEST)
    repository.write(MANIFEST | {"datasets": []})
    repository.git("add", "headwater.yaml")
    environment = plain_environment() | {
        "HEADWATER_URL": repository.address,
        "PRE_COMMIT_HOME": str(tmp_path / "home"),
    }
    ended = subprocess.run(
        [pre_commit, "run"],
        cwd=repository.folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "Headwater check" in ended.stdout
    assert "configured to fail open" in ended.stdout


def test_the_template_of_gitlab_checks_leaves_its_reports_and_fails_as_the_check_does(tmp_path: Path) -> None:
    job = yaml.safe_load((ROOT / "clients" / "gitlab" / "headwater.yml").read_text())["headwater"]
    with running_service(f"sqlite:///{tmp_path}/store.db") as address:
        repository = Repository.made(tmp_path / "repository", address)
        till = {
            "version": 1,
            "namespace": "till",
            "consumers": [{"name": "till", "uses": ["column:shop/orders#amount"]}],
        }
        repository.commit(MANIFEST | {"consumers": []})
        assert repository.headwater("apply").returncode == 0
        (tmp_path / "till.yaml").write_text(yaml.safe_dump(till))
        assert repository.headwater("apply", "--file", str(tmp_path / "till.yaml")).returncode == 0
        base = repository.git("rev-parse", "HEAD")
        repository.commit(BROKEN)
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        ended = subprocess.run(
            ["bash", "-eo", "pipefail", "-c", "\n".join(job["script"])],
            cwd=repository.folder,
            env=plain_environment()
            | job["variables"]
            | {"PATH": path, "HEADWATER_URL": address, "CI_MERGE_REQUEST_DIFF_BASE_SHA": base},
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )
    assert ended.returncode == 1, ended.stdout + ended.stderr
    left = {*job["artifacts"]["paths"], *job["artifacts"]["reports"].values()}
    assert left <= {file.name for file in repository.folder.iterdir()}
