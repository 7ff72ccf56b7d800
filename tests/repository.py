"""A git repository with a headwater.yaml, and `headwater` run in it as a pipeline runs it."""

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.service import plain_environment

HEADWATER = Path(sys.executable).with_name("headwater")


@dataclass(frozen=True)
class Repository:
    folder: Path
    address: str
    environment: dict[str, str] = field(default_factory=dict)

    @classmethod
    def made(cls, folder: Path, address: str, environment: dict[str, str] | None = None) -> "Repository":
        folder.mkdir()
        made = cls(folder, address, environment or {})
        made.git("init", "--quiet", "--initial-branch=main")
        return made

    def git(self, *arguments: str) -> str:
        identity = ("-c", "user.name=tests", "-c", "user.email=tests@example.com", "-c", "commit.gpgsign=false")
        ended = subprocess.run(
            ["git", *identity, *arguments], cwd=self.folder, capture_output=True, text=True, check=False
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout.strip()

    def write(self, document: Mapping[str, Any] | str | None) -> None:
        """The manifest of the working tree; None deletes it."""
        file = self.folder / "headwater.yaml"
        if document is None:
            file.unlink()
        else:
            file.write_text(document if isinstance(document, str) else yaml.safe_dump(document, sort_keys=False))

    def commit(self, document: Mapping[str, Any] | None, message: str = "Declare") -> None:
        self.write(document)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)

    def headwater(self, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        environment = plain_environment() | {"HEADWATER_URL": self.address} | self.environment | settings
        return subprocess.run(
            [HEADWATER, *arguments],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


def headwater(address: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """The command, as its users call it."""
    return subprocess.run(
        [HEADWATER, *arguments],
        env=os.environ | {"HEADWATER_URL": address},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
