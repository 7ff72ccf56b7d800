"""Errors as data: what a caller can act on is part of the answer's type, not of `errors`."""

import strawberry

from graph.errors import (
    Conflict,
    GraphError,
    InvalidInput,
    NotFound,
    OperationReused,
    RevisionUnavailable,
    StaleVersion,
)


@strawberry.interface(description="Why a request was refused. Nothing of it was kept.")
class Problem:
    message: str = strawberry.field(
        description="One sentence for people: the value, where it stands, what would be right."
    )


@strawberry.type(name="InvalidInput", description="The request itself is wrong, whatever is stored.")
class InvalidInputProblem(Problem):
    code: str = strawberry.field(description="InvalidKey, InvalidAttribute, InvalidFlow, InvalidTime or InvalidInput.")
    value: str = strawberry.field(description="The offending value, shortened to 200 characters.")


@strawberry.type(name="UnknownAsset", description="The key is not registered, or was not at the time asked for.")
class UnknownAssetProblem(Problem):
    key: strawberry.ID


@strawberry.type(name="StaleVersion", description="The asset has moved since it was read: read it again and repeat.")
class StaleVersionProblem(Problem):
    key: strawberry.ID
    expected: int
    current: int


@strawberry.type(name="OperationReused", description="The operation id was used for another request.")
class OperationReusedProblem(Problem):
    operation_id: str


@strawberry.type(
    name="Refused", description="What is asked contradicts what is stored, e.g. withdrawing another's say."
)
class RefusedProblem(Problem):
    pass


@strawberry.type(name="RevisionUnavailable", description="The revision asked for is not here yet, or no longer.")
class RevisionUnavailableProblem(Problem):
    pass


def problem(
    error: GraphError,
) -> (
    InvalidInputProblem
    | UnknownAssetProblem
    | StaleVersionProblem
    | OperationReusedProblem
    | RefusedProblem
    | RevisionUnavailableProblem
):
    """The data for an error that the caller can act on; any other is raised again."""
    message = str(error)
    match error:
        case InvalidInput():
            return InvalidInputProblem(message=message, code=type(error).__name__, value=error.value)
        case NotFound():
            return UnknownAssetProblem(message=message, key=strawberry.ID(error.key))
        case StaleVersion():
            return StaleVersionProblem(
                message=message, key=strawberry.ID(error.key), expected=error.expected, current=error.current
            )
        case OperationReused():
            return OperationReusedProblem(message=message, operation_id=error.operation)
        case Conflict():
            return RefusedProblem(message=message)
        case RevisionUnavailable():
            return RevisionUnavailableProblem(message=message)
    raise error
