"""Events of OpenLineage over HTTP: what is shown of lanes that fall silent, and a history that goes on for long."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.openlineage import dataset, run_event
from tests.patience import within
from tests.service import running_service

EVIDENCE = """
query Evidence($source: ID!, $target: ID!) {
  paths(source: $source, target: $target) {
    ... on Paths { paths { hops { assertions { origin lastHeard stale } } } }
  }
}
"""
RUNS, EVENTS, AT_ONCE = 20_000, 50_000, 1_000


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with (
        running_service(f"sqlite:///{tmp_path_factory.mktemp('store')}/store.db") as address,
        httpx.Client(base_url=address, timeout=60) as http,
    ):
        yield http


def waiting(http: httpx.Client) -> float:
    lines = http.get("/metrics").text.splitlines()
    return float(next(line for line in lines if line.startswith("headwater_events_waiting ")).split()[1])


def send(http: httpx.Client, events: list[dict[str, Any]]) -> None:
    answer = http.post("/api/v1/lineage/batch", json=events)
    assert answer.json()["status"] == "success", answer.text


def assertions(http: httpx.Client, source: str, target: str) -> list[dict[str, Any]]:
    asked = {"query": EVIDENCE, "variables": {"source": source, "target": target}}
    paths = http.post("/graphql", json=asked).json()["data"]["paths"].get("paths") or []
    return [each for path in paths for hop in path["hops"] for each in hop["assertions"]]


def event(number: int, state: str, run: int, job: str) -> dict[str, Any]:
    told = run_event(state, 1, run=run, inputs=[dataset(f"{job}-in")], outputs=[dataset(f"{job}-out")])
    at = datetime.now(UTC) - timedelta(days=20) + timedelta(seconds=number)
    return {**told, "job": {"namespace": "etl", "name": job}, "eventTime": at.isoformat()}


def test_a_lane_that_fell_silent_is_stale_and_still_holds(http: httpx.Client) -> None:
    silent = {**run_event("COMPLETE", 1, inputs=[dataset("old-in")], outputs=[dataset("old-out")])}
    send(http, [{**silent, "job": {"namespace": "etl", "name": "old"}}, event(0, "COMPLETE", 1, "new")])
    for job, stale in (("old", True), ("new", False)):
        found = within(20, lambda job=job: assertions(http, f"dataset:wh/{job}-in", f"dataset:wh/{job}-out"))  # type: ignore[misc]
        assert {each["stale"] for each in found} == {stale}
        assert all(each["lastHeard"] for each in found)


@pytest.mark.long
@pytest.mark.parametrize("streams", [True, False])
def test_a_long_history_is_taken_at_a_steady_rate(http: httpx.Client, streams: bool) -> None:
    """One run that goes on, and one run after the other; the last fifth takes about as long as the second."""
    job, many = ("stream", EVENTS) if streams else ("batch", RUNS)
    taken = []
    for first in range(0, many, AT_ONCE):
        numbers = range(first, first + AT_ONCE)
        events = [event(each, "RUNNING" if streams else "COMPLETE", 7 if streams else each, job) for each in numbers]
        begin = time.perf_counter()
        send(http, events)
        within(60, lambda: waiting(http) == 0)
        taken.append(time.perf_counter() - begin)
    assert assertions(http, f"dataset:wh/{job}-in", f"dataset:wh/{job}-out")
    fifth = len(taken) // 5
    assert sum(taken[-fifth:]) < 3 * sum(taken[fifth : 2 * fifth]), taken
