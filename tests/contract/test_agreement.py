"""Random histories, told to every store and to the model; after each step all must say the same."""

import os
import tempfile
from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from graph.attributes import JOINABLE
from graph.changes import AssetStatement, FlowStatement, Receipt, Registration, Withdrawal
from graph.errors import GraphError
from graph.keys import AssetKey, AssetKind
from graph.model import FLOWS, Basis, Flow, Json, Operation, StoredAssertion, Subject, checked_flow
from graph.plan import register
from graph.stores.contract import Revision, Store
from graph.stores.sqlite import SqliteStore
from tests.model_store import ModelStore
from tests.saying import key
from tests.stores import emptied_neo4j_store

KEYS = [
    key(text)
    for text in (
        "dataset:w/orders",
        "column:w/orders#amount",
        "column:w/orders#a%2Eb.c",
        "dataset:s3%3A%2F%2Fbucket/%C3%BC%2Fx",
        "feature_view:f/customer",
        "feature:f/customer#age",
        "job:etl/total",
        "run:etl/total#0192f0c1-2f6e-7c3a-9d3e-5b8f7a6c4d21",
        "model:risk/fraud",
        "model_version:risk/fraud#7",
        "model_version:risk/fraud#8",
        "model_version:risk/fraud#%40champion",
        "deployment:risk/scores",
        "consumer:bi/report",
        "alert:default/drift",
    )
]
JOB = key("job:etl/total")
ORIGINS = ("api:alice", "manifest:b", "Ω")


def _flows() -> list[Flow]:
    pairs = [(s, t) for s in KEYS for t in KEYS if (s.kind, t.kind) in FLOWS and s != t and not t.is_alias]
    through = [
        checked_flow(s, t, JOB)
        for s, t in pairs
        if (s.kind, AssetKind.JOB) in FLOWS and (AssetKind.JOB, t.kind) in FLOWS
    ]
    return [checked_flow(s, t) for s, t in pairs[::2]] + through[::5]


FLOWS_HERE = _flows()
SUBJECTS: list[Subject] = [*KEYS, *FLOWS_HERE]

instants = st.integers(0, 12).map(lambda step: step * 10)
spans = st.tuples(st.none() | instants, st.none() | st.integers(1, 12).map(lambda step: step * 10))
attributes = st.dictionaries(
    st.sampled_from(("description", "tags", "owners", "tier", "note")), st.none() | st.sampled_from(("apple", "pear"))
).map(lambda drawn: {name: _content(name, word) for name, word in drawn.items()})


def _content(name: str, word: str | None) -> object:
    if word is None:
        return None
    return {"tags": [word], "owners": [{"name": word}], "tier": len(word) - 3, "note": {"is": [word, 1.5]}}.get(
        name, word
    )


def _asset(asset: AssetKey, content: dict[str, object], span: tuple[int | None, int | None]) -> AssetStatement:
    more: dict[str, object] = {"version": "8" if content.get("tier") else "7"} if asset.is_alias else {}
    if asset.kind is AssetKind.ALERT:
        more = {"about": str(KEYS[1] if content.get("tier") else KEYS[0])}
    if asset.kind in JOINABLE and content.get("tags"):
        more = {"same_as": [f"{asset.kind}:other/name", *([f"{asset.kind}:a/b"] if content.get("tier") else [])]}
    return AssetStatement(asset, content | more, *span)  # type: ignore[arg-type]  # it is JSON


assets = st.builds(_asset, st.sampled_from(KEYS), attributes, spans)
SAID_BY_READERS: tuple[dict[str, Json], ...] = (
    {},
    {"default": 0, "fields": ["x"]},
    {"cast": "double", "optional": True},
)
flows = st.builds(
    lambda flow, said, span: FlowStatement(flow, said, *span),
    st.sampled_from(FLOWS_HERE),
    st.sampled_from(SAID_BY_READERS),
    spans,
)
withdrawals = st.builds(Withdrawal, st.sampled_from(SUBJECTS), st.none() | instants)


@st.composite
def registrations(draw: st.DrawFn) -> Registration:
    return Registration(
        draw(st.sampled_from(ORIGINS)),
        draw(st.sampled_from(Basis)),
        tuple(draw(st.lists(assets, max_size=3, unique_by=lambda each: each.key))),
        tuple(draw(st.lists(flows, max_size=3, unique_by=lambda each: each.flow))),
        tuple(draw(st.lists(withdrawals, max_size=1))),
        complete=draw(st.booleans()),
        stubs=draw(st.booleans()),
    )


class StoresAgree(RuleBasedStateMachine):
    """`make` gives the stores to compare, `doors` further openings of the same, in the same order; the test sets both."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.model = ModelStore()
        self.stores = self.make(Path(self.folder.name))
        self.others = self.doors(Path(self.folder.name))
        self.now = 60

    def make(self, folder: Path) -> list[Store]:
        raise NotImplementedError

    def doors(self, folder: Path) -> list[Store]:
        return []

    def teardown(self) -> None:
        with self.folder:
            for store in (*self.stores, *self.others):
                with closing(store):
                    assert store.check() == []

    @rule(
        wanted=registrations(),
        name=st.none() | st.sampled_from(("1", "2", "3")),
        later=st.integers(0, 15),
        elsewhere=st.booleans(),
    )
    def register(self, wanted: Registration, name: str | None, later: int, elsewhere: bool) -> None:
        self.now += later
        operation = Operation(name, wanted.digest(), "tests")
        expected = _outcome(self.model, wanted, operation, self.now)
        for store in self.others if elsewhere and self.others else self.stores:
            assert _outcome(store, wanted, operation, self.now) == expected

    @rule()
    def settle(self) -> None:
        for store in (self.model, *self.stores):
            store.settle(self.now)
            assert store.settle(self.now) == 0, "settling twice moves nothing"
        for text in ("a", "pear", "amount w", "report", "scores risk"):
            expected = {hit.key for hit in self.model.search(text)}
            assert all({hit.key for hit in store.search(text)} == expected for store in self.stores)

    @rule(before=st.integers(60, 120))
    def forget_operations(self, before: int) -> None:
        expected = self.model.forget_operations(before, before)
        assert all(store.forget_operations(before, before) == expected for store in self.stores)

    @rule(revision=st.integers(0, 20), at=instants, moment=st.integers(50, 200), limit=st.integers(1, 5))
    def look_back(self, revision: int, at: int, moment: int, limit: int) -> None:
        first = self.model
        for store in (*self.stores, *self.others):
            assert _numberless(store.believed_at(SUBJECTS, revision)) == _numberless(
                first.believed_at(SUBJECTS, revision)
            )
            assert store.revision_at(moment) == first.revision_at(moment)
            assert store.keys(at) == first.keys(at)
            kinds, after = [key.kind for key in KEYS[limit::3]], KEYS[limit]
            assert store.keys(at, kinds, after, limit) == first.keys(at, kinds, after, limit)
            told = _told(first.changes_since(revision, limit))
            assert _told(store.changes_since(revision, limit)) == told
            for each in KEYS[limit::4]:
                assert _told(store.history(each, revision or None, limit)) == _told(
                    first.history(each, revision or None, limit)
                )
                assert set(store.touching([each])) == set(first.touching([each]))

    @invariant()
    def all_believe_the_same(self) -> None:
        believed, versions = self.model.believed(SUBJECTS), self.model.versions(KEYS)
        latest = _told(self.model.changes_since(self.model.head() - 1))
        for store in (*self.stores, *self.others):
            assert _told(store.changes_since(store.head() - 1)) == latest
            assert store.head() == self.model.head()
            assert store.believed(SUBJECTS) == believed
            assert store.versions(KEYS) == versions
            assert store.keys(self.now) == self.model.keys(self.now)


def test_sqlite_agrees_with_the_model() -> None:
    class Agree(StoresAgree):
        def make(self, folder: Path) -> list[Store]:
            return [SqliteStore(folder / "headwater.db")]

        def doors(self, folder: Path) -> list[Store]:
            return self.make(folder)

    run_state_machine_as_test(Agree, settings=_settings(examples=80, steps=20))


@pytest.mark.long
@pytest.mark.neo4j
def test_neo4j_agrees_with_the_model(neo4j_url: str) -> None:
    class Agree(StoresAgree):
        def make(self, folder: Path) -> list[Store]:
            return [emptied_neo4j_store(neo4j_url)]

    run_state_machine_as_test(Agree, settings=_settings(examples=4, steps=15))


def _settings(examples: int, steps: int) -> settings:
    """Four times as many examples by HYPOTHESIS_PROFILE=deep."""
    return settings(
        max_examples=examples * (4 if os.environ.get("HYPOTHESIS_PROFILE") == "deep" else 1),
        stateful_step_count=steps,
        deadline=None,
        phases=(Phase.reuse, Phase.generate, Phase.shrink),
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
    )


def _outcome(store: Store, wanted: Registration, operation: Operation, now: int) -> Receipt | type[GraphError]:
    try:
        return register(store, wanted, operation, now)
    except GraphError as error:
        return type(error)


def _numberless(said: object) -> object:
    assert isinstance(said, dict)
    return {subject: _without_numbers(rows) for subject, rows in said.items()}


def _told(revisions: Iterable[Revision]) -> list[object]:
    return [
        replace(each, opened=_without_numbers(each.opened), closed=_without_numbers(each.closed)) for each in revisions
    ]


def _without_numbers(rows: Iterable[StoredAssertion]) -> tuple[StoredAssertion, ...]:
    return tuple(replace(row, number=0) for row in rows)
