"""The judge, on one small lineage that two teams and the gateway told of.

T(a, b, c) → V(f ← a, g ← b) → scores ← checkout        the data team's manifest ends with V
                             f → training → m#1 → batch-scores (requests carry f) ← nightly
T → board (reads all of T)
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from graph.changes import Registration, Withdrawal
from graph.check.deciding import decided
from graph.check.judge import Check, Finding, judge
from graph.check.verdicts import Alteration, Outcome, Verdict
from graph.errors import InvalidInput
from graph.impact import When
from graph.importers.manifest import read_manifest
from graph.importers.project import Project
from graph.keys import AssetKind
from graph.model import Basis, Json
from tests.graph.world import World, flow, k
from tests.saying import asset

Document = dict[str, Any]

T, A, B, C = "dataset:d/T", "column:d/T#a", "column:d/T#b", "column:d/T#c"
V, F, G = "feature_view:d/V", "feature:d/V#f", "feature:d/V#g"
TRAIN, RUN = "job:ml/train", "run:ml/train#00000000-0000-4000-8000-000000000001"
M1 = "model_version:ml/m#1"
SCORES, BATCH = "deployment:ml/scores", "deployment:ml/batch-scores"
CHECKOUT, NIGHTLY, BOARD = "consumer:shop/checkout", "consumer:shop/nightly", "consumer:bi/board"


def manifest(**changed: Json) -> Document:
    return {
        "version": 1,
        "namespace": "d",
        "datasets": [{"name": "T", "columns": columns("a", "b", "c")}],
        "feature_views": [
            {
                "name": "V",
                "entities": ["customer"],
                "features": [
                    {"name": "f", "type": "double", "definition": "a", "derived_from": "T#a"},
                    {"name": "g", "type": "double", "definition": "b", "derived_from": "T#b"},
                ],
            }
        ],
        **changed,
    }


def columns(*names: str) -> list[Json]:
    return [{"name": name, "type": "double", "nullable": False, "description": name} for name in names]


def edited(edit: Callable[[Document], object]) -> Document:
    document = manifest()
    edit(document)
    return document


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    world.commit(read_manifest(manifest()).registration)
    world.register(
        *map(k, (TRAIN, RUN, "model:ml/m", M1)),
        asset(SCORES, tier=1),
        asset(BATCH, features_from="request"),
        asset(CHECKOUT, owners=[{"name": "shop"}]),
        *map(k, (NIGHTLY, BOARD)),
        flow(F, SCORES),
        flow(G, SCORES),
        flow(F, RUN),
        flow(RUN, M1),
        flow(M1, BATCH),
        flow(SCORES, CHECKOUT),
        flow(BATCH, NIGHTLY),
        flow(T, BOARD),
        origin="api:ml",
        basis=Basis.DECLARED,
    )
    yield world
    world.close()


def check(world: World, base: Document | None, head: Document | None) -> Check:
    was, will = (None if document is None else read_manifest(document).registration for document in (base, head))
    return judged(world, was, will)


def judged(world: World, base: Registration | None, head: Registration | None) -> Check:
    before, after = (Project((each,) if each else ()) for each in (base, head))
    return judge(world.index.view(), world.moment(), before, after, world.store.believed)


def outcome(check: Check, unidentified: bool) -> Outcome:
    """Without a policy, of affected that nobody says anything about. `unidentified`: callers that could not be told call everything."""
    return decided(check, (), {}, (), unidentified and bool(check.watched())).outcome


def found(check: Check) -> dict[str, tuple[Alteration, Verdict]]:
    return {str(each.asset): (each.alteration, each.verdict) for each in check.findings}


def told(finding: Finding) -> dict[str, When]:
    """The deployments and consumers affected, and when they feel it."""
    return {str(each.asset): each.when for each in finding.affected((AssetKind.DEPLOYMENT, AssetKind.CONSUMER))}


def the_one(check: Check) -> Finding:
    (finding,) = check.findings
    return finding


EVERYBODY = {
    SCORES: When.NOW,
    CHECKOUT: When.NOW,
    BOARD: When.NOW,
    BATCH: When.NEXT_TRAINING,
    NIGHTLY: When.NEXT_TRAINING,
}
"""Whom a loses."""


def test_what_does_not_change_is_no_finding(world: World) -> None:
    described = edited(lambda document: document["datasets"][0].update(description="orders", owners=["sales"]))
    assert check(world, manifest(), described).findings == ()
    assert outcome(check(world, manifest(), described), unidentified=True) is Outcome.CLEAN


def test_a_removed_column_breaks_who_reads_it_and_who_reads_all_of_its_table_never_its_siblings_readers(
    world: World,
) -> None:
    def remove_c(document: Document) -> None:
        del document["datasets"][0]["columns"][2]

    checked = check(world, manifest(), edited(remove_c))
    assert found(checked) == {C: (Alteration.REMOVED, Verdict.BREAKING)}
    assert told(the_one(checked)) == {BOARD: When.NOW}
    assert outcome(checked, unidentified=False) is Outcome.BLOCKED


def test_a_feature_whose_type_changes_breaks_now_what_reads_it_and_later_what_is_trained_on_it(world: World) -> None:
    def retype(document: Document) -> None:
        document["feature_views"][0]["features"][0]["type"] = "text"

    finding = the_one(check(world, manifest(), edited(retype)))
    assert (finding.alteration, finding.verdict) == (Alteration.RETYPED, Verdict.BREAKING)
    assert [each[:3] for each in finding.differences] == [("type", "double", "text")]
    assert told(finding) == {each: when for each, when in EVERYBODY.items() if each != BOARD}
    assert [str(step) for step in finding.steps(k(CHECKOUT))] == [F, SCORES, CHECKOUT]
    assert {str(each) for each in finding.steps(k(NIGHTLY))} >= {RUN, M1, BATCH}


@pytest.mark.parametrize(
    ("before", "after", "alteration"),
    [
        ({"nullable": False}, {"nullable": True}, Alteration.REDEFINED),
        ({"nullable": True}, {"nullable": False}, Alteration.REDEFINED),
        ({}, {"nullable": True}, None),
        ({"type": "int"}, {}, None),
        ({}, {"type": "int"}, None),
        ({"type": "int"}, {"type": "bigint"}, Alteration.RETYPED),
        ({"derived_from": []}, {"derived_from": ["dataset:other/U"]}, Alteration.REDEFINED),
        ({"description": "x"}, {"description": "y", "tier": 1, "tags": ["pii"]}, None),
    ],
)
def test_what_of_a_column_counts_as_a_change(
    world: World, before: Document, after: Document, alteration: Alteration | None
) -> None:
    def with_column(said: Document) -> Document:
        column = {"name": "a", **said}
        return {"version": 1, "namespace": "d", "datasets": [{"name": "T", "columns": [column]}]}

    checked = check(world, with_column(before), with_column(after))
    assert [each.alteration for each in checked.findings] == ([alteration] if alteration else [])


def test_a_feature_that_goes_does_not_take_the_readers_of_its_siblings_along(world: World) -> None:
    def remove_g(document: Document) -> None:
        del document["feature_views"][0]["features"][1]

    finding = the_one(check(world, manifest(), edited(remove_g)))
    assert told(finding) == {SCORES: When.NOW, CHECKOUT: When.NOW}


def test_another_definition_or_another_source_changes_answers_and_breaks_nobody(world: World) -> None:
    def redefine(document: Document) -> None:
        document["feature_views"][0]["features"][0].update(definition="a + c", derived_from=["T#a", "T#c"])

    checked = check(world, manifest(), edited(redefine))
    finding = the_one(checked)
    assert (finding.alteration, finding.verdict) == (Alteration.REDEFINED, Verdict.BEHAVIOURAL)
    assert [each.attribute for each in finding.differences] == ["definition", "flows"]
    assert finding.differences[1].after == [A, C]
    assert told(finding)[CHECKOUT] is When.NOW
    assert outcome(checked, unidentified=False) is Outcome.NEEDS_ACKNOWLEDGEMENT


def test_a_renamed_column_is_recognised_and_breaks_its_readers(world: World) -> None:
    def rename(document: Document) -> None:
        document["datasets"][0]["columns"][2].update(name="see", description="the same, with another name")

    finding = the_one(check(world, manifest(), edited(rename)))
    assert (str(finding.asset), finding.alteration, finding.verdict) == (C, Alteration.RENAMED, Verdict.BREAKING)
    assert str(finding.renamed_to) == "column:d/T#see"
    assert told(finding) == {BOARD: When.NOW}


def test_two_columns_that_could_both_be_the_new_name_are_no_rename(world: World) -> None:
    def replace(document: Document) -> None:
        document["datasets"][0]["columns"][2:] = columns("see", "sea")

    checked = check(world, manifest(), edited(replace))
    assert [each.alteration for each in checked.findings] == [Alteration.REMOVED, Alteration.ADDED, Alteration.ADDED]


@pytest.mark.parametrize(("name", "is_the_same"), [("a2", True), ("gross", False)])
def test_a_reader_that_moves_in_the_same_change_does_not_break(world: World, name: str, is_the_same: bool) -> None:
    def move(document: Document) -> None:
        document["datasets"][0]["columns"][0]["name"] = name
        if not is_the_same:
            document["datasets"][0]["columns"].append(document["datasets"][0]["columns"].pop(0))
        document["feature_views"][0]["features"][0].update(derived_from=f"T#{name}", definition=name)

    checked = check(world, manifest(), edited(move))
    renamed, *redefined = checked.findings
    assert (renamed.alteration, told(renamed)) == (Alteration.RENAMED, {BOARD: When.NOW})
    worst = {str(each.worst.asset): each.worst.verdict for each in checked.concerns()}
    others = {} if is_the_same else {each: Verdict.BEHAVIOURAL for each in EVERYBODY if each != BOARD}
    assert worst == {BOARD: Verdict.BREAKING, **others}
    assert [str(each.asset) for each in redefined] == ([] if is_the_same else [F])


def test_a_reader_that_others_have_seen_reading_has_not_moved(world: World) -> None:
    world.register(flow(A, F), origin="openlineage:airflow")

    def move(document: Document) -> None:
        document["datasets"][0]["columns"][0]["name"] = "a2"
        document["feature_views"][0]["features"][0]["derived_from"] = "T#a2"

    renamed = check(world, manifest(), edited(move)).findings[0]
    assert told(renamed) == EVERYBODY


def test_removing_the_readers_with_it_does_not_hide_who_reads_those(world: World) -> None:
    def remove(document: Document) -> None:
        del document["datasets"][0]["columns"][0]
        del document["feature_views"][0]["features"][0]

    checked = check(world, manifest(), edited(remove))
    by_asset = {str(each.asset): told(each) for each in checked.findings}
    assert by_asset[A] == {BOARD: When.NOW}
    assert by_asset[F] == {each: when for each, when in EVERYBODY.items() if each != BOARD}
    assert not any(str(each.asset) == F for finding in checked.findings for each in finding.affected())


def test_a_deleted_manifest_removes_all_that_it_declared_and_names_every_reader(world: World) -> None:
    checked = check(world, manifest(), None)
    assert found(checked) == {
        T: (Alteration.REMOVED, Verdict.BREAKING),
        V: (Alteration.REMOVED, Verdict.BREAKING),
    }
    assert {str(each.worst.asset) for each in checked.concerns()} == EVERYBODY.keys()


def test_a_job_that_goes_takes_its_writing_along_and_what_it_wrote_is_missed(world: World) -> None:
    job: Json = {"name": "copy", "inputs": ["T"], "outputs": ["E"]}
    table: Json = {"name": "E", "columns": columns("x")}
    before = edited(lambda document: (document.update(jobs=[job]), document["datasets"].append(table)))
    after = edited(lambda document: document["datasets"].append(table))
    world.commit(read_manifest(before).registration)
    world.register(k("consumer:bi/copies"), flow("column:d/E#x", "consumer:bi/copies"), origin="api:bi")

    finding = the_one(check(world, before, after))
    assert str(finding.asset) == "job:d/copy"
    assert told(finding) == {"consumer:bi/copies": When.NOW}


def test_a_job_that_derives_one_column_less_derives_the_others_as_before(world: World) -> None:
    def copying(*names: str) -> Document:
        lineage: list[Json] = [{"source": f"T#{name}", "target": f"E#{name}"} for name in names]
        job: Json = {"name": "copy", "inputs": ["T"], "outputs": ["E"], "column_lineage": lineage}
        return edited(
            lambda document: (
                document.update(jobs=[job]),
                document["datasets"].append({"name": "E", "columns": columns(*names)}),
            )
        )

    world.commit(read_manifest(copying("a", "b")).registration)
    world.register(k("consumer:bi/reads-b"), flow("column:d/E#b", "consumer:bi/reads-b"), origin="api:bi")
    checked = check(world, copying("a", "b"), copying("b"))
    assert found(checked) == {"column:d/E#a": (Alteration.REMOVED, Verdict.BREAKING)}
    assert told(the_one(checked)) == {}


def test_what_another_origin_still_asserts_may_not_be_gone(world: World) -> None:
    def remove_c(document: Document) -> None:
        del document["datasets"][0]["columns"][2]

    world.register(k(C), origin="openlineage:airflow", basis=Basis.OBSERVED)  # it was there, when that was seen
    assert the_one(check(world, manifest(), edited(remove_c))).verdict is Verdict.BREAKING
    world.register(k(C), origin="dbt:shop", basis=Basis.IMPORTED)
    checked = check(world, manifest(), edited(remove_c))
    finding = the_one(checked)
    assert finding.verdict is Verdict.UNKNOWN
    assert "dbt:shop" in finding.reason
    assert told(finding) == {BOARD: When.NOW}
    assert outcome(checked, unidentified=False) is Outcome.NEEDS_ACKNOWLEDGEMENT


def test_a_base_that_was_never_applied_is_unknown_never_safe(world: World) -> None:
    def unseen(*names: str) -> Document:
        return {"version": 1, "namespace": "d", "datasets": [{"name": "U", "columns": columns(*names)}]}

    checked = check(world, unseen("x", "y"), unseen("x"))
    finding = the_one(checked)
    assert (finding.alteration, finding.verdict, finding.known) == (Alteration.REMOVED, Verdict.UNKNOWN, False)
    assert outcome(checked, unidentified=False) is Outcome.NEEDS_ACKNOWLEDGEMENT


def test_a_base_that_was_never_applied_is_judged_by_what_others_say_of_the_asset(world: World) -> None:
    world.register(k("consumer:bi/uses-u"), flow("dataset:d/U", "consumer:bi/uses-u"), origin="api:bi")
    unseen: Document = {"version": 1, "namespace": "d", "datasets": [{"name": "U"}]}
    finding = the_one(check(world, unseen, None))
    assert (finding.verdict, told(finding)) == (Verdict.BREAKING, {"consumer:bi/uses-u": When.NOW})


def test_new_assets_are_additive_and_new_containers_stand_for_their_parts(world: World) -> None:
    added: Document = manifest(datasets=[*manifest()["datasets"], {"name": "N", "columns": columns("x", "y")}])
    added["datasets"][0]["columns"] += columns("d")
    checked = check(world, manifest(), added)
    assert found(checked) == {
        "column:d/T#d": (Alteration.ADDED, Verdict.ADDITIVE),
        "dataset:d/N": (Alteration.ADDED, Verdict.ADDITIVE),
    }
    assert outcome(check(world, None, manifest()), unidentified=True) is Outcome.CLEAN


def test_breaking_what_nobody_known_reads_needs_a_word_where_unidentified_callers_were_seen(world: World) -> None:
    lonely = manifest(deployments=[{"name": "old", "url": "https://old.example"}])
    world.commit(read_manifest(lonely).registration)
    checked = check(world, lonely, manifest())
    assert checked.watched() == {k("deployment:d/old")}
    assert outcome(checked, unidentified=False) is Outcome.CLEAN
    assert outcome(checked, unidentified=True) is Outcome.NEEDS_ACKNOWLEDGEMENT


def test_history_is_counted_apart_and_no_headline(world: World) -> None:
    newer = "run:ml/train#00000000-0000-4000-8000-000000000002"
    world.now += 10
    world.register(
        *map(k, (newer, "model_version:ml/m#2")),
        flow(G, newer),
        flow(newer, "model_version:ml/m#2"),
        flow("model_version:ml/m#2", BATCH),
        origin="api:ml2",
    )
    world.register(Withdrawal(flow(M1, BATCH)), origin="api:ml", basis=Basis.DECLARED)

    def retype(document: Document) -> None:
        document["feature_views"][0]["features"][0]["type"] = "text"

    finding = the_one(check(world, manifest(), edited(retype)))
    assert told(finding) == {SCORES: When.NOW, CHECKOUT: When.NOW}
    of_history = {kind: count for (_, when, kind), count in finding.counts.items() if when is When.HISTORIC}
    assert of_history[AssetKind.DEPLOYMENT] == of_history[AssetKind.CONSUMER] == 1


def test_an_alias_that_moves_changes_the_answers_of_those_served_by_it_alone(world: World) -> None:
    def models(champion: str) -> Document:
        return {"version": 1, "namespace": "ml", "models": [{"name": "m", "aliases": {"champion": champion}}]}

    world.commit(read_manifest(models("1")).registration)
    world.register(
        k("deployment:ml/by-alias"),
        flow("model_version:ml/m#%40champion", "deployment:ml/by-alias"),
        flow("deployment:ml/by-alias", CHECKOUT),
        origin="api:ml2",
    )
    finding = the_one(check(world, models("1"), models("2")))
    assert (finding.verdict, told(finding)) == (
        Verdict.BEHAVIOURAL,
        {"deployment:ml/by-alias": When.NOW, CHECKOUT: When.NOW},
    )
    assert [str(step) for step in finding.steps(k(CHECKOUT))] == [
        "model_version:ml/m#%40champion",
        "deployment:ml/by-alias",
        CHECKOUT,
    ]


def test_too_many_changes_are_refused_not_cut(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graph.check.judge.MAX_WALKS", 10)
    names = [f"c{number}" for number in range(11)]
    wide: Document = manifest(datasets=[{"name": "T", "columns": columns("a", "b", *names)}])
    narrow: Document = manifest(datasets=[{"name": "T", "columns": columns("a", "b")}])
    with pytest.raises(InvalidInput, match="at most 10"):
        check(world, wide, narrow)


def test_the_worst_comes_first(world: World) -> None:
    def change(document: Document) -> None:
        document["datasets"][0]["columns"][2]["type"] = "text"
        document["datasets"][0]["columns"].append({"name": "new"})
        document["feature_views"][0]["features"][1]["definition"] = "2 * b"

    verdicts = [each.verdict for each in check(world, manifest(), edited(change)).findings]
    assert verdicts == [Verdict.BREAKING, Verdict.BEHAVIOURAL, Verdict.ADDITIVE]
