"""One OpenLineage event (spec 2-0-2), read as far as lineage needs it. What is wrong with one is told with its place.

Facets that READ does not name are left alone: the event is kept as it came. Producers in the wild leave out the zone of
`eventTime` (UTC is meant, as other receivers read it) and `schemaURL`, and give nanoseconds.
"""

import hashlib
import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import orjson

from graph.attributes import canonical
from graph.changes import MAX_ORIGIN_BYTES
from graph.errors import InvalidInput, InvalidTime, quoted
from graph.importers.openlineage.fields import (
    READ,
    checked_at,
    event_time,
    facets_of,
    key_at,
    object_at,
    objects_at,
    optional_text_at,
    part_at,
    shown,
    text_at,
)
from graph.keys import AssetKey, AssetKind, is_legible
from graph.model import Attributes, Flow, Json
from graph.plan import AHEAD
from graph.time import Instant, moment

_DEEPEST = 32
"""Levels of nested fields in a schema."""
THERE, COLUMNS = "", "#"
"""No attribute has such a name."""
_REGISTRIES = {"MLFLOW"}
"""`integration` of the facet `jobType`."""
_VERSION = re.compile(r"v?\d+(\.\d+)+[^/]*")


class About(StrEnum):
    RUN = "RUN"
    JOB = "JOB"
    """A definition, that replaces the one before."""
    DATASET = "DATASET"


class State(StrEnum):
    START = "START"
    RUNNING = "RUNNING"
    COMPLETE = "COMPLETE"
    ABORT = "ABORT"
    FAIL = "FAIL"
    OTHER = "OTHER"


@dataclass(frozen=True, slots=True)
class Derivation:
    """What a dataset is derived from: a column of `source`, or all of it; into one of its columns, or into every row."""

    source: AssetKey
    column: str | None
    into: str | None
    transformations: tuple[str, ...] = ()
    """`TYPE`, `TYPE:SUBTYPE` or `TYPE:SUBTYPE:MASKED`."""


@dataclass(frozen=True, slots=True)
class Dataset:
    key: AssetKey
    """As a dataset, whatever it is."""
    is_model: bool = False
    version: str | None = None
    attributes: Attributes = field(default_factory=dict)
    """None for a value: taken back."""
    columns: Mapping[tuple[str, ...], Attributes] | None = None
    """None: nothing is said of them."""
    derived: tuple[Derivation, ...] = ()
    is_dropped: bool = False
    renamed_from: AssetKey | None = None
    written_by: tuple[AssetKey, ...] = ()
    """Jobs of which the facet `lineage` says so, whichever job the event is about."""
    says: Mapping[str, Any] = field(init=False)
    """All of it that holds until something else is said: attributes by their names, COLUMNS, and whether it is THERE."""

    def __post_init__(self) -> None:
        columns = {} if self.is_dropped else self.columns
        says = {THERE: None if self.is_dropped else True, **self.attributes}
        object.__setattr__(self, "says", says if columns is None else {**says, COLUMNS: columns})


@dataclass(frozen=True, slots=True)
class Event:
    about: About
    at: Instant
    digest: str
    """SHA-256 of its canonical JSON: a repeated event has that of the first. It decides between events of one instant."""
    origin: str
    subject: AssetKey
    """The job; of a dataset event, the dataset."""
    run: str | None = None
    state: State = State.OTHER
    attributes: Attributes = field(default_factory=dict)
    """Of the job."""
    inputs: tuple[Dataset, ...] = ()
    outputs: tuple[Dataset, ...] = ()
    """Of a dataset event, the one dataset."""
    from_registry: bool = False
    """A registry of models tells of it: it trains."""
    others: tuple[Flow, ...] = ()
    """What the facet `lineage` says of other jobs."""


def read_event(document: object, digest: str | None = None) -> Event:
    """`digest`, where it is known already. Raises InvalidInput, which names the field."""
    event = object_at(document, "the event")
    if digest is None:
        digest = hashlib.sha256(canonical(event)).hexdigest()
    at = event_time(text_at(event, "eventTime", ""))
    producer = text_at(event, "producer", "")
    # As in the spec: whatever has a run is about it, and a dataset alone needs no job.
    if event.get("run") is not None:
        return _run_event(event, at, digest, producer)
    if event.get("dataset") is not None and event.get("job") is None:
        dataset = _dataset(object_at(event["dataset"], "dataset"), "dataset")
        origin = origin_of(producer, dataset.key)
        others = tuple(Flow(job, dataset.key) for job in dataset.written_by)
        return Event(About.DATASET, at, digest, origin, dataset.key, outputs=(dataset,), others=others)
    if event.get("job") is None:
        raise InvalidInput("the event has none of run, job and dataset", "run")
    return _job_event(About.JOB, event, at, digest, producer)


def reduced(event: Mapping[str, Any]) -> dict[str, Any]:
    """Of an event that was read, what was: read again, with the digest it had, it says the same."""
    kept = {name: event[name] for name in ("eventTime", "eventType", "producer", "schemaURL") if name in event}
    for name in ("run", "job", "dataset"):
        if event.get(name) is not None:
            kept[name] = _reduced(event[name])
    for name in ("inputs", "outputs"):
        if event.get(name) is not None:
            kept[name] = [_reduced(each) for each in event[name]]
    return kept


def _reduced(of: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: of[name] for name in ("runId", "namespace", "name") if name in of}
    facets = {name: facet for name, facet in (of.get("facets") or {}).items() if name in READ}
    return {**kept, "facets": facets} if facets else kept


def refuse_ahead(event: Event, now: Instant) -> None:
    """Raises InvalidTime. What is kept already is not judged again: the clock may have been set back."""
    if event.at > now + AHEAD:
        raise InvalidTime(
            f"eventTime is {moment(event.at)}, ahead of the clock, which stands at {moment(now)}", event.at
        )


def origin_of(producer: str, subject: AssetKey) -> str:
    """Who says what events of `producer` tell about a job (or about a dataset by itself).

    One for each job, so that all it says follows from that job's events alone. The producer's version is left out: after an
    upgrade it is still the same source.
    """
    text = f"{_source(producer)}#{subject}"
    if not is_legible(text):
        raise InvalidInput(f"producer is {quoted(producer)}, which does not print", producer)
    if len(text.encode()) > MAX_ORIGIN_BYTES:
        return f"openlineage:sha256:{hashlib.sha256(text.encode()).hexdigest()}"
    return text


def source_of_document(document: object) -> str:
    """Who told it, as far as that can be told of what is wrong in another way."""
    producer = document.get("producer") if isinstance(document, dict) else None
    source = _source(producer) if isinstance(producer, str) and producer.strip() == producer else ""
    return (
        source
        if source.isprintable() and 0 < len(source.encode(errors="replace")) <= MAX_ORIGIN_BYTES
        else "openlineage"
    )


def _source(producer: str) -> str:
    steps = [step for step in producer.split("/") if not _VERSION.fullmatch(step)]
    return f"openlineage:{'/'.join(steps)}"


def _run_event(event: Mapping[str, Any], at: Instant, digest: str, producer: str) -> Event:
    run = text_at(object_at(event["run"], "run"), "runId", "run")
    try:
        run_id = str(uuid.UUID(run))
    except ValueError:
        raise InvalidInput(f"run.runId is {quoted(run)}, which is not a UUID", run) from None
    given = event.get("eventType")
    try:
        state = State.OTHER if given is None else State(given.upper())
    except (ValueError, AttributeError):
        raise InvalidInput(f"eventType is {shown(given)}; it is one of {', '.join(State)}", given) from None
    read = _job_event(About.RUN, event, at, digest, producer, run_id, state)
    if read.from_registry or any(each.is_model for each in read.outputs):  # it is an asset of its own
        part_at(read.subject, run_id, place="job")
    return read


def _job_event(
    about: About,
    event: Mapping[str, Any],
    at: Instant,
    digest: str,
    producer: str,
    run: str | None = None,
    state: State = State.OTHER,
) -> Event:
    job = object_at(event.get("job"), "job")
    key = key_at(AssetKind.JOB, job, "job")
    facets = facets_of(job, "job")
    inputs, outputs = (
        [_dataset(each, place) for each, place in objects_at(event, side, "")] for side in ("inputs", "outputs")
    )
    read_by: list[Flow] = []
    for entry, place in objects_at(facets.get("lineage", {}), "entries", "job.facets.lineage"):
        if entry.get("type") == "DATASET":
            target = key_at(AssetKind.DATASET, entry, place)
            derived = tuple(_explicit(entry, target, place))
            outputs.append(Dataset(target, derived=derived, written_by=tuple(_writers(entry, place))))
            continue
        reader = key if entry.get("name") is None else key_at(AssetKind.JOB, entry, place)
        sources = [each.source for each in _explicit({"inputs": entry.get("inputs")}, reader, place)]
        if reader == key:
            inputs += map(Dataset, sources)
        else:
            read_by += [Flow(source, reader) for source in sources]
    inputs, outputs = _as_feast_means(event, inputs, outputs)
    attributes = checked_at(dict(_job_attributes(facets, event.get("run"))), key, "job.facets")
    origin = origin_of(producer, key)
    integration = optional_text_at(facets.get("jobType", {}), "integration", "job.facets.jobType")
    registered = integration is not None and integration.upper() in _REGISTRIES
    writes = [Flow(job_, each.key) for each in (*inputs, *outputs) for job_ in each.written_by if job_ != key]
    others = (*read_by, *writes)
    return Event(
        about, at, digest, origin, key, run, state, attributes, tuple(inputs), tuple(outputs), registered, others
    )


def _job_attributes(facets: Mapping[str, Mapping[str, Any]], run: object) -> Iterator[tuple[str, Json]]:
    place = "job.facets"
    yield from _common_attributes(facets, place)
    parent = facets_of(run, "run").get("parent") if isinstance(run, dict) else None
    if parent:
        job = object_at(parent.get("job"), "run.facets.parent.job")
        yield "parent", str(key_at(AssetKind.JOB, job, "run.facets.parent.job"))
    for facet, name, attribute in (
        ("sql", "query", "definition"),
        ("sourceCodeLocation", "url", "source_link"),
        ("jobType", "jobType", "job_type"),
        ("jobType", "processingType", "processing_type"),
    ):
        yield from _said(facets, facet, name, attribute, place)


def _common_attributes(facets: Mapping[str, Mapping[str, Any]], place: str) -> Iterator[tuple[str, Json]]:
    yield from _said(facets, "documentation", "description", "description", place)
    if "ownership" in facets:
        owners = objects_at(facets["ownership"], "owners", f"{place}.ownership")
        yield "owners", [{"name": text_at(owner, "name", at)} for owner, at in owners] or None


def _said(
    facets: Mapping[str, Mapping[str, Any]], facet: str, name: str, attribute: str, place: str
) -> Iterator[tuple[str, Json]]:
    if facet in facets:
        yield attribute, optional_text_at(facets[facet], name, f"{place}.{facet}")


# Datasets


class _Known:
    """Datasets that were read before: events of one job name the same ones, in the same words, again and again."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._found: dict[bytes, Dataset] = {}

    def read(self, given: Mapping[str, Any], place: str) -> Dataset:
        text = orjson.dumps(given)
        found = self._found.get(text)
        if found is None:
            found = _dataset_anew(given, place)
            if self._bytes > self._most_bytes:
                self._found, self._bytes = {}, 0
            self._found[text] = found
            self._bytes += len(text)
        return found


_dataset = _Known(4 << 20).read
"""The objects take some ten times as much as the text."""


def _dataset_anew(given: Mapping[str, Any], place: str) -> Dataset:
    key, facets = key_at(AssetKind.DATASET, given, place), facets_of(given, place)
    at = f"{place}.facets"
    lifecycle = facets.get("lifecycleStateChange", {})
    change = optional_text_at(lifecycle, "lifecycleStateChange", f"{at}.lifecycleStateChange")
    renamed_from = None
    if change == "RENAME" and lifecycle.get("previousIdentifier") is not None:
        before = f"{at}.lifecycleStateChange.previousIdentifier"
        renamed_from = key_at(AssetKind.DATASET, object_at(lifecycle["previousIdentifier"], before), before)
    type_ = optional_text_at(facets.get("datasetType", {}), "datasetType", f"{at}.datasetType")
    is_model = type_ is not None and type_.upper() == "MODEL"
    derived = [*_column_lineage(facets.get("columnLineage", {}), key, f"{at}.columnLineage")]
    derived += _explicit(facets.get("lineage", {}), key, f"{at}.lineage")
    return Dataset(
        key,
        is_model,
        _version(facets.get("version", {}), key, f"{at}.version", is_model),
        checked_at(dict(_dataset_attributes(facets, key, at)), key, at),
        _columns(facets["schema"], key, f"{at}.schema") if "schema" in facets else None,
        tuple(derived),
        change == "DROP",
        renamed_from,
        tuple(_writers(facets.get("lineage", {}), f"{at}.lineage")),
    )


def _version(facet: Mapping[str, Any], of: AssetKey, place: str, is_model: bool) -> str | None:
    """Of what may be a model. Of what is none as far as is known here, one that could not be a model's is left alone."""
    version = optional_text_at(facet, "datasetVersion", place)
    if not version:
        return None
    model = AssetKey(AssetKind.MODEL, of.namespace, of.name)
    try:
        if part_at(model, version, place=f"{place}.datasetVersion").is_alias:
            message = f"{place}.datasetVersion is {quoted(version)}, which is an alias, and no version"
            raise InvalidInput(message, version)
    except InvalidInput:
        if is_model:
            raise
        return None
    return version


def _dataset_attributes(
    facets: Mapping[str, Mapping[str, Any]], of: AssetKey, place: str
) -> Iterator[tuple[str, Json]]:
    yield from _common_attributes(facets, place)
    yield from _said(facets, "datasetType", "datasetType", "dataset_type", place)
    if "symlinks" in facets:
        given = objects_at(facets["symlinks"], "identifiers", f"{place}.symlinks")
        links = {str(key_at(AssetKind.DATASET, each, at)) for each, at in given} - {str(of)}
        yield "same_as", [*sorted(links)] or None


def _columns(schema: Mapping[str, Any], of: AssetKey, place: str) -> dict[tuple[str, ...], Attributes]:
    found: dict[tuple[str, ...], Attributes] = {}
    stack: list[tuple[Mapping[str, Any], str, tuple[str, ...]]] = [(schema, place, ())]
    while stack:
        within, at, path = stack.pop()
        for each, place_of in objects_at(within, "fields", at):
            steps = (*path, text_at(each, "name", place_of))
            if len(steps) > _DEEPEST:
                raise InvalidInput(f"{place_of} is nested deeper than {_DEEPEST} levels", steps[-1])
            column = part_at(of, *steps, place=f"{place_of}.name")
            texts = {name: optional_text_at(each, name, place_of) for name in ("type", "description")}
            found[column.path] = checked_at({name: text for name, text in texts.items() if text}, column, place_of)
            stack.append((each, place_of, steps))
    return found


def _column_lineage(facet: Mapping[str, Any], of: AssetKey, place: str) -> Iterator[Derivation]:
    for into, given in object_at(facet.get("fields") or {}, f"{place}.fields").items():
        at = f"{place}.fields.{into}"
        part_at(of, into, place=at)
        for each, at_input in objects_at(object_at(given, at), "inputFields", at):
            yield from _derivations(each, into, at_input)
    for each, at_input in objects_at(facet, "dataset", place):
        yield from _derivations(each, None, at_input)


def _explicit(facet: Mapping[str, Any], of: AssetKey, place: str) -> Iterator[Derivation]:
    """The `lineage` facet, as far as it speaks of datasets: what other jobs do, their own events tell."""
    for each, at in objects_at(facet, "inputs", place):
        if each.get("type") != "JOB":
            yield from _derivations(each, None, at)
    for into, given in object_at(facet.get("fields") or {}, f"{place}.fields").items():
        at_field = f"{place}.fields.{into}"
        part_at(of, into, place=at_field)
        for each, at in objects_at(object_at(given, at_field), "inputs", at_field):
            if each.get("type") != "JOB":
                yield from _derivations(each, into, at)


def _writers(facet: Mapping[str, Any], place: str) -> Iterator[AssetKey]:
    """Jobs that are named as what feeds a dataset; one without a name is the event's own."""
    for each, at in objects_at(facet, "inputs", place):
        if each.get("type") == "JOB" and each.get("name") is not None:
            yield key_at(AssetKind.JOB, each, at)


def _derivations(given: Mapping[str, Any], into: str | None, place: str) -> Iterator[Derivation]:
    source = key_at(AssetKind.DATASET, given, place)
    column = optional_text_at(given, "field", place)
    if column is not None:
        part_at(source, column, place=f"{place}.field")
    of_value: list[str] = []
    of_rows: list[str] = []
    for each, at in objects_at(given, "transformations", place):
        type_ = text_at(each, "type", at).upper()
        text = ":".join(filter(None, (type_, optional_text_at(each, "subtype", at))))
        (of_rows if type_ == "INDIRECT" else of_value).append(text + (":MASKED" if each.get("masking") is True else ""))
    if into is None:
        yield Derivation(source, column, None, tuple(sorted({*of_value, *of_rows})))
        return
    if of_value or not of_rows:
        yield Derivation(source, column, into, tuple(sorted(set(of_value))))
    if of_rows:
        yield Derivation(source, column, None, tuple(sorted(set(of_rows))))


# Feast


def _as_feast_means(
    event: Mapping[str, Any], inputs: list[Dataset], outputs: list[Dataset]
) -> tuple[list[Dataset], list[Dataset]]:
    """Of a job of Feast: its views and services are feature views, keyed as the import of its registry keys them.

    Its entities hold no data. A definition of several views tells of the sources of all of them together: which of them a
    view is computed from, the registry alone says.
    """
    kind = _feast_facet(event["job"], "feast_jobKind")
    if kind is None:
        return inputs, outputs
    read = [
        (each, raw) for each, raw in _with_raw(inputs, event, "inputs") if _feast_facet(raw, "feast_entity") is None
    ]
    written = list(_with_raw(outputs, event, "outputs"))
    if kind.get("kind") == "definition" and len(written) > 1:
        read = []
    of_service = any(_feast_facet(raw, "feast_featureService") is not None for _, raw in written)
    views = {each.key for each, _ in read}

    def meant(each: Dataset, raw: Mapping[str, Any], is_read: bool) -> Dataset:
        view, service = (_feast_facet(raw, name) for name in ("feast_featureView", "feast_featureService"))
        if view is None and service is None and not (of_service and is_read):
            return each
        name = each.key.name
        if service is not None and each.key in views:
            name = f"{name} (service)"  # views and services have names of their own there
        told = service or view or {}
        owner, about = (
            told.get(field) if isinstance(told.get(field), str) else None for field in ("owner", "description")
        )
        key = AssetKey.of(AssetKind.FEATURE_VIEW, each.key.namespace, name)
        return Dataset(
            key,
            attributes=checked_at(
                {"description": about or None, "owners": [{"name": owner}] if owner else None}, key, "facets"
            )
            if told
            else {},
            columns=None
            if each.columns is None
            else {path: said for path, said in each.columns.items() if not path[1:]},
        )

    return [meant(*each, is_read=True) for each in read], [meant(*each, is_read=False) for each in written]


def _with_raw(
    datasets: list[Dataset], event: Mapping[str, Any], side: str
) -> Iterator[tuple[Dataset, Mapping[str, Any]]]:
    raw = [each for each, _ in objects_at(event, side, "")]
    yield from zip(datasets, [*raw, *[{}] * (len(datasets) - len(raw))], strict=True)


def _feast_facet(of: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    found = (of.get("facets") or {}).get(name)
    return found if isinstance(found, dict) else None
