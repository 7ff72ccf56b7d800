"""What the other modules of this repository share."""

from datetime import timedelta

import feast
from feast import Field, ValueType
from feast.types import Array, Float64, Int64, String, UnixTimestamp

LAKE = "s3://lake"
TEAM = {"team": "orders", "area": "shop"}
HOUR = timedelta(hours=1)
TTLS = {"short": 2 * HOUR, "long": timedelta(days=7) + HOUR * 3}
WINDOWS = (1, 7, 30)

customer = feast.Entity(name="customer", join_keys=["customer_id"], value_type=ValueType.INT64, owner="crm@shop.example")
shop = feast.Entity(name="shop", value_type=ValueType.STRING, tags={**TEAM, "pii": "no"})
KEYS = [Field(name="customer_id", dtype=Int64), Field(name="shop", dtype=String)]


def lake(name: str, *, folder: str = "gold", **more: str) -> feast.FileSource:
    path = f"{LAKE}/{folder}/{name}.parquet"
    return feast.FileSource(name=f"{name}_file", path=path, timestamp_field="at", **more)


def columns(prefix: str, days: tuple[int, ...] = WINDOWS) -> list[Field]:
    made = [Field(name=f"{prefix}_{day}d", dtype=Float64, tags={"days": str(day)}) for day in days if day != 7]
    made.append(Field(name=prefix + "_last", dtype=UnixTimestamp))
    made += [Field(name="_".join([prefix, "items"]), dtype=Array(String))]
    return made
