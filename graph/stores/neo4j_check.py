"""Finds what in a Neo4j store contradicts itself, such as what somebody wrote past the service."""

from functools import partial

from graph.stores.neo4j_connection import Neo4jConnection, Run, value
from graph.stores.neo4j_view import FLOW_TYPES, LABELS

_NAMED = 20


def check(db: Neo4jConnection, seconds: float) -> list[str]:
    """One sentence for each finding, of each sort the first twenty."""
    wrong: list[str] = []
    for find in _FINDINGS:
        found, count = db.read(partial(_found, find=find), seconds)
        wrong += found
        if count > _NAMED:
            wrong.append(f"and {count - _NAMED} more like that")
    return wrong


def _found(run: Run, find: str) -> tuple[list[str], int]:
    query = (
        f"{find} AS sentence ORDER BY sentence WITH collect(sentence) AS found RETURN [found[..$named], size(found)]"
    )
    found, count = value(run, query, named=_NAMED)
    return found, count


_FLOW = "'the ' + type(f) + ' from ' + coalesce(s.key, elementId(s)) + ' to ' + coalesce(t.key, elementId(t))"

# Judged as of the last commit or settling; what is due since then may be shown either way.
_HOLDS = "x.valid_start <= h.shown_at < x.valid_end"
_DUE = "coalesce(x.settles_at <= h.shown_at, false)"

_FINDINGS = (
    f"""
    MATCH (n:Key|Asset|Alias|Withdrawn|{"|".join(LABELS.values())})
    WHERE n.key IS NULL OR n.number IS NULL OR NOT n:Key
    WITH 'the node ' + coalesce(n.key, elementId(n)) + ' of :' + reduce(all = '', l IN labels(n) | all + l)
      + ' was not written by this service, or has lost its key'""",
    f"""
    MATCH (s)-[f:{FLOW_TYPES}]->(t)
    WHERE f.id IS NULL OR NOT EXISTS {{ (x:Assertion {{subject: f.id}}) WHERE x.known_last IS NULL }}
    WITH {_FLOW} + ' is asserted by nobody'""",
    f"""
    MATCH (s)-[f:{FLOW_TYPES}]->(t) MATCH (x:Assertion {{subject: f.id}}) WHERE x.known_last IS NULL
    WITH DISTINCT s, f, t, x.source AS source, x.target AS target
    WHERE coalesce(s.number <> source, true) OR coalesce(t.number <> target, true)
    WITH {_FLOW} + ' joins other assets than its assertions do'""",
    f"""
    MATCH (h:Head {{name: 'lineage'}}) MATCH (s)-[f:{FLOW_TYPES}]->(t)
    WHERE EXISTS {{ (x:Assertion {{subject: f.id}}) WHERE x.known_last IS NULL }}
      AND NOT EXISTS {{ (x:Assertion {{subject: f.id}}) WHERE x.known_last IS NULL AND (({_HOLDS}) OR {_DUE}) }}
    WITH {_FLOW} + ' is shown and does not hold'""",
    f"""
    MATCH (h:Head {{name: 'lineage'}})
    MATCH (x:Assertion) WHERE x.target IS NOT NULL AND x.known_last IS NULL AND ({_HOLDS}) AND NOT {_DUE}
    WITH DISTINCT x.subject AS id, x.source AS source, x.target AS target
    OPTIONAL MATCH (s:Key {{number: source}}) OPTIONAL MATCH (t:Key {{number: target}})
    WITH id, s, t WHERE NOT coalesce(EXISTS {{ (s)-[f:{FLOW_TYPES}]->(t) WHERE f.id = id }}, false)
    WITH 'the flow from ' + coalesce(s.key, 'a node that is gone') + ' to ' + coalesce(t.key, 'a node that is gone')
      + ' holds and is not shown'""",
    """
    MATCH (h:Head {name: 'lineage'}) WHERE h.number > 0
    UNWIND range(1, h.number) AS number
    WITH number WHERE NOT EXISTS { (r:Revision {number: number}) }
    WITH 'revision ' + toString(number) + ' is missing'""",
    """
    MATCH (r:Revision)
    WITH r, COUNT { (x:Assertion) WHERE x.known_first = r.number } AS opened,
      COUNT { (x:Assertion) WHERE x.known_last = r.number } AS closed
    WHERE opened <> r.opened OR closed <> r.closed
    WITH 'revision ' + toString(r.number) + ' opened ' + toString(r.opened) + ' assertions and closed '
      + toString(r.closed) + ', but ' + toString(opened) + ' and ' + toString(closed) + ' are there'""",
    """
    MATCH (h:Head {name: 'lineage'}) MATCH (x:Assertion) WHERE x.known_first > h.number OR x.known_last > h.number
    WITH 'assertion ' + toString(x.number) + ' names a revision after the last, ' + toString(h.number)""",
    """
    MATCH (h:Head {name: 'lineage'}) MATCH (m:Message) WHERE coalesce(m.revision > h.number, true)
    WITH 'message ' + coalesce(m.id, elementId(m)) + ' names a revision after the last, ' + toString(h.number)""",
    """
    MATCH (m:Message) WHERE m.due_at IS NOT NULL AND m.delivered_at IS NOT NULL
    WITH 'message ' + m.id + ' is delivered, yet due again'""",
    """
    MATCH (u:Usage) WHERE u.calls > 0 AND coalesce(u.first > u.last, true)
    WITH 'usage of ' + u.source + ' by ' + coalesce(u.reader, 'nobody known') + ' on day ' + toString(u.day)
      + ' was counted, but not when'""",
    """
    MATCH (x:Assertion) WHERE x.known_last IS NULL
    MATCH (y:Assertion {subject: x.subject}) WHERE y.known_last IS NULL AND y.origin = x.origin AND y.number > x.number
      AND x.valid_start < y.valid_end AND y.valid_start < x.valid_end
    WITH 'assertions ' + toString(x.number) + ' and ' + toString(y.number) + ' overlap in valid time'""",
)
