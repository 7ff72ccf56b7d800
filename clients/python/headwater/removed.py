"""Origins that spoke in a repository and have no document there any more, as git remembers them."""

from __future__ import annotations

import subprocess
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from headwater import manifests
from headwater.errors import HeadwaterError
from headwater.repository import Blobs, top_of

_MANIFESTS = (":(top,glob)**/headwater.yaml", ":(top,glob)**/*.headwater.yaml")
_SPEAKERS = r"^[\"']?(origin|namespace)[\"']?[[:space:]]*:"
"""Lines that say who speaks: where one of them went, an origin may have fallen silent."""
_PATIENCE_SECONDS = 20


def removed_origins(folder: Path, documents: Iterable[dict[str, object]]) -> list[str]:
    """Those of manifests that were deleted, or that speak for another origin now; in order. None outside a repository.

    A clone without history remembers nothing. What is left of them in the graph is the service's to say.
    """
    top = top_of(folder)
    if top is None:
        return []
    spoken = {origin for each in documents if (origin := origin_of(each.get("content")))}
    found: set[str] = set()
    with Blobs(top) as blobs:
        for blob in sorted(_old(top)):
            try:
                text = blobs.content(blob)
                origin = origin_of(manifests.parsed(text, blob))
            except HeadwaterError:
                continue  # it never could be applied
            if origin:
                found.add(origin)
    return sorted(found - spoken)


def origin_of(manifest: object) -> str | None:
    """As the service has it."""
    if not isinstance(manifest, dict) or "version" not in manifest:
        return None
    origin, namespace = manifest.get("origin"), manifest.get("namespace")
    if isinstance(origin, str):
        return origin
    return f"manifest:{namespace}" if isinstance(namespace, str) else None


def _old(top: Path) -> Collection[str]:
    """The ids of manifests as they were before such a line went."""
    which = ["--diff-filter=DM", f"-G{_SPEAKERS}", "--raw", "-z", "--no-abbrev", "--no-renames", "--no-ext-diff"]
    found: set[str] = set()
    for command in (["log", "--format=", *which, "HEAD"], ["diff", *which, "HEAD"]):
        try:
            told = subprocess.run(  # noqa: S603
                ["git", *command, "--", *_MANIFESTS],  # noqa: S607
                cwd=top,
                capture_output=True,
                check=True,
                timeout=_PATIENCE_SECONDS,
            ).stdout
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
            continue  # without a commit, or with more history than can be looked through
        found.update(_blobs(told))
    return found


def _blobs(raw: bytes) -> Iterator[str]:
    for field in raw.split(b"\0"):
        part = field.strip()
        if part.startswith(b":"):
            yield part.split(b" ")[2].decode()
