"""What is served: what a deployment was told to be, and what answers for it now."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from app.serving.composition import Plan, Steps, from_json, to_json
from app.serving.models import Signature
from app.serving.processes import Worker
from graph.errors import InvalidInput
from graph.keys import AssetKey
from graph.model import Attributes, Json

SERVING = "serving"
"""The attribute that says what a deployment is told to be; only the gateway's own counts."""


@dataclass(frozen=True, slots=True)
class Spec:
    """Exactly one of `version` and `steps`."""

    version: AssetKey | None = None
    """A version, or an alias, which is followed."""
    steps: Steps = ()
    carried: bool = False
    """Requests carry all features: none is looked up."""

    def attributes(self, key: AssetKey) -> dict[str, Json]:
        told: Json = {"version": str(self.version)} if self.version else {"composition": to_json(self.steps)}
        return {SERVING: told, "url": url_of(key)}


def spec_of(attributes: Attributes) -> Spec:
    """Raises InvalidInput, InvalidKey for what is not served, or was written by somebody else."""
    told = attributes.get(SERVING)
    carried = attributes.get("features_from") == "request"
    match told:
        case {"version": str(version)}:
            return Spec(AssetKey.parse(version), carried=carried)
        case {"composition": steps}:
            return Spec(steps=from_json(steps), carried=carried)
    raise InvalidInput(f"the attribute {SERVING} names neither a version nor a composition", told)


def url_of(key: AssetKey) -> str:
    return f"/v2/models/{quote(key.name, safe='')}/infer"


@dataclass(frozen=True, slots=True)
class Source:
    """All that a version's answers depend on."""

    version: AssetKey
    uri: str
    digest: str
    signature: Signature
    """As registered."""


@dataclass(frozen=True, slots=True)
class Model:
    """A version that answers."""

    source: Source
    worker: Worker

    @property
    def signature(self) -> Signature:
        return self.worker.signature

    @property
    def ready(self) -> bool:
        return self.worker.ready


@dataclass(slots=True)
class Served:
    """A deployment. `answering` None: what answered is not there yet, or could not be started, as `trouble` says."""

    key: AssetKey
    spec: Spec
    answering: Model | Plan | None = None
    trouble: str | None = None
    """Why it does not answer as it was told to."""


def ready(served: Served, all_served: Mapping[AssetKey, Served]) -> bool:
    match served.answering:
        case Model() as model:
            return model.ready
        case Plan() as plan:
            members = [all_served.get(branch.deployment) for step in plan.steps for branch in step]
            return all(member is not None and ready(member, all_served) for member in members)
    return False
