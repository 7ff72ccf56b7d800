"""The JSON Schema of manifests accepts what the service accepts, and marks in an editor what it refuses for its form."""

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from graph.errors import InvalidManifest
from graph.importers.manifest import read_manifest
from graph.importers.manifest_format import manifest_schema
from tests.graph.test_manifest import CELLAR

VALIDATOR = Draft202012Validator(manifest_schema())
PAGE = Path(__file__).parents[2] / "docs" / "check.md"

WHOLE = """
version: 1
namespace: n
sources: [{format: sql, files: ["a/**/*.sql", b.sql], dialect: duckdb}, {format: feast, files: repo}]
datasets: [{name: t, columns: [{name: a, default: [1], unit: s, aliases: [b], nullable: true}]}]
feature_views: [{name: v, ttl: P1D, online: true, features: [{name: f, definition: x, default: 0}]}, {name: w, ttl: 60}]
jobs: [{name: j, definition: {sql: select 1, dialect: duckdb}, inputs: [{asset: t, by: name, optional: true}, v]}]
models: [{name: m}]
model_versions: [{model: m, version: "1", signature: {inputs: [{name: x, optional: true, default: 0}]}}]
deployments: [{name: d, request: {json_schema: {type: object}}, reads: {asset: v, default: 0, cast: double}}]
consumers: [{name: c, uses: d}]
"""


def test_it_is_a_schema_and_accepts_what_the_service_accepts() -> None:
    Draft202012Validator.check_schema(manifest_schema())
    page = PAGE.read_text().partition("```yaml\n")[2].partition("```")[0]
    for text in (CELLAR, WHOLE, page):
        document = yaml.safe_load(text)
        read_manifest(document)
        assert [error.message for error in VALIDATOR.iter_errors(document)] == []


@pytest.mark.parametrize(
    ("path", "wrong"),
    [
        (("version",), 2),
        (("colums",), []),
        (("datasets", 0, "tier"), 5),
        (("datasets", 0, "nam"), "x"),
        (("datasets", 0, "owners"), "x"),
        (("datasets", 0, "columns", 0, "type"), 3),
        (("datasets", 0, "columns", 0, "nullable"), "yes"),
        (("datasets", 0, "columns", 0, "aliases"), "b"),
        (("feature_views", 0, "ttl"), "1 day"),
        (("feature_views", 0, "ttl"), "P1M"),
        (("feature_views", 0, "features", 0, "definition"), {"sq": "x"}),
        (("jobs", 0, "inputs", 0, "by"), "place"),
        (("jobs", 0, "inputs", 0), {"default": 0}),
        (("consumers", 0, "type"), "servise"),
        (("deployments", 0, "request"), {"schema": {}}),
        (("deployments", 0, "openapi"), {"file": "x"}),
        (("sources", 0, "format"), "csv"),
        (("sources", 0), {"format": "sql"}),
    ],
    ids=str,
)
def test_it_marks_what_the_service_refuses(path: tuple[str | int, ...], wrong: object) -> None:
    document: Any = copy.deepcopy(yaml.safe_load(WHOLE))
    holder = document
    for step in path[:-1]:
        holder = holder[step]
    holder[path[-1]] = wrong
    assert list(VALIDATOR.iter_errors(document))
    with pytest.raises(InvalidManifest):
        read_manifest(document)
