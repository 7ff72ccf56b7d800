"""What is shown of an asset over all of valid time is, at each instant, what is shown at that instant."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as some

from graph.attributes import shown_attributes, shown_pieces, values
from graph.model import Assertion, Basis, Json
from graph.time import FOREVER, Interval
from tests.saying import key

ORDERS = key("dataset:wh/orders")


@some.composite
def said_by(draw: some.DrawFn, origin: str) -> list[Assertion]:
    edges = sorted(draw(some.sets(some.sampled_from([1, 2, 3, 4, 5, FOREVER]), min_size=2)))
    bases = some.sampled_from(Basis)
    names: dict[str, some.SearchStrategy[Json]] = {
        "type": some.sampled_from(["int", "text"]),
        "tier": some.sampled_from([1, 2]),
        "tags": some.lists(some.sampled_from("ab"), max_size=2),
    }
    attributes = some.fixed_dictionaries({}, optional=names)
    return [
        Assertion(ORDERS, origin, draw(bases), Interval(start, end), draw(attributes))
        for start, end in pairwise(edges)
        if draw(some.booleans())
    ]


@given(some.tuples(*(said_by(origin) for origin in "abc")))
def test_pieces_show_what_each_instant_shows(each: tuple[list[Assertion], ...]) -> None:
    said = [assertion for of_origin in each for assertion in of_origin]
    pieces = shown_pieces(said)
    for at in (0, 1, 2, 3, 4, 5, 6):
        shown = [attributes for valid, attributes in pieces if valid.holds_at(at)]
        there = any(assertion.valid.holds_at(at) for assertion in said)
        assert shown == ([values(shown_attributes(said, at))] if there else [])
    for one, other in pairwise(pieces):
        assert one[0].end < other[0].start or (one[0].end == other[0].start and one[1] != other[1])
