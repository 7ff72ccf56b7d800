"""What changes touch before they are made: who is downstream of what they change, counted, and who of them is to be told."""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from graph.changes import Verb
from graph.keys import AssetKey, AssetKind
from graph.model import Flow
from graph.planned import Planned
from graph.topology import KINDS, Ints, Moment, View
from graph.walk import Direction, Follow, walking

TOLD = (AssetKind.DEPLOYMENT, AssetKind.CONSUMER)


class Reached(NamedTuple):
    asset: AssetKey
    hops: int


class Touched(NamedTuple):
    """All that is downstream of what changes, but for what changes itself."""

    counts: Mapping[AssetKind, int]
    """In the order of the kinds' names; kinds of none are absent."""
    told: Sequence[Reached]
    """The deployments and consumers among them: the nearest first."""


def touched(view: View, moment: Moment, changes: Collection[Planned]) -> Touched:
    """By what the graph knows now: losing what is withdrawn, and other values of what is added or changed."""
    gone, other = _starts(view, changes, withdrawn=True), _starts(view, changes, withdrawn=False)
    own = np.union1d(gone, other)
    hops: dict[int, int] = {}
    for starts, follow in ((gone, Follow.LOSS), (other, Follow.VALUES)):
        if len(starts):
            with walking(view, view.whole[starts], Direction.DOWNSTREAM, moment, follow) as walked:
                assets, fewest, _ = walked.assets(0)
            for asset, hop in zip(assets.tolist(), fewest.tolist(), strict=True):
                hops[asset] = min(hop, hops.get(asset, hop))
    found = np.array(sorted(hops), np.int64)
    # Parts and containers of what changes are reached by steps alone; so is what is the same by another name.
    found = found[~np.isin(found, own) & np.array([hops[each] > 0 for each in found.tolist()], np.bool_)]
    counts = np.bincount(view.kind[found], minlength=len(KINDS)).tolist() if len(found) else [0] * len(KINDS)
    told = [Reached(view.key(each), hops[each]) for each in found.tolist() if KINDS[int(view.kind[each])] in TOLD]
    return Touched(
        {kind: counts[KINDS.index(kind)] for kind in sorted(KINDS) if counts[KINDS.index(kind)]},
        sorted(told, key=lambda each: (each.hops, str(each.asset))),
    )


_FOR_PEOPLE = frozenset({"description", "owners", "tags", "tier", "environment", "source_link"})
"""Attributes that nothing downstream depends on."""


def _starts(view: View, changes: Collection[Planned], withdrawn: bool) -> Ints:
    """The assets that go, or those that change, or into which something else flows now; those alone that the graph knows."""
    found: set[int] = set()
    for subject, _, verb, altered in changes:
        if isinstance(subject, Flow):
            key = None if withdrawn else subject.target
        elif verb is Verb.WITHDRAWN:
            key = subject if withdrawn else None
        else:
            matters = verb is Verb.CHANGED and any(each.name not in _FOR_PEOPLE for each in altered)
            key = subject if matters and not withdrawn else None
        number = 0 if key is None else view.numbers.get(str(key), 0)
        if 0 < number < view.assets:
            found.add(number)
    return np.array(sorted(found), np.int64)
