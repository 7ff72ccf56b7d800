"""Spans of traces, as the room that reads them tells them to the one that watches."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from graph.time import Instant

INTERNAL, SERVER, CLIENT, PRODUCER, CONSUMER = 1, 2, 3, 4, 5
"""Kinds, as OpenTelemetry numbers them; 0 is a kind that is not said."""

_PRIME = (1 << 64) - 59
_FACTOR = 0x9E3779B97F4A7C15F39CC0605CEDC835


DEFAULT_NAMESPACE = "default"
"""Of services that name none."""
_UNNAMED = "unknown_service"
"""What OpenTelemetry calls a service that was not given a name; `unknown_service:python` too."""


class Service(NamedTuple):
    """What a process says it is."""

    namespace: str | None
    name: str | None

    @property
    def is_named(self) -> bool:
        """Else it is nobody."""
        return bool(self.name) and not str(self.name).startswith(_UNNAMED)

    @property
    def full_name(self) -> str:
        return f"{self.namespace or DEFAULT_NAMESPACE}/{self.name or ''}"


NOBODY = Service(None, None)


class Original(Protocol):
    """What a span was read from."""

    @property
    def place(self) -> str: ...

    @property
    def name(self) -> str:
        """Its ids, for people."""
        ...

    @property
    def item(self) -> bytes:
        """A request that holds this span alone, in the form it came in."""
        ...


@dataclass(slots=True)
class Span:
    id: int
    """See `span_id`; never 0."""
    above: int
    """The span it was made for: its parent, or what a message that it takes was sent by. 0: none, it begins the trace."""
    kind: int
    service: Service
    start: Instant
    microseconds: int | None
    """How long it took; None: it does not say so."""
    attributes: Mapping[str, str]
    """Those that say where it goes and what came of it (`WANTED`), as text."""
    has_failed: bool
    """What its status says."""
    original: Original


@dataclass(frozen=True, slots=True)
class RejectedSpan:
    """A span that cannot be used."""

    service: Service
    place: str
    reason: str
    item: bytes
    """See `Original.item`."""


def span_id(trace: bytes, span: bytes) -> int:
    """One number of 64 bits for a trace's 16 bytes and a span's 8: the two of which are the same once in 10^19."""
    return (int.from_bytes(trace) * _FACTOR + int.from_bytes(span)) % _PRIME or 1


WANTED = frozenset(
    {
        *("url.full", "http.url", "url.path", "http.target", "url.scheme", "http.scheme"),
        *("http.request.method", "http.method", "http.response.status_code", "http.status_code"),
        *("server.address", "server.port", "net.peer.name", "net.peer.port", "net.host.name", "net.host.port"),
        *("http.host", "service.peer.name", "service.peer.namespace", "peer.service"),
        *("db.system.name", "db.system", "db.namespace", "db.name", "db.collection.name", "db.sql.table"),
        *("db.cassandra.table", "db.mongodb.collection", "db.cassandra.keyspace", "db.operation.name", "db.operation"),
        *("db.query.summary", "db.query.text", "db.statement"),
        *("messaging.system", "messaging.destination.name", "messaging.destination", "messaging.operation.type"),
        *("messaging.operation", "messaging.operation.name", "rpc.method"),
    }
)
"""The attributes that are looked at, of the stable semantic conventions and of the older ones."""
