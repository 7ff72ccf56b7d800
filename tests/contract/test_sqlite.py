"""What only the SQLite store can get wrong: its file, its schema, and how durable a commit is."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from graph.errors import StoreIncompatible, StoreUnavailable
from graph.messages import Delivery, Message
from graph.stores.migrations import migrations_in
from graph.stores.sqlite import SqliteStore
from graph.usage import Usage
from tests.saying import asset, key, say

ORDERS = key("dataset:warehouse/orders")


def test_what_was_said_is_there_after_opening_again(tmp_path: Path) -> None:
    used = Usage(ORDERS, None, False, day=0, calls=3, errors=1, first=10, last=20)
    store = SqliteStore(tmp_path / "lineage.db")
    say(store, ORDERS, now=100, messages=(Message("1", "told", {"a": 1}),))
    assert store.count([used], "recorder", 1)
    assert len(store.lease(100, 200)) == 1
    store.close()
    with pytest.raises(StoreUnavailable, match="closed"):
        store.head()
    again = SqliteStore(tmp_path / "lineage.db")
    assert again.head() == 1
    assert list(again.believed([ORDERS])) == [ORDERS]
    assert not again.count([used], "recorder", 1)
    assert again.usage([ORDERS], 0) == [used]
    assert (again.undelivered(), again.lease(199, 300)) == (1, [])
    assert again.lease(200, 300) == [Delivery(Message("1", "told", {"a": 1}), 0)]
    again.close()


def test_a_database_of_the_first_schema_is_brought_up_to_date(tmp_path: Path) -> None:
    first, *_ = migrations_in("graph.stores.sqlite_migrations")
    with sqlite3.connect(tmp_path / "lineage.db") as db:
        db.executescript(first.text)
        db.execute("CREATE TABLE migration (number INTEGER PRIMARY KEY, name TEXT, checksum TEXT)")
        db.execute("INSERT INTO migration VALUES (1, ?, ?)", [first.name, first.checksum])
        db.execute("INSERT INTO revision VALUES (1, 100, NULL, 'tests')")
    db.close()
    store = SqliteStore(tmp_path / "lineage.db")
    say(store, ORDERS, now=200, messages=(Message("1", "told", {}),))
    assert (store.head(), store.undelivered(), store.check()) == (2, 1, [])
    store.close()


def test_two_processes_worth_of_stores_see_each_other(tmp_path: Path) -> None:
    one, other = SqliteStore(tmp_path / "lineage.db"), SqliteStore(tmp_path / "lineage.db")

    def write(number: int) -> None:
        say((one, other)[number % 2], key(f"dataset:warehouse/t{number}"), now=100 + number)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(40)))
    assert one.head() == other.head() == 40
    assert one.check() == other.check() == []
    one.close()
    other.close()


def test_revisions_are_told_alike_by_whoever_committed_them_and_by_all_others(tmp_path: Path) -> None:
    one, other = SqliteStore(tmp_path / "lineage.db"), SqliteStore(tmp_path / "lineage.db")
    for number, store in enumerate((one, one, other, one, other, other, one, one, one), start=1):
        say(store, asset(str(ORDERS), tier=number % 4 + 1), now=100 * number, origin=f"origin {number % 2}")
        reader = SqliteStore(tmp_path / "lineage.db")
        told = reader.changes_since(0)
        reader.close()
        assert [revision.number for revision in told] == [*range(1, number + 1)]
        for since, limit in ((0, 1000), (number - 1, 1000), (number - 2, 1), (number, 1)):
            assert one.changes_since(since, limit) == other.changes_since(since, limit) == told[since:][:limit]
    one.close()
    other.close()


def test_commits_wait_for_the_disk(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "lineage.db")
    db = store._connect()
    assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert db.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
    db.close()
    store.close()


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    SqliteStore(tmp_path / "lineage.db").close()
    with sqlite3.connect(tmp_path / "lineage.db") as db:
        db.execute("INSERT INTO migration VALUES (99, '0099_later', 'x')")
    db.close()
    with pytest.raises(StoreIncompatible, match="99"):
        SqliteStore(tmp_path / "lineage.db")


def test_a_schema_step_changed_by_hand_is_refused(tmp_path: Path) -> None:
    SqliteStore(tmp_path / "lineage.db").close()
    with sqlite3.connect(tmp_path / "lineage.db") as db:
        db.execute("UPDATE migration SET checksum = 'x'")
    db.close()
    with pytest.raises(StoreIncompatible, match="changed by hand"):
        SqliteStore(tmp_path / "lineage.db")


def test_a_file_that_is_no_database_is_refused_and_left_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "lineage.db").write_text("my notes, " * 500)
    with pytest.raises(StoreIncompatible, match="not a SQLite database"):
        SqliteStore(tmp_path / "lineage.db")
    assert (tmp_path / "lineage.db").read_text() == "my notes, " * 500


def test_a_change_behind_the_stores_back_is_named(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "lineage.db")
    say(store, ORDERS, now=100)
    say(store, key("dataset:warehouse/other"), now=200)
    with sqlite3.connect(tmp_path / "lineage.db") as db:
        db.execute("DELETE FROM revision WHERE number = 1")
        db.execute("INSERT INTO usage VALUES ('s', '', 0, 1, 5, 0, NULL, NULL, NULL)")
    db.close()
    assert any("revisions" in sentence for sentence in store.check())
    assert "usage of s by nobody known on day 1 was counted, but not when" in store.check()
    store.close()
