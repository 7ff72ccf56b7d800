"""The commands' exit codes and words, in this process. `test_identity` has those for tokens."""

import socket
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from app.__main__ import SCHEMA_FILE, main
from app.settings import Settings, variable
from graph.stores.sqlite import SqliteStore


@pytest.fixture(autouse=True)
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in Settings.model_fields:
        monkeypatch.delenv(variable(name), raising=False)
    path = tmp_path / "lineage.db"
    monkeypatch.setenv("HEADWATER_STORE", f"sqlite:///{path}")
    return path


def test_a_sound_store_is_clean(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    SqliteStore(path).close()
    assert main(["check-store"]) == 0
    said = capsys.readouterr()
    assert said.out == ""
    assert "all is well" in said.err


def test_what_is_wrong_in_a_store_is_named(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    SqliteStore(path).close()
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("INSERT INTO revision (number, at, actor) VALUES (7, 0, 'somebody')")
    assert main(["check-store"]) == 1
    said = capsys.readouterr()
    assert said.out
    assert "differences" in said.err


def test_checking_a_store_that_is_not_there_makes_none(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check-store"]) == 3
    assert not path.exists()
    assert str(path) in capsys.readouterr().err


def test_a_file_that_is_no_store_is_named(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path.write_bytes(b"a letter to a friend" * 100)
    assert main(["check-store"]) == 3
    assert str(path) in capsys.readouterr().err


def test_an_address_beyond_loopback_is_refused_without_tokens(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HEADWATER_HOST", "0.0.0.0")
    assert main([]) == 2
    assert "python -m app token create" in capsys.readouterr().err


@pytest.fixture
def without_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.serve.configure_logs", lambda *_: None)


@pytest.mark.usefixtures("without_logs")
def test_an_address_in_use_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        monkeypatch.setenv("HEADWATER_PORT", str(other.getsockname()[1]))
        assert main([]) == 2
    assert "HEADWATER_PORT" in capsys.readouterr().err


@pytest.mark.usefixtures("without_logs")
def test_a_missing_tokens_file_is_named_with_the_way_to_make_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HEADWATER_TOKENS_FILE", str(tmp_path / "tokens.json"))
    assert main(["serve"]) == 2
    said = capsys.readouterr().err
    assert "tokens.json cannot be read" in said
    assert "token create" in said


def test_the_schema_is_printed_and_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["schema"]) == 0
    text = capsys.readouterr().out
    assert "type Query" in text
    assert text.endswith("}\n")
    file = tmp_path / SCHEMA_FILE.name
    monkeypatch.setattr("app.__main__.SCHEMA_FILE", file)
    assert main(["schema", "--check"]) == 1
    file.write_text(text, encoding="utf-8")
    assert main(["schema", "--check"]) == 0


def test_help_tells_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    assert "exit codes:" in capsys.readouterr().out
