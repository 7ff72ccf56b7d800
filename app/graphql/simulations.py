"""The graph as it would be with a plan, asked what the graph is asked, side by side with today."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, cast

import strawberry
from graphql import GraphQLError
from strawberry.scalars import JSON

from app.asking import Answer, Question, Simulated
from app.graphql.checks import DocumentInput, document_of
from app.graphql.context import Info
from app.graphql.lineage import (
    AssetFilterInput,
    FlowFilterInput,
    LineageNode,
    LineageResult,
    Paths,
    PathsResult,
    WhenFelt,
    flow_filter,
    path_node,
    question,
)
from app.graphql.paging import page_size
from app.graphql.problems import (
    InvalidInputProblem,
    RefusedProblem,
    StaleVersionProblem,
    UnknownAssetProblem,
    problem,
)
from app.graphql.registering import PlannedChange
from app.graphql.types import Asset, AtHand, assets_at, key_of
from graph.changes import Registration, Verb
from graph.errors import GraphError, NotFound
from graph.importers.project import read_project
from graph.outlook import Differing, Outlook, Reached, Selected, columns_of, is_there, outlook
from graph.paths import paths
from graph.simulation import Simulation
from graph.time import moment
from graph.topology import Moment, View
from graph.walk import Direction, Follow

AT_ONCE = 4
"""The most simulations that are held for one request: each holds a copy of the index while it is answered."""


class _Held:
    """Lives as long as the answer of a simulation."""


Id = Annotated[strawberry.ID, strawberry.argument(description="The id, i.e. the key, of an asset.")]


@strawberry.type(name="Reached", description="How an answer has an asset.")
class ReachedNode:
    hops: int
    when: WhenFelt
    partly: bool = strawberry.field(description="Some of it is reached, not all of it.")


@strawberry.type(
    name="Differing", description="An asset that the plan brings into an answer, takes out, or has felt otherwise."
)
class DifferingNode:
    asset: Asset
    planned: bool = strawberry.field(description="It is not there yet: only the plan makes it.")
    removed: bool = strawberry.field(description="The plan leaves nobody who says that it is there.")
    before: ReachedNode | None = strawberry.field(description="Null: it is not in today's answer.")
    after: ReachedNode | None = strawberry.field(description="Null: it is not in the answer with the plan.")


@strawberry.type(description="One question asked of the graph today and with the plan.")
class LineageDifference:
    simulated: strawberry.Private[tuple[Simulation, Moment]]
    found: strawberry.Private[Outlook]
    today: LineageNode | None = strawberry.field(description="Null: the start is not there yet.")
    with_plan: LineageNode | None = strawberry.field(description="Null: the start is not there any more.")

    @strawberry.field
    def added_total(self) -> int:
        return len(self.found.added)

    @strawberry.field
    def removed_total(self) -> int:
        return len(self.found.removed)

    @strawberry.field
    def changed_total(self) -> int:
        return len(self.found.changed)

    @strawberry.field(description="In the answer with the plan alone, nearest first.")
    def added(self, first: int = 50) -> list[DifferingNode]:
        return self._shown(self.found.added[: page_size(first)])

    @strawberry.field(description="In today's answer alone, nearest first.")
    def removed(self, first: int = 50) -> list[DifferingNode]:
        return self._shown(self.found.removed[: page_size(first)])

    @strawberry.field(
        description="In both, and nearer or farther, felt sooner or later, or another share of it; nearest first."
    )
    def changed(self, first: int = 50) -> list[DifferingNode]:
        return self._shown(self.found.changed[: page_size(first)])

    @strawberry.field(
        description="All three as columns of equal length: key, owners, planned, removed, and before and after, each null or"
        " hops, when, partly. For large answers."
    )
    async def columns(self, info: Info) -> JSON:
        every = [*self.found.added, *self.found.removed, *self.found.changed]
        return cast("JSON", await info.context.headwater.in_long_thread(columns_of, every, *self.simulated))

    def _shown(self, differing: Sequence[Differing]) -> list[DifferingNode]:
        (_, _, today, planned), at = self.simulated
        nodes = assets_at(
            [strawberry.ID(str(each.asset)) for each in differing],
            at,
            [AtHand(each.label, each.stub) for each in differing],
        )
        return [
            DifferingNode(
                asset=node,
                planned=not is_there(today, each.asset, at),
                removed=not is_there(planned, each.asset, at),
                before=_reached(each.before),
                after=_reached(each.after),
            )
            for each, node in zip(differing, nodes, strict=True)
        ]


DifferenceResult = Annotated[
    LineageDifference | UnknownAssetProblem | InvalidInputProblem, strawberry.union("DifferenceResult")
]


@strawberry.type(
    name="Simulation",
    description="The graph as it would be if what the documents say were applied now. Nothing of it is kept. Assets in its answers"
    " have the owners, tags and tier of the plan; everything else of them is told as it is today.",
)
class SimulationNode:
    simulated: strawberry.Private[tuple[Simulation, Moment]]
    held: strawberry.Private["_Held"]
    revision: int = strawberry.field(description="Of the graph that the plan would change.")
    at: datetime
    added: int
    updated: int
    withdrawn: int
    plan: list[PlannedChange] = strawberry.field(
        description="What would change, in the order of the origins and subjects."
    )

    @strawberry.field(description="As `lineage` of the query, with the plan.")
    async def lineage(
        self,
        info: Info,
        start: Id,
        direction: Direction = Direction.DOWNSTREAM,
        follow: Follow = Follow.VALUES,
        flows: FlowFilterInput | None = None,
        select: AssetFilterInput | None = None,
        depth: int | None = None,
    ) -> LineageResult:
        try:
            asked = question(start, direction, follow, flows, select, depth)
            return LineageNode(answered=await self._answer(info, asked, self.simulated[0].planned))
        except GraphError as error:
            return problem(error)  # type: ignore[return-value]  # asking meets only these

    @strawberry.field(description="As `paths` of the query, with the plan.")
    async def paths(
        self,
        info: Info,
        source: Id,
        target: Id,
        follow: Follow = Follow.VALUES,
        flows: FlowFilterInput | None = None,
        first: Annotated[int, strawberry.argument(description="How many paths, up to 50.")] = 1,
    ) -> PathsResult:
        simulation, at = self.simulated
        try:
            ends, wanted = (key_of(source), key_of(target)), flow_filter(flows)
            count = max(1, min(first, 50))
            found = await info.context.headwater.in_thread(paths, simulation.planned, *ends, at, follow, wanted, count)
        except GraphError as error:
            return problem(error)  # type: ignore[return-value]  # asking meets only these
        return Paths(
            asked=(simulation.planned, ends, at, follow, wanted),
            revision=at.revision,
            at=self.at,
            paths=[path_node(path, at) for path in found],
        )

    @strawberry.field(
        description="A question asked of today and with the plan: what comes, what goes, what is felt otherwise."
    )
    async def difference(
        self,
        info: Info,
        start: Id,
        direction: Direction = Direction.DOWNSTREAM,
        follow: Follow = Follow.VALUES,
        flows: FlowFilterInput | None = None,
        select: AssetFilterInput | None = None,
        depth: int | None = None,
    ) -> DifferenceResult:
        simulation, _ = self.simulated
        try:
            asked = question(start, direction, follow, flows, select, depth)
            sides: list[Answer | None] = []
            missing: list[NotFound] = []
            for view in (simulation.today, simulation.planned):
                try:
                    sides.append(await self._answer(info, asked, view))
                except NotFound as error:
                    sides.append(None)
                    missing.append(error)
            if len(missing) == len(sides):
                raise missing[0]
        except GraphError as error:
            return problem(error)  # type: ignore[return-value]  # asking meets only these
        today, planned = sides
        selected = [None if each is None else Selected(each.lineage, each.rows, await each.felt()) for each in sides]
        return LineageDifference(
            simulated=self.simulated,
            found=await info.context.headwater.in_long_thread(outlook, *selected),
            today=None if today is None else LineageNode(answered=today),
            with_plan=None if planned is None else LineageNode(answered=planned),
        )

    async def _answer(self, info: Info, asked: Question, view: View) -> Answer:
        simulation, at = self.simulated
        headwater = info.context.headwater
        return await headwater.in_long_thread(Simulated, headwater, asked, simulation, view, at.at)


SimulationResult = Annotated[
    SimulationNode | InvalidInputProblem | UnknownAssetProblem | StaleVersionProblem | RefusedProblem,
    strawberry.union("SimulationResult"),
]


@strawberry.type
class SimulationQuery:
    @strawberry.field(
        description="The graph as it would be if these documents were applied: all documents of each origin that they speak"
        f" for, since what an origin no longer says is withdrawn. At most {AT_ONCE} at a time in one request."
    )
    async def simulate(self, info: Info, documents: list[DocumentInput]) -> SimulationResult:
        if len(info.context.simulations) >= AT_ONCE:
            raise GraphQLError(
                f"at most {AT_ONCE} simulations are held for one request at a time", extensions={"code": "TOO_COSTLY"}
            )
        held = _Held()
        info.context.simulations.add(held)
        headwater = info.context.headwater
        try:
            simulation, at = await headwater.simulate(await headwater.in_thread(_registrations, documents))
        except GraphError as error:
            return problem(error)  # type: ignore[return-value]  # planning meets only these
        plan = [PlannedChange(verb=change.verb_at(at.at), subject=str(change.subject)) for change in simulation.changes]
        verbs = [each.verb for each in plan]
        then = moment(at.at)
        assert then is not None
        return SimulationNode(
            simulated=(simulation, at),
            held=held,
            revision=at.revision,
            at=then,
            added=verbs.count(Verb.ADDED),
            updated=verbs.count(Verb.CHANGED),
            withdrawn=verbs.count(Verb.WITHDRAWN),
            plan=plan,
        )


def _registrations(documents: list[DocumentInput]) -> tuple[Registration, ...]:
    return read_project([document_of(each) for each in documents]).registrations


def _reached(each: Reached | None) -> ReachedNode | None:
    return each and ReachedNode(hops=each.hops, when=WhenFelt[each.when.name], partly=each.partly)
