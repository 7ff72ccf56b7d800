"""`headwater plan|apply`: the graph says what the headwater.yaml of a repository says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer
from rich.text import Text

from headwater import manifests
from headwater.commands.check import EXIT_CODES
from headwater.commands.files import MANIFEST, Manifest, read
from headwater.errors import Refused
from headwater.forms import write
from headwater.terminal import GraphFile, Output, Panel, TextOrJson, Token, Url, connected, console, sums, telling


def add_to(app: typer.Typer) -> None:
    app.command(epilog=EXIT_CODES, rich_help_panel=Panel.CHANGE)(plan)
    app.command(epilog=EXIT_CODES, rich_help_panel=Panel.CHANGE)(apply)


def plan(
    file: Manifest = MANIFEST,
    graph: GraphFile = None,
    url: Url = None,
    token: Token = None,
    output: TextOrJson = Output.TEXT,
) -> None:
    """Show what apply would change in the graph. Changes nothing."""
    result = _applied(file, url, token, dry_run=True, graph=graph)
    if output is Output.JSON:
        write(result, output)
        return
    page = console()
    for change in result["plan"]:
        sign, style = {"ADDED": ("+", "green"), "CHANGED": ("~", "yellow"), "WITHDRAWN": ("-", "red")}[change["verb"]]
        page.print(Text(f"{sign} {change['subject']}", style=style), soft_wrap=True)
    if result["plan"]:
        page.print()
    page.print(f"{sums(result, 'to add', 'to change', 'to withdraw')}." if result["plan"] else "Nothing to change.")


def apply(
    file: Manifest = MANIFEST,
    url: Url = None,
    token: Token = None,
    output: TextOrJson = Output.TEXT,
) -> None:
    """Make the graph say what the manifest says.

    What its origin said before and it does not say now is withdrawn.
    """
    result = _applied(file, url, token, dry_run=False)
    if output is Output.JSON:
        write({name: value for name, value in result.items() if name != "plan"}, output)
    elif result["changed"]:
        console().print(f"Applied: {sums(result, 'added', 'changed', 'withdrawn')}; revision {result['revision']}.")
    else:
        console().print(f"Nothing changed: all of it held already at revision {result['revision']}.")


def _applied(
    file: Path, url: str | None, token: str | None, dry_run: bool, graph: Path | None = None
) -> dict[str, Any]:
    with telling(file):
        text = read(file)
        if text is None:
            raise typer.BadParameter(f"there is no {file}")
        document = manifests.parsed(text, str(file))
        try:
            if graph is not None:
                from headwater.offline import Graph  # noqa: PLC0415 (an extra)

                return Graph(graph).plan([{"path": "", "content": document}])
            with connected(url, token) as client:
                return client.apply_manifest(document, dry_run)
        except Refused as error:
            raise Refused(
                "\n".join(f"{file}: {line.removeprefix(': ')}" for line in str(error).splitlines()), error.code
            ) from error
