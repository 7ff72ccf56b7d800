"""What is known: flows between assets, and the assertions that say why we believe in them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, TypeAlias

from graph.errors import InvalidFlow
from graph.keys import AssetKey, AssetKind
from graph.time import FOREVER, Interval

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
Attributes: TypeAlias = Mapping[str, Json]


class Basis(StrEnum):
    """How the origin of an assertion knows."""

    DECLARED = "DECLARED"
    """A person wrote it."""
    IMPORTED = "IMPORTED"
    """Another system's record."""
    OBSERVED = "OBSERVED"
    """It happened."""
    INFERRED = "INFERRED"
    """Read from code or SQL."""


SHOWN_FIRST = (Basis.DECLARED, Basis.IMPORTED, Basis.OBSERVED, Basis.INFERRED)
"""Whose value of an attribute is shown when origins disagree."""

REFINES_FIRST = (Basis.OBSERVED, Basis.IMPORTED, Basis.DECLARED, Basis.INFERRED)
"""Whose finer flows narrow whose coarse ones: a basis narrows itself and those after it."""


class Timing(StrEnum):
    LIVE = "LIVE"
    """Passes again at every request or refresh."""
    BUILT = "BUILT"
    """Baked in once."""


class Relationship(StrEnum):
    """The type of a flow in Cypher, upstream → downstream."""

    FEEDS = "FEEDS"
    READ_BY = "READ_BY"
    WRITES = "WRITES"
    USED_BY = "USED_BY"
    SERVED_BY = "SERVED_BY"
    CALLED_BY = "CALLED_BY"
    TRAINS = "TRAINS"
    PRODUCES = "PRODUCES"


class FlowType(NamedTuple):
    timing: Timing
    relationship: Relationship


def _flow_table() -> dict[tuple[AssetKind, AssetKind], FlowType]:
    k, live, built, r = AssetKind, Timing.LIVE, Timing.BUILT, Relationship
    data, features, models = (k.DATASET, k.COLUMN), (k.FEATURE_VIEW, k.FEATURE), (k.MODEL, k.MODEL_VERSION)
    rows: list[tuple[Timing, tuple[AssetKind, ...], Relationship, tuple[AssetKind, ...]]] = [
        (live, data, r.FEEDS, (*data, *features)),
        (live, (k.FEATURE,), r.FEEDS, (k.FEATURE,)),
        (live, (*data, *features), r.READ_BY, (k.JOB, k.DEPLOYMENT, k.CONSUMER)),
        (live, (k.JOB,), r.WRITES, (*data, *features)),
        (live, models, r.SERVED_BY, (k.DEPLOYMENT,)),
        (live, models, r.USED_BY, (k.CONSUMER, k.JOB)),
        (live, (k.DEPLOYMENT,), r.CALLED_BY, (k.DEPLOYMENT, k.CONSUMER)),
        (live, (k.DEPLOYMENT, k.CONSUMER), r.WRITES, (k.DATASET,)),
        (built, (*data, *features, k.MODEL_VERSION), r.TRAINS, (k.RUN,)),
        (built, (k.RUN,), r.PRODUCES, (k.MODEL_VERSION, k.DATASET)),
    ]
    return {
        (source, target): FlowType(timing, relationship)
        for timing, sources, relationship, targets in rows
        for source in sources
        for target in targets
    }


FLOWS = _flow_table()
"""Every pair of kinds that a flow may join. A new kind of flow is one more row above."""


class Flow(NamedTuple):
    """Data or behaviour passes from `source` to `target`.

    `via` is the job whose run tells this finer flow (column lineage); None for every other flow. It is part of the
    identity: two jobs that both derive E.x from T.a are two flows, and withdrawing one leaves the other.
    """

    source: AssetKey
    target: AssetKey
    via: AssetKey | None = None

    def __str__(self) -> str:
        return f"{self.source} -> {self.target}" + (f" via {self.via}" if self.via else "")

    @property
    def type(self) -> FlowType:
        return FLOWS[self.source.kind, self.target.kind]


def checked_flow(source: AssetKey, target: AssetKey, via: AssetKey | None = None) -> Flow:
    """Raises InvalidFlow, which says what can be joined."""
    if (source.kind, target.kind) not in FLOWS:
        targets = sorted({end for start, end in FLOWS if start is source.kind})
        raise InvalidFlow(
            f"nothing flows from a {source.kind} to a {target.kind} ({source} -> {target}); from a {source.kind}"
            + (f" it flows to {', '.join(targets)}" if targets else " nothing flows on"),
            f"{source} -> {target}",
        )
    if source == target:
        raise InvalidFlow(f"{source} cannot flow into itself", source)
    if target.is_alias:
        raise InvalidFlow(f"{target} is an alias: a run produces a version, and the alias then names it", target)
    if via is not None:
        if via.kind is not AssetKind.JOB:
            raise InvalidFlow(f"a flow passes via a job, not via the {via.kind} {via}", via)
        if (source.kind, AssetKind.JOB) not in FLOWS or (AssetKind.JOB, target.kind) not in FLOWS:
            raise InvalidFlow(f"{source} -> {target} is nothing that a job derives, so it cannot pass via {via}", via)
    return Flow(source, target, via)


def implied_flows(flow: Flow) -> tuple[Flow, ...]:
    """What a flow via a job says too: that the job reads the source (and what it is a part of), and writes the target's container."""
    if flow.via is None:
        return ()
    reads = [read for read in (flow.source, flow.source.container) if read]
    return (*(Flow(read, flow.via) for read in reads), Flow(flow.via, flow.target.container or flow.target))


Subject: TypeAlias = AssetKey | Flow
"""What an assertion is about: that an asset is (with attributes), or that a flow is."""


@dataclass(frozen=True, slots=True)
class Assertion:
    """One origin says that its subject holds during `valid`, with these attributes.

    What one origin says of one subject is a set of assertions with disjoint `valid`.
    """

    subject: Subject
    origin: str
    basis: Basis
    valid: Interval
    attributes: Attributes = field(default_factory=dict)


class Known(NamedTuple):
    """The revisions [first, last) between which an assertion was believed."""

    first: int
    last: int = FOREVER

    def holds_at(self, revision: int) -> bool:
        return self.first <= revision < self.last


@dataclass(frozen=True, slots=True)
class StoredAssertion:
    """An assertion as a store keeps it. `number` is its own, unique in the store and never used again."""

    number: int
    assertion: Assertion
    known: Known


@dataclass(frozen=True, slots=True)
class Operation:
    """Who asked for a commit, and under which id it may be asked again.

    `id` is the client's; None gives up the protection against doing a thing twice. `digest` is the SHA-256 of the
    request's canonical form. `actor` is the authenticated person or service, as text.
    """

    id: str | None
    digest: str
    actor: str
