"""One version of a repository, as the documents in it that say what it holds → what their origins say.

A document is a headwater.yaml, or a file that one names: SQL, a dbt manifest, a Feast repository, a schema. Reading goes on
after what is wrong, so that one reading names all of it, each with the document and the place in it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from graph.changes import Registration
from graph.errors import InvalidManifest
from graph.importers.manifest import read_manifest
from graph.keys import AssetKey
from graph.model import Json, Subject


class DocumentFormat(StrEnum):
    MANIFEST = "MANIFEST"
    """A parsed headwater.yaml."""


@dataclass(frozen=True, slots=True)
class Document:
    path: str
    """Within the repository, with slashes."""
    format: DocumentFormat
    content: Json
    options: Mapping[str, Json] = field(default_factory=dict)


class Place(NamedTuple):
    """Where something is said."""

    document: str
    """Its path."""
    at: str
    """As `datasets[0].columns[1]`; empty for all of it, and in texts."""
    line: int | None = None
    """In texts: from 1."""


@dataclass(frozen=True)
class Project:
    registrations: tuple[Registration, ...] = ()
    """One an origin, each complete, in the order of the origins."""
    places: Mapping[Subject, Place] = field(default_factory=dict)
    unread: Mapping[AssetKey, str] = field(default_factory=dict)
    """Assets whose definition is there and was not understood, with the reason: what they read may be more than is told."""


def read_project(documents: Sequence[Document]) -> Project:
    """Raises InvalidManifest, whose lines begin with the path of a document: `data/headwater.yaml: datasets[0].name: …`."""
    registrations: list[Registration] = []
    problems: list[str] = []
    for document in documents:
        try:
            registrations.append(read_manifest(document.content))
        except InvalidManifest as error:
            problems += [f"{document.path}: {line}" for line in error.problems]
    if problems:
        raise InvalidManifest(problems)
    return Project(tuple(sorted(registrations, key=lambda each: each.origin)))
