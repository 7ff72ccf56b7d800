"""`headwater impact|lineage --with`: today and the plan side by side, for people and machines."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest
import yaml
from headwater import Client
from headwater.cli import app
from typer.testing import CliRunner

from tests.service import running_service


class Run(Protocol):
    def __call__(self, *arguments: str, code: int = 0) -> str: ...


AMOUNT = "column:shop/orders#amount"
TODAY = """
version: 1
namespace: shop
datasets: [{name: orders, columns: [{name: amount}]}, {name: day, derived_from: orders#amount}]
models: [{name: fraud}]
model_versions: [{model: fraud, version: "1"}]
consumers: [{name: report, uses: day}, {name: old, uses: orders#amount}]
"""
PLAN = """
version: 1
namespace: shop
datasets: [{name: orders, columns: [{name: amount}]}, {name: day, derived_from: orders#amount}]
models: [{name: fraud}]
model_versions: [{model: fraud, version: "1"}]
consumers: [{name: report, uses: [day, orders#amount]}, {name: new, uses: day, owners: ["[bold]sales"]}]
"""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("simulating")
    with running_service(f"sqlite:///{folder / 'headwater.db'}", data=folder) as address:
        with Client(address) as client:
            client.apply([{"path": "headwater.yaml", "content": yaml.safe_load(TODAY)}])
        yield address


@pytest.fixture
def run(service: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HEADWATER_URL", service)
    monkeypatch.setenv("COLUMNS", "120")
    Path("headwater.yaml").write_text(PLAN)

    def answered(*arguments: str, code: int = 0) -> str:
        ended = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
        assert ended.exit_code == code, ended.output
        return ended.output

    return answered


def test_people_see_what_comes_what_goes_and_what_is_nearer(run: Run) -> None:
    shown = run("impact", AMOUNT, "--with", "headwater.yaml")
    assert f"With the plan, downstream of {AMOUNT}: 1 more, 1 no more, 1 otherwise." in " ".join(shown.split())
    assert "consumer:shop/new" in shown
    assert "[bold]sales" in shown
    assert "Nothing was applied." in shown


def test_machines_get_all_of_it(run: Run) -> None:
    found = json.loads(run("impact", AMOUNT, "--with", ".", "--output", "json"))
    assert found["plan"] == {"added": 3, "updated": 0, "withdrawn": 2}
    assert (found["today"]["total"], found["withPlan"]["total"]) == (3, 3)
    assert [(each["key"], each["planned"], each["owners"]) for each in found["added"]] == [
        ("consumer:shop/new", True, ["[bold]sales"])
    ]
    assert [(each["key"], each["removed"], each["after"]) for each in found["removed"]] == [
        ("consumer:shop/old", True, None)
    ]
    (changed,) = found["changed"]
    assert (changed["key"], changed["before"]["hops"], changed["after"]["hops"]) == ("consumer:shop/report", 2, 1)
    same = yaml.safe_load(run("lineage", "consumer:shop/new", "--up", "--with", "headwater.yaml", "-o", "yaml"))
    assert same["today"] is None
    assert len(same["added"]) == same["withPlan"]["total"] == 3


def test_it_can_be_drawn_and_put_into_markdown(run: Run) -> None:
    drawn = run("lineage", AMOUNT, "--with", "headwater.yaml", "-o", "mermaid")
    assert drawn.startswith("flowchart LR")
    assert "consumer new" in drawn
    assert "consumer old" in drawn
    assert "stroke-dasharray" in drawn
    text = run("impact", AMOUNT, "--with", "headwater.yaml", "-o", "markdown")
    assert "| comes | `consumer:shop/new` |" in text


def test_what_is_wrong_with_the_plan_or_the_question_is_told(run: Run) -> None:
    assert "without --at" in run("impact", AMOUNT, "--with", "headwater.yaml", "--at", "2026-01-01", code=2)
    assert "there is no other.yaml" in run("impact", AMOUNT, "--with", "other.yaml", code=2)
    Path("headwater.yaml").write_text("{version: 1, datasets: [{nam: x}]}")
    assert "headwater.yaml: datasets[0].nam" in run("impact", AMOUNT, "--with", "headwater.yaml", code=2)
