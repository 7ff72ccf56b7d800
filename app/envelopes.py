"""What a request to change the graph says of itself, whatever brings it: under which id, and who says so."""

from app.events import GATEWAY, MONITORING, RULES
from graph.changes import checked_origin
from graph.errors import InvalidInput, quoted
from graph.remarks import is_remark

MAX_OPERATION_ID = 255


def checked_operation_id(given: str) -> str:
    """Raises InvalidInput."""
    if not 0 < len(given) <= MAX_OPERATION_ID or not given.isprintable():
        raise InvalidInput(
            f"{quoted(given)} is not an operation id: 1 to {MAX_OPERATION_ID} printable characters, best a UUID",
            given,
        )
    return given


def clients_origin(given: str) -> str:
    """An origin that a client may speak for. Raises InvalidInput."""
    if given in {GATEWAY, MONITORING} or given.startswith((f"{GATEWAY}:", RULES)) or is_remark(given):
        raise InvalidInput(
            f"the origin {quoted(given)} is this service's own, for what it saw itself, was told by its rules, or what people"
            " deprecate and acknowledge; name yours",
            given,
        )
    return checked_origin(given)
