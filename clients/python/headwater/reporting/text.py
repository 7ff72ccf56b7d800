"""A report for people in a terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from headwater.report import (
    BLOCKED,
    CLEAN,
    EFFECTS,
    NEEDS_ACKNOWLEDGEMENT,
    WHEN,
    Report,
    Unmade,
    demand,
    listed,
    owners_of,
    reach,
    use,
    who,
)
from headwater.texts import plain

_STYLES = {
    CLEAN: "bold green",
    BLOCKED: "bold red",
    NEEDS_ACKNOWLEDGEMENT: "bold yellow",
    "BREAKING": "red",
    "UNKNOWN": "yellow",
    "BEHAVIOURAL": "yellow",
    "ADDITIVE": "green",
    "NONE": "green",
}


def text(report: Report | Unmade) -> RenderableType:
    if isinstance(report, Unmade):
        return Group(Text(f"{report.title}: {plain(report.reason)}", style="bold yellow"), Text(report.sentence))
    answer = report.answer
    title = (
        report.title.upper() if not report.acknowledged else f"{report.title.partition(',')[0].upper()} (acknowledged)"
    )
    parts: list[RenderableType] = [
        Text.assemble((title, _STYLES[report.outcome]), "  ", plain(report.headline())),
        Text(report.footer, style="dim"),
    ]
    if answer["findings"]:
        table = _table("", "change", "how", "affects")
        for sign, verdict, *told in report.changes():
            table.add_row(Text(sign, style=_STYLES[verdict]), *(Text(plain(cell)) for cell in told))
        parts += ["", table]
        if more := report.unlisted_changes:
            parts.append(Text(f"   and {more} more changes", style="dim"))
    if answer["affected"]:
        table = _table("effect", "who", "use", "ask", "because of", "policy")
        for each in answer["affected"]:
            effect = Text(
                f"{EFFECTS.get(each['verdict'], 'unaffected')} {WHEN[each['when']]}", style=_STYLES[each["verdict"]]
            )
            asset = each["asset"]
            ask = listed([reach(owner) for owner in owners_of([asset])]) or "nobody owns it"
            cells = (who(asset), use(asset), ask, report.because(each), demand(each))
            table.add_row(effect, *(Text(plain(cell)) for cell in cells))
        parts += ["", table]
        if more := report.unlisted_affected:
            parts.append(Text(f"   and {more} more", style="dim"))
    lines = [f"• {line}" for line in report.advice()]
    lines += [f"? {what}: {why}" for what, why in report.unknowns()]
    lines += [
        f"✓ {name}: {given['by']} agrees until {given['until'][:10]}{_note(given)}" for name, given in report.agreed()
    ]
    if commands := report.to_acknowledge():
        lines += ["Those who answer for the affected agree by:", *(f"  {line}" for line in commands)]
    if lines:
        parts += ["", *(Padding(Text(plain(line)), (0, 0, 0, 1)) for line in lines)]
    return Group(*parts)


def _note(given: object) -> str:
    note = given.get("note") if isinstance(given, dict) else None
    return f": {note}" if note else ""


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=True, padding=(0, 2, 0, 0), header_style="dim")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
