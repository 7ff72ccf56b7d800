"""A repository whose SQL, Feast definitions and Python functions say what it holds: the check reads them, and runs none."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.repository import Repository
from tests.service import running_service

pytestmark = pytest.mark.timeout(300)

MANIFEST = {
    "version": 1,
    "namespace": "shop",
    "sources": [
        {"format": "sql", "files": ["etl/*.sql"], "dialect": "duckdb"},
        {"format": "feast", "files": "features", "namespace": "shop"},
    ],
    "datasets": [{"name": "raw", "columns": [{"name": "id"}, {"name": "amount", "type": "double"}]}],
    "feature_views": [
        {
            "name": "spending",
            "features": [
                {
                    "name": "cents",
                    "definition": {"file": "code/spending.py", "function": "cents"},
                    "derived_from": "dataset:shop/clean",
                }
            ],
        }
    ],
    "deployments": [
        {"name": "by-feast", "reads": ["feature:orders/daily#amount"]},
        {"name": "by-function", "reads": ["spending:cents"]},
    ],
}
SQL = "create or replace view clean as\nselect id, amount as amount from raw\n"
PYTHON = "RATE = 100\n\ndef cents(row):\n    return row['amount'] * RATE\n"
FEAST = """
from feast import Entity, FeatureView, Field, SnowflakeSource
from feast.types import Float64

AMOUNT = "amount"
raise_if_run = 1 / 0
customer = Entity(name="customer", join_keys=["id"])
clean = SnowflakeSource(name="clean", table="clean", timestamp_field="at")
daily = FeatureView(name="daily", entities=[customer], schema=[Field(name=AMOUNT, dtype=Float64)], source=clean)
"""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("store")
    with running_service(f"sqlite:///{folder}/store.db", data=folder / "data") as address:
        yield address


@pytest.fixture
def repository(address: str, tmp_path: Path) -> Repository:
    made = Repository.made(tmp_path / "repository", address)
    for path, text in (
        ("headwater.yaml", yaml.safe_dump(MANIFEST)),
        ("etl/clean.sql", SQL),
        ("code/spending.py", PYTHON),
        ("features/feature_store.yaml", "project: orders\n"),
        ("features/views.py", FEAST),
    ):
        (made.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (made.folder / path).write_text(text)
    made.git("add", "--all")
    made.git("commit", "--quiet", "--message", "Declare")
    applied = made.headwater("apply")
    assert applied.returncode == 0, applied.stdout + applied.stderr
    made.git("checkout", "--quiet", "-b", "change")
    return made


def _check(repository: Repository) -> tuple[int, dict[str, Any]]:
    ended = repository.headwater("check", "--output", "json")
    assert ended.stdout, ended.stderr
    checked: dict[str, Any] = json.loads(ended.stdout)
    return ended.returncode, checked


def _affected(checked: dict[str, Any]) -> dict[str, str]:
    return {each["asset"]["title"]: each["verdict"] for each in checked["affected"]}


def test_nothing_changed_is_clean(repository: Repository) -> None:
    code, checked = _check(repository)
    assert (code, checked["total"]) == (0, 0)


def test_a_column_that_sql_no_longer_selects_breaks_who_reads_it_by_feast_and_by_functions(
    repository: Repository,
) -> None:
    (repository.folder / "etl/clean.sql").write_text(SQL.replace("amount as amount", "amount as total"))
    code, checked = _check(repository)
    assert code == 1, checked
    assert _affected(checked) == {"by-feast": "BREAKING", "by-function": "BREAKING"}


def test_a_constant_that_a_function_needs_changes_what_it_computes(repository: Repository) -> None:
    (repository.folder / "code/spending.py").write_text(PYTHON.replace("RATE = 100", "RATE = 1000"))
    code, checked = _check(repository)
    assert code == 3
    assert _affected(checked) == {"by-function": "BEHAVIOURAL"}


def test_a_type_of_a_feast_feature_is_read_from_its_definition(repository: Repository) -> None:
    (repository.folder / "features/views.py").write_text(FEAST.replace("Float64", "String"))
    _, checked = _check(repository)
    assert _affected(checked)["by-feast"] == "BREAKING"


def test_sql_that_cannot_be_read_is_no_error_of_the_check(repository: Repository) -> None:
    (repository.folder / "etl/more.sql").write_text("create table other as select frm where ((")
    code, checked = _check(repository)
    assert code in {0, 3}, checked
