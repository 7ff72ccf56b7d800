"""Events of OpenLineage over HTTP: what is shown of lanes that fall silent, and a history that goes on for long."""

import json
import os
import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from graph.importers.openlineage.events import read_event
from graph.stores.sqlite import SqliteStore
from tests.graph import openlineage_oracle as oracle
from tests.journeys.test_crash import killable
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
CYCLES, WRITERS = int(os.environ.get("HEADWATER_TEST_CRASHES", "2")), 8


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


@pytest.mark.long
@pytest.mark.timeout(600)
def test_what_was_acknowledged_survives_kill_nine_and_is_told_as_if_nothing_had_been(tmp_path: Path) -> None:
    store_url, chance = f"sqlite:///{tmp_path / 'lineage.db'}", random.Random(7)
    acknowledged: list[dict[str, Any]] = []
    attempted: list[dict[str, Any]] = []

    def write(address: str, cycle: int, writer: int) -> None:
        with httpx.Client(base_url=address, timeout=10) as http, suppress(httpx.TransportError):
            for number in range(10_000):
                told = event(number, "COMPLETE", cycle << 32 | writer << 16 | number, f"job-{writer % 3}")
                told["inputs"] = [dataset(f"in-{number % 5}")]
                attempted.append(told)
                if http.post("/api/v1/lineage", json=told).status_code == 201:
                    acknowledged.append(told)

    for cycle in range(CYCLES):
        with killable(store_url) as (process, address), ThreadPoolExecutor(WRITERS) as pool:
            writers = [pool.submit(write, address, cycle, writer) for writer in range(WRITERS)]
            before = len(acknowledged)
            within(60, lambda before=before: len(acknowledged) > before + chance.randint(50, 300))  # type: ignore[misc]
            process.kill()
            for writer in writers:
                writer.result()

    with killable(store_url) as (_, address), httpx.Client(base_url=address, timeout=60) as http:
        within(60, lambda: waiting(http) == 0)
        again = [json.loads(line) for line in http.get("/api/v1/lineage/events").text.splitlines()]
        runs = [each["run"]["runId"] for each in again]
        assert (
            {each["run"]["runId"] for each in acknowledged} <= {*runs} <= {each["run"]["runId"] for each in attempted}
        )
        assert len(runs) == len({*runs})
    with closing(SqliteStore(tmp_path / "lineage.db")) as store:
        assert store.unfolded() == []
        assert store.check() == []
        for origin in store.event_origins():
            of_origin = [read_event(each) for each in again if read_event(each).origin == origin]
            assert store.believed_by(origin) == oracle.folded(of_origin)
