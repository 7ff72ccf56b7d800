"""What a set of OpenLineage events of one origin says: about one job, or about one dataset by itself.

A pure function of the set: neither order nor repetition matters. The rules:

* What a run reads and writes is the union over all its events, from its earliest event on.
* A run counts when it completed, or runs and has not ended. What failed or was aborted changes nothing.
* Runs of one *lane* (the job and the set of its outputs) follow one another: each ends, at its own start, what the one
  before said, and nothing else.
* Definitions (job events, dataset events) replace the one before.
* A run that names a model as output, or whose job's definition does, trains: it is an asset of its own, and its flows are its.
* Facets hold until one of the same sort says otherwise, whatever became of the run.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping

from graph.importers.openlineage.events import About, Dataset, Derivation, Event, State
from graph.importers.openlineage.timelines import Holding, Said, assertions, in_turn
from graph.keys import AssetKey, AssetKind
from graph.model import Assertion, Attributes, Basis, Flow, Json, Subject, checked_flow, implied_flows
from graph.time import FOREVER, Instant, Interval

_ENDS = {State.COMPLETE, State.FAIL, State.ABORT}
Flows = dict[Flow, tuple[str, ...]]
"""With their transformations."""


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
                flows.setdefault(Flow(self._known(read, None), job), ())
            for written in event.outputs:
                if written.key not in self._models:
                    flows.setdefault(Flow(job, written.key), ())
                for each in written.derived:
                    for flow, transformations in self._derived(written, each, job):
                        flows[flow] = tuple(sorted({*flows.get(flow, ()), *transformations}))
        return flows

    def _derived(self, written: Dataset, each: Derivation, job: AssetKey) -> Iterator[tuple[Flow, tuple[str, ...]]]:
        if each.source in self._models or written.key in self._models or (each.column is None and each.into is None):
            yield Flow(self._known(Dataset(each.source), None), job), ()
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
            for read in event.inputs:
                source = self._known(read, None)
                # Which version was tuned further is not known: the model is then an input of the job.
                flows.add(Flow(source, job if source.kind is AssetKind.MODEL else run))
            for written in event.outputs:
                target = self._known(written, run_id)
                flows.add(Flow(run, target))
                if target.kind is AssetKind.MODEL_VERSION:
                    self._add(target, since, Basis.OBSERVED)
                for each in written.derived:
                    source = self._known(Dataset(each.source), None)
                    flows.add(Flow(source, job if source.kind is AssetKind.MODEL else run))
        for flow in flows:
            self._add(flow, since, Basis.OBSERVED)

    def _known(self, dataset: Dataset, run_id: str | None) -> AssetKey:
        """What the dataset is: a model's version, if it is told; of a model without one, that of the run that made it."""
        if dataset.key not in self._models:
            return dataset.key
        model, version = _model(dataset.key), dataset.version or run_id
        return model if version is None else model.part_key(version)

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
        self._claims(subject, [(event, {**dict.fromkeys(names), **each.attributes}) for event, each in mentions])
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
    return ends[-1] is State.COMPLETE if ends else any(event.state is State.RUNNING for event in events)


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
    return flows


def _model(dataset: AssetKey) -> AssetKey:
    return AssetKey.of(AssetKind.MODEL, dataset.namespace, dataset.name)
