"""Real Feast repositories: what is imported is compared with what Feast lists, and with how it says that hangs together."""

import json
import math
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from graph.keys import AssetKey, AssetKind
from tests.interop.holding import Holding
from tests.interop.mlflow_server import ROOT, environment, mlflow_server
from tests.repository import HEADWATER
from tests.service import running_service

pytestmark = pytest.mark.timeout(600)

FEAST = ROOT / ".interop/feast/bin"
WAREHOUSE = "snowflake://shop-eu"

Report = dict[str, Any]


class World(Holding):
    """A service, and who works with it and with Feast."""

    def __init__(self, folder: Path, service: str) -> None:
        super().__init__(service)
        self.folder = folder

    def repository(self, name: str, *options: str) -> Path:
        """As `feast init` makes one."""
        self.feast(self.folder, "init", *options, name)
        return self.folder / name / "feature_repo"

    def feast(self, folder: Path, *arguments: str) -> str:
        return self.run([FEAST / "feast", *arguments], folder)

    def report(self, repository: Path) -> Report:
        told = self.run([FEAST / "python", ROOT / "tests/interop/feast_report.py"], repository)
        report: Report = json.loads(told)
        return report

    def imported(self, *arguments: str | Path) -> dict[str, Any]:
        command = [HEADWATER, "import", "feast", *arguments, "--namespace", WAREHOUSE, "--output", "json"]
        told: dict[str, Any] = json.loads(self.run(command, self.folder))
        return told

    def run(self, command: list[Any], folder: Path) -> str:
        given = environment(self.folder) | {"HEADWATER_URL": self.service}
        given["PATH"] = f"{FEAST}:{given['PATH']}"
        ended = subprocess.run(command, cwd=folder, env=given, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    if not FEAST.exists():
        pytest.fail("the environment is missing: make .interop/feast/installed")
    with running_service(f"sqlite:///{tmp_path}/lineage.db") as service:
        yield World(tmp_path, service)


def test_of_the_repository_that_feast_makes_all_is_imported(world: World) -> None:
    shop = world.repository("shop")
    world.feast(shop, "apply")
    report = world.report(shop)
    first = world.imported(shop)
    data = f"dataset:file/{quote(str(shop), safe='')}%2Fdata%2F"
    places = {
        "driver_hourly_stats_source": f"{data}driver_stats.parquet",
        "driver_quality_labels_batch": f"{data}driver_quality_labels.parquet",
    }
    _compare(world, report, places)
    again = world.imported(shop)
    assert (again["changed"], again["revision"]) == (False, first["revision"])
    assert again["taken"] == first["taken"] is not None

    definitions = shop / "feature_definitions.py"
    text = definitions.read_text()
    start, end = text.index("driver_activity_v3 = "), text.index("# --- Label Views ---")
    definitions.write_text(text[:start] + text[end:])
    world.feast(shop, "apply")
    after = world.report(shop)
    assert report["services"].keys() - after["services"].keys() == {"driver_activity_v3"}
    changed = world.imported(shop)
    assert (changed["added"], changed["updated"], changed["withdrawn"] > 0) == (0, 0, True)
    assert changed["taken"] > first["taken"]
    _compare(world, after, places)

    dump = world.folder / "dump.json"
    dump.write_text(world.feast(shop, "registry-dump"))
    from_dump = world.imported(dump)
    assert from_dump["taken"] is None
    # A dump does not say where the repository is, nor thus its files: they have their names alone.
    assert (from_dump["assets"] + len(places), from_dump["flows"]) == (changed["assets"], changed["flows"])


def test_sources_and_views_of_every_kind_are_imported(world: World) -> None:
    many = world.repository("many", "-m")
    shutil.copy(ROOT / "tests/interop/feast_definitions.py", many / "definitions.py")
    store = many / "feature_store.yaml"
    store.write_text(store.read_text().replace("/path/to/", "data/"))
    world.feast(many, "apply", "--skip-source-validation")
    report = world.report(many)
    world.imported(many)
    places = {
        "accounts_file": "dataset:s3%3A%2F%2Flake/accounts%2Fall.parquet",
        "bq": "dataset:bigquery/lake.shop.orders",
        "sf": "dataset:snowflake%3A%2F%2Fshop-eu/LAKE.SHOP.ORDERS",
        "rs": "dataset:snowflake%3A%2F%2Fshop-eu/lake.shop.orders",
        "clicks": "dataset:kafka%3A%2F%2Fbroker%3A9092/shop.clicks",
        "clicks_file": "dataset:gs%3A%2F%2Flake/clicks",
        "taps": "dataset:kinesis%3A%2F%2Feu-central-1/taps",
        "taps_file": "dataset:file/%2Flake%2Ftaps.parquet",
    }
    _compare(world, report, places)
    file, view = places["accounts_file"].replace("dataset", "column"), "many/accounts"
    assert world.into(f"feature:{view}#age") == {f"{file}#acct_age"}
    assert world.into(f"feature_view:{view}") == {
        places["accounts_file"],
        *(f"{file}#{name}" for name in ("customer_id", "ts", "created")),
    }
    assert {each for each in world.into("feature_view:many/clicks_counted") if each.startswith("column")} == set()

    # Feast's own events name the same views, and the sources by what they are known as too.
    views, features, datasets = world.held("FEATURE_VIEW"), world.held("FEATURE"), world.held("DATASET")
    into = {each: world.into(each) for each in (*views, *features)}
    store.write_text(f"{store.read_text()}\nopenlineage:\n{_OPENLINEAGE.format(service=world.service)}")
    world.feast(many, "apply", "--skip-source-validation")
    jobs = {
        "job:many/feast_feature_views_many",
        "job:many/feature_service_checkout",
        "job:many/feature_service_accounts",
    }
    _wait_until(lambda: world.held("JOB").keys() >= jobs)
    assert world.held("FEATURE_VIEW").keys() == views.keys()
    assert world.held("FEATURE").keys() - features.keys() == {"feature:many/checkout#total"}, "of two, told apart here"
    for asset, sources in into.items():
        assert world.into(asset) - sources <= jobs, asset
    assert world.held("DATASET").keys() == datasets.keys()


_OPENLINEAGE = """
  enabled: true
  transport_type: http
  transport_url: {service}
  transport_endpoint: api/v1/lineage
"""


def _wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def _compare(world: World, report: Report, places: dict[str, str]) -> None:
    """`places`: the keys of sources that lie somewhere, by their names; all others are of the project."""
    project = report["project"]

    def key(kind: AssetKind, name: str, *part: str) -> str:
        return str(AssetKey.of(kind, project, name, *part))

    def source_key(name: str) -> str:
        return places.get(name) or key(AssetKind.DATASET, name)

    def service_key(name: str) -> str:
        return key(AssetKind.FEATURE_VIEW, f"{name} (service)" if name in report["views"] else name)

    datasets = world.held("DATASET")
    named = {key(AssetKind.DATASET, name): place for name, place in places.items()}
    assert {name: datasets[name]["same_as"] for name in named} == {name: [place] for name, place in named.items()}
    assert datasets.keys() - named.keys() == {source_key(name) for name in report["sources"]}
    for name, source in report["sources"].items():
        held = datasets[source_key(name)]
        assert (held.get("description"), held.get("labels", {})) == (source["description"], source["tags"])
        assert _owner(held) == source["owner"]

    views = world.held("FEATURE_VIEW")
    features = world.held("FEATURE")
    assert views.keys() == {
        *(key(AssetKind.FEATURE_VIEW, name) for name in report["views"]),
        *map(service_key, report["services"]),
    }
    expected: dict[str, str | None] = {}
    relations = set()
    for name, view in report["views"].items():
        view_key = key(AssetKind.FEATURE_VIEW, name)
        held = views[view_key]
        assert held["feast_type"] == view["kind"]
        assert (held.get("description"), held.get("labels", {})) == (view["description"], view["tags"])
        assert _owner(held) == view["owner"]
        assert held.get("ttl", 0) == math.ceil(view["ttl"])
        assert view["online"] is None or held["online"] == view["online"]
        assert held["entities"] == view["entities"]
        details = {each["name"]: each for each in held.get("entity_details", ())}
        for entity in view["entities"]:
            told = report["entities"][entity]
            assert (details[entity]["join_key"], details[entity].get("description")) == (
                told["join_key"],
                told["description"],
            )
        expected |= {key(AssetKind.FEATURE, name, each): type_ for each, type_ in view["features"].items()}
        into = {each for each in world.into(view_key) if each.startswith("dataset:")}
        relations |= {(each, view_key) for each in into}
        if view["sources"]:  # views on demand have other views, and what a request carries
            assert into == {source_key(each) for each in view["sources"]}
    for name, service in report["services"].items():
        called = [feature for _, _, feature in service["features"]]
        chosen = {}
        for view_name, alias, feature in service["features"]:
            part = feature if called.count(feature) == 1 else f"{alias}__{feature}"
            service_feature = str(AssetKey.parse(service_key(name)).part_key(part))
            chosen[service_feature] = key(AssetKind.FEATURE, view_name, feature)
        expected |= dict.fromkeys(chosen)
        assert {each: world.into(each) for each in chosen} == {each: {source} for each, source in chosen.items()}
        held = views[service_key(name)]
        assert (held.get("description"), held.get("labels", {})) == (service["description"], service["tags"])
        assert _owner(held) == service["owner"]
    assert {each: held.get("type") for each, held in features.items()} == expected

    # What Feast says of how it hangs together. It does not list what a view takes from a push or a stream.
    for feature in features:
        target = AssetKey.parse(feature).container
        for source in map(AssetKey.parse, world.into(feature)):
            assert source.container is not None
            relations.add((str(source.container), str(target)))
    told_of = {
        "dataSource": source_key,
        "featureView": lambda name: key(AssetKind.FEATURE_VIEW, name),
        "labelView": lambda name: key(AssetKind.FEATURE_VIEW, name),
        "featureService": service_key,
    }
    told_relations = set()
    for source, target in report["relationships"]:
        (kind, name), (into_kind, into_name) = source.split(":", 1), target.split(":", 1)
        if kind in told_of:
            told_relations.add((told_of[kind](name), told_of[into_kind](into_name)))
    beyond = {source_key(each) for view in report["views"].values() for each in view["sources"]}
    assert told_relations <= relations
    assert {source for source, _ in relations - told_relations} <= beyond


def _owner(held: dict[str, Any]) -> str | None:
    return held["owners"][0]["name"] if "owners" in held else None


def test_a_model_trained_on_a_feature_service_is_downstream_of_the_files_columns(world: World) -> None:
    shop = world.repository("shop")
    world.feast(shop, "apply")
    with mlflow_server(world.folder) as server:
        store = shop / "feature_store.yaml"
        store.write_text(f"{store.read_text()}\nmlflow: {{enabled: true, tracking_uri: '{server}'}}\n")
        told = world.run([FEAST / "python", ROOT / "tests/interop/feast_training.py"], shop)
        noted = json.loads(told.splitlines()[-1])
        world.imported(shop)
        world.run([HEADWATER, "import", "mlflow", server], world.folder)
    references = [each.split(":") for each in noted["tags"]["feast.feature_refs"].split(",")]
    assert noted["version_tags"]["feast.feature_service"] == "driver_activity_v1"
    (run,) = world.held("RUN")
    version = "model_version:default/trips#1"
    assert world.into(version) == {run}
    assert world.into(run) == {
        "feature_view:shop/driver_activity_v1",
        *(str(AssetKey.of(AssetKind.FEATURE, "shop", view, feature)) for view, feature in references),
    }
    (signature,) = [each["signature"] for key, each in world.held("MODEL_VERSION").items() if key == version]
    assert {each["name"]: each["feature"] for each in signature["inputs"]} == {
        "conv_rate": "feature:shop/driver_hourly_stats#conv_rate",
        "conv_rate_plus_val1": "feature:shop/transformed_conv_rate#conv_rate_plus_val1",
    }
    column = f"column:file/{quote(str(shop), safe='')}%2Fdata%2Fdriver_stats.parquet"
    assert version in world.around(f"{column}#conv_rate", "DOWNSTREAM")
    upstream = world.around(version, "UPSTREAM")
    assert upstream >= {
        f"{column}#conv_rate",
        "column:shop/vals_to_add#val_to_add",
        "feature_view:shop/driver_activity_v1",
    }
    assert not any("driver_quality_labels" in each or "driver_hourly_stats_fresh" in each for each in upstream)
