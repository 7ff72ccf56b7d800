"""What it means to callers that a message of protocol buffers differs."""

from graph.check.verdicts import Difference, Verdict
from graph.model import Json


def message_differences(attribute: str, before: Json, after: Json, sent: bool) -> list[Difference]:  # noqa: ARG001
    return [Difference(attribute, before, after, Verdict.BREAKING, "")]
