"""`--with`: what `headwater impact` and `headwater lineage` answer if manifests were applied, side by side with today."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer
from rich.text import Text

from headwater import project
from headwater.asked import Question
from headwater.client import Client
from headwater.errors import Refused
from headwater.forms import (
    STRUCTURED,
    Code,
    Json,
    many,
    markdown_escaped,
    markdown_table,
    mermaid,
    print_table,
    refuse_many,
    write,
)
from headwater.terminal import Output, console, put
from headwater.trees import STYLES, WHENS

if TYPE_CHECKING:
    from headwater.answering import Source

Planned = Annotated[Optional[list[Path]], typer.Option("--with", metavar="FILE", help="As it would be with this manifest applied, side by side with today; may be repeated. A folder: all of them in its repository.", show_default=False)]  # fmt: skip  # noqa: UP045

_SOONEST = (*WHENS,)


def documents(files: Sequence[Path]) -> list[Json]:
    """Raises HeadwaterError."""
    if any(file.is_dir() for file in files):
        if len(files) > 1:
            raise typer.BadParameter("--with takes one folder, or files")
        return project.here(files[0]).documents
    return project.here(files[0].parent, files).documents


def simulated(source: Source, question: Question, files: Sequence[Path], output: Output) -> None:
    """Asks, and prints the answer. Raises what `Client.ask` raises, and Refused."""
    if question.at is not None or question.known_at is not None:
        raise typer.BadParameter("--with asks of now: it goes without --at and --known-at")
    found = source.explored(documents(files), question, output is Output.MERMAID)
    found = {"start": question.start, "direction": question.direction, "follow": question.follow, **found}
    if output in STRUCTURED:
        write(found, output)
    elif output is Output.MARKDOWN:
        put(_markdown(found))
    elif output is Output.MERMAID:
        put(_drawn(found))
    else:
        _tell(found)


def explored(client: Client, documents: Sequence[Json], question: Question, arrows: bool = False) -> Json:
    """{revision, at, plan, today, withPlan, added, removed, changed}, of now. Raises what `Client.ask` raises, and Refused.

    `today` and `withPlan`: {total, complete, counts}, None where the start is not there; with `arrows` all that is in them, and
    what flows straight between. The last three, nearest first: {key, owners, planned, removed, before, after}.
    """
    asked = {name: value for name, value in question.variables().items() if name not in {"at", "knownAt"}}
    simulation = _accepted(client.ask(_SIMULATE, documents=documents, arrows=arrows, **asked)["simulate"])
    difference = _accepted(simulation.pop("difference"))
    columns: dict[str, list[Any]] = difference.pop("columns")
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    plan = {name: simulation.pop(name) for name in ("added", "updated", "withdrawn")}
    return {**simulation, "plan": plan, **difference, **told(rows)}


def told(rows: Sequence[Json]) -> Json:
    return {
        "added": [row for row in rows if row["before"] is None],
        "removed": [row for row in rows if row["after"] is None],
        "changed": [row for row in rows if row["before"] and row["after"]],
    }


def _accepted(result: Json) -> Json:
    if "problem" in result:
        raise Refused(result["problem"], result["__typename"])
    return result


def headline(found: Json) -> str:
    """One sentence: what the plan does to the answer."""
    where = "upstream" if found["direction"] == "UPSTREAM" else "downstream"
    if found["today"] is None:
        return f"{found['start']} is not there yet; {where} of it with the plan: {many(len(found['added']), 'asset')}."
    if found["withPlan"] is None:
        return f"{found['start']} is gone with the plan; {where} of it today: {many(len(found['removed']), 'asset')}."
    told = _counted(found)
    return f"With the plan, {where} of {found['start']}: {', '.join(told) if told else 'the same as today'}."


def _counted(found: Json) -> list[str]:
    sooner, later, moved = (len(each) for each in felt_otherwise(found))
    numbers = (
        (len(found["added"]), "more"),
        (len(found["removed"]), "no more"),
        (sooner, "sooner"),
        (later, "later"),
        (moved, "otherwise"),
    )
    return [f"{number:,} {word}" for number, word in numbers if number]


def felt_otherwise(found: Json) -> tuple[list[Json], list[Json], list[Json]]:
    """Of what is in both answers: what is felt sooner, what later, and what is only nearer, farther or another share."""
    sooner: list[Json] = []
    later: list[Json] = []
    moved: list[Json] = []
    for row in found["changed"]:
        before, after = (_SOONEST.index(row[side]["when"]) for side in ("before", "after"))
        (sooner if after < before else later if after > before else moved).append(row)
    return sooner, later, moved


def _sections(found: Json) -> Iterator[tuple[str, list[Json]]]:
    sooner, later, moved = felt_otherwise(found)
    sections = (
        ("comes", found["added"]),
        ("goes", found["removed"]),
        ("sooner", sooner),
        ("later", later),
        ("otherwise", moved),
    )
    yield from ((title, rows) for title, rows in sections if rows)


def _side(reached: Json | None) -> str:
    if reached is None:
        return ""
    partly = ", partly" if reached["partly"] else ""
    return f"{WHENS[reached['when']]}, {many(reached['hops'], 'flow')} away{partly}"


def _counts(found: Json) -> list[tuple[str, str, str]]:
    """Of each time felt, and of all: how many today and with the plan."""
    counts = [
        {each["when"]: each["count"] for each in side["counts"]["byWhen"]} if side else {}
        for side in (found["today"], found["withPlan"])
    ]
    rows = [(words, *(f"{side.get(when, 0):,}" for side in counts)) for when, words in WHENS.items()]
    return [*rows, ("all", *(f"{sum(side.values()):,}" for side in counts))]  # type: ignore[list-item]  # three each


def _changes(found: Json) -> str:
    plan = found["plan"]
    told = [
        f"{plan[name]:,} {word}"
        for name, word in (("added", "to add"), ("updated", "to change"), ("withdrawn", "to withdraw"))
        if plan[name]
    ]
    return f"The plan: {', '.join(told) if told else 'nothing to change'}; revision {found['revision']}. Nothing was applied."


def _tell(found: Json) -> None:
    page = console()
    page.print(Text(headline(found), style="bold"), soft_wrap=True)
    page.print()
    print_table(("", "today", "with the plan"), _counts(found), right=(1, 2))
    rows: list[tuple[str | Text, ...]] = []
    for title, differing in _sections(found):
        first = title
        for row in differing:
            when = (row["after"] or row["before"])["when"]
            marks = "new" if row["planned"] else "gone" if row["removed"] else ""
            rows.append(
                (
                    first,
                    row["key"],
                    marks,
                    _side(row["before"]),
                    Text(_side(row["after"]), style=STYLES[when]),
                    ", ".join(row["owners"]),
                )
            )
            first = ""
    if rows:
        page.print()
        print_table(("", "asset", "", "today", "with the plan", "owners"), rows)
    page.print()
    page.print(_changes(found), soft_wrap=True)


def _markdown(found: Json) -> str:
    lines = [
        f"**{markdown_escaped(headline(found))}**\n",
        markdown_table(("", "today", "with the plan"), _counts(found), right=(1, 2)),
    ]
    rows = [
        (title, Code(row["key"]), _side(row["before"]), _side(row["after"]), ", ".join(row["owners"]))
        for title, differing in _sections(found)
        for row in differing
    ]
    if rows:
        lines.append(markdown_table(("", "asset", "today", "with the plan", "owners"), rows))
    return "\n".join([*lines, f"{_changes(found)}\n"])


def _drawn(found: Json) -> str:
    """Both answers in one drawing: green is what comes, red and dashed what goes."""
    keys: dict[str, None] = {found["start"]: None}
    arrows: dict[tuple[str, str, bool], None] = {}
    for side in (found["withPlan"], found["today"]):
        if side is not None:
            places = [*side["columns"]["key"], found["start"]]  # -1 is the start
            keys.update(dict.fromkeys(side["columns"]["key"]))
            drawn = side["arrows"]
            arrows.update(
                ((places[source], places[target], timing == "BUILT"), None)
                for source, target, timing in zip(drawn["source"], drawn["target"], drawn["timing"], strict=True)
            )
    refuse_many(len(keys))
    name = {key: f"n{place}" for place, key in enumerate(keys)}
    styles = [f"  style {name[row['key']]} stroke:#2a2,stroke-width:3px\n" for row in found["added"]]
    styles += [f"  style {name[row['key']]} stroke:#c22,stroke-dasharray:5\n" for row in found["removed"]]
    return mermaid([*keys], arrows, [found["start"]]) + "".join(styles)


_PROBLEM = "... on Problem { __typename problem: message }"
_ANSWER = "total complete counts { byKind { kind count } byWhen { when count } } columns @include(if: $arrows) arrows @include(if: $arrows)"

_SIMULATE = f"""
query Simulate(
  $documents: [DocumentInput!]!
  $arrows: Boolean!
  $start: ID!
  $direction: Direction!
  $follow: Follow!
  $depth: Int
  $flows: FlowFilterInput
  $select: AssetFilterInput
) {{
  simulate(documents: $documents) {{
    ... on Simulation {{
      revision
      at
      added
      updated
      withdrawn
      difference(
        start: $start
        direction: $direction
        follow: $follow
        depth: $depth
        flows: $flows
        select: $select
      ) {{
        ... on LineageDifference {{
          today {{ {_ANSWER} }}
          withPlan {{ {_ANSWER} }}
          columns
        }}
        {_PROBLEM}
      }}
    }}
    {_PROBLEM}
  }}
}}
"""
