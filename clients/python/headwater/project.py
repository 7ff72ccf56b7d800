"""What a repository says it holds: its manifests, and the files that they name, as documents that the service reads.

    headwater.yaml                 any number, in any folder, also as prices.headwater.yaml
      sources: [{format: sql, files: ["models/**/*.sql"], …}]
      … definition: {file: features.py, function: f}

Paths in a manifest are relative to it, and stay in the repository. What the documents mean is the service's to say.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from headwater import manifests
from headwater.errors import DocumentUnreadable, HeadwaterError, ManifestUnreadable, PartlyUnreadable
from headwater.named import (
    FEAST_STORE,
    FOLLOWED,
    NAME,
    file_references,
    is_file_of,
    is_manifest,
    is_pattern,
    joined,
    matcher,
)
from headwater.repository import Base, Blobs, Committed, Tree, Working, text_of, top_of, within

Json = dict[str, Any]
MAXFOLLOWED = 500
"""Files that one manifest leads to by imports and `$ref`s of the files it names."""


@dataclass(frozen=True)
class Version:
    """One version of a repository."""

    documents: list[Json]
    """As `DocumentInput`, in the order of their paths."""
    texts: Mapping[str, str]
    """Of the manifests among them, by path: where in a text a place stands is told from it."""
    label: str = ""
    """For messages: ` at main (0123abcdef)`, or nothing for the working tree."""


@dataclass(frozen=True)
class Compared:
    """Two versions, each with the documents that differ in the other, and those that are needed to read them."""

    base: Version
    head: Version
    told: str
    """For people: which manifests."""


def here(folder: Path, files: Sequence[Path] = ()) -> Version:
    """All of the working tree, in a repository or not. `files`: these manifests alone.

    Raises HeadwaterError, with a line for each file that cannot be used: PartlyUnreadable where the others can.
    """
    top = top_of(folder) or folder.resolve()
    only = _only(top, files)
    side = _Side(Working(top), only)
    if only is not None:
        for path in only:
            if not side.tree.has(path):
                raise DocumentUnreadable(f"there is no {path}")
    units = [side.unit(path) for path in side.manifests]
    side.refuse_absent()
    problems, side.problems = list(dict.fromkeys(side.problems)), []
    try:
        version = side.version(_Kept(unit, True, unit.sources) for unit in units if unit is not None)
    except ManifestUnreadable as error:
        raise ManifestUnreadable("\n".join([*problems, str(error)])) from error
    if problems:
        raise PartlyUnreadable(problems, version.documents, version.texts)
    return version


def compared(folder: Path, base: Base, files: Sequence[Path] = (), base_folder: Path | None = None) -> Compared:
    """What differs between `base` and the working tree.

    `files`: these manifests alone. `base_folder` holds files as they were at the base which git does not keep, as
    `target/manifest.json`, under the paths they have in the repository.
    Raises HeadwaterError, with a line for each file that cannot be used.
    """
    top = top_of(folder)
    assert top is not None  # it has a base
    only = _only(top, files)
    with Blobs(top) as blobs:
        commit = Committed(top, base, blobs)
        working = Working(top, commit)
        commit.fetch(path for path in commit.paths if is_manifest(path) and (only is None or path in only))
        before = _Side(commit, only, beside=Working(base_folder.resolve()) if base_folder else None)
        after = _Side(working, only)
        if only is not None:
            for path in only:
                if not commit.has(path) and not working.has(path):
                    raise DocumentUnreadable(f"there is no {path}, neither here nor at {base}")
        kept = _Differing(before, after).kept()
        before.refuse_problems(after.problems)
        if not before.manifests and not after.manifests:
            raise DocumentUnreadable(f"there is no {NAME} in {top}, neither here nor at {base}")
        return Compared(
            before.version(one for one, _ in kept if one is not None),
            after.version(one for _, one in kept if one is not None),
            after.manifests[0] if len(after.manifests) == 1 else f"{len(after.manifests)} manifests",
        )


def _only(top: Path, files: Sequence[Path]) -> list[str] | None:
    return sorted({within(top, file) for file in files}) or None


# One manifest, with what it leads to


@dataclass
class _Source:
    """What one entry of `sources` leads to."""

    place: str
    entry: Json
    files: list[str]
    tables: str | None = None
    """Its file of columns."""
    absent: list[str] = field(default_factory=list)
    """Files that are named, without a pattern, and not there."""

    @property
    def format(self) -> str:
        return str(self.entry["format"])

    def all_files(self) -> list[str]:
        return [*self.files, *([self.tables] if self.tables else [])]


@dataclass
class _Unit:
    """A manifest, with what it leads to."""

    path: str
    text: str
    content: Json
    files: list[str]
    """That it refers to, and those that these refer to."""
    sources: list[_Source]

    def names(self) -> Json:
        """Who speaks in it, and of what, as far as it says so."""
        return {name: self.content[name] for name in ("namespace", "origin") if isinstance(self.content.get(name), str)}

    def namespace_of(self, entry: Json) -> str | None:
        given = entry.get("namespace", self.content.get("namespace"))
        return given if isinstance(given, str) else None

    def declares_columns_in(self, namespace: str) -> bool:
        datasets = self.content.get("datasets")
        return any(
            isinstance(each, dict) and each.get("columns") and self.namespace_of(each) == namespace
            for each in (datasets if isinstance(datasets, list) else [])
        )


@dataclass
class _Kept:
    """What of a manifest is sent."""

    unit: _Unit
    is_whole: bool
    """Itself, and the files that it refers to."""
    sources: list[_Source]
    unsure: dict[str, str] = field(default_factory=dict)
    """Of sources, by their places, why they cannot be compared: their files are not known at the base."""
    missing: dict[str, tuple[_Side, _Source]] = field(default_factory=dict)
    """What stands in for those."""


class _Side:
    """One version, read as far as somebody asks."""

    def __init__(self, tree: Tree, only: list[str] | None, beside: Working | None = None) -> None:
        self.tree = tree
        self.beside = beside
        self.problems: list[str] = []
        self._units: dict[str, _Unit | None] = {}
        if only is not None:
            self.manifests = [path for path in only if tree.has(path)]
        else:
            self.manifests = sorted(path for path in tree.paths if is_manifest(path))

    def unit(self, path: str) -> _Unit | None:
        """None where there is none, or it cannot be used: then that is a problem."""
        if path not in self._units:
            self._units[path] = self._read(path) if path in self.manifests else None
        return self._units[path]

    def leads_somewhere(self, path: str) -> bool:
        """Whether it may name other files; most name none, and are not parsed for that."""
        return self.says(path, b"file") or self.says(path, b"sources")

    def says(self, path: str, word: bytes) -> bool:
        try:
            return word in self.tree.read(path)
        except HeadwaterError:
            return True  # reading it says what is wrong

    def refuse_absent(self) -> None:
        """Of the working tree: what it names must be there."""
        for unit in self._units.values():
            for source in unit.sources if unit else ():
                make = "; make it first, as `dbt compile` does" if source.format == "dbt" else ""
                self.problems += [
                    f"{unit.path}: {source.place}: there is no {each}, relative to this file{make}"  # type: ignore[union-attr]
                    for each in source.absent
                ]

    def refuse_problems(self, more: Iterable[str] = ()) -> None:
        problems = list(dict.fromkeys([*self.problems, *more]))
        if problems:
            raise ManifestUnreadable("\n".join(problems))

    def _read(self, path: str) -> _Unit | None:
        try:
            text = text_of(self.tree, path)
            content = _parsed(text, path)
        except ManifestUnreadable as error:
            self.problems += [line.replace(path, f"{path}{self.tree.label}", 1) for line in str(error).splitlines()]
            return None
        except HeadwaterError as error:
            self.problems.append(str(error))
            return None
        files = [self._resolved(path, each) for each in file_references(content)]
        return _Unit(
            path, text, content, self._followed([each for each in files if each]), self._sources(path, content)
        )

    # Files that are named

    def _inside(self, manifest: str, named: str) -> str | None:
        """The path in the repository; None (and a problem) for one outside it."""
        path = posixpath.normpath(posixpath.join(posixpath.dirname(manifest), named))
        if path == ".." or path.startswith("../") or named.startswith("/"):
            self.problems.append(
                f"{manifest}{self.tree.label}: {named} is outside the repository; name a file in it, relative to the manifest"
            )
            return None
        return path

    def _resolved(self, manifest: str, named: str) -> str | None:
        """None for what is not there: the service says so, with the place."""
        path = self._inside(manifest, named)
        return path if path is not None and self._has(path) else None

    def _has(self, path: str) -> bool:
        return self.tree.has(path) or (self.beside is not None and self.beside.has(path))

    def _holder(self, path: str) -> Tree:
        return self.beside if self.beside is not None and not self.tree.has(path) else self.tree

    def text(self, path: str) -> str:
        return text_of(self._holder(path), path)

    def json(self, path: str) -> Any:
        try:
            return json.loads(self.text(path))
        except json.JSONDecodeError as error:
            raise DocumentUnreadable(
                f"{path}{self.tree.label}:{error.lineno}:{error.colno}: it is no JSON: {error.msg}"
            ) from error
        except RecursionError as error:
            raise DocumentUnreadable(f"{path}{self.tree.label}: it is nested too deeply") from error

    def same(self, path: str, other: _Side) -> bool:
        """Whether both have this file, and the same."""
        mine, others = self.tree.identity(path), other.tree.identity(path)
        if mine is not None and others is not None:
            return mine == others
        return self._has(path) and other._has(path) and self._holder(path).read(path) == other._holder(path).read(path)

    def _followed(self, files: Iterable[str]) -> list[str]:
        """With what they import or refer to, as far as that is in the repository."""
        found = dict.fromkeys(files)
        waiting = list(found)
        while waiting and len(found) < MAXFOLLOWED:
            path = waiting.pop()
            follow = FOLLOWED.get(posixpath.splitext(path)[1])
            if follow is None:
                continue
            try:
                candidates = list(follow(path, self.text(path)))
            except DocumentUnreadable as error:
                self.problems.append(str(error))
                continue
            for each in candidates:
                if each not in found and not each.startswith("..") and self.tree.has(each):
                    found[each] = None
                    waiting.append(each)
        return sorted(found)

    # Sources

    def _sources(self, manifest: str, content: Json) -> list[_Source]:
        entries = content.get("sources")
        found = []
        for number, entry in enumerate(entries if isinstance(entries, list) else []):
            if isinstance(entry, dict) and entry.get("format") in _CONTENTS:
                found.append(self._source(manifest, f"sources[{number}]", entry))
        return found  # what is wrong with others, the service says

    def _source(self, manifest: str, place: str, entry: Json) -> _Source:
        given, columns = entry.get("files"), entry.get("columns")
        files: dict[str, None] = {}
        absent: list[str] = []
        for named in given if isinstance(given, list) else [given]:
            path = self._inside(manifest, named) if isinstance(named, str) else None
            if path is not None:
                matching = self._matching(path, str(entry["format"]))
                files.update(dict.fromkeys(matching))
                if not matching and not is_pattern(path):
                    absent.append(str(named))
        tables = self._resolved(manifest, columns) if isinstance(columns, str) else None
        if isinstance(columns, str) and tables is None:
            absent.append(columns)
        return _Source(place, entry, sorted(files), tables, absent)

    def _matching(self, path: str, format_: str) -> list[str]:
        """A file, all that a pattern matches, or of a folder what its format has there."""
        if is_pattern(path):
            matches = matcher(path)
            return [each for each in self.tree.paths if matches(each)]
        if format_ == "dbt":
            for each in (path, joined(path, "manifest.json"), joined(path, "target/manifest.json")):
                if self._has(each):
                    catalog = joined(posixpath.dirname(each), "catalog.json")
                    return [each, *([catalog] if self._has(catalog) else [])]
            return []
        if self._has(path):
            return [path]
        start = "" if path == "." else f"{path}/"
        return [each for each in self.tree.paths if each.startswith(start) and is_file_of(format_, each[len(start) :])]

    # Documents

    def version(self, kept: Iterable[_Kept]) -> Version:
        documents: dict[tuple[str, str, str], Json] = {}
        texts = {}
        for each in kept:
            unit = each.unit
            if each.is_whole:
                documents[unit.path, "MANIFEST", ""] = {
                    "path": unit.path,
                    "format": "MANIFEST",
                    "content": unit.content,
                }
                texts[unit.path] = unit.text
                for path in unit.files:
                    with self._noting():
                        documents[path, "FILE", ""] = {"path": path, "format": "FILE", "content": self.text(path)}
            for source in each.sources:
                side, held = each.missing.get(source.place, (self, source))
                options = {name: value for name, value in source.entry.items() if name not in _OF_THE_CLIENT}
                options |= {"at": source.place, "files": held.files, "manifest": unit.names()}
                if source.place in each.unsure:
                    options["missing"] = each.unsure[source.place]
                with self._noting():
                    documents[unit.path, source.format.upper(), source.place] = {
                        "path": unit.path,
                        "format": source.format.upper(),
                        "content": _CONTENTS[source.format](side, held),
                        "options": options,
                    }
        self.refuse_problems()
        return Version([documents[each] for each in sorted(documents)], texts, self.tree.label)

    @contextmanager
    def _noting(self) -> Iterator[None]:
        try:
            yield
        except HeadwaterError as error:
            self.problems.append(str(error))


class _Differing:
    """Which documents of two versions differ, and which others are needed to read those."""

    def __init__(self, before: _Side, after: _Side) -> None:
        self._before = before
        self._after = after
        self._kept: dict[str, tuple[_Kept | None, _Kept | None]] = {}

    def kept(self) -> list[tuple[_Kept | None, _Kept | None]]:
        for path in sorted({*self._before.manifests, *self._after.manifests}):
            is_same = path in self._before.manifests and self._before.same(path, self._after)
            if not is_same or self._after.leads_somewhere(path):
                one, other = self._before.unit(path), self._after.unit(path)
                if one or other:
                    self._compare(path, one, other)
        self._after.refuse_absent()
        self._keep_readers_of_columns()
        self._keep_columns()
        return [pair for pair in self._kept.values() if any(each and (each.is_whole or each.sources) for each in pair)]

    def _compare(self, path: str, before: _Unit | None, after: _Unit | None) -> None:
        is_whole = before is None or after is None or before.content != after.content or before.files != after.files
        if before is None or after is None:
            one, other = (None if unit is None else _Kept(unit, True, unit.sources) for unit in (before, after))
            self._kept[path] = one, other
            return
        is_whole = is_whole or not all(self._before.same(each, self._after) for each in after.files)
        old, new = _Kept(before, is_whole, []), _Kept(after, is_whole, [])
        left = list(before.sources)
        for source in after.sources:
            twin = next((each for each in left if each.entry == source.entry), None)
            if twin is not None:
                left.remove(twin)
            if reason := self._why_missing(source, twin):
                assert twin is not None
                old.missing[twin.place] = self._after, source
                old.unsure[twin.place] = new.unsure[source.place] = reason
            if twin is None or reason or not self._are_same(twin, source):
                new.sources.append(source)
                old.sources += [twin] if twin else []
        old.sources += left
        self._kept[path] = old, new

    def _are_same(self, one: _Source, other: _Source) -> bool:
        return one.all_files() == other.all_files() and all(
            self._before.same(each, self._after) for each in one.all_files()
        )

    def _why_missing(self, source: _Source, before: _Source | None) -> str | None:
        """Why it is not known what was in files at the base that git does not keep; None: it is."""
        if before is None or before.files or not source.files or source.files[0] in self._after.tree.paths:
            return None
        where = "the folder of --base-dir" if self._before.beside else "git, which ignores it; give it with --base-dir"
        return f"{source.files[0]} as it was{self._before.tree.label} is not in {where}"

    # SQL is read with the columns that manifests declare of its tables

    def _keep_readers_of_columns(self) -> None:
        changed = [each.unit for pair in self._kept.values() for each in pair if each and each.is_whole]
        for one, other in self._kept.values():
            if one is None or other is None:
                continue
            for source in other.unit.sources:
                twin = next((each for each in one.unit.sources if each.entry == source.entry), None)
                if twin is None or source in other.sources or source.format != "sql":
                    continue
                namespace = other.unit.namespace_of(source.entry)
                if namespace is not None and any(each.declares_columns_in(namespace) for each in changed):
                    one.sources.append(twin)
                    other.sources.append(source)

    def _keep_columns(self) -> None:
        kept = [each for pair in self._kept.values() for each in pair if each]
        found = {
            each.unit.namespace_of(source.entry) for each in kept for source in each.sources if source.format == "sql"
        }
        namespaces = sorted(each for each in found if each is not None)
        for side, place in ((self._before, 0), (self._after, 1)) if namespaces else ():
            for path in side.manifests:
                already = self._kept.get(path, (None, None))[place]
                if already is not None and already.is_whole:
                    continue
                if already is None and not side.says(path, b"columns"):
                    continue
                unit = side.unit(path)
                if unit and any(unit.declares_columns_in(each) for each in namespaces):
                    pair = list(self._kept.get(path, (None, None)))
                    if already is None:
                        pair[place] = _Kept(unit, True, [])
                    else:
                        already.is_whole = True
                    self._kept[path] = pair[0], pair[1]


@lru_cache(maxsize=4096)
def _parsed(text: str, path: str) -> Json:
    """Of both versions at once, where it is the same."""
    return manifests.parsed(text.encode(), path)


# The contents of documents


def _texts(side: _Side, files: Iterable[str]) -> list[Json]:
    return [{"path": path, "text": side.text(path)} for path in files]


def _sql(side: _Side, source: _Source) -> Json:
    content: Json = {"files": _texts(side, source.files)}
    if source.tables is not None:
        content["tables"] = side.json(source.tables)
    return content


def _dbt(side: _Side, source: _Source) -> Json:
    content: Json = {}
    for path in source.files:
        document = side.json(path)
        if isinstance(document, dict):
            document = {name: value for name, value in document.items() if name not in _NOT_READ_OF_DBT}
        content["catalog" if posixpath.basename(path) == "catalog.json" else "manifest"] = document
    return content


_NOT_READ_OF_DBT = frozenset({"macros", "docs", "child_map", "group_map", "selectors"})
"""Most of a large manifest."""


def _feast(side: _Side, source: _Source) -> Json:
    stores = [path for path in source.files if posixpath.basename(path) == FEAST_STORE]
    content: Json = {"files": _texts(side, (path for path in source.files if path.endswith(".py")))}
    if stores:
        content |= {"folder": posixpath.dirname(stores[0]), "store": _parsed(side.text(stores[0]), stores[0])}
    return content


_CONTENTS: Mapping[str, Callable[[_Side, _Source], Json]] = {"sql": _sql, "dbt": _dbt, "feast": _feast}


_OF_THE_CLIENT = frozenset({"format", "files", "columns"})
"""What the service is not told of an entry of `sources`."""
