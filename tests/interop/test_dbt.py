"""dbt's own selector as the oracle: what it lists around each node of a project, our lineage answers too.

A project's manifest is loaded as a user would load it, in one bulk request over HTTP.
"""

import json
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import httpx
import pytest

from graph.keys import AssetKey, AssetKind
from tests.interop.dbt_project import MODELS, write_project
from tests.service import running_service

ROOT = Path(__file__).parents[2]
DBT = ROOT / ".interop/dbt/bin"
MANIFESTS = Path(os.environ.get("HEADWATER_TEST_DBT_MANIFESTS", ROOT.parent / "shared/data/dbt"))
"""Manifests of real projects, `*manifest*.json`."""
OLDEST = 5
"""The oldest schema version of a manifest that this dbt still reads with its tests."""

KIND_OF = {
    "test": AssetKind.CONSUMER,
    "unit_test": AssetKind.CONSUMER,
    "exposure": AssetKind.CONSUMER,
    "analysis": AssetKind.JOB,
    "operation": AssetKind.JOB,
}
"""What reads and is read by nobody; all else is data."""

Listed: TypeAlias = list[tuple[str, list[str], list[str]]]
"""Of each node its name, ancestors and descendants."""


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with (
        running_service(f"sqlite:///{tmp_path_factory.mktemp('store')}/store.db") as address,
        httpx.Client(base_url=address, timeout=120) as client,
    ):
        yield client


@pytest.mark.timeout(900)
def test_around_each_node_of_real_projects_are_the_nodes_that_dbt_lists(http: httpx.Client) -> None:
    manifests = [path for path in sorted(MANIFESTS.glob("*manifest*.json")) if _schema_version(path) >= OLDEST]
    if not manifests:
        missing = f"there are no dbt manifests in {MANIFESTS}; HEADWATER_TEST_DBT_MANIFESTS names another folder"
        if os.environ.get("CI"):  # elsewhere nobody need have them
            pytest.fail(missing)
        pytest.skip(missing)
    for manifest, listed in zip(manifests, _listed(manifests), strict=True):
        _compare(http, manifest, listed)


@pytest.mark.timeout(900)
def test_around_each_node_of_a_large_project_are_the_nodes_that_dbt_lists(http: httpx.Client, tmp_path: Path) -> None:
    write_project(tmp_path)
    _dbt(tmp_path, "parse")
    manifest = tmp_path / "target/manifest.json"
    (listed,) = _listed([manifest])
    assert {name.split(".")[0] for name, _, _ in listed} == {
        *("model", "seed", "snapshot", "source", "test", "unit_test", "analysis", "operation"),
        *("exposure", "metric", "semantic_model", "saved_query"),
    }
    assert len(listed) > MODELS
    _compare(http, manifest, listed)
    around = {name: {name, *ancestors, *descendants} for name, ancestors, descendants in listed}
    for model in ("m_3_7", "m_7_1"):
        told = _dbt(tmp_path, *LS, "--select", f"+{model}+")
        names = {json.loads(line)["unique_id"] for line in told.splitlines() if line.startswith("{")}
        assert names == around[f"model.shop.{model}"], "what the command lists is not what its selector does"


LS = (
    *("ls", "--indirect-selection", "empty", "--resource-type", "all"),
    *("--output", "json", "--output-keys", "unique_id"),
)


def _compare(http: httpx.Client, manifest: Path, listed: Listed) -> None:
    parents = json.loads(manifest.read_text())["parent_map"]
    assert {name for name, _, _ in listed} == parents.keys()
    project = manifest.stem
    revision = _load(http, project, parents)
    for name, ancestors, descendants in listed:
        assert _around(http, project, name, "UPSTREAM", revision) == ancestors, f"upstream of {name} in {manifest}"
        assert _around(http, project, name, "DOWNSTREAM", revision) == descendants, (
            f"downstream of {name} in {manifest}"
        )


def _load(http: httpx.Client, project: str, parents: Mapping[str, Sequence[str]]) -> int:
    """The revision from which all of it can be read."""
    lines: list[dict[str, object]] = [{"asset": _key(project, name)} for name in parents]
    lines += [
        {"flow": {"from": _key(project, parent), "to": _key(project, name)}}
        for name, above in parents.items()
        for parent in above
    ]
    loaded = http.post(
        "/api/v1/bulk",
        params={"origin": f"dbt:{project}", "operation": project},
        content="".join(json.dumps(line) + "\n" for line in lines),
        headers={"Content-Type": "application/x-ndjson", "Accept": "application/json"},
    )
    assert loaded.status_code == 200, loaded.text
    told = loaded.json()["done"]
    assert (told["committed"], told["refused"]) == (len(lines), 0), loaded.text
    revision: int = told["revision"]
    return revision


def _around(http: httpx.Client, project: str, name: str, direction: str, revision: int) -> list[str]:
    asked: dict[str, str | int] = {
        "start": _key(project, name),
        "direction": direction,
        "atLeastRevision": revision,
    }
    answer = http.get("/api/v1/lineage.json", params=asked)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert told["complete"]
    return sorted(AssetKey.parse(text).name for text in told["columns"]["key"])


def _key(project: str, name: str) -> str:
    return str(AssetKey.of(KIND_OF.get(name.split(".", maxsplit=1)[0], AssetKind.DATASET), project, name))


def _listed(manifests: Sequence[Path]) -> Iterator[Listed]:
    told = _run([DBT / "python", ROOT / "tests/interop/dbt_selector.py", *manifests], ROOT)
    yield from json.loads(told)


def _dbt(project: Path, *arguments: str) -> str:
    return _run([DBT / "dbt", "--quiet", "--no-version-check", *arguments, "--profiles-dir", "."], project)


def _run(command: Sequence[str | Path], folder: Path) -> str:
    """What it prints."""
    if not DBT.exists():
        pytest.fail("the environment is missing: make .interop/dbt/installed")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("HEADWATER_", "DBT_"))}
    environment["DBT_SEND_ANONYMOUS_USAGE_STATS"] = "false"
    ended = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def _schema_version(manifest: Path) -> int:
    address: str = json.loads(manifest.read_text())["metadata"]["dbt_schema_version"]
    return int(address.rpartition("/v")[2].removesuffix(".json"))
