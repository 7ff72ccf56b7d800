"""The life of an alert as on-call sees it: raised without configuration, heard of at once, looked after, closed.

The model's inputs are no features, so the alert is about the deployment; `test_river` goes on to features and columns.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from tests.models import Gateway, multiplying, tensor
from tests.patience import within
from tests.profiles import profile_of
from tests.receiver import receiving
from tests.service import counted, running_service

pytestmark = pytest.mark.timeout(300)

WINDOW = 500
PATIENCE_SECONDS = 60.0
SECRET = "whsec_c2VjcmV0IG9mIHRoZSB0ZXN0cyBhbG9uZQ=="


def test_an_alert_is_raised_heard_of_looked_after_and_closed(tmp_path: Path) -> None:
    settings = {"monitor_seconds": 0.1, "prediction_flush_seconds": 0.1, "data": tmp_path / "data"}
    with receiving() as receiver:
        hook = {"webhook_url": receiver.url, "webhook_secret": SECRET, "webhook_internal": True}
        with running_service(f"sqlite:///{tmp_path}/store.db", **settings, **hook) as address:
            gateway = Gateway(address)
            drawn = np.random.default_rng(0).standard_normal(5_000)
            signature = [tensor("x")], [tensor("y")]
            profile = profile_of({"x": drawn}, {"y": 2 * drawn})
            version = gateway.version("double", "1", multiplying(2.0), *signature, profile=profile)
            deployment = gateway.deploy("double", version=version)
            with gateway.http.stream("POST", "/graphql", json={"query": FOLLOW}, headers=EVENTS) as stream:
                heard = alerts_in(stream)

                ask(gateway, seed=1, missing=0.3)
                raised = next(heard)
                assert raised["state"] == "OPEN"
                assert raised["about"]["id"] == deployment
                found = {(each["side"], each["name"]): each for each in raised["drifted"]}
                assert found["INPUT", "x"]["current"]["missing"] == pytest.approx(0.3, abs=0.06)
                assert found["INPUT", "x"]["reference"]["missing"] == 0

                acknowledged = gateway.ask(ACKNOWLEDGE, id=raised["id"])["acknowledgeAlert"]
                assert acknowledged["changed"] is True
                assert next(each for each in heard if each["state"] != "OPEN")["state"] == "ACKNOWLEDGED"

                for seed in range(2, 5):
                    before = windows(gateway)
                    ask(gateway, seed)
                    within(PATIENCE_SECONDS, lambda before=before: windows(gateway) > before)  # type: ignore[misc]
                closed = next(each for each in heard if each["state"] == "RESOLVED")
                assert closed["id"] == raised["id"]
            within(PATIENCE_SECONDS, lambda: len(receiver.received) >= 2)
            gateway.http.close()
    assert [each.json["type"] for each in receiver.received] == ["alert.raised", "alert.resolved"]
    assert len({each.headers["webhook-id"] for each in receiver.received}) == 2


def ask(gateway: Gateway, seed: int, missing: float = 0.0) -> None:
    """One window; `missing` of its values are."""
    draw = np.random.default_rng(seed)
    values = draw.standard_normal(WINDOW)
    lost = draw.random(WINDOW) < missing
    answer = gateway.infer("double", x=[None if gone else value for value, gone in zip(values, lost, strict=True)])
    assert answer.status_code == 200, answer.text


def windows(gateway: Gateway) -> int:
    return counted(str(gateway.http.base_url), "headwater_windows_tested")


def alerts_in(stream: httpx.Response) -> Iterator[dict[str, Any]]:
    """Each alert that the subscription tells of, as server-sent events."""
    for line in stream.iter_lines():
        told = json.loads(line.removeprefix("data:")) if line.startswith("data:") and len(line) > 6 else None
        if told:
            yield told["data"]["alerts"]


EVENTS = {"Accept": "text/event-stream"}

FOLLOW = """
subscription Follow {
  alerts { id state about { id } drifted { name side reference current } }
}
"""

ACKNOWLEDGE = """
mutation Acknowledge($id: ID!) {
  acknowledgeAlert(id: $id) { ... on Registered { changed } ... on Problem { message } }
}
"""
