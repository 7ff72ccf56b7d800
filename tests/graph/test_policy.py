"""What a policy demands: today's outcomes by default, the first rule that matches, periods of deprecation, who may acknowledge."""

from dataclasses import replace
from datetime import date

import pytest

from graph.check.policy import (
    Changed,
    Decision,
    Effect,
    Facts,
    Hit,
    Policy,
    Use,
    decide,
    outcome,
    read_policies,
    read_policy,
)
from graph.check.verdicts import Alteration, Outcome, Verdict
from graph.errors import InvalidManifest
from graph.impact import When
from graph.keys import AssetKey
from graph.remarks import Acknowledgement, Deprecation
from graph.time import DAY

NOW = 20_000 * DAY
COLUMN = Changed(AssetKey.parse("column:shop/orders#amount"), Alteration.REMOVED, "a" * 32)
UNSEEN = Use()
TILL = AssetKey.parse("consumer:shop/till")


def facts(verdict: Verdict = Verdict.BREAKING, change: Changed = COLUMN, use: Use = UNSEEN, **known: object) -> Facts:
    found = Facts(TILL, (Hit(change, verdict, When.NOW, use),), owners=frozenset({"tills"}))
    return replace(found, **known)  # type: ignore[arg-type]


def deprecated(days: int, until: date | None = None) -> Changed:
    return replace(COLUMN, deprecation=Deprecation(NOW - days * DAY, until, None, None, "shop", "deprecations"))


def agreed(days: int = 1, as_owner: bool = True, digest: str = COLUMN.digest, left: int = 5) -> Acknowledgement:
    return Acknowledgement(digest, str(COLUMN.asset), "tills", as_owner, NOW - days * DAY, NOW + left * DAY, "we moved")


def ruled(*rules: object, **fields: object) -> Policy:
    return read_policy({"version": 1, "rules": [*rules], **fields})


@pytest.mark.parametrize(
    ("verdict", "effect", "expected"),
    [
        (Verdict.BREAKING, Effect.BLOCK, Outcome.BLOCKED),
        (Verdict.UNKNOWN, Effect.ACKNOWLEDGE, Outcome.NEEDS_ACKNOWLEDGEMENT),
        (Verdict.BEHAVIOURAL, Effect.ACKNOWLEDGE, Outcome.NEEDS_ACKNOWLEDGEMENT),
        (Verdict.ADDITIVE, Effect.PASS, Outcome.CLEAN),
        (Verdict.NONE, Effect.PASS, Outcome.CLEAN),
    ],
)
def test_without_a_policy_what_breaks_blocks_and_what_changes_is_acknowledged(
    verdict: Verdict, effect: Effect, expected: Outcome
) -> None:
    decision = decide((), facts(verdict), NOW)
    assert decision.effect is effect
    assert outcome((), [decision], unidentified=False, unknown=False) is expected


def test_what_concerns_nobody_who_is_known_may_still_have_to_be_acknowledged() -> None:
    assert outcome((), [], unidentified=True, unknown=False) is Outcome.NEEDS_ACKNOWLEDGEMENT
    strict = ruled(unknown_assets="block", unidentified_calls="pass")
    assert outcome([strict], [], unidentified=True, unknown=False) is Outcome.CLEAN
    assert outcome([strict], [], unidentified=False, unknown=True) is Outcome.BLOCKED


def test_the_first_rule_that_matches_decides_about_each_effect_and_the_strictest_counts() -> None:
    policy = ruled(
        {"name": "busy", "match": {"calls_per_day": 100, "seen_within_days": 2, "tier": [1, 2]}, "effect": "block"},
        {"name": "ours", "match": {"owner": "tills", "when": "now", "environment": "test"}, "effect": "pass"},
    )
    test = facts(environment="test")
    assert decide([policy], test, NOW).rule == "ours"
    busy = facts(use=Use(200, NOW - DAY), environment="test", tier=1)
    assert decide([policy], busy, NOW).rule == "busy"
    later = Hit(COLUMN, Verdict.BREAKING, When.NEXT_TRAINING)
    assert decide([policy], replace(test, hits=(*test.hits, later)), NOW).rule == "default: what breaks"
    assert decide([policy], replace(busy, asset=AssetKey.parse("model:shop/m")), NOW).effect is Effect.PASS


def test_of_two_policies_the_stricter_counts_so_that_neither_weakens_the_other() -> None:
    lax, strict = ruled({"effect": "pass"}), ruled({"name": "all", "effect": "block"})
    for both in ([lax, strict], [strict, lax]):
        assert decide(both, facts(Verdict.BEHAVIOURAL), NOW).rule == "all"


@pytest.mark.parametrize(
    ("change", "use", "effect", "told"),
    [
        (COLUMN, Use(), Effect.BLOCK, "without having been deprecated for 30 days"),
        (deprecated(29), Use(1, NOW - 20 * DAY), Effect.BLOCK, "may go from 2024-10-05 on"),
        (deprecated(31, date(2024, 12, 31)), Use(1, NOW - 20 * DAY), Effect.BLOCK, "may go from 2024-12-31 on"),
        (deprecated(31), Use(1, NOW - 20 * DAY), Effect.PASS, "was last used on 2024-09-14"),
        (deprecated(31), Use(1, NOW - 3 * DAY), Effect.ACKNOWLEDGE, "was used on 2024-10-01"),
        (deprecated(31), Use(), Effect.ACKNOWLEDGE, "nobody can see whether it is still used"),
    ],
)
def test_what_goes_must_have_been_deprecated_and_its_use_have_ended(
    change: Changed, use: Use, effect: Effect, told: str
) -> None:
    policy = ruled({"match": {"alteration": ["removed", "renamed"]}, "deprecation": {"days": 30, "quiet_days": 7}})
    decision = decide([policy], facts(change=change, use=use), NOW)
    assert decision.effect is effect
    assert told in decision.reason


@pytest.mark.parametrize(
    ("given", "is_met"),
    [
        (agreed(), True),
        (agreed(digest="b" * 32), False),
        (agreed(left=0), False),
        (agreed(days=15), False),
        (agreed(as_owner=False), False),
    ],
)
def test_an_acknowledgement_is_of_exactly_one_change_by_whom_the_policy_allows_and_ends(
    given: Acknowledgement, is_met: bool
) -> None:
    policy = ruled({"effect": "acknowledge"}, acknowledgement={"by": "owners", "days": 14, "flag": False})
    decision = decide([policy], facts(acknowledgements=(given,)), NOW)
    assert (decision.is_met, policy.flag) == (is_met, False)
    expected = Outcome.CLEAN if is_met else Outcome.NEEDS_ACKNOWLEDGEMENT
    assert outcome([policy], [decision], unidentified=False, unknown=False) is expected


def test_what_blocks_is_not_acknowledged_away() -> None:
    decision = decide((), facts(acknowledgements=(agreed(),)), NOW)
    assert decision == Decision("default: what breaks", Effect.BLOCK, "it breaks")


def test_everything_that_is_wrong_is_told_at_once_with_its_place() -> None:
    wrong = {
        "rules": [
            {"match": {"verdict": "braking", "tier": 9}, "effect": "blok"},
            {"effect": "pass", "deprecation": {}},
            {"match": {"kinds": "consumer"}},
        ],
        "acknowledgement": {"by": "anybody"},
    }
    with pytest.raises(InvalidManifest) as refused:
        read_policies([wrong])
    places = {line.partition(": ")[0]: line for line in refused.value.problems}
    assert list(places) == [
        "[0].version",
        "[0].rules[0].match.verdict",
        "[0].rules[0].match.tier",
        "[0].rules[0].effect",
        "[0].rules[1].deprecation.days",
        "[0].rules[2].match.kinds",
        "[0].acknowledgement.by",
        "[0].rules[1]",
        "[0].rules[2]",
    ]
    assert "did you mean breaking?" in places["[0].rules[0].match.verdict"]
