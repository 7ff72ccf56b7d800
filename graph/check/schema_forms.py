"""A JSON Schema, drafts 4 to 2020-12 and OpenAPI's, as the forms that an instance may have: one of several, each of one type.

`$ref`, `allOf`, `anyOf`, `oneOf`, `type` lists, `enum`, `const` and `nullable` are dissolved; what stays within a form are
the keywords of its type. Keywords that cannot be compared by what they mean are kept in `rest`, to be compared as they are.
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from graph.errors import shortened
from graph.model import Json

MOST_FORMS = 64
MOST_STEPS = 5_000
"""Of one comparison."""
MOST_NESTED = 60

Schema: TypeAlias = dict[str, Json] | bool


class Undecided(Exception):
    """`str(error)` says why two schemas cannot be compared."""


@dataclass(frozen=True)
class Form:
    type: str
    values: tuple[Json, ...] | None = None
    low: float = -math.inf
    above: bool = False
    """Whether `low` itself is left out."""
    high: float = math.inf
    below: bool = False
    multiple: float | None = None
    shortest: int = 0
    longest: float = math.inf
    """Of texts, lists and objects: their length."""
    pattern: str | None = None
    format: str | None = None
    first: tuple[Schema, ...] = ()
    """Of lists: the schemas of the elements at the front."""
    items: Schema = True
    unique: bool = False
    properties: Mapping[str, Schema] = field(default_factory=dict)
    required: frozenset[str] = frozenset()
    additional: Schema = True
    rest: Mapping[str, Json] = field(default_factory=dict)


_DEFINED = ("$defs", "definitions", "components")


class Reader:
    """Of one schema, whose references lead within it."""

    def __init__(self, root: Schema, sent: bool) -> None:
        self._root = root
        self.definitions = (
            {name: value for name, value in root.items() if name in _DEFINED} if isinstance(root, dict) else {}
        )
        self._hidden = "readOnly" if sent else "writeOnly"
        draft = str(root.get("$schema", "")) if isinstance(root, dict) else ""
        self._alone = any(each in draft for each in ("draft-04", "draft-06", "draft-07"))
        """Beside a $ref nothing counts, in these drafts."""

    def forms(self, schema: Schema, within: tuple[str, ...] = ()) -> list[Form]:
        """Raises Undecided."""
        if schema is True:
            schema = {}
        if schema is False:
            return []
        if len(within) > MOST_NESTED:
            raise Undecided("it is nested too deeply")
        reference = schema.get("$ref")
        if isinstance(reference, str):
            target = self.target(reference)
            if reference in within:
                raise Undecided(f"{shortened(reference, 80)} refers to itself")
            if target is None:
                return [replace(each, rest={"$ref": reference}) for each in _own({})]
            named = self.forms(target, (*within, reference))
            if self._alone:
                return named
            found = _both(_own({k: v for k, v in schema.items() if k != "$ref"}), named)
        else:
            found = _own(schema)
        deeper = (*within, "")
        for each in _schemas(schema.get("allOf")):
            found = _both(found, self.forms(each, deeper))
        if "anyOf" in schema:
            found = _both(found, [form for each in _schemas(schema["anyOf"]) for form in self.forms(each, deeper)])
        if "oneOf" in schema:
            alternatives = [self.forms(each, deeper) for each in _schemas(schema["oneOf"])]
            exclusive = all(
                self._apart(one, other) for place, one in enumerate(alternatives) for other in alternatives[place + 1 :]
            )
            some = [form for each in alternatives for form in each]
            if not exclusive:
                some = [replace(each, rest={**each.rest, "oneOf": schema["oneOf"]}) for each in some]
            found = _both(found, some)
        if schema.get("unevaluatedProperties") is False:
            found = [_closed(each) for each in found]
        if schema.get("nullable") is True and not any(each.type == "null" for each in found):
            found = [*found, Form("null", values=(None,))]
        return found

    def target(self, reference: str) -> Schema | None:
        """What a reference means; None for one that leads elsewhere."""
        if reference != "#" and not reference.startswith("#/"):
            return None
        here: Json = self._root
        for step in reference.split("/")[1:]:
            name = step.replace("~1", "/").replace("~0", "~").replace("%25", "%")
            if isinstance(here, dict) and name in here:
                here = here[name]
            elif isinstance(here, list) and name.isdigit() and int(name) < len(here):
                here = here[int(name)]
            else:
                return None
        return here if isinstance(here, dict | bool) else None

    def shown(self, form: Form) -> Mapping[str, Schema]:
        """Its properties, but those that never pass in this direction."""
        found = {}
        for name, schema in form.properties.items():
            plain = schema
            if isinstance(schema, dict) and isinstance(reference := schema.get("$ref"), str):
                plain = self.target(reference) or schema
            if not any(isinstance(each, dict) and each.get(self._hidden) is True for each in (schema, plain)):
                found[name] = schema
        return found

    def _apart(self, one: list[Form], other: list[Form]) -> bool:
        return all(self._disjoint(a, b) for a in one for b in other)

    def _disjoint(self, a: Form, b: Form) -> bool:
        if a.type != b.type and {a.type, b.type} != {"integer", "number"}:
            return True
        if a.values is not None and b.values is not None:
            return not {written(each) for each in a.values} & {written(each) for each in b.values}
        if a.type == "object":
            for name in a.required & b.required & a.properties.keys() & b.properties.keys():
                tags = [_constants(each.properties[name]) for each in (a, b)]
                if tags[0] is not None and tags[1] is not None and not tags[0] & tags[1]:
                    return True
        return a.high < b.low or b.high < a.low


def written(value: Json) -> str:
    """A value as one text: JSON tells 1 from true, and not from 1.0."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return json.dumps(value, sort_keys=True)


def _constants(schema: Schema) -> set[str] | None:
    if not isinstance(schema, dict):
        return None
    if "const" in schema:
        return {written(schema["const"])}
    values = schema.get("enum")
    return {written(each) for each in values} if isinstance(values, list) else None


def _schemas(value: Json) -> Iterator[Schema]:
    for each in value if isinstance(value, list) else ():
        if isinstance(each, dict | bool):
            yield each


TYPES = ("null", "boolean", "integer", "number", "string", "array", "object")
_KEYWORDS = {
    "number": {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"},
    "string": {"minLength", "maxLength", "pattern"},
    "array": {"items", "prefixItems", "additionalItems", "minItems", "maxItems", "uniqueItems", "contains"},
    "object": {
        "properties",
        "required",
        "additionalProperties",
        "patternProperties",
        "minProperties",
        "maxProperties",
        "propertyNames",
    },
}
_UNCOMPARED = {
    "any": ("not", "if", "then", "else", "$dynamicRef", "$recursiveRef", "contentEncoding"),
    "array": ("contains", "minContains", "maxContains", "unevaluatedItems", "additionalItems"),
    "object": (
        "patternProperties",
        "propertyNames",
        "dependencies",
        "dependentRequired",
        "dependentSchemas",
        "unevaluatedProperties",
    ),
}


def _own(schema: Mapping[str, Json]) -> list[Form]:
    """Of its keywords alone."""
    values = schema.get("enum")
    enumerated = values if isinstance(values, list) else None
    if "const" in schema:
        enumerated = [each for each in enumerated if written(each) == written(schema["const"])] if enumerated else None
        enumerated = [schema["const"]] if enumerated is None else enumerated
    said = schema.get("type")
    types = [said] if isinstance(said, str) else [str(each) for each in said] if isinstance(said, list) else []
    if not types and enumerated is None:
        types = [type_ for type_, names in _KEYWORDS.items() if names & schema.keys()]
        types = types if len(types) == 1 else [each for each in TYPES if each != "integer"]
    elif not types:
        types = [each for each in TYPES if each != "integer"]
    if "number" in types:
        types = [each for each in types if each != "integer"]
    forms = []
    for type_ in dict.fromkeys(types):
        form = _typed(type_, schema)
        if enumerated is not None:
            held = tuple(each for each in enumerated if _is_of(each, type_))
            if not held:
                continue
            form = replace(form, values=held)
        forms.append(form)
    return forms


def _is_of(value: Json, type_: str) -> bool:
    match value:
        case None:
            return type_ == "null"
        case bool():
            return type_ == "boolean"
        case int():
            return type_ in ("integer", "number")
        case float():
            return type_ == "number" or (type_ == "integer" and value.is_integer())
        case str():
            return type_ == "string"
        case list():
            return type_ == "array"
        case _:
            return type_ == "object"


def _typed(type_: str, schema: Mapping[str, Json]) -> Form:
    names = (*_UNCOMPARED["any"], *_UNCOMPARED.get(type_, ()))
    form = Form(type_, rest={name: schema[name] for name in names if name in schema})
    match type_:
        case "null":
            return replace(form, values=(None,))
        case "boolean":
            return replace(form, values=(False, True))
        case "integer" | "number":
            return _number(form, schema)
        case "string":
            pattern, format_ = schema.get("pattern"), schema.get("format")
            return replace(
                form,
                shortest=int(_figure(schema, "minLength", 0)),
                longest=_figure(schema, "maxLength", math.inf),
                pattern=pattern if isinstance(pattern, str) else None,
                format=format_ if isinstance(format_, str) else None,
            )
        case "array":
            return _array(form, schema)
        case "object":
            properties, required = schema.get("properties"), schema.get("required")
            return replace(
                form,
                properties={
                    name: each
                    for name, each in (properties if isinstance(properties, dict) else {}).items()
                    if isinstance(each, dict | bool)
                },
                required=frozenset(map(str, required if isinstance(required, list) else ())),
                additional=_schema(schema, "additionalProperties"),
                shortest=int(_figure(schema, "minProperties", 0)),
                longest=_figure(schema, "maxProperties", math.inf),
            )
        case _:
            return replace(form, rest={**form.rest, "type": type_})


def _number(form: Form, schema: Mapping[str, Json]) -> Form:
    low, high = _figure(schema, "minimum", -math.inf), _figure(schema, "maximum", math.inf)
    above, below = schema.get("exclusiveMinimum") is True, schema.get("exclusiveMaximum") is True
    least, most = _figure(schema, "exclusiveMinimum", -math.inf), _figure(schema, "exclusiveMaximum", math.inf)
    if least >= low and least > -math.inf:
        low, above = least, True
    if most <= high and most < math.inf:
        high, below = most, True
    if schema.get("format") == "int32" and form.type == "integer":
        low, above = (low, above) if low >= -(2**31) else (-(2**31), False)
        high, below = (high, below) if high <= 2**31 - 1 else (2**31 - 1, False)
    multiple = _figure(schema, "multipleOf", 0)
    return replace(form, low=low, above=above, high=high, below=below, multiple=multiple or None)


def _array(form: Form, schema: Mapping[str, Json]) -> Form:
    prefix, items = schema.get("prefixItems"), schema.get("items")
    rest: Schema = True
    if isinstance(items, list):
        prefix, rest = items, _schema(schema, "additionalItems")
    elif isinstance(items, dict | bool):
        rest = items
    return replace(
        form,
        first=tuple(_schemas(prefix)),
        items=rest,
        unique=schema.get("uniqueItems") is True,
        shortest=int(_figure(schema, "minItems", 0)),
        longest=_figure(schema, "maxItems", math.inf),
        rest={name: value for name, value in form.rest.items() if name != "additionalItems"},
    )


def _figure(schema: Mapping[str, Json], name: str, absent: float) -> float:
    value = schema.get(name)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else absent


def _schema(schema: Mapping[str, Json], name: str) -> Schema:
    value = schema.get(name, True)
    return value if isinstance(value, dict | bool) else True


def _both(some: list[Form], others: list[Form]) -> list[Form]:
    """What is of one of these and of one of those."""
    found = [both for a in some for b in others if (both := _joined(a, b)) is not None]
    if len(found) > MOST_FORMS:
        raise Undecided(f"it has more than {MOST_FORMS} alternatives")
    return found


def _joined(a: Form, b: Form) -> Form | None:
    if a.type != b.type:
        if {a.type, b.type} != {"integer", "number"}:
            return None
        a, b = replace(a, type="integer"), replace(b, type="integer")
    values = a.values
    if b.values is not None:
        known = {written(each) for each in b.values}
        values = b.values if values is None else tuple(each for each in values if written(each) in known)
        if not values:
            return None
    low, above = max((a.low, a.above), (b.low, b.above))
    high, open_ = min((a.high, not a.below), (b.high, not b.below))
    patterns = {a.pattern, b.pattern} - {None}
    formats = {a.format, b.format} - {None}
    multiples = {a.multiple, b.multiple} - {None}
    rest = dict(a.rest)
    for name, value in b.rest.items():
        rest[name] = value if name not in rest or rest[name] == value else [rest[name], value]
    if len(patterns) > 1:
        rest["pattern"] = [*sorted(str(each) for each in patterns)]
    if len(formats) > 1:
        rest["format"] = [*sorted(str(each) for each in formats)]
    if len(multiples) > 1:
        rest["multipleOf"] = [*sorted(float(each or 0) for each in multiples)]
    length = max(len(a.first), len(b.first))
    return Form(
        a.type,
        values,
        low,
        above,
        high,
        not open_,
        next(iter(multiples)) if len(multiples) == 1 else None,
        max(a.shortest, b.shortest),
        min(a.longest, b.longest),
        next(iter(patterns)) if len(patterns) == 1 else None,
        next(iter(formats)) if len(formats) == 1 else None,
        tuple(_all_of(_at(a, place), _at(b, place)) for place in range(length)),
        _all_of(a.items, b.items),
        a.unique or b.unique,
        {
            name: _all_of(a.properties.get(name, a.additional), b.properties.get(name, b.additional))
            for name in {**a.properties, **b.properties}
        },
        a.required | b.required,
        _all_of(a.additional, b.additional),
        rest,
    )


def _closed(form: Form) -> Form:
    """With all that is put together here: no other fields than these."""
    rest = {name: value for name, value in form.rest.items() if name != "unevaluatedProperties"}
    return replace(form, additional=False if form.additional is True else form.additional, rest=rest)


def _at(form: Form, place: int) -> Schema:
    return form.first[place] if place < len(form.first) else form.items


def _all_of(a: Schema, b: Schema) -> Schema:
    if a is True or a == b:
        return b
    if b is True:
        return a
    if a is False or b is False:
        return False
    return {"allOf": [a, b]}
