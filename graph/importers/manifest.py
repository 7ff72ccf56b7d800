"""headwater.yaml, what a repository declares: the parsed document → the complete say of its origin.

    version: 1
    namespace: cellar                       # of all that does not say its own
    datasets:
      - name: lab.assays
        namespace: warehouse
        owners: [{name: laboratory, contact: laboratory@cellar.example}]
        columns:
          - {name: flavanoids, type: double, nullable: false}
    feature_views:
      - name: bottle_chemistry
        entities: [bottle]
        features:
          - {name: flavanoids, type: double, derived_from: lab.assays#flavanoids}
    consumers:
      - {name: price-list, type: batch_job, uses: [bottle_chemistry:flavanoids]}

A reference is an asset key, or a short form for what the same document declares: `name`, `name#part`, each also after
`namespace/`; `view:feature` for a feature; `model@alias` for an alias. With what its reader says of it, it is a mapping:
`{asset: assays#hue, default: 0}`.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from graph.attributes import checked_attributes
from graph.changes import AssetStatement, FlowStatement, Registration, checked_origin
from graph.errors import InvalidInput, InvalidManifest, quoted
from graph.importers.manifest_format import MANIFEST, SAID_BY_READERS
from graph.importers.names import Names
from graph.importers.references import Files, Taken, resolved
from graph.importers.shapes import Problems, noting
from graph.importers.values import listed, record, records, text, texts
from graph.keys import AssetKey, AssetKind, alias_key, refuse_outer_space
from graph.model import FLOWS, Attributes, Basis, Flow, Json, Subject, checked_flow


@dataclass(frozen=True)
class Source:
    """Other files of the repository, that say what it holds."""

    place: str
    options: Mapping[str, Json]
    """As the manifest has them; `files` is a list of texts."""


@dataclass(frozen=True)
class Manifest:
    """What one document says."""

    registration: Registration
    """Complete: all that its origin says, as far as no other document has the same origin."""
    places: Mapping[Subject, str]
    """Where each subject is said, as `datasets[0].columns[1]`."""
    sources: tuple[Source, ...] = ()
    namespace: str | None = None
    """Of what does not say its own."""


def read_manifest(document: object, files: Files | None = None) -> Manifest:
    """`files` are those that the document names. Raises InvalidManifest, which names every place that is wrong."""
    problems: Problems = []
    manifest = record(MANIFEST.read(document, "", problems))
    reading = _Reading(text(manifest, "namespace"), problems, files or Files())
    origin = text(manifest, "origin") or (reading.namespace and f"manifest:{reading.namespace}")
    if origin:
        with noting(problems, "origin"):
            checked_origin(origin)
    elif not problems:
        problems.append("origin: missing; name who speaks, as manifest:shop/prices, or give the document a namespace")
    reading.declare(manifest)
    flows = reading.resolved()
    if problems:
        raise InvalidManifest(problems)
    assert origin is not None
    declared = reading.declared.values()
    return Manifest(
        Registration(
            origin=origin,
            basis=Basis.DECLARED,
            assets=tuple(AssetStatement(each.key, each.attributes) for each in declared),
            flows=tuple(FlowStatement(flow, said.attributes) for flow, said in flows.items()),
            complete=True,
        ),
        {each.key: each.place for each in declared} | {flow: said.place for flow, said in flows.items()},
        tuple(Source(place, each) for place, each in records(manifest, "sources")),
        reading.namespace,
    )


_MODELS = (AssetKind.MODEL_VERSION, AssetKind.MODEL)
_DATA = (AssetKind.COLUMN, AssetKind.DATASET)
_FEATURES = (AssetKind.FEATURE, AssetKind.FEATURE_VIEW)
_VALUE = ("type", "unit", "default")


@dataclass(frozen=True)
class _Declared:
    place: str
    key: AssetKey
    attributes: Attributes


@dataclass(frozen=True)
class _Said:
    """Of a flow."""

    place: str
    attributes: Attributes


@dataclass(frozen=True)
class _Stated:
    """A flow whose ends are still texts, or keys where they are what the document just declared."""

    place: str
    source: AssetKey | str
    target: AssetKey | str
    kinds: Sequence[AssetKind]
    """What the text may name."""
    via: AssetKey | None = None
    target_kinds: Sequence[AssetKind] = ()
    attributes: Attributes = field(default_factory=dict)


@dataclass
class _Reading:
    namespace: str | None
    problems: Problems
    files: Files
    declared: dict[AssetKey, _Declared] = field(default_factory=dict)
    stated: list[_Stated] = field(default_factory=list)
    names: Names = field(default_factory=Names)

    # Declaring

    def declare(self, manifest: dict[str, Json]) -> None:
        for place, each in records(manifest, "datasets"):
            dataset = self._asset(AssetKind.DATASET, each, place)
            self._flows(f"{place}.derived_from", each, dataset, _DATA)
            for inner, column in records(each, "columns", place):
                path = texts(column.get("path")) or [name for name in [text(column, "name")] if name]
                if ("name" in column and "path" in column) or not path:
                    self.problems.append(f"{inner}: give a column its name, or its path if it is nested; one of both")
                else:
                    key = self._part(dataset, path, column, inner, *_VALUE, "nullable")
                    self._flows(f"{inner}.derived_from", column, key, _DATA)
                    self._old_names(key, path, column, inner, *_VALUE, "nullable")
        for place, each in records(manifest, "feature_views"):
            view = self._asset(AssetKind.FEATURE_VIEW, each, place, "entities", "ttl", "online")
            self._flows(f"{place}.source", each, view, _DATA)
            for inner, feature in records(each, "features", place):
                if name := text(feature, "name"):
                    key = self._part(view, [name], feature, inner, *_VALUE, "definition")
                    self._flows(f"{inner}.derived_from", feature, key, (*_DATA, AssetKind.FEATURE))
                    self._old_names(key, [name], feature, inner, *_VALUE)
        for place, each in records(manifest, "models"):
            model = self._asset(AssetKind.MODEL, each, place)
            aliases = each.get("aliases")
            if model and isinstance(aliases, dict):
                for alias, version in aliases.items():
                    self._alias(model, alias, str(version), f"{place}.aliases.{alias}")
        for place, each in records(manifest, "jobs"):
            job = self._asset(AssetKind.JOB, each, place, "definition")
            self._flows(f"{place}.inputs", each, job, _into(AssetKind.JOB))
            self._flows(f"{place}.outputs", each, job, _out_of(AssetKind.JOB), outward=True)
            for inner, pair in records(each, "column_lineage", place) if job else ():
                reference, target = record(pair.get("source")), text(pair, "target")
                source = text(reference, "asset")
                if source and target:
                    kinds, said = _out_of(AssetKind.JOB), _said_by_reader(reference)
                    self.stated.append(_Stated(inner, source, target, _DATA, job, kinds, said))
        for place, each in records(manifest, "deployments"):
            own = ("url", "features_from", "request", "response", "openapi")
            deployment = self._asset(AssetKind.DEPLOYMENT, each, place, *own)
            self._flows(f"{place}.serves", each, deployment, _MODELS)
            self._flows(f"{place}.calls", each, deployment, (AssetKind.DEPLOYMENT,))
            self._flows(f"{place}.reads", each, deployment, (*_FEATURES, *_DATA))
            self._flows(f"{place}.logs_to", each, deployment, (AssetKind.DATASET,), outward=True)
        for place, each in records(manifest, "consumers"):
            if "type" in each:
                each["consumer_type"] = each["type"]
            consumer = self._asset(AssetKind.CONSUMER, each, place, "consumer_type")
            self._flows(f"{place}.uses", each, consumer, _into(AssetKind.CONSUMER))
            self._flows(f"{place}.writes", each, consumer, (AssetKind.DATASET,), outward=True)
        for place, each in records(manifest, "model_versions"):
            self._version(each, place)

    def _asset(self, kind: AssetKind, record: dict[str, Json], place: str, *own: str) -> AssetKey | None:
        name, namespace = text(record, "name"), text(record, "namespace") or self.namespace
        if name is None:
            return None
        if namespace is None:
            self.problems.append(f"{place}.namespace: missing; give it one, or the document one for all")
            return None
        return self._declared(lambda: AssetKey.of(kind, namespace, name), [namespace, name], record, place, own)

    def _part(
        self, container: AssetKey | None, path: list[str], record: dict[str, Json], place: str, *own: str
    ) -> AssetKey | None:
        return container and self._declared(lambda: container.part_key(*path), path, record, place, own)

    def _old_names(self, key: AssetKey | None, path: list[str], record: dict[str, Json], place: str, *own: str) -> None:
        """Each is a part too, with the same value: what reads it stays connected."""
        container = key and key.container
        if key is None or container is None:
            return
        for number, old in enumerate(listed(record.get("aliases"))):
            at = f"{place}.aliases[{number}]"
            if isinstance(old, str):
                said: dict[str, Json] = {name: record[name] for name in own if name in record}
                self._part(container, [*path[:-1], old], {**said, "alias_of": path[-1]}, at, *own, "alias_of")
                with noting(self.problems, at):
                    self.stated.append(_Stated(at, key, container.part_key(*path[:-1], old), ()))

    def _version(self, record: dict[str, Json], place: str) -> None:
        model, version = text(record, "model"), text(record, "version")
        container = self._resolved(model, (AssetKind.MODEL,), f"{place}.model")
        signature = record.get("signature")
        if isinstance(signature, dict) and "file" not in signature:
            record["signature"] = {side: self._tensors(signature, side, place) for side in ("inputs", "outputs")}
        if container and version:
            if version.startswith("@"):
                self.problems.append(f"{place}.version: {quoted(version)} begins with @, as only aliases do")
                return
            own = ("signature", "hyperparameters", "metrics", "artifact", "profile")
            key = self._part(container, [version], record, place, *own)
            if key and (run := text(record, "run")):
                self.stated.append(_Stated(f"{place}.run", run, key, (AssetKind.RUN,)))

    def _tensors(self, signature: dict[str, Json], side: str, place: str) -> list[Json]:
        tensors: list[Json] = []
        for inner, tensor in records(signature, side, f"{place}.signature"):
            feature = self._resolved(text(tensor, "feature"), _FEATURES, f"{inner}.feature")
            tensors.append(tensor | {"feature": str(feature)} if feature else tensor)
        return tensors

    def _alias(self, model: AssetKey, alias: str, version: str, place: str) -> None:
        with noting(self.problems, place):
            refuse_outer_space(alias, version)
            if model.part_key(version).is_alias:
                raise InvalidInput(f"{quoted(version)} is an alias; an alias names a version", version)
            self._add(_Declared(place, alias_key(model, alias), {"version": version}))

    def _declared(
        self,
        key_of: Callable[[], AssetKey],
        texts: Sequence[str],
        record: dict[str, Json],
        place: str,
        own: Sequence[str],
    ) -> AssetKey | None:
        try:
            refuse_outer_space(*texts)
            key = key_of()
            stated = self._attributes(record, own, key, place)
            self._add(_Declared(place, key, checked_attributes(stated, key)))
        except InvalidInput as error:
            self.problems.append(f"{place}: {error}")
            return None
        return key

    def _add(self, declared: _Declared) -> None:
        key = declared.key
        before = self.declared.get(key)
        if before is not None:
            self.problems.append(f"{declared.place}: {key} is declared twice; first at {before.place}")
            return
        self.declared[key] = declared
        self.names.add(key)

    def _attributes(self, record: dict[str, Json], own: Sequence[str], of: AssetKey, place: str) -> dict[str, Json]:
        further = record.get("attributes")
        stated: dict[str, Json] = dict(further) if isinstance(further, dict) else {}
        for name in ("description", "owners", "tags", "tier", "environment", "source_link", "deprecated", *own):
            value = record.get(name)
            if value is None:
                continue
            if name in _WAYS and isinstance(value, dict):
                with noting(self.problems, f"{place}.{name}"):
                    taken = _taken(Taken(name), value, self.files, of)
                    if twice := taken.keys() & stated.keys():
                        raise InvalidInput(f"{' and '.join(sorted(twice))} is said twice", min(twice))
                    stated |= taken
            else:
                stated[name] = [each for each in value if each is not None] if isinstance(value, list) else value
        return stated

    def _flows(
        self,
        place: str,
        record: dict[str, Json],
        here: AssetKey | None,
        kinds: Sequence[AssetKind],
        outward: bool = False,
    ) -> None:
        for number, each in enumerate(listed(record.get(place.rpartition(".")[2]))):
            if isinstance(each, dict) and here and (named := text(each, "asset")):
                at = f"{place}[{number}]"
                ends: tuple[AssetKey | str, AssetKey | str] = (here, named) if outward else (named, here)
                self.stated.append(_Stated(at, *ends, kinds, target_kinds=kinds, attributes=_said_by_reader(each)))

    # Resolving, once all is declared

    def resolved(self) -> dict[Flow, _Said]:
        flows: dict[Flow, _Said] = {}
        for each in self.stated:
            source = self._resolved(each.source, each.kinds, each.place)
            target = self._resolved(each.target, each.target_kinds, each.place)
            if source and target:
                with noting(self.problems, each.place):
                    flow = checked_flow(source, target, each.via)
                    said = _Said(each.place, checked_attributes(each.attributes, flow))
                    first = flows.setdefault(flow, said)
                    if first.attributes != said.attributes:
                        raise InvalidInput(f"{flow} is said twice, and differently; first at {first.place}", flow)
        return flows

    def _resolved(self, given: AssetKey | str | None, kinds: Sequence[AssetKind], place: str) -> AssetKey | None:
        if given is None or isinstance(given, AssetKey):
            return given
        try:
            return self.names.key(given, kinds)
        except InvalidInput as error:
            self.problems.append(f"{place}: {error}")
            return None


_WAYS: Mapping[Taken, Mapping[str, Collection[str]]] = {
    Taken.DEFINITION: {"file": {"function", "dialect"}, "sql": {"dialect"}, "python": {"function"}},
    Taken.SIGNATURE: {"file": (), "inputs": {"outputs"}},
    Taken.REQUEST: {"file": {"message"}, "json_schema": ()},
    Taken.RESPONSE: {"file": {"message"}, "json_schema": ()},
    Taken.OPENAPI: {"file": {"path", "method"}},
}
"""How each may be given, and what else stands with that."""


def _taken(field: Taken, value: Mapping[str, Json], files: Files, of: AssetKey) -> Mapping[str, Json]:
    """What is said here, or in the file that is named here. Raises InvalidInput."""
    ways = [name for name in _WAYS[field] if name in value]
    if len(ways) != 1:
        raise InvalidInput(f"give it as one of {', '.join(_WAYS[field])}" + (", not as several" if ways else ""))
    strange = value.keys() - {ways[0], *_WAYS[field][ways[0]]}
    if strange:
        raise InvalidInput(f"{min(strange)} does not go with {ways[0]}", min(strange))
    if ways != ["file"]:
        return {field.value: {**value}}
    found = resolved(field, value, files, of)
    files.note(of, field, text(value, "file") or "")
    return found


def _said_by_reader(reference: Mapping[str, Json]) -> dict[str, Json]:
    return {name: reference[name] for name in SAID_BY_READERS if name in reference}


def _into(kind: AssetKind) -> tuple[AssetKind, ...]:
    return tuple(source for source, target in FLOWS if target is kind)


def _out_of(kind: AssetKind) -> tuple[AssetKind, ...]:
    return tuple(target for source, target in FLOWS if source is kind)
