"""`headwater deprecate`, `undeprecate`, `deprecations`, `acknowledge`: what people agree on before something goes."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Annotated, Any, Optional

import typer
from rich.table import Table
from rich.text import Text

from headwater.commands.check import BaseRef, PolicyFile, checked
from headwater.commands.files import Manifests
from headwater.errors import HeadwaterError
from headwater.forms import STRUCTURED, write
from headwater.report import NEEDS_ACKNOWLEDGEMENT, label, listed, reach
from headwater.terminal import WRITING_EXIT_CODES, Output, Panel, TextOrJson, Token, Url, connected, console, telling
from headwater.texts import plain

DAYS_SHOWN = 7

Key = Annotated[str, typer.Argument(help="Its key, like column:warehouse/orders#amount.")]
Day = Annotated[Optional[str], typer.Option(metavar="YYYY-MM-DD", help="The day from which it may be gone.")]  # fmt: skip  # noqa: UP045

Change = Annotated[Optional[tuple[str, str]], typer.Option(metavar="KEY DIGEST", help="What changes, and the digest of that change.", show_default="all that the check of the working tree finds")]  # fmt: skip  # noqa: UP045
Last = Annotated[Optional[str], typer.Option(metavar="YYYY-MM-DD", help="The last day on which it counts.", show_default="30 days from now")]  # fmt: skip  # noqa: UP045


def add_to(app: typer.Typer) -> None:
    for command in (deprecate, undeprecate, deprecations, acknowledge):
        app.command(epilog=WRITING_EXIT_CODES, rich_help_panel=Panel.CHANGE)(command)


def deprecate(
    key: Key,
    until: Day = None,
    use: Annotated[Optional[str], typer.Option(help="What to use instead: an asset's key, or words.")] = None,  # noqa: UP045
    reason: Annotated[Optional[str], typer.Option(help="Why.")] = None,  # noqa: UP045
    url: Url = None,
    token: Token = None,
) -> None:
    """Say that an asset goes away: everybody downstream is told, and its use is watched."""
    with telling(), connected(url, token) as client:
        _tell(client.deprecate(key, until, use, reason), f"{key} is deprecated")


def undeprecate(key: Key, url: Url = None, token: Token = None) -> None:
    """Say that an asset stays after all."""
    with telling(), connected(url, token) as client:
        _tell(client.undeprecate(key), f"{key} stays")


def deprecations(url: Url = None, token: Token = None, output: TextOrJson = Output.TEXT) -> None:
    """Show what is deprecated, who still uses it, and how their calls fall: a number a day, the last is today's."""
    with telling(), connected(url, token) as client:
        found = client.deprecations()
    if output in STRUCTURED:
        write({"deprecations": found}, output)
        return
    page = console()
    for each in found:
        told = each["deprecation"]
        lines = [f"since {told['toldAt'][:10]}"]
        lines += [f"until {told['until']}"] if told["until"] else []
        lines += [f"use {told['replacement']}"] if told["replacement"] else []
        lines += [told["reason"]] if told["reason"] else []
        page.print(Text(each["asset"]["id"], style="bold"), Text(plain(", ".join(lines))), soft_wrap=True)
        if not each["users"]:
            page.print("  nobody is known to use it")
            continue
        table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
        for user in each["users"]:
            owners = listed([reach(owner) for owner in user["asset"]["owners"]]) or "nobody owns it"
            cells = (f"  {label(user['asset']['id'])}", _falling(user["usage"]), owners)
            table.add_row(*(Text(plain(cell)) for cell in cells))
        page.print(table)
        if more := each["usersTotal"] - len(each["users"]):
            page.print(f"  and {more:,} more")
    if not found:
        page.print("Nothing is deprecated.")


def acknowledge(
    assets: Annotated[list[str], typer.Argument(help="Keys of deployments and consumers that you answer for.")],
    change: Change = None,
    until: Last = None,
    note: Annotated[Optional[str], typer.Option(help="For those who read the report.")] = None,  # noqa: UP045
    withdraw: Annotated[bool, typer.Option("--withdraw", help="Take it back.")] = False,
    file: Manifests = None,
    base: BaseRef = None,
    policy: PolicyFile = None,
    url: Url = None,
    token: Token = None,
) -> None:
    """Agree, as somebody who answers for them, to what exactly this change does to assets. Another change needs another word."""
    with telling(), connected(url, token) as client:
        named = [change] if change is not None else _found(assets, file or [], base, policy, url, token)
        for key, digest in named:
            if withdraw:
                _tell(client.withdraw_acknowledgement(assets, digest), f"The word on {key} is taken back")
            else:
                _tell(client.acknowledge(assets, key, digest, until, note), f"What happens to {key} is agreed")


def _found(
    assets: list[str], files: list[Path], base: str | None, policy: Path | None, url: str | None, token: str | None
) -> list[tuple[str, str]]:
    """The changes in the working tree that need the word of those who answer for `assets`."""
    report = checked(files, base, policy, url, token)
    digests = {finding["id"]: finding["digest"] for finding in report.answer["findings"]}
    wanted = [each for each in report.concerned if each["asset"]["id"] in assets]
    found = {change: digests[change] for each in wanted for change in each["changes"] if change in digests}
    if not found:
        why = "" if report.outcome == NEEDS_ACKNOWLEDGEMENT else f": the check says {report.title}"
        raise HeadwaterError(f"nothing that changes since {report.base} needs a word of {listed(assets)}{why}")
    return [*found.items()]


def _falling(usage: dict[str, Any]) -> str:
    """`120 → 5 → 0 calls`, oldest first; days without calls stand between."""
    days = usage["days"]
    if not days:
        return "no calls seen"

    today = datetime.now(timezone.utc).date()
    calls = {date.fromisoformat(day["date"]): day["calls"] for day in days}
    shown = [calls.get(today - timedelta(ago), 0) for ago in range(DAYS_SHOWN - 1, -1, -1)]
    last = f", last on {usage['lastSeen'][:10]}" if not any(shown) else ""
    return f"{' → '.join(f'{each:,}' for each in shown)} calls a day{last}"


def _tell(done: dict[str, Any], what: str) -> None:
    typer.echo(f"{what}; revision {done['revision']}." if done["changed"] else "Nothing changed: it is so already.")
