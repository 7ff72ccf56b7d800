"""Which port of an asset each flow leaves and reaches. Pure functions.

A container is two vertices: `whole`, all of it, and `any`, some of it. A flow told at the grain of containers leaves
from `any` and arrives at `whole`; where finer flows of the same kind of source are known it is narrowed. Narrowing is
derived here from the flows themselves and holds exactly where (in valid time) the finer flows hold.
"""

from collections.abc import Callable, Iterable, Sequence
from enum import IntEnum, IntFlag
from typing import NamedTuple

from graph.keys import AssetKind
from graph.time import Interval, pieces, union, within, without


class Port(IntEnum):
    WHOLE = 0
    ANY = 1
    REQUESTS = 2
    """Of a model version: what each request to it must carry; fed by the features of its signature."""


TWO_PORTED = frozenset({AssetKind.DATASET, AssetKind.FEATURE_VIEW, AssetKind.JOB, AssetKind.RUN, AssetKind.MODEL})
"""The kinds whose `whole` and `any` differ. For all others both are the one vertex."""

FAILS_WHOLE = frozenset({AssetKind.JOB, AssetKind.RUN, AssetKind.FEATURE_VIEW})
"""Kinds that produce nothing when they miss an input: in a loss walk their `any` reaches their `whole`."""


class Step(IntFlag):
    """What kind of edge a row of the index is, and which walks take it."""

    FLOW = 1
    """Counts as a hop. Without it: a step between ports, or of part and container, which costs nothing."""
    BUILT = 2
    """Baked in once. Without it: passes again at every request or refresh."""
    VALUES = 4
    LOSS = 8
    BOTH = VALUES | LOSS


class Told(NamedTuple):
    """One origin's flow between two assets (by number) during `valid`; `via` is 0 without a job."""

    source: int
    target: int
    via: int
    origin: int
    strength: int
    """Index into REFINES_FIRST: smaller is stronger."""
    valid: Interval


class Edge(NamedTuple):
    """Where `told` runs between ports, during `valid`, in the walks of `walks`."""

    told: Told
    leaves: Port
    reaches: Port
    walks: Step
    valid: Interval


def coarse(told: Told) -> Edge:
    return Edge(told, Port.ANY, Port.WHOLE, Step.BOTH, told.valid)


def job_edges(job: int, flows: Iterable[Told], container: Callable[[int], int]) -> list[Edge]:
    """The port edges of the flows that end at `job`, given those and the finer ones via it.

    `container` answers the asset itself for what stands alone.
    """
    flows = list(flows)
    fine = [flow for flow in flows if flow.via == job]
    inputs = [flow for flow in flows if flow.target == job]
    outputs = [flow for flow in flows if flow.source == job]
    fine_by_source = _grouped(fine, lambda flow: container(flow.source))
    fine_by_target = _grouped(fine, lambda flow: container(flow.target))

    edges: list[Edge] = []
    bare: list[Interval] = []  # when some output has no column lineage
    for told in outputs:
        known = _refining(
            told,
            [
                f
                for f in fine_by_target.get(container(told.target), ())
                if told.target in (f.target, container(f.target))
            ],
        )
        narrow, rest = within(known, told.valid), _outside(told.valid, known)
        bare += rest
        edges += [Edge(told, Port.WHOLE, Port.WHOLE, Step.BOTH, valid) for valid in narrow]
        edges += [Edge(told, Port.ANY, Port.WHOLE, Step.BOTH, valid) for valid in rest]
    bare = union(bare)
    for told in inputs:
        named = _refining(told, fine_by_source.get(container(told.source), ()))
        is_part = container(told.source) != told.source
        for piece in pieces(told.valid, (named, bare)):
            if not _holds(named, piece):
                leaves, reaches = Port.ANY, Port.WHOLE
            elif is_part or _holds(bare, piece):
                leaves, reaches = Port.ANY, Port.ANY
            else:
                leaves, reaches = Port.WHOLE, Port.ANY
            edges.append(Edge(told, leaves, reaches, Step.BOTH, piece))
    return edges


def direct_edges(told: Told, parts: Sequence[Told]) -> list[Edge]:
    """The port edges of a flow straight from container to container, given the flows between their parts."""
    known = _refining(told, parts)
    edges = [Edge(told, Port.ANY, Port.WHOLE, Step.BOTH, valid) for valid in _outside(told.valid, known)]
    for valid in within(known, told.valid):
        edges.append(Edge(told, Port.WHOLE, Port.ANY, Step.VALUES, valid))
        edges.append(Edge(told, Port.WHOLE, Port.WHOLE, Step.LOSS, valid))
    return edges


def serving_edges(told: Told, carried: Sequence[Interval]) -> list[Edge]:
    """The port edges of a version (or alias) served by a deployment; `carried`: when requests carry the features."""
    return [coarse(told)] + [
        Edge(told, Port.REQUESTS, Port.WHOLE, Step.BOTH, valid) for valid in _outside(told.valid, carried)
    ]


def _refining(told: Told, finer: Iterable[Told]) -> list[Interval]:
    """When `finer` narrow `told`: those of the same origin, or of a basis at least as strong."""
    return union(flow.valid for flow in finer if flow.origin == told.origin or flow.strength <= told.strength)


def _outside(frame: Interval, intervals: Sequence[Interval]) -> list[Interval]:
    rest = [frame]
    for hole in intervals:
        rest = without(rest, hole)
    return rest


def _holds(intervals: Sequence[Interval], piece: Interval) -> bool:
    return any(part.start <= piece.start and piece.end <= part.end for part in intervals)


def _grouped(flows: Iterable[Told], by: Callable[[Told], int]) -> dict[int, list[Told]]:
    groups: dict[int, list[Told]] = {}
    for flow in flows:
        groups.setdefault(by(flow), []).append(flow)
    return groups
