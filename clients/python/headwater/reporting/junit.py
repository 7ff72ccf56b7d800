"""A report as JUnit XML: a test case for each deployment and consumer that is affected."""

from __future__ import annotations

from xml.etree import ElementTree as Xml

from headwater.report import EFFECTS, WHEN, Json, Report, Unmade, demand, label, listed, owners_of, reach, use
from headwater.texts import plain


def junit(report: Report | Unmade) -> str:
    suite = Xml.Element("testsuite", name="headwater check")
    if isinstance(report, Unmade):
        case = Xml.SubElement(suite, "testcase", classname="headwater", name="the check is made", time="0")
        mark = Xml.SubElement(case, "skipped" if report.passes else "error", message=plain(report.reason))
        mark.text = report.sentence
    elif not report.answer["affected"]:
        Xml.SubElement(suite, "testcase", classname="headwater", name=plain(report.headline()), time="0")
    else:
        for each in report.answer["affected"]:
            _case(suite, report, each)
    if (
        not isinstance(report, Unmade)
        and report.outcome != "CLEAN"
        and not _failures(suite)
        and not report.acknowledged
    ):
        case = Xml.SubElement(suite, "testcase", classname="headwater", name="what cannot be told", time="0")
        Xml.SubElement(case, "failure", message=plain(report.headline()), type=report.outcome)
    for name, kind in (("tests", "testcase"), ("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(name, str(len(suite.findall(f".//{kind}"))))
    suite.set("time", "0")
    suites = Xml.Element("testsuites", name="headwater")
    for name in ("tests", "failures", "errors", "time"):
        suites.set(name, str(suite.get(name)))
    suites.append(suite)
    Xml.indent(suites)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + Xml.tostring(suites, encoding="unicode") + "\n"


def _case(suite: Xml.Element, report: Report, affected: Json) -> None:
    asset, decision = affected["asset"], affected.get("decision") or {}
    case = Xml.SubElement(
        suite,
        "testcase",
        classname=plain(f"{asset['kind'].lower()}.{asset['namespace']}"),
        name=plain(str(asset["title"])),
        time="0",
    )
    effect = f"{EFFECTS.get(affected['verdict'], 'unaffected')} {WHEN[affected['when']]}"
    told = plain(f"{effect}, because of {report.because(affected)}")
    owners = listed([reach(owner) for owner in owners_of([asset])]) or "nobody owns it"
    lines = [told, f"use: {use(asset)}", f"ask: {owners}", *([demand(affected)] if demand(affected) else [])]
    lines += [f"by: {' → '.join(label(step) for step in affected['path'])}"] if affected["path"] else []
    detail = "\n".join(plain(line) for line in lines)
    waits = decision.get("effect", "ACKNOWLEDGE") == "ACKNOWLEDGE" and not (
        decision.get("acknowledgedBy") or report.acknowledged
    )
    if affected["verdict"] in ("ADDITIVE", "NONE") or decision.get("effect") == "PASS":
        return
    if decision.get("effect") == "BLOCK" or waits:
        Xml.SubElement(case, "failure", message=told, type=affected["verdict"]).text = detail
    else:
        Xml.SubElement(case, "system-out").text = detail


def _failures(suite: Xml.Element) -> int:
    return len(suite.findall(".//failure"))
