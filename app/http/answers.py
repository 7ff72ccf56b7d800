"""The one form of an error that is not a GraphQL answer. It is shaped like one, so that clients read both alike."""

from collections.abc import Mapping

from starlette.responses import JSONResponse

from graph.errors import (
    Conflict,
    GraphError,
    InvalidInput,
    NotFound,
    NotReady,
    RevisionUnavailable,
    StoreIncompatible,
    StoreUnavailable,
)

STATUS: dict[type[GraphError], int] = {
    InvalidInput: 400,
    NotFound: 404,
    Conflict: 409,
    RevisionUnavailable: 409,
    NotReady: 503,
    StoreUnavailable: 503,
    StoreIncompatible: 503,
}


def refusal(status: int, message: str, code: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """`message` is one sentence for people, `code` is for programs."""
    errors = [{"message": message, "extensions": {"code": code}}]
    return JSONResponse({"errors": errors}, status, headers=headers)


def refused(error: GraphError) -> JSONResponse:
    return refusal(status_of(error), str(error), type(error).__name__)


def status_of(error: GraphError) -> int:
    return next(STATUS[cls] for cls in type(error).__mro__ if cls in STATUS)
