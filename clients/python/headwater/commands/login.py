"""`headwater login|logout`: the address and the token of a service, kept for all later commands."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Optional

import httpx
import typer

from headwater import asked, credentials
from headwater.client import Client
from headwater.connection import DEFAULT_URL
from headwater.errors import AccessRefused, Refused
from headwater.terminal import WRITING_EXIT_CODES, Panel, telling

Address = Annotated[Optional[str], typer.Argument(help="The service, as https://headwater.example.", envvar="HEADWATER_URL", show_default="asked for")]  # fmt: skip  # noqa: UP045
Left = Annotated[Optional[str], typer.Argument(help="The service.", show_default="that of the last login")]  # noqa: UP045


def add_to(app: typer.Typer) -> None:
    app.command(epilog=WRITING_EXIT_CODES, rich_help_panel=Panel.USE)(login)
    app.command(epilog=WRITING_EXIT_CODES, rich_help_panel=Panel.USE)(logout)


def login(address: Address = None) -> None:
    """Keep the address and token of a service.

    The token is that of HEADWATER_TOKEN, or asked for and not shown, or the first line of what is piped in.
    It is kept only once the service has taken it, in a file that nobody else may read, and sent to that address alone.
    --url and --token, HEADWATER_URL and HEADWATER_TOKEN win over what is kept.
    """
    by_hand = sys.stdin.isatty()
    with telling():
        if address is None:
            address = typer.prompt("Address of the service", default=DEFAULT_URL) if by_hand else DEFAULT_URL
        url = credentials.address(address)
        kept = credentials.read()
        token = os.environ.get("HEADWATER_TOKEN", "")
        wanted = bool(token) or _wants_token(url)
        token = token or (_token(by_hand) if wanted else "")
        if wanted and not token:
            raise Refused(f"{url} wants a token, and none was given", "UNAUTHENTICATED")
        if token:
            _try(url, token)
            kept.tokens[url] = token
        else:
            kept.tokens.pop(url, None)
        kept.current = url
        credentials.write(kept)
    typer.echo(f"Logged in to {url}" + ("." if token else ", which wants no token."))
    parsed = httpx.URL(url)
    if token and parsed.scheme == "http" and parsed.host not in {"localhost", "127.0.0.1", "::1"}:
        typer.echo("The token travels unencrypted: the address begins with http://.", err=True)


def logout(address: Left = None) -> None:
    """Forget the token of a service."""
    with telling():
        kept = credentials.read()
        url = credentials.address(address or kept.current or DEFAULT_URL)
        known = kept.tokens.pop(url, None) is not None or kept.current == url
        if kept.current == url:
            kept.current = None
        if known:
            credentials.write(kept)
    typer.echo(f"Logged out of {url}." if known else f"Nothing was kept of {url}.")


def _wants_token(url: str) -> bool:
    """Raises Unreachable."""
    try:
        _try(url, "")
    except AccessRefused:
        return True
    return False


def _try(url: str, token: str) -> None:
    """Raises Unreachable, and AccessRefused for a token that the service does not take."""
    with Client(url, token) as client:
        try:
            asked.head(client)
        except AccessRefused as error:
            raise AccessRefused(
                f"{url}: {error} (the token that was just given; nothing is kept)", error.code
            ) from error


def _token(by_hand: bool) -> str:
    if by_hand:
        return str(typer.prompt("Token", hide_input=True, default="", show_default=False)).strip()
    return sys.stdin.readline().strip()
