"""What two versions of a repository say, compared: which assets are gone, renamed, new, or said to be otherwise."""

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cached_property

from graph.check.definitions import columns_redefined, with_names
from graph.check.differences import differences
from graph.check.known import Known
from graph.check.side import Side
from graph.check.signatures import signature_differences
from graph.check.types import type_differences
from graph.check.verdicts import ORDER, WORST, Alteration, Cure, Difference, Verdict
from graph.importers.project import Place
from graph.keys import AssetKey, AssetKind
from graph.model import Assertion, Attributes, Basis, Flow, Json, Relationship, implied_flows
from graph.remarks import is_remark


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


@dataclass(frozen=True)
class Change:
    before: Side
    after: Side
    known: Known

    def altered(self) -> list[Altered]:
        return [*self._gone(), *self._new(), *self._kept()]

    @cached_property
    def removed(self) -> Mapping[AssetKey, list[str]]:
        """What the new version says no more, with the other origins that still say that it is there."""
        before, after = self.before.firm, self.after.firm
        keys = {key for key in self.before.assets if key not in (after if key in before else self.after.assets)}
        said = self.known.believed(keys)
        found = {key: self._asserted_by(said.get(key, ())) for key in keys}
        for key in before.keys() & after.keys():
            if not before[key] <= after[key] and (others := before[key] & after[key]):
                found[key] = sorted(others)
        return found

    @cached_property
    def gone(self) -> Set[AssetKey]:
        return {key for key, others in self.removed.items() if not others}

    def given_up(self) -> list[Flow]:
        """The flows that their readers give up; those that their writers take along are missed.

        Whatever is declared beside it, a definition that stays as it is still reads what it names.
        """
        kept = {flow for flow in self.before.said if flow in self.before.inferred or flow.source in self.removed}
        kept = {flow for flow in kept if self._still_names(flow)}
        kept |= {also for flow in kept for also in implied_flows(flow)}
        gone = self.before.flows - self.after.flows - kept
        return [flow for flow in gone if not self._lost(flow) and not self._is_renamed_job(flow)]

    def left_by_training(self) -> list[tuple[AssetKey, AssetKey]]:
        """Sources that jobs no longer name among their inputs: their next run reads them no more, whatever the last one read."""
        jobs = self.before.assets.keys() & self.after.assets.keys()
        return [
            (flow.source, key)
            for key in jobs
            if key.kind is AssetKind.JOB and self.after.into.get(key)
            for flow in self.before.into.get(key, set()) - self.after.into[key]
        ]

    def _still_names(self, flow: Flow) -> bool:
        reader = flow.via or (flow.source if flow.source.kind is AssetKind.JOB else flow.target)
        before, after = (self._defined(side, reader) for side in (self.before, self.after))
        return before is not None and before == after and _names(before, flow.source)

    def _defined(self, side: Side, key: AssetKey) -> Json:
        """The definition of an asset, or of what it is a part of."""
        own = side.assets.get(key, {}).get("definition")
        return side.assets.get(key.container, {}).get("definition") if own is None and key.container else own

    def _is_renamed_job(self, flow: Flow) -> bool:
        return any(end.kind is AssetKind.JOB and end in self.renames for end in flow if end)

    def _asserted_by(self, said: Iterable[Assertion]) -> list[str]:
        at = self.known.moment.at
        firm = {
            each.origin
            for each in said
            if each.valid.holds_at(at) and each.basis in _KNOW_WHAT_IS and not is_remark(each.origin)
        }
        return sorted(firm - self.known.origins)

    # What comes and goes

    def _gone(self) -> Iterable[Altered]:
        for key, others in self.removed.items():
            if key.container in self.removed:
                continue
            place, new = self._place_without(key), self.renames.get(key)
            if (unread := self.after.project.unread.get(key.container or key)) is not None:
                reason = f"whether it is still there cannot be told: {unread}"
                lacks = Difference("presence", True, False, Verdict.UNKNOWN, reason)
                yield Altered(key, Alteration.REMOVED, (lacks,), reason, place=place)
            elif others:
                reason = f"it is declared no longer, but {' and '.join(others)} still says that it is there"
                lacks = Difference("presence", True, False, Verdict.UNKNOWN, reason)
                yield Altered(key, Alteration.REMOVED, (lacks,), reason, place=place)
            elif new is not None and key.kind is AssetKind.JOB:
                reason = f"it is called {new.name} now, and does what it did"
                named = Difference("name", key.name, new.name, Verdict.NONE, reason)
                yield Altered(key, Alteration.RENAMED, (named,), reason, new, self._place(new))
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
                writes = frozenset(side.out_of.get(key, ())) if key.kind is AssetKind.JOB else None
                if inside or flows or writes:
                    form = key.kind, key.namespace, _form(side.assets[key]), inside, flows, writes
                    found.setdefault(form, []).append(key)
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
                continue
            yield from self._reordered(key)
            found = self._differences(key)
            if of_columns := [*self._of_columns(key, found)]:
                found = [each for each in found if each.attribute != "definition"]
                yield from of_columns if not found else of_columns[:-1]
            if found:
                yield Altered(key, _alteration(found), tuple(found), "", place=self._place_of(key, found))
            elif (unseen := self._unseen(key)) is not None:
                untold = Difference("definition", None, None, Verdict.UNKNOWN, unseen)
                yield Altered(key, Alteration.REDEFINED, (untold,), unseen, place=self._place(key))

    def _unseen(self, key: AssetKey) -> str | None:
        """Why the old version could not be seen, of what the new one tells."""
        before, after = self.before.project.unread, self.after.project.unread
        if key.container in before or key in after:
            return None
        return before.get(key)

    def _differences(self, key: AssetKey) -> list[Difference]:
        before, after = self.before.assets.get(key, {}), self.after.assets.get(key, {})
        if repr(before) == repr(after):  # most are; `==` takes True for 1
            return self._inflow(key)
        if before.get("signature") != after.get("signature"):
            before, after = (
                {**side, "signature": self._with_new_features(side.get("signature"))} for side in (before, after)
            )
        found = differences(key, before, after)
        if any(each.attribute == "definition" and each.verdict is not Verdict.NONE for each in found):
            before = {**before, "definition": self._with_new_names(key, before["definition"])}
            found = differences(key, before, after)
        if key.kind is AssetKind.MODEL_VERSION and self._carried(key):
            found = [each for each in found if not each.attribute.startswith("signature")]
            found += signature_differences(before.get("signature"), after.get("signature"), True)
        if key.is_alias and before.get("version") != after.get("version"):
            was, will = (self._version(side, key) for side in (self.before, self.after))
            found += self._swapped(was, will, self._carried(key))
        return [*found, *self._inflow(key)]

    def _of_columns(self, key: AssetKey, found: Sequence[Difference]) -> Iterable[Altered]:
        """What is defined by a query of which some columns alone come otherwise: those are what differs, not all of it."""
        definition = next((each for each in found if each.attribute == "definition"), None)
        if definition is None or definition.verdict not in (Verdict.BEHAVIOURAL, Verdict.ADDITIVE):
            return
        changed = columns_redefined(definition.before, definition.after)
        if changed is None:
            changed = columns_redefined(self._with_new_names(key, definition.before), definition.after)
        outputs = [key] if key.kind is AssetKind.DATASET else [*self._written(key)]
        if changed is None or len(outputs) != 1:
            return
        parts = {str(part.part).casefold(): part for part in self.after.parts.get(outputs[0], ())}
        if not {name.casefold() for name in changed} <= parts.keys() | self._gone_parts(outputs[0]):
            return
        reason = f"{key.name} computes it in another way: its values may differ"
        for name in sorted(changed):
            part = parts.get(name.casefold())
            if part in self.before.assets and part is not None:
                differs = definition._replace(reason=reason)
                yield Altered(part, Alteration.REDEFINED, (differs,), "", place=self._place_of(key, [definition]))
        yield Altered(key, Alteration.REDEFINED, (definition._replace(verdict=Verdict.NONE),), reason)

    def _written(self, job: AssetKey) -> set[AssetKey]:
        return {each.container or each for each in self.after.out_of.get(job, ()) if each.kind is not AssetKind.FEATURE}

    def _gone_parts(self, container: AssetKey) -> Set[str]:
        return {str(part.part).casefold() for part in self.before.parts.get(container, ()) if part in self.removed}

    def _with_new_features(self, signature: Json) -> Json:
        """A signature with today's names of the features that its inputs are."""
        if isinstance(signature, list):
            return [self._with_new_features(each) for each in signature]
        if not isinstance(signature, dict):
            return signature
        named = {name: self._with_new_features(value) for name, value in signature.items()}
        if isinstance(feature := signature.get("feature"), str):
            named["feature"] = str(self._new_key(AssetKey.parse(feature)))
        return named

    def _with_new_names(self, key: AssetKey, definition: Json) -> Json:
        """A definition as it would read if nothing but names had changed."""
        reads = [flow.source for flow in self.before.into.get(key, ())]
        reads += [part for each in reads for part in self.before.parts.get(each, ())]
        gives = [*self.before.parts.get(key, ())]
        gives += [part for each in self.before.out_of.get(key, ()) for part in self.before.parts.get(each, ())]
        return with_names(definition, self._new_names(reads), self._new_names(gives))

    def _new_names(self, keys: Iterable[AssetKey]) -> Mapping[str, str]:
        moved = ((old, self._new_key(old)) for old in keys)
        return {old.part or old.name: new.part or new.name for old, new in moved if new != old}

    def _inflow(self, key: AssetKey) -> list[Difference]:
        """What flows into an asset, where it differs; what a writer takes with it when it goes is that writer's finding."""
        sides = [self.before.into.get(key, set()), self.after.into.get(key, set())]
        if sides[0] == sides[1] and not any(flow.source.is_alias or self._lost(flow) for flow in sides[0]):
            return []
        before = {self._canonical(flow): flow for flow in sides[0] if not self._lost(flow)}
        after = {self._canonical(flow, self.after): flow for flow in sides[1]}
        stated = {**after, **before}
        differing = {each for each in before.keys() ^ after if not self.known.is_told_by_others(stated[each])}
        defined = [self._defined(side, key) for side in (self.before, self.after)]
        if defined[0] is not None and defined[0] == defined[1]:  # it takes of its sources what it names
            named = [each for each in differing if each.source.container is None or _names(defined[0], each.source)]
            differing = {*named} if before.keys() & after else differing
        if not differing:
            return []
        was, will = ([*sorted({str(flow.source) for flow in side})] for side in sides)
        reason = "it is made from other things"
        if _is_written(before.values()) and not _is_written(after.values()) and not self.known.is_written(key):
            reason = "nobody writes it any more: what is there stays as it is"
        found = [Difference("flows", [*was], [*will], Verdict.BEHAVIOURAL, reason)]
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

    def _reordered(self, key: AssetKey) -> Iterable[Altered]:
        """What those find who read a table by position."""
        if key.kind is not AssetKind.DATASET:
            return
        before, after = (
            [part for part in side.parts.get(key, ()) if side.assets[part].get("alias_of") is None]
            for side in (self.before, self.after)
        )
        if before == after:
            return
        moved = [(old, new) for old, new in zip(before, after, strict=False) if self._new_key(old) != new]
        if not before or not after or (not moved and len(before) == len(after)):
            return
        if len(after) < len(before) or any(map(self._is_retyped, moved)):
            verdict, reason = Verdict.BREAKING, "by position, other columns are found where its columns were"
        elif moved:
            verdict, reason = Verdict.BEHAVIOURAL, "by position, columns of the same type are taken for each other"
        else:
            verdict, reason = Verdict.ADDITIVE, "by position, columns come behind those that there were"
        was, will = ([str(part.part) for part in order] for order in (before, after))
        differs = Difference(ORDER, [*was], [*will], verdict, reason)
        yield Altered(key, Alteration.RETYPED, (differs,), "", place=self._place(key))

    def _is_retyped(self, moved: tuple[AssetKey, AssetKey]) -> bool:
        old, new = moved
        was, is_now = self.before.assets[old].get("type"), self.after.assets[new].get("type")
        if was is None or is_now is None:
            return True
        return any(each.verdict is Verdict.BREAKING for each in type_differences("type", str(was), str(is_now)))

    def _canonical(self, flow: Flow, side: Side | None = None) -> Flow:
        """A flow with today's names, and the version in the place of the alias that names it."""
        source = self._version(side or self.before, flow.source) or flow.source
        return Flow(self._new_key(source), flow.target, flow.via and self._new_key(flow.via))

    def _new_key(self, key: AssetKey) -> AssetKey:
        target = self._alias_target(key) or self.renames.get(key)
        return target if target is not None and self._is_the_same(key, target) else key

    def _is_the_same(self, old: AssetKey, new: AssetKey) -> bool:
        """Whether what is alike holds the same, for all that can be told: made the same way, in the same place, or called
        much the same.
        """
        made = [side.assets.get(key, {}).get("definition") for side, key in ((self.before, old), (self.after, new))]
        if (made[0] is not None and made[0] == made[1]) or self.before.into.get(old) or self.after.assets.get(old):
            return True
        if old.container is not None:
            places = [
                side.parts[each.container].index(each)
                for side, each in ((self.before, old), (self.after, new))
                if each.container
            ]
            if len(places) == 2 and places[0] == places[1]:
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
        return writer in self.removed and not self._is_renamed_job(flow)

    # Places

    def _place(self, key: AssetKey) -> Place | None:
        return self.after.project.places.get(key) or self.before.project.places.get(key)

    def _place_of(self, key: AssetKey, found: Sequence[Difference]) -> Place | None:
        """Where what differs is said: in the file that says it, and there in the first line that differs."""
        place, projects = self._place(key), (self.before.project, self.after.project)
        worst = min(found, key=lambda each: WORST.index(each.verdict))
        file = projects[1].files.get(key, {}).get(worst.attribute.partition(".")[0])
        if file is not None:
            place = Place(file, "", 1)
        if place is None or place.line is None:
            return place
        before, after = (each.texts.get(place.document, "").splitlines() for each in projects)
        ahead = (at for at, line in enumerate(after, 1) if at >= place.line and line not in before)
        return place._replace(line=next(ahead, place.line))

    def _place_without(self, key: AssetKey) -> Place | None:
        """Where the new version would have it: at its container, else where the old one had it."""
        place = self.after.project.places.get(key.container) if key.container else None
        return place or self.before.project.places.get(key)


def _names(definition: Json, key: AssetKey) -> bool:
    name = key.part or key.name
    return with_names(definition, {name: f"{name}_"}, {}) != with_names(definition, {f"{name}_": name}, {})


def _is_written(flows: Iterable[Flow]) -> bool:
    return any(flow.type.relationship is Relationship.WRITES for flow in flows)


_KNOW_WHAT_IS = (Basis.DECLARED, Basis.IMPORTED)
"""Who saw a thing, or read of it, says that it was there, not that it stays."""
_MUCH_THE_SAME = 0.5
_RENAMED = {AssetKind.COLUMN, AssetKind.FEATURE}
_TELLING = ("type", "nullable", "unit", "default", "entities", "signature", "url", "definition", "artifact", "version")


def _form(attributes: Attributes) -> object:
    """What makes two parts alike."""
    return tuple((name, str(attributes.get(name))) for name in _TELLING)


def _alteration(found: Sequence[Difference]) -> Alteration:
    retyped = any(each.verdict is Verdict.BREAKING or each.attribute in _CONTRACT for each in found)
    return Alteration.RETYPED if retyped else Alteration.REDEFINED


_CONTRACT = {"type", ORDER}
