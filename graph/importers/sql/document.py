"""SQL files: {"dialect", "files": [{"path", "text"}], "database"?, "schema"?, "tables"?} → which column comes from which.

* A job is a file and one table that it writes, `etl/orders.sql:lake.shop.orders`; the queries of a file that write nothing are
  one job, the file. What a statement writes comes from what it reads, whatever else stands in the file.
* A table is a dataset: `database.schema.table`, as it is written, with the `database` and `schema` of the document where it
  names none, or of the only one of `tables` that ends so.
* Columns are known from `tables` ({"shop.orders": ["id", …]}, or {"id": "bigint", …}), and from what the files create.
* Values flow from column to column; what all rows depend on (filters, joins, groups, order) flows to the table as a whole.
* Temporary tables, and those that a file makes and drops or renames, are no assets: what flows through them flows on.

A statement that cannot be read is left out; where columns cannot be told, tables are: both are warnings.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from sqlglot import exp
from sqlglot.dialects.dialect import Dialects
from sqlglot.optimizer.normalize_identifiers import normalize_identifiers

from graph.attributes import canonical
from graph.changes import AssetStatement, FlowStatement, Registration, checked_origin
from graph.errors import InvalidInput, InvalidManifest, quoted
from graph.importers.shapes import Anything, Field, Many, Mapped, Record, Text, near
from graph.importers.sql.frames import Budget
from graph.importers.sql.ordering import in_order
from graph.importers.sql.relations import Leaf, Relation, stored
from graph.importers.sql.statements import Script, definitions, passing_names, tables_made
from graph.importers.sql.text import NOT_READ, Statement, parsed, target_in
from graph.importers.sql.writing import DefaultSchema, Written
from graph.importers.told import Imported, Line, Warned
from graph.importers.values import record, records, text
from graph.keys import AssetKey, AssetKind
from graph.model import Basis, Flow, Json, Subject, checked_flow

MOST_TEXT = 8 * 2**20
"""Characters of all files together: sqlglot reads some hundred thousand in a second."""
MOST_OF_A_DEFINITION = 65_536
"""Bytes of SQL, as JSON, that are kept of one job; longer ones are left out."""

_FILE = Record(
    "file",
    "A file.",
    {"path": Field(Text(), "Its path.", required=True), "text": Field(Text(), "Its SQL.", required=True)},
)
_DOCUMENT = Record(
    "sql",
    "Files of SQL.",
    {
        "dialect": Field(Text(), "Which SQL it is, as sqlglot calls it.", required=True),
        "files": Field(Many(_FILE), "Files.", required=True),
        "database": Field(Text(), "The database of tables that name none."),
        "schema": Field(Text(), "The schema of tables that name none."),
        "tables": Field(Mapped(Anything()), "Columns of tables that the files read."),
    },
)


def read_sql(document: object, origin: str | None = None, namespace: str | None = None) -> Imported:
    """`namespace` of the tables; absent: `bigquery` where it is that. `origin` absent: `sql:` and the namespace.

    Raises InvalidManifest, which names every place that is wrong with the document itself.
    """
    problems: list[str] = []
    given = record(_DOCUMENT.read(document, "", problems))
    files = [(str(file["path"]), str(file["text"])) for _, file in records(given, "files")] if not problems else []
    dialect = str(given.get("dialect") or "").lower()
    known = [each.value for each in Dialects if each.value]
    if not problems and dialect not in known:
        problems.append(f"dialect: {quoted(dialect)} is none of {', '.join(known)}{near(dialect, known)}")
    if namespace is None:
        namespace = "bigquery" if dialect == "bigquery" else None
    if namespace is None:
        problems.append("namespace: missing; name the database, as postgres://host:5432")
    if (size := sum(len(sql) for _, sql in files)) > MOST_TEXT:
        problems.append(f"files: {size:,} characters are too many; the limit is {MOST_TEXT:,}")
    if len({path for path, _ in files}) < len(files):
        problems.append("files: a path stands twice")
    tables = _known_tables(given.get("tables"), problems)
    if problems:
        raise InvalidManifest(problems)
    origin = checked_origin(f"sql:{namespace}" if origin is None else origin)
    place = DefaultSchema(text(given, "database") or None, text(given, "schema") or None)
    reading = _Reading(origin, str(namespace), dialect, place, tables)
    reading.take(files)
    return reading.imported()


class Known:
    """Tables whose columns are known, found by name."""

    def __init__(self, tables: Mapping[str, Sequence[str]]) -> None:
        self._columns = {name: (list(columns), True) for name, columns in tables.items()}
        self._by_end: dict[tuple[str, ...], set[str]] = {}
        for name in tables:
            folded = tuple(name.casefold().split("."))
            for start in range(len(folded)):
                self._by_end.setdefault(folded[start:], set()).add(name)

    def define(self, name: str, columns: list[str], is_complete: bool) -> None:
        """A table that the files create goes by its full name alone: where the others are looked for is not known."""
        self._columns[name] = (columns, is_complete)

    def reopen(self, name: str) -> None:
        """There are columns that are not known."""
        if name in self._columns:
            self._columns[name] = (self._columns[name][0], False)

    def name(self, parts: tuple[str, ...]) -> str:
        """As it is known, if one alone is meant."""
        name = ".".join(parts)
        if name in self._columns:
            return name
        found = self._by_end.get(tuple(part.casefold() for part in parts), set())
        if len(found) > 1:  # some end so: it may be that very one
            found = {each for each in found if each.casefold() == name.casefold()}
        return min(found) if len(found) == 1 else name

    def relation(self, name: str) -> Relation:
        columns, is_complete = self._columns.get(name, (None, False))
        return stored(name, columns, is_complete)


@dataclass
class _Job:
    target: str
    columns: dict[tuple[str, Leaf], None] = field(default_factory=dict)
    whole: dict[Leaf, None] = field(default_factory=dict)
    reads: dict[str, None] = field(default_factory=dict)
    texts: dict[str, None] = field(default_factory=dict)
    file: str = ""
    place: str = ""

    def add(self, written: Written) -> None:
        self.reads.update(dict.fromkeys(sorted(written.reads)))
        self.whole.update(dict.fromkeys(sorted(written.whole, key=_order)))
        for item in written.columns:
            for leaf in sorted(item.leaves, key=_order):
                if item.name:
                    self.columns[item.name, leaf] = None


class _Reading:
    def __init__(
        self, origin: str, namespace: str, dialect: str, place: DefaultSchema, tables: Mapping[str, Sequence[str]]
    ) -> None:
        self._origin = origin
        self._namespace = namespace
        self._dialect = dialect
        self._place = place
        self._known = Known(tables)
        self._jobs: dict[str, _Job] = {}
        self._said: dict[AssetKey, dict[str, Json]] = {}
        self._warned: dict[Warned, None] = {}
        self._lines: dict[Subject, Line] = {}
        self._unread: dict[AssetKey, str] = {}

    def take(self, files: Sequence[tuple[str, str]]) -> None:
        budget = Budget()
        scripts = [(path, list(parsed(sql, self._dialect))) for path, sql in files]
        for number in in_order(_needs(scripts, self._made_and_read)):
            path, statements = scripts[number]
            place = DefaultSchema(self._place.database, self._place.schema)

            def tell(statement: Statement, reason: str, is_left_out: bool, path: str = path) -> None:
                warned = Warned(f"{path}:{statement.line}", reason, statement.text if is_left_out else None)
                self._warned[warned] = None
                if statement.tree is None:
                    self._leave_unread(path, statement, reason)

            passing = passing_names(statements, lambda table: self._name(table, self._place))
            script = Script(
                self._dialect,
                place,
                self._name,
                self._known.relation,
                tell,
                budget,
                self._known.reopen,
                passing=passing,
            )
            for statement in statements:
                for written in script.run(statement):
                    self._write(path, statement, written)

    def imported(self) -> Imported:
        flows: dict[Flow, None] = {}
        for name, job in self._jobs.items():
            try:
                found = self._flows(name, job)
                flows.update(dict.fromkeys(found))
                line = self._lines[AssetKey.of(AssetKind.JOB, self._origin, name)]
                for flow in found:
                    self._lines.setdefault(flow, line)
            except InvalidInput as error:
                self._warned[Warned(job.place, str(error))] = None
        return Imported(
            Registration(
                origin=self._origin,
                basis=Basis.INFERRED,
                assets=tuple(AssetStatement(key, attributes) for key, attributes in self._said.items()),
                flows=tuple(FlowStatement(flow) for flow in flows),
                complete=True,
                stubs=True,  # what is read is another's to tell of
            ),
            tuple(self._warned),
            lines=self._lines,
            unread=self._unread,
        )

    def _name(self, table: exp.Table, place: DefaultSchema) -> str:
        given = tuple(part for part in (table.catalog, table.db, table.name) if part)
        return self._known.name(self._within(given, place))

    def _within(self, parts: tuple[str, ...], place: DefaultSchema | None = None) -> tuple[str, ...]:
        """With what a name leaves out."""
        place = place or self._place
        before: tuple[str | None, ...] = (place.database,) if len(parts) == 2 else ()
        if len(parts) == 1 and place.schema is not None:
            before = (place.database, place.schema)
        return (*(part for part in before if part), *parts)

    def _made_and_read(self, statement: Statement) -> tuple[set[str], set[str]]:
        if statement.tree is None:
            return set(), set()
        normal = normalize_identifiers
        made = {
            self._name(normal(table.copy(), dialect=self._dialect), self._place) for table in tables_made(statement)
        }
        read = {
            self._name(normal(table.copy(), dialect=self._dialect), self._place)
            for table in statement.tree.find_all(exp.Table)
            if isinstance(table.this, exp.Identifier)
        }
        return made, read - made

    def _write(self, path: str, statement: Statement, written: Written) -> None:
        place = f"{path}:{statement.line}"
        tree = statement.tree
        try:
            if written.made is not None and written.target:
                self._define(written, self._types(tree), Line(path, statement.line))
            if isinstance(tree, exp.Create) and tree.expression is None and not tree.args.get("clone"):
                return
            name = f"{path}:{written.target}" if written.target else path
            key = AssetKey.of(AssetKind.JOB, self._origin, name)
        except InvalidInput as error:
            self._warned[Warned(place, str(error), statement.text)] = None
            return
        job = self._jobs.setdefault(name, _Job(written.target, file=path, place=place))
        job.add(written)
        job.texts[statement.text] = None
        self._lines.setdefault(key, Line(path, statement.line))
        self._keep_texts(key, job)

    def _keep_texts(self, key: AssetKey, job: _Job) -> None:
        definition: Json = {"sql": ";\n".join(job.texts), "dialect": self._dialect}
        self._said[key] = {"file": job.file, "dialect": self._dialect}
        if len(canonical(definition)) <= MOST_OF_A_DEFINITION:
            self._said[key]["definition"] = definition

    def _leave_unread(self, path: str, statement: Statement, reason: str) -> None:
        """What it seems to write is there all the same, and nobody knows what it comes from."""
        parts = target_in(statement.text)
        if parts is None:
            return
        target = self._known.name(self._within(parts))
        line = Line(path, statement.line)
        try:
            dataset = self._key(target)
            key = AssetKey.of(AssetKind.JOB, self._origin, f"{path}:{target}")
        except InvalidInput:
            return
        job = self._jobs.setdefault(key.name, _Job(target, file=path, place=f"{path}:{statement.line}"))
        job.texts[statement.text] = None
        self._keep_texts(key, job)
        self._said.setdefault(dataset, {})
        for each in (dataset, key):
            self._lines.setdefault(each, line)
            self._unread[each] = f"{path}:{statement.line}: {reason}"

    def _types(self, tree: exp.Expr | None) -> Mapping[str, tuple[str | None, bool]]:
        try:
            return {} if tree is None else definitions(tree, self._dialect)
        except NOT_READ:
            return {}

    def _define(self, written: Written, types: Mapping[str, tuple[str | None, bool]], line: Line) -> None:
        assert written.made is not None
        dataset = AssetKey.of(AssetKind.DATASET, self._namespace, written.target)
        self._said.setdefault(dataset, {})
        self._lines.setdefault(dataset, line)
        names = [item.name for item in written.columns if item.name is not None]
        for name in names:
            type_, may_be_null = types.get(name, (None, True))
            column = dataset.part_key(name)
            said = self._said.setdefault(column, {})
            self._lines.setdefault(column, line)
            if type_ is not None:
                said["type"] = type_
            if not may_be_null:
                said["nullable"] = False
        is_complete = written.made.is_closed and len(names) == len(written.made.items)
        self._known.define(written.target, names, is_complete)

    def _flows(self, name: str, job: _Job) -> list[Flow]:
        key = AssetKey.of(AssetKind.JOB, self._origin, name)
        if not job.target:  # a query: it is as fine as the columns that it reads
            named = {leaf.table for leaf in job.whole} - {leaf.table for leaf in job.whole if leaf.column is None}
            return [
                *(Flow(self._key(table), key) for table in job.reads if table not in named),
                *(Flow(self._key(leaf.table, leaf.column), key) for leaf in job.whole if leaf.table in named),
            ]
        flows = [Flow(self._key(table), key) for table in job.reads]
        target = self._key(job.target)
        flows.append(Flow(key, target))
        to_parts = [(leaf, self._key(job.target, column)) for column, leaf in job.columns]
        to_whole = [(leaf, target) for leaf in job.whole]
        if to_parts or any(leaf.column for leaf, _ in to_whole):
            for leaf, end in (*to_parts, *to_whole):
                source = self._key(leaf.table, leaf.column)
                if source == end:  # what is kept as it was
                    flows += [Flow(each, key) for each in (source, source.container) if each is not None]
                else:
                    flows.append(checked_flow(source, end, key))
        else:
            flows += [Flow(self._key(leaf.table), key) for leaf, _ in to_whole]
        return flows

    def _key(self, table: str, column: str | None = None) -> AssetKey:
        dataset = AssetKey.of(AssetKind.DATASET, self._namespace, table)
        return dataset if column is None else dataset.part_key(column)


def _needs(
    scripts: Sequence[tuple[str, list[Statement]]], made_and_read: Callable[[Statement], tuple[set[str], set[str]]]
) -> list[set[int]]:
    """Of each file those that create what it reads."""
    makers: dict[str, list[int]] = {}
    reads: list[set[str]] = []
    for number, (_, statements) in enumerate(scripts):
        both = [made_and_read(statement) for statement in statements]
        for name in sorted({name for made, _ in both for name in made}):
            makers.setdefault(name, []).append(number)
        reads.append({name for _, read in both for name in read})
    return [
        {maker for name in names for maker in makers.get(name, ())} - {number} for number, names in enumerate(reads)
    ]


def _known_tables(given: Json, problems: list[str]) -> dict[str, list[str]]:
    tables: dict[str, list[str]] = {}
    for name, columns in record(given).items():
        if isinstance(columns, dict):
            tables[name] = list(columns)
        elif isinstance(columns, list) and all(isinstance(column, str) for column in columns):
            tables[name] = [str(column) for column in columns]
        else:
            problems.append(f"tables.{name}: neither a list of the names of columns nor a mapping of them to types")
    return tables


def _order(leaf: Leaf) -> tuple[str, str]:
    return leaf.table, leaf.column or ""
