"""The files of other systems → the documents that the service imports. What they mean is the service's to say."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from headwater import manifests
from headwater.errors import DocumentUnreadable


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


def _json(file: Path) -> Any:
    try:
        return json.loads(file.read_bytes())
    except OSError as error:
        raise DocumentUnreadable(f"{file}: {error.strerror}") from error
    except json.JSONDecodeError as error:
        raise DocumentUnreadable(f"{file}:{error.lineno}:{error.colno}: {error.msg}") from error
    except (ValueError, RecursionError) as error:
        raise DocumentUnreadable(f"{file}: {error}") from error
