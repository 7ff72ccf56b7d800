"""The direct readers of what changed, and what the differences are to each: its concern, or not, by what it says of its flow."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

import numpy as np

from graph.check.ground import Ground, can_do_without
from graph.check.verdicts import ORDER, Cure, Difference, Verdict
from graph.keys import AssetKey, AssetKind
from graph.model import FLOWS, Attributes, Json, Relationship
from graph.ports import Port, Step
from graph.topology import ALIAS_CODE, KIND_CODE, KINDS, Bools, Ints, View
from graph.walk import Follow, located


class Concern(IntEnum):
    """What a difference is to the reader of one flow."""

    NOT = 0
    CURED = 1
    """It would break, but for what its reader says of the flow."""
    FELT = 2


class Direct(NamedTuple):
    """The flows by which the changed thing itself is read, and what the differences are to each."""

    rows: Ints
    concern: Mapping[Verdict, Ints]
    """By row a `Concern`: the most of all differences of that verdict."""
    trains: Ints
    """The runs of a job that itself changed, by the rows of steps that lead there: what the next one does."""
    near: Ints
    """The vertices of all that goes with the changed thing when it is lost, its container and their parts among them."""
    alike: Ints
    """Those of it that get other values when it does."""
    told: Mapping[Verdict, Bools]
    """By row whether it leads to a deployment of which nothing but the signature differs: what that means to whoever it is
    passed on to, the other rows say."""

    def where(self, verdict: Verdict, concern: Concern) -> Ints:
        found: Ints = self.rows[self.concern[verdict] == concern]
        return found

    def means(self, verdict: Verdict) -> bool:
        return bool((self.concern[verdict] != Concern.NOT).any()) or (bool(len(self.trains)) and verdict in _TOLD)

    @property
    def unconcerned(self) -> Ints:
        found: Ints = self.rows[np.all([self.concern[verdict] == Concern.NOT for verdict in _TOLD], axis=0)]
        return found


@dataclass
class DirectReaders:
    """Of `start`, which has the number `asset` in `view`."""

    ground: Ground
    start: AssetKey
    differences: Sequence[Difference]
    view: View
    asset: int

    def found(self) -> Direct:
        near, in_value = self._near(Follow.LOSS), self._near(Follow.VALUES)
        rows = self.ground.leaving(self.view, near)
        alike = np.isin(self.view.rows["source"][rows], in_value)
        relationships = self._relationships(rows)
        signed = any(each.attribute.startswith("signature") for each in self.differences)
        serving = np.array([each is Relationship.SERVED_BY for each in relationships], np.bool_)
        served = self.view.rows["target"][rows[serving]] if signed else rows[:0]
        # a signature is a promise to callers of who serves it, too
        onward = np.setdiff1d(self.ground.leaving(self.view, served), rows)
        rows, alike = np.concatenate([rows, onward]), np.concatenate([alike, np.ones(len(onward), np.bool_)])
        relationships += self._relationships(onward)
        readers = self.ground.readers(self.view, rows)
        needs = self._needs(rows)
        concern = {verdict: np.full(len(rows), Concern.NOT, np.int8) for verdict in Verdict}
        told = {verdict: np.isin(self.view.rows["target"][rows], served) for verdict in Verdict}
        for place, relationship in enumerate(relationships):
            reader = needs.get(int(rows[place])) or readers[place]
            for each in self.differences:
                verdict, felt = self._concern(each, reader, relationship, int(rows[place]))
                concern[verdict][place] = max(concern[verdict][place], felt)
                told[verdict][place] &= felt == Concern.NOT or each.attribute.startswith("signature")
        for verdict in (Verdict.BEHAVIOURAL, Verdict.ADDITIVE):
            concern[verdict][~alike] = Concern.NOT
        passed = self.ground.passed(self.view, near)
        trains = passed[self.view.rows["step"][passed] & (Step.FLOW | Step.BUILT) == Step.BUILT]
        return Direct(rows, concern, trains, near, in_value, told)

    def _near(self, follow: Follow) -> Ints:
        """What belongs to the changed thing: all that is reached from it by live steps, not by flows."""
        view, seen = self.view, self.view.whole[[self.asset]]
        ahead = seen
        while len(ahead):
            rows = self.ground.passed(self.view, ahead, follow)
            steps = rows[view.rows["step"][rows] & (Step.FLOW | Step.BUILT) == 0]
            ahead = np.setdiff1d(view.rows["target"][steps], seen)
            seen = np.concatenate([seen, ahead])
        return seen

    def _relationships(self, rows: Ints) -> list[Relationship | None]:
        view = self.view
        found = []
        for source, target in zip(view.rows["source"][rows].tolist(), view.rows["target"][rows].tolist(), strict=True):
            kinds = [int(view.kind[view.vertex_asset[vertex]]) for vertex in (source, target)]
            named = [AssetKind.MODEL_VERSION if kind == ALIAS_CODE else KINDS[kind] for kind in kinds]
            flow = FLOWS.get((named[0], named[1]))
            found.append(flow.relationship if flow else None)
        return found

    def _needs(self, rows: Ints) -> Mapping[int, Attributes]:
        """What a version's signature says of the feature that changed, where requests to the version carry it."""
        view = self.view
        implied = rows[view.vertex_port[view.rows["source"][rows]] == Port.REQUESTS]
        versions: dict[int, AssetKey] = {}
        for row in implied.tolist():
            key = view.key(int(view.vertex_asset[view.rows["source"][row]]))
            versions[row] = view.key(located(view, key, self.ground.moment)) if key.is_alias else key
        said = self.ground.believed([*{*versions.values()}]) if versions else {}
        found = {}
        for row, version in versions.items():
            tensors = [
                tensor
                for each in said.get(version, ())
                for tensor in _tensors(each.attributes.get("signature"), "inputs")
                if tensor.get("feature") in (str(self.start), str(self.start.container))
            ]
            found[row] = {"optional": True} if tensors and all(map(can_do_without, tensors)) else {"optional": False}
        return found

    def _concern(
        self, difference: Difference, reader: Attributes, relationship: Relationship | None, row: int
    ) -> tuple[Verdict, Concern]:
        verdict, attribute = difference.verdict, difference.attribute
        source = int(self.view.rows["source"][row])
        by_position = reader.get("by") == "position" and self.view.vertex_port[source] == Port.ANY
        is_own = self.view.vertex_asset[source] == self.asset
        if attribute == ORDER or (by_position and not is_own and attribute in _BY_NAME):
            return verdict, Concern.FELT if by_position and is_own and attribute == ORDER else Concern.NOT
        target = int(self.view.vertex_asset[self.view.rows["target"][row]])
        if attribute == "online" and self.view.kind[target] not in _ONLINE:
            return verdict, Concern.NOT
        is_asked = attribute.startswith(_OF_CALLERS)
        if is_asked and relationship is Relationship.WRITES:
            return verdict, Concern.NOT
        part = difference.part if is_own else self.start.part
        wants_more = is_asked and (difference.before is None or attribute.endswith("required"))  # of all who send
        if part is not None and not wants_more and not _uses(reader, part):
            return verdict, Concern.NOT
        if verdict is Verdict.BREAKING and _is_cured(reader, difference):
            return verdict, Concern.CURED
        return verdict, Concern.FELT


def _uses(reader: Attributes, part: str) -> bool:
    """Whether it uses a field, by what it says; a field within another, and what holds it, count."""
    fields = reader.get("fields")
    if not isinstance(fields, list):
        return True
    return any(f"{part}.".startswith(f"{each}.") or f"{each}.".startswith(f"{part}.") for each in fields)


def _is_cured(reader: Attributes, difference: Difference) -> bool:
    """Who can do without a thing runs on when it is gone or refuses; not when it comes in another type."""
    if Cure.CAST in difference.cures:
        return reader.get("cast") is not None
    if Cure.ALIAS in difference.cures and reader.get("alias") == difference.after:
        return True
    return can_do_without(reader) and not difference.attribute.endswith("type")


def _tensors(signature: Json, side: str) -> list[dict[str, Json]]:
    tensors = signature.get(side) if isinstance(signature, dict) else None
    return [each for each in tensors if isinstance(each, dict)] if isinstance(tensors, list) else []


_BY_NAME = ("presence", "name")
"""Differences of one part that its container's ORDER tells to those who read by position."""
_ONLINE = [
    KIND_CODE[kind] for kind in (AssetKind.DEPLOYMENT, AssetKind.CONSUMER, AssetKind.FEATURE, AssetKind.FEATURE_VIEW)
]
"""Who looks features up one by one, or is computed from those; jobs and trainings read them in bulk."""
_TOLD = (Verdict.BREAKING, Verdict.UNKNOWN, Verdict.BEHAVIOURAL, Verdict.ADDITIVE)
_OF_CALLERS = ("request", "signature.inputs", "url")
"""Differences that those alone feel who send something there."""
