"""Files in which a service says what it takes and gives → attributes of assets.

    request_or_response(content, "schemas/request.json", {}, files)                      a JSON Schema, as text or parsed
    request_or_response(text, "scores.proto", {"message": "ScoreRequest"}, files)        protocol buffers
    openapi_of(content, "api.yaml", {"path": "/score", "method": "post"}, files)         (request, response), OpenAPI or Swagger 2
    signature_of(text, "model/MLmodel")                                                  {inputs, outputs}, as MLflow writes them

`content` is the text of the file, or what it holds as JSON; `files` are the other files that it may refer to, by their path in the
repository, in the same two forms. A request or response is `{"json_schema": …}`, whose references all lead within it, to `$defs`; or
`{"protobuf": …}`, see `protobuf`, with `"encoding": "json"` where the options say so. It holds what is compared and no more:
descriptions, titles and examples are left out.

All raise InvalidInput, whose message begins with the file, and the place in it. Nothing of what a file refers to is fetched.
"""

import json
import math
import posixpath
import re
from collections.abc import Iterator, Mapping
from typing import TypeAlias

import yaml

from graph.errors import InvalidInput, quoted, shortened
from graph.importers.shapes import near
from graph.importers.values import listed, record, text
from graph.model import Json

Files: TypeAlias = Mapping[str, Json]
"""Contents by path: a text, or what was parsed."""

MOST_TEXT = 4_000_000
MOST_VALUES = 100_000
"""In one file, those that YAML's aliases repeat counted each time; and in what is made of several."""
MOST_NESTED = 100


def request_or_response(content: Json, path: str, options: Mapping[str, Json], files: Files | None = None) -> Json:
    """The attribute `request` or `response`. Options: `message` and `encoding` of protocol buffers; `at`, a JSON Pointer to the schema."""
    if path.endswith(".proto"):
        # Its grammar takes a while to load, and few need it.
        from graph.importers.protobuf import protobuf_of  # noqa: PLC0415

        if not isinstance(content, str):
            raise InvalidInput(f"{path}: it is not text", path)
        others = {
            name: each for name, each in (files or {}).items() if isinstance(each, str) and name.endswith(".proto")
        }
        made: dict[str, Json] = {"protobuf": protobuf_of(content, path, text(options, "message"), others)}
        if options.get("encoding") == "json":
            made["encoding"] = "json"
        return made
    schemas = _Schemas(path, parsed(content, path), files or {})
    return schemas.attribute(path, schemas.at(path, text(options, "at") or "", ""))


def openapi_of(content: Json, path: str, options: Mapping[str, Json], files: Files | None = None) -> tuple[Json, Json]:
    """Request and response of one `path` and `method`, or of the only one there is; None for what it does not tell.

    Parameters of queries and headers are fields of the request, as `?limit` and `header X-Key`.
    """
    api = record(parsed(content, path))
    schemas = _Schemas(path, api, files or {})
    place, item, operation = _operation(schemas, api, path, options)
    parameters = [
        *(schemas.followed(path, each) for each in listed(item.get("parameters"))),
        *(schemas.followed(path, each) for each in listed(operation.get("parameters"))),
    ]
    body: Json = None
    if "swagger" in api:
        bodies = [each for each in parameters if each.get("in") == "body"]
        body = bodies[0].get("schema") if bodies else None
        needed = bool(bodies) and bodies[0].get("required") is True
    else:
        stated = schemas.followed(path, operation.get("requestBody"))
        body, needed = _content(stated), stated.get("required") is True
    request = _request(schemas, path, body, needed, parameters)
    answers = record(operation.get("responses"))
    good = [name for name in map(str, answers) if re.fullmatch(r"2(\d\d|XX)", name)] or [
        name for name in map(str, answers) if name == "default"
    ]
    found: list[Json] = []
    for name in sorted(good):
        answer = schemas.followed(path, answers[name])
        schema = answer.get("schema") if "swagger" in api else _content(answer)
        if schema is not None:
            found.append(schema)
    if not found and request is None:
        raise InvalidInput(f"{path}: {place}: it tells neither what it takes nor what it answers", path)
    made = [
        schemas.attribute(path, each) if each is not None else None for each in (request, found[0] if found else None)
    ]
    return made[0], made[1]


def signature_of(content: Json, path: str) -> Json:
    """The attribute `signature` from a file MLmodel; its parameters are inputs that may be left out."""
    model = record(parsed(content, path))
    signature = record(model.get("signature"))
    if not signature:
        raise InvalidInput(f"{path}: signature: missing; log the model with a signature, or an input example", path)
    sides: dict[str, list[Json]] = {"inputs": [], "outputs": []}
    for side, tensors in sides.items():
        specs = _inner_list(signature, side, path)
        for number, spec in enumerate(specs):
            tensors.append(_tensor(record(spec), side, number, len(specs)))
    for spec in _inner_list(signature, "params", path):
        said = record(spec)
        name, type_ = text(said, "name"), text(said, "type")
        if name is not None:
            tensor: dict[str, Json] = {"name": name, "optional": True}
            tensor |= {"type": type_} if type_ else {}
            tensor |= {"default": said["default"]} if said.get("default") is not None else {}
            sides["inputs"].append(tensor)
    return {side: [*tensors] for side, tensors in sides.items()}


# MLmodel


def _inner_list(signature: Mapping[str, Json], name: str, path: str) -> list[Json]:
    """MLflow writes JSON within YAML."""
    said = signature.get(name)
    found = parsed(said, f"{path}: signature.{name}") if isinstance(said, str) else said
    if found is not None and not isinstance(found, list):
        raise InvalidInput(f"{path}: signature.{name}: {shortened(said, 80)} is not a list", path)
    return found or []


def _tensor(spec: Mapping[str, Json], side: str, number: int, count: int) -> Json:
    inner = record(spec.get("tensor-spec"))
    name = spec.get("name")
    called = str(name) if isinstance(name, str | int) else side[:-1] if count == 1 else f"{side[:-1]}_{number}"
    made: dict[str, Json] = {"name": called}
    type_ = text(inner, "dtype") or _column_type(spec, 0)
    if type_ is not None:
        made["type"] = type_
    if isinstance(inner.get("shape"), list):
        made["shape"] = inner["shape"]
    if spec.get("required") is False or spec.get("optional") is True:
        made["optional"] = True
    return made


def _column_type(spec: Mapping[str, Json], depth: int) -> str | None:
    type_ = text(spec, "type")
    if depth > MOST_NESTED:
        return None
    match type_:
        case "array":
            return f"array<{_column_type(record(spec.get('items')), depth + 1) or 'any'}>"
        case "map":
            return f"map<string, {_column_type(record(spec.get('values')), depth + 1) or 'any'}>"
        case "object":
            fields = [
                f'"{name}" {_column_type(record(each), depth + 1) or "any"}'
                for name, each in record(spec.get("properties")).items()
            ]
            return f"struct<{', '.join(fields)}>"
        case _:
            return type_


# OpenAPI

_METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")


def _operation(
    schemas: "_Schemas", api: dict[str, Json], file: str, options: Mapping[str, Json]
) -> tuple[str, dict[str, Json], dict[str, Json]]:
    paths = record(api.get("paths"))
    if not paths:
        raise InvalidInput(f"{file}: paths: missing; it is no OpenAPI document", file)
    asked, method = text(options, "path"), (text(options, "method") or "").lower()
    found = []
    for path, stated in paths.items():
        item = schemas.followed(file, stated)
        found += [(path, each, item, record(item[each])) for each in _METHODS if isinstance(item.get(each), dict)]
    fitting = [each for each in found if asked in (None, each[0]) and method in ("", each[1])]
    if len(fitting) > 1 and not method:
        fitting = [each for each in fitting if each[1] == "post"] if asked else fitting
    if len(fitting) == 1:
        path, method, item, operation = fitting[0]
        return f"paths.{path}.{method}", item, operation
    known = sorted({f"{each[1]} {each[0]}" for each in found})
    wanted = " ".join(each for each in (method, asked) if each)
    if not fitting and wanted:
        raise InvalidInput(
            f"{file}: paths: it has no {quoted(wanted)}{near(wanted, known)}; it has {_some(known)}", wanted
        )
    raise InvalidInput(f"{file}: paths: say which path and method is meant: it has {_some(known)}", file)


def _some(names: list[str]) -> str:
    return ", ".join(names[:8]) + (" …" if len(names) > 8 else "") or "none"


def _content(of: Mapping[str, Json]) -> Json:
    """The schema of what is sent as JSON, else of the first."""
    content = record(of.get("content"))
    kinds = sorted(content, key=lambda kind: (kind != "application/json", not kind.endswith("+json"), kind))
    return record(content[kinds[0]]).get("schema", {}) if kinds else None


def _request(schemas: "_Schemas", path: str, body: Json, is_needed: bool, parameters: list[dict[str, Json]]) -> Json:
    fields: dict[str, Json] = {}
    needed: list[Json] = []
    for each in parameters:
        name, where = text(each, "name"), text(each, "in")
        if name is None or where not in ("query", "header", "path", "formData"):
            continue
        called = {"query": f"?{name}", "header": f"header {name}", "path": f"{{{name}}}"}.get(where, name)
        # Swagger 2 says of a parameter itself what OpenAPI 3 says in its schema.
        fields[called] = (
            each.get("schema") or _content(each) or {k: each[k] for k in ("type", "enum", "items") if k in each}
        )
        if each.get("required") is True:
            needed.append(called)
    if not fields:
        return body
    plain = schemas.followed(path, body)
    if body is None or (isinstance(plain.get("properties"), dict) and not {"allOf", "anyOf", "oneOf"} & plain.keys()):
        properties, required = {**record(plain.get("properties")), **fields}, [*listed(plain.get("required")), *needed]
        return {"type": "object", **plain, "properties": properties, "required": required}
    return {
        "type": "object",
        "properties": {"body": body, **fields},
        "required": [*needed, *(["body"] if is_needed else [])],
    }


# JSON Schema

_ONE = {"additionalProperties", "additionalItems", "unevaluatedItems", "unevaluatedProperties", "contains", "not", "if", "then", "else", "propertyNames"}  # fmt: skip
_MANY = {"allOf", "anyOf", "oneOf", "prefixItems"}
_NAMED = {"properties", "patternProperties", "dependentSchemas"}
_KEPT = {
    "$schema", "type", "enum", "const", "nullable", "default", "required", "format", "pattern", "minLength", "maxLength",
    "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minItems", "maxItems", "uniqueItems",
    "minProperties", "maxProperties", "minContains", "maxContains", "dependentRequired", "readOnly", "writeOnly",
    "contentEncoding", "$dynamicRef", "$recursiveRef", "$id", "id",
}  # fmt: skip


class _Schemas:
    """The schemas of one file, and of those that it refers to."""

    def __init__(self, path: str, top: Json, files: Files) -> None:
        self._files = files
        self._read: dict[str, Json] = {path: top}
        self._names: dict[tuple[str, str], str] = {}
        self._waiting: list[tuple[str, str]] = []
        self._left = MOST_VALUES

    def attribute(self, path: str, schema: Json) -> Json:
        if not isinstance(schema, dict | bool):
            raise InvalidInput(f"{path}: {shortened(schema, 80)} is no JSON Schema, which is a mapping", schema)
        self._names, self._waiting = {}, []
        made = self._made(path, schema, 0)
        definitions: dict[str, Json] = {}
        while self._waiting:
            file, pointer = self._waiting.pop(0)
            definitions[self._names[file, pointer]] = self._made(file, self.at(file, pointer, ""), 0)
        if isinstance(made, dict):
            made = {name: value for name, value in made.items() if name not in ("$id", "id")}
            draft = record(self._read[path]).get("$schema")
            made |= {"$schema": draft} if isinstance(draft, str) else {}
            made |= {"$defs": definitions} if definitions else {}
        return {"json_schema": made}

    def followed(self, file: str, value: Json, depth: int = 0) -> dict[str, Json]:
        """What a reference of OpenAPI leads to; another value as it is."""
        said = record(value)
        reference = said.get("$ref")
        if not isinstance(reference, str):
            return said
        if depth > MOST_NESTED:
            raise InvalidInput(f"{file}: {quoted(reference)} refers to itself", reference)
        other, pointer = self._target(file, reference)
        return self.followed(other, self.at(other, pointer, reference), depth + 1)

    def at(self, file: str, pointer: str, reference: str) -> Json:
        here = self._document(file)
        if pointer and not pointer.startswith("/"):
            for each in _within(here):
                if isinstance(each, dict) and pointer in (each.get("$anchor"), str(each.get("$id", "")).lstrip("#")):
                    return each
        for step in pointer.split("/")[1:] if pointer.startswith("/") else [pointer] if pointer else []:
            name = step.replace("~1", "/").replace("~0", "~")
            if isinstance(here, dict) and name in here:
                here = here[name]
            elif isinstance(here, list) and name.isdigit() and int(name) < len(here):
                here = here[int(name)]
            else:
                known = [*here] if isinstance(here, dict) else []
                said = f"{quoted(reference or pointer)}: {file} has no {quoted(name)} there{near(name, known)}"
                raise InvalidInput(f"{file}: {said}", reference or pointer)
        return here

    def _document(self, file: str) -> Json:
        if file not in self._read:
            self._read[file] = parsed(self._files[file], file)
        return self._read[file]

    def _target(self, file: str, reference: str) -> tuple[str, str]:
        """Raises KeyError for what is no file of the project's."""
        address, _, pointer = reference.partition("#")
        pointer = _unescaped(pointer)
        if not address:
            return file, pointer
        path = posixpath.normpath(posixpath.join(posixpath.dirname(file), _unescaped(address)))
        if path in self._files or path in self._read:
            return path, pointer
        for other in self._files:
            if other.endswith((".json", ".yaml", ".yml")) and record(self._document(other)).get("$id") == address:
                return other, pointer
        if "://" in address:
            return address, pointer
        raise InvalidInput(f"{file}: {quoted(reference)} refers to {path}, which is not among the files{near(path, self._files)}", reference)  # fmt: skip

    def _made(self, file: str, schema: Json, depth: int) -> Json:
        """What is compared of a schema, with references into `$defs`."""
        self._left -= 1
        if depth > MOST_NESTED or self._left < 0:
            said = (
                f"nested deeper than {MOST_NESTED} levels"
                if depth > MOST_NESTED
                else f"of more than {MOST_VALUES:,} schemas"
            )
            raise InvalidInput(f"{file}: it is {said}", file)
        if not isinstance(schema, dict):
            return schema if isinstance(schema, bool) else True
        made: dict[str, Json] = {}
        for name, value in schema.items():
            if name == "$ref" and isinstance(value, str):
                made[name] = self._named(file, value)
            elif name in _ONE or (name == "items" and not isinstance(value, list)):
                made[name] = self._made(file, value, depth + 1)
            elif name in _MANY or name == "items":
                made[name] = [self._made(file, each, depth + 1) for each in listed(value)]
            elif name in _NAMED:
                made[name] = {inner: self._made(file, each, depth + 1) for inner, each in record(value).items()}
            elif name == "dependencies":
                made[name] = {
                    inner: each if isinstance(each, list) else self._made(file, each, depth + 1)
                    for inner, each in record(value).items()
                }
            elif name in _KEPT:
                made[name] = value
        if depth:
            made = {name: value for name, value in made.items() if name not in ("$id", "id", "$schema")}
        return made

    def _named(self, file: str, reference: str) -> str:
        target = self._target(file, reference)
        if "://" in target[0] and target[0] not in self._read and target[0] not in self._files:
            return reference
        if target not in self._names:
            self.at(*target, reference)
            last = target[1].rpartition("/")[2] or posixpath.basename(target[0])
            taken = set(self._names.values())
            name = next(
                each for each in (last, *(f"{last}_{number}" for number in range(2, MOST_VALUES))) if each not in taken
            )
            self._names[target] = name
            self._waiting.append(target)
        return f"#/$defs/{self._names[target].replace('~', '~0').replace('/', '~1')}"


def _within(value: Json) -> Iterator[Json]:
    waiting = [value]
    while waiting:
        here = waiting.pop()
        yield here
        waiting += here.values() if isinstance(here, dict) else here if isinstance(here, list) else []


def _unescaped(address: str) -> str:
    return re.sub(r"%([0-9A-Fa-f]{2})", lambda found: chr(int(found[1], 16)), address)


# Reading


class _Loader(yaml.CSafeLoader):
    """Dates stay texts: JSON has none."""

    yaml_implicit_resolvers = {  # noqa: RUF012
        first: [each for each in some if each[0] != "tag:yaml.org,2002:timestamp"]
        for first, some in yaml.CSafeLoader.yaml_implicit_resolvers.items()
    }


def parsed(content: Json, path: str) -> Json:
    """JSON, or YAML, of which JSON is a part; what is parsed already is only looked at. Raises InvalidInput."""
    value: object = content
    if isinstance(content, str):
        if len(content) > MOST_TEXT:
            raise InvalidInput(f"{path}: it has {len(content):,} characters; the limit is {MOST_TEXT:,}", path)
        value = _loaded(content, path)
    return _held(value, path)


def _loaded(content: str, path: str) -> object:
    try:
        if content.lstrip()[:1] in ("{", "["):
            try:
                return json.loads(content)
            except json.JSONDecodeError as error:
                if path.endswith(".json"):
                    raise InvalidInput(
                        f"{path}:{error.lineno}:{error.colno}: it is no JSON: {error.msg}", path
                    ) from None
        return yaml.load(content, _Loader)  # noqa: S506
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else path
        raise InvalidInput(f"{where}: it is no YAML: {error.problem or error.context}", path) from None
    except (yaml.YAMLError, ValueError) as error:
        raise InvalidInput(f"{path}: it is neither JSON nor YAML: {shortened(error, 200)}", path) from None
    except RecursionError:
        raise InvalidInput(f"{path}: it is nested too deeply", path) from None


def _held(value: object, path: str) -> Json:
    """As JSON: with texts for names, nothing that JSON cannot hold, and bounded."""
    left = MOST_VALUES

    def held(here: object, place: str, depth: int) -> Json:
        nonlocal left
        left -= 1
        if left < 0:
            raise InvalidInput(f"{path}: it holds more than {MOST_VALUES:,} values", path)
        if depth > MOST_NESTED:
            raise InvalidInput(f"{path}: it is nested deeper than {MOST_NESTED} levels", path)
        if isinstance(here, Mapping):
            dot = f"{place}." if place else ""
            return {_name(name): held(each, f"{dot}{name}", depth + 1) for name, each in here.items()}
        if isinstance(here, list):
            return [held(each, f"{place}[{number}]", depth + 1) for number, each in enumerate(here)]
        if here is None or isinstance(here, str | bool | int) or (isinstance(here, float) and math.isfinite(here)):
            return here
        raise InvalidInput(f"{path}: {place}: {shortened(here, 80)} is nothing that JSON can hold", here)

    return held(value, "", 0)


def _name(name: object) -> str:
    """In YAML, the statuses of responses may be numbers."""
    return "null" if name is None else str(name).lower() if isinstance(name, bool) else str(name)
