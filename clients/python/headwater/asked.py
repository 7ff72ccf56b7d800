"""What the reading commands ask of the graph, as plain rows. All functions raise what `Client.ask` raises, and Refused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from headwater.client import Client
from headwater.errors import Refused

Json = dict[str, Any]

DOWNSTREAM, UPSTREAM = "DOWNSTREAM", "UPSTREAM"

USERS = ("DEPLOYMENT", "CONSUMER")
"""Kinds that answer or use: those whose owners must be told."""


@dataclass(frozen=True)
class Question:
    """What to ask of lineage. `flows`, `select` and `known_at` as the schema has them."""

    start: str
    direction: str = DOWNSTREAM
    follow: str = "VALUES"
    depth: int | None = None
    at: str | None = None
    known_at: Mapping[str, Any] | None = None
    flows: Mapping[str, Any] = field(default_factory=dict)
    select: Mapping[str, Any] = field(default_factory=dict)

    def variables(self) -> Json:
        return {
            "start": self.start,
            "direction": self.direction,
            "follow": self.follow,
            "depth": self.depth,
            "at": self.at,
            "knownAt": self.known_at,
            "flows": {**self.flows},
            "select": {**self.select},
        }


def lineage(client: Client, question: Question, arrows: bool) -> Json:
    """{start, revision, at, complete, total, reached, unidentified, dormantDays, assets, arrows}, nearest first.

    `arrows` are {source, target, timing} between keys, of what flows straight; absent unless asked for.
    """
    found = _accepted(client.ask(_LINEAGE, arrows=arrows, **question.variables())["lineage"])
    columns: dict[str, list[Any]] = found.pop("columns")
    found["assets"] = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    if arrows:
        keys = [*columns["key"], found["start"]["id"]]  # -1 is the start
        drawn = found["arrows"]
        found["arrows"] = [
            {"source": keys[source], "target": keys[target], "timing": timing}
            for source, target, timing in zip(drawn["source"], drawn["target"], drawn["timing"], strict=True)
        ]
    return found


def users(client: Client, question: Question, found: Json) -> Iterator[Json]:
    """The deployments and consumers of an answer of `lineage`, at its moment: {id, kind, owners, tier, environment, verified, usage, hops, when}."""
    kinds = [kind for kind in USERS if not question.select.get("kinds") or kind in question.select["kinds"]]
    if not kinds:
        return
    asked = question.variables() | {"at": found["at"], "knownAt": {"revision": found["revision"]}}
    asked["select"] = {**asked["select"], "kinds": kinds}
    after = None
    while True:
        page = _accepted(client.ask(_USERS, after=after, **asked)["lineage"])["assets"]
        for edge in page["edges"]:
            yield {**edge["node"], "hops": edge["hops"], "when": edge["when"]}
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            return


def paths(
    client: Client,
    source: str,
    target: str,
    follow: str,
    first: int,
    at: str | None,
    known_at: Mapping[str, Any] | None,
) -> Json:
    """{revision, at, count, paths}; each path is {length, hops}, each hop a flow with its evidence."""
    asked = {"source": source, "target": target, "follow": follow, "first": first, "at": at, "knownAt": known_at}
    return _accepted(client.ask(_PATHS, **asked)["paths"])


def search(client: Client, text: str, kinds: Sequence[str], most: int) -> tuple[list[Json], bool]:
    """The best `most` hits, {score, id, kind, …}, and whether there are more. No text: all assets, in order of their keys."""
    found: list[Json] = []
    after = None
    while True:
        first = min(200, most - len(found))
        asked = {"kinds": list(kinds) or None, "first": first, "after": after}
        if text.strip():
            page = client.ask(_SEARCH, text=text, **asked)["search"]
            found += [{**hit["node"], "score": hit["score"]} for hit in page["nodes"]]
        else:
            page = client.ask(_ASSETS, **asked)["assets"]
            found += page["nodes"]
        after, more = page["pageInfo"]["endCursor"], bool(page["pageInfo"]["hasNextPage"])
        if not more or len(found) >= most:
            return found, more


def register(client: Client, manifest: Mapping[str, Any], envelope: Mapping[str, Any]) -> Json:
    """Of a `ManifestInput` and an `EnvelopeInput`: {changed, revision, added, updated, withdrawn, plan}."""
    return _accepted(client.ask(_REGISTER, manifest=manifest, envelope=envelope)["register"])


def head(client: Client) -> int:
    """The number of the newest revision."""
    revision: int = client.ask("query Head { head { revision } }")["head"]["revision"]
    return revision


def alert(client: Client, key: str) -> Json | None:
    """{id, state, about, column, openedAt, lastSeen, rows, causes}, as it is now."""
    found: Json | None = client.ask(_ALERT, key=key)["node"]
    return found or None


def _accepted(result: Json) -> Json:
    if "problem" in result:
        raise Refused(result["problem"], result["__typename"])
    return result


_PROBLEM = "... on Problem { __typename problem: message }"

_ARGUMENTS = """
  $start: ID!
  $direction: Direction!
  $follow: Follow!
  $depth: Int
  $at: DateTime
  $knownAt: KnownAtInput
  $flows: FlowFilterInput
  $select: AssetFilterInput
"""

_GIVEN = """
    start: $start
    direction: $direction
    follow: $follow
    depth: $depth
    at: $at
    knownAt: $knownAt
    flows: $flows
    select: $select
"""

_LINEAGE = f"""
query Lineage($arrows: Boolean!{_ARGUMENTS}) {{
  lineage({_GIVEN}) {{
    ... on Lineage {{
      start {{ id kind title }}
      revision
      at
      complete
      total
      reached
      unidentified {{ calls }}
      dormantDays
      columns
      arrows @include(if: $arrows)
    }}
    {_PROBLEM}
  }}
}}
"""

_USERS = f"""
query Users($after: String{_ARGUMENTS}) {{
  lineage({_GIVEN}) {{
    ... on Lineage {{
      assets(first: 700, after: $after) {{
        pageInfo {{ hasNextPage endCursor }}
        edges {{
          hops
          when
          node {{
            id
            kind
            owners {{ name contact }}
            tier
            environment
            verified
            usage {{ calls callsPerDay lastSeen }}
          }}
        }}
      }}
    }}
    {_PROBLEM}
  }}
}}
"""

_PATHS = f"""
query Paths(
  $source: ID!
  $target: ID!
  $follow: Follow!
  $first: Int!
  $at: DateTime
  $knownAt: KnownAtInput
) {{
  paths(source: $source, target: $target, follow: $follow, first: $first, at: $at, knownAt: $knownAt) {{
    ... on Paths {{
      revision
      at
      count {{ total shortest length cyclic }}
      paths {{
        length
        hops {{
          source {{ id }}
          target {{ id }}
          via {{ id }}
          timing
          basis
          origins
          verified
          dormant
          usage {{ calls callsPerDay lastSeen }}
        }}
      }}
    }}
    {_PROBLEM}
  }}
}}
"""

_SHOWN = "id kind namespace title description owners { name contact } tags tier"

_SEARCH = f"""
query Search($text: String!, $kinds: [AssetKind!], $first: Int!, $after: String) {{
  search(text: $text, kinds: $kinds, first: $first, after: $after) {{
    pageInfo {{ hasNextPage endCursor }}
    nodes {{ score node {{ {_SHOWN} }} }}
  }}
}}
"""

_ASSETS = f"""
query Assets($kinds: [AssetKind!], $first: Int!, $after: String) {{
  assets(kinds: $kinds, first: $first, after: $after) {{
    pageInfo {{ hasNextPage endCursor }}
    nodes {{ {_SHOWN} }}
  }}
}}
"""

_REGISTER = f"""
mutation Register($manifest: ManifestInput!, $envelope: EnvelopeInput!) {{
  register(manifest: $manifest, envelope: $envelope) {{
    ... on Registered {{ changed revision added updated withdrawn plan {{ verb subject }} }}
    {_PROBLEM}
  }}
}}
"""

_ALERT = """
query Alert($key: ID!) {
  node(id: $key) {
    ... on Alert {
      id
      state
      about { id }
      column { id }
      openedAt
      lastSeen
      rows
      causes { explanation asset { id } }
    }
  }
}
"""

CHANGES = """
subscription Changes($since: Int!) {
  changes(since: $since) {
    number
    at
    actor
    changes { verb subject origin opened { asset } }
  }
}
"""
