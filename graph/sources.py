"""Who tells the service what happens, how lately each did, and what of it was refused: measures beside the facts."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NamedTuple

from graph.time import Instant
from graph.usage import Day, day_of

MOST_REJECTED = 10_000
"""Items kept of one source: beyond that the ones refused longest ago are forgotten."""
MOST_REJECTED_BYTES = 8_388_608
"""Of an item that is larger, only what was wrong with it is kept."""


class Heard(NamedTuple):
    """What a source told on one day (UTC, by arrival)."""

    source: str
    day: Day
    items: int
    """Events, spans, documents, lines: whatever the source tells one by one."""
    rejected: int
    """Items that were refused."""
    first: Instant
    last: Instant
    """When the first and the last item arrived, refused or not."""
    newest: Instant | None
    """The latest time that an item tells of itself; None: none told one."""
    lag: int | None
    """The longest time that passed between what an item tells of and its arrival, in microseconds."""

    def with_more(self, more: "Heard") -> "Heard":
        """Of one source and day."""
        return self._replace(
            items=self.items + more.items,
            rejected=self.rejected + more.rejected,
            first=min(self.first, more.first),
            last=max(self.last, more.last),
            newest=_max(self.newest, more.newest),
            lag=_max(self.lag, more.lag),
        )


def heard_now(source: str, now: Instant, items: int, rejected: int, times: Iterable[Instant]) -> Heard:
    """`times`: those that the items tell of themselves, where they tell any; those ahead of the clock lag by nothing."""
    told = list(times)
    newest, lag = (max(told), max(0, now - min(told))) if told else (None, None)
    return Heard(source, day_of(now), items, rejected, now, now, newest, lag)


def _max(one: int | None, other: int | None) -> int | None:
    return other if one is None else one if other is None else max(one, other)


@dataclass(frozen=True, slots=True)
class Rejected:
    """An item that was refused, kept to be looked at, and to be sent again once what was wrong is mended."""

    id: str
    """Of its source, target and bytes: an item refused again is the same one."""
    source: str
    target: str
    """The path, with its query, to which it can be posted again as it is; empty: it is a part of what must be sent as a whole."""
    form: str
    """Its media type."""
    place: str
    """Where in its request it stood, as `[3]` or `resourceSpans[0].scopeSpans[0].spans[7]`; empty: it was all of it."""
    reason: str
    body: bytes | None
    """None: too large to be kept."""
    first: Instant
    last: Instant
    """When it was refused, the first and the last time."""
    times: int = 1

    @classmethod
    def now(cls, source: str, target: str, form: str, place: str, reason: str, body: bytes, now: Instant) -> "Rejected":
        digest = hashlib.sha256("\0".join((source, target, "")).encode() + body).hexdigest()[:32]
        kept = body if len(body) <= MOST_REJECTED_BYTES else None
        return cls(digest, source, target, form, place, reason, kept, now, now)

    def again(self, later: "Rejected") -> "Rejected":
        """Refused once more, perhaps for another reason."""
        return replace(
            self,
            place=later.place,
            reason=later.reason,
            last=max(self.last, later.last),
            times=self.times + later.times,
        )


class Health(StrEnum):
    """How a source was over some days."""

    WELL = "WELL"
    SILENT = "SILENT"
    """It told nothing for longer than it usually does."""
    REFUSED = "REFUSED"
    """Some of what it told was refused, and is not mended."""
    YOUNG = "YOUNG"
    """It was not there yet when they began."""


class Unmended(NamedTuple):
    """The items of one source that were refused and are still kept."""

    items: int
    last: Instant
    """When one of them was refused last."""


class Standing(NamedTuple):
    """What is known of one source."""

    source: str
    days: Sequence[Heard]
    """In order; days on which it told nothing are left out."""
    unmended: Unmended | None

    @property
    def newest(self) -> Instant | None:
        return max((day.newest for day in self.days if day.newest is not None), default=None)

    @property
    def last(self) -> Instant:
        return self.days[-1].last

    @property
    def first(self) -> Instant:
        return self.days[0].first

    def pace(self) -> int:
        """How many days usually lie between two on which it tells something, at least 1: the median over all days."""
        steps = sorted(later.day - day.day for day, later in zip(self.days, self.days[1:], strict=False))
        return steps[len(steps) // 2] if steps else 1

    def health(self, days: int, now: Instant) -> Health:
        """Over the last `days` and today."""
        start, today = day_of(now) - days, day_of(now)
        if self.unmended is not None and day_of(self.unmended.last) >= start:
            return Health.REFUSED
        if self.days[0].day > start:
            return Health.YOUNG
        told = [day.day for day in self.days if day.day >= start]
        before = max(day.day for day in self.days if day.day <= start)
        silences = [later - day for day, later in zip([before, *told], [*told, today], strict=True)]
        return Health.SILENT if max(silences) > 2 * self.pace() else Health.WELL


def standings(heard: Iterable[Heard], unmended: Mapping[str, Unmended]) -> list[Standing]:
    """Of all sources, in the order of their names."""
    by_source: dict[str, list[Heard]] = {}
    for day in sorted(heard, key=lambda each: (each.source, each.day)):
        by_source.setdefault(day.source, []).append(day)
    return [Standing(source, days, unmended.get(source)) for source, days in by_source.items()]


def source_of(origin: str) -> str:
    """Who told what an origin says. OpenLineage has an origin for each job of a producer, this service several."""
    if origin.startswith("openlineage:"):
        return origin.rpartition("#")[0] or origin
    return "gateway" if origin.startswith("gateway:") else origin
