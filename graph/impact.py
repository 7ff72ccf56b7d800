"""When a change is felt: now, at the next training, or only in what nobody uses any more."""

import re
from enum import IntEnum
from functools import lru_cache

import numpy as np

from graph import kernels
from graph.keys import AssetKind
from graph.networks import distinct
from graph.ports import Step
from graph.topology import KINDS, Bools, Ints, Moment, View
from graph.walk import Direction, FlowFilter, Lineage, first_vertex, have_flows, walking


class When(IntEnum):
    NOW = 0
    """Some path is all LIVE."""
    NEXT_TRAINING = 1
    """Reached, but every path has a BUILT flow."""
    HISTORIC = 2
    """Reached only through a run or version that is neither the newest of its job or model, nor served, nor named by
    an alias, nor an ancestor of one that is."""


def when_felt(lineage: Lineage, flows: FlowFilter | None = None, depth: int | None = None) -> Ints:
    """A `When` for each row of `lineage`; `flows` and `depth` as the walk was asked with."""
    view = lineage.view
    historic = _historic(view, lineage, view.number(lineage.start))
    blocked = _vertices(view, historic)
    when = np.full(view.vertices, _NEVER, np.int8)
    if depth is None:
        _felt_beside(when, lineage, blocked, flows)
    else:
        _felt_within(when, lineage, blocked, flows, depth)
    felt: Ints = kernels.soonest(lineage.assets, view.whole, view.any, when)
    return felt


_NEVER, _BLOCKED = len(When), len(When) + 1
_LATE = np.array([When.NOW, When.NEXT_TRAINING], np.int8)


def _felt_beside(when: Ints, lineage: Lineage, blocked: Ints, flows: FlowFilter | None) -> None:
    """Writes for each vertex reached when it is felt there, of ways that meet no `blocked` one.

    What lies beyond those is looked at again, from where it is entered: of all else the walk has told it.
    """
    view, moment, direction = lineage.view, lineage.moment, lineage.direction
    when[lineage.vertices] = _LATE[lineage.states & 1]
    if not len(blocked):
        return
    with walking(view, blocked, direction, moment, lineage.follow, flows) as beyond:
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
    first = first_vertex(view, view.number(lineage.start), direction)
    from_start = np.array([first] if first in inside else [], inside.dtype)
    for felt, enters in ((When.NEXT_TRAINING, by != _NEVER), (When.NOW, (by == When.NOW) & ~built)):
        starts = distinct(np.concatenate([entered[enters], from_start]))
        live_only = felt is When.NOW
        asked = view, starts, direction, moment, lineage.follow, flows
        with walking(*asked, within=inside, live_only=live_only) as again:
            when[again.order] = felt


def _felt_within(when: Ints, lineage: Lineage, blocked: Ints, flows: FlowFilter | None, depth: int) -> None:
    """The same where a limit of depth counts on every way."""
    view = lineage.view
    first = np.array([first_vertex(view, view.number(lineage.start), lineage.direction)])
    asked = view, first, lineage.direction, lineage.moment, lineage.follow, flows, depth
    when[lineage.vertices] = When.HISTORIC
    for felt in (When.NEXT_TRAINING, When.NOW):
        with walking(*asked, blocked=blocked, live_only=felt is When.NOW) as walked:
            when[walked.order] = felt


def _historic(view: View, lineage: Lineage, start: int) -> Ints:
    """The runs and versions of the answer that only history holds; never the start itself."""
    moment = lineage.moment
    reached_too = np.array(view.parts_of(start), lineage.assets.dtype)  # though the parts of the start are not counted
    assets = np.concatenate([lineage.assets, reached_too])
    parts = assets[_is_run_or_version(view, assets)]
    is_current = _current(view, parts, moment)
    old = parts[~is_current]
    if not len(old):
        return old
    # Of those, an ancestor of a current run or version is not history. Whatever is between them is downstream of the old.
    among = np.zeros(view.assets, np.bool_)
    among[parts] = True
    with walking(view, view.whole[old], Direction.DOWNSTREAM, moment) as below:
        between = below.order.copy()
        assets = view.vertex_asset[between]
        others = np.unique(assets[_is_run_or_version(view, assets) & ~among[assets]])
        current = np.concatenate([parts[is_current], others[_current(view, others, moment)]])
        current = current[below.state[view.any[current]] >= 0]
    if len(current):
        with walking(view, view.any[current], Direction.UPSTREAM, moment, within=between) as above:
            old = old[~above.reaches(old)]
    history: Ints = old[old != start]
    return history


def _vertices(view: View, assets: Ints) -> Ints:
    """Those of distinct assets, each once."""
    whole, some = view.whole[assets], view.any[assets]
    return np.concatenate([whole, some[some != whole]])


_RUN_OR_VERSION = np.array([kind in (AssetKind.RUN, AssetKind.MODEL_VERSION) for kind in (*KINDS, None)])
_USED_BY = np.array([kind in (AssetKind.DEPLOYMENT, None) for kind in (*KINDS, None)])
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
