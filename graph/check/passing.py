"""How verdicts pass on from where they begin."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np

from graph.check.ground import Ground
from graph.impact import vertices_of
from graph.keys import AssetKind
from graph.ports import Step
from graph.topology import KIND_CODE, Bools, Ints, View
from graph.walk import Direction, Follow, walking


class Begins(NamedTuple):
    """Vertices where something begins: now, and at the next training."""

    now: list[Ints]
    later: list[Ints]

    def and_(self, other: "Begins") -> "Begins":
        return Begins([*self.now, *other.now], [*self.later, *other.later])


class Narrow(NamedTuple):
    """A flow that is felt only where one of these vertices is reached."""

    row: int
    sources: Ints


class Passing:
    """How verdicts pass from where they begin over all that lies below; never into what history alone holds."""

    def __init__(self, view: View, ground: Ground, blocked: Ints, narrow: Sequence[Narrow]) -> None:
        self._ground, self._blocked, self._narrow = ground, blocked, narrow
        self._view = view.forgetting(np.array([each.row for each in narrow], np.int64)) if narrow else view
        self._all = view

    def reach(self, begins: Begins, follow: Follow) -> tuple[Bools, Bools]:
        """The vertices reached now, and those reached at the next training: on a way that has something baked in."""
        now = self._reached(self._view, joined(begins.now), follow, True, ())
        rows = self._all.rows
        passed = np.append(self._ground.passed(self._view, np.flatnonzero(now), follow), self._narrowed(now))
        built = passed[rows["step"][passed] & Step.BUILT != 0]
        later = joined([rows["target"][built], *begins.later])
        return now, self._reached(self._view, later, follow, False, ())

    def broken(self, felt: Begins, trains: Ints) -> tuple[Bools, Bools, Begins]:
        """What breaks now; the runs that miss an input next time; and where, below, it is that answers only differ.

        That is where a reader says that it runs on, and what the runs made before.
        """
        rows, view = self._all.rows, self._view
        eased: list[Ints] = []
        while True:
            told = joined(eased)
            broken = self._reached(view, joined(felt.now), Follow.LOSS, True, told.tolist())
            passed = self._ground.passed(view, np.flatnonzero(broken))
            passed = np.setdiff1d(np.append(passed, self._narrowed(broken)), told)
            flows = passed[rows["step"][passed] & Step.FLOW != 0]
            more = flows[self._ground.do_without(self._all, flows)]
            if not len(more):
                break
            eased.append(more)
            view = view.forgetting(more)
        built = passed[rows["step"][passed] & Step.BUILT != 0]
        targets = np.unique(np.concatenate([rows["target"][built], rows["target"][trains], *felt.later]))
        targets = np.setdiff1d(targets, self._blocked)
        is_run = self._all.kind[self._all.vertex_asset[targets]] == KIND_CODE[AssetKind.RUN]
        runs = vertices_of(self._all, np.unique(self._all.vertex_asset[targets[is_run]]))
        made = self._ground.leaving(self._all, runs)
        told = joined(eased)
        is_built = rows["step"][told] & Step.BUILT != 0
        later = [rows["target"][told[is_built]], targets[~is_run], rows["target"][made]]
        return broken, self._mark(runs), Begins([rows["target"][told[~is_built]]], later)

    def _reached(self, view: View, starts: Ints, follow: Follow, live_only: bool, eased: Collection[int]) -> Bools:
        rows = self._all.rows
        starts = np.setdiff1d(starts, self._blocked)
        while True:
            asked = view, starts, Direction.DOWNSTREAM, self._ground.moment, follow, self._ground.awake
            if not len(starts):
                return self._mark(starts)
            with walking(*asked, blocked=self._blocked, live_only=live_only) as walked:
                mark = self._mark(walked.order.copy())
            onward = np.array(
                [
                    rows["target"][each]
                    for each in self._narrowed(mark).tolist()
                    if each not in eased and not (live_only and rows["step"][each] & Step.BUILT)
                ],
                np.int64,
            )
            onward = np.setdiff1d(onward[~mark[onward]], self._blocked)
            if not len(onward):
                return mark
            starts = np.concatenate([starts, onward])

    def _narrowed(self, mark: Bools) -> Ints:
        """The narrow flows that are felt."""
        return np.array([each.row for each in self._narrow if mark[each.sources].any()], np.int64)

    def _mark(self, vertices: Ints) -> Bools:
        marked = np.zeros(self._all.vertices, np.bool_)
        marked[vertices] = True
        return marked


def joined(parts: Sequence[Ints]) -> Ints:
    return np.concatenate([np.empty(0, np.int64), *parts])
