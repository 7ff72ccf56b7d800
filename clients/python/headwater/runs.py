"""Training runs: what is read, set and made within a `with` block, told when it ends."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import threading
import uuid
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar, Token
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from headwater.digests import columns_of, digest
from headwater.errors import HeadwaterError
from headwater.keys import column_of, key, key_of, names_of, part_of
from headwater.transport import Json, plain

if TYPE_CHECKING:
    from headwater.client import Client

log = logging.getLogger("headwater")

_current: ContextVar[TrainingRun | None] = ContextVar("headwater_training_run", default=None)
_LONGEST_TEXT = 500
_MOST_COLUMNS = 10_000


def current_run() -> TrainingRun | None:
    """The innermost training run of this thread or task.

    >>> with client.training_run("risk/fraud", "10") as run:
    ...     current_run() is run
    True
    >>> current_run() is None
    True
    """
    return _current.get()


class TrainingRun:
    """One training: within `with`, whatever is logged; at its end, told as a whole.

    A block that ends well records the run, the model version that it made, and what flowed where. One that raises records
    that the run failed, and no version; the exception goes on. Runs of other threads and tasks are others', and so is a run
    within a run. A second run with the same `run_id` is the same run, told anew.

    While the service cannot be reached, all of it waits on disk (see `Client.record`).

    >>> with client.training_run("risk/fraud", "11") as run:
    ...     run.log_features("feature:shop/payments#mean_30d")
    >>> client.asset(run.key).title == run.run_id
    True
    """

    def __init__(
        self,
        client: Client,
        model: str,
        version: str | None = None,
        *,
        job: str | None = None,
        run_id: str | uuid.UUID | None = None,
        features: Iterable[str] = (),
        parameters: Mapping[str, Any] | None = None,
        tags: Iterable[str] = (),
        description: str | None = None,
        source_link: str | None = None,
        origin: str | None = None,
        close: bool = False,
        clock: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
    ) -> None:
        self.client = client
        self.model = key_of("model", model)
        namespace, name = names_of(self.model)
        self.job = key("job", namespace, f"train_{name}") if job is None else key_of("job", job, namespace)
        self.run_id = str(uuid.UUID(str(run_id))) if run_id else str(uuid.uuid4())
        self.version = version or self.run_id
        self.failed: bool | None = None
        """None while it runs."""
        self.told: bool | None = None
        """At the end: the service has all of it; else it waits on disk."""
        self._origin = origin or f"training:{self.job.partition(':')[2]}"
        self._said = {"tags": [*tags] or None, "description": description, "source_link": source_link}
        self._parameters: Json = dict(parameters or {})
        self._metrics: dict[str, float] = {}
        self._inputs: dict[str, None] = {}
        self._columns: dict[str, str] = {}
        """By the name of a column that was read, its key, where one alone has that name; else empty."""
        self._datasets: dict[str, Json] = {}
        self._known: dict[str, list[str]] = {}
        """Of the datasets the columns that were seen: they are there, whoever else says so."""
        self._version: Json = {}
        self._document: Json | None = None
        self._close = close
        self._clock = clock
        self._started = clock()
        self._ended: datetime | None = None
        self._tokens: list[Token[TrainingRun | None]] = []
        self._lock = threading.Lock()
        self.log_features(*features)

    @property
    def key(self) -> str:
        """Of the run, as an asset."""
        return part_of(self.job, "run", self.run_id)

    @property
    def version_key(self) -> str:
        """Of the model version that it makes."""
        return part_of(self.model, "model_version", self.version)

    def log_dataset(
        self, dataset: str, data: Any = None, columns: Iterable[str] | None = None, digest_of: Any = None
    ) -> str | None:
        """A data set that was read, by its key or `namespace/name`; its digest, if there is something to digest.

        `data` is a DataFrame of pandas or polars, a table of pyarrow, a mapping of columns, or the path of a file or folder.
        Of a table its columns are what was read, unless `columns` says which were; of all else the whole. `digest_of` is
        what is digested instead of `data`, as the file that it was read from.

        >>> with client.training_run("risk/fraud", "2") as run:
        ...     run.log_dataset("warehouse/payments", {"amount": [1.5, 2.5]})
        'sha256:1d7a0555e00be0fd24a5817cd08aca7393d9850f151fc4dd64867e104ce21dae'
        """
        asset = key_of("dataset", dataset)
        table = columns_of(data)
        read = [*columns] if columns is not None else [*(table or ())]
        subject = digest_of if digest_of is not None else data
        told: Json = {}
        if subject is not None:
            told["digest"] = digest(subject)
        if table:
            told["rows"] = len(next(iter(table.values()))())
        with self._lock:
            self._datasets[asset] = told
            self._known[asset] = read if len(read) <= _MOST_COLUMNS else []
            if read and len(read) <= _MOST_COLUMNS:
                for name in read:
                    self._read(name, column_of(asset, name))
            else:
                self._inputs[asset] = None
        return told.get("digest")

    def log_features(self, *features: str) -> None:
        """Features or feature views that were read, by their keys.

        What `get_batch_features` of the run's own client reads within the block is known without.

        >>> with client.training_run("risk/fraud", "3") as run:
        ...     run.log_features("feature:shop/payments#mean_30d")
        """
        for feature in features:
            if not feature.startswith(("feature:", "feature_view:")):
                raise ValueError(f"{feature!r} is no key of a feature or view, like feature:shop/payments#mean_30d")
        with self._lock:
            for feature in features:
                self._inputs[feature] = None

    def log_parameters(self, parameters: Mapping[str, Any] | None = None, **named: Any) -> None:
        """Hyperparameters; what JSON has no form for is kept as its text.

        >>> with client.training_run("risk/fraud", "4") as run:
        ...     run.log_parameters({"learning_rate": 0.1}, trees=100)
        """
        with self._lock:
            self._parameters |= {**(parameters or {}), **named}

    def log_metrics(self, metrics: Mapping[str, float] | None = None, **named: float) -> None:
        """Held-out metrics: finite numbers.

        >>> with client.training_run("risk/fraud", "5") as run:
        ...     run.log_metrics(auc=0.91)
        """
        given = {name: float(value) for name, value in {**(metrics or {}), **named}.items()}
        for name, value in given.items():
            if not math.isfinite(value):
                raise ValueError(f"the metric {name} is {value}, and must be a finite number")
        with self._lock:
            self._metrics |= given

    def log_artifact(
        self,
        artifact: bytes | str | os.PathLike[str],
        *,
        inputs: Iterable[Mapping[str, Any]] = (),
        outputs: Iterable[Mapping[str, Any]] = (),
        profile: Mapping[str, Any] | None = None,
    ) -> str:
        """The model's file, or its bytes, which are uploaded; its digest.

        `inputs` and `outputs` are its signature: {name, type, shape, feature} each. `profile` is what `headwater.profile`
        makes of the rows that it was trained on.

        >>> with client.training_run("risk/fraud", "6") as run:
        ...     run.log_artifact(b"model", inputs=[{"name": "amount", "type": "FP64"}])[:15]
        'sha256:9372c470'
        """
        content = artifact if isinstance(artifact, bytes) else Path(artifact).read_bytes()
        hashed = f"sha256:{hashlib.sha256(content).hexdigest()}"
        self.client.record_artifact(content)
        with self._lock:
            self._version["artifact"] = {"uri": f"artifact:{hashed}", "digest": hashed}
            signature = {"inputs": [dict(each) for each in inputs], "outputs": [dict(each) for each in outputs]}
            if signature["inputs"] or signature["outputs"]:
                self._version["signature"] = signature
            if profile is not None:
                self._version["profile"] = dict(profile)
        return hashed

    def _noticed(self, read: Mapping[str, str]) -> None:
        """Features that were read, keys by name."""
        with self._lock:
            for name, feature in read.items():
                self._read(name, feature)
                self._columns.setdefault(name.rpartition(":")[2], feature)

    def _log_document(self, document: Json) -> None:
        """What `sklearn_document` made; the last one counts."""
        with self._lock:
            self._document = document

    def _source_of(self, names: Iterable[str]) -> dict[str, str]:
        """By name the keys of those columns and features that were read and that one alone has."""
        with self._lock:
            return {name: self._columns[name] for name in names if self._columns.get(name)}

    def __enter__(self) -> TrainingRun:
        self._tokens.append(_current.set(self))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _current.reset(self._tokens.pop())
        self.failed = error is not None
        self._ended = self._clock()
        try:
            self._tell(error)
        except HeadwaterError as problem:
            if error is None:
                raise
            log.warning("that %s failed could not be told: %s", self.key, problem)
        finally:
            if self._close:
                self.client.close()

    def _tell(self, error: BaseException | None = None) -> None:
        """Tells all that is known of it, again if it was told before."""
        manifest = self._manifest(error)
        content = json.dumps(manifest, sort_keys=True, default=plain)
        operation = str(uuid.uuid5(uuid.UUID(self.run_id), content))
        self.told = self.client.record(manifest, self._origin, "OBSERVED", operation, self._ended).sent
        if self._document is not None and not self.failed:
            namespace, name = names_of(self.model)
            sources = self._source_of(each["name"] for each in self._document["inputs"])
            document = {**self._document, "model": name, "version": self.version, "run": self.key, "features": sources}
            document.pop("source", None)
            origin = f"{self._origin}:estimator:{self.run_id}"
            self.told &= self.client.record_document("sklearn", document, origin, namespace).sent

    def _manifest(self, error: BaseException | None = None) -> Json:
        """What is told, as `ManifestInput` has it."""
        job, model = names_of(self.job), names_of(self.model)
        with self._lock:
            parameters = {str(name): _fitting(value) for name, value in self._parameters.items()} or None
            measured: Json = {"hyperparameters": parameters, "metrics": dict(self._metrics) or None}
            attributes = {
                "status": "RUNNING" if self.failed is None else "FAILED" if self.failed else "FINISHED",
                "started": self._started.isoformat(),
                "ended": None if self._ended is None else self._ended.isoformat(),
                "error": None if error is None else f"{type(error).__name__}: {error}"[:_LONGEST_TEXT],
                "datasets": self._datasets or None,
            }
            run = {
                "job": self.job,
                "runId": self.run_id,
                "inputs": [*self._inputs],
                "description": self._said["description"],
                "sourceLink": self._said["source_link"],
                "tags": self._said["tags"],
                "attributes": _present(attributes),
                **measured,
            }
            told: Json = {
                "datasets": [_dataset(asset, columns) for asset, columns in self._known.items()],
                "jobs": [{"namespace": job[0], "name": job[1], "attributes": {"job_type": "TRAINING"}}],
                "runs": [_present(run)],
            }
            if not self.failed:
                version = {
                    "model": self.model,
                    "version": self.version,
                    "run": self.key,
                    **measured,
                    **self._version,
                }
                told["models"] = [{"namespace": model[0], "name": model[1]}]
                told["modelVersions"] = [_present(version)]
        return told

    def _read(self, name: str, asset: str) -> None:
        self._inputs[asset] = None
        self._columns[name] = asset if self._columns.get(name, asset) == asset else ""

    def __repr__(self) -> str:
        state = "running" if self.failed is None else "failed" if self.failed else "finished"
        return f"<TrainingRun {self.key}, {state}, of {self.version_key}>"


def _dataset(asset: str, columns: Iterable[str]) -> Json:
    namespace, name = names_of(asset)
    return {"namespace": namespace, "name": name, "columns": [{"path": [column]} for column in columns]}


def _present(fields: Json) -> Json:
    return {name: value for name, value in fields.items() if value is not None}


def _fitting(value: Any) -> Any:
    try:
        text = json.dumps(value, default=plain, allow_nan=False)
    except (TypeError, ValueError):
        return str(value)[:_LONGEST_TEXT]
    return json.loads(text) if len(text) <= _LONGEST_TEXT else text[:_LONGEST_TEXT]
