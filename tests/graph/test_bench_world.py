"""The world that `make bench` measures: that its short way into SQLite leaves what the long one does, and its shape."""

from pathlib import Path

import numpy as np

from graph.index import LineageIndex
from graph.stores.sqlite import SqliteStore
from graph.topology import Moment
from graph.walk import Direction, walk
from tests.bench.filling import register_all, same_content, write_all
from tests.bench.world import DAY, NOW, world


def test_writing_a_world_leaves_what_registering_it_does(tmp_path: Path) -> None:
    made = world(2_000, history=0.5)
    registered = SqliteStore(tmp_path / "registered.db")
    register_all(registered, made)
    write_all(tmp_path / "written.db", made)
    written = SqliteStore(tmp_path / "written.db")
    assert written.head() == registered.head()
    assert same_content(written, registered)
    assert written.check() == []
    assert written.search("team 3") == registered.search("team 3")


def test_the_hub_of_a_world_reaches_about_half_of_it_and_others_some_hundreds(tmp_path: Path) -> None:
    made = world(10_000)
    assert (made.assets, len(made.source)) == (10_000, 40_000)
    write_all(tmp_path / "world.db", made)
    index = LineageIndex(SqliteStore(tmp_path / "world.db"))
    index.load()
    view = index.view()
    moment = Moment(NOW + DAY, view.revision)
    hub = walk(view, made.keys[made.hub], Direction.DOWNSTREAM, moment)
    assert 0.4 * made.assets < len(hub) < 0.6 * made.assets
    sizes = [len(walk(view, key, Direction.DOWNSTREAM, moment)) for key in made.keys[::37]]
    assert 100 < np.median([size for size in sizes if size]) < 500
    assert 8 <= hub.hops.max() <= 16
