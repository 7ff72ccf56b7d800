"""Wanted state + stored state → Changes. The one function behind registering, dry runs, checks and idempotence."""

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence, Set
from itertools import chain
from typing import NamedTuple

from graph.attributes import checked_attributes
from graph.changes import (
    AssetStatement,
    Change,
    Changes,
    FlowStatement,
    Receipt,
    Registration,
    Restatement,
    Verb,
    Withdrawal,
    checked_origin,
)
from graph.errors import (
    Conflict,
    GraphError,
    InvalidAttribute,
    InvalidInput,
    InvalidTime,
    NoneRegistered,
    NotFound,
    PlanOutdated,
    StaleVersion,
    quoted,
)
from graph.keys import AssetKey
from graph.model import Assertion, Attributes, Flow, Json, Operation, Subject, implied_flows
from graph.planned import PlanDiffers, Planned, digest_of, planned
from graph.stores.contract import GraphReader, Plan, Store
from graph.time import MINUTE, Instant, Interval, interval, moment, pieces

AHEAD: Instant = 10 * MINUTE
"""How far ahead of the clock a statement may begin; beyond that a clock is wrong, and it is refused."""

_ATTEMPTS = 100


def register(store: Store, wanted: Registration, operation: Operation, now: Instant) -> Receipt:
    """Plans and commits; plans again when somebody else's commit came between.

    Raises what `plan_registration` and `Store.commit` raise, PlanOutdated aside: that only after a hundred attempts.
    """
    return _committed(store, lambda: RegistrationPlan(wanted, now), operation, now)


def register_together(
    store: Store,
    wanted: Sequence[Registration],
    operation: Operation,
    now: Instant,
    expected: str | None = None,
) -> Receipt:
    """Several registrations, one an origin, in one commit: all of them hold, or none does.

    `expected`: the digest of the changes that were planned (`graph.planned`). Raises what `register` raises, and PlanDiffers
    when others would be made by now; none at all is no other: then all of it holds already.
    """
    return _committed(store, lambda: TogetherPlan(wanted, now, expected), operation, now)


def restate(store: Store, wanted: Restatement, operation: Operation, now: Instant) -> Receipt:
    """The same for all that some origins say. Raises what `Store.commit` raises, PlanOutdated as `register`."""
    return _committed(store, lambda: RestatementPlan(wanted), operation, now)


def _committed(store: Store, plan: Callable[[], Plan], operation: Operation, now: Instant) -> Receipt:
    for attempt in range(_ATTEMPTS):
        try:
            return store.commit(plan(), operation, now)
        except GraphError as error:
            # What was done once is not judged again: the clock, and what is stored, have moved since.
            done = store.receipt_of(operation) if operation.id is not None else None
            if done is not None:
                return done
            if not isinstance(error, PlanOutdated) or attempt == _ATTEMPTS - 1:
                raise
    raise AssertionError("unreachable")


def plan_registration(known: GraphReader, wanted: Registration, now: Instant) -> Changes:
    """What must change so that `wanted` holds. Registering twice changes nothing.

    Raises InvalidInput, NotFound for the end of a flow (or a container) that nobody registered, StaleVersion, and
    Conflict for a withdrawal of what only other origins say.
    """
    return RegistrationPlan(wanted, now).changes(known)


class Together(NamedTuple):
    """What several registrations would change, and which of the assets they are about others say, too."""

    changes: list[Planned]
    shared: Mapping[AssetKey, tuple[str, ...]]
    """All origins that say it, in order; two at least."""


def plan_together(known: GraphReader, wanted: Sequence[Registration], now: Instant) -> Together:
    """What `register_together` would change. Raises what it raises."""
    plan = TogetherPlan(wanted, now)
    return Together(planned(plan.changes(known).changes, now), plan.shared)


def digest_together(wanted: Iterable[Registration], expected: str | None = None) -> str:
    """Equal for equal requests, whatever the time."""
    return hashlib.sha256("\n".join([*sorted(each.digest() for each in wanted), expected or ""]).encode()).hexdigest()


class RegistrationPlan:
    """A `graph.stores.contract.Plan`: all of `plan_registration` that needs no store is done when it is made.

    `together`: all the registrations of the same commit, this one too.
    """

    def __init__(self, wanted: Registration, now: Instant, together: "_Together | None" = None) -> None:
        self._wanted, self._now = wanted, now
        together = together or _together([wanted])
        self._complete = together.complete
        checked_origin(wanted.origin)
        assets, flows = _by_key(wanted.assets), _by_flow(wanted.flows, now)
        self._withdrawn = {withdrawal.subject: withdrawal for withdrawal in wanted.withdrawals}
        _refuse_contradictions(assets, flows, self._withdrawn)
        self._stated: dict[Subject, tuple[Interval, Attributes]] = {}
        frames: dict[tuple[Instant | None, Instant | None], Interval] = {}
        for subject, statement in _each(assets, flows):
            times = statement.since, statement.until
            frame = frames.get(times) or frames.setdefault(times, _frame(*times, now))
            self._stated[subject] = frame, checked_attributes(statement.attributes, subject)
        self._needed: set[AssetKey] = set()
        """What must be registered, unless it is stated here."""
        if not wanted.stubs:
            self._needed.update(end for flow in flows for end in flow if end is not None)
            self._needed.update(container for key in assets if (container := key.container) is not None)
            self._needed -= together.stated
        self.subjects: Collection[Subject] = self._stated.keys() | self._withdrawn.keys() | self._needed

    def changes(self, known: GraphReader) -> Changes:
        reach = self.reach(known)
        return self.changes_to(known, reach, known.believed({*self.subjects, *reach} if reach else self.subjects))

    def reach(self, known: GraphReader) -> Collection[Subject]:
        """What the origin said so far and does not say now."""
        wanted = self._wanted
        return known.believed_by(wanted.origin).keys() - self._stated.keys() if wanted.complete else ()

    def unknown(self, believed: Mapping[Subject, tuple[Assertion, ...]]) -> list[AssetKey]:
        """What flows (or parts) refer to and nobody registered, in order.

        What an origin says that now says all it has to say, and does not say this, is no longer said.
        """

        def is_said(key: AssetKey) -> bool:
            said = believed.get(key, ())
            return any(span.valid.holds_at(self._now) and span.origin not in self._complete for span in said)

        return sorted(key for key in self._needed if not is_said(key))

    def changes_to(
        self, known: GraphReader, reach: Collection[Subject], believed: Mapping[Subject, tuple[Assertion, ...]]
    ) -> Changes:
        """`believed` is of `subjects` and `reach`, or of more."""
        wanted, now, stated, withdrawn = self._wanted, self._now, self._stated, self._withdrawn
        _refuse(self.unknown(believed))
        expected = _expected_versions(known, wanted)

        def said_of(subject: Subject) -> tuple[Assertion, ...]:
            return _own(believed.get(subject, ()), wanted.origin)

        mine: dict[Subject, tuple[Assertion, ...]] = {}
        after: dict[Subject, tuple[Assertion, ...]] = {}
        for subject in reach:
            mine[subject] = said_of(subject)
            after[subject] = _cut(mine[subject], now)
        for subject, withdrawal in withdrawn.items():
            mine[subject] = said_of(subject)
            if not mine[subject]:
                _refuse_withdrawal(subject, believed.get(subject, ()), wanted.origin)
            at = now if withdrawal.at is None else _not_ahead(withdrawal.at, now)
            for gone in (subject, *_cascade(known, subject, mine, wanted.origin)):
                after[gone] = _cut(after.get(gone, mine[gone]), at)
        for subject, (frame, attributes) in stated.items():
            mine[subject] = said_of(subject)
            if isinstance(subject, AssetKey) and subject.is_alias:
                _refuse_bad_alias(subject, attributes, mine[subject])
            after[subject] = _restated(subject, wanted, mine[subject], frame, attributes)

        changes = [
            Change(subject, wanted.origin, mine[subject], spans)
            for subject, spans in after.items()
            if spans is not mine[subject] and spans != mine[subject]
        ]
        changes.sort(key=lambda change: str(change.subject))
        return Changes(tuple(changes), expected, wanted.messages)


class _Together(NamedTuple):
    complete: Set[str]
    """The origins that say all they have to say."""
    stated: Set[AssetKey]


def _together(wanted: Sequence[Registration]) -> _Together:
    return _Together(
        {each.origin for each in wanted if each.complete}, {asset.key for each in wanted for asset in each.assets}
    )


class TogetherPlan:
    """A `graph.stores.contract.Plan` of several registrations: what one refers to may be what another states."""

    def __init__(self, wanted: Sequence[Registration], now: Instant, expected: str | None = None) -> None:
        origins = [each.origin for each in wanted]
        twice = {origin for origin in origins if origins.count(origin) > 1} if len(set(origins)) < len(origins) else ()
        if twice:
            raise InvalidInput(f"{min(twice)} speaks twice in one request", min(twice))
        self._now, self._expected = now, expected
        together = _together(wanted)
        self._plans = [RegistrationPlan(each, now, together) for each in wanted]
        self.subjects: Collection[Subject] = {subject for each in self._plans for subject in each.subjects}
        self.shared: Mapping[AssetKey, tuple[str, ...]] = {}
        """Of what is stated or withdrawn, as of the last `changes`: the origins, where there are several."""
        self._wanted = wanted

    def changes(self, known: GraphReader) -> Changes:
        reaches = [each.reach(known) for each in self._plans]
        believed = known.believed({*self.subjects, *(subject for reach in reaches for subject in reach)})
        _refuse(sorted({key for plan in self._plans for key in plan.unknown(believed)}))
        made = [plan.changes_to(known, reach, believed) for plan, reach in zip(self._plans, reaches, strict=True)]
        changes = sorted(
            (each for one in made for each in one.changes), key=lambda each: (str(each.subject), each.origin)
        )
        if self._expected is not None and changes and digest_of(planned(changes, self._now)) != self._expected:
            raise PlanDiffers
        self.shared = self._shared(believed, reaches)
        expected = {key: version for one in made for key, version in one.expected_versions.items()}
        return Changes(tuple(changes), expected, tuple(message for one in made for message in one.messages))

    def _shared(
        self, believed: Mapping[Subject, Sequence[Assertion]], reaches: Sequence[Collection[Subject]]
    ) -> dict[AssetKey, tuple[str, ...]]:
        origins: dict[AssetKey, set[str]] = {}
        for each, reach in zip(self._wanted, reaches, strict=True):
            for key in chain((asset.key for asset in each.assets), reach):
                if isinstance(key, AssetKey):
                    origins.setdefault(key, set()).add(each.origin)
        for key, own in origins.items():
            own.update(said.origin for said in believed.get(key, ()) if said.valid.holds_at(self._now))
        return {key: tuple(sorted(own)) for key, own in sorted(origins.items(), key=_in_order) if len(own) > 1}


def _in_order(each: tuple[AssetKey, object]) -> str:
    return str(each[0])


class RestatementPlan:
    """A `graph.stores.contract.Plan`: each origin says exactly what is wanted."""

    def __init__(self, wanted: Restatement) -> None:
        self._wanted = wanted
        for origin in wanted.says:
            checked_origin(origin)
        self.subjects: Collection[Subject] = {
            subject for origin in wanted.partly for subject in wanted.says.get(origin, ())
        }
        """What origins say that are told all of is read by origin, whatever others say of the same."""

    def changes(self, known: GraphReader) -> Changes:
        changes = []
        believed = known.believed(self.subjects) if self.subjects else {}
        for origin, says in self._wanted.says.items():
            if origin in self._wanted.partly:
                said = {subject: _own(believed.get(subject, ()), origin) for subject in says}
            else:
                said = {**known.believed_by(origin)}
            for subject in {**said, **says}:
                before, after = said.get(subject, ()), says.get(subject, ())
                if before != after:
                    changes.append(Change(subject, origin, before, after))
        changes.sort(key=lambda change: (str(change.subject), change.origin))
        return Changes(tuple(changes))


def receipt(changes: Changes, revision: int, now: Instant) -> Receipt:
    """The answer to a commit of `changes` as `revision`."""
    verbs = [change.verb_at(now) for change in changes.changes]
    return Receipt(
        revision, bool(changes), verbs.count(Verb.ADDED), verbs.count(Verb.CHANGED), verbs.count(Verb.WITHDRAWN)
    )


def _by_key(statements: Iterable[AssetStatement]) -> dict[AssetKey, AssetStatement]:
    assets: dict[AssetKey, AssetStatement] = {}
    for statement in statements:
        first = assets.setdefault(statement.key, statement)
        if first is not statement and first != statement:
            raise InvalidInput(f"{statement.key} is stated twice, with different content", statement.key)
    return assets


def _by_flow(statements: Iterable[FlowStatement], now: Instant) -> dict[Flow, FlowStatement]:
    """The flows stated, and those they imply: column lineage via a job says that the job reads and writes these."""
    flows: dict[Flow, FlowStatement] = {}
    implied: dict[Flow, FlowStatement] = {}
    for statement in statements:
        flow = statement.flow
        first = flows.setdefault(flow, statement)
        if first is not statement and first != statement:
            raise InvalidInput(f"{flow} is stated twice, with different content", flow)
        if flow.via is not None:
            for also in implied_flows(flow):
                implied[also] = _spanning_both(implied.get(also, statement), statement, also, now)
    return implied | flows if implied else flows


def _each(
    assets: Mapping[AssetKey, AssetStatement], flows: Mapping[Flow, FlowStatement]
) -> Iterator[tuple[Subject, AssetStatement | FlowStatement]]:
    yield from assets.items()
    yield from flows.items()


def _spanning_both(one: FlowStatement, other: FlowStatement, flow: Flow, now: Instant) -> FlowStatement:
    """`flow` from the first start of the two to the last end."""
    if (one.since, one.until) == (other.since, other.until):
        return FlowStatement(flow, {}, one.since, one.until)
    since = min(now if each.since is None else each.since for each in (one, other))
    ends = [each.until for each in (one, other) if each.until is not None]
    return FlowStatement(flow, {}, since, max(ends) if len(ends) == 2 else None)


def _refuse_bad_alias(key: AssetKey, attributes: Attributes, mine: Sequence[Assertion]) -> None:
    version = attributes.get("version")
    if version is None and ("version" in attributes or not mine):
        raise InvalidAttribute(f"the alias {key} needs a version to name", key)
    if isinstance(version, str) and key.container and key.container.part_key(version).is_alias:
        raise InvalidAttribute(
            f"the alias {key} names {quoted(version)}; it names a version, not another alias", version
        )


def _refuse_contradictions(
    assets: Mapping[AssetKey, AssetStatement],
    flows: Mapping[Flow, FlowStatement],
    withdrawn: Mapping[Subject, Withdrawal],
) -> None:
    both = [subject for subject in withdrawn if subject in assets or subject in flows]
    if both:
        raise InvalidInput(f"{both[0]} is both stated and withdrawn in one request", both[0])


def _cascade(
    known: GraphReader, subject: Subject, mine: dict[Subject, tuple[Assertion, ...]], origin: str
) -> list[Subject]:
    if isinstance(subject, Flow):
        return []
    touching = list(known.touching([subject]))
    believed = known.believed(touching)
    for other in touching:
        mine.setdefault(other, _own(believed.get(other, ()), origin))
    return touching


def _refuse(unknown: Sequence[AssetKey]) -> None:
    if unknown:
        raise NoneRegistered(unknown, "is not registered: register it first, or in the same request")


def _expected_versions(known: GraphReader, wanted: Registration) -> dict[AssetKey, int]:
    expected = {each.key: each.expected_version for each in wanted.assets if each.expected_version is not None}
    for each in wanted.withdrawals:
        if each.expected_version is not None and isinstance(each.subject, AssetKey):
            expected[each.subject] = each.expected_version
    if not expected:
        return expected
    current = known.versions(expected)
    for key, version in expected.items():
        if current.get(key, 0) != version:
            raise StaleVersion(key, version, current.get(key, 0))
    return expected


def _refuse_withdrawal(subject: Subject, said: Sequence[Assertion], origin: str) -> None:
    others = sorted({assertion.origin for assertion in said})
    if not others:
        raise NotFound(subject)
    raise Conflict(f"{origin!r} never said {subject}, so it cannot withdraw it: {', '.join(map(repr, others))} did")


def _own(said: Sequence[Assertion], origin: str) -> tuple[Assertion, ...]:
    """What `origin` says, which stands in the order of its starts."""
    return tuple([each for each in said if each.origin == origin]) if said else ()


def _not_ahead(at: Instant, now: Instant) -> Instant:
    if at > now + AHEAD:
        raise InvalidTime(f"{moment(at)} is ahead of the clock, which stands at {moment(now)}", at)
    return at


def _frame(since: Instant | None, until: Instant | None, now: Instant) -> Interval:
    return interval(now if since is None else _not_ahead(since, now), until)


def _cut(spans: tuple[Assertion, ...], at: Instant) -> tuple[Assertion, ...]:
    """`spans` up to `at`."""
    return tuple(
        span if span.valid.end <= at else _spanning(span, Interval(span.valid.start, at))
        for span in spans
        if span.valid.start < at
    )


def _restated(
    subject: Subject, wanted: Registration, spans: tuple[Assertion, ...], frame: Interval, attributes: Attributes
) -> tuple[Assertion, ...]:
    """`spans` overwritten within `frame`, equal neighbours joined."""
    if not spans:
        return (Assertion(subject, wanted.origin, wanted.basis, frame, _merged({}, attributes)),)
    if len(spans) == 1 and _says(spans[0], wanted, frame, attributes):
        return spans
    whole = Interval(
        min([frame.start, *(s.valid.start for s in spans)]), max([frame.end, *(s.valid.end for s in spans)])
    )
    joined: list[Assertion] = []
    for piece in pieces(whole, ([span.valid for span in spans], [frame])):
        old = next((span for span in spans if span.valid.holds_at(piece.start)), None)
        if not frame.holds_at(piece.start):
            new = old and _spanning(old, piece)
        else:
            kept = {} if old is None or wanted.complete else old.attributes
            new = Assertion(subject, wanted.origin, wanted.basis, piece, _merged(kept, attributes))
        if new is None:
            continue
        last = joined[-1] if joined else None
        if last and last.valid.end == piece.start and (last.basis, last.attributes) == (new.basis, new.attributes):
            joined[-1] = _spanning(last, Interval(last.valid.start, piece.end))
        else:
            joined.append(new)
    return tuple(joined)


def _says(span: Assertion, wanted: Registration, frame: Interval, attributes: Attributes) -> bool:
    """Whether `span` says already all that is wanted."""
    return (
        span.basis is wanted.basis
        and span.valid.start <= frame.start
        and frame.end <= span.valid.end
        and _merged({} if wanted.complete else span.attributes, attributes) == span.attributes
    )


def _merged(kept: Attributes, attributes: Attributes) -> dict[str, Json]:
    if not kept and not attributes:
        return {}
    return {name: value for name, value in sorted({**kept, **attributes}.items()) if value is not None}


def _spanning(span: Assertion, valid: Interval) -> Assertion:
    return Assertion(span.subject, span.origin, span.basis, valid, span.attributes)
