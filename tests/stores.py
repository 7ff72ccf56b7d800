"""Stores for tests."""

from collections.abc import Iterator
from contextlib import contextmanager

from neo4j import Driver, GraphDatabase

from graph.stores.neo4j import Neo4jStore

_EMPTY = """
MATCH (n) WHERE NOT n:Migration AND NOT n:Head
CALL (n) { DETACH DELETE n } IN TRANSACTIONS OF 10000 ROWS
"""

_FROM_NOTHING = "MATCH (h:Head) SET h.number = 0, h.at = 0, h.assets = 0, h.assertions = 0, h.shown_at = 0"


@contextmanager
def cypher(url: str) -> Iterator[Driver]:
    """The driver, for what a person does with Cypher."""
    with GraphDatabase.driver(url, notifications_min_severity="OFF") as driver:
        yield driver


def emptied_neo4j_store(url: str) -> Neo4jStore:
    """Removes everything that is stored there, the schema aside, which takes seconds to make."""
    with cypher(url) as driver, driver.session() as session:
        session.run(_EMPTY).consume()
        session.run(_FROM_NOTHING).consume()
    return Neo4jStore(url, request_deadline=30)  # a server that was just started is slow
