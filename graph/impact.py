"""When a change is felt: now, at the next training, or only in what nobody uses any more."""

import re
from enum import IntEnum
from functools import lru_cache

import numpy as np

from graph.keys import AssetKind
from graph.networks import distinct
from graph.ports import Step
from graph.topology import ALIAS_CODE, KIND_CODE, Bools, Ints, Moment, View
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
    blocked = distinct(np.concatenate([view.whole[historic], view.any[historic]]))
    when = np.full(view.vertices, _NEVER, np.int8)
    if depth is None:
        _felt_beside(when, lineage, blocked, flows)
    else:
        _felt_within(when, lineage, blocked, flows, depth)
    felt: Ints = np.minimum(when[view.whole[lineage.assets]], when[view.any[lineage.assets]])
    return felt


_NEVER = len(When)
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
    downstream = direction is Direction.DOWNSTREAM
    around, near, far = (view.up, "source", "target") if downstream else (view.down, "target", "source")
    rows = may.of(view, view.holding(around.of_many(behind), moment))
    entered, by, built = view.rows[far][rows], when[view.rows[near][rows]], view.rows["step"][rows] & Step.BUILT != 0
    when[behind] = np.where(before == _NEVER, _NEVER, When.HISTORIC)
    first = first_vertex(view, view.number(lineage.start), direction)
    inside = behind[~np.isin(behind, blocked)]
    for felt, enters in ((When.NEXT_TRAINING, by != _NEVER), (When.NOW, (by == When.NOW) & ~built)):
        starts = np.append(entered[enters], first)
        starts = distinct(starts[np.isin(starts, inside)])
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
    with walking(view, distinct(view.whole[old]), Direction.DOWNSTREAM, moment) as below:
        assets, _, _ = below.assets()
        between = below.order.copy()
    candidates = assets[_is_run_or_version(view, assets)]
    others = candidates[~np.isin(candidates, parts)]
    current = np.concatenate([parts[is_current], others[_current(view, others, moment)]])
    current = current[np.isin(view.any[current], between)]
    if len(current):
        with walking(view, distinct(view.any[current]), Direction.UPSTREAM, moment, within=between) as above:
            old = old[~above.reaches(old)]
    history: Ints = old[old != start]
    return history


def _is_run_or_version(view: View, assets: Ints) -> Bools:
    return np.isin(view.kind[assets], [KIND_CODE[AssetKind.RUN], KIND_CODE[AssetKind.MODEL_VERSION]])


def _current(view: View, assets: Ints, moment: Moment) -> Bools:
    """Newest of its job or model, served, or named by an alias."""
    return _newest(view, assets, moment) | _served_or_named(view, assets, moment)


def _newest(view: View, assets: Ints, moment: Moment) -> Bools:
    """Which are the newest part of their container: by birth among those asserted then, else by name."""
    parts = view.parts_of_many(np.flatnonzero(np.bincount(view.container[assets])))
    asserted = view.label_codes(parts, moment) >= 0
    by_name = ~np.isin(view.container[parts], view.container[parts[asserted]])  # where all are stubs, only names tell
    by_name[by_name] = have_flows(view, parts[by_name], moment)
    births = np.zeros(len(parts), np.int64)
    births[asserted] = view.births(parts[asserted], moment)
    parts, births = parts[asserted | by_name], births[asserted | by_name]
    order = np.lexsort((births, view.container[parts]))
    parts, births, containers = parts[order], births[order], view.container[parts[order]]
    last = np.append(np.flatnonzero(containers[1:] != containers[:-1]), len(parts) - 1) if len(parts) else order
    latest = births[last][np.searchsorted(containers[last], containers)]
    newest = np.flatnonzero(births == latest)
    alone = np.bincount(containers[newest], minlength=1)[containers[newest]] == 1
    chosen = parts[newest[alone]].tolist()
    tied: dict[int, list[int]] = {}
    for place in newest[~alone].tolist():
        tied.setdefault(int(containers[place]), []).append(int(parts[place]))
    chosen += [_last_by_name(view, among) for among in tied.values()]
    found: Bools = np.isin(assets, chosen)
    return found


def _last_by_name(view: View, parts: list[int]) -> int:
    """`parts` are of one container."""
    return max(parts, key=lambda part: _natural(view.keys[part].rpartition("#")[2]))


@lru_cache(maxsize=65_536)
def _natural(text: str) -> tuple[tuple[int, str], ...]:
    """Sorts `10` after `9`: the tie-breaker for versions registered at the same instant."""
    return tuple((int(part or 0), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", text))


def _served_or_named(view: View, assets: Ints, moment: Moment) -> Bools:
    rows = view.holding(view.down.of_many(view.whole[assets]), moment)
    targets = view.kind[view.vertex_asset[view.rows["target"][rows]]]
    used = rows[(targets == ALIAS_CODE) | (targets == KIND_CODE[AssetKind.DEPLOYMENT])]
    found: Bools = np.isin(view.whole[assets], view.rows["source"][used])
    return found
