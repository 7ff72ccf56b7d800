"""headwater.yaml, as people write it and get it wrong."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from graph.errors import InvalidManifest
from graph.importers.manifest import read_manifest
from graph.importers.manifest_format import manifest_schema
from graph.importers.project import Document, DocumentFormat, read_project
from graph.importers.references import Files
from tests.graph.world import World, flow, k

ROOT = Path(__file__).parents[2]

CELLAR = """
version: 1
namespace: cellar
datasets:
  - name: lab.assays
    namespace: warehouse
    owners: [laboratory, {name: quality, contact: "#quality"}]
    columns:
      - {name: hue, type: double, nullable: false, tags: [b, a, b]}
      - {name: phenols, type: double}
      - {path: [device, "serial.no"], type: text}
  - {name: copy, derived_from: [lab.assays, "lab.assays#device.serial%2Eno"]}
feature_views:
  - name: chemistry
    entities: [bottle]
    source: lab.assays
    features:
      - {name: hue, type: double, definition: hue, derived_from: lab.assays#hue}
      - {name: tint, derived_from: ["chemistry:hue", "warehouse/lab.assays#phenols"]}
jobs:
  - name: distil
    inputs: [lab.assays]
    outputs: [copy]
    column_lineage: [{source: lab.assays#hue, target: copy}]
models:
  - {name: cultivar, tier: 1, aliases: {champion: "2"}}
model_versions:
  - model: cultivar
    version: "2"
    signature: {inputs: [{name: hue, type: double, feature: "chemistry:hue"}]}
    metrics: {accuracy: 0.9}
deployments:
  - {name: api, serves: cultivar@champion, reads: [chemistry], logs_to: [copy], features_from: request}
  - {name: card, calls: [api], serves: "cultivar#2"}
consumers:
  - {name: shop, type: application, uses: [card, "dataset:elsewhere/stock"]}
"""


def read(text: str) -> Any:
    return yaml.safe_load(text)


def problems(text: str) -> list[str]:
    with pytest.raises(InvalidManifest) as refused:
        read_manifest(read(text))
    return list(refused.value.problems)


def test_names_stand_for_what_the_document_declares_and_keys_for_what_others_do() -> None:
    registration = read_manifest(read(CELLAR)).registration
    assert (registration.origin, registration.complete) == ("manifest:cellar", True)
    assays, hue, phenols = (f"{kind}:warehouse/lab.assays{part}" for kind, part in (("dataset", ""), ("column", "#hue"), ("column", "#phenols")))  # fmt: skip
    view, feature, champion = "feature_view:cellar/chemistry", "feature:cellar/chemistry#hue", "model_version:cellar/cultivar#%40champion"  # fmt: skip
    copy, job, api, card = "dataset:cellar/copy", "job:cellar/distil", "deployment:cellar/api", "deployment:cellar/card"
    assert {each.flow for each in registration.flows} == {
        flow(assays, copy),
        flow("column:warehouse/lab.assays#device.serial%2Eno", copy),
        flow(assays, view),
        flow(hue, feature),
        flow(feature, "feature:cellar/chemistry#tint"),
        flow(phenols, "feature:cellar/chemistry#tint"),
        flow(assays, job),
        flow(job, copy),
        flow(hue, copy, job),
        flow(champion, api),
        flow(view, api),
        flow(api, copy),
        flow(api, card),
        flow("model_version:cellar/cultivar#2", card),
        flow(card, "consumer:cellar/shop"),
        flow("dataset:elsewhere/stock", "consumer:cellar/shop"),
    }
    said = {str(each.key): each.attributes for each in registration.assets}
    assert said[hue] == {"nullable": False, "tags": ["a", "b"], "type": "double"}
    assert said[assays]["owners"] == [{"name": "laboratory"}, {"name": "quality", "contact": "#quality"}]
    assert said[champion] == {"version": "2"}
    assert said["consumer:cellar/shop"] == {"consumer_type": "application"}
    assert said["model_version:cellar/cultivar#2"]["signature"] == {
        "inputs": [{"name": "hue", "type": "double", "feature": feature}],
        "outputs": [],
    }


def test_applying_it_again_changes_nothing(world: World) -> None:
    world.register(k("dataset:elsewhere/stock"), origin="stock")
    assert world.commit(read_manifest(read(CELLAR)).registration).changed
    assert not world.commit(read_manifest(read(CELLAR)).registration).changed


def test_every_mistake_is_named_at_once_with_its_place_and_what_would_be_right() -> None:
    assert problems(
        """
        version: 2
        namespace: n
        datasets:
          - name: t
            colums: []
            columns: [{name: a, type: 3}, {name: a}, {name: b, path: [c]}, {nullable: yes, type: on, name: "no"}]
            tier: 5
          - {name: 5, owners: {name: x}}
        consumers: [{name: c, type: servise, uses: [dataset:n/t, t#aa, nope, "feature:n/v#f", "column:n/t#aa"]}]
        deployments: [{name: d, serves: "feature:n/v#f", tags: [1]}]
        """
    ) == [
        "version: 2 is not 1",
        "datasets[0].colums: unknown field; did you mean columns?",
        "datasets[0].tier: 5 is not a whole number from 1 to 4",
        'datasets[0].columns[0].type: 3 is not text; write it in quotes, "3"',
        "datasets[0].columns[3].type: true is not text; if a word was meant, write it in quotes",
        'datasets[1].name: 5 is not text; write it in quotes, "5"',
        "datasets[1].owners: a mapping is not a list",
        'deployments[0].tags[0]: 1 is not text; write it in quotes, "1"',
        "consumers[0].type: 'servise' is none of service, application, dashboard, notebook, batch_job; did you mean service?",
        "datasets[0].columns[1]: column:n/t#a is declared twice; first at datasets[0].columns[0]",
        "datasets[0].columns[2]: give a column its name, or its path if it is nested; one of both",
        "deployments[0].serves[0]: feature:n/v#f is a feature, where a model_version or model is needed",
        "consumers[0].uses[1]: this document declares dataset:n/t, but not its column 'aa'; did you mean a?",
        "consumers[0].uses[2]: 'nope' is nothing that this document declares. What others declare is named by its key,"
        " kind:namespace/name#part",
        "consumers[0].uses[4]: this document declares dataset:n/t, but not its column 'aa'; did you mean a?",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[]", "the document: a list is not a mapping of fields"),
        ("{version: 1}", "origin: missing; name who speaks"),
        ("{version: 1, origin: m, datasets: [{name: t}]}", "datasets[0].namespace: missing"),
        ("{namespace: n}", "version: missing"),
        ("{version: 1, namespace: n, datasets: [{name: ' t'}]}", "datasets[0]: ' t' begins or ends with space"),
        (
            "{version: 1, namespace: n, models: [{name: m, aliases: {a: '@b'}}]}",
            "models[0].aliases.a: '@b' is an alias; an alias names a version",
        ),
        (
            "{version: 1, namespace: n, models: [{name: m, aliases: {a: 2}}]}",
            'models[0].aliases.a: 2 is not text; write it in quotes, "2"',
        ),
        (
            "{version: 1, namespace: n, datasets: [{name: t}], feature_views: [{name: t}], consumers: [{name: c, uses: t}]}",
            "consumers[0].uses[0]: 't' may be dataset:n/t or feature_view:n/t; write the key",
        ),
        (
            "{version: 1, namespace: n, datasets: [{name: t, attributes: {x: .nan}}]}",
            "datasets[0].attributes.x: nan is no number that JSON can hold",
        ),
        (
            "{version: 1, namespace: n, datasets: [{name: t, derived_from: 'dataset:n/t'}]}",
            "datasets[0].derived_from[0]: dataset:n/t cannot flow into itself",
        ),
    ],
)
def test_a_mistake_is_named(text: str, problem: str) -> None:
    (found,) = problems(text)
    assert found.startswith(problem)


def test_the_schema_for_editors_is_current() -> None:
    """Renew it: .venv/bin/python -m app schema --manifest > clients/python/headwater/manifest.schema.json"""
    file = ROOT / "clients" / "python" / "headwater" / "manifest.schema.json"
    assert json.loads(file.read_text()) == manifest_schema()


READERS = """
version: 1
namespace: n
datasets:
  - name: t
    columns:
      - {name: amount, type: "decimal(10,2)", default: 0, unit: EUR, nullable: false, aliases: [total]}
      - {path: [device, serial], aliases: [number]}
feature_views:
  - name: v
    source: {asset: t, by: name}
    ttl: P1DT30M
    online: true
    features:
      - {name: f, unit: EUR, default: 0, aliases: [old_f], derived_from: {asset: t#amount, cast: double}}
      - {name: g, definition: {sql: select 1, dialect: duckdb}}
jobs:
  - {name: j, definition: {file: "../sql/clean.sql", dialect: duckdb}}
models: [{name: m}]
model_versions:
  - {model: m, version: "1", signature: {inputs: [{name: x, optional: true, default: 0, unit: EUR}]}}
deployments:
  - {name: d, request: {json_schema: {type: object}}, reads: [{asset: "v:f", default: 0, alias: old_f}, "v:g"]}
consumers:
  - {name: c, uses: {asset: d, fields: [score], optional: true}}
"""


def test_what_readers_say_of_what_they_read_is_kept_with_the_flow(world: World) -> None:
    read_ = read_manifest(read(READERS), Files({"sql/clean.sql": "select 2"}, "data"))
    world.commit(read_.registration)
    said = {str(subject): spans[0].attributes for subject, spans in world.store.believed_by("manifest:n").items()}
    assert said["dataset:n/t -> feature_view:n/v"] == {"by": "name"}
    assert said["column:n/t#amount -> feature:n/v#f"] == {"cast": "double"}
    assert said["feature:n/v#f -> deployment:n/d"] == {"alias": "old_f", "default": 0}
    assert said["feature:n/v#g -> deployment:n/d"] == {}
    assert said["deployment:n/d -> consumer:n/c"] == {"fields": ["score"], "optional": True}
    assert said["feature_view:n/v"] == {"online": True, "ttl": 88_200}
    assert said["feature:n/v#g"] == {"definition": {"dialect": "duckdb", "sql": "select 1"}}
    assert said["job:n/j"] == {"definition": {"dialect": "duckdb", "sql": "select 2"}}
    assert said["deployment:n/d"] == {"request": {"json_schema": {"type": "object"}}}
    tensor = {"name": "x", "optional": True, "default": 0, "unit": "EUR"}
    assert said["model_version:n/m#1"] == {"signature": {"inputs": [tensor], "outputs": []}}
    assert read_.places[flow("deployment:n/d", "consumer:n/c")] == "consumers[0].uses[0]"


def test_an_old_name_is_a_part_that_the_new_one_flows_into() -> None:
    registration = read_manifest(read(READERS), Files({"sql/clean.sql": "select 2"}, "data")).registration
    said = {str(each.key): each.attributes for each in registration.assets}
    amount = {"type": "decimal(10,2)", "default": 0, "unit": "EUR", "nullable": False}
    assert said["column:n/t#total"] == amount | {"alias_of": "amount"}
    assert said["column:n/t#device.number"] == {"alias_of": "serial"}
    assert said["feature:n/v#old_f"] == {"alias_of": "f", "default": 0, "unit": "EUR"}
    flows = {each.flow for each in registration.flows}
    assert {flow("column:n/t#amount", "column:n/t#total"), flow("feature:n/v#f", "feature:n/v#old_f")} <= flows


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        (
            "consumers: [{name: c, uses: {asset: x, default: null}}]",
            "consumers[0].uses.default: null is no default; to say that it runs without, write optional: true",
        ),
        (
            "consumers: [{name: c, uses: [{asset: x, by: nme}]}]",
            "consumers[0].uses[0].by: 'nme' is none of name, position",
        ),
        (
            "feature_views: [{name: v, ttl: 1 day}]",
            "feature_views[0].ttl: '1 day' is no duration; write seconds, or P1D",
        ),
        ("feature_views: [{name: v, ttl: P1M}]", "feature_views[0].ttl: 'P1M' is no duration"),
        ("jobs: [{name: j, definition: 3}]", "jobs[0].definition: 3 is neither text nor a mapping of fields"),
        ("jobs: [{name: j, definition: {}}]", "jobs[0].definition: give it as one of file, sql, python"),
        (
            "jobs: [{name: j, definition: {sql: x, file: y}}]",
            "jobs[0].definition: give it as one of file, sql, python, not as several",
        ),
        ("jobs: [{name: j, definition: {sql: x, function: f}}]", "jobs[0].definition: function does not go with sql"),
        (
            "jobs: [{name: j, definition: {file: claen.sql}}]",
            "jobs[0].definition: there is no file 'data/claen.sql' in the repository; did you mean clean.sql?",
        ),
        (
            "jobs: [{name: j, definition: {file: ../../clean.sql}}]",
            "jobs[0].definition: '../../clean.sql' is outside of the repository; paths are relative to this file",
        ),
        ("sources: [{format: dbt}]", "sources[0].files: missing; their paths from this file"),
        (
            "sources: [{format: sqk, files: x}]",
            "sources[0].format: 'sqk' is none of sql, dbt, feast; did you mean sql?",
        ),
        (
            "datasets: [{name: t, columns: [{name: a, aliases: [b]}, {name: b}]}]",
            "datasets[0].columns[1]: column:n/t#b is declared twice; first at datasets[0].columns[0].aliases[0]",
        ),
        (
            "datasets: [{name: t}]\nconsumers: [{name: c, uses: [t, {asset: t, optional: true}]}]",
            "consumers[0].uses[1]: dataset:n/t -> consumer:n/c is said twice, and differently; first at consumers[0].uses[0]",
        ),
    ],
)
def test_a_mistake_in_what_goes_beyond_names_is_told(fields: str, problem: str) -> None:
    with pytest.raises(InvalidManifest) as refused:
        read_manifest(read(f"version: 1\nnamespace: n\n{fields}"), Files({"data/clean.sql": ""}, "data"))
    assert next(line for line in refused.value.problems if "'x' is nothing" not in line).startswith(problem)


def test_a_repository_is_what_its_documents_say_together() -> None:
    def document(path: str, content: str) -> Document:
        return Document(path, DocumentFormat.MANIFEST, read(f"version: 1\nnamespace: n\n{content}"))

    project = read_project([
        document("a/headwater.yaml", "datasets: [{name: t}]"),
        document("b.headwater.yaml", "consumers: [{name: c, uses: 'dataset:n/t'}]"),
        document("other/headwater.yaml", "origin: another\ndatasets: [{name: t}]"),
    ])  # fmt: skip
    assert [(each.origin, len(each.assets), len(each.flows)) for each in project.registrations] == [
        ("another", 1, 0),
        ("another:inferred", 0, 0),
        ("manifest:n", 2, 1),
        ("manifest:n:inferred", 0, 0),
    ]
    assert project.places[k("dataset:n/t")] == ("a/headwater.yaml", "datasets[0]", None)
    with pytest.raises(InvalidManifest) as refused:
        read_project([
            document("a/headwater.yaml", "datasets: [{name: t}]"),
            document("b.headwater.yaml", "datasets: [{name: s}, {name: t}]"),
        ])  # fmt: skip
    assert refused.value.problems == (
        "b.headwater.yaml: datasets[1]: dataset:n/t is declared twice under one origin; first in a/headwater.yaml, datasets[0]",
    )
