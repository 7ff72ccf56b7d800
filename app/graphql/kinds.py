"""The types of assets, one for each kind, but for alerts."""

from collections.abc import Sequence
from typing import Annotated, cast

import strawberry
from strawberry.scalars import JSON

from app.graphql.context import Context, Info
from app.graphql.lists import of_many
from app.graphql.paging import Connection
from app.graphql.types import ASSET_TYPES, Asset, asset, key_of, lists_of_texts, shown_of, texts_of
from app.graphql.usage import Usage, summary
from graph.keys import AssetKey, AssetKind
from graph.neighbours import aliases_of, flows_at
from graph.usage import Usage as Counted
from graph.walk import Direction


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
        return await texts_of(assets, context, "type")

    @of_many(bool | None)
    @staticmethod
    async def nullable(assets: Sequence[Asset], context: Context) -> list[bool | None]:
        return [cast("bool | None", shown.get("nullable")) for shown in await shown_of(assets, context)]


@strawberry.type(description="Features that share entities and source.")
class FeatureView(Asset):
    @of_many(list[str])
    @staticmethod
    async def entities(assets: Sequence[Asset], context: Context) -> list[list[str]]:
        return await lists_of_texts(assets, context, "entities")

    @strawberry.field
    async def features(self, info: Info, first: int = 50, after: str | None = None) -> Connection["Asset"]:
        return await self.parts(info, first, after)


@strawberry.type(description="One feature of a view.")
class Feature(Asset):
    @of_many(str | None)
    @staticmethod
    async def type(assets: Sequence[Asset], context: Context) -> list[str | None]:
        return await texts_of(assets, context, "type")

    @of_many(str | None, description="How it is computed: SQL or Python source.")
    @staticmethod
    async def definition(assets: Sequence[Asset], context: Context) -> list[str | None]:
        return await texts_of(assets, context, "definition")


@strawberry.type(description="A transformation or training definition.")
class Job(Asset):
    @of_many(str | None)
    @staticmethod
    async def definition(assets: Sequence[Asset], context: Context) -> list[str | None]:
        return await texts_of(assets, context, "definition")

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
        return await texts_of(assets, context, "url")

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
        return await texts_of(assets, context, "consumer_type")


ASSET_TYPES |= {
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
