"""What is judged of the forms of requests and responses, against validators of JSON Schema."""

import copy
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema.validators import Draft202012Validator

from graph.check.schemas import request_differences, response_differences
from graph.check.verdicts import Cure, Difference, Verdict

Document = dict[str, Any]
HARMLESS = {Verdict.ADDITIVE, Verdict.NONE}
NAMES = ("a", "b", "c")
B, U, H, A = Verdict.BREAKING, Verdict.UNKNOWN, Verdict.BEHAVIOURAL, Verdict.ADDITIVE


# What is judged harmless, is


@st.composite
def scalars(draw: st.DrawFn) -> Document:
    kind = draw(st.sampled_from(["integer", "number", "string", "boolean", "null", "enum", "const", "either"]))
    schema: Document = {"type": kind}
    match kind:
        case "integer" | "number":
            for name in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"):
                if draw(st.integers(0, 3)) == 0:
                    schema[name] = draw(st.integers(-2, 3))
            if draw(st.integers(0, 3)) == 0:
                schema["multipleOf"] = draw(st.sampled_from([1, 2, 4]))
        case "string":
            for name in ("minLength", "maxLength"):
                if draw(st.booleans()):
                    schema[name] = draw(st.integers(0, 3))
            if draw(st.integers(0, 4)) == 0:
                schema["pattern"] = draw(st.sampled_from(["^x", "y$"]))
        case "enum":
            schema = {
                "enum": draw(st.lists(st.sampled_from([1, 2, "x", "xy", None, True, 1.5]), min_size=1, max_size=3))
            }
        case "const":
            schema = {"const": draw(st.sampled_from([1, "x", "xy"]))}
        case "either":
            schema = {"type": draw(st.lists(st.sampled_from(["integer", "number", "string", "null"]), min_size=1, max_size=2, unique=True))}  # fmt: skip
    return schema


def schemas(depth: int = 2) -> st.SearchStrategy[Document]:
    if depth == 0:
        return scalars()
    inner = schemas(depth - 1)
    objects = st.fixed_dictionaries(
        {"type": st.just("object"), "properties": st.dictionaries(st.sampled_from(NAMES), inner, max_size=3)},
        optional={
            "required": st.lists(st.sampled_from(NAMES), max_size=2, unique=True),
            "additionalProperties": st.one_of(st.booleans(), scalars()),
            "minProperties": st.integers(0, 2),
            "unevaluatedProperties": st.just(False),
        },
    )
    lists = st.fixed_dictionaries(
        {"type": st.just("array"), "items": inner},
        optional={"minItems": st.integers(0, 2), "maxItems": st.integers(1, 3), "uniqueItems": st.booleans(),
                  "prefixItems": st.lists(inner, min_size=1, max_size=2)},
    )  # fmt: skip
    unions = st.builds(
        lambda kind, some: {kind: some},
        st.sampled_from(["anyOf", "oneOf", "allOf"]),
        st.lists(inner, min_size=1, max_size=2),
    )
    named = st.builds(lambda each: {"$ref": "#/$defs/one", "_": each}, inner)
    return st.one_of(scalars(), objects, objects, lists, unions, named)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Document, Document]:
    """Two versions, mostly alike."""
    before = draw(schemas())
    after = draw(schemas()) if draw(st.integers(0, 9)) == 0 else changed(draw, copy.deepcopy(before))
    definitions = draw(st.lists(scalars(), min_size=2, max_size=2))
    return tuple(  # type: ignore[return-value]
        {**each, "$defs": {"one": definitions[place if draw(st.booleans()) else 0]}}
        for place, each in enumerate((before, after))
    )


def changed(draw: st.DrawFn, schema: Document) -> Document:
    """With something else somewhere."""
    places = inner_schemas(schema)
    place = draw(st.sampled_from(places))
    match draw(st.integers(0, 5)):
        case 0:
            place.pop(draw(st.sampled_from(sorted(place.keys() - {"type"}) or ["none"])), None)
        case 1 if "properties" in place:
            place["properties"][draw(st.sampled_from(NAMES))] = draw(scalars())
        case 2 if "properties" in place:
            place["required"] = draw(st.lists(st.sampled_from(NAMES), max_size=2, unique=True))
        case 3 if place.get("type") in ("integer", "number"):
            place[draw(st.sampled_from(["minimum", "maximum"]))] = draw(st.integers(-3, 4))
        case 4 if "enum" in place:
            place["enum"] = draw(st.lists(st.sampled_from([1, 2, "x", "xy", None]), min_size=1, max_size=4))
        case _:
            replacement = draw(scalars())
            place.clear()
            place.update(replacement)
    return schema


def inner_schemas(schema: Any) -> list[Document]:
    if not isinstance(schema, dict):
        return []
    found = [schema]
    for value in schema.get("properties", {}).values():
        found += inner_schemas(value)
    for name in ("items", "additionalProperties"):
        found += inner_schemas(schema.get(name))
    for name in ("anyOf", "oneOf", "allOf", "prefixItems"):
        for each in schema.get(name, []):
            found += inner_schemas(each)
    return found


def instances(schema: Any, root: Document) -> st.SearchStrategy[Any]:
    """Most of them valid; objects have the names that are declared there, and one that nothing declares."""
    if not isinstance(schema, dict):
        return st.sampled_from([0, "x", None])
    if "$ref" in schema:
        return instances(root["$defs"]["one"], root)
    for kind in ("anyOf", "oneOf"):
        if kind in schema:
            return st.one_of([instances(each, root) for each in schema[kind]])
    if "allOf" in schema:
        merged: Document = {}
        for each in schema["allOf"]:
            properties = {**merged.get("properties", {}), **each.get("properties", {})}
            merged = {**merged, **each, **({"properties": properties} if properties else {})}
        return instances(merged, root)
    if "enum" in schema or "const" in schema:
        return st.sampled_from(schema.get("enum") or [schema["const"]])
    match schema.get("type"):
        case list() as some:
            return st.one_of([instances({**schema, "type": each}, root) for each in some])
        case "integer":
            return st.integers(-4, 5)
        case "number":
            return st.sampled_from([-2, -1.5, 0, 0.5, 1, 2, 2.5, 3, 4, 8])
        case "string":
            return st.sampled_from(["", "x", "y", "xy", "xyy", "xxxy", "zzzzz"])
        case "boolean":
            return st.booleans()
        case "null":
            return st.none()
        case "array":
            first = [instances(each, root) for each in schema.get("prefixItems", [])]
            rest = st.lists(instances(schema.get("items", True), root), max_size=3)
            return st.tuples(*first, rest).map(lambda made: [*made[:-1], *made[-1]])
        case "object":
            named = {name: instances(each, root) for name, each in schema.get("properties", {}).items()}
            needed = {name: named.get(name, st.just(0)) for name in schema.get("required", [])}
            optional = {name: each for name, each in named.items() if name not in needed}
            other = instances(schema.get("additionalProperties", True), root)
            return st.fixed_dictionaries(needed, optional={**optional, "zz": other})
        case _:
            return st.sampled_from([0, 1.5, "x", None, True, [], {}])


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much], deadline=None)
@given(pairs(), st.data())
def test_what_is_judged_harmless_refuses_nothing_and_gives_nothing_new(
    pair: tuple[Document, Document], data: st.DataObject
) -> None:
    before, after = pair
    for judged, giver, taker in (
        (request_differences, before, after),
        (response_differences, after, before),
    ):
        differences = judged({"json_schema": before}, {"json_schema": after})
        if {each.verdict for each in differences} <= HARMLESS:
            validator = Draft202012Validator(taker)
            for instance in data.draw(st.lists(instances(giver, giver), min_size=5, max_size=10)):
                if Draft202012Validator(giver).is_valid(instance):
                    assert validator.is_valid(instance), (judged.__name__, instance, differences)


# What is judged otherwise


INTEGER, NUMBER, TEXT = {"type": "integer"}, {"type": "number"}, {"type": "string"}


def fields(properties: Document, *required: str, **more: Any) -> Document:
    return {"type": "object", "properties": properties, "required": [*required], **more}


@pytest.mark.parametrize(
    ("before", "after", "request_", "response"),
    [
        (fields({"a": INTEGER}), fields({"a": INTEGER, "b": TEXT}), A, A),
        (fields({"a": INTEGER}), fields({"a": INTEGER, "b": TEXT}, "b"), B, A),
        (fields({"a": INTEGER, "b": TEXT}), fields({"a": INTEGER}), H, B),
        (fields({"a": INTEGER}, "a"), fields({"a": INTEGER}), A, B),
        (fields({"a": INTEGER}), fields({"a": NUMBER}), A, B),
        (fields({"a": INTEGER}), fields({"a": {"type": ["integer", "null"]}}), A, B),
        (fields({"a": INTEGER}), fields({"a": {**INTEGER, "nullable": True}}), A, B),
        (fields({"a": {"anyOf": [TEXT, {"type": "null"}]}}), fields({"a": {"type": ["null", "string"]}}), None, None),
        (fields({"a": {"enum": ["x", "y"]}}), fields({"a": {"enum": ["x", "y", "z"]}}), A, B),
        (fields({"a": {"enum": ["x", "y"]}}), fields({"a": {"enum": ["y"]}}), B, A),
        (fields({"a": {**NUMBER, "maximum": 1}}), fields({"a": {**NUMBER, "maximum": 9}}), A, H),
        (fields({"a": {**TEXT, "pattern": "^x"}}), fields({"a": {**TEXT, "pattern": "^[xy]"}}), U, H),
        (fields({"a": {**TEXT, "format": "date"}}), fields({"a": {**TEXT, "format": "date-time"}}), B, H),
        (fields({"a": {**INTEGER, "format": "int32"}}), fields({"a": {**INTEGER, "format": "int64"}}), A, H),
        (fields({"a": {**INTEGER, "default": 1}}), fields({"a": {**INTEGER, "default": 2}}), H, None),
        (fields({}, additionalProperties=False), fields({"b": TEXT}, additionalProperties=False), A, B),
        (fields({}), fields({}, additionalProperties=False), B, A),
        (fields({"a": {"type": "array", "items": INTEGER}}), fields({"a": {"type": "array", "items": TEXT}}), B, B),
        (fields({"a": {**INTEGER, "minimum": 0, "exclusiveMinimum": True}}), fields({"a": {**INTEGER, "exclusiveMinimum": 0}}), None, None),
        (fields({"a": INTEGER, "b": INTEGER}), {"allOf": [fields({"a": INTEGER}), fields({"b": INTEGER})]}, None, None),
        (fields({"a": INTEGER}), fields({"a": {"$ref": "#/$defs/N"}}, **{"$defs": {"N": NUMBER}}), A, B),
        (fields({"a": {"not": TEXT}}), fields({"a": {"not": INTEGER}}), U, U),
        (fields({"a": {**TEXT, "readOnly": True}, "b": TEXT}), fields({"b": TEXT}), None, B),
    ],
)  # fmt: skip
def test_what_a_schema_that_differs_means(
    before: Document, after: Document, request_: Verdict | None, response: Verdict | None
) -> None:
    worst = [
        min((each.verdict for each in judged(before, after)), key=[*Verdict].index, default=None)
        for judged in (requests, responses)
    ]
    assert worst == [request_, response]


def test_a_field_of_a_response_that_is_renamed_is_found_by_its_new_name() -> None:
    (found,) = responses(fields({"x": fields({"a": INTEGER})}), fields({"x": fields({"b": INTEGER})}))
    assert (found.attribute, found.part, found.before, found.after) == ("response.x.a", "x.a", "a", "b")
    assert found.cures == frozenset({Cure.ALIAS, Cure.DEFAULT})


def test_schemas_that_go_on_for_ever_are_compared_and_too_large_ones_are_not() -> None:
    def chain(kind: Document) -> Document:
        definitions = {"N": fields({"next": {"$ref": "#/$defs/N"}, "value": kind})}
        return {"$ref": "#/$defs/N", "$defs": definitions}

    assert requests(chain(TEXT), chain(TEXT) | {"title": "another"}) == []
    assert {each.verdict for each in requests(chain(TEXT), chain(INTEGER))} == {B}
    many = {"allOf": [{"anyOf": [{"minimum": number}, {"maximum": number}]} for number in range(10)]}
    assert [each.verdict for each in requests(many, TEXT)] == [U]
    itself = {"$ref": "#/$defs/N", "$defs": {"N": {"$ref": "#/$defs/N"}}}
    assert [each.verdict for each in requests(itself, TEXT)] == [U]
    deep: Document = INTEGER
    for _ in range(300):
        deep = {"type": "array", "items": deep}
    assert U in {each.verdict for each in requests(deep, {"type": "array", "items": deep})}


def requests(before: Document, after: Document) -> list[Difference]:
    return request_differences({"json_schema": before}, {"json_schema": after})


def responses(before: Document, after: Document) -> list[Difference]:
    return response_differences({"json_schema": before}, {"json_schema": after})
