"""The graph of a check: what changes → whom it affects, as Mermaid draws it."""

from __future__ import annotations

from headwater.forms import mermaid_escaped
from headwater.report import Report, label, steps

MOST_NODES, MOST_LETTERS = 40, 60
_SHAPES = {"BREAKING": "breaking", "UNKNOWN": "unknown", "BEHAVIOURAL": "behavioural"}
_CLASSES = (
    "classDef changed fill:#ddf4ff,stroke:#0969da,color:#0a3069",
    "classDef breaking fill:#ffebe9,stroke:#cf222e,color:#82071e",
    "classDef unknown fill:#fff8c5,stroke:#9a6700,color:#4d2d00,stroke-dasharray:4",
    "classDef behavioural fill:#fff8c5,stroke:#9a6700,color:#4d2d00",
)


def mermaid(report: Report, most: int = MOST_NODES) -> tuple[list[str], int]:
    """The lines, without a fence, and how many of those affected are not drawn. No lines: nobody is affected."""
    nodes: dict[str, str] = {}
    edges: dict[tuple[str, str], bool] = {}
    verdicts: dict[str, str] = {}
    left_out = report.unlisted_affected
    for each in report.concerned:
        way = steps(each)
        new = {end for source, target, _ in way for end in (source, target)} - nodes.keys()
        if not way or len(nodes) + len(new) > most:
            left_out += 1
            continue
        for source, target, known in way:
            for end in (source, target):
                nodes.setdefault(end, f"n{len(nodes)}")
            edges[source, target] = edges.get((source, target), False) or bool(known and known.startswith("inferred"))
        verdicts[each["asset"]["id"]] = each["verdict"]
    if not nodes:
        return [], left_out
    changed = {finding["id"] for finding in report.answer["findings"]}
    lines = ["flowchart LR"]
    for key, name in nodes.items():
        shape = "changed" if key in changed and key not in verdicts else _SHAPES.get(verdicts.get(key, ""), "")
        lines.append(f'  {name}["{_text(key)}"]' + (f":::{shape}" if shape else ""))
    lines += [
        f"  {nodes[source]} {'-.->' if inferred else '-->'} {nodes[target]}"
        for (source, target), inferred in edges.items()
    ]
    return [*lines, *(f"  {each}" for each in _CLASSES)], left_out


def _text(key: str) -> str:
    shown = label(key)
    return mermaid_escaped(shown if len(shown) <= MOST_LETTERS else shown[: MOST_LETTERS - 1] + "…")
