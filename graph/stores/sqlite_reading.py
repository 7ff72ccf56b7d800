"""What is read from the SQLite store's tables, within whatever transaction the connection is in."""

import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import TypeAlias, TypeVar

import orjson

from graph.changes import Receipt
from graph.errors import OperationReused
from graph.keys import AssetKey, AssetKind
from graph.model import REFINES_FIRST, Assertion, Attributes, Flow, Known, Operation, StoredAssertion, Subject
from graph.stores.contract import Revision
from graph.time import FOREVER, Interval

T = TypeVar("T")

_CHUNK = 500
_MOST_NAMES = 65_536

_ROW = """
    SELECT a.number, a.known_first, a.known_last, a.basis, a.valid_start, a.valid_end, a.attributes,
           o.name, k.key, s.key, t.key, v.key
    FROM assertion a
    JOIN origin o ON o.number = a.origin
    LEFT JOIN asset k ON k.number = a.asset
    LEFT JOIN flow f ON f.number = a.flow
    LEFT JOIN asset s ON s.number = f.source
    LEFT JOIN asset t ON t.number = f.target
    LEFT JOIN asset v ON v.number = f.via AND f.via > 0
"""
_OF_ASSETS = """
    SELECT a.asset, a.number, a.known_first, a.known_last, a.basis, a.valid_start, a.valid_end, a.attributes, a.origin
    FROM json_each(?) w CROSS JOIN assertion a ON a.asset = w.value
"""
_OF_FLOWS = """
    SELECT a.flow, a.number, a.known_first, a.known_last, a.basis, a.valid_start, a.valid_end, a.attributes, a.origin
    FROM json_each(?) w CROSS JOIN assertion a ON a.flow = w.value
"""
_FLOW_NUMBERS = """
    SELECT w.key, f.number FROM json_each(?) w CROSS JOIN flow f ON f.source = json_extract(w.value, '$[0]')
    AND f.target = json_extract(w.value, '$[1]') AND f.via = json_extract(w.value, '$[2]')
"""
_OPEN, _THEN = f" WHERE a.known_last = {FOREVER}", " WHERE a.known_first <= :then AND a.known_last > :then"

_Row: TypeAlias = tuple[int, int, int, int, int, int, str, str, str | None, str | None, str | None, str | None]


class Numbers:
    """Numbers of assets and origins that were committed. They are never changed, so what was read once stays true."""

    def __init__(self) -> None:
        self._assets: dict[AssetKey, int] = {}
        self.origins: dict[str, int] = {}
        self._origin_names: dict[int, str] = {}

    def add(self, assets: Mapping[AssetKey, int], origins: Mapping[str, int]) -> None:
        if len(self._assets) + len(assets) > _MOST_NAMES:
            self._assets.clear()
        if len(assets) <= _MOST_NAMES:
            self._assets.update(assets)
        for name, number in origins.items():
            self.origins[name] = number
            self._origin_names[number] = name

    def of_assets(self, db: sqlite3.Connection, keys: Iterable[AssetKey]) -> dict[AssetKey, int]:
        """Of those that have one."""
        found: dict[AssetKey, int] = {}
        missing: dict[str, AssetKey] = {}
        known = self._assets
        for key in keys:
            number = known.get(key)
            if number is not None:
                found[key] = number
            else:
                missing[str(key)] = key
        if missing:
            rows = db.execute(
                "SELECT a.key, a.number FROM json_each(?) w CROSS JOIN asset a ON a.key = w.value", [_json([*missing])]
            )
            read = {missing[text]: number for text, number in rows}
            self.add(read, {})
            found |= read
        return found

    def of_origin(self, db: sqlite3.Connection, name: str) -> int | None:
        if name not in self.origins:
            for (number,) in db.execute("SELECT number FROM origin WHERE name = ?", [name]):
                self.add({}, {name: number})
        return self.origins.get(name)

    def origin_name(self, db: sqlite3.Connection, number: int) -> str:
        name = self._origin_names.get(number)
        if name is None:
            (name,) = db.execute("SELECT name FROM origin WHERE number = ?", [number]).fetchone()
            self.add({}, {name: number})
        return name


def head(db: sqlite3.Connection) -> int:
    return int(db.execute("SELECT coalesce(max(number), 0) FROM revision").fetchone()[0])


def open_assertions(
    db: sqlite3.Connection, subjects: Iterable[Subject], numbers: Numbers
) -> dict[Subject, list[StoredAssertion]]:
    """What is believed now, by origin and start."""
    return assertions_of(db, numbered(db, subjects, numbers), numbers)


def assertions_of(
    db: sqlite3.Connection,
    found: Mapping[Subject, int] | Mapping[AssetKey, int],
    numbers: Numbers,
    then: int | None = None,
) -> dict[Subject, list[StoredAssertion]]:
    """What is believed now, or was at the revision `then`, of subjects whose numbers are `found`."""
    assets = {number: subject for subject, number in found.items() if isinstance(subject, AssetKey)}
    flows = {number: subject for subject, number in found.items() if isinstance(subject, Flow)}
    said: dict[Subject, list[StoredAssertion]] = {}
    for query, subjects in ((_OF_ASSETS, assets), (_OF_FLOWS, flows)):
        if not subjects:
            continue
        if then is None:
            rows = db.execute(f"{query}{_OPEN}", [_json([*subjects])])
        else:
            rows = db.execute(
                f"{query.replace('?', ':subjects')}{_THEN}", {"subjects": _json([*subjects]), "then": then}
            )
        for of, number, first, last, basis, start, end, attributes, origin in rows.fetchall():
            subject = subjects[of]
            content: Attributes = {} if attributes == "{}" else orjson.loads(attributes)
            name = numbers.origin_name(db, origin)
            assertion = Assertion(subject, name, REFINES_FIRST[basis], Interval(start, end), content)
            said.setdefault(subject, []).append(StoredAssertion(number, assertion, Known(first, last)))
    for each in said.values():
        if len(each) > 1:
            each.sort(key=in_order)
    return said


def in_order(row: StoredAssertion) -> tuple[str, int, int]:
    return row.assertion.origin, row.assertion.valid.start, row.known.first


def numbered(db: sqlite3.Connection, subjects: Iterable[Subject], numbers: Numbers) -> dict[Subject, int]:
    """The numbers of those of `subjects` that are stored."""
    assets, flows = [], []
    ends: set[AssetKey] = set()
    for subject in subjects:
        if isinstance(subject, Flow):
            flows.append(subject)
            ends.update(subject if subject.via else subject[:2])  # type: ignore[arg-type]  # none of them is None
        else:
            assets.append(subject)
            ends.add(subject)
    found = numbers.of_assets(db, ends)
    return {key: found[key] for key in assets if key in found} | flow_numbers(db, flows, found)


def flow_numbers(db: sqlite3.Connection, flows: Iterable[Flow], assets: Mapping[AssetKey, int]) -> dict[Subject, int]:
    """The numbers of those of `flows` that are stored, between `assets`."""
    wanted, ends = [], []
    for flow in flows:
        source, target = assets.get(flow.source), assets.get(flow.target)
        via = assets.get(flow.via) if flow.via else 0
        if source is not None and target is not None and via is not None:
            wanted.append(flow)
            ends.append((source, target, via))
    if not wanted:
        return {}
    return {wanted[place]: number for place, number in db.execute(_FLOW_NUMBERS, [_json(ends)])}


def believed_by(db: sqlite3.Connection, origin: str) -> dict[Subject, list[StoredAssertion]]:
    rows = db.execute(
        f"{_ROW} WHERE o.name = ? AND a.known_last = ? ORDER BY o.name, a.valid_start, a.known_first", [origin, FOREVER]
    )
    found: dict[Subject, list[StoredAssertion]] = {}
    for row in map(_stored, rows):
        found.setdefault(row.assertion.subject, []).append(row)
    return found


def touching(db: sqlite3.Connection, keys: Collection[AssetKey]) -> Collection[Subject]:
    touched: dict[Subject, None] = {}
    for chunk in chunks(keys):
        reach = (
            f"WITH reach AS (SELECT number FROM asset WHERE key IN ({marks(chunk)}) UNION"
            f" SELECT p.number FROM asset k JOIN asset p ON p.container = k.number WHERE k.key IN ({marks(chunk)}))"
        )
        texts = [str(key) for key in chunk]
        parts = db.execute(
            f"{reach} SELECT k.key FROM reach JOIN asset k USING (number) WHERE EXISTS (SELECT 1 FROM assertion a"
            " WHERE a.asset = k.number AND a.known_last = ?) ORDER BY k.key",
            [*texts, *texts, FOREVER],
        )
        touched |= dict.fromkeys(part for (text,) in parts if (part := key(text)) not in chunk)
        flows = db.execute(
            f"{reach} SELECT s.key, t.key, v.key FROM flow f JOIN asset s ON s.number = f.source"
            " JOIN asset t ON t.number = f.target LEFT JOIN asset v ON v.number = f.via AND f.via > 0"
            " WHERE (f.number IN (SELECT number FROM flow WHERE source IN reach)"
            " OR f.number IN (SELECT number FROM flow WHERE target IN reach)"
            " OR f.number IN (SELECT number FROM flow WHERE via IN reach AND via > 0))"
            " AND EXISTS (SELECT 1 FROM assertion a WHERE a.flow = f.number AND a.known_last = ?)"
            " ORDER BY s.key, t.key, v.key",
            [*texts, *texts, FOREVER],
        )
        touched |= dict.fromkeys(Flow(key(s), key(t), v and key(v)) for s, t, v in flows)
    return touched.keys()


def versions(db: sqlite3.Connection, keys: Collection[AssetKey]) -> dict[AssetKey, int]:
    found: dict[AssetKey, int] = {}
    for chunk in chunks(keys):
        rows = db.execute(
            f"SELECT key, version FROM asset WHERE version IS NOT NULL AND key IN ({marks(chunk)})", [*map(str, chunk)]
        )
        found |= {key(text): version for text, version in rows}
    return found


def answers(db: sqlite3.Connection, ids: Collection[str]) -> dict[str, tuple[str, Receipt]]:
    """The digest and the answer of each operation that happened."""
    rows = db.execute(
        "SELECT o.id, o.digest, o.receipt FROM json_each(?) w CROSS JOIN operation o ON o.id = w.value", [_json([*ids])]
    )
    return {id_: (digest, Receipt(**orjson.loads(answer))) for id_, digest, answer in rows}


def answered(operation: Operation, given: Mapping[str, tuple[str, Receipt]]) -> Receipt | None:
    """What `operation` was answered. Raises OperationReused."""
    if operation.id is None or operation.id not in given:
        return None
    digest, answer = given[operation.id]
    if digest != operation.digest:
        raise OperationReused(operation.id)
    return answer


def revisions(
    db: sqlite3.Connection, numbers: Sequence[int], about: str = "1", parameters: Mapping[str, int] | None = None
) -> list[Revision]:
    if not numbers:
        return []
    within = f"({', '.join(map(str, numbers))})"
    opened: dict[int, list[StoredAssertion]] = {}
    closed: dict[int, list[StoredAssertion]] = {}
    for column, into in (("known_first", opened), ("known_last", closed)):
        rows = db.execute(f"{_ROW} WHERE a.{column} IN {within} AND {about} ORDER BY a.number", parameters or {})
        for row in map(_stored, rows):
            into.setdefault(row.known.first if into is opened else row.known.last, []).append(row)
    return [
        Revision(number, at, operation, actor, tuple(opened.get(number, ())), tuple(closed.get(number, ())))
        for number, at, operation, actor in db.execute(
            f"SELECT number, at, operation, actor FROM revision WHERE number IN {within} ORDER BY number"
        )
    ]


def with_said(db: sqlite3.Connection, told: Sequence[Revision], numbers: Numbers) -> list[Revision]:
    """Revisions that follow one another, with all that was believed of the assets they tell of.

    One reading of what was believed before the first; from there, what each one opened and closed says the rest.
    """
    about = [_assets_of(revision) for revision in told]
    if not any(about):
        return list(told)
    found = numbers.of_assets(db, set().union(*about))
    believed: dict[AssetKey, dict[int, StoredAssertion]] = {key: {} for key in found}
    for key, rows in assertions_of(db, found, numbers, told[0].number - 1).items():
        if isinstance(key, AssetKey):
            believed[key] = {row.number: row for row in rows}
    whole = []
    for revision, keys in zip(told, about, strict=True):
        for row in revision.closed:
            if isinstance(row.assertion.subject, AssetKey):
                del believed[row.assertion.subject][row.number]
        for row in revision.opened:
            if isinstance(row.assertion.subject, AssetKey):
                believed[row.assertion.subject][row.number] = row
        said = {key: tuple(row.assertion for row in sorted(believed[key].values(), key=in_order)) for key in keys}
        whole.append(
            Revision(
                revision.number,
                revision.at,
                revision.operation,
                revision.actor,
                revision.opened,
                revision.closed,
                said,
            )
        )
    return whole


def _assets_of(revision: Revision) -> dict[AssetKey, None]:
    subjects = (row.assertion.subject for rows in (revision.opened, revision.closed) for row in rows)
    return {subject: None for subject in subjects if isinstance(subject, AssetKey)}


def _stored(row: _Row) -> StoredAssertion:
    number, first, last, basis, start, end, attributes, origin, asset, source, target, via = row
    flow = Flow(key(source), key(target), key(via) if via else None) if source and target else None
    subject: Subject = flow or key(asset or "")
    content: Attributes = {} if attributes == "{}" else orjson.loads(attributes)
    assertion = Assertion(subject, origin, REFINES_FIRST[basis], Interval(start, end), content)
    return StoredAssertion(number, assertion, Known(first, last))


def of_kinds(column: str, kinds: Collection[AssetKind]) -> str:
    return f"AND {column} IN ({marks(kinds)})" if kinds else ""


def marks(items: Collection[object]) -> str:
    return ", ".join("?" * len(items))


def chunks(items: Collection[T]) -> Iterator[list[T]]:
    listed = list(items)
    for start in range(0, len(listed), _CHUNK):
        yield listed[start : start + _CHUNK]


def _json(value: object) -> str:
    return orjson.dumps(value).decode()


key = lru_cache(maxsize=65536)(AssetKey.parse)
"""The key that a stored text writes."""
