"""What the reading commands show people and give machines, of a real lineage in a real service."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from graphql import build_schema, parse, validate
from headwater import Client, asked, watched
from headwater.cli import app
from rich.cells import cell_len
from typer.testing import CliRunner

from tests.clients.world import AMOUNT, CHECKOUT, HARD, ORDERS, REPORT, SCORES, TOTAL, VERSION, told
from tests.service import ROOT, free_port, running_service

GOLDEN = Path(__file__).parents[1] / "golden"

READING = [
    ("lineage", ORDERS),
    ("lineage", CHECKOUT, "--up"),
    ("impact", AMOUNT),
    ("path", AMOUNT, CHECKOUT),
    ("search", "orders"),
    ("consumers", SCORES),
]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_service(f"sqlite:///{tmp_path_factory.mktemp('store')}/store.db") as address:
        told(address)
        yield address


@pytest.fixture(autouse=True)
def settings(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADWATER_URL", address)
    monkeypatch.delenv("HEADWATER_TOKEN", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "80")


def headwater(*arguments: str, code: int = 0) -> str:
    """What it tells: where it answers its answer, else what went wrong."""
    ended = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert ended.exit_code == code, ended.output
    return ended.stdout if code == 0 else ended.stderr


def shown(text: str) -> str:
    """Without what a run does not repeat, and the spaces that fill a column."""
    return "".join(
        f"{line.rstrip()}\n" for line in re.sub(r"revision \d+", "revision N", text, flags=re.IGNORECASE).splitlines()
    )


def keys(document: dict[str, Any]) -> list[str]:
    return [asset["key"] for asset in document["assets"]]


def test_pages_for_people() -> None:
    pages = [("lineage", ORDERS), ("impact", AMOUNT), ("path", AMOUNT, CHECKOUT), ("search", "orders")]
    text = "\n".join(f"$ headwater {' '.join(page)}\n{shown(headwater(*page))}" for page in pages)
    assert text == (GOLDEN / "cli.txt").read_text()


@pytest.mark.parametrize("command", READING, ids=" ".join)
@pytest.mark.parametrize("width", [80, 120])
def test_lines_fit_the_terminal_and_say_all_without_colours(
    command: tuple[str, ...], width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    plain = headwater(*command)
    assert "\x1b" not in plain
    lines = [line for line in plain.splitlines() if "revision" not in line]
    assert max(map(cell_len, lines)) <= width
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    coloured = headwater(*command)
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]", coloured)
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == plain


@pytest.mark.parametrize("command", READING, ids=" ".join)
def test_yaml_says_what_json_says(command: tuple[str, ...]) -> None:
    document = json.loads(headwater(*command, "--output", "json"))
    assert document["version"] == 1
    same = yaml.load(headwater(*command, "--output", "yaml"), yaml.BaseLoader)
    assert same.keys() == document.keys()
    markdown = headwater(*command, "--output", "markdown")
    assert "| --- |" in markdown
    assert "\x1b" not in markdown


def test_what_is_stored_steers_no_terminal() -> None:
    assert "\x1b" not in headwater("search", "orders")
    assert "All orders\ufffd[2J of the" in " ".join(headwater("search", "orders").split())
    assert json.loads(headwater("search", "orders", "-o", "json"))["assets"][0]["owners"][0]["name"] == "data-platform"


def test_lineage_takes_directions_depth_filters_and_times(address: str) -> None:
    def asked(*arguments: str) -> list[str]:
        return keys(json.loads(headwater("lineage", *arguments, "-o", "json")))

    assert asked(AMOUNT, "--depth", "1", "--kind", "feature") == [TOTAL]
    assert asked(CHECKOUT, "--up", "--kind", "dataset", "--kind", "model-version") == [VERSION, ORDERS]
    assert asked(SCORES, "--owner", "checkout-team") == [CHECKOUT]
    assert asked(AMOUNT, "--timing", "live", "--kind", "model_version") == []
    assert asked(AMOUNT, "--tier", "1") == [SCORES]
    before = json.loads(headwater("lineage", ORDERS, "-o", "json"))["revision"]
    with Client(address) as client:
        client.register({"consumers": [{"namespace": "shop", "name": "late", "uses": [SCORES]}]}, origin="test:late")
    assert "consumer:shop/late" in asked(SCORES)
    assert "consumer:shop/late" not in asked(SCORES, "--known-at", str(before))
    assert "was not there" in headwater("lineage", SCORES, "--at", "2020-01-01", code=2)
    with Client(address) as client:
        client.register({"complete": True}, origin="test:late")


def test_machines_get_all_and_people_the_nearest() -> None:
    text = headwater("lineage", ORDERS, "--limit", "2")
    assert "10 assets downstream, the nearest 2 of them shown" in text
    assert len(keys(json.loads(headwater("lineage", ORDERS, "--limit", "2", "-o", "json")))) == 10


def test_nothing_is_an_answer() -> None:
    assert headwater("lineage", REPORT).startswith(f"Nothing is downstream of {REPORT}.")
    assert headwater("lineage", ORDERS, "--kind", "alert").startswith(
        f"None of the 10 assets downstream of {ORDERS} is what was asked for."
    )
    assert headwater("impact", REPORT).startswith(f"Nothing is downstream of {REPORT}.")
    assert "One leads the other way, over 3 flows." in headwater("path", CHECKOUT, AMOUNT)
    assert headwater("search", "nowhere") == "Nothing matches 'nowhere'.\n"
    assert headwater("consumers", REPORT).startswith("0 consumers;")


def test_impact_names_who_must_be_told() -> None:
    document = json.loads(headwater("impact", AMOUNT, "-o", "json"))
    assert {(each["name"], *each["assets"]) for each in document["owners"]} == {
        ("checkout-team", CHECKOUT),
        ("risk-ml", SCORES),
        (None, REPORT),
    }
    assert {"kind": "model_version", "when": "NEXT_TRAINING", "count": 1} in document["counts"]
    assert sum(each["count"] for each in document["counts"]) == document["total"]


def test_a_path_comes_with_its_evidence() -> None:
    document = json.loads(headwater("path", AMOUNT, REPORT, "-o", "json"))
    [path] = document["paths"]
    assert [(hop["target"]["id"], hop["basis"], hop["origins"]) for hop in path["hops"]] == [
        (HARD, "DECLARED", ["test:world"]),
        (REPORT, "DECLARED", ["test:world"]),
    ]
    assert document["count"]["total"] == "1"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("lineage", "dataset:no/where"), "dataset:no/where is not registered"),
        (("lineage", "nonsense"), "'nonsense' is not an asset key"),
        (("impact", ORDERS, "--kind", "table"), "'table' is not one of dataset, column"),
        (("impact", ORDERS, "--at", "soon"), "'soon' is no time, like 2026-11-24"),
        (("path", ORDERS, CHECKOUT, "--first", "0"), "greater than or equal to 1"),
        (("search", "x", "--output", "mermaid"), "'mermaid' is not one of 'text', 'json', 'yaml', 'markdown'"),
        (("lineage", ORDERS, "--known-at", "999999"), "999999"),
    ],
)
def test_what_is_wrong_is_told(arguments: tuple[str, ...], told: str) -> None:
    assert told in " ".join(headwater(*arguments, code=2).replace("│", " ").split())


def test_a_service_that_is_not_there_ends_with_4() -> None:
    assert "cannot reach" in headwater("impact", ORDERS, "--url", f"http://127.0.0.1:{free_port()}", code=4)
    assert "is not the address of a service" in headwater("impact", ORDERS, "--url", "localhost:8321", code=4)


def test_one_asset_is_registered_from_options_and_a_dry_run_changes_nothing() -> None:
    new = "column:warehouse/orders#price%2Fx.net"
    assert "+ column:warehouse/orders#price%2Fx.net" in headwater(
        "register", new, "--type", "double", "--from", AMOUNT, "--dry-run"
    )
    assert "is not registered" in headwater("lineage", new, code=2)
    said = (
        "--owner",
        "prices=#prices",
        "--tag",
        "net",
        "--tier",
        "2",
        "--attribute",
        'unit="EUR"',
        "--attribute",
        "note=a b",
    )
    headwater("register", new, "--type", "double", "--from", AMOUNT, *said, "--origin", "test:register")
    assert "Nothing changed" in headwater(
        "register", new, "--type", "double", "--from", AMOUNT, *said, "--origin", "test:register"
    )
    [found] = json.loads(headwater("search", "prices", "-o", "json"))["assets"]
    assert (found["id"], found["owners"], found["tier"]) == (new, [{"name": "prices", "contact": "#prices"}], 2)
    assert "holds no mapping" in headwater("register", "--file", "-", code=2)


def test_a_document_is_registered(tmp_path: Path) -> None:
    file = tmp_path / "new.yaml"
    file.write_text(f"complete: true\nconsumers: [{{namespace: shop, name: by-file, uses: ['{SCORES}']}}]\n")
    done = json.loads(headwater("register", "-f", str(file), "--origin", "test:file", "-o", "json"))
    assert (done["version"], done["changed"], done["added"]) == (1, True, 2)
    assert "consumer:shop/by-file" in headwater("consumers", SCORES)
    file.write_text("complete: true\n")
    assert json.loads(headwater("register", "-f", str(file), "--origin", "test:file", "-o", "json"))["withdrawn"] == 2


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "say an asset, or a flow with --from and --to"),
        (("--tier", "1"), "say which asset this is of"),
        (("dataset:shop",), "is not the key of an asset that can be registered"),
        (("column:shop/t",), "is not the key of an asset that can be registered"),
        (("dataset:shop/t", "--type", "int"), "a dataset has no type"),
        (("dataset:shop/t", "--attribute", "unit"), "'unit' is not NAME=VALUE"),
        (("dataset:shop/t", "--file", "x"), "a document says all by itself"),
        (("--file", "missing.yaml"), "No such file"),
        (("--from", ORDERS, "--to", "dataset:no/where"), "dataset:no/where is not registered"),
    ],
)
def test_a_registration_that_cannot_be_is_told(arguments: tuple[str, ...], told: str) -> None:
    assert told in " ".join(headwater("register", *arguments, code=2).replace("│", " ").split())


@pytest.mark.parametrize("command", [("sources",), ("dependencies", "dormant"), ("unused",)], ids=" ".join)
def test_what_was_seen_comes_in_all_forms(command: tuple[str, ...]) -> None:
    document = json.loads(headwater(*command, "-o", "json"))
    assert yaml.load(headwater(*command, "-o", "yaml"), yaml.BaseLoader).keys() == document.keys()
    assert headwater(*command, "-o", "markdown").count("\n") == 2 + len(document[command[0]])


def test_what_is_asked_is_valid_in_the_schema() -> None:
    schema = build_schema((ROOT / "app" / "graphql" / "schema.graphql").read_text())
    texts = [
        text for module in (asked, watched) for text in vars(module).values() if isinstance(text, str) and "{" in text
    ]
    texts = [text for text in texts if re.match(r"\s*(query|mutation|subscription)\b", text)]
    assert len(texts) > 10
    assert [error.message for text in texts for error in validate(schema, parse(text))] == []
