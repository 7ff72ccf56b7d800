"""A query → the `Relation` it offers.

sqlglot parses; names are looked up here, since its own `qualify` needs the columns of every table, and writes lineage out as
text, which may be exponentially long. Where columns are not known, what may be meant is taken at the grain of tables.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from sqlglot import exp
from sqlglot.dialects.dialect import Dialect

from graph.errors import quoted
from graph.importers.sql.frames import MOST_WORK, Budget, Frame, Source, Unsupported
from graph.importers.sql.relations import (
    NOTHING,
    Found,
    Item,
    Leaf,
    Leaves,
    Relation,
    Rest,
    combined,
    opaque,
    union,
)

LATERAL_ALIASES = frozenset({"clickhouse", "databricks", "duckdb", "redshift", "snowflake", "spark", "teradata"})
"""Dialects where one column of a SELECT may be computed from another by its name."""
ALIAS_RECURSES = frozenset({"fabric", "oracle", "tsql"})
"""Dialects where WITH needs no word RECURSIVE."""
CAST_KEEPS_NAME = frozenset({"postgres", "redshift", "materialize", "risingwave", "mysql"})
Tables = Callable[[exp.Table], Relation]
Tell = Callable[[str], None]


class Queries:
    """Of one statement."""

    def __init__(self, dialect: str, tables: Tables, tell: Tell, budget: Budget) -> None:
        self._dialect = dialect
        self._tables = tables
        self._tell = tell
        self._budget = budget
        self._work = 0
        self._pseudo = Dialect.get_or_raise(dialect).PSEUDOCOLUMNS

    # Queries

    def relation(self, node: exp.Expr, outer: Frame) -> Relation:
        """Of a query whose surroundings are `outer`, of which it sees CTEs and, if it is correlated, columns."""
        ctes = self.ctes(node, outer)
        if isinstance(node, exp.Subquery):
            inner = self._subquery(node, Frame(ctes, outer.parent, outer.beside))
            return self._modified(node, inner, ctes, outer)
        if isinstance(node, exp.SetOperation):
            return self._set_operation(node, Frame(ctes, outer.parent, outer.beside))
        if isinstance(node, exp.Select):
            return self._select(node, Frame(ctes, outer.parent, outer.beside))
        if isinstance(node, exp.Values):
            return self._values(node, outer)
        if isinstance(node, exp.Table):
            frame = Frame(ctes, outer.parent, outer.beside)
            rows = self.source(node, frame)
            return _merged(frame, rows)
        raise Unsupported(f"{type(node).__name__.upper()} is not followed")

    def ctes(self, node: exp.Expr, outer: Frame) -> Mapping[str, Relation]:
        with_ = node.args.get("with_")
        if not isinstance(with_, exp.With):
            return outer.ctes
        ctes = dict(outer.ctes)
        for cte in with_.expressions:
            name, body = cte.alias.casefold(), cte.this
            columns = cte.alias_column_names
            recurses = (with_.recursive or self._dialect in ALIAS_RECURSES) and isinstance(body, exp.SetOperation)
            if recurses and any(table.name.casefold() == name and not table.db for table in body.find_all(exp.Table)):
                anchor: exp.Expr = body
                while isinstance(anchor, exp.SetOperation):
                    anchor = anchor.this.unnest()
                made = self.relation(anchor, Frame(ctes, outer.parent, outer.beside)).named(columns)
                while True:
                    ctes[name] = made
                    again = self.relation(body, Frame(ctes, outer.parent, outer.beside)).named(columns)
                    if again == made:
                        break
                    made = again
            elif isinstance(body, exp.Query | exp.Values):
                ctes[name] = self.relation(body, Frame(ctes, outer.parent, outer.beside)).named(columns)
            elif isinstance(body, exp.DML | exp.DDL):
                raise Unsupported("a WITH that writes is not followed")
            else:
                ctes[name] = opaque(self.leaves(body, Frame(ctes, outer.parent, outer.beside)), [cte.alias])
        return ctes

    def _subquery(self, node: exp.Subquery, frame: Frame) -> Relation:
        inner = node.this
        if isinstance(inner, exp.Query) and not isinstance(inner, exp.Subquery):
            made = self.relation(inner, frame)
        else:
            made = _merged(frame, self.source(inner, frame))
        if node.args.get("pivots"):
            made = self._pivoted(node, made, frame)
        return made.named(node.alias_column_names)

    def _set_operation(self, node: exp.SetOperation, frame: Frame) -> Relation:
        """A chain of many is flat: it is as long as the text, and deeper than the stack."""
        chain: list[exp.SetOperation] = []
        first: exp.Expr = node
        while isinstance(first, exp.SetOperation) and (first is node or not first.args.get("with_")):
            chain.append(first)
            first = first.this
        made = self.relation(first, frame)
        for each in reversed(chain):
            if each.args.get("on") or each.side:
                raise Unsupported("a set operation with sides is not followed")
            right = self.relation(each.expression, frame)
            is_filter = bool(each.args.get("distinct")) or not isinstance(each, exp.Union)
            made = combined(made, right, bool(each.args.get("by_name")), is_filter)
            self._charge(made)
            made = self._modified(each, made, frame.ctes, frame)
        return made

    def _modified(self, node: exp.Expr, made: Relation, ctes: Mapping[str, Relation], outer: Frame) -> Relation:
        """ORDER BY and the like around what is made already."""
        modifiers = [node.args[name] for name in ("order", "limit", "offset", "where") if node.args.get(name)]
        if not modifiers:
            return made
        frame = Frame(ctes, outer.parent, outer.beside, [Source("", made)])
        return made.with_rows(union(self.leaves(each, frame, _OUTPUT, made.items) for each in modifiers))

    def _values(self, node: exp.Values, outer: Frame) -> Relation:
        rows = [row.expressions if isinstance(row, exp.Tuple) else [row] for row in node.expressions]
        width = max(map(len, rows), default=0)
        columns = [union(self.leaves(row[place], outer) for row in rows if place < len(row)) for place in range(width)]
        return Relation(Item(None, each) for each in columns).named(node.alias_column_names)

    # SELECT

    def _select(self, node: exp.Select, frame: Frame) -> Relation:
        if node.args.get("match") or node.args.get("pivots"):
            raise Unsupported("MATCH_RECOGNIZE and PIVOT without FROM are not followed")
        rows = self._from(node, frame)
        for window in node.args.get("windows") or ():
            frame.windows[str(window.this.name).casefold()] = self.leaves(window, frame)
        items, counting = self._items(node, frame)
        made = Relation(items)
        rows |= union(source.relation.rows for source in frame.sources) | self._grouping(node, frame, items)
        distinct = node.args.get("distinct")
        if distinct:
            on = distinct.args.get("on")
            rows |= self.leaves(on, frame) if on else made.all()
        for name, part in node.args.items():
            if name in _ELSEWHERE or not part:
                continue
            mode = _AFTER if name in {"having", "qualify"} else _OUTPUT if name in _SORTS else _BEFORE
            for each in part if isinstance(part, list) else [part]:
                if isinstance(each, exp.Expr):
                    rows |= self.leaves(each, frame, mode, items)
        tables = frozenset(table for source in frame.sources for table in source.relation.tables)
        made = Relation(items, rows, tables)
        if counting:  # how many rows there are follows from what is read as a whole
            unnamed = tables - {leaf.table for leaf in rows}
            whole = frozenset(Leaf(table, None) for table in unnamed)
            made = Relation(
                (each._replace(leaves=whole) if number in counting else each for number, each in enumerate(items)),
                rows,
                tables,
            )
        self._charge(made)
        return made

    def _from(self, node: exp.Expr, frame: Frame) -> Leaves:
        rows = NOTHING
        from_ = node.args.get("from_")
        if isinstance(from_, exp.From):
            rows |= self.source(from_.this, frame)
        rows |= self.joins(node, frame)
        for lateral in node.args.get("laterals") or ():
            rows |= self.source(lateral, frame)
        return rows

    def joins(self, node: exp.Expr, frame: Frame) -> Leaves:
        """Adds what is joined to the frame; what decides which rows fit."""
        rows = NOTHING
        for join in node.args.get("joins") or ():
            before = len(frame.sources)
            rows |= self.source(join.this, frame)
            right, left = frame.sources[before:], frame.sources[:before]
            using = [column.name for column in join.args.get("using") or ()]
            if join.method == "NATURAL":
                if all(source.relation.is_closed for source in frame.sources):
                    names = {
                        item.name: None for source in right for item in source.relation.items if isinstance(item, Item)
                    }
                    using = [name for name in names if name and any(source.relation.find(name) for source in left)]
                else:
                    self._tell("a NATURAL JOIN of tables whose columns are not known is by whole tables")
                    rows |= union(source.relation.all() for source in frame.sources)
            for name in using:
                sides = []
                for side in (left, right):
                    known, found = Frame({}, sources=side, merged=frame.merged if side is left else {}).lookup(name)
                    sides.append(union(each.leaves for each in found) if known is None else known)
                rows |= sides[0] | sides[1]
                frame.merged[name.casefold()] = sides[0] | sides[1]
            for part in ("on", "match_condition"):
                if join.args.get(part):
                    rows |= self.leaves(join.args[part], frame)
            if join.is_semi_or_anti_join:
                for source in right:
                    source.is_visible = False
            if join.args.get("expressions") or join.args.get("pivots"):
                raise Unsupported("this kind of JOIN is not followed")
        return rows

    def source(self, node: exp.Expr, frame: Frame) -> Leaves:
        """Adds what stands in FROM to the frame."""
        rows = NOTHING
        if isinstance(node, exp.Lateral):
            inner = node.this
            if isinstance(inner, exp.Query):
                made = self.relation(inner, Frame(frame.ctes, frame))
                made = made.named(node.alias_column_names)
            else:
                made = self._function(inner, node.alias_column_names, frame)
            self._add(node.alias, made, frame)
        elif isinstance(node, exp.Unnest):
            names = node.alias_column_names
            offset = node.args.get("offset")
            leaves = self.leaves(node.expressions, frame)
            given = [
                *(names or ([node.alias] if node.alias else [])),
                *([offset.name] if isinstance(offset, exp.Identifier) else []),
            ]
            # BigQuery shows the fields of what is unnested as columns, too.
            made = opaque(leaves, given, is_closed=bool(names) and self._dialect != "bigquery")
            self._add(node.alias or (names[0] if names else ""), made, frame)
        elif isinstance(node, exp.Table):
            if isinstance(node.this, exp.Identifier):
                cte = None if node.db else frame.ctes.get(node.name.casefold())
                made = self._tables(node) if cte is None else cte
                made = made.named(node.alias_column_names)
            else:
                made = self._function(node.this, node.alias_column_names, frame)
                if node.alias and not node.alias_column_names:
                    made = Relation((Item(node.alias, made.all()), *made.items), made.rows, made.tables)
            if node.args.get("pivots"):
                made = self._pivoted(node, made, frame)
            self._add(_alias(node), made, frame)
            rows |= self.joins(node, frame)
            for lateral in node.args.get("laterals") or ():
                rows |= self.source(lateral, frame)
        elif isinstance(node, exp.Subquery):
            inner = Frame(frame.ctes, frame.parent, frame if self._dialect == "duckdb" else frame.beside)
            if isinstance(node.this, exp.Query) or node.alias or node.args.get("pivots"):
                ctes = self.ctes(node, frame)
                inner.ctes = ctes
                made = self._modified(node, self._subquery(node, inner), ctes, frame)
                self._add(_alias(node), made, frame)
            else:  # brackets around a join
                rows |= self.source(node.this, frame)
            rows |= self.joins(node, frame)
        elif isinstance(node, exp.Values):
            self._add(node.alias, self._values(node, frame), frame)
        elif isinstance(node, exp.Func):
            self._add(node.alias, self._function(node, node.alias_column_names, frame), frame)
        else:
            raise Unsupported(f"{type(node).__name__.upper()} in FROM is not followed")
        return rows

    def _function(self, node: exp.Expr, names: Sequence[str], frame: Frame) -> Relation:
        return opaque(self.leaves(node, frame), names, is_closed=bool(names))

    def _add(self, alias: str, made: Relation, frame: Frame) -> None:
        frame.sources.append(Source(alias, made))

    def _pivoted(self, node: exp.Expr, made: Relation, frame: Frame) -> Relation:
        """What PIVOT does not name stays, and groups; all else comes from what it names."""
        for pivot in node.args["pivots"]:
            inside = Frame(frame.ctes, frame.parent, sources=[Source("", made)])
            named = {
                column.name.casefold()
                for part in (*pivot.expressions, *pivot.args.get("fields", ()))
                for column in part.find_all(exp.Column)
            }
            leaves = union(self._bare(name, inside, _BEFORE) for name in sorted(named) if made.find(name))
            kept = [
                item._replace(without=item.without | named) if isinstance(item, Rest) else item
                for item in made.items
                if isinstance(item, Rest) or (item.name or "").casefold() not in named
            ]
            rows = made.rows | union(item.coarse() if isinstance(item, Rest) else item.leaves for item in kept)
            new: list[Item | Rest] = [Rest(None, leaves)]
            if made.is_closed:
                before = [item.name or "" for item in made.items if isinstance(item, Item)]
                spelled = {column.name.casefold(): column.name for column in pivot.find_all(exp.Column)}
                unnamed = pivot.copy()
                unnamed.set("alias", None)
                after = unnamed.output_columns([spelled.get(name.casefold(), name) for name in before])
                stays = {(item.name or "").casefold() for item in kept if isinstance(item, Item)}
                if stays <= {name.casefold() for name in after}:
                    new = [Item(name, leaves) for name in after if name.casefold() not in stays]
            made = Relation([*kept, *new], rows | leaves, made.tables)
            made = made.named(pivot.alias_column_names)
        return made

    # Columns

    def _items(self, node: exp.Select, frame: Frame) -> tuple[list[Item | Rest], set[int]]:
        """And the places of those that count rows, whatever is in them."""
        items: list[Item | Rest] = []
        counting: set[int] = set()
        excluded = {each.name.casefold() for each in node.args.get("exclude") or ()}
        for each in node.expressions:
            star = _star(each)
            if star is not None:
                items += self._expanded(each, star, frame, excluded)
                continue
            if isinstance(each, exp.QueryTransform):
                items.append(Rest(None, self.leaves(each, frame)))
                continue
            leaves = self.leaves(each, frame, _SELECT)
            if isinstance(each, exp.Aliases):
                items += [Item(alias.name, leaves) for alias in each.expressions]
                continue
            if not leaves and _holds(each, exp.AggFunc, exp.Window):
                counting.add(len(items))
            items.append(Item(self._name(each), leaves))
            if isinstance(each, exp.Alias):
                name = each.alias.casefold()
                frame.aliases[name] = leaves
                if any(not column.table and column.name.casefold() == name for column in _columns(each.this)):
                    frame.named_after_itself.add(name)
                if _holds(each, exp.AggFunc) and not _holds(each, exp.Window):
                    frame.aggregates.add(name)
            self._spend(len(leaves))
        return items, counting

    def _name(self, node: exp.Expr) -> str | None:
        if isinstance(node, exp.Alias):
            return node.alias
        while isinstance(node, exp.Paren) or (isinstance(node, exp.Cast) and self._dialect in CAST_KEEPS_NAME):
            node = node.this
        return node.output_name if isinstance(node, exp.Column | exp.Dot | exp.Subquery) and node.output_name else None

    def _expanded(self, node: exp.Expr, star: exp.Expr, frame: Frame, excluded: set[str]) -> list[Item | Rest]:
        names = {each.name.casefold() for each in star.args.get("except_") or ()} | excluded
        replaced = {each.alias.casefold(): each.this for each in star.args.get("replace") or ()}
        renamed = {each.this.name.casefold(): each.alias for each in star.args.get("rename") or ()}
        of = node.args.get("table") if isinstance(node, exp.Column) else None
        if star.args.get("ilike") or isinstance(star, exp.Columns) or (of is None and node is not star):
            return [Rest(None, self._everything(frame) if star is node else self.leaves(node, frame))]
        if of is None:
            sources = [source.relation for source in frame.sources if source.is_visible]
            if not sources and frame.beside is None:
                raise Unsupported("a star without FROM is not followed")
        else:
            found = self._alias(of.name, frame)
            if found is None:  # of a column that is a record
                return [Rest(None, self._bare(of.name, frame, _SELECT))]
            sources = [found]
        merged = frame.merged if of is None else {}
        items: list[Item | Rest] = []
        done: set[str] = set()
        for relation in sources:
            for item in relation.items:
                if isinstance(item, Rest):
                    without = item.without | names | merged.keys() | replaced.keys()
                    items += [
                        Item(name, leaves)
                        for name, leaves in merged.items()
                        if name not in done and name not in names and not done.add(name)  # type: ignore[func-returns-value]
                    ]
                    items += [
                        Item(name, self.leaves(value, frame))
                        for name, value in replaced.items()
                        if name not in done and not done.add(name)  # type: ignore[func-returns-value]
                    ]
                    items += [Item(new, item.column(old)) for old, new in renamed.items() if old not in item.without]
                    items.append(item._replace(without=frozenset(without | renamed.keys())))
                    continue
                folded = (item.name or "").casefold()
                if folded in names or (folded in merged and folded in done):
                    continue
                if folded in merged:
                    done.add(folded)
                    item = item._replace(leaves=merged[folded])  # noqa: PLW2901
                if folded in replaced:
                    done.add(folded)
                    item = item._replace(leaves=self.leaves(replaced[folded], frame))  # noqa: PLW2901
                items.append(item._replace(name=renamed.get(folded, item.name)))
            self._spend(len(items))
        return items

    def _everything(self, frame: Frame) -> Leaves:
        return union(source.relation.all() for source in frame.sources)

    def _grouping(self, node: exp.Select, frame: Frame, items: Sequence[Item | Rest]) -> Leaves:
        group = node.args.get("group")
        if not isinstance(group, exp.Group):
            return NOTHING
        if group.args.get("all"):
            return union(
                items[number].leaves
                for number, each in enumerate(node.expressions)
                if number < len(items) and not _holds(each, exp.AggFunc)
            ) | (NOTHING if all(isinstance(each, Item) for each in items) else self._everything(frame))
        return self.leaves(list(group.iter_expressions()), frame, _GROUP, items)

    # Expressions

    def leaves(
        self,
        nodes: exp.Expr | Iterable[exp.Expr],
        frame: Frame,
        mode: str = "before",
        items: Sequence[Item | Rest] = (),
    ) -> Leaves:
        """What the value of an expression depends on. `mode` says which names of the SELECT it sees."""
        found: list[Leaves] = []
        waiting = [nodes] if isinstance(nodes, exp.Expr) else list(nodes)
        while waiting:
            node = waiting.pop()
            self._spend(1)
            if isinstance(node, exp.Column) and not isinstance(node.this, exp.Star):
                found.append(self._column(node, frame, mode))
            elif isinstance(node, exp.Query | exp.Values):
                inner = self.relation(node, Frame(frame.ctes, frame))
                found += [inner.all(), inner.rows]
            elif isinstance(node, exp.Column | exp.TableColumn | exp.Columns) or (
                isinstance(node, exp.Star) and not isinstance(node.parent, exp.Count)
            ):
                name = node.text("table") if isinstance(node, exp.Column) else node.name
                relation = self._alias(name, frame) if name and not isinstance(node, exp.Columns) else None
                found.append(self._everything(frame) if relation is None else relation.all())
            elif isinstance(node, exp.Literal) and mode in {_GROUP, _OUTPUT} and not node.is_string:
                if isinstance(node.parent, exp.Ordered | exp.Group | exp.Tuple | exp.Rollup | exp.Cube | exp.Paren):
                    found.append(_placed(node, items))
            else:
                if isinstance(node, exp.Window) and (name := node.text("alias").casefold()) in frame.windows:
                    found.append(frame.windows[name])
                if isinstance(node, exp.Window | exp.WithinGroup | exp.AggFunc) and mode == _OUTPUT:
                    found.append(self.leaves(list(node.iter_expressions()), frame, _AFTER, items))
                    continue
                if isinstance(node, exp.Comprehension):
                    variable = Source("", Relation([Item(node.expression.name, NOTHING)]))
                    inside = Frame(frame.ctes, frame, sources=[variable], aliases=frame.aliases)
                    found.append(self.leaves(list(node.iter_expressions()), inside, mode))
                    continue
                waiting.extend(node.iter_expressions())
        made = union(found)
        self._spend(sum(map(len, found)))
        return made

    def _column(self, node: exp.Column, frame: Frame, mode: str) -> Leaves:
        if not node.table and node.name.upper() in self._pseudo:
            return NOTHING
        parts = [part.name for part in node.parts]
        for place in range(len(parts) - 2, -1, -1):
            relation = self._alias(parts[place], frame)
            if relation is not None:
                return self._of(relation, parts[place], parts[place + 1])
        return self._bare(parts[0], frame, mode)

    def _alias(self, name: str, frame: Frame) -> Relation | None:
        at: Frame | None = frame
        while at is not None:
            found = at.named(name)
            if found is None and at.beside is not None:
                found = at.beside.named(name)
            if found is not None:
                return found
            at = at.parent
        return None

    def _of(self, relation: Relation, alias: str, name: str) -> Leaves:
        found = relation.find(name)
        if found is not None:
            return found.leaves
        if name.upper() in self._pseudo:
            return NOTHING
        self._tell(f"{quoted(alias)} has no column {quoted(name)} that is known: it is taken for any of its columns")
        return relation.all() | frozenset(Leaf(table, None) for table in relation.tables)

    def _bare(self, name: str, frame: Frame, mode: str) -> Leaves:
        folded = name.casefold()
        alias = frame.aliases.get(folded)
        if alias is not None and mode == _OUTPUT:
            return alias
        possible: list[Found] = []
        certain: Leaves | None = None
        at: Frame | None = frame
        while at is not None and certain is None:
            certain, more = at.lookup(name)
            possible += more
            at = at.parent
        if alias is not None and mode in {_GROUP, _AFTER} and certain is not None:
            return certain | alias  # dialects differ
        if alias is not None and certain is None:
            may_be_alias = mode != _BEFORE or self._dialect in LATERAL_ALIASES
            if (
                folded not in frame.named_after_itself
                and may_be_alias
                and not (mode == _GROUP and folded in frame.aggregates)
            ):
                if not possible or mode in {_GROUP, _AFTER}:
                    return alias
                if self._dialect in LATERAL_ALIASES:
                    self._tell(f"{quoted(name)} may be a column or the name of another: give the columns of the tables")
                    return alias | union(each.coarse or NOTHING for each in possible)
        if certain is not None and not possible:
            return certain
        if certain is None and len(possible) == 1:
            return possible[0].leaves
        if possible:
            self._tell(f"{quoted(name)} may be of several tables: give their columns")
            return union([each.coarse or NOTHING for each in possible] + ([] if certain is None else [certain]))
        row = self._alias(name, frame)
        if row is not None:  # a row as a value
            return row.all()
        if frame.beside is not None:
            return self._bare(name, frame.beside, _BEFORE)
        self._tell(f"no table has a column {quoted(name)} that is known: it is taken for any column of all of them")
        return self._everything(frame) | frozenset(
            Leaf(table, None) for source in frame.sources for table in source.relation.tables
        )

    # Bounds

    def _charge(self, made: Relation) -> None:
        self._spend(len(made.rows) + sum(len(item.leaves) for item in made.items))

    def _spend(self, work: int) -> None:
        self._work += work
        self._budget.left -= work
        if self._work > MOST_WORK or self._budget.left < 0:
            raise Unsupported("too many columns depend on too many others")


_BEFORE, _SELECT, _GROUP, _AFTER, _OUTPUT = "before", "select", "group", "after", "output"
"""What sees which names that the SELECT itself gives: WHERE and ON; the SELECT; GROUP BY; HAVING and QUALIFY; ORDER BY."""
_SORTS = frozenset({"order", "sort", "distribute", "cluster"})
_ELSEWHERE = frozenset(
    {"with_", "kind", "expressions", "hint", "distinct", "into", "from_", "operation_modifiers", "exclude", "laterals"}
    | {"joins", "group", "windows", "locks", "sample", "settings", "format", "options", "for_"}
)
"""Parts of a SELECT that are read elsewhere, or say nothing of what is in it."""


def _merged(frame: Frame, rows: Leaves) -> Relation:
    """All that stands in FROM, as one."""
    return Relation(
        [item for source in frame.sources for item in source.relation.items],
        rows | union(source.relation.rows for source in frame.sources),
        frozenset(table for source in frame.sources for table in source.relation.tables),
    )


def _placed(node: exp.Literal, items: Sequence[Item | Rest]) -> Leaves:
    """GROUP BY 1."""
    place = int(node.name) - 1 if node.name.isdigit() and len(node.name) < 6 else -1
    if not 0 <= place < len(items) or any(isinstance(each, Rest) for each in items[: place + 1]):
        return (
            union(each.coarse() if isinstance(each, Rest) else each.leaves for each in items) if place >= 0 else NOTHING
        )
    return items[place].leaves


def _holds(node: exp.Expr, *kinds: type[exp.Expr]) -> bool:
    """Itself, not in a subquery."""
    return any(isinstance(each, kinds) for each in node.walk(prune=lambda each: isinstance(each, exp.Query)))


def _alias(node: exp.Expr) -> str:
    return node.alias or node.name if isinstance(node, exp.Table) else node.alias


def _columns(node: exp.Expr) -> Iterator[exp.Column]:
    return node.find_all(exp.Column)


def _star(node: exp.Expr) -> exp.Expr | None:
    """The star of a part of SELECT that stands for several columns."""
    if isinstance(node, exp.Star | exp.Columns):
        return node
    if isinstance(node, exp.Column) and isinstance(node.this, exp.Star):
        return node.this
    if isinstance(node, exp.Dot) and isinstance(node.expression, exp.Star):
        return node.expression
    return None
