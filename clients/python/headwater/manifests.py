"""headwater.yaml as text → the plain document that the service reads. What it means is the service's to say."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import yaml

from headwater.errors import ManifestUnreadable

MAX_BYTES = 900_000
"""The service reads bodies of a megabyte."""
MAX_VALUES = 200_000
"""Counted as often as aliases repeat them: a small file may expand to more than any memory holds."""
MAX_DEPTH = 60
"""The service reads JSON of 64 levels."""
MAX_IMPORT_BYTES, MAX_IMPORT_VALUES = 50_000_000, 5_000_000
"""Of files that are imported."""


def parsed(text: bytes, name: str) -> dict[str, Any]:
    """Raises ManifestUnreadable, with the line where there is one. `name` is for its messages."""
    (document,) = all_parsed(text, name, one=True)
    if not isinstance(document, dict):
        raise ManifestUnreadable(f"{name} holds no mapping; it begins with `version: 1`")
    return document


def all_parsed(text: bytes, name: str, one: bool = False) -> list[Any]:
    """All documents of a file that are not empty; with `one`, the only one, whatever it is.

    Raises ManifestUnreadable, with a line for each place that is wrong.
    """
    most_bytes, most_values = (MAX_BYTES, MAX_VALUES) if one else (MAX_IMPORT_BYTES, MAX_IMPORT_VALUES)
    if len(text) > most_bytes:
        raise ManifestUnreadable(f"{name} has {len(text)} bytes; the limit is {most_bytes}")
    documents: list[Any] = []
    wrong: list[str] = []
    try:
        _refuse_nested(text)
        loader = _Loader(text)
        try:
            for node in _nodes(loader, one):
                wrong += _wrong(node, name)
                if not wrong:
                    made = loader.construct_document(node)
                    documents += [] if made is None and not one else [made]
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        place = f"{name}:{_within(error.problem_mark, text)}" if error.problem_mark else name
        told = ", ".join(part for part in (error.context, error.problem) if part)
        raise ManifestUnreadable("\n".join([*wrong, f"{place}: {told}"])) from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise ManifestUnreadable("\n".join([*wrong, f"{name}: {error}"])) from error
    if wrong:
        raise ManifestUnreadable("\n".join(wrong))
    if one and not documents:
        documents = [None]
    if _size(documents, most_values) > most_values:
        raise ManifestUnreadable(f"{name} holds more than {most_values} values, those repeated by aliases included")
    try:
        json.dumps(documents, allow_nan=False)
    except (ValueError, TypeError, RecursionError) as error:
        raise ManifestUnreadable(f"{name} holds what JSON cannot: {error}") from error
    return documents


def _refuse_nested(text: bytes) -> None:
    """The composer in C would not survive it. Only a text with so many brackets, or so long a line, can be nested so deeply."""
    longest = max(map(len, text.splitlines()), default=0)
    if text.count(b"[") + text.count(b"{") + longest < _SAFE_DEPTH:
        return
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, (yaml.SequenceStartEvent, yaml.MappingStartEvent)):
            depth += 1
            if depth > MAX_DEPTH:
                problem = f"nested deeper than {MAX_DEPTH} levels"
                raise yaml.composer.ComposerError(None, None, problem, event.start_mark)  # type: ignore[arg-type]
        elif isinstance(event, (yaml.SequenceEndEvent, yaml.MappingEndEvent)):
            depth -= 1


_SAFE_DEPTH = 1_000


def _within(mark: yaml.Mark, text: bytes) -> str:
    """Line and column; what goes wrong after the last line goes wrong at its end."""
    lines = text.decode(errors="replace").splitlines()
    if mark.line < len(lines) or not lines:
        return f"{mark.line + 1}:{mark.column + 1}"
    return f"{len(lines)}:{len(lines[-1]) + 1}"


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # the one in C, where it was built
    """Dates stay text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}

_TAG = "tag:yaml.org,2002:"
_HELD = {f"{_TAG}{name}" for name in ("null", "bool", "int", "float", "str", "seq", "map", "merge")}
"""What JSON can hold, numbers aside that are none."""


def _nodes(loader: Any, one: bool) -> Iterator[yaml.Node]:
    if one:
        node = loader.get_single_node()
        if node is not None:
            yield node
        return
    while loader.check_node():
        yield loader.get_node()


def _wrong(root: yaml.Node, name: str) -> list[str]:
    """Keys that stand twice, keys that are no text, and what JSON cannot hold: a line for each, in their order."""
    found: dict[tuple[int, int], str] = {}

    def note(node: yaml.Node, told: str) -> None:
        found.setdefault((node.start_mark.line + 1, node.start_mark.column + 1), told)

    seen: set[int] = set()
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if node.tag not in _HELD:
            note(
                node,
                f"the tag !{node.tag.removeprefix(_TAG).lstrip('!')} stands for what JSON cannot hold; write plain values",
            )
        elif isinstance(node, yaml.ScalarNode):
            if node.tag == f"{_TAG}float" and node.value.lower().lstrip("+-") in (".nan", ".inf"):
                note(node, f"{node.value} is no number that JSON can hold")
        elif isinstance(node, yaml.SequenceNode):
            waiting += node.value
        elif isinstance(node, yaml.MappingNode):
            first: dict[str, yaml.Node] = {}
            for key, value in node.value:
                waiting.append(value)
                if not isinstance(key, yaml.ScalarNode):
                    note(key, "a list or a mapping is no name of a field")
                    continue
                if key.tag == f"{_TAG}merge":
                    continue
                if key.tag != f"{_TAG}str":
                    note(key, f'the name {key.value or "of nothing"} is not text; write it in quotes, "{key.value}"')
                if key.value in first:
                    note(key, f"{key.value!r} stands twice here; first in line {first[key.value].start_mark.line + 1}")
                first.setdefault(key.value, key)
    return [f"{name}:{line}:{column}: {told}" for (line, column), told in sorted(found.items())]


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
