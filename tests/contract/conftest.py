from collections.abc import Iterator
from pathlib import Path

import pytest

from graph.stores.contract import Store
from graph.stores.neo4j import Neo4jStore
from graph.stores.sqlite import SqliteStore
from tests.model_store import ModelStore
from tests.stores import emptied_neo4j_store

NEO4J = pytest.param("neo4j", marks=pytest.mark.neo4j)


@pytest.fixture(params=["memory", "sqlite", NEO4J])
def store(request: pytest.FixtureRequest) -> Store:
    """An empty store of each sort; `memory` is the model the others are compared with."""
    found: Store = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def memory() -> ModelStore:
    return ModelStore()


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(tmp_path / "headwater.db")
    yield store
    store.close()


@pytest.fixture
def neo4j(neo4j_url: str) -> Iterator[Neo4jStore]:
    store = emptied_neo4j_store(neo4j_url)
    yield store
    store.close()
