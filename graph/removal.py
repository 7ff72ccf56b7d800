"""Whether anybody would miss an asset: who uses it, who would have seen a use, and whether they were well meanwhile.

That nobody was seen says nothing where nobody looks: so it is "safe" only where all who look were well.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import numpy as np

from graph.keys import AssetKey, AssetKind
from graph.model import REFINES_FIRST, Assertion, Basis, Flow, Subject
from graph.ports import Port, Step
from graph.same import groups_at, names_of
from graph.sources import Health, Standing, source_of
from graph.stores.contract import Store
from graph.time import DAY, FOREVER, Instant, moment
from graph.topology import KIND_CODE, KINDS, Bools, Ints, Moment, View, kinds_mask
from graph.usage import OF_CALLS, Usage, day_of
from graph.walk import Direction, FlowFilter, walk

REMOVABLE = (
    AssetKind.DATASET,
    AssetKind.COLUMN,
    AssetKind.FEATURE_VIEW,
    AssetKind.FEATURE,
    AssetKind.MODEL,
    AssetKind.MODEL_VERSION,
    AssetKind.DEPLOYMENT,
)
"""What somebody may use, or not."""

_OBSERVED = REFINES_FIRST.index(Basis.OBSERVED)
_STATED = (Basis.DECLARED, Basis.IMPORTED, Basis.INFERRED)
_CALLERS = (AssetKind.CONSUMER, AssetKind.DEPLOYMENT)
_CALLED = (AssetKind.FEATURE_VIEW, AssetKind.FEATURE, AssetKind.DEPLOYMENT)
"""Calls of these are counted, so a flow from one to a caller alone says no more than that it was called once. So does a flow of
whatever else that follows from calls (`OF_CALLS`)."""

LastSaid = Callable[[Collection[Subject]], Mapping[tuple[Subject, str], Instant]]
"""When each origin was last heard to say something of these; never: absent."""


class Verdict(StrEnum):
    USED = "USED"
    """It was seen being used."""
    NEEDED = "NEEDED"
    """Somebody says that they depend on it, or a definition says so, or a job that has not run for long read it; they were not
    seen using it."""
    UNCOVERED = "UNCOVERED"
    """Nobody was seen using it, but not all uses would have been seen."""
    SAFE = "SAFE"
    """Nobody was seen using it, and whoever would have seen a use was well."""


class Watcher(NamedTuple):
    """A source that would have seen a use."""

    source: str
    standing: Standing | None
    """None: it is not known how lately it told something."""
    health: Health | None


class Covered(NamedTuple):
    watchers: tuple[Watcher, ...]
    lacking: tuple[str, ...]
    """Why a use may not have been seen, one sentence each."""


@dataclass(frozen=True, slots=True)
class Removal:
    asset: AssetKey
    verdict: Verdict
    users: tuple[AssetKey, ...]
    """Who was seen using it, in the order of the keys' text."""
    needing: tuple[AssetKey, ...]
    """Who is said to depend on it; in order."""
    calls: int
    """Of it, its parts and its container, over the days asked for, by callers that could not be told, too."""
    last_called: Instant | None
    watchers: tuple[Watcher, ...]
    uncovered: tuple[str, ...]
    """Why a use may not have been seen, one sentence each."""


class Coverage:
    """Which sources tell of uses of what: all that ever told, as is believed now, that something flows out of such assets."""

    def __init__(self, view: View, standings: Iterable[Standing], own: str) -> None:
        """`own`: the source that this service itself is. It sees all calls that it answers, whenever it is there."""
        self._standings = {each.source: each for each in standings}
        self._own = own
        rows, count = view.rows, view.row_count
        source = view.vertex_asset[rows["source"][:count]]
        # Traces of some who read something else than features say nothing of the others; features this service serves itself.
        partial = _of_calls(view)[rows["origin"][:count]]
        partial &= view.kind[source] != KIND_CODE[AssetKind.FEATURE]
        flows = np.flatnonzero(
            ~partial
            & (rows["step"][:count] & Step.FLOW != 0)
            & (view.times[:count, 3] == FOREVER)
            & np.isin(
                rows["strength"][:count], [REFINES_FIRST.index(Basis.OBSERVED), REFINES_FIRST.index(Basis.IMPORTED)]
            )
            & (view.vertex_port[rows["source"][:count]] != Port.REQUESTS)
        )
        assets = source[flows]
        told = np.unique(np.stack([_GROUP[view.kind[assets]], view.namespace[assets], rows["origin"][flows]]), axis=1)
        self._telling: dict[tuple[int, str], set[str]] = {}
        for group, namespace, origin in told.T.tolist():
            sources = self._telling.setdefault((group, view.namespaces[namespace]), set())
            sources.add(source_of(view.origins[origin]))

    def of(self, names: Collection[AssetKey], said: Sequence[Assertion], days: int, now: Instant) -> Covered:
        """Over the last `days`. `names`: all keys of an asset; `said`: what is believed of it."""
        asset = next(iter(names))
        holding = [each for each in said if each.valid.holds_at(now)]
        said_by = {each.origin for each in holding}
        group = int(_GROUP[KIND_CODE[asset.kind]])
        telling = {source for name in names for source in self._telling.get((group, name.namespace), ())}
        lacking: list[str] = []
        if asset.kind is AssetKind.DEPLOYMENT:
            answering = [own for own in (self._own,) if own in said_by]
            telling = set(answering or [each for each in map(_traces_of, names) if each in self._standings])
            if not telling:
                lacking.append(
                    "it is answered elsewhere, and exports no traces: only callers that export theirs are seen"
                )
        elif not telling:
            lacking.append(f"no source tells who uses a {asset.kind} of {asset.namespace}")
        watchers = []
        for source in sorted(telling):
            standing = self._standings.get(source)
            health = None if standing is None else standing.health(days, now)
            if source == self._own and health is Health.SILENT:
                health = Health.WELL  # what is not there answers nobody
            watchers.append(Watcher(source, standing, health))
            if health is not Health.WELL:
                lacking.append(_lack(source, standing, health))
        since = min((each.valid.start for each in holding), default=None)
        if since is None:
            lacking.append("nobody says what it is, so it is not known since when it is there")
        elif since > now - days * DAY:
            lacking.append(f"it is known only since {_day(since)}")
        return Covered(tuple(watchers), tuple(lacking))


def removal(
    view: View,
    now: Moment,
    asset: AssetKey,
    usages: Iterable[Usage],
    covered: Covered,
    days: int,
    last_said: LastSaid,
) -> Removal:
    """`usages`: calls of it, of its parts and of its container. Raises NotFound."""
    start = now.at - days * DAY
    recent = [each for each in usages if each.calls > 0 and each.last >= start]
    callers = {names_of(view, each.reader, now)[0] for each in recent if each.reader is not None}
    seen = _direct(view, now, asset, FlowFilter(bases=(Basis.OBSERVED,), without=OF_CALLS))
    seen = {each for each in seen if asset.kind not in _CALLED or each.kind not in _CALLERS}
    silent = _silent(view, now, asset, seen, last_said, start) if seen else set()
    users = (seen - silent) | callers
    needing = (_direct(view, now, asset, FlowFilter(bases=_STATED)) | silent) - users
    calls = sum(each.calls for each in recent)
    verdict = (
        Verdict.USED
        if users or calls
        else Verdict.NEEDED
        if needing
        else Verdict.UNCOVERED
        if covered.lacking
        else Verdict.SAFE
    )
    return Removal(
        asset,
        verdict,
        tuple(sorted(users, key=str)),
        tuple(sorted(needing, key=str)),
        calls,
        max((each.last for each in recent), default=None),
        *covered,
    )


class Judge:
    """Whether anybody would miss some assets, now."""

    def __init__(
        self, store: Store, view: View, now: Moment, standings: Iterable[Standing], own: str, days: int
    ) -> None:
        """`own`: the source that this service itself is."""
        self._store, self._view, self._now, self._days = store, view, now, days
        self._coverage = Coverage(view, standings, own)

    def judged(self, keys: Sequence[AssetKey], only_safe: bool = False) -> Iterator[Removal]:
        """In order. `only_safe`: those of which not all uses would have been seen may be left out."""
        view, now, days = self._view, self._now, self._days
        names = {key: dict.fromkeys(names_of(view, key, now)) for key in keys}
        every = [name for of_key in names.values() for name in of_key]
        said = self._store.believed(every)
        # Who calls a view as a whole may use any feature of it.
        around = {key: {name.container for name in names[key]} for key in keys}
        called = {each for name in every for each in (name, *map(view.key, view.parts_of(view.number(name))))}
        called |= {whole for of_key in around.values() for whole in of_key if whole is not None}
        usages = self._store.usage(called, day_of(now.at) - days)
        for key in keys:
            of_all = [each for name in names[key] for each in said.get(name, ())]
            covered = self._coverage.of(names[key], of_all, days, now.at)
            if not (only_safe and covered.lacking):
                calls = [
                    each
                    for each in usages
                    if names[key].keys() & {each.source, each.source.container} or each.source in around[key]
                ]
                yield removal(view, now, key, calls, covered, days, self._store.last_said)


def removable(view: View, now: Moment, kinds: Collection[AssetKind]) -> Iterator[AssetKey]:
    """Assets of these kinds that may have no users but callers, in the order of the keys' text; others have some."""
    here = np.flatnonzero(np.isin(view.kind[: view.assets], [KIND_CODE[kind] for kind in kinds])).astype(np.int32)
    here = here[view.label_codes(here, now) >= 0]
    here = here[~_has_users(view, now)[here]]
    here = np.unique(groups_at(view, now).shown(here))
    yield from (AssetKey.parse(text) for text in sorted(view.keys[number] for number in here.tolist()))


def _has_users(view: View, now: Moment) -> Bools:
    """By asset: whether something else than calls flows out of it, or of a part of it, to elsewhere."""
    rows = view.rows
    held = view.holding(np.arange(view.row_count, dtype=np.int32), now)
    held = held[rows["step"][held] & Step.FLOW != 0]
    source, target = (view.vertex_asset[rows[end][held]] for end in ("source", "target"))
    whose, where = (np.where(view.container[ends] > 0, view.container[ends], ends) for ends in (source, target))
    calls = kinds_mask(_CALLED)[view.kind[source]] & kinds_mask(_CALLERS)[view.kind[target]]
    calls &= rows["strength"][held] == _OBSERVED
    calls |= _of_calls(view)[rows["origin"][held]]
    logs = (view.kind[source] == KIND_CODE[AssetKind.DEPLOYMENT]) & (view.kind[target] == KIND_CODE[AssetKind.DATASET])
    used = np.zeros(view.assets, np.bool_)
    uses = (whose != where) & ~calls & ~logs
    used[source[uses]] = True
    used[whose[uses]] = True
    return used


def _direct(view: View, now: Moment, asset: AssetKey, flows: FlowFilter) -> set[AssetKey]:
    """What stands right below it and its parts, by such flows. What reads the log of a deployment uses that."""
    below = _below(view, now, asset, flows)
    if asset.kind is AssetKind.DEPLOYMENT:
        logs = {each for each in _below(view, now, asset, FlowFilter()) if each.kind is AssetKind.DATASET}
        below = below - logs | {each for log in logs for each in _below(view, now, log, flows)}
    names = names_of(view, asset, now)
    return {each for each in below if each not in names and each.container not in names}


def _below(view: View, now: Moment, asset: AssetKey, flows: FlowFilter) -> set[AssetKey]:
    return set(walk(view, asset, Direction.DOWNSTREAM, now, flows=flows, depth=1).keys())


def _silent(
    view: View, now: Moment, asset: AssetKey, seen: Collection[AssetKey], last_said: LastSaid, start: Instant
) -> set[AssetKey]:
    """Those of `seen` of which all who saw it tell when they did, and nobody has since `start`: jobs that no longer run."""
    rows = view.rows
    names = [view.number(name) for name in names_of(view, asset, now)]
    around = [int(view.container[name]) for name in names if view.container[name] > 0]
    assets = np.array([*names, *around, *(part for name in names for part in view.parts_of(name))], np.int64)
    ports = np.unique(np.concatenate([view.whole[assets], view.any[assets]]))
    held = view.holding(view.down.of_many(ports), now)
    held = held[(rows["step"][held] & Step.FLOW != 0) & (rows["strength"][held] == _OBSERVED)]
    ends = (view.vertex_asset[rows[end][held]] for end in ("source", "target"))
    columns = (column.tolist() for column in (*ends, rows["via"][held], rows["origin"][held]))
    told = [
        (Flow(view.key(source), view.key(target), view.key(via) if via else None), view.origins[origin])
        for source, target, via, origin in zip(*columns, strict=True)
    ]
    said = last_said({flow for flow, _ in told})
    since: dict[AssetKey, Instant] = {}
    for flow, origin in told:
        if origin in OF_CALLS:
            continue
        shown = names_of(view, flow.target, now)[0]
        for user in (shown, shown.container):
            if user is not None:
                since[user] = max(since.get(user, 0), said.get((flow, origin), FOREVER))
    return {each for each in seen if since.get(each, FOREVER) < start}


def _traces_of(deployment: AssetKey) -> str:
    return f"traces:{deployment.namespace}/{deployment.name}"


def _lack(source: str, standing: Standing | None, health: Health | None) -> str:
    if standing is None or health is None:
        return f"it is not known how lately {source} told something"
    if health is Health.REFUSED:
        assert standing.unmended is not None
        items = standing.unmended.items
        return f"{items} item{' of' if items == 1 else 's of'} {source} {'was' if items == 1 else 'were'} refused, and not mended"
    if health is Health.YOUNG:
        return f"{source} tells something only since {_day(standing.first)}"
    return f"{source} was silent for longer than usual; it told something last on {_day(standing.last)}"


def _day(at: Instant) -> str:
    return str(moment(at))[: len("2026-11-24")]


def _of_calls(view: View) -> Bools:
    """By origin; the last is that of rows without one."""
    return np.array([origin in OF_CALLS for origin in (*view.origins, "")])


def _groups() -> Ints:
    """By code: kinds whose uses the same sources see. An alias is a model's."""
    groups = {kind: place for place, kind in enumerate(KINDS)}
    for part, whole in (
        (AssetKind.COLUMN, AssetKind.DATASET),
        (AssetKind.FEATURE, AssetKind.FEATURE_VIEW),
        (AssetKind.MODEL_VERSION, AssetKind.MODEL),
    ):
        groups[part] = groups[whole]
    return np.array([*(groups[kind] for kind in KINDS), groups[AssetKind.MODEL]], np.int64)


_GROUP = _groups()
