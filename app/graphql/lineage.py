"""Lineage answers: what is reached, how far, when it is felt, and whether the answer is whole."""

from collections.abc import Iterable, Sequence, Set
from datetime import datetime
from enum import Enum
from typing import Annotated, cast

import numpy as np
import orjson
import strawberry
from strawberry.relay import PageInfo
from strawberry.scalars import JSON
from strawberry.types.nodes import SelectedField, Selection

from app.asking import Answer, Question, ask
from app.events import CLAIMED
from app.graphql.context import Context, Info
from app.graphql.lists import of_many
from app.graphql.paging import decode_cursor, encode_cursor, page_info, page_size
from app.graphql.problems import InvalidInputProblem, RevisionUnavailableProblem, UnknownAssetProblem
from app.graphql.sources import Freshness, HealthDays, checked_days, freshness, standings_now
from app.graphql.types import Asset, AtHand, FlowNode, asset, assets_at, flow_node, key_of
from app.graphql.usage import Usage, usage_of
from app.graphql.why import Explained, PathCount, WhyNode, path_count
from app.http.tables import json_columns
from app.service import When
from graph.errors import InvalidInput
from graph.impact import When as Felt
from graph.keys import AssetKey, AssetKind
from graph.model import Basis, Timing
from graph.neighbours import HeldFlow, arrows_walked, sources_walked
from graph.paths import Path
from graph.same import groups_at
from graph.summary import count_by_kind, count_by_owner, count_by_when
from graph.time import instant, moment
from graph.topology import KIND_CODE, Ints, Moment, View
from graph.usage import dormant_origin
from graph.walk import AssetFilter, Direction, FlowFilter, Follow, Lineage, selected

strawberry.enum(Direction, name="Direction")
strawberry.enum(Follow, name="Follow", description="What a walk follows: differing content, or loss.")


class WhenFelt(Enum):
    NOW = "NOW"
    NEXT_TRAINING = "NEXT_TRAINING"
    HISTORIC = "HISTORIC"


_WHEN_FELT = {when.value: WhenFelt[when.name] for when in Felt}

strawberry.enum(
    WhenFelt,
    name="WhenFelt",
    description="NOW: some path is all live. NEXT_TRAINING: every path has something baked in. HISTORIC: reached only"
    " through old runs or versions that nothing uses any more, or through calls that were not seen for long (a setting, 90"
    " days); left out of the headline.",
)


class IncompleteReason(Enum):
    DEPTH = "DEPTH"


strawberry.enum(IncompleteReason, description="What stopped a path.")


@strawberry.input(description="Restricts the walk to some flows. Within a field any value matches.")
class FlowFilterInput:
    bases: list[Basis] = strawberry.field(default_factory=list)
    timings: list[Timing] = strawberry.field(default_factory=list)
    origins: list[str] = strawberry.field(default_factory=list)
    verified: bool = strawberry.field(default=False, description="Without what callers only claimed to be.")


@strawberry.input(description="Selects from the answer, and never stops the walk. Between fields all must match.")
class AssetFilterInput:
    kinds: list[AssetKind] = strawberry.field(default_factory=list)
    namespaces: list[str] = strawberry.field(default_factory=list)
    owners: list[str] = strawberry.field(default_factory=list)
    tags: list[str] = strawberry.field(default_factory=list)
    tiers: list[int] = strawberry.field(default_factory=list)


@strawberry.input(one_of=True, description="As of which knowledge: a revision, or an instant's last revision.")
class KnownAtInput:
    revision: strawberry.Maybe[int]
    instant: strawberry.Maybe[datetime]


def flow_filter(given: FlowFilterInput | None) -> FlowFilter:
    if given is None:
        return FlowFilter()
    without = (CLAIMED, dormant_origin(CLAIMED)) if given.verified else ()
    return FlowFilter(tuple(given.bases), tuple(given.timings), tuple(given.origins), without)


def asset_filter(given: AssetFilterInput | None) -> AssetFilter:
    if given is None:
        return AssetFilter()
    return AssetFilter(
        tuple(given.kinds), tuple(given.namespaces), tuple(given.owners), tuple(given.tags), tuple(given.tiers)
    )


def when(at: datetime | None, known_at: KnownAtInput | None, at_least_revision: int | None) -> When:
    """Raises InvalidTime."""
    revision = known_at.revision if known_at else None
    since = known_at.instant if known_at else None
    return When(
        at=None if at is None else instant(at),
        known_at_revision=revision.value if revision else None,
        known_at_instant=instant(since.value) if since else None,
        at_least_revision=at_least_revision,
    )


@strawberry.type
class KindCount:
    kind: AssetKind
    count: int


@strawberry.type
class OwnerCount:
    owner: str | None = strawberry.field(description="Null: nobody owns these.")
    count: int


@strawberry.type
class WhenCount:
    when: WhenFelt
    count: int


@strawberry.type(description="Exact counts over all that was selected, shown on this page or not.")
class LineageCounts:
    answered: strawberry.Private[Answer]

    @strawberry.field
    async def by_kind(self) -> list[KindCount]:
        counts = await self.answered.run(count_by_kind, self.answered.lineage, self.answered.rows)
        return [KindCount(kind=kind, count=count) for kind, count in counts.items()]

    @strawberry.field(description="An asset with two owners counts for both.")
    async def by_owner(self) -> list[OwnerCount]:
        counts = await self.answered.run(count_by_owner, self.answered.lineage, self.answered.rows)
        return [OwnerCount(owner=owner, count=count) for owner, count in counts.items()]

    @strawberry.field
    async def by_when(self) -> list[WhenCount]:
        counts = await self.answered.run(count_by_when, await self.answered.felt(), self.answered.rows)
        return [WhenCount(when=WhenFelt[when.name], count=count) for when, count in counts.items()]


@strawberry.type(description="One asset of the answer.")
class LineageEdge:
    answered: strawberry.Private[Answer | None]
    row: strawberry.Private[int]
    place: strawberry.Private[tuple[int, ...]]
    node: Asset
    hops: int = strawberry.field(description="How many flows away; part-of steps cost nothing.")
    partly: bool = strawberry.field(description="Some of it is reached, not all of it.")
    stub: bool = strawberry.field(description="Known only as the end of a flow.")

    @strawberry.field(description="It is not there yet: only a simulated plan makes it.")
    def planned(self) -> bool:
        return self.answered is not None and self.answered.is_planned(self.node.key)

    @strawberry.field
    def cursor(self) -> str:
        return encode_cursor(*self.place)

    @of_many(WhenFelt, description="When a change of the start is felt here.")
    @staticmethod
    async def when(edges: Sequence["LineageEdge"], context: Context) -> list[WhenFelt]:
        felt = {edge.answered: await edge.answered.felt() for edge in edges if edge.answered is not None}
        return [
            WhenFelt.NOW  # listed for what it is, not for what a walk found
            if edge.answered is None
            else _WHEN_FELT[int(felt[edge.answered][edge.row])]
            for edge in edges
        ]


@strawberry.type(description="A page of the answer, nearest first, then in the order of the keys.")
class LineageConnection:
    total: int
    page_info: PageInfo
    edges: list[LineageEdge]

    @strawberry.field
    def nodes(self) -> list[Asset]:
        return [edge.node for edge in self.edges]


@strawberry.type(name="Lineage", description="What is up- or downstream of an asset, with what proves it.")
class LineageNode:
    answered: strawberry.Private[Answer]

    @strawberry.field(description="The revision this was computed at; pass it as atLeastRevision to see no less.")
    def revision(self) -> int:
        return self.answered.lineage.moment.revision

    @strawberry.field(description="The time in the world that this is about.")
    def at(self) -> datetime:
        at = moment(self.answered.lineage.moment.at)
        assert at is not None
        return at

    @strawberry.field(description="Where the walk began; for an alias the version it named.")
    def start(self) -> Asset:
        return asset(self.answered.lineage.start, self.answered.lineage.moment)

    @strawberry.field(description="Every path was followed to its end.")
    def complete(self) -> bool:
        return self.answered.lineage.complete

    @strawberry.field(description="What stopped a path; null when complete.")
    def incomplete_reason(self) -> IncompleteReason | None:
        return None if self.answered.lineage.complete else IncompleteReason.DEPTH

    @strawberry.field(description="The assets at which the walk was stopped; there is more beyond them.")
    def frontier(self, first: int = 50) -> list[Asset]:
        at = self.answered.lineage.moment
        return [asset(key, at) for key in self.answered.lineage.frontier[: page_size(first)]]

    @strawberry.field(description="How many assets were selected.")
    def total(self) -> int:
        return len(self.answered.rows)

    @strawberry.field(description="How many assets were reached, before `select`.")
    def reached(self) -> int:
        return len(self.answered.lineage)

    @strawberry.field(
        description="What cannot be seen: calls by callers that could not be told, at all deployments and features reached,"
        " the start and its parts included. While there are any, that nobody is listed does not say that nobody is hit."
    )
    async def unidentified(self, info: Info) -> Usage:
        lineage = self.answered.lineage
        called = await self.answered.run(_called, lineage)
        return await usage_of(info, called, lambda each: each.reader is None)

    @strawberry.field(
        description="Whose word the answer rests on, in order: the sources of the flows that were walked. What a source did not"
        " tell, or tells late, is not in the answer."
    )
    async def sources(
        self,
        info: Info,
        silent_days: HealthDays = 7,
    ) -> list[Freshness]:
        checked_days(silent_days)
        headwater, now = info.context.headwater, info.context.headwater.clock()
        names = await self.answered.run(sources_walked, self.answered.lineage)
        known = {each.source: each for each in await standings_now(headwater, silent_days)}
        return [
            freshness(name, known.get(name), known[name].health(silent_days, now) if name in known else None)
            for name in names
        ]

    @strawberry.field(description="Callers not seen for so many days are dormant, and count as HISTORIC.")
    def dormant_days(self, info: Info) -> int:
        return info.context.rooms.dormancy.days

    @strawberry.field
    def counts(self) -> LineageCounts:
        return LineageCounts(answered=self.answered)

    @strawberry.field(description="The selected assets. Further pages are of the same moment as the first.")
    async def assets(self, info: Info, first: int = 50, after: str | None = None) -> LineageConnection:
        size, answered, start = page_size(first), self.answered, 0
        cursor = decode_cursor(after, 3)
        if cursor is not None:
            at, revision, place = (int(part) for part in cursor)
            start, answered = place + 1, await answered.as_of(Moment(at, revision))
        total = len(answered.rows)
        edges = _edges(answered, start, size)
        page = page_info(
            [encode_cursor(*edge.place) for edge in (*edges[:1], *edges[-1:])], start + size < total, start > 0
        )
        return LineageConnection(total=total, page_info=page, edges=edges)

    @strawberry.field(
        description="All selected assets as columns of equal length: key, kind, namespace, title, hops, when, partly, stub,"
        " owners, tags, tier."
        " For large answers; the same in NDJSON is at /api/v1/lineage.ndjson, as an Arrow stream at /api/v1/lineage.arrow."
    )
    async def columns(self) -> JSON:
        pieces = [piece async for piece in self.answered.pieces(json_columns(await self.answered.table()))]
        return cast("JSON", orjson.Fragment(b"".join(pieces)))

    @strawberry.field(
        description="What flows straight between two selected assets, or between one and the start: `source` and `target`"
        " are places in `columns`, -1 is the start (its parts and container count as it), `timing` is LIVE or BUILT."
    )
    async def arrows(self) -> JSON:
        answered = self.answered
        found = await answered.run(arrows_walked, answered.lineage, answered.rows)
        return cast(
            "JSON",
            {
                "source": [arrow.source for arrow in found],
                "target": [arrow.target for arrow in found],
                "timing": [arrow.timing.value for arrow in found],
            },
        )

    @strawberry.field(description="What the answer passes through, and what would cut it off.")
    def why(self) -> WhyNode:
        lineage, rows = self.answered.lineage, self.answered.rows

        def chosen(targets: AssetFilterInput | None) -> Ints:
            return rows if targets is None else selected(lineage, asset_filter(targets))

        return WhyNode(answered=Explained(lineage, rows), chosen=chosen)


def _edges(answered: Answer, start: int, size: int) -> list[LineageEdge]:
    """A page of rows."""
    lineage, rows = answered.lineage, answered.rows[start : start + size]
    keys = cast("list[strawberry.ID]", lineage.view.keys)
    stubs = lineage.stub[rows].tolist()
    said = [*zip(lineage.labels[rows].tolist(), lineage.owners[rows].tolist(), stubs, strict=True)]
    one_of = dict(zip(said, rows.tolist(), strict=True))
    told = {each: AtHand(lineage.label(row), each[2]) for each, row in one_of.items()}
    numbers = lineage.assets[rows].tolist()
    nodes = assets_at([keys[number] for number in numbers], lineage.moment, [told[each] for each in said])
    return [
        LineageEdge(
            answered=answered, row=row, place=(*lineage.moment, place), node=node, hops=hops, partly=partly, stub=stub
        )
        for place, (row, node, hops, partly, stub) in enumerate(
            zip(rows.tolist(), nodes, lineage.hops[rows].tolist(), lineage.partly[rows].tolist(), stubs, strict=True),
            start,
        )
    ]


@strawberry.type(name="Path", description="Flows that lead from one asset to another.")
class PathNode:
    length: int
    hops: list[FlowNode]


@strawberry.type(description="The shortest paths, shortest first. None: there is no path at this moment.")
class Paths:
    asked: strawberry.Private[tuple[View, tuple[AssetKey, AssetKey], Moment, Follow, FlowFilter]]
    revision: int
    at: datetime
    paths: list[PathNode]

    @strawberry.field(description="How many paths there are in all, not only those listed.")
    async def count(self, info: Info) -> PathCount:
        return await path_count(info.context, *self.asked)


LineageResult = Annotated[
    LineageNode | UnknownAssetProblem | InvalidInputProblem | RevisionUnavailableProblem,
    strawberry.union("LineageResult"),
]
PathsResult = Annotated[
    Paths | UnknownAssetProblem | InvalidInputProblem | RevisionUnavailableProblem, strawberry.union("PathsResult")
]


def question(
    start: str,
    direction: Direction,
    follow: Follow,
    flows: FlowFilterInput | None,
    select: AssetFilterInput | None,
    depth: int | None,
) -> Question:
    """Raises InvalidInput."""
    if depth is not None and depth < 0:
        raise InvalidInput(f"depth is {depth}; it counts flows, from 0", depth)
    return Question(key_of(start), direction, follow, flow_filter(flows), asset_filter(select), depth)


async def answer(info: Info, asked_for: Question, asked: When) -> LineageNode:
    """Raises NotFound, RevisionUnavailable, NotReady."""

    def wants_felt() -> bool:
        return _mentions(info.selected_fields, {"byWhen", "when", "columns"})

    return LineageNode(answered=await ask(info.context.headwater, asked_for, asked, wants_felt))


def _mentions(selections: Iterable[Selection], names: Set[str]) -> bool:
    return any(
        (isinstance(each, SelectedField) and each.name in names) or _mentions(each.selections, names)
        for each in selections
    )


def _called(lineage: Lineage) -> list[AssetKey]:
    """What of the whole answer, the start included, callers can be seen at."""
    view, start = lineage.view, lineage.view.number(lineage.start)
    assets = np.concatenate([np.array([start, *view.parts_of(start)], np.int64), lineage.assets])
    kinds = [KIND_CODE[kind] for kind in (AssetKind.DEPLOYMENT, AssetKind.FEATURE)]
    called = assets[np.isin(view.kind[assets], kinds)]
    groups = groups_at(view, lineage.moment)
    return [view.key(asset) for asset in (groups.of_many(called) if groups else called).tolist()]


def path_node(path: Path, at: Moment) -> PathNode:
    hops = [flow_node(HeldFlow(hop.flow, hop.flow.type.timing, hop.basis, (hop.stored,)), at) for hop in path.hops]
    return PathNode(length=len(hops), hops=hops)
