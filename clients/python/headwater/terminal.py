"""What all commands share: how they are asked, how they tell, and how they end."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Optional

import typer
from rich.console import Console

from headwater.errors import HeadwaterError, Unreachable

CLEAN_CODE, BLOCKED_CODE, USAGE_CODE, ACKNOWLEDGE_CODE, UNREACHABLE_CODE = range(5)
FAULT_CODE = 70

Url = Annotated[Optional[str], typer.Option(envvar="HEADWATER_URL", help="The service.", show_default="http://127.0.0.1:8321")]  # fmt: skip  # noqa: UP045
Token = Annotated[Optional[str], typer.Option(envvar="HEADWATER_TOKEN", help="A token of the service.", show_default=False)]  # fmt: skip  # noqa: UP045


class PlanOutput(str, Enum):
    TEXT = "text"
    JSON = "json"


TextOrJson = Annotated[PlanOutput, typer.Option("--output", "-o", help="For people or machines.")]


@contextmanager
def telling(file: Path | None = None) -> Iterator[None]:
    """What goes wrong is told on standard error, and ends with its exit code. `file`: one that is read, in a folder."""
    if file is not None and not file.parent.is_dir():
        raise typer.BadParameter(f"there is no folder {file.parent}")
    try:
        yield
    except Unreachable as error:
        code, told = UNREACHABLE_CODE, str(error)
    except (HeadwaterError, OSError) as error:
        code, told = USAGE_CODE, str(error)
    else:
        return
    typer.echo(told, err=True)
    raise typer.Exit(code)


def print_json(document: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def console() -> Console:
    wide = None if sys.stdout.isatty() or "COLUMNS" in os.environ else 120
    return Console(width=wide, highlight=False, markup=False)


def sums(result: dict[str, Any], *words: str) -> str:
    """What became of the graph, in these words: `3 added, 0 changed, 1 withdrawn`."""
    counts = (result["added"], result["updated"], result["withdrawn"])
    return ", ".join(f"{count} {word}" for count, word in zip(counts, words, strict=True))
