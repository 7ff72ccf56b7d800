"""`headwater bulk`: files of lines, of any number."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from headwater.commands.files import opened
from headwater.forms import write
from headwater.terminal import (
    CLEAN_CODE,
    USAGE_CODE,
    Output,
    Panel,
    TextOrJson,
    Token,
    Url,
    connected,
    console,
    sums,
    telling,
)
from headwater.texts import plain

EXIT_CODES = (
    "Exit codes: 0 every line is taken; 2 some were refused, or wrong usage; 4 the service cannot be reached, "
    "or the operation was cut short: the same command with the same --operation goes on; 70 a fault of this "
    "program."
)

Origin = Annotated[Optional[str], typer.Option(help="The source that says so.", show_default="api: and your name")]  # fmt: skip  # noqa: UP045
OperationId = Annotated[Optional[str], typer.Option("--operation", help="An id to send the same lines under again.", show_default="a new one")]  # fmt: skip  # noqa: UP045


def add_to(app: typer.Typer) -> None:
    app.command(epilog=EXIT_CODES, rich_help_panel=Panel.TELL)(bulk)


def bulk(
    file: Annotated[
        Path, typer.Argument(help="One JSON object a line; a name in .gz is unpacked; - is standard input.")
    ],
    origin: Origin = None,
    operation: OperationId = None,
    basis: Annotated[str, typer.Option(help="How the origin knows, where a line says nothing.")] = "IMPORTED",
    url: Url = None,
    token: Token = None,
    output: TextOrJson = Output.TEXT,
) -> None:
    """Register the lines of a file, in any order and number.

    Good lines are kept whatever the others say.
    """

    def tell(event: dict[str, Any]) -> None:
        if "error" in event:
            error = event["error"]
            place = ": ".join(str(part) for part in (f"{file}:{error['line']}", error["field"]) if part is not None)
            typer.echo(plain(f"{place}: {error['message']}"), err=True)
        elif sys.stderr.isatty():
            progress = event["progress"]
            typer.echo(f"{progress['committed']:,} of {progress['lines']:,} lines", err=True)

    with telling(file), opened(file) as lines, connected(url, token) as client:
        done = client.bulk(lines, origin, operation, basis, tell)
    if output is Output.JSON:
        write(done, output)
    else:
        counts = f"{done['committed']:,} lines taken, {done['refused']:,} refused: {sums(done, 'added', 'changed', 'withdrawn')}"
        console().print(f"{counts}; revision {done['revision']}.")
    raise typer.Exit(USAGE_CODE if done["refused"] else CLEAN_CODE)
