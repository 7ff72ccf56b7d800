"""What the graph says."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from headwater.connection import Connection
from headwater.errors import AccessRefused, Refused, Unreachable
from headwater.results import Consumers, Hits, Lineage, Paths
from headwater.schema.consumers import Consumers as ConsumersAnswer
from headwater.schema.enums import AssetKind, Direction, Follow
from headwater.schema.fragments import Asset, Hit, Use
from headwater.schema.get_asset import GetAsset
from headwater.schema.get_lineage import GetLineage, GetLineageLineageLineage
from headwater.schema.get_paths import GetPaths, GetPathsPathsPaths
from headwater.schema.input_types import AssetFilterInput, FlowFilterInput
from headwater.schema.operations import CONSUMERS_GQL, GET_ASSET_GQL, GET_LINEAGE_GQL, GET_PATHS_GQL, SEARCH_GQL
from headwater.schema.search import Search
from headwater.transport import Json, Pause, Steps, posted, waits

M = TypeVar("M", bound=BaseModel)

_NO_ANSWER = {"NotReady", "StoreUnavailable"}
"""The service is there, and its store or index is not."""
CALLED = ("deployment:", "feature_view:", "feature:")
"""How keys begin of what is called; of all else, the calls of a consumer are those of whatever it calls."""
_PAGE = 50


def ask(self: Connection, /, query: str, **variables: Any) -> Steps[Json]:
    """The `data` of a GraphQL answer. A mutation is tried again only where a variable `operationId` names it.

    >>> client.ask("query($key: ID!) { asset(key: $key) { title } }", key="model:risk/fraud")
    {'asset': {'title': 'fraud'}}
    """
    return (yield from asked(self, query, variables))


def asked(self: Connection, /, query: str, variables: Json, patient: bool = True) -> Steps[Json]:
    named = (variables.get("envelope") or variables).get("operationId")  # a repetition then has no second effect
    repeatable = bool(named) or re.search(r"\bmutation\b", query) is None
    left = waits() if patient else iter(())
    while True:
        answer = yield from posted("/graphql", {"query": query, "variables": variables}, repeatable, patient)
        if not answer.get("errors"):
            data: Json = answer["data"]
            return data
        code = str((answer["errors"][0].get("extensions") or {}).get("code", "INVALID"))
        message = "; ".join(str(error["message"]) for error in answer["errors"])
        if code not in _NO_ANSWER:
            raise (AccessRefused if code in {"FORBIDDEN", "UNAUTHENTICATED"} else Refused)(message, code)
        wait = next(left, None) if repeatable else None
        if wait is None:
            raise Unreachable(f"{self.url} cannot answer: {message}")
        yield Pause(wait)


def accepted(result: Json) -> Json:
    """Raises Refused for a problem."""
    if "problem" in result:
        raise Refused(result["problem"], result["__typename"])
    return result


def impact(
    self: Connection,
    /,
    key: str,
    follow: str = "VALUES",
    kinds: Iterable[str] = (),
    depth: int | None = None,
    at: datetime | str | None = None,
) -> Steps[Lineage]:
    """Everything downstream of an asset, nearest first: whom a change of it reaches, and when it is felt there.

    `follow`: VALUES asks who sees other content, LOSS who is hit when it is gone. `kinds`, as "consumer", select from the
    answer; `depth` bounds how many flows away.

    >>> hit = client.impact("column:warehouse/payments#amount")
    >>> [row.key for row in hit.filter(kind="deployment")]
    ['deployment:risk/scores']
    >>> hit.complete
    True
    """
    return (yield from lineage(self, key, "DOWNSTREAM", follow, kinds, depth, at))


def downstream(
    self: Connection, key: str, kinds: Iterable[str] = (), depth: int | None = None, at: datetime | str | None = None
) -> Steps[Lineage]:
    """What depends on an asset: `lineage` in the direction of the flows.

    >>> [row.title for row in client.downstream("model_version:risk/fraud#1")]
    ['scores', 'checkout']
    """
    return (yield from lineage(self, key, "DOWNSTREAM", "VALUES", kinds, depth, at))


def upstream(
    self: Connection, key: str, kinds: Iterable[str] = (), depth: int | None = None, at: datetime | str | None = None
) -> Steps[Lineage]:
    """What an asset depends on: `lineage` against the direction of the flows.

    >>> [row.key for row in client.upstream("deployment:risk/scores", kinds=["model_version", "run"])]
    ['model_version:risk/fraud#1', 'run:risk/train#6f0c0f0e-3f0b-4e2a-9b57-0d8f5b5f8a01']
    """
    return (yield from lineage(self, key, "UPSTREAM", "VALUES", kinds, depth, at))


def lineage(
    self: Connection,
    /,
    key: str,
    direction: str = "DOWNSTREAM",
    follow: str = "VALUES",
    kinds: Iterable[str] = (),
    depth: int | None = None,
    at: datetime | str | None = None,
    flows: FlowFilterInput | None = None,
    select: AssetFilterInput | None = None,
    at_least_revision: int | None = None,
) -> Steps[Lineage]:
    """All that an asset reaches, DOWNSTREAM or UPSTREAM, nearest first.

    `kinds` select from the answer, as the other fields of `select` do; `flows` says which flows are walked at all. `at` is
    the moment in the world that this is about, absent: now. With `at_least_revision` the service waits for what was just
    written. Raises Refused for an asset that nobody knows.

    >>> client.lineage("model:risk/fraud", direction="UPSTREAM", depth=2).complete
    False
    """
    chosen = select or AssetFilterInput()
    chosen = chosen.model_copy(update={"kinds": [*chosen.kinds, *(AssetKind(kind.upper()) for kind in kinds)]})
    answer = yield from _read(
        self,
        GetLineage,
        GET_LINEAGE_GQL,
        start=key,
        direction=Direction(direction.upper()),
        follow=Follow(follow.upper()),
        flows=_sent(flows),
        select=_sent(chosen),
        depth=depth,
        at=at,
        atLeastRevision=at_least_revision,
    )
    found = answer.lineage
    if not isinstance(found, GetLineageLineageLineage):
        raise Refused(found.problem, found.typename__)
    return Lineage(found, Direction(direction.upper()))


def paths(
    self: Connection,
    /,
    source: str,
    target: str,
    first: int = 1,
    follow: str = "VALUES",
    at: datetime | str | None = None,
    flows: FlowFilterInput | None = None,
) -> Steps[Paths]:
    """The shortest ways downstream from one asset to another, each flow with its evidence; none if there is no way.

    >>> way = client.paths("column:warehouse/payments#amount", "consumer:shop/checkout")[0]
    >>> print(way)
    payments#amount → mean_30d → scores → checkout
    >>> way.hops[-1].basis
    <Basis.DECLARED: 'DECLARED'>
    """
    answer = yield from _read(
        self,
        GetPaths,
        GET_PATHS_GQL,
        source=source,
        target=target,
        first=first,
        follow=Follow(follow.upper()),
        flows=_sent(flows),
        at=at,
    )
    found = answer.paths
    if not isinstance(found, GetPathsPathsPaths):
        raise Refused(found.problem, found.typename__)
    return Paths(found, source, target)


def search(self: Connection, /, text: str, kinds: Iterable[str] = (), first: int = 20) -> Steps[Hits]:
    """Assets whose key, description, owners or tags hold every word (or begin with it), the best first; at most `first`.

    >>> [hit.key for hit in client.search("fraud", kinds=["model"])]
    ['model:risk/fraud']
    """
    named = [AssetKind(kind.upper()) for kind in kinds] or None
    found: list[Hit] = []
    after, more, revision = None, True, 0
    while more and len(found) < first:
        page_size = min(_PAGE, first - len(found))
        answer = yield from _read(self, Search, SEARCH_GQL, text=text, kinds=named, first=page_size, after=after)
        page, revision = answer.search, answer.head.revision
        found += page.nodes
        after, more = page.page_info.end_cursor, page.page_info.has_next_page
    return Hits(found, text, more, revision)


def asset(self: Connection, /, key: str, at: datetime | str | None = None) -> Steps[Asset | None]:
    """What is known of one asset, or None. Alias keys, as `model_version:risk/fraud#%40champion`, are followed.

    >>> client.asset("column:warehouse/payments#amount").owners[0].name
    'payments'
    >>> client.asset("dataset:warehouse/nothing") is None
    True
    """
    return (yield from _read(self, GetAsset, GET_ASSET_GQL, key=key, at=at)).asset


def consumers(self: Connection, /, key: str) -> Steps[Consumers]:
    """Who uses an asset, however far downstream.

    What is known by several keys is there once; `calls` are those of the last 30 days (of a deployment, a feature or its
    view: those of it), by the key they were made under and whether that was proved. Raises Refused for an asset that nobody
    knows.

    >>> client.consumers("deployment:risk/scores").keys()
    ['consumer:shop/checkout']
    """
    called = key if key.startswith(CALLED) else None
    found: list[Use] = []
    after = None
    while True:
        answer = yield from _read(self, ConsumersAnswer, CONSUMERS_GQL, key=key, of=called, after=after)
        asset = answer.asset
        if asset is None:
            raise Refused(f"{key} is not known", "UnknownAsset")
        found += asset.consumers.edges
        after = asset.consumers.page_info.end_cursor
        if not asset.consumers.page_info.has_next_page:
            return Consumers(found, asset.id, asset.unidentified.calls, answer.head.revision)


def _sent(filter_: BaseModel | None) -> Json | None:
    return None if filter_ is None else filter_.model_dump(mode="json", by_alias=True)


def _read(self: Connection, /, model: type[M], query: str, **variables: Any) -> Steps[M]:
    given = {name: value for name, value in variables.items() if value is not None}
    data = yield from ask(self, query, **given)
    try:
        return model.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise Refused(
            f"{self.url} answers what this client does not know ({place}: {first['msg']}); update the one that is older",
            "UNKNOWN_ANSWER",
        ) from error
