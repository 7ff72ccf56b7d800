"""What the processes that this one started cost, read from /proc."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_TICK_SECONDS = 1 / os.sysconf("SC_CLK_TCK")


def children() -> Iterator[int]:
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has just ended
            if int(_fields(stat)[1]) == os.getpid():
                yield int(stat.parent.name)


def cpu_seconds(process: int) -> float:
    user, system = _fields(Path(f"/proc/{process}/stat"))[11:13]
    return (int(user) + int(system)) * _TICK_SECONDS


def resident_megabytes(process: int) -> float:
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise ProcessLookupError(f"process {process} has ended")


def _fields(stat: Path) -> list[str]:
    """After the name, which may hold anything."""
    return stat.read_text().rpartition(")")[2].split()
