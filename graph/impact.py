"""When a change is felt: now, at the next training, or only in what nobody uses any more."""

import re
from collections.abc import Callable
from dataclasses import replace
from enum import IntEnum
from functools import lru_cache

import numpy as np

from graph import kernels
from graph.keys import AssetKind
from graph.networks import distinct
from graph.ports import Port, Step
from graph.topology import Bools, Ints, Moment, View, kinds_mask
from graph.usage import is_dormant
from graph.walk import Direction, FlowFilter, Lineage, Met, allowed, have_flows, walking


class When(IntEnum):
    NOW = 0
    """Some path is all LIVE."""
    NEXT_TRAINING = 1
    """Reached, but every path has a BUILT flow."""
    HISTORIC = 2
    """Reached only through a run or version that is neither the newest of its job or model, nor served, nor named by
    an alias, nor an ancestor of one that is; or only through calls that were not seen for long (`usage.dormant`)."""


def when_felt(lineage: Lineage, felt: Ints | None = None) -> Ints:
    """A `When` for each row of `lineage`; `felt` is `felt_at` if that is known already."""
    view = lineage.view
    found: Ints = kernels.soonest(lineage.assets, view.whole, view.any, felt_at(lineage.met) if felt is None else felt)
    return found


def felt_at(met: Met, historic: Callable[[], Bools] | None = None) -> Ints:
    """By vertex a `When`; what it holds for those not met says nothing.

    `historic` gives what `all_historic` does, if that is known already.
    """
    view = met.view
    if _meets_dormant(met):
        awake = _awake(met)
        when = felt_at(awake, historic)
        asleep = np.full(view.vertices, True)
        asleep[awake.vertices] = False
        slept = met.vertices[asleep[met.vertices]]
        when[slept] = When.HISTORIC
        return when
    assets = view.vertex_asset[met.vertices[view.vertex_port[met.vertices] == Port.WHOLE]]
    old = assets[historic()[assets]] if historic else historic_among(view, assets, met.moment)
    blocked = vertices_of(view, old[old != view.number(met.start)])
    when = np.full(view.vertices, _NEVER, np.int8)
    if met.depth is None:
        _felt_beside(when, met, blocked)
    else:
        _felt_within(when, met, blocked)
    return when


def _meets_dormant(met: Met) -> bool:
    """Whether the walk took flows that nobody was seen to use for long."""
    view, may = met.view, allowed(met.view, met.follow, met.flows)
    asleep = [number for number, name in enumerate(view.origins) if is_dormant(name)]
    if not asleep:
        return False
    rows = np.flatnonzero(np.isin(view.rows["origin"][: view.row_count], asleep))
    held = may.of(view, view.holding(rows, met.moment))
    is_met = np.zeros(view.vertices, np.bool_)
    is_met[met.vertices] = True
    return bool((is_met[view.rows["source"][held]] & is_met[view.rows["target"][held]]).any())


def _awake(met: Met) -> Met:
    """What the same walk meets without them."""
    flows = met.flows or FlowFilter()
    flows = replace(flows, without=(*flows.without, *filter(is_dormant, met.view.origins)))
    asked = met.view, np.array([met.first]), met.direction, met.moment, met.follow, flows, met.depth
    with walking(*asked) as walked:
        order = walked.order.copy()
        return met._replace(flows=flows, vertices=order, states=walked.state[order].copy())


_NEVER, _BLOCKED = len(When), len(When) + 1
_LATE = np.array([When.NOW, When.NEXT_TRAINING], np.int8)


def _felt_beside(when: Ints, met: Met, blocked: Ints) -> None:
    """Writes for each vertex met when it is felt there, of ways that meet no `blocked` one.

    What lies beyond those is looked at again, from where it is entered: of all else the walk has told it.
    """
    view, moment, direction = met.view, met.moment, met.direction
    when[met.vertices] = _LATE[met.states & 1]
    if not len(blocked):
        return
    with walking(view, blocked, direction, moment, met.follow, met.flows) as beyond:
        behind = beyond.order.copy()
        may = beyond.may
    before = when[behind]
    when[behind] = _NEVER  # while those outside are told by what they are
    when[blocked] = _BLOCKED
    inside = behind[when[behind] != _BLOCKED]
    when[blocked] = _NEVER
    downstream = direction is Direction.DOWNSTREAM
    around, near, far = (view.up, "source", "target") if downstream else (view.down, "target", "source")
    rows = may.of(view, view.holding(around.of_many(inside), moment))
    entered, by, built = view.rows[far][rows], when[view.rows[near][rows]], view.rows["step"][rows] & Step.BUILT != 0
    when[behind] = np.where(before == _NEVER, _NEVER, When.HISTORIC)
    from_start = inside[inside == met.first]
    for felt, enters in ((When.NEXT_TRAINING, by != _NEVER), (When.NOW, (by == When.NOW) & ~built)):
        starts = distinct(np.concatenate([entered[enters], from_start]))
        live_only = felt is When.NOW
        asked = view, starts, direction, moment, met.follow, met.flows
        with walking(*asked, within=inside, live_only=live_only) as again:
            when[again.order] = felt


def _felt_within(when: Ints, met: Met, blocked: Ints) -> None:
    """The same where a limit of depth counts on every way."""
    asked = met.view, np.array([met.first]), met.direction, met.moment, met.follow, met.flows, met.depth
    when[met.vertices] = When.HISTORIC
    for felt in (When.NEXT_TRAINING, When.NOW):
        with walking(*asked, blocked=blocked, live_only=felt is When.NOW) as walked:
            when[walked.order] = felt


def all_historic(view: View, moment: Moment) -> Bools:
    """By asset whether it is a run or a version that only history holds."""
    parts = np.flatnonzero(_is_run_or_version(view, np.arange(view.assets)))
    in_use = _current(view, parts, moment)
    with walking(view, view.any[parts[in_use]], Direction.UPSTREAM, moment) as above:
        is_old = ~(in_use | above.reaches(parts))
    found = np.zeros(view.assets, np.bool_)
    found[parts[is_old]] = True
    return found


def historic_among(view: View, assets: Ints, moment: Moment) -> Ints:
    """Those of `assets` that `all_historic` tells."""
    parts: Ints = assets[_is_run_or_version(view, assets)]
    in_use = _current(view, parts, moment)
    old: Ints = parts[~in_use]
    if not len(old):
        return old
    # Of those, an ancestor of a current run or version is not history. Whatever is between them is downstream of the old.
    among = np.zeros(view.assets, np.bool_)
    among[parts] = True
    with walking(view, view.whole[old], Direction.DOWNSTREAM, moment) as below:
        between = below.order.copy()
        assets = view.vertex_asset[between]
        others = np.unique(assets[_is_run_or_version(view, assets) & ~among[assets]])
        used = np.concatenate([parts[in_use], others[_current(view, others, moment)]])
        used = used[below.state[view.any[used]] >= 0]
    if len(used):
        with walking(view, view.any[used], Direction.UPSTREAM, moment, within=between) as above:
            old = old[~above.reaches(old)]
    return old


def vertices_of(view: View, assets: Ints) -> Ints:
    """Those of distinct assets, each once."""
    whole, some = view.whole[assets], view.any[assets]
    return np.concatenate([whole, some[some != whole]])


_RUN_OR_VERSION = kinds_mask((AssetKind.RUN, AssetKind.MODEL_VERSION))
_USED_BY = kinds_mask((AssetKind.DEPLOYMENT, None))
"""By kind; the last is that of aliases."""


def _is_run_or_version(view: View, assets: Ints) -> Bools:
    return _RUN_OR_VERSION[view.kind[assets]]


def _current(view: View, assets: Ints, moment: Moment) -> Bools:
    """Newest of its job or model, served, or named by an alias."""
    down, past = view.around(True, moment)
    used: Bools = kernels.lead_to(
        view.whole[assets],
        _USED_BY,
        past,
        *moment,
        down.bounds,
        down.far,
        down.row,
        down.flags,
        down.following,
        down.base,
        view.row_count,
        view.times,
        view.rows["target"],
        view.rows["step"],
        view.vertex_asset,
        view.kind,
    )
    is_newest = np.zeros(view.assets, np.bool_)
    is_newest[_newest(view, assets[~used], moment)] = True
    return used | is_newest[assets]


def _newest(view: View, assets: Ints, moment: Moment) -> Ints:
    """The newest parts of their containers: by birth among those asserted then, else by name."""
    holders = np.zeros(view.assets, np.bool_)
    holders[view.container[assets]] = True
    newest, without = view.newest_parts(np.flatnonzero(holders), moment)
    stubs = view.parts_of_many(without)  # where all are stubs, only names tell
    newest = np.concatenate([newest, stubs[have_flows(view, stubs, moment)]])
    containers = view.container[newest]
    alone = np.bincount(containers, minlength=1)[containers] == 1
    tied: dict[int, list[int]] = {}
    for part, container in zip(newest[~alone].tolist(), containers[~alone].tolist(), strict=True):
        tied.setdefault(container, []).append(part)
    by_name = [_last_by_name(view, among) for among in tied.values()]
    return np.concatenate([newest[alone], np.array(by_name, newest.dtype)])


def _last_by_name(view: View, parts: list[int]) -> int:
    """`parts` are of one container."""
    return max(parts, key=lambda part: _natural(view.keys[part].rpartition("#")[2]))


@lru_cache(maxsize=65_536)
def _natural(text: str) -> tuple[tuple[int, str], ...]:
    """Sorts `10` after `9`: the tie-breaker for versions registered at the same instant."""
    return tuple((int(part or 0), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", text))
