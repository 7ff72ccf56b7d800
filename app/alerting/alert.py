"""An alert: an asset of the graph that says what went wrong where. Its attributes, with their history, are its state."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import cast

from app.events import DriftedColumn, DriftTest, Side
from app.service import Headwater, When
from graph.attributes import shown_attributes, values
from graph.cause import Cause, Reason
from graph.keys import AssetKey, AssetKind
from graph.model import Json
from graph.time import Instant, moment, parse_instant
from graph.topology import Moment

_PAGE = 1_000


class AlertState(StrEnum):
    OPEN = "OPEN"
    ACKNOWLEDGED = "ACKNOWLEDGED"
    """Somebody looks after it."""
    RESOLVED = "RESOLVED"


@dataclass(frozen=True, slots=True)
class Found:
    """What drifted, in whose requests; as it was last seen to."""

    column: DriftedColumn
    deployment: AssetKey

    @property
    def place(self) -> tuple[AssetKey, Side, str]:
        return self.deployment, self.column.side, self.column.name


@dataclass(frozen=True, slots=True)
class Alert:
    key: AssetKey
    state: AlertState
    title: str
    description: str
    about: AssetKey
    """The feature that drifted; the deployment, for an output and for an input that is no feature."""
    column: AssetKey | None
    """The nearest source column upstream of a feature."""
    model_version: AssetKey
    opened_at: Instant
    last_seen: Instant
    deployments: tuple[AssetKey, ...]
    rows: int
    """In all windows that drifted."""
    found: tuple[Found, ...]
    """What it was found by first, consequences after it."""
    causes: tuple[Cause, ...]
    """As ranked when it was opened."""
    consumers: tuple[AssetKey, ...]
    """The nearest downstream of `about` when it was opened."""
    owners: Json
    """Those of `about`."""
    tier: int | None
    """That of the most critical consumer or deployment."""

    def measures(self) -> dict[str, Json]:
        """The attributes that further windows move."""
        return {
            "last_seen": text_of(self.last_seen),
            "deployments": [str(key) for key in self.deployments],
            "rows": self.rows,
            "drifted": [_found_json(found) for found in self.found],
        }

    def attributes(self) -> dict[str, Json]:
        return {
            **self.measures(),
            "state": self.state.value,
            "fault": "drift",
            "title": self.title,
            "description": self.description,
            "about": str(self.about),
            "column": None if self.column is None else str(self.column),
            "model_version": str(self.model_version),
            "opened_at": text_of(self.opened_at),
            "causes": [causes_json(cause) for cause in self.causes],
            "consumers": [str(key) for key in self.consumers],
            "owners": self.owners or None,
            "tier": self.tier,
        }


def read_alert(key: AssetKey, attributes: Mapping[str, Json]) -> Alert:
    """From the attributes that this module writes."""
    column = attributes.get("column")
    return Alert(
        key=key,
        state=AlertState(str(attributes["state"])),
        title=str(attributes["title"]),
        description=str(attributes["description"]),
        about=AssetKey.parse(str(attributes["about"])),
        column=None if column is None else AssetKey.parse(str(column)),
        model_version=AssetKey.parse(str(attributes["model_version"])),
        opened_at=parse_instant(str(attributes["opened_at"])),
        last_seen=parse_instant(str(attributes["last_seen"])),
        deployments=_keys(attributes["deployments"]),
        rows=cast("int", attributes["rows"]),
        found=tuple(_read_found(each) for each in _mappings(attributes["drifted"])),
        causes=tuple(
            Cause(
                AssetKey.parse(str(each["asset"])),
                Reason(str(each["reason"])),
                str(each["explanation"]),
                cast("int", each["hops"]),
            )
            for each in _mappings(attributes["causes"])
        ),
        consumers=_keys(attributes["consumers"]),
        owners=attributes.get("owners"),
        tier=cast("int | None", attributes.get("tier")),
    )


async def alerts_now(headwater: Headwater) -> tuple[Moment, list[Alert]]:
    """All alerts there are, newest first, and the moment at which they were read."""
    _, at = await headwater.moment(When())
    keys: list[AssetKey] = []
    while page := await headwater.keys(at.at, (AssetKind.ALERT,), keys[-1] if keys else None, _PAGE):
        keys += page
    said = await headwater.believed(keys, at.revision)
    alerts = [
        read_alert(key, values(shown_attributes([row.assertion for row in said[key]], at.at)))
        for key in keys
        if any(row.assertion.valid.holds_at(at.at) for row in said.get(key, ()))
    ]
    return at, sorted(alerts, key=lambda alert: (-alert.opened_at, str(alert.key)))


def causes_json(cause: Cause) -> Json:
    return {
        "asset": str(cause.asset),
        "reason": cause.reason.value,
        "explanation": cause.explanation,
        "hops": cause.hops,
    }


def text_of(at: Instant) -> str:
    when = moment(at)
    assert when is not None
    return when.isoformat()


def _found_json(found: Found) -> Json:
    column = found.column
    return {
        "name": column.name,
        "side": column.side.value,
        "deployment": str(found.deployment),
        "asset": None if column.feature is None else str(column.feature),
        "tests": [{"name": test.name, "statistic": test.statistic, "p_value": test.p_value} for test in column.tests],
        "effect": column.effect,
        "reference": dict(column.reference),
        "current": dict(column.current),
    }


def _read_found(value: Mapping[str, Json]) -> Found:
    feature = value.get("asset")
    tests = tuple(
        DriftTest(str(test["name"]), cast("float", test["statistic"]), cast("float", test["p_value"]))
        for test in _mappings(value["tests"])
    )
    column = DriftedColumn(
        name=str(value["name"]),
        side=Side(str(value["side"])),
        tests=tests,
        effect=cast("float", value["effect"]),
        reference=cast("Mapping[str, float]", value["reference"]),
        current=cast("Mapping[str, float]", value["current"]),
        feature=None if feature is None else AssetKey.parse(str(feature)),
    )
    return Found(column, AssetKey.parse(str(value["deployment"])))


def _keys(value: Json) -> tuple[AssetKey, ...]:
    return tuple(AssetKey.parse(str(each)) for each in cast("Sequence[Json]", value))


def _mappings(value: Json) -> list[Mapping[str, Json]]:
    return [each for each in cast("Sequence[Json]", value) if isinstance(each, dict)]
