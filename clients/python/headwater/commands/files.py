"""Files that commands read."""

from __future__ import annotations

import gzip
import sys
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Annotated, Optional

import typer

Manifests = Annotated[Optional[list[Path]], typer.Option("--file", "-f", help="A manifest; may be repeated.", show_default="all of the repository")]  # fmt: skip  # noqa: UP045


def opened(file: Path) -> AbstractContextManager[Iterable[bytes]]:
    """Its lines; a name in .gz is unpacked, - is standard input."""
    if str(file) == "-":
        return nullcontext(sys.stdin.buffer)
    return gzip.open(file) if file.suffix == ".gz" else file.open("rb")
