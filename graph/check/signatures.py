"""What another signature of a model means to those who call it. Pure functions."""

from graph.check.verdicts import Difference, Verdict
from graph.model import Json


def signature_differences(before: Json, after: Json) -> list[Difference]:
    """None where either is not told."""
    if before is None or after is None or before == after:
        return []
    return [Difference("signature", before, after, Verdict.BREAKING, "its signature differs")]
