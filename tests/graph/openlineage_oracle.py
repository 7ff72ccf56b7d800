"""What a set of OpenLineage events of one origin says, from all of them at once, as plainly as can be: what `Fold` is compared with."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NamedTuple

from graph.importers.openlineage.events import About, Dataset, Derivation, Event, State
from graph.importers.openlineage.timelines import Holding, assertions
from graph.keys import AssetKey, AssetKind
from graph.model import Assertion, Attributes, Basis, Flow, Json, Subject, checked_flow, implied_flows
from graph.time import FOREVER, Instant, Interval

_ENDS = {State.COMPLETE, State.FAIL, State.ABORT}
Flows = dict[Flow, tuple[str, ...]]
"""With their transformations."""


class Said(NamedTuple):
    """Something that holds until something else is said; of what is said at one instant, that of the last digest."""

    at: Instant
    digest: str
    value: Json


def in_turn(said: Iterable[Said]) -> Iterator[tuple[Interval, Json]]:
    """Each value with its time, equal neighbours joined."""
    start: Instant | None = None
    value: Json = None
    ordered = sorted(said, key=lambda each: (each.at, each.digest))
    for place, each in enumerate(ordered):
        if place + 1 < len(ordered) and ordered[place + 1].at == each.at:
            continue
        if start is None:
            start, value = each.at, each.value
        elif each.value is not value and each.value != value:  # events repeat themselves
            yield Interval(start, each.at), value
            start, value = each.at, each.value
    if start is not None:
        yield Interval(start, FOREVER), value


def folded(events: Iterable[Event]) -> dict[Subject, tuple[Assertion, ...]]:
    """All that the events, which are of one origin, say: in the order of the subjects' text."""
    ordered = sorted({event.digest: event for event in events}.values(), key=_turn)
    if not ordered:
        return {}
    said = _Said(ordered)
    return {subject: spans for subject in sorted(said.holdings, key=str) if (spans := said.of(subject))}


def _turn(event: Event) -> tuple[Instant, str]:
    return event.at, event.digest


class _Said:
    def __init__(self, events: list[Event]) -> None:
        self.origin = events[0].origin
        self.holdings: dict[Subject, list[Holding]] = {}
        self._models = {each.key for event in events for each in _datasets(event) if each.is_model}
        self._assets(events)
        job = events[0].subject
        definitions = [event for event in events if event.about is not About.RUN]
        flows_of = (
            ((event.at, _view_flows(event)) for event in definitions)
            if job.kind is AssetKind.DATASET
            else ((event.at, self._job_flows(job, [event])) for event in definitions)
        )
        self._in_lane(flows_of, Basis.IMPORTED)
        trains = any(each.key in self._models for event in definitions for each in event.outputs)
        trains = trains or any(event.from_registry for event in events)
        lanes: dict[Collection[AssetKey], list[tuple[Instant, str, list[Event]]]] = {}
        for run, of_run in _runs(events).items():
            if not _counts(of_run):
                continue
            outputs = frozenset(each.key for event in of_run for each in event.outputs)
            if trains or outputs & self._models:
                self._training(job, run, of_run)
            else:
                lanes.setdefault(outputs, []).append((of_run[0].at, run, of_run))
        for lane in lanes.values():
            lane.sort(key=lambda each: each[:2])
            self._in_lane(((start, self._job_flows(job, of_run)) for start, _, of_run in lane), Basis.OBSERVED)

    def of(self, subject: Subject) -> tuple[Assertion, ...]:
        return assertions(subject, self.origin, self.holdings[subject])

    def _add(
        self, subject: Subject, valid: Interval, basis: Basis | None, attributes: Attributes | None = None
    ) -> None:
        if valid.start < valid.end:
            self.holdings.setdefault(subject, []).append(Holding(valid, basis, attributes or {}))

    # Flows

    def _in_lane(self, in_order: Iterable[tuple[Instant, Flows]], basis: Basis) -> None:
        """Each holds until the next begins; one that says the same of a flow goes on with it."""
        open_: dict[Flow, tuple[Instant, tuple[str, ...]]] = {}
        for at, flows in in_order:
            for flow, (since, before) in list(open_.items()):
                if flows.get(flow) != before:
                    self._add_flow(flow, Interval(since, at), basis, before)
                    del open_[flow]
            for flow, transformations in flows.items():
                open_.setdefault(flow, (at, transformations))
        for flow, (since, transformations) in open_.items():
            self._add_flow(flow, Interval(since, FOREVER), basis, transformations)

    def _add_flow(self, flow: Flow, valid: Interval, basis: Basis, transformations: tuple[str, ...]) -> None:
        self._add(flow, valid, basis, {"transformations": [*transformations]} if transformations else None)

    def _job_flows(self, job: AssetKey, events: Collection[Event]) -> Flows:
        flows: Flows = {}
        for event in events:
            for read in event.inputs:
                for source in self._read(read.key, events):
                    flows.setdefault(Flow(source, job), ())
            for written in event.outputs:
                if written.key not in self._models:
                    flows.setdefault(Flow(job, written.key), ())
                for each in written.derived:
                    for flow, transformations in self._derived(written, each, job, events):
                        flows[flow] = tuple(sorted({*flows.get(flow, ()), *transformations}))
            for other in event.others:
                flows.setdefault(other, ())
        return flows

    def _derived(
        self, written: Dataset, each: Derivation, job: AssetKey, events: Collection[Event]
    ) -> Iterator[tuple[Flow, tuple[str, ...]]]:
        if each.source in self._models or written.key in self._models or (each.column is None and each.into is None):
            yield from ((Flow(source, job), ()) for source in self._read(each.source, events))
            return
        source, target = _ends(written, each)
        if source == target:  # what is kept as it was
            reads = Flow(source, job)
            yield from ((read, ()) for read in (reads, Flow(each.source, job)))
            return
        flow = checked_flow(source, target, job)
        yield flow, each.transformations
        yield from ((also, ()) for also in implied_flows(flow))

    def _training(self, job: AssetKey, run_id: str, events: list[Event]) -> None:
        run, since = job.part_key(run_id), Interval(events[0].at, FOREVER)
        self._add(run, since, Basis.OBSERVED)
        flows = set()
        for event in events:
            for written in event.outputs:
                if written.key not in self._models:
                    flows.add(Flow(run, written.key))
                    continue
                told = {each.version for other in events for each in other.outputs if each.key == written.key}
                for version in told - {None} or {run_id}:
                    assert version is not None
                    target = _model(written.key).part_key(version)
                    flows.add(Flow(run, target))
                    self._add(target, since, Basis.OBSERVED)
            for read in [*(each.key for each in event.inputs), *(d.source for w in event.outputs for d in w.derived)]:
                for source in self._read(read, events):
                    # Which version was tuned further is not known: the model is then an input of the job.
                    flows.add(Flow(source, job if source.kind is AssetKind.MODEL else run))
        for flow in flows.union(*(event.others for event in events)):
            self._add(flow, since, Basis.OBSERVED)

    def _read(self, dataset: AssetKey, events: Collection[Event]) -> list[AssetKey]:
        """What the dataset is: a model's versions, if they are told."""
        if dataset not in self._models:
            return [dataset]
        versions = {each.version for event in events for each in event.inputs if each.key == dataset} - {None}
        return [_model(dataset).part_key(version) for version in versions if version] or [_model(dataset)]

    # Assets

    def _assets(self, events: list[Event]) -> None:
        named: dict[AssetKey, list[tuple[Event, Dataset]]] = {}
        for event in events:
            for each in _datasets(event):
                named.setdefault(each.key, []).append((event, each))
                if each.renamed_from is not None:
                    gone = Dataset(each.renamed_from, is_dropped=True)
                    named.setdefault(gone.key, []).append((event, gone))
        for key, mentions in named.items():
            self._dataset(key, mentions)
        job = events[0].subject
        if job.kind is AssetKind.JOB:
            since = Interval(events[0].at, FOREVER)
            self._add(job, since, Basis.OBSERVED if any(e.about is About.RUN for e in events) else Basis.IMPORTED)
            self._claims(job, [(event, event.attributes) for event in events])

    def _dataset(self, key: AssetKey, mentions: list[tuple[Event, Dataset]]) -> None:
        subject = _model(key) if key in self._models else key
        there = in_turn(Said(event.at, event.digest, not each.is_dropped) for event, each in mentions)
        observed = any(event.about is About.RUN for event, _ in mentions)
        basis = Basis.OBSERVED if observed else Basis.IMPORTED
        for valid, is_there in there:
            if is_there:
                self._add(subject, valid, basis)
        replaced = mentions[0][0].about is About.DATASET
        names = {name for _, each in mentions for name in each.attributes} if replaced else set()
        self._claims(subject, [(event, {**dict.fromkeys(names), **_of(subject, each)}) for event, each in mentions])
        if key not in self._models:
            self._columns(key, mentions, basis)

    def _columns(self, dataset: AssetKey, mentions: list[tuple[Event, Dataset]], basis: Basis) -> None:
        schemas: list[Said] = []
        last: object = None
        value: dict[str, Json] = {}
        for event, each in mentions:
            columns = {} if each.is_dropped else each.columns
            if columns is None and event.about is About.DATASET:
                columns = {}
            if columns is None:
                continue
            if columns is not last:
                # No name holds a control character.
                last, value = columns, {"\n".join(path): {**said} for path, said in columns.items()}
            schemas.append(Said(event.at, event.digest, value))
        for valid, schema in in_turn(schemas):
            assert isinstance(schema, dict)
            for path, attributes in schema.items():
                assert isinstance(attributes, dict)
                self._add(dataset.part_key(*path.split("\n")), valid, basis, attributes)

    def _claims(self, subject: AssetKey, claims: Iterable[tuple[Event, Attributes]]) -> None:
        by_name: dict[str, list[Said]] = {}
        for event, attributes in claims:
            for name, value in attributes.items():
                by_name.setdefault(name, []).append(Said(event.at, event.digest, value))
        for name, said in by_name.items():
            for valid, value in in_turn(said):
                if value is not None:
                    self._add(subject, valid, None, {name: value})


def _datasets(event: Event) -> Iterator[Dataset]:
    yield from event.inputs
    yield from event.outputs


def _runs(events: Iterable[Event]) -> Mapping[str, list[Event]]:
    """In the order of their earliest events; each run's events in order."""
    runs: dict[str, list[Event]] = {}
    for event in events:
        if event.run is not None:
            runs.setdefault(event.run, []).append(event)
    return runs


def _counts(events: list[Event]) -> bool:
    ends = [event.state for event in events if event.state in _ENDS]
    runs = any(event.state is State.RUNNING for event in events)
    streams = any(str(event.attributes.get("processing_type")).upper() == "STREAMING" for event in events)
    return ends[-1] is State.COMPLETE or (runs and streams) if ends else runs


def _ends(written: Dataset, each: Derivation) -> tuple[AssetKey, AssetKey]:
    source = each.source if each.column is None else each.source.part_key(each.column)
    return source, written.key if each.into is None else written.key.part_key(each.into)


def _view_flows(event: Event) -> Flows:
    """A dataset by itself, a view: its columns are derived without a job."""
    flows: Flows = {}
    for written in event.outputs:
        for each in written.derived:
            source, target = _ends(written, each)
            if source != target:
                flow = checked_flow(source, target)
                flows[flow] = tuple(sorted({*flows.get(flow, ()), *each.transformations}))
    return {**flows, **dict.fromkeys(event.others, ())}


def _model(dataset: AssetKey) -> AssetKey:
    return AssetKey.of(AssetKind.MODEL, dataset.namespace, dataset.name)


def _of(subject: AssetKey, dataset: Dataset) -> Attributes:
    same = dataset.attributes.get("same_as")
    if subject.kind is not AssetKind.MODEL or not isinstance(same, list):
        return dataset.attributes
    return {**dataset.attributes, "same_as": [str(_model(AssetKey.parse(str(each)))) for each in same]}
