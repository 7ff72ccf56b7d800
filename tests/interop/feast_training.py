"""Run by the Python that has Feast, in a repository: a model is trained on a feature service within a run of MLflow, and registered.

    python feast_training.py

Nothing is said of the features by hand: Feast's integration with MLflow notes them. What it noted is printed as JSON, in the last line.
"""

import json
import warnings

import mlflow
import pandas as pd
from feast import FeatureStore
from sklearn.linear_model import LinearRegression

mlflow.models.infer_pip_requirements = lambda *_, **__: []  # it starts a process to look; nobody asks for it here
warnings.simplefilter("ignore")


def train() -> dict[str, object]:
    store = FeatureStore(".")
    rows = pd.read_parquet("data/driver_stats.parquet").dropna().tail(50)
    entities = rows[["driver_id", "event_timestamp"]].assign(val_to_add=1, val_to_add_2=2)
    with store.mlflow.start_run(run_name="on features") as run:
        features = store.get_historical_features(entities, store.get_feature_service("driver_activity_v1")).to_df()
        names = ["conv_rate", "conv_rate_plus_val1"]
        known = features[names].astype(float).fillna(0.0)
        model = LinearRegression().fit(known, range(len(known)))
        signature = mlflow.models.infer_signature(known, model.predict(known))
        store.mlflow.log_model(model, "model", signature=signature, serialization_format="cloudpickle")
        run_id = run.info.run_id
    store.mlflow.register_model(f"runs:/{run_id}/model", "trips")
    client = mlflow.MlflowClient()
    return {
        "run_id": run_id,
        "tags": client.get_run(run_id).data.tags,
        "version_tags": client.get_model_version("trips", "1").tags,
    }


if __name__ == "__main__":
    print(f"\n{json.dumps(train())}")
