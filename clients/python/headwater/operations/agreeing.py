"""What people agree on before something goes or changes. The texts are queries/agreeing.graphql."""

from __future__ import annotations

from collections.abc import Sequence

from headwater.connection import Connection
from headwater.operations.graph import accepted, ask, untyped
from headwater.schema.operations import (
    ACKNOWLEDGE_GQL,
    DEPRECATE_GQL,
    DEPRECATIONS_GQL,
    UNDEPRECATE_GQL,
    WITHDRAW_ACKNOWLEDGEMENT_GQL,
)
from headwater.transport import Json, Steps


def deprecate(
    self: Connection,
    /,
    key: str,
    until: str | None = None,
    replacement: str | None = None,
    reason: str | None = None,
) -> Steps[Json]:
    """Says that an asset goes away, and has everybody downstream told: {changed, revision}. `until`: 2026-12-31.

    >>> client.deprecate("dataset:warehouse/payments", until="2030-01-01", reason="nobody trusts it")["changed"]
    True
    >>> client.undeprecate("dataset:warehouse/payments")["changed"]
    True
    """
    variables = {"id": key, "until": until, "replacement": replacement, "reason": reason}
    return accepted((yield from ask(self, DEPRECATE_GQL, **variables))["deprecate"])


def undeprecate(self: Connection, /, key: str) -> Steps[Json]:
    """Says that an asset stays after all: {changed, revision}.

    >>> client.deprecate("feature:shop/payments#mean_30d")["changed"], client.undeprecate("feature:shop/payments#mean_30d")["changed"]
    (True, True)
    """
    return accepted((yield from ask(self, UNDEPRECATE_GQL, id=key))["undeprecate"])


def deprecations(self: Connection, /) -> Steps[list[Json]]:
    """What is deprecated, what must go soonest first, each with its users: {asset, deprecation, usersTotal, users}.

    >>> client.deprecations()
    []
    """
    found: list[Json] = []
    after = None
    while True:
        page = untyped((yield from ask(self, DEPRECATIONS_GQL, after=after))["deprecations"])
        found += [edge["node"] for edge in page["edges"]]
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            return found


def acknowledge(
    self: Connection,
    /,
    assets: Sequence[str],
    change: str,
    digest: str,
    until: str | None = None,
    note: str | None = None,
) -> Steps[Json]:
    """Agrees to what one change does to assets of the caller's: {changed, revision}. `digest` as `check` tells it.

    >>> amount = {"name": "payments", "namespace": "warehouse", "columns": [{"name": "amount", "type": "double"}]}
    >>> document = {"version": 1, "origin": "manifest:payments", "datasets": [amount]}
    >>> checked = client.check([{"path": "headwater.yaml", "content": document}], [])
    >>> change = checked["findings"][0]
    >>> client.acknowledge(["consumer:shop/checkout"], change["id"], change["digest"])["changed"]
    True
    """
    variables = {"assets": [*assets], "change": change, "digest": digest, "until": until, "note": note}
    return accepted((yield from ask(self, ACKNOWLEDGE_GQL, **variables))["acknowledge"])


def withdraw_acknowledgement(self: Connection, /, assets: Sequence[str], digest: str) -> Steps[Json]:
    """Takes back what was acknowledged: {changed, revision}.

    >>> try:
    ...     client.withdraw_acknowledgement(["consumer:shop/checkout"], "never given")
    ... except Refused as error:
    ...     error.code
    'InvalidInput'
    """
    answer = yield from ask(self, WITHDRAW_ACKNOWLEDGEMENT_GQL, assets=[*assets], digest=digest)
    return accepted(answer["withdrawn"])
