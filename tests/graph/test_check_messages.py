"""What is judged of messages of protocol buffers, against the encoder and decoder of protocol buffers itself."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError, Message
from hypothesis import given, settings
from hypothesis import strategies as st

from graph.check.schemas import request_differences, response_differences
from graph.check.verdicts import Cure, Verdict
from graph.model import Json

Document = dict[str, Any]
HARMLESS = {Verdict.ADDITIVE, Verdict.NONE}
FIELD = descriptor_pb2.FieldDescriptorProto
NUMBERS = ("int32", "int64", "uint32", "uint64", "sint32", "sint64", "fixed32", "sfixed32", "fixed64", "sfixed64")
SCALARS = (*NUMBERS, "bool", "float", "double", "string", "bytes")


def field(number: int, name: str, type_: str, label: str | None = None, **more: Json) -> Document:
    return {"number": number, "name": name, "type": type_, **({"label": label} if label else {}), **more}


def message(*fields: Document, encoding: str | None = None, **others: list[Document]) -> Document:
    enums: Document = {"E": {"values": {"A": 0, "B": 1}, "closed": False}}
    messages = {"M": {"fields": [*fields]}, **{name: {"fields": each} for name, each in others.items()}}
    made: Document = {"protobuf": {"message": "M", "messages": messages, "enums": enums}}
    return {**made, "encoding": encoding} if encoding else made


def compiled(said: Document) -> type[Message]:
    """The message as a class of the real library."""
    file = descriptor_pb2.FileDescriptorProto(name="m.proto", syntax="proto3")
    for name, each in said["protobuf"]["messages"].items():
        made = file.message_type.add(name=name)
        for one in each["fields"]:
            added = made.field.add(name=one["name"], number=one["number"])
            added.label = FIELD.LABEL_REPEATED if one.get("label") == "repeated" else FIELD.LABEL_OPTIONAL
            if one["type"] in SCALARS:
                added.type = getattr(FIELD, f"TYPE_{one['type'].upper()}")
                if one.get("label") == "repeated" and one["type"] not in ("string", "bytes"):
                    added.options.packed = one.get("packed", True)
            elif one["type"] in said["protobuf"]["enums"]:
                added.type, added.type_name = FIELD.TYPE_ENUM, f".{one['type']}"
            else:
                added.type, added.type_name = FIELD.TYPE_MESSAGE, f".{one['type']}"
    for name, each in said["protobuf"]["enums"].items():
        enum = file.enum_type.add(name=name)
        for value, number in each["values"].items():
            enum.value.add(name=value, number=number)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    found: type[Message] = message_factory.GetMessageClass(pool.FindMessageTypeByName("M"))
    return found


def values(type_: str) -> st.SearchStrategy[Any]:
    if type_ in NUMBERS:
        bits = 32 if type_.endswith("32") else 64
        low, high = (0, 2**bits - 1) if type_[0] in "uf" else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
        return st.one_of(st.integers(max(low, -3), 3), st.sampled_from([low, high]))
    return {
        "bool": st.booleans(),
        "float": st.floats(width=32, allow_nan=False),
        "double": st.floats(allow_nan=False),
        "string": st.text(max_size=5),
        "bytes": st.binary(max_size=5),
        "E": st.integers(0, 1),
    }[type_]


@st.composite
def versions(draw: st.DrawFn) -> tuple[Document, Document]:
    types = st.sampled_from([*SCALARS, "E", "N"])
    labels = st.sampled_from([None, None, "repeated"])
    packed = st.booleans()

    def some(numbers: range) -> list[Document]:
        return [
            field(number, f"f{number}", draw(types if numbers.start == 1 else st.sampled_from(SCALARS)), draw(labels), packed=draw(packed))
            for number in numbers
        ]  # fmt: skip

    before = message(*some(range(1, 4)), N=some(range(2, 4)))
    after = copy.deepcopy(before)
    changed = after["protobuf"]["messages"][draw(st.sampled_from(["M", "N"]))]["fields"]
    for _ in range(draw(st.integers(1, 2))):
        place = draw(st.integers(0, len(changed) - 1))
        match draw(st.integers(0, 4)):
            case 0:
                changed[place]["type"] = draw(st.sampled_from(SCALARS))
            case 1:
                changed[place]["label"] = draw(labels)
            case 2:
                changed[place]["packed"] = draw(packed)
            case 3:
                changed[place]["name"] = f"{changed[place]['name']}_new"
            case _:
                changed[place]["number"] = draw(st.integers(7, 9)) + 10 * place
    return before, after


def filled(draw: Callable[[st.SearchStrategy[Any]], Any], said: Document, name: str, to: Any) -> None:
    for each in said["protobuf"]["messages"][name]["fields"]:
        count = draw(st.integers(0, 2)) if each.get("label") == "repeated" else 1
        for _ in range(count):
            if each["type"] == "N":
                target = getattr(to, each["name"])
                filled(draw, said, "N", target.add() if each.get("label") == "repeated" else target)
            elif each.get("label") == "repeated":
                getattr(to, each["name"]).append(draw(values(each["type"])))
            else:
                setattr(to, each["name"], draw(values(each["type"])))


def read_alike(written: Any, read: Any, writer: Document, reader: Document, name: str) -> None:
    """What both know is read as it was written."""
    known = {each["number"]: each for each in reader["protobuf"]["messages"][name]["fields"]}
    for each in writer["protobuf"]["messages"][name]["fields"]:
        if each["number"] in known:
            other = known[each["number"]]
            was, now = getattr(written, each["name"]), getattr(read, other["name"])
            lists = [
                value if said.get("label") == "repeated" else [value] for value, said in ((was, each), (now, other))
            ]
            assert len(lists[0]) == len(lists[1]) or (not was and not now)
            for one, two in zip(*lists, strict=False):
                if each["type"] == "N" and other["type"] == "N":
                    read_alike(one, two, writer, reader, "N")
                elif other["type"] == "bytes" and each["type"] != "bytes":
                    raw = one.encode() if each["type"] == "string" else one.SerializeToString()
                    assert two == raw
                else:
                    assert one == two


@settings(max_examples=300, deadline=None)
@given(versions(), st.data())
def test_what_is_judged_harmless_is_read_as_it_was_written(pair: tuple[Any, Any], data: st.DataObject) -> None:
    before, after = pair
    for judged, writer, reader in ((request_differences, before, after), (response_differences, after, before)):
        differences = judged(before, after)
        if {each.verdict for each in differences} <= HARMLESS:
            written = compiled(writer)()
            filled(data.draw, writer, "M", written)
            read = compiled(reader)()
            try:
                read.ParseFromString(written.SerializeToString())
            except DecodeError:
                pytest.fail(f"{judged.__name__}: {differences}")
            read_alike(written, read, writer, reader, "M")


INT, TEXT = field(1, "a", "int32"), field(2, "b", "string")


@pytest.mark.parametrize(
    ("before", "after", "request_", "response"),
    [
        (message(INT, TEXT), message(INT), Verdict.BEHAVIOURAL, Verdict.BREAKING),
        (message(INT), message(INT, TEXT), Verdict.ADDITIVE, Verdict.ADDITIVE),
        (message(INT), message(field(1, "a", "int64")), Verdict.ADDITIVE, Verdict.BEHAVIOURAL),
        (message(INT), message(field(1, "a", "sint32")), Verdict.BREAKING, Verdict.BREAKING),
        (message(INT), message(field(1, "amount", "int32")), Verdict.NONE, Verdict.NONE),
        (message(TEXT), message(field(2, "channel", "string")), Verdict.UNKNOWN, Verdict.UNKNOWN),
        (message(INT), message(field(3, "a", "int32")), Verdict.BREAKING, Verdict.BREAKING),
        (message(INT, TEXT), message(field(2, "a", "int32"), field(1, "b", "string")), Verdict.BREAKING, Verdict.BREAKING),
        (message(INT), message(field(1, "a", "int32", "required")), Verdict.BREAKING, Verdict.ADDITIVE),
        (message(field(1, "a", "int32", "required")), message(INT), Verdict.ADDITIVE, Verdict.BREAKING),
        (message(INT), message(field(1, "a", "int32", default=3)), Verdict.BEHAVIOURAL, Verdict.BEHAVIOURAL),
        (message(INT, TEXT), message({**INT, "oneof": "x"}, {**TEXT, "oneof": "x"}), Verdict.BEHAVIOURAL, Verdict.BEHAVIOURAL),
        (message(INT), message({**INT, "oneof": "x"}), None, None),
        (message(field(1, "m", "map<string,int32>")), message(field(1, "m", "map<string,string>")), Verdict.BREAKING, Verdict.BREAKING),
        (message(field(1, "n", "N"), N=[INT]), message(field(1, "n", "N"), N=[INT, TEXT]), Verdict.ADDITIVE, Verdict.ADDITIVE),
        (message(INT, encoding="json"), message(field(1, "amount", "int32"), encoding="json"), Verdict.BREAKING, Verdict.BREAKING),
        (message(INT, encoding="json"), message(field(9, "a", "int32"), encoding="json"), None, None),
        (message(INT, encoding="json"), message(field(1, "a", "int64"), encoding="json"), Verdict.BREAKING, Verdict.BREAKING),
    ],
)  # fmt: skip
def test_what_a_message_that_differs_means(
    before: Document, after: Document, request_: Verdict | None, response: Verdict | None
) -> None:
    worst = [
        min((each.verdict for each in judged(before, after)), key=[*Verdict].index, default=None)
        for judged in (request_differences, response_differences)
    ]
    assert worst == [request_, response]


def test_a_field_that_is_gone_is_cured_by_a_default() -> None:
    (found,) = response_differences(message(INT, TEXT), message(INT))
    assert (found.attribute, found.part, found.cures) == ("response.b", "b", frozenset({Cure.DEFAULT}))
