"""Where in a YAML text something stands: `datasets[0].columns[1].typ` → line and column.

The service names what is wrong by place, in the plain document; the text is here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import yaml

_COMPOSER: type = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_MERGE = "tag:yaml.org,2002:merge"


class Position(NamedTuple):
    """From 1."""

    line: int
    column: int


def located(problems: str, texts: Mapping[str, str], names: Mapping[str, str] | None = None) -> str:
    """Lines `path: place: what is wrong`, as `path:line:column: place: what is wrong`, each with the line it means below.

    `texts`: of the documents, by path as the lines have it; `names`: what paths are called instead. Other lines stay.
    """
    return "\n".join(_located(line, texts, names or {}) for line in problems.splitlines())


def _located(line: str, texts: Mapping[str, str], names: Mapping[str, str]) -> str:
    paths = [path for path in texts if line.startswith(f"{path}: ")]
    if not paths:
        return next((name + line[len(path) :] for path, name in names.items() if line.startswith(f"{path}: ")), line)
    path = max(paths, key=len)
    problem = line[len(path) + 2 :]
    found = position(texts[path], problem)
    shown = texts[path].splitlines()[found.line - 1 : found.line]
    told = f"{names.get(path, path)}:{found.line}:{found.column}: {problem}"
    if not shown or not shown[0].strip():
        return told
    start = max(0, found.column - 1 - _BEFORE)
    before = re.sub(r"[^\t]", " ", shown[0][start : found.column - 1])
    return f"{told}\n    {shown[0][start : start + _WIDTH]}\n    {before}^"


_BEFORE, _WIDTH = 80, 120
"""Of a long line, so much is shown."""


def position(text: str, problem: str) -> Position:
    """Of the place that `problem` begins with; where that is not there, as for what is missing, of what it would be in."""
    root = _composed(text)
    if root is None:
        return Position(1, 1)
    return _Walk(root).to(problem)


@lru_cache(maxsize=64)
def _composed(text: str) -> yaml.Node | None:
    try:
        node: yaml.Node | None = yaml.compose(text, Loader=_COMPOSER)
    except yaml.YAMLError:
        return None  # it was read before
    return node


@dataclass
class _Walk:
    root: yaml.Node

    def to(self, problem: str) -> Position:
        node, key, rest = self.root, None, problem
        while True:
            if isinstance(node, yaml.SequenceNode) and (index := re.match(r"\[(\d+)\]", rest)):
                if int(index[1]) >= len(node.value):
                    break
                key, node, rest = None, node.value[int(index[1])], rest[index.end() :]
            elif isinstance(node, yaml.MappingNode):
                step = _step(node, rest.removeprefix("."))
                if step is None:
                    break
                key, node, rest = step
            else:  # one item that stands without a list, or the short form of a mapping, is it all
                break
        of_key = key is not None and (rest.startswith(": unknown field") or _is_nothing(node) or _is_before(node, key))
        return _position(key if of_key and key is not None else node)


def _step(node: yaml.MappingNode, rest: str) -> tuple[yaml.Node, yaml.Node, str] | None:
    """The key that `rest` begins with, its value, and what is left of `rest`: of several such keys the longest."""
    found: tuple[yaml.Node, yaml.Node, str] | None = None
    for key, value in _pairs(node):
        name = str(key.value)
        if rest.startswith(name):
            left = rest[len(name) :]
            ends = not left or left[0] in ".[" or left.startswith(": ")
            if ends and (found is None or len(left) < len(found[2])):
                found = key, value, left
    return found


def _pairs(node: yaml.MappingNode, seen: frozenset[int] = frozenset()) -> Iterator[tuple[yaml.Node, yaml.Node]]:
    """With those that are merged in, which come after its own."""
    merged: list[yaml.Node] = []
    for key, value in node.value:
        if key.tag == _MERGE:
            merged += value.value if isinstance(value, yaml.SequenceNode) else [value]
        elif isinstance(key, yaml.ScalarNode):
            yield key, value
    for each in merged:
        if isinstance(each, yaml.MappingNode) and id(each) not in seen:
            yield from _pairs(each, seen | {id(node)})


def _is_nothing(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and not node.value and not node.style


def _is_before(node: yaml.Node, key: yaml.Node) -> bool:
    """It stands elsewhere, under an anchor: here is its name."""
    return bool(node.start_mark.index < key.start_mark.index)


def _position(node: yaml.Node) -> Position:
    return Position(node.start_mark.line + 1, node.start_mark.column + 1)
