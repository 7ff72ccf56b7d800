"""The documents of a repository that say what it holds, and where in them something is said."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from graph.changes import Registration
from graph.keys import AssetKey
from graph.model import Json, Subject


class DocumentFormat(StrEnum):
    MANIFEST = "MANIFEST"
    """A parsed headwater.yaml."""
    SQL = "SQL"
    """{files: [{path, text}], tables?: {table: columns}}, of one entry of `sources`; its other fields are the options."""
    DBT = "DBT"
    """{manifest, catalog?}, parsed."""
    FEAST = "FEAST"
    """{files: [{path, text}], folder, store}: Python definitions, and the parsed feature_store.yaml of the folder."""
    FILE = "FILE"
    """The text of a file that manifests, or files that they name, refer to."""


@dataclass(frozen=True, slots=True)
class Document:
    path: str
    """Within the repository, with slashes; of a source, that of the manifest that names it."""
    format: DocumentFormat
    content: Json
    options: Mapping[str, Json] = field(default_factory=dict)
    """Of a source: `at`, its place in the manifest; `files`, their paths; `manifest`, {namespace?, origin?} of it; `missing`, why
    what stands here is that of another version; and dialect, namespace, database, schema, origin, as the manifest has them."""


class Place(NamedTuple):
    """Where something is said."""

    document: str
    """Its path."""
    at: str
    """As `datasets[0].columns[1]`; empty for all of it, and in texts."""
    line: int | None = None
    """In texts: from 1."""


class Said(NamedTuple):
    """What a document says as one origin."""

    registration: Registration
    places: Mapping[Subject, Place]
    unread: Mapping[AssetKey, str]
