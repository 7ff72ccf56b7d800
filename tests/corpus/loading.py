"""The corpus as values: base repositories with what others told of them, and labelled changes to them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any, TypeAlias, cast

import yaml

from graph.changes import AssetStatement, FlowStatement, Registration
from graph.check.verdicts import Verdict
from graph.impact import When
from graph.keys import AssetKey, AssetKind
from graph.model import Basis, checked_flow

HERE = Path(__file__).parent
Record: TypeAlias = dict[str, Any]
Files: TypeAlias = Mapping[str, str]
"""The texts of a repository by path."""
Result: TypeAlias = tuple[Verdict, When]

USERS = (AssetKind.DEPLOYMENT, AssetKind.CONSUMER)
"""Those who are judged in every case, named or not."""


@dataclass(frozen=True)
class Base:
    name: str
    files: Files
    observed: tuple[Registration, ...]
    """What others said: the gateway, schedulers, other teams."""
    users: frozenset[AssetKey]
    """All deployments and consumers, whoever told of them."""
    execution: Record
    """What its consumers really do, for the executors; empty where nothing can be run."""


@dataclass(frozen=True)
class Case:
    id: str
    kind: str
    """Of change: the file that holds the case."""
    base: Base
    head: Files
    what: str
    why: str
    expect: Mapping[AssetKey, frozenset[Result]]
    executed: Record = field(default_factory=dict)

    def label(self, key: AssetKey) -> frozenset[Result]:
        """Nothing, for those the change does not concern."""
        return self.expect.get(key, frozenset())

    @property
    def judged(self) -> list[AssetKey]:
        return sorted({*self.base.users, *self.expect})


@cache
def bases() -> dict[str, Base]:
    return {folder.name: _base(folder) for folder in sorted((HERE / "bases").iterdir()) if folder.is_dir()}


@cache
def cases() -> tuple[Case, ...]:
    found = [
        _case(record, file.stem)
        for file in sorted((HERE / "cases").glob("*.yaml"))
        for record in _parsed(file.read_text())
    ]
    twice = {case.id for case in found if sum(other.id == case.id for other in found) > 1}
    assert not twice, f"ids stand twice: {sorted(twice)}"
    return tuple(found)


def manifests(files: Files) -> dict[str, Record]:
    """The parsed manifests of a repository by path."""
    return {
        path: _parsed(text)
        for path, text in sorted(files.items())
        if PurePosixPath(path).name == "headwater.yaml" or path.endswith(".headwater.yaml")
    }


@cache
def _parsed(text: str) -> Any:
    """The bases' manifests stand in most cases; nobody changes what is parsed."""
    return yaml.load(text, yaml.CSafeLoader)


def declared(files: Files, section: str) -> list[tuple[PurePosixPath, Record]]:
    """With the folder of the manifest, which paths are relative to."""
    return [
        (PurePosixPath(path).parent, each)
        for path, manifest in manifests(files).items()
        for each in manifest.get(section) or []
    ]


def _base(folder: Path) -> Base:
    repository = folder / "repository"
    files = {
        path.relative_to(repository).as_posix(): path.read_text()
        for path in sorted(repository.rglob("*"))
        if path.is_file()
    }
    observed = tuple(map(_registration, _yaml(folder / "observed.yaml") or []))
    users = {
        AssetKey.of(kind, each.get("namespace") or manifest["namespace"], each["name"])
        for manifest in manifests(files).values()
        for kind, section in ((AssetKind.DEPLOYMENT, "deployments"), (AssetKind.CONSUMER, "consumers"))
        for each in manifest.get(section) or []
    }
    for registration in observed:
        users |= {each.key for each in registration.assets if each.key.kind in USERS}
        users |= {end for each in registration.flows for end in each.flow[:2] if end.kind in USERS}
    return Base(folder.name, files, observed, frozenset(users), _yaml(folder / "execution.yaml") or {})


def _yaml(path: Path) -> Any:
    return _parsed(path.read_text()) if path.exists() else None


def _registration(said: Record) -> Registration:
    return Registration(
        origin=said["origin"],
        basis=Basis(said["basis"]),
        assets=tuple(
            AssetStatement(AssetKey.parse(each.pop("key")), each) for each in map(_keyed, said.get("assets") or [])
        ),
        flows=tuple(map(_flow, said.get("flows") or [])),
        stubs=True,
    )


def _keyed(said: str | Record) -> Record:
    return {"key": said} if isinstance(said, str) else dict(said)


def _flow(said: str | Record) -> FlowStatement:
    """`a -> b`, or with `via` and attributes: {flow: a -> b, via: …, verified: true}."""
    given = {"flow": said} if isinstance(said, str) else dict(said)
    source, _, target = given.pop("flow").partition(" -> ")
    via = given.pop("via", None)
    flow = checked_flow(AssetKey.parse(source), AssetKey.parse(target.strip()), AssetKey.parse(via) if via else None)
    return FlowStatement(flow, given)


_FIELDS = {"id", "base", "change", "what", "expect", "why", "executed"}


def _case(record: Record, kind: str) -> Case:
    name = record.get("id")
    assert set(record) <= _FIELDS, f"{kind}: {name}: unknown fields {sorted(set(record) - _FIELDS)}"
    base = bases()[record["base"]]
    return Case(
        id=record["id"],
        kind=kind,
        base=base,
        head=_edited(base.files, record["change"], record["id"]),
        what=record["what"],
        why=record["why"],
        expect=_expected(record.get("expect") or {}, base, record["id"]),
        executed=record.get("executed") or {},
    )


def _expected(said: Mapping[str, list[str]], base: Base, name: str) -> Mapping[AssetKey, frozenset[Result]]:
    """`BREAKING NOW: [checkout, model_version:risk/fraud#7]`: users of the base by their names, all else by keys."""
    found: dict[AssetKey, set[Result]] = {}
    for result, assets in said.items():
        for each in assets:
            results = found.setdefault(_named(each, base, name), set())
            if result != "NONE":
                verdict, when = result.split()
                results.add((Verdict[verdict], When[when]))
    return {key: frozenset(results) for key, results in found.items()}


def _named(text: str, base: Base, case: str) -> AssetKey:
    if ":" in text:
        return AssetKey.parse(text)
    found = [key for key in base.users if key.name == text]
    assert len(found) == 1, f"{case}: {base.name} has {len(found)} deployments and consumers {text}"
    return found[0]


def _edited(files: Files, edits: Iterable[Record], name: str) -> Files:
    """Each edit: {file, delete: true} · {file, move: path} · {file, content} · {file, without: what stands in the one line that goes}
    · {file, replace, by, times: 1}.
    """
    head = dict(files)
    for edit in edits:
        path = edit["file"]
        if edit.get("delete"):
            del head[path]
        elif "move" in edit:
            head[edit["move"]] = head.pop(path)
        elif "content" in edit:
            head[path] = edit["content"]
        elif "without" in edit:
            lines = head[path].splitlines(keepends=True)
            kept = [line for line in lines if edit["without"] not in line]
            assert len(kept) == len(lines) - 1, f"{name}: {path}: {edit['without']!r} is not in one line"
            head[path] = "".join(kept)
        else:
            found, wanted = head[path].count(edit["replace"]), edit.get("times", 1)
            assert found == wanted, f"{name}: {path} holds {edit['replace']!r} {found} times, not {wanted}"
            head[path] = head[path].replace(edit["replace"], edit["by"])
    assert head != files, f"{name} changes nothing"
    return cast("Files", head)
