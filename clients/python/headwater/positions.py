"""Where in a YAML text something stands: `datasets[0].columns[1]` → line and column."""

from __future__ import annotations

import re
from typing import NamedTuple

import yaml


class Position(NamedTuple):
    """From 1."""

    line: int
    column: int


def position(text: str, place: str) -> Position:
    """Where it is not there, of what it would be in."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError:
        node = None
    if node is None:
        return Position(1, 1)
    for step in re.findall(r"[^.\[\]]+", place):
        inner = _inner(node, step)
        if inner is None:
            break
        node = inner
    return Position(node.start_mark.line + 1, node.start_mark.column + 1)


def _inner(node: yaml.Node, step: str) -> yaml.Node | None:
    if isinstance(node, yaml.SequenceNode) and step.isdigit():
        return node.value[int(step)] if int(step) < len(node.value) else None
    if isinstance(node, yaml.MappingNode):
        return next((value for key, value in node.value if key.value == step), None)
    return None
