"""One version of a repository, as the documents in it that say what it holds → what their origins say.

A document is a headwater.yaml, or a file that one names: SQL, a dbt manifest, a Feast repository, a schema. Reading goes on
after what is wrong, so that one reading names all of it, each with the document and the place in it.
"""

import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from graph.changes import AssetStatement, FlowStatement, Registration
from graph.errors import InvalidManifest
from graph.importers.definitions import inferred
from graph.importers.documents import Document, DocumentFormat, Place, Said
from graph.importers.manifest import Manifest, read_manifest
from graph.importers.references import Files
from graph.importers.sources import read_source, tables_of
from graph.keys import AssetKey
from graph.model import Basis, Subject
from graph.time import Instant

__all__ = ["Document", "DocumentFormat", "Place", "Project", "read_project"]


@dataclass(frozen=True)
class Project:
    registrations: tuple[Registration, ...] = ()
    """One an origin, each complete, in the order of the origins."""
    places: Mapping[Subject, Place] = field(default_factory=dict)
    unread: Mapping[AssetKey, str] = field(default_factory=dict)
    """Assets whose definition is there and was not understood, with the reason: what they read may be more than is told."""
    files: Mapping[AssetKey, Mapping[str, str]] = field(default_factory=dict)
    """Which file says an attribute of an asset, where that is another than the document that names it."""
    texts: Mapping[str, str] = field(default_factory=dict)
    """Of the documents that are texts, by path."""


def read_project(documents: Sequence[Document]) -> Project:
    """Raises InvalidManifest, whose lines begin with the path of a document: `data/headwater.yaml: datasets[0].name: …`."""
    texts = {each.path: each.content for each in documents if each.format is DocumentFormat.FILE}
    files = {path: content for path, content in texts.items() if isinstance(content, str)}
    problems = [f"{path}: is not the text of a file" for path in texts.keys() - files.keys()]
    manifests: list[tuple[str, Manifest]] = []
    said_by: dict[AssetKey, dict[str, str]] = {}
    for document in documents:
        if document.format is DocumentFormat.MANIFEST:
            try:
                named = Files(files, posixpath.dirname(document.path))
                manifests.append((document.path, read_manifest(document.content, named)))
                said_by |= named.named
            except InvalidManifest as error:
                problems += [f"{document.path}: {line}" for line in error.problems]
    together = Together(problems)
    for path, manifest in manifests:
        together.add(_said(path, manifest))
    tables = tables_of(manifest.registration for _, manifest in manifests)
    for path, manifest in manifests:
        together.add(inferred(path, manifest, tables))
    for document in documents:
        if document.format not in {DocumentFormat.MANIFEST, DocumentFormat.FILE}:
            try:
                for said in read_source(document, tables):
                    together.add(said)
            except InvalidManifest as error:
                problems += error.problems
    if problems:
        raise InvalidManifest(problems)
    told = {each.path: each.content for each in documents if isinstance(each.content, str)}
    return replace(together.project(), files=said_by, texts=told)


def _said(path: str, manifest: Manifest) -> Said:
    return Said(manifest.registration, {each: Place(path, at) for each, at in manifest.places.items()}, {})


@dataclass
class _Origin:
    basis: Basis
    stubs: bool
    taken: Instant | None
    said: dict[Subject, AssetStatement | FlowStatement] = field(default_factory=dict)


@dataclass
class Together:
    """What several documents say, as one registration an origin."""

    problems: list[str]
    places: dict[Subject, Place] = field(default_factory=dict)
    unread: dict[AssetKey, str] = field(default_factory=dict)
    _origins: dict[str, _Origin] = field(default_factory=dict)

    def add(self, said: Said) -> None:
        """What another document of the same origin says, too, is a problem, unless both say the same."""
        given = said.registration
        known = self._origins.setdefault(given.origin, _Origin(given.basis, given.stubs, given.taken))
        if known.basis is not given.basis:
            document = next((place.document for place in said.places.values()), "")
            self.problems.append(
                f"{document}: origin: {given.origin} knows it as {known.basis} elsewhere, not as {given.basis}"
            )
        for asset in given.assets:
            if given.basis is Basis.DECLARED or known.said.get(asset.key) != asset:
                self._add(asset.key, asset, known, said.places[asset.key])
        for flow in given.flows:
            if known.said.get(flow.flow) != flow:
                self._add(flow.flow, flow, known, said.places[flow.flow])
        self.unread |= said.unread

    def project(self) -> Project:
        registrations = tuple(
            Registration(
                origin,
                known.basis,
                assets=tuple(each for each in known.said.values() if isinstance(each, AssetStatement)),
                flows=tuple(each for each in known.said.values() if isinstance(each, FlowStatement)),
                complete=True,
                stubs=known.stubs,
                taken=known.taken,
            )
            for origin, known in sorted(self._origins.items())
        )
        return Project(registrations, self.places, self.unread)

    def _add(self, subject: Subject, statement: AssetStatement | FlowStatement, known: _Origin, place: Place) -> None:
        if subject in known.said:
            self.problems.append(
                f"{_shown(place, ': ')}: {subject} is declared twice under one origin; first in {_shown(self.places[subject], ', ')}"
            )
            return
        known.said[subject] = statement
        self.places.setdefault(subject, place)


def _shown(place: Place, between: str) -> str:
    path = place.document if place.line is None else f"{place.document}:{place.line}"
    return f"{path}{between}{place.at}" if place.at else path
