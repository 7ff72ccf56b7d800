"""What every resolver is given: the service, who asks, and the records read so far in this request."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import strawberry
from graphql import GraphQLError
from strawberry.dataloader import DataLoader

from app.identity import Principal, Role
from app.service import Headwater
from graph.attributes import Shown, shown_attributes
from graph.keys import AssetKey
from graph.model import Flow, StoredAssertion
from graph.topology import Moment


@dataclass(frozen=True, slots=True)
class Record:
    """One asset as it was at a moment: what was said of it, and what is shown."""

    said: tuple[StoredAssertion, ...]
    shown: dict[str, Shown]
    stub: bool
    """Nobody says what it is; it is known only as the end of a flow, or as the container of a part."""


@dataclass
class Context:
    headwater: Headwater
    principal: Principal
    request_id: str = ""
    connection_params: object | None = None
    records: DataLoader[tuple[AssetKey, Moment], Record] = field(init=False)
    versions: DataLoader[AssetKey, int | None] = field(init=False)
    evidence: DataLoader[tuple[Flow, int], tuple[StoredAssertion, ...]] = field(init=False)

    def __post_init__(self) -> None:
        self.records = DataLoader(self._load_records, max_batch_size=1000)
        self.versions = DataLoader(self._load_versions, max_batch_size=1000)
        self.evidence = DataLoader(self._load_evidence, max_batch_size=1000)

    def require(self, role: Role) -> None:
        if self.principal.role < role:
            raise GraphQLError(
                f"{self.principal.name!r} is a {self.principal.role.name.lower()}; this needs a {role.name.lower()}",
                extensions={"code": "FORBIDDEN"},
            )

    async def _load_records(self, wanted: Sequence[tuple[AssetKey, Moment]]) -> list[Record]:
        found: dict[tuple[AssetKey, Moment], Record] = {}
        for moment in dict.fromkeys(moment for _, moment in wanted):
            keys = [key for key, at in wanted if at == moment]
            believed = await self.headwater.believed(keys, moment.revision)
            for key in keys:
                said = believed.get(key, ())
                held = [row.assertion for row in said]
                stub = not any(assertion.valid.holds_at(moment.at) for assertion in held)
                found[key, moment] = Record(said, shown_attributes(held, moment.at), stub)
        return [found[each] for each in wanted]

    async def _load_evidence(self, wanted: Sequence[tuple[Flow, int]]) -> list[tuple[StoredAssertion, ...]]:
        """What is believed of each flow at each revision."""
        found: dict[tuple[Flow, int], tuple[StoredAssertion, ...]] = {}
        for revision in dict.fromkeys(revision for _, revision in wanted):
            flows = [flow for flow, at in wanted if at == revision]
            believed = await self.headwater.believed(flows, revision)
            found |= {(flow, revision): believed.get(flow, ()) for flow in flows}
        return [found[each] for each in wanted]

    async def _load_versions(self, keys: Sequence[AssetKey]) -> list[int | None]:
        versions = await self.headwater.versions(keys)
        return [versions.get(key) for key in keys]


Info = strawberry.Info[Context, None]
