"""What an importer made of a document, where it may leave some of it out."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from graph.changes import Registration
from graph.keys import AssetKey
from graph.model import Subject


class Warned(NamedTuple):
    """What was left out, or is known at a coarser grain than it could be."""

    place: str
    reason: str
    item: str | None = None
    """The text that was left out, to be read again; None for what was taken, coarsely."""


class Line(NamedTuple):
    """Of a file, from 1; None: the file as such."""

    path: str
    number: int | None


class Imported(NamedTuple):
    registration: Registration
    warned: tuple[Warned, ...] = ()
    further: tuple[Registration, ...] = ()
    """What is said beside it, by origins of their own."""
    lines: Mapping[Subject, Line] = MappingProxyType({})
    """Where it is said, as far as the format tells."""
    unread: Mapping[AssetKey, str] = MappingProxyType({})
    """Assets whose definition is there and was not understood, with the place and the reason."""
