"""Views in the awkward forms that people write them in."""

import feast as fs
from feast import BatchFeatureView, FeatureView, Field, PushSource, SnowflakeSource
from feast.types import Float32, Int64
from parts import basics
from parts.basics import KEYS, TEAM, customer
from parts.basics import shop as the_shop

COMMON = dict(entities=[customer, the_shop], owner="orders@shop.example", tags=TEAM | {"tier": "gold"})
IS_ONLINE = len(basics.WINDOWS) > 2 and not TEAM.get("archived")

if IS_ONLINE:
    ttl = basics.TTLS["long"]
else:
    ttl = basics.TTLS["short"]

orders = FeatureView(name="orders", schema=KEYS + basics.columns("orders"), source=basics.lake("orders"), ttl=ttl, **COMMON)
returns = fs.FeatureView(
    name="returns".upper().lower(),
    schema=[*KEYS, *basics.columns("returns", (1,))],
    source=basics.lake("returns", folder="silver", description="What came back", created_timestamp_column="made"),
    online=IS_ONLINE if ttl > basics.HOUR else False,
    ttl=None,
    **COMMON,
)
returns.description = "What came back"

for region, (database, is_kept) in {"eu": ("LAKE_EU", True), "us": ("LAKE_US", False)}.items():
    source = SnowflakeSource(name=f"sales_{region}", database=database, table="SALES", timestamp_field="at")
    view = FeatureView(
        name=f"sales_{region}",
        entities=[customer],
        schema=[KEYS[0], Field(name="sales", dtype=Float32, description=f"In {region.upper()}")],
        source=source,
        online=is_kept,
    )
    globals()[f"sales_{region}_view"] = view

pushed = PushSource(name="pushed_orders", batch_source=basics.lake("orders_pushed", field_mapping={"n": "count"}))
fresh = FeatureView(name="orders_fresh", entities=[customer], schema=[KEYS[0], Field(name="count", dtype=Int64)], source=pushed)
batch = BatchFeatureView(
    name="orders_batch",
    mode="python",
    entities=[customer],
    schema=[KEYS[0], Field(name="total", dtype=Float32)],
    source=orders.batch_source if False else basics.lake("orders_all"),
    ttl=basics.HOUR,
    udf=None,
)
