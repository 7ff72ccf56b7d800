"""An exported graph answers as the store that it was written from."""

from hypothesis import given
from hypothesis import strategies as st

from graph.changes import Registration
from graph.exported import Exported, written
from graph.model import Subject
from graph.topology import Moment
from tests.graph.oracle import Oracle, facts
from tests.graph.test_index_equals_oracle import (
    ALIASES,
    ASSETS,
    FLOW_POOL,
    ORIGINS,
    VIA_POOL,
    Question,
    check,
    empty_store,
    histories,
    questions,
    tell,
)


@given(histories, st.lists(questions, min_size=4, max_size=8))
def test_an_exported_graph_answers_as_its_store(said: list[tuple[Registration, int]], asked: list[Question]) -> None:
    with empty_store() as store:
        for wanted, now in said:
            tell(store, wanted, now)
        exported = Exported([*written(store, now=1_000)])
        assert exported.moment == Moment(1_000, store.head())
        view, known = exported.tables().view(), facts(store)
        for question in asked:
            moment = Moment(question.at, store.head())
            check(view, Oracle(known, *moment), question, moment)
        subjects: list[Subject] = [*ASSETS, *ALIASES, *FLOW_POOL, *VIA_POOL]
        assert exported.believed(subjects) == store.believed(subjects)
        assert all(exported.believed_by(origin) == store.believed_by(origin) for origin in ORIGINS)
        for key in ASSETS:
            assert {*exported.touching([key])} == {*store.touching([key])}
