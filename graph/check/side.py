"""One version of a repository, by asset and by flow."""

from collections.abc import Mapping, Set
from dataclasses import dataclass
from functools import cached_property

from graph.importers.project import Project
from graph.keys import AssetKey
from graph.model import Attributes, Basis, Flow, implied_flows


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

    @cached_property
    def firm(self) -> Mapping[AssetKey, Set[str]]:
        """Who says that an asset is there; what was read from definitions may be there no more."""
        found: dict[AssetKey, set[str]] = {}
        for registration in self.project.registrations:
            if registration.basis is not Basis.INFERRED:
                for asset in registration.assets:
                    found.setdefault(asset.key, set()).add(registration.origin)
        return found

    def targets(self) -> set[AssetKey]:
        return {flow.target for flow in self.said}

    @cached_property
    def inferred(self) -> frozenset[Flow]:
        """Those that were read from definitions."""
        registrations = (each for each in self.project.registrations if each.basis is Basis.INFERRED)
        return frozenset(each.flow for registration in registrations for each in registration.flows)

    @cached_property
    def out_of(self) -> Mapping[AssetKey, set[AssetKey]]:
        found: dict[AssetKey, set[AssetKey]] = {}
        for flow in self.said:
            found.setdefault(flow.source, set()).add(flow.target)
        return found

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
