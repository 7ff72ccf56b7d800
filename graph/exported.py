"""The graph of one revision as a file: what is believed then, and how much it is used; written by a service, read without one.

JSON, a line each, gzip or not: first the header, then blocks in any order that only name what stands before, last the end.

    {"headwater_graph": 1, "revision": 7, "at": 1764000000000000, "since_day": 20387}
    {"assets": ["dataset:shop/orders", …]}               numbered from 1, on through all blocks
    {"origins": ["manifest:shop", …]}                    numbered from 0, on through all blocks
    {"assertions": {"source": […], "target": […], "via": […], "origin": […], "basis": […],
                    "valid_from": […], "valid_until": […], "attributes": […]}}
    {"usage": {"source": […], "reader": […], "verified": […], "day": […], "calls": […], "errors": […], "first": […], "last": […]}}
    {"end": {"assets": 2, "assertions": 3, "usage": 0}}

In columns of equal length. `source` of an assertion is an asset; `target` and `via` are 0 where there is none: then it is of the
asset itself. `basis` is a place in REFINES_FIRST, `valid_until` null while it holds, `attributes` an object, or null for an empty
one. `reader` of usage is 0 for callers that could not be told. Instants are microseconds since 1970, days count from there.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import orjson

from graph.errors import InvalidInput
from graph.keys import AssetKey
from graph.loading import load
from graph.model import REFINES_FIRST, Assertion, Flow, Known, StoredAssertion, Subject
from graph.stores.contract import AssertionColumns, AssetColumns, Store
from graph.tables import Tables
from graph.time import FOREVER, Instant, Interval
from graph.topology import Bools, Ints, Moment
from graph.usage import USAGE_DAYS, Day, Usage, day_of

FORMAT = 1
"""Raised with every change that an older reader would misread."""

_BLOCK = 5_000
_ASSERTION = ("source", "target", "via", "origin", "basis", "valid_from", "valid_until", "attributes")
_USAGE = ("source", "reader", "verified", "day", "calls", "errors", "first", "last")

Columns: TypeAlias = dict[str, list[Any]]


def written(store: Store, now: Instant) -> Iterator[bytes]:
    """The lines, of the store's head as it is when the first is taken; `now` is the moment that questions will be about."""
    since = day_of(now) - USAGE_DAYS + 1
    keys: list[AssetKey] = []
    assertions = usages = 0
    with store.export() as export:  # read at once: whoever takes the lines slowly holds no store
        revision, assets, told = export.revision, [*export.assets()], [*export.assertions()]
    yield _line({"headwater_graph": FORMAT, "revision": revision, "at": now, "since_day": since})
    place_of = np.zeros(1 + max((int(chunk.number.max(initial=0)) for chunk in assets), default=0), np.int64)
    for chunk in assets:
        place_of[chunk.number] = np.arange(len(keys) + 1, len(keys) + 1 + len(chunk.key))
        keys += map(AssetKey.parse, chunk.key)
        for start in range(0, len(chunk.key), _BLOCK):
            yield _line({"assets": chunk.key[start : start + _BLOCK]})
    origins: dict[str, int] = {}
    for rows in told:
        new = [name for name in rows.origins if name not in origins]
        origins |= {name: place for place, name in enumerate(new, len(origins))}
        if new:
            yield _line({"origins": new})
        believed = np.flatnonzero((rows.known_first <= revision) & (rows.known_last > revision))
        for start in range(0, len(believed), _BLOCK):
            chosen = believed[start : start + _BLOCK]
            columns = _assertions(store, revision, rows, chosen, place_of, keys, origins)
            assertions += len(chosen)
            yield _line({"assertions": columns})
    numbers = {key: place for place, key in enumerate(keys, 1)}
    for start in range(0, len(keys), _BLOCK):
        called = {*keys[start : start + _BLOCK]}
        counted = [each for each in store.usage(called, since) if each.source in called]
        known = [each for each in counted if each.reader is None or each.reader in numbers]
        if known:
            usages += len(known)
            yield _line({"usage": _usage(known, numbers)})
    yield _line({"end": {"assets": len(keys), "assertions": assertions, "usage": usages}})


def _line(block: Mapping[str, object]) -> bytes:
    return orjson.dumps(block, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_SERIALIZE_NUMPY)


def _assertions(
    store: Store,
    revision: int,
    rows: AssertionColumns,
    chosen: Ints,
    place_of: Ints,
    keys: Sequence[AssetKey],
    origins: Mapping[str, int],
) -> Columns:
    source, target, via = (place_of[each[chosen]].tolist() for each in (rows.source, rows.target, rows.via))
    said = [rows.origins[code] for code in rows.origin[chosen].tolist()]
    starts, ends = rows.valid_start[chosen].tolist(), rows.valid_end[chosen].tolist()
    flows = [
        Flow(keys[one - 1], keys[other - 1], keys[job - 1] if job else None) if other else None
        for one, other, job in zip(source, target, via, strict=True)
    ]
    told = store.believed_at({flow for flow in flows if flow}, revision) if any(flows) else {}
    of_flows = {
        (each.assertion.subject, each.assertion.origin, each.assertion.valid.start): each.assertion.attributes
        for stored in told.values()
        for each in stored
        if each.assertion.attributes
    }
    texts = [rows.attributes[row] for row in chosen.tolist()]
    attributes = [
        of_flows.get((flow, origin, start)) if flow else orjson.Fragment(text) if text not in {"", "{}"} else None
        for flow, origin, start, text in zip(flows, said, starts, texts, strict=True)
    ]
    return {
        "source": source,
        "target": target,
        "via": via,
        "origin": [origins[name] for name in said],
        "basis": rows.basis[chosen].tolist(),
        "valid_from": starts,
        "valid_until": [None if end == FOREVER else end for end in ends],
        "attributes": attributes,
    }


def _usage(counted: Iterable[Usage], numbers: Mapping[AssetKey, int]) -> Columns:
    told = sorted(counted, key=lambda each: (str(each.source), str(each.reader or ""), each.verified, each.day))
    columns = [
        (
            numbers[each.source],
            0 if each.reader is None else numbers[each.reader],
            each.verified,
            each.day,
            each.calls,
            each.errors,
            each.first,
            each.last,
        )
        for each in told
    ]
    return {name: [*column] for name, column in zip(_USAGE, zip(*columns, strict=True), strict=True)}


class Exported:
    """A file read: an `Export` to make an index from, a `GraphReader` to plan against, and the usage.

    All of it is known as of its one revision; what was believed earlier is not in it.
    """

    def __init__(self, lines: Iterable[bytes]) -> None:
        """Raises InvalidInput for what is no such file, is of another version, or does not end as one."""
        header, blocks = _blocks(lines)
        self.revision: int = header["revision"]
        self.moment = Moment(header["at"], self.revision)
        self._keys: list[str] = blocks["assets"]
        self._numbers = {key: place for place, key in enumerate(self._keys, 1)}
        self._places: dict[AssetKey, int] = {}
        self._origins: list[str] = blocks["origins"]
        columns = blocks["assertions"]
        try:
            self._source, self._target, self._via, self._origin, self._basis, self._from = (
                np.array(columns[name], np.int64) for name in _ASSERTION[:6]
            )
            self._until = np.array([FOREVER if each is None else each for each in columns["valid_until"]], np.int64)
        except (ValueError, TypeError, OverflowError) as error:
            raise InvalidInput(f"the export's assertions are not as its format has them: {error}") from error
        self._attributes: list[dict[str, Any] | None] = columns["attributes"]
        self._usage: Columns = blocks["usage"]
        ends = [*map(len, (self._source, self._target, self._via, self._origin, self._basis, self._from, self._until))]
        if {*ends} != {len(self._attributes)} or any(
            int(column.min(initial=0)) < 0 or int(column.max(initial=-1)) > most
            for column, most in (
                (self._source, len(self._keys)),
                (self._target, len(self._keys)),
                (self._via, len(self._keys)),
                (self._origin, len(self._origins) - 1),
                (self._basis, len(REFINES_FIRST) - 1),
            )
        ):
            raise InvalidInput("the export's assertions are not as its format has them: they name what is not there")

    def tables(self) -> Tables:
        """A new index of it."""
        tables = Tables()
        load(tables, self, self.moment.at)
        return tables

    # As an Export

    def assets(self) -> Iterator[AssetColumns]:
        yield AssetColumns(np.arange(1, len(self._keys) + 1), [*self._keys])

    def assertions(self) -> Iterator[AssertionColumns]:
        every = len(self._source)
        yield AssertionColumns(
            number=np.arange(1, every + 1),
            source=self._source,
            target=self._target,
            via=self._via,
            origin=self._origin,
            basis=self._basis,
            valid_start=self._from,
            valid_end=self._until,
            known_first=np.full(every, self.revision),
            known_last=np.full(every, FOREVER),
            attributes=[
                "" if target else orjson.dumps(said or {}).decode()
                for target, said in zip(self._target.tolist(), self._attributes, strict=True)
            ],
            origins=self._origins,
        )

    # As a GraphReader

    def head(self) -> int:
        return self.revision

    def believed(self, subjects: Collection[Subject]) -> Mapping[Subject, tuple[Assertion, ...]]:
        found = {}
        for subject in subjects:
            rows = self._rows_of(subject)
            if rows:
                said = [self._assertion(row, subject) for row in rows]
                found[subject] = tuple(sorted(said, key=_in_order) if len(said) > 1 else said)
        return found

    def believed_at(
        self, subjects: Collection[Subject], revision: int
    ) -> Mapping[Subject, tuple[StoredAssertion, ...]]:
        """As `Store.believed_at`, of the revision that the file holds, whichever is asked for."""
        known = Known(self.revision)
        return {
            subject: tuple([StoredAssertion(0, each, known) for each in said])
            for subject, said in self.believed(subjects).items()
        }

    def believed_by(self, origin: str) -> Mapping[Subject, tuple[Assertion, ...]]:
        if origin not in self._origins:
            return {}
        rows = np.flatnonzero(self._origin == self._origins.index(origin))
        found: dict[Subject, list[Assertion]] = {}
        for row in rows.tolist():
            subject = self._subject(row)
            found.setdefault(subject, []).append(self._assertion(row, subject))
        return {subject: tuple(sorted(said, key=lambda each: each.valid.start)) for subject, said in found.items()}

    def touching(self, keys: Collection[AssetKey]) -> Collection[Subject]:
        texts = {str(key) for key in keys}
        among = {
            place
            for place, text in enumerate(self._keys, 1)
            if text in texts or ("#" in text and str(AssetKey.parse(text).container) in texts)
        }
        places = np.array(sorted(among), np.int64)
        parts = np.array([place for place in places.tolist() if self._keys[place - 1] not in texts], np.int64)
        of_flow = self._target > 0
        touched: Bools = np.isin(self._source, parts) & ~of_flow
        for ends in (self._source, self._target, self._via):
            touched |= of_flow & np.isin(ends, places)
        return {self._subject(row) for row in np.flatnonzero(touched).tolist()}

    def versions(self, keys: Collection[AssetKey]) -> Mapping[AssetKey, int]:
        """An export does not tell when something changed last."""
        return {}

    def usage(self, keys: Collection[AssetKey], since_day: Day) -> list[Usage]:
        """As `Store.usage`."""
        places = {self._place(key) for key in keys}
        rows = sorted({row for place in places for row in self._usage_at.get(place, ())})
        found = [self._counted(row) for row in rows]
        return sorted(
            (each for each in found if each.day >= since_day),
            key=lambda each: (str(each.source), str(each.reader or ""), each.verified, each.day),
        )

    @cached_property
    def _usage_at(self) -> dict[int, list[int]]:
        """The rows of usage by the asset that is called, and by the one that calls."""
        found: dict[int, list[int]] = {}
        for row, ends in enumerate(zip(self._usage["source"], self._usage["reader"], strict=True)):
            for end in {*ends} - {0}:
                found.setdefault(end, []).append(row)
        return found

    def _counted(self, row: int) -> Usage:
        source, reader, verified, day, calls, errors, first, last = (self._usage[name][row] for name in _USAGE)
        return Usage(
            self._key(source), self._key(reader) if reader else None, verified, day, calls, errors, first, last
        )

    def _key(self, place: int) -> AssetKey:
        return AssetKey.parse(self._keys[place - 1])

    def _subject(self, row: int) -> Subject:
        source, target, via = (int(ends[row]) for ends in (self._source, self._target, self._via))
        if not target:
            return self._key(source)
        return Flow(self._key(source), self._key(target), self._key(via) if via else None)

    def _assertion(self, row: int, subject: Subject) -> Assertion:
        return Assertion(
            subject,
            self._origins[int(self._origin[row])],
            REFINES_FIRST[int(self._basis[row])],
            Interval(int(self._from[row]), int(self._until[row])),
            self._attributes[row] or {},
        )

    def _rows_of(self, subject: Subject) -> list[int]:
        place = self._place
        if isinstance(subject, Flow):
            source, target, via = subject
            return self._rows.get((place(source), place(target), place(via) if via else 0), [])
        return self._rows.get((place(subject), 0, 0), [])

    @cached_property
    def _rows(self) -> dict[tuple[int, int, int], list[int]]:
        """By source, target and via: thousands of flows are asked for, one by one."""
        found: dict[tuple[int, int, int], list[int]] = {}
        ends = zip(self._source.tolist(), self._target.tolist(), self._via.tolist(), strict=True)
        for row, subject in enumerate(ends):
            found.setdefault(subject, []).append(row)
        return found

    def _place(self, key: AssetKey) -> int:
        place = self._places.get(key)
        if place is None:
            place = self._places[key] = self._numbers.get(str(key), -1)
        return place


def _in_order(said: Assertion) -> tuple[str, Instant]:
    return said.origin, said.valid.start


def _blocks(lines: Iterable[bytes]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The header, and all blocks of one name joined."""
    found: dict[str, Any] = {
        "assets": [],
        "origins": [],
        "assertions": {name: [] for name in _ASSERTION},
        "usage": {name: [] for name in _USAGE},
    }
    header = end = None
    for number, line in enumerate(lines, 1):
        try:
            block = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            cut = "it is cut short: " if header is not None and not line.endswith(b"\n") else ""
            raise InvalidInput(f"line {number} of the export: {cut}{error}") from error
        if header is None:
            header = _header(block)
            continue
        if end is not None or not isinstance(block, dict) or len(block) != 1:
            raise InvalidInput(f"line {number} of the export is no block of it")
        ((name, told),) = block.items()
        if name == "end":
            end = told
        elif name not in found or type(told) is not type(found[name]):
            raise InvalidInput(f"line {number} of the export is no block of it: {name!r}")
        elif isinstance(told, list):
            found[name] += told
        else:
            for column, values in found[name].items():
                values.extend(told.get(column, ()))
    if header is None:
        raise InvalidInput("the export is empty")
    counted = {
        "assets": len(found["assets"]),
        "assertions": len(found["assertions"]["source"]),
        "usage": len(found["usage"]["source"]),
    }
    if end is None:
        raise InvalidInput("the export is cut short: its last line does not say that it ends there")
    if end != counted:
        raise InvalidInput(f"the export is not whole: it holds {counted}, and says that it ends with {end}")
    return header, found


def _header(block: object) -> dict[str, Any]:
    if not isinstance(block, dict) or "headwater_graph" not in block:
        raise InvalidInput("it is no export of a graph: its first line is not a header with headwater_graph")
    if block["headwater_graph"] != FORMAT:
        raise InvalidInput(
            f"the export is of version {block['headwater_graph']} of its form; this program reads version {FORMAT}"
        )
    if not all(isinstance(block.get(name), int) for name in ("revision", "at", "since_day")):
        raise InvalidInput("the export's header lacks revision, at or since_day")
    return block
