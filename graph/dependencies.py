"""Who depends on what: what was said of it beside what was seen.

A *dependency* is a flow by which a consumer or a deployment uses a deployment, a feature or its view, or a dataset. Calls of all
but datasets are counted wherever they are seen; of those who read a dataset, traces tell some.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from graph.keys import AssetKey, AssetKind
from graph.model import REFINES_FIRST, Basis, Flow
from graph.neighbours import HeldFlow
from graph.ports import Port, Step
from graph.same import groups_at
from graph.time import DAY, Instant
from graph.topology import Moment, View, kinds_mask
from graph.usage import Usage

_CALLED = (AssetKind.DEPLOYMENT, AssetKind.FEATURE_VIEW, AssetKind.FEATURE)
_USED = kinds_mask((*_CALLED, AssetKind.DATASET, AssetKind.COLUMN))
_USERS = kinds_mask((AssetKind.CONSUMER, AssetKind.DEPLOYMENT))

_STRENGTH = {basis: place for place, basis in enumerate(REFINES_FIRST)}
_SAID = [_STRENGTH[Basis.DECLARED], _STRENGTH[Basis.IMPORTED]]


class Dependency(NamedTuple):
    flow: HeldFlow
    declared_since: Instant | None
    """Since when somebody says so, or another system's record does; None: nobody does."""
    observed: bool
    """Somebody has seen it happen."""


def dependencies(view: View, moment: Moment) -> list[Dependency]:
    """All that held then, in the order of their flows' text; of assets that are the same as of one."""
    rows = view.rows
    kinds = [view.kind[view.vertex_asset[rows[end][: view.row_count]]] for end in ("source", "target")]
    here = np.flatnonzero(_USED[kinds[0]] & _USERS[kinds[1]]).astype(np.int32)
    held = view.holding(here, moment)
    held = held[(rows["step"][held] & Step.FLOW != 0) & (view.vertex_port[rows["source"][held]] != Port.REQUESTS)]
    groups = groups_at(view, moment)
    told: dict[tuple[int, int], list[tuple[int, Instant]]] = {}
    stored: dict[tuple[int, int], dict[tuple[int, int], None]] = {}
    ends = [view.vertex_asset[rows[end][held]] for end in ("source", "target")]
    columns = (*ends, rows["strength"][held], view.times[held, 0], *map(groups.shown, ends))
    for source, target, strength, start, *shown in zip(*(column.tolist() for column in columns), strict=True):
        told.setdefault((shown[0], shown[1]), []).append((strength, start))
        stored.setdefault((shown[0], shown[1]), {})[source, target] = None
    found = []
    for (source, target), said in told.items():
        if source == target:
            continue
        flow = Flow(view.key(source), view.key(target))
        as_stated = [Flow(view.key(one), view.key(other)) for one, other in stored[source, target]]
        strongest = REFINES_FIRST[min(strength for strength, _ in said)]
        since = min((start for strength, start in said if strength in _SAID), default=None)
        observed = any(strength == _STRENGTH[Basis.OBSERVED] for strength, _ in said)
        held_flow = HeldFlow(flow, flow.type.timing, strongest, tuple(sorted(as_stated, key=str)))
        found.append(Dependency(held_flow, since, observed))
    return sorted(found, key=lambda each: str(each.flow.flow))


def undeclared(found: Sequence[Dependency]) -> Iterator[Dependency]:
    """What was seen, and nobody declared, neither of it nor of its container or a part of it."""
    declared = {each.flow.flow[:2] for each in found if each.declared_since is not None}
    in_part = {(source.container, target) for source, target in declared}
    return (
        each
        for each in found
        if each.observed and each.flow.flow[:2] not in declared and each.flow.flow[:2] not in in_part
        if (each.flow.flow.source.container, each.flow.flow.target) not in declared
    )


def dormant(found: Iterable[Dependency], used: Iterable[Usage], now: Instant, days: int) -> Iterator[Dependency]:
    """What has been declared for so many days at least, and was not called for as long. `used`: all calls since then.

    Who calls a view may use any feature of it, and who calls a feature uses its view.
    """
    start = now - days * DAY
    called = {(each.source, each.reader) for each in used if each.calls > 0 and each.last >= start}
    in_part = {(source.container, reader) for source, reader in called}
    return (
        each
        for each in found
        if each.declared_since is not None and each.declared_since <= start and each.flow.flow.source.kind in _CALLED
        if not any(
            (flow.source, flow.target) in called
            or (flow.source, flow.target) in in_part
            or (flow.source.container, flow.target) in called
            for flow in each.flow.stored
        )
    )


def users(found: Iterable[Dependency]) -> list[AssetKey]:
    """Whose calls tell of them."""
    return list(dict.fromkeys(stored.target for each in found for stored in each.flow.stored))
