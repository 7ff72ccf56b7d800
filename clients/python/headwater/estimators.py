"""A fitted scikit-learn estimator → what of its inputs it uses, as a document that the service imports.

scikit-learn is not imported here: estimators are known by what they have been fitted to. What is not known to look at some
of its columns alone looks at all of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Columns = list[frozenset[str]]
"""Of each column of a matrix the inputs that it is computed from."""

MOST_STEPS = 1_000
MOST_TEXT = 500
"""Characters, or values of a list, of a parameter; longer ones are left out."""

ONE_BY_ONE = frozenset(
    [
        "Binarizer",
        "MaxAbsScaler",
        "MinMaxScaler",
        "OrdinalEncoder",
        "PowerTransformer",
        "QuantileTransformer",
        "RobustScaler",
        "StandardScaler",
    ]
)
"""Each column is computed from its own alone. Not Normalizer, which looks at rows."""
ONE_TO_MANY = frozenset(["KBinsDiscretizer", "OneHotEncoder", "SplineTransformer", "TargetEncoder"])
"""Each column becomes several, in order."""


def sklearn_document(
    estimator: Any,
    model: str,
    version: str,
    *,
    run: str | None = None,
    source: str | None = None,
    features: Mapping[str, str] | None = None,
    data: Any = None,
    inputs: Sequence[str] | None = None,
    outputs: Sequence[str] = ("prediction",),
) -> dict[str, Any]:
    """What `Client.import_document("sklearn", …)` takes, of a fitted estimator or pipeline. It leaves this process as JSON.

    `run` is the key of the training run. What it read: `source`, the key of the dataset whose columns the inputs are; or
    `features`, of each input the key of its column or feature. `data` is a DataFrame like the one it was fitted on, for the
    types; `inputs` are names, where it was fitted on a plain matrix. Raises ValueError for what is not fitted, or names
    other inputs.

    >>> from sklearn.linear_model import LinearRegression
    >>> fitted = LinearRegression().fit([[1.0, 0.0], [2.0, 0.0]], [1.0, 2.0])
    >>> sklearn_document(fitted, "risk/fraud", "1", inputs=["amount", "nothing"])["consumed"]
    ['amount']
    """
    names = _names(estimator, inputs)
    if not callable(getattr(estimator, "predict", None)) and not callable(getattr(estimator, "transform", None)):
        raise ValueError(f"a {type(estimator).__name__} neither predicts nor transforms")
    reading = _Reading()
    result = reading.through(estimator, [frozenset((name,)) for name in names], "")
    consumed = frozenset().union(*result)
    types = _types(data)
    document: dict[str, Any] = {
        "model": model,
        "version": version,
        "class": _class(estimator),
        "library": _library(estimator),
        "inputs": [{"name": name, **({"type": types[name]} if name in types else {})} for name in names],
        "outputs": [{"name": name} for name in outputs],
        "steps": reading.steps[:MOST_STEPS],
        "consumed": [name for name in names if name in consumed],
        "used": [name for name in names if name in reading.fitted | consumed],
        "run": run,
        "source": source,
        "features": None if features is None else dict(features),
    }
    return {name: value for name, value in document.items() if value is not None}


@dataclass
class _Reading:
    steps: list[dict[str, Any]] = field(default_factory=list)
    fitted: frozenset[str] = frozenset()
    """The inputs that training looked at to decide something about others."""

    def through(self, estimator: Any, columns: Columns, name: str) -> Columns:
        """The columns that come out; of what predicts, one that is all it predicts from."""
        width = getattr(estimator, "n_features_in_", None)
        if width is not None and width != len(columns):  # the step before made other columns than was thought
            columns = [frozenset().union(*columns)] * int(width)
        if _is_search(estimator):
            return self.through(estimator.best_estimator_, columns, name)
        if hasattr(estimator, "steps"):
            for inner, step in estimator.steps:
                if step is not None and step != "passthrough":
                    columns = self.through(step, columns, _path(name, inner))
            return columns
        if hasattr(estimator, "transformers_"):
            return self._by_columns(estimator, columns, name)
        if hasattr(estimator, "transformer_list"):
            made: Columns = []
            for inner, step in estimator.transformer_list:
                if step == "passthrough":
                    made += columns
                elif step is not None and step != "drop":
                    made += self.through(step, columns, _path(name, inner))
            return made
        result = self._one(estimator, columns)
        self.steps.append(
            {
                "name": name or type(estimator).__name__.lower(),
                "class": _class(estimator),
                "parameters": _parameters(estimator),
                "inputs": sorted(frozenset().union(*columns)),
                "consumed": sorted(frozenset().union(*result)),
            }
        )
        return result

    def _by_columns(self, estimator: Any, columns: Columns, name: str) -> Columns:
        made: Columns = []
        for inner, step, chosen in estimator.transformers_:
            if step == "drop" or step is None:
                continue
            given = [columns[place] for place in _places(estimator, inner, chosen, len(columns))]
            if step == "passthrough" or not given:
                made += given
            else:
                made += self.through(step, given, _path(name, inner))
        return made

    def _one(self, estimator: Any, columns: Columns) -> Columns:
        every: frozenset[str] = frozenset().union(*columns)
        kind = type(estimator).__name__
        if not _is_of_scikit_learn(estimator):
            self.fitted |= every
            return _width(estimator, columns, every)
        if callable(getattr(estimator, "get_support", None)):
            if kind != "VarianceThreshold":  # of the others each column competes with all
                self.fitted |= every
            kept = [bool(each) for each in estimator.get_support()]
            return [each for each, is_kept in zip(columns, kept) if is_kept]  # noqa: B905  as many, or it is not fitted
        if kind in ONE_BY_ONE:
            return columns
        if kind == "SimpleImputer":
            return _imputed(estimator, columns)
        if kind in ONE_TO_MANY:
            return _spread(estimator, columns, every)
        if kind == "PolynomialFeatures":
            return [
                frozenset().union(*(each for each, power in zip(columns, powers) if power))  # noqa: B905
                for powers in estimator.powers_
            ]
        if kind == "FunctionTransformer" and estimator.func is None:
            return columns
        self.fitted |= every
        if callable(getattr(estimator, "predict", None)) and not callable(getattr(estimator, "transform", None)):
            return [_predicting(estimator, columns, every)]
        return _width(estimator, columns, every)


def _imputed(estimator: Any, columns: Columns) -> Columns:
    """Columns that were all missing are left out, if it does not keep them; indicators follow."""
    made = columns
    if not getattr(estimator, "keep_empty_features", False):
        kept = [not _is_nan(value) for value in estimator.statistics_]
        made = [each for each, is_kept in zip(columns, kept) if is_kept]  # noqa: B905
    if getattr(estimator, "indicator_", None) is not None:
        made = made + [columns[place] for place in estimator.indicator_.features_]
    return made


def _spread(estimator: Any, columns: Columns, every: frozenset[str]) -> Columns:
    """By the names of what comes out: how many begin with each column's."""
    plain = [f"x{place}_" for place in range(len(columns))]
    if type(estimator).__name__ == "TargetEncoder" and getattr(estimator, "target_type_", "") != "multiclass":
        return columns
    if type(estimator).__name__ == "KBinsDiscretizer" and estimator.encode == "ordinal":
        return columns
    counts: Sequence[int] | None = None
    if type(estimator).__name__ == "KBinsDiscretizer":
        counts = [int(bins) for bins in estimator.n_bins_]
    elif type(estimator).__name__ == "OneHotEncoder":
        counts = [int(count) for count in getattr(estimator, "_n_features_outs", ())]
    elif type(estimator).__name__ == "TargetEncoder":
        counts = [len(estimator.classes_)] * len(columns)
    else:
        width = _count(estimator)
        counts = None if width is None or width % len(plain) else [width // len(plain)] * len(plain)
    if not counts or len(counts) != len(columns) or _count(estimator) not in {None, sum(counts)}:
        return _width(estimator, columns, every)
    return [each for each, count in zip(columns, counts) for _ in range(count)]  # noqa: B905


def _predicting(estimator: Any, columns: Columns, every: frozenset[str]) -> frozenset[str]:
    """The inputs without which it would predict the same: those of columns that no tree splits at, or weighed with 0, are not."""
    used = _used_places(estimator, len(columns))
    return every if used is None else frozenset().union(*(columns[place] for place in used))


def _used_places(estimator: Any, width: int) -> set[int] | None:
    """None: any of them."""
    if not _is_of_scikit_learn(estimator):
        return None
    tree = getattr(estimator, "tree_", None)
    if tree is not None:
        return {int(place) for place in tree.feature if place >= 0}
    members = getattr(estimator, "estimators_", None)
    if members is not None and type(estimator).__name__ in _OF_TREES:
        found = [_used_places(each, width) for each in _flat(members)]
        if getattr(estimator, "init_", None) not in (None, "zero") and type(estimator.init_).__name__ != _CONSTANT.get(
            type(estimator).__name__, ""
        ):
            return None
        return None if any(each is None for each in found) else {place for each in found for place in each or ()}
    weights = getattr(estimator, "coef_", None)
    if weights is not None and type(estimator).__name__ in _WEIGHED and hasattr(weights, "tolist"):
        rows = weights.tolist()
        rows = rows if rows and isinstance(rows[0], list) else [rows]
        if all(len(row) == width for row in rows):
            return {place for row in rows for place, weight in enumerate(row) if weight != 0}
    return None


_OF_TREES = frozenset(
    [
        "RandomForestClassifier",
        "RandomForestRegressor",
        "ExtraTreesClassifier",
        "ExtraTreesRegressor",
        "GradientBoostingClassifier",
        "GradientBoostingRegressor",
    ]
)
_CONSTANT = {"GradientBoostingClassifier": "DummyClassifier", "GradientBoostingRegressor": "DummyRegressor"}
_WEIGHED = frozenset(
    [
        "ElasticNet",
        "ElasticNetCV",
        "Lars",
        "Lasso",
        "LassoCV",
        "LassoLars",
        "LassoLarsCV",
        "LinearRegression",
        "LinearSVC",
        "LinearSVR",
        "LogisticRegression",
        "LogisticRegressionCV",
        "Perceptron",
        "Ridge",
        "RidgeClassifier",
        "RidgeCV",
        "SGDClassifier",
        "SGDRegressor",
    ]
)
"""What they predict is a sum of columns times `coef_`."""


def _flat(members: Any) -> Iterable[Any]:
    for each in members.ravel() if hasattr(members, "ravel") else members:
        if isinstance(each, (list, tuple)):
            yield from each
        else:
            yield each


def _places(estimator: Any, name: str, chosen: Any, width: int) -> list[int]:
    """The columns of a step of a ColumnTransformer."""
    known = getattr(estimator, "_transformer_to_input_indices", {}).get(name)
    if known is not None:
        return [int(place) for place in known]
    names = [str(each) for each in getattr(estimator, "feature_names_in_", ())]
    if isinstance(chosen, slice):
        if isinstance(chosen.start, str) or isinstance(chosen.stop, str):
            start = 0 if chosen.start is None else names.index(chosen.start)
            stop = width if chosen.stop is None else names.index(chosen.stop) + 1
            return list(range(start, stop))
        return list(range(width))[chosen]
    plain = chosen.tolist() if hasattr(chosen, "tolist") else chosen
    listed = plain if isinstance(plain, (list, tuple)) else [plain]
    if listed and all(isinstance(each, bool) for each in listed):
        return [place for place, is_chosen in enumerate(listed) if is_chosen]
    return [names.index(each) if isinstance(each, str) else int(each) % width for each in listed]


def _width(estimator: Any, columns: Columns, every: frozenset[str]) -> Columns:
    """As many columns as come out, each of all."""
    count = _count(estimator)
    return [every] * (len(columns) if count is None else count)


def _count(estimator: Any) -> int | None:
    try:
        return len(estimator.get_feature_names_out())
    except Exception:  # noqa: BLE001  whatever somebody's transformer raises: it has no names to tell
        return None


def _names(estimator: Any, inputs: Sequence[str] | None) -> list[str]:
    fitted = [str(name) for name in _first(estimator, "feature_names_in_", ())]
    count = _first(estimator, "n_features_in_", None)
    if count is None and not fitted and inputs is None:
        raise ValueError(f"the {type(estimator).__name__} is not fitted, or does not say on what; name its inputs")
    names = [str(name) for name in inputs] if inputs is not None else fitted or [f"x{place}" for place in range(count)]
    if fitted and names != fitted:
        raise ValueError(f"it was fitted on {fitted}, not on {names}")
    if count is not None and count != len(names):
        raise ValueError(f"it was fitted on {count} columns, and {len(names)} are named")
    return names


def _first(estimator: Any, name: str, absent: Any) -> Any:
    """An attribute of the estimator, or of the first step that has been fitted."""
    waiting = [estimator]
    while waiting:
        each = waiting.pop(0)
        value = getattr(each, name, None)
        if value is not None:
            return value
        waiting += [step for _, step in getattr(each, "steps", ())][:1]
        waiting += [step for step in [getattr(each, "best_estimator_", None)] if step is not None]
    return absent


def _types(data: Any) -> dict[str, str]:
    types = getattr(data, "dtypes", None)
    return {} if types is None else {str(name): str(type_) for name, type_ in dict(types).items()}


def _parameters(estimator: Any) -> dict[str, Any]:
    """Those that are plain values."""
    try:
        given = estimator.get_params(deep=False)
    except Exception:  # noqa: BLE001  not every estimator follows the rules of scikit-learn
        return {}
    return {str(name): value for name, value in sorted(given.items()) if _is_plain(value)}


def _is_plain(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return len(value) <= MOST_TEXT and all(
            _is_plain(each) and not isinstance(each, (list, tuple)) for each in value
        )
    if isinstance(value, str):
        return len(value) <= MOST_TEXT
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or type(value) in {bool, int}


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _is_search(estimator: Any) -> bool:
    return hasattr(estimator, "best_estimator_")


def _is_of_scikit_learn(estimator: Any) -> bool:
    return type(estimator).__module__.partition(".")[0] == "sklearn"


def _class(estimator: Any) -> str:
    return f"{type(estimator).__module__}.{type(estimator).__qualname__}"


def _library(estimator: Any) -> str | None:
    version = estimator.__getstate__().get("_sklearn_version") if _is_of_scikit_learn(estimator) else None
    return f"scikit-learn {version}" if version else None


def _path(name: str, inner: str) -> str:
    return f"{name}.{inner}" if name else str(inner)
