"""What the graph knows of a repository's assets and flows at a moment, and who else tells of them."""

from collections.abc import Iterable, Set
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from graph.check.ground import Believed
from graph.errors import NotFound
from graph.keys import AssetKey, AssetKind
from graph.model import Flow
from graph.ports import Step
from graph.topology import KIND_CODE, Ints, Moment, View

_WRITERS = [KIND_CODE[kind] for kind in (AssetKind.JOB, AssetKind.DEPLOYMENT, AssetKind.CONSUMER)]


@dataclass(frozen=True)
class Known:
    """What the graph knows at a moment. `origins` are those of the repository itself."""

    view: View
    moment: Moment
    origins: Set[str]
    believed: Believed

    def is_told_by_others(self, flow: Flow) -> bool:
        rows = self._rows(flow)
        return bool((~np.isin(self.view.rows["origin"][rows], self._own)).any())

    def without(self, flows: Iterable[Flow], read_last: Iterable[Flow]) -> View:
        """The graph as if `origins` had never told of `flows`, and nobody of `read_last`."""
        rows = np.concatenate([np.empty(0, np.int64), *map(self._rows, flows)])
        own = rows[np.isin(self.view.rows["origin"][rows], self._own)]
        return self.view.forgetting(np.concatenate([own, *map(self._rows, read_last)]))

    def trainings(self, source: AssetKey, job: AssetKey) -> list[Flow]:
        """The flows from a source into the runs of a job."""
        view = self.view
        if str(source) not in view.numbers or str(job) not in view.numbers:
            return []
        return [Flow(source, view.key(run)) for run in view.parts_of(view.number(job))]

    def is_written(self, key: AssetKey) -> bool:
        """Whether others say that somebody writes it."""
        view = self.view
        if str(key) not in view.numbers:
            return False
        rows = view.holding(view.up.of_many(view.whole[[view.number(key)]]), self.moment)
        rows = rows[(view.rows["step"][rows] & Step.FLOW != 0) & ~np.isin(view.rows["origin"][rows], self._own)]
        writers = view.kind[view.vertex_asset[view.rows["source"][rows]]]
        return bool(np.isin(writers, _WRITERS).any())

    def served_by(self, key: AssetKey) -> list[AssetKey]:
        """The deployments that serve a version, or what an alias names."""
        view = self.view
        if str(key) not in view.numbers:
            return []
        rows = view.holding(view.down.of_many(view.whole[[view.number(key)]]), self.moment)
        targets = np.unique(view.vertex_asset[view.rows["target"][rows]])
        return [view.key(each) for each in targets.tolist() if view.kind[each] == KIND_CODE[AssetKind.DEPLOYMENT]]

    def _rows(self, flow: Flow) -> Ints:
        """The rows that tell of a flow now."""
        view = self.view
        try:
            source, target, via = (view.number(end) if end else 0 for end in flow)
        except NotFound:
            return np.empty(0, np.int64)
        vertices = np.unique(np.array([view.whole[target], view.any[target]]))
        rows = view.holding(view.up.of_many(vertices), self.moment)
        ours = (view.vertex_asset[view.rows["source"][rows]] == source) & (view.rows["via"][rows] == via)
        found: Ints = rows[ours & (view.rows["step"][rows] & Step.FLOW != 0)]
        return found

    @cached_property
    def _own(self) -> list[int]:
        return [code for code, name in enumerate(self.view.origins) if name in self.origins]
