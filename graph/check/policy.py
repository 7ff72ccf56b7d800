"""What is demanded of a change before it may be merged: which effects block, which need an acknowledgement, which pass.

    version: 1
    rules:
      - name: checkout stays
        match: {verdict: [breaking, unknown], tier: 1, environment: production}
        effect: block
      - name: announced first
        match: {alteration: [removed, renamed]}
        deprecation: {days: 30, quiet_days: 7}
      - match: {verdict: behavioural, when: next_training}
        effect: pass
    acknowledgement: {by: owners, flag: false, days: 30}

The first rule that matches decides; where none does, what breaks blocks, what changes or cannot be told needs an
acknowledgement, and all else passes. Where several policies hold, each decides, and the strictest decision counts.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from functools import cached_property
from typing import NamedTuple, TypeVar

from graph.check.verdicts import Alteration, Outcome, Verdict
from graph.errors import InvalidManifest
from graph.impact import When
from graph.importers.shapes import Field, Flag, Many, Problems, Record, Schema, Text, Whole, document_schema
from graph.importers.values import listed, record, records, text, texts
from graph.keys import AssetKey, AssetKind
from graph.model import Json
from graph.remarks import Acknowledgement, Deprecation
from graph.time import DAY, Instant, moment
from graph.usage import KEPT_DAYS, USAGE_DAYS

VERSION = 1
TOLD = frozenset({AssetKind.DEPLOYMENT, AssetKind.CONSUMER})
"""Whom a rule is about that names no kind."""


class Effect(StrEnum):
    """What a rule demands; the strictest first."""

    BLOCK = "BLOCK"
    ACKNOWLEDGE = "ACKNOWLEDGE"
    """Somebody who answers for the affected asset must agree."""
    PASS = "PASS"  # noqa: S105 (no password)


class By(StrEnum):
    """As what somebody may acknowledge."""

    OWNERS = "owners"
    """Of the affected asset."""
    OPERATORS = "operators"
    """Of the service."""


# What is decided about


@dataclass(frozen=True)
class Changed:
    asset: AssetKey
    alteration: Alteration
    digest: str
    """Of exactly this change; what an acknowledgement names."""
    deprecation: Deprecation | None = None


class Use(NamedTuple):
    calls_per_day: float = 0.0
    last_seen: Instant | None = None
    """None: it was never seen, which does not say that it is not used."""


class Hit(NamedTuple):
    """One of the things that one change does to an asset."""

    change: Changed
    verdict: Verdict
    when: When
    use: Use = Use()
    """How much the affected asset uses what changes, as far as that was seen; else how much it is in use itself."""


@dataclass(frozen=True)
class Facts:
    """An affected asset, with all that changes do to it."""

    asset: AssetKey
    hits: tuple[Hit, ...]
    tier: int | None = None
    environment: str | None = None
    owners: frozenset[str] = frozenset()
    """Their names."""
    acknowledgements: tuple[Acknowledgement, ...] = ()


@dataclass(frozen=True)
class Decision:
    rule: str
    """Its name, or its place."""
    effect: Effect
    reason: str
    """One sentence for people."""
    acknowledgements: tuple[Acknowledgement, ...] = ()
    """Those that meet the demand; empty while somebody has yet to agree."""

    @property
    def is_met(self) -> bool:
        return self.effect is Effect.PASS or bool(self.acknowledgements)

    @property
    def severity(self) -> tuple[bool, int]:
        return self.is_met, _STRICTEST.index(self.effect)


# The rules


@dataclass(frozen=True)
class Period:
    """How long something must have been deprecated before it goes."""

    days: int
    quiet_days: int
    """Whoever was seen using it within so many days must agree, too."""


@dataclass(frozen=True)
class Rule:
    """An empty condition holds for everything."""

    name: str
    effect: Effect | Period
    reason: str | None = None
    verdicts: frozenset[Verdict] = frozenset()
    whens: frozenset[When] = frozenset()
    alterations: frozenset[Alteration] = frozenset()
    kinds: frozenset[AssetKind] = TOLD
    tiers: frozenset[int] = frozenset()
    environments: frozenset[str] = frozenset()
    owners: frozenset[str] = frozenset()
    namespaces: frozenset[str] = frozenset()
    calls_per_day: int = 0
    """It is used at least so much."""
    seen_within_days: int | None = None
    """It was seen in use within so many days."""

    def matches(self, facts: Facts, hit: Hit, now: Instant) -> bool:
        seen = hit.use.last_seen
        return (
            facts.asset.kind in self.kinds
            and (not self.verdicts or hit.verdict in self.verdicts)
            and (not self.whens or hit.when in self.whens)
            and (not self.alterations or hit.change.alteration in self.alterations)
            and (not self.tiers or facts.tier in self.tiers)
            and (not self.environments or facts.environment in self.environments)
            and (not self.owners or not self.owners.isdisjoint(facts.owners))
            and (not self.namespaces or facts.asset.namespace in self.namespaces)
            and hit.use.calls_per_day >= self.calls_per_day
            and (self.seen_within_days is None or (seen is not None and now - seen <= self.seen_within_days * DAY))
        )


DEFAULT_RULES = (
    Rule("default: what breaks", Effect.BLOCK, "it breaks", frozenset({Verdict.BREAKING})),
    Rule(
        "default: what may break",
        Effect.ACKNOWLEDGE,
        "it cannot be told whether it breaks",
        frozenset({Verdict.UNKNOWN}),
    ),
    Rule("default: what changes", Effect.ACKNOWLEDGE, "what it gets changes", frozenset({Verdict.BEHAVIOURAL})),
)
_HARMLESS = Rule("default: all else", Effect.PASS, "nothing that it uses changes for the worse")


@dataclass(frozen=True)
class Policy:
    rules: tuple[Rule, ...] = ()
    unidentified_calls: Effect = Effect.ACKNOWLEDGE
    """Where callers that could not be told were seen at something that may break."""
    unknown_assets: Effect = Effect.ACKNOWLEDGE
    """Where the graph does not know what changes, so that nobody can tell who reads it."""
    by: frozenset[By] = frozenset(By)
    flag: bool = True
    """Whether `--acknowledge` counts: then whoever starts the check agrees for all."""
    longest_days: int | None = None
    """An acknowledgement counts no longer than that."""

    @cached_property
    def kinds(self) -> frozenset[AssetKind]:
        """Of which assets it wants to know whether they are affected."""
        return TOLD.union(*(rule.kinds for rule in self.rules))

    @cached_property
    def usage_days(self) -> int:
        """Of how many days it wants to know the usage."""
        if any(isinstance(rule.effect, Period) for rule in self.rules):
            return KEPT_DAYS  # quiet for long, and never seen, are told apart
        return max([USAGE_DAYS, *(rule.seen_within_days or 0 for rule in self.rules)])

    def decide(self, facts: Facts, now: Instant) -> Decision:
        """The strictest of what is decided about each hit; what is still to be met before what is met."""
        decisions = [self._decided(facts, hit, now) for hit in facts.hits]
        if not decisions:
            return Decision(_HARMLESS.name, Effect.PASS, str(_HARMLESS.reason))
        strictest = min(decisions, key=lambda each: each.severity)
        agreed = {each: None for decision in decisions for each in decision.acknowledgements}
        return Decision(strictest.rule, strictest.effect, strictest.reason, tuple(agreed) if strictest.is_met else ())

    def _decided(self, facts: Facts, hit: Hit, now: Instant) -> Decision:
        rule = next((each for each in (*self.rules, *DEFAULT_RULES) if each.matches(facts, hit, now)), _HARMLESS)
        if isinstance(rule.effect, Period):
            effect, reason = _announced(rule.effect, hit, now)
        else:
            effect, reason = rule.effect, f"{_WORDS[hit.verdict]} {_FELT[hit.when]}"
        met = tuple(each for each in facts.acknowledgements if self._counts(each, hit, now))
        return Decision(rule.name, effect, rule.reason or reason, met if effect is Effect.ACKNOWLEDGE else ())

    def _counts(self, given: Acknowledgement, hit: Hit, now: Instant) -> bool:
        role = By.OWNERS if given.as_owner else By.OPERATORS
        age = now - given.at
        return (
            given.digest == hit.change.digest
            and role in self.by
            and now < given.until
            and (self.longest_days is None or age < self.longest_days * DAY)
        )


DEFAULT = Policy()


def decide(policies: Sequence[Policy], facts: Facts, now: Instant) -> Decision:
    """The strictest of what the policies decide; without any, what the default one does."""
    return min((policy.decide(facts, now) for policy in policies or (DEFAULT,)), key=lambda each: each.severity)


def outcome(policies: Sequence[Policy], decisions: Iterable[Decision], unidentified: bool, unknown: bool) -> Outcome:
    """`unidentified`: callers that could not be told were seen at what may break. `unknown`: something changes that the graph does not know."""
    open_ones = {each.effect for each in decisions if not each.is_met}
    for policy in policies or (DEFAULT,):
        open_ones |= {policy.unidentified_calls} if unidentified else set()
        open_ones |= {policy.unknown_assets} if unknown else set()
    if Effect.BLOCK in open_ones:
        return Outcome.BLOCKED
    return Outcome.NEEDS_ACKNOWLEDGEMENT if Effect.ACKNOWLEDGE in open_ones else Outcome.CLEAN


def _announced(period: Period, hit: Hit, now: Instant) -> tuple[Effect, str]:
    """What is demanded of what goes, and why."""
    change, told = hit.change.asset, hit.change.deprecation
    if told is None:
        return Effect.BLOCK, f"{change} goes without having been deprecated for {_days(period.days)}"
    ends = max(_day(told.told) + timedelta(period.days), told.until or date.min)
    if _day(now) < ends:
        return Effect.BLOCK, f"{change} is deprecated since {_day(told.told)}, and may go from {ends} on"
    seen = hit.use.last_seen
    if seen is None:
        return (
            Effect.ACKNOWLEDGE,
            f"{change} is deprecated since {_day(told.told)}, and nobody can see whether it is still used",
        )
    if now - seen <= period.quiet_days * DAY:
        return Effect.ACKNOWLEDGE, f"{change} is deprecated since {_day(told.told)}, and was used on {_day(seen)}"
    return Effect.PASS, f"{change} is deprecated since {_day(told.told)}, and was last used on {_day(seen)}"


def _day(at: Instant) -> date:
    when = moment(at)
    assert when is not None
    return when.date()


def _days(count: int) -> str:
    return f"{count} day" if count == 1 else f"{count} days"


_STRICTEST = tuple(Effect)
_WORDS = {
    Verdict.BREAKING: "it breaks",
    Verdict.UNKNOWN: "it may break",
    Verdict.BEHAVIOURAL: "what it gets changes",
    Verdict.ADDITIVE: "something is added",
    Verdict.NONE: "only the form changes",
}
_FELT = {When.NOW: "now", When.NEXT_TRAINING: "at its next training", When.HISTORIC: "in history"}


# Reading


def read_policy(document: object) -> Policy:
    """Raises InvalidManifest, which names every place that is wrong."""
    problems: Problems = []
    read = record(_POLICY.read(document, "", problems))
    given = record(read.get("acknowledgement"))
    rules = tuple(_rule(place, each) for place, each in records(read, "rules"))
    stated = listed(document.get("rules")) if isinstance(document, dict) else []
    for number, each in enumerate(stated):
        if isinstance(each, dict) and ("effect" in each) == ("deprecation" in each):
            problems.append(f"rules[{number}]: give it an effect, or a deprecation, and not both")
    names = [rule.name for rule in rules]
    problems += [f"rules: two have the name {name!r}" for name in sorted({n for n in names if names.count(n) > 1})]
    if problems:
        raise InvalidManifest(problems)
    days = given.get("days")
    return Policy(
        rules,
        Effect((text(read, "unidentified_calls") or "acknowledge").upper()),
        Effect((text(read, "unknown_assets") or "acknowledge").upper()),
        frozenset(By(each) for each in texts(given["by"])) if "by" in given else frozenset(By),
        given.get("flag") is not False,
        days if isinstance(days, int) else None,
    )


def read_policies(document: object) -> tuple[Policy, ...]:
    """One policy, or several in a list; none for null. Raises InvalidManifest, as `read_policy`."""
    if document is None:
        return ()
    if not isinstance(document, list):
        return (read_policy(document),)
    policies, problems = [], []
    for number, each in enumerate(document):
        try:
            policies.append(read_policy(each))
        except InvalidManifest as error:
            problems += [f"[{number}].{line}" for line in error.problems]
    if problems:
        raise InvalidManifest(list(dict.fromkeys(problems)))
    return tuple(policies)


def policy_schema() -> Schema:
    """For editors."""
    return document_schema(_POLICY, "headwater.policy.yaml")


def _rule(place: str, read: dict[str, Json]) -> Rule:
    match, period = record(read.get("match")), record(read.get("deprecation"))
    effect = text(read, "effect")
    within = match.get("seen_within_days")
    return Rule(
        text(read, "name") or place,
        Effect(effect.upper()) if effect else Period(_whole(period, "days"), _whole(period, "quiet_days", 7)),
        text(read, "reason"),
        _chosen(match, "verdict", Verdict),
        frozenset(When[each.upper()] for each in texts(match.get("when"))),
        _chosen(match, "alteration", Alteration),
        frozenset(AssetKind(each) for each in texts(match.get("kind"))) or TOLD,
        frozenset(each for each in listed(match.get("tier")) if isinstance(each, int)),
        frozenset(texts(match.get("environment"))),
        frozenset(texts(match.get("owner"))),
        frozenset(texts(match.get("namespace"))),
        _whole(match, "calls_per_day"),
        within if isinstance(within, int) else None,
    )


Word = TypeVar("Word", bound=StrEnum)


def _chosen(match: dict[str, Json], name: str, words: type[Word]) -> frozenset[Word]:
    return frozenset(words(each.upper()) for each in texts(match.get(name)))


def _whole(of: dict[str, Json], name: str, default: int = 0) -> int:
    value = of.get(name)
    return value if isinstance(value, int) else default


def _any_of(words: Iterable[str]) -> Many:
    return Many(Text(tuple(words)), or_one=True)


_EFFECT = Text(tuple(each.lower() for each in Effect))
_NAMES = Many(Text(), or_one=True)
_MATCH = Record(
    "match",
    "What must hold, all of it; of a list, one of its items. Of the affected asset, where nothing else is said.",
    {
        "verdict": Field(_any_of(each.lower() for each in Verdict), "What the change means to it."),
        "when": Field(_any_of(("now", "next_training")), "When it is felt."),
        "alteration": Field(_any_of(each.lower() for each in Alteration), "What the change does to the changed asset."),
        "kind": Field(
            _any_of(each.value for each in AssetKind if each is not AssetKind.ALERT),
            "Its kind; absent: deployments and consumers.",
        ),
        "tier": Field(Many(Whole(1, 4), or_one=True), "How critical it is, from 1 (most) to 4."),
        "environment": Field(_NAMES, "Where it runs, e.g. production."),
        "owner": Field(_NAMES, "The name of one of its owners."),
        "namespace": Field(_NAMES, "Its namespace."),
        "calls_per_day": Field(Whole(1, 2**53), "It makes, or gets, at least so many calls a day."),
        "seen_within_days": Field(Whole(1, KEPT_DAYS), "It was seen in use within so many days."),
    },
)
_PERIOD = Record(
    "deprecation",
    "What changes must have been deprecated, and its use must have ended or be agreed on; before, it blocks.",
    {
        "days": Field(Whole(1, 10_000), "For how many days at least.", required=True),
        "quiet_days": Field(Whole(1, KEPT_DAYS), "Who used it within so many days must agree; absent: 7."),
    },
)
_POLICY = Record(
    "policy",
    "What is demanded of a change before it may be merged.",
    {
        "version": Field(Whole(VERSION, VERSION), "The version of this format: 1.", required=True),
        "rules": Field(
            Many(
                Record(
                    "rule",
                    "The first that matches decides.",
                    {
                        "name": Field(Text(), "What it is called in reports."),
                        "match": Field(_MATCH, "When it applies; absent: always."),
                        "effect": Field(_EFFECT, "What is demanded then."),
                        "deprecation": Field(_PERIOD, "Instead of an effect: what goes must have been announced."),
                        "reason": Field(Text(), "Why, for people; absent: what the change means."),
                    },
                )
            ),
            "In the order in which they are asked; where none matches, what breaks blocks, and what changes or cannot be"
            " told needs an acknowledgement.",
        ),
        "unidentified_calls": Field(
            _EFFECT, "Where callers that could not be told call what may break; absent: acknowledge."
        ),
        "unknown_assets": Field(_EFFECT, "Where the graph does not know what changes; absent: acknowledge."),
        "acknowledgement": Field(
            Record(
                "acknowledgement",
                "Who may acknowledge, and for how long.",
                {
                    "by": Field(_any_of(By), "Owners of the affected asset, operators of the service; absent: both."),
                    "flag": Field(Flag(), "Whether `headwater check --acknowledge` counts; absent: it does."),
                    "days": Field(Whole(1, 10_000), "It counts no longer than so many days."),
                },
            ),
            "Who may acknowledge, and for how long.",
        ),
    },
)
