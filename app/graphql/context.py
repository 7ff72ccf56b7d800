"""What every resolver is given: the service, who asks, and the records read so far in this request."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from weakref import WeakSet

import strawberry
from graphql import GraphQLError
from strawberry.dataloader import DataLoader

from app.alerting.alert import Alert, alerts_now
from app.identity import Principal, Role
from app.rooms import Rooms
from app.service import Headwater
from graph.attributes import Shown, shown_attributes, shown_together
from graph.keys import AssetKey
from graph.model import Flow, StoredAssertion, Subject
from graph.time import Instant
from graph.topology import Moment
from graph.usage import USAGE_DAYS, Usage, day_of


@dataclass(frozen=True, slots=True)
class Record:
    """One asset as it was at a moment: what was said of it, by all its keys, and what is shown."""

    said: tuple[StoredAssertion, ...]
    shown: dict[str, Shown]
    stub: bool
    """Nobody says what it is; it is known only as the end of a flow, or as the container of a part."""


@dataclass
class Context:
    headwater: Headwater
    principal: Principal
    rooms: Rooms
    request_id: str = ""
    connection_params: object | None = None
    simulations: "WeakSet[object]" = field(default_factory=WeakSet)
    """Something for each graph as it would be that this request, or this connection, holds."""
    _records: dict[tuple[AssetKey, Moment], Record] = field(init=False, default_factory=dict)
    records: DataLoader[tuple[AssetKey, Moment], Record] = field(init=False)
    versions: DataLoader[AssetKey, int | None] = field(init=False)
    evidence: DataLoader[tuple[Flow, int], tuple[StoredAssertion, ...]] = field(init=False)
    heard: DataLoader[tuple[Subject, str], Instant | None] = field(init=False)
    """When an origin was last heard to say something of a subject."""
    usages: DataLoader[AssetKey, list[Usage]] = field(init=False)
    """Calls of each asset and by it, of the days that answers tell of."""

    alerts: DataLoader[None, tuple[Moment, list[Alert]]] = field(init=False)
    """All alerts as they are now, newest first."""

    def __post_init__(self) -> None:
        self._recording = asyncio.Lock()
        self.records = DataLoader(self._load_records, max_batch_size=1000)
        self.versions = DataLoader(self._load_versions, max_batch_size=1000)
        self.evidence = DataLoader(self._load_evidence, max_batch_size=1000)
        self.heard = DataLoader(self._load_heard, max_batch_size=1000)
        self.usages = DataLoader(self._load_usages, max_batch_size=1000, cache=False)  # counts move under subscriptions

        self.alerts = DataLoader(self._load_alerts, max_batch_size=1000, cache=False)  # they move as well

    def require(self, role: Role) -> None:
        if self.principal.role < role:
            raise GraphQLError(
                f"{self.principal.name!r} is a {self.principal.role.name.lower()}; this needs a {role.name.lower()}",
                extensions={"code": "FORBIDDEN"},
            )

    async def records_of(self, wanted: Sequence[tuple[AssetKey, Moment]]) -> list[Record]:
        """The records of many at once: a loader would make a future for each."""
        if len(wanted) == 1:
            return [await self.records.load(wanted[0])]
        async with self._recording:  # whoever comes next finds them
            missing = [each for each in dict.fromkeys(wanted) if each not in self._records]
            if missing:
                self._records |= zip(missing, await self._load_records(missing), strict=True)
        return [self._records[each] for each in wanted]

    async def versions_of(self, keys: Sequence[AssetKey]) -> list[int | None]:
        if len(keys) == 1:
            return [await self.versions.load(keys[0])]
        return await self._load_versions(keys)

    async def _load_records(self, wanted: Sequence[tuple[AssetKey, Moment]]) -> list[Record]:
        found: dict[tuple[AssetKey, Moment], Record] = {}
        for moment in dict.fromkeys(moment for _, moment in wanted):
            names = {key: self.headwater.names(key, moment) for key, at in wanted if at == moment}
            keys = [*dict.fromkeys(name for all_of_one in names.values() for name in all_of_one)]
            believed = await self.headwater.believed(keys, moment.revision)
            for key, all_of_one in names.items():
                said = [believed.get(name, ()) for name in all_of_one]
                held = [[row.assertion for row in each] for each in said]
                stub = not any(assertion.valid.holds_at(moment.at) for each in held for assertion in each)
                told = [shown_attributes(each, moment.at) for each in held]
                shown = told[0] if len(told) == 1 else shown_together(told)
                found[key, moment] = Record(tuple(row for each in said for row in each), shown, stub)
        return [found[each] for each in wanted]

    async def _load_heard(self, wanted: Sequence[tuple[Subject, str]]) -> list[Instant | None]:
        found = await self.headwater.in_thread(self.headwater.store.last_said, {subject for subject, _ in wanted})
        return [found.get(each) for each in wanted]

    async def _load_evidence(self, wanted: Sequence[tuple[Flow, int]]) -> list[tuple[StoredAssertion, ...]]:
        """What is believed of each flow at each revision."""
        found: dict[tuple[Flow, int], tuple[StoredAssertion, ...]] = {}
        for revision in dict.fromkeys(revision for _, revision in wanted):
            flows = [flow for flow, at in wanted if at == revision]
            believed = await self.headwater.believed(flows, revision)
            found |= {(flow, revision): believed.get(flow, ()) for flow in flows}
        return [found[each] for each in wanted]

    async def _load_usages(self, keys: Sequence[AssetKey]) -> list[list[Usage]]:
        found: dict[AssetKey, list[Usage]] = {key: [] for key in keys}
        since = day_of(self.headwater.clock()) - USAGE_DAYS + 1
        for usage in await self.headwater.in_thread(self.headwater.store.usage, list(found), since):
            for end in {usage.source, usage.reader}:
                if end in found:
                    found[end].append(usage)
        return [found[key] for key in keys]

    async def _load_alerts(self, asked: Sequence[None]) -> list[tuple[Moment, list[Alert]]]:
        return [await alerts_now(self.headwater)] * len(asked)

    async def _load_versions(self, keys: Sequence[AssetKey]) -> list[int | None]:
        versions = await self.headwater.versions(keys)
        return [versions.get(key) for key in keys]


Info = strawberry.Info[Context, None]
