"""MLflow 3: what `headwater import mlflow` fetches over the REST API → models, their versions, and what these were trained on.

* A registered model is a model, its versions are versions, its aliases name them. Prompts are no models.
* The run that made a version is a training run, its experiment the job. Runs that made none are left out: they are MLflow's to
  list, and nothing in use depends on them.
* The inputs of such a run are datasets, named as OpenLineage would where their source is a real place. Others are known by the
  experiment and their name; those that nobody named (`dataset`), by their digest too, or all of them were one.
* A run or version with Feast's tags was trained on those features: by name, or by the feature service, which is a view.
* A version's parameters and metrics are those of its run, and of a run that made several models, those of its logged model.

Text that is another tool's own (sources, schemas, signatures) is read where it can be, and else let be.
"""

import math
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit

from graph.attributes import checked_attributes
from graph.changes import AssetStatement, FlowStatement, Registration, checked_origin
from graph.errors import InvalidInput, InvalidManifest, quoted
from graph.importers.labels import definition, fitting, labelled, owners
from graph.importers.mlflow_document import DOCUMENT
from graph.importers.mlflow_texts import columns_of, parsed, place_of_source, signature_of
from graph.importers.places import Place
from graph.importers.shapes import Problems, noting
from graph.importers.values import listed, record, records, text, texts
from graph.keys import AssetKey, AssetKind, alias_key
from graph.model import Basis, Flow, Json, checked_flow
from graph.time import Instant, moment, parse_instant


def read_mlflow(document: object, origin: str | None = None, namespace: str | None = None) -> Registration:
    """`namespace` of models, experiments and datasets without a place; absent: `default`, as in `models:/` URIs.

    `origin` absent: `mlflow:` and the server's host. Raises InvalidManifest, which names every place that is wrong.
    """
    problems: list[str] = []
    read = record(DOCUMENT.read(document, "", problems))
    if problems:
        raise InvalidManifest(problems)
    server = text(read, "server") or ""
    if origin is None:
        origin = f"mlflow:{host_of(server)}" if server else None
    if origin is None:
        raise InvalidManifest(["server: missing, so name an origin"])
    reading = _Reading(namespace or "default", _public(server), problems)
    reading.take(read)
    taken = None
    with noting(problems, "fetched"):
        taken = parse_instant(str(read["fetched"])) if "fetched" in read else None
    if problems:
        raise InvalidManifest(problems)
    return Registration(
        origin=checked_origin(origin),
        basis=Basis.IMPORTED,
        assets=tuple(AssetStatement(key, each.attributes, each.since) for key, each in reading.said.items()),
        flows=tuple(
            FlowStatement(flow, {name: [*sorted(values)] for name, values in each.attributes.items()}, each.since)
            for flow, each in reading.flows.items()
        ),
        complete=True,
        stubs=True,  # features are Feast's to describe
        taken=taken,
    )


_UNNAMED = "dataset"
"""What MLflow calls a dataset that nobody gave a name."""
_IS_PROMPT = "mlflow.prompt.is_prompt"
_OWNERS = ("owner", "owners", "team")
_CUT = "..."
"""Feast ends a tag so that MLflow would not hold."""


@dataclass
class _Said:
    attributes: dict[str, Json] = field(default_factory=dict)
    since: Instant | None = None


@dataclass
class _Passed:
    attributes: dict[str, set[str]] = field(default_factory=dict)
    since: Instant | None = None


@dataclass
class _Reading:
    namespace: str
    server: str | None
    problems: Problems
    said: dict[AssetKey, _Said] = field(default_factory=dict)
    flows: dict[Flow, _Passed] = field(default_factory=dict)
    columns: dict[AssetKey, dict[AssetKey, dict[str, Json]]] = field(default_factory=dict)
    """Of each dataset, as the newest run that tells them saw them."""
    experiments: dict[str, str] = field(default_factory=dict)
    """Names, by id."""
    runs: dict[str, AssetKey] = field(default_factory=dict)
    logged: dict[str, dict[str, Json]] = field(default_factory=dict)
    """By model id."""
    made: dict[str, list[AssetKey]] = field(default_factory=dict)
    """The versions that come from a logged model."""
    features: dict[str, list[AssetKey]] = field(default_factory=dict)
    """Of each run (by MLflow's id), those that it was trained on."""

    def take(self, document: dict[str, Json]) -> None:
        for _, each in records(document, "experiments"):
            self.experiments[str(each["experiment_id"])] = text(each, "name") or str(each["experiment_id"])
        for _, each in records(document, "logged_models"):
            self.logged[str(record(each["info"])["model_id"])] = each
        models = {str(each["name"]): (place, each) for place, each in records(document, "registered_models")}
        models = {name: given for name, given in models.items() if _IS_PROMPT not in _tags(given[1])}
        versions = [(place, each) for place, each in records(document, "model_versions") if str(each["name"]) in models]
        wanted = {run_id for _, each in versions if (run_id := self._run_of(each))}
        by_id = {str(record(run["info"])["run_id"]): (place, run) for place, run in records(document, "runs")}
        # From old to new, so that of a dataset the newest run's word counts.
        for run_id, (place, run) in sorted(by_id.items(), key=lambda each: _started(each[1][1])):
            if run_id in wanted:
                with noting(self.problems, place):
                    self._run(run_id, run, place)
        for place, each in models.values():
            with noting(self.problems, place):
                self._model(each, place)
        for place, each in versions:
            with noting(self.problems, place):
                self._version(each, by_id.get(self._run_of(each) or "", ("", {}))[1])
        for run_id, key in self.runs.items():
            _, run = by_id[run_id]
            for _, read in records(record(run.get("inputs")), "model_inputs"):
                for version in self.made.get(str(read["model_id"]), ()):
                    if Flow(key, version) not in self.flows:  # what a run made it may evaluate too
                        self._flow(version, key, _started(run) or None)
        for columns in self.columns.values():
            for column, attributes in columns.items():
                self._say(column, attributes, None)

    # Models

    def _model(self, model: dict[str, Json], place: str) -> None:
        name = str(model["name"])
        key = AssetKey.of(AssetKind.MODEL, self.namespace, name)
        self._say(
            key,
            {
                **_people(model),
                "source_link": self._link(f"models/{_escaped(name)}"),
            },
            _millis(model.get("creation_timestamp")),
        )
        for at, alias in records(model, "aliases", place):
            with noting(self.problems, at):
                self._say(alias_key(key, str(alias["alias"])), {"version": alias["version"]}, None)

    def _version(self, version: dict[str, Json], run: dict[str, Json]) -> None:
        name, number = str(version["name"]), str(version["version"])
        key = AssetKey.of(AssetKind.MODEL, self.namespace, name).part_key(number)
        if key.is_alias:
            raise InvalidInput(f"{quoted(number)} begins with @, as only aliases do", number)
        model_id = _model_id(version)
        logged = self.logged.get(model_id or "", {})
        run_id = self._run_of(version)
        own, ran = record(logged.get("data")), record(run.get("data"))
        # A logged model has what was logged with it: less than its run, unless that made several.
        made_several = len(listed(record(run.get("outputs")).get("model_outputs"))) > 1
        first, second = (own, ran) if made_several else (ran, own)
        since = _millis(version.get("creation_timestamp"))
        features = [*self.features.get(run_id or "", ())]
        # Feast tags a version with the service alone; the project is the run's.
        tags = {"feast.project": _tags(ran).get("feast.project", ""), **_tags(version)}
        features += [each for each in self._feast(tags, []) if each not in features]
        stage = text(version, "current_stage")
        self._say(
            key,
            {
                **_people(version),
                "source_link": self._link(f"models/{_escaped(name)}/versions/{_escaped(number)}"),
                "stage": stage if stage not in {None, "", "None"} else None,
                "status": text(version, "status"),
                "source_uri": text(version, "source") or None,
                "mlflow_model_id": model_id,
                "mlflow_run_id": run_id,
                "hyperparameters": fitting(_pairs(first, "params") or _pairs(second, "params")),
                "metrics": fitting(_measures(first) or _measures(second)),
                "signature": signature_of(record(version.get("signature")), features),
            },
            since,
        )
        if model_id:
            self.made.setdefault(model_id, []).append(key)
        if run_id and run_id in self.runs:
            self._flow(self.runs[run_id], key, since)
            for feature in features:
                self._flow(feature, self.runs[run_id], _started(run) or None)

    def _run_of(self, version: dict[str, Json]) -> str | None:
        """MLflow's id of the run that made it: registered from a logged model, a version need not say."""
        logged = record(self.logged.get(_model_id(version) or "", {}).get("info"))
        return text(version, "run_id") or text(logged, "source_run_id") or None

    # Runs

    def _run(self, run_id: str, run: dict[str, Json], place: str) -> None:
        info, data = record(run["info"]), record(run.get("data"))
        experiment_id = str(info["experiment_id"])
        experiment = self.experiments.get(experiment_id, experiment_id)
        tags = _tags(data)
        since = _started(run) or None
        job = AssetKey.of(AssetKind.JOB, self.namespace, experiment)
        link = f"experiments/{_escaped(experiment_id)}"
        if job not in self.said:
            self._say(job, {"job_type": "TRAINING", "source_link": self._link(link)}, since)
        key = job.part_key(_uuid(run_id))
        self.runs[run_id] = key
        commit = tags.get("mlflow.source.git.commit")
        self._say(
            key,
            {
                **_people({"tags": data.get("tags"), "description": tags.get("mlflow.note.content")}),
                "run_name": text(info, "run_name"),
                "status": text(info, "status"),
                "user": text(info, "user_id") or tags.get("mlflow.user"),
                "started": _iso(info.get("start_time")),
                "ended": _iso(info.get("end_time")),
                "source_name": tags.get("mlflow.source.name"),
                "source_commit": commit,
                "mlflow_run_id": run_id,
                "hyperparameters": fitting(_pairs(data, "params")),
                "metrics": fitting(_measures(data)),
                "source_link": self._link(f"{link}/runs/{_escaped(run_id)}"),
            },
            since,
        )
        self._inputs(run, key, experiment, since, place)
        self.features[run_id] = self._feast(tags, texts(run.get("feast_features")))
        for feature in self.features[run_id]:
            self._flow(feature, key, since)

    def _inputs(self, run: dict[str, Json], key: AssetKey, experiment: str, since: Instant | None, place: str) -> None:
        columns: dict[AssetKey, dict[AssetKey, dict[str, Json]]] = {}
        for at, each in records(record(run.get("inputs")), "dataset_inputs", f"{place}.inputs"):
            with noting(self.problems, f"{at}.dataset"):
                given = record(each["dataset"])
                found = self._dataset(given, experiment)
                passed = self.flows.setdefault(checked_flow(found, key), _Passed({}, since))
                _add(passed.attributes, "contexts", _tags(each).get("mlflow.data.context"))
                _add(passed.attributes, "digests", text(given, "digest"))
                columns.setdefault(found, {}).update(columns_of(found, given))
        self.columns |= {dataset: newest for dataset, newest in columns.items() if newest}

    def _dataset(self, given: dict[str, Json], experiment: str) -> AssetKey:
        name, kind = str(given["name"]), text(given, "source_type")
        source = parsed(text(given, "source"))
        place = place_of_source(kind, source, self.namespace)
        if place is None:
            digest = text(given, "digest")
            name = f"{experiment}/{name}" + (f"@{digest}" if name == _UNNAMED and digest else "")
            place = Place(self.namespace, name)
        key = AssetKey.of(AssetKind.DATASET, *place)
        before = self.said[key].attributes.get("mlflow_names") if key in self.said else None
        attributes: dict[str, Json] = {
            "source_type": kind,
            "definition": definition(text(source, "sql")),
            "mlflow_names": [*sorted({*texts(before), str(given["name"])})],
        }
        self._say(key, attributes, None)
        return key

    def _feast(self, tags: Mapping[str, str], listed: list[str]) -> list[AssetKey]:
        """The features that Feast's tags name, or views where they name no more. Feast cuts what MLflow would not hold."""
        project = tags.get("feast.project") or self.namespace
        references = tags.get("feast.feature_refs", "")
        named = listed or [each.strip() for each in references.split(",")]
        is_cut = not listed and references.endswith(_CUT)
        found: dict[AssetKey, None] = {}
        for each in named[:-1] if is_cut else named:
            view, _, feature = each.partition(":")
            if view and feature:
                # A version of the view, as driver@v2, is asked for by name too.
                found[AssetKey.of(AssetKind.FEATURE, project, view.partition("@")[0], feature)] = None
        views = tags.get("feast.feature_views", "").split(",") if is_cut else []
        for view in (*views, tags.get("feast.feature_service", "")):
            if view and not view.endswith(_CUT):
                found[AssetKey.of(AssetKind.FEATURE_VIEW, project, view)] = None
        return list(found)

    # Saying

    def _say(self, key: AssetKey, attributes: Mapping[str, Json], since: Instant | None) -> None:
        checked: dict[str, Json] = {**checked_attributes(attributes, key)}
        checked = {name: value for name, value in checked.items() if value is not None}
        before = self.said.get(key)
        if before is None:
            self.said[key] = _Said(checked, since)
        elif key.kind is AssetKind.DATASET:
            before.attributes |= checked
        else:
            raise InvalidInput(f"{key} stands here twice", key)

    def _flow(self, source: AssetKey, target: AssetKey, since: Instant | None) -> None:
        self.flows.setdefault(checked_flow(source, target), _Passed({}, since))

    def _link(self, path: str) -> str | None:
        return f"{self.server}/#/{path}" if self.server else None


def _people(of: Mapping[str, Json]) -> dict[str, Json]:
    """Description, owners and tags, but for MLflow's own."""
    tags = {name: value for name, value in _tags(of).items() if not name.startswith("mlflow.")}
    names = (name for key, value in tags.items() if key.lower() in _OWNERS for name in value.split(","))
    return {
        "description": text(of, "description") or None,
        "owners": owners(names),
        **labelled(tags, hidden=("feast.",)),
    }


def _tags(of: Mapping[str, Json]) -> dict[str, str]:
    found = of.get("tags")
    return {str(record(each)["key"]): str(record(each).get("value", "")) for each in listed(found) if record(each)}


def _pairs(data: dict[str, Json], name: str) -> dict[str, Json]:
    return {str(record(each)["key"]): record(each).get("value", "") for each in listed(data.get(name)) if record(each)}


def _measures(data: dict[str, Json]) -> dict[str, Json]:
    """By name, the latest that is a number."""
    found: dict[str, tuple[tuple[int, int], Json]] = {}
    for each in map(record, listed(data.get("metrics"))):
        value, key = each.get("value"), each.get("key")
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            continue
        turn = _whole(each.get("timestamp")), _whole(each.get("step"))
        if isinstance(key, str) and (key not in found or found[key][0] <= turn):
            found[key] = turn, value
    return {name: value for name, (_, value) in found.items()}


def _model_id(version: dict[str, Json]) -> str | None:
    """`models:/m-…` is where a version of a logged model comes from."""
    source = text(version, "source") or ""
    return text(version, "model_id") or (source.removeprefix("models:/") if source.startswith("models:/m-") else None)


def _uuid(run_id: str) -> str:
    try:
        return str(uuid.UUID(run_id))
    except ValueError:
        raise InvalidInput(f"the run id {quoted(run_id)} is not a UUID", run_id) from None


def _started(run: dict[str, Json]) -> Instant:
    """0 where it is not told."""
    return _millis(record(run["info"]).get("start_time")) or 0


def _millis(value: Json) -> Instant | None:
    found = _whole(value)
    return found * 1000 if 0 < found < _LAST_MILLI else None


_LAST_MILLI = 253_402_300_800_000
"""The year 10000."""


def _iso(value: Json) -> str | None:
    at = _millis(value)
    found = None if at is None else moment(at)
    return None if found is None else found.isoformat(timespec="milliseconds")


def _escaped(text: str) -> str:
    return quote(text, safe="", errors="replace")


def host_of(server: str) -> str:
    try:
        return urlsplit(server).netloc.rpartition("@")[2] or server
    except ValueError:
        return server


def _public(server: str) -> str | None:
    """Without who signs in. None for what no browser can open."""
    try:
        parts = urlsplit(server)
    except ValueError:
        return None
    if parts.scheme not in {"http", "https"}:
        return None
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}".rstrip("/")


def _add(attributes: dict[str, set[str]], name: str, value: str | None) -> None:
    if value:
        attributes.setdefault(name, set()).add(value)


def _whole(value: Json) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
