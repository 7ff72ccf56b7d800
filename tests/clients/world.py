"""A small real lineage for the command line: a column that two models live from, and names that are hard to show.

warehouse/orders#amount → shop/basket:total → training → fraud 1 and 2 → scores → checkout, and "Bücher | „neu“" by the report
"""

from typing import Any

from headwater import Client

NS = "shop"
ORDERS, AMOUNT = "dataset:warehouse/orders", "column:warehouse/orders#amount"
TOTAL = "feature:shop/basket#total"
RUN = "run:shop/train#00000000-0000-4000-8000-000000000001"
VERSION = "model_version:shop/fraud#1"
SCORES, CHECKOUT, REPORT = "deployment:shop/scores", "consumer:shop/checkout", "consumer:shop/report"
HARD = "dataset:files/%22B%C3%BCcher%22%20%5B%7Bneu%7D%5D%20%3Cb%3E%7C%23%60%E6%97%A5%E6%9C%AC"
"""The dataset "Bücher" [{neu}] <b>|#`日本"""

MANIFEST: dict[str, Any] = {
    "datasets": [
        {
            "namespace": "warehouse",
            "name": "orders",
            "description": "All orders\x1b[2J\nof the shop",
            "owners": [{"name": "data-platform", "contact": "#data"}],
            "columns": [{"path": ["amount"], "type": "double"}, {"path": ["placed at"], "type": "timestamp"}],
        },
        {"namespace": "files", "name": '"Bücher" [{neu}] <b>|#`日本', "derivedFrom": [AMOUNT]},
    ],
    "featureViews": [
        {
            "namespace": NS,
            "name": "basket",
            "entities": ["customer"],
            "owners": [{"name": "features"}],
            "features": [{"name": "total", "type": "double", "derivedFrom": [AMOUNT]}],
        }
    ],
    "jobs": [{"namespace": NS, "name": "train", "inputs": [TOTAL]}],
    "runs": [
        {
            "job": "job:shop/train",
            "runId": "00000000-0000-4000-8000-000000000001",
            "inputs": [TOTAL],
            "outputs": [VERSION],
        }
    ],
    "models": [{"namespace": NS, "name": "fraud", "owners": [{"name": "risk-ml", "contact": "@risk-ml"}]}],
    "modelVersions": [
        {"model": "model:shop/fraud", "version": "1", "signature": {"inputs": [{"name": "total", "feature": TOTAL}]}}
    ],
    "deployments": [
        {
            "namespace": NS,
            "name": "scores",
            "tier": 1,
            "serves": [VERSION],
            "owners": [{"name": "risk-ml", "contact": "@risk-ml"}],
        }
    ],
    "consumers": [
        {"namespace": NS, "name": "checkout", "uses": [SCORES], "owners": [{"name": "checkout-team"}]},
        {"namespace": NS, "name": "report", "uses": [HARD]},
    ],
}


def told(address: str) -> None:
    with Client(address) as client:
        client.register(MANIFEST, origin="test:world")
