"""Who says what, and since when: the evidence for all that is shown, and the revisions that changed it."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import cast

import strawberry
from strawberry.scalars import JSON

from app.graphql.context import Info
from graph.attributes import Claim as Said
from graph.changes import Verb
from graph.keys import AssetKey
from graph.model import Basis, Flow, StoredAssertion, Subject
from graph.stores.contract import Revision
from graph.time import FOREVER, moment

strawberry.enum(Verb, name="Verb")
strawberry.enum(Basis, name="Basis", description="How the origin of an assertion knows.")


@strawberry.type(description="One origin's value of an attribute.")
class Claim:
    value: JSON
    origin: str
    basis: Basis
    since: datetime


@strawberry.type(description="An origin says that two keys are of one asset.")
class Join:
    asset: strawberry.ID
    same_as: strawberry.ID
    origin: str
    basis: Basis
    since: datetime | None


@strawberry.type(description="An attribute as shown, who says so, and who says otherwise.")
class Attribute:
    name: str
    value: JSON
    claims: list[Claim]
    disagreeing: list[Claim]


@strawberry.type(name="Assertion", description="One origin says that an asset is, or that a flow is, and since when.")
class AssertionNode:
    subject: str = strawberry.field(description="The key of an asset, or `source -> target` (and `via job`) of a flow.")
    asset: strawberry.ID | None
    source: strawberry.ID | None
    target: strawberry.ID | None
    via: strawberry.ID | None
    origin: str
    basis: Basis
    valid_from: datetime | None
    valid_until: datetime | None = strawberry.field(description="Null: it still holds.")
    known_from: int = strawberry.field(description="The revision from which this was believed.")
    known_until: int | None = strawberry.field(
        description="The revision from which it no longer was; null: it still is."
    )
    attributes: JSON
    about: strawberry.Private[Subject]

    @strawberry.field(
        description="When a run was last heard of that says so, to the hour; null where that is not followed."
    )
    async def last_heard(self, info: Info) -> datetime | None:
        heard = await info.context.heard.load((self.about, self.origin))
        return None if heard is None else moment(heard)

    @strawberry.field(
        description="It still holds, though no run that could say so has been heard of for long"
        " (`HEADWATER_STALE_DAYS`). False where that is not followed."
    )
    async def stale(self, info: Info) -> bool:
        heard = await info.context.heard.load((self.about, self.origin))
        if heard is None or self.valid_until is not None or self.known_until is not None:
            return False
        return info.context.rooms.openlineage.is_stale(heard, info.context.headwater.clock())


@strawberry.type(description="What one origin came to say, or stopped saying, of one subject.")
class Change:
    verb: Verb
    subject: str
    origin: str
    opened: list[AssertionNode] = strawberry.field(description="What came to be believed.")
    closed: list[AssertionNode] = strawberry.field(description="What stopped being believed.")


@strawberry.type(name="Revision", description="One commit.")
class RevisionNode:
    number: int
    at: datetime
    actor: str
    operation_id: str | None
    changes: list[Change]


def assertion_node(stored: StoredAssertion) -> AssertionNode:
    subject = stored.assertion.subject
    ends: Sequence[AssetKey | None] = subject if isinstance(subject, Flow) else (None, None, None)
    source, target, via = (strawberry.ID(str(end)) if end else None for end in ends)
    start, end = stored.assertion.valid
    return AssertionNode(
        subject=str(subject),
        asset=strawberry.ID(str(subject)) if isinstance(subject, AssetKey) else None,
        source=source,
        target=target,
        via=via,
        origin=stored.assertion.origin,
        basis=stored.assertion.basis,
        valid_from=moment(start),
        valid_until=moment(end),
        known_from=stored.known.first,
        known_until=None if stored.known.last == FOREVER else stored.known.last,
        attributes=cast("JSON", dict(stored.assertion.attributes)),
        about=subject,
    )


def revision_node(revision: Revision) -> RevisionNode:
    opened, closed = _by_say(revision.opened), _by_say(revision.closed)
    changes = []
    for say in sorted({*opened, *closed}, key=lambda say: (str(say[0]), say[1])):
        now_on = any(stored.assertion.valid.holds_at(revision.at) for stored in opened.get(say, ()))
        before = any(stored.assertion.valid.holds_at(revision.at) for stored in closed.get(say, ()))
        verb = Verb.CHANGED if now_on == before else Verb.ADDED if now_on else Verb.WITHDRAWN
        changes.append(
            Change(
                verb=verb,
                subject=str(say[0]),
                origin=say[1],
                opened=[assertion_node(stored) for stored in opened.get(say, ())],
                closed=[assertion_node(stored) for stored in closed.get(say, ())],
            )
        )
    at = moment(revision.at)
    assert at is not None
    return RevisionNode(
        number=revision.number, at=at, actor=revision.actor, operation_id=revision.operation, changes=changes
    )


def _by_say(rows: Iterable[StoredAssertion]) -> dict[tuple[Subject, str], list[StoredAssertion]]:
    found: dict[tuple[Subject, str], list[StoredAssertion]] = {}
    for row in rows:
        found.setdefault((row.assertion.subject, row.assertion.origin), []).append(row)
    return found


def claim_node(claim: Said) -> Claim:
    since = moment(claim.since)
    assert since is not None
    return Claim(value=cast("JSON", claim.value), origin=claim.origin, basis=claim.basis, since=since)
