"""Waiting for what another process does, no longer than is fair."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def within(seconds: float, look: Callable[[], T]) -> T:
    """What `look` sees, once it sees anything."""
    end = time.monotonic() + seconds
    while not (seen := look()):
        assert time.monotonic() < end, f"not seen within {seconds:g} s"
        time.sleep(0.05)
    return seen
