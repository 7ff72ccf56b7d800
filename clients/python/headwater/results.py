"""Answers as sequences: to iterate, filter, hand to pandas, and look at."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload
from urllib.parse import unquote

from pydantic import BaseModel

from headwater import display
from headwater.schema.enums import AssetKind, Direction, Timing, WhenFelt
from headwater.schema.fragments import Flow, Hit, Use
from headwater.schema.get_lineage import GetLineageLineageLineage
from headwater.schema.get_paths import GetPathsPathsPaths

if TYPE_CHECKING:
    import pandas as pd
    from typing_extensions import Self

Row = TypeVar("Row")


class Rows(Sequence[Row], Generic[Row]):
    """Rows in the order of the answer."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self._rows = tuple(rows)

    @overload
    def __getitem__(self, place: int) -> Row: ...
    @overload
    def __getitem__(self, place: slice) -> Self: ...
    def __getitem__(self, place: int | slice) -> Row | Self:
        return self._with(self._rows[place]) if isinstance(place, slice) else self._rows[place]

    def __len__(self) -> int:
        return len(self._rows)

    def filter(self, keep: Callable[[Row], bool] | None = None, /, **equal: Any) -> Self:
        """The rows that `keep` is true of, and whose attributes are as given: one value, or any of a list.

        Texts are compared without regard to case, so that `kind="consumer"` is what it says.

        >>> reached = client.impact("column:warehouse/payments#amount")
        >>> [row.title for row in reached.filter(lambda row: row.hops > 1, kind=["feature", "deployment", "consumer"])]
        ['scores', 'checkout']
        """
        return self._with(
            row
            for row in self._rows
            if (keep is None or keep(row)) and all(_is(getattr(row, name), value) for name, value in equal.items())
        )

    def to_dicts(self) -> list[dict[str, Any]]:
        """Each row as plain values, as JSON has them.

        >>> client.search("fraud", kinds=["model"]).to_dicts()[0]["key"]
        'model:risk/fraud'
        """
        return [_as_dict(row) for row in self._rows]

    def to_pandas(self) -> pd.DataFrame:
        """A DataFrame, a row each; pandas must be installed.

        >>> client.impact("column:warehouse/payments#amount").to_pandas().key.iloc[0]
        'feature:shop/payments#mean_30d'
        """
        import pandas as pd  # noqa: PLC0415 (only who asks for it needs it)

        return pd.DataFrame(self.to_dicts(), columns=None if self._rows else self._columns())

    def _columns(self) -> list[str] | None:
        return None

    def _with(self, rows: Iterable[Row]) -> Self:
        """The same answer with fewer rows."""
        copy = object.__new__(type(self))
        copy.__dict__.update(self.__dict__)
        copy._rows = tuple(rows)
        return copy

    def _heading(self) -> str:
        raise NotImplementedError

    def _table(self) -> display.Table:
        raise NotImplementedError

    def _graph(self) -> display.Graph | None:
        return None

    def __repr__(self) -> str:
        return display.text(self._heading(), self._table(), len(self))

    def _repr_html_(self) -> str:
        return display.html(self._heading(), self._table(), len(self), self._graph())


@dataclass(frozen=True)
class Reached:
    """An asset of a lineage."""

    key: str
    kind: AssetKind
    namespace: str
    title: str
    hops: int
    """How many flows away."""
    when: WhenFelt
    """When a change of the start is felt here."""
    partly: bool
    """Some of it is reached, not all of it."""
    stub: bool
    """Known only as the end of a flow."""
    owners: tuple[str, ...]
    tags: tuple[str, ...]
    tier: int | None


class Lineage(Rows[Reached]):
    """What an asset reaches, nearest first.

    >>> reached = client.impact("column:warehouse/payments#amount")
    >>> reached.complete, len(reached) == reached.total, reached[0].key
    (True, True, 'feature:shop/payments#mean_30d')
    """

    def __init__(self, answer: GetLineageLineageLineage, direction: Direction) -> None:
        columns: dict[str, list[Any]] = answer.columns
        super().__init__(_reached(dict(zip(columns, row, strict=True))) for row in zip(*columns.values(), strict=True))
        self.start: str = answer.start.id
        self.title: str = answer.start.title
        self.direction = direction
        self.revision: int = answer.revision
        """What was known then: pass it as `at_least_revision` to see no less."""
        self.at: datetime = answer.at
        """The moment in the world that this is about."""
        self.complete: bool = answer.complete
        """Every path was followed to its end; else `incomplete_reason` says what stopped it."""
        self.incomplete_reason = answer.incomplete_reason
        self.total: int = answer.total
        self.unidentified_calls: int = answer.unidentified.calls
        """Calls on the way by callers that could not be told: while there are any, somebody may be missing here."""
        ends = [self.start if place < 0 else columns["key"][place] for place in answer.arrows["source"]]
        heads = [self.start if place < 0 else columns["key"][place] for place in answer.arrows["target"]]
        timings = [Timing(timing.upper()) for timing in answer.arrows["timing"]]
        self.arrows: tuple[tuple[str, str, Timing], ...] = tuple(zip(ends, heads, timings, strict=True))
        """What flows straight from one of these (or the start) to another."""

    def keys(self) -> list[str]:
        """Of the assets, in their order.

        >>> client.upstream("deployment:risk/scores", kinds=["model_version"]).keys()
        ['model_version:risk/fraud#1']
        """
        return [row.key for row in self]

    def _columns(self) -> list[str]:
        return list(Reached.__dataclass_fields__)

    def _heading(self) -> str:
        said = [f"{self.direction.value.lower()} of {self.title}", f"{len(self):,} of {self.total:,} assets"]
        if len(self) == self.total:
            said[1] = f"{self.total:,} assets"
        for when in WhenFelt:
            count = sum(row.when is when for row in self)
            if count and self.direction is Direction.DOWNSTREAM:
                said.append(f"{count:,} {when.value.replace('_', ' ').lower()}")
        reason = self.incomplete_reason.value.lower() if self.incomplete_reason else "bounds"
        said.append("complete" if self.complete else f"cut off by {reason}: there is more")
        if self.unidentified_calls:
            said.append(f"{self.unidentified_calls:,} calls by callers that could not be told")
        return f"{'; '.join(said)} (revision {self.revision}, at {self.at:%Y-%m-%d %H:%M} UTC)"

    def _table(self) -> display.Table:
        names = ["kind", "name", "namespace", "hops", "when", "owners"]
        rows = [
            [_words(row.kind), row.title, row.namespace, str(row.hops), _words(row.when), ", ".join(row.owners)]
            for row in self[: display.MOST_ROWS]
        ]
        if self.direction is Direction.UPSTREAM:  # when a change of the start is felt upstream of it says nothing
            names, rows = [*names[:4], *names[5:]], [[*row[:4], *row[5:]] for row in rows]
        return display.Table(names, rows)

    def _graph(self) -> display.Graph:
        nodes = [display.Node(self.start, self.title, _kind(self.start), 0)]
        nodes += [display.Node(row.key, row.title, row.kind.value.lower(), max(row.hops, 1)) for row in self]
        arrows = [(source, target, timing is Timing.BUILT) for source, target, timing in self.arrows]
        return display.Graph(nodes, arrows, leftwards=self.direction is Direction.UPSTREAM)


def _reached(row: dict[str, Any]) -> Reached:
    return Reached(
        row["key"],
        AssetKind(row["kind"].upper()),
        row["namespace"],
        row["title"],
        row["hops"],
        WhenFelt(row["when"]),
        row["partly"],
        row["stub"],
        tuple(row["owners"]),
        tuple(row["tags"]),
        row["tier"],
    )


@dataclass(frozen=True)
class Way:
    """A path: flows, each beginning where the one before ends."""

    hops: tuple[Flow, ...]

    @property
    def assets(self) -> list[str]:
        """The keys that it passes, both ends included."""
        return [hop.source.id for hop in self.hops[:1]] + [hop.target.id for hop in self.hops]

    def __str__(self) -> str:
        return " → ".join(_name(key) for key in self.assets)


class Paths(Rows[Way]):
    """The shortest ways from one asset to another.

    >>> ways = client.paths("feature:shop/payments#mean_30d", "consumer:shop/checkout")
    >>> ways[0].assets
    ['feature:shop/payments#mean_30d', 'deployment:risk/scores', 'consumer:shop/checkout']
    """

    def __init__(self, answer: GetPathsPathsPaths, source: str, target: str) -> None:
        super().__init__(Way(tuple(path.hops)) for path in answer.paths)
        self.source, self.target = source, target
        self.revision: int = answer.revision
        self.at: datetime = answer.at
        self.shortest = int(answer.count.shortest)
        """How many are as short as can be."""
        self.total: int | None = None if answer.count.total is None else int(answer.count.total)
        """How many there are in all. None: some flows on the way lead round, so there is no end of them."""

    def to_dicts(self) -> list[dict[str, Any]]:
        """A row for each flow of each path: {path, hop, source, target, timing, basis, origins, …}.

        >>> ways = client.paths("feature:shop/payments#mean_30d", "deployment:risk/scores")
        >>> ways.to_dicts()[0]["target"]
        'deployment:risk/scores'
        """
        return [
            {
                "path": number,
                "hop": place,
                "source": hop.source.id,
                "target": hop.target.id,
                **{
                    name: value
                    for name, value in hop.model_dump(mode="json").items()
                    if name not in {"source", "target", "usage"}
                },
                **hop.usage.model_dump(mode="json"),
            }
            for number, way in enumerate(self)
            for place, hop in enumerate(way.hops)
        ]

    def _heading(self) -> str:
        all_ = "" if self.total is None else f" of {self.total:,}"
        return (
            f"{len(self):,}{all_} paths from {_name(self.source)} to {_name(self.target)}"
            f" (revision {self.revision}, at {self.at:%Y-%m-%d %H:%M} UTC)"
        )

    def _table(self) -> display.Table:
        rows = [
            [str(number + 1), _name(hop.source.id), _name(hop.target.id), _words(hop.basis), ", ".join(hop.origins)]
            for number, way in enumerate(self[: display.MOST_ROWS])
            for hop in way.hops
        ][: display.MOST_ROWS]
        return display.Table(["path", "from", "to", "basis", "said by"], rows, sum(len(way.hops) for way in self))

    def _graph(self) -> display.Graph:
        nodes: dict[str, display.Node] = {}
        arrows: dict[tuple[str, str, bool], None] = {}
        for way in self:
            for place, key in enumerate(way.assets):
                last = max(place, nodes[key].place if key in nodes else 0)
                nodes[key] = display.Node(key, _name(key), _kind(key), last)
            for hop in way.hops:
                arrows[hop.source.id, hop.target.id, hop.timing is Timing.BUILT] = None
        return display.Graph(list(nodes.values()), list(arrows))


@dataclass(frozen=True)
class Found:
    """An asset that a search found."""

    key: str
    kind: AssetKind
    namespace: str
    title: str
    score: float
    description: str | None
    owners: tuple[str, ...]
    tags: tuple[str, ...]
    tier: int | None


class Hits(Rows[Found]):
    """What a search found, the best first.

    >>> client.search("fraud").complete
    True
    """

    def __init__(self, hits: Iterable[Hit], text: str, more: bool, revision: int) -> None:
        super().__init__(
            Found(
                hit.node.id,
                hit.node.kind,
                hit.node.namespace,
                hit.node.title,
                hit.score,
                hit.node.description,
                tuple(owner.name for owner in hit.node.owners),
                tuple(hit.node.tags),
                hit.node.tier,
            )
            for hit in hits
        )
        self.text = text
        self.complete = not more
        """There are no others."""
        self.revision = revision

    def _columns(self) -> list[str]:
        return list(Found.__dataclass_fields__)

    def _heading(self) -> str:
        return f"{len(self):,} assets found for “{self.text}”{'' if self.complete else ', and there are more'} (revision {self.revision})"

    def _table(self) -> display.Table:
        rows = [
            [_words(row.kind), row.title, row.namespace, row.description or "", ", ".join(row.owners)]
            for row in self[: display.MOST_ROWS]
        ]
        return display.Table(["kind", "name", "namespace", "description", "owners"], rows)


@dataclass(frozen=True)
class Calls:
    """The calls that were made under one name."""

    name: str
    verified: bool
    """The name was bound to a credential, not only claimed."""
    calls: int
    errors: int
    last_seen: datetime | None


@dataclass(frozen=True)
class Consumer:
    """Who uses an asset."""

    key: str
    title: str
    hops: int
    when: WhenFelt
    partly: bool
    verified: bool | None
    """None: never seen calling."""
    owners: tuple[str, ...]
    tier: int | None
    same_as: tuple[str, ...]
    calls: tuple[Calls, ...]


class Consumers(Rows[Consumer]):
    """Who uses an asset, however far downstream.

    >>> users = client.consumers("feature:shop/payments#mean_30d")
    >>> users[0].title, users[0].hops
    ('checkout', 2)
    """

    def __init__(self, uses: Iterable[Use], asset: str, unidentified: int, revision: int) -> None:
        super().__init__(map(_consumer, uses))
        self.asset = asset
        self.unidentified = unidentified
        """Calls by callers that could not be told."""
        self.revision = revision

    def keys(self) -> list[str]:
        """Of the consumers.

        >>> client.consumers("feature:shop/payments#mean_30d").keys()
        ['consumer:shop/checkout']
        """
        return [row.key for row in self]

    def _columns(self) -> list[str]:
        return list(Consumer.__dataclass_fields__)

    def _heading(self) -> str:
        unseen = f", and {self.unidentified:,} calls by callers that could not be told" if self.unidentified else ""
        return f"{len(self):,} consumers of {_name(self.asset)}{unseen} (revision {self.revision})"

    def _table(self) -> display.Table:
        rows = [
            [
                row.title,
                str(row.hops),
                _words(row.when),
                f"{sum(each.calls for each in row.calls):,}",
                {True: "proved", False: "claimed", None: ""}[row.verified],
                ", ".join(row.owners),
            ]
            for row in self[: display.MOST_ROWS]
        ]
        return display.Table(["consumer", "hops", "when", "calls in 30 days", "name", "owners"], rows)


def _consumer(use: Use) -> Consumer:
    node = use.node
    calls = [
        Calls(each.name, each.verified, each.usage.calls, each.usage.errors, each.usage.last_seen)
        for each in getattr(node, "calls", ())
    ]
    return Consumer(
        node.id,
        node.title,
        use.hops,
        use.when,
        use.partly,
        getattr(node, "verified", None),
        tuple(owner.name for owner in node.owners),
        node.tier,
        tuple(node.same_as),
        tuple(calls),
    )


def _is(value: Any, wanted: Any) -> bool:
    if isinstance(wanted, list | tuple | set | frozenset):
        return any(_is(value, each) for each in wanted)
    if isinstance(value, str) and isinstance(wanted, str):
        plain = value.value if isinstance(value, Enum) else value
        return str(plain).casefold() == str(wanted.value if isinstance(wanted, Enum) else wanted).casefold()
    return bool(value == wanted)


def _as_dict(row: Any) -> dict[str, Any]:
    read = row.model_dump(mode="json") if isinstance(row, BaseModel) else asdict(row)
    return {name: _plain(value) for name, value in read.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value


def _words(value: Enum) -> str:
    return str(value.value).replace("_", " ").lower()


def _kind(key: str) -> str:
    return key.partition(":")[0]


def _name(key: str) -> str:
    """Of a column with its dataset; of what has a name of its own, that."""
    rest = key.partition("/")[2]
    container, _, part = rest.partition("#")
    if _kind(key) in {"column", "model_version"}:
        return f"{unquote(container)}#{unquote(part)}"
    return unquote(part or container)
