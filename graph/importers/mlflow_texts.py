"""Texts within MLflow's fields that are another tool's own: sources, schemas, signatures. Read where they can be, and else let be."""

import json

from graph.attributes import canonical
from graph.errors import InvalidAttribute, InvalidInput
from graph.importers.labels import MOST_BYTES_OF_A_MAPPING
from graph.importers.places import Place, place_of
from graph.importers.values import listed, record, text
from graph.keys import AssetKey, AssetKind
from graph.model import Json


def place_of_source(kind: str | None, source: dict[str, Json], namespace: str) -> Place | None:
    for name in ("uri", "url", "path"):
        path = text(source, name)
        if path and kind == "hugging_face":
            return Place("hf://datasets", path)
        if path and kind == "uc_volume":
            return Place("dbfs", path)
        if path and (found := place_of(path)):
            return found
    for name in ("delta_table_name", "table_name"):
        if table := text(source, name):
            return Place(namespace, table)
    return None


def columns_of(dataset: AssetKey, given: dict[str, Json]) -> dict[AssetKey, dict[str, Json]]:
    found: dict[AssetKey, dict[str, Json]] = {}
    specs = listed(parsed(text(given, "schema")).get("mlflow_colspec"))
    for spec in specs:
        each = record(spec)
        type_, name = each.get("type"), each.get("name")
        try:
            if isinstance(name, str):
                column = dataset.part_key(name)
                required = each.get("required")
                found[column] = {
                    "type": type_ if isinstance(type_, str) else None,
                    "nullable": not required if isinstance(required, bool) else None,
                }
        except InvalidInput:
            continue  # what no key can name is a frame's odd label, nothing that others know
    return found


def signature_of(given: dict[str, Json], features: list[AssetKey]) -> Json:
    """With the feature of each input: `name` or `view__name`, as Feast calls the columns that a model is trained on."""
    named: dict[str, str | None] = {}
    for feature in features:
        if feature.kind is AssetKind.FEATURE:
            named[f"{feature.name}__{feature.part}"] = str(feature)
            short = str(feature.part)
            named[short] = None if short in named else str(feature)  # two of one name: neither is meant for sure
    sides: dict[str, Json] = {}
    for side in ("inputs", "outputs"):
        specs = parsed_list(text(given, side))
        tensors: list[Json] = []
        for number, spec in enumerate(specs):
            each = record(spec)
            inner = record(each.get("tensor-spec"))
            name = each.get("name")
            called = name if isinstance(name, str) else side[:-1] if len(specs) == 1 else f"{side[:-1]}_{number}"
            tensor: dict[str, Json] = {"name": called}
            type_ = inner.get("dtype") or each.get("type")
            if isinstance(type_, str):
                tensor["type"] = type_
            if isinstance(inner.get("shape"), list):
                tensor["shape"] = inner["shape"]
            if side == "inputs" and (feature_key := named.get(called)):
                tensor["feature"] = feature_key
            tensors.append(tensor)
        if tensors:
            sides[side] = tensors
    if not sides or len(canonical(sides)) > MOST_BYTES_OF_A_MAPPING:
        return None
    return sides


def parsed(given: str | None) -> dict[str, Json]:
    return record(_json(given))


def parsed_list(given: str | None) -> list[Json]:
    return listed(_json(given))


def _json(given: str | None) -> Json:
    try:
        found: Json = json.loads(given or "null", parse_constant=lambda _: None)
        canonical(found)
    except (ValueError, RecursionError, InvalidAttribute):
        return None
    return found
