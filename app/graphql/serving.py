"""Deploying: what the gateway serves from here on."""

from typing import Annotated, cast

import strawberry
from strawberry import UNSET
from strawberry.scalars import JSON

from app.envelopes import checked_operation_id
from app.graphql.context import Info
from app.graphql.inputs import FeaturesFrom, NamedInput
from app.graphql.kinds import Deployment
from app.graphql.problems import (
    InvalidInputProblem,
    OperationReusedProblem,
    RefusedProblem,
    StaleVersionProblem,
    UnknownAssetProblem,
    problem,
)
from app.graphql.registering import Envelope, EnvelopeInput
from app.graphql.types import asset
from app.identity import Role
from app.serving.composition import Branch, Step, Steps
from app.serving.deployments import Spec, url_of
from graph.errors import GraphError, InvalidInput
from graph.keys import AssetKey, AssetKind
from graph.model import Json
from graph.topology import Moment


@strawberry.input(description="A deployment, and which rows it gets.")
class BranchInput:
    deployment: strawberry.ID
    output: str | None = strawberry.field(
        default=None,
        description="An output of an earlier step, one value a row. The last branch may leave it out, and takes the rest.",
    )
    equals: JSON | None = strawberry.field(
        default=None, description="Rows where the output has this value, which no branch before took."
    )

    def branch(self) -> Branch:
        if self.output is None and self.equals is not None:
            raise InvalidInput(f"the branch to {self.deployment} says what equals {self.equals!r}, but no output")
        equals = cast("Json", self.equals)
        if isinstance(equals, list | dict):
            raise InvalidInput(f"the branch to {self.deployment} compares with one value, not {equals!r}")
        return Branch(AssetKey.parse(self.deployment), self.output, equals)


@strawberry.input(description="A deployment that all rows pass, or a switch between some. Exactly one of both.")
class StepInput:
    deployment: strawberry.ID | None = None
    switch: list[BranchInput] | None = None

    def step(self) -> Step:
        if (self.deployment is None) == (not self.switch):
            raise InvalidInput("a step is either a deployment or a switch of branches")
        if self.deployment is not None:
            return (Branch(AssetKey.parse(self.deployment)),)
        return tuple(branch.branch() for branch in self.switch or ())


@strawberry.input(
    description="What the gateway is to serve under a name: a version, or a composition of deployments. Exactly one of both."
)
class DeployInput(NamedInput):
    version: strawberry.ID | None = strawberry.field(
        default=None,
        description="Key of a version, or of an alias: then the gateway follows it when it moves to another version.",
    )
    composition: list[StepInput] | None = strawberry.field(
        default=None,
        description="Steps in order. Each takes its inputs, by name, from the outputs of those before, else from the request.",
    )
    features_from: FeaturesFrom | None = strawberry.field(
        default=UNSET,
        description="REQUEST: requests carry all inputs. Else those that are features are looked up when they are left out.",
    )

    def spec(self) -> Spec:
        if (self.version is None) == (not self.composition):
            raise InvalidInput("deploy either a version or a composition")
        if self.version is not None:
            return Spec(AssetKey.parse(self.version))
        steps: Steps = tuple(step.step() for step in self.composition or ())
        return Spec(steps=steps)


@strawberry.type(description="The gateway serves it, or does so no more.")
class Deployed:
    deployment: Deployment
    revision: int = strawberry.field(description="Pass it as atLeastRevision to read your own write.")
    url: str = strawberry.field(description="Where requests for predictions go, on this service.")


DeployResult = Annotated[
    Deployed
    | InvalidInputProblem
    | UnknownAssetProblem
    | StaleVersionProblem
    | OperationReusedProblem
    | RefusedProblem,
    strawberry.union("DeployResult"),
]


@strawberry.type
class ServingMutation:
    @strawberry.mutation(
        description="Serves a version or a composition, or serves another one under the same name without a failed request."
        " The gateway itself states the deployment and what feeds it."
    )
    async def deploy(self, info: Info, input: DeployInput, envelope: Envelope = None) -> DeployResult:
        info.context.require(Role.CONTRIBUTOR)
        try:
            operation = _operation(envelope)
            key = input.key(AssetKind.DEPLOYMENT)
            attributes = input.common("features_from")
            revision = await info.context.rooms.serving.deploy(
                info.context.headwater,
                key,
                input.spec(),
                attributes,
                operation,
                info.context.principal.name,
                input.expected_version,
            )
        except GraphError as error:
            return problem(error)  # type: ignore[return-value]  # deploying meets only these
        return _deployed(info, key, revision)

    @strawberry.mutation(description="Serves it no more. What others say of the deployment stays.")
    async def undeploy(self, info: Info, id: strawberry.ID, envelope: Envelope = None) -> DeployResult:
        info.context.require(Role.CONTRIBUTOR)
        try:
            operation = _operation(envelope)
            key = AssetKey.parse(id)
            context = info.context
            revision = await context.rooms.serving.undeploy(context.headwater, key, operation, context.principal.name)
        except GraphError as error:
            return problem(error)  # type: ignore[return-value]  # deploying meets only these
        return _deployed(info, key, revision)


def _operation(envelope: EnvelopeInput | None) -> str | None:
    """Of an envelope, the operation id alone has a meaning here. Raises InvalidInput."""
    if envelope is None:
        return None
    if envelope.origin is not None or envelope.valid_from is not None or envelope.valid_until is not None:
        raise InvalidInput(
            "deployments are stated by the gateway, from now on: leave out origin, validFrom and validUntil"
        )
    if envelope.dry_run:
        raise InvalidInput("a deployment cannot be tried without being made: leave out dryRun")
    return None if envelope.operation_id is None else checked_operation_id(envelope.operation_id)


def _deployed(info: Info, key: AssetKey, revision: int) -> Deployed:
    deployment = asset(key, Moment(info.context.headwater.clock(), revision))
    return Deployed(deployment=cast("Deployment", deployment), revision=revision, url=url_of(key))
