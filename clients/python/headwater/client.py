"""The service, as Python calls."""

from __future__ import annotations

import gzip
import hashlib
import json
import math
import os
import re
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote, unquote, urlencode

import httpx

from headwater.bulk import Line, Tell, body, outcome
from headwater.columns import Column, listed
from headwater.errors import AccessRefused, Refused, Unreachable
from headwater.features import EVENT_TIMESTAMP, FeatureResult, Frame, columns_of

DEFAULT_URL = "http://127.0.0.1:8321"
TIMEOUT_SECONDS = 30.0
RETRIES = 3

Json = dict[str, Any]

CALLED = ("deployment:", "feature_view:", "feature:")
"""How keys begin of what is called; of all else, the calls of a consumer are those of whatever it calls."""


class Client:
    """One service. Safe to use from several threads; close it, or use it in a `with` statement.

    `url`, `token` and `service` come from `HEADWATER_URL`, `HEADWATER_TOKEN`, and `OTEL_SERVICE_NAME` or
    `OTEL_RESOURCE_ATTRIBUTES` when absent. `service` is who calls, as `namespace/name` or `name`: what is then read or
    asked is known to be used by it.

    Every method raises Unreachable and Refused. What has no second effect is tried again, up to three times.
    """

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        service: str | None = None,
        timeout: float = TIMEOUT_SECONDS,
    ) -> None:
        self.url = (url or os.environ.get("HEADWATER_URL") or DEFAULT_URL).rstrip("/")
        token = token or os.environ.get("HEADWATER_TOKEN")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        headers |= _baggage(service)
        try:
            self._http = httpx.Client(base_url=self.url, headers=headers, timeout=timeout)
        except (httpx.InvalidURL, ValueError) as error:
            raise Unreachable(f"{self.url} is not the address of a service: {error}") from error

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Features

    def get_batch_features(
        self,
        features: Sequence[str],
        entity_rows: Iterable[Mapping[str, Any]] | Mapping[str, Column] | Frame,
    ) -> FeatureResult:
        """The values for each row, as of its `event_timestamp` where the rows have one, else as of now.

        `features` are `view:feature` or asset keys; `entity_rows` a list of rows, columns, or a DataFrame.
        """
        entities = columns_of(entity_rows)
        timestamps = entities.pop(EVENT_TIMESTAMP, None)
        body: Json = {"features": list(features), "entities": entities}
        if timestamps is not None:
            body[EVENT_TIMESTAMP] = timestamps
        return FeatureResult(self._post("/api/v1/features/batch", body))

    get_historical_features = get_batch_features

    def get_online_features(
        self,
        features: Sequence[str],
        entity_rows: Iterable[Mapping[str, Any]] | Mapping[str, Column] | Frame,
    ) -> FeatureResult:
        """The newest values for each row. A column `event_timestamp` is left out, so the rows of training can stay."""
        entities = columns_of(entity_rows)
        entities.pop(EVENT_TIMESTAMP, None)
        return FeatureResult(self._post("/api/v1/features/online", {"features": list(features), "entities": entities}))

    # Models

    def predict(
        self, deployment: str, inputs: Mapping[str, Column], version: str | None = None, id: str | None = None
    ) -> dict[str, list[Any]]:
        """The outputs by name, one value a row. `inputs` are columns of one length; None is a missing number."""
        path = f"/v2/models/{quote(deployment, safe='')}"
        path += f"/versions/{quote(version, safe='')}/infer" if version else "/infer"
        body: Json = {"inputs": [_tensor(name, values) for name, values in inputs.items()]}
        if id is not None:
            body["id"] = id
        answer = self._post(path, body, repeatable=False)
        return {output["name"]: _shaped(output["data"], output["shape"]) for output in answer["outputs"]}

    def upload_artifact(self, artifact: bytes | str | os.PathLike[str]) -> Json:
        """Uploads a model's file (or its bytes): {uri, digest, bytes}, as `register` wants it of a version."""
        content = artifact if isinstance(artifact, bytes) else Path(artifact).read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        answer = self._send("PUT", f"/api/v1/artifacts/{digest}", content=content)
        uploaded: Json = answer.json()
        return uploaded

    def deploy(
        self,
        namespace: str,
        name: str,
        version: str | None = None,
        composition: Sequence[Mapping[str, Any]] | None = None,
        **fields: Any,
    ) -> Json:
        """Serves a model version (by its key), or a composition of deployments: {deployment, revision, url}.

        `fields` are further fields of `DeployInput`, as owners, tier or featuresFrom.
        """
        given = {"namespace": namespace, "name": name, "version": version, "composition": composition, **fields}
        given = {name: value for name, value in given.items() if value is not None}
        result: Json = self.ask(_DEPLOY, input=given, envelope={"operationId": str(uuid.uuid4())})["deploy"]
        return _accepted(result)

    # The graph

    def ask(self, query: str, **variables: Any) -> Json:
        """The `data` of a GraphQL answer."""
        named = (variables.get("envelope") or variables).get("operationId")  # a repetition then has no second effect
        changes = re.search(r"\bmutation\b", query) is not None
        repeatable = bool(named) or not changes
        waits = _waits()
        while True:
            answer = self._post("/graphql", {"query": query, "variables": variables}, repeatable)
            if not answer.get("errors"):
                data: Json = answer["data"]
                return data
            code = str((answer["errors"][0].get("extensions") or {}).get("code", "INVALID"))
            message = "; ".join(str(error["message"]) for error in answer["errors"])
            if code not in _NO_ANSWER:
                raise (AccessRefused if code in {"FORBIDDEN", "UNAUTHENTICATED"} else Refused)(message, code)
            wait = next(waits, None) if repeatable else None
            if wait is None:
                raise Unreachable(f"{self.url} cannot answer: {message}")
            time.sleep(wait)

    def register(
        self,
        manifest: Mapping[str, Any],
        origin: str | None = None,
        basis: str = "DECLARED",
        complete: bool = False,
    ) -> Json:
        """Registers a `ManifestInput`: {changed, revision, added, updated, withdrawn}.

        `complete`: this is all that the origin says; what else it said so far is withdrawn.
        """
        envelope = {"origin": origin, "basis": basis, "operationId": str(uuid.uuid4())}
        answer = self.ask(_REGISTER, manifest={"complete": complete, **manifest}, envelope=envelope)
        return _accepted(answer["register"])

    def bulk(
        self,
        lines: Iterable[Line],
        origin: str | None = None,
        operation_id: str | None = None,
        basis: str = "IMPORTED",
        tell: Tell | None = None,
    ) -> Json:
        """Registers lines (or the objects in them) in any number: {operation, lines, refused, committed, revision, …, errors}.

        Good lines are kept whatever the others say; `errors` are the first 1,000 of {line, field, value, message, code}.
        `tell` is called with each {"error": …} and, while it runs, {"progress": …}. After an Unreachable, the same lines
        with the same `operation_id` (absent: a new one, which the error names) go on where it stopped.
        """
        operation = operation_id or str(uuid.uuid4())
        named = {"operation": operation, "origin": origin, "basis": basis}
        parameters = {name: value for name, value in named.items() if value is not None}
        headers = {"Content-Type": "application/x-ndjson", "Accept": "application/x-ndjson"}
        content = body(lines, _plain)
        try:
            with self._http.stream(
                "POST", "/api/v1/bulk", params=parameters, content=content, headers=headers
            ) as answer:
                if answer.is_success:
                    return outcome(answer.iter_lines(), operation, tell)
                answer.read()
        except httpx.TransportError as error:
            reason = str(error) or type(error).__name__
            raise Unreachable(f"no answer from {self.url}: {reason} (operation {operation})") from error
        if answer.status_code in {502, 503, 504}:
            raise Unreachable(f"{self.url} is not ready: {_message(answer)} (operation {operation})")
        raise _refused(_checked(answer))

    def import_document(
        self,
        format: str,
        document: Json,
        origin: str | None = None,
        namespace: str | None = None,
        force: bool = False,
    ) -> Json:
        """A document of another system, as `dbt`, is all that its origin says: {origin, assets, flows, changed, revision, …}.

        What that origin said before and does not say now is withdrawn. `origin` and `namespace` absent: as the format
        has it. `force`: even if a later state of the same source was imported before, which is refused else.
        """
        named = {"origin": origin, "namespace": namespace, "operation": str(uuid.uuid4())}
        named |= {"force": "true"} if force else {}
        path = (
            f"/api/v1/imports/{quote(format, safe='')}?{urlencode({k: v for k, v in named.items() if v is not None})}"
        )
        content = gzip.compress(json.dumps(document, default=_plain, allow_nan=False).encode(), 1)
        answer = self._send("POST", path, content=content, packed=True)
        if answer.is_error:
            raise _refused(answer)
        done: Json = answer.json()
        return done

    def apply_manifest(self, document: Mapping[str, Any], dry_run: bool = False) -> Json:
        """A parsed headwater.yaml is all that its origin says: {changed, revision, added, updated, withdrawn, plan}.

        `plan` is there for a dry run, which changes nothing: a list of {verb, subject}.
        """
        variables = {"document": document, "dryRun": dry_run, "operationId": str(uuid.uuid4())}
        return _accepted(self.ask(_APPLY, **variables)["applyManifest"])

    def check(
        self, base: Sequence[Mapping[str, Any]], head: Sequence[Mapping[str, Any]], policy: object = None
    ) -> Json:
        """What a change means to those downstream: of the documents of a repository, each {path, content, …}, as `DocumentInput`.

        `policy`: a parsed headwater.policy.yaml, or several in a list; beside the service's own, and the strictest counts.
        """
        return _accepted(self.ask(_CHECK, base=base, head=head, policy=policy)["check"])

    def deprecate(
        self, key: str, until: str | None = None, replacement: str | None = None, reason: str | None = None
    ) -> Json:
        """Says that an asset goes away, and has everybody downstream told: {changed, revision}. `until`: 2026-12-31."""
        answer = self.ask(_DEPRECATE, id=key, until=until, replacement=replacement, reason=reason)
        return _accepted(answer["deprecate"])

    def undeprecate(self, key: str) -> Json:
        """Says that an asset stays after all: {changed, revision}."""
        return _accepted(self.ask(_UNDEPRECATE, id=key)["undeprecate"])

    def deprecations(self) -> list[Json]:
        """What is deprecated, what must go soonest first, each with its users: {asset, deprecation, usersTotal, users}."""
        found: list[Json] = []
        after = None
        while True:
            page = self.ask(_DEPRECATIONS, after=after)["deprecations"]
            found += [edge["node"] for edge in page["edges"]]
            after = page["pageInfo"]["endCursor"]
            if not page["pageInfo"]["hasNextPage"]:
                return found

    def acknowledge(
        self, assets: Sequence[str], change: str, digest: str, until: str | None = None, note: str | None = None
    ) -> Json:
        """Agrees to what one change does to assets of the caller's: {changed, revision}. `digest` as `check` tells it."""
        variables = {"assets": [*assets], "change": change, "digest": digest, "until": until, "note": note}
        return _accepted(self.ask(_ACKNOWLEDGE, **variables)["acknowledge"])

    def withdraw_acknowledgement(self, assets: Sequence[str], digest: str) -> Json:
        """Takes back what was acknowledged: {changed, revision}."""
        return _accepted(self.ask(_WITHDRAW, assets=[*assets], digest=digest)["withdrawAcknowledgement"])

    def impact(self, key: str, follow: str = "VALUES") -> list[Json]:
        """Everything downstream of an asset, nearest first: rows of {key, kind, namespace, hops, when, owners, …}.

        `follow`: VALUES asks who sees other content, LOSS who is hit when it is gone.
        """
        columns: dict[str, list[Any]] = _accepted(self.ask(_IMPACT, start=key, follow=follow)["lineage"])["columns"]
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    def consumers(self, key: str) -> Json:
        """Who uses an asset, however far downstream: {id, unidentified, consumers}, each of these
        {id, sameAs, hops, partly, verified, calls}.

        What is known by several keys is there once; `calls` are those of the last 30 days (of a deployment, a feature or its
        view: those of it), by the key they were made under and whether that was proved: {name, verified, usage}.
        Raises Refused for an asset that nobody knows.
        """
        called = key if key.startswith(CALLED) else None
        found: list[Json] = []
        after = None
        while True:
            asset = self.ask(_CONSUMERS, key=key, of=called, after=after)["asset"]
            if asset is None:
                raise Refused(f"{key} is not known", "UnknownAsset")
            page = asset["consumers"]
            found += [{**edge.pop("node"), **edge} for edge in page["edges"]]
            after = page["pageInfo"]["endCursor"]
            if not page["pageInfo"]["hasNextPage"]:
                return {"id": asset["id"], "unidentified": asset["unidentified"]["calls"], "consumers": found}

    def join(self, keys: Sequence[str], shown: str) -> Json:
        """Says that assets are the same as `shown`: {changed, revision, added, updated, withdrawn}. `part` undoes it."""
        variables = {"assets": [*keys], "as": shown, "envelope": {"operationId": str(uuid.uuid4())}}
        return _accepted(self.ask(_JOIN, **variables)["joinAssets"])

    def part(self, keys: Sequence[str]) -> Json:
        """Takes back that assets are the same as others, as far as somebody said so by `join`: as `join` answers."""
        variables = {"assets": [*keys], "envelope": {"operationId": str(uuid.uuid4())}}
        return _accepted(self.ask(_PART, **variables)["partAssets"])

    # HTTP

    def _post(self, path: str, body: Json, repeatable: bool = True) -> Json:
        content = json.dumps(body, default=_plain, allow_nan=False).encode()
        answer = self._send("POST", path, content=content, repeatable=repeatable)
        try:
            document: Json = answer.json()
        except ValueError:
            raise Unreachable(f"{self.url}{path} does not answer as Headwater does: {answer.text[:200]!r}") from None
        return document

    def _send(
        self, method: str, path: str, content: bytes, repeatable: bool = True, packed: bool = False
    ) -> httpx.Response:
        headers = {"Content-Type": "application/json" if method == "POST" else "application/octet-stream"}
        if packed:
            headers["Content-Encoding"] = "gzip"
        waits = _waits()
        while True:
            failure: str
            try:
                answer = self._http.request(method, path, content=content, headers=headers)
            except httpx.ConnectError as error:  # nothing was sent
                failure = f"cannot reach {self.url}: {error}"
                again = True
            except httpx.TransportError as error:
                failure = f"no answer from {self.url}: {str(error) or type(error).__name__}"
                again = repeatable
            except httpx.InvalidURL as error:
                raise Unreachable(f"{self.url} is not the address of a service: {error}") from error
            else:
                if answer.status_code not in {502, 503, 504}:
                    return _checked(answer)
                failure = f"{self.url} is not ready: {_message(answer)}"
                again = repeatable
            wait = next(waits, None) if again else None
            if wait is None:
                raise Unreachable(failure)
            time.sleep(wait)


_NO_ANSWER = {"NotReady", "StoreUnavailable"}
"""The service is there, and its store or index is not."""


def _waits() -> Iterator[float]:
    return (0.2 * 2**attempt for attempt in range(RETRIES))


def _checked(answer: httpx.Response) -> httpx.Response:
    """Raises Refused. GraphQL's own refusals stand in the body of an answer, whatever its status."""
    if answer.status_code in {401, 403}:
        raise AccessRefused(_message(answer), str(answer.status_code))
    if answer.is_error and "errors" not in _body(answer):
        raise Refused(_message(answer), str(answer.status_code))
    if answer.is_redirect:
        raise Refused(f"{answer.url} redirects to {answer.headers.get('location')}", str(answer.status_code))
    return answer


def _refused(answer: httpx.Response) -> Refused:
    """What a checked answer says that is an error in the form of GraphQL's."""
    extensions = _body(answer)["errors"][0].get("extensions") or {}
    return Refused(_message(answer), str(extensions.get("code", answer.status_code)))


def _body(answer: httpx.Response) -> Json:
    try:
        document = answer.json()
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _message(answer: httpx.Response) -> str:
    body = _body(answer)
    errors = body.get("errors")
    if isinstance(errors, list) and errors:
        return str(errors[0].get("message"))
    error = body.get("error")
    if isinstance(error, dict):
        error = error.get("message")
    return str(error or body.get("message") or f"{answer.status_code} {answer.reason_phrase}")


def _accepted(result: Json) -> Json:
    """Raises Refused for a problem."""
    if "problem" in result:
        raise Refused(result["problem"], result["__typename"])
    return result


def _baggage(service: str | None) -> dict[str, str]:
    """W3C baggage that names the caller, in the words of OpenTelemetry's resources."""
    stated = (each.partition("=") for each in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "").split(","))
    resource = {name.strip(): unquote(value.strip()) for name, equals, value in stated if equals}
    if service:
        namespace, _, name = service.rpartition("/")
    else:
        name = os.environ.get("OTEL_SERVICE_NAME") or resource.get("service.name", "")
        namespace = resource.get("service.namespace", "")
    if not name:
        return {}
    members = {"service.name": name, "service.namespace": namespace}
    return {"baggage": ",".join(f"{member}={quote(value, safe='')}" for member, value in members.items() if value)}


def _plain(value: Any) -> Any:
    """What numpy, pandas and datetime hold, as JSON."""
    for method in ("tolist", "isoformat"):
        if hasattr(value, method):
            return getattr(value, method)()
    raise TypeError(f"{value!r} is a {type(value).__name__}, which cannot be sent as JSON")


def _tensor(name: str, values: Column) -> Json:
    """One input, as the Open Inference Protocol has it. Raises ValueError for rows of different shapes."""
    flat = listed(values)
    shape = [len(flat)]
    while flat and all(isinstance(item, (list, tuple)) for item in flat):
        widths = {len(item) for item in flat}
        if len(widths) > 1:
            raise ValueError(f"the rows of {name} have different lengths: {', '.join(map(str, sorted(widths)))}")
        shape.append(widths.pop())
        flat = [inner for item in flat for inner in item]
    flat = [item.item() if hasattr(item, "item") else item for item in flat]
    datatype = _datatype(flat)
    if datatype == "FP64":
        flat = [None if isinstance(item, float) and math.isnan(item) else item for item in flat]
    return {"name": name, "shape": shape, "datatype": datatype, "data": flat}


def _datatype(values: Iterable[Any]) -> str:
    kinds = {type(value) for value in values if value is not None}
    if kinds == {bool}:
        return "BOOL"
    if kinds == {int}:
        return "INT64"
    return "FP64" if kinds <= {int, float} else "BYTES"


def _shaped(data: list[Any], shape: Sequence[int]) -> list[Any]:
    """Row-major data as nested lists."""
    for size in reversed(shape[1:]):
        data = [data[start : start + size] for start in range(0, len(data), size)] if size else data
    return data


_PROBLEM = "... on Problem { __typename problem: message }"

_REGISTER = f"""
mutation Register($manifest: ManifestInput!, $envelope: EnvelopeInput!) {{
  register(manifest: $manifest, envelope: $envelope) {{
    ... on Registered {{ changed revision added updated withdrawn }}
    {_PROBLEM}
  }}
}}
"""

_APPLY = f"""
mutation Apply($document: JSON!, $dryRun: Boolean!, $operationId: String!) {{
  applyManifest(document: $document, dryRun: $dryRun, operationId: $operationId) {{
    ... on Registered {{ changed revision added updated withdrawn plan {{ verb subject }} }}
    {_PROBLEM}
  }}
}}
"""

_DEPLOY = f"""
mutation Deploy($input: DeployInput!, $envelope: EnvelopeInput!) {{
  deploy(input: $input, envelope: $envelope) {{
    ... on Deployed {{ deployment {{ id }} revision url }}
    {_PROBLEM}
  }}
}}
"""

_CONSUMERS = """
query Consumers($key: ID!, $of: ID, $after: String) {
  asset(key: $key) {
    id
    unidentified { calls }
    consumers(first: 200, after: $after) {
      pageInfo { hasNextPage endCursor }
      edges {
        hops
        partly
        node { id sameAs ... on Consumer { verified calls(of: $of) { name verified usage { calls errors lastSeen } } } }
      }
    }
  }
}
"""

_JOIN = f"""
mutation Join($assets: [ID!]!, $as: ID!, $envelope: EnvelopeInput!) {{
  joinAssets(assets: $assets, as: $as, envelope: $envelope) {{
    ... on Registered {{ changed revision added updated withdrawn }}
    {_PROBLEM}
  }}
}}
"""

_PART = f"""
mutation Part($assets: [ID!]!, $envelope: EnvelopeInput!) {{
  partAssets(assets: $assets, envelope: $envelope) {{
    ... on Registered {{ changed revision added updated withdrawn }}
    {_PROBLEM}
  }}
}}
"""

_DEPRECATE = f"""
mutation Deprecate($id: ID!, $until: Date, $replacement: String, $reason: String) {{
  deprecate(id: $id, until: $until, replacement: $replacement, reason: $reason) {{
    ... on Registered {{ changed revision }}
    {_PROBLEM}
  }}
}}
"""

_UNDEPRECATE = f"""
mutation Undeprecate($id: ID!) {{
  undeprecate(id: $id) {{ ... on Registered {{ changed revision }} {_PROBLEM} }}
}}
"""

_DEPRECATIONS = """
query Deprecations($after: String) {
  deprecations(first: 20, after: $after) {
    pageInfo { hasNextPage endCursor }
    edges {
      node {
        asset { id owners { name contact } }
        deprecation { toldAt until replacement reason by }
        usersTotal
        users(first: 20) { hops asset { id owners { name contact } } usage { calls lastSeen days { date calls } } }
      }
    }
  }
}
"""

_ACKNOWLEDGE = f"""
mutation Acknowledge($assets: [ID!]!, $digest: String!, $change: ID!, $until: Date, $note: String) {{
  acknowledge(assets: $assets, digest: $digest, change: $change, until: $until, note: $note) {{
    ... on Registered {{ changed revision }}
    {_PROBLEM}
  }}
}}
"""

_WITHDRAW = f"""
mutation Withdraw($assets: [ID!]!, $digest: String!) {{
  withdrawAcknowledgement(assets: $assets, digest: $digest) {{
    ... on Registered {{ changed revision }}
    {_PROBLEM}
  }}
}}
"""

_IMPACT = f"""
query Impact($start: ID!, $follow: Follow!) {{
  lineage(start: $start, follow: $follow) {{ ... on Lineage {{ columns }} {_PROBLEM} }}
}}
"""

_CHECK = f"""
query Check($base: [DocumentInput!]!, $head: [DocumentInput!]!, $policy: JSON) {{
  check(base: $base, head: $head, policy: $policy) {{
    ... on Check {{
      outcome
      flagCounts
      revision
      at
      total
      unidentifiedCalls
      counts {{ verdict when kind count }}
      findings(first: 50) {{
        id
        digest
        kind
        title
        alteration
        verdict
        reason
        renamedTo
        known
        differences {{ attribute before after verdict reason }}
        places {{ document at line }}
        advice
        counts {{ verdict when kind count }}
      }}
      affected(first: 50) {{
        verdict
        when
        results {{ verdict when }}
        hops
        changes
        path
          evidence {{ basis origins source {{ id }} target {{ id }} }}
        advice
        decision {{
          rule
          effect
          reason
          acknowledgedBy
          until
          acknowledgements {{ by asOwner at until note }}
        }}
        asset {{
          id
          kind
          namespace
          title
          owners {{ name contact }}
          tier
          environment
          verified
          usage {{ calls callsPerDay lastSeen }}
        }}
      }}
    }}
    {_PROBLEM}
  }}
}}
"""
