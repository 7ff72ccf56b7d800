"""Assets that are the same: which are, at a moment, and which of their keys is shown for all.

In the index they are joined by steps that cost nothing (`tables`), so a walk that meets one meets all, at the same distance and
in the same manner. What is left to do is to tell of them as of one: here it is said which.
"""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import replace
from typing import Generic, TypeVar

import numpy as np

from graph.keys import AssetKey
from graph.topology import ALWAYS, Bools, Ints, Label, Moment, View

_Each = TypeVar("_Each", bound=Hashable)


class Groups:
    """Those that held at a moment. What stands alone is its own group."""

    def __init__(self, members: Ints, shown: Ints) -> None:
        self._members, self._shown = members, shown
        """Ascending; and what is shown for each."""
        self._order = np.argsort(shown, kind="stable")
        self._in_order = shown[self._order]

    def __bool__(self) -> bool:
        return len(self._members) > 0

    def shown(self, assets: Ints) -> Ints:
        """For each of the assets the one that is shown."""
        if not self:
            return assets
        places = np.minimum(np.searchsorted(self._members, assets), len(self._members) - 1)
        found: Ints = np.where(self._members[places] == assets, self._shown[places], assets)
        return found

    def are_some(self, assets: Ints) -> Bools:
        """Which of the assets are the same as others."""
        if not self:
            return np.zeros(len(assets), np.bool_)
        places = np.minimum(np.searchsorted(self._members, assets), len(self._members) - 1)
        found: Bools = self._members[places] == assets
        return found

    def shown_for(self, asset: int) -> int:
        return int(self.shown(np.array([asset]))[0])

    def of(self, asset: int) -> list[int]:
        """All that are the same as it, the one shown first."""
        shown = self.shown_for(asset)
        start, end = np.searchsorted(self._in_order, [shown, shown + 1])
        others = self._members[self._order[start:end]].tolist()
        return [shown, *(each for each in others if each != shown)]

    def of_many(self, assets: Iterable[int]) -> Ints:
        """All that are the same as any of these, each once."""
        return np.array([*dict.fromkeys(each for asset in assets for each in self.of(int(asset)))], np.int64)

    def ports(self, view: View, vertices: Ints) -> Ints:
        """For each of the vertices that of the asset shown."""
        assets = view.vertex_asset[vertices]
        shown = self.shown(assets)
        port = np.where(vertices == view.whole[assets], view.whole[shown], view.any[shown])
        found: Ints = np.where(shown == assets, vertices, port)
        return found


NONE = Groups(np.zeros(0, np.int32), np.zeros(0, np.int32))
"""Where nothing is the same as anything."""


def groups_at(view: View, moment: Moment) -> Groups:
    if not view.joins.any:
        return NONE
    rows = view.joins.rows
    kept = view.joins.get(moment)
    if kept is None:
        valid, known = (_frame(view.times[rows, 2 * place : 2 * place + 2], at) for place, at in enumerate(moment))
        held = view.holding(rows, moment)
        kept = _groups(view, *(view.vertex_asset[view.rows[end][held]] for end in ("source", "target")))
        view.joins.keep(valid, known, kept)
    assert isinstance(kept, Groups)
    return kept


def _frame(times: Ints, at: int) -> tuple[int, int]:
    """From the last of `times` up to `at` until the next."""
    ends = np.unique(times)
    after = int(np.searchsorted(ends, at, "right"))
    return int(ends[after - 1]) if after else ALWAYS.start, int(ends[after]) if after < len(ends) else ALWAYS.end


def _groups(view: View, namers: Ints, named: Ints) -> Groups:
    """Shown is what others name and what names none, then what most name, then the first by key; of parts that of what is shown."""
    from scipy.sparse import csr_array  # noqa: PLC0415  # only where some are the same
    from scipy.sparse.csgraph import connected_components  # noqa: PLC0415

    if not len(namers):
        return NONE
    members, places = np.unique(np.concatenate([namers, named]), return_inverse=True)
    tails, heads = places[: len(namers)], places[len(namers) :]
    joined = csr_array((np.ones(len(tails), np.int8), (tails, heads)), shape=(len(members), len(members)))
    group = connected_components(joined, directed=False)[1]
    container = view.container[members]
    alone = np.flatnonzero(container == 0)
    by_key = np.zeros(len(members), np.int64)
    by_key[sorted(alone.tolist(), key=lambda place: view.keys[members[place]])] = np.arange(len(alone))
    names, named_by = np.bincount(tails, minlength=len(members)) > 0, np.bincount(heads, minlength=len(members))
    best = alone[np.lexsort((by_key[alone], -named_by[alone], names[alone], group[alone]))]
    of_group = np.full(int(group.max()) + 1, -1, np.int64)
    of_group[group[best][::-1]] = best[::-1]  # the first of each group is written last
    parts = np.flatnonzero(container > 0)
    if len(parts):
        around = np.searchsorted(members, container[parts])
        of_shown = parts[of_group[group[around]] == around]
        of_group[group[of_shown]] = of_shown
    return Groups(members, members[of_group[group]])


class Codes(Generic[_Each]):
    """Some values by number, and more of them."""

    def __init__(self, known: Sequence[_Each]) -> None:
        self._known, self._size = known, len(known)  # the writer may be adding some
        self._new: dict[_Each, int] = {}

    def number(self, value: _Each) -> int:
        return self._new.setdefault(value, self._size + len(self._new))

    @property
    def every(self) -> Sequence[_Each]:
        return [*self._known[: self._size], *self._new] if self._new else self._known


def folded(
    view: View, groups: Groups, assets: Ints, labels: Ints, owners: Ints, sure: Bools
) -> tuple[View, Ints, Ints, Ints, Bools]:
    """An answer with one row for each group, of which all members are in it, and which rows to keep.

    `sure`: which rows are there at all. Owners and tags are those of all, and the tier is the most critical one; the view it
    answers with knows such labels, too.
    """
    members = np.flatnonzero(groups.are_some(assets))
    if not len(members):
        return view, assets, labels, owners, sure
    shown = groups.shown(assets[members])
    order = np.argsort(shown, kind="stable")
    rows, shown = members[order], shown[order]
    begins = np.flatnonzero(np.append(True, shown[1:] != shown[:-1]))
    place, label, around = rows[begins], labels[rows], owners[rows]
    own = np.where(label >= 0, view.owners_of[np.maximum(label, 0)], 0)
    of_own, of_any = np.maximum.reduceat(own, begins), np.maximum.reduceat(around, begins)
    least = np.minimum.reduceat(np.where(around > 0, around, of_any.max()), begins)
    keep = sure.copy()
    keep[members] = False
    keep[place] = np.logical_or.reduceat(sure[rows], begins)
    assets[place], labels[place] = shown[begins], np.maximum.reduceat(label, begins)
    owners[place] = np.where(of_own > 0, of_own, of_any)
    # So far it is right where one alone says something.
    single = (np.add.reduceat(label >= 0, begins) <= 1) & ((of_own > 0) | (of_any == 0) | (least == of_any))
    new_labels, new_owners = Codes(view.labels), Codes(view.owners)
    ends = np.append(begins[1:], len(rows))
    for group in np.flatnonzero(~single).tolist():
        within = slice(begins[group], ends[group])
        said = [view.labels[code] for code in label[within].tolist() if code >= 0]
        names = _owners_of_all([each.owners for each in said])
        if said:
            tags = tuple(sorted({tag for each in said for tag in each.tags}))
            tier = min((each.tier for each in said if each.tier is not None), default=None)
            labels[place[group]] = new_labels.number(Label(names, tags, tier))
        if not names:  # those of the containers
            names = _owners_of_all([view.owners[code] for code in around[within].tolist()])
        owners[place[group]] = new_owners.number(names) if names else 0
    return replace(view, labels=new_labels.every, owners=new_owners.every), assets, labels, owners, keep


def _owners_of_all(owners: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    told = [names for names in owners if names]
    return told[0] if len(told) == 1 else tuple(sorted({name for names in told for name in names}))


def names_of(view: View, key: AssetKey, moment: Moment) -> list[AssetKey]:
    """All keys of what `key` names, the one that is shown first; itself alone where it is no other's, or not known."""
    if not view.joins.any:
        return [key]
    number = view.numbers.get(str(key))
    if number is None or number >= view.assets:
        return [key]
    shown, *others = groups_at(view, moment).of(number)
    return [view.key(shown), *sorted((view.key(each) for each in others), key=str)]
