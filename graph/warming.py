"""Has the compiled loops ready before the first question: compiled once after an installation, read from disk later."""

from contextlib import nullcontext

from graph.impact import when_felt
from graph.keys import AssetKey
from graph.model import Assertion, Basis, Flow, Known, StoredAssertion
from graph.retelling import retell
from graph.stores.contract import Revision
from graph.tables import Tables
from graph.time import Interval
from graph.topology import Moment
from graph.walk import Direction, FlowFilter, walk


def warm() -> None:
    """Asks a graph of a few assets all that makes a loop run. The first time ever takes seconds."""
    tables = Tables()
    keys = [AssetKey.parse(text) for text in _KEYS]
    table, column, readers = keys[0], keys[1], keys[2:]
    flows = [Flow(source, reader) for source in (table, column) for reader in readers]
    told = [Assertion(subject, "warm", Basis.OBSERVED, Interval(1)) for subject in (table, column, *flows)]
    opened = tuple(StoredAssertion(number, said, Known(1)) for number, said in enumerate(told))
    retell(tables, Revision(1, 1, None, "", opened, (), {table: (told[0],), column: (told[1],)}))
    for _ in range(2):
        view = tables.view()
        for at in (Moment(1, 1), Moment(0, 1)):
            for direction in Direction:
                for key in (table, readers[0]):
                    if at.at:
                        when_felt(walk(view, key, direction, at, flows=FlowFilter(bases=[*Basis])))
            view.remember(at)
        tables.compact(nullcontext())


_RUN = "00000000-0000-0000-0000-000000000000"
_KEYS = ("dataset:w/a", "column:w/a#b", *(f"consumer:w/{name}" for name in "abcde"), "job:w/j", f"run:w/j#{_RUN}")


if __name__ == "__main__":
    warm()
