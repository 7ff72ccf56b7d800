"""One version of a repository, as the documents in it that say what it holds → what their origins say.

A document is a headwater.yaml, or a file that one names: SQL, a dbt manifest, a Feast repository, a schema. Reading goes on
after what is wrong, so that one reading names all of it, each with the document and the place in it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from graph.changes import AssetStatement, FlowStatement, Registration
from graph.errors import InvalidManifest
from graph.importers.manifest import Manifest, read_manifest
from graph.keys import AssetKey
from graph.model import Basis, Json, Subject


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
    read: list[tuple[Document, Manifest]] = []
    problems: list[str] = []
    for document in documents:
        try:
            read.append((document, read_manifest(document.content)))
        except InvalidManifest as error:
            problems += [f"{document.path}: {line}" for line in error.problems]
    together = Together(problems)
    for document, manifest in read:
        together.add(document.path, manifest.registration, manifest.places)
    if problems:
        raise InvalidManifest(problems)
    return Project(together.registrations(), together.places)


@dataclass
class Together:
    """What several documents say, as one registration an origin."""

    problems: list[str]
    places: dict[Subject, Place] = field(default_factory=dict)
    _said: dict[str, tuple[Basis, dict[Subject, AssetStatement | FlowStatement]]] = field(default_factory=dict)

    def add(self, document: str, said: Registration, places: Mapping[Subject, str]) -> None:
        """What another document of the same origin says, too, is a problem, unless it is a flow said alike."""
        basis, known = self._said.setdefault(said.origin, (said.basis, {}))
        if basis is not said.basis:
            self.problems.append(
                f"{document}: origin: {said.origin} knows it as {basis} elsewhere, not as {said.basis}"
            )
        for asset in said.assets:
            self._add(document, asset.key, asset, known, places)
        for flow in said.flows:
            if known.get(flow.flow) != flow:
                self._add(document, flow.flow, flow, known, places)

    def registrations(self) -> tuple[Registration, ...]:
        return tuple(
            Registration(
                origin,
                basis,
                assets=tuple(each for each in known.values() if isinstance(each, AssetStatement)),
                flows=tuple(each for each in known.values() if isinstance(each, FlowStatement)),
                complete=True,
            )
            for origin, (basis, known) in sorted(self._said.items())
        )

    def _add(
        self,
        document: str,
        subject: Subject,
        statement: AssetStatement | FlowStatement,
        known: dict[Subject, AssetStatement | FlowStatement],
        places: Mapping[Subject, str],
    ) -> None:
        at = places.get(subject, "")
        if subject in known:
            first = self.places[subject]
            where = f"{first.document}, {first.at}" if first.at else first.document
            self.problems.append(f"{document}: {at}: {subject} is declared twice under one origin; first in {where}")
            return
        known[subject] = statement
        self.places.setdefault(subject, Place(document, at))
