"""scikit-learn: what `headwater.sklearn_document` says of one fitted estimator → the version of a model, and what trained it.

The estimator itself never comes here: a document is plain JSON, made where the estimator was fitted.

* The signature has all inputs, in their order, as each request carries them; those that are used have their feature.
* `unused_inputs` were given and no step looks at them; `inputs_without_effect` were looked at in training, and change no
  prediction of this version, as those that a selection left out.
* With a training run, what is used flows to it, column by column or feature by feature, and the run to the version.
"""

from graph.attributes import checked_attributes
from graph.changes import AssetStatement, FlowStatement, Registration, checked_origin
from graph.errors import InvalidInput, InvalidManifest, quoted
from graph.importers.shapes import Anything, Field, Many, Mapped, Problems, Record, Text, noting
from graph.importers.values import listed, record, records, text
from graph.keys import AssetKey, AssetKind
from graph.model import Basis, Flow, Json, checked_flow

MOST_INPUTS = 10_000
MOST_OF_STEPS = 100_000
"""Characters of the steps that are kept; longer ones are left out."""

_TEXTS = Many(Text())
_TENSOR = Record(
    "tensor",
    "What goes in or comes out.",
    {"name": Field(Text(), "Its name.", required=True), "type": Field(Text(), "Its type.")},
)
_STEP = Record(
    "step",
    "A step of a pipeline.",
    {
        "name": Field(Text(), "Its name.", required=True),
        "class": Field(Text(), "Its class.", required=True),
        "parameters": Field(Mapped(Anything()), "How it was made."),
        "inputs": Field(_TEXTS, "The inputs that what it gets is computed from."),
        "consumed": Field(_TEXTS, "Those that what it gives is computed from."),
    },
)
_DOCUMENT = Record(
    "sklearn",
    "A fitted estimator.",
    {
        "model": Field(Text(), "The name of the model.", required=True),
        "version": Field(Text(), "Which version this is.", required=True),
        "class": Field(Text(), "The class of the estimator."),
        "library": Field(Text(), "What it was fitted with."),
        "inputs": Field(Many(_TENSOR), "All inputs it was fitted on, in order.", required=True),
        "outputs": Field(Many(_TENSOR), "What it answers."),
        "steps": Field(Many(_STEP), "Its steps."),
        "used": Field(_TEXTS, "The inputs that a step looks at.", required=True),
        "consumed": Field(_TEXTS, "The inputs that predictions depend on.", required=True),
        "run": Field(Text(), "The key of the training run."),
        "source": Field(Text(), "The key of the dataset whose columns the inputs are."),
        "features": Field(Mapped(Text()), "Of inputs the keys of their columns or features."),
    },
)


def read_sklearn(document: object, origin: str | None = None, namespace: str | None = None) -> Registration:
    """`namespace` of the model; absent: `default`. `origin` absent: `sklearn:` and the version.

    Raises InvalidManifest, which names every place that is wrong.
    """
    problems: Problems = []
    read = record(_DOCUMENT.read(document, "", problems))
    if problems:
        raise InvalidManifest(problems)
    inputs = [each for _, each in records(read, "inputs")]
    names = [str(each["name"]) for each in inputs]
    used, consumed = ([str(name) for name in listed(read.get(part))] for part in ("used", "consumed"))
    _check_names(names, used, consumed, problems)
    version = _version(read, namespace, problems)
    run = _key(read, "run", (AssetKind.RUN,), problems)
    sources = _sources(read, names, problems)
    if sources and read.get("run") is None and any(key.kind not in _FEATURES for key in sources.values()):
        problems.append("run: missing; columns flow to the run that read them, so name it")
    if problems or version is None:
        raise InvalidManifest(problems)
    features = {name: str(key) for name, key in sources.items() if key.kind in _FEATURES and name in set(used)}
    tensors: list[Json] = [
        {**each, **({"feature": features[name]} if name in features else {})}
        for each, name in zip(inputs, names, strict=True)
    ]
    attributes: dict[str, Json] = {
        "signature": {"inputs": tensors, "outputs": listed(read.get("outputs"))},
        "hyperparameters": _hyperparameters(read) or None,
        "estimator": read.get("class"),
        "library": read.get("library"),
        "steps": _steps(read),
        "unused_inputs": _without(names, used) or None,
        "inputs_without_effect": _without(used, consumed) or None,
    }
    attributes = {name: value for name, value in attributes.items() if value is not None}
    said = {version: checked_attributes(attributes, version)}
    flows: dict[Flow, None] = {}
    if run is not None:
        flows[checked_flow(run, version)] = None
        flows.update(dict.fromkeys(checked_flow(sources[name], run) for name in used if name in sources))
    return Registration(
        origin=checked_origin(
            f"sklearn:{version.namespace}/{version.name}#{version.part}" if origin is None else origin
        ),
        basis=Basis.IMPORTED,
        assets=tuple(AssetStatement(key, stated) for key, stated in said.items()),
        flows=tuple(FlowStatement(flow) for flow in flows),
        complete=True,
        stubs=True,  # the run and what it read are others' to tell of
    )


_FEATURES = (AssetKind.FEATURE, AssetKind.FEATURE_VIEW)
_READ = (AssetKind.COLUMN, AssetKind.DATASET, *_FEATURES)


def _check_names(names: list[str], used: list[str], consumed: list[str], problems: Problems) -> None:
    if len(names) > MOST_INPUTS:
        problems.append(f"inputs: {len(names):,} are too many; the limit is {MOST_INPUTS:,}")
    if len(set(names)) < len(names):
        problems.append("inputs: a name stands twice")
    for part, some, known in (("used", used, set(names)), ("consumed", consumed, set(used))):
        what = "no input" if part == "used" else "not used"
        problems += [
            f"{part}[{place}]: {quoted(name)} is {what}" for place, name in enumerate(some) if name not in known
        ]


def _version(read: dict[str, Json], namespace: str | None, problems: Problems) -> AssetKey | None:
    version = str(read["version"])
    try:
        if version.startswith("@"):
            raise InvalidInput(f"{quoted(version)} begins with @, as only aliases do", version)
        return AssetKey.of(AssetKind.MODEL, namespace or "default", str(read["model"])).part_key(version)
    except InvalidInput as error:
        problems.append(f"model: {error}")
        return None


def _sources(read: dict[str, Json], names: list[str], problems: Problems) -> dict[str, AssetKey]:
    """By input what it is read from."""
    found: dict[str, AssetKey] = {}
    source = _key(read, "source", (AssetKind.DATASET,), problems)
    for name in names if source is not None else ():
        assert source is not None
        with noting(problems, f"inputs.{name}"):
            found[name] = source.part_key(name)
    features = record(read.get("features"))
    for name in features:
        if name not in names:
            problems.append(f"features.{name}: it is no input")
        elif (key := _key(features, name, _READ, problems, "features.")) is not None:
            found[name] = key
    return found


def _key(
    of: dict[str, Json], name: str, kinds: tuple[AssetKind, ...], problems: Problems, place: str = ""
) -> AssetKey | None:
    given = text(of, name)
    if given is None:
        return None
    try:
        key = AssetKey.parse(given)
        if key.kind not in kinds:
            raise InvalidInput(f"{key} is a {key.kind}, where a {' or '.join(kinds)} is needed", given)
    except InvalidInput as error:
        problems.append(f"{place}{name}: {error}")
        return None
    return key


def _hyperparameters(read: dict[str, Json]) -> dict[str, Json]:
    """As scikit-learn names those of a pipeline: `prepare__num__with_mean`."""
    found: dict[str, Json] = {}
    steps = [step for _, step in records(read, "steps")]
    for step in steps:
        prefix = "" if len(steps) == 1 else f"{str(step['name']).replace('.', '__')}__"
        for name, value in record(step.get("parameters")).items():
            found[prefix + name] = value
    return found if len(str(found)) <= MOST_OF_STEPS else {}


def _steps(read: dict[str, Json]) -> Json:
    steps: list[Json] = [
        {name: value for name, value in step.items() if name != "parameters"} for _, step in records(read, "steps")
    ]
    return steps if steps and len(str(steps)) <= MOST_OF_STEPS else None


def _without(names: list[str], others: list[str]) -> list[Json]:
    known = set(others)
    return [name for name in names if name not in known]
