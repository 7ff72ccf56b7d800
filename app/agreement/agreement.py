"""What people agree on about changes: the service's policy, what is deprecated until when, who acknowledges which change.

Deprecating leaves a message for everybody downstream with the commit, and owners of the affected acknowledge. When nobody else
tells of an asset any more, what was said about it here is withdrawn.
"""

import asyncio
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import date, timedelta
from pathlib import Path

import structlog
import yaml

from app.identity import Principal, Role
from app.service import Headwater, When
from graph.attributes import canonical, owner_names, shown_attributes, values
from graph.changes import AssetStatement, Receipt, Registration, Withdrawal
from graph.check.policy import TOLD, Policy, read_policy
from graph.errors import Conflict, GraphError, InvalidInput, InvalidKey, InvalidManifest, NotReady, StoreUnavailable
from graph.keys import AssetKey
from graph.messages import Message
from graph.model import Assertion, Basis, Json
from graph.remarks import (
    ACKNOWLEDGED,
    ACKNOWLEDGEMENT,
    DEPRECATED,
    DEPRECATIONS,
    checked_digest,
    is_remark,
)
from graph.same import names_of
from graph.time import DAY, Instant, moment
from graph.topology import Moment, View
from graph.walk import AssetFilter, Direction, Follow, has_flow, located, selected, walk

ACTOR = "agreement"
ANNOUNCED, TAKEN_BACK = "asset.deprecated", "asset.undeprecated"
ACKNOWLEDGED_DAYS = 30
MOST_NOTE = 2_000
_MOST_TOLD = 1_000
"""Affected assets that a message names; how many there are it says always."""
_NAMESPACE = uuid.UUID("8ad3c1de-6a86-4d11-8f6b-8f4e4c8a8b57")
"""Of the ids of messages, which follow from what they tell: told twice, it is one message."""
_PAUSE = 1.0
_SAID = ("until", "replacement", "reason")

log = structlog.get_logger(__name__)


class PolicyUnreadable(Exception):
    """The policy is missing or malformed; `str(error)` says where."""


def read_policy_file(path: Path) -> Policy:
    """Raises PolicyUnreadable."""
    try:
        return read_policy(yaml.safe_load(path.read_text()))
    except (OSError, UnicodeDecodeError) as error:
        raise PolicyUnreadable(f"the policy {path} cannot be read: {error}") from error
    except (yaml.YAMLError, RecursionError) as error:
        raise PolicyUnreadable(f"the policy {path} is no YAML: {error}") from error
    except InvalidManifest as error:
        raise PolicyUnreadable("\n".join(f"{path}: {line}" for line in error.problems)) from error


class Agreement:
    """`policy`: what the service demands, whatever a repository says. `wake`: there is a message to deliver; None: nobody is told."""

    def __init__(self, policy: Policy | None, wake: Callable[[], None] | None) -> None:
        self.policies = () if policy is None else (policy,)
        self._wake = wake

    # Deprecating

    async def deprecate(
        self,
        headwater: Headwater,
        key: AssetKey,
        until: date | None,
        replacement: str | None,
        reason: str | None,
        actor: str,
    ) -> Receipt:
        """Again, with other words: the period goes on. Raises NotFound, InvalidInput for a day that is past."""
        view, now = await headwater.moment(When())
        if until is not None and until < _day(now.at):
            raise InvalidInput(f"{until} is past; name a day from {_day(now.at)} on", until)
        shown = await headwater.in_thread(_located, view, key, now)
        if replacement is not None and (other := _key(replacement)) is not None:
            await headwater.in_thread(_located, view, other, now)
        given = {"until": None if until is None else str(until), "replacement": replacement, "reason": reason}
        return await self._announce(headwater, view, now, shown, given, actor)

    async def _announce(
        self, headwater: Headwater, view: View, now: Moment, shown: AssetKey, given: Mapping[str, Json], actor: str
    ) -> Receipt:
        """States it, and tells everybody downstream; neither where it is said already."""
        own = await self._own(headwater, shown, now)
        said: dict[str, Json] = {name: given[name] for name in _SAID if given.get(name) is not None}
        before = own.attributes.get(DEPRECATED) if own is not None else None
        if isinstance(before, dict):
            if {name: before[name] for name in _SAID if name in before} == said:
                return Receipt(headwater.index.revision, False)
            said["since"] = before["since"]
        said = {"since": str(_day(now.at)), **said, "by": actor}
        statement = AssetStatement(shown, {DEPRECATED: said})
        messages = await self._messages(headwater, ANNOUNCED, view, now, shown, said)
        wanted = Registration(DEPRECATIONS, Basis.DECLARED, (statement,), messages=messages)
        return await self._register(headwater, wanted, actor)

    async def undeprecate(self, headwater: Headwater, key: AssetKey, actor: str) -> Receipt:
        """Raises NotFound, and Conflict where it is not deprecated, or only others say so."""
        view, now = await headwater.moment(When())
        shown = await headwater.in_thread(_located, view, key, now)
        own = await self._own(headwater, shown, now)
        if own is None:
            believed = await headwater.believed([shown], now.revision)
            held = [row.assertion for row in believed.get(shown, ()) if row.assertion.valid.holds_at(now.at)]
            others = sorted({each.origin for each in held if each.attributes.get(DEPRECATED)})
            raise Conflict(
                f"{shown} was not deprecated by hand"
                + (f"; {', '.join(others)} says so, and must take it back" if others else "")
            )
        return await self._take_back(headwater, view, now, own, actor)

    async def _take_back(self, headwater: Headwater, view: View, now: Moment, own: Assertion, actor: str) -> Receipt:
        said, shown = own.attributes.get(DEPRECATED), own.subject
        assert isinstance(said, dict)
        assert isinstance(shown, AssetKey)
        messages = await self._messages(headwater, TAKEN_BACK, view, now, shown, said)
        wanted = Registration(DEPRECATIONS, Basis.DECLARED, withdrawals=(Withdrawal(shown),), messages=messages)
        return await self._register(headwater, wanted, actor)

    async def _own(self, headwater: Headwater, key: AssetKey, now: Moment) -> Assertion | None:
        believed = await headwater.believed([key], now.revision)
        held = [row.assertion for row in believed.get(key, ()) if row.assertion.valid.holds_at(now.at)]
        return next((each for each in held if each.origin == DEPRECATIONS and DEPRECATED in each.attributes), None)

    async def _messages(
        self, headwater: Headwater, topic: str, view: View, now: Moment, key: AssetKey, said: Mapping[str, Json]
    ) -> tuple[Message, ...]:
        if self._wake is None:
            return ()
        affected = await headwater.in_thread(_affected, view, key, now)
        owners = await _owners(headwater, [key, *affected[:_MOST_TOLD]], now)
        told: list[Json] = [{"id": str(each), "owners": owners[each]} for each in affected[:_MOST_TOLD]]
        data: Json = {
            "id": str(key),
            "owners": owners[key],
            **said,
            "affected": told,
            "affected_total": len(affected),
        }
        when = moment(now.at)
        assert when is not None
        name = uuid.uuid5(_NAMESPACE, f"{topic} {key} {canonical(dict(said)).decode()} {now.revision}")
        return (Message(str(name), topic, {"timestamp": when.isoformat(), "data": data}),)

    # Acknowledging

    async def acknowledge(
        self,
        headwater: Headwater,
        principal: Principal,
        assets: Collection[AssetKey],
        digest: str,
        change: AssetKey,
        until: date | None,
        note: str | None,
    ) -> Receipt:
        """What one change does to `assets` is agreed, by an owner of each or by an operator, up to the end of a day.

        Raises NotFound, InvalidInput, and Conflict for somebody who is neither.
        """
        view, now = await headwater.moment(When())
        checked_digest(digest)
        last = _day(now.at) + timedelta(ACKNOWLEDGED_DAYS) if until is None else until
        if last < _day(now.at):
            raise InvalidInput(f"{last} is past; name a day from {_day(now.at)} on", last)
        if note is not None and len(note) > MOST_NOTE:
            raise InvalidInput(f"the note has {len(note)} characters; the limit is {MOST_NOTE}", len(note))
        end = ((last - date(1970, 1, 1)).days + 1) * DAY
        roles = await self._roles(headwater, principal, assets, view, now)
        origin = ACKNOWLEDGEMENT + digest
        longer = await self._longer(headwater, roles, origin, end, now)
        if longer:  # what was agreed for longer would go on where the new word ends
            await self._register(headwater, _withdrawn(origin, longer), principal.name)
        said = {"change": str(change), "by": principal.name, "note": note or None}
        statements = tuple(
            AssetStatement(key, {ACKNOWLEDGED: {**{n: v for n, v in said.items() if v}, "as": role}}, until=end)
            for key, role in roles.items()
        )
        return await self._register(headwater, Registration(origin, Basis.DECLARED, statements), principal.name)

    async def withdraw(
        self, headwater: Headwater, principal: Principal, assets: Collection[AssetKey], digest: str
    ) -> Receipt:
        """Whoever may acknowledge may take it back. Raises NotFound, and Conflict for somebody who may not."""
        view, now = await headwater.moment(When())
        roles = await self._roles(headwater, principal, assets, view, now)
        return await self._register(
            headwater, _withdrawn(ACKNOWLEDGEMENT + checked_digest(digest), roles), principal.name
        )

    async def _roles(
        self, headwater: Headwater, principal: Principal, assets: Collection[AssetKey], view: View, now: Moment
    ) -> dict[AssetKey, str]:
        """As what the principal may speak for each, under the key that is shown for it."""
        shown = [await headwater.in_thread(_located, view, key, now) for key in assets]
        owners = await _owners(headwater, shown, now)
        roles = {}
        for key in shown:
            if _is_owner(principal, owners[key]):
                roles[key] = "owner"
            elif principal.role >= Role.OPERATOR:
                roles[key] = "operator"
            else:
                names = ", ".join(owner_names(owners[key])) or "nobody"
                raise Conflict(
                    f"{key} is owned by {names}, and you are {principal.name}: only an owner, or an operator of the service,"
                    " may speak for it"
                )
        return roles

    async def _longer(
        self, headwater: Headwater, keys: Collection[AssetKey], origin: str, end: Instant, now: Moment
    ) -> list[AssetKey]:
        believed = await headwater.believed([*keys], now.revision)
        return [
            key
            for key in keys
            if any(r.assertion.origin == origin and r.assertion.valid.end > end for r in believed.get(key, ()))
        ]

    async def _register(self, headwater: Headwater, wanted: Registration, actor: str) -> Receipt:
        receipt = await headwater.register(wanted, None, actor)
        if wanted.messages and self._wake is not None:
            self._wake()
        return receipt

    # What is gone needs no words

    async def run(self, headwater: Headwater) -> None:
        while True:
            try:
                await self._follow(headwater)
            except (StoreUnavailable, NotReady) as error:
                log.warning("what was said about assets that are gone waits for the store", reason=str(error))
                await asyncio.sleep(_PAUSE)

    async def _follow(self, headwater: Headwater) -> None:
        since = headwater.index.revision
        said = await headwater.in_thread(headwater.store.believed_by, DEPRECATIONS)
        await self._forget(headwater, [key for key in said if isinstance(key, AssetKey)])
        async for revision in headwater.revisions(since):
            closed = [row.assertion for row in revision.closed if not is_remark(row.assertion.origin)]
            await self._forget(headwater, {each.subject for each in closed if isinstance(each.subject, AssetKey)})
            told = [row.assertion for row in (*revision.opened, *revision.closed)]
            manifests = [each for each in told if DEPRECATED in each.attributes and not is_remark(each.origin)]
            for key in dict.fromkeys(each.subject for each in manifests if isinstance(each.subject, AssetKey)):
                await self._adopt(headwater, key, {each.origin for each in manifests if each.subject == key})

    async def _adopt(self, headwater: Headwater, key: AssetKey, origins: Collection[str]) -> None:
        """What a manifest says is deprecated is announced like what is deprecated by hand, and taken back with it."""
        view, now = await headwater.moment(When())
        believed = await headwater.believed([key], now.revision)
        held = [row.assertion for row in believed.get(key, ()) if row.assertion.valid.holds_at(now.at)]
        said = {each.origin: each.attributes[DEPRECATED] for each in held if DEPRECATED in each.attributes}
        own = said.pop(DEPRECATIONS, None)
        by = own.get("by") if isinstance(own, dict) else min(said, default=None)
        given = said.get(str(by))
        try:
            if isinstance(given, dict):
                await self._announce(headwater, view, now, key, given, str(by))
            elif own is not None and by in origins:
                (stated,) = (each for each in held if each.origin == DEPRECATIONS)
                await self._take_back(headwater, view, now, stated, ACTOR)
        except (StoreUnavailable, NotReady):
            raise
        except GraphError as error:
            log.warning("a deprecation could not be announced", asset=str(key), reason=str(error))

    async def _forget(self, headwater: Headwater, keys: Collection[AssetKey]) -> None:
        if not keys:
            return
        for wanted in await headwater.in_thread(_gone, headwater, keys):
            try:
                await headwater.register(wanted, None, ACTOR)
            except (StoreUnavailable, NotReady):
                raise
            except GraphError as error:  # somebody else was faster
                log.info(
                    "what was said about an asset that is gone is gone too", origin=wanted.origin, reason=str(error)
                )


def _gone(headwater: Headwater, keys: Collection[AssetKey]) -> Iterator[Registration]:
    """What takes back what was said of those of `keys` that nobody else tells of any more."""
    view, withdrawn = headwater.index.view(), dict[str, list[AssetKey]]()
    now = Moment(headwater.clock(), view.revision)
    for key, rows in headwater.store.believed(keys).items():
        held = [each for each in rows if each.valid.holds_at(now.at)]
        if not isinstance(key, AssetKey) or not held or not all(is_remark(each.origin) for each in held):
            continue
        number = view.numbers.get(str(key), view.assets)
        if number >= view.assets or not has_flow(view, number, now):
            for each in held:
                withdrawn.setdefault(each.origin, []).append(key)
    return iter([_withdrawn(origin, gone) for origin, gone in sorted(withdrawn.items())])


def _withdrawn(origin: str, keys: Iterable[AssetKey]) -> Registration:
    return Registration(origin, Basis.DECLARED, withdrawals=tuple(Withdrawal(key) for key in keys))


def _located(view: View, key: AssetKey, now: Moment) -> AssetKey:
    """The key that is shown for it. Raises NotFound."""
    located(view, key, now)
    return key if key.is_alias else names_of(view, key, now)[0]


def _affected(view: View, key: AssetKey, now: Moment) -> list[AssetKey]:
    """The deployments and consumers that would miss it, nearest first."""
    lineage = walk(view, key, Direction.DOWNSTREAM, now, Follow.LOSS)
    return [lineage.key(row) for row in selected(lineage, AssetFilter(kinds=TOLD)).tolist()]


def _is_owner(principal: Principal, owners: Json) -> bool:
    each = [owner for owner in owners if isinstance(owner, dict)] if isinstance(owners, list) else []
    return any(principal.name in (owner.get("name"), owner.get("contact")) for owner in each)


async def _owners(headwater: Headwater, keys: Collection[AssetKey], at: Moment) -> dict[AssetKey, Json]:
    """As shown; a part without owners has its container's."""
    containers = {key: key.container for key in keys if key.container is not None}
    said = await headwater.believed([*keys, *containers.values()], at.revision)

    def owners(key: AssetKey) -> Json:
        return values(shown_attributes([row.assertion for row in said.get(key, ())], at.at)).get("owners") or []

    return {key: owners(key) or (owners(containers[key]) if key in containers else []) for key in keys}


def _key(text: str) -> AssetKey | None:
    try:
        return AssetKey.parse(text)
    except InvalidKey:
        return None


def _day(at: Instant) -> date:
    when = moment(at)
    assert when is not None
    return when.date()
