"""Run by the Python that has MLflow: models are trained and registered, and what MLflow's own client then reports is printed.

python mlflow_training.py SERVER FOLDER train|change|report
"""

import json
import math
import sys
from pathlib import Path

import mlflow
import pandas as pd
from mlflow import MlflowClient
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV

mlflow.models.infer_pip_requirements = lambda *_, **__: []  # it starts a process to look; nobody asks for it here

COLUMNS = ["amount", "count_7d", "age"]


def frame() -> pd.DataFrame:
    made = pd.DataFrame([[i / 60, i % 7, (i * 7) % 50] for i in range(60)], columns=COLUMNS).astype(float)
    made["is_fraud"] = (made.amount > 0.5).astype(int)
    return made


def train(folder: Path) -> None:
    client = MlflowClient()
    data = frame()
    csv = folder / "train.csv"
    data.to_csv(csv, index=False)
    on_disk = mlflow.data.from_pandas(data, source=str(csv), name="train", targets="is_fraud")
    in_bucket = mlflow.data.from_pandas(data[COLUMNS], source="s3://lake/scores/2026.parquet", name="holdout")
    nowhere = mlflow.data.from_pandas(data, name="sample")

    mlflow.set_experiment("fraud-training")
    mlflow.sklearn.autolog(log_models=True, log_datasets=True)
    for c in (0.1, 1.0, 10.0):
        with mlflow.start_run(run_name=f"c-{c}") as run:
            mlflow.log_input(on_disk, context="training")
            mlflow.log_input(in_bucket, context="evaluation")
            mlflow.set_tags({"feast.project": "shop", "feast.feature_refs": "drivers:amount,drivers:count_7d"})
            LogisticRegression(C=c).fit(data[COLUMNS], data.is_fraud)
        mlflow.register_model(f"runs:/{run.info.run_id}/model", "fraud", tags={"team": "risk", "validated": "yes"})
    with mlflow.start_run(run_name="registered nowhere"):
        mlflow.log_input(nowhere, context="training")
        LogisticRegression().fit(data[["age"]], data.is_fraud)
    client.update_registered_model("fraud", "Scores payments")
    client.update_model_version("fraud", "2", "The second")
    client.set_registered_model_tag("fraud", "owner", "ml@shop.example")
    client.set_registered_model_alias("fraud", "champion", "1")
    client.set_registered_model_alias("fraud", "challenger", "2")
    client.set_model_version_tag("fraud", "1", "feast.feature_service", "fraud_v1")

    mlflow.set_experiment("prices: düster")
    with mlflow.start_run(run_name="search"):
        mlflow.log_input(nowhere, context="training")
        GridSearchCV(LinearRegression(), {"fit_intercept": [True, False]}, cv=2).fit(data[COLUMNS], data.amount)
    mlflow.sklearn.autolog(disable=True)
    with mlflow.start_run(run_name="by hand") as run:
        mlflow.log_params({"alpha": "0.5"})
        mlflow.log_metric("rmse", 2.5, step=1)
        mlflow.log_metric("rmse", 0.25, step=2)
        mlflow.log_metric("broken", float("nan"))
        mlflow.log_input(nowhere, context="training")
        mlflow.log_input(mlflow.data.from_pandas(data[["age"]], source=str(csv), name="again"), context="testing")
        model = LinearRegression().fit(data[COLUMNS], data.amount)
        signature = mlflow.models.infer_signature(data[COLUMNS], model.predict(data[COLUMNS]))
        mlflow.sklearn.log_model(
            model,
            name="prices",
            signature=signature,
            registered_model_name="prices, in €",
            skops_trusted_types=["sklearn.linear_model._base.LinearRegression"],
        )
    client.create_registered_model("empty", description="No version yet")
    mlflow.register_prompt("greeting", "Hello {{name}}")


def change() -> None:
    client = MlflowClient()
    client.set_registered_model_alias("fraud", "champion", "3")
    client.delete_registered_model_alias("fraud", "challenger")
    client.delete_model_version("fraud", "1")
    client.delete_registered_model("empty")


def report() -> dict[str, object]:
    """As the client says it, in MLflow's words."""
    client = MlflowClient()
    models = client.search_registered_models(max_results=100)
    versions = client.search_model_versions(max_results=100)
    runs = {version.run_id: client.get_run(version.run_id) for version in versions if version.run_id}
    return {
        "models": {
            each.name: {"description": each.description or None, "aliases": each.aliases, "tags": each.tags}
            for each in models
        },
        "versions": [
            {
                "name": each.name,
                "version": str(each.version),
                "run_id": each.run_id,
                "source": each.source,
                "description": each.description or None,
                "tags": each.tags,
                "created": each.creation_timestamp,
                "signature": _signature(f"models:/{each.name}/{each.version}"),
                "params": runs[each.run_id].data.params,
                "metrics": {
                    name: value for name, value in runs[each.run_id].data.metrics.items() if not math.isnan(value)
                },
            }
            for each in versions
        ],
        "runs": {
            run_id: {
                "experiment": client.get_experiment(run.info.experiment_id).name,
                "name": run.info.run_name,
                "status": run.info.status,
                "start": run.info.start_time,
                "inputs": [
                    {
                        "name": each.dataset.name,
                        "digest": each.dataset.digest,
                        "source_type": each.dataset.source_type,
                        "source": json.loads(each.dataset.source),
                        "columns": {
                            column["name"]: column["type"]
                            for column in json.loads(each.dataset.schema).get("mlflow_colspec", ())
                        },
                        "context": next(tag.value for tag in each.tags if tag.key == "mlflow.data.context"),
                    }
                    for each in run.inputs.dataset_inputs
                ],
            }
            for run_id, run in runs.items()
        },
    }


def _signature(uri: str) -> list[list[str]] | None:
    found = mlflow.models.get_model_info(uri).signature
    return None if found is None else [[each.name, each.type.name] for each in found.inputs.inputs]


if __name__ == "__main__":
    server, folder, what = sys.argv[1:]
    mlflow.set_tracking_uri(server)
    if what == "train":
        train(Path(folder))
    elif what == "change":
        change()
    Path(folder, "report.json").write_text(json.dumps(report()))
