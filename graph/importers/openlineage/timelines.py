"""What is said one after the other, and what follows from it for one subject: the disjoint assertions of one origin."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Generic, NamedTuple, TypeVar

from graph.model import REFINES_FIRST, Assertion, Attributes, Basis, Json, Subject
from graph.time import FOREVER, Instant, Interval

_STRENGTH = {basis: place for place, basis in enumerate(REFINES_FIRST)}

Name = TypeVar("Name")
Value = TypeVar("Value")


class Said(NamedTuple, Generic[Name, Value]):
    """Values by their names, said at one instant. Of what is said at one instant, that of the greatest rank comes last."""

    at: Instant
    rank: str
    values: Mapping[Name, Value | None]


class Timeline(Generic[Name, Value]):
    """Values that hold until the next is said; None: nothing holds.

    `whole`: what is said is all, and ends what it does not name; else that goes on. `put` and `take` as many as there are,
    then `settle`: what comes last costs what it changes, what comes late what was said since.
    """

    def __init__(self, whole: bool) -> None:
        self._whole = whole
        self._said: list[Said[Name, Value]] = []
        self._turns: dict[Name, list[tuple[Instant, Value | None]]] = {}
        """Of each name, when its value became another."""
        self._open: set[Name] = set()
        """Names that have a value now. Only kept of what is whole."""
        self._recent: list[Mapping[Name, Value | None]] = []
        self._last_turn: Instant | None = None
        self._unsettled: Instant | None = None

    def put(self, said: Said[Name, Value]) -> Said[Name, Value]:
        """Once of each instant and rank. Answers what is kept of it, for `take`."""
        said = said._replace(values=self._same(said.values))
        if not self._said or self._said[-1][:2] < said[:2]:
            self._said.append(said)
        else:
            self._said.insert(self._place(said), said)
        self._unsettle(said.at)
        return said

    def _same(self, values: Mapping[Name, Value | None]) -> Mapping[Name, Value | None]:
        """The one object for what is said again and again: a large schema, in events that differ elsewhere."""
        for known in self._recent:
            if known is values or known == values:
                return known
        self._recent = [values, *self._recent[:3]]
        return values

    def take(self, said: Said[Name, Value]) -> None:
        """Undoes `put`."""
        del self._said[self._place(said)]
        self._unsettle(said.at)

    def holding(self, name: Name) -> Iterator[tuple[Interval, Value]]:
        """When which value holds, in order; neighbours differ."""
        turns = self._turns.get(name, [])
        for place, (at, value) in enumerate(turns):
            if value is not None:
                yield Interval(at, turns[place + 1][0] if place + 1 < len(turns) else FOREVER), value

    def before(self, name: Name, at: Instant) -> Value | None:
        """What held just before `at`."""
        turns = self._turns.get(name, [])
        place = bisect_left(turns, at, key=_instant)
        return turns[place - 1][1] if place else None

    def open(self) -> Iterable[Name]:
        """What holds now, of what is whole."""
        return self._open

    def names(self) -> Iterable[Name]:
        """Whatever a value was said of."""
        return self._turns.keys()

    def settle(self) -> dict[Name, tuple[list[tuple[Instant, Value | None]], list[tuple[Instant, Value | None]]]]:
        """Brings what holds up to date: the turns that went and those that came, of names of which they differ."""
        since, self._unsettled = self._unsettled, None
        if since is None:
            return {}
        gone = self._cut(since)
        come: dict[Name, list[tuple[Instant, Value | None]]] = {}
        place = bisect_left(self._said, since, key=_at)
        last = self._said[place - 1].values if place and not gone else None
        while place < len(self._said):
            at, values = self._said[place].at, self._said[place].values
            place += 1
            while place < len(self._said) and self._said[place].at == at:
                values = self._said[place].values if self._whole else {**values, **self._said[place].values}
                place += 1
            if values is last:
                continue
            last = values
            for name, value in values.items():
                self._turn(name, at, value, come)
            if self._whole:
                for name in self._open - values.keys():
                    self._turn(name, at, None, come)
        for name in gone:
            if not self._turns[name]:
                del self._turns[name]
        return {
            name: (gone.get(name, []), come.get(name, []))
            for name in {**gone, **come}
            if gone.get(name) != come.get(name)
        }

    def _turn(
        self, name: Name, at: Instant, value: Value | None, come: dict[Name, list[tuple[Instant, Value | None]]]
    ) -> None:
        turns = self._turns.get(name)
        before = turns[-1][1] if turns else None
        if before is value or before == value:
            return
        self._turns.setdefault(name, []).append((at, value))
        come.setdefault(name, []).append((at, value))
        self._last_turn = at
        if self._whole:
            (self._open.discard if value is None else self._open.add)(name)

    def _cut(self, since: Instant) -> dict[Name, list[tuple[Instant, Value | None]]]:
        """Takes back all turns from `since` on."""
        gone: dict[Name, list[tuple[Instant, Value | None]]] = {}
        if self._last_turn is None or self._last_turn < since:
            return gone
        for name, turns in self._turns.items():
            place = bisect_left(turns, since, key=_instant)
            if place < len(turns):
                gone[name] = turns[place:]
                del turns[place:]
                if self._whole:
                    (self._open.add if turns and turns[-1][1] is not None else self._open.discard)(name)
        self._last_turn = max((turns[-1][0] for turns in self._turns.values() if turns), default=None)
        return gone

    def _place(self, said: Said[Name, Value]) -> int:
        return bisect_left(self._said, said[:2], key=_turn)

    def _unsettle(self, at: Instant) -> None:
        self._unsettled = at if self._unsettled is None else min(self._unsettled, at)


def _at(said: Said[Name, Value]) -> Instant:
    return said.at


def _turn(said: Said[Name, Value]) -> tuple[Instant, str]:
    return said.at, said.rank


def _instant(turn: tuple[Instant, Value | None]) -> Instant:
    return turn[0]


class Holding(NamedTuple):
    """The subject is there during `valid`, by `basis`; without a basis, only the attributes hold, while it is there."""

    valid: Interval
    basis: Basis | None
    attributes: Attributes


def assertions(subject: Subject, origin: str, holdings: Iterable[Holding]) -> tuple[Assertion, ...]:
    """What they say together: the strongest basis, lists united. In order, equal neighbours joined."""
    found: list[Assertion] = []
    each_of = list(holdings)
    if len(each_of) == 1 and each_of[0].basis is not None:
        return (Assertion(subject, origin, each_of[0].basis, each_of[0].valid, _united([each_of[0].attributes])),)
    for valid, active in _swept(each_of):
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


def stronger(basis: Basis, than: Basis) -> bool:
    return _STRENGTH[basis] < _STRENGTH[than]


def _swept(each_of: Sequence[Holding]) -> Iterator[tuple[Interval, Sequence[Holding]]]:
    """Each stretch of time in which the same ones hold."""
    turns: dict[Instant, list[tuple[int, bool]]] = {}
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
