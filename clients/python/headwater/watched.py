"""What the service has seen: its sources, what they told wrong, who depends on what, and what nobody uses.

All functions raise what `Client.ask` raises.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from headwater.client import Client

Json = dict[str, Any]

_PAGE = 200


def sources(client: Client, days: int = 7) -> Iterator[Json]:
    """{name, health, firstHeard, lastHeard, latestEvent, usualDays, rejected, days}, in the order of their names."""
    return _all(client, _SOURCES, "sources", silentDays=days)


def rejected(client: Client, source: str | None = None) -> Iterator[Json]:
    """{id, source, place, reason, times, lastRejected, target, url}, what was refused last first."""
    return _all(client, _REJECTED, "rejectedItems", source=source)


def retake(client: Client, ids: Sequence[str]) -> list[Json]:
    """Takes refused items again: {id, outcome, reason} of each. `outcome`: TAKEN, REFUSED, UNKNOWN or LATER."""
    retaken: list[Json] = []
    for start in range(0, len(ids), _PAGE):
        retaken += client.ask(_RETAKE, ids=[*ids[start : start + _PAGE]])["retakeRejected"]
    return retaken


def discard(client: Client, ids: Sequence[str]) -> int:
    """Gives refused items up; how many were kept."""
    return sum(
        int(client.ask(_DISCARD, ids=[*ids[start : start + _PAGE]])["discardRejected"])
        for start in range(0, len(ids), _PAGE)
    )


def dependencies(client: Client, standing: str, days: int = 30) -> Iterator[Json]:
    """{declaredSince, flow}. `standing`: UNDECLARED, seen and not declared; DORMANT, declared and not seen for `days`."""
    return _all(client, _DEPENDENCIES, "dependencies", standing=standing, silentDays=days)


def unused(client: Client, kinds: Sequence[str] = (), verdict: str | None = None, days: int = 30) -> Iterator[Json]:
    """{asset, verdict, uncovered, lastCalled}. `kinds` empty: all but parts. `verdict`: SAFE or UNCOVERED alone."""
    named = [kind.upper() for kind in kinds] or None
    return _all(client, _UNUSED, "unused", kinds=named, verdict=verdict, silentDays=days)


def removal(client: Client, key: str, days: int = 30) -> Json:
    """Whether anybody would miss an asset: {verdict, users, needing, calls, lastCalled, watchers, uncovered}."""
    found: Json = client.ask(_REMOVAL, id=key, silentDays=days)["removal"]
    return found


def _all(client: Client, query: str, name: str, **variables: Any) -> Iterator[Json]:
    """Page after page."""
    after = None
    while True:
        page = client.ask(query, first=_PAGE, after=after, **variables)[name]
        yield from page["nodes"]
        if not page["pageInfo"]["hasNextPage"]:
            return
        after = page["pageInfo"]["endCursor"]


_PAGES = "pageInfo { hasNextPage endCursor }"

_SOURCES = f"""
query Sources($silentDays: Int!, $first: Int!, $after: String) {{
  sources(silentDays: $silentDays, first: $first, after: $after) {{
    nodes {{
      name
      health
      firstHeard
      lastHeard
      latestEvent
      usualDays
      rejected
      days {{ date items rejected lagSeconds }}
    }}
    {_PAGES}
  }}
}}
"""

_REJECTED = f"""
query Rejected($source: String, $first: Int!, $after: String) {{
  rejectedItems(source: $source, first: $first, after: $after) {{
    nodes {{ id source place reason times lastRejected target url }}
    {_PAGES}
  }}
}}
"""

_RETAKE = "mutation Retake($ids: [ID!]!) { retakeRejected(ids: $ids) { id outcome reason } }"
_DISCARD = "mutation Discard($ids: [ID!]!) { discardRejected(ids: $ids) }"

_DEPENDENCIES = f"""
query Dependencies($standing: Standing!, $silentDays: Int!, $first: Int!, $after: String) {{
  dependencies(standing: $standing, silentDays: $silentDays, first: $first, after: $after) {{
    nodes {{
      declaredSince
      flow {{
        source {{ id }}
        target {{ id }}
        basis
        origins
        verified
        usage {{ calls errors callsPerDay firstSeen lastSeen }}
      }}
    }}
    {_PAGES}
  }}
}}
"""

_UNUSED = f"""
query Unused($kinds: [AssetKind!], $verdict: RemovalVerdict, $silentDays: Int!, $first: Int!, $after: String) {{
  unused(kinds: $kinds, verdict: $verdict, silentDays: $silentDays, first: $first, after: $after) {{
    nodes {{ asset {{ id kind owners {{ name contact }} }} verdict lastCalled uncovered }}
    {_PAGES}
  }}
}}
"""

_REMOVAL = """
query Removal($id: ID!, $silentDays: Int!) {
  removal(id: $id, silentDays: $silentDays) {
    asset { id }
    verdict
    users { id owners { name contact } }
    needing { id owners { name contact } }
    calls
    lastCalled
    watchers { source health lastHeard }
    uncovered
  }
}
"""
