"""Assets of an answer by hops and then by the text of their keys, however many they are and whenever they came."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from graph.ordering import Ranks


@given(
    names=st.lists(st.text("abc", max_size=4), unique=True, min_size=1, max_size=60),
    known=st.integers(0, 60),
    chosen=st.sets(st.integers(0, 59), max_size=60),
    data=st.data(),
)
def test_assets_come_by_hops_and_then_by_key(
    names: list[str], known: int, chosen: set[int], data: st.DataObject
) -> None:
    keys = ["", *names[:known]]
    ranks = Ranks(keys)
    ranks.merge()
    keys += names[known:]
    assets = np.array(sorted(1 + number for number in chosen if number < len(names)), np.int32)
    hops = np.array([data.draw(st.integers(0, 70)) for _ in assets], np.int32)
    expected = sorted(zip(hops.tolist(), (keys[asset] for asset in assets), strict=True))
    for _ in range(2):
        places = ranks.nearest_first(assets, hops)
        assert [*zip(hops[places].tolist(), (keys[asset] for asset in assets[places]), strict=True)] == expected
        ranks.merge()  # now all are known
    assert [keys[number] for number in ranks.order] == sorted(names)


def test_a_small_answer_of_a_large_graph_is_ordered_as_well() -> None:
    keys = ["", *(f"{number:06}"[::-1] for number in range(20_000))]
    ranks = Ranks(keys)
    ranks.merge()
    assets = np.array([700, 5, 19_000, 44, 12_345], np.int32)
    hops = np.array([1, 1, 1, 2, 2], np.int32)
    places = ranks.nearest_first(assets, hops)
    assert sorted(places.tolist()) == [0, 1, 2, 3, 4]
    told = [(hop, keys[number]) for hop, number in zip(hops[places].tolist(), assets[places].tolist(), strict=True)]
    assert told == sorted(told)
