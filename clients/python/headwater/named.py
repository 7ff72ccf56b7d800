"""Which files a manifest names, and which others those lead to: by patterns, in folders, by imports and `$ref`s."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

NAME = "headwater.yaml"
FEAST_STORE = "feature_store.yaml"

_KEPT_AS_THEY_ARE = frozenset({"attributes", "hyperparameters", "metrics", "profile", "json_schema", "sources"})


def is_manifest(path: str) -> bool:
    name = posixpath.basename(path)
    return name == NAME or name.endswith(f".{NAME}")


def file_references(content: Any) -> Iterator[str]:
    waiting = [content]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if isinstance(file := value.get("file"), str):
                yield file
            waiting += [inner for name, inner in value.items() if name not in _KEPT_AS_THEY_ARE]
        elif isinstance(value, list):
            waiting += value


def joined(folder: str, name: str) -> str:
    return posixpath.normpath(posixpath.join(folder, name))


def is_pattern(path: str) -> bool:
    return any(sign in path for sign in "*?[")


def matcher(pattern: str) -> Callable[[str], object]:
    """`*` and `?` stay within a folder, `**` does not, as in .gitignore."""
    made = ""
    for part in re.split(r"(\*\*/|\*\*|\*|\?|\[[^]]+\])", pattern):
        made += {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}.get(
            part,
            f"[{part[1:-1].replace('!', '^', 1) if part[1:2] == '!' else part[1:-1]}]"
            if part.startswith("[") and part.endswith("]")
            else re.escape(part),
        )
    return re.compile(made).fullmatch


_FEAST_LEAVES_OUT = frozenset({".git", ".venv", "venv", "__pycache__", ".ipynb_checkpoints"})


def is_file_of(format_: str, path: str) -> bool:
    """Whether a file of a folder is one that the format reads."""
    if format_ == "feast":
        is_read = path.endswith(".py") or path == FEAST_STORE
        return is_read and not _FEAST_LEAVES_OUT.intersection(path.split("/"))
    return format_ == "sql" and path.endswith(".sql")


# What files refer to


def _imported_by_python(path: str, text: str) -> Iterator[str]:
    folders = [*_ancestors(posixpath.dirname(path))]
    for found in _PYTHON_IMPORT.finditer(text):
        module, names = found["from"] or found["import"], found["names"] or ""
        dots = len(module) - len(module.lstrip("."))
        steps = module[dots:].replace(".", "/")
        starts = folders[dots - 1 : dots] if dots else folders
        for start in starts:
            whole = posixpath.join(start, steps).rstrip("/")
            yield f"{whole}.py"
            yield posixpath.join(whole, "__init__.py")
            for name in re.findall(r"\w+", names):
                yield posixpath.join(whole, f"{name}.py")


_PYTHON_IMPORT = re.compile(
    r"^[ \t]*(?:from[ \t]+(?P<from>\.*[\w.]*)[ \t]+import[ \t]*(?P<names>\([^)]*\)|[^\n]*)|import[ \t]+(?P<import>[\w.]+))",
    re.MULTILINE,
)


def _imported_by_protobuf(path: str, text: str) -> Iterator[str]:
    for named in re.findall(r'^\s*import\s+(?:public\s+|weak\s+)?"([^"]+)"', text, re.MULTILINE):
        for folder in _ancestors(posixpath.dirname(path)):
            yield joined(folder, named)


def _referred_to(path: str, text: str) -> Iterator[str]:
    for named in re.findall(r"""["']?\$ref["']?\s*:\s*["']?([^"'#\s]+)""", text):
        if ":" not in named and not named.startswith("/"):
            yield joined(posixpath.dirname(path), named)


def _ancestors(folder: str) -> Iterator[str]:
    """A folder, and those it is in, up to the repository: ""."""
    while folder:
        yield folder
        folder = posixpath.dirname(folder)
    yield ""


FOLLOWED: Mapping[str, Callable[[str, str], Iterator[str]]] = {
    ".py": _imported_by_python,
    ".proto": _imported_by_protobuf,
    **dict.fromkeys((".json", ".yaml", ".yml"), _referred_to),
}
