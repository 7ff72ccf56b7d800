"""Everything that changes the graph. A request is kept whole or not at all."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated

import strawberry

from app.graphql.context import Info
from app.graphql.inputs import (
    ConsumerInput,
    DatasetColumnInput,
    DatasetInput,
    DeploymentInput,
    FeatureViewInput,
    FlowInput,
    JobInput,
    ManifestInput,
    ModelAliasInput,
    ModelInput,
    ModelVersionInput,
    RunInput,
    Statements,
    ViewFeatureInput,
    WithdrawInput,
    time_of,
)
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
from graph.errors import GraphError, InvalidInput, quoted
from graph.keys import AssetKey
from graph.model import Basis
from graph.topology import Moment

MAX_OPERATION_ID = 255


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


@strawberry.type
class Mutation:
    @strawberry.mutation
    async def register_dataset(self, info: Info, input: DatasetInput, envelope: Envelope = None) -> RegisterResult:
        return await _registered(info, envelope, input.state)

    @strawberry.mutation
    async def register_column(self, info: Info, input: DatasetColumnInput, envelope: Envelope = None) -> RegisterResult:
        return await _registered(info, envelope, input.register)

    @strawberry.mutation
    async def register_feature_view(
        self, info: Info, input: FeatureViewInput, envelope: Envelope = None
    ) -> RegisterResult:
        return await _registered(info, envelope, input.state)

    @strawberry.mutation
    async def register_feature(self, info: Info, input: ViewFeatureInput, envelope: Envelope = None) -> RegisterResult:
        return await _registered(info, envelope, input.register)

    @strawberry.mutation
    async def register_job(self, info: Info, input: JobInput, envelope: Envelope = None) -> RegisterResult:
        return await _registered(info, envelope, input.state)

    @strawberry.mutation
    async def register_run(self, info: Info, input: RunInput, envelope: Envelope = None) -> RegisterResult:
        return await _registered(info, envelope, input.state)

    @strawberry.mutation
    async def register_model(self, info: Info, input: ModelInput, envelope: Envelope = None) -> RegisterResult:
        return await _registered(info, envelope, input.state)

    @strawberry.mutation
    async def register_model_version(
        self,
        info: Info,
        input: ModelVersionInput,
        envelope: Envelope = None,
    ) -> RegisterResult:
        return await _registered(info, envelope, input.state)

    @strawberry.mutation(description="Names a version, or moves the name to another one.")
    async def register_model_alias(
        self, info: Info, input: ModelAliasInput, envelope: Envelope = None
    ) -> RegisterResult:
        return await _registered(info, envelope, input.state)

    @strawberry.mutation
    async def register_deployment(
        self, info: Info, input: DeploymentInput, envelope: Envelope = None
    ) -> RegisterResult:
        return await _registered(info, envelope, input.state)

    @strawberry.mutation
    async def register_consumer(self, info: Info, input: ConsumerInput, envelope: Envelope = None) -> RegisterResult:
        return await _registered(info, envelope, input.state)

    @strawberry.mutation(description="A flow between two assets that are known.")
    async def register_flow(self, info: Info, input: FlowInput, envelope: Envelope = None) -> RegisterResult:
        return await _registered(info, envelope, input.state)

    @strawberry.mutation(description="A whole manifest at once.")
    async def register(self, info: Info, manifest: ManifestInput, envelope: Envelope = None) -> RegisterResult:
        return await _registered(info, envelope, manifest.state, complete=manifest.complete)

    @strawberry.mutation(description="The origin no longer says so, from `validFrom` (absent: now) on. History stays.")
    async def withdraw(self, info: Info, input: WithdrawInput, envelope: Envelope = None) -> RegisterResult:
        at = envelope.valid_from if envelope else None
        return await _registered(info, envelope, lambda to: input.state(to, time_of(at)))


async def _registered(
    info: Info, envelope: EnvelopeInput | None, state: Callable[[Statements], object], complete: bool = False
) -> RegisterResult:
    info.context.require(Role.CONTRIBUTOR)
    envelope = envelope or EnvelopeInput()
    headwater, principal = info.context.headwater, info.context.principal
    try:
        operation = _operation_id(envelope.operation_id)
        stated = Statements(time_of(envelope.valid_from), time_of(envelope.valid_until))
        state(stated)
        wanted = Registration(
            origin=envelope.origin if envelope.origin is not None else f"api:{principal.name}",
            basis=envelope.basis,
            assets=tuple(stated.assets.values()),
            flows=tuple(stated.flows.values()),
            withdrawals=tuple(stated.withdrawals),
            complete=complete,
        )
        keys = list(stated.assets)
        if envelope.dry_run:
            return _dry_run(info, await headwater.plan(wanted), keys)
        return _answer(info, await headwater.register(wanted, operation, principal.name), keys)
    except GraphError as error:
        return problem(error)  # type: ignore[return-value]  # registering meets only these


def _dry_run(info: Info, changes: Changes, keys: list[AssetKey]) -> Registered:
    now = info.context.headwater.clock()
    planned = [PlannedChange(verb=change.verb_at(now), subject=str(change.subject)) for change in changes.changes]
    verbs = [change.verb for change in planned]
    answer = _answer(info, Receipt(info.context.headwater.index.revision, bool(changes)), keys)
    answer.added, answer.updated, answer.withdrawn = (verbs.count(verb) for verb in Verb)
    answer.plan = planned
    return answer


def _answer(info: Info, receipt: Receipt, keys: list[AssetKey]) -> Registered:
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


def _operation_id(given: str | None) -> str | None:
    if given is not None and (not 0 < len(given) <= MAX_OPERATION_ID or not given.isprintable()):
        raise InvalidInput(
            f"{quoted(given)} is not an operation id: 1 to {MAX_OPERATION_ID} printable characters, best a UUID",
            given,
        )
    return given
