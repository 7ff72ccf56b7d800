"""What it means to callers that what a model takes and gives differs.

An input is what a request carries, or, if it is a `feature`, what is looked up for it. What servers do with requests:

* *An input is missing:* refused, by the gateway of this service, Triton and MLflow alike, unless the model says it is optional.
* *One too many:* refused by the gateway of this service and by Triton; MLflow leaves it out. So it breaks, for whoever sends it.
* *Another datatype:* the gateway takes whole numbers of any size that fit, and whole numbers where floating ones are wanted;
  it refuses all else, and numbers beyond the datatype. Floating numbers are rounded to the datatype.
* *Another shape:* refused, where a size is fixed.

What is looked up is turned into the datatype of the input; it fails where a text is no number.
"""

from collections.abc import Iterator, Mapping

from graph.check.types import Family, Relation, Type, read_types, relation, type_differences
from graph.check.verdicts import Cure, Difference, Verdict
from graph.errors import shortened
from graph.importers.values import listed
from graph.model import Json

_Tensor = Mapping[str, Json]
_Sides = tuple[dict[str, _Tensor], dict[str, _Tensor]]


def signature_differences(before: Json, after: Json, requests_carry_features: bool = False) -> list[Difference]:
    """Of two signatures, for who sends requests and reads answers: of one version, or of the versions served before and after.

    `requests_carry_features`: features are not looked up, so that callers must send those, too. The order of names is
    nothing. A side that one of the two does not tell is not compared.
    """
    return [
        *_inputs(_sides("inputs", before, after), requests_carry_features),
        *_outputs(_sides("outputs", before, after)),
    ]


def _sides(side: str, before: Json, after: Json) -> _Sides:
    old, new = (_tensors(each.get(side) if isinstance(each, dict) else None) for each in (before, after))
    if not old or not new:
        return {}, {}
    if len(old) == len(new) == 1 and (_unnamed(old) or _unnamed(new)):
        # A single tensor is the same one, whether it has been given a name or not.
        return {next(iter(new)): next(iter(old.values()))}, new
    return old, new


def _unnamed(tensors: Mapping[str, _Tensor]) -> bool:
    return not next(iter(tensors.values())).get("name")


def _tensors(value: Json) -> dict[str, _Tensor]:
    tensors = [each for each in listed(value) if isinstance(each, dict)]
    return {str(each.get("name") or f"[{place}]"): each for place, each in enumerate(tensors)}


def _inputs(sides: _Sides, requests_carry_features: bool) -> Iterator[Difference]:
    before, after = sides
    for name, old in before.items():
        attribute, sent = f"signature.inputs.{name}", requests_carry_features or not old.get("feature")
        new = after.get(name)
        if new is None:
            if sent:
                reason = f"it has no input {name} any more, and servers refuse requests that carry it"
                yield _of(attribute, old, None, Verdict.BREAKING, reason, None if _needed(old) else name)
            else:
                reason = f"it no longer looks up {name} for its answers"
                yield _of(attribute, old, None, Verdict.BEHAVIOURAL, reason, name)
            continue
        part = None if _needed(old) else name
        if old.get("feature") and not new.get("feature") and not requests_carry_features and _needed(new):
            reason = f"requests must carry {name}, which was looked up before"
            yield _of(f"{attribute}.feature", old["feature"], None, Verdict.BREAKING, reason)
        elif old.get("feature") and new.get("feature") and old["feature"] != new["feature"]:
            reason = f"{name} is another feature now"
            yield _of(f"{attribute}.feature", old["feature"], new["feature"], Verdict.BEHAVIOURAL, reason, name)
        elif new.get("feature") and not old.get("feature") and not requests_carry_features:
            reason = f"{name} is looked up where requests do not carry it"
            yield _of(f"{attribute}.feature", None, new["feature"], Verdict.ADDITIVE, reason, name)
        if not _needed(old) and _needed(new) and (requests_carry_features or not new.get("feature")):
            reason = f"requests must carry {name}, which they could leave out"
            yield _of(f"{attribute}.optional", old.get("optional"), new.get("optional"), Verdict.BREAKING, reason)
        elif _needed(old) and not _needed(new):
            reason = f"requests may leave out {name}"
            yield _of(f"{attribute}.optional", old.get("optional"), new.get("optional"), Verdict.ADDITIVE, reason, name)
        elif old.get("default") != new.get("default"):
            reason = f"where requests leave out {name}, it takes {shortened(new.get('default'), 60)}"
            yield _of(f"{attribute}.default", old.get("default"), new.get("default"), Verdict.BEHAVIOURAL, reason, name)
        yield from _input_type(attribute, old, new, sent, part)
        yield from _shape(attribute, name, old, new, Verdict.ADDITIVE, part if sent else name)
        yield from _unit(attribute, name, old, new)
    for name, new in after.items():
        if name not in before:
            attribute = f"signature.inputs.{name}"
            if not _needed(new):
                yield _of(attribute, None, new, Verdict.ADDITIVE, f"requests may carry {name}, too", name)
            elif new.get("feature") and not requests_carry_features:
                yield _of(
                    attribute, None, new, Verdict.ADDITIVE, f"it looks up {name}, too; requests stay as they are", name
                )
            else:
                yield _of(attribute, None, new, Verdict.BREAKING, f"requests must carry {name}, which none does yet")


def _needed(tensor: _Tensor) -> bool:
    return tensor.get("optional") is not True and tensor.get("required") is not False and tensor.get("default") is None


def _input_type(attribute: str, old: _Tensor, new: _Tensor, sent: bool, part: str | None) -> Iterator[Difference]:
    was, now = old.get("type"), new.get("type")
    if was is None or now is None or was == now:
        return
    types = read_types(*(_elements(each) for each in (was, now)))
    where = f"{attribute}.type"
    from_to = f"from {shortened(was, 60)} to {shortened(now, 60)}"
    before, after = types
    if before is None or after is None:
        yield _of(where, was, now, Verdict.BREAKING, f"its type changes {from_to}", part)
        return
    match relation(before, after):
        case Relation.SAME:
            return
        case Relation.WIDER:
            yield _of(where, was, now, Verdict.ADDITIVE, f"its type widens {from_to}: what was sent is taken", part)
        case Relation.NARROWER if after.family is Family.FLOATING or not sent:
            yield _of(
                where, was, now, Verdict.BEHAVIOURAL, f"its type narrows {from_to}: values are rounded to it", part
            )
        case Relation.NARROWER:
            yield _of(
                where, was, now, Verdict.BREAKING, f"its type narrows {from_to}: values beyond it are refused", part
            )
        case Relation.OTHER if before.family is Family.INTEGER and after.family is Family.FLOATING:
            yield _of(
                where, was, now, Verdict.ADDITIVE, f"its type changes {from_to}: whole numbers are taken, too", part
            )
        case Relation.OTHER if not sent and _numeric(before) and _numeric(after):
            yield _of(
                where,
                was,
                now,
                Verdict.BEHAVIOURAL,
                f"its type changes {from_to}: what is looked up is turned into it",
                part,
            )
        case Relation.OTHER:
            yield _of(where, was, now, Verdict.BREAKING, f"its type changes {from_to}: what was sent is refused", part)


def _numeric(type_: Type) -> bool:
    return type_.family in (Family.INTEGER, Family.FLOATING, Family.BOOLEAN, Family.DECIMAL)


def _elements(type_: Json) -> str:
    """The datatypes of tensors are those of numpy and the Open Inference Protocol: bits, and BYTES for text."""
    said = str(type_)
    return {"int8": "tinyint", "bytes": "text", "object": "text", "int1": "tinyint"}.get(said.casefold(), said)


def _outputs(sides: _Sides) -> Iterator[Difference]:
    before, after = sides
    went, came = ([each for each in some if each not in other] for some, other in ((before, after), (after, before)))
    alike = len(went) == len(came) == 1 and before[went[0]].get("type") == after[came[0]].get("type")
    renamed = {went[0]: came[0]} if alike else {}
    for name, old in before.items():
        attribute = f"signature.outputs.{name}"
        new = after.get(name)
        if name in renamed:
            reason = f"{name} of its answers is called {renamed[name]}"
            cures = frozenset({Cure.DEFAULT, Cure.ALIAS})
            yield _of(attribute, name, renamed[name], Verdict.BREAKING, reason, name, cures)
            continue
        if new is None:
            reason = f"its answers have no {name} any more"
            yield _of(attribute, old, None, Verdict.BREAKING, reason, name, frozenset({Cure.DEFAULT}))
            continue
        was, now = old.get("type"), new.get("type")
        if was is not None and now is not None and was != now:
            for each in type_differences(f"{attribute}.type", _elements(was), _elements(now)):
                yield each._replace(before=was, after=now, part=name)
        yield from _shape(attribute, name, old, new, Verdict.BREAKING, name)
        yield from _unit(attribute, name, old, new)
    for name, new in after.items():
        if name not in before and name not in renamed.values():
            yield _of(f"signature.outputs.{name}", None, new, Verdict.ADDITIVE, f"its answers have {name}, too", name)


def _shape(
    attribute: str, name: str, old: _Tensor, new: _Tensor, opened: Verdict, part: str | None
) -> Iterator[Difference]:
    """`opened`: the verdict where a size that was fixed is any now. Those who send may go on; those who read may not."""
    was, now = old.get("shape"), new.get("shape")
    if not isinstance(was, list) or not isinstance(now, list) or was == now:
        return
    at, said = f"{attribute}.shape", f"{name} has the shape {now} instead of {was}"
    if len(was) != len(now) or any(a != b and -1 not in (a, b) for a, b in zip(was, now, strict=True)):
        yield _of(at, was, now, Verdict.BREAKING, said, part)
    elif any(a != -1 and b == -1 for a, b in zip(was, now, strict=True)):
        also_closed = any(a == -1 and b != -1 for a, b in zip(was, now, strict=True))
        yield _of(at, was, now, Verdict.BREAKING if also_closed else opened, said, part)
    else:
        yield _of(at, was, now, Verdict.BREAKING if opened is Verdict.ADDITIVE else Verdict.NONE, said, part)


def _unit(attribute: str, name: str, old: _Tensor, new: _Tensor) -> Iterator[Difference]:
    was, now = old.get("unit"), new.get("unit")
    if was is not None and now is not None and was != now:
        reason = f"the unit of {name} goes from {shortened(was, 60)} to {shortened(now, 60)}"
        yield _of(f"{attribute}.unit", was, now, Verdict.BEHAVIOURAL, reason, name)


def _of(
    attribute: str,
    before: "Json | _Tensor",
    after: "Json | _Tensor",
    verdict: Verdict,
    reason: str,
    part: str | None = None,
    cures: frozenset[Cure] = frozenset(),
) -> Difference:
    held: list[Json] = [dict(each) if isinstance(each, Mapping) else each for each in (before, after)]
    return Difference(attribute, held[0], held[1], verdict, reason, cures, part)
