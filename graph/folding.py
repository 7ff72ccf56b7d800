"""From the events that a store keeps to what the graph says: the one way in which an origin that sends events is told.

All events of an origin are read and folded again, whatever came: so the graph is a function of their set. Events that
other processes keep meanwhile are seen when these are marked as folded; then it is done once more.
"""

from collections.abc import Collection

import orjson

from graph.changes import Restatement
from graph.importers.openlineage.events import Event, read_event
from graph.importers.openlineage.fold import folded
from graph.model import Operation
from graph.plan import restate
from graph.stores.contract import Store
from graph.time import Instant

_ATTEMPTS = 10


def fold(store: Store, origins: Collection[str], now: Instant, actor: str) -> int:
    """Commits what follows from all events of `origins`, at once; the revision that holds it.

    Raises what `restate` raises. After ten attempts that others overtook, it is left to the last of them.
    """
    revision = 0
    for _ in range(_ATTEMPTS):
        kept = store.kept(origins)
        events: dict[str, list[Event]] = {origin: [] for origin in origins}
        for each in kept:
            events[each.origin].append(read_event(orjson.loads(each.body), each.digest))
        wanted = Restatement({origin: folded(of_origin) for origin, of_origin in events.items()})
        revision = restate(store, wanted, Operation(None, "", actor), now).revision
        origins = store.folded(kept)
        if not origins:
            break
    return revision
