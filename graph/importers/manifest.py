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
`namespace/`; `view:feature` for a feature; `model@alias` for an alias.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from graph.attributes import checked_attributes
from graph.changes import AssetStatement, FlowStatement, Registration, checked_origin
from graph.errors import InvalidInput, InvalidManifest, quoted
from graph.importers.shapes import (
    Anything,
    Field,
    Flag,
    Many,
    Mapped,
    Problems,
    Record,
    Schema,
    Text,
    Whole,
    document_schema,
    near,
    noting,
)
from graph.importers.values import listed, record, records, text, texts
from graph.keys import PART_OF, AssetKey, AssetKind, alias_key, refuse_outer_space
from graph.model import FLOWS, Attributes, Basis, Flow, Json, checked_flow

VERSION = 1


def read_manifest(document: object) -> Registration:
    """Raises InvalidManifest, which names every place that is wrong."""
    problems: Problems = []
    manifest = record(_MANIFEST.read(document, "", problems))
    reading = _Reading(text(manifest, "namespace"), problems)
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
    return Registration(
        origin=origin,
        basis=Basis.DECLARED,
        assets=tuple(AssetStatement(each.key, each.attributes) for each in reading.declared.values()),
        flows=tuple(FlowStatement(flow) for flow in flows),
        complete=True,
    )


def manifest_schema() -> Schema:
    """For editors. What it accepts may still be refused: references, duplicates and the form of names are beyond it."""
    return document_schema(_MANIFEST, "headwater.yaml")


# What a document may hold

_TEXTS = Many(Text())
_REFERENCES = Many(Text(), or_one=True)
_OWNER = Record(
    "owner",
    "A person or team: the name alone, or with a way to reach them.",
    {
        "name": Field(Text(), "The person or team.", required=True),
        "contact": Field(Text(), "How to reach them: a mail address, a channel."),
    },
    short="name",
)
_COMMON = {
    "description": Field(Text(), "What it is, for people."),
    "owners": Field(Many(_OWNER), "Who answers for it."),
    "tags": Field(_TEXTS, "Free words to find and select it by."),
    "tier": Field(Whole(1, 4), "How critical it is, from 1 (most) to 4."),
    "environment": Field(Text(), "Where it runs, e.g. production."),
    "source_link": Field(Text(), "Where its source can be read."),
    "deprecated": Field(
        Record(
            "deprecation",
            "It goes away, and its users are told.",
            {
                "since": Field(Text(), "The day from which it is not to be used, e.g. 2026-12-01."),
                "until": Field(Text(), "The day from which it may be gone."),
                "replacement": Field(Text(), "What to use instead: an asset key, or words."),
                "reason": Field(Text(), "Why."),
            },
        ),
        "It goes away, and its users are told.",
    ),
    "attributes": Field(Mapped(Anything()), "Further attributes, by name; kept as they are."),
}
_NAMED = {
    "name": Field(Text(), "Its name, verbatim as the source system writes it.", required=True),
    "namespace": Field(Text(), "Its namespace; absent: the document's."),
    **_COMMON,
}


def _named(name: str, about: str, **fields: Field) -> Field:
    return Field(Many(Record(name, about, {**_NAMED, **fields})), about)


def _references(about: str) -> Field:
    return Field(_REFERENCES, about + " References are asset keys, or names of what this document declares.")


_COLUMN = Record(
    "column",
    "A column of a dataset.",
    {
        "name": Field(Text(), "Its name; for one that is nested, give `path` instead."),
        "path": Field(_TEXTS, "The field path of a nested column."),
        "type": Field(Text(), "Its type, as the source system writes it."),
        "nullable": Field(Flag(), "Whether it may hold nulls."),
        "derived_from": _references("The columns or datasets it is computed from."),
        **_COMMON,
    },
)
_FEATURE = Record(
    "feature",
    "A feature of a view.",
    {
        "name": Field(Text(), "Its name.", required=True),
        "type": Field(Text(), "Its type."),
        "definition": Field(Text(), "How it is computed: SQL or Python source."),
        "derived_from": _references("The columns, datasets or features it is computed from."),
        **_COMMON,
    },
)
_DERIVED = Record(
    "derived",
    "One column is computed from another.",
    {
        "source": Field(Text(), "The column or dataset read.", required=True),
        "target": Field(
            Text(), "The column or feature computed; a dataset when all its rows are affected.", required=True
        ),
    },
)
_TENSOR = Record(
    "tensor",
    "What a model takes or gives.",
    {
        "name": Field(Text(), "Its name.", required=True),
        "type": Field(Text(), "Its type."),
        "shape": Field(Many(Whole(-1, 2**31)), "Its shape; -1 is any length."),
        "feature": Field(Text(), "The feature (or view) that this input is; serving the version depends on it."),
    },
)
_SIGNATURE = Record(
    "signature",
    "What a model takes and gives.",
    {
        "inputs": Field(Many(_TENSOR), "What each request needs."),
        "outputs": Field(Many(_TENSOR), "What it answers."),
    },
)
_ARTIFACT = Record(
    "artifact",
    "The file of a version.",
    {
        "uri": Field(Text(), "Where it is.", required=True),
        "digest": Field(Text(), "sha256:… of its bytes.", required=True),
    },
)
_MANIFEST = Record(
    "manifest",
    "What a repository declares: all that its origin says.",
    {
        "version": Field(Whole(VERSION, VERSION), f"The version of this format, {VERSION}.", required=True),
        "origin": Field(Text(), "Who speaks; absent: `manifest:` and the namespace."),
        "namespace": Field(Text(), "The namespace of all that does not say its own."),
        "datasets": _named(
            "dataset",
            "Tables, files and topics.",
            columns=Field(Many(_COLUMN), "Its columns."),
            derived_from=_references("The datasets and columns that feed it without a known job: a view, a copy."),
        ),
        "feature_views": _named(
            "feature_view",
            "Features that share entities and source.",
            entities=Field(_TEXTS, "The keys that its features are looked up by."),
            source=_references("The datasets or columns that it is computed from."),
            features=Field(Many(_FEATURE), "Its features."),
        ),
        "jobs": _named(
            "job",
            "Transformations and trainings.",
            definition=Field(Text(), "What it does: SQL or Python source."),
            inputs=_references("What it reads."),
            outputs=_references("What it writes."),
            column_lineage=Field(Many(_DERIVED), "Which column it computes from which."),
        ),
        "models": _named(
            "model",
            "Registered models.",
            aliases=Field(Mapped(Text()), "Names for versions, as champion: the version each means."),
        ),
        "model_versions": Field(
            Many(
                Record(
                    "model_version",
                    "A version of a model.",
                    {
                        "model": Field(Text(), "The model: its key, or name in this document.", required=True),
                        "version": Field(Text(), "The version, as text.", required=True),
                        "run": Field(Text(), "The key of the training run that produced it."),
                        "signature": Field(_SIGNATURE, "What it takes and gives."),
                        "hyperparameters": Field(Mapped(Anything()), "How it was trained."),
                        "metrics": Field(Mapped(Anything()), "Held-out metrics: names to numbers."),
                        "artifact": Field(_ARTIFACT, "Its file."),
                        "profile": Field(Mapped(Anything()), "The reference profile of its inputs and outputs."),
                        **_COMMON,
                    },
                )
            ),
            "Versions of models.",
        ),
        "deployments": _named(
            "deployment",
            "Addresses that answer predictions, or compositions of others.",
            url=Field(Text(), "Its address."),
            features_from=Field(
                Text(("store", "request")), "request: requests carry the features, so serving does not read them."
            ),
            serves=_references("The versions, aliases or models it serves."),
            calls=_references("The deployments whose outputs it uses."),
            reads=_references("The features or data it reads."),
            logs_to=_references("The datasets that hold its predictions."),
        ),
        "consumers": _named(
            "consumer",
            "Services, applications, dashboards, notebooks and batch jobs that use an output.",
            type=Field(Text(("service", "application", "dashboard", "notebook", "batch_job")), "What it is."),
            uses=_references("What it uses."),
            writes=_references("The datasets it writes."),
        ),
    },
)


# What it says

_MODELS = (AssetKind.MODEL_VERSION, AssetKind.MODEL)
_DATA = (AssetKind.COLUMN, AssetKind.DATASET)
_FEATURES = (AssetKind.FEATURE, AssetKind.FEATURE_VIEW)


@dataclass
class _Declared:
    place: str
    key: AssetKey
    attributes: Attributes


@dataclass
class _Stated:
    """A flow whose ends are still texts, or keys where they are what the document just declared."""

    place: str
    source: AssetKey | str
    target: AssetKey | str
    kinds: Sequence[AssetKind]
    """What the text may name."""
    via: AssetKey | None = None
    target_kinds: Sequence[AssetKind] = ()


@dataclass
class _Reading:
    namespace: str | None
    problems: Problems
    declared: dict[AssetKey, _Declared] = field(default_factory=dict)
    stated: list[_Stated] = field(default_factory=list)
    names: dict[str, list[AssetKey]] = field(default_factory=dict)

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
                    key = self._part(dataset, path, column, inner, "type", "nullable")
                    self._flows(f"{inner}.derived_from", column, key, _DATA)
        for place, each in records(manifest, "feature_views"):
            view = self._asset(AssetKind.FEATURE_VIEW, each, place, "entities")
            self._flows(f"{place}.source", each, view, _DATA)
            for inner, feature in records(each, "features", place):
                if name := text(feature, "name"):
                    key = self._part(view, [name], feature, inner, "type", "definition")
                    self._flows(f"{inner}.derived_from", feature, key, (*_DATA, AssetKind.FEATURE))
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
                source, target = text(pair, "source"), text(pair, "target")
                if source and target:
                    self.stated.append(_Stated(inner, source, target, _DATA, job, _out_of(AssetKind.JOB)))
        for place, each in records(manifest, "deployments"):
            deployment = self._asset(AssetKind.DEPLOYMENT, each, place, "url", "features_from")
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

    def _version(self, record: dict[str, Json], place: str) -> None:
        model, version = text(record, "model"), text(record, "version")
        container = self._resolved(model, (AssetKind.MODEL,), f"{place}.model")
        signature = record.get("signature")
        if isinstance(signature, dict):
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
            self._add(_Declared(place, key, checked_attributes(_attributes(record, own), key)))
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
        for name in _short_forms(key):
            self.names.setdefault(name, []).append(key)

    def _flows(
        self,
        place: str,
        record: dict[str, Json],
        here: AssetKey | None,
        kinds: Sequence[AssetKind],
        outward: bool = False,
    ) -> None:
        for number, named in enumerate(listed(record.get(place.rpartition(".")[2]))):
            if isinstance(named, str) and here:
                at = f"{place}[{number}]"
                ends: tuple[AssetKey | str, AssetKey | str] = (here, named) if outward else (named, here)
                self.stated.append(_Stated(at, *ends, kinds, target_kinds=kinds))

    # Resolving, once all is declared

    def resolved(self) -> list[Flow]:
        flows: dict[Flow, None] = {}
        for each in self.stated:
            source = self._resolved(each.source, each.kinds, each.place)
            target = self._resolved(each.target, each.target_kinds, each.place)
            if source and target:
                with noting(self.problems, each.place):
                    flows[checked_flow(source, target, each.via)] = None
        return list(flows)

    def _resolved(self, given: AssetKey | str | None, kinds: Sequence[AssetKind], place: str) -> AssetKey | None:
        if given is None or isinstance(given, AssetKey):
            return given
        try:
            return self._key(given, kinds)
        except InvalidInput as error:
            self.problems.append(f"{place}: {error}")
            return None

    def _key(self, text: str, kinds: Sequence[AssetKind]) -> AssetKey:
        if text.partition(":")[0] in {kind.value for kind in AssetKind} and "/" in text:
            key = AssetKey.parse(text)
            if key.kind not in kinds:
                raise InvalidInput(f"{key} is a {key.kind}, where a {_either(kinds)} is needed", text)
            self._refuse_dangling(key)
            return key
        found = [key for key in self.names.get(text, ()) if key.kind in kinds]
        if not found and (part := self._undeclared_part(text, kinds)):
            return part
        if len(found) > 1:
            raise InvalidInput(f"{quoted(text)} may be {_either(map(str, found))}; write the key", text)
        if not found:
            known = [name for name, keys in self.names.items() if any(key.kind in kinds for key in keys)]
            what = f"no {_either(kinds)}" if len(kinds) <= 3 else "nothing"
            raise InvalidInput(
                f"{quoted(text)} is {what} that this document declares{near(text, known) or '.'}"
                " What others declare is named by its key, kind:namespace/name#part",
                text,
            )
        return found[0]

    def _undeclared_part(self, text: str, kinds: Sequence[AssetKind]) -> AssetKey | None:
        """A part that the document does not list, of a container that it declares without listing its parts."""
        for mark in ("#", "@", ":"):
            name, found, part = text.partition(mark)
            containers = {key for key in self.names.get(name, ()) if PART_OF.get(key.kind) in kinds} if found else ()
            if len(containers) == 1 and part:
                container = next(iter(containers))
                key = alias_key(container, part) if mark == "@" else container.part_key(*_path(container, part))
                self._refuse_dangling(key)
                return key
        return None

    def _refuse_dangling(self, key: AssetKey) -> None:
        if key in self.declared or key.container not in self.declared or key.is_alias:
            return
        siblings = [other for other in self.declared if other.container == key.container and not other.is_alias]
        if siblings:
            known = {str(other.part): other for other in siblings}
            raise InvalidInput(
                f"this document declares {key.container}, but not its {key.kind} {quoted(str(key.part))}"
                f"{near(str(key.part), known)}",
                key,
            )


def _attributes(record: dict[str, Json], own: Sequence[str]) -> dict[str, Json]:
    further = record.get("attributes")
    stated: dict[str, Json] = dict(further) if isinstance(further, dict) else {}
    for name in ("description", "owners", "tags", "tier", "environment", "source_link", "deprecated", *own):
        value = record.get(name)
        if value is not None:
            stated[name] = [each for each in value if each is not None] if isinstance(value, list) else value
    return stated


def _short_forms(key: AssetKey) -> list[str]:
    if key.is_alias:
        names = [f"{key.name}{key.part}"]
    elif key.kind is AssetKind.FEATURE:
        names = [f"{key.name}#{key.part}", f"{key.name}:{key.part}"]
    else:
        names = [f"{key.name}#{key.part}" if key.part else key.name]
    return [*names, *(f"{key.namespace}/{name}" for name in names)]


def _path(container: AssetKey, part: str) -> list[str]:
    return part.split(".") if container.kind is AssetKind.DATASET else [part]


def _into(kind: AssetKind) -> tuple[AssetKind, ...]:
    return tuple(source for source, target in FLOWS if target is kind)


def _out_of(kind: AssetKind) -> tuple[AssetKind, ...]:
    return tuple(target for source, target in FLOWS if source is kind)


def _either(words: Iterable[str]) -> str:
    return " or ".join(words)
