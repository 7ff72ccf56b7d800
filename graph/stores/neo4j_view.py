"""What people see in Cypher: assets under the labels of their kinds, and one typed relationship a flow that holds now.

Assertions are the truth; all here is derived from them, and made anew for whatever a commit or the time has touched.

Everything that has a key is a node `:Key`. What is there today is also `:Asset` and its kind (`:Dataset`), an alias
`:Alias`; everything else is `:Withdrawn`. An asset is there while somebody says so, a flow passes at it, an alias names
it, or a part of it is there; `stub` marks those of which nobody says so. An alert is tied to what it is about, where
that is known, and keeps nothing there.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

from neo4j.time import DateTime

from graph.attributes import canonical, owner_names, shown_attributes, values
from graph.errors import InvalidKey
from graph.keys import CONTAINER_OF, AssetKey, AssetKind
from graph.model import SHOWN_FIRST, Assertion, Flow, Json, Relationship, Subject
from graph.stores.neo4j_connection import Run, counters, value
from graph.stores.neo4j_names import subject_id
from graph.stores.words import search_text
from graph.time import FOREVER, Instant, moment

Property: TypeAlias = bool | int | float | str | list[str] | DateTime

LABELS = {kind: "".join(word.capitalize() for word in kind.split("_")) for kind in AssetKind}

FLOW_TYPES = "|".join(Relationship)

OWN_NAMES = frozenset({"key", "number", "kind", "namespace", "name", "part", "asset_version", "stub"})
"""Properties of an asset's node that are not attributes; an attribute of such a name shows as `attribute_<name>`."""

_INT64 = range(-(2**63), 2**63)


def show(
    run: Run,
    believed: Mapping[Subject, Sequence[Assertion]],
    numbers: Mapping[AssetKey, int],
    versions: Mapping[AssetKey, int],
    now: Instant,
) -> int:
    """Brings the view of the subjects in `believed` up to `now`; how many flows came or went.

    `believed` is all that is believed of them. `numbers` has every key in them, containers and named versions included.
    """
    flows = {subject: spans for subject, spans in believed.items() if isinstance(subject, Flow)}
    assets = {subject: spans for subject, spans in believed.items() if isinstance(subject, AssetKey)}
    moved = _show_flows(run, flows, numbers, now)
    touched = {*assets, *(end for flow in flows for end in (flow.source, flow.target))}
    aliases = {key: spans for key, spans in assets.items() if key.is_alias}
    if aliases:
        named = _show_aliases(run, aliases, numbers, now)
        numbers = {**numbers, **named}
        touched |= named.keys()
    touched |= {key.container for key in touched if key.container}
    alerts = {key: spans for key, spans in assets.items() if key.kind is AssetKind.ALERT}
    if alerts:
        _show_alerts(run, alerts, numbers, now)
    rows = [_asset_row(key, numbers, versions.get(key), assets.get(key), now) for key in sorted(touched, key=str)]
    # Containers last: they are there while a part is.
    for level in ([row for row in rows if row["part"]], [row for row in rows if not row["part"]]):
        if level:
            counters(run, _SHOW_ASSETS, rows=level)
    return moved


def plan_view(run: Run) -> None:
    """Has the server plan the statements of `show`, without effect."""
    for relationship in Relationship:
        counters(run, _DRAW_FLOWS.format(relationship), flows=[])
    counters(run, _ERASE_FLOWS, flows=[])
    counters(run, _TIE_ALERTS, rows=[])
    counters(run, _SHOW_ASSETS, rows=[])


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


def _show_flows(
    run: Run, flows: Mapping[Flow, Sequence[Assertion]], numbers: Mapping[AssetKey, int], now: Instant
) -> int:
    drawn: dict[Relationship, list[dict[str, object]]] = {}
    erased: list[dict[str, object]] = []
    for flow in sorted(flows, key=str):
        ends = {"source": numbers[flow.source], "target": numbers[flow.target], "id": subject_id(flow)}
        holding = [span for span in flows[flow] if span.valid.holds_at(now)]
        if holding:
            drawn.setdefault(flow.type.relationship, []).append(ends | {"shown": _flow_properties(flow, holding)})
        else:
            erased.append(ends)
    moved = 0
    for relationship, rows in sorted(drawn.items()):
        moved += counters(run, _DRAW_FLOWS.format(relationship), flows=rows).relationships_created
    if erased:
        moved += counters(run, _ERASE_FLOWS, flows=erased).relationships_deleted
    return moved


def _flow_properties(flow: Flow, holding: Sequence[Assertion]) -> dict[str, Property]:
    shown: dict[str, Property] = {
        "id": subject_id(flow),
        "basis": min((span.basis for span in holding), key=SHOWN_FIRST.index).value,
        "timing": flow.type.timing.value,
        "origins": sorted({span.origin for span in holding}),
        "since": _date_time(min(span.valid.start for span in holding)),
    }
    return shown if flow.via is None else shown | {"via": str(flow.via)}


def _date_time(at: Instant) -> DateTime:
    return DateTime.from_native(moment(at))  # type: ignore[arg-type]  # only FOREVER has none, and nothing starts there


def _show_aliases(
    run: Run, aliases: Mapping[AssetKey, Sequence[Assertion]], numbers: Mapping[AssetKey, int], now: Instant
) -> dict[AssetKey, int]:
    """The versions named, and those that ceased to be, with their numbers."""
    named = {key: named_version(key, aliases[key], now) for key in sorted(aliases, key=str)}
    rows = [{"alias": numbers[key], "version": version and numbers[version]} for key, version in named.items()]
    left: list[tuple[str, int]] = value(run, _NAME_VERSIONS, rows=rows)
    current = {version: numbers[version] for version in named.values() if version}
    return current | {AssetKey.parse(key): number for key, number in left}


def _show_alerts(
    run: Run, alerts: Mapping[AssetKey, Sequence[Assertion]], numbers: Mapping[AssetKey, int], now: Instant
) -> None:
    about = {key: shown_attributes(alerts[key], now).get("about") for key in sorted(alerts, key=str)}
    counters(run, _TIE_ALERTS, rows=[[numbers[key], shown and shown.value] for key, shown in about.items()])


def _asset_row(
    key: AssetKey,
    numbers: Mapping[AssetKey, int],
    version: int | None,
    said: Sequence[Assertion] | None,
    now: Instant,
) -> dict[str, object]:
    """`said` None: nothing about the asset itself has changed."""
    asserted = None if said is None else any(span.valid.holds_at(now) for span in said)
    container = numbers[key.container] if key.container else None
    shown = None if said is None else _asset_properties(key, numbers[key], container, version, said, now)
    return {
        "number": numbers[key],
        "label": "Alias" if key.is_alias else LABELS[key.kind],
        "part": key.kind in CONTAINER_OF,
        "container": None if key.is_alias else container,
        "asserted": asserted,
        "shown": shown,
    }


def _asset_properties(
    key: AssetKey,
    number: int,
    container: int | None,
    version: int | None,
    said: Sequence[Assertion],
    now: Instant,
) -> dict[str, Property | None]:
    attributes = values(shown_attributes(said, now))
    holds = any(span.valid.holds_at(now) for span in said)
    shown = {_property_name(name): _property(name, content) for name, content in attributes.items()}
    words = search_text(key, attributes) if holds and not key.is_alias else None
    return shown | own_properties(key, number, container) | {"asset_version": version, "_words": words}


def own_properties(key: AssetKey, number: int, container: int | None) -> dict[str, Property | None]:
    """What a key's node has whoever says what."""
    return {
        "key": str(key),
        "number": number,
        "kind": "alias" if key.is_alias else key.kind.value,
        "namespace": key.namespace,
        "name": key.name,
        "part": key.part,
        "_container": container,
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


_DRAW_FLOWS = """
UNWIND $flows AS flow
MATCH (s:Key {{number: flow.source}}) MATCH (t:Key {{number: flow.target}})
MERGE (s)-[f:{} {{id: flow.id}}]->(t)
SET f += flow.shown
"""

_ERASE_FLOWS = f"""
UNWIND $flows AS flow
MATCH (s:Key {{number: flow.source}}) MATCH (t:Key {{number: flow.target}})
MATCH (s)-[f:{FLOW_TYPES}]->(t) WHERE f.id = flow.id
DELETE f
"""

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
