"""How a check reads: the Markdown of a pull request, word for word, and what must not get into it."""

import io
import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

import pytest
from headwater.report import Report, Unmade
from headwater.reporting.junit import junit
from headwater.reporting.markdown import markdown
from headwater.reporting.quality import quality
from headwater.reporting.sarif import sarif
from headwater.reporting.text import text
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


def usage(a_day: float) -> dict[str, Any]:
    return {"calls": int(a_day), "callsPerDay": a_day, "lastSeen": "2026-11-23T13:59:00+00:00"}


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
    return Report(
        answer,
        "headwater.yaml",
        "main",
        "3f79745c2e0d1a9b",
        "https://headwater.example",
        texts={"headwater.yaml": TEXT},
    )


TEXT = """version: 1
datasets:
  - name: lab.assays
    columns:
      - {name: flavanoids_mg}
"""
BLOCKS: dict[str, Any] = {
    "rule": "tier one",
    "effect": "BLOCK",
    "reason": "it breaks now",
    "acknowledgedBy": [],
    "until": None,
}
AGREED = {
    "rule": "default: what changes",
    "effect": "ACKNOWLEDGE",
    "reason": "what it gets changes",
    "acknowledgedBy": ["wine-science"],
    "until": "2026-12-24T00:00:00+00:00",
    "acknowledgements": [{"by": "wine-science", "until": "2026-12-24T00:00:00+00:00", "note": "@all go | on"}],
}


def test_the_markdown_of_a_pull_request() -> None:
    assert markdown(report()) == (GOLDEN / "check.md").read_text()


def test_a_terminal_shows_the_same_without_colours_when_it_is_none() -> None:
    console = Console(width=240, record=True, file=io.StringIO(), markup=False)
    console.print(text(report()))
    shown = console.export_text()
    assert shown.startswith(f"BLOCKED  {report().headline()}")
    assert "consumer checkout" in shown
    assert "2.3 calls/day, last on 2026-11-22, verified" in shown


def test_the_headline_says_who_breaks_who_changes_who_must_be_told_and_whom_to_ask() -> None:
    busy = asset(CHECKOUT, "risk-ml", owners=[{"name": "risk", "contact": "@risk-ml"}], usage=usage(900 * 1440))
    other = asset("consumer:shop/mail", "shop", owners=[{"name": "risk", "contact": "@risk-ml"}])
    told = report(
        counts=[
            count("DEPLOYMENT", "NOW", 2, verdict="BREAKING"),
            count("DEPLOYMENT", "NEXT_TRAINING", 1, verdict="BEHAVIOURAL"),
            count("CONSUMER", "NOW", 3, verdict="BREAKING"),
        ],
        affected=[
            {"verdict": "BREAKING", "when": "NOW", "hops": 3, "changes": [COLUMN], "path": [], "asset": each}
            for each in (other, busy)
        ],
    )
    assert told.headline() == (
        "2 deployments break now, 1 changes at its next training, checkout (900 calls/min) and two others must be told;"
        " ask @risk-ml"
    )
    assert "; ask @risk-ml\n" in markdown(told)


def test_the_headline_says_what_cannot_be_told() -> None:
    assert (
        report(outcome="CLEAN", counts=[], total=1).headline() == "This change affects no deployment and no consumer."
    )
    assert report(outcome="CLEAN", counts=[], total=0).headline() == "Nothing changes for anybody downstream."
    unknown = report(outcome="NEEDS_ACKNOWLEDGEMENT", counts=[])
    assert unknown.headline() == "It cannot be told whom this change affects."
    assert unknown.unknowns()[0][0] == "dataset old"


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


def test_what_somebody_agreed_to_is_in_the_report_and_their_words_are_no_markup() -> None:
    affected = [ANSWER["affected"][0] | {"decision": BLOCKS}, ANSWER["affected"][2] | {"decision": AGREED}]
    shown = markdown(report(affected=affected))
    assert "✓ wine-science agrees for deployment batch until 2026-12-24: “@\u2060all go \\| on”" in shown
    assert "blocks (tier one: it breaks now)" in shown
    assert "acknowledged by wine-science until 2026-12-24" in shown


@pytest.mark.parametrize(
    "stored",
    [
        "@octocat",
        "see #12",
        "a/b#12",
        "<img src=x>",
        "[x](http://y)",
        "https://evil.example",
        "www.evil.example",
        "![x](y)",
        "`code`",
        "*bold*",
        "$1+1$",
        "!12 %3 &4 ~bug",
        "&lt;b&gt;",
        "<!-- x -->",
        "```mermaid",
    ],
)
def test_stored_text_is_never_a_mention_a_link_or_markup(stored: str) -> None:
    owner = {"name": stored, "contact": stored if stored != "@octocat" else "@all"}
    hit = ANSWER["affected"][1]
    named = asset(f"consumer:shop/{stored}", "x", title=stored, owners=[owner], environment=stored)
    shown = markdown(
        report(affected=[hit | {"asset": named, "path": [COLUMN, named["id"]]}], counts=ANSWER["counts"][1:2])
    )
    outside = re.sub(r"```mermaid\n.*?\n```", "", shown, flags=re.DOTALL)
    risky = r"(?<![\w&])@\w|#\d|<(?!/?(details|summary|sub)>)|://(?!headwater)|(?<!\w)www\.|(?<!\\)[`$]|(?<!\\)\]|[!%~]\d|~\w"
    ours = re.sub(r"`headwater apply`|://\u2060headwater", "", outside)
    assert re.findall(risky, ours) == [], ours
    (graph,) = re.findall(r"```mermaid\n(.*?)\n```", shown, flags=re.DOTALL)
    for label in re.findall(r'\["(.*)"\]', graph):
        assert re.fullmatch(r"(#\d+;|[^\"#<>&`|\[\]{}()\\@;:/])*", label), label


def test_a_comment_is_cut_to_what_a_forge_takes_and_says_what_is_left_out() -> None:
    many = [
        ANSWER["affected"][0]
        | {
            "asset": asset(f"deployment:cellar/{number}{'x' * 900}", "o"),
            "path": [COLUMN, f"deployment:cellar/{number}{'x' * 900}"],
        }
        for number in range(50)
    ]
    whole = report(affected=many, counts=[count("DEPLOYMENT", "NOW", 70, verdict="BREAKING")])
    assert len(markdown(whole)) > 40_000
    cut = markdown(whole, 20_000)
    assert len(cut) <= 20_000
    rows, told = (
        cut.count("| **breaks** now |"),
        re.findall(r"… and (\d+) more; (\d+) of them are in the job's summary", cut),
    )
    assert rows < 50
    assert (str(70 - rows), str(50 - rows)) in told
    assert len(markdown(whole, 1_500)) <= 1_500


def test_sarif_marks_the_line_that_causes_the_impact() -> None:
    renamed = ANSWER["findings"][0] | {
        "digest": "d" * 32,
        "places": [{"document": "headwater.yaml", "at": "datasets[0].columns[0]", "line": None}],
    }
    text_of_job = ANSWER["findings"][2] | {"places": [{"document": "a b.sql", "at": "", "line": 7}]}
    affected = [ANSWER["affected"][0] | {"decision": BLOCKS}, ANSWER["affected"][2] | {"decision": AGREED}]
    made = report(findings=[renamed, ANSWER["findings"][1], text_of_job], affected=affected)
    results = sarif(made)["runs"][0]["results"]
    places = [each["locations"][0]["physicalLocation"] for each in results]
    assert [each["level"] for each in results] == ["error", "warning", "warning"]
    assert places[0]["region"] == {"startLine": 5, "startColumn": 9}
    assert (places[2]["artifactLocation"]["uri"], places[2]["region"]["startLine"]) == ("a%20b.sql", 7)
    assert results[0]["partialFingerprints"] == {"change/v1": "d" * 32}
    assert [each["location"]["lines"]["begin"] for each in quality(made)] == [5, 1, 7]
    import jsonschema

    schema = json.loads((GOLDEN / "schemas" / "sarif-2.1.0.json").read_text())
    for each in (made, Unmade("no answer", passes=True), report(findings=[], affected=[])):
        jsonschema.validate(sarif(each), schema)


def test_junit_has_a_case_for_everybody_affected() -> None:
    affected = [ANSWER["affected"][0] | {"decision": BLOCKS}, ANSWER["affected"][2] | {"decision": AGREED}]
    forms: list[Report | Unmade] = [
        report(affected=affected),
        report(outcome="CLEAN", affected=[]),
        Unmade("no answer \x1b", passes=False),
    ]
    roots = [Xml.fromstring(junit(each)) for each in forms]
    cases = roots[0].findall(".//testcase")
    assert [(case.get("name"), [each.tag for each in case]) for case in cases] == [
        ("api", ["failure"]),
        ("batch", ["system-out"]),
    ]
    assert [root.get("failures") for root in roots] == ["1", "0", "0"]
    assert roots[2].get("errors") == "1"
    import xmlschema

    schema = xmlschema.XMLSchema(GOLDEN / "schemas" / "junit.xsd")
    for root in roots:
        schema.validate(root)


def test_a_check_that_could_not_be_made_says_whether_it_passes() -> None:
    assert "configured to fail open" in markdown(Unmade("cannot reach it", passes=True))
    assert "configured to fail closed" in markdown(Unmade("cannot reach it", passes=False))
    assert Unmade("x", passes=True).json(0) == {
        "version": 1,
        "outcome": None,
        "acknowledged": False,
        "exitCode": 0,
        "headline": "The check could not be made: x",
        "failsOpen": True,
        "unreachable": True,
    }
