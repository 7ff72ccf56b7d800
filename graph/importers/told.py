"""What an importer made of a document, where it may leave some of it out."""

from typing import NamedTuple

from graph.changes import Registration


class Warned(NamedTuple):
    """What was left out, or is known at a coarser grain than it could be."""

    place: str
    reason: str
    item: str | None = None
    """The text that was left out, to be read again; None for what was taken, coarsely."""


class Imported(NamedTuple):
    registration: Registration
    warned: tuple[Warned, ...] = ()
    further: tuple[Registration, ...] = ()
    """What is said beside it, by origins of their own."""
