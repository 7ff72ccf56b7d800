"""How much flows are used: counts per caller and UTC day, a measure beside the facts."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import TypeAlias

import orjson

from graph.keys import AssetKey
from graph.time import DAY, Instant

Day: TypeAlias = int
"""Days since 1970-01-01, UTC."""


USAGE_DAYS = 30
"""Over how many days calls a day are a mean, wherever usage is shown."""
KEPT_DAYS = 400
"""Usage of earlier days is forgotten: a year can still be compared with the one before."""


_OWN, _DORMANT = "gateway:", ":dormant"
_BUCKETS_PER_DOUBLING = 8
"""So what a quantile is said to be is within 4.5 % of what it is."""


@dataclass(frozen=True, slots=True)
class Latency:
    """How long calls took: a sum, and how many took about how long. Two of them add up to that of both."""

    microseconds: int
    buckets: Mapping[int, int]
    """Calls by bucket: number b holds those from 2^(b/8) microseconds on, up to the next. Below 0 in what takes back."""

    @classmethod
    def of(cls, microseconds: int) -> "Latency":
        """That of one call."""
        return cls(microseconds, {bucket_of(microseconds): 1})

    @classmethod
    def unpacked(cls, text: str) -> "Latency":
        microseconds, buckets = orjson.loads(text)
        return cls(microseconds, dict(buckets))

    @property
    def packed(self) -> str:
        return orjson.dumps([self.microseconds, sorted(self.buckets.items())]).decode()

    @property
    def calls(self) -> int:
        return sum(self.buckets.values())

    @property
    def mean(self) -> float:
        """In microseconds. Raises ZeroDivisionError without calls."""
        return self.microseconds / self.calls

    def quantile(self, share: float) -> float:
        """In microseconds: what `share` of the calls took at most, as far as buckets tell."""
        rank, reached, found = share * self.calls, 0, 0
        for bucket, calls in sorted(self.buckets.items()):
            if reached < rank:
                found = bucket
            reached += calls
        return float(2 ** ((found + 0.5) / _BUCKETS_PER_DOUBLING))

    def plus(self, other: "Latency | None") -> "Latency":
        if other is None:
            return self
        buckets = dict(self.buckets)
        for bucket, calls in other.buckets.items():
            buckets[bucket] = buckets.get(bucket, 0) + calls
        return Latency(self.microseconds + other.microseconds, {b: calls for b, calls in buckets.items() if calls})

    def taken_back(self) -> "Latency":
        return Latency(-self.microseconds, {bucket: -calls for bucket, calls in self.buckets.items()})


def bucket_of(microseconds: int) -> int:
    return int(math.log2(microseconds) * _BUCKETS_PER_DOUBLING) if microseconds > 1 else 0


def all_latency(each: Iterable[Latency | None]) -> Latency | None:
    """None where nobody told how long it took."""
    total: Latency | None = None
    for one in each:
        total = one if total is None else total.plus(one)
    return total if total is not None and total.calls > 0 else None


def merged_latency(one: str | None, other: str | None) -> str | None:
    """Of packed ones."""
    if one is None or other is None:
        return one or other
    both = Latency.unpacked(one).plus(Latency.unpacked(other))
    return both.packed if both.buckets else None


@dataclass(frozen=True, slots=True)
class Usage:
    """Calls to `source` by one reader on one day."""

    source: AssetKey
    reader: AssetKey | None
    """None: callers that could not be told."""
    verified: bool
    """The reader was bound to a credential; else it only claimed its name."""
    day: Day
    calls: int
    """May be negative in what is added: calls that turned out to be another reader's."""
    errors: int
    first: Instant
    last: Instant
    latency: Latency | None = field(default=None, hash=False)  # it holds a mapping
    """None: nobody told how long they took."""

    @property
    def place(self) -> tuple[AssetKey, AssetKey | None, bool, Day]:
        """What tells it from others."""
        return self.source, self.reader, self.verified, self.day


def date_of(day: Day) -> date:
    return date(1970, 1, 1) + timedelta(days=day)


def day_of(at: Instant) -> Day:
    return at // DAY


def dormant_origin(origin: str) -> str:
    """The origin of the flows of `origin` that were not seen for long: told, and nothing breaks by them now."""
    return origin + _DORMANT


def is_dormant(origin: str) -> bool:
    return origin.startswith(_OWN) and origin.endswith(_DORMANT)


OF_CALLS = frozenset(origin + end for origin in ("gateway:verified", "gateway:claimed") for end in ("", _DORMANT))
"""The origins of flows that follow from calls, which are counted: they say no more than that there was one once."""
