"""A graph made to be hard for questions of why: wide layers, joined at random, with flows that lead back.

Every way is as long as the layers are many, nearly all assets are in one circle, and a smallest cut is nearly as wide as a
layer, so that what searches way by way does not come to an end.
"""

import numpy as np

from graph.keys import AssetKind
from tests.bench.world import KINDS, START, History, Numbers, World

LAYERS, WIDTH = 50, 2_000
READ, BACK = 4, 0.05
"""Flows into each asset, and the part of them that leads back."""


def mesh(layers: int = LAYERS, width: int = WIDTH) -> World:
    """One dataset is read by all of the first layer; the last one are consumers."""
    chance = np.random.default_rng(20261124)
    assets, later = 1 + layers * width, (layers - 1) * width

    def layer(assets: Numbers) -> Numbers:
        of_each: Numbers = (assets - 1) // width
        return of_each

    first, rest = 1 + np.arange(width), 1 + width + np.arange(later)
    target = np.concatenate([rest, chance.choice(rest, round((READ * (1 - BACK)) * later))])
    source = 1 + (layer(target) - 1) * width + chance.integers(0, width, len(target))
    back = chance.integers(1 + width, assets - width, round(READ * BACK * later))
    before = 1 + (chance.random(len(back)) * layer(back) * width).astype(np.int64)
    pairs = np.unique(
        np.concatenate([first, target, before]) * assets + np.concatenate([np.zeros(width, np.int64), source, back])
    )
    kind = np.full(assets, KINDS.index(AssetKind.DATASET))
    kind[-width:] = KINDS.index(AssetKind.CONSUMER)
    none: Numbers = np.zeros(0, np.int64)
    return World(
        name=f"a mesh of {assets:,} assets, {len(pairs):,} flows",
        slug=f"mesh-{assets}",
        kind=kind,
        container=np.full(assets, -1),
        domain=np.zeros(assets, np.int64),
        label=np.zeros(assets, np.int64),
        labels=[{}],
        source=pairs % assets,
        target=pairs // assets,
        since=np.full(len(pairs), START),
        history=History(none, none, none, none, np.zeros(0, np.bool_)),
    )
