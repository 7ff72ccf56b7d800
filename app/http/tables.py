"""A lineage answer as JSON columns, JSON lines, or an Arrow stream: in pieces, so that neither memory nor a thread is held for long."""

from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np
import orjson

from graph.impact import When
from graph.summary import COLUMNS, Table
from graph.time import moment
from graph.topology import KINDS, Ints, Label
from graph.walk import Lineage

_ROWS = 10_000
"""In a piece: some 10 ms of work."""


def facts(lineage: Lineage, total: int) -> dict[str, object]:
    """What proves an answer, whatever its form."""
    return {
        "start": str(lineage.start),
        "direction": lineage.direction,
        "follow": lineage.follow,
        "revision": lineage.moment.revision,
        "at": moment(lineage.moment.at),
        "complete": lineage.complete,
        "incompleteReason": None if lineage.complete else "DEPTH",
        "frontier": [str(key) for key in lineage.frontier],
        "total": total,
        "reached": len(lineage),
        "sameAs": {str(key): [*map(str, others)] for key, others in lineage.names().items()},
    }


def json_columns(table: Table) -> Iterator[bytes]:
    """An object of lists of equal length."""
    titles: list[bytes] = []
    opening = b"{"
    for name, read in COLUMNS.items():
        yield opening + orjson.dumps(name) + b":["
        for number, (start, part) in enumerate(_parts(table)):
            if start:
                yield b","
            yield titles[number] if name == "title" else _values(read(part))
            if name == "key":  # whose texts, far apart in memory, are at hand now: this halves what titles take
                titles.append(_values(COLUMNS["title"](part)))
        opening = b"],"
    yield b"]}"


def _values(column: list[object]) -> bytes:
    return orjson.dumps(column)[1:-1]


def json_document(table: Table) -> Iterator[bytes]:
    yield orjson.dumps(facts(table.lineage, len(table)))[:-1] + b',"columns":'
    yield from json_columns(table)
    yield b"}"


def json_lines(table: Table) -> Iterator[bytes]:
    """The facts first, so that a reader knows how much to expect, and a footer, so that it knows it has it all."""
    yield orjson.dumps({"lineage": facts(table.lineage, len(table))}) + b"\n"
    for _, part in _parts(table):
        yield _lines(part)
    yield orjson.dumps({"end": {"total": len(table)}}) + b"\n"


_OWN = ("key", "title", "hops")
"""What hardly two rows say alike; all the rest is written once for all rows of a piece that say the same."""


def _lines(part: Table) -> bytes:
    lineage, view = part.lineage, part.lineage.view
    same = part.label_codes.astype(np.int64) + 1
    for codes, count in (
        (part.owner_codes, len(view.owners)),
        (view.namespace[part.assets], len(view.namespaces)),
        (view.kind[part.assets], len(KINDS)),
        (part.felt[part.rows], len(When)),
        (lineage.partly[part.rows], 2),
        (lineage.stub[part.rows], 2),
    ):
        same = same * count + codes
    _, first, place = np.unique(same, return_index=True, return_inverse=True)
    some = Table(lineage, part.rows[first], part.felt, part.labels)
    common = {name: read(some) for name, read in COLUMNS.items() if name not in _OWN}
    names = tuple(common)
    rows = [dict(zip(names, row, strict=True)) for row in zip(*common.values(), strict=True)]
    before = [_members({name: row[name] for name in names[:2]}) for row in rows]
    after = [_members({name: row[name] for name in names[2:]}) for row in rows]
    written = [
        f'{{"asset":{{"key":"{key}",{before[at]},"title":{title},"hops":{hops},{after[at]}}}}}\n'
        for key, title, hops, at in zip(
            part.texts(),  # a key's text needs no escapes in JSON
            _texts(COLUMNS["title"](part)),
            lineage.hops[part.rows].tolist(),
            place.tolist(),
            strict=True,
        )
    ]
    return "".join(written).encode()


def _members(row: dict[str, object]) -> str:
    return orjson.dumps(row).decode()[1:-1]


def _texts(values: Iterable[object]) -> list[str]:
    """Each as JSON."""
    return [orjson.dumps(value).decode() for value in values]


def arrow_stream(table: Table) -> Iterator[bytes]:
    """The Arrow IPC stream: columns as in JSON, kind, namespace and when as dictionaries, the facts in the schema's metadata.

    Texts among the facts stand as they are, everything else as JSON. A reader that found `total` rows has it all.
    """
    import pyarrow as pa  # noqa: PLC0415 (30 MB that only this needs)

    lineage, view = table.lineage, table.lineage.view
    namespaces, namespace_codes = np.unique(view.namespace[table.assets], return_inverse=True)
    codes = np.fromiter(table.labels, np.int64, len(table.labels))
    places = np.zeros(int(codes.max(initial=0)) + 2, np.int32)
    places[codes + 1] = np.arange(len(codes))

    def dictionary(values: list[str]) -> Callable[[Ints], pa.Array]:
        known = pa.array(values, pa.string())
        return lambda codes: pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32)), known)

    def of_labels(read: Callable[[Label], object], kind: pa.DataType) -> Callable[[Table], pa.Array]:
        known = pa.array([read(label) for label in table.labels.values()], kind)
        return lambda part: known.take(pa.array(places[part.label_codes + 1]))

    kinds = dictionary([kind.value for kind in KINDS])
    spaces = dictionary([view.namespaces[code] for code in namespaces.tolist()])
    whens = dictionary([when.name for when in When])
    texts = pa.list_(pa.string())
    owners = pa.array(view.owners, texts)
    tags = of_labels(lambda label: label.tags, texts)
    tier = of_labels(lambda label: label.tier, pa.int8())
    fields = [
        ("key", pa.string()),
        ("kind", pa.dictionary(pa.int32(), pa.string())),
        ("namespace", pa.dictionary(pa.int32(), pa.string())),
        ("title", pa.string()),
        ("hops", pa.int32()),
        ("when", pa.dictionary(pa.int32(), pa.string())),
        ("partly", pa.bool_()),
        ("stub", pa.bool_()),
        ("owners", texts),
        ("tags", texts),
        ("tier", pa.int8()),
    ]
    assert [name for name, _ in fields] == [*COLUMNS]
    schema = pa.schema(
        [pa.field(name, kind, nullable=name == "tier") for name, kind in fields],
        metadata=_as_texts(facts(lineage, len(table))),
    )
    written = _Written()
    with pa.ipc.new_stream(written, schema) as writer:
        for start, part in _parts(table):
            arrays = [
                pa.array(part.texts(), pa.string()),
                kinds(view.kind[part.assets]),
                spaces(namespace_codes[start : start + len(part)]),
                pa.array(COLUMNS["title"](part), pa.string()),
                pa.array(lineage.hops[part.rows].astype(np.int32)),
                whens(part.felt[part.rows]),
                pa.array(lineage.partly[part.rows]),
                pa.array(lineage.stub[part.rows]),
                owners.take(pa.array(part.owner_codes)),
                tags(part),
                tier(part),
            ]
            writer.write_batch(pa.record_batch(arrays, schema=schema))
            yield written.taken()
    yield written.taken()


class _Written:
    """A file that holds only what was written since it was last asked."""

    closed = False

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._size = 0

    def write(self, data: bytes) -> int:
        self._pieces.append(bytes(data))
        self._size += len(data)
        return len(data)

    def tell(self) -> int:
        return self._size

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        self.closed = True

    def taken(self) -> bytes:
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)


def _parts(table: Table) -> Iterator[tuple[int, Table]]:
    for start in range(0, len(table), _ROWS):
        yield start, table.part(start, start + _ROWS)


def _as_texts(facts: Mapping[str, object]) -> dict[str, str]:
    return {
        name: value if type(value) is str else orjson.dumps(value).decode().strip('"') for name, value in facts.items()
    }
