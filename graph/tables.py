"""All that a lineage index holds, as its one writer sees it. `topology` is the same for readers.

Tables grow at the end, and rows are closed by writing their last revision; so a `View` made earlier keeps its answers,
and making one costs nothing. Compaction sorts the rows by place again, beside readers and the writer.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import numpy as np

from graph import kernels
from graph.attributes import owner_names
from graph.columns import Columns, Grouping, Names, Timed, with_room
from graph.keys import PART_OF, AssetKey, AssetKind
from graph.model import Attributes
from graph.ordering import Ranks
from graph.ports import FAILS_WHOLE, TWO_PORTED, Port, Step
from graph.time import FOREVER, Instant, Interval
from graph.topology import (
    ALIAS_CODE,
    ALWAYS,
    KIND_CODE,
    KINDS,
    Bools,
    Ints,
    Joins,
    Label,
    Moments,
    View,
)


class EdgeRow(NamedTuple):
    """A row without its known time: what tells rows of one unit apart."""

    source: int
    target: int
    via: int
    origin: int
    strength: int
    step: int
    start: Instant
    end: Instant


class LabelRow(NamedTuple):
    label: int
    start: Instant
    end: Instant


class Tables:
    def __init__(self) -> None:
        self.revision = 0
        self.latest: Instant = ALWAYS.start
        """When that revision was committed."""
        self.keys: list[str] = [""]
        self.numbers: dict[str, int] = {}
        self.ranks = Ranks(self.keys)
        self.namespaces: Names[str] = Names()
        self.origins: Names[str] = Names()
        self.labels: Names[Label] = Names()
        self.owners = Names[tuple[str, ...]]([()])
        self.owners_of = Columns(owners=np.int32)
        """Of each label the place of its owners among `owners`."""
        self.carried: dict[int, list[Interval]] = {}
        """For each deployment: when requests carried the features."""
        self.assets = Columns(
            kind=np.int8,
            container=np.int32,
            namespace=np.int32,
            whole=np.int32,
            any=np.int32,
            requests=np.int32,
            first_part=np.int32,
            last_part=np.int32,
            next_part=np.int32,
        )
        self.assets.append(_NO_KIND, 0, 0, -1, -1, -1, 0, 0, 0)
        self.vertices = Columns(asset=np.int32, port=np.int8)
        self.rows = Timed(
            source=np.int32, target=np.int32, via=np.int32, origin=np.int32, strength=np.int8, step=np.uint8
        )
        self.label_rows = Timed(asset=np.int32, label=np.int32)
        self.joins = Columns(row=np.int32)
        """Of assets that are the same: the rows from the `whole` of the one that says so to that of the other, and of parts alike."""
        self.joined: dict[int, list[int]] = {}
        """For each that stands alone: which of those rows are at it, whenever they held."""
        self._seen_joins = Joins(self.joins["row"][:0])
        self._joins_changed = False
        self.down = Grouping(self.rows, self.vertices, "source", "target", "step")
        self.up = Grouping(self.rows, self.vertices, "target", "source", "step")
        self.by_via = Grouping(self.rows, self.assets, "via", "source", None, skipped=0)
        self.labels_by_asset = Grouping(self.label_rows, self.assets, "asset", "label", None)
        self.moments = Moments()

    def view(self) -> View:
        if self._joins_changed:
            self._seen_joins, self._joins_changed = Joins(self.joins["row"][: self.joins.count]), False
        assets, vertices, rows, labels = self.assets, self.vertices, self.rows, self.label_rows
        return View(
            revision=self.revision,
            assets=assets.count,
            keys=self.keys,
            numbers=self.numbers,
            kind=assets["kind"],
            container=assets["container"],
            first_part=assets["first_part"],
            next_part=assets["next_part"],
            namespace=assets["namespace"],
            namespaces=self.namespaces,
            whole=assets["whole"],
            any=assets["any"],
            vertex_asset=vertices["asset"],
            vertex_port=vertices["port"],
            vertices=vertices.count,
            rows=rows.by_name(),
            times=rows.times,
            row_count=rows.count,
            down=self.down.seen(),
            up=self.up.seen(),
            moments=self.moments,
            label_rows=labels.by_name(),
            label_times=labels.times,
            labels_by_asset=self.labels_by_asset.seen(),
            label_count=labels.count,
            labels=self.labels,
            owners=self.owners,
            owners_of=self.owners_of["owners"],
            nearest_first=self.ranks.nearest_first,
            origins=self.origins,
            joins=self._seen_joins,
        )

    # Assets and their vertices

    def name(self, keys: Sequence[str]) -> None:
        """Takes these for the keys of the assets that it is filled with next."""
        self.keys += keys
        self.numbers = dict(zip(keys, range(1, len(self.keys)), strict=True))

    def number(self, key: AssetKey) -> int:
        number = self.numbers.get(str(key))
        if number is None:
            number = self._add_asset(key)
            container = int(self.assets["container"][number])
            if container in self.joined:
                self._join_part(container, self._part_name(number))
        return number

    def _add_asset(self, key: AssetKey) -> int:
        within = key.container
        container = self.number(within) if within else 0
        number, vertex = self.assets.count, self.vertices.count
        for port in ports_of(key.kind):
            self.vertices.append(number, port)
        self.assets.append(
            ALIAS_CODE if key.is_alias else KIND_CODE[key.kind],
            container,
            self.namespaces.number(key.namespace),
            vertex,
            vertex + (key.kind in TWO_PORTED),
            vertex + 1 if key.kind is AssetKind.MODEL_VERSION else -1,
            0,
            0,
            0,
        )
        self.keys.append(str(key))
        if container and not key.is_alias:
            last = int(self.assets["last_part"][container])
            self.assets["last_part"][container] = number
            before, place = ("next_part", last) if last else ("first_part", container)
            self.assets[before][place] = number
        for source, target, step in self._steps_of(number, key.kind, key.is_alias):
            self.add_row(EdgeRow(source, target, 0, 0, 0, step, *ALWAYS), 0)
        self.numbers[str(key)] = number
        return number

    def _steps_of(self, asset: int, kind: AssetKind, is_alias: bool) -> list[tuple[int, int, int]]:
        """The part-of and port steps of an asset; as `loading` has them in bulk."""
        whole, some = self.vertex(asset, Port.WHOLE), self.vertex(asset, Port.ANY)
        steps = []
        if whole != some:
            steps.append((whole, some, int(Step.BOTH)))
            if kind in FAILS_WHOLE:
                steps.append((some, whole, int(Step.LOSS)))
        container = int(self.assets["container"][asset])
        if container and not is_alias:
            into = Step.BOTH | Step.BUILT if kind is AssetKind.RUN else Step.BOTH
            steps.append((self.vertex(container, Port.WHOLE), whole, int(into)))
            steps.append((some, self.vertex(container, Port.ANY), int(Step.BOTH)))
        return steps

    def vertex(self, asset: int, port: Port) -> int:
        return int(self.assets[_PORT_COLUMNS[port]][asset])

    def container(self, asset: int) -> int:
        """The container of a part; what stands alone is its own."""
        return int(self.assets["container"][asset]) or asset

    def is_kind(self, asset: int, *kinds: AssetKind) -> bool:
        code = int(self.assets["kind"][asset])
        return code < ALIAS_CODE and KINDS[code] in kinds

    def parts(self, container: int) -> list[int]:
        parts = []
        part = int(self.assets["first_part"][container])
        while part:
            parts.append(part)
            part = int(self.assets["next_part"][part])
        return parts

    # Assets that are the same: all their ports are joined by steps both ways, `via` the one that says so, and so are their
    # parts of one name. Each has a part of each name that any has, so that one may stand for all.

    def join(self, namer: int, named: int, valid: Interval, revision: int) -> None:
        times = (*valid, revision, FOREVER)
        row = self._join((namer, named), namer, times)
        for asset in (namer, named):
            self.joined.setdefault(asset, []).append(row)
        names = {self._part_name(part) for asset in (namer, named) for part in self.parts(asset)}
        for name in sorted(names):
            texts = [self._part_text(asset, name) for asset in (namer, named)]
            numbers = [self.numbers.get(text) for text in texts]
            if None not in numbers:
                self._join([number for number in numbers if number], namer, times)
            else:
                self.number(AssetKey.parse(texts[numbers.index(None)]))

    def joins_by(self, namer: int) -> list[tuple[int, Interval]]:
        """What is said of it now that it is the same as, and when."""
        rows, whole = self.rows, self.vertex(namer, Port.WHOLE)
        return [
            (int(self.vertices["asset"][rows["target"][row]]), Interval(*rows.times[row, :2].tolist()))
            for row in self.joined.get(namer, ())
            if rows["source"][row] == whole and rows.is_open(row)
        ]

    def part(self, namer: int, named: int, valid: Interval, revision: int) -> None:
        """Takes back a `join`."""
        rows, asset, ends = self.rows, self.vertices["asset"], {namer, named}
        for row in self.by_via.of(namer):
            if rows.is_open(row) and (*valid,) == (*rows.times[row, :2].tolist(),):
                around = {self.container(int(asset[rows[end][row]])) for end in ("source", "target")}
                if around == ends and not rows["step"][row] & Step.FLOW:
                    rows.close(row, revision)
        self._joins_changed = True

    def adopt_joins(self) -> None:
        """Once `joins` and all tables are filled."""
        asset = self.vertices["asset"]
        for row in self.joins["row"][: self.joins.count].tolist():
            ends = [int(asset[self.rows[end][row]]) for end in ("source", "target")]
            if not self.assets["container"][ends[0]]:
                for end in ends:
                    self.joined.setdefault(end, []).append(row)
        self._joins_changed = True

    def _join_part(self, container: int, name: str) -> None:
        """A part is new, whose container is the same as others."""
        waiting, done = [container], set[int]()
        rows, asset = self.rows, self.vertices["asset"]
        while waiting:
            for row in self.joined[waiting.pop()]:
                if row in done:
                    continue
                done.add(row)
                ends = [int(asset[rows[end][row]]) for end in ("source", "target")]
                parts = []
                for end in ends:
                    text = self._part_text(end, name)
                    if text not in self.numbers:
                        self._add_asset(AssetKey.parse(text))
                        waiting.append(end)
                    parts.append(self.numbers[text])
                self._join(parts, ends[0], rows.times[row].tolist())

    def _part_name(self, part: int) -> str:
        """As its key writes it."""
        return self.keys[part].partition("#")[2]

    def _part_text(self, container: int, name: str) -> str:
        """The key of the part of that name."""
        kind, _, rest = self.keys[container].partition(":")
        return f"{PART_OF[AssetKind(kind)].value}:{rest}#{name}"

    def _join(self, ends: Iterable[int], via: int, times: Iterable[int]) -> int:
        """The row from `whole` to `whole`."""
        first = self.rows.count
        (one, other), (start, end, since, until) = ends, times
        ports = [(self.vertex(one, port), self.vertex(other, port)) for port in (Port.WHOLE, Port.ANY)]
        for source, target in dict.fromkeys(ports):
            self.add_row(EdgeRow(source, target, via, 0, 0, int(Step.BOTH), start, end), since)
            self.add_row(EdgeRow(target, source, via, 0, 0, int(Step.BOTH), start, end), since)
        if until < FOREVER:
            for number in range(first, self.rows.count):
                self.rows.close(number, until)
        self.joins.append(first)
        self._joins_changed = True
        return first

    # Rows

    def add_row(self, row: EdgeRow, revision: int) -> None:
        self.rows.open(row[:6], row.start, row.end, revision)

    def add_label(self, asset: int, row: LabelRow, revision: int) -> None:
        self.label_rows.open((asset, row.label), row.start, row.end, revision)

    def told_already(self, sources: Ints, targets: Ints) -> Bools:
        """For each pair of assets whether a flow between them, via no job, is believed now."""
        down, up, rows = self.down.seen(), self.up.seen(), self.rows
        found: Bools = kernels.told_already(
            sources,
            targets,
            self.assets["whole"],
            self.assets["any"],
            down.bounds,
            down.row,
            down.following,
            up.bounds,
            up.row,
            up.following,
            down.base,
            rows["source"],
            rows["target"],
            rows["via"],
            rows["step"],
            rows.times,
            FOREVER,
        )
        return found

    def edge(self, number: int) -> EdgeRow:
        rows = self.rows
        start, end = rows.times[number, : kernels.FIRST].tolist()
        source, target, via, origin, strength, step = (int(rows[name][number]) for name in EdgeRow._fields[:6])
        return EdgeRow(source, target, via, origin, strength, step, start, end)

    def label(self, attributes: Attributes) -> int:
        tags = attributes.get("tags")
        tier = attributes.get("tier")
        return self.label_code(
            Label(
                owner_names(attributes.get("owners")),
                tuple(sorted(map(str, tags))) if isinstance(tags, list) else (),
                tier if isinstance(tier, int) else None,
            )
        )

    def label_code(self, label: Label) -> int:
        code = self.labels.number(label)
        if code == self.owners_of.count:
            self.owners_of.append(self.owners.number(label.owners))
        return code

    # All of it

    def columns(self) -> dict[str, Columns]:
        """Those that hold numbers, by name."""
        return {
            "assets": self.assets,
            "vertices": self.vertices,
            "rows": self.rows,
            "labels": self.label_rows,
            "joins": self.joins,
        }

    def groupings(self) -> dict[str, Grouping]:
        return {
            "down": self.down,
            "up": self.up,
            "by_via": self.by_via,
            "labels_by_asset": self.labels_by_asset,
        }

    def copied(self, changing: AbstractContextManager[object]) -> "Tables":
        """These as they are now, to be changed apart: made beside readers and the one writer, who holds `changing`.

        At the speed of memory. What is only ever read is shared: the sorted entries, and the numbers of the keys.
        """
        twin = Tables()
        with changing:  # for references, and for the few values that are written over
            twin.revision, twin.latest = self.revision, self.latest
            held = {name: ({**table.arrays}, table.count) for name, table in self.columns().items()}
            count = self.assets.count
            held["assets"][0].update({name: self.assets[name][:count].copy() for name in _CHAINS})
            sorted_ = {name: grouping.entries() for name, grouping in self.groupings().items()}
            twin.namespaces, twin.origins = Names(self.namespaces), Names(self.origins)
            labels, twin.carried = len(self.labels), {**self.carried}
            twin.joined = {asset: [*rows] for asset, rows in self.joined.items()}
            ranks, numbers, keys = self.ranks, self.numbers, self.keys
        twin.keys, twin.numbers = keys[:count], _Onward(numbers, count)
        twin.ranks = ranks.of_first(twin.keys)
        for label in self.labels[:labels]:
            twin.label_code(label)
        for name, columns in twin.columns().items():
            arrays, rows = held[name]
            columns.adopt({column: with_room(array[:rows], rows + _SLACK) for column, array in arrays.items()}, rows)
        for timed in (twin.rows, twin.label_rows):
            last = timed.times[: timed.count, kernels.LAST]
            last[last > twin.revision] = FOREVER
        for name, grouping in twin.groupings().items():
            entries, *of = sorted_[name]
            grouping.take(entries.apart(), *of)
        twin._joins_changed = True
        return twin

    # Compaction

    @property
    def wants_compaction(self) -> bool:
        """True once the rows since the last compaction slow walks down: about two in a hundred."""
        return self.rows.count - self.rows.compacted > max(20_000, self.rows.count // 50)

    def compact(self, changing: AbstractContextManager[object]) -> None:
        """Beside readers and the one writer, who holds `changing`."""
        for table in (self.rows, self.label_rows):
            table.compact(changing, self.latest, lambda: self.revision)
        self.ranks.merge()


def ports_of(kind: AssetKind) -> tuple[Port, ...]:
    if kind is AssetKind.MODEL_VERSION:
        return (Port.WHOLE, Port.REQUESTS)
    return (Port.WHOLE, Port.ANY) if kind in TWO_PORTED else (Port.WHOLE,)


class _Onward(dict[str, int]):
    """The numbers of keys that others have given up to some number, and what is numbered here from then on."""

    def __init__(self, known: Mapping[str, int], count: int) -> None:
        super().__init__()
        self._known, self._count = known, count

    def __missing__(self, key: str) -> int:
        number = self._known[key]
        if number >= self._count:
            raise KeyError(key)
        return number

    def get(self, key: str, default: Any = None) -> Any:
        try:
            return self[key]
        except KeyError:
            return default

    def __contains__(self, key: object) -> bool:
        return self.get(str(key)) is not None

    def __len__(self) -> int:
        return self._count - 1 + super().__len__()


_NO_KIND = -1
_CHAINS = ("first_part", "last_part", "next_part")
_SLACK = 4096
"""Rows for which a copy has room at once."""
_PORT_COLUMNS = {Port.WHOLE: "whole", Port.ANY: "any", Port.REQUESTS: "requests"}
