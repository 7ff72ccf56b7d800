"""What a span touches: told by patterns that are configured, by address, by the name of the peer, by the path, by attributes of data.

Of what is known now. Something unknown is no target; something that may be any of several is none either, with a reason.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

import numpy as np

from app.events import GATEWAY
from app.spans import CLIENT, CONSUMER, PRODUCER, SERVER, Span
from graph.attributes import shown_values
from graph.errors import InvalidKey, quoted, shortened
from graph.keys import AssetKey, AssetKind
from graph.same import names_of
from graph.stores.contract import Store
from graph.time import MINUTE, Instant
from graph.topology import KIND_CODE, Moment, View

GROUPS = {"deployment": AssetKind.DEPLOYMENT, "feature_view": AssetKind.FEATURE_VIEW, "dataset": AssetKind.DATASET}
"""What groups of a pattern name."""

_WHERE = (
    *(
        "url.full",
        "http.url",
        "url.path",
        "http.target",
        "url.scheme",
        "http.scheme",
        "http.request.method",
        "http.method",
    ),
    *("server.address", "server.port", "net.peer.name", "net.peer.port", "net.host.name", "net.host.port", "http.host"),
    *("service.peer.name", "service.peer.namespace", "peer.service", "rpc.method"),
)
_REMEMBERED = 20_000
_REFRESH: Instant = MINUTE
"""How old a directory may be though nothing was committed: something may have begun or ended."""
_FEW = 200
_ADDRESSED = (AssetKind.DEPLOYMENT, AssetKind.FEATURE_VIEW)

_ASKS = re.compile(
    r"(?:.*/)?(?:v2/models/([^/]+)(?:/versions/[^/]+)?/(?:infer|infer_stream|generate|generate_stream)"
    r"|v1/models/([^/:]+):(?:predict|explain))/?",
    re.DOTALL,
)
"""Paths of the Open Inference Protocol and the one before that ask a model for something."""
_TELLS = re.compile(r"(?:.*/)?v[12](?:/health/.*|/models/.*|/models|/repository/.*|)/?", re.DOTALL)
"""Those that ask about one. `_ASKS` is looked at first."""
_FEATURES = re.compile(r"(?:.*/)?(?:api/v1/features/(?:online|batch)|get-online-features)/?", re.DOTALL)

_RPC_TELLS = re.compile(
    r"(?:.*/)?(?:(?:Server|Model)(?:Live|Ready|Metadata|Statistics|Config)|Repository\w+|Check|Watch)"
)
"""The same of gRPC: what inference and health services answer beside predictions."""

_SCHEMES = {
    "postgresql": "postgres",
    "mariadb": "mysql",
    "microsoft.sql_server": "mssql",
    "oracle.db": "oracle",
    "aws.redshift": "redshift",
    "gcp.bigquery": "bigquery",
    "azure.cosmosdb": "azurecosmos",
}
"""What OpenLineage calls systems that OpenTelemetry calls otherwise."""
_PORTS = {
    "postgres": "5432",
    "mysql": "3306",
    "mssql": "1433",
    "oracle": "1521",
    "redshift": "5439",
    "cassandra": "9042",
    "mongodb": "27017",
    "clickhouse": "9000",
    "trino": "8080",
    "hive": "10000",
    "kafka": "9092",
    "redis": "6379",
}
_READS = frozenset({"select", "find", "get", "aggregate", "count", "distinct", "scan", "query", "mget", "copy_out"})
_WRITES = frozenset(
    {"insert", "update", "delete", "merge", "upsert", "replace", "truncate", "put", "set", "findandmodify", "bulkwrite"}
)
_SENDS = frozenset({"send", "publish", "create"})
_TAKES = frozenset({"receive", "process", "deliver", "poll"})


class Target(NamedTuple):
    asset: AssetKey
    writes: bool = False
    is_served_here: bool = False
    """This service answers it, and counts the calls itself."""


class Ambiguous(NamedTuple):
    reason: str


class _Known(NamedTuple):
    key: AssetKey
    is_served_here: bool
    path: str
    """Of its URL, without `/` at the end."""


@dataclass(slots=True)
class Directory:
    """Where deployments and feature views are, as of one revision, that of `view`."""

    view: View
    now: Instant
    at: Instant
    """When it was made."""
    by_name: Mapping[tuple[AssetKind, str], list[_Known]] = field(default_factory=dict)
    by_host: Mapping[str, list[_Known]] = field(default_factory=dict)
    """By host and port, and by the host alone where the URL names no port."""
    answered: "dict[tuple[object, ...], Target | Ambiguous | None]" = field(default_factory=dict)
    """By what tells where a span goes by HTTP (`_WHERE`), what it touches."""

    @classmethod
    def of(cls, view: View, store: Store, now: Instant) -> "Directory":
        """Raises StoreUnavailable."""
        by_name: dict[tuple[AssetKind, str], list[_Known]] = {}
        by_host: dict[str, list[_Known]] = {}
        codes = [KIND_CODE[kind] for kind in _ADDRESSED]
        numbers = np.nonzero(np.isin(view.kind[: view.assets], codes))[0].tolist()
        for key, said in store.believed([view.key(number) for number in numbers]).items():
            shown = shown_values(said, now)
            if not isinstance(key, AssetKey) or shown is None:
                continue
            served = any(each.origin == GATEWAY and each.valid.holds_at(now) for each in said)
            host, path = _address(shown.get("url"))
            known = _Known(key, served, path)
            by_name.setdefault((key.kind, key.name), []).append(known)
            if host:
                by_host.setdefault(host, []).append(known)
        return cls(view, now, now, by_name, by_host)

    def still(self, view: View, store: Store, now: Instant) -> bool:
        """Whether it holds for `view`; its revision is then that of `view`. Raises StoreUnavailable."""
        if now - self.at > _REFRESH:
            return False
        if view.revision != self.view.revision:
            revisions = store.changes_since(self.view.revision, _FEW)
            rows = (row for revision in revisions for row in (*revision.opened, *revision.closed))
            changed = {subject.kind for row in rows if isinstance(subject := row.assertion.subject, AssetKey)}
            if len(revisions) == _FEW or not changed.isdisjoint(_ADDRESSED):
                return False
            if AssetKind.DATASET in changed:
                self.answered.clear()
            self.view, self.now = view, now
        return True

    def alone(self, keys: Iterable[AssetKey]) -> AssetKey | None:
        """The key of the only asset that they name, by which it is shown where they are several; None: they name several."""
        few = [*keys]
        if len(few) > 1:
            few = [*{names_of(self.view, key, Moment(self.now, self.view.revision))[0] for key in few}]
        return few[0] if len(few) == 1 else None


@dataclass(frozen=True, slots=True)
class Targets:
    """`patterns` are of whole addresses, as `Goes.text` has them, with groups of `GROUPS`, perhaps one `namespace`."""

    patterns: Sequence[re.Pattern[str]]

    def of(self, span: Span, directory: Directory) -> Target | Ambiguous | None:
        told = span.attributes
        if not told or span.kind not in (CLIENT, SERVER, PRODUCER, CONSUMER):
            return None
        if "messaging.system" in told or "db.system.name" in told or "db.system" in told:
            return self._found(span, directory)
        # Most spans ask what others have asked before.
        url, *others = map(told.get, _WHERE)
        asked = (span.kind, url and url.partition("?")[0], *others)
        try:
            return directory.answered[asked]
        except KeyError:
            found = self._found(span, directory)
        if len(directory.answered) >= _REMEMBERED:
            directory.answered.clear()
        directory.answered[asked] = found
        return found

    def _found(self, span: Span, directory: Directory) -> Target | Ambiguous | None:
        told, goes = span.attributes, _goes(span)
        if self.patterns and (found := self._by_pattern(goes, directory)) is not None:
            return found
        if "messaging.system" in told:
            return _topic(span, goes, directory)
        if "db.system.name" in told or "db.system" in told:
            return _table(span, goes, directory)
        return _asked(span, goes, directory)

    def _by_pattern(self, goes: "Goes", directory: Directory) -> Target | Ambiguous | None:
        for pattern in self.patterns:
            found = pattern.fullmatch(goes.text)
            if found is None:
                continue
            groups = {name: _plain(text) for name, text in found.groupdict().items() if text is not None}
            for group, kind in GROUPS.items():
                if (name := groups.get(group)) is None:
                    continue
                namespace = groups.get("namespace")
                if kind is AssetKind.DATASET:
                    return _dataset([(namespace or "", name)], directory, writes=goes.writes)
                known = directory.by_name.get((kind, name), [])
                return _one([each for each in known if namespace in (None, each.key.namespace)], goes.text, directory)
        return None


# Where it goes


@dataclass(frozen=True, slots=True)
class Goes:
    text: str
    """As a URL: of HTTP without query, of others `system://host:port/destination`."""
    host: str
    """In lower case; empty: it is not said."""
    port: str
    path: str
    method: str
    writes: bool


def _goes(span: Span) -> Goes:
    told = span.attributes
    is_server = span.kind == SERVER
    scheme, host, port, path = told.get("url.scheme", told.get("http.scheme", "")), "", "", ""
    url = told.get("url.full", told.get("http.url"))
    if url is not None:
        try:
            parts = urlsplit(url)
            scheme, host, path = parts.scheme, parts.hostname or "", parts.path
            port = str(parts.port or "")
        except ValueError:
            pass
    else:
        path = told.get("url.path", told.get("http.target", "")).partition("?")[0]
        own = told.get("net.host.name", "") if is_server else ""
        host = told.get("server.address", told.get("net.peer.name", "") if not is_server else own)
        port = told.get("server.port", told.get("net.host.port" if is_server else "net.peer.port", ""))
        if not host and (given := told.get("http.host")):
            host, _, port = given.partition(":")
    if (system := told.get("messaging.system")) is not None:
        scheme = system
        path = "/" + told.get("messaging.destination.name", told.get("messaging.destination", ""))
    scheme = scheme or ("https" if port == "443" else "http")
    host = host.lower().rstrip(".")
    if (scheme, port) in (("http", "80"), ("https", "443")):
        port = ""
    text = f"{scheme}://{host}{':' + port if port else ''}{path}"
    method = told.get("http.request.method", told.get("http.method", "")).upper()
    return Goes(text, host, port, path, method, span.kind == PRODUCER)


def _address(url: object) -> tuple[str, str]:
    """Host with port, and path, of the URL of an asset."""
    try:
        parts = urlsplit(url if isinstance(url, str) else "")
        port = parts.port
    except ValueError:
        return "", ""
    if not parts.hostname:
        return "", ""
    port = None if (parts.scheme, port) in (("http", 80), ("https", 443)) else port
    return _short(parts.hostname) + (f":{port}" if port else ""), parts.path.rstrip("/")


def _short(host: str) -> str:
    """Within Kubernetes the same service has longer and shorter names."""
    return host.lower().rstrip(".").removesuffix(".cluster.local").removesuffix(".svc")


def _plain(text: str) -> str:
    """As a key has it, of what stands in a URL."""
    return unicodedata.normalize("NFC", unquote(text))


# What answers


def _asked(span: Span, goes: Goes, directory: Directory) -> Target | Ambiguous | None:
    model, method = _model(goes.path), span.attributes.get("rpc.method")
    if model is None and not _may_ask(goes, method):
        return None
    at_host = _at_host(goes, directory, any_port=method is not None)
    if span.kind == SERVER and model is None:
        # Every server says that it is at localhost:8080.
        at_host = [each for each in at_host if each.path]
    if found := [each for each in at_host if each.key.name == model] or _nearest(at_host, goes.path):
        return _one(found, goes.text, directory)
    kinds = (AssetKind.FEATURE_VIEW,) if _FEATURES.fullmatch(goes.path) else _ADDRESSED
    peer = span.attributes.get("service.peer.name", span.attributes.get("peer.service"))
    if peer is not None and span.kind in (CLIENT, PRODUCER):
        namespace = span.attributes.get("service.peer.namespace")
        known = [each for kind in kinds for each in directory.by_name.get((kind, peer), ())]
        known = [each for each in known if namespace in (None, each.key.namespace)]
        if known:
            return _one(_of_host(known, goes), peer, directory)
    if model is None:
        return None
    return _one(_of_host(directory.by_name.get((AssetKind.DEPLOYMENT, model), ()), goes), model, directory)


def _model(path: str) -> str | None:
    """The name of the model that is asked."""
    found = _ASKS.fullmatch(path)
    if found is None:
        return None
    try:
        return unicodedata.normalize("NFC", unquote(found[1] or found[2], errors="strict"))
    except UnicodeDecodeError:
        return None


def _may_ask(goes: Goes, rpc_method: str | None) -> bool:
    """Whether it may be for an answer, not for how the server is."""
    if rpc_method is not None:
        return _RPC_TELLS.fullmatch(rpc_method) is None
    if goes.path.rstrip("/") and _TELLS.fullmatch(goes.path):
        return False
    return goes.method in ("POST", "")


def _at_host(goes: Goes, directory: Directory, any_port: bool) -> Sequence[_Known]:
    """`any_port`: gRPC is answered at another port than the one of the URL."""
    if not goes.host:
        return ()
    host = _short(goes.host)
    found = directory.by_host.get(f"{host}:{goes.port}" if goes.port else host, ())
    return found or (directory.by_host.get(host, ()) if any_port else ())


def _nearest(known: Sequence[_Known], path: str) -> list[_Known]:
    """Those at the longest beginning of the path."""
    fit = [each for each in known if not each.path or path == each.path or path.startswith(each.path + "/")]
    longest = max((len(each.path) for each in fit), default=0)
    return [each for each in fit if len(each.path) == longest]


def _of_host(known: Sequence[_Known], goes: Goes) -> Sequence[_Known]:
    """Of several, those whose namespace is a part of the host's name, as in Kubernetes; all if there are none."""
    if len(known) < 2 or not goes.host:
        return known
    parts = goes.host.split(".")
    return [each for each in known if each.key.namespace in parts] or known


def _one(known: Sequence[_Known], asked: str, directory: Directory) -> Target | Ambiguous | None:
    if not known:
        return None
    served = [each for each in known if each.is_served_here]
    if len(served) == 1:
        return Target(served[0].key, is_served_here=True)
    alone = directory.alone(each.key for each in known)
    if alone is None:
        named = ", ".join(sorted(str(each.key) for each in known))
        return Ambiguous(f"asks {quoted(asked)}, which may be any of {shortened(named)}")
    return Target(alone, is_served_here=bool(served))


# Data


def _topic(span: Span, goes: Goes, directory: Directory) -> Target | Ambiguous | None:
    told = span.attributes
    topic = told.get("messaging.destination.name", told.get("messaging.destination"))
    if not topic:
        return None
    does = told.get("messaging.operation.type", told.get("messaging.operation", "")).lower()
    writes = does in _SENDS or (span.kind == PRODUCER and does not in _TAKES)
    if not writes and does not in _TAKES and span.kind != CONSUMER:
        return None
    scheme = told["messaging.system"]
    names = [(f"{scheme}://{host}", topic) for host in _hosts(goes, scheme)]
    return _dataset(names, directory, writes)


def _table(span: Span, goes: Goes, directory: Directory) -> Target | Ambiguous | None:
    told = span.attributes
    system = told.get("db.system.name", told.get("db.system", ""))
    scheme = _SCHEMES.get(system, system)
    first, *summarised = told.get("db.query.summary", "").split() or [""]
    does = told.get("db.operation.name", told.get("db.operation", first)).lower()
    if not does:
        does = told.get("db.query.text", told.get("db.statement", "")).lstrip().partition(" ")[0].lower()
    writes = does in _WRITES
    if not writes and does not in _READS:
        return None
    named = ("db.collection.name", "db.sql.table", "db.cassandra.table", "db.mongodb.collection")
    tables = [told[name] for name in named if name in told][:1] or summarised[:1]
    within = told.get("db.namespace", told.get("db.name", told.get("db.cassandra.keyspace", "")))
    for table in tables:
        steps = [step for step in re.split(r"[|.]", within) if step]
        spelt = [".".join([*steps, table]), table, ".".join([*steps[:1], table])]
        if len(steps) == 1 and "." not in table:
            spelt += [f"{steps[0]}.{schema}.{table}" for schema in ("public", "dbo")]
        places = [f"{scheme}://{host}" for host in _hosts(goes, scheme)] or [scheme]
        return _dataset([(place, name) for place in places for name in dict.fromkeys(spelt)], directory, writes)
    return None


def _hosts(goes: Goes, scheme: str) -> Iterator[str]:
    """As OpenLineage may write them: usually with the port, also where it is the usual one."""
    if not goes.host:
        return
    port = goes.port or _PORTS.get(scheme, "")
    if port:
        yield f"{goes.host}:{port}"
    if not goes.port or port == _PORTS.get(scheme):
        yield goes.host


def _dataset(names: Sequence[tuple[str, str]], directory: Directory, writes: bool) -> Target | Ambiguous | None:
    found: dict[AssetKey, None] = {}
    for namespace, name in names:
        try:
            key = AssetKey.of(AssetKind.DATASET, namespace, name)
        except InvalidKey:
            continue
        if str(key) in directory.view.numbers:
            found[key] = None
    if not found:
        return None
    alone = directory.alone(found)
    if alone is None:
        return Ambiguous(f"touches what may be any of {shortened(', '.join(map(str, found)))}")
    return Target(alone, writes)
