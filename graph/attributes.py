"""What an asset's attributes may be, and which value is shown when origins disagree."""

import math
import re
import reprlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from heapq import heappop, heappush

import orjson

from graph.errors import InvalidAttribute, InvalidKey, quoted, shortened
from graph.keys import AssetKey, AssetKind
from graph.model import SHOWN_FIRST, Assertion, Attributes, Basis, Flow, Json
from graph.profile import ProfileInvalid, read_profile
from graph.time import Instant, Interval, union

SET_VALUED = frozenset({"owners", "tags", "same_as"})
"""Shown as the union over the origins of the strongest basis present; `same_as` over all: each is an assertion of its own."""

JOINABLE = frozenset({AssetKind.DATASET, AssetKind.DEPLOYMENT, AssetKind.CONSUMER})
"""The kinds of which two may be the same: `same_as` lists keys of the asset's own kind."""

_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_ALERT_STATES = ("OPEN", "ACKNOWLEDGED", "RESOLVED")
_DEPRECATED = ("since", "until", "replacement", "reason", "by")
_FEATURES_FROM = ("store", "request")
_BY = ("name", "position")
_CONSUMER_TYPES = ("service", "application", "dashboard", "notebook", "batch_job")
_MAX_BYTES = 262_144


def canonical(value: object, plain: Callable[[object], object] | None = None) -> bytes:
    """The one JSON text of `value`: sorted keys, no spaces. Raises InvalidAttribute for what JSON cannot hold.

    `plain` is asked for something simpler in place of what JSON has no form for, or raises TypeError.
    """
    try:
        return orjson.dumps(value, plain, orjson.OPT_SORT_KEYS | orjson.OPT_PASSTHROUGH_DATACLASS)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidAttribute(f"{reprlib.repr(value)} is not JSON: {error}", reprlib.repr(value)) from error


def checked_attributes(attributes: Attributes, of: object) -> dict[str, Json]:
    """The attributes in their canonical form, sets sorted. None for a value means: this origin no longer says so.

    Unknown names are kept as they are. Raises InvalidAttribute, naming the attribute and `of`.
    """
    checked: dict[str, Json] = {}
    if not attributes:
        return checked
    forms = _ALL_FORMS if isinstance(of, Flow) else _FORMS
    for name in sorted(attributes):
        value = attributes[name]
        if not _NAME.fullmatch(name):
            raise InvalidAttribute(
                f"{quoted(name)} of {of} is not an attribute's name: use lower-case letters, digits and _", name
            )
        if value is None:
            checked[name] = None
            continue
        if not isinstance(value, str | int):
            _refuse_non_finite(value, name, of)
        form = forms.get(name)
        try:
            checked[name] = form(value) if form else value
            if name == "same_as":
                _refuse_unlike(checked[name], of)
        except _WrongForm as error:
            raise InvalidAttribute(
                f"{name} of {of} is {shortened(orjson.dumps(value).decode())}, but {error}", value
            ) from None
    size = len(canonical(checked))
    if size > _MAX_BYTES:
        raise InvalidAttribute(f"the attributes of {of} take {size} bytes; the limit is {_MAX_BYTES}", size)
    return checked


@dataclass(frozen=True, slots=True)
class Claim:
    """One origin's value of an attribute, and since when that origin says so."""

    value: Json
    origin: str
    basis: Basis
    since: Instant


@dataclass(frozen=True, slots=True)
class Shown:
    """The value to show, the claims it comes from (several for sets), and the claims that say otherwise."""

    value: Json
    claims: tuple[Claim, ...]
    disagreeing: tuple[Claim, ...]


def shown_attributes(assertions: Iterable[Assertion], at: Instant) -> dict[str, Shown]:
    """What to show of one asset at `at`, from all that is believed of it; sorted by name.

    The strongest basis wins (DECLARED, IMPORTED, OBSERVED, INFERRED), then the later event time, then the origin's name.
    """
    claims: dict[str, list[Claim]] = {}
    for by_origin in _grouped(assertions):
        for current in by_origin:
            if current.valid.holds_at(at):
                for name, value in current.attributes.items():
                    since = _since(by_origin, current, name)
                    claims.setdefault(name, []).append(Claim(value, current.origin, current.basis, since))
    return {name: _chosen(name, sorted(claims[name], key=_precedence)) for name in sorted(claims)}


def shown_pieces(said: Sequence[Assertion]) -> list[tuple[Interval, dict[str, Json]]]:
    """The values alone of `shown_attributes`, for all of valid time in which something holds; neighbours differ.

    Thousands of origins may speak of one table: it costs no more than what they say is long.
    """
    there = union([each.valid for each in said])
    turns: dict[Instant, list[tuple[str, Json]]] = {}
    for name, claims in _claims_by_name([each for each in said if each.attributes]).items():
        for at, value in (_union_turns if name in SET_VALUED else _value_turns)(claims):
            turns.setdefault(at, []).append((name, value))
    for start, end in there:
        turns.setdefault(start, [])
        turns.setdefault(end, [])
    found: list[tuple[Interval, dict[str, Json]]] = []
    shown: dict[str, Json] = {}
    ordered, here = sorted(turns), 0
    for place, at in enumerate(ordered[:-1]):
        for name, value in turns[at]:
            if value is None:
                del shown[name]
            else:
                shown[name] = value
        while there[here].end <= at:
            here += 1
        if there[here].start <= at:
            piece = Interval(at, ordered[place + 1])
            if found and found[-1][0].end == at and found[-1][1] == shown:
                found[-1] = Interval(found[-1][0].start, piece.end), found[-1][1]
            else:
                found.append((piece, dict(sorted(shown.items()))))
    return found


def _claims_by_name(said: Iterable[Assertion]) -> dict[str, list[tuple[Interval, Claim]]]:
    claims: dict[str, list[tuple[Interval, Claim]]] = {}
    for spans in _grouped(said):
        before: Assertion | None = None
        since: dict[str, Instant] = {}
        for span in spans:
            follows = before is not None and before.valid.end == span.valid.start
            goes_on: dict[str, Instant] = {}
            for name, value in span.attributes.items():
                same = follows and before is not None and before.attributes.get(name) == value
                goes_on[name] = since[name] if same else span.valid.start
                claim = Claim(value, span.origin, span.basis, goes_on[name])
                claims.setdefault(name, []).append((span.valid, claim))
            before, since = span, goes_on
    return claims


def _value_turns(claims: Sequence[tuple[Interval, Claim]]) -> Iterator[tuple[Instant, Json]]:
    """When another value is shown; None: none is."""
    ordered = sorted(claims, key=lambda each: each[0].start)
    ends = sorted({end for claim in claims for end in claim[0]})
    best: list[tuple[tuple[int, int, str], Instant, int]] = []
    next_, shown = 0, None
    for at in ends:
        while next_ < len(ordered) and ordered[next_][0].start == at:
            heappush(best, (_precedence(ordered[next_][1]), ordered[next_][0].end, next_))
            next_ += 1
        while best and best[0][1] <= at:
            heappop(best)
        value = ordered[best[0][2]][1].value if best else None
        if value is not shown:
            yield at, value
            shown = value


def _union_turns(claims: Sequence[tuple[Interval, Claim]]) -> Iterator[tuple[Instant, Json]]:
    """The same for sets: united over the strongest basis."""
    turns: dict[Instant, list[tuple[int, Claim]]] = {}
    for valid, claim in claims:
        turns.setdefault(valid.start, []).append((1, claim))
        turns.setdefault(valid.end, []).append((-1, claim))
    held: dict[Basis, dict[bytes, tuple[int, Json]]] = {basis: {} for basis in SHOWN_FIRST}
    """Of each basis its different sets, and how many say so."""
    shown: Json = None
    for at in sorted(turns):
        for more, claim in turns[at]:
            sets, text = held[claim.basis], canonical(claim.value)
            many = sets.get(text, (0, None))[0] + more
            if many:
                sets[text] = many, claim.value
            else:
                del sets[text]
        strongest = next((sets for sets in held.values() if sets), None)
        value: Json = None if strongest is None else _union([value for _, value in strongest.values()])
        if value != shown:
            yield at, value
            shown = value


def shown_values(assertions: Sequence[Assertion], at: Instant) -> dict[str, Json] | None:
    """The values alone of `shown_attributes`; None where nothing holds at `at`."""
    holding = [each for each in assertions if each.valid.holds_at(at)]
    if not holding:
        return None
    if len(holding) > 1:
        return values(shown_attributes([each for each in assertions if each.attributes], at))
    said = holding[0].attributes
    return {name: _union([value]) if name in SET_VALUED else value for name, value in said.items()}


def values(attributes: dict[str, Shown]) -> dict[str, Json]:
    return {name: shown.value for name, shown in attributes.items()}


def owner_names(owners: Json) -> tuple[str, ...]:
    """The names in an `owners` value, sorted; none for anything else."""
    if not isinstance(owners, list):
        return ()
    return tuple(sorted(str(owner["name"]) for owner in owners if isinstance(owner, dict)))


def _grouped(assertions: Iterable[Assertion]) -> list[list[Assertion]]:
    groups: dict[str, list[Assertion]] = {}
    for assertion in assertions:
        groups.setdefault(assertion.origin, []).append(assertion)
    return [sorted(group, key=lambda span: span.valid) for group in groups.values()]


def _since(spans: Sequence[Assertion], current: Assertion, name: str) -> Instant:
    since = current.valid.start
    for span in reversed(spans):
        if span.valid.end == since and span.attributes.get(name) == current.attributes[name]:
            since = span.valid.start
    return since


def _precedence(claim: Claim) -> tuple[int, int, str]:
    return SHOWN_FIRST.index(claim.basis), -claim.since, claim.origin


def _chosen(name: str, claims: Sequence[Claim]) -> Shown:
    if name not in SET_VALUED:
        first = claims[0]
        return Shown(first.value, (first,), tuple(claim for claim in claims[1:] if claim.value != first.value))
    strongest = tuple(claim for claim in claims if claim.basis is claims[0].basis or name == "same_as")
    union = _union([claim.value for claim in strongest])
    return Shown(union, strongest, tuple(claims[len(strongest) :]))


def _union(sets: Iterable[Json]) -> list[Json]:
    members = {canonical(member): member for each in sets for member in _members(each)}
    return [members[text] for text in sorted(members)]


def _members(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []


class _WrongForm(Exception):
    pass


def _refuse_non_finite(value: Json, name: str, of: object) -> None:
    stack: list[tuple[Json, int]] = [(value, 0)]
    while stack:
        item, depth = stack.pop()
        if depth > 32:
            raise InvalidAttribute(f"{name} of {of} is nested deeper than 32 levels", name)
        if isinstance(item, float) and not math.isfinite(item):
            raise InvalidAttribute(f"{name} of {of} holds {item}, which JSON cannot", item)
        if isinstance(item, dict):
            stack.extend((inner, depth + 1) for inner in item.values())
        elif isinstance(item, list):
            stack.extend((inner, depth + 1) for inner in item)


def _text(value: Json) -> Json:
    if not isinstance(value, str):
        raise _WrongForm("must be text")
    return value


def _one_of(*choices: str) -> Callable[[Json], Json]:
    def check(value: Json) -> Json:
        if value not in choices:
            raise _WrongForm(f"must be one of {', '.join(choices)}")
        return value

    return check


def _tier(value: Json) -> Json:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 4:
        raise _WrongForm("must be a whole number from 1 (most critical) to 4")
    return value


def _texts(value: Json) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
        raise _WrongForm("must be a list of non-empty texts")
    return [str(item) for item in value]


def _tags(value: Json) -> Json:
    return [*sorted(set(_texts(value)))]


def _entities(value: Json) -> Json:
    return [*_texts(value)]


def _owners(value: Json) -> Json:
    if not isinstance(value, list):
        raise _WrongForm("must be a list of {name, contact}")
    owners: dict[str, Json] = {}
    for owner in value:
        if (
            not isinstance(owner, dict)
            or not isinstance(owner.get("name"), str)
            or not owner["name"]
            or not isinstance(owner.get("contact", ""), str | None)
            or owner.keys() - {"name", "contact"}
        ):
            raise _WrongForm("must be a list of {name, contact}, name a non-empty text and contact a text or absent")
        owners[str(owner["name"])] = {name: part for name, part in owner.items() if part is not None}
    return [owners[name] for name in sorted(owners)]


def _numbers(value: Json) -> Json:
    if not isinstance(value, dict) or not all(
        isinstance(number, int | float) and not isinstance(number, bool) for number in value.values()
    ):
        raise _WrongForm("must map names to numbers")
    return value


def _mapping(value: Json) -> Json:
    if not isinstance(value, dict):
        raise _WrongForm("must be a mapping")
    return value


def _boolean(value: Json) -> Json:
    if not isinstance(value, bool):
        raise _WrongForm("must be true or false")
    return value


def _signature(value: Json) -> Json:
    """{inputs: [{name, type?, shape?, feature?}], outputs: [{name, type?, shape?}]}; `feature` is an asset key."""
    if not isinstance(value, dict) or value.keys() - {"inputs", "outputs"}:
        raise _WrongForm("must be {inputs: [...], outputs: [...]}")
    for side in ("inputs", "outputs"):
        tensors = value.get(side, [])
        if not isinstance(tensors, list):
            raise _WrongForm(f"{side} must be a list")
        for tensor in tensors:
            if not isinstance(tensor, dict) or not isinstance(tensor.get("name"), str):
                raise _WrongForm(f"each of {side} must have a name")
            if tensor.get("feature") is not None:
                _feature(tensor["feature"])
    return value


def _definition(value: Json) -> Json:
    """Text, {sql, dialect?} or {python, function}."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict) and all(isinstance(part, str) for part in value.values()):
        names = value.keys()
        if names == {"python", "function"} or ("sql" in names and not names - {"sql", "dialect"}):
            return value
    raise _WrongForm("must be text, or {sql, dialect} or {python, function}, all texts")


def _contract(value: Json) -> Json:
    if not isinstance(value, dict) or len(value) != 1 or value.keys() - {"json_schema", "protobuf"}:
        raise _WrongForm("must be {json_schema: …} or {protobuf: …}")
    return {name: _mapping(inner) for name, inner in value.items()}


def _seconds(value: Json) -> Json:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise _WrongForm("must be a whole number of seconds")
    return value


def _deprecated(value: Json) -> Json:
    """{since?, until?, replacement?, reason?, by?}; `since` and `until` are days."""
    if not isinstance(value, dict) or value.keys() - _DEPRECATED or not all(isinstance(v, str) for v in value.values()):
        raise _WrongForm(f"must be a mapping of {', '.join(_DEPRECATED)} to texts")
    for name in ("since", "until"):
        try:
            date.fromisoformat(str(value.get(name, "2000-01-01")))
        except ValueError:
            raise _WrongForm(f"{name} must be a day like 2026-12-31") from None
    return value


def _asset_keys(value: Json) -> Json:
    return [*sorted({str(_parsed(text, "each")) for text in _texts(value)})]


def _refuse_unlike(keys: Json, of: object) -> None:
    kind = "" if isinstance(of, Flow) else str(of).partition(":")[0]
    if kind not in JOINABLE:
        raise _WrongForm(f"only a {', a '.join(sorted(JOINABLE))} can be the same as another")
    for text in keys if isinstance(keys, list) else ():
        if text == str(of):
            raise _WrongForm("it names the asset itself")
        if AssetKey.parse(str(text)).kind != kind:
            raise _WrongForm(f"{text} is no {kind}")


def _asset_key(value: Json) -> Json:
    _parsed(value, "it")
    return value


def _parsed(value: Json, what: str) -> AssetKey:
    try:
        return AssetKey.parse(value if isinstance(value, str) else "")
    except InvalidKey as error:
        raise _WrongForm(f"{what} must be an asset key: {error}") from error


def _profile(value: Json) -> Json:
    try:
        read_profile(value)
    except ProfileInvalid as error:
        raise _WrongForm(str(error)) from error
    return value


def _feature(value: Json) -> None:
    key = _parsed(value, "each feature")
    if key.kind not in {"feature", "feature_view"}:
        raise _WrongForm(f"{key} is not a feature")


_FORMS: dict[str, Callable[[Json], Json]] = {
    "description": _text,
    "environment": _text,
    "source_link": _text,
    "type": _text,
    "definition": _definition,
    "unit": _text,
    "alias_of": _text,
    "ttl": _seconds,
    "online": _boolean,
    "request": _contract,
    "response": _contract,
    "url": _text,
    "version": _text,
    "tier": _tier,
    "tags": _tags,
    "same_as": _asset_keys,
    "owners": _owners,
    "entities": _entities,
    "metrics": _numbers,
    "hyperparameters": _mapping,
    "spelling": _mapping,
    "nullable": _boolean,
    "signature": _signature,
    "deprecated": _deprecated,
    "acknowledged": _mapping,
    "profile": _profile,
    "about": _asset_key,
    "state": _one_of(*_ALERT_STATES),
    "verified": _boolean,
    "features_from": _one_of(*_FEATURES_FROM),
    "consumer_type": _one_of(*_CONSUMER_TYPES),
}
"""Any value may be a `default`."""

_FORMS_OF_FLOWS: dict[str, Callable[[Json], Json]] = {
    "cast": _text,
    "alias": _text,
    "by": _one_of(*_BY),
    "fields": _entities,
    "optional": _boolean,
}
"""What the reader says of it."""
_ALL_FORMS = _FORMS | _FORMS_OF_FLOWS


def named_same(attributes: Attributes) -> tuple[AssetKey, ...]:
    """The keys of which checked attributes say that they are the same asset."""
    named = attributes.get("same_as")
    return tuple(AssetKey.parse(str(text)) for text in named) if isinstance(named, list) else ()


def shown_together(told: Sequence[dict[str, Shown]]) -> dict[str, Shown]:
    """What to show of several assets that are the same, from what is shown of each; on a par, the first is shown.

    Owners and tags are those of all, so that everybody is told; the tier is the most critical one.
    """
    claims: dict[str, list[Shown]] = {}
    for shown in told:
        for name, each in shown.items():
            claims.setdefault(name, []).append(each)
    return {name: _together(name, claims[name]) for name in sorted(claims)}


def _together(name: str, each: Sequence[Shown]) -> Shown:
    if len(each) == 1:
        return each[0]
    if name in SET_VALUED:
        union = _union(shown.value for shown in each)
        if name == "owners":
            union = [*{str(owner["name"]): owner for owner in reversed(union) if isinstance(owner, dict)}.values()]
            union.sort(key=canonical)
        return Shown(union, sum((e.claims for e in each), ()), sum((e.disagreeing for e in each), ()))
    ranked = sorted(each, key=lambda shown: _precedence(shown.claims[0])[:2])
    if name == "tier":
        ranked.sort(key=lambda shown: shown.value if isinstance(shown.value, int) else 5)
    first, others = ranked[0], [claim for shown in ranked for claim in (*shown.claims, *shown.disagreeing)]
    return Shown(first.value, first.claims, tuple(claim for claim in others if claim.value != first.value))


def signature_features(signature: Json) -> tuple[AssetKey, ...]:
    """The features (or whole views) that a checked signature says each request needs, in its order."""
    inputs = signature.get("inputs", []) if isinstance(signature, dict) else []
    return tuple(
        AssetKey.parse(str(tensor["feature"]))
        for tensor in (inputs if isinstance(inputs, list) else [])
        if isinstance(tensor, dict) and tensor.get("feature")
    )
