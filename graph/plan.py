"""Wanted state + stored state → Changes. The one function behind registering, dry runs, checks and idempotence."""

from collections.abc import Iterable, Mapping, Sequence

from graph.attributes import checked_attributes
from graph.changes import (
    AssetStatement,
    Change,
    Changes,
    FlowStatement,
    Receipt,
    Registration,
    Verb,
    Withdrawal,
    checked_origin,
)
from graph.errors import (
    Conflict,
    InvalidAttribute,
    InvalidInput,
    InvalidTime,
    NotFound,
    PlanOutdated,
    StaleVersion,
    quoted,
)
from graph.keys import AssetKey
from graph.model import Assertion, Attributes, Flow, Operation, Subject, implied_flows
from graph.stores.contract import GraphReader, Store
from graph.time import Instant, Interval, interval, moment, pieces

AHEAD: Instant = 10 * 60 * 1_000_000
"""How far ahead of the clock a statement may begin; beyond that a clock is wrong, and it is refused."""

_ATTEMPTS = 100


def register(store: Store, wanted: Registration, operation: Operation, now: Instant) -> Receipt:
    """Plans and commits; plans again when somebody else's commit came between.

    Raises what `plan_registration` and `Store.commit` raise, PlanOutdated aside: that only after a hundred attempts.
    """
    for attempt in range(_ATTEMPTS):
        done = store.receipt_of(operation)
        if done is not None:
            return done
        try:
            return store.commit(plan_registration(store, wanted, now), operation, now)
        except PlanOutdated:
            if attempt == _ATTEMPTS - 1:
                raise
    raise AssertionError("unreachable")


def plan_registration(known: GraphReader, wanted: Registration, now: Instant) -> Changes:
    """What must change so that `wanted` holds. Registering twice changes nothing.

    Raises InvalidInput, NotFound for the end of a flow (or a container) that nobody registered, StaleVersion, and
    Conflict for a withdrawal of what only other origins say.
    """
    checked_origin(wanted.origin)
    assets = _by_key(wanted.assets)
    flows = _by_flow(wanted.flows, now)
    withdrawn = {withdrawal.subject: withdrawal for withdrawal in wanted.withdrawals}
    _refuse_contradictions(assets, flows, withdrawn)
    reach = set(known.believed_by(wanted.origin)) if wanted.complete else set()
    ends = {end for flow in flows for end in flow if end is not None}
    containers = {key.container for key in assets} - {None}
    subjects: set[Subject] = {*assets, *flows, *withdrawn, *reach, *ends, *(key for key in containers if key)}
    believed = known.believed(subjects)
    if not wanted.stubs:
        _refuse_unknown(ends | {key for key in containers if key}, assets, believed, now)
    expected = _expected_versions(known, wanted)

    mine = {subject: _own(believed.get(subject, ()), wanted.origin) for subject in subjects}
    after: dict[Subject, tuple[Assertion, ...]] = {}
    for subject in reach:
        if subject not in assets and subject not in flows:
            after[subject] = _cut(mine[subject], now)
    for subject, withdrawal in withdrawn.items():
        if not mine[subject]:
            _refuse_withdrawal(subject, believed.get(subject, ()), wanted.origin)
        at = now if withdrawal.at is None else _not_ahead(withdrawal.at, now)
        for gone in (subject, *_cascade(known, subject, mine, wanted.origin)):
            after[gone] = _cut(after.get(gone, mine[gone]), at)
    for key, asset in assets.items():
        frame = _frame(asset.since, asset.until, now)
        attributes = checked_attributes(asset.attributes, key)
        if key.is_alias:
            _refuse_bad_alias(key, attributes, mine[key])
        after[key] = _stated(key, wanted, mine[key], frame, attributes)
    for flow, statement in flows.items():
        frame = _frame(statement.since, statement.until, now)
        after[flow] = _stated(flow, wanted, mine[flow], frame, checked_attributes(statement.attributes, flow))

    changes = (
        Change(subject, wanted.origin, mine[subject], spans)
        for subject, spans in after.items()
        if spans != mine[subject]
    )
    return Changes(tuple(sorted(changes, key=lambda change: str(change.subject))), expected, wanted.messages)


def receipt(changes: Changes, revision: int, now: Instant) -> Receipt:
    """The answer to a commit of `changes` as `revision`."""
    verbs = [change.verb_at(now) for change in changes.changes]
    return Receipt(
        revision, bool(changes), verbs.count(Verb.ADDED), verbs.count(Verb.CHANGED), verbs.count(Verb.WITHDRAWN)
    )


def _by_key(statements: Iterable[AssetStatement]) -> dict[AssetKey, AssetStatement]:
    assets: dict[AssetKey, AssetStatement] = {}
    for statement in statements:
        if statement.key in assets and assets[statement.key] != statement:
            raise InvalidInput(f"{statement.key} is stated twice, with different content", statement.key)
        assets[statement.key] = statement
    return assets


def _by_flow(statements: Iterable[FlowStatement], now: Instant) -> dict[Flow, FlowStatement]:
    """The flows stated, and those they imply: column lineage via a job says that the job reads and writes these."""
    flows: dict[Flow, FlowStatement] = {}
    implied: dict[Flow, FlowStatement] = {}
    for statement in statements:
        flow = statement.flow
        if flow in flows and flows[flow] != statement:
            raise InvalidInput(f"{flow} is stated twice, with different content", flow)
        flows[flow] = statement
        for also in implied_flows(flow):
            implied[also] = _spanning_both(implied.get(also, statement), statement, also, now)
    return implied | flows


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


def _refuse_unknown(
    ends: Iterable[AssetKey],
    assets: Mapping[AssetKey, AssetStatement],
    believed: Mapping[Subject, Sequence[Assertion]],
    now: Instant,
) -> None:
    for key in sorted(ends):
        if key not in assets and not any(span.valid.holds_at(now) for span in believed.get(key, ())):
            raise NotFound(key, "is not registered: register it first, or in the same request")


def _expected_versions(known: GraphReader, wanted: Registration) -> dict[AssetKey, int]:
    read = [
        *((asset.key, asset.expected_version) for asset in wanted.assets),
        *((withdrawal.subject, withdrawal.expected_version) for withdrawal in wanted.withdrawals),
    ]
    expected = {key: version for key, version in read if version is not None and isinstance(key, AssetKey)}
    current = known.versions(expected) if expected else {}
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
    return tuple(sorted((each for each in said if each.origin == origin), key=lambda each: each.valid))


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


def _stated(
    subject: Subject, wanted: Registration, spans: tuple[Assertion, ...], frame: Interval, attributes: Attributes
) -> tuple[Assertion, ...]:
    """`spans` overwritten within `frame`, equal neighbours joined."""
    whole = Interval(
        min([frame.start, *(s.valid.start for s in spans)]), max([frame.end, *(s.valid.end for s in spans)])
    )
    joined: list[Assertion] = []
    for piece in pieces(whole, ([span.valid for span in spans], [frame])):
        old = next((span for span in spans if span.valid.holds_at(piece.start)), None)
        if not frame.holds_at(piece.start):
            new = old and _spanning(old, piece)
        else:
            kept = {} if old is None or wanted.complete else dict(old.attributes)
            merged = {name: value for name, value in sorted({**kept, **attributes}.items()) if value is not None}
            new = Assertion(subject, wanted.origin, wanted.basis, piece, merged)
        if new is None:
            continue
        last = joined[-1] if joined else None
        if last and last.valid.end == piece.start and (last.basis, last.attributes) == (new.basis, new.attributes):
            joined[-1] = _spanning(last, Interval(last.valid.start, piece.end))
        else:
            joined.append(new)
    return tuple(joined)


def _spanning(span: Assertion, valid: Interval) -> Assertion:
    return Assertion(span.subject, span.origin, span.basis, valid, span.attributes)
