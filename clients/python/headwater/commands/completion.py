"""`headwater completion`: what a shell runs to complete commands, options and keys of assets."""

from __future__ import annotations

from enum import Enum
from importlib.resources import files
from typing import Annotated

import typer

from headwater.terminal import Panel, put


class Shell(str, Enum):
    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


EXIT_CODES = "Exit codes: 0 done; 2 wrong usage; 70 a fault of this program."


def add_to(app: typer.Typer) -> None:
    app.command(epilog=EXIT_CODES, rich_help_panel=Panel.USE)(completion)


def completion(shell: Annotated[Shell, typer.Argument(help="For which shell.")]) -> None:
    """Print what completes commands and keys in a shell.

    For bash, in ~/.bashrc: eval "$(headwater completion bash)"

    For zsh, in ~/.zshrc after compinit: eval "$(headwater completion zsh)"

    For fish, in ~/.config/fish/config.fish: headwater completion fish | source

    Keys come from the service's search, within a second; when it does not answer, none are offered.
    """
    put((files("headwater") / "shells" / f"headwater.{shell.value}").read_text(encoding="utf-8"))
