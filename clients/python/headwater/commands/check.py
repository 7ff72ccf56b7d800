"""`headwater check`: what the work since a base does to others."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from headwater import project, repository
from headwater.commands.files import Manifests
from headwater.errors import Refused
from headwater.forms import write
from headwater.positions import located
from headwater.report import BLOCKED, NEEDS_ACKNOWLEDGEMENT, Report
from headwater.terminal import (
    ACKNOWLEDGE_CODE,
    BLOCKED_CODE,
    GraphFile,
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

BaseDir = Annotated[Optional[Path], typer.Option(help="A folder with files as they were at the base that git does not keep, as target/manifest.json.", show_default=False)]  # fmt: skip  # noqa: UP045
BaseRef = Annotated[Optional[str], typer.Option(help="The git revision to compare with: where the work left it.", show_default="origin/main, else main")]  # fmt: skip  # noqa: UP045


def add_to(app: typer.Typer) -> None:
    app.command(epilog=EXIT_CODES, rich_help_panel=Panel.CHANGE)(check)


def check(
    file: Manifests = None,
    base: BaseRef = None,
    base_dir: BaseDir = None,
    graph: GraphFile = None,
    url: Url = None,
    token: Token = None,
    output: Annotated[Output, output_option(Output.TEXT, Output.MARKDOWN, Output.JSON)] = Output.TEXT,
    acknowledge: Annotated[
        bool, typer.Option("--acknowledge", help="What changes for others is agreed with them: 0 instead of 3.")
    ] = False,
) -> None:
    """Say whom the change of the manifests breaks, and when.

    Now, or at the next training. Changes nothing.
    """
    folder = file[0].parent if file else Path()
    with telling(file[0] if file else None):
        start = repository.find_base(folder, base)
        compared = project.compared(folder, start, file or (), base_dir)
        texts = {
            f"{side}: {path}": text
            for side, version in (("base", compared.base), ("head", compared.head))
            for path, text in version.texts.items()
        }
        try:
            if graph is not None:
                from headwater.offline import Graph  # noqa: PLC0415 (an extra)

                answer, asked = Graph(graph).check(compared.base.documents, compared.head.documents), str(graph)
            else:
                with connected(url, token) as client:
                    answer, asked = client.check(compared.base.documents, compared.head.documents), client.url
        except Refused as error:
            lines = located(str(error), texts, {f"base: {path}": f"{path} at {start}" for path in compared.base.texts})
            raise Refused(lines.replace("head: ", ""), error.code) from error
        told = str(file[0]) if file and len(file) == 1 else compared.told
        needs = answer["outcome"] == NEEDS_ACKNOWLEDGEMENT
        report = Report(answer, told, start.ref, start.commit, asked, acknowledged=needs and acknowledge)
        code = BLOCKED_CODE if answer["outcome"] == BLOCKED else ACKNOWLEDGE_CODE if needs and not acknowledge else 0
        if output is Output.JSON:
            write(report.json(code), output)
        elif output is Output.MARKDOWN:
            put(report.markdown())
        else:
            console().print(report.text())
    raise typer.Exit(code)
