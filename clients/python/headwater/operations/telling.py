"""What the service is told, at once or in bulk."""

from __future__ import annotations

import gzip
import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode

from headwater.bulk import Events, Line, Tell, body
from headwater.connection import Connection
from headwater.errors import PlanMoved, Unreachable
from headwater.operations.graph import accepted, ask, untyped
from headwater.schema.input_types import ManifestInput
from headwater.schema.operations import APPLY_GQL, CHECK_GQL, GET_PLAN_GQL, JOIN_GQL, PART_GQL, REGISTER_GQL
from headwater.transport import Call, Json, NoAnswer, Steps, answered, attempted, checked, plain, refused


def register(
    self: Connection,
    /,
    manifest: Mapping[str, Any] | ManifestInput,
    origin: str | None = None,
    basis: str = "DECLARED",
    complete: bool = False,
    operation_id: str | None = None,
) -> Steps[Json]:
    """Registers a `ManifestInput`: {changed, revision, added, updated, withdrawn}.

    `complete`: this is all that the origin says; what else it said so far is withdrawn. What was sent before under the same
    `operation_id` (absent: a new one) has no second effect.

    >>> shop = {"datasets": [{"namespace": "shop", "name": "orders", "columns": [{"path": ["total"], "type": "double"}]}]}
    >>> client.register(shop, origin="orders")["added"]
    2
    """
    given = plain(manifest) if isinstance(manifest, ManifestInput) else manifest
    envelope = {"origin": origin, "basis": basis, "operationId": operation_id or str(uuid.uuid4())}
    answer = yield from ask(self, REGISTER_GQL, manifest={"complete": complete, **given}, envelope=envelope)
    return accepted(answer["registered"])


def bulk(
    self: Connection,
    /,
    lines: Iterable[Line],
    origin: str | None = None,
    operation_id: str | None = None,
    basis: str = "IMPORTED",
    tell: Tell | None = None,
) -> Steps[Json]:
    """Registers lines (or the objects in them) in any number: {operation, lines, refused, committed, revision, …, errors}.

    Good lines are kept whatever the others say; `errors` are the first 1,000 of {line, field, value, message, code}.
    `tell` is called with each {"error": …} and, while it runs, {"progress": …}. After an Unreachable, the same lines
    with the same `operation_id` (absent: a new one, which the error names) go on where it stopped.

    >>> done = client.bulk([{"asset": f"dataset:shop/table_{n}"} for n in range(3)], origin="tables")
    >>> done["committed"], done["errors"]
    (3, [])
    """
    operation = operation_id or str(uuid.uuid4())
    events = Events(operation, tell)
    try:
        answer = checked((yield from attempted(bulk_call(lines, origin, operation, basis, events))))
    except NoAnswer as error:
        raise Unreachable(f"{error} (operation {operation})") from error
    if answer.status in {502, 503, 504}:
        raise Unreachable(f"{self.url} is not ready: {answer.message} (operation {operation})")
    if answer.status >= 400:
        raise refused(answer)
    return events.outcome()


def bulk_call(lines: Iterable[Line], origin: str | None, operation: str, basis: str, events: Events | None) -> Call:
    named = {"operation": operation, "origin": origin, "basis": basis}
    query = urlencode({name: value for name, value in named.items() if value is not None})
    headers = {"Content-Type": "application/x-ndjson", "Accept": "application/x-ndjson"}
    return Call("POST", f"/api/v1/bulk?{query}", body(lines, plain), headers, None if events is None else events.hear)


def import_document(
    self: Connection,
    /,
    format: str,
    document: Json,
    origin: str | None = None,
    namespace: str | None = None,
    force: bool = False,
) -> Steps[Json]:
    """A document of another system, as `dbt`, is all that its origin says: {origin, assets, flows, changed, revision, …}.

    What that origin said before and does not say now is withdrawn. `origin` and `namespace` absent: as the format
    has it. `force`: even if a later state of the same source was imported before, which is refused else.

    >>> files = [{"path": "daily.sql", "text": "create table daily as select id, total from orders"}]
    >>> client.import_document("sql", {"dialect": "duckdb", "files": files}, namespace="shop")["changed"]
    True
    """
    content = json.dumps(document, default=plain, allow_nan=False).encode()
    answer = yield from answered(import_call(content, format, str(uuid.uuid4()), origin, namespace, force))
    if answer.status >= 400:
        raise refused(answer)
    return answer.document()


def import_call(
    document: bytes, format: str, operation: str, origin: str | None, namespace: str | None, force: bool = False
) -> Call:
    named = {"origin": origin, "namespace": namespace, "operation": operation, "force": "true" if force else None}
    query = urlencode({name: value for name, value in named.items() if value is not None})
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    return Call("POST", f"/api/v1/imports/{quote(format, safe='')}?{query}", gzip.compress(document, 1), headers)


def join(self: Connection, /, keys: Sequence[str], shown: str) -> Steps[Json]:
    """Says that assets are the same as `shown`: {changed, revision, added, updated, withdrawn}. `part` undoes it.

    >>> client.join(["consumer:shop/till-v2"], "consumer:shop/till")["changed"]
    True
    """
    variables = {"assets": [*keys], "as": shown, "envelope": {"operationId": str(uuid.uuid4())}}
    return accepted((yield from ask(self, JOIN_GQL, **variables))["joinAssets"])


def part(self: Connection, /, keys: Sequence[str]) -> Steps[Json]:
    """Takes back that assets are the same as others, as far as somebody said so by `join`: as `join` answers.

    >>> client.part(["consumer:shop/kiosk"])["changed"]
    True
    """
    variables = {"assets": [*keys], "envelope": {"operationId": str(uuid.uuid4())}}
    return accepted((yield from ask(self, PART_GQL, **variables))["partAssets"])


# Manifests and the check. Their texts are queries/manifest.graphql and queries/check.graphql.


def plan(
    self: Connection, /, documents: Sequence[Mapping[str, Any]], removed: Sequence[str] = (), prune: bool = False
) -> Steps[Json]:
    """What the graph would say otherwise if all documents of a repository held, each {path, content, …}, as `DocumentInput`.

    {digest, revision, added, updated, withdrawn, changes, origins, shared, orphaned, touches}. `removed` are origins whose
    documents are gone: what they say is withdrawn with `prune`, else told of as orphaned. Changes nothing.

    >>> client.plan([])["added"]
    0
    """
    return accepted((yield from ask(self, GET_PLAN_GQL, documents=documents, removed=removed, prune=prune))["plan"])


def apply(
    self: Connection,
    /,
    documents: Sequence[Mapping[str, Any]],
    removed: Sequence[str] = (),
    prune: bool = False,
    plan: str | None = None,
    operation_id: str | None = None,
) -> Steps[Json]:
    """The documents are all that their origins say, in one revision or not at all: {changed, revision, added, updated,
    withdrawn}.

    `plan`: the digest of one; these changes are made, or PlanMoved is raised. The same `operation_id` again has no
    second effect.

    >>> client.apply([], plan=client.plan([])["digest"])["changed"]
    False
    """
    variables = {"documents": documents, "removed": removed, "prune": prune, "plan": plan}
    done = (yield from ask(self, APPLY_GQL, **variables, operationId=operation_id or str(uuid.uuid4())))["applied"]
    if done["__typename"] == "PlanDiffers":
        raise PlanMoved(done["problem"], untyped(done["plan"]))
    return accepted(done)


def check(
    self: Connection,
    /,
    base: Sequence[Mapping[str, Any]],
    head: Sequence[Mapping[str, Any]],
    policy: object = None,
) -> Steps[Json]:
    """What a change means to those downstream: of the documents of a repository, each {path, content, …}, as `DocumentInput`.

    `policy`: a parsed headwater.policy.yaml, or several in a list; beside the service's own, and the strictest counts.

    >>> client.check([], [])["outcome"]
    'CLEAN'
    """
    return accepted((yield from ask(self, CHECK_GQL, base=base, head=head, policy=policy))["check"])
