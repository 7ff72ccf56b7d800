"""What the definitions of a manifest's features read: SQL and Python → flows from the very columns.

They are INFERRED, so of an origin of their own, `…:inferred`: what the manifest declares is never narrowed by them. A definition
that cannot be told for sure is unread, and what is declared stays all that is known of it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sqlglot import exp

from graph.changes import FlowStatement, Registration
from graph.errors import InvalidInput
from graph.importers.documents import Place, Said
from graph.importers.functions import reads_of
from graph.importers.manifest import Manifest
from graph.importers.sql.frames import Budget, Frame, Unsupported
from graph.importers.sql.queries import Queries
from graph.importers.sql.relations import Relation, stored
from graph.importers.sql.text import NOT_READ, parsed
from graph.importers.values import record, text
from graph.keys import AssetKey, AssetKind
from graph.model import Basis, Flow, Json, Subject, checked_flow

Tables = Mapping[str, Mapping[str, list[str]]]
"""Columns of tables, by namespace and name."""


def inferred_origin(origin: str) -> str:
    """Under which what definitions of a manifest say is told."""
    return f"{origin}:inferred"


def inferred(path: str, manifest: Manifest, tables: Tables) -> Said:
    said = manifest.registration
    into: dict[AssetKey, list[AssetKey]] = {}
    for each in said.flows:
        into.setdefault(each.flow.target, []).append(each.flow.source)
    flows: dict[Flow, None] = {}
    places: dict[Subject, Place] = {}
    unread: dict[AssetKey, str] = {}
    for asset in said.assets:
        definition = asset.attributes.get("definition")
        if asset.key.kind is not AssetKind.FEATURE or not isinstance(definition, dict):
            continue
        container = asset.key.container
        sources = into.get(asset.key) or (into.get(container, []) if container else [])
        found = _Definition(definition, _Sources(sources, tables))
        found.read()
        place = Place(path, f"{manifest.places[asset.key]}.definition")
        if found.unread:
            unread[asset.key] = found.unread
        for source in found.sources:
            if source != asset.key:
                flow = checked_flow(source, asset.key)
                flows[flow] = None
                places[flow] = place
    registration = Registration(
        origin=inferred_origin(said.origin),
        basis=Basis.INFERRED,
        flows=tuple(FlowStatement(flow) for flow in flows),
        complete=True,
        stubs=True,
    )
    return Said(registration, places, unread)


class _Sources:
    """What a definition may read, by name."""

    def __init__(self, sources: Iterable[AssetKey], tables: Tables) -> None:
        self.datasets: list[AssetKey] = []
        self.columns: dict[AssetKey, Sequence[str] | None] = {}
        self._named: dict[str, list[AssetKey]] = {}
        for source in dict.fromkeys(sources):
            if source.kind is AssetKind.DATASET:
                self.datasets.append(source)
                columns = tables.get(source.namespace, {}).get(source.name)
                self.columns[source] = columns
                for name in columns or ():
                    self._add(name, source.part_key(name))
            elif source.part is not None:
                self._add(source.path[-1] if source.path else source.part, source)

    def names(self) -> set[str]:
        return {name for name, keys in self._named.items() if len(keys) == 1}

    def key(self, name: str) -> AssetKey | None:
        """None where it cannot be told for sure."""
        found = self._named.get(name, [])
        if len(found) == 1:
            return found[0]
        open_ = [each for each in self.datasets if self.columns[each] is None]
        return open_[0].part_key(name) if not found and len(open_) == 1 == len(self.datasets) else None

    def dataset(self, parts: Sequence[str]) -> AssetKey | None:
        """The one that a name in SQL means."""
        folded = [part.casefold() for part in parts]
        found = [
            each
            for each in self.datasets
            if each.name.casefold().split(".")[-len(folded) :] == folded[-each.name.count(".") - 1 :]
        ]
        return found[0] if len(found) == 1 else None

    def _add(self, name: str, key: AssetKey) -> None:
        if key not in self._named.setdefault(name, []):
            self._named[name].append(key)


@dataclass
class _Definition:
    definition: dict[str, Json]
    given: _Sources
    sources: list[AssetKey] = field(default_factory=list)
    unread: str | None = None

    def read(self) -> None:
        try:
            if "python" in self.definition:
                self._python(str(self.definition["python"]), str(self.definition["function"]))
            else:
                self._sql(str(self.definition["sql"]), text(record(self.definition), "dialect") or "")
        except InvalidInput as error:
            self.unread = str(error)

    def _python(self, source: str, function: str) -> None:
        reads = reads_of(source, function, self.given.names())
        self.unread = reads.dynamic and f"{function}, {reads.dynamic}"
        self._named(reads.names)

    def _named(self, names: Iterable[str]) -> None:
        for name in names:
            key = self.given.key(name)
            if key is None:
                self.unread = self.unread or f"{name} is no column of what it is derived from"
            else:
                self.sources.append(key)

    def _sql(self, sql: str, dialect: str) -> None:
        try:
            statements = list(parsed(sql, dialect))
        except ValueError as error:
            self.unread = str(error)
            return
        if len(statements) != 1 or statements[0].tree is None:
            self.unread = (statements[0].reason if len(statements) == 1 else None) or "it is not one statement"
            return
        tree = statements[0].tree
        if isinstance(tree, exp.Query):
            self._query(tree, dialect)
        elif any(tree.find_all(exp.Query, exp.Star)):
            self.unread = "what it reads cannot be told"
        else:
            self._named(dict.fromkeys(column.name for column in tree.find_all(exp.Column)))

    def _query(self, tree: exp.Query, dialect: str) -> None:
        tables: dict[str, AssetKey] = {}

        def relation(table: exp.Table) -> Relation:
            parts = [part for part in (table.catalog, table.db, table.name) if part]
            key = self.given.dataset(parts)
            if key is None:
                raise Unsupported(f"{'.'.join(parts)} is nothing that it is derived from")
            tables[str(key)] = key
            return stored(str(key), self.given.columns[key])

        try:
            made = Queries(dialect, relation, lambda _: None, Budget()).relation(tree, Frame({}))
        except (Unsupported, *NOT_READ) as error:
            self.unread = str(error)
            return
        leaves = made.all() | made.rows
        self.sources += [
            tables[leaf.table].part_key(leaf.column)
            for leaf in sorted(leaves, key=lambda leaf: (leaf.table, leaf.column or ""))
            if leaf.column is not None
        ]
