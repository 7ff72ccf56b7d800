"""Files that are whole or absent, also after a crash."""

import os
from pathlib import Path


def keep(temporary: Path, target: Path) -> None:
    """Moves a file to its place on the same disk, in one step; what stood there is replaced.

    Its content and its name are on the disk when this returns. Raises OSError.
    """
    with temporary.open("rb+") as file:
        os.fsync(file.fileno())
    make_folder(target.parent)
    temporary.replace(target)
    _sync(target.parent)


def make_folder(folder: Path) -> None:
    """With those above it, as far as they are missing, each on the disk when this returns. Raises OSError."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        _sync(folder.parent)


def _sync(folder: Path) -> None:
    if os.name == "nt":
        return  # a folder cannot be opened there
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
