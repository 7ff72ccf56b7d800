"""Put into a Feast repository by its test: sources of many kinds, read by views of every kind. Nothing is connected to."""

from datetime import timedelta

import pandas as pd
from feast import (
    BigQuerySource,
    Entity,
    FeatureService,
    FeatureView,
    Field,
    FileSource,
    KafkaSource,
    KinesisSource,
    PushSource,
    RedshiftSource,
    RequestSource,
    SnowflakeSource,
    StreamFeatureView,
)
from feast.aggregation import Aggregation
from feast.data_format import JsonFormat
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Float32, Float64, Int64, String

customer = Entity(name="customer", join_keys=["customer_id"], description="Who pays", tags={"pii": "yes"}, owner="crm")
KEY = Field(name="customer_id", dtype=Int64)

s3 = FileSource(
    name="accounts_file",
    path="s3://lake/accounts/all.parquet",
    timestamp_field="event_timestamp",
    created_timestamp_column="created",
    field_mapping={"acct_age": "age", "ts": "event_timestamp"},
    description="Accounts",
    owner="bank@shop.example",
    tags={"tier": "gold", "raw": ""},
)
tables = {
    "bigquery": BigQuerySource(name="bq", table="lake.shop.orders", timestamp_field="event_timestamp"),
    "query": BigQuerySource(name="bq_query", query="select * from lake.shop.orders", timestamp_field="event_timestamp"),
    "snowflake": SnowflakeSource(
        name="sf", database="LAKE", schema="SHOP", table="ORDERS", timestamp_field="event_timestamp"
    ),
    "redshift": RedshiftSource(
        name="rs", database="lake", schema="shop", table="orders", timestamp_field="event_timestamp"
    ),
}
views = [
    FeatureView(
        name=f"orders_{kind}",
        entities=[customer],
        schema=[KEY, Field(name="total", dtype=Float32, description="Euros", tags={"unit": "eur"})],
        source=source,
        ttl=timedelta(hours=1, milliseconds=500),
        online=kind != "query",
    )
    for kind, source in tables.items()
]
for view in views:
    globals()[view.name] = view
for kind, source in tables.items():
    globals()[f"source_{kind}"] = source

accounts = FeatureView(
    name="accounts",
    entities=[customer],
    schema=[KEY, Field(name="age", dtype=Int64), Field(name="total", dtype=Float32)],
    source=s3,
    ttl=timedelta(0),
    description="Ages of accounts",
    owner="bank@shop.example",
    tags={"team": "bank"},
)
without_entity = FeatureView(name="rates", entities=[], schema=[Field(name="rate", dtype=Float32)], source=s3)
kafka = KafkaSource(
    name="clicks",
    kafka_bootstrap_servers="broker:9092,other:9092",
    topic="shop.clicks",
    timestamp_field="event_timestamp",
    message_format=JsonFormat(schema_json="customer_id integer, clicks integer, event_timestamp timestamp"),
    batch_source=FileSource(name="clicks_file", path="gs://lake/clicks", timestamp_field="event_timestamp"),
    watermark_delay_threshold=timedelta(minutes=5),
)
kinesis = KinesisSource(
    name="taps",
    region="eu-central-1",
    stream_name="taps",
    timestamp_field="event_timestamp",
    record_format=JsonFormat(schema_json="customer_id integer"),
    batch_source=FileSource(name="taps_file", path="/lake/taps.parquet", timestamp_field="event_timestamp"),
)
clicks = FeatureView(
    name="clicks_as_they_are", entities=[customer], schema=[KEY, Field(name="clicks", dtype=Int64)], source=kafka
)
taps = FeatureView(name="taps", entities=[customer], schema=[KEY, Field(name="taps", dtype=Int64)], source=kinesis)
counted = StreamFeatureView(
    name="clicks_counted",
    entities=[customer],
    schema=[KEY, Field(name="clicks", dtype=Int64)],
    source=kafka,
    mode="spark",
    timestamp_field="event_timestamp",
    aggregations=[Aggregation(column="clicks", function="sum", time_window=timedelta(hours=1))],
)
pushed = PushSource(name="pushed", batch_source=s3)
fresh = FeatureView(
    name="accounts_fresh", entities=[customer], schema=[KEY, Field(name="age", dtype=Int64)], source=pushed
)
asked = RequestSource(name="basket", schema=[Field(name="items", dtype=Int64), Field(name="coupon", dtype=String)])


@on_demand_feature_view(  # type: ignore[untyped-decorator]
    sources=[accounts[["age"]], fresh, asked],
    schema=[Field(name="items_by_age", dtype=Float64), Field(name="is_young", dtype=Int64)],
    description="At the till",
    tags={"team": "till"},
    owner="till@shop.example",
)
def at_the_till(inputs: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"items_by_age": inputs["items"] / inputs["age"], "is_young": (inputs["age"] < 30).astype(int)})


service = FeatureService(
    name="checkout",
    features=[accounts, globals()["orders_snowflake"].with_name("recent"), at_the_till[["is_young"]]],
    description="All that checkout asks for",
    tags={"team": "till"},
    owner="till@shop.example",
)
namesake = FeatureService(name="accounts", features=[accounts[["age"]]])
