"""The command line: `headwater plan|apply` on the headwater.yaml of a repository, `headwater bulk` on files of lines,
`headwater consumers` and `headwater same` on who uses what, under which names. Further commands are those of `checking`, `agreeing`, `imports` and `watching`.
"""

from __future__ import annotations

import gzip
import sys
import traceback
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Annotated, Any, Optional

import typer
from rich.text import Text

from headwater import agreeing, checking, imports, manifests, watching
from headwater.client import CALLED, Client
from headwater.errors import Refused
from headwater.terminal import (
    CLEAN_CODE,
    FAULT_CODE,
    USAGE_CODE,
    PlanOutput,
    TextOrJson,
    Token,
    Url,
    console,
    print_json,
    sums,
    telling,
)

EXIT_CODES = """
Exit codes: 0 done; 1 blocked (check alone); 2 wrong usage: the manifest, git, the token; 3 needs acknowledgement (check
alone); 4 the service cannot be reached; 70 a fault of this program.
"""

BULK_EXIT_CODES = """
Exit codes: 0 every line is taken; 2 some were refused, or wrong usage; 4 the service cannot be reached, or the operation was
cut short: the same command with the same --operation goes on; 70 a fault of this program.
"""

SAME_EXIT_CODES = """
Exit codes: 0 done, or so already; 2 refused, or wrong usage; 4 the service cannot be reached; 70 a fault of this program.
"""

app = typer.Typer(
    name="headwater",
    help="What breaks if this changes, and who must be told.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


File = Annotated[Path, typer.Option("--file", "-f", help="The manifest.")]
Origin = Annotated[Optional[str], typer.Option(help="The source that says so.", show_default="api: and your name")]  # fmt: skip  # noqa: UP045
OperationId = Annotated[Optional[str], typer.Option("--operation", help="An id to send the same lines under again.", show_default="a new one")]  # fmt: skip  # noqa: UP045

MANIFEST = Path("headwater.yaml")

same = typer.Typer(name="same", help="Say that several keys are of one asset, or take it back.", no_args_is_help=True)
app.add_typer(imports.app)
app.add_typer(same)


@app.command(epilog=EXIT_CODES)
def plan(
    file: File = MANIFEST,
    url: Url = None,
    token: Token = None,
    output: TextOrJson = PlanOutput.TEXT,
) -> None:
    """Show what apply would change in the graph. Changes nothing."""
    result = _applied(file, url, token, dry_run=True)
    if output is PlanOutput.JSON:
        print_json({"version": 1, **result})
        return
    page = console()
    for change in result["plan"]:
        sign, style = {"ADDED": ("+", "green"), "CHANGED": ("~", "yellow"), "WITHDRAWN": ("-", "red")}[change["verb"]]
        page.print(Text(f"{sign} {change['subject']}", style=style), soft_wrap=True)
    if result["plan"]:
        page.print()
    page.print(f"{sums(result, 'to add', 'to change', 'to withdraw')}." if result["plan"] else "Nothing to change.")


@app.command(epilog=EXIT_CODES)
def apply(
    file: File = MANIFEST,
    url: Url = None,
    token: Token = None,
    output: TextOrJson = PlanOutput.TEXT,
) -> None:
    """Make the graph say what the manifest says: what its origin said before and it does not say now is withdrawn."""
    result = _applied(file, url, token, dry_run=False)
    if output is PlanOutput.JSON:
        print_json({"version": 1, **{name: value for name, value in result.items() if name != "plan"}})
    elif result["changed"]:
        console().print(f"Applied: {sums(result, 'added', 'changed', 'withdrawn')}; revision {result['revision']}.")
    else:
        console().print(f"Nothing changed: all of it held already at revision {result['revision']}.")


@app.command(epilog=BULK_EXIT_CODES)
def bulk(
    file: Annotated[
        Path, typer.Argument(help="One JSON object a line; a name in .gz is unpacked; - is standard input.")
    ],
    origin: Origin = None,
    operation: OperationId = None,
    basis: Annotated[str, typer.Option(help="How the origin knows, where a line says nothing.")] = "IMPORTED",
    url: Url = None,
    token: Token = None,
    output: TextOrJson = PlanOutput.TEXT,
) -> None:
    """Register the lines of a file, in any order and of any number. Good lines are kept whatever the others say."""

    def tell(event: dict[str, Any]) -> None:
        if "error" in event:
            error = event["error"]
            place = ": ".join(str(part) for part in (f"{file}:{error['line']}", error["field"]) if part is not None)
            typer.echo(f"{place}: {error['message']}", err=True)
        elif sys.stderr.isatty():
            progress = event["progress"]
            typer.echo(f"{progress['committed']:,} of {progress['lines']:,} lines", err=True)

    with telling(file), _opened(file) as lines, Client(url, token) as client:
        done = client.bulk(lines, origin, operation, basis, tell)
    if output is PlanOutput.JSON:
        print_json({"version": 1, **done})
    else:
        counts = f"{done['committed']:,} lines taken, {done['refused']:,} refused: {sums(done, 'added', 'changed', 'withdrawn')}"
        console().print(f"{counts}; revision {done['revision']}.")
    raise typer.Exit(USAGE_CODE if done["refused"] else CLEAN_CODE)


@app.command(epilog=SAME_EXIT_CODES)
def consumers(
    asset: Annotated[str, typer.Argument(help="Its key, like deployment:risk/scores.")],
    url: Url = None,
    token: Token = None,
    output: TextOrJson = PlanOutput.TEXT,
) -> None:
    """Show who uses an asset: each consumer once, with all its names, and calls that were proved apart from those claimed."""
    with telling(), Client(url, token) as client:
        found = client.consumers(asset)
    if output is PlanOutput.JSON:
        print_json({"version": 1, **found})
        return
    for each in found["consumers"]:
        typer.echo(each["id"])
        names = [each["id"], *each["sameAs"]]
        for name in names:
            calls = [call for call in each["calls"] if call["name"] == name]
            for call in calls:
                how = "verified" if call["verified"] else "claimed"
                typer.echo(f"  {how:<9} {call['usage']['calls']:>10,} calls  {name}")
            if not calls and len(names) > 1:
                typer.echo(f"  {'not seen':<9} {'':>10}        {name}")
    many = len(found["consumers"])
    typer.echo(
        f"{many:,} consumer{'' if many == 1 else 's'}; {found['unidentified']:,} calls by callers that could not be told."
        + ("" if asset.startswith(CALLED) else " Calls are those of all that a consumer calls.")
    )


@same.command(epilog=SAME_EXIT_CODES)
def join(
    assets: Annotated[list[str], typer.Argument(help="Keys of datasets, deployments or consumers.")],
    shown: Annotated[str, typer.Option("--as", help="The key that is shown for all.")],
    url: Url = None,
    token: Token = None,
) -> None:
    """Say that assets are the same as another."""
    with telling(), Client(url, token) as client:
        _tell_joined(client.join(assets, shown), "Joined")


@same.command(epilog=SAME_EXIT_CODES)
def part(
    assets: Annotated[list[str], typer.Argument(help="Keys of what was joined.")],
    url: Url = None,
    token: Token = None,
) -> None:
    """Take back what join said of these assets."""
    with telling(), Client(url, token) as client:
        _tell_joined(client.part(assets), "Parted")


watching.add_to(app)
checking.add_to(app)
agreeing.add_to(app)


def main() -> None:
    try:
        app()
    except Exception:  # noqa: BLE001  what nobody foresaw must not look like "blocked"
        traceback.print_exc()
        sys.exit(FAULT_CODE)


def _applied(file: Path, url: str | None, token: str | None, dry_run: bool) -> dict[str, Any]:
    with telling(file):
        text = _read(file)
        if text is None:
            raise typer.BadParameter(f"there is no {file}")
        document = manifests.parsed(text, str(file))
        try:
            with Client(url, token) as client:
                return client.apply_manifest(document, dry_run)
        except Refused as error:
            raise Refused("\n".join(f"{file}: {line}" for line in str(error).splitlines()), error.code) from error


def _tell_joined(done: dict[str, Any], what: str) -> None:
    typer.echo(f"{what} at revision {done['revision']}." if done["changed"] else "Nothing changed: it is so already.")


def _opened(file: Path) -> AbstractContextManager[Iterable[bytes]]:
    if str(file) == "-":
        return nullcontext(sys.stdin.buffer)
    return gzip.open(file) if file.suffix == ".gz" else file.open("rb")


def _read(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return None
