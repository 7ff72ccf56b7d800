"""From events that a store keeps to what the graph says: the one way in which an origin that sends events is told.

What is said follows from the set of an origin's events alone. They are read once; those that come later are added to what
was made of them (`graph.importers.openlineage.fold`), and what that changes is committed.
"""

from collections import OrderedDict
from collections.abc import Collection, Mapping
from contextlib import suppress

import orjson

from graph.attributes import canonical
from graph.changes import Restatement
from graph.errors import InvalidInput
from graph.importers.openlineage.events import Event, read_event, reduced
from graph.importers.openlineage.fold import Fold
from graph.model import Assertion, Operation, Subject
from graph.plan import restate
from graph.stores.contract import KeptEvent, Store
from graph.time import Instant

_ATTEMPTS = 10
_PAGE = 2_000


class Folding:
    """Events that this process, named `keeper`, keeps. One thread at a time.

    Several processes may keep events of one origin. Each folds what it kept itself, sees in the store whether others kept
    more, and then compares all that those bear on with what is stored: so the last one to commit has seen all.
    """

    def __init__(self, keeper: str, most: int = 200_000) -> None:
        self.keeper = keeper
        self._most = most
        """Events of which it is remembered what was made of them; beyond that, origins that were silent longest are forgotten."""
        self._folds: OrderedDict[str, Fold] = OrderedDict()
        self._others: dict[str, int] = {}
        """How many events of each origin others kept, as far as they are added."""

    def fold(self, store: Store, arrived: Mapping[str, Collection[Event] | None], now: Instant, actor: str) -> int:
        """Commits what follows from events that were kept, by their origins, at once; the revision that holds it.

        None: whatever the store has of that origin. Raises what `restate` raises. After ten attempts that others overtook, it is
        left to the last of them.
        """
        try:
            return self._fold(store, arrived, now, actor)
        except BaseException:
            for origin in arrived:  # they are ahead of what is stored, or half-way
                self.forget(origin)
            raise

    def forget(self, origin: str) -> None:
        self._folds.pop(origin, None)
        self._others.pop(origin, None)

    def _fold(self, store: Store, arrived: Mapping[str, Collection[Event] | None], now: Instant, actor: str) -> int:
        says: dict[str, Mapping[Subject, tuple[Assertion, ...]]] = {}
        partly: set[str] = set()
        done: dict[str, Collection[str]] = {}
        for origin, events in arrived.items():
            fold = self._folds.get(origin)
            if fold is None or events is None:
                self.forget(origin)
                fold = self._folds[origin] = _read_all(store, origin)
                says[origin], done[origin] = fold.says(), [*fold.digests]
            else:
                self._folds.move_to_end(origin)
                says[origin], _ = fold.add(events)
                done[origin] = [event.digest for event in events]
                partly.add(origin)
        revision = 0
        for _ in range(_ATTEMPTS):
            wanted = Restatement(
                {origin: said for origin, said in says.items() if said or origin not in partly}, partly
            )
            if wanted.says:
                revision = max(revision, restate(store, wanted, Operation(None, "", actor), now).revision)
            heard = self._heard_of(done)
            if heard:
                store.mark_said(heard)
            others = store.folded(done, self.keeper)
            says, done, partly = {}, {}, set()
            for origin, count in others.items():
                if count != self._others.get(origin, 0):
                    fold, more = self._folds[origin], store.kept_by_others(origin, self.keeper)
                    _, touched = fold.add(_read(store.kept_as([each for each in more if each not in fold.digests])))
                    says[origin], done[origin] = {subject: fold.said(subject) for subject in touched}, more
                    self._others[origin] = len(more)
                    partly.add(origin)
            if not says:
                break
        self._forget_some(arrived.keys())
        return revision

    def _heard_of(self, origins: Collection[str]) -> dict[tuple[Subject, str], Instant]:
        return {(flow, origin): at for origin in origins for flow, at in self._folds[origin].take_heard().items()}

    def _forget_some(self, but: Collection[str]) -> None:
        many = sum(map(len, self._folds.values()))
        for origin in [*self._folds]:
            if many <= self._most:
                break
            if origin not in but:
                many -= len(self._folds[origin])
                self.forget(origin)


def reduce(store: Store, before: Instant, now: Instant) -> int:
    """Of events that were kept before an instant, only that stays from which the graph follows; how many those were."""
    many = 0
    while page := store.whole_events(before, _PAGE):
        many += store.reduce_events(
            [each._replace(body=canonical(reduced(orjson.loads(each.body)))) for each in page], before, now
        )
    return many


def _read_all(store: Store, origin: str) -> Fold:
    fold, after = Fold(), None
    while True:
        page = store.kept(origin, after=after, limit=_PAGE)
        fold.add(_read(page))
        if len(page) < _PAGE:
            return fold
        after = page[-1].at, page[-1].digest


def _read(kept: Collection[KeptEvent]) -> list[Event]:
    """Those that can be read: one that was taken before this version refused such events holds up no other."""
    read = []
    for each in kept:
        with suppress(InvalidInput):
            read.append(read_event(orjson.loads(each.body), each.digest))
    return read
