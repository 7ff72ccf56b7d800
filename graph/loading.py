"""Fills the tables of an index from a store's export, in bulk.

What has no history and no refinement goes through numpy; the rest is told again, revision by revision. Memory is bounded
by what the tables hold in the end and half as much again: chunks are narrowed as they come.
"""

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import unquote

import numpy as np
import orjson

from graph.keys import CONTAINER_OF, AssetKey, AssetKind
from graph.model import REFINES_FIRST, Assertion, Attributes, Flow, Known, StoredAssertion, Subject
from graph.ports import FAILS_WHOLE, TWO_PORTED, Port, Step
from graph.retelling import retell
from graph.stores.contract import AssertionColumns, Export, Revision
from graph.tables import Tables, ports_of
from graph.telling import STEP_OF
from graph.time import FOREVER, Instant, Interval
from graph.topology import ALIAS_CODE, ALWAYS, KIND_CODE, KINDS, Bools, Ints


def load(tables: Tables, export: Export, at: Instant) -> None:
    """Fills empty `tables`. `at`: when the export's revision was committed."""
    number_of = _load_assets(tables, export)
    told = _Assertions.of(tables, export, number_of)
    special = _needs_replay(tables, told)
    tables.rows.reserve(tables.rows.count + len(told.target))
    _load_flows(tables, told, ~special & (told.target > 0))
    _load_labels(tables, told, ~special & (told.target == 0))
    told = told.only(np.nonzero(special)[0])
    _settle(tables, export.revision, at)
    if len(told.source):
        _replay(tables, told)
        _settle(tables, export.revision, at)


def _settle(tables: Tables, revision: int, at: Instant) -> None:
    tables.revision, tables.latest = revision, at
    tables.compact(nullcontext())


@dataclass(frozen=True, slots=True)
class _Assertions:
    """All that were believed up to the export's revision, in columns of this index's own numbers. `text` numbers `texts`."""

    source: Ints
    target: Ints
    via: Ints
    origin: Ints
    strength: Ints
    times: Ints
    text: Ints
    texts: list[bytes]
    """The attributes that matter here, each once."""

    def only(self, rows: Ints) -> "_Assertions":
        columns = (self.source, self.target, self.via, self.origin, self.strength, self.times, self.text)
        source, target, via, origin, strength, times, text = (column[rows] for column in columns)
        return _Assertions(source, target, via, origin, strength, times, text, self.texts)

    @classmethod
    def of(cls, tables: Tables, export: Export, number_of: Ints) -> "_Assertions":
        relevant = _Relevant()
        columns: list[list[Ints]] = [[none] for none in _NONE]
        for chunk in export.assertions():
            for column, some in zip(
                columns, _narrowed(tables, chunk, export.revision, number_of, relevant), strict=True
            ):
                column.append(some)
        source, target, via, origin, strength, times, text = (_joined(column) for column in columns)
        return cls(source, target, via, origin, strength, times, text, relevant.texts)


def _joined(parts: list[Ints]) -> Ints:
    """Empties `parts`, so that no more than one column is there twice."""
    joined = np.concatenate(parts)
    parts.clear()
    return joined


def _narrowed(
    tables: Tables, chunk: AssertionColumns, revision: int, number_of: Ints, relevant: "_Relevant"
) -> tuple[Ints, ...]:
    known = np.nonzero(chunk.known_first <= revision)[0]
    origin = np.array([tables.origins.number(name) for name in chunk.origins], np.int32)
    last = np.where(chunk.known_last > revision, FOREVER, chunk.known_last)
    times = np.stack([chunk.valid_start, chunk.valid_end, chunk.known_first, last], axis=1)
    text = np.zeros(len(chunk.number), np.int32)
    for row in np.nonzero(chunk.target == 0)[0].tolist():
        text[row] = relevant.number(chunk.attributes[row])
    source, target, via = (number_of[ends] for ends in (chunk.source, chunk.target, chunk.via))
    columns = (source, target, via, origin[chunk.origin], chunk.basis.astype(np.int8), times, text)
    return tuple(column[known] for column in columns)


class _Relevant:
    """Of the assets' attributes those that an index asks for, each set of them once."""

    def __init__(self) -> None:
        self.texts: list[bytes] = []
        self._numbers: dict[bytes, int] = {}
        self._known: dict[str, int] = {}

    def number(self, attributes: str) -> int:
        number = self._known.get(attributes)
        if number is None:
            said = orjson.loads(attributes)
            text = orjson.dumps({name: said[name] for name in _ASKED if name in said})
            number = self._numbers.setdefault(text, len(self.texts))
            if number == len(self.texts):
                self.texts.append(text)
            if len(self._known) < _REMEMBERED:
                self._known[attributes] = number
        return number


def _load_assets(tables: Tables, export: Export) -> Ints:
    """Adds all assets; answers the store's number → this index's number."""
    chunks, keys = [], []
    for chunk in export.assets():
        chunks.append(chunk.number)
        keys += chunk.key
    numbers = np.concatenate([np.zeros(0, np.int64), *chunks])
    number_of = np.zeros(int(numbers.max(initial=0)) + 1, np.int32)
    number_of[numbers] = np.arange(1, len(numbers) + 1)
    known = set(keys)
    tables.name([*keys, *sorted({text for key in keys if (text := _container_text(key)) and text not in known})])
    if len(tables.keys) > 1:
        _add_assets(tables)
    return number_of


def _add_assets(tables: Tables) -> None:
    kinds = np.zeros(len(tables.keys), np.int8)
    namespaces, containers = (np.zeros(len(tables.keys), np.int32) for _ in range(2))
    namespace_of = lru_cache(maxsize=None)(lambda text: tables.namespaces.number(unquote(text)))
    for number, text in enumerate(tables.keys[1:], 1):
        kind, _, rest = text.partition(":")
        kinds[number] = _CODE_OF_TEXT[kind]
        namespaces[number] = namespace_of(rest.partition("/")[0])
        if "#" in rest:
            containers[number] = tables.numbers[_container_text(text)]
            if kind == AssetKind.MODEL_VERSION.value and "#%40" in rest:
                kinds[number] = ALIAS_CODE
    kinds, namespaces, containers = kinds[1:], namespaces[1:], containers[1:]
    as_version = np.where(kinds == ALIAS_CODE, KIND_CODE[AssetKind.MODEL_VERSION], kinds)
    ports = np.array([len(ports_of(kind)) for kind in KINDS])[as_version]
    two = np.array([kind in TWO_PORTED for kind in KINDS])[as_version]
    first = np.cumsum(ports) - ports
    tables.assets.extend(
        {
            "kind": kinds,
            "container": containers,
            "namespace": namespaces,
            "whole": first,
            "any": first + two,
            "requests": np.where(as_version == KIND_CODE[AssetKind.MODEL_VERSION], first + 1, -1),
            **_part_chains(containers, kinds),
        }
    )
    assets = np.arange(1, len(tables.keys), dtype=np.int32)
    port = np.arange(int(ports.sum())) - np.repeat(first, ports)
    owner = np.repeat(as_version, ports)
    requests = (port == 1) & (owner == KIND_CODE[AssetKind.MODEL_VERSION])
    tables.vertices.extend({"asset": np.repeat(assets, ports), "port": np.where(requests, Port.REQUESTS, port)})
    for source, target, step in _steps(tables):
        _extend(tables, source, target, step)


def _part_chains(containers: Ints, kinds: Ints) -> dict[str, Ints]:
    first, last, following = (np.zeros(len(containers), np.int32) for _ in range(3))
    parts = np.nonzero((containers > 0) & (kinds != ALIAS_CODE))[0]
    parts = parts[np.argsort(containers[parts], kind="stable")]
    around = containers[parts] - 1
    is_last = np.append(around[1:] != around[:-1], True)[: len(parts)]
    is_first = np.append(True, is_last[:-1])[: len(parts)]
    first[around[is_first]], last[around[is_last]] = parts[is_first] + 1, parts[is_last] + 1
    following[parts[:-1]] = np.where(is_last[:-1], 0, parts[1:] + 1)
    return {"first_part": first, "last_part": last, "next_part": following}


def _steps(tables: Tables) -> Iterator[tuple[Ints, Ints, Ints]]:
    """The part-of and port steps of all assets, as `Tables` adds them one by one: source and target vertices, and walks."""
    assets = np.arange(1, tables.assets.count)
    kind, container, whole, some = (tables.assets[name] for name in ("kind", "container", "whole", "any"))
    two = assets[whole[assets] != some[assets]]
    yield whole[two], some[two], np.full(len(two), Step.BOTH)
    failing = two[np.isin(kind[two], [KIND_CODE[each] for each in FAILS_WHOLE])]
    yield some[failing], whole[failing], np.full(len(failing), Step.LOSS)
    parts = assets[(container[assets] > 0) & (kind[assets] != ALIAS_CODE)]
    down = np.where(kind[parts] == KIND_CODE[AssetKind.RUN], Step.BOTH | Step.BUILT, Step.BOTH)
    yield whole[container[parts]], whole[parts], down
    yield some[parts], some[container[parts]], np.full(len(parts), Step.BOTH)


def _extend(tables: Tables, source: Ints, target: Ints, step: Ints, **columns: Ints) -> None:
    rows = np.zeros(len(source), np.int8)
    times = np.broadcast_to(np.array([*ALWAYS, 0, FOREVER]), (len(source), 4))
    given = {"via": rows, "origin": rows, "strength": rows, "times": times, **columns}
    tables.rows.extend({"source": source, "target": target, "step": step, **given})


def _load_flows(tables: Tables, told: _Assertions, chosen: Bools) -> None:
    flows = np.nonzero(chosen)[0]
    for start in range(0, len(flows), _BLOCK):
        _load_some_flows(tables, told, flows[start : start + _BLOCK])


def _load_some_flows(tables: Tables, told: _Assertions, flows: Ints) -> None:
    source, target = told.source[flows], told.target[flows]
    kind, whole, some, requests = (tables.assets[name] for name in ("kind", "whole", "any", "requests"))
    step = STEP_OF[kind[source], kind[target]].astype(np.uint8)
    columns = {
        "via": told.via[flows],
        "origin": told.origin[flows],
        "strength": told.strength[flows],
        "times": told.times[flows],
    }
    _extend(tables, some[source], whole[target], step, **columns)
    serving = np.nonzero((requests[source] >= 0) & (kind[target] == KIND_CODE[AssetKind.DEPLOYMENT]))[0]
    _extend(
        tables,
        requests[source[serving]],
        whole[target[serving]],
        step[serving],
        **{name: column[serving] for name, column in columns.items()},
    )


def _load_labels(tables: Tables, told: _Assertions, chosen: Bools) -> None:
    label_of = np.array([tables.label(orjson.loads(text)) for text in told.texts], np.int32)
    plain = np.nonzero(chosen)[0]
    tables.label_rows.extend(
        {"asset": told.source[plain], "label": label_of[told.text[plain]], "times": told.times[plain]}
    )


def _needs_replay(tables: Tables, told: _Assertions) -> Bools:
    kind, container = tables.assets["kind"], tables.assets["container"]
    source, target, via = told.source, told.target, told.via

    def is_kind(assets: Ints, *kinds: AssetKind) -> Bools:
        return np.isin(kind[assets], [KIND_CODE[each] for each in kinds])

    of_asset = target == 0
    rows_of = np.bincount(source[of_asset], minlength=tables.assets.count)
    tells = np.array([b'"signature"' in text or b'"features_from"' in text for text in (*told.texts, b"")])
    joining = np.array([b'"same_as"' in text for text in (*told.texts, b"")])
    telling = of_asset & tells[told.text] if len(told.text) else of_asset
    special: Bools = of_asset & (
        (rows_of[source] > 1)
        | (told.times[:, 3] < FOREVER)
        | (kind[source] == ALIAS_CODE)
        | (telling & is_kind(source, AssetKind.MODEL_VERSION, AssetKind.DEPLOYMENT))
        | (joining[told.text] & of_asset)
    )
    carrying = _marks(tables, source[telling & is_kind(source, AssetKind.DEPLOYMENT)])
    refined = _marks(tables, via[via > 0])
    special |= (via > 0) | refined[source] & ~of_asset | refined[target] & ~of_asset
    special |= ~of_asset & carrying[target]
    finer = ~of_asset & (container[source] > 0) & (container[target] > 0)
    direct = ~of_asset & (via == 0) & is_kind(source, AssetKind.DATASET)
    direct &= is_kind(target, AssetKind.DATASET, AssetKind.FEATURE_VIEW)
    pair_of_finer = np.where(finer, container[source].astype(np.int64) << 32 | container[target], -1)
    pair_of_direct = np.where(direct, source.astype(np.int64) << 32 | target, -2)
    both = np.intersect1d(pair_of_finer[finer], pair_of_direct[direct])
    return special | np.isin(pair_of_direct, both) | np.isin(pair_of_finer, both)


def _marks(tables: Tables, assets: Ints) -> Bools:
    marked = np.zeros(tables.assets.count, np.bool_)
    marked[assets] = True
    return marked


def _replay(tables: Tables, told: _Assertions) -> None:
    key = lru_cache(maxsize=None)(lambda number: AssetKey.parse(tables.keys[number]))
    opened: dict[int, list[StoredAssertion]] = {}
    closed: dict[int, list[StoredAssertion]] = {}
    by_asset: dict[AssetKey, list[StoredAssertion]] = {}
    for row in range(len(told.source)):
        asset = key(int(told.source[row]))
        subject: Subject = asset
        said: Attributes = {}
        if told.target[row]:
            via = key(int(told.via[row])) if told.via[row] else None
            subject = Flow(asset, key(int(told.target[row])), via)
        else:
            said = orjson.loads(told.texts[told.text[row]])
        start, end, first, last = told.times[row].tolist()
        origin, basis = tables.origins[told.origin[row]], REFINES_FIRST[told.strength[row]]
        stored = StoredAssertion(0, Assertion(subject, origin, basis, Interval(start, end), said), Known(first, last))
        opened.setdefault(first, []).append(stored)
        if last < FOREVER:
            closed.setdefault(last, []).append(stored)
        if isinstance(subject, AssetKey):
            by_asset.setdefault(subject, []).append(stored)
    for number in sorted({*opened, *closed}):
        within = (*closed.get(number, ()), *opened.get(number, ()))
        about = dict.fromkeys(each.assertion.subject for each in within if each.assertion.subject in by_asset)
        said_then = {
            asset: tuple(each.assertion for each in by_asset[asset] if each.known.holds_at(number))
            for asset in about
            if isinstance(asset, AssetKey)
        }
        told_then = tuple(opened.get(number, ())), tuple(closed.get(number, ()))
        retell(tables, [Revision(number, tables.latest, None, "", *told_then, said_then)])


_ASKED = ("owners", "tags", "tier", "version", "signature", "features_from", "same_as")
_REMEMBERED = 100_000
_BLOCK = 500_000
_NONE: tuple[Ints, ...] = (
    *(np.zeros(0, np.int32) for _ in range(4)),
    np.zeros(0, np.int8),
    np.zeros((0, 4), np.int64),
    np.zeros(0, np.int32),
)
_CODE_OF_TEXT = {kind.value: code for kind, code in KIND_CODE.items()}
_CONTAINER_TEXT = {part.value: container.value for part, container in CONTAINER_OF.items()}


def _container_text(key: str) -> str:
    """The text of a part's container; empty for what stands alone."""
    before, part, _ = key.partition("#")
    kind, _, rest = before.partition(":")
    return f"{_CONTAINER_TEXT[kind]}:{rest}" if part else ""
