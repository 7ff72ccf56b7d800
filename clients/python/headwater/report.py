"""What a check found, for people in a terminal, for a pull request, and for machines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

Json = Mapping[str, Any]

JSON_VERSION = 1

CLEAN, BLOCKED, NEEDS_ACKNOWLEDGEMENT = "CLEAN", "BLOCKED", "NEEDS_ACKNOWLEDGEMENT"
_TITLES = {CLEAN: "clean", BLOCKED: "blocked", NEEDS_ACKNOWLEDGEMENT: "needs acknowledgement"}
_STYLES = {
    CLEAN: "bold green",
    BLOCKED: "bold red",
    NEEDS_ACKNOWLEDGEMENT: "bold yellow",
    "BREAKING": "red",
    "UNKNOWN": "yellow",
    "BEHAVIOURAL": "yellow",
    "ADDITIVE": "green",
}
_EFFECTS = {"BREAKING": "breaks", "UNKNOWN": "may break", "BEHAVIOURAL": "gets other values", "ADDITIVE": "unaffected"}
_WHEN = {"NOW": "now", "NEXT_TRAINING": "at the next training"}
_SIGNS = {"REMOVED": "-", "RENAMED": "→", "RETYPED": "!", "REDEFINED": "~", "ADDED": "+"}
_SHORT = 48
_ADDED_SHOWN = 10


@dataclass(frozen=True)
class Report:
    """`answer` is what `Client.check` gives."""

    answer: Json
    file: str
    base: str
    commit: str
    url: str
    acknowledged: bool = False

    @property
    def outcome(self) -> str:
        return str(self.answer["outcome"])

    def json(self, exit_code: int) -> dict[str, Any]:
        """The stable form, documented in docs/check.md."""
        return {
            "version": JSON_VERSION,
            "outcome": self.outcome,
            "acknowledged": self.acknowledged,
            "exitCode": exit_code,
            "headline": self.headline,
            "file": self.file,
            "base": {"ref": self.base, "commit": self.commit},
            "service": self.url,
            **{name: self.answer[name] for name in ("revision", "at", "total", "unidentifiedCalls")},
            **{name: self.answer[name] for name in ("counts", "findings", "affected")},
        }

    # What is said, in whatever form

    @property
    def headline(self) -> str:
        if not self.answer["total"]:
            return "Nothing changes for anybody downstream."
        said = [
            f"{verb} {counted}"
            for verdict, verb in (
                ("BREAKING", "breaks"),
                ("UNKNOWN", "may break"),
                ("BEHAVIOURAL", "changes what is given to"),
            )
            if (counted := _counted(self.answer["counts"], verdict))
        ]
        if said:
            return f"This change {_listed(said)}."
        if self.outcome == CLEAN:
            return "This change affects no deployment and no consumer."
        return "It cannot be told whom this change affects."

    def changes(self) -> list[tuple[str, str, str, str, str]]:
        """Sign, verdict, what changes, how, and whom it affects; of what is new only the first few."""
        rows, added = [], 0
        for finding in self.answer["findings"]:
            added += finding["alteration"] == "ADDED"
            if finding["alteration"] != "ADDED" or added <= _ADDED_SHOWN:
                sign, verdict = _SIGNS[finding["alteration"]], finding["verdict"]
                what = f"{finding['alteration'].lower()} {label(finding['id'])}"
                rows.append((sign, verdict, what, _how(finding), _reach(finding)))
        return rows

    @property
    def unlisted_changes(self) -> int:
        return int(self.answer["total"]) - len(self.changes())

    @property
    def unlisted_affected(self) -> int:
        return int(sum(each["count"] for each in self.answer["counts"])) - len(self.answer["affected"])

    def advice(self) -> list[str]:
        """What to do, most urgent first."""
        told: list[str] = []
        hit = {change for each in self.answer["affected"] for change in each["changes"]}
        kinds = {finding["alteration"] for finding in self.answer["findings"] if finding["id"] in hit}
        if kinds & {"REMOVED", "RENAMED"}:
            told.append(
                "Keep what is removed or renamed until its readers have moved, or move them in the same change."
            )
        if "RETYPED" in kinds:
            told.append("Add the new form beside the old one, move the readers, and remove the old one then.")
        if any(finding["alteration"] != "ADDED" and not finding["known"] for finding in self.answer["findings"]):
            told.append(
                f"Apply the version before (`headwater apply` at {self.base}), so that the graph knows its readers."
            )
        if calls := self.answer["unidentifiedCalls"]:
            told.append(
                f"{_plural(calls, 'call')} in 30 days came from callers that could not be told; they may be hit too. A token bound"
                " to the service, or its service.name in W3C baggage, makes a caller known."
            )
        if owners := _owners(each["asset"] for each in self.answer["affected"]):
            told.append(f"Ask {_listed(owners)}.")
        if self.outcome == NEEDS_ACKNOWLEDGEMENT and not self.acknowledged:
            told.append("When they agree, pass `--acknowledge`.")
        return told

    def because(self, affected: Json) -> str:
        """The changes that have the worst effect on it."""
        worst = {each["id"] for each in self.answer["findings"] if each["verdict"] == affected["verdict"]}
        keys = [change for change in affected["changes"] if change in worst] or affected["changes"]
        names = [label(key).rpartition("#")[2] if "#" in key else label(key) for key in keys]
        return _listed(names) if len(names) <= 3 else f"{', '.join(names[:2])} and {len(names) - 2} more"

    @property
    def footer(self) -> str:
        against = f"{self.base} ({self.commit[:10]})" if not self.commit.startswith(self.base) else self.commit[:10]
        return f"{self.file} against {against}, at revision {self.answer['revision']} of {self.url}"

    # Text

    def text(self) -> RenderableType:
        title = _TITLES[self.outcome].upper() + (" (acknowledged)" if self.acknowledged else "")
        parts: list[RenderableType] = [
            Text.assemble((title, _STYLES[self.outcome]), "  ", _clean(self.headline)),
            Text(self.footer, style="dim"),
        ]
        if self.answer["findings"]:
            table = _table("", "change", "how", "affects")
            for sign, verdict, *told in self.changes():
                table.add_row(Text(sign, style=_STYLES[verdict]), *(Text(_clean(cell)) for cell in told))
            parts += ["", table]
            if more := self.unlisted_changes:
                parts.append(Text(f"   and {more} more changes", style="dim"))
        if self.answer["affected"]:
            table = _table("effect", "who", "use", "ask", "because of")
            for each in self.answer["affected"]:
                effect = Text(f"{_EFFECTS[each['verdict']]} {_WHEN[each['when']]}", style=_STYLES[each["verdict"]])
                asset = each["asset"]
                cells = (_who(asset), use(asset), _listed(_owners([asset])) or "nobody owns it", self.because(each))
                table.add_row(effect, *(Text(_clean(cell)) for cell in cells))
            parts += ["", table]
            if more := self.unlisted_affected:
                parts.append(Text(f"   and {more} more", style="dim"))
        if advice := self.advice():
            parts += ["", *(Padding(Text(f"• {_clean(line)}"), (0, 0, 0, 1)) for line in advice)]
        return Group(*parts)

    # Markdown

    def markdown(self) -> str:
        title = _TITLES[self.outcome] + (", acknowledged" if self.acknowledged else "")
        lines = [f"## Headwater: {title}", "", _cell(self.headline), ""]
        if self.answer["findings"]:
            lines += ["| | change | how | affects |", "| --- | --- | --- | --- |"]
            lines += [f"| {sign} | {' | '.join(map(_cell, cells))} |" for sign, _, *cells in self.changes()]
            lines += ["", *([f"… and {self.unlisted_changes} more changes", ""] if self.unlisted_changes else [])]
        if affected := self.answer["affected"]:
            lines += [
                "### Who is affected",
                "",
                "| effect | who | use | ask | because of |",
                "| --- | --- | --- | --- | --- |",
            ]
            for each in affected:
                asset = each["asset"]
                effect = f"**{_EFFECTS[each['verdict']]}** {_WHEN[each['when']]}"
                cells = (_who(asset), use(asset), _listed(_owners([asset])) or "nobody owns it", self.because(each))
                lines.append(f"| {effect} | {' | '.join(map(_cell, cells))} |")
            lines += ["", *([f"… and {self.unlisted_affected} more", ""] if self.unlisted_affected else [])]
            lines += ["<details><summary>How it reaches them</summary>", ""]
            lines += [
                f"- {' → '.join(_cell(label(step)) for step in each['path'])}" for each in affected if each["path"]
            ]
            lines += ["", "</details>", ""]
        if advice := self.advice():
            lines += ["### What to do", "", *(f"- {_cell(line, code=True)}" for line in advice), ""]
        return "\n".join([*lines, f"<sub>{_cell(self.footer)}</sub>", ""])


def label(key: str) -> str:
    """A key for people: `column lab.assays#flavanoids`."""
    kind, _, rest = key.partition(":")
    return f"{kind.replace('_', ' ')} {unquote(rest.partition('/')[2])}"


def use(asset: Json) -> str:
    """How much it is used, and how we know."""
    identity = {True: "verified", False: "claimed", None: None}[asset["verified"]]
    usage = asset["usage"]
    if not usage["calls"]:
        return "never seen calling" if asset["kind"] == "CONSUMER" else "no calls seen"
    rate = usage["callsPerDay"]
    shown = f"{rate:,.0f}" if rate >= 10 else f"{rate:.2g}"
    said = f"{shown} {'call' if shown == '1' else 'calls'} a day"
    said += f", last on {usage['lastSeen'][:10]}" if usage["lastSeen"] else ""
    return said + (f", {identity}" if identity else "")


def _counted(counts: Sequence[Json], verdict: str | None = None) -> str:
    """`2 deployments and 1 consumer now, 1 consumer at the next training`; of one verdict, where they differ in it."""
    said = []
    for when, words in _WHEN.items():
        kinds = {
            each["kind"]: each["count"]
            for each in counts
            if each["when"] == when and (verdict is None or each["verdict"] == verdict)
        }
        each_kind = [_plural(kinds[kind], kind.lower()) for kind in ("DEPLOYMENT", "CONSUMER") if kind in kinds]
        said += [f"{_listed(each_kind)} {words}"] if each_kind else []
    return ", ".join(said)


def _reach(finding: Json) -> str:
    if not finding["known"]:
        return "cannot be told"
    return "" if finding["alteration"] == "ADDED" else _counted(finding["counts"]) or "nobody known"


def _plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _listed(parts: Sequence[str]) -> str:
    return f"{', '.join(parts[:-1])} and {parts[-1]}" if len(parts) > 1 else "".join(parts)


def _how(finding: Json) -> str:
    if finding["alteration"] == "ADDED":
        return ""
    if finding["renamedTo"] and finding["known"]:
        return f"now {label(finding['renamedTo']).partition('#')[2]}"
    said = [_difference(each) for each in finding["differences"]]
    return "; ".join(said) if said and finding["known"] else str(finding["reason"])


def _difference(difference: Json) -> str:
    name, before, after = difference["attribute"], difference["before"], difference["after"]
    if name == "flows":
        come = [label(key) for key in after if key not in before]
        gone = [label(key) for key in before if key not in after]
        parts = [f"now from {_listed(come)}"] if come else []
        return ", ".join([*parts, *([f"no longer from {_listed(gone)}"] if gone else [])]) or "derived in another way"
    texts = [value if isinstance(value, str) else str(value).lower() for value in (before, after)]
    if all(len(text) <= _SHORT and text.isprintable() for text in texts) and not isinstance(before, (dict, list)):
        return f"{name} {texts[0]} → {texts[1]}"
    return f"another {name}"


def _who(asset: Json) -> str:
    return label(asset["id"]) + (f" (tier {asset['tier']})" if asset["tier"] else "")


def _owners(assets: Iterable[Json]) -> list[str]:
    owners = (owner for asset in assets for owner in asset["owners"])
    return sorted({f"{owner['name']} ({owner['contact']})" if owner["contact"] else owner["name"] for owner in owners})


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=True, padding=(0, 2, 0, 0), header_style="dim")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _clean(text: str) -> str:
    """Without what would move a terminal's cursor."""
    return "".join(character if character.isprintable() else " " for character in text)


def _cell(text: str, code: bool = False) -> str:
    text = _clean(text).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
    return text if code else text.replace("`", "\\`").replace("*", "\\*").replace("[", "\\[")
