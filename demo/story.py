"""A wine cellar and its three models, as the service is told of them.

The laboratory's assays of each bottle become features. One model tells the cultivar from them; what its deployment logs
becomes features again, with which a second model estimates the proline, which is costly to measure. A third one reads
the handwritten numbers on crate labels. Shops, dashboards and batch jobs use what the three answer.

Three sources speak, as in life: the data team's manifest, the training jobs, the serving team's manifest.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sklearn.datasets import load_wine

from demo.training import CHALLENGER, CHAMPION, CHEMISTRY, CULTIVARS, PLANS, PROFILE, Plan, Version

Json = Mapping[str, object]

ASSAYS = "dataset:warehouse/lab.assays"
SCANS = "dataset:warehouse/labels.scans"
LOG = "dataset:warehouse/predictions.cultivar"
READINGS = "dataset:warehouse/predictions.label_digit"
CHEMISTRY_VIEW = "feature_view:cellar/bottle_chemistry"
PROFILE_VIEW = "feature_view:cellar/bottle_profile"
LABEL_READER = "deployment:cellar/label-reader"

FEATURE = "feature:cellar/bottle_chemistry#flavanoid_share"
MODEL = "model:cellar/proline"
DEPLOYMENT = "deployment:cellar/cultivar-api"
"""What the three questions are asked of."""

LABORATORY = {"name": "laboratory", "contact": "laboratory@cellar.example"}
DATA = {"name": "data-platform", "contact": "#data-platform"}
SCIENCE = {"name": "wine-science", "contact": "#wine-science"}
LOGISTICS = {"name": "logistics", "contact": "logistics@cellar.example"}
SHOP = {"name": "shop", "contact": "#shop"}

_MODELS = {
    "cultivar": ("Tells from a bottle's chemistry which grape it is made of", SCIENCE, 1),
    "proline": ("Estimates the proline in mg/l, which is costly to measure", SCIENCE, 2),
    "label_digit": ("Reads one handwritten digit of a crate label", LOGISTICS, 2),
}


class Source(NamedTuple):
    origin: str
    basis: str
    manifest: Json


def sources(versions: Sequence[Version]) -> list[Source]:
    """In the order in which to register them: each names only what it or an earlier one states."""
    return [
        Source("manifest:cellar/data", "DECLARED", _data()),
        Source("training:cellar", "OBSERVED", _training(versions)),
        Source("manifest:cellar/serving", "DECLARED", _serving()),
    ]


def _data() -> Json:
    wine = load_wine()
    assays = [
        _column("bottle", "bigint", nullable=False, description="Number of the bottle"),
        *(_column(name.split("/")[0], "double precision") for name in wine.feature_names),
        _column("cultivar", "smallint", description="The grape, as the grower states it; what models learn"),
    ]
    scans = [
        _column("scan", "bigint", nullable=False),
        _column("pixels", "double precision[64]", description="8 by 8 grey values, 0 to 16"),
        _column("digit", "smallint", description="As read by a person"),
    ]
    log = [_column("bottle", "bigint", nullable=False), *(_column(name, "double precision") for name in CULTIVARS)]
    return {
        "datasets": [
            _named(ASSAYS, LABORATORY, "Thirteen measures of each bottle", tier=1, tags=["laboratory"], columns=assays),
            _named(SCANS, LOGISTICS, "Digits cut from photographed crate labels", tags=["images"], columns=scans),
            _named(LOG, SCIENCE, "Probabilities that cultivar-api answered", tags=["predictions"], columns=log),
            _named(
                READINGS,
                LOGISTICS,
                "Digits that label-reader answered",
                tags=["predictions"],
                columns=[_column("scan", "bigint", nullable=False), _column("digit", "smallint")],
            ),
        ],
        "featureViews": [
            _view(CHEMISTRY_VIEW, "What the laboratory measured", CHEMISTRY),
            _view(PROFILE_VIEW, "What the cultivar model makes of a bottle", PROFILE),
        ],
        "jobs": [
            _view_job("compute_chemistry", ASSAYS, CHEMISTRY_VIEW, CHEMISTRY),
            _view_job("compute_profile", LOG, PROFILE_VIEW, PROFILE),
            *(_training_job(newest) for newest in {plan.model: plan for plan in PLANS}.values()),
        ],
        "models": [
            _named(_model(model), owner, description, tier=tier)
            for model, (description, owner, tier) in _MODELS.items()
        ],
    }


def _training(versions: Sequence[Version]) -> Json:
    return {
        "runs": [
            {
                "job": _job(f"train_{version.plan.model}"),
                "runId": version.run_id,
                "inputs": _inputs(version.plan),
                "hyperparameters": dict(version.plan.hyperparameters),
                "metrics": dict(version.metrics),
            }
            for version in versions
        ],
        "modelVersions": [
            {
                "model": _model(version.plan.model),
                "version": version.plan.version,
                "run": f"run:cellar/train_{version.plan.model}#{version.run_id}",
                "signature": _signature(version.plan),
                "hyperparameters": dict(version.plan.hyperparameters),
                "metrics": dict(version.metrics),
                "artifact": {"uri": f"artifacts/{version.file_name}", "digest": version.digest},
            }
            for version in versions
        ],
    }


def _serving() -> Json:
    return {
        "modelAliases": [
            {"model": _model(model), "alias": alias, "version": version}
            for alias, versions in (("champion", CHAMPION), ("challenger", CHALLENGER))
            for model, version in versions.items()
        ],
        "deployments": [
            _named(
                DEPLOYMENT,
                SCIENCE,
                "The champion, for everyone",
                tier=1,
                environment="production",
                url="https://cultivar.cellar.example/predict",
                serves=["model_version:cellar/cultivar#%40champion"],
                logsTo=[LOG],
            ),
            _named(
                "deployment:cellar/cultivar-canary",
                SCIENCE,
                "The challenger, for one bottle in twenty",
                tier=3,
                environment="production",
                serves=["model_version:cellar/cultivar#3"],
            ),
            _named(
                "deployment:cellar/proline-api",
                SCIENCE,
                "Estimates proline",
                tier=2,
                environment="production",
                url="https://proline.cellar.example/predict",
                serves=["model_version:cellar/proline#2"],
            ),
            _named(
                "deployment:cellar/bottle-card",
                SHOP,
                "One answer of two models, for the shop",
                tier=1,
                environment="production",
                calls=[DEPLOYMENT, "deployment:cellar/proline-api"],
            ),
            _named(
                LABEL_READER,
                LOGISTICS,
                "Reads crate labels; requests carry the pixels",
                tier=2,
                environment="production",
                featuresFrom="REQUEST",
                serves=["model_version:cellar/label_digit#%40champion"],
                logsTo=[READINGS],
            ),
        ],
        "consumers": [
            _consumer(
                "crate-sorter", "SERVICE", LOGISTICS, "Sends each crate to its aisle", 1, DEPLOYMENT, LABEL_READER
            ),
            _consumer("web-shop", "APPLICATION", SHOP, "Shows the bottle card", 1, "deployment:cellar/bottle-card"),
            _consumer(
                "quality-board", "DASHBOARD", LABORATORY, "Predictions against the growers' word", 3, LOG, ASSAYS
            ),
            _consumer("vintage-study", "NOTEBOOK", SCIENCE, "Compares vintages", 4, "deployment:cellar/proline-api"),
            _consumer(
                "blend-plan", "BATCH_JOB", SCIENCE, "Plans the night's blends", 2, "deployment:cellar/proline-api"
            ),
            _consumer("stock-count", "BATCH_JOB", LOGISTICS, "Counts crates", 3, READINGS),
        ],
    }


def _named(key: str, owner: Json, description: str, **fields: object) -> Json:
    namespace, name = key.partition(":")[2].split("/")
    return {"namespace": namespace, "name": name, "owners": [owner], "description": description, **fields}


def _column(name: str, type_: str, **fields: object) -> Json:
    return {"path": [name], "type": type_, **fields}


def _view(key: str, description: str, definitions: Mapping[str, str]) -> Json:
    features = [{"name": name, "type": "double", "definition": text} for name, text in definitions.items()]
    return _named(key, DATA, description, entities=["bottle"], features=features)


def _view_job(name: str, source: str, view: str, definitions: Mapping[str, str]) -> Json:
    lineage = [
        {"source": source.replace("dataset:", "column:") + f"#{column}", "target": _feature(view, feature)}
        for feature, definition in definitions.items()
        for column in definition.split(" / ")
    ]
    return _named(
        _job(name), DATA, "Every night, for every bottle", inputs=[source], outputs=[view], columnLineage=lineage
    )


def _training_job(newest: Plan) -> Json:
    description, owner, _ = _MODELS[newest.model]
    return _named(_job(f"train_{newest.model}"), owner, f"Trains: {description}", inputs=_inputs(newest))


def _consumer(name: str, type_: str, owner: Json, description: str, tier: int, *uses: str) -> Json:
    return _named(f"consumer:cellar/{name}", owner, description, tier=tier, consumerType=type_, uses=list(uses))


def _inputs(plan: Plan) -> list[str]:
    table = SCANS if plan.model == "label_digit" else ASSAYS
    return [*(_read(plan, name) for name in plan.reads), table.replace("dataset:", "column:") + f"#{plan.target}"]


def _signature(plan: Plan) -> Json:
    inputs = [
        {"name": name, "type": "double"}
        | ({"feature": _read(plan, name)} if plan.model != "label_digit" else {"shape": [64]})
        for name in plan.reads
    ]
    return {
        "inputs": inputs,
        "outputs": [{"name": plan.target, "type": "double" if plan.model == "proline" else "long"}],
    }


def _read(plan: Plan, name: str) -> str:
    if plan.model == "label_digit":
        return SCANS.replace("dataset:", "column:") + f"#{name}"
    return _feature(PROFILE_VIEW if name in PROFILE else CHEMISTRY_VIEW, name)


def _feature(view: str, name: str) -> str:
    return view.replace("feature_view:", "feature:") + f"#{name}"


def _model(name: str) -> str:
    return f"model:cellar/{name}"


def _job(name: str) -> str:
    return f"job:cellar/{name}"
