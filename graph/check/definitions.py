"""Whether two definitions, in SQL or Python, say the same."""

from graph.check.verdicts import Difference, Verdict
from graph.model import Json


def definition_differences(before: Json, after: Json) -> list[Difference]:
    return [Difference("definition", before, after, Verdict.BEHAVIOURAL, "its definition differs: its values may")]
