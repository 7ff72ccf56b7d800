"""One statement → what it writes, from what."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from sqlglot import exp

from graph.errors import quoted
from graph.importers.sql.frames import Budget, Frame, Source, Unsupported
from graph.importers.sql.queries import Queries
from graph.importers.sql.relations import NOTHING, Item, Leaf, Leaves, Relation, Rest, opaque, union
from graph.importers.sql.text import Statement


class Written(NamedTuple):
    """What one statement does to one table."""

    target: str
    columns: tuple[Item, ...]
    """What the values of columns come from."""
    whole: Leaves
    """What all rows depend on, and what goes to columns that are not known."""
    reads: frozenset[str]
    made: Relation | None = None
    """All that the table then is, if the statement creates it."""


Known = Callable[[str], Relation]
"""Of a stored table, by its name."""
Tell = Callable[[Statement, str, bool], None]
"""That a statement is left out (True) or read coarsely."""


@dataclass
class DefaultSchema:
    """Where names that do not say it are."""

    database: str | None = None
    schema: str | None = None


@dataclass
class Surroundings:
    """What the statements of a file stand in."""

    dialect: str
    place: DefaultSchema
    name_of: Callable[[exp.Table, DefaultSchema], str]
    known: Known
    tell: Tell
    budget: Budget
    altered: Callable[[str], None]
    """That a table has columns that are not known."""
    temporary: dict[str, Relation] = field(default_factory=dict)
    """Tables that are gone when the file ends."""


def targets_of(tree: exp.Expr) -> list[exp.Table]:
    """What a statement writes."""
    if isinstance(tree, exp.Delete) and tree.args.get("tables"):
        there = [
            each
            for name in ("this", "using")
            for part in _list(tree.args.get(name))
            for each in part.find_all(exp.Table)
        ]
        named = {each.alias_or_name.casefold(): each for each in there}
        return [named.get(table.name.casefold(), table) for table in tree.args["tables"]]
    if isinstance(tree, exp.MultitableInserts):
        return [table for each in tree.expressions for table in targets_of(each.this)]
    if isinstance(tree, exp.Select) and tree.args.get("into"):
        return [tree.args["into"].this]
    if isinstance(tree, exp.Create | exp.Insert | exp.Update | exp.Delete | exp.Merge):
        table = tree.this.this if isinstance(tree.this, exp.Schema) else tree.this
        from_ = tree.args.get("from_")
        for each in from_.find_all(exp.Table) if isinstance(from_, exp.From) else ():
            # T-SQL: UPDATE x … FROM e AS x
            if isinstance(table, exp.Table) and not table.db and each.alias.casefold() == table.name.casefold():
                return [each]
        return [table] if isinstance(table, exp.Table) and isinstance(table.this, exp.Identifier) else []
    return []


def _list(given: object) -> list[exp.Expr]:
    return [each for each in (given if isinstance(given, list) else [given]) if isinstance(each, exp.Expr)]


def created(target: str, made: Relation, reads: frozenset[str] | None = None) -> Written:
    columns = tuple(item for item in made.items if isinstance(item, Item) and item.name is not None)
    rest = union(
        item.coarse() if isinstance(item, Rest) else item.leaves
        for item in made.items
        if isinstance(item, Rest) or item.name is None
    )
    return Written(target, columns, made.rows | rest, made.tables if reads is None else reads, made)


class Reading:
    """Of one statement."""

    def __init__(self, script: Surroundings, statement: Statement) -> None:
        self._script = script
        self._reads: set[str] = set()
        self._told: set[str] = set()
        self._statement = statement
        self._queries = Queries(script.dialect, self._table, self._tell, script.budget)

    def _tell(self, reason: str) -> None:
        if reason not in self._told:
            self._told.add(reason)
            self._script.tell(self._statement, reason, False)

    def _name(self, table: exp.Expr) -> str:
        if not isinstance(table, exp.Table) or not isinstance(table.this, exp.Identifier):
            raise Unsupported("what it writes is no table")
        return self._script.name_of(table, self._script.place)

    def _table(self, table: exp.Table) -> Relation:
        name = self._name(table)
        temporary = self._script.temporary.get(name)
        if temporary is not None:
            self._reads |= temporary.tables
            return temporary
        self._reads.add(name)
        return self._script.known(name)

    def _of(self, target: str, columns: Sequence[Item], whole: Leaves) -> Written:
        return Written(target, tuple(columns), whole, frozenset(self._reads))

    # Statements

    def query(self, tree: exp.Expr) -> Iterator[Written]:
        into = tree.args.get("into")
        made = self._queries.relation(tree, Frame({}))
        if isinstance(into, exp.Into) and isinstance(into.this, exp.Table):
            target = self._name(into.this)
            written = created(target, made, frozenset(self._reads))
            if into.args.get("temporary") or into.this.this.args.get("temporary"):
                self._script.temporary[target] = made
            else:
                yield written
        else:
            yield Written("", (), made.all() | made.rows, frozenset(self._reads))

    def create(self, tree: exp.Create) -> Iterator[Written]:
        kind = str(tree.args.get("kind") or "").upper()
        if kind not in {"TABLE", "VIEW"}:
            if kind in {"FUNCTION", "PROCEDURE", "TRIGGER", "TASK", "PIPE", "STREAM", "MACRO"}:
                self._script.tell(self._statement, f"the body of a {kind} is not followed", True)
            return
        target = self._name(tree.this.this if isinstance(tree.this, exp.Schema) else tree.this)
        names = (
            [each.name for each in tree.this.expressions if isinstance(each, exp.ColumnDef | exp.Identifier)]
            if isinstance(tree.this, exp.Schema)
            else []
        )
        query = tree.expression
        clone = tree.args.get("clone")
        if isinstance(clone, exp.Clone):
            made = self._table(clone.this)
        elif isinstance(query, exp.Query | exp.Values):
            made = self._queries.relation(query, Frame(self._queries.ctes(tree, Frame({}))))
        elif isinstance(query, exp.Table):
            made = self._table(query)
        elif query is None:
            made = Relation(Item(name, NOTHING) for name in names)
            if not names:
                made = opaque(NOTHING)
        else:
            raise Unsupported("what it is made of is not followed")
        yield created(target, made.named(names), frozenset(self._reads))

    def inserts(self, tree: exp.MultitableInserts) -> Iterator[Written]:
        source = tree.args.get("source")
        if not isinstance(source, exp.Query):
            raise Unsupported("what is inserted is not followed")
        made = self._queries.relation(source, Frame(self._queries.ctes(tree, Frame({}))))
        frame = Frame({}, sources=[Source("", made)])
        conditions = [each.expression for each in tree.expressions if each.args.get("expression") is not None]
        rows = made.rows | self._queries.leaves(conditions, frame)  # of the others, too: ELSE, and FIRST
        for each in tree.expressions:
            insert = each.this
            values = insert.expression
            if isinstance(values, exp.Values):
                row = values.expressions[0]
                parts = row.expressions if isinstance(row, exp.Tuple) else [row]
                given = Relation([Item(None, self._queries.leaves(part, frame)) for part in parts], rows)
            else:
                given = Relation(made.items, rows)
            yield from self._inserted(insert, given)

    def insert(self, tree: exp.Insert) -> Iterator[Written]:
        query = tree.expression
        if isinstance(query, exp.Query | exp.Values):
            made = self._queries.relation(query, Frame(self._queries.ctes(tree, Frame({}))))
        elif isinstance(query, exp.Table):
            made = self._table(query)
        elif query is None or tree.args.get("default"):
            made = Relation([])
        else:
            raise Unsupported("what is inserted is not followed")
        yield from self._inserted(tree, made)

    def _inserted(self, tree: exp.Insert, made: Relation) -> Iterator[Written]:
        schema = tree.this if isinstance(tree.this, exp.Schema) else None
        target = self._name(schema.this if schema else tree.this)
        names = [each.name for each in schema.expressions] if schema else []
        before = self._script.temporary.get(target) or self._script.known(target)
        partition = targets_of(tree)[0].args.get("partition") or tree.args.get("partition")
        fixed = (
            {each.this.name.casefold() for each in partition.expressions if isinstance(each, exp.EQ)}
            if isinstance(partition, exp.Partition)
            else set()
        )
        if tree.args.get("by_name"):
            columns, whole = [item for item in made.items if isinstance(item, Item) and item.name], made.rows
            whole |= union(item.coarse() for item in made.items if isinstance(item, Rest))
        else:
            if not names and before.is_closed:
                names = [item.name or "" for item in before.items if isinstance(item, Item)]
                names = [name for name in names if name.casefold() not in fixed]
                if len(names) != len(made.items):  # what is known of the table is not what it is
                    names = []
            columns, whole = self._placed(names, made, target)
        conflict = tree.args.get("conflict")
        if isinstance(conflict, exp.OnConflict):
            table = targets_of(tree)[0]
            alias = table.alias or table.name
            frame = Frame(
                {}, sources=[Source(alias, before), Source("excluded", Relation(columns) if columns else made)]
            )
            keys = {each.name.casefold() for each in conflict.args.get("conflict_keys") or ()}
            by = union(item.leaves for item in columns if (item.name or "").casefold() in keys)
            by |= (
                frozenset(Leaf(target, name) for name in keys)
                if keys and target not in self._script.temporary
                else NOTHING
            )
            if conflict.args.get("where"):
                by |= self._queries.leaves(conflict.args["where"], frame)
            columns = [*columns, *self._set(conflict.expressions, frame, by)]
            whole |= by
        if tree.args.get("where"):  # REPLACE WHERE: what is overwritten
            whole |= self._queries.leaves(tree.args["where"], Frame({}, sources=[Source("", before)]))
        yield self._of(target, columns, whole)

    def _placed(self, names: Sequence[str], made: Relation, target: str) -> tuple[list[Item], Leaves]:
        """What goes to which column, by its place."""
        first = made.items[: len(names)]
        if names and len(first) == len(names) and all(isinstance(item, Item) for item in first):
            return [
                Item(name, item.leaves) for name, item in zip(names, first, strict=True) if isinstance(item, Item)
            ], made.rows
        if made.items and any(item.leaves or isinstance(item, Rest) for item in made.items):
            reason = (
                "the columns that are read are not all known"
                if names
                else f"the columns of {quoted(target)} are not known"
            )
            self._tell(f"{reason}: what is inserted goes to the table as a whole")
        return [], made.rows | made.all()

    def _set(self, assignments: Sequence[exp.Expr], frame: Frame, by: Leaves) -> list[Item]:
        """SET a = b: which rows it happens to is as much part of the value."""
        columns = []
        for each in assignments:
            if isinstance(each, exp.EQ | exp.PropertyEQ):
                leaves = self._queries.leaves(each.expression, frame) | by
                targets = each.this.expressions if isinstance(each.this, exp.Tuple) else [each.this]
                names = [_column_name(target, frame) for target in targets]
                columns += [Item(name, leaves) for name in names]
            else:
                raise Unsupported("what is set is not followed")
        return columns

    def update(self, tree: exp.Update) -> Iterator[Written]:
        frame, target = self._frame(tree)
        from_ = tree.args.get("from_")
        rows = NOTHING
        if isinstance(from_, exp.From):
            rows |= self._queries.source(from_.this, frame)
            for join in from_.args.get("joins") or ():
                raise Unsupported(f"{type(join).__name__} is not followed")
        by = rows | self._by(tree, frame)
        yield self._of(target, self._set(tree.expressions, frame, by), NOTHING)

    def delete(self, tree: exp.Delete) -> Iterator[Written]:
        frame, target = self._frame(tree)
        rows = NOTHING
        for each in _list(tree.args.get("using")):
            rows |= self._queries.source(each, frame)
        yield self._of(target, (), rows | self._by(tree, frame))

    def merge(self, tree: exp.Merge) -> Iterator[Written]:
        frame, target = self._frame(tree)
        before = len(frame.sources)
        rows = self._queries.source(tree.args["using"], frame)
        source = frame.sources[before].relation
        rows |= source.rows
        on = tree.args.get("on")
        by = rows | (self._queries.leaves(on, frame) if on else NOTHING)
        columns: list[Item] = []
        whole = NOTHING
        for when in tree.args["whens"].expressions:
            condition = when.args.get("condition")
            of_this = by | (self._queries.leaves(condition, frame) if condition else NOTHING)
            then = when.args["then"]
            if isinstance(then, exp.Update):
                if any(isinstance(each, exp.Star) for each in then.expressions):
                    columns += [
                        item._replace(leaves=item.leaves | of_this) for item in source.items if isinstance(item, Item)
                    ]
                    whole |= union(item.coarse() for item in source.items if isinstance(item, Rest))
                    whole |= NOTHING if source.is_closed else of_this
                else:
                    columns += self._set(then.expressions, frame, of_this)
                if then.args.get("where"):
                    whole |= self._queries.leaves(then.args["where"], frame)
            elif isinstance(then, exp.Insert):
                whole |= of_this
                if isinstance(then.this, exp.Star) or (then.this is None and isinstance(then.expression, exp.Star)):
                    columns += [item for item in source.items if isinstance(item, Item)]
                    whole |= union(item.coarse() for item in source.items if isinstance(item, Rest))
                    continue
                values = then.expression.expressions if isinstance(then.expression, exp.Tuple) else []
                given = Relation([Item(None, self._queries.leaves(value, frame)) for value in values])
                names = (
                    [_column_name(each, frame) for each in then.this.expressions]
                    if isinstance(then.this, exp.Tuple)
                    else []
                )
                known = frame.sources[0].relation
                if not names and known.is_closed:
                    names = [item.name or "" for item in known.items if isinstance(item, Item)]
                more, rest = self._placed(names, given, target)
                columns += more
                whole |= rest
            else:  # DELETE, which sqlglot leaves as a word
                whole |= of_this
        yield self._of(target, columns, whole)

    def _frame(self, tree: exp.Expr) -> tuple[Frame, str]:
        """What the statement writes is the first thing that it sees."""
        frame = Frame({})
        frame.ctes = self._queries.ctes(tree, frame)
        targets = targets_of(tree)
        if len(targets) != 1:
            raise Unsupported("what it writes is not one table")
        target = self._name(targets[0])
        if targets[0] is tree.this:
            before = self._script.temporary.get(target) or self._script.known(target)
            frame.sources.append(Source(targets[0].alias_or_name, before))
        elif isinstance(tree, exp.Delete) and isinstance(tree.this, exp.Table):
            frame.sources.append(Source(tree.this.alias_or_name, self._table(tree.this)))
        return frame, target

    def _by(self, tree: exp.Expr, frame: Frame) -> Leaves:
        """Which rows are meant."""
        rows = self._queries.joins(tree.this, frame) if isinstance(tree.this, exp.Table) else NOTHING
        rows |= union(source.relation.rows for source in frame.sources)
        for part in ("where", "order", "limit"):
            if tree.args.get(part):
                rows |= self._queries.leaves(tree.args[part], frame)
        return rows


def _column_name(node: exp.Expr, frame: Frame) -> str:
    """`a`, `e.a`; of `a.field`, a."""
    if isinstance(node, exp.Column):
        parts = [part.name for part in node.parts]
        return parts[1] if len(parts) > 1 and frame.named(parts[0]) is not None else parts[0]
    if isinstance(node, exp.Dot | exp.Bracket | exp.Paren):
        return _column_name(node.this, frame)
    if isinstance(node, exp.Identifier):
        return node.name
    raise Unsupported("what is set is not followed")
