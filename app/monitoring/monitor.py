"""Tests the logged predictions of every deployment for drift, window by window, without being told to."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import structlog

from app.events import LoggedRows, WindowTested
from app.metrics import Metrics
from app.monitoring.detectors import Detector
from app.monitoring.results import Results
from app.monitoring.windows import judged
from app.service import Headwater, When
from graph.attributes import shown_attributes, values
from graph.errors import GraphError
from graph.keys import AssetKey
from graph.model import Json
from graph.profile import Profile, ProfileInvalid, read_profile
from graph.time import Instant

LARGEST_WINDOW = 50_000
"""Rows; a longer backlog is tested in several windows."""

Logged: TypeAlias = Callable[[], list[tuple[AssetKey, AssetKey]]]
RowsAfter: TypeAlias = Callable[[AssetKey, AssetKey, Instant, int], LoggedRows | None]
Listener: TypeAlias = Callable[[Headwater, WindowTested], Awaitable[None]]

log = structlog.get_logger(__name__)


class Monitoring:
    """A window is all rows since the last one, once there are `rows` of them.

    `tell` hears of each before it counts as tested: what it fails at, it hears of again.
    """

    def __init__(
        self,
        results: Results,
        detector: Detector,
        logged: Logged,
        rows_after: RowsAfter,
        tell: Listener,
        seconds: float,
        rows: int,
        metrics: Metrics,
    ) -> None:
        self._results = results
        self._detector = detector
        self._logged = logged
        self._rows_after = rows_after
        self._tell = tell
        self._seconds = seconds
        self._rows = rows
        self._metrics = metrics
        self._refused: set[tuple[AssetKey, str]] = set()

    async def run(self, headwater: Headwater) -> None:
        while True:
            await self.look(headwater)
            await asyncio.sleep(self._seconds)

    async def look(self, headwater: Headwater) -> None:
        """Tests every window that is due. What fails at one version is logged and tried at the next look."""
        for deployment, version in await headwater.in_thread(self._logged):
            try:
                while await self._test_next(headwater, deployment, version):
                    pass
            except GraphError as error:
                log.warning("a window waits to be told of", deployment=str(deployment), reason=str(error))
            except Exception:
                log.exception("a window could not be tested", deployment=str(deployment), version=str(version))

    async def _test_next(self, headwater: Headwater, deployment: AssetKey, version: AssetKey) -> bool:
        """False: there is no window yet."""
        profiled = await self._profile(headwater, version)
        if profiled is None:
            return False
        window = await headwater.in_thread(self._tested, deployment, version, *profiled)
        if window is None:
            return False
        await self._tell(headwater, window)
        await headwater.in_thread(self._results.append, window)
        self._metrics.windows_tested.labels("drifted" if window.drifted else "clean").inc()
        return True

    async def _profile(self, headwater: Headwater, version: AssetKey) -> tuple[Profile, Json] | None:
        """The profile and the signature; None where there is no profile, or none that can be used."""
        _, at = await headwater.moment(When())
        said = (await headwater.believed([version], at.revision)).get(version, ())
        shown = values(shown_attributes([row.assertion for row in said], at.at))
        if shown.get("profile") is None:
            return None
        try:
            return read_profile(shown["profile"]), shown.get("signature")
        except ProfileInvalid as error:
            if (version, str(error)) not in self._refused:
                self._refused.add((version, str(error)))
                log.warning(
                    "a version cannot be monitored: its profile is wrong", version=str(version), reason=str(error)
                )
            return None

    def _tested(
        self, deployment: AssetKey, version: AssetKey, profile: Profile, signature: Json
    ) -> WindowTested | None:
        after = self._results.tested_until(deployment, version)
        rows = self._rows_after(deployment, version, after, LARGEST_WINDOW)
        if rows is None or rows.count < self._rows:
            return None
        return judged(deployment, version, rows, profile, signature, self._detector)
