"""Dependencies that were seen and not declared, and those that were declared and not seen."""

from datetime import datetime
from enum import Enum
from typing import Annotated

import strawberry

from app.graphql.context import Info
from app.graphql.paging import Connection, decode_cursor, encode_cursor, page, page_size
from app.graphql.sources import checked_days
from app.graphql.types import FlowNode, flow_node
from app.service import Headwater
from app.service import When as Asked
from graph.dependencies import Dependency, dependencies, dormant, undeclared, users
from graph.time import moment
from graph.topology import Moment, View
from graph.usage import day_of


class Standing(Enum):
    UNDECLARED = "UNDECLARED"
    DORMANT = "DORMANT"


strawberry.enum(
    Standing,
    description="How what was said of a dependency stands beside what was seen. UNDECLARED: somebody calls, and nobody"
    " declared it. DORMANT: it is declared, by a person or another system's record, and nobody was seen to call.",
)


@strawberry.type(
    name="Dependency",
    description="A consumer or a deployment uses a deployment, a feature or its view, or a dataset; the flow has the evidence.",
)
class DependencyNode:
    flow: FlowNode
    declared_since: datetime | None = strawberry.field(description="Null: nobody declared it.")


@strawberry.type
class DependencyQuery:
    @strawberry.field(
        description="Dependencies of one standing, in the order of their keys. Only calls that were seen count: through"
        " the gateway, or in traces. That nobody was seen does not say that nobody calls."
    )
    async def dependencies(
        self,
        info: Info,
        standing: Standing,
        silent_days: Annotated[
            int, strawberry.argument(description="DORMANT: declared for so long, and not called for as long.")
        ] = 30,
        first: int = 50,
        after: str | None = None,
    ) -> Connection[DependencyNode]:
        size, cursor = page_size(first), decode_cursor(after, 1)
        checked_days(silent_days)
        headwater = info.context.headwater
        view, now = await headwater.moment(Asked())
        found = await headwater.in_long_thread(_of_standing, headwater, view, now, standing, silent_days)
        left = [each for each in found if cursor is None or str(each.flow.flow) > cursor[0]]
        nodes = [
            (
                encode_cursor(each.flow.flow),
                DependencyNode(
                    flow=flow_node(each.flow, now),
                    declared_since=None if each.declared_since is None else moment(each.declared_since),
                ),
            )
            for each in left[:size]
        ]
        return page(nodes, len(left) > size, cursor is not None)


def _of_standing(headwater: Headwater, view: View, now: Moment, standing: Standing, days: int) -> list[Dependency]:
    every = dependencies(view, now)
    if standing is Standing.UNDECLARED:
        return [*undeclared(every)]
    used = headwater.store.usage(users(every), day_of(now.at) - days)
    return [*dormant(every, used, now.at, days)]
