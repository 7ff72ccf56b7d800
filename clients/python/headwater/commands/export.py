"""`headwater export`: large answers, in forms that other programs read, to a file."""

from __future__ import annotations

import contextlib
import gzip
import os
import sys
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Annotated, BinaryIO, Optional

import httpx
import typer

from headwater import credentials
from headwater.commands import options as given
from headwater.commands.lineage import Upstream
from headwater.completion import asset_keys
from headwater.credentials import Credentials
from headwater.errors import Unreachable
from headwater.subscriptions import refused
from headwater.terminal import WRITING_EXIT_CODES, Panel, Token, Url, console, progress, telling

CHUNK_BYTES = 1 << 16


class Form(str, Enum):
    JSONL = "jsonl"
    NDJSON = "ndjson"
    JSON = "json"
    ARROW = "arrow"
    DOT = "dot"
    MERMAID = "mmd"


LINES = {Form.JSONL, Form.NDJSON}
"""These end in a line that says so."""

File = Annotated[Path, typer.Argument(help="Where to: its name says the form, as orders.arrow; .gz after it is packed; - is standard output.")]  # fmt: skip
Of = Annotated[Optional[str], typer.Option("--of", help="Only what is downstream or upstream of this asset.", metavar="ASSET", autocompletion=asset_keys, show_default="the whole graph")]  # fmt: skip  # noqa: UP045
Forms = Annotated[Optional[Form], typer.Option("--form", help="Where the name does not say it.", show_default="by the name")]  # fmt: skip  # noqa: UP045


def add_to(app: typer.Typer) -> None:
    app.command(epilog=WRITING_EXIT_CODES, rich_help_panel=Panel.ASK)(export)


def export(
    file: File,
    of: Of = None,
    up: Upstream = False,
    form: Forms = None,
    depth: given.Depth = None,
    follow: given.Following = given.Follow.VALUES,
    at: given.At = None,
    known_at: given.KnownAt = None,
    kinds: given.Kinds = None,
    namespaces: given.Namespaces = None,
    owners: given.Owners = None,
    tags: given.Tags = None,
    tiers: given.Tiers = None,
    bases: given.ByBasis = None,
    timings: given.Timings = None,
    origins: given.Origins = None,
    url: Url = None,
    token: Token = None,
) -> None:
    """Write the graph, or lineage, to a file.

    Without --of, the whole graph as it is now, in JSON lines: `headwater check`, `plan`, `impact` and `lineage` can answer from it
    without a service. With --of, the rows of lineage as NDJSON, JSON or Arrow, or a drawing as DOT or Mermaid.

    However much it is, neither side holds more than a piece of it. The file appears when it is whole: what was there before
    stays until then, and when something goes wrong.
    """
    chosen = form or form_of(file)
    lineage: dict[str, object] = {
        "depth": depth,
        "at": at,
        "knownAt": known_at,
        "kind": kinds,
        "namespace": namespaces,
        "owner": owners,
        "tag": tags,
        "tier": tiers,
        "basis": bases,
        "timing": timings,
        "origin": origins,
    }
    asked = {name: value for name, value in lineage.items() if value is not None}
    if of is not None:
        path = f"/api/v1/lineage.{(Form.NDJSON if chosen is Form.JSONL else chosen).value}"
        direction = "UPSTREAM" if up else "DOWNSTREAM"
        asked = {"start": of, "direction": direction, "follow": follow.value.upper(), **asked}
    elif asked or up or follow is not given.Follow.VALUES:
        raise typer.BadParameter(
            "the whole graph is exported as it is now; say with --of an asset what the options are of"
        )
    elif chosen not in LINES:
        raise typer.BadParameter(f"the whole graph comes as jsonl, not as {chosen.value}; say with --of what of it")
    else:
        path = "/api/v1/graph.jsonl"
    with telling(file), progress(f"reading {of or 'the graph'}", None) as tell:
        found = credentials.find(url, token)
        with _written(file) as target:
            for piece in pieces(
                found, path, {name: value for name, value in asked.items() if value is not None}, chosen
            ):
                target.write(piece)
                tell(len(piece))
    if str(file) != "-":
        console(error=True).print(f"{file}: {file.stat().st_size:,} bytes.", soft_wrap=True)


def form_of(file: Path) -> Form:
    """By the name, before `.gz`. Raises BadParameter."""
    suffix = file.with_suffix("").suffix if file.suffix == ".gz" else file.suffix
    try:
        return Form(suffix[1:])
    except ValueError:
        forms = ", ".join(each.value for each in Form)
        raise typer.BadParameter(
            f"the name {file} does not end in a form; say with --form which of {forms} it is"
        ) from None


def pieces(chosen: Credentials, path: str, asked: dict[str, object], form: Form) -> Iterator[bytes]:
    """What the service answers, as it comes. Raises Unreachable for an answer that is cut short, and Refused."""
    headers = {"Authorization": f"Bearer {chosen.token}"} if chosen.token else {}
    last = b""
    try:
        with httpx.stream("GET", f"{chosen.url}{path}", params=asked, headers=headers, timeout=60.0) as answer:  # type: ignore[arg-type]
            if not answer.is_success:
                answer.read()
                raise refused(chosen, answer)
            for piece in answer.iter_bytes(CHUNK_BYTES):
                last = (last + piece)[-1_000:]
                yield piece
    except httpx.TransportError as error:
        raise Unreachable(f"no answer from {chosen.url}: {str(error) or type(error).__name__}") from error
    if form in LINES and not last.rstrip().rpartition(b"\n")[2].startswith(b'{"end"'):
        raise Unreachable(f"the answer of {chosen.url} was cut short")


@contextlib.contextmanager
def _written(file: Path) -> Iterator[BinaryIO]:
    """A file that is there under its name once it is whole, packed if its name says so."""
    if str(file) == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    new = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        with new.open("xb") as opened:
            if file.suffix == ".gz":
                with gzip.GzipFile(filename="", mode="wb", fileobj=opened, mtime=0) as packed:
                    yield packed  # type: ignore[misc]  # it writes bytes, which is all that is asked of it
            else:
                yield opened
            opened.flush()
            os.fsync(opened.fileno())
        new.replace(file)
    finally:
        new.unlink(missing_ok=True)
