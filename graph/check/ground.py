"""What changes spread over: the graph, and what readers say of the flows by which they read."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from graph.check.definitions import is_understood
from graph.keys import AssetKey
from graph.model import Assertion, Attributes, Flow, Json, Subject
from graph.ports import Port, Step
from graph.topology import Bools, Ints, Moment, View
from graph.usage import is_dormant
from graph.walk import FlowFilter, Follow, allowed

Believed = Callable[[Collection[Subject]], Mapping[Subject, Collection[Assertion]]]
"""What every origin says of some subjects, as it is believed now."""


@dataclass
class Ground:
    """What changes spread over: the graph, and what readers say of the flows by which they read."""

    view: View
    """As it is, without the flows that their readers give up in the same change."""
    moment: Moment
    believed: Believed
    stated: Mapping[Flow, Attributes]
    """What the new version of the repository says of flows, in place of what its `origins` said before."""
    origins: Collection[str]
    unread: Collection[AssetKey] = ()
    """Whose definition was not understood."""
    _understood: dict[AssetKey, bool] = field(default_factory=dict)
    _asked: Bools = field(init=False)
    """By row whether it is known what is said of its flow; most often nothing is."""
    _said: dict[int, Attributes] = field(default_factory=dict)
    _optional: Bools = field(init=False)

    def __post_init__(self) -> None:
        self._asked, self._optional = (np.zeros(self.view.row_count, np.bool_) for _ in range(2))

    def readers(self, view: View, rows: Ints) -> list[Attributes]:
        """What is said of the flow of each row by its reader, by all origins together. Of what requests carry: nothing."""
        self._ask(view, rows)
        return [self._said.get(row, _NOTHING) for row in rows.tolist()]

    def do_without(self, view: View, rows: Ints) -> Bools:
        """Of each row whether its reader says that it runs without the thing."""
        self._ask(view, rows)
        found: Bools = self._optional[rows]
        return found

    def _ask(self, view: View, rows: Ints) -> None:
        missing = rows[~self._asked[rows]]
        if not len(missing):
            return
        flows = dict(zip(missing.tolist(), self._flows(view, missing), strict=True))
        believed = self.believed([*{flow for each in flows.values() for flow in each}])
        for row, each in flows.items():
            said = {
                name: value for flow in each for name, value in self._together(flow, believed.get(flow, ())).items()
            }
            if said:
                self._said[row] = said
                self._optional[row] = can_do_without(said)
        self._asked[missing] = True

    def _flows(self, view: View, rows: Ints) -> list[list[Flow]]:
        """Those that speak for each row: of a job's column lineage also that the job reads the column, and its table."""
        told = [view.vertex_asset[view.rows[end][rows]] for end in ("source", "target")] + [view.rows["via"][rows]]
        keys = {number: view.key(number) for number in np.unique(np.concatenate(told)).tolist() if number}
        requested = (view.vertex_port[view.rows["source"][rows]] == Port.REQUESTS).tolist()
        found = []
        for source, target, via, is_requested in zip(*(each.tolist() for each in told), requested, strict=True):
            one = keys[source]
            flows = [] if is_requested else [Flow(one, keys[target], keys.get(via))]
            if flows and via:
                flows = [Flow(each, keys[via]) for each in (one.container, one) if each] + flows
            found.append(flows)
        return found

    def _together(self, flow: Flow, assertions: Iterable[Assertion]) -> Attributes:
        said: dict[str, Json] = {}
        for each in assertions:
            if each.valid.holds_at(self.moment.at) and not (flow in self.stated and each.origin in self.origins):
                said |= each.attributes
        return {**said, **self.stated.get(flow, {})}

    def is_unread(self, key: AssetKey) -> bool:
        if key in self.unread:
            return True
        if key not in self._understood:
            said = self.believed([key]).get(key, ())
            told = [each.attributes.get("definition") for each in said if each.valid.holds_at(self.moment.at)]
            self._understood[key] = all(is_understood(each) for each in told if each is not None)
        return not self._understood[key]

    @cached_property
    def awake(self) -> FlowFilter | None:
        """Leaves out what a dormant origin alone tells: nobody was seen for long to use it."""
        asleep = tuple(filter(is_dormant, self.view.origins))
        return FlowFilter(without=asleep) if asleep else None

    def passed(self, view: View, vertices: Ints, follow: Follow = Follow.LOSS) -> Ints:
        """The rows leaving `vertices` that such a walk takes now."""
        rows = view.holding(view.down.of_many(vertices), self.moment)
        return allowed(view, follow, self.awake).of(view, rows)

    def leaving(self, view: View, vertices: Ints) -> Ints:
        """Those of them that are flows."""
        rows = self.passed(view, vertices)
        found: Ints = rows[view.rows["step"][rows] & Step.FLOW != 0]
        return found


def can_do_without(reader: Attributes) -> bool:
    return reader.get("default") is not None or reader.get("optional") is True


_NOTHING: Attributes = {}
