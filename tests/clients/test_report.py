"""How a check reads: the Markdown of a pull request, word for word, and what must not get into it."""

import io
from pathlib import Path
from typing import Any

from headwater.report import Report
from rich.console import Console

GOLDEN = Path(__file__).parents[1] / "golden"


def asset(key: str, owner: str, **fields: object) -> dict[str, Any]:
    kind, _, name = key.partition(":")
    return {
        "id": key,
        "kind": kind.upper(),
        "namespace": name.partition("/")[0],
        "title": name.partition("/")[2],
        "owners": [{"name": owner, "contact": f"#{owner}"}],
        "tier": None,
        "environment": None,
        "verified": None,
        "usage": {"calls": 0, "callsPerDay": 0.0, "lastSeen": None},
        **fields,
    }


def finding(id: str, alteration: str, verdict: str, **fields: object) -> dict[str, Any]:
    return {
        "id": id,
        "kind": id.partition(":")[0].upper(),
        "title": id.rpartition("#")[2],
        "alteration": alteration,
        "verdict": verdict,
        "reason": "its readers find nothing in its place",
        "renamedTo": None,
        "known": True,
        "differences": [],
        "counts": [],
        **fields,
    }


def count(kind: str, when: str, number: int, **fields: object) -> dict[str, Any]:
    return {"when": when, "kind": kind, "count": number, **fields}


API, BATCH, CHECKOUT = "deployment:cellar/api", "deployment:cellar/batch", "consumer:shop/checkout"
COLUMN, FEATURE = "column:warehouse/lab.assays#flavanoids", "feature:cellar/chemistry#hue"

ANSWER: dict[str, Any] = {
    "outcome": "BLOCKED",
    "revision": 12,
    "at": "2026-11-23T14:00:00+00:00",
    "total": 4,
    "unidentifiedCalls": 1234,
    "counts": [
        count("DEPLOYMENT", "NOW", 1, verdict="BREAKING"),
        count("CONSUMER", "NOW", 1, verdict="BREAKING"),
        count("DEPLOYMENT", "NEXT_TRAINING", 1, verdict="BEHAVIOURAL"),
    ],
    "findings": [
        finding(
            COLUMN,
            "RENAMED",
            "BREAKING",
            renamedTo="column:warehouse/lab.assays#flavanoids_mg",
            reason="its readers look for flavanoids, and find flavanoids_mg",
            counts=[count("DEPLOYMENT", "NOW", 1), count("CONSUMER", "NOW", 1), count("RUN", "HISTORIC", 3)],
        ),
        finding(
            "dataset:warehouse/old",
            "REMOVED",
            "UNKNOWN",
            known=False,
            reason="the graph does not know it, so nobody can tell who reads it: apply the version before first",
        ),
        finding(
            FEATURE,
            "REDEFINED",
            "BEHAVIOURAL",
            differences=[
                {"attribute": "definition", "before": "hue", "after": "hue / 2"},
                {"attribute": "flows", "before": ["column:w/t#a"], "after": ["column:w/t#b", "column:w/t#c"]},
            ],
            counts=[count("DEPLOYMENT", "NEXT_TRAINING", 1)],
        ),
        finding("column:w/t#b|<b>*new*", "ADDED", "ADDITIVE", reason="it is new; nothing that was there differs"),
    ],
    "affected": [
        {
            "verdict": "BREAKING",
            "when": "NOW",
            "hops": 2,
            "changes": [COLUMN],
            "path": [COLUMN, "feature:cellar/chemistry#flavanoids", API],
            "asset": asset(
                API,
                "wine-science",
                tier=1,
                usage={"calls": 30000, "callsPerDay": 1203.4, "lastSeen": "2026-11-23T13:59:00+00:00"},
            ),
        },
        {
            "verdict": "BREAKING",
            "when": "NOW",
            "hops": 3,
            "changes": [COLUMN],
            "path": [COLUMN, "feature:cellar/chemistry#flavanoids", API, CHECKOUT],
            "asset": asset(
                CHECKOUT,
                "shop",
                verified=True,
                usage={"calls": 70, "callsPerDay": 2.3456, "lastSeen": "2026-11-22T08:00:00+00:00"},
            ),
        },
        {
            "verdict": "BEHAVIOURAL",
            "when": "NEXT_TRAINING",
            "hops": 4,
            "changes": [FEATURE],
            "path": [],
            "asset": asset(BATCH, "wine-science", owners=[]),
        },
    ],
}


def report(**changed: object) -> Report:
    answer = {**ANSWER, **changed}
    return Report(answer, "headwater.yaml", "main", "3f79745c2e0d1a9b", "https://headwater.example")


def test_the_markdown_of_a_pull_request() -> None:
    assert report().markdown() == (GOLDEN / "check.md").read_text()


def test_a_terminal_shows_the_same_without_colours_when_it_is_none() -> None:
    console = Console(width=240, record=True, file=io.StringIO(), markup=False)
    console.print(report().text())
    shown = console.export_text()
    assert shown.startswith("BLOCKED  This change breaks 1 deployment and 1 consumer now and changes what is given to ")
    assert "consumer checkout" in shown
    assert "2.3 calls a day, last on 2026-11-22, verified" in shown


def test_the_headline_says_what_cannot_be_told() -> None:
    assert report(outcome="CLEAN", counts=[], total=1).headline == "This change affects no deployment and no consumer."
    assert report(outcome="CLEAN", counts=[], total=0).headline == "Nothing changes for anybody downstream."
    unknown = report(outcome="NEEDS_ACKNOWLEDGEMENT", counts=[])
    assert unknown.headline == "It cannot be told whom this change affects."
    assert unknown.advice()[-1] == "When they agree, pass `--acknowledge`."


def test_the_json_form_is_stable() -> None:
    assert list(report().json(1)) == [
        "version",
        "outcome",
        "acknowledged",
        "exitCode",
        "headline",
        "file",
        "base",
        "service",
        "revision",
        "at",
        "total",
        "unidentifiedCalls",
        "counts",
        "findings",
        "affected",
    ]
