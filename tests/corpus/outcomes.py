"""What a consumer sees of a change when both are run."""

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, TypeAlias

from graph.impact import When
from graph.keys import AssetKey


class Outcome(Enum):
    SAME = "gets what it got"
    OTHER = "gets something else"
    RUNS = "runs; what it gets was not compared"
    FAILS = "fails"


Seen: TypeAlias = Mapping[tuple[AssetKey, When], Outcome]


class ConsumerFailed(Exception):
    """As its own process would: an error of the database, of a conversion, of a validation, of HTTP."""


def seen(before: Callable[[], Any], after: Callable[[], Any]) -> Outcome:
    was = before()
    try:
        return Outcome.SAME if after() == was else Outcome.OTHER
    except ConsumerFailed:
        return Outcome.FAILS
