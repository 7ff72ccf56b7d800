"""What it means to callers that a message of protocol buffers differs: field by field, by number.

One side writes with its version and the other reads with its own: of a request the caller writes and the service reads, of a
response the other way round. What the reader then gets, in the binary encoding:

| written → read | |
| --- | --- |
| whole numbers as varints (`int32 uint32 int64 uint64 bool`, enums) | as they were where they fit, else others |
| `sint32` and `sint64`; `fixed32` and `sfixed32`; `fixed64` and `sfixed64` | as they were where they fit, else others |
| `string` or a message → `bytes` | as they were |
| one → `repeated` | one of one |
| `repeated` → one | the last; nothing, where numbers are packed |
| any other type | nothing, or an error |
| a field that the reader does not know | nothing; it is left out |
| a field that is not written | its default; an error where proto2 requires it |

Names are nothing on the wire. In the JSON encoding (`encoding: json`) they are all there is, and numbers are nothing; whole
numbers of 64 bits are texts there, and a field that the reader does not know is an error.
"""

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from graph.check.verdicts import Cure, Difference, Verdict
from graph.errors import shortened
from graph.importers.values import listed, record, text
from graph.model import Json

MOST_NESTED = 40
MOST_STEPS = 20_000
_GROUP = "group "
"""Before the type of proto2's groups, which are messages that are written in another way."""


def message_differences(
    attribute: str, before: Mapping[str, Json], after: Mapping[str, Json], sent: bool
) -> list[Difference]:
    """Of two attributes of the form `{"protobuf": …, "encoding": …}`. `sent`: callers write it."""
    json = [each.get("encoding") == "json" for each in (before, after)]
    if json[0] != json[1]:
        reason = f"its {attribute}s are encoded in another way"
        return [Difference(attribute, before.get("encoding"), after.get("encoding"), Verdict.BREAKING, reason)]
    old, new = (_Messages(record(each["protobuf"])) for each in (before, after))
    comparison = _Comparison(attribute, old, new, sent, json[0])
    found = [*comparison.between(attribute, old.top, new.top)]
    if comparison.steps < 0:
        reason = f"its {attribute} is too large to be compared in full"
        found.append(Difference(attribute, None, None, Verdict.UNKNOWN, reason))
    return found


@dataclass(frozen=True)
class _Field:
    number: int
    name: str
    type: str
    is_repeated: bool
    is_required: bool
    is_packed: bool
    oneof: str | None
    default: Json

    def json(self) -> Json:
        label = "repeated " if self.is_repeated else "required " if self.is_required else ""
        return f"{label}{self.type} {self.name} = {self.number}"


@dataclass(frozen=True)
class _Message:
    fields: Mapping[int, _Field]

    @cached_property
    def by_name(self) -> Mapping[str, _Field]:
        return {each.name: each for each in self.fields.values()}

    def beside(self, number: int) -> frozenset[int]:
        """The fields of which at most one is set, with this one."""
        oneof = self.fields[number].oneof
        return frozenset(each.number for each in self.fields.values() if oneof is not None and each.oneof == oneof)


@dataclass(frozen=True)
class _Enum:
    values: Mapping[str, int]
    is_closed: bool


class _Messages:
    def __init__(self, said: Mapping[str, Json]) -> None:
        self.top = text(said, "message") or ""
        self._messages, self._enums = record(said.get("messages")), record(said.get("enums"))

    def message(self, name: str) -> _Message | None:
        if name.startswith("map<"):
            key, _, value = name[4:-1].partition(",")
            entry = _Field(1, "key", key.strip(), False, False, False, None, None)
            return _Message({1: entry, 2: replace(entry, number=2, name="value", type=value.strip())})
        name = name.removeprefix(_GROUP)
        if name not in self._messages:
            return None
        found = {}
        for each in listed(record(self._messages[name]).get("fields")):
            said = record(each)
            number = said.get("number")
            if isinstance(number, int):
                found[number] = _Field(
                    number,
                    text(said, "name") or str(number),
                    text(said, "type") or "",
                    said.get("label") == "repeated" or (text(said, "type") or "").startswith("map<"),
                    said.get("label") == "required",
                    said.get("packed") is True,
                    text(said, "oneof"),
                    said.get("default"),
                )
        return _Message(found)

    def enum(self, name: str) -> _Enum | None:
        if name not in self._enums:
            return None
        said = record(self._enums[name])
        values = {name: each for name, each in record(said.get("values")).items() if isinstance(each, int)}
        return _Enum(values, said.get("closed") is True)


_SIGNED = {bits: (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for bits in (32, 64)}
_UNSIGNED = {bits: (0, 2**bits - 1) for bits in (32, 64)}
_WHOLE: Mapping[str, tuple[str, tuple[int, int]]] = {
    "int32": ("varint", _SIGNED[32]),
    "int64": ("varint", _SIGNED[64]),
    "uint32": ("varint", _UNSIGNED[32]),
    "uint64": ("varint", _UNSIGNED[64]),
    "bool": ("varint", (0, 1)),
    "sint32": ("zigzag", _SIGNED[32]),
    "sint64": ("zigzag", _SIGNED[64]),
    "fixed32": ("32 bits", _UNSIGNED[32]),
    "sfixed32": ("32 bits", _SIGNED[32]),
    "fixed64": ("64 bits", _UNSIGNED[64]),
    "sfixed64": ("64 bits", _SIGNED[64]),
}
"""How each is encoded, and its least and greatest value."""
_SCALARS = {*_WHOLE, "float", "double", "string", "bytes"}


@dataclass
class _Comparison:
    attribute: str
    old: _Messages
    new: _Messages
    sent: bool
    json: bool
    steps: int = MOST_STEPS

    def __post_init__(self) -> None:
        self._open: list[tuple[str, str]] = []

    def between(self, path: str, before: str, after: str) -> Iterator[Difference]:
        self.steps -= 1
        if (before, after) in self._open or self.steps < 0 or len(self._open) > MOST_NESTED:
            return
        old, new = self.old.message(before), self.new.message(after)
        if old is None or new is None:
            if before != after:
                reason = f"{self._named(path)} is {after} instead of {before}, and what that holds is not told"
                yield self._of(path, before, after, Verdict.UNKNOWN, reason)
            return
        self._open.append((before, after))
        if self.json:
            yield from self._by_name(path, old, new)
        else:
            yield from self._by_number(path, old, new)
        self._open.pop()

    def _by_name(self, path: str, old: _Message, new: _Message) -> Iterator[Difference]:
        for name, field in old.by_name.items():
            if name in new.by_name:
                yield from self._field(f"{path}.{name}", field, new.by_name[name])
            else:
                yield self._gone(f"{path}.{name}", field)
        for name, field in new.by_name.items():
            if name not in old.by_name:
                yield self._come(f"{path}.{name}", field)

    def _by_number(self, path: str, old: _Message, new: _Message) -> Iterator[Difference]:
        for number, field in old.fields.items():
            inner = f"{path}.{field.name}"
            other = new.fields.get(number)
            moved = new.by_name.get(field.name)
            if moved is not None and moved.number != number:
                reason = f"{self._named(inner)} has the number {moved.number} instead of {number}"
                yield self._of(inner, field.json(), moved.json(), Verdict.BREAKING, reason)
            elif other is None:
                yield self._gone(inner, field)
            elif other.name in old.by_name and other.name != field.name:
                yield self._gone(inner, field)  # and what took its number is told by its own name
            else:
                if other.name != field.name:
                    yield self._renamed(inner, field, other)
                yield from self._field(inner, field, other)
                yield from self._oneof(inner, number, old, new)
        for number, field in new.fields.items():
            if number not in old.fields and field.name not in old.by_name:
                yield self._come(f"{path}.{field.name}", field)

    def _renamed(self, path: str, old: _Field, new: _Field) -> Difference:
        if _alike(old.name, new.name):
            reason = (
                f"{self._named(path)} is called {new.name}: the same number on the wire, another name in code and JSON"
            )
            return self._of(path, old.json(), new.json(), Verdict.NONE, reason)
        reason = (
            f"the number {old.number} is {new.name} instead of {old.name}: whether that is another name for the same,"
            f" or another thing, cannot be told"
        )
        return self._of(path, old.json(), new.json(), Verdict.UNKNOWN, reason)

    def _gone(self, path: str, field: _Field) -> Difference:
        called = self._named(path)
        if self.sent and self.json:
            reason = f"{called} is gone, and decoders of JSON refuse fields that they do not know"
            return self._of(path, field.json(), None, Verdict.BREAKING, reason)
        if self.sent:
            return self._of(path, field.json(), None, Verdict.BEHAVIOURAL, f"{called} is no longer looked at")
        cures = frozenset[Cure]() if field.is_required else frozenset({Cure.DEFAULT})
        reason = f"{called} is gone" + ("" if field.is_required else ": readers get its default")
        return self._of(path, field.json(), None, Verdict.BREAKING, reason, cures)

    def _come(self, path: str, field: _Field) -> Difference:
        called = self._named(path)
        if self.sent and field.is_required:
            reason = f"{called} is required, and no request has it yet"
            return self._of(path, None, field.json(), Verdict.BREAKING, reason)
        reason = f"requests may carry {called}, too" if self.sent else f"{called} comes, too"
        return self._of(path, None, field.json(), Verdict.ADDITIVE, reason)

    def _field(self, path: str, old: _Field, new: _Field) -> Iterator[Difference]:
        called = self._named(path)
        if old.is_required != new.is_required:
            bad = new.is_required if self.sent else old.is_required
            reason = f"{called} is required" if new.is_required else f"{called} may be absent"
            verdict = Verdict.BREAKING if bad else Verdict.ADDITIVE
            yield self._of(f"{path}.required", old.is_required, new.is_required, verdict, reason, at=path)
        if old.default != new.default:
            reason = (
                f"{called} is {shortened(new.default, 60)} where it is absent, instead of {shortened(old.default, 60)}"
            )
            yield self._of(f"{path}.default", old.default, new.default, Verdict.BEHAVIOURAL, reason, at=path)
        writer, reader = (old, new) if self.sent else (new, old)
        if writer.is_repeated != reader.is_repeated:
            yield self._repeated(path, old, new, writer)
        if old.type == new.type and old.type in _SCALARS:
            return
        messages = [each.message(field.type) for each, field in ((self.old, old), (self.new, new))]
        enums = [self.old.enum(old.type), self.new.enum(new.type)]
        if enums[0] is not None and enums[1] is not None:
            yield from self._enum(path, enums[0], enums[1])
        elif (
            all(each is not None for each in messages) and old.type.startswith(_GROUP) == new.type.startswith(_GROUP)
        ) or old.type == new.type:
            yield from self.between(path, old.type, new.type)
        else:
            yield self._type(path, old, new)

    def _type(self, path: str, old: _Field, new: _Field) -> Difference:
        said = f"{self._named(path)} is {new.type} instead of {old.type}"
        writer, reader = (old, new) if self.sent else (new, old)
        kinds = [_WHOLE.get(self._whole(each.type)) for each in (writer, reader)]
        written, read = kinds
        if (
            written is not None
            and read is not None
            and (self._alike_in_json(old.type, new.type) if self.json else written[0] == read[0])
        ):
            fits = read[1][0] <= written[1][0] and written[1][1] <= read[1][1]
            if fits:
                return self._of(path, old.type, new.type, Verdict.ADDITIVE, f"{said}: what is written fits")
            return self._of(
                path, old.type, new.type, Verdict.BEHAVIOURAL, f"{said}: values may not fit, and are read as others"
            )
        if not self.json and reader.type == "bytes" and (writer.type == "string" or self._is_message(writer.type)):
            return self._of(path, old.type, new.type, Verdict.ADDITIVE, f"{said}: the same bytes")
        if self.json and {old.type, new.type} == {"float", "double"}:
            verdict = Verdict.ADDITIVE if reader.type == "double" else Verdict.BEHAVIOURAL
            return self._of(path, old.type, new.type, verdict, said)
        return self._of(path, old.type, new.type, Verdict.BREAKING, f"{said}: it cannot be read as that")

    def _alike_in_json(self, old: str, new: str) -> bool:
        return self._json_form(old) == self._json_form(new)

    def _json_form(self, type_: str) -> str:
        if type_ == "bool":
            return type_
        if self.old.enum(type_) or self.new.enum(type_):
            return "name"
        return "text" if type_.endswith("64") else "number"

    def _whole(self, type_: str) -> str:
        return "int32" if self.old.enum(type_) or self.new.enum(type_) else type_

    def _is_message(self, type_: str) -> bool:
        return not type_.startswith(_GROUP) and any(each.message(type_) is not None for each in (self.old, self.new))

    def _repeated(self, path: str, old: _Field, new: _Field, writer: _Field) -> Difference:
        called = self._named(path)
        if self.json:
            reason = f"{called} is {'a list' if new.is_repeated else 'no list'}, in JSON another form"
            return self._of(f"{path}.label", old.json(), new.json(), Verdict.BREAKING, reason, at=path)
        if not writer.is_repeated:
            return self._of(
                f"{path}.label", old.json(), new.json(), Verdict.ADDITIVE, f"{called} is read as a list of one", at=path
            )
        if writer.is_packed:
            reason = f"{called} is written as a packed list, which is not read as one number"
            return self._of(f"{path}.label", old.json(), new.json(), Verdict.BREAKING, reason, at=path)
        reason = f"{called} is written as a list, of which the last is read"
        return self._of(f"{path}.label", old.json(), new.json(), Verdict.BEHAVIOURAL, reason, at=path)

    def _enum(self, path: str, old: _Enum, new: _Enum) -> Iterator[Difference]:
        called = self._named(path)
        moved = [name for name, number in old.values.items() if new.values.get(name, number) != number]
        if moved and not self.json:
            reason = f"{', '.join(moved)} of {called} have other numbers"
            yield self._of(path, dict(old.values), dict(new.values), Verdict.BREAKING, reason)
            return
        was: Mapping[str | int, str | int] = (
            {name: name for name in old.values} if self.json else {n: k for k, n in old.values.items()}
        )
        now: Mapping[str | int, str | int] = (
            {name: name for name in new.values} if self.json else {n: k for k, n in new.values.items()}
        )
        went, came = ([a[each] for each in a if each not in b] for a, b in ((was, now), (now, was)))
        unread = went if self.sent else came
        before, after = dict(old.values), dict(new.values)
        if unread:
            listed_ = ", ".join(map(str, unread[:5]))
            if self.json:
                yield self._of(
                    path, before, after, Verdict.BREAKING, f"{called} may be {listed_}, which is not known there"
                )
            else:
                closed = (new if self.sent else old).is_closed
                what = "is taken for absent" if closed else "is read as a number without a name"
                yield self._of(path, before, after, Verdict.BEHAVIOURAL, f"{called} may be {listed_}, which {what}")
        elif came:
            yield self._of(
                path, before, after, Verdict.ADDITIVE, f"{called} may be {', '.join(map(str, came[:5]))}, too"
            )

    def _oneof(self, path: str, number: int, old: _Message, new: _Message) -> Iterator[Difference]:
        was, now = old.beside(number), new.beside(number)
        joined = {each for each in now - was if each in old.fields and each != number}
        left = {each for each in was - now if each in new.fields and each != number}
        for numbers, message, said in ((joined, new, "at most one is set of"), (left, old, "both may be set of")):
            if numbers and number < min(numbers):
                names = ", ".join(message.fields[each].name for each in sorted({number, *numbers}))
                yield self._of(
                    f"{path}.oneof", [*sorted(was)], [*sorted(now)], Verdict.BEHAVIOURAL, f"{said} {names}", at=path
                )

    def _named(self, path: str) -> str:
        return path.removeprefix(self.attribute).lstrip(".") or f"the {self.attribute}"

    def _of(
        self,
        path: str,
        before: "Json | Mapping[str, int]",
        after: "Json | Mapping[str, int]",
        verdict: Verdict,
        reason: str,
        cures: frozenset[Cure] = frozenset(),
        at: str | None = None,
    ) -> Difference:
        held: list[Json] = [dict(each) if isinstance(each, Mapping) else each for each in (before, after)]
        part = (at or path).removeprefix(self.attribute).lstrip(".")
        return Difference(path, held[0], held[1], verdict, reason, cures, part or None)


def _alike(one: str, other: str) -> bool:
    a, b = (each.casefold().replace("_", "") for each in (one, other))
    return a in b or b in a or difflib.SequenceMatcher(None, a, b).ratio() >= 0.6
