"""Whether two lineage indexes hold the same graph: one that followed a store against one loaded from it anew."""

from collections import Counter
from collections.abc import Iterator

from graph.model import REFINES_FIRST
from graph.ports import Port, Step
from graph.time import FOREVER, Instant, moment
from graph.topology import ALWAYS, View

_TIMES = ("valid_start", "valid_end", "known_first", "known_last")


def differences(followed: View, loaded: View) -> list[str]:
    """A sentence for each edge, step and label that only one of them holds, in order; empty when they agree."""
    ours, theirs = Counter(_facts(followed)), Counter(_facts(loaded))
    return [
        *(f"only the index that followed the store has {fact}" for fact in sorted((ours - theirs).elements())),
        *(f"only the index loaded from the store has {fact}" for fact in sorted((theirs - ours).elements())),
    ]


def _facts(view: View) -> Iterator[str]:
    names = ("source", "target", "via", "origin", "strength", "step", *_TIMES)
    columns = [view.rows[name][: view.row_count].tolist() for name in names]
    for source, target, via, origin, strength, step, *times in zip(*columns, strict=True):
        ends = f"{_vertex(view, source)} -> {_vertex(view, target)}"
        if not step & Step.FLOW:
            yield f"the step {ends}{_spans(*times)}"
            continue
        told = f", said by {view.origins[origin]} ({REFINES_FIRST[strength]})"
        yield f"the flow {ends}{f' via {view.keys[via]}' if via else ''}{told}, taken by {Step(step)!r}{_spans(*times)}"
    columns = [view.label_rows[name][: view.label_count].tolist() for name in ("asset", "label", *_TIMES)]
    for asset, label, *times in zip(*columns, strict=True):
        owners, tags, tier = view.labels[label]
        yield f"{view.keys[asset]} with owners {list(owners)}, tags {list(tags)} and tier {tier}{_spans(*times)}"


def _vertex(view: View, vertex: int) -> str:
    return f"{view.keys[int(view.vertex_asset[vertex])]}[{Port(int(view.vertex_port[vertex])).name.lower()}]"


def _spans(start: Instant, end: Instant, first: int, last: int) -> str:
    valid = "" if (start, end) == ALWAYS else f", valid {_date(start)} to {_date(end)}"
    known = (
        ""
        if (first, last) == (0, FOREVER)
        else f", believed from revision {first}" + ("" if last == FOREVER else f" to {last}")
    )
    return valid + known


def _date(at: Instant) -> str:
    if at in (ALWAYS.start, FOREVER):
        return "no end"
    found = moment(at)
    return found.isoformat() if found else "no end"
