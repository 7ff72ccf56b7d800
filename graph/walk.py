"""Walks over the lineage index: what is downstream or upstream of an asset, how far, and why the walk stopped."""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from graph import kernels
from graph.errors import NotFound
from graph.keys import AssetKey, AssetKind
from graph.model import REFINES_FIRST, Basis, Timing
from graph.ports import Port, Step
from graph.same import NONE, Groups, folded, groups_at
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
    """The vertices reached, nearest first, and the fewest hops to each."""

    vertices: Ints
    hops: Ints


class Met(NamedTuple):
    """What a walk from an asset met, by vertices."""

    view: View
    moment: Moment
    start: AssetKey
    direction: Direction
    follow: Follow
    flows: FlowFilter | None
    depth: int | None
    vertices: Ints
    """Nearest first, those of the start too."""
    states: Ints
    """Of each of `vertices`: twice the hops, plus one unless some path there is live throughout."""

    @property
    def first(self) -> int:
        """The vertex where it began."""
        return first_vertex(self.view, self.view.number(self.start), self.direction)


@dataclass(frozen=True, slots=True)
class Lineage:
    """The answer of a walk: columns of equal length, nearest first, then in the order of the keys' text.

    `start`, its parts and its container are not among the assets. `hops` counts flows only. `partly`: some of the asset
    is reached, not all of it. `stub`: known only as the end of a flow, nobody says what it is.
    """

    met: Met
    assets: Ints
    hops: Ints
    partly: Bools
    labels: Ints
    """What each itself is labelled; -1 for stubs."""
    owners: Ints
    """Of each the place among the view's owners: its own, or its container's where a part has none; 0 for nobody."""
    complete: bool
    frontier: tuple[AssetKey, ...]
    """Where a depth limit stopped the walk; empty when complete."""

    @property
    def stub(self) -> Bools:
        stubs: Bools = self.labels < 0
        return stubs

    @property
    def view(self) -> View:
        return self.met.view

    @property
    def moment(self) -> Moment:
        return self.met.moment

    @property
    def start(self) -> AssetKey:
        return self.met.start

    @property
    def direction(self) -> Direction:
        return self.met.direction

    @property
    def follow(self) -> Follow:
        return self.met.follow

    def __len__(self) -> int:
        return len(self.assets)

    def key(self, row: int) -> AssetKey:
        return self.view.key(int(self.assets[row]))

    def keys(self) -> list[AssetKey]:
        return [self.view.key(asset) for asset in self.assets.tolist()]

    def names(self) -> dict[AssetKey, list[AssetKey]]:
        """Of all in it that have several keys, and of the start: the others, in order."""
        groups, view = groups_at(self.view, self.moment), self.view
        if not groups:
            return {}
        assets = np.append(self.assets, view.number(self.start))
        shown = assets[groups.are_some(assets)].tolist()
        named = {view.key(each): sorted(map(view.key, groups.of(each)[1:]), key=str) for each in shown}
        return {key: named[key] for key in sorted(named, key=str)}

    def kind(self, row: int) -> AssetKind:
        return KINDS[int(self.view.kind[self.assets[row]])]

    def label(self, row: int) -> Label:
        code = int(self.labels[row])
        own = self.view.labels[code] if code >= 0 else Label()
        return own._replace(owners=self.view.owners[self.owners[row]])


def walk(
    view: View,
    start: AssetKey,
    direction: Direction,
    moment: Moment,
    follow: Follow = Follow.VALUES,
    flows: FlowFilter | None = None,
    depth: int | None = None,
    meeting: Callable[[Met], None] | None = None,
) -> Lineage:
    """Everything up- or downstream of `start`, to the end of every path or to `depth` flows away.

    An alias starts at the version that it named then. Raises NotFound when `start` was not there at that moment.
    `meeting` is told what was met before that is sorted out by assets.
    """
    asset = located(view, start, moment)
    groups = groups_at(view, moment)
    start = view.key(asset) if start.is_alias or groups is not NONE else start
    first = np.array([first_vertex(view, asset, direction)])
    with walking(view, first, direction, moment, follow, flows, depth) as walked:
        vertices = walked.order.copy()
        met = Met(view, moment, start, direction, follow, flows, depth, vertices, walked.state.take(vertices))
        if meeting is not None:
            meeting(met)
        assets, hops, partly = walked.assets(asset)
        stopped = walked.stopped()
    if groups is not NONE:
        others = _besides(view, groups, assets, asset)
        assets, hops, partly, stopped = assets[others], hops[others], partly[others], np.unique(groups.shown(stopped))
    labels, owners, unsaid = view.labelled(assets, moment)
    if unsaid or groups is not NONE:
        sure = (labels >= 0) | (view.container[assets] <= 0)
        sure[~sure] = have_flows(view, assets[~sure], moment)  # a step leads to each part that ever was
        if groups is not NONE:
            view, assets, labels, owners, sure = folded(view, groups, assets, labels, owners, sure)
            met = met._replace(view=view)
        assets, hops, partly, labels, owners = assets[sure], hops[sure], partly[sure], labels[sure], owners[sure]
    places = view.nearest_first(assets, hops)
    assets, hops, partly, labels, owners = kernels.taken(places, assets, hops, partly, labels, owners)
    return Lineage(
        met=met,
        assets=assets,
        hops=hops,
        partly=partly,
        labels=labels,
        owners=owners,
        complete=not len(stopped),
        frontier=tuple(sorted(view.key(each) for each in stopped.tolist())),
    )


def _besides(view: View, groups: Groups, assets: Ints, start: int) -> Bools:
    """Which of the assets are not the same as the start, as its container or as a part of it."""
    shown, around = groups.shown(assets), view.container[start] or -1
    others: Bools = (shown != start) & (shown != around) & (view.container[shown] != start)
    return others


def selected(lineage: Lineage, wanted: AssetFilter) -> Ints:
    """The rows of `lineage` that `wanted` selects, in order."""
    view, keep = lineage.view, np.ones(len(lineage), np.bool_)
    if wanted.kinds:
        keep &= np.isin(view.kind[lineage.assets], [KIND_CODE[kind] for kind in wanted.kinds])
    if wanted.namespaces:
        codes = [code for code, name in enumerate(view.namespaces) if name in wanted.namespaces]
        keep &= np.isin(view.namespace[lineage.assets], codes)
    if wanted.owners:
        owners = set(wanted.owners)
        keep &= np.array([not owners.isdisjoint(names) for names in view.owners])[lineage.owners]
    if wanted.tags or wanted.tiers:
        tags = set(wanted.tags)
        fits = [
            (not tags or not tags.isdisjoint(label.tags)) and (not wanted.tiers or label.tier in wanted.tiers)
            for label in (*view.labels, Label())  # the last is -1, that of stubs
        ]
        keep &= np.array(fits)[lineage.labels]
    return np.nonzero(keep)[0]


def located(view: View, key: AssetKey, moment: Moment) -> int:
    """The asset's number; for an alias that of the version it names, for one of several that are the same that of the one shown.

    Raises NotFound if it was not there then.
    """
    number = view.number(key)
    if key.is_alias:
        versions = view.vertex_asset[_sources(view, view.whole[[number]], moment)]
        if not len(versions):
            raise NotFound(key, "named no version at that time")
        return int(versions[0])
    groups = groups_at(view, moment)
    same = [number] if groups is NONE else groups.of(number)
    number = same[0]
    if view.is_surely_said(number, moment) or view.label_codes(np.array([number]), moment)[0] >= 0:
        return number
    around = np.concatenate([same, view.parts_of_many(np.array(same))])
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


def have_flows(view: View, assets: Ints, moment: Moment) -> Bools:
    """`has_flow` of each."""
    down, past = view.around(True, moment)
    up, _ = view.around(False, moment)
    found: Bools = kernels.have_flows(
        assets.astype(np.int32, copy=False),
        view.whole,
        view.any,
        past,
        *moment,
        view.row_count,
        view.times,
        view.rows["step"],
        *(down.bounds, down.row, down.flags, down.following),
        *(up.bounds, up.row, up.flags, up.following),
        down.base,
    )
    for place in np.nonzero(~found & np.isin(view.kind[assets], _STOOD_IN_FOR))[0].tolist():
        found[place] = has_flow(view, int(assets[place]), moment)
    return found


_STOOD_IN_FOR = [KIND_CODE[kind] for kind in (AssetKind.MODEL_VERSION, AssetKind.FEATURE)]
"""The parts whose flows may leave from an alias, or from what requests must carry."""


def allowed(view: View, follow: Follow, flows: FlowFilter | None, live_only: bool = False) -> "Allowed":
    """Which rows such a walk may take, before time is asked."""
    if flows is None or flows == _EVERY_FLOW:
        return _unfiltered(follow, live_only)
    return Allowed(
        follow,
        sum(1 << REFINES_FIRST.index(basis) for basis in {*flows.bases}) or _EVERY_STRENGTH,
        np.array([_counts(name, flows) for name in (*view.origins, "")]) if flows.origins or flows.without else None,
        frozenset(flows.timings) or frozenset(Timing),
        live_only,
    )


_EVERY_FLOW = FlowFilter()
_EVERY_STRENGTH = (1 << len(REFINES_FIRST)) - 1


@lru_cache
def _unfiltered(follow: Follow, live_only: bool) -> "Allowed":
    return Allowed(follow, _EVERY_STRENGTH, None, frozenset(Timing), live_only)


def _counts(origin: str, flows: FlowFilter) -> bool:
    return origin not in flows.without and (not flows.origins or origin in flows.origins)


@dataclass(frozen=True, slots=True)
class Allowed:
    follow: Follow
    strengths: int
    """A bit for each index into REFINES_FIRST."""
    origins: Bools | None
    timings: frozenset[Timing]
    live_only: bool

    @property
    def take(self) -> Ints:
        """By the bits of a row's step: whether it is left, taken for nothing, or crossed as a hop."""
        return _take(self.follow, self.timings, self.live_only)

    @property
    def asks_rows(self) -> bool:
        """Whether the step alone does not tell."""
        return self.origins is not None or self.strengths != _EVERY_STRENGTH

    def of(self, view: View, rows: Ints) -> Ints:
        columns = view.rows
        how = self.take[columns["step"][rows]]
        keep = how != kernels.PASS
        if self.asks_rows:
            is_implied = view.vertex_port[columns["source"][rows]] == Port.REQUESTS
            strength = np.where(is_implied, REFINES_FIRST.index(Basis.INFERRED), columns["strength"][rows])
            chosen = self.strengths >> strength & 1 != 0
            if self.origins is not None:
                chosen &= self.origins[columns["origin"][rows]]
            keep &= chosen | (how == kernels.STEP)
        kept: Ints = rows[keep]
        return kept


@lru_cache
def _take(follow: Follow, timings: frozenset[Timing], live_only: bool) -> Ints:
    walks = Step.VALUES if follow is Follow.VALUES else Step.LOSS
    take = np.zeros(kernels.CHECK, np.uint8)
    for bits in range(kernels.CHECK):
        timing = Timing.BUILT if bits & Step.BUILT else Timing.LIVE
        if bits & walks and not (live_only and timing is Timing.BUILT):
            if not bits & Step.FLOW:
                take[bits] = kernels.STEP
            elif timing in timings:
                take[bits] = kernels.CROSS
    return take


class _Scratch:
    """What one walk at a time writes on. Between walks all of `state` is `blank`."""

    def __init__(self, vertices: int, blank: int) -> None:
        self.blank = blank
        self.state = np.full(vertices, blank, np.int32)
        self.order, self.ahead, self.again = (np.empty(vertices, np.int32) for _ in range(3))


_UNREACHED, _FORBIDDEN = -1, -2
_idle: dict[int, list[_Scratch]] = {_UNREACHED: [], _FORBIDDEN: []}
_IDLE_AT_MOST = 4


def _scratch(vertices: int, blank: int) -> _Scratch:
    try:
        found = _idle[blank].pop()
    except IndexError:
        found = None
    if found is None or len(found.state) < vertices:
        found = _Scratch(vertices + vertices // 8 + 1024, blank)
    return found


class Walked(NamedTuple):
    """A walk that has ended, while its scratch is still there."""

    view: View
    direction: Direction
    moment: Moment
    may: Allowed
    depth: int | None
    order: Ints
    """The vertices reached, nearest first."""
    state: Ints
    """By vertex, as `kernels.breadth_first` leaves it; below 0: not reached."""
    level: int
    """From which place in `order` on they are farthest."""

    def assets(self, start: int) -> tuple[Ints, Ints, Bools]:
        """The assets with a port that was reached: number, fewest hops, and whether only `any` was.

        Without `start`, its parts and its container.
        """
        view, downstream = self.view, self.direction is Direction.DOWNSTREAM
        columns = view.kind, view.container, view.whole, view.any, ALIAS_CODE
        found: tuple[Ints, Ints, Bools] = (
            kernels.assets_reached(view.assets, self.state, start, downstream, *columns)
            if len(self.order) > view.vertices // _DENSE
            else kernels.assets_among(
                self.order, self.state, start, downstream, view.vertex_asset, view.vertex_port, *columns
            )
        )
        return found

    def reaches(self, assets: Ints) -> Bools:
        """Which of `assets` have a port that was reached."""
        found: Bools = kernels.are_reached(
            assets.astype(np.int32, copy=False), self.state, self.view.whole, self.view.any
        )
        return found

    def reach(self) -> Reach:
        return Reach(self.order.copy(), self.state[self.order] >> 1)

    def stopped(self) -> Ints:
        """The assets whose flows the depth limit left unfollowed."""
        farthest = self.order[self.level :]
        if self.depth is None or not len(farthest) or self.state[farthest[0]] >> 1 < self.depth:
            return np.empty(0, np.int32)
        view, downstream = self.view, self.direction is Direction.DOWNSTREAM
        around, near, far = (view.down, "source", "target") if downstream else (view.up, "target", "source")
        rows = self.may.of(view, view.holding(around.of_many(farthest), self.moment))
        rows = rows[view.rows["step"][rows] & Step.FLOW != 0]
        ahead = rows[self.state[view.rows[far][rows]] == _UNREACHED]
        cut = np.unique(view.rows[near][ahead[_is_unseen(view, view.rows[far][ahead], self.state, self.moment)]])
        return _stops(view, cut, self.state, self.moment)


_DENSE = 16
"""From this share of all vertices on it is faster to look through all assets than at those reached."""


@contextmanager
def walking(
    view: View,
    starts: Ints,
    direction: Direction,
    moment: Moment,
    follow: Follow = Follow.VALUES,
    flows: FlowFilter | None = None,
    depth: int | None = None,
    *,
    blocked: Ints | None = None,
    within: Ints | None = None,
    live_only: bool = False,
) -> Iterator[Walked]:
    """Breadth-first from the vertices `starts`, steps before flows; never entering `blocked` vertices, or any but `within`.

    `live_only` also leaves out the part-of steps that are baked in, from a job to its runs. Each vertex is expanded once,
    so this is exact and linear in the edges seen.
    """
    may = allowed(view, follow, flows, live_only)
    around, past = view.around(direction is Direction.DOWNSTREAM, moment)
    scratch = _scratch(view.vertices, _UNREACHED if within is None else _FORBIDDEN)
    state, rows = scratch.state, view.rows
    set_apart = blocked if within is None else within
    if set_apart is not None:
        state[set_apart] = _FORBIDDEN if within is None else _UNREACHED
    found, level = kernels.breadth_first(
        starts.astype(np.int32, copy=False),
        _NO_LIMIT if depth is None else depth,
        past,
        *moment,
        may.take,
        may.asks_rows,
        may.strengths,
        _EVERY_ORIGIN if may.origins is None else may.origins,
        around.bounds,
        around.far,
        around.row,
        around.flags,
        around.following,
        around.base,
        view.row_count,
        view.times,
        rows["target" if direction is Direction.DOWNSTREAM else "source"],
        rows["step"],
        rows["source"],
        view.vertex_port,
        rows["strength"],
        rows["origin"],
        state,
        scratch.order,
        scratch.ahead,
        scratch.again,
    )
    order = scratch.order[:found]
    try:
        yield Walked(view, direction, moment, may, depth, order, state, level)
    finally:
        kernels.forget(order, state, scratch.blank)
        if set_apart is not None:
            state[set_apart] = scratch.blank
        if len(_idle[scratch.blank]) < _IDLE_AT_MOST:
            _idle[scratch.blank].append(scratch)


_NO_LIMIT = 2**31 - 1
_EVERY_ORIGIN = np.zeros(0, np.bool_)


def reached(
    view: View,
    starts: Ints,
    direction: Direction,
    moment: Moment,
    follow: Follow = Follow.VALUES,
    flows: FlowFilter | None = None,
    depth: int | None = None,
) -> Reach:
    """What `walking` reaches, for those who need no more."""
    with walking(view, starts, direction, moment, follow, flows, depth) as walked:
        return walked.reach()


def _sources(view: View, vertices: Ints, moment: Moment) -> Ints:
    return view.rows["source"][view.holding(view.up.of_many(vertices), moment)]


def _stands_in(view: View, vertices: Ints) -> Bools:
    """Which are an alias or what requests carry: no assets, but in the place of a version, or of features."""
    kinds, ports = view.kind[view.vertex_asset[vertices]], view.vertex_port[vertices]
    stands: Bools = (kinds == ALIAS_CODE) | (ports == Port.REQUESTS)
    return stands


def _is_unseen(view: View, vertices: Ints, state: Ints, moment: Moment) -> Bools:
    """For each vertex not reached: whether it is of an asset, or in the place of one that is not reached either."""
    unseen = ~_stands_in(view, vertices)
    for place in np.nonzero(~unseen)[0].tolist():
        seen = onward = vertices[[place]]
        while len(onward) and not unseen[place]:
            before = np.setdiff1d(_sources(view, onward, moment), seen)
            stands = _stands_in(view, before)
            unseen[place] = (state[before[~stands]] == -1).any()
            seen, onward = np.concatenate([seen, before]), before[stands]
    return unseen


def _stops(view: View, vertices: Ints, state: Ints, moment: Moment) -> Ints:
    """The assets of these vertices; for what stands in the place of another, those in whose place it does."""
    seen = vertices
    while (stands := _stands_in(view, vertices)).any():
        before = _sources(view, vertices[stands], moment)
        onward = np.setdiff1d(before[state[before] >= 0], seen)
        seen = np.concatenate([seen, onward])
        vertices = np.concatenate([vertices[~stands], onward])
    return np.unique(view.vertex_asset[vertices])
