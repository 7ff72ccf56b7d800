"""What a revision tells, applied to the tables: unit by unit, where a unit is the flows whose ports depend on each other.

What a unit derives replaces what it derived before.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import NamedTuple

import numpy as np

from graph.attributes import shown_attributes, signature_features, values
from graph.keys import AssetKey, AssetKind
from graph.model import FLOWS, REFINES_FIRST, Assertion, Attributes, Flow, StoredAssertion, Timing
from graph.ports import Edge, Port, Step, Told, coarse, direct_edges, job_edges, serving_edges
from graph.stores.contract import Revision
from graph.tables import EdgeRow, LabelRow, Tables
from graph.time import FOREVER, Interval, pieces, union, without
from graph.topology import ALIAS_CODE, ALWAYS, KIND_CODE, KINDS, Bools, Ints


@dataclass
class _Told:
    """What a revision tells of the flows of one unit: the flows whose ports depend on each other."""

    opened: list[Told] = field(default_factory=list)
    closed: list[Told] = field(default_factory=list)

    def of(self, flow: tuple[int, int, int]) -> "_Told":
        return _Told(
            [told for told in self.opened if told[:3] == flow], [told for told in self.closed if told[:3] == flow]
        )

    def added_to(self, known: Iterable[Told]) -> list[Told]:
        """All that is told of the unit now, when `known` was before."""
        intervals: dict[tuple[int, int, int, int, int], list[Interval]] = {}
        for told in known:
            intervals.setdefault(told[:5], []).append(told.valid)
        for told in self.closed:
            intervals[told[:5]] = without(union(intervals.get(told[:5], ())), told.valid)
        for told in self.opened:
            intervals.setdefault(told[:5], []).append(told.valid)
        return [Told(*flow, valid) for flow, valids in intervals.items() for valid in union(valids)]


def retell(tables: Tables, revision: Revision) -> None:
    """Brings `tables` from the revision before to this one."""
    retell_assets(tables, revision.said, revision.number)
    _retell_flows(tables, revision)
    tables.revision, tables.latest = revision.number, revision.at


def retell_assets(tables: Tables, said: Mapping[AssetKey, Sequence[Assertion]], revision: int) -> None:
    """`said`: all that is believed at this revision of each asset that it tells of."""
    for key, assertions in said.items():
        shown = _shown(assertions)
        asset = tables.number(key)
        _replace_labels(
            tables, asset, [LabelRow(tables.label(attributes), *piece) for piece, attributes in shown], revision
        )
        if key.is_alias:
            _retell_alias(tables, key, asset, shown, revision)
        elif key.kind is AssetKind.MODEL_VERSION:
            _retell_version(tables, asset, shown, revision)
        elif key.kind is AssetKind.DEPLOYMENT:
            _retell_deployment(tables, asset, shown, revision)


def _shown(said: Sequence[Assertion]) -> list[tuple[Interval, Attributes]]:
    """What is shown of an asset, piece by piece of valid time."""
    if len(said) == 1:  # nobody disagrees
        return [(said[0].valid, said[0].attributes)]
    return [
        (piece, values(shown_attributes(said, piece.start)))
        for piece in pieces(ALWAYS, ([assertion.valid] for assertion in said))
        if any(assertion.valid.holds_at(piece.start) for assertion in said)
    ]


def _retell_alias(
    tables: Tables, key: AssetKey, alias: int, shown: Sequence[tuple[Interval, Attributes]], revision: int
) -> None:
    model = key.container
    assert model is not None
    links = [
        EdgeRow(tables.vertex(version, port), tables.vertex(alias, port), 0, 0, 0, Step.BOTH, *piece)
        for piece, attributes in shown
        if attributes.get("version")
        for version in (tables.number(model.part_key(str(attributes["version"]))),)
        for port in (Port.WHOLE, Port.REQUESTS)
    ]
    into = [row for port in (Port.WHOLE, Port.REQUESTS) for row in tables.up.of(tables.vertex(alias, port))]
    _replace(tables, _open_rows(tables, into, Step(0)), links, revision)


def _retell_version(tables: Tables, version: int, shown: Sequence[tuple[Interval, Attributes]], revision: int) -> None:
    requests = tables.vertex(version, Port.REQUESTS)
    links = [
        EdgeRow(tables.vertex(tables.number(feature), Port.ANY), requests, 0, 0, 0, Step.BOTH, *piece)
        for piece, attributes in shown
        for feature in dict.fromkeys(signature_features(attributes.get("signature")))
    ]
    _replace(tables, _open_rows(tables, tables.up.of(requests), Step(0)), links, revision)


def _retell_deployment(
    tables: Tables, deployment: int, shown: Sequence[tuple[Interval, Attributes]], revision: int
) -> None:
    carried = union(piece for piece, attributes in shown if attributes.get("features_from") == "request")
    if carried != tables.carried.get(deployment, []):
        tables.carried[deployment] = carried
        rows = _open_rows(tables, tables.up.of(tables.vertex(deployment, Port.WHOLE)))
        _replace(tables, rows, _single_rows(tables, _told_by(tables, rows.values())), revision)


def _replace_labels(tables: Tables, asset: int, wanted: Iterable[LabelRow], revision: int) -> None:
    table, missing = tables.label_rows, dict.fromkeys(_merged_labels(wanted))
    for number in tables.labels_by_asset.of(asset):
        if table.is_open(number):
            row = LabelRow(int(table["label"][number]), *table.times[number, :2].tolist())
            if row in missing:
                del missing[row]
            else:
                table.close(number, revision)
    for row in missing:
        tables.add_label(asset, row, revision)


def _merged_labels(rows: Iterable[LabelRow]) -> list[LabelRow]:
    merged: list[LabelRow] = []
    for row in rows:
        if merged and merged[-1].label == row.label and merged[-1].end == row.start:
            merged[-1] = LabelRow(row.label, merged[-1].start, row.end)
        else:
            merged.append(row)
    return merged


def _retell_flows(tables: Tables, revision: Revision) -> None:
    new, others = _told_anew(tables, revision) if len(revision.opened) > _MANY else (None, revision)
    if new is not None and new.stored:
        _add_coarse(tables, new, revision.number)
    _retell_units(tables, others)


class _New(NamedTuple):
    """Flows, as columns: what they were told by, and the numbers of their ends."""

    stored: list[StoredAssertion]
    source: Ints
    target: Ints

    def among(self, chosen: Bools) -> "_New":
        return _New([self.stored[place] for place in np.flatnonzero(chosen)], self.source[chosen], self.target[chosen])


def _told_anew(tables: Tables, revision: Revision) -> tuple[_New | None, Revision]:
    """The flows told for the first time whose ports depend on no other flow's, and the revision without them."""
    told: dict[Flow, StoredAssertion | None] = {}
    for stored in revision.opened:
        flow = stored.assertion.subject
        if isinstance(flow, Flow):
            told[flow] = stored if flow not in told else None
    for stored in revision.closed:
        if isinstance(stored.assertion.subject, Flow):
            told[stored.assertion.subject] = None
    once = [(flow, stored) for flow, stored in told.items() if stored is not None and flow.via is None]
    if not once:
        return None, revision
    number = tables.number
    source = np.array([number(flow.source) for flow, _ in once], np.int32)
    target = np.array([number(flow.target) for flow, _ in once], np.int32)
    all_told = _New([stored for _, stored in once], source, target)
    new = all_told.among(_stand_alone(tables, source, target, told))
    new = new.among(~tables.told_already(new.source, new.target))
    done = {*map(id, new.stored)}  # which while an index is loaded have no numbers of their own
    return new, replace(revision, opened=tuple([stored for stored in revision.opened if id(stored) not in done]))


def _stand_alone(tables: Tables, source: Ints, target: Ints, told: Collection[Flow]) -> Bools:
    """For each flow, via no job, whether its ports depend neither on a finer flow nor on what is served.

    `told`: all flows that the revision tells of.
    """
    kind, container = tables.assets["kind"], tables.assets["container"]
    source_kind, target_kind = kind[source], kind[target]
    jobs = np.where(source_kind == _JOB, source, target)
    at_job = (source_kind == _JOB) | (target_kind == _JOB)
    refined = {tables.number(flow.via) for flow in told if flow.via}
    refined |= {job for job in np.unique(jobs[at_job]).tolist() if tables.by_via.size([job])}
    served = _SERVED[source_kind] & (target_kind == _DEPLOYMENT)
    whole = _IS_DIRECT[source_kind, target_kind] & (tables.assets["first_part"][target] > 0)
    alone: Bools = ~(served | whole | (at_job & np.isin(jobs, [*refined])))
    within, into = container[source], container[target]
    (finer,) = np.nonzero((within > 0) & (into > 0) & _IS_DIRECT[kind[within], kind[into]])
    if len(finer):
        within, into = within[finer], into[finer]
        pairs = {(tables.number(flow.source), tables.number(flow.target)) for flow in told if _is_whole(flow)}
        here = [pair in pairs for pair in zip(within.tolist(), into.tolist(), strict=True)]
        alone[finer] = ~(np.array(here, np.bool_) | tables.told_already(within, into))
    return alone


def _is_whole(flow: Flow) -> bool:
    """Whether flows between parts narrow it."""
    return flow.via is None and _is_direct(flow.source.kind, flow.target.kind)


def _add_coarse(tables: Tables, new: _New, revision: int) -> None:
    kind = tables.assets["kind"]
    said = [stored.assertion for stored in new.stored]
    origins = {origin: tables.origins.number(origin) for origin in dict.fromkeys([each.origin for each in said])}
    tables.rows.open_many(
        {
            "source": tables.assets["any"][new.source],
            "target": tables.assets["whole"][new.target],
            "via": np.zeros(len(said), np.int32),
            "origin": np.array([origins[each.origin] for each in said], np.int32),
            "strength": np.array([_STRENGTH[each.basis] for each in said], np.int8),
            "step": STEP_OF[kind[new.source], kind[new.target]],
            "times": np.array([(*each.valid, revision, FOREVER) for each in said], np.int64),
        }
    )


_MANY = 8
"""Assertions from which telling them one by one costs more than numpy does."""


def _retell_units(tables: Tables, revision: Revision) -> None:
    singles: dict[tuple[int, int, int], _Told] = {}
    pairs: dict[tuple[int, int], _Told] = {}
    jobs: dict[int, _Told] = {}
    for is_closed, assertions in ((True, revision.closed), (False, revision.opened)):
        for stored in assertions:
            flow = stored.assertion.subject
            if not isinstance(flow, Flow):
                continue
            told = _told(tables, flow, stored)
            source, target, via = told[:3]
            if AssetKind.JOB in (flow.source.kind, flow.target.kind):
                unit = jobs.setdefault(source if flow.source.kind is AssetKind.JOB else target, _Told())
            elif not via and _is_direct(flow.source.kind, flow.target.kind):
                unit = pairs.setdefault((source, target), _Told())
            else:
                unit = singles.setdefault((source, target, via), _Told())
                if via:
                    jobs.setdefault(via, _Told())
                within, into = flow.source.container, flow.target.container
                if within and into and _is_direct(within.kind, into.kind):
                    pairs.setdefault((tables.container(source), tables.container(target)), _Told())
            (unit.closed if is_closed else unit.opened).append(told)
    for single, unit in singles.items():
        _retell_alone(tables, single, unit, _single_rows, revision.number)
    for (source, target), unit in pairs.items():
        if not tables.assets["first_part"][target]:
            _retell_alone(tables, (source, target, 0), unit, _coarse_rows, revision.number)
            continue
        rows = _open_between(tables, source, target, 0)
        told_now = unit.added_to(_told_by(tables, rows.values()))
        parts = _told_between_parts(tables, source, target) if told_now else []
        edges = [edge for told in told_now for edge in direct_edges(told, parts)]
        _replace(tables, rows, _edge_rows(tables, edges), revision.number)
    for job, unit in jobs.items():
        _retell_job(tables, job, unit, revision.number)


def _retell_alone(
    tables: Tables,
    flow: tuple[int, int, int],
    unit: _Told,
    rows_of: Callable[[Tables, Sequence[Told]], list[EdgeRow]],
    revision: int,
) -> None:
    """A flow whose ports depend on no other."""
    rows = _open_between(tables, *flow)
    told_now = unit.added_to(_told_by(tables, rows.values())) if rows or len(unit.opened) > 1 else unit.opened
    _replace(tables, rows, rows_of(tables, told_now), revision)


def _retell_job(tables: Tables, job: int, unit: _Told, revision: int) -> None:
    via = tables.by_via.of(job)
    if not via:  # never refined: each flow stands for itself
        for flow in dict.fromkeys(told[:3] for told in (*unit.closed, *unit.opened)):
            _retell_alone(tables, flow, unit.of(flow), _coarse_rows, revision)
        return
    finer = _told_by(tables, _open_rows(tables, via).values())
    rows = _open_rows(
        tables,
        [
            row
            for port in (Port.WHOLE, Port.ANY)
            for around in (tables.down, tables.up)
            for row in around.of(tables.vertex(job, port))
        ],
    )
    flows = [*unit.added_to(_told_by(tables, rows.values())), *finer]
    _replace(tables, rows, _edge_rows(tables, job_edges(job, flows, tables.container)), revision)


def _is_direct(source: AssetKind, target: AssetKind) -> bool:
    return source is AssetKind.DATASET and target in (AssetKind.DATASET, AssetKind.FEATURE_VIEW)


def _told(tables: Tables, flow: Flow, stored: StoredAssertion) -> Told:
    said = stored.assertion
    return Told(
        tables.number(flow.source),
        tables.number(flow.target),
        tables.number(flow.via) if flow.via else 0,
        tables.origins.number(said.origin),
        REFINES_FIRST.index(said.basis),
        said.valid,
    )


def _told_by(tables: Tables, rows: Iterable[EdgeRow]) -> list[Told]:
    """What the rows were derived from: their pieces of valid time joined again."""
    asset, port = tables.vertices["asset"], tables.vertices["port"]
    return _Told().added_to(
        Told(
            int(asset[row.source]),
            int(asset[row.target]),
            row.via,
            row.origin,
            row.strength,
            Interval(row.start, row.end),
        )
        for row in rows
        if port[row.source] != Port.REQUESTS
    )


def _told_between_parts(tables: Tables, source: int, target: int) -> list[Told]:
    parts = [tables.vertex(part, Port.WHOLE) for part in tables.parts(target)]
    rows = _open_rows(tables, tables.up.of_many(parts))
    container = tables.container
    return [told for told in _told_by(tables, rows.values()) if container(told.source) == source != told.source]


def _open_between(tables: Tables, source: int, target: int, via: int) -> dict[int, EdgeRow]:
    """The rows of one flow that are believed now, by number."""
    ends = tables.assets
    out = {int(ends[port][source]) for port in ("whole", "any", "requests")}
    into = {int(ends[port][target]) for port in ("whole", "any")}
    out.discard(-1)
    leaving, reaching = tables.down.size(out), tables.up.size(into)
    if not leaving or not reaching:
        return {}
    numbers = tables.down.of_many(out) if leaving < reaching else tables.up.of_many(into)
    sources, targets, vias = (tables.rows[name] for name in ("source", "target", "via"))
    return _open_rows(
        tables,
        [row for row in numbers if targets[row] in into and sources[row] in out and vias[row] == via],
    )


def _open_rows(tables: Tables, numbers: Iterable[int], kind: Step = Step.FLOW) -> dict[int, EdgeRow]:
    """Those of `numbers` that are believed now and are flows (or, with Step(0), are not)."""
    step, is_open = tables.rows["step"], tables.rows.is_open
    return {
        number: tables.edge(number)
        for number in dict.fromkeys(numbers)
        if is_open(number) and step[number] & Step.FLOW == kind
    }


def _coarse_rows(tables: Tables, told: Iterable[Told]) -> list[EdgeRow]:
    return _edge_rows(tables, map(coarse, told))


def _single_rows(tables: Tables, told: Iterable[Told]) -> list[EdgeRow]:
    edges: list[Edge] = []
    for each in told:
        serving = tables.vertex(each.source, Port.REQUESTS) >= 0 and tables.is_kind(each.target, AssetKind.DEPLOYMENT)
        edges += serving_edges(each, tables.carried.get(each.target, [])) if serving else [coarse(each)]
    return _edge_rows(tables, edges)


def _edge_rows(tables: Tables, edges: Iterable[Edge]) -> list[EdgeRow]:
    kind = tables.assets["kind"]
    rows = []
    for told, leaves, reaches, walks, valid in edges:
        step = int(STEP_OF[kind[told.source], kind[told.target]]) & ~int(Step.BOTH) | walks
        ends = tables.vertex(told.source, leaves), tables.vertex(told.target, reaches)
        rows.append(EdgeRow(*ends, told.via, told.origin, told.strength, step, *valid))
    return rows


def _replace(tables: Tables, rows: Mapping[int, EdgeRow], wanted: Iterable[EdgeRow], revision: int) -> None:
    """Closes those of `rows` that are not wanted, and adds those wanted that are not there."""
    missing = dict.fromkeys(wanted)
    for number, row in rows.items():
        if row in missing:
            del missing[row]
        else:
            tables.rows.close(number, revision)
    for row in missing:
        tables.add_row(row, revision)


def _by_kinds(holds: Callable[[AssetKind, AssetKind], bool]) -> Bools:
    """By the codes of the kinds that a flow joins; nothing holds of an alias."""
    table = np.zeros((len(KINDS) + 2, len(KINDS) + 2), np.bool_)
    for source, target in product(KINDS, repeat=2):
        table[KIND_CODE[source], KIND_CODE[target]] = holds(source, target)
    return table


def _steps_by_kind() -> Ints:
    """Step of a flow by the codes of the kinds it joins; an alias flows where a version does."""
    steps = np.zeros((len(KINDS) + 1, len(KINDS) + 1), np.int64)
    for (source, target), flow in FLOWS.items():
        step = Step.FLOW | Step.BOTH | (Step.BUILT if flow.timing is Timing.BUILT else Step(0))
        steps[KIND_CODE[source], KIND_CODE[target]] = step
    steps[ALIAS_CODE] = steps[KIND_CODE[AssetKind.MODEL_VERSION]]
    return steps


STEP_OF = _steps_by_kind()

_JOB, _DEPLOYMENT = KIND_CODE[AssetKind.JOB], KIND_CODE[AssetKind.DEPLOYMENT]
_IS_DIRECT = _by_kinds(_is_direct)
_SERVED = np.zeros(len(_IS_DIRECT), np.bool_)
_SERVED[[KIND_CODE[AssetKind.MODEL_VERSION], ALIAS_CODE]] = True
_STRENGTH = {basis: place for place, basis in enumerate(REFINES_FIRST)}
