"""Answers from an exported graph, without a service: the same functions that a service calls, of the extra `headwater[offline]`.

This is the one module that imports them.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from headwater.errors import GraphUnreadable, Refused
from headwater.simulating import told

if TYPE_CHECKING:
    from headwater.asked import Question

_OF_THE_EXTRA = {"graph", "numpy", "numba", "scipy", "orjson", "sqlglot", "antlr4", "proto_schema_parser"}

try:
    import numpy as np
    from graph.changes import Change, Verb
    from graph.check.answer import Assets, answer, document, policies, projects
    from graph.check.judge import judge
    from graph.errors import GraphError, InvalidInput, NotFound
    from graph.exported import Exported
    from graph.impact import when_felt
    from graph.importers.project import read_project
    from graph.keys import AssetKey, AssetKind
    from graph.model import Assertion, Basis, Subject, Timing
    from graph.neighbours import arrows_walked
    from graph.outlook import Selected, columns_of, outlook
    from graph.plan import plan_registration
    from graph.simulation import simulate
    from graph.summary import COLUMNS, count_by_kind, count_by_when, table
    from graph.time import moment
    from graph.topology import KIND_CODE, Ints, View
    from graph.usage import USAGE_DAYS, day_of
    from graph.walk import AssetFilter, Direction, FlowFilter, Follow, Lineage, selected, walk
except ImportError as error:
    if (error.name or "").partition(".")[0] not in _OF_THE_EXTRA:
        raise
    raise GraphUnreadable(
        f"an exported graph is read by the extra 'offline', which is not installed here: pip install 'headwater[offline]' (no {error.name})"
    ) from error

Json = dict[str, Any]


class Graph:
    """An exported graph, asked what a service is asked. `told` names it for people."""

    def __init__(self, file: Path) -> None:
        """Raises GraphUnreadable."""
        self.told = str(file)
        try:
            with _opened(file) as lines:
                self._exported = Exported(lines)
        except InvalidInput as error:
            raise GraphUnreadable(f"{file}: {error}") from error
        except (OSError, EOFError, zlib.error) as error:
            raise GraphUnreadable(f"{file}: {getattr(error, 'strerror', None) or error}") from error
        self._tables = self._exported.tables()
        self._view = self._tables.view()
        self._at = self._exported.moment

    def check(self, base: Sequence[Json], head: Sequence[Json], policy: object = None) -> Json:
        """As `Client.check`, but that the service's own policy is not in the export. Raises Refused."""
        try:
            demanded = policies(policy)
            before, after = projects(*(map(document, version) for version in (base, head)))
            judged = judge(self._view, self._at, before, after, self._believed)
        except GraphError as error:
            raise _refused(error) from error
        return answer(judged, self._view, self._believed, self._exported.usage, demanded)

    def _believed(self, subjects: Any) -> Mapping[Subject, tuple[Assertion, ...]]:
        return self._exported.believed(subjects)

    def lineage(self, question: Question, arrows: bool) -> Json:
        """As `asked.lineage`. Raises Refused; of now alone, which is when the file was written."""
        lineage, rows = self._walked(question, self._view)
        shown = table(lineage, rows, when_felt(lineage))
        columns: dict[str, list[Any]] = {name: column(shown) for name, column in COLUMNS.items()}
        for name in ("owners", "tags"):
            columns[name] = [[*each] for each in columns[name]]
        keys = [*columns["key"], str(lineage.start)]  # -1 is the start
        at = moment(self._at.at)
        found = {
            "start": {"id": str(lineage.start), "kind": lineage.start.kind.name, "title": lineage.start.title},
            "revision": self._at.revision,
            "at": at and at.isoformat(),
            "complete": lineage.complete,
            "total": len(rows),
            "reached": len(lineage),
            "unidentified": {"calls": self._unidentified(lineage)},
            "dormantDays": None,
            "assets": [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)],
        }
        if arrows:
            found["arrows"] = [
                {"source": keys[each.source], "target": keys[each.target], "timing": each.timing.value}
                for each in arrows_walked(lineage, rows)
            ]
        return found

    def users(self, question: Question, found: Json) -> Iterator[Json]:
        """As `asked.users`."""
        told = Assets(self._view, self._at, self._believed, self._exported.usage)
        for row in found["assets"]:
            key = AssetKey.parse(row["key"])
            if key.kind in (AssetKind.DEPLOYMENT, AssetKind.CONSUMER):
                said = told.of(key)
                asked = ("id", "kind", "owners", "tier", "environment", "verified", "usage")
                yield {**{name: said[name] for name in asked}, "hops": row["hops"], "when": row["when"]}

    def _walked(self, question: Question, view: View) -> tuple[Lineage, Ints]:
        if question.at is not None or question.known_at is not None:
            raise Refused(
                "an exported graph is asked of when it was exported: --graph goes without --at", "InvalidInput"
            )
        flows, chosen = question.flows, question.select
        if flows.get("verified"):
            raise Refused("an exported graph is asked of all callers: --graph goes without --verified", "InvalidInput")
        try:
            lineage = walk(
                view,
                AssetKey.parse(question.start),
                Direction(question.direction),
                self._at,
                Follow(question.follow),
                FlowFilter(
                    [Basis(each) for each in flows.get("bases", ())],
                    [Timing(each) for each in flows.get("timings", ())],
                    flows.get("origins", ()),
                ),
                question.depth,
            )
        except GraphError as error:
            raise _refused(error) from error
        wanted = AssetFilter(
            [AssetKind[each] for each in chosen.get("kinds", ())],
            chosen.get("namespaces", ()),
            chosen.get("owners", ()),
            chosen.get("tags", ()),
            chosen.get("tiers", ()),
        )
        return lineage, selected(lineage, wanted)

    def _unidentified(self, lineage: Lineage) -> int:
        view, start = self._view, self._view.number(lineage.start)
        numbers = np.concatenate([np.array([start, *view.parts_of(start)], np.int64), lineage.assets])
        called = [KIND_CODE[kind] for kind in (AssetKind.DEPLOYMENT, AssetKind.FEATURE)]
        keys = {view.key(number) for number in numbers[np.isin(view.kind[numbers], called)].tolist()}
        since = day_of(self._at.at) - USAGE_DAYS + 1
        used = self._exported.usage(keys, since)
        return sum(each.calls for each in used if each.reader is None and each.source in keys)

    def explored(self, documents: Sequence[Json], question: Question, arrows: bool) -> Json:
        """As `simulating.explored`. Raises Refused."""
        changes = self._changes(documents, stubs=True)
        simulation = simulate(self._tables, Lock(), self._exported.believed_at, changes)
        sides = [self._selected(question, view) for view in (simulation.today, simulation.planned)]
        if sides == [None, None]:
            self._walked(question, simulation.today)  # says why
        found = outlook(*sides)
        columns = columns_of([*found.added, *found.removed, *found.changed], simulation, self._at)
        today, planned = (side and self._side(side, arrows) for side in sides)
        verbs = [each.verb_at(self._at.at) for each in changes]
        at = moment(self._at.at)
        return {
            "revision": self._at.revision,
            "at": at and at.isoformat(),
            "plan": {name: verbs.count(verb) for name, verb in _VERBS.items()},
            "today": today,
            "withPlan": planned,
            **told([dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]),
        }

    def _selected(self, question: Question, view: View) -> Selected | None:
        """None where the start is not there."""
        try:
            lineage, rows = self._walked(question, view)
        except Refused as error:
            if error.code != _UNKNOWN:
                raise
            return None
        return Selected(lineage, rows, when_felt(lineage))

    def _side(self, side: Selected, arrows: bool) -> Json:
        lineage, rows, felt = side
        kinds, whens = count_by_kind(lineage, rows), count_by_when(felt, rows)
        found: Json = {
            "total": len(rows),
            "complete": lineage.complete,
            "counts": {
                "byKind": [{"kind": kind.name, "count": count} for kind, count in kinds.items()],
                "byWhen": [{"when": when.name, "count": count} for when, count in whens.items()],
            },
        }
        if arrows:
            drawn = arrows_walked(lineage, rows)
            found["columns"] = {"key": [str(lineage.key(row)) for row in rows.tolist()]}
            found["arrows"] = {
                "source": [each.source for each in drawn],
                "target": [each.target for each in drawn],
                "timing": [each.timing.value for each in drawn],
            }
        return found

    def _changes(self, documents: Sequence[Json], stubs: bool) -> list[Change]:
        try:
            return [
                change
                for each in read_project([document(each) for each in documents]).registrations
                for change in plan_registration(
                    self._exported, replace(each, stubs=stubs or each.stubs), self._at.at
                ).changes
            ]
        except GraphError as error:
            raise _refused(error) from error


_VERBS = {"added": Verb.ADDED, "updated": Verb.CHANGED, "withdrawn": Verb.WITHDRAWN}


_UNKNOWN = "UnknownAsset"


def _refused(error: GraphError) -> Refused:
    """With the code that a service gives."""
    return Refused(str(error), _UNKNOWN if isinstance(error, NotFound) else type(error).__name__)


def _opened(file: Path) -> Any:
    """Its lines; unpacked where it is packed, whatever its name."""
    with file.open("rb") as begun:
        packed = begun.read(2) == b"\x1f\x8b"
    return gzip.open(file) if packed else file.open("rb")
