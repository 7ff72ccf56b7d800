"""Instants and intervals. An instant is whole microseconds since 1970 in UTC, as an int: exact, ordered, numpy-friendly."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import NamedTuple, TypeAlias

from graph.errors import InvalidTime, quoted

Instant: TypeAlias = int
"""Microseconds since 1970-01-01T00:00:00Z."""

SECOND: Instant = 1_000_000
MINUTE, HOUR, DAY = 60 * SECOND, 3_600 * SECOND, 86_400 * SECOND

FOREVER: Instant = 2**63 - 1
"""The open end of an interval that has not ended."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def instant(moment: datetime) -> Instant:
    """Raises InvalidTime for a datetime without zone: guessing one would move facts by hours."""
    if moment.tzinfo is None:
        raise InvalidTime(f"{moment.isoformat()} has no time zone; write it in UTC, e.g. {moment.isoformat()}Z", moment)
    return (moment - _EPOCH) // _MICROSECOND


def moment(at: Instant) -> datetime | None:
    """The datetime in UTC; None for FOREVER. Raises InvalidTime outside the years 1 to 9999."""
    if at == FOREVER:
        return None
    try:
        return _EPOCH + at * _MICROSECOND
    except OverflowError as error:
        raise InvalidTime(f"{at} µs since 1970 is outside the years 1 to 9999", at) from error


def parse_instant(text: str) -> Instant:
    """An RFC 3339 instant, e.g. 2026-11-23T14:00:00Z. Raises InvalidTime."""
    try:
        return instant(datetime.fromisoformat(text))
    except ValueError as error:
        raise InvalidTime(f"{quoted(text)} is not an instant like 2026-11-23T14:00:00Z", text) from error


class Interval(NamedTuple):
    """Half-open: holds at `start`, no longer at `end`."""

    start: Instant
    end: Instant = FOREVER

    def holds_at(self, at: Instant) -> bool:
        return self.start <= at < self.end


def interval(start: Instant, end: Instant | None) -> Interval:
    """Raises InvalidTime when it would be empty."""
    if end is not None and end <= start:
        raise InvalidTime(f"the interval ends at {moment(end)}, not after its start at {moment(start)}", end)
    return Interval(start, FOREVER if end is None else end)


def without(intervals: Iterable[Interval], hole: Interval) -> list[Interval]:
    """What is left of `intervals` outside `hole`, in order."""
    left = []
    for start, end in intervals:
        if start < min(end, hole.start):
            left.append(Interval(start, min(end, hole.start)))
        if max(start, hole.end) < end:
            left.append(Interval(max(start, hole.end), end))
    return left


def within(intervals: Iterable[Interval], frame: Interval) -> list[Interval]:
    """What of `intervals` lies inside `frame`, in order."""
    cut = (Interval(max(start, frame.start), min(end, frame.end)) for start, end in intervals)
    return [part for part in cut if part.start < part.end]


def union(intervals: Iterable[Interval]) -> list[Interval]:
    """The same instants as disjoint intervals in order, touching ones joined."""
    joined: list[Interval] = []
    for part in sorted(intervals):
        if joined and part.start <= joined[-1].end:
            joined[-1] = Interval(joined[-1].start, max(joined[-1].end, part.end))
        else:
            joined.append(part)
    return joined


def pieces(frame: Interval, cuts: Iterable[Sequence[Interval]]) -> list[Interval]:
    """`frame` cut at every start and end in `cuts`: within a piece, each of the interval sets holds or not throughout."""
    edges = {edge for intervals in cuts for part in intervals for edge in part}
    points = sorted({frame.start, frame.end, *(edge for edge in edges if frame.start < edge < frame.end)})
    return [Interval(start, end) for start, end in pairwise(points)]
