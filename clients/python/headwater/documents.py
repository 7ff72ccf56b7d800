"""The files of other systems → the documents that the service imports. What they mean is the service's to say."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from headwater import manifests
from headwater.errors import DocumentUnreadable
from headwater.estimators import sklearn_document


def dbt(target: Path) -> dict[str, Any]:
    """Of a folder `target`, or a manifest: it, and the catalog beside it if there is one. Raises DocumentUnreadable."""
    manifest = target / "manifest.json" if target.is_dir() else target
    document = {"manifest": _json(manifest)}
    catalog = manifest.parent / "catalog.json"
    if catalog.exists():
        document["catalog"] = _json(catalog)
    return document


def kserve(files: Sequence[Path]) -> tuple[dict[str, Any], list[str]]:
    """Of YAML files (`-`: standard input), and where each resource stands. Raises ManifestUnreadable, OSError."""
    resources: list[Any] = []
    places: list[str] = []
    for file in files:
        text = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
        found = manifests.all_parsed(text, str(file))
        resources += found
        places += [f"{file}[{number}]" for number in range(len(found))]
    return {"resources": resources}, places


def sql(
    files: Sequence[Path], dialect: str, database: str | None, schema: str | None, tables: Path | None
) -> dict[str, Any]:
    """Of files, and of all `*.sql` in folders, which are named by their paths within. `tables`: columns, as JSON.

    Raises DocumentUnreadable.
    """
    read = []
    for given in files:
        for file in sorted(given.rglob("*.sql")) if given.is_dir() else [given]:
            inside = file.relative_to(given) if given.is_dir() else file.name if file.is_absolute() else file
            try:
                read.append({"path": Path(inside).as_posix(), "text": file.read_bytes().decode("utf-8-sig")})
            except OSError as error:
                raise DocumentUnreadable(f"{file}: {error.strerror}") from error
            except UnicodeDecodeError as error:
                raise DocumentUnreadable(f"{file}: it is not UTF-8: {error.reason} at byte {error.start}") from error
    if not read:
        raise DocumentUnreadable(f"there is no *.sql in {', '.join(map(str, files))}")
    document: dict[str, Any] = {"dialect": dialect, "files": read}
    document |= {name: value for name, value in {"database": database, "schema": schema}.items() if value is not None}
    if tables is not None:
        document["tables"] = _json(tables)
    return document


def sklearn(file: Path, **named: str | None) -> dict[str, Any]:
    """Of what `sklearn_document` made, as JSON, or of an estimator in a skops file. `named` goes before what it says.

    Raises DocumentUnreadable. A pickle is never loaded: it may run any code.
    """
    given = {name: value for name, value in named.items() if value is not None}
    if file.suffix == ".json":
        document = _json(file)
        if not isinstance(document, dict):
            raise DocumentUnreadable(f"{file}: it is no mapping, as sklearn_document makes")
        return document | given
    missing = [f"--{name}" for name in ("model", "version") if name not in given]
    if missing:
        raise DocumentUnreadable(f"{file} does not say what model it is: give {' and '.join(missing)}")
    try:
        return sklearn_document(_estimator(file), **given)  # type: ignore[arg-type]  # none is None
    except ValueError as error:
        raise DocumentUnreadable(f"{file}: {error}") from error


def _estimator(file: Path) -> Any:
    made_there = "make the document where it was fitted: headwater.sklearn_document"
    try:
        content = file.read_bytes()
    except OSError as error:
        raise DocumentUnreadable(f"{file}: {error.strerror}") from error
    if not content.startswith(b"PK"):
        raise DocumentUnreadable(f"{file} is neither JSON nor a skops file; {made_there}")
    try:
        from skops.io import get_untrusted_types, loads  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415  (an extra)
    except ImportError as error:
        raise DocumentUnreadable(f"{file}: skops is not installed here; {made_there}") from error
    try:
        strange = get_untrusted_types(data=content)
        if strange:
            kinds = ", ".join(sorted(strange))
            raise DocumentUnreadable(f"{file} holds types that could do harm when loaded: {kinds}; {made_there}")
        return loads(content, trusted=[])
    except DocumentUnreadable:
        raise
    except Exception as error:  # whatever a file that is none makes it raise
        raise DocumentUnreadable(f"{file}: skops cannot load it: {error}") from error


def _json(file: Path) -> Any:
    try:
        return json.loads(file.read_bytes())
    except OSError as error:
        raise DocumentUnreadable(f"{file}: {error.strerror}") from error
    except json.JSONDecodeError as error:
        raise DocumentUnreadable(f"{file}:{error.lineno}:{error.colno}: {error.msg}") from error
    except (ValueError, RecursionError) as error:
        raise DocumentUnreadable(f"{file}: {error}") from error
