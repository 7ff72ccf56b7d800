"""How a change passes on: which verdict reaches whom, and when.

The change gives the first verdict. A direct reader inherits it, unless what it says of its flow keeps it running. What breaks
passes on over what is live, along the loss walk: below something that breaks, whoever needs it at each request or refresh
breaks, too. A training run that misses an input breaks at the next training, and what it made before grows stale. What only
differs passes on along the values walk. What is new reaches those alone that take all of the container.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from graph.check.direct import Concern, Direct, DirectReaders
from graph.check.ground import Ground
from graph.check.passing import Begins, Narrow, Passing
from graph.check.verdicts import RESULTS, Difference, Result, Verdict
from graph.impact import When, historic_among, vertices_of
from graph.keys import AssetKey, AssetKind
from graph.model import REFINES_FIRST, Attributes, Basis
from graph.ports import Port, Step
from graph.topology import KIND_CODE, Bools, Ints, View
from graph.walk import Direction, Follow, Lineage, located, walk, walking


@dataclass(frozen=True)
class Spread:
    """Whom a change reaches."""

    lineage: Lineage
    results: Ints
    """By row of `lineage` bits, 1 << the place in RESULTS. 0: the change is nothing to it."""
    unconcerned: Ints
    """Rows of the view, flows of direct readers, over which the change is nothing to them: no evidence leads there."""
    historic: Bools
    """By row whether it is reached in history alone: through what nobody uses any more, or was seen to use for long."""


def spread(ground: Ground, start: AssetKey, differences: Sequence[Difference], view: View) -> Spread:
    """`view`: the ground's, as a change of `start` itself meets it. Raises NotFound for what the graph does not know."""
    return _Spreading(ground, start, differences, view).spread()


def spread_new(ground: Ground, container: AssetKey) -> Spread | None:
    """A new part of a container: whom it reaches; None: nobody takes all of it. Raises NotFound."""
    spreading = _Spreading(ground, container, (), ground.view)
    rows = ground.leaving(spreading.view, spreading.view.any[[spreading.asset]])
    readers = ground.readers(spreading.view, rows)
    rows = rows[np.array([_takes_all(reader) for reader in readers], np.bool_)]
    return spreading.only_new(rows) if len(rows) else None


@dataclass
class _Spreading:
    ground: Ground
    start: AssetKey
    differences: Sequence[Difference]
    view: View
    asset: int = field(init=False)
    first: Ints = field(init=False)

    def __post_init__(self) -> None:
        self.asset = located(self.view, self.start, self.ground.moment)
        self.first = self.view.whole[[self.asset]]

    def spread(self) -> Spread:
        direct = DirectReaders(self.ground, self.start, self.differences, self.view, self.asset).found()
        verdicts = {each for each in Verdict if direct.means(each)}
        if verdicts <= {Verdict.ADDITIVE, Verdict.NONE}:
            return self.only_new(direct.where(Verdict.ADDITIVE, Concern.FELT))
        follow = Follow.LOSS if verdicts & {Verdict.BREAKING, Verdict.UNKNOWN} else Follow.VALUES
        lineage = self._lineage(follow)
        blocked = self._history(lineage)
        marks = self._marks(direct, blocked, self._narrow(lineage))
        results = np.zeros(len(lineage), np.int64)
        for result, mark in marks.items():
            results[self._marked(lineage, mark)] |= _bit(result)
        self._add_new(direct.where(Verdict.ADDITIVE, Concern.FELT), lineage, results)
        historic = (results == 0) & self._marked(lineage, self._old(blocked, follow))
        return Spread(lineage, results, direct.unconcerned, historic)

    def only_new(self, rows: Ints) -> Spread:
        lineage = self._lineage(Follow.VALUES)
        results = np.zeros(len(lineage), np.int64)
        self._add_new(rows, lineage, results)
        return Spread(lineage, results, rows[:0], np.zeros(len(lineage), np.bool_))

    def _lineage(self, follow: Follow) -> Lineage:
        """With the runs of a job that itself changed: the next of them is another."""
        lineage = walk(self.view, self.start, Direction.DOWNSTREAM, self.ground.moment, follow)
        if self.start.kind is not AssetKind.JOB:
            return lineage
        runs = np.array(self.view.parts_of(self.asset), lineage.assets.dtype)
        labels, owners, _ = lineage.view.labelled(runs, self.ground.moment)
        none = np.zeros(len(runs), np.bool_)
        return replace(
            lineage,
            assets=np.concatenate([runs, lineage.assets]),
            hops=np.concatenate([none.astype(lineage.hops.dtype), lineage.hops]),
            partly=np.concatenate([none, lineage.partly]),
            labels=np.concatenate([labels, lineage.labels]),
            owners=np.concatenate([owners, lineage.owners]),
        )

    def _history(self, lineage: Lineage) -> Ints:
        """The vertices of runs and versions that nobody uses any more."""
        assets = np.unique(np.concatenate([lineage.assets, self.view.parts_of_many(np.array([self.asset]))]))
        old = historic_among(self.view, assets, self.ground.moment)
        return vertices_of(self.view, old[old != self.asset])

    def _old(self, blocked: Ints, follow: Follow) -> Bools:
        """Where what history holds leads."""
        asked = self.view, np.append(blocked, self.first), Direction.DOWNSTREAM, self.ground.moment, follow
        if self.ground.awake is None:
            asked = self.view, blocked, *asked[2:]
        marked = np.zeros(self.view.vertices, np.bool_)
        with walking(*asked) as walked:
            marked[walked.order] = True
        return marked

    def _marked(self, lineage: Lineage, mark: Bools) -> Bools:
        reached: Bools = mark[self.view.whole[lineage.assets]] | mark[self.view.any[lineage.assets]]
        return reached

    # What passes on

    def _marks(self, direct: Direct, blocked: Ints, narrow: Sequence[Narrow]) -> dict[Result, Bools]:
        """By result the vertices that it reaches."""
        passing = Passing(self.view, self.ground, blocked, narrow)
        verdicts = {each.verdict for each in self.differences}
        marks: dict[Result, Bools] = {}
        differs, goes_on = Begins([], []), self.first[:0]
        if direct.means(Verdict.BREAKING):
            felt = self._begins(direct, Verdict.BREAKING, Concern.FELT)
            trains = direct.trains if Verdict.BREAKING in verdicts else direct.trains[:0]
            broken, runs, eased = passing.broken(felt, trains)
            broken[direct.near] |= Verdict.BREAKING in verdicts
            told = self._told(direct, Verdict.BREAKING)
            broken[told] = True
            marks[_BREAKS_NOW] = broken
            differs = eased.and_(self._begins(direct, Verdict.BREAKING, Concern.CURED))
            if self._breaks_only("online"):  # trainings read offline
                differs = Begins(differs.now, [])
            else:
                marks[Result(Verdict.BREAKING, When.NEXT_TRAINING)] = runs
            if self._breaks_only("signature.outputs"):  # who serves it answers, with what callers cannot read
                broken[told] = False
                goes_on = told
        for verdict, follow, before in (
            (Verdict.UNKNOWN, Follow.LOSS, Begins([], [])),
            (Verdict.BEHAVIOURAL, Follow.VALUES, differs),
        ):
            goes_along, trains = direct.near[:0], direct.trains[:0]
            if verdict in verdicts:
                goes_along = direct.near if follow is Follow.LOSS else direct.alike
                trains = direct.trains[np.isin(self.view.rows["source"][direct.trains], goes_along)]
            trained = self.view.rows["target"][trains]
            begins = before.and_(self._begins(direct, verdict, Concern.FELT)).and_(Begins([], [trained]))
            now, later = passing.reach(begins, follow)
            now[goes_along] = True
            now[self._told(direct, verdict)] = True
            if verdict is Verdict.BEHAVIOURAL:
                now[goes_on] = True
            marks[Result(verdict, When.NOW)] = now
            marks[Result(verdict, When.NEXT_TRAINING)] = later
        return marks

    def _breaks_only(self, attribute: str) -> bool:
        return all(
            each.attribute.startswith(attribute) for each in self.differences if each.verdict is Verdict.BREAKING
        )

    def _told(self, direct: Direct, verdict: Verdict) -> Ints:
        rows = direct.rows[direct.told[verdict] & (direct.concern[verdict] == Concern.FELT)]
        targets: Ints = self.view.rows["target"][rows]
        return targets

    def _begins(self, direct: Direct, verdict: Verdict, concern: Concern) -> Begins:
        rows = direct.rows[(direct.concern[verdict] == concern) & ~direct.told[verdict]]
        is_built = self.view.rows["step"][rows] & Step.BUILT != 0
        targets = self.view.rows["target"][rows]
        return Begins([targets[~is_built]], [targets[is_built]])

    def _narrow(self, lineage: Lineage) -> list[Narrow]:
        """The flows out of containers of whose parts their readers say that they use some alone."""
        containers = np.append(lineage.assets, [self.asset, max(int(self.view.container[self.asset]), 0)])
        containers = containers[np.isin(self.view.kind[containers], _WITH_FIELDS)]
        rows = self.ground.leaving(self.view, np.unique(self.view.any[containers]))
        found = []
        for row, reader in zip(rows.tolist(), self.ground.readers(self.view, rows), strict=True):
            fields = reader.get("fields")
            if isinstance(fields, list):
                container = int(self.view.vertex_asset[self.view.rows["source"][row]])
                found.append(Narrow(row, self._vertices_of(container, [str(each) for each in fields])))
        return found

    def _vertices_of(self, container: int, fields: Sequence[str]) -> Ints:
        """All of the container, and those of its parts; any of it, where a part is not known."""
        view, key = self.view, self.view.key(container)
        numbers = [view.numbers.get(str(key.part_key(*each.split("."))), view.assets) for each in fields]
        parts = [int(view.whole[each]) for each in numbers if each < view.assets]
        unknown = [int(view.any[container])] if len(parts) < len(fields) else []
        return np.array([int(view.whole[container]), *parts, *unknown])

    # What is new

    def _add_new(self, rows: Ints, lineage: Lineage, results: Ints) -> None:
        """Who takes all of a container takes what is new in it; as far as it is taken whole, and on."""
        if not len(rows):
            return
        place_of = {asset: place for place, asset in enumerate(lineage.assets.tolist())}
        found: dict[int, Result] = {}
        ahead = [(row, Result(Verdict.ADDITIVE, When.NOW)) for row in rows.tolist()]
        while ahead:
            onward = []
            for row, before in ahead:
                target = int(self.view.vertex_asset[self.view.rows["target"][row]])
                result = self._renewed(row, target, before)
                if target not in found or RESULTS.index(result) < RESULTS.index(found[target]):
                    found[target] = result
                    onward.append((target, result))
            ahead = [(row, result) for target, result in onward for row in self._taken_whole(target)]
        for asset, result in found.items():
            if asset in place_of:
                results[place_of[asset]] |= _bit(result)

    def _renewed(self, row: int, target: int, before: Result) -> Result:
        rows = self.view.rows
        inferred = (
            rows["strength"][row] == _INFERRED or self.view.vertex_port[rows["source"][row]] == Port.REQUESTS
        ) or self.ground.is_unread(self.view.key(target))
        built = rows["step"][row] & Step.BUILT != 0
        return Result(Verdict.UNKNOWN if inferred else before.verdict, When.NEXT_TRAINING if built else before.when)

    def _taken_whole(self, container: int) -> list[int]:
        if self.view.kind[container] not in _TAKEN_WHOLE:
            return []
        rows = self.ground.leaving(self.view, self.view.any[[container]])
        readers = self.ground.readers(self.view, rows)
        return [row for row, reader in zip(rows.tolist(), readers, strict=True) if _takes_all(reader)]


_BREAKS_NOW = Result(Verdict.BREAKING, When.NOW)
_INFERRED = REFINES_FIRST.index(Basis.INFERRED)
_WITH_FIELDS = [KIND_CODE[kind] for kind in (AssetKind.DATASET, AssetKind.FEATURE_VIEW)]
_TAKEN_WHOLE = {KIND_CODE[kind] for kind in (AssetKind.DATASET, AssetKind.FEATURE_VIEW, AssetKind.JOB)}


def _bit(result: Result) -> int:
    return 1 << RESULTS.index(result)


def _takes_all(reader: Attributes) -> bool:
    return not isinstance(reader.get("fields"), list)
