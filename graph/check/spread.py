"""How a change passes on: which verdict reaches whom, and when.

The change gives the first verdict. A direct reader inherits it, unless what it says of its flow keeps it running. What breaks
passes on over what is live, along the loss walk: below something that breaks, whoever needs it at each request or refresh
breaks, too. A training run that misses an input breaks at the next training, and what it made before grows stale. What only
differs passes on along the values walk. What is new reaches those alone that take all of the container.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from functools import cached_property
from typing import NamedTuple

import numpy as np

from graph.check.definitions import is_understood
from graph.check.verdicts import RESULTS, Cure, Difference, Result, Verdict
from graph.impact import When, historic_among, vertices_of
from graph.keys import AssetKey, AssetKind
from graph.model import FLOWS, REFINES_FIRST, Assertion, Attributes, Basis, Flow, Json, Relationship, Subject
from graph.ports import Port, Step
from graph.topology import ALIAS_CODE, KIND_CODE, KINDS, Bools, Ints, Moment, View
from graph.usage import is_dormant
from graph.walk import Direction, FlowFilter, Follow, Lineage, allowed, located, walk, walking

Believed = Callable[[Collection[Subject]], Mapping[Subject, Iterable[Assertion]]]
"""What every origin says of some subjects, as it is believed now."""


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


@dataclass
class Ground:
    """What changes spread over: the graph, and what readers say of the flows by which they read."""

    view: View
    """As it is, without the flows that their readers give up in the same change."""
    moment: Moment
    believed: Believed
    stated: Mapping[Flow, Attributes]
    """What the new version of the repository says of flows, in place of what its `origins` said before."""
    origins: Collection[str]
    unread: Collection[AssetKey] = ()
    """Whose definition was not understood."""
    _understood: dict[AssetKey, bool] = field(default_factory=dict)
    _asked: Bools = field(init=False)
    """By row whether it is known what is said of its flow; most often nothing is."""
    _said: dict[int, Attributes] = field(default_factory=dict)
    _optional: Bools = field(init=False)

    def __post_init__(self) -> None:
        self._asked, self._optional = (np.zeros(self.view.row_count, np.bool_) for _ in range(2))

    def readers(self, view: View, rows: Ints) -> list[Attributes]:
        """What is said of the flow of each row by its reader, by all origins together. Of what requests carry: nothing."""
        self._ask(view, rows)
        return [self._said.get(row, _NOTHING) for row in rows.tolist()]

    def do_without(self, view: View, rows: Ints) -> Bools:
        """Of each row whether its reader says that it runs without the thing."""
        self._ask(view, rows)
        found: Bools = self._optional[rows]
        return found

    def _ask(self, view: View, rows: Ints) -> None:
        missing = rows[~self._asked[rows]]
        if not len(missing):
            return
        flows = dict(zip(missing.tolist(), self._flows(view, missing), strict=True))
        believed = self.believed([*{flow for each in flows.values() for flow in each}])
        for row, each in flows.items():
            said = {
                name: value for flow in each for name, value in self._together(flow, believed.get(flow, ())).items()
            }
            if said:
                self._said[row] = said
                self._optional[row] = _can_do_without(said)
        self._asked[missing] = True

    def _flows(self, view: View, rows: Ints) -> list[list[Flow]]:
        """Those that speak for each row: of a job's column lineage also that the job reads the column, and its table."""
        told = [view.vertex_asset[view.rows[end][rows]] for end in ("source", "target")] + [view.rows["via"][rows]]
        keys = {number: view.key(number) for number in np.unique(np.concatenate(told)).tolist() if number}
        requested = (view.vertex_port[view.rows["source"][rows]] == Port.REQUESTS).tolist()
        found = []
        for source, target, via, is_requested in zip(*(each.tolist() for each in told), requested, strict=True):
            one = keys[source]
            flows = [] if is_requested else [Flow(one, keys[target], keys.get(via))]
            if flows and via:
                flows = [Flow(each, keys[via]) for each in (one.container, one) if each] + flows
            found.append(flows)
        return found

    def _together(self, flow: Flow, assertions: Iterable[Assertion]) -> Attributes:
        said: dict[str, Json] = {}
        for each in assertions:
            if each.valid.holds_at(self.moment.at) and not (flow in self.stated and each.origin in self.origins):
                said |= each.attributes
        return {**said, **self.stated.get(flow, {})}

    def is_unread(self, key: AssetKey) -> bool:
        if key in self.unread:
            return True
        if key not in self._understood:
            said = self.believed([key]).get(key, ())
            told = [each.attributes.get("definition") for each in said if each.valid.holds_at(self.moment.at)]
            self._understood[key] = all(is_understood(each) for each in told if each is not None)
        return not self._understood[key]

    @cached_property
    def awake(self) -> FlowFilter | None:
        """Leaves out what a dormant origin alone tells: nobody was seen for long to use it."""
        asleep = tuple(filter(is_dormant, self.view.origins))
        return FlowFilter(without=asleep) if asleep else None


def spread(ground: Ground, start: AssetKey, differences: Sequence[Difference], view: View) -> Spread:
    """`view`: the ground's, as a change of `start` itself meets it. Raises NotFound for what the graph does not know."""
    return _Spreading(ground, start, differences, view).spread()


def spread_new(ground: Ground, container: AssetKey) -> Spread | None:
    """A new part of a container: whom it reaches; None: nobody takes all of it. Raises NotFound."""
    spreading = _Spreading(ground, container, (), ground.view)
    rows = spreading.leaving(spreading.view.any[[spreading.asset]])
    readers = ground.readers(spreading.view, rows)
    rows = rows[np.array([_takes_all(reader) for reader in readers], np.bool_)]
    return spreading.only_new(rows) if len(rows) else None


class _Concern(IntEnum):
    """What a difference is to the reader of one flow."""

    NOT = 0
    CURED = 1
    """It would break, but for what its reader says of the flow."""
    FELT = 2


class _Direct(NamedTuple):
    """The flows by which the changed thing itself is read, and what the differences are to each."""

    rows: Ints
    concern: Mapping[Verdict, Ints]
    """By row a `_Concern`: the most of all differences of that verdict."""
    trains: Ints
    """The runs of a job that itself changed, by the rows of steps that lead there: what the next one does."""
    near: Ints
    """The vertices of all that goes with the changed thing when it is lost, its container and their parts among them."""
    alike: Ints
    """Those of it that get other values when it does."""
    told: Mapping[Verdict, Bools]
    """By row whether it leads to a deployment of which nothing but the signature differs: what that means to whoever it is
    passed on to, the other rows say."""

    def where(self, verdict: Verdict, concern: _Concern) -> Ints:
        found: Ints = self.rows[self.concern[verdict] == concern]
        return found

    def means(self, verdict: Verdict) -> bool:
        return bool((self.concern[verdict] != _Concern.NOT).any()) or (bool(len(self.trains)) and verdict in _TOLD)

    @property
    def unconcerned(self) -> Ints:
        found: Ints = self.rows[np.all([self.concern[verdict] == _Concern.NOT for verdict in _TOLD], axis=0)]
        return found


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
        direct = self._direct()
        verdicts = {each for each in Verdict if direct.means(each)}
        if verdicts <= {Verdict.ADDITIVE, Verdict.NONE}:
            return self.only_new(direct.where(Verdict.ADDITIVE, _Concern.FELT))
        follow = Follow.LOSS if verdicts & {Verdict.BREAKING, Verdict.UNKNOWN} else Follow.VALUES
        lineage = self._lineage(follow)
        blocked = self._history(lineage)
        marks = self._marks(direct, blocked, self._narrow(lineage))
        results = np.zeros(len(lineage), np.int64)
        for result, mark in marks.items():
            results[self._marked(lineage, mark)] |= _bit(result)
        self._add_new(direct.where(Verdict.ADDITIVE, _Concern.FELT), lineage, results)
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

    # Direct readers

    def _direct(self) -> _Direct:
        near, in_value = self._near(Follow.LOSS), self._near(Follow.VALUES)
        rows = self.leaving(near)
        alike = np.isin(self.view.rows["source"][rows], in_value)
        relationships = self._relationships(rows)
        signed = any(each.attribute.startswith("signature") for each in self.differences)
        serving = np.array([each is Relationship.SERVED_BY for each in relationships], np.bool_)
        served = self.view.rows["target"][rows[serving]] if signed else rows[:0]
        onward = np.setdiff1d(self.leaving(served), rows)  # a signature is a promise to callers of who serves it, too
        rows, alike = np.concatenate([rows, onward]), np.concatenate([alike, np.ones(len(onward), np.bool_)])
        relationships += self._relationships(onward)
        readers = self.ground.readers(self.view, rows)
        needs = self._needs(rows)
        concern = {verdict: np.full(len(rows), _Concern.NOT, np.int8) for verdict in Verdict}
        told = {verdict: np.isin(self.view.rows["target"][rows], served) for verdict in Verdict}
        for place, relationship in enumerate(relationships):
            reader = needs.get(int(rows[place])) or readers[place]
            for each in self.differences:
                verdict, felt = self._concern(each, reader, relationship, int(rows[place]))
                concern[verdict][place] = max(concern[verdict][place], felt)
                told[verdict][place] &= felt == _Concern.NOT or each.attribute.startswith("signature")
        for verdict in (Verdict.BEHAVIOURAL, Verdict.ADDITIVE):
            concern[verdict][~alike] = _Concern.NOT
        passed = self._passed(near)
        trains = passed[self.view.rows["step"][passed] & (Step.FLOW | Step.BUILT) == Step.BUILT]
        return _Direct(rows, concern, trains, near, in_value, told)

    def _near(self, follow: Follow) -> Ints:
        """What belongs to the changed thing: all that is reached from it by live steps, not by flows."""
        view, seen = self.view, self.first
        ahead = seen
        while len(ahead):
            rows = self._passed(ahead, follow)
            steps = rows[view.rows["step"][rows] & (Step.FLOW | Step.BUILT) == 0]
            ahead = np.setdiff1d(view.rows["target"][steps], seen)
            seen = np.concatenate([seen, ahead])
        return seen

    def leaving(self, vertices: Ints) -> Ints:
        rows = self._passed(vertices)
        found: Ints = rows[self.view.rows["step"][rows] & Step.FLOW != 0]
        return found

    def _passed(self, vertices: Ints, follow: Follow = Follow.LOSS) -> Ints:
        """The rows leaving there that such a walk takes now."""
        view = self.view
        rows = view.holding(view.down.of_many(vertices), self.ground.moment)
        return allowed(view, follow, self.ground.awake).of(view, rows)

    def _relationships(self, rows: Ints) -> list[Relationship | None]:
        view = self.view
        found = []
        for source, target in zip(view.rows["source"][rows].tolist(), view.rows["target"][rows].tolist(), strict=True):
            kinds = [int(view.kind[view.vertex_asset[vertex]]) for vertex in (source, target)]
            named = [AssetKind.MODEL_VERSION if kind == ALIAS_CODE else KINDS[kind] for kind in kinds]
            flow = FLOWS.get((named[0], named[1]))
            found.append(flow.relationship if flow else None)
        return found

    def _needs(self, rows: Ints) -> Mapping[int, Attributes]:
        """What a version's signature says of the feature that changed, where requests to the version carry it."""
        view = self.view
        implied = rows[view.vertex_port[view.rows["source"][rows]] == Port.REQUESTS]
        versions: dict[int, AssetKey] = {}
        for row in implied.tolist():
            key = view.key(int(view.vertex_asset[view.rows["source"][row]]))
            versions[row] = view.key(located(view, key, self.ground.moment)) if key.is_alias else key
        said = self.ground.believed([*{*versions.values()}]) if versions else {}
        found = {}
        for row, version in versions.items():
            tensors = [
                tensor
                for each in said.get(version, ())
                for tensor in _tensors(each.attributes.get("signature"), "inputs")
                if tensor.get("feature") in (str(self.start), str(self.start.container))
            ]
            found[row] = {"optional": True} if tensors and all(map(_can_do_without, tensors)) else {"optional": False}
        return found

    def _concern(
        self, difference: Difference, reader: Attributes, relationship: Relationship | None, row: int
    ) -> tuple[Verdict, _Concern]:
        verdict, attribute = difference.verdict, difference.attribute
        source = int(self.view.rows["source"][row])
        by_position = reader.get("by") == "position" and self.view.vertex_port[source] == Port.ANY
        is_own = self.view.vertex_asset[source] == self.asset
        if attribute == ORDER or (by_position and not is_own and attribute in _BY_NAME):
            return verdict, _Concern.FELT if by_position and is_own and attribute == ORDER else _Concern.NOT
        target = int(self.view.vertex_asset[self.view.rows["target"][row]])
        if attribute == "online" and self.view.kind[target] not in _ONLINE:
            return verdict, _Concern.NOT
        is_asked = attribute.startswith(_OF_CALLERS)
        if is_asked and relationship is Relationship.WRITES:
            return verdict, _Concern.NOT
        part = difference.part if is_own else self.start.part
        if part is not None and not _uses(reader, part):
            return verdict, _Concern.NOT
        if verdict is Verdict.BREAKING and _is_cured(reader, difference):
            return verdict, _Concern.CURED
        return verdict, _Concern.FELT

    # What passes on

    def _marks(self, direct: _Direct, blocked: Ints, narrow: Sequence["_Narrow"]) -> dict[Result, Bools]:
        """By result the vertices that it reaches."""
        passing = _Passing(self.view, self.ground, blocked, narrow)
        verdicts = {each.verdict for each in self.differences}
        marks: dict[Result, Bools] = {}
        differs, goes_on = _Begins([], []), self.first[:0]
        if direct.means(Verdict.BREAKING):
            felt = self._begins(direct, Verdict.BREAKING, _Concern.FELT)
            trains = direct.trains if Verdict.BREAKING in verdicts else direct.trains[:0]
            broken, runs, eased = passing.broken(felt, trains)
            broken[direct.near] |= Verdict.BREAKING in verdicts
            told = self._told(direct, Verdict.BREAKING)
            broken[told] = True
            marks[_BREAKS_NOW] = broken
            differs = eased.and_(self._begins(direct, Verdict.BREAKING, _Concern.CURED))
            if self._breaks_only("online"):  # trainings read offline
                differs = _Begins(differs.now, [])
            else:
                marks[Result(Verdict.BREAKING, When.NEXT_TRAINING)] = runs
            if self._breaks_only("signature.outputs"):  # who serves it answers, with what callers cannot read
                broken[told] = False
                goes_on = told
        for verdict, follow, before in (
            (Verdict.UNKNOWN, Follow.LOSS, _Begins([], [])),
            (Verdict.BEHAVIOURAL, Follow.VALUES, differs),
        ):
            goes_along, trains = direct.near[:0], direct.trains[:0]
            if verdict in verdicts:
                goes_along = direct.near if follow is Follow.LOSS else direct.alike
                trains = direct.trains[np.isin(self.view.rows["source"][direct.trains], goes_along)]
            trained = self.view.rows["target"][trains]
            begins = before.and_(self._begins(direct, verdict, _Concern.FELT)).and_(_Begins([], [trained]))
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

    def _told(self, direct: _Direct, verdict: Verdict) -> Ints:
        rows = direct.rows[direct.told[verdict] & (direct.concern[verdict] == _Concern.FELT)]
        targets: Ints = self.view.rows["target"][rows]
        return targets

    def _begins(self, direct: _Direct, verdict: Verdict, concern: _Concern) -> "_Begins":
        rows = direct.rows[(direct.concern[verdict] == concern) & ~direct.told[verdict]]
        is_built = self.view.rows["step"][rows] & Step.BUILT != 0
        targets = self.view.rows["target"][rows]
        return _Begins([targets[~is_built]], [targets[is_built]])

    def _narrow(self, lineage: Lineage) -> list["_Narrow"]:
        """The flows out of containers of whose parts their readers say that they use some alone."""
        containers = np.append(lineage.assets, [self.asset, max(int(self.view.container[self.asset]), 0)])
        containers = containers[np.isin(self.view.kind[containers], _WITH_FIELDS)]
        rows = self.leaving(np.unique(self.view.any[containers]))
        found = []
        for row, reader in zip(rows.tolist(), self.ground.readers(self.view, rows), strict=True):
            fields = reader.get("fields")
            if isinstance(fields, list):
                container = int(self.view.vertex_asset[self.view.rows["source"][row]])
                found.append(_Narrow(row, self._vertices_of(container, [str(each) for each in fields])))
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
        rows = self.leaving(self.view.any[[container]])
        readers = self.ground.readers(self.view, rows)
        return [row for row, reader in zip(rows.tolist(), readers, strict=True) if _takes_all(reader)]


_NOTHING: Attributes = {}


class _Begins(NamedTuple):
    """Vertices where something begins: now, and at the next training."""

    now: list[Ints]
    later: list[Ints]

    def and_(self, other: "_Begins") -> "_Begins":
        return _Begins([*self.now, *other.now], [*self.later, *other.later])


class _Narrow(NamedTuple):
    """A flow that is felt only where one of these vertices is reached."""

    row: int
    sources: Ints


class _Passing:
    """How verdicts pass from where they begin over all that lies below; never into what history alone holds."""

    def __init__(self, view: View, ground: Ground, blocked: Ints, narrow: Sequence[_Narrow]) -> None:
        self._ground, self._blocked, self._narrow = ground, blocked, narrow
        self._view = view.forgetting(np.array([each.row for each in narrow], np.int64)) if narrow else view
        self._all = view

    def reach(self, begins: _Begins, follow: Follow) -> tuple[Bools, Bools]:
        """The vertices reached now, and those reached at the next training: on a way that has something baked in."""
        now = self._reached(self._view, _joined(begins.now), follow, True, ())
        rows = self._all.rows
        passed = np.append(self._leaving(self._view, np.flatnonzero(now), follow), self._narrowed(now))
        built = passed[rows["step"][passed] & Step.BUILT != 0]
        later = _joined([rows["target"][built], *begins.later])
        return now, self._reached(self._view, later, follow, False, ())

    def broken(self, felt: _Begins, trains: Ints) -> tuple[Bools, Bools, _Begins]:
        """What breaks now; the runs that miss an input next time; and where, below, it is that answers only differ.

        That is where a reader says that it runs on, and what the runs made before.
        """
        rows, view = self._all.rows, self._view
        eased: list[Ints] = []
        while True:
            told = _joined(eased)
            broken = self._reached(view, _joined(felt.now), Follow.LOSS, True, told.tolist())
            passed = self._leaving(view, np.flatnonzero(broken))
            passed = np.setdiff1d(np.append(passed, self._narrowed(broken)), told)
            flows = passed[rows["step"][passed] & Step.FLOW != 0]
            more = flows[self._ground.do_without(self._all, flows)]
            if not len(more):
                break
            eased.append(more)
            view = view.forgetting(more)
        built = passed[rows["step"][passed] & Step.BUILT != 0]
        targets = np.unique(np.concatenate([rows["target"][built], rows["target"][trains], *felt.later]))
        targets = np.setdiff1d(targets, self._blocked)
        is_run = self._all.kind[self._all.vertex_asset[targets]] == KIND_CODE[AssetKind.RUN]
        runs = vertices_of(self._all, np.unique(self._all.vertex_asset[targets[is_run]]))
        made = self._leaving(self._all, runs)
        made = made[rows["step"][made] & Step.FLOW != 0]
        told = _joined(eased)
        is_built = rows["step"][told] & Step.BUILT != 0
        later = [rows["target"][told[is_built]], targets[~is_run], rows["target"][made]]
        return broken, self._mark(runs), _Begins([rows["target"][told[~is_built]]], later)

    def _reached(self, view: View, starts: Ints, follow: Follow, live_only: bool, eased: Collection[int]) -> Bools:
        rows = self._all.rows
        starts = np.setdiff1d(starts, self._blocked)
        while True:
            asked = view, starts, Direction.DOWNSTREAM, self._ground.moment, follow, self._ground.awake
            if not len(starts):
                return self._mark(starts)
            with walking(*asked, blocked=self._blocked, live_only=live_only) as walked:
                mark = self._mark(walked.order.copy())
            onward = np.array(
                [
                    rows["target"][each]
                    for each in self._narrowed(mark).tolist()
                    if each not in eased and not (live_only and rows["step"][each] & Step.BUILT)
                ],
                np.int64,
            )
            onward = np.setdiff1d(onward[~mark[onward]], self._blocked)
            if not len(onward):
                return mark
            starts = np.concatenate([starts, onward])

    def _narrowed(self, mark: Bools) -> Ints:
        """The narrow flows that are felt."""
        return np.array([each.row for each in self._narrow if mark[each.sources].any()], np.int64)

    def _leaving(self, view: View, vertices: Ints, follow: Follow = Follow.LOSS) -> Ints:
        rows = view.holding(view.down.of_many(vertices), self._ground.moment)
        return allowed(view, follow, self._ground.awake).of(view, rows)

    def _mark(self, vertices: Ints) -> Bools:
        marked = np.zeros(self._all.vertices, np.bool_)
        marked[vertices] = True
        return marked


def _joined(parts: Sequence[Ints]) -> Ints:
    return np.concatenate([np.empty(0, np.int64), *parts])


ORDER = "order"
"""The attribute of a difference in what stands where among a container's parts; felt by those who read them by position."""
_BY_NAME = ("presence", "name")
"""Differences of one part that its container's ORDER tells to those who read by position."""
_ONLINE = [
    KIND_CODE[kind] for kind in (AssetKind.DEPLOYMENT, AssetKind.CONSUMER, AssetKind.FEATURE, AssetKind.FEATURE_VIEW)
]
"""Who looks features up one by one, or is computed from those; jobs and trainings read them in bulk."""

_TOLD = (Verdict.BREAKING, Verdict.UNKNOWN, Verdict.BEHAVIOURAL, Verdict.ADDITIVE)
_BREAKS_NOW = Result(Verdict.BREAKING, When.NOW)
_OF_CALLERS = ("request", "signature.inputs", "url")
"""Differences that those alone feel who send something there."""
_INFERRED = REFINES_FIRST.index(Basis.INFERRED)
_WITH_FIELDS = [KIND_CODE[kind] for kind in (AssetKind.DATASET, AssetKind.FEATURE_VIEW)]
_TAKEN_WHOLE = {KIND_CODE[kind] for kind in (AssetKind.DATASET, AssetKind.FEATURE_VIEW, AssetKind.JOB)}


def _bit(result: Result) -> int:
    return 1 << RESULTS.index(result)


def _can_do_without(reader: Attributes) -> bool:
    return reader.get("default") is not None or reader.get("optional") is True


def _uses(reader: Attributes, part: str) -> bool:
    """Whether it uses a field, by what it says; a field within another, and what holds it, count."""
    fields = reader.get("fields")
    if not isinstance(fields, list):
        return True
    return any(f"{part}.".startswith(f"{each}.") or f"{each}.".startswith(f"{part}.") for each in fields)


def _takes_all(reader: Attributes) -> bool:
    return not isinstance(reader.get("fields"), list)


def _is_cured(reader: Attributes, difference: Difference) -> bool:
    """Who can do without a thing runs on when it is gone or refuses; not when it comes in another type."""
    if Cure.CAST in difference.cures:
        return reader.get("cast") is not None
    if Cure.ALIAS in difference.cures and reader.get("alias") == difference.after:
        return True
    return _can_do_without(reader) and not difference.attribute.endswith("type")


def _tensors(signature: Json, side: str) -> list[dict[str, Json]]:
    tensors = signature.get(side) if isinstance(signature, dict) else None
    return [each for each in tensors if isinstance(each, dict)] if isinstance(tensors, list) else []
