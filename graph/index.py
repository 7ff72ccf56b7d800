"""The lineage index: the whole topology in memory, with all its history, following a store by revision.

Rows (see `topology`) are only ever appended, and closed by writing their last revision, so a reader that has fixed a
revision sees one consistent graph without locks. What a revision tells is applied unit by unit: a unit is the flows whose
ports depend on each other, and what it derives replaces what it derived before.
"""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar
from urllib.parse import unquote

import numpy as np
import orjson
from numpy.typing import NDArray

from graph.attributes import owner_names, shown_attributes, signature_features, values
from graph.errors import NotReady
from graph.keys import CONTAINER_OF, AssetKey, AssetKind
from graph.model import (
    FLOWS,
    REFINES_FIRST,
    Assertion,
    Attributes,
    Flow,
    Known,
    StoredAssertion,
    Subject,
    Timing,
)
from graph.ports import FAILS_WHOLE, TWO_PORTED, Edge, Port, Step, Told, coarse, direct_edges, job_edges, serving_edges
from graph.stores.contract import AssertionColumns, Revision, Store
from graph.time import FOREVER, Instant, Interval, pieces, union, without
from graph.topology import (
    ALIAS_CODE,
    ALWAYS,
    KIND_CODE,
    KINDS,
    Adjacency,
    Bools,
    Columns,
    Ints,
    Label,
    View,
)


class _EdgeRow(NamedTuple):
    """A row without its known time: what tells rows of one unit apart."""

    source: int
    target: int
    via: int
    origin: int
    strength: int
    step: int
    start: Instant
    end: Instant


class _LabelRow(NamedTuple):
    label: int
    start: Instant
    end: Instant


@dataclass
class _Told:
    """What a revision tells of the flows of one unit: the flows whose ports depend on each other."""

    opened: list[Told] = field(default_factory=list)
    closed: list[Told] = field(default_factory=list)

    def of(self, flow: tuple[int, int, int]) -> "_Told":
        return _Told(
            [told for told in self.opened if told[:3] == flow], [told for told in self.closed if told[:3] == flow]
        )

    def added_to(self, known: Iterable[Told]) -> list[Told]:
        """All that is told of the unit now, when `known` was before."""
        intervals: dict[tuple[int, int, int, int, int], list[Interval]] = {}
        for told in known:
            intervals.setdefault(told[:5], []).append(told.valid)
        for told in self.closed:
            intervals[told[:5]] = without(union(intervals.get(told[:5], ())), told.valid)
        for told in self.opened:
            intervals.setdefault(told[:5], []).append(told.valid)
        return [Told(*flow, valid) for flow, valids in intervals.items() for valid in union(valids)]


class Parts(NamedTuple):
    """All that an index holds, as plain data. `arrays` and `about` are this module's own affair."""

    revision: int
    about: dict[str, Any]
    keys: list[str]
    arrays: dict[str, NDArray[Any]]


class LineageIndex:
    """Empty until `load`. One thread at a time changes it; any number read it through `view`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._changing = threading.RLock()
        self._labelling = threading.Lock()
        self._view: View | None = None
        self._clear()

    # For readers

    @property
    def revision(self) -> int:
        """The last revision that readers see; 0 before `load`."""
        return 0 if self._view is None else self._view.revision

    @property
    def loaded(self) -> bool:
        return self._view is not None

    def view(self) -> View:
        """Takes no lock. Raises NotReady while the index is loading: it never answers from a part of the graph."""
        view = self._view
        if view is None:
            raise NotReady("the lineage index is still loading; try again in a moment")
        return view

    def _publish(self) -> None:
        """Lets readers see what was applied so far."""
        assets, vertices, rows, labels = self._assets, self._vertices, self._rows, self._label_rows
        self._view = View(
            revision=self._revision,
            assets=assets.count,
            keys=self._keys,
            numbers=self._numbers,
            parts=self._parts,
            kind=assets["kind"],
            container=assets["container"],
            namespace=assets["namespace"],
            namespaces=self._namespaces,
            whole=assets["whole"],
            any=assets["any"],
            vertex_asset=vertices["asset"],
            vertex_port=vertices["port"],
            vertices=vertices.count,
            rows={name: rows[name] for name in rows.arrays},
            row_count=rows.count,
            down=self._down,
            up=self._up,
            label_rows={name: labels[name] for name in labels.arrays},
            labels_by_asset=self._labels_by_asset,
            label_count=labels.count,
            labels=self._labels,
            intern_label=self._label_code,
            ranks=self._key_ranks,
            origins=self._origins,
        )

    # Following the store

    def load(self) -> None:
        """Reads everything from the store, then follows it to its head."""
        with self._changing:
            self._view = None
            self._clear()
            with self._store.export() as export:
                assets = list(export.assets())
                numbers = np.concatenate([np.zeros(0, np.int64), *(chunk.number for chunk in assets)])
                number_of = self._load_assets(numbers, [key for chunk in assets for key in chunk.key])
                told = _joined(list(export.assertions()))
                if len(told.number):
                    self._load_assertions(told, number_of, export.revision)
                self._revision = export.revision
            self._compress()
            self._catch_up()
            self._publish()

    def replay(self) -> None:
        """Like `load`, but revision by revision: slow, and the proof that `load` is right."""
        with self._changing:
            self._clear()
            self._catch_up()
            self._publish()

    def follow(self) -> int:
        """Applies all that was committed since; the revision reached. Nothing before `load`."""
        with self._changing:
            if self._view is not None:
                self._catch_up()
                self._publish()
            return self._revision

    def _catch_up(self) -> None:
        while revisions := self._store.changes_since(self._revision):
            for revision in revisions:
                about = _assets_of(revision)
                believed = self._store.believed_at(about, revision.number) if about else {}
                said = {key: [row.assertion for row in believed.get(key, ())] for key in about}
                self._apply(revision, said)
                self._revision = revision.number

    @property
    def wants_compaction(self) -> bool:
        """True once the rows since the last compaction slow walks down: about two in a hundred."""
        return self._rows.count - self._compacted > max(20_000, self._rows.count // 50)

    def compact(self) -> None:
        with self._changing:
            self._compress()
            if self._view is not None:
                self._publish()

    # Assets and their vertices

    def _clear(self) -> None:
        self._revision = 0
        self._keys: list[str] = [""]
        self._numbers: dict[str, int] = {}
        self._parts: dict[int, list[int]] = {}
        self._namespaces: list[str] = []
        self._namespace_numbers: dict[str, int] = {}
        self._origins: list[str] = []
        self._origin_numbers: dict[str, int] = {}
        self._labels: list[Label] = []
        self._label_numbers: dict[Label, int] = {}
        self._carried: dict[int, list[Interval]] = {}
        self._ranks: Ints = np.empty(0, np.int32)
        self._assets = Columns(
            kind=np.int8, container=np.int32, namespace=np.int32, whole=np.int32, any=np.int32, requests=np.int32
        )
        self._assets.append(kind=_NO_KIND, container=0, namespace=0, whole=-1, any=-1, requests=-1)
        self._vertices = Columns(asset=np.int32, port=np.int8)
        self._rows = Columns(
            source=np.int32, target=np.int32, via=np.int32, origin=np.int32, strength=np.int8, step=np.uint8, **_TIMES
        )
        self._label_rows = Columns(asset=np.int32, label=np.int32, **_TIMES)
        self._compress()

    def _compress(self) -> None:
        rows, labels = self._rows, self._label_rows
        self._down = Adjacency.compressed(rows["source"][: rows.count], self._vertices.count)
        self._up = Adjacency.compressed(rows["target"][: rows.count], self._vertices.count)
        self._by_via = Adjacency.compressed(rows["via"][: rows.count], self._assets.count)
        self._labels_by_asset = Adjacency.compressed(labels["asset"][: labels.count], self._assets.count)
        self._compacted = rows.count

    def parts(self) -> Parts:
        """For a snapshot. Compacts."""
        with self._changing:
            self._compress()
            arrays = {
                f"{name}.{column}": table[column][: table.count].copy()
                for name, table in self._tables().items()
                for column in table.arrays
            }
            for name, adjacency in self._adjacencies().items():
                arrays |= {f"{name}.offsets": adjacency.offsets, f"{name}.rows": adjacency.rows}
            about = {
                "revision": self._revision,
                "namespaces": self._namespaces,
                "origins": self._origins,
                "labels": [list(label) for label in self._labels],
                "carried": [[asset, [list(each) for each in intervals]] for asset, intervals in self._carried.items()],
            }
            return Parts(self._revision, about, self._keys[1:], arrays)

    def restore(self, parts: Parts) -> None:
        """Takes over what `parts` gave, then follows the store to its head."""
        with self._changing:
            self._view = None
            self._clear()
            about, arrays = parts.about, parts.arrays
            for name, table in self._tables().items():
                table.adopt({column: arrays[f"{name}.{column}"] for column in table.arrays})
            self._keys += parts.keys if parts.keys != [""] else []
            self._numbers = dict(zip(self._keys[1:], range(1, len(self._keys)), strict=True))
            self._namespaces, self._origins = about["namespaces"], about["origins"]
            self._labels = [Label(tuple(owners), tuple(tags), tier) for owners, tags, tier in about["labels"]]
            self._namespace_numbers = {name: number for number, name in enumerate(self._namespaces)}
            self._origin_numbers = {name: number for number, name in enumerate(self._origins)}
            self._label_numbers = {label: number for number, label in enumerate(self._labels)}
            self._carried = {asset: [Interval(*each) for each in intervals] for asset, intervals in about["carried"]}
            self._parts = self._parts_by_container()
            self._revision = parts.revision
            places = {"labels_by_asset": self._assets.count, "by_via": self._assets.count}
            for name, adjacency in self._adjacencies().items():
                adjacency.adopt(
                    arrays[f"{name}.offsets"], arrays[f"{name}.rows"], places.get(name, self._vertices.count)
                )
            self._compacted = self._rows.count
            self._catch_up()
            self._publish()

    def _tables(self) -> dict[str, Columns]:
        return {"assets": self._assets, "vertices": self._vertices, "rows": self._rows, "labels": self._label_rows}

    def _adjacencies(self) -> dict[str, Adjacency]:
        return {
            "down": self._down,
            "up": self._up,
            "by_via": self._by_via,
            "labels_by_asset": self._labels_by_asset,
        }

    def _parts_by_container(self) -> dict[int, list[int]]:
        container, kind = self._assets["container"][: self._assets.count], self._assets["kind"][: self._assets.count]
        parts = np.nonzero((container > 0) & (kind != ALIAS_CODE))[0]
        parts = parts[np.argsort(container[parts], kind="stable")]
        containers, starts = np.unique(container[parts], return_index=True)
        groups = np.split(parts, starts[1:])
        return (
            {number: group.tolist() for number, group in zip(containers.tolist(), groups, strict=True)}
            if len(parts)
            else {}
        )

    def _number(self, key: AssetKey) -> int:
        number = self._numbers.get(str(key))
        return self._add_asset(key) if number is None else number

    def _add_asset(self, key: AssetKey) -> int:
        container = self._number(key.container) if key.container else 0
        number, vertex = self._assets.count, self._vertices.count
        two_ported = key.kind in TWO_PORTED
        for port in _ports(key.kind):
            self._vertices.append(asset=number, port=port)
        self._assets.append(
            kind=ALIAS_CODE if key.is_alias else KIND_CODE[key.kind],
            container=container,
            namespace=_interned(key.namespace, self._namespaces, self._namespace_numbers),
            whole=vertex,
            any=vertex + two_ported,
            requests=vertex + 1 if key.kind is AssetKind.MODEL_VERSION else -1,
        )
        self._keys.append(str(key))
        self._numbers[str(key)] = number
        if container and not key.is_alias:
            self._parts.setdefault(container, []).append(number)
        source, target, step = self._steps_of(np.array([number]))
        for row in zip(source.tolist(), target.tolist(), step.tolist(), strict=True):
            self._add_row(_EdgeRow(row[0], row[1], 0, 0, 0, row[2], *ALWAYS), 0)
        return number

    def _steps_of(self, assets: Ints) -> tuple[Ints, Ints, Ints]:
        """The part-of and port steps of `assets`: source and target vertices, and walks."""
        kind, container = self._assets["kind"][assets], self._assets["container"][assets]
        whole, any_ = self._assets["whole"], self._assets["any"]
        two, failing = whole[assets] != any_[assets], np.isin(kind, [KIND_CODE[each] for each in FAILS_WHOLE])
        part = (container > 0) & (kind != ALIAS_CODE)
        down = np.where(kind[part] == KIND_CODE[AssetKind.RUN], Step.BOTH | Step.BUILT, Step.BOTH)
        steps = [
            (whole[assets[two]], any_[assets[two]], np.full(two.sum(), Step.BOTH)),
            (any_[assets[failing]], whole[assets[failing]], np.full(failing.sum(), Step.LOSS)),
            (whole[container[part]], whole[assets[part]], down),
            (any_[assets[part]], any_[container[part]], np.full(part.sum(), Step.BOTH)),
        ]
        source, target, step = (np.concatenate(column) for column in zip(*steps, strict=True))
        return source, target, step

    def _add_row(self, row: _EdgeRow, revision: int) -> None:
        number = self._rows.append(
            source=row.source,
            target=row.target,
            via=row.via,
            origin=row.origin,
            strength=row.strength,
            step=row.step,
            valid_start=row.start,
            valid_end=row.end,
            known_first=revision,
            known_last=FOREVER,
        )
        self._down.add(row.source, number)
        self._up.add(row.target, number)
        if row.via:
            self._by_via.add(row.via, number)

    def _vertex(self, asset: int, port: Port) -> int:
        return int(self._assets[("whole", "any", "requests")[port]][asset])

    def _container(self, asset: int) -> int:
        """The container of a part; what stands alone is its own."""
        return int(self._assets["container"][asset]) or asset

    def _is(self, asset: int, *kinds: AssetKind) -> bool:
        code = int(self._assets["kind"][asset])
        return code < ALIAS_CODE and KINDS[code] in kinds

    # Loading in bulk: what has no history and no refinement in numpy, the rest as if revision by revision

    def _load_assets(self, numbers: Ints, keys: list[str]) -> Ints:
        """Adds all assets; answers the store's number → this index's number."""
        number_of = np.zeros(int(numbers.max(initial=0)) + 1, np.int64)
        if not keys:
            return number_of
        known = set(keys)
        missing = {text for key in keys if (text := _container_text(key)) and text not in known}
        every = [*keys, *sorted(missing)]
        self._keys += every
        self._numbers = dict(zip(every, range(1, len(every) + 1), strict=True))
        number_of[numbers] = np.arange(1, len(keys) + 1)
        kinds, namespaces, containers = [], [], []
        for number, text in enumerate(every, 1):
            kind, _, rest = text.partition(":")
            alias = kind == AssetKind.MODEL_VERSION.value and "#%40" in rest
            kinds.append(ALIAS_CODE if alias else _CODE_OF_TEXT[kind])
            namespaces.append(_interned(unquote(rest.partition("/")[0]), self._namespaces, self._namespace_numbers))
            container = self._numbers[_container_text(text)] if "#" in rest else 0
            containers.append(container)
            if container and not alias:
                self._parts.setdefault(container, []).append(number)
        kind_codes = np.array(kinds)
        is_alias = kind_codes == ALIAS_CODE
        as_version = np.where(is_alias, KIND_CODE[AssetKind.MODEL_VERSION], kind_codes)
        ports = np.array([len(_ports(kind)) for kind in KINDS])[as_version]
        two = np.array([kind in TWO_PORTED for kind in KINDS])[as_version]
        first = np.cumsum(ports) - ports
        self._assets.extend(
            {
                "kind": kind_codes,
                "container": np.array(containers),
                "namespace": np.array(namespaces),
                "whole": first,
                "any": first + two,
                "requests": np.where(as_version == KIND_CODE[AssetKind.MODEL_VERSION], first + 1, -1),
            }
        )
        assets = np.arange(1, len(every) + 1)
        port = np.arange(int(ports.sum())) - np.repeat(first, ports)
        owner = np.repeat(as_version, ports)
        requests = (port == 1) & (owner == KIND_CODE[AssetKind.MODEL_VERSION])
        self._vertices.extend({"asset": np.repeat(assets, ports), "port": np.where(requests, Port.REQUESTS, port)})
        source, target, step = self._steps_of(assets)
        self._extend_rows(source, target, step)
        return number_of

    def _extend_rows(self, source: Ints, target: Ints, step: Ints, **columns: Ints) -> None:
        def full(value: int) -> Ints:
            return np.full(len(source), value)

        self._rows.extend(
            {
                "source": source,
                "target": target,
                "step": step,
                "via": columns.get("via", full(0)),
                "origin": columns.get("origin", full(0)),
                "strength": columns.get("strength", full(0)),
                "valid_start": columns.get("valid_start", full(ALWAYS.start)),
                "valid_end": columns.get("valid_end", full(ALWAYS.end)),
                "known_first": columns.get("known_first", full(0)),
                "known_last": columns.get("known_last", full(FOREVER)),
            }
        )

    def _load_assertions(self, told: AssertionColumns, number_of: Ints, revision: int) -> None:
        source, target, via = number_of[told.source], number_of[told.target], number_of[told.via]
        last = np.where(told.known_last > revision, FOREVER, told.known_last)
        known = told.known_first <= revision
        special = self._needs_replay(told, source, target, via, last)
        named = [_interned(name, self._origins, self._origin_numbers) for name in told.origins]
        origin = np.array(named, np.int64)[told.origin]

        flows = np.nonzero(known & (target > 0) & ~special)[0]
        kind = self._assets["kind"]
        step = _STEP_OF[kind[source[flows]], kind[target[flows]]]
        columns = {
            "via": via[flows],
            "origin": origin[flows],
            "strength": told.basis[flows],
            "valid_start": told.valid_start[flows],
            "valid_end": told.valid_end[flows],
            "known_first": told.known_first[flows],
            "known_last": last[flows],
        }
        whole, any_, requests = self._assets["whole"], self._assets["any"], self._assets["requests"]
        self._extend_rows(any_[source[flows]], whole[target[flows]], step, **columns)
        serving = (requests[source[flows]] >= 0) & (kind[target[flows]] == KIND_CODE[AssetKind.DEPLOYMENT])
        self._extend_rows(
            requests[source[flows[serving]]],
            whole[target[flows[serving]]],
            step[serving],
            **{name: column[serving] for name, column in columns.items()},
        )

        plain = np.nonzero(known & (target == 0) & ~special)[0]
        label_of: dict[str, int] = {}
        labels = []
        for row in plain.tolist():
            text = told.attributes[row]
            label = label_of.get(text)
            if label is None:
                label = label_of[text] = self._label(orjson.loads(text))
            labels.append(label)
        self._label_rows.extend(
            {
                "asset": source[plain],
                "label": np.array(labels, np.int64),
                "valid_start": told.valid_start[plain],
                "valid_end": told.valid_end[plain],
                "known_first": told.known_first[plain],
                "known_last": last[plain],
            }
        )
        self._compress()
        self._replay(told, np.nonzero(known & special)[0], source, target, via, last)

    def _needs_replay(self, told: AssertionColumns, source: Ints, target: Ints, via: Ints, last: Ints) -> Bools:
        kind, container = self._assets["kind"], self._assets["container"]

        def is_kind(assets: Ints, *kinds: AssetKind) -> Bools:
            return np.isin(kind[assets], [KIND_CODE[each] for each in kinds])

        of_asset = target == 0
        rows_of = np.bincount(source[of_asset], minlength=self._assets.count)
        telling = np.zeros(len(source), np.bool_)
        for row in np.nonzero(of_asset)[0].tolist():
            text = told.attributes[row]
            telling[row] = '"signature"' in text or '"features_from"' in text
        special: Bools = of_asset & (
            (rows_of[source] > 1)
            | (last < FOREVER)
            | (kind[source] == ALIAS_CODE)
            | (telling & is_kind(source, AssetKind.MODEL_VERSION, AssetKind.DEPLOYMENT))
        )
        carrying = np.unique(source[of_asset & telling & is_kind(source, AssetKind.DEPLOYMENT)])
        refined = np.unique(via[via > 0])
        special |= (via > 0) | np.isin(source, refined) & ~of_asset | np.isin(target, refined)
        special |= ~of_asset & np.isin(target, carrying)
        finer = ~of_asset & (container[source] > 0) & (container[target] > 0)
        direct = ~of_asset & (via == 0) & is_kind(source, AssetKind.DATASET)
        direct &= is_kind(target, AssetKind.DATASET, AssetKind.FEATURE_VIEW)
        pair_of_finer = np.where(finer, container[source].astype(np.int64) << 32 | container[target], -1)
        pair_of_direct = np.where(direct, source << 32 | target, -2)
        return special | np.isin(pair_of_direct, pair_of_finer) | np.isin(pair_of_finer, pair_of_direct)

    def _replay(self, told: AssertionColumns, rows: Ints, source: Ints, target: Ints, via: Ints, last: Ints) -> None:
        key = lru_cache(maxsize=None)(lambda number: AssetKey.parse(self._keys[number]))
        opened: dict[int, list[StoredAssertion]] = {}
        closed: dict[int, list[StoredAssertion]] = {}
        by_asset: dict[AssetKey, list[StoredAssertion]] = {}
        for row in rows.tolist():
            asset = key(int(source[row]))
            subject: Subject = asset
            if target[row]:
                subject = Flow(asset, key(int(target[row])), key(int(via[row])) if via[row] else None)
            valid = Interval(int(told.valid_start[row]), int(told.valid_end[row]))
            content = orjson.loads(told.attributes[row] or "{}")
            assertion = Assertion(
                subject, told.origins[told.origin[row]], REFINES_FIRST[told.basis[row]], valid, content
            )
            stored = StoredAssertion(
                int(told.number[row]), assertion, Known(int(told.known_first[row]), int(last[row]))
            )
            opened.setdefault(stored.known.first, []).append(stored)
            if stored.known.last < FOREVER:
                closed.setdefault(stored.known.last, []).append(stored)
            if isinstance(subject, AssetKey):
                by_asset.setdefault(subject, []).append(stored)
        for number in sorted({*opened, *closed}):
            revision = Revision(number, 0, None, "", tuple(opened.get(number, ())), tuple(closed.get(number, ())))
            said = {
                each: [stored.assertion for stored in by_asset[each] if stored.known.holds_at(number)]
                for each in _assets_of(revision)
            }
            self._apply(revision, said)

    # Applying one revision

    def _apply(self, revision: Revision, said: Mapping[AssetKey, Sequence[Assertion]]) -> None:
        """`said`: all that is believed at this revision of each asset that it tells of."""
        for stored in (*revision.closed, *revision.opened):
            subject = stored.assertion.subject
            for key in (subject,) if isinstance(subject, AssetKey) else subject:
                if key is not None:
                    self._number(key)
        for key, assertions in said.items():
            self._retell_asset(key, assertions, revision.number)
        self._retell_flows(revision)

    def _retell_asset(self, key: AssetKey, said: Sequence[Assertion], revision: int) -> None:
        asset = self._number(key)
        shown = [
            (piece, values(shown_attributes(said, piece.start)))
            for piece in pieces(ALWAYS, ([assertion.valid] for assertion in said))
            if any(assertion.valid.holds_at(piece.start) for assertion in said)
        ]
        self._replace_labels(
            asset, [_LabelRow(self._label(attributes), *piece) for piece, attributes in shown], revision
        )
        if key.is_alias:
            model = key.container
            assert model is not None
            links = [
                _EdgeRow(self._vertex(version, port), self._vertex(asset, port), 0, 0, 0, Step.BOTH, *piece)
                for piece, attributes in shown
                if attributes.get("version")
                for version in (self._number(model.part_key(str(attributes["version"]))),)
                for port in (Port.WHOLE, Port.REQUESTS)
            ]
            into = [*self._up.of(self._vertex(asset, Port.WHOLE)), *self._up.of(self._vertex(asset, Port.REQUESTS))]
            self._replace(self._open_rows(into, Step(0)), links, revision)
        elif key.kind is AssetKind.MODEL_VERSION:
            links = [
                _EdgeRow(
                    self._vertex(self._number(feature), Port.ANY),
                    self._vertex(asset, Port.REQUESTS),
                    *(0, 0, 0, Step.BOTH),
                    *piece,
                )
                for piece, attributes in shown
                for feature in dict.fromkeys(signature_features(attributes.get("signature")))
            ]
            self._replace(self._open_rows(self._up.of(self._vertex(asset, Port.REQUESTS)), Step(0)), links, revision)
        elif key.kind is AssetKind.DEPLOYMENT:
            carried = union(piece for piece, attributes in shown if attributes.get("features_from") == "request")
            if carried != self._carried.get(asset, []):
                self._carried[asset] = carried
                rows = self._open_rows(self._up.of(self._vertex(asset, Port.WHOLE)))
                self._replace(rows, self._single_rows(self._told_by(rows.values())), revision)

    def _replace_labels(self, asset: int, wanted: Iterable[_LabelRow], revision: int) -> None:
        columns, missing = self._label_rows, dict.fromkeys(_merged_labels(wanted))
        for number in self._labels_by_asset.of(asset):
            if columns["known_last"][number] == FOREVER:
                row = _LabelRow(*(int(columns[name][number]) for name in ("label", "valid_start", "valid_end")))
                if row in missing:
                    del missing[row]
                else:
                    columns["known_last"][number] = revision
        for row in missing:
            number = columns.append(
                asset=asset,
                label=row.label,
                valid_start=row.start,
                valid_end=row.end,
                known_first=revision,
                known_last=FOREVER,
            )
            self._labels_by_asset.add(asset, number)

    def _label(self, attributes: Attributes) -> int:
        tags = attributes.get("tags")
        tier = attributes.get("tier")
        label = Label(
            owner_names(attributes.get("owners")),
            tuple(map(str, tags)) if isinstance(tags, list) else (),
            tier if isinstance(tier, int) else None,
        )
        return self._label_code(label)

    def _key_ranks(self, assets: int) -> Ints:
        with self._labelling:
            if len(self._ranks) < assets:
                self._ranks = np.empty(assets, np.int32)
                self._ranks[sorted(range(assets), key=self._keys.__getitem__)] = np.arange(assets)
            return self._ranks

    def _label_code(self, label: Label) -> int:
        with self._labelling:
            return _interned(label, self._labels, self._label_numbers)

    def _retell_flows(self, revision: Revision) -> None:
        singles: dict[tuple[int, int, int], _Told] = {}
        pairs: dict[tuple[int, int], _Told] = {}
        jobs: dict[int, _Told] = {}
        for is_closed, stored in (*((True, s) for s in revision.closed), *((False, s) for s in revision.opened)):
            if not isinstance(stored.assertion.subject, Flow):
                continue
            told = self._told(stored.assertion)
            source, target, via = told[:3]
            if self._is(source, AssetKind.JOB) or self._is(target, AssetKind.JOB):
                unit = jobs.setdefault(source if self._is(source, AssetKind.JOB) else target, _Told())
            elif self._is_direct(source, target) and not via:
                unit = pairs.setdefault((source, target), _Told())
            else:
                unit = singles.setdefault((source, target, via), _Told())
                if via:
                    jobs.setdefault(via, _Told())
                containers = self._container(source), self._container(target)
                if containers[0] != source and containers[1] != target and self._is_direct(*containers):
                    pairs.setdefault(containers, _Told())
            (unit.closed if is_closed else unit.opened).append(told)
        for flow, unit in singles.items():
            rows = self._open_between(*flow)
            self._replace(rows, self._single_rows(unit.added_to(self._told_by(rows.values()))), revision.number)
        for (source, target), unit in pairs.items():
            rows = self._open_between(source, target, 0)
            parts = self._told_between_parts(source, target)
            told_now = unit.added_to(self._told_by(rows.values()))
            self._replace(
                rows, self._edge_rows(e for told in told_now for e in direct_edges(told, parts)), revision.number
            )
        for job, unit in jobs.items():
            self._retell_job(job, unit, revision.number)

    def _retell_job(self, job: int, unit: _Told, revision: int) -> None:
        if not self._by_via.size(job):  # never refined: each flow stands for itself
            for flow in dict.fromkeys(told[:3] for told in (*unit.closed, *unit.opened)):
                rows = self._open_between(*flow)
                told_now = unit.of(flow).added_to(self._told_by(rows.values()))
                self._replace(rows, self._edge_rows(map(coarse, told_now)), revision)
            return
        finer = self._told_by(self._open_rows(self._by_via.of(job)).values())
        rows = self._open_rows(
            [
                row
                for port in (Port.WHOLE, Port.ANY)
                for around in (self._down, self._up)
                for row in around.of(self._vertex(job, port))
            ]
        )
        flows = [*unit.added_to(self._told_by(rows.values())), *finer]
        self._replace(rows, self._edge_rows(job_edges(job, flows, self._container)), revision)

    def _is_direct(self, source: int, target: int) -> bool:
        return self._is(source, AssetKind.DATASET) and self._is(target, AssetKind.DATASET, AssetKind.FEATURE_VIEW)

    def _told(self, assertion: Assertion) -> Told:
        flow = assertion.subject
        assert isinstance(flow, Flow)
        return Told(
            self._number(flow.source),
            self._number(flow.target),
            self._number(flow.via) if flow.via else 0,
            _interned(assertion.origin, self._origins, self._origin_numbers),
            REFINES_FIRST.index(assertion.basis),
            assertion.valid,
        )

    def _told_by(self, rows: Iterable[_EdgeRow]) -> list[Told]:
        """What the rows were derived from: their pieces of valid time joined again."""
        asset, port = self._vertices["asset"], self._vertices["port"]
        return _Told().added_to(
            Told(
                int(asset[row.source]),
                int(asset[row.target]),
                row.via,
                row.origin,
                row.strength,
                Interval(row.start, row.end),
            )
            for row in rows
            if port[row.source] != Port.REQUESTS
        )

    def _told_between_parts(self, source: int, target: int) -> list[Told]:
        rows = self._open_rows(
            [row for part in self._parts.get(target, ()) for row in self._up.of(self._vertex(part, Port.WHOLE))]
        )
        return [told for told in self._told_by(rows.values()) if self._container(told.source) == source != told.source]

    def _open_between(self, source: int, target: int, via: int) -> dict[int, _EdgeRow]:
        """The rows of one flow that are believed now, by number."""
        out = {self._vertex(source, port) for port in Port} - {-1}
        into = {self._vertex(target, port) for port in (Port.WHOLE, Port.ANY)}
        fewer_out = sum(map(self._down.size, out)) < sum(map(self._up.size, into))
        numbers = (
            [row for vertex in out for row in self._down.of(vertex)]
            if fewer_out
            else [row for vertex in into for row in self._up.of(vertex)]
        )
        rows = np.array(numbers, np.int64)
        column = self._rows
        ours = np.isin(column["source"][rows], [*out]) & np.isin(column["target"][rows], [*into])
        return self._open_rows(rows[ours & (column["via"][rows] == via)].tolist())

    def _open_rows(self, numbers: Iterable[int], kind: Step = Step.FLOW) -> dict[int, _EdgeRow]:
        """Those of `numbers` that are believed now and are flows (or, with Step(0), are not)."""
        columns = [self._rows[name] for name in _EDGE_COLUMNS]
        last, step = self._rows["known_last"], self._rows["step"]
        return {
            number: _EdgeRow(*(int(column[number]) for column in columns))
            for number in dict.fromkeys(numbers)
            if last[number] == FOREVER and step[number] & Step.FLOW == kind
        }

    def _single_rows(self, told: Iterable[Told]) -> list[_EdgeRow]:
        edges: list[Edge] = []
        for each in told:
            serving = self._vertex(each.source, Port.REQUESTS) >= 0 and self._is(each.target, AssetKind.DEPLOYMENT)
            edges += serving_edges(each, self._carried.get(each.target, [])) if serving else [coarse(each)]
        return self._edge_rows(edges)

    def _edge_rows(self, edges: Iterable[Edge]) -> list[_EdgeRow]:
        kind = self._assets["kind"]
        rows = []
        for told, leaves, reaches, walks, valid in edges:
            step = int(_STEP_OF[kind[told.source], kind[told.target]]) & ~int(Step.BOTH) | walks
            ends = self._vertex(told.source, leaves), self._vertex(told.target, reaches)
            rows.append(_EdgeRow(*ends, told.via, told.origin, told.strength, step, *valid))
        return rows

    def _replace(self, rows: Mapping[int, _EdgeRow], wanted: Iterable[_EdgeRow], revision: int) -> None:
        """Closes those of `rows` that are not wanted, and adds those wanted that are not there."""
        missing = dict.fromkeys(wanted)
        for number, row in rows.items():
            if row in missing:
                del missing[row]
            else:
                self._rows["known_last"][number] = revision
        for row in missing:
            self._add_row(row, revision)


_NO_KIND = -1
_TIMES: dict[str, type[np.generic]] = {
    "valid_start": np.int64,
    "valid_end": np.int64,
    "known_first": np.int64,
    "known_last": np.int64,
}
_EDGE_COLUMNS = ("source", "target", "via", "origin", "strength", "step", "valid_start", "valid_end")
_CODE_OF_TEXT = {kind.value: code for kind, code in KIND_CODE.items()}
_CONTAINER_TEXT = {part.value: container.value for part, container in CONTAINER_OF.items()}


def _steps_by_kind() -> Ints:
    """Step of a flow by the codes of the kinds it joins; an alias flows where a version does."""
    steps = np.zeros((len(KINDS) + 1, len(KINDS) + 1), np.int64)
    for (source, target), flow in FLOWS.items():
        step = Step.FLOW | Step.BOTH | (Step.BUILT if flow.timing is Timing.BUILT else Step(0))
        steps[KIND_CODE[source], KIND_CODE[target]] = step
    steps[ALIAS_CODE] = steps[KIND_CODE[AssetKind.MODEL_VERSION]]
    return steps


_STEP_OF = _steps_by_kind()


def _ports(kind: AssetKind) -> tuple[Port, ...]:
    if kind is AssetKind.MODEL_VERSION:
        return (Port.WHOLE, Port.REQUESTS)
    return (Port.WHOLE, Port.ANY) if kind in TWO_PORTED else (Port.WHOLE,)


def _container_text(key: str) -> str:
    """The text of a part's container; empty for what stands alone."""
    before, part, _ = key.partition("#")
    kind, _, rest = before.partition(":")
    return f"{_CONTAINER_TEXT[kind]}:{rest}" if part else ""


def _assets_of(revision: Revision) -> list[AssetKey]:
    told = (stored.assertion.subject for stored in (*revision.closed, *revision.opened))
    return list(dict.fromkeys(subject for subject in told if isinstance(subject, AssetKey)))


def _merged_labels(rows: Iterable[_LabelRow]) -> list[_LabelRow]:
    merged: list[_LabelRow] = []
    for row in rows:
        if merged and merged[-1].label == row.label and merged[-1].end == row.start:
            merged[-1] = _LabelRow(row.label, merged[-1].start, row.end)
        else:
            merged.append(row)
    return merged


def _joined(chunks: Sequence[AssertionColumns]) -> AssertionColumns:
    def column(of: Callable[[AssertionColumns], Ints]) -> Ints:
        return np.concatenate([np.zeros(0, np.int64), *(of(chunk) for chunk in chunks)])

    origins = list(dict.fromkeys(name for chunk in chunks for name in chunk.origins))
    place = {name: number for number, name in enumerate(origins)}
    return AssertionColumns(
        number=column(lambda chunk: chunk.number),
        source=column(lambda chunk: chunk.source),
        target=column(lambda chunk: chunk.target),
        via=column(lambda chunk: chunk.via),
        origin=column(lambda chunk: np.array([place[name] for name in chunk.origins], np.int64)[chunk.origin]),
        basis=column(lambda chunk: chunk.basis),
        valid_start=column(lambda chunk: chunk.valid_start),
        valid_end=column(lambda chunk: chunk.valid_end),
        known_first=column(lambda chunk: chunk.known_first),
        known_last=column(lambda chunk: chunk.known_last),
        attributes=[text for chunk in chunks for text in chunk.attributes],
        origins=origins,
    )


_Name = TypeVar("_Name", str, Label)


def _interned(name: _Name, names: list[_Name], numbers: dict[_Name, int]) -> int:
    number = numbers.get(name)
    if number is None:
        number = numbers[name] = len(names)
        names.append(name)
    return number
