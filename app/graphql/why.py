"""Why an answer is as it is: what everything passes through, what would cut it off, and by how many paths."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, TypeAlias, TypeVar

import strawberry
from graphql import GraphQLError
from strawberry.relay import PageInfo

from app.graphql.context import Context, Info
from app.graphql.paging import decode_offset, encode_cursor, page_info, page_size
from app.graphql.types import Asset, asset, key_of
from graph.errors import InvalidInput
from graph.keys import AssetKey
from graph.paths import Count, count_paths
from graph.same import names_of
from graph.topology import Ints, Moment, View
from graph.walk import FlowFilter, Follow, Lineage
from graph.why import Cut, Nearest, Passages, Remove, Why

if TYPE_CHECKING:
    from app.graphql.lineage import AssetFilterInput

T = TypeVar("T")

strawberry.enum(
    Remove,
    name="Remove",
    description="What a cut is made of: assets, or FLOWS: all that flows straight from one asset to another.",
)
strawberry.enum(Nearest, name="Nearest", description="Which of several smallest cuts: all lie between these two.")

Targets: TypeAlias = Annotated[
    Annotated["AssetFilterInput", strawberry.lazy("app.graphql.lineage")] | None,
    strawberry.argument(description="Which assets of the answer are meant; absent: those that `select` chose."),
]


@strawberry.type(description="An asset through which alone some of the targets are reached.")
class Passage:
    cursor: str
    node: Asset
    cuts_off: int = strawberry.field(
        description="How many of the targets every path reaches through it; it does not count itself."
    )


@strawberry.type(description="What cuts off most comes first, then in the order of the keys.")
class PassageConnection:
    total: int = strawberry.field(description="How many assets cut off any of the targets.")
    targets: int = strawberry.field(description="How many targets there are.")
    page_info: PageInfo
    edges: list[Passage]


@strawberry.type(description="One member of a cut: an asset, or what flows to it straight from `source`.")
class CutMember:
    cursor: str
    node: Asset
    source: Asset | None = strawberry.field(description="Null where assets are removed.")
    cuts_off: int = strawberry.field(
        description="How many targets it would cut off by itself; it does not count itself."
    )


@strawberry.type(description="The members of a cut, in the order of their keys.")
class CutConnection:
    total: int
    page_info: PageInfo
    edges: list[CutMember]


@strawberry.type(
    description="The fewest assets (never the start, its parts, its container, or a target) or flows without which no target is reached."
)
class MinimalCut:
    answered: strawberry.Private["Explained"]
    rows: strawberry.Private[Ints]
    cut: strawberry.Private[Cut]

    @strawberry.field(description="How many targets there are.")
    def targets(self) -> int:
        return len(self.rows)

    @strawberry.field(description="How many members it has; null: nothing that may be removed separates all targets.")
    def size(self) -> int | None:
        return None if self.cut.direct else len(self.cut.members)

    @strawberry.field(
        description="No cut is smaller than this. It equals `size`, unless the two ports of very many containers kept the"
        " search from proving it."
    )
    def at_least(self) -> int:
        return self.cut.at_least

    @strawberry.field(
        description="The targets that are reached straight from the start; while there are any, nothing cuts."
    )
    def direct(self, first: int = 50) -> list[Asset]:
        at = self.answered.lineage.moment
        return [asset(key, at) for key in self.cut.direct[: page_size(first)]]

    @strawberry.field
    async def members(self, info: Info, first: int = 50, after: str | None = None) -> CutConnection:
        size, start, at = page_size(first), decode_offset(after), self.answered.lineage.moment
        shown = self.cut.members[start : start + size]
        why = await self.answered.why(info.context)
        alone = await info.context.headwater.in_thread(why.alone, shown, self.rows)
        edges = [
            CutMember(
                cursor=encode_cursor(place),
                node=asset(member.asset, at),
                source=asset(member.source, at) if member.source else None,
                cuts_off=cuts_off,
            )
            for place, (member, cuts_off) in enumerate(zip(shown, alone, strict=True), start)
        ]
        total = len(self.cut.members)
        pages = page_info([edge.cursor for edge in edges], start + size < total, start > 0)
        return CutConnection(total=total, page_info=pages, edges=edges)


class Explained:
    """An answer and, once somebody asks, why it is so."""

    def __init__(self, lineage: Lineage, rows: Ints) -> None:
        self.lineage, self.rows = lineage, rows
        self._why: asyncio.Task[Why] | None = None

    async def why(self, context: Context) -> Why:
        if self._why is None:
            made: Awaitable[Why] = context.headwater.in_thread(Why, self.lineage)
            self._why = asyncio.ensure_future(made)
        return await self._why


@strawberry.type(
    name="Why",
    description="Through what the targets are reached. To remove an asset is to remove it alone: not its parts, nor its container.",
)
class WhyNode:
    answered: strawberry.Private[Explained]
    chosen: strawberry.Private[Callable[["AssetFilterInput | None"], Ints]]

    @strawberry.field(description="The assets that every path to some of the targets passes through.")
    async def through_assets(
        self, info: Info, targets: Targets = None, first: int = 10, after: str | None = None
    ) -> PassageConnection:
        size, start, at = page_size(first), decode_offset(after), self.answered.lineage.moment
        why = await self.answered.why(info.context)
        run = info.context.headwater.in_thread
        rows = await run(self.chosen, targets)
        passages: Passages = await run(why.passages, rows)
        shown = await run(passages.page, start, size)
        edges = [
            Passage(cursor=encode_cursor(place), node=asset(each.asset, at), cuts_off=each.cuts_off)
            for place, each in enumerate(shown, start)
        ]
        pages = page_info([edge.cursor for edge in edges], start + size < len(passages), start > 0)
        return PassageConnection(total=len(passages), targets=len(rows), page_info=pages, edges=edges)

    @strawberry.field(
        description="What every path to one asset passes through, each before those that it cuts off. Null: it is not in the"
        " answer. Empty: no asset alone cuts it off."
    )
    async def on_every_path(
        self,
        info: Info,
        to: Annotated[strawberry.ID, strawberry.argument(description="The id of an asset.")],
        first: int = 50,
    ) -> list[Asset] | None:
        lineage, size = self.answered.lineage, page_size(first)
        row = await info.context.headwater.in_thread(_row_of, lineage, key_of(to))
        if row is None:
            return None
        why = await self.answered.why(info.context)
        chain = await info.context.headwater.in_thread(why.chain, row)
        return [asset(key, lineage.moment) for key in chain[:size]]

    @strawberry.field(description="The fewest that would have to go so that none of the targets is reached.")
    async def minimal_cut(
        self, info: Info, targets: Targets = None, remove: Remove = Remove.ASSETS, nearest: Nearest = Nearest.START
    ) -> MinimalCut:
        why = await self.answered.why(info.context)
        rows = await info.context.headwater.in_thread(self.chosen, targets)
        cut = await info.context.headwater.in_thread(why.cut, rows, remove, nearest)
        return MinimalCut(answered=self.answered, rows=rows, cut=cut)


def _row_of(lineage: Lineage, key: AssetKey) -> int | None:
    number = lineage.view.numbers.get(str(names_of(lineage.view, key, lineage.moment)[0]))
    rows = [] if number is None else (lineage.assets == number).nonzero()[0].tolist()
    return rows[0] if rows else None


@strawberry.type(
    description="How many paths there are. Two are one when they pass from asset to asset in the same way, whatever the"
    " jobs. Numbers are decimal text, as they may have hundreds of digits."
)
class PathCount:
    total: str | None = strawberry.field(
        description="Null when cyclic: as long as some flows lead round, only the shortest are counted."
    )
    shortest: str = strawberry.field(description="How many are as short as can be.")
    length: int = strawberry.field(description="How many flows the shortest have.")
    cyclic: bool = strawberry.field(description="Some flows on the way lead round.")


async def path_count(
    context: Context, view: View, ends: tuple[AssetKey, AssetKey], at: Moment, follow: Follow, flows: FlowFilter
) -> PathCount:
    try:
        count: Count = await context.headwater.in_thread(count_paths, view, *ends, at, follow, flows)
    except InvalidInput as error:
        raise GraphQLError(str(error), extensions={"code": "TOO_MANY_PATHS"}) from error
    return PathCount(
        total=None if count.every is None else decimal(count.every),
        shortest=decimal(count.shortest),
        length=count.length,
        cyclic=count.cyclic,
    )


def decimal(number: int) -> str:
    """As text, however long: `str` refuses more than 4,300 digits."""
    digits = []
    while number >= _CHUNK:
        number, low = divmod(number, _CHUNK)
        digits.append(f"{low:0{_DIGITS}}")
    return "".join([str(number), *reversed(digits)])


_DIGITS = 4_000
_CHUNK = 10**_DIGITS
