"""The git repository that a manifest is kept in."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from headwater.errors import GitUnusable

MAINLINES = ("origin/main", "main", "origin/master", "master")


@dataclass(frozen=True)
class Base:
    """The commit that a change starts from."""

    ref: str
    """As it was asked for, or found."""
    commit: str

    def __str__(self) -> str:
        return self.ref if self.commit.startswith(self.ref) else f"{self.ref} ({self.commit[:10]})"


def find_base(folder: Path, ref: str | None) -> Base:
    """Where the work in `folder` left `ref`; without one, where it left the main line. Raises GitUnusable."""
    _git(folder, "rev-parse", "--git-dir")
    for candidate in (ref,) if ref else MAINLINES:
        commit = _commit(folder, candidate)
        if commit is not None:
            left = _try(folder, "merge-base", commit, "HEAD")
            return Base(candidate, left.decode().strip() if left else commit)
    if ref:
        raise GitUnusable(
            f"git knows no {ref!r} here; in a pipeline, fetch it first (actions/checkout: `fetch-depth: 0`)"
        )
    raise GitUnusable(f"none of {', '.join(MAINLINES)} is here; say with --base what the change is to be compared with")


def at(folder: Path, commit: str, file: Path) -> bytes | None:
    """The file as it was in `commit`; None when it was not there. Raises GitUnusable for one outside the repository."""
    top = Path(_git(folder, "rev-parse", "--show-toplevel").decode().rstrip("\n")).resolve()
    try:
        path = file.resolve().relative_to(top).as_posix()
    except ValueError:
        raise GitUnusable(f"{file} is not in the repository {top}") from None
    listed = _git(top, "ls-tree", "-z", "--name-only", commit, "--", path)
    return _git(top, "show", f"{commit}:{path}") if listed else None


def _commit(folder: Path, ref: str) -> str | None:
    if ref.startswith("-"):
        return None
    found = _try(folder, "rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}")
    return found.decode().strip() if found else None


def _git(folder: Path, *arguments: str) -> bytes:
    try:
        return _run(folder, *arguments).stdout
    except subprocess.CalledProcessError as error:
        raise GitUnusable(f"git {arguments[0]}: {error.stderr.decode(errors='replace').strip()}") from error


def _try(folder: Path, *arguments: str) -> bytes | None:
    try:
        return _run(folder, *arguments).stdout
    except subprocess.CalledProcessError:
        return None


def _run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(["git", *arguments], cwd=folder, capture_output=True, check=True)  # noqa: S603, S607
    except FileNotFoundError as error:
        raise GitUnusable("git is not installed" if folder.is_dir() else f"there is no folder {folder}") from error
