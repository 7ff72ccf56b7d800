"""docs/cli.md names every command, and every option of those that it describes itself, and none that there is not."""

import re
from pathlib import Path

import pytest
import typer.main
from headwater.cli import app
from headwater.terminal import (
    ACKNOWLEDGE_CODE,
    BLOCKED_CODE,
    CLEAN_CODE,
    FAULT_CODE,
    INTERRUPTED_CODE,
    UNHEARD_CODE,
    UNREACHABLE_CODE,
    USAGE_CODE,
    Output,
)

TEXT = (Path(__file__).parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^### headwater ([a-z-]+)\n(.*?)(?=^##|\Z)", TEXT, re.MULTILINE | re.DOTALL))
SHARED = {"--url", "--token", "--output", "--help"}
"""Described once, above all commands."""

GROUP = typer.main.get_command(app)
COMMANDS: dict[str, set[str]] = {
    name: {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    for name, command in GROUP.commands.items()  # type: ignore[attr-defined]
}


def test_every_command_is_there_with_its_exit_codes() -> None:
    assert [name for name in COMMANDS if f"`headwater {name}" not in TEXT and name not in SECTIONS] == []
    assert set(SECTIONS) - set(COMMANDS) == set()
    without = [name for name, command in GROUP.commands.items() if "Exit codes" not in (command.epilog or "")]  # type: ignore[attr-defined]
    assert without == ["import", "same"]  # groups, whose commands have theirs


@pytest.mark.parametrize("name", SECTIONS)
def test_a_section_names_the_options_that_there_are(name: str) -> None:
    long = {option for option in COMMANDS[name] if option.startswith("--")} - SHARED
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", SECTIONS[name])) - SHARED
    assert named - long - ({"--as"} if name == "same" else set()) == set()
    assert long - named == set()


def test_the_exit_codes_are_those_of_the_program() -> None:
    table = TEXT.partition("## Exit codes")[2].partition("\n## ")[0]
    codes = (
        CLEAN_CODE,
        BLOCKED_CODE,
        USAGE_CODE,
        ACKNOWLEDGE_CODE,
        UNREACHABLE_CODE,
        FAULT_CODE,
        INTERRUPTED_CODE,
        UNHEARD_CODE,
    )
    assert [int(code) for code in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)] == [*codes]


def test_the_outputs_are_those_of_the_program() -> None:
    table = TEXT.partition("## Output")[2].partition("\n## ")[0]
    only_of_check = {Output.SARIF, Output.JUNIT, Output.QUALITY}
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == {
        each.value for each in set(Output) - only_of_check
    }
