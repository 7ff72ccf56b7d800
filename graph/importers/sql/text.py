"""The text of a file → its statements, each by itself: one that is wrong leaves the others as they are."""

import logging
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from sqlglot import exp
from sqlglot.dialects.dialect import Dialect
from sqlglot.errors import SqlglotError
from sqlglot.tokenizer_core import Token, TokenType

MOST_TOKENS = 50_000
"""Of one statement."""
MOST_NESTED = 60
"""Brackets and CASEs, one within the other: deeper ones are beyond the stack of a parser that calls itself."""

# It says of each statement that it does not know that it does not know it: here that is a warning of the document's.
logging.getLogger("sqlglot").setLevel(logging.CRITICAL)


class Statement(NamedTuple):
    line: int
    text: str
    tree: exp.Expr | None
    """None for what cannot be read: then `reason` says why."""
    reason: str | None = None


def parsed(text: str, dialect: str) -> Iterator[Statement]:
    """The statements of a file, each by itself: one that is wrong leaves the others as they are."""
    known = Dialect.get_or_raise(dialect)
    try:
        yield from _split(text, known.tokenize(text), known, 0)
    except NOT_READ as error:
        yield from _before(text, known, error)


def _before(text: str, dialect: Dialect, error: Exception) -> Iterator[Statement]:
    """What stands before the words that cannot be told apart, as a quote that does not end; what follows is lost."""
    start, line = 0, 0
    for end in [*(found.end() for found in _ENDS.finditer(text)), len(text)]:
        try:
            tokens = dialect.tokenize(text[start:end])
        except NOT_READ:
            break
        yield from _split(text[start:end], tokens, dialect, line)
        line += text.count("\n", start, end)
        start = end
    yield Statement(line + 1, text[start:], None, _said(error))


_ENDS = re.compile(r";[ \t]*\n")
NOT_READ = (
    SqlglotError,
    RuntimeError,
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    AssertionError,
    ArithmeticError,
)
"""What sqlglot raises of what it does not understand; a RecursionError is a RuntimeError."""


def _split(text: str, tokens: Sequence[Token], dialect: Dialect, line: int) -> Iterator[Statement]:
    statement: list[Token] = []
    for token in [*tokens, None]:
        if token is not None and token.token_type is not TokenType.SEMICOLON:
            statement.append(token)
        elif statement:
            made = _parsed(text, statement, dialect)
            yield made._replace(line=made.line + line)
            statement = []


def _parsed(text: str, tokens: list[Token], dialect: Dialect) -> Statement:
    first, last = tokens[0], tokens[-1]
    own = text[first.start : last.end + 1]
    reason = _unreadable(tokens)
    if reason is None:
        try:
            (tree,) = dialect.parser().parse(tokens, text)
        except NOT_READ as error:
            reason = _said(error)
        else:
            if tree is not None:
                return Statement(first.line, own, tree)
            reason = "it is empty"
    if "{{" in own or "{%" in own:
        reason = "it is a template: render it first, as `dbt compile` does"
    return Statement(first.line, own, None, reason)


def _unreadable(tokens: Sequence[Token]) -> str | None:
    if len(tokens) > MOST_TOKENS:
        return f"it has {len(tokens):,} words and signs; the limit is {MOST_TOKENS:,}"
    depth = 0
    for token in tokens:
        if token.token_type in _OPENS:
            depth += 1
            if depth > MOST_NESTED:
                return f"it is nested deeper than {MOST_NESTED} levels"
        elif token.token_type in _CLOSES:
            depth -= 1
    return None


_OPENS = frozenset({TokenType.L_PAREN, TokenType.L_BRACKET, TokenType.L_BRACE, TokenType.CASE})
_CLOSES = frozenset({TokenType.R_PAREN, TokenType.R_BRACKET, TokenType.R_BRACE, TokenType.END})


def _said(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    first = str(error).partition("\n")[0].replace("\x1b[4m", "").replace("\x1b[0m", "")
    return f"it cannot be read: {first[:300]}"


def target_in(text: str) -> tuple[str, ...] | None:
    """The name of what a statement that cannot be read seems to write: `lake.shop.orders` in three parts."""
    found = _TARGET.search(text)
    if found is None:
        return None
    return tuple(part.strip('"`[]') for part in _PART.findall(found["name"]))


_NAME = r"(?:\"[^\"]+\"|`[^`]+`|\[[^]]+\]|\w+)"
_PART = re.compile(_NAME)
_TARGET = re.compile(
    r"\b(?:create\s+(?:or\s+replace\s+)?(?:\w+\s+){0,3}?(?:table|view)|insert\s+(?:into|overwrite)(?:\s+table)?|merge\s+into"
    rf"|update|delete\s+from)\s+(?:if\s+not\s+exists\s+)?(?P<name>{_NAME}(?:\.{_NAME}){{0,2}})",
    re.IGNORECASE,
)
