"""How much is called: a measure beside the facts, of the last thirty days, whatever the moment an answer is about."""

from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime

import strawberry

from app.graphql.context import Info
from graph.keys import AssetKey
from graph.time import Instant, moment
from graph.usage import Day, Latency, all_latency, date_of, day_of
from graph.usage import Usage as Counted

LARGEST = 2**31 - 1


@strawberry.type(description="One UTC day on which there were calls.")
class UsageDay:
    date: date
    calls: int
    errors: int


@strawberry.type(description="How long calls took, in milliseconds; quantiles within 5 %.")
class CallLatency:
    calls: int = strawberry.field(description="Those of which somebody told how long they took.")
    mean: float
    p50: float
    p95: float
    p99: float


@strawberry.type(description="Calls of the last 30 days, today included; days are of UTC.")
class Usage:
    calls: int = strawberry.field(description="From 2,147,483,647 on, that: `callsPerDay` tells more.")
    errors: int = strawberry.field(description="Those that were answered with an error.")
    calls_per_day: float = strawberry.field(description="Mean over the days since the first call among these.")
    first_seen: datetime | None
    last_seen: datetime | None
    latency: CallLatency | None = strawberry.field(description="Null where nobody told how long a call took.")
    days: list[UsageDay] = strawberry.field(description="The days with calls, in order.")


async def usage_of(info: Info, keys: Sequence[AssetKey], counts: Callable[[Counted], bool]) -> Usage:
    """The calls of `keys`, or by them, that `counts` chooses."""
    found = await info.context.usages.load_many(keys)
    every = {each.place: each for counted in found for each in counted if counts(each)}
    return summary(every.values(), info.context.headwater.clock())


def summary(counted: Iterable[Counted], now: Instant) -> Usage:
    calls: dict[Day, int] = {}
    errors: dict[Day, int] = {}
    first: Instant | None = None
    last: Instant | None = None
    latencies: list[Latency | None] = []
    for each in counted:
        calls[each.day] = calls.get(each.day, 0) + each.calls
        errors[each.day] = errors.get(each.day, 0) + each.errors
        first = each.first if first is None else min(first, each.first)
        last = each.last if last is None else max(last, each.last)
        latencies.append(each.latency)
    total = sum(calls.values())
    span = max(1, day_of(now) - min(calls, default=0) + 1)
    return Usage(
        calls=_bounded(total),
        errors=_bounded(sum(errors.values())),
        calls_per_day=total / span,
        first_seen=None if first is None else moment(first),
        last_seen=None if last is None else moment(last),
        latency=_shown(all_latency(latencies)),
        days=[
            UsageDay(date=date_of(day), calls=_bounded(calls[day]), errors=_bounded(errors[day]))
            for day in sorted(calls)
        ],
    )


def _shown(latency: Latency | None) -> CallLatency | None:
    if latency is None:
        return None
    p50, p95, p99 = (latency.quantile(share) / 1000 for share in (0.5, 0.95, 0.99))
    return CallLatency(calls=_bounded(latency.calls), mean=latency.mean / 1000, p50=p50, p95=p95, p99=p99)


def _bounded(number: int) -> int:
    """GraphQL's Int has 32 bits."""
    return min(number, LARGEST)
