"""A Feast repository, {files: [{path, text}], folder, store} → what its registry would say, without running it.

The objects are those that `feast apply` finds: what stands in the names of its modules, and the sources of views. From them the
document is made that `read_feast` reads, so that a repository and its registry say the same. Whatever cannot be told without
running it (the environment, the clock, the schema of a table that nobody wrote down) is left out, and the view is unread.
"""

import math
import posixpath
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from graph.errors import InvalidInput, InvalidManifest
from graph.importers.feast import read_feast
from graph.importers.feast_definitions.evaluation import Evaluation
from graph.importers.feast_definitions.values import Chosen, Made, Unknown, Value, ValueType, unknown_in
from graph.importers.functions import Texts, source_of
from graph.importers.told import Imported, Line, Warned
from graph.importers.values import record, records, text
from graph.keys import AssetKey, AssetKind
from graph.model import Json, Subject

VIEWS = {
    "FeatureView": "featureViews",
    "BatchFeatureView": "featureViews",
    "StreamFeatureView": "streamFeatureViews",
    "OnDemandFeatureView": "onDemandFeatureViews",
    "LabelView": "labelViews",
}


def read_feast_repository(document: object, origin: str | None = None, namespace: str | None = None) -> Imported:
    """`namespace`, of the warehouse's tables, and `origin` as for `read_feast`. Raises InvalidManifest."""
    given = record(document if isinstance(document, dict) else {})  # its shape is the client's
    texts = {str(each["path"]): str(each["text"]) for _, each in records(given, "files")}
    folder = text(given, "folder")
    project = text(record(given.get("store")), "project")
    if folder is None or project is None:
        raise InvalidManifest(["files: there is no feature_store.yaml that names a project"])
    reading = _Repository(project, texts)
    reading.take(folder)
    registration = read_feast({"registry": reading.registry(), "project": project}, origin, namespace)
    return Imported(registration, tuple(reading.warned), lines=reading.lines, unread=reading.unread)


@dataclass
class _Repository:
    project: str
    texts: Texts
    made: dict[int, Made] = field(default_factory=dict)
    """By identity, in the order in which they are found."""
    unread: dict[AssetKey, str] = field(default_factory=dict)
    lines: dict[Subject, Line] = field(default_factory=dict)
    warned: list[Warned] = field(default_factory=list)

    def take(self, folder: str) -> None:
        evaluation = Evaluation(self.texts)
        start = f"{folder}/" if folder else ""
        for path in sorted(self.texts):
            if not path.startswith(start) or posixpath.basename(path) == "__init__.py":
                continue
            scope = evaluation.module(path)
            for name in sorted(scope.names):
                value = scope.names[name]
                if isinstance(value, Made):
                    self._found(value)
                elif isinstance(value, Unknown) and not name.startswith("__"):
                    self._warn(value.reason)
        for path, reason in sorted(evaluation.lost.items()):
            self._warn(reason)
            self.unread[self._key(AssetKind.FEATURE_VIEW, path)] = reason

    def registry(self) -> dict[str, Json]:
        """As Feast dumps it."""
        found: dict[str, list[Json]] = {}
        sources: list[Json] = []
        for made in self.made.values():
            if made.kind.endswith("Source"):
                told = _Telling(self, made).source()
                if told is not None:
                    sources.append({**told, "project": self.project})
            elif made.kind in _SPECS:
                section, tell = _SPECS[made.kind]
                spec = tell(_Telling(self, made))
                if spec is not None:
                    found.setdefault(section, []).append({"spec": {**spec, "project": self.project}})
        return {"project": self.project, "dataSources": sources, **{name: [*specs] for name, specs in found.items()}}

    def leave_unread(self, made: Made, reason: str) -> None:
        """What is not told of it; of what has no name, the place stands for it."""
        name = made.get("name")
        kind = AssetKind.DATASET if made.kind.endswith("Source") else AssetKind.FEATURE_VIEW
        self.unread.setdefault(
            self._key(kind, name if isinstance(name, str) and name else f"{made.path}:{made.line}"), reason
        )

    def place(self, made: Made, name: str, fields: list[str]) -> None:
        try:
            if made.kind in VIEWS:
                view = AssetKey.of(AssetKind.FEATURE_VIEW, self.project, name)
                line = Line(made.path, made.line)
                self.lines.update(dict.fromkeys([view, *map(view.part_key, fields)], line))
        except InvalidInput:
            return  # reading says so

    def _found(self, made: Made) -> None:
        if id(made) in self.made:
            return
        self.made[id(made)] = made
        source = made.get("source")
        if made.kind in {"PushSource", "KafkaSource", "KinesisSource"}:
            source = made.get("batch_source")
        elif made.kind == "OnDemandFeatureView":
            source = None
        if made.kind in VIEWS and isinstance(sink := made.get("sink_source"), Made):
            self._found(sink)
        if isinstance(source, Made) and source.kind.endswith("Source"):
            self._found(source)

    def _key(self, kind: AssetKind, name: str) -> AssetKey:
        return AssetKey.of(kind, self.project, name)

    def _warn(self, reason: str) -> None:
        place, _, why = reason.partition(": ")
        self.warned.append(Warned(place, why or reason))


class _Telling:
    """Of one object. None for what is as by default, as protocol buffers leave that out."""

    def __init__(self, repository: _Repository, made: Made) -> None:
        self._repository = repository
        self._made = made
        if isinstance(unpacked := made.get("?"), Unknown):
            repository.leave_unread(made, unpacked.reason)

    def _value(self, name: str) -> Value:
        value = self._made.get(name)
        if unknown := unknown_in(value):
            self._repository.leave_unread(self._made, unknown.reason)
            return None
        return value

    def _text(self, name: str) -> str | None:
        value = self._value(name)
        if value is not None and not isinstance(value, str):
            self._lost(f"its {name} is not followed")
        return value if isinstance(value, str) and value else None

    def _lost(self, reason: str) -> None:
        self._repository.leave_unread(self._made, f"{self._made.path}:{self._made.line}: {reason}")

    def _name(self) -> str | None:
        name = self._text("name")
        if name is None and self._made.kind.endswith("Source"):
            name = self._text("path" if self._made.kind == "FileSource" else "table")
        return name

    def _people(self) -> dict[str, Json]:
        tags = self._value("tags")
        return _without_none(
            {
                "description": self._text("description"),
                "owner": self._text("owner"),
                "tags": {str(name): str(value) for name, value in tags.items()}
                if isinstance(tags, dict) and tags
                else None,
            }
        )

    def _made_of(self, name: str, kind: str) -> list[Made]:
        value = self._made.get(name)
        items = value if isinstance(value, list | tuple) else [] if value is None else [value]
        found = []
        for each in items:
            if isinstance(each, Made) and each.kind == kind:
                found.append(each)
            else:
                self._lost(each.reason if isinstance(each, Unknown) else f"one of its {name} is not followed")
        return found

    def fields(self, name: str) -> list[dict[str, Json]]:
        told = []
        for each in self._made_of(name, "Field"):
            field_ = _Telling(self._repository, each)
            named, type_ = each.get("name"), each.get("dtype")
            unknown = unknown_in([named, type_, each.get("description"), each.get("tags")])
            if unknown or not isinstance(named, str):
                self._lost(
                    unknown.reason.partition(": ")[2] if unknown else "the name of one of its fields is not followed"
                )
            if isinstance(named, str):
                kind = type_.name if isinstance(type_, ValueType) else None
                if kind is None and unknown is None:
                    self._lost(f"the type of its field {named} is not followed")
                people = {} if unknown else field_._people()
                told.append(_without_none({"name": named, "valueType": kind, **people}))
        return told

    # Sources

    def source(self) -> dict[str, Json] | None:
        name = self._name()
        if name is None:
            self._lost("its name is not known")
            return None
        made, kind = self._made, self._made.kind
        timed = made
        told: dict[str, Json] = {"name": name, **self._people()}
        batch = made.get("batch_source")
        if isinstance(batch, Made):
            told["batchSource"] = _Telling(self._repository, batch).source()
            if kind == "PushSource":  # it has those of what it is a batch of
                timed = batch
        telling = _Telling(self._repository, timed)
        mapping = telling._value("field_mapping")
        told |= _without_none(
            {
                "fieldMapping": {**mapping} if isinstance(mapping, dict) and mapping else None,
                "timestampField": telling._text("timestamp_field"),
                "createdTimestampColumn": telling._text("created_timestamp_column"),
            }
        )
        type_, options = self._options(kind)
        return _without_none({"type": type_, **told, **options})

    def _options(self, kind: str) -> tuple[str | None, dict[str, Json]]:
        if kind == "FileSource":
            return "BATCH_FILE", {"fileOptions": _without_none({"uri": self._text("path")})}
        if kind == "KafkaSource":
            servers = self._text("kafka_bootstrap_servers") or self._text("bootstrap_servers")
            return "STREAM_KAFKA", {
                "kafkaOptions": _without_none({"kafkaBootstrapServers": servers, "topic": self._text("topic")})
            }
        if kind == "KinesisSource":
            return "STREAM_KINESIS", {
                "kinesisOptions": _without_none(
                    {"region": self._text("region"), "streamName": self._text("stream_name")}
                )
            }
        if kind == "RequestSource":
            return "REQUEST_SOURCE", {"requestDataOptions": {"schema": [*self.fields("schema")]}}
        if kind == "PushSource":
            return "PUSH_SOURCE", {}
        if kind in _TABLES:
            type_, options, names = _TABLES[kind]
            told = _without_none({name: self._text(argument) for name, argument in names.items()})
            if kind == "SnowflakeSource" and told.get("database") and told.get("table"):
                told.setdefault("schema", "PUBLIC")
            if kind == "RedshiftSource" and told.get("table"):
                told.setdefault("schema", "public")
            return type_, {options: told}
        self._lost(f"where a {kind} lies is not known")
        return "CUSTOM_SOURCE", {}

    # Views

    def entity(self) -> dict[str, Json] | None:
        name = self._name()
        if name is None:
            self._lost("its name is not known")
            return None
        type_ = self._value("value_type")
        known = type_.name if isinstance(type_, ValueType) and type_.name != "UNKNOWN" else None
        return _without_none({"name": name, "joinKey": self.join_key(), "valueType": known, **self._people()})

    def join_key(self) -> str | None:
        keys = self._value("join_keys")
        return str(keys[0]) if isinstance(keys, list | tuple) and keys else self._name()

    def view(self) -> dict[str, Json] | None:
        name = self._name()
        if name is None:
            self._lost("its name is not known")
            return None
        made, kind = self._made, self._made.kind
        entities = self._made_of("entities", "Entity")
        keys = [key for each in entities if (key := _Telling(self._repository, each).join_key())]
        fields = self.fields("schema")
        columns = [each for each in fields if each["name"] in keys]
        features = [each for each in fields if each["name"] not in keys or kind == "StreamFeatureView"]
        if not features and kind != "OnDemandFeatureView":
            self._lost("its schema is that of its source, which is not known here")
        for key in keys:
            if all(each["name"] != key for each in columns):
                columns.append({"name": key})
        self._repository.place(made, name, [str(each["name"]) for each in features])
        names = [each for one in entities if (each := _Telling(self._repository, one)._name())]
        told: dict[str, Json] = {
            "name": name,
            **self._people(),
            "entities": [*(names or ["__dummy"])],
            "features": [*features],
            "entityColumns": [*(columns or [{"name": "__dummy_id", "valueType": "STRING"}])],
            "ttl": self._ttl(),
            "version": self._text("version") or "latest",
            "mode": self._text("mode") or ("pandas" if kind == "OnDemandFeatureView" else _MODES.get(kind)),
            "disabled": True if self._value("enabled") is False else None,
            "featureTransformation": self._transformation(),
            "aggregations": [{}] if self._made.get("aggregations") else None,
        }
        if kind == "OnDemandFeatureView":
            told |= {"sources": self._taken_in(name), "writeToOnlineStore": self._flag("write_to_online_store", False)}
        else:
            told |= {
                "online": self._flag("online", kind != "BatchFeatureView"),
                "offline": self._flag("offline", False),
            }
            told |= self._source_of_view()
        return _without_none(told)

    def _flag(self, name: str, default: bool) -> bool | None:
        value = self._value(name)
        return (default if value is None else bool(value)) or None

    def _ttl(self) -> str | None:
        value = self._value("ttl")
        if value is None:
            return "0s" if self._made.kind in {"FeatureView", "StreamFeatureView"} else None
        if not isinstance(value, timedelta):
            self._lost("its ttl is not followed")
            return None
        seconds = value.total_seconds()
        return f"{int(seconds)}s" if math.floor(seconds) == seconds else f"{seconds:.9f}".rstrip("0") + "s"

    def _source_of_view(self) -> dict[str, Json]:
        made = self._made
        given = made.get("source")
        told: dict[str, Json] = {}
        if isinstance(given, Made) and given.kind in {"PushSource", "KafkaSource", "KinesisSource"}:
            if self._made.kind == "LabelView":
                return {"source": _Telling(self._repository, given).source()}
            told["streamSource"] = _Telling(self._repository, given).source()
            batch = given.get("batch_source")
            told["batchSource"] = _Telling(self._repository, batch).source() if isinstance(batch, Made) else None
            self._check_times(batch if isinstance(batch, Made) else given)
        elif isinstance(given, Made) and given.kind.endswith("Source"):
            told["source" if self._made.kind == "LabelView" else "batchSource"] = _Telling(
                self._repository, given
            ).source()
            self._check_times(given)
        elif given is not None:
            views = given if isinstance(given, list | tuple) else [given]
            others = [each for each in views if isinstance(each, Made) and each.kind in VIEWS]
            if len(others) < len(views):
                unknown = unknown_in(given)
                self._lost(unknown.reason.partition(": ")[2] if unknown else "one of its sources is not followed")
            told["sourceViews"] = [{"name": str(each.get("name")), "features": []} for each in others]
            if isinstance(sink := made.get("sink_source"), Made):
                told["batchSource"] = _Telling(self._repository, sink).source()
        return told

    def _check_times(self, source: Made) -> None:
        if not source.get("timestamp_field"):
            self._lost("the timestamp of its source is found by Feast, which asks the source")

    def _transformation(self) -> Json:
        made = self._made
        if made.function is None:
            if any(made.get(name) is not None for name in ("udf", "feature_transformation")):
                self._lost("its transformation is not followed")
                return {"userDefinedFunction": {}}
            return None
        try:
            code = source_of(made.path, made.function, self._repository.texts, is_decorated=False)
        except InvalidInput as error:
            self._lost(str(error))
            return {"userDefinedFunction": {"name": made.function}}
        return {"userDefinedFunction": {"name": made.function, "bodyText": code}}

    def _taken_in(self, name: str) -> Json:
        told: dict[str, Json] = {}
        given = self._made.get("sources")
        for each in given if isinstance(given, list | tuple) else [] if given is None else [given]:
            if isinstance(each, Made) and each.kind == "RequestSource":
                request = _Telling(self._repository, each).source()
                told[str(each.get("name"))] = {"requestDataSource": request}
            elif (projection := self._projection(each)) is not None:
                told[str(projection["featureViewName"])] = {"featureViewProjection": projection}
        if self._made.get("input_schema") is not None:
            request = {"type": "REQUEST_SOURCE", "name": f"__input_schema__{name}"}
            told[str(request["name"])] = {
                "requestDataSource": {**request, "requestDataOptions": {"schema": [*self.fields("input_schema")]}}
            }
        return told

    # Services

    def service(self) -> dict[str, Json] | None:
        name = self._name()
        if name is None:
            self._lost("its name is not known")
            return None
        given = self._made.get("features")
        if not isinstance(given, list | tuple):
            self._lost(
                given.reason.partition(": ")[2] if isinstance(given, Unknown) else "its features are not followed"
            )
            given = []
        chosen = [found for each in given if (found := self._projection(each)) is not None]
        return _without_none({"name": name, **self._people(), "features": [*chosen]})

    def _projection(self, given: Value) -> dict[str, Json] | None:
        if isinstance(given, str):
            view, _, feature = given.partition(":")
            told: dict[str, Json] = {"featureViewName": view.partition("@")[0]}
            return {**told, "featureColumns": [{"name": feature}]} if feature else told
        chosen = Chosen(given, None) if isinstance(given, Made) and given.kind in VIEWS else given
        if not isinstance(chosen, Chosen) or not isinstance(chosen.view.get("name"), str):
            self._lost(
                given.reason.partition(": ")[2]
                if isinstance(given, Unknown)
                else "one of those that it takes is not followed"
            )
            return None
        named = [*chosen.names] if chosen.names is not None else self._features_of(chosen.view)
        return _without_none(
            {
                "featureViewName": str(chosen.view.get("name")),
                "featureColumns": [{"name": each} for each in named],
                "featureViewNameAlias": chosen.alias,
            }
        )

    def _features_of(self, view: Made) -> list[str]:
        spec = _Telling(self._repository, view).view()
        return [str(each["name"]) for _, each in records(spec or {}, "features")]


_MODES = {"BatchFeatureView": "python", "StreamFeatureView": "python"}
_TABLES: Mapping[str, tuple[str, str, Mapping[str, str]]] = {
    "BigQuerySource": ("BATCH_BIGQUERY", "bigqueryOptions", {"table": "table", "query": "query"}),
    "SnowflakeSource": (
        "BATCH_SNOWFLAKE",
        "snowflakeOptions",
        {"table": "table", "query": "query", "schema": "schema", "database": "database"},
    ),
    "RedshiftSource": (
        "BATCH_REDSHIFT",
        "redshiftOptions",
        {"table": "table", "query": "query", "schema": "schema", "database": "database"},
    ),
    "AthenaSource": (
        "BATCH_ATHENA",
        "athenaOptions",
        {"table": "table", "query": "query", "database": "database", "dataSource": "data_source"},
    ),
    "TrinoSource": ("BATCH_TRINO", "trinoOptions", {"table": "table", "query": "query"}),
    "SparkSource": ("BATCH_SPARK", "sparkOptions", {"table": "table", "query": "query", "path": "path"}),
}
_SPECS: Mapping[str, tuple[str, Callable[[_Telling], dict[str, Json] | None]]] = {
    "Entity": ("entities", _Telling.entity),
    "FeatureService": ("featureServices", _Telling.service),
    **{kind: (section, _Telling.view) for kind, section in VIEWS.items()},
}


def _without_none(told: Mapping[str, Json]) -> dict[str, Json]:
    return {name: value for name, value in told.items() if value is not None}
