"""What the rooms of the service tell each other. compose connects who tells with who listens; no room imports another."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol, TypeAlias

from numpy.typing import NDArray

from app.service import Headwater
from graph.keys import AssetKey
from graph.sources import Rejected
from graph.time import Instant
from graph.usage import dormant_origin

GATEWAY = "gateway"
"""The origin of what this service does itself: what it serves, and which deployments call each other for it."""
VERIFIED = "gateway:verified"
"""The origin of callers whose name is bound to a credential."""
CLAIMED = "gateway:claimed"
"""The origin of what callers only said of themselves. Kept apart: neither can withdraw or overwrite the other, and
taking a deployment out of service withdraws neither: who called it stays known.
"""
OF_CALLERS = frozenset((VERIFIED, CLAIMED, dormant_origin(VERIFIED), dormant_origin(CLAIMED)))
"""The origins of what was seen of callers, lately or long ago."""
PREDICTIONS = "gateway:predictions"
"""The origin of the prediction logs, which outlive the deployments that wrote them."""
MONITORING = "monitoring"
"""The origin of alerts."""
JOINS = "joins"
"""The origin of what was joined by hand: whoever may join may part, whoever joined it."""
RULES = "rules:"
"""The origins of what rules join begin so; then comes the rule's name."""

Columns: TypeAlias = Mapping[str, NDArray[Any]]
"""Values by name; the first axis is the rows, of one length for all."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request, as far as it can be told."""

    key: AssetKey | None
    """The consumer; None: unidentified."""
    verified: bool = False
    """A credential is bound to the name; else it is only claimed."""
    span: tuple[str, str] | None = None
    """Trace id and span id of the caller's `traceparent`: a trace may name an unidentified caller later."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """Something was called or read, once: a prediction asked of a deployment, features read."""

    source: AssetKey
    """What was called or read: a deployment, a feature."""
    caller: Caller
    """A consumer, or the deployment whose composition made the call."""
    at: Instant
    failed: bool = False
    microseconds: int | None = field(default=None, compare=False)
    """How long it took; None: nobody looked."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """One request that a deployment answered: `rows` rows in, as many out."""

    id: str
    deployment: AssetKey
    version: AssetKey
    caller: Caller
    at: Instant
    rows: int
    inputs: Columns
    """As the request carried them, by the signature's names (entities included)."""
    features: Columns
    """As looked up and served, by the signature's names."""
    outputs: Columns


class Side(StrEnum):
    INPUT = "input"
    OUTPUT = "output"


@dataclass(frozen=True, slots=True)
class DriftTest:
    name: str
    """`ks`, `chi2`, `missing`."""
    statistic: float
    p_value: float


@dataclass(frozen=True, slots=True)
class DriftedColumn:
    """One input or output whose distribution differs from that of the reference."""

    name: str
    side: Side
    tests: tuple[DriftTest, ...]
    effect: float
    """Jensen-Shannon divergence in bits, 0 to 1."""
    reference: Mapping[str, float]
    """`rows`, `missing` (share), and for numbers `mean` and `sd`."""
    current: Mapping[str, float]
    feature: AssetKey | None = None
    """The feature that the signature says this input is."""


@dataclass(frozen=True, slots=True)
class WindowTested:
    """A window of a deployment's predictions was compared with the version's reference profile."""

    deployment: AssetKey
    version: AssetKey
    start: Instant
    end: Instant
    rows: int
    columns: tuple[DriftedColumn, ...] = field(default_factory=tuple)
    """All columns tested, in the order of the signature."""
    drifted: frozenset[tuple[Side, str]] = frozenset()
    """Those that differ by more than chance and by more than the smallest effect that matters."""
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Why inputs and outputs that were logged were not tested, by name."""


@dataclass(frozen=True, slots=True)
class LoggedRows:
    """Rows of the prediction log of one version at one deployment, oldest first."""

    start: Instant
    """Of the first row."""
    end: Instant
    """Of the last row; rows of one instant are never parted."""
    count: int
    inputs: Columns
    """Inputs and features as served, by the signature's names. Missing: NaN among numbers, else None."""
    outputs: Columns


class Hearing(Protocol):
    """Who is told how lately each source told something, and what of it was refused."""

    def heard(self, source: str, items: int, times: Iterable[Instant] = (), rejected: int = 0) -> None:
        """`source` told so many items now; `times`: those that items tell of themselves."""
        ...

    def refused(self, items: Sequence[Rejected]) -> None:
        """They count as heard, too. Written within a second."""
        ...

    async def replaced(self, headwater: Headwater, source: str, items: Sequence[Rejected]) -> None:
        """All that the source tells was told anew: of what was refused of it, these are left. Raises StoreUnavailable."""
        ...
