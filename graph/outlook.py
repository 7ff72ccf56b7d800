"""One question asked of the graph as it is and as it would be: what comes into the answer, what leaves it, and what is felt otherwise."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from graph.errors import NotFound
from graph.impact import When
from graph.keys import AssetKey
from graph.simulation import Simulation
from graph.topology import Ints, Label, Moment, View
from graph.walk import Lineage, located


class Selected(NamedTuple):
    """An answer, and what of it is looked at."""

    lineage: Lineage
    rows: Ints
    felt: Ints
    """A `When` for each row of the lineage."""


class Reached(NamedTuple):
    hops: int
    when: When
    partly: bool


class Differing(NamedTuple):
    asset: AssetKey
    label: Label
    """With the plan, or today where that has it no more. A part without owners has its container's."""
    stub: bool
    before: Reached | None
    """None: not in the answer today."""
    after: Reached | None
    """None: not in it with the plan."""


@dataclass(frozen=True)
class Outlook:
    """Each list nearest first, then in the order of the keys."""

    added: Sequence[Differing]
    removed: Sequence[Differing]
    changed: Sequence[Differing]
    """In both answers, at another distance, felt at another time, or as another share of the asset."""


def outlook(today: Selected | None, planned: Selected | None) -> Outlook:
    """Both of views that number their assets alike; None where the start is not there."""
    before, after = _by_asset(today), _by_asset(planned)
    size = max(len(before), len(after))
    before, after = (np.pad(column, (0, size - len(column)), constant_values=_ABSENT) for column in (before, after))

    def differing(side: Selected | None, chosen: Ints) -> list[Differing]:
        if side is None:
            return []
        lineage = side.lineage
        rows = side.rows[chosen[lineage.assets[side.rows]]]
        told = [rows.tolist(), *(each[lineage.assets[rows]].tolist() for each in (before, after))]
        stubs = lineage.stub
        return [
            Differing(lineage.key(row), lineage.label(row), bool(stubs[row]), _reached(was), _reached(will_be))
            for row, was, will_be in zip(*told, strict=True)
        ]

    is_in, stays = before != _ABSENT, after != _ABSENT
    return Outlook(
        added=differing(planned, ~is_in),
        removed=differing(today, ~stays),
        changed=differing(planned, is_in & (before != after)),
    )


def is_there(view: View, key: AssetKey, moment: Moment) -> bool:
    try:
        located(view, key, moment)
    except NotFound:
        return False
    return True


def columns_of(differing: Sequence[Differing], simulation: Simulation, at: Moment) -> dict[str, list[object]]:
    """As columns of equal length, ready for JSON. `planned` is not there yet, `removed` not any more."""

    def told(each: Reached | None) -> object:
        return each and {"hops": each.hops, "when": each.when.name, "partly": each.partly}

    return {
        "key": [str(each.asset) for each in differing],
        "owners": [[*each.label.owners] for each in differing],
        "planned": [not is_there(simulation.today, each.asset, at) for each in differing],
        "removed": [not is_there(simulation.planned, each.asset, at) for each in differing],
        "before": [told(each.before) for each in differing],
        "after": [told(each.after) for each in differing],
    }


_ABSENT = -1


def _by_asset(side: Selected | None) -> Ints:
    """By the number of an asset how it is reached, as one number."""
    if side is None:
        return np.zeros(0, np.int64)
    assets, lineage = side.lineage.assets[side.rows], side.lineage
    found = np.full(int(assets.max(initial=-1)) + 1, _ABSENT, np.int64)
    hops, when = lineage.hops[side.rows].astype(np.int64), side.felt[side.rows].astype(np.int64)
    found[assets] = hops << 3 | when << 1 | lineage.partly[side.rows]
    return found


def _reached(told: int) -> Reached | None:
    return None if told == _ABSENT else Reached(told >> 3, When(told >> 1 & 3), bool(told & 1))
