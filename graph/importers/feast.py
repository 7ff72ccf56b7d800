"""Feast: {"registry": …, "project"?, "repository"?}, the registry as protocol buffers write JSON, or `feast registry-dump` → what it says.

* Feature views of all kinds (batch, stream, on demand, of labels) are feature views of the project's namespace, with their
  features, entities, owners and tags. `view:feature` in Feast is `feature:project/view#feature` here.
* A feature service is a named choice of features: a feature view too, whose features are those it chose. Whoever reads by the
  service depends on it, and on nothing that it left out.
* A source is the dataset where it lies, named as OpenLineage would: a file, a topic, a table. Tables are of the namespace
  `namespace`, the warehouse, which Feast's registry does not hold. What has no place of its own (pushes, requests, queries) is a
  dataset of the project. Feast's own OpenLineage events name all of them in the project's namespace: those names are `same_as` the
  places.
* A feature is computed from the column of its name, or the one mapped to it. Join keys and timestamps decide about all rows: they
  flow to the view. Where code or an aggregation stands between, all of the source flows to the view, and no column is known.
* A feature on demand is computed from all that its view takes.
* A saved dataset is written by a job from the features it holds.
"""

import json
import math
from base64 import b64decode
from binascii import Error as NoBase64
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from graph.attributes import canonical, checked_attributes
from graph.changes import AssetStatement, FlowStatement, Registration, checked_origin
from graph.errors import InvalidAttribute, InvalidInput, InvalidManifest, quoted
from graph.importers.feast_document import DOCUMENT, OPTIONS, VIEWS
from graph.importers.functions import function_alone
from graph.importers.labels import definition, labelled, owners
from graph.importers.places import Place, place_of
from graph.importers.shapes import Problems, noting
from graph.importers.values import record, records, text, texts
from graph.keys import AssetKey, AssetKind
from graph.model import Basis, Flow, Json, checked_flow
from graph.time import Instant, parse_instant


def read_feast(document: object, origin: str | None = None, namespace: str | None = None) -> Registration:
    """`namespace` of the warehouse's tables; absent: the origin, but for BigQuery. `origin` absent: `feast:` and the project.

    Raises InvalidManifest, which names every place that is wrong.
    """
    problems: list[str] = []
    read = record(DOCUMENT.read(document, "", problems))
    if problems:
        raise InvalidManifest(problems)
    registry = record(read["registry"])
    project = text(read, "project") or _only_project(registry)
    origin = checked_origin(f"feast:{project}" if origin is None else origin)
    reading = _Reading(project, namespace or origin, text(read, "repository"), problems)
    reading.take(registry)
    if problems:
        raise InvalidManifest(problems)
    return Registration(
        origin=origin,
        basis=Basis.IMPORTED,
        assets=tuple(AssetStatement(key, attributes) for key, attributes in reading.said.items()),
        flows=tuple(FlowStatement(flow) for flow in reading.flows),
        complete=True,
        stubs=True,  # a view may have been removed from under a service
        taken=_taken(registry, read),
    )


_NO_ENTITY = "__dummy"
"""What Feast calls the entity of views without one."""


@dataclass
class _Reading:
    project: str
    warehouse: str
    repository: str | None
    problems: Problems
    said: dict[AssetKey, dict[str, Json]] = field(default_factory=dict)
    flows: dict[Flow, None] = field(default_factory=dict)
    entities: dict[str, dict[str, Json]] = field(default_factory=dict)
    """By name."""
    features: dict[str, list[str]] = field(default_factory=dict)
    """Of each view, in its order."""

    def take(self, registry: dict[str, Json]) -> None:
        self.entities = {str(spec["name"]): spec for _, spec in self._specs(registry, "entities")}
        views = [(place, spec, kind) for name, kind in VIEWS.items() for place, spec in self._specs(registry, name)]
        self.features = {str(spec["name"]): _names(spec, "features") for _, spec, _ in views}
        for place, source in records(registry, "dataSources", "registry"):
            if _is_of(source, self.project):
                with noting(self.problems, place):
                    self._source(source)
        for place, spec, kind in views:
            with noting(self.problems, f"{place}.spec"):
                self._view(spec, kind, f"{place}.spec")
        for place, spec in self._specs(registry, "featureServices"):
            with noting(self.problems, f"{place}.spec"):
                self._service(spec)
        for place, spec in self._specs(registry, "savedDatasets"):
            with noting(self.problems, f"{place}.spec"):
                self._saved(spec)

    def _specs(self, registry: dict[str, Json], name: str) -> Iterator[tuple[str, dict[str, Json]]]:
        for place, each in records(registry, name, "registry"):
            spec = record(each["spec"])
            if _is_of(spec, self.project):
                yield place, spec

    # Views

    def _view(self, spec: dict[str, Json], kind: str, place: str) -> None:
        view = self._own(AssetKind.FEATURE_VIEW, str(spec["name"]))
        if view in self.said:
            raise InvalidInput(f"{view} stands here twice", view)
        entities = [name for name in texts(spec.get("entities")) if name != _NO_ENTITY]
        self._say(
            view,
            {
                **_people(spec),
                "feast_type": kind,
                "entities": [*entities],
                "entity_details": [self._entity(name) for name in entities if name in self.entities] or None,
                "ttl": _seconds(text(spec, "ttl")),
                "online": bool(spec.get("online") or spec.get("writeToOnlineStore")),
                "offline": spec.get("offline"),
                "disabled": spec.get("disabled"),
                "mode": text(spec, "mode") or None,
                "feast_version": text(spec, "version") or None,
                "definition": _definition(spec),
            },
        )
        for at, each in records(spec, "features", place):
            with noting(self.problems, at):
                self._say(view.part_key(str(each["name"])), _field(each))
        is_computed = bool(
            spec.get("aggregations") or spec.get("userDefinedFunction") or spec.get("featureTransformation")
        )
        for name in ("batchSource", "streamSource", "source"):
            if name in spec:
                source = record(spec[name])
                with noting(self.problems, f"{place}.{name}"):
                    self._read_from(source, view, spec, is_computed)
                    if "batchSource" in source:  # of a push
                        self._read_from(record(source["batchSource"]), view, spec, is_computed)
        for name, given in record(spec.get("sources")).items():
            with noting(self.problems, f"{place}.sources.{name}"):
                self._taken_in(record(given), name, view, spec)
        for at, other in records(spec, "sourceViews", place):
            with noting(self.problems, at):
                self._derive(self._features_of(str(other["name"]), _names(other, "features")), view, spec)

    def _read_from(self, source: dict[str, Json], view: AssetKey, spec: dict[str, Json], is_computed: bool) -> None:
        dataset = self._source(source)
        if dataset is None:
            return
        self._flow(dataset, view)
        if is_computed:
            return
        column_of = {new: old for old, new in record(source.get("fieldMapping")).items() if isinstance(new, str)}
        join_keys = _names(spec, "entityColumns")
        if not join_keys:
            known = [self.entities[name] for name in texts(spec.get("entities")) if name in self.entities]
            join_keys = [text(each, "joinKey") or str(each["name"]) for each in known]
        times = [text(source, name) for name in ("timestampField", "createdTimestampColumn")]
        for name in (*join_keys, *times):
            if name and name != f"{_NO_ENTITY}_id":
                self._flow(dataset.part_key(column_of.get(name, name)), view)
        for name in _names(spec, "features"):
            self._flow(dataset.part_key(column_of.get(name, name)), view.part_key(name))

    def _taken_in(self, source: dict[str, Json], name: str, view: AssetKey, spec: dict[str, Json]) -> None:
        """By a view on demand."""
        request = record(source.get("requestDataSource"))
        if request and (dataset := self._source({"name": name, **request})):
            self._flow(dataset, view)
            fields = _names(record(request.get("requestDataOptions")), "schema")
            self._derive([dataset.part_key(each) for each in fields], view, spec)
        if projection := record(source.get("featureViewProjection")):
            names = _names(projection, "featureColumns")
            self._derive(self._features_of(str(projection["featureViewName"]), names), view, spec)
        if other := record(record(source.get("featureView")).get("spec")):
            self._derive(self._features_of(str(other["name"]), _names(other, "features")), view, spec)

    def _derive(self, sources: list[AssetKey], view: AssetKey, spec: dict[str, Json]) -> None:
        for name in _names(spec, "features"):
            for source in sources:
                self._flow(source, view.part_key(name))

    def _features_of(self, view: str, names: list[str]) -> list[AssetKey]:
        """Those of them; all of the view where none is named."""
        key = self._own(AssetKind.FEATURE_VIEW, view)
        return [key.part_key(name) for name in names or self.features.get(view, [])]

    def _entity(self, name: str) -> Json:
        spec = self.entities[name]
        type_ = spec.get("valueType")
        given: dict[str, Json] = {
            "name": name,
            "join_key": text(spec, "joinKey"),
            "type": type_ if isinstance(type_, str) else None,
            **_people(spec),
        }
        return {each: value for each, value in given.items() if value is not None}

    # Services and saved datasets

    def _service_key(self, name: str) -> AssetKey:
        """Views and services have names of their own in Feast."""
        return self._own(AssetKind.FEATURE_VIEW, f"{name} (service)" if name in self.features else name)

    def _service(self, spec: dict[str, Json]) -> None:
        service = self._service_key(str(spec["name"]))
        if service in self.said:
            raise InvalidInput(f"{service} stands here twice", service)
        self._say(service, {**_people(spec), "feast_type": "FeatureService"})
        chosen = [
            (feature, text(each, "featureViewNameAlias") or str(each["featureViewName"]))
            for _, each in records(spec, "features")
            for feature in self._features_of(str(each["featureViewName"]), _names(each, "featureColumns"))
        ]
        called = Counter(str(feature.part) for feature, _ in chosen)
        for feature, view in chosen:
            name = str(feature.part)
            # As Feast calls its columns where names would be the same.
            part = service.part_key(name if called[name] == 1 else f"{view}__{name}")
            self._say(part, {})
            self._flow(feature, part)

    def _saved(self, spec: dict[str, Json]) -> None:
        name = str(spec["name"])
        storage = record(spec.get("storage"))
        place = next((found for each, held in storage.items() if (found := self._place(each, record(held)))), None)
        own = self._own(AssetKind.DATASET, name)
        dataset = AssetKey.of(AssetKind.DATASET, *place) if place else own
        self._say(dataset, {**_people(spec), "feast_type": "SavedDataset"}, own)
        job = self._own(AssetKind.JOB, f"saved_dataset_{name}")
        self._say(job, {})
        for reference in texts(spec.get("features")):
            view, _, feature = reference.partition(":")
            self._flow(self._own(AssetKind.FEATURE_VIEW, view.partition("@")[0]).part_key(feature), job)
        if service := text(spec, "featureServiceName"):
            self._flow(self._service_key(service), job)
        self._flow(job, dataset)

    # Sources

    def _source(self, source: dict[str, Json]) -> AssetKey | None:
        """The dataset; None for a source that is neither named nor somewhere."""
        name = text(source, "name")
        held = {each: record(source[each]) for each in OPTIONS if each in source}
        place = next((found for each, options in held.items() if (found := self._place(each, options))), None)
        if place is None and not name:
            return None
        own = self._own(AssetKind.DATASET, name) if name else None
        dataset = AssetKey.of(AssetKind.DATASET, *place) if place else own
        assert dataset is not None
        options = next(iter(held.values()), {})
        type_ = source.get("type")
        self._say(
            dataset,
            {
                **_people(source),
                "source_type": type_ if isinstance(type_, str) else None,
                "definition": definition(text(options, "query") or text(_configuration(options), "query")),
            },
            own,
        )
        for _, each in records(options, "schema"):
            self._say(dataset.part_key(str(each["name"])), _field(each))
        return dataset

    def _place(self, kind: str, options: dict[str, Json]) -> Place | None:
        if path := text(options, "uri") or text(options, "path"):
            return place_of(path) or (place_of(f"{self.repository}/{path}") if self.repository else None)
        if topic := text(options, "topic"):
            server = (text(options, "kafkaBootstrapServers") or "").partition(",")[0].strip()
            return Place(f"kafka://{server}", topic) if server else None
        if stream := text(options, "streamName"):
            return Place(f"kinesis://{text(options, 'region') or ''}", stream)
        table = text(options, "table") or text(_configuration(options), "table")
        if not table:
            return None
        if kind.startswith("bigquery"):
            return Place("bigquery", table.replace(":", "."))
        steps = [text(options, each) for each in ("dataSource", "database", "schema")]
        return Place(self.warehouse, ".".join([step for step in steps if step] + [table]))

    # Saying

    def _own(self, kind: AssetKind, name: str) -> AssetKey:
        return AssetKey.of(kind, self.project, name)

    def _say(self, key: AssetKey, attributes: Mapping[str, Json], also: AssetKey | None = None) -> None:
        """Adds to what else is said of it: several sources may be one table. `also` is what Feast's events call it."""
        checked: dict[str, Json] = {**checked_attributes(attributes, key)}
        before = self.said.setdefault(key, {})
        before |= {name: value for name, value in checked.items() if value is not None}
        if also is not None and also != key:  # what is named is what is shown: where it lies, as all others call it
            self.said.setdefault(also, {})["same_as"] = [str(key)]

    def _flow(self, source: AssetKey, target: AssetKey) -> None:
        self.flows[checked_flow(source, target)] = None


def _people(of: dict[str, Json]) -> dict[str, Json]:
    tags = {name: str(value) for name, value in record(of.get("tags")).items()}
    return {
        "description": text(of, "description") or None,
        "owners": owners([text(of, "owner") or ""]),
        **labelled(tags, hidden=("feast:", "feast.io/")),
    }


def _field(given: dict[str, Json]) -> dict[str, Json]:
    type_ = given.get("valueType")
    return {**_people(given), "type": type_ if isinstance(type_, str) else None}


def _definition(spec: dict[str, Json]) -> Json:
    """The function, without what decorates it: that says the rest of the spec. `body` is a pickle, in base64, but in a dump of old."""
    function = record(record(spec.get("featureTransformation")).get("userDefinedFunction"))
    for each in (function, record(spec.get("userDefinedFunction"))):
        if code := definition(text(each, "bodyText")):
            name = text(each, "name")
            alone = function_alone(code, name) if name else None
            return {"python": alone, "function": name} if alone else code
    return None


def _configuration(options: dict[str, Json]) -> dict[str, Json]:
    """Of a custom source: most keep JSON there, with the table."""
    try:
        found: Json = json.loads(b64decode(text(options, "configuration") or "", validate=True) or b"null")
        canonical(found)
    except (NoBase64, ValueError, RecursionError, InvalidAttribute):
        return {}
    return record(found)


def _only_project(registry: dict[str, Json]) -> str:
    if project := text(registry, "project"):
        return project
    named = {str(record(each["spec"])["name"]) for _, each in records(registry, "projects")}
    for name in ("entities", *VIEWS, "featureServices"):
        named |= {text(record(each["spec"]), "project") or "" for _, each in records(registry, name)}
    named.discard("")
    if len(named) != 1:
        which = f"it holds {', '.join(map(quoted, sorted(named)))}" if named else "it names none"
        raise InvalidManifest([f"project: missing; {which}, so say which is meant"])
    return named.pop()


def _taken(registry: dict[str, Json], document: dict[str, Json]) -> Instant | None:
    for place, told in (("registry.lastUpdated", registry.get("lastUpdated")), ("fetched", document.get("fetched"))):
        if told is not None:
            try:
                return parse_instant(str(told))
            except InvalidInput as error:
                raise InvalidManifest([f"{place}: {error}"]) from error
    return None


def _seconds(duration: str | None) -> int | None:
    """Of a protobuf duration, `3600.500s`, rounded up; none for what never ends."""
    try:
        return math.ceil(float((duration or "").removesuffix("s"))) or None
    except (ValueError, OverflowError):
        return None


def _is_of(spec: dict[str, Json], project: str) -> bool:
    return (text(spec, "project") or project) == project


def _names(of: dict[str, Json], name: str) -> list[str]:
    return [str(each["name"]) for _, each in records(of, name)]
