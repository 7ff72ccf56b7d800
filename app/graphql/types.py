"""The types of the public schema: assets, flows, assertions, revisions. Queries start in `queries`."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, NamedTuple, TypeAlias, cast

import strawberry
from strawberry.scalars import JSON

from app.asking import Question
from app.events import CLAIMED, VERIFIED
from app.graphql.context import Context, Info, Record
from app.graphql.lists import of_many
from app.graphql.paging import Connection, decode_cursor, decode_number, encode_cursor, page, page_of_list, page_size
from app.graphql.usage import Usage, summary, usage_of
from app.service import When
from graph.attributes import Claim as Said
from graph.attributes import named_same, values
from graph.changes import Verb
from graph.keys import AssetKey, AssetKind
from graph.model import Basis, Flow, Json, StoredAssertion, Subject, Timing
from graph.neighbours import HeldFlow, aliases_of, flows_at, parts_of
from graph.stores.contract import Revision
from graph.summary import name, namespace, title
from graph.time import FOREVER, moment
from graph.topology import Label, Moment
from graph.usage import Usage as Counted
from graph.usage import dormant, is_dormant
from graph.walk import AssetFilter, Direction

if TYPE_CHECKING:
    from app.graphql.alerts import Alert
    from app.graphql.lineage import LineageConnection

Alerts: TypeAlias = list[Annotated["Alert", strawberry.lazy("app.graphql.alerts")]]
LineageRows: TypeAlias = Annotated["LineageConnection", strawberry.lazy("app.graphql.lineage")]

strawberry.enum(AssetKind, name="AssetKind")
strawberry.enum(Verb, name="Verb")
strawberry.enum(Basis, name="Basis", description="How the origin of an assertion knows.")
strawberry.enum(Timing, name="Timing", description="Whether a flow passes live or was baked in once.")


_OF_CALLERS = (VERIFIED, CLAIMED, dormant(VERIFIED), dormant(CLAIMED))
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


@strawberry.type(description="One origin's value of an attribute.")
class Claim:
    value: JSON
    origin: str
    basis: Basis
    since: datetime


@strawberry.type(description="An origin says that two keys are of one asset.")
class Join:
    asset: strawberry.ID
    same_as: strawberry.ID
    origin: str
    basis: Basis
    since: datetime | None


@strawberry.type(description="An attribute as shown, who says so, and who says otherwise.")
class Attribute:
    name: str
    value: JSON
    claims: list[Claim]
    disagreeing: list[Claim]


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
        return await _texts(assets, context, "description")

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
        return await _lists_of_texts(assets, context, "tags")

    @of_many(int | None, description="How critical it is, from 1 (most) to 4.")
    @staticmethod
    async def tier(assets: Sequence["Asset"], context: Context) -> list[int | None]:
        at_hand = [each.at_hand for each in assets]
        if None not in at_hand:
            return [each.label.tier for each in at_hand if each is not None]
        return [cast("int | None", shown.get("tier")) for shown in await _shown(assets, context)]

    @of_many(str | None)
    @staticmethod
    async def environment(assets: Sequence["Asset"], context: Context) -> list[str | None]:
        return await _texts(assets, context, "environment")

    @of_many(str | None)
    @staticmethod
    async def source_link(assets: Sequence["Asset"], context: Context) -> list[str | None]:
        return await _texts(assets, context, "source_link")

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
    async def joins(self, info: Info) -> list["Join"]:
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

    @strawberry.field(description="All attributes, with who says so and who disagrees.")
    async def attributes(self, info: Info) -> list[Attribute]:
        record = await self.record(info)
        return [
            Attribute(
                name=name,
                value=cast("JSON", shown.value),
                claims=[_claim(claim) for claim in shown.claims],
                disagreeing=[_claim(claim) for claim in shown.disagreeing],
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
    async def history(self, info: Info, first: int = 50, after: str | None = None) -> Connection["RevisionNode"]:
        cursor = decode_cursor(after, 1)
        before = decode_number(cursor[0], after) if cursor else self.moment.revision + 1
        size = page_size(first)
        found = await info.context.headwater.history(self.names(info), before, size + 1)
        nodes = [(encode_cursor(revision.number), revision_node(revision)) for revision in found[:size]]
        return page(nodes, len(found) > size, after is not None)

    @strawberry.field(description="What is believed of it: every origin's say.")
    async def assertions(self, info: Info) -> list["AssertionNode"]:
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


async def _shown(assets: Sequence[Asset], context: Context) -> list[dict[str, Json]]:
    return [values(record.shown) for record in await _records(assets, context)]


async def _texts(assets: Sequence[Asset], context: Context, name: str) -> list[str | None]:
    told = [shown.get(name) for shown in await _shown(assets, context)]
    return [value if isinstance(value, str) else None for value in told]


async def _lists_of_texts(assets: Sequence[Asset], context: Context, name: str) -> list[list[str]]:
    told = [shown.get(name) for shown in await _shown(assets, context)]
    return [[str(item) for item in value] if isinstance(value, list) else [] for value in told]


async def _spelled(assets: Sequence[Asset], context: Context, part: str, plain: Sequence[str]) -> list[str]:
    if "".join(plain).isascii():  # NFC changes nothing in ASCII
        return [*plain]
    spelled = [*plain]
    places = [place for place, text in enumerate(plain) if not text.isascii()]
    for place, shown in zip(places, await _shown([assets[place] for place in places], context), strict=True):
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
    found = [_named_owners(shown) for shown in await _shown(assets, context)]
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


@strawberry.type(description="A table, file, topic or prediction log; identified as OpenLineage writes it.")
class Dataset(Asset):
    @strawberry.field
    async def columns(self, info: Info, first: int = 50, after: str | None = None) -> Connection["Asset"]:
        return await self.parts(info, first, after)


@strawberry.type(description="A column of a dataset; nested ones by field path.")
class Column(Asset):
    @of_many(str | None)
    @staticmethod
    async def type(assets: Sequence[Asset], context: Context) -> list[str | None]:
        return await _texts(assets, context, "type")

    @of_many(bool | None)
    @staticmethod
    async def nullable(assets: Sequence[Asset], context: Context) -> list[bool | None]:
        return [cast("bool | None", shown.get("nullable")) for shown in await _shown(assets, context)]


@strawberry.type(description="Features that share entities and source.")
class FeatureView(Asset):
    @of_many(list[str])
    @staticmethod
    async def entities(assets: Sequence[Asset], context: Context) -> list[list[str]]:
        return await _lists_of_texts(assets, context, "entities")

    @strawberry.field
    async def features(self, info: Info, first: int = 50, after: str | None = None) -> Connection["Asset"]:
        return await self.parts(info, first, after)


@strawberry.type(description="One feature of a view.")
class Feature(Asset):
    @of_many(str | None)
    @staticmethod
    async def type(assets: Sequence[Asset], context: Context) -> list[str | None]:
        return await _texts(assets, context, "type")

    @of_many(str | None, description="How it is computed: SQL or Python source.")
    @staticmethod
    async def definition(assets: Sequence[Asset], context: Context) -> list[str | None]:
        return await _texts(assets, context, "definition")


@strawberry.type(description="A transformation or training definition.")
class Job(Asset):
    @of_many(str | None)
    @staticmethod
    async def definition(assets: Sequence[Asset], context: Context) -> list[str | None]:
        return await _texts(assets, context, "definition")

    @strawberry.field
    async def runs(self, info: Info, first: int = 50, after: str | None = None) -> Connection["Asset"]:
        return await self.parts(info, first, after)


@strawberry.type(description="One execution of a job; a training run is one.")
class Run(Asset):
    @strawberry.field
    async def hyperparameters(self, info: Info) -> JSON | None:
        return await self.json(info, "hyperparameters")

    @strawberry.field
    async def metrics(self, info: Info) -> JSON | None:
        return await self.json(info, "metrics")


@strawberry.type(description="A name in an alias table: the version that `models:/name@alias` means now.")
class ModelAlias:
    name: str
    version: "Asset"


@strawberry.type(description="A registered model.")
class Model(Asset):
    @strawberry.field
    async def versions(self, info: Info, first: int = 50, after: str | None = None) -> Connection["Asset"]:
        return await self.parts(info, first, after)

    @strawberry.field
    async def aliases(self, info: Info) -> list[ModelAlias]:
        view = info.context.headwater.index.view()
        named = await info.context.headwater.in_thread(aliases_of, view, self.key, self.moment)
        return [
            ModelAlias(name=(alias.part or "").removeprefix("@"), version=asset(version, self.moment))
            for alias, version in named
        ]


@strawberry.type(description="One version of a model: artifact, training, held-out metrics, signature.")
class ModelVersion(Asset):
    @strawberry.field
    async def signature(self, info: Info) -> JSON | None:
        return await self.json(info, "signature")

    @strawberry.field
    async def metrics(self, info: Info) -> JSON | None:
        return await self.json(info, "metrics")

    @strawberry.field
    async def hyperparameters(self, info: Info) -> JSON | None:
        return await self.json(info, "hyperparameters")

    @strawberry.field
    async def artifact(self, info: Info) -> JSON | None:
        return await self.json(info, "artifact")

    @strawberry.field(
        description="How inputs and outputs were spread when it was trained: what drift is measured from."
    )
    async def profile(self, info: Info) -> JSON | None:
        return await self.json(info, "profile")


@strawberry.type(description="A model, version or alias that a deployment serves.")
class Served:
    alias: str | None = strawberry.field(description="Set when it is served by alias; `asset` is the version it names.")
    asset: "Asset"


@strawberry.type(description="An address that answers predictions, or a composition of others.")
class Deployment(Asset):
    @of_many(str | None)
    @staticmethod
    async def url(assets: Sequence[Asset], context: Context) -> list[str | None]:
        return await _texts(assets, context, "url")

    @strawberry.field(description="Whether it answers requests here, now, whatever the moment asked for.")
    def ready(self, info: Info) -> bool:
        return info.context.rooms.serving.ready(self.key)

    @strawberry.field(description="The steps of a deployment made of others, as they were deployed; null for others.")
    async def composition(self, info: Info) -> JSON | None:
        serving = (await self.shown(info)).get("serving")
        return cast("JSON | None", serving.get("composition")) if isinstance(serving, dict) else None

    @strawberry.field(description="The models and versions it serves.")
    async def serves(self, info: Info) -> list[Served]:
        headwater = info.context.headwater
        view = headwater.index.view()
        held = await headwater.in_thread(flows_at, view, view.number(self.key), Direction.UPSTREAM, self.moment)
        served = []
        for source in dict.fromkeys(each.flow.source for each in held):
            if source.is_alias:
                container = source.container
                assert container is not None
                named = dict(await headwater.in_thread(aliases_of, view, container, self.moment))
                if source in named:
                    alias = (source.part or "").removeprefix("@")
                    served.append(Served(alias=alias, asset=asset(named[source], self.moment)))
            elif source.kind in {AssetKind.MODEL, AssetKind.MODEL_VERSION}:
                served.append(Served(alias=None, asset=asset(source, self.moment)))
        return served


@strawberry.type(
    description="Calls under one name, and whether a credential proved it: proved and claimed are never added up."
)
class Calls:
    name: strawberry.ID
    verified: bool
    usage: Usage


@strawberry.type(description="A service, application, dashboard, notebook or batch job that uses an output.")
class Consumer(Asset):
    @strawberry.field(
        description="Its calls, by the key they were made under and whether that was proved or only claimed."
    )
    async def calls(
        self,
        info: Info,
        of: Annotated[
            strawberry.ID | None,
            strawberry.argument(
                description="Of one deployment, feature, or view with its features, alone; absent: all."
            ),
        ] = None,
    ) -> list[Calls]:
        names = self.names(info)
        called = None if of is None else info.context.headwater.names(key_of(of), self.moment)
        found = await info.context.usages.load_many(names)
        made: dict[tuple[AssetKey, bool], list[Counted]] = {}
        for each in (counted for of_one in found for counted in of_one):
            if each.reader in names and (called is None or each.source in called or each.source.container in called):
                made.setdefault((each.reader, each.verified), []).append(each)
        now = info.context.headwater.clock()
        return [
            Calls(name=strawberry.ID(str(name)), verified=verified, usage=summary(made[name, verified], now))
            for name in names
            for verified in (True, False)
            if (name, verified) in made
        ]

    @of_many(str | None, description="service, application, dashboard, notebook or batch_job.")
    @staticmethod
    async def consumer_type(assets: Sequence[Asset], context: Context) -> list[str | None]:
        return await _texts(assets, context, "consumer_type")


@strawberry.type(name="Assertion", description="One origin says that an asset is, or that a flow is, and since when.")
class AssertionNode:
    subject: str = strawberry.field(description="The key of an asset, or `source -> target` (and `via job`) of a flow.")
    asset: strawberry.ID | None
    source: strawberry.ID | None
    target: strawberry.ID | None
    via: strawberry.ID | None
    origin: str
    basis: Basis
    valid_from: datetime | None
    valid_until: datetime | None = strawberry.field(description="Null: it still holds.")
    known_from: int = strawberry.field(description="The revision from which this was believed.")
    known_until: int | None = strawberry.field(
        description="The revision from which it no longer was; null: it still is."
    )
    attributes: JSON
    about: strawberry.Private[Subject]

    @strawberry.field(
        description="When a run was last heard of that says so, to the hour; null where that is not followed."
    )
    async def last_heard(self, info: Info) -> datetime | None:
        heard = await info.context.heard.load((self.about, self.origin))
        return None if heard is None else moment(heard)

    @strawberry.field(
        description="It still holds, though no run that could say so has been heard of for long"
        " (`HEADWATER_STALE_DAYS`). False where that is not followed."
    )
    async def stale(self, info: Info) -> bool:
        heard = await info.context.heard.load((self.about, self.origin))
        if heard is None or self.valid_until is not None or self.known_until is not None:
            return False
        return info.context.rooms.openlineage.is_stale(heard, info.context.headwater.clock())


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
        told = [each.attributes.get("verified") for each in held if each.origin in _OF_CALLERS]
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


@strawberry.type(description="What one origin came to say, or stopped saying, of one subject.")
class Change:
    verb: Verb
    subject: str
    origin: str
    opened: list[AssertionNode] = strawberry.field(description="What came to be believed.")
    closed: list[AssertionNode] = strawberry.field(description="What stopped being believed.")


@strawberry.type(name="Revision", description="One commit.")
class RevisionNode:
    number: int
    at: datetime
    actor: str
    operation_id: str | None
    changes: list[Change]


ASSET_TYPES: dict[AssetKind, type[Asset]] = {
    AssetKind.DATASET: Dataset,
    AssetKind.COLUMN: Column,
    AssetKind.FEATURE_VIEW: FeatureView,
    AssetKind.FEATURE: Feature,
    AssetKind.JOB: Job,
    AssetKind.RUN: Run,
    AssetKind.MODEL: Model,
    AssetKind.MODEL_VERSION: ModelVersion,
    AssetKind.DEPLOYMENT: Deployment,
    AssetKind.CONSUMER: Consumer,
}
"""`app.graphql.alerts`, which builds on more than assets, adds its own."""


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


def assertion_node(stored: StoredAssertion) -> AssertionNode:
    subject = stored.assertion.subject
    ends: Sequence[AssetKey | None] = subject if isinstance(subject, Flow) else (None, None, None)
    source, target, via = (strawberry.ID(str(end)) if end else None for end in ends)
    start, end = stored.assertion.valid
    return AssertionNode(
        subject=str(subject),
        asset=strawberry.ID(str(subject)) if isinstance(subject, AssetKey) else None,
        source=source,
        target=target,
        via=via,
        origin=stored.assertion.origin,
        basis=stored.assertion.basis,
        valid_from=moment(start),
        valid_until=moment(end),
        known_from=stored.known.first,
        known_until=None if stored.known.last == FOREVER else stored.known.last,
        attributes=cast("JSON", dict(stored.assertion.attributes)),
        about=subject,
    )


def revision_node(revision: Revision) -> RevisionNode:
    opened, closed = _by_say(revision.opened), _by_say(revision.closed)
    changes = []
    for say in sorted({*opened, *closed}, key=lambda say: (str(say[0]), say[1])):
        now_on = any(stored.assertion.valid.holds_at(revision.at) for stored in opened.get(say, ()))
        before = any(stored.assertion.valid.holds_at(revision.at) for stored in closed.get(say, ()))
        verb = Verb.CHANGED if now_on == before else Verb.ADDED if now_on else Verb.WITHDRAWN
        changes.append(
            Change(
                verb=verb,
                subject=str(say[0]),
                origin=say[1],
                opened=[assertion_node(stored) for stored in opened.get(say, ())],
                closed=[assertion_node(stored) for stored in closed.get(say, ())],
            )
        )
    at = moment(revision.at)
    assert at is not None
    return RevisionNode(
        number=revision.number, at=at, actor=revision.actor, operation_id=revision.operation, changes=changes
    )


def _by_say(rows: Iterable[StoredAssertion]) -> dict[tuple[Subject, str], list[StoredAssertion]]:
    found: dict[tuple[Subject, str], list[StoredAssertion]] = {}
    for row in rows:
        found.setdefault((row.assertion.subject, row.assertion.origin), []).append(row)
    return found


def _claim(claim: Said) -> Claim:
    since = moment(claim.since)
    assert since is not None
    return Claim(value=cast("JSON", claim.value), origin=claim.origin, basis=claim.basis, since=since)
