"""What it means that a model takes or gives something else, or that another is served instead."""

from typing import Any

import pytest

from graph.check.differences import differences
from graph.check.signatures import signature_differences
from graph.check.verdicts import Cure, Verdict
from graph.keys import AssetKey
from graph.model import Json

B, H, A, N = Verdict.BREAKING, Verdict.BEHAVIOURAL, Verdict.ADDITIVE, Verdict.NONE
FEATURE = "feature:d/v#a"
VERSION = AssetKey.parse("model_version:d/m#1")


def signature(*inputs: Json, outputs: list[Json] | None = None) -> Json:
    return {"inputs": [*inputs], "outputs": outputs or [{"name": "score", "type": "FP64"}]}


def tensor(name: str, type_: str = "FP64", **more: Json) -> Json:
    return {"name": name, "type": type_, **more}


AGE = tensor("age")


@pytest.mark.parametrize(
    ("before", "after", "verdicts"),
    [
        (signature(AGE, tensor("x")), signature(tensor("x"), AGE), []),
        (signature(AGE), signature(AGE, tensor("x")), [B]),
        (signature(AGE), signature(AGE, tensor("x", optional=True)), [A]),
        (signature(AGE), signature(AGE, tensor("x", default=0)), [A]),
        (signature(AGE), signature(AGE, tensor("x", feature=FEATURE)), [A]),
        (signature(AGE, tensor("x")), signature(AGE), [B]),
        (signature(AGE, tensor("x", feature=FEATURE)), signature(AGE), [H]),
        (signature(tensor("age", feature=FEATURE)), signature(AGE), [B]),
        (signature(tensor("age", "INT32")), signature(tensor("age", "INT64")), [A]),
        (signature(tensor("age", "INT8")), signature(tensor("age", "INT16")), [A]),
        (signature(tensor("age", "INT64")), signature(tensor("age", "INT32")), [B]),
        (signature(tensor("age", "INT64")), signature(AGE), [A]),
        (signature(AGE), signature(tensor("age", "INT64")), [B]),
        (signature(AGE), signature(tensor("age", "FP32")), [H]),
        (signature(AGE), signature(tensor("age", "double")), []),
        (signature(tensor("age", "BYTES")), signature(tensor("age", "string")), []),
        (signature(tensor("age", unit="year")), signature(tensor("age", unit="day")), [H]),
        (signature(tensor("age", shape=[-1, 3])), signature(tensor("age", shape=[-1, 4])), [B]),
        (signature(tensor("age", shape=[-1, 3])), signature(tensor("age", shape=[-1, -1])), [A]),
        (signature(AGE), signature(AGE, outputs=[tensor("probability")]), [B]),
        (signature(AGE), signature(AGE, outputs=[tensor("score"), tensor("why", "BYTES")]), [A]),
        (signature(AGE), signature(AGE, outputs=[tensor("score", "INT64")]), [B]),
        (signature(AGE), None, []),
    ],
)  # fmt: skip
def test_what_a_signature_that_differs_means(before: Json, after: Json, verdicts: list[Verdict]) -> None:
    assert [each.verdict for each in signature_differences(before, after)] == verdicts


def test_where_requests_carry_the_features_they_are_inputs_as_any() -> None:
    more = signature(AGE, tensor("x", feature=FEATURE))
    assert [each.verdict for each in signature_differences(signature(AGE), more, True)] == [B]
    assert [each.verdict for each in signature_differences(more, signature(AGE), True)] == [B]


def test_an_output_that_is_gone_or_renamed_is_named_and_can_be_cured() -> None:
    (renamed,) = signature_differences(signature(AGE), signature(AGE, outputs=[tensor("probability")]))
    assert (renamed.attribute, renamed.part, renamed.after) == ("signature.outputs.score", "score", "probability")
    assert renamed.cures == frozenset({Cure.DEFAULT, Cure.ALIAS})
    (gone, _) = signature_differences(signature(AGE), signature(AGE, outputs=[tensor("label", "BYTES")]))
    assert (gone.after, gone.part, gone.cures) == (None, "score", frozenset({Cure.DEFAULT}))


@pytest.mark.parametrize(
    ("before", "after", "verdict"),
    [
        ({"description": "x", "tier": 1}, {"description": "y", "tags": ["pii"]}, None),
        ({"entities": ["a", "b"]}, {"entities": ["b", "a"]}, None),
        ({"entities": ["a"]}, {"entities": ["b"]}, B),
        ({"nullable": False}, {"nullable": True}, H),
        ({"nullable": True}, {"nullable": False}, N),
        ({"default": 0}, {}, H),
        ({"default": 0}, {"default": False}, H),
        ({"ttl": 60}, {"ttl": 3600}, H),
        ({"unit": "EUR"}, {"unit": "cent"}, H),
        ({}, {"unit": "EUR"}, None),
        ({"online": True}, {"online": False}, B),
        ({}, {"online": False}, B),
        ({"url": "http://a"}, {"url": "http://b"}, B),
        ({}, {"features_from": "request"}, B),
        ({"features_from": "request"}, {}, H),
        ({"artifact": {"uri": "a", "digest": "sha256:1"}}, {"artifact": {"uri": "b", "digest": "sha256:1"}}, N),
        ({"artifact": {"uri": "a", "digest": "sha256:1"}}, {"artifact": {"uri": "a", "digest": "sha256:2"}}, H),
        ({"version": "1"}, {"version": "2"}, H),
    ],
)
def test_what_an_attribute_that_differs_means(
    before: dict[str, Any], after: dict[str, Any], verdict: Verdict | None
) -> None:
    assert [each.verdict for each in differences(VERSION, before, after)] == ([verdict] if verdict else [])
