"""Plans: what the graph would say otherwise if a repository's documents held; and making it so, all at once or not at all."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from itertools import chain, islice
from typing import Annotated, cast

import strawberry
from strawberry.scalars import JSON

from app.envelopes import checked_operation_id, clients_origin
from app.graphql.checks import DocumentInput, document
from app.graphql.context import Info
from app.graphql.limits import MAX_PAGE
from app.graphql.paging import page_size
from app.graphql.problems import (
    InvalidInputProblem,
    OperationReusedProblem,
    Problem,
    RefusedProblem,
    UnknownAssetProblem,
    problem,
)
from app.graphql.types import Asset, asset
from app.identity import Role
from app.service import Headwater, When
from graph.changes import Registration, Verb
from graph.errors import GraphError, NoneRegistered
from graph.importers.definitions import inferred_origin
from graph.importers.project import Project, read_project
from graph.importers.unregistered import placed
from graph.keys import AssetKey, AssetKind
from graph.model import Basis, Json, Subject
from graph.plan import Together
from graph.planned import PlanDiffers, Planned, digest_of
from graph.time import moment
from graph.topology import Moment
from graph.touched import Reached, Touched, touched


@strawberry.type(description="What one origin's documents would change.")
class PlanOrigin:
    origin: str
    documents: list[str] = strawberry.field(description="Their paths; none where all of them are gone.")
    added: int
    changed: int
    withdrawn: int


@strawberry.type(description="An asset that several origins assert: withdrawing it for one leaves it for the others.")
class SharedAsset:
    asset: Asset
    origins: list[str]


@strawberry.type(description="What an origin says whose documents are gone. It stays until a plan prunes it.")
class Orphaned:
    origin: str
    subjects: int = strawberry.field(description="Assets and flows.")


@strawberry.type
class TouchedCount:
    kind: AssetKind
    count: int


@strawberry.type(description="A deployment or consumer downstream of what changes.")
class TouchedAsset:
    asset: Asset
    hops: int


@strawberry.type(
    description="All that is downstream of what changes, as the graph is now, but for what changes itself."
)
class TouchedAssets:
    reached: strawberry.Private[Touched]
    moment: strawberry.Private[Moment]
    counts: list[TouchedCount]

    @strawberry.field(description="The deployments and consumers, the nearest first.")
    def told(self, first: int = 50) -> list[TouchedAsset]:
        return [self._told(each) for each in self.reached.told[: page_size(first)]]

    def _told(self, each: Reached) -> TouchedAsset:
        return TouchedAsset(asset=asset(each.asset, self.moment), hops=each.hops)


@strawberry.type(description="What the graph would say otherwise if the documents held.")
class Plan:
    changed: strawberry.Private[Sequence[Planned]]
    project: strawberry.Private[Project]
    moment: strawberry.Private[Moment]
    digest: str = strawberry.field(description="Of the changes: equal for equal ones, whenever they are planned.")
    revision: int
    at: datetime
    added: int
    updated: int
    withdrawn: int
    origins: list[PlanOrigin]
    shared: list[SharedAsset] = strawberry.field(description="At most 1,000, in the order of the keys.")
    orphaned: list[Orphaned]
    pruned: list[str] = strawberry.field(description="Origins all of whose say is withdrawn.")

    @strawberry.field(
        description="All of them, in the order of their subjects: {subject, source?, target?, via?, origin, verb, document, at,"
        " altered: [{name, before, after}]}. `subject` is a key, or text for a flow; `document` and `at` say where it is said,"
        " null for what is withdrawn."
    )
    async def changes(self, info: Info) -> JSON:
        rows = await info.context.headwater.in_long_thread(_rows, self.changed, self.project)
        return cast("JSON", rows)

    @strawberry.field(description="Whom it touches.")
    async def touches(self, info: Info) -> TouchedAssets:
        headwater = info.context.headwater
        view, then = await headwater.moment(When())
        found = await headwater.in_long_thread(touched, view, then, self.changed)
        counts = [TouchedCount(kind=kind, count=count) for kind, count in found.counts.items()]
        return TouchedAssets(reached=found, moment=then, counts=counts)


@strawberry.type(description="All that the documents say holds now. `changed` is false when it held already.")
class Applied:
    changed: bool
    revision: int = strawberry.field(description="Pass it as atLeastRevision to read your own write.")
    added: int
    updated: int
    withdrawn: int


@strawberry.type(name="PlanDiffers", description="The graph has moved: other changes would be made now. None was.")
class PlanDiffersProblem(Problem):
    plan: Plan = strawberry.field(description="What would be changed now.")


PlanResult = Annotated[
    Plan | InvalidInputProblem | UnknownAssetProblem | RefusedProblem, strawberry.union("PlanResult")
]
ApplyResult = Annotated[
    Applied | PlanDiffersProblem | InvalidInputProblem | UnknownAssetProblem | OperationReusedProblem | RefusedProblem,
    strawberry.union("ApplyResult"),
]

Documents = Annotated[
    list[DocumentInput],
    strawberry.argument(
        description="All of a repository that say what it holds: of each of their origins all that it says."
    ),
]
Removed = Annotated[
    list[str] | None,
    strawberry.argument(description="Origins that spoke in documents of the repository which are no longer there."),
]
Prune = Annotated[
    bool, strawberry.argument(description="What `removed` origins say is withdrawn; else it stays, and is told of.")
]


@strawberry.type
class PlanQuery:
    @strawberry.field(
        description="What the graph would say otherwise if these documents held. Changes nothing."
        " Problems have a line for each place, after the path of the document."
    )
    async def plan(self, info: Info, documents: Documents, removed: Removed = None, prune: Prune = False) -> PlanResult:
        try:
            wanted = await _wanted(info, documents, removed or (), prune)
            try:
                made = await info.context.headwater.plan_together(wanted.registrations)
            except NoneRegistered as error:
                raise await _placed(info.context.headwater, error, wanted) from None
            return await _plan(info, wanted, made)
        except GraphError as error:
            return problem(error)  # type: ignore[return-value]  # planning meets only these


@strawberry.type
class PlanMutation:
    @strawberry.mutation(
        description="The documents are from now on all that their origins say: what they said before and do not say now is"
        " withdrawn. All of it in one revision, or none. Problems have a line for each place, after the path of the document."
    )
    async def apply_documents(
        self,
        info: Info,
        documents: Documents,
        removed: Removed = None,
        prune: Prune = False,
        plan: Annotated[
            str | None,
            strawberry.argument(
                description="The digest of a plan: these changes are made, or none. Absent: whatever is to be changed."
            ),
        ] = None,
        operation_id: Annotated[
            str | None,
            strawberry.argument(
                description="Repeating a request with its id gives the first answer and no second effect."
            ),
        ] = None,
    ) -> ApplyResult:
        info.context.require(Role.CONTRIBUTOR)
        headwater, principal = info.context.headwater, info.context.principal
        try:
            operation = None if operation_id is None else checked_operation_id(operation_id)
            wanted = await _wanted(info, documents, removed or (), prune)
            try:
                receipt = await headwater.register_together(wanted.registrations, operation, principal.name, plan)
            except NoneRegistered as error:
                raise await _placed(headwater, error, wanted) from None
            except PlanDiffers as error:
                return PlanDiffersProblem(
                    message=str(error),
                    plan=await _plan(info, wanted, await headwater.plan_together(wanted.registrations)),
                )
        except GraphError as error:
            return problem(error)  # type: ignore[return-value]  # registering meets only these
        for each in wanted.registrations:
            info.context.rooms.sources.heard(each.origin, len(each.assets) + len(each.flows))
        return Applied(
            changed=receipt.changed,
            revision=receipt.revision,
            added=receipt.added,
            updated=receipt.updated,
            withdrawn=receipt.withdrawn,
        )


class _Wanted:
    """What a request wants held."""

    def __init__(self, project: Project, removed: Collection[str], prune: bool) -> None:
        self.project = project
        spoken = {each.origin for each in project.registrations}
        gone = {clients_origin(each) for each in removed} - spoken
        self.gone = sorted(gone | ({inferred_origin(each) for each in gone} - spoken))
        withdrawn = [Registration(each, Basis.DECLARED, complete=True) for each in self.gone] if prune else []
        self.left = () if prune else self.gone
        self.registrations = (*project.registrations, *withdrawn)
        for each in project.registrations:
            clients_origin(each.origin)


async def _wanted(info: Info, documents: list[DocumentInput], removed: Collection[str], prune: bool) -> _Wanted:
    return await info.context.headwater.in_long_thread(_read, documents, removed, prune)


def _read(documents: list[DocumentInput], removed: Collection[str], prune: bool) -> _Wanted:
    return _Wanted(read_project([document(each) for each in documents]), removed, prune)


async def _placed(headwater: Headwater, error: NoneRegistered, wanted: _Wanted) -> GraphError:
    known = headwater.index.view().keys if headwater.ready else []
    return await headwater.in_thread(placed, error, wanted.project, known)


async def _plan(info: Info, wanted: _Wanted, made: Together) -> Plan:
    headwater = info.context.headwater
    revision = headwater.index.revision
    then = Moment(headwater.clock(), revision)
    at = moment(then.at)
    assert at is not None
    changed = made.changes
    verbs = [each.verb for each in changed]
    return Plan(
        changed=changed,
        project=wanted.project,
        moment=then,
        digest=await headwater.in_long_thread(digest_of, changed),
        revision=revision,
        at=at,
        added=verbs.count(Verb.ADDED),
        updated=verbs.count(Verb.CHANGED),
        withdrawn=verbs.count(Verb.WITHDRAWN),
        origins=_origins(wanted, changed),
        shared=[
            SharedAsset(asset=asset(key, then), origins=[*origins])
            for key, origins in islice(made.shared.items(), MAX_PAGE)
            if not key.is_alias
        ],
        pruned=[] if wanted.left else [each for each in wanted.gone if any(one.origin == each for one in changed)],
        orphaned=await headwater.in_thread(_orphaned, headwater, wanted.left),
    )


def _orphaned(headwater: Headwater, left: Collection[str]) -> list[Orphaned]:
    now, found = headwater.clock(), []
    for origin in left:
        said = headwater.store.believed_by(origin).values()
        holding = sum(any(each.valid.holds_at(now) for each in spans) for spans in said)
        if holding:
            found.append(Orphaned(origin=origin, subjects=holding))
    return found


def _origins(wanted: _Wanted, changed: Sequence[Planned]) -> list[PlanOrigin]:
    places = wanted.project.places
    documents: dict[str, set[str]] = {each.origin: set() for each in wanted.registrations}
    for each in wanted.project.registrations:
        subjects: Iterable[Subject] = chain((said.key for said in each.assets), (said.flow for said in each.flows))
        documents[each.origin].update(places[subject].document for subject in subjects if subject in places)
    counts: dict[tuple[str, Verb], int] = {}
    for change in changed:
        counts[change.origin, change.verb] = counts.get((change.origin, change.verb), 0) + 1
    return [
        PlanOrigin(
            origin=origin,
            documents=sorted(paths),
            added=counts.get((origin, Verb.ADDED), 0),
            changed=counts.get((origin, Verb.CHANGED), 0),
            withdrawn=counts.get((origin, Verb.WITHDRAWN), 0),
        )
        for origin, paths in sorted(documents.items())
        if paths or any((origin, verb) in counts for verb in Verb)
    ]


def _rows(changed: Sequence[Planned], project: Project) -> list[dict[str, Json]]:
    return [_row(each, project) for each in changed]


def _row(change: Planned, project: Project) -> dict[str, Json]:
    subject: Subject = change.subject
    place = None if change.verb is Verb.WITHDRAWN else project.places.get(subject)
    row: dict[str, Json] = {"subject": str(subject), "origin": change.origin, "verb": change.verb.value}
    if not isinstance(subject, AssetKey):
        row |= {"source": str(subject.source), "target": str(subject.target)}
        if subject.via:
            row["via"] = str(subject.via)
    row |= {"document": place and place.document, "at": place and place.at}
    row["altered"] = [{"name": each.name, "before": each.before, "after": each.after} for each in change.altered]
    return row
