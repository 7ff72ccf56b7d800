"""What people say about an asset without saying that it is there: that it is deprecated, that a change of it is agreed.

A remark is an assertion like any other, by an origin of its own, so that it has a history and is withdrawn like all else. When
nobody else tells of an asset any more, what was remarked about it is withdrawn, too.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date

from graph.attributes import canonical
from graph.errors import InvalidInput, quoted
from graph.keys import AssetKey
from graph.model import Assertion, Json
from graph.time import Instant

DEPRECATIONS = "deprecations"
"""The origin of what was deprecated by hand: whoever may deprecate may take it back, whoever deprecated it."""
ACKNOWLEDGEMENT = "acknowledgement:"
"""The origins of acknowledgements begin so; then comes the digest of the change. Each ends by itself, at its `until`."""

DEPRECATED, ACKNOWLEDGED = "deprecated", "acknowledged"
"""The attributes they are kept in."""


def is_remark(origin: str) -> bool:
    """Whether what an origin says of an asset says nothing about whether the asset is there."""
    return origin == DEPRECATIONS or origin.startswith(ACKNOWLEDGEMENT)


@dataclass(frozen=True, slots=True)
class Deprecation:
    """An asset goes away; its users have until a date to move."""

    told: Instant
    """Since when the graph says so, without a gap: a date that a file claims cannot make a period longer."""
    until: date | None
    """The last day on which it is there."""
    replacement: str | None
    """What to use instead: an asset key, or words."""
    reason: str | None
    by: str
    """Who deprecated it, or the origin that says so."""
    origin: str


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """Somebody who answers for an asset agrees to what one change does to it."""

    digest: str
    """Of the change, as `digest_of` makes it."""
    change: str
    """The key of what changes."""
    by: str
    as_owner: bool
    """As one of the asset's owners; else as an operator of the service."""
    at: Instant
    until: Instant
    note: str | None


def digest_of(asset: AssetKey, alteration: str, renamed_to: AssetKey | None, differences: Iterable[Json]) -> str:
    """Of exactly this change: another change of the same asset has another. `differences`: [attribute, before, after] each."""
    said = [str(asset), alteration, None if renamed_to is None else str(renamed_to), [*differences]]
    return hashlib.sha256(canonical(said)).hexdigest()[:32]


def deprecation_of(said: Iterable[Assertion], at: Instant) -> Deprecation | None:
    """What holds at `at`; of several, the one told first."""
    found: list[Deprecation] = []
    by_origin: dict[str, list[Assertion]] = {}
    for each in said:
        if isinstance(each.attributes.get(DEPRECATED), dict):
            by_origin.setdefault(each.origin, []).append(each)
    for origin, spans in by_origin.items():
        spans.sort(key=lambda span: span.valid)
        current = next((span for span in spans if span.valid.holds_at(at)), None)
        if current is None:
            continue
        told = current.valid.start
        for span in reversed(spans):
            if span.valid.end == told:
                told = span.valid.start
        value = current.attributes[DEPRECATED]
        assert isinstance(value, dict)
        until = _text(value, "until")
        found.append(
            Deprecation(
                told=told,
                until=None if until is None else date.fromisoformat(until),
                replacement=_text(value, "replacement"),
                reason=_text(value, "reason"),
                by=_text(value, "by") or origin,
                origin=origin,
            )
        )
    return min(found, key=lambda each: (each.told, each.origin), default=None)


def acknowledgements_of(said: Iterable[Assertion], at: Instant) -> tuple[Acknowledgement, ...]:
    """Those that hold at `at`, in the order in which they were made."""
    found = []
    for each in said:
        value = each.attributes.get(ACKNOWLEDGED)
        if each.origin.startswith(ACKNOWLEDGEMENT) and each.valid.holds_at(at) and isinstance(value, dict):
            found.append(
                Acknowledgement(
                    digest=each.origin.removeprefix(ACKNOWLEDGEMENT),
                    change=str(value.get("change")),
                    by=str(value.get("by")),
                    as_owner=value.get("as") == "owner",
                    at=each.valid.start,
                    until=each.valid.end,
                    note=_text(value, "note"),
                )
            )
    return tuple(sorted(found, key=lambda each: (each.at, each.digest)))


def checked_digest(given: str) -> str:
    """Raises InvalidInput."""
    if len(given) != 32 or set(given) - set("0123456789abcdef"):
        raise InvalidInput(f"{quoted(given)} is no digest of a change; `headwater check` tells that of each", given)
    return given


def _text(value: Mapping[str, Json], name: str) -> str | None:
    found = value.get(name)
    return found if isinstance(found, str) else None
