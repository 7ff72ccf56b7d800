"""What is read of what MLflow tells. What else it tells is let be."""

import re
from dataclasses import dataclass

from graph.errors import quoted, shortened
from graph.importers.shapes import Anything, Field, Many, Problems, Record, Schema, Text, opened
from graph.model import Json


@dataclass(frozen=True)
class _Number:
    """A whole number, which protocol buffers may write as text."""

    def read(self, value: object, place: str, problems: Problems) -> Json:
        if isinstance(value, str) and re.fullmatch(r"-?\d{1,18}", value):
            return int(value)
        if isinstance(value, bool) or not isinstance(value, int) or abs(value) >= 10**18:
            problems.append(f"{place}: {quoted(shortened(value, 80))} is not a whole number")
            return None
        return value

    def schema(self) -> Schema:
        return {"type": ["integer", "string"]}


@dataclass(frozen=True)
class _Name:
    """Text; versions may come as numbers."""

    def read(self, value: object, place: str, problems: Problems) -> Json:
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**18:
            return str(value)
        return Text().read(value, place, problems)

    def schema(self) -> Schema:
        return {"type": ["string", "integer"]}


_TEXT, _ANY, _NUMBER, _NAME = Text(), Anything(), _Number(), _Name()
_TAGS = Many(opened("tag", {"key": _TEXT}, value=_TEXT))
_MEASURES = Many(opened("metric", {"key": _TEXT}, value=_ANY, timestamp=_NUMBER, step=_NUMBER))
_MODEL = opened(
    "registered_model",
    {"name": _TEXT},
    description=_TEXT,
    creation_timestamp=_NUMBER,
    tags=_TAGS,
    aliases=Many(opened("alias", {"alias": _TEXT, "version": _NAME})),
)
_VERSION = opened(
    "model_version",
    {"name": _TEXT, "version": _NAME},
    description=_TEXT,
    creation_timestamp=_NUMBER,
    current_stage=_TEXT,
    source=_TEXT,
    run_id=_TEXT,
    model_id=_TEXT,
    status=_TEXT,
    user_id=_TEXT,
    tags=_TAGS,
    signature=opened("signature", {}, inputs=_TEXT, outputs=_TEXT),
)
_DATASET = opened("dataset", {"name": _TEXT}, digest=_TEXT, source_type=_TEXT, source=_TEXT, schema=_TEXT)
_RUN = opened(
    "run",
    {
        "info": opened(
            "run_info",
            {"run_id": _TEXT, "experiment_id": _TEXT},
            run_name=_TEXT,
            user_id=_TEXT,
            status=_TEXT,
            start_time=_NUMBER,
            end_time=_NUMBER,
        )
    },
    data=opened("run_data", {}, metrics=_MEASURES, params=_TAGS, tags=_TAGS),
    inputs=opened(
        "run_inputs",
        {},
        dataset_inputs=Many(opened("dataset_input", {"dataset": _DATASET}, tags=_TAGS)),
        model_inputs=Many(opened("model_input", {"model_id": _TEXT})),
    ),
    outputs=opened("run_outputs", {}, model_outputs=Many(_ANY)),
    feast_features=Many(_TEXT),
)
_LOGGED = opened(
    "logged_model",
    {"info": opened("logged_model_info", {"model_id": _TEXT}, source_run_id=_TEXT, name=_TEXT, tags=_TAGS)},
    data=opened("logged_model_data", {}, params=_TAGS, metrics=_MEASURES),
)
DOCUMENT = Record(
    "mlflow",
    "What `headwater import mlflow` fetches.",
    {
        "server": Field(_TEXT, "The address of the tracking server."),
        "fetched": Field(_TEXT, "When it was asked first, by its own clock."),
        "registered_models": Field(Many(_MODEL), "All of them.", required=True),
        "model_versions": Field(Many(_VERSION), "All of them.", required=True),
        "experiments": Field(Many(opened("experiment", {"experiment_id": _TEXT}, name=_TEXT)), "Those of the runs."),
        "runs": Field(Many(_RUN), "The runs that made versions."),
        "logged_models": Field(Many(_LOGGED), "Those that versions come from."),
    },
)
