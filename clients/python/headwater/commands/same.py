"""`headwater same join|part`: which keys are of one asset."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from headwater.terminal import WRITING_EXIT_CODES, Token, Url, connected, telling

app = typer.Typer(name="same", help="Say that several keys are of one asset, or not.", no_args_is_help=True)


@app.command(epilog=WRITING_EXIT_CODES)
def join(
    assets: Annotated[list[str], typer.Argument(help="Keys of datasets, deployments or consumers.")],
    shown: Annotated[str, typer.Option("--as", help="The key that is shown for all.")],
    url: Url = None,
    token: Token = None,
) -> None:
    """Say that assets are the same as another."""
    with telling(), connected(url, token) as client:
        _tell_joined(client.join(assets, shown), "Joined")


@app.command(epilog=WRITING_EXIT_CODES)
def part(
    assets: Annotated[list[str], typer.Argument(help="Keys of what was joined.")],
    url: Url = None,
    token: Token = None,
) -> None:
    """Take back what join said of these assets."""
    with telling(), connected(url, token) as client:
        _tell_joined(client.part(assets), "Parted")


def _tell_joined(done: dict[str, Any], what: str) -> None:
    typer.echo(f"{what} at revision {done['revision']}." if done["changed"] else "Nothing changed: it is so already.")
