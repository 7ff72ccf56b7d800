"""What two versions of a repository say, compared: which assets are gone, renamed, new, or said to be otherwise."""

import re
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cached_property

import numpy as np

from graph.check.differences import differences
from graph.check.signatures import signature_differences
from graph.check.spread import ORDER, Believed
from graph.check.verdicts import Alteration, Cure, Difference, Verdict
from graph.errors import NotFound
from graph.importers.project import Place, Project
from graph.keys import AssetKey, AssetKind
from graph.model import Assertion, Attributes, Flow, Json, Relationship, implied_flows
from graph.ports import Step
from graph.remarks import is_remark
from graph.topology import KIND_CODE, Ints, Moment, View


@dataclass(frozen=True)
class Altered:
    """One asset that differs, before anybody asked whom it reaches. A container that comes or goes stands for its parts."""

    asset: AssetKey
    alteration: Alteration
    differences: tuple[Difference, ...]
    """Each with what it means to a direct reader."""
    reason: str
    """Of what comes and goes; else empty: the differences tell."""
    renamed_to: AssetKey | None = None
    place: Place | None = None

    @property
    def verdict(self) -> Verdict:
        return min((each.verdict for each in self.differences), key=WORST.index, default=Verdict.NONE)


WORST = tuple(Verdict)


@dataclass(frozen=True)
class Side:
    """One version of a repository."""

    project: Project
    assets: Mapping[AssetKey, Attributes]
    said: Mapping[Flow, Attributes]
    """The flows that are stated, with what their readers say of them."""

    @classmethod
    def of(cls, project: Project) -> "Side":
        assets: dict[AssetKey, Attributes] = {}
        flows: dict[Flow, Attributes] = {}
        for registration in project.registrations:
            for asset in registration.assets:
                assets[asset.key] = {**assets.get(asset.key, {}), **asset.attributes}
            for each in registration.flows:
                flows[each.flow] = {**flows.get(each.flow, {}), **each.attributes}
        return cls(project, assets, flows)

    def targets(self) -> set[AssetKey]:
        return {flow.target for flow in self.said}

    @cached_property
    def flows(self) -> frozenset[Flow]:
        """Those stated, and those that column lineage implies."""
        return frozenset(self.said).union(also for flow in self.said for also in implied_flows(flow))

    @cached_property
    def into(self) -> Mapping[AssetKey, set[Flow]]:
        """What is stated to flow into each. A job that no longer derives one of its columns derives the others as before."""
        found: dict[AssetKey, set[Flow]] = {}
        for flow in self.said:
            found.setdefault(flow.target, set()).add(flow)
        return found

    @cached_property
    def parts(self) -> Mapping[AssetKey, list[AssetKey]]:
        """Of each container, in the order in which they are said."""
        found: dict[AssetKey, list[AssetKey]] = {}
        for key in self.assets:
            if key.container is not None:
                found.setdefault(key.container, []).append(key)
        return found


@dataclass(frozen=True)
class Change:
    before: Side
    after: Side
    known: "Known"

    def altered(self) -> list[Altered]:
        return [*self._gone(), *self._new(), *self._kept()]

    @cached_property
    def removed(self) -> Mapping[AssetKey, list[str]]:
        """What the new version says no more, with the other origins that still say that it is there."""
        keys = self.before.assets.keys() - self.after.assets.keys()
        said = self.known.believed(keys)
        return {key: self._asserted_by(said.get(key, ())) for key in keys}

    @cached_property
    def gone(self) -> Set[AssetKey]:
        return {key for key, others in self.removed.items() if not others}

    def given_up(self) -> list[Flow]:
        """The flows that their readers give up; those that their writers take along are missed."""
        return [flow for flow in self.before.flows - self.after.flows if not self._lost(flow)]

    def _asserted_by(self, said: Iterable[Assertion]) -> list[str]:
        at = self.known.moment.at
        return sorted(
            {each.origin for each in said if each.valid.holds_at(at) and not is_remark(each.origin)}
            - self.known.origins
        )

    # What comes and goes

    def _gone(self) -> Iterable[Altered]:
        for key, others in self.removed.items():
            if key.container in self.removed:
                continue
            place, new = self._place_without(key), self.renames.get(key)
            if others:
                reason = f"it is declared no longer, but {' and '.join(others)} still says that it is there"
                lacks = Difference("presence", True, False, Verdict.UNKNOWN, reason)
                yield Altered(key, Alteration.REMOVED, (lacks,), reason, place=place)
            elif new is not None:
                old_name, new_name = (each.part or each.name for each in (key, new))
                reason = f"its readers look for {old_name}, and find {new_name}"
                cures = frozenset({Cure.DEFAULT, Cure.ALIAS})
                lacks = Difference("name", old_name, new_name, Verdict.BREAKING, reason, cures)
                yield Altered(key, Alteration.RENAMED, (lacks,), reason, new, self._place(new))
            else:
                reason = "its readers find nothing in its place"
                lacks = Difference("presence", True, False, Verdict.BREAKING, reason, frozenset({Cure.DEFAULT}))
                yield Altered(key, Alteration.REMOVED, (lacks,), reason, place=place)

    def _new(self) -> Iterable[Altered]:
        reason = "it is new; nothing that was there differs"
        renamed = {self._alias_target(old) for old in self.before.assets} | {*self.renames.values()}
        for key in self.after.assets.keys() - self.before.assets.keys() - renamed:
            if key.container in self.after.assets and key.container not in self.before.assets:
                continue
            if self._alias_target(key) is not None:
                continue
            comes = Difference("presence", False, True, Verdict.ADDITIVE, reason)
            yield Altered(key, Alteration.ADDED, (comes,), reason, place=self._place(key))

    @cached_property
    def renames(self) -> Mapping[AssetKey, AssetKey]:
        """What went, each with the one that came and is alike in all but the name; ambiguous ones left out."""
        went, came = self._alike(self.before, self.after), self._alike(self.after, self.before)
        found = {
            keys[0]: came[form][0] for form, keys in went.items() if len(keys) == 1 and len(came.get(form, ())) == 1
        }
        for old, new in [*found.items()]:  # and their parts with them
            found |= {
                part: new.part_key(part.part)
                for part in self.before.parts.get(old, ())
                if part.part and "." not in part.part
            }
        return found

    def _alike(self, side: Side, other: Side) -> dict[object, list[AssetKey]]:
        found: dict[object, list[AssetKey]] = {}
        for key in side.assets.keys() - other.assets.keys():
            container = key.container
            if container is None:
                parts = side.parts.get(key, [])
                inside = frozenset((part.part, _form(side.assets[part])) for part in parts)
                flows = frozenset((flow.source, flow.via) for flow in side.into.get(key, ()))
                if inside or flows:
                    found.setdefault((key.kind, key.namespace, _form(side.assets[key]), inside, flows), []).append(key)
            elif key.kind in _RENAMED and container in side.assets and container in other.assets:
                flows = frozenset((flow.source, flow.via) for flow in side.into.get(key, ()))
                found.setdefault((container, _form(side.assets[key]), flows), []).append(key)
        return found

    # What stays

    def _kept(self) -> Iterable[Altered]:
        kept = (self.before.assets.keys() & self.after.assets.keys()) | self.before.targets() | self.after.targets()
        for key in kept:
            if key in self.removed or (key not in self.before.assets and key in self.after.assets):
                continue
            if (target := self._alias_target(key)) is not None and self._alias_target(key, self.before) is None:
                found = differences(key, self.before.assets.get(key, {}), self.after.assets.get(target, {}))
                reason = f"it is {target.part} now, and the old name still answers"
                named = Difference("name", key.part, target.part, Verdict.ADDITIVE, reason)
                yield Altered(key, Alteration.RENAMED, (*found, named), reason, target, self._place(target))
            elif found := self._differences(key):
                yield Altered(key, _alteration(found), tuple(found), "", place=self._place(key))

    def _differences(self, key: AssetKey) -> list[Difference]:
        before, after = self.before.assets.get(key, {}), self.after.assets.get(key, {})
        if (names := self._names_read(key)) and before.get("definition") is not None:
            before = {**before, "definition": _with_names(before["definition"], names)}
        found = differences(key, before, after)
        if key.is_alias and before.get("version") != after.get("version"):
            was, will = (self._version(side, key) for side in (self.before, self.after))
            found += self._swapped(was, will, self._carried(key))
        return [*found, *self._inflow(key), *self._order(key)]

    def _names_read(self, key: AssetKey) -> Mapping[str, str]:
        """What the definition of an asset may name that is called otherwise now, with its new name."""
        sources = {flow.source for flow in self.before.into.get(key, ())}
        read = [*sources, *(part for each in sources for part in self.before.parts.get(each, ()))]
        moved = ((old, self._new_key(old)) for old in read)
        return {old.part or old.name: new.part or new.name for old, new in moved if new != old}

    def _inflow(self, key: AssetKey) -> list[Difference]:
        """What flows into an asset, where it differs; what a writer takes with it when it goes is that writer's finding."""
        before = {flow for flow in self.before.into.get(key, set()) if not self._lost(flow)}
        after = self.after.into.get(key, set())
        moved = {self._renamed(flow): flow for flow in before}
        differing = (moved.keys() ^ after) - {
            flow for flow in moved.keys() ^ after if self.known.is_told_by_others(moved.get(flow, flow))
        }
        if not differing:
            return []
        sides = self.before.into.get(key, set()), after
        told: list[list[Json]] = [[*sorted({str(flow.source) for flow in side})] for side in sides]
        found = [Difference("flows", told[0], told[1], Verdict.BEHAVIOURAL, "it is made from other things")]
        served = [[flow.source for flow in side if flow.type.relationship is Relationship.SERVED_BY] for side in sides]
        if all(len(side) == 1 for side in served) and served[0] != served[1]:
            before_it, after_it = (
                self._version(side, keys[0]) for side, keys in zip((self.before, self.after), served, strict=True)
            )
            found += self._swapped(before_it, after_it, self._carried(key))
        return found

    def _carried(self, served: AssetKey) -> bool:
        """Whether requests carry the features, to a deployment or to any that a version (or alias) is served by."""
        deployments = [served] if served.kind is AssetKind.DEPLOYMENT else self.known.served_by(served)
        return any(self._attributes(self.after, each).get("features_from") == "request" for each in deployments)

    def _swapped(self, before: AssetKey | None, after: AssetKey | None, carried: bool) -> list[Difference]:
        """What the other signature means, where one model version takes another's place."""
        if before is None or after is None or before == after:
            return []
        old, new = (
            self._attributes(side, key).get("signature") for side, key in ((self.before, before), (self.after, after))
        )
        return signature_differences(old, new, carried)

    def _version(self, side: Side, key: AssetKey) -> AssetKey | None:
        """The version that an alias names; a version itself."""
        if not key.is_alias:
            return key if key.kind is AssetKind.MODEL_VERSION else None
        version = self._attributes(side, key).get("version")
        return key.container.part_key(str(version)) if version is not None and key.container else None

    def _attributes(self, side: Side, key: AssetKey) -> Attributes:
        """As the repository says, else as the graph has it."""
        if key in side.assets:
            return side.assets[key]
        said: dict[str, Json] = {}
        for each in self.known.believed([key]).get(key, ()):
            if each.valid.holds_at(self.known.moment.at):
                said |= each.attributes
        return said

    def _order(self, key: AssetKey) -> list[Difference]:
        """Of the parts that both versions have, those of a table alone: all others are found by name."""
        if key.kind is not AssetKind.DATASET:
            return []
        orders = [self.before.parts.get(key, []), self.after.parts.get(key, [])]
        both = {*orders[0]} & {*orders[1]}
        before, after = ([str(part.part) for part in order if part in both] for order in orders)
        if before == after:
            return []
        reason = "its columns come in another order, and it is not told whether they are read by name"
        return [Difference(ORDER, [*before], [*after], Verdict.UNKNOWN, reason)]

    def _renamed(self, flow: Flow) -> Flow:
        return Flow(self._new_key(flow.source), flow.target, flow.via and self._new_key(flow.via))

    def _new_key(self, key: AssetKey) -> AssetKey:
        target = self._alias_target(key) or self.renames.get(key)
        return target if target is not None and self._is_the_same(key, target) else key

    def _is_the_same(self, old: AssetKey, new: AssetKey) -> bool:
        """Whether what is alike holds the same, for all that can be told: made the same way, or called much the same."""
        made = [side.assets.get(key, {}).get("definition") for side, key in ((self.before, old), (self.after, new))]
        if (made[0] is not None and made[0] == made[1]) or self.before.into.get(old) or self.after.assets.get(old):
            return True
        was, is_now = ((each.part or each.name).casefold() for each in (old, new))
        return SequenceMatcher(None, was, is_now).ratio() >= _MUCH_THE_SAME

    def _alias_target(self, key: AssetKey, side: Side | None = None) -> AssetKey | None:
        """Of an old name that still answers: the part that has the new one."""
        name = (side or self.after).assets.get(key, {}).get("alias_of")
        return key.container.part_key(*str(name).split(".")) if name is not None and key.container else None

    def _lost(self, flow: Flow) -> bool:
        """Whether a flow goes because what told it goes: its writer, not its reader. Its target then misses it."""
        writer = flow.via or (flow.source if flow.type.relationship is Relationship.WRITES else None)
        return writer in self.removed

    # Places

    def _place(self, key: AssetKey) -> Place | None:
        return self.after.project.places.get(key) or self.before.project.places.get(key)

    def _place_without(self, key: AssetKey) -> Place | None:
        """Where the new version would have it: at its container, else where the old one had it."""
        place = self.after.project.places.get(key.container) if key.container else None
        return place or self.before.project.places.get(key)


_MUCH_THE_SAME = 0.5
_RENAMED = {AssetKind.COLUMN, AssetKind.FEATURE}
_TELLING = ("type", "nullable", "unit", "default", "entities", "signature", "url", "definition", "artifact", "version")


def _with_names(definition: Json, names: Mapping[str, str]) -> Json:
    """A definition as it would read if nothing but these names had changed."""
    if isinstance(definition, dict):
        return {name: _with_names(value, names) if name in _TEXTS else value for name, value in definition.items()}
    if not isinstance(definition, str):
        return definition
    word = re.compile(r"(?<!\w)(?:" + "|".join(map(re.escape, names)) + r")(?!\w)")
    return word.sub(lambda found: names[found[0]], definition)


_TEXTS = {"sql", "python"}


def _form(attributes: Attributes) -> object:
    """What makes two parts alike."""
    return tuple((name, str(attributes.get(name))) for name in _TELLING)


def _alteration(found: Sequence[Difference]) -> Alteration:
    retyped = any(each.verdict is Verdict.BREAKING or each.attribute in _CONTRACT for each in found)
    return Alteration.RETYPED if retyped else Alteration.REDEFINED


_CONTRACT = {"type", ORDER}


@dataclass(frozen=True)
class Known:
    """What the graph knows at a moment. `origins` are those of the repository itself."""

    view: View
    moment: Moment
    origins: Set[str]
    believed: Believed

    def is_told_by_others(self, flow: Flow) -> bool:
        rows = self._rows(flow)
        return bool((~np.isin(self.view.rows["origin"][rows], self._own)).any())

    def without(self, flows: Iterable[Flow]) -> View:
        """The graph as if `origins` had never told of `flows`; what others tell of them stays."""
        rows = np.concatenate([np.empty(0, np.int64), *map(self._rows, flows)])
        return self.view.forgetting(rows[np.isin(self.view.rows["origin"][rows], self._own)])

    def served_by(self, key: AssetKey) -> list[AssetKey]:
        """The deployments that serve a version, or what an alias names."""
        view = self.view
        if str(key) not in view.numbers:
            return []
        rows = view.holding(view.down.of_many(view.whole[[view.number(key)]]), self.moment)
        targets = np.unique(view.vertex_asset[view.rows["target"][rows]])
        return [view.key(each) for each in targets.tolist() if view.kind[each] == KIND_CODE[AssetKind.DEPLOYMENT]]

    def _rows(self, flow: Flow) -> Ints:
        """The rows that tell of a flow now."""
        view = self.view
        try:
            source, target, via = (view.number(end) if end else 0 for end in flow)
        except NotFound:
            return np.empty(0, np.int64)
        vertices = np.unique(np.array([view.whole[target], view.any[target]]))
        rows = view.holding(view.up.of_many(vertices), self.moment)
        ours = (view.vertex_asset[view.rows["source"][rows]] == source) & (view.rows["via"][rows] == via)
        found: Ints = rows[ours & (view.rows["step"][rows] & Step.FLOW != 0)]
        return found

    @cached_property
    def _own(self) -> list[int]:
        return [code for code, name in enumerate(self.view.origins) if name in self.origins]
