"""Fields of OpenLineage's events: what is not as it should be is told with its place."""

import reprlib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from graph.attributes import canonical, checked_attributes
from graph.errors import InvalidAttribute, InvalidInput, InvalidKey, InvalidTime, quoted, shortened
from graph.keys import AssetKey, AssetKind
from graph.model import Attributes, Json
from graph.time import Instant, instant, moment

_MOST_BYTES = 250_000
"""Of the attributes of one asset: a little less than what may be."""


def event_time(text: str) -> Instant:
    try:
        given = datetime.fromisoformat(text)
        at = instant(given if given.tzinfo is not None else given.replace(tzinfo=UTC))
        moment(at)  # its zone may put it before the first year, or after the last
        return at
    except (ValueError, OverflowError, InvalidTime):
        raise InvalidTime(
            f"eventTime is {quoted(text)}, which is not an instant like 2026-11-23T14:00:00Z", text
        ) from None


def facets_of(of: Mapping[str, Any], place: str) -> dict[str, dict[str, Any]]:
    """Those that say something; one that is deleted is there, and empty."""
    facets = object_at(of.get("facets") or {}, f"{place}.facets")
    found = {}
    for name, given in facets.items():
        if name in READ and given is not None:
            facet = object_at(given, f"{place}.facets.{name}")
            found[name] = {} if facet.get("_deleted") is True else facet
    return found


READ = {
    "columnLineage",
    "datasetType",
    "documentation",
    "jobType",
    "lifecycleStateChange",
    "lineage",
    "ownership",
    "parent",
    "schema",
    "sourceCodeLocation",
    "sql",
    "symlinks",
    "version",
}
"""The facets that are looked at."""


def object_at(given: object, place: str) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise InvalidInput(f"{place} is {shown(given)}, not an object", place)
    return given


def objects_at(of: Mapping[str, Any], name: str, at: str) -> Iterator[tuple[dict[str, Any], str]]:
    place = f"{at}.{name}" if at else name
    given = of.get(name)
    if given is None:
        return
    if not isinstance(given, list):
        raise InvalidInput(f"{place} is {shown(given)}, not a list", place)
    for number, each in enumerate(given):
        yield object_at(each, f"{place}[{number}]"), f"{place}[{number}]"


def text_at(of: Mapping[str, Any], name: str, at: str) -> str:
    text = optional_text_at(of, name, at)
    if not text:
        place = f"{at}.{name}" if at else name
        raise InvalidInput(f"{place} is {'missing' if text is None else 'empty'}", place)
    return text


def optional_text_at(of: Mapping[str, Any], name: str, at: str) -> str | None:
    given = of.get(name)
    if given is not None and not isinstance(given, str):
        place = f"{at}.{name}" if at else name
        raise InvalidInput(f"{place} is {shown(given)}, not text", place)
    return given


def key_at(kind: AssetKind, of: Mapping[str, Any], place: str) -> AssetKey:
    namespace, name = text_at(of, "namespace", place), text_at(of, "name", place)
    try:
        return AssetKey.of(kind, namespace, name)
    except InvalidKey as error:
        raise InvalidInput(f"{place}: {error}", error.value) from None


def part_at(of: AssetKey, *steps: str, place: str) -> AssetKey:
    try:
        return of.part_key(*steps)
    except InvalidKey as error:
        raise InvalidInput(f"{place}: {error}", error.value) from None


def checked_at(attributes: dict[str, Json], of: AssetKey, place: str) -> Attributes:
    """What is too large is left out, and that is told: the event holds it, and its lineage is worth more."""
    sizes = {name: len(canonical(value)) for name, value in attributes.items()}
    left_out = []
    while sum(sizes.values()) > _MOST_BYTES:
        largest = max(sizes, key=lambda name: (sizes[name], name))
        left_out.append(largest)
        del attributes[largest], sizes[largest]
    if left_out:
        attributes["left_out"] = [*sorted(left_out)]
    try:
        return checked_attributes(attributes, of)
    except InvalidAttribute as error:
        raise InvalidInput(f"{place}: {error}", error.value) from None


def shown(given: object) -> str:
    """However large, or deeply nested."""
    return "missing" if given is None else shortened(repr(given) if isinstance(given, str) else reprlib.repr(given), 80)
