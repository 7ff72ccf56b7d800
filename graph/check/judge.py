"""The judge of a proposed change: what the change from one version of a repository to the next does to those downstream.

The graph is walked as it is now, not as it would be: what the new version withdraws together with an asset must not hide
that asset's readers. Only flows that their reader gives up in the same change are left out: a reader that moves away, or goes
itself, does not break.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import NamedTuple

import numpy as np

from graph.check.change import Altered, Change
from graph.check.ground import Believed, Ground
from graph.check.known import Known
from graph.check.side import Side
from graph.check.spread import Spread, spread, spread_new
from graph.check.verdicts import ORDER, RESULTS, WORST, Alteration, Difference, Result, Verdict
from graph.errors import InvalidInput, NotFound
from graph.impact import When
from graph.importers.project import Place, Project
from graph.keys import AssetKey, AssetKind
from graph.paths import Hop, paths
from graph.same import names_of
from graph.topology import KIND_CODE, KINDS, Ints, Moment, View
from graph.walk import Lineage, located

MAX_WALKS = 10_000
"""The most changed assets that are judged at once; beyond that a check is refused, never cut."""

TOLD = frozenset({AssetKind.DEPLOYMENT, AssetKind.CONSUMER})
"""Those for whose sake a change is judged."""


class Affected(NamedTuple):
    asset: AssetKey
    results: tuple[Result, ...]
    """The worst first, then the soonest felt; at least one."""
    hops: int

    @property
    def verdict(self) -> Verdict:
        return self.results[0].verdict

    @property
    def when(self) -> When:
        return self.results[0].when


@dataclass(frozen=True)
class Finding:
    """One changed asset, and what that means. A change of a whole container stands for its parts."""

    altered: Altered
    known: bool = True
    """Whether the graph knows the asset; if not, nobody can tell who reads it."""
    spread: Spread | None = None
    """Whom it reaches; None where nobody can be affected, or the graph does not know."""
    gone: frozenset[int] = frozenset()
    """By number the assets that go in the same change, which are nobody's concern."""

    @property
    def asset(self) -> AssetKey:
        return self.altered.asset

    @property
    def alteration(self) -> Alteration:
        return self.altered.alteration

    @property
    def verdict(self) -> Verdict:
        """What it means to a direct reader, at worst."""
        return self.altered.verdict if self.known else Verdict.UNKNOWN

    @property
    def reason(self) -> str:
        """One sentence for people: why this verdict."""
        if not self.known:
            return _UNKNOWN_TO_THE_GRAPH
        worst = [each.reason for each in self.altered.differences if each.verdict is self.verdict]
        return self.altered.reason or " and ".join(dict.fromkeys(worst))

    @property
    def differences(self) -> tuple[Difference, ...]:
        """The worst first; of what comes or goes none but its own."""
        found = (each for each in self.altered.differences if each.attribute not in ("presence", "name"))
        return tuple(sorted(found, key=lambda each: WORST.index(each.verdict)))

    @property
    def renamed_to(self) -> AssetKey | None:
        return self.altered.renamed_to

    @property
    def place(self) -> Place | None:
        return self.altered.place

    @property
    def lineage(self) -> Lineage | None:
        return self.spread.lineage if self.spread else None

    @cached_property
    def _rows(self) -> Ints:
        """Those of the lineage that count."""
        if self.spread is None:
            return np.empty(0, np.int64)
        there = self.spread.results != 0
        if self.gone:
            there &= ~np.isin(self.spread.lineage.assets, [*self.gone])
        return np.nonzero(there)[0]

    @cached_property
    def counts(self) -> Mapping[tuple[Verdict, When, AssetKind], int]:
        """Exact: each asset once, by the worst of its results; what only history holds is counted as HISTORIC."""
        if self.spread is None:
            return {}
        lineage = self.spread.lineage
        kinds = lineage.view.kind[lineage.assets]
        worst = _WORST_OF[self.spread.results[self._rows]]
        pairs, numbers = np.unique(np.stack([worst, kinds[self._rows]]), axis=1, return_counts=True)
        counted = {
            (*RESULTS[place], KINDS[kind]): number
            for place, kind, number in zip(*pairs.tolist(), numbers.tolist(), strict=True)
        }
        old, numbers = np.unique(kinds[self.spread.historic], return_counts=True)
        for kind, number in zip(old.tolist(), numbers.tolist(), strict=True):
            counted[self.verdict, When.HISTORIC, KINDS[kind]] = number
        return counted

    @cached_property
    def _affected(self) -> dict[frozenset[AssetKind], list[Affected]]:
        """By kinds what was asked before."""
        return {}

    def affected(self, kinds: Collection[AssetKind] = ()) -> Sequence[Affected]:
        """Whom it affects, without what only history holds: the worst, soonest felt, nearest, then in the order of the keys."""
        asked = frozenset(kinds)
        if asked not in self._affected:
            self._affected[asked] = self._found(asked)
        return self._affected[asked]

    def _found(self, kinds: Collection[AssetKind]) -> list[Affected]:
        if self.spread is None:
            return []
        lineage, rows = self.spread.lineage, self._rows
        if kinds:
            rows = rows[np.isin(lineage.view.kind[lineage.assets[rows]], [KIND_CODE[kind] for kind in kinds])]
        told = zip(rows.tolist(), self.spread.results[rows].tolist(), lineage.hops[rows].tolist(), strict=True)
        found = [Affected(lineage.key(row), _results(bits), hops) for row, bits, hops in told]
        return sorted(found, key=_urgency)

    def touches(self) -> bool:
        """Whether a deployment or a consumer gets anything else, or cannot be told, other than in history."""
        return any(
            kind in TOLD and when is not When.HISTORIC and verdict in _FELT for verdict, when, kind in self.counts
        )

    def path(self, to: AssetKey) -> tuple[Hop, ...]:
        """The evidence: the flows of the shortest way from the changed asset to an affected one."""
        if self.spread is None:
            return ()
        lineage = self.spread.lineage
        for view in (lineage.view.forgetting(self.spread.unconcerned), lineage.view):
            if found := paths(view, lineage.start, to, lineage.moment, lineage.follow):
                return found[0].hops
        return ()

    def steps(self, to: AssetKey) -> tuple[AssetKey, ...]:
        """The assets on that way, the changed one first, the affected one last."""
        hops = self.path(to)
        return (self.asset, *(hop.flow.target for hop in hops)) if hops else ()


class Concern(NamedTuple):
    """Somebody affected by a change, with all that affects them."""

    worst: Affected
    """With the results of all findings together; the hops are those of the first."""
    findings: tuple[Finding, ...]
    """Worst first."""


@dataclass(frozen=True)
class Check:
    moment: Moment
    findings: tuple[Finding, ...]
    """Worst first, then by how many deployments and consumers are affected, then in the order of the keys."""

    @cached_property
    def _concerns(self) -> dict[frozenset[AssetKind], list[Concern]]:
        """By kinds what was asked before."""
        return {}

    def concerns(self, kinds: Collection[AssetKind] = TOLD) -> Sequence[Concern]:
        """Who is affected by any of it: the worst first, then the soonest felt, then the nearest."""
        asked = frozenset(kinds)
        if asked not in self._concerns:
            self._concerns[asked] = self._together(asked)
        return self._concerns[asked]

    def _together(self, kinds: Collection[AssetKind]) -> list[Concern]:
        found: dict[AssetKey, list[tuple[Affected, Finding]]] = {}
        for finding in self.findings:
            for each in finding.affected(kinds):
                found.setdefault(each.asset, []).append((each, finding))
        concerns = []
        for pairs in found.values():
            pairs.sort(key=lambda pair: (*_urgency(pair[0])[:3], str(pair[1].asset)))
            results = tuple(sorted({each for hit, _ in pairs for each in hit.results}, key=RESULTS.index))
            concerns.append(Concern(pairs[0][0]._replace(results=results), tuple(finding for _, finding in pairs)))
        return sorted(concerns, key=lambda each: _urgency(each.worst))

    def results(self) -> Mapping[AssetKey, frozenset[Result]]:
        """What all of it means to each asset that is affected."""
        return {each.worst.asset: frozenset(each.worst.results) for each in self.concerns(())}

    def watched(self) -> set[AssetKey]:
        """Whose unidentified callers would be hit unseen: what breaks itself, and what can be called that it reaches."""
        keys: set[AssetKey] = set()
        for finding in self.findings:
            if finding.verdict in _MAY_BREAK:
                keys.add(finding.asset)
                found = finding.affected((AssetKind.DEPLOYMENT, AssetKind.FEATURE))
                keys.update(each.asset for each in found if each.verdict in _MAY_BREAK)
        return keys


def judge(view: View, moment: Moment, base: Project, head: Project, believed: Believed) -> Check:
    """What the change from `base` to `head` means now.

    `believed` tells what every origin says of assets and flows, as of `moment`. Raises InvalidInput for more changes than
    can be judged at once.
    """
    before, after = Side.of(base), Side.of(head)
    origins = {each.origin for side in (base, head) for each in side.registrations}
    known = Known(view, moment, origins, believed)
    change = Change(before, after, known)
    altered = change.altered()
    walked = sum(each.alteration is not Alteration.ADDED for each in altered)
    if walked > MAX_WALKS:
        raise InvalidInput(
            f"{walked:,} assets change; at most {MAX_WALKS:,} can be judged at once: split the change", walked
        )
    read_last = [flow for source, job in change.left_by_training() for flow in known.trainings(source, job)]
    ground = Ground(known.without(change.given_up(), read_last), moment, believed, after.said, origins, {*head.unread})
    reaching = _Reaching(ground, change, {})
    found = [reaching.finding(each) for each in altered]
    return Check(moment, tuple(sorted((each for each in found if not _idle(each)), key=_severity)))


@dataclass(frozen=True)
class _Reaching:
    ground: Ground
    change: Change
    new: dict[AssetKey, Spread | None]
    """What a new part of a container reaches, by container."""

    def finding(self, altered: Altered) -> Finding:
        if altered.alteration is Alteration.ADDED:
            return Finding(altered, spread=self._new(altered.asset.container))
        if altered.verdict is Verdict.NONE:
            return Finding(altered)
        if altered.verdict is Verdict.ADDITIVE and altered.renamed_to is not None:  # the old name still answers
            return Finding(altered, spread=self._new(altered.asset.container))
        if altered.verdict is Verdict.ADDITIVE and {each.attribute for each in altered.differences} == {"definition"}:
            return Finding(altered, spread=self._new(altered.asset))  # it gives columns besides
        try:
            found = spread(self.ground, altered.asset, altered.differences, self._around(altered.asset))
        except NotFound:
            return Finding(altered, known=False)
        return Finding(altered, spread=found, gone=self._absent)

    def _new(self, container: AssetKey | None) -> Spread | None:
        if container is None or container in self.change.removed:
            return None
        if container not in self.new:
            try:
                self.new[container] = spread_new(self.ground, container)
            except NotFound:
                self.new[container] = None
        return self.new[container]

    @cached_property
    def _absent(self) -> frozenset[int]:
        """What is known by other keys, too, is only gone with all of them."""
        view, gone = self.ground.view, self.change.gone
        names = {key: names_of(view, key, self.ground.moment) for key in gone if str(key) in view.numbers}
        return frozenset(view.numbers[str(shown)] for shown, *others in names.values() if {shown, *others} <= {*gone})

    def _around(self, key: AssetKey) -> View:
        """The graph as a change of `key` itself meets it.

        An alias that moves reaches those served by that alias alone, not the other readers of the version it names. A
        feature that goes leaves its view standing: only what misses an input fails as a whole.
        """
        view = self.ground.view
        if key.is_alias:
            alias = view.number(key)
            rows = view.down.of_many(view.whole[[located(view, key, self.ground.moment)]])
            return view.forgetting(rows[view.vertex_asset[view.rows["target"][rows]] != alias])
        if key.kind is AssetKind.FEATURE and key.container and str(key.container) in view.numbers:
            container = view.number(key.container)
            rows = view.down.of_many(view.any[[container]])
            return view.forgetting(rows[view.rows["target"][rows] == view.whole[container]])
        return view


_UNKNOWN_TO_THE_GRAPH = "the graph does not know it, so nobody can tell who reads it: apply the version before first"
_MAY_BREAK = {Verdict.BREAKING, Verdict.UNKNOWN}
_FELT = {Verdict.BREAKING, Verdict.UNKNOWN, Verdict.BEHAVIOURAL}
_ALTERATIONS = tuple(Alteration)


_WORST_OF = np.array([(bits & -bits).bit_length() - 1 for bits in range(1 << len(RESULTS))])
"""By bits the place in RESULTS of the worst."""


@cache
def _results(bits: int) -> tuple[Result, ...]:
    return tuple(result for place, result in enumerate(RESULTS) if bits >> place & 1)


def _urgency(affected: Affected) -> tuple[int, When, int, str]:
    return WORST.index(affected.verdict), affected.when, affected.hops, str(affected.asset)


def _severity(finding: Finding) -> tuple[int, int, int, str]:
    touched = sum(
        count for (_, when, kind), count in finding.counts.items() if kind in TOLD and when is not When.HISTORIC
    )
    return WORST.index(finding.verdict), -touched, _ALTERATIONS.index(finding.alteration), str(finding.asset)


def _idle(finding: Finding) -> bool:
    """A consumer that uses other things than before, and that nothing depends on, is nobody's concern; nor is an order
    that nobody counts on.
    """
    if not finding.counts and {each.attribute for each in finding.differences} == {ORDER}:
        return True
    return (
        finding.asset.kind is AssetKind.CONSUMER
        and finding.alteration is Alteration.REDEFINED
        and finding.known
        and not finding.counts
    )
