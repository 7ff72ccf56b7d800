"""What a fitted estimator uses of its inputs, compared with what it predicts when they are changed."""

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from headwater import sklearn_document
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor, make_column_selector
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    GradientBoostingRegressor,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    StackingRegressor,
)
from sklearn.feature_selection import RFE, SelectFromModel, SelectKBest, VarianceThreshold, f_regression
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.linear_model import Lasso, LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    Normalizer,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    SplineTransformer,
    StandardScaler,
    TargetEncoder,
)
from sklearn.tree import DecisionTreeRegressor

from graph.importers.sklearn import read_sklearn

NUMBERS, WORDS = ["a", "b", "c", "d", "e"], ["city", "kind"]


def table(rows: int = 300) -> pd.DataFrame:
    random = np.random.default_rng(7)
    numbers = {name: random.normal(size=rows) for name in NUMBERS}
    words = {"city": random.choice(["x", "y", "z"], rows), "kind": random.choice(["p", "q"], rows)}
    return pd.DataFrame({**numbers, **words, "still": np.ones(rows)})


DATA = table()
WANTED = 3 * DATA.a - 2 * DATA.b + 0.5 * DATA.c + (DATA.city == "x") + (DATA.kind == "p") * DATA.a
CLASSES = (WANTED.median() < WANTED).astype(int)


def doubled(frame: Any) -> Any:
    return frame * 2


def first_only(frame: Any) -> Any:
    return frame.iloc[:, :1] if hasattr(frame, "iloc") else frame[:, :1]


def numbers(step: Any) -> ColumnTransformer:
    return ColumnTransformer([("numbers", step, NUMBERS)])


PIPELINES: dict[str, Callable[[], Any]] = {
    "columns dropped": lambda: make_pipeline(
        ColumnTransformer(
            [("n", StandardScaler(), ["a", "b"]), ("w", OneHotEncoder(), ["city"]), ("x", "drop", ["c"])]
        ),
        LinearRegression(),
    ),
    "remainder passed": lambda: make_pipeline(
        ColumnTransformer([("w", OrdinalEncoder(), WORDS), ("x", "drop", ["d"])], remainder="passthrough"), Ridge()
    ),
    "remainder scaled": lambda: make_pipeline(
        ColumnTransformer([("w", "drop", [*WORDS, "e"])], remainder=StandardScaler()), KNeighborsRegressor()
    ),
    "columns by type": lambda: make_pipeline(
        ColumnTransformer(
            [
                ("n", SimpleImputer(), make_column_selector(dtype_include=float)),
                ("w", OneHotEncoder(drop="first"), make_column_selector(dtype_exclude=float)),
            ]
        ),
        LinearRegression(),
    ),
    "columns by place": lambda: make_pipeline(
        ColumnTransformer([("one", StandardScaler(), [0, 2]), ("rest", "passthrough", slice(3, 5))]), LinearRegression()
    ),
    "columns by slice of names": lambda: make_pipeline(
        ColumnTransformer([("one", StandardScaler(), slice("b", "d"))]), LinearRegression()
    ),
    "columns by mask": lambda: make_pipeline(
        ColumnTransformer([("one", StandardScaler(), [True, False, True, *[False] * 5])]), LinearRegression()
    ),
    "nested": lambda: make_pipeline(
        ColumnTransformer(
            [
                ("n", make_pipeline(SimpleImputer(), ColumnTransformer([("in", StandardScaler(), [1, 2])])), NUMBERS),
                ("w", make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder()), ["kind"]),
            ]
        ),
        Ridge(),
    ),
    "selected": lambda: make_pipeline(numbers(StandardScaler()), SelectKBest(f_regression, k=2), LinearRegression()),
    "selected by a model": lambda: make_pipeline(numbers(StandardScaler()), SelectFromModel(Lasso(0.3)), Ridge()),
    "eliminated": lambda: make_pipeline(numbers("passthrough"), RFE(LinearRegression(), n_features_to_select=2)),
    "without variance": lambda: make_pipeline(
        ColumnTransformer([("n", VarianceThreshold(), ["a", "still", "b"])]), LinearRegression()
    ),
    "selected of many": lambda: make_pipeline(
        ColumnTransformer([("w", OneHotEncoder(), WORDS), ("n", "passthrough", ["a"])]),
        SelectKBest(f_regression, k=2),
        LinearRegression(),
    ),
    "polynomial": lambda: make_pipeline(
        numbers(PolynomialFeatures(2)), SelectKBest(f_regression, k=3), LinearRegression()
    ),
    "splines": lambda: make_pipeline(numbers(SplineTransformer()), SelectKBest(f_regression, k=4), LinearRegression()),
    "bins": lambda: make_pipeline(numbers(KBinsDiscretizer(4)), SelectKBest(f_regression, k=3), LinearRegression()),
    "by target": lambda: make_pipeline(
        ColumnTransformer([("w", TargetEncoder(), WORDS), ("n", "passthrough", ["a"])]), LinearRegression()
    ),
    "function": lambda: make_pipeline(
        numbers(FunctionTransformer(doubled, feature_names_out="one-to-one")), LinearRegression()
    ),
    "function that drops": lambda: make_pipeline(
        numbers(FunctionTransformer(first_only)), SelectKBest(f_regression, k=1), LinearRegression()
    ),
    "united": lambda: make_pipeline(
        numbers("passthrough"),
        FeatureUnion([("pca", PCA(2)), ("best", SelectKBest(f_regression, k=1)), ("no", "drop")]),
        SelectKBest(f_regression, k=1),
        LinearRegression(),
    ),
    "by rows": lambda: make_pipeline(numbers(Normalizer()), SelectKBest(f_regression, k=1), LinearRegression()),
    "by neighbours": lambda: make_pipeline(numbers(KNNImputer()), LinearRegression()),
    "in clusters": lambda: make_pipeline(numbers(KMeans(3, random_state=0)), LinearRegression()),
    "weights of nothing": lambda: make_pipeline(numbers(StandardScaler()), Lasso(0.3)),
    "a small tree": lambda: make_pipeline(numbers("passthrough"), DecisionTreeRegressor(max_depth=2, random_state=0)),
    "a forest": lambda: make_pipeline(
        numbers("passthrough"), RandomForestClassifier(5, max_depth=2, max_features=None, random_state=0)
    ),
    "boosted": lambda: make_pipeline(numbers("passthrough"), GradientBoostingRegressor(n_estimators=5, max_depth=1)),
    "boosted by histogram": lambda: make_pipeline(numbers("passthrough"), HistGradientBoostingRegressor(max_iter=5)),
    "stacked": lambda: make_pipeline(
        numbers("passthrough"), StackingRegressor([("one", Ridge()), ("other", KNeighborsRegressor())])
    ),
    "searched": lambda: GridSearchCV(
        Pipeline([("n", numbers(StandardScaler())), ("best", SelectKBest(f_regression)), ("fit", Ridge())]),
        {"best__k": [2]},
    ),
    "target transformed": lambda: TransformedTargetRegressor(
        make_pipeline(numbers("passthrough"), Ridge()), func=doubled, inverse_func=lambda y: y / 2
    ),
    "classified": lambda: make_pipeline(numbers(StandardScaler()), LogisticRegression()),
    "as frames": lambda: make_pipeline(
        ColumnTransformer([("n", StandardScaler(), ["a", "b", "c"])], verbose_feature_names_out=False),
        ColumnTransformer([("again", "passthrough", ["b"])]),
        LinearRegression(),
    ).set_output(transform="pandas"),
}
NOT_LOOKED_INTO = {"function that drops", "boosted by histogram"}
"""All that they get may be consumed, for all that is known."""
EXACT = {
    "columns dropped": (["a", "b", "city"], ["a", "b", "city"]),
    "remainder passed": (["a", "b", "c", "e", *WORDS, "still"], None),
    "nested": (["b", "c", "kind"], ["b", "c", "kind"]),
    "selected": (NUMBERS, ["a", "b"]),
    "eliminated": (NUMBERS, ["a", "b"]),
    "without variance": (["a", "b"], ["a", "b"]),
    "columns by slice of names": (["b", "c", "d"], ["b", "c", "d"]),
    "as frames": (["b"], ["b"]),
}


def predictions(estimator: Any, data: pd.DataFrame) -> Any:
    return np.asarray(getattr(estimator, "predict_proba", estimator.predict)(data))


@pytest.mark.filterwarnings("ignore")  # what estimators say of data this small
@pytest.mark.parametrize("name", PIPELINES)
def test_what_is_consumed_changes_predictions_and_nothing_else_does(name: str) -> None:
    estimator = PIPELINES[name]()
    classifies = name in {"a forest", "classified"}
    estimator.fit(DATA, CLASSES if classifies else WANTED)
    document = sklearn_document(estimator, "m", "1", data=DATA)
    json.dumps(document, allow_nan=False)
    if name == "target transformed":
        assert document["consumed"] == [*DATA.columns], "what is within is not looked into"
        return
    before, random = predictions(estimator, DATA), np.random.default_rng(1)
    for column in DATA.columns:
        changed = DATA.assign(**{column: random.permutation(DATA[column])})
        if column in NUMBERS:
            changed[column] *= 3
        moves = not np.array_equal(before, predictions(estimator, changed))
        if column in document["consumed"] and column != "still":
            assert moves or name in NOT_LOOKED_INTO, column
        elif column not in document["consumed"]:
            assert not moves, column
    used, consumed = EXACT.get(name, (None, None))
    assert used in (None, document["used"])
    assert consumed in (None, document["consumed"])
    assert set(document["consumed"]) <= set(document["used"])
    said = read_sklearn(document)
    (version,) = said.assets
    assert version.attributes.get("unused_inputs", []) == [
        each for each in DATA.columns if each not in document["used"]
    ]


@pytest.mark.filterwarnings("ignore")
def test_a_document_tells_steps_types_and_parameters() -> None:
    estimator = PIPELINES["selected"]().fit(DATA, WANTED)
    document = sklearn_document(estimator, "m", "1", data=DATA)
    assert document["class"] == "sklearn.pipeline.Pipeline"
    assert document["library"].startswith("scikit-learn ")
    assert {each["name"]: each["type"] for each in document["inputs"]}["a"] == "float64"
    named = {step["name"]: step for step in document["steps"]}
    assert [*named] == ["columntransformer.numbers", "selectkbest", "linearregression"]
    assert named["selectkbest"]["parameters"] == {"k": 2}
    assert (named["selectkbest"]["inputs"], named["selectkbest"]["consumed"]) == (NUMBERS, ["a", "b"])


def test_a_matrix_has_no_names_but_those_it_is_given() -> None:
    estimator = LinearRegression().fit(DATA[NUMBERS].to_numpy(), WANTED)
    assert sklearn_document(estimator, "m", "1")["consumed"] == ["x0", "x1", "x2", "x3", "x4"]
    assert sklearn_document(estimator, "m", "1", inputs=NUMBERS)["consumed"] == NUMBERS
    with pytest.raises(ValueError, match="5 columns, and 2 are named"):
        sklearn_document(estimator, "m", "1", inputs=["a", "b"])
    with pytest.raises(ValueError, match="not fitted"):
        sklearn_document(LinearRegression(), "m", "1")
    with pytest.raises(ValueError, match="fitted on"):
        sklearn_document(LinearRegression().fit(DATA[NUMBERS], WANTED), "m", "1", inputs=[*"vwxyz"])


def test_the_client_does_not_import_scikit_learn() -> None:
    code = (
        "import sys, headwater; print([name for name in sys.modules if name.partition('.')[0] in ('sklearn', 'numpy')])"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == "[]\n"
