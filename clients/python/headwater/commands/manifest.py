"""`headwater plan|apply`: the graph says what the documents of a repository say."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Optional

import typer
from rich.text import Text

from headwater import planning, project
from headwater.client import Client
from headwater.commands.files import Manifests
from headwater.errors import HeadwaterError, ManifestUnreadable, PartlyUnreadable, PlanMoved, Refused
from headwater.forms import write
from headwater.planning import Json, Wanted
from headwater.positions import located
from headwater.removed import origin_of, removed_origins
from headwater.terminal import (
    USAGE_CODE,
    WRITING_EXIT_CODES,
    Output,
    Panel,
    Token,
    Url,
    Written,
    connected,
    console,
    put,
    sums,
    telling,
)

TIMEOUT_SECONDS = 120.0
"""A repository may be large."""

Prune = Annotated[bool, typer.Option("--prune", help="Withdraw what origins say whose documents are gone from the repository.")]  # fmt: skip


def add_to(app: typer.Typer) -> None:
    app.command(epilog=WRITING_EXIT_CODES, rich_help_panel=Panel.CHANGE)(plan)
    app.command(epilog=WRITING_EXIT_CODES, rich_help_panel=Panel.CHANGE)(apply)


def plan(
    file: Manifests = None,
    prune: Prune = False,
    out: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--out", help="Keep the plan in this file, for `headwater apply FILE`.", show_default=False),
    ] = None,
    url: Url = None,
    token: Token = None,
    output: Written = Output.TEXT,
) -> None:
    """Show what apply would change in the graph, and whom that touches. Changes nothing."""
    with telling(file[0] if file else None):
        wanted, texts = _wanted(file or [], prune, url, token)
        with connected(url, token, TIMEOUT_SECONDS) as client, _placing(texts):
            found = client.plan(wanted.documents, wanted.removed, prune)
            if out is not None:
                planning.save(out, wanted, found, client.url)
        _show(found, output)
        if out is not None and output is Output.TEXT:
            typer.echo(f"Kept in {out}; `headwater apply {out}` does exactly this.")


def apply(
    plan_file: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Argument(
            metavar="[PLAN]", help="A plan that was kept: it is done exactly, or not at all.", show_default=False
        ),
    ] = None,
    file: Manifests = None,
    prune: Prune = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask first, as a terminal does.")] = False,
    url: Url = None,
    token: Token = None,
    output: Written = Output.TEXT,
) -> None:
    """Make the graph say what the documents of the repository say.

    What their origins said before and do not say now is withdrawn. All of it in one revision, or none.
    """
    with telling(file[0] if file else None):
        if plan_file is not None and (file or prune):
            raise typer.BadParameter(
                "a kept plan says already what is applied: --file and --prune go with `headwater plan`"
            )
        if plan_file is not None:
            wanted, planned, operation = planning.saved(plan_file)
            texts: dict[str, str] = {}
        else:
            (wanted, texts), planned, operation = _wanted(file or [], prune, url, token), None, str(uuid.uuid4())
        with connected(url, token, TIMEOUT_SECONDS) as client, _placing(texts):
            if planned is None and not yes and sys.stdin.isatty() and sys.stdout.isatty():
                planned = client.plan(wanted.documents, wanted.removed, prune)
                _show(planned, Output.TEXT)
                if planned["changes"] and not typer.confirm("Apply?"):
                    raise typer.Exit(USAGE_CODE)
            done = _applied(client, wanted, planned, operation)
    if output is not Output.TEXT:
        told = f"{sums(done, 'added', 'changed', 'withdrawn')}; revision {done['revision']}"
        if output is Output.MARKDOWN:
            typer.echo(f"**Applied**: {told}.")
        else:
            write(done, output)
    elif done["changed"]:
        console().print(f"Applied: {sums(done, 'added', 'changed', 'withdrawn')}; revision {done['revision']}.")
    else:
        console().print(f"Nothing changed: all of it held already at revision {done['revision']}.")


def _wanted(files: list[Path], prune: bool, url: str | None, token: str | None) -> tuple[Wanted, dict[str, str]]:
    """What is to hold, and the texts of the manifests."""
    if files and prune:
        raise typer.BadParameter("--prune looks at the whole repository, so it does not go with --file")
    folder = files[0].parent if files else Path()
    try:
        version = project.here(folder, files)
    except PartlyUnreadable as error:
        raise ManifestUnreadable(
            "\n".join([located(str(error), error.texts), *_wrong_in(error, url, token)])
        ) from error
    removed = [] if files else removed_origins(folder, version.documents)
    if files:
        _refuse_half(version, folder)
    if not version.documents and not (prune and removed):
        raise typer.BadParameter("there is no headwater.yaml here")
    return Wanted(version.documents, removed, prune), dict(version.texts)


def _wrong_in(rest: PartlyUnreadable, url: str | None, token: str | None) -> list[str]:
    """What is wrong in the other files, so that all is told at once. What they refer to may be in those that cannot be read."""
    try:
        with connected(url, token, TIMEOUT_SECONDS) as client:
            client.plan(rest.documents)
    except Refused as error:
        lines = [line for line in str(error).splitlines() if " is not registered; " not in line]
        return [located("\n".join(lines), rest.texts)] if error.code == "InvalidInput" and lines else []
    except HeadwaterError:
        pass  # they are judged once all of them can be read
    return []


def _refuse_half(version: project.Version, folder: Path) -> None:
    """An origin says all it has to say: what its other documents declare would be withdrawn."""
    origins = {origin_of(each["content"]): each["path"] for each in version.documents}
    for each in project.here(folder).documents:
        origin = origin_of(each["content"])
        if origin in origins and origin is not None and each["path"] not in version.texts:
            raise typer.BadParameter(
                f"{each['path']} speaks for {origin}, as {origins[origin]} does; give both, or no --file"
            )


def _applied(client: Client, wanted: Wanted, planned: Json | None, operation: str) -> Json:
    try:
        digest = None if planned is None else planned["digest"]
        done = client.apply(wanted.documents, wanted.removed, wanted.prune, digest, operation)
    except PlanMoved as error:
        page = console(error=True)
        page.print(str(error))
        for text, style in planning.differing((planned or {}).get("changes", ()), error.plan["changes"]):
            page.print(Text(text, style=style), soft_wrap=True)
        raise typer.Exit(USAGE_CODE) from None
    return {name: done[name] for name in ("changed", "revision", "added", "updated", "withdrawn")}


@contextmanager
def _placing(texts: dict[str, str]) -> Iterator[None]:
    """What is wrong is told with line and column."""
    try:
        yield
    except PlanMoved:
        raise
    except Refused as error:
        raise Refused(located(str(error), texts), error.code) from error


def _show(plan: Json, output: Output) -> None:
    if output is Output.MARKDOWN:
        put(planning.markdown(plan))
    elif output is not Output.TEXT:
        write(plan, output)
    else:
        page = console()
        for text, style in planning.lines(plan):
            page.print(Text(text, style=style), soft_wrap=True)
