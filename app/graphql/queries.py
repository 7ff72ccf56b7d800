"""Where every question starts."""

from datetime import datetime
from typing import Annotated

import strawberry

from app.graphql.alerts import AlertQuery
from app.graphql.assertions import RevisionNode, revision_node
from app.graphql.bulk import BulkQuery
from app.graphql.checks import CheckQuery
from app.graphql.context import Info
from app.graphql.dependencies import DependencyQuery
from app.graphql.lineage import (
    AssetFilterInput,
    FlowFilterInput,
    KnownAtInput,
    LineageResult,
    Paths,
    PathsResult,
    answer,
    flow_filter,
    path_node,
    question,
    when,
)
from app.graphql.paging import (
    Connection,
    decode_cursor,
    decode_offset,
    encode_cursor,
    page,
    page_size,
)
from app.graphql.plans import PlanQuery
from app.graphql.problems import problem
from app.graphql.remarks import DeprecationQuery
from app.graphql.removal import RemovalQuery
from app.graphql.simulations import SimulationQuery
from app.graphql.sources import SourceQuery
from app.graphql.types import Asset, Node, asset, key_of
from graph.errors import GraphError, InvalidKey, NotFound
from graph.keys import AssetKey, AssetKind
from graph.paths import paths
from graph.time import moment
from graph.topology import Moment, View
from graph.walk import Direction, Follow, located

Id = Annotated[strawberry.ID, strawberry.argument(description="The id, i.e. the key, of an asset.")]
At = Annotated[datetime | None, strawberry.argument(description="What held in the world then; absent: now.")]
Known = Annotated[
    KnownAtInput | None, strawberry.argument(description="What was believed then; absent: all that is known.")
]
AtLeast = Annotated[
    int | None, strawberry.argument(description="Wait for this revision (up to five seconds), to read your own writes.")
]


@strawberry.type(description="What was found, best first.")
class SearchHit:
    score: float
    node: Asset


@strawberry.type(description="The state of the service's knowledge.")
class Head:
    revision: int = strawberry.field(description="The last revision that answers here may hold.")
    assets: int = strawberry.field(description="All keys ever mentioned, stubs and withdrawn ones included.")


@strawberry.type
class Query(
    AlertQuery,
    BulkQuery,
    CheckQuery,
    DependencyQuery,
    DeprecationQuery,
    PlanQuery,
    RemovalQuery,
    SimulationQuery,
    SourceQuery,
):
    @strawberry.field(description="Relay: any object by id. Null: nothing has this id.")
    async def node(self, info: Info, id: Id) -> Node | None:
        return await _found(info, id)

    @strawberry.field(description="Relay: several objects by id, in order; null where nothing has the id.")
    async def nodes(self, info: Info, ids: list[strawberry.ID]) -> list[Node | None]:
        page_size(len(ids))
        return [await _found(info, each) for each in ids]

    @strawberry.field(description="One asset by key, as it was at a moment. Null: not known then.")
    async def asset(
        self, info: Info, key: Id, at: At = None, known_at: Known = None, at_least_revision: AtLeast = None
    ) -> Asset | None:
        view, then = await info.context.headwater.moment(when(at, known_at, at_least_revision))
        return _located(view, key_of(key), then)

    @strawberry.field(description="The registered assets, in the order of their keys.")
    async def assets(
        self, info: Info, kinds: list[AssetKind] | None = None, first: int = 50, after: str | None = None
    ) -> Connection[Asset]:
        headwater, size = info.context.headwater, page_size(first)
        _, then = await headwater.moment(when(None, None, None))
        cursor = decode_cursor(after, 1)
        keys = await headwater.keys(then.at, kinds or (), key_of(cursor[0]) if cursor else None, size + 1)
        nodes = [(encode_cursor(key), asset(key, then)) for key in keys[:size]]
        return page(nodes, len(keys) > size, after is not None)

    @strawberry.field(description="Assets whose key, description, owners or tags hold every word, as a prefix.")
    async def search(
        self,
        info: Info,
        text: str,
        kinds: list[AssetKind] | None = None,
        first: int = 20,
        after: str | None = None,
    ) -> Connection[SearchHit]:
        headwater, size, offset = info.context.headwater, page_size(first), decode_offset(after)
        _, then = await headwater.moment(when(None, None, None))
        hits = await headwater.search(text, kinds or (), size + 1, offset)
        nodes = [
            (encode_cursor(place), SearchHit(score=hit.score, node=asset(hit.key, then)))
            for place, hit in enumerate(hits[:size], offset)
        ]
        return page(nodes, len(hits) > size, offset > 0)

    @strawberry.field(
        description="Everything downstream of an asset (what a change reaches) or upstream of it (what may have caused it)."
    )
    async def lineage(
        self,
        info: Info,
        start: Id,
        direction: Direction = Direction.DOWNSTREAM,
        follow: Follow = Follow.VALUES,
        flows: FlowFilterInput | None = None,
        select: AssetFilterInput | None = None,
        depth: int | None = None,
        at: At = None,
        known_at: Known = None,
        at_least_revision: AtLeast = None,
    ) -> LineageResult:
        try:
            asked_for = question(start, direction, follow, flows, select, depth)
            return await answer(info, asked_for, when(at, known_at, at_least_revision))
        except GraphError as error:
            return problem(error)  # type: ignore[return-value]  # asking meets only these

    @strawberry.field(description="The shortest paths downstream from one asset to another, with their evidence.")
    async def paths(
        self,
        info: Info,
        source: Id,
        target: Id,
        follow: Follow = Follow.VALUES,
        flows: FlowFilterInput | None = None,
        first: Annotated[int, strawberry.argument(description="How many paths, up to 50.")] = 1,
        at: At = None,
        known_at: Known = None,
        at_least_revision: AtLeast = None,
    ) -> PathsResult:
        headwater = info.context.headwater
        try:
            view, then = await headwater.moment(when(at, known_at, at_least_revision))
            ends = key_of(source), key_of(target)
            count = max(1, min(first, 50))
            wanted = flow_filter(flows)
            found = await headwater.in_thread(paths, view, *ends, then, follow, wanted, count)
        except GraphError as error:
            return problem(error)  # type: ignore[return-value]  # asking meets only these
        asked = moment(then.at)
        assert asked is not None
        return Paths(
            asked=(view, ends, then, follow, wanted),
            revision=then.revision,
            at=asked,
            paths=[path_node(path, then) for path in found],
        )

    @strawberry.field(description="The commits after a revision, in order.")
    async def revisions(self, info: Info, since: int = 0, first: int = 50) -> list[RevisionNode]:
        headwater = info.context.headwater
        found = await headwater.in_thread(headwater.store.changes_since, since, page_size(first))
        return [revision_node(revision) for revision in found]

    @strawberry.field
    async def head(self, info: Info) -> Head:
        view, then = await info.context.headwater.moment(when(None, None, None))
        return Head(revision=then.revision, assets=len(view.numbers))


async def _found(info: Info, id: str) -> Asset | None:
    view, then = await info.context.headwater.moment(when(None, None, None))
    try:
        return _located(view, key_of(id), then)
    except InvalidKey:
        return None


def _located(view: View, key: AssetKey, then: Moment) -> Asset | None:
    try:
        return asset(view.key(located(view, key, then)), then)
    except NotFound:
        return None
