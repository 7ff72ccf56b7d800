"""`headwater search|consumers`: what there is, and who uses it."""

from __future__ import annotations

from typing import Annotated

import typer

from headwater import asked
from headwater.client import CALLED
from headwater.commands import options as given
from headwater.forms import STRUCTURED, Code, Json, many, markdown_table, print_table, reached, write
from headwater.results import Consumer
from headwater.terminal import READING_EXIT_CODES, Output, Panel, Token, Url, Written, connected, console, put, telling
from headwater.texts import plain

Words = Annotated[str, typer.Argument(help="Words of its key, description, owners or tags, or how they begin; '' is all.", metavar="TEXT")]  # fmt: skip
Most = Annotated[int, typer.Option("--limit", min=1, help="At most so many.")]


def add_to(app: typer.Typer) -> None:
    app.command(epilog=READING_EXIT_CODES, rich_help_panel=Panel.ASK)(search)
    app.command(epilog=READING_EXIT_CODES, rich_help_panel=Panel.ASK)(consumers)


def search(
    text: Words,
    kinds: given.Kinds = None,
    limit: Most = 20,
    url: Url = None,
    token: Token = None,
    output: Written = Output.TEXT,
) -> None:
    """Find assets by words."""
    with telling(), connected(url, token) as client:
        found, more = asked.search(client, text, kinds or (), limit)
    titles = ("asset", "owners", "tier", "description")
    if output in STRUCTURED:
        write({"text": text, "assets": found, "more": more}, output)
    elif output is Output.MARKDOWN:
        rows = [(Code(each["id"]), *_row(each)) for each in found]
        put(markdown_table(titles, rows))
    else:
        print_table(titles, [(each["id"], *_row(each)) for each in found], none=f"Nothing matches {plain(text)!r}.")
        if more:
            console().print(f"and more: --limit {limit * 10} shows up to {limit * 10:,}, further words narrow it down.")


def _row(asset: Json) -> tuple[str, ...]:
    return (reached(asset["owners"]), str(asset["tier"] or ""), plain(asset["description"] or ""))


def consumers(
    asset: given.Key,
    url: Url = None,
    token: Token = None,
    output: Written = Output.TEXT,
) -> None:
    """Show who uses an asset, and how much.

    Each consumer stands once, with all its names; calls that were proved stand apart from those that were only claimed.
    """
    with telling(), connected(url, token) as client:
        found = client.consumers(asset)
    if output in STRUCTURED:
        consumers = [_document(each) for each in found]
        write({"id": found.asset, "unidentified": found.unidentified, "consumers": consumers}, output)
        return
    titles, numbers = ("consumer", "hops", "identity", "calls in 30 days"), (1, 3)
    if output is Output.MARKDOWN:
        rows = [(Code(key), *rest) for each in found for key, *rest in _names(each)]
        put(markdown_table(titles, rows, right=numbers))
        return
    if len(found):
        print_table(titles, (row for each in found for row in _names(each)), right=numbers)
        console().print()
    told = f"{many(len(found), 'consumer')}; {many(found.unidentified, 'call')} by callers that could not be told."
    console().print(told + ("" if asset.startswith(CALLED) else " Calls are those of all that a consumer calls."))


def _names(consumer: Consumer) -> list[tuple[str, ...]]:
    """A row for each name under which it called, and how surely: what it is known as stands first."""
    rows: list[tuple[str, ...]] = []
    for name in [consumer.key, *consumer.same_as]:
        calls = [call for call in consumer.calls if call.name == name]
        hops = str(consumer.hops) if name == consumer.key else ""
        named = name if name == consumer.key else f"  also {name}"
        for call in calls:
            rows.append((named, hops, "verified" if call.verified else "claimed", f"{call.calls:,}"))
            hops = ""
        if not calls:
            rows.append((named, hops, "not seen", ""))
    return rows


def _document(consumer: Consumer) -> Json:
    calls = [
        {
            "name": each.name,
            "verified": each.verified,
            "usage": {
                "calls": each.calls,
                "errors": each.errors,
                "lastSeen": each.last_seen and each.last_seen.isoformat(),
            },
        }
        for each in consumer.calls
    ]
    return {
        "id": consumer.key,
        "sameAs": [*consumer.same_as],
        "hops": consumer.hops,
        "partly": consumer.partly,
        "verified": consumer.verified,
        "calls": calls,
    }
