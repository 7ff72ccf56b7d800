"""The commands about what the service has seen: `headwater sources|rejected|dependencies|unused|removal`."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from textwrap import indent
from typing import Annotated, Any, Optional

import typer
from rich.text import Text

from headwater import watched
from headwater.forms import STRUCTURED, Code, ago, markdown_table, print_table, reached, write
from headwater.terminal import (
    ACKNOWLEDGE_CODE,
    BLOCKED_CODE,
    CLEAN_CODE,
    READING_EXIT_CODES,
    USAGE_CODE,
    Output,
    Panel,
    Structured,
    Token,
    Url,
    Written,
    connected,
    console,
    put,
    telling,
)
from headwater.texts import plain, plain_lines

Json = dict[str, Any]

RETAKING_EXIT_CODES = (
    "Exit codes: 0 done; 2 some were refused again, or wrong usage; 4 the service cannot be reached; 70 a "
    "fault of this program."
)
REMOVAL_EXIT_CODES = (
    "Exit codes: 0 safe; 1 it is used, or somebody says that they need it; 3 nobody was seen, and not all uses "
    "would have been seen; 2 wrong usage; 4 the service cannot be reached; 70 a fault of this program."
)

_STYLES = {
    "WELL": "green",
    "SILENT": "yellow",
    "REFUSED": "red",
    "YOUNG": "cyan",
    "SAFE": "bold green",
    "UNCOVERED": "bold yellow",
    "NEEDED": "bold red",
    "USED": "bold red",
    "TAKEN": "green",
    "UNKNOWN": "yellow",
    "LATER": "yellow",
}

Days = Annotated[int, typer.Option("--days", min=1, max=400, help="Over how many days.")]
OfSource = Annotated[Optional[str], typer.Option("--source", help="Of one source alone.", show_default=False)]  # noqa: UP045
Kinds = Annotated[Optional[list[str]], typer.Option("--kind", help="dataset, model, …", show_default="all but parts")]  # fmt: skip  # noqa: UP045


class Which(str, Enum):
    UNDECLARED = "undeclared"
    DORMANT = "dormant"


def add_to(app: typer.Typer) -> None:
    app.command(epilog=READING_EXIT_CODES, rich_help_panel=Panel.WATCH)(sources)
    app.command(epilog=RETAKING_EXIT_CODES, rich_help_panel=Panel.WATCH)(rejected)
    app.command(epilog=READING_EXIT_CODES, rich_help_panel=Panel.WATCH)(dependencies)
    app.command(epilog=READING_EXIT_CODES, rich_help_panel=Panel.WATCH)(unused)
    app.command(epilog=REMOVAL_EXIT_CODES, rich_help_panel=Panel.WATCH)(removal)


def sources(days: Days = 7, url: Url = None, token: Token = None, output: Written = Output.TEXT) -> None:
    """Say how lately each source told something."""
    with telling(), connected(url, token) as client:
        found = [*watched.sources(client, days)]
    if output in STRUCTURED:
        write({"sources": found}, output)
        return
    rows = [
        (
            each["name"],
            _styled(each["health"]),
            ago(each["lastHeard"]),
            ago(each["latestEvent"]),
            f"{sum(day['items'] for day in each['days']):,}",
            f"{each['rejected']:,}" if each["rejected"] else "",
        )
        for each in found
    ]
    titles = ("source", "health", "heard", "latest event", f"items in {days} days", "rejected")
    if output is Output.MARKDOWN:
        put(markdown_table(titles, rows, right=(4, 5)))
    else:
        print_table(titles, rows, right=(4, 5))


def rejected(
    source: OfSource = None,
    retake: Annotated[bool, typer.Option("--retake", help="Have them taken again, as they came.")] = False,
    discard: Annotated[bool, typer.Option("--discard", help="Give them up.")] = False,
    ids: Annotated[Optional[list[str]], typer.Argument(help="Only these.", show_default="all")] = None,  # noqa: UP045
    url: Url = None,
    token: Token = None,
    output: Structured = Output.TEXT,
) -> None:
    """Show what was refused, and why.

    Or have it taken again, or give it up.
    """
    if retake and discard:
        raise typer.BadParameter("--retake and --discard are two different things")
    with telling(), connected(url, token) as client:
        found = [each for each in watched.rejected(client, source) if not ids or each["id"] in ids]
        chosen = ids or [each["id"] for each in found]
        if retake:
            _tell_retaken(watched.retake(client, chosen), output)
            return
        if discard:
            given_up = watched.discard(client, chosen)
            if output in STRUCTURED:
                write({"discarded": given_up}, output)
            else:
                console().print(f"{given_up:,} given up.")
            return
    if output in STRUCTURED:
        write({"rejected": found}, output)
        return
    for each in found:
        place = f" at {each['place']}" if each["place"] else ""
        times = f", {each['times']} times" if each["times"] > 1 else ""
        console().print(
            Text(
                f"{each['id']}  {plain(each['source'])}{plain(place)}, {ago(each['lastRejected'])}{times}", style="bold"
            )
        )
        console().print(indent(plain_lines(each["reason"]), "  "), soft_wrap=True)
    if not found:
        console().print("Nothing was refused.")


def _tell_retaken(retaken: Sequence[Json], output: Output) -> None:
    if output in STRUCTURED:
        write({"retaken": [*retaken]}, output)
    else:
        for each in retaken:
            console().print(Text.assemble(each["id"], "  ", _styled(each["outcome"])))
            if each["reason"]:
                console().print(indent(plain_lines(each["reason"]), "  "), soft_wrap=True)
        if not retaken:
            console().print("Nothing was refused.")
    raise typer.Exit(CLEAN_CODE if all(each["outcome"] == "TAKEN" for each in retaken) else USAGE_CODE)


def dependencies(
    which: Annotated[
        Which, typer.Argument(help="undeclared: seen, and nobody declared it; dormant: declared, and not seen.")
    ],
    days: Days = 30,
    url: Url = None,
    token: Token = None,
    output: Written = Output.TEXT,
) -> None:
    """Show who calls unsaid, or said so and does not call."""
    with telling(), connected(url, token) as client:
        found = [*watched.dependencies(client, which.value.upper(), days)]
    if output in STRUCTURED:
        write({"dependencies": found}, output)
        return
    if output is Output.MARKDOWN:
        rows = [
            (
                Code(each["flow"]["source"]["id"]),
                Code(each["flow"]["target"]["id"]),
                f"{each['flow']['usage']['callsPerDay']:,.1f}",
                ago(each["flow"]["usage"]["lastSeen"]),
            )
            for each in found
        ]
        put(markdown_table(("from", "to", "calls a day", "last seen"), rows, right=(2,)))
        return
    for each in found:
        flow, usage = each["flow"], each["flow"]["usage"]
        console().print(Text(f"{flow['source']['id']} -> {flow['target']['id']}", style="bold"), soft_wrap=True)
        calls = f"{usage['callsPerDay']:,.1f} calls a day, last seen {ago(usage['lastSeen'])}"
        declared = f"declared {ago(each['declaredSince'])}" if each["declaredSince"] else "nobody declared it"
        console().print(f"  {calls}; {declared}; said by {plain(', '.join(flow['origins']))}", soft_wrap=True)
    if not found:
        console().print("None.")


def unused(
    kinds: Kinds = None,
    safe: Annotated[bool, typer.Option("--safe", help="Only those that are safe to remove.")] = False,
    days: Days = 30,
    url: Url = None,
    token: Token = None,
    output: Written = Output.TEXT,
) -> None:
    """Show what nobody uses.

    And whether it would have been seen if somebody did.
    """
    with telling(), connected(url, token) as client:
        found = [*watched.unused(client, kinds or (), "SAFE" if safe else None, days)]
    if output in STRUCTURED:
        write({"unused": found}, output)
        return
    if output is Output.MARKDOWN:
        asked = [(each, each["asset"]) for each in found]
        cells = [
            (Code(asset["id"]), each["verdict"].lower(), reached(asset["owners"]), "; ".join(each["uncovered"]))
            for each, asset in asked
        ]
        put(markdown_table(("asset", "removal", "owners", "not covered"), cells))
        return
    for each in found:
        owners = ", ".join(plain(owner["contact"] or owner["name"]) for owner in each["asset"]["owners"])
        named = f"  {each['asset']['id']}" + (f" ({owners})" if owners else "")
        console().print(Text.assemble(_styled(each["verdict"]), named), soft_wrap=True)
        for sentence in each["uncovered"]:
            console().print(f"  not covered: {plain(sentence)}", soft_wrap=True)
    if not found:
        console().print("None.")


def removal(
    key: Annotated[str, typer.Argument(help="The key of an asset, as dataset:warehouse/orders.")],
    days: Days = 30,
    url: Url = None,
    token: Token = None,
    output: Structured = Output.TEXT,
) -> None:
    """Say whether anybody would miss an asset."""
    with telling(), connected(url, token) as client:
        found = watched.removal(client, key, days)
    verdict = found["verdict"]
    code = {"SAFE": CLEAN_CODE, "UNCOVERED": ACKNOWLEDGE_CODE}.get(verdict, BLOCKED_CODE)
    if output in STRUCTURED:
        write({**found, "exitCode": code}, output)
        raise typer.Exit(code)
    told = {
        "SAFE": f"nobody was seen using it in {days} days, and every source that would have seen a use was well",
        "UNCOVERED": f"nobody was seen using it in {days} days, but not all uses would have been seen",
        "NEEDED": f"nobody was seen using it in {days} days, but somebody says that they depend on it, or a job read it before",
        "USED": "it is used",
    }
    page = console()
    page.print(Text.assemble(_styled(verdict), f"  {key}: {told[verdict]}."), soft_wrap=True)
    if found["calls"]:
        page.print(f"  called {found['calls']:,} times, last {ago(found['lastCalled'])}")
    for name, word in (("users", "used by"), ("needing", "needed by")):
        for each in found[name]:
            owners = ", ".join(plain(owner["contact"] or owner["name"]) for owner in each["owners"])
            page.print(f"  {word} {each['id']}" + (f" ({owners})" if owners else ""), soft_wrap=True)
    for each in found["watchers"]:
        page.print(f"  watched by {plain(each['source'])}, heard {ago(each['lastHeard'])}", soft_wrap=True)
    for sentence in found["uncovered"]:
        page.print(Text(f"  not covered: {plain(sentence)}", style="yellow"), soft_wrap=True)
    raise typer.Exit(code)


def _styled(word: str) -> Text:
    return Text(word.lower(), style=_STYLES.get(word, ""))
