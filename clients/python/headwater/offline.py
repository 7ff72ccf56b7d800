"""Answers from an exported graph, without a service: the same functions that a service calls, of the extra `headwater[offline]`.

This is the one module that imports them.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headwater.errors import GraphUnreadable, Refused

if TYPE_CHECKING:
    from headwater.asked import Question

try:
    import numpy as np
    from graph.changes import Change
    from graph.check.answer import Assets, answer, document, projects
    from graph.check.judge import judge
    from graph.errors import GraphError, InvalidInput
    from graph.exported import USAGE_DAYS, Exported
    from graph.impact import when_felt
    from graph.importers.project import read_project
    from graph.keys import AssetKey, AssetKind
    from graph.model import Assertion, Basis, Subject, Timing
    from graph.neighbours import arrows_walked
    from graph.plan import plan_registration
    from graph.summary import COLUMNS, table
    from graph.time import moment
    from graph.topology import KIND_CODE
    from graph.usage import day_of
    from graph.walk import AssetFilter, Direction, FlowFilter, Follow, selected, walk
except ImportError as error:
    if (error.name or "").partition(".")[0] not in {"graph", "numpy", "numba", "scipy", "orjson", "sqlglot"}:
        raise
    raise GraphUnreadable(
        f"an exported graph is read by what is not installed here ({error.name}): pip install 'headwater[offline]'"
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
        self._view = self._exported.tables().view()
        self._at = self._exported.moment

    def check(self, base: Sequence[Json], head: Sequence[Json]) -> Json:
        """As `Client.check`. Raises Refused."""
        try:
            before, after = projects(*([document(each) for each in version] for version in (base, head)))
            judged = judge(self._view, self._at, before, after, self._believed)
        except GraphError as error:
            raise Refused(str(error), type(error).__name__) from error
        return answer(judged, self._view, self._believed, self._exported.usage)

    def _believed(self, subjects: Any) -> Mapping[Subject, tuple[Assertion, ...]]:
        return self._exported.believed(subjects)

    def lineage(self, question: Question, arrows: bool) -> Json:
        """As `asked.lineage`. Raises Refused; of now alone, which is when the file was written."""
        lineage, rows = self._walked(question)
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
                yield {**told.of(key), "hops": row["hops"], "when": row["when"]}

    def _walked(self, question: Question) -> tuple[Any, Any]:
        if question.at is not None or question.known_at is not None:
            raise Refused(
                "an exported graph is asked of when it was exported: --graph goes without --at", "InvalidInput"
            )
        flows, chosen = question.flows, question.select
        if flows.get("verified"):
            raise Refused("an exported graph is asked of all callers: --graph goes without --verified", "InvalidInput")
        try:
            lineage = walk(
                self._view,
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
            raise Refused(str(error), type(error).__name__) from error
        wanted = AssetFilter(
            [AssetKind[each] for each in chosen.get("kinds", ())],
            chosen.get("namespaces", ()),
            chosen.get("owners", ()),
            chosen.get("tags", ()),
            chosen.get("tiers", ()),
        )
        return lineage, selected(lineage, wanted)

    def _unidentified(self, lineage: Any) -> int:
        view, start = self._view, self._view.number(lineage.start)
        numbers = np.concatenate([np.array([start, *view.parts_of(start)], np.int64), lineage.assets])
        called = [KIND_CODE[kind] for kind in (AssetKind.DEPLOYMENT, AssetKind.FEATURE)]
        keys = {view.key(number) for number in numbers[np.isin(view.kind[numbers], called)].tolist()}
        since = day_of(self._at.at) - USAGE_DAYS + 1
        used = self._exported.usage(keys, since)
        return sum(each.calls for each in used if each.reader is None and each.source in keys)

    def plan(self, documents: Sequence[Json]) -> Json:
        """{added, updated, withdrawn, plan}: what applying the documents would change. Raises Refused."""
        try:
            registrations = read_project([document(each) for each in documents]).registrations
            changes: list[Change] = [
                change
                for each in registrations
                for change in plan_registration(self._exported, each, self._at.at).changes
            ]
        except GraphError as error:
            raise Refused(str(error), type(error).__name__) from error
        plan = [{"verb": each.verb_at(self._at.at).value, "subject": str(each.subject)} for each in changes]
        verbs = [each["verb"] for each in plan]
        counted = {
            name: verbs.count(verb)
            for name, verb in (("added", "ADDED"), ("updated", "CHANGED"), ("withdrawn", "WITHDRAWN"))
        }
        return {"changed": bool(plan), "revision": self._at.revision, **counted, "plan": plan}


def _opened(file: Path) -> Any:
    """Its lines; unpacked where it is packed, whatever its name."""
    with file.open("rb") as begun:
        packed = begun.read(2) == b"\x1f\x8b"
    return gzip.open(file) if packed else file.open("rb")
