"""Alerts: raised once for what went wrong, kept up to date while it lasts, told to the webhook, and closed."""

import asyncio
import re
import uuid
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple
from urllib.parse import quote

import numpy as np
import structlog

from app.alerting.alert import Alert, AlertState, Found, alerts_now, causes_json, text_of
from app.alerting.outbox import Outbox
from app.alerting.roots import Root, roots
from app.events import MONITORING, DriftedColumn, Side, WindowTested
from app.service import Headwater, When
from graph.attributes import shown_attributes, values
from graph.cause import RECENT, Cause, causes
from graph.changes import AssetStatement, Receipt, Registration
from graph.errors import Conflict, NotFound
from graph.keys import AssetKey, AssetKind
from graph.messages import Message
from graph.model import Basis, Json, Timing
from graph.same import names_of
from graph.stores.contract import Revision, Store
from graph.time import Instant, moment
from graph.topology import Moment, View
from graph.walk import AssetFilter, Direction, FlowFilter, selected, walk

RAISED, RESOLVED = "alert.raised", "alert.resolved"
CLEAN_WINDOWS = 3
"""So many in a row, at each of its deployments, resolve an alert."""
_CONSUMERS_TOLD = 50
_UPSTREAM_ASKED, _REVISIONS_ASKED = 100, 20
_NAMESPACE = uuid.UUID("6f0f3c1e-6a53-4a37-9d0f-9b5c0e6a1c55")
"""Of the ids of messages, which follow from alert and topic: told twice, it is one message."""

log = structlog.get_logger(__name__)


class Alerting:
    """Hears of windows and of people. With an outbox, it leaves a message with each commit that others must hear of."""

    def __init__(self, outbox: Outbox | None) -> None:
        self._outbox = outbox
        self._one_at_a_time = asyncio.Lock()
        self._latest: dict[AssetKey, Alert] = {}
        self._written: dict[AssetKey, Instant] = {}
        self._clean: defaultdict[tuple[AssetKey, AssetKey], int] = defaultdict(int)

    async def run(self, headwater: Headwater) -> None:
        if self._outbox is not None:
            await self._outbox.run(headwater)

    async def window_tested(self, headwater: Headwater, window: WindowTested) -> None:
        """Repeated for the same window: no second alert, no second message. Raises GraphError: then tell it again."""
        async with self._one_at_a_time:
            _, alerts = await alerts_now(headwater)
            open_ones = {alert.key: self._as_last_seen(alert) for alert in alerts if alert.state != AlertState.RESOLVED}
            touched: set[AssetKey] = set()
            if window.drifted:
                view, at = await headwater.moment(When())
                for root in await headwater.in_thread(roots, view, at, window):
                    known = _alert_of(root, window.deployment, open_ones.values())
                    if known is None:
                        taken = {alert.key for alert in alerts} | open_ones.keys()
                        alert = await self._raise(headwater, root, window, open_ones.values(), taken)
                    else:
                        alert = await self._update(headwater, known, root, window)
                    open_ones[alert.key] = alert
                    touched.add(alert.key)
            for alert in open_ones.values():
                if window.deployment in alert.deployments:
                    await self._count(headwater, alert, window.deployment, alert.key not in touched)

    async def acknowledge(self, headwater: Headwater, key: AssetKey, actor: str) -> Receipt:
        """Somebody looks after it. Raises NotFound, and Conflict for a resolved one."""
        async with self._one_at_a_time:
            alert = await self._found(headwater, key)
            if alert.state is AlertState.RESOLVED:
                raise Conflict(f"{key} is resolved, so there is nothing left to acknowledge")
            if alert.state is AlertState.ACKNOWLEDGED:
                return Receipt(headwater.index.revision, False)
            said: dict[str, Json] = {"state": AlertState.ACKNOWLEDGED.value, "acknowledged_by": actor}
            return await headwater.register(_statement(key, said), None, actor)

    async def resolve(self, headwater: Headwater, key: AssetKey, actor: str) -> Receipt:
        """It is over, somebody says. Raises NotFound."""
        async with self._one_at_a_time:
            alert = await self._found(headwater, key)
            if alert.state is AlertState.RESOLVED:
                return Receipt(headwater.index.revision, False)
            return await self._resolve(headwater, self._as_last_seen(alert), actor)

    # One window

    async def _raise(
        self,
        headwater: Headwater,
        root: Root,
        window: WindowTested,
        others: Collection[Alert],
        taken: Collection[AssetKey],
    ) -> Alert:
        view, at = await headwater.moment(When())
        drifting = {other.about: other.title for other in others}
        drifting |= {
            column.feature: f"as input {column.name} of {window.deployment.name}"
            for column in root.columns
            if column.feature is not None
        }
        facts = await headwater.in_thread(_facts, headwater.store, view, at, root, window.deployment, drifting)
        now = headwater.clock()
        alert = Alert(
            key=_free_key(root.about, now, taken),
            state=AlertState.OPEN,
            title=_title(root.columns[0], window.deployment),
            description=_description(root.columns[0], window),
            about=root.about,
            column=root.column,
            model_version=window.version,
            opened_at=now,
            last_seen=now,
            deployments=(window.deployment,),
            rows=window.rows,
            found=tuple(Found(column, window.deployment) for column in (*root.columns, *root.consequences)),
            causes=facts.causes,
            consumers=facts.consumers,
            owners=(await _owners(headwater, [root.about], at))[root.about],
            tier=facts.tier,
        )
        messages = await self._messages(headwater, RAISED, alert)
        wanted = _statement(alert.key, alert.attributes(), messages, expected_version=0)
        await headwater.register(wanted, None, MONITORING)
        self._keep(alert, now)
        self._wake(messages)
        log.info("an alert was raised", alert=str(alert.key), about=str(alert.about), rows=alert.rows)
        return alert

    async def _update(self, headwater: Headwater, alert: Alert, root: Root, window: WindowTested) -> Alert:
        now = headwater.clock()
        now_found = [Found(column, window.deployment) for column in (*root.columns, *root.consequences)]
        found = {each.place: each for each in (*alert.found, *now_found)}
        updated = replace(
            alert,
            last_seen=now,
            deployments=tuple(dict.fromkeys((*alert.deployments, window.deployment))),
            rows=alert.rows + window.rows,
            found=tuple(found.values()),
        )
        is_news = updated.deployments != alert.deployments or len(updated.found) != len(alert.found)
        written = self._written.get(alert.key, alert.opened_at)
        # Ever less often as it ages, so that its history does not outgrow what it tells: off by a tenth of its age at most.
        if is_news or now - written >= (now - alert.opened_at) / 10:
            await headwater.register(_statement(alert.key, updated.measures()), None, MONITORING)
            written = now
        self._keep(updated, written)
        return updated

    async def _count(self, headwater: Headwater, alert: Alert, deployment: AssetKey, clean: bool) -> None:
        self._clean[alert.key, deployment] = self._clean[alert.key, deployment] + 1 if clean else 0
        if all(self._clean[alert.key, each] >= CLEAN_WINDOWS for each in alert.deployments):
            await self._resolve(headwater, alert, MONITORING)

    async def _resolve(self, headwater: Headwater, alert: Alert, actor: str) -> Receipt:
        resolved = replace(alert, state=AlertState.RESOLVED)
        messages = await self._messages(headwater, RESOLVED, resolved)
        said: dict[str, Json] = {
            **alert.measures(),
            "state": resolved.state.value,
            "resolved_by": actor,
            "resolved_at": text_of(headwater.clock()),
        }
        receipt = await headwater.register(_statement(alert.key, said, messages), None, actor)
        self._latest.pop(alert.key, None)
        self._written.pop(alert.key, None)
        for deployment in alert.deployments:
            self._clean.pop((alert.key, deployment), None)
        self._wake(messages)
        return receipt

    def _keep(self, alert: Alert, written: Instant) -> None:
        self._latest[alert.key] = alert
        self._written[alert.key] = written

    def _as_last_seen(self, stored: Alert) -> Alert:
        """With what windows since the last commit added."""
        latest = self._latest.get(stored.key)
        if latest is None or latest.last_seen <= stored.last_seen:
            return stored
        return replace(latest, state=stored.state)

    async def _found(self, headwater: Headwater, key: AssetKey) -> Alert:
        _, alerts = await alerts_now(headwater)
        for alert in alerts:
            if alert.key == key:
                return alert
        raise NotFound(key, "is no alert")

    # What others are told

    async def _messages(self, headwater: Headwater, topic: str, alert: Alert) -> tuple[Message, ...]:
        if self._outbox is None:
            return ()
        _, at = await headwater.moment(When())
        owners = await _owners(headwater, alert.consumers, at)
        data: Json = {
            "id": str(alert.key),
            "path": f"/alerts/{quote(str(alert.key), safe=':/')}",
            "title": alert.title,
            "description": alert.description,
            "state": alert.state.value,
            "opened_at": text_of(alert.opened_at),
            "about": str(alert.about),
            "column": None if alert.column is None else str(alert.column),
            "owners": alert.owners,
            "tier": alert.tier,
            "model_version": str(alert.model_version),
            "deployments": [str(key) for key in alert.deployments],
            "consumers": [{"id": str(key), "owners": owners[key]} for key in alert.consumers],
            "causes": [causes_json(cause) for cause in alert.causes],
        }
        name = uuid.uuid5(_NAMESPACE, f"{topic} {alert.key}")
        return (Message(str(name), topic, {"timestamp": text_of(headwater.clock()), "data": data}),)

    def _wake(self, messages: Sequence[Message]) -> None:
        if messages and self._outbox is not None:
            self._outbox.wake()


class _Facts(NamedTuple):
    causes: tuple[Cause, ...]
    consumers: tuple[AssetKey, ...]
    tier: int | None


def _facts(
    store: Store, view: View, at: Moment, root: Root, deployment: AssetKey, drifting: Mapping[AssetKey, str]
) -> _Facts:
    upstream = list(root.upstream)[:_UPSTREAM_ASKED]
    histories = {
        key: [
            revision
            for name in names_of(view, key, at)
            for revision in _recent(store.history(name, limit=_REVISIONS_ASKED), at)
        ]
        for key in upstream
    }
    ranked = causes(view, at, [root.about], drifting, histories)
    try:
        hit = walk(view, root.about, Direction.DOWNSTREAM, at, flows=FlowFilter(timings=(Timing.LIVE,)))
        itself = view.label_codes(np.array([view.number(deployment)]), at)
    except NotFound:
        return _Facts(tuple(ranked), (), None)
    consumers = [hit.key(row) for row in selected(hit, AssetFilter(kinds=(AssetKind.CONSUMER,))).tolist()]
    concerned = selected(hit, AssetFilter(kinds=(AssetKind.CONSUMER, AssetKind.DEPLOYMENT))).tolist()
    tiers = [*(hit.label(row).tier for row in concerned), *(view.labels[code].tier for code in itself if code >= 0)]
    return _Facts(
        tuple(ranked),
        tuple(consumers[:_CONSUMERS_TOLD]),
        min((tier for tier in tiers if tier is not None), default=None),
    )


def _recent(history: Sequence[Revision], at: Moment) -> list[Revision]:
    return [revision for revision in history if revision.at >= at.at - RECENT]


def _alert_of(root: Root, deployment: AssetKey, alerts: Collection[Alert]) -> Alert | None:
    """The open alert that this is already: of the same thing, or (the nearest) of something upstream of it."""
    places = {(deployment, column.side, column.name) for column in root.columns}
    for alert in alerts:
        known = {alert.about, *(found.column.feature for found in alert.found)}
        if known & root.abouts or places & {found.place for found in alert.found}:
            return alert
    above = [alert for alert in alerts if alert.about in root.upstream]
    return min(above, key=lambda alert: (root.upstream[alert.about], str(alert.key)), default=None)


async def _owners(headwater: Headwater, keys: Sequence[AssetKey], at: Moment) -> dict[AssetKey, Json]:
    """As shown; a part without owners has its container's."""
    containers = {key: key.container for key in keys if key.container is not None}
    said = await headwater.believed([*keys, *containers.values()], at.revision)

    def owners(key: AssetKey) -> Json:
        return values(shown_attributes([row.assertion for row in said.get(key, ())], at.at)).get("owners") or []

    return {key: owners(key) or (owners(containers[key]) if key in containers else []) for key in keys}


def _statement(
    key: AssetKey, said: Mapping[str, Json], messages: tuple[Message, ...] = (), expected_version: int | None = None
) -> Registration:
    statement = AssetStatement(key, said, expected_version=expected_version)
    return Registration(MONITORING, Basis.OBSERVED, (statement,), messages=messages)


def _free_key(about: AssetKey, now: Instant, taken: Collection[AssetKey]) -> AssetKey:
    when = moment(now)
    assert when is not None
    slug = re.sub(r"[^\w.-]+", "-", about.part or about.name)[:80]
    name = f"drift-{slug}-{when:%Y-%m-%dT%H-%M-%SZ}"
    key, again = AssetKey.of(AssetKind.ALERT, about.namespace, name), 1
    while key in taken:
        again += 1
        key = AssetKey.of(AssetKind.ALERT, about.namespace, f"{name}-{again}")
    return key


def _title(column: DriftedColumn, deployment: AssetKey) -> str:
    what = "output " if column.side is Side.OUTPUT else ""
    return f"{what}{column.name} drifted at {deployment.name}"


def _description(column: DriftedColumn, window: WindowTested) -> str:
    before, now = column.reference, column.current
    told = f"divergence {column.effect:.2f} bits"
    if "mean" in before and "mean" in now:
        told = f"mean {now['mean']:.4g} instead of {before['mean']:.4g}, {told}"
    if abs(now["missing"] - before["missing"]) >= 0.01:
        told = f"{now['missing']:.0%} missing instead of {before['missing']:.0%}, {told}"
    return f"{column.name} in {window.rows} predictions of {window.deployment.name} differs from what it was trained on: {told}."
