"""How much flows are used: counts per caller and UTC day, a measure beside the facts."""

from dataclasses import dataclass
from typing import TypeAlias

from graph.keys import AssetKey
from graph.time import Instant

Day: TypeAlias = int
"""Days since 1970-01-01, UTC."""

MICROSECONDS_PER_DAY = 86_400_000_000

KEPT_DAYS = 400
"""Usage of earlier days is forgotten: a year can still be compared with the one before."""


_OWN, _DORMANT = "gateway:", ":dormant"


@dataclass(frozen=True, slots=True)
class Usage:
    """Calls to `source` by one reader on one day."""

    source: AssetKey
    reader: AssetKey | None
    """None: callers that could not be told."""
    verified: bool
    """The reader was bound to a credential; else it only claimed its name."""
    day: Day
    calls: int
    """May be negative in what is added: calls that turned out to be another reader's."""
    errors: int
    first: Instant
    last: Instant


def day_of(at: Instant) -> Day:
    return at // MICROSECONDS_PER_DAY


def dormant(origin: str) -> str:
    """The origin of the flows of `origin` that were not seen for long: told, and nothing breaks by them now."""
    return origin + _DORMANT


def is_dormant(origin: str) -> bool:
    return origin.startswith(_OWN) and origin.endswith(_DORMANT)
