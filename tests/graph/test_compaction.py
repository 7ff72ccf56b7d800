"""Sorting and saving the index beside whoever changes it: nothing that happens meanwhile is lost, or seen too early."""

from pathlib import Path

import numpy as np
import pytest

from graph.changes import AssetStatement, Withdrawal
from graph.compare import differences
from graph.index import LineageIndex
from graph.keys import AssetKey
from graph.model import Flow
from graph.snapshot import load, save
from graph.tables import Tables
from graph.topology import Moment, View
from graph.walk import AssetFilter, Direction, selected, walk
from tests.graph.world import World, flow, interrupted, k

ORDERS, REPORT, SHOP = k("dataset:w/orders"), k("dataset:w/report"), k("consumer:c/shop")
INTO_REPORT, INTO_SHOP = Flow(ORDERS, REPORT), Flow(REPORT, SHOP)


def below(view: View, start: AssetKey, moment: Moment) -> list[str]:
    keys = walk(view, start, Direction.DOWNSTREAM, moment).keys()
    return [str(key) for key in keys]


def owned_by(view: View, owner: str, moment: Moment) -> list[str]:
    lineage = walk(view, ORDERS, Direction.DOWNSTREAM, moment)
    return [str(lineage.key(row)) for row in selected(lineage, AssetFilter(owners=[owner])).tolist()]


@pytest.mark.parametrize("nth", [2, 3, 6, 7])
def test_what_changes_while_the_index_is_compacted_shows_then_and_not_before(world: World, nth: int) -> None:
    world.register(INTO_REPORT, INTO_SHOP, AssetStatement(REPORT, {"owners": [{"name": "ann"}]}))
    before, index = world.store.head(), world.index

    def others() -> None:
        world.now += 1
        world.register(
            Withdrawal(INTO_SHOP),
            AssetStatement(REPORT, {"owners": [{"name": "bob"}]}),
            Flow(ORDERS, k("consumer:c/new")),
        )

    with interrupted(index, nth, others):
        index.compact()
    after, view = world.store.head(), index.view()
    now, then = Moment(world.now, after), Moment(world.now, before)
    assert after > before
    assert below(view, ORDERS, now) == ["consumer:c/new", str(REPORT)]
    assert below(view, ORDERS, then) == [str(REPORT), str(SHOP)]
    assert owned_by(view, "bob", now) == owned_by(view, "ann", then) == [str(REPORT)]
    assert owned_by(view, "ann", now) == owned_by(view, "bob", then) == []


def test_an_index_saved_while_others_change_it_goes_on_from_the_revision_it_was_saved_at(
    world: World, tmp_path: Path
) -> None:
    world.register(INTO_REPORT, INTO_SHOP, AssetStatement(REPORT, {"owners": [{"name": "ann"}]}))

    def others() -> None:
        world.now += 1
        world.register(
            Withdrawal(INTO_SHOP),
            AssetStatement(REPORT, {"owners": [{"name": "bob"}]}),
            flow("column:w/orders#id", "column:w/report#id"),  # narrows what stands for the whole
        )

    with interrupted(world.index, 2, others):
        saved = save(world.index, world.store, tmp_path / "index")
    assert saved < world.store.head()
    again = LineageIndex(world.store)
    assert load(again, world.store, tmp_path / "index") is None
    assert differences(again.view(), world.index.view()) == []
    for revision in (saved, world.store.head()):
        moment = Moment(world.now, revision)
        assert below(again.view(), ORDERS, moment) == below(world.index.view(), ORDERS, moment)


def test_tables_with_little_room_left_move_in_a_compaction(world: World) -> None:
    statements = [flow(f"dataset:w/t{number}", f"dataset:w/t{number + 1}") for number in range(400)]
    world.register(*statements)
    tables = world.index.tables
    tables.rows.arrays = tables.rows.resized(tables.rows.count)  # none left at all
    gone = statements[100:110]

    def others() -> None:
        world.now += 1
        world.register(*map(Withdrawal, gone))

    with interrupted(world.index, 3, others):
        world.index.compact()
    assert tables.rows.room > tables.rows.count
    view = world.index.view()
    assert len(below(view, k("dataset:w/t0"), Moment(world.now, view.revision))) == 100
    assert len(below(view, k("dataset:w/t0"), Moment(world.now, view.revision - 1))) == 400


def test_assets_are_in_the_order_of_their_keys_also_those_that_came_since_the_last_compaction(world: World) -> None:
    world.register(*(Flow(ORDERS, k(f"dataset:w/{name}")) for name in ("m", "c", "x")))
    world.index.compact()
    world.register(*(Flow(ORDERS, k(f"dataset:w/{name}")) for name in ("n", "a", "z", "d")))
    view = world.index.view()
    assert below(view, ORDERS, Moment(world.now, view.revision)) == [f"dataset:w/{name}" for name in "acdmnxz"]


def test_new_rows_change_no_view_made_before(world: World) -> None:
    world.register(INTO_REPORT, REPORT)
    old = world.index.view()
    for number in range(3_000):  # more than any table had room for
        world.index.tables.number(k(f"dataset:w/t{number}"))
    world.register(INTO_SHOP)
    assert below(old, ORDERS, Moment(world.now, old.revision)) == [str(REPORT)]
    assert (old.label_codes(np.array([old.number(REPORT)]), Moment(world.now, old.revision)) >= 0).all()


def test_an_empty_index_compacts(world: World) -> None:
    assert Tables().view().revision == 0
    world.index.compact()
    assert world.index.view().assets == 1
