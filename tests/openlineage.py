"""OpenLineage events for tests."""

from typing import Any

from graph.time import HOUR

PRODUCER = "https://example.org/tree/1.2.3/integration/spark"
ORIGIN = "openlineage:https://example.org/tree/integration/spark#job:etl/load"


def instant(hour: int) -> int:
    """Of `eventTime` at that hour."""
    return 1_767_225_600_000_000 + hour * HOUR


def dataset(name: str, **facets: Any) -> dict[str, Any]:
    return {"namespace": "wh", "name": name, **({"facets": facets} if facets else {})}


def run_id(run: int) -> str:
    return f"00000000-0000-0000-0000-{run:012}"


def run_event(
    state: str | None,
    hour: int,
    *,
    run: int = 1,
    inputs: list[dict[str, Any]] | None = None,
    outputs: list[dict[str, Any]] | None = None,
    **facets: Any,
) -> dict[str, Any]:
    return {
        **job_event(hour, inputs=inputs, outputs=outputs, **facets),
        "run": {"runId": run_id(run)},
        "eventType": state,
    }


def job_event(
    hour: int,
    *,
    inputs: list[dict[str, Any]] | None = None,
    outputs: list[dict[str, Any]] | None = None,
    **facets: Any,
) -> dict[str, Any]:
    return {
        "eventTime": f"2026-01-{1 + hour // 24:02}T{hour % 24:02}:00:00Z",
        "producer": PRODUCER,
        "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json",
        "job": {"namespace": "etl", "name": "load", "facets": facets},
        "inputs": inputs or [],
        "outputs": outputs or [],
    }


def dataset_event(hour: int, of: dict[str, Any]) -> dict[str, Any]:
    return {
        "eventTime": f"2026-01-{1 + hour // 24:02}T{hour % 24:02}:00:00Z",
        "producer": PRODUCER,
        "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json",
        "dataset": of,
    }


def column_lineage(**columns: list[tuple[str, str, str]]) -> dict[str, Any]:
    """`x=[("orders", "a", "DIRECT")]`; the columns of "" are those that every row depends on."""
    fields = {
        into: [
            {"namespace": "wh", "name": name, "field": column, "transformations": [{"type": type_, "subtype": "S"}]}
            for name, column, type_ in sources
        ]
        for into, sources in columns.items()
    }
    whole = fields.pop("rows", [])
    return {"fields": {into: {"inputFields": sources} for into, sources in fields.items()}, "dataset": whole}
