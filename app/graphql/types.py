"""The types of the public schema: assets and flows. Queries start in `queries`."""

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, NamedTuple, TypeAlias, cast

import strawberry
from strawberry.scalars import JSON

from app.asking import Question
from app.events import CLAIMED, VERIFIED
from app.graphql.assertions import (
    AssertionNode,
    Attribute,
    Join,
    RevisionNode,
    assertion_node,
    claim_node,
    revision_node,
)
from app.graphql.context import Context, Info, Record
from app.graphql.lists import of_many
from app.graphql.paging import Connection, decode_cursor, decode_number, encode_cursor, page, page_of_list, page_size
from app.graphql.remarked import Acknowledgement, Deprecation, acknowledgement, deprecation
from app.graphql.usage import Usage, usage_of
from app.service import When
from graph.attributes import named_same, values
from graph.keys import AssetKey, AssetKind
from graph.model import Basis, Flow, Json, StoredAssertion, Timing
from graph.neighbours import HeldFlow, flows_at, parts_of
from graph.remarks import acknowledgements_of
from graph.summary import name, namespace, title
from graph.time import moment
from graph.topology import Label, Moment
from graph.usage import OF_CALLS, is_dormant
from graph.walk import AssetFilter, Direction

if TYPE_CHECKING:
    from app.graphql.alerts import Alert
    from app.graphql.lineage import LineageConnection

Alerts: TypeAlias = list[Annotated["Alert", strawberry.lazy("app.graphql.alerts")]]
LineageRows: TypeAlias = Annotated["LineageConnection", strawberry.lazy("app.graphql.lineage")]

strawberry.enum(AssetKind, name="AssetKind")
strawberry.enum(Timing, name="Timing", description="Whether a flow passes live or was baked in once.")


_KINDS = {kind.value: kind for kind in AssetKind}


def key_of(id: str) -> AssetKey:
    """Raises InvalidKey."""
    return AssetKey.parse(id)


@strawberry.interface(description="Anything with an id. Ids are opaque, unique over all types, and stable for ever.")
class Node:
    id: strawberry.ID


class AtHand(NamedTuple):
    """What the lineage index tells of an asset at a moment: no store need be asked."""

    label: Label
    """The owners are those it answers to: its own, else its container's."""
    stub: bool


@strawberry.type(description="A person or team, with a way to reach them.")
class Owner:
    asset: strawberry.Private["Asset"]
    place: strawberry.Private[int]
    name: str

    @of_many(str | None)
    @staticmethod
    async def contact(owners: Sequence["Owner"], context: Context) -> list[str | None]:
        told = await _owners_told([owner.asset for owner in owners], context)
        return [contacts[owner.place][1] for contacts, owner in zip(told, owners, strict=True)]


async def _owners_by_name(assets: Sequence["Asset"], context: Context) -> list[list[Owner]]:
    """Without knowing how to reach them: assets that have the same owners share them."""
    if any(each.at_hand is None for each in assets):
        return await _owners(assets, context)
    labels = {each.at_hand.label.owners: each for each in assets if each.at_hand is not None}
    owned = {
        names: [Owner(asset=each, place=place, name=name) for place, name in enumerate(names)]
        for names, each in labels.items()
    }
    return [owned[each.at_hand.label.owners] for each in assets if each.at_hand is not None]


@strawberry.interface(
    description="A thing that lineage connects. Fields that nobody stated are null. Read at one moment throughout."
)
class Asset(Node):
    moment: strawberry.Private[Moment]
    at_hand: strawberry.Private[AtHand | None] = None

    @cached_property
    def key(self) -> AssetKey:
        return AssetKey.parse(self.id)

    @strawberry.field
    def kind(self) -> AssetKind:
        return _KINDS[self.id.partition(":")[0]]

    @of_many(str, description="Its namespace, verbatim as the source system writes it.")
    @staticmethod
    async def namespace(assets: Sequence["Asset"], context: Context) -> list[str]:
        return await _spelled(assets, context, "namespace", [namespace(each.id) for each in assets])

    @of_many(str, description="Its name, verbatim. Parts have the name of their container here, and `part`.")
    @staticmethod
    async def name(assets: Sequence["Asset"], context: Context) -> list[str]:
        return await _spelled(assets, context, "name", [name(each.id) for each in assets])

    @strawberry.field(description="Which part of its container this is; null for what stands alone.")
    def part(self) -> str | None:
        return title(self.id) if "#" in self.id else None

    @strawberry.field(description="A short name for people.")
    def title(self) -> str:
        return title(self.id)

    @of_many(int | None, description="The revision that last changed what is said of it; for optimistic concurrency.")
    @staticmethod
    async def version(assets: Sequence["Asset"], context: Context) -> list[int | None]:
        return await context.versions_of([each.key for each in assets])

    @of_many(bool, description="Known only as the end of a flow: nobody says (or said, at that moment) what it is.")
    @staticmethod
    async def stub(assets: Sequence["Asset"], context: Context) -> list[bool]:
        at_hand = [each.at_hand for each in assets]
        if None not in at_hand:
            return [each.stub for each in at_hand if each is not None]
        return [record.stub for record in await _records(assets, context)]

    @of_many(str | None)
    @staticmethod
    async def description(assets: Sequence["Asset"], context: Context) -> list[str | None]:
        return await texts_of(assets, context, "description")

    @of_many(
        list[Owner],
        description="Who answers for it. A part without owners has its container's.",
        brief=(["name"], _owners_by_name),
    )
    @staticmethod
    async def owners(assets: Sequence["Asset"], context: Context) -> list[list[Owner]]:
        return await _owners(assets, context)

    @of_many(list[str])
    @staticmethod
    async def tags(assets: Sequence["Asset"], context: Context) -> Sequence[Sequence[str]]:
        at_hand = [each.at_hand for each in assets]
        if None not in at_hand:
            return [each.label.tags for each in at_hand if each is not None]
        return await lists_of_texts(assets, context, "tags")

    @of_many(int | None, description="How critical it is, from 1 (most) to 4.")
    @staticmethod
    async def tier(assets: Sequence["Asset"], context: Context) -> list[int | None]:
        at_hand = [each.at_hand for each in assets]
        if None not in at_hand:
            return [each.label.tier for each in at_hand if each is not None]
        return [cast("int | None", shown.get("tier")) for shown in await shown_of(assets, context)]

    @of_many(str | None)
    @staticmethod
    async def environment(assets: Sequence["Asset"], context: Context) -> list[str | None]:
        return await texts_of(assets, context, "environment")

    @of_many(str | None)
    @staticmethod
    async def source_link(assets: Sequence["Asset"], context: Context) -> list[str | None]:
        return await texts_of(assets, context, "source_link")

    @strawberry.field(
        description="Calls seen: those a consumer made; for every other asset those made of it, by unidentified callers too."
    )
    async def usage(self, info: Info) -> Usage:
        made, names = self.key.kind is AssetKind.CONSUMER, self.names(info)
        return await usage_of(info, names, lambda each: (each.reader if made else each.source) in names)

    @strawberry.field(description="Of those made of it: by callers that could not be told.")
    async def unidentified(self, info: Info) -> Usage:
        names = self.names(info)
        return await usage_of(info, names, lambda each: each.source in names and each.reader is None)

    @strawberry.field(
        description="Of consumers that were seen calling: whether their name was bound to a credential (else it was only"
        " claimed). Null: never seen calling, or no consumer."
    )
    async def verified(self, info: Info) -> bool | None:
        if self.key.kind is not AssetKind.CONSUMER:
            return None
        said = [row.assertion for row in (await self.record(info)).said]
        origins = {each.origin for each in said if each.valid.holds_at(self.moment.at)}
        return True if VERIFIED in origins else False if CLAIMED in origins else None

    @of_many(
        list[strawberry.ID],
        description="Its other keys at that moment, in order: assets that are the same. Whatever is told of it is told of all"
        " of them together; its `assertions` tell which was said of which.",
    )
    @staticmethod
    async def same_as(assets: Sequence["Asset"], context: Context) -> list[list[strawberry.ID]]:
        named = [context.headwater.names(each.key, each.moment) for each in assets]
        return [
            [strawberry.ID(str(key)) for key in names if key != each.key]
            for each, names in zip(assets, named, strict=True)
        ]

    @strawberry.field(description="Who says that it is the same as others.")
    async def joins(self, info: Info) -> list[Join]:
        if len(self.names(info)) == 1:
            return []
        held = [row.assertion for row in (await self.record(info)).said if row.assertion.valid.holds_at(self.moment.at)]
        return [
            Join(
                asset=strawberry.ID(str(each.subject)),
                same_as=strawberry.ID(str(named)),
                origin=each.origin,
                basis=each.basis,
                since=moment(each.valid.start),
            )
            for each in held
            for named in named_same(each.attributes)
        ]

    @strawberry.field(description="Until when it is there, and what to use instead; null: it is not deprecated.")
    async def deprecation(self, info: Info) -> Deprecation | None:
        return deprecation([row.assertion for row in (await self.record(info)).said], self.moment)

    @strawberry.field(
        description="The changes that those who answer for it have agreed to, and that count at that moment."
    )
    async def acknowledgements(self, info: Info) -> list[Acknowledgement]:
        said = [row.assertion for row in (await self.record(info)).said]
        return [acknowledgement(each) for each in acknowledgements_of(said, self.moment.at)]

    @strawberry.field(description="All attributes, with who says so and who disagrees.")
    async def attributes(self, info: Info) -> list[Attribute]:
        record = await self.record(info)
        return [
            Attribute(
                name=name,
                value=cast("JSON", shown.value),
                claims=[claim_node(claim) for claim in shown.claims],
                disagreeing=[claim_node(claim) for claim in shown.disagreeing],
            )
            for name, shown in record.shown.items()
        ]

    @strawberry.field(description="What it is a part of; null for what stands alone.")
    def container(self) -> "Asset | None":
        return asset(self.key.container, self.moment) if self.key.container else None

    @strawberry.field(description="Its parts then: columns, features, runs or versions.")
    async def parts(self, info: Info, first: int = 50, after: str | None = None) -> Connection["Asset"]:
        view = info.context.headwater.index.view()
        keys = await info.context.headwater.in_thread(parts_of, view, view.number(self.key), self.moment)
        return page_of_list([asset(key, self.moment) for key in keys], first, after)

    @strawberry.field(description="The flows that reach it.")
    async def flows_in(self, info: Info, first: int = 50, after: str | None = None) -> Connection["FlowNode"]:
        return await self._flows(info, Direction.UPSTREAM, first, after)

    @strawberry.field(description="The flows that leave it.")
    async def flows_out(self, info: Info, first: int = 50, after: str | None = None) -> Connection["FlowNode"]:
        return await self._flows(info, Direction.DOWNSTREAM, first, after)

    @strawberry.field(description="Runway's first question: the deployments that use it, however far downstream.")
    async def deployments(self, info: Info, first: int = 50, after: str | None = None) -> LineageRows:
        return await self._question(info, Direction.DOWNSTREAM, AssetKind.DEPLOYMENT, first, after)

    @strawberry.field(description="Runway's second question: the models that feed it, however far upstream.")
    async def upstream_models(self, info: Info, first: int = 50, after: str | None = None) -> LineageRows:
        return await self._question(info, Direction.UPSTREAM, AssetKind.MODEL, first, after)

    @strawberry.field(description="Runway's third question: the consumers of its output, however far downstream.")
    async def consumers(self, info: Info, first: int = 50, after: str | None = None) -> LineageRows:
        return await self._question(info, Direction.DOWNSTREAM, AssetKind.CONSUMER, first, after)

    @strawberry.field(
        description="Alerts that name it: as what they are about, its source column, or where it showed; newest first, as"
        " they are now."
    )
    async def alerts(
        self,
        info: Info,
        open: Annotated[bool, strawberry.argument(description="Without those that are resolved.")] = True,
        first: int = 20,
    ) -> Alerts:
        from app.graphql.alerts import alerts_of  # noqa: PLC0415  the two name each other's types

        return await alerts_of(info, self.names(info), open, first)

    @strawberry.field(description="What changed about it and the flows at it, newest first.")
    async def history(self, info: Info, first: int = 50, after: str | None = None) -> Connection[RevisionNode]:
        cursor = decode_cursor(after, 1)
        before = decode_number(cursor[0], after) if cursor else self.moment.revision + 1
        size = page_size(first)
        found = await info.context.headwater.history(self.names(info), before, size + 1)
        nodes = [(encode_cursor(revision.number), revision_node(revision)) for revision in found[:size]]
        return page(nodes, len(found) > size, after is not None)

    @strawberry.field(description="What is believed of it: every origin's say.")
    async def assertions(self, info: Info) -> list[AssertionNode]:
        return [assertion_node(stored) for stored in (await self.record(info)).said]

    # Not in the schema

    def names(self, info: Info) -> list[AssetKey]:
        """All its keys, the one that is shown first."""
        return info.context.headwater.names(self.key, self.moment)

    async def record(self, info: Info) -> Record:
        return (await _records([self], info.context))[0]

    async def shown(self, info: Info) -> dict[str, Json]:
        return values((await self.record(info)).shown)

    async def json(self, info: Info, name: str) -> JSON | None:
        return cast("JSON | None", (await self.shown(info)).get(name))

    async def _flows(self, info: Info, direction: Direction, first: int, after: str | None) -> Connection["FlowNode"]:
        headwater = info.context.headwater
        view = headwater.index.view()
        held = await headwater.in_thread(flows_at, view, view.number(self.key), direction, self.moment)
        return page_of_list([flow_node(each, self.moment) for each in held], first, after)

    async def _question(
        self, info: Info, direction: Direction, kind: AssetKind, first: int, after: str | None
    ) -> LineageRows:
        from app.graphql.lineage import answer  # noqa: PLC0415  the two name each other's types

        question = Question(self.key, direction, select=AssetFilter(kinds=(kind,)))
        asked = When(at=self.moment.at, known_at_revision=self.moment.revision)
        return await (await answer(info, question, asked)).assets(info, first, after)


async def _records(assets: Sequence[Asset], context: Context) -> list[Record]:
    return await context.records_of([(each.key, each.moment) for each in assets])


async def shown_of(assets: Sequence[Asset], context: Context) -> list[dict[str, Json]]:
    return [values(record.shown) for record in await _records(assets, context)]


async def texts_of(assets: Sequence[Asset], context: Context, name: str) -> list[str | None]:
    told = [shown.get(name) for shown in await shown_of(assets, context)]
    return [value if isinstance(value, str) else None for value in told]


async def lists_of_texts(assets: Sequence[Asset], context: Context, name: str) -> list[list[str]]:
    told = [shown.get(name) for shown in await shown_of(assets, context)]
    return [[str(item) for item in value] if isinstance(value, list) else [] for value in told]


async def _spelled(assets: Sequence[Asset], context: Context, part: str, plain: Sequence[str]) -> list[str]:
    if "".join(plain).isascii():  # NFC changes nothing in ASCII
        return [*plain]
    spelled = [*plain]
    places = [place for place, text in enumerate(plain) if not text.isascii()]
    for place, shown in zip(places, await shown_of([assets[place] for place in places], context), strict=True):
        spelling = shown.get("spelling")
        if isinstance(spelling, dict):
            spelled[place] = str(spelling.get(part, plain[place]))
    return spelled


async def _owners(assets: Sequence[Asset], context: Context) -> list[list[Owner]]:
    names = [() if each.at_hand is None else each.at_hand.label.owners for each in assets]
    if any(each.at_hand is None for each in assets):
        names = [tuple(name for name, _ in told) for told in await _owners_told(assets, context)]
    return [
        [Owner(asset=each, place=place, name=name) for place, name in enumerate(of)]
        for each, of in zip(assets, names, strict=True)
    ]


async def _owners_told(assets: Sequence[Asset], context: Context) -> list[list[tuple[str, str | None]]]:
    """Name and contact of each asset's owners, by name; a part without owners has its container's."""
    found = [_named_owners(shown) for shown in await shown_of(assets, context)]
    bare = [place for place, owners in enumerate(found) if not owners and assets[place].key.container]
    held = [(cast("AssetKey", assets[place].key.container), assets[place].moment) for place in bare]
    for place, record in zip(bare, await context.records_of(held), strict=True):
        found[place] = _named_owners(values(record.shown))
    return found


def _named_owners(shown: dict[str, Json]) -> list[tuple[str, str | None]]:
    owners = shown.get("owners")
    told = [owner for owner in (owners if isinstance(owners, list) else []) if isinstance(owner, dict)]
    named = [(str(owner["name"]), cast("str | None", owner.get("contact"))) for owner in told]
    return sorted(named, key=lambda owner: (owner[0], owner[1] or ""))


@strawberry.type(name="Flow", description="Data or behaviour passes from source to target.")
class FlowNode:
    flow: strawberry.Private[Flow]
    stored: strawberry.Private[tuple[Flow, ...]]
    moment: strawberry.Private[Moment]
    timing: Timing
    basis: Basis = strawberry.field(description="The strongest it is known by.")

    @strawberry.field
    def source(self) -> Asset:
        return asset(self.flow.source, self.moment)

    @strawberry.field
    def target(self) -> Asset:
        return asset(self.flow.target, self.moment)

    @strawberry.field(description="The job whose run tells this finer flow; null for every other flow.")
    def via(self) -> Asset | None:
        return asset(self.flow.via, self.moment) if self.flow.via else None

    @strawberry.field(description="Who says so, at the moment asked for.")
    async def origins(self, info: Info) -> list[str]:
        said = [stored.assertion for stored in await self._believed(info)]
        return sorted({assertion.origin for assertion in said if assertion.valid.holds_at(self.moment.at)})

    @strawberry.field(description="The calls seen, of the source by the target.")
    async def usage(self, info: Info) -> Usage:
        # Of the target, since those of the source may be by thousands of others.
        ends = {stored[:2] for stored in (self.flow, *self.stored)}
        targets = [*dict.fromkeys(target for _, target in ends)]
        return await usage_of(info, targets, lambda each: (each.source, each.reader) in ends)

    @strawberry.field(
        description="Whether the caller's name was bound to a credential when it was seen; false: it was only claimed."
        " Null: no caller was seen."
    )
    async def verified(self, info: Info) -> bool | None:
        said = [stored.assertion for stored in await self._believed(info)]
        held = [each for each in said if each.valid.holds_at(self.moment.at)]
        told = [each.attributes.get("verified") for each in held if each.origin in OF_CALLS]
        return True if True in told else False if False in told else None

    @strawberry.field(
        description="It was seen, and not for long: after so many days (a setting, 90) nothing breaks by it *now*."
    )
    async def dormant(self, info: Info) -> bool:
        said = [stored.assertion for stored in await self._believed(info)]
        origins = [each.origin for each in said if each.valid.holds_at(self.moment.at)]
        return bool(origins) and all(map(is_dormant, origins))

    @strawberry.field(description="The evidence: every assertion of it that was believed then.")
    async def assertions(self, info: Info) -> list[AssertionNode]:
        return [assertion_node(stored) for stored in await self._believed(info)]

    async def _believed(self, info: Info) -> Sequence[StoredAssertion]:
        told = await info.context.evidence.load_many([(stored, self.moment.revision) for stored in self.stored])
        return [assertion for each in told for assertion in each]


ASSET_TYPES: dict[AssetKind, type[Asset]] = {}
"""Each module that has a type of asset adds its own: `kinds`, and `alerts`."""


def asset(key: AssetKey, at: Moment) -> Asset:
    return ASSET_TYPES[key.kind](id=strawberry.ID(str(key)), moment=at)


def assets_at(keys: Sequence[strawberry.ID], at: Moment, at_hand: Sequence[AtHand]) -> list[Asset]:
    """Assets of which the index has told something; `keys` are their texts."""
    types = {kind.value: type_ for kind, type_ in ASSET_TYPES.items()}
    return [
        types[key.partition(":")[0]](id=key, moment=at, at_hand=told) for key, told in zip(keys, at_hand, strict=True)
    ]


def flow_node(held: HeldFlow, at: Moment) -> FlowNode:
    return FlowNode(
        flow=held.flow,
        stored=held.stored,
        moment=at,
        timing=held.timing,
        basis=held.basis,
    )
