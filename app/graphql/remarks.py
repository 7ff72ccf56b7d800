"""Deprecating, acknowledging, and what a policy decided."""

from collections.abc import Awaitable, Callable
from datetime import date, datetime
from typing import Annotated

import strawberry

from app.graphql.context import Info
from app.graphql.paging import Connection, page_of_list, page_size
from app.graphql.problems import problem
from app.graphql.registering import RegisterResult, answered
from app.graphql.remarked import Acknowledgement, Deprecation, acknowledgement, deprecation
from app.graphql.types import Asset, asset, key_of
from app.graphql.usage import Usage, usage_of
from app.identity import Role
from app.service import When
from graph.changes import Receipt
from graph.check.policy import TOLD, Effect
from graph.check.policy import Decision as Decided
from graph.errors import GraphError, NotFound
from graph.keys import AssetKey, AssetKind
from graph.remarks import DEPRECATIONS
from graph.time import moment
from graph.topology import Moment, View
from graph.walk import AssetFilter, Direction, Follow, selected, walk

strawberry.enum(
    Effect,
    name="PolicyEffect",
    description="BLOCK: it must not be merged. ACKNOWLEDGE: somebody who answers for the affected asset must agree."
    " PASS: nothing is demanded.",
)


@strawberry.type(description="What the policy demands of what changes do to an asset: the strictest of it.")
class Decision:
    rule: str = strawberry.field(description="The rule that decided: its name, or its place in the policy.")
    effect: Effect
    reason: str
    acknowledged_by: list[str] = strawberry.field(
        description="Who has agreed, where that is demanded and enough; empty: nobody has, or nobody need."
    )
    until: datetime | None = strawberry.field(description="Until when that counts.")
    acknowledgements: list[Acknowledgement]


def decision(decided: Decided | None) -> Decision | None:
    if decided is None:
        return None
    given = decided.acknowledgements
    return Decision(
        rule=decided.rule,
        effect=decided.effect,
        reason=decided.reason,
        acknowledged_by=sorted({each.by for each in given}),
        until=moment(min(each.until for each in given)) if given else None,
        acknowledgements=[acknowledgement(each) for each in given],
    )


@strawberry.type(description="A deployment or a consumer that would miss what is deprecated.")
class DeprecationUser:
    deprecated: strawberry.Private[AssetKey]
    key: strawberry.Private[AssetKey]
    asset: Asset
    hops: int

    @strawberry.field(
        description="Its calls of what is deprecated, where calls of that are counted and it makes them itself; else how much"
        " it is in use."
    )
    async def usage(self, info: Info) -> Usage:
        if self.hops == 1 and self.deprecated.kind in _CALLED:
            calls = (self.deprecated, self.key)
            return await usage_of(info, [self.key], lambda each: (each.source, each.reader) == calls)
        made = self.key.kind is AssetKind.CONSUMER
        return await usage_of(info, [self.key], lambda each: (each.reader if made else each.source) == self.key)


@strawberry.type(description="Something that is deprecated, and who still uses it.")
class DeprecatedAsset:
    key: strawberry.Private[AssetKey]
    moment: strawberry.Private[Moment]
    asset: Asset
    deprecation: Deprecation

    @strawberry.field(description="Who would miss it, nearest first.")
    async def users(self, info: Info, first: int = 20) -> list[DeprecationUser]:
        view = info.context.headwater.index.view()
        found = await info.context.headwater.in_thread(_users, view, self.key, self.moment)
        return [
            DeprecationUser(deprecated=self.key, key=key, asset=asset(key, self.moment), hops=hops)
            for key, hops in found[: page_size(first)]
        ]

    @strawberry.field(description="How many would miss it.")
    async def users_total(self, info: Info) -> int:
        view = info.context.headwater.index.view()
        return len(await info.context.headwater.in_thread(_users, view, self.key, self.moment))


@strawberry.type
class DeprecationQuery:
    @strawberry.field(description="What is deprecated, what must go soonest first: watch its use go to zero.")
    async def deprecations(self, info: Info, first: int = 50, after: str | None = None) -> Connection[DeprecatedAsset]:
        headwater = info.context.headwater
        _, now = await headwater.moment(When())
        remarked = await headwater.in_thread(headwater.store.believed_by, DEPRECATIONS)
        keys = [key for key in remarked if isinstance(key, AssetKey)]
        said = await headwater.believed(keys, now.revision)
        found = []
        for key in keys:
            told = deprecation([row.assertion for row in said.get(key, ())], now)
            if told is not None:
                found.append(DeprecatedAsset(key=key, moment=now, asset=asset(key, now), deprecation=told))
        found.sort(key=lambda each: (each.deprecation.until or date.max, str(each.key)))
        return page_of_list(found, first, after)


Assets = Annotated[
    list[strawberry.ID],
    strawberry.argument(description="The affected deployments and consumers for which the caller speaks."),
]
Digest = Annotated[str, strawberry.argument(description="The `digest` of a finding of `check`.")]


@strawberry.type
class RemarkMutation:
    @strawberry.mutation(
        description="It goes away: everybody downstream is told, and its use is watched. Again with other words: they count,"
        " and the period goes on."
    )
    async def deprecate(
        self,
        info: Info,
        id: strawberry.ID,
        until: Annotated[
            date | None, strawberry.argument(description="The day from which it may be gone; absent: none is fixed.")
        ] = None,
        replacement: Annotated[
            str | None, strawberry.argument(description="What to use instead: an asset key, or words.")
        ] = None,
        reason: str | None = None,
    ) -> RegisterResult:
        agreement = info.context.rooms.agreement
        name = info.context.principal.name

        async def done(keys: list[AssetKey]) -> Receipt:
            return await agreement.deprecate(info.context.headwater, keys[0], until, replacement, reason, name)

        return await _done(info, [id], done)

    @strawberry.mutation(description="It stays after all; everybody downstream is told.")
    async def undeprecate(self, info: Info, id: strawberry.ID) -> RegisterResult:
        agreement = info.context.rooms.agreement
        name = info.context.principal.name

        async def done(keys: list[AssetKey]) -> Receipt:
            return await agreement.undeprecate(info.context.headwater, keys[0], name)

        return await _done(info, [id], done)

    @strawberry.mutation(
        description="What one change does to these assets is agreed with the caller: an owner of each (their name or contact is"
        " the name of the caller's token), or an operator of the service. Of exactly this change: another needs another word."
    )
    async def acknowledge(
        self,
        info: Info,
        assets: Assets,
        digest: Digest,
        change: Annotated[strawberry.ID, strawberry.argument(description="What changes: the `id` of that finding.")],
        until: Annotated[
            date | None, strawberry.argument(description="The last day on which it counts; absent: 30 days from now.")
        ] = None,
        note: Annotated[str | None, strawberry.argument(description="For those who read the report.")] = None,
    ) -> RegisterResult:
        context = info.context
        try:
            changed = key_of(change)
        except GraphError as error:
            return problem(error)  # type: ignore[return-value]  # keys meet only these

        async def done(keys: list[AssetKey]) -> Receipt:
            return await context.rooms.agreement.acknowledge(
                context.headwater, context.principal, keys, digest, changed, until, note
            )

        return await _done(info, assets, done)

    @strawberry.mutation(description="Takes back what was acknowledged; whoever may acknowledge may.")
    async def withdraw_acknowledgement(self, info: Info, assets: Assets, digest: Digest) -> RegisterResult:
        context = info.context

        async def done(keys: list[AssetKey]) -> Receipt:
            return await context.rooms.agreement.withdraw(context.headwater, context.principal, keys, digest)

        return await _done(info, assets, done)


_CALLED = {AssetKind.DEPLOYMENT, AssetKind.FEATURE, AssetKind.FEATURE_VIEW}


async def _done(
    info: Info, ids: list[strawberry.ID], act: Callable[[list[AssetKey]], Awaitable[Receipt]]
) -> RegisterResult:
    info.context.require(Role.CONTRIBUTOR)
    try:
        keys = [key_of(each) for each in dict.fromkeys(ids)]
        return answered(info, await act(keys), keys)
    except GraphError as error:
        return problem(error)  # type: ignore[return-value]  # registering meets only these


def _users(view: View, key: AssetKey, at: Moment) -> list[tuple[AssetKey, int]]:
    try:
        lineage = walk(view, key, Direction.DOWNSTREAM, at, Follow.LOSS)
    except NotFound:
        return []
    return [(lineage.key(row), int(lineage.hops[row])) for row in selected(lineage, AssetFilter(kinds=TOLD)).tolist()]
