"""Calls that traces tell of: each counted once, however often and wherever its span is sent.

Which spans were counted is remembered by the minute in which they began, here for the last of them, in the store for as
long as spans are taken. Nothing here waits for anything but the store, and one thread at a time comes here.
"""

import re
import secrets
from array import array
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import orjson

from app.events import Sighting
from app.spans import SERVER, RejectedSpan, Service, Span, span_id
from app.watching.resolving import Change, Counts, Link, Recent, Resolver
from app.watching.targets import Ambiguous, Directory, Target, Targets
from graph.keys import AssetKey
from graph.plan import AHEAD
from graph.stores.contract import SeenSpans, Store, ToldSpans
from graph.time import HOUR, MINUTE, Instant, moment
from graph.topology import View

WINDOW: Instant = 10 * MINUTE
"""How long, at least, a call waits for the spans that tell who made it; unless there are too many."""
KEPT, PASSING = 100_000, 300_000
"""How many spans that matter, and others that might come to matter, are remembered at least."""
IDS_REMEMBERED = 500_000
"""Ids of counted spans in memory, some 70 bytes each. Those of other minutes are read when somebody sends such spans."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How traces are read."""

    targets: Sequence[re.Pattern[str]] = ()
    """See `Targets`."""
    gateways: Sequence[str] = ()
    """Services that pass calls on: a name, or a namespace, `/` and a name; `*` stands for anything."""
    oldest: Instant = 48 * HOUR
    """The age beyond which a span is rejected: whether it was counted before is no longer known."""


@dataclass
class Taken:
    """What came of some spans."""

    changes: list[Change] = field(default_factory=list)
    rejected: list[list[RejectedSpan]] = field(default_factory=list)
    """For each of the requests."""
    unnamed: list[int] = field(default_factory=list)
    """For each of the requests, how many calls were made by services without a name."""


class Traced:
    def __init__(
        self,
        reading: Reading,
        consumer: Callable[[str | None, str | None], AssetKey | None],
        admits: Callable[[AssetKey], bool],
        recorder: str,
    ) -> None:
        """`recorder` names this process among those over one store, the same after each restart."""
        self._reading = reading
        self._targets = Targets(reading.targets)
        self._recorder = recorder
        self._directory: Directory | None = None
        self._seen = _Seen()
        self._is_restored = False
        transparent = [_pattern(each) for each in reading.gateways]

        @lru_cache(10_000)
        def is_transparent(service: Service) -> bool:
            return any(pattern.fullmatch(service.full_name) for pattern in transparent)

        @lru_cache(10_000)
        def named(service: Service) -> AssetKey | None:
            return consumer(service.name, service.namespace)

        def admitted(service: Service) -> AssetKey | None:
            key = named(service)
            return key if key is not None and admits(key) else None

        self._named = named
        self._resolver = Resolver(is_transparent, admitted, Recent(KEPT, WINDOW), Recent(PASSING, WINDOW))

    # What is told

    def take(
        self, store: Store, view: View, requests: Sequence[Sequence[Span]], sightings: Sequence[Sighting], now: Instant
    ) -> Taken:
        """Raises StoreUnavailable; then nothing has changed."""
        self._restore(store, now)
        if requests and (self._directory is None or not self._directory.still(view, store, now)):
            self._directory = Directory.of(view, store, now)
        taken, links = Taken(), []
        for spans in requests:
            rejected: list[RejectedSpan] = []
            unnamed = 0
            for span in spans:
                link = self._link(span, now)
                if isinstance(link, str):
                    original = span.original
                    rejected.append(
                        RejectedSpan(span.service, original.place, f"{original.name} {link}", original.item)
                    )
                    continue
                links.append(link)
                unnamed += link.target is not None and link.kind != SERVER and self._named(link.service) is None
            taken.rejected.append(rejected)
            taken.unnamed.append(unnamed)
        calls = self._seen.new(store, [link for link in links if link.counts is Counts.ONCE])
        others = [link for link in links if link.counts is not Counts.ONCE]
        own = [_own(sighting) for sighting in sightings]
        taken.changes = self._resolver.take([*calls, *others, *own], now)
        return taken

    def _link(self, span: Span, now: Instant) -> Link | str:
        """Why it cannot be used, if it touches something and cannot."""
        link = Link(span.id, span.above, span.kind, span.service)
        if not span.attributes or self._directory is None:
            return link
        target = self._targets.of(span, self._directory)
        if target is None:
            return link
        if span.start > now + AHEAD:
            return f"starts at {moment(span.start)}, ahead of the clock, which stands at {moment(now)}"
        if span.start < now - self._reading.oldest:
            return f"starts at {moment(span.start)}, more than {self._reading.oldest // HOUR} hours ago"
        if isinstance(target, Ambiguous):
            return target.reason
        return _touching(link, span, target)

    # What is kept of it

    def told(self, now: Instant) -> ToldSpans | None:
        """What there is to keep since this was asked last."""
        links, seen = self._resolver.fresh(), self._seen.fresh()
        if not links and not seen:
            return None
        body = orjson.dumps([_packed(link) for link in links]) if links else b""
        return ToldSpans(self._recorder, now, self._seen.last, seen, body)

    def kept(self, told: ToldSpans) -> None:
        self._seen.last = told.after + len(told.seen)

    def told_by_others(self, told: ToldSpans, others: Sequence[SeenSpans]) -> tuple[list[Change], ToldSpans]:
        """What changes, and what there is left to keep, when other recorders have counted some of the spans before."""
        theirs = self._seen.incorporate(others)
        mine = {minute: _ids(packed) for minute, packed in told.seen.items()}
        common = {id_ for ids in mine.values() for id_ in ids if id_ in theirs}
        changes = self._resolver.disown(common)
        rest = {minute: array("Q", [id_ for id_ in ids if id_ not in common]).tobytes() for minute, ids in mine.items()}
        links = [*(orjson.loads(told.links) if told.links else ()), *map(_packed, self._resolver.fresh())]
        body = orjson.dumps(links) if links else b""
        seen = {minute: ids for minute, ids in rest.items() if ids}
        return changes, replace(told, after=self._seen.last, seen=seen, links=body)

    def forget(self, store: Store, now: Instant) -> int:
        return store.forget_spans((now - self._reading.oldest) // MINUTE, now - 2 * WINDOW, now)

    def _restore(self, store: Store, now: Instant) -> None:
        """Knows again what waited for its caller when the process before ended."""
        if self._is_restored:
            return
        self._seen.last = store.last_seen_spans()
        links = [_unpacked(each) for body in store.links(self._recorder, now - WINDOW) for each in orjson.loads(body)]
        self._resolver.restore(links, now)
        self._is_restored = True


class _Seen:
    """Ids of spans that were counted."""

    def __init__(self) -> None:
        self.last = 0
        """The number of the last `SeenSpans` that is known here."""
        self._minutes: OrderedDict[int, set[int]] = OrderedDict()
        """All that are known of some minutes, the one used last at the end."""
        self._size = 0
        self._fresh: dict[int, array[int]] = {}

    def new(self, store: Store, links: Sequence[Link]) -> list[Link]:
        """Those of `links` that were not counted before, which from now on they were. Raises StoreUnavailable."""
        minutes = {link.start // MINUTE for link in links}
        missing = minutes - self._minutes.keys()
        if missing:
            read: dict[int, set[int]] = {minute: set() for minute in missing}
            for seen in store.seen_spans(missing):
                if seen.number <= self.last:
                    read[seen.minute].update(_ids(seen.ids))
            for minute, fresh in self._fresh.items():
                if minute in read:
                    read[minute].update(fresh)
            self._minutes.update(read)
            self._size += sum(map(len, read.values()))
        new = []
        for link in links:
            minute = link.start // MINUTE
            ids = self._minutes[minute]
            if link.id not in ids:
                ids.add(link.id)
                self._size += 1
                new.append(link)
                self._fresh.setdefault(minute, array("Q")).append(link.id)
        for minute in minutes:
            self._minutes.move_to_end(minute)
        while self._size > IDS_REMEMBERED and len(self._minutes) > len(minutes):
            self._size -= len(self._minutes.popitem(last=False)[1])
        return new

    def fresh(self) -> dict[int, bytes]:
        fresh, self._fresh = self._fresh, {}
        return {minute: ids.tobytes() for minute, ids in fresh.items()}

    def incorporate(self, others: Iterable[SeenSpans]) -> set[int]:
        """Answers all their ids."""
        theirs: set[int] = set()
        for seen in others:
            ids = _ids(seen.ids)
            theirs.update(ids)
            if (known := self._minutes.get(seen.minute)) is not None:
                self._size += len(known.union(ids)) - len(known)
                known.update(ids)
            self.last = max(self.last, seen.number)
        return theirs


def _touching(link: Link, span: Span, target: Target) -> Link:
    link.target, link.writes = target.asset, target.writes
    link.counts = Counts.NEVER if target.is_served_here else Counts.ONCE
    link.start, link.microseconds, link.failed = span.start, span.microseconds, _failed(span)
    return link


def _failed(span: Span) -> bool:
    """Whether the server failed. What a client got wrong (4xx) its span calls an error too."""
    status = span.attributes.get("http.response.status_code", span.attributes.get("http.status_code", ""))
    if status.isascii() and status.isdecimal() and len(status) == 3:
        return int(status) >= 500
    return span.has_failed


def _own(sighting: Sighting) -> Link:
    """A call that this service answered, as a span of its own."""
    trace, above = sighting.caller.span or ("", "")
    return Link(
        secrets.randbits(64) or 1,
        span_id(bytes.fromhex(trace), bytes.fromhex(above)),
        SERVER,
        Service(None, None),
        sighting.source,
        False,
        Counts.ALWAYS,
        sighting.at,
        sighting.microseconds,
        sighting.failed,
    )


def _packed(link: Link) -> list[Any]:
    common = [link.id, link.above, link.kind, *link.service]
    if link.target is None:
        return common
    return [
        *common,
        str(link.target),
        link.writes,
        int(link.counts),
        link.start,
        link.microseconds,
        link.failed,
    ]


def _unpacked(row: Sequence[Any]) -> Link:
    id_, above, kind, namespace, name, *touching = row
    service = Service(namespace, name)
    if not touching:
        return Link(id_, above, kind, service)
    target, writes, counts, *call = touching
    return Link(id_, above, kind, service, AssetKey.parse(target), writes, Counts(counts), *call)


def _ids(packed: bytes) -> "array[int]":
    ids = array("Q")
    ids.frombytes(packed)
    return ids


def _pattern(service: str) -> re.Pattern[str]:
    """Of `namespace/name`."""
    given = service if "/" in service else f"*/{service}"
    return re.compile(".*".join(map(re.escape, given.split("*"))), re.DOTALL)
