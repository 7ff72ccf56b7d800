"""Numbered, checksummed schema steps, read from files named `0001_what.sql` (or `.cypher`)."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files

from graph.errors import StoreIncompatible


@dataclass(frozen=True, slots=True)
class Migration:
    number: int
    name: str
    text: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def statements(self) -> list[str]:
        """Each ends with `;` at the end of a line."""
        return [statement.strip() for statement in self.text.split(";\n") if statement.strip()]


def migrations_in(package: str) -> list[Migration]:
    """The steps in the order of their numbers."""
    found = sorted((entry.name, entry.read_text()) for entry in files(package).iterdir() if entry.name[:4].isdigit())
    return [Migration(int(name[:4]), name.split(".")[0], text) for name, text in found]


def pending(known: Sequence[Migration], applied: Mapping[int, str]) -> list[Migration]:
    """The steps still to take. `applied` maps the numbers taken to their checksums.

    Raises StoreIncompatible when the store is newer than `known`, or a step was changed after it had been taken.
    """
    newer, last = max(applied, default=0), max((step.number for step in known), default=0)
    if newer > last:
        raise StoreIncompatible(
            f"the store's schema is at step {newer}, this program knows only {last}: run the newer program"
        )
    for step in known:
        if step.number in applied and applied[step.number] != step.checksum:
            raise StoreIncompatible(
                f"schema step {step.name} in the store differs from this program's ({applied[step.number][:12]} against"
                f" {step.checksum[:12]}): one of them was changed by hand"
            )
    return [step for step in known if step.number not in applied]
