"""The graph as it would be: what a plan changes, brought into a copy of the index that one question works on.

The copy is of the arrays as they stand, made at the speed of memory; the plan then costs what following it would. It is gone
with its last reader, and no reader waits for it.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple, TypeAlias

from graph.changes import Change
from graph.errors import PlanOutdated
from graph.keys import AssetKey
from graph.model import Assertion, Known, StoredAssertion, Subject
from graph.retelling import retell
from graph.stores.contract import Revision
from graph.tables import Tables
from graph.topology import View

Believed: TypeAlias = Callable[[Collection[Subject], int], Mapping[Subject, Sequence[StoredAssertion]]]
"""What was believed of subjects at a revision, as `Store.believed_at` answers."""


class Simulation(NamedTuple):
    """The graph as it is and as it would be, both at `revision`: there the plan's word is believed too.

    The two number alike what is in both.
    """

    changes: tuple[Change, ...]
    revision: int
    today: View
    planned: View


def simulate(
    tables: Tables, changing: AbstractContextManager[object], believed: Believed, changes: Iterable[Change]
) -> Simulation:
    """`tables`: those of an index that is loaded, whose writer holds `changing`.

    `changes`: those of all plans, of which no two are of the same subject by the same origin.
    Raises PlanOutdated where somebody else has changed what is to change.
    """
    changes = tuple(changes)
    twin = tables.copied(changing)
    with changing:
        today = tables.view()
    said = believed({change.subject for change in changes}, twin.revision)
    retell(twin, [_told(changes, said, twin.revision)])
    return Simulation(changes, twin.revision, today, twin.view())


def _told(changes: Sequence[Change], said: Mapping[Subject, Sequence[StoredAssertion]], revision: int) -> Revision:
    """What following a commit of `changes` would be told, as if it had been part of `revision`."""
    known = Known(revision)
    opened = [StoredAssertion(0, span, known) for change in changes for span in change.opens]
    closed = [StoredAssertion(0, span, known) for change in changes for span in change.closes]
    of_assets: dict[AssetKey, dict[str, tuple[Assertion, ...]]] = {}
    for change in changes:
        by_origin: dict[str, tuple[Assertion, ...]] = {}
        for stored in said.get(change.subject, ()):
            origin = stored.assertion.origin
            by_origin[origin] = (*by_origin.get(origin, ()), stored.assertion)
        if by_origin.get(change.origin, ()) != change.before:
            raise PlanOutdated(f"what {change.origin!r} says of {change.subject} has changed since the plan was made")
        if isinstance(change.subject, AssetKey):
            of_assets.setdefault(change.subject, by_origin)[change.origin] = change.after
    told = {key: tuple(span for origin in sorted(of) for span in of[origin]) for key, of in of_assets.items()}
    return Revision(revision, 0, None, "", tuple(opened), tuple(closed), told)
