"""What differs between two versions of an asset's attributes, and what each difference means to a direct reader. Pure functions."""

from collections.abc import Iterator

from graph.check.verdicts import Difference, Verdict
from graph.keys import AssetKey
from graph.model import Attributes

RELIED_ON = ("type", "nullable", "entities", "signature", "url")
MADE_BY = ("definition", "artifact", "hyperparameters", "features_from", "version")


def differences(key: AssetKey, before: Attributes, after: Attributes) -> list[Difference]:  # noqa: ARG001
    """In the order of the attributes; none for what is nobody's concern, as a description.

    Saying for the first time what something is, or no longer, changes nothing about it.
    """
    return [
        *_differing(RELIED_ON, Verdict.BREAKING, before, after),
        *_differing(MADE_BY, Verdict.BEHAVIOURAL, before, after),
    ]


def _differing(names: tuple[str, ...], verdict: Verdict, before: Attributes, after: Attributes) -> Iterator[Difference]:
    for name in names:
        default = "store" if name == "features_from" else None
        old, new = before.get(name, default), after.get(name, default)
        if old is None or new is None or old == new or (name == "nullable" and new is False):
            continue
        yield Difference(name, old, new, verdict, f"its {name} differs")
