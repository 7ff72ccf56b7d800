"""A report as SARIF 2.1.0: a result for each change that is somebody's concern, on the line that makes it."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from headwater.positions import position
from headwater.report import FELT, Json, Report, Unmade, affects, how, label
from headwater.texts import plain

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_RULES = {
    "BREAKING": "Whoever uses it cannot run any more, or reads what is gone or retyped.",
    "UNKNOWN": "It cannot be told whether somebody who uses it breaks.",
    "BEHAVIOURAL": "Whoever uses it runs on, and what they get differs.",
}
_LEVELS = {"BLOCK": "error", "ACKNOWLEDGE": "warning", "PASS": "note"}
_BY_VERDICT = {"BREAKING": "error", "UNKNOWN": "warning", "BEHAVIOURAL": "warning"}


def sarif(report: Report | Unmade) -> dict[str, Any]:
    run: dict[str, Any] = {
        "tool": {
            "driver": {
                "name": "Headwater",
                "rules": [
                    {
                        "id": f"headwater/{verdict.lower()}",
                        "shortDescription": {"text": text},
                        "defaultConfiguration": {"level": _BY_VERDICT[verdict]},
                    }
                    for verdict, text in _RULES.items()
                ],
            }
        },
        "columnKind": "unicodeCodePoints",
        "results": [],
    }
    if isinstance(report, Unmade):
        told = {
            "level": "note" if report.passes else "error",
            "message": {"text": plain(f"{report.reason} {report.sentence}")},
        }
        run["invocations"] = [{"executionSuccessful": False, "toolExecutionNotifications": [told]}]
    else:
        run["invocations"] = [{"executionSuccessful": True}]
        run["results"] = [_result(report, each) for each in report.answer["findings"] if _concerns(each)]
        run["properties"] = {"outcome": report.outcome, "revision": report.answer["revision"]}
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def place_of(report: Report, finding: Json) -> tuple[str, int, int]:
    """Path, line and column: where the new version says it; of what is gone, where it would stand."""
    places = finding.get("places") or ()
    if not places:
        path = report.file if report.file in report.texts or len(report.texts) != 1 else next(iter(report.texts))
        return path, 1, 1
    first = places[0]
    path, text = str(first["document"]), report.texts.get(str(first["document"]))
    if first.get("line"):
        return path, int(first["line"]), 1
    return (path, *position(text, str(first["at"]))) if text is not None else (path, 1, 1)


def sentence(finding: Json) -> str:
    """`removed column orders#amount: its readers find nothing in its place; affects 1 consumer now`"""
    told = f"{finding['alteration'].lower()} {label(finding['id'])}: {how(finding) or finding['reason']}"
    return plain(f"{told}; affects {affects(finding)}" if finding["known"] else told)


def level(report: Report, finding: Json) -> str:
    """By the strictest that the policy demands of whom it affects, and of nobody else."""
    demanded = {
        (each.get("decision") or {}).get("effect")
        for each in report.answer["affected"]
        if finding["id"] in each["changes"] and not (each.get("decision") or {}).get("acknowledgedBy")
    }
    return next((_LEVELS[effect] for effect in _LEVELS if effect in demanded), _BY_VERDICT[finding["verdict"]])


def _concerns(finding: Json) -> bool:
    return finding["verdict"] in FELT and (bool(affected_now(finding)) or not finding["known"])


def affected_now(finding: Json) -> int:
    """How many deployments and consumers it affects, history left out."""
    kinds = ("DEPLOYMENT", "CONSUMER")
    return sum(each["count"] for each in finding["counts"] if each["kind"] in kinds and each["when"] != "HISTORIC")


def _result(report: Report, finding: Json) -> dict[str, Any]:
    path, line, column = place_of(report, finding)
    digest = finding.get("digest")
    return {
        "ruleId": f"headwater/{finding['verdict'].lower()}",
        "level": level(report, finding),
        "message": {"text": sentence(finding)},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": quote(path), "uriBaseId": "%SRCROOT%"},
                    "region": {"startLine": line, "startColumn": column},
                },
                "logicalLocations": [{"fullyQualifiedName": finding["id"], "kind": "resource"}],
            }
        ],
        "partialFingerprints": {"change/v1": str(digest)} if digest else {"asset/v1": finding["id"]},
    }
