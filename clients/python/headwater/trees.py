"""An answer of lineage as a tree for people: each asset once, under the nearest that leads to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.text import Text
from rich.tree import Tree

from headwater.forms import container
from headwater.texts import plain

Json = dict[str, Any]

WHENS = {"NOW": "now", "NEXT_TRAINING": "next training", "HISTORIC": "historic"}
STYLES = {"NOW": "bold red", "NEXT_TRAINING": "yellow", "HISTORIC": "dim"}


def tree(found: Mapping[str, Any], downstream: bool, most: int) -> Tree:
    """`found` is an answer of `asked.lineage` with arrows; `most`: how many assets, 0 for all."""
    start, rows = found["start"]["id"], found["assets"][: most or None]
    below = parents(start, rows, found["arrows"], downstream)
    drawn = Tree(Text(start, style="bold", overflow="fold"), guide_style="dim")
    branches: dict[str, Tree] = {start: drawn}
    hops = {start: 0} | {row["key"]: row["hops"] for row in rows}
    waiting: dict[str, list[Json]] = {}
    for row in rows:
        waiting.setdefault(below[row["key"]], []).append(row)
    open_ = [start]
    while open_:
        key = open_.pop(0)
        for row in waiting.get(key, ()):
            branches[row["key"]] = branches[key].add(_line(row, row["hops"] - hops[key]))
            open_.append(row["key"])
    return drawn


def _line(row: Mapping[str, Any], flows: int) -> Text:
    """An asset of an answer, and what is to be said of it. `flows`: how many there are from what it stands under."""
    said = [WHENS[row["when"]]] if row["when"] != "NOW" else []
    said += [f"{flows} flows away"] if flows > 1 else []
    said += [word for word in ("partly", "stub") if row[word]]
    marks = f"  ({', '.join(said)})" if said else ""
    owners = f"  {', '.join(map(plain, row['owners']))}" if row["owners"] else ""
    title = f"  {plain(row['title'])}" if "%" in row["key"] else ""  # a key with escapes is hard to read
    return Text.assemble(row["key"], (title, "italic"), (marks, STYLES[row["when"]]), (owners, "cyan"), overflow="fold")


def parents(start: str, rows: Sequence[Json], arrows: Sequence[Json], downstream: bool) -> dict[str, str]:
    """Under which key each row stands: the nearest from which something flows straight to it (or the other way), else what
    it is part of, or what is part of it, else the start: what leads to it was not selected.
    """
    hops = {start: 0} | {row["key"]: row["hops"] for row in rows}
    near, far = ("source", "target") if downstream else ("target", "source")
    found: dict[str, str] = {}
    for arrow in arrows:
        above, key = arrow[near], arrow[far]
        if key in hops and above in hops and hops[above] < hops[key]:
            known = found.get(key)
            if known is None or (hops[above], above) < (hops[known], known):
                found[key] = above
    left = [row["key"] for row in rows if row["key"] not in found]
    reached_part: dict[str | None, str] = {}
    for key in found:
        reached_part.setdefault(container(key), key)
    for key in left:
        around = container(key)
        if around is not None and around in hops and around != start:
            found[key] = around
        else:
            found[key] = reached_part.get(key, start)
    return found
