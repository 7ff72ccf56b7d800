"""A message of protocol buffers, as .proto files say it → one form for all of their dialects.

    {"message": "risk.ScoreRequest",
     "messages": {"risk.ScoreRequest": {"fields": [{"number": 1, "name": "amount", "type": "double"},
                                                   {"number": 2, "name": "ids", "type": "int64", "label": "repeated", "packed": true}]}},
     "enums": {"risk.Channel": {"values": {"WEB": 0, "APP": 1}, "closed": false}}}

It holds what can be reached from the message. Types are scalars, or full names; a map is `map<string,risk.Item>`. `label` is
`repeated` or `required`, `oneof` the name of the choice that a field is of, `default` as proto2 states it. Where a field's name in JSON
is told, it is its name.
"""

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from antlr4 import Lexer
from antlr4 import Parser as AntlrParser
from antlr4.error.ErrorListener import ErrorListener
from proto_schema_parser import ast
from proto_schema_parser.parser import Parser

from graph.errors import InvalidInput, quoted, shortened
from graph.importers.shapes import near
from graph.model import Json

MOST_TEXT = 500_000
MOST_NESTED = 50
_SCALARS = {
    "double", "float", "int32", "int64", "uint32", "uint64", "sint32", "sint64", "fixed32", "fixed64", "sfixed32", "sfixed64",
    "bool", "string", "bytes",
}  # fmt: skip
_UNPACKED = {"string", "bytes"}


def protobuf_of(content: str, path: str, message: str | None, files: Mapping[str, str]) -> dict[str, Json]:
    """`message`: its name, with or without the package; None: the only one that no other message holds. Raises InvalidInput."""
    reading = _Reading(files)
    reading.file(path, content)
    return reading.reached(path, reading.named(path, message))


@dataclass
class _Syntax:
    """What a file takes for granted."""

    path: str
    package: str
    is_proto2: bool
    is_closed: bool
    is_packed: bool


@dataclass
class _Reading:
    files: Mapping[str, str]
    messages: dict[str, tuple[_Syntax, ast.Message | ast.Group]] = field(default_factory=dict)
    enums: dict[str, tuple[_Syntax, ast.Enum]] = field(default_factory=dict)
    _read: set[str] = field(default_factory=set)
    _missing: list[str] = field(default_factory=list)

    def file(self, path: str, content: str) -> None:
        waiting = [(path, content)]
        while waiting:
            here, said = waiting.pop()
            if here in self._read:
                continue
            self._read.add(here)
            tree = _parsed(here, said)
            package = next((each.name for each in tree.file_elements if isinstance(each, ast.Package)), "")
            is_proto2 = tree.edition is None and tree.syntax != "proto3"
            options = {each.name: _plain(each.value) for each in tree.file_elements if isinstance(each, ast.Option)}
            syntax = _Syntax(
                here,
                package,
                is_proto2,
                is_proto2 or options.get("features.enum_type") == "CLOSED",
                not is_proto2 and options.get("features.repeated_field_encoding") != "EXPANDED",
            )
            for each in tree.file_elements:
                if isinstance(each, ast.Import):
                    found = self._imported(here, each.name)
                    if found is None:
                        self._missing.append(each.name)
                    else:
                        waiting.append((found, self.files[found]))
                elif isinstance(each, ast.Message | ast.Enum):
                    self._declare(syntax, package, each)

    def _imported(self, here: str, name: str) -> str | None:
        """An import is relative to a folder that only the build knows: the file that ends so, nearest first."""
        folder = posixpath.dirname(here)
        while True:
            path = posixpath.join(folder, name)
            if path in self.files:
                return path
            if not folder:
                break
            folder = posixpath.dirname(folder)
        return min((each for each in self.files if each.endswith(f"/{name}")), default=None)

    def _declare(self, syntax: _Syntax, within: str, element: ast.Message | ast.Group | ast.Enum) -> None:
        waiting: list[tuple[str, ast.Message | ast.Group | ast.Enum]] = [(within, element)]
        while waiting:
            outer, each = waiting.pop()
            name = f"{outer}.{each.name}" if outer else each.name
            if isinstance(each, ast.Enum):
                self.enums[name] = (syntax, each)
                continue
            self.messages[name] = (syntax, each)
            waiting += [
                (name, inner) for inner in each.elements if isinstance(inner, ast.Message | ast.Group | ast.Enum)
            ]

    def named(self, path: str, message: str | None) -> str:
        own = [name for name, (syntax, _) in self.messages.items() if syntax.path == path]
        if message is None:
            held = {type_ for name in own for type_ in self._types(name) if type_ != name}
            top = [name for name in own if name not in held and name.rpartition(".")[0] not in self.messages]
            if len(top) == 1:
                return top[0]
            raise InvalidInput(f"{path}: say which message is meant: it has {', '.join(sorted(own)) or 'none'}", path)
        wanted = message.lstrip(".")
        found = [name for name in self.messages if name == wanted or name.endswith(f".{wanted}")]
        found = [name for name in found if name == wanted] or [name for name in found if name in own] or found
        if len(found) != 1:
            said = "more than one" if found else "no"
            raise InvalidInput(f"{path}: it has {said} message {quoted(message)}{near(message, own)}", message)
        return found[0]

    def reached(self, path: str, top: str) -> dict[str, Json]:
        messages: dict[str, Json] = {}
        enums: dict[str, Json] = {}
        waiting = [top]
        while waiting:
            name = waiting.pop()
            if name in messages or name in enums:
                continue
            if name in self.enums:
                syntax, enum = self.enums[name]
                values: dict[str, Json] = {
                    each.name: each.number for each in enum.elements if isinstance(each, ast.EnumValue)
                }
                enums[name] = {"values": values, "closed": syntax.is_closed}
            elif name in self.messages:
                messages[name] = {"fields": [*self._fields(name)]}
                waiting += self._types(name)
        return {"message": top, "messages": dict(sorted(messages.items())), "enums": dict(sorted(enums.items()))}

    def _types(self, message: str) -> list[str]:
        found = []
        for each, _ in self._elements(message):
            types = (
                [each.value_type]
                if isinstance(each, ast.MapField)
                else [each.name if isinstance(each, ast.Group) else each.type]
            )
            found += [self._full(message, type_) for type_ in types if type_ not in _SCALARS]
        return found

    def _elements(self, message: str) -> Iterator[tuple[ast.Field | ast.MapField | ast.Group, str | None]]:
        for each in self.messages[message][1].elements:
            if isinstance(each, ast.Field | ast.MapField | ast.Group):
                yield each, None
            elif isinstance(each, ast.OneOf):
                for inner in each.elements:
                    if isinstance(inner, ast.Field | ast.Group):
                        yield inner, each.name

    def _fields(self, message: str) -> Iterator[Json]:
        syntax = self.messages[message][0]
        taken: dict[int, str] = {}
        for each, oneof in self._elements(message):
            made: dict[str, Json] = {"number": each.number, "name": each.name}
            if each.number in taken:
                place = f"{syntax.path}: {message}.{each.name}"
                raise InvalidInput(f"{place}: its number {each.number} is that of {taken[each.number]}", each.number)
            taken[each.number] = each.name
            options = (
                {} if isinstance(each, ast.Group) else {option.name: _plain(option.value) for option in each.options}
            )
            if isinstance(each, ast.MapField):
                value = each.value_type
                made["type"] = f"map<{each.key_type},{value if value in _SCALARS else self._full(message, value)}>"
            else:
                type_ = each.name if isinstance(each, ast.Group) else each.type
                made["type"] = type_ if type_ in _SCALARS else self._full(message, type_)
                if isinstance(each, ast.Group):
                    made["name"], made["type"] = each.name.lower(), f"group {made['type']}"
                is_legacy = options.get("features.field_presence") == "LEGACY_REQUIRED"
                if each.cardinality is ast.FieldCardinality.REQUIRED or is_legacy:
                    made["label"] = "required"
                elif each.cardinality is ast.FieldCardinality.REPEATED:
                    made["label"] = "repeated"
                    is_number = made["type"] in _SCALARS - _UNPACKED or made["type"] in self.enums
                    packed = options.get("packed", options.get("features.repeated_field_encoding") or syntax.is_packed)
                    made["packed"] = is_number and packed in (True, "true", "PACKED")
                if "default" in options:
                    made["default"] = options["default"]
            json_name = options.get("json_name")
            if isinstance(json_name, str):
                made["name"] = json_name
            if oneof is not None:
                made["oneof"] = oneof
            yield made

    def _full(self, message: str, type_: str) -> str:
        """As names are looked up: in the message, in what holds it, in the package, and so on outwards."""
        if type_.startswith("."):
            return self._known(message, type_[1:], type_)
        within = message
        while True:
            name = f"{within}.{type_}" if within else type_
            if name in self.messages or name in self.enums:
                return name
            if not within:
                return self._known(message, type_, type_)
            within = within.rpartition(".")[0]

    def _known(self, message: str, name: str, said: str) -> str:
        if name in self.messages or name in self.enums or name.startswith("google."):
            return name
        path = self.messages[message][0].path
        imports = (
            f"; it imports {', '.join(sorted(self._missing))}, which is not among the files" if self._missing else ""
        )
        known = [*self.messages, *self.enums]
        raise InvalidInput(
            f"{path}: {message}: nothing tells of its type {quoted(said)}{imports}{near(name, known)}", said
        )


class _Refusing(ErrorListener):  # type: ignore[misc]
    """The parser would go on, and leave out what it does not understand."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path

    def syntaxError(  # noqa: N802
        self, recognizer: object, symbol: object, line: int, column: int, msg: str, error: object
    ) -> NoReturn:
        raise InvalidInput(f"{self._path}:{line}:{column + 1}: it cannot be read: {shortened(msg, 120)}", self._path)


def _parsed(path: str, content: str) -> ast.File:
    if len(content) > MOST_TEXT:
        raise InvalidInput(f"{path}: it has {len(content):,} characters; the limit is {MOST_TEXT:,}", path)
    content = _COMMENTS.sub(_blank, content)  # the parser knows them in some places alone
    depth = 0
    for letter in content:
        depth += (letter in "{[<(") - (letter in "}]>)")
        if depth > MOST_NESTED:
            raise InvalidInput(f"{path}: it is nested deeper than {MOST_NESTED} levels", path)

    def refuse(part: Lexer | AntlrParser) -> None:
        part.removeErrorListeners()
        part.addErrorListener(_Refusing(path))

    try:
        return Parser(setup_lexer=refuse, setup_parser=refuse).parse(content)
    except RecursionError:
        raise InvalidInput(f"{path}: it is nested too deeply", path) from None


_COMMENTS = re.compile(r"""("(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')|//[^\n]*|/\*.*?\*/""", re.DOTALL)


def _blank(found: re.Match[str]) -> str:
    """Texts as they are, and comments as space, so that lines and columns stay."""
    return found[0] if found[1] is not None else re.sub(r"[^\n]", " ", found[0])


def _plain(value: Any) -> Json:
    if isinstance(value, str | bool | int | float):
        return value
    name = getattr(value, "name", None)
    return name if isinstance(name, str) else str(value)
