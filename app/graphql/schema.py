"""The public schema. `app/graphql/schema.graphql` is its text, committed and checked."""

import logging
from collections.abc import Sequence

import strawberry
from graphql import GraphQLError
from strawberry.types import ExecutionContext

from app.graphql import kinds  # noqa: F401  its types are assets
from app.graphql.limits import SCHEMA_CONFIG, limit_extensions
from app.graphql.lists import ListExecutor
from app.graphql.mutations import Mutation
from app.graphql.queries import Query
from app.graphql.subscriptions import Subscription
from app.graphql.types import ASSET_TYPES
from graph.errors import GraphError

_log = logging.getLogger(__name__)


class _Schema(strawberry.Schema):
    def process_errors(self, errors: Sequence[GraphQLError], execution_context: ExecutionContext | None = None) -> None:
        """Only what nobody foresaw is an error of ours; what a client got wrong is told to the client."""
        for error in errors:
            original = error.original_error
            if isinstance(original, GraphError):
                error.extensions = {"code": type(original).__name__}
            elif original is not None and not isinstance(original, GraphQLError):
                _log.error("resolver failed at %s", error.path, exc_info=original)


schema = _Schema(
    query=Query,
    mutation=Mutation,
    subscription=Subscription,
    types=tuple(ASSET_TYPES.values()),
    config=SCHEMA_CONFIG,
    execution_context_class=ListExecutor,
    extensions=limit_extensions(public=(GraphError,)),
)
