"""What a served model was asked and answered is on the disk once the service has stopped, and a dataset of the graph."""

import io
import time
from collections.abc import Mapping
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.models import PATIENCE_SECONDS, Gateway, multiplying, tensor
from tests.service import running_service

pytestmark = pytest.mark.timeout(300)

TOLD = "query ($key: ID!) { asset(key: $key) { ... on Dataset { columns { edges { node { id } } } } } }"


def test_every_prediction_is_logged_as_it_was_served(tmp_path: Path) -> None:
    data = tmp_path / "data"
    store = f"sqlite:///{tmp_path}/store.db"
    with running_service(store, data=data, prediction_flush_seconds=0.1) as address:
        gateway = Gateway(address)
        serve(gateway)
        checkout = {"baggage": "service.name=checkout"}
        served: dict[str, list[float]] = {}
        for number in range(10):
            given = {"name": "x", "shape": [2], "datatype": "FP64", "data": [number, number + 0.5]}
            served[f"request-{number}"] = infer(gateway, f"request-{number}", given, checkout)
        bottles = {"name": "bottle", "shape": [2], "datatype": "INT64", "data": [2, 1]}
        served["by-bottle"] = infer(gateway, "by-bottle", bottles)
        assert served["by-bottle"] == pytest.approx([9.0, 7.0])

        dataset = "dataset:headwater/predictions%2Ftests%2Fdouble"
        columns = {"input_x", "feature_x", "output_y", "predicted_at"}
        end = time.monotonic() + PATIENCE_SECONDS
        while not columns <= (known := columns_of(gateway, dataset)):
            assert time.monotonic() < end, known
            time.sleep(0.05)
        assert gateway.flows_in(dataset) == ["deployment:tests/double"]
        given = {"name": "x", "shape": [1], "datatype": "FP64", "data": [100]}
        served["the-last"] = infer(gateway, "the-last", given)
        gateway.http.close()

    files = f"read_parquet('{data}/predictions/**/*.parquet', hive_partitioning = true, union_by_name = true)"
    checkout_key = "consumer:default/checkout"
    asked: list[tuple[object, ...]] = [
        (f"request-{number}", row, checkout_key, False, number + row / 2, None)
        for number in range(10)
        for row in range(2)
    ]
    asked += [("by-bottle", row, None, False, None, x) for row, x in enumerate([4.5, 3.5])]
    asked += [("the-last", 0, None, False, 100.0, None)]
    with duckdb.connect() as connection:
        what = "prediction_id, row, caller, caller_verified, input_x, feature_x, output_y"
        rows = connection.sql(f"SELECT {what} FROM {files} ORDER BY predicted_at, row").fetchall()
        assert [row[:6] for row in rows] == asked
        assert [row[6] for row in rows] == [served[row[0]][row[1]] for row in rows]
        where = connection.sql(f"SELECT DISTINCT namespace, deployment, version FROM {files}").fetchall()
        assert where == [("tests", "double", "model_version:tests/doubling#1")]
    assert len(pd.read_parquet(data / "predictions")) == 23


def infer(
    gateway: Gateway, id_: str, given: Mapping[str, object], headers: Mapping[str, str] | None = None
) -> list[float]:
    """The outputs, exactly."""
    body = {"id": id_, "inputs": [given]}
    answer = gateway.http.post("/v2/models/double/infer", json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    outputs: list[float] = answer.json()["outputs"][0]["data"]
    return outputs


def serve(gateway: Gateway) -> None:
    """A model that doubles `x`, which is given, or looked up by the bottle."""
    gateway.register(
        datasets=[{"namespace": "lab", "name": "assays", "attributes": {"location": "assays.parquet"}}],
        featureViews=[
            {
                "namespace": "tests",
                "name": "assay",
                "entities": ["bottle"],
                "derivedFrom": ["dataset:lab/assays"],
                "features": [{"name": "x"}],
            }
        ],
    )
    file = io.BytesIO()
    pq.write_table(pa.table({"bottle": [1, 2], "x": [3.5, 4.5]}), file)
    gateway.http.put("/api/v1/sources/assays.parquet", content=file.getvalue()).raise_for_status()
    inputs = [tensor("x", feature="feature:tests/assay#x")]
    version = gateway.version("doubling", "1", multiplying(), inputs, [tensor("y")])
    gateway.deploy("double", version=version)


def columns_of(gateway: Gateway, dataset: str) -> set[str]:
    asset = gateway.ask(TOLD, key=dataset)["asset"]
    return {edge["node"]["id"].partition("#")[2] for edge in asset["columns"]["edges"]} if asset else set()
