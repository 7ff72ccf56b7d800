"""A report as GitLab's code quality artifact: the results of SARIF in its own words."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from headwater.report import Report, Unmade
from headwater.reporting.sarif import sarif

_SEVERITIES = {"error": "critical", "warning": "major", "note": "info"}


def quality(report: Report | Unmade) -> list[dict[str, Any]]:
    found = []
    for result in sarif(report)["runs"][0]["results"]:
        (location,) = result["locations"]
        place = location["physicalLocation"]
        found.append(
            {
                "description": result["message"]["text"],
                "check_name": result["ruleId"],
                "fingerprint": next(iter(result["partialFingerprints"].values())),
                "severity": _SEVERITIES[result["level"]],
                "location": {
                    "path": unquote(place["artifactLocation"]["uri"]),
                    "lines": {"begin": place["region"]["startLine"]},
                },
            }
        )
    return found
