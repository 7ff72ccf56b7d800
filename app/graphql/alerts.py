"""Alerts: what drifted, what may have caused it, and who is hit."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from datetime import datetime
from typing import cast

import strawberry
from strawberry.scalars import JSON

from app.alerting.alert import Alert as AlertRecord
from app.alerting.alert import AlertState, Found, read_alert
from app.asking import Question
from app.events import Side
from app.graphql.context import Info
from app.graphql.lineage import LineageConnection, LineageEdge, answer
from app.graphql.paging import Connection, decode_offset, encode_cursor, page_info, page_of_list, page_size
from app.graphql.problems import problem
from app.graphql.registering import RegisterResult, answered
from app.graphql.types import ASSET_TYPES, Asset, asset, key_of
from app.graphql.usage import LARGEST
from app.identity import Role
from app.service import Headwater, When
from graph.cause import Cause as Ranked
from graph.cause import Reason
from graph.changes import Receipt
from graph.errors import GraphError
from graph.keys import AssetKey, AssetKind
from graph.model import Timing
from graph.time import Instant, moment
from graph.topology import Moment
from graph.walk import AssetFilter, Direction, FlowFilter, Lineage

_LIVE = FlowFilter(timings=(Timing.LIVE,))

strawberry.enum(
    AlertState,
    name="AlertState",
    description="OPEN: nobody has said anything yet. ACKNOWLEDGED: somebody looks after it. RESOLVED: it is over.",
)
strawberry.enum(Side, name="DriftSide", description="Whether an input or an output of a version drifted.")
strawberry.enum(
    Reason,
    name="CauseReason",
    description="In the order of rank. DRIFTED: it drifts itself. CHANGED: its definition, type or what flows into it"
    " changed within the seven days before. UPSTREAM: data flows from it, and nobody measures it.",
)


@strawberry.type(description="A statistical test, and how likely chance alone would show as much.")
class DriftTest:
    name: str = strawberry.field(description="ks, chi2 or missing.")
    statistic: float
    p_value: float


@strawberry.type(description="An input or output whose values differ from those that the version was trained on.")
class DriftedColumn:
    found: strawberry.Private[Found]
    moment: strawberry.Private[Moment]
    name: str
    side: Side
    tests: list[DriftTest]
    effect: float = strawberry.field(
        description="Jensen-Shannon divergence in bits, from 0 (no difference) to 1 (nothing in common)."
    )
    reference: JSON = strawberry.field(description="rows, missing (share), and for numbers mean and sd.")
    current: JSON = strawberry.field(description="The same of the last window that drifted.")

    @strawberry.field(description="The feature that this input is; null for outputs and for plain inputs.")
    def asset(self) -> Asset | None:
        feature = self.found.column.feature
        return None if feature is None else asset(feature, self.moment)

    @strawberry.field(description="Whose requests showed it.")
    def deployment(self) -> Asset:
        return asset(self.found.deployment, self.moment)


@strawberry.type(description="What upstream may have caused it. Flows that are baked in by training are not followed.")
class Cause:
    cause: strawberry.Private[Ranked]
    moment: strawberry.Private[Moment]
    reason: Reason
    explanation: str
    hops: int = strawberry.field(description="How many flows upstream.")

    @strawberry.field
    def asset(self) -> Asset:
        return asset(self.cause.asset, self.moment)


@strawberry.type(description="Something that went wrong at an asset. Nothing flows through it.")
class Alert(Asset):
    @strawberry.field(description="A sentence for people: what drifted where.")
    async def title(self, info: Info) -> str:
        return (await self._alert(info)).title

    @strawberry.field
    async def state(self, info: Info) -> AlertState:
        return (await self._alert(info)).state

    @strawberry.field(
        description="The feature that drifted; the deployment, for an output or an input that is no feature."
    )
    async def about(self, info: Info) -> Asset:
        return asset((await self._alert(info)).about, self.moment)

    @strawberry.field(
        description="The nearest source column upstream of `about`; of several equally near, the first. Null: none is known."
    )
    async def column(self, info: Info) -> Asset | None:
        column = (await self._alert(info)).column
        return None if column is None else asset(column, self.moment)

    @strawberry.field(description="Those whose requests showed it, in the order in which they did.")
    async def deployments(self, info: Info, first: int = 50, after: str | None = None) -> LineageConnection:
        alert = await self._alert(info)
        downstream = await self._downstream(info)
        hops = {} if downstream is None else dict(zip(downstream.keys(), downstream.hops.tolist(), strict=True))
        start, size = decode_offset(after), page_size(first)
        edges = [
            LineageEdge(
                answered=None,
                row=0,
                place=(place,),
                node=asset(key, self.moment),
                hops=hops.get(key, 0),
                partly=False,
                stub=False,
            )
            for place, key in enumerate(alert.deployments[start : start + size], start)
        ]
        more = start + size < len(alert.deployments)
        return LineageConnection(
            total=len(alert.deployments),
            page_info=page_info([encode_cursor(*edge.place) for edge in edges], more, start > 0),
            edges=edges,
        )

    @strawberry.field(description="The version that it was first found at.")
    async def model_version(self, info: Info) -> Asset | None:
        return asset((await self._alert(info)).model_version, self.moment)

    @strawberry.field
    async def opened_at(self, info: Info) -> datetime:
        return _time((await self._alert(info)).opened_at)

    @strawberry.field(
        description="When it last showed; while it goes on this lags by up to a tenth of the alert's age, as do `rows` and"
        " the numbers in `drifted`."
    )
    async def last_seen(self, info: Info) -> datetime:
        return _time((await self._alert(info)).last_seen)

    @strawberry.field(description="Predictions in all windows that showed it, up to 2,147,483,647.")
    async def rows(self, info: Info) -> int:
        return min((await self._alert(info)).rows, LARGEST)

    @strawberry.field(description="What it was found by first, consequences after it.")
    async def drifted(self, info: Info) -> list[DriftedColumn]:
        return [_drifted(found, self.moment) for found in (await self._alert(info)).found]

    @strawberry.field(description="The likeliest first, as ranked when it was opened.")
    async def causes(self, info: Info) -> list[Cause]:
        return [
            Cause(cause=cause, moment=self.moment, reason=cause.reason, explanation=cause.explanation, hops=cause.hops)
            for cause in (await self._alert(info)).causes
        ]

    @strawberry.field(description="Who is hit: the consumers downstream of `about` by live flows, now.")
    async def consumers(self, info: Info, first: int = 50, after: str | None = None) -> LineageConnection:
        about = (await self._alert(info)).about
        question = Question(about, Direction.DOWNSTREAM, flows=_LIVE, select=AssetFilter(kinds=(AssetKind.CONSUMER,)))
        return await (await answer(info, question, When())).assets(info, first, after)

    # Not in the schema

    async def _alert(self, info: Info) -> AlertRecord:
        return read_alert(self.key, await self.shown(info))

    async def _downstream(self, info: Info) -> Lineage | None:
        question = Question((await self._alert(info)).about, Direction.DOWNSTREAM, flows=_LIVE)
        try:
            return (await answer(info, question, When())).answered.lineage
        except GraphError:
            return None


ASSET_TYPES[AssetKind.ALERT] = Alert


@strawberry.type
class AlertQuery:
    @strawberry.field(description="Newest first.")
    async def alerts(
        self, info: Info, states: list[AlertState] | None = None, first: int = 50, after: str | None = None
    ) -> Connection[Alert]:
        at, alerts = await info.context.alerts.load(None)
        chosen = [_node(alert.key, at) for alert in alerts if states is None or alert.state in states]
        return page_of_list(chosen, first, after)


@strawberry.type
class AlertMutation:
    @strawberry.mutation(description="Somebody looks after it: who is recorded.")
    async def acknowledge_alert(self, info: Info, id: strawberry.ID) -> RegisterResult:
        return await _done(info, id, info.context.rooms.alerting.acknowledge)

    @strawberry.mutation(description="It is over; drift that goes on is a new alert.")
    async def resolve_alert(self, info: Info, id: strawberry.ID) -> RegisterResult:
        return await _done(info, id, info.context.rooms.alerting.resolve)


@strawberry.type
class AlertSubscription:
    @strawberry.subscription(description="Every alert that is raised or changed, as it happens.")
    async def alerts(self, info: Info) -> AsyncGenerator[Alert, None]:
        async for revision in info.context.headwater.revisions():
            told = [row.assertion.subject for row in revision.opened]
            for key in dict.fromkeys(told):
                if isinstance(key, AssetKey) and key.kind is AssetKind.ALERT:
                    yield _node(key, Moment(revision.at, revision.number))


async def alerts_of(info: Info, names: Sequence[AssetKey], open_only: bool, first: int) -> list[Alert]:
    at, alerts = await info.context.alerts.load(None)
    chosen = [
        _node(alert.key, at)
        for alert in alerts
        if not {
            alert.about,
            alert.column,
            *alert.deployments,
            *(found.column.feature for found in alert.found),
        }.isdisjoint(names)
        and not (open_only and alert.state is AlertState.RESOLVED)
    ]
    return chosen[: page_size(first)]


async def _done(
    info: Info, id: strawberry.ID, act: Callable[[Headwater, AssetKey, str], Awaitable[Receipt]]
) -> RegisterResult:
    info.context.require(Role.CONTRIBUTOR)
    try:
        key = key_of(id)
        return answered(info, await act(info.context.headwater, key, info.context.principal.name), [key])
    except GraphError as error:
        return problem(error)  # type: ignore[return-value]  # registering meets only these


def _node(key: AssetKey, at: Moment) -> Alert:
    return Alert(id=strawberry.ID(str(key)), moment=at)


def _drifted(found: Found, at: Moment) -> DriftedColumn:
    column = found.column
    return DriftedColumn(
        found=found,
        moment=at,
        name=column.name,
        side=column.side,
        tests=[DriftTest(name=test.name, statistic=test.statistic, p_value=test.p_value) for test in column.tests],
        effect=column.effect,
        reference=cast("JSON", dict(column.reference)),
        current=cast("JSON", dict(column.current)),
    )


def _time(at: Instant) -> datetime:
    when = moment(at)
    assert when is not None
    return when
