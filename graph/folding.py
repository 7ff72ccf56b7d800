"""From the events that a store keeps to what the graph says: the one way in which an origin that sends events is told.

All events of the origin are read and folded again, whatever came: so the graph is a function of their set. Events that
other processes keep meanwhile are seen when these are marked as folded; then it is done once more.
"""

import orjson

from graph.changes import Restatement
from graph.importers.openlineage.events import read_event
from graph.importers.openlineage.fold import folded
from graph.model import Operation
from graph.plan import restate
from graph.stores.contract import Store
from graph.time import Instant

_ATTEMPTS = 10


def fold(store: Store, origin: str, now: Instant, actor: str) -> int:
    """Commits what follows from all events of `origin`; the revision that holds it.

    Raises what `restate` raises. After ten attempts that others overtook, it is left to the last of them.
    """
    revision = 0
    for _ in range(_ATTEMPTS):
        events = store.kept(origin)
        says = folded(read_event(orjson.loads(event.body)) for event in events)
        revision = restate(store, Restatement(origin, says), Operation(None, "", actor), now).revision
        if store.folded(origin, events):
            break
    return revision
