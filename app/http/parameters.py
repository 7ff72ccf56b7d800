"""Query parameters, each known and given once."""

from collections.abc import Collection

from starlette.requests import Request

from graph.errors import InvalidInput, quoted


def parameters(request: Request, known: Collection[str]) -> dict[str, str]:
    """Raises InvalidInput for one that is not `known`, or is given twice."""
    for name, _ in request.query_params.multi_items():
        if name not in known:
            raise InvalidInput(f"{quoted(name)} is no parameter of {request.url.path}; it has {', '.join(known)}", name)
        if len(request.query_params.getlist(name)) > 1:
            raise InvalidInput(f"the parameter {name} is given twice", name)
    return dict(request.query_params)
