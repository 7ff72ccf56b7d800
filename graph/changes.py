"""What somebody wants recorded (`Registration`) and what must change for that to hold (`Changes`), both as data."""

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum

from graph.attributes import canonical
from graph.errors import InvalidInput, quoted
from graph.keys import AssetKey, is_legible
from graph.messages import Message
from graph.model import Assertion, Attributes, Basis, Flow, Subject
from graph.time import Instant

MAX_ORIGIN_BYTES = 512


@dataclass(frozen=True, slots=True)
class AssetStatement:
    """The origin says that this asset is. Attributes not named stay as that origin has them; None takes one back.

    `since` absent means: from now, or for as long as the origin already says so. `until` absent means: it still holds.
    `expected_version` is the version the caller read; 0 says that the asset must be new.
    """

    key: AssetKey
    attributes: Attributes = field(default_factory=dict)
    since: Instant | None = None
    until: Instant | None = None
    expected_version: int | None = None


@dataclass(frozen=True, slots=True)
class FlowStatement:
    """The origin says that this flow is; times as for assets."""

    flow: Flow
    attributes: Attributes = field(default_factory=dict)
    since: Instant | None = None
    until: Instant | None = None


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """The origin no longer says so from `at` (absent: now). For an asset, its parts and the flows at them go along."""

    subject: Subject
    at: Instant | None = None
    expected_version: int | None = None


@dataclass(frozen=True, slots=True)
class Registration:
    """What one origin wants recorded.

    `complete`: this is all the origin says; whatever else it said so far is withdrawn.
    `stubs`: flows may end at assets nobody registered (events and imports); otherwise that is an error.
    """

    origin: str
    basis: Basis
    assets: tuple[AssetStatement, ...] = ()
    flows: tuple[FlowStatement, ...] = ()
    withdrawals: tuple[Withdrawal, ...] = ()
    complete: bool = False
    stubs: bool = False
    messages: tuple[Message, ...] = ()
    """Sent once this is committed; dropped when it changes nothing."""
    taken: Instant | None = None
    """When its source was as it says, by the source's own clock; None where it does not tell."""

    def digest(self) -> str:
        """SHA-256 of the canonical form: equal for equal requests, whatever the time."""
        said = {name: value for name, value in _fields(self).items() if name != "taken"}
        return hashlib.sha256(canonical(said, _plain)).hexdigest()


@dataclass(frozen=True, slots=True)
class Restatement:
    """What some origins say, with all the times of it: whatever else they said so far of the same was never so.

    `says`, by origin: the assertions of each subject are of that origin, disjoint and in order, equal neighbours joined; none:
    it is not said. Flows may end at assets nobody registered. Subjects that are not named were never so either, unless the
    origin is one of `partly`: then nothing is said of them here.
    """

    says: Mapping[str, Mapping[Subject, tuple[Assertion, ...]]]
    partly: Collection[str] = ()


class Verb(StrEnum):
    ADDED = "ADDED"
    CHANGED = "CHANGED"
    WITHDRAWN = "WITHDRAWN"


@dataclass(frozen=True, slots=True)
class Change:
    """One origin's belief about one subject, before and after. Never equal."""

    subject: Subject
    origin: str
    before: tuple[Assertion, ...]
    after: tuple[Assertion, ...]

    @property
    def closes(self) -> tuple[Assertion, ...]:
        return tuple([span for span in self.before if span not in self.after]) if self.after else self.before

    @property
    def opens(self) -> tuple[Assertion, ...]:
        return tuple([span for span in self.after if span not in self.before]) if self.before else self.after

    def verb_at(self, now: Instant) -> Verb:
        before, after = _holds(self.before, now), _holds(self.after, now)
        if after == before:
            return Verb.CHANGED
        return Verb.ADDED if after else Verb.WITHDRAWN


def _holds(spans: tuple[Assertion, ...], now: Instant) -> bool:
    for span in spans:  # noqa: SIM110  a generator would cost more than the question; every change asks it twice
        if span.valid.holds_at(now):
            return True
    return False


@dataclass(frozen=True, slots=True)
class Changes:
    """All that must change, in the order of the subjects' text; empty when everything already holds.

    A commit refuses it with PlanOutdated when any `before` no longer is what is stored, and with StaleVersion when an
    asset in `expected_versions` has moved.
    """

    changes: tuple[Change, ...] = ()
    expected_versions: Mapping[AssetKey, int] = field(default_factory=dict)
    messages: tuple[Message, ...] = ()
    """Kept with the changes, in the one transaction; see `Store.lease`."""

    def __bool__(self) -> bool:
        return bool(self.changes)


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a commit did. `changed` is False when everything already held; `revision` is then the current one."""

    revision: int
    changed: bool
    added: int = 0
    updated: int = 0
    withdrawn: int = 0


def checked_origin(origin: str) -> str:
    """Raises InvalidInput. An origin is free text that names a source: `manifest:risk/fraud`, `api:alice`."""
    if not origin or not is_legible(origin) or len(origin.encode()) > MAX_ORIGIN_BYTES:
        raise InvalidInput(
            f"{quoted(origin)} is not an origin: 1 to {MAX_ORIGIN_BYTES} bytes of printable text without outer space",
            origin,
        )
    return origin


def _fields(value: "Registration | AssetStatement | FlowStatement | Withdrawal | Message") -> dict[str, object]:
    return {field.name: getattr(value, field.name) for field in fields(value)}


def _plain(value: object) -> object:
    """JSON for what has no form of its own there."""
    if isinstance(value, AssetKey | Flow):
        return str(value)
    if isinstance(value, AssetStatement | FlowStatement | Withdrawal | Message):
        return _fields(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(type(value))
