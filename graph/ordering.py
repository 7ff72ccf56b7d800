"""Assets in the order of their keys' text, without comparing texts in each answer."""

from bisect import bisect_left
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from graph import kernels
from graph.topology import Ints

_DENSE = 16
"""From this share of all assets on it is faster to look at all ranks than to compare those of the answer."""


class Ranks:
    """The places of assets in the order of their keys: known for those up to the last `merge`, found for the few since."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._keys = keys
        self.adopt(np.zeros(0, np.int32))

    def adopt(self, order: Ints) -> None:
        """`order`: the numbers of the first so many assets, 0 not among them, in the order of their keys."""
        self._known = kernels.places_in(order), order

    def of_first(self, keys: Sequence[str]) -> "Ranks":
        """Those of `keys`, which are the first of its own, and of such as are appended to them."""
        ranks = Ranks(keys)
        rank, order = self._known
        ranks._known = (rank[: len(keys)], order[order < len(keys)]) if len(order) >= len(keys) else (rank, order)
        return ranks

    @property
    def order(self) -> Ints:
        return self._known[1]

    def merge(self) -> None:
        """Brings in the assets that came since. Only one thread may do so."""
        order, last = self.order, len(self._keys)
        news = sorted(range(len(order) + 1, last), key=self._keys.__getitem__)
        if len(order):
            self.adopt(np.insert(order, self._places(news, order), news).astype(np.int32))
        else:
            self.adopt(np.array(news, np.int32))

    def nearest_first(self, assets: Ints, hops: Ints) -> Ints:
        """The places of the assets by `hops` and then in the order of their keys."""
        rank, order = self._known
        if len(assets) > len(rank) // _DENSE and hops.max() <= len(assets) and assets.max() < len(rank):
            dense: Ints = kernels.ordered(assets, hops, order)
            return dense
        numbers: Ints = kernels.packed(assets, hops, rank)
        return numbers.argsort() if len(numbers) else np.lexsort((self._ranked(assets, rank, order), hops))

    def _ranked(self, assets: Ints, rank: Ints, order: Ints) -> NDArray[np.int64]:
        is_new = assets >= len(rank)
        news = sorted(assets[is_new].tolist(), key=self._keys.__getitem__)
        scale = len(news) + 1
        ranked = np.empty(len(assets), np.int64)
        ranked[~is_new] = rank[assets[~is_new]].astype(np.int64) * scale + len(news)
        # A new one stands before the known one whose key is the next, after the new ones that stand there too.
        place = {
            new: known * scale + nth
            for nth, (new, known) in enumerate(zip(news, self._places(news, order), strict=True))
        }
        ranked[is_new] = [place[new] for new in assets[is_new].tolist()]
        return ranked

    def _places(self, news: Sequence[int], order: Ints) -> list[int]:
        """For each how many known keys are smaller."""
        keys = self._keys
        return [bisect_left(order, keys[new], key=keys.__getitem__) for new in news]
