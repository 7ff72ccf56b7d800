"""Walks over the lineage index: what is downstream or upstream of an asset, how far, and why the walk stopped."""

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import numpy as np

from graph.errors import NotFound
from graph.keys import AssetKey, AssetKind
from graph.model import REFINES_FIRST, Basis, Timing
from graph.ports import Port, Step
from graph.topology import ALIAS_CODE, KIND_CODE, KINDS, Bools, Ints, Label, Moment, View


class Direction(StrEnum):
    DOWNSTREAM = "DOWNSTREAM"
    UPSTREAM = "UPSTREAM"


class Follow(StrEnum):
    """What a walk follows."""

    VALUES = "VALUES"
    """Content differs; drift."""
    LOSS = "LOSS"
    """Gone, renamed, retyped, failing: what misses an input produces nothing."""


@dataclass(frozen=True, slots=True)
class FlowFilter:
    """Restricts the walk to some flows. Empty means all of them."""

    bases: Collection[Basis] = ()
    timings: Collection[Timing] = ()
    origins: Collection[str] = ()
    without: Collection[str] = ()
    """Origins whose word alone is not enough."""


@dataclass(frozen=True, slots=True)
class AssetFilter:
    """Selects from the answer; never stops the walk. Within a field any value matches, between fields all must."""

    kinds: Collection[AssetKind] = ()
    namespaces: Collection[str] = ()
    owners: Collection[str] = ()
    tags: Collection[str] = ()
    tiers: Collection[int] = ()


class Reach(NamedTuple):
    """Hops by vertex (-1: not reached), and the vertices whose flows a depth limit left unfollowed."""

    hops: Ints
    cut: Ints


@dataclass(frozen=True, slots=True)
class Lineage:
    """The answer of a walk: columns of equal length, nearest first, then in the order of the keys' text.

    `start`, its parts and its container are not among the assets. `hops` counts flows only. `partly`: some of the asset
    is reached, not all of it. `stub`: known only as the end of a flow, nobody says what it is.
    """

    view: View
    moment: Moment
    start: AssetKey
    direction: Direction
    follow: Follow
    assets: Ints
    hops: Ints
    partly: Bools
    stub: Bools
    labels: Ints
    complete: bool
    frontier: tuple[AssetKey, ...]
    """Where a depth limit stopped the walk; empty when complete."""

    def __len__(self) -> int:
        return len(self.assets)

    def key(self, row: int) -> AssetKey:
        return self.view.key(int(self.assets[row]))

    def keys(self) -> list[AssetKey]:
        return [self.view.key(asset) for asset in self.assets.tolist()]

    def kind(self, row: int) -> AssetKind:
        return KINDS[int(self.view.kind[self.assets[row]])]

    def label(self, row: int) -> Label:
        code = int(self.labels[row])
        return self.view.labels[code] if code >= 0 else Label()


def walk(
    view: View,
    start: AssetKey,
    direction: Direction,
    moment: Moment,
    follow: Follow = Follow.VALUES,
    flows: FlowFilter | None = None,
    depth: int | None = None,
) -> Lineage:
    """Everything up- or downstream of `start`, to the end of every path or to `depth` flows away.

    An alias starts at the version that it named then. Raises NotFound when `start` was not there at that moment.
    """
    asset = located(view, start, moment)
    reach = reached(view, np.array([first_vertex(view, asset, direction)]), direction, moment, follow, flows, depth)
    assets, hops, partly = assets_reached(view, reach.hops, direction)
    keep = ~np.isin(assets, [asset, view.container[asset] or asset, *view.parts_of(asset)])
    labels = effective_labels(view, assets, moment)
    stub = view.label_codes(assets, moment) < 0
    doubtful = np.nonzero(keep & stub & (view.container[assets] > 0))[0]
    keep[doubtful] = [has_flow(view, int(each), moment) for each in assets[doubtful]]
    order = _in_order(view, assets[keep], hops[keep])
    cut_assets = _stops(view, reach, moment)
    return Lineage(
        view=view,
        moment=moment,
        start=view.key(asset),
        direction=direction,
        follow=follow,
        assets=assets[keep][order],
        hops=hops[keep][order],
        partly=partly[keep][order],
        stub=stub[keep][order],
        labels=labels[keep][order],
        complete=not len(cut_assets),
        frontier=tuple(sorted(view.key(each) for each in cut_assets.tolist())),
    )


def selected(lineage: Lineage, wanted: AssetFilter) -> Ints:
    """The rows of `lineage` that `wanted` selects, in order."""
    view, keep = lineage.view, np.ones(len(lineage), np.bool_)
    if wanted.kinds:
        keep &= np.isin(view.kind[lineage.assets], [KIND_CODE[kind] for kind in wanted.kinds])
    if wanted.namespaces:
        codes = [code for code, name in enumerate(view.namespaces) if name in wanted.namespaces]
        keep &= np.isin(view.namespace[lineage.assets], codes)
    if wanted.owners or wanted.tags or wanted.tiers:
        fits = [
            code
            for code, label in enumerate(view.labels)
            if (not wanted.owners or any(owner in wanted.owners for owner in label.owners))
            and (not wanted.tags or any(tag in wanted.tags for tag in label.tags))
            and (not wanted.tiers or label.tier in wanted.tiers)
        ]
        keep &= np.isin(lineage.labels, fits)
    return np.nonzero(keep)[0]


def located(view: View, key: AssetKey, moment: Moment) -> int:
    """The asset's number; for an alias that of the version it names. Raises NotFound if it was not there then."""
    number = view.number(key)
    if key.is_alias:
        versions = view.vertex_asset[_sources(view, view.whole[[number]], moment)]
        if not len(versions):
            raise NotFound(key, "named no version at that time")
        return int(versions[0])
    around = np.array([number, *view.parts_of(number)])
    if (view.label_codes(around, moment) < 0).all() and not any(has_flow(view, int(each), moment) for each in around):
        raise NotFound(key, "was not there at the time and revision asked for")
    return number


def first_vertex(view: View, asset: int, direction: Direction) -> int:
    return int((view.whole if direction is Direction.DOWNSTREAM else view.any)[asset])


def has_flow(view: View, asset: int, moment: Moment) -> bool:
    """Whether a flow is at it then: stated so, given by an alias that names it, or implied by a version that needs it."""
    ends = np.unique(np.array([view.whole[asset], view.any[asset]]))
    rows = view.holding(np.concatenate([view.down.of_many(ends), view.up.of_many(ends)]), moment)
    seen = ends
    while not (view.rows["step"][rows] & Step.FLOW).any():
        targets = view.rows["target"][rows]
        onward = np.setdiff1d(targets[_stands_in(view, targets)], seen)
        if not len(onward):
            return False
        seen = np.concatenate([seen, onward])
        rows = view.holding(view.down.of_many(onward), moment)
    return True


def allowed(view: View, follow: Follow, flows: FlowFilter | None, live_only: bool = False) -> "Allowed":
    """Which rows such a walk may take, before time is asked."""
    flows = flows or FlowFilter()
    walks = Step.VALUES if follow is Follow.VALUES else Step.LOSS
    return Allowed(
        int(walks),
        np.array([REFINES_FIRST.index(basis) for basis in flows.bases]) if flows.bases else None,
        np.array([_counts(name, flows) for name in (*view.origins, "")]) if flows.origins or flows.without else None,
        frozenset(flows.timings) or frozenset(Timing),
        live_only,
    )


def _counts(origin: str, flows: FlowFilter) -> bool:
    return origin not in flows.without and (not flows.origins or origin in flows.origins)


@dataclass(frozen=True, slots=True)
class Allowed:
    walks: int
    strengths: Ints | None
    origins: Bools | None
    timings: frozenset[Timing]
    live_only: bool

    def of(self, view: View, rows: Ints) -> Ints:
        columns = view.rows
        step = columns["step"][rows]
        keep = step & self.walks != 0
        is_flow = step & Step.FLOW != 0
        is_built = step & Step.BUILT != 0
        if self.live_only:
            keep &= ~is_built
        if Timing.LIVE not in self.timings:
            keep &= ~is_flow | is_built
        if Timing.BUILT not in self.timings:
            keep &= ~is_flow | ~is_built
        if self.strengths is not None:
            is_implied = view.vertex_port[columns["source"][rows]] == Port.REQUESTS
            strength = np.where(is_implied, REFINES_FIRST.index(Basis.INFERRED), columns["strength"][rows])
            keep &= ~is_flow | np.isin(strength, self.strengths)
        if self.origins is not None:
            keep &= ~is_flow | self.origins[columns["origin"][rows]]
        kept: Ints = rows[keep]
        return kept


def reached(
    view: View,
    starts: Ints,
    direction: Direction,
    moment: Moment,
    follow: Follow = Follow.VALUES,
    flows: FlowFilter | None = None,
    depth: int | None = None,
    blocked: Bools | None = None,
    live_only: bool = False,
) -> Reach:
    """Breadth-first from the vertices `starts`, steps before flows; never entering a `blocked` vertex.

    `live_only` also leaves out the part-of steps that are baked in, from a job to its runs. Each vertex is expanded once,
    so this is exact and linear in the edges seen.
    """
    around, near, far = (
        (view.down, "source", "target") if direction is Direction.DOWNSTREAM else (view.up, "target", "source")
    )
    may = allowed(view, follow, flows, live_only)
    near_of, far_of, step_of = view.rows[near], view.rows[far], view.rows["step"]
    hops = np.full(view.vertices, -1, np.int32)
    mark = np.empty(view.vertices, np.int32)
    if blocked is not None:
        hops[blocked] = -2
    hops[starts] = 0
    frontier, distance = starts, 0
    cut = np.empty(0, np.int64)
    while len(frontier):
        crossing: list[Ints] = []
        while len(frontier):
            rows = may.of(view, view.holding(around.of_many(frontier), moment))
            is_flow = step_of[rows] & Step.FLOW != 0
            crossing.append(rows[is_flow])
            frontier = _new(far_of[rows[~is_flow]], hops, mark)
            hops[frontier] = distance
        rows = np.concatenate(crossing)
        frontier = _new(far_of[rows], hops, mark)
        if distance == depth:
            ahead = rows[hops[far_of[rows]] == -1]
            cut = np.unique(near_of[ahead[_is_unseen(view, far_of[ahead], hops, moment)]])
            break
        distance += 1
        hops[frontier] = distance
    if blocked is not None:
        hops[hops == -2] = -1
    return Reach(hops, cut)


def assets_reached(view: View, hops: Ints, direction: Direction) -> tuple[Ints, Ints, Bools]:
    """The assets with a port among the reached vertices: number, fewest hops, and whether only `any` was reached."""
    vertices = np.nonzero(hops >= 0)[0]
    vertices = vertices[view.vertex_port[vertices] != Port.REQUESTS]
    assets = np.unique(view.vertex_asset[vertices])
    assets = assets[view.kind[assets] != ALIAS_CODE]
    whole, some = hops[view.whole[assets]], hops[view.any[assets]]
    fewest = np.where(whole < 0, some, np.where(some < 0, whole, np.minimum(whole, some)))
    return assets, fewest, (whole < 0) & (direction is Direction.DOWNSTREAM)


def effective_labels(view: View, assets: Ints, moment: Moment) -> Ints:
    """Label codes; a part without owners has its container's. -1: none."""
    codes = view.label_codes(assets, moment)
    ownerless = np.array([not label.owners for label in view.labels] + [True])
    bare = np.nonzero(ownerless[codes] & (view.container[assets] > 0))[0]
    if len(bare):
        containers, places = np.unique(view.container[assets[bare]], return_inverse=True)
        inherited = view.label_codes(containers, moment)[places]
        for place, parent in zip(bare.tolist(), inherited.tolist(), strict=True):
            if parent >= 0 and view.labels[parent].owners:
                own = view.labels[codes[place]] if codes[place] >= 0 else Label()
                codes[place] = view.label_code(own._replace(owners=view.labels[parent].owners))
    return codes


def _new(vertices: Ints, hops: Ints, mark: Ints) -> Ints:
    """Those of `vertices` not reached yet, each once."""
    vertices = vertices[hops[vertices] == -1]
    mark[vertices] = np.arange(len(vertices))
    once: Ints = vertices[mark[vertices] == np.arange(len(vertices))]
    return once


def _sources(view: View, vertices: Ints, moment: Moment) -> Ints:
    return view.rows["source"][view.holding(view.up.of_many(vertices), moment)]


def _stands_in(view: View, vertices: Ints) -> Bools:
    """Which are an alias or what requests carry: no assets, but in the place of a version, or of features."""
    kinds, ports = view.kind[view.vertex_asset[vertices]], view.vertex_port[vertices]
    stands: Bools = (kinds == ALIAS_CODE) | (ports == Port.REQUESTS)
    return stands


def _is_unseen(view: View, vertices: Ints, hops: Ints, moment: Moment) -> Bools:
    """For each vertex not reached: whether it is of an asset, or in the place of one that is not reached either."""
    unseen = ~_stands_in(view, vertices)
    for place in np.nonzero(~unseen)[0].tolist():
        seen = onward = vertices[[place]]
        while len(onward) and not unseen[place]:
            before = np.setdiff1d(_sources(view, onward, moment), seen)
            stands = _stands_in(view, before)
            unseen[place] = (hops[before[~stands]] == -1).any()
            seen, onward = np.concatenate([seen, before]), before[stands]
    return unseen


def _stops(view: View, reach: Reach, moment: Moment) -> Ints:
    """The assets whose flows a depth limit left unfollowed."""
    vertices, seen = reach.cut, reach.cut
    while (stands := _stands_in(view, vertices)).any():
        before = _sources(view, vertices[stands], moment)
        onward = np.setdiff1d(before[reach.hops[before] >= 0], seen)
        seen = np.concatenate([seen, onward])
        vertices = np.concatenate([vertices[~stands], onward])
    return np.unique(view.vertex_asset[vertices])


def _in_order(view: View, assets: Ints, hops: Ints) -> Ints:
    """Rows by hops, then by the keys' text."""
    if len(assets) < _RANKED_FROM:
        keys, numbers, distances = view.keys, assets.tolist(), hops.tolist()
        order = sorted(range(len(numbers)), key=lambda row: (distances[row], keys[numbers[row]]))
        return np.array(order, np.int64)
    return np.lexsort((view.ranks(view.assets)[assets], hops))


_RANKED_FROM = 2_000
"""Below that sorting texts is faster than asking for the ranks of all keys, which the first large answer computes."""
