"""Measures Headwater beside what else there is, and prints one table: `make bench`.

    python -m tests.bench [--assets N ...] [--full] [--only PART ...] [--markdown] [--keep FOLDER]

Parts are modules of this package with a function `figures`. Ratios are of one run on one machine; absolute values are
that machine's. A part that needs what is missing here fails before anything is measured.
"""

import argparse
import os
import platform
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from app.serve import tune_interpreter
from tests.bench.figures import Figure, lines, markdown

BY_SIZE = ("walks", "peers", "starts", "api")
"""Measured at every size: `figures(folder, assets)`."""
ONCE = ("check", "writes", "openlineage", "spans", "registry", "pauses", "why")
"""Measured once: `figures(folder)`."""
SIZES, FULL = (10_000, 100_000), (10_000, 100_000, 1_000_000)


def main(arguments: Sequence[str]) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("told to stop"))  # and stops the servers it has started
    tune_interpreter()  # as the service has it
    options = _options(arguments)
    sizes = options.assets or (FULL if options.full else SIZES)
    print(_machine() + "\n", flush=True)
    with tempfile.TemporaryDirectory(prefix="headwater-bench-") as temporary:
        folder = options.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        figures = (figure for part in options.only for figure in _of(part, folder, sizes))
        for line in (markdown if options.markdown else lines)(figures):
            print(line, flush=True)


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parts = [part for part in (*BY_SIZE, *ONCE) if find_spec(f"tests.bench.{part}")]
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--assets", type=int, nargs="+", help="sizes, with four times as many flows")
    parser.add_argument("--full", action="store_true", help="a million assets too: takes long")
    parser.add_argument("--only", choices=parts, nargs="+", default=parts, metavar="PART", help=", ".join(parts))
    parser.add_argument("--markdown", action="store_true", help="as docs/benchmarks.md has it")
    parser.add_argument("--keep", type=Path, help="a folder whose filled stores are used again")
    return parser.parse_args(arguments)


def _of(part: str, folder: Path, sizes: Sequence[int]) -> Iterator[Figure]:
    figures: Callable[..., Iterator[Figure]] = import_module(f"tests.bench.{part}").figures
    if part not in BY_SIZE:
        yield from figures(folder)
        return
    for size in sizes:
        yield from figures(folder, size)


def _machine() -> str:
    names = [line.partition(":")[2].strip() for line in _cpu_lines() if line.startswith("model name")]
    gigabytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{datetime.now(UTC):%-d %B %Y}, {os.cpu_count()} cores ({names[0] if names else platform.machine()}),"
        f" {gigabytes:.0f} GiB, Python {platform.python_version()}"
    )


def _cpu_lines() -> list[str]:
    described = Path("/proc/cpuinfo")
    return described.read_text().splitlines() if described.exists() else []


if __name__ == "__main__":
    main(sys.argv[1:])
