"""A wine cellar and its models, as the service is told of them.

The laboratory's assays of each bottle become features. One model tells the cultivar from them; what its deployment logs
becomes features again, with which others tell whether to keep a bottle and estimate its proline, which is costly to
measure. The card that the shop shows of a bottle is composed of these three. One more model reads the handwritten numbers
on crate labels.

Three people's words are registered: the data team's manifest, the training jobs, the serving team's manifest. What is
served is deployed, and who uses it is seen.
"""

from collections.abc import Mapping, Sequence
from urllib.parse import unquote

from sklearn.datasets import load_wine

from demo.training import CHALLENGER, CHAMPION, CHEMISTRY, PLANS, PROBABILITIES, PROFILE, Plan, Version

Json = Mapping[str, object]

NAMESPACE = "cellar"
ASSAYS = "dataset:warehouse/lab.assays"
SCANS = "dataset:warehouse/labels.scans"
READINGS = "dataset:warehouse/predictions.label_digit"
LOG = "dataset:headwater/predictions%2Fcellar%2Fcultivar-api"
"""The gateway's log of what cultivar-api was asked and answered."""
CHEMISTRY_VIEW = "feature_view:cellar/bottle_chemistry"
PROFILE_VIEW = "feature_view:cellar/bottle_profile"

FEATURE = "feature:cellar/bottle_chemistry#flavanoid_share"
MODEL = "model:cellar/proline"
DEPLOYMENT = "deployment:cellar/cultivar-api"
"""What the three questions are asked of."""
BOTTLE_CARD = "deployment:cellar/bottle-card"
PROLINE_API = "deployment:cellar/proline-api"
LABEL_READER = "deployment:cellar/label-reader"
COLUMN = "column:warehouse/lab.assays#flavanoids"

ASSAYS_FILE = "lab.assays.parquet"

LABORATORY = {"name": "laboratory", "contact": "laboratory@cellar.example"}
DATA = {"name": "data-platform", "contact": "#data-platform"}
SCIENCE = {"name": "wine-science", "contact": "#wine-science"}
LOGISTICS = {"name": "logistics", "contact": "logistics@cellar.example"}
SHOP = {"name": "shop", "contact": "#shop"}

_MODELS = {
    "cultivar": ("Tells from a bottle's chemistry which grape it is made of", SCIENCE, 1),
    "proline": ("Estimates the proline in mg/l, which is costly to measure", SCIENCE, 2),
    "keeping": ("Tells whether a bottle is one to keep", SCIENCE, 2),
    "label_digit": ("Reads one handwritten digit of a crate label", LOGISTICS, 2),
}


def data() -> Json:
    """The data team's `headwater.yaml`."""
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
    return {
        "version": 1,
        "origin": "manifest:cellar/data",
        "namespace": NAMESPACE,
        "datasets": [
            _named(
                ASSAYS,
                LABORATORY,
                "Thirteen measures of each bottle",
                tier=1,
                tags=["laboratory"],
                columns=assays,
                attributes={"location": ASSAYS_FILE},
            ),
            _named(SCANS, LOGISTICS, "Digits cut from photographed crate labels", tags=["images"], columns=scans),
            _named(
                LOG,
                SCIENCE,
                "What cultivar-api was asked and answered",
                tags=["predictions"],
                columns=[_column(f"output_{name}", "double") for name in PROBABILITIES],
            ),
            _named(
                READINGS,
                LOGISTICS,
                "Digits that label-reader answered",
                tags=["predictions"],
                columns=[_column("scan", "bigint", nullable=False), _column("digit", "smallint")],
            ),
        ],
        "feature_views": [
            _view(CHEMISTRY_VIEW, "What the laboratory measured", CHEMISTRY, source=ASSAYS),
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


def training(versions: Sequence[Version], artifacts: Mapping[str, str]) -> Json:
    """What the training jobs recorded. `artifacts` maps digests to where the artifacts are."""
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
                "artifact": {"uri": artifacts[version.digest], "digest": version.digest},
                **({} if version.profile is None else {"profile": dict(version.profile)}),
            }
            for version in versions
        ],
        "modelAliases": [
            {"model": _model(model), "alias": alias, "version": version}
            for alias, named in (("champion", CHAMPION), ("challenger", CHALLENGER))
            for model, version in named.items()
        ],
    }


def deployments() -> list[Json]:
    """What is to be served, in the order in which to deploy it: steps before what is composed of them."""
    return [
        _deployed(
            DEPLOYMENT, SCIENCE, "The champion, for everyone", 1, version="model_version:cellar/cultivar#%40champion"
        ),
        _deployed(
            "deployment:cellar/cultivar-canary",
            SCIENCE,
            "The challenger, for one bottle in twenty",
            3,
            version="model_version:cellar/cultivar#3",
        ),
        _deployed(
            "deployment:cellar/keep-or-drink",
            SCIENCE,
            "Whether to keep a bottle",
            2,
            version="model_version:cellar/keeping#1",
        ),
        _deployed(PROLINE_API, SCIENCE, "Estimates proline", 2, version="model_version:cellar/proline#2"),
        _deployed(
            "deployment:cellar/proline-quick",
            SCIENCE,
            "Estimates proline roughly, for bottles that will not be kept",
            3,
            version="model_version:cellar/proline#1",
        ),
        _deployed(
            BOTTLE_CARD,
            SHOP,
            "Cultivar, then whether to keep it, then the estimate that is worth its price",
            1,
            composition=[
                {"deployment": DEPLOYMENT},
                {"deployment": "deployment:cellar/keep-or-drink"},
                {
                    "switch": [
                        {"deployment": PROLINE_API, "output": "keep", "equals": 1},
                        {"deployment": "deployment:cellar/proline-quick"},
                    ]
                },
            ],
        ),
        _deployed(
            LABEL_READER,
            LOGISTICS,
            "Reads crate labels; requests carry the pixels",
            2,
            version="model_version:cellar/label_digit#%40champion",
            featuresFrom="REQUEST",
        ),
    ]


def serving() -> Json:
    """Whom the serving team knows of."""
    return {
        "consumers": [
            _consumer(
                "crate-sorter", "SERVICE", LOGISTICS, "Sends each crate to its aisle", 1, DEPLOYMENT, LABEL_READER
            ),
            _consumer("web-shop", "APPLICATION", SHOP, "Shows the bottle card", 1, BOTTLE_CARD),
            _consumer(
                "quality-board", "DASHBOARD", LABORATORY, "Predictions against the growers' word", 3, LOG, ASSAYS
            ),
            _consumer("vintage-study", "NOTEBOOK", SCIENCE, "Compares vintages", 4, PROLINE_API),
            _consumer("blend-plan", "BATCH_JOB", SCIENCE, "Plans the night's blends", 2, PROLINE_API),
            _consumer("stock-count", "BATCH_JOB", LOGISTICS, "Counts crates", 3, READINGS),
        ],
        "flows": [{"source": LABEL_READER, "target": READINGS}],
    }


def _deployed(key: str, owner: Json, description: str, tier: int, **fields: object) -> Json:
    return _named(key, owner, description, tier=tier, environment="production", **fields)


def _named(key: str, owner: Json, description: str, **fields: object) -> Json:
    namespace, name = (unquote(part) for part in key.partition(":")[2].split("/"))
    return {"namespace": namespace, "name": name, "owners": [owner], "description": description, **fields}


def _column(name: str, type_: str, **fields: object) -> Json:
    return {"name": name, "type": type_, **fields}


def _view(key: str, description: str, definitions: Mapping[str, str], **fields: object) -> Json:
    features = [{"name": name, "type": "double", "definition": text} for name, text in definitions.items()]
    return _named(key, DATA, description, entities=["bottle"], features=features, **fields)


def _view_job(name: str, source: str, view: str, definitions: Mapping[str, str]) -> Json:
    lineage = [
        {"source": source.replace("dataset:", "column:") + f"#{column}", "target": _feature(view, feature)}
        for feature, definition in definitions.items()
        for column in definition.split(" / ")
    ]
    return _named(
        _job(name), DATA, "Every night, for every bottle", inputs=[source], outputs=[view], column_lineage=lineage
    )


def _training_job(newest: Plan) -> Json:
    description, owner, _ = _MODELS[newest.model]
    return _named(_job(f"train_{newest.model}"), owner, f"Trains: {description}", inputs=_inputs(newest))


def _consumer(name: str, type_: str, owner: Json, description: str, tier: int, *uses: str) -> Json:
    return _named(f"consumer:cellar/{name}", owner, description, tier=tier, consumerType=type_, uses=list(uses))


def _inputs(plan: Plan) -> list[str]:
    table = SCANS if plan.model == "label_digit" else ASSAYS
    target = {"keep": "proline"}.get(plan.target, plan.target)  # what is worth keeping has much proline
    return [*(_read(plan, name) for name in plan.reads), table.replace("dataset:", "column:") + f"#{target}"]


def _signature(plan: Plan) -> Json:
    inputs = [
        {"name": name, "type": "double"}
        | ({"feature": _read(plan, name)} if plan.model != "label_digit" else {"shape": [-1, 64]})
        for name in plan.reads
    ]
    return {
        "inputs": inputs,
        "outputs": [
            {"name": name, "type": "long" if plan.target in ("digit", "keep") else "double"} for name in plan.outputs
        ],
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
