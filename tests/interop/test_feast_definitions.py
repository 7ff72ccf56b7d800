"""Feast repositories that are read without running them, beside what Feast itself makes of them."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from headwater import feast

from graph.changes import Registration
from graph.importers.feast import read_feast
from graph.importers.feast_definitions.repository import read_feast_repository
from graph.importers.told import Imported
from graph.keys import AssetKey
from graph.model import Json

pytestmark = pytest.mark.timeout(600)

HERE = Path(__file__).parent
PYTHON = HERE.parents[1] / ".interop/feast/bin/python"
APPLY = "from feast.cli.cli import cli; cli(['apply', '--skip-source-validation'])"
STORE = {
    "project": "p",
    "registry": "registry.db",
    "provider": "local",
    "online_store": {"path": "online.db"},
    "entity_key_serialization_version": 3,
}


@pytest.mark.parametrize("name", ["definitions", "awkward"])
def test_what_is_read_is_what_the_registry_says(name: str, tmp_path: Path) -> None:
    if not PYTHON.exists():
        pytest.fail("the environment is missing: make .interop/feast/installed")
    folder = tmp_path / "repository"
    if name == "awkward":
        shutil.copytree(HERE / "feast_awkward", folder)
    else:
        folder.mkdir()
        shutil.copy(HERE / "feast_definitions.py", folder)
    (folder / "feature_store.yaml").write_text(yaml.safe_dump(STORE))
    ended = subprocess.run([PYTHON, "-c", APPLY], cwd=folder, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr

    applied = feast.document(folder, None)
    registry = read_feast({"registry": applied["registry"]})
    files = [
        {"path": path.relative_to(tmp_path).as_posix(), "text": path.read_text()}
        for path in sorted(folder.rglob("*.py"))
    ]
    read = read_feast_repository({"files": files, "folder": folder.name, "store": STORE})
    assert (dict(read.unread), read.warned) == ({}, ())
    told, expected = _assets(read.registration), _assets(registry)
    # The registry holds the function alone; what it needs of its module is read, too.
    assert {each: _without_definition(said) for each, said in told.items()} == {
        each: _without_definition(said) for each, said in expected.items()
    }
    for each, said in expected.items():
        _assert_holds(told[each].get("definition"), said.get("definition"))
    assert {each.flow for each in read.registration.flows} == {each.flow for each in registry.flows}
    _assert_places(read, tmp_path)


def _assets(registration: Registration) -> dict[AssetKey, dict[str, Json]]:
    return {each.key: {**each.attributes} for each in registration.assets}


def _without_definition(said: dict[str, Json]) -> str:
    return json.dumps(_in_order({name: value for name, value in said.items() if name != "definition"}), sort_keys=True)


def _in_order(value: Json) -> Json:
    """Mappings of protocol buffers have no order, so the tags that are made of them have none."""
    if isinstance(value, dict):
        ordered: dict[str, Json] = {name: _in_order(inner) for name, inner in value.items()}
        if isinstance(tags := value.get("tags"), list):
            ordered["tags"] = [*sorted(map(str, tags))]
        return ordered
    return [*map(_in_order, value)] if isinstance(value, list) else value


def _assert_holds(read: Any, registered: Any) -> None:
    if isinstance(registered, dict) and "python" in registered:
        assert read["python"].endswith(registered["python"])
        assert read["function"] == registered["function"]
    else:
        assert read == registered


def _assert_places(read: Imported, root: Path) -> None:
    views = [each.key for each in read.registration.assets if each.attributes.get("feast_type", "").endswith("View")]  # type: ignore[union-attr]
    assert views
    for view in views:
        path, line = read.lines[view]
        text = (root / path).read_text().splitlines()[(line or 0) - 1]
        assert "View(" in text or "def " in text
