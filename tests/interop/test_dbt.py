"""dbt's own selector as the oracle: what it lists around each node of a project, our lineage answers too.

A project's manifest is loaded as a user would load it, as one import over HTTP, which replaces the one before. What dbt lists is compared asset by asset: a
seed and a source that are one table are one asset here, and tests are none.
"""

import json
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import httpx
import pytest

from graph.keys import AssetKind
from tests.interop.dbt_project import MODELS, write_project
from tests.real_manifests import real_manifests
from tests.said import said_by_dbt
from tests.service import running_service

ROOT = Path(__file__).parents[2]
DBT = ROOT / ".interop/dbt/bin"
OLDEST = 5
"""The oldest schema version of a manifest that this dbt still reads with its tests."""

WAREHOUSE = "warehouse"
TESTS = ("test.", "unit_test.")

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
    manifests = [path for path in real_manifests() if _schema_version(path) >= OLDEST]
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


@pytest.mark.timeout(300)
def test_columns_have_the_types_that_dbt_finds_in_the_warehouse(http: httpx.Client, tmp_path: Path) -> None:
    files = {
        "dbt_project.yml": "{name: shop_types, version: 1.0.0, profile: shop}",
        "profiles.yml": "{shop: {target: dev, outputs: {dev: {type: duckdb, path: shop.duckdb}}}}",
        "seeds/raw.csv": "id,paid,total\n1,true,9.5\n",
        "models/orders.sql": "{{ config(materialized='table') }} select id as Order_Id, total, [paid] as paid from {{ ref('raw') }}",
        "models/orders.yml": "models: [{name: orders, columns: [{name: order_id, description: Its number}]}]",
        "snapshots/kept.yml": "snapshots: [{name: kept, relation: ref('orders'), config: {unique_key: order_id, strategy: check, check_cols: all}}]",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    _dbt(tmp_path, "build")
    _dbt(tmp_path, "docs", "generate")
    document = {name: json.loads((tmp_path / f"target/{name}.json").read_text()) for name in ("manifest", "catalog")}
    found = {
        f"{node['metadata']['schema']}.{node['metadata']['name']}#{column['name']}": column["type"]
        for node in document["catalog"]["nodes"].values()
        for column in node["columns"].values()
    }
    said = {each.key: each.attributes for each in said_by_dbt(document, namespace=WAREHOUSE).assets if each.key.path}
    types = {f"{key.name.partition('.')[2]}#{key.part}": attributes["type"] for key, attributes in said.items()}
    assert types == found
    assert len(types) > 8
    (described,) = [attributes for key, attributes in said.items() if "description" in attributes]
    assert described["description"] == "Its number", "whatever the case that the warehouse has it in"
    _load(http, document)


LS = (
    *("ls", "--indirect-selection", "empty", "--resource-type", "all"),
    *("--output", "json", "--output-keys", "unique_id"),
)


def _compare(http: httpx.Client, manifest: Path, listed: Listed) -> None:
    document = {"manifest": json.loads(manifest.read_text())}
    assert {name for name, _, _ in listed} == document["manifest"]["parent_map"].keys()
    wanted = [name for name, _, _ in listed if not name.startswith(TESTS)]
    assets = _assets(document)
    assert sorted(name for names in assets.values() for name in names) == sorted(wanted)
    revision = _load(http, document)
    for direction, around in (("UPSTREAM", _all_above(listed)), ("DOWNSTREAM", _all_below(listed))):
        for asset, names in assets.items():
            expected = _listed_around(names, around, assets)
            told = _around(http, asset, direction, revision)
            assert told == sorted(expected - {asset}), f"{direction} of {asset} in {manifest}"


def _assets(document: object) -> dict[str, list[str]]:
    """By the text of its key, the nodes of dbt that are this asset."""
    said = said_by_dbt(document, namespace=WAREHOUSE).assets
    return {
        str(each.key): _texts(each.attributes["dbt_nodes"]) for each in said if each.key.kind is not AssetKind.COLUMN
    }


def _texts(value: object) -> list[str]:
    assert isinstance(value, list)
    return [str(each) for each in value]


def _all_above(listed: Listed) -> dict[str, list[str]]:
    return {name: above for name, above, _ in listed}


def _all_below(listed: Listed) -> dict[str, list[str]]:
    return {name: below for name, _, below in listed}


def _listed_around(
    names: Sequence[str], around: Mapping[str, Sequence[str]], assets: Mapping[str, Sequence[str]]
) -> set[str]:
    """The assets of all that dbt lists around the nodes, and around what is one asset with what it lists, and so on."""
    asset_of = {name: asset for asset, members in assets.items() for name in members}
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        for other in around[waiting.pop()]:
            asset = asset_of.get(other)
            if asset is not None and asset not in found:
                found.add(asset)
                waiting += assets[asset]
    return found


def _load(http: httpx.Client, document: object) -> int:
    """The revision from which all of it can be read."""
    loaded = http.post("/api/v1/imports/dbt", params={"namespace": WAREHOUSE, "force": "true"}, json=document)
    assert loaded.status_code == 200, loaded.text
    revision: int = loaded.json()["revision"]
    return revision


def _around(http: httpx.Client, asset: str, direction: str, revision: int) -> list[str]:
    asked: dict[str, str | int] = {"start": asset, "direction": direction, "atLeastRevision": revision}
    answer = http.get("/api/v1/lineage.json", params=asked)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert told["complete"]
    return sorted(text for text in told["columns"]["key"] if not text.startswith("column:"))


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
