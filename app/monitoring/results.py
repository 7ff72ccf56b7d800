"""What monitoring found, window by window: a file of JSON lines for each version at each deployment.

The last line is also the cursor: the next window begins after its `end`. A line is appended once the window has been
told of, so that a stop at any point repeats a window at worst, and skips none.
"""

import hashlib
import os
import re
from pathlib import Path

import orjson

from app.events import WindowTested
from graph.keys import AssetKey
from graph.time import Instant, moment, parse_instant

_TAIL = 8 << 20
"""More than the longest line takes."""
_BEFORE_ALL: Instant = -1


class Results:
    """Reads and writes the disk: use it in a thread."""

    def __init__(self, folder: Path, most_bytes: int = 32 << 20) -> None:
        self._folder = folder
        self._most_bytes = most_bytes
        """A file that grew beyond keeps its newer half."""
        self._ends: dict[Path, Instant] = {}

    def tested_until(self, deployment: AssetKey, version: AssetKey) -> Instant:
        """The instant of the last row tested; before all rows if there was none."""
        path = self.path(deployment, version)
        if path not in self._ends:
            self._ends[path] = _last_end(path)
        return self._ends[path]

    def append(self, window: WindowTested) -> None:
        """Durable once this returns."""
        path = self.path(window.deployment, window.version)
        self.tested_until(window.deployment, window.version)
        self._folder.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.write(orjson.dumps(_line(window), option=orjson.OPT_APPEND_NEWLINE))
            file.flush()
            os.fsync(file.fileno())
            size = file.tell()
        if size > self._most_bytes:
            _halve(path)
        self._ends[path] = window.end

    def path(self, deployment: AssetKey, version: AssetKey) -> Path:
        """Readable for people, and different for different keys, whatever file systems make of their letters."""
        words = re.sub(r"[^A-Za-z0-9]+", "-", f"{deployment.name[:40]}-{(version.part or '')[:20]}").strip("-")
        digest = hashlib.sha256(f"{deployment} {version}".encode()).hexdigest()[:16]
        return self._folder / f"{words}-{digest}.ndjson"


def _line(window: WindowTested) -> dict[str, object]:
    return {
        "deployment": str(window.deployment),
        "version": str(window.version),
        "start": _text(window.start),
        "end": _text(window.end),
        "rows": window.rows,
        "columns": [
            {
                "name": column.name,
                "side": column.side,
                "drifted": (column.side, column.name) in window.drifted,
                "effect": column.effect,
                "tests": {test.name: {"statistic": test.statistic, "p": test.p_value} for test in column.tests},
                "reference": column.reference,
                "current": column.current,
            }
            for column in window.columns
        ],
        "left_out": window.left_out,
    }


def _last_end(path: Path) -> Instant:
    """Cuts off a last line that a crash left unfinished."""
    try:
        with path.open("r+b") as file:
            start = max(0, file.seek(0, os.SEEK_END) - _TAIL)
            file.seek(start)
            whole, _, torn = file.read().rpartition(b"\n")
            if torn:
                file.truncate(start + len(whole) + 1 if whole else start)
    except FileNotFoundError:
        return _BEFORE_ALL
    return parse_instant(str(orjson.loads(whole.rpartition(b"\n")[2])["end"])) if whole else _BEFORE_ALL


def _halve(path: Path) -> None:
    lines = path.read_bytes()
    kept = lines[lines.index(b"\n", len(lines) // 2) + 1 :]
    fresh = path.with_suffix(".unfinished")
    with fresh.open("wb") as file:
        file.write(kept or lines[lines.rstrip().rindex(b"\n") + 1 :])
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def _text(at: Instant) -> str:
    when = moment(at)
    assert when is not None
    return when.isoformat()
