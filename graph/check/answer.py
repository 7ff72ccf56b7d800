"""A judgement as plain data, in the form that the public schema gives it: what `headwater check` reads, with a service or without."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from graph.attributes import shown_attributes, shown_together, values
from graph.check.advice import advice
from graph.check.deciding import concerned, decided, digest, usage_since
from graph.check.ground import Believed
from graph.check.judge import Check, Concern, Finding
from graph.check.policy import Decision, Policy, read_policies
from graph.errors import InvalidManifest
from graph.importers.project import Document, DocumentFormat, Project, read_project
from graph.keys import AssetKey, AssetKind
from graph.model import Assertion, Flow, Json
from graph.same import names_of
from graph.time import moment
from graph.topology import Moment, View
from graph.usage import USAGE_DAYS, Day, Usage, day_of

FIRST = 50
"""Findings, and affected, in an answer."""

Object = dict[str, Json]
Used = Callable[[Collection[AssetKey], Day], Sequence[Usage]]


def projects(base: Iterable[Document], head: Iterable[Document]) -> tuple[Project, Project]:
    """Raises InvalidManifest, with what is wrong in either, after `base: ` or `head: `; also what making a document raises."""
    read: list[Project] = []
    problems: list[str] = []
    for name, documents in (("base", base), ("head", head)):
        try:
            read.append(read_project([*documents]))
        except InvalidManifest as error:
            problems += [f"{name}: {line}" for line in error.problems]
    if problems:
        raise InvalidManifest(problems)
    return read[0], read[1]


def policies(given: object) -> tuple[Policy, ...]:
    """Those of an argument `policy`. Raises InvalidManifest, after `policy: `."""
    try:
        return read_policies(given)
    except InvalidManifest as error:
        raise InvalidManifest([f"policy: {line}" for line in error.problems]) from error


def document(given: Mapping[str, Json]) -> Document:
    """Of what the schema calls DocumentInput. Raises InvalidManifest."""
    path, options = str(given["path"]), given.get("options") or {}
    if not isinstance(options, dict):
        raise InvalidManifest([f"{path}: options: is no object"])
    return Document(path, DocumentFormat(str(given.get("format", DocumentFormat.MANIFEST))), given["content"], options)


def answer(judged: Check, view: View, believed: Believed, used: Used, policies: Sequence[Policy]) -> Object:
    """As the field `check`. `view` is what was judged on; `policies` are all that hold."""
    at, since = judged.moment, day_of(judged.moment.at) - USAGE_DAYS + 1
    calls = sum(each.calls for each in used(judged.watched(), since) if each.reader is None)
    keys = concerned(judged, policies)
    ruled = decided(judged, policies, believed(keys), used(keys, usage_since(policies, at.at)), calls > 0)
    concerns = judged.concerns()
    counts: dict[tuple[str, str, str], int] = {}
    for worst, _ in concerns:
        place = worst.verdict.name, worst.when.name, worst.asset.kind.name
        counts[place] = counts.get(place, 0) + 1
    told = Assets(view, at, believed, used)
    return {
        "outcome": ruled.outcome.name,
        "flagCounts": ruled.flag_counts,
        "revision": at.revision,
        "at": _iso(at.at),
        "total": len(judged.findings),
        "unidentifiedCalls": calls,
        "counts": [
            {"verdict": verdict, "when": when, "kind": kind, "count": count}
            for (verdict, when, kind), count in counts.items()
        ],
        "findings": [_finding(each) for each in judged.findings[:FIRST]],
        "affected": [_affected(each, told, ruled.decisions.get(each.worst.asset)) for each in concerns[:FIRST]],
    }


def _finding(finding: Finding) -> Object:
    place = finding.place
    return {
        "id": str(finding.asset),
        "digest": digest(finding),
        "kind": finding.asset.kind.name,
        "title": finding.asset.part or finding.asset.name,
        "alteration": finding.alteration.name,
        "verdict": finding.verdict.name,
        "reason": finding.reason,
        "renamedTo": str(finding.renamed_to) if finding.renamed_to else None,
        "known": finding.known,
        "differences": [
            {
                "attribute": each.attribute,
                "before": each.before,
                "after": each.after,
                "verdict": each.verdict.name,
                "reason": each.reason,
            }
            for each in finding.differences
        ],
        "places": [{"document": place.document, "at": place.at, "line": place.line}] if place else [],
        "advice": [*advice(finding)],
        "counts": [
            {"verdict": verdict.name, "when": when.name, "kind": kind.name, "count": count}
            for (verdict, when, kind), count in sorted(finding.counts.items())
        ],
    }


def _affected(concern: Concern, told: "Assets", decision: Decision | None) -> Object:
    worst, findings = concern
    hops = findings[0].path(worst.asset)
    return {
        "verdict": worst.verdict.name,
        "when": worst.when.name,
        "results": [{"verdict": each.verdict.name, "when": each.when.name} for each in worst.results],
        "hops": worst.hops,
        "changes": [str(each.asset) for each in findings],
        "path": [str(step) for step in findings[0].steps(worst.asset)],
        "evidence": [
            {
                "basis": hop.basis.name,
                "origins": told.origins(hop.stored),
                "source": {"id": str(hop.flow.source)},
                "target": {"id": str(hop.flow.target)},
            }
            for hop in hops
        ],
        "decision": None if decision is None else _decision(decision),
        "advice": [*dict.fromkeys(line for finding in findings for line in advice(finding))],
        "asset": told.of(worst.asset),
    }


def _decision(decision: Decision) -> Object:
    given = decision.acknowledgements
    return {
        "rule": decision.rule,
        "effect": decision.effect.name,
        "reason": decision.reason,
        "acknowledgedBy": [*sorted({each.by for each in given})],
        "until": _iso(min(each.until for each in given)) if given else None,
        "acknowledgements": [
            {
                "by": each.by,
                "asOwner": each.as_owner,
                "at": _iso(each.at),
                "until": _iso(each.until),
                "note": each.note,
            }
            for each in given
        ],
    }


class Assets:
    """What answers say of an asset: {id, kind, namespace, title, owners, tier, environment, verified, usage}."""

    def __init__(self, view: View, at: Moment, believed: Believed, used: Used) -> None:
        self._view, self._at, self._believed, self._used = view, at, believed, used

    def of(self, key: AssetKey) -> Object:
        names = names_of(self._view, key, self._at)
        said, shown = self._shown(names)
        owners = _owners(shown)
        if not owners and key.container:
            owners = _owners(self._shown(names_of(self._view, key.container, self._at))[1])
        origins = {each.origin for each in said if each.valid.holds_at(self._at.at)}
        spelling = shown.get("spelling")
        namespace = spelling.get("namespace") if isinstance(spelling, dict) else None
        verified = True if "gateway:verified" in origins else False if "gateway:claimed" in origins else None
        return {
            "id": str(key),
            "kind": key.kind.name,
            "namespace": namespace or key.namespace,
            "title": key.title,
            "owners": owners,
            "tier": shown.get("tier"),
            "environment": shown.get("environment"),
            "verified": verified if key.kind is AssetKind.CONSUMER else None,
            "usage": self._usage(names),
        }

    def origins(self, flow: Flow) -> list[Json]:
        """Who says that a flow is."""
        said = self._believed([flow]).get(flow, ())
        return [*sorted({each.origin for each in said if each.valid.holds_at(self._at.at)})]

    def _shown(self, names: Sequence[AssetKey]) -> tuple[list[Assertion], dict[str, Json]]:
        said = self._believed(names)
        each = [shown_attributes(said.get(name, ()), self._at.at) for name in names]
        every = [assertion for name in names for assertion in said.get(name, ())]
        return every, values(each[0] if len(each) == 1 else shown_together(each))

    def _usage(self, names: Sequence[AssetKey]) -> Object:
        """Calls a consumer made; for every other asset those made of it."""
        today = day_of(self._at.at)
        made = names[0].kind is AssetKind.CONSUMER
        counted = [
            each
            for each in self._used(names, today - USAGE_DAYS + 1)
            if (each.reader if made else each.source) in names
        ]
        calls = sum(each.calls for each in counted)
        days = max(1, today - min((each.day for each in counted), default=0) + 1)
        last = max((each.last for each in counted), default=None)
        return {"calls": calls, "callsPerDay": calls / days, "lastSeen": None if last is None else _iso(last)}


def _owners(shown: Mapping[str, Json]) -> list[Json]:
    owners = shown.get("owners")
    told: Iterable[Json] = owners if isinstance(owners, list) else ()
    named = [(str(each["name"]), each.get("contact")) for each in told if isinstance(each, dict)]
    ordered = sorted(named, key=lambda owner: (owner[0], str(owner[1] or "")))
    return [{"name": name, "contact": contact} for name, contact in ordered]


def _iso(at: int) -> str | None:
    then = moment(at)
    return None if then is None else then.isoformat()
