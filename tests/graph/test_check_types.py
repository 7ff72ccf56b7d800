"""What is judged of types that differ, against what DuckDB does with their values."""

from decimal import Decimal

import duckdb
import pytest

from graph.check.types import type_differences
from graph.check.verdicts import Cure, Verdict

B, H, A = Verdict.BREAKING, Verdict.BEHAVIOURAL, Verdict.ADDITIVE


@pytest.mark.parametrize(
    ("before", "after", "verdicts"),
    [
        # other spellings
        ("INTEGER", "int4", []),
        ("int8", "bigint", []),
        ("character varying(10)", "VARCHAR(10)", []),
        ("decimal(10, 2)", "NUMERIC(10,2)", []),
        ("timestamp[us, tz=UTC]", "timestamptz", []),
        ("datetime64[ns]", "timestamp[ns]", []),
        ("tensor(float)", "FP32", []),
        ("INT64_LIST", "Array(Int64)", []),
        ("list<item: int32>", "INTEGER[]", []),
        ("struct<a:int,b:string>", "STRUCT(b VARCHAR, a INTEGER)", []),
        ("map<string, double>", "MAP(VARCHAR, DOUBLE)", []),
        ("dictionary<values=string, indices=int32, ordered=0>", "utf8", []),
        ("geometry", " GEOMETRY", []),
        ("int unsigned", "uint32", []),
        # wider, and narrower
        ("int", "bigint", [A]),
        ("bigint", "int", [B]),
        ("int8", "int16", [A]),
        ("uint8", "int16", [A]),
        ("int16", "uint16", [B]),
        ("float", "double precision", [A]),
        ("double", "float", [B]),
        ("varchar(10)", "varchar(20)", [A]),
        ("varchar(10)", "text", [A]),
        ("text", "varchar(10)", [H]),
        ("decimal(10,2)", "decimal(12,4)", [A]),
        ("decimal(10,2)", "decimal(10,4)", [B]),
        ("timestamp(6)", "timestamp(3)", [H]),
        ("enum('a','b')", "enum('a','b','c')", [H]),
        # other families
        ("int", "double", [B]),
        ("double", "decimal(10,2)", [B]),
        ("date", "timestamp", [B]),
        ("timestamp", "timestamptz", [B]),
        ("int", "varchar", [B]),
        ("geometry", "geography", [B]),
        ("int", "int[]", [B]),
        # nested
        ("struct<a:int,b:text>", "struct<a:bigint>", [A, B]),
        ("struct<a:int>", "struct<a:int,b:text>", [A]),
        ("array<struct<a int64, b string>>", "array<struct<a int64, b int64>>", [B]),
        ("float[3]", "float[4]", [B]),
        ("map<string,int>", "map<string,bigint>", [A]),
        ("<" * 3000, "<" * 2999, [B]),
        ("array<" * 3000, "array<" * 3000 + " ", []),
    ],
)
def test_what_a_type_that_differs_means(before: str, after: str, verdicts: list[Verdict]) -> None:
    found = type_differences("type", before, after)
    assert [each.verdict for each in found] == verdicts
    assert all(each.reason for each in found)


def test_a_cast_cures_another_type_and_nothing_else() -> None:
    assert type_differences("type", "int", "text")[0].cures == frozenset({Cure.CAST})
    assert type_differences("type", "text", "varchar(10)")[0].cures == frozenset()
    (gone,) = type_differences("type", "struct<a:int,b:int>", "struct<a:int>")
    assert (gone.attribute, gone.part, gone.cures) == ("type.b", "b", frozenset({Cure.DEFAULT}))


EXTREMES: dict[str, list[object]] = {
    "tinyint": [-128, 127],
    "utinyint": [0, 255],
    "smallint": [-32768, 32767],
    "usmallint": [0, 65535],
    "integer": [-(2**31), 2**31 - 1],
    "uinteger": [0, 2**32 - 1],
    "bigint": [-(2**63), 2**63 - 1],
    "ubigint": [0, 2**64 - 1],
    "hugeint": [-(2**127), 2**127 - 1],
    "float": [3.4028234663852886e38, 1.401298464324817e-45, 16777217.0],
    "double": [1.7976931348623157e308, 5e-324, 0.1],
    "decimal(4,1)": [Decimal("999.9"), Decimal("-0.1")],
    "decimal(9,2)": [Decimal("9999999.99"), Decimal("0.01")],
    "decimal(18,3)": [Decimal("999999999999999.999"), Decimal("0.001")],
    "decimal(18,6)": [Decimal("999999999999.999999"), Decimal("0.000001")],
    "timestamp_s": ["2026-01-02 03:04:05"],
    "timestamp_ms": ["2026-01-02 03:04:05.678"],
    "timestamp": ["2026-01-02 03:04:05.678901"],
}


def test_what_is_judged_wider_holds_what_there_was_in_duckdb_and_what_is_narrower_does_not() -> None:
    with duckdb.connect() as engine:
        for before, values in EXTREMES.items():
            for after in EXTREMES:
                for each in type_differences("type", before, after):
                    if each.verdict in (A, H):
                        kept = [_survives(engine, value, before, after) for value in values]
                        assert all(kept) == (each.verdict is A), (before, after, kept)


def _survives(engine: duckdb.DuckDBPyConnection, value: object, before: str, after: str) -> bool:
    query = f"SELECT a IS NOT DISTINCT FROM TRY_CAST(TRY_CAST(a AS {after}) AS {before}) FROM (SELECT ?::{before} AS a)"
    row = engine.execute(query, [value]).fetchone()
    assert row is not None
    return bool(row[0])
