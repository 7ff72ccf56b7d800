"""The files of a repository, as they are here and as they were in a commit.

Git is asked a handful of times, however many files there are: what a commit lists, what differs from it, what nobody has added
yet, and one process that answers with the contents of all files that somebody reads.
"""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Optional, Protocol

from headwater.errors import DocumentUnreadable, GitUnusable

MAINLINES = ("origin/main", "main", "origin/master", "master")
MAX_FILE_BYTES = 50_000_000
"""Of one file that is read."""


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


class Tree(Protocol):
    """One version of the files. Paths are those within the repository, with slashes; symbolic links are never followed."""

    @property
    def label(self) -> str:
        """For messages: ` at main`, or nothing for the working tree."""
        ...

    @property
    def paths(self) -> Collection[str]:
        """All that git knows, and in the working tree what it would not ignore."""
        ...

    def has(self, path: str) -> bool:
        """Whether such a file is there; in the working tree also one that git ignores."""
        ...

    def identity(self, path: str) -> str | None:
        """Equal for files that are equal; None where that is only known once both are read."""
        ...

    def read(self, path: str) -> bytes:
        """Raises DocumentUnreadable: it is not there, no file, or too large."""
        ...


class Blobs:
    """The contents of a repository, by their ids. A context: one process of git lives in it."""

    def __init__(self, top: Path) -> None:
        self._top = top
        self._process: subprocess.Popen[bytes] | None = None
        self._read: dict[str, bytes] = {}

    def __enter__(self) -> Blobs:
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],  # noqa: UP045
        error: Optional[BaseException],  # noqa: UP045
        trace: Optional[TracebackType],  # noqa: UP045
    ) -> None:
        if self._process is not None:
            self._process.stdin.close()  # type: ignore[union-attr]  # a pipe
            self._process.stdout.close()  # type: ignore[union-attr]  # a pipe
            self._process.wait()

    def content(self, blob: str) -> bytes:
        if blob not in self._read:
            self.fetch([blob])
        return self._read[blob]

    def fetch(self, blobs: Iterable[str]) -> None:
        """Those that are not read yet, many at a time: an answer for each question would be a wait for each."""
        wanted = [blob for blob in dict.fromkeys(blobs) if blob not in self._read]
        for start in range(0, len(wanted), _AT_ONCE):
            self._read.update(self._asked(wanted[start : start + _AT_ONCE]))

    def _asked(self, blobs: list[str]) -> dict[str, bytes]:
        if self._process is None:
            asked = ["git", "cat-file", "--batch"]
            self._process = subprocess.Popen(  # noqa: S603
                asked, cwd=self._top, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
        asking, answer = self._process.stdin, self._process.stdout
        assert asking is not None
        assert answer is not None
        asking.write("".join(f"{blob}\n" for blob in blobs).encode())
        asking.flush()
        found = {}
        for blob in blobs:
            told = answer.readline().split()
            if len(told) != 3:  # `<id> missing`: a partial clone that cannot reach its origin
                raise GitUnusable(f"git has no content for {blob}; fetch it first")
            found[blob] = answer.read(int(told[2]))
            answer.read(1)
        return found


_AT_ONCE = 400
"""Ids that are asked for together: no more than a pipe holds, so that neither side waits for the other."""


@dataclass
class Committed:
    """The files of a commit."""

    top: Path
    base: Base
    blobs: Blobs

    @property
    def label(self) -> str:
        return f" at {self.base}"

    @cached_property
    def entries(self) -> Mapping[str, tuple[str, str]]:
        """Mode and id of each."""
        listed = _git(self.top, "ls-tree", "-r", "-z", "--full-tree", self.base.commit)
        found = {}
        for line in listed.split(b"\0")[:-1]:
            told, _, path = line.partition(b"\t")
            mode, _, blob = told.decode().split(" ")
            found[os.fsdecode(path)] = mode, blob
        return found

    @property
    def paths(self) -> Collection[str]:
        return self.entries.keys()

    def has(self, path: str) -> bool:
        return path in self.entries

    def identity(self, path: str) -> str | None:
        return self.entries[path][1] if path in self.entries else None

    def fetch(self, paths: Iterable[str]) -> None:
        """They will be read."""
        self.blobs.fetch(self.entries[path][1] for path in paths if path in self.entries)

    def read(self, path: str) -> bytes:
        if path not in self.entries:
            raise DocumentUnreadable(f"{path}: there is no such file{self.label}")
        mode, blob = self.entries[path]
        if not mode.startswith("100"):
            raise DocumentUnreadable(f"{path} is {_OTHER.get(mode, 'no file')}{self.label}; name a file itself")
        content = self.blobs.content(blob)
        _refuse_large(len(content), path, self.label)
        return content


_OTHER = {"120000": "a symbolic link", "160000": "a submodule"}


@dataclass
class Working:
    """The files as they are here. `base`, where there is one: what does not differ from it is the same file."""

    top: Path
    base: Committed | None = None
    label: str = ""
    _content: dict[str, bytes] = field(default_factory=dict)

    @cached_property
    def differing(self) -> frozenset[str]:
        """What differs from the base, is gone, or is new."""
        assert self.base is not None
        diff = ("diff", "--raw", "-z", "--no-renames", "--no-ext-diff", "--ignore-submodules", self.base.base.commit)
        told = _git(self.top, *diff, "--").split(b"\0")[:-1]
        return frozenset(os.fsdecode(path) for path in told[1::2]) | self._untracked

    @cached_property
    def _untracked(self) -> frozenset[str]:
        listed = _git(self.top, "ls-files", "-z", "--others", "--exclude-standard")
        return frozenset(os.fsdecode(path) for path in listed.split(b"\0")[:-1])

    @cached_property
    def paths(self) -> Collection[str]:
        if self.base is not None:
            known = {path for path in self.base.entries if path not in self.differing}
            return known | {path for path in self.differing if os.path.lexists(self.top / path)}
        if _try(self.top, "rev-parse", "--git-dir") is None:
            return frozenset(_walked(self.top))
        tracked = _git(self.top, "ls-files", "-z").split(b"\0")[:-1]
        known = {os.fsdecode(path) for path in tracked} | self._untracked
        return {path for path in known if os.path.lexists(self.top / path)}

    def has(self, path: str) -> bool:
        return path in self.paths or (self.top / path).is_file()

    def identity(self, path: str) -> str | None:
        is_base = self.base is not None and path not in self.differing
        return self.base.identity(path) if is_base and self.base is not None else None

    def read(self, path: str) -> bytes:
        if self.base is not None and path not in self.differing and path in self.base.entries:
            return self.base.read(path)
        if path not in self._content:
            self._content[path] = self._from_disk(path)
        return self._content[path]

    def _from_disk(self, path: str) -> bytes:
        file = self.top / path
        step = self.top
        for part in path.split("/"):
            step = step / part
            if step.is_symlink():
                raise DocumentUnreadable(
                    f"{path} goes through a symbolic link, {step.relative_to(self.top)}; name a file itself"
                )
        try:
            found = file.stat()
            if not stat.S_ISREG(found.st_mode):
                raise DocumentUnreadable(f"{path} is no file")
            _refuse_large(found.st_size, path, "")
            return file.read_bytes()
        except FileNotFoundError:
            raise DocumentUnreadable(f"{path}: there is no such file") from None
        except OSError as error:
            raise DocumentUnreadable(f"{path}: {error.strerror}") from error


def text_of(tree: Tree, path: str) -> str:
    """With \\n at the end of lines, whatever git made of them. Raises DocumentUnreadable."""
    content = tree.read(path)
    if b"\0" in content:
        raise DocumentUnreadable(f"{path}{tree.label} is no text: there is a byte 0 at {content.index(0)}")
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise DocumentUnreadable(f"{path}{tree.label} is not UTF-8: {error.reason} at byte {error.start}") from error


def top_of(folder: Path) -> Path | None:
    """Of the repository that `folder` is in."""
    told = _try(folder, "rev-parse", "--show-toplevel")
    return Path(os.fsdecode(told.rstrip(b"\n"))).resolve() if told else None


def within(top: Path, file: Path) -> str:
    """The path of a file in the repository. Raises GitUnusable for one outside it."""
    try:
        return (file.parent.resolve() / file.name).relative_to(top).as_posix()
    except ValueError:
        raise GitUnusable(f"{file} is not in the repository {top}") from None


def _refuse_large(size: int, path: str, label: str) -> None:
    if size > MAX_FILE_BYTES:
        raise DocumentUnreadable(f"{path}{label} has {size:,} bytes; the limit is {MAX_FILE_BYTES:,}")


def _walked(top: Path) -> Iterable[str]:
    """The files of a folder that is in no repository, but for hidden ones."""
    for folder, inner, files in os.walk(top):
        inner[:] = [name for name in inner if not name.startswith(".")]
        for name in files:
            yield (Path(folder) / name).relative_to(top).as_posix()


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
