"""Every query in docs/cypher.md runs, on a small lineage, and answers what the page says."""

import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from neo4j import Driver

from graph.changes import AssetStatement
from graph.model import Basis
from graph.stores.contract import Store
from graph.stores.neo4j_view import FLOW_TYPES
from graph.time import DAY as A_DAY
from graph.usage import Usage
from tests.saying import asset, flow, key, say
from tests.stores import cypher, emptied_neo4j_store

pytestmark = [pytest.mark.neo4j]

PAGE = (Path(__file__).parents[2] / "docs" / "cypher.md").read_text()
QUERIES = dict(re.findall(r"### (.+?)\n(?:(?!### ).)*?```cypher\n(.+?)```", PAGE, re.DOTALL))

DOWNSTREAM = "What is downstream of this column, and how far?"

TABLE, AMOUNT, DAY = "dataset:w/orders", "column:w/orders#amount", "column:w/orders#day"
FEATURE, VIEW = "feature:f/customer#spend", "feature_view:f/customer"
RUN = "run:train/fraud#0192f0c1-2f6e-7c3a-9d3e-5b8f7a6c4d21"
BASE, VERSION, ALIAS = (f"model_version:risk/fraud#{part}" for part in ("6", "7", "%40champion"))
SCORES, CHECKOUT, REPORT, EXPORT = (
    "deployment:risk/scores",
    "consumer:shop/checkout",
    "consumer:bi/report",
    "consumer:bi/export",
)

ANSWERS: dict[str, tuple[dict[str, str], list[list[object]]]] = {
    DOWNSTREAM: (
        {"key": AMOUNT},
        [[REPORT, 1], [FEATURE, 1], [RUN, 2], [VERSION, 3], [SCORES, 5], [CHECKOUT, 6]],
    ),
    "What does a change to this table break, and who must be told?": (
        {"key": TABLE},
        [
            [SCORES, 1, ["risk on call"]],
            [CHECKOUT, 2, ["shop"]],
            [EXPORT, None, []],
            [REPORT, None, []],
            [VERSION, None, ["risk"]],
        ],
    ),
    "Which deployed models use this feature?": ({"key": FEATURE}, [[VERSION, SCORES]]),
    "Which models is this model built on?": ({"key": VERSION}, [[BASE]]),
    "Which services consume what this model answers?": ({"key": VERSION}, [[CHECKOUT, ["shop"]]]),
    "Who says so, and since when?": (
        {"source": AMOUNT, "target": REPORT},
        [["openlineage:airflow", "OBSERVED", "1970-01-01T00:00:01Z"]],
    ),
    "Which flows did somebody see that nobody declared?": ({}, [[AMOUNT, REPORT, ["openlineage:airflow"]]]),
    "Who calls this, how often, and who has stopped?": ({"key": SCORES}, [[CHECKOUT, 21.0, "1970-01-03"]]),
    "How does this reach that?": (
        {"source": FEATURE, "target": CHECKOUT},
        [
            [
                [FEATURE, RUN, VERSION, ALIAS, SCORES, CHECKOUT],
                ["TRAINS", "PRODUCES", "ALIASED_AS", "SERVED_BY", "CALLED_BY"],
            ]
        ],
    ),
    "Who reads this column, alone or as a part of its table?": ({"key": DAY}, [[EXPORT]]),
}


@pytest.fixture(scope="module")
def lineage(neo4j_url: str) -> Iterator[Driver]:
    with closing(emptied_neo4j_store(neo4j_url)) as store:
        _register(store)
    with cypher(neo4j_url) as driver:
        yield driver


def _register(store: Store) -> None:
    say(
        store,
        *map(key, (TABLE, AMOUNT, DAY, VIEW, FEATURE, "job:train/fraud", RUN, BASE, VERSION, REPORT, EXPORT)),
        AssetStatement(key("model:risk/fraud"), {"owners": [{"name": "risk"}]}),
        asset(ALIAS, version="7"),
        AssetStatement(key(SCORES), {"tier": 1, "owners": [{"name": "risk on call"}]}),
        AssetStatement(key(CHECKOUT), {"tier": 2, "owners": [{"name": "shop"}]}),
        flow(AMOUNT, FEATURE),
        flow(FEATURE, RUN),
        flow(BASE, RUN),
        flow(RUN, VERSION),
        flow(ALIAS, SCORES),
        flow(SCORES, CHECKOUT),
        flow(TABLE, EXPORT),
        now=1_000_000,
    )
    say(store, flow(AMOUNT, REPORT), now=1_000_000, origin="openlineage:airflow", basis=Basis.OBSERVED)
    days = [(day, calls, day * A_DAY) for day, calls in ((1, 40), (2, 2))]
    store.count(
        [Usage(key(SCORES), key(CHECKOUT), True, day, calls, 0, at, at + 1) for day, calls, at in days], "docs", 1
    )


def test_every_query_of_the_page_is_tried() -> None:
    assert QUERIES.keys() == ANSWERS.keys()


@pytest.mark.parametrize("question", ANSWERS)
def test_the_page_answers(lineage: Driver, question: str) -> None:
    parameters, expected = ANSWERS[question]
    records = lineage.execute_query(QUERIES[question], parameters).records
    assert [list(record.values()) for record in records] == expected


def test_the_downstream_query_visits_each_asset_once_and_starts_from_an_index(lineage: Driver) -> None:
    plan = lineage.execute_query("EXPLAIN " + QUERIES[DOWNSTREAM], {"key": AMOUNT}).summary.plan
    operators = list(_operators(plan))
    assert any("Pruning,BFS" in operator for operator in operators), operators
    assert operators[-1].startswith("NodeIndexSeek"), operators


def test_crossing_the_container_naively_would_name_the_readers_of_other_columns(lineage: Driver) -> None:
    naive = f"MATCH ({{key: $key}})-[:{FLOW_TYPES}|PART_OF*1..30]-(reader:Consumer) RETURN collect(DISTINCT reader.key)"
    assert REPORT in lineage.execute_query(naive, {"key": DAY}).records[0][0]


def test_the_page_names_every_type_of_flow() -> None:
    assert all(kind in PAGE for kind in FLOW_TYPES.split("|"))


def _operators(plan: object) -> Iterator[str]:
    """From the last step to the first."""
    assert isinstance(plan, dict)
    yield f"{plan['operatorType']} {plan.get('args', {}).get('Details', '')}"
    for child in plan.get("children", []):
        yield from _operators(child)
