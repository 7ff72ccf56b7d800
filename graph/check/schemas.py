"""What it means to callers that the form of requests or of responses differs.

A request may only come to accept more, a response may only come to promise more. Where JSON Schema says less than what
happens between services, what happens decides:

* *A field that only the new schema of a request names* was allowed before, with any value, wherever others were: but nobody sent it. So
  it is additive, unless it is required.
* *A field that a response no longer names* may still come, as any other may: but nobody promises it. So it is gone, and breaking.
* *A field that is new in a response* breaks those alone who were promised that no others come (`additionalProperties: false`).
* *Another value of an enumeration in a response* is breaking: generated clients refuse it, and code that branches on it has no branch.
* *A bound, length, pattern or format that a response no longer keeps* is behavioural: it is read as before, and other values come.
* *Null in a response, or a field that may be absent,* is breaking for who has no default.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from graph.check.messages import message_differences
from graph.check.schema_forms import MOST_NESTED, MOST_STEPS, Form, Reader, Schema, Undecided, written
from graph.check.verdicts import Cure, Difference, Verdict
from graph.errors import shortened
from graph.model import Json


def request_differences(before: Json, after: Json) -> list[Difference]:
    return _differences("request", before, after, sent=True)


def response_differences(before: Json, after: Json) -> list[Difference]:
    return _differences("response", before, after, sent=False)


def _differences(attribute: str, before: Json, after: Json, sent: bool) -> list[Difference]:
    if before == after or not isinstance(before, dict) or not isinstance(after, dict):
        return []
    if "protobuf" in before and "protobuf" in after:
        return message_differences(attribute, before, after, sent)
    old, new = before.get("json_schema"), after.get("json_schema")
    if not isinstance(old, dict | bool) or not isinstance(new, dict | bool):
        forms = [" and ".join(sorted(each)) or "nothing" for each in (before, after)]
        reason = f"its {attribute}s are told as {forms[1]}, where they were told as {forms[0]}"
        return [Difference(attribute, before, after, Verdict.BREAKING, reason)]
    found: list[Difference] = []
    try:
        found += _Comparison(attribute, old, new, sent).between(attribute, old, new)
    except (Undecided, RecursionError) as error:
        why = str(error) if isinstance(error, Undecided) else "it is nested too deeply"
        found.append(Difference(attribute, None, None, Verdict.UNKNOWN, f"its {attribute} cannot be compared: {why}"))
    return found


class _Comparison:
    def __init__(self, attribute: str, before: Schema, after: Schema, sent: bool) -> None:
        self._attribute, self._sent = attribute, sent
        self._before, self._after = Reader(before, sent), Reader(after, sent)
        self._steps = MOST_STEPS
        self._open: list[tuple[Schema, Schema]] = []
        """The pairs that are being compared."""
        self._within: dict[tuple[bool, str, str], bool | None] = {}

    # What differs, field by field

    def between(self, path: str, before: Schema, after: Schema) -> Iterator[Difference]:
        if any(old is before and new is after for old, new in self._open):
            return
        self._step()
        self._open.append((before, after))
        if len(self._open) > MOST_NESTED:
            raise Undecided("it is nested too deeply")
        old, new = self._before.forms(before), self._after.forms(after)
        nulls = [any(each.type == "null" for each in side) for side in (old, new)]
        some = [[each for each in side if each.type != "null"] for side in (old, new)]
        if nulls[0] != nulls[1] and all(some):
            yield self._null(path, nulls[1])
            old, new = some
        elif all(nulls) and all(some):
            old, new = some
        if len(old) == len(new) == 1 and old[0].type == new[0].type in ("object", "array") and not _valued(old, new):
            if old[0].type == "object":
                yield from self._objects(path, old[0], new[0])
            else:
                yield from self._arrays(path, old[0], new[0])
            old, new = ([_bare(each[0])] for each in (old, new))
        yield from self._leaf(path, old, new)
        defaults = [each.get("default") if isinstance(each, dict) else None for each in (before, after)]
        if self._sent and written(defaults[0]) != written(defaults[1]):
            reason = (
                f"{self._named(path)} is {_said(defaults[1])} where it is left out, instead of {_said(defaults[0])}"
            )
            yield self._of(f"{path}.default", defaults[0], defaults[1], Verdict.BEHAVIOURAL, reason, at=path)
        self._open.pop()

    def _null(self, path: str, comes: bool) -> Difference:
        name = self._named(path)
        if self._sent:
            verdict = Verdict.ADDITIVE if comes else Verdict.BREAKING
            reason = f"{name} may be null" if comes else f"{name} may no longer be null"
            return self._of(path, not comes, comes, verdict, reason)
        if comes:
            return self._of(
                path, "not null", "null", Verdict.BREAKING, f"{name} may be null", frozenset({Cure.DEFAULT})
            )
        return self._of(path, "null", "not null", Verdict.ADDITIVE, f"{name} is never null any more")

    def _objects(self, path: str, old: Form, new: Form) -> Iterator[Difference]:
        was, now = _with_required(self._before.shown(old), old), _with_required(self._after.shown(new), new)
        hidden = (old.properties.keys() - was.keys()) | (new.properties.keys() - now.keys())
        went = [name for name in was if name not in now and name not in hidden]
        came = [name for name in now if name not in was and name not in hidden]
        renamed = {} if self._sent else _renamed(was, now, went, came)
        for name in went:
            if name in renamed:
                reason = f"{self._named(f'{path}.{name}')} is called {renamed[name]}"
                cures = frozenset({Cure.DEFAULT, Cure.ALIAS})
                yield self._of(f"{path}.{name}", name, renamed[name], Verdict.BREAKING, reason, cures)
            else:
                yield from self._gone(path, name, name in old.required, was[name], new)
        for name in came:
            if name not in renamed.values():
                yield from self._new(path, name, name in new.required, now[name], old)
        for name in [each for each in was if each in now]:
            inner = f"{path}.{name}"
            if (name in old.required) != (name in new.required):
                yield self._requirement(inner, name in new.required)
            yield from self.between(inner, was[name], now[name])
        yield from self._additional(path, old.additional, new.additional)

    def _gone(self, path: str, name: str, needed: bool, schema: Schema, new: Form) -> Iterator[Difference]:
        inner, before = f"{path}.{name}", _stated(schema)
        called = self._named(inner)
        if isinstance(new.additional, dict):
            if needed:
                yield self._requirement(inner, False)
            yield from self.between(inner, schema, new.additional)
        elif not self._sent:
            reason = f"{called} is gone"
            yield self._of(inner, before, None, Verdict.BREAKING, reason, frozenset({Cure.DEFAULT}))
        elif new.additional is False:
            yield self._of(inner, before, None, Verdict.BREAKING, f"requests that carry {called} are refused")
        else:
            reason = (
                f"{called} is no longer looked at" if needed else f"{called} is no longer looked at where it is sent"
            )
            yield self._of(inner, before, None, Verdict.BEHAVIOURAL, reason)

    def _new(self, path: str, name: str, needed: bool, schema: Schema, old: Form) -> Iterator[Difference]:
        inner, after = f"{path}.{name}", _stated(schema)
        called = self._named(inner)
        if self._sent and needed:
            yield self._of(inner, None, after, Verdict.BREAKING, f"requests must carry {called}, which none does yet")
        elif isinstance(old.additional, dict):
            yield from self.between(inner, old.additional, schema)
        elif self._sent:
            yield self._of(inner, None, after, Verdict.ADDITIVE, f"requests may carry {called}, too")
        elif old.additional is False:
            reason = f"{called} is new, where it was promised that no other fields come"
            yield self._of(inner, None, after, Verdict.BREAKING, reason)
        else:
            yield self._of(inner, None, after, Verdict.ADDITIVE, f"{called} comes, too")

    def _requirement(self, path: str, needed: bool) -> Difference:
        called = self._named(path)
        if self._sent:
            verdict = Verdict.BREAKING if needed else Verdict.ADDITIVE
            reason = (
                f"requests must carry {called}, which they could leave out" if needed else f"{called} may be left out"
            )
            return self._of(f"{path}.required", not needed, needed, verdict, reason, at=path)
        if needed:
            return self._of(f"{path}.required", False, True, Verdict.ADDITIVE, f"{called} is always there", at=path)
        cures = frozenset({Cure.DEFAULT})
        return self._of(f"{path}.required", True, False, Verdict.BREAKING, f"{called} may be absent", cures, at=path)

    def _additional(self, path: str, old: Schema, new: Schema) -> Iterator[Difference]:
        at, before, after = f"{path}.additionalProperties", _stated(old), _stated(new)
        if old is False and new is not False:
            verdict = Verdict.ADDITIVE if self._sent else Verdict.BEHAVIOURAL
            yield self._of(at, before, after, verdict, f"{self._named(path)} may have other fields", at=path)
        elif old is not False and new is False:
            verdict = Verdict.BREAKING if self._sent else Verdict.ADDITIVE
            yield self._of(at, before, after, verdict, f"{self._named(path)} has no other fields any more", at=path)
        elif isinstance(old, dict) or isinstance(new, dict):
            yield from self.between(f"{path}.*", old, new)

    def _arrays(self, path: str, old: Form, new: Form) -> Iterator[Difference]:
        for place in range(max(len(old.first), len(new.first))):
            yield from self.between(f"{path}[{place}]", _element(old, place), _element(new, place))
        yield from self.between(f"{path}[]", old.items, new.items)

    def _leaf(self, path: str, old: Sequence[Form], new: Sequence[Form]) -> Iterator[Difference]:
        kept = self._covered(old, new, forward=True)
        back = self._covered(new, old, forward=False)
        first, second = (kept, back) if self._sent else (back, kept)
        if first and second:
            return
        said = _told(old, new)
        before, after = _shown(old), _shown(new)
        called = self._named(path)
        if first:
            yield self._of(
                path, before, after, Verdict.ADDITIVE, f"{called} {'takes' if self._sent else 'promises'} more: {said}"
            )
        elif not self._sent and _only_bounded(old, new):
            yield self._of(path, before, after, Verdict.BEHAVIOURAL, f"{called} may be what it never was: {said}")
        elif first is None:
            reason = f"whether {called} stays within what it was cannot be told: {said}"
            yield self._of(path, before, after, Verdict.UNKNOWN, reason)
        elif self._sent:
            yield self._of(path, before, after, Verdict.BREAKING, f"{called} takes less: {said}")
        else:
            retyped = _types(new) - _types(old)
            cures = frozenset({Cure.CAST}) if retyped else frozenset[Cure]()
            what = "has another type" if retyped else "may be what it never was"
            yield self._of(path, before, after, Verdict.BREAKING, f"{called} {what}: {said}", cures)

    # Whether all that one takes, the other takes

    def _covered(self, some: Sequence[Form], others: Sequence[Form], forward: bool) -> bool | None:
        """Whether each of some is within one of others; None where that cannot be told. `forward`: some are those before."""
        answers = [_any([self._form_within(a, b, forward) for b in others]) for a in some]
        return _all(answers)

    def _schema_within(self, a: Schema, b: Schema, forward: bool) -> bool | None:
        self._step()
        if b is True or a is False:
            return True
        key = (forward, written(a), written(b))
        if key not in self._within:
            self._within[key] = True  # where it comes back to itself, nothing speaks against it
            readers = (self._before, self._after) if forward else (self._after, self._before)
            self._within[key] = self._covered(readers[0].forms(a), readers[1].forms(b), forward)
        return self._within[key]

    def _form_within(self, a: Form, b: Form, forward: bool) -> bool | None:
        if a.type != b.type and (a.type, b.type) != ("integer", "number"):
            return False
        if a.values is not None:
            return _all([self._value_within(each, b) for each in a.values])
        if b.values is not None:
            return False
        answers = [self._rest_within(a, b), a.shortest >= b.shortest, a.longest <= b.longest]
        match a.type:
            case "integer" | "number":
                answers += [(a.low, a.above) >= (b.low, b.above), (a.high, not a.below) <= (b.high, not b.below)]
                answers.append(b.multiple is None or _multiple(a, b.multiple))
            case "string":
                answers.append(b.format is None or a.format == b.format)
                answers.append(b.pattern is None or a.pattern == b.pattern or (None if a.pattern else False))
            case "array":
                answers.append(a.unique or not b.unique or a.longest <= 1)
                for place in range(max(len(a.first), len(b.first))):
                    answers.append(self._schema_within(_element(a, place), _element(b, place), forward))
                answers.append(a.longest == 0 or self._schema_within(a.items, b.items, forward))
            case "object":
                answers.append(self._fields_within(a, b, forward))
        return _all(answers)

    def _rest_within(self, a: Form, b: Form) -> bool | None:
        """Keywords that are not understood: the same, or more of them than the other has. One that is new refuses something."""
        if not all(name in a.rest and written(a.rest[name]) == written(value) for name, value in b.rest.items()):
            return None if any(name in a.rest for name in b.rest) else False
        refers = any('"$ref": "#' in written(value) for value in b.rest.values())
        return None if refers and self._before.definitions != self._after.definitions else True

    def _fields_within(self, a: Form, b: Form, forward: bool) -> bool | None:
        readers = (self._before, self._after) if forward else (self._after, self._before)
        of_a, of_b = readers[0].shown(a), readers[1].shown(b)
        answers: list[bool | None] = [b.required <= a.required]
        for name, schema in of_b.items():
            if name in of_a:
                answers.append(self._schema_within(of_a[name], schema, forward))
            elif not self._sent and not forward:
                answers.append(False)  # a response that does not promise a field
            elif isinstance(a.additional, dict):
                answers.append(self._schema_within(a.additional, schema, forward))
        for name, schema in of_a.items():
            if name not in b.properties:
                answers.append(self._schema_within(schema, b.additional, forward))
        answers.append(self._schema_within(a.additional, b.additional, forward))
        return _all(answers)

    def _value_within(self, value: Json, b: Form) -> bool | None:
        if b.values is not None:
            return written(value) in {written(each) for each in b.values}
        if b.rest:
            return None
        match value:
            case bool() | None:
                return True
            case int() | float():
                fits = (b.low < value or (b.low == value and not b.above)) and (
                    value < b.high or (b.high == value and not b.below)
                )
                return fits and (b.multiple is None or value % b.multiple == 0)
            case str():
                if not b.shortest <= len(value) <= b.longest:
                    return False
                return None if b.pattern is not None or b.format is not None else True
            case _:
                return None

    def _step(self) -> None:
        self._steps -= 1
        if self._steps < 0:
            raise Undecided("it is too large to be compared in full")

    # Saying it

    def _named(self, path: str) -> str:
        return path.removeprefix(self._attribute).lstrip(".") or f"the {self._attribute}"

    def _of(
        self,
        path: str,
        before: Json,
        after: Json,
        verdict: Verdict,
        reason: str,
        cures: frozenset[Cure] = frozenset(),
        at: str | None = None,
    ) -> Difference:
        part = (at or path).removeprefix(self._attribute).lstrip(".").replace("[]", "").removesuffix(".*")
        return Difference(path, before, after, verdict, reason, cures, part or None)


def _with_required(properties: Mapping[str, Schema], form: Form) -> Mapping[str, Schema]:
    """A field may be required, and declared nowhere."""
    return {**properties, **dict.fromkeys(sorted(form.required - form.properties.keys()), form.additional)}


def _renamed(
    was: Mapping[str, Schema], now: Mapping[str, Schema], went: Sequence[str], came: Sequence[str]
) -> dict[str, str]:
    """The fields that went, each with the one that came and is alike; where there is one candidate alone."""
    found = {}
    for name in went:
        alike = [each for each in came if name in was and each in now and _plain(was[name]) == _plain(now[each])]
        others = [each for each in went if each in was and name in was and _plain(was[each]) == _plain(was[name])]
        if len(alike) == 1 and len(others) == 1:
            found[name] = alike[0]
    return found


def _plain(schema: Schema) -> Schema:
    if not isinstance(schema, dict):
        return schema
    return {
        name: value for name, value in schema.items() if name not in ("title", "description", "examples", "example")
    }


def _valued(old: Sequence[Form], new: Sequence[Form]) -> bool:
    return any(each.values is not None for each in (*old, *new))


def _bare(form: Form) -> Form:
    """What is left of a list or an object without its elements and fields."""
    return replace(form, first=(), items=True, properties={}, required=frozenset(), additional=True)


def _element(form: Form, place: int) -> Schema:
    return form.first[place] if place < len(form.first) else form.items


def _multiple(a: Form, of: float) -> bool:
    own = a.multiple or (1 if a.type == "integer" else 0)
    return bool(own) and own % of == 0


def _all(answers: Sequence[bool | None]) -> bool | None:
    return False if False in answers else None if None in answers else True


def _any(answers: Sequence[bool | None]) -> bool | None:
    return True if True in answers else None if None in answers else False


def _types(forms: Sequence[Form]) -> set[str]:
    return {each.type for each in forms}


def _only_bounded(old: Sequence[Form], new: Sequence[Form]) -> bool:
    """Whether what is new is of the types there were, and no more than beyond bounds, patterns and formats."""
    if any(each.values is not None and each.type not in ("null", "boolean") for each in old):
        return False
    plain = all(each.type not in ("object", "array") for each in (*old, *new)) or len(old) == len(new) == 1
    return plain and all(
        each.type in _types(old) or (each.type == "integer" and "number" in _types(old)) for each in new
    )


def _stated(schema: Schema) -> Json:
    return schema


def _shown(forms: Sequence[Form]) -> Json:
    """In short, for people and machines."""
    told: list[Json] = []
    for form in forms:
        said: dict[str, Json] = {"type": form.type}
        if form.values is not None and form.type not in ("null", "boolean"):
            said["enum"] = [*form.values]
        bounds = {
            "exclusiveMinimum" if form.above else "minimum": form.low,
            "exclusiveMaximum" if form.below else "maximum": form.high,
            "longest": form.longest,
        }
        said |= {name: value for name, value in bounds.items() if math.isfinite(value)}
        if form.shortest:
            said["shortest"] = form.shortest
        said |= {
            name: value for name, value in (("pattern", form.pattern), ("format", form.format)) if value is not None
        }
        if form.multiple is not None:
            said["multipleOf"] = form.multiple
        told.append({**said, **form.rest})
    return told[0] if len(told) == 1 else told


def _told(old: Sequence[Form], new: Sequence[Form]) -> str:
    """What differs, in a few words."""
    types = [" or ".join(dict.fromkeys(each.type for each in side)) or "nothing" for side in (old, new)]
    if types[0] != types[1]:
        return f"{types[1]} where it was {types[0]}"
    values = [
        {written(each): None for form in side for each in form.values or () if form.type not in ("null", "boolean")}
        for side in (old, new)
    ]
    if values[0] != values[1]:
        gone, come = ([each for each in a if each not in b] for a, b in (values, values[::-1]))
        told = [f"without {', '.join(gone[:5])}"] if gone else []
        told += [f"with {', '.join(come[:5])}"] if come else []
        return " and ".join(told)
    before, after = _shown(old), _shown(new)
    if isinstance(before, dict) and isinstance(after, dict):
        names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
        if names:
            told = [f"{name} {_said(after.get(name))} instead of {_said(before.get(name))}" for name in names]
            return ", ".join(told)
    return "its alternatives differ"


def _said(value: Json) -> str:
    return "none" if value is None else shortened(written(value), 60)
