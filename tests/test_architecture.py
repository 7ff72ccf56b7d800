"""The layers of docs/architecture.md, enforced on what modules really import."""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
OURS = {"graph", "app", "clients", "headwater", "demo"}

MAY_IMPORT = {
    "graph": {"graph"},
    "app": {"app", "graph"},
    "clients": {"headwater"},  # the package itself: clients know the public schema alone
    "demo": {"demo", "headwater"},  # it uses the public API alone, as any client would
}

OFFLINE = ROOT / "clients/python/headwater/offline.py"
"""The extra `headwater[offline]`: the one module of a client that calls the functions of the graph itself."""

GRAPH_IS_OF = {"numpy", "numba", "scipy", "orjson", "neo4j", "sqlglot", "yaml", "proto_schema_parser", "antlr4"}
"""The libraries the domain may use: nothing of the web, and the database driver in its store alone."""

CAPABILITIES = {
    "watching",
    "agreement",
    "joining",
    "intake",
    "features",
    "serving",
    "predictions",
    "monitoring",
    "alerting",
    "sources",
}
"""Rooms of app/ that meet through events or through what compose hands them, never by import."""


def modules(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def imports(module: Path) -> Iterator[str]:
    """Dotted names of all that a module imports, inside functions too."""
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: imports are absolute"
            yield node.module or ""


@pytest.mark.parametrize("folder", MAY_IMPORT)
def test_layers_point_inward(folder: str) -> None:
    wrong = [
        f"{module.relative_to(ROOT)} imports {name}"
        for module in modules(folder)
        for name in imports(module)
        if name.split(".")[0] in OURS - MAY_IMPORT[folder] and module != OFFLINE
    ]
    assert wrong == []


def test_without_a_service_the_graph_is_asked_in_one_module_of_the_client() -> None:
    asking = {
        str(module.relative_to(ROOT))
        for module in modules("clients")
        for name in imports(module)
        if name.split(".")[0] == "graph"
    }
    assert asking == {str(OFFLINE.relative_to(ROOT))}


def test_all_that_is_installed_is_of_one_release() -> None:
    server, client, graph = (
        tomllib.loads((ROOT / folder / "pyproject.toml").read_text())["project"]
        for folder in (".", "clients/python", "graph")
    )
    assert server["version"] == client["version"] == graph["version"]
    assert client["optional-dependencies"]["offline"] == [f"headwater-graph=={graph['version']}"]
    needed = {re.split("[<>=; ]", each)[0] for each in graph["dependencies"]}
    named = {"yaml": "pyyaml", "antlr4": "antlr4-python3-runtime", "proto_schema_parser": "proto-schema-parser"}
    assert needed == {named.get(each, each) for each in GRAPH_IS_OF - {"neo4j"}}  # that is of a service's store
    assert {*graph["dependencies"]} <= {*server["dependencies"]}


def test_the_graph_knows_neither_web_nor_environment_nor_clock() -> None:
    allowed = GRAPH_IS_OF | {"graph", "collections", "dataclasses", "enum", "functools", "hashlib", "importlib"}
    allowed |= {
        "ast",
        "base64",
        "binascii",
        "difflib",
        "itertools",
        "math",
        "posixpath",
        "re",
        "sqlite3",
        "threading",
        "typing",
        "unicodedata",
        "urllib",
        "uuid",
    }
    allowed |= {
        "contextlib",
        "datetime",
        "pathlib",
        "concurrent",
        "random",
        "logging",
        "queue",
        "json",
        "operator",
        "bisect",
        "heapq",
        "reprlib",
        "mmap",
        "posixpath",
        "ast",
        "symtable",
        "textwrap",
        "types",
        "struct",
        "zlib",
    }
    strange = {
        f"{module.relative_to(ROOT)} imports {name}"
        for module in modules("graph")
        for name in imports(module)
        if name.split(".")[0] not in allowed
        and not (name == "time" and module.parent.name == "stores")  # deadlines of calls, not the time of facts
    }
    assert strange == set()


def test_only_stores_touch_databases() -> None:
    drivers = {"sqlite3", "neo4j"}
    wrong = [
        f"{module.relative_to(ROOT)} imports {name}"
        for folder in ("graph", "app")
        for module in modules(folder)
        for name in imports(module)
        if name.split(".")[0] in drivers and module.parent != ROOT / "graph/stores"
    ]
    assert wrong == []


def test_only_compose_names_concrete_stores() -> None:
    concrete = {"graph.stores.sqlite", "graph.stores.neo4j"}
    wrong = [
        f"{module.relative_to(ROOT)} imports {name}"
        for module in modules("app")
        for name in imports(module)
        if name in concrete and module.name != "compose.py"
    ]
    assert wrong == []


def test_capabilities_do_not_import_each_other() -> None:
    wrong = [
        f"{module.relative_to(ROOT)} imports {name}"
        for room in CAPABILITIES
        for module in modules(f"app/{room}")
        for name in imports(module)
        if name.startswith("app.") and name.split(".")[1] in CAPABILITIES - {room}
    ]
    assert wrong == []


def test_threads_are_crossed_in_one_place() -> None:
    wrong = [
        f"{module.relative_to(ROOT)}"
        for module in modules("app")
        if "to_thread" in module.read_text() and module.name not in {"service.py", "upkeep.py"}
    ]
    assert wrong == []


def test_the_schema_file_is_current() -> None:
    from app.graphql.schema import schema

    assert (ROOT / "app/graphql/schema.graphql").read_text() == schema.as_str() + "\n"
