"""What the command line draws, read by Mermaid itself: names come through as they are, whatever they hold."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from headwater.forms import label, mermaid

FOLDER = Path(__file__).parent / "mermaid"

NAMES = [
    "plain",
    'a "quoted" name',
    "[square] (round) {curly} <angle>",
    "pipe | and || pipes",
    "back`tick` and `**bold**`",
    "#35; #quot; & &amp; ; #",
    "%% no comment",
    "%%{init: {'theme': 'dark'}}%%",
    "$$x^2$$ and $HOME",
    "back\\slash \\n",
    "<br/><script>alert(1)</script>",
    'x"] --> n1["y',
    "end",
    "1. a list",
    "- a list",
    "*stars* ~tildes~ __low__",
    "click href call style classDef subgraph",
    "日本語 ünïcödé 🦉",
    "اسم عربي",
    "@{ shape: rect }",
    "long " * 60 + "name",
]


@pytest.fixture(scope="module", autouse=True)
def installed() -> None:
    if shutil.which("node") is None:
        pytest.fail("node is missing: apt-get install nodejs, 20.19 or later")
    if not (FOLDER / "node_modules").is_dir():
        pytest.fail("Mermaid is missing: make tests/interop/mermaid/node_modules/.package-lock.json")


def read(text: str) -> dict[str, Any]:
    ended = subprocess.run(
        ["node", "parse.mjs"], cwd=FOLDER, input=text, capture_output=True, text=True, timeout=100, check=False
    )
    assert ended.returncode == 0, text + ended.stderr
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


def test_names_come_through() -> None:
    tables = [f"dataset:w/{quote(name, safe='')}" for name in NAMES]
    columns = [
        f"column:{table.partition(':')[2]}#{quote(name, safe='')}" for table, name in zip(tables, NAMES, strict=True)
    ]
    consumers = [f"consumer:w/{quote(name, safe='')}" for name in NAMES]
    arrows = [
        (column, consumer, bool(place % 2))
        for place, (column, consumer) in enumerate(zip(columns, consumers, strict=True))
    ]
    found = read(mermaid([*columns, *consumers], arrows, columns[:1]))
    assert [*found["nodes"].values()] == [*map(label, [*columns, *consumers])]
    assert [*found["boxes"].values()] == [*map(label, tables)]
    assert [stroke for _, _, stroke in found["arrows"]] == ["dotted" if built else "normal" for _, _, built in arrows]


def test_a_container_that_flows_itself_stands_in_its_own_box() -> None:
    keys = ["dataset:w/t", "column:w/t#a", "consumer:w/c"]
    found = read(mermaid(keys, [(keys[1], keys[0], False), (keys[0], keys[2], False)]))
    assert sorted(found["nodes"].values()) == ["column t.a", "consumer c", "dataset t"]
    assert [*found["boxes"].values()] == ["dataset t"]
    assert len(found["arrows"]) == 2


def test_nothing_but_the_start_is_a_drawing_too() -> None:
    assert read(mermaid(["dataset:w/t"], [], ["dataset:w/t"]))["nodes"] == {"n0": "dataset t"}
