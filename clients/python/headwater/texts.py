"""Texts that others wrote, as they may be shown."""

from __future__ import annotations

import unicodedata

_CATEGORIES = {"Cc", "Zl", "Zp", "Cs", "Cn", "Co"}
"""Control characters, breaks of lines, halves of pairs, and what is no character: XML holds none of them."""
_TURNING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Marks of direction, which make text read as what it is not."""


def plain(text: object) -> str:
    """In one line, and without what could steer a terminal, or stand in no document."""
    words = " ".join(str(text).split("\n"))
    return "".join(
        "\ufffd" if unicodedata.category(char) in _CATEGORIES or char in _TURNING else char for char in words
    )


def plain_lines(text: object) -> str:
    """The same line by line."""
    return "\n".join(map(plain, str(text).split("\n")))
