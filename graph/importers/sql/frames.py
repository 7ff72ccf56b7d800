"""Where the names of a query are looked up, and what looking up may cost."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from graph.importers.sql.relations import Found, Leaves, Relation, union

MOST_WORK, MOST_OF_ALL_WORK = 500_000, 5_000_000
"""Columns of tables that are handled for one statement, for a document: some seconds, a minute. A megabyte of SQL that people wrote takes some hundred thousand."""


@dataclass
class Budget:
    """Of a document."""

    left: int = MOST_OF_ALL_WORK


class Unsupported(Exception):
    """What is known only at the grain of tables, and why."""


@dataclass
class Source:
    alias: str
    relation: Relation
    is_visible: bool = True
    """Not after ON: the right side of a semi-join."""


@dataclass
class Frame:
    """Where a name is looked up: what stands in FROM, then what stands around it."""

    ctes: Mapping[str, Relation]
    parent: "Frame | None" = None
    beside: "Frame | None" = None
    """What stands before it in FROM, where the dialect lets it be seen: asked last."""
    sources: list[Source] = field(default_factory=list)
    merged: dict[str, Leaves] = field(default_factory=dict)
    """Columns that USING makes one of several."""
    aliases: dict[str, Leaves] = field(default_factory=dict)
    named_after_itself: set[str] = field(default_factory=set)
    """Aliases of what reads a column of the same name: so there is one."""
    aggregates: set[str] = field(default_factory=set)
    windows: dict[str, Leaves] = field(default_factory=dict)

    def named(self, alias: str) -> Relation | None:
        folded = alias.casefold()
        found = [each.relation for each in self.sources if each.alias.casefold() == folded]
        return found[0] if found else None

    def lookup(self, name: str) -> tuple[Leaves | None, list[Found]]:
        """What certainly is that column; what may be."""
        if (merged := self.merged.get(name.casefold())) is not None:
            return merged, []
        found = [each for source in self.sources if source.is_visible and (each := source.relation.find(name))]
        certain = [each.leaves for each in found if each.coarse is None]
        return (union(certain), []) if certain else (None, found)
