"""headwater.yaml as text → the plain document that the service reads. What it means is the service's to say."""

from __future__ import annotations

import json
from collections.abc import Hashable
from typing import Any

import yaml

from headwater.errors import ManifestUnreadable

MAX_BYTES = 900_000
"""The service reads bodies of a megabyte."""
MAX_VALUES = 200_000
"""Counted as often as aliases repeat them: a small file may expand to more than any memory holds."""
MAX_IMPORT_BYTES, MAX_IMPORT_VALUES = 50_000_000, 5_000_000
"""Of files that are imported."""


def parsed(text: bytes, name: str) -> dict[str, Any]:
    """Raises ManifestUnreadable, with the line where there is one. `name` is for its messages."""
    (document,) = all_parsed(text, name, one=True)
    if not isinstance(document, dict):
        raise ManifestUnreadable(f"{name} holds no mapping; it begins with `version: 1`")
    return document


def all_parsed(text: bytes, name: str, one: bool = False) -> list[Any]:
    """All documents of a file that are not empty; with `one`, the only one, whatever it is. Raises ManifestUnreadable."""
    most_bytes, most_values = (MAX_BYTES, MAX_VALUES) if one else (MAX_IMPORT_BYTES, MAX_IMPORT_VALUES)
    if len(text) > most_bytes:
        raise ManifestUnreadable(f"{name} has {len(text)} bytes; the limit is {most_bytes}")
    try:
        if one:
            documents = [yaml.load(text, Loader=_Loader)]  # noqa: S506 (a safe loader: it makes plain values alone)
        else:
            documents = [each for each in yaml.load_all(text, Loader=_Loader) if each is not None]
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
        raise ManifestUnreadable(f"{place}: {error.problem or error.context}") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise ManifestUnreadable(f"{name}: {error}") from error
    if _size(documents, most_values) > most_values:
        raise ManifestUnreadable(f"{name} holds more than {most_values} values, those repeated by aliases included")
    try:
        json.dumps(documents, allow_nan=False)
    except (ValueError, TypeError, RecursionError) as error:  # .nan, !!binary, !!set
        raise ManifestUnreadable(f"{name} holds what JSON cannot: {error}") from error
    return documents


class _Loader(yaml.SafeLoader):
    """Dates stay text, and a key that stands twice is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: dict[object, yaml.Node] = {}
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen and key.tag != "tag:yaml.org,2002:merge":
                first = seen[key.value].start_mark.line + 1
                raise yaml.constructor.ConstructorError(
                    None, None, f"{key.value!r} stands twice here; first in line {first}", key.start_mark
                )
            seen[key.value if isinstance(key, yaml.ScalarNode) else id(key)] = key
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _size(document: object, most: int) -> int:
    """How many values a document holds, written out; anything above the limit for one that holds itself."""
    known: dict[int, int] = {}

    def size(value: object) -> int:
        if not isinstance(value, (dict, list)):
            return 1
        if id(value) not in known:
            known[id(value)] = most + 1  # in case it holds itself
            inner = value.values() if isinstance(value, dict) else value
            known[id(value)] = min(1 + sum(map(size, inner)), most + 1)
        return known[id(value)]

    return size(document)
