"""The one form of an error that is not a GraphQL answer. It is shaped like one, so that clients read both alike."""

from collections.abc import Mapping

from starlette.responses import JSONResponse


def refusal(status: int, message: str, code: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """`message` is one sentence for people, `code` is for programs."""
    errors = [{"message": message, "extensions": {"code": code}}]
    return JSONResponse({"errors": errors}, status, headers=headers)
