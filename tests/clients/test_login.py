"""Addresses and tokens that are kept, and which of those that were given is used."""

import json
import os
import pty
import re
import select
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from headwater.cli import app
from typer.testing import CliRunner

from app.identity import Kind, Role, create_token
from tests.service import ROOT, free_port, plain_environment, running_service


class Service(NamedTuple):
    address: str
    token: str


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("service")
    token = create_token(folder / "tokens", "ada", Role.CONTRIBUTOR, Kind.PERSON)
    assert token is not None
    with running_service(f"sqlite:///{folder}/store.db", tokens_file=folder / "tokens") as address:
        yield Service(address, token)


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where it is kept."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("HEADWATER_URL", raising=False)
    monkeypatch.delenv("HEADWATER_TOKEN", raising=False)
    return tmp_path / "headwater" / "credentials.json"


def headwater(*arguments: str, input: str | None = None, code: int = 0) -> str:
    ended = CliRunner().invoke(app, arguments, input=input, catch_exceptions=False)
    assert ended.exit_code == code, ended.output
    assert not re.search("hw_[0-9A-Za-z]", ended.output)
    return ended.output


def test_a_login_serves_all_later_commands_until_the_logout(service: Service, kept: Path) -> None:
    assert "no token was given" in headwater("search", "x", "--url", service.address, code=2)
    assert f"Logged in to {service.address}." in headwater("login", f"{service.address}/", input=f"{service.token}\n")
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert stat.S_IMODE(kept.parent.stat().st_mode) == 0o700
    assert headwater("search", "x") == "Nothing matches 'x'.\n"
    assert headwater("search", "x", "--url", service.address) == "Nothing matches 'x'.\n"
    headwater("logout")
    assert service.token not in kept.read_text()
    assert "no token was given" in headwater("search", "x", "--url", service.address, code=2)
    assert "Nothing was kept" in headwater("logout", service.address)


def test_a_token_that_the_service_does_not_take_is_not_kept(service: Service, kept: Path) -> None:
    wrong = service.token[:-1] + ("a" if service.token[-1] != "a" else "b")
    assert "mistyped: its checksum does not fit (the token that was just given; nothing is kept)" in headwater(
        "login", service.address, input=f"{wrong}\n", code=2
    )
    assert not kept.exists()
    assert "wants a token, and none was given" in headwater("login", service.address, input="", code=2)
    assert "cannot reach" in headwater("login", f"http://127.0.0.1:{free_port()}", input="x\n", code=4)


def test_options_win_over_the_environment_and_both_over_the_login(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    headwater("login", service.address, input=f"{service.token}\n")
    monkeypatch.setenv("HEADWATER_TOKEN", "wrong")
    assert "(the token is that of HEADWATER_TOKEN)" in headwater("search", "x", code=2)
    assert "(the token is that of --token)" in headwater("search", "x", "--token", "other", code=2)
    assert headwater("search", "x", "--token", service.token) == "Nothing matches 'x'.\n"
    monkeypatch.delenv("HEADWATER_TOKEN")
    monkeypatch.setenv("HEADWATER_URL", f"http://127.0.0.1:{free_port()}")
    assert "cannot reach" in headwater("search", "x", code=4)


def test_a_token_is_sent_to_its_own_address_alone(service: Service, kept: Path) -> None:
    headwater("login", service.address, input=f"{service.token}\n")
    other = service.address.replace("127.0.0.1", "localhost")
    assert "no token was given" in headwater("search", "x", "--url", other, code=2)


def test_a_withdrawn_token_is_told_with_the_file_it_came_from(service: Service, kept: Path) -> None:
    headwater("login", service.address, input=f"{service.token}\n")
    document = json.loads(kept.read_text())
    document["tokens"][service.address] = "gone"
    kept.write_text(json.dumps(document))
    assert f"in {kept})" in headwater("search", "x", code=2).replace("\n", "")
    kept.write_text("{")
    assert "is not what `headwater login` writes" in headwater("search", "x", code=2)


def test_a_typed_token_is_not_shown(service: Service, kept: Path, tmp_path: Path) -> None:
    terminal, its = pty.openpty()
    environment = plain_environment() | {
        "PYTHONPATH": str(ROOT / "clients/python"),
        "XDG_CONFIG_HOME": str(tmp_path),
        "TERM": "dumb",
    }
    command = [sys.executable, "-m", "headwater", "login", service.address]
    asking = subprocess.Popen(command, env=environment, stdin=its, stdout=its, stderr=its, start_new_session=True)
    os.close(its)
    shown = ""
    while "Logged in" not in shown:
        ready, _, _ = select.select([terminal], [], [], 60)
        assert ready, shown
        shown += os.read(terminal, 10_000).decode()
        if shown.endswith("Token: "):
            os.write(terminal, f"{service.token}\n".encode())
    assert asking.wait(60) == 0
    os.close(terminal)
    assert service.token not in shown
    assert service.token in kept.read_text()


def test_a_service_that_wants_no_token_is_remembered(tmp_path: Path) -> None:
    with running_service(f"sqlite:///{tmp_path}/store.db") as address:
        assert f"Logged in to {address}, which wants no token." in headwater("login", address)
        assert headwater("search", "x") == "Nothing matches 'x'.\n"
