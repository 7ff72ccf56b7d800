"""Everything that changes the graph. A request is kept whole or not at all."""

import strawberry

from app.graphql.alerts import AlertMutation
from app.graphql.bulk import BulkMutation
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
    ViewFeatureInput,
    WithdrawInput,
    time_of,
)
from app.graphql.plans import PlanMutation
from app.graphql.registering import Envelope, RegisterResult, stated
from app.graphql.remarks import RemarkMutation
from app.graphql.same import SameMutation
from app.graphql.serving import ServingMutation
from app.graphql.sources import SourceMutation


@strawberry.type
class Mutation(
    AlertMutation, BulkMutation, PlanMutation, RemarkMutation, SameMutation, ServingMutation, SourceMutation
):
    @strawberry.mutation
    async def register_dataset(self, info: Info, input: DatasetInput, envelope: Envelope = None) -> RegisterResult:
        return await stated(info, envelope, input.state)

    @strawberry.mutation
    async def register_column(self, info: Info, input: DatasetColumnInput, envelope: Envelope = None) -> RegisterResult:
        return await stated(info, envelope, input.register)

    @strawberry.mutation
    async def register_feature_view(
        self, info: Info, input: FeatureViewInput, envelope: Envelope = None
    ) -> RegisterResult:
        return await stated(info, envelope, input.state)

    @strawberry.mutation
    async def register_feature(self, info: Info, input: ViewFeatureInput, envelope: Envelope = None) -> RegisterResult:
        return await stated(info, envelope, input.register)

    @strawberry.mutation
    async def register_job(self, info: Info, input: JobInput, envelope: Envelope = None) -> RegisterResult:
        return await stated(info, envelope, input.state)

    @strawberry.mutation
    async def register_run(self, info: Info, input: RunInput, envelope: Envelope = None) -> RegisterResult:
        return await stated(info, envelope, input.state)

    @strawberry.mutation
    async def register_model(self, info: Info, input: ModelInput, envelope: Envelope = None) -> RegisterResult:
        return await stated(info, envelope, input.state)

    @strawberry.mutation
    async def register_model_version(
        self,
        info: Info,
        input: ModelVersionInput,
        envelope: Envelope = None,
    ) -> RegisterResult:
        return await stated(info, envelope, input.state)

    @strawberry.mutation(description="Names a version, or moves the name to another one.")
    async def register_model_alias(
        self, info: Info, input: ModelAliasInput, envelope: Envelope = None
    ) -> RegisterResult:
        return await stated(info, envelope, input.state)

    @strawberry.mutation
    async def register_deployment(
        self, info: Info, input: DeploymentInput, envelope: Envelope = None
    ) -> RegisterResult:
        return await stated(info, envelope, input.state)

    @strawberry.mutation
    async def register_consumer(self, info: Info, input: ConsumerInput, envelope: Envelope = None) -> RegisterResult:
        return await stated(info, envelope, input.state)

    @strawberry.mutation(description="A flow between two assets that are known.")
    async def register_flow(self, info: Info, input: FlowInput, envelope: Envelope = None) -> RegisterResult:
        return await stated(info, envelope, input.state)

    @strawberry.mutation(description="A whole manifest at once.")
    async def register(self, info: Info, manifest: ManifestInput, envelope: Envelope = None) -> RegisterResult:
        return await stated(info, envelope, manifest.state, complete=manifest.complete)

    @strawberry.mutation(description="The origin no longer says so, from `validFrom` (absent: now) on. History stays.")
    async def withdraw(self, info: Info, input: WithdrawInput, envelope: Envelope = None) -> RegisterResult:
        at = envelope.valid_from if envelope else None
        return await stated(info, envelope, lambda to: input.state(to, time_of(at)))
