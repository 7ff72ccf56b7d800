"""When a change is felt: now, at the next training, or only in what nobody uses any more."""

from graph.changes import AssetStatement, Withdrawal
from graph.impact import When
from graph.walk import Direction
from tests.graph.world import World, flow, k

T, VIEW, FEATURE = "dataset:w/T", "feature_view:w/V", "feature:w/V#f"
TRAIN, MODEL, DEPLOYMENT, SERVICE = "job:w/train", "model:w/M", "deployment:w/D", "consumer:w/shop"
CHAMPION = "model_version:w/M#%40champion"


def run(number: int) -> str:
    return f"{TRAIN.replace('job', 'run')}#00000000-0000-0000-0000-{number:012}"


def version(number: int) -> str:
    return f"model_version:w/M#{number}"


def train(world: World, number: int, *reads: str) -> None:
    """A training run, registered at the world's clock, that makes the version of that number."""
    world.register(
        k(run(number)),
        k(version(number)),
        *(flow(read, run(number)) for read in reads),
        flow(run(number), version(number)),
    )
    world.now += 1


def served(named: str) -> AssetStatement:
    return AssetStatement(k(CHAMPION), {"version": named})


def test_what_refreshes_is_felt_now_and_what_was_built_at_the_next_training(world: World) -> None:
    world.register(
        flow(T, FEATURE), flow(FEATURE, "consumer:w/screen"), flow(version(1), DEPLOYMENT), flow(DEPLOYMENT, SERVICE)
    )
    train(world, 1, FEATURE)
    assert world.when(T) == {
        FEATURE: When.NOW,
        VIEW: When.NOW,
        "consumer:w/screen": When.NOW,
        run(1): When.NEXT_TRAINING,
        TRAIN: When.NEXT_TRAINING,
        version(1): When.NEXT_TRAINING,
        MODEL: When.NEXT_TRAINING,
        DEPLOYMENT: When.NEXT_TRAINING,
        SERVICE: When.NEXT_TRAINING,
    }


def test_a_deployment_that_reads_a_feature_its_version_needs_breaks_now(world: World) -> None:
    train(world, 1, FEATURE)
    needs = AssetStatement(k(version(1)), {"signature": {"inputs": [{"name": "f", "feature": FEATURE}]}})
    world.register(needs, flow(version(1), DEPLOYMENT))
    assert world.when(FEATURE)[DEPLOYMENT] is When.NOW
    world.register(AssetStatement(k(DEPLOYMENT), {"features_from": "request"}))
    assert world.when(FEATURE)[DEPLOYMENT] is When.NEXT_TRAINING


def test_the_training_job_hands_a_change_on_to_its_runs_at_the_next_training_only(world: World) -> None:
    train(world, 1)
    assert world.when(TRAIN) == {version(1): When.NEXT_TRAINING, MODEL: When.NEXT_TRAINING}


def test_an_old_version_that_nothing_serves_is_historic(world: World) -> None:
    train(world, 1, T)
    train(world, 2)
    world.register(flow(version(1), "consumer:w/notebook"))
    assert world.when(T) == {
        run(1): When.HISTORIC,
        TRAIN: When.HISTORIC,
        version(1): When.HISTORIC,
        MODEL: When.HISTORIC,
        "consumer:w/notebook": When.HISTORIC,
    }
    assert world.when(version(1))["consumer:w/notebook"] is When.NOW


def test_an_old_version_that_is_served_is_not_historic_nor_is_the_run_that_made_it(world: World) -> None:
    train(world, 1, T)
    train(world, 2)
    world.register(flow(version(1), DEPLOYMENT))
    assert {world.when(T)[key] for key in (run(1), version(1), DEPLOYMENT)} == {When.NEXT_TRAINING}


def test_an_old_version_named_by_an_alias_is_not_historic_until_the_alias_moves(world: World) -> None:
    train(world, 1, T)
    train(world, 2)
    world.register(served("1"))
    assert world.when(T)[version(1)] is When.NEXT_TRAINING
    world.now += 1
    world.register(served("2"))
    assert world.when(T)[version(1)] is When.HISTORIC


def test_an_ancestor_of_the_newest_version_is_not_historic(world: World) -> None:
    train(world, 1, T)
    train(world, 2, version(1))
    assert {world.when(T)[key] for key in (run(1), version(1), run(2), version(2))} == {When.NEXT_TRAINING}


def test_the_newest_version_is_the_last_registered_and_at_one_instant_the_highest_in_natural_order(
    world: World,
) -> None:
    world.register(*(k(version(number)) for number in (9, 10)), flow(T, run(9)), flow(run(9), version(9)))
    assert world.when(T)[version(9)] is When.HISTORIC
    world.now += 1
    world.register(k(version(2)))
    assert world.when(MODEL) == {}
    world.register(flow(version(10), "consumer:w/c10"), flow(version(2), "consumer:w/c2"))
    assert world.when(MODEL) == {"consumer:w/c2": When.NOW, "consumer:w/c10": When.HISTORIC}


def test_the_newest_of_what_nobody_registered_goes_by_natural_order(world: World) -> None:
    world.register(flow(T, run(9)), flow(T, run(10)), AssetStatement(k(run(10)), since=5, until=10))
    assert world.when(T)[run(10)] is When.NEXT_TRAINING
    assert world.when(T)[run(9)] is When.HISTORIC


def test_a_version_withdrawn_is_no_longer_the_newest(world: World) -> None:
    train(world, 1, T)
    train(world, 2)
    world.register(Withdrawal(k(version(2))))
    assert world.when(T)[version(1)] is When.NEXT_TRAINING


def test_upstream_causes_are_told_apart_in_the_same_way(world: World) -> None:
    world.register(flow(T, FEATURE), flow("dataset:w/lookup", DEPLOYMENT), flow(version(1), DEPLOYMENT))
    train(world, 1, FEATURE)
    when = world.when(DEPLOYMENT, Direction.UPSTREAM)
    assert when["dataset:w/lookup"] is When.NOW
    assert when[version(1)] is When.NOW
    assert {when[key] for key in (run(1), FEATURE, T)} == {When.NEXT_TRAINING}
