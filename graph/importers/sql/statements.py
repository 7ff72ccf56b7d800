"""The statements of one file, in their order."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlglot import exp
from sqlglot.optimizer.normalize_identifiers import normalize_identifiers

from graph.importers.sql.frames import Unsupported
from graph.importers.sql.relations import NOTHING, Item, Leaf, Relation, Rest, opaque
from graph.importers.sql.text import NOT_READ, Statement
from graph.importers.sql.writing import DefaultSchema, Reading, Surroundings, Written, created, targets_of


@dataclass
class Script(Surroundings):
    """A file, statement by statement. Temporary tables live and die in it."""

    passing: frozenset[str] = frozenset()
    """Tables that the file makes and then drops or renames."""

    def run(self, statement: Statement) -> Iterator[Written]:
        """What a statement writes; a target of "" is a query that writes nothing."""
        if statement.tree is None:
            self.tell(statement, statement.reason or "", True)
            return
        try:
            tree = normalize_identifiers(statement.tree, dialect=self.dialect)
            for written in self._run(statement, tree):
                if written.target and self._is_temporary(written.target, tree):
                    self._keep(written)
                else:
                    yield written
        except (Unsupported, RecursionError) as error:
            reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
            yield from self._coarsely(statement, reason)
        except NOT_READ as error:
            yield from self._coarsely(statement, f"it is not understood: {type(error).__name__}")

    def _run(self, statement: Statement, tree: exp.Expr) -> Iterator[Written]:
        reading = Reading(self, statement)
        if isinstance(tree, exp.Create):
            yield from reading.create(tree)
        elif isinstance(tree, exp.Insert):
            yield from reading.insert(tree)
        elif isinstance(tree, exp.MultitableInserts):
            yield from reading.inserts(tree)
        elif isinstance(tree, exp.Update):
            yield from reading.update(tree)
        elif isinstance(tree, exp.Delete):
            yield from reading.delete(tree)
        elif isinstance(tree, exp.Merge):
            yield from reading.merge(tree)
        elif isinstance(tree, exp.Query):
            yield from reading.query(tree)
        elif isinstance(tree, exp.Use):
            self._use(tree)
        elif isinstance(tree, exp.Alter):
            yield from self._alter(statement, tree)
        elif isinstance(tree, exp.Drop):
            for table in tree.find_all(exp.Table):
                self.temporary.pop(self.name_of(table, self.place), None)
        elif isinstance(tree, exp.Set) and "search_path" in statement.text.lower():
            self.tell(statement, "the search path is not followed: name the schema of each table, or a default", False)
        elif isinstance(tree, exp.Command) and str(tree.this).upper() not in _SAYS_NOTHING:
            self.tell(statement, f"{str(tree.this).upper()[:40]} is not followed", True)
        elif isinstance(tree, exp.Copy | exp.LoadData | exp.Block | exp.IfBlock | exp.WhileBlock):
            self.tell(statement, f"{type(tree).__name__.upper()} is not followed", True)
        elif isinstance(tree, exp.Condition):
            self.tell(statement, "it is no statement", True)

    def _is_temporary(self, name: str, tree: exp.Expr) -> bool:
        if name in self.temporary or name in self.passing:
            return True
        properties = tree.args.get("properties") if isinstance(tree, exp.Create) else None
        is_said = isinstance(properties, exp.Properties) and properties.find(exp.TemporaryProperty) is not None
        return is_said or any(table.this.args.get("temporary") for table in targets_of(tree))

    def _keep(self, written: Written) -> None:
        made = written.made
        if made is None:
            before = self.temporary.get(written.target)
            names = {item.name.casefold(): item for item in written.columns if item.name}
            items: list[Item | Rest] = []
            for item in before.items if before else ():
                more = names.pop((item.name or "").casefold(), None) if isinstance(item, Item) else None
                items.append(item if more is None else item._replace(leaves=item.leaves | more.leaves))
            items += names.values()
            coarse = frozenset(leaf for leaf in written.whole if leaf.column is None)
            if coarse:
                items.append(Rest(None, coarse))
            made = Relation(
                items,
                (before.rows if before else NOTHING) | written.whole,
                (before.tables if before else frozenset()) | written.reads,
            )
        self.temporary[written.target] = made

    def _coarsely(self, statement: Statement, reason: str) -> Iterator[Written]:
        """Reads its tables and writes its targets, nothing finer."""
        assert statement.tree is not None
        self.tell(statement, f"{reason}; it is known by its tables alone", False)
        targets = {self.name_of(table, self.place): None for table in targets_of(statement.tree)}
        ctes = {cte.alias.casefold() for cte in statement.tree.find_all(exp.CTE)}
        every, reads = NOTHING, frozenset[str]()
        for table in statement.tree.find_all(exp.Table):
            if not isinstance(table.this, exp.Identifier) or (table.name.casefold() in ctes and not table.db):
                continue
            name = self.name_of(table, self.place)
            if name in targets:
                continue
            passed = self.temporary.get(name)
            every |= frozenset({Leaf(name, None)}) if passed is None else passed.all() | passed.rows
            reads |= frozenset({name}) if passed is None else passed.tables
        for target in targets or {"": None}:
            made = opaque(every) if isinstance(statement.tree, exp.Create) else None
            written = Written(target, (), every, reads, made)
            if target and self._is_temporary(target, statement.tree):
                self._keep(written)
            else:
                yield written

    def _use(self, tree: exp.Use) -> None:
        named = tree.this
        if not isinstance(named, exp.Table) or str(tree.args.get("kind") or "").upper() in {"ROLE", "WAREHOUSE"}:
            return
        is_database = str(tree.args.get("kind") or "").upper() in {"DATABASE", "CATALOG"} or (
            not tree.args.get("kind") and self.dialect in {"tsql", "snowflake"} and not named.db
        )
        if is_database:
            self.place = DefaultSchema(named.name, None)
        else:
            self.place = DefaultSchema(named.db or self.place.database, named.name)

    def _alter(self, statement: Statement, tree: exp.Alter) -> Iterator[Written]:
        for action in tree.args.get("actions") or ():
            if isinstance(action, exp.AlterRename) and isinstance(tree.this, exp.Table):
                old, new = self.name_of(tree.this, self.place), action.this
                if isinstance(new, exp.Table) and not new.db and tree.this.db:
                    new = exp.Table(this=new.this, db=tree.this.args.get("db"), catalog=tree.this.args.get("catalog"))
                made = self.temporary.pop(old, None)
                if made is not None and isinstance(new, exp.Table):
                    written = created(self.name_of(new, self.place), made)
                    if written.target in self.passing:
                        self._keep(written)
                    else:
                        yield written
                else:
                    self.tell(statement, "the new name of a table is not followed into what was said of the old", False)
            elif isinstance(action, exp.ColumnDef | exp.Drop | exp.RenameColumn) and isinstance(tree.this, exp.Table):
                self.altered(self.name_of(tree.this, self.place))
            elif isinstance(action, exp.SwapTable):
                self.tell(statement, "SWAP is not followed", True)


_SAYS_NOTHING = frozenset(
    {
        "ANALYZE",
        "BEGIN",
        "CLOSE",
        "COMMENT",
        "EXPLAIN",
        "FLUSH",
        "GRANT",
        "LOCK",
        "MSCK",
        "OPTIMIZE",
        "PRINT",
        "REFRESH",
    }
    | {"RESET", "REVOKE", "SET", "SHOW", "START", "UNLOCK", "VACUUM", "DEALLOCATE", "LIST", "REMOVE", "CHECKPOINT"}
)
"""Commands that move no data."""


def passing_names(statements: Sequence[Statement], name_of: Callable[[exp.Table], str]) -> frozenset[str]:
    """The tables that a file makes, and then drops or renames: they are gone when it ends."""
    made: set[str] = set()
    gone: set[str] = set()
    for statement in statements:
        tree = statement.tree
        if isinstance(tree, exp.Create) and str(tree.args.get("kind") or "").upper() in {"TABLE", "VIEW"}:
            for table in targets_of(tree):
                made.add(name_of(table))
                gone.discard(name_of(table))
        elif isinstance(tree, exp.Drop):
            gone |= {name for table in tree.find_all(exp.Table) if (name := name_of(table)) in made}
        elif isinstance(tree, exp.Alter) and isinstance(tree.this, exp.Table) and tree.find(exp.AlterRename):
            gone |= {name_of(tree.this)} & made
    return frozenset(gone)


def tables_made(statement: Statement) -> list[exp.Table]:
    return targets_of(statement.tree) if isinstance(statement.tree, exp.Create) else []


def definitions(tree: exp.Expr, dialect: str) -> Mapping[str, tuple[str | None, bool]]:
    """Of CREATE TABLE with columns: their types, and whether they may be null."""
    if not isinstance(tree, exp.Create) or not isinstance(tree.this, exp.Schema):
        return {}
    found = {}
    for each in tree.this.expressions:
        if isinstance(each, exp.ColumnDef):
            kinds = [constraint.kind for constraint in each.constraints]
            is_required = any(isinstance(kind, exp.PrimaryKeyColumnConstraint) for kind in kinds) or any(
                isinstance(kind, exp.NotNullColumnConstraint) and not kind.args.get("allow_null") for kind in kinds
            )
            found[each.name] = (each.kind.sql(dialect=dialect) if each.kind is not None else None, not is_required)
    return found
