"""How much is called: a measure beside the facts, of the last thirty days, whatever the moment an answer is about."""

from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime, timedelta

import strawberry

from app.graphql.context import Info
from graph.keys import AssetKey
from graph.time import Instant, moment
from graph.usage import Day, day_of
from graph.usage import Usage as Counted

LARGEST = 2**31 - 1


@strawberry.type(description="One UTC day on which there were calls.")
class UsageDay:
    date: date
    calls: int
    errors: int


@strawberry.type(description="Calls of the last 30 days, today included; days are of UTC.")
class Usage:
    calls: int = strawberry.field(description="From 2,147,483,647 on, that: `callsPerDay` tells more.")
    errors: int = strawberry.field(description="Those that were answered with an error.")
    calls_per_day: float = strawberry.field(description="Mean over the days since the first call among these.")
    first_seen: datetime | None
    last_seen: datetime | None
    days: list[UsageDay] = strawberry.field(description="The days with calls, in order.")


async def usage_of(info: Info, keys: Sequence[AssetKey], counts: Callable[[Counted], bool]) -> Usage:
    """The calls of `keys`, or by them, that `counts` chooses."""
    found = await info.context.usages.load_many(keys)
    every = dict.fromkeys(counted for each in found for counted in each if counts(counted))
    return summary(every, info.context.headwater.clock())


def summary(counted: Iterable[Counted], now: Instant) -> Usage:
    calls: dict[Day, int] = {}
    errors: dict[Day, int] = {}
    first: Instant | None = None
    last: Instant | None = None
    for each in counted:
        calls[each.day] = calls.get(each.day, 0) + each.calls
        errors[each.day] = errors.get(each.day, 0) + each.errors
        first = each.first if first is None else min(first, each.first)
        last = each.last if last is None else max(last, each.last)
    total = sum(calls.values())
    span = max(1, day_of(now) - min(calls, default=0) + 1)
    return Usage(
        calls=_bounded(total),
        errors=_bounded(sum(errors.values())),
        calls_per_day=total / span,
        first_seen=None if first is None else moment(first),
        last_seen=None if last is None else moment(last),
        days=[
            UsageDay(
                date=date(1970, 1, 1) + timedelta(days=day), calls=_bounded(calls[day]), errors=_bounded(errors[day])
            )
            for day in sorted(calls)
        ],
    )


def _bounded(number: int) -> int:
    """GraphQL's Int has 32 bits."""
    return min(number, LARGEST)
