"""What revisions tell for the first time and what depends on nothing else, brought into the tables all at once.

That is most of what is ever told. `retelling` brings in the rest, revision by revision.
"""

from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import replace

import numpy as np

from graph.attributes import JOINABLE, shown_pieces
from graph.keys import AssetKey, AssetKind
from graph.model import FLOWS, REFINES_FIRST, Assertion, Attributes, Flow, StoredAssertion, Timing
from graph.ports import Step, Told
from graph.stores.contract import Revision
from graph.tables import LabelRow, Tables
from graph.time import FOREVER, Interval
from graph.topology import ALIAS_CODE, KIND_CODE, KINDS, Bools, Ints

_MANY = 8
"""Assertions from which telling them one by one costs more than numpy does."""


def tell_new(tables: Tables, revisions: Sequence[Revision]) -> Sequence[Revision]:
    """What is left to tell. Nothing told here hangs on anything else that they tell, so their order is no matter."""
    if sum(len(revision.opened) for revision in revisions) < _MANY:
        return revisions
    before = tables.assets.count
    labelled = _add_labels(tables, revisions)
    left = _add_flows(tables, revisions, before)
    rest = []
    for revision, opened in zip(revisions, left, strict=True):
        said = {key: assertions for key, assertions in revision.said.items() if key not in labelled}
        if said or opened or revision.closed:
            rest.append(replace(revision, opened=tuple(opened), said=said))
    return rest


# Assets


def _add_labels(tables: Tables, revisions: Sequence[Revision]) -> Set[AssetKey]:
    """Of assets that had none, are told of once, and have nothing but labels to tell."""
    told: dict[AssetKey, tuple[int, Sequence[Assertion]] | None] = {}
    for revision in revisions:
        for key, said in revision.said.items():
            told[key] = (revision.number, said) if key not in told else None
    done, assets, labels, times = set(), [], [], []
    for key, once in told.items():
        if once is None or key.kind in _LINKED:
            continue
        if key.kind in JOINABLE and any("same_as" in each.attributes for each in once[1]):
            continue
        asset = tables.number(key)
        if tables.labels_by_asset.size([asset]):
            continue
        for row in label_rows(tables, shown_of(once[1])):
            assets.append(asset)
            labels.append(row.label)
            times.append((row.start, row.end, once[0], FOREVER))
        done.add(key)
    if times:
        tables.label_rows.open_many({"asset": np.array(assets), "label": np.array(labels), "times": np.array(times)})
    return done


_LINKED = {AssetKind.MODEL_VERSION, AssetKind.DEPLOYMENT}
"""What is told of them says how things flow, too."""


def shown_of(said: Sequence[Assertion]) -> list[tuple[Interval, Attributes]]:
    """What is shown of an asset, piece by piece of valid time; neighbours differ."""
    if len(said) == 1:  # nobody disagrees
        return [(said[0].valid, said[0].attributes)]
    return [*shown_pieces(said)]


def label_rows(tables: Tables, shown: Sequence[tuple[Interval, Attributes]]) -> list[LabelRow]:
    merged: list[LabelRow] = []
    for piece, attributes in shown:
        row = LabelRow(tables.label(attributes), *piece)
        if merged and merged[-1].label == row.label and merged[-1].end == row.start:
            merged[-1] = LabelRow(row.label, merged[-1].start, row.end)
        else:
            merged.append(row)
    return merged


# Flows


def _add_flows(tables: Tables, revisions: Sequence[Revision], before: int) -> list[list[StoredAssertion]]:
    """Those told of once, for the first time, whose ports depend on no other flow's. Of each revision the flows left.

    `before`: how many assets there were.
    """
    opened, closed = [], []
    left: Iterator[bool] = iter(())
    for revision in revisions:
        for stored in revision.opened:
            flow = stored.assertion.subject
            if isinstance(flow, Flow):
                *numbers, valid = told_of(tables, flow, stored)
                opened.append((*numbers, *valid, revision.number, FOREVER))
        for stored in revision.closed:
            flow = stored.assertion.subject
            if isinstance(flow, Flow):
                closed.append(told_of(tables, flow, stored)[:3])
    if opened:
        rows = np.array(opened)
        is_new = _stand_alone(tables, np.concatenate([rows[:, :3], np.array(closed, np.int64).reshape(-1, 3)]))[
            : len(rows)
        ]
        known = np.nonzero(is_new & (rows[:, :2] < before).all(axis=1))[0]
        if len(known):
            is_new[known] = ~tables.told_already(*rows[known, :2].astype(np.int32).T)
        _add_coarse(tables, rows[is_new])
        left = iter((~is_new).tolist())
    return [
        [stored for stored in revision.opened if isinstance(stored.assertion.subject, Flow) and next(left)]
        for revision in revisions
    ]


def _stand_alone(tables: Tables, told: Ints) -> Bools:
    """Of flows that are told of now (source, target, via): whose ports depend neither on a finer flow nor on what is served.

    It looks for what is rare only where there is some: a search costs as much as all else.
    """
    source, target, via = told.T
    kind, container, first_part = (tables.assets[name] for name in ("kind", "container", "first_part"))
    from_kind, to_kind = kind[source], kind[target]
    alone: Bools = (via == 0) & ~_SERVES[from_kind, to_kind] & ~(_DIRECT[from_kind, to_kind] & (first_part[target] > 0))
    pair = source << 32 | target
    in_order = np.sort(pair)
    twice = in_order[1:][in_order[1:] == in_order[:-1]]
    if len(twice):
        alone &= ~np.isin(pair, twice)
    job = KIND_CODE[AssetKind.JOB]
    for kinds, ends in ((from_kind, source), (to_kind, target)):
        of_jobs = np.nonzero(alone & (kinds == job))[0]
        if len(of_jobs):
            alone[of_jobs] = ~np.isin(ends[of_jobs], via)
            alone[of_jobs] &= [not tables.by_via.size([each]) for each in ends[of_jobs].tolist()]
    within, into = container[source], container[target]
    finer = np.nonzero(alone & _DIRECT[kind[within], kind[into]])[0]
    if len(finer):
        within, into = within[finer], into[finer]
        narrowed = within.astype(np.int64) << 32 | into
        alone[finer] = ~np.isin(narrowed, pair) & ~tables.told_already(within, into)
    return alone


def is_direct(source: AssetKind, target: AssetKind) -> bool:
    return source is AssetKind.DATASET and target in (AssetKind.DATASET, AssetKind.FEATURE_VIEW)


def told_of(tables: Tables, flow: Flow, stored: StoredAssertion) -> Told:
    said = stored.assertion
    return Told(
        tables.number(flow.source),
        tables.number(flow.target),
        tables.number(flow.via) if flow.via else 0,
        tables.origins.number(said.origin),
        REFINES_FIRST.index(said.basis),
        said.valid,
    )


def _add_coarse(tables: Tables, rows: Ints) -> None:
    """Flows that leave and reach what stands for the whole: source, target, via, origin, strength, and their times."""
    source, target, via, origin, strength = rows[:, :5].T
    kind = tables.assets["kind"]
    tables.rows.open_many(
        {
            "source": tables.assets["any"][source],
            "target": tables.assets["whole"][target],
            "via": via,
            "origin": origin,
            "strength": strength,
            "step": STEP_OF[kind[source], kind[target]],
            "times": rows[:, 5:],
        }
    )


def _by_kinds(holds: Callable[[AssetKind, AssetKind], bool]) -> Bools:
    """What holds of a flow from one kind to another, by their codes; an alias is taken for a version."""
    found = np.zeros((len(KINDS) + 1, len(KINDS) + 1), np.bool_)
    found[:-1, :-1] = [[holds(source, target) for target in KINDS] for source in KINDS]
    found[ALIAS_CODE] = found[KIND_CODE[AssetKind.MODEL_VERSION]]
    return found


def _steps_by_kind() -> Ints:
    """Step of a flow by the codes of the kinds it joins; an alias flows where a version does."""
    steps = np.zeros((len(KINDS) + 1, len(KINDS) + 1), np.int64)
    for (source, target), flow in FLOWS.items():
        step = Step.FLOW | Step.BOTH | (Step.BUILT if flow.timing is Timing.BUILT else Step(0))
        steps[KIND_CODE[source], KIND_CODE[target]] = step
    steps[ALIAS_CODE] = steps[KIND_CODE[AssetKind.MODEL_VERSION]]
    return steps


STEP_OF = _steps_by_kind()
_SERVES = _by_kinds(lambda source, target: source is AssetKind.MODEL_VERSION and target is AssetKind.DEPLOYMENT)
_DIRECT = _by_kinds(is_direct)
