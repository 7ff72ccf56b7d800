"""What policies say about the effects of a change, from what is known of the affected: the way from `judge` to `policy`."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from graph.attributes import owner_names, shown_attributes, values
from graph.check.judge import Check, Finding
from graph.check.policy import (
    DEFAULT,
    Changed,
    Decision,
    Facts,
    Hit,
    Policy,
    Use,
    decide,
    outcome,
)
from graph.check.verdicts import Outcome
from graph.keys import AssetKey, AssetKind
from graph.model import Assertion, Subject
from graph.remarks import acknowledgements_of, deprecation_of, digest_of
from graph.time import Instant
from graph.usage import USAGE_DAYS, Day, Usage, day_of

_CALLED = {AssetKind.DEPLOYMENT, AssetKind.FEATURE, AssetKind.FEATURE_VIEW}
"""What calls are counted of."""


@dataclass(frozen=True)
class Decided:
    outcome: Outcome
    decisions: Mapping[AssetKey, Decision]
    """Of each affected asset that a policy is about."""
    flag_counts: bool
    """Whether whoever starts the check may agree for all."""


def digest(finding: Finding) -> str:
    """Of exactly this change."""
    said = [[each.attribute, each.before, each.after] for each in finding.differences]
    return digest_of(finding.asset, finding.alteration, finding.renamed_to, [*said])


def concerned(check: Check, policies: Sequence[Policy]) -> set[AssetKey]:
    """The assets of which `decided` wants to know what is said, and how much they are used."""
    kinds = _kinds(policies)
    affected = {each.asset for finding in check.findings for each in finding.affected(kinds)}
    return affected | {finding.asset for finding in check.findings if finding.lineage is not None}


def usage_since(policies: Sequence[Policy], now: Instant) -> Day:
    return day_of(now) - max(policy.usage_days for policy in policies or (DEFAULT,)) + 1


def decided(
    check: Check,
    policies: Sequence[Policy],
    said: Mapping[Subject, Iterable[Assertion]],
    used: Iterable[Usage],
    unidentified: bool,
) -> Decided:
    """`said`, `used`: of the assets `concerned`. `unidentified`: callers that could not be told were seen at something `watched`."""
    now = check.moment.at
    changed = {
        finding.asset: Changed(
            finding.asset, finding.alteration, digest(finding), deprecation_of(said.get(finding.asset, ()), now)
        )
        for finding in check.findings
    }
    hits: dict[AssetKey, list[Hit]] = {}
    uses = _Uses(used, now)
    for finding in check.findings:
        for each in finding.affected(_kinds(policies)):
            use = uses.of(each.asset, finding.asset, each.hops == 1)
            hits.setdefault(each.asset, []).extend(Hit(changed[finding.asset], *result, use) for result in each.results)
    decisions = {}
    for asset, by in hits.items():
        shown = values(shown_attributes(said.get(asset, ()), now))
        tier, environment = shown.get("tier"), shown.get("environment")
        facts = Facts(
            asset,
            tuple(by),
            tier if isinstance(tier, int) else None,
            environment if isinstance(environment, str) else None,
            frozenset(owner_names(shown.get("owners"))),
            acknowledgements_of(said.get(asset, ()), now),
        )
        decisions[asset] = decide(policies, facts, now)
    unknown = any(not finding.known for finding in check.findings)
    return Decided(
        outcome(policies, decisions.values(), unidentified, unknown),
        decisions,
        all(policy.flag for policy in policies),
    )


def _kinds(policies: Sequence[Policy]) -> Collection[AssetKind]:
    return frozenset[AssetKind]().union(*(policy.kinds for policy in policies or (DEFAULT,)))


class _Uses:
    def __init__(self, used: Iterable[Usage], now: Instant) -> None:
        self._now = now
        self._by_source: dict[AssetKey, list[Usage]] = {}
        self._by_reader: dict[AssetKey, list[Usage]] = {}
        for each in dict.fromkeys(used):
            self._by_source.setdefault(each.source, []).append(each)
            if each.reader is not None:
                self._by_reader.setdefault(each.reader, []).append(each)

    def of(self, asset: AssetKey, changed: AssetKey, direct: bool) -> Use:
        if direct and changed.kind in _CALLED:
            own = [each for each in self._by_source.get(changed, ()) if each.reader == asset]
        elif asset.kind is AssetKind.CONSUMER:
            own = self._by_reader.get(asset, [])
        else:
            own = self._by_source.get(asset, [])
        if not own:
            return Use()
        recent = [each for each in own if each.day > day_of(self._now) - USAGE_DAYS]
        days = day_of(self._now) - min((each.day for each in recent), default=0) + 1
        return Use(sum(each.calls for each in recent) / days, max(each.last for each in own if each.calls > 0))
