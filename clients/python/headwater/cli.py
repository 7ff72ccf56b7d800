"""The command line, put together: what each command does is in `headwater.commands`."""

from __future__ import annotations

import os
import sys
import traceback
from typing import Annotated

import typer

from headwater.commands import (
    agreeing,
    bulk,
    check,
    completion,
    export,
    impact,
    imports,
    lineage,
    login,
    manifest,
    path,
    register,
    same,
    search,
    sources,
    watch,
)
from headwater.terminal import FAULT_CODE, Panel

EXIT_CODES = (
    "Exit codes, of all commands: 0 clean, or done; 1 blocked; 2 wrong usage, or refused; 3 needs "
    "acknowledgement; 4 the service cannot be reached; 70 a fault of this program; 130 interrupted. `headwater "
    "COMMAND --help` says what they mean there."
)

app = typer.Typer(
    name="headwater",
    help="What breaks if this changes, and who must be told.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _tell_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 (no command needs it)

        try:
            number = version("headwater")
        except PackageNotFoundError:
            number = "of a source tree that is not installed"
        typer.echo(f"headwater {number}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Say which version this is.", callback=_tell_version, is_eager=True)
    ] = False,
) -> None:
    pass


# In the order of the help.
for module in (
    lineage,
    impact,
    path,
    search,
    watch,
    export,
    check,
    manifest,
    agreeing,
    register,
    bulk,
    sources,
    login,
    completion,
):
    module.add_to(app)
app.add_typer(imports.app, rich_help_panel=Panel.TELL)
app.add_typer(same.app, rich_help_panel=Panel.TELL)


def main() -> None:
    if "_HEADWATER_COMPLETE" in os.environ:
        # Typer knows the shells only with its own scripts added, and that for bash takes a key apart at its colon.
        from typer.completion import completion_init  # type: ignore[attr-defined]  # noqa: PLC0415

        completion_init()
    try:
        app(prog_name="headwater")
    except Exception:  # noqa: BLE001  what nobody foresaw must not look like "blocked"
        traceback.print_exc()
        sys.exit(FAULT_CODE)
