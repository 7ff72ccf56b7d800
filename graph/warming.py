"""Has the compiled loops ready before the first question: compiled once after an installation, read from disk later."""

from contextlib import nullcontext

import numpy as np

from graph.impact import when_felt
from graph.keys import AssetKey
from graph.model import Basis
from graph.paths import count_paths, paths
from graph.ports import Port, Step
from graph.tables import EdgeRow, LabelRow, Tables
from graph.topology import ALWAYS, Moment
from graph.walk import Direction, FlowFilter, walk
from graph.why import Remove, Why


def warm() -> None:
    """Asks a graph of a few assets all that makes a loop run. The first time ever takes seconds."""
    tables = Tables()
    keys = [
        AssetKey.parse(text)
        for text in (
            *("dataset:w/a", "column:w/a#b", "job:w/j", "run:w/j#" + _RUN, "consumer:w/c"),
            *("dataset:w/e", "column:w/e#x"),
        )
    ]
    numbers = [tables.number(key) for key in keys]
    tables.add_label(numbers[0], LabelRow(tables.label({"owners": [{"name": "o"}]}), *ALWAYS), 1)
    flow = int(Step.FLOW | Step.BOTH)
    for source, target in ((0, 2), (1, 4), (0, 4), (2, 5), (1, 6)):  # both ports of e are reached
        ends = tables.vertex(numbers[source], Port.ANY), tables.vertex(numbers[target], Port.WHOLE)
        tables.add_row(EdgeRow(*ends, 0, tables.origins.number("o"), 0, flow, *ALWAYS), 1)
    tables.revision = tables.latest = 1
    tables.compact(nullcontext())
    view = tables.view()
    for at in (Moment(1, 1), Moment(0, 1)):
        for direction in Direction:
            for key in (keys[0], keys[4]):
                when_felt(walk(view, key, direction, at, flows=FlowFilter(bases=[*Basis])))
        view.remember(at)
    lineage = walk(view, keys[0], Direction.DOWNSTREAM, Moment(1, 1))
    why, every = Why(lineage), np.arange(len(lineage))
    why.passages(every)
    for remove in Remove:
        why.alone(why.cut(every[-1:], remove).members, every)
    for at_most in (1, 2):
        paths(view, keys[0], keys[4], Moment(1, 1), at_most=at_most)
    count_paths(view, keys[0], keys[4], Moment(1, 1))


_RUN = "00000000-0000-0000-0000-000000000000"


if __name__ == "__main__":
    warm()
