"""`headwater check`: what the work since a base does to others."""

from __future__ import annotations

from typing import Annotated, Optional

import typer

from headwater import manifests, repository
from headwater.commands.files import MANIFEST, Manifest, read
from headwater.errors import Refused
from headwater.forms import write
from headwater.report import BLOCKED, NEEDS_ACKNOWLEDGEMENT, Report
from headwater.terminal import (
    ACKNOWLEDGE_CODE,
    BLOCKED_CODE,
    Output,
    Panel,
    Token,
    Url,
    connected,
    console,
    output_option,
    put,
    telling,
)

EXIT_CODES = (
    "Exit codes: 0 clean, or done; 1 blocked: a deployment or a consumer breaks; 2 wrong usage: the manifest, "
    "git, the token; 3 needs acknowledgement; 4 the service cannot be reached; 70 a fault of this program."
)

BaseRef = Annotated[Optional[str], typer.Option(help="The git revision to compare with: where the work left it.", show_default="origin/main, else main")]  # fmt: skip  # noqa: UP045


def add_to(app: typer.Typer) -> None:
    app.command(epilog=EXIT_CODES, rich_help_panel=Panel.CHANGE)(check)


def check(
    file: Manifest = MANIFEST,
    base: BaseRef = None,
    url: Url = None,
    token: Token = None,
    output: Annotated[Output, output_option(Output.TEXT, Output.MARKDOWN, Output.JSON)] = Output.TEXT,
    acknowledge: Annotated[
        bool, typer.Option("--acknowledge", help="What changes for others is agreed with them: 0 instead of 3.")
    ] = False,
) -> None:
    """Say whom the change of the manifest breaks, and when.

    Now, or at the next training. Changes nothing.
    """
    with telling(file):
        start = repository.find_base(file.parent, base)
        before = repository.at(file.parent, start.commit, file)
        after = read(file)
        if before is None and after is None:
            raise typer.BadParameter(f"there is no {file}, neither here nor at {start}")
        documents = [
            [] if text is None else [{"path": str(file), "content": manifests.parsed(text, name)}]
            for text, name in ((before, f"{file} at {start}"), (after, str(file)))
        ]
        try:
            with connected(url, token) as client:
                answer = client.check(*documents)
                url = client.url
        except Refused as error:
            places = {f"base: {file}: ": f"{file} at {start}: ", "head: ": ""}
            raise Refused("\n".join(_placed(line, places) for line in str(error).splitlines()), error.code) from error
        needs = answer["outcome"] == NEEDS_ACKNOWLEDGEMENT
        report = Report(answer, str(file), start.ref, start.commit, url, acknowledged=needs and acknowledge)
        code = BLOCKED_CODE if answer["outcome"] == BLOCKED else ACKNOWLEDGE_CODE if needs and not acknowledge else 0
        if output is Output.JSON:
            write(report.json(code), output)
        elif output is Output.MARKDOWN:
            put(report.markdown())
        else:
            console().print(report.text())
    raise typer.Exit(code)


def _placed(line: str, places: dict[str, str]) -> str:
    for mark, place in places.items():
        if line.startswith(mark):
            return place + line.removeprefix(mark)
    return line
