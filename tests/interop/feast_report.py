"""Run by the Python that has Feast, in a repository: what Feast itself lists, and how it thinks that hangs together, as JSON.

python feast_report.py
"""

import json
import sys
import warnings

from feast import FeatureStore

warnings.simplefilter("ignore")


def fields(given: object) -> dict[str, str]:
    return {each.name: each.dtype.to_value_type().name for each in given}  # type: ignore[attr-defined]


def report() -> dict[str, object]:
    store = FeatureStore(".")
    views = store.registry.list_all_feature_views(project=store.project)
    direct, _ = store.registry.get_registry_lineage(store.project)
    return {
        "project": store.project,
        "views": {
            view.name: {
                "kind": type(view).__name__,
                "features": fields(view.features),
                "entities": [name for name in getattr(view, "entities", []) if name != "__dummy"],
                "description": view.description or None,
                "owner": view.owner or None,
                "tags": dict(view.tags),
                "ttl": view.ttl.total_seconds() if getattr(view, "ttl", None) else 0,
                "online": getattr(view, "online", None),
                "sources": sorted(
                    source.name
                    for name in ("batch_source", "stream_source", "source")
                    if (source := getattr(view, name, None))
                ),
            }
            for view in views
        },
        "services": {
            service.name: {
                "features": [
                    [projection.name, projection.name_to_use(), feature.name]
                    for projection in service.feature_view_projections
                    for feature in projection.features
                ],
                "description": service.description or None,
                "owner": service.owner or None,
                "tags": dict(service.tags),
            }
            for service in store.list_feature_services()
        },
        "sources": {
            source.name: {
                "kind": type(source).__name__,
                "description": source.description or None,
                "owner": source.owner or None,
                "tags": dict(source.tags),
            }
            for source in store.list_data_sources()
        },
        "entities": {
            entity.name: {"join_key": entity.join_key, "description": entity.description or None, "owner": entity.owner}
            for entity in store.list_entities()
            if entity.name != "__dummy"
        },
        "relationships": sorted(
            [f"{each.source.type.value}:{each.source.name}", f"{each.target.type.value}:{each.target.name}"]
            for each in direct
        ),
    }


if __name__ == "__main__":
    json.dump(report(), sys.stdout)
