"""Whether anybody would miss an asset, and which assets nobody uses."""

import time
from datetime import datetime
from itertools import islice
from typing import Annotated

import strawberry
from graphql import GraphQLError

from app.events import GATEWAY
from app.graphql.context import Info
from app.graphql.paging import Connection, Edge, decode_cursor, encode_cursor, page_info, page_size
from app.graphql.sources import Freshness, checked_days, freshness, standings_now
from app.graphql.types import Asset, asset, key_of
from app.service import When as Asked
from graph.errors import InvalidInput
from graph.keys import AssetKey, AssetKind
from graph.removal import REMOVABLE, Judge, Removal, Verdict, removable
from graph.time import moment
from graph.topology import Moment

_AT_ONCE = 50
_A_WHILE = 2.0
"""Seconds after which a page is given as it is."""

strawberry.enum(
    Verdict,
    name="RemovalVerdict",
    description="Whether somebody would miss an asset. USED: it was seen being used. NEEDED: somebody says that they depend on"
    " it, or a job read it that has not run for as long, and was not seen. UNCOVERED: nobody was seen, and not all uses would have been seen. SAFE: nobody was seen, and"
    " every source that would have seen a use was well.",
)


@strawberry.type(name="Removal", description="What is known of an asset's uses over some days, and what is not.")
class RemovalNode:
    asset: Asset
    verdict: Verdict
    users: list[Asset] = strawberry.field(description="Who was seen using it.")
    needing: list[Asset] = strawberry.field(
        description="Who is said to depend on it, or read it before, and was not seen."
    )
    calls: int = strawberry.field(description="Over the days asked for, by callers that could not be told, too.")
    last_called: datetime | None
    watchers: list[Freshness] = strawberry.field(description="Who would have seen a use.")
    uncovered: list[str] = strawberry.field(
        description="Why a use may not have been seen, one sentence each. Empty: all would have been."
    )


_Days = Annotated[int, strawberry.argument(description="Not used for so many days.")]


@strawberry.type
class RemovalQuery:
    @strawberry.field(description="Whether anybody would miss it.")
    async def removal(self, info: Info, id: strawberry.ID, silent_days: _Days = 30) -> RemovalNode:
        checked_days(silent_days)
        key = key_of(id)
        headwater = info.context.headwater
        if key.kind not in REMOVABLE or key.is_alias:
            raise InvalidInput(f"{key} is a {key.kind}; {', '.join(REMOVABLE)} are what somebody may use", key)
        view, now = await headwater.moment(Asked())
        view.number(key)
        standings = await standings_now(headwater, silent_days)
        (found,) = await headwater.in_long_thread(
            lambda: [*Judge(headwater.store, view, now, standings, GATEWAY, silent_days).judged([key])]
        )
        return _node(found, now)

    @strawberry.field(
        description="Assets that nobody is seen using and nobody is said to need, in the order of their keys: SAFE where all"
        " uses would have been seen, else UNCOVERED. A page may hold fewer than asked for, and be followed by others."
    )
    async def unused(
        self,
        info: Info,
        kinds: Annotated[list[AssetKind] | None, strawberry.argument(description="Absent: all but parts.")] = None,
        verdict: Annotated[Verdict | None, strawberry.argument(description="SAFE or UNCOVERED alone.")] = None,
        silent_days: _Days = 30,
        first: int = 50,
        after: str | None = None,
    ) -> Connection[RemovalNode]:
        checked_days(silent_days)
        if verdict not in (None, Verdict.SAFE, Verdict.UNCOVERED):
            raise GraphQLError(
                f"verdict is {verdict}; what nobody uses is SAFE or UNCOVERED", extensions={"code": "BAD_VERDICT"}
            )
        size, cursor = page_size(first), decode_cursor(after, 1)
        asked = [kind for kind in REMOVABLE if (kind in kinds if kinds else kind not in _PARTS)]
        headwater = info.context.headwater
        view, now = await headwater.moment(Asked())
        standings = await standings_now(headwater, silent_days)

        def find() -> tuple[list[Removal], AssetKey | None, bool]:
            """Those found, the last key that was looked at, and whether there may be more."""
            judge = Judge(headwater.store, view, now, standings, GATEWAY, silent_days)
            found: list[Removal] = []
            end = time.monotonic() + _A_WHILE
            candidates = (key for key in removable(view, now, asked) if cursor is None or str(key) > cursor[0])
            while some := list(islice(candidates, _AT_ONCE)):
                for each in judge.judged(some, only_safe=verdict is Verdict.SAFE):
                    if each.verdict in (Verdict.SAFE, Verdict.UNCOVERED) and verdict in (None, each.verdict):
                        if len(found) == size:
                            return found, found[-1].asset if found else None, True
                        found.append(each)
                if time.monotonic() > end:
                    return found, some[-1], True
            return found, None, False

        found, last, more = await headwater.in_long_thread(find)
        edges = [Edge(cursor=encode_cursor(each.asset), node=_node(each, now)) for each in found]
        info_ = page_info([each.cursor for each in edges], more, cursor is not None)
        if last is not None:
            info_.end_cursor = encode_cursor(last)
        return Connection(page_info=info_, edges=edges)


_PARTS = (AssetKind.COLUMN, AssetKind.FEATURE, AssetKind.MODEL_VERSION)


def _node(found: Removal, now: Moment) -> RemovalNode:
    return RemovalNode(
        asset=asset(found.asset, now),
        verdict=found.verdict,
        users=[asset(key, now) for key in found.users],
        needing=[asset(key, now) for key in found.needing],
        calls=found.calls,
        last_called=None if found.last_called is None else moment(found.last_called),
        watchers=[freshness(*each) for each in found.watchers],
        uncovered=[*found.uncovered],
    )
