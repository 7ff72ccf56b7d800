"""Joining and parting assets by hand: what is known by several keys, and is one."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Annotated, TypeAlias

import strawberry

from app.events import JOINS
from app.graphql.context import Info
from app.graphql.inputs import time_of
from app.graphql.problems import problem
from app.graphql.registering import Envelope, EnvelopeInput, RegisterResult, registered
from app.graphql.types import key_of
from app.identity import Role
from app.service import Headwater
from app.service import When as Asked
from graph.attributes import canonical, named_same
from graph.changes import AssetStatement, Registration, Withdrawal
from graph.errors import Conflict, GraphError, StaleVersion, quoted
from graph.keys import AssetKey
from graph.model import Assertion
from graph.same import names_of
from graph.topology import Moment, View
from graph.walk import located

Keys = Annotated[list[strawberry.ID], strawberry.argument(description="Keys of datasets, deployments or consumers.")]

_ATTEMPTS = 10
"""How often what was read is read again, when somebody else changed it meanwhile."""


class _Said:
    """What an origin says now of some assets, and at which version they are."""

    def __init__(
        self, origin: str, now: Moment, said: Mapping[AssetKey, Sequence[Assertion]], versions: Mapping[AssetKey, int]
    ) -> None:
        self.origin, self.versions = origin, versions
        held = {key: [each for each in rows if each.valid.holds_at(now.at)] for key, rows in said.items()}
        self.every = held
        self.own = {key: [each for each in rows if each.origin == origin] for key, rows in held.items()}

    def same(self, key: AssetKey) -> list[str]:
        return [str(named) for each in self.own.get(key, ()) for named in named_same(each.attributes)]


_State: TypeAlias = Callable[[View, Moment, _Said], Iterator[AssetStatement | Withdrawal]]


@strawberry.type
class SameMutation:
    @strawberry.mutation(
        description="Says that assets are the same as another of their kind, whose key is then shown for all. What was"
        " stated of each stays as it is, and `partAssets` undoes it. The origin is `joins`, unless the envelope names another;"
        " the history of each tells who joined it, and when."
    )
    async def join_assets(
        self,
        info: Info,
        assets: Keys,
        same: Annotated[strawberry.ID, strawberry.argument(name="as", description="The key to be shown.")],
        envelope: Envelope = None,
    ) -> RegisterResult:
        keys, shown = [*dict.fromkeys(assets)], same

        def joined(view: View, now: Moment, said: _Said) -> Iterator[AssetStatement | Withdrawal]:
            to = key_of(shown)
            located(view, to, now)
            for key in map(key_of, keys):
                located(view, key, now)
                names = {*(said.same(key)), str(to)}
                yield AssetStatement(key, {"same_as": [*sorted(names)]}, expected_version=said.versions.get(key, 0))

        return await _stated(info, envelope, ["join", *keys, shown], keys, joined)

    @strawberry.mutation(
        description="Takes back that assets are the same as others, as far as `joinAssets` said so (or the origin that the"
        " envelope names). What a rule, a manifest or another system says stays until it no longer says so."
    )
    async def part_assets(self, info: Info, assets: Keys, envelope: Envelope = None) -> RegisterResult:
        keys = [*dict.fromkeys(assets)]

        def parted(view: View, now: Moment, said: _Said) -> Iterator[AssetStatement | Withdrawal]:
            apart = {*map(key_of, keys)}
            met: set[AssetKey] = set()
            for key, own in said.own.items():
                before = {*said.same(key)}
                left: set[str] = set() if key in apart else before - {*map(str, apart)}
                if left == before:
                    continue
                met |= {key, *map(AssetKey.parse, before - left)}
                version = said.versions.get(key, 0)
                if left or any(name != "same_as" for each in own for name in each.attributes):
                    yield AssetStatement(key, {"same_as": [*sorted(left)] or None}, expected_version=version)
                else:
                    yield Withdrawal(key, expected_version=version)
            for key in sorted(apart - met):
                raise Conflict(_why_not(view, key, now, said))

        return await _stated(info, envelope, ["part", *keys], keys, parted)


def _why_not(view: View, key: AssetKey, now: Moment, said: _Said) -> str:
    located(view, key, now)
    others = sorted(
        {
            quoted(each.origin)
            for rows in said.every.values()
            for each in rows
            if key == each.subject or key in named_same(each.attributes)
            if named_same(each.attributes)
        }
    )
    if not others:
        return f"{key} is not joined to another asset"
    return f"{quoted(said.origin)} never said that {key} is the same as another, so it cannot take it back: {', '.join(others)} did"


async def _stated(
    info: Info, envelope: EnvelopeInput | None, request: Sequence[str], keys: Sequence[str], state: _State
) -> RegisterResult:
    """Registers what `state` makes of what is said now; again when somebody else changed that meanwhile."""
    info.context.require(Role.CONTRIBUTOR)
    envelope = envelope or EnvelopeInput()
    origin = JOINS if envelope.origin is None else envelope.origin
    since, until = time_of(envelope.valid_from), time_of(envelope.valid_until)
    digest = sha256(canonical([*request, origin, envelope.basis, since, until])).hexdigest()
    headwater = info.context.headwater
    attempts = _ATTEMPTS
    while True:
        attempts -= 1
        try:
            view, now = await headwater.moment(Asked())
            said = await headwater.in_thread(_said, headwater, origin, view, now, keys)
            stated = [*state(view, now, said)]
            wanted = Registration(
                origin,
                envelope.basis,
                tuple(replace(each, since=since, until=until) for each in stated if isinstance(each, AssetStatement)),
                withdrawals=tuple(replace(each, at=since) for each in stated if isinstance(each, Withdrawal)),
            )
            return await registered(info, wanted, envelope.operation_id, envelope.dry_run, digest)
        except StaleVersion as error:
            if not attempts:
                return problem(error)  # type: ignore[return-value]  # registering meets only these
        except GraphError as error:
            return problem(error)  # type: ignore[return-value]  # registering meets only these


def _said(headwater: Headwater, origin: str, view: View, now: Moment, keys: Sequence[str]) -> _Said:
    """Of `keys`, and of all that are the same."""
    store = headwater.store
    names = [*dict.fromkeys(name for key in keys for name in names_of(view, key_of(key), now))]
    versions = store.versions(names)  # before what is said: what changes between is noticed
    said = {key: rows for key, rows in store.believed(names).items() if isinstance(key, AssetKey)}
    now = now._replace(at=headwater.clock())  # by now all of that holds
    return _Said(origin, now, said, versions)
