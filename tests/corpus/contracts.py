"""Recorded requests and answers, against the schemas of both versions: JSON Schema and OpenAPI by jsonschema, protocol buffers by
encoding with one version and decoding with the other.
"""

import json
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import yaml
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError, Message

from graph.impact import When
from graph.keys import AssetKey
from tests.corpus.loading import Case, Files, Record
from tests.corpus.outcomes import ConsumerFailed, Outcome, Seen

_FULL, _MINIMAL = "full", "minimal"


def contract(case: Case, given: Record) -> Seen:
    """`given`: {of: the deployment, files: of those that moved, old: new}."""
    about = case.base.execution["contract"][given["of"]]
    moved = given.get("files") or {}
    head = {old: case.head[moved.get(old, old)] for old in case.base.files if moved.get(old, old) in case.head}
    watch: Callable[[Record], Outcome] = (
        partial(_by_protobuf, case.base.files, head, about)
        if "proto" in about
        else partial(_by_schema, case.base.files, head, about)
    )
    return {(AssetKey.parse(key), When.NOW): watch(caller) for key, caller in about["callers"].items()}


# JSON


def _by_schema(base: Files, head: Files, about: Record, caller: Record) -> Outcome:
    request, response = (_schema(head, about[side]) for side in ("request", "response"))
    try:
        _validate(request, caller["sends"])
        list(_readings(response, caller, _FULL))
        if set(caller["sends"]) - _known(request):
            return Outcome.OTHER  # what it sends is let be
    except ConsumerFailed as error:
        return Outcome.FAILS if "default" not in caller or str(error) == "type" else Outcome.OTHER
    was = list(_readings(_schema(base, about["response"]), caller, _MINIMAL))
    try:
        now = list(_readings(response, caller, _MINIMAL))
    except ConsumerFailed:
        return Outcome.OTHER  # sometimes
    return Outcome.SAME if all(each in was for each in now) else Outcome.OTHER


def _schema(files: Files, where: Record) -> Record:
    if "schema" in where:
        return dict(json.loads(files[where["schema"]]))
    document = yaml.safe_load(files[where["openapi"]])
    operation = document["paths"]["/eta"]["post"]
    body = operation["requestBody"] if where["of"] == "request" else operation["responses"]["200"]
    return {**body["content"]["application/json"]["schema"], "components": document["components"]}


def _validate(schema: Record, body: Any) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    try:
        jsonschema.Draft202012Validator(schema).validate(body)
    except jsonschema.ValidationError as error:
        raise ConsumerFailed(error.message) from error


def _resolved(schema: Record, root: Record) -> Record:
    while "$ref" in schema:
        found: Any = root
        for step in schema["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        schema = found
    return schema


def _known(schema: Record) -> set[str]:
    return set(_resolved(schema, schema)["properties"])


def _readings(schema: Record, caller: Record, how: str) -> Iterator[Any]:
    """What the caller makes of answers that the schema allows: all fields, or also as few and as empty as may be."""
    resolved = _resolved(schema, schema)
    for field, kind in caller["reads"].items():
        if field not in resolved["properties"]:
            raise ConsumerFailed(f"no {field}")
        if how == _MINIMAL and field not in resolved.get("required", []):
            raise ConsumerFailed(f"no {field}, sometimes")
        told = _resolved(resolved["properties"][field], schema)
        for value in _samples(told)[: 1 if how == _FULL else None]:
            if value is not None and not isinstance(value, _TYPES[kind]):
                raise ConsumerFailed("type")
            yield field, value


_TYPES: dict[str, Any] = {"number": (int, float), "integer": int, "string": str}
_SAMPLE = {"number": 1.5, "integer": 1, "string": "text", "null": None, "boolean": True}


def _samples(schema: Record) -> list[Any]:
    if "enum" in schema:
        return list(schema["enum"])
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    return [_SAMPLE[kind] for kind in kinds]


# Protocol buffers


def _by_protobuf(base: Files, head: Files, about: Record, caller: Record) -> Outcome:
    old, new = (_messages(files[about["proto"]]) for files in (base, head))
    return max(
        _request(old[about["request"]], new[about["request"]], caller["sends"]),
        _answer(old[about["response"]], new[about["response"]], caller["answer"]),
        key=[Outcome.SAME, Outcome.OTHER, Outcome.FAILS].index,
    )


def _request(old: type[Message], new: type[Message], sends: Record) -> Outcome:
    """The server has moved: it reads its own fields, by whatever names."""
    decoded = _decoded(old(**sends), new)
    if decoded is None:
        return Outcome.FAILS
    by_number = {field.number: field.name for field in new.DESCRIPTOR.fields}
    outcome = Outcome.SAME
    for field in old.DESCRIPTOR.fields:
        if field.number in by_number:
            if _value(decoded, by_number[field.number]) != _value(old(**sends), field.name):
                return Outcome.FAILS
        elif field.name in by_number.values():
            return Outcome.FAILS  # sent under a number that the server no longer looks at
        else:
            outcome = Outcome.OTHER
    return outcome


def _answer(old: type[Message], new: type[Message], answer: Record) -> Outcome:
    """The caller has not moved: it reads its own numbers. The server says what it has said, and its newest enum values."""
    by_number = {field.number: field.name for field in old.DESCRIPTOR.fields}
    said = {}
    outcome = Outcome.SAME
    for field in new.DESCRIPTOR.fields:
        former_name = field.name if field.name in answer else by_number.get(field.number)
        if former_name in answer:
            value = answer[former_name]
            said[field.name] = str(value) if field.type == field.TYPE_STRING and isinstance(value, int) else value
        former = old.DESCRIPTOR.fields_by_name.get(field.name)
        if _enum_numbers(field) - _enum_numbers(former or field):
            outcome = Outcome.OTHER
    decoded = _decoded(new(**said), old)
    if decoded is None or any(_value(decoded, name) != _value(old(**answer), name) for name in answer):
        return Outcome.FAILS
    return outcome


def _enum_numbers(field: Any) -> set[int]:
    return set(field.enum_type.values_by_number) if field.enum_type else set()


def _decoded(message: Message, kind: type[Message]) -> Message | None:
    try:
        return kind.FromString(message.SerializeToString())
    except DecodeError:
        return None


def _value(message: Message, name: str) -> Any:
    value = getattr(message, name)
    return value if isinstance(value, str | bytes | int | float) else list(value)


def _messages(text: str) -> dict[str, type[Message]]:
    """Of a .proto of flat messages and enums."""
    text = re.sub(r"//[^\n]*|reserved [^;]*;", "", text)
    file = descriptor_pb2.FileDescriptorProto(name="corpus.proto", package="corpus", syntax="proto3")
    for kind, name, body in re.findall(r"(message|enum)\s+(\w+)\s*\{([^}]*)\}", text):
        if kind == "enum":
            enum = file.enum_type.add(name=name)
            for value, number in re.findall(r"(\w+)\s*=\s*(\d+)", body):
                enum.value.add(name=f"{name}_{value}", number=int(number))
        else:
            message = file.message_type.add(name=name)
            for label, of, field, number in re.findall(r"(repeated|optional)?\s*\b(\w+)\s+(\w+)\s*=\s*(\d+)", body):
                message.field.add(name=field, number=int(number), **_field(label, of))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        each.name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"corpus.{each.name}"))
        for each in file.message_type
    }


def _field(label: str, of: str) -> dict[str, Any]:
    field = descriptor_pb2.FieldDescriptorProto
    named: dict[str, Any] = {"label": field.LABEL_REPEATED if label == "repeated" else field.LABEL_OPTIONAL}
    if hasattr(field, f"TYPE_{of.upper()}"):
        return {**named, "type": getattr(field, f"TYPE_{of.upper()}")}
    return {**named, "type": field.TYPE_ENUM, "type_name": f".corpus.{of}"}
