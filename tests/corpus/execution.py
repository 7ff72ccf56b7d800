"""What really happens: the change is executed, and the consumers run before and after it. Nothing here knows Headwater's rules.

What a consumer does stands in `execution.yaml` of the base, and with the case where the change moves it.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime
from decimal import Decimal
from fnmatch import fnmatch
from functools import cache, partial
from typing import Any

import duckdb

from graph.impact import When
from graph.keys import AssetKey
from tests.corpus.calling import calling
from tests.corpus.contracts import contract
from tests.corpus.loading import Case, Files, Record, bases, declared
from tests.corpus.outcomes import ConsumerFailed, Seen, seen
from tests.corpus.scoring import scoring


def executed(case: Case) -> dict[str, Seen]:
    """What each consumer that was run saw, by the kind of execution."""
    return {kind: EXECUTORS[kind](case, given) for kind, given in case.executed.items() if kind != "except"}


# A warehouse: tables, the views that the repository's jobs make, and queries


def warehouse(case: Case, given: Record) -> Seen:
    """`given`: {change: SQL that is done to the tables, reads: queries of consumers that move}."""
    about = case.base.execution["duckdb"]
    with closing(duckdb.connect()) as after:
        after.execute(about["setup"])
        after.execute(given.get("change") or "SELECT 1")
        _build(after, case.head, about)
        moved = {**about["reads"], **(given.get("reads") or {})}
        return {
            (AssetKey.parse(key), When.NOW): seen(
                partial(_rows_before, case.base.name, key), partial(_queried, after, moved[key])
            )
            for key in about["reads"]
        }


@cache
def _rows_before(base: str, reader: str) -> Any:
    about = bases()[base].execution["duckdb"]
    return _queried(_before(base), about["reads"][reader])


@cache
def _before(base: str) -> duckdb.DuckDBPyConnection:
    about, files = bases()[base].execution["duckdb"], bases()[base].files
    connection = duckdb.connect()
    connection.execute(about["setup"])
    _build(connection, files, about)
    return connection


def _build(connection: duckdb.DuckDBPyConnection, files: Files, about: Record) -> None:
    """Jobs that fail leave nothing, as on a fresh target; the next ones run on."""
    for sql in [*_scripts(files, about), *about.get("others", [])]:
        try:
            connection.execute(sql)
        except duckdb.Error:
            continue


def _scripts(files: Files, about: Record) -> Iterator[str]:
    for path in sorted(files):
        if any(fnmatch(path, pattern) for pattern in about.get("scripts", [])):
            yield files[path]
    if about.get("dbt") in files:
        for node in json.loads(files[about["dbt"]])["nodes"].values():
            yield f"CREATE TABLE {node['relation_name']} AS {node['compiled_code']}"
    for folder, job in declared(files, "jobs"):
        definition = job.get("definition")
        if isinstance(definition, dict) and str(definition.get("file")).endswith(".sql"):
            yield files[str(folder / definition["file"])]


def _queried(connection: duckdb.DuckDBPyConnection, read: Any) -> Any:
    if isinstance(read, list):
        *tries, last = read
        for each in tries:
            try:
                return _queried(connection, each)
            except ConsumerFailed:
                continue
        return _queried(connection, last)
    query, positions = (read, None) if isinstance(read, str) else (read["query"], read["positions"])
    try:
        result = connection.execute(query)
        names = [column[0] for column in result.description or []]
        rows = result.fetchall()
        if positions is not None:
            return sorted(repr([_READ_AS[kind](row[index]) for index, kind in positions.items()]) for row in rows)
    except (duckdb.Error, IndexError, ValueError, TypeError, AttributeError) as error:
        raise ConsumerFailed from error
    return sorted(repr(sorted(zip(names, map(_plain, row), strict=True))) for row in rows)


def _plain(value: Any) -> Any:
    return float(value) if isinstance(value, Decimal | int) else value


def _strictly(*types: type) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if value is not None and not isinstance(value, types):
            raise TypeError(value)
        return float(value) if isinstance(value, Decimal) else value

    return read


_READ_AS = {
    "int": _strictly(int),
    "number": _strictly(Decimal, float),
    "text": _strictly(str),
    "time": _strictly(datetime),
}
"""As a reader with a schema of its own would."""


EXECUTORS: dict[str, Callable[[Case, Record], Seen]] = {
    "duckdb": warehouse,
    "scoring": scoring,
    "contract": contract,
    "http": calling,
}
