"""What would make a change safe: sentences for people."""

from graph.check.judge import Finding
from graph.check.verdicts import Alteration, Cure, Difference, Verdict
from graph.keys import AssetKey, AssetKind


def advice(finding: Finding) -> list[str]:
    """For whoever makes the change, the surest first; none where nobody is affected."""
    if not finding.known:
        return ["Apply the version before (`headwater apply` there), so that the graph knows its readers."]
    if not finding.touches():
        return []
    told = [_of_coming_and_going(finding)]
    told += [_of_difference(finding.asset, each) for each in finding.differences if each.verdict in _WORTH]
    return [*dict.fromkeys(each for each in told if each)]


_WORTH = {Verdict.BREAKING, Verdict.BEHAVIOURAL, Verdict.UNKNOWN}


def _of_coming_and_going(finding: Finding) -> str | None:
    key, kind = finding.asset, finding.asset.kind
    name = key.part or key.name
    if finding.verdict is Verdict.ADDITIVE:
        return None
    if finding.alteration is Alteration.RENAMED and finding.renamed_to is not None:
        new = finding.renamed_to.part or finding.renamed_to.name
        if kind in _WITH_ALIASES:
            return f"Keep the old name until its readers have moved: `aliases: [{name}]` at {new}; or move them in the same change."
        return f"Keep {name} beside {new} until its readers have moved; or move them in the same change."
    if finding.alteration is Alteration.REMOVED:
        if finding.verdict is Verdict.UNKNOWN:
            return f"Ask whoever still says that {name} is there, or let them withdraw it."
        return (
            f"Keep {name} until its readers have moved: start with `headwater deprecate {key}`, and remove it when nobody uses"
            " it any more; or let each reader say what it takes instead (`default`)."
        )
    return None


_WITH_ALIASES = {AssetKind.COLUMN, AssetKind.FEATURE}


def _of_difference(key: AssetKey, difference: Difference) -> str | None:
    attribute, name = difference.attribute, key.part or key.name
    if difference.verdict is Verdict.UNKNOWN:
        return f"Say what {name} is to be read as, so that it can be told: {difference.reason}."
    if attribute.startswith(("request", "signature.inputs")):
        part = f" {difference.part}" if difference.part else ""
        return f"Make the input{part} optional or give it a default, so that callers need not change; or deploy beside the old."
    if attribute.startswith(("response", "signature.outputs")):
        part = f" {difference.part}" if difference.part else " what it answered"
        return f"Go on answering{part} until its readers have moved; or deploy beside the old."
    if attribute == "url":
        return "Let the old address go on answering, or redirect, until its callers have moved."
    if Cure.CAST in difference.cures:
        new = "another feature" if key.kind is AssetKind.FEATURE else "another column"
        return f"Give the new type to {new} beside {name}, or let each reader cast it (`cast: {difference.before}`)."
    if attribute == "entities":
        return f"Make another view with the new keys beside {name}, and let its readers move."
    if key.kind is AssetKind.FEATURE and attribute in _MEANING:
        return f"Version the feature: add {name}_v2 with the new meaning, and let each model move at its next training."
    if key.kind is AssetKind.COLUMN and attribute in _MEANING:
        return f"Add a column with the new meaning beside {name}, and let its readers move."
    return None


_MEANING = {"definition", "unit", "default", "flows"}
