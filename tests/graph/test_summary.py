"""Counts and columns by codes say what reading row by row says."""

from collections import Counter

import numpy as np
from hypothesis import given

from graph.changes import AssetStatement
from graph.impact import When, when_felt
from graph.keys import AssetKey
from graph.summary import COLUMNS, count_by_kind, count_by_owner, count_by_when, name, namespace, table, title
from graph.walk import AssetFilter, selected
from tests.graph.test_keys import keys as any_key
from tests.graph.world import World, flow, k

HUB = "dataset:w/hub"


@given(any_key())
def test_names_are_read_off_the_text_of_a_key(key: AssetKey) -> None:
    assert title(str(key)) == key.title
    assert (namespace(str(key)), name(str(key))) == (key.namespace, key.name)


def owned(key: str, *owners: str, **attributes: object) -> AssetStatement:
    return AssetStatement(k(key), {"owners": [{"name": name} for name in owners], **attributes})  # type: ignore[dict-item]


def filled(world: World) -> None:
    run = "run:j/train#11111111-2222-3333-4444-555555555555"
    world.register(
        owned("dataset:w/a", "ann", "bob", tags=["pii"], tier=1),
        owned("dataset:w/b", "bob", tier=2),
        owned("dataset:caf%C3%A9/c"),
        k("column:w/a#x"),
        flow(HUB, "dataset:w/a"),
        flow("dataset:w/a", "dataset:w/b"),
        flow("dataset:w/b", "dataset:caf%C3%A9/c"),
        flow("dataset:w/a", "column:w/d#deep.caf%C3%A9"),
        flow("dataset:w/b", run),
        flow(run, "model_version:m/fraud#1.0"),
    )


def test_counts_are_those_of_reading_row_by_row(world: World) -> None:
    filled(world)
    lineage = world.walk(HUB)
    felt = when_felt(lineage)
    for wanted in (AssetFilter(), AssetFilter(owners=("bob",)), AssetFilter(namespaces=("none",))):
        rows = selected(lineage, wanted)
        listed = rows.tolist()
        assert count_by_kind(lineage, rows) == Counter(lineage.kind(row) for row in listed)
        owners = [owner for row in listed for owner in lineage.label(row).owners or (None,)]
        assert count_by_owner(lineage, rows) == Counter(owners)
        assert count_by_when(felt, rows) == Counter(When(int(felt[row])) for row in listed)
    assert [*count_by_owner(lineage, np.arange(len(lineage)))] == ["ann", "bob", None]


def test_columns_are_those_of_reading_row_by_row(world: World) -> None:
    filled(world)
    lineage = world.walk(HUB)
    felt, keys = when_felt(lineage), lineage.keys()
    whole = table(lineage, np.arange(len(lineage)), felt)
    assert {name: read(whole) for name, read in COLUMNS.items()} == {
        "key": [str(key) for key in keys],
        "kind": [key.kind for key in keys],
        "namespace": [key.namespace for key in keys],
        "title": [key.title for key in keys],
        "hops": lineage.hops.tolist(),
        "when": [When(int(code)).name for code in felt],
        "partly": lineage.partly.tolist(),
        "stub": lineage.stub.tolist(),
        "owners": [lineage.label(row).owners for row in range(len(lineage))],
        "tags": [lineage.label(row).tags for row in range(len(lineage))],
        "tier": [lineage.label(row).tier for row in range(len(lineage))],
    }
    assert COLUMNS["title"](whole.part(1, 3)) == COLUMNS["title"](whole)[1:3]
