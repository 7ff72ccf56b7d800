"""From what holds when, each piece for its own reason, to the disjoint assertions of one origin about one subject."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from graph.model import REFINES_FIRST, Assertion, Attributes, Basis, Json, Subject
from graph.time import FOREVER, Instant, Interval

_STRENGTH = {basis: place for place, basis in enumerate(REFINES_FIRST)}


class Holding(NamedTuple):
    """The subject is there during `valid`, by `basis`; without a basis, only the attributes hold, while it is there."""

    valid: Interval
    basis: Basis | None
    attributes: Attributes


class Said(NamedTuple):
    """Something that holds until something else is said; of what is said at one instant, that of the last digest."""

    at: Instant
    digest: str
    value: Json


def in_turn(said: Iterable[Said]) -> Iterator[tuple[Interval, Json]]:
    """Each value with its time, equal neighbours joined."""
    start: Instant | None = None
    value: Json = None
    ordered = sorted(said, key=lambda each: (each.at, each.digest))
    for place, each in enumerate(ordered):
        if place + 1 < len(ordered) and ordered[place + 1].at == each.at:
            continue
        if start is None:
            start, value = each.at, each.value
        elif each.value is not value and each.value != value:  # events repeat themselves
            yield Interval(start, each.at), value
            start, value = each.at, each.value
    if start is not None:
        yield Interval(start, FOREVER), value


def assertions(subject: Subject, origin: str, holdings: Iterable[Holding]) -> tuple[Assertion, ...]:
    """What they say together: the strongest basis, lists united. In order, equal neighbours joined."""
    found: list[Assertion] = []
    for valid, active in _swept(holdings):
        bases = [each.basis for each in active if each.basis is not None]
        if not bases:
            continue
        basis, attributes = min(bases, key=_STRENGTH.__getitem__), _united([each.attributes for each in active])
        last = found[-1] if found else None
        if last and last.valid.end == valid.start and (last.basis, last.attributes) == (basis, attributes):
            found[-1] = Assertion(subject, origin, basis, Interval(last.valid.start, valid.end), attributes)
        else:
            found.append(Assertion(subject, origin, basis, valid, attributes))
    return tuple(found)


def _swept(holdings: Iterable[Holding]) -> Iterator[tuple[Interval, Sequence[Holding]]]:
    """Each stretch of time in which the same ones hold."""
    turns: dict[Instant, list[tuple[int, bool]]] = {}
    each_of = list(holdings)
    for number, each in enumerate(each_of):
        turns.setdefault(each.valid.start, []).append((number, True))
        turns.setdefault(each.valid.end, []).append((number, False))
    active: dict[int, Holding] = {}
    start: Instant | None = None
    for at in sorted(turns):
        if active and start is not None:
            yield Interval(start, at), list(active.values())
        for number, begins in turns[at]:
            if begins:
                active[number] = each_of[number]
            else:
                active.pop(number, None)
        start = at


def _united(all_of: Sequence[Attributes]) -> dict[str, Json]:
    united: dict[str, Json] = {}
    for attributes in all_of:
        for name, value in attributes.items():
            before = united.get(name)
            if isinstance(value, list) and isinstance(before, list) and before != value:
                united[name] = sorted([*before, *(one for one in value if one not in before)], key=str)
            else:
                united[name] = value
    return {name: value for name, value in sorted(united.items()) if value is not None}
