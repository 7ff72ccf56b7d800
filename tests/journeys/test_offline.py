"""A pipeline without a way to the service judges a change on an exported graph, and gets what the service would say."""

import gzip
import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from headwater import Client
from headwater.cli import app
from typer.testing import CliRunner, Result

from app.compose import now
from graph.keys import AssetKey
from graph.stores.sqlite import SqliteStore
from graph.usage import Usage, day_of
from tests.clients.world import AMOUNT, CHECKOUT, MANIFEST, SCORES
from tests.repository import Repository
from tests.service import running_service

pytestmark = pytest.mark.timeout(300)

OWN = {
    "version": 1,
    "namespace": "own",
    "datasets": [
        {
            "name": "orders",
            "owners": [{"name": "data", "contact": "#data"}],
            "columns": [{"name": "amount", "type": "double"}, {"name": "note", "type": "text"}],
        },
        {"name": "view", "derived_from": "orders#amount"},
    ],
    "consumers": [{"name": "report", "uses": ["view", {"asset": "orders#amount", "cast": "double"}]}],
}
RISK = {
    "consumers": [
        {"namespace": "risk", "name": "app", "uses": ["column:own/orders#note"], "owners": [{"name": "risk"}]}
    ]
}
CHANGED = {
    "version": 1,
    "namespace": "own",
    "datasets": [{"name": "orders", "columns": [{"name": "amount", "type": "text"}]}, {"name": "view"}],
    "consumers": [{"name": "report", "uses": ["view"]}, {"name": "new", "uses": ["orders#amount"]}],
}


class Both:
    """The same command, asked of the service and of its export."""

    def __init__(self, repository: Repository, graph: Path) -> None:
        self.repository, self.graph = repository, graph

    def json(self, *arguments: str) -> tuple[dict[str, Any], dict[str, Any], set[int]]:
        """Each answer without what tells them apart: who was asked, and the instant."""
        asked = (
            self.run(*arguments, "--output", "json"),
            self.run(*arguments, "--output", "json", "--graph", str(self.graph)),
        )
        found = [json.loads(ended.stdout) for ended in asked]
        for each in found:
            for name in ("at", "service", "dormantDays"):
                each.pop(name, None)
        return found[0], found[1], {ended.exit_code for ended in asked}

    def run(self, *arguments: str) -> Result:
        return CliRunner().invoke(app, [*arguments], catch_exceptions=False)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Repository, Path]]:
    folder = tmp_path_factory.mktemp("offline")
    database = folder / "headwater.db"
    with running_service(f"sqlite:///{database}", data=folder) as address:
        with Client(address) as client:
            client.register(MANIFEST, origin="test:world")
        repository = Repository.made(folder / "repository", address)
        repository.commit(OWN)
        with Client(address) as client:
            client.apply([{"path": "headwater.yaml", "content": OWN}])
            client.register(RISK, origin="test:risk")
        store = SqliteStore(database)
        today, caller = day_of(now()), AssetKey.parse(CHECKOUT)
        for reader in (caller, None):
            counted = Usage(AssetKey.parse(SCORES), reader, reader is not None, today, 70, 1, now() - 10, now() - 5)
            store.count([counted], uuid.uuid4().hex, 1)
        store.close()
        graph = folder / "graph.jsonl.gz"
        graph.write_bytes(gzip.compress(httpx.get(f"{address}/api/v1/graph.jsonl").raise_for_status().content))
        yield repository, graph


@pytest.fixture
def both(exported: tuple[Repository, Path], monkeypatch: pytest.MonkeyPatch) -> Both:
    repository, graph = exported
    monkeypatch.chdir(repository.folder)
    monkeypatch.setenv("HEADWATER_URL", repository.address)
    repository.write(CHANGED)
    return Both(repository, graph)


def test_a_check_says_the_same(both: Both) -> None:
    online, offline, codes = both.json("check", "--base", "main")
    assert offline == online
    assert codes == {1}
    assert online["findings"]
    assert online["affected"]
    assert [each["asset"]["id"] for each in online["affected"] if each["verdict"] == "BREAKING"] == [
        "consumer:risk/app"
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        ("impact", AMOUNT),
        ("impact", AMOUNT, "--follow", "loss", "--kind", "consumer"),
        ("lineage", CHECKOUT, "--up"),
        ("lineage", AMOUNT, "--basis", "declared", "--depth", "1"),
        ("impact", "column:own/orders#amount", "--with", "headwater.yaml"),
        ("lineage", "consumer:own/new", "--up", "--with", "headwater.yaml"),
    ],
    ids=" ".join,
)
def test_other_questions_are_answered_the_same(both: Both, arguments: tuple[str, ...]) -> None:
    online, offline, codes = both.json(*arguments)
    assert offline == online
    assert codes == {0}


def test_what_is_unknown_is_refused_the_same(both: Both) -> None:
    for options in ((), ("--graph", str(both.graph))):
        ended = both.run("impact", "dataset:no/where", *options)
        assert (ended.exit_code, ended.stderr) == (2, "dataset:no/where is not registered\n")


def test_a_wrong_manifest_is_told_the_same(both: Both) -> None:
    both.repository.write(yaml.safe_dump({"version": 1, "datasets": [{"nam": "x"}]}))
    online, offline = (both.run("check", "--base", "main", *each) for each in ((), ("--graph", str(both.graph))))
    assert online.exit_code == offline.exit_code == 2
    assert online.stderr == offline.stderr


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda text: text[: len(text) // 2], "cut short"),
        (lambda text: b"".join(text.splitlines(keepends=True)[:-1]), "cut short"),
        (
            lambda text: b"".join(line for line in text.splitlines(keepends=True) if b'"assertions"' not in line[:20]),
            "not whole",
        ),
        (lambda _: b'{"start":"dataset:a/b"}\n', "no export of a graph"),
        (lambda _: b"", "empty"),
        (lambda text: text.replace(b'"headwater_graph":1', b'"headwater_graph":9'), "version 9"),
        (lambda text: gzip.compress(text)[:-20], "end-of-stream"),
    ],
)
def test_what_is_no_whole_export_is_told(both: Both, tmp_path: Path, spoil: Any, told: str) -> None:
    spoiled = tmp_path / "graph.jsonl"
    spoiled.write_bytes(spoil(gzip.decompress(both.graph.read_bytes())))
    ended = both.run("impact", AMOUNT, "--graph", str(spoiled))
    assert ended.exit_code == 2
    assert told in ended.stderr
    assert str(spoiled) in ended.stderr
