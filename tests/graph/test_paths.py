"""Which flows lead from one asset to another, shortest first."""

from collections.abc import Iterator

import networkx as nx
import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from graph.changes import AssetStatement, Registration
from graph.errors import NotFound
from graph.keys import AssetKey
from graph.model import Basis, Flow, Json
from graph.paths import Count, Hop, count_paths, paths
from graph.topology import Moment
from graph.walk import FlowFilter, Follow
from tests.graph.oracle import GRAINED, Oracle, Vertex, facts
from tests.graph.test_index_equals_oracle import (
    ALIASES,
    ASSETS,
    Question,
    empty_store,
    histories,
    loaded,
    moment_of,
    questions,
    tell,
)
from tests.graph.world import World, flow, k, registration

A, B, C, D, E = (f"dataset:w/{name}" for name in "abcde")


def ends(world: World, source: str, target: str, at_most: int = 1, follow: Follow = Follow.VALUES) -> list[str]:
    """Each path as the assets where its flows end."""
    found = paths(world.index.view(), k(source), k(target), world.moment(), follow, at_most=at_most)
    return [" ".join(str(hop.flow.target).partition(":")[2] for hop in path.hops) for path in found]


def hops(world: World, source: str, target: str, flows: FlowFilter | None = None) -> tuple[Hop, ...]:
    (path,) = paths(world.index.view(), k(source), k(target), world.moment(), flows=flows)
    return path.hops


def test_a_diamond_shows_both_ways_in_the_order_of_the_keys(world: World) -> None:
    world.register(flow(A, C), flow(A, B), flow(C, D), flow(B, D))
    assert ends(world, A, D, at_most=5) == ["w/b w/d", "w/c w/d"]
    assert len(ends(world, A, D)) == 1


def test_the_shortest_come_first_and_never_more_than_asked_for(world: World) -> None:
    world.register(flow(A, B), flow(B, C), flow(C, D), flow(B, D), flow(A, D), flow(D, A))
    assert ends(world, A, D, at_most=9) == ["w/d", "w/b w/d", "w/b w/c w/d"]
    assert ends(world, A, D, at_most=2) == ["w/d", "w/b w/d"]
    assert ends(world, A, D) == ["w/d"]


def test_without_a_way_there_is_no_path_and_an_unknown_end_is_an_error(world: World) -> None:
    world.register(flow(A, B))
    assert ends(world, B, A, at_most=3) == []
    assert ends(world, A, A) == []
    with pytest.raises(NotFound):
        ends(world, A, "dataset:w/unknown")


def test_no_path_leads_to_a_part_or_the_container_of_the_start(world: World) -> None:
    world.register(k("column:w/a#x"), flow(A, B), flow(B, A))
    assert ends(world, A, "column:w/a#x", at_most=3) == []
    assert ends(world, "column:w/a#x", A, at_most=3) == []


def test_a_path_through_column_lineage_shows_the_job_that_tells_it(world: World) -> None:
    finer = flow("column:w/a#x", "column:w/b#y", via="job:w/J")
    world.register(flow(A, "job:w/J"), flow("job:w/J", B), finer, flow(B, C))
    assert hops(world, "column:w/a#x", C) == (
        Hop(finer, Basis.OBSERVED, finer),
        Hop(flow(B, C), Basis.OBSERVED, flow(B, C)),
    )


def test_a_hop_shows_the_strongest_basis_that_the_filter_lets_through(world: World) -> None:
    world.register(flow(A, B), origin="parser", basis=Basis.INFERRED)
    world.register(flow(A, B), origin="person", basis=Basis.DECLARED)
    assert hops(world, A, B)[0].basis is Basis.DECLARED
    assert hops(world, A, B, FlowFilter(bases=[Basis.INFERRED]))[0].basis is Basis.INFERRED


FEATURE, VERSION, DEPLOYMENT = "feature:w/V#f", "model_version:w/M#1", "deployment:w/D"
CHAMPION = "model_version:w/M#%40champion"


@pytest.mark.parametrize("named", [VERSION, CHAMPION])
def test_a_feature_reaches_the_deployment_of_a_version_that_needs_it(world: World, named: str) -> None:
    signature: Json = {"inputs": [{"name": "f", "feature": FEATURE}]}
    world.register(
        AssetStatement(k(VERSION), {"signature": signature}),
        AssetStatement(k(CHAMPION), {"version": "1"}),
        flow(named, DEPLOYMENT),
    )
    evidence = Flow(k(named), k(DEPLOYMENT))
    assert hops(world, FEATURE, DEPLOYMENT) == (Hop(Flow(k(FEATURE), k(DEPLOYMENT)), Basis.INFERRED, evidence),)
    assert paths(world.index.view(), k(FEATURE), k(VERSION), world.moment()) == []


def test_a_version_served_by_alias_is_told_with_the_alias_as_evidence(world: World) -> None:
    run = "run:w/train#00000000-0000-0000-0000-000000000001"
    world.register(AssetStatement(k(CHAMPION), {"version": "1"}), flow(run, VERSION), flow(CHAMPION, DEPLOYMENT))
    assert hops(world, run, DEPLOYMENT) == (
        Hop(flow(run, VERSION), Basis.OBSERVED, flow(run, VERSION)),
        Hop(flow(VERSION, DEPLOYMENT), Basis.OBSERVED, flow(CHAMPION, DEPLOYMENT)),
    )


def test_a_loss_finds_paths_that_values_do_not_take(world: World) -> None:
    world.register(
        *(k(f"column:w/{column}") for column in ("a#x", "b#y", "b#z")),
        *(flow(A, "job:w/J"), flow("job:w/J", B), flow("column:w/a#x", "column:w/b#y", via="job:w/J")),
    )
    assert ends(world, "column:w/a#x", "column:w/b#z") == []
    assert ends(world, "column:w/a#x", "column:w/b#z", follow=Follow.LOSS) == ["w/J w/b"]


# Counting, and listing all there are


def count(world: World, source: str, target: str) -> Count:
    return count_paths(world.index.view(), k(source), k(target), world.moment())


def test_paths_are_counted_exactly_however_many(world: World) -> None:
    rungs = 200
    names = [f"dataset:w/{rung:03}" for rung in range(rungs + 1)]
    sides = [(f"dataset:w/{rung:03}-{side}", rung) for rung in range(rungs) for side in "lr"]
    world.register(*(flow(names[rung], side) for side, rung in sides))
    world.register(*(flow(side, names[rung + 1]) for side, rung in sides))
    assert count(world, names[0], names[-1]) == Count(2**rungs, 2**rungs, 2 * rungs, False)
    world.register(flow(names[0], names[-1]))
    assert count(world, names[0], names[-1]) == Count(2**rungs + 1, 1, 1, False)


def test_where_flows_lead_round_only_the_shortest_are_counted(world: World) -> None:
    world.register(flow(A, B), flow(A, C), flow(B, D), flow(C, D), flow(D, E), flow(D, B))
    assert count(world, A, E) == Count(None, 2, 3, True)
    assert ends(world, A, E, at_most=9) == ["w/b w/d w/e", "w/c w/d w/e"]


def test_ways_through_a_container_and_through_its_parts_are_one_path(world: World) -> None:
    """However many columns a table has, and whoever says that it is read."""
    columns = [k(f"column:w/b#{number}") for number in range(30)]
    world.register(*columns, flow(A, B), flow(B, C), flow(C, D), origin="observer")
    world.register(flow(A, B), flow("column:w/a#x", "column:w/b#0"), flow(B, C), origin="parser", basis=Basis.INFERRED)
    assert count(world, A, D) == Count(2, 2, 3, False), "by the table as a whole, and by its column"
    assert ends(world, A, D, at_most=50) == ["w/b#0 w/c w/d", "w/b w/c w/d"]


def test_what_belongs_to_the_start_is_no_path_away(world: World) -> None:
    world.register(k("column:w/a#x"), flow(A, B))
    assert count(world, A, "column:w/a#x") == count(world, B, A) == Count(0, 0, 0, False)


@given(st.sets(st.tuples(st.integers(0, 7), st.integers(0, 7)), min_size=8, max_size=30))
def test_through_circles_the_paths_are_those_of_networkx(joined: set[tuple[int, int]]) -> None:
    keys = [k(f"dataset:w/{name}") for name in "abcdefgh"]
    arcs = [(keys[source], keys[target]) for source, target in sorted(joined) if source != target]
    graph: nx.DiGraph[AssetKey] = nx.DiGraph(arcs)
    graph.add_edge(keys[0], keys[1])
    with empty_store() as store:
        tell(store, registration([*keys, *(Flow(*each) for each in graph.edges)], "one", Basis.OBSERVED), 1)
        view, moment = loaded(store).view(), Moment(1, store.head())
        for source, target in ((keys[0], keys[1]), arcs[-1] if arcs else (keys[0], keys[1])):
            ways = sorted(map(tuple, nx.all_simple_paths(graph, source, target)), key=_length_then_keys)
            for at_most in (1, 50):
                found = [
                    (source, *(hop.flow.target for hop in path.hops))
                    for path in paths(view, source, target, moment, at_most=at_most)
                ]
                assert found == ways[:at_most]
            event(f"{min(len(ways), 50) // 10 * 10} ways or more")


def _length_then_keys(way: tuple[AssetKey, ...]) -> tuple[int, list[str]]:
    return len(way), [str(key) for key in way]


@given(histories, st.lists(questions, min_size=1, max_size=2))
def test_all_paths_are_those_that_trying_every_way_finds(
    said: list[tuple[Registration, int]], asked: list[Question]
) -> None:
    with empty_store() as store:
        for wanted, now in said:
            tell(store, wanted, now)
        known, view = facts(store), loaded(store).view()
        for question in asked:
            moment = moment_of(question, store.head())
            oracle = Oracle(known, *moment)
            for source, target in pairs(oracle, question):
                every = tried(oracle, source, target, question)
                if every is None:
                    event("too many to try")
                    continue
                asked_for = view, source, target, moment, question.follow, question.flows
                counted, listed = count_paths(*asked_for), paths(*asked_for, at_most=50)
                told = [tuple((hop.flow.source, hop.flow.target) for hop in path.hops) for path in listed]
                in_order = sorted(every, key=lambda path: (len(path), [(str(a), str(b)) for a, b in path]))
                shortest = [path for path in in_order if len(path) == len(in_order[0])]
                assert counted[1:3] == (len(shortest), len(in_order[0]) if in_order else 0)
                assert told[: len(shortest)] == shortest[:50]
                assert paths(*asked_for) == listed[:1]
                if counted.cyclic:  # one that comes back to an asset is told only where that leads further
                    assert set(told) <= every
                    assert told == [path for path in in_order if path in told]
                else:
                    assert counted.every == len(every)
                    assert told == in_order[:50]
                event(f"{min(len(every), 4)} paths or more, {'cyclic' if counted.cyclic else 'acyclic'}")


def pairs(oracle: Oracle, question: Question) -> Iterator[tuple[AssetKey, AssetKey]]:
    """One source with all targets."""
    there = [key for key in [*ASSETS, *ALIASES] if oracle.is_there(key)]
    if there:
        source = oracle.version_of(there[question.start % len(there)])
        assert source is not None
        own = {source, source.container, *oracle.parts(source)}
        yield from ((source, target) for target in there if not target.is_alias and target not in own)


_Told = tuple[tuple[AssetKey, AssetKey], ...]


def tried(oracle: Oracle, source: AssetKey, target: AssetKey, question: Question) -> set[_Told] | None:
    """The flows along every path that comes to no port twice; None when there are too many."""
    onward: dict[Vertex, set[tuple[Vertex, tuple[AssetKey, AssetKey] | None]]] = {}
    for edge in oracle.walkable(question.follow, question.flows):
        before, after = port(edge.source), port(edge.target)
        if before != after:
            told = (edge.source.key, edge.target.key) if edge.told else None
            onward.setdefault(before, set()).add((after, told))
    end, found, left = port(Vertex(target, "any")), set[_Told](), 500

    def go(vertex: Vertex, seen: frozenset[Vertex], path: _Told) -> None:
        nonlocal left
        left -= 1
        if vertex == end:
            found.add(path)
        elif left > 0:
            for after, told in onward.get(vertex, ()):
                if after not in seen:
                    go(after, seen | {after}, (*path, told) if told else path)

    first = port(Vertex(source, "whole"))
    go(first, frozenset({first}), ())
    return found if left > 0 else None


def port(vertex: Vertex) -> Vertex:
    """The one port of what has no two."""
    return vertex if vertex.key.kind in GRAINED else Vertex(vertex.key, "whole")
