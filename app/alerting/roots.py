"""From the drifted columns of a window to what went wrong: one root for each, however many columns show it."""

from collections.abc import Mapping
from dataclasses import dataclass

from app.events import DriftedColumn, Side, WindowTested
from graph.cause import live_upstream, nearest_columns
from graph.keys import AssetKey
from graph.topology import Moment, View


@dataclass(frozen=True, slots=True)
class Root:
    about: AssetKey
    """What the column that drifted most is: a feature, else the deployment."""
    column: AssetKey | None
    """Its nearest source column: of several that are equally near, the first by key."""
    columns: tuple[DriftedColumn, ...]
    """What drifted most first."""
    consequences: tuple[DriftedColumn, ...]
    """The outputs that drifted, where `columns` are inputs."""
    abouts: frozenset[AssetKey]
    """What all the drifted columns of this root are."""
    upstream: Mapping[AssetKey, int]
    """Of `about`: all from which values flow into it now, by the flows between."""


def roots(view: View, at: Moment, window: WindowTested) -> list[Root]:
    """Those upstream of others first.

    Inputs with a nearest source column in common are one root, and so are all inputs that are no feature. Outputs are a
    root of their own where no input drifted; else they are a consequence of every root.
    """
    drifted = [column for column in window.columns if (column.side, column.name) in window.drifted]
    drifted.sort(key=lambda column: (-column.effect, column.name))
    inputs = [column for column in drifted if column.side is Side.INPUT]
    outputs = [column for column in drifted if column.side is Side.OUTPUT]
    groups = [(group, outputs) for group in _grouped(view, at, inputs)]
    if outputs and not inputs:
        groups.append((outputs, []))
    found = [_root(view, at, window.deployment, *group) for group in groups]
    abouts = {root.about for root in found}
    return sorted(found, key=lambda root: (len(abouts & root.upstream.keys()), -root.columns[0].effect))


def _grouped(view: View, at: Moment, inputs: list[DriftedColumn]) -> list[list[DriftedColumn]]:
    groups: list[tuple[set[AssetKey | None], list[DriftedColumn]]] = []
    for column in inputs:
        origins: set[AssetKey | None] = {column.feature}
        if column.feature is not None:
            origins |= set(nearest_columns(live_upstream(view, [column.feature], at)))
        together = [group for group in groups if group[0] & origins]
        groups = [group for group in groups if not group[0] & origins]
        groups.append(
            (
                origins.union(*(group[0] for group in together)),
                [*(each for group in together for each in group[1]), column],
            )
        )
    return [sorted(group, key=lambda column: -column.effect) for _, group in groups]


def _root(
    view: View, at: Moment, deployment: AssetKey, columns: list[DriftedColumn], consequences: list[DriftedColumn]
) -> Root:
    about = columns[0].feature or deployment
    upstream = live_upstream(view, [about], at)
    nearest = nearest_columns(upstream) if columns[0].feature else []
    return Root(
        about=about,
        column=nearest[0] if nearest else None,
        columns=tuple(columns),
        consequences=tuple(consequences),
        abouts=frozenset(column.feature or deployment for column in columns),
        upstream=upstream,
    )
