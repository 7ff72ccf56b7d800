"""What clients register, and how it becomes a registration."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import cast

import strawberry
from strawberry import UNSET
from strawberry.scalars import JSON

from graph.changes import AssetStatement, FlowStatement, Withdrawal
from graph.errors import InvalidAttribute, InvalidInput
from graph.keys import AssetKey, AssetKind, alias_key, refuse_outer_space
from graph.model import Attributes, Json, checked_flow
from graph.time import Instant, instant

UNCHANGED = "Absent: as it is. Null: this origin no longer says so."


@dataclass
class Statements:
    """Collects what a request states. `since` and `until` hold for all of it."""

    since: Instant | None = None
    until: Instant | None = None
    assets: dict[AssetKey, AssetStatement] = field(default_factory=dict)
    flows: dict[str, FlowStatement] = field(default_factory=dict)
    withdrawals: list[Withdrawal] = field(default_factory=list)

    def asset(self, key: AssetKey, attributes: Attributes, version: int | None = None) -> AssetKey:
        """Raises InvalidInput when the key is stated twice with different content."""
        if key.is_alias and "version" not in attributes:
            raise InvalidInput(f"the version {key.part!r} of {key.container} begins with @, as only aliases do", key)
        known = self.assets.get(key)
        statement = AssetStatement(key, attributes, self.since, self.until, version)
        if known is not None and known != statement:
            raise InvalidInput(f"{key} is stated twice in one request, with different content", key)
        self.assets[key] = statement
        return key

    def flow(self, source: str | AssetKey, target: str | AssetKey, via: str | AssetKey | None = None) -> None:
        flow = checked_flow(_key(source), _key(target), _key(via) if via else None)
        self.flows[str(flow)] = FlowStatement(flow, {}, self.since, self.until)


@strawberry.input(description="A person or team.")
class OwnerInput:
    name: str
    contact: str | None = strawberry.field(default=None, description="How to reach them: a mail address, a channel.")


@strawberry.input
class AssetInput:
    """What every asset may have."""

    description: str | None = strawberry.field(default=UNSET, description=UNCHANGED)
    owners: list[OwnerInput] | None = strawberry.field(default=UNSET, description=UNCHANGED)
    tags: list[str] | None = strawberry.field(default=UNSET, description=UNCHANGED)
    tier: int | None = strawberry.field(default=UNSET, description="1 (most critical) to 4. " + UNCHANGED)
    environment: str | None = strawberry.field(default=UNSET, description=UNCHANGED)
    source_link: str | None = strawberry.field(default=UNSET, description=UNCHANGED)
    attributes: JSON | None = strawberry.field(
        default=UNSET, description="Further attributes, by name; kept as they are."
    )
    expected_version: int | None = strawberry.field(
        default=None, description="Refuse if the asset is at another version; 0: refuse if it is known."
    )

    def common(self, *own: str) -> dict[str, Json]:
        """The attributes stated: the common ones, and the fields named in `own`."""
        stated: dict[str, Json] = {}
        if self.attributes not in (UNSET, None):
            if not isinstance(self.attributes, dict):
                raise InvalidAttribute("attributes must be a mapping from names to values", self.attributes)
            stated |= cast("dict[str, Json]", self.attributes)
        for name in ("description", "tags", "tier", "environment", "source_link", *own):
            value = getattr(self, name)
            if value is not UNSET:
                stated[name] = value.value if isinstance(value, Enum) else value
        if self.owners is None:
            stated["owners"] = None
        elif self.owners is not UNSET:
            stated["owners"] = [_owner(owner) for owner in self.owners]
        return stated


@strawberry.input
class NamedInput(AssetInput):
    """An asset that stands alone."""

    namespace: str
    name: str

    def key(self, kind: AssetKind) -> AssetKey:
        refuse_outer_space(self.namespace, self.name)
        return AssetKey.of(kind, self.namespace, self.name)


@strawberry.input
class ColumnInput(AssetInput):
    path: list[str] = strawberry.field(description="The field path; one step for a column that is not nested.")
    type: str | None = UNSET
    nullable: bool | None = UNSET
    derived_from: list[strawberry.ID] = strawberry.field(
        default_factory=list, description="Keys of the columns or datasets that it is computed from."
    )

    def state(self, to: Statements, dataset: AssetKey, via: str | None = None) -> None:
        refuse_outer_space(*self.path)
        key = to.asset(dataset.part_key(*self.path), self.common("type", "nullable"), self.expected_version)
        for source in self.derived_from:
            to.flow(source, key, via)


@strawberry.input(description="A table, file or topic. Namespace and name as OpenLineage writes them.")
class DatasetInput(NamedInput):
    columns: list[ColumnInput] = strawberry.field(default_factory=list)
    derived_from: list[strawberry.ID] = strawberry.field(
        default_factory=list,
        description="Keys of datasets and columns that feed it without a known job: a view, a copy.",
    )

    def state(self, to: Statements) -> AssetKey:
        key = to.asset(self.key(AssetKind.DATASET), self.common(), self.expected_version)
        for column in self.columns:
            column.state(to, key)
        for source in self.derived_from:
            to.flow(source, key)
        return key


@strawberry.input(description="Columns of a dataset that is known, or registered in the same request.")
class DatasetColumnInput(ColumnInput):
    dataset: strawberry.ID
    via: strawberry.ID | None = strawberry.field(default=None, description="The job that derives it.")

    def register(self, to: Statements) -> AssetKey:
        dataset = _key(self.dataset, AssetKind.DATASET)
        self.state(to, dataset, self.via)
        return dataset.part_key(*self.path)


@strawberry.input
class FeatureInput(AssetInput):
    name: str
    type: str | None = UNSET
    definition: str | None = strawberry.field(default=UNSET, description="SQL or Python source. " + UNCHANGED)
    derived_from: list[strawberry.ID] = strawberry.field(
        default_factory=list, description="Keys of the columns, datasets or features that it is computed from."
    )

    def state(self, to: Statements, view: AssetKey) -> AssetKey:
        refuse_outer_space(self.name)
        key = to.asset(view.part_key(self.name), self.common("type", "definition"), self.expected_version)
        for source in self.derived_from:
            to.flow(source, key)
        return key


@strawberry.input(description="Features that share entities and source.")
class FeatureViewInput(NamedInput):
    entities: list[str] | None = UNSET
    features: list[FeatureInput] = strawberry.field(default_factory=list)
    derived_from: list[strawberry.ID] = strawberry.field(
        default_factory=list, description="Keys of the datasets that it is computed from."
    )

    def state(self, to: Statements) -> AssetKey:
        key = to.asset(self.key(AssetKind.FEATURE_VIEW), self.common("entities"), self.expected_version)
        for feature in self.features:
            feature.state(to, key)
        for source in self.derived_from:
            to.flow(source, key)
        return key


@strawberry.input(description="A feature of a view that is known, or registered in the same request.")
class ViewFeatureInput(FeatureInput):
    view: strawberry.ID

    def register(self, to: Statements) -> AssetKey:
        return self.state(to, _key(self.view, AssetKind.FEATURE_VIEW))


@strawberry.input(description="One column is computed from another.")
class ColumnLineageInput:
    source: strawberry.ID
    target: strawberry.ID = strawberry.field(description="A column, or a dataset when all its rows are affected.")


@strawberry.input(description="A transformation or training definition.")
class JobInput(NamedInput):
    definition: str | None = UNSET
    inputs: list[strawberry.ID] = strawberry.field(default_factory=list)
    outputs: list[strawberry.ID] = strawberry.field(default_factory=list)
    column_lineage: list[ColumnLineageInput] = strawberry.field(default_factory=list)

    def state(self, to: Statements) -> AssetKey:
        key = to.asset(self.key(AssetKind.JOB), self.common("definition"), self.expected_version)
        for source in self.inputs:
            to.flow(source, key)
        for target in self.outputs:
            to.flow(key, target)
        for pair in self.column_lineage:
            to.flow(pair.source, pair.target, key)
        return key


@strawberry.input(description="One training run. What it reads is baked into what it produces.")
class RunInput(AssetInput):
    job: strawberry.ID
    run_id: uuid.UUID = strawberry.field(description="Chosen by the client.")
    inputs: list[strawberry.ID] = strawberry.field(default_factory=list)
    outputs: list[strawberry.ID] = strawberry.field(default_factory=list, description="Model versions and datasets.")
    hyperparameters: JSON | None = UNSET
    metrics: JSON | None = UNSET

    def state(self, to: Statements) -> AssetKey:
        job = _key(self.job, AssetKind.JOB)
        attributes = self.common("hyperparameters", "metrics")
        key = to.asset(job.part_key(str(self.run_id)), attributes, self.expected_version)
        for source in self.inputs:
            to.flow(source, key)
        for target in self.outputs:
            to.flow(key, target)
        return key


@strawberry.input(description="A registered model.")
class ModelInput(NamedInput):
    def state(self, to: Statements) -> AssetKey:
        return to.asset(self.key(AssetKind.MODEL), self.common(), self.expected_version)


@strawberry.input(description="A name, a type and a shape of what a model takes or gives.")
class TensorInput:
    name: str
    type: str | None = None
    shape: list[int] | None = None
    feature: strawberry.ID | None = strawberry.field(
        default=None, description="The feature (or view) that this input is; serving the version then depends on it."
    )

    def json(self) -> dict[str, Json]:
        stated = {"name": self.name, "type": self.type, "shape": cast("Json", self.shape), "feature": self.feature}
        return {name: value for name, value in stated.items() if value is not None}


@strawberry.input
class SignatureInput:
    inputs: list[TensorInput] = strawberry.field(default_factory=list)
    outputs: list[TensorInput] = strawberry.field(default_factory=list)

    def json(self) -> Json:
        return {"inputs": [each.json() for each in self.inputs], "outputs": [each.json() for each in self.outputs]}


@strawberry.input
class ArtifactInput:
    uri: str
    digest: str = strawberry.field(description="sha256:… of the artifact's bytes.")


@strawberry.input(description="One version of a model.")
class ModelVersionInput(AssetInput):
    model: strawberry.ID
    version: str
    run: strawberry.ID | None = strawberry.field(default=None, description="The training run that produced it.")
    signature: SignatureInput | None = UNSET
    hyperparameters: JSON | None = UNSET
    metrics: JSON | None = strawberry.field(default=UNSET, description="Held-out metrics: names to numbers.")
    artifact: ArtifactInput | None = UNSET
    profile: JSON | None = strawberry.field(
        default=UNSET,
        description="How inputs and outputs were spread when it was trained; predictions are then watched for drift."
        " The client makes it from rows.",
    )

    def state(self, to: Statements) -> AssetKey:
        refuse_outer_space(self.version)
        attributes = self.common("hyperparameters", "metrics", "profile")
        if self.signature is not UNSET:
            attributes["signature"] = self.signature.json() if self.signature else None
        if self.artifact is not UNSET:
            artifact = self.artifact
            attributes["artifact"] = {"uri": artifact.uri, "digest": artifact.digest} if artifact else None
        model = _key(self.model, AssetKind.MODEL)
        key = to.asset(model.part_key(self.version), attributes, self.expected_version)
        if self.run:
            to.flow(self.run, key)
        return key


@strawberry.input(description="A name for a version, as in models:/name@alias. Registering it again moves it.")
class ModelAliasInput:
    model: strawberry.ID
    alias: str
    version: str

    def state(self, to: Statements) -> AssetKey:
        refuse_outer_space(self.alias, self.version)
        key = alias_key(_key(self.model, AssetKind.MODEL), self.alias)
        return to.asset(key, {"version": self.version})


class FeaturesFrom(Enum):
    STORE = "store"
    REQUEST = "request"


strawberry.enum(FeaturesFrom, description="Whether the features come from a store or with requests.")


@strawberry.input(description="An address that answers predictions, or a composition of others.")
class DeploymentInput(NamedInput):
    url: str | None = UNSET
    features_from: FeaturesFrom | None = strawberry.field(
        default=UNSET,
        description="REQUEST: requests carry the features, so that serving does not depend on reading them.",
    )
    serves: list[strawberry.ID] = strawberry.field(
        default_factory=list, description="Keys of the versions (or models, or aliases) that it serves."
    )
    calls: list[strawberry.ID] = strawberry.field(
        default_factory=list, description="Keys of the deployments whose outputs it uses."
    )
    reads: list[strawberry.ID] = strawberry.field(
        default_factory=list, description="Keys of the features or data it reads."
    )
    logs_to: list[strawberry.ID] = strawberry.field(
        default_factory=list, description="Keys of the datasets that hold its predictions."
    )

    def state(self, to: Statements) -> AssetKey:
        key = to.asset(self.key(AssetKind.DEPLOYMENT), self.common("url", "features_from"), self.expected_version)
        for source in (*self.serves, *self.calls, *self.reads):
            to.flow(source, key)
        for target in self.logs_to:
            to.flow(key, target)
        return key


class ConsumerType(Enum):
    SERVICE = "service"
    APPLICATION = "application"
    DASHBOARD = "dashboard"
    NOTEBOOK = "notebook"
    BATCH_JOB = "batch_job"


strawberry.enum(ConsumerType)


@strawberry.input(description="A service, application, dashboard, notebook or batch job that uses an output.")
class ConsumerInput(NamedInput):
    consumer_type: ConsumerType | None = UNSET
    uses: list[strawberry.ID] = strawberry.field(default_factory=list, description="Keys of what it uses.")
    writes: list[strawberry.ID] = strawberry.field(default_factory=list, description="Keys of the datasets it writes.")

    def state(self, to: Statements) -> AssetKey:
        key = to.asset(self.key(AssetKind.CONSUMER), self.common("consumer_type"), self.expected_version)
        for source in self.uses:
            to.flow(source, key)
        for target in self.writes:
            to.flow(key, target)
        return key


@strawberry.input(description="A flow between two assets.")
class FlowInput:
    source: strawberry.ID
    target: strawberry.ID
    via: strawberry.ID | None = strawberry.field(default=None, description="The job whose run tells this finer flow.")

    def state(self, to: Statements) -> None:
        to.flow(self.source, self.target, self.via)


@strawberry.input(description="What an origin no longer says: assets (with their parts and flows) and flows.")
class WithdrawInput:
    assets: list[strawberry.ID] = strawberry.field(default_factory=list)
    flows: list[FlowInput] = strawberry.field(default_factory=list)

    def state(self, to: Statements, at: Instant | None) -> None:
        to.withdrawals += [Withdrawal(_key(key), at) for key in self.assets]
        to.withdrawals += [
            Withdrawal(checked_flow(_key(flow.source), _key(flow.target), _key(flow.via) if flow.via else None), at)
            for flow in self.flows
        ]


@strawberry.input(description="Everything a repository declares, in one request: all of it is kept, or nothing.")
class ManifestInput:
    complete: bool = strawberry.field(
        default=False, description="This is all that the origin says; what else it said is withdrawn."
    )
    datasets: list[DatasetInput] = strawberry.field(default_factory=list)
    columns: list[DatasetColumnInput] = strawberry.field(default_factory=list)
    feature_views: list[FeatureViewInput] = strawberry.field(default_factory=list)
    features: list[ViewFeatureInput] = strawberry.field(default_factory=list)
    jobs: list[JobInput] = strawberry.field(default_factory=list)
    runs: list[RunInput] = strawberry.field(default_factory=list)
    models: list[ModelInput] = strawberry.field(default_factory=list)
    model_versions: list[ModelVersionInput] = strawberry.field(default_factory=list)
    model_aliases: list[ModelAliasInput] = strawberry.field(default_factory=list)
    deployments: list[DeploymentInput] = strawberry.field(default_factory=list)
    consumers: list[ConsumerInput] = strawberry.field(default_factory=list)
    flows: list[FlowInput] = strawberry.field(default_factory=list)

    def state(self, to: Statements) -> None:
        states: list[Callable[[Statements], object]] = [
            *(each.state for each in self.datasets),
            *(each.register for each in self.columns),
            *(each.state for each in self.feature_views),
            *(each.register for each in self.features),
            *(each.state for each in self.jobs),
            *(each.state for each in self.runs),
            *(each.state for each in self.models),
            *(each.state for each in self.model_versions),
            *(each.state for each in self.model_aliases),
            *(each.state for each in self.deployments),
            *(each.state for each in self.consumers),
            *(each.state for each in self.flows),
        ]
        for state in states:
            state(to)


def time_of(at: datetime | None) -> Instant | None:
    return None if at is None else instant(at)


def _key(text: str | AssetKey, kind: AssetKind | None = None) -> AssetKey:
    key = text if isinstance(text, AssetKey) else AssetKey.parse(text)
    if kind is not None and key.kind is not kind:
        raise InvalidInput(f"{key} is a {key.kind}, where a {kind} is needed", key)
    return key


def _owner(owner: OwnerInput) -> Json:
    return {"name": owner.name, "contact": owner.contact} if owner.contact else {"name": owner.name}
