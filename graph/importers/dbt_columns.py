"""The compiled SQL of a dbt project → which column comes from which, as far as it can be told.

dbt's own record is of tables: those flows stand whatever is found here, and what is not found is no warning. Columns are known
from the catalog, from what models select, and, not all of them, from what people documented.
"""

from collections.abc import Sequence
from typing import NamedTuple

from sqlglot import exp
from sqlglot.optimizer.normalize_identifiers import normalize_identifiers

from graph.changes import AssetStatement, FlowStatement, Registration
from graph.errors import InvalidInput
from graph.importers.sql.frames import Budget, Frame, Unsupported
from graph.importers.sql.ordering import in_order
from graph.importers.sql.queries import Queries
from graph.importers.sql.relations import Item, Leaves, Relation, stored
from graph.importers.sql.text import NOT_READ, parsed
from graph.keys import AssetKey
from graph.model import Basis, Flow, checked_flow

DIALECTS = {
    **{
        name: name for name in ("athena", "bigquery", "clickhouse", "databricks", "duckdb", "fabric", "mysql", "oracle")
    },
    **{name: name for name in ("postgres", "redshift", "snowflake", "spark", "teradata", "trino")},
    "dremio": "dremio",
    "materialize": "materialize",
    "sqlserver": "tsql",
    "synapse": "tsql",
    "starrocks": "starrocks",
}
"""sqlglot's, by dbt's adapter."""


class Compiled(NamedTuple):
    """A node that has a relation; without `sql` it is only read."""

    place: str
    sql: str | None
    key: AssetKey
    relation: tuple[str | None, ...]
    columns: list[str]
    is_catalogued: bool
    """`columns` are all of them."""


def columns_of(models: Sequence[Compiled], adapter: str | None, origin: str) -> Registration:
    flows: dict[Flow, None] = {}
    dialect = DIALECTS.get(adapter or "")
    if dialect is not None:
        flows = _Reading(models, dialect).flows()
    columns = sorted({end for flow in flows for end in (flow.source, flow.target) if end.path}, key=str)
    return Registration(
        origin=origin,
        basis=Basis.INFERRED,
        assets=tuple(AssetStatement(column) for column in columns),
        flows=tuple(FlowStatement(flow) for flow in flows),
        complete=True,
        stubs=True,
    )


class _Reading:
    def __init__(self, models: Sequence[Compiled], dialect: str) -> None:
        self._models = models
        self._dialect = dialect
        self._budget = Budget()
        self._by_name = {_folded(model.relation): str(model.key) for model in models}
        self._keys = {str(model.key): model.key for model in models}
        self._known: dict[str, Relation] = {}
        for model in models:
            name = str(model.key)
            if name not in self._known or model.is_catalogued:
                self._known[name] = stored(name, model.columns, is_complete=model.is_catalogued)

    def flows(self) -> dict[Flow, None]:
        trees = [None if model.sql is None else self._parsed(model.sql) for model in self._models]
        reads = [set() if tree is None else {self._name(table) for table in tree.find_all(exp.Table)} for tree in trees]
        makers = {
            str(model.key): number for number, (model, tree) in enumerate(zip(self._models, trees, strict=True)) if tree
        }
        needs = [{makers[name] for name in names if name in makers} - {number} for number, names in enumerate(reads)]
        flows: dict[Flow, None] = {}
        for number in in_order(needs):
            tree = trees[number]
            if tree is not None:
                flows.update(dict.fromkeys(self._flows(self._models[number], tree)))
        return flows

    def _parsed(self, sql: str) -> exp.Expr | None:
        statements = list(parsed(sql, self._dialect))
        tree = statements[0].tree if len(statements) == 1 else None
        if not isinstance(tree, exp.Query):
            return None
        try:
            return normalize_identifiers(tree, dialect=self._dialect)
        except NOT_READ:
            return None

    def _flows(self, model: Compiled, tree: exp.Expr) -> list[Flow]:
        try:
            made = Queries(self._dialect, self._table, lambda _: None, self._budget).relation(tree, Frame({}))
        except (Unsupported, *NOT_READ):
            return []
        own = self._known[str(model.key)]
        items = [
            item._replace(name=_spelled(item.name, model.columns)) for item in made.items if isinstance(item, Item)
        ]
        if made.is_closed and not model.is_catalogued and all(item.name is not None for item in items):
            more = [name for name in model.columns if made.find(name) is None]  # an incremental model keeps old ones
            own = stored(str(model.key), [str(item.name) for item in items] + more)
            self._known[str(model.key)] = own
        flows: list[Flow] = []
        for item in items:
            if item.name is not None:
                flows += self._into(model, item.leaves, item.name)
        return flows + self._into(model, made.rows, None)

    def _into(self, model: Compiled, leaves: Leaves, column: str | None) -> list[Flow]:
        flows = []
        for leaf in sorted(leaves, key=lambda leaf: (leaf.table, leaf.column or "")):
            if leaf.column is None or leaf.table not in self._keys:
                continue
            try:
                target = model.key if column is None else model.key.part_key(column)
                source = self._keys[leaf.table].part_key(leaf.column)
            except InvalidInput:  # a name that is none of a column
                continue
            if source.container != model.key:  # an incremental model reads itself
                flows.append(checked_flow(source, target))
        return flows

    def _name(self, table: exp.Table) -> str:
        parts = tuple(part for part in (table.catalog or None, table.db or None, table.name) if part)
        return self._by_name.get(_folded(parts), f"? {'.'.join(parts)}")

    def _table(self, table: exp.Table) -> Relation:
        name = self._name(table)
        return self._known.get(name) or stored(name, None)


def _folded(parts: Sequence[str | None]) -> tuple[str, ...]:
    return tuple(part.casefold() for part in parts if part)


def _spelled(name: str | None, columns: Sequence[str]) -> str | None:
    found = [column for column in columns if name is not None and column.casefold() == name.casefold()]
    return found[0] if found else name
