"""A dbt project of several hundred models with everything dbt can put into its graph, the same every time."""

import random
from collections.abc import Sequence
from pathlib import Path

import yaml

MODELS, LAYERS = 400, 8


def write_project(folder: Path) -> None:
    chance = random.Random(20261124)
    files = {
        "dbt_project.yml": {
            "name": "shop",
            "version": "1.0.0",
            "profile": "shop",
            "on-run-end": ["select 1 from {{ ref('m_0_0') }}"],
        },
        "profiles.yml": {
            "shop": {"target": "dev", "outputs": {"dev": {"type": "duckdb", "path": str(folder / "shop.duckdb")}}}
        },
    }
    for name, content in files.items():
        _write(folder / name, yaml.safe_dump(content))
    tables = [f"raw_{number}" for number in range(30)]
    above = [f"{{{{ source('lake', '{table}') }}}}" for table in tables]
    for number in range(10):
        _write(folder / f"seeds/seed_{number}.csv", "id,name\n1,a\n")
        above.append(f"{{{{ ref('seed_{number}') }}}}")
    models: list[str] = []
    for layer in range(LAYERS):
        here = []
        for number in range(MODELS // LAYERS):
            name = f"m_{layer}_{number}"
            reads = {above[int(len(above) * chance.random() ** 2)] for _ in range(chance.randint(1, 5))}
            kind = "ephemeral" if chance.random() < 0.15 else chance.choice(["view", "table"])
            _write(folder / f"models/layer_{layer}/{name}.sql", _select(sorted(reads), kind))
            here.append(f"{{{{ ref('{name}') }}}}")
            models.append(name)
        above = [*here, *above]  # the newest are read most, the oldest still by some
    for number in range(10):
        read = chance.choice(models)
        _write(folder / f"snapshots/snap_{number}.yml", yaml.safe_dump({"snapshots": [_snapshot(number, read)]}))
        _write(folder / f"models/after_snap_{number}.sql", _select([f"{{{{ ref('snap_{number}') }}}}"], "view"))
        _write(folder / f"analyses/look_{number}.sql", _select([f"{{{{ ref('{chance.choice(models)}') }}}}"]))
        _write(
            folder / f"tests/none_{number}.sql",
            _select([f"{{{{ ref('{each}') }}}}" for each in chance.sample(models, 2)]),
        )
    _write(folder / "models/versioned_v1.sql", _select(["{{ ref('m_0_1') }}"], "view"))
    _write(folder / "models/versioned_v2.sql", _select(["{{ ref('m_0_2') }}"], "view"))
    _write(
        folder / "models/after_versions.sql", _select(["{{ ref('versioned', v=1) }}", "{{ ref('versioned') }}"], "view")
    )
    _write(folder / "models/gone.sql", "{{ config(enabled=false) }} select 1 from {{ ref('m_0_0') }}")
    _write(folder / "models/time_spine.sql", "select current_date as day")
    _write(folder / "models/orders.sql", _select([f"{{{{ ref('{models[-1]}') }}}}"], "table"))
    _write(folder / "models/schema.yml", yaml.safe_dump(_properties(tables, models, chance), sort_keys=False))


def _select(reads: Sequence[str], materialized: str | None = None) -> str:
    config = f"{{{{ config(materialized='{materialized}') }}}}\n" if materialized else ""
    return config + "select 1 as id from " + ", ".join(reads)


def _snapshot(number: int, read: str) -> dict[str, object]:
    config = {"unique_key": "id", "strategy": "check", "check_cols": "all"}
    return {"name": f"snap_{number}", "relation": f"ref('{read}')", "config": config}


def _properties(tables: Sequence[str], models: Sequence[str], chance: random.Random) -> dict[str, object]:
    tested: list[dict[str, object]] = []
    for name in chance.sample(models, 150):
        tests: list[object] = ["not_null"]
        if chance.random() < 0.4:
            other = chance.choice(models)
            tests.append({"relationships": {"arguments": {"to": f"ref('{other}')", "field": "id"}}})
        tested.append({"name": name, "columns": [{"name": "id", "data_tests": tests}]})
    return {
        "version": 2,
        "sources": [{"name": "lake", "tables": [{"name": table} for table in tables]}],
        "models": [
            *tested,
            {"name": "versioned", "latest_version": 2, "versions": [{"v": 1}, {"v": 2}]},
            {
                "name": "time_spine",
                "time_spine": {"standard_granularity_column": "day"},
                "columns": [_day_column("day")],
            },
        ],
        "exposures": [
            {
                "name": f"dashboard_{number}",
                "type": "dashboard",
                "owner": {"name": "analytics"},
                "depends_on": [*(f"ref('{each}')" for each in chance.sample(models, 3)), "metric('paid')"],
            }
            for number in range(15)
        ],
        "semantic_models": [
            {
                "name": "orders",
                "model": "ref('orders')",
                "defaults": {"agg_time_dimension": "ordered_on"},
                "entities": [{"name": "order", "type": "primary", "expr": "id"}],
                "dimensions": [{"name": "ordered_on", "type": "time", "type_params": {"time_granularity": "day"}}],
                "measures": [{"name": "amount", "agg": "sum"}, {"name": "number", "agg": "count", "expr": "id"}],
            }
        ],
        "metrics": [
            {"name": "paid", "label": "Paid", "type": "simple", "type_params": {"measure": "amount"}},
            {"name": "orders", "label": "Orders", "type": "simple", "type_params": {"measure": "number"}},
            {
                "name": "basket",
                "label": "Basket",
                "type": "ratio",
                "type_params": {"numerator": "paid", "denominator": "orders"},
            },
        ],
        "saved_queries": [{"name": "weekly", "query_params": {"metrics": ["basket"]}}],
        "unit_tests": [
            {
                "name": "counts",
                "model": "orders",
                "given": [{"input": f"ref('{models[-1]}')", "rows": [{"id": 1}]}],
                "expect": {"rows": [{"id": 1}]},
            }
        ],
    }


def _day_column(name: str) -> dict[str, object]:
    return {"name": name, "granularity": "day"}


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
