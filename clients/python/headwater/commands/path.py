"""`headwater path`: how one asset leads to another, with what proves it."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.padding import Padding
from rich.text import Text

from headwater import asked
from headwater.commands import options as given
from headwater.completion import asset_keys
from headwater.forms import STRUCTURED, Code, Json, ago, many, markdown_table, mermaid, write
from headwater.terminal import READING_EXIT_CODES, Drawn, Output, Panel, Token, Url, connected, console, put, telling
from headwater.texts import plain

Source = Annotated[str, typer.Argument(help="The key of where it begins.", metavar="FROM", autocompletion=asset_keys, show_default=False)]  # fmt: skip
Target = Annotated[str, typer.Argument(help="The key of where it ends.", metavar="TO", autocompletion=asset_keys, show_default=False)]  # fmt: skip
First = Annotated[int, typer.Option("--first", min=1, max=100, help="So many of the shortest.")]


def add_to(app: typer.Typer) -> None:
    app.command(epilog=READING_EXIT_CODES, rich_help_panel=Panel.ASK)(path)


def path(
    source: Source,
    target: Target,
    first: First = 1,
    follow: given.Following = given.Follow.VALUES,
    at: given.At = None,
    known_at: given.KnownAt = None,
    url: Url = None,
    token: Token = None,
    output: Drawn = Output.TEXT,
) -> None:
    """Show how one asset leads to another, and who says so.

    The shortest paths, each flow with its evidence. That there is none is an answer, too: it ends with 0.
    """
    then = given.known_at(known_at)
    with telling(), connected(url, token) as client:
        found = asked.paths(client, source, target, follow.value.upper(), first, at, then)
        backwards = output is Output.TEXT and not found["paths"] and source != target
        back = asked.paths(client, target, source, follow.value.upper(), 1, at, then) if backwards else None
    if output in STRUCTURED:
        write({"source": source, "target": target, "follow": follow.value.upper(), **found}, output)
    elif output is Output.MERMAID:
        put(_mermaid(source, target, found))
    elif output is Output.MARKDOWN:
        put(_markdown(found))
    else:
        _tell(source, target, found, back)


def _evidence(hop: Json) -> str:
    """`observed by gateway, verified, 1,203.4 calls a day, last seen 2 h ago`"""
    told = [f"{hop['basis'].lower()} by {', '.join(map(plain, hop['origins']))}"]
    if hop["via"]:
        told.append(f"via {hop['via']['id']}")
    if hop["verified"] is not None:
        told.append("verified" if hop["verified"] else "only claimed")
    if hop["usage"]["calls"]:
        told.append(f"{hop['usage']['callsPerDay']:,.1f} calls a day, last seen {ago(hop['usage']['lastSeen'])}")
    if hop["dormant"]:
        told.append("not seen for long")
    return ", ".join(told)


def _tell(source: str, target: str, found: Json, back: Json | None) -> None:
    page = console()
    if not found["paths"]:
        page.print(f"No way leads from {source} to {target}.", soft_wrap=True)
        if back and back["paths"]:
            page.print(f"One leads the other way, over {many(back['paths'][0]['length'], 'flow')}.")
        return
    for number, each in enumerate(found["paths"]):
        if number:
            page.print()
        page.print(Text(each["hops"][0]["source"]["id"] if each["hops"] else source, style="bold", overflow="fold"))
        for hop in each["hops"]:
            built = hop["timing"] == "BUILT"
            passes = "baked in once" if built else "passes at once"
            page.print(Padding(Text(f"{'⇣' if built else '↓'} {passes}; {_evidence(hop)}", style="dim"), (0, 0, 0, 2)))
            page.print(Text(hop["target"]["id"], style="bold", overflow="fold"))
    count = found["count"]
    all_ = f"{count['total']} in all" if count["total"] is not None else "more than can be counted in all"
    shortest = f"{count['shortest']} of {many(count['length'], 'flow')}"
    page.print()
    page.print(f"Ways: {all_}, the shortest: {shortest}; revision {found['revision']}.")


def _markdown(found: Json) -> str:
    rows = [
        (str(number), Code(hop["source"]["id"]), Code(hop["target"]["id"]), hop["timing"].lower(), _evidence(hop))
        for number, each in enumerate(found["paths"], 1)
        for hop in each["hops"]
    ]
    return markdown_table(("path", "from", "to", "timing", "evidence"), rows)


def _mermaid(source: str, target: str, found: Json) -> str:
    hops = [hop for each in found["paths"] for hop in each["hops"]]
    arrows = dict.fromkeys((hop["source"]["id"], hop["target"]["id"], hop["timing"] == "BUILT") for hop in hops)
    keys = dict.fromkeys([source, *(key for arrow in arrows for key in arrow[:2]), target])
    return mermaid([*keys], arrows, [source, target])
