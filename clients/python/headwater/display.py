"""How an answer looks: as text, and in a notebook as a small graph and a table.

What others named is escaped. There are no scripts and no colours of a theme: lines and texts have the colour of the text
around them, so that they can be read on light and on dark. What is left out is said.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from uuid import UUID

MOST_ROWS = 25
MOST_COLUMNS = 6
MOST_IN_COLUMN = 8
MOST_ARROWS = 120
_TEXT_ROWS = 10
_LONGEST = 60

_WIDTH, _HEIGHT, _GAP, _ACROSS = 150, 34, 12, 56
"""Of a box, and between boxes, in pixels."""
_ABOVE = 10
"""For arrows that pass over a box."""
_COLOURS = {
    "dataset": "#4e79a7",
    "column": "#4e79a7",
    "feature_view": "#59a14f",
    "feature": "#59a14f",
    "job": "#9c755f",
    "run": "#9c755f",
    "model": "#b07aa1",
    "model_version": "#b07aa1",
    "deployment": "#f28e2b",
    "consumer": "#e15759",
}
"""Of a mark beside the name, which the kind is written next to."""


@dataclass(frozen=True)
class Table:
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    """At most MOST_ROWS."""
    total: int | None = None
    """How many there are; None: as many as the answer has."""


@dataclass(frozen=True)
class Node:
    key: str
    title: str
    kind: str
    place: int
    """The column that it stands in."""


@dataclass(frozen=True)
class Graph:
    nodes: Sequence[Node]
    arrows: Sequence[tuple[str, str, bool]]
    """From, to, and whether it is baked in once: those are dashed."""
    leftwards: bool = False
    """Later columns stand further left."""


def text(heading: str, table: Table, count: int) -> str:
    rows = [[_cut(_line(cell), 40) for cell in row] for row in (table.headings, *table.rows[:_TEXT_ROWS])]
    widths = [max(len(row[place]) for row in rows) for place in range(len(table.headings))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    total = count if table.total is None else table.total
    if total > _TEXT_ROWS:
        lines.append(f"… and {total - _TEXT_ROWS:,} more")
    return "\n".join([_line(heading), *(lines if table.rows else [])])


def html(heading: str, table: Table, count: int, graph: Graph | None) -> str:
    parts = [f'<div style="margin:0 0 .5em">{escape(_line(heading))}</div>']
    if graph is not None and len(graph.nodes) > 1:
        parts.append(svg(graph))
    if table.rows:
        parts.append(_html_table(table, count))
    return f'<div class="headwater" style="max-width:100%;color:inherit">{"".join(parts)}</div>'


def _html_table(table: Table, count: int) -> str:
    line = "border-bottom:1px solid rgba(128,128,128,.35)"
    cell = f"text-align:left;padding:.2em .8em .2em 0;{line}"
    head = "".join(f'<th style="{cell};font-weight:600">{escape(each)}</th>' for each in table.headings)
    rows = "".join(
        '<tr style="background:none">'
        + "".join(
            f'<td style="{cell}" title="{escape(_line(each))}">{escape(_cut(_line(each), _LONGEST))}</td>'
            for each in row
        )
        + "</tr>"
        for row in table.rows
    )
    total = count if table.total is None else table.total
    left = total - len(table.rows)
    more = (
        f'<div style="opacity:.7;font-size:.85em">and {left:,} more rows; .to_pandas() has all</div>'
        if left > 0
        else ""
    )
    return (
        '<div style="overflow-x:auto"><table style="border-collapse:collapse;color:inherit;font-size:.9em">'
        f'<thead><tr style="background:none">{head}</tr></thead><tbody>{rows}</tbody></table></div>{more}'
    )


@dataclass
class _Laid:
    """Boxes with their upper left corners."""

    boxes: dict[str, tuple[int, int]] = field(default_factory=dict)
    left_out: dict[int, int] = field(default_factory=dict)
    """How many a column has no room for."""
    width: int = 0
    height: int = 0


def svg(graph: Graph) -> str:
    """What no flow is known of, as a container of what is reached, is not drawn if anything has one."""
    total = len(graph.nodes)
    ends = {end for source, target, _ in graph.arrows for end in (source, target)}
    joined = [node for node in graph.nodes if node.key in ends or not ends]
    graph = Graph(joined, graph.arrows, graph.leftwards)
    laid = _laid_out(graph)
    shown = [node for node in graph.nodes if node.key in laid.boxes]
    arrows = [arrow for arrow in graph.arrows if arrow[0] in laid.boxes and arrow[1] in laid.boxes]
    drawn = [_arrow(laid, *arrow) for arrow in arrows[:MOST_ARROWS]]
    drawn += [_box(node, *laid.boxes[node.key]) for node in shown]
    for column, count in laid.left_out.items():
        x = _left(graph, laid, column)
        drawn.append(f'<text x="{x + 4}" y="{laid.height - 6}" opacity=".7">and {count:,} more</text>')
    missing = total - len(shown)
    said = [f"{missing:,} of {total:,} assets are not drawn"] if missing else []
    if any(built for _, _, built in arrows):
        said.append("dashed: baked in once")
    if len(arrows) > MOST_ARROWS:
        said.append(f"{len(arrows) - MOST_ARROWS:,} flows are not drawn")
    note = f'<div style="opacity:.7;font-size:.85em;margin:.2em 0 .6em">{"; ".join(said)}</div>' if said else ""
    return (
        '<div style="overflow-x:auto">'
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="graph of {len(shown)} assets"'
        f' width="{laid.width}" height="{laid.height}" viewBox="0 0 {laid.width} {laid.height}"'
        ' font-family="system-ui,sans-serif" font-size="11" fill="currentColor" style="color:inherit;max-width:none">'
        f"{''.join(drawn)}</svg></div>{note}"
    )


def _laid_out(graph: Graph) -> _Laid:
    """In columns by place; within one, each near those that it has arrows with in the column before."""
    columns: dict[int, list[Node]] = {}
    for node in graph.nodes:
        columns.setdefault(node.place, []).append(node)
    laid = _Laid()
    kept = sorted(columns)[:MOST_COLUMNS]
    neighbours: dict[str, list[str]] = {}
    for source, target, _ in graph.arrows:
        neighbours.setdefault(source, []).append(target)
        neighbours.setdefault(target, []).append(source)
    rows: dict[str, float] = {}
    for column in kept:
        nodes = columns[column]
        first = {node.key: place for place, node in enumerate(nodes)}
        near = {
            node.key: [rows[each] for each in neighbours.get(node.key, ()) if each in rows] or [float(first[node.key])]
            for node in nodes[: MOST_IN_COLUMN * 50]
        }
        nodes = sorted(nodes[:MOST_IN_COLUMN], key=lambda node: (sum(near[node.key]) / len(near[node.key]), node.title))
        rows |= {node.key: float(row) for row, node in enumerate(nodes)}
        if len(columns[column]) > len(nodes):
            laid.left_out[column] = len(columns[column]) - len(nodes)
        columns[column] = nodes
    tallest = max(len(columns[column]) for column in kept)
    laid.width = len(kept) * (_WIDTH + _ACROSS) - _ACROSS + 2
    laid.height = tallest * (_HEIGHT + _GAP) - _GAP + _ABOVE + 1 + (20 if laid.left_out else 0)
    middle = tallest * (_HEIGHT + _GAP) - _GAP
    for column in kept:
        used = len(columns[column]) * (_HEIGHT + _GAP) - _GAP
        for row, node in enumerate(columns[column]):
            y = _ABOVE + (middle - used) // 2 + row * (_HEIGHT + _GAP)
            laid.boxes[node.key] = _left(graph, laid, column), y
    return laid


def _left(graph: Graph, laid: _Laid, column: int) -> int:
    place = sorted({node.place for node in graph.nodes}).index(column)
    across = 1 + place * (_WIDTH + _ACROSS)
    return laid.width - _WIDTH - across if graph.leftwards else across


def _box(node: Node, x: int, y: int) -> str:
    colour = _COLOURS.get(node.kind, "#888")
    start = "2" if node.place == 0 else "1"
    return (
        f"<g><title>{escape(_line(node.key))}</title>"
        f'<rect x="{x}" y="{y}" width="{_WIDTH}" height="{_HEIGHT}" rx="4" fill="rgba(128,128,128,.08)"'
        f' stroke="currentColor" stroke-opacity=".45" stroke-width="{start}"/>'
        f'<rect x="{x}" y="{y}" width="4" height="{_HEIGHT}" rx="2" fill="{colour}"/>'
        f'<text x="{x + 11}" y="{y + 14}" font-weight="600">{escape(_short(node.title))}</text>'
        f'<text x="{x + 11}" y="{y + 27}" font-size="9" opacity=".7">{escape(node.kind.replace("_", " "))}</text></g>'
    )


def _arrow(laid: _Laid, source: str, target: str, built: bool) -> str:
    (x1, y1), (x2, y2) = laid.boxes[source], laid.boxes[target]
    start_y, end_y = y1 + _HEIGHT // 2, y2 + _HEIGHT // 2
    if x1 == x2:  # both in one column: round its right side
        side = x1 + _WIDTH
        path = f"M{side} {start_y}C{side + 30} {start_y} {side + 30} {end_y} {side + 5} {end_y}"
        tip = f"M{side + 6} {end_y - 3}L{side} {end_y}L{side + 6} {end_y + 3}Z"
    else:
        forward = x1 < x2
        start, end = (x1 + _WIDTH, x2) if forward else (x1, x2 + _WIDTH)
        way = 1 if forward else -1
        above = 32 if abs(end - start) > _ACROSS and start_y == end_y else 0  # or it would pass behind a box
        bend = (_ACROSS if above else max(abs(end - start) // 2, 20)) * way
        path = (
            f"M{start} {start_y}C{start + bend} {start_y - above} {end - bend} {end_y - above} {end - 5 * way} {end_y}"
        )
        tip = f"M{end - 6 * way} {end_y - 3}L{end} {end_y}L{end - 6 * way} {end_y + 3}Z"
    dashes = ' stroke-dasharray="4 3"' if built else ""
    return (
        f'<path d="{path}" fill="none" stroke="currentColor" stroke-opacity=".5"{dashes}/>'
        f'<path d="{tip}" fill="currentColor" fill-opacity=".6"/>'
    )


def _short(title: str) -> str:
    """What has room in a box. Of a UUID its beginning tells it from others."""
    try:
        return f"{str(UUID(title))[:8]}…"
    except ValueError:
        return _cut(_line(title), 20)


def _line(value: str) -> str:
    """On one line, without characters that steer a terminal."""
    return "".join(character if character.isprintable() else " " for character in value)


def _cut(value: str, most: int) -> str:
    return value if len(value) <= most else f"{value[: most - 1]}…"
