"""What a revision tells, applied to the tables: unit by unit, where a unit is the flows whose ports depend on each other.

What a unit derives replaces what it derived before.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from graph.attributes import JOINABLE, named_same, signature_features
from graph.keys import AssetKey, AssetKind
from graph.model import Assertion, Attributes, Flow
from graph.ports import Edge, Port, Step, Told, coarse, direct_edges, job_edges, serving_edges
from graph.stores.contract import Revision
from graph.tables import EdgeRow, LabelRow, Tables
from graph.telling import STEP_OF, is_direct, label_rows, shown_of, tell_new, told_of
from graph.time import Interval, union, without


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


def retell(tables: Tables, revisions: Sequence[Revision]) -> None:
    """Brings `tables` from the revision before these to the last of them. They follow one another."""
    for revision in tell_new(tables, revisions):
        _retell_assets(tables, revision.said, revision.number)
        _retell_units(tables, revision)
    tables.revision, tables.latest = revisions[-1].number, revisions[-1].at


def _retell_assets(tables: Tables, said: Mapping[AssetKey, Sequence[Assertion]], revision: int) -> None:
    """`said`: all that is believed at this revision of each asset that it tells of."""
    for key, assertions in said.items():
        shown = shown_of(assertions)
        asset = tables.number(key)
        _replace_labels(tables, asset, label_rows(tables, shown), revision)
        if key.is_alias:
            _retell_alias(tables, key, asset, shown, revision)
        elif key.kind is AssetKind.MODEL_VERSION:
            _retell_version(tables, asset, shown, revision)
        elif key.kind in JOINABLE:
            if key.kind is AssetKind.DEPLOYMENT:
                _retell_deployment(tables, asset, shown, revision)
            _retell_same(tables, asset, assertions, revision)


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


def _retell_same(tables: Tables, asset: int, assertions: Sequence[Assertion], revision: int) -> None:
    """Each origin's word that it is the same as another counts, whatever the others say."""
    intervals: dict[int, list[Interval]] = {}
    for each in assertions:
        for named in named_same(each.attributes):
            intervals.setdefault(tables.number(named), []).append(each.valid)
    wanted = dict.fromkeys((named, valid) for named, valids in intervals.items() for valid in union(valids))
    for join in tables.joins_by(asset):
        if join in wanted:
            del wanted[join]
        else:
            tables.part(asset, *join, revision)
    for other, valid in wanted:
        tables.join(asset, other, valid, revision)


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
    table, missing = tables.label_rows, dict.fromkeys(wanted)
    for number in tables.labels_by_asset.of(asset):
        if table.is_open(number):
            row = LabelRow(int(table["label"][number]), *table.times[number, :2].tolist())
            if row in missing:
                del missing[row]
            else:
                table.close(number, revision)
    for row in missing:
        tables.add_label(asset, row, revision)


def _retell_units(tables: Tables, revision: Revision) -> None:
    singles: dict[tuple[int, int, int], _Told] = {}
    pairs: dict[tuple[int, int], _Told] = {}
    jobs: dict[int, _Told] = {}
    for is_closed, assertions in ((True, revision.closed), (False, revision.opened)):
        for stored in assertions:
            flow = stored.assertion.subject
            if not isinstance(flow, Flow):
                continue
            told = told_of(tables, flow, stored)
            source, target, via = told[:3]
            if AssetKind.JOB in (flow.source.kind, flow.target.kind):
                unit = jobs.setdefault(source if flow.source.kind is AssetKind.JOB else target, _Told())
            elif not via and is_direct(flow.source.kind, flow.target.kind):
                unit = pairs.setdefault((source, target), _Told())
            else:
                unit = singles.setdefault((source, target, via), _Told())
                if via:
                    jobs.setdefault(via, _Told())
                within, into = flow.source.container, flow.target.container
                if within and into and is_direct(within.kind, into.kind):
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
