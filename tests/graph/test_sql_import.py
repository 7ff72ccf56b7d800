"""Plain SQL, as registrations: which column comes from which."""

import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graph.attributes import checked_attributes
from graph.errors import InvalidInput, InvalidManifest
from graph.importers.sql.document import read_sql
from graph.importers.told import Imported
from graph.keys import AssetKind
from graph.model import Basis, Flow
from graph.plan import register
from graph.stores.sqlite import SqliteStore
from graph.time import parse_instant
from tests.graph.world import World
from tests.saying import key, operation

NOW = parse_instant("2026-11-24T12:00:00Z")
T, U, E = ["id", "a", "b"], ["id", "d"], ["x", "y"]
KNOWN = {"t": T, "u": U, "e": E}


def read(*texts: str, dialect: str = "postgres", **given: Any) -> Imported:
    files = [{"path": f"{number}.sql" if number else "f.sql", "text": text} for number, text in enumerate(texts)]
    return read_sql({"dialect": dialect, "files": files, **given}, "sql:w", "w")


def short(flow: Flow) -> str:
    """`t.a > e.x`; of a flow of a job, `t > f.sql:e`."""
    ends = [end.name + (f".{end.part}" if end.part else "") for end in (flow.source, flow.target)]
    return " > ".join(ends)


def derived(said: Imported) -> set[str]:
    return {short(each.flow) for each in said.registration.flows if each.flow.via}


def told(said: Imported) -> list[str]:
    return [f"{each.place}: {each.reason}" for each in said.warned]


# Of each dialect what stands in it alone, and what all have: the columns of t, u and e are known where `known`

CASES = [
    # All dialects say these so
    ("postgres", "create table o as select a, b + 1 as c from t", False, "t.a > o.a; t.b > o.c"),
    ("postgres", "create view o as select a from t where b > 0", False, "t.a > o.a; t.b > o"),
    ("postgres", "create table o as select * from t", True, "t.id > o.id; t.a > o.a; t.b > o.b"),
    ("postgres", "create table o as select * from t", False, ""),
    ("postgres", "create table o as select t.*, 1 as one from t where a = 1", False, "t > o; t.a > o"),
    (
        "postgres",
        "create table o as select a, d from t join u on t.id = u.id",
        True,
        "t.a > o.a; u.d > o.d; t.id > o; u.id > o",
    ),
    (
        "postgres",
        "create table o as select a, d from t join u on t.id = u.id",
        False,
        "t > o.a; u > o.a; t > o.d; u > o.d; t.id > o; u.id > o",
    ),
    (
        "postgres",
        "create table o as select * from t join u using (id)",
        True,
        "t.id > o.id; u.id > o.id; t.a > o.a; t.b > o.b; u.d > o.d; t.id > o; u.id > o",
    ),
    (
        "postgres",
        "create table o as select a, d from t natural join u",
        True,
        "t.a > o.a; u.d > o.d; t.id > o; u.id > o",
    ),
    ("postgres", "create table o as select a, sum(b) as s from t group by a", False, "t.a > o.a; t.b > o.s; t.a > o"),
    (
        "postgres",
        "create table o as select lower(a) as l, count(*) as n from t group by 1",
        False,
        "t.a > o.l; t.a > o",
    ),
    ("postgres", "create table o as select count(*) as n from t", False, "t > o.n"),
    ("postgres", "create table o as select distinct a from t", False, "t.a > o.a; t.a > o"),
    ("postgres", "create table o as select a from t order by b limit 3", False, "t.a > o.a; t.b > o"),
    ("postgres", "create table o as select a from t union all select d from u", False, "t.a > o.a; u.d > o.a"),
    (
        "postgres",
        "create table o as select a from t except select d from u",
        False,
        "t.a > o.a; u.d > o.a; t.a > o; u.d > o",
    ),
    (
        "postgres",
        "create table o as select rank() over (partition by a order by b) as r from t",
        False,
        "t.a > o.r; t.b > o.r",
    ),
    (
        "postgres",
        "create table o as select sum(a) over w as s from t window w as (order by b)",
        False,
        "t.a > o.s; t.b > o.s",
    ),
    (
        "postgres",
        "create table o as select case when a > 0 then b else 0 end as c from t",
        False,
        "t.a > o.c; t.b > o.c",
    ),
    (
        "postgres",
        "create table o as select a from t where id in (select u.id from u where u.d > 1)",
        True,
        "t.a > o.a; t.id > o; u.id > o; u.d > o",
    ),
    (
        "postgres",
        "create table o as select a, (select max(d) from u where u.id = t.id) as m from t",
        True,
        "t.a > o.a; u.d > o.m; u.id > o.m; t.id > o.m",
    ),
    (
        "postgres",
        "create table o as with c as (select a as z from t where b) select z from c",
        False,
        "t.a > o.z; t.b > o",
    ),
    ("postgres", "create table o as with c (z) as (select a from t) select z from c", False, "t.a > o.z"),
    ("postgres", "create table o as with t as (select a from t) select * from t", False, "t.a > o.a"),
    ("postgres", "create table o as select s.z from (select a as z from t) as s", False, "t.a > o.z"),
    ("postgres", "create table o as select z from (select * from t) as s (y, z, w)", True, "t.a > o.z"),
    (
        "postgres",
        "create table o as select q.s from t, lateral (select sum(d) as s from u where u.id = t.a) q",
        True,
        "u.d > o.s; u.id > o; t.a > o",
    ),
    ("postgres", "create table o as select v from t, unnest(t.a) as v", False, "t.a > o.v"),
    ("postgres", "create table o as select n from t, generate_series(1, t.a) as n", False, "t.a > o.n"),
    ("postgres", "create table o as select to_json(t) as j from t", True, "t.id > o.j; t.a > o.j; t.b > o.j"),
    ("postgres", "create table o as select a as b, b as c from t", True, "t.a > o.b; t.b > o.c"),
    ("postgres", 'create table o as select "A" as "B", A from t', False, "t.A > o.B; t.a > o.a"),
    ("postgres", "select a into o from t", False, "t.a > o.a"),
    ("postgres", "create materialized view o as select a from t", False, "t.a > o.a"),
    (
        "postgres",
        "create table o as with recursive r as (select id, a from t union all select t.id, r.a from t join r on t.b = r.id) select * from r",
        True,
        "t.id > o.id; t.a > o.a; t.b > o; t.id > o",
    ),
    ("postgres", "insert into e (y, x) select a, b from t", False, "t.a > e.y; t.b > e.x"),
    ("postgres", "insert into e select a, b from t", True, "t.a > e.x; t.b > e.y"),
    ("postgres", "insert into e select a, b from t", False, "t.a > e; t.b > e"),
    ("postgres", "insert into e (x) values ((select max(a) from t))", False, "t.a > e.x"),
    ("postgres", "with c as (select a from t) insert into e (x) select a from c", False, "t.a > e.x"),
    (
        "postgres",
        "insert into e (x, y) select a, b from t on conflict (x) do update set y = e.y + excluded.y",
        True,
        "t.a > e.x; t.b > e.y; t.a > e.y; e.x > e.y; t.a > e; e.x > e",
    ),
    ("postgres", "update e set y = t.a from t where e.x = t.id", False, "t.a > e.y; e.x > e.y; t.id > e.y"),
    ("postgres", "update e set y = (select max(a) from t where t.id = e.x)", True, "t.a > e.y; t.id > e.y; e.x > e.y"),
    ("postgres", "delete from e using t where e.x = t.id", False, "e.x > e; t.id > e"),
    ("postgres", "delete from e where x in (select t.id from t)", True, "e.x > e; t.id > e"),
    (
        "postgres",
        "merge into e using t on e.x = t.id when matched and t.b > 0 then update set y = t.a"
        " when not matched then insert (x, y) values (t.id, t.a)",
        False,
        "t.a > e.y; t.b > e.y; e.x > e.y; t.id > e.y; t.id > e.x; t.id > e; e.x > e",
    ),
    ("postgres", "merge into e using t on e.x = t.id when matched then delete", False, "t.id > e; e.x > e"),
    (
        "postgres",
        "create temp table h as select a, b from t where id = 1; insert into e (x) select a from h",
        False,
        "t.a > e.x; t.id > e",
    ),
    (
        "postgres",
        "create temp table h (z int); insert into h select a from t; insert into e (x) select z from h",
        False,
        "t.a > e.x",
    ),
    (
        "postgres",
        "create table h as select a from t; insert into e (x) select a from h; drop table h",
        False,
        "t.a > e.x",
    ),
    (
        "postgres",
        "create table o_new as select a from t; drop table o; alter table o_new rename to o",
        False,
        "t.a > o.a",
    ),
    ("postgres", "create table h (like t); select 1", False, ""),
    (
        "postgres",
        "create table o as select a, b from t union all select a, d from u order by 1 limit 2",
        False,
        "t.a > o.a; u.a > o.a; t.b > o.b; u.d > o.b; t.a > o; u.a > o",
    ),
    ("postgres", "with m as (delete from t returning *) insert into e (x) select a from m", False, ""),
    (
        "postgres",
        "create table h (a int); alter table h add column b int; insert into e (x) select b from h",
        False,
        "h.b > e.x",
    ),
    (
        "postgres",
        "create table h (a int); alter table h add b int; create table o as select * from h",
        False,
        "h.a > o.a; h > o",
    ),
    (
        "postgres",
        "with c as (select a from t) insert into e (x) with d as (select a from c) select a from d",
        False,
        "t.a > e.x",
    ),
    # Snowflake
    (
        "snowflake",
        "create table o as select a, b from t qualify row_number() over (partition by a order by id) = 1",
        False,
        "T.A > O.A; T.B > O.B; T.A > O; T.ID > O",
    ),
    ("snowflake", "create table o as select a + 1 as z, z * 2 as w from t", True, "t.a > O.Z; t.a > O.W"),
    (
        "snowflake",
        "create table o as select f.value:id::int as v from t, lateral flatten(input => t.a) f",
        False,
        "T.A > O.V",
    ),
    ("snowflake", "create table o as select * exclude (b) rename (a as z) from t", True, "t.id > O.id; t.a > O.Z"),
    (
        "snowflake",
        "create table o as select * from t pivot (sum(a) for b in ('p', 'q')) as p (id, p, q)",
        True,
        "t.id > O.ID; t.a > O.P; t.b > O.P; t.a > O.Q; t.b > O.Q; t.id > O; t.a > O; t.b > O",
    ),
    ("snowflake", "create table o clone t", True, "t.id > O.id; t.a > O.a; t.b > O.b"),
    ("snowflake", "create temporary table h as select a from t; create table o as select * from h", False, "T.A > O.A"),
    ("snowflake", "insert overwrite into e select a, b from t", True, "t.a > e.x; t.b > e.y"),
    (
        "snowflake",
        "insert all into e (x) values (a) into u (d) values (b) select a, b from t",
        False,
        "T.A > E.X; T.B > U.D",
    ),
    ("snowflake", "create dynamic table o target_lag = '1 hour' warehouse = w as select a from t", False, "T.A > O.A"),
    # BigQuery
    ("bigquery", "create table o as select a.city as c from t", False, "t.a > o.c"),
    ("bigquery", "create table o as select v.f as f from t, unnest(t.a) as v", True, "t.a > o.f"),
    ("bigquery", "create table o as select * except (b) replace (b as a) from t", True, "t.id > o.id; t.b > o.a"),
    (
        "bigquery",
        "create table o as select array(select x from unnest(t.a) as x where x > t.b) as l from t",
        True,
        "t.a > o.l; t.b > o.l",
    ),
    (
        "bigquery",
        "create table o as select a, b from t where true qualify rank() over (order by id) = 1",
        False,
        "t.a > o.a; t.b > o.b; t.id > o",
    ),
    ("bigquery", "create table o as select to_json_string(t) as j from t", True, "t.id > o.j; t.a > o.j; t.b > o.j"),
    ("bigquery", "create table `o` as select a from `t`", False, "t.a > o.a"),
    ("bigquery", "create table o as select as struct a, b from t", False, "t.a > o.a; t.b > o.b"),
    # Spark
    ("spark", "create table o as select a, v from t lateral view explode(b) l as v", False, "t.a > o.a; t.b > o.v"),
    ("spark", "create table o as select explode(b) as v from t", False, "t.b > o.v"),
    ("spark", "insert overwrite table e partition (y = '1') select a from t", True, "t.a > e.x"),
    ("spark", "insert into e partition (y) select a, b from t", True, "t.a > e.x; t.b > e.y"),
    (
        "spark",
        "create or replace temp view h as select a from t; insert into e (x) select a from h",
        False,
        "t.a > e.x",
    ),
    (
        "spark",
        "create table o using parquet as select a from t left semi join u on t.id = u.id",
        False,
        "t.a > o.a; t.id > o; u.id > o",
    ),
    ("spark", "create table o as select transform(b, x -> x + a) as l from t", False, "t.a > o.l; t.b > o.l"),
    (
        "databricks",
        "merge into e using u on e.x = u.id when matched then update set * when not matched then insert *",
        True,
        "u.id > e.id; u.d > e.d; e.x > e.id; e.x > e.d; u.id > e.d; u.id > e; e.x > e",
    ),
    # DuckDB
    ("duckdb", "create table o as from t select a", False, "t.a > o.a"),
    ("duckdb", "create table o as from t", True, "t.id > o.id; t.a > o.a; t.b > o.b"),
    ("duckdb", "create table o as select * exclude (id) replace (b + 1 as b) from t", True, "t.a > o.a; t.b > o.b"),
    ("duckdb", "create table o as select a, sum(b) as s from t group by all", True, "t.a > o.a; t.b > o.s; t.a > o"),
    (
        "duckdb",
        "create table o as select [x + b for x in a if x > id] as l from t",
        True,
        "t.a > o.l; t.b > o.l; t.id > o.l",
    ),
    (
        "duckdb",
        "create table o as select a as z from t union all by name select d as w, id as z from u",
        False,
        "t.a > o.z; u.id > o.z; u.d > o.w",
    ),
    ("duckdb", "insert into e by name select a as y from t", False, "t.a > e.y"),
    (
        "duckdb",
        "create table o as select t.a, u.d from t asof join u on t.id >= u.id",
        False,
        "t.a > o.a; u.d > o.d; t.id > o; u.id > o",
    ),
    ("duckdb", "create table o as select columns('a.*') from t", True, "t.id > o; t.a > o; t.b > o"),
    # Others
    ("tsql", "select a into #h from t where b = 1; insert into e (x) select a from #h", False, "t.a > e.x; t.b > e"),
    ("tsql", "update x set y = t.a from e as x join t on x.x = t.id", False, "t.a > e.y; e.x > e.y; t.id > e.y"),
    (
        "tsql",
        "create table o as select a, q.d from t cross apply (select top 1 d from u where u.id = t.id order by u.d) q",
        True,
        "t.a > o.a; u.d > o.d; u.id > o; t.id > o; u.d > o",
    ),
    ("mysql", "update e join t on e.x = t.id set e.y = t.a", False, "t.a > e.y; e.x > e.y; t.id > e.y"),
    ("mysql", "delete e from e join t on e.x = t.id", False, "e.x > e; t.id > e"),
    (
        "oracle",
        "create table o as select a from t start with b = 1 connect by prior id = a",
        False,
        "T.A > O.A; T.B > O; T.ID > O; T.A > O",
    ),
]


@pytest.mark.parametrize(("dialect", "text", "known", "expected"), CASES)
def test_columns_flow_as_the_query_says(dialect: str, text: str, known: bool, expected: str) -> None:
    said = read(text, dialect=dialect, tables=KNOWN if known else {})
    assert derived(said) == {flow for flow in expected.split("; ") if flow}
    assert not [each for each in said.warned if each.item is not None]


# What a document is


def test_a_job_is_a_file_and_a_table_that_it_writes() -> None:
    said = read("create table shop.o as select a from t;\ninsert into e (x) select b from t; select d from u")
    registration = said.registration
    assert (registration.origin, registration.basis, registration.complete) == ("sql:w", Basis.INFERRED, True)
    assert {short(each.flow) for each in registration.flows if each.flow.via is None} == {
        "t > f.sql:shop.o",
        "f.sql:shop.o > shop.o",
        "t > f.sql:e",
        "f.sql:e > e",
        "u.d > f.sql",
    }
    jobs = {each.key.name: each.attributes for each in registration.assets if each.key.kind is AssetKind.JOB}
    assert jobs["f.sql:e"] == {
        "file": "f.sql",
        "dialect": "postgres",
        "definition": {"sql": "insert into e (x) select b from t", "dialect": "postgres"},
    }
    assert told(said) == []


def test_what_one_statement_leaves_open_does_not_blur_another() -> None:
    said = read("create table o as select * from t; insert into e (x) select d from u; insert into e select * from t")
    assert derived(said) == {"u.d > e.x", "t > e"}
    assert {short(each.flow) for each in said.registration.flows if each.flow.target.name == "f.sql:o"} == {
        "t > f.sql:o"
    }


def test_names_are_completed_and_spelled_as_they_are_known() -> None:
    tables = {"Lake.Shop.Orders": ["Id", "Total"]}
    place = {"database": "lake", "schema": "shop"}
    said = read("insert into paid.e (x) select total from orders", dialect="snowflake", tables=tables, **place)
    assert derived(said) == {"Lake.Shop.Orders.Total > lake.PAID.E.X"}
    said = read("create table o as select total from shop.orders", tables=tables)
    assert derived(said) == {"Lake.Shop.Orders.Total > o.total"} or derived(said) == {
        "Lake.Shop.Orders.Total > o.Total"
    }
    said = read("create table stage.orders as select a from orders; create table o as select a from orders")
    assert derived(said) == {"orders.a > stage.orders.a", "orders.a > o.a"}
    said = read('create table "Orders" as select a from t; create table o as select * from orders')
    assert derived(said) == {"t.a > Orders.a"}
    said = read("use schema other; create table o as select a from t", dialect="snowflake", database="L")
    assert derived(said) == {"L.OTHER.T.A > L.OTHER.O.A"}


def test_what_files_create_is_known_in_all_of_them_whatever_their_order() -> None:
    said = read(
        "create view last as select * from middle",
        "create table middle as select first.*, a as z from first",
        "create table first (a int primary key, b varchar(3) not null, c date)",
    )
    assert derived(said) >= {"middle.z > last.z", "middle.b > last.b", "first.a > middle.z", "first.c > middle.c"}
    columns = {str(each.key): each.attributes for each in said.registration.assets if each.key.path}
    assert columns["column:w/first#a"] == {"type": "INT", "nullable": False}
    assert columns["column:w/first#b"] == {"type": "VARCHAR(3)", "nullable": False}
    assert columns["column:w/last#z"] == {}
    assert not [each for each in said.registration.flows if each.flow.target == key("dataset:w/first")]


def test_files_that_need_one_another_are_still_read() -> None:
    said = read("create table p as select * from q", "create table q as select a from p")
    assert "p.a > q.a" in derived(said)


def test_a_statement_that_cannot_be_read_is_told_and_loses_no_other() -> None:
    said = read(
        "insert into e (x) select a from t;\n\nselect from where;\ninsert into e select * from {{ ref('t') }};\n"
        "call refresh();\ncreate function f() returns int as $$ select 1 $$;\ninsert into e (y) select b from t;\n"
    )
    assert derived(said) == {"t.a > e.x", "t.b > e.y"}
    assert [line.partition(": ")[0] for line in told(said)] == ["f.sql:3", "f.sql:4", "f.sql:5", "f.sql:6"]
    assert "render it first" in told(said)[1]
    assert said.warned[2].item == "call refresh()"


def test_what_stands_before_a_quote_that_does_not_end_is_read() -> None:
    said = read(
        "insert into e (x) select a from t;\ninsert into e (y) select 'oh from t;\ninsert into e (y) select b;\n"
    )
    assert derived(said) == {"t.a > e.x"}
    (line,) = told(said)
    assert line.startswith("f.sql:2: it cannot be read")


def test_where_columns_are_not_known_it_is_said_and_tables_are_taken() -> None:
    said = read("insert into e (x) select a from t where b in (select c from u)")
    assert derived(said) == {"t.a > e.x", "t.b > e", "t > e", "u > e"}
    assert told(said) == ["f.sql:1: 'c' may be of several tables: give their columns"]
    said = read("insert into e (x) select gone from t", tables=KNOWN)
    assert derived(said) == {f"t.{name} > e.x" for name in T} | {"t > e.x"}
    assert "gone" in told(said)[0]


@pytest.mark.parametrize(
    "text",
    [
        "(" * 100_000,
        "select " + "(" * 59 + "a" + ")" * 59,
        "create table o as select " + "not " * 4_000 + "a from t",
        "create table o as select " + "+".join(["a"] * 3_000) + " from t",
        "create table o as " + " union all ".join(["select a from t"] * 1_000),
        "create table o as with c0 as (select * from t)"
        + "".join(f", c{n} as (select a.*, b.* from c{n - 1} a, c{n - 1} b)" for n in range(1, 40))
        + " select * from c39",
        "create table o as select a as c0"
        + "".join(f", c{n - 1} + c{n - 1} as c{n}" for n in range(1, 200))
        + " from t",
        "insert into e\x00 (x) select a from t",
        "create table " + "x" * 3_000 + " as select a from t",
        'create table o as select "\ud800" from t',
        "/* " * 1_000,
        "do $$ begin insert into e select 1; end $$",
    ],
    ids=range(12),
)
@pytest.mark.parametrize("dialect", ["postgres", "snowflake", "duckdb"])
def test_hostile_text_is_read_or_told(text: str, dialect: str) -> None:
    said = read(text, "insert into other (x) select a from t", dialect=dialect)
    assert any(flow.casefold() == "t.a > other.x" for flow in derived(said))
    for each in said.registration.assets:
        assert checked_attributes(each.attributes, each.key) == each.attributes


WORDS = [
    "select",
    "from",
    "where",
    "(",
    ")",
    ",",
    "a",
    "t",
    ".",
    "*",
    "=",
    "join",
    "on",
    "with",
    "as",
    "case",
    "when",
    "then",
    "end",
    "union",
    "all",
    "insert",
    "into",
    "e",
    "values",
    "update",
    "set",
    "delete",
    "merge",
    "using",
    "create",
    "table",
    "view",
    "temp",
    ";",
    "'",
    '"',
    "[",
    "]",
    "{",
    "}",
    "lateral",
    "unnest",
    "over",
    "partition",
    "by",
    "order",
    "limit",
    "group",
    "having",
    "distinct",
    "in",
    "exists",
    "not",
    "null",
    "1",
    "'x'",
    "pivot",
    "for",
    "interval",
    "cast",
    "::",
    "->",
    "$$",
    "/*",
    "*/",
    "--",
    "begin",
    "do",
    "declare",
    "call",
    "grant",
    "alter",
    "drop",
    "rename",
]


@given(
    st.lists(st.sampled_from([*WORDS, "\n"]), max_size=40),
    st.sampled_from(
        [
            "postgres",
            "snowflake",
            "bigquery",
            "spark",
            "duckdb",
            "tsql",
            "mysql",
            "oracle",
            "clickhouse",
            "hive",
            "trino",
        ]
    ),
    st.sampled_from(["", "create table e as select ", "insert into e select "]),
)
def test_no_text_raises(words: list[str], dialect: str, begins: str) -> None:
    read(begins + " ".join(words), dialect=dialect)


@pytest.mark.parametrize(
    ("document", "place"),
    [
        (None, "the document"),
        ({"files": []}, "dialect"),
        ({"dialect": "postgres"}, "files"),
        ({"dialect": "postgress", "files": []}, "dialect"),
        ({"dialect": "duckdb", "files": [{"path": "f"}]}, "files[0].text"),
        ({"dialect": "duckdb", "files": [{"path": "f", "text": ""}] * 2}, "files"),
        ({"dialect": "duckdb", "files": [], "tables": {"t": 3}}, "tables.t"),
        ({"dialect": "duckdb", "files": [{"path": "f", "text": "-" * (8 * 2**20 + 1)}]}, "files"),
    ],
)
def test_what_is_no_document_is_refused(document: object, place: str) -> None:
    with pytest.raises(InvalidManifest) as refused:
        read_sql(document, None, "w")
    assert [line.partition(": ")[0] for line in refused.value.problems] == [place]


def test_a_namespace_is_needed_but_for_bigquery() -> None:
    with pytest.raises(InvalidInput, match="namespace: missing"):
        read_sql({"dialect": "postgres", "files": []})
    assert read_sql({"dialect": "bigquery", "files": []}).registration.origin == "sql:bigquery"


def test_reading_twice_says_the_same() -> None:
    text = "create table o as select * from t join u using (id) where a in (select d from u)"
    assert read(text, tables=KNOWN) == read(text, tables=KNOWN)
    assert read(text, tables=KNOWN).registration.digest() == read(text, tables=KNOWN).registration.digest()


# In the graph


def test_a_change_of_a_column_reaches_what_is_computed_from_it_alone(world: World) -> None:
    said = read(
        "create table m as select a as p, b as q, id from t where id > 0; create table o as select p from m; select q from m"
    ).registration
    world.register(*said.assets, *(each.flow for each in said.flows), origin=said.origin, basis=said.basis)
    jobs = {name: f"job:sql%3Aw/f.sql%3A{name}" for name in ("m", "o")}
    of_a, of_b = (world.downstream(f"column:w/t#{name}") for name in "ab")
    assert of_a == {"column:w/m#p", "column:w/o#p", "dataset:w/m", "dataset:w/o", *jobs.values()}
    assert of_b == {"column:w/m#q", "dataset:w/m", jobs["m"], "job:sql%3Aw/f.sql"}
    assert world.downstream("column:w/t#id") >= {"column:w/m#p", "column:w/m#q", "column:w/o#p", "job:sql%3Aw/f.sql"}


def test_the_same_files_again_change_nothing() -> None:
    with tempfile.TemporaryDirectory() as folder, closing(SqliteStore(Path(folder) / "lineage.db")) as store:
        said = read("create table o as select *, a as z from t where b > 0", tables=KNOWN).registration
        register(store, said, operation(), NOW)
        assert not register(store, said, operation(), NOW + 1).changed
