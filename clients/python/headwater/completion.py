"""What a shell offers while a command is typed. Nothing here may fail, be slow, or say a word."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import unquote

import httpx
import typer

from headwater import credentials

PATIENCE_SECONDS = 0.6
"""With the start of the program, a second in all."""
MOST = 50

KINDS = (
    "dataset",
    "column",
    "feature_view",
    "feature",
    "job",
    "run",
    "model",
    "model_version",
    "deployment",
    "consumer",
)
_WORD = re.compile(r"\w+")


def completed_from(words: Sequence[str]) -> Callable[[str], list[str]]:
    return lambda incomplete: [word for word in words if word.startswith(incomplete.lower())]


def asset_keys(ctx: typer.Context, incomplete: str) -> list[str]:
    """Keys that begin so: first the kinds, then what the service's search finds. None when it does not answer in time."""
    kind, colon, rest = incomplete.partition(":")
    if not colon:
        return [f"{each}:" for each in KINDS if each.startswith(kind)]
    if kind not in KINDS:
        return []
    found: list[str] = []
    asking = threading.Thread(
        target=_ask, args=(ctx.params.get("url"), ctx.params.get("token"), kind, rest, found), daemon=True
    )
    asking.start()
    asking.join(PATIENCE_SECONDS)  # a name that resolves slowly heeds no other timeout
    return sorted(key for key in found if key.startswith(incomplete))


def _ask(url: str | None, token: str | None, kind: str, rest: str, found: list[str]) -> None:
    words = _WORD.findall(unquote(rest))
    variables: dict[str, Any] = {"kinds": [kind.upper()], "first": MOST}
    if words:
        query = "query Complete($text: String!, $kinds: [AssetKind!], $first: Int!) { found: search(text: $text, kinds: $kinds, first: $first) { nodes { node { id } } } }"
        variables["text"] = " ".join(words)
    else:
        query = "query Complete($kinds: [AssetKind!], $first: Int!) { found: assets(kinds: $kinds, first: $first) { nodes { id } } }"
    try:
        chosen = credentials.find(url, token)
        headers = {"Authorization": f"Bearer {chosen.token}"} if chosen.token else {}
        answer = httpx.post(
            f"{chosen.url}/graphql",
            json={"query": query, "variables": variables},
            headers=headers,
            timeout=PATIENCE_SECONDS,
        )
        nodes = answer.json()["data"]["found"]["nodes"]
        found += [str((node.get("node") or node)["id"]) for node in nodes]
    except Exception:  # noqa: BLE001, S110 (whatever it is, somebody is typing)
        pass
