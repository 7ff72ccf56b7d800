"""Whatever is registered, in whatever order: the index answers what the oracle answers."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from graph.changes import AssetStatement, FlowStatement, Registration, Withdrawal
from graph.errors import NotFound
from graph.impact import When, all_historic, felt_at, when_felt
from graph.index import LineageIndex
from graph.keys import AssetKey, AssetKind
from graph.model import FLOWS, Attributes, Basis, Flow, Operation, Timing
from graph.paths import paths
from graph.plan import register
from graph.snapshot import load, save
from graph.stores.sqlite import SqliteStore
from graph.topology import Moment, View
from graph.walk import AssetFilter, Direction, FlowFilter, Follow, Lineage, located, selected, walk
from tests.graph.oracle import Answer, Oracle, facts
from tests.graph.world import Statement, interrupted, k, registration

# A small world, so that flows meet

DATA = [k(f"{kind}:w/{name}") for kind, name in (("dataset", "T"), ("dataset", "E"), ("dataset", "log"))]
COLUMNS = [k(f"column:w/{name}") for name in ("T#a", "T#b", "E#x", "E#y")]
FEATURES = [k("feature_view:w/V"), k("feature:w/V#f"), k("feature:w/V#g")]
JOBS = [k("job:w/J"), k("job:w/K")]
RUNS = [k(f"run:w/J#00000000-0000-0000-0000-00000000000{digit}") for digit in (1, 2)]
MODELS = [k("model:w/M"), *(k(f"model_version:w/M#{version}") for version in (2, 10, 9))]
ALIASES = [k("model_version:w/M#%40champion"), k("model_version:w/M#%40next")]
ENDS = [k("deployment:w/D"), k("deployment:other/D2"), k("consumer:w/C"), k("consumer:other/C2")]
OTHER_NAMES = [k("dataset:s/T"), k("consumer:s/C"), k("deployment:s/D")]
OTHER_PARTS = [k("column:s/T#a"), k("column:s/T#z")]
ALERT = k("alert:w/A")  # nothing flows at it
ASSETS = [*DATA, *COLUMNS, *FEATURES, *JOBS, *RUNS, *MODELS, *ENDS, ALERT, *OTHER_NAMES, *OTHER_PARTS]
FLOW_POOL = [
    Flow(source, target)
    for source in [*ASSETS, *ALIASES]
    for target in ASSETS
    if source != target and (source.kind, target.kind) in FLOWS
]
VIA_POOL = [
    Flow(flow.source, flow.target, job)
    for flow in FLOW_POOL
    for job in JOBS
    if {flow.source, flow.target} <= {*DATA, *COLUMNS, *FEATURES} and {flow.source, flow.target} & {*COLUMNS, *FEATURES}
]


def among(*keys: AssetKey, via: AssetKey | None = None) -> list[Flow]:
    """All flows of the pool between these, and the assets themselves."""
    return [flow for flow in [*FLOW_POOL, *VIA_POOL] if {flow.source, flow.target} <= set(keys) and flow.via == via]


T, E, LOG = DATA
V, F, G = FEATURES
J, K = JOBS
D, D2, C, C2 = ENDS
SCENES: list[list[AssetKey | Flow]] = [
    [J, *among(T, E, LOG, J), *among(T, E, *COLUMNS, via=J), *among(E, *COLUMNS[2:], C)],
    [*among(T, J), *among(J, E), *among(J, LOG), Flow(COLUMNS[0], COLUMNS[2], J), Flow(COLUMNS[1], E, J), Flow(LOG, C)],
    [*among(T, *COLUMNS[:2], J), *among(J, V), *among(COLUMNS[0], COLUMNS[1], *FEATURES, via=J), *among(V, F, G, D)],
    [*among(T, E), *among(T, E, *COLUMNS), *among(*COLUMNS, C)],
    [*among(T, V), *among(T, COLUMNS[0], *FEATURES), *among(F, C), *among(G, D), V, ALERT],
    [*ALIASES, *MODELS, *MODELS[1:], D, D, D2, *among(*MODELS, *ALIASES, D, D2), *among(D, D2, C, LOG)],
    [*ALIASES, *MODELS[1:], D, *among(*MODELS[1:], *ALIASES, D), *among(COLUMNS[0], F, G), *among(D, C)],
    [*RUNS, *MODELS[1:], *among(T, F, *RUNS), *among(*RUNS, *MODELS, E), *among(*MODELS, C), *ALIASES],
    [*among(*MODELS, *ALIASES, *RUNS), *among(*RUNS, T, E), *among(T, E, J)],
    [Flow(T, E), *among(*COLUMNS[1:3]), *among(*COLUMNS[1:3], via=J), *among(COLUMNS[2], COLUMNS[3], C), *among(T, J)],
    [D, MODELS[1], MODELS[2], *ALIASES, *among(*MODELS[1:3], *ALIASES, D), *among(F, C), Flow(T, D), Flow(D, LOG)],
    [
        *DATA[:2],
        *OTHER_NAMES[:1],
        *OTHER_PARTS,
        *COLUMNS,
        *among(*DATA[:2], *OTHER_NAMES[:1], *OTHER_PARTS, *COLUMNS, J),
    ],
    [*DATA[:2], *OTHER_NAMES, *ENDS, *among(*DATA[:2], *OTHER_NAMES, *ENDS), *among(*OTHER_PARTS, *COLUMNS, *ENDS[2:])],
    [*OTHER_NAMES, *ENDS, *ALIASES, *MODELS[1:], *among(*OTHER_NAMES, *ENDS, *MODELS, *ALIASES, F)],
    [*ASSETS, *ALIASES, *FLOW_POOL, *VIA_POOL],
]
"""What may be said together: small enough that the parts of one refinement, or of one deployment, do meet."""

SAME = {
    key: [other for other in (*DATA, *ENDS, *OTHER_NAMES) if other.kind is key.kind and other != key]
    for key in (*DATA, *ENDS, *OTHER_NAMES)
}
"""What may be said to be the same as what."""

ORIGINS = ("one", "two", "three")
END_OF_TIME = 12
"""Everything happens within a dozen microseconds."""

instants = st.integers(0, END_OF_TIME)
mostly_late = instants | st.just(END_OF_TIME)


@st.composite
def attributes_of(draw: st.DrawFn, key: AssetKey) -> Attributes:
    said: dict[str, object] = {}
    if key.is_alias:
        return {"version": draw(st.sampled_from(["2", "9", "10"]))}
    if draw(st.booleans()):
        said["owners"] = [{"name": name} for name in draw(st.sets(st.sampled_from(["ann", "bob"])))] or None
    if draw(st.booleans()):
        said["tags"] = draw(st.lists(st.sampled_from(["pii", "gold"]), unique=True))
    if draw(st.booleans()):
        said["tier"] = draw(st.sampled_from([None, 1, 2]))
    if key.kind is AssetKind.MODEL_VERSION:
        named = draw(st.lists(st.sampled_from(FEATURES), unique=True, max_size=2))
        said["signature"] = {"inputs": [{"name": str(feature), "feature": str(feature)} for feature in named]}
    if key in SAME and draw(st.integers(0, 2)) == 0:
        others = draw(st.lists(st.sampled_from(SAME[key]), unique=True, max_size=2))
        said["same_as"] = [str(other) for other in others]
    if key.kind is AssetKind.DEPLOYMENT:
        said["features_from"] = draw(st.sampled_from(["store", "request", None]))
    return said  # type: ignore[return-value]


@st.composite
def spans(draw: st.DrawFn) -> tuple[int | None, int | None]:
    """Mostly from now on."""
    if draw(st.integers(0, 2)):
        return None, None
    since = draw(instants)
    return since, draw(st.none() | st.integers(since + 1, END_OF_TIME + 1))


@st.composite
def registrations(draw: st.DrawFn, scene: list[AssetKey | Flow]) -> tuple[Registration, int]:
    """What one origin says, and when."""
    said: list[Statement] = []
    subjects = draw(st.lists(st.sampled_from(scene), unique=True, min_size=min(5, len(scene)), max_size=15))
    for subject in subjects:
        if draw(st.integers(0, 12)) == 0:
            said.append(Withdrawal(subject, draw(st.none() | instants)))
        elif isinstance(subject, Flow):
            said.append(FlowStatement(subject, {}, *draw(spans())))
        else:
            said.append(AssetStatement(subject, draw(attributes_of(subject)), *draw(spans())))
    origin, basis = draw(st.sampled_from(ORIGINS)), draw(st.sampled_from(Basis))
    return registration(said, origin, basis, complete=draw(st.integers(0, 9)) == 0), draw(instants)


scenes = st.sampled_from(SCENES) | st.lists(st.sampled_from(SCENES[:-1]), min_size=2, max_size=2).map(
    lambda two: list(dict.fromkeys([*two[0], *two[1]]))
)
histories = scenes.flatmap(lambda scene: st.lists(registrations(scene), min_size=3, max_size=8))


class Question(NamedTuple):
    start: int
    """Which of those that are there, counted round."""
    direction: Direction
    follow: Follow
    at: int
    known_at: float
    """Share of the revisions so far."""
    flows: FlowFilter
    depth: int | None
    wanted: AssetFilter
    target: int
    """As `start`."""


def some(*values: object) -> st.SearchStrategy[tuple[object, ...]]:
    return st.lists(st.sampled_from(values), min_size=1, max_size=2, unique=True).map(tuple)


questions = st.builds(
    Question,
    start=st.integers(0, 99),
    direction=st.sampled_from(Direction),
    follow=st.sampled_from(Follow),
    at=mostly_late,
    known_at=st.sampled_from([1.0, 1.0, 1.0, 0.7, 0.4]),
    flows=st.one_of(
        st.just(FlowFilter()),
        st.builds(FlowFilter, bases=some(*Basis)),
        st.builds(FlowFilter, timings=some(*Timing), origins=some(*ORIGINS)),
    ),
    depth=st.sampled_from([None, None, None, 0, 1, 2]),
    wanted=st.one_of(
        st.builds(AssetFilter, kinds=some(*AssetKind), namespaces=some("w", "other")),
        st.builds(AssetFilter, owners=some("ann", "bob")),
        st.builds(AssetFilter, tiers=some(1, 2, 3)),
        st.builds(AssetFilter, owners=some("ann", "bob"), tags=some("pii", "gold")),
    ),
    target=st.integers(0, 99),
)


def tell(store: SqliteStore, wanted: Registration, now: int) -> None:
    wanted = tellable(store, wanted)
    register(store, wanted, Operation(None, wanted.digest(), "tester"), now)


def tellable(store: SqliteStore, wanted: Registration) -> Registration:
    """Withdraws only what that origin said before, and what column lineage in the same request does not imply."""
    said = store.believed_by(wanted.origin)
    implied = {end for stated in wanted.flows if (job := stated.flow.via) for end in _around(stated.flow, job)}
    possible = tuple(each for each in wanted.withdrawals if each.subject in said and each.subject not in implied)
    return replace(wanted, withdrawals=possible)


def _around(flow: Flow, job: AssetKey) -> list[Flow]:
    inputs, output = (flow.source, flow.source.container), flow.target.container or flow.target
    return [Flow(job, output), *(Flow(each, job) for each in inputs if each)]


def check(view: View, oracle: Oracle, question: Question, moment: Moment) -> None:
    """The index's answers to one question, against the oracle's."""
    nth, direction, follow, _, _, flows, depth, wanted, _ = question
    there = [key for key in [*ASSETS, *ALIASES] if oracle.is_there(key)]
    for key in {*ASSETS, *ALIASES}.difference(there):
        with pytest.raises(NotFound):
            located(view, key, moment)
    if not there:
        return
    start = there[nth % len(there)]
    lineage = walk(view, start, direction, moment, follow, flows, depth)
    expected = oracle.walk(start, direction, follow, flows, depth)
    assert answer_of(lineage) == expected
    keys = lineage.keys()
    assert keys == sorted(keys, key=lambda key: (expected.assets[key][0], str(key)))
    assert {keys[row] for row in selected(lineage, wanted).tolist()} == oracle.selected(keys, wanted)
    felt = when_felt(lineage)
    beside = felt_at(lineage.met, lambda: all_historic(view, moment))
    assert np.array_equal(when_felt(lineage, beside), felt)
    assert {key: When(code) for key, code in zip(keys, felt.tolist(), strict=True)} == oracle.when(
        start, direction, follow, flows, depth
    )
    target = there[question.target % len(there)]
    if not target.is_alias:
        check_paths(view, oracle, moment, question, start, target)
    event(f"{min(len(keys), 5)} assets or more in the answer")


def check_paths(
    view: View, oracle: Oracle, moment: Moment, question: Question, start: AssetKey, target: AssetKey
) -> None:
    source, follow, flows = oracle.version_of(oracle.one(start)), question.follow, question.flows
    target = oracle.one(target)
    assert source is not None
    one = paths(view, start, target, moment, follow, flows)
    many = paths(view, start, target, moment, follow, flows, at_most=20)
    if target not in oracle.walk(source, Direction.DOWNSTREAM, follow, flows).assets:
        assert one == many == []
        return
    shortest = oracle.shortest_paths(source, target, follow, flows)
    told = [tuple((hop.flow.source, hop.flow.target) for hop in path.hops) for path in many]
    assert len(one) == 1
    assert tuple((hop.flow.source, hop.flow.target) for hop in one[0].hops) in shortest
    if len(many) < 20:
        assert {path for path in told if len(path) == len(one[0].hops)} == shortest
    assert [len(path) for path in told] == sorted(len(path) for path in told)
    assert len(set(many)) == len(many)


def answer_of(lineage: Lineage) -> Answer:
    columns = (lineage.hops.tolist(), lineage.partly.tolist(), lineage.stub.tolist())
    assets = dict(zip(lineage.keys(), zip(*columns, strict=True), strict=True))
    return Answer(assets, lineage.complete, frozenset(lineage.frontier))


def loaded(store: SqliteStore) -> LineageIndex:
    index = LineageIndex(store)
    index.load()
    return index


@contextmanager
def empty_store() -> Iterator[SqliteStore]:
    with tempfile.TemporaryDirectory() as folder:
        store = SqliteStore(Path(folder) / "headwater.db")
        try:
            yield store
        finally:
            store.close()


def moment_of(question: Question, revision: int) -> Moment:
    return Moment(question.at, round(question.known_at * revision))


@given(histories, st.lists(questions, min_size=6, max_size=12))
def test_an_index_that_followed_one_freshly_loaded_and_one_compacted_answer_as_the_oracle(
    said: list[tuple[Registration, int]], asked: list[Question]
) -> None:
    with empty_store() as store:
        followed, compacted, heard, late = (loaded(store) for _ in range(4))
        store.announce_to(heard.hear)
        for wanted, now in said:
            tell(store, wanted, now)
            followed.follow()
            compacted.follow()
            compacted.compact()
        late.follow()  # all of it at once
        indexes = (followed, loaded(store), compacted, heard, late)
        known, views = facts(store), [index.view() for index in indexes]
        assert heard.revision == store.head()
        for question in asked:
            moment = moment_of(question, store.head())
            oracle = Oracle(known, *moment)
            for view in views:
                check(view, oracle, question, moment)


class Interleaved(RuleBasedStateMachine):
    """Registering, following, compacting, saving, restarting and asking in any order, by an index and its replica.

    Old views keep their answers.
    """

    @initialize(scene=scenes)
    def begin(self, scene: list[AssetKey | Flow]) -> None:
        self.scene = scene
        self.folder = tempfile.TemporaryDirectory()
        self.store = SqliteStore(Path(self.folder.name) / "headwater.db")
        self.index, self.replica = loaded(self.store), loaded(self.store)
        self.views = [self.index.view()]
        self.snapshot = Path(self.folder.name) / "index"

    @rule(data=st.data())
    def register(self, data: st.DataObject) -> None:
        tell(self.store, *data.draw(registrations(self.scene)))

    @rule()
    def hear_of_commits(self) -> None:
        self.store.announce_to(self.index.hear)

    @rule(data=st.data())
    def register_and_follow(self, data: st.DataObject) -> None:
        self.register(data)
        self.index.follow()

    @rule()
    def compact(self) -> None:
        self.index.compact()

    @rule(data=st.data(), nth=st.sampled_from([2, 3, 6, 7]))
    def compact_while_others_register(self, data: st.DataObject, nth: int) -> None:
        with interrupted(self.index, nth, lambda: self.register_and_follow(data)):
            self.index.compact()

    @rule()
    def reload(self) -> None:
        self.index.load()

    @rule()
    def save(self) -> None:
        save(self.index, self.store, self.snapshot)

    @rule(data=st.data())
    def save_while_others_register(self, data: st.DataObject) -> None:
        with interrupted(self.index, 2, lambda: self.register_and_follow(data)):
            save(self.index, self.store, self.snapshot)

    @precondition(lambda self: self.snapshot.exists())
    @rule()
    def restart(self) -> None:
        self.index = LineageIndex(self.store)
        assert load(self.index, self.store, self.snapshot) is None

    @rule()
    def the_replica_follows(self) -> None:
        self.replica.follow()
        self.replica.compact()

    @rule()
    def the_replica_takes_over(self) -> None:
        self.index, self.replica = self.replica, loaded(self.store)

    @rule(question=questions)
    def prepare_a_moment(self, question: Question) -> None:
        view = self.index.view()
        view.remember(moment_of(question, view.revision))
        self._check(view, question)

    @rule()
    def keep_a_view(self) -> None:
        self.views = [*self.views[-2:], self.index.view()]

    @rule(question=questions)
    def ask(self, question: Question) -> None:
        self._check(self.index.view(), question)

    @rule(question=questions)
    def ask_the_replica(self, question: Question) -> None:
        self._check(self.replica.view(), question)

    @rule(question=questions)
    def ask_an_old_view(self, question: Question) -> None:
        self._check(self.views[0], question)

    def _check(self, view: View, question: Question) -> None:
        moment = moment_of(question, view.revision)
        check(view, Oracle(facts(self.store), *moment), question, moment)

    @invariant()
    def nothing_is_ahead(self) -> None:
        assert self.index.revision <= self.store.head()

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()
            self.folder.cleanup()


TestInterleaved = Interleaved.TestCase
TestInterleaved.settings = settings(stateful_step_count=30)
