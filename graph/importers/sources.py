"""The sources of a repository: SQL, dbt and Feast, as documents → what they say, and where.

Each speaks for an origin of its own, the one that its format has, but for SQL, which names none: what SQL of a repository says is
the repository's, `sql:` and the origin of the manifest.
"""

import posixpath
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager

from graph.changes import Registration
from graph.errors import InvalidManifest
from graph.importers.dbt import read_dbt
from graph.importers.documents import Document, DocumentFormat, Place, Said
from graph.importers.feast_definitions.repository import read_feast_repository
from graph.importers.sql.document import read_sql
from graph.importers.told import Imported, Line
from graph.importers.values import record, text, texts
from graph.keys import AssetKind
from graph.model import Json, Subject

Tables = Mapping[str, Mapping[str, list[str]]]
"""Columns of tables, by namespace and name."""


def read_source(document: Document, tables: Tables) -> list[Said]:
    """`tables`: what is known of them besides. Raises InvalidManifest, whose lines begin with the path of a document."""
    imported = _READERS[document.format](document, tables)
    missing = document.options.get("missing")
    whole = Place(document.path, str(document.options.get("at") or ""))
    lines = imported.lines
    said = []
    for registration in (imported.registration, *imported.further):
        subjects: list[Subject] = [
            *(each.key for each in registration.assets),
            *(each.flow for each in registration.flows),
        ]
        places = {each: _place(lines[each]) if each in lines else whole for each in subjects}
        unread = dict(imported.unread) if registration is imported.registration else {}
        if isinstance(missing, str):
            unread |= {each.key: missing for each in registration.assets}
        said.append(Said(registration, places, unread))
    return said


def tables_of(registrations: Iterable[Registration]) -> dict[str, dict[str, list[str]]]:
    """The columns that manifests declare."""
    found: dict[str, dict[str, list[str]]] = {}
    for registration in registrations:
        for each in registration.assets:
            key = each.key
            if key.kind is AssetKind.COLUMN and key.path and len(key.path) == 1:
                found.setdefault(key.namespace, {}).setdefault(key.name, []).append(key.path[0])
    return found


@contextmanager
def _placing(path: str, at: str) -> Iterator[None]:
    try:
        yield
    except InvalidManifest as error:
        dot = f"{at}." if at else ""
        raise InvalidManifest([f"{path}: {dot}{line}" for line in error.problems]) from error


def _place(line: Line) -> Place:
    return Place(line.path, "", line.number)


# Each format


def _sql(document: Document, tables: Tables) -> Imported:
    options, content = document.options, record(document.content)
    is_bigquery = str(options.get("dialect")).lower() == "bigquery"
    namespace = _namespace(options) if text(options, "namespace") or not is_bigquery else "bigquery"
    given: dict[str, Json] = {
        **{name: [*columns] for name, columns in tables.get(namespace or "", {}).items()},
        **_record(content, "tables"),
    }
    read: dict[str, Json] = {"files": content.get("files"), "tables": {**given}}
    read |= {name: options[name] for name in ("dialect", "database", "schema") if name in options}
    origin = text(options, "origin")
    if origin is None:
        manifest = _record(options, "manifest")
        owner = text(manifest, "origin") or text(manifest, "namespace") or namespace or ""
        origin = f"sql:{owner.removeprefix('manifest:')}"
    with _placing(document.path, text(options, "at") or ""):
        return read_sql(read, origin, namespace)


def _dbt(document: Document, _: Tables) -> Imported:
    options = document.options
    files = texts(options.get("files"))
    manifest = next((each for each in files if posixpath.basename(each) != "catalog.json"), document.path)
    folder = posixpath.dirname(manifest)
    project = posixpath.dirname(folder) if posixpath.basename(folder) == "target" else folder
    with _placing(manifest, ""):
        content = record(document.content)
        adapter = _record(_record(content, "manifest"), "metadata").get("adapter_type")
        namespace = _namespace(options) if adapter != "bigquery" else text(options, "namespace")
        read = read_dbt(content, text(options, "origin"), namespace)
    lines = {each: Line(posixpath.join(project, line.path), line.number) for each, line in read.lines.items()}
    return read._replace(lines=lines)


def _feast(document: Document, _: Tables) -> Imported:
    options = document.options
    with _placing(document.path, text(options, "at") or ""):
        return read_feast_repository(document.content, text(options, "origin"), _namespace(options))


_READERS: Mapping[DocumentFormat, Callable[[Document, Tables], Imported]] = {
    DocumentFormat.SQL: _sql,
    DocumentFormat.DBT: _dbt,
    DocumentFormat.FEAST: _feast,
}


def _namespace(options: Mapping[str, Json]) -> str | None:
    return text(options, "namespace") or text(_record(options, "manifest"), "namespace")


def _record(of: Mapping[str, Json], name: str) -> dict[str, Json]:
    return record(of.get(name))
