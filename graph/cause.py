"""What upstream may have caused a drift: a ranking for people, with the reason in words.

Only values are followed, and only LIVE flows: requests that differ from the reference today cannot have been made so by
what a training run read then.
"""

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

from graph.errors import NotFound
from graph.keys import AssetKey, AssetKind
from graph.model import Assertion, Timing
from graph.neighbours import flows_at
from graph.same import names_of
from graph.stores.contract import Revision
from graph.time import DAY, MINUTE, Instant, moment
from graph.topology import Moment, View
from graph.walk import Direction, FlowFilter, located, walk

AT_MOST = 20
RECENT: Instant = 7 * DAY
"""How long before a drift a change upstream still counts as its possible cause."""

_LIVE = FlowFilter(timings=(Timing.LIVE,))
_OF_VALUES = ("artifact", "definition", "entities", "nullable", "signature", "type", "version")
"""The attributes whose change may change values."""
_MEASURED = (AssetKind.COLUMN, AssetKind.DATASET)
"""What data stands in, columns before the datasets they stand in."""


class Reason(StrEnum):
    """In the order of rank."""

    DRIFTED = "DRIFTED"
    """It drifts itself."""
    CHANGED = "CHANGED"
    """Its definition, its type or what flows into it changed shortly before."""
    UPSTREAM = "UPSTREAM"
    """Data flows from it, and nobody measures it."""


class Cause(NamedTuple):
    asset: AssetKey
    reason: Reason
    explanation: str
    hops: int


def live_upstream(view: View, starts: Iterable[AssetKey], at: Moment) -> dict[AssetKey, int]:
    """All from which values flow into any of `starts` at every request, with the fewest flows between, nearest first.

    Starts are left out, and one that the graph does not know has nothing upstream.
    """
    starts = list(dict.fromkeys(starts))
    within = {*starts}
    hops: dict[AssetKey, int] = {}
    for start in starts:
        try:
            lineage = walk(view, start, Direction.UPSTREAM, at, flows=_LIVE)
        except NotFound:
            continue
        within.add(lineage.start)
        for key, distance in zip(lineage.keys(), lineage.hops.tolist(), strict=True):
            hops[key] = min(distance, hops.get(key, distance))
    return {key: hops[key] for key in sorted(hops, key=lambda key: (hops[key], str(key))) if key not in within}


def nearest_columns(upstream: Mapping[AssetKey, int]) -> list[AssetKey]:
    """The columns with the fewest flows between, in the order of their keys; none when no column is upstream."""
    columns = {key: hops for key, hops in upstream.items() if key.kind is AssetKind.COLUMN}
    least = min(columns.values(), default=0)
    return sorted((key for key, hops in columns.items() if hops == least), key=str)


def causes(
    view: View,
    at: Moment,
    starts: Sequence[AssetKey],
    drifting: Mapping[AssetKey, str],
    histories: Mapping[AssetKey, Sequence[Revision]],
    at_most: int = AT_MOST,
) -> list[Cause]:
    """The likeliest cause first.

    `starts` drifted. `drifting`: others that do, each with a few words. `histories`: the revisions about each asset
    upstream, by all its keys, as `Store.history` tells them; those older than RECENT are ignored.

    First what drifts itself and has nothing upstream that does ("topologically minimal", the best single rule in our
    measurements), then what changed, latest first, then data that nobody measures, nearest first.
    """
    upstream = live_upstream(view, starts, at)
    drifting = {names_of(view, key, at)[0]: words for key, words in drifting.items()}
    found = [
        *_drifted(view, at, upstream, drifting),
        *_changed(view, at, upstream, histories),
        *_suspects(upstream),
    ]
    ranked: dict[AssetKey, Cause] = {}
    for cause in found:
        ranked.setdefault(cause.asset, cause)
    return list(ranked.values())[:at_most]


def _drifted(view: View, at: Moment, upstream: Mapping[AssetKey, int], drifting: Mapping[AssetKey, str]) -> list[Cause]:
    candidates = [key for key in upstream if key in drifting]
    above = {key: live_upstream(view, [key], at).keys() & set(candidates) for key in candidates}
    candidates.sort(key=lambda key: (len(above[key]), -upstream[key], str(key)))
    return [
        Cause(key, Reason.DRIFTED, f"drifts as well, and is {_away(upstream[key])}: {drifting[key]}", upstream[key])
        for key in candidates
    ]


def _changed(
    view: View, at: Moment, upstream: Mapping[AssetKey, int], histories: Mapping[AssetKey, Sequence[Revision]]
) -> list[Cause]:
    found: list[tuple[Instant, Cause]] = []
    for key, hops in upstream.items():
        for revision in sorted(histories.get(key, ()), key=lambda revision: -revision.number):
            if not at.at - RECENT <= revision.at <= at.at or revision.number > at.revision:
                continue
            what = _what_changed(view, key, revision)
            if what:
                explanation = (
                    f"{what} at {_clock(revision.at)}, {_ago(at.at - revision.at)} before"
                    f" (revision {revision.number}, by {revision.actor})"
                )
                found.append((revision.at, Cause(key, Reason.CHANGED, explanation, hops)))
                break
    return [cause for _, cause in sorted(found, key=lambda each: (-each[0], each[1].hops, str(each[1].asset)))]


def _suspects(upstream: Mapping[AssetKey, int]) -> list[Cause]:
    sources = [key for key in upstream if key.kind in _MEASURED]
    sources.sort(key=lambda key: (upstream[key], _MEASURED.index(key.kind), str(key)))
    return [
        Cause(key, Reason.UPSTREAM, f"suspect, not monitored: {_away(upstream[key])}", upstream[key]) for key in sources
    ]


def _what_changed(view: View, key: AssetKey, revision: Revision) -> str:
    """What of `key` that may change values; empty when nothing did, or when it was only then heard of."""
    before, after = Moment(revision.at, revision.number - 1), Moment(revision.at, revision.number)
    try:
        number = located(view, key, before)
    except NotFound:
        return ""
    names = _attributes_changed(names_of(view, key, after), revision)
    told = [f"its {' and '.join(names)} changed"] if names else []
    reads = [
        {each.flow.source for each in flows_at(view, number, Direction.UPSTREAM, then)} for then in (before, after)
    ]
    for verb, sources in (
        ("flowed into it no longer", reads[0] - reads[1]),
        ("began to flow into it", reads[1] - reads[0]),
    ):
        if sources:
            named = ", ".join(sorted(map(str, sources))[:3]) + (
                f" and {len(sources) - 3} more" if len(sources) > 3 else ""
            )
            told.append(f"{named} {verb}")
    return "; ".join(told)


def _attributes_changed(keys: Sequence[AssetKey], revision: Revision) -> list[str]:
    """Those of one asset, by all its keys, for which an origin had one value and now has another; what it says for the first time did not change."""
    before, after = (
        {
            (said.subject, said.origin): said.attributes
            for said in sorted(_about(keys, rows), key=lambda said: said.valid)
        }
        for rows in ((row.assertion for row in revision.closed), (row.assertion for row in revision.opened))
    )
    return [
        name
        for name in _OF_VALUES
        if any(name in before[say] and before[say][name] != after[say].get(name) for say in before.keys() & after)
    ]


def _about(keys: Sequence[AssetKey], said: Iterable[Assertion]) -> list[Assertion]:
    return [each for each in said if each.subject in keys]


def _away(hops: int) -> str:
    return f"{hops} flow{'s' if hops != 1 else ''} upstream" if hops else "part of what is upstream"


def _clock(at: Instant) -> str:
    when = moment(at)
    assert when is not None
    return f"{when:%Y-%m-%d %H:%M} UTC"


def _ago(duration: Instant) -> str:
    minutes = duration // MINUTE
    if minutes < 120:
        return f"{minutes} min"
    return f"{minutes // 60} h" if minutes < 48 * 60 else f"{minutes // (24 * 60)} days"
