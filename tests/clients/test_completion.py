"""Completion in real shells, with what `headwater completion` prints, against a real service."""

import os
import pty
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.clients.world import AMOUNT, SCORES, told
from tests.service import ROOT, plain_environment, running_service

Complete = Callable[..., list[str]]

BASH = """
eval "$(headwater completion bash)"
COMP_LINE="$1" COMP_POINT=${#1} COMP_WORDS=($1) COMP_CWORD=0
_headwater_complete headwater
printf '%s\\n' "${COMPREPLY[@]}"
"""

FISH = """
headwater completion fish | source
complete --do-complete $argv[1] | string replace --regex '\\t.*' ''
true
"""

ZSH = """
PROMPT='ready> '
autoload -Uz compinit && compinit -u -D
eval "$(headwater completion zsh)"
"""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_service(f"sqlite:///{tmp_path_factory.mktemp('store')}/store.db") as address:
        told(address)
        yield address


@pytest.fixture
def environment(tmp_path: Path, address: str) -> dict[str, str]:
    """One whose command `headwater` is that of this repository."""
    command = tmp_path / "headwater"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m headwater "$@"\n')
    command.chmod(0o755)
    return plain_environment() | {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT / "clients/python"),
        "HEADWATER_URL": address,
        "XDG_CONFIG_HOME": str(tmp_path),
        "HOME": str(tmp_path),
    }


def run(environment: dict[str, str], *command: str) -> list[str]:
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == ""
    return [line for line in ended.stdout.splitlines() if line]


def in_bash(environment: dict[str, str], line: str) -> list[str]:
    """What readline is given in place of what it takes for the word: that after the last colon."""
    return run(environment, "bash", "--norc", "-c", BASH, "bash", line)


def test_bash_completes_commands_forms_and_keys(environment: dict[str, str]) -> None:
    assert in_bash(environment, "headwater linea") == ["lineage"]
    assert in_bash(environment, "headwater lineage --output=ma") == ["markdown"]
    assert in_bash(environment, "headwater lineage -o me") == ["mermaid"]
    assert in_bash(environment, "headwater lineage depl") == ["deployment:"]
    assert in_bash(environment, "headwater lineage deployment:") == [SCORES.partition(":")[2]]
    assert in_bash(environment, "headwater impact column:warehouse/orders#am") == [AMOUNT.partition(":")[2]]
    assert in_bash(environment, f"headwater path {AMOUNT} consumer:shop/ch") == ["shop/checkout"]
    assert in_bash(environment, "headwater search --kind feature_") == ["feature_view"]


@pytest.mark.skipif(shutil.which("fish") is None and "CI" not in os.environ, reason="fish is not installed")
def test_fish_completes_keys(environment: dict[str, str]) -> None:
    assert run(environment, "fish", "--no-config", "-c", FISH, "headwater impact column:warehouse/orders#am") == [
        AMOUNT
    ]
    assert run(environment, "fish", "--no-config", "-c", FISH, "headwater lineage -o me") == ["mermaid"]


@pytest.mark.skipif(shutil.which("zsh") is None and "CI" not in os.environ, reason="zsh is not installed")
def test_zsh_completes_keys_as_they_are_typed(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / ".zshrc").write_text(ZSH)
    terminal, its = pty.openpty()
    shell = subprocess.Popen(
        ["zsh", "-i"],
        env=environment | {"ZDOTDIR": str(tmp_path), "TERM": "dumb"},
        stdin=its,
        stdout=its,
        stderr=its,
        start_new_session=True,
    )
    os.close(its)
    try:
        read_until(terminal, "ready> ")
        os.write(terminal, b"headwater impact column:warehouse/orders#am\t")
        read_until(terminal, "\\#amount")  # zsh quotes what it would take for a pattern
        os.write(terminal, b"; headwater lineage -o mer\t")
        read_until(terminal, "mermaid")
    finally:
        shell.kill()
        shell.wait()
        os.close(terminal)


def read_until(terminal: int, text: str) -> None:
    """Raises AssertionError after a while without it."""
    shown = ""
    while text not in shown:
        ready, _, _ = select.select([terminal], [], [], 30)
        assert ready, shown
        shown += os.read(terminal, 10_000).decode(errors="replace")


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "http://192.0.2.1", "no address"])
def test_a_service_that_does_not_answer_is_no_bother(environment: dict[str, str], url: str) -> None:
    """192.0.2.1 answers nothing at all."""
    begun = time.monotonic()
    assert in_bash(environment | {"HEADWATER_URL": url}, "headwater lineage dataset:w") == []
    start = time.monotonic()
    run(environment, "headwater", "--version")
    assert start - begun < 3 * (time.monotonic() - start) + 1  # the script is a start of its own, and so is the asking


def test_a_shell_that_is_not_known_is_refused(environment: dict[str, str]) -> None:
    ended = subprocess.run(["headwater", "completion", "csh"], env=environment, capture_output=True, check=False)
    assert ended.returncode == 2
