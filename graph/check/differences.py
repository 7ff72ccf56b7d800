"""What differs between two versions of an asset's attributes, and what each difference means to a direct reader. Pure functions.

Saying for the first time what something is, or no longer, changes nothing about it; where absence itself says something,
`ABSENT` has what it says.
"""

from collections.abc import Callable, Mapping

from graph.check.definitions import definition_differences
from graph.check.schemas import request_differences, response_differences
from graph.check.signatures import signature_differences
from graph.check.types import type_differences
from graph.check.verdicts import Cure, Difference, Verdict
from graph.errors import shortened
from graph.keys import AssetKey
from graph.model import Attributes, Json

RELIED_ON = ("type", "nullable", "entities", "signature", "request", "response", "url", "online")
"""What readers rely on to read it at all."""
MADE_BY = ("default", "unit", "ttl", "definition", "artifact", "hyperparameters", "features_from", "version")
"""How it is made, and what its values mean."""

ABSENT: Mapping[str, Json] = {"features_from": "store", "online": True}


def differences(key: AssetKey, before: Attributes, after: Attributes) -> list[Difference]:  # noqa: ARG001
    """In the order of the attributes; none for what is nobody's concern, as a description."""
    found: list[Difference] = []
    for name in (*RELIED_ON, *MADE_BY):
        absent = ABSENT.get(name)
        old, new = before.get(name, absent), after.get(name, absent)
        if _same(old, new) or (name not in _SAID_BY_ABSENCE and (old is None or new is None)):
            continue
        found += _COMPARED[name](old, new)
    return found


def _same(old: Json, new: Json) -> bool:
    """`True == 1` in Python, and not in JSON."""
    return old == new and isinstance(old, bool) == isinstance(new, bool)


_SAID_BY_ABSENCE = {"default", "ttl"}
"""No default: what is missing is null. No time to live: values never expire."""


def _type(old: Json, new: Json) -> list[Difference]:
    return type_differences("type", str(old), str(new))


def _nullable(old: Json, new: Json) -> list[Difference]:
    if new is True:
        reason = "it may hold nulls now: readers run on, and sums, comparisons and joins leave them out"
        return [Difference("nullable", old, new, Verdict.BEHAVIOURAL, reason)]
    return [Difference("nullable", old, new, Verdict.NONE, "it holds no nulls any more, which its readers could take")]


def _entities(old: Json, new: Json) -> list[Difference]:
    was, now = (sorted(map(str, each)) if isinstance(each, list) else [str(each)] for each in (old, new))
    if was == now:
        return []
    reason = f"it is looked up by {_listed(now)} instead of {_listed(was)}"
    return [Difference("entities", old, new, Verdict.BREAKING, reason)]


def _url(old: Json, new: Json) -> list[Difference]:
    reason = f"its address is {shortened(new, 120)}; whoever calls {shortened(old, 120)} finds nobody"
    return [Difference("url", old, new, Verdict.BREAKING, reason)]


def _online(old: Json, new: Json) -> list[Difference]:
    if new is False:
        reason = "it is no longer in the online store: look-ups find no value"
        return [Difference("online", old, new, Verdict.BREAKING, reason, frozenset({Cure.DEFAULT}))]
    return [Difference("online", old, new, Verdict.ADDITIVE, "it can be looked up online, too")]


def _features_from(old: Json, new: Json) -> list[Difference]:
    if new == "request":
        reason = "requests must carry the features, which were looked up before"
        return [Difference("features_from", old, new, Verdict.BREAKING, reason)]
    reason = "features are looked up, where those that requests carry were taken before"
    return [Difference("features_from", old, new, Verdict.BEHAVIOURAL, reason)]


def _artifact(old: Json, new: Json) -> list[Difference]:
    if isinstance(old, dict) and isinstance(new, dict) and old.get("digest") == new.get("digest") is not None:
        return [Difference("artifact", old, new, Verdict.NONE, "its file is elsewhere, and the same by its digest")]
    return [Difference("artifact", old, new, Verdict.BEHAVIOURAL, "its file differs: its answers may")]


def _differs(attribute: str, reason: str) -> Callable[[Json, Json], list[Difference]]:
    def compare(old: Json, new: Json) -> list[Difference]:
        said = reason.format(old=_said(old), new=_said(new))
        return [Difference(attribute, old, new, Verdict.BEHAVIOURAL, said)]

    return compare


def _said(value: Json) -> str:
    if value is None:
        return "none"
    return str(value).lower() if isinstance(value, bool) else shortened(value, 60)


def _listed(names: list[str]) -> str:
    return " and ".join(names) or "nothing"


_COMPARED: Mapping[str, Callable[[Json, Json], list[Difference]]] = {
    "type": _type,
    "nullable": _nullable,
    "entities": _entities,
    "signature": signature_differences,
    "request": request_differences,
    "response": response_differences,
    "url": _url,
    "online": _online,
    "default": _differs("default", "its default goes from {old} to {new}: where it is missing, other values come"),
    "unit": _differs("unit", "its unit goes from {old} to {new}: the same number means something else"),
    "ttl": _differs("ttl", "its values expire after other times ({old} before, {new} now, in seconds)"),
    "definition": definition_differences,
    "artifact": _artifact,
    "hyperparameters": _differs("hyperparameters", "it is trained in another way: its answers may differ"),
    "features_from": _features_from,
    "version": _differs("version", "it names version {new} instead of {old}"),
}
