"""Who made the calls that spans tell of, and which spans tell of one and the same call.

A pure function of the set of spans that are known, whatever their order was and however they came: each new one changes
what follows from it, and what changed is told. See decision 0031 for the rules.

From a span that touches something, the way leads up, from each span to the one it was made for:

* What is above and touches the same is the same call: the server's side of it, what a proxy passes on, a client within a client.
* A server's span was called by whoever made the span above it.
* A client's span was made by its own service, up to where that service was itself called. If that was a call of a deployment,
  the deployment is the caller; if the service is transparent (a gateway, a proxy), the caller is whoever called it.

The way may end at a span that is not known yet. What is known so far counts, until more is.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Generic, NamedTuple, TypeAlias, TypeVar

from app.spans import CONSUMER, SERVER, Service
from graph.keys import AssetKey, AssetKind
from graph.time import Instant

MOST_STEPS = 64
"""Spans on the way up, beyond which it is not followed."""

MOST_SERVICES = 100_000

Caller: TypeAlias = Service | AssetKey | None
"""A service, or the deployment that was called; None: whoever it is cannot be told."""

V = TypeVar("V")


class Counts(IntEnum):
    NEVER = 0
    """It only leads to others: this service counts such calls itself, or another process counted it."""
    ONCE = 1
    """Unless the same call is told of by a span above."""
    ALWAYS = 2
    """It is the call as this service answered it; what is above tells who made it."""


@dataclass(slots=True)
class Link:
    """A span that is known, as far as it matters to others."""

    id: int
    above: int
    kind: int
    service: Service
    target: AssetKey | None = None
    """What it touches: a deployment, a feature or view, a dataset."""
    writes: bool = False
    """The target is written to, not asked."""
    counts: Counts = Counts.NEVER
    start: Instant = 0
    microseconds: int | None = None
    failed: bool = False


class Place(NamedTuple):
    """What a call is counted as."""

    source: AssetKey
    reader: AssetKey | None


class Change(NamedTuple):
    """One call more, or less, at a place."""

    place: Place
    call: Link
    sign: int


@dataclass(slots=True)
class _Kept:
    link: Link
    place: Place | None = None
    missing: int = 0
    """The span at which its way ends though it may lead on; 0: it ends for good."""


class Verdict(NamedTuple):
    head: int
    """The uppermost span of the call."""
    caller: Caller
    missing: int


class Recent(Generic[V]):
    """Values by number: of those put last at least `size` are there, and at most twice as many.

    They are forgotten by halves, also when the younger half has become `age` old.
    """

    def __init__(self, size: int, age: Instant) -> None:
        self._size, self._age = size, age
        self._young: dict[int, V] = {}
        self._old: dict[int, V] = {}
        self._since: Instant = 0

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def get(self, number: int) -> V | None:
        found = self._young.get(number)
        return self._old.get(number) if found is None else found

    def put(self, number: int, value: V) -> None:
        self._young[number] = value

    def clear(self) -> None:
        self._young, self._old = {}, {}

    def turn(self, now: Instant) -> Iterable[V]:
        """Forgets what is too much or too old, and answers that."""
        if len(self._young) < self._size and now - self._since < self._age:
            return ()
        forgotten, self._old, self._young, self._since = self._old, self._young, {}, now
        return forgotten.values()


@dataclass
class Resolver:
    """`is_transparent` tells services that pass calls on, `consumer` what a service is called in the graph, if anything."""

    is_transparent: Callable[[Service], bool]
    consumer: Callable[[Service], AssetKey | None]
    kept: Recent[_Kept]
    """Spans that touch something, and those that led from them to their callers."""
    passing: Recent[tuple[int, int]]
    """All others, as numbers: what is above, and the service and kind."""
    _waiting: dict[int, set[int]] = field(default_factory=dict)
    """Kept spans by the missing one that their way ends at."""
    _services: list[Service] = field(default_factory=list)
    _numbers: dict[Service, int] = field(default_factory=dict)
    _fresh: list[Link] = field(default_factory=list)

    def take(self, links: Iterable[Link], now: Instant) -> list[Change]:
        """What follows from more spans. One that is known already changes nothing."""
        affected: dict[int, None] = {}
        waiting, kept, passing = self._waiting, self.kept, self.passing
        for link in links:
            id_ = link.id
            if link.target is None:
                if kept.get(id_) is None:
                    passing.put(id_, (link.above, self._number(link.service) << 3 | link.kind))
            elif kept.get(id_) is None:
                self._keep(link)
                affected[id_] = None
            if id_ in waiting:
                affected.update(dict.fromkeys(waiting[id_]))
        changes = [change for id_ in affected for change in self._settled(id_)]
        passing.turn(now)
        for forgotten in kept.turn(now):
            self._stop_waiting(forgotten)
        return changes

    def disown(self, ids: Iterable[int]) -> list[Change]:
        """Another process counted these."""
        changes = []
        for id_ in ids:
            if (found := self.kept.get(id_)) is not None:
                found.link.counts = Counts.NEVER
                self._fresh.append(found.link)
                changes += self._settled(id_)
        return changes

    def fresh(self) -> Sequence[Link]:
        """Kept, or changed, since this was asked last: from all of them follows what was counted as what."""
        fresh, self._fresh = self._fresh, []
        return fresh

    def restore(self, links: Iterable[Link], now: Instant) -> None:
        """As after all of these were taken, when the later of two of one span counts."""
        last = {link.id: link for link in links}
        for link in last.values():
            self._keep(link)
        for id_ in last:
            self._settled(id_)
        self.fresh()
        self.kept.turn(now)

    def verdict(self, link: Link) -> Verdict:
        head, node, owner = link, link, _maker(link)
        for _ in range(MOST_STEPS):
            if not node.above:
                break
            above = self._known(node.above)
            if above is None:
                return Verdict(head.id, self._named(owner, head), node.above)
            if _is_same_call(above, head):
                head, node, owner = above, above, _maker(above)
                continue
            if owner is None:
                owner = above.service
            elif above.service != owner:  # which it was called by without saying so
                if not self._passes(owner, head):
                    return Verdict(head.id, owner, 0)
                owner = above.service
            if above.kind in (SERVER, CONSUMER):
                if above.target is not None and above.target.kind is AssetKind.DEPLOYMENT:
                    return Verdict(head.id, above.target, 0)
                if not self._passes(owner, head):
                    return Verdict(head.id, owner, 0)
                owner = None
            node = above
        return Verdict(head.id, self._named(owner, head), 0)

    # Inside

    def _passes(self, service: Service, head: Link) -> bool:
        return not _is_data(head) and self.is_transparent(service)

    def _named(self, owner: Service | None, head: Link) -> Service | None:
        return None if owner is None or self._passes(owner, head) else owner

    def _settled(self, id_: int) -> list[Change]:
        """Counts the span anew."""
        kept = self.kept.get(id_)
        if kept is None or kept.link.target is None:
            return []
        self._stop_waiting(kept)
        verdict = self.verdict(kept.link)
        kept.missing = verdict.missing
        if verdict.missing:
            self._waiting.setdefault(verdict.missing, set()).add(id_)
        before, kept.place = kept.place, self._place(kept.link, verdict)
        if before == kept.place:
            return []
        changes = [Change(before, kept.link, -1)] if before is not None else []
        return [*changes, Change(kept.place, kept.link, 1)] if kept.place is not None else changes

    def _place(self, link: Link, verdict: Verdict) -> Place | None:
        if link.target is None or link.counts is Counts.NEVER:
            return None
        if link.counts is Counts.ONCE and verdict.head != link.id:
            return None
        caller = verdict.caller
        named = caller if isinstance(caller, AssetKey) or caller is None else self.consumer(caller)
        if link.writes and named is not None:
            return Place(named, link.target)
        return Place(link.target, named)

    def _stop_waiting(self, kept: _Kept) -> None:
        if kept.missing and (those := self._waiting.get(kept.missing)) is not None:
            those.discard(kept.link.id)
            if not those:
                del self._waiting[kept.missing]
        kept.missing = 0

    def _known(self, id_: int) -> Link | None:
        """A span that only passed is kept from now on: a call's caller follows from it."""
        kept = self.kept.get(id_)
        if kept is not None:
            return kept.link
        passed = self.passing.get(id_)
        if passed is None:
            return None
        above, code = passed
        link = Link(id_, above, code & 7, self._services[code >> 3])
        self._keep(link)
        return link

    def _keep(self, link: Link) -> None:
        self.kept.put(link.id, _Kept(link))
        self._fresh.append(link)

    def _number(self, service: Service) -> int:
        number = self._numbers.get(service)
        if number is None:
            if len(self._services) >= MOST_SERVICES:  # somebody makes them up
                self._services, self._numbers = [], {}
                self.passing.clear()
            number = self._numbers[service] = len(self._services)
            self._services.append(service)
        return number


def _maker(link: Link) -> Service | None:
    """Who made the call, where its span says so itself."""
    return None if link.kind in (SERVER, CONSUMER) and not _is_data(link) else link.service


def _is_same_call(above: Link, below: Link) -> bool:
    same = above.target == below.target and above.writes == below.writes
    return same and (above.service == below.service or not _is_data(below))


def _is_data(link: Link) -> bool:
    """Data is read and written by whoever says so: nobody asks for it through another."""
    return link.target is not None and link.target.kind is AssetKind.DATASET
