"""The judge of a proposed change: what the change from one version of a manifest to the next does to those downstream.

The graph is walked as it is now, not as it would be: what the new version withdraws together with an asset must not hide
that asset's readers. Only flows that their reader gives up in the same change are left out (`after_moves`): a reader that
moves away, or goes itself, does not break.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from graph.check.differences import MADE_BY, RELIED_ON, differences
from graph.check.verdicts import Alteration, Difference, Outcome, Verdict
from graph.errors import InvalidInput, NotFound
from graph.impact import When, when_felt
from graph.importers.project import Project
from graph.keys import AssetKey, AssetKind
from graph.model import Assertion, Attributes, Flow, Json, Relationship, Subject, implied_flows
from graph.paths import paths
from graph.ports import Step
from graph.remarks import is_remark
from graph.same import names_of
from graph.topology import Ints, Moment, View
from graph.walk import Direction, Follow, Lineage, located, walk

MAX_WALKS = 1_000
"""The most changed assets that are judged at once; beyond that a check is refused, never cut."""


TOLD = frozenset({AssetKind.DEPLOYMENT, AssetKind.CONSUMER})
"""Those for whose sake a change is judged."""


class Affected(NamedTuple):
    asset: AssetKey
    when: When
    verdict: Verdict
    hops: int


@dataclass(frozen=True)
class Finding:
    """One changed asset, and what that means. A change of a whole container stands for its parts."""

    asset: AssetKey
    alteration: Alteration
    verdict: Verdict
    reason: str
    """One sentence for people: why this verdict."""
    differences: tuple[Difference, ...] = ()
    renamed_to: AssetKey | None = None
    known: bool = True
    """Whether the graph knows the asset; if not, nobody can tell who reads it."""
    lineage: Lineage | None = None
    """Whom it reaches; None where nobody can be affected, or the graph does not know."""
    felt: Ints = field(default_factory=lambda: np.empty(0, np.int8))
    rows: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    """The rows of `lineage` that are affected, HISTORIC ones included."""

    @cached_property
    def counts(self) -> Mapping[tuple[When, AssetKind], int]:
        """Exact, by when it is felt and kind of asset."""
        if self.lineage is None:
            return {}
        kinds = (self.lineage.kind(row) for row in self.rows.tolist())
        return Counter(zip((When(code) for code in self.felt[self.rows].tolist()), kinds, strict=True))

    def affected(self, kinds: Collection[AssetKind] = ()) -> list[Affected]:
        """Whom it affects, without what only history holds: soonest felt, then nearest, then in the order of the keys."""
        if self.lineage is None:
            return []
        found = [
            Affected(self.lineage.key(row), When(self.felt[row]), self.verdict, int(self.lineage.hops[row]))
            for row in self.rows.tolist()
            if self.felt[row] != When.HISTORIC and (not kinds or self.lineage.kind(row) in kinds)
        ]
        return sorted(found, key=lambda each: (each.when, each.hops, str(each.asset)))

    def touches(self) -> bool:
        """Whether a deployment or a consumer is affected, other than in history."""
        return any(kind in TOLD and when is not When.HISTORIC for when, kind in self.counts)

    def path(self, to: AssetKey) -> tuple[AssetKey, ...]:
        """The evidence: the shortest way from the changed asset to an affected one, both included."""
        if self.lineage is None:
            return ()
        found = paths(self.lineage.view, self.lineage.start, to, self.lineage.moment, self.lineage.follow)
        return (self.asset, *(hop.flow.target for hop in found[0].hops)) if found else ()


class Concern(NamedTuple):
    """Somebody affected by a change, with all that affects them."""

    worst: Affected
    findings: tuple[Finding, ...]
    """Worst first."""


@dataclass(frozen=True)
class Check:
    moment: Moment
    findings: tuple[Finding, ...]
    """Worst first, then by how many deployments and consumers are affected, then in the order of the keys."""

    def concerns(self, kinds: Collection[AssetKind] = TOLD) -> list[Concern]:
        """Who is affected by any of it: the worst first, then the soonest felt, then the nearest."""
        found: dict[AssetKey, list[tuple[Affected, Finding]]] = {}
        for finding in self.findings:
            for each in finding.affected(kinds):
                found.setdefault(each.asset, []).append((each, finding))
        concerns = []
        for pairs in found.values():
            pairs.sort(key=lambda pair: (_WORST.index(pair[0].verdict), pair[0].when, pair[0].hops, str(pair[1].asset)))
            concerns.append(Concern(pairs[0][0], tuple(finding for _, finding in pairs)))
        return sorted(
            concerns,
            key=lambda each: (
                _WORST.index(each.worst.verdict),
                each.worst.when,
                each.worst.hops,
                str(each.worst.asset),
            ),
        )

    def watched(self) -> set[AssetKey]:
        """Whose unidentified callers would be hit unseen: what breaks itself, and what can be called that it reaches."""
        keys: set[AssetKey] = set()
        for finding in self.findings:
            if finding.verdict in _MAY_BREAK:
                keys.add(finding.asset)
                keys.update(each.asset for each in finding.affected((AssetKind.DEPLOYMENT, AssetKind.FEATURE)))
        return keys

    def outcome(self, unidentified: bool) -> Outcome:
        """`unidentified`: callers that could not be told were seen at something `watched`."""
        outcome = Outcome.CLEAN
        for finding in self.findings:
            if finding.verdict is Verdict.BREAKING and finding.touches():
                return Outcome.BLOCKED
            if finding.touches() or not finding.known or (unidentified and finding.verdict in _MAY_BREAK):
                outcome = Outcome.NEEDS_ACKNOWLEDGEMENT
        return outcome


def touched(base: Project, head: Project) -> list[Subject]:
    """The assets of which `judge` wants to know what is said."""
    return sorted(_side(base).assets.keys() - _side(head).assets.keys())


def judge(
    view: View,
    moment: Moment,
    base: Project,
    head: Project,
    said: Mapping[Subject, Iterable[Assertion]],
) -> Check:
    """What the change from `base` to `head` means now.

    `said`: what is believed of the assets `touched`. Raises InvalidInput for more changes than can be judged at once.
    """
    before, after = _side(base), _side(head)
    origins = {each.origin for side in (base, head) for each in side.registrations}
    change = _Change(before, after, _Known(view, moment, origins))
    removed = {key: change.asserted_by(said.get(key, ())) for key in before.assets.keys() - after.assets.keys()}
    renames = _renames(before, after)
    gone = {key for key, others in removed.items() if not others}
    world = _Known(change.without_moves(removed.keys()), moment, origins)

    findings = [
        _removal(key, others, renames.get(key)) for key, others in removed.items() if key.container not in removed
    ]
    findings += [
        Finding(key, Alteration.ADDED, Verdict.ADDITIVE, "it is new; nothing that was there differs")
        for key in after.assets.keys() - before.assets.keys() - set(renames.values())
        if key.container not in after.assets or key.container in before.assets
    ]
    for key in (before.assets.keys() & after.assets.keys()) | before.targets() | after.targets():
        if key not in removed and (key in before.assets or key not in after.assets):
            findings += change.finding(key, removed.keys())
    if sum(each.alteration is not Alteration.ADDED for each in findings) > MAX_WALKS:
        raise InvalidInput(
            f"{len(findings)} assets change; at most {MAX_WALKS} can be judged at once: split the change"
        )
    felt = [each if each.verdict is Verdict.ADDITIVE else world.reach(each, gone) for each in findings]
    return Check(moment, tuple(sorted((each for each in felt if not _idle(each)), key=_severity)))


_MAY_BREAK = {Verdict.BREAKING, Verdict.UNKNOWN}
_WORST = tuple(Verdict)
_ALTERATIONS = tuple(Alteration)


def _severity(finding: Finding) -> tuple[int, int, int, str]:
    touched = sum(count for (when, kind), count in finding.counts.items() if kind in TOLD and when != When.HISTORIC)
    return _WORST.index(finding.verdict), -touched, _ALTERATIONS.index(finding.alteration), str(finding.asset)


def _idle(finding: Finding) -> bool:
    """A consumer that uses other things than before, and that nothing depends on, is nobody's concern."""
    return (
        finding.asset.kind is AssetKind.CONSUMER
        and finding.alteration is Alteration.REDEFINED
        and finding.known
        and not len(finding.rows)
    )


def _removal(key: AssetKey, others: Sequence[str], renamed_to: AssetKey | None) -> Finding:
    if others:
        reason = f"it is declared no longer, but {' and '.join(others)} still says that it is there"
        return Finding(key, Alteration.REMOVED, Verdict.UNKNOWN, reason)
    if renamed_to is not None:
        reason = f"its readers look for {key.part}, and find {renamed_to.part}"
        return Finding(key, Alteration.RENAMED, Verdict.BREAKING, reason, renamed_to=renamed_to)
    return Finding(key, Alteration.REMOVED, Verdict.BREAKING, "its readers find nothing in its place")


@dataclass(frozen=True)
class _Side:
    """One version of a manifest."""

    assets: Mapping[AssetKey, Attributes]
    stated: frozenset[Flow]

    def targets(self) -> set[AssetKey]:
        return {flow.target for flow in self.stated}

    @cached_property
    def flows(self) -> frozenset[Flow]:
        """Those stated, and those that column lineage implies."""
        return self.stated.union(also for flow in self.stated for also in implied_flows(flow))

    @cached_property
    def into(self) -> Mapping[AssetKey, set[Flow]]:
        """What is stated to flow into each. A job that no longer derives one of its columns derives the others as before."""
        found: dict[AssetKey, set[Flow]] = {}
        for flow in self.stated:
            found.setdefault(flow.target, set()).add(flow)
        return found


def _side(project: Project) -> _Side:
    return _Side(
        {each.key: each.attributes for said in project.registrations for each in said.assets},
        frozenset(each.flow for said in project.registrations for each in said.flows),
    )


@dataclass(frozen=True)
class _Change:
    before: _Side
    after: _Side
    known: "_Known"

    def asserted_by(self, said: Iterable[Assertion]) -> list[str]:
        """The other origins that say an asset is there now."""
        at = self.known.moment.at
        return sorted(
            {each.origin for each in said if each.valid.holds_at(at) and not is_remark(each.origin)}
            - self.known.origins
        )

    def finding(self, key: AssetKey, removed: Collection[AssetKey]) -> list[Finding]:
        """At most one, for an asset that stays."""
        before, after = self.before.assets.get(key, {}), self.after.assets.get(key, {})
        found = differences(key, before, after)
        relied = [each for each in found if each.verdict is Verdict.BREAKING]
        made = [*(each for each in found if each.verdict is not Verdict.BREAKING), *self._inflow(key, removed)]
        if relied:
            names = " and ".join(each.attribute for each in relied)
            return [
                Finding(
                    key,
                    Alteration.RETYPED,
                    Verdict.BREAKING,
                    f"its {names} changes under its readers",
                    (*relied, *made),
                )
            ]
        if made:
            reason = "its readers run on, and may get other values"
            return [Finding(key, Alteration.REDEFINED, Verdict.BEHAVIOURAL, reason, tuple(made))]
        return []

    def _inflow(self, key: AssetKey, removed: Collection[AssetKey]) -> list[Difference]:
        """What flows into an asset, where it differs; what a writer takes with it when it goes is that writer's finding."""
        before, after = self.before.into.get(key, set()), self.after.into.get(key, set())
        differing = {
            flow for flow in before ^ after if not _lost(flow, removed) and not self.known.is_told_by_others(flow)
        }
        if not differing:
            return []
        told: list[list[Json]] = [[*sorted({str(flow.source) for flow in side})] for side in (before, after)]
        return [Difference("flows", told[0], told[1], Verdict.BEHAVIOURAL, "it is made from other things")]

    def without_moves(self, removed: Collection[AssetKey]) -> View:
        """The graph without the flows that their readers give up."""
        moved = [flow for flow in self.before.flows - self.after.flows if not _lost(flow, removed)]
        return self.known.without(moved)


def _lost(flow: Flow, removed: Collection[AssetKey]) -> bool:
    """Whether a flow goes because what told it goes: its writer, not its reader. Its target then misses it."""
    writer = flow.via or (flow.source if flow.type.relationship is Relationship.WRITES else None)
    return writer in removed


def _renames(before: _Side, after: _Side) -> dict[AssetKey, AssetKey]:
    """The parts that went, each with the one that came and is alike in all but the name; ambiguous ones left out."""

    def alike(side: _Side, other: _Side) -> dict[object, list[AssetKey]]:
        found: dict[object, list[AssetKey]] = {}
        for key in side.assets.keys() - other.assets.keys():
            if key.kind in _RENAMED and key.container in side.assets and key.container in other.assets:
                stated = side.assets[key]
                attributes = tuple((name, str(stated.get(name))) for name in (*RELIED_ON, *MADE_BY))
                flows = frozenset((flow.source, flow.via) for flow in side.into.get(key, ()))
                found.setdefault((key.container, attributes, flows), []).append(key)
        return found

    went, came = alike(before, after), alike(after, before)
    return {keys[0]: came[form][0] for form, keys in went.items() if len(keys) == 1 and len(came.get(form, ())) == 1}


_RENAMED = {AssetKind.COLUMN, AssetKind.FEATURE}


@dataclass(frozen=True)
class _Known:
    """What the graph knows at a moment. `origins` are those of the manifest itself."""

    view: View
    moment: Moment
    origins: Set[str]

    def is_told_by_others(self, flow: Flow) -> bool:
        rows = self._rows(flow)
        return bool((~np.isin(self.view.rows["origin"][rows], self._own)).any())

    def without(self, flows: Iterable[Flow]) -> View:
        """The graph as if `origins` had never told of `flows`; what others tell of them stays."""
        rows = np.concatenate([np.empty(0, np.int64), *map(self._rows, flows)])
        return self.view.forgetting(rows[np.isin(self.view.rows["origin"][rows], self._own)])

    def reach(self, finding: Finding, gone: Collection[AssetKey]) -> Finding:
        """The finding, with whom it reaches; those `gone` in the same change are left out."""
        follow = Follow.VALUES if finding.verdict is Verdict.BEHAVIOURAL else Follow.LOSS
        try:
            view = self._around(finding.asset)
            lineage = walk(view, finding.asset, Direction.DOWNSTREAM, self.moment, follow)
        except NotFound:
            reason = "the graph does not know it, so nobody can tell who reads it: apply the version before first"
            return replace(finding, verdict=Verdict.UNKNOWN, reason=reason, known=False)
        names = {key: names_of(view, key, self.moment) for key in gone if str(key) in view.numbers}
        # What is known by other keys, too, is only gone with all of them.
        absent = [view.numbers[str(shown)] for shown, *others in names.values() if {shown, *others} <= {*gone}]
        rows = np.nonzero(~np.isin(lineage.assets, absent))[0]
        return replace(finding, lineage=lineage, felt=when_felt(lineage), rows=rows)

    def _around(self, key: AssetKey) -> View:
        """The graph as a change of `key` itself meets it.

        An alias that moves reaches those served by that alias alone, not the other readers of the version it names. A
        feature that goes leaves its view standing: only what misses an input fails as a whole.
        """
        view = self.view
        if key.is_alias:
            alias = view.number(key)
            rows = view.down.of_many(view.whole[[located(view, key, self.moment)]])
            return self.view.forgetting(rows[view.vertex_asset[view.rows["target"][rows]] != alias])
        if key.kind is AssetKind.FEATURE and key.container:
            container = view.number(key.container)
            rows = view.down.of_many(view.any[[container]])
            return self.view.forgetting(rows[view.rows["target"][rows] == view.whole[container]])
        return view

    def _rows(self, flow: Flow) -> Ints:
        """The rows that tell of a flow now."""
        view = self.view
        try:
            source, target, via = (view.number(end) if end else 0 for end in flow)
        except NotFound:
            return np.empty(0, np.int64)
        vertices = np.unique(np.array([view.whole[target], view.any[target]]))
        rows = view.holding(view.up.of_many(vertices), self.moment)
        ours = (view.vertex_asset[view.rows["source"][rows]] == source) & (view.rows["via"][rows] == via)
        found: Ints = rows[ours & (view.rows["step"][rows] & Step.FLOW != 0)]
        return found

    @cached_property
    def _own(self) -> list[int]:
        return [code for code, name in enumerate(self.view.origins) if name in self.origins]
