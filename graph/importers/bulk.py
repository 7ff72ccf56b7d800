"""Bulk intake: one JSON object a line → what it says, and all that an operation says of one subject → statements.

    {"asset": KEY, "valid_from"?, "owners"?, "tags"?, "attributes"?}
    {"flow": {"from": KEY, "to": KEY}, "basis"?, "valid_from"?, "valid_until"?}
    {"withdraw": KEY or {"from": KEY, "to": KEY}}

Nothing here depends on the order of lines. Where several lines speak of one subject at one time, that with the later
`valid_from` wins, then that with the larger SHA-256 of its canonical JSON; attributes that it does not name stay those of
the other.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from enum import IntEnum
from functools import lru_cache
from hashlib import sha256
from typing import NamedTuple

import orjson

from graph.attributes import canonical, checked_attributes
from graph.changes import AssetStatement, FlowStatement, Registration, Withdrawal
from graph.errors import InvalidAttribute, InvalidInput, InvalidKey, InvalidTime, quoted, shortened
from graph.keys import MAX_KEY_BYTES, AssetKey, AssetKind
from graph.model import FLOWS, Attributes, Basis, Flow, Json, Subject, checked_flow
from graph.plan import AHEAD
from graph.time import FOREVER, Instant, Interval, moment, parse_instant, pieces

MAX_LINE_BYTES = 1_048_576
MOST_LINES_OF_ONE = 500
"""Different lines about one subject in one operation: its history is planned anew with each of them."""

BASES = tuple(Basis)
"""`Line.basis` and `Stretch.basis` index it."""


class Stage(IntEnum):
    """What is committed first: a withdrawal takes along the flows that were there, not those that the operation states."""

    WITHDRAWAL = 0
    ASSET = 1
    FLOW = 2


class LineRefused(Exception):
    """`str(error)` is a sentence for people; `field` is where in the line, None for all of it."""

    def __init__(self, message: str, field: str | None, value: object, code: str = "InvalidInput") -> None:
        super().__init__(message)
        self.field, self.value, self.code = field, shortened(value), code


class Line(NamedTuple):
    """What a good line says. `since` is the operation's instant where the line gives none: then it is not `dated`."""

    stage: int
    subject: str
    since: Instant
    until: Instant
    dated: int
    basis: int
    attributes: bytes
    """Canonical JSON of checked attributes; empty where there are none."""
    digest: bytes
    """SHA-256 of the line's canonical JSON."""


class Stretch(NamedTuple):
    """What an operation says of one subject without interruption or change. `line` is where: the newest that says so."""

    subject: str
    since: Instant
    until: Instant
    basis: int
    attributes: bytes
    line: int
    lines: int
    """How many lines it does justice to, once committed: the newest stretch of a subject stands for all of them."""


def read_line(text: bytes, basis: Basis, now: Instant) -> Line:
    """What the line says, as of the operation's instant `now`; `basis` where it names none. Raises LineRefused."""
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise LineRefused(
            f"the line is not JSON in UTF-8: {error}", None, text[:200].decode(errors="replace")
        ) from error
    if type(document) is not dict:
        raise LineRefused("the line is JSON, but not an object", None, text[:200].decode())
    digest = sha256(_canonical(document, text)).digest()
    fields = document.keys()
    if "flow" in fields and fields <= _FLOW_FIELDS:
        since, until, dated = _time(document, now)
        return Line(
            Stage.FLOW, _flow(document["flow"], "flow"), since, until, dated, _basis(document, basis), b"", digest
        )
    if "asset" in fields and fields <= _ASSET_FIELDS:
        key = _key(document["asset"], "asset")[0]
        since, until, dated = _time(document, now)
        attributes = _attributes(document, key) if len(document) > 1 else b""
        if "#%40" in key and key.startswith("model_version:"):
            _refuse_bad_alias(key, attributes)
        return Line(Stage.ASSET, key, since, until, dated, BASES.index(basis), attributes, digest)
    if "withdraw" in fields and fields <= _WITHDRAW_FIELDS:
        gone = document["withdraw"]
        subject = _flow(gone, "withdraw") if isinstance(gone, dict) else _key(gone, "withdraw")[0]
        return Line(Stage.WITHDRAWAL, subject, now, FOREVER, 0, 0, b"", digest)
    raise _misshapen(document)


def folded(lines: Sequence[tuple[int, Line]], count: int) -> Iterator[Stretch]:
    """What numbered lines about one subject say together, newest first. They are ordered by `since`, then `digest`.

    Newest first, so that whoever reads between two commits finds what holds now. `count`: the lines with their repetitions.
    """
    spans = [(Interval(line.since, line.until), number, line) for number, line in lines]
    whole = Interval(min(span.start for span, _, _ in spans), max(span.end for span, _, _ in spans))
    said = {number: _loaded(line.attributes) for number, line in lines}
    after: Stretch | None = None
    for piece in reversed(pieces(whole, [[span for span, _, _ in spans]])):
        covering = [(number, line) for span, number, line in spans if span.holds_at(piece.start)]
        if not covering:
            continue
        merged: dict[str, Json] = {}
        for number, _ in covering:
            merged |= said[number]
        newest, line = covering[-1]
        attributes = canonical(merged) if merged else b""
        if after is None:
            after = Stretch(line.subject, *piece, line.basis, attributes, newest, count)
        elif (after.since, after.basis, after.attributes) == (piece.end, line.basis, attributes):
            after = after._replace(since=piece.start)
        else:
            yield after
            after = Stretch(line.subject, *piece, line.basis, attributes, newest, 0)
    if after is not None:
        yield after


def registration(origin: str, basis: int, stage: int, stretches: Sequence[Stretch]) -> Registration:
    """The stretches, each of another subject and all of one stage and basis, as a request. Ends nobody states are stubs."""
    assets: tuple[AssetStatement, ...] = ()
    flows: tuple[FlowStatement, ...] = ()
    withdrawals: tuple[Withdrawal, ...] = ()
    if stage == Stage.WITHDRAWAL:
        withdrawals = tuple(Withdrawal(subject_of(each.subject), each.since) for each in stretches)
    elif stage == Stage.ASSET:
        assets = tuple(
            AssetStatement(key_of(each.subject), _loaded(each.attributes), each.since, _end(each.until))
            for each in stretches
        )
    else:
        flows = tuple(FlowStatement(_flow_of(each.subject), {}, each.since, _end(each.until)) for each in stretches)
    return Registration(origin, BASES[basis], assets, flows, withdrawals, stubs=True)


def subject_of(text: str) -> Subject:
    """The key, or the flow, that a good line is about."""
    return _flow_of(text) if _ARROW in text else key_of(text)


def field_of(stage: int) -> str:
    """The field of a line that names its subject."""
    return ("withdraw", "asset", "flow")[stage]


@lru_cache(maxsize=65_536)
def key_of(text: str) -> AssetKey:
    """`AssetKey.parse` of a text that it accepted before, in a fifth of the time."""
    if "%" in text:
        return AssetKey.parse(text)
    kind, _, rest = text.partition(":")
    names, _, part = rest.partition("#")
    namespace, _, name = names.partition("/")
    path = () if not part else tuple(part.split(".")) if kind == "column" else (part,)
    return AssetKey(_KINDS[kind], namespace, name, path)


_KINDS = {kind.value: kind for kind in AssetKind}
_FLOW_FIELDS = frozenset({"flow", "basis", "valid_from", "valid_until"})
_ASSET_FIELDS = frozenset({"asset", "valid_from", "owners", "tags", "attributes"})
_WITHDRAW_FIELDS = frozenset({"withdraw"})
_ENDS = frozenset({"from", "to"})
_ARROW = " -> "
"""As `str(flow)` has it; keys hold no space."""

_S = "[A-Za-z0-9._~-]+"
_HEX = "[0-9a-f]"
_PLAIN = re.compile(
    f"(?:(dataset|feature_view|job|model|deployment|consumer):{_S}/{_S}"
    f"|(feature|model_version):{_S}/{_S}#{_S}"
    f"|(column):{_S}/{_S}#[A-Za-z0-9_~-]+(?:\\.[A-Za-z0-9_~-]+)*"
    f"|(run):{_S}/{_S}#{_HEX}{{8}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{12}})"
)
"""The keys without an escape, which need no reading to be known as canonical: nearly all, in a tenth of the time."""


def _key(text: Json, field: str) -> tuple[str, str]:
    """The key's text and its kind."""
    if type(text) is not str:
        raise LineRefused(
            f"{field} is {_shown(text)}, not the text of an asset's key", field, _shown(text), "InvalidKey"
        )
    match = _PLAIN.fullmatch(text)
    if match is not None and len(text) <= MAX_KEY_BYTES:
        return text, match[match.lastindex or 0]
    try:
        key = AssetKey.parse(text)
    except InvalidKey as error:
        raise LineRefused(str(error), field, text, "InvalidKey") from error
    if key.kind is AssetKind.ALERT:
        raise LineRefused(f"{key} is an alert: the service raises them, and no line does", field, text, "InvalidKey")
    return text, key.kind


def _flow(ends: Json, field: str) -> str:
    if type(ends) is not dict or ends.keys() != _ENDS:
        raise _wrong_ends(ends, field)
    source, source_kind = _key(ends["from"], f"{field}.from")
    target, target_kind = _key(ends["to"], f"{field}.to")
    if (source_kind, target_kind) not in FLOWS or source == target or "#%40" in target:
        try:
            checked_flow(AssetKey.parse(source), AssetKey.parse(target))
        except InvalidInput as error:
            raise LineRefused(str(error), field, error.value, type(error).__name__) from error
    return source + _ARROW + target


def _wrong_ends(ends: Json, field: str) -> LineRefused:
    wanted = f'{field} is {{"from": KEY, "to": KEY}}' + (" or a KEY" if field == "withdraw" else "")
    if not isinstance(ends, dict):
        return LineRefused(f"{wanted}, not {_shown(ends)}", field, _shown(ends))
    if unknown := sorted(ends.keys() - _ENDS):
        return LineRefused(f"{wanted}; it has no {quoted(unknown[0])}", f"{field}.{shortened(unknown[0])}", unknown[0])
    missing = min(_ENDS - ends.keys())
    return LineRefused(f"{wanted}; its {missing!r} is missing", f"{field}.{missing}", "")


def _time(document: Mapping[str, Json], now: Instant) -> tuple[Instant, Instant, int]:
    """`since`, `until`, and whether the line says since when. Null is as if it were not there."""
    given, end = document.get("valid_from"), document.get("valid_until")
    if given is None and end is None:
        return now, FOREVER, 0
    since = now if given is None else _instant(given, "valid_from")
    if since > now + AHEAD:
        raise LineRefused(
            f"valid_from {quoted(str(given))} is ahead of the clock, which stands at {moment(now)}",
            "valid_from",
            given,
            "InvalidTime",
        )
    until = FOREVER if end is None else _instant(end, "valid_until")
    if until <= since:
        raise LineRefused(
            f"valid_until {quoted(str(end))} is not after the start, {moment(since)}", "valid_until", end, "InvalidTime"
        )
    return since, until, int(given is not None)


def _instant(text: Json, field: str) -> Instant:
    if type(text) is not str:
        raise LineRefused(
            f"{field} is {_shown(text)}, not a text like 2026-11-23T14:00:00Z", field, _shown(text), "InvalidTime"
        )
    try:
        return _parsed_instant(text)
    except InvalidTime as error:
        raise LineRefused(f"{field}: {error}", field, text, "InvalidTime") from error


@lru_cache(maxsize=1024)
def _parsed_instant(text: str) -> Instant:
    at = parse_instant(text)
    moment(at)  # within the years that answers can tell
    return at


def _basis(document: Mapping[str, Json], default: Basis) -> int:
    given = document.get("basis")
    if given is None:
        return BASES.index(default)
    if not isinstance(given, str) or given not in _BASIS_CODE:
        raise LineRefused(f"basis is {_shown(given)}; it is one of {', '.join(_BASIS_CODE)}", "basis", _shown(given))
    return _BASIS_CODE[given]


_BASIS_CODE = {basis.value: code for code, basis in enumerate(BASES)}


def _attributes(document: Mapping[str, Json], key: str) -> bytes:
    given = document.get("attributes")
    if not isinstance(given, dict | None):
        raise LineRefused(
            f"attributes is {_shown(given)}, not an object", "attributes", _shown(given), "InvalidAttribute"
        )
    attributes: dict[str, Json] = dict(given or {})
    for name in ("owners", "tags"):
        if name in document:
            if name in attributes:
                raise LineRefused(
                    f"{name} stands twice: beside attributes, and in them",
                    f"attributes.{name}",
                    name,
                    "InvalidAttribute",
                )
            attributes[name] = document[name]
    owners = attributes.get("owners")
    if isinstance(owners, list):
        attributes["owners"] = [{"name": owner} if isinstance(owner, str) else owner for owner in owners]
    if not attributes:
        return b""
    try:
        return canonical(checked_attributes(attributes, key))
    except InvalidAttribute as error:
        raise LineRefused(
            str(error), _wrong_attribute(attributes, document, key), error.value, "InvalidAttribute"
        ) from error


def _wrong_attribute(attributes: Attributes, document: Mapping[str, Json], key: str) -> str:
    for name, value in sorted(attributes.items()):
        try:
            checked_attributes({name: value}, key)
        except InvalidAttribute:
            return name if name in document else f"attributes.{shortened(name)}"
    return "attributes"  # together they take too much


def _refuse_bad_alias(key: str, attributes: bytes) -> None:
    """Such a key names an alias, which is nothing without the version that it stands for."""
    version = _loaded(attributes).get("version")
    if not isinstance(version, str):
        raise LineRefused(f"the alias {key} needs a version to name", "attributes.version", version, "InvalidAttribute")
    if version.startswith("@"):
        raise LineRefused(
            f"the alias {key} names {quoted(version)}; it names a version, not another alias",
            "attributes.version",
            version,
            "InvalidAttribute",
        )


def _misshapen(document: Mapping[str, Json]) -> LineRefused:
    forms = {"asset": _ASSET_FIELDS, "flow": _FLOW_FIELDS, "withdraw": _WITHDRAW_FIELDS}
    named = [form for form in forms if form in document]
    if len(named) != 1:
        wrong = "names none of them" if not named else f"names {' and '.join(named)}"
        return LineRefused(f"a line is about one asset, flow or withdraw; this one {wrong}", None, ", ".join(named))
    unknown = min(document.keys() - forms[named[0]])
    known = ", ".join(sorted(forms[named[0]]))
    return LineRefused(
        f"{quoted(unknown)} is no field of a line about {named[0]}; its fields are {known}", shortened(unknown), unknown
    )


def _canonical(document: dict[str, Json], text: bytes) -> bytes:
    """Sorted keys, no spaces. Raises LineRefused for what a reader of JSON would lose: a name given twice, long numbers.

    A line that is written again as it was, spaces aside, lost nothing; others are read a second time, slowly.
    """
    try:
        if orjson.dumps(document).translate(None, _SPACES) != text.translate(None, _SPACES):
            json.loads(text, object_pairs_hook=_each_once, parse_int=_exact)
        return orjson.dumps(document, option=orjson.OPT_SORT_KEYS)
    except (TypeError, RecursionError) as error:
        raise LineRefused(f"the line is nested too deep: {error}", None, text[:200].decode()) from error


_SPACES = b" \t\r\n"


def _each_once(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise LineRefused(f"the name {quoted(twice)} stands twice in one object", shortened(twice), twice)
    return found


def _exact(digits: str) -> int:
    number = int(digits) if len(digits) <= 20 else 2**64
    if not -(2**63) <= number < 2**64:
        raise LineRefused(f"the number {shortened(digits)} does not fit 64 bits; write it as text", None, digits)
    return number


def _flow_of(text: str) -> Flow:
    source, _, target = text.partition(_ARROW)
    return Flow(key_of(source), key_of(target))


def _loaded(attributes: bytes) -> dict[str, Json]:
    found: dict[str, Json] = orjson.loads(attributes) if attributes else {}
    return found


def _end(until: Instant) -> Instant | None:
    return None if until == FOREVER else until


def _shown(value: Json) -> str:
    return shortened(orjson.dumps(value).decode())
