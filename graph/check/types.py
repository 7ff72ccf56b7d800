"""What it means to a reader that the type of what it reads differs.

Types are texts as their systems write them. Postgres, DuckDB, BigQuery, Snowflake, Spark, Arrow, numpy, ONNX, Feast and the Open
Inference Protocol spell a few families, and the rules know those alone:

| family    | sizes                     | from a narrower to a wider one                                   |
| --------- | ------------------------- | ---------------------------------------------------------------- |
| integer   | the range of values       | each value is still there: additive                              |
| floating  | 16, 32, 64 bits           | additive                                                         |
| decimal   | digits before and after   | additive, where neither part shrinks                             |
| text      | the longest               | additive                                                         |
| binary    | the longest               | additive                                                         |
| time, timestamp, duration | digits of a second | additive                                                |

Narrowing is behavioural: readers run on, and values may be rounded, cut or refused where they are written. A cast by the
reader cures nothing there. From one family to another is breaking, and a reader that casts is cured:

* *whole, floating and decimal numbers.* `x & 1`, `date + x`, `values[x]`, `range(x)` and casts by position are refused for a floating
  number where they were not for a whole one; a key 42 becomes "42.0" and is found nowhere; model servers refuse a tensor of another
  datatype; in Python a Decimal and a float cannot be added at all.
* *date and timestamp.* `date + 1` and `date - date` are other operations, or none, for timestamps; in Python comparing a date to a
  datetime is an error.
* *timestamps with and without time zone.* In Python comparing one with the other is an error.

Nested types are compared field by field. An unknown name that differs is another type.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from graph.check.verdicts import Cure, Difference, Verdict
from graph.errors import shortened

MOST_NESTED = 50
MOST_TEXT = 20_000


class Family(StrEnum):
    BOOLEAN = "boolean"
    INTEGER = "whole number"
    FLOATING = "floating number"
    DECIMAL = "decimal"
    TEXT = "text"
    BINARY = "binary"
    DATE = "date"
    TIME = "time"
    TIMESTAMP = "timestamp"
    ZONED = "timestamp with time zone"
    DURATION = "duration"
    UUID = "uuid"
    JSON = "json"
    LIST = "list"
    MAP = "map"
    STRUCT = "struct"
    UNKNOWN = "unknown type"


@dataclass(frozen=True)
class Type:
    family: Family
    low: int = 0
    high: int = 0
    """Of whole numbers: the least and the greatest."""
    size: int | None = None
    """Bits of floating numbers, digits of a decimal or of a second, the longest text, the length of a list; None: any, or not said."""
    scale: int | None = None
    """Of decimals: the digits after the point."""
    values: frozenset[str] | None = None
    """Of an enumeration: those it may hold."""
    inner: tuple[tuple[str, "Type"], ...] = ()
    """The fields of a struct; `key` and `value` of a map; `element` of a list."""
    name: str = ""
    """Of an unknown one."""


class Relation(StrEnum):
    SAME = "SAME"
    WIDER = "WIDER"
    NARROWER = "NARROWER"
    OTHER = "OTHER"


def type_differences(attribute: str, before: str, after: str) -> list[Difference]:
    """What a reader of the one finds in the other; none for another spelling of the same."""
    old, new = read_types(before, after)
    if old is None or new is None:
        if _folded(before) == _folded(after):
            return []
        old, new = Type(Family.UNKNOWN, name=_folded(before)), Type(Family.UNKNOWN, name=_folded(after))
    return [*_compared(attribute, old, new, before, after)]


def read_types(*texts: str) -> tuple[Type | None, ...]:
    """Each as a type; None for what is too long or nested too deeply to be one.

    They are read together because `int8` has eight bytes in Postgres and DuckDB, and eight bits in numpy, Arrow and tensors.
    """
    bits = any(_BITS.search(text) for text in texts)
    return tuple(_read(text, bits) for text in texts)


def relation(before: Type, after: Type) -> Relation:
    """Of two that are not nested."""
    if before == after:
        return Relation.SAME
    if before.family is not after.family:
        return Relation.OTHER
    holds = _HOLDS.get(before.family)
    if holds is None:
        return Relation.OTHER
    if holds(after, before):
        return Relation.SAME if holds(before, after) else Relation.WIDER
    return Relation.NARROWER


def _at_least(most: Type, least: Type) -> bool:
    return most.size is None or (least.size is not None and most.size >= least.size)


def _range(most: Type, least: Type) -> bool:
    return most.low <= least.low and most.high >= least.high


def _digits(most: Type, least: Type) -> bool:
    """A decimal without digits holds what its engine decides, so it is at least only itself."""
    if most.size is None or least.size is None:
        return most.size == least.size
    after, before = most.scale or 0, least.scale or 0
    return after >= before and most.size - after >= least.size - before


def _letters(most: Type, least: Type) -> bool:
    if most.values is not None:
        return least.values is not None and most.values >= least.values
    return _at_least(most, least)


_HOLDS: dict[Family, Callable[[Type, Type], bool]] = {
    Family.INTEGER: _range,
    Family.FLOATING: _at_least,
    Family.DECIMAL: _digits,
    Family.TEXT: _letters,
    Family.BINARY: _at_least,
    Family.TIME: _at_least,
    Family.TIMESTAMP: _at_least,
    Family.ZONED: _at_least,
    Family.DURATION: _at_least,
}
_NUMBERS = (Family.INTEGER, Family.FLOATING, Family.DECIMAL)
_NESTED = (Family.LIST, Family.MAP, Family.STRUCT)


def _compared(attribute: str, old: Type, new: Type, before: str, after: str) -> Iterator[Difference]:
    if old.family is new.family and old.family in _NESTED:
        yield from _nested(attribute, old, new, before, after)
        return
    from_to = f"from {shortened(before, 60)} to {shortened(after, 60)}"
    match relation(old, new):
        case Relation.SAME:
            return
        case Relation.WIDER if new.values is not None or (old.values is not None and new.values is None):
            yield Difference(
                attribute,
                before,
                after,
                Verdict.BEHAVIOURAL,
                f"its type goes {from_to}: values may come that never came",
            )
        case Relation.WIDER:
            yield Difference(
                attribute, before, after, Verdict.ADDITIVE, f"its type widens {from_to}, which holds all it held"
            )
        case Relation.NARROWER if old.family in _NUMBERS:
            reason = f"its type narrows {from_to}: readers that hold a schema refuse it, and values may no longer fit"
            yield Difference(attribute, before, after, Verdict.BREAKING, reason, frozenset({Cure.CAST}))
        case Relation.NARROWER:
            reason = f"its type narrows {from_to}: values may no longer fit"
            yield Difference(attribute, before, after, Verdict.BEHAVIOURAL, reason)
        case Relation.OTHER:
            said = "" if Family.UNKNOWN in (old.family, new.family) else f": a {new.family} where a {old.family} was"
            yield Difference(
                attribute, before, after, Verdict.BREAKING, f"its type changes {from_to}{said}", frozenset({Cure.CAST})
            )


def _nested(attribute: str, old: Type, new: Type, before: str, after: str) -> Iterator[Difference]:
    if old.family is Family.LIST and old.size != new.size:
        if old.size is not None and new.size is not None:
            reason = f"its lists have {new.size} elements where they had {old.size}"
            yield Difference(attribute, before, after, Verdict.BREAKING, reason)
        else:
            reason = (
                "its lists may have any length" if new.size is None else f"its lists have {new.size} elements, always"
            )
            yield Difference(attribute, before, after, Verdict.BEHAVIOURAL, reason)
    was, now = dict(old.inner), dict(new.inner)
    for name, held in was.items():
        inner = attribute if old.family is Family.LIST else f"{attribute}.{name}"
        if name in now:
            yield from _compared(inner, held, now[name], _shown(held), _shown(now[name]))
        else:
            yield Difference(
                inner, before, after, Verdict.BREAKING, f"its field {name} is gone", frozenset({Cure.DEFAULT}), name
            )
    for name in sorted(now.keys() - was.keys()):
        yield Difference(
            f"{attribute}.{name}", before, after, Verdict.ADDITIVE, f"it has a field {name} besides", part=name
        )


def _shown(type_: Type) -> str:
    match type_:
        case Type(family=Family.UNKNOWN):
            return type_.name
        case Type(family=Family.INTEGER):
            signed = "" if type_.low else "unsigned "
            return f"{signed}{type_.high.bit_length() + (1 if type_.low else 0)}-bit whole number"
        case Type(family=Family.FLOATING):
            return f"{type_.size}-bit floating number"
        case Type(family=Family.DECIMAL) if type_.size is not None:
            return f"decimal({type_.size},{type_.scale or 0})"
        case Type(size=int()):
            return f"{type_.family}({type_.size})"
        case _:
            return str(type_.family)


# Reading


def _integer(bits: int, signed: bool = True) -> Type:
    return (
        Type(Family.INTEGER, -(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
        if signed
        else Type(Family.INTEGER, 0, 2**bits - 1)
    )


def _table() -> dict[str, Type]:
    of: dict[Type, str] = {
        Type(Family.BOOLEAN): "bool boolean logical bool_ boolean_",
        _integer(8): "tinyint byte int1 i8",
        _integer(16): "smallint short int2 int16 i16 smallserial",
        _integer(24): "mediumint",
        _integer(32): "int integer int4 int32 i32 serial signed",
        _integer(64): "bigint long int64 i64 bigserial long_ longlong",
        _integer(128): "hugeint int128",
        _integer(256): "int256",
        _integer(8, signed=False): "utinyint ubyte uint8 u8",
        _integer(16, signed=False): "usmallint ushort uint16 u16",
        _integer(32, signed=False): "uint uinteger uint32 u32",
        _integer(64, signed=False): "ubigint ulong uint64 u64",
        _integer(128, signed=False): "uhugeint uint128",
        _integer(256, signed=False): "uint256",
        Type(Family.FLOATING, size=16): "half halffloat float16 fp16 f16",
        Type(Family.FLOATING, size=32): "float real float4 float32 fp32 f32 single",
        Type(Family.FLOATING, size=64): "double float8 float64 fp64 f64 double_precision",
        Type(Family.DECIMAL): "decimal numeric number dec decimal32 decimal64 decimal128 decimal256 bignumeric bigdecimal",
        Type(Family.TEXT): "varchar text string str utf8 char nvarchar nchar character bpchar large_string large_utf8 string_view"
        " utf8_view varchar2 nvarchar2 character_varying char_varying name clob longtext mediumtext tinytext citext"
        " unicode dictionary fixedstring",
        Type(Family.BINARY): "binary varbinary bytes bytea blob large_binary binary_view fixed_size_binary image_bytes pdf_bytes",
        Type(Family.DATE): "date date32 date64",
        Type(Family.TIME): "time time32 time64 time_without_time_zone time_ntz",
        Type(Family.TIMESTAMP): "timestamp datetime timestamp_ntz timestamp_without_time_zone datetime64 datetime2 timestampntz"
        " timestamp_s timestamp_ms timestamp_us timestamp_ns unix_timestamp unixtimestamp smalldatetime",
        Type(Family.ZONED): "timestamptz timestamp_tz timestamp_with_time_zone timestamp_ltz timestampltz datetimeoffset"
        " timestamp_with_local_time_zone",
        Type(Family.DURATION): "interval duration timedelta timedelta64",
        Type(Family.UUID): "uuid guid uniqueidentifier",
        Type(Family.JSON): "json jsonb variant super",
    }  # fmt: skip
    return {name: type_ for type_, names in of.items() for name in names.split()}


_NAMES = _table() | {"bf16": Type(Family.UNKNOWN, name="bfloat16"), "bfloat16": Type(Family.UNKNOWN, name="bfloat16")}
_UNITS = {"s": 0, "ms": 3, "us": 6, "ns": 9, "sec": 0}
_DEFAULT_DIGITS = 6
"""Of a second, where a type does not say: Postgres, DuckDB, BigQuery and Spark keep microseconds."""
_BITS = re.compile(r"\bu?int(16|32|64)\b|\buint8\b|\bfp(16|32|64)\b|\btensor\(", re.IGNORECASE)
_TOKENS = re.compile(
    r"""\s*(?:'((?:[^']|'')*)'|"((?:[^"]|"")*)"|`([^`]*)`|(-?\d+(?:\.\d+)?)(?!\w)|([\w.]+)|([<>()\[\],:=?!|+-]))"""
)
_CLOSING = {"<": ">", "(": ")", "[": "]"}
_LISTS = {"array", "list", "large_list", "fixed_size_list", "list_view", "set", "seq", "sequence"}
_TRANSPARENT = {"tensor", "lowcardinality", "nullable", "optional", "sparse_tensor"}
_STRUCTS = {"struct", "record", "row", "object", "tuple"}
_MAPS = {"map"}
_FEAST = re.compile(r"(\w+?)_(list|set)\Z")


class _NoType(Exception):
    pass


def _read(text: str, bits: bool) -> Type | None:
    if len(text) > MOST_TEXT:
        return None
    try:
        reading = _Reading(text, bits)
        found = reading.type(0)
        if reading.here is not None:
            raise _NoType
    except _NoType:
        return Type(Family.UNKNOWN, name=_folded(text))
    return found


def _folded(text: str) -> str:
    return re.sub(r"\s*([^\w\s])\s*", r"\1", " ".join(text.casefold().split()))


class _Reading:
    """Of one text, from left to right."""

    def __init__(self, text: str, bits: bool) -> None:
        self._tokens: list[tuple[str, str]] = []
        self._bits = bits
        at = 0
        text = text.strip()
        while at < len(text):
            found = _TOKENS.match(text, at)
            if found is None:
                raise _NoType
            at = found.end()
            text_, quoted, ticked, number, word, mark = found.groups()
            if text_ is not None:
                self._tokens.append(("text", text_))
            elif quoted is not None or ticked is not None:
                self._tokens.append(("name", quoted if quoted is not None else ticked))
            elif number is not None:
                self._tokens.append(("number", number))
            elif word is not None:
                self._tokens.append(("word", word))
            else:
                self._tokens.append(("mark", mark))
        self._at = 0

    @property
    def here(self) -> tuple[str, str] | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def _take(self, mark: str) -> bool:
        if self.here == ("mark", mark):
            self._at += 1
            return True
        return False

    def _words(self) -> str:
        words = []
        while self.here is not None and self.here[0] == "word":
            words.append(self.here[1].casefold())
            self._at += 1
        return "_".join(words)

    def type(self, depth: int) -> Type:
        if depth > MOST_NESTED:
            raise _NoType
        name = self._words()
        if not name:
            raise _NoType
        found = self._named(name, depth)
        while self._take("["):
            size = self._number()
            if not self._take("]"):
                raise _NoType
            found = Type(Family.LIST, size=size, inner=(("element", found),))
        return found

    def _number(self) -> int | None:
        if self.here is not None and self.here[0] == "number" and self.here[1].lstrip("-").isdigit():
            self._at += 1
            return int(self._tokens[self._at - 1][1])
        return None

    def _named(self, name: str, depth: int) -> Type:
        opening = next((mark for mark in _CLOSING if self.here == ("mark", mark)), None)
        if opening == "[" and (name in _NAMES or name == "int8") and not self._is_unit():
            opening = None
        if opening is None:
            return self._plain(name, [])
        if name in _LISTS:
            return self._list(opening, depth)
        if name in _STRUCTS:
            return self._struct(opening, depth)
        if name in _MAPS or name in _TRANSPARENT:
            self._at += 1
            inner = [self._field(number, depth) for number in self._items(opening)]
            if name in _TRANSPARENT and len(inner) == 1:
                return inner[0][1]
            if len(inner) == 2:
                return Type(Family.MAP, inner=(("key", inner[0][1]), ("value", inner[1][1])))
            raise _NoType
        self._at += 1
        arguments = [self._argument() for _ in self._items(opening)]
        rest = self._words()
        return self._plain(f"{name}_{rest}" if rest else name, arguments)

    def _is_unit(self) -> bool:
        following = self._tokens[self._at + 1] if self._at + 1 < len(self._tokens) else None
        return following is not None and following[0] == "word"

    def _items(self, opening: str) -> Iterator[int]:
        """The number of each of what stands before the closing mark; the caller reads it."""
        if self._take(_CLOSING[opening]):
            return
        number = 0
        while True:
            yield number
            number += 1
            if self._take(_CLOSING[opening]):
                return
            if not self._take(","):
                raise _NoType

    def _argument(self) -> str:
        said: list[str] = []
        while self.here is not None and not (
            self.here[0] == "mark" and (self.here[1] == "," or self.here[1] in _CLOSING.values())
        ):
            said.append(self.here[1])
            self._at += 1
        return "".join(said)

    def _field(self, number: int, depth: int) -> tuple[str, Type]:
        """`name type`, `name: type`, or a type alone, whose name is its number."""
        if self.here is None:
            raise _NoType
        kind, name = self.here
        following = self._tokens[self._at + 1] if self._at + 1 < len(self._tokens) else None
        named = kind in ("word", "name") and following is not None
        if named and following == ("mark", ":"):
            self._at += 2
        elif (
            named
            and following is not None
            and following[0] == "word"
            and f"{name}_{following[1]}".casefold() not in _NAMES
        ):
            self._at += 1
        else:
            name = str(number)
        found = self.type(depth + 1)
        return name.casefold(), found

    def _list(self, opening: str, depth: int) -> Type:
        self._at += 1
        inner = [self._field(number, depth) for number in self._items(opening)]
        if len(inner) != 1:
            raise _NoType
        size = None
        if opening == "<" and self._take("["):
            size = self._number()
            if not self._take("]"):
                raise _NoType
        return Type(Family.LIST, size=size, inner=(("element", inner[0][1]),))

    def _struct(self, opening: str, depth: int) -> Type:
        self._at += 1
        fields = tuple(
            sorted((self._field(number, depth) for number in self._items(opening)), key=lambda each: each[0])
        )
        return Type(Family.STRUCT, inner=fields)

    def _plain(self, name: str, arguments: list[str]) -> Type:
        name = name.removeprefix("valuetype.")
        if name == "int8":
            return _integer(8 if self._bits else 64)
        if name in ("enum", "enum8", "enum16") and arguments:
            return Type(Family.TEXT, values=frozenset(arguments))
        if list_ := _FEAST.match(name):
            return Type(Family.LIST, inner=(("element", self._plain(list_[1], [])),))
        if name.endswith("_unsigned"):
            signed = self._plain(name.removesuffix("_unsigned"), [])
            if signed.family is Family.INTEGER:
                return replace(signed, low=0, high=signed.high * 2 + 1)
        known = _NAMES.get(name)
        if known is None:
            return Type(Family.UNKNOWN, name=f"{name}({','.join(arguments)})" if arguments else name)
        return _sized(known, name, arguments)


def _sized(known: Type, name: str, arguments: list[str]) -> Type:
    numbers = [int(each) for each in arguments if re.fullmatch(r"-?\d{1,9}", each)]
    match known.family:
        case Family.DECIMAL if name == "bignumeric" and not numbers:
            return replace(known, size=76, scale=38)
        case Family.DECIMAL if numbers:
            return replace(known, size=numbers[0], scale=numbers[1] if len(numbers) > 1 else 0)
        case Family.TEXT | Family.BINARY if numbers and name != "dictionary":
            return replace(known, size=numbers[0])
        case Family.FLOATING if name == "float" and numbers:
            return replace(known, size=32 if numbers[0] <= 24 else 64)
        case Family.TIMESTAMP | Family.TIME | Family.ZONED | Family.DURATION:
            digits = _UNITS.get(name.rpartition("_")[2]) if known.family is Family.TIMESTAMP else None
            digits = numbers[0] if numbers else digits
            for each in arguments:
                digits = _UNITS.get(each.casefold(), digits)
            # As Arrow writes it, and as pandas does: timestamp[us, tz=UTC], datetime64[ns, UTC].
            zoned = any(each.casefold().startswith("tz=") for each in arguments) or len(arguments) > 1
            family = Family.ZONED if zoned else known.family
            return replace(known, family=family, size=_DEFAULT_DIGITS if digits is None else digits)
        case _:
            return known
