"""What a repository says: its manifests with the files that they name, and its sources; where it says it, and what is not understood."""

from textwrap import dedent
from typing import Any

import pytest
import yaml

from graph.errors import InvalidManifest
from graph.importers.project import Document, DocumentFormat, Project, read_project
from graph.keys import AssetKey
from graph.model import Basis, Json


def manifest(content: str, path: str = "headwater.yaml") -> Document:
    return Document(path, DocumentFormat.MANIFEST, yaml.safe_load(f"version: 1\nnamespace: n\n{dedent(content)}"))


def file(path: str, text: str) -> Document:
    return Document(path, DocumentFormat.FILE, dedent(text).lstrip("\n"))


def sql(text: str, **options: Json) -> Document:
    content: Json = {"files": [{"path": "models/a.sql", "text": text}]}
    given: dict[str, Json] = {"at": "sources[0]", "dialect": "duckdb", "manifest": {"namespace": "n"}}
    return Document("headwater.yaml", DocumentFormat.SQL, content, {**given, **options})


def feast(text: str, **more: str) -> Document:
    texts = {"views.py": dedent(text).lstrip("\n"), **more}
    files: list[Json] = [{"path": f"repo/{path}", "text": each} for path, each in texts.items()]
    content: Json = {"files": files, "folder": "repo", "store": {"project": "p"}}
    return Document(
        "headwater.yaml", DocumentFormat.FEAST, content, {"at": "sources[0]", "manifest": {"namespace": "n"}}
    )


def said(project: Project, key: str) -> dict[str, Json]:
    (found,) = [dict(each.attributes) for one in project.registrations for each in one.assets if str(each.key) == key]
    return found


def flows(project: Project, origin: str) -> set[str]:
    return {str(each.flow) for one in project.registrations if one.origin == origin for each in one.flows}


def unread(project: Project) -> dict[str, str]:
    return {str(key): reason for key, reason in project.unread.items()}


# SQL


def test_sql_is_read_with_the_columns_that_manifests_declare() -> None:
    tables = "datasets: [{name: t, columns: [{name: a}, {name: b}]}]"
    read = read_project([manifest(tables), sql("-- all\ncreate view v as\nselect * from t")])
    assert [(each.origin, each.basis) for each in read.registrations] == [
        ("manifest:n", Basis.DECLARED),
        ("manifest:n:inferred", Basis.INFERRED),
        ("sql:n", Basis.INFERRED),
    ]
    job = "job:sql%3An/models%2Fa.sql%3Av"
    assert {"column:n/t#a -> column:n/v#a via " + job, "column:n/t#b -> column:n/v#b via " + job} < flows(read, "sql:n")
    assert said(read, job)["definition"] == {"sql": "create view v as\nselect * from t", "dialect": "duckdb"}
    for key in (job, "dataset:n/v", "column:n/v#a"):
        assert read.places[AssetKey.parse(key)] == ("models/a.sql", "", 2)


def test_what_a_statement_that_cannot_be_read_writes_is_unread_and_still_there() -> None:
    read = read_project(
        [sql("create table o as select 1 as a;\ninsert into s.x select frm where;\ncreate view v as select a from o")]
    )
    assert unread(read).keys() == {"dataset:n/s.x", "job:sql%3An/models%2Fa.sql%3As.x"}
    assert unread(read)["dataset:n/s.x"].startswith("models/a.sql:2: it cannot be read")
    assert said(read, "dataset:n/s.x") == {}
    assert said(read, "column:n/v#a") == {}


def test_what_is_wrong_with_a_source_has_its_place() -> None:
    documents = [manifest("datasets: [{nam: t}]"), sql("select 1", dialect="duckbd")]
    with pytest.raises(InvalidManifest) as refused:
        read_project(documents)
    assert refused.value.problems[:2] == (
        "headwater.yaml: datasets[0].nam: unknown field; did you mean name?",
        "headwater.yaml: datasets[0].name: missing; its name, verbatim as the source system writes it.",
    )
    assert "headwater.yaml: sources[0].dialect: 'duckbd' is none of" in refused.value.problems[2]


def test_what_stands_in_for_another_version_is_unread() -> None:
    read = read_project([sql("create table o as select 1 as a", missing="not known at main")])
    assert set(unread(read).values()) == {"not known at main"}
    assert "column:n/o#a" in unread(read)


# Definitions of features

TABLE = "datasets: [{name: t, columns: [{name: a}, {name: b}, {name: c}]}]"


def feature(definition: str, derived_from: str = "t", table: str = TABLE) -> Document:
    view = (
        f"feature_views: [{{name: v, features: [{{name: f, definition: {definition}, derived_from: {derived_from}}}]}}]"
    )
    return manifest(f"{table}\n{view}", "shop/headwater.yaml")


def reads(*documents: Document) -> tuple[set[str], str | None]:
    read = read_project(documents)
    found = flows(read, "manifest:n:inferred")
    assert all(each.endswith(" -> feature:n/v#f") for each in found)
    return {each.partition(" ")[0] for each in found}, unread(read).get("feature:n/v#f")


PYTHON = "{file: features.py, function: f}"


@pytest.mark.parametrize(
    ("source", "columns", "is_unread"),
    [
        ("def f(a, b): return a / b", "ab", False),
        ("def f(df): return df['a'] + df.b", "ab", False),
        ("def f(row, rate=2): return row.get('a', 0) * rate", "a", False),
        ("def f(df):\n    df['x'] = df['a'] * 2\n    return df['x'] + df[['b', 'c']].sum(axis=1)", "abc", False),
        ("def f(df): return df['a'].where(df['b'] > 0).rolling(3).mean()", "ab", False),
        ("async def f(*, a): return a", "a", False),
        ("def f(df, name): return df[name] + df['a']", "a", True),
        ("def f(df): return getattr(df, 'a')", "", True),
        ("def f(df): return helper(df) + df['a']\ndef helper(df): return df['b']", "a", True),
        ("def f(df):\n    df = df.dropna()\n    return df['a']", "a", True),
        ("def f(df): return df.sum() + df['a']", "a", True),
        ("def f(df): return df['zzz']", "", True),
        ("def f(a): return eval('a')", "a", True),
    ],
)
def test_what_a_function_reads(source: str, columns: str, is_unread: bool) -> None:
    found, reason = reads(feature(PYTHON), file("shop/features.py", source))
    assert found == {f"column:n/t#{name}" for name in columns}
    assert (reason is not None) is is_unread, reason


@pytest.mark.parametrize(
    ("definition", "columns", "is_unread"),
    [
        ("{sql: 'a / nullif(b, 0)'}", "ab", False),
        ("{sql: 'select sum(a) from t where b > 0', dialect: duckdb}", "ab", False),
        ("{sql: 'select sum(a) from elsewhere'}", "", True),
        ("{sql: zzz + a}", "a", True),
        ("{sql: 'a +'}", "", True),
        ("plain words", "", False),
    ],
)
def test_what_sql_reads(definition: str, columns: str, is_unread: bool) -> None:
    found, reason = reads(feature(definition))
    assert found == {f"column:n/t#{name}" for name in columns}
    assert (reason is not None) is is_unread, reason


def test_of_a_table_whose_columns_nobody_declares_the_named_ones_are_sure() -> None:
    table = "datasets: [{name: t}]"
    assert reads(feature(PYTHON, table=table), file("shop/features.py", "def f(df): return df['q']")) == (
        {"column:n/t#q"},
        None,
    )


def test_a_function_comes_with_what_it_needs_of_the_repository_and_no_more() -> None:
    documents = [
        feature("{file: code/features.py, function: f}"),
        file(
            "shop/code/features.py",
            """
            import math
            import os
            from rates import rate, unused
            from . import others as o

            RATES = {"eu": 1}
            RATES["us"] = 2

            def helper(a):
                return rate(a) * o.twice(RATES["eu"])

            def another():
                return os.getcwd()

            @staticmethod
            def f(a):
                a = math.floor(a)
                return [helper(another) for another in [a]]
            """,
        ),
        file(
            "shop/code/others.py",
            "FACTOR = 2\n\ndef twice(x):\n    return x * FACTOR\n\ndef thrice(x):\n    return x\n",
        ),
        file("shop/rates.py", "unused = 1\n\ndef rate(a):\n    return a\n"),
    ]
    definition: Any = said(read_project(documents), "feature:n/v#f")["definition"]
    assert definition["function"] == "f"
    assert definition["python"] == dedent(
        """
        FACTOR = 2

        def twice(x):
            return x * FACTOR

        def rate(a):
            return a

        import math

        from . import others as o

        RATES = {"eu": 1}

        RATES["us"] = 2

        def helper(a):
            return rate(a) * o.twice(RATES["eu"])

        @staticmethod
        def f(a):
            a = math.floor(a)
            return [helper(another) for another in [a]]
        """
    ).strip("\n")


@pytest.mark.parametrize(
    ("definition", "text", "problem"),
    [
        ("{file: gone.py, function: f}", "", "there is no file 'shop/gone.py' in the repository"),
        ("{file: features.py, function: g}", "def f(a): pass", "shop/features.py has no function 'g'"),
        ("{file: features.py}", "def f(a): pass", "name the function of 'features.py' that computes it"),
        (PYTHON, "def f(:", "shop/features.py:1: it is no Python: "),
    ],
)
def test_a_function_that_is_not_there_is_a_problem(definition: str, text: str, problem: str) -> None:
    with pytest.raises(InvalidManifest) as refused:
        read_project([feature(definition), file("shop/features.py", text)])
    (told,) = refused.value.problems
    assert told.startswith("shop/headwater.yaml: feature_views[0].features[0].definition: ")
    assert problem in told


# Feast

IMPORTS = """
import os
from datetime import timedelta
from feast import Entity, FeatureService, FeatureView, Field, FileSource
from feast.types import Int64

source = FileSource(name="s", path="s3://lake/t", timestamp_field="at")
c = Entity(name="c")
"""


def test_a_feast_repository_says_where_and_what() -> None:
    read = read_project(
        [
            feast(
                f"{IMPORTS}v = FeatureView(name='v', entities=[c], schema=[Field(name='x', dtype=Int64)], source=source)"
            )
        ]
    )
    assert [(each.origin, each.basis) for each in read.registrations] == [("feast:p", Basis.IMPORTED)]
    assert said(read, "feature:p/v#x") == {"type": "INT64"}
    assert read.places[AssetKey.parse("feature:p/v#x")] == ("repo/views.py", "", 8)
    assert unread(read) == {}


@pytest.mark.parametrize(
    ("definition", "key", "reason"),
    [
        ("FeatureView(name='v', schema=os.getenv('S'), source=source)", "v", "os.getenv is not known before it runs"),
        ("FeatureView(name='v', schema=[], source=source)", "v", "its schema is that of its source"),
        (
            "FeatureView(name=os.environ['N'], schema=[Field(name='x', dtype=Int64)])",
            "repo%2Fviews.py%3A9",
            "os.environ",
        ),
        ("FeatureView(name='v', schema=[Field(name='x', dtype=Int64)], **read())", "v", "read is not known"),
        ("FeatureView(name='v', schema=[Field(name=n, dtype=Int64) for n in open('x')])", "v", "what it loops over"),
        (
            "FeatureView(name='v', schema=[Field(name='x', dtype=Int64)], ttl=timedelta(days=DAYS))",
            "v",
            "whether os.environ is true",
        ),
        ("FeatureService(name='v', features=[made()])", "v", "made is not known"),
    ],
)
def test_what_is_only_known_when_it_runs_is_unread_and_never_guessed(definition: str, key: str, reason: str) -> None:
    text = f"{IMPORTS}if os.environ: DAYS = 1\nv = {definition}"
    read = read_project([feast(text)])
    told = unread(read)
    assert told.keys() == {f"feature_view:p/{key}"}
    assert told[f"feature_view:p/{key}"].startswith("repo/views.py:")
    assert reason in told[f"feature_view:p/{key}"]


def test_reading_definitions_ends_whatever_they_do() -> None:
    loop = "x = 'a'\nfor i in range(20000):\n    for j in range(20000):\n        x = x + 'a'\n"
    deep = "def f(n): return f(n + 1)\ny = f(0)\n"
    large = "z = 'a' * 10 ** 9\nw = [0] * 10000 * 10000\n"
    read = read_project([feast(f"{IMPORTS}{deep}{large}{loop}v = FeatureView(name='v')", **{"broken.py": "def ("})])
    told = unread(read)
    assert told["feature_view:p/repo%2Fviews.py"] == "repo/views.py: it takes more than 200,000 steps to read"
    assert told["feature_view:p/repo%2Fbroken.py"].startswith("repo/broken.py:1: it is no Python")
