"""Feature values of the rows of one source: which row holds for an entity then, and what its features are.

Online and batch are the same question, asked of now and of other instants, and the same SQL answers both. It runs in a
DuckDB that can see nothing but the rows given to it.
"""

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from app.features.rows import Definition, Found, Instants, Source, Values
from graph.errors import Conflict, InvalidInput, quoted, shortened
from graph.importers.shapes import near
from graph.keys import AssetKey

_SETTINGS: dict[str, str | bool | int | float | list[str]] = {
    "enable_external_access": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "threads": "2",
    "memory_limit": "1GB",
}
_AT_ONCE = 64
"""Rows between which a running expression looks whether it was interrupted."""

_CLASSES = frozenset(
    ("BETWEEN", "CASE", "CAST", "COLLATE", "COLUMN_REF", "COMPARISON", "CONJUNCTION", "CONSTANT", "FUNCTION", "LAMBDA")
) | {"OPERATOR", "TYPE"}
_MACROS = frozenset(("date_add", "days_in_month", "fdiv", "fmod", "if", "nullif", "split_part"))
"""Macros beside those of lists that give the same for the same arguments."""
_AMPLIFIERS = frozenset(
    ("generate_series", "range", "repeat", "lpad", "rpad", "list_resize", "array_resize", "format", "printf")
)
"""Functions that make much of little: one of them on one row may run for minutes, which nothing interrupts."""

_NEWEST = """
    WITH held AS (
        SELECT {columns}, moment, max(place) AS place
        FROM known SEMI JOIN asked USING ({columns})
        WHERE moment IS NOT NULL
        GROUP BY ALL
    )
    SELECT held.place
    FROM asked ASOF LEFT JOIN held ON {equal} AND asked.moment >= held.moment
    ORDER BY asked.place
"""


class Engine:
    """Safe among threads."""

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._lock = threading.Lock()
        self._database: duckdb.DuckDBPyConnection | None = None
        self._functions: frozenset[str] = frozenset()
        self._nothing: dict[str, Any] = {}
        self._checked: dict[str, frozenset[str]] = {}

    def values(
        self, source: Source, definitions: Sequence[Definition], entities: Mapping[str, Values], at: Instants
    ) -> Found:
        """The features of the newest row of each entity at or before each instant.

        Raises InvalidInput for values that no entity can have, Conflict for what is wrong with the source or a
        definition, or takes longer than there is patience for.
        """
        with self._cursor() as cursor, self._limited(cursor, source):
            places = self._newest(cursor, source, entities, at)
            present = places.is_valid()
            picked = places.drop_null()
            within = pc.cast(pc.subtract(pc.cumulative_sum(present.cast(pa.int64())), 1), pa.int64())
            within = pc.if_else(present, within, None)
            values = self._evaluated(cursor, source, definitions, picked)
            since = _moments(source)
            return Found(
                values={feature: _plain(column).take(within) for feature, column in values.items()},
                present=present.to_numpy(zero_copy_only=False),
                since=pa.nulls(len(at), pa.int64()) if source.timestamp is None else since.take(places),
            )

    def _newest(
        self,
        cursor: duckdb.DuckDBPyConnection,
        source: Source,
        entities: Mapping[str, Values],
        at: Instants,
    ) -> pa.Array:
        """The number of the row that holds for each row asked for; null where none does."""
        known, asked = {}, {}
        for number, (name, values) in enumerate(entities.items()):
            column = _decoded(_column(source, name, "the entity"))
            known[f"e{number}"] = column
            asked[f"e{number}"] = _as(column.type, name, values)
        columns = list(asked)
        known |= {"moment": _moments(source), "place": np.arange(len(source.rows))}
        asked |= {"moment": pa.array(at), "place": np.arange(len(at))}
        cursor.register("known", pa.table(known))
        cursor.register("asked", pa.table(asked))
        equal = " AND ".join(f"asked.{column} = held.{column}" for column in columns)
        newest = cursor.sql(_NEWEST.format(columns=", ".join(columns), equal=equal)).to_arrow_table()
        return newest["place"].combine_chunks()

    def _evaluated(
        self, cursor: duckdb.DuckDBPyConnection, source: Source, definitions: Sequence[Definition], picked: pa.Array
    ) -> Mapping[AssetKey, pa.ChunkedArray]:
        values: dict[AssetKey, pa.ChunkedArray] = {}
        computed: list[tuple[AssetKey, str]] = []
        needed: dict[str, None] = {}
        for feature, sql in ((each.feature, each.sql) for each in definitions):
            if sql is None:
                name = str(feature.part)
                values[feature] = _column(source, name, f"{feature} has no definition, and the").take(picked)
            else:
                computed.append((feature, sql))
                needed |= dict.fromkeys(self._columns(cursor, source, feature, sql))
        if computed:
            columns = list(needed) or source.rows.column_names[:1]  # a constant has as many values as there are rows
            rows = source.rows.select(columns).take(picked)
            cursor.register("source", pa.Table.from_batches(rows.to_batches(_AT_ONCE), rows.schema))
            try:
                table = _selected(cursor, [sql for _, sql in computed])
            except duckdb.InterruptException:
                raise
            except duckdb.Error:
                for feature, sql in computed:  # which one is it?
                    _refuse(cursor, feature, sql)
                raise
            values |= {feature: table[place] for place, (feature, _) in enumerate(computed)}
        return values

    # What a definition may be

    def _columns(self, cursor: duckdb.DuckDBPyConnection, source: Source, feature: AssetKey, sql: str) -> list[str]:
        """The columns that a definition needs. Raises Conflict for one that is no expression over the source's columns."""
        named = self._checked.get(sql)
        if named is None:
            try:
                named = frozenset(self._named(cursor, feature, sql))
            except RecursionError:
                raise Conflict(f"the definition of {feature}, {quoted(sql)}, is nested too deeply") from None
            if len(self._checked) >= 10_000:
                self._checked.clear()
            self._checked[sql] = named
        known = {name.lower(): name for name in source.rows.column_names}
        for name in sorted(named):
            if name.removesuffix("?") not in known and not name.endswith("?"):
                raise Conflict(
                    f"the definition of {feature} names {quoted(name)}, which is no column of {source.dataset}"
                    f"{near(name, known) or _listed(source.rows.column_names)}"
                )
        return [known[name.removesuffix("?")] for name in sorted(named) if name.removesuffix("?") in known]

    def _named(self, cursor: duckdb.DuckDBPyConnection, feature: AssetKey, sql: str) -> set[str]:
        """What the expression names, in lower case; with a `?` where it may be the variable of a lambda."""
        document = _parsed(cursor, _select([sql]))
        if document["error"]:
            raise Conflict(f"the definition of {feature}, {quoted(sql)}, is not SQL: {document['error_message']}")
        statements = document["statements"]
        node = statements[0]["node"]
        alone = len(statements) == 1 and node["type"] == "SELECT_NODE" and len(node["select_list"]) == 1
        if not alone or node["from_table"]["type"] != "EMPTY" or _beside_the_list(node) != self._nothing:
            raise Conflict(f"the definition of {feature}, {quoted(sql)}, is not one expression")
        named: set[str] = set()
        for part, bound in _nodes(node["select_list"], frozenset()):
            kind = part["class"]
            if kind == "COLUMN_REF":
                name = str(part["column_names"][0]).lower()
                named.add(f"{name}?" if name in bound else name)
            elif kind not in _CLASSES:
                what = kind.lower().replace("_", " ")
                raise Conflict(
                    f"the definition of {feature}, {quoted(sql)}, holds a {what}; it is one row's expression"
                )
            elif kind == "FUNCTION" and str(part["function_name"]).lower() not in self._functions:
                raise Conflict(
                    f"the definition of {feature}, {quoted(sql)}, calls {part['function_name']}; it may call functions of"
                    " DuckDB that give one value for one row, always the same"
                )
        return named

    # DuckDB

    @contextmanager
    def _cursor(self) -> Iterator[duckdb.DuckDBPyConnection]:
        with self._lock:
            if self._database is None:
                self._database = _opened()
                self._functions = _functions(self._database)
                self._nothing = _beside_the_list(_parsed(self._database, "SELECT 1")["statements"][0]["node"])
            cursor = self._database.cursor()
        try:
            yield cursor
        finally:
            cursor.close()

    @contextmanager
    def _limited(self, cursor: duckdb.DuckDBPyConnection, source: Source) -> Iterator[None]:
        timer = threading.Timer(self._patience, cursor.interrupt)
        timer.start()
        try:
            yield
        except duckdb.InterruptException:
            raise Conflict(f"features of {source.dataset} took longer than {self._patience:g} s to compute") from None
        except duckdb.Error as error:
            raise Conflict(f"features of {source.dataset} cannot be computed: {shortened(error)}") from error
        finally:
            timer.cancel()


def _opened() -> duckdb.DuckDBPyConnection:
    database = duckdb.connect(":memory:", config=_SETTINGS)
    database.execute("SET TimeZone = 'UTC'")
    database.execute("SET lock_configuration = true")
    return database


def _functions(database: duckdb.DuckDBPyConnection) -> frozenset[str]:
    rows = database.execute("SELECT lower(function_name), function_type, stability FROM duckdb_functions()").fetchall()
    scalars = {name for name, kind, stability in rows if kind == "scalar" and stability == "CONSISTENT"}
    of_lists = {name for name, kind, _ in rows if kind == "macro" and name.startswith(("list_", "array_"))}
    # A name may also be that of a function of another kind: first(x) is an aggregate.
    others = {name for name, kind, stability in rows if kind in ("aggregate", "window") or stability == "VOLATILE"}
    return frozenset((scalars - others | of_lists | _MACROS) - _AMPLIFIERS)


def _select(expressions: Sequence[str]) -> str:
    """Each on lines of its own, so that a comment ends with it."""
    return "SELECT " + ", ".join(f"(\n{sql}\n)" for sql in expressions)


def _selected(cursor: duckdb.DuckDBPyConnection, expressions: Sequence[str]) -> pa.Table:
    return cursor.sql(f"{_select(expressions)} FROM source").to_arrow_table()


def _parsed(cursor: duckdb.DuckDBPyConnection, sql: str) -> dict[str, Any]:
    """The syntax tree, or why there is none."""
    ((answer,),) = cursor.execute("SELECT json_serialize_sql(?::VARCHAR)", [sql]).fetchall()
    document: dict[str, Any] = json.loads(answer)
    return document


def _beside_the_list(node: Mapping[str, Any]) -> dict[str, Any]:
    """Conditions, groups, orders, limits: the parts of a SELECT that no single expression has."""
    return {name: part for name, part in node.items() if name not in ("type", "select_list", "from_table")}


def _nodes(tree: Any, bound: frozenset[str]) -> Iterator[tuple[dict[str, Any], frozenset[str]]]:
    """The expressions in a syntax tree, each with the variables of the lambdas around it."""
    if isinstance(tree, list):
        for each in tree:
            yield from _nodes(each, bound)
    elif isinstance(tree, dict):
        if tree.get("class") == "LAMBDA":
            names = [part["column_names"][0] for part, _ in _nodes(tree["lhs"], bound) if part["class"] == "COLUMN_REF"]
            bound |= {str(name).lower() for name in names}
        if "class" in tree:
            yield tree, bound
        for each in tree.values():
            yield from _nodes(each, bound)


def _refuse(cursor: duckdb.DuckDBPyConnection, feature: AssetKey, sql: str) -> None:
    """Raises Conflict if this is the one that fails."""
    try:
        _selected(cursor, [sql])
    except duckdb.InterruptException:
        raise
    except duckdb.Error as error:
        raise Conflict(f"the definition of {feature}, {quoted(sql)}, fails: {shortened(error)}") from error


# Columns


def _column(source: Source, name: str, whose: str) -> pa.ChunkedArray:
    if name not in source.rows.column_names:
        known = source.rows.column_names
        raise Conflict(
            f"{whose} column {quoted(name)} is missing in {source.dataset}{near(name, known) or _listed(known)}"
        )
    return source.rows[name]


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:20]) + (", …" if len(names) > 20 else "")
    return f"; it has {shown}"


def _as(type_: pa.DataType, entity: str, values: Values) -> pa.Array:
    """The values as the source has them, so that equal is equal."""
    try:
        given = pa.array(values)
        return given.cast(type_)
    except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
        raise InvalidInput(
            f"the entity {entity} is of type {type_} in the source; what was given is not: {shortened(error)}", entity
        ) from None


def _moments(source: Source) -> pa.Array:
    """Since when each row holds, in microseconds since 1970; time stamps without a zone are in UTC."""
    if source.timestamp is None:
        return pa.array(np.full(len(source.rows), np.iinfo(np.int64).min))
    column = _column(source, source.timestamp, "the timestamp")
    type_ = column.type
    if pa.types.is_date(type_):
        column = column.cast(pa.timestamp("us"))
    elif pa.types.is_timestamp(type_):
        column = column.cast(pa.timestamp("us", type_.tz), safe=False)
    else:
        raise Conflict(
            f"the timestamp of {source.dataset} is its column {quoted(source.timestamp)} of type {type_};"
            " it must be a timestamp or a date"
        )
    return column.cast(pa.int64()).combine_chunks()


def _decoded(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column


def _plain(column: pa.ChunkedArray) -> pa.Array:
    """In types that JSON and numpy have."""
    column = _decoded(column)
    if pa.types.is_decimal(column.type):
        column = column.cast(pa.float64())
    elif pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("us", column.type.tz), safe=False)
    return column.combine_chunks()
