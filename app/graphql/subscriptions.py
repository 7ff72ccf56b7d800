"""What changes, as it happens."""

from collections.abc import AsyncGenerator

import strawberry

from app.graphql.alerts import AlertSubscription
from app.graphql.assertions import RevisionNode, revision_node
from app.graphql.bulk import BulkSubscription
from app.graphql.context import Info


@strawberry.type
class Subscription(AlertSubscription, BulkSubscription):
    @strawberry.subscription(
        description="Every commit after the revision `since` (absent: from now on), in order and without a gap."
        " Resume after a disconnection with the number of the last one received."
    )
    async def changes(self, info: Info, since: int | None = None) -> AsyncGenerator[RevisionNode, None]:
        async for revision in info.context.headwater.revisions(since):
            yield revision_node(revision)
