"""Whatever the graph, and whatever readers say of their flows: a change spreads as a plain label, carried from flow to flow."""

import tempfile
from collections.abc import Collection
from pathlib import Path

from hypothesis import event, given
from hypothesis import strategies as st

from graph.changes import AssetStatement, FlowStatement
from graph.check.ground import Ground
from graph.check.spread import spread
from graph.check.verdicts import RESULTS, Cure, Difference, Verdict
from graph.impact import When
from graph.keys import AssetKey, AssetKind
from graph.model import Attributes, Basis, Flow
from graph.walk import Follow
from tests.graph.oracle import Edge, Oracle, Vertex, facts
from tests.graph.test_index_equals_oracle import ASSETS, FEATURES, SCENES
from tests.graph.world import World

GONE = Difference("presence", True, False, Verdict.BREAKING, "it is gone", frozenset({Cure.DEFAULT}))
RETYPED = Difference("type", "int", "text", Verdict.BREAKING, "it is a text", frozenset({Cure.CAST}))
OTHER = Difference("unit", "EUR", "USD", Verdict.BEHAVIOURAL, "it is in dollars")
UNTOLD = Difference("definition", "a", "b", Verdict.UNKNOWN, "nobody knows")

READERS: list[Attributes] = [{}, {}, {}, {"default": 0}, {"cast": "int"}, {"optional": True}]

Results = dict[AssetKey, set[tuple[Verdict, When]]]


@st.composite
def worlds(draw: st.DrawFn) -> list[AssetStatement | FlowStatement]:
    scene = draw(st.sampled_from(SCENES))
    said: list[AssetStatement | FlowStatement] = []
    for subject in draw(st.lists(st.sampled_from(scene), unique=True, min_size=min(5, len(scene)), max_size=20)):
        if isinstance(subject, Flow):
            said.append(FlowStatement(subject, draw(st.sampled_from(READERS))))
        else:
            said.append(AssetStatement(subject, draw(attributes_of(subject))))
    return said


@st.composite
def attributes_of(draw: st.DrawFn, key: AssetKey) -> Attributes:
    if key.is_alias:
        return {"version": draw(st.sampled_from(["2", "9", "10"]))}
    if key.kind is AssetKind.MODEL_VERSION:
        named = draw(st.lists(st.sampled_from(FEATURES), unique=True, max_size=2))
        return {"signature": {"inputs": [{"name": str(feature), "feature": str(feature)} for feature in named]}}
    if key.kind is AssetKind.DEPLOYMENT:
        return {"features_from": draw(st.sampled_from(["store", "request"]))}
    return {}


class Labels:
    """Carries (vertex, verdict, when) along edges until nothing new comes."""

    def __init__(self, oracle: Oracle, said: dict[Flow, Attributes], start: AssetKey) -> None:
        self.oracle, self.said = oracle, said
        asset = oracle.version_of(start)
        assert asset is not None
        self.asset, self.first = asset, Vertex(asset, "whole")

    def results(self, differences: Collection[Difference]) -> Results:
        held = {(self.first, each.verdict, When.NOW, True) for each in differences}
        ahead = [*held]
        while ahead:
            vertex, verdict, when, is_direct = ahead.pop()
            for edge in self.oracle.edges:
                if edge.source != vertex or not self._is_walked(edge, verdict) or self._is_history(edge.target.key):
                    continue
                for told in self._carried(edge, verdict, when, differences if is_direct else ()):
                    label = (edge.target, *told, is_direct and edge.told is None and not edge.built)
                    if label not in held:
                        held.add(label)
                        ahead.append(label)
        found: Results = {}
        for vertex, verdict, when, _ in held:
            found.setdefault(vertex.key, set()).add((verdict, when))
        return found

    def _carried(
        self, edge: Edge, verdict: Verdict, when: When, differences: Collection[Difference]
    ) -> list[tuple[Verdict, When]]:
        later = When.NEXT_TRAINING if edge.built else when
        if edge.told is not None and differences:
            relevant = [each for each in differences if each.verdict is verdict]
            if verdict is Verdict.BREAKING and all(map(self._is_cured, [edge] * len(relevant), relevant)):
                return [(Verdict.BEHAVIOURAL, later)]
        elif edge.told is not None and verdict is Verdict.BREAKING and self._does_without(edge):
            return [(Verdict.BEHAVIOURAL, later)]
        if verdict is Verdict.BREAKING and when is When.NEXT_TRAINING:  # a run that fails makes nothing
            if edge.told is not None:
                return [(Verdict.BEHAVIOURAL, later)]
            return [(verdict, when)] if edge.target.key == edge.source.key else []
        if verdict is Verdict.BREAKING and edge.built and edge.target.key.kind is not AssetKind.RUN:
            return [(Verdict.BEHAVIOURAL, later)]
        return [(verdict, later)]

    def _is_walked(self, edge: Edge, verdict: Verdict) -> bool:
        return (Follow.VALUES if verdict is Verdict.BEHAVIOURAL else Follow.LOSS) in edge.walks

    def _is_history(self, key: AssetKey) -> bool:
        ages = key.kind in (AssetKind.RUN, AssetKind.MODEL_VERSION) and not key.is_alias
        return ages and key != self.asset and not self.oracle._is_of_use(key)

    def _reader(self, edge: Edge) -> Attributes:
        assert edge.told is not None
        source, _, via = flow = edge.told.flow
        if edge.told.basis is Basis.INFERRED and flow not in self.said:  # what requests carry
            return {}
        reads = [Flow(each, via) for each in (source.container, source) if each] if via else []
        return {name: value for each in (*reads, flow) for name, value in self.said.get(each, {}).items()}

    def _is_cured(self, edge: Edge, difference: Difference) -> bool:
        return self._does_without(edge) if Cure.DEFAULT in difference.cures else "cast" in self._reader(edge)

    def _does_without(self, edge: Edge) -> bool:
        reader = self._reader(edge)
        return reader.get("default") is not None or reader.get("optional") is True


@given(
    worlds(),
    st.integers(0, 99),
    st.sampled_from([[GONE], [RETYPED], [OTHER], [GONE, OTHER], [UNTOLD], [RETYPED, UNTOLD]]),
)
def test_a_change_spreads_as_labels_do(
    said: list[AssetStatement | FlowStatement], nth: int, differences: list[Difference]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder))
        world.register(*said)
        moment = world.moment()
        oracle = Oracle(facts(world.store), *moment)
        there = [key for key in ASSETS if oracle.is_there(key) and key.kind is not AssetKind.ALERT]
        if not there:
            return
        start = there[nth % len(there)]
        ground = Ground(world.index.view(), moment, world.store.believed, {}, ())
        found = spread(ground, start, differences, ground.view)
        lineage = found.lineage
        got = {
            key: {RESULTS[place] for place in range(len(RESULTS)) if bits >> place & 1}
            for key, bits in zip(lineage.keys(), found.results.tolist(), strict=True)
            if bits
        }
        flows = {each.flow: each.attributes for each in said if isinstance(each, FlowStatement)}
        expected = Labels(oracle, flows, start).results(differences)
        reached = {*oracle.walk(start, lineage.direction, lineage.follow).assets}
        reached |= oracle.parts(start) if start.kind is AssetKind.JOB else set()
        assert got == {key: each for key, each in expected.items() if key in reached}
        event(f"{min(len(got), 5)} assets or more")
        world.store.close()
