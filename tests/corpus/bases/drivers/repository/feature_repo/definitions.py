from datetime import timedelta

import pandas as pd
from feast import BigQuerySource, Entity, FeatureService, FeatureView, Field, RequestSource
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Float32, Float64, Int32, Int64, String

driver = Entity(name="driver", join_keys=["driver_id"])

driver_hourly = BigQuerySource(
    name="driver_hourly",
    table="acme.eta.driver_hourly",
    timestamp_field="event_timestamp",
)

driver_stats = FeatureView(
    name="driver_stats",
    entities=[driver],
    ttl=timedelta(days=1),
    schema=[
        Field(name="conv_rate", dtype=Float32),
        Field(name="acc_rate", dtype=Float32),
        Field(name="trips_today", dtype=Int32),
        Field(name="rating", dtype=Float64),
    ],
    online=True,
    source=driver_hourly,
    owner="eta@acme.example",
    tags={"team": "eta"},
)

driver_home = FeatureView(
    name="driver_home",
    entities=[driver],
    ttl=timedelta(days=30),
    schema=[Field(name="city", dtype=String)],
    online=True,
    source=BigQuerySource(name="driver_home_source", table="acme.eta.driver_home", timestamp_field="event_timestamp"),
)

surge_request = RequestSource(name="surge_request", schema=[Field(name="surge", dtype=Float64)])


@on_demand_feature_view(
    sources=[driver_stats, surge_request],
    schema=[Field(name="conv_with_surge", dtype=Float64)],
)
def surge_conversion(inputs: pd.DataFrame) -> pd.DataFrame:
    out = pd.DataFrame()
    out["conv_with_surge"] = inputs["conv_rate"] * inputs["surge"]
    return out


driver_activity = FeatureService(
    name="driver_activity",
    features=[driver_stats[["acc_rate", "trips_today"]], driver_home],
)
