"""The graph that is measured: a company's platform, made of chance but the same every time.

Domains of some 1,500 assets keep mostly to themselves, through layers: source tables, staging, marts, features, training
runs, model versions, deployments, what these log, consumers. A few core tables are read by half of the domains, so the
hub reaches about half of everything while the median asset reaches some hundreds. Within a domain some are read far more
than others, and ways part and meet again.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from graph.changes import AssetStatement, FlowStatement, Registration, Withdrawal
from graph.keys import AssetKey, AssetKind
from graph.model import FLOWS, Attributes, Basis, Flow
from graph.time import Instant

Numbers = NDArray[np.int64]

KINDS = tuple(AssetKind)
FLOWS_PER_ASSET = 4
DOMAIN = 1_500
"""Assets of a domain."""
START: Instant = 1_700_000_000_000_000
DAY: Instant = 86_400_000_000
NOW: Instant = START + 1_000 * DAY
ORIGIN, FORMER = "bench:today", "bench:earlier"
BATCH = 5_000
"""Statements of one revision."""
ASSETS_OF_BATCH = BATCH // (1 + FLOWS_PER_ASSET)
"""And the flows into them."""

_CODE = {kind: code for code, kind in enumerate(KINDS)}


@dataclass(frozen=True)
class History:
    """Flows that do not hold now: they ended, or the origin took back that they ever were. By source, then target."""

    source: Numbers
    target: Numbers
    start: Numbers
    end: Numbers
    """Of those taken back: none was said."""
    taken_back: NDArray[np.bool_]


@dataclass(frozen=True)
class World:
    """Assets are numbered from 0, containers before their parts, and flows lead from smaller to greater numbers."""

    name: str
    slug: str
    """For the names of files."""
    kind: Numbers
    """Code in KINDS."""
    container: Numbers
    """-1 of what stands alone."""
    domain: Numbers
    label: Numbers
    """Place in `labels`."""
    labels: list[Attributes]
    source: Numbers
    """Of the flows, which are in the order of their targets."""
    target: Numbers
    since: Numbers
    history: History

    @property
    def assets(self) -> int:
        return len(self.kind)

    @cached_property
    def hub(self) -> int:
        """What most of the domains read most: the first column of the core table, or what stands in for it."""
        core = self.source[self.domain[self.source] != self.domain[self.target]]
        return int(np.bincount(core).argmax())

    @cached_property
    def keys(self) -> list[AssetKey]:
        keys: list[AssetKey] = []
        rows = zip(self.kind.tolist(), self.container.tolist(), self.domain.tolist(), strict=True)
        for number, (code, container, domain) in enumerate(rows):
            kind = KINDS[code]
            if container >= 0:
                whole = keys[container]
                part = str(UUID(int=number)) if kind is AssetKind.RUN else f"{kind.value}_{number}"
                keys.append(AssetKey(kind, whole.namespace, whole.name, (part,)))
            else:
                keys.append(AssetKey(kind, f"domain_{domain}", f"{kind.value}.{number}"))
        return keys

    def lines(self) -> Iterator[Mapping[str, object]]:
        """What holds today, for the bulk intake."""
        texts = [str(key) for key in self.keys]
        for text, label in zip(texts, self.label.tolist(), strict=True):
            told = dict(self.labels[label])
            tier = told.pop("tier", None)
            yield {"asset": text, **told, **({} if tier is None else {"attributes": {"tier": tier}})}
        for source, target in zip(self.source.tolist(), self.target.tolist(), strict=True):
            yield {"flow": {"from": texts[source], "to": texts[target]}}

    def registrations(self) -> Iterator[tuple[Registration, Instant]]:
        """What to register for this graph to be there, in order, and when. A revision each."""
        keys, clock = self.keys, NOW
        bounds = np.searchsorted(self.target, np.arange(self.assets + 1))
        ends = list(zip(self.source.tolist(), self.target.tolist(), self.since.tolist(), strict=True))
        for first in range(0, self.assets, ASSETS_OF_BATCH):
            last = min(first + ASSETS_OF_BATCH, self.assets)
            assets = tuple(
                AssetStatement(keys[each], self.labels[label], since=START + each)
                for each, label in enumerate(self.label[first:last].tolist(), first)
            )
            flows = tuple(
                FlowStatement(Flow(keys[source], keys[target]), since=since)
                for source, target, since in ends[bounds[first] : bounds[last]]
            )
            clock += 1
            yield Registration(ORIGIN, Basis.IMPORTED, assets, flows), clock
        past = self.history
        told = [
            (Flow(keys[source], keys[target]), start, None if back else end, back)
            for source, target, start, end, back in zip(
                *(column.tolist() for column in (past.source, past.target, past.start, past.end, past.taken_back)),
                strict=True,
            )
        ]
        for first in range(0, len(told), BATCH):
            clock += 1
            flows = tuple(FlowStatement(flow, {}, start, end) for flow, start, end, _ in told[first : first + BATCH])
            yield Registration(FORMER, Basis.OBSERVED, (), flows), clock
        back = [Withdrawal(flow, start) for flow, start, _, taken_back in told if taken_back]
        for first in range(0, len(back), BATCH):
            clock += 1
            yield Registration(FORMER, Basis.OBSERVED, withdrawals=tuple(back[first : first + BATCH])), clock


def world(assets: int, containers: bool = True, history: float = 0.0) -> World:
    """A graph of about so many assets, four times as many flows, and `history` times as many flows that are past.

    Without containers no part-of step and no port matters, so a walk is a plain breadth-first search over the flows:
    for what has no notion of ports. Kinds without parts stand in for those that have them.
    """
    return _Making(assets, containers).made(history)


class _Layer:
    """Assets of one kind, dealt to the domains in turn."""

    def __init__(self, first: int, domains: int, counts: Numbers) -> None:
        self.first, self.domains = first, domains
        self.size = len(counts)
        self.counts = counts
        self.starts = first + np.cumsum(counts) - counts
        """Where the parts of each of its members begin; of what has no parts, the member itself."""


class _Making:
    def __init__(self, assets: int, containers: bool) -> None:
        self.wanted, self.containers = assets, containers
        self.domains = max(4, round(assets / DOMAIN))
        self.chance = np.random.default_rng([20261123, assets, containers])
        self.kinds: list[Numbers] = []
        self.containing: list[Numbers] = []
        self.of_domain: list[Numbers] = []
        self.count = 0
        self.sources: list[Numbers] = []
        self.targets: list[Numbers] = []
        self.strata: list[Numbers] = []

    def made(self, history: float) -> World:
        self._lay()
        code = np.concatenate(self.kinds)
        source, target, stratum = (np.concatenate(each) for each in (self.sources, self.targets, self.strata))
        _, once = np.unique(target * self.count + source, return_index=True)
        kept = once  # by target, then source
        if len(kept) > FLOWS_PER_ASSET * self.count:
            kept = np.sort(self.chance.choice(kept, FLOWS_PER_ASSET * self.count, replace=False))
            kept = kept[np.lexsort((source[kept], target[kept]))]
        source, target, stratum = source[kept], target[kept], stratum[kept]
        _refuse_impossible(code, source, target)
        domain = np.concatenate(self.of_domain)
        label, labels = self._labels(domain)
        since = START + (self.chance.random(len(source)) ** 3 * 900).astype(np.int64) * DAY
        return World(
            name=f"{self.count:,} assets, {len(source):,} flows",
            slug=f"{self.count}-{'ports' if self.containers else 'flat'}-{history:g}",
            kind=code,
            container=np.concatenate(self.containing),
            domain=domain,
            label=label,
            labels=labels,
            source=source,
            target=target,
            since=since,
            history=self._history(round(history * len(source)), source, target, stratum, domain),
        )

    def _lay(self) -> None:
        """All layers, upstream first, and the flows into each. Shares are of a hundred assets."""
        k = AssetKind
        files = self._add(k.DATASET, 5)
        tables = self._add(k.DATASET, 1.5, k.COLUMN)
        jobs = self._add(k.JOB, 5)
        self._flow(files, jobs, 6, skew=2)
        self._flow(tables, jobs, 2, skew=2, whole=True)
        staging = self._add(k.DATASET, 1.5, k.COLUMN)
        self._flow(jobs, staging, 1.5, skew=1, whole=True)
        self._flow(tables, staging, 22, skew=2)
        self._flow_from_core(tables, staging, 8)
        marts = self._add(k.DATASET, 1.5, k.COLUMN)
        self._flow(staging, marts, 30, skew=2)
        wide = self._add(k.DATASET, 1, k.COLUMN)
        self._flow(marts, wide, 18, skew=2)
        self._flow(staging, wide, 4, skew=2)
        views = self._add(k.FEATURE_VIEW, 1, k.FEATURE)
        self._flow(wide, views, 18, skew=2)
        self._flow(marts, views, 8, skew=2)
        derived = self._add(k.FEATURE_VIEW, 1, k.FEATURE)
        self._flow(views, derived, 12, skew=2)
        self._flow(marts, derived, 8, skew=2)
        runs = self._add(k.JOB, 1.2, k.RUN)
        self._flow(views, runs, 35, skew=1.5)
        self._flow(derived, runs, 35, skew=1.5)
        versions = self._add(k.MODEL, 1.3, k.MODEL_VERSION)
        self._flow(runs, versions, 7.8, skew=1)
        services = self._add(k.DEPLOYMENT, 2.5)
        self._flow(versions, services, 4, skew=1.5)
        self._flow(views, services, 10, skew=1.5)
        self._flow(derived, services, 10, skew=1.5)
        gateways = self._add(k.DEPLOYMENT, 1.5)
        self._flow(services, gateways, 4, skew=2)
        logs = self._add(k.DATASET, 2)
        self._flow(services, logs, 1, skew=1)
        self._flow(gateways, logs, 1, skew=1)
        consumers = self._add(k.CONSUMER, 100 * (self.wanted - self.count) / self.wanted, exactly=True)
        self._flow(gateways, consumers, 12, skew=2)
        self._flow(services, consumers, 12, skew=2)
        self._flow(logs, consumers, 6, skew=2)
        self._flow(wide, consumers, 40, skew=2)
        self._flow(marts, consumers, 30, skew=2, abroad=0.02)
        self._flow(derived, consumers, 15, skew=2)
        missing = FLOWS_PER_ASSET * self.count - sum(map(len, self.sources))
        self._flow(staging, consumers, 100 * missing / self.count + 20, skew=1.5)  # some are drawn twice

    def _add(self, kind: AssetKind, share: float, part: AssetKind | None = None, exactly: bool = False) -> _Layer:
        """`share` of each hundred assets, in every domain alike; of containers, with about six parts each."""
        size = max(1, round(share * self.wanted / 100 / self.domains)) * self.domains
        if exactly:
            size = round(share * self.wanted / 100)
        if not self.containers and part is not None:
            # As many vertices that flows join, and no containers: tables and services alone stand for all others.
            size, kind, part = 7 * size, _STANDING_IN.get(kind, kind), None
        counts = np.ones(size, np.int64) if part is None else 1 + self.chance.binomial(10, 0.5, size)
        within = np.arange(size) % self.domains
        if part is None:
            layer = _Layer(self.count, self.domains, counts)
            self.kinds.append(np.full(size, _CODE[kind]))
            self.containing.append(np.full(size, -1))
            self.of_domain.append(within)
            self.count += size
            return layer
        wholes = self.count + np.cumsum(counts + 1) - counts - 1  # each followed by its parts
        layer = _Layer(self.count, self.domains, counts)
        layer.starts = wholes + 1
        is_whole = np.zeros(size + int(counts.sum()), np.bool_)
        is_whole[wholes - self.count] = True
        self.kinds.append(np.where(is_whole, _CODE[kind], _CODE[part]))
        self.containing.append(np.where(is_whole, -1, np.repeat(wholes, counts + 1)))
        self.of_domain.append(np.repeat(within, counts + 1))
        self.count += len(is_whole)
        return layer

    def _flow(
        self, above: _Layer, below: _Layer, share: float, skew: float, whole: bool = False, abroad: float = 0.005
    ) -> None:
        """`share` flows for each hundred assets, within a domain but for the part `abroad`; skewed to the first of a domain.

        `whole` joins containers, not their parts.
        """
        many = round(share * self.wanted / 100)
        reader = self.chance.integers(0, below.size, many)
        domain = reader % self.domains
        away = self.chance.random(many) < abroad
        domain[away] = self.chance.integers(0, self.domains, int(away.sum()))
        depth = above.size // self.domains
        read = (depth * self.chance.random(many) ** skew).astype(np.int64) * self.domains + domain
        self._join(above, read, below, reader, whole)

    def _flow_from_core(self, above: _Layer, below: _Layer, share: float) -> None:
        """What most domains read of the first one: the first column of its first table more than any other."""
        many = round(share * self.wanted / 100)
        reader = self.chance.integers(0, below.size, many)
        reader = reader[(reader % self.domains) % 7 < 5]
        depth = max(1, above.size // self.domains // 3)
        read = (depth * self.chance.random(len(reader)) ** 4).astype(np.int64) * self.domains
        self._join(above, read, below, reader, whole=False)

    def _join(self, above: _Layer, read: Numbers, below: _Layer, reader: Numbers, whole: bool) -> None:
        def ends(layer: _Layer, members: Numbers) -> Numbers:
            has_parts = layer.starts[0] != layer.first
            if whole or not has_parts:
                wholes: Numbers = layer.starts[members] - has_parts
                return wholes
            place = (layer.counts[members] * self.chance.random(len(members)) ** 1.5).astype(np.int64)
            parts: Numbers = layer.starts[members] + place
            return parts

        self.sources.append(ends(above, read))
        self.targets.append(ends(below, reader))
        self.strata.append(np.full(len(read), len(self.strata)))

    def _labels(self, domain: Numbers) -> tuple[Numbers, list[Attributes]]:
        """Owners of most, tags of some, tiers of some: two teams a domain, a few shared ones."""
        labels: dict[tuple[int, int, int], int] = {}
        team = np.where(self.chance.random(len(domain)) < 0.6, 2 * domain + self.chance.integers(0, 2, len(domain)), -1)
        tag = np.where(self.chance.random(len(domain)) < 0.1, self.chance.integers(0, len(_TAGS), len(domain)), -1)
        tier = np.where(self.chance.random(len(domain)) < 0.2, self.chance.integers(1, 5, len(domain)), 0)
        told = [
            labels.setdefault(each, len(labels))
            for each in zip(team.tolist(), tag.tolist(), tier.tolist(), strict=True)
        ]
        return np.array(told), [_attributes(*each) for each in labels]

    def _history(self, many: int, source: Numbers, target: Numbers, stratum: Numbers, domain: Numbers) -> History:
        """Flows between others of the same layers and domains, so that the past looks like the present."""
        group = stratum * self.domains + domain[target]
        order = np.argsort(group, kind="stable")
        starts = np.searchsorted(group[order], group)
        sizes = np.searchsorted(group[order], group, side="right") - starts
        pairs = np.empty(0, np.int64)
        while len(pairs) < many:
            one = self.chance.integers(0, len(source), 2 * (many - len(pairs)) + 100)
            other = order[starts[one] + (sizes[one] * self.chance.random(len(one))).astype(np.int64)]
            pairs = np.unique(np.concatenate([pairs, source[one] * self.count + target[other]]))
        pairs = np.sort(self.chance.choice(pairs, many, replace=False)) if many else pairs
        begin = (self.chance.random(many) * 900).astype(np.int64)
        length = 1 + (self.chance.random(many) * (998 - begin)).astype(np.int64)
        return History(
            source=pairs // self.count,
            target=pairs % self.count,
            start=START + begin * DAY,
            end=START + (begin + length) * DAY,
            taken_back=self.chance.random(many) < 0.5,
        )


_STANDING_IN = {
    AssetKind.FEATURE_VIEW: AssetKind.DATASET,
    AssetKind.JOB: AssetKind.DATASET,
    AssetKind.MODEL: AssetKind.DATASET,
}
_TAGS = ("pii", "finance", "deprecated", "gold", "experimental")


def _attributes(team: int, tag: int, tier: int) -> Attributes:
    told: dict[str, object] = {}
    if team >= 0:
        told["owners"] = [{"name": f"team-{team}"}]
    if tag >= 0:
        told["tags"] = [_TAGS[tag]]
    if tier:
        told["tier"] = tier
    return told  # type: ignore[return-value]


def _refuse_impossible(kind: Numbers, source: Numbers, target: Numbers) -> None:
    joined = np.unique(kind[source] * len(KINDS) + kind[target])
    for pair in joined.tolist():
        ends = KINDS[pair // len(KINDS)], KINDS[pair % len(KINDS)]
        assert ends in FLOWS, f"the generator makes a flow from {ends[0]} to {ends[1]}"
    assert (source < target).all(), "the generator makes a flow that leads back"
