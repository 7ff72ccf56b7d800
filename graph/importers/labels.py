"""What other systems hang on their things: owners, tags that have values, and the code they are made by."""

from collections.abc import Iterable, Mapping

from graph.attributes import canonical
from graph.errors import InvalidAttribute
from graph.model import Json

MOST_OF_A_TAG = 100
"""Characters of the value of a tag that people would select by; longer ones are labels alone."""
MOST_OF_A_DEFINITION = 65_536
"""Characters of code that are kept of one thing."""
MOST_BYTES_OF_A_MAPPING = 60_000
"""What comes later in the order of the names is left out."""


def labelled(tags: Mapping[str, str], hidden: tuple[str, ...] = ()) -> dict[str, Json]:
    """`labels`, verbatim, and `tags`: those of them to select by, as `key` or `key=value`, but for `hidden` beginnings of keys."""
    short = [
        f"{name}={value}" if value else name
        for name, value in tags.items()
        if name and len(value) <= MOST_OF_A_TAG and not name.startswith(hidden)
    ]
    return {"tags": [*short] or None, "labels": fitting({**tags})}


def owners(names: Iterable[str]) -> Json:
    """A mail address is also the way to reach them."""
    found: list[Json] = [
        {"name": name, "contact": name} if "@" in name else {"name": name}
        for name in dict.fromkeys(each.strip() for each in names)
        if name
    ]
    return found or None


def definition(code: str | None) -> str | None:
    """None for code that is empty, or too long to be kept."""
    return code if code and len(code) <= MOST_OF_A_DEFINITION else None


def fitting(mapping: Mapping[str, Json]) -> Json:
    """As much of it as an asset may hold, in the order of its names; None for nothing."""
    left = MOST_BYTES_OF_A_MAPPING
    kept: dict[str, Json] = {}
    for name in sorted(mapping):
        try:
            left -= len(canonical([name, mapping[name]]))
        except InvalidAttribute:
            continue
        if left < 0:
            break
        kept[name] = mapping[name]
    return kept or None
