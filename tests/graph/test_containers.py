"""Containers have two ports, and column lineage narrows what tables alone would say."""

from collections.abc import Iterable

import numpy as np
import pytest

from graph.changes import FlowStatement, Withdrawal
from graph.keys import AssetKey, AssetKind
from graph.model import Basis, Flow
from graph.neighbours import arrows_walked
from graph.walk import AssetFilter, Direction, Follow, selected
from tests.graph.world import World, flow, k

T, A, B = "dataset:w/T", "column:w/T#a", "column:w/T#b"
J = "job:w/J"
E, X, Y, F = "dataset:w/E", "column:w/E#x", "column:w/E#y", "dataset:w/F"
RX, RY, RE, RB, RF = (f"consumer:w/R{name}" for name in ("x", "y", "e", "b", "f"))
READERS = {RX, RY, RE, RB, RF}

JOB = [flow(T, J), flow(J, E), flow(A, X, via=J)]
READS = [flow(X, RX), flow(Y, RY), flow(E, RE), flow(B, RB)]
SECOND_OUTPUT = [flow(J, F), flow(F, RF)]


@pytest.fixture
def graph(world: World) -> World:
    """T(a, b) → J → E(x, y), x ← a, y a literal, with readers."""
    world.register(*map(k, (T, A, B, J, E, X, Y)), *JOB, *READS)
    return world


def readers(assets: Iterable[str]) -> set[str]:
    return {asset for asset in assets if asset in READERS}


@pytest.mark.parametrize(
    ("start", "hit"), [(T, {RX, RE, RB}), (J, {RX, RY, RE}), (A, {RX, RE}), (B, {RB}), (E, {RX, RY, RE}), (Y, {RY, RE})]
)
def test_a_change_of_values_reaches_only_what_is_computed_from_it(graph: World, start: str, hit: set[str]) -> None:
    assert readers(graph.downstream(start)) == hit


@pytest.mark.parametrize(
    ("start", "hit"), [(T, {RX, RY, RE, RB}), (J, {RX, RY, RE}), (A, {RX, RY, RE}), (B, {RB}), (X, {RX, RE})]
)
def test_a_loss_also_reaches_all_that_the_failing_job_writes(graph: World, start: str, hit: set[str]) -> None:
    assert readers(graph.downstream(start, Follow.LOSS)) == hit


def test_an_output_without_column_lineage_depends_on_every_column_read(graph: World) -> None:
    graph.register(*SECOND_OUTPUT)
    assert readers(graph.downstream(B)) == {RB, RF}
    assert readers(graph.downstream(B, Follow.LOSS)) == {RX, RY, RE, RF, RB}
    assert readers(graph.downstream(A)) == {RX, RE, RF}
    assert readers(graph.downstream(T)) == {RX, RE, RB, RF}


@pytest.mark.parametrize(
    ("reader", "causes"),
    [
        (RX, {X, E, J, A, T}),
        (RY, {Y, E, J}),
        (RE, {E, X, Y, J, A, T}),
        (RB, {B, T}),
    ],
)
def test_upstream_of_a_reader_is_what_it_is_computed_from(graph: World, reader: str, causes: set[str]) -> None:
    assert graph.upstream(reader) == causes


def test_upstream_of_a_literal_column_a_loss_of_the_jobs_input_is_seen(graph: World) -> None:
    assert graph.upstream(RY, Follow.LOSS) == {Y, E, J, A, T}


def test_sibling_columns_the_start_and_its_container_are_not_in_the_answer(graph: World) -> None:
    assert graph.downstream(A) == {J, X, E, RX, RE}
    assert graph.downstream(T) & {T, A, B} == set()
    assert graph.upstream(X) == {A, T, J}


def test_what_is_reached_in_part_only_is_marked_partly(graph: World) -> None:
    assert graph.partly(A) == {J, E}
    assert graph.partly(J) == set()
    assert graph.partly(A, Follow.LOSS) == set()


def test_hops_count_flows_only(graph: World) -> None:
    lineage = graph.walk(T)
    hops = dict(zip(map(str, lineage.keys()), lineage.hops.tolist(), strict=True))
    assert hops == {J: 1, X: 1, E: 1, RB: 1, RX: 2, RE: 2}


def test_a_column_that_affects_all_rows_reaches_every_column_of_the_output(graph: World) -> None:
    graph.register(flow(B, E, via=J))
    assert readers(graph.downstream(B)) == {RX, RY, RE, RB}


def test_an_input_that_column_lineage_does_not_name_reaches_everything_the_job_writes(graph: World) -> None:
    graph.register(flow("dataset:w/lookup", J))
    assert readers(graph.downstream("dataset:w/lookup")) == {RX, RY, RE}


@pytest.mark.parametrize(
    ("coarse", "finer", "is_narrowed"),
    [
        (Basis.OBSERVED, Basis.INFERRED, False),
        (Basis.OBSERVED, Basis.IMPORTED, False),
        (Basis.INFERRED, Basis.DECLARED, True),
        (Basis.DECLARED, Basis.OBSERVED, True),
        (Basis.IMPORTED, Basis.IMPORTED, True),
    ],
)
def test_a_weaker_basis_never_narrows_what_a_stronger_one_tells(
    world: World, coarse: Basis, finer: Basis, is_narrowed: bool
) -> None:
    world.register(flow(T, J), flow(J, E), *READS, k(Y), origin="coarse", basis=coarse)
    world.register(flow(A, X, via=J), origin="finer", basis=finer)
    assert readers(world.downstream(B)) == ({RB} if is_narrowed else {RB, RX, RY, RE})


def test_an_origin_narrows_what_it_said_itself_on_a_stronger_basis(world: World) -> None:
    world.register(flow(T, J), flow(J, E), *READS, origin="one", basis=Basis.OBSERVED)
    world.register(flow(A, X, via=J), origin="one", basis=Basis.INFERRED)
    assert readers(world.downstream(B)) == {RB}


def test_column_lineage_narrows_exactly_while_it_holds(world: World) -> None:
    world.register(*(FlowStatement(each, {}, since=0) for each in (flow(T, J), flow(J, E), *READS)))
    world.register(FlowStatement(flow(A, X, via=J), {}, since=10, until=20))
    assert [readers(world.downstream(B, at=at)) == {RB} for at in (9, 10, 19, 20)] == [False, True, True, False]


def test_column_lineage_of_another_job_narrows_nothing(graph: World) -> None:
    other, extra = "job:w/other", "dataset:w/extra"
    graph.register(flow(T, other), flow(other, extra), flow(extra, RF))
    assert RF in graph.downstream(B)


def test_column_lineage_learned_later_narrows_and_withdrawn_widens_again(world: World) -> None:
    finer = flow(A, X, via=J)
    world.register(flow(A, J), *JOB[:2], *READS)
    assert readers(world.downstream(B)) == {RX, RY, RE, RB}
    world.register(finer)
    assert readers(world.downstream(B)) == {RB}
    world.register(Withdrawal(finer))
    assert readers(world.downstream(B)) == {RX, RY, RE, RB}


# Straight from container to container

V, FEATURE, OTHER = "feature_view:w/V", "feature:w/V#f", "feature:w/V#g"


def test_a_direct_flow_between_containers_reaches_all_of_the_second_from_any_part_of_the_first(world: World) -> None:
    world.register(flow(T, E), k(A), *map(k, (X, Y)), *READS)
    assert readers(world.downstream(A)) == {RX, RY, RE}
    assert world.partly(A) == set()


def test_a_direct_flow_between_containers_is_narrowed_by_flows_between_their_parts(world: World) -> None:
    world.register(flow(T, E), flow(A, X), *map(k, (B, Y)), *READS)
    assert readers(world.downstream(T)) == {RX, RE, RB}
    assert readers(world.downstream(B)) == {RB}
    assert readers(world.downstream(T, Follow.LOSS)) == {RX, RY, RE, RB}
    assert readers(world.downstream(A, Follow.LOSS)) == {RX, RE}


def test_flows_between_parts_learned_later_narrow_and_withdrawn_widen_again(world: World) -> None:
    world.register(flow(T, E), *READS)
    assert readers(world.downstream(B)) == {RX, RY, RE, RB}
    world.register(flow(A, X))
    assert readers(world.downstream(B)) == {RB}
    world.register(Withdrawal(flow(A, X)))
    assert readers(world.downstream(B)) == {RX, RY, RE, RB}


def test_a_weaker_flow_between_parts_narrows_no_direct_flow(world: World) -> None:
    world.register(flow(T, E), *map(k, (B, Y)), *READS, origin="observer", basis=Basis.OBSERVED)
    world.register(flow(A, X), origin="parser", basis=Basis.INFERRED)
    assert readers(world.downstream(B)) == {RX, RY, RE, RB}


# Two levels: dataset columns → a view's features → a model

RUN, VERSION, MODEL = "run:w/train#00000000-0000-0000-0000-000000000001", "model_version:w/M#1", "model:w/M"
TRAIN, DEPLOYMENT = "job:w/train", "deployment:w/D"


@pytest.fixture
def trained(world: World) -> World:
    """f ← a, g ← b; a model trained on f alone is served by its name."""
    world.register(
        *(flow(T, V), flow(A, FEATURE), flow(B, OTHER), flow(FEATURE, RUN), flow(RUN, VERSION), flow(MODEL, DEPLOYMENT))
    )
    return world


def test_a_column_reaches_a_model_through_the_one_feature_made_of_it(trained: World) -> None:
    assert trained.downstream(A) == {FEATURE, V, RUN, TRAIN, VERSION, MODEL, DEPLOYMENT}
    assert trained.downstream(B) == {OTHER, V}
    assert trained.partly(A) == {V, TRAIN, MODEL}
    assert trained.upstream(DEPLOYMENT) == {MODEL, VERSION, RUN, TRAIN, FEATURE, V, A, T}


def test_a_feature_that_is_lost_takes_its_view_and_the_training_job_along(trained: World) -> None:
    assert trained.downstream(B, Follow.LOSS) == {OTHER, FEATURE, V, RUN, TRAIN, VERSION, MODEL, DEPLOYMENT}


# Both directions are one relation


def _all(graph: World) -> list[AssetKey]:
    view = graph.index.view()
    return [view.key(number) for number in range(1, len(view.keys))]


@pytest.mark.parametrize("follow", Follow)
@pytest.mark.parametrize("name", ["graph", "trained"])
def test_y_is_downstream_of_x_exactly_when_x_is_upstream_of_y(
    name: str, follow: Follow, request: pytest.FixtureRequest
) -> None:
    graph: World = request.getfixturevalue(name)
    graph.register(*SECOND_OUTPUT, Flow(k(F), k(T)))
    keys = _all(graph)
    down = {(str(x), y) for x in keys for y in graph.downstream(str(x), follow)}
    up = {(x, str(y)) for y in keys for x in graph.upstream(str(y), follow)}
    assert down == up
    assert len(down) > 40


@pytest.mark.parametrize(
    ("start", "direction", "expected"),
    [
        (A, Direction.DOWNSTREAM, {(A, X), (A, J), (X, RX), (E, RE)}),
        (T, Direction.DOWNSTREAM, {(T, X), (T, J), (T, RB), (X, RX), (E, RE)}),
        (E, Direction.UPSTREAM, {(J, E), (A, E)}),
        (RY, Direction.UPSTREAM, {(J, E), (Y, RY)}),
    ],
)
def test_arrows_are_what_the_walk_took(
    graph: World, start: str, direction: Direction, expected: set[tuple[str, str]]
) -> None:
    lineage = graph.walk(start, direction)
    rows = np.arange(len(lineage))
    keys = [*map(str, lineage.keys()), start]
    assert {(keys[arrow.source], keys[arrow.target]) for arrow in arrows_walked(lineage, rows)} == expected


def test_arrows_join_only_what_is_selected(graph: World) -> None:
    lineage = graph.walk(A)
    rows = selected(lineage, AssetFilter(kinds=(AssetKind.COLUMN, AssetKind.CONSUMER)))
    keys = [*(str(lineage.key(row)) for row in rows.tolist()), A]
    assert {(keys[a.source], keys[a.target]) for a in arrows_walked(lineage, rows)} == {(A, X), (X, RX)}
