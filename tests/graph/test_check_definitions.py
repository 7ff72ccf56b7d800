"""What is judged of definitions: those told to be the same give the same in DuckDB, or in Python."""

import random
from collections.abc import Callable
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graph.check.definitions import definition_differences
from graph.check.verdicts import Verdict
from graph.model import Json

N, A, H, U = Verdict.NONE, Verdict.ADDITIVE, Verdict.BEHAVIOURAL, Verdict.UNKNOWN


def judged(before: Json, after: Json) -> Verdict:
    (found,) = definition_differences(before, after)
    assert found.reason
    return found.verdict


# SQL


@pytest.mark.parametrize(
    ("before", "after", "verdict"),
    [
        ("select a, b from t where a = 1 and b > 2", 'SELECT A,\n "b" -- c\n FROM t WHERE (b > 2) AND a = 1', N),
        ("select a from t where a::int > 1 and b > 2", "select a from t where b > 2 and a::int > 1", H),
        ("with c as (select a from t) select c.a from c", "with d as (select a from t) select d.a from d", N),
        ("with t as (select a from t) select t.a from t", "with d as (select a from t) select d.a from d", N),
        ("select o.a from t o join u on o.a = u.a", "select x.a from t as x inner join u on (x.a = u.a)", N),
        ("select a::int from t", "select cast(a as integer) from t", N),
        ("select a from t left join u using (a)", "select a from t left outer join u using (a)", N),
        ("select a from t left join u using (a)", "select a from t join u using (a)", H),
        ("select 'A' from t", "select 'a' from t", H),
        ('select "A" from t', "select a from t", N),
        ("select (a + b) * 2 as c from t", "select a + b * 2 as c from t", H),
        ("create view v as select a from t", "create view v as select a, b * 2 as c from t", A),
        ("select a from t", "select a, count(*) as n from t", H),
        ("select a from t", "select a, unnest(b) as n from t", H),
        ("select distinct a from t", "select distinct a, b from t", H),
        ("select a from t order by 1", "select b, a from t order by 1", H),
        ("select a, b from t", "select a from t", H),
        ("select {{ x }} from t", "SELECT   {{ x }} from t", N),
        ("select a from", "select b from", U),
    ],
)
def test_what_sql_that_differs_means(before: str, after: str, verdict: Verdict) -> None:
    assert judged({"sql": before, "dialect": "duckdb"}, {"sql": after, "dialect": "duckdb"}) is verdict


@pytest.mark.parametrize(
    ("before", "after", "verdict"),
    [
        ("amount * 2", "amount  *  2", N),
        ("amount * 2", "(amount * 2)", N),
        ("amount * 2", "amount * 3", H),
        ("the sum of a day", "the  sum of a day", N),
        ("the sum of a day", "the sum of a week", H),
        ("def f(x):\n    return x", "def f(y_):\n    return y_", H),
        ("def f(x):\n    return x", "def f(x):\n    # as it is\n    return x", N),
        ({"sql": "a"}, "a", N),
        ({"sql": "a"}, {"python": "a"}, H),
        ({"sql": "a / b", "dialect": "duckdb"}, {"sql": "a / b", "dialect": "postgres"}, H),
    ],
)
def test_what_a_text_in_no_language_that_is_told_means(before: Json, after: Json, verdict: Verdict) -> None:
    assert judged(before, after) is verdict


@st.composite
def queries(draw: st.DrawFn) -> str:
    """Of a small space, so that two are often the same in other words."""
    pick: Callable[..., Any] = lambda *some: draw(st.sampled_from(some))  # noqa: E731
    name, other = pick("t", "u", "c", "d"), pick("t", "u", "c", "d", "e")
    column = pick("a", "A", '"a"', "b")
    source = pick("t", "u", f"t {pick('AS ', '')}{other}", f"t {other} join u using (a)")
    qualifier = pick("", f"{other}.", f"{name}.")
    tests = [pick("a = 1", "(a = 1)", "a=1"), pick("b > 1", "B > 1", "(b) > 1"), pick("a < b", "a <> 0")]
    wanted = draw(st.permutations(tests))[: draw(st.integers(0, 3))]
    where = f" where {pick(' and ', ' or ').join(wanted)}" if wanted else ""
    value = pick(
        f"{qualifier}{column}",
        f"({qualifier}{column})",
        f"{qualifier}{column} + 1 * 2",
        f"({qualifier}{column} + 1) * 2",
    )
    more = pick("", "", ", b as n", ", a as m")
    query = f"select {value} {pick('as', '')} v{more} from {source}{where}"
    if draw(st.booleans()):
        outer = pick("t", "u", name, other)
        query = f"with {name} as ({query}) {pick('select', 'SELECT')} v from {outer}{pick('', ' -- all')}"
    return query


@pytest.mark.long
@settings(max_examples=40, deadline=None)
@given(st.lists(queries(), min_size=6, max_size=6), st.integers(0, 1000))
def test_sql_that_is_judged_the_same_gives_the_same_rows(some: list[str], seed: int) -> None:
    chance = random.Random(seed)
    with duckdb.connect() as engine:
        for table in ("t", "u"):
            engine.execute(f"create table {table} (a int, b int, v int)")
            engine.executemany(
                f"insert into {table} values (?, ?, ?)",
                [[chance.choice([0, 1, 2, None]) for _ in "abv"] for _ in range(6)],
            )
        for before in some:
            for after in some:
                verdict = judged({"sql": before, "dialect": "duckdb"}, {"sql": after, "dialect": "duckdb"})
                if before != after and verdict in (N, A):
                    rows = [_rows(engine, each) for each in (before, after)]
                    width = len(rows[0][0]) if rows[0] and rows[0][0] else 0
                    if verdict is A:
                        rows[1] = sorted(rows[1], key=repr)
                        assert len(rows[0]) == len(rows[1])
                    else:
                        assert rows[0] == rows[1], (before, after, width)


def _rows(engine: duckdb.DuckDBPyConnection, query: str) -> list[tuple[object, ...]]:
    try:
        return sorted(engine.execute(query).fetchall(), key=repr)
    except duckdb.Error as error:
        return [(type(error).__name__,)]


# Python


@pytest.mark.parametrize(
    ("before", "after", "verdict"),
    [
        ("def f(x):\n  y = x + 1\n  return y", "def f(x: int) -> int:\n  'Adds.'\n  z: int = x + 1  # one\n  return z", N),
        ("def f(x, k=1):\n  return x", "def f(x, k=2):\n  return x", H),
        ("def _h(a):\n  return a * 2\ndef f(x):\n  return _h(x)", "def f(x):\n  return _twice(x)\ndef _twice(a):\n  return a * 2", N),
        ("def _h(a):\n  return a * 2\ndef f(x):\n  return _h(x)", "def _h(a):\n  return a * 3\ndef f(x):\n  return _h(x)", H),
        ("import numpy as np\ndef f(x):\n  return np.log(x)", "import numpy\ndef f(x):\n  return numpy.log(x)", N),
        ("from math import log\ndef f(x):\n  return log(x)", "from math import log10 as log\ndef f(x):\n  return log(x)", H),
        ("K = 3\ndef f(x):\n  return K * x", "LIMIT = 3\ndef f(x):\n  return LIMIT * x", N),
        ("K = 3\ndef f(x):\n  return K * x", "K = 4\ndef f(x):\n  return K * x", H),
        ("K = 3\nK = 4\ndef f(x):\n  return K * x", "K = 4\nK = 3\ndef f(x):\n  return K * x", H),
        ("def f(x):\n  lo = 1\n  return x.query('a > @lo')", "def f(x):\n  hi = 1\n  return x.query('a > @hi')", H),
        ("def f(x):\n  y = 1\n  return locals()", "def f(x):\n  z = 1\n  return locals()", H),
        ("def f(x):\n  y = 1\n  z = 2\n  return y - z", "def f(x):\n  z = 1\n  y = 2\n  return y - z", H),
        ("@udf\ndef f(x: int):\n  return x", "@udf\ndef f(x: str):\n  return x", H),
        ("def f(x):\n  return sorted(x, key=lambda i: -i)", "def f(x):\n  return sorted(x, key=lambda j: -j)", N),
        ("def f(x):\n  return x", "def f(x:\n  return x", U),
        ("def f(x):\n  return " + "(" * 500 + "x" + ")" * 500, "def f(x):\n  return x", U),
    ],
)  # fmt: skip
def test_what_python_that_differs_means(before: str, after: str, verdict: Verdict) -> None:
    assert judged({"python": before, "function": "f"}, {"python": after, "function": "f"}) is verdict


TEMPLATES = [
    "def f(x):\n  {0} = x + 1\n  {1} = {0} * 2\n  {2} = {1} - {0}\n  return {2}",
    "def f(x):\n  {0} = 1\n  def {1}({2}):\n    nonlocal {0}\n    {0} += {2}\n    return {0}\n  return {1}(x) + {0}",
    "def f(x):\n  {0} = [{1} + x for {1} in range(3) if {1} != {2}({1})]\n  return sum({0})\ndef {2}(x):\n  return x - 1",
    "{0} = 2\ndef f(x):\n  {1} = {0} + x\n  return (lambda {2}: {2} + {1})({0})",
    "{0} = 2\ndef f(x):\n  global {0}\n  {0} = x\n  {1} = {2}()\n  return {1}\ndef {2}():\n  return {0}",
    "def f(x):\n  try:\n    {0} = 1 // x\n  except ZeroDivisionError as {1}:\n    {0} = len(str({1}))\n  {2} = {0}\n  return {2}",
    "def f(x):\n  if any(({0} := {1}) > x for {1} in range(4)):\n    return {0}\n  {2} = 5\n  return {2}",
    "def f(x):\n  class {0}:\n    {1} = 1\n    {2} = [{1} for {1} in (x, 2)]\n  return len({0}.{2})",
    "def f(x):\n  {0} = 3\n  for {1} in (1, 2):\n    {2} = {0} + {1}\n    {0} = {2} - x\n  del {1}\n  return {0}",
    "def f(x):\n  {0} = {1} = x\n  def g({1}=1, {2}=2):\n    return {0} + {1}\n  return g({2}=4) + {0}",
]


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(TEMPLATES),
    st.lists(
        st.lists(st.sampled_from(["a", "b", "c", "x", "len", "sum"]), min_size=3, max_size=3), min_size=2, max_size=8
    ),
)
def test_python_that_is_judged_the_same_computes_the_same(template: str, names: list[list[str]]) -> None:
    sources = [template.format(*each) for each in names]
    for before in sources:
        for after in sources:
            if judged({"python": before, "function": "f"}, {"python": after, "function": "f"}) is N:
                assert [_computed(before, x) for x in (0, 1, 3)] == [_computed(after, x) for x in (0, 1, 3)], (
                    before,
                    after,
                )


def _computed(source: str, x: int) -> object:
    held: dict[str, Any] = {}
    try:
        exec(source, held)
        return held["f"](x)
    except Exception as error:  # noqa: BLE001 (whatever it is, both must fail so)
        return type(error)
