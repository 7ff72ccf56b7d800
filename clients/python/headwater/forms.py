"""Answers in the forms that people and machines read: tables, Markdown, Mermaid, JSON and YAML."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any
from urllib.parse import unquote

import typer
import yaml
from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from headwater.terminal import Output, console, put, sums
from headwater.texts import plain

Json = dict[str, Any]
Row = Sequence[str | Text]

DRAWN_AT_MOST = 500
STRUCTURED = {Output.JSON, Output.YAML}
"""Forms that `write` writes."""

SIGNS = {"ADDED": ("+", "green"), "CHANGED": ("~", "yellow"), "WITHDRAWN": ("-", "red")}
"""How changes of the graph are marked."""


def write(document: Mapping[str, Any], output: Output) -> None:
    """JSON or YAML, with the version of its form first."""
    versioned = {"version": 1, **document}
    if output is Output.YAML:
        put(yaml.safe_dump(versioned, sort_keys=False, allow_unicode=True, width=120))
    else:
        put(json.dumps(versioned, indent=2, ensure_ascii=False) + "\n")


def print_table(
    titles: Sequence[str], rows: Iterable[Row], right: Sequence[int] = (), none: str = "None.", keys: int = 0
) -> None:
    """For people. `keys`: the column of keys, which has its room first, and is folded, never cut: keys are there to be copied.
    `right`: columns of numbers. A column in which nothing stands is left out.
    """
    page = console()
    lines = [[cell if isinstance(cell, Text) else plain(cell) for cell in row] for row in rows]
    told = [place for place in range(len(titles)) if any(len(line[place]) for line in lines)]
    table = Table(box=None, pad_edge=False, header_style="bold")
    for place in told:
        longest = max(cell_len(str(line[place])) for line in lines)
        table.add_column(
            titles[place],
            justify="right" if place in right else "left",
            overflow="fold",
            no_wrap=place in right or (place == keys and longest <= page.width * 7 // 10),
        )
    for line in lines:
        table.add_row(*(line[place] for place in told))
    if table.row_count:
        page.print(table)
    else:
        page.print(none)


def print_plan(result: Mapping[str, Any]) -> None:
    """What would change in the graph, with its sums."""
    page = console()
    for change in result["plan"]:
        sign, style = SIGNS[change["verb"]]
        page.print(Text(f"{sign} {change['subject']}", style=style), soft_wrap=True)
    if result["plan"]:
        page.print()
        page.print(f"{sums(result, 'to add', 'to change', 'to withdraw')}.")
    else:
        page.print("Nothing to change.")


def markdown_table(titles: Sequence[str], rows: Iterable[Row], right: Sequence[int] = ()) -> str:
    lines = [
        f"| {' | '.join(titles)} |",
        f"| {' | '.join('---:' if place in right else '---' for place in range(len(titles)))} |",
    ]
    cells = ((cell if isinstance(cell, Code) else markdown_escaped(str(cell)) for cell in row) for row in rows)
    lines += [f"| {' | '.join(row)} |" for row in cells]
    return "\n".join([*lines, ""])


def markdown_escaped(text: str) -> str:
    return "".join(
        f"\\{char}" if char in "\\`*_{}[]<>|~#" else "@\u200b" if char == "@" else char for char in plain(text)
    )


class Code(str):
    """A key in Markdown; none holds a backtick, nor a pipe."""

    def __new__(cls, key: str) -> Code:
        return super().__new__(cls, f"`{key}`")


def mermaid(keys: Sequence[str], arrows: Iterable[tuple[str, str, bool]], starts: Iterable[str] = ()) -> str:
    """A flowchart of assets. Arrows are (source, target, baked in once): those that are baked in are dotted.

    Parts stand in the box of their container.
    """
    drawn = [*arrows]
    name = {key: f"n{place}" for place, key in enumerate(keys)}
    boxes: dict[str | None, list[str]] = {}
    for key in keys:
        boxes.setdefault(container(key), []).append(key)
    by_itself = {end for arrow in drawn for end in arrow[:2]} | {*starts}
    lines = ["flowchart LR"]
    for box, parts in boxes.items():
        if box is not None:
            lines.append(f'  subgraph s{name[parts[0]]}["{mermaid_escaped(label(box))}"]')
            parts = [box, *parts] if box in by_itself else parts  # noqa: PLW2901
        indent = "    " if box else "  "
        own = [key for key in parts if box is not None or key not in boxes]  # a container's own node is in its box
        lines += [f'{indent}{name[key]}["{mermaid_escaped(label(key))}"]' for key in own]
        if box is not None:
            lines.append("  end")
    lines += [f"  {name[source]} {'-.->' if built else '-->'} {name[target]}" for source, target, built in drawn]
    lines += [f"  style {name[key]} stroke-width:3px" for key in starts]
    return "\n".join([*lines, ""])


def refuse_many(drawn: int) -> None:
    """Raises BadParameter for more assets than anybody could look at."""
    if drawn > DRAWN_AT_MOST:
        raise typer.BadParameter(
            f"{drawn:,} assets are too many to draw, at most {DRAWN_AT_MOST}: narrow them with --depth or --kind"
        )


def mermaid_escaped(text: str) -> str:
    """Mermaid decodes `#number;` when all else is parsed, its own Markdown included."""
    return "".join(f"#{ord(char)};" if char in '"<>&#;:`[]{}()|\\/*~$%@' else char for char in plain(text))


def label(key: str) -> str:
    """What a key says, for a drawing: `column orders.amount`."""
    kind, _, rest = key.partition(":")
    head, sharp, part = rest.partition("#")
    name = unquote(head.partition("/")[2])
    dot = ":" if kind == "feature" else " " if kind in {"run", "model_version"} else "."
    return f"{kind.replace('_', ' ')} {name}{dot}{unquote(part)}" if sharp else f"{kind.replace('_', ' ')} {name}"


def container(key: str) -> str | None:
    """The key of what it is a part of; None for what is no part."""
    head, part, _ = key.partition("#")
    kind, _, name = head.partition(":")
    return f"{_CONTAINERS[kind]}:{name}" if part and kind in _CONTAINERS else None


_CONTAINERS = {"column": "dataset", "feature": "feature_view", "run": "job", "model_version": "model"}


def many(count: int, word: str) -> str:
    """`1 asset`, `2,000 assets`."""
    plural = word[:-1] + "ies" if word.endswith("y") else word + "s"
    return f"{count:,} {word if count == 1 else plural}"


def reached(owners: Iterable[Mapping[str, Any]]) -> str:
    """Owners, each with the way to reach them."""
    return ", ".join(
        f"{plain(each['name'])} ({plain(each['contact'])})" if each["contact"] else plain(each["name"])
        for each in owners
    )


def ago(text: str | None) -> str:
    """How long ago, roughly."""
    if text is None:
        return "never"
    seconds = (datetime.now(timezone.utc) - datetime.fromisoformat(text.replace("Z", "+00:00"))).total_seconds()
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{int(seconds // size)} {unit} ago"
    return "just now" if seconds < 120 else f"{int(seconds)} s ago"
