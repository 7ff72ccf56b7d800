"""The shapes that a document's values may have: each reads a value, says what is wrong with it and where, and knows its JSON Schema.

Reading goes on after what is wrong, so that one reading names all of it; what is wrong is then absent from what is read.
"""

import difflib
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, cast

from graph.errors import InvalidInput, quoted, shortened
from graph.model import Json

Schema = dict[str, object]
Problems = list[str]


@contextmanager
def noting(problems: Problems, place: str) -> Iterator[None]:
    """What is wrong there is a problem, and reading goes on."""
    try:
        yield
    except InvalidInput as error:
        problems.append(f"{place}: {error}")


class Shape(Protocol):
    def read(self, value: object, place: str, problems: Problems) -> Json:
        """The value in its one form; None (and a problem) for what is wrong."""
        ...

    def schema(self) -> Schema: ...


@dataclass(frozen=True)
class Text:
    choices: tuple[str, ...] = ()

    def read(self, value: object, place: str, problems: Problems) -> Json:
        if not isinstance(value, str):
            problems.append(f"{place}: {_shown(value)} is not text{_in_quotes(value)}")
            return None
        if self.choices and value not in self.choices:
            problems.append(f"{place}: {quoted(value)} is none of {', '.join(self.choices)}{near(value, self.choices)}")
            return None
        return value

    def schema(self) -> Schema:
        return {"enum": list(self.choices)} if self.choices else {"type": "string"}


@dataclass(frozen=True)
class Whole:
    least: int
    most: int

    def read(self, value: object, place: str, problems: Problems) -> Json:
        if isinstance(value, bool) or not isinstance(value, int) or not self.least <= value <= self.most:
            wanted = f"a whole number from {self.least} to {self.most}" if self.least < self.most else str(self.least)
            problems.append(f"{place}: {_shown(value)} is not {wanted}")
            return None
        return value

    def schema(self) -> Schema:
        return {"type": "integer", "minimum": self.least, "maximum": self.most}


@dataclass(frozen=True)
class Flag:
    def read(self, value: object, place: str, problems: Problems) -> Json:
        if not isinstance(value, bool):
            problems.append(f"{place}: {_shown(value)} is neither true nor false")
            return None
        return value

    def schema(self) -> Schema:
        return {"type": "boolean"}


@dataclass(frozen=True)
class Duration:
    """Read as whole seconds. Months and years are of no one length, and refused."""

    def read(self, value: object, place: str, problems: Problems) -> Json:
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return value
        found = _DURATION.fullmatch(value) if isinstance(value, str) else None
        if found is None:
            problems.append(f"{place}: {_shown(value)} is no duration; write seconds, or P1D, PT12H, P1DT30M")
            return None
        return sum(int(found[unit]) * seconds for unit, seconds in _SECONDS_IN.items() if found[unit])

    def schema(self) -> Schema:
        return {
            "anyOf": [
                {"type": "integer", "minimum": 0},
                {"type": "string", "pattern": f"^{_NAMES.sub('(', _DURATION.pattern)}$"},
            ]
        }


_DURATION = re.compile(
    r"P(?=[0-9T])(?:(?P<W>[0-9]+)W)?(?:(?P<D>[0-9]+)D)?(?:T(?=[0-9])(?:(?P<H>[0-9]+)H)?(?:(?P<M>[0-9]+)M)?(?:(?P<S>[0-9]+)S)?)?"
)
_NAMES = re.compile(r"\(\?P<[A-Z]>")
"""Python's own; editors know `(` alone."""
_SECONDS_IN = {"W": 604_800, "D": 86_400, "H": 3_600, "M": 60, "S": 1}


@dataclass(frozen=True)
class Anything:
    """What JSON can hold."""

    def read(self, value: object, place: str, problems: Problems) -> Json:
        found = _unheld(value)
        if found is None:
            return cast("Json", value)
        problems.append(f"{place}: {found}")
        return None

    def schema(self) -> Schema:
        return {}


@dataclass(frozen=True)
class Mapped:
    """Names to values of one shape."""

    of: Shape

    def read(self, value: object, place: str, problems: Problems) -> Json:
        if not isinstance(value, Mapping):
            problems.append(f"{place}: {_shown(value)} is not a mapping of names to values")
            return None
        held: dict[str, Json] = {}
        for name, inner in value.items():
            if not isinstance(name, str):
                problems.append(f'{place}: the name {_shown(name)} is not text; write it in quotes, "{name}"')
            elif (read := self.of.read(inner, f"{place}.{name}", problems)) is not None:
                held[name] = read
        return held

    def schema(self) -> Schema:
        return {"type": "object", "additionalProperties": self.of.schema()}


@dataclass(frozen=True)
class TextOr:
    """Text as it is, or what `of` is."""

    of: "Record"

    def read(self, value: object, place: str, problems: Problems) -> Json:
        if isinstance(value, str):
            return value
        if not isinstance(value, Mapping):
            problems.append(f"{place}: {_shown(value)} is neither text nor a mapping of fields{_in_quotes(value)}")
            return None
        return self.of.read(value, place, problems)

    def schema(self) -> Schema:
        return {"anyOf": [{"type": "string"}, self.of.schema()]}


@dataclass(frozen=True)
class Many:
    """A list. Items that are wrong are None in what is read, so that places still count."""

    of: Shape
    or_one: bool = False
    """One item may stand without the list."""

    def read(self, value: object, place: str, problems: Problems) -> Json:
        if self.or_one and not isinstance(value, list) and value is not None:
            return [self.of.read(value, place, problems)]
        if not isinstance(value, list):
            problems.append(f"{place}: {_shown(value)} is not a list")
            return None
        return [self.of.read(inner, f"{place}[{number}]", problems) for number, inner in enumerate(value)]

    def schema(self) -> Schema:
        many: Schema = {"type": "array", "items": self.of.schema()}
        return {"anyOf": [self.of.schema(), many]} if self.or_one else many


@dataclass(frozen=True)
class Field:
    shape: Shape
    about: str
    required: bool = False
    not_null: str | None = None
    """What is wrong with null here; elsewhere, a field that is null is absent."""


@dataclass(frozen=True)
class Record:
    """A mapping with these fields. A field that is null is absent."""

    name: str
    about: str
    fields: Mapping[str, Field]
    short: str | None = None
    """The field that a plain text, instead of the mapping, stands for."""
    is_open: bool = False
    """Fields that it does not name are let be: the document is another system's."""

    def read(self, value: object, place: str, problems: Problems) -> Json:
        if self.short is not None and isinstance(value, str):
            return {self.short: value}
        if not isinstance(value, Mapping):
            or_text = f", nor the {self.short} alone" if self.short else ""
            problems.append(f"{place or 'the document'}: {_shown(value)} is not a mapping of fields{or_text}")
            return None
        dot = f"{place}." if place else ""
        for name in value:
            if name not in self.fields and not self.is_open:
                problems.append(f"{dot}{shortened(name)}: unknown field{near(str(name), self.fields)}")
        held: dict[str, Json] = {}
        for name, field in self.fields.items():
            given = value.get(name)
            if given is None:
                if field.required:
                    problems.append(f"{dot}{name}: missing; {field.about[0].lower()}{field.about[1:]}")
                elif field.not_null and name in value:
                    problems.append(f"{dot}{name}: {field.not_null}")
                continue
            read = field.shape.read(given, f"{dot}{name}", problems)
            if read is not None:
                held[name] = read
        return held

    def schema(self) -> Schema:
        return {"$ref": f"#/$defs/{self.name}"}

    def definition(self) -> Schema:
        made: Schema = {
            "type": "object",
            "description": self.about,
            "properties": {name: _described(field) for name, field in self.fields.items()},
            "additionalProperties": self.is_open,
        }
        required = [name for name, field in self.fields.items() if field.required]
        if required:
            made["required"] = required
        return {"anyOf": [{"type": "string"}, made]} if self.short else made


def opened(name: str, required: Mapping[str, Shape], /, **optional: Shape) -> Record:
    """Of another system: what is read of one of its records."""
    fields = {each: Field(shape, f"The {each} of a {name}.", required=True) for each, shape in required.items()}
    fields |= {each: Field(shape, f"The {each} of a {name}.") for each, shape in optional.items()}
    return Record(name, f"A {name}.", fields, is_open=True)


def document_schema(top: Record, title: str) -> Schema:
    """The JSON Schema of a document that is `top`."""
    found: dict[str, Record] = {}
    waiting: list[Shape] = [top]
    while waiting:
        shape = waiting.pop(0)
        if isinstance(shape, Many | Mapped | TextOr):
            waiting.append(shape.of)
        elif isinstance(shape, Record) and shape.name not in found:
            found[shape.name] = shape
            waiting += [field.shape for field in shape.fields.values()]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": title,
        **top.definition(),
        "$defs": {name: record.definition() for name, record in sorted(found.items()) if record is not top},
    }


def near(name: str, known: Iterable[str], at_most: int = 1) -> str:
    """`; did you mean …?`, or nothing."""
    close = difflib.get_close_matches(name, list(known), n=at_most, cutoff=0.6)
    return f"; did you mean {' or '.join(close)}?" if close else ""


def _in_quotes(value: object) -> str:
    if isinstance(value, bool):
        return "; if a word was meant, write it in quotes"
    return f'; write it in quotes, "{value}"' if isinstance(value, int | float) else ""


def _described(field: Field) -> Schema:
    return {"description": field.about, **field.shape.schema()}


def _shown(value: object) -> str:
    if isinstance(value, str):
        return quoted(value, 80)
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, Sequence):
        return "a list"
    if value is None:
        return "nothing"
    return str(value).lower() if isinstance(value, bool) else shortened(value, 80)


def _unheld(value: object) -> str | None:
    """What in `value` JSON cannot hold."""
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, Mapping):
            strange = [name for name in item if not isinstance(name, str)]
            if strange:
                return f'the name {_shown(strange[0])} is not text; write it in quotes, "{strange[0]}"'
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(item)
        elif isinstance(item, float) and not math.isfinite(item):
            return f"{item} is no number that JSON can hold"
        elif item is not None and not isinstance(item, str | bool | int | float):
            return f"{shortened(item, 80)} is a {type(item).__name__}, which JSON cannot hold"
    return None
