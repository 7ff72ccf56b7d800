import os
from collections.abc import Iterator

import pytest

from tests.neo4j_server import CannotStart, neo4j_server


@pytest.fixture(scope="session")
def neo4j_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One Neo4j a test process, without authentication. Where none can start, skips or fails as told."""
    try:
        with neo4j_server(tmp_path_factory.mktemp("neo4j")) as url:
            yield url
    except CannotStart as reason:
        if os.environ.get("HEADWATER_TEST_REQUIRE_ALL") or os.environ.get("CI"):
            raise
        pytest.skip(str(reason))
