"""An index that hears of commits, or follows several at a stretch, is what one is that was told revision by revision."""

from pathlib import Path
from threading import Event, Thread

import pytest

from graph import telling
from graph.changes import AssetStatement, Withdrawal
from graph.compare import differences
from graph.index import LineageIndex
from graph.model import Basis, Operation, checked_flow
from graph.plan import register
from graph.stores.sqlite import SqliteStore
from tests.graph.world import START, Statement, World, flow, k, registration

ORDERS, REPORT = k("dataset:w/orders"), k("dataset:w/report")
INTO_REPORT = checked_flow(ORDERS, REPORT)
COLUMNS = flow("column:w/orders#id", "column:w/report#id")


def tell(store: SqliteStore, *said: Statement, now: int = START) -> int:
    wanted = registration(said, "test", Basis.OBSERVED)
    return register(store, wanted, Operation(None, "", "tester"), now).revision


@pytest.fixture
def heard(world: World) -> LineageIndex:
    """Told of commits, while the world's own index waits to be."""
    index = LineageIndex(world.store)
    index.load()
    world.store.announce_to(index.hear)
    return index


def replayed(store: SqliteStore) -> LineageIndex:
    """Nothing in it was brought in together with anything else."""
    index = LineageIndex(store)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(telling, "_MANY", 1_000_000)
        index.replay()
    return index


def test_what_the_index_hears_of_is_seen_when_the_commit_returns(world: World, heard: LineageIndex) -> None:
    for number in range(20):
        revision = tell(world.store, INTO_REPORT, flow(f"dataset:w/t{number}", "dataset:w/report"))
        assert heard.revision == revision
    assert differences(heard.view(), replayed(world.store).view()) == []


def test_commits_of_another_process_are_not_skipped(world: World, heard: LineageIndex, tmp_path: Path) -> None:
    tell(world.store, INTO_REPORT)
    other = SqliteStore(tmp_path / "headwater.db")
    elsewhere = tell(other, ORDERS, COLUMNS)
    other.close()
    revision = tell(world.store, REPORT)
    assert heard.revision == elsewhere - 1, "what comes after a gap waits for what is in it"
    assert heard.follow(revision) == revision
    assert tell(world.store, Withdrawal(COLUMNS)) == heard.revision
    assert differences(heard.view(), replayed(world.store).view()) == []


def test_a_commit_does_not_wait_for_an_index_that_is_being_changed(world: World, heard: LineageIndex) -> None:
    taken, done = Event(), Event()

    def change() -> None:
        with heard.changing:
            taken.set()
            done.wait(60)

    changing = Thread(target=change)
    changing.start()
    taken.wait(60)
    revision = tell(world.store, INTO_REPORT)
    assert heard.revision < revision
    done.set()
    changing.join()
    assert heard.follow(revision) == revision


def test_an_index_that_is_not_loaded_hears_nothing(world: World) -> None:
    index = LineageIndex(world.store)
    world.store.announce_to(index.hear)
    tell(world.store, INTO_REPORT)
    assert not index.loaded


@pytest.mark.parametrize(
    "revisions",
    [
        pytest.param([[COLUMNS], [INTO_REPORT]], id="narrowed by what came before"),
        pytest.param([[INTO_REPORT], [COLUMNS]], id="narrowed by what comes later"),
        pytest.param([[INTO_REPORT], [Withdrawal(INTO_REPORT)], [INTO_REPORT]], id="told, withdrawn and told again"),
        pytest.param([[ORDERS], [AssetStatement(ORDERS, {"tier": 1})]], id="labelled twice"),
        pytest.param(
            [
                [flow("dataset:w/orders", "job:w/j"), flow("job:w/j", "dataset:w/report")],
                [flow("column:w/orders#id", "column:w/report#id", "job:w/j")],
                [flow("dataset:w/other", "job:w/j")],
            ],
            id="refined by its job",
        ),
        pytest.param(
            [
                [flow("model_version:m/m#1", "deployment:d/d"), flow("feature:f/v#a", "deployment:d/d")],
                [
                    AssetStatement(
                        k("model_version:m/m#1"), {"signature": {"inputs": [{"name": "a", "feature": "feature:f/v#a"}]}}
                    )
                ],
                [AssetStatement(k("deployment:d/d"), {"features_from": "request"})],
            ],
            id="served",
        ),
        pytest.param(
            [
                [flow("model_version:m/m#%40live", "consumer:c/c"), k("model_version:m/m#2")],
                [AssetStatement(k("model_version:m/m#%40live"), {"version": "2"})],
            ],
            id="by alias",
        ),
    ],
)
def test_what_is_told_at_a_stretch_is_what_is_told_one_by_one(world: World, revisions: list[list[Statement]]) -> None:
    for number, said in enumerate(revisions):
        around = [flow(f"dataset:w/a{each}", f"dataset:w/b{number}") for each in range(9)]
        tell(world.store, *said, *around, now=START + number)
    world.index.follow()
    assert differences(world.index.view(), replayed(world.store).view()) == []
