"""Plans: kept in files, and shown to people. What a plan holds is what `Client.plan` answers."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from headwater.errors import DocumentUnreadable
from headwater.forms import SIGNS
from headwater.texts import plain

Json = dict[str, Any]

VERSION = 1
FOLDED = 8
"""Of more parts, or flows, that change alike in one place, people are shown so many."""
DOCUMENTS = 40
"""Of more documents, people are shown sums."""


@dataclass(frozen=True)
class Wanted:
    """What a plan is made of."""

    documents: Sequence[Json]
    removed: Sequence[str] = ()
    prune: bool = False


def save(file: Path, wanted: Wanted, plan: Mapping[str, Any], service: str) -> None:
    """The plan as a file, for `apply`: whole, or not at all."""
    kept = {
        "version": VERSION,
        "operation": str(uuid.uuid4()),
        "service": service,
        "removed": [*wanted.removed],
        "prune": wanted.prune,
        "plan": dict(plan),
        "documents": [*wanted.documents],
    }
    beside = file.with_name(f".{file.name}.{os.getpid()}")
    beside.write_text(json.dumps(kept, ensure_ascii=False, indent=1), encoding="utf-8")
    beside.replace(file)


def saved(file: Path) -> tuple[Wanted, Json, str]:
    """What is wanted, the plan, and the id of the operation that applies it. Raises DocumentUnreadable."""
    try:
        kept = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise DocumentUnreadable(f"{file}: {error.strerror}") from error
    except ValueError as error:
        raise DocumentUnreadable(f"{file} is no plan that `headwater plan --out` has made: {error}") from error
    if not isinstance(kept, dict) or kept.get("version") != VERSION or not isinstance(kept.get("plan"), dict):
        raise DocumentUnreadable(f"{file} is no plan that this version of `headwater plan --out` has made")
    return Wanted(kept["documents"], kept["removed"], kept["prune"]), kept["plan"], str(kept["operation"])


# For people


def lines(plan: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Each line with its style."""
    if not plan["changes"]:
        yield "Nothing to change.", ""
    by_document: dict[tuple[str, str], list[Json]] = {}
    for change in plan["changes"]:
        by_document.setdefault((change["document"] or "", change["origin"]), []).append(change)
    several = len({origin for _, origin in by_document}) > 1
    for number, ((document, origin), changes) in enumerate(sorted(by_document.items())):
        gone = all(change["verb"] == "WITHDRAWN" for change in changes)
        title = document or ("no longer declared" if gone else "derived from several documents")
        if number >= DOCUMENTS:
            counts = ", ".join(f"{sign}{count}" for sign, count in _signed(changes))
            yield plain(f"{title} ({origin}): {counts}"), "bold"
            continue
        yield plain(f"{title} ({origin})" if several or not document else title), "bold"
        yield from _changes(changes)
        yield "", ""
    if plan["changes"]:
        yield sums(plan), ""
    yield from touched(plan["touches"])
    yield from _shared(plan)
    for left in plan["orphaned"]:
        told = (
            f"{left['origin']} has no document here any more; {left['subjects']:,} assets and flows that it says stay"
        )
        yield plain(f"{told}: --prune withdraws them."), "yellow"
    for origin in plan["pruned"]:
        yield plain(f"{origin} has no document here any more: all that it says is withdrawn."), "red"


def sums(plan: Mapping[str, Any]) -> str:
    return f"{plan['added']:,} to add, {plan['updated']:,} to change, {plan['withdrawn']:,} to withdraw."


def touched(touches: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if not touches["counts"]:
        return
    counts = ", ".join(
        f"{each['count']:,} {_kind(each['kind'])}{'' if each['count'] == 1 else 's'}" for each in touches["counts"]
    )
    yield f"Touches {counts}" + (":" if touches["told"] else "."), ""
    for each in touches["told"][:FOLDED]:
        yield f"  {plain(told(each))}", ""
    more = len(touches["told"]) - FOLDED
    if more > 0:
        yield f"  and {more:,} more", ""


def told(each: Mapping[str, Any]) -> str:
    """A deployment or consumer that is touched, with whom to ask."""
    asset = each["asset"]
    owners = ", ".join(f"{o['name']} ({o['contact']})" if o.get("contact") else o["name"] for o in asset["owners"])
    tier = f", tier {asset['tier']}" if asset.get("tier") else ""
    return f"{asset['id']}{tier}: {f'ask {owners}' if owners else 'nobody owns it'}"


def differing(planned: Sequence[Json], now: Sequence[Json]) -> Iterator[tuple[str, str]]:
    """What a plan says, and what it would be now, where the two differ."""
    before, after = ({(each["subject"], each["origin"]): each for each in changes} for changes in (planned, now))
    for key in sorted(before.keys() | after.keys()):
        one, other = before.get(key), after.get(key)
        if one == other or (one and other and (one["verb"], one["altered"]) == (other["verb"], other["altered"])):
            continue
        yield plain(key[0]), "bold"
        for name, change in (("planned", one), ("now", other)):
            yield f"  {name + ':':<9}{_in_words(change)}", ""


def markdown(plan: Mapping[str, Any]) -> str:
    """For a pull request or a wiki."""
    rows = [text for text, _ in lines({**plan, "touches": {"counts": [], "told": []}})]
    parts = ["### Plan", "", f"**{sums(plan)}**", ""]
    if plan["changes"]:
        parts += ["<details><summary>Changes</summary>", "", "```diff", *rows, "```", "", "</details>", ""]
    touches = plan["touches"]
    if touches["counts"]:
        counts = ", ".join(f"{each['count']:,} {_kind(each['kind'])}" for each in touches["counts"])
        parts += [f"Downstream: {counts}.", ""]
        parts += [f"- `{told(each).replace('`', '')}`" for each in touches["told"][:50]]
    return "\n".join(parts).rstrip() + "\n"


def _changes(changes: Sequence[Json]) -> Iterator[tuple[str, str]]:
    """By container: itself, its parts, and what flows into them; then flows of all else."""
    containers: dict[str, list[Json]] = {}
    for change in changes:
        containers.setdefault(_container(change.get("target") or change["subject"]), []).append(change)
    for _, inside in sorted(containers.items()):
        assets = [each for each in inside if "source" not in each]
        for change in assets:
            if not _part(change["subject"]):
                yield from _asset(change, "  ")
        indent = "    " if any(not _part(each["subject"]) for each in assets) else "  "
        yield from _folded([each for each in assets if _part(each["subject"])], indent)
        yield from _folded([each for each in inside if "source" in each], indent)


def _folded(changes: Sequence[Json], indent: str) -> Iterator[tuple[str, str]]:
    for verb, (sign, style) in SIGNS.items():
        alike = [each for each in changes if each["verb"] == verb]
        for change in alike[:FOLDED]:
            yield from _asset(change, indent)
        if len(alike) > FOLDED:
            yield f"{indent}{sign} and {len(alike) - FOLDED:,} more", style


def _asset(change: Json, indent: str) -> Iterator[tuple[str, str]]:
    sign, style = SIGNS[change["verb"]]
    said = change["altered"]
    if change["verb"] == "CHANGED":
        yield f"{indent}{sign} {plain(change['subject'])}", style
        for each in said:
            yield f"{indent}    {plain(each['name'])}: {_value(each['before'])} → {_value(each['after'])}", ""
        return
    side = "after" if change["verb"] == "ADDED" else "before"
    what = ", ".join(f"{each['name']} {_value(each[side])}" for each in said if each["name"] in _SHORTLY)
    yield f"{indent}{sign} {plain(change['subject'])}{f'  {what}' if what else ''}", style


_SHORTLY = ("type", "unit", "tier", "alias_of", "version", "default", "cast", "alias")
"""What is shown of what comes or goes."""


def _shared(plan: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    shared = plan["shared"]
    for each in shared[:FOLDED]:
        yield plain(f"{each['asset']['id']} is said by several: {', '.join(each['origins'])}."), ""
    if len(shared) > FOLDED:
        yield f"So are {len(shared) - FOLDED:,} more.", ""


def _in_words(change: Mapping[str, Any] | None) -> str:
    if change is None:
        return "nothing"
    verb = change["verb"].lower()
    altered = "; ".join(
        f"{plain(each['name'])}: {_value(each['before'])} → {_value(each['after'])}" for each in change["altered"]
    )
    return f"{verb}{f' ({altered})' if altered else ''}"


def _signed(changes: Iterable[Json]) -> Iterator[tuple[str, int]]:
    for verb, (sign, _) in SIGNS.items():
        count = sum(each["verb"] == verb for each in changes)
        if count:
            yield sign, count


def _value(value: object) -> str:
    if value is None:
        return "nothing"
    text = plain(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


_LONGEST = 60


def _part(key: str) -> str:
    return unquote(key.partition("#")[2])


def _container(key: str) -> str:
    """Sorted with its parts, whatever their kind is called."""
    return key.partition("#")[0].partition(":")[2]


def _kind(kind: str) -> str:
    return kind.lower().replace("_", " ")
