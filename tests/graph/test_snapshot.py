"""The index on disk: as good as the store, or refused with a reason."""

from pathlib import Path

import pytest

from graph.changes import AssetStatement, Withdrawal
from graph.compare import differences
from graph.index import LineageIndex
from graph.snapshot import SnapshotRefused, load, restored, save
from tests.graph.world import World, flow, k


def fill(world: World) -> None:
    """Something of each that an index holds: refinement, labels, an alias that moves, carried features, history."""
    world.register(
        AssetStatement(k("dataset:w/orders"), {"owners": [{"name": "commerce"}], "tags": ["gold"]}),
        flow("column:w/orders#amount", "column:w/totals#sum", "job:etl/total"),
        flow("column:w/totals#sum", "feature:f/spending#sum"),
        AssetStatement(
            k("model_version:m/fraud#1"),
            {"signature": {"inputs": [{"name": "sum", "feature": "feature:f/spending#sum"}]}},
        ),
        AssetStatement(k("model_version:m/fraud#%40champion"), {"version": "1"}),
        AssetStatement(k("deployment:d/fraud"), {"features_from": "request"}),
        flow("model_version:m/fraud#%40champion", "deployment:d/fraud"),
    )
    world.now += 10
    world.register(
        AssetStatement(k("deployment:d/fraud"), {"features_from": "store"}),
        AssetStatement(k("model_version:m/fraud#%40champion"), {"version": "2"}),
        Withdrawal(flow("column:w/totals#sum", "feature:f/spending#sum")),
    )


def later(world: World) -> None:
    world.now += 10
    world.register(
        AssetStatement(k("deployment:d/fraud"), {"features_from": "request"}),
        AssetStatement(k("column:w/orders#late"), {"tags": ["new"]}),
        flow("column:w/orders#late", "column:w/totals#sum", "job:etl/total"),
        flow("deployment:d/fraud", "consumer:c/checkout"),
    )


def saved(world: World, path: Path) -> LineageIndex:
    index = LineageIndex(world.store)
    index.load()
    save(index, world.store, path)
    return index


def test_an_index_from_a_snapshot_equals_one_from_the_store_and_goes_on_following(world: World, tmp_path: Path) -> None:
    fill(world)
    index, again, late = saved(world, tmp_path / "index"), LineageIndex(world.store), LineageIndex(world.store)
    assert load(again, world.store, tmp_path / "index") is None
    assert differences(index.view(), again.view()) == []
    later(world)
    index.follow()
    again.follow()
    assert load(late, world.store, tmp_path / "index") is None
    anew, replayed = LineageIndex(world.store), LineageIndex(world.store)
    anew.load()
    replayed.replay()
    for other in (world.index, index, again, late, replayed):
        assert differences(other.view(), anew.view()) == []


def test_an_index_that_is_loaded_equals_one_that_followed_a_large_revision_of_flows_of_every_sort(world: World) -> None:
    versions = [f"model_version:m/fraud#{number}" for number in range(6)]
    world.register(
        AssetStatement(k("deployment:d/fraud"), {"features_from": "store"}),
        *(AssetStatement(k(version), {"signature": {"inputs": []}}) for version in versions),
        *(flow(version, "deployment:d/fraud") for version in versions),
        *(flow("model:m/fraud", f"deployment:d/fraud_{number}") for number in range(6)),
        flow("model:m/fraud", "deployment:d/fraud"),
        flow("column:w/orders#amount", "column:w/totals#sum", "job:etl/total"),
        flow("dataset:w/orders", "job:etl/total"),
        flow("dataset:w/orders", "job:etl/other"),
        flow("dataset:w/totals", "dataset:w/copy"),
        flow("column:w/totals#sum", "column:w/copy#sum"),
        flow("column:w/totals#sum", "feature:f/spending#sum"),
    )
    loaded = LineageIndex(world.store)
    loaded.load()
    assert differences(world.index.view(), loaded.view()) == []


def test_differences_between_indexes_are_named(world: World) -> None:
    fill(world)
    behind = LineageIndex(world.store)
    behind.load()
    later(world)
    assert any("consumer:c/checkout" in sentence for sentence in differences(behind.view(), world.index.view()))


def test_an_empty_store_has_a_snapshot_too(world: World, tmp_path: Path) -> None:
    saved(world, tmp_path / "index")
    again = LineageIndex(world.store)
    assert load(again, world.store, tmp_path / "index") is None
    assert again.view().keys == [""]


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "text", "foreign", "missing"])
def test_a_snapshot_that_does_not_fit_is_said_and_the_store_is_read(world: World, tmp_path: Path, damage: str) -> None:
    fill(world)
    path = tmp_path / "index"
    index = saved(world, path)
    whole = path.read_bytes()
    if damage == "foreign":
        (tmp_path / "other").mkdir()
        other = World(tmp_path / "other")
        other.now += 1
        fill(other)
        saved(other, path)
        other.close()
    elif damage == "missing":
        path.unlink()
    else:
        place = whole.index(b"dataset:w/orders")
        flipped = whole[:place] + b"D" + whole[place + 1 :]
        middle = len(whole) // 2
        path.write_bytes({"cut": whole[:middle], "flipped": flipped, "empty": b"", "text": b"hello"}[damage])
    with pytest.raises(SnapshotRefused) as refused:
        restored(path, world.store)
    assert {"foreign": "another", "missing": "none yet"}.get(damage, "damaged") in str(refused.value)
    again = LineageIndex(world.store)
    assert load(again, world.store, path) == str(refused.value)
    assert differences(index.view(), again.view()) == []
