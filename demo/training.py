"""Trains the models, on data sets that come with scikit-learn, as artifacts that need no unpickling."""

import hashlib
import io
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from uuid import NAMESPACE_URL, uuid5

import headwater
import numpy as np
import skops.io
from sklearn.base import BaseEstimator
from sklearn.datasets import load_digits, load_wine
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import accuracy_score, f1_score, mean_absolute_error, r2_score
from sklearn.model_selection import train_test_split
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

Table = Mapping[str, np.ndarray]

CHEMISTRY = {
    "alcohol": "alcohol",
    "malic_acid": "malic_acid",
    "ash": "ash",
    "flavanoid_share": "flavanoids / total_phenols",
    "color_intensity": "color_intensity",
    "hue": "hue",
}
"""Features of a bottle: a column of its assay, or the ratio of two."""

PROBABILITIES = ("barolo_probability", "grignolino_probability", "barbera_probability")
"""What the cultivar model answers, one for each class."""

PROFILE = {name: f"output_{name}" for name in PROBABILITIES[:2]}
"""Features of a bottle that the deployed cultivar model gives: columns of its prediction log."""


@dataclass(frozen=True)
class Plan:
    """One version to train. `reads` names features, or columns where the model needs no feature view."""

    model: str
    version: str
    estimator: BaseEstimator
    reads: tuple[str, ...]
    target: str
    outputs: tuple[str, ...]
    hyperparameters: Mapping[str, object]


@dataclass(frozen=True)
class Version:
    plan: Plan
    run_id: str
    metrics: Mapping[str, float]
    """On rows that no model was trained on."""
    artifact: bytes
    profile: Mapping[str, object] | None
    """How inputs and outputs are distributed over the rows it was trained on; None for images."""

    @property
    def digest(self) -> str:
        return f"sha256:{hashlib.sha256(self.artifact).hexdigest()}"


class Trained(NamedTuple):
    versions: list[Version]
    """Every version of `PLANS`, in that order."""
    bottles: Table
    """The rows that callers ask about: one bottle each, with its number and all features."""
    assays: Table
    """What the laboratory measured, the source of the features."""


PLANS = (
    Plan(
        "cultivar",
        "1",
        DecisionTreeClassifier(max_depth=2, random_state=0),
        ("alcohol", "malic_acid", "ash"),
        "cultivar",
        PROBABILITIES,
        {"algorithm": "decision tree", "max_depth": 2},
    ),
    Plan(
        "cultivar",
        "2",
        make_pipeline(StandardScaler(), LogisticRegression(C=0.3)),
        ("alcohol", "malic_acid", "flavanoid_share", "color_intensity", "hue"),
        "cultivar",
        PROBABILITIES,
        {"algorithm": "logistic regression", "C": 0.3},
    ),
    Plan(
        "cultivar",
        "3",
        GaussianNB(),
        ("alcohol", "malic_acid", "flavanoid_share", "color_intensity", "hue"),
        "cultivar",
        PROBABILITIES,
        {"algorithm": "naive Bayes"},
    ),
    Plan(
        "proline",
        "1",
        make_pipeline(StandardScaler(), Ridge(alpha=1.0)),
        ("alcohol", "color_intensity"),
        "proline",
        ("proline",),
        {"algorithm": "ridge regression", "alpha": 1.0},
    ),
    Plan(
        "proline",
        "2",
        make_pipeline(StandardScaler(), Ridge(alpha=1.0)),
        ("alcohol", "color_intensity", "barolo_probability", "grignolino_probability"),
        "proline",
        ("proline",),
        {"algorithm": "ridge regression", "alpha": 1.0},
    ),
    Plan(
        "keeping",
        "1",
        LogisticRegression(),
        ("alcohol", "barolo_probability"),
        "keep",
        ("keep",),
        {"algorithm": "logistic regression"},
    ),
    Plan(
        "label_digit",
        "1",
        DecisionTreeClassifier(max_depth=10, random_state=0),
        ("pixels",),
        "digit",
        ("digit",),
        {"algorithm": "decision tree", "max_depth": 10},
    ),
    Plan(
        "label_digit",
        "2",
        SVC(gamma=0.001),
        ("pixels",),
        "digit",
        ("digit",),
        {"algorithm": "support vectors", "gamma": 0.001},
    ),
)

CHAMPION = {"cultivar": "2", "proline": "2", "keeping": "1", "label_digit": "2"}
CHALLENGER = {"cultivar": "3"}


def train() -> Trained:
    wine = load_wine()
    assays: dict[str, np.ndarray] = {
        "bottle": np.arange(len(wine.target)),
        **{name.split("/")[0]: column for name, column in zip(wine.feature_names, wine.data.T, strict=True)},
        "cultivar": wine.target,
    }
    bottles = {name: _computed(definition, assays) for name, definition in CHEMISTRY.items()}
    bottles |= {name: assays[name] for name in ("bottle", "cultivar", "proline")}
    bottles["keep"] = (bottles["proline"] > np.median(bottles["proline"])).astype(np.int64)
    digits = load_digits()
    scans = {"pixels": digits.data, "digit": digits.target}

    versions = []
    for plan in PLANS:
        table = scans if plan.model == "label_digit" else bottles
        versions.append(_trained(plan, table))
        if plan.model == "cultivar" and plan.version == CHAMPION["cultivar"]:
            # What the champion's deployment logs for each bottle, the next model reads.
            predicted = plan.estimator.predict_proba(_matrix(bottles, plan.reads))
            bottles |= dict(zip(PROBABILITIES, predicted.T, strict=True))
    return Trained(versions, bottles, assays)


def _trained(plan: Plan, table: Table) -> Version:
    # The same seed gives the same rows each time, so no model has seen the rows that any other is held out from.
    fit, held_out = train_test_split(np.arange(len(table[plan.target])), test_size=0.3, random_state=0)
    given, wanted = _matrix(table, plan.reads), table[plan.target]
    estimator: Any = plan.estimator
    estimator.fit(given[fit], wanted[fit])
    return Version(
        plan,
        run_id=str(uuid5(NAMESPACE_URL, f"headwater:demo/{plan.model}/{plan.version}")),
        metrics=_metrics(estimator, given[held_out], wanted[held_out]),
        artifact=_portable(skops.io.dumps(estimator)),
        profile=None if plan.model == "label_digit" else _profile(plan, given[fit]),
    )


def _profile(plan: Plan, given: np.ndarray) -> Mapping[str, object]:
    estimator: Any = plan.estimator
    several = len(plan.outputs) > 1
    answers = estimator.predict_proba(given).T if several else [estimator.predict(given)]
    return headwater.profile(dict(zip(plan.reads, given.T, strict=True)), dict(zip(plan.outputs, answers, strict=True)))


def _metrics(estimator: Any, given: np.ndarray, wanted: np.ndarray) -> dict[str, float]:
    predicted = estimator.predict(given)
    if wanted.dtype.kind == "f":
        scores = {"r2": r2_score(wanted, predicted), "mean_absolute_error": mean_absolute_error(wanted, predicted)}
    else:
        scores = {
            "accuracy": accuracy_score(wanted, predicted),
            "f1_macro": f1_score(wanted, predicted, average="macro"),
        }
    return {name: round(float(score), 4) for name, score in scores.items()}


def _computed(definition: str, columns: Table) -> np.ndarray:
    column, _, divisor = definition.partition(" / ")
    return columns[column] / columns[divisor] if divisor else columns[column]


def _matrix(table: Table, names: Sequence[str]) -> np.ndarray:
    return np.column_stack([table[name] for name in names])


def _portable(dumped: bytes) -> bytes:
    """The same model in the same bytes: skops writes addresses in memory and the time of day into its archive."""
    source = zipfile.ZipFile(io.BytesIO(dumped))
    schema = source.read("schema.json").decode()
    numbers: dict[str, str] = {}

    def renamed(name: str) -> str:
        return numbers.setdefault(name, str(len(numbers)))

    schema = re.sub(r'(?<="__id__": )\d+|(?<=")\d+(?=\.npy")', lambda match: renamed(match[0]), schema)
    files = {
        f"{renamed(Path(name).stem)}.npy": source.read(name) for name in source.namelist() if name != "schema.json"
    }
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in [*sorted(files.items()), ("schema.json", schema.encode())]:
            archive.writestr(zipfile.ZipInfo(name), content)
    return target.getvalue()
