"""What the graph says of the features asked for: their keys, entities, definitions, and the source they come from."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import unquote

import numpy as np

from app.features.rows import Definition
from graph.attributes import shown_attributes, values
from graph.errors import Conflict, InvalidInput, NotFound, quoted
from graph.importers.shapes import near
from graph.keys import AssetKey, AssetKind
from graph.model import Json
from graph.neighbours import datasets_into, parts_of
from graph.stores.contract import Store
from graph.topology import KIND_CODE, Moment, View


@dataclass(frozen=True, slots=True)
class FeatureView:
    """The features of one view that were asked for, and where they come from."""

    key: AssetKey
    entities: tuple[str, ...]
    definitions: tuple[Definition, ...]
    dataset: AssetKey
    location: Json
    timestamp: str | None


class Lookup:
    """Reads of one moment. Not for the event loop."""

    def __init__(self, store: Store, view: View, moment: Moment) -> None:
        self._store = store
        self._view = view
        self._moment = moment

    def features(self, names: Sequence[str]) -> list[AssetKey]:
        """Written `view:feature`, or as their keys. Raises NotFound, InvalidInput and InvalidKey."""
        return [self._feature(name) for name in names]

    def entities(self, features: Sequence[AssetKey]) -> tuple[str, ...]:
        """The entities of the features' views, each once. Raises NotFound, Conflict."""
        views = self._views_of(features)
        shown = self._shown(views)
        return tuple(dict.fromkeys(entity for view in views for entity in _entities(view, shown[view])))

    def views(self, features: Sequence[AssetKey]) -> list[FeatureView]:
        """Raises NotFound, and Conflict for a view that does not say all that is needed to read its features."""
        grouped = self._views_of(features)
        datasets = {view: datasets_into(self._view, self._view.number(view), self._moment) for view in grouped}
        shown = self._shown({*features, *grouped, *(dataset for found in datasets.values() for dataset in found)})
        views = []
        for view, members in grouped.items():
            dataset = _source(view, datasets[view], shown)
            timestamp = shown[dataset].get("timestamp")
            if timestamp is not None and not isinstance(timestamp, str):
                raise Conflict(f"the timestamp of {dataset} is {timestamp}; it is the name of a column")
            definitions = tuple(Definition(feature, _definition(shown[feature])) for feature in members)
            location = shown[dataset]["location"]
            views.append(FeatureView(view, _entities(view, shown[view]), definitions, dataset, location, timestamp))
        return views

    def _feature(self, name: str) -> AssetKey:
        if name.startswith("feature:") and "/" in name and "#" in name:
            key = AssetKey.parse(name)
            if self._is_there(key):
                return key
            raise NotFound(key, "is no feature that is registered now" + self._instead(key.name, str(key.part)))
        view, colon, feature = name.partition(":")
        if not colon or not view or not feature:
            raise InvalidInput(f"{quoted(name)} is not a feature: write view:feature, or the feature's key", name)
        views = self._views_named(view)
        found = [key for each in views if self._is_there(key := each.part_key(feature))]
        if not found:
            raise NotFound(name, "is no feature that is registered now" + self._instead(view, feature))
        if len(found) > 1:
            raise InvalidInput(f"{name} may be {' or '.join(map(str, found))}; write the key of the one meant", name)
        return found[0]

    def _is_there(self, key: AssetKey) -> bool:
        number = self._view.numbers.get(str(key), self._view.assets)
        if number >= self._view.assets:
            return False
        return bool(self._view.label_codes(np.array([number]), self._moment)[0] >= 0)

    def _views_named(self, name: str | None = None) -> list[AssetKey]:
        """All views of that name, or of any, that were ever there. Raises InvalidKey for what cannot be a name."""
        name = name and AssetKey.of(AssetKind.FEATURE_VIEW, "any", name).name
        kinds = self._view.kind[: self._view.assets]
        texts = (self._view.keys[number] for number in np.nonzero(kinds == KIND_CODE[AssetKind.FEATURE_VIEW])[0])
        keys = (AssetKey.parse(text) for text in texts if name is None or unquote(text.rpartition("/")[2]) == name)
        return sorted(keys)

    def _instead(self, view: str, feature: str) -> str:
        views = self._views_named(view)
        parts = {str(p.part) for v in views for p in parts_of(self._view, self._view.number(v), self._moment)}
        if parts:
            listed = ", ".join(sorted(parts)[:20])
            return near(feature, sorted(parts)) or f"; the features of {view} are {listed}"
        return near(view, sorted({key.name for key in self._views_named()}))

    @staticmethod
    def _views_of(features: Sequence[AssetKey]) -> dict[AssetKey, list[AssetKey]]:
        views: dict[AssetKey, list[AssetKey]] = {}
        for feature in features:
            if feature.container is None or feature.kind is not AssetKind.FEATURE:
                raise InvalidInput(f"{feature} is a {feature.kind}, where a feature is needed", feature)
            views.setdefault(feature.container, []).append(feature)
        return views

    def _shown(self, keys: Collection[AssetKey]) -> Mapping[AssetKey, Mapping[str, Json]]:
        believed = self._store.believed_at(keys, self._moment.revision)
        said = {key: [row.assertion for row in believed.get(key, ())] for key in keys}
        return {key: values(shown_attributes(assertions, self._moment.at)) for key, assertions in said.items()}


def _entities(view: AssetKey, shown: Mapping[str, Json]) -> tuple[str, ...]:
    entities = shown.get("entities")
    if not isinstance(entities, list) or not entities:
        raise Conflict(f"{view} names no entities; register it with those that its features are looked up by")
    return tuple(map(str, entities))


def _definition(shown: Mapping[str, Json]) -> str | None:
    definition = shown.get("definition")
    return None if definition is None else str(definition)


def _source(view: AssetKey, datasets: Sequence[AssetKey], shown: Mapping[AssetKey, Mapping[str, Json]]) -> AssetKey:
    """The one dataset with rows here that flows into a view. Raises Conflict for none or several."""
    located = [dataset for dataset in datasets if shown[dataset].get("location") is not None]
    if len(located) == 1:
        return located[0]
    if located:
        raise Conflict(f"{view} is computed from several datasets with a location: {', '.join(map(str, located))}")
    flowing = ", ".join(map(str, datasets))
    lacking = f"none of what flows into it has one: {flowing}" if flowing else "no dataset flows into it"
    raise Conflict(f"{view} has no rows to read: its source is a dataset with the attribute location, but {lacking}")
