"""Lineage said as simply as possible: slow, one moment at a time, plain dictionaries. What the index must agree with."""

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from graph.attributes import shown_attributes, values
from graph.impact import When
from graph.keys import AssetKey, AssetKind
from graph.model import FLOWS, REFINES_FIRST, Assertion, Basis, Flow, Json, Known, StoredAssertion, Timing
from graph.stores.contract import Store
from graph.time import FOREVER
from graph.walk import AssetFilter, Direction, FlowFilter, Follow

GRAINED = {AssetKind.DATASET, AssetKind.FEATURE_VIEW, AssetKind.MODEL, AssetKind.JOB, AssetKind.RUN}
_FAILING = {AssetKind.JOB, AssetKind.RUN, AssetKind.FEATURE_VIEW}
_AGEING = {AssetKind.RUN, AssetKind.MODEL_VERSION}
_BOTH = frozenset(Follow)


class Vertex(NamedTuple):
    key: AssetKey
    port: str


class Told(NamedTuple):
    """One origin's word for a flow that held at the moment."""

    flow: Flow
    origin: str
    basis: Basis

    def is_narrowed_by(self, finer: "Told") -> bool:
        """Only the same origin, or a basis at least as strong, may narrow what is told."""
        return finer.origin == self.origin or REFINES_FIRST.index(finer.basis) <= REFINES_FIRST.index(self.basis)


class Edge(NamedTuple):
    """Without `told`: a step between ports, or between part and container, which costs nothing."""

    source: Vertex
    target: Vertex
    walks: frozenset[Follow]
    built: bool
    told: Told | None = None

    @property
    def cost(self) -> int:
        return 0 if self.told is None else 1


@dataclass(frozen=True)
class Answer:
    """`assets`: hops, whether only partly reached, and whether it is a stub."""

    assets: dict[AssetKey, tuple[int, bool, bool]]
    complete: bool
    frontier: frozenset[AssetKey]


def facts(store: Store) -> list[StoredAssertion]:
    """All that was ever believed, as the revisions tell it."""
    opened: dict[int, tuple[Assertion, int]] = {}
    closed: dict[int, int] = {}
    number = 0
    while revisions := store.changes_since(number):
        for revision in revisions:
            number = revision.number
            opened |= {stored.number: (stored.assertion, number) for stored in revision.opened}
            closed |= {stored.number: number for stored in revision.closed}
    return [
        StoredAssertion(each, assertion, Known(first, closed.get(each, FOREVER)))
        for each, (assertion, first) in opened.items()
    ]


class Oracle:
    """What held at `at`, as believed at `revision`."""

    def __init__(self, known: Iterable[StoredAssertion], at: int, revision: int) -> None:
        believed = [stored.assertion for stored in known if stored.known.holds_at(revision)]
        held = [assertion for assertion in believed if assertion.valid.holds_at(at)]
        self.asserted = {assertion.subject for assertion in held if isinstance(assertion.subject, AssetKey)}
        self._same = _same({pair for said in held for pair in _named_same(said)})
        self.shown: dict[AssetKey, dict[str, Json]] = {}
        self.births: dict[AssetKey, int] = {}
        for key in self.asserted:
            said = [assertion for assertion in believed if assertion.subject == key]
            self.shown[key] = values(shown_attributes(said, at))
            self.births[key] = min(assertion.valid.start for assertion in said)
        self.stated = [
            Told(assertion.subject, assertion.origin, assertion.basis)
            for assertion in held
            if isinstance(assertion.subject, Flow)
        ]
        flows = [edge for told in self.stated for edge in self._edges_of(told)]
        ends = {end.key for edge in flows for end in (edge.source, edge.target)}
        self.with_flow = ends | {end for told in self.stated for end in told.flow[:2]}
        self.assets = self._with_containers({*self.asserted, *self.with_flow})
        self.edges = flows + [edge for key in self.assets for edge in _steps(key)]
        self._contract()

    def _contract(self) -> None:
        """Each group of assets that are the same is one vertex from here on."""
        if not self._same:
            return
        one = self.one
        self.edges = [
            edge._replace(
                source=Vertex(one(edge.source.key), edge.source.port),
                target=Vertex(one(edge.target.key), edge.target.port),
            )
            for edge in self.edges
        ]
        self.with_flow, self.assets = ({one(key) for key in keys} for keys in (self.with_flow, self.assets))
        self.births = {one(key): birth for key, birth in self.births.items()}
        shown: dict[AssetKey, list[dict[str, Json]]] = {}
        for key in self.asserted:
            shown.setdefault(one(key), []).append(self.shown[key])
        self.asserted = {*shown}
        for key, each in shown.items():
            if len(each) > 1:
                tiers = [tier for said in each if isinstance(tier := said.get("tier"), int)]
                self.shown[key] = {
                    "owners": [{"name": name} for said in each for name in sorted(_names(said.get("owners")))],
                    "tags": [tag for said in each if isinstance(tags := said.get("tags"), list) for tag in tags],
                    "tier": min(tiers, default=None),
                }
            else:
                self.shown[key] = each[0]

    def one(self, key: AssetKey) -> AssetKey:
        """What stands for it and for all that are the same."""
        within = self._same.get(key.container) if key.container else None
        return within.part_key(*key.path) if within else self._same.get(key, key)

    # What is there

    def version_of(self, key: AssetKey) -> AssetKey | None:
        """The key itself; for an alias the version that it names, if any."""
        if not key.is_alias:
            return key
        version = self.shown.get(key, {}).get("version")
        model = key.container
        return model.part_key(str(version)) if version and model else None

    def is_there(self, key: AssetKey) -> bool:
        """Somebody says that it, or one of its parts, is, or it has a flow."""
        found = self.version_of(self.one(key))
        if found is None or (key.is_alias and key not in self.asserted):
            return False
        return key.is_alias or any(each in self._present() for each in (found, *self.parts(found)))

    def parts(self, key: AssetKey) -> set[AssetKey]:
        return {each for each in self.assets if each.container == key}

    def owners(self, key: AssetKey) -> set[str]:
        own = _names(self.shown.get(key, {}).get("owners"))
        container = key.container
        return own or (_names(self.shown.get(container, {}).get("owners")) if container else set())

    def tags(self, key: AssetKey) -> set[str]:
        tags = self.shown.get(key, {}).get("tags", [])
        return set(map(str, tags)) if isinstance(tags, list) else set()

    def selected(self, keys: Iterable[AssetKey], wanted: AssetFilter) -> set[AssetKey]:
        return {
            key
            for key in keys
            if (not wanted.kinds or key.kind in wanted.kinds)
            and (not wanted.namespaces or key.namespace in wanted.namespaces)
            and (not wanted.owners or self.owners(key) & set(wanted.owners))
            and (not wanted.tags or self.tags(key) & set(wanted.tags))
            and (not wanted.tiers or self.shown.get(key, {}).get("tier") in wanted.tiers)
        }

    def _present(self) -> set[AssetKey]:
        return self.asserted | self.with_flow

    def _with_containers(self, keys: set[AssetKey]) -> set[AssetKey]:
        versions = {version for key in keys if (version := self.version_of(key))}
        return {key for key in keys | versions if not key.is_alias} | {
            key.container for key in keys | versions if key.container
        }

    # Which ports a flow joins

    def _edges_of(self, told: Told) -> Iterator[Edge]:
        source, target = self.version_of(told.flow.source), told.flow.target
        if source is None:
            return
        built = FLOWS[source.kind, target.kind].timing is Timing.BUILT
        for leaves, reaches, walks in self._ports(told):
            yield Edge(Vertex(source, leaves), Vertex(target, reaches), walks, built, told)
        if source.kind is AssetKind.MODEL_VERSION and target.kind is AssetKind.DEPLOYMENT:
            if self.shown.get(target, {}).get("features_from") == "request":
                return
            for feature in self._signature(source):
                implied = Told(Flow(feature, target), told.origin, Basis.INFERRED)
                yield Edge(Vertex(feature, "any"), Vertex(target, "whole"), _BOTH, False, implied)

    def _ports(self, told: Told) -> list[tuple[str, str, frozenset[Follow]]]:
        source, target, via = told.flow
        if source.kind is AssetKind.JOB:
            return [("whole" if self._has_column_lineage(told) else "any", "whole", _BOTH)]
        if target.kind is AssetKind.JOB:
            if not any(_grain(finer.flow.source) == _grain(source) for finer in self._finer(told, target)):
                return [("any", "whole", _BOTH)]
            outputs = [each for each in self.stated if each.flow.source == target]
            return [("whole" if all(map(self._has_column_lineage, outputs)) else "any", "any", _BOTH)]
        is_direct = via is None and source.kind is AssetKind.DATASET
        if is_direct and target.kind in {AssetKind.DATASET, AssetKind.FEATURE_VIEW}:
            between = [
                each
                for each in self.stated
                if (each.flow.source.container, each.flow.target.container) == (source, target)
            ]
            if any(map(told.is_narrowed_by, between)):
                return [("whole", "any", frozenset({Follow.VALUES})), ("whole", "whole", frozenset({Follow.LOSS}))]
        return [("any", "whole", _BOTH)]

    def _has_column_lineage(self, output: Told) -> bool:
        job, target, _ = output.flow
        return any(target in {finer.flow.target, finer.flow.target.container} for finer in self._finer(output, job))

    def _finer(self, told: Told, job: AssetKey) -> list[Told]:
        return [each for each in self.stated if each.flow.via == job and told.is_narrowed_by(each)]

    def _signature(self, version: AssetKey) -> list[AssetKey]:
        signature = self.shown.get(version, {}).get("signature")
        inputs = signature.get("inputs") if isinstance(signature, dict) else None
        named = [each.get("feature") for each in inputs if isinstance(each, dict)] if isinstance(inputs, list) else []
        return [AssetKey.parse(str(text)) for text in named if text]

    # Walks

    def walk(
        self,
        start: AssetKey,
        direction: Direction,
        follow: Follow = Follow.VALUES,
        flows: FlowFilter | None = None,
        depth: int | None = None,
    ) -> Answer:
        asset = self.version_of(self.one(start))
        assert asset is not None
        edges = self.walkable(follow, flows)
        hops = distances(edges, first_of(asset, direction), direction, depth)
        uncounted = {asset, asset.container, *self.parts(asset)}
        answer = {}
        for key in sorted({vertex.key for vertex in hops}):
            if key in uncounted or key.is_alias or (key.container and key not in self._present()):
                continue
            ports = [hops[vertex] for vertex in (Vertex(key, "whole"), Vertex(key, "any")) if vertex in hops]
            answer[key] = min(ports), Vertex(key, "whole") not in hops, key not in self.asserted
        near, far = ("source", "target") if direction is Direction.DOWNSTREAM else ("target", "source")
        frontier = {getattr(e, near).key for e in edges if getattr(e, near) in hops and getattr(e, far) not in hops}
        return Answer(answer, not frontier, frozenset(frontier))

    def when(
        self,
        start: AssetKey,
        direction: Direction,
        follow: Follow = Follow.VALUES,
        flows: FlowFilter | None = None,
        depth: int | None = None,
    ) -> dict[AssetKey, When]:
        asset = self.version_of(self.one(start))
        assert asset is not None
        first = first_of(asset, direction)
        edges = self.walkable(follow, flows)
        reached = {vertex.key for vertex in distances(edges, first, direction, depth)}
        history = {key for key in reached - {asset} if key.kind in _AGEING and not self._is_of_use(key)}
        spared = [edge for edge in edges if edge.source.key not in history and edge.target.key not in history]
        soon = {vertex.key for vertex in distances(spared, first, direction, depth)}
        live = [edge for edge in spared if not edge.built]
        now = {vertex.key for vertex in distances(live, first, direction, depth)}
        return {
            key: When.NOW if key in now else When.NEXT_TRAINING if key in soon else When.HISTORIC
            for key in self.walk(start, direction, follow, flows, depth).assets
        }

    def shortest_paths(
        self, source: AssetKey, target: AssetKey, follow: Follow, flows: FlowFilter | None
    ) -> set[tuple[tuple[AssetKey, AssetKey], ...]]:
        """All shortest ones, each as the ends of its flows."""
        first, last = Vertex(source, "whole"), Vertex(target, "any")
        edges = self.walkable(follow, flows)
        hops = distances(edges, first, Direction.DOWNSTREAM, None)
        if last not in hops:
            return set()
        found: set[tuple[tuple[AssetKey, AssetKey], ...]] = set()

        def back(vertex: Vertex, seen: frozenset[Vertex], path: tuple[tuple[AssetKey, AssetKey], ...]) -> None:
            if vertex == first:
                found.add(path)
            for edge in edges:
                if (
                    edge.target == vertex
                    and edge.source not in seen
                    and hops.get(edge.source) == hops[vertex] - edge.cost
                ):
                    crossed = ((edge.source.key, edge.target.key),) if edge.told else ()
                    back(edge.source, seen | {edge.source}, crossed + path)

        back(last, frozenset({last}), ())
        return found

    def strongest(self, source: AssetKey, target: AssetKey) -> Basis:
        """The strongest basis of the flows between two assets."""
        bases = [e.told.basis for e in self.edges if e.told and (e.source.key, e.target.key) == (source, target)]
        return min(bases, key=REFINES_FIRST.index)

    def walkable(self, follow: Follow, flows: FlowFilter | None) -> list[Edge]:
        wanted = flows or FlowFilter()
        return [
            edge
            for edge in self.edges
            if follow in edge.walks
            and (
                edge.told is None
                or (
                    (not wanted.bases or edge.told.basis in wanted.bases)
                    and (not wanted.origins or edge.told.origin in wanted.origins)
                    and (not wanted.timings or (Timing.BUILT if edge.built else Timing.LIVE) in wanted.timings)
                )
            )
        ]

    def _is_of_use(self, key: AssetKey) -> bool:
        """Current, or an ancestor of what is."""
        below = distances(
            self.walkable(Follow.VALUES, None), first_of(key, Direction.DOWNSTREAM), Direction.DOWNSTREAM, None
        )
        return any(vertex.key.kind in _AGEING and self._is_current(vertex.key) for vertex in below)

    def _is_current(self, key: AssetKey) -> bool:
        if key.is_alias:
            return False
        named = any(alias.is_alias and self.version_of(alias) == key for alias in self.asserted)
        served = any(
            edge.source.key == key and edge.target.key.kind is AssetKind.DEPLOYMENT for edge in self.edges if edge.told
        )
        siblings = self.parts(key.container) if key.container else set()
        candidates = (siblings & self.asserted) or (siblings & self.with_flow)
        newest = max(candidates, key=lambda each: (self.births.get(each, 0), _natural(str(each))), default=None)
        return named or served or key == newest


def _named_same(said: Assertion) -> list[tuple[AssetKey, AssetKey]]:
    named, key = said.attributes.get("same_as"), said.subject
    if not isinstance(key, AssetKey) or not isinstance(named, list):
        return []
    return [(key, AssetKey.parse(str(text))) for text in named]


def _same(said: set[tuple[AssetKey, AssetKey]]) -> dict[AssetKey, AssetKey]:
    """Of each member of a group what stands for it: named and naming none, if there is such; most named; first by key."""
    groups: dict[AssetKey, set[AssetKey]] = {}
    for pair in said:
        joined = set(pair).union(*(groups.get(key, set()) for key in pair))
        groups |= dict.fromkeys(joined, joined)
    naming, named = [namer for namer, _ in said], [other for _, other in said]
    return {
        key: min(group, key=lambda each: (each in naming, -named.count(each), str(each)))
        for key, group in groups.items()
    }


def _steps(key: AssetKey) -> Iterator[Edge]:
    whole, some = Vertex(key, "whole"), Vertex(key, "any")
    yield Edge(whole, some, _BOTH, False)
    if key.kind not in GRAINED:
        yield Edge(some, whole, _BOTH, False)
    if key.kind in _FAILING:
        yield Edge(some, whole, frozenset({Follow.LOSS}), False)
    if key.container:
        yield Edge(Vertex(key.container, "whole"), whole, _BOTH, key.kind is AssetKind.RUN)
        yield Edge(some, Vertex(key.container, "any"), _BOTH, False)


def first_of(key: AssetKey, direction: Direction) -> Vertex:
    return Vertex(key, "whole" if direction is Direction.DOWNSTREAM else "any")


def distances(edges: Collection[Edge], first: Vertex, direction: Direction, depth: int | None) -> dict[Vertex, int]:
    """Fewest flows from `first` to each vertex, at most `depth`: relaxed until nothing gets shorter."""
    hops, shorter = {first: 0}, True
    while shorter:
        shorter = False
        for edge in edges:
            near, far = (edge.source, edge.target) if direction is Direction.DOWNSTREAM else (edge.target, edge.source)
            if near in hops:
                distance = hops[near] + edge.cost
                if distance < hops.get(far, FOREVER) and (depth is None or distance <= depth):
                    hops[far], shorter = distance, True
    return hops


def _grain(key: AssetKey) -> AssetKey:
    return key.container or key


def _names(owners: Json) -> set[str]:
    return {str(owner["name"]) for owner in owners if isinstance(owner, dict)} if isinstance(owners, list) else set()


def _natural(text: str) -> list[int | str]:
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", text)]
