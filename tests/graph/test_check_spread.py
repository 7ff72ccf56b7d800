"""What a change means to each asset it reaches, as a set of (verdict, when), along every kind of flow.

The warehouse's manifest is the repository; the others are told by others:

T(a, b, c) → clean → E(x ← a, y ← b)          E#x → report (fields), E → export (takes all of E)
T#a → V:f → scores ← checkout, app            V:f → run → m#1 → batch ← nightly
m#1, m#2; alias champion → 1; served by champ ← shop
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from graph.changes import FlowStatement, Registration
from graph.check.judge import Check, judge
from graph.check.verdicts import Verdict
from graph.impact import When
from graph.importers.project import Document, DocumentFormat, Place, Project, read_project
from graph.model import Basis, Flow, Json
from tests.graph.world import World, flow, k
from tests.saying import asset

RUN = "run:ml/train#00000000-0000-4000-8000-000000000001"
BREAKS, DIFFERS, NEW, UNKNOWN = ("BREAKING", "NOW"), ("BEHAVIOURAL", "NOW"), ("ADDITIVE", "NOW"), ("UNKNOWN", "NOW")
LATER = ("BEHAVIOURAL", "NEXT_TRAINING")

Edit = Callable[[dict[str, Any]], object]


def manifest(edit: Edit = lambda _: None) -> dict[str, Any]:
    document: dict[str, Any] = {
        "version": 1,
        "namespace": "d",
        "datasets": [
            {"name": "T", "columns": [{"name": name, "type": "int"} for name in "abc"]},
            {"name": "E", "columns": [{"name": name, "type": "int"} for name in "xy"]},
        ],
        "models": [{"name": "m", "aliases": {"champion": "1"}}],
        "model_versions": [
            {"model": "m", "version": "1", "signature": signature("amount")},
            {"model": "m", "version": "2", "signature": signature("amount", "country")},
            {"model": "m", "version": "3", "signature": signature("amount")},
        ],
    }
    edit(document)
    return document


READERS: dict[str, Any] = {
    "version": 1,
    "origin": "manifest:readers",
    "namespace": "d",
    "jobs": [
        {
            "name": "clean",
            "inputs": ["dataset:d/T"],
            "outputs": ["dataset:d/E"],
            "column_lineage": [
                {"source": "column:d/T#a", "target": "column:d/E#x"},
                {"source": "column:d/T#b", "target": "column:d/E#y"},
            ],
        }
    ],
    "feature_views": [
        {
            "name": "V",
            "entities": ["id"],
            "features": [{"name": "f", "type": "int", "derived_from": "column:d/T#a"}],
        }
    ],
}


def signature(*inputs: str) -> Json:
    return {
        "inputs": [{"name": name, "type": "double"} for name in inputs],
        "outputs": [{"name": "score", "type": "double"}],
    }


def project(document: dict[str, Any] | None) -> Project:
    return read_project([Document("headwater.yaml", DocumentFormat.MANIFEST, document)] if document else [])


def reads(source: str, target: str, **said: Json) -> FlowStatement:
    return FlowStatement(Flow(k(source), k(target)), said)


def tell(world: World, *statements: FlowStatement, basis: Basis = Basis.DECLARED, origin: str = "api:others") -> None:
    """Others say these flows, and that their readers are there."""
    there = tuple(asset(str(each.flow.target)) for each in statements)
    world.commit(Registration(origin, basis, assets=there, flows=statements, stubs=True))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    for document in (manifest(), READERS):
        world.commit(project(document).registrations[0])
    tell(
        world,
        reads("column:d/E#x", "consumer:bi/report"),
        reads("dataset:d/E", "consumer:bi/export"),
        reads("feature:d/V#f", "deployment:ml/scores"),
        reads("deployment:ml/scores", "consumer:shop/checkout"),
        reads("feature:d/V#f", RUN),
        reads("model_version:d/m#%40champion", "deployment:ml/champ"),
        reads("deployment:ml/champ", "consumer:shop/shop"),
    )
    world.register(
        k("model_version:ml/old#1"),
        flow(RUN, "model_version:ml/old#1"),
        asset("deployment:ml/batch", features_from="request"),
        flow("model_version:ml/old#1", "deployment:ml/batch"),
        k("consumer:shop/nightly"),
        flow("deployment:ml/batch", "consumer:shop/nightly"),
        origin="api:training",
    )
    yield world
    world.close()


def check(world: World, edit: Edit) -> Check:
    return judge(world.index.view(), world.moment(), project(manifest()), project(manifest(edit)), world.store.believed)


def results(world: World, edit: Edit) -> dict[str, set[tuple[str, str]]]:
    """By the name of the asset."""
    found = check(world, edit).results()
    return {
        str(key).partition("/")[2]: {(verdict.value, when.name) for verdict, when in each}
        for key, each in found.items()
    }


def dropped(column: int) -> Edit:
    return lambda document: document["datasets"][0]["columns"].pop(column)


def retyped(to: str) -> Edit:
    return lambda document: document["datasets"][0]["columns"][0].update(type=to)


BELOW_A = {
    "clean": {BREAKS},
    "E": {BREAKS},
    "E#x": {BREAKS},
    "E#y": {BREAKS},  # a job that fails writes nothing
    "report": {BREAKS},
    "export": {BREAKS},
    "V": {BREAKS},
    "V#f": {BREAKS},
    "scores": {BREAKS},
    "checkout": {BREAKS},
    f"train#{RUN.partition('#')[2]}": {("BREAKING", "NEXT_TRAINING")},
    "old#1": {LATER},
    "batch": {LATER},
    "nightly": {LATER},
}


def test_what_breaks_passes_on_over_what_is_live_and_what_was_trained_on_it_goes_stale(world: World) -> None:
    found = results(world, dropped(0))
    assert {name: found.get(name) for name in BELOW_A if name != "V"} == {
        name: each for name, each in BELOW_A.items() if name != "V"
    }
    assert "shop" not in found


@pytest.mark.parametrize(
    ("edit", "said", "softened"),
    [
        (dropped(0), {"default": 0}, True),
        (dropped(0), {"optional": True}, True),
        (dropped(0), {"cast": "int"}, False),
        (retyped("text"), {"cast": "int"}, True),
        (retyped("text"), {"default": 0}, False),
        (lambda document: document["datasets"][0]["columns"][0].update(name="a2"), {"alias": "a2"}, True),
        (lambda document: document["datasets"][0]["columns"][0].update(name="a2"), {"alias": "a3"}, False),
    ],
)
def test_a_default_a_cast_or_an_alias_turns_breaking_into_behavioural(
    world: World, edit: Edit, said: dict[str, Json], softened: bool
) -> None:
    tell(world, reads("column:d/T#a", "consumer:bi/careful", **said))
    found = results(world, edit)
    assert found["careful"] == ({DIFFERS} if softened else {BREAKS})
    assert found["checkout"] == {BREAKS}


def test_a_default_holds_below_something_that_breaks_too(world: World) -> None:
    tell(
        world,
        reads("deployment:ml/scores", "deployment:ml/router", default=0.5),
        reads("deployment:ml/router", "consumer:shop/app"),
    )
    found = results(world, dropped(0))
    assert (found["router"], found["app"], found["checkout"]) == ({DIFFERS}, {DIFFERS}, {BREAKS})


def test_one_asset_may_break_now_and_change_at_the_next_training(world: World) -> None:
    tell(world, reads("deployment:ml/batch", "consumer:shop/checkout"))
    assert results(world, dropped(0))["checkout"] == {BREAKS, LATER}


def test_readers_who_say_which_fields_they_use_miss_no_others(world: World) -> None:
    tell(
        world,
        reads("dataset:d/T", "consumer:bi/uses-b", fields=["b"]),
        reads("dataset:d/T", "consumer:bi/uses-a", fields=["a", "b"]),
    )
    found = results(world, dropped(0))
    assert ("uses-b" in found, found["uses-a"]) == (False, {BREAKS})


def test_what_is_new_reaches_those_alone_that_take_all_of_the_container(world: World) -> None:
    def add(document: dict[str, Any]) -> None:
        document["datasets"][1]["columns"].append({"name": "z", "type": "int"})

    assert results(world, add) == {"export": {NEW}}
    tell(world, reads("dataset:d/E", "consumer:bi/guessed"), basis=Basis.INFERRED, origin="sql:d")
    assert results(world, add) == {"export": {NEW}, "guessed": {UNKNOWN}}


def test_a_wider_type_is_additive_to_its_readers_and_stops_there(world: World) -> None:
    assert results(world, retyped("bigint")) == {name: {NEW} for name in ("clean", "E#x", "V#f")}


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (lambda columns: columns.reverse(), {DIFFERS}),
        (lambda columns: columns.insert(0, {"name": "n", "type": "text"}), {BREAKS, NEW}),
        (lambda columns: columns.append({"name": "n", "type": "text"}), {NEW}),
        (lambda columns: columns[0].update(name="x2"), None),
    ],
)
def test_an_order_matters_to_those_alone_who_read_by_position(
    world: World, edit: Callable[[list[Any]], object], expected: set[tuple[str, str]] | None
) -> None:
    tell(world, reads("dataset:d/E", "consumer:bi/loader", by="position"))
    found = results(world, lambda document: edit(document["datasets"][1]["columns"]))
    assert found.get("loader") == expected
    assert found.get("report") in (None, {BREAKS})


def moved(to: str) -> Edit:
    return lambda document: document["models"][0].update(aliases={"champion": to})


def test_another_version_of_the_same_signature_gives_other_answers(world: World) -> None:
    assert results(world, moved("3")) == {"champ": {DIFFERS}, "shop": {DIFFERS}}


def test_a_version_that_wants_more_of_each_request_breaks_the_deployment_and_its_callers(world: World) -> None:
    tell(world, reads("deployment:ml/champ", "consumer:shop/careful", default=0))
    both = {BREAKS, DIFFERS}
    assert results(world, moved("2")) == {"champ": both, "shop": both, "careful": {DIFFERS}}


def test_an_old_name_that_still_answers_keeps_its_readers(world: World) -> None:
    def rename(document: dict[str, Any]) -> None:
        document["datasets"][1]["columns"][0].update(name="ex", aliases=["x"])

    found = check(world, rename)
    assert [(str(each.asset), each.alteration.value, each.verdict) for each in found.findings] == [
        ("column:d/E#x", "RENAMED", Verdict.ADDITIVE)
    ]
    assert results(world, rename) == {"export": {NEW}}


def test_the_headline_is_the_worst_then_the_soonest(world: World) -> None:
    tell(world, reads("deployment:ml/batch", "consumer:shop/checkout"))
    (checkout,) = [each for each in check(world, dropped(0)).concerns() if each.worst.asset.name == "checkout"]
    assert (checkout.worst.verdict, checkout.worst.when) == (Verdict.BREAKING, When.NOW)


def test_a_finding_stands_where_the_file_differs_that_says_it(world: World) -> None:
    def version(factor: int) -> Project:
        feature = {"name": "f", "type": "int", "definition": {"file": "features.py", "function": "f"}}
        view: dict[str, Any] = {"name": "V", "entities": ["id"], "features": [feature]}
        document: Json = {
            "version": 1,
            "origin": "manifest:readers",
            "namespace": "d",
            "feature_views": [view],
        }
        text = f"FACTOR = {factor}\n\n\ndef f(a):\n    return a * FACTOR\n"
        return read_project(
            [
                Document("risk/headwater.yaml", DocumentFormat.MANIFEST, document),
                Document("risk/features.py", DocumentFormat.FILE, text),
            ]
        )

    (finding,) = judge(world.index.view(), world.moment(), version(1), version(2), world.store.believed).findings
    assert (finding.verdict, finding.place) == (Verdict.BEHAVIOURAL, Place("risk/features.py", "", 1))
