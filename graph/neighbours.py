"""What stands right beside an asset: its parts, and the flows at it or among a set of assets."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from graph.keys import AssetKey, AssetKind
from graph.model import REFINES_FIRST, Basis, Flow, Timing
from graph.ports import Port, Step
from graph.same import Groups, groups_at
from graph.sources import source_of
from graph.time import Instant
from graph.topology import ALIAS_CODE, Ints, Moment, View
from graph.walk import Direction, Lineage, allowed, has_flow


class HeldFlow(NamedTuple):
    """A flow that held at the moment asked for; `basis` is the strongest it was known by."""

    flow: Flow
    timing: Timing
    basis: Basis
    stored: tuple[Flow, ...]
    """As it was stated: of assets that are the same, for each its own."""


def flows_at(view: View, asset: int, direction: Direction, moment: Moment) -> list[HeldFlow]:
    """The flows that leave (DOWNSTREAM) or reach (UPSTREAM) an asset, in the order of their text.

    Those of assets that are the same are told as of the one shown, but for flows among themselves.
    """
    groups = groups_at(view, moment)
    assets = groups.of_many([asset])
    ports = np.unique(np.concatenate([view.whole[assets], view.any[assets]]))
    around = view.down if direction is Direction.DOWNSTREAM else view.up
    return _held(view, groups, view.holding(around.of_many(ports), moment))


def told_since(view: View, source: AssetKey, moment: Moment) -> dict[tuple[str, str], Instant]:
    """For each flow that left `source` then, by its target's key and an origin that said so: since when."""
    number = view.numbers.get(str(source), view.assets)
    if number >= view.assets:
        return {}
    ports = np.unique(np.array([view.whole[number], view.any[number]]))
    rows = view.holding(view.down.of_many(ports), moment)
    rows = rows[view.rows["step"][rows] & Step.FLOW != 0]
    rows = rows[view.vertex_port[view.rows["source"][rows]] != Port.REQUESTS]
    targets = view.vertex_asset[view.rows["target"][rows]].tolist()
    columns = (view.rows[name][rows].tolist() for name in ("origin", "valid_start"))
    return {
        (view.keys[target], view.origins[origin]): since
        for target, origin, since in zip(targets, *columns, strict=True)
    }


class Arrow(NamedTuple):
    """Something flows straight from `source` to `target`, by whatever is stated or implied."""

    source: int
    target: int
    timing: Timing


def arrows_among(view: View, assets: Ints, moment: Moment, keep: Callable[[Ints], Ints] | None = None) -> list[Arrow]:
    """What flows among `assets`, each pair once, in order; LIVE where any flow of the pair is.

    A flow given by alias leaves from the version named then, and what requests must carry from the feature carried. Of assets
    that are the same, all are meant and the one shown is told.
    `keep` chooses among the rows of flows.
    """
    asset, source, target, step = view.vertex_asset, view.rows["source"], view.rows["target"], view.rows["step"]
    among = np.zeros(view.assets, np.bool_)
    groups = groups_at(view, moment)
    if groups:
        assets = groups.of_many(assets)
    among[assets] = True
    rows = view.holding(view.down.of_many(np.unique(np.concatenate([view.whole[assets], view.any[assets]]))), moment)
    origins = asset[source[rows]]
    timings: dict[tuple[int, int], Timing] = {}
    for _ in range(3):  # from the asset itself, its requests or alias, and then the alias's requests
        is_flow = step[rows] & Step.FLOW != 0
        arriving = is_flow & among[asset[target[rows]]]
        arriving[arriving] = np.isin(rows[arriving], keep(rows[arriving])) if keep else True
        for origin, row in zip(origins[arriving].tolist(), rows[arriving].tolist(), strict=True):
            timing = Timing.BUILT if step[row] & Step.BUILT else Timing.LIVE
            pair = origin, int(asset[target[row]])
            if groups:
                pair = groups.shown_for(pair[0]), groups.shown_for(pair[1])
                if pair[0] == pair[1]:
                    continue
            if timings.get(pair) is not Timing.LIVE:
                timings[pair] = timing
        steps = target[rows]
        between = ~is_flow & ((view.vertex_port[steps] == Port.REQUESTS) | (view.kind[asset[steps]] == ALIAS_CODE))
        onward = {
            (origin, vertex): view.holding(view.down.of_many(np.array([vertex])), moment)
            for origin, vertex in zip(origins[between].tolist(), steps[between].tolist(), strict=True)
        }
        origins = np.array([origin for (origin, _), found in onward.items() for _ in found], np.int64)
        rows = np.concatenate([np.empty(0, np.int64), *onward.values()])
    return [Arrow(*pair, timing) for pair, timing in sorted(timings.items())]


def arrows_walked(lineage: Lineage, rows: Ints) -> list[Arrow]:
    """What the walk took straight between two of the chosen `rows`, or between one and the start.

    `source` and `target` are places in `rows`, -1 the start, for which its parts and its container stand too, as they
    are not in the answer.
    """
    view, start = lineage.view, lineage.view.number(lineage.start)
    met = np.zeros(view.vertices, np.bool_)
    met[lineage.met.vertices] = True
    may = allowed(view, lineage.follow, lineage.met.flows)

    def walked(held: Ints) -> Ints:
        return may.of(view, held[met[view.rows["source"][held]] & met[view.rows["target"][held]]])

    container = int(view.container[start])
    place = dict.fromkeys((start, *view.parts_of(start), *([container] if container else ())), -1)
    place |= {number: row for row, number in enumerate(lineage.assets[rows].tolist())}
    timings: dict[tuple[int, int], Timing] = {}
    for arrow in arrows_among(view, np.array(sorted(place), np.int64), lineage.moment, walked):
        pair = place[arrow.source], place[arrow.target]
        if pair[0] != pair[1] and timings.get(pair) is not Timing.LIVE:
            timings[pair] = arrow.timing
    return [Arrow(*pair, timing) for pair, timing in sorted(timings.items())]


def sources_walked(lineage: Lineage) -> list[str]:
    """Whose word the answer rests on: the sources of the flows that the walk took, in order."""
    view = lineage.view
    met = np.zeros(view.vertices, np.bool_)
    met[lineage.met.vertices] = True
    rows = view.holding(view.down.of_many(lineage.met.vertices), lineage.moment)
    rows = rows[met[view.rows["target"][rows]] & (view.rows["step"][rows] & Step.FLOW != 0)]
    rows = allowed(view, lineage.follow, lineage.met.flows).of(view, rows)
    return sorted({source_of(view.origins[origin]) for origin in np.unique(view.rows["origin"][rows]).tolist()})


def parts_of(view: View, asset: int, moment: Moment) -> list[AssetKey]:
    """The parts that somebody said were there, or that a flow ended at, in the order of their keys' text."""
    groups = groups_at(view, moment)
    parts = view.parts_of_many(groups.of_many([asset]))
    said = view.label_codes(parts, moment) >= 0
    live = {
        shown
        for part, shown, is_said in zip(parts.tolist(), groups.shown(parts).tolist(), said.tolist(), strict=True)
        if is_said or has_flow(view, part, moment)
    }
    return sorted((view.key(part) for part in live), key=str)


def datasets_into(view: View, container: int, moment: Moment) -> list[AssetKey]:
    """The datasets that flow straight into it or a part of it, by themselves or by a column; in order."""
    assets = np.array([container, *view.parts_of(container)], np.int64)
    ports = np.unique(np.concatenate([view.whole[assets], view.any[assets]]))
    rows = view.holding(view.up.of_many(ports), moment)
    rows = rows[view.rows["step"][rows] & Step.FLOW != 0]
    sources = np.unique(view.vertex_asset[view.rows["source"][rows]]).tolist()
    keys = (view.key(source) for source in sources)
    return sorted({found for key in keys if (found := key.container or key).kind is AssetKind.DATASET}, key=str)


def aliases_ever(view: View, model: AssetKey) -> list[AssetKey]:
    """All aliases that the versions of a model ever had; none for what is no model."""
    here = (view.container[: view.assets] == view.number(model)) & (view.kind[: view.assets] == ALIAS_CODE)
    return sorted(view.key(alias) for alias in np.nonzero(here)[0].tolist())


def aliases_of(view: View, model: AssetKey, moment: Moment) -> list[tuple[AssetKey, AssetKey]]:
    """The aliases of a model's versions then, each with the version it named, in the order of the alias."""
    named: list[tuple[AssetKey, AssetKey]] = []
    for version in view.parts_of(view.number(model)):
        rows = view.holding(view.down.of_many(view.whole[[version]]), moment)
        targets = view.vertex_asset[view.rows["target"][rows]]
        aliases = np.unique(targets[view.kind[targets] == ALIAS_CODE]).tolist()
        named += [(view.key(alias), view.key(version)) for alias in aliases]
    return sorted(named)


def _held(view: View, groups: Groups, rows: Ints) -> list[HeldFlow]:
    rows = rows[view.rows["step"][rows] & Step.FLOW != 0]
    rows = rows[view.vertex_port[view.rows["source"][rows]] != Port.REQUESTS]
    ends = [view.vertex_asset[view.rows[end][rows]] for end in ("source", "target")]
    columns = [*ends, *(view.rows[name][rows] for name in ("via", "strength")), *map(groups.shown, ends)]
    strongest: dict[tuple[int, int, int], int] = {}
    stored: dict[tuple[int, int, int], dict[tuple[int, int], None]] = {}
    for source, target, via, strength, *shown in zip(*(column.tolist() for column in columns), strict=True):
        identity = shown[0], shown[1], via
        strongest[identity] = min(strength, strongest.get(identity, strength))
        stored.setdefault(identity, {})[source, target] = None
    held = []
    for (source, target, via), strength in strongest.items():
        if source == target:
            continue
        through = view.key(via) if via else None
        flow = Flow(view.key(source), view.key(target), through)
        told = [Flow(view.key(one), view.key(other), through) for one, other in stored[source, target, via]]
        held.append(HeldFlow(flow, flow.type.timing, REFINES_FIRST[strength], tuple(sorted(told, key=str))))
    return sorted(held, key=lambda each: str(each.flow))
