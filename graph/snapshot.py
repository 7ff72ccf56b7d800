"""The lineage index on disk: a cache that makes a start fast, never the truth.

A NumPy `.npz` archive, whose members carry checksums, with the revision it holds and the stamp of that revision in the
store. Whatever does not fit is refused with the reason, and the index is loaded from the store.
"""

from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import orjson

from graph.index import LineageIndex, Parts
from graph.stores.contract import Store

FORMAT = 3
"""Raised with every change of what a row of the index means."""


class SnapshotRefused(Exception):
    """Why a snapshot cannot be used, as the end of a sentence."""


def load(index: LineageIndex, store: Store, path: Path | None) -> str | None:
    """Fills the index, from the snapshot at `path` if that can be; otherwise from the store, answering why not."""
    if path is not None:
        try:
            index.restore(restored(path, store))
        except SnapshotRefused as refused:
            index.load()
            return str(refused)
    else:
        index.load()
    return None


def save(index: LineageIndex, store: Store, path: Path) -> int:
    """Writes the index as it is now, whole or not at all; the revision written. Raises OSError."""
    parts = index.parts()
    about = {"format": FORMAT, "stamp": store.stamp(parts.revision), **parts.about}
    text = np.frombuffer(orjson.dumps(about), np.uint8)
    unfinished = path.with_name(path.name + ".unfinished")
    with unfinished.open("wb") as file:
        members = {"about": text, "keys": np.frombuffer("\n".join(parts.keys).encode(), np.uint8), **parts.arrays}
        np.savez(file, allow_pickle=False, **members)
    unfinished.replace(path)
    return parts.revision


def restored(path: Path, store: Store) -> Parts:
    """Raises SnapshotRefused."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        about = orjson.loads(arrays.pop("about").tobytes())
        form, stamp, revision = about.pop("format"), about.pop("stamp"), about["revision"]
        keys = arrays.pop("keys").tobytes().decode().split("\n")
    except FileNotFoundError:
        raise SnapshotRefused("there is none yet") from None
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise SnapshotRefused(f"{path} is damaged: {error}") from error
    if form != FORMAT:
        raise SnapshotRefused(f"{path} is of another version of this program")
    if stamp != store.stamp(revision):
        raise SnapshotRefused(f"{path} is of another store, or of another history of this one")
    return Parts(revision, about, keys, arrays)
