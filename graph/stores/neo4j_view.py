"""What people see in Cypher: assets under the labels of their kinds, and one typed relationship a flow that holds now.

Assertions are the truth; all here is derived from them, and made anew for whatever a commit or the time has touched.

Everything that has a key is a node `:Key`. What is there today is also `:Asset` and its kind (`:Dataset`), an alias
`:Alias`; everything else is `:Withdrawn`. An asset is there while somebody says so, a flow passes at it, an alias names
it, or a part of it is there; `stub` marks those of which nobody says so. An alert is tied to what it is about, where
that is known, and keeps nothing there.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from graph.attributes import canonical, owner_names, shown_attributes, values
from graph.errors import InvalidKey
from graph.keys import CONTAINER_OF, AssetKey, AssetKind
from graph.model import SHOWN_FIRST, Assertion, Flow, Json, Relationship, Subject
from graph.stores.neo4j_connection import Run, counters, value
from graph.stores.neo4j_names import subject_id
from graph.stores.words import search_text
from graph.time import FOREVER, Instant

Property: TypeAlias = bool | int | float | str | list[str]

LABELS = {kind: "".join(word.capitalize() for word in kind.split("_")) for kind in AssetKind}

FLOW_TYPES = "|".join(Relationship)

OWN_NAMES = frozenset({"key", "number", "kind", "namespace", "name", "part", "asset_version", "stub"})
"""Properties of an asset's node that are not attributes; an attribute of such a name shows as `attribute_<name>`."""

_INT64 = range(-(2**63), 2**63)


@dataclass(frozen=True, slots=True)
class Nodes:
    """What is known of the nodes of some keys, read while the lock was held."""

    numbers: Mapping[AssetKey, int]
    versions: Mapping[AssetKey, int]
    here: Collection[AssetKey]
    """Those that people see as there before anything is shown anew."""
    made: Collection[AssetKey] = ()
    """Those that have a number and no node yet."""


def show(
    run: Run,
    believed: Mapping[Subject, Sequence[Assertion]],
    nodes: Nodes,
    now: Instant,
    fresh: Collection[Subject] = (),
) -> int:
    """Brings the view of the subjects in `believed` up to `now`, and makes the nodes of new keys; how many flows came or went.

    `believed` is all that is believed of them, and nothing was before of those in `fresh`. `nodes` has every key in them,
    containers and named versions included.

    Most of a commit is plain: new nodes, new flows, assets that stay where they are. Each of these is one statement
    that reads nothing. Only what came back or may have gone is looked at in the database.
    """
    flows = {subject: spans for subject, spans in believed.items() if isinstance(subject, Flow)}
    assets = {subject: spans for subject, spans in believed.items() if isinstance(subject, AssetKey)}
    holding = {flow: [span for span in spans if span.valid.holds_at(now)] for flow, spans in flows.items()}
    drawn = {flow: spans for flow, spans in holding.items() if spans}
    erased = [flow for flow, spans in holding.items() if not spans]
    asserted = {key for key, spans in assets.items() if any(span.valid.holds_at(now) for span in spans)}
    aliases = {key: spans for key, spans in assets.items() if key.is_alias}
    named = {key: named_version(key, aliases[key], now) for key in sorted(aliases, key=str)}

    reached = {end for flow in drawn for end in (flow.source, flow.target)} | {each for each in named.values() if each}
    come = {key for key in asserted | reached if key not in nodes.here}
    come |= {key.container for key in come if _shown_part(key) and key.container not in nodes.here and key.container}
    _make_nodes(run, assets, nodes, come, asserted, now)

    moved = _draw(run, drawn, nodes.numbers, fresh)
    if erased:
        flat = [[nodes.numbers[flow.source], nodes.numbers[flow.target], subject_id(flow)] for flow in erased]
        moved += counters(run, _ERASE_FLOWS, flows=flat).relationships_deleted
    left = _name_versions(run, named, nodes.numbers) if named else {}
    alerts = {key: spans for key, spans in assets.items() if key.kind is AssetKind.ALERT}
    if alerts:
        _show_alerts(run, alerts, nodes.numbers, now)

    stay = sorted(asserted & {*nodes.here}, key=str)
    if stay:
        counters(run, _RENEW, rows=[_properties(key, nodes, assets[key], now) for key in stay])
    unclear = {
        *come,
        *left,
        *(assets.keys() - asserted),
        *(end for flow in erased for end in (flow.source, flow.target)),
    }
    unclear |= {key.container for key in unclear if key.container}
    unclear -= {*nodes.made, *stay}
    numbers = {**nodes.numbers, **left}
    rows = [_asset_row(key, numbers, nodes, assets.get(key), now) for key in sorted(unclear, key=str)]
    # Containers last: they are there while a part is.
    for level in ([row for row in rows if row["part"]], [row for row in rows if not row["part"]]):
        if level:
            counters(run, _SHOW_ASSETS, rows=level)
    return moved


def plan_view(run: Run) -> None:
    """Has the server plan the statements of `show`, without effect."""
    for relationship in Relationship:
        counters(run, _NEW_FLOWS[relationship], groups=[])
        counters(run, _DRAW_FLOWS[relationship], groups=[])
    for statement in (*_MAKE.values(), _JOIN_PARTS, _RENEW, _TIE_ALERTS, _SHOW_ASSETS):
        counters(run, statement, rows=[])
    counters(run, _ERASE_FLOWS, flows=[])


def named_version(alias: AssetKey, spans: Iterable[Assertion], at: Instant) -> AssetKey | None:
    """The version that `alias` names at `at`; None when none, or when what it names cannot be a version."""
    named = shown_attributes(spans, at).get("version")
    return None if named is None else version_key(alias, named.value)


def version_key(alias: AssetKey, version: Json) -> AssetKey | None:
    if not isinstance(version, str):
        return None
    try:
        key = AssetKey.of(AssetKind.MODEL_VERSION, alias.namespace, alias.name, version)
    except InvalidKey:
        return None
    return None if key.is_alias else key


def next_change(assertion: Assertion, now: Instant) -> Instant | None:
    """When, after `now`, it starts or stops to hold; None if never."""
    start, end = assertion.valid
    return start if start > now else end if now < end < FOREVER else None


def _make_nodes(
    run: Run,
    assets: Mapping[AssetKey, Sequence[Assertion]],
    nodes: Nodes,
    come: Collection[AssetKey],
    asserted: Collection[AssetKey],
    now: Instant,
) -> None:
    """A node as it is to be seen for each new key: nothing that is stored has anything to do with it yet."""
    made: dict[str, list[AssetKey]] = {}
    for key in sorted(nodes.made, key=str):
        made.setdefault(_label(key) if key in come else "Withdrawn", []).append(key)
    for label, keys in made.items():
        stubs = {*keys} - {*asserted} if label != "Withdrawn" else set()
        counters(run, _MAKE[label], rows=[_properties(key, nodes, assets.get(key), now, key in stubs) for key in keys])
    parts = [
        [nodes.numbers[key], nodes.numbers[key.container]]
        for label, keys in made.items()
        for key in keys
        if label != "Withdrawn" and _shown_part(key) and key.container
    ]
    if parts:
        counters(run, _JOIN_PARTS, rows=parts)


def _shown_part(key: AssetKey) -> bool:
    return key.container is not None and not key.is_alias


def _label(key: AssetKey) -> str:
    return "Alias" if key.is_alias else LABELS[key.kind]


def _draw(
    run: Run,
    drawn: Mapping[Flow, Sequence[Assertion]],
    numbers: Mapping[AssetKey, int],
    fresh: Collection[Subject],
) -> int:
    """Flows in groups that look alike: what all of a group share is sent once."""
    groups: dict[tuple[str, _Look], list[list[object]]] = {}
    for flow, spans in drawn.items():
        statement = (_NEW_FLOWS if flow in fresh else _DRAW_FLOWS)[flow.type.relationship]
        row = [numbers[flow.source], numbers[flow.target], subject_id(flow)]
        groups.setdefault((statement, _look(flow, spans)), []).append(row)
    by_statement: dict[str, list[dict[str, object]]] = {}
    for (statement, look), rows in groups.items():
        by_statement.setdefault(statement, []).append({**look._asdict(), "flows": rows})
    return sum(
        counters(run, statement, groups=alike).relationships_created for statement, alike in by_statement.items()
    )


class _Look(NamedTuple):
    """What people see at a flow beside its ends."""

    basis: str
    timing: str
    origins: tuple[str, ...]
    since_second: int
    since_nanosecond: int
    via: str | None


def _look(flow: Flow, holding: Sequence[Assertion]) -> _Look:
    second, microsecond = divmod(min(span.valid.start for span in holding), 1_000_000)
    basis = min((span.basis for span in holding), key=SHOWN_FIRST.index) if len(holding) > 1 else holding[0].basis
    origins = tuple(sorted({span.origin for span in holding}))
    via = str(flow.via) if flow.via else None
    return _Look(basis.value, flow.type.timing.value, origins, second, microsecond * 1000, via)


def _name_versions(
    run: Run, named: Mapping[AssetKey, AssetKey | None], numbers: Mapping[AssetKey, int]
) -> dict[AssetKey, int]:
    """The versions that ceased to be named, with their numbers."""
    rows = [{"alias": numbers[key], "version": version and numbers[version]} for key, version in named.items()]
    left: list[tuple[str, int]] = value(run, _NAME_VERSIONS, rows=rows)
    return {AssetKey.parse(key): number for key, number in left}


def _show_alerts(
    run: Run, alerts: Mapping[AssetKey, Sequence[Assertion]], numbers: Mapping[AssetKey, int], now: Instant
) -> None:
    about = {key: shown_attributes(alerts[key], now).get("about") for key in sorted(alerts, key=str)}
    counters(run, _TIE_ALERTS, rows=[[numbers[key], shown and shown.value] for key, shown in about.items()])


def _asset_row(
    key: AssetKey,
    numbers: Mapping[AssetKey, int],
    nodes: Nodes,
    said: Sequence[Assertion] | None,
    now: Instant,
) -> dict[str, object]:
    """`said` None: nothing about the asset itself has changed."""
    return {
        "number": numbers[key],
        "label": _label(key),
        "part": key.kind in CONTAINER_OF,
        "container": numbers[key.container] if key.container and not key.is_alias else None,
        "asserted": None if said is None else any(span.valid.holds_at(now) for span in said),
        "shown": None if said is None else _properties(key, nodes, said, now),
    }


def _properties(
    key: AssetKey, nodes: Nodes, said: Sequence[Assertion] | None, now: Instant, stub: bool = False
) -> dict[str, Property | None]:
    own = _own_properties(key, nodes) | ({"stub": True} if stub else {})
    if said is None:
        return own
    attributes = values(shown_attributes(said, now))
    holds = any(span.valid.holds_at(now) for span in said)
    shown = {_property_name(name): _property(name, content) for name, content in attributes.items()}
    words = search_text(key, attributes) if holds and not key.is_alias else None
    return shown | own | {"asset_version": nodes.versions.get(key), "_words": words}


def _own_properties(key: AssetKey, nodes: Nodes) -> dict[str, Property | None]:
    """What a key's node has whoever says what."""
    return {
        "key": str(key),
        "number": nodes.numbers[key],
        "kind": "alias" if key.is_alias else key.kind.value,
        "namespace": key.namespace,
        "name": key.name,
        "part": key.part,
        "_container": nodes.numbers[key.container] if key.container else None,
    }


def _property_name(attribute: str) -> str:
    return f"attribute_{attribute}" if attribute in OWN_NAMES else attribute


def _property(name: str, content: Json) -> Property:
    """As Neo4j can hold it: a scalar, or a list of texts (of owners: their names). Else its JSON text."""
    if name == "owners":
        return [*owner_names(content)]
    if isinstance(content, bool | float | str) or (isinstance(content, int) and content in _INT64):
        return content
    if isinstance(content, list) and all(isinstance(item, str) for item in content):
        return [str(item) for item in content]
    return canonical(content).decode()


def _only(condition: str, then: str) -> str:
    return f"FOREACH (_ IN CASE WHEN {condition} THEN [1] ELSE [] END | {then})"


_MAKE = {label: f"UNWIND $rows AS row CREATE (k:Key:Asset:{label}) SET k = row" for label in LABELS.values()}
_MAKE |= {label: f"UNWIND $rows AS row CREATE (k:Key:{label}) SET k = row" for label in ("Alias", "Withdrawn")}

_JOIN_PARTS = """
UNWIND $rows AS row
MATCH (k:Key {number: row[0]}) MATCH (c:Key {number: row[1]})
CREATE (k)-[:PART_OF]->(c)
"""

_FLOWS = """
UNWIND $groups AS look
WITH look, datetime({epochSeconds: look.since_second, nanosecond: look.since_nanosecond}) AS since
UNWIND look.flows AS flow
MATCH (s:Key {number: flow[0]}) MATCH (t:Key {number: flow[1]})
"""

_NEW_FLOWS = {
    relationship: f"""{_FLOWS}
CREATE (s)-[f:{relationship} {{id: flow[2], basis: look.basis, timing: look.timing, origins: look.origins, since: since,
  via: look.via}}]->(t)
"""
    for relationship in Relationship
}

_DRAW_FLOWS = {
    relationship: f"""{_FLOWS}
MERGE (s)-[f:{relationship} {{id: flow[2]}}]->(t)
SET f.basis = look.basis, f.timing = look.timing, f.origins = look.origins, f.since = since, f.via = look.via
"""
    for relationship in Relationship
}

_ERASE_FLOWS = f"""
UNWIND $flows AS flow
MATCH (s:Key {{number: flow[0]}}) MATCH (t:Key {{number: flow[1]}})
MATCH (s)-[f:{FLOW_TYPES}]->(t) WHERE f.id = flow[2]
DELETE f
"""

_RENEW = "UNWIND $rows AS row MATCH (k:Key {number: row.number}) SET k = row"

_NAME_VERSIONS = """
UNWIND $rows AS row
MATCH (a:Key {number: row.alias})
OPTIONAL MATCH (old:Key)-[named:ALIASED_AS]->(a) WHERE row.version IS NULL OR old.number <> row.version
DELETE named
WITH row, a, [pair IN collect([old.key, old.number]) WHERE pair[0] IS NOT NULL] AS left
OPTIONAL MATCH (v:Key {number: row.version})
FOREACH (_ IN CASE WHEN v IS NULL THEN [] ELSE [1] END | MERGE (v)-[:ALIASED_AS]->(a))
WITH collect(left) AS all
RETURN reduce(pairs = [], left IN all | pairs + left)
"""

_TIE_ALERTS = """
UNWIND $rows AS row
MATCH (a:Key {number: row[0]})
OPTIONAL MATCH (a)-[former:ABOUT]->(other) WHERE row[1] IS NULL OR other.key <> row[1]
DELETE former
WITH DISTINCT row, a
MATCH (about:Key {key: row[1]})
MERGE (a)-[:ABOUT]->(about)
"""

_SHOW_LABELS = "\n".join(
    _only(f"here AND row.label = '{label}'", f"SET k:Asset:{label} REMOVE k:Withdrawn") for label in LABELS.values()
)

_SHOW_ASSETS = f"""
UNWIND $rows AS row
MATCH (k:Key {{number: row.number}})
WITH row, k, coalesce(row.asserted, k.stub IS NULL AND (k:Asset OR k:Alias)) AS asserted
WITH row, k, asserted, asserted OR EXISTS {{ (k)-[:{FLOW_TYPES}]-() }} OR EXISTS {{ (k)-[:ALIASED_AS]->() }}
  OR EXISTS {{ (k)<-[:PART_OF]-() }} AS here
{_only("row.shown IS NOT NULL", "SET k = row.shown")}
FOREACH (_ IN CASE WHEN here AND NOT asserted THEN [1] ELSE [] END | SET k.stub = true)
FOREACH (_ IN CASE WHEN here AND NOT asserted THEN [] ELSE [1] END | REMOVE k.stub)
{_SHOW_LABELS}
{_only("here AND row.label = 'Alias'", "SET k:Alias REMOVE k:Withdrawn")}
{_only("NOT here", f"SET k:Withdrawn REMOVE k:Asset:Alias:{':'.join(LABELS.values())}")}
WITH row, k, here WHERE row.container IS NOT NULL
MATCH (c:Key {{number: row.container}})
{_only("here", "MERGE (k)-[:PART_OF]->(c)")}
WITH k, c, here WHERE NOT here
MATCH (k)-[part:PART_OF]->(c)
DELETE part
"""
