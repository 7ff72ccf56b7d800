"""Where the address and the token of the service come from: options, the environment, or what `headwater login` keeps.

The file holds a token for each address, and is readable by its owner alone:

    {"version": 1, "current": "https://headwater.example", "tokens": {"https://headwater.example": "hw_…"}}
"""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import typer

from headwater.connection import DEFAULT_URL
from headwater.errors import CredentialsUnreadable, Unreachable


@dataclass(frozen=True)
class Credentials:
    """Of one service. `told` says for people where the token came from."""

    url: str
    token: str | None = field(repr=False)
    told: str


@dataclass
class Kept:
    """What the file holds. `current`: the address that was logged into last, for commands that name none."""

    current: str | None = None
    tokens: dict[str, str] = field(default_factory=dict, repr=False)


def find(url: str | None, token: str | None) -> Credentials:
    """Options and the environment win over the file; a kept token is sent to its own address alone.

    Raises CredentialsUnreadable, and Unreachable for an address that is none.
    """
    stated = url or os.environ.get("HEADWATER_URL")
    given = token or os.environ.get("HEADWATER_TOKEN")
    if stated and given:
        return Credentials(address(stated), given, _source_of(given))
    kept = read()
    chosen = address(stated or kept.current or DEFAULT_URL)
    if given:
        return Credentials(chosen, given, _source_of(given))
    if chosen in kept.tokens:
        return Credentials(chosen, kept.tokens[chosen], f"the token is that of `headwater login`, in {path()}")
    return Credentials(
        chosen, None, "no token was given: say it with --token or HEADWATER_TOKEN, or run `headwater login`"
    )


def address(url: str) -> str:
    """In one spelling, so that a token is found by it. Raises Unreachable."""
    try:
        parsed = httpx.URL(url.strip())
    except (httpx.InvalidURL, ValueError) as error:
        raise Unreachable(f"{url} is not the address of a service: {error}") from error
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise Unreachable(f"{url} is not the address of a service: it begins with http:// or https://")
    if parsed.userinfo:
        raise Unreachable("the address of a service holds no user and no password; a token is given apart from it")
    return str(parsed).rstrip("/")


def path() -> Path:
    return Path(typer.get_app_dir("headwater")) / "credentials.json"


def read() -> Kept:
    """Empty where there is no file. Raises CredentialsUnreadable."""
    file = path()
    try:
        document: Any = json.loads(file.read_text(encoding="utf-8"))
        current, tokens = document["current"], document["tokens"]
        if document["version"] != 1 or not isinstance(tokens, dict):
            raise ValueError
    except (FileNotFoundError, NotADirectoryError):
        return Kept()
    except OSError as error:
        raise CredentialsUnreadable(f"{file} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError):
        raise CredentialsUnreadable(
            f"{file} is not what `headwater login` writes; remove it, and log in again"
        ) from None
    return Kept(current, {str(url): str(token) for url, token in tokens.items()})


def write(kept: Kept) -> None:
    """Whole or not at all, and never readable by others, not even for a moment. Raises OSError."""
    file = path()
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    document = {"version": 1, "current": kept.current, "tokens": kept.tokens}
    descriptor, new = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")  # mode 0600 from the start
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
            json.dump(document, opened, indent=2)
            opened.write("\n")
            opened.flush()
            os.fsync(opened.fileno())
        Path(new).replace(file)
    except BaseException:
        Path(new).unlink(missing_ok=True)
        raise


def _source_of(token: str) -> str:
    return f"the token is that of {'HEADWATER_TOKEN' if token == os.environ.get('HEADWATER_TOKEN') else '--token'}"
