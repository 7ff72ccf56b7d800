"""Lineage answers: what is reached, how far, when it is felt, and whether the answer is whole."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum
from typing import Annotated, cast

import numpy as np
import strawberry
from strawberry.relay import PageInfo
from strawberry.scalars import JSON

from app.events import CLAIMED
from app.graphql.context import Context, Info
from app.graphql.paging import decode_cursor, encode_cursor, page_info, page_size
from app.graphql.problems import InvalidInputProblem, RevisionUnavailableProblem, UnknownAssetProblem
from app.graphql.types import Asset, FlowNode, asset, flow_node
from app.graphql.usage import Usage, usage_of
from app.service import When
from graph.impact import When as Felt
from graph.impact import when_felt
from graph.keys import AssetKey, AssetKind
from graph.model import Basis, Timing
from graph.neighbours import HeldFlow, arrows_walked
from graph.paths import Path
from graph.time import instant, moment
from graph.topology import KIND_CODE, Ints, Moment, View
from graph.walk import AssetFilter, Direction, FlowFilter, Follow, Lineage, selected, walk

strawberry.enum(Direction, name="Direction")
strawberry.enum(Follow, name="Follow", description="What a walk follows: differing content, or loss.")


class WhenFelt(Enum):
    NOW = "NOW"
    NEXT_TRAINING = "NEXT_TRAINING"
    HISTORIC = "HISTORIC"


strawberry.enum(
    WhenFelt,
    name="WhenFelt",
    description="NOW: some path is all live. NEXT_TRAINING: every path has something baked in. HISTORIC: reached only"
    " through old runs or versions that nothing uses any more; left out of the headline.",
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


@dataclass(frozen=True)
class Question:
    start: AssetKey
    direction: Direction
    follow: Follow = Follow.VALUES
    flows: FlowFilter = field(default_factory=FlowFilter)
    select: AssetFilter = field(default_factory=AssetFilter)
    depth: int | None = None


def flow_filter(given: FlowFilterInput | None) -> FlowFilter:
    if given is None:
        return FlowFilter()
    without = (CLAIMED,) if given.verified else ()
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
    by_kind: list[KindCount]
    by_owner: list[OwnerCount] = strawberry.field(description="An asset with two owners counts for both.")
    by_when: list[WhenCount]


class _Answered:
    """A walk's result, and what is computed from it once, when somebody asks."""

    def __init__(self, context: Context, question: Question, lineage: Lineage, rows: Ints) -> None:
        self.context, self.question, self.lineage, self.rows = context, question, lineage, rows
        self._felt: asyncio.Task[Ints] | None = None

    async def felt(self) -> Ints:
        """When each row of the lineage is felt."""
        if self._felt is None:
            question, run = self.question, self.context.headwater.in_thread
            self._felt = asyncio.ensure_future(run(when_felt, self.lineage, question.flows, question.depth))
        return await self._felt


@strawberry.type(description="One asset of the answer.")
class LineageEdge:
    answered: strawberry.Private[_Answered | None]
    row: strawberry.Private[int]
    cursor: str
    node: Asset
    hops: int = strawberry.field(description="How many flows away; part-of steps cost nothing.")
    partly: bool = strawberry.field(description="Some of it is reached, not all of it.")
    stub: bool = strawberry.field(description="Known only as the end of a flow.")

    @strawberry.field(description="When a change of the start is felt here.")
    async def when(self) -> WhenFelt:
        if self.answered is None:  # listed for what it is, not for what a walk found
            return WhenFelt.NOW
        return WhenFelt[Felt(int((await self.answered.felt())[self.row])).name]


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
    answered: strawberry.Private[_Answered]

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
        called = await info.context.headwater.in_thread(_called, lineage)
        return await usage_of(info, called, lambda each: each.reader is None)

    @strawberry.field
    async def counts(self) -> LineageCounts:
        lineage, rows = self.answered.lineage, self.answered.rows.tolist()
        felt = await self.answered.felt()
        kinds = Counter(lineage.kind(row) for row in rows)
        owners = Counter(owner for row in rows for owner in (lineage.label(row).owners or (None,)))
        times = Counter(int(felt[row]) for row in rows)
        return LineageCounts(
            by_kind=[KindCount(kind=kind, count=kinds[kind]) for kind in sorted(kinds)],
            by_owner=[
                OwnerCount(owner=name, count=owners[name])
                for name in sorted(owners, key=lambda n: (n is None, n or ""))
            ],
            by_when=[WhenCount(when=WhenFelt[Felt(when).name], count=times[when]) for when in sorted(times)],
        )

    @strawberry.field(description="The selected assets. Further pages are of the same moment as the first.")
    async def assets(self, info: Info, first: int = 50, after: str | None = None) -> LineageConnection:
        size, answered, start = page_size(first), self.answered, 0
        cursor = decode_cursor(after, 3)
        if cursor is not None:
            at, revision, place = (int(part) for part in cursor)
            start = place + 1
            if answered.lineage.moment != Moment(at, revision):
                then = When(at=at, known_at_revision=revision)
                answered = (await answer(info.context, answered.question, then)).answered
        lineage, rows = answered.lineage, answered.rows
        edges = [
            LineageEdge(
                answered=answered,
                row=row,
                cursor=encode_cursor(*lineage.moment, place),
                node=asset(lineage.key(row), lineage.moment),
                hops=int(lineage.hops[row]),
                partly=bool(lineage.partly[row]),
                stub=bool(lineage.stub[row]),
            )
            for place, row in enumerate(rows[start : start + size].tolist(), start)
        ]
        cursors = [edge.cursor for edge in edges]
        return LineageConnection(
            total=len(rows), page_info=page_info(cursors, start + size < len(rows), start > 0), edges=edges
        )

    @strawberry.field(
        description="All selected assets as columns of equal length: key, kind, namespace, title, hops, when, partly, stub,"
        " owners, tags, tier."
        " For large answers; the same in NDJSON is at /api/v1/lineage.ndjson."
    )
    async def columns(self) -> JSON:
        felt = await self.answered.felt()
        run = self.answered.context.headwater.in_thread
        return cast("JSON", await run(columns, self.answered.lineage, self.answered.rows, felt))

    @strawberry.field(
        description="What flows straight between two selected assets, or between one and the start: `source` and `target`"
        " are places in `columns`, -1 is the start (its parts and container count as it), `timing` is LIVE or BUILT."
    )
    async def arrows(self) -> JSON:
        answered, question = self.answered, self.answered.question
        run = answered.context.headwater.in_thread
        found = await run(arrows_walked, answered.lineage, answered.rows, question.flows, question.depth)
        return cast(
            "JSON",
            {
                "source": [arrow.source for arrow in found],
                "target": [arrow.target for arrow in found],
                "timing": [arrow.timing.value for arrow in found],
            },
        )


def columns(lineage: Lineage, rows: Ints, felt: Ints) -> dict[str, list[object]]:
    """The columnar form; `when` holds the names of `WhenFelt`."""
    view, assets = lineage.view, lineage.assets[rows]
    names = [when.name for when in Felt]
    listed = rows.tolist()
    labels = [lineage.label(row) for row in listed]
    return {
        "key": [view.keys[number] for number in assets.tolist()],
        "kind": [lineage.kind(row).value for row in listed],
        "namespace": [view.namespaces[code] for code in view.namespace[assets].tolist()],
        "title": [lineage.key(row).title for row in listed],
        "hops": lineage.hops[rows].tolist(),
        "when": [names[code] for code in felt[rows].tolist()],
        "partly": lineage.partly[rows].tolist(),
        "stub": lineage.stub[rows].tolist(),
        "owners": [list(label.owners) for label in labels],
        "tags": [list(label.tags) for label in labels],
        "tier": [label.tier for label in labels],
    }


@strawberry.type(name="Path", description="Flows that lead from one asset to another.")
class PathNode:
    length: int
    hops: list[FlowNode]


@strawberry.type(description="The shortest paths, shortest first. None: there is no path at this moment.")
class Paths:
    revision: int
    at: datetime
    paths: list[PathNode]


LineageResult = Annotated[
    LineageNode | UnknownAssetProblem | InvalidInputProblem | RevisionUnavailableProblem,
    strawberry.union("LineageResult"),
]
PathsResult = Annotated[
    Paths | UnknownAssetProblem | InvalidInputProblem | RevisionUnavailableProblem, strawberry.union("PathsResult")
]


async def answer(context: Context, question: Question, asked: When) -> LineageNode:
    """Raises NotFound, RevisionUnavailable, NotReady."""
    view, at = await context.headwater.moment(asked)
    lineage, rows = await context.headwater.in_thread(_walked, question, view, at)
    return LineageNode(answered=_Answered(context, replace(question, start=lineage.start), lineage, rows))


def _walked(question: Question, view: View, at: Moment) -> tuple[Lineage, Ints]:
    lineage = walk(view, question.start, question.direction, at, question.follow, question.flows, question.depth)
    return lineage, selected(lineage, question.select)


def _called(lineage: Lineage) -> list[AssetKey]:
    """What of the whole answer, the start included, callers can be seen at."""
    view, start = lineage.view, lineage.view.number(lineage.start)
    assets = np.concatenate([np.array([start, *view.parts_of(start)], np.int64), lineage.assets])
    kinds = [KIND_CODE[kind] for kind in (AssetKind.DEPLOYMENT, AssetKind.FEATURE)]
    return [view.key(asset) for asset in assets[np.isin(view.kind[assets], kinds)].tolist()]


def path_node(path: Path, at: Moment) -> PathNode:
    hops = [flow_node(HeldFlow(hop.flow, hop.flow.type.timing, hop.basis), at, hop.stored) for hop in path.hops]
    return PathNode(length=len(hops), hops=hops)
