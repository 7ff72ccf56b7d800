"""A notebook and a service read the same features, one in batch and one online, and both become known by reading.

Separate processes, nothing declared of them. A line differs between the two ways to read, and no value.
"""

import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.service import ROOT, running_service

pytestmark = pytest.mark.timeout(300)

SEEN_WITHIN_SECONDS = 5.0
NOW = datetime.now(UTC)


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    with running_service(f"sqlite:///{tmp_path}/lineage.db", data=tmp_path / "data") as address:
        register(address)
        yield address


def test_batch_and_online_agree_and_the_readers_become_known(address: str) -> None:
    upload(address, alcohol=13.2)
    online = read_as("tasting", address, "online")
    assert online == read_as("notebook", address, "batch")
    assert {name: each["values"] for name, each in online.items()} == {
        "bottle": [1, 2, 3],
        "assay:alcohol": [13.2, 12.0, None],
        "assay:ratio": [13.2 / 2.5, None, None],
    }
    assert online["assay:alcohol"]["statuses"] == ["PRESENT", "PRESENT", "NOT_FOUND"]

    end = time.monotonic() + SEEN_WITHIN_SECONDS
    while not {"consumer:default/tasting", "consumer:default/notebook"} <= (found := downstream(address, "alcohol")):
        assert time.monotonic() < end, found
        time.sleep(0.05)
    assert "consumer:default/bystander" not in found
    assert downstream(address, "bottle").isdisjoint(found)

    upload(address, alcohol=14.8)  # the file is replaced while the service runs
    assert read_as("tasting", address, "online")["assay:alcohol"]["values"] == [14.8, 12.0, None]


def upload(address: str, alcohol: float) -> None:
    def hours_ago(hours: float) -> datetime:
        return NOW - timedelta(hours=hours)

    table = pa.table(
        {
            "bottle": [1, 2, 1],
            "assayed": pa.array([hours_ago(3), hours_ago(2), hours_ago(1)], pa.timestamp("us", "UTC")),
            "alcohol": [11.0, 12.0, alcohol],
            "acid": [1.0, 0.0, 2.5],
        }
    )
    file = io.BytesIO()
    pq.write_table(table, file)
    httpx.put(f"{address}/api/v1/sources/assays.parquet", content=file.getvalue()).raise_for_status()


def read_as(service: str, address: str, way: str) -> dict[str, Any]:
    """By a process that has nothing of ours, and names itself as instrumented services do; results by name."""
    script = (
        "import json, sys, urllib.request as u\n"
        "body = json.dumps({'features': ['assay:alcohol', 'assay:ratio'], 'entities': {'bottle': [1, 2, 3]}}).encode()\n"
        "headers = {'Content-Type': 'application/json', 'baggage': sys.argv[2]}\n"
        "print(u.urlopen(u.Request(sys.argv[1], body, headers)).read().decode())\n"
    )
    url = f"{address}/api/v1/features/{way}"
    ran = subprocess.run(
        [sys.executable, "-I", "-c", script, url, f"service.name={service}"],
        env={"PATH": os.environ["PATH"]},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    answer = json.loads(ran.stdout)
    return dict(zip(answer["metadata"]["feature_names"], answer["results"], strict=True))


def downstream(address: str, column: str) -> set[str]:
    query = "query D($start: ID!) { lineage(start: $start) { ... on Lineage { assets { edges { node { id } } } } } }"
    start = f"column:lab/assays#{column}"
    answer = httpx.post(f"{address}/graphql", json={"query": query, "variables": {"start": start}}).json()
    return {edge["node"]["id"] for edge in answer["data"]["lineage"]["assets"]["edges"]}


def register(address: str) -> None:
    columns = [{"path": [name]} for name in ("bottle", "assayed", "alcohol", "acid")]
    source = "column:lab/assays#"
    features = [
        {"name": "alcohol", "derivedFrom": [source + "alcohol"]},
        {
            "name": "ratio",
            "definition": "alcohol / nullif(acid, 0)",
            "derivedFrom": [source + "alcohol", source + "acid"],
        },
    ]
    attributes = {"location": "assays.parquet", "timestamp": "assayed"}
    manifest = {
        "datasets": [{"namespace": "lab", "name": "assays", "attributes": attributes, "columns": columns}],
        "featureViews": [{"namespace": "cellar", "name": "assay", "entities": ["bottle"], "features": features}],
    }
    query = "mutation R($manifest: ManifestInput!) { register(manifest: $manifest) { __typename } }"
    answer = httpx.post(f"{address}/graphql", json={"query": query, "variables": {"manifest": manifest}}).json()
    assert answer["data"]["register"]["__typename"] == "Registered", answer
