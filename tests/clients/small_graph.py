"""A column that becomes a feature, a model and a score that a shop asks for: what the examples of the client speak of."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import skops.io
from headwater import Client
from sklearn.linear_model import LinearRegression

from tests.service import running_service

RUN_ID = "6f0c0f0e-3f0b-4e2a-9b57-0d8f5b5f8a01"
AMOUNT = "column:warehouse/payments#amount"
FEATURE = "feature:shop/payments#mean_30d"
VERSION = "model_version:risk/fraud#1"
DEPLOYMENT = "deployment:risk/scores"
CONSUMER = "consumer:shop/checkout"


@contextmanager
def small_graph(folder: Path) -> Iterator[str]:
    """The address of a service that knows it."""
    with running_service(f"sqlite:///{folder / 'graph.db'}", data=folder / "data") as url:
        tell(url)
        yield url


def tell(url: str) -> None:
    table = io.BytesIO()
    pq.write_table(pa.table({"customer": [7, 8], "amount": [12.5, 3.0]}), table)
    httpx.put(f"{url}/api/v1/sources/payments.parquet", content=table.getvalue()).raise_for_status()
    model = LinearRegression().fit(np.array([[0.0], [1.0]]), [1.0, 3.0])
    with Client(url) as client:
        artifact = client.upload_artifact(skops.io.dumps(model))
        client.register(
            {
                "datasets": [
                    {
                        "namespace": "warehouse",
                        "name": "payments",
                        "owners": [{"name": "payments", "contact": "#payments"}],
                        "attributes": {"location": "payments.parquet"},
                        "columns": [{"path": ["customer"]}, {"path": ["amount"], "type": "double"}],
                    }
                ],
                "featureViews": [
                    {
                        "namespace": "shop",
                        "name": "payments",
                        "entities": ["customer"],
                        "features": [{"name": "mean_30d", "definition": "amount", "derivedFrom": [AMOUNT]}],
                    }
                ],
                "jobs": [{"namespace": "risk", "name": "train"}],
                "runs": [{"job": "job:risk/train", "runId": RUN_ID, "inputs": [FEATURE]}],
                "models": [{"namespace": "risk", "name": "fraud", "description": "Finds fraud"}],
                "modelVersions": [
                    {
                        "model": "model:risk/fraud",
                        "version": "1",
                        "run": f"run:risk/train#{RUN_ID}",
                        "signature": {
                            "inputs": [{"name": "amount", "type": "FP64", "shape": [-1], "feature": FEATURE}],
                            "outputs": [{"name": "score", "type": "FP64", "shape": [-1]}],
                        },
                        "artifact": {"uri": artifact["uri"], "digest": artifact["digest"]},
                    }
                ],
            },
            origin="small graph",
        )
        client.deploy("risk", "scores", version=VERSION)
        consumers: list[dict[str, Any]] = [
            {"namespace": "shop", "name": name} for name in ("till", "till-v2", "kiosk", "kiosk-v2")
        ]
        consumers.append({"namespace": "shop", "name": "checkout", "uses": [DEPLOYMENT]})
        client.register({"consumers": consumers}, origin="small graph of consumers")
        client.join(["consumer:shop/kiosk"], "consumer:shop/kiosk-v2")
