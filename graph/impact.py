"""When a change is felt: now, at the next training, or only in what nobody uses any more."""

import re
from enum import IntEnum

import numpy as np

from graph.keys import AssetKind
from graph.topology import ALIAS_CODE, KIND_CODE, Bools, Ints, Moment, View
from graph.walk import Direction, FlowFilter, Lineage, Reach, assets_reached, first_vertex, has_flow, reached


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
    view, moment = lineage.view, lineage.moment
    start = view.number(lineage.start)
    first = np.array([first_vertex(view, start, lineage.direction)])
    historic = _historic(view, lineage, start)
    blocked = np.zeros(view.vertices, np.bool_)
    for ports in (view.whole, view.any):
        blocked[ports[historic]] = True

    def rows_reached(reach: Reach) -> Bools:
        assets, _, _ = assets_reached(view, reach.hops, lineage.direction)
        return np.isin(lineage.assets, assets)

    when = np.full(len(lineage), When.HISTORIC, np.int8)
    again = reached(view, first, lineage.direction, moment, lineage.follow, flows, depth, blocked)
    when[rows_reached(again)] = When.NEXT_TRAINING
    live = reached(view, first, lineage.direction, moment, lineage.follow, flows, depth, blocked, live_only=True)
    when[rows_reached(live)] = When.NOW
    return when


def _historic(view: View, lineage: Lineage, start: int) -> Ints:
    """The runs and versions of the answer that only history holds; never the start itself."""
    moment = lineage.moment
    reached_too = np.array(view.parts_of(start), np.int64)  # though the parts of the start are not counted
    assets = np.concatenate([lineage.assets, reached_too])
    parts = assets[_is_run_or_version(view, assets)]
    old = parts[~_current(view, parts, moment)]
    if not len(old):
        return old
    # Of those, an ancestor of a current run or version is not history. Whatever is between them is downstream of the old.
    below = reached(view, np.unique(view.whole[old]), Direction.DOWNSTREAM, moment)
    assets, _, _ = assets_reached(view, below.hops, Direction.DOWNSTREAM)
    candidates = assets[_is_run_or_version(view, assets)]
    current = candidates[_current(view, candidates, moment)]
    outside = below.hops < 0
    above = reached(view, np.unique(view.any[current]), Direction.UPSTREAM, moment, blocked=outside)
    ancestors, _, _ = assets_reached(view, above.hops, Direction.UPSTREAM)
    history: Ints = old[~np.isin(old, ancestors) & (old != start)]
    return history


def _is_run_or_version(view: View, assets: Ints) -> Bools:
    return np.isin(view.kind[assets], [KIND_CODE[AssetKind.RUN], KIND_CODE[AssetKind.MODEL_VERSION]])


def _current(view: View, assets: Ints, moment: Moment) -> Bools:
    """Newest of its job or model, served, or named by an alias."""
    newest = {_newest(view, container, moment) for container in np.unique(view.container[assets]).tolist()}
    return np.array([asset in newest or _served_or_named(view, asset, moment) for asset in assets.tolist()], np.bool_)


def _newest(view: View, container: int, moment: Moment) -> int:
    parts = np.array(view.parts_of(container))
    asserted: Bools = view.label_codes(parts, moment) >= 0
    if asserted.any():
        parts = parts[asserted]
        births = view.births(parts, moment)
    else:  # stubs alone: only their names tell which is newer
        parts = parts[np.array([has_flow(view, part, moment) for part in parts.tolist()], np.bool_)]
        births = [0] * len(parts)
    ranked = sorted(zip(births, parts.tolist(), strict=True), key=lambda pair: (pair[0], _natural(view.keys[pair[1]])))
    return ranked[-1][1] if ranked else 0


def _natural(text: str) -> list[tuple[int, str]]:
    """Sorts `#10` after `#9`: the tie-breaker for versions registered at the same instant."""
    return [(int(part or 0), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", text)]


def _served_or_named(view: View, asset: int, moment: Moment) -> bool:
    rows = view.holding(view.down.of_many(view.whole[[asset]]), moment)
    targets = view.kind[view.vertex_asset[view.rows["target"][rows]]]
    return bool(((targets == ALIAS_CODE) | (targets == KIND_CODE[AssetKind.DEPLOYMENT])).any())
