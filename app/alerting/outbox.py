"""Delivers what commits left to be told: at least once, in the end, each with one id. It knows nothing of topics."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeAlias

import structlog

from app.metrics import Metrics
from app.service import Headwater
from graph.errors import StoreUnavailable
from graph.messages import Delivery, Message
from graph.time import MINUTE, SECOND, Instant

FIRST_PAUSE, LONGEST_PAUSE = 5.0, 3600.0
"""Seconds before the second attempt; twice as many before each further one, up to the longest."""
MOST_ATTEMPTS = 82
"""About three days; then a message is given up."""
_MOST_WAIT = 24 * 3600.0
_LEASE: Instant = MINUTE
_LOOKSECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Delivered:
    pass


@dataclass(frozen=True, slots=True)
class Failed:
    """`final`: the receiver wants nothing more of this. `wait_seconds`: it said when to come back."""

    reason: str
    final: bool = False
    wait_seconds: float | None = None


Outcome: TypeAlias = Delivered | Failed
Send: TypeAlias = Callable[[Message, Instant], Awaitable[Outcome]]

log = structlog.get_logger(__name__)


class Outbox:
    def __init__(self, send: Send, chance: Callable[[], float], metrics: Metrics) -> None:
        """`chance` is random, 0 to 1: it spreads the attempts, so that a receiver that is back is not overrun."""
        self._send = send
        self._chance = chance
        self._metrics = metrics
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """There is a message to deliver at once."""
        self._woken.set()

    async def run(self, headwater: Headwater) -> None:
        while True:
            self._woken.clear()
            try:
                while await self.deliver_due(headwater):
                    pass
            except StoreUnavailable as error:
                log.warning("messages wait for the store", reason=str(error))
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOKSECONDS):
                    await self._woken.wait()

    async def deliver_due(self, headwater: Headwater) -> int:
        """Tries each message that is due once; how many those were. Raises StoreUnavailable."""
        store, now = headwater.store, headwater.clock()
        due = await headwater.in_thread(store.lease, now, now + _LEASE)
        await asyncio.gather(*(self._deliver(headwater, delivery) for delivery in due))
        self._metrics.messages_waiting.set(await headwater.in_thread(store.undelivered))
        return len(due)

    async def _deliver(self, headwater: Headwater, delivery: Delivery) -> None:
        store, message = headwater.store, delivery.message
        outcome = await self._send(message, headwater.clock())
        now = headwater.clock()
        if isinstance(outcome, Delivered):
            await headwater.in_thread(store.delivered, message.id, now)
            self._metrics.messages.labels("delivered").inc()
            return
        given_up = outcome.final or delivery.attempts + 1 >= MOST_ATTEMPTS
        pause = max(pause_seconds(delivery.attempts, self._chance()), min(outcome.wait_seconds or 0, _MOST_WAIT))
        until = None if given_up else now + int(pause * SECOND)
        await headwater.in_thread(store.postponed, message.id, until, outcome.reason)
        self._metrics.messages.labels("given_up" if given_up else "postponed").inc()
        log.warning(
            "a message was not delivered",
            given_up=given_up,
            message=message.id,
            topic=message.topic,
            attempts=delivery.attempts + 1,
            reason=outcome.reason,
        )


def pause_seconds(attempts: int, chance: float) -> float:
    """Before the next attempt, when `attempts` failed before the last: 5 s, doubled each time up to an hour, ±20 %."""
    return float(min(FIRST_PAUSE * 2 ** min(attempts, 30), LONGEST_PAUSE) * (0.8 + 0.4 * chance))
