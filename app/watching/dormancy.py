"""Consumers that were seen calling, and not for long: their flows turn dormant, and active again when they are seen.

A flow that is dormant is told by an origin of its own, so that whoever asks for what breaks now can leave it out.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import structlog

from app.events import CLAIMED, GATEWAY, VERIFIED
from app.service import Headwater
from graph.changes import FlowStatement, Registration, Withdrawal
from graph.errors import GraphError
from graph.keys import AssetKey, AssetKind
from graph.model import Basis, Flow
from graph.time import DAY, Instant
from graph.topology import KIND_CODE, Moment, View
from graph.usage import OF_CALLS, day_of, dormant_origin, is_dormant

EVERY_SECONDS = 3600.0
_AT_ONCE = 1_000

log = structlog.get_logger(__name__)


class Dormancy:
    def __init__(self, days: int) -> None:
        self.days = days

    async def run(self, headwater: Headwater) -> None:
        while True:
            try:
                await self.turn(headwater)
            except GraphError as error:
                log.warning("which flows are dormant is looked at later", reason=str(error))
            await asyncio.sleep(EVERY_SECONDS)

    async def turn(self, headwater: Headwater) -> None:
        """Brings the graph up to date. Raises StoreUnavailable, NotReady."""
        asleep, awake = await headwater.in_long_thread(self._turned, headwater)
        for start in range(0, len(asleep), _AT_ONCE):
            some = asleep[start : start + _AT_ONCE]
            # First the one is said, then the other no longer: a consumer is never missing.
            await _state_dormant(headwater, some)
            await _withdraw(headwater, some)
        await _withdraw(headwater, awake)

    def _turned(self, headwater: Headwater) -> "tuple[list[_Called], list[_Called]]":
        """Flows that turn dormant, and dormant ones that turn active."""
        view, now = headwater.index.view(), headwater.clock()
        start = now - self.days * DAY
        called = [*_called(view, Moment(now, view.revision))]
        used = _used(headwater, {each.flow.target for each in called}, start)
        asleep, awake = [], []
        for each in called:
            last = used.get((each.flow.source, each.flow.target, _is_verified(each.origin)), each.since)
            if is_dormant(each.origin):
                if last >= start and last > each.since:
                    awake.append(each)
            elif max(last, each.since) < start:
                asleep.append(each)
        return asleep, awake


class _Called(NamedTuple):
    """What one of the origins that see callers says."""

    flow: Flow
    origin: str
    since: Instant


def _called(view: View, now: Moment) -> Iterable[_Called]:
    """In the order of the flows' text."""
    names = [place for place, name in enumerate(view.origins) if name in OF_CALLS]
    rows = view.rows
    held = view.holding(np.flatnonzero(np.isin(rows["origin"][: view.row_count], names)), now)
    held = held[view.kind[view.vertex_asset[rows["target"][held]]] == KIND_CODE[AssetKind.CONSUMER]]
    ends = (view.vertex_asset[rows[end][held]].tolist() for end in ("source", "target"))
    columns = zip(*ends, rows["origin"][held].tolist(), view.times[held, 0].tolist(), strict=True)
    told = {
        _Called(Flow(view.key(source), view.key(target)), view.origins[origin], since)
        for source, target, origin, since in columns
    }
    return sorted(told, key=lambda each: (str(each.flow), each.origin))


def _used(
    headwater: Headwater, readers: Iterable[AssetKey], start: Instant
) -> Mapping[tuple[AssetKey, AssetKey, bool], Instant]:
    """When each reader was last seen calling each source, verified or not, since `start`."""
    used: dict[tuple[AssetKey, AssetKey, bool], Instant] = {}
    every = sorted(readers, key=str)
    for place in range(0, len(every), _AT_ONCE):
        for usage in headwater.store.usage(every[place : place + _AT_ONCE], day_of(start)):
            if usage.reader is not None and usage.calls > 0:
                call = usage.source, usage.reader, usage.verified
                used[call] = max(usage.last, used.get(call, usage.last))
    return used


def _is_verified(origin: str) -> bool:
    return origin in (VERIFIED, dormant_origin(VERIFIED))


async def _state_dormant(headwater: Headwater, called: Sequence[_Called]) -> None:
    for origin in (VERIFIED, CLAIMED):
        flows = tuple(
            FlowStatement(each.flow, {"verified": origin == VERIFIED}) for each in called if each.origin == origin
        )
        if flows:
            wanted = Registration(dormant_origin(origin), Basis.OBSERVED, flows=flows, stubs=True)
            await headwater.register(wanted, None, GATEWAY)


async def _withdraw(headwater: Headwater, called: Sequence[_Called]) -> None:
    for origin in sorted({each.origin for each in called}):
        gone = tuple(Withdrawal(each.flow) for each in called if each.origin == origin)
        await headwater.register(Registration(origin, Basis.OBSERVED, withdrawals=gone, stubs=True), None, GATEWAY)
