"""A report for a pull request. What somebody stored is shown as they wrote it, and is never markup, a link or a mention."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from headwater.report import (
    EFFECTS,
    WHEN,
    Json,
    Report,
    Unmade,
    Words,
    demand,
    label,
    listed,
    mention,
    owners_of,
    reach,
    steps,
    use,
    who,
)
from headwater.reporting.mermaid import MOST_NODES, mermaid
from headwater.texts import plain

_LONG = 300
_JOINER = "\u2060"
"""A word joiner, which nobody sees: what it stands in is no mention, reference or link any more."""
_REFERENCE = re.compile(
    r"(?<=[#!%&$])(?=\d)|(?<=~)(?=\w)|(?<=(?<!\w)@)(?=\w)|(?<=:)(?=//)|(?<=www)(?=\.)", re.IGNORECASE
)
_MARKUP = re.compile(r"[\\`*\[\]<>|~$]|(?<![^\W_])_|_(?![^\W_])")


@dataclass(frozen=True)
class _Caps:
    """How many lines of each part are shown, at most."""

    paths: int = 1_000
    commands: int = 1_000
    graph: int = MOST_NODES
    unknowns: int = 1_000
    advice: int = 1_000
    affected: int = 1_000
    changes: int = 1_000


_CUT_FIRST = ("paths", "graph", "commands", "unknowns", "advice", "affected", "changes")


def markdown(report: Report | Unmade, limit: int | None = None, elsewhere: str = "the job's summary") -> str:
    """At most `limit` letters; what is left out for that is counted, and `elsewhere` says where all of it is."""
    if isinstance(report, Unmade):
        reason = _fenced(report.reason)
        return "\n".join([f"## Headwater: {report.title}", "", report.sentence, "", *reason, ""])
    caps = _Caps()
    text = _whole(report, caps, elsewhere)
    for most in (25, 10, 5, 2, 0):
        for part in _CUT_FIRST:
            if limit is None or len(text) <= limit:
                return text
            caps = replace(caps, **{part: most})
            text = _whole(report, caps, elsewhere)
    return text if limit is None else text[:limit]


def _whole(report: Report, caps: _Caps, elsewhere: str) -> str:
    answer = report.answer
    lines = [f"## Headwater: {report.title}", "", report.headline(Words(cell, _owner)), ""]
    for name, given in report.agreed():
        note = f": “{cell(given['note'])}”" if given.get("note") else ""
        lines += [f"✓ {cell(str(given['by']))} agrees for {cell(name)} until {given['until'][:10]}{note}", ""]
    if answer["findings"]:
        rows = [f"| {sign} | {' | '.join(cell(each) for each in cells)} |" for sign, _, *cells in report.changes()]
        lines += ["| | change | how | affects |", "| --- | --- | --- | --- |"]
        lines += _cut(rows, caps.changes, report.unlisted_changes, "more changes", elsewhere)
    if answer["affected"]:
        lines += ["### Who is affected", ""]
        lines += ["| effect | who | use | ask | because of | policy |", "| --- | --- | --- | --- | --- | --- |"]
        rows = [_row(report, each) for each in answer["affected"]]
        lines += _cut(rows, caps.affected, report.unlisted_affected, "more", elsewhere)
    if advice := report.advice():
        lines += ["### What would make it safe", ""]
        lines += _cut([f"- {_advice(line)}" for line in advice], caps.advice, 0, "more", elsewhere)
    if unknowns := report.unknowns():
        lines += ["### What cannot be told", ""]
        told = [f"- {cell(what)}: {cell(why)}" for what, why in unknowns]
        lines += _cut(told, caps.unknowns, 0, "more", elsewhere)
    if commands := report.to_acknowledge():
        lines += ["<details><summary>How those who answer for the affected agree</summary>", ""]
        lines += _cut(
            [line for each in commands for line in _fenced(each)], caps.commands * 3, 0, "more lines", elsewhere
        )
        lines += ["</details>", ""]
    drawn, undrawn = mermaid(report, caps.graph)
    if drawn:
        lines += ["```mermaid", *drawn, "```", ""]
        lines += [f"… and {undrawn:,} more who are not drawn", ""] if undrawn else []
    if paths := [_path(each) for each in report.concerned if steps(each)]:
        lines += ["<details><summary>How it reaches them</summary>", ""]
        lines += _cut(paths, caps.paths, 0, "more", elsewhere)
        lines += ["</details>", ""]
    return "\n".join([*lines, f"<sub>{cell(report.footer)}</sub>", ""])


def cell(text: str) -> str:
    """Stored text, safe in a cell of a table or in a line."""
    shown = plain(text)
    shown = shown if len(shown) <= _LONG else shown[: _LONG - 1] + "…"
    shown = _REFERENCE.sub(_JOINER, shown).replace("&", "&amp;")
    return _MARKUP.sub(lambda found: _ESCAPED.get(found[0], f"\\{found[0]}"), shown)


_ESCAPED = {"<": "&lt;", ">": "&gt;"}


def _owner(owner: Json) -> str:
    """Whoever is to be asked is mentioned: their contact is there for that."""
    return mention(owner) or cell(reach(owner))


def _row(report: Report, each: Json) -> str:
    asset = each["asset"]
    effect = f"**{EFFECTS.get(each['verdict'], 'unaffected')}** {WHEN[each['when']]}"
    ask = listed([_owner(owner) for owner in owners_of([asset])]) or "nobody owns it"
    return f"| {effect} | {cell(who(asset))} | {use(asset)} | {ask} | {cell(report.because(each))} | {cell(demand(each))} |"


def _path(affected: Json) -> str:
    way = steps(affected)
    told = cell(label(way[0][0]))
    for _, target, known in way:
        told += f" → {cell(label(target))}" + (f" ({cell(known)})" if known else "")
    return f"- {told}"


def _advice(line: str) -> str:
    """Our own words may hold code; what stands in it is what somebody stored, and no markup ends it."""
    parts = line.split("`")
    if len(parts) % 2 == 0:
        return cell(line)
    return "".join(f"`{plain(part)}`" if place % 2 else cell(part) for place, part in enumerate(parts))


def _fenced(text: str) -> list[str]:
    """As it is, whatever it holds."""
    fence = "`" * max(3, *(len(run) + 1 for run in re.findall("`+", text) or [""]))
    return [f"{fence}text", *(plain(line) for line in text.splitlines()), fence]


def _cut(lines: Sequence[str], most: int, more: int, noun: str, elsewhere: str) -> list[str]:
    left = len(lines) - most if len(lines) > most else 0
    told = [*lines[:most], ""]
    if left:
        return [*told, f"… and {left + more:,} {noun}; {left:,} of them are in {elsewhere}", ""]
    return [*told, f"… and {more:,} {noun}", ""] if more else told
