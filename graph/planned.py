"""Changes as people read them before they are made, and as a digest tells whether they are still the same.

They say nothing of when: a plan that was made an hour ago is the same plan, as long as it would change the same.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from graph.attributes import canonical
from graph.changes import Change, Verb
from graph.errors import Conflict
from graph.model import Assertion, Attributes, Basis, Json, Subject
from graph.time import Instant


class Altered(NamedTuple):
    """An attribute. None: it is not said."""

    name: str
    before: Json
    after: Json


class Planned(NamedTuple):
    """What changes in what one origin says of one subject."""

    subject: Subject
    origin: str
    verb: Verb
    altered: tuple[Altered, ...]
    """In the order of the names; of what is added or withdrawn, all that is said of it."""


class PlanDiffers(Conflict):
    """The graph has moved so that other changes would be made than were planned."""

    def __init__(self) -> None:
        super().__init__(
            "the graph has moved since this was planned, and something else would be changed now; nothing was: plan again"
        )


def planned(changes: Iterable[Change], now: Instant) -> list[Planned]:
    """In the order of `changes`."""
    return [Planned(each.subject, each.origin, each.verb_at(now), tuple(_altered(each, now))) for each in changes]


def digest_of(changes: Iterable[Planned]) -> str:
    """SHA-256: equal for equal changes, whenever they are planned."""
    rows = [[str(each.subject), each.origin, each.verb, [[*one] for one in each.altered]] for each in changes]
    return hashlib.sha256(canonical(rows)).hexdigest()


def _altered(change: Change, now: Instant) -> Iterator[Altered]:
    before, after = _held(change.before, now), _held(change.after, now)
    old, new = _said(before), _said(after)
    for name in sorted(old.keys() | new.keys()):
        if old.get(name) != new.get(name):
            yield Altered(name, old.get(name), new.get(name))
    if before and after and before.basis is not after.basis:
        yield Altered("basis", _named(before.basis), _named(after.basis))


def _held(spans: Sequence[Assertion], now: Instant) -> Assertion | None:
    return next((span for span in spans if span.valid.holds_at(now)), None)


def _said(span: Assertion | None) -> Attributes:
    return span.attributes if span else {}


def _named(basis: Basis) -> Json:
    return basis.value
