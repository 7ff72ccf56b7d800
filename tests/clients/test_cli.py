"""How `headwater` answers what is wrong on its own side: usage, git, YAML. What it finds is in tests/journeys/test_check.py."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from headwater.cli import app
from typer.testing import CliRunner

from tests.repository import HEADWATER, Repository
from tests.service import free_port

MANIFEST = {"version": 1, "namespace": "n", "datasets": [{"name": "t"}]}


class Ended(NamedTuple):
    exit_code: int
    stderr: str


Headwater = Callable[..., Ended]


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    made = Repository.made(tmp_path / "repository", f"http://127.0.0.1:{free_port()}")
    made.commit(MANIFEST)
    return made


@pytest.fixture
def headwater(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> Headwater:
    monkeypatch.chdir(repository.folder)
    monkeypatch.setenv("HEADWATER_URL", repository.address)

    def run(*arguments: str) -> Ended:
        ended = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
        return Ended(ended.exit_code, ended.stderr)

    return run


def test_the_installed_command_says_what_it_does_and_how_it_ends() -> None:
    shown = subprocess.run([HEADWATER, "check", "--help"], capture_output=True, text=True, check=True, timeout=60)
    assert "Say whom the change of the repository breaks" in shown.stdout
    assert "3 needs acknowledgement; 4 the service cannot be reached" in " ".join(shown.stdout.split())


def test_outside_a_repository_there_is_nothing_to_compare_with(
    headwater: Headwater, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    (tmp_path / "headwater.yaml").write_text("version: 1")
    ended = headwater("check")
    assert ended.exit_code == 2
    assert "not a git repository" in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("check", "--base", "nowhere"), "git knows no 'nowhere' here"),
        (("check", "--base=--output=x"), "git knows no '--output=x' here"),
        (("check", "--file", "other.yaml"), "there is no other.yaml, neither here nor at main"),
        (("check", "--file", "../outside.yaml"), "not a git repository"),
        (("check", "--file", "missing/headwater.yaml"), "there is no folder missing"),
        (("check", "--output", "xml"), "'xml' is not one of"),
        (("plan", "--file", "other.yaml"), "there is no other.yaml"),
        (("plan", "--file", "."), "there is no ."),
    ],
)
def test_wrong_usage_ends_with_2_and_says_what_is_wrong(
    headwater: Headwater, repository: Repository, arguments: tuple[str, ...], told: str
) -> None:
    (repository.folder.parent / "outside.yaml").write_text("version: 1")
    ended = headwater(*arguments)
    assert ended.exit_code == 2
    assert told in " ".join(ended.stderr.replace("│", " ").split())


def test_without_a_main_line_the_base_must_be_said(headwater: Headwater, repository: Repository) -> None:
    repository.git("branch", "--move", "main", "trunk")
    ended = headwater("check")
    assert ended.exit_code == 2
    assert "say with --base" in ended.stderr


def laughing() -> str:
    lines = ["version: 1", "a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("version: 1\ndatasets: [\n", "headwater.yaml:2:12: "),
        ("version: 1\nversion: 1\n", "headwater.yaml:2:1: 'version' stands twice here; first in line 1"),
        ("- 1", "headwater.yaml holds no mapping"),
        ("", "headwater.yaml holds no mapping"),
        (
            "a: !!python/object/apply:os.system [true]",
            "headwater.yaml:1:4: the tag !python/object/apply:os.system stands for what JSON cannot hold",
        ),
        (laughing(), "holds more than 200000 values"),
        ("a: &a {b: *a}", "holds more than 200000 values"),
        pytest.param("#" * 1_000_000, "has 1000000 bytes; the limit is 900000", id="large"),
        pytest.param("[" * 2_000, "headwater.yaml:1:61: nested deeper", id="deep"),
        ("a: .nan", "headwater.yaml:1:4: .nan is no number that JSON can hold"),
        ("a: !!binary aGVsbG8=", "headwater.yaml:1:4: the tag !binary stands for what JSON cannot hold"),
    ],
)
def test_a_file_that_cannot_be_read_is_told_with_its_place(
    headwater: Headwater, repository: Repository, text: str, told: str
) -> None:
    repository.write(text)
    for command in ("check", "plan", "apply"):
        ended = headwater(command)
        assert ended.exit_code == 2
        assert told in ended.stderr


def test_an_old_version_that_cannot_be_read_is_named_with_its_revision(
    headwater: Headwater, repository: Repository
) -> None:
    repository.write("version: [")
    repository.git("commit", "--quiet", "--all", "--message", "Broken")
    repository.write(MANIFEST)
    ended = headwater("check")
    assert ended.exit_code == 2
    assert "headwater.yaml at main (" in ended.stderr
