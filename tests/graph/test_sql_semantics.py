"""What SQL is said to depend on, compared with what a database does: change a column of the input, and see what changes."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import duckdb
import pytest
from hypothesis import HealthCheck, given, note, reject, settings
from hypothesis import strategies as st

from graph.importers.sql.document import read_sql
from graph.keys import AssetKey, AssetKind
from graph.model import Flow

TABLES = {"t": ("a", "b", "c", "k"), "u": ("a", "d", "k"), "e": ("x", "y", "z")}
Data = dict[str, list[tuple[int | None, ...]]]

# Queries, as text: whatever is written here is valid, and its answer does not depend on chance


class Columns(NamedTuple):
    """What an expression may name."""

    names: tuple[str, ...]


def one_of(draw: st.DrawFn, *texts: str) -> str:
    return draw(st.sampled_from(texts))


def expression(draw: st.DrawFn, columns: Columns, depth: int = 2) -> str:
    column = one_of(draw, *columns.names)
    if depth == 0 or draw(st.booleans()):
        return draw(st.sampled_from([column, column, column, "1"]))
    one, other = expression(draw, columns, depth - 1), expression(draw, columns, depth - 1)
    form = draw(st.integers(0, 6))
    if form == 0:
        return f"({one} + {other})"
    if form == 1:
        return f"coalesce({one}, {other})"
    if form == 2:
        return f"case when {condition(draw, columns, depth - 1)} then {one} else {other} end"
    if form == 3:
        return f"abs({one})"
    if form == 4:
        return f"(select max(d) from u as s where s.k = {one})"
    if form == 5:
        return f"list_sum([v + {column} for v in [{one}, 2]])"
    return f"({one} * {other})"


def condition(draw: st.DrawFn, columns: Columns, depth: int = 1) -> str:
    one, other = expression(draw, columns, depth), expression(draw, columns, depth)
    form = draw(st.integers(0, 5))
    if form == 0:
        return f"{one} in (select k from u as i where i.d > 1)"
    if form == 1:
        return f"exists (select 1 from u as i where i.a = {one} and d < 3)"
    if form == 2 and depth:
        return f"({condition(draw, columns, 0)} or {condition(draw, columns, 0)})"
    if form == 3:
        return f"{one} is not null"
    return f"{one} {one_of(draw, '<', '=', '<>')} {other}"


def source(draw: st.DrawFn, depth: int) -> tuple[str, Columns]:
    form = draw(st.integers(0, 9 if depth else 1))
    if form <= 1:
        table = one_of(draw, "t", "u")
        return f"{table} as p", Columns(tuple(f"p.{name}" for name in TABLES[table]))
    if form <= 3:
        inner, width = query(draw, depth - 1)
        return f"({inner}) as p", Columns(tuple(f"p.c{number}" for number in range(width)))
    if form == 4:
        on = condition(draw, Columns(("p.a", "p.k", "q.d", "q.k")), 0)
        kind = one_of(draw, "join", "left join", "full join")
        if kind == "full join":
            on = "p.k = q.k"
        return f"t as p {kind} u as q on {on}", Columns(("p.a", "b", "c", "d", "q.k"))
    if form == 5:
        return "t join u using (k)", Columns(("k", "b", "c", "d", "t.a", "u.a"))
    if form == 6:
        inner, width = query(draw, depth - 1)
        return f"t as p cross join ({inner}) as q", Columns(("p.a", "p.k", *(f"q.c{n}" for n in range(width))))
    if form == 7:
        return "t as p, unnest([p.a, p.b]) as w(v)", Columns(("p.c", "v"))
    if form == 8:
        where = condition(draw, Columns(("i.d", "p.k")), 0)
        return f"t as p, lateral (select sum(d) as s from u as i where {where}) as q", Columns(("p.a", "q.s"))
    return f"t as p {one_of(draw, 'semi', 'anti')} join u as q on p.k = q.k and q.d > 0", Columns(("p.a", "p.b"))


def query(draw: st.DrawFn, depth: int = 2, width: int | None = None) -> tuple[str, int]:
    """Its columns are called c0, c1 …"""
    width = width or draw(st.integers(1, 3))
    form = draw(st.integers(0, 9 if depth else 6))
    if form == 9:
        operator = one_of(draw, "union all", "union", "except", "intersect")
        places = ", ".join(str(number + 1) for number in range(width))
        limit = f" order by {places} limit 2" if draw(st.booleans()) else ""
        return f"({query(draw, depth - 1, width)[0]}) {operator} ({query(draw, depth - 1, width)[0]}){limit}", width
    if form == 8:
        inner, inner_width = query(draw, depth - 1)
        names = Columns(tuple(f"w.m{number}" for number in range(inner_width)))
        named = ", ".join(f"m{number}" for number in range(inner_width))
        outer = ", ".join(f"{expression(draw, names)} as c{number}" for number in range(width))
        return f"with w({named}) as ({inner}) select {outer} from w", width
    if form == 7:
        inner, _ = query(draw, depth - 1, width)
        return f"select * replace ({expression(draw, Columns(('c0',)), 1)} as c0) from ({inner})", width
    text, columns = source(draw, depth)
    where = f" where {condition(draw, columns)}" if draw(st.booleans()) else ""
    if form == 6:
        key = expression(draw, columns, 1)
        having = f" having {one_of(draw, 'count(*)', 'max(' + one_of(draw, *columns.names) + ')')} > 1"
        items = [f"{key} as c0"] + [
            f"{one_of(draw, 'sum', 'min', 'count')}({expression(draw, columns, 1)}) as c{number}"
            for number in range(1, width)
        ]
        by = one_of(draw, "1", "c0", "all")
        if by == "1" and key.isdigit():
            by = "all"
        group = f" group by {by}" + (having if draw(st.booleans()) else "")
        return f"select {', '.join(items)} from {text}{where}{group}", width
    if form == 5:
        items = [
            f"{one_of(draw, 'sum', 'count', 'max')}({expression(draw, columns, 1)})"
            f" over (partition by {one_of(draw, *columns.names)}"
            f" order by {expression(draw, columns, 1)}) as c{number}"
            for number in range(width)
        ]
        qualify = f" qualify c0 > {expression(draw, columns, 0)}" if draw(st.booleans()) else ""
        return f"select {', '.join(items)} from {text}{where}{qualify}", width
    if form == 4:
        distinct = "distinct " if draw(st.booleans()) else ""
        items = [f"{expression(draw, columns)} as c{number}" for number in range(width)]
        places = ", ".join(str(number + 1) for number in range(width))
        limit = f" order by {places} limit 2" if draw(st.booleans()) else ""
        return f"select {distinct}{', '.join(items)} from {text}{where}{limit}", width
    if form == 3:
        items = [f"{expression(draw, columns)} as c0"]
        items += [f"(c{number - 1} + {one_of(draw, *columns.names)}) as c{number}" for number in range(1, width)]
        return f"select {', '.join(items)} from {text}{where}", width
    items = [f"{expression(draw, columns)} as c{number}" for number in range(width)]
    return f"select {', '.join(items)} from {text}{where}", width


@st.composite
def scripts(draw: st.DrawFn) -> tuple[str, str]:
    """And the table that it writes."""
    form = draw(st.integers(0, 7))
    if form == 0:
        return f"create table o as {query(draw)[0]}", "o"
    if form == 1:
        return f"insert into e {query(draw, width=3)[0]}", "e"
    if form == 2:
        return f"insert into e (z, x) {query(draw, width=2)[0]}", "e"
    if form == 3:
        # One row of u at most fits: of several, which is taken is chance.
        inner = "(select k, max(d) as d, min(a) as a from u group by k)"
        columns = Columns(("e.x", "e.y", "s.d", "s.a"))
        where = condition(draw, columns, 0)
        return f"update e set y = {expression(draw, columns)} from {inner} as s where s.k = e.z and {where}", "e"
    if form == 4:
        return f"delete from e where {condition(draw, Columns(('e.x', 'e.y')))}", "e"
    if form == 5:
        inner = "(select k, max(b) as b, min(a) as a from t where c is not null group by k)"
        columns = Columns(("e.x", "s.b", "s.a"))
        matched = draw(
            st.sampled_from(
                [
                    f"when matched and {condition(draw, columns, 0)} then update set x = {expression(draw, columns, 1)}",
                    f"when matched and {condition(draw, columns, 0)} then delete",
                    "when matched then do nothing",
                ]
            )
        )
        of_source = Columns(("s.b", "s.a"))
        new = f"when not matched then insert (x, z) values ({expression(draw, of_source, 1)}, s.k)"
        return f"merge into e using {inner} as s on e.z = s.k {matched} {new}", "e"
    if form == 6:
        inner, width = query(draw, 1)
        names = Columns(tuple(f"c{number}" for number in range(width)))
        more = query(draw, 1, width)[0]
        then = [
            f"insert into h {more}",
            f"delete from h where {condition(draw, names, 0)}",
            f"update h set c0 = {expression(draw, names, 1)} where {condition(draw, names, 0)}",
        ]
        last = f"create table o as select {expression(draw, names)} as x, c0 as y from h"
        return f"create temp table h as {inner}; {one_of(draw, *then)}; {last}; drop table h", "o"
    inner, width = query(draw, 1)
    names = Columns(tuple(f"c{number}" for number in range(width)))
    view = f"create view v as {inner}"
    return f"{view}; create table o as select *, c0 + {expression(draw, names)} as more from v", "o"


VALUES = st.one_of(st.integers(0, 3), st.none())


@st.composite
def datas(draw: st.DrawFn) -> Data:
    return {
        table: draw(st.lists(st.tuples(*[VALUES] * len(columns)), min_size=2, max_size=6))
        for table, columns in TABLES.items()
    }


@pytest.fixture(scope="module")
def database() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(config={"threads": 1}) as connection:
        yield connection


def run(
    database: duckdb.DuckDBPyConnection, script: str, data: Data, written: str
) -> tuple[list[str], list[tuple[Any, ...]]]:
    database.begin()
    try:
        for table, columns in TABLES.items():
            rows = ", ".join(str(tuple("null" if each is None else each for each in row)) for row in data[table])
            named = ", ".join(f"{column} bigint" for column in columns)
            database.execute(
                f"create table {table} ({named}); insert into {table} values {rows.replace(QUOTED, 'null')}"
            )
        database.execute(script)
        answer = database.execute(f"select * from {written}")
        return [column[0] for column in answer.description or ()], answer.fetchall()
    finally:
        database.rollback()


QUOTED = "'null'"


def dependents(script: str, written: str, columns: Iterable[str]) -> dict[tuple[str, str], set[str]]:
    """Of each column of the input the columns of what is written that may change with it."""
    known = {table: [*names] for table, names in TABLES.items()}
    document = {"dialect": "duckdb", "files": [{"path": "f", "text": script}], "tables": known}
    read = read_sql(document, "sql:test", "w")
    assert not [warned for warned in read.warned if warned.item is not None]
    flows = [each.flow for each in read.registration.flows if each.flow.via is not None]
    target = AssetKey.of(AssetKind.DATASET, "w", written)
    found: dict[tuple[str, str], set[str]] = {}
    for table, names in TABLES.items():
        dataset = AssetKey.of(AssetKind.DATASET, "w", table)
        for name in names:
            reached = {dataset.part_key(name)}
            while more := {flow.target for flow in flows if passes(flow, reached)} - reached:
                reached |= more
            found[table, name] = {name for name in columns if reached & {target, target.part_key(name)}}
    return found


def passes(flow: Flow, reached: set[AssetKey]) -> bool:
    """From a column that was reached, with its table if need be; from a table, of which some column was."""
    return bool(reached & {flow.source, flow.source.container}) or any(
        each.container == flow.source for each in reached
    )


@settings(suppress_health_check=list(HealthCheck))
@given(script=scripts(), data=datas(), draw=st.data())
def test_what_changes_was_said_to_depend_on_what_was_changed(
    database: duckdb.DuckDBPyConnection, script: tuple[str, str], data: Data, draw: st.DataObject
) -> None:
    text, written = script
    note(text)
    try:
        columns, before = run(database, text, data, written)
    except duckdb.BinderException:  # it has limits of its own
        reject()
    said = dependents(text, written, columns)
    for table, names in TABLES.items():
        for place, name in enumerate(names):
            others = draw.draw(st.lists(VALUES, min_size=len(data[table]), max_size=len(data[table])))
            changed = {
                **data,
                table: [
                    (*row[:place], other, *row[place + 1 :]) for row, other in zip(data[table], others, strict=True)
                ],
            }
            _, after = run(database, text, changed, written)
            same = [number for number, column in enumerate(columns) if column not in said[table, name]]
            assert projected(before, same) == projected(after, same), (table, name, said[table, name])


def projected(rows: list[tuple[Any, ...]], places: list[int]) -> Counter[tuple[Any, ...]]:
    return Counter(tuple(row[place] for place in places) for row in rows) if places else Counter()
