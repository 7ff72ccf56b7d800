"""Files in which services say what they take and give: what is read of them, and what is refused."""

import json
from typing import Any

import pytest
from google.protobuf import descriptor_pb2

from graph.errors import InvalidInput
from graph.importers.contracts import openapi_of, request_or_response, signature_of
from graph.importers.protobuf import protobuf_of
from graph.model import Json

COMMON: Json = {
    "definitions": {"Item": {"title": "An item", "properties": {"price": {"type": "number"}, "next": {"$ref": "#/definitions/Item"}}}}
}  # fmt: skip


def test_references_lead_within_what_is_read_also_where_they_come_back() -> None:
    schema = "type: object\ntitle: one\nproperties:\n  title: {$ref: '../common.json#/definitions/Item'}\n"
    assert request_or_response(schema, "schemas/a/request.yaml", {}, {"schemas/common.json": COMMON}) == {
        "json_schema": {
            "type": "object",
            "properties": {"title": {"$ref": "#/$defs/Item"}},
            "$defs": {"Item": {"properties": {"price": {"type": "number"}, "next": {"$ref": "#/$defs/Item"}}}},
        }
    }


API = """
openapi: 3.1.0
paths:
  /score/{id}:
    parameters: [{name: id, in: path, required: true, schema: {type: string}}]
    get: {responses: {200: {description: nothing}}}
    post:
      parameters: [{$ref: '#/components/parameters/Limit'}]
      requestBody: {required: true, content: {application/json: {schema: {$ref: '#/components/schemas/Question'}}}}
      responses:
        201: {content: {application/json: {schema: {type: object, properties: {score: {type: number, example: 2026-01-01}}}}}}
        default: {content: {application/json: {schema: {type: string}}}}
components:
  parameters: {Limit: {name: limit, in: query, schema: {type: integer}}}
  schemas: {Question: {type: object, required: [a], properties: {a: {type: integer, description: x}}}}
"""
SWAGGER: Json = {
    "swagger": "2.0",
    "paths": {
        "/score": {
            "post": {
                "parameters": [{"in": "body", "name": "b", "required": True, "schema": {"$ref": "#/definitions/Q"}}],
                "responses": {"200": {"schema": {"type": "number"}}},
            }
        }
    },
    "definitions": {"Q": {"type": "string"}},
}


def test_an_operation_says_what_it_takes_and_answers() -> None:
    request, response = openapi_of(API, "api.yaml", {"path": "/score/{id}"})
    assert request == {
        "json_schema": {
            "type": "object",
            "required": ["a", "{id}"],
            "properties": {"a": {"type": "integer"}, "{id}": {"type": "string"}, "?limit": {"type": "integer"}},
        }
    }
    assert response == {"json_schema": {"type": "object", "properties": {"score": {"type": "number"}}}}
    request, response = openapi_of(SWAGGER, "api.json", {})
    assert request == {"json_schema": {"$ref": "#/$defs/Q", "$defs": {"Q": {"type": "string"}}}}
    assert response == {"json_schema": {"type": "number"}}


def test_a_model_of_mlflow_says_what_it_takes_and_gives() -> None:
    inputs = [
        {"type": "double", "name": "amount", "required": True},
        {"type": "array", "items": {"type": "long"}, "name": "ids", "required": False},
    ]
    outputs = [{"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1, 2]}}]
    params = [{"name": "threshold", "type": "double", "default": 0.5, "shape": None}]
    model: Json = {
        "signature": {"inputs": json.dumps(inputs), "outputs": json.dumps(outputs), "params": json.dumps(params)}
    }
    assert signature_of(model, "MLmodel") == {
        "inputs": [
            {"name": "amount", "type": "double"},
            {"name": "ids", "type": "array<long>", "optional": True},
            {"name": "threshold", "type": "double", "optional": True, "default": 0.5},
        ],
        "outputs": [{"name": "output", "type": "float64", "shape": [-1, 2]}],
    }


PROTO = """syntax = "proto3"; package risk.v1;
import "shared/item.proto";
message ScoreRequest {
  enum Channel { WEB = 0; APP = 1; }
  message Inner { int32 z = 1; }
  double amount = 1 /* in // euros */; repeated int32 ids = 2 [/* as before */ packed = false]; Inner inner = 3; Channel channel = 4;
  map<string, Inner> by_name = 5; oneof who { string name = 6; int64 number = 7; } shared.Item item = 8;
  repeated Channel channels = 9; reserved 10, 12 to 20;
}
message Unused { string a = 1; }
"""
ITEM = 'syntax = "proto2"; package shared; message Item { required int32 a = 1 [default = -3]; }'


def test_a_message_is_read_with_all_that_it_needs() -> None:
    found = protobuf_of(PROTO, "proto/risk.proto", "ScoreRequest", {"proto/shared/item.proto": ITEM})
    messages: Any = found["messages"]
    fields = {each["name"]: each for each in messages["risk.v1.ScoreRequest"]["fields"]}
    assert found["message"] == "risk.v1.ScoreRequest"
    assert sorted(messages) == ["risk.v1.ScoreRequest", "risk.v1.ScoreRequest.Inner", "shared.Item"]
    assert found["enums"] == {"risk.v1.ScoreRequest.Channel": {"values": {"WEB": 0, "APP": 1}, "closed": False}}
    assert fields["ids"] == {"number": 2, "name": "ids", "type": "int32", "label": "repeated", "packed": False}
    assert fields["channels"]["packed"] is True
    assert fields["by_name"]["type"] == "map<string,risk.v1.ScoreRequest.Inner>"
    assert fields["number"]["oneof"] == "who"
    assert messages["shared.Item"]["fields"] == [
        {"number": 1, "name": "a", "type": "int32", "label": "required", "default": -3}
    ]


def test_the_numbers_and_types_of_every_scalar_are_those_of_protocol_buffers() -> None:
    names = [each.removeprefix("TYPE_").lower() for each, _ in descriptor_pb2.FieldDescriptorProto.Type.items()]
    scalars = [each for each in names if each not in ("group", "message", "enum")]
    text = (
        'syntax = "proto3"; message M {' + "".join(f"{each} f{at} = {at};" for at, each in enumerate(scalars, 1)) + "}"
    )
    messages: Any = protobuf_of(text, "m.proto", None, {})["messages"]
    assert [each["type"] for each in messages["M"]["fields"]] == scalars


NESTED = "[" * 100_000
BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefg", "bcdefgh", strict=True)
)


@pytest.mark.parametrize(
    ("path", "content", "said"),
    [
        ("a.json", '{\n "a": }', "a.json:2:7: it is no JSON"),
        ("a.yaml", "a: [", "a.yaml:2:1: it is no YAML"),
        ("a.yaml", BOMB, "more than 100,000 values"),
        ("a.yaml", "a: &a [*a]", "nested deeper"),
        ("a.yaml", NESTED, "nested too deeply"),
        ("a.json", NESTED, "nested too deeply"),
        ("a.yaml", "!!python/object/apply:os.system [ls]", "a.yaml:1:1"),
        ("a.json", '"text"', "is no JSON Schema"),
        ("a.json", '{"$ref": "b.json"}', "'b.json' refers to b.json, which is not among the files"),
        (
            "a.json",
            '{"$ref": "#/definitions/Itm", "definitions": {"Item": {}}}',
            "has no 'Itm' there; did you mean Item?",
        ),
        ("a.proto", "message {", "a.proto:1:9: it cannot be read"),
        ("a.proto", "message A {" * 60, "nested deeper"),
        ("a.proto", "message A { B b = 1; }", "nothing tells of its type 'B'"),
        ("a.proto", "message A { optional int32 a = 1; optional int32 b = 1; }", "its number 1 is that of a"),
        ("a.proto", "message A {} message B {}", "say which message is meant: it has A, B"),
    ],
    ids=range(15),
)
def test_what_cannot_be_read_is_named_with_its_file_and_place(path: str, content: str, said: str) -> None:
    with pytest.raises(InvalidInput) as error:
        request_or_response(content, path, {})
    assert said in str(error.value)
    assert str(error.value).startswith(path)


def test_an_operation_that_is_not_there_is_answered_with_those_that_are() -> None:
    with pytest.raises(InvalidInput, match=r"api.yaml: paths: it has no '/scores'; .*post /score/{id}"):
        openapi_of(API, "api.yaml", {"path": "/scores"})
