"""What a value of a definition may be, where it is told without running anything.

Plain values (texts, numbers, lists, mappings, timedeltas) stand for themselves.
"""

import ast
from dataclasses import dataclass, field
from typing import TypeAlias

Value: TypeAlias = object


@dataclass(frozen=True)
class Unknown:
    """Not told without running it: `repo/views.py:7: os.getenv is not known before it runs`."""

    reason: str


@dataclass(frozen=True)
class Foreign:
    """Something of a package, by its dotted name."""

    name: str


@dataclass(frozen=True)
class Builtin:
    name: str


@dataclass(frozen=True)
class ValueType:
    """A type of Feast's, as its registry calls it."""

    name: str


@dataclass(eq=False)
class Made:
    """What a constructor of Feast's makes. Two that are alike are two."""

    kind: str
    given: dict[str, Value]
    path: str
    line: int
    function: str | None = None
    """The name of the function that it decorates."""

    def get(self, name: str, default: Value = None) -> Value:
        return self.given.get(name, default)


@dataclass(frozen=True)
class Chosen:
    """Features of a view, as `view[["age"]]` or `view.with_name("recent")`."""

    view: Made
    names: tuple[str, ...] | None
    """None: all of them."""
    alias: str | None = None


@dataclass(eq=False)
class Function:
    node: ast.FunctionDef
    scope: "Scope"


@dataclass(frozen=True)
class Method:
    of: Value
    name: str


@dataclass(eq=False)
class Scope:
    path: str
    names: dict[str, Value] = field(default_factory=dict)
    outer: "Scope | None" = None

    def find(self, name: str) -> Value:
        scope: Scope | None = self
        while scope is not None:
            if name in scope.names:
                return scope.names[name]
            scope = scope.outer
        return Builtin(name) if name in BUILTINS else Unknown(f"{name} is not known")

    @property
    def module(self) -> "Scope":
        return self if self.outer is None else self.outer.module


BUILTINS = frozenset(
    {"bool", "dict", "enumerate", "float", "frozenset", "globals", "int", "len", "list", "max", "min", "print", "range"}
    | {"reversed", "set", "sorted", "str", "sum", "tuple", "zip"}
)


def unknown_in(value: Value) -> Unknown | None:
    """Anywhere within lists and mappings."""
    if isinstance(value, Unknown):
        return value
    if isinstance(value, dict):
        return next((found for pair in value.items() for each in pair if (found := unknown_in(each))), None)
    if isinstance(value, list | tuple | set | frozenset):
        return next((found for each in value if (found := unknown_in(each))), None)
    return None
