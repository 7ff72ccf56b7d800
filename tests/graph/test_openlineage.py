"""What a set of OpenLineage events says: the rules one by one, and that neither order nor repetition matters."""

import json
import tempfile
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from graph.attributes import canonical
from graph.errors import InvalidInput
from graph.folding import Folding, reduce
from graph.importers.openlineage.events import Event, read_event, reduced
from graph.importers.openlineage.fold import Fold, folded
from graph.keys import AssetKey, AssetKind
from graph.model import Assertion, Basis, Flow, Subject
from graph.stores.contract import KeptEvent
from graph.stores.sqlite import SqliteStore
from graph.time import FOREVER, HOUR
from tests.graph import openlineage_oracle as oracle
from tests.openlineage import (
    ORIGIN,
    PRODUCER,
    column_lineage,
    dataset,
    dataset_event,
    instant,
    job_event,
    run_event,
    run_id,
)
from tests.saying import flow, key

READ = flow("dataset:wh/orders", "job:etl/load")
WRITTEN = flow("job:etl/load", "dataset:wh/totals")
ORDERS, TOTALS = dataset("orders"), dataset("totals")


def said(*events: Any) -> Mapping[Subject, tuple[Assertion, ...]]:
    return folded(map(read_event, events))


def hours(spans: Iterable[Assertion]) -> list[tuple[int, int | None]]:
    return [
        (
            (each.valid.start - instant(0)) // HOUR,
            None if each.valid.end == FOREVER else (each.valid.end - instant(0)) // HOUR,
        )
        for each in spans
    ]


def flows(of: Mapping[Subject, Any]) -> set[Flow]:
    return {subject for subject in of if isinstance(subject, Flow)}


def test_a_run_says_what_all_its_events_name_from_the_earliest_on() -> None:
    found = said(run_event("COMPLETE", 3, outputs=[TOTALS]), run_event("START", 1, inputs=[ORDERS]))
    assert flows(found) == {READ, WRITTEN}
    assert hours(found[READ]) == hours(found[WRITTEN]) == [(1, None)]
    assert {each.basis for spans in found.values() for each in spans} == {Basis.OBSERVED}
    assert {each.origin for spans in found.values() for each in spans} == {ORIGIN}


@pytest.mark.parametrize(
    ("states", "counts"),
    [
        (["START"], False),
        (["START", "RUNNING"], True),
        (["START", "COMPLETE"], True),
        (["start", "running", "fail"], False),
        (["RUNNING", "ABORT"], False),
        ([None, "OTHER"], False),
    ],
)
def test_a_run_counts_when_it_completed_or_has_not_ended(states: list[str | None], counts: bool) -> None:
    events = [run_event(state, hour, inputs=[ORDERS]) for hour, state in enumerate(states)]
    assert flows(said(*events)) == ({READ} if counts else set())
    assert key("dataset:wh/orders") in said(*events)


def test_a_failed_run_keeps_what_was_current() -> None:
    first, second = run_event("COMPLETE", 1, inputs=[ORDERS]), run_event("FAIL", 2, run=2)
    assert hours(said(first, second)[READ]) == [(1, None)]


def test_runs_of_a_lane_follow_one_another_and_leave_other_lanes_alone() -> None:
    first = run_event("COMPLETE", 1, run=1, inputs=[ORDERS], outputs=[TOTALS])
    second = run_event("COMPLETE", 5, run=2, inputs=[dataset("other")], outputs=[TOTALS])
    third = run_event("COMPLETE", 7, run=3, inputs=[ORDERS], outputs=[TOTALS])
    elsewhere = run_event("COMPLETE", 3, run=4, inputs=[dataset("other")], outputs=[dataset("more")])
    assert hours(said(first, second, third)[READ]) == [(1, 5), (7, None)]
    assert hours(said(first, elsewhere)[READ]) == [(1, None)]
    assert hours(said(first, second, elsewhere)[flow("dataset:wh/other", "job:etl/load")]) == [(3, None)]
    assert hours(said(first, second, third)[WRITTEN]) == [(1, None)]


def test_column_lineage_says_what_is_derived_from_what() -> None:
    lineage = column_lineage(
        x=[("orders", "a", "DIRECT"), ("orders", "b", "INDIRECT")], rows=[("orders", "c", "INDIRECT")]
    )
    found = said(run_event("COMPLETE", 1, inputs=[ORDERS], outputs=[dataset("totals", columnLineage=lineage)]))
    a, b, c = (f"column:wh/orders#{name}" for name in "abc")
    derived = flow(a, "column:wh/totals#x", "job:etl/load")
    assert flows(found) == {
        READ,
        WRITTEN,
        derived,
        flow(b, "dataset:wh/totals", "job:etl/load"),
        flow(c, "dataset:wh/totals", "job:etl/load"),
        *(flow(column, "job:etl/load") for column in (a, b, c)),
    }
    assert found[derived][0].attributes == {"transformations": ["DIRECT:S"]}


def test_the_explicit_lineage_facet_is_read_too() -> None:
    source = {"namespace": "wh", "name": "orders", "type": "DATASET"}
    lineage = {
        "inputs": [{**source, "field": "day"}],
        "fields": {"x": {"inputs": [{**source, "field": "a"}, {"type": "JOB"}]}},
    }
    entry = {"namespace": "wh", "name": "totals", "type": "DATASET", **lineage}
    of_dataset = run_event("COMPLETE", 1, outputs=[dataset("totals", lineage=lineage)])
    of_job = run_event("COMPLETE", 1, lineage={"entries": [entry, {"type": "JOB", "inputs": [source]}]})
    assert (
        flows(said(of_dataset))
        == flows(said(of_job))
        == {
            READ,
            WRITTEN,
            flow("column:wh/orders#a", "column:wh/totals#x", "job:etl/load"),
            flow("column:wh/orders#day", "dataset:wh/totals", "job:etl/load"),
            flow("column:wh/orders#a", "job:etl/load"),
            flow("column:wh/orders#day", "job:etl/load"),
        }
    )


def test_the_explicit_lineage_facet_speaks_of_other_jobs_too() -> None:
    orders = {**dataset("orders"), "type": "DATASET"}
    other = {"type": "JOB", "namespace": "etl", "name": "other"}
    entries = [{**other, "inputs": [orders, {"type": "JOB"}]}, {"type": "JOB", "namespace": "etl", "name": "load"}]
    written = dataset("totals", lineage={"inputs": [other]})
    found = said(run_event("COMPLETE", 1, outputs=[written], lineage={"entries": entries}))
    assert flows(found) == {
        WRITTEN,
        flow("dataset:wh/orders", "job:etl/other"),
        flow("job:etl/other", "dataset:wh/totals"),
    }


def test_what_a_streaming_run_passed_on_before_it_failed_has_passed() -> None:
    kind = {"jobType": {"processingType": "STREAMING", "integration": "FLINK"}}
    before = run_event("COMPLETE", 1, inputs=[dataset("other")], outputs=[TOTALS])
    streams = [
        run_event(state, hour, run=2, inputs=[ORDERS], outputs=[TOTALS], **kind)
        for hour, state in enumerate(["START", "RUNNING", "FAIL"], 3)
    ]
    assert hours(said(before, *streams)[READ]) == [(3, None)]
    assert hours(said(before, streams[0], streams[2])[flow("dataset:wh/other", "job:etl/load")]) == [(1, None)]


def test_a_job_of_a_registry_trains_and_names_its_parent() -> None:
    event = run_event("COMPLETE", 1, inputs=[ORDERS], jobType={"integration": "MLFLOW", "processingType": "BATCH"})
    event["run"]["facets"] = {"parent": {"job": {"namespace": "airflow", "name": "nightly"}, "run": {}}}
    found = said(event)
    assert flows(found) == {flow("dataset:wh/orders", f"run:etl/load#{run_id(1)}")}
    assert found[key("job:etl/load")][0].attributes["parent"] == "job:airflow/nightly"


def test_what_is_too_large_to_show_is_left_out_and_the_lineage_is_not() -> None:
    found = said(
        run_event("COMPLETE", 1, inputs=[ORDERS], sql={"query": "x" * 300_000}, documentation={"description": "d"})
    )
    assert found[key("job:etl/load")][0].attributes == {"description": "d", "left_out": ["definition"]}
    assert READ in found


def test_columns_come_and_go_with_the_schema() -> None:
    def schema(*fields: dict[str, Any]) -> dict[str, Any]:
        return dataset("orders", schema={"fields": [*fields]})

    found = said(
        run_event(
            "START", 1, inputs=[schema({"name": "a", "type": "INT"}, {"name": "b", "fields": [{"name": "c.d"}]})]
        ),
        run_event("START", 2, inputs=[ORDERS]),
        run_event("START", 3, run=2, inputs=[schema({"name": "a", "type": "BIGINT"})]),
    )
    assert [(dict(each.attributes), span) for each, span in zip(
        found[key("column:wh/orders#a")], hours(found[key("column:wh/orders#a")]), strict=True
    )] == [({"type": "INT"}, (1, 3)), ({"type": "BIGINT"}, (3, None))]  # fmt: skip
    assert hours(found[key("column:wh/orders#b")]) == hours(found[key("column:wh/orders#b.c%2Ed")]) == [(1, 3)]


def test_facets_become_attributes_until_they_say_otherwise() -> None:
    link = {"namespace": "hive", "name": "default.orders", "type": "TABLE"}
    found = said(
        run_event(
            "START",
            1,
            inputs=[
                dataset(
                    "orders",
                    ownership={"owners": [{"name": "team:shop", "type": "MAINTAINER"}]},
                    documentation={"description": "all of them"},
                    symlinks={"identifiers": [link]},
                )
            ],
            sql={"query": "SELECT 1"},
        ),
        run_event("COMPLETE", 2, inputs=[dataset("orders", documentation={"_deleted": True})]),
    )
    (first, second) = found[key("dataset:wh/orders")]
    rest = {"owners": [{"name": "team:shop"}], "same_as": ["dataset:hive/default.orders"]}
    assert (first.attributes, second.attributes) == ({"description": "all of them", **rest}, rest)
    assert found[key("job:etl/load")][0].attributes == {"definition": "SELECT 1"}


def test_a_dropped_or_renamed_dataset_is_gone_until_it_is_named_again() -> None:
    dropped = dataset("orders", lifecycleStateChange={"lifecycleStateChange": "DROP"})
    previous = {"namespace": "wh", "name": "old"}
    renamed = dataset("totals", lifecycleStateChange={"lifecycleStateChange": "RENAME", "previousIdentifier": previous})
    found = said(
        run_event("START", 1, inputs=[ORDERS, dataset("old")]),
        run_event("START", 2, outputs=[dropped, renamed]),
        run_event("START", 4, inputs=[ORDERS]),
    )
    assert hours(found[key("dataset:wh/orders")]) == [(1, 2), (4, None)]
    assert hours(found[key("dataset:wh/old")]) == [(1, 2)]


def test_definitions_replace_the_one_before() -> None:
    found = said(job_event(1, inputs=[ORDERS]), job_event(4, inputs=[dataset("other")], outputs=[TOTALS]))
    assert hours(found[READ]) == [(1, 4)]
    assert hours(found[WRITTEN]) == [(4, None)]
    assert found[WRITTEN][0].basis is Basis.IMPORTED
    observed = said(job_event(1, inputs=[ORDERS]), run_event("COMPLETE", 3, inputs=[ORDERS]))
    assert [each.basis for each in observed[READ]] == [Basis.IMPORTED, Basis.OBSERVED]


def test_a_dataset_event_speaks_of_a_dataset_by_itself() -> None:
    lineage = column_lineage(x=[("orders", "a", "DIRECT")])
    view = dataset("view", schema={"fields": [{"name": "x"}]}, columnLineage=lineage)
    found = said(dataset_event(1, view), dataset_event(3, dataset("view", documentation={"description": "d"})))
    assert hours(found[flow("column:wh/orders#a", "column:wh/view#x")]) == [(1, 3)]
    assert hours(found[key("column:wh/view#x")]) == [(1, 3)]
    assert found[key("dataset:wh/view")][0].origin.endswith("#dataset:wh/view")


MODEL = dataset("fraud", datasetType={"datasetType": "MODEL"})


def test_a_run_that_names_a_model_trains_whichever_event_says_so() -> None:
    events = [
        run_event("START", 1, inputs=[ORDERS], outputs=[dataset("fraud")]),
        run_event(
            "COMPLETE", 2, outputs=[{**MODEL, "facets": {**MODEL["facets"], "version": {"datasetVersion": "7"}}}]
        ),
    ]
    run = f"run:etl/load#{run_id(1)}"
    found = said(*events)
    assert flow("dataset:wh/orders", run) in found
    assert flow(run, "model_version:wh/fraud#7") in found
    assert {key(run), key("model:wh/fraud"), key("model_version:wh/fraud#7")} <= found.keys()
    assert READ not in found
    assert key("dataset:wh/fraud") not in found
    # Later runs end nothing: what is built is built.
    again = run_event("COMPLETE", 5, run=2, inputs=[dataset("other")], outputs=[MODEL])
    assert hours(said(*events, again)[flow("dataset:wh/orders", run)]) == [(1, None)]
    assert flow(f"run:etl/load#{run_id(2)}", f"model_version:wh/fraud#{run_id(2)}") in said(*events, again)


def test_runs_of_a_job_that_is_defined_to_make_a_model_train() -> None:
    found = said(run_event("COMPLETE", 1, inputs=[ORDERS]), job_event(2, inputs=[ORDERS], outputs=[MODEL]))
    assert flow("dataset:wh/orders", f"run:etl/load#{run_id(1)}") in found
    assert hours(found[READ]) == [(2, None)]


def test_a_model_that_is_read_is_used_by_the_job() -> None:
    versioned = {**MODEL, "facets": {**MODEL["facets"], "version": {"datasetVersion": "7"}}}
    assert flows(said(run_event("COMPLETE", 1, inputs=[MODEL]))) == {flow("model:wh/fraud", "job:etl/load")}
    assert flows(said(run_event("COMPLETE", 1, inputs=[versioned]))) == {
        flow("model_version:wh/fraud#7", "job:etl/load")
    }


def test_a_new_version_of_the_producer_is_the_same_source() -> None:
    event = run_event("COMPLETE", 1)
    assert read_event({**event, "producer": PRODUCER.replace("1.2.3", "1.30.0-rc1")}).origin == ORIGIN
    long = read_event({**event, "job": {"namespace": "n" * 500, "name": "j" * 500}}).origin
    assert long.startswith("openlineage:sha256:")


@pytest.mark.parametrize(
    ("text", "microseconds"),
    [
        ("2026-01-01T01:00:00.123456789Z", 123456),
        ("2026-01-01T01:00:00.123456", 123456),
        ("2026-01-01T02:00:00.5+01:00", 500000),
    ],
)
def test_times_are_read_as_producers_write_them(text: str, microseconds: int) -> None:
    assert read_event({**run_event("COMPLETE", 1), "eventTime": text}).at == instant(1) + microseconds


@pytest.mark.parametrize("many", [988, 1000])
def test_what_turns_out_to_be_a_training_under_a_name_too_long_for_a_run_stays_a_run_of_its_job(many: int) -> None:
    job = {"namespace": "n", "name": "j" * (many - 1)}
    events = run_event("COMPLETE", 1, inputs=[ORDERS]), job_event(2, outputs=[MODEL])
    found = said(*({**each, "job": job} for each in events))
    is_run = any(isinstance(each, AssetKey) and each.kind is AssetKind.RUN for each in found)
    is_read_by_job = any(isinstance(each, Flow) and each.target.kind is AssetKind.JOB for each in found)
    assert (is_run, is_read_by_job) == (many == 988, many != 988)


def of_model(version: str) -> dict[str, Any]:
    return dataset("model", datasetType={"datasetType": "MODEL"}, version={"datasetVersion": version})


@pytest.mark.parametrize("version", ["", "v" * 1020, "\x00", "@best"])
def test_the_version_of_what_is_no_model_may_be_anything(version: str) -> None:
    (read,) = read_event(
        run_event("COMPLETE", 1, inputs=[dataset("orders", version={"datasetVersion": version})])
    ).inputs
    assert read.version is None


def test_a_model_whose_version_is_empty_has_none() -> None:
    (read,) = read_event(run_event("COMPLETE", 1, inputs=[of_model("")])).inputs
    assert (read.is_model, read.version) == (True, None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"eventTime": None}, "eventTime is missing"),
        ({"producer": ""}, "producer is empty"),
        ({"producer": "a\nb"}, "producer is 'a\\nb', which does not print"),
        ({"run": {"runId": "7"}}, "run.runId is '7', which is not a UUID"),
        ({"run": {}}, "run.runId is missing"),
        ({"eventType": "DONE"}, "eventType is 'DONE'; it is one of START,"),
        ({"job": {"namespace": "n", "name": "a\x00"}}, "job: the name 'a\\x00' holds the control character"),
        ({"job": None}, "job is missing, not an object"),
        ({"inputs": {}}, "inputs is {}, not a list"),
        ({"outputs": [ORDERS, dataset("x", schema={"fields": [{"name": 1}]})]}, "outputs[1].facets.schema.fields[0].name"),
        ({"inputs": [dataset("x", ownership=[])]}, "inputs[0].facets.ownership is [], not an object"),
        (
            {"outputs": [dataset("x", columnLineage={"fields": {"x": {"inputFields": [{"name": "a"}]}}})]},
            "outputs[0].facets.columnLineage.fields.x.inputFields[0].namespace is missing",
        ),
        ({"outputs": [dataset("x", columnLineage={"fields": {"": {}}})]}, "outputs[0].facets.columnLineage.fields.: "),
        ({"outputs": [{"namespace": "n" * 900, "name": "m" * 900}]}, "outputs[0]: a key's namespace, name and part"),
        (
            {"job": {"namespace": "n", "name": "j" * 1000}, "outputs": [MODEL]},
            "job: a key's namespace, name and part",
        ),
        ({"outputs": [of_model("v" * 1020)]}, "outputs[0].facets.version.datasetVersion: a key's namespace, name and part"),
        ({"outputs": [of_model("\x00")]}, "outputs[0].facets.version.datasetVersion: the model_version part '\\x00' holds"),
        ({"inputs": [of_model("@best")]}, "inputs[0].facets.version.datasetVersion is '@best', which is an alias"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_place(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_event(run_event("COMPLETE", 1) | change)
    assert message in str(caught.value)


# Whatever the order

JSON = some.recursive(
    some.none() | some.booleans() | some.integers() | some.text(max_size=3),
    lambda inner: (
        some.lists(inner, max_size=3)
        | some.dictionaries(
            some.sampled_from(["namespace", "name", "fields", "inputFields", "facets", "schema", "lineage", "entries"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=12,
)


RICH: dict[str, Any] = run_event(
    "COMPLETE",
    1,
    inputs=[
        dataset(
            "orders", schema={"fields": [{"name": "a", "fields": [{"name": "b"}]}]}, version={"datasetVersion": "1"}
        )
    ],
    outputs=[
        dataset(
            "totals",
            columnLineage=column_lineage(x=[("orders", "a", "DIRECT")], rows=[("orders", "c", "INDIRECT")]),
            symlinks={"identifiers": [{"namespace": "hive", "name": "t", "type": "TABLE"}]},
            ownership={"owners": [{"name": "team"}]},
            lifecycleStateChange={
                "lifecycleStateChange": "RENAME",
                "previousIdentifier": {"namespace": "wh", "name": "old"},
            },
            datasetType={"datasetType": "MODEL"},
        )
    ],
    jobType={"processingType": "BATCH", "integration": "SPARK", "jobType": "JOB"},
    sql={"query": "SELECT 1"},
    lineage={
        "entries": [
            {"type": "JOB", "namespace": "n", "name": "o", "inputs": [{"namespace": "n", "name": "i", "field": "f"}]}
        ]
    },
)
RICH["run"]["facets"] = {"parent": {"job": {"namespace": "n", "name": "p"}}}


def places(of: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = of.items() if isinstance(of, dict) else enumerate(of) if isinstance(of, list) else ()
    return [path, *(place for step, value in inner for place in places(value, (*path, step)))]


@settings(max_examples=300)
@given(some.sampled_from(places(RICH)), JSON | some.floats() | some.text(), some.booleans())
def test_a_hostile_event_is_read_or_refused(path: tuple[Any, ...], value: Any, gone: bool) -> None:
    event: Any = orjson.loads(orjson.dumps({"event": RICH}))
    within = event
    for step in ("event", *path[:-1]) if path else ():
        within = within[step]
    if gone and isinstance(within, dict):
        within.pop(path[-1] if path else "event")
    else:
        within[path[-1] if path else "event"] = value
    try:
        found = folded([read_event(event.get("event"))])
    except InvalidInput:
        return
    assert all(spans for spans in found.values())


def test_a_reduced_event_says_the_same() -> None:
    event = orjson.loads(orjson.dumps(RICH))
    event["inputs"][0] |= {"inputFacets": {"dataQualityMetrics": {"rowCount": 1}}}
    event["run"]["facets"]["spark_logicalPlan"] = {"plan": ["much"] * 100}
    kept = reduced(event)
    assert read_event(kept, "digest") == read_event(event, "digest")
    assert b"much" not in orjson.dumps(kept)
    assert b"rowCount" not in orjson.dumps(kept)
    assert reduced(kept) == kept


def test_old_events_are_reduced_and_late_ones_still_find_what_they_need(tmp_path: Path) -> None:
    with closing(SqliteStore(tmp_path / "lineage.db")) as store:
        sent = [
            run_event("COMPLETE", 1, inputs=[ORDERS], outputs=[TOTALS], mine={"much": 1}),
            run_event("COMPLETE", 5, run=2, inputs=[dataset("other")], outputs=[TOTALS]),
            run_event("COMPLETE", 3, run=3, inputs=[dataset("late")], outputs=[TOTALS]),
        ]
        store.keep([kept(event) for event in sent[:2]], "one", 10)
        Folding("one").fold(store, {ORIGIN: None}, 20, "tests")
        head = store.head()
        assert (reduce(store, 10, 30), reduce(store, 11, 30), reduce(store, 11, 30)) == (0, 2, 0)
        assert store.head() == head
        assert all(b"much" not in each.body for each in store.kept(ORIGIN))
        store.keep([kept(sent[2])], "one", 40)
        Folding("one").fold(store, {ORIGIN: None}, 50, "tests")
        assert _bytes(store.believed_by(ORIGIN)) == _bytes(said(*sent))


def test_a_kept_event_that_can_no_longer_be_read_holds_up_no_other(tmp_path: Path) -> None:
    with closing(SqliteStore(tmp_path / "lineage.db")) as store:
        sent = run_event("COMPLETE", 1, inputs=[ORDERS], outputs=[TOTALS])
        unreadable = KeptEvent("0" * 64, ORIGIN, canonical({**sent, "inputs": [of_model("\x00")]}), instant(2))
        store.keep([kept(sent), unreadable], "one", 10)
        Folding("one").fold(store, {ORIGIN: None}, 20, "tests")
        assert _bytes(store.believed_by(ORIGIN)) == _bytes(said(sent))


def test_a_lane_is_heard_of_while_its_runs_are() -> None:
    fold = Fold()
    first = [run_event("COMPLETE", hour, run=hour, inputs=[ORDERS], outputs=[TOTALS]) for hour in (1, 2, 4)]
    other = run_event("COMPLETE", 9, run=9, inputs=[ORDERS], outputs=[dataset("more")])
    failed = run_event("FAIL", 12, run=12, inputs=[ORDERS], outputs=[TOTALS])
    fold.add(map(read_event, first))
    assert fold.take_heard() == {READ: instant(4), WRITTEN: instant(4)}
    assert fold.take_heard() == {}
    fold.add([read_event(other), read_event(failed)])
    assert fold.take_heard() == {READ: instant(9), flow("job:etl/load", "dataset:wh/more"): instant(9)}
    soon = {**first[2], "eventTime": "2026-01-01T04:30:00Z"}
    fold.add([read_event(soon)])
    assert fold.take_heard() == {}


@pytest.mark.parametrize(
    "text",
    ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "10000-01-01T00:00:00Z", "2026-02-30T00:00:00Z", "🕐"],
)
def test_times_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="eventTime"):
        read_event({**run_event("COMPLETE", 1), "eventTime": text})


NAMES = some.sampled_from(["orders", "totals", "fraud"])


@some.composite
def datasets(draw: some.DrawFn) -> dict[str, Any]:
    facets: dict[str, Any] = {}
    if draw(some.booleans()):
        facets["schema"] = {"fields": [{"name": name} for name in draw(some.sets(some.sampled_from("abc")))]}
    if draw(some.booleans()):
        sources = some.lists(
            some.tuples(NAMES, some.sampled_from("abc"), some.sampled_from(["DIRECT", "INDIRECT"])), max_size=2
        )
        facets["columnLineage"] = column_lineage(x=draw(sources), rows=draw(sources))
    if draw(some.integers(0, 5)) == 0:
        facets["lifecycleStateChange"] = {"lifecycleStateChange": "DROP"}
    elif draw(some.integers(0, 5)) == 0:
        previous = {"namespace": "wh", "name": draw(NAMES)}
        facets["lifecycleStateChange"] = {"lifecycleStateChange": "RENAME", "previousIdentifier": previous}
    if draw(some.integers(0, 5)) == 0:
        facets["symlinks"] = {"identifiers": [{"namespace": "hive", "name": draw(NAMES)}]}
    if draw(some.integers(0, 5)) == 0:
        other = {"namespace": "etl", "name": draw(some.sampled_from(["load", "other"])), "type": "JOB"}
        facets["lineage"] = {"inputs": [other]}
    if draw(some.integers(0, 3)) == 0:
        facets["version"] = {"datasetVersion": draw(some.sampled_from("12"))}
    if draw(some.integers(0, 3)) == 0:
        facets["documentation"] = {"description": draw(some.sampled_from("pq"))}
    name = draw(NAMES)
    if name == "fraud" and draw(some.booleans()):
        facets["datasetType"] = {"datasetType": "MODEL"}
    return dataset(name, **facets)


@some.composite
def events(draw: some.DrawFn) -> dict[str, Any]:
    sides = [draw(some.lists(datasets(), max_size=2)) for _ in range(2)]
    hour = draw(some.integers(0, 5))
    if draw(some.integers(0, 6)) == 0:
        return job_event(hour, inputs=sides[0], outputs=sides[1])
    state = draw(some.sampled_from(["START", "RUNNING", "COMPLETE", "FAIL", None]))
    facets: dict[str, Any] = {}
    if draw(some.integers(0, 4)) == 0:
        integration = "MLFLOW" if draw(some.integers(0, 5)) == 0 else "SPARK"
        facets["jobType"] = {
            "integration": integration,
            "processingType": draw(some.sampled_from(["BATCH", "STREAMING"])),
        }
    if draw(some.integers(0, 5)) == 0:
        entry = {"type": "JOB", "namespace": "etl", "name": draw(some.sampled_from(["load", "other"]))}
        facets["lineage"] = {"entries": [{**entry, "inputs": [{**dataset(draw(NAMES)), "type": "DATASET"}]}]}
    if draw(some.integers(0, 3)) == 0:
        facets["sql"] = {"query": draw(some.sampled_from(["SELECT 1", "SELECT 2"]))}
    return run_event(state, hour, run=draw(some.integers(1, 4)), inputs=sides[0], outputs=sides[1], **facets)


@some.composite
def dataset_events(draw: some.DrawFn) -> dict[str, Any]:
    return dataset_event(draw(some.integers(0, 5)), {**draw(datasets()), "name": "orders"})


@given(
    some.lists(events(), min_size=1, max_size=12) | some.lists(dataset_events(), min_size=1, max_size=6), some.data()
)
def test_events_added_bit_by_bit_say_what_all_of_them_say(sent: list[dict[str, Any]], data: Any) -> None:
    """Late, repeated, in whatever portions: after each, as an oracle has it that looks at all events anew."""
    order = data.draw(some.permutations([*sent, *data.draw(some.lists(some.sampled_from(sent), max_size=3))]))
    read = [read_event(event) for event in order]
    fold, believed, start = Fold(), dict[Subject, tuple[Assertion, ...]](), 0
    while start < len(read):
        end = start + data.draw(some.integers(1, len(read)))
        changed, touched = fold.add(read[start:end])
        assert changed.keys() <= touched
        believed = {subject: spans for subject, spans in (believed | {**changed}).items() if spans}
        assert _bytes(believed) == _bytes(fold.says()) == _bytes(oracle.folded(read[:end]))
        start = end


@given(some.lists(events(), min_size=1, max_size=8), some.randoms())
def test_neither_order_nor_repetition_matters(sent: list[dict[str, Any]], random: Any) -> None:
    again = [*sent, *(random.choice(sent) for _ in range(3))]
    random.shuffle(again)
    assert _bytes(said(*sent)) == _bytes(said(*again))


@given(some.lists(events(), min_size=1, max_size=8))
def test_what_is_said_is_disjoint_in_order_and_joined(sent: list[dict[str, Any]]) -> None:
    for subject, spans in said(*sent).items():
        for one, other in pairwise(spans):
            assert one.valid.end <= other.valid.start
            assert one.valid.end < other.valid.start or (one.basis, one.attributes) != (other.basis, other.attributes)
        assert all(each.subject == subject and each.valid.start < each.valid.end for each in spans)


@given(events() | dataset_events())
def test_whatever_is_reduced_says_the_same(event: dict[str, Any]) -> None:
    assert read_event(reduced(event), "digest") == read_event(event, "digest")


class Overtaken(SqliteStore):
    """Between what somebody plans and commits, another may have done all of its work."""

    meanwhile: Callable[[], None] | None = None

    def commit(self, *arguments: Any) -> Any:
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            meanwhile()
        return super().commit(*arguments)


@settings(max_examples=40)
@given(some.lists(events(), min_size=1, max_size=8), some.data())
def test_the_graph_follows_from_the_set_whoever_kept_and_folded_what_when(sent: list[Any], data: Any) -> None:
    """Two processes that overtake each other, forget what they knew, and start again: what is believed is the same."""
    with tempfile.TemporaryDirectory() as folder, closing(Overtaken(Path(folder) / "lineage.db")) as store:
        foldings = [Folding("one"), Folding("two")]
        arrived: list[list[Event] | None] = [[], []]

        def work(who: int) -> None:
            events, arrived[who] = arrived[who], []
            foldings[who].fold(store, {ORIGIN: events}, instant(1000), "tests")

        for event in data.draw(some.permutations([*sent, *sent[:2]])):
            who = data.draw(some.integers(0, 1))
            store.keep([kept(event)], foldings[who].keeper, 1)
            waiting = arrived[who]
            if waiting is not None:
                waiting.append(read_event(event))
            does = data.draw(some.integers(0, 5))
            if does == 0:
                foldings[who], arrived[who] = Folding(f"{foldings[who].keeper}'"), None
            elif does < 3:
                if does == 1:
                    other = 1 - who
                    store.meanwhile = lambda other=other: work(other)
                work(who)
        work(0)
        work(1)
        assert _bytes(store.believed_by(ORIGIN)) == _bytes(oracle.folded([*map(read_event, sent)]))
        assert store.unfolded() == []
        assert store.check() == []


def kept(event: dict[str, Any]) -> KeptEvent:
    read = read_event(event)
    return KeptEvent(read.digest, read.origin, orjson.dumps(event), read.at)


def _bytes(of: Any) -> bytes:
    """The canonical form of all that is said."""
    return canonical(
        [
            [str(subject), [[each.origin, each.basis, *each.valid, dict(each.attributes)] for each in spans]]
            for subject, spans in sorted(of.items(), key=lambda each: str(each[0]))
        ]
    )


def test_the_key_of_every_subject_can_be_written_and_read() -> None:
    lineage = column_lineage(**{"ä.b#c/": [("o/r:d ers", "a%", "DIRECT")]})
    found = said(run_event("COMPLETE", 1, outputs=[dataset("s3://b/x y", columnLineage=lineage)]))
    for subject in found:
        for end in subject if isinstance(subject, Flow) else (subject,):
            assert end is None or AssetKey.parse(str(end)) == end
    assert json.loads(_bytes(found))
