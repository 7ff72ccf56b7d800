"""What stands right beside an asset: its parts, and the flows at it or among a set of assets."""

from typing import NamedTuple

import numpy as np

from graph.keys import AssetKey
from graph.model import REFINES_FIRST, Basis, Flow, Timing
from graph.ports import Port, Step
from graph.topology import ALIAS_CODE, Ints, Moment, View
from graph.walk import Direction, has_flow


class HeldFlow(NamedTuple):
    """A flow that held at the moment asked for; `basis` is the strongest it was known by."""

    flow: Flow
    timing: Timing
    basis: Basis


def flows_at(view: View, asset: int, direction: Direction, moment: Moment) -> list[HeldFlow]:
    """The flows that leave (DOWNSTREAM) or reach (UPSTREAM) an asset, in the order of their text."""
    ports = np.unique(np.array([view.whole[asset], view.any[asset]]))
    around = view.down if direction is Direction.DOWNSTREAM else view.up
    return _held(view, view.holding(around.of_many(ports), moment))


class Arrow(NamedTuple):
    """Something flows straight from `source` to `target`, by whatever is stated or implied."""

    source: int
    target: int
    timing: Timing


def arrows_among(view: View, assets: Ints, moment: Moment) -> list[Arrow]:
    """What flows among `assets`, each pair once, in order; LIVE where any flow of the pair is.

    A flow given by alias leaves from the version named then, and what requests must carry from the feature carried.
    """
    asset, target, step = view.vertex_asset, view.rows["target"], view.rows["step"]
    found: dict[tuple[int, int], Timing] = {}
    for number in assets.tolist():
        vertices = np.unique(np.array([view.whole[number], view.any[number]]))
        reached = [view.holding(view.down.of_many(vertices), moment)]
        for _ in range(2):  # a version's requests, or alias, and then the alias's requests
            steps = target[reached[-1][step[reached[-1]] & Step.FLOW == 0]]
            between = (view.vertex_port[steps] == Port.REQUESTS) | (view.kind[asset[steps]] == ALIAS_CODE)
            reached.append(view.holding(view.down.of_many(np.unique(steps[between])), moment))
        rows = np.concatenate(reached)
        rows = rows[step[rows] & Step.FLOW != 0]
        for row in rows[np.isin(asset[target[rows]], assets)].tolist():
            timing = Timing.BUILT if step[row] & Step.BUILT else Timing.LIVE
            pair = number, int(asset[target[row]])
            if found.get(pair) is not Timing.LIVE:
                found[pair] = timing
    return [Arrow(*pair, timing) for pair, timing in sorted(found.items())]


def parts_of(view: View, asset: int, moment: Moment) -> list[AssetKey]:
    """The parts that somebody said were there, or that a flow ended at, in the order of their keys' text."""
    parts = np.array(view.parts_of(asset), np.int64)
    said = view.label_codes(parts, moment) >= 0
    live = [
        part
        for part, is_said in zip(parts.tolist(), said.tolist(), strict=True)
        if is_said or has_flow(view, part, moment)
    ]
    return sorted((view.key(part) for part in live), key=str)


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


def _held(view: View, rows: Ints) -> list[HeldFlow]:
    rows = rows[view.rows["step"][rows] & Step.FLOW != 0]
    rows = rows[view.vertex_port[view.rows["source"][rows]] != Port.REQUESTS]
    columns = [view.rows[name][rows].tolist() for name in ("source", "target", "via", "strength")]
    asset = view.vertex_asset
    strongest: dict[tuple[int, int, int], int] = {}
    for source, target, via, strength in zip(*columns, strict=True):
        identity = int(asset[source]), int(asset[target]), via
        strongest[identity] = min(strength, strongest.get(identity, strength))
    held = []
    for (source, target, via), strength in strongest.items():
        flow = Flow(view.key(source), view.key(target), view.key(via) if via else None)
        held.append(HeldFlow(flow, flow.type.timing, REFINES_FIRST[strength]))
    return sorted(held, key=lambda each: str(each.flow))
