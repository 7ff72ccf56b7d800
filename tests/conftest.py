import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.neo4j_server import CannotStart, neo4j_server

# The same examples every time, so that a change is judged by itself; new ones by HYPOTHESIS_PROFILE=deep.
settings.register_profile(
    "quick", max_examples=40, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("deep", max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


def pytest_itemcollected(item: pytest.Item) -> None:
    """Tests of Neo4j share one server, and so one worker; the first of them wait for it to get warm.

    The other journeys of a module share one service, and so one worker too.
    """
    if item.get_closest_marker("neo4j"):
        item.add_marker(pytest.mark.xdist_group("neo4j"))
        item.add_marker(pytest.mark.timeout(400))
    elif item.path.parent.name in {"journeys", "clients"}:
        item.add_marker(pytest.mark.xdist_group(item.path.stem))


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
