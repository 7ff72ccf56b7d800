"""A feature store, trainings and deployments, small enough to run: features are computed by the repository's own functions and queries,
models are fitted with scikit-learn, callers read a field of the answers.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, TypeAlias

import duckdb
import pandas as pd
from sklearn.linear_model import Ridge

from graph.impact import When
from graph.keys import AssetKey
from tests.corpus.loading import Case, Files, Record, bases, declared
from tests.corpus.outcomes import ConsumerFailed, Outcome, Seen, seen

Store: TypeAlias = Mapping[str, Mapping[Any, Any]]
"""`view:feature` → entity → value; of the views that could be computed."""
Act: TypeAlias = Callable[[], Any]
NO_VALUE = -1.0
"""What stands in for a value that is missing and has no default."""


def scoring(case: Case, given: Record) -> Seen:
    """`given`: {change: SQL that is done to the source tables, callers and readers: of consumers that move}."""
    about = case.base.execution["scoring"]
    before = Service(case.base.files, about, _store_before(case.base.name), case.base.files)
    moved = {each: {**about[each], **(given.get(each) or {})} for each in ("callers", "readers")}
    after = Service(case.head, {**about, **moved}, _store(case.head, about, given.get("change") or ""), case.base.files)
    found: dict[tuple[AssetKey, When], Outcome] = {}
    acts, now, later = (
        before.acts(before.store),
        after.acts(before.store),
        after.acts(after.store),
    )
    for name, model in about["runs"].items():
        trained = seen(partial(before.train, model), partial(after.train, model))
        found[AssetKey.parse(name), When.NEXT_TRAINING] = trained
    is_trained = Outcome.FAILS not in found.values()  # else what it would have produced stays as it is, and grows stale
    for key, act in acts.items():
        found[key, When.NOW] = seen(act, now[key])
        if is_trained and found[key, When.NOW] is not Outcome.FAILS:
            found[key, When.NEXT_TRAINING] = seen(now[key], later[key])
    return found


@dataclass
class Service:
    """All that serves at one version of the repository."""

    files: Files
    about: Record
    store: Store
    former: Files
    """What trainings of before read is said there."""

    def acts(self, learned_from: Store) -> dict[AssetKey, Act]:
        """What each user does, with models that were fitted on `learned_from`."""
        acts: dict[AssetKey, Act] = {}
        for name in self.about["deployments"]:
            acts[AssetKey.parse(name)] = partial(self.answers, AssetKey.parse(name).name, learned_from)
        for key, caller in self.about["callers"].items():
            acts[AssetKey.parse(key)] = partial(self._call, caller, learned_from)
        for key, reader in self.about["readers"].items():
            acts[AssetKey.parse(key)] = partial(self._read, reader)
        return acts

    def _call(self, caller: Record, learned_from: Store) -> list[Any]:
        try:
            return [answer[caller["field"]] for answer in self.answers(caller["calls"], learned_from)]
        except (ConsumerFailed, KeyError) as error:
            if "default" in caller:
                return [caller["default"]]
            raise ConsumerFailed from error

    def _read(self, reader: Record) -> list[Any]:
        try:
            values = [self._online(reader["feature"])[entity] for entity in self.about["entities"]]
            return [float(value) if reader.get("cast") else value + 0 for value in values]
        except (LookupError, TypeError, ValueError) as error:
            raise ConsumerFailed from error

    def answers(self, name: str, learned_from: Store) -> list[dict[str, float]]:
        deployment = self._named("deployments", name)
        model, version = self._served(str(deployment["serves"]))
        rows = list(self._requests(name, deployment, version["signature"]["inputs"]))
        regression = _fitted(
            self.about["targets"][model], version, self._learned_features(model, version, learned_from), learned_from
        )
        output = version["signature"]["outputs"][0]["name"]
        return [{output: round(float(each), 9)} for each in regression.predict(_numbers(pd.DataFrame(rows)))]

    def _learned_features(self, model: str, version: Record, learned_from: Store) -> list[str]:
        """Of each input, by the name that it had when it was learned, or that it has."""
        own = [_feature(each.get("feature", "")) for each in version["signature"]["inputs"]]
        for _, each in declared(self.former, "model_versions"):
            if (each["model"], each["version"]) == (model, version["version"]):
                before = [_feature(one.get("feature", "")) for one in each["signature"]["inputs"]]
                if len(before) == len(own) and all(one in learned_from for one in before if one):
                    return before
        return own

    def train(self, model: str) -> list[float]:
        """The next run: what the job reads now, as the store has it. The coefficients."""
        job = self._named("jobs", self.about["jobs"][model])
        inputs = [_feature(str(each)) for each in job["inputs"]]
        targets = self.about["targets"][model]
        table = _table(inputs, inputs, self.store, sorted(targets))
        return [float(each) for each in Ridge().fit(table, _learned(targets)).coef_]

    def _named(self, section: str, name: str) -> Record:
        for _, each in declared(self.files, section):
            if each["name"] == name:
                return each
        raise ConsumerFailed(f"{section}: {name}")

    def _served(self, reference: str) -> tuple[str, Record]:
        key = AssetKey.parse(reference)
        number = str(key.part)
        if number.startswith("@"):
            number = self._named("models", key.name)["aliases"].get(number[1:])
        for _, version in declared(self.files, "model_versions"):
            if (version["model"], version["version"]) == (key.name, number):
                return key.name, version
        raise ConsumerFailed(reference)

    def _requests(self, name: str, deployment: Record, inputs: list[Record]) -> Iterator[Record]:
        if deployment.get("features_from") == "request":
            for request in self.about["requests"][name]:
                missing = [each["name"] for each in inputs if each["name"] not in request and not each.get("optional")]
                if missing:
                    raise ConsumerFailed(f"the request lacks {missing}")
                yield {each["name"]: request.get(each["name"], 0.0) for each in inputs}
        else:
            for entity in self.about["entities"]:
                row = {}
                for each in inputs:
                    if "feature" not in each:
                        raise ConsumerFailed(f"nobody sends {each['name']}")
                    values = self._online(_feature(each["feature"]))
                    if entity not in values:
                        raise ConsumerFailed(f"no {each['feature']} for {entity}")
                    row[each["name"]] = values[entity]
                yield row

    def _online(self, feature: str) -> Mapping[Any, Any]:
        view = feature.partition(":")[0]
        for _, each in declared(self.files, "feature_views"):
            if each["name"] == view and each.get("online") is not False and feature in self.store:
                return self.store[feature]
        raise ConsumerFailed(feature)


def _fitted(targets: Mapping[Any, float], version: Record, features: list[str], store: Store) -> Any:
    """As its own training left it: another version or another artifact is another model."""
    names = [each["name"] for each in version["signature"]["inputs"]]
    digest = str((version.get("artifact") or {}).get("digest", "sha256:00"))
    strength = float(version["version"]) + int(digest.partition(":")[2][:4], 16)
    table = _table(names, features, store, sorted(targets))
    return Ridge(alpha=1 + strength).fit(table, _learned(targets))


def _table(names: list[str], features: list[str], store: Store, entities: list[Any]) -> pd.DataFrame:
    columns = {}
    for name, feature in zip(names, features, strict=True):
        try:
            columns[name] = [store[feature][entity] if feature else entity % 2 for entity in entities]
        except KeyError as error:
            raise ConsumerFailed(feature) from error
    return _numbers(pd.DataFrame(columns))


def _numbers(table: pd.DataFrame) -> pd.DataFrame:
    """As a model with a signature checks them: text is no number, even where it could be read as one."""
    if not all(pd.api.types.is_numeric_dtype(kind) for kind in table.dtypes):
        raise ConsumerFailed("text for a number")
    return table.astype(float)


def _learned(targets: Mapping[Any, float]) -> list[float]:
    return [value for _, value in sorted(targets.items())]


def _feature(reference: str) -> str:
    """`view:feature` of a key, or as it is."""
    if not reference.startswith("feature:"):
        return reference
    key = AssetKey.parse(reference)
    return f"{key.name}:{key.part}"


# Computing features


@cache
def _store_before(base: str) -> Store:
    return _store(bases()[base].files, bases()[base].execution["scoring"], "")


def _store(files: Files, about: Record, change: str) -> Store:
    store: dict[str, dict[Any, Any]] = {}
    with closing(duckdb.connect()) as connection:
        connection.execute(about["setup"])
        if change:
            connection.execute(change)
        for folder, view in declared(files, "feature_views"):
            ages = about["ages"].get(view["name"]) or {}
            expired = {entity for entity, age in ages.items() if age > _seconds(view.get("ttl", 2**31))}
            try:
                computed = {}
                for feature in view["features"]:
                    values = _computed(connection, files, str(folder), view, feature)
                    default = feature.get("default", NO_VALUE)
                    computed[f"{view['name']}:{feature['name']}"] = {
                        entity: default if entity in expired or value is None else value
                        for entity, value in values.items()
                    }
                store |= computed
            except (duckdb.Error, LookupError, TypeError, ValueError, AttributeError, NameError):
                continue  # a view is computed as a whole or not at all
    return store


def _computed(
    connection: duckdb.DuckDBPyConnection, files: Files, folder: str, view: Record, feature: Record
) -> dict[Any, Any]:
    definition, entity = feature["definition"], view["entities"][0]
    path = f"{folder}/{definition['file']}"
    if path.endswith(".sql"):
        rows = connection.execute(files[path]).fetchall()
        return {row[0]: _plain(row[1]) for row in rows}
    scope: dict[str, Any] = {}
    exec(compile(files[path], path, "exec"), scope)
    source = view["source"] if isinstance(view["source"], str) else view["source"][0]
    table = connection.execute(f'SELECT * FROM "{AssetKey.parse(source).name}" ORDER BY ALL')
    names = [column[0] for column in table.description or []]
    groups: dict[Any, list[Record]] = {}
    for values in table.fetchall():
        row = dict(zip(names, values, strict=True))
        groups.setdefault(row[entity], []).append(row)
    return {key: scope[definition["function"]](rows) for key, rows in groups.items()}


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, str | int) else float(value)


def _seconds(duration: Any) -> float:
    if not isinstance(duration, str):
        return float(duration)
    found = re.fullmatch(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?", duration)
    assert found, duration
    days, hours, minutes, seconds = (int(each or 0) for each in found.groups())
    return days * 86_400 + hours * 3600 + minutes * 60 + seconds
