"""What all commands share: their options, how they find the service, how they tell what went wrong, and how they end."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, NoReturn, Optional

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TransferSpeedColumn,
)

from headwater import credentials
from headwater.client import Client
from headwater.errors import AccessRefused, HeadwaterError, Unreachable
from headwater.texts import plain_lines
from headwater.transport import TIMEOUT_SECONDS

CLEAN_CODE, BLOCKED_CODE, USAGE_CODE, ACKNOWLEDGE_CODE, UNREACHABLE_CODE = range(5)
FAULT_CODE = 70
INTERRUPTED_CODE, UNHEARD_CODE = 130, 141
"""By Ctrl-C, and by the end of whoever reads a pipe: as shells tell of the signals."""

READING_EXIT_CODES = (
    "Exit codes: 0 answered; 2 wrong usage, or refused; 4 the service cannot be reached; 70 a fault of this program."
)
WRITING_EXIT_CODES = "Exit codes: 0 done, or so already; 2 wrong usage, or refused; 4 the service cannot be reached; 70 a fault of this program."


class Panel(str, Enum):
    """The groups in which `headwater --help` shows its commands."""

    ASK = "Ask the graph"
    CHANGE = "Check a change before it is merged"
    TELL = "Tell the graph"
    WATCH = "See who tells and who uses what"
    USE = "This command line"


class Output(str, Enum):
    """All that commands answer in; each takes some of them."""

    TEXT = "text"
    JSON = "json"
    YAML = "yaml"
    MARKDOWN = "markdown"
    MERMAID = "mermaid"
    SARIF = "sarif"
    JUNIT = "junit"
    QUALITY = "quality"
    """GitLab's code quality report."""

    def __str__(self) -> str:  # by which older releases of typer find the member
        return self.value


def output_option(*forms: Output) -> Any:  # what typer.Option gives is Any
    """`--output`, of these forms."""
    names = [form.value for form in forms]

    def chosen(text: str) -> Output:
        if str(text) not in names:
            raise typer.BadParameter(f"{text!r} is not one of {', '.join(map(repr, names))}")
        return Output(str(text))

    def completed(incomplete: str) -> list[str]:
        return [name for name in names if name.startswith(incomplete)]

    return typer.Option(
        "--output",
        "-o",
        help=f"For people or machines: {', '.join(names[:-1])} or {names[-1]}.",
        parser=chosen,
        autocompletion=completed,
        metavar="FORM",
        show_default=Output.TEXT.value,
    )


TextOrJson = Annotated[Output, output_option(Output.TEXT, Output.JSON)]
Structured = Annotated[Output, output_option(Output.TEXT, Output.JSON, Output.YAML)]
Written = Annotated[Output, output_option(Output.TEXT, Output.JSON, Output.YAML, Output.MARKDOWN)]
Drawn = Annotated[Output, output_option(Output.TEXT, Output.JSON, Output.YAML, Output.MARKDOWN, Output.MERMAID)]

Url = Annotated[Optional[str], typer.Option(envvar="HEADWATER_URL", help="The service.", show_default="that of `headwater login`, else http://127.0.0.1:8321")]  # fmt: skip  # noqa: UP045
Token = Annotated[Optional[str], typer.Option(envvar="HEADWATER_TOKEN", help="A token of the service.", show_default="that of `headwater login`")]  # fmt: skip  # noqa: UP045


GraphFile = Annotated[Optional[Path], typer.Option("--graph", metavar="FILE", envvar="HEADWATER_GRAPH", help="Ask an exported graph, and no service; needs headwater\\[offline].", show_default=False)]  # fmt: skip  # noqa: UP045


@contextmanager
def connected(url: str | None, token: str | None, timeout: float = TIMEOUT_SECONDS) -> Iterator[Client]:
    """The service that options, the environment or a login name. A refusal says where the token came from."""
    found = credentials.find(url, token)
    try:
        with Client(found.url, found.token, timeout=timeout) as client:
            yield client
    except AccessRefused as error:
        raise AccessRefused(f"{error} ({found.told})", error.code) from error


@contextmanager
def telling(file: Path | None = None) -> Iterator[None]:
    """What goes wrong is told on standard error, and ends with its exit code. `file`: one that is read, in a folder."""
    if file is not None and not file.parent.is_dir():
        raise typer.BadParameter(f"there is no folder {file.parent}")
    try:
        yield
    except Unreachable as error:
        code, told = UNREACHABLE_CODE, str(error)
    except BrokenPipeError:  # the reader of a pipe has seen enough
        raise
    except (HeadwaterError, OSError) as error:
        code, told = USAGE_CODE, str(error)
    else:
        return
    typer.echo(plain_lines(told), err=True)
    raise typer.Exit(code)


@contextmanager
def progress(what: str, total: int | None, slow: bool = True) -> Iterator[Callable[[int], None]]:
    """Shows on a terminal, on standard error, how far slow work is; the function it gives is told of each step."""
    shown = console(error=True)
    columns: tuple[ProgressColumn, ...] = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    if total is None:  # bytes, whose number nobody knows before
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeElapsedColumn(),
        )
    with Progress(*columns, console=shown, transient=True, disable=not (slow and shown.is_terminal)) as bar:
        task = bar.add_task(what, total=total)
        yield lambda steps: bar.advance(task, steps)


def put(text: str) -> None:
    """Writes an answer on standard output."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        _end_unheard()


def _end_unheard() -> NoReturn:
    """Whoever reads the pipe has seen enough, as `head`; that must look neither clean nor blocked."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what Python writes when it ends
    raise typer.Exit(UNHEARD_CODE)


class _Page(Console):
    def on_broken_pipe(self) -> NoReturn:
        _end_unheard()


def console(error: bool = False) -> Console:
    stream = sys.stderr if error else sys.stdout
    wide = None if stream.isatty() or "COLUMNS" in os.environ else 120
    return _Page(width=wide, highlight=False, markup=False, emoji=False, stderr=error)


def sums(result: Mapping[str, Any], *words: str) -> str:
    """What became of the graph, in these words: `3 added, 0 changed, 1 withdrawn`."""
    counts = (result["added"], result["updated"], result["withdrawn"])
    return ", ".join(f"{count:,} {word}" for count, word in zip(counts, words, strict=True))
