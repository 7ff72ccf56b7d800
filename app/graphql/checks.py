"""Judging a proposed change of a manifest before it is merged, and applying manifests."""

from collections.abc import Collection, Mapping
from datetime import datetime
from functools import partial
from typing import Annotated, cast

import strawberry
from strawberry.scalars import JSON

from app.graphql.context import Info
from app.graphql.lineage import WhenFelt, path_node
from app.graphql.paging import page_size
from app.graphql.problems import InvalidInputProblem, problem
from app.graphql.remarks import Decision, decision
from app.graphql.types import Asset, FlowNode, asset
from app.service import When as Asked
from graph.check.advice import advice
from graph.check.answer import policies as given_policies
from graph.check.answer import projects
from graph.check.deciding import Decided, concerned, decided, digest, usage_since
from graph.check.judge import TOLD, Concern, Finding, judge
from graph.check.judge import Check as Judged
from graph.check.verdicts import Alteration, Outcome, Result, Verdict
from graph.errors import GraphError, InvalidManifest
from graph.impact import When
from graph.importers.project import Document, DocumentFormat, Project
from graph.keys import AssetKey, AssetKind
from graph.model import Assertion, Json, Subject
from graph.paths import Path
from graph.stores.contract import Store
from graph.time import moment
from graph.topology import Moment
from graph.usage import USAGE_DAYS, day_of

strawberry.enum(Alteration, name="Alteration", description="What a change does to an asset.")
strawberry.enum(
    Verdict,
    name="Verdict",
    description="What a change means to those who use the asset. BREAKING: they cannot run, or read what is gone."
    " UNKNOWN: it cannot be told. BEHAVIOURAL: they run on, and what they get differs. ADDITIVE: nothing that was there differs."
    " NONE: only the form differs.",
)
strawberry.enum(
    Outcome,
    name="Outcome",
    description="BLOCKED: a deployment or a consumer breaks. NEEDS_ACKNOWLEDGEMENT: what somebody gets changes, or it"
    " cannot be told whether somebody breaks. CLEAN: neither.",
)


@strawberry.type(description="An attribute before and after; of `flows`, the keys of what flows in.")
class Difference:
    attribute: str
    before: JSON
    after: JSON
    verdict: Verdict = strawberry.field(description="What it means to a direct reader.")
    reason: str


@strawberry.type(description="Where a document says something.")
class Place:
    document: str = strawberry.field(description="Its path in the repository.")
    at: str = strawberry.field(description="As `datasets[0].columns[1]`; empty for all of it, and in texts.")
    line: int | None = strawberry.field(description="In texts, from 1.")


@strawberry.type(description="What a change means to an asset, and when it feels it.")
class CheckEffect:
    verdict: Verdict
    when: WhenFelt


@strawberry.type
class AffectedCount:
    verdict: Verdict
    when: WhenFelt
    kind: AssetKind
    count: int


@strawberry.type(description="Somebody whom a change affects.")
class Affected:
    concern: strawberry.Private[Concern]
    moment: strawberry.Private[Moment]
    asset: Asset
    decision: Decision | None = strawberry.field(
        description="What the policy demands; null for kinds that it says nothing about."
    )
    verdict: Verdict = strawberry.field(description="The worst of what the changes mean to it.")
    when: WhenFelt
    results: list[CheckEffect] = strawberry.field(
        description="All that the changes mean to it, the worst first, then the soonest."
    )
    hops: int
    changes: list[strawberry.ID] = strawberry.field(description="The changed assets that affect it, the worst first.")

    @strawberry.field(description="The evidence: the shortest way from the first of `changes` to it, both included.")
    async def path(self, info: Info) -> list[strawberry.ID]:
        worst, findings = self.concern
        steps = await info.context.headwater.in_thread(findings[0].steps, worst.asset)
        return [strawberry.ID(str(step)) for step in steps]

    @strawberry.field(description="The flows of that way, with who says so and how it is known.")
    async def evidence(self, info: Info) -> list[FlowNode]:
        worst, findings = self.concern
        hops = await info.context.headwater.in_thread(findings[0].path, worst.asset)
        return path_node(Path(hops), self.moment).hops

    @strawberry.field(description="What would make the changes safe for it; for whoever makes them.")
    def advice(self) -> list[str]:
        return [*dict.fromkeys(each for finding in self.concern.findings for each in advice(finding))]


@strawberry.type(name="Finding", description="One changed asset. A new or removed container stands for its parts.")
class FindingNode:
    judged: strawberry.Private[Judged]
    finding: strawberry.Private[Finding]
    decided: strawberry.Private[Decided]
    id: strawberry.ID
    digest: str = strawberry.field(description="Of exactly this change: what `acknowledge` names.")
    kind: AssetKind
    title: str
    alteration: Alteration
    verdict: Verdict
    reason: str = strawberry.field(description="One sentence for people: why this verdict.")
    renamed_to: strawberry.ID | None
    known: bool = strawberry.field(description="False: the graph does not know it, so nobody can tell who reads it.")
    differences: list[Difference] = strawberry.field(description="The worst first.")
    places: list[Place] = strawberry.field(
        description="Where the new version says it; of what is gone, where it would stand or the old one had it."
    )
    advice: list[str] = strawberry.field(description="What would make the change safe, the surest first.")
    counts: list[AffectedCount] = strawberry.field(
        description="Exact counts of all that is affected, history included."
    )

    @strawberry.field(description="The asset as it is now; null when the graph does not know it.")
    def asset(self) -> Asset | None:
        lineage = self.finding.lineage
        return asset(lineage.start, lineage.moment) if lineage else None

    @strawberry.field(description="Whom it affects, history left out: soonest felt first, then nearest.")
    async def affected(self, info: Info, kinds: list[AssetKind] | None = None, first: int = 20) -> list[Affected]:
        found = await info.context.headwater.in_thread(self.finding.affected, kinds or ())
        return [
            _affected(Concern(each, (self.finding,)), self.judged, self.decided) for each in found[: page_size(first)]
        ]


@strawberry.type
class ConcernCount:
    verdict: Verdict
    when: WhenFelt
    kind: AssetKind
    count: int


@strawberry.type(description="What a change of a manifest means to those downstream, now.")
class Check:
    judged: strawberry.Private[Judged]
    decided: strawberry.Private[Decided]
    outcome: Outcome
    flag_counts: bool = strawberry.field(
        description="Whether the policy lets whoever starts the check acknowledge for all."
    )
    revision: int
    at: datetime
    total: int = strawberry.field(description="How many assets change.")
    unidentified_calls: int = strawberry.field(
        description="Calls in 30 days, by callers that could not be told, of what may break."
    )

    @strawberry.field(description="The changed assets: the worst first.")
    def findings(self, first: int = 50) -> list[FindingNode]:
        return [_finding(each, self.judged, self.decided) for each in self.judged.findings[: page_size(first)]]

    @strawberry.field(description="Who is affected by any of it, each once: the worst first, then the soonest felt.")
    async def affected(
        self,
        info: Info,
        kinds: Annotated[
            list[AssetKind] | None, strawberry.argument(description="Absent: deployments and consumers.")
        ] = None,
        first: int = 50,
    ) -> list[Affected]:
        concerns = await info.context.headwater.in_thread(self.judged.concerns, kinds or TOLD)
        return [_affected(each, self.judged, self.decided) for each in concerns[: page_size(first)]]

    @strawberry.field(description="How many deployments and consumers are affected, each counted once by its worst.")
    async def counts(self, info: Info) -> list[ConcernCount]:
        found: dict[tuple[Verdict, When, AssetKind], int] = {}
        for worst, _ in await info.context.headwater.in_thread(self.judged.concerns):
            place = worst.verdict, worst.when, worst.asset.kind
            found[place] = found.get(place, 0) + 1
        return [
            ConcernCount(verdict=verdict, when=WhenFelt[when.name], kind=kind, count=count)
            for (verdict, when, kind), count in found.items()
        ]


CheckResult = Annotated[Check | InvalidInputProblem, strawberry.union("CheckResult")]

strawberry.enum(
    DocumentFormat,
    name="DocumentFormat",
    description="What a document is: MANIFEST, a parsed headwater.yaml; SQL, DBT, FEAST, what an entry of its `sources` names; FILE, the text of a file that it refers to.",
)


@strawberry.input(description="A document of a repository that says what the repository holds.")
class DocumentInput:
    path: str = strawberry.field(description="Its path in the repository, with slashes.")
    content: JSON = strawberry.field(description="Parsed, or its text, as the format has it.")
    format: DocumentFormat = DocumentFormat.MANIFEST
    options: JSON | None = strawberry.field(default=None, description="How it is to be read, as the format has it.")


Version = Annotated[
    list[DocumentInput],
    strawberry.argument(description="The documents of one version of the repository that differ in the other."),
]


@strawberry.type
class CheckQuery:
    @strawberry.field(
        description="What the change of a repository from `base` to `head` means to those downstream, now. Changes nothing."
        " Problems have a line for each place, after `base: ` or `head: ` and the path of the document."
    )
    async def check(
        self,
        info: Info,
        base: Version,
        head: Version,
        policy: Annotated[
            JSON | None,
            strawberry.argument(
                description="A parsed headwater.policy.yaml, or several in a list: beside the service's own, and the strictest"
                " counts. Its problems begin with `policy: `."
            ),
        ] = None,
    ) -> CheckResult:
        headwater, agreement = info.context.headwater, info.context.rooms.agreement
        try:
            policies = (*agreement.policies, *given_policies(policy))
            before, after = await headwater.in_thread(_projects, base, head)
            view, then = await headwater.moment(Asked())
            judged = await headwater.in_thread(
                judge, view, then, before, after, partial(_believed, headwater.store, then)
            )
            since = day_of(then.at) - USAGE_DAYS + 1
            watched = await headwater.in_thread(judged.watched)
            used = await headwater.in_thread(headwater.store.usage, watched, since)
            calls = sum(each.calls for each in used if each.reader is None)
            keys = await headwater.in_thread(concerned, judged, policies)
            known = await headwater.believed(keys, then.revision)
            remarks = {subject: [row.assertion for row in rows] for subject, rows in known.items()}
            use = await headwater.in_thread(headwater.store.usage, keys, usage_since(policies, then.at))
            ruled = await headwater.in_thread(decided, judged, policies, remarks, use, calls > 0)
        except GraphError as error:
            return problem(error)  # type: ignore[return-value]  # checking meets only these
        at = moment(then.at)
        assert at is not None
        return Check(
            judged=judged,
            decided=ruled,
            outcome=ruled.outcome,
            flag_counts=ruled.flag_counts,
            revision=then.revision,
            at=at,
            total=len(judged.findings),
            unidentified_calls=calls,
        )


def _believed(store: Store, then: Moment, subjects: Collection[Subject]) -> Mapping[Subject, list[Assertion]]:
    said = store.believed_at(subjects, then.revision)
    return {subject: [row.assertion for row in rows] for subject, rows in said.items()}


def _projects(base: list[DocumentInput], head: list[DocumentInput]) -> tuple[Project, Project]:
    """Raises InvalidManifest, with what is wrong in either."""
    return projects(map(document_of, base), map(document_of, head))


def document_of(given: DocumentInput) -> Document:
    """Raises InvalidManifest."""
    options = cast("Json", given.options or {})
    if not isinstance(options, dict):
        raise InvalidManifest([f"{given.path}: options: is no object"])
    return Document(given.path, given.format, cast("Json", given.content), options)


def _finding(finding: Finding, judged: Judged, ruled: Decided) -> FindingNode:
    return FindingNode(
        finding=finding,
        judged=judged,
        decided=ruled,
        id=_id(finding.asset),
        digest=digest(finding),
        kind=finding.asset.kind,
        title=finding.asset.part or finding.asset.name,
        alteration=finding.alteration,
        verdict=finding.verdict,
        reason=finding.reason,
        renamed_to=_id(finding.renamed_to) if finding.renamed_to else None,
        known=finding.known,
        differences=[
            Difference(
                attribute=each.attribute,
                before=cast("JSON", each.before),
                after=cast("JSON", each.after),
                verdict=each.verdict,
                reason=each.reason,
            )
            for each in finding.differences
        ],
        places=[Place(document=finding.place.document, at=finding.place.at, line=finding.place.line)]
        if finding.place
        else [],
        advice=advice(finding),
        counts=[
            AffectedCount(verdict=verdict, when=WhenFelt[when.name], kind=kind, count=count)
            for (verdict, when, kind), count in sorted(finding.counts.items())
        ],
    )


def _affected(concern: Concern, judged: Judged, ruled: Decided) -> Affected:
    worst, findings = concern
    return Affected(
        concern=concern,
        moment=judged.moment,
        decision=decision(ruled.decisions.get(concern.worst.asset)),
        asset=asset(worst.asset, judged.moment),
        verdict=worst.verdict,
        when=WhenFelt[worst.when.name],
        results=[_effect(each) for each in worst.results],
        hops=worst.hops,
        changes=[_id(each.asset) for each in findings],
    )


def _effect(result: Result) -> CheckEffect:
    return CheckEffect(verdict=result.verdict, when=WhenFelt[result.when.name])


def _id(key: AssetKey) -> strawberry.ID:
    return strawberry.ID(str(key))
