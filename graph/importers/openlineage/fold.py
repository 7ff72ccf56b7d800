"""What a set of OpenLineage events of one origin says: about one job, or about one dataset by itself.

A function of the set: neither order nor repetition matters. `Fold` takes events as they come, at a cost that follows from
what they change, not from how many there were. The rules:

* What a run reads and writes is the union over all its events, from its earliest event on.
* A run counts when it completed, or runs and has not ended. What failed or was aborted changes nothing; but what a
  streaming run passed on before it failed has passed.
* Runs of one *lane* (the job and the set of its outputs) follow one another: each ends, at its own start, what the one
  before said, and nothing else.
* Definitions (job events, dataset events) replace the one before.
* A run that names a model as output, or whose job's definition does, or of which a registry tells, trains: it is an asset of
  its own, and its flows are its. The version is the one that any event of the run tells, else the run's id.
* Facets hold until one of the same sort says otherwise, whatever became of the run.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from graph.errors import InvalidKey
from graph.importers.openlineage.events import COLUMNS, THERE, About, Dataset, Derivation, Event, State
from graph.importers.openlineage.timelines import Holding, Said, Timeline, assertions, stronger
from graph.keys import AssetKey, AssetKind
from graph.model import Assertion, Attributes, Basis, Flow, Subject, checked_flow, implied_flows
from graph.time import FOREVER, HOUR, Instant, Interval, union

_ENDS = {State.COMPLETE, State.FAIL, State.ABORT}
_STREAMING = "STREAMING"
_OF_MODELS = {AssetKind.MODEL, AssetKind.MODEL_VERSION}
Flows = Mapping[Flow, tuple[str, ...]]
"""With their transformations."""
Saying = Mapping[Subject, tuple[Assertion, ...]]


def folded(events: Iterable[Event]) -> Saying:
    """All that the events, which are of one origin, say: in the order of the subjects' text."""
    fold = Fold()
    fold.add(events)
    return fold.says()


class Fold:
    """All events of one origin that were added. Never changed by halves: one that raised is to be thrown away."""

    def __init__(self) -> None:
        self.digests: set[str] = set()
        self._said: dict[Subject, tuple[Assertion, ...]] = {}
        self._origin, self._subject = "", AssetKey(AssetKind.JOB, "", "")
        self._first: Instant = FOREVER
        self._is_observed = False
        """A run was told of: the job is more than defined."""
        self._trains = False
        self._facets: Timeline[str, Any] = Timeline(False)
        """Attributes of the job."""
        self._datasets: dict[AssetKey, _Mentions] = {}
        self._models: set[AssetKey] = set()
        """As datasets."""
        self._runs: dict[str, _Run] = {}
        self._lanes: dict[Collection[AssetKey], _Lane] = {}
        self._defined = _Lane(Basis.IMPORTED)
        self._definitions: list[tuple[Event, Said[Flow, tuple[str, ...]]]] = []
        self._heard: dict[Flow, Instant] = {}
        self._givers: dict[Flow | AssetKey, dict[_Lane | _Run, None]] = {}
        """By whom a flow is said, and what training made."""

    def __len__(self) -> int:
        return len(self.digests)

    def says(self) -> Saying:
        return {subject: self._said[subject] for subject in sorted(self._said, key=str)}

    def said(self, subject: Subject) -> tuple[Assertion, ...]:
        return self._said.get(subject, ())

    def take_heard(self) -> Mapping[Flow, Instant]:
        """When runs were last heard of that say these flows, where that has moved since it was asked for, by an hour or more.

        A lane that has fallen silent for long is stale: what it said holds, and nobody repeats it.
        """
        heard, self._heard = self._heard, {}
        return heard

    def add(self, events: Iterable[Event]) -> tuple[Saying, set[Subject]]:
        """What is said otherwise than before (nothing: no longer), and all that the new ones among the events bear on."""
        new = {event.digest: event for event in events if event.digest not in self.digests}
        if not new:
            return {}, set()
        self.digests.update(new)
        touched: set[Subject] = set()
        turned = self._models_in(new.values(), touched)
        runs: dict[str, None] = {}
        mentioned: dict[AssetKey, None] = {}
        lanes: dict[_Lane, None] = {}
        active: dict[_Run, None] = {}
        for event in new.values():
            self._job(event, touched)
            self._mention(event, mentioned, touched)
            if event.run is None:
                self._define(event)
                lanes[self._defined] = None
            else:
                run = self._runs.get(event.run)
                if run is None:
                    run = self._runs[event.run] = _Run(event.run)
                if run.add(event, self._models):
                    runs[event.run] = None
                active[run] = None
        trains = self._trains or self._is_training(new.values(), turned)
        if turned:
            runs |= {id_: None for id_, run in self._runs.items() if not turned.isdisjoint(run.named())}
            self._redefine(turned)
            lanes[self._defined] = None
        if trains is not self._trains:
            self._trains, runs = trains, dict.fromkeys(self._runs)
        for id_ in runs:
            self._place(self._runs[id_], lanes, touched)
        for key in mentioned:
            self._settle_dataset(key, touched)
        covered: set[Subject] = set()
        for lane in lanes:
            self._settle_lane(lane, touched, covered)
        for run in (*active, *(self._runs[id_] for id_ in runs)):
            if run.lane is not None and run.lane.hears(run.last, run.lane in lanes):
                for flow in run.lane.flows.open():
                    self._heard[flow] = max(run.lane.heard, self._heard.get(flow, run.lane.heard))
        changed = {}
        for subject in touched:
            spans = self._spans(subject)
            if spans != self._said.get(subject, ()):
                changed[subject] = spans
                if spans:
                    self._said[subject] = spans
                else:
                    del self._said[subject]
        return changed, touched | covered

    # Taking in

    def _models_in(self, events: Iterable[Event], touched: set[Subject]) -> set[AssetKey]:
        """Those that were not known to be models."""
        found = {each.key for event in events for each in _datasets(event) if each.is_model} - self._models
        self._models |= found
        for key in found & self._datasets.keys():
            touched.update((key, _model(key)))
            touched.update(key.part_key(*path) for path in self._datasets[key].columns())
        return found

    def _is_training(self, events: Iterable[Event], turned: set[AssetKey]) -> bool:
        return any(event.from_registry for event in events) or any(
            each.key in self._models
            for event in (*events, *((event for event, _ in self._definitions) if turned else ()))
            if event.about is not About.RUN
            for each in event.outputs
        )

    def _job(self, event: Event, touched: set[Subject]) -> None:
        self._origin, self._subject = event.origin, event.subject
        if event.subject.kind is not AssetKind.JOB:
            return
        if event.at < self._first or (event.run is not None and not self._is_observed):
            touched.add(event.subject)
        self._first = min(self._first, event.at)
        self._is_observed = self._is_observed or event.run is not None
        if event.attributes:
            self._facets.put(Said(event.at, event.digest, event.attributes))
            if self._facets.settle():
                touched.add(event.subject)

    def _mention(self, event: Event, mentioned: dict[AssetKey, None], touched: set[Subject]) -> None:
        said: dict[AssetKey, Mapping[str, Any]] = {}
        for each in _datasets(event):
            said[each.key] = {**said[each.key], **each.says} if each.key in said else each.says
            gone = each.renamed_from
            if gone is not None:
                said[gone] = {**said.get(gone, {}), **Dataset(gone, is_dropped=True).says}
        for key, says in said.items():
            mentions = self._datasets.get(key)
            if mentions is None:
                mentions = self._datasets[key] = _Mentions(event.about is About.DATASET)
            mentioned[key] = None
            mentions.timeline.put(Said(event.at, event.digest, says))
            if event.run is not None and not mentions.is_observed:
                mentions.is_observed = True
                touched.add(self._asset(key))
                touched.update(key.part_key(*path) for path in mentions.columns())

    def _settle_dataset(self, key: AssetKey, touched: set[Subject]) -> None:
        for name, (gone, come) in self._datasets[key].timeline.settle().items():
            if name != COLUMNS:
                touched.add(self._asset(key))
            elif key not in self._models:
                before = self._datasets[key].timeline.before(COLUMNS, min(at for at, _ in (*gone, *come)))
                schemas = [before, *(schema for _, schema in (*gone, *come))]
                touched.update(key.part_key(*path) for path in _differing(schemas))

    def _define(self, event: Event) -> None:
        said = Said(event.at, event.digest, self._flows_defined(event))
        self._definitions.append((event, said))
        self._defined.flows.put(said)

    def _redefine(self, turned: set[AssetKey]) -> None:
        """What some definitions say, now that these are known to be models."""
        for place, (event, said) in enumerate(self._definitions):
            if not turned.isdisjoint(_named(event)):
                self._defined.flows.take(said)
                again = Said(event.at, event.digest, self._flows_defined(event))
                self._definitions[place] = event, again
                self._defined.flows.put(again)

    def _flows_defined(self, event: Event) -> Flows:
        facts = _Facts()
        facts.add(event, self._models)
        return _view_flows(event) if event.about is About.DATASET else self._job_flows(facts)

    def _place(self, run: "_Run", lanes: dict["_Lane", None], touched: set[Subject]) -> None:
        """Where the run now stands: in a lane, as an asset of its own, or nowhere."""
        if run.lane is not None and run.said is not None:
            run.lane.flows.take(run.said)
            lanes[run.lane] = None
        for subject in run.trained:
            self._givers[subject].pop(run)
        touched.update(run.trained)
        run.lane, run.said, run.trained = None, None, ()
        if not run.counts:
            return
        outputs = frozenset(run.facts.outputs)
        if (self._trains or not outputs.isdisjoint(self._models)) and self._can_be_named(run):
            run.trained = self._training(run)
            for subject in run.trained:
                self._givers.setdefault(subject, {})[run] = None
            touched.update(run.trained)
            return
        lane = self._lanes.get(outputs)
        if lane is None:
            lane = self._lanes[outputs] = _Lane(Basis.OBSERVED)
        run.lane, run.said = lane, lane.flows.put(Said(run.start, run.id, self._job_flows(run.facts)))
        lanes[lane] = None

    def _settle_lane(self, lane: "_Lane", touched: set[Subject], covered: set[Subject]) -> None:
        for flow, (gone, come) in lane.flows.settle().items():
            givers = self._givers.setdefault(flow, {})
            if any(True for _ in lane.flows.holding(flow)):
                givers[lane] = None
            else:
                givers.pop(lane, None)
            if not gone and len(come) == 1 and self._covers(flow, come[0], lane.basis):
                covered.add(flow)
            else:
                touched.add(flow)

    def _covers(self, flow: Flow, turn: tuple[Instant, tuple[str, ...] | None], basis: Basis) -> bool:
        """Whether what is said of the flow since `turn` says that as well."""
        at, transformations = turn
        said = self._said.get(flow)
        if not said or transformations is None:
            return False
        last = said[-1]
        return (
            last.valid.start <= at
            and last.valid.end == FOREVER
            and not stronger(basis, last.basis)
            and (not transformations or [*transformations] == last.attributes.get("transformations"))
        )

    # What is said

    def _spans(self, subject: Subject) -> tuple[Assertion, ...]:
        return assertions(subject, self._origin, self._holdings(subject))

    def _holdings(self, subject: Subject) -> Iterator[Holding]:
        yield from self._given(subject)
        if isinstance(subject, Flow):
            return
        if subject.kind is AssetKind.JOB:
            basis = Basis.OBSERVED if self._is_observed else Basis.IMPORTED
            yield Holding(Interval(self._first, FOREVER), basis, {})
            yield from _claims(self._facets)
            return
        dataset = subject.container or subject  # a view of features stands here, too
        if subject.kind in _OF_MODELS:
            dataset = AssetKey(AssetKind.DATASET, subject.namespace, subject.name)
        mentions = self._datasets.get(dataset)
        if mentions is None or (subject.kind in _OF_MODELS) is not (dataset in self._models):
            return
        if subject.kind in (AssetKind.COLUMN, AssetKind.FEATURE):
            yield from mentions.of_column(subject.path)
        elif subject.kind is not AssetKind.MODEL_VERSION:
            for valid, _ in mentions.timeline.holding(THERE):
                yield Holding(valid, mentions.basis, {})
            for held in _claims(mentions.timeline):
                yield (
                    held._replace(attributes=_of_model(held.attributes)) if subject.kind is AssetKind.MODEL else held
                )

    def _given(self, subject: Subject) -> Iterator[Holding]:
        """Said by runs and definitions. Many may say the same: it is joined first."""
        held: dict[tuple[Basis, tuple[str, ...]], list[Interval]] = {}
        for giver in self._givers.get(subject, ()):
            if isinstance(giver, _Run):
                held.setdefault((Basis.OBSERVED, ()), []).append(Interval(giver.start, FOREVER))
            elif isinstance(subject, Flow):
                for valid, transformations in giver.flows.holding(subject):
                    held.setdefault((giver.basis, transformations), []).append(valid)
        for (basis, transformations), intervals in held.items():
            attributes: Attributes = {"transformations": [*transformations]} if transformations else {}
            for valid in union(intervals):
                yield Holding(valid, basis, attributes)

    def _asset(self, dataset: AssetKey) -> AssetKey:
        return _model(dataset) if dataset in self._models else dataset

    # Flows

    def _job_flows(self, facts: "_Facts") -> Flows:
        job = self._subject
        flows: dict[Flow, set[str]] = {}
        for read in facts.inputs:
            for source in self._as_read(read, facts):
                flows.setdefault(Flow(source, job), set())
        for written in facts.outputs:
            if written not in self._models:
                flows.setdefault(Flow(job, written), set())
        for written, each in facts.derived:
            for flow, transformations in self._derived(written, each, facts):
                flows.setdefault(flow, set()).update(transformations)
        for other in facts.others:
            flows.setdefault(other, set())
        return {flow: tuple(sorted(transformations)) for flow, transformations in flows.items()}

    def _derived(self, written: AssetKey, each: Derivation, facts: "_Facts") -> Iterator[tuple[Flow, tuple[str, ...]]]:
        job = self._subject
        if each.source in self._models or written in self._models or (each.column is None and each.into is None):
            yield from ((Flow(source, job), ()) for source in self._as_read(each.source, facts))
            return
        source, target = _ends(written, each)
        if source == target:  # what is kept as it was
            yield from ((Flow(read, job), ()) for read in (source, each.source))
            return
        flow = checked_flow(source, target, job)
        yield flow, each.transformations
        yield from ((also, ()) for also in implied_flows(flow))

    def _can_be_named(self, run: "_Run") -> bool:
        """Whether names are short enough for its id to be a part of them. That a run trains may be known only later."""
        unversioned = [each for each, versions in run.facts.outputs.items() if each in self._models and not versions]
        try:
            for each in (self._subject, *map(_model, unversioned)):
                each.part_key(run.id)
        except InvalidKey:
            return False
        return True

    def _training(self, run: "_Run") -> Collection[Subject]:
        key, facts = self._subject.part_key(run.id), run.facts
        made: dict[Subject, None] = {key: None, **dict.fromkeys(facts.others)}
        for read in (*facts.inputs, *(each.source for _, each in facts.derived)):
            for source in self._as_read(read, facts):
                # Which version was tuned further is not known: the model is then an input of the job.
                made[Flow(source, self._subject if source.kind is AssetKind.MODEL else key)] = None
        for written, versions in facts.outputs.items():
            if written not in self._models:
                made[Flow(key, written)] = None
                continue
            for version in versions or (run.id,):
                target = _model(written).part_key(version)
                made |= {target: None, Flow(key, target): None}
        return made

    def _as_read(self, dataset: AssetKey, facts: "_Facts") -> Iterable[AssetKey]:
        """A model's versions, where they are told."""
        if dataset not in self._models:
            return (dataset,)
        model = _model(dataset)
        return [model.part_key(version) for version in facts.inputs.get(dataset, ())] or [model]


class _Facts:
    """What events name, united. Versions are those that are told, of models as of what may turn out to be one."""

    __slots__ = ("derived", "inputs", "others", "outputs")

    def __init__(self) -> None:
        self.inputs: dict[AssetKey, dict[str, None]] = {}
        self.outputs: dict[AssetKey, dict[str, None]] = {}
        self.derived: dict[tuple[AssetKey, Derivation], None] = {}
        self.others: dict[Flow, None] = {}

    def add(self, event: Event, models: Collection[AssetKey]) -> bool:
        """Whether that is more than before, as far as flows follow from it."""
        more = False
        for datasets, known in ((event.inputs, self.inputs), (event.outputs, self.outputs)):
            for each in datasets:
                versions = known.get(each.key)
                if versions is None:
                    versions, more = known.setdefault(each.key, {}), True
                if each.version is not None and each.version not in versions:
                    versions[each.version] = None
                    more = more or each.key in models
        for written in event.outputs:
            for derivation in written.derived:
                if (written.key, derivation) not in self.derived:
                    self.derived[written.key, derivation] = None
                    more = True
        if not self.others.keys() >= {*event.others}:
            self.others |= dict.fromkeys(event.others)
            more = True
        return more


class _Run:
    __slots__ = ("_end", "_last", "_runs", "_streams", "facts", "id", "lane", "last", "said", "start", "trained")

    def __init__(self, id_: str) -> None:
        self.id = id_
        self.start: Instant = FOREVER
        self.last: Instant = -FOREVER
        self.facts = _Facts()
        self._last: tuple[tuple[Dataset, ...], tuple[Dataset, ...], tuple[Flow, ...]] = (), (), ()
        self._end: tuple[Instant, str, State] | None = None
        self._runs = False
        self._streams = False
        # Where it stands
        self.lane: _Lane | None = None
        self.said: Said[Flow, tuple[str, ...]] | None = None
        self.trained: Collection[Subject] = ()

    def add(self, event: Event, models: Collection[AssetKey]) -> bool:
        """Whether what it says, or whether it counts, may now be otherwise."""
        counted, start = self.counts, self.start
        self.start, self.last = min(start, event.at), max(self.last, event.at)
        if event.state in _ENDS:
            end = event.at, event.digest, event.state
            self._end = end if self._end is None else max(self._end, end)
        self._runs = self._runs or event.state is State.RUNNING
        self._streams = self._streams or str(event.attributes.get("processing_type")).upper() == _STREAMING
        more = False
        if (event.inputs, event.outputs, event.others) != self._last:  # events of one run repeat themselves
            self._last = event.inputs, event.outputs, event.others
            more = self.facts.add(event, models)
        if self._end is not None:
            self._last = (), (), ()  # there may be thousands that have ended
        return self.counts is not counted or (self.counts and (more or self.start != start))

    @property
    def counts(self) -> bool:
        """Whether it completed, or runs and has not ended."""
        if self._end is None:
            return self._runs
        return self._end[2] is State.COMPLETE or (self._runs and self._streams)

    def named(self) -> set[AssetKey]:
        return {*self.facts.inputs, *self.facts.outputs, *(each.source for _, each in self.facts.derived)}


@dataclass(eq=False, slots=True)
class _Lane:
    """What runs of one job and one set of outputs said one after the other; or its definitions."""

    basis: Basis
    flows: Timeline[Flow, tuple[str, ...]] = field(default_factory=lambda: Timeline(True))

    heard: Instant = -FOREVER
    _told: Instant = -FOREVER

    def hears(self, at: Instant, says_more: bool) -> bool:
        """Whether that is to be told."""
        self.heard = max(self.heard, at)
        if not says_more and self.heard < self._told + HOUR:
            return False
        self._told = self.heard
        return True


class _Mentions:
    """What events say of one dataset."""

    def __init__(self, replaced: bool) -> None:
        self.timeline: Timeline[str, Any] = Timeline(replaced)
        self.is_observed = False

    @property
    def basis(self) -> Basis:
        return Basis.OBSERVED if self.is_observed else Basis.IMPORTED

    def columns(self) -> set[tuple[str, ...]]:
        return {path for _, schema in self.timeline.holding(COLUMNS) for path in schema}

    def of_column(self, path: tuple[str, ...]) -> Iterator[Holding]:
        for valid, schema in self.timeline.holding(COLUMNS):
            if path in schema:
                yield Holding(valid, self.basis, schema[path])


def _datasets(event: Event) -> Iterator[Dataset]:
    yield from event.inputs
    yield from event.outputs


def _named(event: Event) -> set[AssetKey]:
    return {each for dataset in _datasets(event) for each in (dataset.key, *(of.source for of in dataset.derived))}


def _claims(timeline: Timeline[str, Any]) -> Iterator[Holding]:
    for name in timeline.names():
        if name not in (THERE, COLUMNS):
            for valid, value in timeline.holding(name):
                yield Holding(valid, None, {name: value})


def _differing(schemas: Sequence[Mapping[tuple[str, ...], Attributes] | None]) -> set[tuple[str, ...]]:
    """The columns that are not the same in all of them."""
    paths = {path for schema in schemas if schema for path in schema}
    first = schemas[0] or {}
    return {path for path in paths if any((schema or {}).get(path) != first.get(path) for schema in schemas)}


def _ends(written: AssetKey, each: Derivation) -> tuple[AssetKey, AssetKey]:
    source = each.source if each.column is None else each.source.part_key(each.column)
    return source, written if each.into is None else written.part_key(each.into)


def _view_flows(event: Event) -> Flows:
    """A dataset by itself, a view: its columns are derived without a job."""
    flows: dict[Flow, tuple[str, ...]] = {}
    for written in event.outputs:
        for each in written.derived:
            source, target = _ends(written.key, each)
            if source != target:
                flow = checked_flow(source, target)
                flows[flow] = tuple(sorted({*flows.get(flow, ()), *each.transformations}))
    return {**flows, **dict.fromkeys(event.others, ())}


def _model(dataset: AssetKey) -> AssetKey:
    return AssetKey(AssetKind.MODEL, dataset.namespace, dataset.name)


def _of_model(attributes: Attributes) -> Attributes:
    """What is the same as a dataset that is a model is a model too."""
    same = attributes.get("same_as")
    if not isinstance(same, list):
        return attributes
    return {"same_as": [str(_model(AssetKey.parse(str(each)))) for each in same]}
