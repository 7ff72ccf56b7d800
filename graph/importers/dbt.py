"""dbt: {"manifest": manifest.json, "catalog"?: catalog.json}, as `dbt docs generate` writes both → all that a project says.

* What has a relation (models, seeds, snapshots, sources) is a dataset, named as OpenLineage's dbt integration names it:
  `database.schema.table`. Its namespace is the warehouse's address, which stands in no manifest but that of BigQuery. A
  seed and a source that are one table are one dataset.
* Ephemeral models, semantic models, metrics, saved queries and functions are datasets too: data flows through them.
* Exposures are consumers; analyses and hooks are jobs, since they read and are not read.
* Tests say nothing about where data flows, and are left out.

Flows are those of `parent_map`. Which column comes from which is read from the compiled SQL (see `dbt_columns`).
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import md5

from graph.attributes import checked_attributes
from graph.changes import AssetStatement, FlowStatement, Registration, checked_origin
from graph.errors import InvalidInput, InvalidManifest, quoted
from graph.importers.dbt_columns import DIALECTS, Compiled, columns_of
from graph.importers.labels import definition
from graph.importers.shapes import Anything, Field, Many, Mapped, Problems, Record, Text, noting
from graph.importers.told import Imported, Line
from graph.importers.values import listed, record, text, texts
from graph.keys import AssetKey, AssetKind
from graph.model import Basis, Flow, Json, Subject, checked_flow
from graph.time import Instant, parse_instant

OLDEST, NEWEST = 1, 12
"""Versions of the manifest's schema: dbt 0.19 to 1.12."""


def read_dbt(document: object, origin: str | None = None, namespace: str | None = None) -> Imported:
    """What the project says; and beside it, under an origin of its own, what its compiled SQL says of columns: that never narrows
    what dbt says.

    `origin` absent: `dbt:` and the project; `namespace`, of the relations, absent: the origin, but for BigQuery.
    Raises InvalidManifest, which names every place that is wrong.
    """
    problems: Problems = []
    read = record(_DOCUMENT.read(document, "", problems))
    if problems:
        raise InvalidManifest(problems)
    manifest, catalog = record(read.get("manifest")), record(read.get("catalog"))
    metadata = record(manifest.get("metadata"))
    _refuse_unknown_version(metadata)
    project = _project(metadata, manifest)
    if project is None and origin is None:
        raise InvalidManifest(["manifest.metadata.project_name: missing, and no package has its id; name an origin"])
    own = checked_origin(f"dbt:{project}" if project is not None else str(origin))
    origin = own if origin is None else checked_origin(origin)
    adapter = text(metadata, "adapter_type")
    if namespace is None:
        namespace = "bigquery" if adapter == "bigquery" else origin
    reading = _Reading(own, namespace, adapter, record(manifest.get("groups")), problems)
    for section in _SECTIONS:
        for unique_id, node in sorted(_named_records(manifest, section), key=_tables_first):
            if text(node, "resource_type") not in _TESTS:
                columns = _catalogued(catalog, section, unique_id)
                reading.take(f"manifest.{section}.{unique_id}", unique_id, node, columns)
            else:
                reading.left_out.add(unique_id)
    reading.left_out.update(record(manifest.get("unit_tests")), record(manifest.get("disabled")))
    flows = reading.flows(record(manifest.get("parent_map")))
    taken = _generated_at(metadata, problems)
    if problems:
        raise InvalidManifest(problems)
    project_says = Registration(
        origin=origin,
        basis=Basis.IMPORTED,
        assets=tuple(AssetStatement(key, attributes) for key, attributes in reading.said.items()),
        flows=tuple(FlowStatement(flow) for flow in flows),
        complete=True,
        taken=taken,
    )
    models = [
        Compiled(
            place=text(node, "original_file_path") or unique_id,
            sql=text(node, "compiled_code") or text(node, "compiled_sql"),
            key=reading.keys[unique_id],
            relation=(text(node, "database"), text(node, "schema"), _table(node)),
            columns=[*_columns(node, columns := _catalogued(catalog, section, unique_id))],
            is_catalogued=bool(columns),
        )
        for section in ("sources", "nodes")
        for unique_id, node in sorted(_named_records(manifest, section))
        if text(node, "resource_type") in _RELATIONS and not _is_ephemeral(node) and unique_id in reading.keys
    ]
    return Imported(project_says, further=(columns_of(models, adapter, f"{origin}#sql"),), lines=reading.lines)


# What is read of a manifest and a catalog; what else they hold is let be

_TEXTS = Many(Text(), or_one=True)
_OWNER = Record(
    "owner",
    "Who answers for a group or an exposure.",
    {"name": Field(Text(), "The name."), "email": Field(_TEXTS, "Mail addresses.")},
    is_open=True,
)
_COLUMN = Record(
    "column",
    "A column, as people documented it.",
    {
        "name": Field(Text(), "Its name.", required=True),
        "description": Field(Text(), "What it is."),
        "data_type": Field(Text(), "Its type."),
        "tags": Field(_TEXTS, "Its tags."),
        "constraints": Field(
            Many(Record("constraint", "A promise.", {"type": Field(Text(), "Which.")}, is_open=True)), "Promises."
        ),
    },
    is_open=True,
)
_CONFIG = Record(
    "config",
    "How a node is built.",
    {"materialized": Field(Text(), "As what."), "meta": Field(Mapped(Anything()), "Further facts.")},
    is_open=True,
)
_NODE = Record(
    "node",
    "A node of dbt's graph.",
    {
        "resource_type": Field(Text(), "Its kind.", required=True),
        "name": Field(Text(), "Its name.", required=True),
        "package_name": Field(Text(), "The package it is written in."),
        "database": Field(Text(), "The database of its relation."),
        "schema": Field(Text(), "The schema of its relation."),
        "alias": Field(Text(), "The table of its relation."),
        "identifier": Field(Text(), "The table of a source."),
        "description": Field(Text(), "What it is."),
        "tags": Field(_TEXTS, "Its tags."),
        "meta": Field(Mapped(Anything()), "Further facts."),
        "group": Field(Text(), "The group that owns it."),
        "owner": Field(_OWNER, "Who answers for it."),
        "config": Field(_CONFIG, "How it is built."),
        "columns": Field(Mapped(_COLUMN), "Its columns."),
        "type": Field(Text(), "What an exposure is."),
        "url": Field(Text(), "Where an exposure is."),
        "maturity": Field(Text(), "How much an exposure is relied upon."),
        "original_file_path": Field(Text(), "Where it is written."),
        "raw_code": Field(Text(), "Its SQL or Python."),
        "raw_sql": Field(Text(), "Its SQL, until version 6."),
        "compiled_code": Field(Text(), "Its SQL, as the warehouse gets it."),
        "language": Field(Text(), "sql or python."),
        "compiled_sql": Field(Text(), "The same, until version 6."),
    },
    is_open=True,
)
_SECTIONS = ("sources", "nodes", "functions", "semantic_models", "metrics", "saved_queries", "exposures")
"""Sources first: where a node builds what a source names, the node's word counts."""
_METADATA = Record(
    "metadata",
    "What made it.",
    {
        "dbt_schema_version": Field(Text(), "The address of its schema.", required=True),
        "adapter_type": Field(Text(), "The kind of warehouse."),
        "project_name": Field(Text(), "The project, since version 10."),
        "project_id": Field(Text(), "The MD5 of the project's name."),
        "generated_at": Field(Text(), "When it was made."),
    },
    is_open=True,
)
_GROUP = Record("group", "A team.", {"owner": Field(_OWNER, "Who they are.")}, is_open=True)
_MANIFEST = Record(
    "manifest",
    "manifest.json",
    {
        "metadata": Field(_METADATA, "What made it.", required=True),
        "parent_map": Field(Mapped(Many(Text())), "Of each node what it reads.", required=True),
        "nodes": Field(Mapped(_NODE), "Models, seeds, snapshots, tests.", required=True),
        **{name: Field(Mapped(_NODE), name) for name in _SECTIONS if name != "nodes"},
        "unit_tests": Field(Mapped(Anything()), "Tests of models."),
        "disabled": Field(Anything(), "What is switched off, by id; a list until version 3."),
        "groups": Field(Mapped(_GROUP), "Teams."),
    },
    is_open=True,
)
_CATALOGUED = Record(
    "catalogued",
    "A relation, as the warehouse has it.",
    {
        "columns": Field(
            Mapped(
                Record(
                    "catalogued_column",
                    "A column, as the warehouse has it.",
                    {"name": Field(Text(), "Its name.", required=True), "type": Field(Text(), "Its type.")},
                    is_open=True,
                )
            ),
            "Its columns.",
        )
    },
    is_open=True,
)
_CATALOG = Record(
    "catalog",
    "catalog.json",
    {"nodes": Field(Mapped(_CATALOGUED), "What was built."), "sources": Field(Mapped(_CATALOGUED), "What was there.")},
    is_open=True,
)
_DOCUMENT = Record(
    "dbt",
    "What `dbt docs generate` writes.",
    {
        "manifest": Field(_MANIFEST, "The content of manifest.json.", required=True),
        "catalog": Field(_CATALOG, "The content of catalog.json."),
    },
)


# What it says

_TESTS = frozenset({"test", "unit_test"})
_RELATIONS = frozenset({"model", "seed", "snapshot", "source"})
_KINDS = {"exposure": AssetKind.CONSUMER, "analysis": AssetKind.JOB, "operation": AssetKind.JOB}
"""What is no dataset."""
_CONSUMER_TYPES = frozenset({"dashboard", "notebook", "application"})
"""The types of exposures that consumers have, too; the others are kept as `exposure_type` alone."""


@dataclass
class _Reading:
    project: str
    """The namespace of what has no relation."""
    namespace: str
    """That of relations."""
    adapter: str | None
    groups: dict[str, Json]
    problems: Problems
    said: dict[AssetKey, dict[str, Json]] = field(default_factory=dict)
    keys: dict[str, AssetKey] = field(default_factory=dict)
    """By dbt's unique id."""
    left_out: set[str] = field(default_factory=set)
    lines: dict[Subject, Line] = field(default_factory=dict)
    """In files of the project."""

    def take(self, place: str, unique_id: str, node: dict[str, Json], catalogued: dict[str, Json]) -> None:
        try:
            key = self._key(unique_id, node)
            self._say(key, self._attributes(unique_id, node))
            self.keys[unique_id] = key
        except InvalidInput as error:
            self.problems.append(f"{place}: {error}")
            return
        if file := text(node, "original_file_path"):
            self.lines[key] = Line(file, 1 if file.endswith((".sql", ".py")) else None)
        for name, attributes in _columns(node, catalogued).items():
            with noting(self.problems, f"{place}.columns.{name}"):
                # A dot in a column's name is a step into a record there, and stands in no name.
                path = name.split(".") if self.adapter == "bigquery" else [name]
                self._say(key.part_key(*path), attributes)

    def flows(self, parent_map: dict[str, Json]) -> dict[Flow, None]:
        flows: dict[Flow, None] = {}
        for unique_id, parents in parent_map.items():
            for number, parent in enumerate(listed(parents)):
                with noting(self.problems, f"manifest.parent_map.{unique_id}[{number}]"):
                    target = self._known(unique_id)
                    source = target and self._known(str(parent))
                    if source and target and source != target:  # a model may read the table it builds as a source
                        flows[checked_flow(source, target)] = None
        return flows

    def _known(self, unique_id: str) -> AssetKey | None:
        """None for what is left out."""
        key = self.keys.get(unique_id)
        if key is None and unique_id not in self.left_out:
            raise InvalidInput(f"{quoted(unique_id)} is no node of this manifest", unique_id)
        return key

    def _key(self, unique_id: str, node: dict[str, Json]) -> AssetKey:
        kind = text(node, "resource_type") or ""
        if kind in _RELATIONS:
            name = ".".join(part for part in (text(node, "database"), text(node, "schema"), _table(node)) if part)
            key = AssetKey.of(AssetKind.DATASET, self.namespace, name)
            # dbt lets an ephemeral model share the name of a table: it is none itself.
            if key not in self.said or not _is_ephemeral(node):
                return key
        name = unique_id.removeprefix("exposure.")
        return AssetKey.of(_KINDS.get(kind, AssetKind.DATASET), self.project, name)

    def _attributes(self, unique_id: str, node: dict[str, Json]) -> dict[str, Json]:
        kind, type_ = text(node, "resource_type"), text(node, "type")
        owners = [*self._owners(node)]
        return {
            "dbt_nodes": [unique_id],
            "dbt_type": kind,
            "description": text(node, "description") or None,
            "tags": _tags(node),
            "owners": owners or None,
            "materialized": text(record(node.get("config")), "materialized") if kind in _RELATIONS else None,
            "definition": self._definition(node),
            "file": text(node, "original_file_path"),
            "url": text(node, "url"),
            "maturity": text(node, "maturity"),
            "exposure_type": type_ if kind == "exposure" else None,
            "consumer_type": type_ if kind == "exposure" and type_ in _CONSUMER_TYPES else None,
        }

    def _definition(self, node: dict[str, Json]) -> Json:
        """As the warehouse gets it, where it was compiled: a change of a macro is one of all that use it."""
        compiled = definition(text(node, "compiled_code") or text(node, "compiled_sql"))
        dialect = DIALECTS.get(self.adapter or "")
        if compiled is None or dialect is None or text(node, "language") not in {None, "sql"}:
            return definition(text(node, "raw_code") or text(node, "raw_sql"))
        return {"sql": compiled, "dialect": dialect}

    def _owners(self, node: dict[str, Json]) -> Iterator[Json]:
        """`owner` of an exposure, of the group, and in `meta`, where it is a name, {name, email}, or several."""
        group = record(self.groups.get(f"group.{text(node, 'package_name')}.{text(node, 'group')}"))
        meta = record(node.get("meta")).get("owner") or record(record(node.get("config")).get("meta")).get("owner")
        for owner in (node.get("owner"), group.get("owner"), *(meta if isinstance(meta, list) else [meta])):
            if isinstance(owner, str) and owner:
                yield {"name": owner}
            elif isinstance(owner, dict):
                emails = owner.get("email")
                contact = ", ".join(map(str, emails if isinstance(emails, list) else [emails])) if emails else None
                if name := text(owner, "name") or contact:
                    yield {"name": name, **({"contact": contact} if contact else {})}

    def _say(self, key: AssetKey, attributes: dict[str, Json]) -> None:
        """Adds to what other nodes of the same relation said."""
        checked = {name: value for name, value in checked_attributes(attributes, key).items() if value is not None}
        before = self.said.get(key, {})
        nodes = [*texts(before.get("dbt_nodes")), *texts(checked.get("dbt_nodes"))]
        self.said[key] = {**before, **checked, **({"dbt_nodes": [*nodes]} if nodes else {})}


def _table(node: dict[str, Json]) -> str | None:
    return text(node, "alias") or text(node, "identifier") or text(node, "name")


def _tables_first(named: tuple[str, dict[str, Json]]) -> tuple[bool, str]:
    unique_id, node = named
    return _is_ephemeral(node), unique_id


def _is_ephemeral(node: dict[str, Json]) -> bool:
    return record(node.get("config")).get("materialized") == "ephemeral"


def _columns(node: dict[str, Json], catalogued: dict[str, Json]) -> dict[str, dict[str, Json]]:
    """By name, as the warehouse spells it where there is a catalog; those that are only documented come last."""
    documented = {name.casefold(): column for name, column in _each(record(node.get("columns")).values())}
    columns: dict[str, dict[str, Json]] = {}
    for name, found in _each(catalogued.values()):
        columns[name] = _column(documented.pop(name.casefold(), {}), text(found, "type"))
    for column in documented.values():
        columns[str(column["name"])] = _column(column, None)
    return columns


def _catalogued(catalog: dict[str, Json], section: str, unique_id: str) -> dict[str, Json]:
    """Its columns, as the warehouse has them."""
    return record(record(record(catalog.get(section)).get(unique_id)).get("columns"))


def _column(documented: dict[str, Json], type_: str | None) -> dict[str, Json]:
    never_null = {"type": "not_null"} in listed(documented.get("constraints"))
    return {
        "description": text(documented, "description") or None,
        "type": type_ or text(documented, "data_type"),
        "tags": _tags(documented),
        "nullable": False if never_null else None,
    }


def _each(columns: Iterable[Json]) -> Iterator[tuple[str, dict[str, Json]]]:
    for column in columns:
        if isinstance(column, dict):
            yield str(column["name"]), column


def _tags(of: dict[str, Json]) -> Json:
    return [tag for tag in texts(of.get("tags")) if tag] or None


def _refuse_unknown_version(metadata: dict[str, Json]) -> None:
    given = text(metadata, "dbt_schema_version") or ""
    version = re.fullmatch(r".*/manifest/v(\d{1,3})\.json", given)
    if version is None or not OLDEST <= int(version[1]) <= NEWEST:
        raise InvalidManifest(
            [
                f"manifest.metadata.dbt_schema_version: {quoted(given)} is not the schema of a manifest of version"
                f" {OLDEST} to {NEWEST}"
            ]
        )


def _generated_at(metadata: dict[str, Json], problems: Problems) -> Instant | None:
    given = text(metadata, "generated_at")
    try:
        return None if given is None else parse_instant(given)
    except InvalidInput as error:
        problems.append(f"manifest.metadata.generated_at: {error}")
        return None


def _project(metadata: dict[str, Json], manifest: dict[str, Json]) -> str | None:
    """Older manifests tell the MD5 of the project's name alone, which is that of one of its packages."""
    if name := text(metadata, "project_name"):
        return name
    for _, node in _named_records(manifest, "nodes"):
        package = text(node, "package_name") or ""
        if md5(package.encode(), usedforsecurity=False).hexdigest() == metadata.get("project_id"):
            return package
    return None


def _named_records(of: Mapping[str, Json], name: str) -> Iterator[tuple[str, dict[str, Json]]]:
    for key, inner in record(of.get(name)).items():
        if isinstance(inner, dict):
            yield key, inner
