"""Bulk intake in one request, for what fits in one, and how far operations have come, however they were sent."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import datetime
from typing import Annotated, cast

import strawberry
from strawberry.scalars import JSON

from app.graphql.context import Info
from app.graphql.paging import page_size
from app.graphql.problems import InvalidInputProblem, OperationReusedProblem, RefusedProblem, problem
from app.identity import Role
from app.intake.bulk import Busy, lines_in, told_until_ended
from app.intake.bulk_operation import BulkOperation as Running
from app.intake.bulk_operation import State
from graph.errors import GraphError, InvalidInput, StoreUnavailable
from graph.model import Basis
from graph.stores.spool import Problem
from graph.time import moment

MOST_LINES = 10_000

strawberry.enum(State, name="BulkState")


@strawberry.input(description="What a file of lines says, from one origin.")
class BulkInput:
    lines: list[JSON] = strawberry.field(
        description='Objects like {"asset": KEY, "owners"?, "tags"?, "attributes"?, "valid_from"?},'
        ' {"flow": {"from": KEY, "to": KEY}, "basis"?, "valid_from"?, "valid_until"?}'
        ' or {"withdraw": KEY or {"from": KEY, "to": KEY}}, in any order; at most 10,000.'
    )
    origin: str | None = strawberry.field(
        default=None, description="The source that says so. Absent: `api:` and the caller's name."
    )
    operation_id: str | None = strawberry.field(
        default=None, description="The same lines sent again under it go on where they stopped. Absent: a new one."
    )
    basis: Basis = strawberry.field(
        default=Basis.IMPORTED, description="How the origin knows, where a line says nothing."
    )


@strawberry.type(description="Why a line was not taken. All others were.")
class BulkLineProblem:
    line: int = strawberry.field(description="From 1.")
    field: str | None = strawberry.field(description="Where in the line, e.g. `flow.to`; null: the line as a whole.")
    value: str = strawberry.field(description="The offending value, shortened to 200 characters.")
    message: str = strawberry.field(description="One sentence for people.")
    code: str = strawberry.field(description="As problems are called: InvalidKey, InvalidAttribute, NotFound, …")


@strawberry.type(description="A bulk operation, as far as it has come.")
class BulkOperation:
    id: strawberry.ID
    origin: str
    state: State
    at: datetime = strawberry.field(description="When it was asked for.")
    lines: int = strawberry.field(description="Read so far, blank ones left out.")
    refused: int
    committed: int = strawberry.field(description="Lines whose statements are on disk, or held already.")
    added: int
    updated: int
    withdrawn: int
    revision: int = strawberry.field(description="Of its newest commit: pass it as atLeastRevision.")
    failure: str | None = strawberry.field(description="Why it was cut short. Sent again under its id it goes on.")
    told: strawberry.Private[list[Problem]]

    @strawberry.field(description="The first lines that were refused.")
    def problems(self, first: int = 100) -> list[BulkLineProblem]:
        return [BulkLineProblem(**each._asdict()) for each in self.told[: page_size(first)]]


BulkResult = Annotated[
    BulkOperation | InvalidInputProblem | OperationReusedProblem | RefusedProblem, strawberry.union("BulkResult")
]


@strawberry.type
class BulkQuery:
    @strawberry.field(
        description="An operation that runs in this process, or ended here not long ago, sent by whomever; else null."
    )
    def bulk_operation(self, info: Info, id: strawberry.ID) -> BulkOperation | None:
        found = info.context.rooms.bulk.operation(id)
        return None if found is None else _shown(found)


@strawberry.type
class BulkMutation:
    @strawberry.mutation(
        description="Takes every line that is good and tells of each that is not. For larger files: POST /api/v1/bulk."
    )
    async def bulk(self, info: Info, input: BulkInput) -> BulkResult:
        info.context.require(Role.CONTRIBUTOR)
        bulk, headwater = info.context.rooms.bulk, info.context.headwater
        try:
            if len(input.lines) > MOST_LINES:
                raise InvalidInput(
                    f"{len(input.lines):,} lines are more than {MOST_LINES:,}; send them to /api/v1/bulk",
                    len(input.lines),
                )
            begun = bulk.begin(input.origin, input.operation_id, input.basis, info.context.principal.name)
            running = await bulk.read(headwater, begun, lines_in(input.lines))
            await running.ended.wait()
            if isinstance(running.failure, StoreUnavailable):
                raise running.failure
            return _shown(running)
        except Busy as error:
            return RefusedProblem(message=str(error))
        except GraphError as error:
            return problem(error)  # type: ignore[return-value]  # bulk intake meets only these


@strawberry.type
class BulkSubscription:
    @strawberry.subscription(
        description="How far an operation has come, twice a second until it ends. Unknown: nothing."
    )
    async def bulk_progress(self, info: Info, id: strawberry.ID) -> AsyncGenerator[BulkOperation, None]:
        found = info.context.rooms.bulk.operation(id)
        if found is not None:
            async for _ in told_until_ended(found, asyncio.Event()):
                yield _shown(found)


def _shown(running: Running) -> BulkOperation:
    return BulkOperation(
        id=strawberry.ID(running.id),
        origin=running.origin,
        state=running.state,
        at=cast("datetime", moment(running.at)),
        lines=running.lines,
        refused=running.refused,
        committed=running.committed,
        added=running.added,
        updated=running.updated,
        withdrawn=running.withdrawn,
        revision=running.revision,
        failure=None if running.failure is None else str(running.failure),
        told=list(running.problems),
    )
