"""How long `headwater check` takes, from the start of its process to its end, on a repository of 2,000 manifests.

Each team's manifest declares 50 assets; the graph holds all 100,000, and a third of the consumers use what another team serves.
Changed are 1, 20 and 500 manifests: a column is retyped in each. More than 10,000 changed assets are refused, and so is what
one request cannot hold (16 MiB): all 2,000 manifests at once. The service is ready, and its caches are as they are.
"""

import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from graph.importers.project import Document, DocumentFormat, read_project
from graph.model import Operation
from graph.plan import register
from graph.stores.sqlite import SqliteStore
from tests.bench.figures import Figure
from tests.bench.world import NOW
from tests.repository import Repository
from tests.service import plain_environment, running_service

MANIFESTS, COLUMNS, FEATURES = 2_000, 30, 12
TURNS = 5
CHANGED = (1, 20, 500)


def figures(folder: Path, manifests: int = MANIFESTS) -> Iterator[Figure]:
    path = folder / "check.db"
    documents = [_document(team, manifests) for team in range(manifests)]
    _fill(path, documents)
    repository = Repository.made(folder / "repository", "")
    for team, document in enumerate(documents):
        _write(repository, team, document)
    repository.git("add", "--all")
    repository.git("commit", "--quiet", "--message", "Declare")
    with running_service(f"sqlite:///{path}", data=folder / "data") as address:
        for changed in CHANGED:
            for team in range(min(changed, manifests)):
                document = _document(team, manifests)
                document["datasets"][0]["columns"][team % COLUMNS]["type"] = "varchar"
                _write(repository, team, document)
            taken = [_checked(repository.folder, address) for _ in range(TURNS)]
            yield Figure(f"{manifests:,} manifests, {50 * manifests:,} assets: check, {changed:,} changed", taken, "s")


def _checked(folder: Path, address: str) -> float:
    begin = time.perf_counter()
    ended = subprocess.run(
        [sys.executable, "-m", "headwater", "check", "--url", address, "--output", "json"],
        cwd=folder,
        env=plain_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    taken = time.perf_counter() - begin
    assert ended.returncode in {0, 1, 3}, ended.stdout[-2000:] + ended.stderr[-2000:]
    return taken


def _fill(path: Path, documents: list[dict[str, Any]]) -> None:
    project = read_project(
        [Document(f"{team}/headwater.yaml", DocumentFormat.MANIFEST, each) for team, each in enumerate(documents)]
    )
    store = SqliteStore(path)
    for wanted in project.registrations:
        # What one uses of another is there once both are.
        register(store, replace(wanted, stubs=True), Operation(None, "", "bench"), NOW)
    store.close()


def _write(repository: Repository, team: int, document: dict[str, Any]) -> None:
    file = repository.folder / f"teams/{team // 100:02}/{team:04}/headwater.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(yaml.dump(document, Dumper=yaml.CSafeDumper, sort_keys=False))


def _document(team: int, manifests: int) -> dict[str, Any]:
    """50 assets: 1 + 30 columns, 1 + 12 features, a job, a model, a version, a deployment and two consumers."""
    name = f"team{team:04}"
    other = f"team{(team * 7 + 1) % manifests:04}"
    uses = f"deployment:{other}/scores" if team % 3 == 0 and manifests > 1 else "scores"
    columns = [{"name": f"c{number}", "type": "double", "nullable": True} for number in range(COLUMNS)]
    features = [
        {"name": f"f{number}", "type": "double", "derived_from": f"orders#c{number}", "definition": f"c{number} / 2"}
        for number in range(FEATURES)
    ]
    inputs = [{"name": f"f{number}", "type": "double", "feature": f"customer:f{number}"} for number in range(FEATURES)]
    return {
        "version": 1,
        "namespace": name,
        "datasets": [{"name": "orders", "owners": [name], "columns": columns}],
        "feature_views": [{"name": "customer", "entities": ["customer"], "source": "orders", "features": features}],
        "jobs": [{"name": "train", "inputs": [f"customer:f{number}" for number in range(FEATURES)]}],
        "models": [{"name": "m"}],
        "model_versions": [{"model": "m", "version": "1", "signature": {"inputs": inputs}}],
        "deployments": [{"name": "scores", "tier": 1 + team % 4, "serves": "m#1"}],
        "consumers": [
            {"name": "shop", "type": "service", "uses": [uses]},
            {"name": "board", "type": "dashboard", "uses": ["scores"]},
        ],
    }
