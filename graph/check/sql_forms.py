"""A statement of SQL in one form, so that two that differ in nothing but how they are written are equal.

What is taken away: comments, formatting, case of keywords and of names that are not quoted, quotes and parentheses that say
nothing, INNER and OUTER where they are understood, the names of tables in a query, WITH clauses that can stand where they are
named, the order of what AND and OR join.
"""

from collections import Counter
from collections.abc import Iterator, Sequence

from sqlglot import exp
from sqlglot.optimizer.eliminate_ctes import eliminate_ctes
from sqlglot.optimizer.merge_subqueries import merge_subqueries
from sqlglot.optimizer.normalize_identifiers import normalize_identifiers
from sqlglot.optimizer.qualify import qualify

from graph.importers.sql.text import NOT_READ, parsed


class NotSql(Exception):
    """`str(error)` says why."""


def sql_forms(text: str, dialect: str) -> list[exp.Expr]:
    """Its statements. Raises NotSql."""
    found = []
    try:
        statements = [*parsed(text, dialect)]
    except NOT_READ as error:
        raise NotSql(f"it cannot be read: {error}") from None
    for statement in statements:
        if statement.tree is None or isinstance(statement.tree, exp.Command):
            raise NotSql(f"line {statement.line}: {statement.reason or 'its kind of statement is not understood'}")
        try:
            found.append(_formed(statement.tree, dialect))
        except NOT_READ as error:
            raise NotSql(f"line {statement.line}: it cannot be read: {error}") from None
    return found


def added_columns(before: exp.Expr, after: exp.Expr) -> list[str] | None:
    """The columns that the second gives besides, where that is all that differs, and rows stay the same; else None."""
    old, new = (_query(each) for each in (before, after))
    if old is None or new is None or type(before) is not type(after):
        return None
    were, are = old.expressions, new.expressions
    came = [each for each in are if each not in were]
    if not came or [each for each in are if each in were] != were or len({*are}) != len(are):
        return None
    if any(each.find(exp.Star) for each in (*were, *came)) or old.args.get("distinct") or _counts_columns(old):
        return None
    if any(_makes_rows(each, new) for each in came):
        return None
    return [each.alias_or_name for each in came] if _with_columns(after, were) == before else None


def changed_columns(before: exp.Expr, after: exp.Expr) -> set[str] | None:
    """The columns that come otherwise, come or go, where all rows stay the same; None where that cannot be told."""
    old, new = (_query(each) for each in (before, after))
    if old is None or new is None or type(before) is not type(after):
        return None
    for query in (old, new):
        named = [each.alias_or_name for each in query.expressions]
        if not all(named) or len({*named}) != len(named) or any(each.find(exp.Star) for each in query.expressions):
            return None
        if query.args.get("distinct") or _counts_columns(query):
            return None
    were, are = ({each.alias_or_name: each for each in query.expressions} for query in (old, new))
    changed = {name for name in were.keys() | are.keys() if were.get(name) != are.get(name)}
    if any(
        _makes_rows(each[name], query) for each, query in ((were, old), (are, new)) for name in changed & each.keys()
    ):
        return None
    return changed if _with_columns(after, old.expressions) == before else None


def _with_columns(tree: exp.Expr, columns: Sequence[exp.Expr]) -> exp.Expr:
    made = tree.copy()
    query = _query(made)
    assert query is not None
    query.set("expressions", [each.copy() for each in columns])
    return made


def _query(tree: exp.Expr) -> exp.Select | None:
    inner = tree.args.get("expression") if isinstance(tree, exp.Create) else tree
    return inner if isinstance(inner, exp.Select) else None


def _counts_columns(query: exp.Select) -> bool:
    """Whether it names columns by their number, or all of them."""
    for name in ("group", "order"):
        clause = query.args.get(name)
        if clause is not None and any(isinstance(each, exp.Literal) for each in _terms(clause)):
            return True
        if clause is not None and clause.args.get("all"):
            return True
    return False


def _terms(clause: exp.Expr) -> Iterator[exp.Expr]:
    for each in clause.expressions:
        yield each.this if isinstance(each, exp.Ordered) else each


def _makes_rows(column: exp.Expr, query: exp.Select) -> bool:
    if any(column.find(*kinds) for kinds in [(exp.Anonymous, exp.UDTF, exp.Explode, exp.Unnest)]):
        return True
    bare = [each for each in column.find_all(exp.AggFunc) if not each.find_ancestor(exp.Window)]
    return bool(bare) and query.args.get("group") is None


def _formed(tree: exp.Expr, dialect: str) -> exp.Expr:
    tree = _merged(normalize_identifiers(tree.copy(), dialect=dialect), dialect)
    for identifier in tree.find_all(exp.Identifier):
        identifier.set("quoted", False)
    tree = tree.transform(_plain, copy=False)
    _name_tables(tree)
    _rename(tree)
    return tree.transform(_ordered, copy=False)


def _merged(tree: exp.Expr, dialect: str) -> exp.Expr:
    """With queries of WITH clauses in the place of their names, where rows are the same."""
    query = _query(tree)
    if query is None or query.find(exp.With) is None or query.find(exp.Star):
        return tree
    try:
        merged = qualify(query.copy(), dialect=dialect, validate_qualify_columns=False, quote_identifiers=False)
        merged = eliminate_ctes(merge_subqueries(merged))
    except NOT_READ:
        return tree
    if query is tree:
        return merged
    tree.set("expression", merged)
    return tree


def _plain(node: exp.Expr) -> exp.Expr:
    node.comments = None
    if isinstance(node, exp.Paren):
        return _plain(node.this)
    if isinstance(node, exp.Alias) and isinstance(node.this, exp.Column) and node.this.name == node.alias:
        return node.this
    if isinstance(node, exp.Join):
        kind, side = str(node.args.get("kind") or ""), node.args.get("side")
        if kind.upper() in ("INNER", "OUTER") and (side or kind.upper() == "INNER"):
            node.set("kind", None)
    elif isinstance(node, exp.Ordered):
        node.set("desc", bool(node.args.get("desc")))
    elif isinstance(node, exp.Anonymous) and isinstance(node.this, str):
        node.set("this", node.this.lower())
    return node


def _name_tables(tree: exp.Expr) -> None:
    """A table without another name gets one; and where there is but one table, its columns need none before them."""
    clauses = {each.alias for each in tree.find_all(exp.CTE)}
    uses = Counter(each.name for each in tree.find_all(exp.Table))
    for query in tree.find_all(exp.Select):
        clause = query.args.get("from_")
        sources = [clause.this, *(each.this for each in query.args.get("joins") or ())] if clause is not None else []
        for source in sources:
            if not isinstance(source, exp.Table) or source.alias or source.args.get("db") or source.name in clauses:
                continue
            if uses[source.name] == 1 and isinstance(source.this, exp.Identifier):
                alias = f"§{source.name}"
                source.set("alias", exp.TableAlias(this=exp.Identifier(this=alias, quoted=False)))
                for column in query.find_all(exp.Column):
                    if column.table == source.name:
                        column.set("table", exp.Identifier(this=alias, quoted=False))
        if len(sources) == 1 and isinstance(sources[0], exp.Table) and not query.args.get("laterals"):
            for column in query.find_all(exp.Column):
                if column.find_ancestor(exp.Select) is query and column.table == sources[0].alias_or_name:
                    column.set("table", None)


def _rename(tree: exp.Expr) -> None:
    """Names within the statement become numbers, where each stands for one thing in all of it."""
    uses = Counter(each.name for each in tree.find_all(exp.Identifier))
    declared: dict[str, exp.TableAlias] = {}
    twice = set()
    for alias in tree.find_all(exp.TableAlias):
        if alias.name in declared:
            twice.add(alias.name)
        if alias.name:
            declared[alias.name] = alias
    qualifiers, tables = _by_name(_qualifiers(tree)), _by_name(_tables(tree))
    for number, (name, alias) in enumerate(declared.items()):
        is_cte = isinstance(alias.parent, exp.CTE)
        named = tables.get(name, []) if is_cte else []
        places = [alias.this, *qualifiers.get(name, ()), *named]
        if name in twice or len(places) != uses[name] or (is_cte and not _is_told_apart(alias, named)):
            continue
        for place in places:
            place.set("this", f"§{number}")


def _qualifiers(tree: exp.Expr) -> Iterator[exp.Identifier]:
    for column in tree.find_all(exp.Column):
        table = column.args.get("table")
        if isinstance(table, exp.Identifier) and not column.args.get("db"):
            yield table


def _tables(tree: exp.Expr) -> Iterator[exp.Identifier]:
    for table in tree.find_all(exp.Table):
        if isinstance(table.this, exp.Identifier) and not table.args.get("db"):
            yield table.this


def _by_name(some: Iterator[exp.Identifier]) -> dict[str, list[exp.Identifier]]:
    found: dict[str, list[exp.Identifier]] = {}
    for each in some:
        found.setdefault(each.name, []).append(each)
    return found


def _is_told_apart(alias: exp.TableAlias, tables: Sequence[exp.Identifier]) -> bool:
    """Whether the name is that of the WITH clause, wherever it is a table's."""
    clause = alias.find_ancestor(exp.With)
    query = clause.parent if clause is not None else None
    if clause is None or query is None or clause.args.get("recursive"):
        return False
    not_yet = set()
    for each in clause.expressions:
        not_yet.add(id(each))
        if each is alias.parent:
            break
    for table in tables:
        above = {id(each) for each in _ancestors(table)}
        if id(query) not in above or above & not_yet:
            return False
    return True


def _ancestors(node: exp.Expr) -> Iterator[exp.Expr]:
    here = node.parent
    while here is not None:
        yield here
        here = here.parent


_CALM = (
    exp.Column, exp.Identifier, exp.Literal, exp.Boolean, exp.Null, exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE,
    exp.Is, exp.In, exp.Between, exp.Like, exp.ILike, exp.Not, exp.And, exp.Or, exp.Add, exp.Sub, exp.Mul, exp.Neg,
)  # fmt: skip
"""What neither fails nor does anything: in which order such conditions are looked at is nothing to the result."""


def _ordered(node: exp.Expr) -> exp.Expr:
    if not isinstance(node, exp.And | exp.Or) or isinstance(node.parent, type(node)):
        return node
    terms = _joined(node, type(node))
    if all(isinstance(each, _CALM) for term in terms for each in term.walk()):
        terms.sort(key=repr)
    made: exp.Expr = terms[0].copy()
    for each in terms[1:]:
        made = type(node)(this=made, expression=each.copy())
    return made


def _joined(node: exp.Expr, kind: type[exp.Expr]) -> list[exp.Expr]:
    found, waiting = [], [node]
    while waiting:
        here = waiting.pop()
        if isinstance(here, kind):
            waiting += [here.expression, here.this]
        else:
            found.append(here)
    return found
