"""`headwater lineage`: what is downstream or upstream of an asset."""

from __future__ import annotations

from typing import Annotated

import typer

from headwater import asked
from headwater.answering import answering
from headwater.commands import options as given
from headwater.forms import STRUCTURED, Code, Json, many, markdown_table, mermaid, refuse_many, write
from headwater.simulating import Planned, simulated
from headwater.terminal import READING_EXIT_CODES, Drawn, GraphFile, Output, Panel, Token, Url, console, put, telling
from headwater.trees import WHENS, tree

Upstream = Annotated[bool, typer.Option("--up/--down", help="What it comes from, or what comes from it.")]

"""Assets in a Mermaid drawing: beyond it Mermaid draws nothing, or nothing that can be read."""


def add_to(app: typer.Typer) -> None:
    app.command(epilog=READING_EXIT_CODES, rich_help_panel=Panel.ASK)(lineage)


def lineage(
    asset: given.Key,
    up: Upstream = False,
    depth: given.Depth = None,
    follow: given.Following = given.Follow.VALUES,
    at: given.At = None,
    known_at: given.KnownAt = None,
    kinds: given.Kinds = None,
    namespaces: given.Namespaces = None,
    owners: given.Owners = None,
    tags: given.Tags = None,
    tiers: given.Tiers = None,
    bases: given.ByBasis = None,
    timings: given.Timings = None,
    origins: given.Origins = None,
    verified: given.Verified = False,
    planned: Planned = None,
    limit: given.Limit = given.LIMIT,
    graph: GraphFile = None,
    url: Url = None,
    token: Token = None,
    output: Drawn = Output.TEXT,
) -> None:
    """Show what an asset leads to, or comes from.

    As a tree: each asset stands once, under the nearest that leads to it. What is not felt at once is marked: at the next
    training, or historic, reached only through what nothing uses any more.
    """
    question = asked.Question(
        asset,
        asked.UPSTREAM if up else asked.DOWNSTREAM,
        follow.value.upper(),
        depth,
        at,
        given.known_at(known_at),
        given.flows(bases, timings, origins, verified),
        given.selection(kinds, namespaces, owners, tags, tiers),
    )
    with telling(), answering(url, token, graph) as source:
        if planned:
            simulated(source, question, planned, output)
            return
        found = source.lineage(question, arrows=True)
        drawn(found, output)
    if output in STRUCTURED:
        write({"direction": question.direction, "follow": question.follow, **found}, output)
    elif output is Output.MARKDOWN:
        put(markdown(found["assets"]))
    elif output is Output.TEXT:
        _tell(found, up, limit)


def drawn(found: Json, output: Output) -> None:
    """Prints the drawing, if that is what is asked for. Raises BadParameter for one that is too large."""
    if output is not Output.MERMAID:
        return
    refuse_many(len(found["assets"]))
    start = found["start"]["id"]
    arrows = [(each["source"], each["target"], each["timing"] == "BUILT") for each in found["arrows"]]
    put(mermaid([start, *(row["key"] for row in found["assets"])], arrows, [start]))


def markdown(rows: list[Json]) -> str:
    cells = [
        (Code(row["key"]), str(row["hops"]), WHENS[row["when"]], ", ".join(row["owners"]), str(row["tier"] or ""))
        for row in rows
    ]
    return markdown_table(("asset", "hops", "when", "owners", "tier"), cells, right=(1,))


def _tell(found: Json, up: bool, limit: int) -> None:
    page = console()
    total, where = len(found["assets"]), "upstream" if up else "downstream"
    if not total:
        start = found["start"]["id"]
        none = f"Nothing is {where} of {start}."
        if found["reached"]:
            none = f"None of the {many(found['reached'], 'asset')} {where} of {start} is what was asked for."
        page.print(none, soft_wrap=True)
        return
    page.print(tree(found, not up, limit))
    page.print()
    shown = f", the nearest {limit:,} of them shown: --limit 0 shows all" if limit and total > limit else ""
    beyond = "" if found["complete"] else "; there is more beyond this depth"
    page.print(f"{many(total, 'asset')} {where}{shown}{beyond}; revision {found['revision']}.", soft_wrap=True)
