"""Options that several reading commands take, and what they mean to the service."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from enum import Enum
from typing import Annotated, Any, Optional

import typer

from headwater.completion import KINDS as LINEAGE_KINDS
from headwater.completion import asset_keys, completed_from

Json = dict[str, Any]

KINDS = (*LINEAGE_KINDS, "alert")
BASES = ("declared", "imported", "observed", "inferred")


def one_of(words: Sequence[str]) -> Callable[[str], str]:
    def chosen(text: str) -> str:
        word = text.lower().replace("-", "_")
        if word not in words:
            raise typer.BadParameter(f"{text!r} is not one of {', '.join(words)}")
        return word.upper()

    return chosen


def _words(words: Sequence[str], *names: str, help: str, metavar: str) -> Any:  # what typer.Option gives is Any
    return typer.Option(
        *names,
        help=help,
        parser=one_of(words),
        autocompletion=completed_from(words),
        metavar=metavar,
        show_default=False,
    )


def _instant(text: str) -> str:
    try:
        found = datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no time, like 2026-11-24 or 2026-11-24T15:00:00+01:00") from None
    return (found if found.tzinfo else found.replace(tzinfo=timezone.utc)).isoformat()


class Follow(str, Enum):
    VALUES = "values"
    LOSS = "loss"


Key = Annotated[str, typer.Argument(help="Its key, as dataset:warehouse/orders.", metavar="ASSET", autocompletion=asset_keys, show_default=False)]  # fmt: skip

Kinds = Annotated[Optional[list[str]], _words(KINDS, "--kind", "-k", help="Only assets of this kind; may be repeated.", metavar="KIND")]  # fmt: skip  # noqa: UP045
Namespaces = Annotated[Optional[list[str]], typer.Option("--namespace", "-n", help="Only assets of this namespace; may be repeated.", show_default=False)]  # fmt: skip  # noqa: UP045
Owners = Annotated[Optional[list[str]], typer.Option("--owner", help="Only what they own; may be repeated.", show_default=False)]  # fmt: skip  # noqa: UP045
Tags = Annotated[Optional[list[str]], typer.Option("--tag", help="Only what has this tag; may be repeated.", show_default=False)]  # fmt: skip  # noqa: UP045
Tiers = Annotated[Optional[list[int]], typer.Option("--tier", min=1, max=4, help="Only of this tier; may be repeated.", show_default=False)]  # fmt: skip  # noqa: UP045
ByBasis = Annotated[Optional[list[str]], _words(BASES, "--basis", help="Follow only flows known in this way; may be repeated.", metavar="BASIS")]  # fmt: skip  # noqa: UP045
Timings = Annotated[Optional[list[str]], _words(("live", "built"), "--timing", help="Follow only live or only built flows.", metavar="TIMING")]  # fmt: skip  # noqa: UP045
Origins = Annotated[Optional[list[str]], typer.Option("--origin", help="Follow only what this source says; may be repeated.", show_default=False)]  # fmt: skip  # noqa: UP045
Verified = Annotated[bool, typer.Option("--verified", help="Leave out callers that only claimed who they are.")]
Following = Annotated[Follow, typer.Option("--follow", help="values: who sees other content; loss: who is hit when it is gone.")]  # fmt: skip
Depth = Annotated[Optional[int], typer.Option(min=0, help="At most so many flows away.", show_default="all")]  # noqa: UP045
At = Annotated[Optional[str], typer.Option("--at", parser=_instant, metavar="TIME", help="As it was in the world then; UTC unless it says so.", show_default="now")]  # fmt: skip  # noqa: UP045
KnownAt = Annotated[Optional[str], typer.Option("--known-at", metavar="REVISION|TIME", help="As it was believed then.", show_default="now")]  # fmt: skip  # noqa: UP045
Limit = Annotated[int, typer.Option(min=0, help="Show people at most so many; 0: all. Machines always get all.")]

LIMIT = 100


def selection(
    kinds: Sequence[str] | None,
    namespaces: Sequence[str] | None,
    owners: Sequence[str] | None,
    tags: Sequence[str] | None,
    tiers: Sequence[int] | None,
) -> Json:
    """As `AssetFilterInput`."""
    given = {"kinds": kinds, "namespaces": namespaces, "owners": owners, "tags": tags, "tiers": tiers}
    return {name: list(values) for name, values in given.items() if values}


def flows(
    bases: Sequence[str] | None, timings: Sequence[str] | None, origins: Sequence[str] | None, verified: bool
) -> Json:
    """As `FlowFilterInput`."""
    given = {"bases": bases, "timings": timings, "origins": origins}
    return {name: list(values) for name, values in given.items() if values} | ({"verified": True} if verified else {})


def known_at(text: str | None) -> Json | None:
    """As `KnownAtInput`. Raises BadParameter."""
    if text is None:
        return None
    return {"revision": int(text)} if text.isascii() and text.isdigit() else {"instant": _instant(text)}
