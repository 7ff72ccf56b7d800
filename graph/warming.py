"""Has the compiled loops ready before the first question: compiled once after an installation, read from disk later."""

from contextlib import nullcontext

import numpy as np

from graph.impact import when_felt
from graph.keys import AssetKey
from graph.model import Assertion, Basis, Flow, Known, StoredAssertion, Subject
from graph.paths import count_paths, paths
from graph.retelling import retell
from graph.stores.contract import Revision
from graph.tables import Tables
from graph.time import Interval
from graph.topology import Moment
from graph.walk import Direction, FlowFilter, walk
from graph.why import Remove, Why


def warm() -> None:
    """Asks a graph of a few assets all that makes a loop run. The first time ever takes seconds."""
    table, column, job, result, derived, *readers = (AssetKey.parse(text) for text in _KEYS)
    now, reader = Moment(1, 1), readers[0]
    tables = Tables()
    retell(tables, [_told([table, column], [Flow(table, job), Flow(job, result), Flow(column, derived)], readers)])
    for _ in range(2):
        view = tables.view()
        for direction in Direction:
            for key in (table, reader):
                when_felt(walk(view, key, direction, now, flows=FlowFilter(bases=[*Basis])))
        view.remember(Moment(0, 1))
        tables.compact(nullcontext())
    view = tables.view()
    lineage = walk(view, table, Direction.DOWNSTREAM, now)
    why, every = Why(lineage), np.arange(len(lineage))
    why.passages(every)
    for remove in Remove:
        why.alone(why.cut(every[-1:], remove).members, every)
    for at_most in (1, 2):
        paths(view, table, reader, now, at_most=at_most)
    count_paths(view, table, reader, now)


def _told(assets: list[AssetKey], flows: list[Flow], readers: list[AssetKey]) -> Revision:
    subjects: list[Subject] = [*assets, *flows, *(Flow(source, reader) for source in assets for reader in readers)]
    said = [Assertion(subject, "warm", Basis.OBSERVED, Interval(1)) for subject in subjects]
    opened = tuple(StoredAssertion(number, each, Known(1)) for number, each in enumerate(said))
    return Revision(1, 1, None, "", opened, (), dict(zip(assets, zip(said, strict=False), strict=False)))


_KEYS = (
    *("dataset:w/a", "column:w/a#b", "job:w/j", "dataset:w/e", "column:w/e#x"),  # both ports of e are reached
    *(f"consumer:w/{name}" for name in "abcdefgh"),
)


if __name__ == "__main__":
    warm()
