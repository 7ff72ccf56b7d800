"""The sources: how lately each told something, how they are, and what of it was refused."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Annotated, cast

import strawberry
from graphql import GraphQLError

from app.graphql.context import Info
from app.graphql.paging import Connection, decode_cursor, decode_number, encode_cursor, page, page_of_list, page_size
from app.graphql.usage import LARGEST
from app.identity import Role
from app.service import Headwater
from app.sources.sources import FOLDER, Again
from graph.sources import Health, Heard, Rejected, Standing, standings
from graph.time import SECOND, Instant, moment
from graph.usage import KEPT_DAYS, date_of, day_of

MOST_AGAIN = 500
_SHOWN_BYTES = 4_096
_DAYS_BEFORE = 120
"""From so many its usual pace is told."""

strawberry.enum(
    Health,
    name="SourceHealth",
    description="How a source was over some days. WELL: it told what it had to tell as steadily as it usually does. SILENT:"
    " it told nothing for longer than twice its usual pace. REFUSED: some of what it told was refused, and is not mended."
    " YOUNG: it was not there yet when they began.",
)
strawberry.enum(
    Again,
    name="RetakeOutcome",
    description="What became of a refused item that was sent again. TAKEN: it is kept no longer. REFUSED: something is still"
    " wrong with it. UNKNOWN: its bytes are not kept. LATER: the service cannot take it now.",
)


@strawberry.type(description="What a source told on one day, UTC, by arrival.")
class SourceDay:
    date: date
    items: int = strawberry.field(description="Events, spans, documents or lines, refused ones too.")
    rejected: int
    lag_seconds: float | None = strawberry.field(
        description="The longest time between what an item tells of and its arrival; null: no item told a time."
    )


@strawberry.type(
    description="Whoever tells the service what happens: this service itself (`gateway`), a producer of OpenLineage, a service"
    " that exports traces, a project that is imported, a client's origin."
)
class Source:
    standing: strawberry.Private[Standing]
    now: strawberry.Private[Instant]
    silent_days: strawberry.Private[int]
    name: str

    @strawberry.field(description="Over the days asked for.")
    def health(self) -> Health:
        return self.standing.health(self.silent_days, self.now)

    @strawberry.field
    def first_heard(self) -> datetime:
        return cast("datetime", moment(self.standing.first))

    @strawberry.field
    def last_heard(self) -> datetime:
        return cast("datetime", moment(self.standing.last))

    @strawberry.field(description="The latest time that an item told of itself; null: none told one.")
    def latest_event(self) -> datetime | None:
        return None if self.standing.newest is None else moment(self.standing.newest)

    @strawberry.field(description="How many days usually lie between two on which it tells something.")
    def usual_days(self) -> int:
        return self.standing.pace()

    @strawberry.field(description="Refused items of it that are kept.")
    def rejected(self) -> int:
        return self.standing.unmended.items if self.standing.unmended else 0

    @strawberry.field(description="Days on which it told something, of those asked for, in order.")
    def days(self) -> list[SourceDay]:
        start = day_of(self.now) - self.silent_days
        return [_day(each) for each in self.standing.days if each.day >= start]


def _day(heard: Heard) -> SourceDay:
    return SourceDay(
        date=date_of(heard.day),
        items=min(heard.items, LARGEST),
        rejected=min(heard.rejected, LARGEST),
        lag_seconds=None if heard.lag is None else heard.lag / SECOND,
    )


@strawberry.type(description="How lately a source told something, and how it was over some days.")
class Freshness:
    source: str
    last_heard: datetime | None = strawberry.field(description="Null: it is not known.")
    health: Health | None


def freshness(source: str, standing: Standing | None, health: Health | None) -> Freshness:
    return Freshness(source=source, last_heard=None if standing is None else moment(standing.last), health=health)


@strawberry.type(
    description="Something that a source told and the service refused. Kept for as long as operation ids are."
)
class RejectedItem:
    id: strawberry.ID
    source: str
    place: str = strawberry.field(description="Where it stood in its request; empty: it was all of it.")
    reason: str
    first_rejected: datetime
    last_rejected: datetime
    times: int = strawberry.field(description="How often it was sent and refused.")
    target: str = strawberry.field(description="Where it can be posted again.")
    media_type: str
    bytes: int | None = strawberry.field(description="Its size; null: it was too large to be kept.")
    excerpt: str | None = strawberry.field(description="Its first 4,096 bytes as text.")
    url: str | None = strawberry.field(description="Where all of it can be had as it came.")


def _rejected(item: Rejected) -> RejectedItem:
    kept = item.body
    return RejectedItem(
        id=strawberry.ID(item.id),
        source=item.source,
        place=item.place,
        reason=item.reason,
        first_rejected=cast("datetime", moment(item.first)),
        last_rejected=cast("datetime", moment(item.last)),
        times=item.times,
        target=item.target,
        media_type=item.form,
        bytes=None if kept is None else len(kept),
        excerpt=None if kept is None else kept[:_SHOWN_BYTES].decode(errors="replace"),
        url=None if kept is None else FOLDER + item.id,
    )


@strawberry.type
class Retaken:
    id: strawberry.ID
    outcome: Again
    reason: str | None


HealthDays = Annotated[int, strawberry.argument(description="Over how many days, and today, health is told.")]


@strawberry.type
class SourceQuery:
    @strawberry.field(description="All sources that were heard lately, in the order of their names.")
    async def sources(
        self,
        info: Info,
        silent_days: HealthDays = 7,
        first: int = 50,
        after: str | None = None,
    ) -> Connection[Source]:
        headwater, now = info.context.headwater, info.context.headwater.clock()
        checked_days(silent_days)
        await info.context.rooms.sources.settled(headwater)
        found = await standings_now(headwater, silent_days)
        return page_of_list(
            [Source(standing=each, now=now, silent_days=silent_days, name=each.source) for each in found], first, after
        )

    @strawberry.field(description="What was refused, the last first.")
    async def rejected_items(
        self, info: Info, source: str | None = None, first: int = 50, after: str | None = None
    ) -> Connection[RejectedItem]:
        headwater, size, cursor = info.context.headwater, page_size(first), decode_cursor(after, 2)
        before = None if cursor is None else (decode_number(cursor[0], after), cursor[1])
        await info.context.rooms.sources.settled(headwater)
        found = await headwater.in_thread(headwater.store.rejected, source, before, size + 1)
        nodes = [(encode_cursor(item.last, item.id), _rejected(item)) for item in found[:size]]
        return page(nodes, len(found) > size, cursor is not None)


_Ids = Annotated[list[strawberry.ID], strawberry.argument(description="At most 500.")]


@strawberry.type
class SourceMutation:
    @strawberry.mutation(
        description="Takes refused items again, as they came: after what was wrong is mended elsewhere. Needs an operator."
    )
    async def retake_rejected(self, info: Info, ids: _Ids) -> list[Retaken]:
        info.context.require(Role.OPERATOR)
        context, rooms = info.context, info.context.rooms
        retaken = await rooms.sources.retake(context.headwater, context.principal, _few(ids), rooms.router)
        return [
            Retaken(id=strawberry.ID(each.id), outcome=each.outcome, reason=each.reason or None) for each in retaken
        ]

    @strawberry.mutation(description="Gives refused items up; how many were kept. Needs an operator.")
    async def discard_rejected(self, info: Info, ids: _Ids) -> int:
        info.context.require(Role.OPERATOR)
        headwater = info.context.headwater
        return await headwater.in_thread(headwater.store.mended, _few(ids))


def _few(ids: Sequence[strawberry.ID]) -> list[str]:
    if len(ids) > MOST_AGAIN:
        raise GraphQLError(f"{len(ids)} ids are given; at most {MOST_AGAIN} at a time", extensions={"code": "TOO_MANY"})
    return [str(id_) for id_ in ids]


def checked_days(days: int) -> int:
    if not 1 <= days <= KEPT_DAYS:
        raise GraphQLError(
            f"silentDays is {days}; calls are known of 1 to {KEPT_DAYS} days", extensions={"code": "BAD_SILENT_DAYS"}
        )
    return days


async def standings_now(headwater: Headwater, days: int) -> list[Standing]:
    """Of sources that told something over the last `days`, or in the months before."""
    since = day_of(headwater.clock()) - days - _DAYS_BEFORE

    def read() -> list[Standing]:
        return standings(headwater.store.heard(since), headwater.store.unmended())

    return await headwater.in_thread(read)
