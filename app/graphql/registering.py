"""How what clients state is registered, and how that is answered: shared by all mutations that register."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated

import strawberry

from app.envelopes import checked_operation_id, clients_origin
from app.graphql.context import Info
from app.graphql.inputs import Statements, time_of
from app.graphql.problems import (
    InvalidInputProblem,
    OperationReusedProblem,
    RefusedProblem,
    StaleVersionProblem,
    UnknownAssetProblem,
    problem,
)
from app.graphql.types import Asset, asset
from app.identity import Role
from graph.changes import Changes, Receipt, Registration, Verb
from graph.errors import GraphError
from graph.keys import AssetKey
from graph.model import Basis
from graph.topology import Moment


@strawberry.input(description="Who says it, how they know, since when, and under which operation id.")
class EnvelopeInput:
    operation_id: str | None = strawberry.field(
        default=None, description="Repeating a request with its id gives the first answer and has no second effect."
    )
    origin: str | None = strawberry.field(
        default=None, description="The source that says so. Absent: `api:` and the caller's name."
    )
    basis: Basis = strawberry.field(default=Basis.DECLARED, description="How the origin knows.")
    valid_from: datetime | None = strawberry.field(
        default=None, description="Absent: now, or for as long as it says so."
    )
    valid_until: datetime | None = strawberry.field(default=None, description="Absent: it still holds.")
    dry_run: bool = strawberry.field(default=False, description="Answer what would change, and change nothing.")


Envelope = Annotated[EnvelopeInput | None, strawberry.argument(description="Absent: the caller says so, from now on.")]


@strawberry.type(description="What would change, or did.")
class PlannedChange:
    verb: Verb
    subject: str


@strawberry.type(description="The request holds now. `changed` is false when it held already.")
class Registered:
    keys: strawberry.Private[list[AssetKey]]
    moment: strawberry.Private[Moment]
    changed: bool
    revision: int = strawberry.field(description="Pass it as atLeastRevision to read your own write.")
    added: int
    updated: int
    withdrawn: int
    plan: list[PlannedChange] | None = strawberry.field(description="Only for a dry run.")

    @strawberry.field(description="The assets that the request stated.")
    def assets(self) -> list[Asset]:
        return [asset(key, self.moment) for key in self.keys if not key.is_alias]


RegisterResult = Annotated[
    Registered
    | InvalidInputProblem
    | UnknownAssetProblem
    | StaleVersionProblem
    | OperationReusedProblem
    | RefusedProblem,
    strawberry.union("RegisterResult"),
]


async def stated(
    info: Info, envelope: EnvelopeInput | None, state: Callable[[Statements], object], complete: bool = False
) -> RegisterResult:
    """Registers what `state` collects, as one request."""
    info.context.require(Role.CONTRIBUTOR)
    envelope = envelope or EnvelopeInput()
    try:
        to = Statements(time_of(envelope.valid_from), time_of(envelope.valid_until))
        state(to)
        wanted = Registration(
            origin=envelope.origin if envelope.origin is not None else f"api:{info.context.principal.name}",
            basis=envelope.basis,
            assets=tuple(to.assets.values()),
            flows=tuple(to.flows.values()),
            withdrawals=tuple(to.withdrawals),
            complete=complete,
        )
        return await registered(info, wanted, envelope.operation_id, envelope.dry_run)
    except GraphError as error:
        return problem(error)  # type: ignore[return-value]  # registering meets only these


async def registered(
    info: Info, wanted: Registration, operation_id: str | None, dry_run: bool, digest: str | None = None
) -> Registered:
    """Registers, or says what that would change. Raises GraphError. `digest` as for `Headwater.register`."""
    info.context.require(Role.CONTRIBUTOR)
    headwater, principal = info.context.headwater, info.context.principal
    clients_origin(wanted.origin)
    operation = None if operation_id is None else checked_operation_id(operation_id)
    keys = [asset.key for asset in wanted.assets]
    if dry_run:
        return _dry_run(info, await headwater.plan(wanted), keys)
    receipt = await headwater.register(wanted, operation, principal.name, digest)
    info.context.rooms.sources.heard(wanted.origin, len(wanted.assets) + len(wanted.flows) + len(wanted.withdrawals))
    return answered(info, receipt, keys)


def _dry_run(info: Info, changes: Changes, keys: list[AssetKey]) -> Registered:
    now = info.context.headwater.clock()
    planned = [PlannedChange(verb=change.verb_at(now), subject=str(change.subject)) for change in changes.changes]
    verbs = [change.verb for change in planned]
    answer = answered(info, Receipt(info.context.headwater.index.revision, bool(changes)), keys)
    answer.added, answer.updated, answer.withdrawn = (verbs.count(verb) for verb in Verb)
    answer.plan = planned
    return answer


def answered(info: Info, receipt: Receipt, keys: list[AssetKey]) -> Registered:
    return Registered(
        keys=keys,
        moment=Moment(info.context.headwater.clock(), receipt.revision),
        changed=receipt.changed,
        revision=receipt.revision,
        added=receipt.added,
        updated=receipt.updated,
        withdrawn=receipt.withdrawn,
        plan=None,
    )
