"""What a check found, in words: the same for a terminal, a pull request and machines (`headwater.reporting`)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any
from urllib.parse import unquote

Json = Mapping[str, Any]

JSON_VERSION = 1

CLEAN, BLOCKED, NEEDS_ACKNOWLEDGEMENT = "CLEAN", "BLOCKED", "NEEDS_ACKNOWLEDGEMENT"
TITLES = {CLEAN: "clean", BLOCKED: "blocked", NEEDS_ACKNOWLEDGEMENT: "needs acknowledgement"}
EFFECTS = {"BREAKING": "breaks", "UNKNOWN": "may break", "BEHAVIOURAL": "gets other values", "ADDITIVE": "unaffected"}
WHEN = {"NOW": "now", "NEXT_TRAINING": "at the next training"}
SIGNS = {"REMOVED": "-", "RENAMED": "→", "RETYPED": "!", "REDEFINED": "~", "ADDED": "+"}
FELT = ("BREAKING", "UNKNOWN", "BEHAVIOURAL")
"""The verdicts that are somebody's concern, the worst first."""
SHORT = 48
ADDED_SHOWN = 10
MINUTES = 24 * 60

_VERBS = {"BREAKING": ("breaks", "break"), "UNKNOWN": ("may break", "may break"), "BEHAVIOURAL": ("changes", "change")}
_NO_TIER = 9  # behind all that have one
_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_ASKED = 3
"""Owners that a headline names."""
_MENTION = re.compile(r"@[A-Za-z0-9][A-Za-z0-9-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*")
_EVERYBODY = {"@all", "@here", "@everyone", "@channel"}


def reach(owner: Json) -> str:
    """`@risk-ml`, or the name with another way to reach them."""
    if mention(owner):
        return str(owner["contact"])
    return f"{owner['name']} ({owner['contact']})" if owner["contact"] else str(owner["name"])


def mention(owner: Json) -> str | None:
    """The handle by which a forge tells them, if their contact is one."""
    contact = owner["contact"] or ""
    return contact if _MENTION.fullmatch(contact) and contact.lower() not in _EVERYBODY else None


@dataclass(frozen=True)
class Words:
    """How texts that somebody stored, and the ways to reach owners, are written where a report is shown."""

    stored: Callable[[str], str] = str
    owner: Callable[[Json], str] = reach


PLAIN = Words()


@dataclass(frozen=True)
class Report:
    """`answer` is what `Client.check` gives."""

    answer: Json
    file: str
    """What was compared, for people: the manifest, or how many."""
    base: str
    commit: str
    url: str
    """The service, or the export that stands for it."""
    acknowledged: bool = False
    """By whoever started the check, for all."""
    texts: Mapping[str, str] = field(default_factory=dict)
    """The documents of the new version, by path: places in them are told as lines."""

    @property
    def outcome(self) -> str:
        return str(self.answer["outcome"])

    @property
    def title(self) -> str:
        return TITLES[self.outcome] + (", acknowledged" if self.acknowledged else "")

    def json(self, exit_code: int) -> dict[str, Any]:
        """The stable form, documented in docs/check.md."""
        return {
            "version": JSON_VERSION,
            "outcome": self.outcome,
            "acknowledged": self.acknowledged,
            "exitCode": exit_code,
            "headline": self.headline(),
            "file": self.file,
            "base": {"ref": self.base, "commit": self.commit},
            "service": self.url,
            **{name: self.answer[name] for name in ("revision", "at", "total", "unidentifiedCalls")},
            **{name: self.answer[name] for name in ("counts", "findings", "affected")},
        }

    # What is said, in whatever form

    def headline(self, words: Words = PLAIN) -> str:
        """`2 deployments break now, 1 changes at its next training, checkout (900 calls/min) and two others must be told; ask @risk-ml`"""
        if not self.answer["total"]:
            return "Nothing changes for anybody downstream."
        said = [*self._deployments(), *self._consumers(words)]
        if said:
            asked = owners_of(each["asset"] for each in self.concerned)
            more = [f"{len(asked) - _ASKED} more"] if len(asked) > _ASKED else []
            ask = listed([*(words.owner(owner) for owner in asked[:_ASKED]), *more])
            return ", ".join(said) + (f"; ask {ask}" if ask else "")
        if self.outcome == CLEAN:
            return "This change affects no deployment and no consumer."
        return "It cannot be told whom this change affects."

    def _deployments(self) -> list[str]:
        said: list[str] = []
        for verdict in FELT:
            for when, felt in (("NOW", "now"), ("NEXT_TRAINING", "next training")):
                count = _count(self.answer["counts"], verdict, when, "DEPLOYMENT")
                if count:
                    noun = "" if said else " deployment" if count == 1 else " deployments"
                    whose = "" if when == "NOW" else "at its " if count == 1 else "at their "
                    said.append(f"{count:,}{noun} {_VERBS[verdict][count > 1]} {whose}{felt}")
        return said

    def _consumers(self, words: Words) -> list[str]:
        count = sum(_count(self.answer["counts"], verdict, when, "CONSUMER") for verdict in FELT for when in WHEN)
        named = [each["asset"] for each in self.concerned if each["asset"]["kind"] == "CONSUMER"]
        if not count or not named:
            return [f"{plural(count, 'consumer')} must be told"] if count else []
        busiest = max(named, key=lambda asset: (float(asset["usage"]["callsPerDay"]), -(asset["tier"] or _NO_TIER)))
        told = words.stored(str(busiest["title"])) + (f" ({rate(busiest)})" if busiest["usage"]["calls"] else "")
        others = count - 1
        if others:
            number = _NUMBERS[others] if others < len(_NUMBERS) else f"{others:,}"
            told += f" and {number} other{'' if others == 1 else 's'}"
        return [f"{told} must be told"]

    @property
    def concerned(self) -> list[Json]:
        """Who gets anything else, or cannot be told."""
        return [each for each in self.answer["affected"] if each["verdict"] in FELT]

    def changes(self) -> list[tuple[str, str, str, str, str]]:
        """Sign, verdict, what changes, how, and whom it affects; of what is new only the first few."""
        rows, added = [], 0
        for finding in self.answer["findings"]:
            added += finding["alteration"] == "ADDED"
            if finding["alteration"] != "ADDED" or added <= ADDED_SHOWN:
                sign, verdict = SIGNS[finding["alteration"]], finding["verdict"]
                what = f"{finding['alteration'].lower()} {label(finding['id'])}"
                rows.append((sign, verdict, what, how(finding), affects(finding)))
        return rows

    @property
    def unlisted_changes(self) -> int:
        return int(self.answer["total"]) - len(self.changes())

    @property
    def unlisted_affected(self) -> int:
        return int(sum(each["count"] for each in self.answer["counts"])) - len(self.answer["affected"])

    def advice(self) -> list[str]:
        """What would make it safe, most urgent first."""
        told = [line for finding in self.answer["findings"] for line in finding.get("advice") or ()]
        if not told:
            told = self._usual_advice()
        if calls := self.answer["unidentifiedCalls"]:
            told.append(
                f"{plural(calls, 'call')} in 30 days came from callers that could not be told; they may be hit too. A token bound"
                " to the service, or its service.name in W3C baggage, makes a caller known."
            )
        return [*dict.fromkeys(told)]

    def _usual_advice(self) -> list[str]:
        told: list[str] = []
        hit = {change for each in self.concerned for change in each["changes"]}
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
        return told

    def to_acknowledge(self) -> list[str]:
        """The commands by which those who answer for the affected agree."""
        if self.outcome != NEEDS_ACKNOWLEDGEMENT or self.acknowledged:
            return []
        digests = {finding["id"]: finding.get("digest") for finding in self.answer["findings"]}
        told: dict[tuple[str, str], list[str]] = {}
        for each in self.concerned:
            if _demanded(each) != "ACKNOWLEDGE" or (each.get("decision") or {}).get("acknowledgedBy"):
                continue
            for change in each["changes"]:
                if digests.get(change):
                    told.setdefault((change, str(digests[change])), []).append(each["asset"]["id"])
        return [
            f"headwater acknowledge {' '.join(keys)} --change {key} {digest}" for (key, digest), keys in told.items()
        ]

    def agreed(self) -> list[tuple[str, Json]]:
        """Who is affected, with the word of whoever agreed for them."""
        return [
            (label(each["asset"]["id"]), given)
            for each in self.concerned
            for given in (each.get("decision") or {}).get("acknowledgements") or ()
        ]

    def unknowns(self) -> list[tuple[str, str]]:
        """What cannot be told, and why."""
        return [
            (label(finding["id"]), str(finding["reason"]))
            for finding in self.answer["findings"]
            if finding["verdict"] == "UNKNOWN"
        ]

    def because(self, affected: Json) -> str:
        """The changes that have the worst effect on it."""
        worst = {each["id"] for each in self.answer["findings"] if each["verdict"] == affected["verdict"]}
        keys = [change for change in affected["changes"] if change in worst] or affected["changes"]
        names = [label(key).rpartition("#")[2] if "#" in key else label(key) for key in keys]
        return listed(names) if len(names) <= 3 else f"{', '.join(names[:2])} and {len(names) - 2} more"

    @property
    def footer(self) -> str:
        against = f"{self.base} ({self.commit[:10]})" if not self.commit.startswith(self.base) else self.commit[:10]
        return f"{self.file} against {against}, at revision {self.answer['revision']} of {self.url}"


@dataclass(frozen=True)
class Unmade:
    """A check that could not be made. `passes`: then the job passes, as whoever configured it wants."""

    reason: str
    passes: bool
    unreachable: bool = True
    """There was no answer; else what was asked is wrong, and no configuration lets that pass."""

    @property
    def title(self) -> str:
        return "the check could not be made"

    @property
    def sentence(self) -> str:
        if not self.unreachable:
            return "So it fails."
        if self.passes:
            return "It passes all the same: it is configured to fail open. Nothing was checked."
        return "So it fails: it is configured to fail closed."

    def json(self, exit_code: int) -> dict[str, Any]:
        return {
            "version": JSON_VERSION,
            "outcome": None,
            "acknowledged": False,
            "exitCode": exit_code,
            "headline": f"The check could not be made: {self.reason}",
            "failsOpen": self.passes,
            "unreachable": self.unreachable,
        }


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
    said = rate(asset) + (f", last on {usage['lastSeen'][:10]}" if usage["lastSeen"] else "")
    return said + (f", {identity}" if identity else "")


def rate(asset: Json) -> str:
    """`900 calls/min`, or `2.3 calls/day`."""
    a_day = float(asset["usage"]["callsPerDay"])
    count, unit = (a_day / MINUTES, "min") if a_day >= 10 * MINUTES else (a_day, "day")
    shown = f"{count:,.0f}" if count >= 10 else f"{count:.2g}"
    return f"{shown} {'call' if shown == '1' else 'calls'}/{unit}"


def demand(affected: Json) -> str:
    """What the policy demands, and whether that is met."""
    decision = affected.get("decision")
    if not decision:
        return ""
    if decision["acknowledgedBy"]:
        until = f" until {decision['until'][:10]}" if decision["until"] else ""
        return f"acknowledged by {listed(decision['acknowledgedBy'])}{until}"
    word = {"BLOCK": "blocks", "ACKNOWLEDGE": "needs acknowledgement", "PASS": "passes"}[decision["effect"]]
    return word if decision["rule"].startswith("default: ") else f"{word} ({decision['rule']}: {decision['reason']})"


def steps(affected: Json) -> list[tuple[str, str, str | None]]:
    """The flows of the way to it: from, to, and how each is known, where that was told."""
    if affected.get("evidence"):
        return [(_end(hop["source"]), _end(hop["target"]), _known(hop)) for hop in affected["evidence"]]
    path = affected["path"]
    return [(source, target, None) for source, target in pairwise(path)]


def _end(asset: Json | str) -> str:
    return asset if isinstance(asset, str) else str(asset["id"])


def _known(hop: Json) -> str | None:
    said = str(hop["basis"]).lower() if hop.get("basis") else None
    return f"{said} by {listed(hop['origins'])}" if said and hop.get("origins") else said


def affects(finding: Json) -> str:
    if not finding["known"]:
        return "cannot be told"
    return "" if finding["alteration"] == "ADDED" else counted(finding["counts"]) or "nobody known"


def how(finding: Json) -> str:
    if finding["alteration"] == "ADDED":
        return ""
    if finding["renamedTo"] and finding["known"]:
        return f"now {label(finding['renamedTo']).partition('#')[2]}"
    said = [_difference(each) for each in finding["differences"]]
    return "; ".join(said) if said and finding["known"] else str(finding["reason"])


def counted(counts: Sequence[Json]) -> str:
    """`2 deployments and 1 consumer now, 1 consumer at the next training`."""
    said = []
    for when, words in WHEN.items():
        kinds: dict[str, int] = {}
        for each in counts:
            if each["when"] == when and each.get("verdict", "BREAKING") in FELT:
                kinds[each["kind"]] = kinds.get(each["kind"], 0) + each["count"]
        each_kind = [plural(kinds[kind], kind.lower()) for kind in ("DEPLOYMENT", "CONSUMER") if kind in kinds]
        said += [f"{listed(each_kind)} {words}"] if each_kind else []
    return ", ".join(said)


def who(asset: Json) -> str:
    where = [f"tier {asset['tier']}"] if asset["tier"] else []
    where += [str(asset["environment"])] if asset["environment"] else []
    return label(asset["id"]) + (f" ({', '.join(where)})" if where else "")


def owners_of(assets: Iterable[Json]) -> list[Json]:
    """Each once, in the order of the assets: those of the worst affected first."""
    found = {(owner["name"], owner["contact"]): owner for asset in assets for owner in asset["owners"]}
    return [*found.values()]


def plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def listed(parts: Sequence[str]) -> str:
    return f"{', '.join(parts[:-1])} and {parts[-1]}" if len(parts) > 1 else "".join(parts)


def _demanded(affected: Json) -> str:
    decision = affected.get("decision")
    return str(decision["effect"]) if decision else "ACKNOWLEDGE"


def _count(counts: Sequence[Json], verdict: str, when: str, kind: str) -> int:
    wanted = (verdict, when, kind)
    return int(sum(each["count"] for each in counts if (each["verdict"], each["when"], each["kind"]) == wanted))


def _difference(difference: Json) -> str:
    name, before, after = difference["attribute"], difference["before"], difference["after"]
    if name == "flows":
        come = [label(key) for key in after if key not in before]
        gone = [label(key) for key in before if key not in after]
        parts = [f"now from {listed(come)}"] if come else []
        return ", ".join([*parts, *([f"no longer from {listed(gone)}"] if gone else [])]) or "derived in another way"
    texts = [value if isinstance(value, str) else str(value).lower() for value in (before, after)]
    if all(len(text) <= SHORT and text.isprintable() for text in texts) and not isinstance(before, (dict, list)):
        return f"{name} {texts[0]} → {texts[1]}"
    return f"another {name}"
