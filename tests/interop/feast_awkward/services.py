"""What is read of the views, and a view on demand with helpers."""

import math

from feast import FeatureService, Field, RequestSource
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Float64
from orders import COMMON, fresh, orders, returns

RATE = 0.19
basket = RequestSource(name="basket", schema=[Field(name=each, dtype=Float64) for each in ("net", "weight")])


def gross(net):
    return net * (1 + RATE)


@on_demand_feature_view(
    name="basket_view", sources=[basket, orders[["orders_1d"]]], schema=[Field(name="gross", dtype=Float64)], mode="python"
)
def computed(inputs):
    return {"gross": [float(math.ceil(gross(each))) for each in inputs["net"]]}


READ = [orders[["orders_1d", "orders_last"]], returns.with_name("back"), computed]
checkout = FeatureService(name="checkout", features=READ + [fresh], tags=COMMON["tags"], owner=COMMON["owner"])
by_name = FeatureService(name="by_name", features=["orders", "returns:returns_1d"])
