"""What was remarked of an asset, as answers show it: that it is deprecated, and which changes of it are agreed."""

from collections.abc import Iterable
from datetime import date, datetime

import strawberry

from graph.model import Assertion
from graph.remarks import Acknowledgement as Agreed
from graph.remarks import deprecation_of
from graph.time import moment
from graph.topology import Moment


@strawberry.type(description="It goes away; whoever uses it has until a day to move.")
class Deprecation:
    told_at: datetime = strawberry.field(description="Since when the graph says so.")
    until: date | None = strawberry.field(description="The day from which it may be gone.")
    replacement: str | None = strawberry.field(description="What to use instead: an asset key, or words.")
    reason: str | None
    by: str = strawberry.field(description="Who deprecated it, or the origin that says so.")


@strawberry.type(description="Somebody who answers for an asset agrees to what one change does to it.")
class Acknowledgement:
    digest: str = strawberry.field(description="Of the change.")
    change: strawberry.ID = strawberry.field(description="What changes.")
    by: str
    as_owner: bool = strawberry.field(description="As an owner of the asset; else as an operator of the service.")
    at: datetime
    until: datetime
    note: str | None


def deprecation(said: Iterable[Assertion], at: Moment) -> Deprecation | None:
    found = deprecation_of(said, at.at)
    if found is None:
        return None
    told = moment(found.told)
    assert told is not None
    return Deprecation(told_at=told, until=found.until, replacement=found.replacement, reason=found.reason, by=found.by)


def acknowledgement(given: Agreed) -> Acknowledgement:
    at, until = moment(given.at), moment(given.until)
    assert at is not None
    assert until is not None
    return Acknowledgement(
        digest=given.digest,
        change=strawberry.ID(given.change),
        by=given.by,
        as_owner=given.as_owner,
        at=at,
        until=until,
        note=given.note,
    )
