"""What is read of Feast's registry. What else it holds is let be."""

from collections.abc import Mapping

from graph.importers.shapes import Anything, Field, Flag, Many, Mapped, Record, Shape, Text, opened

_TEXT, _ANY, _FLAG = Text(), Anything(), Flag()
_TAGS = Mapped(_TEXT)
_FIELD = opened("field", {"name": _TEXT}, valueType=_ANY, description=_TEXT, tags=_TAGS)
_FIELDS = Many(_FIELD)
_TABLE = opened("table", {}, table=_TEXT, query=_TEXT, path=_TEXT, schema=_TEXT, database=_TEXT, dataSource=_TEXT)
_FILE = opened("file", {}, uri=_TEXT)
_CUSTOM = opened("custom options", {}, configuration=_TEXT)
OPTIONS: dict[str, Shape] = {
    "fileOptions": _FILE,
    "bigqueryOptions": _TABLE,
    "snowflakeOptions": _TABLE,
    "redshiftOptions": _TABLE,
    "sparkOptions": _TABLE,
    "trinoOptions": _TABLE,
    "athenaOptions": _TABLE,
    "kafkaOptions": opened("kafka options", {}, kafkaBootstrapServers=_TEXT, topic=_TEXT),
    "kinesisOptions": opened("kinesis options", {}, region=_TEXT, streamName=_TEXT),
    "requestDataOptions": opened("request data options", {}, schema=_FIELDS),
    "customOptions": _CUSTOM,
}
_SOURCE_FIELDS: dict[str, Shape] = {
    "name": _TEXT,
    "project": _TEXT,
    "type": _ANY,
    "description": _TEXT,
    "owner": _TEXT,
    "tags": _TAGS,
    "fieldMapping": _TAGS,
    "timestampField": _TEXT,
    "createdTimestampColumn": _TEXT,
    **OPTIONS,
}
_BATCH_SOURCE = opened("batch source", {}, **_SOURCE_FIELDS)
_SOURCE = opened("data source", {}, batchSource=_BATCH_SOURCE, **_SOURCE_FIELDS)
_CODE = opened("function", {}, name=_TEXT, bodyText=_TEXT, body=_TEXT, mode=_TEXT)
_TRANSFORMATION = opened("transformation", {}, userDefinedFunction=_CODE, substraitTransformation=_ANY)
_PROJECTION = opened("projection", {"featureViewName": _TEXT}, featureViewNameAlias=_TEXT, featureColumns=_FIELDS)
_NAMED = opened("view", {"name": _TEXT}, features=_FIELDS)
_OF_A_VIEW: dict[str, Shape] = {
    "project": _TEXT,
    "description": _TEXT,
    "owner": _TEXT,
    "tags": _TAGS,
    "entities": Many(_TEXT),
    "entityColumns": _FIELDS,
    "features": _FIELDS,
    "ttl": _TEXT,
    "online": _FLAG,
    "offline": _FLAG,
    "writeToOnlineStore": _FLAG,
    "disabled": _FLAG,
    "mode": _TEXT,
    "version": _TEXT,
    "batchSource": _SOURCE,
    "streamSource": _SOURCE,
    "source": _SOURCE,
    "featureTransformation": _TRANSFORMATION,
    "userDefinedFunction": _CODE,
    "aggregations": Many(_ANY),
    "sourceViews": Many(_NAMED),
    "sources": Mapped(
        opened(
            "source of a view on demand",
            {},
            featureView=opened("feature view", {"spec": _NAMED}),
            featureViewProjection=_PROJECTION,
            requestDataSource=_SOURCE,
        )
    ),
}
_META = opened("meta", {}, lastUpdatedTimestamp=_TEXT)


def _objects(kind: str, required: Mapping[str, Shape], /, **optional: Shape) -> Field:
    spec = opened(f"{kind} spec", required, **optional)
    return Field(Many(opened(kind, {"spec": spec}, meta=_META)), f"Each {kind}.")


VIEWS = {
    "featureViews": "FeatureView",
    "streamFeatureViews": "StreamFeatureView",
    "onDemandFeatureViews": "OnDemandFeatureView",
    "labelViews": "LabelView",
}
_REGISTRY = Record(
    "registry",
    "Feast's registry.",
    {
        "project": Field(_TEXT, "The project, in a dump."),
        "projects": _objects("project", {"name": _TEXT}),
        "lastUpdated": Field(_TEXT, "When it was written."),
        "dataSources": Field(Many(_SOURCE), "Where data lies."),
        "entities": _objects(
            "entity",
            {"name": _TEXT},
            project=_TEXT,
            joinKey=_TEXT,
            valueType=_ANY,
            description=_TEXT,
            owner=_TEXT,
            tags=_TAGS,
        ),
        **{name: _objects(kind, {"name": _TEXT}, **_OF_A_VIEW) for name, kind in VIEWS.items()},
        "featureServices": _objects(
            "feature service",
            {"name": _TEXT},
            project=_TEXT,
            description=_TEXT,
            owner=_TEXT,
            tags=_TAGS,
            features=Many(_PROJECTION),
        ),
        "savedDatasets": _objects(
            "saved dataset",
            {"name": _TEXT},
            project=_TEXT,
            description=_TEXT,
            tags=_TAGS,
            features=Many(_TEXT),
            featureServiceName=_TEXT,
            storage=opened(
                "storage",
                {},
                fileStorage=_FILE,
                bigqueryStorage=_TABLE,
                redshiftStorage=_TABLE,
                snowflakeStorage=_TABLE,
                trinoStorage=_TABLE,
                sparkStorage=_TABLE,
                athenaStorage=_TABLE,
                customStorage=_CUSTOM,
            ),
        ),
    },
    is_open=True,
)
DOCUMENT = Record(
    "feast",
    "A registry, and of which project.",
    {
        "registry": Field(_REGISTRY, "The registry as JSON.", required=True),
        "project": Field(_TEXT, "The project; absent: the only one."),
        "repository": Field(_TEXT, "The folder that paths are relative to."),
        "fetched": Field(_TEXT, "When it was read, where the registry does not tell when it was written."),
    },
)
